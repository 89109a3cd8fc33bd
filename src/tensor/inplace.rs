//! The in-place rules: what may be written to, and how a write becomes part of the history of a tensor and its base.
//!
//! NOTE [In-place]: a write first checks that autograd allows it, then runs as a command whose output is the tensor itself,
//! then counts up the version, then rebases: a plain tensor gets the new node as its history; a view gives its *base* a
//! `CopySlices` node, and the view's own history is rebuilt from the base when somebody asks for it.

use super::tape::{Backward, Ctx, Func, Grads, Node, OutMeta, SavedSet, grad_enabled, no_grads};
use super::{Creation, In, Tensor, copy_into};
use crate::dtype::DType;
use crate::error::{Result, bail, ensure};
use crate::layout::Layout;
use crate::stream::{self, Arg, Kernel, KernelCmd};
use smallvec::SmallVec;
use std::panic::Location;
use std::sync::Arc;

/// Fails where a tensor must not be written to: a leaf that requires grad, a view that cannot be rebased, expanded memory.
/// `needs` is true where the write itself carries a gradient.
pub fn check_inplace(t: &Tensor, needs: bool) -> Result<()> {
    ensure!(
        !t.layout().overlaps_itself(),
        Runtime,
        "unsupported operation: more than one element of the written-to tensor refers to a single memory location. Please clone() the tensor before performing the operation."
    );
    if !grad_enabled() {
        return Ok(());
    }
    let requires = needs || t.requires_grad() || t.view_info().is_some_and(|v| v.base.requires_grad());
    if !requires {
        return Ok(());
    }
    if let Some(v) = t.view_info() {
        match v.creation {
            Creation::Default => {}
            Creation::MultiView { by, output } => bail!(
                Runtime,
                "Output {output} of {by} is a view and is being modified inplace. This view is the output of a function that returns multiple views. Such functions do not allow the output views to be modified inplace. You should replace the inplace operation by an out-of-place one."
            ),
            Creation::NoGrad => bail!(
                Runtime,
                "A view was created in no_grad mode and is being modified inplace with grad mode enabled. Given that this use case is ambiguous and error-prone, it is forbidden. You can clarify your code by moving both the view and the inplace either both inside the no_grad block (if you don't want the inplace to be tracked) or both outside (if you want the inplace to be tracked)."
            ),
        }
        ensure!(
            !(v.base.requires_grad() && v.base.is_leaf()),
            Runtime,
            "a view of a leaf Variable that requires grad is being used in an in-place operation."
        );
    }
    ensure!(
        !(t.requires_grad() && t.is_leaf()),
        Runtime,
        "a leaf Variable that requires grad is being used in an in-place operation."
    );
    Ok(())
}

/// Fails where an operand shares some, but not all, of the written elements, by PyTorch's rule: it looks at the bounds of what
/// lies dense in memory. What else overlaps is read whole before the write.
pub(super) fn check_overlap(target: &Arg, operand: &Tensor) -> Result<()> {
    let b = operand.arg();
    let bytes = |x: &Arg| (x.layout.offset * x.dtype.size(), x.layout.end() * x.dtype.size());
    let ((a0, a1), (b0, b1)) = (bytes(target), bytes(&b));
    let apart = a1 <= b0 || b1 <= a0 || target.layout.numel() == 0 || b.layout.numel() == 0;
    let same = (a0, a1) == (b0, b1) && target.layout.strides == b.layout.strides;
    ensure!(
        apart || same || !(target.layout.is_dense() && b.layout.is_dense()),
        Runtime,
        "unsupported operation: some elements of the input tensor and the written-to tensor refer to a single memory location. Please clone() the tensor before performing the operation."
    );
    Ok(())
}

/// Counts the write and puts its node, made after the count, into the history of the tensor or of its base.
pub fn finish_inplace(t: &Tensor, node: Option<impl FnOnce(&Tensor) -> Arc<Node>>) {
    t.bump_version();
    if let Some(node) = node {
        rebase(t, node(t));
    }
}

/// Puts the node of a write into the history of the tensor or of its base.
pub fn rebase(t: &Tensor, node: Arc<Node>) {
    match t.view_info() {
        None => t.set_history(node, 0),
        Some(info) => {
            let base = &info.base;
            let mut edges: SmallVec<[Option<super::Edge>; 2]> = SmallVec::new();
            edges.push(base.gradient_edge());
            edges.extend(node.edges().iter().skip(1).cloned());
            let slices = CopySlices { base: (base.layout(), base.dtype()), view: (t.layout(), t.dtype()), inner: node };
            let metas = std::iter::once(OutMeta::of(base)).collect();
            base.set_history(Node::new(Func::Other(Box::new(slices)), edges, metas, SavedSet::default()), 0);
            super::view::refresh_grad_fn(t);
        }
    }
}

/// The history of a base after a write through one of its views: the written part goes through the op's own gradient.
struct CopySlices {
    base: (Layout, DType),
    view: (Layout, DType),
    inner: Arc<Node>,
}

