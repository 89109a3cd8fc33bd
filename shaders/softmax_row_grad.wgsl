// The gradients of softmax and log-softmax over the last dim, one row to a workgroup.

struct Params {
    rows: u32,
    n: u32,
    // 1: of the logarithm
    log: u32,
    y: u32,
    grad: u32,
    out: u32,
}

@group(0) @binding(0) var<uniform> P: Params;
@group(0) @binding(1) var<storage, read> Y: array<f32>;
@group(0) @binding(2) var<storage, read> GRAD: array<f32>;
@group(0) @binding(3) var<storage, read_write> OUT: array<f32>;

var<workgroup> part: array<f32, 64>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) t: u32,
) {
    one = groups.z;
    let row = wg.x + wg.y * groups.x;
    if row >= P.rows { return; }
    let at = row * P.n;
    var sum = 0.0;
    for (var j = t; j < P.n; j += 64u) {
        let g = GRAD[P.grad + at + j];
        if P.log * one == 0u { sum += g * Y[P.y + at + j]; } else { sum += g; }
    }
    part[t] = sum;
    workgroupBarrier();
    for (var w = 32u; w > 0u; w /= 2u) {
        if t < w { part[t] += part[t + w]; }
        workgroupBarrier();
    }
    sum = part[0];
    for (var j = t; j < P.n; j += 64u) {
        let g = GRAD[P.grad + at + j];
        let y = Y[P.y + at + j];
        var v = g - m_exp(y) * sum;
        if P.log * one == 0u { v = y * (g - sum); }
        OUT[P.out + at + j] = v;
    }
}
