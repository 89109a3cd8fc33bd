//! Pooling with windows that share the input out evenly among the output's cells, whatever its size.

use super::conv::dense;
use crate::cpu::pool;
use crate::dtype::{DType, compute};
use crate::error::{Result, ensure};
use crate::gpu::GpuView;
use crate::gpu::kernels::pool as gpu_pool;
use crate::shape::Dims;
use crate::stream::{CpuView, Kernel, Launch};
use crate::tensor::{Ctx, Grads, Meta, Op, OutSpec, Saves, Tensor, apply, apply_one, methods, one_grad};
use smallvec::SmallVec;
use std::sync::Arc;

/// The output's height and width, which one number may stand for; `None` keeps the input's.
#[derive(Clone, Copy, Debug)]
pub struct AdaptiveSize {
    /// Height and width.
    pub hw: [Option<usize>; 2],
    /// Given as one number, and printed so.
    one: bool,
}

impl PartialEq for AdaptiveSize {
    fn eq(&self, other: &AdaptiveSize) -> bool {
        self.hw == other.hw
    }
}
impl Eq for AdaptiveSize {}

impl std::fmt::Display for AdaptiveSize {
    /// As Python prints the number or the tuple.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [h, w] = self.hw.map(|n| n.map_or("None".into(), |n| n.to_string()));
        if self.one { f.write_str(&h) } else { write!(f, "({h}, {w})") }
    }
}

impl From<usize> for AdaptiveSize {
    fn from(n: usize) -> AdaptiveSize {
        AdaptiveSize { hw: [Some(n); 2], one: true }
    }
}
impl From<[usize; 2]> for AdaptiveSize {
    fn from(n: [usize; 2]) -> AdaptiveSize {
        n.map(Some).into()
    }
}
impl From<(usize, usize)> for AdaptiveSize {
    fn from((h, w): (usize, usize)) -> AdaptiveSize {
        [h, w].into()
    }
}
impl From<[Option<usize>; 2]> for AdaptiveSize {
    fn from(hw: [Option<usize>; 2]) -> AdaptiveSize {
        AdaptiveSize { hw, one: false }
    }
}
impl From<(Option<usize>, Option<usize>)> for AdaptiveSize {
    fn from((h, w): (Option<usize>, Option<usize>)) -> AdaptiveSize {
        [h, w].into()
    }
}

/// Maxima and their flat positions in each plane.
#[derive(Clone, Copy, Debug)]
struct AdaptiveMax([usize; 2]);

/// Means.
#[derive(Clone, Copy, Debug)]
struct AdaptiveAvg([usize; 2]);

/// The gradient of means, of this shape.
#[derive(Clone, Debug)]
struct AdaptiveAvgGrad(Dims);

/// The windows as those of plain pooling, where all are alike.
fn even(input: &[usize], output: &[usize]) -> Option<gpu_pool::PoolSpec> {
    let ([h, w], [oh, ow]) = ([input[2], input[3]], [output[2], output[3]]);
    let alike = oh > 0 && ow > 0 && h % oh == 0 && w % ow == 0 && h > 0 && w > 0;
    let kernel = [h / oh.max(1), w / ow.max(1)];
    alike.then_some(gpu_pool::PoolSpec { kernel, stride: kernel, padding: [0, 0], dilation: [1, 1] })
}

const PLAIN: gpu_pool::AvgSpec = gpu_pool::AvgSpec { count_include_pad: false, divisor_override: None };

