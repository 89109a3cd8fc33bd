//! Elements in another order or number: flips, rolls, triangles, diagonals, interleaved repeats; and grids of numbers.

use super::compose::composite;
use super::operand::Operand;
use super::pointwise::select as choose;
use super::views::IntoSizes;
use crate::dtype::DType;
use crate::error::{Result, bail, ensure};
use crate::scalar::Scalar;
use crate::shape::{Shape, dim_mask, wrap_dim};
use crate::tensor::{Ctx, In, Saves, Tensor, TensorOptions, methods, one_grad, unwrap};

use super::cat::TensorList;

/// The indices of a dim in reverse.
fn reversed(n: usize, t: &Tensor) -> Result<Tensor> {
    Tensor::from_vec((0..n as i64).rev().collect(), [n], t.device())
}

fn flip(t: &Tensor, dims: &[isize]) -> Result<Tensor> {
    let ndim = t.dim();
    if !dims.is_empty() {
        dim_mask(dims, ndim)?;
    }
    let forward = || {
        let mut out = t.clone();
        for &d in dims.iter().filter(|_| ndim > 0) {
            let n = out.size_of(d);
            if n > 1 {
                out = out.checked().index_select(d, &reversed(n, t)?)?;
            }
        }
        Ok(out)
    };
    let back = dims.to_vec();
    composite("FlipBackward0", &[t], Saves::NONE, forward, move |cx: &Ctx| cx.g().checked().flip(&back).map(one_grad))
}

fn roll(t: &Tensor, shifts: &[isize], dims: &[isize]) -> Result<Tensor> {
    ensure!(!shifts.is_empty(), Runtime, "`shifts` required");
    if dims.is_empty() && shifts.len() == 1 {
        let flat = t.checked().reshape(-1)?;
        return roll(&flat, shifts, &[0])?.checked().view(t.shape());
    }
    ensure!(
        shifts.len() == dims.len(),
        Runtime,
        "shifts and dimensions must align. shifts: {}, dims:{}",
        shifts.len(),
        dims.len()
    );
    for &d in dims {
        wrap_dim(d, t.dim())?;
    }
    let forward = || {
        let mut out = t.clone();
        for (&s, &d) in shifts.iter().zip(dims).filter(|_| t.dim() > 0) {
            let n = out.size_of(d) as isize;
            let start = if n == 0 { 0 } else { (-s).rem_euclid(n) };
            if start != 0 {
                let (head, tail) = (
                    out.checked().narrow(d, start, (n - start) as usize)?,
                    out.checked().narrow(d, 0, start as usize)?,
                );
                out = super::cat::concatenate(&[&head, &tail], d)?;
            }
        }
        Ok(out)
    };
    let (back, dims) = (shifts.iter().map(|s| -s).collect::<Vec<_>>(), dims.to_vec());
    composite("RollBackward0", &[t], Saves::NONE, forward, move |cx: &Ctx| {
        cx.g().checked().roll(&back, &dims).map(one_grad)
    })
}

/// True where column minus row is at least (or at most) `diagonal`.
fn triangle(t: &Tensor, diagonal: isize, upper: bool) -> Result<Tensor> {
    let shape = t.shape();
    let name = if upper { "triu" } else { "tril" };
    ensure!(shape.len() >= 2, Runtime, "{name}: input tensor must have at least 2 dimensions");
    let (rows, cols) = (shape[shape.len() - 2], shape[shape.len() - 1]);
    let row: Vec<i64> = (0..rows as i64).map(|r| r + diagonal as i64).collect();
    let row = Tensor::from_vec(row, [rows, 1], t.device())?;
    let col = Tensor::from_vec((0..cols as i64).collect(), [cols], t.device())?;
    let keep = if upper { col.checked().ge(&row)? } else { row.checked().ge(&col)? };
    let node = if upper { "TriuBackward0" } else { "TrilBackward0" };
    let forward = || choose(&keep, In::T(t), In::S(Scalar::Int(0).as_dtype(t.dtype())));
    composite(node, &[t], Saves::NONE, forward, move |cx: &Ctx| triangle(cx.g(), diagonal, upper).map(one_grad))
}

