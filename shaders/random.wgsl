// Fills a tensor with Philox's numbers: kind 0 uniform in [from, to), 1 normal (mean, std), 2 a uniform number below p.
// The prelude holds Philox.

struct Params {
    key: vec4<u32>,
    n: u32,
    kind: u32,
    a: f32,
    b: f32,
}

@group(0) @binding(0) var<uniform> P: Params;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    one = groups.z;
    let i = (group.x + group.y * groups.x) * 64u + local;
    if i >= P.n {
        return;
    }
    if P.kind * one == 0u {
        let x = philox_uniform(i, P.key) * (P.b - P.a) + P.a;
        // the product may round up to the excluded end
        out[i] = select(x, P.a, x >= P.b);
    } else if P.kind * one == 1u {
        out[i] = philox_normal(i, P.key) * P.b + P.a;
    } else {
        out[i] = select(0.0, 1.0, philox_uniform(i, P.key) < P.a);
    }
}
