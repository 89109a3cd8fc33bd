// The functions of one f32 that rows call: drivers' own are inaccurate, and may not know NaN and infinities, which are
// told by their bits here. Twins of src/num/leaf32.rs; subnormal results may be flushed.

// A variable, since WGSL refuses infinities and NaN that it can compute beforehand.
fn m_inf() -> f32 {
    var bits: u32 = 0x7f800000u;
    return bitcast<f32>(bits);
}

fn m_nan() -> f32 {
    var bits: u32 = 0x7fc00000u;
    return bitcast<f32>(bits);
}

fn m_isnan(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}

fn m_isinf(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) == 0x7f800000u;
}

// y, or x where that is NaN: drivers make a min or max of a comparison with a limit, which drops NaN.
fn m_keep_nan(y: f32, x: f32) -> f32 {
    return select(y, x, m_isnan(x));
}

fn m_copysign(x: f32, s: f32) -> f32 {
    return bitcast<f32>((bitcast<u32>(x) & 0x7fffffffu) | (bitcast<u32>(s) & 0x80000000u));
}

// The neighbour of x on the way to y.
fn m_nextafter(x: f32, y: f32) -> f32 {
    let bx = bitcast<u32>(x);
    let by = bitcast<u32>(y);
    if (m_isnan(x) || m_isnan(y)) {
        return m_nan();
    }
    if (bx == by || ((bx | by) & 0x7fffffffu) == 0u) {
        return y;
    }
    if ((bx & 0x7fffffffu) == 0u) {
        return bitcast<f32>((by & 0x80000000u) | 1u);
    }
    // integers that are ordered as the floats are
    let ox = select(i32(bx), -i32(bx & 0x7fffffffu), (bx >> 31u) != 0u);
    let oy = select(i32(by), -i32(by & 0x7fffffffu), (by >> 31u) != 0u);
    let away = (oy > ox) == ((bx >> 31u) == 0u);
    return bitcast<f32>(select(bx - 1u, bx + 1u, away));
}

// Rounded to half precision, nearest even.
fn m_round_f16(x: f32) -> f32 {
    let b = bitcast<u32>(x);
    let a = b & 0x7fffffffu;
    let normal = (a + 0xfffu + ((a >> 13u) & 1u)) & 0xffffe000u;
    let tiny = bitcast<u32>(round(abs(x) * 16777216.0f) * 5.9604645e-8f);
    let finite = select(normal, tiny, a < 0x38800000u);
    let r = select(finite, 0x7f800000u, finite >= 0x47800000u);
    return bitcast<f32>(select(r | (b & 0x80000000u), b, a > 0x7f800000u));
}

// Rounded to bfloat16, nearest even.
fn m_round_bf16(x: f32) -> f32 {
    let b = bitcast<u32>(x);
    let r = (b + 0x7fffu + ((b >> 16u) & 1u)) & 0xffff0000u;
    return bitcast<f32>(select(r, b | 0x400000u, (b & 0x7fffffffu) > 0x7f800000u));
}

// Truncated; what i32 cannot hold, NaN too, is its smallest value.
fn m_to_i32(x: f32) -> i32 {
    let b = bitcast<u32>(x);
    let fits = (b & 0x7fffffffu) < 0x4f000000u;
    return select(-2147483647i - 1i, i32(select(0.0f, x, fits)), fits);
}

fn m_sqrt(x: f32) -> f32 {
    let y = sqrt(x);
    return select(y, m_nan(), bitcast<u32>(x) > 0x80000000u);
}

// e^r - 1 - r for |r| <= ln(2) / 2.
fn m_exp_tail(r: f32) -> f32 {
    let p = 0.49999994f + r * (0.1666652f + r * (0.041668393f + r * (0.00836878f + r * 0.0013814544f)));
    return r * r * p;
}

