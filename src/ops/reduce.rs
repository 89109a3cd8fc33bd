//! Sums, means, products and counts over all dims or some.
//!
//! NOTE [Reductions]: every one of them is a [`Reduce`]: a kind, the dims and the dtype of the result. Its kernel reads its
//! input once, element by element in any order of the kept dims, so an elementwise chain can be computed on the way in.

use super::compose::composite;
use super::pointwise::select as choose;
use super::views::IntoSizes;
use crate::cpu::complex;
use crate::dtype::{DType, compute};
use crate::error::{Result, bail, ensure};
use crate::gpu::GpuView;
use crate::shape::{Dims, dim_mask, expandable};
use crate::stream::{CpuView, Fed, Kernel, Launch, OnComplex};
use crate::tensor::{
    Ctx, Grads, In, Meta, Op, OutSpec, Saves, Tensor, apply_one, grad_enabled, methods, one_grad, to_dtype,
};
use num_complex::Complex;
use smallvec::SmallVec;
use std::sync::Arc;

/// What a reduction computes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    Sum,
    Mean,
    Prod,
    /// The greatest value; NaN wins.
    Max,
    Min,
    /// The index of the greatest value along one dim; the first of equal ones.
    ArgMax,
    ArgMin,
    /// The value and its index.
    MaxIndex,
    MinIndex,
    Any,
    All,
    CountNonzero,
    /// `(sum |x|^p)^(1/p)`.
    Norm(f64),
    /// The variance, or its root.
    Var {
        correction: f64,
        std: bool,
    },
    /// The variance (or its root) and the mean.
    VarMean {
        correction: f64,
        std: bool,
    },
}

/// True at each dim that is reduced.
pub(crate) type Mask = SmallVec<[bool; 5]>;

/// A reduction of some dims.
#[derive(Clone, Debug)]
pub(crate) struct Reduce {
    pub kind: Kind,
    pub mask: Mask,
    pub keepdim: bool,
    /// The dtype of the (first) result.
    pub dtype: DType,
    /// PyTorch's overload without dims, which has a node of its own.
    pub full: bool,
}

/// What reductions default.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default)]
pub struct ReduceOptions {
    /// Keep the reduced dims with size 1.
    pub keepdim: bool,
    /// Convert the input to this dtype first.
    pub dtype: Option<DType>,
}

impl ReduceOptions {
    /// All defaults.
    pub fn new() -> ReduceOptions {
        ReduceOptions::default()
    }
    /// Keep the reduced dims with size 1.
    pub fn keepdim(mut self, on: bool) -> ReduceOptions {
        self.keepdim = on;
        self
    }
    /// Convert the input to this dtype first.
    pub fn dtype(mut self, dtype: DType) -> ReduceOptions {
        self.dtype = Some(dtype);
        self
    }
}

impl From<()> for ReduceOptions {
    fn from(_: ()) -> ReduceOptions {
        ReduceOptions::default()
    }
}
impl From<bool> for ReduceOptions {
    fn from(keepdim: bool) -> ReduceOptions {
        ReduceOptions { keepdim, dtype: None }
    }
}
impl From<DType> for ReduceOptions {
    fn from(dtype: DType) -> ReduceOptions {
        ReduceOptions { keepdim: false, dtype: Some(dtype) }
    }
}
impl From<(bool, DType)> for ReduceOptions {
    fn from((keepdim, dtype): (bool, DType)) -> ReduceOptions {
        ReduceOptions { keepdim, dtype: Some(dtype) }
    }
}

/// The shape with the masked dims removed, or of size 1.
pub(crate) fn reduced(shape: &[usize], mask: &[bool], keepdim: bool) -> Dims {
    let mut out = Dims::new();
    for (&n, &m) in shape.iter().zip(mask) {
        if !m {
            out.push(n);
        } else if keepdim {
            out.push(1);
        }
    }
    out
}

