// The core of software adapters where both operands are contiguous one way or the other: matmul_wave.wgsl without its loops and
// branches around loads, which cost as much again as the product. Its pipelines differ by how the operands lie.
//
// Declared elsewhere: P, ROWS, OWN (rows that a lane loads), and over the tile's accumulators clear(), multiply(), next_row(); by the
// operands begin(), aim(), put_quad(); a_start(), a_block(), b_start() and b_block() by the table in matmul_whole.rs; begin_beyond() and
// put_beyond() by matmul_beyond.wgsl.

@compute @workgroup_size(8)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    one = groups.z;
    let id = wg.x + wg.y * groups.x;
    if id >= P.tiles { return; }
    let z = id / (P.tiles_x * P.tiles_y);
    let split = z % P.splits;
    let row0 = id / P.tiles_x % P.tiles_y * ROWS;
    let row = row0 + lane * OWN;
    let col = id % P.tiles_x * 32u + lane * 4u;
    begin(z / P.splits, split, row, col);
    let end = min((split + 1u) * P.chunk, P.depth);
    // addresses of what does not change with the depth: nobody else moves them out of the loop
    let first = split * P.chunk;
    let a = a_start(row, first);
    let b = b_start(col, first);
    clear();
    begin_beyond(row0, id % P.tiles_x * 32u, lane);
    for (var k = first; k < end; k += 4u) {
        multiply(a_block(a, k, end), b_block(b, k, end), k, end);
    }
    aim(col);
    let rows = min(ROWS, P.rows - min(row0, P.rows));
    for (var i = 0u; i < rows; i++) {
        put_quad(row0 + i, col, next_row());
    }
    put_beyond(row0, id % P.tiles_x * 32u, lane);
}
