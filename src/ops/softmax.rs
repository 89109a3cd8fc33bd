//! softmax, its logarithm and its gradient, each one kernel.

use super::on_gpu::{Temp, dense};
use super::scan::DTypeOptions;
use crate::cpu::softmax as k;
use crate::cpu::view::{View, ViewMut};
use crate::dtype::{DType, compute_float};
use crate::error::{Result, bail, ensure};
use crate::gpu::{self, GpuView};
use crate::shape::wrap_dim;
use crate::stream::{CpuView, Epilogue, Kernel, Launch};
use crate::tensor::{
    Ctx, Grads, Meta, Op, OutSpec, Saves, Tensor, apply_one, grad_enabled, methods, no_grads, one_grad,
};
use smallvec::SmallVec;
use std::sync::Arc;

/// softmax along a dim, or its logarithm.
#[derive(Clone, Copy, Debug)]
pub(super) struct Softmax {
    pub dim: usize,
    pub log: bool,
}

/// The gradient of a softmax's input, from the output's gradient and the output.
#[derive(Clone, Copy, Debug)]
struct SoftmaxGrad(Softmax);

/// A 0-dim view as one of one element.
fn lift<'a>(v: &CpuView<'a>) -> CpuView<'a> {
    if v.shape.is_empty() { CpuView { shape: &[1], strides: &[1], ..*v } } else { *v }
}

impl Kernel for Softmax {
    fn name(&self) -> &'static str {
        if self.log { "log_softmax" } else { "softmax" }
    }
    fn cpu(&self, ins: &[CpuView], outs: &[CpuView]) -> Result<()> {
        let (x, out) = (lift(&ins[0]), lift(&outs[0]));
        if x.shape.contains(&0) {
            return Ok(());
        }
        compute_float!(x.dtype, "softmax_lastdim_kernel_impl", T => {
            let (out, x): (ViewMut<T>, View<T>) = (out.typed_mut(), x.typed());
            k::softmax(out, x, self.dim, self.log);
        });
        Ok(())
    }
    fn gpu(&self, launch: &mut Launch, ins: &[GpuView], outs: &[GpuView]) -> Result<bool> {
        if ins[0].dtype != DType::F32 {
            return Ok(false);
        }
        let mut temp = Temp::default();
        let Some(x) = dense(launch, &ins[0], &mut temp)? else { return Ok(false) };
        gpu::kernels::softmax::softmax(launch.rec, &x, &outs[0], self.dim, self.log)?;
        Ok(true)
    }
    fn checks_data(&self) -> bool {
        false
    }
}

impl Op for Softmax {
    fn node_name(&self) -> &'static str {
        if self.log { "LogSoftmaxBackward0" } else { "SoftmaxBackward0" }
    }
    fn infer(&self, ins: &[Meta]) -> Result<SmallVec<[OutSpec; 2]>> {
        ensure!(
            ins[0].dtype.is_float(),
            NotImplemented,
            "\"{}_lastdim_kernel_impl\" not implemented for '{}'",
            self.name(),
            ins[0].dtype.scalar_name()
        );
        Ok(OutSpec::one(ins[0].shape.0.clone(), ins[0].dtype))
    }
    fn saves(&self, _: u8) -> Saves {
        Saves { inputs: 0, outputs: 1 }
    }
    fn vjp(&self, cx: &Ctx) -> Result<Grads> {
        let (g, y) = (cx.g(), cx.output(0)?);
        if !grad_enabled() && g.dtype() == y.dtype() {
            return Ok(one_grad(apply_one(SoftmaxGrad(*self), &[g, &y.detach()])?));
        }
        let d = self.dim as isize;
        let x = if self.log {
            let sum = g.checked().sum_dim(d, true)?;
            g.checked().sub(y.checked().exp()?.checked().mul(&sum)?)?
        } else {
            let sum = g.checked().mul(&y)?.checked().sum_dim(d, true)?;
            y.checked().mul(g.checked().sub(&sum)?)?
        };
        Ok(one_grad(x))
    }
    fn kernel(self: Arc<Self>) -> Arc<dyn Kernel> {
        self
    }
}

