// Four neighbours and their positions in rows of whole quads. Declared elsewhere: Four, four() and pack_four().

struct Params {
    // quads in all, and of a row
    n: u32,
    length: u32,
    per_length: f32,
    x: u32,
}

@group(0) @binding(0) var<uniform> P: Params;
@group(0) @binding(1) var<storage, read> X: array<Four>;
@group(0) @binding(2) var<storage, read_write> PAIRS: array<Four>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) t: u32,
) {
    let i = (wg.x + wg.y * groups.x) * 64u + t;
    if i >= P.n { return; }
    let k = 4u * (i - divide(i, P.length, P.per_length) * P.length);
    let v = four(X[P.x + i]);
    PAIRS[2u * i] = pack_four(vec4<u32>(v.x, k, v.y, k + 1u));
    PAIRS[2u * i + 1u] = pack_four(vec4<u32>(v.z, k + 2u, v.w, k + 3u));
}
