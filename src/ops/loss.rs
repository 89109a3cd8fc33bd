//! Losses: the negative log-likelihood as an op, cross entropy over it, and the regression losses.

use super::compose::composite;
use super::conv::dense;
use crate::cpu::loss::{self, Reduction as CpuReduction};
use crate::dtype::{DType, compute_float};
use crate::error::{Error, Result, bail, ensure};
use crate::gpu::GpuView;
use crate::gpu::kernels::loss as gpu_loss;
use crate::ops::MaybeTensor;
use crate::shape::Dims;
use crate::stream::{CpuView, Kernel, Launch};
use crate::tensor::{Ctx, Grads, Meta, Op, OutSpec, Saves, Tensor, apply, apply_one, methods, no_grads};
use smallvec::SmallVec;
use std::sync::Arc;

/// How the losses of a batch become one number, or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reduction {
    /// One loss an element.
    None,
    /// Their mean.
    #[default]
    Mean,
    /// Their sum.
    Sum,
}

impl std::str::FromStr for Reduction {
    type Err = Error;
    fn from_str(s: &str) -> Result<Reduction> {
        match s {
            "none" => Ok(Reduction::None),
            "mean" => Ok(Reduction::Mean),
            "sum" => Ok(Reduction::Sum),
            _ => bail!(Value, "{s} is not a valid value for reduction"),
        }
    }
}

impl Reduction {
    /// Applied to losses.
    pub(super) fn of(self, losses: Tensor) -> Result<Tensor> {
        match self {
            Reduction::None => Ok(losses),
            Reduction::Mean => losses.checked().mean(),
            Reduction::Sum => losses.checked().sum(),
        }
    }

    /// The part of a gradient that falls to each of `n` losses.
    pub(super) fn share(self, g: &Tensor, n: usize) -> Result<Tensor> {
        if self == Reduction::Mean { g.checked().div(n as f64) } else { Ok(g.clone()) }
    }
}

/// What `nll_loss` and `cross_entropy` default: no class weights, `ignore_index` -100, the mean, no smoothing.
#[non_exhaustive]
#[derive(Clone, Debug)]
pub struct CrossEntropyOptions {
    /// A factor for each class.
    pub weight: Option<Tensor>,
    /// A target that counts for nothing.
    pub ignore_index: i64,
    /// What becomes of the losses.
    pub reduction: Reduction,
    /// The share of the target that is spread over all classes (`cross_entropy` only).
    pub label_smoothing: f64,
}

impl Default for CrossEntropyOptions {
    fn default() -> CrossEntropyOptions {
        CrossEntropyOptions { weight: None, ignore_index: -100, reduction: Reduction::Mean, label_smoothing: 0.0 }
    }
}

impl CrossEntropyOptions {
    /// All defaults.
    pub fn new() -> CrossEntropyOptions {
        CrossEntropyOptions::default()
    }
    /// With a factor for each class.
    pub fn weight(mut self, weight: impl Into<MaybeTensor>) -> CrossEntropyOptions {
        self.weight = weight.into().0;
        self
    }
    /// With another target that counts for nothing.
    pub fn ignore_index(mut self, index: i64) -> CrossEntropyOptions {
        self.ignore_index = index;
        self
    }
    /// With another reduction.
    pub fn reduction(mut self, reduction: Reduction) -> CrossEntropyOptions {
        self.reduction = reduction;
        self
    }
    /// With a share of the target spread over all classes.
    pub fn label_smoothing(mut self, share: f64) -> CrossEntropyOptions {
        self.label_smoothing = share;
        self
    }
}

impl From<()> for CrossEntropyOptions {
    fn from(_: ()) -> CrossEntropyOptions {
        CrossEntropyOptions::default()
    }
}
impl From<Reduction> for CrossEntropyOptions {
    fn from(reduction: Reduction) -> CrossEntropyOptions {
        CrossEntropyOptions::new().reduction(reduction)
    }
}

/// The op over input `[N, C]` or `[N, C, S]`, target `[N]` or `[N, S]` and, maybe, weight `[C]`: the loss, and the weights that counted.
#[derive(Clone, Copy, Debug)]
struct NllLoss {
    ignore_index: i64,
    reduction: Reduction,
    node: &'static str,
}

/// Its gradient over that of the loss, the target, the weights that counted and, maybe, the weight.
#[derive(Clone, Debug)]
struct NllLossGrad {
    op: NllLoss,
    shape: Dims,
}

