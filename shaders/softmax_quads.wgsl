// Softmax and log-softmax of rows that a workgroup holds in its registers, up to four times four elements to an invocation:
// one reading, and one exponential an element. Declared elsewhere: Quad and quad(), row_total, row_max.

struct Params {
    rows: u32,
    // in fours, as are all places
    n: u32,
    // 1: the logarithm; 2: what makes it, a quad a row
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
    let log = P.log * one == 1u;
    // by name: an array would lie in memory on some drivers
    let lowest = vec4<f32>(P.lowest);
    var a = lowest;
    var b = lowest;
    var c = lowest;
    var d = lowest;
    if t < n { a = quad(X[P.x + at + t]); }
    if t + 64u < n { b = quad(X[P.x + at + t + 64u]); }
    if t + 128u < n { c = quad(X[P.x + at + t + 128u]); }
    if t + 192u < n { d = quad(X[P.x + at + t + 192u]); }
    let m = max(max(a, b), max(c, d));
    let top = row_max(max(max(m.x, m.y), max(m.z, m.w)), t);
    a -= top;
    b -= top;
    c -= top;
    d -= top;
    let ea = exp4(a);
    let eb = exp4(b);
    let ec = exp4(c);
    let ed = exp4(d);
    // places past the end are exponentials of minus infinity, or NaN where all are that
    let none = vec4<f32>();
    let s = (select(none, ea, t < n) + select(none, eb, t + 64u < n)) + (select(none, ec, t + 128u < n) + select(none, ed, t + 192u < n));
    let sum = row_total((s.x + s.y) + (s.z + s.w), t);
    let ln = m_log(sum);
    if P.log * one == 2u {
        if t == 0u { OUT[P.out + row] = vec4<f32>(top, ln, 0.0, 0.0); }
        return;
    }
    let out = P.out + at + t;
    if t < n { OUT[out] = select(ea / sum, a - ln, log); }
    if t + 64u < n { OUT[out + 64u] = select(eb / sum, b - ln, log); }
    if t + 128u < n { OUT[out + 128u] = select(ec / sum, c - ln, log); }
    if t + 192u < n { OUT[out + 192u] = select(ed / sum, d - ln, log); }
}
