// Four float16 neighbours as two words, to float32. wt_from_f16() is declared elsewhere.

// the top bit of each half of which a word holds one that is not 0 and below 2^-14
fn subnormal(w: u32) -> u32 {
    let size = w & 0x7fff7fffu;
    return (size + 0x7fff7fffu) & ~(size + 0x7c007c00u) & 0x80008000u;
}

// the driver's conversion is one instruction for an element, not a dozen, but may flush those
fn widen(q: vec2<u32>) -> vec4<f32> {
    let v = vec4(unpack2x16float(q.x), unpack2x16float(q.y));
    if (subnormal(q.x) | subnormal(q.y)) == 0u { return v; }
    return vec4(
        wt_from_f16(q.x & 65535u),
        wt_from_f16(q.x >> 16u),
        wt_from_f16(q.y & 65535u),
        wt_from_f16(q.y >> 16u),
    );
}