impl Reduce {
    /// The op's name in messages.
    pub fn op_name(&self) -> &'static str {
        match self.kind {
            Kind::Sum => "sum",
            Kind::Mean => "mean",
            Kind::Prod => "prod",
            Kind::Max if self.full => "max",
            Kind::Min if self.full => "min",
            Kind::Max => "amax",
            Kind::Min => "amin",
            Kind::ArgMax => "argmax",
            Kind::ArgMin => "argmin",
            Kind::MaxIndex => "max",
            Kind::MinIndex => "min",
            Kind::Any => "any",
            Kind::All => "all",
            Kind::CountNonzero => "count_nonzero",
            Kind::Norm(_) => "linalg.vector_norm",
            Kind::Var { std: false, .. } => "var",
            Kind::Var { .. } => "std",
            Kind::VarMean { std: false, .. } => "var_mean",
            Kind::VarMean { .. } => "std_mean",
        }
    }

    /// A result's gradient (or the result) with the reduced dims back as dims of size 1.
    pub fn restore(&self, t: &Tensor) -> Result<Tensor> {
        if self.keepdim {
            return Ok(t.clone());
        }
        let mut out = t.clone();
        for (d, _) in self.mask.iter().enumerate().filter(|(_, m)| **m) {
            out = out.checked().unsqueeze(d as isize)?;
        }
        Ok(out)
    }

    /// The reduced dims, as arguments.
    pub fn dims(&self) -> Vec<isize> {
        (0..self.mask.len() as isize).filter(|&d| self.mask[d as usize]).collect()
    }

    /// How many elements make one of the result.
    pub fn count(&self, shape: &[usize]) -> usize {
        shape.iter().zip(&self.mask).filter(|(_, m)| **m).map(|(n, _)| n).product()
    }
}

impl Kernel for Reduce {
    fn name(&self) -> &'static str {
        self.op_name()
    }
    fn cpu(&self, ins: &[CpuView], outs: &[CpuView]) -> Result<()> {
        match ins[0].dtype {
            DType::C64 => complex::prod::<Complex<f32>>(outs[0].typed_mut(), ins[0].typed(), &self.mask),
            DType::C128 => complex::prod::<Complex<f64>>(outs[0].typed_mut(), ins[0].typed(), &self.mask),
            d => compute!(d, T => self.run_cpu::<T>(&ins[0], outs)),
        }
        Ok(())
    }
    fn gpu(&self, launch: &mut Launch, ins: &[GpuView], outs: &[GpuView]) -> Result<bool> {
        if ins[0].dtype.is_complex() {
            return Ok(false);
        }
        self.run_gpu(launch, None, ins, outs)
    }
    fn on_complex(&self, _: usize) -> OnComplex {
        match self.kind {
            Kind::Prod => OnComplex::Native,
            Kind::Sum | Kind::Mean => {
                let mask = self.mask.iter().copied().chain([false]).collect();
                let kernel = Reduce { mask, dtype: self.dtype.to_real(), ..self.clone() };
                OnComplex::Pairs { kernel: Arc::new(kernel), spread: false }
            }
            _ => OnComplex::Refused,
        }
    }
    fn checks_data(&self) -> bool {
        false
    }
    fn feed(&self, fed: &Fed) -> Option<Arc<dyn Kernel>> {
        self.feed_with(fed).map(|k| Arc::new(k) as Arc<dyn Kernel>)
    }
}

