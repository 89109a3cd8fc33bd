//! Max and average pooling over the last two dims, with their gradients as ops.

use super::conv::dense;
use super::pair::Pair;
use crate::cpu::pool::{self, AvgSpec, PoolSpec};
use crate::dtype::{DType, compute};
use crate::error::{Result, ensure};
use crate::gpu::GpuView;
use crate::gpu::kernels::pool as gpu_pool;
use crate::shape::Dims;
use crate::stream::{CpuView, Kernel, Launch};
use crate::tensor::{Ctx, Grads, Meta, Op, OutSpec, Saves, Tensor, apply, apply_one, methods, one_grad};
use smallvec::SmallVec;
use std::sync::Arc;

/// The windows of `max_pool2d`: their size, and what it defaults.
#[non_exhaustive]
#[derive(Clone, Copy, Debug)]
pub struct MaxPool2dOptions {
    /// Size of a window.
    pub kernel_size: Pair,
    /// Step between neighbouring windows; the size of a window if None.
    pub stride: Option<Pair>,
    /// Cells of minus infinity on both sides.
    pub padding: Pair,
    /// Distance between the cells of a window.
    pub dilation: Pair,
    /// Count a last window that reaches past the end.
    pub ceil_mode: bool,
}

/// The windows of `avg_pool2d`: their size, and what it defaults.
#[non_exhaustive]
#[derive(Clone, Copy, Debug)]
pub struct AvgPool2dOptions {
    /// Size of a window.
    pub kernel_size: Pair,
    /// Step between neighbouring windows; the size of a window if None.
    pub stride: Option<Pair>,
    /// Cells of zero on both sides.
    pub padding: Pair,
    /// Count a last window that reaches past the end.
    pub ceil_mode: bool,
    /// Whether cells of the padding count in the divisor.
    pub count_include_pad: bool,
    /// A divisor in the place of the count.
    pub divisor_override: Option<i64>,
}

macro_rules! pool_options {
    ($name:ident { $($field:ident: $value:expr),* }) => {
        impl $name {
            /// Windows of a size, with all defaults.
            pub fn new(kernel_size: impl Into<Pair>) -> $name {
                $name {
                    kernel_size: kernel_size.into(),
                    stride: None,
                    padding: 0.into(),
                    ceil_mode: false,
                    $($field: $value),*
                }
            }
            /// With a step between windows.
            pub fn stride(mut self, stride: impl Into<Pair>) -> $name {
                self.stride = Some(stride.into());
                self
            }
            /// With cells around the input.
            pub fn padding(mut self, padding: impl Into<Pair>) -> $name {
                self.padding = padding.into();
                self
            }
            /// With a last window that may reach past the end.
            pub fn ceil_mode(mut self, on: bool) -> $name {
                self.ceil_mode = on;
                self
            }
        }
        impl<T: Into<Pair>> From<T> for $name {
            fn from(kernel_size: T) -> $name { $name::new(kernel_size) }
        }
    };
}
pool_options!(MaxPool2dOptions { dilation: 1.into() });
pool_options!(AvgPool2dOptions { count_include_pad: true, divisor_override: None });

impl MaxPool2dOptions {
    /// With a distance between the cells of a window.
    pub fn dilation(mut self, dilation: impl Into<Pair>) -> MaxPool2dOptions {
        self.dilation = dilation.into();
        self
    }
}

impl AvgPool2dOptions {
    /// With or without cells of the padding in the divisor.
    pub fn count_include_pad(mut self, on: bool) -> AvgPool2dOptions {
        self.count_include_pad = on;
        self
    }
    /// With a divisor in the place of the count.
    pub fn divisor_override(mut self, divisor: impl Into<Option<i64>>) -> AvgPool2dOptions {
        self.divisor_override = divisor.into();
        self
    }
}

/// Max pooling: values and flat indices.
#[derive(Clone, Copy, Debug)]
struct MaxPool {
    spec: PoolSpec,
    size: [usize; 2],
}

/// Its gradient, of this shape, from the output's and the indices.
#[derive(Clone, Debug)]
struct MaxPoolGrad {
    spec: PoolSpec,
    shape: Dims,
}

