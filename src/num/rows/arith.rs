//! Arithmetic: sums, quotients, remainders, powers, extrema.

use super::rows;

rows! {
    POSITIVE = "positive", Base, |x| x;
    ADD = "add", Ring, |a, b| a + b;
    SUB = "sub", Arith, |a, b| a - b;
    MUL = "mul", Ring, |a, b| a * b;
    DIV = "div", Float, |a, b| a / b;
    DIV_TRUNC = "div_trunc", Arith, |a, b| a.div_trunc(b);
    FLOOR_DIVIDE = "floor_divide", Arith, |a, b| a.div_floor(b);
    REMAINDER = "remainder", Arith, |a, b| a.rem_floor(b);
    FMOD = "fmod", Arith, |a, b| a.rem_trunc(b);
    POW = "pow", Arith, |a, b| a.pow(b);
    NEG = "neg", Arith, |x| -x;
    ABS = "abs", Arith, |x| x.abs();
    SIGN = "sign", Arith, |x| x.sign();
    SGN = "sgn", Arith, |x| x.sign();
    SQUARE = "square", Ring, |x| x * x;
    RECIPROCAL = "reciprocal", Float, |x| T::lit(1.0) / x;
    ADDCMUL = "addcmul", Ring, |x, t1, t2, value| x + value * t1 * t2;
    ADDCDIV = "addcdiv", Float, |x, t1, t2, value| x + value * t1 / t2;
    LERP = "lerp", Float, |start, end, weight| {
        let d = end - start;
        T::select(weight.abs().lt(T::lit(0.5)), start + weight * d, end - d * (T::lit(1.0) - weight))
    };
    MAXIMUM = "maximum", Base, |a, b| a.maximum(b);
    MINIMUM = "minimum", Base, |a, b| a.minimum(b);
    FMAX = "fmax", Base, |a, b| T::select(a.is_nan() | (b.gt(a) & !b.is_nan()), b, a);
    FMIN = "fmin", Base, |a, b| T::select(a.is_nan() | (b.lt(a) & !b.is_nan()), b, a);
    CLAMP = "clamp", Base, |x, lo, hi| x.maximum(lo).minimum(hi);
    CLAMP_MIN = "clamp_min", Base, |x, lo| x.maximum(lo);
    CLAMP_MAX = "clamp_max", Base, |x, hi| x.minimum(hi);
    GCD = "gcd", Int, |a, b| a.gcd(b);
    LCM = "lcm", Int, |a, b| (a.div_trunc(a.gcd(b)) * b).abs();
    COPYSIGN = "copysign", Float, |x, sign| x.copysign(sign);
    NEXTAFTER = "nextafter", Float, |x, to| x.nextafter(to);
}
