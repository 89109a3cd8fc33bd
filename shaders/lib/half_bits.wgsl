// Four float16 neighbours as two words, to float32, where the driver has no conversion. wt_from_f16() is declared elsewhere.

fn widen(q: vec2<u32>) -> vec4<f32> {
    return vec4(
        wt_from_f16(q.x & 65535u),
        wt_from_f16(q.x >> 16u),
        wt_from_f16(q.y & 65535u),
        wt_from_f16(q.y >> 16u),
    );
}