impl Kernel for SoftmaxGrad {
    fn name(&self) -> &'static str {
        if self.0.log { "log_softmax_backward" } else { "softmax_backward" }
    }
    fn cpu(&self, ins: &[CpuView], outs: &[CpuView]) -> Result<()> {
        let (g, y, out) = (lift(&ins[0]), lift(&ins[1]), lift(&outs[0]));
        if y.shape.contains(&0) {
            return Ok(());
        }
        compute_float!(y.dtype, "softmax_backward_lastdim_kernel_impl", T => {
            let out: ViewMut<T> = out.typed_mut();
            k::softmax_grad(out, g.typed::<T>(), y.typed::<T>(), self.0.dim, self.0.log);
        });
        Ok(())
    }
    fn gpu(&self, launch: &mut Launch, ins: &[GpuView], outs: &[GpuView]) -> Result<bool> {
        if ins.iter().any(|v| v.dtype != DType::F32) {
            return Ok(false);
        }
        let (mut a, mut b) = (Temp::default(), Temp::default());
        let (Some(g), Some(y)) = (dense(launch, &ins[0], &mut a)?, dense(launch, &ins[1], &mut b)?) else {
            return Ok(false);
        };
        gpu::kernels::softmax::softmax_grad(launch.rec, &y, &g, &outs[0], self.0.dim, self.0.log)?;
        Ok(true)
    }
    fn checks_data(&self) -> bool {
        false
    }
    fn epilogue(&self) -> Option<Epilogue> {
        self.0.log.then_some(Epilogue::LogSoftmaxGrad { dim: self.0.dim })
    }
}

impl Op for SoftmaxGrad {
    fn node_name(&self) -> &'static str {
        if self.0.log { "LogSoftmaxBackwardDataBackward0" } else { "SoftmaxBackwardDataBackward0" }
    }
    fn infer(&self, ins: &[Meta]) -> Result<SmallVec<[OutSpec; 2]>> {
        Ok(OutSpec::one(ins[1].shape.0.clone(), ins[1].dtype))
    }
    fn saves(&self, _: u8) -> Saves {
        Saves::NONE
    }
    fn vjp(&self, _: &Ctx) -> Result<Grads> {
        // the recorded form of the gradient is a composition of other ops
        if grad_enabled() {
            bail!(NotImplemented, "{}: run it without recording", self.name());
        }
        Ok(no_grads(2))
    }
    fn kernel(self: Arc<Self>) -> Arc<dyn Kernel> {
        self
    }
}

#[track_caller]
fn softmax(t: &Tensor, dim: isize, log: bool, options: DTypeOptions) -> Result<Tensor> {
    let dim = wrap_dim(dim, t.dim())?;
    apply_one(Softmax { dim, log }, &[&options.convert(t)])
}

methods! {
    /// exp(x) / sum(exp(x)) along a dim, without overflow (`torch.softmax`); the option is a dtype.
    ///
    /// ```
    /// # use wgtorch::prelude::*;
    /// assert_eq!(tensor!([[0., 0.], [1., 3.]]).softmax(1, ()).to_vec::<f32>()?[..2], [0.5, 0.5]);
    /// # Ok::<(), Error>(())
    /// ```
    fn softmax(&self, dim: isize, options: impl Into<DTypeOptions>) -> Tensor {
        softmax(self.0, dim, false, options.into())
    }

    /// The logarithm of [`Tensor::softmax`] (`torch.log_softmax`).
    fn log_softmax(&self, dim: isize, options: impl Into<DTypeOptions>) -> Tensor {
        softmax(self.0, dim, true, options.into())
    }

    /// The softmax of `-x` (`torch.nn.functional.softmin`).
    fn softmin(&self, dim: isize, options: impl Into<DTypeOptions>) -> Tensor {
        let negative = self.neg()?;
        softmax(&negative, dim, false, options.into())
    }
}
