//! `x.i(…)` and `x.i_put_(…)`: every kind of PyTorch's index, and the ops of masks.
//!
//! NOTE [Indexing]: integers, slices, new axes and the ellipsis are applied first, dim by dim, and give a view; tensors are
//! collected with the dims they stand for, masks become one int64 tensor for each of their dims, and what is left runs as
//! one op on the view.

use super::advanced;
use super::compose::{composite, replace, unrecorded};
use super::pointwise::select as choose;
use crate::device::Device;
use crate::dtype::DType;
use crate::error::{Error, Result, bail, ensure};
use crate::ops::Operand;
use crate::scalar::Scalar;
use crate::shape::broadcast;
use crate::tensor::{Ctx, In, Saves, Tensor, methods, no_grads, to_dtype};
use std::ops::{Range, RangeFrom, RangeFull, RangeInclusive, RangeTo, RangeToInclusive};

/// One component of an index. Made by conversion: integers, ranges, [`S`], [`Ellipsis`], [`NewAxis`], bools, tensors and
/// lists of integers.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum TensorIndex {
    /// An integer: one index of a dim, which goes away.
    Select(isize),
    /// `start..end` by `step`; None is the end of the dim.
    Slice {
        /// The first index.
        start: Option<isize>,
        /// One past the last index.
        end: Option<isize>,
        /// From one to the next.
        step: isize,
    },
    /// As many whole dims as are left over.
    Ellipsis,
    /// A new dim of size 1.
    NewAxis,
    /// A new dim of size 1 or 0.
    Bool(bool),
    /// Positions (int64 or int32) or a mask (bool, uint8).
    Tensor(Tensor),
}

/// `...`: as many whole dims as are left over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ellipsis;

/// `None`: a new dim of size 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewAxis;

/// A range with a step: `S(1..7, 2)` is `1:7:2`, `S(.., 2)` is `::2`.
#[derive(Clone, Debug)]
pub struct S<R>(pub R, pub isize);

macro_rules! plain_index {
    ($($t:ty: $x:ident => $e:expr;)*) => {$(
        impl From<$t> for TensorIndex {
            fn from($x: $t) -> TensorIndex { $e }
        }
    )*};
}
plain_index! {
    bool: x => TensorIndex::Bool(x);
    Ellipsis: _x => TensorIndex::Ellipsis;
    NewAxis: _x => TensorIndex::NewAxis;
    RangeFull: _x => TensorIndex::Slice { start: None, end: None, step: 1 };
    Tensor: x => TensorIndex::Tensor(x);
    &Tensor: x => TensorIndex::Tensor(x.clone());
    &TensorIndex: x => x.clone();
}

/// A list of integers as an index tensor.
fn list(v: Vec<i64>) -> TensorIndex {
    let n = v.len();
    match Tensor::from_vec(v, [n], ()) {
        Ok(t) => TensorIndex::Tensor(t),
        Err(e) => unreachable!("a vector has its length as shape: {e}"),
    }
}

macro_rules! integer_index {
    ($($t:ty),*) => {$(
        plain_index! {
            $t: x => TensorIndex::Select(x as isize);
            Range<$t>: r => TensorIndex::Slice { start: Some(r.start as isize), end: Some(r.end as isize), step: 1 };
            RangeFrom<$t>: r => TensorIndex::Slice { start: Some(r.start as isize), end: None, step: 1 };
            RangeTo<$t>: r => TensorIndex::Slice { start: None, end: Some(r.end as isize), step: 1 };
            RangeInclusive<$t>: r => TensorIndex::Slice { start: Some(*r.start() as isize), end: after(*r.end() as isize), step: 1 };
            RangeToInclusive<$t>: r => TensorIndex::Slice { start: None, end: after(r.end as isize), step: 1 };
            Vec<$t>: v => list(v.into_iter().map(|x| x as i64).collect());
            &[$t]: v => list(v.iter().map(|x| *x as i64).collect());
        }
        impl<const N: usize> From<[$t; N]> for TensorIndex {
            fn from(v: [$t; N]) -> TensorIndex { list(v.iter().map(|x| *x as i64).collect()) }
        }
    )*};
}
integer_index!(i32, i64, isize, usize);

