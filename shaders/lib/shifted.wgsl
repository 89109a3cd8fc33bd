// Four elements from place `at` on, of the two quads that hold them.

fn shifted(a: vec4<f32>, b: vec4<f32>, at: u32) -> vec4<f32> {
    let by_two = (at & 2u) != 0u;
    let v = select(a, vec4(a.zw, b.xy), by_two);
    return select(v, vec4(v.yzw, select(b.x, b.z, by_two)), (at & 1u) != 0u);
}
