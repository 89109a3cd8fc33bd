// Operands of the gradient for the weight by quads, one at a time: for the core of software adapters.

fn a_turned() -> bool { return false; }
fn b_turned() -> bool { return false; }

fn a_quad(row: u32, k: u32, i: u32, end: u32) -> vec4<f32> {
    var v = vec4<f32>();
    let r = row + i;
    let n = divide(k, P.out_plane, P.per_out_plane);
    let at = P.grad + n * P.out_sample + (channel0 + r) * P.out_plane + (k - n * P.out_plane);
    if P.single * one == 0u && r < P.rows && k < end { v = quad(GRAD4[at / 4u]); }
    for (var j = 0u; j < P.single * one; j++) {
        let m = divide(k + j, P.out_plane, P.per_out_plane);
        var g = 0.0;
        if r < P.rows && k + j < end {
            g = GRAD[P.grad + m * P.out_sample + (channel0 + r) * P.out_plane + (k + j - m * P.out_plane)];
        }
        v = vec4(v.yzw, g);
    }
    return v;
}

fn put_quad(row: u32, col: u32, v: vec4<f32>) {
    var x = v;
    for (var j = 0u; j < 4u * one; j++) {
        if col + j < P.cols { OUT[out_at + row * P.cols + col + j] = x.x; }
        x = x.yzww;
    }
}
