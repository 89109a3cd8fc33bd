// Operands of the matrix product by quads, one at a time: for the core of software adapters.

fn a_turned() -> bool { return P.a.kind == 2u; }
fn b_turned() -> bool { return P.b.kind != 2u; }

// quads that lie along the depth are rows row + i; the others hold four rows at depth k + i
fn a_quad(row: u32, k: u32, i: u32, end: u32) -> vec4<f32> {
    var v = vec4<f32>();
    let along = P.a.kind == 2u;
    let r = row + select(i, 0u, along);
    let q = k + select(0u, i, along);
    let at = a_at + r * P.a.row + q * P.a.col;
    if P.a.single * one == 0u && r < P.rows && q < end { v = quad(A4[at / 4u]); }
    for (var j = 0u; j < P.a.single * one; j++) {
        let dr = select(0u, j, along);
        let dq = select(j, 0u, along);
        var x = 0.0;
        if r + dr < P.rows && q + dq < end { x = A[at + dr * P.a.row + dq * P.a.col]; }
        v = vec4(v.yzw, x);
    }
    return v;
}

fn b_quad(k: u32, col: u32, i: u32, end: u32) -> vec4<f32> {
    var v = vec4<f32>();
    let along = P.b.kind == 2u;
    let c = col + select(i, 0u, along);
    let q = k + select(0u, i, along);
    let at = b_at + q * P.b.row + c * P.b.col;
    if P.b.single * one == 0u && c < P.cols && q < end { v = quad(B4[at / 4u]); }
    for (var j = 0u; j < P.b.single * one; j++) {
        let dc = select(0u, j, along);
        let dq = select(j, 0u, along);
        var x = 0.0;
        if c + dc < P.cols && q + dq < end { x = B[at + dc * P.b.col + dq * P.b.row]; }
        v = vec4(v.yzw, x);
    }
    return v;
}
