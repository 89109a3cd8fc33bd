// e^x and ln x to about 1 ulp: what WGSL's own may cost in accuracy (and does, on software adapters) shows in losses.

fn exp1(x: f32) -> f32 {
    let c = clamp(x, -104.0, 89.0);
    let k = round(c * 1.44269504);
    // ln 2 in two parts, so that the product with k is exact
    let r = (c - k * 0.693359375) + k * 2.12194440e-4;
    var p = 1.9875691500e-4;
    p = p * r + 1.3981999507e-3;
    p = p * r + 8.3334519073e-3;
    p = p * r + 4.1665795894e-2;
    p = p * r + 1.6666665459e-1;
    p = p * r + 5.0000001201e-1;
    p = p * r * r + r + 1.0;
    // 2^k in two steps: its ends are not normal numbers
    let n = i32(k);
    let half = n >> 1u;
    let y = p * bitcast<f32>(u32(half + 127) << 23u) * bitcast<f32>(u32(n - half + 127) << 23u);
    return select(y, x, is_nan(x));
}

// for x >= 0; subnormal numbers count as 0
fn log1(x: f32) -> f32 {
    let bits = bitcast<u32>(x);
    // the mantissa in sqrt(1/2) .. sqrt(2)
    let shifted = bits - 0x3f3504f3u;
    let e = f32(bitcast<i32>(shifted) >> 23u);
    let m = bitcast<f32>((shifted & 0x007fffffu) + 0x3f3504f3u) - 1.0;
    let z = m * m;
    var p = 7.0376836292e-2;
    p = p * m - 1.1514610310e-1;
    p = p * m + 1.1676998740e-1;
    p = p * m - 1.2420140846e-1;
    p = p * m + 1.4249322787e-1;
    p = p * m - 1.6668057665e-1;
    p = p * m + 2.0000714765e-1;
    p = p * m - 2.4999993993e-1;
    p = p * m + 3.3333331174e-1;
    var y = m * z * p - 2.12194440e-4 * e - 0.5 * z;
    y = m + y + 0.693359375 * e;
    // infinity and NaN are their own
    return select(y, x, bits >= 0x7f800000u);
}
