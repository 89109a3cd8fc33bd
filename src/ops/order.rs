//! Elements by their rank: median, the k-th least, the most frequent, quantiles. The gradient goes to the element that was picked.

use super::compose::{composite, unrecorded};
use super::index_checks::lift;
use super::pointwise::select as choose;
use crate::cpu::lines;
use crate::dtype::{DType, compute};
use crate::error::{Error, Result, bail, ensure};
use crate::gpu::GpuView;
use crate::ops::Operand;
use crate::scalar::Scalar;
use crate::shape::wrap_dim;
use crate::stream::{CpuView, Kernel, Launch};
use crate::tensor::{Ctx, Grads, In, Meta, Op, OutSpec, Saves, Tensor, apply, methods, one_grad, to_dtype};
use smallvec::SmallVec;
use std::sync::Arc;

/// The most frequent elements along a dim, which stays with size 1.
#[derive(Clone, Copy, Debug)]
struct Mode {
    dim: usize,
}

impl Kernel for Mode {
    fn name(&self) -> &'static str {
        "mode"
    }
    fn cpu(&self, ins: &[CpuView], outs: &[CpuView]) -> Result<()> {
        let (x, values, indices) = (lift(&ins[0]), lift(&outs[0]), lift(&outs[1]));
        if x.shape.contains(&0) {
            return Ok(());
        }
        compute!(x.dtype, T => lines::modes::<T>(values.typed_mut(), indices.typed_mut(), x.typed(), self.dim));
        Ok(())
    }
    fn gpu(&self, _: &mut Launch, _: &[GpuView], _: &[GpuView]) -> Result<bool> {
        Ok(false)
    }
    fn checks_data(&self) -> bool {
        false
    }
}

impl Op for Mode {
    fn node_name(&self) -> &'static str {
        "ModeBackward0"
    }
    fn infer(&self, ins: &[Meta]) -> Result<SmallVec<[OutSpec; 2]>> {
        let mut shape = ins[0].shape.0.clone();
        if let Some(n) = shape.get_mut(self.dim) {
            *n = 1;
        }
        Ok([OutSpec { shape: shape.clone(), dtype: ins[0].dtype }, OutSpec { shape, dtype: DType::I64 }]
            .into_iter()
            .collect())
    }
    fn saves(&self, _: u8) -> Saves {
        Saves::NONE
    }
    fn vjp(&self, _: &Ctx) -> Result<Grads> {
        unreachable!("it runs on detached tensors")
    }
    fn kernel(self: Arc<Self>) -> Arc<dyn Kernel> {
        self
    }
}

/// The elements at one index of each line, and the indices; `index` has the dim with size 1.
fn pick(t: &Tensor, node: &'static str, dim: usize, index: Tensor, keepdim: bool) -> Result<(Tensor, Tensor)> {
    let d = dim as isize;
    let shrink = |x: Tensor| if keepdim { Ok(x) } else { x.checked().squeeze_dim(d) };
    if t.dim() == 0 {
        let value = composite(node, &[t], Saves::NONE, || t.checked().copy(), |cx: &Ctx| Ok(one_grad(cx.g().clone())))?;
        return Ok((value, index.checked().reshape(())?));
    }
    let at = index.clone();
    let value = composite(
        node,
        &[t],
        Saves::NONE,
        || shrink(t.checked().gather(d, &index)?),
        move |cx: &Ctx| {
            let g = if keepdim { cx.g().clone() } else { cx.g().checked().unsqueeze(d)? };
            Ok(one_grad(Tensor::zeros_of(&cx.input_meta(0)).checked().scatter(d, &at, &g)?))
        },
    )?;
    Ok((value, shrink(index)?))
}

/// A dim that has elements, of a tensor in which 0-dim ones have one line of one.
fn line_dim(t: &Tensor, dim: isize, name: &str) -> Result<usize> {
    let d = wrap_dim(dim, t.dim())?;
    ensure!(t.dim() == 0 || t.shape()[d] > 0, Index, "{name}(): Expected reduction dim {d} to have non-zero size.");
    Ok(d)
}

