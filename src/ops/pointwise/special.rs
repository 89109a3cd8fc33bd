//! Special functions (`torch.special`).

use super::{input, ops, unary_methods};
use crate::error::bail;

ops! {
    DIGAMMA = DIGAMMA, Float, "DigammaBackward0", input, |_| {
        bail!(NotImplemented, "derivative for aten::digamma is not implemented")
    };
    I0 = I0, Float, "I0Backward0", input, |_| bail!(NotImplemented, "derivative for aten::i0 is not implemented");
}

unary_methods! {
    /// The logarithmic derivative of the gamma function (`torch.digamma`).
    digamma digamma_ DIGAMMA;
    /// The modified Bessel function of order 0 (`torch.i0`).
    i0 i0_ I0;
}
