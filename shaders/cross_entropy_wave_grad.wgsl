// The gradient of a cross entropy for its logits, of rows that lanes hold in variables: for software adapters. Declared
// elsewhere: P, position(), Quad and quad(), Out, SIZE, own_row(), own_lane(), count(), run(), which calls work(), aim(), and
// over a lane's quads load_y() and finish(), which stores slope().

@group(0) @binding(6) var<storage, read> Y: array<Quad>;
@group(0) @binding(7) var<storage, read_write> OUT: array<Out>;

fn slope(y: vec4<f32>, first: u32, p: Position) -> vec4<f32> {
    let hit = vec4<u32>(first) + vec4<u32>(0u, 1u, 2u, 3u) == vec4<u32>(p.class_at);
    return exp4(y - p.top - p.ln) * p.share - select(vec4<f32>(), vec4<f32>(p.share), hit);
}

fn work(row: u32, lane: u32, t: u32) {
    aim(P.out + row * P.n, lane);
    load_y(P.y + row * P.n, lane);
    finish(P.out + row * P.n, lane, position(row));
}

@compute @workgroup_size(SIZE)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) t: u32,
) {
    one = groups.z;
    let row = own_row(wg.x + wg.y * groups.x, 1u, t);
    if row >= count(P.rows) { return; }
    run(row, own_lane(t), t);
}
