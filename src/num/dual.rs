//! A number with a derivative: what a row's formula says its own gradient is, the oracle for hand-written ones.

use super::{Arith, Base, Float, Ring, for_leaves, leaf64};
use std::f64::consts::{LN_2, LN_10, PI};
use std::ops::{Add, Div, Mul, Neg, Sub};

/// A value and its derivative.
#[derive(Clone, Copy, Debug)]
pub struct Dual {
    /// The value.
    pub v: f64,
    /// The derivative.
    pub d: f64,
}

/// A formula on duals.
pub type DualFn = fn(&[Dual]) -> Dual;

fn dual(v: f64, d: f64) -> Dual {
    Dual { v, d }
}

impl Base for Dual {
    type B = bool;
    fn int(i: i64) -> Self {
        dual(i as f64, 0.0)
    }
    fn eq(self, o: Self) -> bool {
        self.v == o.v
    }
    fn lt(self, o: Self) -> bool {
        self.v < o.v
    }
    fn le(self, o: Self) -> bool {
        self.v <= o.v
    }
    fn select(c: bool, yes: Self, no: Self) -> Self {
        if c { yes } else { no }
    }
    fn is_nan(self) -> bool {
        self.v.is_nan()
    }
    fn truth(self) -> bool {
        self.v != 0.0
    }
    fn is_inf(self) -> bool {
        self.v.is_infinite()
    }
    fn signbit(self) -> bool {
        self.v.is_sign_negative()
    }
}
impl Add for Dual {
    type Output = Dual;
    fn add(self, o: Dual) -> Dual {
        dual(self.v + o.v, self.d + o.d)
    }
}
impl Sub for Dual {
    type Output = Dual;
    fn sub(self, o: Dual) -> Dual {
        dual(self.v - o.v, self.d - o.d)
    }
}
impl Mul for Dual {
    type Output = Dual;
    fn mul(self, o: Dual) -> Dual {
        dual(self.v * o.v, self.d * o.v + self.v * o.d)
    }
}
impl Div for Dual {
    type Output = Dual;
    fn div(self, o: Dual) -> Dual {
        dual(self.v / o.v, (self.d - self.v / o.v * o.d) / o.v)
    }
}
impl Neg for Dual {
    type Output = Dual;
    fn neg(self) -> Dual {
        dual(-self.v, -self.d)
    }
}
macro_rules! with_literal {
    ($($tr:ident $f:ident $op:tt),*) => {$(
        impl $tr<f64> for Dual {
            type Output = Dual;
            fn $f(self, o: f64) -> Dual { self $op dual(o, 0.0) }
        }
    )*};
}
with_literal!(Add add +, Sub sub -, Mul mul *, Div div /);

impl Ring for Dual {}
impl Arith for Dual {
    fn div_trunc(self, o: Self) -> Self {
        dual((self.v / o.v).trunc(), 0.0)
    }
    fn div_floor(self, o: Self) -> Self {
        dual(leaf64::div_floor(self.v, o.v), 0.0)
    }
    fn rem_trunc(self, o: Self) -> Self {
        dual(self.v % o.v, self.d - (self.v / o.v).trunc() * o.d)
    }
    fn rem_floor(self, o: Self) -> Self {
        let q = leaf64::div_floor(self.v, o.v);
        let r = self.v % o.v;
        let r = if r != 0.0 && (r < 0.0) != (o.v < 0.0) { r + o.v } else { r };
        dual(r, self.d - q * o.d)
    }
    fn abs(self) -> Self {
        let s = if self.v > 0.0 {
            1.0
        } else if self.v < 0.0 {
            -1.0
        } else {
            0.0
        };
        dual(self.v.abs(), s * self.d)
    }
    fn pow(self, o: Self) -> Self {
        let v = self.v.powf(o.v);
        let by_base = if o.v == 0.0 { 0.0 } else { o.v * self.v.powf(o.v - 1.0) * self.d };
        let by_exponent = if o.d == 0.0 || (self.v == 0.0 && o.v >= 0.0) { 0.0 } else { v * self.v.ln() * o.d };
        dual(v, by_base + by_exponent)
    }
}

