//! Activation functions of neural networks.

use super::{rows, sigmoid_parts};

/// sqrt(2 / pi), of the tanh form of gelu.
const SQRT_2_OVER_PI: f64 = 0.797_884_560_802_865_4;
const SELU_ALPHA: f64 = 1.673_263_242_354_377_2;
const SELU_SCALE: f64 = 1.050_700_987_355_480_5;

rows! {
    SIGMOID = "sigmoid", Float, |x| x.sigmoid();
    RELU = "relu", Arith, |x| T::select(x.is_nan() | x.gt(T::int(0)), x, T::int(0));
    GELU = "gelu", Float, |x| x * x.phi();
    // 1 + tanh(u) is twice the sigmoid of 2u, which keeps the digits of the left tail
    GELU_TANH = "gelu_tanh", Float, |x| {
        let [a, b] = sigmoid_parts((x * x * 0.044715 + 1.0) * x * (2.0 * SQRT_2_OVER_PI));
        x * a * b
    };
    SILU = "silu", Float, |x| {
        let [a, b] = sigmoid_parts(x);
        x * a * b
    };
    ELU = "elu", Float, |x, alpha, scale| {
        T::select(x.gt(T::lit(0.0)), x * scale, x.expm1() * (alpha * scale))
    };
    CELU = "celu", Float, |x, alpha| T::select(x.gt(T::lit(0.0)), x, (x / alpha).expm1() * alpha);
    SELU = "selu", Float, |x| {
        T::select(x.gt(T::lit(0.0)), x * SELU_SCALE, x.expm1() * (SELU_ALPHA * SELU_SCALE))
    };
    LEAKY_RELU = "leaky_relu", Float, |x, slope| T::select(x.gt(T::lit(0.0)), x, x * slope);
    SOFTPLUS = "softplus", Float, |x, beta, threshold| {
        let z = x * beta;
        T::select(z.gt(threshold), x, z.exp().log1p() / beta)
    };
    LOGSIGMOID = "logsigmoid", Float, |x| {
        T::select(x.lt(T::lit(0.0)), x, T::lit(0.0)) - (-x.abs()).exp().log1p()
    };
    HARDTANH = "hardtanh", Arith, |x, lo, hi| x.maximum(lo).minimum(hi);
    HARDSWISH = "hardswish", Float, |x| x * (x + 3.0).maximum(T::lit(0.0)).minimum(T::lit(6.0)) / 6.0;
    HARDSIGMOID = "hardsigmoid", Float, |x| (x + 3.0).maximum(T::lit(0.0)).minimum(T::lit(6.0)) / 6.0;
    // tanh(log(1 + e)) = n / (n + 2) with n = e (e + 2); above 20 it is 1 and e would overflow. e goes in by halves, as it is
    // subnormal where x e is not yet
    MISH = "mish", Float, |x| {
        let h = (T::select(x.lt(T::lit(20.0)), x, T::lit(20.0)) * 0.5).exp();
        let e = h * h;
        let n = e * (e + 2.0);
        T::select(x.gt(T::lit(20.0)), x, x * h * ((e + 2.0) / (n + 2.0)) * h)
    };
    SOFTSIGN = "softsign", Float, |x| x / (x.abs() + 1.0);
    TANHSHRINK = "tanhshrink", Float, |x| x - x.tanh();
    HARDSHRINK = "hardshrink", Float, |x, lambd| {
        T::select(x.ge(-lambd) & x.le(lambd) & !x.is_nan(), T::lit(0.0), x)
    };
    SOFTSHRINK = "softshrink", Float, |x, lambd| {
        T::select(x.gt(lambd), x - lambd, T::select(x.lt(-lambd), x + lambd, T::select(x.is_nan(), x, T::lit(0.0))))
    };
    THRESHOLD = "threshold", Arith, |x, threshold, value| T::select(x.le(threshold) & !x.is_nan(), value, x);
}
