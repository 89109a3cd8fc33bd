// Layer normalisation of rows that lanes hold in variables: for software adapters. Weight and bias are loaded once for all rows
// that a workgroup takes. Declared elsewhere: Quad and quad(), Out, SIZE, ROWS, UNIT, own_row(), own_lane(), count(), run(),
// which calls work(), aim(), row_total(), row_squares(), and over a lane's quads load_factors(), load_v(), sum_of(), squares()
// (which subtracts the mean) and finish().

struct Params {
    rows: u32,
    // in places of UNIT elements, as are all but those of the statistics
    n: u32,
    // rows one after another
    each: u32,
    x: u32,
    weight: u32,
    bias: u32,
    out: u32,
    mean: u32,
    rstd: u32,
    eps: f32,
}

@group(0) @binding(0) var<uniform> P: Params;
@group(0) @binding(1) var<storage, read> X: array<Quad>;
@group(0) @binding(2) var<storage, read> WEIGHT: array<Quad>;
@group(0) @binding(3) var<storage, read> BIAS: array<Quad>;
@group(0) @binding(4) var<storage, read_write> OUT: array<Out>;
@group(0) @binding(5) var<storage, read_write> MEAN: array<f32>;
@group(0) @binding(6) var<storage, read_write> RSTD: array<f32>;

fn work(row: u32, lane: u32, t: u32) {
    aim(P.out + row * P.n, lane);
    load_v(P.x + row * P.n, lane);
    let s = sum_of(lane);
    let length = f32(UNIT * P.n);
    let mean = row_total((s.x + s.y) + (s.z + s.w), t) / length;
    let q = squares(mean, lane);
    let rstd = 1.0 / sqrt(row_squares((q.x + q.y) + (q.z + q.w), t) / length + P.eps);
    if lane == 0u {
        MEAN[P.mean + row] = mean;
        RSTD[P.rstd + row] = rstd;
    }
    finish(P.out + row * P.n, lane, rstd);
}

@compute @workgroup_size(SIZE)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) t: u32,
) {
    let first = own_row(wg.x + wg.y * groups.x, P.each, t);
    let lane = own_lane(t);
    load_factors(lane);
    let end = min(first + P.each * ROWS, count(P.rows));
    for (var row = first; row < end; row += ROWS) { run(row, lane, t); }
}
