// Operands of the matrix product by 4x4 blocks, for the core through workgroup memory. No branch stands between the loads of a
// block, so that they are on their way together: what lies outside is the buffer's first quad, replaced by zeros.

fn a_whole(at: u32, inside: bool) -> vec4<f32> {
    return select(vec4<f32>(), quad(A4[select(0u, at, inside)]), inside);
}

fn a_one(at: u32, inside: bool) -> f32 {
    return select(0.0, A[select(0u, at, inside)], inside);
}

// four rows at one depth
fn a_four(at: u32, row: u32, deep: bool) -> vec4<f32> {
    return vec4(
        a_one(at, deep && row < P.rows),
        a_one(at + P.a.row, deep && row + 1u < P.rows),
        a_one(at + 2u * P.a.row, deep && row + 2u < P.rows),
        a_one(at + 3u * P.a.row, deep && row + 3u < P.rows),
    );
}

// rows row .. row + 3 of depths k .. k + 3, by depth
fn a_block(row: u32, k: u32, end: u32) -> Block {
    let at = a_at + row * P.a.row + k * P.a.col;
    if P.a.single * one != 0u {
        return Block(
            a_four(at, row, k < end),
            a_four(at + P.a.col, row, k + 1u < end),
            a_four(at + 2u * P.a.col, row, k + 2u < end),
            a_four(at + 3u * P.a.col, row, k + 3u < end),
        );
    }
    let along = P.a.kind * one != 2u;
    let step = select(P.a.col, P.a.row, along) / 4u;
    // along the depth quads are rows, else depths; the other size is a multiple of four
    let first = select(k, row, along);
    let bound = select(end, P.rows, along);
    let there = select(row < P.rows, k < end, along);
    let b = Block(
        a_whole(at / 4u, there && first < bound),
        a_whole(at / 4u + step, there && first + 1u < bound),
        a_whole(at / 4u + 2u * step, there && first + 2u < bound),
        a_whole(at / 4u + 3u * step, there && first + 3u < bound),
    );
    return turn(b, along);
}

fn b_whole(at: u32, inside: bool) -> vec4<f32> {
    return select(vec4<f32>(), quad(B4[select(0u, at, inside)]), inside);
}

fn b_one(at: u32, inside: bool) -> f32 {
    return select(0.0, B[select(0u, at, inside)], inside);
}

// four columns at one depth
fn b_four(at: u32, col: u32, deep: bool) -> vec4<f32> {
    return vec4(
        b_one(at, deep && col < P.cols),
        b_one(at + P.b.col, deep && col + 1u < P.cols),
        b_one(at + 2u * P.b.col, deep && col + 2u < P.cols),
        b_one(at + 3u * P.b.col, deep && col + 3u < P.cols),
    );
}

// columns col .. col + 3 of depths k .. k + 3, by depth
fn b_block(k: u32, col: u32, end: u32) -> Block {
    let at = b_at + k * P.b.row + col * P.b.col;
    if P.b.single * one != 0u {
        return Block(
            b_four(at, col, k < end),
            b_four(at + P.b.row, col, k + 1u < end),
            b_four(at + 2u * P.b.row, col, k + 2u < end),
            b_four(at + 3u * P.b.row, col, k + 3u < end),
        );
    }
    let along = P.b.kind * one != 2u;
    let step = select(P.b.row, P.b.col, along) / 4u;
    let first = select(k, col, along);
    let bound = select(end, P.cols, along);
    let there = select(col < P.cols, k < end, along);
    let b = Block(
        b_whole(at / 4u, there && first < bound),
        b_whole(at / 4u + step, there && first + 1u < bound),
        b_whole(at / 4u + 2u * step, there && first + 2u < bound),
        b_whole(at / 4u + 3u * step, there && first + 3u < bound),
    );
    return turn(b, along);
}

fn bias_one(at: u32, inside: bool) -> f32 {
    return BIAS[select(P.bias.offset, at, inside)];
}

// what becomes of four neighbours' sums: what lies past the last column is computed but nobody's
fn finished(row: u32, col: u32, v: vec4<f32>) -> vec4<f32> {
    var y = v;
    if ((P.flags * one) & 4u) == 0u { y *= P.alpha; }
    if ((P.flags * one) & 1u) != 0u {
        let inside = (vec4(col) + vec4(0u, 1u, 2u, 3u)) < vec4(P.cols);
        let at = bias_at + row * P.bias.row + col * P.bias.col;
        y += P.beta * vec4(
            bias_one(at, inside.x),
            bias_one(at + P.bias.col, inside.y),
            bias_one(at + 2u * P.bias.col, inside.z),
            bias_one(at + 3u * P.bias.col, inside.w),
        );
    }
    if ((P.flags * one) & 2u) != 0u { y = relu4(y); }
    return y;
}

fn put_quad(row: u32, col: u32, v: vec4<f32>) {
    let y = finished(row, col, v);
    let at = out_at + row * P.cols + col;
    if col < P.cols { OUT[at] = y.x; }
    if col + 1u < P.cols { OUT[at + 1u] = y.y; }
    if col + 2u < P.cols { OUT[at + 2u] = y.z; }
    if col + 3u < P.cols { OUT[at + 3u] = y.w; }
}
