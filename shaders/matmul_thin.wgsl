// The product of few rows by a matrix, for GPUs: bound by reading the matrix, which is read once and goes through no workgroup memory. A
// workgroup is P.quads quads of columns by as many slices of the depth as make 128 invocations, each of which takes 4x4 blocks of the
// matrix. Neighbours take what is next in memory: columns, or the depth where that is contiguous. A tree adds up the slices.
//
// Declared elsewhere: P, HELD (rows that are added up at a time), over the accumulators clear(), multiply(k, b, end), keep(t), which
// stores the first HELD of them in sums[] and moves the rest up; by the operands begin(), a_row(), a_block(), b_block(), finished().

const SIZE: u32 = 128u;

var<workgroup> sums: array<vec4<f32>, SIZE * HELD>;

// four depths of one row
fn a_row(row: u32, k: u32, end: u32) -> vec4<f32> {
    let r = min(row, P.rows - 1u);
    let at = a_at + r * P.a.row + k * P.a.col;
    if P.a.single * one == 0u { return a_whole(at / 4u, k < end); }
    return vec4(
        a_one(at, k < end),
        a_one(at + P.a.col, k + 1u < end),
        a_one(at + 2u * P.a.col, k + 2u < end),
        a_one(at + 3u * P.a.col, k + 3u < end),
    );
}

@compute @workgroup_size(SIZE)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) t: u32,
) {
    one = groups.z;
    let id = wg.x + wg.y * groups.x;
    if id >= P.tiles { return; }
    let z = id / P.tiles_x;
    let split = z % P.splits;
    // both are powers of two
    let quads = P.quads;
    let slices = SIZE / quads;
    let deep = P.b.kind == 1u;
    let quad = select(t % quads, t / slices, deep);
    let slice = select(t / quads, t % slices, deep);
    let col0 = id % P.tiles_x * (4u * quads);
    let col = col0 + quad * 4u;
    begin(z / P.splits, split, 0u, col);
    let end = min((split + 1u) * P.chunk, P.depth);
    clear();
    for (var k = split * P.chunk + 4u * slice; k < end; k += 4u * slices) {
        multiply(k, b_block(k, col, end), end);
    }
    for (var first = 0u; first < ROWS * groups.z; first += HELD) {
        // nobody reads the last rows' sums any more
        workgroupBarrier();
        keep(slice * quads + quad);
        // the builtin itself: around a barrier a bound has to be seen to be uniform, and a private variable is not
        for (var half = SIZE / 2u / P.quads * groups.z; half > 0u; half /= 2u) {
            workgroupBarrier();
            if slice < half {
                for (var r = 0u; r < HELD; r++) {
                    let at = r * SIZE + slice * quads + quad;
                    sums[at] += sums[at + half * quads];
                }
            }
        }
        workgroupBarrier();
        // an invocation for each row and quad; quads are at most SIZE, rows HELD: some take several
        for (var i = t; i < HELD * quads; i += SIZE) {
            let row = first + i / quads;
            let c = col0 + i % quads * 4u;
            if row < P.rows && c < P.cols { put_either(row, c, sums[i / quads * SIZE + i % quads]); }
        }
    }
}

// a row's quad, where the few rows may be the columns of what is written
fn put_either(row: u32, col: u32, v: vec4<f32>) {
    let turned = (P.flags & 8u) != 0u;
    let step = select(1u, P.rows, turned);
    let at = out_at + select(row * P.cols + col, col * P.rows + row, turned);
    let y = finished(row, col, v);
    OUT[at] = y.x;
    if col + 1u < P.cols { OUT[at + step] = y.y; }
    if col + 2u < P.cols { OUT[at + 2u * step] = y.z; }
    if col + 3u < P.cols { OUT[at + 3u * step] = y.w; }
}
