//! Running sums and products along a dim, and the products of all elements but one that their gradients need.

use super::compose::replace;
use super::on_gpu::{Temp, dense_as};
use super::reduce::Reduce;
use crate::cpu::complex;
use crate::cpu::number::Number;
use crate::cpu::scan::{ScanSpec, scan};
use crate::dtype::{DType, compute};
use crate::error::Result;
use crate::gpu::GpuView;
use crate::gpu::kernels::scan as kernels;
use crate::shape::wrap_dim;
use crate::stream::{CpuView, Kernel, Launch, OnComplex};
use crate::tensor::{Ctx, Grads, Meta, Op, OutSpec, Saves, Tensor, apply_one, methods, one_grad, to_dtype};
use num_complex::Complex;
use smallvec::SmallVec;
use std::sync::Arc;

/// The option of ops that can convert their input first.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default)]
pub struct DTypeOptions {
    /// Convert the input to this dtype first.
    pub dtype: Option<DType>,
}

impl DTypeOptions {
    /// All defaults.
    pub fn new() -> DTypeOptions {
        DTypeOptions::default()
    }
    /// Convert the input to this dtype first.
    pub fn dtype(mut self, dtype: DType) -> DTypeOptions {
        self.dtype = Some(dtype);
        self
    }
    /// The input in the dtype asked for.
    pub(crate) fn convert(&self, t: &Tensor) -> Tensor {
        match self.dtype {
            Some(d) if d != t.dtype() => to_dtype(t, d),
            _ => t.clone(),
        }
    }
}

impl From<()> for DTypeOptions {
    fn from(_: ()) -> DTypeOptions {
        DTypeOptions::default()
    }
}
impl From<DType> for DTypeOptions {
    fn from(dtype: DType) -> DTypeOptions {
        DTypeOptions { dtype: Some(dtype) }
    }
}

/// A running sum or product.
#[derive(Clone, Copy, Debug)]
struct Scan(ScanSpec);

impl Scan {
    fn run_cpu<T: Number<Acc: Number<Acc = T::Acc>>>(&self, x: &CpuView, out: &CpuView) {
        if out.dtype == T::DTYPE {
            scan(out.typed_mut::<T>(), x.typed::<T>(), self.0);
        } else {
            scan(out.typed_mut::<T::Acc>(), x.typed::<T>(), self.0);
        }
    }
}

impl Kernel for Scan {
    fn name(&self) -> &'static str {
        if self.0.product { "cumprod" } else { "cumsum" }
    }
    fn cpu(&self, ins: &[CpuView], outs: &[CpuView]) -> Result<()> {
        match ins[0].dtype {
            DType::C64 => complex::cumprod::<Complex<f32>>(outs[0].typed_mut(), ins[0].typed(), self.0),
            DType::C128 => complex::cumprod::<Complex<f64>>(outs[0].typed_mut(), ins[0].typed(), self.0),
            d => compute!(d, T => self.run_cpu::<T>(&ins[0], &outs[0])),
        }
        Ok(())
    }
    fn gpu(&self, launch: &mut Launch, ins: &[GpuView], outs: &[GpuView]) -> Result<bool> {
        let (x, out) = (&ins[0], &outs[0]);
        let there = match out.dtype {
            DType::F32 | DType::I64 => true,
            DType::F64 => launch.gpu.features.f64,
            _ => false,
        };
        if !there {
            return Ok(false);
        }
        // smaller integers are summed as int64
        let mut temp = Temp::default();
        let Some(x) = dense_as(launch, x, out.dtype, &mut temp)? else { return Ok(false) };
        let how = kernels::Scan { product: self.0.product, reverse: self.0.reverse };
        kernels::scan(launch.rec, &x, out, self.0.dim, how)?;
        Ok(true)
    }
    fn checks_data(&self) -> bool {
        false
    }
    fn on_complex(&self, rank: usize) -> OnComplex {
        // a running sum of one number is that number
        if self.0.product || rank == 0 {
            return OnComplex::Native;
        }
        OnComplex::Pairs { kernel: Arc::new(*self), spread: false }
    }
}

