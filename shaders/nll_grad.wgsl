// The gradient of the negative log-likelihood for the log-probabilities. Declared elsewhere: target_share().

struct Params {
    n: u32,
    classes: u32,
    inner: u32,
    // 0: none; 1: mean; 2: sum
    reduction: u32,
    // 1: classes have weights
    flags: u32,
    ignore_low: u32,
    ignore_high: u32,
    target_at: u32,
    weight: u32,
    grad: u32,
    total: u32,
    out: u32,
}

@group(0) @binding(0) var<uniform> P: Params;
@group(0) @binding(1) var<storage, read> TARGET: array<vec2<u32>>;
@group(0) @binding(2) var<storage, read> WEIGHT: array<f32>;
@group(0) @binding(3) var<storage, read> GRAD: array<f32>;
@group(0) @binding(4) var<storage, read> TOTAL: array<f32>;
@group(0) @binding(5) var<storage, read_write> OUT: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) t: u32,
) {
    one = groups.z;
    let i = (wg.x + wg.y * groups.x) * 64u + t;
    if i >= P.n { return; }
    let row = i / P.inner;
    let class_at = row % P.classes;
    let at = row / P.classes * P.inner + i % P.inner;
    let c = TARGET[P.target_at + at];
    var v = 0.0;
    if c.x == class_at { v = -target_share(c, at); }
    OUT[P.out + i] = v;
}
