// Elements or keys with their positions: those in ORDER, or 0, 1 … in each row.

struct Params {
    n: u32,
    // elements of a row
    length: u32,
    per_length: f32,
    // 1: the positions are in ORDER
    flags: u32,
    x: u32,
}

@group(0) @binding(0) var<uniform> P: Params;
@group(0) @binding(1) var<storage, read> X: array<u32>;
@group(0) @binding(2) var<storage, read> ORDER: array<u32>;
@group(0) @binding(3) var<storage, read_write> PAIRS: array<vec2<u32>>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) t: u32,
) {
    let i = (wg.x + wg.y * groups.x) * 64u + t;
    if i >= P.n { return; }
    let k = i - divide(i, P.length, P.per_length) * P.length;
    PAIRS[i] = vec2<u32>(X[P.x + i], select(k, ORDER[i], P.flags == 1u));
}
