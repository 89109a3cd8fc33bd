// Where the elements of an index point: the position, row-major in the tensor that is written, of p with the index at p in place
// of one coordinate; `none` where it is out of range.

struct Params {
    n: u32,
    dims: u32,
    // how many indices are in range, the stride along the dim, and the dim
    size: u32,
    stride: u32,
    dim: u32,
    command: u32,
    index: u32,
    none: u32,
    // slowest first: sizes of the index, and the strides of what is written
    sizes: array<vec4<u32>, 2>,
    strides: array<vec4<u32>, 2>,
}

@group(0) @binding(0) var<uniform> P: Params;
@group(0) @binding(1) var<storage, read> INDEX: array<vec2<u32>>;
@group(0) @binding(2) var<storage, read_write> PLACES: array<u32>;
@group(0) @binding(3) var<storage, read_write> STATUS: array<atomic<u32>>;

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
        PLACES[i] = P.none;
        return;
    }
    var at = c.x * P.stride;
    var rest = i;
    for (var d = P.dims * one; d > 0u; d--) {
        let size = P.sizes[(d - 1u) / 4u][(d - 1u) % 4u];
        let place = rest % size;
        rest /= size;
        if d - 1u != P.dim { at += place * P.strides[(d - 1u) / 4u][(d - 1u) % 4u]; }
    }
    PLACES[i] = at;
}
