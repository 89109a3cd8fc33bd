// out[a, s, b] = source[a, j, b] where j is the last to point to s, and x[a, s, b] where there is none,
// or where one is out of range: what fails writes nothing. Declared elsewhere: WtWord,
// what is moved at once, WT_PER, the elements in it, wt_part and wt_join.

struct Params {
    // words and elements of the result
    units: u32,
    n: u32,
    // places along the dim, elements inside it, and elements that point
    size: u32,
    inner: u32,
    count: u32,
    x: u32,
    source: u32,
    // in words
    out: u32,
    // 0: the source is one element
    step: u32,
}

@group(0) @binding(0) var<uniform> P: Params;
@group(0) @binding(1) var<storage, read> X: array<WtWord>;
@group(0) @binding(2) var<storage, read> SOURCE: array<WtWord>;
@group(0) @binding(3) var<storage, read> LAST: array<u32>;
@group(0) @binding(4) var<storage, read_write> OUT: array<WtWord>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) t: u32,
) {
    let unit = (wg.x + wg.y * groups.x) * 64u + t;
    if unit >= P.units { return; }
    let fails = LAST[P.size] != 0u;
    var word = WtWord();
    for (var e = 0u; e < WT_PER; e++) {
        let i = min(unit * WT_PER + e, P.n - 1u);
        let row = i / P.inner;
        let a = row / P.size;
        let last = LAST[row - a * P.size];
        if last == 0u || fails {
            let at = P.x + i;
            word = wt_join(word, e, wt_part(X[at / WT_PER], at));
        } else {
            let at = P.source + P.step * ((a * P.count + last - 1u) * P.inner + (i - row * P.inner));
            word = wt_join(word, e, wt_part(SOURCE[at / WT_PER], at));
        }
    }
    OUT[P.out + unit] = word;
}
