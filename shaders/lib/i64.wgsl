// 64-bit integers as vec2<u32>: low word, high word, two's complement, wrapping. Nothing traps: a quotient by zero is 0.

fn i64_add(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    let low = a.x + b.x;
    return vec2<u32>(low, a.y + b.y + select(0u, 1u, low < a.x));
}

fn i64_neg(a: vec2<u32>) -> vec2<u32> {
    return vec2<u32>(0u - a.x, ~a.y + select(0u, 1u, a.x == 0u));
}

fn i64_sub(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    return vec2<u32>(a.x - b.x, a.y - b.y - select(0u, 1u, a.x < b.x));
}

fn i64_mul(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    let p = u32_mul_wide(a.x, b.x);
    return vec2<u32>(p.x, p.y + a.x * b.y + a.y * b.x);
}

fn i64_lt(a: vec2<u32>, b: vec2<u32>) -> bool {
    let ah = a.y ^ 0x80000000u;
    let bh = b.y ^ 0x80000000u;
    return ah < bh || (ah == bh && a.x < b.x);
}

fn i64_abs(a: vec2<u32>) -> vec2<u32> {
    return select(a, i64_neg(a), (a.y >> 31u) != 0u);
}

// Shifted left by 0 to 63.
fn u64_shl(a: vec2<u32>, n: u32) -> vec2<u32> {
    let s = n & 31u;
    let carry = (a.x >> 1u) >> (31u - s);
    return select(vec2<u32>(a.x << s, (a.y << s) | carry), vec2<u32>(0u, a.x << s), n >= 32u);
}

fn i64_shl(a: vec2<u32>, n: vec2<u32>) -> vec2<u32> {
    return select(u64_shl(a, n.x & 63u), vec2<u32>(0u), n.y != 0u || n.x >= 64u);
}

fn i64_shr(a: vec2<u32>, n: vec2<u32>) -> vec2<u32> {
    let wide = n.y != 0u || n.x >= 64u;
    let k = select(n.x, 63u, wide);
    let s = k & 31u;
    let high = bitcast<u32>(bitcast<i32>(a.y) >> s);
    let sign = bitcast<u32>(bitcast<i32>(a.y) >> 31u);
    let carry = (a.y << 1u) << (31u - s);
    return select(vec2<u32>((a.x >> s) | carry, high), vec2<u32>(high, sign), k >= 32u);
}

// Quotient and remainder of unsigned numbers (low and high word of each), for b that is not zero.
fn u64_divide(a: vec2<u32>, b: vec2<u32>) -> vec4<u32> {
    if ((a.y | b.y) == 0u) {
        let q = a.x / max(b.x, 1u);
        return vec4<u32>(q, 0u, a.x - q * b.x, 0u);
    }
    var q = vec2<u32>(0u);
    var r = vec2<u32>(0u);
    for (var i = 0u; i < 64u; i = i + 1u) {
        let bit = select(a.y >> ((63u - i) & 31u), a.x >> ((63u - i) & 31u), i >= 32u) & 1u;
        // a remainder that loses its top bit is larger than any b
        let over = (r.y >> 31u) != 0u;
        r = vec2<u32>((r.x << 1u) | bit, (r.y << 1u) | (r.x >> 31u));
        q = vec2<u32>(q.x << 1u, (q.y << 1u) | (q.x >> 31u));
        if (over || r.y > b.y || (r.y == b.y && r.x >= b.x)) {
            r = i64_sub(r, b);
            q.x = q.x | 1u;
        }
    }
    return vec4<u32>(q, r);
}

fn i64_div(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    if (all(b == vec2<u32>(0u))) {
        return vec2<u32>(0u);
    }
    let q = u64_divide(i64_abs(a), i64_abs(b)).xy;
    return select(q, i64_neg(q), ((a.y ^ b.y) >> 31u) != 0u);
}

fn i64_rem(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    if (all(b == vec2<u32>(0u))) {
        return vec2<u32>(0u);
    }
    let r = u64_divide(i64_abs(a), i64_abs(b)).zw;
    return select(r, i64_neg(r), (a.y >> 31u) != 0u);
}

