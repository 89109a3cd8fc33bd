// Layer normalisation of rows, one row to an invocation: for short rows, which have no work to share. Declared elsewhere: P and
// the bindings.

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) t: u32,
) {
    one = groups.z;
    let row = (wg.x + wg.y * groups.x) * 64u + t;
    if row >= P.rows { return; }
    let at = P.x + row * P.n;
    var sum = 0.0;
    for (var j = 0u; j < P.n * one; j++) { sum += X[at + j]; }
    let mean = sum / f32(P.n);
    sum = 0.0;
    for (var j = 0u; j < P.n * one; j++) {
        let d = X[at + j] - mean;
        sum += d * d;
    }
    let rstd = 1.0 / sqrt(sum / f32(P.n) + P.eps);
    MEAN[P.mean + row] = mean;
    RSTD[P.rstd + row] = rstd;
    for (var j = 0u; j < P.n * one; j++) {
        var y = (X[at + j] - mean) * rstd;
        if ((P.flags * one) & 1u) != 0u { y *= WEIGHT[P.weight + j]; }
        if ((P.flags * one) & 2u) != 0u { y += BIAS[P.bias + j]; }
        OUT[P.out + row * P.n + j] = y;
    }
}
