// The buffers of a product of float32; `Out`, what the result's array is of, is declared elsewhere.

// each operand twice: one pipeline serves aligned and unaligned ones
@group(0) @binding(1) var<storage, read> A: array<f32>;
@group(0) @binding(2) var<storage, read> A4: array<Quad>;
@group(0) @binding(3) var<storage, read> B: array<f32>;
@group(0) @binding(4) var<storage, read> B4: array<Quad>;
@group(0) @binding(5) var<storage, read> BIAS: array<f32>;
@group(0) @binding(6) var<storage, read_write> OUT: array<Out>;
