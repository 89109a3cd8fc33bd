//! The tensor handle: storage, layout, version and autograd data, and the ways to look at them.

mod apply;
mod checked;
mod create;
mod data;
mod display;
mod elementwise;
mod flags;
mod inplace;
#[cfg(feature = "ndarray")]
mod numpy;
mod out;
mod promote;
mod tape;
mod view;

pub use apply::{Op, OutSpec, Saves, apply, apply_on, apply_one, launch, record};
pub use checked::Checked;
pub(crate) use checked::{methods, unwrap};
pub use create::{IntoTensorData, TensorOptions, check_complex};
pub use elementwise::{
    CONJ, Elementwise, In, OUTPUT, Rule, copy_into, elementwise, elementwise_, to_dtype, try_to_dtype,
};
pub use flags::{GradModeGuard, enable_grad, is_grad_enabled, no_grad, no_grad_guard};
pub use inplace::{check_inplace, copy_tracked, fill_tracked, finish_inplace, rebase, swap_data, update};
#[cfg(feature = "ndarray")]
pub use numpy::{NdArray, NdView, NdViewMut};
pub use out::{OutRule, elementwise_out, result_out};
pub use promote::{can_cast, result_type};
pub use tape::{
    Backward, Ctx, Edge, Func, Grads, Hook, Node, OutMeta, Saved, SavedSet, grad_enabled, next_sequence, no_grads,
    one_grad, set_grad_enabled,
};
pub use view::{Creation, ViewInfo, ViewOp, alias, multi_view, view};

use crate::device::Device;
use crate::dtype::DType;
use crate::layout::Layout;
use crate::shape::Shape;
use crate::stream::{Arg, Storage};
use parking_lot::{Mutex, RwLock};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

/// An n-dimensional array on a device, which may record how it came about (PyTorch's `torch.Tensor`).
///
/// `Clone` gives another handle of the same tensor; [`Tensor::copy`] is PyTorch's `clone()`.
#[derive(Clone)]
pub struct Tensor(pub(crate) Arc<TensorImpl>);

/// What all handles of one tensor share.
pub struct TensorImpl {
    body: RwLock<Body>,
    /// True where gradients flow to it: a leaf that requires grad, or a tensor with a `grad_fn`.
    requires_grad: AtomicBool,
    is_parameter: AtomicBool,
    meta: Mutex<Option<Box<AutogradMeta>>>,
    view: Option<Box<ViewInfo>>,
}

/// What can be swapped under every handle (`t_`, `Module::to`).
#[derive(Clone)]
pub(crate) struct Body {
    pub storage: Storage,
    pub layout: Layout,
    pub dtype: DType,
    /// A version count of its own (`data()`, a swapped storage); otherwise the storage's.
    pub version: Option<Arc<AtomicU64>>,
}

/// What autograd knows of a tensor.
#[derive(Default)]
pub struct AutogradMeta {
    /// The flag of a leaf.
    pub requires_grad: bool,
    /// The gradient that `backward` left here.
    pub grad: Option<Tensor>,
    /// The node that computed it; none for a leaf.
    pub grad_fn: Option<Arc<Node>>,
    /// Which of the node's outputs it is.
    pub output_nr: u32,
    /// A leaf's accumulating node, while a graph holds it.
    pub accumulator: Weak<Node>,
    /// Keep `grad` although it is no leaf.
    pub retains_grad: bool,
    /// Called with the gradient on its way.
    pub hooks: Vec<Hook>,
}

/// A tensor's dtype, shape and device, without its elements.
#[derive(Clone, Debug, PartialEq)]
pub struct Meta {
    /// Sizes.
    pub shape: Shape,
    /// Element type.
    pub dtype: DType,
    /// Where it lives.
    pub device: Device,
}

impl Tensor {
    pub(crate) fn from_body(body: Body, view: Option<Box<ViewInfo>>) -> Tensor {
        Tensor(Arc::new(TensorImpl {
            body: RwLock::new(body),
            requires_grad: AtomicBool::new(false),
            is_parameter: AtomicBool::new(false),
            meta: Mutex::new(None),
            view,
        }))
    }

    /// A tensor over a whole new storage, without history.
    pub(crate) fn from_storage(storage: Storage, shape: &[usize], dtype: DType) -> Tensor {
        let body =
            Body { storage, layout: Layout::contiguous(crate::shape::Dims::from_slice(shape)), dtype, version: None };
        Tensor::from_body(body, None)
    }