/// The derivative of each function at `x`, where its value is `y`.
mod slope {
    use super::*;
    macro_rules! slopes {
        ($($name:ident |$x:ident, $y:ident| $e:expr;)*) => {$(
            pub(super) fn $name($x: f64, $y: f64) -> f64 { $e }
        )*};
    }
    slopes! {
        exp |_x, y| y;
        exp2 |_x, y| y * LN_2;
        expm1 |_x, y| y + 1.0;
        log |x, _y| 1.0 / x;
        log2 |x, _y| 1.0 / (x * LN_2);
        log10 |x, _y| 1.0 / (x * LN_10);
        log1p |x, _y| 1.0 / (1.0 + x);
        sin |x, _y| x.cos();
        cos |x, _y| -x.sin();
        tan |_x, y| 1.0 + y * y;
        asin |x, _y| 1.0 / (1.0 - x * x).sqrt();
        acos |x, _y| -1.0 / (1.0 - x * x).sqrt();
        atan |x, _y| 1.0 / (1.0 + x * x);
        sinh |x, _y| x.cosh();
        cosh |x, _y| x.sinh();
        tanh |_x, y| 1.0 - y * y;
        asinh |x, _y| 1.0 / (x * x + 1.0).sqrt();
        acosh |x, _y| 1.0 / (x * x - 1.0).sqrt();
        atanh |x, _y| 1.0 / (1.0 - x * x);
        erf |x, _y| 2.0 / PI.sqrt() * (-x * x).exp();
        erfc |x, _y| -2.0 / PI.sqrt() * (-x * x).exp();
        erfinv |_x, y| PI.sqrt() / 2.0 * (y * y).exp();
        sigmoid |_x, y| y * (1.0 - y);
        phi |x, _y| (-x * x / 2.0).exp() / (2.0 * PI).sqrt();
        lgamma |x, _y| leaf64::digamma(x);
        digamma |x, _y| trigamma(x);
        i0 |x, _y| bessel_i1(x);
        sqrt |_x, y| 0.5 / y;
        floor |_x, _y| 0.0;
        ceil |_x, _y| 0.0;
        trunc |_x, _y| 0.0;
        round |_x, _y| 0.0;
    }

    /// The derivative of digamma, by recurrence and asymptotic series (positive x).
    fn trigamma(x: f64) -> f64 {
        let (mut x, mut sum) = (x, 0.0);
        while x < 20.0 {
            sum += 1.0 / (x * x);
            x += 1.0;
        }
        let z = 1.0 / (x * x);
        sum + 1.0 / x + z / 2.0 + z / x * (1.0 / 6.0 - z * (1.0 / 30.0 - z * (1.0 / 42.0 - z / 30.0)))
    }

    /// The modified Bessel function of order 1, by its power series.
    fn bessel_i1(x: f64) -> f64 {
        let q = x * x / 4.0;
        let (mut term, mut sum, mut k) = (x / 2.0, x / 2.0, 1.0);
        while term.abs() > sum.abs() * 1e-17 {
            term *= q / (k * (k + 1.0));
            sum += term;
            k += 1.0;
        }
        sum
    }
}

macro_rules! leaves {
    ($($leaf:ident)*) => {
        impl Float for Dual {
            fn lit(x: f64) -> Self { dual(x, 0.0) }
            fn inf() -> Self { dual(f64::INFINITY, 0.0) }
            fn nan() -> Self { dual(f64::NAN, 0.0) }
            fn copysign(self, o: Self) -> Self {
                let s = if self.v.is_sign_negative() == o.v.is_sign_negative() { 1.0 } else { -1.0 };
                dual(self.v.copysign(o.v), s * self.d)
            }
            fn atan2(self, o: Self) -> Self {
                let r = self.v * self.v + o.v * o.v;
                dual(self.v.atan2(o.v), if r == 0.0 { 0.0 } else { (o.v * self.d - self.v * o.d) / r })
            }
            fn hypot(self, o: Self) -> Self {
                let r = self.v.hypot(o.v);
                dual(r, (self.v * self.d + o.v * o.d) / r)
            }
            fn nextafter(self, o: Self) -> Self { dual(leaf64::nextafter(self.v, o.v), self.d) }
            $(
                fn $leaf(self) -> Self {
                    let y = leaf64::$leaf(self.v);
                    dual(y, slope::$leaf(self.v, y) * self.d)
                }
            )*
        }
    };
}
for_leaves!(leaves);
