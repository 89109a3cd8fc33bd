// How the cores of software adapters store four neighbours of a product, one by one.

fn put_quad(row: u32, col: u32, v: vec4<f32>) {
    var x = v;
    // no unrolling here either: one store in the code, four times
    for (var j = 0u; j < 4u * one; j++) {
        let c = col + j;
        if c < P.cols {
            var y = x.x;
            if ((P.flags * one) & 4u) == 0u { y *= P.alpha; }
            if ((P.flags * one) & 1u) != 0u { y += P.beta * BIAS[bias_at + row * P.bias.row + c * P.bias.col]; }
            if ((P.flags * one) & 2u) != 0u { y = relu(y); }
            OUT[out_at + select(row * P.cols + c, c * P.rows + row, (P.flags & 8u) != 0u)] = y;
        }
        x = x.yzww;
    }
}
