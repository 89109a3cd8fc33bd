// The product by cooperative matrices: each subgroup makes blocks of several tiles, loaded from memory and stored as partial sums by
// the matrix instructions themselves, so that no workgroup memory and no barrier is between them. Sizes are multiples of a tile.
//
// Not yet run on hardware.
//
// Declared elsewhere: P and its begin(), One (what the matrices are of), TILE, BLOCK_ROWS, BLOCK_COLS, INVOCATIONS, and block(), which
// is written out for each way of lying: the tiles' sums stay in variables of their own.

// the operands a and b: A and B are names of roles in the language
@group(0) @binding(1) var<storage, read> X: array<One>;
@group(0) @binding(2) var<storage, read> Y: array<One>;
@group(0) @binding(3) var<storage, read_write> PARTS: array<f32>;

@compute @workgroup_size(INVOCATIONS)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(num_subgroups) subgroups: u32,
) {
    // however many subgroups a workgroup turns out to have, each takes the blocks that are its own
    let step = groups.x * groups.y * subgroups;
    for (var id = (wg.x + wg.y * groups.x) * subgroups + subgroup; id < P.tiles; id += step) {
        let z = id / (P.tiles_x * P.tiles_y);
        let split = z % P.splits;
        let row = id / P.tiles_x % P.tiles_y * BLOCK_ROWS;
        let col = id % P.tiles_x * BLOCK_COLS;
        begin(z / P.splits, split, row, col);
        block(row, col, split * P.chunk, min((split + 1u) * P.chunk, P.depth));
    }
}