/// Average pooling.
#[derive(Clone, Copy, Debug)]
struct AvgPool {
    spec: PoolSpec,
    avg: AvgSpec,
    size: [usize; 2],
}

/// Its gradient, of this shape, from the output's.
#[derive(Clone, Debug)]
struct AvgPoolGrad {
    op: AvgPool,
    shape: Dims,
}

fn gpu_spec(s: &PoolSpec) -> gpu_pool::PoolSpec {
    gpu_pool::PoolSpec { kernel: s.kernel, stride: s.stride, padding: s.padding, dilation: s.dilation }
}

fn gpu_avg(a: &AvgSpec) -> gpu_pool::AvgSpec {
    gpu_pool::AvgSpec { count_include_pad: a.count_include_pad, divisor_override: a.divisor_override }
}

macro_rules! pool_kernels {
    ($($op:ident $name:literal, |$s:ident, $ins:ident, $outs:ident, $t:ident| $cpu:expr, |$rec:ident| $gpu:expr;)*) => {$(
        impl Kernel for $op {
            fn name(&self) -> &'static str { $name }
            fn cpu(&self, $ins: &[CpuView], $outs: &[CpuView]) -> Result<()> {
                let $s = self;
                compute!($outs[0].dtype, $t => $cpu);
                let _ = $s;
                Ok(())
            }
            fn gpu(&self, launch: &mut Launch, $ins: &[GpuView], $outs: &[GpuView]) -> Result<bool> {
                let ($s, $rec) = (self, &mut *launch.rec);
                if $outs[0].dtype != DType::F32 {
                    return Ok(false);
                }
                $gpu?;
                Ok(true)
            }
            fn checks_data(&self) -> bool { false }
        }
    )*};
}
pool_kernels! {
    MaxPool "max_pool2d", |s, ins, outs, T| {
        pool::max_pool2d::<T>(outs[0].typed_mut(), outs[1].typed_mut(), ins[0].typed(), s.spec)
    }, |rec| gpu_pool::max_pool2d(rec, &ins[0], &outs[0], &outs[1], &gpu_spec(&s.spec));
    MaxPoolGrad "max_pool2d_backward", |s, ins, outs, T| {
        pool::max_pool2d_grad::<T>(outs[0].typed_mut(), ins[0].typed(), ins[1].typed())
    }, |rec| gpu_pool::max_pool2d_grad(rec, &ins[0], &ins[1], &outs[0], &gpu_spec(&s.spec));
    AvgPool "avg_pool2d", |s, ins, outs, T| {
        pool::avg_pool2d::<T>(outs[0].typed_mut(), ins[0].typed(), s.spec, s.avg)
    }, |rec| gpu_pool::avg_pool2d(rec, &ins[0], &outs[0], &gpu_spec(&s.spec), &gpu_avg(&s.avg));
    AvgPoolGrad "avg_pool2d_backward", |s, ins, outs, T| {
        pool::avg_pool2d_grad::<T>(outs[0].typed_mut(), ins[0].typed(), s.op.spec, s.op.avg)
    }, |rec| gpu_pool::avg_pool2d_grad(rec, &ins[0], &outs[0], &gpu_spec(&s.op.spec), &gpu_avg(&s.op.avg));
}

fn computes(dtype: DType, known: bool, name: &str) -> Result<()> {
    ensure!(known, NotImplemented, "\"{name}\" not implemented for '{}'", dtype.scalar_name());
    Ok(())
}

fn pooled(x: &[usize], size: [usize; 2]) -> Dims {
    Dims::from_slice(&[x[0], x[1], size[0], size[1]])
}

impl Op for MaxPool {
    fn node_name(&self) -> &'static str {
        "MaxPool2DWithIndicesBackward0"
    }
    fn infer(&self, ins: &[Meta]) -> Result<SmallVec<[OutSpec; 2]>> {
        computes(ins[0].dtype, ins[0].dtype != DType::Bool, "max_pool2d")?;
        let shape = pooled(&ins[0].shape, self.size);
        let mut outs = OutSpec::one(shape.clone(), ins[0].dtype);
        outs.push(OutSpec { shape, dtype: DType::I64 });
        Ok(outs)
    }
    fn saves(&self, _: u8) -> Saves {
        Saves { inputs: 0, outputs: 0b10 }
    }
    fn vjp(&self, cx: &Ctx) -> Result<Grads> {
        let op = MaxPoolGrad { spec: self.spec, shape: cx.input_meta(0).shape };
        Ok(one_grad(apply_one(op, &[&dense(cx.g())?, &cx.output(1)?.detach()])?))
    }
    fn kernel(self: Arc<Self>) -> Arc<dyn Kernel> {
        self
    }
}

