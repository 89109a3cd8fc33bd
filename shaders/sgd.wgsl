// One step of SGD on PARTS parameters. Declared elsewhere: PARTS, Num (f32, or vec4<f32> where whole
// quads are loaded), the bindings, and main(), which gives each workgroup its part.

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
    // 1: maximize; 2: momentum; 4: no momentum yet, the gradient becomes it; 8: nesterov
    flags: u32,
    lr: f32,
    momentum: f32,
    // 1 - dampening
    undamped: f32,
    weight_decay: f32,
}

@group(0) @binding(0) var<uniform> P: Params;

struct Step {
    param: Num,
    state: Num,
}

fn update(param: Num, grad: Num, state: Num) -> Step {
    var g = grad;
    if ((P.flags * one) & 1u) != 0u { g = -g; }
    if P.weight_decay * f32(one) != 0.0 { g += P.weight_decay * param; }
    var buf = state;
    if ((P.flags * one) & 2u) != 0u {
        buf = select(P.momentum * buf + P.undamped * g, g, (P.flags & 4u) != 0u);
        g = select(buf, g + P.momentum * buf, (P.flags & 8u) != 0u);
    }
    return Step(param - P.lr * g, buf);
}
