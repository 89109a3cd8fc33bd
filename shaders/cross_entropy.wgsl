// The cross entropy of few short rows of logits [outer, classes, inner] by one workgroup: a row to an invocation, and all losses summed in
// one order. Declared elsewhere: SIZE; KEEP, and keep(), which stores a log-probability where they are wanted.

struct Params {
    n: u32,
    classes: u32,
    inner: u32,
    // 0: none; 1: mean; 2: sum
    reduction: u32,
    // 1: classes have weights
    flags: u32,
    command: u32,
    ignore_low: u32,
    ignore_high: u32,
    x: u32,
    target_at: u32,
    weight: u32,
    out: u32,
    total: u32,
    log: u32,
    lowest: f32,
}

@group(0) @binding(0) var<uniform> P: Params;
@group(0) @binding(1) var<storage, read> X: array<f32>;
@group(0) @binding(2) var<storage, read> TARGET: array<vec2<u32>>;
@group(0) @binding(3) var<storage, read> WEIGHT: array<f32>;
@group(0) @binding(4) var<storage, read_write> OUT: array<f32>;
@group(0) @binding(5) var<storage, read_write> TOTAL: array<f32>;
@group(0) @binding(6) var<storage, read_write> STATUS: array<atomic<u32>>;

var<workgroup> losses: array<f32, SIZE>;
var<workgroup> weights: array<f32, SIZE>;

@compute @workgroup_size(SIZE)
fn main(@builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) t: u32) {
    one = groups.z;
    var loss = 0.0;
    var weight = 0.0;
    for (var i = t; i < P.n; i += SIZE) {
        let at = i / P.inner * P.classes * P.inner + i % P.inner;
        // a NaN may or may not be the maximum: it reaches every result through the sum
        var top = P.lowest;
        for (var j = 0u; j < P.classes * one; j++) { top = max(top, X[P.x + at + j * P.inner]); }
        var sum = 0.0;
        for (var j = 0u; j < P.classes * one; j++) { sum += m_exp(X[P.x + at + j * P.inner] - top); }
        let ln = m_log(sum);
        if KEEP {
            for (var j = 0u; j < P.classes * one; j++) { keep(at + j * P.inner, X[P.x + at + j * P.inner] - top - ln); }
        }
        let c = TARGET[P.target_at + i];
        var w = 0.0;
        var l = 0.0;
        if c.x != P.ignore_low || c.y != P.ignore_high {
            if c.y != 0u || c.x >= P.classes {
                report(P.command, c);
            } else {
                w = 1.0;
                if ((P.flags * one) & 1u) != 0u { w = WEIGHT[P.weight + c.x]; }
                l = -w * (X[P.x + at + c.x * P.inner] - top - ln);
            }
        }
        loss += l;
        weight += w;
        if P.reduction * one == 0u { OUT[P.out + i] = l; }
    }
    losses[t] = loss;
    weights[t] = weight;
    workgroupBarrier();
    for (var w = SIZE / 2u; w > 0u; w /= 2u) {
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
