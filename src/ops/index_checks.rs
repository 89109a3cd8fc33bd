//! What ops that take index tensors share: the dtype and the sizes that they ask of an index, and 0-dim operands as rows of one.

use crate::dtype::DType;
use crate::error::{Result, bail, ensure};
use crate::gpu::GpuView;
use crate::stream::CpuView;
use crate::tensor::{Ctx, Tensor, to_dtype};

/// Sizes that fit for gather and scatter: the index may be smaller than the tensor in every dim but one.
pub(super) fn check_gather(x: &[usize], index: &[usize], dim: usize, what: &str) -> Result<()> {
    if index.contains(&0) {
        return Ok(());
    }
    ensure!(
        index.len().max(1) == x.len().max(1),
        Runtime,
        "Index tensor must have the same number of dimensions as {what} tensor"
    );
    if !index.is_empty() && !x.is_empty() {
        for d in (0..x.len()).filter(|&d| d != dim) {
            ensure!(
                index[d] <= x[d],
                Runtime,
                "Size does not match at dimension {d} expected index {index:?} to be no larger than self {x:?} apart from dimension {dim}"
            );
        }
    }
    Ok(())
}

/// The gradient of a source of which only a leading part was read.
pub(super) fn padded(cx: &Ctx, part: &Tensor) -> Result<Tensor> {
    let whole = Tensor::zeros_of(&cx.input_meta(2));
    let mut target = whole.clone();
    for (d, &n) in part.shape().iter().enumerate() {
        target = target.checked().narrow(d as isize, 0, n)?;
    }
    target.checked().copy_(part)?;
    Ok(whole)
}

/// An index as int64.
pub(super) fn int64(index: &Tensor, what: &str) -> Result<Tensor> {
    match index.dtype() {
        DType::I64 => Ok(index.clone()),
        DType::I32 => Ok(to_dtype(index, DType::I64)),
        d => bail!(Runtime, "{what}: Expected dtype int32/int64 for index, but got {}", d.scalar_name()),
    }
}

/// The index of gather and scatter, whose dtype PyTorch does not look at when there is nothing in it.
pub(super) fn element_index(index: &Tensor, name: &str) -> Result<Tensor> {
    if index.numel() == 0 { Ok(to_dtype(index, DType::I64)) } else { int64(index, &format!("{name}()")) }
}

/// A view of a 0-dim tensor as one element along dim 0.
pub(super) fn lift<'a>(v: &CpuView<'a>) -> CpuView<'a> {
    if v.shape.is_empty() { CpuView { shape: &[1], strides: &[1], ..*v } } else { *v }
}

/// [`lift`] on a GPU.
pub(super) fn lifted<'a>(v: &GpuView<'a>) -> GpuView<'a> {
    if v.shape.is_empty() { GpuView { shape: &[1], strides: &[1], ..*v } } else { *v }
}
