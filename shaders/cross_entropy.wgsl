// Cross-entropy of few short rows of logits by one workgroup: the log-probabilities, and their losses summed up.

struct Params {
    n: u32,
    classes: u32,
    inner: u32,
    // 1: mean; 2: sum
    reduction: u32,
    // 1: classes have weights
    flags: u32,
    command: u32,
    ignore_low: u32,
    ignore_high: u32,
    x: u32,
    target_at: u32,
    weight: u32,
    log_at: u32,
    out: u32,
    total: u32,
    lowest: f32,
}

@group(0) @binding(0) var<uniform> P: Params;
@group(0) @binding(1) var<storage, read> X: array<f32>;
@group(0) @binding(2) var<storage, read> TARGET: array<vec2<u32>>;
@group(0) @binding(3) var<storage, read> WEIGHT: array<f32>;
@group(0) @binding(4) var<storage, read_write> LOG: array<f32>;
@group(0) @binding(5) var<storage, read_write> OUT: array<f32>;
@group(0) @binding(6) var<storage, read_write> TOTAL: array<f32>;
@group(0) @binding(7) var<storage, read_write> STATUS: array<atomic<u32>>;

var<workgroup> losses: array<f32, 64>;
var<workgroup> weights: array<f32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) t: u32) {
    one = groups.z;
    var loss = 0.0;
    var weight = 0.0;
    for (var i = t; i < P.n; i += 64u) {
        let at = i / P.inner * P.classes * P.inner + i % P.inner;
        var top = P.lowest;
        for (var j = 0u; j < P.classes * one; j++) { top = max(top, X[P.x + at + j * P.inner]); }
        var sum = 0.0;
        for (var j = 0u; j < P.classes * one; j++) { sum += m_exp(X[P.x + at + j * P.inner] - top); }
        let ln = m_log(sum);
        let c = TARGET[P.target_at + i];
        var own = 0.0;
        for (var j = 0u; j < P.classes * one; j++) {
            let v = X[P.x + at + j * P.inner] - top - ln;
            LOG[P.log_at + at + j * P.inner] = v;
            if j == c.x { own = v; }
        }
        if c.x != P.ignore_low || c.y != P.ignore_high {
            if c.y != 0u || c.x >= P.classes {
                report(P.command, c);
            } else {
                var w = 1.0;
                if (P.flags * one & 1u) != 0u { w = WEIGHT[P.weight + c.x]; }
                loss -= w * own;
                weight += w;
            }
        }
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
    if t == 0u {
        var l = losses[0];
        if P.reduction * one == 1u { l /= weights[0]; }
        OUT[P.out] = l;
        TOTAL[P.total] = weights[0];
    }
}
