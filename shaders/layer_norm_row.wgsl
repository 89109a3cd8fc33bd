// Layer normalisation of rows, one row to a workgroup: for long rows. Declared elsewhere: P and the bindings.

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
    let at = P.x + row * P.n;
    var sum = 0.0;
    for (var j = t; j < P.n; j += 64u) { sum += X[at + j]; }
    part[t] = sum;
    workgroupBarrier();
    for (var w = 32u; w > 0u; w /= 2u) {
        if t < w { part[t] += part[t + w]; }
        workgroupBarrier();
    }
    let mean = part[0] / f32(P.n);
    workgroupBarrier();
    sum = 0.0;
    for (var j = t; j < P.n; j += 64u) {
        let d = X[at + j] - mean;
        sum += d * d;
    }
    part[t] = sum;
    workgroupBarrier();
    for (var w = 32u; w > 0u; w /= 2u) {
        if t < w { part[t] += part[t + w]; }
        workgroupBarrier();
    }
    let rstd = 1.0 / sqrt(part[0] / f32(P.n) + P.eps);
    if t == 0u {
        MEAN[P.mean + row] = mean;
        RSTD[P.rstd + row] = rstd;
    }
    for (var j = t; j < P.n; j += 64u) {
        var y = (X[at + j] - mean) * rstd;
        if ((P.flags * one) & 1u) != 0u { y *= WEIGHT[P.weight + j]; }
        if ((P.flags * one) & 2u) != 0u { y += BIAS[P.bias + j]; }
        OUT[P.out + row * P.n + j] = y;
    }
}