impl Op for MaxPoolGrad {
    fn node_name(&self) -> &'static str {
        "MaxPool2DWithIndicesBackwardBackward0"
    }
    fn infer(&self, ins: &[Meta]) -> Result<SmallVec<[OutSpec; 2]>> {
        Ok(OutSpec::one(self.shape.clone(), ins[0].dtype))
    }
    fn saves(&self, _: u8) -> Saves {
        Saves { inputs: 0b10, outputs: 0 }
    }
    fn vjp(&self, cx: &Ctx) -> Result<Grads> {
        let indices = cx.input(1)?;
        let picked = cx.g().checked().flatten(2)?.checked().gather(2, &indices.checked().flatten(2)?)?;
        let mut grads = one_grad(picked.checked().view(cx.input_shape(0))?);
        grads.push(None);
        Ok(grads)
    }
    fn kernel(self: Arc<Self>) -> Arc<dyn Kernel> {
        self
    }
}

impl Op for AvgPool {
    fn node_name(&self) -> &'static str {
        "AvgPool2DBackward0"
    }
    fn infer(&self, ins: &[Meta]) -> Result<SmallVec<[OutSpec; 2]>> {
        let d = ins[0].dtype;
        computes(d, d.is_float() || d == DType::I64, "avg_pool2d_out_frame")?;
        Ok(OutSpec::one(pooled(&ins[0].shape, self.size), d))
    }
    fn saves(&self, _: u8) -> Saves {
        Saves::NONE
    }
    fn vjp(&self, cx: &Ctx) -> Result<Grads> {
        Ok(one_grad(apply_one(AvgPoolGrad { op: *self, shape: cx.input_meta(0).shape }, &[&dense(cx.g())?])?))
    }
    fn kernel(self: Arc<Self>) -> Arc<dyn Kernel> {
        self
    }
}

impl Op for AvgPoolGrad {
    fn node_name(&self) -> &'static str {
        "AvgPool2DBackwardBackward0"
    }
    fn infer(&self, ins: &[Meta]) -> Result<SmallVec<[OutSpec; 2]>> {
        Ok(OutSpec::one(self.shape.clone(), ins[0].dtype))
    }
    fn saves(&self, _: u8) -> Saves {
        Saves::NONE
    }
    fn vjp(&self, cx: &Ctx) -> Result<Grads> {
        Ok(one_grad(apply_one(self.op, &[&dense(cx.g())?])?))
    }
    fn kernel(self: Arc<Self>) -> Arc<dyn Kernel> {
        self
    }
}

/// Number of windows along a dim; a last window that would start in the end's padding does not count.
fn windows(size: i64, kernel: i64, stride: i64, padding: i64, dilation: i64, ceil_mode: bool) -> i64 {
    let room = size + 2 * padding - dilation * (kernel - 1) - 1 + if ceil_mode { stride - 1 } else { 0 };
    let n = room.div_euclid(stride) + 1;
    if ceil_mode && (n - 1) * stride >= size + padding { n - 1 } else { n }
}