/// One past an included end; -1 is the last index, after which comes the end of the dim.
fn after(end: isize) -> Option<isize> {
    if end == -1 { None } else { Some(end + 1) }
}

impl<R: Into<TensorIndex>> From<S<R>> for TensorIndex {
    fn from(s: S<R>) -> TensorIndex {
        match s.0.into() {
            TensorIndex::Slice { start, end, .. } => TensorIndex::Slice { start, end, step: s.1 },
            // only ranges step
            other => other,
        }
    }
}

/// What `x.i(…)` takes: one component, or a tuple, slice or vector of them.
pub trait IntoIndex {
    /// The components in order.
    fn into_index(self) -> Vec<TensorIndex>;
}

impl<T: Into<TensorIndex>> IntoIndex for T {
    fn into_index(self) -> Vec<TensorIndex> {
        vec![self.into()]
    }
}
impl IntoIndex for () {
    fn into_index(self) -> Vec<TensorIndex> {
        Vec::new()
    }
}
impl IntoIndex for Vec<TensorIndex> {
    fn into_index(self) -> Vec<TensorIndex> {
        self
    }
}
impl IntoIndex for &[TensorIndex] {
    fn into_index(self) -> Vec<TensorIndex> {
        self.to_vec()
    }
}
macro_rules! tuple_index {
    ($(($($t:ident)*))*) => {$(
        impl<$($t: Into<TensorIndex>),*> IntoIndex for ($($t,)*) {
            #[allow(non_snake_case, reason = "a variable has its type's name")]
            fn into_index(self) -> Vec<TensorIndex> { let ($($t,)*) = self; vec![$($t.into()),*] }
        }
    )*};
}
tuple_index! { (A) (A B) (A B C) (A B C D) (A B C D E) (A B C D E F) }

/// Positions of what is not zero, in row-major order, one list a dim.
fn positions(t: &[bool], shape: &[usize]) -> Vec<Vec<i64>> {
    let mut out = vec![Vec::new(); shape.len()];
    for flat in (0..t.len()).filter(|&i| t[i]) {
        let mut rest = flat;
        for d in (0..shape.len()).rev() {
            out[d].push((rest % shape[d]) as i64);
            rest /= shape[d];
        }
    }
    out
}

/// What is not zero, as bools.
fn truth(t: &Tensor) -> Result<Tensor> {
    if t.dtype() == DType::Bool { Ok(t.detach()) } else { t.detach().checked().ne(0) }
}

fn position_tensors(bits: &[bool], shape: &[usize], device: Device) -> Result<Vec<Tensor>> {
    positions(bits, shape)
        .into_iter()
        .map(|v| {
            let n = v.len();
            Tensor::from_vec(v, [n], device)
        })
        .collect()
}

/// The rows of positions.
fn position_rows(bits: &[bool], shape: &[usize], device: Device) -> Result<Tensor> {
    let columns = positions(bits, shape);
    let count = if shape.is_empty() { bits.iter().filter(|b| **b).count() } else { columns[0].len() };
    let rows: Vec<i64> = (0..count).flat_map(|r| columns.iter().map(move |c| c[r])).collect();
    Tensor::from_vec(rows, [count, shape.len()], device)
}

/// The view that the basic components make, and the tensors for its dims.
struct Indexed {
    view: Tensor,
    tensors: Vec<Option<Tensor>>,
    /// The only tensor component is this mask over all its dims: a write may fill it.
    mask: Option<Tensor>,
}

/// One place of a dim, refused in the words of indexing.
fn at(view: &Tensor, d: isize, n: isize) -> Result<Tensor> {
    let size = view.shape()[d as usize] as isize;
    ensure!((-size..size).contains(&n), Index, "index {n} is out of bounds for dimension {d} with size {size}");
    view.checked().select(d, n)
}

