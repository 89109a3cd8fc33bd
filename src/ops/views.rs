//! Views: the same storage under another layout, with the gradient of each.

use super::cat::{try_cat, try_stack};
use crate::error::{Error, Result, ensure};
use crate::layout::Layout;
use crate::shape::{Shape, wrap_dim};
use crate::tensor::{Backward, Ctx, Grads, Tensor, ViewOp, methods, multi_view, one_grad, view};

/// Sizes as arguments, in which -1 may stand for one that follows from the rest.
pub trait IntoSizes {
    /// The sizes as signed numbers.
    fn into_sizes(self) -> Vec<isize>;
}

macro_rules! sizes_from {
    ($($t:ty),*) => {$(
        impl<const N: usize> IntoSizes for [$t; N] {
            fn into_sizes(self) -> Vec<isize> { self.iter().map(|&s| s as isize).collect() }
        }
        impl IntoSizes for &[$t] {
            fn into_sizes(self) -> Vec<isize> { self.iter().map(|&s| s as isize).collect() }
        }
        impl IntoSizes for &Vec<$t> {
            fn into_sizes(self) -> Vec<isize> { self.iter().map(|&s| s as isize).collect() }
        }
        impl IntoSizes for Vec<$t> {
            fn into_sizes(self) -> Vec<isize> { self.iter().map(|&s| s as isize).collect() }
        }
        impl IntoSizes for $t {
            fn into_sizes(self) -> Vec<isize> { vec![self as isize] }
        }
    )*};
}
sizes_from!(i32, isize, usize, i64);

impl IntoSizes for &Shape {
    fn into_sizes(self) -> Vec<isize> {
        self.iter().map(|&s| s as isize).collect()
    }
}
impl IntoSizes for Shape {
    fn into_sizes(self) -> Vec<isize> {
        (&self).into_sizes()
    }
}
impl IntoSizes for () {
    fn into_sizes(self) -> Vec<isize> {
        Vec::new()
    }
}

/// View ops as structs: fields, node name, layout function, gradient.
macro_rules! views {
    ($($name:ident { $($f:ident: $t:ty),* } $node:literal, |$v:ident, $l:ident| $layout:expr, |$w:ident, $g:ident, $cx:ident| $vjp:expr;)*) => {$(
        #[derive(Debug)]
        pub(crate) struct $name { $(pub(crate) $f: $t),* }
        impl ViewOp for $name {
            fn node_name(&self) -> &'static str { $node }
            fn layout(&self, $l: &Layout) -> Result<Layout> { let $v = self; $layout }
            fn vjp(&self, $g: &Tensor, $cx: &Ctx) -> Result<Tensor> { let $w = self; $vjp }
        }
    )*};
}

/// Zeros in the form of the input.
fn zeros_in(cx: &Ctx) -> Tensor {
    let m = cx.input_meta(0);
    Tensor::constant(crate::Scalar::Int(0), &m.shape, m.dtype, m.device)
}

/// Zeros in the form of the input, of which `part` gives the piece that the view showed: the gradient goes there.
fn place(cx: &Ctx, g: &Tensor, part: impl FnOnce(&Tensor) -> Result<Tensor>) -> Result<Tensor> {
    let whole = zeros_in(cx);
    part(&whole)?.checked().copy_(g)?;
    Ok(whole)
}

/// The node of views that one function made of a dim: their gradients joined again.
struct Pieces {
    node: &'static str,
    dim: usize,
    /// True where the pieces still have the dim.
    kept: bool,
}

impl Backward for Pieces {
    fn name(&self) -> String {
        self.node.into()
    }

    fn backward(&self, cx: &Ctx) -> Result<Grads> {
        let piece = |(i, g): (usize, &Option<Tensor>)| g.clone().unwrap_or_else(|| Tensor::zeros_of(cx.output_meta(i)));
        let grads: Vec<Tensor> = cx.grads.iter().enumerate().map(piece).collect();
        let whole = if self.kept { try_cat(&grads, self.dim as isize) } else { try_stack(&grads, self.dim as isize) };
        Ok(one_grad(whole?))
    }
}