fn cpu_reduction(r: Reduction) -> CpuReduction {
    match r {
        Reduction::None => CpuReduction::None,
        Reduction::Mean => CpuReduction::Mean,
        Reduction::Sum => CpuReduction::Sum,
    }
}

impl NllLoss {
    fn targets<'a>(&self, index: &GpuView<'a>, weight: Option<&GpuView<'a>>) -> gpu_loss::Targets<'a> {
        let reduction = match self.reduction {
            Reduction::None => gpu_loss::Reduction::None,
            Reduction::Mean => gpu_loss::Reduction::Mean,
            Reduction::Sum => gpu_loss::Reduction::Sum,
        };
        gpu_loss::Targets { index: *index, weight: weight.copied(), ignore_index: self.ignore_index, reduction }
    }
}

/// Sizes and strides with an inner dim of 1 where there is none: the CPU kernels take `[N, C, S]` and `[N, S]`.
struct Lifted {
    shape: Dims,
    strides: Dims,
}

impl Lifted {
    fn of(v: &CpuView, ndim: usize) -> Lifted {
        let (mut shape, mut strides) = (Dims::from_slice(v.shape), Dims::from_slice(v.strides));
        shape.resize(ndim, 1);
        strides.resize(ndim, 1);
        Lifted { shape, strides }
    }
    fn view<'a>(&'a self, v: &CpuView<'a>) -> CpuView<'a> {
        CpuView { shape: &self.shape, strides: &self.strides, ..*v }
    }
}

fn out_of_bounds(e: crate::cpu::index::BadIndex) -> Error {
    Error::Index(format!("Target {} is out of bounds.", e.value))
}

impl Kernel for NllLoss {
    fn name(&self) -> &'static str {
        "nll_loss"
    }
    fn cpu(&self, ins: &[CpuView], outs: &[CpuView]) -> Result<()> {
        compute_float!(outs[0].dtype, "nll_loss_out_frame", T => {
            use crate::cpu::number::Number;
            let weight = ins.get(2).map(|w| w.typed::<T>());
            let (ignore, reduction) = (self.ignore_index, cpu_reduction(self.reduction));
            let (x, target) = (Lifted::of(&ins[0], 3), Lifted::of(&ins[1], 2));
            let out = Lifted::of(&outs[0], if self.reduction == Reduction::None { 2 } else { 0 });
            let (x, target) = (x.view(&ins[0]).typed(), target.view(&ins[1]).typed());
            let total = loss::nll_loss::<T>(out.view(&outs[0]).typed_mut(), x, target, weight, ignore, reduction)
                .map_err(out_of_bounds)?;
            let to = outs[1].typed_mut::<T>();
            // SAFETY: the second output has one element.
            unsafe { to.ptr().write(T::from_acc(total)) };
        });
        Ok(())
    }
    fn gpu(&self, launch: &mut Launch, ins: &[GpuView], outs: &[GpuView]) -> Result<bool> {
        if outs[0].dtype != DType::F32 {
            return Ok(false);
        }
        let fault = launch.fault_id("nll_loss", "Target {} is out of bounds.");
        let targets = self.targets(&ins[1], ins.get(2));
        gpu_loss::nll_loss(launch.rec, &ins[0], &targets, &outs[0], &outs[1], fault)?;
        Ok(true)
    }
    fn checks_data(&self) -> bool {
        true
    }
}

impl Op for NllLoss {
    fn node_name(&self) -> &'static str {
        self.node
    }
    fn infer(&self, ins: &[Meta]) -> Result<SmallVec<[OutSpec; 2]>> {
        let d = ins[0].dtype;
        ensure!(d.is_float(), NotImplemented, "\"nll_loss_out_frame\" not implemented for '{}'", d.scalar_name());
        let shape = if self.reduction == Reduction::None { ins[1].shape.0.clone() } else { Dims::new() };
        let mut outs = OutSpec::one(shape, ins[0].dtype);
        outs.push(OutSpec { shape: Dims::new(), dtype: ins[0].dtype });
        Ok(outs)
    }
    fn saves(&self, _: u8) -> Saves {
        Saves { inputs: 0b110, outputs: 0b10 }
    }
    fn vjp(&self, cx: &Ctx) -> Result<Grads> {
        let op = NllLossGrad { op: *self, shape: cx.input_meta(0).shape };
        let total = cx.output(1)?.detach();
        let mut grads = no_grads(3);
        let Some(g) = &cx.grads[0] else { return Ok(grads) };
        let g = &dense(g)?;
        let target = cx.input(1)?;
        grads[0] = Some(match cx.saved(2)? {
            Some(weight) => apply_one(op, &[g, &target, &total, &weight])?,
            None => apply_one(op, &[g, &target, &total])?,
        });
        Ok(grads)
    }
    fn kernel(self: Arc<Self>) -> Arc<dyn Kernel> {
        self
    }
}

