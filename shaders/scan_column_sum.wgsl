// The totals of lines' pieces, for scan_column.wgsl. Declared elsewhere: WtT and its wt_join, wt_start.

struct Params {
    // invocations
    n: u32,
    inner: u32,
    // of a line: its elements, its pieces, and the elements of a piece
    length: u32,
    pieces: u32,
    each: u32,
    x: u32,
    // 1: pieces count from the last element
    back: u32,
}

@group(0) @binding(0) var<uniform> P: Params;
@group(0) @binding(1) var<storage, read> X: array<WtT>;
@group(0) @binding(2) var<storage, read_write> SUMS: array<WtT>;

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
    let line = P.x + g / P.inner / P.pieces * P.length * P.inner + i;
    let end = min((piece + 1u) * P.each, P.length);
    var sum = wt_start();
    for (var k = piece * P.each; k < end * one; k++) {
        sum = wt_join(sum, X[line + select(k, P.length - 1u - k, P.back != 0u) * P.inner]);
    }
    SUMS[g] = sum;
}
