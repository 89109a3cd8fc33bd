// The gradient of a convolution for its weight on software adapters, for stride and dilation 1 along a row: eight lanes take
// quads of output pixels, and keep the sums of every tap of eight output channels with one input channel. What is loaded
// for a quad serves all of them. Each lane's sums are a part of their own: [group][split and lane][row][column].
//
// Declared elsewhere: TAPS, quad(), the rows of X4, and over the accumulators clear(), push_grad(g), add_bias(),
// multiply(plane, top, left, mine), put_row(at, bias).

struct Params {
    // output and input channels of a group; columns of the result, one more than the taps where the bias is asked for
    rows: u32,
    channels: u32,
    cols: u32,
    // quads of output pixels, in all and in a row, and of a part of them
    quads: u32,
    row_quads: u32,
    chunk: u32,
    splits: u32,
    blocks: u32,
    tiles: u32,
    height: u32,
    width: u32,
    out_h: u32,
    out_w: u32,
    stride_h: u32,
    dilation_h: u32,
    pad_h: u32,
    pad_w: u32,
    sample: u32,
    group: u32,
    out_sample: u32,
    x: u32,
    grad: u32,
    per_row_quads: f32,
    per_out_h: f32,
}

@group(0) @binding(0) var<uniform> P: Params;
@group(0) @binding(1) var<storage, read> X4: array<Quad>;
@group(0) @binding(2) var<storage, read> G4: array<Quad>;
@group(0) @binding(3) var<storage, read_write> OUT: array<f32>;

// the elements at, at + 1 .. of which the first `count` are wanted
fn grad_quad(at: u32, count: u32) -> vec4<f32> {
    let place = at / 4u;
    let a = quad(G4[place]);
    var b = vec4<f32>();
    if (at & 3u) + count > 4u { b = quad(G4[place + 1u]); }
    return shifted(a, b, at);
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
    let row0 = id / P.splits % P.blocks * 8u;
    let channel = id / (P.splits * P.blocks) % P.channels;
    let group = id / (P.splits * P.blocks * P.channels);
    let rows = min(8u, P.rows - row0);
    let out_plane = P.out_h * P.out_w;
    let end = min((split + 1u) * P.chunk, P.quads);
    clear();
    for (var q = split * P.chunk + lane; q < end; q += 8u) {
        let line = divide(q, P.row_quads, P.per_row_quads);
        let left = (q - line * P.row_quads) * 4u;
        let n = divide(line, P.out_h, P.per_out_h);
        let top = line - n * P.out_h;
        let count = min(4u, P.out_w - left);
        let mine = (vec4(left) + vec4(0u, 1u, 2u, 3u)) < vec4(P.out_w);
        var at = P.grad + n * P.out_sample + (group * P.rows + row0) * out_plane + top * P.out_w + left;
        // rows past the last hold something that is not stored
        for (var r = 0u; r < 8u * one; r++) {
            push_grad(select(vec4<f32>(), grad_quad(at, count), mine));
            at += select(0u, out_plane, r + 1u < rows);
        }
        add_bias();
        let plane = P.x + n * P.sample + group * P.group + channel * P.height * P.width;
        multiply(plane, top, left, mine);
    }
    let first_row = ((group * P.splits + split) * 8u + lane) * P.rows + row0;
    for (var r = 0u; r < rows; r++) {
        let row = (first_row + r) * P.cols;
        let bias = channel == 0u && P.cols > P.channels * TAPS;
        put_row(row + channel * TAPS, select(0u, row + P.cols - 1u, bias));
    }
}
