// The gradient of a cross entropy for its logits, four neighbours an invocation: for at least four classes, the last dim. Declared
// elsewhere: P, position(), Quad and quad().

@group(0) @binding(6) var<storage, read> Y: array<Quad>;
@group(0) @binding(7) var<storage, read_write> OUT: array<Quad>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) t: u32,
) {
    one = groups.z;
    let i = (wg.x + wg.y * groups.x) * 64u + t;
    if i >= P.n { return; }
    let row = divide(4u * i, P.classes, P.per);
    let first = 4u * i - row * P.classes;
    let a = position(row);
    var b = a;
    // rows need not be of whole quads: one may end in the next row, which then is there
    if first + 3u >= P.classes { b = position(row + 1u); }
    let place = vec4<u32>(first) + vec4<u32>(0u, 1u, 2u, 3u);
    let next = place >= vec4<u32>(P.classes);
    let class_at = select(place, place - P.classes, next);
    let share = select(vec4<f32>(a.share), vec4<f32>(b.share), next);
    let y = quad(Y[P.y + i]) - select(vec4<f32>(a.top), vec4<f32>(b.top), next)
        - select(vec4<f32>(a.ln), vec4<f32>(b.ln), next);
    let hit = class_at == select(vec4<u32>(a.class_at), vec4<u32>(b.class_at), next);
    OUT[P.out + i] = pack(exp4(y) * share - select(vec4<f32>(), share, hit));
}
