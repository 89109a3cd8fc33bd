// out[a, j, b] = x[a, index[j], b]: rows of a dim picked by number (a lookup table where a has one place). Words of any dtype.

struct Params {
    n: u32,
    // numbers in the index, words inside the dim, sizes and word strides of x
    count: u32,
    inner: u32,
    size: u32,
    outer_stride: u32,
    stride: u32,
    command: u32,
    x: u32,
    index: u32,
    out: u32,
}

@group(0) @binding(0) var<uniform> P: Params;
@group(0) @binding(1) var<storage, read> X: array<u32>;
@group(0) @binding(2) var<storage, read> INDEX: array<vec2<u32>>;
@group(0) @binding(3) var<storage, read_write> OUT: array<u32>;
@group(0) @binding(4) var<storage, read_write> STATUS: array<atomic<u32>>;

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
    let c = INDEX[P.index + row - a * P.count];
    var v = 0u;
    if c.y != 0u || c.x >= P.size {
        report(P.command, c);
    } else {
        v = X[P.x + a * P.outer_stride + c.x * P.stride + (i - row * P.inner)];
    }
    OUT[P.out + i] = v;
}