/// How many elements of each line are not NaN, with the dim kept.
fn counted(x: &Tensor, d: isize) -> Result<Tensor> {
    x.checked().isnan()?.checked().logical_not()?.checked().sum_dim(d, true)
}

/// The lower one of the middle elements; a NaN in the line is the median, unless they are to be skipped.
fn median(t: &Tensor, dim: isize, keepdim: bool, skip: bool, node: &'static str) -> Result<(Tensor, Tensor)> {
    let name = if skip { "nanmedian" } else { "median" };
    ensure!(t.dtype() != DType::Bool, NotImplemented, "\"median_out_impl\" not implemented for 'Bool'");
    let d = line_dim(t, dim, name)?;
    let x = t.detach();
    let index = unrecorded(|| -> Result<Tensor> {
        let x = if x.dim() == 0 { x.checked().reshape(1)? } else { x };
        let (d, n) = (d as isize, x.size_of(d as isize) as i64);
        let order = x.checked().argsort(d)?;
        if !x.dtype().is_float() {
            return order.checked().narrow(d, (n as isize - 1) / 2, 1);
        }
        let count = counted(&x, d)?;
        let middle = |n: &Tensor| n.checked().sub(1)?.checked().clamp_min(0)?.checked().floor_divide(2);
        let rank = if skip {
            middle(&count)?
        } else {
            // NaNs are sorted to the end, and the first of them is the one after all numbers
            let half = Tensor::constant(Scalar::Int((n - 1) / 2), &[], DType::I64, x.device());
            choose(&count.checked().lt(n)?, In::T(&count), In::T(&half))?
        };
        order.checked().gather(d, &rank)
    })?;
    pick(t, node, d, index, keepdim)
}

/// The median of all elements, which is NaN where there are none.
fn median_of_all(t: &Tensor, skip: bool) -> Result<Tensor> {
    if t.numel() == 0 {
        ensure!(t.dtype().is_float(), Runtime, "median of an empty tensor is NaN, which an integer cannot be");
        return Ok(Tensor::constant(f64::NAN.into(), &[], t.dtype(), t.device()));
    }
    let node = if skip { "NanmedianBackward0" } else { "MedianBackward0" };
    Ok(median(&t.checked().reshape(-1)?, 0, false, skip, node)?.0)
}

fn kthvalue(t: &Tensor, k: usize, dim: isize, keepdim: bool) -> Result<(Tensor, Tensor)> {
    ensure!(t.dtype() != DType::Bool, NotImplemented, "\"kthvalue_cpu\" not implemented for 'Bool'");
    let d = line_dim(t, dim, "kthvalue")?;
    let n = if t.dim() == 0 { 1 } else { t.shape()[d] };
    ensure!(k >= 1 && k <= n, Runtime, "kthvalue(): selected number k out of range for dimension {d}");
    let x = t.detach();
    let index = unrecorded(|| -> Result<Tensor> {
        let x = if x.dim() == 0 { x.checked().reshape(1)? } else { x };
        x.checked().argsort(d as isize)?.checked().narrow(d as isize, k as isize - 1, 1)
    })?;
    pick(t, "KthvalueBackward0", d, index, keepdim)
}

fn mode(t: &Tensor, dim: isize, keepdim: bool) -> Result<(Tensor, Tensor)> {
    let d = line_dim(t, dim, "mode")?;
    let index = apply(Mode { dim: d }, &[&t.detach()])?.swap_remove(1);
    pick(t, "ModeBackward0", d, index, keepdim)
}

/// What a quantile between two elements is.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Interpolation {
    /// On the line between them.
    #[default]
    Linear,
    /// The lower one.
    Lower,
    /// The higher one.
    Higher,
    /// Their mean.
    Midpoint,
    /// The nearer one.
    Nearest,
}

impl std::str::FromStr for Interpolation {
    type Err = Error;
    /// PyTorch's names: `"linear"`, `"lower"`, `"higher"`, `"midpoint"`, `"nearest"`.
    fn from_str(s: &str) -> Result<Interpolation> {
        Ok(match s {
            "linear" => Interpolation::Linear,
            "lower" => Interpolation::Lower,
            "higher" => Interpolation::Higher,
            "midpoint" => Interpolation::Midpoint,
            "nearest" => Interpolation::Nearest,
            _ => bail!(
                Runtime,
                "quantile() interpolation must be one of linear, lower, higher, midpoint or nearest, but got {s}"
            ),
        })
    }
}