impl Kernel for AdaptiveMax {
    fn name(&self) -> &'static str {
        "adaptive_max_pool2d"
    }
    fn cpu(&self, ins: &[CpuView], outs: &[CpuView]) -> Result<()> {
        compute!(outs[0].dtype, T => {
            pool::adaptive_max_pool2d::<T>(outs[0].typed_mut(), outs[1].typed_mut(), ins[0].typed());
        });
        Ok(())
    }
    fn gpu(&self, launch: &mut Launch, ins: &[GpuView], outs: &[GpuView]) -> Result<bool> {
        match even(ins[0].shape, outs[0].shape) {
            Some(spec) if outs[0].dtype == DType::F32 => {
                gpu_pool::max_pool2d(launch.rec, &ins[0], &outs[0], &outs[1], &spec)?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }
    fn checks_data(&self) -> bool {
        false
    }
}

impl Kernel for AdaptiveAvg {
    fn name(&self) -> &'static str {
        "adaptive_avg_pool2d"
    }
    fn cpu(&self, ins: &[CpuView], outs: &[CpuView]) -> Result<()> {
        compute!(outs[0].dtype, T => pool::adaptive_avg_pool2d::<T>(outs[0].typed_mut(), ins[0].typed()));
        Ok(())
    }
    fn gpu(&self, launch: &mut Launch, ins: &[GpuView], outs: &[GpuView]) -> Result<bool> {
        match even(ins[0].shape, outs[0].shape) {
            Some(spec) if outs[0].dtype == DType::F32 => {
                gpu_pool::avg_pool2d(launch.rec, &ins[0], &outs[0], &spec, &PLAIN)?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }
    fn checks_data(&self) -> bool {
        false
    }
}

impl Kernel for AdaptiveAvgGrad {
    fn name(&self) -> &'static str {
        "adaptive_avg_pool2d_backward"
    }
    fn cpu(&self, ins: &[CpuView], outs: &[CpuView]) -> Result<()> {
        compute!(outs[0].dtype, T => pool::adaptive_avg_pool2d_grad::<T>(outs[0].typed_mut(), ins[0].typed()));
        Ok(())
    }
    fn gpu(&self, launch: &mut Launch, ins: &[GpuView], outs: &[GpuView]) -> Result<bool> {
        match even(outs[0].shape, ins[0].shape) {
            Some(spec) if outs[0].dtype == DType::F32 => {
                gpu_pool::avg_pool2d_grad(launch.rec, &ins[0], &outs[0], &spec, &PLAIN)?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }
    fn checks_data(&self) -> bool {
        false
    }
}

fn pooled(x: &[usize], size: [usize; 2]) -> Dims {
    Dims::from_slice(&[x[0], x[1], size[0], size[1]])
}

impl Op for AdaptiveMax {
    fn node_name(&self) -> &'static str {
        "AdaptiveMaxPool2DBackward0"
    }
    fn infer(&self, ins: &[Meta]) -> Result<SmallVec<[OutSpec; 2]>> {
        let d = ins[0].dtype;
        ensure!(d.is_float(), NotImplemented, "\"adaptive_max_pool2d\" not implemented for '{}'", d.scalar_name());
        let shape = pooled(&ins[0].shape, self.0);
        let mut outs = OutSpec::one(shape.clone(), d);
        outs.push(OutSpec { shape, dtype: DType::I64 });
        Ok(outs)
    }
    fn saves(&self, _: u8) -> Saves {
        Saves { inputs: 0, outputs: 0b10 }
    }
    fn vjp(&self, cx: &Ctx) -> Result<Grads> {
        // windows may share a maximum: its gradients add up
        let (index, g) = (cx.output(1)?.detach(), cx.g());
        let zeros = Tensor::zeros_of(&cx.input_meta(0));
        let sums = zeros.checked().flatten(2)?.checked().scatter_add(
            2,
            &index.checked().flatten(2)?,
            &g.checked().flatten(2)?,
        )?;
        Ok(one_grad(sums.checked().view(cx.input_shape(0))?))
    }
    fn kernel(self: Arc<Self>) -> Arc<dyn Kernel> {
        self
    }
}

impl Op for AdaptiveAvg {
    fn node_name(&self) -> &'static str {
        "AdaptiveAvgPool2DBackward0"
    }
    fn infer(&self, ins: &[Meta]) -> Result<SmallVec<[OutSpec; 2]>> {
        let d = ins[0].dtype;
        ensure!(d.is_float(), NotImplemented, "\"adaptive_avg_pool2d\" not implemented for '{}'", d.scalar_name());
        Ok(OutSpec::one(pooled(&ins[0].shape, self.0), d))
    }
    fn saves(&self, _: u8) -> Saves {
        Saves::NONE
    }
    fn vjp(&self, cx: &Ctx) -> Result<Grads> {
        Ok(one_grad(apply_one(AdaptiveAvgGrad(cx.input_meta(0).shape), &[&dense(cx.g())?])?))
    }
    fn kernel(self: Arc<Self>) -> Arc<dyn Kernel> {
        self
    }
}

impl Op for AdaptiveAvgGrad {
    fn node_name(&self) -> &'static str {
        "AdaptiveAvgPool2DBackwardBackward0"
    }
    fn infer(&self, ins: &[Meta]) -> Result<SmallVec<[OutSpec; 2]>> {
        Ok(OutSpec::one(self.0.clone(), ins[0].dtype))
    }
    fn saves(&self, _: u8) -> Saves {
        Saves::NONE
    }
    fn vjp(&self, cx: &Ctx) -> Result<Grads> {
        let shape = cx.input_shape(0);
        Ok(one_grad(apply_one(AdaptiveAvg([shape[2], shape[3]]), &[&dense(cx.g())?])?))
    }
    fn kernel(self: Arc<Self>) -> Arc<dyn Kernel> {
        self
    }
}

