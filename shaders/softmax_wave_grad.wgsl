// The gradients of softmax and log-softmax of rows that lanes hold in variables: for software adapters. Declared elsewhere: Quad
// and quad(), Out, SIZE, own_row(), own_lane(), count(), run(), which calls work(), aim(), row_total(), and over a lane's quads
// load_y(), load_g(), terms() and finish().

struct Params {
    rows: u32,
    // in quads, as are all places; of ragged and of short rows in elements
    n: u32,
    y: u32,
    grad: u32,
    out: u32,
}

@group(0) @binding(0) var<uniform> P: Params;
@group(0) @binding(1) var<storage, read> Y: array<Quad>;
@group(0) @binding(2) var<storage, read> GRAD: array<Quad>;
@group(0) @binding(3) var<storage, read_write> OUT: array<Out>;

fn work(row: u32, lane: u32, t: u32) {
    aim(P.out + row * P.n, lane);
    load_y(P.y + row * P.n, lane);
    load_g(P.grad + row * P.n, lane);
    let s = terms(lane);
    finish(P.out + row * P.n, lane, row_total((s.x + s.y) + (s.z + s.w), t));
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
