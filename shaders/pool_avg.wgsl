// Average pooling: the sum of each window over its divisor.

@group(0) @binding(0) var<uniform> P: Params;
@group(0) @binding(1) var<storage, read> X: array<f32>;
@group(0) @binding(2) var<storage, read_write> OUT: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) t: u32,
) {
    let i = (wg.x + wg.y * groups.x) * 64u + t;
    if i >= P.n { return; }
    let row = divide(i, P.out_w, P.per_cols);
    let plane = divide(row, P.out_h, P.per_rows);
    let w = window(row - plane * P.out_h, i - row * P.out_w);
    var v = 0.0;
    for (var y = w.y0; y < w.y1; y++) {
        for (var x = w.x0; x < w.x1; x++) {
            v += X[P.x + (plane * P.height + y) * P.width + x];
        }
    }
    // nothing to sum gives 0, as PyTorch has it
    if w.y0 < w.y1 && w.x0 < w.x1 { v /= w.divisor; }
    OUT[P.out + i] = v;
}
