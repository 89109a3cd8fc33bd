//! Linear algebra (`torch.linalg`).

use crate::error::{Result, ensure};
use crate::scalar::Scalar;
use crate::tensor::{Tensor, unwrap};

/// The powers 0 to `n - 1` of each element as a new last dim (`torch.linalg.vander`); `n` is the size of the last dim if None.
///
/// # Panics
/// If the tensor has no dims, or `n` is not at least 2.
///
/// ```
/// # use wgtorch::{prelude::*, linalg};
/// assert_eq!(linalg::vander(&tensor!([2, 3]), 3).to_vec::<i64>()?, [1, 2, 4, 1, 3, 9]);
/// # Ok::<(), Error>(())
/// ```
#[track_caller]
pub fn vander(x: &Tensor, n: impl Into<Option<usize>>) -> Tensor {
    unwrap(try_vander(x, n.into()))
}

/// [`vander`] with its errors as values.
///
/// # Errors
/// If the tensor has no dims, or `n` is not at least 2.
pub fn try_vander(x: &Tensor, n: Option<usize>) -> Result<Tensor> {
    ensure!(x.dim() > 0, Runtime, "linalg.vander: x must have at least one dimension.");
    let shape = x.shape();
    let n = n.unwrap_or(shape[shape.len() - 1]);
    ensure!(n > 1, Runtime, "linalg.vander: N must be greater than 1.");
    let mut sizes = shape.to_vec();
    sizes.push(n - 1);
    let column = x.checked().unsqueeze(-1)?;
    let powers = column.checked().expand(&sizes)?.checked().cumprod(-1, x.dtype())?;
    let first = Tensor::constant(Scalar::Int(1), &column.shape(), x.dtype(), x.device());
    crate::ops::try_cat(&[first, powers][..], -1)
}
