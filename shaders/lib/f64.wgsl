// The few functions of f64 that are built on what adapters get right for it: + - * /, sqrt, abs, floor and comparisons.

// NaN stays NaN when it is narrowed, and f32 has bits to look at.
fn f64_isnan(x: f64) -> bool {
    return (bitcast<u32>(f32(x)) & 0x7fffffffu) > 0x7f800000u;
}

fn f64_isinf(x: f64) -> bool {
    return abs(x) > 1.7976931348623157e308lf && !f64_isnan(x);
}

fn f64_signbit(x: f64) -> bool {
    return (bitcast<u32>(f32(x)) >> 31u) != 0u;
}

fn f64_copysign(x: f64, s: f64) -> f64 {
    return select(abs(x), -abs(x), f64_signbit(s));
}

fn f64_sqrt(x: f64) -> f64 {
    return sqrt(x);
}

fn f64_floor(x: f64) -> f64 {
    return floor(x);
}

fn f64_ceil(x: f64) -> f64 {
    return -floor(-x);
}

fn f64_trunc(x: f64) -> f64 {
    return f64_copysign(floor(abs(x)), x);
}

// Half to even.
fn f64_round(x: f64) -> f64 {
    let a = abs(x);
    let low = floor(a);
    let rest = a - low;
    let odd = low - floor(low * 0.5lf) * 2.0lf;
    let up = rest > 0.5lf || (rest == 0.5lf && odd == 1.0lf);
    return f64_copysign(select(low, low + 1.0lf, up), x);
}

fn f64_to_i32(x: f64) -> i32 {
    let fits = x > -2147483649.0lf && x < 2147483648.0lf && !f64_isnan(x);
    return select(-2147483647i - 1i, i32(f64_trunc(select(0.0lf, x, fits))), fits);
}
