// The gradient of a convolution for its weight on software adapters: eight lanes hold the sums of OWN output channels each with
// CHANNELS input channels, every tap of which is a sum of its own. The depth is walked down columns of the output, PIXELS wide:
// a step loads the gradient of its pixels, and the rows of the input that the step before did not have. An input's pixel
// reaches all lanes by broadcast.
//
// Declared elsewhere: ROWS, OWN, KEPT (rows of the window that a step finds), CHANNELS, PIXELS, TAPS, quad(), shifted(a, b, at); written
// out, since in a loop every sum would be blended with itself at every turn: clear(), next_row() and next_rows() of the window,
// multiply(), put(), put_bias().

struct Params {
    // output and input channels of a group; columns of the result, one more than the weights where the bias is asked for
    rows: u32,
    channels: u32,
    cols: u32,
    // columns of pixels, in all and in a sample; those of a part
    strips: u32,
    row_strips: u32,
    chunk: u32,
    splits: u32,
    tiles_x: u32,
    tiles_y: u32,
    tiles: u32,
    height: u32,
    width: u32,
    out_h: u32,
    out_w: u32,
    stride_h: u32,
    stride_w: u32,
    dilation_h: u32,
    pad_h: u32,
    pad_w: u32,
    sample: u32,
    out_sample: u32,
    x: u32,
    grad: u32,
    // the last quads that hold an element
    x_last: u32,
    grad_last: u32,
    per_row_strips: f32,
}

@group(0) @binding(0) var<uniform> P: Params;
@group(0) @binding(1) var<storage, read> X4: array<Quad>;
@group(0) @binding(2) var<storage, read> G4: array<Quad>;
@group(0) @binding(3) var<storage, read_write> OUT: array<f32>;

const ALONG = vec4<u32>(0u, 1u, 2u, 3u);

// quads of which nothing is taken may lie outside
fn x_quad(place: i32) -> vec4<f32> {
    return quad(X4[clamp(place, 0, i32(P.x_last))]);
}

fn grad_quad(place: u32) -> vec4<f32> {
    return quad(G4[min(place, P.grad_last)]);
}

// those of four that are elements of the row: x may have wrapped below 0
fn inside(v: vec4<f32>, x: u32, width: u32, there: bool) -> vec4<f32> {
    return select(vec4<f32>(), v, (vec4(x) + ALONG) < vec4(select(0u, width, there)));
}

@compute @workgroup_size(8)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    one = groups.z;
    let id = wg.x + wg.y * groups.x;
    if id >= P.tiles { return; }
    let split = id % P.splits;
    let channel0 = id / P.splits % P.tiles_x * CHANNELS;
    let row0 = id / (P.splits * P.tiles_x) % P.tiles_y * ROWS + lane * OWN;
    let group = id / (P.splits * P.tiles_x * P.tiles_y);
    // what lanes past the last channel load is not used
    let base = P.x + (group * P.channels + min(channel0 + lane, P.channels - 1u)) * P.height * P.width;
    let grads = P.grad + group * P.rows * P.out_h * P.out_w;
    let end = min((split + 1u) * P.chunk, P.strips) * one;
    clear();
    for (var i = split * P.chunk; i < end; i++) {
        let n = divide(i, P.row_strips, P.per_row_strips);
        let left = (i - n * P.row_strips) * PIXELS;
        let plane = base + n * P.sample;
        let x = left * P.stride_w - P.pad_w;
        for (var y = 0u; y < KEPT * one; y++) { next_row(plane, y - P.pad_h, x); }
        for (var y = 0u; y < P.out_h * one; y++) {
            next_rows(plane, y * P.stride_h - P.pad_h, x);
            multiply(grads + n * P.out_sample + y * P.out_w + left, row0, left);
        }
    }
    let at = ((group * P.splits + split) * P.rows + row0) * P.cols;
    let channels = min(CHANNELS, P.channels - channel0) * one;
    for (var c = 0u; c < channels; c++) { put(at + (channel0 + c) * TAPS, row0); }
    if channel0 == 0u && P.cols * one > P.channels * TAPS { put_bias(at + P.cols - 1u, row0); }
}
