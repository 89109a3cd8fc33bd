//! Elementary and special functions of floats, and rounding.

use super::rows;
use std::f64::consts::{LN_2, PI};

/// `log(x / (1 - x))`; near 1/2 by what the quotient is more than 1, which keeps the digits.
#[inline(always)]
fn log_odds<T: Float>(x: T) -> T {
    let rest = T::lit(1.0) - x;
    let near = x.gt(T::lit(0.3)) & x.lt(T::lit(0.7));
    T::select(near, ((x - rest) / rest).log1p(), (x / rest).log())
}

rows! {
    SQRT = "sqrt", Float, |x| x.sqrt();
    RSQRT = "rsqrt", Float, |x| T::lit(1.0) / x.sqrt();
    EXP = "exp", Float, |x| x.exp();
    EXP2 = "exp2", Float, |x| x.exp2();
    EXPM1 = "expm1", Float, |x| x.expm1();
    LOG = "log", Float, |x| x.log();
    LOG2 = "log2", Float, |x| x.log2();
    LOG10 = "log10", Float, |x| x.log10();
    LOG1P = "log1p", Float, |x| x.log1p();
    SIN = "sin", Trig, |x| x.sin();
    COS = "cos", Trig, |x| x.cos();
    TAN = "tan", Trig, |x| x.tan();
    ASIN = "asin", Float, |x| x.asin();
    ACOS = "acos", Float, |x| x.acos();
    ATAN = "atan", Float, |x| x.atan();
    SINH = "sinh", Float, |x| x.sinh();
    COSH = "cosh", Float, |x| x.cosh();
    TANH = "tanh", Float, |x| x.tanh();
    ASINH = "asinh", Float, |x| x.asinh();
    ACOSH = "acosh", Float, |x| x.acosh();
    ATANH = "atanh", Float, |x| x.atanh();
    ERF = "erf", Float, |x| x.erf();
    ERFC = "erfc", Float, |x| x.erfc();
    ERFINV = "erfinv", Float, |x| x.erfinv();
    NDTR = "ndtr", Float, |x| x.phi();
    LGAMMA = "lgamma", Float, |x| x.lgamma();
    DIGAMMA = "digamma", Float, |x| x.digamma();
    I0 = "i0", Float, |x| x.i0();
    ATAN2 = "atan2", Float, |y, x| y.atan2(x);
    HYPOT = "hypot", Float, |x, y| x.hypot(y);
    FLOOR = "floor", Float, |x| x.floor();
    CEIL = "ceil", Float, |x| x.ceil();
    TRUNC = "trunc", Float, |x| x.trunc();
    ROUND = "round", Float, |x| x.round();
    FRAC = "frac", Float, |x| x - x.trunc();
    NAN_TO_NUM = "nan_to_num", Float, |x, nan, posinf, neginf| {
        let finite = T::select(x.is_inf(), T::select(x.signbit(), neginf, posinf), x);
        T::select(x.is_nan(), nan, finite)
    };
    LOGADDEXP = "logaddexp", Float, |a, b| {
        let sum = a.maximum(b) + (-(a - b).abs()).exp().log1p();
        T::select(a.is_inf() & a.eq(b) & !b.is_nan(), a, sum)
    };
    LOGADDEXP2 = "logaddexp2", Float, |a, b| {
        let sum = a.maximum(b) + (-(a - b).abs()).exp2().log1p() * (1.0 / LN_2);
        T::select(a.is_inf() & a.eq(b) & !b.is_nan(), a, sum)
    };
    XLOGY = "xlogy", Float, |x, y| {
        let zero = x.eq(T::lit(0.0)) & x.ordered(y);
        T::select(zero, T::lit(0.0), x * y.log())
    };
    XLOG1PY = "xlog1py", Float, |x, y| {
        let zero = x.eq(T::lit(0.0)) & x.ordered(y);
        T::select(zero, T::lit(0.0), x * y.log1p())
    };
    ENTR = "entr", Float, |x| {
        let outside = T::select(x.lt(T::lit(0.0)) & !x.is_nan(), -T::inf(), x);
        T::select(x.gt(T::lit(0.0)) & !x.is_nan(), -x * x.log(), outside)
    };
    HEAVISIDE = "heaviside", Arith, |x, at_zero| {
        let (zero, one) = (T::int(0), T::int(1));
        let step = T::select(x.gt(zero) & !x.is_nan(), one, zero);
        T::select(x.eq(zero) & !x.is_nan(), at_zero, step)
    };
    SINC = "sinc", Trig, |x| {
        let z = x * PI;
        T::select(x.eq(T::lit(0.0)), T::lit(1.0), z.sin() / z)
    };
    LOGIT = "logit", Float, |x| log_odds(x);
    LOGIT_EPS = "logit_eps", Float, |x, lo, hi| {
        log_odds(T::select(x.lt(lo), lo, T::select(x.gt(hi), hi, x)))
    };
    DEG2RAD = "deg2rad", Float, |x| x * (PI / 180.0);
    RAD2DEG = "rad2deg", Float, |x| x * (180.0 / PI);
}