impl Kernel for NllLossGrad {
    fn name(&self) -> &'static str {
        "nll_loss_backward"
    }
    fn cpu(&self, ins: &[CpuView], outs: &[CpuView]) -> Result<()> {
        compute_float!(outs[0].dtype, "nll_loss_backward_out_frame", T => {
            use crate::cpu::number::Number;
            // SAFETY: the total is one element.
            let total = unsafe { ins[2].typed::<T>().ptr().read() }.acc();
            let weight = ins.get(3).map(|w| w.typed::<T>());
            let (ignore, reduction) = (self.op.ignore_index, cpu_reduction(self.op.reduction));
            let (gx, target) = (Lifted::of(&outs[0], 3), Lifted::of(&ins[1], 2));
            let g = Lifted::of(&ins[0], if self.op.reduction == Reduction::None { 2 } else { 0 });
            let (gx, g) = (gx.view(&outs[0]).typed_mut(), g.view(&ins[0]).typed());
            loss::nll_loss_grad::<T>(gx, g, target.view(&ins[1]).typed(), weight, ignore, reduction, total)
                .map_err(out_of_bounds)?;
        });
        Ok(())
    }
    fn gpu(&self, launch: &mut Launch, ins: &[GpuView], outs: &[GpuView]) -> Result<bool> {
        if outs[0].dtype != DType::F32 {
            return Ok(false);
        }
        let targets = self.op.targets(&ins[1], ins.get(3));
        gpu_loss::nll_loss_grad(launch.rec, &targets, &ins[0], &ins[2], &outs[0])?;
        Ok(true)
    }
    fn checks_data(&self) -> bool {
        false
    }
}

impl Op for NllLossGrad {
    fn node_name(&self) -> &'static str {
        "NllLossBackwardBackward0"
    }
    fn infer(&self, ins: &[Meta]) -> Result<SmallVec<[OutSpec; 2]>> {
        Ok(OutSpec::one(self.shape.clone(), ins[0].dtype))
    }
    fn saves(&self, _: u8) -> Saves {
        Saves { inputs: 0b1010, outputs: 0 }
    }
    fn vjp(&self, cx: &Ctx) -> Result<Grads> {
        // linear in the loss's gradient: the same sum over another input
        let target = cx.input(1)?;
        let again = match cx.saved(3)? {
            Some(w) => apply(self.op, &[&dense(cx.g())?, &target, &w])?,
            None => apply(self.op, &[&dense(cx.g())?, &target])?,
        };
        let mut grads = no_grads(4);
        grads[0] = Some(again[0].clone());
        Ok(grads)
    }
    fn kernel(self: Arc<Self>) -> Arc<dyn Kernel> {
        self
    }
}

