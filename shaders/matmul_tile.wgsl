// The matrix product through workgroup memory: 64 invocations make a tile of 64x64, each 8x8 of it, 16 deep a step.
//
// Declared elsewhere: P and Block; by the operands begin(), a_quad(), b_quad(), a_turned(), b_turned(), aim() and put_quad().

// both panels by depth: [16][16] quads of rows or columns
var<workgroup> a_panel: array<vec4<f32>, 256>;
var<workgroup> b_panel: array<vec4<f32>, 256>;

@compute @workgroup_size(64)
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
    let row0 = id / P.tiles_x % P.tiles_y * 64u;
    let col0 = id % P.tiles_x * 64u;
    // what this invocation loads: one 4x4 block of each panel a step
    let quad = t % 16u;
    let deep = t / 16u * 4u;
    let row = row0 + quad * 4u;
    let col = col0 + quad * 4u;
    begin(z / P.splits, split, row, col);
    let end = min((split + 1u) * P.chunk, P.depth);
    // what it computes: row quads y and y + 8, column quads x and x + 8
    let x = t % 8u;
    let y = t / 8u;
    clear();
    for (var k = split * P.chunk; k < end; k += 16u) {
        var a = Block();
        var b = Block();
        for (var i = 0u; i < 4u * one; i++) {
            a = Block(a.y, a.z, a.w, a_quad(row, k + deep, i, end));
            b = Block(b.y, b.z, b.w, b_quad(k + deep, col, i, end));
        }
        // both lie by depth now
        a = turn(a, !a_turned());
        b = turn(b, b_turned());
        a_panel[deep * 16u + quad] = a.x;
        a_panel[deep * 16u + 16u + quad] = a.y;
        a_panel[deep * 16u + 32u + quad] = a.z;
        a_panel[deep * 16u + 48u + quad] = a.w;
        b_panel[deep * 16u + quad] = b.x;
        b_panel[deep * 16u + 16u + quad] = b.y;
        b_panel[deep * 16u + 32u + quad] = b.z;
        b_panel[deep * 16u + 48u + quad] = b.w;
        workgroupBarrier();
        for (var i = 0u; i < 16u; i++) {
            multiply(a_panel[i * 16u + y], a_panel[i * 16u + y + 8u], b_panel[i * 16u + x], b_panel[i * 16u + x + 8u]);
        }
        workgroupBarrier();
    }
    for (var h = 0u; h < 2u; h++) {
        let c = col0 + (x + h * 8u) * 4u;
        aim(c);
        for (var i = 0u; i < 8u; i++) {
            let r = row0 + (y + i / 4u * 8u) * 4u + i % 4u;
            let v = next_row();
            if r < P.rows { put_quad(r, c, v); }
        }
    }
}
