// Convolution for software adapters, for stride and dilation 1 along a row: eight lanes take eight pixels of a row each, and
// ROWS (8 or 16) output channels between them. A tap's inputs are the last tap's moved by one pixel, so that a row of taps loads
// its pixels once, by quads. A row's weights reach all lanes by broadcast. With the weights' strides turned round
// it is the gradient for the input, too.
//
// Declared elsewhere: the rows of X4; ROWS; over the accumulators clear() and next_quad(); Unit, UNIT and unit(v: vec4, i), the
// neighbours that are stored at once; window(), which multiplies a channel's window, its taps written out: in a loop every
// accumulator would be blended with itself at every turn, which costs as much as a tap.

struct Params {
    // output channels of a group; octets of pixels, in all and in a row; octets divided among subgroups
    rows: u32,
    octets: u32,
    row_octets: u32,
    tiles_x: u32,
    tiles_y: u32,
    tiles: u32,
    // 1: a bias by channel; 2: relu
    flags: u32,
    // of a group
    channels: u32,
    height: u32,
    width: u32,
    stride_h: u32,
    dilation_h: u32,
    pad_h: u32,
    pad_w: u32,
    out_h: u32,
    out_w: u32,
    sample: u32,
    out_sample: u32,
    x: u32,
    // of the first tap; strides may go backwards, by wrapping
    weight: u32,
    weight_group: u32,
    weight_row: u32,
    weight_channel: u32,
    weight_y: u32,
    weight_x: u32,
    bias: u32,
    out: u32,
    per_row_octets: f32,
    per_out_h: f32,
}

@group(0) @binding(0) var<uniform> P: Params;
@group(0) @binding(1) var<storage, read> X4: array<Quad>;
@group(0) @binding(2) var<storage, read> W: array<f32>;
@group(0) @binding(3) var<storage, read> BIAS: array<f32>;
@group(0) @binding(4) var<storage, read_write> OUT: array<Unit>;

// those of a lane's rows; what rows past the last make is not stored
fn weights(row: u32, at: u32) -> vec2<f32> {
    var w = vec2(W[at + min(row, P.rows - 1u) * P.weight_row], 0.0);
    if ROWS > 8u { w.y = W[at + min(row + 1u, P.rows - 1u) * P.weight_row]; }
    return w;
}

// four pixels from x = left on, of those that are there
fn put_quad(at: u32, left: u32, v: vec4<f32>, bias: f32, mine: bool) {
    let y = v + bias;
    let z = select(y, relu4(y), (P.flags & 2u) != 0u);
    for (var j = 0u; j < 4u; j += UNIT) {
        if mine && left + j < P.out_w { OUT[(at + j) / UNIT] = unit(z, j); }
    }
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
    let group = id / (P.tiles_x * P.tiles_y);
    let row0 = id / P.tiles_x % P.tiles_y * ROWS;
    let row = row0 + lane * (ROWS / 8u);
    let octet = id % P.tiles_x * 8u + lane;
    let line = divide(octet, P.row_octets, P.per_row_octets);
    let left = (octet - line * P.row_octets) * 8u;
    let n = divide(line, P.out_h, P.per_out_h);
    let top = line - n * P.out_h;
    let mine = octet < P.octets;
    clear();
    for (var c = 0u; c < P.channels * one; c++) {
        let plane = P.x + n * P.sample + (group * P.channels + c) * P.height * P.width;
        // all places wrap below 0, and then are past the end
        window(plane, P.weight + group * P.weight_group + c * P.weight_channel, row, top, left - P.pad_w, mine);
    }
    let plane = P.out_h * P.out_w;
    let at = P.out + n * P.out_sample + (group * P.rows + row0) * plane + top * P.out_w + left;
    let rows = min(ROWS, P.rows - min(row0, P.rows));
    for (var i = 0u; i < rows; i++) {
        var bias = 0.0;
        if ((P.flags * one) & 1u) != 0u { bias = BIAS[P.bias + group * P.rows + row0 + i]; }
        let low = next_quad();
        let high = next_quad();
        put_quad(at + i * plane, left, low, bias, mine);
        put_quad(at + i * plane + 4u, left + 4u, high, bias, mine);
    }
}