// For a whole n the low bits of n + 1.5 * 2^23 are n: shifted up, n + 126 there is the power 2^(n - 1), without a conversion and
// its bounds.
fn m_exp(x: f32) -> f32 {
    let high = select(x, 88.8f, x > 88.8f);
    let c = select(high, -87.4f, high < -87.4f);
    let n = round(c * 1.442695f);
    let r = (c - n * 0.693359375f) - n * -0.00021219444f;
    let p = 1.0f + (r + m_exp_tail(r));
    // in two steps, since 2^128 is no f32; infinity by name, since a compiler may join the 2 with another factor
    let y = p * bitcast<f32>(bitcast<u32>(n + 12583038.0f) << 23u) * 2.0f;
    return m_keep_nan(select(y, m_inf(), x > 88.72284f), x);
}

// e^x / 2 for x >= 0, which is finite for a while after e^x is not.
fn m_exp_half(x: f32) -> f32 {
    let c = select(x, 90.0f, x > 90.0f);
    let n = round(c * 1.442695f);
    let r = (c - n * 0.693359375f) - n * -0.00021219444f;
    let p = 1.0f + (r + m_exp_tail(r));
    return m_keep_nan(p * bitcast<f32>(bitcast<u32>(n + 12582974.0f) << 23u) * 18446744073709551616.0f, x);
}

fn m_exp2(x: f32) -> f32 {
    let high = select(x, 128.5f, x > 128.5f);
    let c = select(high, -126.4f, high < -126.4f);
    let n = round(c);
    let f = c - n;
    let q = 0.0013398877f + f * 0.0001535338f;
    let p = 0.6931472f + f * (0.24022648f + f * (0.055503324f + f * (0.009618437f + f * q)));
    return m_keep_nan((1.0f + f * p) * bitcast<f32>(bitcast<u32>(n + 12583038.0f) << 23u) * 2.0f, x);
}

fn m_expm1(x: f32) -> f32 {
    let high = select(x, 88.8f, x > 88.8f);
    let c = select(high, -20.0f, high < -20.0f);
    let n = round(c * 1.442695f);
    let r = (c - n * 0.693359375f) - n * -0.00021219444f;
    let q = 0.04166636f + r * (0.008333389f + r * (0.001394073f + r * 0.00019846251f));
    let p = r + r * r * (0.5f + r * (0.16666666f + r * q));
    let half = bitcast<f32>(bitcast<u32>(n + 12583038.0f) << 23u);
    return m_keep_nan((half * p + (half - 0.5f)) * 2.0f, x);
}

// log(1 + f) for f between sqrt(1/2) - 1 and sqrt(2) - 1.
fn m_log_near_one(f: f32) -> f32 {
    let q = 0.14216204f + f * (-0.1240099f + f * (0.1191003f + f * (-0.11715892f + f * 0.067461714f)));
    let p = 0.3333331f + f * (-0.2500001f + f * (0.20002273f + f * (-0.16668108f + f * q)));
    return f - f * f * (0.5f - f * p);
}

// Bits of x with sqrt(1/2) taken off: above the 23 of the mantissa stands the exponent of x / m, for m between sqrt(1/2) and
// sqrt(2).
fn m_log_bits(x: f32) -> u32 {
    let b = bitcast<u32>(x);
    // a subnormal is its bits times 2^-149
    return select(b, bitcast<u32>(f32(b)), b < 0x00800000u) - 0x3f3504f3u;
}

fn m_log_exponent(x: f32) -> f32 {
    return f32(bitcast<i32>(m_log_bits(x)) >> 23u) - select(0.0f, 149.0f, bitcast<u32>(x) < 0x00800000u);
}

// m - 1.
fn m_log_mantissa(x: f32) -> f32 {
    return bitcast<f32>((m_log_bits(x) & 0x7fffffu) + 0x3f3504f3u) - 1.0f;
}

// y = log(x) put right where x is zero, negative, infinite or NaN.
fn m_log_edges(x: f32, y: f32) -> f32 {
    let b = bitcast<u32>(x);
    let r = select(y, m_nan(), b > 0x7f800000u);
    let s = select(r, x, b == 0x7f800000u);
    return select(s, -m_inf(), (b & 0x7fffffffu) == 0u);
}

