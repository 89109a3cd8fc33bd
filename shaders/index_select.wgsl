// out[a, j, b] = x[a, index[j], b]: rows of a dim picked by number (a lookup table where a has one place). Four words of a row to an
// invocation, so that a row's number is looked at once for them; where a word holds several elements, which may be of two rows, one
// word. Declared elsewhere: WtWord, what is moved at once, WT_PER, the elements in it, wt_part and wt_join.

struct Params {
    // invocations, and elements of the result
    units: u32,
    n: u32,
    // numbers in the index, elements inside the dim, sizes and strides of x
    count: u32,
    inner: u32,
    size: u32,
    outer_stride: u32,
    command: u32,
    x: u32,
    index: u32,
    // in words
    out: u32,
    // invocations of a row, and reciprocals
    parts: u32,
    per_parts: f32,
    per_count: f32,
}

@group(0) @binding(0) var<uniform> P: Params;
@group(0) @binding(1) var<storage, read> X: array<WtWord>;
@group(0) @binding(2) var<storage, read> INDEX: array<vec2<u32>>;
@group(0) @binding(3) var<storage, read_write> OUT: array<WtWord>;
@group(0) @binding(4) var<storage, read_write> STATUS: array<atomic<u32>>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) t: u32,
) {
    let unit = (wg.x + wg.y * groups.x) * 64u + t;
    if unit >= P.units { return; }
    if WT_PER == 1u {
        // so many invocations a row
        let row = divide(unit, P.parts, P.per_parts);
        let a = divide(row, P.count, P.per_count);
        let c = INDEX[P.index + row - a * P.count];
        let good = c.y == 0u && c.x < P.size;
        let first = unit - row * P.parts;
        let start = P.x + a * P.outer_stride + c.x * P.inner;
        let to = P.out + row * P.inner;
        for (var k = first; k < P.inner * groups.z; k += P.parts) {
            var word = WtWord();
            if good { word = X[start + k]; }
            OUT[to + k] = word;
        }
        if !good && first == 0u { report(P.command, c); }
        return;
    }
    var word = WtWord();
    for (var e = 0u; e < WT_PER; e++) {
        let i = min(unit * WT_PER + e, P.n - 1u);
        let row = i / P.inner;
        let a = row / P.count;
        let c = INDEX[P.index + row - a * P.count];
        if c.y != 0u || c.x >= P.size {
            report(P.command, c);
        } else {
            let at = P.x + a * P.outer_stride + c.x * P.inner + (i - row * P.inner);
            word = wt_join(word, e, wt_part(X[at / WT_PER], at));
        }
    }
    OUT[P.out + unit] = word;
}
