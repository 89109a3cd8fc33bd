//! Negative log-likelihood over `[batch, classes, ..]` with int64 targets, and its gradient.
//!
//! A target out of range is reported through the status words under the caller's command number, and adds nothing.

use super::softmax::around;
use super::{need_dense, need_f32, source, word};
use crate::DType;
use crate::error::{Result, ensure};
use crate::gpu::{Buffer, GpuView, Recorder};

/// How losses are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduction {
    /// One loss for each target.
    None,
    /// Their sum over the sum of the targets' weights.
    Mean,
    /// Their sum.
    Sum,
}

/// What a loss is over: targets, weights of the classes, the target that does not count, and the reduction.
#[derive(Clone, Copy, Debug)]
pub struct Targets<'a> {
    /// int64, one for each row of classes.
    pub index: GpuView<'a>,
    /// A factor for each class.
    pub weight: Option<GpuView<'a>>,
    /// This target has no loss and no weight.
    pub ignore_index: i64,
    /// How losses are put together.
    pub reduction: Reduction,
}

pub(super) const STATUS: &str = include_str!("../../../shaders/lib/status.wgsl");
const NLL: &str = include_str!("../../../shaders/nll.wgsl");
const NLL_GRAD: &str = include_str!("../../../shaders/nll_grad.wgsl");
/// What the gradients share.
pub(super) const SHARE: &str = include_str!("../../../shaders/lib/target_share.wgsl");

/// Rows, classes, inner size: checked.
pub(super) fn sizes(op: &str, x: &GpuView, t: &Targets) -> Result<[usize; 3]> {
    let mut all = vec![x];
    all.extend(t.weight.as_ref());
    need_f32(op, &all)?;
    all.push(&t.index);
    need_dense(op, &all)?;
    // without a batch the classes come first
    let dim = usize::from(x.shape.len() > 1);
    let [outer, classes, inner] = around(x.shape, dim)?;
    ensure!(
        t.index.dtype == DType::I64
            && t.index.numel() == outer * inner
            && t.weight.is_none_or(|w| w.shape == [classes]),
        Runtime,
        "{op} kernel: targets {:?} and weight {:?} for {:?}",
        t.index.shape,
        t.weight.map(|w| w.shape.to_vec()),
        x.shape
    );
    word(x.numel())?;
    Ok([outer * inner, classes, inner])
}

impl Targets<'_> {
    /// The target that does not count, as two words.
    pub(super) fn ignored(&self) -> [u32; 2] {
        let bits = self.ignore_index as u64;
        [bits as u32, (bits >> 32) as u32]
    }

    /// The reduction as kernels take it.
    pub(super) fn reduce(&self) -> u32 {
        match self.reduction {
            Reduction::None => 0,
            Reduction::Mean => 1,
            Reduction::Sum => 2,
        }
    }

    /// The weights' buffer (or another one), offset and flag.
    pub(super) fn weights<'b>(&'b self, other: &'b Buffer) -> (&'b Buffer, Result<u32>, u32) {
        match &self.weight {
            Some(w) => (w.buffer, word(w.offset), 1),
            None => (other, Ok(0), 0),
        }
    }
}

/// `out = -weight[target] * x[target]` by row, or their mean or sum. `total` (one element, not written without a reduction)
/// takes the sum of the weights, which the gradient of the mean needs.
pub fn nll_loss(
    rec: &mut Recorder,
    x: &GpuView,
    t: &Targets,
    out: &GpuView,
    total: &GpuView,
    command: u32,
) -> Result<()> {
    nll_loss_of(rec, x, None, t, out, total, command)
}

/// [`nll_loss`] of logits, if what [`super::softmax::totals`] found in them is given.
pub(super) fn nll_loss_of(
    rec: &mut Recorder,
    x: &GpuView,
    totals: Option<&Buffer>,
    t: &Targets,
    out: &GpuView,
    total: &GpuView,
    command: u32,
) -> Result<()> {
    let [rows, classes, inner] = sizes("nll_loss", x, t)?;
    need_f32("nll_loss", &[out, total])?;
    need_dense("nll_loss", &[out])?;
    let wanted = if t.reduction == Reduction::None { rows } else { 1 };
    ensure!(out.numel() == wanted && total.numel() == 1, Runtime, "nll_loss kernel: {rows} rows into {:?}", out.shape);
    if t.reduction == Reduction::None && rows == 0 {
        return Ok(());
    }
    let k = rec.kernel("nll_loss", || Ok(source("nll_loss", &[STATUS, NLL], 4, 3, 14)))?;
    let (weights, weight_at, flags) = t.weights(x.buffer);
    let (stats, flags) = totals.map_or((x.buffer, flags), |b| (b, flags | 2));
    // reductions are one workgroup's
    let groups = if t.reduction == Reduction::None { rows.div_ceil(64) } else { 1 };
    let max = rec.limits().max_compute_workgroups_per_dimension as usize;
    let groups = groups.min(max);
    let [low, high] = t.ignored();
    let params = [
        word(rows)?,
        word(classes)?,
        word(inner)?,
        t.reduce(),
        flags,
        command,
        low,
        high,
        word(x.offset)?,
        word(t.index.offset)?,
        weight_at?,
        word(out.offset)?,
        word(total.offset)?,
        word(groups * 64)?,
    ];
    let status = rec.status(command);
    rec.dispatch(
        k,
        &[x.buffer, t.index.buffer, weights, stats, out.buffer, total.buffer, &status],
        &params,
        groups as u32,
    )
}

/// The gradient of [`nll_loss`] for `x`, from the loss's gradient and the forward's `total`.
pub fn nll_loss_grad(rec: &mut Recorder, t: &Targets, grad: &GpuView, total: &GpuView, out: &GpuView) -> Result<()> {
    let op = "nll_loss backward";
    let [rows, classes, inner] = sizes(op, out, t)?;
    need_f32(op, &[grad, total])?;
    need_dense(op, &[grad])?;
    let wanted = if t.reduction == Reduction::None { rows } else { 1 };
    ensure!(
        grad.numel() == wanted && total.numel() == 1,
        Runtime,
        "{op} kernel: {:?} into {:?}",
        grad.shape,
        out.shape
    );
    let n = out.numel();
    if n == 0 {
        return Ok(());
    }
    let k = rec.kernel(op, || Ok(source(op, &[SHARE, NLL_GRAD], 4, 1, 12)))?;
    let (weights, weight_at, flags) = t.weights(grad.buffer);
    let [low, high] = t.ignored();
    let params = [
        word(n)?,
        word(classes)?,
        word(inner)?,
        t.reduce(),
        flags,
        low,
        high,
        word(t.index.offset)?,
        weight_at?,
        word(grad.offset)?,
        word(total.offset)?,
        word(out.offset)?,
    ];
    let buffers = [t.index.buffer, weights, grad.buffer, total.buffer, out.buffer];
    rec.dispatch(k, &buffers, &params, n.div_ceil(64) as u32)
}

#[cfg(test)]
#[path = "loss_tests.rs"]
mod tests;
