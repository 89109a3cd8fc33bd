// Four bfloat16 neighbours as two words, to float32 and back. wt_to_bf16() is declared elsewhere.

fn widen(q: vec2<u32>) -> vec4<f32> {
    return bitcast<vec4<f32>>(vec4(q.x << 16u, q.x & 0xffff0000u, q.y << 16u, q.y & 0xffff0000u));
}

fn widen_one(bits: u32) -> f32 {
    return bitcast<f32>(bits << 16u);
}

fn narrow(v: vec4<f32>) -> vec2<u32> {
    return vec2(wt_to_bf16(v.x) | (wt_to_bf16(v.y) << 16u), wt_to_bf16(v.z) | (wt_to_bf16(v.w) << 16u));
}
