// What accumulators of every kind of reduction are made of: NaN told by bits, and 64-bit integers as (low, high) words.

fn wt_nan(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}

fn wt_add64(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    let lo = a.x + b.x;
    return vec2<u32>(lo, a.y + b.y + select(0u, 1u, lo < a.x));
}

fn wt_mul64(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    // the low words' full product from halves, then the cross products that reach the high word
    let a0 = a.x & 0xffffu;
    let a1 = a.x >> 16u;
    let b0 = b.x & 0xffffu;
    let b1 = b.x >> 16u;
    let p = a0 * b0;
    let q = a1 * b0 + (p >> 16u);
    let r = a0 * b1 + (q & 0xffffu);
    let lo = (r << 16u) | (p & 0xffffu);
    let hi = a1 * b1 + (q >> 16u) + (r >> 16u);
    return vec2<u32>(lo, hi + a.x * b.y + a.y * b.x);
}

fn wt_less64(a: vec2<u32>, b: vec2<u32>) -> bool {
    return (a.y == b.y && a.x < b.x) || bitcast<i32>(a.y) < bitcast<i32>(b.y);
}
