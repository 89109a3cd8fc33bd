// Attention: 64 queries a workgroup, by tiles of 64 keys, with the exponentials of a row taken from the greatest score so far (Milakov and
// Gimelshein 2018; as one kernel Dao et al. 2022). Scores are never stored.
//
// Declared elsewhere: the core of attention_tile.wgsl, exp4(), m_log(), begin(z), limit(row, col, ..) and what goes over an invocation's
// rows: tops(), powers(), shrink(), finish(), store().

var<workgroup> part: array<vec4<f32>, 256>;

// of the rows: the greatest score so far, and this invocation's part of the sum of exponentials
var<private> top0: vec4<f32>;
var<private> top1: vec4<f32>;
var<private> total0: vec4<f32>;
var<private> total1: vec4<f32>;

// what is subtracted: where all is masked so far, exponentials of what is masked have to be zeros
fn shift(top: vec4<f32>) -> vec4<f32> {
    return select(top, vec4<f32>(), top <= vec4(LOWEST));
}

fn row_quad(which: u32, row: u32, k: u32) -> vec4<f32> {
    return q_quad(row, k);
}

fn col_quad(which: u32, col: u32, k: u32) -> vec4<f32> {
    return k_quad(col, k);
}

fn value_quad(which: u32, col: u32, e: u32) -> vec4<f32> {
    return v_quad(col, e);
}

fn sum(which: u32, a: u32, b: u32) {
    o_add(a, b);
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
    // a head's tiles follow each other, since they read the same keys; those that reach most keys come first
    let row0 = (P.tiles - 1u - id % P.tiles) * 64u;
    let e0 = id / P.tiles % P.blocks * (4u * COLS);
    let z = id / P.tiles / P.blocks;
    begin(z);
    let x = tile_x(t);
    let y = tile_y(t);
    o_clear();
    top0 = vec4(LOWEST);
    top1 = vec4(LOWEST);
    total0 = vec4<f32>();
    total1 = vec4<f32>();
    var end = P.keys * groups.z;
    if P.causal * groups.z != 0u { end = min(end, row0 + 64u); }
    for (var col0 = 0u; col0 < end; col0 += 64u) {
        scores(0u, t, row0, col0, P.depth * groups.z);
        limit(row0 + 4u * y, col0 + 4u * x);
        // the greatest of rows lie with 16 invocations
        let mine = tops();
        part[16u * x + y] = mine[0];
        if ROWS == 8u { part[16u * x + y + 8u] = mine[1]; }
        workgroupBarrier();
        var now0 = top0;
        var now1 = top1;
        for (var i = 0u; i < 16u; i++) {
            now0 = max(now0, part[16u * i + y]);
            if ROWS == 8u { now1 = max(now1, part[16u * i + y + 8u]); }
        }
        // from the lowest number down nothing is left, whatever comes now
        let by0 = exp4(top0 - shift(now0));
        let by1 = exp4(top1 - shift(now1));
        top0 = now0;
        top1 = now1;
        shrink(by0, by1);
        powers(shift(now0), shift(now1));
        let terms = totals();
        total0 = total0 * by0 + terms[0];
        total1 = total1 * by1 + terms[1];
        weigh(0u, t, col0, min(64u, end - col0), e0);
    }
    part[16u * x + y] = total0;
    if ROWS == 8u { part[16u * x + y + 8u] = total1; }
    workgroupBarrier();
    total0 = vec4<f32>();
    total1 = vec4<f32>();
    for (var i = 0u; i < 16u; i++) {
        total0 += part[16u * i + y];
        if ROWS == 8u { total1 += part[16u * i + y + 8u]; }
    }
    let none0 = total0 == vec4<f32>();
    let none1 = total1 == vec4<f32>();
    shrink(select(1.0 / total0, vec4(P.empty), none0), select(1.0 / total1, vec4(P.empty), none1));
    store(z * P.queries, row0 + 4u * y, e0 + 4u * x);
    // the logarithms of the sums, by one of those that know them
    if e0 == 0u && x == 0u {
        let log0 = vec4(m_log(total0.x), m_log(total0.y), m_log(total0.z), m_log(total0.w));
        let log1 = vec4(m_log(total1.x), m_log(total1.y), m_log(total1.z), m_log(total1.w));
        let sums0 = select(top0 + log0, vec4<f32>(), none0);
        let sums1 = select(top1 + log1, vec4<f32>(), none1);
        for (var i = 0u; i < 4u; i++) {
            let row = row0 + 4u * y + i;
            let at = P.first + z * P.queries + row;
            if row < P.queries { LSE[at] = sums0[i]; }
            if ROWS == 8u && row + 32u < P.queries { LSE[at + 32u] = sums1[i]; }
        }
    }
}
