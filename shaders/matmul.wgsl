// Operands of the matrix product: two strided matrices in batches, and what happens to a result before it is stored.

struct Matrix {
    offset: u32,
    row: u32,
    col: u32,
    // strides of up to three batch dims, slowest first
    batch0: u32,
    batch1: u32,
    batch2: u32,
    // 1: loaded by quads along the depth; 2: by quads along rows (of a) or columns (of b)
    kind: u32,
    // how many elements of a quad are loaded singly, since it is not aligned or not contiguous: 0 or 4
    single: u32,
}

struct Params {
    rows: u32,
    cols: u32,
    depth: u32,
    chunk: u32,
    splits: u32,
    tiles_x: u32,
    tiles_y: u32,
    tiles: u32,
    a_quads: u32,
    batch1: u32,
    batch2: u32,
    // 1: add beta times bias; 2: relu; 4: a partial sum, stored as it is; 8: stored with rows as columns
    flags: u32,
    alpha: f32,
    beta: f32,
    out: u32,
    // quads of columns of a workgroup, where few rows are multiplied
    quads: u32,
    a: Matrix,
    b: Matrix,
    bias: Matrix,
}

@group(0) @binding(0) var<uniform> P: Params;

var<private> a_at: u32;
var<private> b_at: u32;
var<private> bias_at: u32;
var<private> out_at: u32;

fn begin(batch: u32, split: u32, row: u32, col: u32) {
    let z2 = batch % P.batch2;
    let z1 = batch / P.batch2 % P.batch1;
    let z0 = batch / P.batch2 / P.batch1;
    a_at = P.a.offset + z0 * P.a.batch0 + z1 * P.a.batch1 + z2 * P.a.batch2;
    b_at = P.b.offset + z0 * P.b.batch0 + z1 * P.b.batch1 + z2 * P.b.batch2;
    bias_at = P.bias.offset + z0 * P.bias.batch0 + z1 * P.bias.batch1 + z2 * P.bias.batch2;
    // partial sums lie [batch][split]
    out_at = P.out + (batch * P.splits + split) * P.rows * P.cols;
}