fn diag_embed(t: &Tensor, offset: isize, dim1: isize, dim2: isize) -> Result<Tensor> {
    let ndim = t.dim() + 1;
    let (a, b) = (wrap_dim(dim1, ndim)?, wrap_dim(dim2, ndim)?);
    ensure!(a != b, Runtime, "diagonal dimensions cannot be identical {dim1}, {dim2}");
    ensure!(t.dim() > 0, Index, "diag_embed: input tensor must have at least 1 dimension");
    let mut shape = t.shape().to_vec();
    let n = shape.pop().unwrap_or(1) + offset.unsigned_abs();
    shape.insert(a.min(b), n);
    shape.insert(a.max(b), n);
    let forward = || {
        let out = Tensor::constant(0.into(), &shape, t.dtype(), t.device());
        out.checked().diagonal(offset, a as isize, b as isize)?.checked().copy_(t)?;
        Ok(out)
    };
    composite("DiagEmbedBackward0", &[t], Saves::NONE, forward, move |cx: &Ctx| {
        cx.g().checked().diagonal(offset, a as isize, b as isize).map(one_grad)
    })
}

/// What repeats a dim's elements: one number for all, or one each.
#[derive(Clone, Debug)]
pub enum Repeats {
    /// Each as often.
    All(usize),
    /// Each as often as a vector says.
    Each(Tensor),
}

impl From<usize> for Repeats {
    fn from(n: usize) -> Repeats {
        Repeats::All(n)
    }
}
impl From<i32> for Repeats {
    /// # Panics
    /// If it is negative.
    fn from(n: i32) -> Repeats {
        Repeats::All(usize::try_from(n).unwrap_or_else(|_| panic!("Repeats must be non-negative")))
    }
}
impl From<&Tensor> for Repeats {
    fn from(t: &Tensor) -> Repeats {
        Repeats::Each(t.clone())
    }
}

fn repeat_interleave(t: &Tensor, repeats: &Repeats, dim: isize) -> Result<Tensor> {
    let d = wrap_dim(dim, t.dim())?;
    let n = t.shape()[d];
    let index: Vec<i64> = match repeats {
        Repeats::All(r) => (0..n as i64).flat_map(|i| std::iter::repeat_n(i, *r)).collect(),
        Repeats::Each(r) => {
            ensure!(r.dim() <= 1, Runtime, "repeats must be 0-dim or 1-dim tensor");
            ensure!(matches!(r.dtype(), DType::I64 | DType::I32), Runtime, "repeats has to be Long or Int tensor");
            let r = r.to_vec::<i64>()?;
            ensure!(r.iter().all(|r| *r >= 0), Runtime, "repeats can not be negative");
            ensure!(
                r.len() == 1 || r.len() == n,
                Runtime,
                "repeats must have the same size as input along dim, but got repeats.size(0) = {} and input.size({d}) = {n}",
                r.len()
            );
            let each = |i: usize| r[if r.len() == 1 { 0 } else { i }] as usize;
            (0..n).flat_map(|i| std::iter::repeat_n(i as i64, each(i))).collect()
        }
    };
    let count = index.len();
    t.checked().index_select(d as isize, &Tensor::from_vec(index, [count], t.device())?)
}

