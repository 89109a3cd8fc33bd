// Layer normalisation of rows that a workgroup holds in its registers, up to four times four elements to an invocation: one
// reading. Declared elsewhere: Quad and quad(), row_total.

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
    // by name: an array would lie in memory on some drivers
    var a = vec4<f32>();
    var b = vec4<f32>();
    var c = vec4<f32>();
    var d = vec4<f32>();
    if t < n { a = quad(X[P.x + at + t]); }
    if t + 64u < n { b = quad(X[P.x + at + t + 64u]); }
    if t + 128u < n { c = quad(X[P.x + at + t + 128u]); }
    if t + 192u < n { d = quad(X[P.x + at + t + 192u]); }
    var s = (a + b) + (c + d);
    let mean = row_total((s.x + s.y) + (s.z + s.w), t) / length;
    let none = vec4<f32>();
    a = select(none, a - mean, t < n);
    b = select(none, b - mean, t + 64u < n);
    c = select(none, c - mean, t + 128u < n);
    d = select(none, d - mean, t + 192u < n);
    s = (a * a + b * b) + (c * c + d * d);
    let rstd = 1.0 / sqrt(row_total((s.x + s.y) + (s.z + s.w), t) / length + P.eps);
    if t == 0u {
        MEAN[P.mean + row] = mean;
        RSTD[P.rstd + row] = rstd;
    }
    if t < n { store(at, t, a * rstd); }
    if t + 64u < n { store(at, t + 64u, b * rstd); }
    if t + 128u < n { store(at, t + 128u, c * rstd); }
    if t + 192u < n { store(at, t + 192u, d * rstd); }
}

fn store(at: u32, q: u32, x: vec4<f32>) {
    var y = x;
    if ((P.flags * one) & 1u) != 0u { y *= quad(WEIGHT[P.weight + q]); }
    if ((P.flags * one) & 2u) != 0u { y += quad(BIAS[P.bias + q]); }
    OUT[P.out + at + q] = y;
}