/// Checked input `[N, C, ...]` or `[C]` and target; the loss in the target's shape, or as one number.
#[track_caller]
fn nll(x: &Tensor, target: &Tensor, o: &CrossEntropyOptions) -> Result<Tensor> {
    let (xs, ts) = (x.shape(), target.shape());
    let n = xs.len();
    ensure!(n >= 1, Runtime, "input tensor should be 1D or 2D");
    if let Some(w) = &o.weight {
        let classes = xs[if n == 1 { 0 } else { 1 }];
        ensure!(
            w.shape()[..] == [classes],
            Runtime,
            "weight tensor should be defined either for all {classes} classes or no classes but got weight tensor of shape: {:?}",
            &w.shape()[..]
        );
        ensure!(
            w.dtype() == x.dtype(),
            Runtime,
            "expected scalar type {} but found {}",
            x.dtype().scalar_name(),
            w.dtype().scalar_name()
        );
    }
    let target = match target.dtype() {
        DType::I64 => target.clone(),
        DType::U8 => target.checked().to(DType::I64)?,
        d => bail!(Runtime, "expected target dtype to be Long or Byte, but got {}", d.scalar_name()),
    };
    let (flat, node) = match n {
        1 => {
            ensure!(
                ts.is_empty() || ts[..] == [1],
                Runtime,
                "For 1D input, 1D target must have size 1, but got target size: {:?}",
                &ts[..]
            );
            ([1, xs[0], 1], "NllLossBackward0")
        }
        2 => {
            ensure!(ts.len() <= 1, Runtime, "0D or 1D target tensor expected, multi-target not supported");
            ensure!(
                ts[..] == xs[..1],
                Value,
                "Expected input batch_size ({}) to match target batch_size ({}).",
                xs[0],
                ts.first().copied().unwrap_or(1)
            );
            ([xs[0], xs[1], 1], "NllLossBackward0")
        }
        _ => {
            let mut want = vec![xs[0]];
            want.extend(&xs[2..]);
            ensure!(
                ts.first() == Some(&xs[0]),
                Value,
                "Expected input batch_size ({}) to match target batch_size ({}).",
                xs[0],
                ts.first().copied().unwrap_or(1)
            );
            ensure!(ts[..] == want[..], Runtime, "Expected target size {want:?}, got {:?}", &ts[..]);
            ([xs[0], xs[1], xs[2..].iter().product()], "NllLoss2DBackward0")
        }
    };
    let op = NllLoss { ignore_index: o.ignore_index, reduction: o.reduction, node };
    // two dims stay as they are, so that the node's input is PyTorch's
    let x = if n == 2 { x.clone() } else { x.checked().reshape(flat)? };
    let target = if n == 2 { target } else { target.checked().reshape([flat[0], flat[2]])? };
    let (x, target) = (dense(&x)?, dense(&target)?);
    let outs = match &o.weight {
        Some(w) => apply(op, &[&x, &target, &dense(w)?])?,
        None => apply(op, &[&x, &target])?,
    };
    if o.reduction == Reduction::None { outs[0].checked().reshape(&ts) } else { Ok(outs[0].clone()) }
}

/// `cross_entropy` against class probabilities of the input's shape.
fn against_probabilities(x: &Tensor, target: &Tensor, o: &CrossEntropyOptions) -> Result<Tensor> {
    ensure!(
        target.dtype().is_float(),
        Runtime,
        "Expected floating point type for target with class probabilities, got {}",
        target.dtype().scalar_name()
    );
    ensure!(o.ignore_index < 0, Runtime, "ignore_index is not supported for floating point target");
    let shape = x.shape();
    let dim = if shape.len() == 1 { 0 } else { 1 };
    let classes = shape[dim];
    let log = x.checked().log_softmax(dim as isize, ())?;
    let target = match o.label_smoothing {
        0.0 => target.clone(),
        s => target.checked().mul(1.0 - s)?.checked().add(s / classes as f64)?,
    };
    let mut products = log.checked().mul(&target)?;
    if let Some(w) = &o.weight {
        products = products.checked().mul(&class_weights(w, shape.len(), dim)?)?;
    }
    match o.reduction {
        Reduction::None => products.checked().sum_dim(dim as isize, ())?.checked().neg(),
        Reduction::Sum => products.checked().sum()?.checked().neg(),
        Reduction::Mean => {
            products.checked().sum()?.checked().neg()?.checked().div((shape.numel() / classes.max(1)) as f64)
        }
    }
}

/// A weight for each class, laid along the class dim.
fn class_weights(w: &Tensor, ndim: usize, dim: usize) -> Result<Tensor> {
    let mut sizes = vec![1isize; ndim];
    sizes[dim] = -1;
    w.checked().view(sizes)
}

/// `cross_entropy` against class indices with a share of each target spread over all classes.
fn smoothed(x: &Tensor, target: &Tensor, o: &CrossEntropyOptions) -> Result<Tensor> {
    let shape = x.shape();
    let dim = if shape.len() == 1 { 0 } else { 1 };
    let log = x.checked().log_softmax(dim as isize, ())?;
    let hard = nll(&log, target, o)?;
    let spread = match &o.weight {
        Some(w) => log.checked().mul(&class_weights(w, shape.len(), dim)?)?,
        None => log.clone(),
    };
    let spread = spread.checked().sum_dim(dim as isize, ())?.checked().neg()?;
    let ignored = target.checked().eq(o.ignore_index)?;
    let spread = spread.checked().masked_fill(&ignored, 0.0)?;
    let spread = match o.reduction {
        Reduction::None => spread,
        Reduction::Sum => spread.checked().sum()?,
        Reduction::Mean => {
            let counted = match &o.weight {
                Some(w) => {
                    let safe = target.checked().masked_fill(&ignored, 0)?.checked().flatten(0)?;
                    let weights = w.checked().gather(0, &safe)?;
                    weights.checked().masked_fill(&ignored.checked().flatten(0)?, 0.0)?.checked().sum()?
                }
                None => ignored.checked().logical_not()?.checked().to(x.dtype())?.checked().sum()?,
            };
            spread.checked().sum()?.checked().div(&counted)?
        }
    };
    let s = o.label_smoothing;
    hard.checked().mul(1.0 - s)?.checked().add(&spread.checked().mul(s / shape[dim] as f64)?)
}

