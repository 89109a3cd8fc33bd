//! Layer normalisation: one kernel forward; its gradient is one kernel on the CPU, and on GPUs one for the input and fused
//! reductions for the rest.

use super::on_gpu::{Temp, dense};
use super::operand::MaybeTensor;
use super::views::IntoSizes;
use crate::cpu::norm as k;
use crate::cpu::number::Number;
use crate::cpu::simd::SendPtr;
use crate::dtype::{DType, compute_float};
use crate::error::{Result, bail, ensure};
use crate::gpu::{self, GpuView};
use crate::shape::{Dims, numel};
use crate::stream::{CpuView, Kernel, Launch};
use crate::tensor::{Ctx, Grads, Meta, Op, OutSpec, Saves, Tensor, apply, grad_enabled, methods, no_grads};
use smallvec::SmallVec;
use std::sync::Arc;

/// Options of [`Tensor::layer_norm`].
#[non_exhaustive]
#[derive(Clone, Debug)]
pub struct LayerNormOptions {
    /// Factors, of the normalized shape.
    pub weight: Option<Tensor>,
    /// Terms, of the normalized shape.
    pub bias: Option<Tensor>,
    /// Added to the variance.
    pub eps: f64,
}

impl LayerNormOptions {
    /// No weight, no bias, `eps` 1e-5.
    pub fn new() -> LayerNormOptions {
        LayerNormOptions { weight: None, bias: None, eps: 1e-5 }
    }
    /// With factors.
    pub fn weight(mut self, weight: impl Into<MaybeTensor>) -> Self {
        self.weight = weight.into().0;
        self
    }
    /// With terms.
    pub fn bias(mut self, bias: impl Into<MaybeTensor>) -> Self {
        self.bias = bias.into().0;
        self
    }
    /// With another term against division by zero.
    pub fn eps(mut self, eps: f64) -> Self {
        self.eps = eps;
        self
    }
}

impl Default for LayerNormOptions {
    fn default() -> LayerNormOptions {
        LayerNormOptions::new()
    }
}
impl From<()> for LayerNormOptions {
    fn from(_: ()) -> LayerNormOptions {
        LayerNormOptions::new()
    }
}

/// Inputs: `x`, then the weight and the bias that are there; outputs: the result, means and reciprocal standard deviations.
#[derive(Clone, Copy, Debug)]
struct LayerNorm {
    /// How many trailing dims are normalised.
    dims: usize,
    weight: bool,
    bias: bool,
    eps: f64,
}

impl LayerNorm {
    /// Weight and bias among the inputs.
    fn split<'a, T>(&self, ins: &'a [T]) -> (Option<&'a T>, Option<&'a T>) {
        (self.weight.then(|| &ins[1]), self.bias.then(|| &ins[1 + usize::from(self.weight)]))
    }

    /// The normalised dims, from the end.
    fn trailing(&self) -> Vec<isize> {
        (1..=self.dims as isize).rev().map(|d| -d).collect()
    }
}

impl Kernel for LayerNorm {
    fn name(&self) -> &'static str {
        "layer_norm"
    }
    fn cpu(&self, ins: &[CpuView], outs: &[CpuView]) -> Result<()> {
        let x = &ins[0];
        if x.shape.contains(&0) {
            return Ok(());
        }
        let n = numel(&x.shape[x.shape.len() - self.dims..]);
        let (weight, bias) = self.split(ins);
        compute_float!(x.dtype, "LayerNormKernelImpl", T => {
            let ptr = |v: &CpuView| SendPtr(v.ptr.cast::<T>());
            let p = k::LayerNorm {
                x: ptr(x),
                weight: weight.map(ptr),
                bias: bias.map(ptr),
                out: ptr(&outs[0]),
                mean: ptr(&outs[1]),
                rstd: ptr(&outs[2]),
                rows: numel(x.shape) / n,
                n,
                eps: self.eps,
            };
            // SAFETY: the inputs were made contiguous, the outputs are new.
            unsafe { k::layer_norm(&p) };
        });
        Ok(())
    }
    fn gpu(&self, launch: &mut Launch, ins: &[GpuView], outs: &[GpuView]) -> Result<bool> {
        if ins.iter().any(|v| v.dtype != DType::F32) {
            return Ok(false);
        }
        let mut temps = [Temp::default(), Temp::default(), Temp::default()];
        let mut given: SmallVec<[GpuView; 3]> = SmallVec::new();
        for (v, temp) in ins.iter().zip(&mut temps) {
            let Some(v) = dense(launch, v, temp)? else { return Ok(false) };
            given.push(v);
        }
        let (weight, bias) = self.split(&given);
        let shape = ins[0].shape;
        let p = gpu::kernels::norm::LayerNorm {
            x: given[0],
            weight: weight.copied(),
            bias: bias.copied(),
            out: [outs[0], outs[1], outs[2]],
            n: numel(&shape[shape.len() - self.dims..]),
            eps: self.eps,
        };
        gpu::kernels::norm::layer_norm(launch.rec, &p)?;
        Ok(true)
    }
    fn checks_data(&self) -> bool {
        false
    }
}

