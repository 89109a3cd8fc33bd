// The gradient of attention's queries: 64 queries a workgroup, by tiles of 64 keys. Weights are computed again from the logarithms of
// their sums; the gradient of a score is weight * (g @ value - sum of g * result), its factor comes at the end.
//
// Declared elsewhere: the core of attention_tile.wgsl, exp4(), begin(z), and what goes over an invocation's rows: keep(), weights(),
// slopes(), store().

var<private> lse0: vec4<f32>;
var<private> mean0: vec4<f32>;

// 0: scores of queries and keys; 1: the gradients of weights, of the result's and of values
fn row_quad(which: u32, row: u32, k: u32) -> vec4<f32> {
    if which == 0u { return q_quad(row, k); }
    return g_quad(row, k);
}

fn col_quad(which: u32, col: u32, k: u32) -> vec4<f32> {
    if which == 0u { return k_quad(col, k); }
    return v_quad(col, k);
}

fn value_quad(which: u32, col: u32, e: u32) -> vec4<f32> {
    return k_quad(col, e);
}

fn sum(which: u32, a: u32, b: u32) {
    o_add(a, b);
}

fn statistic(z: u32, row: u32) -> vec2<f32> {
    return STAT[P.first + z * P.queries + min(row, P.queries - 1u)];
}

@compute @workgroup_size(INVOCATIONS)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) t: u32,
) {
    one = groups.z;
    let id = wg.x + wg.y * groups.x;
    if id >= P.total { return; }
    let row0 = (P.tiles - 1u - id % P.tiles) * 64u;
    let e0 = id / P.tiles % P.blocks * (4u * COLS);
    let z = id / P.tiles / P.blocks;
    begin(z);
    let x = tile_x(t);
    let y = tile_y(t);
    let row = row0 + 4u * y;
    let a0 = statistic(z, row);
    let a1 = statistic(z, row + 1u);
    let a2 = statistic(z, row + 2u);
    let a3 = statistic(z, row + 3u);
    lse0 = vec4(a0.x, a1.x, a2.x, a3.x);
    mean0 = vec4(a0.y, a1.y, a2.y, a3.y);
    o_clear();
    var end = P.keys * groups.z;
    if P.causal * groups.z != 0u { end = min(end, row0 + 64u); }
    for (var col0 = 0u; col0 < end; col0 += 64u) {
        scores(1u, t, row0, col0, P.width * groups.z);
        keep();
        scores(0u, t, row0, col0, P.depth * groups.z);
        weights(row, col0 + 4u * x);
        slopes();
        weigh(0u, t, col0, min(64u, end - col0), e0);
    }
    store(z * P.queries, row, e0 + 4u * x);
}