fn i64_remainder(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    let r = i64_rem(a, b);
    let turn = any(r != vec2<u32>(0u)) && ((r.y ^ b.y) >> 31u) != 0u;
    return select(r, i64_add(r, b), turn);
}

fn i64_floor_div(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    if (all(b == vec2<u32>(0u))) {
        return vec2<u32>(0u);
    }
    let d = u64_divide(i64_abs(a), i64_abs(b));
    let negative = ((a.y ^ b.y) >> 31u) != 0u;
    // the next one down where the quotient is negative and not whole
    let q = select(d.xy, i64_neg(d.xy), negative);
    return select(q, i64_sub(q, vec2<u32>(1u, 0u)), negative && any(d.zw != vec2<u32>(0u)));
}

fn i64_pow(a: vec2<u32>, n: vec2<u32>) -> vec2<u32> {
    let one = vec2<u32>(1u, 0u);
    if ((n.y >> 31u) != 0u) {
        // below 1 in magnitude it is cut to 0
        if (all(a == vec2<u32>(0xffffffffu))) {
            return select(one, a, (n.x & 1u) != 0u);
        }
        return select(vec2<u32>(0u), one, all(a == one));
    }
    var e = n;
    var base = a;
    var r = one;
    while (any(e != vec2<u32>(0u))) {
        if ((e.x & 1u) != 0u) {
            r = i64_mul(r, base);
        }
        base = i64_mul(base, base);
        e = vec2<u32>((e.x >> 1u) | (e.y << 31u), e.y >> 1u);
    }
    return r;
}

fn i64_gcd(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    var x = i64_abs(a);
    var y = i64_abs(b);
    while (any(y != vec2<u32>(0u))) {
        let r = u64_divide(x, y).zw;
        x = y;
        y = r;
    }
    return x;
}

// Rounded to nearest even.
fn i64_to_f32(a: vec2<u32>) -> f32 {
    let m = i64_abs(a);
    let zeros = select(countLeadingZeros(m.y), 32u + countLeadingZeros(m.x), m.y == 0u);
    let n = u64_shl(m, min(zeros, 63u));
    // the top 24 bits stay; the others decide, with one bit for all that is below
    let rest = ((n.y & 255u) << 1u) | select(0u, 1u, n.x != 0u);
    let top = n.y >> 8u;
    let up = select(0u, 1u, rest > 256u || (rest == 256u && (top & 1u) != 0u));
    let bits = ((190u - zeros) << 23u) + (top & 0x7fffffu) + up;
    return bitcast<f32>(select(bits, 0u, zeros >= 64u) | (a.y & 0x80000000u));
}

// Truncated; what i64 cannot hold, NaN too, is its smallest value.
fn i64_from_f32(x: f32) -> vec2<u32> {
    let b = bitcast<u32>(x);
    let e = (b >> 23u) & 255u;
    if (e >= 190u) {
        return vec2<u32>(0u, 0x80000000u);
    }
    let m = (b & 0x7fffffu) | 0x800000u;
    var r = vec2<u32>(m >> min(150u - min(e, 150u), 31u), 0u);
    if (e > 150u) {
        r = u64_shl(vec2<u32>(m, 0u), e - 150u);
    }
    return select(r, i64_neg(r), (b >> 31u) != 0u);
}

fn i64_to_f64(a: vec2<u32>) -> f64 {
    return f64(bitcast<i32>(a.y)) * 4294967296.0lf + f64(a.x);
}

fn i64_from_f64(x: f64) -> vec2<u32> {
    let fits = x >= -9223372036854775808.0lf && x < 9223372036854775808.0lf && !f64_isnan(x);
    let t = f64_trunc(select(0.0lf, x, fits));
    let high = floor(t * 0.00000000023283064365386962890625lf);
    let r = vec2<u32>(u32(t - high * 4294967296.0lf), bitcast<u32>(i32(high)));
    return select(vec2<u32>(0u, 0x80000000u), r, fits);
}