fn resolve(t: &Tensor, index: &[TensorIndex]) -> Result<Indexed> {
    let specified: usize = index
        .iter()
        .map(|i| match i {
            TensorIndex::Select(_) | TensorIndex::Slice { .. } => 1,
            TensorIndex::Tensor(t) if matches!(t.dtype(), DType::Bool | DType::U8) => t.dim(),
            TensorIndex::Tensor(_) => 1,
            _ => 0,
        })
        .sum();
    let ndim = t.dim();
    if ndim == 0 && matches!(index, [TensorIndex::Select(_)]) {
        bail!(
            Index,
            "invalid index of a 0-dim tensor. Use `tensor.item()` in Python or `tensor.item<T>()` in C++ to convert a 0-dim tensor to a number"
        );
    }
    ensure!(specified <= ndim, Index, "too many indices for tensor of dimension {ndim}");
    let mut view = t.clone();
    let mut dim = 0;
    let mut tensors: Vec<Option<Tensor>> = Vec::new();
    let mut masks = Vec::new();
    let put = |tensors: &mut Vec<Option<Tensor>>, at: usize, t: Tensor| {
        tensors.resize(tensors.len().max(at + 1), None);
        tensors[at] = Some(t);
    };
    for i in index {
        let d = dim as isize;
        match i {
            TensorIndex::Select(n) => view = at(&view, d, *n)?,
            TensorIndex::Slice { start, end, step } => {
                ensure!(*step != 0, Value, "slice step cannot be zero");
                ensure!(*step > 0, Value, "step must be greater than zero");
                if (start, end, step) != (&None, &None, &1) {
                    view = view.checked().slice(d, *start, *end, *step as usize)?;
                }
                dim += 1;
            }
            TensorIndex::Ellipsis => dim += ndim - specified,
            TensorIndex::NewAxis => {
                view = view.checked().unsqueeze(d)?;
                dim += 1;
            }
            TensorIndex::Bool(b) => {
                view = view.checked().unsqueeze(d)?;
                put(&mut tensors, dim, Tensor::from_vec(vec![0i64; *b as usize], [*b as usize], view.device())?);
                dim += 1;
            }
            TensorIndex::Tensor(index) => {
                let dtype = index.dtype();
                match dtype {
                    DType::I64 | DType::I32 if index.dim() == 0 => {
                        view = at(&view, d, index.item::<i64>()? as isize)?;
                    }
                    DType::I64 | DType::I32 => {
                        let index =
                            if dtype == DType::I64 { index.detach() } else { to_dtype(&index.detach(), DType::I64) };
                        put(&mut tensors, dim, index.checked().to(view.device())?);
                        dim += 1;
                    }
                    DType::Bool | DType::U8 => {
                        let (mask, shape) = (truth(index)?, view.shape());
                        for (k, &n) in mask.shape().iter().enumerate() {
                            ensure!(
                                shape.get(dim + k) == Some(&n),
                                Index,
                                "The shape of the mask {:?} at index {k} does not match the shape of the indexed tensor {:?} at index {}",
                                &mask.shape()[..],
                                &shape[..],
                                dim + k
                            );
                        }
                        if mask.dim() == 0 {
                            view = view.checked().unsqueeze(d)?;
                        }
                        masks.push((dim, mask.clone()));
                        // places are taken now and filled below
                        for k in 0..mask.dim().max(1) {
                            put(&mut tensors, dim + k, mask.clone());
                        }
                        dim += mask.dim().max(1);
                    }
                    _ => bail!(Index, "tensors used as indices must be long, int, byte or bool tensors"),
                }
            }
        }
    }
    let only = tensors.iter().flatten().count() == masks.first().map_or(0, |(_, m)| m.dim().max(1));
    let mask = masks.first().filter(|_| masks.len() == 1 && only && tensors.first().is_some_and(Option::is_some));
    let mask = mask.map(|(_, m)| m.clone());
    for (at, m) in masks {
        let bits = m.to_vec::<bool>()?;
        if m.dim() == 0 {
            let n = bits[0] as usize;
            tensors[at] = Some(Tensor::from_vec(vec![0i64; n], [n], view.device())?);
        }
        for (k, t) in position_tensors(&bits, &m.shape(), view.device())?.into_iter().enumerate() {
            tensors[at + k] = Some(t);
        }
    }
    Ok(Indexed { view, tensors, mask })
}

#[track_caller]
fn get(t: &Tensor, index: &[TensorIndex]) -> Result<Tensor> {
    let r = resolve(t, index)?;
    if r.tensors.iter().any(Option::is_some) {
        return advanced::index(&r.view, &r.tensors);
    }
    if r.view.is_same(t) { super::views::whole(t) } else { Ok(r.view) }
}

