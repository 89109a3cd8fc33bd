//! Composites with a node of their own: the forward pass runs unrecorded, one gradient stands for all of it.

use crate::error::Result;
use crate::tensor::{
    Backward, Ctx, Func, Grads, Node, OutMeta, Saved, Saves, Tensor, alias, grad_enabled, set_grad_enabled,
};

/// A node's name and gradient.
struct Rule<F> {
    name: &'static str,
    vjp: F,
}

impl<F: Fn(&Ctx) -> Result<Grads> + Send + Sync> Backward for Rule<F> {
    fn name(&self) -> String {
        self.name.into()
    }
    fn backward(&self, cx: &Ctx) -> Result<Grads> {
        (self.vjp)(cx)
    }
}

/// Runs `f` without recording.
pub(crate) fn unrecorded<T>(f: impl FnOnce() -> T) -> T {
    let was = set_grad_enabled(false);
    // restores the mode when `f` panics, too
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            set_grad_enabled(self.0);
        }
    }
    let _restore = Restore(was);
    f()
}

/// A composite of other ops under one node: `saves` says which inputs (by bit, the first eight) and whether the output
/// is kept for `vjp`.
#[track_caller]
pub(crate) fn composite(
    name: &'static str,
    ins: &[&Tensor],
    saves: Saves,
    forward: impl FnOnce() -> Result<Tensor>,
    vjp: impl Fn(&Ctx) -> Result<Grads> + Send + Sync + 'static,
) -> Result<Tensor> {
    let out = unrecorded(forward)?;
    let out = if ins.iter().any(|t| t.shares_storage(&out)) {
        out.detach().copy_now()?
    } else if out.is_view() {
        alias(&out)
    } else {
        out
    };
    if !grad_enabled() || !out.dtype().is_differentiable() || !ins.iter().any(|t| t.requires_grad()) {
        return Ok(out);
    }
    let saved = crate::tensor::SavedSet {
        inputs: ins
            .iter()
            .enumerate()
            .map(|(i, t)| (i < 8 && saves.inputs >> i & 1 != 0).then(|| Saved::input(t)))
            .collect(),
        outputs: std::iter::once((saves.outputs != 0).then(|| Saved::output(&out))).collect(),
        released: false,
    };
    let edges = ins.iter().map(|t| t.gradient_edge()).collect();
    let metas = std::iter::once(OutMeta::of(&out)).collect();
    out.set_history(Node::new(Func::Other(Box::new(Rule { name, vjp })), edges, metas, saved), 0);
    Ok(out)
}

/// Makes the result of an op, computed aside from the target's elements as its first input, the target's own: elements,
/// version and history.
#[track_caller]
pub(crate) fn replace(target: &Tensor, result: &Tensor) -> Result<Tensor> {
    let location = std::panic::Location::caller();
    let node = result.grad_fn().filter(|_| target.dtype().is_differentiable());
    crate::tensor::check_inplace(target, result.requires_grad())?;
    crate::tensor::copy_into(target, crate::tensor::In::T(&result.detach()), location)?;
    crate::tensor::finish_inplace(target, node.map(|n| move |_: &Tensor| n));
    Ok(target.clone())
}
