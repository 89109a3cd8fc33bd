// out[a, s, b] = x[a, s, b] joined with source[a, j, b] for all j that point to s, in order. Declared elsewhere: WtT, WtAlpha,
// wt_join (of two), wt_scale (one element, times alpha in sums) and wt_end (of the result and the number of elements in it).

struct Params {
    n: u32,
    // places along the dim, elements inside it, and elements that point
    size: u32,
    inner: u32,
    count: u32,
    x: u32,
    source: u32,
    out: u32,
    // 0: what is there is not a part of what something points to
    keep: u32,
    // a factor's bits, or a factor of 64 bits
    alpha: WtAlpha,
}

@group(0) @binding(0) var<uniform> P: Params;
@group(0) @binding(1) var<storage, read> X: array<WtT>;
@group(0) @binding(2) var<storage, read> SOURCE: array<WtT>;
@group(0) @binding(3) var<storage, read> ORDER: array<u32>;
@group(0) @binding(4) var<storage, read> STARTS: array<u32>;
@group(0) @binding(5) var<storage, read_write> OUT: array<WtT>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) t: u32,
) {
    let i = (wg.x + wg.y * groups.x) * 64u + t;
    if i >= P.n { return; }
    let row = i / P.inner;
    let a = row / P.size;
    let place = row - a * P.size;
    let source = P.source + a * P.count * P.inner + (i - row * P.inner);
    let end = STARTS[place + 1u];
    var j = STARTS[place];
    var v = X[P.x + i];
    // what is out of range comes last, and what fails writes nothing
    if j < end && STARTS[P.size] == P.count {
        let count = end - j + P.keep;
        if P.keep == 0u {
            v = wt_scale(SOURCE[source + ORDER[j] * P.inner]);
            j++;
        }
        // eight loads on their way at a time, joined in order
        for (; j + 8u <= end; j += 8u) {
            let s0 = wt_scale(SOURCE[source + ORDER[j] * P.inner]);
            let s1 = wt_scale(SOURCE[source + ORDER[j + 1u] * P.inner]);
            let s2 = wt_scale(SOURCE[source + ORDER[j + 2u] * P.inner]);
            let s3 = wt_scale(SOURCE[source + ORDER[j + 3u] * P.inner]);
            let s4 = wt_scale(SOURCE[source + ORDER[j + 4u] * P.inner]);
            let s5 = wt_scale(SOURCE[source + ORDER[j + 5u] * P.inner]);
            let s6 = wt_scale(SOURCE[source + ORDER[j + 6u] * P.inner]);
            let s7 = wt_scale(SOURCE[source + ORDER[j + 7u] * P.inner]);
            v = wt_join(wt_join(wt_join(wt_join(v, s0), s1), s2), s3);
            v = wt_join(wt_join(wt_join(wt_join(v, s4), s5), s6), s7);
        }
        for (; j < end; j++) { v = wt_join(v, wt_scale(SOURCE[source + ORDER[j] * P.inner])); }
        v = wt_end(v, count);
    }
    OUT[P.out + i] = v;
}
