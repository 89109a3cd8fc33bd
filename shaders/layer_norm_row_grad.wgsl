// The gradient of layer normalisation for its input, one row to a workgroup: with y = (x - mean) * rstd and d = grad * weight,
// rstd * (d - mean of d - y * mean of d * y). Declared elsewhere: row_total.

struct Params {
    rows: u32,
    n: u32,
    // 1: a weight
    flags: u32,
    grad: u32,
    x: u32,
    weight: u32,
    mean: u32,
    rstd: u32,
    out: u32,
}

@group(0) @binding(0) var<uniform> P: Params;
@group(0) @binding(1) var<storage, read> GRAD: array<f32>;
@group(0) @binding(2) var<storage, read> X: array<f32>;
@group(0) @binding(3) var<storage, read> WEIGHT: array<f32>;
@group(0) @binding(4) var<storage, read> MEAN: array<f32>;
@group(0) @binding(5) var<storage, read> RSTD: array<f32>;
@group(0) @binding(6) var<storage, read_write> OUT: array<f32>;

fn slope_at(row: u32, j: u32) -> f32 {
    let g = GRAD[P.grad + row * P.n + j];
    if ((P.flags * one) & 1u) != 0u { return g * WEIGHT[P.weight + j]; }
    return g;
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) t: u32,
) {
    one = groups.z;
    let row = wg.x + wg.y * groups.x;
    if row >= P.rows { return; }
    let mean = MEAN[P.mean + row];
    let rstd = RSTD[P.rstd + row];
    var s = 0.0;
    var q = 0.0;
    for (var j = t; j < P.n; j += 64u) {
        let d = slope_at(row, j);
        s += d;
        q += d * ((X[P.x + row * P.n + j] - mean) * rstd);
    }
    let shift = row_total(s, t) / f32(P.n);
    let slope = row_total(q, t) / f32(P.n);
    for (var j = t; j < P.n; j += 64u) {
        let y = (X[P.x + row * P.n + j] - mean) * rstd;
        OUT[P.out + row * P.n + j] = (slope_at(row, j) - shift - y * slope) * rstd;
    }
}
