//! What training loops do to gradients as a whole (`torch.nn.utils`).

use crate::error::{Result, ensure};
use crate::ops::{stack, zeros};
use crate::tensor::Tensor;

/// Options of [`clip_grad_norm_`]; a number is `norm_type`.
#[non_exhaustive]
#[derive(Clone, Copy, Debug)]
pub struct ClipGradNormOptions {
    /// Which norm; may be infinite.
    pub norm_type: f64,
    /// Wait for the norm, and fail where it is infinite or NaN.
    pub error_if_nonfinite: bool,
}

impl ClipGradNormOptions {
    /// The 2-norm, whatever it is.
    pub fn new() -> ClipGradNormOptions {
        ClipGradNormOptions { norm_type: 2.0, error_if_nonfinite: false }
    }
    /// Which norm; may be infinite.
    pub fn norm_type(mut self, p: f64) -> ClipGradNormOptions {
        self.norm_type = p;
        self
    }
    /// Wait for the norm, and fail where it is infinite or NaN.
    pub fn error_if_nonfinite(mut self, on: bool) -> ClipGradNormOptions {
        self.error_if_nonfinite = on;
        self
    }
}

impl Default for ClipGradNormOptions {
    fn default() -> ClipGradNormOptions {
        ClipGradNormOptions::new()
    }
}
impl From<()> for ClipGradNormOptions {
    fn from(_: ()) -> ClipGradNormOptions {
        ClipGradNormOptions::new()
    }
}
impl From<f64> for ClipGradNormOptions {
    fn from(p: f64) -> ClipGradNormOptions {
        ClipGradNormOptions::new().norm_type(p)
    }
}

fn grads(parameters: &[Tensor]) -> Vec<Tensor> {
    parameters.iter().filter_map(Tensor::grad).map(|g| g.detach()).collect()
}

/// Scales all gradients so that their norm, taken as if they were one vector, is at most `max_norm`; gives back the norm that
/// they had (`torch.nn.utils.clip_grad_norm_`). A norm of infinity makes them NaN, as in PyTorch.
///
/// # Errors
/// If gradients do not fit together (dtypes, devices), or the norm is not finite and that is to be an error.
#[track_caller]
pub fn clip_grad_norm_(
    parameters: &[Tensor],
    max_norm: f64,
    options: impl Into<ClipGradNormOptions>,
) -> Result<Tensor> {
    let (options, grads) = (options.into(), grads(parameters));
    if grads.is_empty() {
        return Ok(zeros((), ()));
    }
    let p = options.norm_type;
    let norms: Vec<Tensor> = grads.iter().map(|g| g.checked().norm(p)).collect::<Result<_>>()?;
    let total = stack(&norms, 0).checked().norm(p)?;
    if options.error_if_nonfinite {
        ensure!(
            total.item::<f64>()?.is_finite(),
            Runtime,
            "The total norm of order {p:?} for gradients from `parameters` is non-finite, so it cannot be clipped. To disable this error and scale the gradients by the non-finite norm anyway, set `error_if_nonfinite=False`"
        );
    }
    let factor = (max_norm / (&total + 1e-6)).checked().clamp(None, 1.0)?;
    for g in &grads {
        g.checked().mul_(&factor)?;
    }
    Ok(total)
}

/// Limits every element of the gradients to `[-clip_value, clip_value]` (`torch.nn.utils.clip_grad_value_`).
///
/// # Panics
/// If a gradient cannot be written to.
#[track_caller]
pub fn clip_grad_value_(parameters: &[Tensor], clip_value: f64) {
    for g in grads(parameters) {
        g.clamp_(-clip_value, clip_value);
    }
}
