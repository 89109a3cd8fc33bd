//! Elementwise formulas on complex numbers: the rows of the table that have a meaning for them, by the row's name. All compute
//! in float64; complex64 is rounded once.

use crate::dtype::DType;
use crate::program::{BlockFn, Row};
use num_complex::Complex;

type Z = Complex<f64>;

const ONE: Z = Complex::new(1.0, 0.0);

/// How a row's derivative goes with complex numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Linear with real factors: the gradient goes through as it does for real numbers.
    Linear,
    /// Analytic: PyTorch's gradient is the conjugate of the formula's on the conjugate of what comes in.
    Analytic,
    /// Its derivative is written for complex numbers.
    Own,
}

/// A part of a complex number in memory.
trait Part: Copy {
    fn wide(self) -> f64;
    fn narrow(x: f64) -> Self;
}
impl Part for f32 {
    #[inline(always)]
    fn wide(self) -> f64 {
        self.into()
    }
    #[inline(always)]
    fn narrow(x: f64) -> f32 {
        x as f32
    }
}
impl Part for f64 {
    #[inline(always)]
    fn wide(self) -> f64 {
        self
    }
    #[inline(always)]
    fn narrow(x: f64) -> f64 {
        x
    }
}

/// What a formula gives, as it lies in memory beside parts of type `P`.
trait Out<P> {
    type Cell;
    fn cell(self) -> Self::Cell;
}
impl<P: Part> Out<P> for Z {
    type Cell = [P; 2];
    #[inline(always)]
    fn cell(self) -> [P; 2] {
        [P::narrow(self.re), P::narrow(self.im)]
    }
}
impl<P: Part> Out<P> for f64 {
    type Cell = P;
    #[inline(always)]
    fn cell(self) -> P {
        P::narrow(self)
    }
}
impl<P> Out<P> for bool {
    type Cell = u8;
    #[inline(always)]
    fn cell(self) -> u8 {
        self as u8
    }
}

/// Runs a formula over packed complex elements.
///
/// # Safety
/// As [`BlockFn`] says, for `N` operands.
#[inline(always)]
unsafe fn run<P: Part, O: Out<P>, const N: usize>(
    ins: &[*const u8],
    out: *mut u8,
    n: usize,
    formula: impl Fn([Z; N]) -> O,
) {
    for i in 0..n {
        // SAFETY: the caller's promise: `n` elements behind each pointer.
        unsafe {
            let mut x = [Z::default(); N];
            for (x, &from) in x.iter_mut().zip(ins) {
                let [re, im] = from.cast::<[P; 2]>().add(i).read();
                *x = Z::new(re.wide(), im.wide());
            }
            out.cast::<O::Cell>().add(i).write(formula(x).cell());
        }
    }
}

/// `"name", kind, |operands| formula;`
macro_rules! rows {
    ($($name:literal, $kind:ident, |$($x:ident),+| $body:expr;)*) => {
        /// The loop of a row for complex64 or complex128; None where the row has no meaning for them.
        pub fn block(name: &str, dtype: DType) -> Option<BlockFn> {
            Some(match (name, dtype) {
                // SAFETY: a block's promise is the same as the loop's.
                $(($name, DType::C64) => {
                    |ins, out, n| unsafe { run::<f32, _, { [$(stringify!($x)),+].len() }>(ins, out, n, |[$($x),+]| $body) }
                }
                ($name, DType::C128) => {
                    |ins, out, n| unsafe { run::<f64, _, { [$(stringify!($x)),+].len() }>(ins, out, n, |[$($x),+]| $body) }
                })*
                _ => return None,
            })
        }

        fn kind(name: &str) -> Option<Kind> {
            Some(match name {
                $($name => Kind::$kind,)*
                _ => return None,
            })
        }

    };
}

/// True for rows whose results for complex numbers are real: the magnitude and the angle.
pub fn real_out(name: &str) -> bool {
    matches!(name, "abs" | "angle")
}

/// True for rows whose gradient is conjugated on its way in and out.
pub fn is_analytic(name: &str) -> bool {
    kind(name) == Some(Kind::Analytic)
}

/// True for rows that treat the real and the imaginary parts alike and apart, as a real tensor of twice as many elements.
pub fn is_partwise(name: &str) -> bool {
    matches!(name, "positive" | "add" | "sub" | "neg")
}

/// The complex conjugate.
pub static CONJ: Row =
    Row { name: "conj", arity: 1, bool_out: false, bool_first: false, cpu: |d| block("conj", d), wgsl: |_| None };