/// The output's size, after PyTorch's checks.
fn check(name: &str, x: &[usize], size: AdaptiveSize) -> Result<[usize; 2]> {
    let n = x.len();
    ensure!(n == 3 || n == 4, Runtime, "{name}(): Expected 3D or 4D tensor, but got {x:?}");
    for d in n - 2..n {
        ensure!(
            x[d] > 0,
            Runtime,
            "{name}(): Expected input to have non-zero size for non-batch dimensions, but input has sizes {x:?} with \
             dimension {d} being empty"
        );
    }
    Ok([size.hw[0].unwrap_or(x[n - 2]), size.hw[1].unwrap_or(x[n - 1])])
}

methods! {
    /// The greatest element of each of evenly shared windows (`torch.nn.functional.adaptive_max_pool2d`), over
    /// `[N, C, H, W]` or `[C, H, W]`. On a GPU windows of unequal sizes go over the CPU.
    ///
    /// # Panics
    /// If the tensor has other dims, or is empty along H or W.
    fn adaptive_max_pool2d(&self, output_size: impl Into<AdaptiveSize>) -> Tensor {
        Ok(self.adaptive_max_pool2d_with_indices(output_size)?.0)
    }

    /// [`Tensor::adaptive_max_pool2d`] with the flat position of each maximum in its plane, the first of equal ones.
    ///
    /// # Panics
    /// As it does.
    fn adaptive_max_pool2d_with_indices(&self, output_size: impl Into<AdaptiveSize>) -> (Tensor, Tensor) {
        let size = check("adaptive_max_pool2d", &self.shape(), output_size.into())?;
        let outs = apply(AdaptiveMax(size), &[&dense(&lifted(self.0)?)?])?;
        Ok((lowered(self.0, &outs[0])?, lowered(self.0, &outs[1])?))
    }

    /// The mean of each of evenly shared windows (`torch.nn.functional.adaptive_avg_pool2d`), over `[N, C, H, W]` or
    /// `[C, H, W]`. On a GPU windows of unequal sizes go over the CPU.
    ///
    /// # Panics
    /// If the tensor has other dims, or is empty along H or W.
    fn adaptive_avg_pool2d(&self, output_size: impl Into<AdaptiveSize>) -> Tensor {
        let size = check("adaptive_avg_pool2d", &self.shape(), output_size.into())?;
        if size == [1, 1] {
            // as PyTorch does it
            return self.mean_dim([-1, -2], true);
        }
        lowered(self.0, &apply_one(AdaptiveAvg(size), &[&dense(&lifted(self.0)?)?])?)
    }
}

/// An image as a batch of one.
fn lifted(x: &Tensor) -> Result<Tensor> {
    if x.dim() == 3 { x.checked().unsqueeze(0) } else { Ok(x.clone()) }
}

fn lowered(x: &Tensor, y: &Tensor) -> Result<Tensor> {
    if x.dim() == 3 { y.checked().squeeze_dim(0) } else { Ok(y.clone()) }
}
