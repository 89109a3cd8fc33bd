// The matrix product where eight lanes run in lock step and a load costs far more than a multiplication: software adapters.
// One subgroup makes a tile of ROWS x 32. Each lane loads the 4x4 blocks of its own rows and columns, and a row's values
// reach the others by broadcast, so that nothing is loaded twice.
//
// Declared elsewhere: P, ROWS, and over the tile's accumulators clear(), multiply(a: Block, b: Block), next_row(); by the operands
// begin(), a_quad(), b_quad(), a_turned(), b_turned(), aim() and put_quad().

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
    let row = row0 + lane * (ROWS / 8u);
    let col = id % P.tiles_x * 32u + lane * 4u;
    begin(z / P.splits, split, row, col);
    let end = min((split + 1u) * P.chunk, P.depth);
    clear();
    for (var k = split * P.chunk; k < end; k += 4u) {
        var a = Block();
        var b = Block();
        // the bounds are parameters so that compilers leave these loops small: their bodies hold all the loads
        for (var i = 0u; i < P.a_quads * one; i++) {
            a = Block(a.y, a.z, a.w, a_quad(row, k, i, end));
        }
        for (var i = 0u; i < 4u * one; i++) {
            b = Block(b.y, b.z, b.w, b_quad(k, col, i, end));
        }
        multiply(turn(a, a_turned()), turn(b, b_turned()));
    }
    aim(col);
    let rows = min(ROWS, P.rows - min(row0, P.rows));
    for (var i = 0u; i < rows; i++) {
        put_quad(row0 + i, col, next_row());
    }
}
