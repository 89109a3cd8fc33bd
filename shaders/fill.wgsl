// Writes one pattern of 16 bytes over and over: constants in memory, whatever their dtype.

struct Params {
    pattern: vec4<u32>,
    quads: u32,
}

@group(0) @binding(0) var<uniform> P: Params;
@group(0) @binding(1) var<storage, read_write> out: array<vec4<u32>>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = (group.x + group.y * groups.x) * 64u + local;
    if i < P.quads {
        out[i] = P.pattern;
    }
}
