// Sorts rows of up to 1,024 elements, one row to a workgroup, by a bitonic network over keys and positions: all differ, so the
// order is the only one. Declared elsewhere: wt_key(at) over X, the low and the high word of a key; WT_WORDS, the words of an
// element.

struct Params {
    rows: u32,
    // elements of a row of x and of the results, and the step between them
    length: u32,
    kept: u32,
    inner: u32,
    x: u32,
    values: u32,
    indices: u32,
    // xor: all bits where the greatest come first
    flip: u32,
    // added to what is not a float, to make the least of its dtype 0
    bias: u32,
    // the power of two that holds a row
    size: u32,
}

@group(0) @binding(0) var<uniform> P: Params;
@group(0) @binding(1) var<storage, read> X: array<u32>;
@group(0) @binding(2) var<storage, read_write> VALUES: array<u32>;
@group(0) @binding(3) var<storage, read_write> INDICES: array<vec2<u32>>;

var<workgroup> high: array<u32, WT_HIGH>;
var<workgroup> low: array<u32, 1024>;
var<workgroup> order: array<u32, 1024>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) t: u32,
) {
    one = groups.z;
    let row = wg.x + wg.y * groups.x;
    if row >= P.rows { return; }
    let outer = row / P.inner;
    let inner = row - outer * P.inner;
    let first = P.x + outer * P.length * P.inner + inner;
    // the builtin itself: around a barrier a bound has to be seen to be uniform, and a private variable is not
    let size = P.size * groups.z;
    for (var k = t; k < size; k += 64u) {
        // what fills up the row comes last: its positions are the greatest
        var key = vec2<u32>(0xffffffffu);
        if k < P.length { key = wt_key(first + k * P.inner) ^ vec2<u32>(P.flip); }
        low[k] = key.x;
        if WT_WORDS > 1u { high[k % WT_HIGH] = key.y; }
        order[k] = k;
    }
    workgroupBarrier();
    for (var run = 2u; run <= size; run *= 2u) {
        for (var step = run / 2u; step > 0u; step /= 2u) {
            for (var p = t; p < size / 2u; p += 64u) {
                let a = 2u * p - (p & (step - 1u));
                let b = a + step;
                var less = low[b] < low[a] || (low[b] == low[a] && order[b] < order[a]);
                if WT_WORDS > 1u {
                    let ha = high[a % WT_HIGH];
                    let hb = high[b % WT_HIGH];
                    less = hb < ha || (hb == ha && less);
                }
                if less == ((a & run) == 0u) {
                    let l = low[a];
                    low[a] = low[b];
                    low[b] = l;
                    let o = order[a];
                    order[a] = order[b];
                    order[b] = o;
                    if WT_WORDS > 1u {
                        let h = high[a % WT_HIGH];
                        high[a % WT_HIGH] = high[b % WT_HIGH];
                        high[b % WT_HIGH] = h;
                    }
                }
            }
            workgroupBarrier();
        }
    }
    for (var k = t; k < P.kept; k += 64u) {
        let to = (outer * P.kept + k) * P.inner + inner;
        INDICES[P.indices + to] = vec2<u32>(order[k], 0u);
        let at = first + order[k] * P.inner;
        for (var w = 0u; w < WT_WORDS; w++) { VALUES[(P.values + to) * WT_WORDS + w] = X[at * WT_WORDS + w]; }
    }
}
