// The negative log-likelihood of targets: [batch, classes, inner] of log-probabilities, one target each. One loss an element,
// or all of them summed by one workgroup, always in the same order.

struct Params {
    n: u32,
    classes: u32,
    inner: u32,
    // 0: none; 1: mean; 2: sum
    reduction: u32,
    // 1: classes have weights; 2: X holds logits, and STATS what makes log-probabilities of them
    flags: u32,
    command: u32,
    ignore_low: u32,
    ignore_high: u32,
    x: u32,
    target_at: u32,
    weight: u32,
    out: u32,
    total: u32,
    // invocations in the grid
    step: u32,
}

@group(0) @binding(0) var<uniform> P: Params;
@group(0) @binding(1) var<storage, read> X: array<f32>;
@group(0) @binding(2) var<storage, read> TARGET: array<vec2<u32>>;
@group(0) @binding(3) var<storage, read> WEIGHT: array<f32>;
// by position: the largest logit, and the logarithm of the sum of the exponentials of what is left
@group(0) @binding(4) var<storage, read> STATS: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> OUT: array<f32>;
@group(0) @binding(6) var<storage, read_write> TOTAL: array<f32>;
@group(0) @binding(7) var<storage, read_write> STATUS: array<atomic<u32>>;

var<workgroup> losses: array<f32, 64>;
var<workgroup> weights: array<f32, 64>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) t: u32,
) {
    one = groups.z;
    var loss = 0.0;
    var weight = 0.0;
    for (var i = (wg.x + wg.y * groups.x) * 64u + t; i < P.n; i += P.step) {
        let c = TARGET[P.target_at + i];
        var w = 0.0;
        var l = 0.0;
        if c.x != P.ignore_low || c.y != P.ignore_high {
            if c.y != 0u || c.x >= P.classes {
                report(P.command, c);
            } else {
                w = 1.0;
                if ((P.flags * one) & 1u) != 0u { w = WEIGHT[P.weight + c.x]; }
                var y = X[P.x + (i / P.inner * P.classes + c.x) * P.inner + i % P.inner];
                if ((P.flags * one) & 2u) != 0u {
                    let s = STATS[i];
                    y = y - s.x - s.y;
                }
                l = -w * y;
            }
        }
        loss += l;
        weight += w;
        if P.reduction * one == 0u { OUT[P.out + i] = l; }
    }
    losses[t] = loss;
    weights[t] = weight;
    workgroupBarrier();
    for (var w = 32u; w > 0u; w /= 2u) {
        if t < w {
            losses[t] += losses[t + w];
            weights[t] += weights[t + w];
        }
        workgroupBarrier();
    }
    if t == 0u && P.reduction * one != 0u {
        var l = losses[0];
        // with all targets ignored 0 / 0: NaN, as it should be
        if P.reduction * one == 1u { l /= weights[0]; }
        OUT[P.out] = l;
        TOTAL[P.total] = weights[0];
    }
}
