// The first elements of each row in the order found, and their positions as 64-bit integers. Declared elsewhere: WT_WORDS, the
// words of an element.

struct Params {
    n: u32,
    // elements of a row of x and of the results, and the step between them
    length: u32,
    kept: u32,
    inner: u32,
    x: u32,
    values: u32,
    indices: u32,
    // reciprocals of inner and kept
    per_inner: f32,
    per_kept: f32,
}

@group(0) @binding(0) var<uniform> P: Params;
@group(0) @binding(1) var<storage, read> X: array<u32>;
@group(0) @binding(2) var<storage, read> ORDER: array<u32>;
@group(0) @binding(3) var<storage, read_write> VALUES: array<u32>;
@group(0) @binding(4) var<storage, read_write> INDICES: array<vec2<u32>>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) t: u32,
) {
    let i = (wg.x + wg.y * groups.x) * 64u + t;
    if i >= P.n { return; }
    let lines = divide(i, P.inner, P.per_inner);
    let inner = i - lines * P.inner;
    let outer = divide(lines, P.kept, P.per_kept);
    let rank = lines - outer * P.kept;
    let k = ORDER[(outer * P.inner + inner) * P.length + rank];
    INDICES[P.indices + i] = vec2<u32>(k, 0u);
    let at = P.x + (outer * P.length + k) * P.inner + inner;
    for (var w = 0u; w < WT_WORDS; w++) { VALUES[(P.values + i) * WT_WORDS + w] = X[at * WT_WORDS + w]; }
}
