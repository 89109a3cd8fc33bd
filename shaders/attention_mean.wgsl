// What both gradients of attention need of a query: the logarithm of its sum of exponentials, and the sum of g * result, which is the mean
// of the weights' gradients. 16 invocations a row.
//
// Declared elsewhere: begin(z).

var<workgroup> part: array<f32, 64>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) t: u32,
) {
    one = groups.z;
    let lane = t % 16u;
    let id = (wg.x + wg.y * groups.x) * 4u + t / 16u;
    var s = 0.0;
    if id < P.total {
        begin(id / P.queries);
        let g = g_at + id % P.queries * P.g.row;
        for (var e = lane; e < P.width * one; e += 16u) {
            s += G[g + e * P.g.col] * RESULT[P.out + id * P.width + e];
        }
    }
    part[t] = s;
    workgroupBarrier();
    if lane == 0u && id < P.total {
        for (var i = 1u; i < 16u; i++) { s += part[t + i]; }
        STAT[P.second + id] = vec2(LSE[P.first + id], s);
    }
}
