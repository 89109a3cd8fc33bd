// How often each digit occurs in each run of a row's pairs: COUNT[row, digit, run]. Declared elsewhere: WT_DIGITS, and the key of a
// pair's first word, wt_key().

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
}

@group(0) @binding(0) var<uniform> P: Params;
// an element or its key, and its position
@group(0) @binding(1) var<storage, read> PAIRS: array<vec2<u32>>;
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
    let row = g / P.runs;
    let run = g - row * P.runs;
    var count: array<u32, WT_DIGITS>;
    let end = row * P.n + min((run + 1u) * P.each, P.n) * one;
    for (var k = row * P.n + run * P.each; k < end; k++) {
        count[((wt_key(PAIRS[k].x) >> P.shift) & P.mask) % WT_DIGITS] += 1u;
    }
    let digits = (P.mask + 1u) * one;
    for (var d = 0u; d < digits; d++) {
        COUNT[(row * digits + d) * P.runs + run] = count[d % WT_DIGITS];
    }
}
