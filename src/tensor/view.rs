//! Views: tensors that share storage and version, remember their base, and get a new history when the base is written to.

use super::tape::{Backward, Ctx, Func, Node, OutMeta, SavedSet, grad_enabled};
use super::{Body, Tensor};
use crate::error::{Result, bail};
use crate::layout::Layout;
use crate::stream::Storage;
use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A view op: a layout function and the gradient of it.
pub trait ViewOp: Debug + Send + Sync {
    /// PyTorch's name of the node, `ViewBackward0`.
    fn node_name(&self) -> &'static str;
    /// The view's layout from its input's.
    fn layout(&self, input: &Layout) -> Result<Layout>;
    /// The input's gradient from the view's; `cx.input_shape(0)` gives the input's sizes.
    fn vjp(&self, g: &Tensor, cx: &Ctx) -> Result<Tensor>;
}

/// How a view came about, which decides whether it may be written to in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Creation {
    /// By an ordinary view op.
    Default,
    /// As one of several outputs of a function (split, chunk, unbind), by its name.
    MultiView {
        /// The function, as PyTorch's messages call it.
        by: &'static str,
        /// Which output.
        output: usize,
    },
    /// While gradients were off.
    NoGrad,
}

/// What a view remembers.
pub struct ViewInfo {
    /// The tensor that is no view itself.
    pub base: Tensor,
    /// How it was made.
    pub creation: Creation,
    /// The version at which its `grad_fn` was right.
    attr_version: AtomicU64,
}

impl ViewInfo {
    /// True where in-place writes to the base give the view a history.
    pub fn is_tracked(&self) -> bool {
        self.creation != Creation::NoGrad
    }
}

/// A view by an op.
pub fn view(t: &Tensor, op: impl ViewOp + 'static) -> Result<Tensor> {
    view_with_creation(t, op, if grad_enabled() { Creation::Default } else { Creation::NoGrad })
}

/// A view by an op, with the way it was made.
fn view_with_creation(t: &Tensor, op: impl ViewOp + 'static, creation: Creation) -> Result<Tensor> {
    let layout = t.with_body(|b| op.layout(&b.layout))?;
    let out = untracked(t, layout, creation);
    record(t, Func::View(Arc::new(op)), std::slice::from_ref(&out));
    Ok(out)
}

/// Several views that one function makes (split, unbind), with one node for all of them.
pub fn multi_view(
    t: &Tensor,
    by: &'static str,
    layouts: impl IntoIterator<Item = Layout>,
    gradient: impl Backward + 'static,
) -> Vec<Tensor> {
    let one = |(output, layout)| untracked(t, layout, Creation::MultiView { by, output });
    let outs: Vec<Tensor> = layouts.into_iter().enumerate().map(one).collect();
    record(t, Func::Other(Box::new(gradient)), &outs);
    outs
}

/// A view that is on no tape yet.
fn untracked(t: &Tensor, layout: Layout, creation: Creation) -> Tensor {
    let body = Body { layout, ..t.body() };
    let (base, creation) = match t.view_info() {
        Some(v) => (v.base.clone(), if v.creation == Creation::Default { creation } else { v.creation }),
        None => (t.clone(), creation),
    };
    let info = ViewInfo { base, creation, attr_version: AtomicU64::new(t.version()) };
    Tensor::from_body(body, Some(Box::new(info)))
}

/// Puts the node of views on the tape, where gradients flow.
fn record(t: &Tensor, func: Func, outs: &[Tensor]) {
    if outs.is_empty() || !grad_enabled() {
        return;
    }
    if let Some(edge) = t.gradient_edge() {
        let metas = outs.iter().map(OutMeta::of).collect();
        let node = Node::new(func, std::iter::once(Some(edge)).collect(), metas, SavedSet::default());
        for (i, out) in outs.iter().enumerate() {
            out.set_history(node.clone(), i as u32);
        }
    }
}

/// The same storage, layout and version as a tensor of its own without history (`detach()`).
pub fn alias(t: &Tensor) -> Tensor {
    Tensor::from_body(t.body(), None)
}

/// Gives a view whose base was written to in place the history that this makes: `AsStridedBackward0` on the base.
pub(super) fn refresh_grad_fn(t: &Tensor) {
    let Some(info) = t.view_info() else { return };
    let now = t.version();
    if info.attr_version.load(Ordering::Acquire) == now || !info.is_tracked() {
        return;
    }
    info.attr_version.store(now, Ordering::Release);
    if let Some(edge) = info.base.gradient_edge() {
        let op = AsStrided::between(&info.base.layout(), t.layout());
        let metas = std::iter::once(OutMeta::of(t)).collect();
        t.set_history(
            Node::new(Func::View(Arc::new(op)), std::iter::once(Some(edge)).collect(), metas, SavedSet::default()),
            0,
        );
    }
}

/// `as_strided` with the layout of its input, which its gradient needs.
#[derive(Debug)]
pub struct AsStrided {
    input: Layout,
    output: Layout,
}

impl AsStrided {
    /// From one layout of a storage to another.
    pub fn between(input: &Layout, output: Layout) -> AsStrided {
        AsStrided { input: input.clone(), output }
    }
}

impl ViewOp for AsStrided {
    fn node_name(&self) -> &'static str {
        "AsStridedBackward0"
    }

    fn layout(&self, _: &Layout) -> Result<Layout> {
        Ok(self.output.clone())
    }

    fn vjp(&self, g: &Tensor, _: &Ctx) -> Result<Tensor> {
        if self.output.overlaps_itself() || self.input.overlaps_itself() {
            bail!(NotImplemented, "as_strided: the gradient of a view with overlapping memory is not implemented");
        }
        let (whole, part) = strided_zeros(g, &self.input, &self.output);
        super::inplace::copy_tracked(&part, g)?;
        Ok(whole)
    }
}

/// Zeros laid out like `whole`, and the part of them that `part` names in the same storage.
pub(super) fn strided_zeros(like: &Tensor, whole: &Layout, part: &Layout) -> (Tensor, Tensor) {
    let start = whole.offset.min(part.offset);
    let len = whole.end().max(part.end()).saturating_sub(start);
    let (dtype, device) = (like.dtype(), like.device());
    let storage = Storage::constant(device, dtype, len, crate::Scalar::Int(0).as_dtype(dtype));
    let shifted = |l: &Layout| Layout { offset: l.offset - start, ..l.clone() };
    let all = Tensor::from_body(Body { storage, layout: shifted(whole), dtype, version: None }, None);
    let op = AsStrided::between(&shifted(whole), shifted(part));
    match view(&all, op) {
        Ok(view) => (all, view),
        Err(_) => unreachable!("as_strided with a given layout does not fail"),
    }
}