impl Op for LayerNorm {
    fn node_name(&self) -> &'static str {
        "NativeLayerNormBackward0"
    }
    fn infer(&self, ins: &[Meta]) -> Result<SmallVec<[OutSpec; 2]>> {
        let x = &ins[0];
        ensure!(
            x.dtype.is_float(),
            NotImplemented,
            "\"LayerNormKernelImpl\" not implemented for '{}'",
            x.dtype.scalar_name()
        );
        for v in &ins[1..] {
            ensure!(
                v.dtype == x.dtype,
                Runtime,
                "expected scalar type {} but found {}",
                x.dtype.scalar_name(),
                v.dtype.scalar_name()
            );
        }
        let mut kept: Dims = x.shape.0.clone();
        let lead = kept.len() - self.dims;
        kept[lead..].fill(1);
        // statistics of 16-bit floats stay in what they are computed in
        let wide = if x.dtype == DType::F64 { DType::F64 } else { DType::F32 };
        let statistics = OutSpec { shape: kept, dtype: wide };
        Ok([OutSpec { shape: x.shape.0.clone(), dtype: x.dtype }, statistics.clone(), statistics].into_iter().collect())
    }
    fn saves(&self, needs: u8) -> Saves {
        // the bias's gradient reads nothing
        let bias = 1u8 << (1 + usize::from(self.weight));
        if needs & !(if self.bias { bias } else { 0 }) == 0 {
            return Saves::NONE;
        }
        Saves { inputs: if self.weight { 0b11 } else { 0b1 }, outputs: 0b110 }
    }
    fn vjp(&self, cx: &Ctx) -> Result<Grads> {
        let g = cx.g();
        let mut grads = no_grads(cx.count());
        let (dims, rows) = (self.trailing(), (0..(g.dim() - self.dims) as isize).collect::<Vec<_>>());
        let over_rows =
            |t: &Tensor| if rows.is_empty() { Ok(t.clone()) } else { t.checked().sum_dim(&rows[..], false) };
        let bias_at = 1 + usize::from(self.weight);
        let others = cx.needs(0) || self.weight && cx.needs(1);
        // on a GPU a few fused kernels, on the CPU one; a gradient that is recorded is made of ops that have derivatives
        let plain = matches!(g.dtype(), DType::F32 | DType::F64) && g.numel() > 0;
        if others && plain && !g.device().is_gpu() && !grad_enabled() {
            let (g, x, mean, rstd) = (g.checked().contiguous()?, cx.input(0)?, cx.output(1)?, cx.output(2)?);
            let weight = if self.weight { Some(cx.input(1)?) } else { None };
            let mut ins: SmallVec<[&Tensor; 5]> = [&g, &x, &mean, &rstd].into_iter().collect();
            ins.extend(&weight);
            let found = apply(LayerNormGrad(*self), &ins)?;
            let at = [Some(0), self.weight.then_some(1), self.bias.then_some(bias_at)];
            for (gradient, at) in found.into_iter().zip(at) {
                if let Some(at) = at.filter(|&at| cx.needs(at)) {
                    grads[at] = Some(gradient);
                }
            }
            return Ok(grads);
        }
        if self.bias && cx.needs(bias_at) {
            grads[bias_at] = Some(over_rows(g)?);
        }
        if !others {
            return Ok(grads);
        }
        let x = cx.input(0)?;
        let (mean, rstd) = if grad_enabled() {
            // a gradient of the gradient goes through the statistics too
            let mean = x.checked().mean_dim(&dims[..], true)?;
            let gap = x.checked().sub(&mean)?;
            let var = gap.checked().mul(&gap)?.checked().mean_dim(&dims[..], true)?;
            (mean, var.checked().add(self.eps)?.checked().rsqrt()?)
        } else {
            (cx.output(1)?, cx.output(2)?)
        };
        let normal = x.checked().sub(&mean)?.checked().mul(&rstd)?;
        if self.weight && cx.needs(1) {
            grads[1] = Some(over_rows(&g.checked().mul(&normal)?)?);
        }
        let n = numel(&g.shape()[rows.len()..]);
        if cx.needs(0) && g.dtype() == DType::F32 && g.device().is_gpu() && !grad_enabled() && pays(n) {
            let weight = if self.weight { Some(cx.input(1)?) } else { None };
            let mut ins: SmallVec<[&Tensor; 5]> = [g, &x, &mean, &rstd].into_iter().collect();
            ins.extend(&weight);
            grads[0] = Some(apply(LayerNormInputGrad(*self), &ins)?.swap_remove(0));
        } else if cx.needs(0) {
            let g = if self.weight { g.checked().mul(cx.input(1)?)? } else { g.clone() };
            let shift = g.checked().mean_dim(&dims[..], true)?;
            let slope = g.checked().mul(&normal)?.checked().mean_dim(&dims[..], true)?;
            let rest = g.checked().sub(&shift)?.checked().sub(normal.checked().mul(&slope)?)?;
            grads[0] = Some(rest.checked().mul(&rstd)?);
        }
        Ok(grads)
    }
    fn kernel(self: Arc<Self>) -> Arc<dyn Kernel> {
        self
    }
}

