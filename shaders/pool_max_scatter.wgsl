// The gradient of max pooling where no two windows share a cell: each output's gradient goes to its place in a cleared plane.

struct Params {
    n: u32,
    // cells of an output and of an input plane
    out_plane: u32,
    plane: u32,
    grad: u32,
    index: u32,
    out: u32,
    per_out_plane: f32,
}

@group(0) @binding(0) var<uniform> P: Params;
@group(0) @binding(1) var<storage, read> GRAD: array<f32>;
@group(0) @binding(2) var<storage, read> INDEX: array<vec2<u32>>;
@group(0) @binding(3) var<storage, read_write> OUT: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) t: u32,
) {
    let i = (wg.x + wg.y * groups.x) * 64u + t;
    if i >= P.n { return; }
    let place = INDEX[P.index + i].x;
    // a window of padding alone took nothing
    if place < P.plane {
        OUT[P.out + divide(i, P.out_plane, P.per_out_plane) * P.plane + place] = GRAD[P.grad + i];
    }
}
