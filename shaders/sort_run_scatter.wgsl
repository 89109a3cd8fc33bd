// Moves the pairs of a run to where their digits belong; equal digits keep their order. START has the running sums of
// sort_run_count.wgsl's counts over digits and runs. Declared elsewhere: WT_DIGITS, wt_key(),
// what is written and wt_put(to, pair).

struct Params {
    rows: u32,
    n: u32,
    runs: u32,
    // elements of a run
    each: u32,
    // where the digit's bits are
    shift: u32,
    mask: u32,
    // xor of keys: all bits where the greatest come first
    flip: u32,
    // added to what is not a float, to make the least of its dtype 0
    bias: u32,
    // where the results begin
    values: u32,
    indices: u32,
}

@group(0) @binding(0) var<uniform> P: Params;
// an element or its key, and its position
@group(0) @binding(1) var<storage, read> PAIRS: array<vec2<u32>>;
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
    let row = g / P.runs;
    let run = g - row * P.runs;
    let at = row * P.n;
    // where the next element of each digit goes
    var next: array<u32, WT_DIGITS>;
    let digits = (P.mask + 1u) * one;
    for (var d = 0u; d < digits; d++) {
        let slot = d * P.runs + run;
        let before = START[row * digits * P.runs + max(slot, 1u) - 1u];
        next[d % WT_DIGITS] = at + select(before, 0u, slot == 0u);
    }
    let end = at + min((run + 1u) * P.each, P.n) * one;
    for (var k = at + run * P.each; k < end; k++) {
        let pair = PAIRS[k];
        let d = ((wt_key(pair.x) >> P.shift) & P.mask) % WT_DIGITS;
        let to = next[d];
        next[d] = to + 1u;
        wt_put(to, pair);
    }
}