    pub(crate) fn body(&self) -> Body {
        self.0.body.read().clone()
    }

    pub(crate) fn with_body<R>(&self, f: impl FnOnce(&Body) -> R) -> R {
        f(&self.0.body.read())
    }

    /// Puts another storage and layout under every handle of this tensor.
    pub(crate) fn set_body(&self, body: Body) {
        *self.0.body.write() = body;
    }

    /// The tensor as a command's operand.
    pub(crate) fn arg(&self) -> Arg {
        self.with_body(|b| Arg { storage: b.storage.shared().clone(), dtype: b.dtype, layout: b.layout.clone() })
    }

    pub(crate) fn layout(&self) -> Layout {
        self.with_body(|b| b.layout.clone())
    }

    /// The sizes (`tensor.shape`).
    pub fn shape(&self) -> Shape {
        self.with_body(|b| Shape(b.layout.shape.clone()))
    }

    /// The sizes (`tensor.size()`).
    pub fn size(&self) -> Shape {
        self.shape()
    }

    /// The size of one dim, which may be negative (`tensor.size(dim)`).
    ///
    /// # Panics
    /// If there is no such dim.
    #[track_caller]
    pub fn size_of(&self, dim: isize) -> usize {
        let shape = self.shape();
        let d = unwrap(crate::shape::wrap_dim(dim, shape.len()));
        shape.get(d).copied().unwrap_or(1)
    }

    /// Elements between neighbours along each dim (`tensor.stride()`).
    pub fn stride(&self) -> Vec<usize> {
        self.with_body(|b| b.layout.strides.to_vec())
    }

    /// Index of the first element in the storage (`tensor.storage_offset()`).
    pub fn storage_offset(&self) -> usize {
        self.with_body(|b| b.layout.offset)
    }

    /// Number of dims (`tensor.dim()`).
    pub fn dim(&self) -> usize {
        self.with_body(|b| b.layout.ndim())
    }

    /// Number of elements (`tensor.numel()`).
    pub fn numel(&self) -> usize {
        self.with_body(|b| b.layout.numel())
    }

    /// The element type (`tensor.dtype`).
    pub fn dtype(&self) -> DType {
        self.with_body(|b| b.dtype)
    }

    /// Where it lives (`tensor.device`).
    pub fn device(&self) -> Device {
        self.with_body(|b| b.storage.device)
    }

    /// Shape, dtype and device at once.
    pub fn meta(&self) -> Meta {
        self.with_body(|b| Meta { shape: Shape(b.layout.shape.clone()), dtype: b.dtype, device: b.storage.device })
    }

    /// Row-major without gaps (`tensor.is_contiguous()`).
    pub fn is_contiguous(&self) -> bool {
        self.with_body(|b| b.layout.is_contiguous())
    }

    /// True where both are handles of one tensor (Python's `is`).
    pub fn is_same(&self, other: &Tensor) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// True where this is the only handle of the tensor.
    pub(crate) fn is_sole_handle(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }

    /// True where nothing else sees its storage, all of which it covers: the only handle of a tensor, or of a view of one
    /// that nobody holds.
    pub(crate) fn owns_storage(&self) -> bool {
        let held = match self.view_info() {
            Some(v) if v.base.is_sole_handle() => 2,
            Some(_) => return false,
            None => 1,
        };
        let whole = |b: &Body| b.layout.numel() * b.dtype.size() == b.storage.nbytes && b.storage.handles() == held;
        self.is_sole_handle() && self.with_body(whole)
    }

    /// True where its storage is one value without a buffer.
    pub(crate) fn holds_constant(&self) -> bool {
        self.with_body(|b| b.storage.as_constant().is_some())
    }

    /// True where both look at one storage.
    pub fn shares_storage(&self, other: &Tensor) -> bool {
        self.with_body(|a| other.with_body(|b| Arc::ptr_eq(a.storage.shared(), b.storage.shared())))
    }

    /// A number that no other memory has; views share it.
    pub(crate) fn storage_id(&self) -> u64 {
        self.with_body(|b| b.storage.shared().id)
    }

    /// How often the memory was written in place (`tensor._version`); views and `detach()` share the count.
    pub fn version(&self) -> u64 {
        self.with_body(|b| match &b.version {
            Some(v) => v.load(Ordering::Acquire),
            None => b.storage.version(),
        })
    }

    pub(crate) fn bump_version(&self) {
        self.with_body(|b| match &b.version {
            Some(v) => {
                v.fetch_add(1, Ordering::AcqRel);
            }
            None => b.storage.bump_version(),
        })
    }

