// The gradient of average pooling: each input cell sums, in order, its share of the windows over it.

@group(0) @binding(0) var<uniform> P: Params;
@group(0) @binding(1) var<storage, read> GRAD: array<f32>;
@group(0) @binding(2) var<storage, read_write> OUT: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) t: u32,
) {
    let i = (wg.x + wg.y * groups.x) * 64u + t;
    if i >= P.n { return; }
    let row = divide(i, P.width, P.per_cols);
    let plane = divide(row, P.height, P.per_rows);
    let down = row - plane * P.height + P.pad_h;
    let right = i - row * P.width + P.pad_w;
    var y0 = 0u;
    if down >= P.kernel_h { y0 = divide(down - P.kernel_h + P.stride_h, P.stride_h, P.per_stride_h); }
    var x0 = 0u;
    if right >= P.kernel_w { x0 = divide(right - P.kernel_w + P.stride_w, P.stride_w, P.per_stride_w); }
    let y1 = min(divide(down, P.stride_h, P.per_stride_h) + 1u, P.out_h);
    let x1 = min(divide(right, P.stride_w, P.per_stride_w) + 1u, P.out_w);
    var v = 0.0;
    for (var oy = y0; oy < y1; oy++) {
        for (var ox = x0; ox < x1; ox++) {
            v += GRAD[P.x + (plane * P.out_h + oy) * P.out_w + ox] / window(oy, ox).divisor;
        }
    }
    OUT[P.out + i] = v;
}