fn m_log(x: f32) -> f32 {
    let e = m_log_exponent(x);
    return m_log_edges(x, e * 0.693359375f + (m_log_near_one(m_log_mantissa(x)) + e * -0.00021219444f));
}

fn m_log2(x: f32) -> f32 {
    return m_log_edges(x, m_log_exponent(x) + m_log_near_one(m_log_mantissa(x)) * 1.442695f);
}

fn m_log10(x: f32) -> f32 {
    let e = m_log_exponent(x);
    let low = m_log_near_one(m_log_mantissa(x)) * 0.4342945f + e * 4.605039e-6f;
    return m_log_edges(x, e * 0.301025390625f + low);
}

fn m_log1p(x: f32) -> f32 {
    let u = 1.0f + x;
    let near = x > -0.29f && x < 0.41f;
    return select(m_log(u), m_log_near_one(x), near);
}

fn m_sigmoid(x: f32) -> f32 {
    let y = 1.0f / (1.0f + m_exp(-select(x, -88.0f, x < -88.0f)));
    return m_keep_nan(select(y, 0.0f, x < -88.0f), x);
}

fn m_tanh(x: f32) -> f32 {
    let a = abs(x);
    let t = m_expm1(2.0f * select(a, 10.0f, a > 10.0f));
    return m_keep_nan(m_copysign(t / (t + 2.0f), x), x);
}

fn m_sinh(x: f32) -> f32 {
    let a = abs(x);
    let t = m_expm1(select(a, 20.0f, a > 20.0f));
    return m_keep_nan(m_copysign(select(0.5f * (t + t / (t + 1.0f)), m_exp_half(a), a > 20.0f), x), x);
}

fn m_cosh(x: f32) -> f32 {
    let h = m_exp_half(abs(x));
    return h + 0.25f / h;
}

fn m_asinh(x: f32) -> f32 {
    let a = abs(x);
    let s = select(a, 1.0f, a > 10000.0f);
    let small = m_log1p(s + s * s / (1.0f + sqrt(1.0f + s * s)));
    return m_copysign(select(small, m_log(a) + 0.6931472f, a > 10000.0f), x);
}

fn m_acosh(x: f32) -> f32 {
    let t = select(x, 1.0f, x > 10000.0f) - 1.0f;
    let y = select(m_log1p(t + m_sqrt(t * (2.0f + t))), m_log(x) + 0.6931472f, x > 10000.0f);
    return select(y, m_nan(), x < 1.0f);
}

fn m_atanh(x: f32) -> f32 {
    let a = abs(x);
    return m_copysign(0.5f * m_log1p(2.0f * a / (1.0f - a)), x);
}

// atan(q) for q from 0 to 1.
fn m_atan_core(q: f32) -> f32 {
    let z = q * q;
    let h = -0.08403375f + z * (0.05795631f + z * (-0.031176573f + z * (0.010913924f + z * -0.00179347f)));
    return q + q * z * (-0.333333f + z * (0.19998547f + z * (-0.14264236f + z * (0.1095216f + z * h))));
}

fn m_atan(x: f32) -> f32 {
    let a = abs(x);
    let far = a > 1.0f;
    let c = m_atan_core(select(a, 1.0f / a, far));
    return m_copysign(select(c, 1.5707964f - c, far), x);
}

fn m_atan2(y: f32, x: f32) -> f32 {
    if (m_isnan(x) || m_isnan(y)) {
        return m_nan();
    }
    let steep = abs(y) > abs(x);
    let large = select(abs(x), abs(y), steep);
    let small = select(abs(y), abs(x), steep);
    var q = select(small / large, 0.0f, large == 0.0f);
    q = select(q, 1.0f, m_isinf(x) && m_isinf(y));
    let c = m_atan_core(q);
    let first = select(c, 1.5707964f - c, steep);
    let left = (bitcast<u32>(x) >> 31u) != 0u;
    return m_copysign(select(first, 3.1415927f - first, left), y);
}

// asin(q) for q from 0 to 1/2.
fn m_asin_core(q: f32) -> f32 {
    let z = q * q;
    let p = 0.045470176f + z * (0.02418071f + z * 0.04216409f);
    return q + q * z * (0.16666752f + z * (0.07495299f + z * p));
}