/// A dim cut into pieces of these sizes, which add up to its own.
fn pieces(t: &Tensor, by: &'static str, node: &'static str, dim: isize, sizes: &[usize]) -> Result<Vec<Tensor>> {
    let d = wrap_dim(dim, t.dim())?;
    let mut at = 0;
    let piece = |&n: &usize| {
        let start = at as isize;
        at += n;
        t.layout().slice(dim, Some(start), Some(at as isize), 1)
    };
    let layouts: Vec<Layout> = sizes.iter().map(piece).collect::<Result<_>>()?;
    Ok(multi_view(t, by, layouts, Pieces { node, dim: d, kept: true }))
}

views! {
    View { sizes: Vec<isize> } "ViewBackward0", |v, l| l.view(&v.sizes), |_v, g, cx| g.checked().reshape(cx.input_shape(0));
    UnsafeView { shape: Vec<usize> } "UnsafeViewBackward0",
        |v, l| l.view(&v.shape.iter().map(|&s| s as isize).collect::<Vec<_>>()),
        |_v, g, cx| g.checked().reshape(cx.input_shape(0));
    Alias {} "AliasBackward0", |_v, l| Ok(l.clone()), |_v, g, _cx| Ok(g.clone());
    Expand { sizes: Vec<isize> } "ExpandBackward0", |v, l| l.expand(&v.sizes),
        |_v, g, cx| g.checked().sum_to_size(cx.input_shape(0));
    Permute { dims: Vec<isize> } "PermuteBackward0", |v, l| l.permute(&v.dims), |v, g, cx| {
        let n = cx.input_shape(0).len();
        let mut back = vec![0; n];
        for (i, &d) in v.dims.iter().enumerate() {
            back[wrap_dim(d, n)?] = i as isize;
        }
        g.checked().permute(back)
    };
    Transpose { a: isize, b: isize } "TransposeBackward0", |v, l| l.transpose(v.a, v.b),
        |v, g, _cx| g.checked().transpose(v.a, v.b);
    T {} "TBackward0", |_v, l| if l.ndim() < 2 { Ok(l.clone()) } else { l.transpose(0, 1) }, |_v, g, _cx| g.checked().t();
    Select { dim: isize, index: isize } "SelectBackward0", |v, l| l.select(v.dim, v.index),
        |v, g, cx| place(cx, g, |x| x.checked().select(v.dim, v.index));
    Slice { dim: isize, start: Option<isize>, end: Option<isize>, step: usize } "SliceBackward0",
        |v, l| l.slice(v.dim, v.start, v.end, v.step),
        |v, g, cx| place(cx, g, |x| x.checked().slice(v.dim, v.start, v.end, v.step));
    Squeeze {} "SqueezeBackward0", |_v, l| l.squeeze(None), |_v, g, cx| g.checked().reshape(cx.input_shape(0));
    SqueezeDims { dims: Vec<isize> } "SqueezeBackward1", |v, l| l.squeeze(Some(&v.dims)),
        |_v, g, cx| g.checked().reshape(cx.input_shape(0));
    Unsqueeze { dim: isize } "UnsqueezeBackward0", |v, l| l.unsqueeze(v.dim),
        |_v, g, cx| g.checked().reshape(cx.input_shape(0));
    Unfold { dim: isize, size: usize, step: usize } "UnfoldBackward0", |v, l| l.unfold(v.dim, v.size, v.step), |v, g, cx| {
        // element k of each window in turn; windows may overlap
        let whole = zeros_in(cx);
        let windows = g.shape();
        let d = wrap_dim(v.dim, cx.input_shape(0).len())?;
        for k in 0..v.size {
            let part = if windows.len() == 1 { whole.clone() } else {
                let end = k + (windows[d] - 1) * v.step + 1;
                whole.checked().slice(v.dim, Some(k as isize), Some(end as isize), v.step)?
            };
            part.checked().add_(g.checked().select(-1, k as isize)?)?;
        }
        Ok(whole)
    };
    AsStrided { input: Layout, output: Layout } "AsStridedBackward0", |v, _l| Ok(v.output.clone()), |v, g, cx| {
        // sums for each element of the memory, shared out where several elements of the input lie there
        let start = v.input.offset.min(v.output.offset);
        let len = v.input.end().max(v.output.end()).saturating_sub(start);
        let places = |l: &Layout| {
            let mut at = Vec::with_capacity(l.numel());
            l.for_each_offset(|o| at.push((o - start) as i64));
            let n = at.len();
            Tensor::from_vec(at, [n], g.device())
        };
        let flat = Tensor::constant(crate::Scalar::Int(0), &[len], g.dtype(), g.device());
        let mut sums = flat.checked().index_add(0, &places(&v.output)?, &g.checked().reshape(-1)?, 1)?;
        let at = places(&v.input)?;
        if v.input.overlaps_itself() {
            let one = Tensor::constant(crate::Scalar::Int(1), &[at.numel()], g.dtype(), g.device());
            let count = flat.checked().index_add(0, &at, &one, 1)?;
            sums = sums.checked().div(&count)?;
        }
        sums.checked().index_select(0, &at)?.checked().reshape(cx.input_shape(0))
    };
    Diagonal { offset: isize, a: isize, b: isize } "DiagonalBackward0", |v, l| l.diagonal(v.offset, v.a, v.b),
        |v, g, cx| place(cx, g, |x| x.checked().diagonal(v.offset, v.a, v.b));
}