impl Op for Reduce {
    fn node_name(&self) -> &'static str {
        match (self.kind, self.full) {
            (Kind::Sum, true) => "SumBackward0",
            (Kind::Sum, false) => "SumBackward1",
            (Kind::Mean, true) => "MeanBackward0",
            (Kind::Mean, false) => "MeanBackward1",
            (Kind::Prod, true) => "ProdBackward0",
            (Kind::Prod, false) => "ProdBackward1",
            (Kind::Max, true) => "MaxBackward1",
            (Kind::Min, true) => "MinBackward1",
            (Kind::Max, false) => "AmaxBackward0",
            (Kind::Min, false) => "AminBackward0",
            (Kind::MaxIndex, _) => "MaxBackward0",
            (Kind::MinIndex, _) => "MinBackward0",
            (Kind::Norm(_), _) => "LinalgVectorNormBackward0",
            (Kind::Var { std: false, .. }, _) => "VarBackward0",
            (Kind::Var { .. }, _) => "StdBackward0",
            (Kind::VarMean { std: false, .. }, _) => "VarMeanBackward0",
            (Kind::VarMean { .. }, _) => "StdMeanBackward0",
            (Kind::ArgMax | Kind::ArgMin | Kind::Any | Kind::All | Kind::CountNonzero, _) => "NotDifferentiable",
        }
    }

    fn infer(&self, ins: &[Meta]) -> Result<SmallVec<[OutSpec; 2]>> {
        let (x, name) = (&ins[0], self.op_name());
        if matches!(self.kind, Kind::Max | Kind::Min | Kind::MaxIndex | Kind::MinIndex | Kind::ArgMax | Kind::ArgMin) {
            let all = self.mask.iter().all(|m| *m);
            let arg = matches!(self.kind, Kind::ArgMax | Kind::ArgMin);
            if all && self.full && x.shape.numel() == 0 {
                let message = format!("{name}(): Expected reduction dim to be specified for input.numel() == 0.");
                if arg {
                    bail!(Index, "{message}");
                }
                bail!(Runtime, "{message} Specify the reduction dim with the 'dim' argument.");
            }
            if let Some((d, _)) = x.shape.iter().enumerate().find(|(d, n)| self.mask[*d] && **n == 0) {
                bail!(Index, "{name}(): Expected reduction dim {d} to have non-zero size.");
            }
            ensure!(!arg || x.dtype != DType::Bool, NotImplemented, "\"{name}_cpu\" not implemented for 'Bool'");
        }
        let shape = reduced(&x.shape, &self.mask, self.keepdim);
        let mut outs = OutSpec::one(shape.clone(), self.dtype);
        match self.kind {
            Kind::MaxIndex | Kind::MinIndex => outs.push(OutSpec { shape, dtype: DType::I64 }),
            Kind::VarMean { .. } => outs.push(OutSpec { shape, dtype: self.dtype }),
            _ => {}
        }
        Ok(outs)
    }

    fn saves(&self, needs: u8) -> Saves {
        let (inputs, outputs) = match self.kind {
            _ if needs == 0 => (0, 0),
            Kind::Prod | Kind::Max | Kind::Min | Kind::Var { .. } | Kind::Norm(_) => (1, 1),
            Kind::VarMean { .. } => (1, 3),
            Kind::MaxIndex | Kind::MinIndex => (0, 2),
            _ => (0, 0),
        };
        Saves { inputs, outputs }
    }

    fn vjp(&self, cx: &Ctx) -> Result<Grads> {
        let shape = cx.input_shape(0);
        let spread = |t: &Tensor| self.restore(t)?.checked().expand(&shape);
        Ok(one_grad(match self.kind {
            Kind::Sum => spread(cx.g())?,
            Kind::Mean => spread(cx.g())?.checked().div(self.count(&shape) as i64)?,
            Kind::Norm(p) => super::stats::norm_vjp(self, p, cx)?,
            Kind::Prod => prod_vjp(self, cx)?,
            Kind::Max | Kind::Min => super::minmax::share_equally(self, cx)?,
            Kind::MaxIndex | Kind::MinIndex => super::minmax::to_index(self, cx)?,
            Kind::Var { .. } | Kind::VarMean { .. } => super::stats::var_vjp(self, cx)?,
            Kind::ArgMax | Kind::ArgMin | Kind::Any | Kind::All | Kind::CountNonzero => {
                return Ok(crate::tensor::no_grads(1));
            }
        }))
    }

    fn kernel(self: Arc<Self>) -> Arc<dyn Kernel> {
        self
    }
}

/// The gradient of a product: each element's is the product of the others, also where some are zero.
fn prod_vjp(op: &Reduce, cx: &Ctx) -> Result<Tensor> {
    let (mut x, mut g) = (cx.input(0)?, op.restore(cx.g())?);
    if matches!(x.dtype(), DType::F16 | DType::BF16) {
        // a product of the others is often beyond what a half can hold where the gradient is not
        (x, g) = (to_dtype(&x, DType::F32), to_dtype(&g, DType::F32));
    }
    let op = &Reduce { dtype: x.dtype(), ..op.clone() };
    if grad_enabled() && x.dim() > 0 {
        return g.checked().mul(&super::scan::products_of_others(op, &x)?);
    }
    // without zeros the product over the element; else only a lone zero gets the product of the rest
    let zero = x.detach().checked().eq(0)?;
    let full = x.checked().masked_fill(&zero, 1)?;
    let rest = apply_one(Reduce { keepdim: true, full: false, ..op.clone() }, &[&full])?;
    let zeros = zero.checked().sum_dim(op.dims(), true)?;
    let all = g.checked().mul(rest)?;
    let ordinary = all.checked().div(&x)?.checked().masked_fill(&zeros.checked().ne(0)?, 0)?;
    let lone = zero.checked().bitwise_and(&zeros.checked().eq(1)?)?;
    choose(&lone, In::T(&all), In::T(&ordinary))
}

