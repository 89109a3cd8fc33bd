// One step of SGD on two parameters: workgroups below P.first have the first, the others the second.

struct Part {
    n: u32,
    param: u32,
    grad: u32,
    state: u32,
}

struct Params {
    parts: array<Part, 2>,
    // workgroups of the first parameter
    first: u32,
    // 1: maximize; 2: momentum; 4: no momentum yet, the gradient becomes it; 8: nesterov
    flags: u32,
    lr: f32,
    momentum: f32,
    // 1 - dampening
    undamped: f32,
    weight_decay: f32,
}

@group(0) @binding(0) var<uniform> P: Params;
@group(0) @binding(1) var<storage, read> GRAD0: array<f32>;
@group(0) @binding(2) var<storage, read> GRAD1: array<f32>;
@group(0) @binding(3) var<storage, read_write> PARAM0: array<f32>;
@group(0) @binding(4) var<storage, read_write> STATE0: array<f32>;
@group(0) @binding(5) var<storage, read_write> PARAM1: array<f32>;
@group(0) @binding(6) var<storage, read_write> STATE1: array<f32>;

struct Step {
    param: f32,
    state: f32,
}

fn update(param: f32, grad: f32, state: f32) -> Step {
    var g = grad;
    if (P.flags & 1u) != 0u { g = -g; }
    if P.weight_decay != 0.0 { g += P.weight_decay * param; }
    var buf = state;
    if (P.flags & 2u) != 0u {
        buf = select(P.momentum * buf + P.undamped * g, g, (P.flags & 4u) != 0u);
        g = select(buf, g + P.momentum * buf, (P.flags & 8u) != 0u);
    }
    return Step(param - P.lr * g, buf);
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) t: u32,
) {
    let id = wg.x + wg.y * groups.x;
    let carries = (P.flags & 2u) != 0u;
    // the state is not read before there is one
    let old = (P.flags & 6u) == 2u;
    if id < P.first {
        let i = id * 64u + t;
        let p = P.parts[0];
        if i >= p.n { return; }
        var state = 0.0;
        if old { state = STATE0[p.state + i]; }
        let s = update(PARAM0[p.param + i], GRAD0[p.grad + i], state);
        PARAM0[p.param + i] = s.param;
        if carries { STATE0[p.state + i] = s.state; }
    } else {
        let i = (id - P.first) * 64u + t;
        let p = P.parts[1];
        if i >= p.n { return; }
        var state = 0.0;
        if old { state = STATE1[p.state + i]; }
        let s = update(PARAM1[p.param + i], GRAD1[p.grad + i], state);
        PARAM1[p.param + i] = s.param;
        if carries { STATE1[p.state + i] = s.state; }
    }
}
