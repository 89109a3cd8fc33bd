// The second pass of a weight gradient: sums the parts in order. The last column of a row is the bias's gradient.

struct Params {
    n: u32,
    splits: u32,
    // elements of a group's result; columns with and without the bias's
    size: u32,
    cols: u32,
    weights: u32,
    weight: u32,
    bias: u32,
}

@group(0) @binding(0) var<uniform> P: Params;
@group(0) @binding(1) var<storage, read> PARTS: array<f32>;
@group(0) @binding(2) var<storage, read_write> WEIGHT: array<f32>;
@group(0) @binding(3) var<storage, read_write> BIAS: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) t: u32,
) {
    one = groups.z;
    let i = (wg.x + wg.y * groups.x) * 64u + t;
    if i >= P.n { return; }
    let group = i / P.size;
    var v = 0.0;
    var part = group * P.splits * P.size + i % P.size;
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
    // rows of all groups follow each other
    let row = i / P.cols;
    let col = i % P.cols;
    if col < P.weights {
        WEIGHT[P.weight + row * P.weights + col] = v;
    } else {
        BIAS[P.bias + row] = v;
    }
}
