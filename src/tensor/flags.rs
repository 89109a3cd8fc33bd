//! Switching gradients on and off, for a tensor and for a thread.

use super::{Tensor, methods, next_sequence, set_grad_enabled, tape::grad_enabled};
use crate::error::ensure;
use std::marker::PhantomData;
use std::sync::Arc;

methods! {
    /// Makes a leaf collect its gradient, or stop doing so (`tensor.requires_grad_()`).
    ///
    /// # Panics
    /// If it is no float tensor, or no leaf and the flag is to be taken away.
    fn requires_grad_(&self, on: bool) -> Tensor {
        let t = self.0;
        ensure!(
            !on || t.dtype().is_differentiable(),
            Runtime,
            "only Tensors of floating point dtype can require gradients"
        );
        ensure!(
            on || t.is_leaf(),
            Runtime,
            "you can only change requires_grad flags of leaf variables. If you want to use a computed variable in a subgraph that doesn't require differentiation use var_no_grad = var.detach()."
        );
        if t.is_leaf() && (on || t.requires_grad()) {
            t.with_meta(|m| m.requires_grad = on);
        }
        Ok(t.clone())
    }

    /// Takes the history away from this tensor itself (`tensor.detach_()`).
    ///
    /// # Panics
    /// If it is a view, whose base would keep the history.
    fn detach_(&self) -> Tensor {
        ensure!(
            !self.is_view(),
            Runtime,
            "Can't detach views in-place. Use detach() instead. If you are using DistributedDataParallel (DDP) for training, and gradient_as_bucket_view is set as True, gradients are views of DDP buckets, and hence detach_() cannot be called on these gradients. To fix this error, please refer to the Optimizer.zero_grad() function in torch/optim/optimizer.py as the solution."
        );
        let old = self.with_meta(|m| {
            (m.requires_grad, m.output_nr) = (false, 0);
            m.grad_fn.take()
        });
        drop(old);
        Ok(self.0.clone())
    }

    /// Keeps `grad` although the tensor is no leaf (`tensor.retain_grad()`).
    ///
    /// # Panics
    /// If no gradient flows to it.
    fn retain_grad(&self) -> () {
        ensure!(
            self.requires_grad(),
            Runtime,
            "can't retain_grad on Tensor that has requires_grad=False"
        );
        let Some(node) = self.grad_fn() else { return Ok(()) };
        let output = self.with_meta(|m| {
            let again = std::mem::replace(&mut m.retains_grad, true);
            (!again).then_some(m.output_nr)
        });
        if let Some(output) = output {
            let weak = Arc::downgrade(&self.0.0);
            let keep = move |g: &Tensor| {
                if let Some(t) = weak.upgrade() {
                    Tensor(t).set_grad(Some(g.clone()));
                }
                None
            };
            node.add_hook(output, (next_sequence(), Arc::new(keep)));
        }
        Ok(())
    }
}

/// Runs `f` without recording gradients on this thread (`with torch.no_grad():`). What other threads do meanwhile is recorded
/// as their own mode says, and so is what an `async` block inside does after another thread takes it up.
///
/// ```
/// # use wgtorch::prelude::*;
/// let w = ones([2], TensorOptions::new().requires_grad(true));
/// assert!(!no_grad(|| &w * 2.0).requires_grad());
/// ```
pub fn no_grad<R>(f: impl FnOnce() -> R) -> R {
    let _guard = no_grad_guard();
    f()
}

/// Runs `f` with gradients recorded, inside a `no_grad` (`with torch.enable_grad():`).
pub fn enable_grad<R>(f: impl FnOnce() -> R) -> R {
    let _guard = GradModeGuard::set(true);
    f()
}

/// Turns recording off for this thread until the guard is dropped. The guard stays on its thread.
#[must_use = "recording is off only while the guard lives"]
pub fn no_grad_guard() -> GradModeGuard {
    GradModeGuard::set(false)
}

/// True where this thread records gradients (`torch.is_grad_enabled()`).
pub fn is_grad_enabled() -> bool {
    grad_enabled()
}

/// Restores the thread's grad mode when dropped.
#[derive(Debug)]
pub struct GradModeGuard {
    was: bool,
    stay: PhantomData<*const ()>,
}

impl GradModeGuard {
    /// Sets the mode until the guard is dropped.
    pub fn set(on: bool) -> GradModeGuard {
        GradModeGuard { was: set_grad_enabled(on), stay: PhantomData }
    }
}

impl Drop for GradModeGuard {
    fn drop(&mut self) {
        set_grad_enabled(self.was);
    }
}
