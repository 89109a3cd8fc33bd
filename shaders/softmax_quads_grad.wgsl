// The gradients of softmax and log-softmax of rows that a workgroup holds in its registers, WT_EACH times four elements to an
// invocation. Declared elsewhere: Quad and quad(), WT_EACH, row_total.

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
    var y: array<vec4<f32>, WT_EACH>;
    var g: array<vec4<f32>, WT_EACH>;
    var s = vec4<f32>();
    for (var k = 0u; k < WT_EACH; k++) {
        let q = t + 64u * k;
        y[k] = vec4<f32>();
        g[k] = vec4<f32>();
        if q < n {
            y[k] = quad(Y[P.y + at + q]);
            g[k] = quad(GRAD[P.grad + at + q]);
        }
        s += select(g[k] * y[k], g[k], log);
    }
    let sum = row_total((s.x + s.y) + (s.z + s.w), t);
    for (var k = 0u; k < WT_EACH; k++) {
        let q = t + 64u * k;
        if q < n {
            let v = y[k];
            if log {
                OUT[P.out + at + q] = g[k] - vec4<f32>(m_exp(v.x), m_exp(v.y), m_exp(v.z), m_exp(v.w)) * sum;
            } else {
                OUT[P.out + at + q] = v * (g[k] - sum);
            }
        }
    }
}