fn m_asin(x: f32) -> f32 {
    let a = abs(x);
    let far = a > 0.5f;
    let c = m_asin_core(select(a, m_sqrt(0.5f * (1.0f - a)), far));
    return m_copysign(select(c, 1.5707964f - 2.0f * c, far), x);
}

fn m_acos(x: f32) -> f32 {
    let a = abs(x);
    let far = a > 0.5f;
    let c = m_asin_core(select(a, m_sqrt(0.5f * (1.0f - a)), far));
    let negative = x < 0.0f;
    let near = 1.5707964f - select(c, -c, negative);
    return select(near, select(2.0f * c, 3.1415927f - 2.0f * c, negative), far);
}

// The 64-bit product: low word, high word.
fn u32_mul_wide(a: u32, b: u32) -> vec2<u32> {
    let al = a & 0xffffu;
    let ah = a >> 16u;
    let bl = b & 0xffffu;
    let bh = b >> 16u;
    let ll = al * bl;
    let mid = ah * bl + (ll >> 16u);
    let mid2 = al * bh + (mid & 0xffffu);
    return vec2<u32>(a * b, ah * bh + (mid >> 16u) + (mid2 >> 16u));
}

// x less the nearest multiple of pi / 2, and that multiple modulo 4.
fn m_trig_reduce(x: f32) -> vec2<f32> {
    if (abs(x) < 1000.0f) {
        let n = round(x * 0.63661975f);
        let r = (((x - n * 1.5703125f) - n * 0.0004837512969970703f) - n * 7.549533620476723e-8f) - n * 2.5633440682570896e-12f;
        return vec2<f32>(r, f32(u32(i32(n)) & 3u));
    }
    // exact: the 24-bit mantissa times the 96 bits of 2 / pi that matter for the quotient modulo 4
    let b = bitcast<u32>(x);
    let mantissa = (b & 0x7fffffu) | 0x800000u;
    let at = ((b >> 23u) & 0xffu) - 120u;
    var words = array<u32, 10>(0u, 0xa2f9836eu, 0x4e441529u, 0xfc2757d1u,
        0xf534ddc0u, 0xdb629599u, 0x3c439041u, 0xfe5163abu, 0xdebbc561u, 0xb7246e3au);
    let w = min(at >> 5u, 5u);
    let s = at & 31u;
    // a shift by 32 is done in two
    let w0 = (words[w] << s) | ((words[w + 1u] >> 1u) >> (31u - s));
    let w1 = (words[w + 1u] << s) | ((words[w + 2u] >> 1u) >> (31u - s));
    let w2 = (words[w + 2u] << s) | ((words[w + 3u] >> 1u) >> (31u - s));
    let p2 = u32_mul_wide(mantissa, w2);
    let p1 = u32_mul_wide(mantissa, w1);
    var mid = p1.x + p2.y;
    var high = mantissa * w0 + p1.y + select(0u, 1u, mid < p2.y);
    let q = (high + 0x20000000u) >> 30u;
    high = high - (q << 30u);
    let negative = (high >> 31u) != 0u;
    if (negative) {
        mid = 0u - mid;
        high = ~high + select(0u, 1u, mid == 0u);
    }
    let zeros = countLeadingZeros(high);
    let wide = zeros >= 32u;
    let shift = zeros & 31u;
    let top = select((high << shift) | ((mid >> 1u) >> (31u - shift)), mid, wide);
    let f = f32(top) * bitcast<f32>((97u - zeros) << 23u) * 1.5707964f;
    let back = (b >> 31u) != 0u;
    return vec2<f32>(select(f, -f, negative != back), f32(select(q, 4u - q, back) & 3u));
}

fn m_sin_core(r: f32) -> f32 {
    let z = r * r;
    return r + r * z * (-0.16666667f + z * (0.008333329f + z * (-0.00019839297f + z * 2.7179704e-6f)));
}