methods! {
    /// The elements of some dims in reverse order (`torch.flip`): a copy.
    fn flip(&self, dims: impl IntoSizes) -> Tensor { flip(self.0, &dims.into_sizes()) }

    /// [`Tensor::flip`] of dim 1 (`torch.fliplr`).
    fn fliplr(&self) -> Tensor {
        ensure!(self.dim() >= 2, Runtime, "Input must be >= 2-d.");
        flip(self.0, &[1])
    }

    /// [`Tensor::flip`] of dim 0 (`torch.flipud`).
    fn flipud(&self) -> Tensor {
        ensure!(self.dim() >= 1, Runtime, "Input must be >= 1-d.");
        flip(self.0, &[0])
    }

    /// The elements moved along dims, those that leave coming in at the other end; without dims over the flattened tensor
    /// (`torch.roll`).
    fn roll(&self, shifts: impl IntoSizes, dims: impl IntoSizes) -> Tensor {
        roll(self.0, &shifts.into_sizes(), &dims.into_sizes())
    }

    /// A quarter turn, `k` times, in the plane of two dims, from the first to the second (`torch.rot90`).
    fn rot90(&self, k: i64, dims: [isize; 2]) -> Tensor {
        let n = self.dim();
        ensure!(n >= 2, Runtime, "expected total dims >= 2, but got total dims = {n}");
        let [a, b] = dims;
        ensure!(a != b && a.abs_diff(b) != n, Runtime, "expected rotation dims to be different, but got dim0 = {a} and dim1 = {b}");
        let (a, b) = (wrap_dim(a, n)? as isize, wrap_dim(b, n)? as isize);
        match k.rem_euclid(4) {
            1 => self.flip(b)?.checked().transpose(a, b),
            2 => self.flip([a, b]),
            3 => self.flip(a)?.checked().transpose(a, b),
            _ => self.copy(),
        }
    }

    /// The lower triangle of the last two dims; the rest is zero (`torch.tril`). `diagonal` is the highest one kept.
    fn tril(&self, diagonal: isize) -> Tensor { triangle(self.0, diagonal, false) }

    /// [`Tensor::tril`] in place.
    fn tril_(&self, diagonal: isize) -> Tensor { super::compose::replace(self.0, &triangle(self.0, diagonal, false)?) }

    /// The upper triangle of the last two dims; the rest is zero (`torch.triu`). `diagonal` is the lowest one kept.
    fn triu(&self, diagonal: isize) -> Tensor { triangle(self.0, diagonal, true) }

    /// [`Tensor::triu`] in place.
    fn triu_(&self, diagonal: isize) -> Tensor { super::compose::replace(self.0, &triangle(self.0, diagonal, true)?) }

    /// A matrix with the vector as its diagonal, or a copy of a matrix's diagonal (`torch.diag`).
    fn diag(&self, diagonal: isize) -> Tensor {
        match self.dim() {
            1 => diag_embed(self.0, diagonal, 0, 1),
            2 => {
                let forward = || self.diagonal(diagonal, 0, 1)?.checked().copy();
                composite("DiagonalBackward0_copy", &[self.0], Saves::NONE, forward, move |cx: &Ctx| {
                    let zeros = Tensor::zeros_of(&cx.input_meta(0));
                    zeros.checked().diagonal(diagonal, 0, 1)?.checked().copy_(cx.g())?;
                    Ok(one_grad(zeros))
                })
            }
            n => bail!(Runtime, "diag(): Supports 1D or 2D tensors. Got {n}D"),
        }
    }

    /// The last dim spread over a diagonal of two new dims (`torch.diag_embed`).
    fn diag_embed(&self, offset: isize, dim1: isize, dim2: isize) -> Tensor { diag_embed(self.0, offset, dim1, dim2) }

    /// A matrix with all elements as its diagonal (`torch.diagflat`).
    fn diagflat(&self, offset: isize) -> Tensor { self.reshape(-1)?.checked().diag(offset) }

    /// Each element of a dim repeated, one after the other (`torch.repeat_interleave`).
    fn repeat_interleave(&self, repeats: impl Into<Repeats>, dim: isize) -> Tensor {
        repeat_interleave(self.0, &repeats.into(), dim)
    }

    /// [`Tensor::repeat_interleave`] of the flattened tensor.
    fn repeat_interleave_flat(&self, repeats: impl Into<Repeats>) -> Tensor {
        repeat_interleave(&self.reshape(-1)?, &repeats.into(), 0)
    }

    /// The dims as one, without copying where the strides allow it (`torch.ravel`).
    fn ravel(&self) -> Tensor { self.reshape(-1) }
}

