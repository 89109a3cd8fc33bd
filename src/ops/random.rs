//! Random numbers: PyTorch's generator on the CPU, Philox on GPUs.
//!
//! An op takes its place in the generator's sequence when it is called, even if its result is later dropped.

use super::create::empty;
use crate::cpu::memory::HostBuf;
use crate::dtype::{DType, Element};
use crate::error::{Result, bail, ensure};
use crate::gpu::GpuView;
use crate::gpu::kernels::random::{Draw, random};
use crate::rng::{self, philox::PhiloxKey};
use crate::shape::{Dims, Shape};
use crate::stream::{CpuView, Kernel, Launch, Storage};
use crate::tensor::{
    Ctx, Grads, Meta, Op, OutSpec, Saves, Tensor, TensorOptions, apply_on, methods, no_grad_guard, no_grads, to_dtype,
    unwrap,
};
use smallvec::SmallVec;
use std::sync::Arc;

pub use crate::rng::{RngState, get_rng_state, initial_seed, manual_seed, seed, set_rng_state};

/// A draw by Philox, whose numbers depend on seed, place in the sequence and element index alone.
#[derive(Debug)]
struct Philox {
    key: PhiloxKey,
    draw: Draw,
    shape: Dims,
    dtype: DType,
}

impl Philox {
    fn fill<T: Element>(&self, out: &CpuView) {
        let out = out.typed_mut::<T>();
        for i in 0..out.numel() {
            let index = i as u32;
            let x = match self.draw {
                Draw::Uniform(a, b) => {
                    let x = self.key.uniform(index) * (b - a) + a;
                    if x >= b { a } else { x }
                }
                Draw::Normal(mean, std) => self.key.normal(index) * std + mean,
                Draw::Bernoulli(p) => f32::from(self.key.uniform(index) < p),
            };
            // SAFETY: outputs of ops are contiguous.
            unsafe { out.put(i, T::from_scalar(x.into())) };
        }
    }
}

impl Kernel for Philox {
    fn name(&self) -> &'static str {
        match self.draw {
            Draw::Uniform(..) => "uniform_",
            Draw::Normal(..) => "normal_",
            Draw::Bernoulli(..) => "bernoulli_",
        }
    }
    fn cpu(&self, _: &[CpuView], outs: &[CpuView]) -> Result<()> {
        crate::dtype::dispatch!(self.dtype, T => self.fill::<T>(&outs[0]));
        Ok(())
    }
    fn gpu(&self, launch: &mut Launch, _: &[GpuView], outs: &[GpuView]) -> Result<bool> {
        if self.dtype != DType::F32 {
            return Ok(false);
        }
        random(launch.rec, self.key, self.draw, &outs[0])?;
        Ok(true)
    }
    fn every_dtype(&self) -> bool {
        true
    }
    fn checks_data(&self) -> bool {
        false
    }
}

impl Op for Philox {
    fn node_name(&self) -> &'static str {
        "NotDifferentiable"
    }
    fn infer(&self, _: &[Meta]) -> Result<SmallVec<[OutSpec; 2]>> {
        Ok(OutSpec::one(self.shape.clone(), self.dtype))
    }
    fn saves(&self, _: u8) -> Saves {
        Saves::NONE
    }
    fn vjp(&self, _: &Ctx) -> Result<Grads> {
        Ok(no_grads(0))
    }
    fn kernel(self: Arc<Self>) -> Arc<dyn Kernel> {
        self
    }
}

fn philox(t: &Tensor, draw: Draw) -> Result<Tensor> {
    let key = rng::default_gpu().lock().next_op();
    let op = Philox { key, draw, shape: t.shape().0, dtype: t.dtype() };
    let mut drawn = apply_on(op, &[], t.device())?;
    t.checked().copy_(&drawn.swap_remove(0))
}

/// Overwrites a CPU tensor with host values in row-major order.
fn write_host<T: Element>(t: &Tensor, fill: impl FnOnce(&mut [T]) -> Result<()>) -> Result<Tensor> {
    let mut v = vec![T::default(); t.numel()];
    fill(&mut v)?;
    let host = Tensor::from_storage(Storage::from_host(T::DTYPE, HostBuf::from_vec(v)), &t.shape(), T::DTYPE);
    t.checked().copy_(&host)
}

