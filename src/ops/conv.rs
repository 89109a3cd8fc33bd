//! 2-D convolution: the op, and the gradients of its input, weight and bias, which are ops with gradients themselves.

use super::operand::MaybeTensor;
use super::pair::Pair;
use crate::cpu::conv::{self, ConvSpec};
use crate::dtype::{DType, compute_float};
use crate::error::{Result, ensure};
use crate::gpu::GpuView;
use crate::gpu::kernels::conv as gpu_conv;
use crate::gpu::kernels::matmul::Act;
use crate::shape::{Dims, numel};
use crate::stream::{CpuView, Epilogue, Kernel, Launch};
use crate::tensor::{Ctx, Grads, Meta, Op, OutSpec, Saves, Tensor, apply, apply_one, methods, no_grads, one_grad};
use smallvec::SmallVec;
use std::sync::Arc;

/// Zeros around the input of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// So many on both sides of each dim.
    Size(Pair),
    /// As many as make the output as large as the input; an odd one goes to the end (`padding='same'`).
    Same,
    /// None (`padding='valid'`).
    Valid,
}

impl<T: Into<Pair>> From<T> for Padding {
    fn from(size: T) -> Padding {
        Padding::Size(size.into())
    }
}
impl From<&str> for Padding {
    /// `"same"` or `"valid"`.
    ///
    /// # Panics
    /// On any other text.
    fn from(text: &str) -> Padding {
        match text {
            "same" => Padding::Same,
            "valid" => Padding::Valid,
            _ => panic!("Invalid padding string '{text}', should be one of 'valid', 'same'"),
        }
    }
}

/// What `conv2d` defaults: no bias, stride 1, no padding, dilation 1, one group.
#[non_exhaustive]
#[derive(Clone, Debug)]
pub struct Conv2dOptions {
    /// Added to each output channel.
    pub bias: Option<Tensor>,
    /// Step between neighbouring windows.
    pub stride: Pair,
    /// Zeros around the input.
    pub padding: Padding,
    /// Distance between the taps of a window.
    pub dilation: Pair,
    /// Groups of channels that do not see each other.
    pub groups: i64,
}

impl Default for Conv2dOptions {
    fn default() -> Conv2dOptions {
        Conv2dOptions { bias: None, stride: 1.into(), padding: 0.into(), dilation: 1.into(), groups: 1 }
    }
}

impl Conv2dOptions {
    /// All defaults.
    pub fn new() -> Conv2dOptions {
        Conv2dOptions::default()
    }
    /// With a bias.
    pub fn bias(mut self, bias: impl Into<MaybeTensor>) -> Conv2dOptions {
        self.bias = bias.into().0;
        self
    }
    /// With a step between windows.
    pub fn stride(mut self, stride: impl Into<Pair>) -> Conv2dOptions {
        self.stride = stride.into();
        self
    }
    /// With zeros around the input: numbers, or `"same"`.
    pub fn padding(mut self, padding: impl Into<Padding>) -> Conv2dOptions {
        self.padding = padding.into();
        self
    }
    /// With a distance between taps.
    pub fn dilation(mut self, dilation: impl Into<Pair>) -> Conv2dOptions {
        self.dilation = dilation.into();
        self
    }
    /// With groups of channels.
    pub fn groups(mut self, groups: i64) -> Conv2dOptions {
        self.groups = groups;
        self
    }
}

impl From<()> for Conv2dOptions {
    fn from(_: ()) -> Conv2dOptions {
        Conv2dOptions::default()
    }
}
impl From<&Tensor> for Conv2dOptions {
    fn from(bias: &Tensor) -> Conv2dOptions {
        Conv2dOptions::new().bias(bias)
    }
}
impl From<Option<&Tensor>> for Conv2dOptions {
    fn from(bias: Option<&Tensor>) -> Conv2dOptions {
        Conv2dOptions::new().bias(bias)
    }
}

/// The forward op over input, weight and, maybe, bias.
#[derive(Clone, Copy, Debug)]
struct Conv {
    spec: ConvSpec,
    relu: bool,
}

/// The gradient of the input, of this shape, from those of output and weight.
#[derive(Clone, Debug)]
struct ConvInputGrad {
    spec: ConvSpec,
    shape: Dims,
}