/// The angle of a point of the plane with the positive real axis.
pub static ANGLE: Row =
    Row { name: "angle", arity: 1, bool_out: false, bool_first: false, cpu: |d| block("angle", d), wgsl: |_| None };

rows! {
    "positive", Linear, |z| z;
    "add", Linear, |a, b| a + b;
    "sub", Linear, |a, b| a - b;
    "neg", Linear, |z| -z;
    "conj", Own, |z| z.conj();
    "mul", Analytic, |a, b| a * b;
    "div", Analytic, |a, b| div(a, b);
    "square", Analytic, |z| z * z;
    "reciprocal", Analytic, |z| div(ONE, z);
    "addcmul", Analytic, |x, a, b, value| x + value * a * b;
    "addcdiv", Analytic, |x, a, b, value| x + div(value * a, b);
    "lerp", Analytic, |start, end, weight| {
        let d = end - start;
        if weight.norm() < 0.5 { start + weight * d } else { end - d * (ONE - weight) }
    };
    "pow", Analytic, |a, b| pow(a, b);
    "sqrt", Analytic, |z| sqrt(z);
    "rsqrt", Analytic, |z| div(ONE, sqrt(z));
    "exp", Analytic, |z| exp(z);
    "exp2", Analytic, |z| exp(z * std::f64::consts::LN_2);
    "expm1", Analytic, |z| {
        let s = (z.im * 0.5).sin();
        Z::new(z.re.exp_m1() * z.im.cos() - 2.0 * s * s, z.re.exp() * z.im.sin())
    };
    "log", Analytic, |z| log(z);
    "log2", Analytic, |z| log(z) / std::f64::consts::LN_2;
    "log10", Analytic, |z| log(z) / std::f64::consts::LN_10;
    "log1p", Analytic, |z| Z::new(0.5 * (z.re * (2.0 + z.re) + z.im * z.im).ln_1p(), z.im.atan2(1.0 + z.re));
    "sin", Analytic, |z| Z::new(z.re.sin() * z.im.cosh(), z.re.cos() * z.im.sinh());
    "cos", Analytic, |z| Z::new(z.re.cos() * z.im.cosh(), -z.re.sin() * z.im.sinh());
    "tan", Analytic, |z| back(tanh(turn(z)));
    "sinh", Analytic, |z| Z::new(z.re.sinh() * z.im.cos(), z.re.cosh() * z.im.sin());
    "cosh", Analytic, |z| Z::new(z.re.cosh() * z.im.cos(), z.re.sinh() * z.im.sin());
    "tanh", Analytic, |z| tanh(z);
    "asin", Analytic, |z| asin(z);
    "acos", Analytic, |z| {
        let (a, b) = roots(z);
        Z::new(2.0 * a.re.atan2(b.re), (b.conj() * a).im.asinh())
    };
    "atan", Analytic, |z| back(atanh(turn(z)));
    "asinh", Analytic, |z| back(asin(turn(z)));
    "acosh", Analytic, |z| {
        let (a, b) = (sqrt(z - ONE), sqrt(z + ONE));
        Z::new((a.conj() * b).re.asinh(), 2.0 * a.im.atan2(b.re))
    };
    "atanh", Analytic, |z| atanh(z);
    "sigmoid", Analytic, |z| div(ONE, ONE + exp(-z));
    "silu", Analytic, |z| div(z, ONE + exp(-z));
    "sinc", Analytic, |z| {
        let w = z * std::f64::consts::PI;
        let sin = Z::new(w.re.sin() * w.im.cosh(), w.re.cos() * w.im.sinh());
        if z == Z::default() { ONE } else { div(sin, w) }
    };
    "sigmoid_backward", Analytic, |g, y| g * (ONE - y) * y;
    "tanh_backward", Analytic, |g, y| g * (ONE - y * y);
    "tan_backward", Analytic, |g, y| g * (y * y + ONE);
    "silu_backward", Analytic, |g, z| {
        let s = div(ONE, ONE + exp(-z));
        g * s * (ONE + z * (ONE - s))
    };
    "sqrt_backward", Analytic, |g, y| div(g, y * 2.0);
    "rsqrt_backward", Analytic, |g, y| g * -0.5 * (y * y * y);
    "reciprocal_backward", Analytic, |g, y| -g * (y * y);
    "pow_backward", Analytic, |g, x, exponent| {
        if exponent == Z::default() { Z::default() } else { g * (exponent * pow(x, exponent - ONE)) }
    };
    "pow_backward_exponent", Analytic, |g, x, exponent, y| {
        if x == Z::default() && exponent.re >= 0.0 { Z::default() } else { g * (y * log(x)) }
    };
    "abs", Own, |z| z.re.hypot(z.im);
    "angle", Own, |z| z.im.atan2(z.re);
    "sgn", Own, |z| {
        let r = z.re.hypot(z.im);
        if r == 0.0 { Z::default() } else { z / r }
    };
    "eq", Own, |a, b| a == b;
    "ne", Own, |a, b| a != b;
    "isnan", Own, |z| z.re.is_nan() || z.im.is_nan();
    "isinf", Own, |z| z.re.is_infinite() || z.im.is_infinite();
    "isfinite", Own, |z| z.re.is_finite() && z.im.is_finite();
}

