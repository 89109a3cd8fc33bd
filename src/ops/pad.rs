//! Zeros around a tensor.

use super::compose::composite;
use crate::error::Result;
use crate::scalar::Scalar;
use crate::tensor::{Saves, Tensor, one_grad};

/// Zeros after the last row and column of images: what an odd `padding='same'` needs.
pub(super) fn pad_end(x: &Tensor, extra: [usize; 2]) -> Result<Tensor> {
    let shape = x.shape();
    let part = |t: &Tensor| -> Result<Tensor> { t.checked().narrow(2, 0, shape[2])?.checked().narrow(3, 0, shape[3]) };
    let forward = || {
        let sizes = [shape[0], shape[1], shape[2] + extra[0], shape[3] + extra[1]];
        let out = Tensor::constant(Scalar::Int(0), &sizes, x.dtype(), x.device());
        part(&out)?.checked().copy_(x)?;
        Ok(out)
    };
    let (h, w) = (shape[2], shape[3]);
    composite("ConstantPadNdBackward0", &[x], Saves::NONE, forward, move |cx| {
        Ok(one_grad(cx.g().checked().narrow(2, 0, h)?.checked().narrow(3, 0, w)?))
    })
}
