// The gradients of softmax and log-softmax of rows that a workgroup holds in its registers, up to four times four elements to an
// invocation. Declared elsewhere: Quad and quad(), row_total.

struct Params {
    rows: u32,
    // in fours, as are all places
    n: u32,
    // 1: of the logarithm
    log: u32,
    y: u32,
    grad: u32,
    out: u32,
}

@group(0) @binding(0) var<uniform> P: Params;
@group(0) @binding(1) var<storage, read> Y: array<Quad>;
@group(0) @binding(2) var<storage, read> GRAD: array<Quad>;
@group(0) @binding(3) var<storage, read_write> OUT: array<vec4<f32>>;

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
    let at = row * P.n;
    let log = P.log * one != 0u;
    // by name: an array would lie in memory on some drivers
    var ya = vec4<f32>();
    var yb = vec4<f32>();
    var yc = vec4<f32>();
    var yd = vec4<f32>();
    var ga = vec4<f32>();
    var gb = vec4<f32>();
    var gc = vec4<f32>();
    var gd = vec4<f32>();
    let y = P.y + at + t;
    let g = P.grad + at + t;
    if t < n {
        ya = quad(Y[y]);
        ga = quad(GRAD[g]);
    }
    if t + 64u < n {
        yb = quad(Y[y + 64u]);
        gb = quad(GRAD[g + 64u]);
    }
    if t + 128u < n {
        yc = quad(Y[y + 128u]);
        gc = quad(GRAD[g + 128u]);
    }
    if t + 192u < n {
        yd = quad(Y[y + 192u]);
        gd = quad(GRAD[g + 192u]);
    }
    let s = select((ga * ya + gb * yb) + (gc * yc + gd * yd), (ga + gb) + (gc + gd), log);
    let sum = row_total((s.x + s.y) + (s.z + s.w), t);
    let out = P.out + at + t;
    if t < n { OUT[out] = slope(ya, ga, sum, log); }
    if t + 64u < n { OUT[out + 64u] = slope(yb, gb, sum, log); }
    if t + 128u < n { OUT[out + 128u] = slope(yc, gc, sum, log); }
    if t + 192u < n { OUT[out + 192u] = slope(yd, gd, sum, log); }
}

fn slope(y: vec4<f32>, g: vec4<f32>, sum: f32, log: bool) -> vec4<f32> {
    if log { return g - vec4<f32>(m_exp(y.x), m_exp(y.y), m_exp(y.z), m_exp(y.w)) * sum; }
    return y * (g - sum);
}