fn m_cos_core(r: f32) -> f32 {
    let z = r * r;
    return 1.0f - z * (0.5f - z * (0.041666646f + z * (-0.0013887302f + z * 2.4431629e-5f)));
}

fn m_sin(x: f32) -> f32 {
    let t = m_trig_reduce(x);
    let q = u32(t.y);
    let y = select(m_sin_core(t.x), m_cos_core(t.x), (q & 1u) != 0u);
    let s = select(y, -y, (q & 2u) != 0u);
    return select(s, m_nan(), (bitcast<u32>(x) & 0x7f800000u) == 0x7f800000u);
}

fn m_cos(x: f32) -> f32 {
    let t = m_trig_reduce(x);
    let q = u32(t.y) + 1u;
    let y = select(m_sin_core(t.x), m_cos_core(t.x), (q & 1u) != 0u);
    let s = select(y, -y, (q & 2u) != 0u);
    return select(s, m_nan(), (bitcast<u32>(x) & 0x7f800000u) == 0x7f800000u);
}

fn m_tan(x: f32) -> f32 {
    let t = m_trig_reduce(x);
    let odd = (u32(t.y) & 1u) != 0u;
    let s = m_sin_core(t.x);
    let c = m_cos_core(t.x);
    let y = select(s, -c, odd) / select(c, s, odd);
    return select(y, m_nan(), (bitcast<u32>(x) & 0x7f800000u) == 0x7f800000u);
}

// e^(a^2) erfc(a) for a from 0 to 10.5.
fn m_erfcx(a: f32) -> f32 {
    let t = 1.0f / (1.0f + 0.4f * a);
    let q = -0.27094716f + t * (0.5312574f + t * (-0.48665288f + t * (0.19283277f + t * -0.028638922f)));
    return t * (0.22570369f + t * (0.2250152f + t * (0.2143915f + t * (0.1321526f + t * (0.2648859f + t * q)))));
}

fn m_erfc(x: f32) -> f32 {
    let m = abs(x);
    let a = select(m, 10.5f, m > 10.5f);
    // the square in two parts, the first one exact
    let h = bitcast<f32>(bitcast<u32>(a) & 0xfffff000u);
    let e = (a - h) * (a + h);
    let y = m_erfcx(a) * m_exp(-h * h) * (1.0f - e * (1.0f - e * (0.5f - e * (0.16666667f - e * 0.041666668f))));
    return m_keep_nan(select(select(y, 2.0f - y, x < 0.0f), 1.0f - m_erf_near(x), m < 0.5f), x);
}

// erf(x) for |x| <= 1.
fn m_erf_near(x: f32) -> f32 {
    let z = x * x;
    let q = -0.026853811f + z * (0.0051883268f + z * (-0.000801018672f + z * 7.853838e-5f));
    return x * (1.1283791f + z * (-0.37612626f + z * (0.112835854f + z * q)));
}

fn m_erf(x: f32) -> f32 {
    let a = abs(x);
    let c = select(a, 10.0f, a > 10.0f);
    let far = m_copysign(1.0f - m_erfcx(c) * m_exp(-c * c), x);
    return m_keep_nan(select(far, m_erf_near(x), a < 1.0f), x);
}

// The distribution function of the standard normal.
fn m_phi(x: f32) -> f32 {
    let m = abs(x);
    // from here on the power below is 0
    let a = select(m, 13.22f, m > 13.22f);
    let t = 1.0f / (1.0f + 0.35f * a);
    let q = -0.04643693f + t * (0.3186577f + t * (-0.5116944f + t * (0.28806996f + t * -0.05831747f)));
    let p = t * (0.2792426f + t * (0.2797272f + t * (0.23964137f + t * (0.21110997f + t * q))));
    let c = -0.5f * a * a;
    let n = round(c * 1.442695f);
    let r = (c - n * 0.693359375f) - n * -0.00021219444f;
    // half of 2^n, as in m_exp, zero for the smallest: p is twice what it stands for
    let h = p * ((1.0f + (r + m_exp_tail(r))) * bitcast<f32>(bitcast<u32>(n + 12583038.0f) << 23u));
    return m_keep_nan(select(1.0f - h, h, x < 0.0f), x);
}

