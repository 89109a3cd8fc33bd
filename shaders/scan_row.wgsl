// Running sums or products of rows, in tiles of WT_TILE elements: each invocation takes WT_EACH neighbours, a workgroup a tile.
// CARRY has the running totals of a row's tiles. Declared elsewhere: WtT and its wt_join, wt_start; WT_EACH, WT_TILE.

struct Params {
    rows: u32,
    n: u32,
    tiles: u32,
    x: u32,
    out: u32,
    // bit 0: from the last element to the first; bit 1: there is a carry
    flags: u32,
}

@group(0) @binding(0) var<uniform> P: Params;
@group(0) @binding(1) var<storage, read> X: array<WtT>;
@group(0) @binding(2) var<storage, read> CARRY: array<WtT>;
@group(0) @binding(3) var<storage, read_write> OUT: array<WtT>;

// totals of invocations, and of eight of them
var<workgroup> part: array<WtT, 64>;
var<workgroup> eights: array<WtT, 8>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) t: u32,
) {
    one = groups.z;
    let g = wg.x + wg.y * groups.x;
    if g >= P.rows * P.tiles { return; }
    let row = g / P.tiles;
    let tile = g - row * P.tiles;
    let back = (P.flags & 1u) != 0u;
    let first = tile * WT_TILE + t * WT_EACH;
    var v: array<WtT, WT_EACH>;
    var sum = wt_start();
    for (var k = 0u; k < WT_EACH; k++) {
        let p = min(first + k, P.n - 1u);
        v[k] = X[P.x + row * P.n + select(p, P.n - 1u - p, back)];
        if first + k < P.n { sum = wt_join(sum, v[k]); }
        v[k] = sum;
    }
    part[t] = sum;
    workgroupBarrier();
    // what is before this invocation among its eight
    var before = wt_start();
    for (var k = 0u; k < 7u; k++) {
        if k < (t & 7u) { before = wt_join(before, part[(t & 56u) + k]); }
    }
    if (t & 7u) == 7u { eights[t >> 3u] = wt_join(before, sum); }
    workgroupBarrier();
    var lead = wt_start();
    if ((P.flags * one) & 2u) != 0u && tile > 0u { lead = CARRY[g - 1u]; }
    for (var k = 0u; k < 7u; k++) {
        if k < (t >> 3u) { lead = wt_join(lead, eights[k]); }
    }
    before = wt_join(lead, before);
    for (var k = 0u; k < WT_EACH; k++) {
        let p = first + k;
        if p < P.n { OUT[P.out + row * P.n + select(p, P.n - 1u - p, back)] = wt_join(before, v[k]); }
    }
}
