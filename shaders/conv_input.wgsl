// Operands of a convolution's gradient for its input: rows are input channels of a group, columns are input pixels over the
// whole batch, the depth runs over tap and output channel, channels fastest. The batch of the product is the group.

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
    // of the input gradient
    width: u32,
    plane: u32,
    kernel_w: u32,
    taps: u32,
    stride_h: u32,
    stride_w: u32,
    pad_h: u32,
    pad_w: u32,
    dilation_h: u32,
    dilation_w: u32,
    // of the output's gradient
    out_h: u32,
    out_w: u32,
    // output channels of a group; elements of a sample of the output's, between those of the input's
    channels: u32,
    out_sample: u32,
    sample: u32,
    grad: u32,
    weight: u32,
    out: u32,
    // reciprocals for divide()
    per_width: f32,
    per_plane: f32,
    per_kernel_w: f32,
    per_stride_h: f32,
    per_stride_w: f32,
    per_channels: f32,
    // elements of a sample of the result where the depth is split: parts lie [sample][split]
    part: u32,
}

@group(0) @binding(0) var<uniform> P: Params;
@group(0) @binding(1) var<storage, read> GRAD: array<f32>;
@group(0) @binding(2) var<storage, read> W: array<f32>;
@group(0) @binding(3) var<storage, read_write> OUT: array<f32>;

var<private> group: u32;
// of the four pixels: the quotient and remainder of their padded place by the stride, and their sample's gradient
var<private> y_div: vec4<u32>;
var<private> y_mod: vec4<u32>;
var<private> x_div: vec4<u32>;
var<private> x_mod: vec4<u32>;
var<private> grad_at: vec4<u32>;
var<private> out_at: vec4<u32>;
var<private> first: u32;

fn begin(batch: u32, split: u32, row: u32, col: u32) {
    first = P.out + split * P.part;
    group = batch;
    for (var j = 0u; j < 4u * one; j++) {
        let n = divide(col + j, P.plane, P.per_plane);
        let pixel = col + j - n * P.plane;
        let y = divide(pixel, P.width, P.per_width);
        let down = y + P.pad_h;
        let right = pixel - y * P.width + P.pad_w;
        let qy = divide(down, P.stride_h, P.per_stride_h);
        let qx = divide(right, P.stride_w, P.per_stride_w);
        y_div = vec4(y_div.yzw, qy);
        y_mod = vec4(y_mod.yzw, down - qy * P.stride_h);
        x_div = vec4(x_div.yzw, qx);
        x_mod = vec4(x_mod.yzw, right - qx * P.stride_w);
        grad_at = vec4(grad_at.yzw, P.grad + n * P.out_sample + batch * P.channels * P.out_h * P.out_w);
    }
}

fn tap(y: u32, x: u32, at: u32, inside: bool) -> f32 {
    var v = 0.0;
    // what wrapped below 0 is past the end
    if inside && y < P.out_h && x < P.out_w { v = GRAD[at + y * P.out_w + x]; }
    return v;
}

fn b_quad(k: u32, col: u32, i: u32, end: u32) -> vec4<f32> {
    let t = divide(k + i, P.channels, P.per_channels);
    let c = k + i - t * P.channels;
    let ky = divide(t, P.kernel_w, P.per_kernel_w);
    let dy = ky * P.dilation_h;
    let dx = (t - ky * P.kernel_w) * P.dilation_w;
    let qy = divide(dy, P.stride_h, P.per_stride_h);
    let qx = divide(dx, P.stride_w, P.per_stride_w);
    let y = y_div - qy;
    let x = x_div - qx;
    let at = grad_at + c * P.out_h * P.out_w;
    // only where the tap meets the pixel on the stride's grid
    let on = (y_mod == vec4(dy - qy * P.stride_h)) & (x_mod == vec4(dx - qx * P.stride_w));
    let deep = k + i < end;
    return vec4(
        tap(y.x, x.x, at.x, deep && on.x && col < P.cols),
        tap(y.y, x.y, at.y, deep && on.y && col + 1u < P.cols),
        tap(y.z, x.z, at.z, deep && on.z && col + 2u < P.cols),
        tap(y.w, x.w, at.w, deep && on.w && col + 3u < P.cols),
    );
}

fn aim(col: u32) {
    for (var j = 0u; j < 4u * one; j++) {
        let n = divide(col + j, P.plane, P.per_plane);
        out_at = vec4(out_at.yzw, first + n * P.sample + (col + j - n * P.plane));
    }
}
