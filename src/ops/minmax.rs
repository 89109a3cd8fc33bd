//! Extrema and their indices. NaN wins over every number, and the first of equal elements is the one an index names.

use super::reduce::{Kind, Reduce, reduce, reduction};
use super::views::IntoSizes;
use crate::dtype::DType;
use crate::error::Result;
use crate::tensor::{Ctx, Tensor, apply, methods};

/// The gradient of a value without an index: equal elements share it.
pub(crate) fn share_equally(op: &Reduce, cx: &Ctx) -> Result<Tensor> {
    let x = cx.input(0)?;
    let value = op.restore(&cx.output(0)?.detach())?;
    let x = x.detach();
    let mut mask = x.checked().eq(&value)?;
    if op.full {
        // a NaN result comes from the NaNs; PyTorch's amax leaves them without a gradient
        mask = mask.checked().bitwise_or(&x.checked().isnan()?.checked().bitwise_and(&value.checked().isnan()?)?)?;
    }
    let count = mask.checked().sum_dim(op.dims(), true)?;
    let g = op.restore(cx.g())?;
    g.checked().div(&count)?.checked().mul(&mask)
}

/// The gradient of a value with an index goes to that element.
pub(crate) fn to_index(op: &Reduce, cx: &Ctx) -> Result<Tensor> {
    let zeros = Tensor::zeros_of(&cx.input_meta(0));
    if zeros.dim() == 0 {
        return Ok(cx.g().clone());
    }
    let (g, index) = (op.restore(cx.g())?, op.restore(&cx.output(1)?.detach())?);
    let d = op.dims()[0];
    let mut places = vec![1; zeros.dim()];
    places[d as usize] = zeros.size_of(d);
    let places = super::arange(zeros.size_of(d), zeros.device()).checked().view(places)?;
    g.checked().mul(&index.checked().eq(&places)?)
}

#[track_caller]
fn with_index(t: &Tensor, kind: Kind, dim: isize, keepdim: bool) -> Result<(Tensor, Tensor)> {
    let mut outs = apply(reduction(t, kind, Some(&[dim]), keepdim, t.dtype())?, &[t])?.into_iter();
    match (outs.next(), outs.next()) {
        (Some(values), Some(indices)) => Ok((values, indices)),
        _ => unreachable!("this kind has two results"),
    }
}

methods! {
    /// The greatest element (`torch.max`); equal ones share its gradient.
    fn max(&self) -> Tensor { reduce(self.0, Kind::Max, None, false, self.dtype()) }

    /// The least element (`torch.min`).
    fn min(&self) -> Tensor { reduce(self.0, Kind::Min, None, false, self.dtype()) }

    /// The greatest elements along a dim and their indices (`torch.max(x, dim)`); the gradient goes to the index.
    ///
    /// ```
    /// # use wgtorch::prelude::*;
    /// let (values, indices) = tensor!([[1., 5., 5.], [2., 0., 1.]]).max_dim(1, false);
    /// assert_eq!(values.to_vec::<f32>()?, [5., 2.]);
    /// assert_eq!(indices.to_vec::<i64>()?, [1, 0]);
    /// # Ok::<(), Error>(())
    /// ```
    fn max_dim(&self, dim: isize, keepdim: bool) -> (Tensor, Tensor) { with_index(self.0, Kind::MaxIndex, dim, keepdim) }

    /// The least elements along a dim and their indices (`torch.min(x, dim)`).
    fn min_dim(&self, dim: isize, keepdim: bool) -> (Tensor, Tensor) { with_index(self.0, Kind::MinIndex, dim, keepdim) }

    /// The greatest elements over some dims, or all (`torch.amax`); equal ones share the gradient.
    fn amax(&self, dims: impl IntoSizes, keepdim: bool) -> Tensor {
        amax(self.0, Kind::Max, &dims.into_sizes(), keepdim)
    }

    /// The least elements over some dims, or all (`torch.amin`).
    fn amin(&self, dims: impl IntoSizes, keepdim: bool) -> Tensor {
        amax(self.0, Kind::Min, &dims.into_sizes(), keepdim)
    }

    /// The least and the greatest elements, of all (`torch.aminmax`).
    fn aminmax(&self) -> (Tensor, Tensor) { Ok((self.amin((), false)?, self.amax((), false)?)) }

    /// The least and the greatest elements along a dim.
    fn aminmax_dim(&self, dim: isize, keepdim: bool) -> (Tensor, Tensor) {
        let d = crate::shape::wrap_dim(dim, self.dim())?;
        let empty = self.shape().get(d) == Some(&0);
        crate::error::ensure!(!empty, Index, "aminmax: Expected reduction dim {d} to have non-zero size.");
        Ok((self.amin(dim, keepdim)?, self.amax(dim, keepdim)?))
    }

    /// The index of the greatest element in row-major order (`torch.argmax`).
    fn argmax(&self) -> Tensor { flat_index(self.0, Kind::ArgMax) }

    /// The indices of the greatest elements along a dim (`torch.argmax(x, dim)`).
    fn argmax_dim(&self, dim: isize, keepdim: bool) -> Tensor {
        reduce(self.0, Kind::ArgMax, Some(&[dim]), keepdim, DType::I64)
    }

    /// The index of the least element in row-major order (`torch.argmin`).
    fn argmin(&self) -> Tensor { flat_index(self.0, Kind::ArgMin) }

    /// The indices of the least elements along a dim (`torch.argmin(x, dim)`).
    fn argmin_dim(&self, dim: isize, keepdim: bool) -> Tensor {
        reduce(self.0, Kind::ArgMin, Some(&[dim]), keepdim, DType::I64)
    }
}

/// The index among all elements in row-major order.
#[track_caller]
fn flat_index(t: &Tensor, kind: Kind) -> Result<Tensor> {
    let flat = t.detach().checked().reshape(-1)?;
    reduce(&flat, kind, None, false, DType::I64)
}

/// `amax`, which without dims reports an empty input as [`Tensor::max`] does but keeps its own gradient.
#[track_caller]
fn amax(t: &Tensor, kind: Kind, dims: &[isize], keepdim: bool) -> Result<Tensor> {
    if dims.is_empty() && t.numel() == 0 {
        let name = if kind == Kind::Max { "amax" } else { "amin" };
        crate::error::bail!(
            Runtime,
            "{name}(): Expected reduction dim to be specified for input.numel() == 0. Specify the reduction dim with the 'dim' argument."
        );
    }
    reduce(t, kind, Some(dims), keepdim, t.dtype())
}
