// Softmax and log-softmax over the middle of [outer, n, inner], one row to an invocation: for short rows, or rows that lie
// across memory. Or, of each row, what makes log-probabilities of it: its largest value, and the logarithm of the sum of the exponentials of
// what is left, in a quad.

struct Params {
    rows: u32,
    n: u32,
    inner: u32,
    // 1: the logarithm; 2: what makes it
    log: u32,
    x: u32,
    out: u32,
    lowest: f32,
}

@group(0) @binding(0) var<uniform> P: Params;
@group(0) @binding(1) var<storage, read> X: array<f32>;
@group(0) @binding(2) var<storage, read_write> OUT: array<f32>;

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
    // a NaN may or may not be the maximum: it reaches every result through the sum
    var top = P.lowest;
    for (var j = 0u; j < P.n * one; j++) { top = max(top, X[P.x + at + j * P.inner]); }
    var sum = 0.0;
    for (var j = 0u; j < P.n * one; j++) { sum += m_exp(X[P.x + at + j * P.inner] - top); }
    let ln = m_log(sum);
    if P.log * one == 2u {
        OUT[P.out + 4u * i] = top;
        OUT[P.out + 4u * i + 1u] = ln;
        return;
    }
    for (var j = 0u; j < P.n * one; j++) {
        let v = X[P.x + at + j * P.inner] - top;
        var y = v - ln;
        if P.log * one == 0u { y = m_exp(v) / sum; }
        OUT[P.out + at + j * P.inner] = y;
    }
}
