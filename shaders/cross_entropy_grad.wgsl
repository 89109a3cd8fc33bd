// The gradient of a cross entropy for its logits, one element an invocation. Declared elsewhere: P, position().

@group(0) @binding(6) var<storage, read> Y: array<f32>;
@group(0) @binding(7) var<storage, read_write> OUT: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) t: u32,
) {
    one = groups.z;
    let i = (wg.x + wg.y * groups.x) * 64u + t;
    if i >= P.n { return; }
    var row = i;
    var column = 0u;
    // the same for all: where the classes are the last dim, one division is enough
    if P.inner * one != 1u {
        row = i / P.inner;
        column = i - row * P.inner;
    }
    let outer = divide(row, P.classes, P.per);
    let p = position(outer * P.inner + column);
    let e = m_exp(Y[P.y + i] - p.top - p.ln) * p.share;
    OUT[P.out + i] = e - select(0.0, p.share, row - outer * P.classes == p.class_at);
}
