// The gradients of attention's keys and values: 64 keys a workgroup, by tiles of 64 queries, so that nobody else adds to them. A tile of
// scores has the keys in its rows; see attention_query.wgsl for the formulas.
//
// Declared elsewhere: the core of attention_tile.wgsl, exp4(), begin(z), and what goes over an invocation's rows: keep(), weights(),
// slopes(), store(), store_values().

// of four queries
var<private> lse: vec4<f32>;
var<private> mean: vec4<f32>;

// 0: scores of keys and queries; 1: the gradients of weights, of values and of the result's
fn row_quad(which: u32, row: u32, k: u32) -> vec4<f32> {
    if which == 0u { return k_quad(row, k); }
    return v_quad(row, k);
}

fn col_quad(which: u32, col: u32, k: u32) -> vec4<f32> {
    if which == 0u { return q_quad(col, k); }
    return g_quad(col, k);
}

// 0: towards values; 1: towards keys
fn value_quad(which: u32, col: u32, e: u32) -> vec4<f32> {
    if which == 0u { return g_quad(col, e); }
    return q_quad(col, e);
}

fn sum(which: u32, a: u32, b: u32) {
    if which == 0u { v_add(a, b); } else { o_add(a, b); }
}

fn statistic(head: u32, col: u32) -> vec2<f32> {
    return STAT[P.first + head * P.queries + min(col, P.queries - 1u)];
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
    // where it is causal the first keys are met by most queries: they come first
    let row0 = id % P.tiles * 64u;
    let e0 = id / P.tiles % P.blocks * (4u * COLS);
    let z = id / P.tiles / P.blocks;
    let x = tile_x(t);
    let y = tile_y(t);
    o_clear();
    v_clear();
    var start = 0u;
    if P.causal * groups.z != 0u { start = row0; }
    for (var r = 0u; r < P.group * groups.z; r++) {
        let head = z * P.group + r;
        begin(head);
        for (var col0 = start; col0 < P.queries * groups.z; col0 += 64u) {
            let col = col0 + 4u * x;
            let a = statistic(head, col);
            let b = statistic(head, col + 1u);
            let c = statistic(head, col + 2u);
            let d = statistic(head, col + 3u);
            lse = vec4(a.x, b.x, c.x, d.x);
            mean = vec4(a.y, b.y, c.y, d.y);
            let count = min(64u, P.queries - col0);
            scores(0u, t, row0, col0, P.depth * groups.z);
            weights(row0 + 4u * y, col);
            weigh(0u, t, col0, count, e0);
            keep();
            scores(1u, t, row0, col0, P.width * groups.z);
            slopes();
            weigh(1u, t, col0, count, e0);
        }
    }
    store(z * P.keys, row0 + 4u * y, e0 + 4u * x);
    store_values(z * P.keys, row0 + 4u * y, e0 + 4u * x);
}