    /// The tensor this is a view of.
    pub(crate) fn view_info(&self) -> Option<&ViewInfo> {
        self.0.view.as_deref()
    }

    /// True for a view of another tensor (`tensor._is_view()`).
    pub fn is_view(&self) -> bool {
        self.0.view.is_some()
    }

    /// True where gradients flow to it (`tensor.requires_grad`).
    pub fn requires_grad(&self) -> bool {
        self.0.requires_grad.load(Ordering::Acquire)
            || self.view_info().is_some_and(|v| v.base.0.requires_grad.load(Ordering::Acquire))
    }

    /// True where no op made it, or gradients do not flow to it (`tensor.is_leaf`).
    pub fn is_leaf(&self) -> bool {
        self.grad_fn().is_none()
    }

    pub(crate) fn is_parameter(&self) -> bool {
        self.0.is_parameter.load(Ordering::Relaxed)
    }

    pub(crate) fn mark_parameter(&self) {
        self.0.is_parameter.store(true, Ordering::Relaxed);
    }

    /// Runs `f` on the autograd data, made now if there is none.
    pub(crate) fn with_meta<R>(&self, f: impl FnOnce(&mut AutogradMeta) -> R) -> R {
        let mut meta = self.0.meta.lock();
        let result = f(meta.get_or_insert_default());
        if let Some(m) = meta.as_ref() {
            self.0.requires_grad.store(m.requires_grad || m.grad_fn.is_some(), Ordering::Release);
        }
        result
    }

    /// Runs `f` on the autograd data if there is any.
    pub(crate) fn peek_meta<R>(&self, f: impl FnOnce(&AutogradMeta) -> R) -> Option<R> {
        self.0.meta.lock().as_deref().map(f)
    }

    /// The gradient that `backward` accumulated (`tensor.grad`).
    pub fn grad(&self) -> Option<Tensor> {
        self.peek_meta(|m| m.grad.clone()).flatten()
    }

    /// Replaces the gradient; None is what `zero_grad` leaves (`tensor.grad = …`).
    ///
    /// # Panics
    /// If the gradient has another size, dtype or device.
    #[track_caller]
    pub fn set_grad(&self, grad: Option<Tensor>) {
        if let Some(g) = &grad {
            let (own, new) = (self.meta(), g.meta());
            assert!(
                own.shape == new.shape,
                "attempting to assign a gradient of size '{:?}' to a tensor of size '{:?}'. Please ensure that the gradient and the tensor are the same size",
                &new.shape[..],
                &own.shape[..]
            );
            assert!(
                own.dtype == new.dtype,
                "attempting to assign a gradient with dtype '{}' to a tensor with grad_dtype '{}'.",
                new.dtype.scalar_name().to_lowercase(),
                own.dtype.scalar_name().to_lowercase()
            );
            assert!(
                own.device == new.device,
                "attempting to assign a gradient with device '{}' to a tensor with device '{}'. Please ensure that the gradient and the tensor are on the same device",
                new.device,
                own.device
            );
        }
        if grad.is_some() || self.0.meta.lock().is_some() {
            let old = self.with_meta(|m| std::mem::replace(&mut m.grad, grad));
            drop(old);
        }
    }

    /// The node that computed it (`tensor.grad_fn`); none for a leaf.
    pub fn grad_fn(&self) -> Option<Arc<Node>> {
        view::refresh_grad_fn(self);
        self.peek_meta(|m| m.grad_fn.clone()).flatten()
    }

    /// Where a gradient of this tensor goes; None where none flows.
    pub(crate) fn gradient_edge(&self) -> Option<Edge> {
        if !self.requires_grad() {
            return None;
        }
        view::refresh_grad_fn(self);
        self.with_meta(|m| {
            if let Some(node) = &m.grad_fn {
                return Some(Edge { node: node.clone(), index: m.output_nr });
            }
            if !m.requires_grad {
                return None;
            }
            let node = m.accumulator.upgrade().unwrap_or_else(|| {
                let node = Node::accumulate(self.clone());
                m.accumulator = Arc::downgrade(&node);
                node
            });
            Some(Edge { node, index: 0 })
        })
    }

    /// Makes a node this tensor's history.
    pub(crate) fn set_history(&self, node: Arc<Node>, output_nr: u32) {
        let old = self.with_meta(|m| {
            m.output_nr = output_nr;
            m.grad_fn.replace(node)
        });
        drop(old);
    }
}
