// Softmax or log-softmax of rows that lanes hold in variables: for software adapters. Declared elsewhere: Quad and quad(), Out,
// SIZE, own_row(), own_lane(), count(), run(), which calls work(), aim(), row_total(), row_max(), and over a lane's quads
// load_v(), largest(), exponentials() (of what it subtracts the maximum from) and finish(), which stores results, or in a quad a
// row what makes logarithms.

struct Params {
    rows: u32,
    // in quads, as are all places; of ragged and of short rows in elements
    n: u32,
    x: u32,
    out: u32,
}

@group(0) @binding(0) var<uniform> P: Params;
@group(0) @binding(1) var<storage, read> X: array<Quad>;
@group(0) @binding(2) var<storage, read_write> OUT: array<Out>;

fn work(row: u32, lane: u32, t: u32) {
    aim(P.out + row * P.n, lane);
    load_v(P.x + row * P.n, lane);
    let m = largest(lane);
    let top = row_max(max(max(m.x, m.y), max(m.z, m.w)), t);
    let s = exponentials(top, lane);
    finish(row, top, lane, row_total((s.x + s.y) + (s.z + s.w), t));
}

@compute @workgroup_size(SIZE)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) t: u32,
) {
    let row = own_row(wg.x + wg.y * groups.x, 1u, t);
    if row >= count(P.rows) { return; }
    run(row, own_lane(t), t);
}