/// A mask brought to the dims of what it masks: trailing dims follow.
fn trailing(mask: &Tensor, ndim: usize) -> Result<Tensor> {
    let mut shape = mask.shape().to_vec();
    shape.resize(ndim.max(shape.len()), 1);
    mask.checked().view(shape)
}

#[track_caller]
fn set(t: &Tensor, index: &[TensorIndex], value: &Operand) -> Result<()> {
    let r = resolve(t, index)?;
    let scalar = match value {
        Operand::Scalar(s) => Some(*s),
        Operand::Tensor(_) => None,
    };
    if !r.tensors.iter().any(Option::is_some) {
        match value {
            Operand::Scalar(s) => r.view.checked().fill_(*s)?,
            Operand::Tensor(v) => r.view.checked().copy_(&fewer_ones(v, r.view.dim())?)?,
        };
        return Ok(());
    }
    if let (Some(mask), Some(s)) = (&r.mask, scalar)
        && mask.dim() > 0
    {
        r.view.checked().masked_fill_(&trailing(mask, r.view.dim())?, s)?;
        return Ok(());
    }
    let values = match value {
        Operand::Scalar(s) => Tensor::constant(*s, &[], r.view.dtype(), r.view.device()),
        Operand::Tensor(v) => v.checked().to(r.view.device())?,
    };
    let put = advanced::index_put(&r.view, &r.tensors, &values, false);
    let put = match put {
        // leading dims of size 1 are dropped where the value has more dims than the place
        Err(e) if values.dim() > 0 && values.shape()[0] == 1 => {
            match advanced::index_put(&r.view, &r.tensors, &fewer_ones(&values, 0)?, false) {
                Ok(t) => Ok(t),
                Err(_) => Err(e),
            }
        }
        other => other,
    }?;
    replace(&r.view, &put)?;
    Ok(())
}

/// A value without leading dims of size 1 beyond so many dims.
fn fewer_ones(v: &Tensor, ndim: usize) -> Result<Tensor> {
    let shape = v.shape();
    let extra = shape.len().saturating_sub(ndim);
    let ones = shape.iter().take(extra).take_while(|n| **n == 1).count();
    if ones == 0 { Ok(v.clone()) } else { v.checked().view(&shape[ones..]) }
}

fn check_mask(mask: &Tensor, name: &str) -> Result<()> {
    ensure!(
        mask.dtype() == DType::Bool,
        Runtime,
        "{name} only supports boolean masks, but got mask with dtype {}",
        mask.dtype().scalar_name()
    );
    Ok(())
}

fn masked_fill(t: &Tensor, mask: &Tensor, value: Operand) -> Result<Tensor> {
    check_mask(mask, "masked_fill_")?;
    let dtype = t.dtype();
    let value = match value {
        Operand::Tensor(v) => {
            ensure!(
                v.dim() == 0,
                Runtime,
                "masked_fill_ only supports a 0-dimensional value tensor, but got tensor with {} dimension(s).",
                v.dim()
            );
            if v.is_complex() && !dtype.is_complex() {
                crate::tensor::check_complex(v.item_scalar()?, dtype)?;
            }
            Operand::Tensor(if v.dtype() == dtype { v } else { to_dtype(&v, dtype) })
        }
        Operand::Scalar(s) => {
            let fits = match dtype {
                d if matches!(s, Scalar::Complex(z) if z.im != 0.0) => d.is_complex(),
                DType::F32 => s.to_f64().is_infinite() || s.to_f64().is_nan() || s.to_f64().abs() <= f32::MAX as f64,
                d if d.is_int() => s.to_f64() >= i64::MIN as f64 && s.to_f64() < 9.223_372_036_854_776e18,
                _ => true,
            };
            let name = if dtype.is_differentiable() { "float" } else { "int64_t" };
            ensure!(fits, Runtime, "value cannot be converted to type {name} without overflow");
            Operand::Scalar(s.as_dtype(dtype))
        }
    };
    let value_tensor = match &value {
        Operand::Tensor(v) => Some(v.clone()),
        Operand::Scalar(_) => None,
    };
    let name = if value_tensor.is_some() { "MaskedFillBackward1" } else { "MaskedFillBackward0" };
    let ins: Vec<&Tensor> = [Some(t), Some(mask), value_tensor.as_ref()].into_iter().flatten().collect();
    let vjp = |cx: &Ctx| {
        let mask = cx.input(1)?;
        let mut grads = no_grads(cx.count());
        if cx.needs(0) {
            grads[0] = Some(cx.g().checked().masked_fill(&mask, 0)?);
        }
        if cx.needs(2) {
            grads[2] = Some(choose(&mask, In::T(cx.g()), In::S(0.into()))?);
        }
        Ok(grads)
    };
    composite(name, &ins, Saves { inputs: 2, outputs: 0 }, || choose(mask, value.as_in(), In::T(t)), vjp)
}