impl Backward for CopySlices {
    fn name(&self) -> String {
        "CopySlices".into()
    }

    fn backward(&self, cx: &Ctx) -> Result<Grads> {
        let (base, view) = ((&self.base.0, self.base.1), (&self.view.0, self.view.1));
        let (whole, part) = super::view::strided_zeros(cx.g().device(), base, view);
        copy_tracked(&whole, cx.g())?;
        let inner = self.inner.run(&[Some(super::to_dtype(&part, part.dtype()))])?;
        let mut grads = no_grads(inner.len());
        for (i, g) in inner.into_iter().enumerate() {
            if i > 0 {
                grads[i] = g;
            } else if cx.needs(0) {
                match g {
                    Some(g) => copy_tracked(&part, &g)?,
                    None => fill_tracked(&part, crate::Scalar::Int(0))?,
                }
                grads[0] = Some(whole.clone());
            }
        }
        Ok(grads)
    }

    fn release(&self) -> bool {
        self.inner.release();
        false
    }
}

#[derive(Debug)]
struct CopyBackwards;

impl Backward for CopyBackwards {
    fn name(&self) -> String {
        "CopyBackwards".into()
    }
    fn backward(&self, cx: &Ctx) -> Result<Grads> {
        let mut grads = no_grads(2);
        if cx.needs(0) {
            grads[0] = Some(Tensor::zeros_of(&cx.input_meta(0)));
        }
        if cx.needs(1) {
            grads[1] = Some(cx.g().clone());
        }
        Ok(grads)
    }
}

struct FillBackward(&'static str);

impl Backward for FillBackward {
    fn name(&self) -> String {
        self.0.into()
    }
    fn backward(&self, cx: &Ctx) -> Result<Grads> {
        Ok(if cx.needs(0) { super::one_grad(Tensor::zeros_of(&cx.input_meta(0))) } else { no_grads(1) })
    }
}

/// `copy_`: writes `src`, broadcast and converted, over `target`, as part of the history.
#[track_caller]
pub fn copy_tracked(target: &Tensor, src: &Tensor) -> Result<()> {
    let location = Location::caller();
    let shape = target.shape();
    ensure!(
        crate::shape::expandable(&src.shape(), &shape),
        Runtime,
        "output with shape {:?} doesn't match the broadcast shape {:?}",
        &shape[..],
        &crate::shape::broadcast(&shape, &src.shape())?[..]
    );
    let record =
        grad_enabled() && (src.requires_grad() || target.requires_grad()) && target.dtype().is_differentiable();
    check_inplace(target, grad_enabled() && src.requires_grad())?;
    if src.shares_storage(target) {
        check_overlap(&target.arg(), src)?;
    }
    let edges = record.then(|| [target.gradient_edge(), src.gradient_edge()]);
    copy_into(target, In::T(src), location)?;
    finish_inplace(
        target,
        edges.map(|e| {
            move |t: &Tensor| {
                let metas = std::iter::once(OutMeta::of(t)).collect();
                Node::new(Func::Other(Box::new(CopyBackwards)), e.into_iter().collect(), metas, SavedSet::default())
            }
        }),
    );
    Ok(())
}

/// `fill_`: writes one number over `target`, as part of the history.
#[track_caller]
pub fn fill_tracked(target: &Tensor, value: crate::Scalar) -> Result<()> {
    let location = Location::caller();
    super::create::check_complex(value, target.dtype())?;
    check_inplace(target, false)?;
    let record = grad_enabled() && target.requires_grad() && target.dtype().is_differentiable();
    let edge = record.then(|| target.gradient_edge());
    copy_into(target, In::S(value), location)?;
    finish_inplace(
        target,
        edge.map(|e| {
            move |t: &Tensor| {
                let metas = std::iter::once(OutMeta::of(t)).collect();
                let func = Func::Other(Box::new(FillBackward("FillBackward0")));
                Node::new(func, std::iter::once(e).collect(), metas, SavedSet::default())
            }
        }),
    );
    Ok(())
}

/// Puts another tensor's memory, dtype and device under every handle of `t` (`Module::to`, `param.data = …`). A graph that saved
/// `t` will say that it was modified; gradients find their way to it by a new node.
pub fn swap_data(t: &Tensor, with: &Tensor) {
    let mut body = with.body();
    body.version = Some(std::sync::Arc::new((t.version() + 1).into()));
    t.set_body(body);
    t.with_meta(|m| m.accumulator = std::sync::Weak::new());
}

/// Runs a kernel that changes tensors where they lie, without history.
#[track_caller]
pub fn update(kernel: Arc<dyn Kernel>, ins: &[&Tensor], outs: &[&Tensor]) -> Result<()> {
    let location = Location::caller();
    outs.iter().try_for_each(|t| check_inplace(t, false))?;
    let args = |all: &[&Tensor]| all.iter().map(|t| t.arg()).collect();
    stream::kernel(KernelCmd { kernel, ins: args(ins), outs: outs.iter().map(|t| t.arg()).collect(), location })?;
    outs.iter().for_each(|t| t.bump_version());
    Ok(())
}
