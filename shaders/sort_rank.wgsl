// Sorts short rows: each element counts those that come before it. Declared elsewhere: wt_key(at) over X, the low and the high
// word of a key; WT_WORDS, the words of an element.

struct Params {
    n: u32,
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
}

@group(0) @binding(0) var<uniform> P: Params;
@group(0) @binding(1) var<storage, read> X: array<u32>;
@group(0) @binding(2) var<storage, read_write> VALUES: array<u32>;
@group(0) @binding(3) var<storage, read_write> INDICES: array<vec2<u32>>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) t: u32,
) {
    one = groups.z;
    let i = (wg.x + wg.y * groups.x) * 64u + t;
    if i >= P.n { return; }
    let inner = i % P.inner;
    let outer = i / P.inner / P.length;
    let k = i / P.inner - outer * P.length;
    let first = P.x + outer * P.length * P.inner + inner;
    let mine = wt_key(first + k * P.inner) ^ vec2<u32>(P.flip);
    var rank = 0u;
    for (var j = 0u; j < P.length * one; j++) {
        let other = wt_key(first + j * P.inner) ^ vec2<u32>(P.flip);
        let same = all(other == mine);
        let less = other.y < mine.y || (other.y == mine.y && other.x < mine.x);
        rank += select(0u, 1u, less || (same && j < k));
    }
    if rank >= P.kept { return; }
    let to = (outer * P.kept + rank) * P.inner + inner;
    INDICES[P.indices + to] = vec2<u32>(k, 0u);
    let at = first + k * P.inner;
    for (var w = 0u; w < WT_WORDS; w++) { VALUES[(P.values + to) * WT_WORDS + w] = X[at * WT_WORDS + w]; }
}
