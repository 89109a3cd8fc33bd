// How often each digit occurs in each run of a row's pairs: COUNT[row, digit, run]. Declared elsewhere: sort_run.wgsl.

@group(0) @binding(2) var<storage, read_write> COUNT: array<u32>;

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
    var count: array<u32, WT_DIGITS>;
    for (var k = run.first; k < run.end; k++) { count[digit(PAIRS[k])] += 1u; }
    for (var d = 0u; d < digits(); d++) {
        COUNT[(run.row * digits() + d) * P.runs + run.place] = count[d % WT_DIGITS];
    }
}
