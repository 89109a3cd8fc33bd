// How the product on software adapters stores four neighbours at once, where rows of the output begin at whole quads.

// the columns' bias, where all rows have the same
var<private> shared_bias: vec4<f32>;

fn bias_quad(row: u32, col: u32) -> vec4<f32> {
    var v = vec4<f32>();
    for (var j = 0u; j < 4u * one; j++) {
        v = vec4(v.yzw, P.beta * BIAS[bias_at + row * P.bias.row + min(col + j, P.cols - 1u) * P.bias.col]);
    }
    return v;
}

fn aim(col: u32) {
    if ((P.flags * one) & 1u) != 0u { shared_bias = bias_quad(0u, col); }
}

fn put_quad(row: u32, col: u32, v: vec4<f32>) {
    var y = select(v * P.alpha, v, (P.flags & 4u) != 0u);
    if ((P.flags * one) & 1u) != 0u {
        var bias = shared_bias;
        if P.bias.row * one != 0u { bias = bias_quad(row, col); }
        y += bias;
    }
    y = select(y, relu4(y), (P.flags & 2u) != 0u);
    if col < P.cols { OUT[(out_at + row * P.cols + col) / 4u] = pack(y); }
}
