// What the kernels of attention share: 64 rows by 64 columns of scores in the registers of 128 or 256 invocations, 8 or 4 rows by one
// column quad each as in matmul_tile.wgsl, and the product of such a tile with 64 rows of another operand, by slices of 16 columns.
//
// Declared elsewhere: Block and turn(), COLS (column quads of a result, 16 or 32), ROWS (of an invocation, 8 or 4); over the scores s_clear(), s_add(a, b) and
// s_stash(at); by the operands row_quad(which, row, k), col_quad(which, col, k), value_quad(which, col, e), and sum(which, a, b) of results.

// by depth: [16][16] quads of rows, [16][16 or COLS] quads of columns
var<workgroup> rows_panel: array<vec4<f32>, 256>;
var<workgroup> cols_panel: array<vec4<f32>, 16 * COLS>;

// what is on its way to a panel
var<private> next: Block;

const INVOCATIONS: u32 = 1024u / ROWS;

// where an invocation's rows (y and, of eight, y + 8, in quads) and columns (x) are: of 32 invocations each eight read eight column quads in a
// row, all banks once, and all the same four row quads
fn tile_x(t: u32) -> u32 {
    return t % 8u + t / 32u % 2u * 8u;
}

fn tile_y(t: u32) -> u32 {
    return t / 8u % 4u + t / 64u * 4u;
}

// a block of rows (64 invocations) or of columns (64 others), turned: operands lie along the depth
fn fetch(which: u32, t: u32, row: u32, col: u32, k: u32) {
    var b: Block;
    if t < 64u {
        b = Block(row_quad(which, row, k), row_quad(which, row + 1u, k), row_quad(which, row + 2u, k), row_quad(which, row + 3u, k));
    } else if t < 128u {
        b = Block(col_quad(which, col, k), col_quad(which, col + 1u, k), col_quad(which, col + 2u, k), col_quad(which, col + 3u, k));
    }
    next = turn(b, true);
}

fn stash(t: u32, at: u32) {
    if t < 64u {
        rows_panel[at] = next.x;
        rows_panel[at + 16u] = next.y;
        rows_panel[at + 32u] = next.z;
        rows_panel[at + 48u] = next.w;
    } else if t < 128u {
        cols_panel[at] = next.x;
        cols_panel[at + 16u] = next.y;
        cols_panel[at + 32u] = next.z;
        cols_panel[at + 48u] = next.w;
    }
}

// the products of 64 rows and 64 columns
fn scores(which: u32, t: u32, row0: u32, col0: u32, depth: u32) {
    let quad = t % 16u;
    let deep = t / 16u % 4u * 4u;
    let x = tile_x(t);
    let y = tile_y(t);
    s_clear();
    fetch(which, t, row0 + quad * 4u, col0 + quad * 4u, deep);
    for (var k = 0u; k < depth; k += 16u) {
        // nobody reads the panels of before any more
        workgroupBarrier();
        stash(t, deep * 16u + quad);
        workgroupBarrier();
        if k + 16u < depth { fetch(which, t, row0 + quad * 4u, col0 + quad * 4u, k + 16u + deep); }
        for (var i = 0u; i < 16u; i++) {
            s_add(i * 16u + y, i * 16u + x);
        }
    }
}

// 16 rows of a value from `col` on: neighbours load neighbouring quads
fn value_fetch(which: u32, t: u32, col: u32, e: u32) {
    let step = INVOCATIONS / COLS;
    let row = col + t / COLS;
    let at = e + t % COLS * 4u;
    next.x = value_quad(which, row, at);
    if COLS * ROWS > 64u { next.y = value_quad(which, row + step, at); }
}

fn value_stash(t: u32) {
    cols_panel[t] = next.x;
    if COLS * ROWS > 64u { cols_panel[t + INVOCATIONS] = next.y; }
}

// adds the product of the tile, of which `count` columns from `col0` on are there, and their values from column `e` on
fn weigh(which: u32, t: u32, col0: u32, count: u32, e: u32) {
    let x = tile_x(t);
    let y = tile_y(t);
    value_fetch(which, t, col0, e);
    for (var c = 0u; c < count; c += 16u) {
        workgroupBarrier();
        // the slice's columns are those of a quarter of the invocations
        if x / 4u == c / 16u { s_stash(x % 4u * 64u + y); }
        value_stash(t);
        workgroupBarrier();
        if c + 16u < count { value_fetch(which, t, col0 + c + 16u, e); }
        for (var i = 0u; i < 16u; i++) {
            sum(which, i * 16u + y, i * COLS + x);
        }
    }
}
