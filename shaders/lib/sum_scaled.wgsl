// Takes back what matmul_scale.wgsl did to a row of the first operand and a column of the second.

@group(0) @binding(4) var<storage, read> ROWS_BACK: array<i32>;
@group(0) @binding(5) var<storage, read> COLS_BACK: array<i32>;

fn as_was(v: f32, batch: u32, at: u32) -> f32 {
    let rows = P.size / P.cols;
    let back = ROWS_BACK[batch * rows + at / P.cols] + COLS_BACK[batch * P.cols + at % P.cols];
    // in two steps of one sign, each of them a normal number: what overflows on the way does at the end
    let half = back / 2;
    return v * bitcast<f32>(u32(127 + half) << 23u) * bitcast<f32>(u32(127 + back - half) << 23u);
}
