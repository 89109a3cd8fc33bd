//! Functions with a derivative of their own (`torch.autograd.Function`).

use crate::error::{Result, ensure};
use crate::tensor::{
    Backward, Ctx, Edge, Func, Grads, Node, OutMeta, Saved, SavedSet, Tensor, alias, check_inplace, grad_enabled,
    rebase, set_grad_enabled, unwrap,
};
use smallvec::SmallVec;
use std::sync::Arc;

/// What a function's forward and backward pass share (`ctx`).
#[derive(Default)]
pub struct FunctionCtx {
    saved: Vec<Tensor>,
    dirty: Vec<Tensor>,
    needs: Vec<bool>,
}

impl FunctionCtx {
    /// Keeps inputs or outputs for the backward pass, which checks that nobody has written to them (`ctx.save_for_backward`).
    pub fn save_for_backward(&mut self, tensors: &[&Tensor]) {
        self.saved = tensors.iter().map(|t| (*t).clone()).collect();
    }

    /// Says that forward wrote to an input (`ctx.mark_dirty`), which is its output then.
    pub fn mark_dirty(&mut self, tensor: &Tensor) {
        self.dirty.push(tensor.clone());
    }

    /// Which inputs want a gradient (`ctx.needs_input_grad`).
    pub fn needs_input_grad(&self) -> &[bool] {
        &self.needs
    }

    /// What forward kept, in its order (`ctx.saved_tensors`). In backward only.
    pub fn saved_tensors(&self) -> &[Tensor] {
        &self.saved
    }
}

/// A function of tensors whose derivative is written by hand. The value itself holds what is no tensor.
///
/// ```
/// # use wgtorch::prelude::*;
/// use wgtorch::autograd::{Function, FunctionCtx};
///
/// struct Scale(f64);
/// impl Function for Scale {
///     fn name(&self) -> &str { "Scale" }
///     fn forward(&self, _ctx: &mut FunctionCtx, inputs: &[&Tensor]) -> Tensor { inputs[0] * self.0 }
///     fn backward(&self, _ctx: &FunctionCtx, grad: &Tensor) -> Vec<Option<Tensor>> { vec![Some(grad * self.0)] }
/// }
///
/// let x = tensor!([1., 2.]).requires_grad_(true);
/// let y = Scale(3.).apply(&[&x]);
/// assert_eq!(y.grad_fn().unwrap().name(), "ScaleBackward");
/// y.sum().backward();
/// assert_eq!(x.grad().unwrap().to_vec::<f32>()?, [3., 3.]);
/// # Ok::<(), Error>(())
/// ```
pub trait Function: Send + Sync + Sized + 'static {
    /// The function's name; its node is called `<name>Backward`.
    fn name(&self) -> &str;

    /// The value. Nothing that happens here is recorded.
    fn forward(&self, ctx: &mut FunctionCtx, inputs: &[&Tensor]) -> Tensor;

    /// The gradients of the inputs, one for each, from that of the output. Under `create_graph` it is recorded itself.
    fn backward(&self, ctx: &FunctionCtx, grad: &Tensor) -> Vec<Option<Tensor>>;

    /// Computes the value and puts the function on the tape.
    ///
    /// # Panics
    /// If an input that forward wrote to must not be written to.
    #[track_caller]
    fn apply(self, inputs: &[&Tensor]) -> Tensor {
        unwrap(apply(self, inputs))
    }
}

/// A kept tensor: which input it is, or the output.
enum Kept {
    Input(usize),
    Output,
    Other(Tensor),
}

struct Record<F> {
    function: F,
    kept: Vec<Kept>,
    needs: Vec<bool>,
}

impl<F: Function> Backward for Record<F> {
    fn name(&self) -> String {
        format!("{}Backward", self.function.name())
    }

    fn backward(&self, cx: &Ctx) -> Result<Grads> {
        let saved = self
            .kept
            .iter()
            .map(|k| match k {
                Kept::Input(i) => cx.input(*i),
                Kept::Output => cx.output(0),
                Kept::Other(t) => Ok(t.clone()),
            })
            .collect::<Result<Vec<_>>>()?;
        let ctx = FunctionCtx { saved, dirty: Vec::new(), needs: self.needs.clone() };
        let grads = self.function.backward(&ctx, cx.g());
        ensure!(
            grads.len() == cx.count(),
            Runtime,
            "function {} returned an incorrect number of gradients (expected {}, got {})",
            self.name(),
            cx.count(),
            grads.len()
        );
        Ok(grads.into_iter().collect())
    }
}

#[track_caller]
fn apply<F: Function>(function: F, inputs: &[&Tensor]) -> Result<Tensor> {
    let needs: Vec<bool> = inputs.iter().map(|t| grad_enabled() && t.requires_grad()).collect();
    let recorded = needs.contains(&true);
    // as they are before forward may write to them
    let edges: SmallVec<[Option<Edge>; 2]> = inputs.iter().map(|t| t.gradient_edge().filter(|_| recorded)).collect();
    let mut ctx = FunctionCtx { needs: needs.clone(), ..FunctionCtx::default() };
    let out = {
        struct Restore(bool);
        impl Drop for Restore {
            fn drop(&mut self) {
                set_grad_enabled(self.0);
            }
        }
        let _restore = Restore(set_grad_enabled(false));
        function.forward(&mut ctx, inputs)
    };
    if !recorded || !out.dtype().is_differentiable() {
        return Ok(out);
    }
    let dirty = ctx.dirty.iter().any(|t| t.is_same(&out));
    // an input that is handed on, or a view of one, becomes a tensor of its own
    let out = if !dirty && (out.is_view() || inputs.iter().any(|t| t.is_same(&out))) { alias(&out) } else { out };
    if dirty {
        // forward ran unrecorded, where everything may be written to
        check_inplace(&out, true)?;
    }
    let input_of = |t: &Tensor| inputs.iter().position(|i| i.is_same(t));
    let kept: Vec<Kept> = ctx
        .saved
        .iter()
        .map(|t| match input_of(t) {
            _ if t.is_same(&out) => Kept::Output,
            Some(i) => Kept::Input(i),
            None => Kept::Other(t.clone()),
        })
        .collect();
    let saved = SavedSet {
        inputs: (0..inputs.len())
            .map(|i| kept.iter().any(|k| matches!(k, Kept::Input(j) if *j == i)).then(|| Saved::input(inputs[i])))
            .collect(),
        outputs: SmallVec::new(),
        released: false,
    };
    let keeps_output = kept.iter().any(|k| matches!(k, Kept::Output));
    let make = move |out: &Tensor| -> Arc<Node> {
        let outputs = keeps_output.then(|| Some(Saved::output(out))).into_iter().collect();
        let record = Record { function, kept, needs };
        let metas = std::iter::once(OutMeta::of(out)).collect();
        Node::new(Func::Other(Box::new(record)), edges, metas, SavedSet { outputs, ..saved })
    };
    if dirty {
        // forward has counted the version already
        rebase(&out, make(&out));
    } else {
        out.set_history(make(&out), 0);
    }
    Ok(out)
}