/// The gradient of the weight, of this shape, and of the bias where that is asked for, from that of the output and the
/// input: on a GPU one pass over the gradient gives both.
#[derive(Clone, Debug)]
struct ConvWeightGrad {
    spec: ConvSpec,
    shape: Dims,
    bias: bool,
}

/// The gradient of the bias alone: sums of the output's.
#[derive(Clone, Copy, Debug)]
struct ConvBiasGrad;

/// The operand as the kernels of its device take it: those of a GPU want it dense.
pub(super) fn dense(t: &Tensor) -> Result<Tensor> {
    if t.device().is_gpu() { t.checked().contiguous() } else { Ok(t.clone()) }
}

fn gpu_spec(s: &ConvSpec) -> gpu_conv::ConvSpec {
    gpu_conv::ConvSpec { stride: s.stride, padding: s.padding, dilation: s.dilation, groups: s.groups }
}

/// What the GPU kernels do not do: dtypes beside float32, and sums of nothing.
fn refused(ins: &[GpuView], outs: &[GpuView]) -> bool {
    outs[0].dtype != DType::F32 || ins.iter().chain(outs).any(|v| v.numel() == 0)
}

/// Arithmetic operations of a convolution: every element on the output's side meets a filter, each product is one and the sum
/// one.
fn products(output: &[usize], weight: &[usize]) -> u64 {
    2 * (numel(output) * numel(&weight[1..])) as u64
}

impl Conv {
    #[track_caller]
    fn run(spec: ConvSpec, x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
        let op = Conv { spec, relu: false };
        let (x, weight) = (dense(x)?, dense(weight)?);
        match bias {
            Some(b) => apply_one(op, &[&x, &weight, &dense(b)?]),
            None => apply_one(op, &[&x, &weight]),
        }
    }
}

impl ConvInputGrad {
    fn run(spec: ConvSpec, shape: &[usize], g: &Tensor, weight: &Tensor) -> Result<Tensor> {
        apply_one(ConvInputGrad { spec, shape: Dims::from_slice(shape) }, &[&dense(g)?, &dense(weight)?])
    }
}

impl ConvWeightGrad {
    fn run(spec: ConvSpec, shape: &[usize], bias: bool, g: &Tensor, input: &Tensor) -> Result<SmallVec<[Tensor; 2]>> {
        let op = ConvWeightGrad { spec, shape: Dims::from_slice(shape), bias };
        apply(op, &[&dense(g)?, &dense(input)?])
    }
}

impl Kernel for Conv {
    fn name(&self) -> &'static str {
        "conv2d"
    }
    fn cpu(&self, ins: &[CpuView], outs: &[CpuView]) -> Result<()> {
        compute_float!(outs[0].dtype, "slow_conv2d_cpu", T => conv::conv2d::<T>(
            outs[0].typed_mut(),
            ins[0].typed(),
            ins[1].typed(),
            ins.get(2).map(|b| b.typed()),
            self.spec,
            self.relu,
        ));
        Ok(())
    }
    fn gpu(&self, launch: &mut Launch, ins: &[GpuView], outs: &[GpuView]) -> Result<bool> {
        if refused(ins, outs) {
            return Ok(false);
        }
        let act = if self.relu { Act::Relu } else { Act::None };
        gpu_conv::conv2d(launch.rec, &ins[0], &ins[1], ins.get(2), &outs[0], &gpu_spec(&self.spec), act)?;
        Ok(true)
    }
    fn flops(&self, ins: &[&[usize]], outs: &[&[usize]]) -> u64 {
        products(outs[0], ins[1])
    }
    fn checks_data(&self) -> bool {
        false
    }
    fn absorb(&self, next: &Epilogue) -> Option<Arc<dyn Kernel>> {
        match next {
            Epilogue::Relu if !self.relu => Some(Arc::new(Conv { relu: true, ..*self })),
            _ => None,
        }
    }
}

