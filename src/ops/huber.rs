//! Losses that are square near zero and linear beyond.

use super::compose::composite;
use super::loss::{Reduction, warn_sizes};
use crate::error::{Result, ensure};
use crate::tensor::{Ctx, Grads, Saves, Tensor, methods, no_grads};

crate::ops::pointwise::options! {
    /// Options of [`Tensor::smooth_l1_loss`]; a reduction is one.
    SmoothL1Options {
        /// What becomes of the losses.
        reduction: Reduction = Reduction::Mean,
        /// The width of the square part.
        beta: f64 = 1.0,
    } from Reduction;
    /// Options of [`Tensor::huber_loss`]; a reduction is one.
    HuberOptions {
        /// What becomes of the losses.
        reduction: Reduction = Reduction::Mean,
        /// The width of the square part, and the slope beyond.
        delta: f64 = 1.0,
    } from Reduction;
}

/// The derivative by the input from that by each loss, and its negative for the target.
pub(super) fn against_target(cx: &Ctx, reduction: Reduction, slope: Tensor) -> Result<Grads> {
    let g = reduction.share(&slope, slope.numel())?.checked().mul(cx.g())?;
    let mut grads = no_grads(2);
    if cx.needs(1) {
        grads[1] = Some(g.checked().neg()?);
    }
    if cx.needs(0) {
        grads[0] = Some(g);
    }
    Ok(grads)
}

/// `width * (|d| - width / 2)`, squared halves within the width; divided by a scale.
fn bent(
    node: &'static str,
    x: &Tensor,
    target: &Tensor,
    reduction: Reduction,
    width: f64,
    scale: f64,
) -> Result<Tensor> {
    let forward = || {
        let d = x.checked().sub(target)?.checked().abs()?;
        // the lesser of distance and width makes both parts one formula
        let near = d.checked().clamp_max(width)?;
        let losses = near.checked().mul(d.checked().sub(near.checked().mul(0.5)?)?)?;
        reduction.of(if scale == 1.0 { losses } else { losses.checked().div(scale)? })
    };
    composite(node, &[x, target], Saves { inputs: 0b11, outputs: 0 }, forward, move |cx| {
        let d = cx.input(0)?.checked().sub(&cx.input(1)?)?;
        let slope = d.checked().clamp(-width, width)?;
        against_target(cx, reduction, if scale == 1.0 { slope } else { slope.checked().div(scale)? })
    })
}

methods! {
    /// The squared difference below `beta`, the absolute one above, reduced (`torch.nn.functional.smooth_l1_loss`).
    ///
    /// # Panics
    /// If the sizes do not broadcast, the dtype is no float, or `beta` is negative.
    fn smooth_l1_loss(&self, target: &Tensor, options: impl Into<SmoothL1Options>) -> Tensor {
        let SmoothL1Options { reduction, beta } = options.into();
        warn_sizes("smooth_l1_loss", self.0, target);
        ensure!(beta >= 0.0, Runtime, "smooth_l1_loss does not support negative values for beta.");
        if beta == 0.0 {
            return reduction.of(self.sub(target)?.checked().abs()?);
        }
        let common = self.dtype().promote(target.dtype());
        ensure!(common.is_float(), NotImplemented, "\"smooth_l1_cpu\" not implemented for '{}'", common.scalar_name());
        bent("SmoothL1LossBackward0", self.0, target, reduction, beta, beta)
    }

    /// Half the squared difference below `delta`, a line of that slope above, reduced (`torch.nn.functional.huber_loss`).
    ///
    /// # Panics
    /// If the sizes do not broadcast, the dtype is no float, or `delta` is not positive.
    fn huber_loss(&self, target: &Tensor, options: impl Into<HuberOptions>) -> Tensor {
        let HuberOptions { reduction, delta } = options.into();
        warn_sizes("huber_loss", self.0, target);
        ensure!(delta > 0.0, Runtime, "huber_loss does not support non-positive values for delta.");
        let common = self.dtype().promote(target.dtype());
        ensure!(common.is_float(), NotImplemented, "\"huber_cpu\" not implemented for '{}'", common.scalar_name());
        bent("HuberLossBackward0", self.0, target, reduction, delta, 1.0)
    }
}