/// Ones on the diagonal, zeros elsewhere (`torch.eye`); `m` defaults to `n`.
///
/// # Panics
/// If the device cannot be opened.
#[track_caller]
pub fn eye(n: usize, m: impl Into<Option<usize>>, options: impl Into<TensorOptions>) -> Tensor {
    let m = m.into().unwrap_or(n);
    let options = options.into();
    let t = super::zeros([n, m], TensorOptions { requires_grad: false, ..options });
    let make = || -> Result<Tensor> {
        t.checked().diagonal(0, 0, 1)?.checked().fill_(1)?;
        t.finish_creation(TensorOptions { requires_grad: options.requires_grad, ..TensorOptions::new() })
    };
    unwrap(make())
}

/// A number, which may come as a 0-dim tensor.
fn bound(x: Operand, name: &str, which: &str) -> Result<Scalar> {
    match x {
        Operand::Scalar(s) => Ok(s),
        Operand::Tensor(t) => {
            ensure!(
                t.dim() == 0,
                Runtime,
                "{name} only supports 0-dimensional start and end tensors, but got {which} with {} dimension(s).",
                t.dim()
            );
            t.item_scalar()
        }
    }
}

fn spaced(
    name: &str,
    [start, end]: [Operand; 2],
    steps: usize,
    options: TensorOptions,
    f: impl Fn(f64) -> f64,
) -> Result<Tensor> {
    if let (Operand::Tensor(a), Operand::Tensor(b)) = (&start, &end) {
        ensure!(
            a.dim() == 0 && b.dim() == 0,
            Runtime,
            "{name} only supports 0-dimensional start and end tensors, but got start with {} dimension(s) and end with {} dimension(s).",
            a.dim(),
            b.dim()
        );
    }
    let (start, end) = (bound(start, name, "start")?, bound(end, name, "end")?);
    let dtype = options.dtype.unwrap_or(DType::F32);
    let (a, b) = (start.to_f64(), end.to_f64());
    let step = if steps > 1 { (b - a) / (steps - 1) as f64 } else { 0.0 };
    // from both ends, so that the last one is exact
    let v =
        (0..steps).map(|i| if i < steps.div_ceil(2) { a + step * i as f64 } else { b - step * (steps - 1 - i) as f64 });
    Tensor::from_vec(v.map(f).collect(), [steps], TensorOptions { dtype: Some(dtype), ..options })
}

/// `steps` numbers at equal distances from start to end, numbers or 0-dim tensors, both included (`torch.linspace`).
///
/// # Panics
/// If the device cannot be opened, or a tensor has dims.
///
/// ```
/// # use wgtorch::{prelude::*, linspace};
/// assert_eq!(linspace(0, 1, 5, ()).to_vec::<f32>()?, [0., 0.25, 0.5, 0.75, 1.]);
/// # Ok::<(), Error>(())
/// ```
#[track_caller]
pub fn linspace(
    start: impl Into<Operand>,
    end: impl Into<Operand>,
    steps: usize,
    options: impl Into<TensorOptions>,
) -> Tensor {
    unwrap(try_linspace(start, end, steps, options))
}

/// [`linspace`] with its errors as values.
///
/// # Errors
/// If the device cannot be opened, or a tensor has dims.
pub fn try_linspace(
    start: impl Into<Operand>,
    end: impl Into<Operand>,
    steps: usize,
    options: impl Into<TensorOptions>,
) -> Result<Tensor> {
    spaced("linspace", [start.into(), end.into()], steps, options.into(), |x| x)
}

/// `base` to the power of [`linspace`]'s numbers (`torch.logspace`); base 10 in PyTorch's default.
///
/// # Panics
/// If the device cannot be opened.
#[track_caller]
pub fn logspace(
    start: impl Into<Operand>,
    end: impl Into<Operand>,
    steps: usize,
    base: f64,
    options: impl Into<TensorOptions>,
) -> Tensor {
    unwrap(try_logspace(start, end, steps, base, options))
}

