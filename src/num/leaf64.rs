//! The functions of one f64: std's and libm's where they have them. Also what the tests hold the f32 twins to.

pub(super) use libm::{erf, erfc, lgamma};
use std::f64::consts::{PI, SQRT_2};

macro_rules! std_leaves {
    ($($name:ident $method:ident;)*) => {$(
        #[inline(always)]
        pub(super) fn $name(x: f64) -> f64 { x.$method() }
    )*};
}
std_leaves! {
    exp exp; exp2 exp2; expm1 exp_m1; log ln; log2 log2; log10 log10; log1p ln_1p;
    sin sin; cos cos; tan tan; asin asin; acos acos; atan atan; sinh sinh; cosh cosh; tanh tanh;
    sqrt sqrt; floor floor; ceil ceil; trunc trunc; round round_ties_even;
}

/// Inverse hyperbolic sine, by log1p so that small arguments keep their digits.
pub(super) fn asinh(x: f64) -> f64 {
    libm::asinh(x)
}

/// Inverse hyperbolic cosine.
pub(super) fn acosh(x: f64) -> f64 {
    if x < 1.0 { f64::NAN } else { libm::acosh(x) }
}

/// Inverse hyperbolic tangent.
pub(super) fn atanh(x: f64) -> f64 {
    libm::atanh(x)
}

/// The logistic function; the branch keeps exp from overflowing.
pub(super) fn sigmoid(x: f64) -> f64 {
    let e = (-x.abs()).exp();
    if x >= 0.0 { 1.0 / (1.0 + e) } else { e / (1.0 + e) }
}

/// The distribution function of the standard normal.
pub(super) fn phi(x: f64) -> f64 {
    0.5 * erfc(-x / SQRT_2)
}

/// Euclidean length without overflow of the squares.
pub(super) fn hypot(x: f64, y: f64) -> f64 {
    x.hypot(y)
}

/// `a / b` rounded down, exactly: through the remainder, as Python does it.
pub(super) fn div_floor(a: f64, b: f64) -> f64 {
    if b == 0.0 {
        return a / b;
    }
    let r = a % b;
    let q = (a - r) / b;
    let q = if r != 0.0 && (b < 0.0) != (r < 0.0) { q - 1.0 } else { q };
    if q == 0.0 {
        return 0f64.copysign(a / b);
    }
    let f = q.floor();
    if q - f > 0.5 { f + 1.0 } else { f }
}

/// The neighbour of `x` on the way to `y`.
pub(super) fn nextafter(x: f64, y: f64) -> f64 {
    if x.is_nan() || y.is_nan() {
        f64::NAN
    } else if x == y {
        y
    } else if y > x {
        x.next_up()
    } else {
        x.next_down()
    }
}

/// The inverse of erf: a start good to a few digits (Giles's and Winitzki's form), then Newton steps in the tail-safe form.
pub(super) fn erfinv(y: f64) -> f64 {
    if y.is_nan() || y.abs() > 1.0 {
        return f64::NAN;
    }
    if y.abs() == 1.0 {
        return f64::INFINITY.copysign(y);
    }
    if y == 0.0 {
        return y;
    }
    let a = y.abs();
    // Winitzki's approximation of the inverse
    let ln = (-a * a).ln_1p();
    let t = 2.0 / (PI * 0.147) + ln / 2.0;
    let mut x = ((t * t - ln / 0.147).sqrt() - t).sqrt();
    for _ in 0..4 {
        // near 1 the complement keeps the digits that erf loses
        let err = if a > 0.5 { (1.0 - a) - erfc(x) } else { erf(x) - a };
        let step = err / (2.0 / PI.sqrt() * (-x * x).exp());
        x -= step / (1.0 + x * step);
    }
    x.copysign(y)
}

/// The logarithmic derivative of the gamma function: recurrence up to 10, then its asymptotic series.
pub(super) fn digamma(x: f64) -> f64 {
    if x == 0.0 {
        return f64::INFINITY.copysign(-x);
    }
    if x < 0.0 {
        if x == x.floor() {
            return f64::NAN;
        }
        // reflection, with the argument of tan reduced first
        let r = x - x.trunc();
        return digamma(1.0 - x) - PI / (PI * r).tan();
    }
    let (mut x, mut shift) = (x, 0.0);
    while x < 10.0 {
        shift -= 1.0 / x;
        x += 1.0;
    }
    if x == f64::INFINITY {
        return x;
    }
    let z = 1.0 / (x * x);
    // Bernoulli numbers B_2k / 2k
    const B: [f64; 7] =
        [1.0 / 12.0, -1.0 / 120.0, 1.0 / 252.0, -1.0 / 240.0, 1.0 / 132.0, -691.0 / 32760.0, 1.0 / 12.0];
    let series = B.iter().rev().fold(0.0, |s, b| (s + b) * z);
    shift + x.ln() - 0.5 / x - series
}

/// The modified Bessel function of order 0: its power series, and its asymptotic one from 30 on.
pub(super) fn i0(x: f64) -> f64 {
    let x = x.abs();
    if x < 30.0 {
        let q = x * x / 4.0;
        let (mut term, mut sum, mut k) = (1.0, 1.0, 1.0);
        while term > sum * 1e-17 {
            term *= q / (k * k);
            sum += term;
            k += 1.0;
        }
        return if x.is_nan() { x } else { sum };
    }
    if x == f64::INFINITY {
        // as PyTorch: infinity over infinity
        return f64::NAN;
    }
    let (mut term, mut sum) = (1.0, 1.0);
    for k in 1..30 {
        let odd = (2 * k - 1) as f64;
        let next = term * odd * odd / (8.0 * k as f64 * x);
        if next > term || next < 1e-17 {
            break;
        }
        term = next;
        sum += term;
    }
    // exp in two halves: e^x alone overflows before the quotient does
    let e = (x / 2.0).exp();
    e * (sum / (2.0 * PI * x).sqrt()) * e
}
