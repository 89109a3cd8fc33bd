// Parameters and bindings of layer normalisation.

struct Params {
    rows: u32,
    n: u32,
    // 1: a weight; 2: a bias
    flags: u32,
    x: u32,
    weight: u32,
    bias: u32,
    out: u32,
    mean: u32,
    rstd: u32,
    eps: f32,
}

@group(0) @binding(0) var<uniform> P: Params;
@group(0) @binding(1) var<storage, read> X: array<f32>;
@group(0) @binding(2) var<storage, read> WEIGHT: array<f32>;
@group(0) @binding(3) var<storage, read> BIAS: array<f32>;
@group(0) @binding(4) var<storage, read_write> OUT: array<f32>;
@group(0) @binding(5) var<storage, read_write> MEAN: array<f32>;
@group(0) @binding(6) var<storage, read_write> RSTD: array<f32>;
