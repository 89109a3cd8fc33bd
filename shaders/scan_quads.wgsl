// scan_row.wgsl for float32 in rows that lie by fours: each invocation takes four fours side by side, by name, since an array would
// lie in memory on some drivers. Declared elsewhere: Quad and quad(), wt_join, wt_join4 and wt_start.

struct Params {
    rows: u32,
    // in fours, as are places
    n: u32,
    tiles: u32,
    x: u32,
    out: u32,
    // bit 0: from the last element to the first; bit 1: there is a carry
    flags: u32,
}

@group(0) @binding(0) var<uniform> P: Params;
@group(0) @binding(1) var<storage, read> X: array<Quad>;
@group(0) @binding(2) var<storage, read> CARRY: array<f32>;
@group(0) @binding(3) var<storage, read_write> OUT: array<vec4<f32>>;

// totals of invocations, and of eight of them
var<workgroup> part: array<f32, 64>;
var<workgroup> eights: array<f32, 8>;

fn running(row: u32, q: u32) -> vec4<f32> {
    let back = (P.flags & 1u) != 0u;
    let at = min(q, P.n - 1u);
    var v = quad(X[P.x + row * P.n + select(at, P.n - 1u - at, back)]);
    v = select(vec4<f32>(wt_start()), select(v, v.wzyx, back), q < P.n);
    let pairs = vec4<f32>(v.x, wt_join(v.x, v.y), v.z, wt_join(v.z, v.w));
    return vec4<f32>(pairs.xy, wt_join(pairs.y, pairs.z), wt_join(pairs.y, pairs.w));
}

fn store(row: u32, q: u32, v: vec4<f32>) {
    let back = (P.flags & 1u) != 0u;
    if q < P.n { OUT[P.out + row * P.n + select(q, P.n - 1u - q, back)] = select(v, v.wzyx, back); }
}

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
    let first = tile * 256u + t * 4u;
    let a = running(row, first);
    let b = wt_join4(vec4<f32>(a.w), running(row, first + 1u));
    let c = wt_join4(vec4<f32>(b.w), running(row, first + 2u));
    let d = wt_join4(vec4<f32>(c.w), running(row, first + 3u));
    part[t] = d.w;
    workgroupBarrier();
    // what is before this invocation among its eight
    var before = wt_start();
    for (var k = 0u; k < 7u; k++) {
        before = wt_join(before, select(wt_start(), part[(t & 56u) + k], k < (t & 7u)));
    }
    if (t & 7u) == 7u { eights[t >> 3u] = wt_join(before, d.w); }
    workgroupBarrier();
    var lead = wt_start();
    if ((P.flags * one) & 2u) != 0u && tile > 0u { lead = CARRY[g - 1u]; }
    for (var k = 0u; k < 7u; k++) { lead = wt_join(lead, select(wt_start(), eights[k], k < (t >> 3u))); }
    let base = vec4<f32>(wt_join(lead, before));
    store(row, first, wt_join4(base, a));
    store(row, first + 1u, wt_join4(base, b));
    store(row, first + 2u, wt_join4(base, c));
    store(row, first + 3u, wt_join4(base, d));
}
