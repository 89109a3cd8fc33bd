// Operands of the convolution by quads, one at a time: for the core of software adapters.

fn a_turned() -> bool { return false; }
fn b_turned() -> bool { return false; }

fn a_quad(row: u32, k: u32, i: u32, end: u32) -> vec4<f32> {
    var v = vec4<f32>();
    let r = row + i;
    let at = weight_at + r * P.depth + k;
    if P.single * one == 0u && r < P.rows && k < end { v = quad(W4[at / 4u]); }
    for (var j = 0u; j < P.single * one; j++) {
        var w = 0.0;
        if r < P.rows && k + j < end { w = W[at + j]; }
        v = vec4(v.yzw, w);
    }
    return v;
}

fn put_quad(row: u32, col: u32, v: vec4<f32>) {
    var x = v;
    var at = out_at + (channel0 + row) * P.out_plane;
    var bias = 0.0;
    if ((P.flags * one) & 1u) != 0u { bias = BIAS[P.bias + channel0 + row]; }
    for (var j = 0u; j < 4u * one; j++) {
        if col + j < P.cols {
            var y = x.x + bias;
            if ((P.flags * one) & 2u) != 0u { y = relu(y); }
            OUT[at.x] = y;
        }
        x = x.yzww;
        at = at.yzww;
    }
}
