// The parameters of the second pass of a product whose depth was split.

struct Params {
    n: u32,
    splits: u32,
    // elements of one batch's result
    size: u32,
    cols: u32,
    batch1: u32,
    batch2: u32,
    bias: u32,
    bias_row: u32,
    bias_col: u32,
    bias_batch0: u32,
    bias_batch1: u32,
    bias_batch2: u32,
    flags: u32,
    alpha: f32,
    beta: f32,
    out: u32,
}

@group(0) @binding(0) var<uniform> P: Params;
