// out[p] = x[p with the index at p in place of one coordinate]: any strides of x, out and index row-major. Declared elsewhere:
// WtWord, what is moved at once, WT_PER, the elements in it, WT_WORDS, its number in an element, wt_part and wt_join.

struct Params {
    // words, or elements that are longer, and elements of the result
    units: u32,
    n: u32,
    dims: u32,
    // how many indices are in range, the stride of x along the dim, and the dim
    size: u32,
    stride: u32,
    dim: u32,
    command: u32,
    x: u32,
    index: u32,
    // in words
    out: u32,
    pad0: u32,
    pad1: u32,
    // of the index, slowest first: sizes, and x's strides
    sizes: array<vec4<u32>, 2>,
    strides: array<vec4<u32>, 2>,
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
    one = groups.z;
    let unit = (wg.x + wg.y * groups.x) * 64u + t;
    if unit >= P.units { return; }
    var word = WtWord();
    for (var e = 0u; e < WT_PER; e++) {
        let i = min(unit * WT_PER + e, P.n - 1u);
        let c = INDEX[P.index + i];
        let good = c.y == 0u && c.x < P.size;
        if !good { report(P.command, c); }
        var at = P.x + c.x * P.stride;
        var rest = i;
        for (var d = P.dims * one; d > 0u; d--) {
            let size = P.sizes[(d - 1u) / 4u][(d - 1u) % 4u];
            let place = rest % size;
            rest /= size;
            if d - 1u != P.dim { at += place * P.strides[(d - 1u) / 4u][(d - 1u) % 4u]; }
        }
        if WT_WORDS > 1u {
            for (var w = 0u; w < WT_WORDS; w++) {
                if good { word = X[at * WT_WORDS + w]; }
                OUT[P.out + i * WT_WORDS + w] = word;
            }
        } else if good {
            word = wt_join(word, e, wt_part(X[at / WT_PER], at));
        }
    }
    if WT_WORDS == 1u { OUT[P.out + unit] = word; }
}
