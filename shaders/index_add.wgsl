// out[a, index[j], b] += alpha source[a, j, b]: the first place of each number sums its chain, in order.

struct Params {
    n: u32,
    count: u32,
    inner: u32,
    outer_stride: u32,
    stride: u32,
    source: u32,
    index: u32,
    out: u32,
    alpha: f32,
}

@group(0) @binding(0) var<uniform> P: Params;
@group(0) @binding(1) var<storage, read> SOURCE: array<f32>;
@group(0) @binding(2) var<storage, read> INDEX: array<vec2<u32>>;
@group(0) @binding(3) var<storage, read> CHAIN: array<u32>;
@group(0) @binding(4) var<storage, read_write> OUT: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) t: u32,
) {
    let i = (wg.x + wg.y * groups.x) * 64u + t;
    if i >= P.n { return; }
    let row = i / P.inner;
    let a = row / P.count;
    let j = row - a * P.count;
    var next = CHAIN[j];
    if next >= 0x80000000u { return; }
    let at = P.out + a * P.outer_stride + INDEX[P.index + j].x * P.stride + (i - row * P.inner);
    var v = OUT[at] + P.alpha * SOURCE[P.source + i];
    while next < P.count {
        v += P.alpha * SOURCE[P.source + (a * P.count + next) * P.inner + (i - row * P.inner)];
        next = CHAIN[next] & 0x7fffffffu;
    }
    OUT[at] = v;
}
