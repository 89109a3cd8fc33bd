// What the gradient of logits is made of: an element's is its probability times its position's share of the loss's gradient, less that
// share where it is the target. Declared elsewhere: target_share().

struct Params {
    // elements or quads; where rows lie in lanes, those of one
    n: u32,
    rows: u32,
    classes: u32,
    inner: u32,
    // 1 / classes
    per: f32,
    // 0: none; 1: mean; 2: sum
    reduction: u32,
    // 1: classes have weights; 2: Y holds logits, and STATS what makes log-probabilities of them
    flags: u32,
    ignore_low: u32,
    ignore_high: u32,
    target_at: u32,
    weight: u32,
    grad: u32,
    total: u32,
    y: u32,
    out: u32,
}

@group(0) @binding(0) var<uniform> P: Params;
@group(0) @binding(1) var<storage, read> TARGET: array<vec2<u32>>;
@group(0) @binding(2) var<storage, read> WEIGHT: array<f32>;
@group(0) @binding(3) var<storage, read> GRAD: array<f32>;
@group(0) @binding(4) var<storage, read> TOTAL: array<f32>;
// by position: the largest logit, and the logarithm of the sum of the exponentials of what is left
@group(0) @binding(5) var<storage, read> STATS: array<vec4<f32>>;

struct Position {
    share: f32,
    class_at: u32,
    top: f32,
    ln: f32,
}

fn position(at: u32) -> Position {
    let c = TARGET[P.target_at + at];
    var p = Position(target_share(c, at), c.x, 0.0, 0.0);
    if ((P.flags * one) & 2u) != 0u {
        let s = STATS[at];
        p.top = s.x;
        p.ln = s.y;
    }
    return p;
}
