// The second pass of a product whose depth was split: sums the parts in order, and finishes as the first pass would have.
// as_was(), what was done to the operands before, taken back, is declared elsewhere.

@group(0) @binding(1) var<storage, read> PARTS: array<f32>;
@group(0) @binding(2) var<storage, read> BIAS: array<f32>;
@group(0) @binding(3) var<storage, read_write> OUT: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) t: u32,
) {
    one = groups.z;
    let i = (wg.x + wg.y * groups.x) * 64u + t;
    if i >= P.n { return; }
    let batch = i / P.size;
    let at = i % P.size;
    var v = 0.0;
    var part = batch * P.splits * P.size + at;
    var s = 0u;
    // four loads at a time on their way
    for (; s + 4u <= P.splits * one; s += 4u) {
        let p0 = PARTS[part];
        let p1 = PARTS[part + P.size];
        let p2 = PARTS[part + 2u * P.size];
        let p3 = PARTS[part + 3u * P.size];
        v = (((v + p0) + p1) + p2) + p3;
        part += 4u * P.size;
    }
    for (; s < P.splits * one; s++) {
        v += PARTS[part];
        part += P.size;
    }
    v = as_was(v, batch, at) * P.alpha;
    if ((P.flags * one) & 1u) != 0u {
        let z2 = batch % P.batch2;
        let z1 = batch / P.batch2 % P.batch1;
        let z0 = batch / P.batch2 / P.batch1;
        let b = P.bias + z0 * P.bias_batch0 + z1 * P.bias_batch1 + z2 * P.bias_batch2;
        v += P.beta * BIAS[b + at / P.cols * P.bias_row + at % P.cols * P.bias_col];
    }
    if ((P.flags * one) & 2u) != 0u { v = relu(v); }
    OUT[P.out + i] = v;
}