impl Op for Conv {
    fn node_name(&self) -> &'static str {
        "ConvolutionBackward0"
    }
    fn infer(&self, ins: &[Meta]) -> Result<SmallVec<[OutSpec; 2]>> {
        let (x, w) = (&ins[0].shape, &ins[1].shape);
        let s = &self.spec;
        let size = |d: usize| {
            let window = s.dilation[d] * (w[2 + d].max(1) - 1) + 1;
            (x[2 + d] + 2 * s.padding[d] - window) / s.stride[d] + 1
        };
        Ok(OutSpec::one([x[0], w[0], size(0), size(1)].as_slice(), ins[0].dtype))
    }
    fn saves(&self, needs: u8) -> Saves {
        Saves { inputs: needs >> 1 & 1 | (needs & 1) << 1, outputs: 0 }
    }
    fn vjp(&self, cx: &Ctx) -> Result<Grads> {
        let g = cx.g();
        let mut grads = no_grads(3);
        if cx.needs(0) {
            grads[0] = Some(ConvInputGrad::run(self.spec, &cx.input_shape(0), g, &cx.input(1)?)?);
        }
        if cx.needs(1) {
            let both = ConvWeightGrad::run(self.spec, &cx.input_shape(1), cx.needs(2), g, &cx.input(0)?)?;
            for (slot, t) in grads[1..].iter_mut().zip(both) {
                *slot = Some(t);
            }
        } else if cx.needs(2) {
            grads[2] = Some(apply_one(ConvBiasGrad, &[&dense(g)?])?);
        }
        Ok(grads)
    }
    fn kernel(self: Arc<Self>) -> Arc<dyn Kernel> {
        self
    }
}

/// What the gradient ops have in common: there is no relu to take in.
macro_rules! grad_kernels {
    ($($op:ident $name:literal, |$s:ident, $ins:ident, $outs:ident, $t:ident| $cpu:expr, |$rec:ident| $gpu:expr, $flops:expr;)*) => {$(
        impl Kernel for $op {
            fn name(&self) -> &'static str { $name }
            fn cpu(&self, $ins: &[CpuView], $outs: &[CpuView]) -> Result<()> {
                let $s = self;
                compute_float!($outs[0].dtype, $name, $t => $cpu);
                let _ = $s;
                Ok(())
            }
            fn gpu(&self, launch: &mut Launch, $ins: &[GpuView], $outs: &[GpuView]) -> Result<bool> {
                let ($s, $rec) = (self, &mut *launch.rec);
                if refused($ins, $outs) {
                    return Ok(false);
                }
                let _ = ($s, &$rec);
                $gpu
            }
            fn flops(&self, $ins: &[&[usize]], $outs: &[&[usize]]) -> u64 {
                let _ = $outs;
                $flops
            }
            fn checks_data(&self) -> bool { false }
        }
    )*};
}
grad_kernels! {
    ConvInputGrad "conv2d_input_grad", |s, ins, outs, T| {
        conv::conv2d_input_grad::<T>(outs[0].typed_mut(), ins[0].typed(), ins[1].typed(), s.spec)
    }, |rec| {
        gpu_conv::conv2d_input_grad(rec, &ins[0], &ins[1], &outs[0], &gpu_spec(&s.spec))?;
        Ok(true)
    }, products(ins[0], ins[1]);
    ConvWeightGrad "conv2d_weight_grad", |s, ins, outs, T| {
        conv::conv2d_weight_grad::<T>(outs[0].typed_mut(), ins[0].typed(), ins[1].typed(), s.spec);
        if let Some(bias) = outs.get(1) {
            conv::conv2d_bias_grad::<T>(bias.typed_mut(), ins[0].typed());
        }
    }, |rec| {
        gpu_conv::conv2d_weight_grad(rec, &ins[1], &ins[0], &outs[0], outs.get(1), &gpu_spec(&s.spec))?;
        Ok(true)
    }, products(ins[0], outs[0]);
    ConvBiasGrad "conv2d_bias_grad", |s, ins, outs, T| {
        conv::conv2d_bias_grad::<T>(outs[0].typed_mut(), ins[0].typed())
    }, |rec| Ok(false), numel(ins[0]) as u64;
}

const GRAD_NODE: &str = "ConvolutionBackwardBackward0";

/// Both operands of a product-like op, each needed for the other's gradient.
fn crosswise(needs: u8) -> Saves {
    Saves { inputs: needs >> 1 & 1 | (needs & 1) << 1, outputs: 0 }
}

impl Op for ConvInputGrad {
    fn node_name(&self) -> &'static str {
        GRAD_NODE
    }
    fn infer(&self, ins: &[Meta]) -> Result<SmallVec<[OutSpec; 2]>> {
        Ok(OutSpec::one(self.shape.clone(), ins[0].dtype))
    }
    fn saves(&self, needs: u8) -> Saves {
        crosswise(needs)
    }
    fn vjp(&self, cx: &Ctx) -> Result<Grads> {
        let mut grads = no_grads(2);
        if cx.needs(0) {
            grads[0] = Some(Conv::run(self.spec, cx.g(), &cx.input(1)?, None)?);
        }
        if cx.needs(1) {
            let mut out = ConvWeightGrad::run(self.spec, &cx.input_shape(1), false, &cx.input(0)?, cx.g())?;
            grads[1] = out.pop();
        }
        Ok(grads)
    }
    fn kernel(self: Arc<Self>) -> Arc<dyn Kernel> {
        self
    }
}

