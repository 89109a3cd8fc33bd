// One step of Adam or AdamW on two parameters: workgroups below P.first have the first, the others the second.

struct Part {
    n: u32,
    param: u32,
    grad: u32,
    mean: u32,
    square: u32,
    pad0: u32,
    pad1: u32,
    pad2: u32,
}

struct Params {
    parts: array<Part, 2>,
    first: u32,
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
@group(0) @binding(1) var<storage, read> GRAD0: array<f32>;
@group(0) @binding(2) var<storage, read> GRAD1: array<f32>;
@group(0) @binding(3) var<storage, read_write> PARAM0: array<f32>;
@group(0) @binding(4) var<storage, read_write> MEAN0: array<f32>;
@group(0) @binding(5) var<storage, read_write> SQUARE0: array<f32>;
@group(0) @binding(6) var<storage, read_write> PARAM1: array<f32>;
@group(0) @binding(7) var<storage, read_write> MEAN1: array<f32>;
@group(0) @binding(8) var<storage, read_write> SQUARE1: array<f32>;

struct Step {
    param: f32,
    mean: f32,
    square: f32,
}

fn update(param: f32, grad: f32, mean: f32, square: f32) -> Step {
    var p = param;
    var g = grad;
    if (P.flags & 1u) != 0u { g = -g; }
    if (P.flags & 2u) != 0u { p *= P.decay; } else if P.decay != 0.0 { g += P.decay * p; }
    // as lerp does
    let m = mean + P.rest1 * (g - mean);
    let v = P.beta2 * square + P.rest2 * g * g;
    let denom = sqrt(v) / P.root + P.eps;
    return Step(p - P.step_size * (m / denom), m, v);
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) t: u32,
) {
    let id = wg.x + wg.y * groups.x;
    if id < P.first {
        let i = id * 64u + t;
        let p = P.parts[0];
        if i >= p.n { return; }
        let s = update(PARAM0[p.param + i], GRAD0[p.grad + i], MEAN0[p.mean + i], SQUARE0[p.square + i]);
        PARAM0[p.param + i] = s.param;
        MEAN0[p.mean + i] = s.mean;
        SQUARE0[p.square + i] = s.square;
    } else {
        let i = (id - P.first) * 64u + t;
        let p = P.parts[1];
        if i >= p.n { return; }
        let s = update(PARAM1[p.param + i], GRAD1[p.grad + i], MEAN1[p.mean + i], SQUARE1[p.square + i]);
        PARAM1[p.param + i] = s.param;
        MEAN1[p.mean + i] = s.mean;
        SQUARE1[p.square + i] = s.square;
    }
}
