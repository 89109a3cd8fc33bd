// Moves the pairs of a run to where their digits belong; equal digits keep their order. START has the running sums of
// sort_run_count.wgsl's counts over digits and runs. Declared elsewhere: sort_run.wgsl, what is written and wt_put(to, pair).

@group(0) @binding(2) var<storage, read> START: array<u32>;

@compute @workgroup_size(8)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) t: u32,
) {
    one = groups.z;
    let g = (wg.x + wg.y * groups.x) * 8u + t;
    if g >= P.rows * P.runs { return; }
    let run = run_of(g);
    // where the next element of each digit goes
    var next: array<u32, WT_DIGITS>;
    for (var d = 0u; d < digits(); d++) {
        let slot = d * P.runs + run.place;
        let before = START[run.row * digits() * P.runs + max(slot, 1u) - 1u];
        next[d % WT_DIGITS] = run.row * P.n + select(before, 0u, slot == 0u);
    }
    for (var k = run.first; k < run.end; k++) {
        let pair = PAIRS[k];
        let d = digit(pair);
        let to = next[d];
        next[d] = to + 1u;
        wt_put(to, pair);
    }
}
