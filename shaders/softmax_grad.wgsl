// The gradients of softmax and log-softmax from the output y: y (g - sum g y), and g - e^y sum g. One row to an invocation.

struct Params {
    rows: u32,
    n: u32,
    inner: u32,
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

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) t: u32,
) {
    one = groups.z;
    let i = (wg.x + wg.y * groups.x) * 64u + t;
    if i >= P.rows { return; }
    let at = i / P.inner * P.n * P.inner + i % P.inner;
    var sum = 0.0;
    for (var j = 0u; j < P.n * one; j++) {
        let g = GRAD[P.grad + at + j * P.inner];
        if P.log * one == 0u { sum += g * Y[P.y + at + j * P.inner]; } else { sum += g; }
    }
    for (var j = 0u; j < P.n * one; j++) {
        let g = GRAD[P.grad + at + j * P.inner];
        let y = Y[P.y + at + j * P.inner];
        var v = g - m_exp(y) * sum;
        if P.log * one == 0u { v = y * (g - sum); }
        OUT[P.out + at + j * P.inner] = v;
    }
}
