// Operands of the gradient for the input by quads, one at a time: for the core of software adapters.

fn a_turned() -> bool { return false; }
fn b_turned() -> bool { return false; }

fn a_quad(row: u32, k: u32, i: u32, end: u32) -> vec4<f32> {
    var v = vec4<f32>();
    let r = row + i;
    for (var j = 0u; j < 4u * one; j++) {
        let t = divide(k + j, P.channels, P.per_channels);
        let c = group * P.channels + k + j - t * P.channels;
        var w = 0.0;
        if r < P.rows && k + j < end { w = W[P.weight + (c * P.rows + r) * P.taps + t]; }
        v = vec4(v.yzw, w);
    }
    return v;
}

fn put_quad(row: u32, col: u32, v: vec4<f32>) {
    var x = v;
    var at = out_at + (group * P.rows + row) * P.plane;
    for (var j = 0u; j < 4u * one; j++) {
        if col + j < P.cols { OUT[at.x] = x.x; }
        x = x.yzww;
        at = at.yzww;
    }
}
