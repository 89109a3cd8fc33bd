//! Special functions (`torch.special`).

use super::{grads, input, inputs, op_methods, ops, output, unary_methods, where_cond};
use crate::error::{Result, bail, ensure};
use crate::ops::Operand;
use crate::scalar::Scalar;
use crate::tensor::{Elementwise, In, Tensor, can_cast, elementwise, no_grads, unwrap};
use std::f64::consts::PI;

ops! {
    DIGAMMA = DIGAMMA, Float, "DigammaBackward0", input, |cx| grads!(cx; cx.g() * cx.input(0)?.trigamma());
    TRIGAMMA = TRIGAMMA, Float, "PolygammaBackward0", input, |cx| grads!(cx; cx.g() * cx.input(0)?.tetragamma());
    TETRAGAMMA = TETRAGAMMA, Float, "PolygammaBackward0", input, |cx| {
        grads!(cx; cx.g() * cx.input(0)?.polygamma(3))
    };
    ERFCX = ERFCX, Float, "SpecialErfcxBackward0", |n| inputs::<1>(n) | output(n), |cx| {
        grads!(cx; (cx.input(0)? * cx.output(0)? * 2.0 - 2.0 / PI.sqrt()) * cx.g())
    };
    LOG_NDTR = LOG_NDTR, Float, "SpecialLogNdtrBackward0", input, |cx| {
        grads!(cx; cx.g() / (cx.input(0)? * -0.5f64.sqrt()).erfcx() * (2.0 / PI).sqrt())
    };
    NDTRI = NDTRI, Float, "SpecialNdtriBackward0", output, |cx| {
        grads!(cx; cx.g() * (cx.output(0)?.square() * 0.5).exp() * (2.0 * PI).sqrt())
    };
    ZETA = ZETA, Float, "SpecialZetaBackward0", |_| 0b11, |cx| {
        if cx.needs(0) {
            bail!(NotImplemented, "derivative for aten::special_zeta is not implemented");
        }
        let (x, q) = (cx.operand(0)?, cx.input(1)?);
        let above = match &x {
            Operand::Tensor(x) => Operand::Tensor(x + 1),
            Operand::Scalar(s) => Scalar::Float(s.to_f64() + 1.0).into(),
        };
        let mut out = no_grads(2);
        out[1] = Some(-cx.g() * elementwise(&ZETA, &[above.as_in(), In::T(&q)])? * x);
        Ok(out)
    };
    /// zeta(n + 1, x) times a factor, which are the scalars
    POLYGAMMA = POLYGAMMA, Float, "PolygammaBackward0", input, |cx| {
        let number = |i| cx.scalar(i).map_or(0.0, Scalar::to_f64);
        let (x, factor) = (number(1), number(2));
        let next = [x + 1.0, -x * factor].map(|v| In::S(Scalar::Float(v)));
        let mut out = no_grads(3);
        out[0] = Some(cx.g() * elementwise(&POLYGAMMA, &[In::T(&cx.input(0)?), next[0], next[1]])?);
        Ok(out)
    };
    I0 = I0, Float, "I0Backward0", input, |cx| grads!(cx; cx.g() * cx.input(0)?.i1());
    I0E = I0E, Float, "SpecialI0EBackward0", |n| inputs::<1>(n) | output(n), |cx| {
        grads!(cx; {
            let x = cx.input(0)?;
            cx.g() * (x.i1e() - x.sgn() * cx.output(0)?)
        })
    };
    I1 = I1, Float, "SpecialI1Backward0", |n| inputs::<1>(n) | output(n), |cx| {
        grads!(cx; {
            let x = cx.input(0)?;
            let slope = x.i0() - cx.output(0)? / &x;
            cx.g() * where_cond(&x.eq(0), 0.5, slope)
        })
    };
    I1E = I1E, Float, "SpecialI1EBackward0", |n| inputs::<1>(n) | output(n), |cx| {
        grads!(cx; {
            let x = cx.input(0)?;
            let slope = x.i0e() - cx.output(0)? * (x.sgn() + x.reciprocal());
            cx.g() * where_cond(&x.eq(0), 0.5, slope)
        })
    };
}

