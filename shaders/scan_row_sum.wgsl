// The totals of rows' tiles, for scan_row.wgsl. Declared elsewhere: WtT and its wt_join, wt_start; WT_EACH, WT_TILE.

struct Params {
    rows: u32,
    n: u32,
    tiles: u32,
    x: u32,
    // 1: tiles count from the last element
    back: u32,
}

@group(0) @binding(0) var<uniform> P: Params;
@group(0) @binding(1) var<storage, read> X: array<WtT>;
@group(0) @binding(2) var<storage, read_write> SUMS: array<WtT>;

var<workgroup> part: array<WtT, 64>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) t: u32,
) {
    let g = wg.x + wg.y * groups.x;
    if g >= P.rows * P.tiles { return; }
    let row = g / P.tiles;
    let first = (g - row * P.tiles) * WT_TILE;
    var sum = wt_start();
    for (var k = 0u; k < WT_EACH; k++) {
        let p = first + k * 64u + t;
        let q = min(p, P.n - 1u);
        let v = X[P.x + row * P.n + select(q, P.n - 1u - q, P.back != 0u)];
        if p < P.n { sum = wt_join(sum, v); }
    }
    part[t] = sum;
    workgroupBarrier();
    if t < 8u {
        for (var k = 1u; k < 8u; k++) { sum = wt_join(sum, part[t + 8u * k]); }
        part[t] = sum;
    }
    workgroupBarrier();
    if t == 0u {
        for (var k = 1u; k < 8u; k++) { sum = wt_join(sum, part[k]); }
        SUMS[g] = sum;
    }
}