/// Inputs: the result's gradient, what was normalised, means, reciprocal standard deviations, then the weight if there is
/// one; outputs: the gradients of input, weight and bias.
#[derive(Clone, Copy, Debug)]
struct LayerNormGrad(LayerNorm);

impl Kernel for LayerNormGrad {
    fn name(&self) -> &'static str {
        "layer_norm_backward"
    }
    fn cpu(&self, ins: &[CpuView], outs: &[CpuView]) -> Result<()> {
        let x = &ins[1];
        let n = numel(&x.shape[x.shape.len() - self.0.dims..]);
        compute_float!(x.dtype, "LayerNormBackwardKernelImpl", T => {
            let ptr = |v: &CpuView| SendPtr(v.ptr.cast::<T>());
            let p = k::LayerNormGrad {
                grad: ptr(&ins[0]),
                x: ptr(x),
                mean: ptr(&ins[2]),
                rstd: ptr(&ins[3]),
                weight: ins.get(4).map(ptr),
                gx: ptr(&outs[0]),
                gw: ptr(&outs[1]),
                gb: ptr(&outs[2]),
                rows: numel(x.shape) / n,
                n,
            };
            // SAFETY: the inputs were made contiguous and have elements, the outputs are new.
            unsafe { k::layer_norm_grad(&p) };
        });
        Ok(())
    }
    fn gpu(&self, _: &mut Launch, _: &[GpuView], _: &[GpuView]) -> Result<bool> {
        // no GPU's gradient comes here
        Ok(false)
    }
    fn checks_data(&self) -> bool {
        false
    }
}

impl Op for LayerNormGrad {
    fn node_name(&self) -> &'static str {
        "NativeLayerNormBackwardBackward0"
    }
    fn infer(&self, ins: &[Meta]) -> Result<SmallVec<[OutSpec; 2]>> {
        let (shape, dtype) = (&ins[1].shape.0, ins[1].dtype);
        let row = OutSpec { shape: Dims::from_slice(&shape[shape.len() - self.0.dims..]), dtype };
        Ok([OutSpec { shape: shape.clone(), dtype }, row.clone(), row].into_iter().collect())
    }
    fn saves(&self, _: u8) -> Saves {
        Saves::NONE
    }
    fn vjp(&self, _: &Ctx) -> Result<Grads> {
        bail!(NotImplemented, "{}: run it without recording", self.name());
    }
    fn kernel(self: Arc<Self>) -> Arc<dyn Kernel> {
        self
    }
}

/// Whether a row is long enough, and lies well enough, for a kernel of its gradient on every kind of GPU.
fn pays(n: usize) -> bool {
    n >= 64 && n.is_multiple_of(4)
}

/// The first output of [`LayerNormGrad`] alone, on GPUs.
#[derive(Clone, Copy, Debug)]
struct LayerNormInputGrad(LayerNorm);

