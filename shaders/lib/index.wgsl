// Elements of packed dtypes as words: a 16-bit float's bits to f32 and back, and the bytes of a word.

fn wt_from_f16(h: u32) -> f32 {
    let sign = (h & 0x8000u) << 16u;
    let rest = h & 0x7fffu;
    let normal = (rest << 13u) + 0x38000000u;
    let special = (rest << 13u) | 0x7f800000u;
    let small = bitcast<u32>(f32(rest) * 5.9604644775390625e-8);
    return bitcast<f32>(sign | select(select(normal, special, rest >= 0x7c00u), small, rest < 0x400u));
}

fn wt_to_f16(x: f32) -> u32 {
    let u = bitcast<u32>(x);
    let sign = (u >> 16u) & 0x8000u;
    let a = u & 0x7fffffffu;
    // round to nearest even on the bits that go; a carry moves into the exponent, as it must
    let normal = (a - 0x38000000u + 0xfffu + ((a >> 13u) & 1u)) >> 13u;
    // below 2^-14 the step is 2^-24: shift the full mantissa down and round the same way
    let shift = min(126u - (a >> 23u), 31u);
    let mant = (a & 0x7fffffu) | 0x800000u;
    let down = mant >> shift;
    let gone = mant & ((1u << shift) - 1u);
    let half = 1u << ((shift - 1u) & 31u);
    let up = select(0u, 1u, gone > half || (gone == half && (down & 1u) == 1u));
    var r = select(normal, down + up, a < 0x38800000u);
    r = select(r, 0u, a < 0x33000000u);
    r = select(r, 0x7c00u, a >= 0x477ff000u);
    r = select(r, 0x7e00u, a > 0x7f800000u);
    return sign | r;
}

fn wt_to_bf16(x: f32) -> u32 {
    let u = bitcast<u32>(x);
    let r = (u + 0x7fffu + ((u >> 16u) & 1u)) >> 16u;
    return select(r, (u >> 16u) | 0x40u, (u & 0x7fffffffu) > 0x7f800000u);
}