/// Options of quantiles.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default)]
pub struct QuantileOptions {
    /// The dim that they are taken along; all elements if None.
    pub dim: Option<isize>,
    /// Keep the dim with size 1 (all of them without a dim).
    pub keepdim: bool,
    /// What a quantile between two elements is.
    pub interpolation: Interpolation,
}

impl QuantileOptions {
    /// Of all elements, linear.
    pub fn new() -> QuantileOptions {
        QuantileOptions::default()
    }
    /// The dim that they are taken along.
    pub fn dim(mut self, dim: impl Into<Option<isize>>) -> QuantileOptions {
        self.dim = dim.into();
        self
    }
    /// Keep the dim with size 1.
    pub fn keepdim(mut self, on: bool) -> QuantileOptions {
        self.keepdim = on;
        self
    }
    /// What a quantile between two elements is.
    pub fn interpolation(mut self, interpolation: Interpolation) -> QuantileOptions {
        self.interpolation = interpolation;
        self
    }
}

impl From<()> for QuantileOptions {
    fn from(_: ()) -> QuantileOptions {
        QuantileOptions::new()
    }
}
impl From<isize> for QuantileOptions {
    fn from(dim: isize) -> QuantileOptions {
        QuantileOptions::new().dim(dim)
    }
}

fn quantile(t: &Tensor, q: &Operand, o: QuantileOptions, skip: bool) -> Result<Tensor> {
    let name = if skip { "nanquantile" } else { "quantile" };
    ensure!(t.numel() > 0, Runtime, "{name}() input tensor must be non-empty");
    ensure!(
        matches!(t.dtype(), DType::F32 | DType::F64),
        Runtime,
        "{name}() input tensor must be either float or double dtype"
    );
    let q = match q {
        Operand::Scalar(s) => {
            let s = s.to_f64();
            ensure!((0.0..=1.0).contains(&s), Runtime, "{name}() q must be in the range [0, 1] but got {s}");
            Tensor::constant(s.into(), &[], t.dtype(), t.device())
        }
        Operand::Tensor(q) => {
            ensure!(q.dim() <= 1, Runtime, "{name}() q must be a scalar or 1D tensor");
            ensure!(q.dtype() == t.dtype(), Runtime, "{name}() q tensor must be same dtype as the input tensor");
            q.clone()
        }
    };
    let (several, n_q) = (q.dim() == 1, q.numel());
    // the lines as the last dim
    let x = match o.dim {
        None => t.checked().reshape(-1)?,
        Some(_) if t.dim() == 0 => t.checked().reshape(1)?,
        Some(d) => t.checked().movedim(wrap_dim(d, t.dim())? as isize, -1)?,
    };
    let sorted = x.checked().sort(-1isize)?.0;
    let n = sorted.size_of(-1) as i64;
    let (q, ranks) = (q.checked().reshape(-1)?, unrecorded(|| counted(&sorted.detach(), -1))?);
    // ranks from 0 to the last number; without skipping, a NaN in the line takes all of them to the end, where it is
    let last = to_dtype(&ranks, t.dtype()).checked().sub(1)?.checked().clamp_min(0)?;
    let place = if skip {
        last.checked().mul(&q)?
    } else {
        let place = q.checked().mul(n - 1)?;
        let end = Tensor::constant((n - 1).into(), &[], t.dtype(), t.device());
        choose(&ranks.checked().lt(n)?, In::T(&end), In::T(&place))?
    };
    let place = match o.interpolation {
        Interpolation::Lower => place.checked().floor()?,
        Interpolation::Higher => place.checked().ceil()?,
        Interpolation::Nearest => place.checked().round()?,
        _ => place,
    };
    let below = to_dtype(&place.detach(), DType::I64);
    let low = sorted.checked().gather(-1, &below)?;
    let mut out = match o.interpolation {
        Interpolation::Linear | Interpolation::Midpoint => {
            let above = to_dtype(&place.detach().checked().ceil()?, DType::I64);
            let high = sorted.checked().gather(-1, &above)?;
            let weight = match o.interpolation {
                Interpolation::Midpoint => Tensor::constant(0.5.into(), &place.shape(), t.dtype(), t.device()),
                _ => place.checked().sub(&below)?,
            };
            low.checked().lerp(&high, &weight)?
        }
        _ => low,
    };
    // the quantiles go first
    out = out.checked().movedim(-1, 0)?;
    if o.keepdim {
        match o.dim {
            None => {
                let mut sizes = vec![1; t.dim() + 1];
                sizes[0] = n_q;
                out = out.checked().reshape(sizes)?;
            }
            Some(d) if t.dim() > 0 => out = out.checked().unsqueeze(wrap_dim(d, t.dim())? as isize + 1)?,
            Some(_) => {}
        }
    }
    if several { Ok(out) } else { out.checked().select(0, 0) }
}