/// A reduction over the dims named, or over all: a kind with one result.
#[track_caller]
pub(crate) fn reduce(t: &Tensor, kind: Kind, dims: Option<&[isize]>, keepdim: bool, dtype: DType) -> Result<Tensor> {
    apply_one(reduction(t, kind, dims, keepdim, dtype)?, &[t])
}

pub(crate) fn reduction(t: &Tensor, kind: Kind, dims: Option<&[isize]>, keepdim: bool, dtype: DType) -> Result<Reduce> {
    let mask = dim_mask(dims.unwrap_or(&[]), t.dim())?;
    Ok(Reduce { kind, mask, keepdim, dtype, full: dims.is_none() })
}

/// The dtype sums are kept in: int64 for bools and integers.
fn sum_dtype(d: DType) -> DType {
    if d.is_differentiable() { d } else { DType::I64 }
}

/// No dims is the overload without dims where nothing else differs from it.
fn some_dims(dims: &[isize], keepdim: bool) -> Option<&[isize]> {
    (!dims.is_empty() || keepdim).then_some(dims)
}

#[track_caller]
fn sums(t: &Tensor, kind: Kind, dims: &[isize], options: ReduceOptions) -> Result<Tensor> {
    let x = if options.dtype.is_some_and(|d| d != t.dtype()) {
        to_dtype(t, options.dtype.unwrap_or(t.dtype()))
    } else {
        t.clone()
    };
    let sum = reduce(&x, kind, some_dims(dims, options.keepdim), options.keepdim, sum_dtype(x.dtype()))?;
    // integers add up in int64, which the dtype asked for cuts
    Ok(match options.dtype {
        Some(d) if d != sum.dtype() => to_dtype(&sum, d),
        _ => sum,
    })
}

#[track_caller]
fn means(t: &Tensor, dims: &[isize], options: ReduceOptions) -> Result<Tensor> {
    let dtype = options.dtype.unwrap_or(t.dtype());
    ensure!(
        dtype.is_differentiable(),
        NotImplemented,
        "mean(): could not infer output dtype. {} dtype must be either a floating point or complex dtype. Got: {}",
        if options.dtype.is_some() { "Optional" } else { "Input" },
        dtype.scalar_name()
    );
    let x = if dtype != t.dtype() { to_dtype(t, dtype) } else { t.clone() };
    reduce(&x, Kind::Mean, some_dims(dims, options.keepdim), options.keepdim, dtype)
}

#[track_caller]
fn nansum(t: &Tensor, dims: &[isize], options: ReduceOptions) -> Result<Tensor> {
    ensure!(!t.dtype().is_complex(), Runtime, "nansum does not support complex inputs");
    if !t.dtype().is_float() {
        return sums(t, Kind::Sum, dims, options);
    }
    let op = reduction(t, Kind::Sum, Some(dims), options.keepdim, t.dtype())?;
    let forward = || {
        let nan = t.checked().isnan()?;
        sums(&t.checked().masked_fill(&nan, 0)?, Kind::Sum, dims, options)
    };
    let vjp = move |cx: &Ctx| {
        let g = op.restore(cx.g())?.checked().expand(cx.input_shape(0))?;
        Ok(one_grad(g.checked().mul(&cx.input(0)?.checked().isnan()?.checked().logical_not()?)?))
    };
    composite("NansumBackward0", &[t], Saves { inputs: 1, outputs: 0 }, forward, vjp)
}

/// Complex numbers as whether they are not zero, which is all that some reductions ask.
fn as_truths(t: &Tensor) -> Result<Tensor> {
    if t.dtype().is_complex() { t.checked().ne(0) } else { Ok(t.clone()) }
}

/// Whether any, or all, elements are not zero: bool, but uint8 for uint8 as in PyTorch.
#[track_caller]
fn truths(t: &Tensor, kind: Kind, dims: Option<&[isize]>, keepdim: bool) -> Result<Tensor> {
    let truth = reduce(&as_truths(t)?, kind, dims, keepdim, DType::Bool)?;
    Ok(if t.dtype() == DType::U8 { to_dtype(&truth, DType::U8) } else { truth })
}