fn floating(t: &Tensor, name: &str) -> Result<()> {
    let d = t.dtype();
    ensure!(d.is_float(), NotImplemented, "\"{name}\" not implemented for '{}'", d.scalar_name());
    Ok(())
}

methods! {
    /// Overwrites the elements with uniform numbers from [from, to) (`tensor.uniform_`).
    ///
    /// # Panics
    /// If the dtype is no float, or the range is turned round.
    fn uniform_(&self, from: f64, to: f64) -> Tensor {
        if self.is_complex() {
            // each part by itself
            let _no_grad = no_grad_guard();
            self.view_as_real()?.checked().uniform_(from, to)?;
            return Ok(self.0.clone());
        }
        ensure!(from <= to, Runtime, "uniform_ expects to return a [from, to) range, but found from={from} > to={to}");
        if self.device().is_gpu() {
            floating(self.0, "uniform")?;
            return philox(self.0, Draw::Uniform(from as f32, to as f32));
        }
        let mut generator = rng::default_cpu().lock();
        match self.dtype() {
            DType::F32 => write_host::<f32>(self.0, |v| { generator.uniform_f32(v, from as f32, to as f32); Ok(()) }),
            DType::F64 => write_host::<f64>(self.0, |v| { generator.uniform_f64(v, from, to); Ok(()) }),
            DType::F16 => write_host::<half::f16>(self.0, |v| {
                generator.uniform_f16(v, half::f16::from_f64(from), half::f16::from_f64(to));
                Ok(())
            }),
            DType::BF16 => write_host::<half::bf16>(self.0, |v| {
                generator.uniform_bf16(v, half::bf16::from_f64(from), half::bf16::from_f64(to));
                Ok(())
            }),
            d => bail!(NotImplemented, "\"check_uniform_bounds\" not implemented for '{}'", d.scalar_name()),
        }
    }

    /// Overwrites the elements with normal numbers (`tensor.normal_`).
    ///
    /// # Panics
    /// If the dtype is neither float32 nor float64, or `std` is negative.
    fn normal_(&self, mean: f64, std: f64) -> Tensor {
        if self.is_complex() {
            // each part has half of the variance
            let _no_grad = no_grad_guard();
            let parts = self.view_as_real()?;
            parts.checked().normal_(0.0, std * std::f64::consts::FRAC_1_SQRT_2)?;
            if mean != 0.0 {
                parts.checked().select(-1, 0)?.checked().add_(mean)?;
            }
            return Ok(self.0.clone());
        }
        ensure!(std >= 0.0, Runtime, "normal expects std >= 0.0, but found std {std}");
        if self.device().is_gpu() {
            floating(self.0, "normal")?;
            return philox(self.0, Draw::Normal(mean as f32, std as f32));
        }
        let mut generator = rng::default_cpu().lock();
        match self.dtype() {
            DType::F32 => write_host::<f32>(self.0, |v| { generator.normal_f32(v, mean, std); Ok(()) }),
            DType::F64 => write_host::<f64>(self.0, |v| { generator.normal_f64(v, mean, std); Ok(()) }),
            d => bail!(NotImplemented, "\"normal_kernel_cpu\" not implemented for '{}'", d.scalar_name()),
        }
    }

    /// Ones with each element's own probability, else zeros (`torch.bernoulli`).
    ///
    /// # Panics
    /// If the dtype is no float or, on the CPU, a probability is outside [0, 1]; a GPU takes it as the nearest of them.
    fn bernoulli(&self) -> Tensor {
        floating(self.0, "bernoulli_tensor_cpu_p_")?;
        let _no_grad = no_grad_guard();
        if self.device().is_gpu() {
            let draws = empty(self.shape(), (DType::F32, self.device())).checked().uniform_(0.0, 1.0)?;
            return Ok(to_dtype(&draws.checked().lt(self.0)?, self.dtype()));
        }
        let host = empty(self.shape(), DType::Bool);
        let mut generator = rng::default_cpu().lock();
        if self.dtype() == DType::F64 {
            let p = self.to_vec::<f64>()?;
            write_host::<bool>(&host, |v| generator.bernoulli_each_f64(v, &p))?;
        } else {
            let p = to_dtype(self.0, DType::F32).checked().to_vec::<f32>()?;
            write_host::<bool>(&host, |v| generator.bernoulli_each_f32(v, &p))?;
        }
        Ok(to_dtype(&host, self.dtype()))
    }

    /// Overwrites the elements with exponential numbers of rate `lambda` (`tensor.exponential_`).
    ///
    /// # Panics
    /// If the dtype is no float, or `lambda` is not positive.
    fn exponential_(&self, lambda: f64) -> Tensor {
        floating(self.0, "exponential_")?;
        ensure!(lambda > 0.0, Runtime, "exponential_ expects lambda > 0.0, but found lambda={lambda}");
        if self.device().is_gpu() {
            let draws = empty(self.shape(), (DType::F32, self.device())).checked().uniform_(0.0, 1.0)?;
            return self.copy_(&draws.checked().neg()?.checked().log1p()?.checked().div(-lambda)?);
        }
        let host = empty(self.shape(), DType::F64);
        write_host::<f64>(&host, |v| rng::default_cpu().lock().exponential(v, lambda))?;
        self.copy_(&host)
    }

    /// Overwrites the elements with ones (probability `p`) and zeros (`tensor.bernoulli_`).
    ///
    /// # Panics
    /// If `p` is outside [0, 1].
    fn bernoulli_(&self, p: f64) -> Tensor {
        ensure!((0.0..=1.0).contains(&p), Runtime, "bernoulli_ expects p to be in [0, 1], but got p={p}");
        if self.device().is_gpu() {
            return philox(self.0, Draw::Bernoulli(p as f32));
        }
        let host = empty(self.shape(), DType::Bool);
        write_host::<bool>(&host, |v| rng::default_cpu().lock().bernoulli(v, p))?;
        self.copy_(&host)
    }

    /// Zeros with probability `p`, the other elements times `1 / (1 - p)`; the tensor itself where not `train` (`torch.dropout`).
    fn dropout(&self, p: f64, train: bool) -> Tensor {
        ensure!((0.0..=1.0).contains(&p), Value, "dropout probability has to be between 0 and 1, but got {p}");
        if !train || p == 0.0 || self.numel() == 0 {
            return Ok(self.0.clone());
        }
        if p == 1.0 {
            return self.mul(0.0);
        }
        let noise = {
            let _no_grad = no_grad_guard();
            let noise = empty(self.shape(), (self.dtype(), self.device()));
            noise.checked().bernoulli_(1.0 - p)?.checked().div_(1.0 - p)?
        };
        self.mul(&noise)
    }
}

