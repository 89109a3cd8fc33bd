// Four neighbours of a buffer as two long words, for software adapters: they put a load together word by word, and what a word
// costs is the same for long ones.
alias Quad = vec2<u64>;

fn quad(q: Quad) -> vec4<f32> {
    let high = q >> vec2<u32>(32u);
    return bitcast<vec4<f32>>(vec4<u32>(u32(q.x), u32(high.x), u32(q.y), u32(high.y)));
}

fn pack(v: vec4<f32>) -> Quad {
    let bits = bitcast<vec4<u32>>(v);
    return vec2<u64>(u64(bits.x) | (u64(bits.y) << 32u), u64(bits.z) | (u64(bits.w) << 32u));
}