/// PyTorch's checks of a pooling in its order, over `[N, C, H, W]` or `[C, H, W]`; gives the spec and the output's size.
fn check(
    x: &[usize],
    kernel: Pair,
    stride: Option<Pair>,
    padding: Pair,
    dilation: Pair,
    ceil: bool,
) -> Result<(PoolSpec, [usize; 2])> {
    let (k, p, d) = (kernel.hw, padding.hw, dilation.hw);
    let s = stride.unwrap_or(kernel).hw;
    let n = x.len();
    ensure!(
        n == 3 || n == 4,
        Runtime,
        "Expected 3D or 4D (batch mode) tensor with optional 0 dim batch size for input, but got:{x:?}"
    );
    ensure!(
        k.iter().all(|&k| k > 0),
        Runtime,
        "kernel size should be greater than zero, but got kH: {} kW: {}",
        k[0],
        k[1]
    );
    ensure!(s.iter().all(|&s| s > 0), Runtime, "stride should be greater than zero, but got dH: {} dW: {}", s[0], s[1]);
    ensure!(
        d.iter().all(|&d| d > 0),
        Runtime,
        "dilation should be greater than zero, but got dilationH: {} dilationW: {}",
        d[0],
        d[1]
    );
    for i in 0..2 {
        ensure!(p[i] >= 0, Runtime, "pad must be non-negative, but got pad: {}", p[i]);
        ensure!(
            p[i] <= ((k[i] - 1) * d[i] + 1) / 2,
            Runtime,
            "pad should be at most half of effective kernel size, but got pad={}, kernel_size={} and dilation={}",
            p[i],
            k[i],
            d[i]
        );
    }
    let inner = &x[n - 3..];
    ensure!(
        inner.iter().all(|&n| n != 0),
        Runtime,
        "Expected 3D or 4D (batch mode) tensor with optional 0 dim batch size for input, but got:{x:?}"
    );
    let out = [0, 1].map(|i| windows(inner[1 + i] as i64, k[i], s[i], p[i], d[i], ceil));
    ensure!(
        out[0] > 0 && out[1] > 0,
        Runtime,
        "Given input size: ({}x{}x{}). Calculated output size: ({}x{}x{}). Output size is too small",
        inner[0],
        inner[1],
        inner[2],
        inner[0],
        out[0],
        out[1]
    );
    let u = |v: [i64; 2]| v.map(|v| v as usize);
    Ok((PoolSpec { kernel: u(k), stride: u(s), padding: u(p), dilation: u(d) }, u(out)))
}

/// An op on batches applied to one image too.
#[track_caller]
fn batched<R>(x: &Tensor, f: impl FnOnce(&Tensor) -> Result<R>, strip: impl FnOnce(R) -> Result<R>) -> Result<R> {
    if x.dim() == 3 { strip(f(&x.checked().unsqueeze(0)?)?) } else { f(x) }
}

methods! {
    /// The greatest element of each window; NaN wins (`torch.nn.functional.max_pool2d`). One number is the size of the
    /// windows; [`MaxPool2dOptions`] says more.
    ///
    /// # Panics
    /// If windows and sizes do not fit.
    fn max_pool2d(&self, options: impl Into<MaxPool2dOptions>) -> Tensor {
        Ok(self.max_pool2d_with_indices(options)?.0)
    }

    /// [`Tensor::max_pool2d`] with the flat position of each maximum in its plane, the first of equal ones.
    ///
    /// # Panics
    /// If windows and sizes do not fit.
    fn max_pool2d_with_indices(&self, options: impl Into<MaxPool2dOptions>) -> (Tensor, Tensor) {
        let o = options.into();
        let (spec, size) = check(&self.shape(), o.kernel_size, o.stride, o.padding, o.dilation, o.ceil_mode)?;
        let run = |x: &Tensor| {
            let outs = apply(MaxPool { spec, size }, &[&dense(x)?])?;
            Ok((outs[0].clone(), outs[1].clone()))
        };
        batched(self.0, run, |(v, i)| Ok((v.checked().squeeze_dim(0)?, i.checked().squeeze_dim(0)?)))
    }

    /// The mean of each window (`torch.nn.functional.avg_pool2d`). One number is the size of the windows;
    /// [`AvgPool2dOptions`] says more.
    ///
    /// # Panics
    /// If windows and sizes do not fit.
    fn avg_pool2d(&self, options: impl Into<AvgPool2dOptions>) -> Tensor {
        let o = options.into();
        ensure!(o.divisor_override != Some(0), Runtime, "divisor must be not zero");
        crate::shape::wrap_dim(-3, self.dim())?;
        let (spec, size) = check(&self.shape(), o.kernel_size, o.stride, o.padding, 1.into(), o.ceil_mode)?;
        let avg = AvgSpec { count_include_pad: o.count_include_pad, divisor_override: o.divisor_override };
        batched(self.0, |x| apply_one(AvgPool { spec, avg, size }, &[&dense(x)?]), |y| y.checked().squeeze_dim(0))
    }
}