/// Uniform numbers from [0, 1) (`torch.rand`).
///
/// # Panics
/// If the dtype is no float, or the device cannot be opened.
#[track_caller]
pub fn rand(shape: impl Into<Shape>, options: impl Into<TensorOptions>) -> Tensor {
    let options = options.into();
    let t = empty(shape, TensorOptions { requires_grad: false, ..options }).uniform_(0.0, 1.0);
    t.requires_grad_(options.requires_grad)
}

/// Standard normal numbers (`torch.randn`).
///
/// # Panics
/// As [`rand`].
#[track_caller]
pub fn randn(shape: impl Into<Shape>, options: impl Into<TensorOptions>) -> Tensor {
    let options = options.into();
    let t = empty(shape, TensorOptions { requires_grad: false, ..options }).normal_(0.0, 1.0);
    t.requires_grad_(options.requires_grad)
}

/// Integers from `low` up to, not including, `high` (`torch.randint`), int64 by default. Drawn on the CPU for every device.
///
/// # Panics
/// If the range is empty.
#[track_caller]
pub fn randint(low: i64, high: i64, shape: impl Into<Shape>, options: impl Into<TensorOptions>) -> Tensor {
    let shape = shape.into();
    let mut v = vec![0i64; shape.numel()];
    unwrap(rng::default_cpu().lock().randint(&mut v, low, high));
    unwrap(Tensor::from_vec(v, shape, options))
}

/// A random order of `0..n` (`torch.randperm`), int64 by default. Drawn on the CPU for every device.
#[track_caller]
pub fn randperm(n: usize, options: impl Into<TensorOptions>) -> Tensor {
    let v = rng::default_cpu().lock().randperm(n);
    unwrap(Tensor::from_vec(v, [n], options))
}