/// Says that a loss broadcasts, as PyTorch warns.
pub(super) fn warn_sizes(name: &str, x: &Tensor, target: &Tensor) {
    let (a, b) = (x.shape(), target.shape());
    if a != b {
        eprintln!(
            "wgtorch: {name}: Using a target size ({b}) that is different to the input size ({a}). This will likely lead to incorrect results due to broadcasting. Please ensure they have the same size."
        );
    }
}

methods! {
    /// The negative log-likelihood of class indices under log-probabilities `[N, C, ...]` (`torch.nn.functional.nll_loss`).
    ///
    /// # Panics
    /// If the sizes do not fit, or a target is no class.
    fn nll_loss(&self, target: &Tensor, options: impl Into<CrossEntropyOptions>) -> Tensor {
        nll(self.0, target, &options.into())
    }

    /// The cross entropy of logits `[N, C, ...]` (or `[C]`) against class indices, or class probabilities of their shape
    /// (`torch.nn.functional.cross_entropy`).
    ///
    /// # Panics
    /// If the sizes do not fit, or a target is no class.
    ///
    /// ```
    /// # use wgtorch::prelude::*;
    /// let loss = tensor!([[0., 0.], [0., 0.]]).cross_entropy(&tensor!([0, 1]), ());
    /// assert!((loss.item::<f32>()? - 2f32.ln()).abs() < 1e-6);
    /// # Ok::<(), Error>(())
    /// ```
    fn cross_entropy(&self, target: &Tensor, options: impl Into<CrossEntropyOptions>) -> Tensor {
        let (x, o) = (self.0, options.into());
        ensure!(
            (0.0..=1.0).contains(&o.label_smoothing),
            Runtime,
            "label_smoothing must be between 0.0 and 1.0. Got: {}",
            o.label_smoothing
        );
        ensure!(x.dim() > 0, Runtime, "input tensor should be 1D or 2D");
        if x.shape() == target.shape() {
            return against_probabilities(x, target, &o);
        }
        if o.label_smoothing > 0.0 {
            return smoothed(x, target, &o);
        }
        let log = self.log_softmax(if x.dim() == 1 { 0 } else { 1 }, ())?;
        nll(&log, target, &o)
    }

    /// The squared difference, reduced (`torch.nn.functional.mse_loss`).
    ///
    /// # Panics
    /// If the sizes do not broadcast, or the dtype is no float.
    fn mse_loss(&self, target: &Tensor, reduction: Reduction) -> Tensor {
        let x = self.0;
        warn_sizes("mse_loss", x, target);
        let common = x.dtype().promote(target.dtype());
        ensure!(common.is_float(), NotImplemented, "\"mse_cpu\" not implemented for '{}'", common.scalar_name());
        let forward = || {
            let d = x.checked().sub(target)?;
            reduction.of(d.checked().mul(&d)?)
        };
        composite("MseLossBackward0", &[x, target], Saves { inputs: 0b11, outputs: 0 }, forward, move |cx| {
            let d = cx.input(0)?.checked().sub(&cx.input(1)?)?;
            let factor = match reduction {
                Reduction::Mean => 2.0 / d.numel() as f64,
                _ => 2.0,
            };
            let g = d.checked().mul(factor)?.checked().mul(cx.g())?;
            let mut grads = no_grads(2);
            if cx.needs(1) {
                grads[1] = Some(g.checked().neg()?);
            }
            if cx.needs(0) {
                grads[0] = Some(g);
            }
            Ok(grads)
        })
    }

    /// The absolute difference, reduced (`torch.nn.functional.l1_loss`).
    ///
    /// # Panics
    /// If the sizes do not broadcast.
    fn l1_loss(&self, target: &Tensor, reduction: Reduction) -> Tensor {
        warn_sizes("l1_loss", self.0, target);
        reduction.of(self.sub(target)?.checked().abs()?)
    }
}

impl Ctx<'_> {
    /// An optional input that the node keeps where it was given.
    pub(super) fn saved(&self, input: usize) -> Result<Option<Tensor>> {
        if self.has_saved(input) { self.input(input).map(Some) } else { Ok(None) }
    }
}
