// Operands of a convolution's gradient for its weight: rows are output channels of a group, columns are input channel and tap,
// and one more column of ones gives the gradient of the bias. The depth runs over output pixels of the whole batch. The
// results are partial sums: [group][split][row][column].

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
    // elements of a gradient quad that are loaded singly: 0 or 4
    single: u32,
    // columns that are weights
    weights: u32,
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
    out_w: u32,
    out_plane: u32,
    // input elements of a sample and of a group of it, output elements of a sample
    sample: u32,
    group: u32,
    out_sample: u32,
    x: u32,
    grad: u32,
    // reciprocals for divide()
    per_taps: f32,
    per_kernel_w: f32,
    per_out_w: f32,
    per_out_plane: f32,
}

@group(0) @binding(0) var<uniform> P: Params;
@group(0) @binding(1) var<storage, read> X: array<f32>;
@group(0) @binding(2) var<storage, read> GRAD: array<f32>;
@group(0) @binding(3) var<storage, read> GRAD4: array<Quad>;
@group(0) @binding(4) var<storage, read_write> OUT: array<f32>;

var<private> channel0: u32;
var<private> out_at: u32;
// of the four columns: the tap's place in the window, and where its channel starts
var<private> dy: vec4<u32>;
var<private> dx: vec4<u32>;
var<private> x_at: vec4<u32>;

fn begin(batch: u32, split: u32, row: u32, col: u32) {
    channel0 = batch * P.rows;
    out_at = (batch * P.splits + split) * P.rows * P.cols;
    for (var j = 0u; j < 4u * one; j++) {
        let channel = divide(col + j, P.kernel_h * P.kernel_w, P.per_taps);
        let t = col + j - channel * P.kernel_h * P.kernel_w;
        let ky = divide(t, P.kernel_w, P.per_kernel_w);
        dy = vec4(dy.yzw, ky * P.dilation_h - P.pad_h);
        dx = vec4(dx.yzw, (t - ky * P.kernel_w) * P.dilation_w - P.pad_w);
        x_at = vec4(x_at.yzw, P.x + batch * P.group + channel * P.height * P.width);
    }
}

fn tap(y: u32, x: u32, at: u32, inside: bool) -> f32 {
    var v = 0.0;
    // what wrapped below 0 is past the end
    if inside && y < P.height && x < P.width { v = X[at + y * P.width + x]; }
    return v;
}

fn b_quad(k: u32, col: u32, i: u32, end: u32) -> vec4<f32> {
    let n = divide(k + i, P.out_plane, P.per_out_plane);
    let pixel = k + i - n * P.out_plane;
    let oy = divide(pixel, P.out_w, P.per_out_w);
    let y = dy + oy * P.stride_h;
    let x = dx + (pixel - oy * P.out_w) * P.stride_w;
    let at = x_at + n * P.sample;
    let deep = k + i < end;
    let v = vec4(
        tap(y.x, x.x, at.x, deep && col < P.weights),
        tap(y.y, x.y, at.y, deep && col + 1u < P.weights),
        tap(y.z, x.z, at.z, deep && col + 2u < P.weights),
        tap(y.w, x.w, at.w, deep && col + 3u < P.weights),
    );
    return select(v, vec4(1.0), vec4(col, col + 1u, col + 2u, col + 3u) == vec4(P.weights));
}

fn aim(col: u32) {}
