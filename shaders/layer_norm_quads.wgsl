// Layer normalisation of rows that a workgroup holds in its registers, WT_EACH times four elements to an invocation: one reading.
// Declared elsewhere: Quad and quad(), WT_EACH, row_total.

struct Params {
    rows: u32,
    // in fours, as are all places but those of the statistics
    n: u32,
    // 1: a weight; 2: a bias
    flags: u32,
    x: u32,
    weight: u32,
    bias: u32,
    out: u32,
    mean: u32,
    rstd: u32,
    eps: f32,
}

@group(0) @binding(0) var<uniform> P: Params;
@group(0) @binding(1) var<storage, read> X: array<Quad>;
@group(0) @binding(2) var<storage, read> WEIGHT: array<Quad>;
@group(0) @binding(3) var<storage, read> BIAS: array<Quad>;
@group(0) @binding(4) var<storage, read_write> OUT: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> MEAN: array<f32>;
@group(0) @binding(6) var<storage, read_write> RSTD: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) t: u32,
) {
    one = groups.z;
    let row = wg.x + wg.y * groups.x;
    if row >= P.rows { return; }
    let n = P.n * one;
    let length = f32(4u * n);
    let at = row * P.n;
    var v: array<vec4<f32>, WT_EACH>;
    var s = vec4<f32>();
    for (var k = 0u; k < WT_EACH; k++) {
        let q = t + 64u * k;
        v[k] = vec4<f32>();
        if q < n { v[k] = quad(X[P.x + at + q]); }
        s += v[k];
    }
    let mean = row_total((s.x + s.y) + (s.z + s.w), t) / length;
    s = vec4<f32>();
    for (var k = 0u; k < WT_EACH; k++) {
        v[k] -= mean;
        if t + 64u * k < n { s += v[k] * v[k]; }
    }
    let rstd = 1.0 / sqrt(row_total((s.x + s.y) + (s.z + s.w), t) / length + P.eps);
    if t == 0u {
        MEAN[P.mean + row] = mean;
        RSTD[P.rstd + row] = rstd;
    }
    for (var k = 0u; k < WT_EACH; k++) {
        let q = t + 64u * k;
        if q < n {
            var y = v[k] * rstd;
            if (P.flags * one & 1u) != 0u { y *= quad(WEIGHT[P.weight + q]); }
            if (P.flags * one & 2u) != 0u { y += quad(BIAS[P.bias + q]); }
            OUT[P.out + at + q] = y;
        }
    }
}
