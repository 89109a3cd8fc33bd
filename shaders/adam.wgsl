// One step of Adam or AdamW on PARTS parameters. Declared elsewhere: PARTS, Num (f32, or vec4<f32> where whole quads
// are loaded), the bindings, and main(), which gives each workgroup its part.

struct Part {
    n: u32,
    // the part's first workgroup
    first: u32,
    param: u32,
    grad: u32,
    state0: u32,
    state1: u32,
    pad0: u32,
    pad1: u32,
}

struct Params {
    parts: array<Part, PARTS>,
    // 1: maximize; 2: AdamW, the decay shrinks the parameter
    flags: u32,
    // lr over the bias correction of the mean
    step_size: f32,
    // 1 - lr * weight decay where it is decoupled, else the weight decay
    decay: f32,
    beta1: f32,
    beta2: f32,
    // one minus them, rounded once
    rest1: f32,
    rest2: f32,
    // the square root of the bias correction of the squares
    root: f32,
    eps: f32,
}

@group(0) @binding(0) var<uniform> P: Params;
struct Step {
    param: Num,
    mean: Num,
    square: Num,
}

fn update(param: Num, grad: Num, mean: Num, square: Num) -> Step {
    var p = param;
    var g = grad;
    if ((P.flags * one) & 1u) != 0u { g = -g; }
    if ((P.flags * one) & 2u) != 0u { p *= P.decay; } else if P.decay * f32(one) != 0.0 { g += P.decay * p; }
    // as lerp does
    let m = mean + P.rest1 * (g - mean);
    let v = P.beta2 * square + P.rest2 * g * g;
    let denom = sqrt(v) / P.root + P.eps;
    return Step(p - P.step_size * (m / denom), m, v);
}