fn m_erfinv(x: f32) -> f32 {
    let w = -m_log((1.0f - x) * (1.0f + x));
    let c = w - 2.5f;
    let c1 = 0.00021849135f + c * (-4.34113e-6f + c * (-3.4931415e-6f + c * (3.379534e-7f + c * 2.513473e-8f)));
    let near = 1.5014094f + c * (0.24664082f + c * (-0.004177608f + c * (-0.0012538559f + c * c1)));
    let d = sqrt(abs(w)) - 3.0f;
    let d1 = 0.0057364833f + d * (-0.003676994f + d * (0.0013558748f + d * (0.00010430369f + d * -0.00020496317f)));
    let tail = 2.8329768f + d * (1.001674f + d * (0.009439355f + d * (-0.0076214164f + d * d1)));
    let y = x * select(tail, near, w < 5.0f);
    let edge = select(y, x * m_inf(), abs(x) == 1.0f);
    return select(edge, m_nan(), (bitcast<u32>(x) & 0x7fffffffu) > 0x3f800000u);
}

fn m_hypot(x: f32, y: f32) -> f32 {
    let steep = abs(y) > abs(x);
    let large = select(abs(x), abs(y), steep);
    let small = select(abs(y), abs(x), steep);
    let q = select(small / large, 0.0f, large == 0.0f);
    let r = select(large * sqrt(1.0f + q * q), m_nan(), m_isnan(x) || m_isnan(y));
    return select(r, m_inf(), m_isinf(x) || m_isinf(y));
}

// The exact remainder with the sign of x: long division of the mantissas, eight bits at a time.
fn m_fmod(x: f32, y: f32) -> f32 {
    let bx = bitcast<u32>(x) & 0x7fffffffu;
    let by = bitcast<u32>(y) & 0x7fffffffu;
    if (bx >= 0x7f800000u || by > 0x7f800000u || by == 0u) {
        return m_nan();
    }
    if (bx < by) {
        return x;
    }
    let ex = max(bx >> 23u, 1u);
    let ey = max(by >> 23u, 1u);
    let my = select((by & 0x7fffffu) | 0x800000u, by, by < 0x800000u);
    var r = select((bx & 0x7fffffu) | 0x800000u, bx, bx < 0x800000u) % my;
    var left = ex - ey;
    while (left > 0u) {
        let k = min(left, 8u);
        r = (r << k) % my;
        left = left - k;
    }
    let large = ey >= 24u;
    let scale = bitcast<f32>(select(ey + 41u, ey - 23u, large) << 23u) * select(5.421011e-20f, 1.0f, large);
    return m_copysign(f32(r) * scale, x);
}

fn m_remainder(x: f32, y: f32) -> f32 {
    let r = m_fmod(x, y);
    return select(r, r + y, r != 0.0f && ((y < 0.0f) != (r < 0.0f)));
}

fn m_floor_div(x: f32, y: f32) -> f32 {
    if ((bitcast<u32>(y) & 0x7fffffffu) == 0u) {
        // not by a division: a compiler knows the divisor here, and what it may assume of infinities
        let nan = m_isnan(x) || (bitcast<u32>(x) & 0x7fffffffu) == 0u;
        let sign = (bitcast<u32>(x) ^ bitcast<u32>(y)) & 0x80000000u;
        return select(bitcast<f32>(bitcast<u32>(m_inf()) | sign), m_nan(), nan);
    }
    let r = m_fmod(x, y);
    let q = (x - r) / y;
    let d = select(q, q - 1.0f, r != 0.0f && ((y < 0.0f) != (r < 0.0f)));
    let f = floor(d);
    let n = select(f, f + 1.0f, d - f > 0.5f);
    return select(n, m_copysign(0.0f, x / y), d == 0.0f);
}

