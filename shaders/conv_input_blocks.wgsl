// Operands of the gradient for the input by 4x4 blocks, for the core through workgroup memory: no branch stands between the
// weights' loads.

fn weight_one(at: u32, inside: bool) -> f32 {
    return select(0.0, W[select(0u, at, inside)], inside);
}

// four input channels at one tap and output channel
fn weight_four(row: u32, k: u32, end: u32) -> vec4<f32> {
    let t = divide(k, P.channels, P.per_channels);
    let c = group * P.channels + k - t * P.channels;
    let at = P.weight + (c * P.rows + row) * P.taps + t;
    let deep = k < end;
    return vec4(
        weight_one(at, deep && row < P.rows),
        weight_one(at + P.taps, deep && row + 1u < P.rows),
        weight_one(at + 2u * P.taps, deep && row + 2u < P.rows),
        weight_one(at + 3u * P.taps, deep && row + 3u < P.rows),
    );
}

fn a_block(row: u32, k: u32, end: u32) -> Block {
    return Block(
        weight_four(row, k, end),
        weight_four(row, k + 1u, end),
        weight_four(row, k + 2u, end),
        weight_four(row, k + 3u, end),
    );
}

fn b_block(k: u32, col: u32, end: u32) -> Block {
    return Block(b_quad(k, col, 0u, end), b_quad(k, col, 1u, end), b_quad(k, col, 2u, end), b_quad(k, col, 3u, end));
}

fn put_quad(row: u32, col: u32, v: vec4<f32>) {
    let at = out_at + (group * P.rows + row) * P.plane;
    if col < P.cols { OUT[at.x] = v.x; }
    if col + 1u < P.cols { OUT[at.y] = v.y; }
    if col + 2u < P.cols { OUT[at.z] = v.z; }
    if col + 3u < P.cols { OUT[at.w] = v.w; }
}