impl Op for Scan {
    fn node_name(&self) -> &'static str {
        if self.0.product { "CumprodBackward0" } else { "CumsumBackward0" }
    }
    fn infer(&self, ins: &[Meta]) -> Result<SmallVec<[OutSpec; 2]>> {
        let dtype = if ins[0].dtype.is_differentiable() { ins[0].dtype } else { DType::I64 };
        Ok(OutSpec::one(ins[0].shape.0.clone(), dtype))
    }
    fn saves(&self, _: u8) -> Saves {
        Saves { inputs: self.0.product as u8, outputs: 0 }
    }
    fn vjp(&self, cx: &Ctx) -> Result<Grads> {
        if !self.0.product {
            return Ok(one_grad(apply_one(Scan(ScanSpec { reverse: !self.0.reverse, ..self.0 }), &[cx.g()])?));
        }
        let x = cx.input(0)?;
        if x.dim() == 0 {
            return Ok(one_grad(cx.g().clone()));
        }
        // grad_i = prod(x[..i]) * r_i with r_i = g_i + x_{i+1} * r_{i+1}: exact at zeros, and differentiable again
        let d = self.0.dim as isize;
        let r = recurrence(&shift(&x, d, -1, 0.0)?, cx.g(), d)?;
        Ok(one_grad(exclusive(&x, d, false)?.checked().mul(&r)?))
    }
    fn kernel(self: Arc<Self>) -> Arc<dyn Kernel> {
        self
    }
}

/// The elements moved by `by` places along a dim, with `fill` where none arrives.
fn shift(x: &Tensor, d: isize, by: isize, fill: f64) -> Result<Tensor> {
    let n = x.size_of(d) as isize;
    let mut pad = x.shape().to_vec();
    pad[wrap_dim(d, x.dim())?] = by.unsigned_abs().min(n as usize);
    let pad = Tensor::constant(fill.into(), &pad, x.dtype(), x.device());
    if by.abs() >= n {
        return Ok(pad);
    }
    let rest = x.checked().narrow(d, if by < 0 { -by } else { 0 }, (n - by.abs()) as usize)?;
    super::cat::concatenate(&if by < 0 { [&rest, &pad] } else { [&pad, &rest] }, d)
}

/// r_i = b_i + a_i * r_{i+1}, by doubling.
fn recurrence(a: &Tensor, b: &Tensor, d: isize) -> Result<Tensor> {
    let (mut a, mut b) = (a.clone(), b.clone());
    let (n, mut by) = (a.size_of(d), 1);
    while by < n {
        b = b.checked().add(a.checked().mul(&shift(&b, d, -(by as isize), 0.0)?)?)?;
        a = a.checked().mul(&shift(&a, d, -(by as isize), 0.0)?)?;
        by *= 2;
    }
    Ok(b)
}

/// The product of the elements before each one (or after it), by doubling.
fn exclusive(x: &Tensor, d: isize, after: bool) -> Result<Tensor> {
    let sign = if after { -1 } else { 1 };
    let mut p = shift(x, d, sign, 1.0)?;
    let (n, mut by) = (x.size_of(d), 1);
    while by < n {
        p = p.checked().mul(&shift(&p, d, sign * by as isize, 1.0)?)?;
        by *= 2;
    }
    Ok(p)
}

/// The products of all reduced elements but one, in a form that can be differentiated again, also at zeros.
pub(crate) fn products_of_others(op: &Reduce, x: &Tensor) -> Result<Tensor> {
    if let [d] = op.dims()[..] {
        return exclusive(x, d, false)?.checked().mul(&exclusive(x, d, true)?);
    }
    let flat = x.checked().reshape(-1)?;
    let others = exclusive(&flat, 0, false)?.checked().mul(&exclusive(&flat, 0, true)?)?;
    others.checked().reshape(x.shape())
}

#[track_caller]
fn run(t: &Tensor, product: bool, dim: isize, options: DTypeOptions) -> Result<Tensor> {
    let dim = wrap_dim(dim, t.dim())?;
    let out = apply_one(Scan(ScanSpec { dim, product, reverse: false }), &[&options.convert(t)])?;
    // integers run in int64, which the dtype asked for cuts
    Ok(options.convert(&out))
}

methods! {
    /// Running sums along a dim (`torch.cumsum`); the option is a dtype.
    ///
    /// ```
    /// # use wgtorch::prelude::*;
    /// assert_eq!(tensor!([1, 2, 3]).cumsum(0, ()).to_vec::<i64>()?, [1, 3, 6]);
    /// # Ok::<(), Error>(())
    /// ```
    fn cumsum(&self, dim: isize, options: impl Into<DTypeOptions>) -> Tensor {
        run(self.0, false, dim, options.into())
    }

    /// Running products along a dim (`torch.cumprod`).
    fn cumprod(&self, dim: isize, options: impl Into<DTypeOptions>) -> Tensor {
        run(self.0, true, dim, options.into())
    }

    /// [`Tensor::cumsum`] in place.
    fn cumsum_(&self, dim: isize, options: impl Into<DTypeOptions>) -> Tensor {
        replace(self.0, &run(self.0, false, dim, options.into())?)
    }

    /// [`Tensor::cumprod`] in place.
    fn cumprod_(&self, dim: isize, options: impl Into<DTypeOptions>) -> Tensor {
        let before = self.copy()?;
        replace(self.0, &run(&before, true, dim, options.into())?)
    }
}