unary_methods! {
    /// The logarithmic derivative of the gamma function (`torch.digamma`).
    digamma digamma_ digamma_out DIGAMMA;
    /// The derivative of [`Tensor::digamma`](crate::Tensor::digamma) (`torch.polygamma(1, x)`).
    trigamma trigamma_ trigamma_out TRIGAMMA;
    /// The derivative of [`Tensor::trigamma`](crate::Tensor::trigamma) (`torch.polygamma(2, x)`).
    tetragamma tetragamma_ tetragamma_out TETRAGAMMA;
    /// The modified Bessel function of order 0 (`torch.i0`).
    i0 i0_ i0_out I0;
    /// `exp(-|x|)` times the modified Bessel function of order 0 (`torch.special.i0e`).
    i0e i0e_ i0e_out I0E;
    /// The modified Bessel function of order 1 (`torch.special.i1`).
    i1 i1_ i1_out I1;
    /// `exp(-|x|)` times the modified Bessel function of order 1 (`torch.special.i1e`).
    i1e i1e_ i1e_out I1E;
    /// `exp(x^2) erfc(x)` (`torch.special.erfcx`).
    erfcx erfcx_ erfcx_out ERFCX;
    /// The logarithm of the standard normal distribution function (`torch.special.log_ndtr`).
    log_ndtr log_ndtr_ log_ndtr_out LOG_NDTR;
    /// The inverse of the standard normal distribution function (`torch.special.ndtri`).
    ndtri ndtri_ ndtri_out NDTRI;
}

op_methods! {
    /// Hurwitz' zeta function, the sum of `(other + k)^-self` (`torch.special.zeta`); it has a gradient for `other` only.
    ///
    /// ```
    /// # use wgtorch::prelude::*;
    /// let x = tensor!([2., 4.], F64).zeta(1);
    /// assert!((x.i(0).item::<f64>()? - 1.6449340668482264).abs() < 1e-15);
    /// # Ok::<(), Error>(())
    /// ```
    zeta zeta_ zeta_out (other: impl Into<Operand>) |x, run| { run(&ZETA, &[x, other.into().as_in()]) }
}

/// Hurwitz' zeta function of a number or tensor and a tensor (`torch.special.zeta(2, q)`).
///
/// # Panics
/// If the shapes do not broadcast.
#[track_caller]
pub fn zeta(x: impl Into<Operand>, q: &Tensor) -> Tensor {
    unwrap(elementwise(&ZETA, &[x.into().as_in(), In::T(q)]))
}

/// `(-1)^(n+1) n! zeta(n + 1, x)`, the n-th derivative of digamma.
#[track_caller]
fn polygamma(x: In, n: usize, run: impl Fn(&'static Elementwise, &[In]) -> Result<Tensor>) -> Result<Tensor> {
    match n {
        0 => run(&DIGAMMA, &[x]),
        1 => run(&TRIGAMMA, &[x]),
        2 => run(&TETRAGAMMA, &[x]),
        _ => {
            let factorial: f64 = (1..=n).map(|k| k as f64).product();
            let sign = if n.is_multiple_of(2) { -1.0 } else { 1.0 };
            run(&POLYGAMMA, &[x, In::S(Scalar::Float(n as f64 + 1.0)), In::S(Scalar::Float(sign * factorial))])
        }
    }
}

op_methods! {
    /// The n-th derivative of [`Tensor::digamma`](crate::Tensor::digamma) (`torch.polygamma(n, x)`).
    polygamma polygamma_ polygamma_out (n: usize) |x, run| { polygamma(x, n, run) }
}

/// The logarithm of the multivariate gamma function.
#[track_caller]
fn mvlgamma(x: &Tensor, p: usize) -> Result<Tensor> {
    ensure!(p >= 1, Runtime, "p has to be greater than or equal to 1");
    let mut sum = x.checked().lgamma()?;
    for j in 1..p {
        sum = sum.checked().add(x.checked().sub(0.5 * j as f64)?.checked().lgamma()?)?;
    }
    sum.checked().add((p * (p - 1)) as f64 * 0.25 * PI.ln())
}

crate::tensor::methods! {
    /// The logarithm of the multivariate gamma function of dimension `p` (`torch.mvlgamma`).
    ///
    /// # Panics
    /// If `p` is 0.
    fn mvlgamma(&self, p: usize) -> Tensor { mvlgamma(self.0, p) }

    /// [`Tensor::mvlgamma`] in place.
    fn mvlgamma_(&self, p: usize) -> Tensor {
        // the gradient reads the former values
        let before = self.copy()?;
        let result = mvlgamma(&before, p)?;
        ensure!(
            can_cast(result.dtype(), self.dtype()),
            Runtime,
            "result type {} can't be cast to the desired output type {}",
            result.dtype().scalar_name(),
            self.dtype().scalar_name()
        );
        crate::ops::compose::replace(self.0, &result)
    }
}
