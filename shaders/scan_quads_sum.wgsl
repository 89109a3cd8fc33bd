// The totals of rows' tiles, for scan_quads.wgsl. Declared elsewhere: Quad and quad(), wt_join, wt_join4 and wt_start.

struct Params {
    rows: u32,
    // in fours, as are places
    n: u32,
    tiles: u32,
    x: u32,
    // 1: tiles count from the last element
    back: u32,
}

@group(0) @binding(0) var<uniform> P: Params;
@group(0) @binding(1) var<storage, read> X: array<Quad>;
@group(0) @binding(2) var<storage, read_write> SUMS: array<f32>;

var<workgroup> part: array<f32, 64>;

fn load(row: u32, q: u32) -> vec4<f32> {
    let at = min(q, P.n - 1u);
    let v = quad(X[P.x + row * P.n + select(at, P.n - 1u - at, P.back != 0u)]);
    return select(vec4<f32>(wt_start()), v, q < P.n);
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) t: u32,
) {
    let g = wg.x + wg.y * groups.x;
    if g >= P.rows * P.tiles { return; }
    let row = g / P.tiles;
    let first = (g - row * P.tiles) * 256u + t;
    let low = wt_join4(load(row, first), load(row, first + 64u));
    let v = wt_join4(low, wt_join4(load(row, first + 128u), load(row, first + 192u)));
    var sum = wt_join(wt_join(v.x, v.y), wt_join(v.z, v.w));
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
