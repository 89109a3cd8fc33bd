// Operands of the convolution by 4x4 blocks, for the core through workgroup memory: no branch stands between the weights' loads.

fn weights_whole(at: u32, inside: bool) -> vec4<f32> {
    return select(vec4<f32>(), quad(W4[select(0u, at / 4u, inside)]), inside);
}

fn weight_one(at: u32, inside: bool) -> f32 {
    return select(0.0, W[select(0u, at, inside)], inside);
}

// four output channels at one depth
fn weight_four(at: u32, row: u32, deep: bool) -> vec4<f32> {
    return vec4(
        weight_one(at, deep && row < P.rows),
        weight_one(at + P.depth, deep && row + 1u < P.rows),
        weight_one(at + 2u * P.depth, deep && row + 2u < P.rows),
        weight_one(at + 3u * P.depth, deep && row + 3u < P.rows),
    );
}

fn a_block(row: u32, k: u32, end: u32) -> Block {
    let at = weight_at + row * P.depth + k;
    if P.single * one != 0u {
        return Block(
            weight_four(at, row, k < end),
            weight_four(at + 1u, row, k + 1u < end),
            weight_four(at + 2u, row, k + 2u < end),
            weight_four(at + 3u, row, k + 3u < end),
        );
    }
    let deep = k < end;
    let b = Block(
        weights_whole(at, deep && row < P.rows),
        weights_whole(at + P.depth, deep && row + 1u < P.rows),
        weights_whole(at + 2u * P.depth, deep && row + 2u < P.rows),
        weights_whole(at + 3u * P.depth, deep && row + 3u < P.rows),
    );
    return turn(b, true);
}

fn b_block(k: u32, col: u32, end: u32) -> Block {
    return Block(b_quad(k, col, 0u, end), b_quad(k, col, 1u, end), b_quad(k, col, 2u, end), b_quad(k, col, 3u, end));
}

fn put_quad(row: u32, col: u32, v: vec4<f32>) {
    let at = out_at + (channel0 + row) * P.out_plane;
    var y = v;
    if ((P.flags * one) & 1u) != 0u { y += vec4(BIAS[P.bias + channel0 + row]); }
    if ((P.flags * one) & 2u) != 0u { y = relu4(y); }
    if col < P.cols { OUT[at.x] = y.x; }
    if col + 1u < P.cols { OUT[at.y] = y.y; }
    if col + 2u < P.cols { OUT[at.z] = y.z; }
    if col + 3u < P.cols { OUT[at.w] = y.w; }
}