impl Kernel for LayerNormInputGrad {
    fn name(&self) -> &'static str {
        "layer_norm_backward"
    }
    fn cpu(&self, ins: &[CpuView], outs: &[CpuView]) -> Result<()> {
        let x = &ins[1];
        let n = numel(&x.shape[x.shape.len() - self.0.dims..]);
        compute_float!(x.dtype, "LayerNormBackwardKernelImpl", T => {
            let (mut gw, mut gb) = (vec![T::ZERO; n], vec![T::ZERO; n]);
            let ptr = |v: &CpuView| SendPtr(v.ptr.cast::<T>());
            let p = k::LayerNormGrad {
                grad: ptr(&ins[0]),
                x: ptr(x),
                mean: ptr(&ins[2]),
                rstd: ptr(&ins[3]),
                weight: ins.get(4).map(ptr),
                gx: ptr(&outs[0]),
                gw: SendPtr(gw.as_mut_ptr()),
                gb: SendPtr(gb.as_mut_ptr()),
                rows: numel(x.shape) / n,
                n,
            };
            // SAFETY: the inputs were made contiguous and have elements, the output is new, the rest are the two vectors.
            unsafe { k::layer_norm_grad(&p) };
        });
        Ok(())
    }
    fn gpu(&self, launch: &mut Launch, ins: &[GpuView], outs: &[GpuView]) -> Result<bool> {
        let mut temps: [Temp; 5] = std::array::from_fn(|_| Temp::default());
        let mut given: SmallVec<[GpuView; 5]> = SmallVec::new();
        for (v, temp) in ins.iter().zip(&mut temps) {
            let Some(v) = dense(launch, v, temp)? else { return Ok(false) };
            given.push(v);
        }
        let shape = ins[1].shape;
        let p = gpu::kernels::norm::LayerNormInputGrad {
            grad: given[0],
            x: given[1],
            weight: given.get(4).copied(),
            statistics: [given[2], given[3]],
            out: outs[0],
            n: numel(&shape[shape.len() - self.0.dims..]),
        };
        gpu::kernels::norm::layer_norm_input_grad(launch.rec, &p)?;
        Ok(true)
    }
    fn checks_data(&self) -> bool {
        false
    }
}

impl Op for LayerNormInputGrad {
    fn node_name(&self) -> &'static str {
        "NativeLayerNormBackwardBackward0"
    }
    fn infer(&self, ins: &[Meta]) -> Result<SmallVec<[OutSpec; 2]>> {
        Ok(OutSpec::one(ins[1].shape.0.clone(), ins[1].dtype))
    }
    fn saves(&self, _: u8) -> Saves {
        Saves::NONE
    }
    fn vjp(&self, _: &Ctx) -> Result<Grads> {
        bail!(NotImplemented, "{}: run it without recording", self.name());
    }
    fn kernel(self: Arc<Self>) -> Arc<dyn Kernel> {
        self
    }
}

#[track_caller]
fn layer_norm(x: &Tensor, normalized: &[usize], o: LayerNormOptions) -> Result<Tensor> {
    ensure!(
        !normalized.is_empty(),
        Runtime,
        "Expected normalized_shape to be at least 1-dimensional, i.e., containing at least one element, but got normalized_shape = []"
    );
    for (name, v) in [("weight", &o.weight), ("bias", &o.bias)] {
        let shape = v.as_ref().map(Tensor::shape);
        ensure!(
            shape.as_ref().is_none_or(|s| s[..] == *normalized),
            Runtime,
            "Expected {name} to be of same shape as normalized_shape, but got {name} of shape {:?} and normalized_shape = {normalized:?}",
            shape.as_deref().unwrap_or(&[])
        );
    }
    let shape = x.shape();
    if !shape.ends_with(normalized) {
        let list = normalized.iter().map(|n| format!(", {n}")).collect::<String>();
        bail!(
            Runtime,
            "Given normalized_shape={normalized:?}, expected input with shape [*{list}], but got input of size{:?}",
            &shape[..]
        );
    }
    let op = LayerNorm { dims: normalized.len(), weight: o.weight.is_some(), bias: o.bias.is_some(), eps: o.eps };
    let mut ins: SmallVec<[Tensor; 3]> = SmallVec::new();
    for t in std::iter::once(x).chain(&o.weight).chain(&o.bias) {
        ins.push(t.checked().contiguous()?);
    }
    let ins: SmallVec<[&Tensor; 3]> = ins.iter().collect();
    Ok(apply(op, &ins)?.swap_remove(0))
}

methods! {
    /// Normalises over the trailing dims that `normalized_shape` names: zero mean, unit variance, then weight and bias
    /// (`torch.nn.functional.layer_norm`; Ba et al. 2016).
    ///
    /// ```
    /// # use wgtorch::{LayerNormOptions, prelude::*};
    /// let y = tensor!([[1., 3.], [0., 8.]]).layer_norm([2], LayerNormOptions::new().eps(0.));
    /// assert_eq!(y.to_vec::<f32>()?, [-1., 1., -1., 1.]);
    /// # Ok::<(), Error>(())
    /// ```
    fn layer_norm(&self, normalized_shape: impl IntoSizes, options: impl Into<LayerNormOptions>) -> Tensor {
        let sizes: Vec<usize> = normalized_shape.into_sizes().iter().map(|&n| n.max(0) as usize).collect();
        layer_norm(self.0, &sizes, options.into())
    }
}