/// The quotient, scaled so that no square of the divisor overflows (Smith's method).
#[inline(always)]
fn div(a: Z, b: Z) -> Z {
    if b.re.abs() >= b.im.abs() {
        if b.re == 0.0 && b.im == 0.0 {
            return Z::new(a.re / b.re.abs(), a.im / b.im.abs());
        }
        let ratio = b.im / b.re;
        let scale = 1.0 / (b.re + b.im * ratio);
        Z::new((a.re + a.im * ratio) * scale, (a.im - a.re * ratio) * scale)
    } else {
        let ratio = b.re / b.im;
        let scale = 1.0 / (b.re * ratio + b.im);
        Z::new((a.re * ratio + a.im) * scale, (a.im * ratio - a.re) * scale)
    }
}

#[inline(always)]
fn exp(z: Z) -> Z {
    let r = z.re.exp();
    // an infinite r times a zero sine is no number
    if z.im == 0.0 {
        return Z::new(r, z.im);
    }
    if r == 0.0 { Z::default() } else { Z::new(r * z.im.cos(), r * z.im.sin()) }
}

#[inline(always)]
fn log(z: Z) -> Z {
    let r = z.re.hypot(z.im);
    // near the unit circle the magnitude itself has lost what it differs from 1 by
    let re = if (0.5..2.0).contains(&r) {
        let (big, small) = (z.re.abs().max(z.im.abs()), z.re.abs().min(z.im.abs()));
        0.5 * ((big - 1.0) * (big + 1.0) + small * small).ln_1p()
    } else {
        r.ln()
    };
    Z::new(re, z.im.atan2(z.re))
}

/// The root in the right half plane.
#[inline(always)]
fn sqrt(z: Z) -> Z {
    if z.im.is_infinite() {
        return Z::new(f64::INFINITY, z.im);
    }
    if z.re == 0.0 && z.im == 0.0 {
        return Z::new(0.0, z.im);
    }
    // a power of four in front keeps the sum of magnitudes from overflow and underflow
    let big = z.re.abs().max(z.im.abs());
    let (down, up) = match big {
        b if b > 1e300 => (1.0 / 16.0, 4.0),
        b if b < 1e-290 => (2f64.powi(108), 2f64.powi(-54)),
        _ => (1.0, 1.0),
    };
    let z = z * down;
    let t = ((z.re.abs() + z.re.hypot(z.im)) * 0.5).sqrt();
    let (a, b) = (t * up, z.im / (2.0 * t) * up);
    if z.re >= 0.0 { Z::new(a, b) } else { Z::new(b.abs(), a.copysign(z.im)) }
}

/// `exp(b log a)`; 0 to a power with a positive real part is 0, anything to the power 0 is 1.
#[inline(always)]
fn pow(a: Z, b: Z) -> Z {
    if b == Z::default() {
        return ONE;
    }
    if a == Z::default() && b.re > 0.0 {
        return Z::default();
    }
    if a.im == 0.0 && b.im == 0.0 && (a.re > 0.0 || b.re.fract() == 0.0) {
        return Z::new(a.re.powf(b.re), 0.0);
    }
    exp(b * log(a))
}

/// By Kahan's formula, which has no cancellation.
#[inline(always)]
fn tanh(z: Z) -> Z {
    if z.re.abs() > 20.0 {
        let (s, c) = z.im.sin_cos();
        return Z::new(1f64.copysign(z.re), 4.0 * s * c * (-2.0 * z.re.abs()).exp());
    }
    let (t, s) = (z.im.tan(), z.re.sinh());
    let beta = 1.0 + t * t;
    let rho = (1.0 + s * s).sqrt();
    if t.is_infinite() {
        return Z::new(rho / s, 1.0 / t);
    }
    let d = 1.0 + beta * s * s;
    Z::new(beta * rho * s / d, t / d)
}

