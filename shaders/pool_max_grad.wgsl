// The gradient of max pooling for any windows: each input cell sums, in order, what the windows over it took from it.

struct Params {
    n: u32,
    height: u32,
    width: u32,
    out_h: u32,
    out_w: u32,
    // last cell of a window, counted from its first
    reach_h: u32,
    reach_w: u32,
    stride_h: u32,
    stride_w: u32,
    pad_h: u32,
    pad_w: u32,
    grad: u32,
    index: u32,
    out: u32,
    per_height: f32,
    per_width: f32,
    per_stride_h: f32,
    per_stride_w: f32,
}

@group(0) @binding(0) var<uniform> P: Params;
@group(0) @binding(1) var<storage, read> GRAD: array<f32>;
@group(0) @binding(2) var<storage, read> INDEX: array<vec2<u32>>;
@group(0) @binding(3) var<storage, read_write> OUT: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) t: u32,
) {
    let i = (wg.x + wg.y * groups.x) * 64u + t;
    if i >= P.n { return; }
    let row = divide(i, P.width, P.per_width);
    let plane = divide(row, P.height, P.per_height);
    let y = row - plane * P.height;
    let x = i - row * P.width;
    let down = y + P.pad_h;
    let right = x + P.pad_w;
    // the windows that can hold this cell; the recorded place says which do
    var y0 = 0u;
    if down > P.reach_h { y0 = divide(down - P.reach_h + P.stride_h - 1u, P.stride_h, P.per_stride_h); }
    var x0 = 0u;
    if right > P.reach_w { x0 = divide(right - P.reach_w + P.stride_w - 1u, P.stride_w, P.per_stride_w); }
    let y1 = min(divide(down, P.stride_h, P.per_stride_h) + 1u, P.out_h);
    let x1 = min(divide(right, P.stride_w, P.per_stride_w) + 1u, P.out_w);
    let place = y * P.width + x;
    var v = 0.0;
    for (var oy = y0; oy < y1; oy++) {
        for (var ox = x0; ox < x1; ox++) {
            let at = (plane * P.out_h + oy) * P.out_w + ox;
            if INDEX[P.index + at].x == place { v += GRAD[P.grad + at]; }
        }
    }
    OUT[P.out + i] = v;
}
