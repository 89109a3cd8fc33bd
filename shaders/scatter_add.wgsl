// out[p with the index at p in place of one coordinate] += source[p]. Of the places along the dim with one index the first sums
// them all, in order: nothing is written twice, and the result is always the same.

struct Params {
    n: u32,
    dims: u32,
    // how many indices are in range, the stride of out along the dim, and the dim
    size: u32,
    stride: u32,
    dim: u32,
    command: u32,
    out: u32,
    index: u32,
    source: u32,
    // of the index: sizes of the dim and of what is inside it
    length: u32,
    inner: u32,
    source_stride: u32,
    // slowest first: sizes of the index, out's strides, source's strides
    sizes: array<vec4<u32>, 2>,
    strides: array<vec4<u32>, 2>,
    source_strides: array<vec4<u32>, 2>,
}

@group(0) @binding(0) var<uniform> P: Params;
@group(0) @binding(1) var<storage, read> SOURCE: array<f32>;
@group(0) @binding(2) var<storage, read> INDEX: array<vec2<u32>>;
@group(0) @binding(3) var<storage, read_write> OUT: array<f32>;
@group(0) @binding(4) var<storage, read_write> STATUS: array<atomic<u32>>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) t: u32,
) {
    one = groups.z;
    let i = (wg.x + wg.y * groups.x) * 64u + t;
    if i >= P.n { return; }
    let c = INDEX[P.index + i];
    if c.y != 0u || c.x >= P.size {
        report(P.command, c);
        return;
    }
    let place = i / P.inner % P.length;
    // the line's first place in the index
    let line = P.index + i - place * P.inner;
    var first = true;
    for (var j = 0u; j < place && first; j++) {
        let other = INDEX[line + j * P.inner];
        first = any(other != c);
    }
    if !first { return; }
    var at = P.out + c.x * P.stride;
    var place_at = P.source;
    var rest = i;
    for (var d = P.dims * one; d > 0u; d--) {
        let size = P.sizes[(d - 1u) / 4u][(d - 1u) % 4u];
        let p = rest % size;
        rest /= size;
        if d - 1u != P.dim {
            at += p * P.strides[(d - 1u) / 4u][(d - 1u) % 4u];
            place_at += p * P.source_strides[(d - 1u) / 4u][(d - 1u) % 4u];
        }
    }
    var v = OUT[at];
    for (var j = place; j < P.length; j++) {
        if all(INDEX[line + j * P.inner] == c) { v += SOURCE[place_at + j * P.source_stride]; }
    }
    OUT[at] = v;
}
