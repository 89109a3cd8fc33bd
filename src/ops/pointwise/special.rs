//! Special functions (`torch.special`).

use super::{grads, input, inputs, ops, output, unary_methods, where_cond};
use crate::error::bail;

ops! {
    DIGAMMA = DIGAMMA, Float, "DigammaBackward0", input, |cx| grads!(cx; cx.g() * cx.input(0)?.trigamma());
    TRIGAMMA = TRIGAMMA, Float, "PolygammaBackward0", input, |cx| grads!(cx; cx.g() * cx.input(0)?.tetragamma());
    TETRAGAMMA = TETRAGAMMA, Float, "PolygammaBackward0", input, |_| {
        bail!(NotImplemented, "derivative for aten::polygamma is not implemented")
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
}
