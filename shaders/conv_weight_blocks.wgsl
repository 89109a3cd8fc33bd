// Operands of the gradient for the weight by 4x4 blocks, for the core through workgroup memory: no branch stands between the
// gradient's loads.

fn grads_whole(at: u32, inside: bool) -> vec4<f32> {
    return select(vec4<f32>(), quad(GRAD4[select(0u, at / 4u, inside)]), inside);
}

fn grad_one(at: u32, inside: bool) -> f32 {
    return select(0.0, GRAD[select(0u, at, inside)], inside);
}

fn grad_at(row: u32, k: u32) -> u32 {
    let n = divide(k, P.out_plane, P.per_out_plane);
    return P.grad + n * P.out_sample + (channel0 + row) * P.out_plane + (k - n * P.out_plane);
}

// four output channels at one pixel
fn grad_four(row: u32, k: u32, end: u32) -> vec4<f32> {
    let at = grad_at(row, k);
    let deep = k < end;
    return vec4(
        grad_one(at, deep && row < P.rows),
        grad_one(at + P.out_plane, deep && row + 1u < P.rows),
        grad_one(at + 2u * P.out_plane, deep && row + 2u < P.rows),
        grad_one(at + 3u * P.out_plane, deep && row + 3u < P.rows),
    );
}

fn a_block(row: u32, k: u32, end: u32) -> Block {
    if P.single * one != 0u {
        return Block(
            grad_four(row, k, end),
            grad_four(row, k + 1u, end),
            grad_four(row, k + 2u, end),
            grad_four(row, k + 3u, end),
        );
    }
    // planes are whole quads: four pixels are in one
    let at = grad_at(row, k);
    let deep = k < end;
    let b = Block(
        grads_whole(at, deep && row < P.rows),
        grads_whole(at + P.out_plane, deep && row + 1u < P.rows),
        grads_whole(at + 2u * P.out_plane, deep && row + 2u < P.rows),
        grads_whole(at + 3u * P.out_plane, deep && row + 3u < P.rows),
    );
    return turn(b, true);
}

fn b_block(k: u32, col: u32, end: u32) -> Block {
    return Block(b_quad(k, col, 0u, end), b_quad(k, col, 1u, end), b_quad(k, col, 2u, end), b_quad(k, col, 3u, end));
}

fn put_quad(row: u32, col: u32, v: vec4<f32>) {
    let at = out_at + row * P.cols + col;
    if col < P.cols { OUT[at] = v.x; }
    if col + 1u < P.cols { OUT[at + 1u] = v.y; }
    if col + 2u < P.cols { OUT[at + 2u] = v.z; }
    if col + 3u < P.cols { OUT[at + 3u] = v.w; }
}