/// [`logspace`] with its errors as values.
///
/// # Errors
/// If the device cannot be opened, or a tensor has dims.
pub fn try_logspace(
    start: impl Into<Operand>,
    end: impl Into<Operand>,
    steps: usize,
    base: f64,
    options: impl Into<TensorOptions>,
) -> Result<Tensor> {
    spaced("logspace", [start.into(), end.into()], steps, options.into(), |x| base.powf(x))
}

/// Vectors as the coordinates of a grid: one tensor each, over the grid's shape (`torch.meshgrid`). `"ij"` has the first
/// vector along dim 0, `"xy"` along dim 1. Views.
///
/// # Panics
/// If the list is empty, or a tensor has more than one dim.
#[track_caller]
pub fn meshgrid(tensors: &(impl TensorList + ?Sized), indexing: &str) -> Vec<Tensor> {
    unwrap(try_meshgrid(tensors, indexing))
}

/// [`meshgrid`] with its errors as values.
///
/// # Errors
/// If the list is empty, or a tensor has more than one dim.
pub fn try_meshgrid(tensors: &(impl TensorList + ?Sized), indexing: &str) -> Result<Vec<Tensor>> {
    let mut list = tensors.tensors();
    ensure!(!list.is_empty(), Runtime, "meshgrid expects a non-empty TensorList");
    for t in &list {
        ensure!(t.dim() <= 1, Runtime, "torch.meshgrid: Expected 0D or 1D tensor in the tensor list but got: {t}");
    }
    let swap = match indexing {
        "ij" => false,
        "xy" => list.len() >= 2,
        other => bail!(Runtime, "torch.meshgrid: indexing must be one of \"xy\" or \"ij\", but received: {other}"),
    };
    if swap {
        list.swap(0, 1);
    }
    let shape: Vec<usize> = list.iter().map(|t| t.numel()).collect();
    let mut grids = list
        .iter()
        .enumerate()
        .map(|(d, t)| {
            let mut own = vec![1; shape.len()];
            own[d] = t.numel();
            t.checked().view(own)?.checked().expand(&shape)
        })
        .collect::<Result<Vec<_>>>()?;
    if swap {
        grids.swap(0, 1);
    }
    Ok(grids)
}

/// Tensors expanded to their common shape (`torch.broadcast_tensors`). Views.
///
/// # Panics
/// If the shapes do not broadcast.
#[track_caller]
pub fn broadcast_tensors(tensors: &(impl TensorList + ?Sized)) -> Vec<Tensor> {
    let list = tensors.tensors();
    let shapes: Vec<Shape> = list.iter().map(|t| t.shape()).collect();
    let shape = unwrap(crate::layout::broadcast_shapes(shapes.iter().map(|s| &s[..])));
    list.iter().map(|t| t.expand(&shape[..])).collect()
}

/// The shape that tensors of these shapes broadcast to (`torch.broadcast_shapes`).
///
/// # Panics
/// If they do not broadcast.
///
/// ```
/// # use wgtorch::broadcast_shapes;
/// assert_eq!(broadcast_shapes(&[&[5, 1][..], &[3]])[..], [5, 3]);
/// ```
#[track_caller]
pub fn broadcast_shapes(shapes: &[&[usize]]) -> Shape {
    unwrap(try_broadcast_shapes(shapes))
}

/// [`broadcast_shapes`] with its errors as values.
///
/// # Errors
/// If they do not broadcast.
pub fn try_broadcast_shapes(shapes: &[&[usize]]) -> Result<Shape> {
    Ok(Shape(crate::layout::broadcast_shapes(shapes.iter().copied())?))
}

/// The positions of a triangle as two rows of indices.
fn triangle_indices(rows: usize, cols: usize, offset: i64, upper: bool, options: TensorOptions) -> Result<Tensor> {
    let inside = |r: i64, c: i64| if upper { c - r >= offset } else { c - r <= offset };
    let all: Vec<(i64, i64)> =
        (0..rows as i64).flat_map(|r| (0..cols as i64).map(move |c| (r, c))).filter(|&(r, c)| inside(r, c)).collect();
    let v: Vec<i64> = all.iter().map(|p| p.0).chain(all.iter().map(|p| p.1)).collect();
    Tensor::from_vec(v, [2, all.len()], options)
}