/// The elements under a mask, given the mask's bits over the common shape.
fn select_under(t: &Tensor, bits: &[bool], shape: &[usize]) -> Result<Tensor> {
    let at: Vec<Option<Tensor>> = position_tensors(bits, shape, t.device())?.into_iter().map(Some).collect();
    let wide = t.checked().expand(shape)?;
    if shape.is_empty() {
        let n = bits[0] as usize;
        return wide.checked().reshape(1)?.checked().narrow(0, 0, n)?.checked().copy();
    }
    let forward = || advanced::index(&wide, &at);
    let (places, shape) = (at.clone(), shape.to_vec());
    let vjp = move |cx: &Ctx| {
        let m = cx.input_meta(0);
        let zeros = Tensor::constant(0.into(), &shape, m.dtype, m.device);
        Ok(crate::tensor::one_grad(advanced::index_put(&zeros, &places, cx.g(), true)?))
    };
    composite("MaskedSelectBackward0", &[t], Saves::NONE, forward, vjp)
}

/// Mask and tensor over their common shape.
fn under(t: &Tensor, mask: &Tensor) -> Result<(Tensor, Vec<usize>)> {
    ensure!(mask.dtype() == DType::Bool, Runtime, "masked_select: expected BoolTensor for mask");
    let shape = broadcast(&t.shape(), &mask.shape())?.to_vec();
    Ok((mask.detach().checked().expand(&shape)?, shape))
}