methods! {
    /// The lower one of the middle elements (`torch.median`); a NaN is the median of what holds one.
    ///
    /// # Panics
    /// For an empty tensor of integers.
    ///
    /// ```
    /// # use wgtorch::prelude::*;
    /// assert_eq!(tensor!([4, 1, 3, 2]).median().item::<i64>()?, 2);
    /// # Ok::<(), Error>(())
    /// ```
    fn median(&self) -> Tensor { median_of_all(self.0, false) }

    /// The medians along a dim and their indices (`torch.median(x, dim)`).
    fn median_dim(&self, dim: isize, keepdim: bool) -> (Tensor, Tensor) { median(self.0, dim, keepdim, false, "MedianBackward1") }

    /// [`Tensor::median`] of what is not NaN (`torch.nanmedian`).
    fn nanmedian(&self) -> Tensor { median_of_all(self.0, true) }

    /// [`Tensor::median_dim`] of what is not NaN (`torch.nanmedian(x, dim)`).
    fn nanmedian_dim(&self, dim: isize, keepdim: bool) -> (Tensor, Tensor) { median(self.0, dim, keepdim, true, "NanmedianBackward1") }

    /// The `k`-th least elements along a dim, counted from 1, and their indices (`torch.kthvalue`).
    ///
    /// # Panics
    /// If `k` is 0 or larger than the dim.
    fn kthvalue(&self, k: usize, dim: isize, keepdim: bool) -> (Tensor, Tensor) { kthvalue(self.0, k, dim, keepdim) }

    /// The most frequent elements along a dim, the least of those, and the last index of each (`torch.mode`).
    ///
    /// ```
    /// # use wgtorch::prelude::*;
    /// let (value, index) = tensor!([1, 2, 2, 4]).mode(-1, false);
    /// assert_eq!((value.item::<i64>()?, index.item::<i64>()?), (2, 2));
    /// # Ok::<(), Error>(())
    /// ```
    fn mode(&self, dim: isize, keepdim: bool) -> (Tensor, Tensor) { mode(self.0, dim, keepdim) }

    /// The elements below which a share `q` of all lies, of all or along a dim (`torch.quantile`); several of them go first.
    /// A line with a NaN has no other quantile.
    ///
    /// # Panics
    /// If the dtype is not float32 or float64, the tensor is empty, or a number `q` is outside `[0, 1]`.
    ///
    /// ```
    /// # use wgtorch::prelude::*;
    /// assert_eq!(tensor!([3., 1., 2., 4.]).quantile(0.5, ()).item::<f32>()?, 2.5);
    /// # Ok::<(), Error>(())
    /// ```
    fn quantile(&self, q: impl Into<Operand>, options: impl Into<QuantileOptions>) -> Tensor {
        quantile(self.0, &q.into(), options.into(), false)
    }

    /// [`Tensor::quantile`] of what is not NaN (`torch.nanquantile`).
    fn nanquantile(&self, q: impl Into<Operand>, options: impl Into<QuantileOptions>) -> Tensor {
        quantile(self.0, &q.into(), options.into(), true)
    }
}