/// Rows and columns of a lower triangle's elements (`torch.tril_indices`), int64 by default.
///
/// # Panics
/// If the device cannot be opened.
#[track_caller]
pub fn tril_indices(rows: usize, cols: usize, offset: i64, options: impl Into<TensorOptions>) -> Tensor {
    unwrap(triangle_indices(rows, cols, offset, false, options.into()))
}

/// Rows and columns of an upper triangle's elements (`torch.triu_indices`), int64 by default.
///
/// # Panics
/// If the device cannot be opened.
#[track_caller]
pub fn triu_indices(rows: usize, cols: usize, offset: i64, options: impl Into<TensorOptions>) -> Tensor {
    unwrap(triangle_indices(rows, cols, offset, true, options.into()))
}

/// Class numbers as vectors of zeros with a one (`torch.nn.functional.one_hot`); without a number of classes it is the
/// largest class plus one, which waits for the device.
///
/// # Panics
/// If the tensor is not int64, or a class is negative or too large.
#[track_caller]
pub fn one_hot(t: &Tensor, num_classes: impl Into<Option<usize>>) -> Tensor {
    unwrap(try_one_hot(t, num_classes.into()))
}

/// [`one_hot`] with its errors as values.
///
/// # Errors
/// If the tensor is not int64, or a class is negative or too large.
pub fn try_one_hot(t: &Tensor, num_classes: Option<usize>) -> Result<Tensor> {
    ensure!(t.dtype() == DType::I64, Runtime, "one_hot is only applicable to index tensor of type LongTensor.");
    let values = t.to_vec::<i64>()?;
    ensure!(values.iter().all(|v| *v >= 0), Runtime, "Class values must be non-negative.");
    let largest = values.iter().copied().max();
    let classes = match (num_classes, largest) {
        (Some(n), _) => n,
        (None, Some(m)) => m as usize + 1,
        (None, None) => bail!(Runtime, "Can not infer total number of classes from empty tensor."),
    };
    ensure!(largest.is_none_or(|m| (m as usize) < classes), Runtime, "Class values must be smaller than num_classes.");
    let mut shape = t.shape().to_vec();
    shape.push(classes);
    let zeros = Tensor::constant(0.into(), &shape, DType::I64, t.device());
    zeros.checked().scatter(-1, &t.checked().unsqueeze(-1)?, 1)
}

/// Indices of a flattened tensor as one tensor of indices for each dim of `shape` (`torch.unravel_index`).
///
/// # Panics
/// If the indices are not integers.
///
/// ```
/// # use wgtorch::{prelude::*, unravel_index};
/// let parts = unravel_index(&tensor!([5, 7]), [3, 4]);
/// assert_eq!((parts[0].to_vec::<i64>()?, parts[1].to_vec::<i64>()?), (vec![1, 1], vec![1, 3]));
/// # Ok::<(), Error>(())
/// ```
#[track_caller]
pub fn unravel_index(indices: &Tensor, shape: impl Into<Shape>) -> Vec<Tensor> {
    unwrap(try_unravel_index(indices, &shape.into()))
}

/// [`unravel_index`] with its errors as values.
///
/// # Errors
/// If the indices are not integers.
pub fn try_unravel_index(indices: &Tensor, shape: &[usize]) -> Result<Vec<Tensor>> {
    ensure!(
        indices.dtype().is_int(),
        Type,
        "unravel_index() expected 'indices' to be integer dtype, but got torch.{}",
        indices.dtype().name()
    );
    let mut rest = crate::tensor::to_dtype(indices, DType::I64);
    let mut parts = Vec::with_capacity(shape.len());
    for &n in shape.iter().rev() {
        parts.push(rest.checked().remainder(n as i64)?);
        rest = rest.checked().floor_divide(n as i64)?;
    }
    parts.reverse();
    Ok(parts)
}
