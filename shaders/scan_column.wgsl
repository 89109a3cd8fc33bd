// Running sums or products along a dim, one piece of one line to an invocation: neighbours have neighbouring lines. CARRY has
// the running totals of a line's pieces. Declared elsewhere: WtT and its wt_join, wt_start.

struct Params {
    // invocations
    n: u32,
    inner: u32,
    // of a line: its elements, its pieces, and the elements of a piece
    length: u32,
    pieces: u32,
    each: u32,
    x: u32,
    out: u32,
    // bit 0: from the last element to the first; bit 1: there is a carry
    flags: u32,
}

@group(0) @binding(0) var<uniform> P: Params;
@group(0) @binding(1) var<storage, read> X: array<WtT>;
@group(0) @binding(2) var<storage, read> CARRY: array<WtT>;
@group(0) @binding(3) var<storage, read_write> OUT: array<WtT>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) t: u32,
) {
    one = groups.z;
    let g = (wg.x + wg.y * groups.x) * 64u + t;
    if g >= P.n { return; }
    let i = g % P.inner;
    let piece = g / P.inner % P.pieces;
    let line = g / P.inner / P.pieces * P.length * P.inner + i;
    let end = min((piece + 1u) * P.each, P.length);
    var sum = wt_start();
    if ((P.flags * one) & 2u) != 0u && piece > 0u { sum = CARRY[g - P.inner]; }
    for (var k = piece * P.each; k < end * one; k++) {
        let at = line + select(k, P.length - 1u - k, (P.flags & 1u) != 0u) * P.inner;
        sum = wt_join(sum, X[P.x + at]);
        OUT[P.out + at] = sum;
    }
}