impl Op for ConvWeightGrad {
    fn node_name(&self) -> &'static str {
        GRAD_NODE
    }
    fn infer(&self, ins: &[Meta]) -> Result<SmallVec<[OutSpec; 2]>> {
        let mut outs = OutSpec::one(self.shape.clone(), ins[0].dtype);
        if self.bias {
            outs.push(OutSpec { shape: Dims::from_slice(&self.shape[..1]), dtype: ins[0].dtype });
        }
        Ok(outs)
    }
    fn saves(&self, needs: u8) -> Saves {
        crosswise(needs)
    }
    fn vjp(&self, cx: &Ctx) -> Result<Grads> {
        let mut grads = no_grads(2);
        let weight = cx.grads[0].as_ref();
        if cx.needs(0) {
            let through_weight = weight.map(|g| Conv::run(self.spec, &cx.input(1)?, g, None)).transpose()?;
            let bias = cx.grads.get(1).and_then(Option::as_ref);
            let through_bias = bias.map(|g| spread(g, &cx.input_shape(0))).transpose()?;
            grads[0] = match (through_weight, through_bias) {
                (Some(a), Some(b)) => Some(a.checked().add(&b)?),
                (a, b) => a.or(b),
            };
        }
        if cx.needs(1)
            && let Some(g) = weight
        {
            grads[1] = Some(ConvInputGrad::run(self.spec, &cx.input_shape(1), &cx.input(0)?, g)?);
        }
        Ok(grads)
    }
    fn kernel(self: Arc<Self>) -> Arc<dyn Kernel> {
        self
    }
}

/// One number a channel over whole images.
fn spread(g: &Tensor, shape: &[usize]) -> Result<Tensor> {
    g.checked().view([1, -1, 1, 1])?.checked().expand(shape)
}

impl Op for ConvBiasGrad {
    fn node_name(&self) -> &'static str {
        GRAD_NODE
    }
    fn infer(&self, ins: &[Meta]) -> Result<SmallVec<[OutSpec; 2]>> {
        Ok(OutSpec::one([ins[0].shape[1]].as_slice(), ins[0].dtype))
    }
    fn saves(&self, _: u8) -> Saves {
        Saves::NONE
    }
    fn vjp(&self, cx: &Ctx) -> Result<Grads> {
        Ok(one_grad(spread(cx.g(), &cx.input_shape(0))?))
    }
    fn kernel(self: Arc<Self>) -> Arc<dyn Kernel> {
        self
    }
}

/// PyTorch's checks of a batched convolution, in its order; gives the spec with the padding of both sides.
fn check(x: &[usize], w: &[usize], o: &Conv2dOptions, padding: [usize; 2]) -> Result<ConvSpec> {
    let (stride, dilation, groups) = (o.stride.hw, o.dilation.hw, o.groups);
    ensure!(stride.iter().all(|&s| s > 0), Runtime, "non-positive stride is not supported");
    ensure!(dilation.iter().all(|&d| d > 0), Runtime, "dilation should be greater than zero");
    ensure!(groups > 0, Runtime, "non-positive groups is not supported");
    let groups = groups as usize;
    ensure!(
        w[0] >= groups,
        Runtime,
        "Given groups={groups}, expected weight to be at least {groups} at dimension 0, but got weight of size {w:?} instead"
    );
    ensure!(
        w[0].is_multiple_of(groups),
        Runtime,
        "Given groups={groups}, expected weight to be divisible by {groups} at dimension 0, but got weight of size [{w:?}] instead"
    );
    ensure!(
        x[1] == w[1] * groups,
        Runtime,
        "Given groups={groups}, weight of size {w:?}, expected input{x:?} to have {} channels, but got {} channels instead",
        w[1] * groups,
        x[1]
    );
    if let Some(b) = &o.bias {
        let sizes = b.shape();
        ensure!(
            sizes[..] == [w[0]],
            Runtime,
            "Given weight of size {w:?}, expected bias to be 1-dimensional with {} elements, but got bias of size {:?} instead",
            w[0],
            &sizes[..]
        );
    }
    let dilation = dilation.map(|d| d as usize);
    let padded = [x[2] + 2 * padding[0], x[3] + 2 * padding[1]];
    let window = [0, 1].map(|d| dilation[d] * (w[2 + d].max(1) - 1) + 1);
    ensure!(
        padded[0] >= window[0] && padded[1] >= window[1],
        Runtime,
        "Calculated padded input size per channel: ({} x {}). Kernel size: ({} x {}). Kernel size can't be greater than actual input size",
        padded[0],
        padded[1],
        window[0],
        window[1]
    );
    Ok(ConvSpec { stride: stride.map(|s| s as usize), padding, dilation, groups })
}