/// By Kahan's formula.
#[inline(always)]
fn asin(z: Z) -> Z {
    let (a, b) = roots(z);
    Z::new(z.re.atan2((a * b).re), (a.conj() * b).im.asinh())
}

/// `i z`, without a product that makes NaN of infinities and loses signs of zeros.
#[inline(always)]
fn turn(z: Z) -> Z {
    Z::new(-z.im, z.re)
}

/// `-i z`.
#[inline(always)]
fn back(z: Z) -> Z {
    Z::new(z.im, -z.re)
}

/// Square roots of `1 - z` and `1 + z`, where a zero imaginary part keeps the sign that the side of the cut has (Kahan 1987).
#[inline(always)]
fn roots(z: Z) -> (Z, Z) {
    (sqrt(Z::new(1.0 - z.re, -z.im)), sqrt(Z::new(1.0 + z.re, z.im)))
}

#[inline(always)]
fn atanh(z: Z) -> Z {
    let (x, y) = (z.re, z.im);
    if x.is_infinite() || y.is_infinite() {
        return Z::new(0f64.copysign(x), std::f64::consts::FRAC_PI_2.copysign(y));
    }
    let near = (1.0 - x) * (1.0 - x) + y * y;
    Z::new(0.25 * (4.0 * x / near).ln_1p(), 0.5 * (2.0 * y).atan2((1.0 - x) * (1.0 + x) - y * y))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str, x: &[Z]) -> Z {
        let f = block(name, DType::C128).unwrap();
        let ins: Vec<*const u8> = x.iter().map(|z| (z as *const Z).cast()).collect();
        let mut out = Z::default();
        // SAFETY: one element each.
        unsafe { f(&ins, (&raw mut out).cast(), 1) };
        out
    }

    fn close(a: Z, b: Z) -> bool {
        (a - b).norm() <= 1e-13 * b.norm().max(1e-3)
    }

    #[test]
    fn functions_and_their_inverses() {
        let points = [Z::new(0.3, -0.7), Z::new(-1.5, 0.2), Z::new(2.5, 3.5), Z::new(-0.4, -1.1), Z::new(1e-3, 1e-4)];
        for z in points {
            for (f, g) in [("exp", "log"), ("sin", "asin"), ("tan", "atan"), ("sinh", "asinh"), ("tanh", "atanh")] {
                assert!(close(one(f, &[one(g, &[z])]), z), "{f}({g}({z}))");
            }
            // near pi/2 only the absolute error is small
            for (f, g) in [("cos", "acos"), ("cosh", "acosh")] {
                assert!((one(f, &[one(g, &[z])]) - z).norm() <= 1e-14 * z.norm().max(1.0), "{g} {z}");
            }
            assert!(close(one("square", &[one("sqrt", &[z])]), z), "sqrt {z}");
            assert!(close(one("mul", &[one("div", &[z, points[2]]), points[2]]), z), "div {z}");
            assert!(close(one("expm1", &[one("log1p", &[z])]), z), "log1p {z}");
            assert!(close(one("pow", &[z, Z::new(3.0, 0.0)]), z * z * z), "pow {z}");
            assert!(close(one("sigmoid", &[z]), ONE / (ONE + (-z).exp())), "sigmoid {z}");
        }
    }

    #[test]
    fn branches_and_ends() {
        assert_eq!(one("sqrt", &[Z::new(-4.0, 0.0)]), Z::new(0.0, 2.0));
        assert_eq!(one("sqrt", &[Z::new(-4.0, -0.0)]), Z::new(0.0, -2.0));
        assert!(close(one("log", &[Z::new(-1.0, 0.0)]), Z::new(0.0, std::f64::consts::PI)));
        assert!(close(
            one("sqrt", &[Z::new(3e307, 4e307)]) / 1e153,
            Z::new(2e153, 1e153) * 10f64.sqrt() / 1e153 / 10f64.sqrt() * 10f64.sqrt()
        ));
        assert_eq!(one("exp", &[Z::new(1e4, 0.0)]), Z::new(f64::INFINITY, 0.0));
        assert!(close(one("tanh", &[Z::new(400.0, 1.0)]), ONE));
        assert!(block("floor", DType::C64).is_none() && real_out("abs") && !real_out("sgn"));
    }
}
