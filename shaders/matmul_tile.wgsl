// The matrix product through workgroup memory, for GPUs: a tile of SIDE x SIDE quads, each invocation 8 rows by SIDE / 16 column
// quads of it, 16 deep a step. The next step's blocks are on their way to registers while this one's are multiplied.
//
// Declared elsewhere: P, Block and SIDE (16 or 32); over the accumulators clear(), multiply(a, b), next_row(); by the operands begin(),
// a_block(), b_block(), aim() and put_quad(); Raw, a block as memory holds it, settle(), which makes a Block of it, and Lane4, which panels hold.

// both panels by depth: [16][SIDE] quads of rows or columns
var<workgroup> a_panel: array<Lane4, 16 * SIDE>;
var<workgroup> b_panel: array<Lane4, 16 * SIDE>;

// one half of the invocations loads a block of a, the other of b; what is done to it waits until it is needed, or the way from memory
// would be waited for before the multiplications that are to hide it
var<private> next: Raw;

fn fetch(t: u32, row: u32, col: u32, k: u32, end: u32) {
    if t < 4u * SIDE { next = a_block(row, k, end); } else { next = b_block(k, col, end); }
}

fn stash(t: u32, at: u32, k: u32, end: u32) {
    let block = settle(next, k, end, t < 4u * SIDE);
    if t < 4u * SIDE {
        a_panel[at] = Lane4(block.x);
        a_panel[at + SIDE] = Lane4(block.y);
        a_panel[at + 2u * SIDE] = Lane4(block.z);
        a_panel[at + 3u * SIDE] = Lane4(block.w);
    } else {
        b_panel[at] = Lane4(block.x);
        b_panel[at + SIDE] = Lane4(block.y);
        b_panel[at + 2u * SIDE] = Lane4(block.z);
        b_panel[at + 3u * SIDE] = Lane4(block.w);
    }
}

@compute @workgroup_size(8 * SIDE)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) t: u32,
) {
    one = groups.z;
    let id = wg.x + wg.y * groups.x;
    if id >= P.tiles { return; }
    let z = id / (P.tiles_x * P.tiles_y);
    let split = z % P.splits;
    let row0 = id / P.tiles_x % P.tiles_y * (4u * SIDE);
    let col0 = id % P.tiles_x * (4u * SIDE);
    // the block that this invocation loads: neighbours load neighbouring quads
    let quad = t % SIDE;
    let deep = t / SIDE % 4u * 4u;
    let row = row0 + quad * 4u;
    let col = col0 + quad * 4u;
    begin(z / P.splits, split, row, col);
    let end = min((split + 1u) * P.chunk, P.depth);
    // what it computes: row quads y and y + SIDE / 2, column quads x and, in the large tile, x + 16. Of 32 invocations each eight read
    // eight column quads in a row, all banks once, and all the same four row quads
    let x = t % 8u + t / 32u % 2u * 8u;
    let y = t / 8u % 4u + t / 64u * 4u;
    clear();
    fetch(t, row, col, split * P.chunk + deep, end);
    for (var k = split * P.chunk; k < end; k += 16u) {
        // nobody reads the last step's panels any more
        workgroupBarrier();
        stash(t, deep * SIDE + quad, k + deep, end);
        workgroupBarrier();
        if k + 16u < end { fetch(t, row, col, k + 16u + deep, end); }
        for (var i = 0u; i < 16u; i++) {
            multiply(i * SIDE + y, i * SIDE + x);
        }
    }
    for (var h = 0u; h < SIDE / 16u; h++) {
        let c = col0 + (x + h * 16u) * 4u;
        aim(c);
        for (var i = 0u; i < 8u; i++) {
            let r = row0 + (y + i / 4u * (SIDE / 2u)) * 4u + i % 4u;
            let v = next_row();
            if r < P.rows { put_quad(r, c, v); }
        }
    }
}
