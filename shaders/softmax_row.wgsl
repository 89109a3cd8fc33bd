// Softmax and log-softmax over the last dim, one row to a workgroup: for long rows.

struct Params {
    rows: u32,
    n: u32,
    // 1: the logarithm; 2: what makes it, a quad a row
    log: u32,
    x: u32,
    out: u32,
    lowest: f32,
}

@group(0) @binding(0) var<uniform> P: Params;
@group(0) @binding(1) var<storage, read> X: array<f32>;
@group(0) @binding(2) var<storage, read_write> OUT: array<f32>;

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
    var top = P.lowest;
    for (var j = t; j < P.n; j += 64u) { top = max(top, X[at + j]); }
    part[t] = top;
    workgroupBarrier();
    for (var w = 32u; w > 0u; w /= 2u) {
        if t < w { part[t] = max(part[t], part[t + w]); }
        workgroupBarrier();
    }
    top = part[0];
    workgroupBarrier();
    var sum = 0.0;
    for (var j = t; j < P.n; j += 64u) { sum += m_exp(X[at + j] - top); }
    part[t] = sum;
    workgroupBarrier();
    for (var w = 32u; w > 0u; w /= 2u) {
        if t < w { part[t] += part[t + w]; }
        workgroupBarrier();
    }
    sum = part[0];
    let ln = m_log(sum);
    if P.log * one == 2u {
        if t == 0u {
            OUT[P.out + 4u * row] = top;
            OUT[P.out + 4u * row + 1u] = ln;
        }
        return;
    }
    for (var j = t; j < P.n; j += 64u) {
        let v = X[at + j] - top;
        var y = v - ln;
        if P.log * one == 0u { y = m_exp(v) / sum; }
        OUT[P.out + row * P.n + j] = y;
    }
}
