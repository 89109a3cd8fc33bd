// Max pooling: the largest cell of each window and its flat place in the plane. The first of equal cells wins, a NaN
// wins over all before it, and cells of the padding do not exist.

struct Params {
    n: u32,
    height: u32,
    width: u32,
    out_h: u32,
    out_w: u32,
    kernel_h: u32,
    kernel_w: u32,
    stride_h: u32,
    stride_w: u32,
    pad_h: u32,
    pad_w: u32,
    dilation_h: u32,
    dilation_w: u32,
    x: u32,
    out: u32,
    index: u32,
    per_out_h: f32,
    per_out_w: f32,
    lowest: f32,
}

@group(0) @binding(0) var<uniform> P: Params;
@group(0) @binding(1) var<storage, read> X: array<f32>;
@group(0) @binding(2) var<storage, read_write> OUT: array<f32>;
@group(0) @binding(3) var<storage, read_write> INDEX: array<vec2<u32>>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) t: u32,
) {
    one = groups.z;
    let i = (wg.x + wg.y * groups.x) * 64u + t;
    if i >= P.n { return; }
    let row = divide(i, P.out_w, P.per_out_w);
    let plane = divide(row, P.out_h, P.per_out_h);
    // wrapping below 0, which then is past the end
    let top = (row - plane * P.out_h) * P.stride_h - P.pad_h;
    let left = (i - row * P.out_w) * P.stride_w - P.pad_w;
    let base = P.x + plane * P.height * P.width;
    var best = P.lowest;
    // a window of -inf alone gives its first cell
    var place = 0xffffffffu;
    for (var ky = 0u; ky < P.kernel_h * one; ky++) {
        let y = top + ky * P.dilation_h;
        for (var kx = 0u; kx < P.kernel_w * one; kx++) {
            let x = left + kx * P.dilation_w;
            if y < P.height && x < P.width {
                let at = y * P.width + x;
                let v = X[base + at];
                if v > best || is_nan(v) || place == 0xffffffffu {
                    best = v;
                    place = at;
                }
            }
        }
    }
    OUT[P.out + i] = best;
    INDEX[P.index + i] = vec2(place, 0u);
}