// The rounded quotient without its fraction. Adapters divide to within 2.5 units in the last place, which may miss a whole
// number that the rounded quotient is: whether it is one follows from the exact remainder.
fn m_trunc_div(x: f32, y: f32) -> f32 {
    let q = x / y;
    let a = abs(q);
    let by = bitcast<u32>(y) & 0x7fffffffu;
    // NaN, infinities, and what has few fraction bits, where (x - r) / y is too coarse
    if (!(a < 2097152.0f) || by == 0u || by >= 0x7f800000u) {
        return trunc(q);
    }
    let r = m_fmod(x, y);
    let k = round(abs((x - r) / y));
    // half the distance from k + 1 to the number below it, as a factor of y
    let below = bitcast<u32>(k + 1.0f) - 1u;
    let scale = bitcast<f32>((278u - (below >> 23u)) << 23u);
    let up = (abs(y) - abs(r)) * scale <= abs(y);
    return m_copysign(select(k, k + 1.0f, up), q);
}

// 2^(y log2 |x|), the logarithm and the product in two parts each so that large exponents keep their digits; the high
// parts have 12 bits, which makes their products exact.
fn m_pow_core(x: f32, y: f32) -> f32 {
    let e = m_log_exponent(abs(x));
    let d = m_log_mantissa(abs(x));
    let m = d + 2.0f;
    let q = d / m;
    let qh = bitcast<f32>(bitcast<u32>(q) & 0xfffff000u);
    let mh = bitcast<f32>(bitcast<u32>(m) & 0xfffff000u);
    let ql = ((d - qh * mh) - qh * (m - mh)) / m;
    // log2((1 + q) / (1 - q)) = q 2 / ln 2 + q^3 (...)
    let z = q * q;
    let tail = q * z * (0.9617967f + z * (0.57708290f + z * (0.41170065f + z * 0.34033180f)));
    let a = qh * 2.884765625f;
    let low = (qh * 0.0006244568f + ql * 2.88539f) + tail;
    let sum = e + (a + low);
    let lh = bitcast<f32>(bitcast<u32>(sum) & 0xfffff000u);
    let ll = ((e - lh) + a) + low;
    let bounded = select(y, m_copysign(1.0e11f, y), abs(y) > 1.0e11f);
    let yh = bitcast<f32>(bitcast<u32>(bounded) & 0xfffff000u);
    let head = yh * lh;
    let rest = yh * ll + (bounded - yh) * (lh + ll);
    if (head > 130.0f) {
        return m_inf();
    }
    if (head < -160.0f) {
        return 0.0f;
    }
    let n = round(head);
    let f = (head - n) + rest;
    // rest may carry f past 1/2 a little; the polynomial allows for it
    let p = m_exp2(f);
    let power = i32(n);
    if (power < -125i) {
        return p * bitcast<f32>(u32(power + 190i) << 23u) * 1.0842022e-19f;
    }
    return p * bitcast<f32>(u32(min(power, 129i) + 125i) << 23u) * 4.0f;
}

fn m_pow(x: f32, y: f32) -> f32 {
    let bx = bitcast<u32>(x);
    let ax = bx & 0x7fffffffu;
    let ay = bitcast<u32>(y) & 0x7fffffffu;
    if (ay == 0u || bx == 0x3f800000u) {
        return 1.0f;
    }
    if (ax > 0x7f800000u || ay > 0x7f800000u) {
        return m_nan();
    }
    let up = (bitcast<u32>(y) >> 31u) == 0u;
    if (ay == 0x7f800000u) {
        if (ax == 0x3f800000u) {
            return 1.0f;
        }
        return select(0.0f, m_inf(), (ax > 0x3f800000u) == up);
    }
    // from 2^24 on every f32 is even
    let whole = floor(y) == y;
    let odd = whole && ay < 0x4b800000u && (u32(i32(select(0.0f, y, ay < 0x4b800000u))) & 1u) != 0u;
    var r: f32;
    if (ax == 0u || ax == 0x7f800000u) {
        r = select(0.0f, m_inf(), (ax != 0u) == up);
    } else {
        r = m_pow_core(x, y);
        if ((bx >> 31u) != 0u && !whole) {
            return m_nan();
        }
    }
    return select(r, -r, odd && (bx >> 31u) != 0u);
}
