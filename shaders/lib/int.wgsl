// 32-bit integers with PyTorch's rules. Nothing traps, also in modules without run-time checks: a quotient by zero is 0,
// and the smallest integer divided by -1 is itself.

fn i32_div(a: i32, b: i32) -> i32 {
    let wraps = b == -1i;
    let q = a / select(b, 1i, b == 0i || wraps);
    return select(select(q, -a, wraps), 0i, b == 0i);
}

fn i32_rem(a: i32, b: i32) -> i32 {
    return a - i32_div(a, b) * b - select(0i, a, b == 0i);
}

fn i32_remainder(a: i32, b: i32) -> i32 {
    let r = i32_rem(a, b);
    return select(r, r + b, r != 0i && (r ^ b) < 0i);
}

fn i32_floor_div(a: i32, b: i32) -> i32 {
    let q = i32_div(a, b);
    let r = i32_rem(a, b);
    return select(q, q - 1i, r != 0i && (r ^ b) < 0i);
}

fn i32_pow(a: i32, n: i32) -> i32 {
    if (n < 0i) {
        // below 1 in magnitude it is cut to 0
        return select(select(0i, 1i, a == 1i), select(1i, -1i, (n & 1i) != 0i), a == -1i);
    }
    var e = n;
    var base = a;
    var r = 1i;
    while (e != 0i) {
        if ((e & 1i) != 0i) {
            r = r * base;
        }
        base = base * base;
        e = e >> 1u;
    }
    return r;
}

fn i32_shl(a: i32, n: i32) -> i32 {
    return select(a << (u32(n) & 31u), 0i, n < 0i || n >= 32i);
}

fn i32_shr(a: i32, n: i32) -> i32 {
    return a >> select(u32(n) & 31u, 31u, n < 0i || n >= 32i);
}

fn i32_gcd(a: i32, b: i32) -> i32 {
    // unsigned, since the smallest integer has no opposite
    return bitcast<i32>(u32_gcd(bitcast<u32>(abs(a)), bitcast<u32>(abs(b))));
}

fn u32_div(a: u32, b: u32) -> u32 {
    return select(a / max(b, 1u), 0u, b == 0u);
}

fn u32_rem(a: u32, b: u32) -> u32 {
    return select(a % max(b, 1u), 0u, b == 0u);
}

fn u32_pow(a: u32, n: u32) -> u32 {
    var e = n;
    var base = a;
    var r = 1u;
    while (e != 0u) {
        if ((e & 1u) != 0u) {
            r = r * base;
        }
        base = base * base;
        e = e >> 1u;
    }
    return r;
}

fn u32_shl(a: u32, n: u32) -> u32 {
    return select(a << (n & 31u), 0u, n >= 32u);
}

fn u32_shr(a: u32, n: u32) -> u32 {
    return select(a >> (n & 31u), 0u, n >= 32u);
}

fn u32_gcd(a: u32, b: u32) -> u32 {
    var x = a;
    var y = b;
    while (y != 0u) {
        let r = x % y;
        x = y;
        y = r;
    }
    return x;
}
