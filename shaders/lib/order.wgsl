// Keys of sorting: unsigned numbers in the order of values, NaN above all of them, both zeros one.

fn order_f32(b: u32) -> u32 {
    let k = select(b | 0x80000000u, ~b, b > 0x80000000u);
    return select(k, 0xffffffffu, (b & 0x7fffffffu) > 0x7f800000u);
}

fn order_f64(b: vec2<u32>) -> vec2<u32> {
    let negative = b.y >= 0x80000000u && any(b != vec2<u32>(0u, 0x80000000u));
    let k = select(vec2<u32>(b.x, b.y | 0x80000000u), ~b, negative);
    let m = b.y & 0x7fffffffu;
    return select(k, vec2<u32>(0xffffffffu), m > 0x7ff00000u || (m == 0x7ff00000u && b.x != 0u));
}
