// Softmax and log-softmax of rows that a workgroup holds in its registers, WT_EACH times four elements to an invocation: one
// reading, and one exponential an element. Declared elsewhere: Quad and quad(), WT_EACH, row_total, row_max.

struct Params {
    rows: u32,
    // in fours, as are all places
    n: u32,
    // 1: the logarithm
    log: u32,
    x: u32,
    out: u32,
    lowest: f32,
}

@group(0) @binding(0) var<uniform> P: Params;
@group(0) @binding(1) var<storage, read> X: array<Quad>;
@group(0) @binding(2) var<storage, read_write> OUT: array<vec4<f32>>;

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
    var v: array<vec4<f32>, WT_EACH>;
    var m = vec4<f32>(P.lowest);
    for (var k = 0u; k < WT_EACH; k++) {
        let q = t + 64u * k;
        v[k] = vec4<f32>(P.lowest);
        if q < n { v[k] = quad(X[P.x + at + q]); }
        m = max(m, v[k]);
    }
    let top = row_max(max(max(m.x, m.y), max(m.z, m.w)), t);
    var s = vec4<f32>();
    for (var k = 0u; k < WT_EACH; k++) {
        let d = v[k] - top;
        if t + 64u * k < n {
            let e = vec4<f32>(m_exp(d.x), m_exp(d.y), m_exp(d.z), m_exp(d.w));
            s += e;
            v[k] = select(e, d, log);
        }
    }
    let sum = row_total((s.x + s.y) + (s.z + s.w), t);
    let ln = m_log(sum);
    for (var k = 0u; k < WT_EACH; k++) {
        let q = t + 64u * k;
        if q < n { OUT[P.out + at + q] = select(v[k] / sum, v[k] - ln, log); }
    }
}
