// The second pass of a product of 16-bit floats whose depth was split: matmul_sum.wgsl by quads, rounded at the end.

@group(0) @binding(1) var<storage, read> PARTS: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> BIAS: array<u32>;
@group(0) @binding(3) var<storage, read_write> OUT: array<vec2<u32>>;

fn bias_one(at: u32) -> f32 {
    return widen_one((BIAS[at / 2u] >> (at % 2u * 16u)) & 65535u);
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) t: u32,
) {
    one = groups.z;
    let i = ((wg.x + wg.y * groups.x) * 64u + t) * 4u;
    if i >= P.n { return; }
    let batch = i / P.size;
    let at = i % P.size;
    let step = P.size / 4u;
    var part = (batch * P.splits * P.size + at) / 4u;
    var v = vec4<f32>();
    for (var s = 0u; s < P.splits * one; s++) {
        v += PARTS[part];
        part += step;
    }
    v *= P.alpha;
    if ((P.flags * one) & 1u) != 0u {
        let z2 = batch % P.batch2;
        let z1 = batch / P.batch2 % P.batch1;
        let z0 = batch / P.batch2 / P.batch1;
        let b = P.bias + z0 * P.bias_batch0 + z1 * P.bias_batch1 + z2 * P.bias_batch2
            + at / P.cols * P.bias_row + at % P.cols * P.bias_col;
        let c = P.bias_col;
        v += P.beta * vec4(bias_one(b), bias_one(b + c), bias_one(b + 2u * c), bias_one(b + 3u * c));
    }
    if ((P.flags * one) & 2u) != 0u { v = relu4(v); }
    OUT[(P.out + i) / 4u] = narrow(v);
}
