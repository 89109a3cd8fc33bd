//! Gradients that one kernel computes from the incoming gradient `g` and what the forward op saved: its input `x` or its
//! result `y`.

use super::{rows, sigmoid_parts, times_exp};

const SQRT_PI: f64 = 1.772_453_850_905_516;
/// 1 / sqrt(2 pi)
const NORMAL: f64 = 0.398_942_280_401_432_7;
const SQRT_2_OVER_PI: f64 = 0.797_884_560_802_865_4;

rows! {
    SIGMOID_BACKWARD = "sigmoid_backward", Float, |g, y| g * (T::lit(1.0) - y) * y;
    // in factors: 1 - y * y differs where a driver makes it one rounding
    TANH_BACKWARD = "tanh_backward", Float, |g, y| g * ((T::lit(1.0) - y) * (y + 1.0));
    TAN_BACKWARD = "tan_backward", Float, |g, y| g * (y * y + 1.0);
    THRESHOLD_BACKWARD = "threshold_backward", Arith, |g, x, threshold| {
        T::select(x.le(threshold) & !x.is_nan(), T::int(0), g)
    };
    HARDTANH_BACKWARD = "hardtanh_backward", Float, |g, x, lo, hi| {
        T::select((x.le(lo) | x.ge(hi)) & !x.is_nan(), T::lit(0.0), g)
    };
    GELU_BACKWARD = "gelu_backward", Float, |g, x| g * (x.phi() + x * (x * x * -0.5).exp() * NORMAL);
    GELU_TANH_BACKWARD = "gelu_tanh_backward", Float, |g, x| {
        let x2 = x * x;
        let [a, b] = sigmoid_parts((x2 * 0.044715 + 1.0) * x * (2.0 * SQRT_2_OVER_PI));
        let inner = (x2 * (3.0 * 0.044715) + 1.0) * (2.0 * SQRT_2_OVER_PI);
        g * a * (x * (T::lit(1.0) - a * b) * inner + 1.0) * b
    };
    SILU_BACKWARD = "silu_backward", Float, |g, x| {
        let [a, b] = sigmoid_parts(x);
        g * a * (x * (T::lit(1.0) - a * b) + 1.0) * b
    };
    ELU_BACKWARD = "elu_backward", Float, |g, x, alpha, scale| {
        T::select(x.gt(T::lit(0.0)), g * scale, times_exp(g * (alpha * scale), x))
    };
    CELU_BACKWARD = "celu_backward", Float, |g, x, alpha| {
        T::select(x.gt(T::lit(0.0)), g, times_exp(g, x / alpha))
    };
    LEAKY_RELU_BACKWARD = "leaky_relu_backward", Float, |g, x, slope| {
        T::select(x.gt(T::lit(0.0)), g, g * slope)
    };
    SOFTPLUS_BACKWARD = "softplus_backward", Float, |g, x, beta, threshold| {
        let z = x * beta;
        let [a, b] = sigmoid_parts(z);
        T::select(z.gt(threshold), g, g * a * b)
    };
    LOGSIGMOID_BACKWARD = "logsigmoid_backward", Float, |g, x| {
        let [a, b] = sigmoid_parts(-x);
        g * a * b
    };
    HARDSWISH_BACKWARD = "hardswish_backward", Float, |g, x| {
        let inside = T::select(x.ge(T::lit(3.0)), g, g * (x / 3.0 + 0.5));
        T::select(x.le(T::lit(-3.0)) & !x.is_nan(), T::lit(0.0), inside)
    };
    HARDSIGMOID_BACKWARD = "hardsigmoid_backward", Float, |g, x| {
        T::select(x.abs().lt(T::lit(3.0)), g * (1.0 / 6.0), T::lit(0.0))
    };
    MISH_BACKWARD = "mish_backward", Float, |g, x| {
        // as in the forward row; the sigmoid is e / (1 + e)
        let h = (T::select(x.lt(T::lit(20.0)), x, T::lit(20.0)) * 0.5).exp();
        let e = h * h;
        let n = e * (e + 2.0);
        let t = n / (n + 2.0);
        let rest = T::lit(1.0) - t * t;
        let near = g * h * ((e + 2.0) / (n + 2.0) + x * rest / (e + 1.0)) * h;
        T::select(x.gt(T::lit(20.0)), g * (t + x * (e / (e + 1.0)) * rest), near)
    };
    SHRINK_BACKWARD = "shrink_backward", Float, |g, x, lambd| {
        T::select(x.ge(-lambd) & x.le(lambd) & !x.is_nan(), T::lit(0.0), g)
    };
    SQRT_BACKWARD = "sqrt_backward", Float, |g, y| g / (y * 2.0);
    RSQRT_BACKWARD = "rsqrt_backward", Float, |g, y| g * -0.5 * (y * y * y);
    RECIPROCAL_BACKWARD = "reciprocal_backward", Float, |g, y| -g * (y * y);
    POW_BACKWARD = "pow_backward", Float, |g, x, exponent| {
        let slope = g * (exponent * x.pow(exponent - 1.0));
        T::select(exponent.eq(T::lit(0.0)), T::lit(0.0), slope)
    };
    POW_BACKWARD_EXPONENT = "pow_backward_exponent", Float, |g, x, exponent, y| {
        let flat = x.eq(T::lit(0.0)) & exponent.ge(T::lit(0.0));
        T::select(flat, T::lit(0.0), g * (y * x.log()))
    };
    ERF_BACKWARD = "erf_backward", Float, |g, x| times_exp(g * (2.0 / SQRT_PI), -(x * x));
    ERFINV_BACKWARD = "erfinv_backward", Float, |g, y| g * ((y * y).exp() * (SQRT_PI / 2.0));
    LOGIT_BACKWARD = "logit_backward", Float, |g, x| g / (x * (T::lit(1.0) - x));
}