methods! {
    /// The sum of all elements (`torch.sum`); integers and bools add up in int64.
    ///
    /// ```
    /// # use wgtorch::prelude::*;
    /// assert_eq!(tensor!([true, true, false]).sum().item::<i64>()?, 2);
    /// # Ok::<(), Error>(())
    /// ```
    fn sum(&self) -> Tensor { sums(self.0, Kind::Sum, &[], ().into()) }

    /// The sum over some dims, all if none are named (`torch.sum(x, dim)`); the options are `keepdim`, a dtype or both.
    ///
    /// ```
    /// # use wgtorch::prelude::*;
    /// let x = tensor!([[1., 2.], [3., 4.]]);
    /// assert_eq!(x.sum_dim(0, false).to_vec::<f32>()?, [4., 6.]);
    /// assert_eq!(x.sum_dim((), F64).dtype(), F64);
    /// # Ok::<(), Error>(())
    /// ```
    fn sum_dim(&self, dims: impl IntoSizes, options: impl Into<ReduceOptions>) -> Tensor {
        sums(self.0, Kind::Sum, &dims.into_sizes(), options.into())
    }

    /// The mean of all elements (`torch.mean`), NaN if there are none; floats only.
    fn mean(&self) -> Tensor { means(self.0, &[], ().into()) }

    /// The mean over some dims (`torch.mean(x, dim)`).
    fn mean_dim(&self, dims: impl IntoSizes, options: impl Into<ReduceOptions>) -> Tensor {
        means(self.0, &dims.into_sizes(), options.into())
    }

    /// The product of all elements (`torch.prod`); integers and bools multiply in int64.
    fn prod(&self) -> Tensor { sums(self.0, Kind::Prod, &[], ().into()) }

    /// The product over a dim (`torch.prod(x, dim)`); no dim means all, for the dtype option.
    fn prod_dim(&self, dim: impl IntoSizes, options: impl Into<ReduceOptions>) -> Tensor {
        let dim = dim.into_sizes();
        ensure!(dim.len() <= 1, Type, "prod(): argument 'dim' must be int, not tuple");
        sums(self.0, Kind::Prod, &dim, options.into())
    }

    /// The sum of all elements that are not NaN (`torch.nansum`).
    fn nansum(&self) -> Tensor { nansum(self.0, &[], ().into()) }

    /// The sum over some dims of what is not NaN (`torch.nansum(x, dim)`).
    fn nansum_dim(&self, dims: impl IntoSizes, options: impl Into<ReduceOptions>) -> Tensor {
        nansum(self.0, &dims.into_sizes(), options.into())
    }

    /// True where any element is not zero (`torch.any`); NaN counts as true.
    fn any(&self) -> Tensor { truths(self.0, Kind::Any, None, false) }

    /// [`Tensor::any`] over some dims.
    fn any_dim(&self, dims: impl IntoSizes, keepdim: bool) -> Tensor {
        truths(self.0, Kind::Any, Some(&dims.into_sizes()), keepdim)
    }

    /// True where no element is zero (`torch.all`).
    fn all(&self) -> Tensor { truths(self.0, Kind::All, None, false) }

    /// [`Tensor::all`] over some dims.
    fn all_dim(&self, dims: impl IntoSizes, keepdim: bool) -> Tensor {
        truths(self.0, Kind::All, Some(&dims.into_sizes()), keepdim)
    }

    /// How many elements are not zero (`torch.count_nonzero`).
    fn count_nonzero(&self) -> Tensor { reduce(&as_truths(self.0)?, Kind::CountNonzero, None, false, DType::I64) }

    /// [`Tensor::count_nonzero`] over some dims.
    fn count_nonzero_dim(&self, dims: impl IntoSizes) -> Tensor {
        reduce(&as_truths(self.0)?, Kind::CountNonzero, Some(&dims.into_sizes()), false, DType::I64)
    }

    /// The sum over leading dims and over those that the size has as 1: what undoes broadcasting (`tensor.sum_to_size`).
    fn sum_to_size(&self, size: impl IntoSizes) -> Tensor {
        let size: Vec<usize> = size.into_sizes().iter().map(|&s| s as usize).collect();
        let shape = self.shape();
        ensure!(
            expandable(&size, &shape),
            Runtime,
            "size {{{size:?}}} is not expandable to size {{{:?}}}.",
            &shape[..]
        );
        if size.is_empty() {
            return self.sum();
        }
        let lead = shape.len() - size.len();
        let dims: Vec<isize> = (0..shape.len())
            .filter(|&d| d < lead || (size[d - lead] == 1 && shape[d] != 1))
            .map(|d| d as isize)
            .collect();
        let sum = if dims.is_empty() { self.0.clone() } else { self.sum_dim(dims, true)? };
        if lead == 0 { Ok(sum) } else { sum.checked().view(size) }
    }
}
