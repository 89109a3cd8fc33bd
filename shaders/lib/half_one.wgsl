// One float16 to float32, and four back as two words. wt_from_f16() and wt_to_f16() are declared elsewhere.

fn widen_one(bits: u32) -> f32 {
    return wt_from_f16(bits);
}

fn narrow(v: vec4<f32>) -> vec2<u32> {
    return vec2(wt_to_f16(v.x) | (wt_to_f16(v.y) << 16u), wt_to_f16(v.z) | (wt_to_f16(v.w) << 16u));
}
