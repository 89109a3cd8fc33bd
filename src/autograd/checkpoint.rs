//! Less memory for more time: the inside of a function is computed again in the backward pass.

use super::{Function, FunctionCtx, backward, is_grad_enabled};
use crate::rng::{RngState, get_rng_state, set_rng_state};
use crate::tensor::{Tensor, enable_grad, unwrap};

/// The function, and the random numbers that it was to draw.
struct Checkpoint<F>(F, RngState);

impl<F: Fn(&[Tensor]) -> Tensor + Send + Sync + 'static> Function for Checkpoint<F> {
    fn name(&self) -> &str {
        "CheckpointFunction"
    }

    fn forward(&self, ctx: &mut FunctionCtx, inputs: &[&Tensor]) -> Tensor {
        ctx.save_for_backward(inputs);
        let inputs: Vec<Tensor> = inputs.iter().map(|t| (*t).clone()).collect();
        (self.0)(&inputs)
    }

    fn backward(&self, ctx: &FunctionCtx, grad: &Tensor) -> Vec<Option<Tensor>> {
        assert!(
            !is_grad_enabled(),
            "checkpoint: the backward pass of a checkpointed function cannot be recorded (create_graph)"
        );
        let inputs: Vec<Tensor> = ctx
            .saved_tensors()
            .iter()
            .zip(ctx.needs_input_grad())
            .map(|(t, &needs)| if needs { t.detach().requires_grad_(true) } else { t.detach() })
            .collect();
        enable_grad(|| {
            let now = get_rng_state();
            set_rng_state(&self.1);
            let out = (self.0)(&inputs);
            set_rng_state(&now);
            // parameters that the function holds get their gradients here
            unwrap(backward(&[&out], &[Some(grad)], ()));
        });
        inputs.iter().map(Tensor::grad).collect()
    }
}

/// The value of a function of tensors, whose insides are computed again when its gradient is wanted, so that nothing of them is
/// kept till then (`torch.utils.checkpoint.checkpoint`). It draws the same random numbers
/// both times.
///
/// ```
/// # use wgtorch::{autograd::checkpoint, prelude::*};
/// let x = tensor!([0.5, 1.]).requires_grad_(true);
/// checkpoint(|x| x[0].tanh().sin(), &[&x]).sum().backward();
/// assert!(x.grad().is_some());
/// ```
///
/// # Panics
/// Where the function does.
#[track_caller]
pub fn checkpoint(f: impl Fn(&[Tensor]) -> Tensor + Send + Sync + 'static, inputs: &[&Tensor]) -> Tensor {
    if !inputs.iter().any(|t| t.requires_grad()) {
        // what the function holds may want gradients all the same
        let inputs: Vec<Tensor> = inputs.iter().map(|t| (*t).clone()).collect();
        return f(&inputs);
    }
    Checkpoint(f, get_rng_state()).apply(inputs)
}