/// A view of a whole tensor (`x[...]`).
pub(crate) fn whole(t: &Tensor) -> Result<Tensor> {
    view(t, Alias {})
}

/// Puts a view's layout and history under a tensor's own handles.
fn become_view(t: &Tensor, view: &Tensor) -> Result<Tensor> {
    crate::tensor::check_inplace(t, false)?;
    let node = view.grad_fn();
    let mut body = t.body();
    body.layout = view.layout();
    t.set_body(body);
    crate::tensor::finish_inplace(t, None::<fn(&Tensor) -> std::sync::Arc<crate::tensor::Node>>);
    if let Some(node) = node {
        t.set_history(node, 0);
    }
    Ok(t.clone())
}

methods! {
    /// The same elements under new sizes, one of which may be -1 (`tensor.view`). Shares memory.
    ///
    /// # Panics
    /// If the sizes do not fit, or the strides cannot express them (use [`Tensor::reshape`]).
    fn view(&self, sizes: impl IntoSizes) -> Tensor {
        view(self.0, View { sizes: sizes.into_sizes() })
    }

    /// [`Tensor::view`] where the strides allow it, else a copy (`torch.reshape`).
    fn reshape(&self, sizes: impl IntoSizes) -> Tensor {
        let sizes = sizes.into_sizes();
        let layout = self.layout();
        let shape = layout.infer_size(&sizes)?;
        if layout.try_view(&shape).is_some() {
            return view(self.0, View { sizes });
        }
        let copied = crate::tensor::to_dtype(self.0, self.dtype());
        view(&copied, UnsafeView { shape: shape.to_vec() })
    }

    /// Dims from `start` to `end` as one (`torch.flatten`, with all dims by default in [`Tensor::flatten`]).
    fn flatten_dims(&self, start: isize, end: isize) -> Tensor {
        let shape = self.shape();
        let (a, b) = (wrap_dim(start, shape.len())?, wrap_dim(end, shape.len())?);
        ensure!(a <= b, Runtime, "flatten() has invalid args: start_dim cannot come after end_dim");
        if shape.is_empty() {
            return self.reshape([1]);
        }
        if a == b {
            return Ok(self.0.clone());
        }
        let mut sizes = shape[..a].to_vec();
        sizes.push(shape[a..=b].iter().product());
        sizes.extend(&shape[b + 1..]);
        self.reshape(sizes)
    }

    /// Dims from `start` on as one (`torch.flatten(x, start)`).
    fn flatten(&self, start: isize) -> Tensor {
        self.flatten_dims(start, -1)
    }

    /// A dim split into several, one of whose sizes may be -1 (`torch.unflatten`).
    fn unflatten(&self, dim: isize, sizes: impl IntoSizes) -> Tensor {
        let shape = self.shape();
        let d = wrap_dim(dim, shape.len())?;
        let sizes = sizes.into_sizes();
        ensure!(!sizes.is_empty(), Runtime, "unflatten: sizes must be non-empty");
        let inner = Layout::contiguous(crate::shape::Dims::from_slice(&[shape[d]]));
        let inner = inner.infer_size(&sizes).map_err(|e| match e {
            Error::Runtime(m) if m.ends_with(&format!("is invalid for input of size {}", shape[d])) => Error::Runtime(format!(
                "unflatten: Provided sizes {sizes:?} don't multiply up to the size of dim {d} ({}) in the input tensor",
                shape[d]
            )),
            e => e,
        })?;
        let mut all = shape[..d].to_vec();
        all.extend(&inner);
        all.extend(&shape[d + 1..]);
        self.view(all)
    }

    /// Dims of size 1 repeated without memory; -1 keeps a size (`tensor.expand`).
    fn expand(&self, sizes: impl IntoSizes) -> Tensor {
        view(self.0, Expand { sizes: sizes.into_sizes() })
    }

    /// [`Tensor::expand`] to another tensor's sizes (`tensor.expand_as`).
    fn expand_as(&self, other: &Tensor) -> Tensor {
        self.expand(other.shape())
    }

    /// [`Tensor::expand`] (`torch.broadcast_to`).
    fn broadcast_to(&self, sizes: impl IntoSizes) -> Tensor {
        self.expand(sizes)
    }

    /// Dims in a new order (`torch.permute`).
    fn permute(&self, dims: impl IntoSizes) -> Tensor {
        view(self.0, Permute { dims: dims.into_sizes() })
    }

    /// Two dims swapped (`torch.transpose`).
    fn transpose(&self, dim0: isize, dim1: isize) -> Tensor {
        view(self.0, Transpose { a: dim0, b: dim1 })
    }

    /// [`Tensor::transpose`] (`torch.swapaxes`).
    fn swapaxes(&self, axis0: isize, axis1: isize) -> Tensor {
        self.transpose(axis0, axis1)
    }

    /// Sliding windows of a dim as a view: that dim counts the windows, a new last one holds their elements
    /// (`tensor.unfold`).
    ///
    /// ```
    /// # use wgtorch::prelude::*;
    /// assert_eq!(arange(4, ()).unfold(0, 2, 1).to_vec::<i64>()?, [0, 1, 1, 2, 2, 3]);
    /// # Ok::<(), Error>(())
    /// ```
    fn unfold(&self, dimension: isize, size: usize, step: usize) -> Tensor {
        view(self.0, Unfold { dim: dimension, size, step })
    }

    /// Any sizes and strides over the tensor's memory, from an offset that is the tensor's own if None
    /// (`torch.as_strided`).
    fn as_strided(&self, size: impl IntoSizes, stride: impl IntoSizes, storage_offset: impl Into<Option<usize>>) -> Tensor {
        let unsigned = |v: Vec<isize>, what: &str| {
            ensure!(v.iter().all(|&n| n >= 0), Runtime, "as_strided: Negative {what} are not supported at the moment, got {what}: {v:?}");
            Ok(v.into_iter().map(|n| n as usize).collect::<Vec<_>>())
        };
        let (size, stride) = (unsigned(size.into_sizes(), "sizes")?, unsigned(stride.into_sizes(), "strides")?);
        let input = self.layout();
        let offset = storage_offset.into().unwrap_or(input.offset);
        let output = Layout::as_strided(&size, &stride, offset, self.with_body(|b| b.storage.nbytes / b.dtype.size()))?;
        view(self.0, AsStrided { input, output })
    }

    /// The transpose of a matrix; vectors and 0-dim tensors as they are (`torch.t`).
    fn t(&self) -> Tensor {
        let n = self.dim();
        ensure!(n <= 2, Runtime, "t() expects a tensor with <= 2 dimensions, but self is {n}D");
        view(self.0, T {})
    }

    /// All dims in reverse (`tensor.T`).
    fn reverse_dims(&self) -> Tensor {
        let n = self.dim() as isize;
        self.permute((0..n).rev().collect::<Vec<_>>())
    }

    /// The last two dims swapped (`tensor.mT`).
    fn mt(&self) -> Tensor {
        ensure!(self.dim() >= 2, Runtime, "tensor.mT is only supported on matrices or batches of matrices. Got {}-D tensor.", self.dim());
        self.transpose(-2, -1)
    }

    /// [`Tensor::t`] in place: every handle of the tensor sees the new layout (`tensor.t_`).
    fn t_(&self) -> Tensor { become_view(self.0, &self.t()?) }

    /// [`Tensor::transpose`] in place (`tensor.transpose_`).
    fn transpose_(&self, dim0: isize, dim1: isize) -> Tensor { become_view(self.0, &self.transpose(dim0, dim1)?) }

    /// [`Tensor::as_strided`] in place (`tensor.as_strided_`).
    fn as_strided_(&self, size: impl IntoSizes, stride: impl IntoSizes, storage_offset: impl Into<Option<usize>>) -> Tensor {
        become_view(self.0, &self.as_strided(size, stride, storage_offset)?)
    }

    /// [`Tensor::squeeze`] in place (`tensor.squeeze_`).
    fn squeeze_(&self) -> Tensor { become_view(self.0, &self.squeeze()?) }

    /// [`Tensor::squeeze_dim`] in place (`tensor.squeeze_(dim)`).
    fn squeeze_dim_(&self, dims: impl IntoSizes) -> Tensor { become_view(self.0, &self.squeeze_dim(dims)?) }

    /// [`Tensor::unsqueeze`] in place (`tensor.unsqueeze_`).
    fn unsqueeze_(&self, dim: isize) -> Tensor { become_view(self.0, &self.unsqueeze(dim)?) }

    /// Dims moved to new places; the others keep their order (`torch.movedim`).
    fn movedim(&self, source: impl IntoSizes, destination: impl IntoSizes) -> Tensor {
        let n = self.dim();
        let (source, destination) = (source.into_sizes(), destination.into_sizes());
        ensure!(
            source.len() == destination.len(),
            Runtime,
            "movedim: Invalid source or destination dims: source ({source:?} dims) should contain the same number of dims as destination ({destination:?} dims)"
        );
        let wrap = |dims: &[isize], what: &str| -> Result<Vec<usize>> {
            let out = dims.iter().map(|&d| wrap_dim(d, n)).collect::<Result<Vec<_>>>()?;
            for (i, d) in out.iter().enumerate() {
                ensure!(!out[..i].contains(d), Runtime, "movedim: repeated dim in `{what}` ({dims:?})");
            }
            Ok(out)
        };
        let (from, to) = (wrap(&source, "source")?, wrap(&destination, "destination")?);
        if n == 0 {
            return view(self.0, Alias {});
        }
        let mut order = vec![usize::MAX; n];
        for (f, t) in from.iter().zip(&to) {
            order[*t] = *f;
        }
        let mut rest = (0..n).filter(|d| !from.contains(d));
        for slot in order.iter_mut().filter(|s| **s == usize::MAX) {
            *slot = rest.next().unwrap_or(0);
        }
        self.permute(order)
    }

    /// One index of a dim, which goes away (`torch.select`).
    fn select(&self, dim: isize, index: isize) -> Tensor {
        view(self.0, Select { dim, index })
    }

    /// `start..end` by `step` of a dim, clamped to its size (`x[:, start:end:step]`).
    fn slice(&self, dim: isize, start: Option<isize>, end: Option<isize>, step: usize) -> Tensor {
        view(self.0, Slice { dim, start, end, step })
    }

    /// `length` indices of a dim from `start` on (`torch.narrow`).
    fn narrow(&self, dim: isize, start: isize, length: usize) -> Tensor {
        let layout = self.layout();
        layout.narrow(dim, start, length)?;
        let n = layout.shape[wrap_dim(dim, layout.ndim())?] as isize;
        let start = if start < 0 { start + n } else { start };
        self.slice(dim, Some(start), Some(start + length as isize), 1)
    }

    /// All dims of size 1 removed (`torch.squeeze`).
    fn squeeze(&self) -> Tensor {
        view(self.0, Squeeze {})
    }

    /// Those of the dims removed that have size 1 (`torch.squeeze(x, dim)`).
    fn squeeze_dim(&self, dims: impl IntoSizes) -> Tensor {
        view(self.0, SqueezeDims { dims: dims.into_sizes() })
    }

    /// A dim of size 1 inserted (`torch.unsqueeze`).
    fn unsqueeze(&self, dim: isize) -> Tensor {
        view(self.0, Unsqueeze { dim })
    }

    /// A diagonal of two dims as the last dim (`torch.diagonal`).
    fn diagonal(&self, offset: isize, dim1: isize, dim2: isize) -> Tensor {
        view(self.0, Diagonal { offset, a: dim1, b: dim2 })
    }

    /// The same memory under another shape of equal size (`tensor.view_as`).
    fn view_as(&self, other: &Tensor) -> Tensor {
        self.view(other.shape())
    }

    /// [`Tensor::reshape`] to another tensor's sizes (`tensor.reshape_as`).
    fn reshape_as(&self, other: &Tensor) -> Tensor {
        self.reshape(other.shape())
    }

    /// Pieces of `size` along a dim, the last one maybe smaller (`torch.split`); views that may not be written to while
    /// gradients are recorded.
    fn split(&self, size: usize, dim: isize) -> Vec<Tensor> {
        ensure!(self.dim() > 0, Runtime, "split expects at least a 1-dimensional tensor");
        let n = self.shape()[wrap_dim(dim, self.dim())?];
        ensure!(size > 0 || n == 0, Runtime, "split_size can only be 0 if dimension size is 0, but got dimension size of {n}");
        let sizes: Vec<usize> = if n == 0 { vec![0] } else { (0..n).step_by(size).map(|s| size.min(n - s)).collect() };
        pieces(self.0, "Split", "SplitBackward0", dim, &sizes)
    }

    /// Pieces of the given sizes along a dim (`torch.split_with_sizes`).
    fn split_with_sizes(&self, sizes: &[usize], dim: isize) -> Vec<Tensor> {
        ensure!(self.dim() > 0, Runtime, "split expects at least a 1-dimensional tensor");
        let n = self.shape()[wrap_dim(dim, self.dim())?];
        ensure!(
            sizes.iter().sum::<usize>() == n,
            Runtime,
            "split_with_sizes expects split_sizes to sum exactly to {n} (input tensor's size at dimension {dim}), but got split_sizes={sizes:?}"
        );
        pieces(self.0, "SplitWithSizes", "SplitWithSizesBackward0", dim, sizes)
    }

    /// At most `chunks` pieces of equal size, the last one maybe smaller (`torch.chunk`).
    fn chunk(&self, chunks: usize, dim: isize) -> Vec<Tensor> {
        ensure!(self.dim() > 0, Runtime, "chunk expects at least a 1-dimensional tensor");
        ensure!(chunks > 0, Runtime, "chunk expects `chunks` to be greater than 0, got: {chunks}");
        let n = self.shape()[wrap_dim(dim, self.dim())?];
        if n == 0 {
            return self.split_with_sizes(&vec![0; chunks], dim);
        }
        self.split(n.div_ceil(chunks), dim)
    }

    /// A view for each index of a dim (`torch.unbind`).
    fn unbind(&self, dim: isize) -> Vec<Tensor> {
        ensure!(self.dim() > 0, Runtime, "Dimension specified as {dim} but tensor has no dimensions");
        let d = wrap_dim(dim, self.dim())?;
        let layouts: Vec<Layout> = (0..self.shape()[d] as isize).map(|i| self.layout().select(dim, i)).collect::<Result<_>>()?;
        Ok(multi_view(self.0, "Unbind", layouts, Pieces { node: "UnbindBackward0", dim: d, kept: false }))
    }
}
