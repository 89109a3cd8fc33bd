//! Running extrema and running log-sum-exp along a dim.

use super::index_checks::lift;
use crate::cpu::lines;
use crate::dtype::{DType, compute, compute_float};
use crate::error::{Result, ensure};
use crate::gpu::GpuView;
use crate::shape::wrap_dim;
use crate::stream::{CpuView, Kernel, Launch};
use crate::tensor::{Ctx, Grads, In, Meta, Op, OutSpec, Saves, Tensor, apply, apply_one, methods, one_grad};
use smallvec::SmallVec;
use std::sync::Arc;

/// The greatest or least element so far, and where it is.
#[derive(Clone, Copy, Debug)]
struct Extrema {
    dim: usize,
    least: bool,
}

impl Kernel for Extrema {
    fn name(&self) -> &'static str {
        if self.least { "cummin" } else { "cummax" }
    }
    fn cpu(&self, ins: &[CpuView], outs: &[CpuView]) -> Result<()> {
        let (x, values, indices) = (lift(&ins[0]), lift(&outs[0]), lift(&outs[1]));
        compute!(x.dtype, T => {
            lines::extrema::<T>(values.typed_mut(), indices.typed_mut(), x.typed(), self.dim, self.least);
        });
        Ok(())
    }
    fn gpu(&self, _: &mut Launch, _: &[GpuView], _: &[GpuView]) -> Result<bool> {
        Ok(false)
    }
    fn checks_data(&self) -> bool {
        false
    }
}

impl Op for Extrema {
    fn node_name(&self) -> &'static str {
        if self.least { "CumminBackward0" } else { "CummaxBackward0" }
    }
    fn infer(&self, ins: &[Meta]) -> Result<SmallVec<[OutSpec; 2]>> {
        let shape = &ins[0].shape.0;
        Ok([OutSpec { shape: shape.clone(), dtype: ins[0].dtype }, OutSpec { shape: shape.clone(), dtype: DType::I64 }]
            .into_iter()
            .collect())
    }
    fn saves(&self, _: u8) -> Saves {
        Saves { inputs: 0, outputs: 0b10 }
    }
    fn vjp(&self, cx: &Ctx) -> Result<Grads> {
        let zeros = Tensor::zeros_of(&cx.input_meta(0));
        if zeros.numel() == 0 || zeros.dim() == 0 {
            return Ok(one_grad(cx.g().clone()));
        }
        Ok(one_grad(zeros.checked().scatter_add(self.dim as isize, &cx.output(1)?, cx.g())?))
    }
    fn kernel(self: Arc<Self>) -> Arc<dyn Kernel> {
        self
    }
}

/// The logarithm of the sum of exponentials so far.
#[derive(Clone, Copy, Debug)]
struct LogSums {
    dim: usize,
}

impl Kernel for LogSums {
    fn name(&self) -> &'static str {
        "logcumsumexp"
    }
    fn cpu(&self, ins: &[CpuView], outs: &[CpuView]) -> Result<()> {
        let (x, out) = (lift(&ins[0]), lift(&outs[0]));
        compute_float!(x.dtype, "logcumsumexp_out_cpu", T => {
            lines::log_sums::<T>(out.typed_mut(), x.typed(), self.dim);
        });
        Ok(())
    }
    fn gpu(&self, _: &mut Launch, _: &[GpuView], _: &[GpuView]) -> Result<bool> {
        Ok(false)
    }
    fn checks_data(&self) -> bool {
        false
    }
}

impl Op for LogSums {
    fn node_name(&self) -> &'static str {
        "LogcumsumexpBackward0"
    }
    fn infer(&self, ins: &[Meta]) -> Result<SmallVec<[OutSpec; 2]>> {
        ensure!(
            ins[0].dtype.is_float(),
            NotImplemented,
            "\"logcumsumexp_out_cpu\" not implemented for '{}'",
            ins[0].dtype.scalar_name()
        );
        Ok(OutSpec::one(ins[0].shape.0.clone(), ins[0].dtype))
    }
    fn saves(&self, _: u8) -> Saves {
        Saves { inputs: 1, outputs: 1 }
    }
    fn vjp(&self, cx: &Ctx) -> Result<Grads> {
        // exp(x_i) times the sum of g_k exp(-out_k) from i on, by logarithms; positive and negative parts apart
        let (x, out, g) = (cx.input(0)?, cx.output(0)?, cx.g());
        if x.dim() == 0 {
            return Ok(one_grad(g.clone()));
        }
        // sums of nothing but -inf, whose terms are -inf too: without inf - inf their gradient is 0
        let out = out.checked().masked_fill(&out.detach().checked().eq(f64::NEG_INFINITY)?, 0)?;
        let d = self.dim as isize;
        let least = Tensor::constant(f64::NEG_INFINITY.into(), &[], g.dtype(), g.device());
        let part = |g: &Tensor| -> Result<Tensor> {
            let log = super::pointwise::select(&g.checked().gt(0)?, In::T(&g.checked().log()?), In::T(&least))?;
            let terms = log.checked().sub(&out)?.checked().flip([d])?;
            let sums = terms.checked().logcumsumexp(d)?.checked().flip([d])?;
            sums.checked().add(&x)?.checked().exp()
        };
        Ok(one_grad(part(g)?.checked().sub(&part(&g.checked().neg()?)?)?))
    }
    fn kernel(self: Arc<Self>) -> Arc<dyn Kernel> {
        self
    }
}

#[track_caller]
fn extrema(t: &Tensor, dim: isize, least: bool) -> Result<(Tensor, Tensor)> {
    let mut outs = apply(Extrema { dim: wrap_dim(dim, t.dim())?, least }, &[t])?.into_iter();
    match (outs.next(), outs.next()) {
        (Some(values), Some(indices)) => Ok((values, indices)),
        _ => unreachable!("running extrema have two results"),
    }
}

methods! {
    /// The greatest element so far along a dim, and where it is (`torch.cummax`): the last of equal ones; NaN wins.
    ///
    /// ```
    /// # use wgtorch::prelude::*;
    /// let (values, indices) = tensor!([1., 3., 2., 3.]).cummax(0);
    /// assert_eq!(values.to_vec::<f32>()?, [1., 3., 3., 3.]);
    /// assert_eq!(indices.to_vec::<i64>()?, [0, 1, 1, 3]);
    /// # Ok::<(), Error>(())
    /// ```
    fn cummax(&self, dim: isize) -> (Tensor, Tensor) { extrema(self.0, dim, false) }

    /// The least element so far along a dim, and where it is (`torch.cummin`).
    fn cummin(&self, dim: isize) -> (Tensor, Tensor) { extrema(self.0, dim, true) }

    /// The logarithm of the running sum of exponentials along a dim, without overflow (`torch.logcumsumexp`).
    ///
    /// # Panics
    /// If the dtype is no float.
    fn logcumsumexp(&self, dim: isize) -> Tensor {
        apply_one(LogSums { dim: wrap_dim(dim, self.dim())? }, &[self.0])
    }
}
