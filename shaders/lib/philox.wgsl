// Philox4x32-10 (Salmon et al. 2011), the twin of src/rng/philox.rs: the same bits; normals that differ by rounding alone.
// A key is (seed low, seed high, offset low, offset high); element i takes word i % 4 of block i / 4.

fn philox_mul(a: u32, b: u32) -> vec2<u32> { // (low, high) of the 64-bit product
    let al = a & 0xffffu;
    let ah = a >> 16u;
    let bl = b & 0xffffu;
    let bh = b >> 16u;
    let ll = al * bl;
    let mid = ah * bl + (ll >> 16u); // cannot overflow: (2^16 - 1)^2 + 2^16 - 1 < 2^32
    let mid2 = al * bh + (mid & 0xffffu);
    return vec2<u32>(a * b, ah * bh + (mid >> 16u) + (mid2 >> 16u));
}

fn philox4x32_10(counter: vec4<u32>, key: vec2<u32>) -> vec4<u32> {
    var c = counter;
    var k = key;
    for (var round = 0u; round < 10u; round++) {
        let a = philox_mul(0xd2511f53u, c.x);
        let b = philox_mul(0xcd9e8d57u, c.z);
        c = vec4<u32>(b.y ^ c.y ^ k.x, b.x, a.y ^ c.w ^ k.y, a.x);
        k += vec2<u32>(0x9e3779b9u, 0xbb67ae85u);
    }
    return c;
}

fn philox_block(block: u32, key: vec4<u32>) -> vec4<u32> {
    return philox4x32_10(vec4<u32>(block, 0u, key.z, key.w), key.xy);
}

fn philox_bits(index: u32, key: vec4<u32>) -> u32 {
    return philox_block(index >> 2u, key)[index & 3u];
}

fn philox_uniform(index: u32, key: vec4<u32>) -> f32 { // [0, 1), 24 bits
    return f32(philox_bits(index, key) >> 8u) * 5.9604644775390625e-8;
}

// ln(m / 2^24) for m in 1 ..= 2^24; the built-in log is only good to an absolute error and differs between drivers.
fn philox_ln(m: u32) -> f32 {
    let bits = bitcast<u32>(f32(m));
    var e = f32(i32(bits >> 23u) - 151);
    var f = bitcast<f32>((bits & 0x7fffffu) | 0x3f800000u);
    if f > 1.41421354 {
        f *= 0.5;
        e += 1.0;
    }
    let z = f - 1.0;
    var p = 7.0376836e-2;
    p = p * z - 1.15146103e-1;
    p = p * z + 1.167699874e-1;
    p = p * z - 1.24201408e-1;
    p = p * z + 1.42493228e-1;
    p = p * z - 1.66680577e-1;
    p = p * z + 2.00007148e-1;
    p = p * z - 2.4999994e-1;
    p = p * z + 3.3333331e-1;
    let y = p * z * z * z - 2.1219444e-4 * e - 0.5 * z * z;
    return z + y + 0.693359375 * e;
}

// (sin, cos) of n / 2^24 of a turn; the quadrant comes from the integer, exactly.
fn philox_sincos(n: u32) -> vec2<f32> {
    let quadrant = (n + 0x200000u) >> 22u;
    let x = f32(i32(n) - i32(quadrant << 22u)) * 3.7450703e-7;
    let z = x * x;
    let s = ((-1.9515296e-4 * z + 8.332161e-3) * z - 1.66666546e-1) * z * x + x;
    let c = ((2.4433157e-5 * z - 1.3887316e-3) * z + 4.1666646e-2) * z * z - 0.5 * z + 1.0;
    let r = select(vec2<f32>(s, c), vec2<f32>(c, -s), (quadrant & 1u) == 1u);
    return select(r, -r, (quadrant & 2u) == 2u);
}

fn philox_normal(index: u32, key: vec4<u32>) -> f32 { // Box-Muller; elements 2k and 2k + 1 share a radius
    let block = philox_block(index >> 2u, key);
    let pair = select(block.xy, block.zw, (index & 2u) == 2u);
    let circle = philox_sincos(pair.y >> 8u);
    let radius = sqrt(-2.0 * philox_ln(0x1000000u - (pair.x >> 8u)));
    return radius * select(circle.y, circle.x, (index & 1u) == 1u);
}
