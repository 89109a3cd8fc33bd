// Matrix products in integers and in 64-bit floats: tiles of 32 x 32, four by four to an invocation, through workgroup memory.
// Declared elsewhere: WtT, WtPair (a factor), wt_zero, wt_mad (c + a b), wt_add, wt_scale and wt_relu.

struct Params {
    rows: u32,
    cols: u32,
    depth: u32,
    tiles_x: u32,
    tiles_y: u32,
    tiles: u32,
    dims: u32,
    // 1: add beta times bias; 2: relu; 4: a's rows are neighbours in memory; 8: b's columns are
    flags: u32,
    a: u32,
    a_row: u32,
    a_col: u32,
    b: u32,
    b_row: u32,
    b_col: u32,
    bias: u32,
    bias_row: u32,
    bias_col: u32,
    out: u32,
    alpha: WtPair,
    beta: WtPair,
    pad0: u32,
    pad1: u32,
    // of the batch, slowest first: sizes, and strides of a, b and the bias
    sizes: array<vec4<u32>, 2>,
    a_batch: array<vec4<u32>, 2>,
    b_batch: array<vec4<u32>, 2>,
    bias_batch: array<vec4<u32>, 2>,
}

@group(0) @binding(0) var<uniform> P: Params;
@group(0) @binding(1) var<storage, read> A: array<WtT>;
@group(0) @binding(2) var<storage, read> B: array<WtT>;
@group(0) @binding(3) var<storage, read> BIAS: array<WtT>;
@group(0) @binding(4) var<storage, read_write> OUT: array<WtT>;

// sixteen steps of the depth, each with its 32 rows or columns
var<workgroup> a_part: array<WtT, 528>;
var<workgroup> b_part: array<WtT, 528>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) t: u32,
) {
    one = groups.z;
    let tile = wg.x + wg.y * groups.x;
    if tile >= P.tiles { return; }
    let batch = tile / P.tiles_x / P.tiles_y;
    let row = tile / P.tiles_x % P.tiles_y * 32u;
    let col = tile % P.tiles_x * 32u;
    var a_at = P.a;
    var b_at = P.b;
    var bias_at = P.bias;
    var rest = batch;
    for (var d = P.dims * one; d > 0u; d--) {
        let size = P.sizes[(d - 1u) / 4u][(d - 1u) % 4u];
        let place = rest % size;
        rest /= size;
        a_at += place * P.a_batch[(d - 1u) / 4u][(d - 1u) % 4u];
        b_at += place * P.b_batch[(d - 1u) / 4u][(d - 1u) % 4u];
        bias_at += place * P.bias_batch[(d - 1u) / 4u][(d - 1u) % 4u];
    }
    var c: array<WtT, 16>;
    for (var k = 0u; k < 16u; k++) { c[k] = wt_zero(); }
    let own_row = t / 8u * 4u;
    let own_col = t % 8u * 4u;
    // the builtin itself: around a barrier a bound has to be seen to be uniform, and a private variable is not
    for (var depth = 0u; depth < P.depth * groups.z; depth += 16u) {
        for (var k = 0u; k < 8u; k++) {
            let i = t + 64u * k;
            // neighbours in memory go to neighbours, each operand in its own way
            let ar = select(i / 16u, i % 32u, (P.flags & 4u) != 0u);
            let ad = select(i % 16u, i / 32u, (P.flags & 4u) != 0u);
            var v = wt_zero();
            if row + ar < P.rows && depth + ad < P.depth {
                v = A[a_at + (row + ar) * P.a_row + (depth + ad) * P.a_col];
            }
            a_part[ad * 33u + ar] = v;
            let bc = select(i / 16u, i % 32u, (P.flags & 8u) != 0u);
            let bd = select(i % 16u, i / 32u, (P.flags & 8u) != 0u);
            v = wt_zero();
            if col + bc < P.cols && depth + bd < P.depth {
                v = B[b_at + (depth + bd) * P.b_row + (col + bc) * P.b_col];
            }
            b_part[bd * 33u + bc] = v;
        }
        workgroupBarrier();
        for (var d = 0u; d < 16u; d++) {
            for (var i = 0u; i < 4u; i++) {
                let x = a_part[d * 33u + own_row + i];
                for (var j = 0u; j < 4u; j++) {
                    c[i * 4u + j] = wt_mad(c[i * 4u + j], x, b_part[d * 33u + own_col + j]);
                }
            }
        }
        workgroupBarrier();
    }
    for (var i = 0u; i < 4u; i++) {
        for (var j = 0u; j < 4u; j++) {
            let r = row + own_row + i;
            let q = col + own_col + j;
            if r < P.rows && q < P.cols {
                var v = wt_scale(P.alpha, c[i * 4u + j]);
                if ((P.flags * one) & 1u) != 0u {
                    v = wt_add(v, wt_scale(P.beta, BIAS[bias_at + r * P.bias_row + q * P.bias_col]));
                }
                if ((P.flags * one) & 2u) != 0u { v = wt_relu(v); }
                OUT[P.out + (batch * P.rows + r) * P.cols + q] = v;
            }
        }
    }
}
