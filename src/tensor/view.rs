//! Views: tensors that share storage and version, remember their base, and get a new history when the base is written to.

use super::tape::{Backward, Ctx, Func, Node, OutMeta, SavedSet, grad_enabled};
use super::{Body, Tensor};
use crate::device::Device;
use crate::dtype::DType;
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
    /// The view's dtype from its input's.
    fn dtype(&self, input: DType) -> DType {
        input
    }
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
    let body = t.body();
    let body = Body { layout: op.layout(&body.layout)?, dtype: op.dtype(body.dtype), ..body };
    let out = untracked(t, body, creation);
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
    let one = |(output, layout)| untracked(t, Body { layout, ..t.body() }, Creation::MultiView { by, output });
    let outs: Vec<Tensor> = layouts.into_iter().enumerate().map(one).collect();
    record(t, Func::Other(Box::new(gradient)), &outs);
    outs
}

/// A view that is on no tape yet.
fn untracked(t: &Tensor, body: Body, creation: Creation) -> Tensor {
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
        let op = AsStrided::between((&info.base.layout(), info.base.dtype()), (t.layout(), t.dtype()));
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
    /// The dtypes of both, which differ where one of them sees the parts of the other's complex numbers.
    dtypes: (DType, DType),
}

impl AsStrided {
    /// From one layout of a storage to another.
    pub fn between(input: (&Layout, DType), output: (Layout, DType)) -> AsStrided {
        AsStrided { input: input.0.clone(), output: output.0, dtypes: (input.1, output.1) }
    }
}

impl ViewOp for AsStrided {
    fn node_name(&self) -> &'static str {
        "AsStridedBackward0"
    }

    fn layout(&self, _: &Layout) -> Result<Layout> {
        Ok(self.output.clone())
    }

    fn dtype(&self, _: DType) -> DType {
        self.dtypes.1
    }

    fn vjp(&self, g: &Tensor, _: &Ctx) -> Result<Tensor> {
        if self.output.overlaps_itself() || self.input.overlaps_itself() {
            bail!(NotImplemented, "as_strided: the gradient of a view with overlapping memory is not implemented");
        }
        let (from, to) = self.dtypes;
        let (whole, part) = strided_zeros(g.device(), (&self.input, from), (&self.output, to));
        super::inplace::copy_tracked(&part, g)?;
        Ok(whole)
    }
}

/// Zeros laid out like `whole`, and the part of them that `part` names in the same storage.
pub(super) fn strided_zeros(device: Device, whole: (&Layout, DType), part: (&Layout, DType)) -> (Tensor, Tensor) {
    // in elements of the wider dtype, which offsets of the other are multiples of
    let ((whole, dtype), (part, seen)) = (whole, part);
    let bytes = |offset: usize, d: DType| offset * d.size();
    let unit = dtype.size().max(seen.size());
    let start = bytes(whole.offset, dtype).min(bytes(part.offset, seen)) / unit * unit;
    let end = bytes(whole.end(), dtype).max(bytes(part.end(), seen));
    let len = end.saturating_sub(start).div_ceil(dtype.size());
    let storage = Storage::constant(device, dtype, len, crate::Scalar::Int(0).as_dtype(dtype));
    let shifted = |l: &Layout, d: DType| Layout { offset: l.offset - start / d.size(), ..l.clone() };
    let (whole, part) = (shifted(whole, dtype), shifted(part, seen));
    let all = Tensor::from_body(Body { storage, layout: whole.clone(), dtype, version: None }, None);
    let op = AsStrided::between((&whole, dtype), (part, seen));
    match view(&all, op) {
        Ok(view) => (all, view),
        Err(_) => unreachable!("as_strided with a given layout does not fail"),
    }
}