/// The zeros that keep the size: those of both sides, and those of the end beyond them.
fn same_padding(w: &[usize], dilation: [i64; 2]) -> ([usize; 2], [usize; 2]) {
    let total = [0, 1].map(|d| (dilation[d].max(0) as usize) * (w[2 + d].max(1) - 1));
    (total.map(|t| t / 2), total.map(|t| t % 2))
}

fn check_dtypes(x: &Tensor, w: &Tensor, bias: Option<&Tensor>) -> Result<()> {
    if let Some(b) = bias {
        ensure!(
            b.dtype() == x.dtype(),
            Runtime,
            "Input type ({}) and bias type ({}) should be the same",
            super::matmul::cpp_name(x.dtype()),
            super::matmul::cpp_name(b.dtype())
        );
    }
    ensure!(
        w.dtype() == x.dtype(),
        Runtime,
        "expected scalar type {} but found {}",
        x.dtype().scalar_name(),
        w.dtype().scalar_name()
    );
    Ok(())
}

methods! {
    /// Cross-correlation of images `[N, C, H, W]` (or one, `[C, H, W]`) with weights `[O, C / groups, kH, kW]`
    /// (`torch.nn.functional.conv2d`).
    ///
    /// # Panics
    /// If the sizes do not fit, or the dtypes differ.
    ///
    /// ```
    /// # use wgtorch::prelude::*;
    /// let y = ones([1, 1, 4, 4], ()).conv2d(&ones([2, 1, 3, 3], ()), ());
    /// assert_eq!((y.shape(), y.to_vec::<f32>()?), ([1, 2, 2, 2].into(), vec![9.; 8]));
    /// # Ok::<(), Error>(())
    /// ```
    fn conv2d(&self, weight: &Tensor, options: impl Into<Conv2dOptions>) -> Tensor {
        let (x, o) = (self.0, options.into());
        let (xs, ws) = (x.shape(), weight.shape());
        ensure!(
            ws.len() == 4,
            Runtime,
            "weight should have 4 dimensions (out_channels, in_channels / groups, kH, kW), but got weight of size: {:?}",
            &ws[..]
        );
        ensure!(
            xs.len() == 3 || xs.len() == 4,
            Runtime,
            "Expected 3D (unbatched) or 4D (batched) input to conv2d, but got input of size: {:?}",
            &xs[..]
        );
        check_dtypes(x, weight, o.bias.as_ref())?;
        let batched = if xs.len() == 3 { self.unsqueeze(0)? } else { x.clone() };
        let (padding, extra) = match o.padding {
            Padding::Size(p) => {
                ensure!(p.hw.iter().all(|&p| p >= 0), Runtime, "negative padding is not supported");
                (p.hw.map(|p| p as usize), [0, 0])
            }
            Padding::Valid => ([0, 0], [0, 0]),
            Padding::Same => {
                ensure!(
                    o.stride.hw == [1, 1],
                    Runtime,
                    "padding='same' is not supported for strided convolutions"
                );
                same_padding(&ws, o.dilation.hw)
            }
        };
        // PyTorch gives the end its odd zeros by padding first
        let input = if extra == [0, 0] { batched } else { super::pad::pad_end(&batched, extra)? };
        let spec = check(&input.shape(), &ws, &o, padding)?;
        let out = if x.dtype().is_int() {
            super::conv_int::conv2d(&input, weight, o.bias.as_ref(), spec)?
        } else {
            Conv::run(spec, &input, weight, o.bias.as_ref())?
        };
        if xs.len() == 3 { out.checked().squeeze_dim(0) } else { Ok(out) }
    }
}
