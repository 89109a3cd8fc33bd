// Operands of the convolution as a product: rows are output channels, columns are output pixels over the whole batch, the
// depth runs over input channel and tap. The batch of the product is the group.

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
    // elements of a weight quad that are loaded singly: 0 or 4
    single: u32,
    // 1: a bias by channel; 2: relu
    flags: u32,
    height: u32,
    width: u32,
    kernel_h: u32,
    kernel_w: u32,
    stride_h: u32,
    stride_w: u32,
    pad_h: u32,
    pad_w: u32,
    dilation_h: u32,
    dilation_w: u32,
    // columns of an output row, pixels of an output plane
    out_w: u32,
    out_plane: u32,
    // input elements of a sample and of a group of it, elements between samples of the result
    sample: u32,
    group: u32,
    out_sample: u32,
    x: u32,
    weight: u32,
    bias: u32,
    out: u32,
    // reciprocals for divide()
    per_taps: f32,
    per_kernel_w: f32,
    per_out_w: f32,
    per_out_plane: f32,
    // elements of a sample of the result where the depth is split: parts lie [sample][split]
    part: u32,
}

@group(0) @binding(0) var<uniform> P: Params;
@group(0) @binding(1) var<storage, read> X: array<f32>;
@group(0) @binding(2) var<storage, read> W: array<f32>;
@group(0) @binding(3) var<storage, read> W4: array<Quad>;
@group(0) @binding(4) var<storage, read> BIAS: array<f32>;
@group(0) @binding(5) var<storage, read_write> OUT: array<f32>;

var<private> channel0: u32;
var<private> weight_at: u32;
// of the four pixels: where their windows start, in the plane (wrapping below 0) and in memory
var<private> y0: vec4<u32>;
var<private> x0: vec4<u32>;
var<private> x_at: vec4<u32>;
var<private> out_at: vec4<u32>;
var<private> first: u32;

fn begin(batch: u32, split: u32, row: u32, col: u32) {
    first = P.out + split * P.part;
    channel0 = batch * P.rows;
    weight_at = P.weight + channel0 * P.depth;
    for (var j = 0u; j < 4u * one; j++) {
        let n = divide(col + j, P.out_plane, P.per_out_plane);
        let pixel = col + j - n * P.out_plane;
        let y = divide(pixel, P.out_w, P.per_out_w);
        let top = y * P.stride_h - P.pad_h;
        let left = (pixel - y * P.out_w) * P.stride_w - P.pad_w;
        y0 = vec4(y0.yzw, top);
        x0 = vec4(x0.yzw, left);
        x_at = vec4(x_at.yzw, P.x + n * P.sample + batch * P.group + top * P.width + left);
    }
}

fn tap(y: u32, x: u32, at: u32, inside: bool) -> f32 {
    var v = 0.0;
    // what wrapped below 0 is past the end
    if inside && y < P.height && x < P.width { v = X[at]; }
    return v;
}

fn b_quad(k: u32, col: u32, i: u32, end: u32) -> vec4<f32> {
    let channel = divide(k + i, P.kernel_h * P.kernel_w, P.per_taps);
    let t = k + i - channel * P.kernel_h * P.kernel_w;
    let ky = divide(t, P.kernel_w, P.per_kernel_w);
    let dy = ky * P.dilation_h;
    let dx = (t - ky * P.kernel_w) * P.dilation_w;
    let at = x_at + ((channel * P.height + dy) * P.width + dx);
    let y = y0 + dy;
    let x = x0 + dx;
    let deep = k + i < end;
    return vec4(
        tap(y.x, x.x, at.x, deep && col < P.cols),
        tap(y.y, x.y, at.y, deep && col + 1u < P.cols),
        tap(y.z, x.z, at.z, deep && col + 2u < P.cols),
        tap(y.w, x.w, at.w, deep && col + 3u < P.cols),
    );
}

fn aim(col: u32) {
    for (var j = 0u; j < 4u * one; j++) {
        let n = divide(col + j, P.out_plane, P.per_out_plane);
        out_at = vec4(out_at.yzw, first + n * P.out_sample + (col + j - n * P.out_plane));
    }
}