methods! {
    /// `x[index]` with every kind of PyTorch's index: integers, ranges, [`S`] (a range with a step), [`Ellipsis`],
    /// [`NewAxis`], bools, masks, integer tensors or lists, and tuples of them. Without tensors the result is a view.
    ///
    /// ```
    /// # use wgtorch::{prelude::*, Ellipsis, NewAxis, S};
    /// let x = arange(24, ()).view([2, 3, 4]);
    /// assert_eq!(x.i((0, .., -1)).to_vec::<i64>()?, [3, 7, 11]);
    /// assert_eq!(x.i((.., 1..3, S(.., 2))).shape(), [2, 2, 2]);
    /// assert_eq!(x.i((Ellipsis, NewAxis)).shape(), [2, 3, 4, 1]);
    /// assert_eq!(x.i((.., [0, 2], [1, 1])).to_vec::<i64>()?, [1, 9, 13, 21]);
    /// assert_eq!(x.i(x.gt(21)).to_vec::<i64>()?, [22, 23]);
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Panics
    /// If an index is out of range, there are too many, or shapes of index tensors do not fit.
    fn i(&self, index: impl IntoIndex) -> Tensor { get(self.0, &index.into_index()) }

    /// `x[index] = value`, a tensor (broadcast) or a number.
    ///
    /// ```
    /// # use wgtorch::prelude::*;
    /// let x = zeros([2, 3], ());
    /// x.i_put_((.., 1), 5);
    /// x.i_put_(x.eq(0), -1);
    /// assert_eq!(x.to_vec::<f32>()?, [-1., 5., -1., -1., 5., -1.]);
    /// # Ok::<(), Error>(())
    /// ```
    fn i_put_(&self, index: impl IntoIndex, value: impl Into<Operand>) -> Tensor {
        set(self.0, &index.into_index(), &value.into())?;
        Ok(self.0.clone())
    }

    /// The tensor with values written at indices, or added where `accumulate` (`torch.index_put`).
    fn index_put(&self, index: impl IntoIndex, values: &Tensor, accumulate: bool) -> Tensor {
        let r = resolve(self.0, &index.into_index())?;
        ensure!(r.view.is_same(self.0), Index, "index_put takes index tensors and whole dims only");
        advanced::index_put(self.0, &r.tensors, values, accumulate)
    }

    /// [`Tensor::index_put`] in place.
    fn index_put_(&self, index: impl IntoIndex, values: &Tensor, accumulate: bool) -> Tensor {
        let result = self.index_put(index, values, accumulate)?;
        replace(self.0, &result)
    }

    /// The elements with those under a mask replaced by one value (`torch.masked_fill`).
    fn masked_fill(&self, mask: &Tensor, value: impl Into<Operand>) -> Tensor { masked_fill(self.0, mask, value.into()) }

    /// [`Tensor::masked_fill`] in place.
    fn masked_fill_(&self, mask: &Tensor, value: impl Into<Operand>) -> Tensor {
        replace(self.0, &masked_fill(self.0, mask, value.into())?)
    }

    /// The elements under a mask as a vector; tensor and mask broadcast (`torch.masked_select`). Waits for the device.
    fn masked_select(&self, mask: &Tensor) -> Tensor {
        let (mask, shape) = under(self.0, mask)?;
        select_under(self.0, &mask.to_vec::<bool>()?, &shape)
    }

    /// The tensor with the elements under a mask replaced by those of `source` in order (`torch.masked_scatter`).
    fn masked_scatter(&self, mask: &Tensor, source: &Tensor) -> Tensor {
        check_mask(mask, "masked_scatter_")?;
        ensure!(
            self.dtype() == source.dtype(),
            Runtime,
            "masked_scatter: expected self and source to have same dtypes but got {} and {}",
            self.dtype().scalar_name(),
            source.dtype().scalar_name()
        );
        let shape = broadcast(&self.shape(), &mask.shape())?;
        let (wide, mask) = (self.expand(&shape[..])?, mask.detach().checked().expand(&shape[..])?);
        let bits = mask.to_vec::<bool>()?;
        let count = bits.iter().filter(|b| **b).count();
        ensure!(
            source.numel() >= count,
            Runtime,
            "masked_scatter: expected the number of elements in source ({}) to be at least the number of true elements in mask ({count})",
            source.numel()
        );
        let values = source.checked().reshape(-1)?.checked().narrow(0, 0, count)?;
        if shape.is_empty() {
            return if bits[0] { values.checked().reshape(())?.checked().copy() } else { self.copy() };
        }
        let at: Vec<Option<Tensor>> = position_tensors(&bits, &shape, self.device())?.into_iter().map(Some).collect();
        advanced::index_put(&wide, &at, &values, false)
    }

    /// [`Tensor::masked_scatter`] in place.
    fn masked_scatter_(&self, mask: &Tensor, source: &Tensor) -> Tensor {
        let result = self.masked_scatter(mask, source)?;
        self.copy_(&result)
    }

    /// Positions of what is not zero, one a row, in row-major order (`torch.nonzero`). Waits for the device.
    fn nonzero(&self) -> Tensor {
        position_rows(&truth(self.0)?.to_vec::<bool>()?, &self.shape(), self.device())
    }

    /// Positions of what is not zero, one tensor a dim (`torch.where(x)`); 0-dim tensors count as vectors.
    fn nonzero_tuple(&self) -> Vec<Tensor> {
        let t = self.atleast_1d()?;
        position_tensors(&truth(&t)?.to_vec::<bool>()?, &t.shape(), self.device())
    }

    /// [`Tensor::nonzero`] (`torch.argwhere`).
    fn argwhere(&self) -> Tensor { self.nonzero() }
}

impl Tensor {
    /// [`Tensor::nonzero`] that yields instead of blocking while the GPU works.
    ///
    /// # Errors
    /// What went wrong on the device since the last wait.
    pub async fn nonzero_async(&self) -> Result<Tensor, Error> {
        let bits = truth(self)?.to_vec_async::<bool>().await?;
        position_rows(&bits, &self.shape(), self.device())
    }

    /// [`Tensor::masked_select`] that yields instead of blocking.
    ///
    /// # Errors
    /// What went wrong on the device since the last wait, or shapes that do not broadcast.
    pub async fn masked_select_async(&self, mask: &Tensor) -> Result<Tensor, Error> {
        let (mask, shape) = unrecorded(|| under(self, mask))?;
        select_under(self, &mask.to_vec_async::<bool>().await?, &shape)
    }
}
