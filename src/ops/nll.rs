//! The negative log-likelihood of class indices, and cross entropy against them as one kernel each way.
//!
//! NOTE [Cross entropy]: PyTorch's graph has two nodes, NllLossBackward0 over LogSoftmaxBackward0, and the second keeps the
//! log-probabilities: logits may be written where they lie once the loss is recorded, so what a backward pass needs cannot be taken
//! from them. So one kernel computes the losses and, where a gradient may be asked for, the log-probabilities, and both nodes
//! are put on the tape as if two ops had run. Backwards each node records its own kernel; a flush makes one of them
//! (`Epilogue::LogSoftmaxGrad`) where nobody sees the gradient between the two, however the nodes came about. A flush that holds both ways
//! and no write to the logits between them does without the log-probabilities (NOTE [Made again]). Gradients of gradients are
//! compositions of other ops, as those of both nodes are.

use super::conv::dense;
use super::loss::{CrossEntropyOptions, Reduction};
use super::on_gpu::{Temp, dense as dense_view};
use super::softmax::Softmax;
use crate::cpu::cross_entropy;
use crate::cpu::index::BadIndex;
use crate::cpu::loss::{self, Reduction as CpuReduction};
use crate::cpu::number::Number;
use crate::cpu::softmax::softmax;
use crate::cpu::view::{View, ViewMut};
use crate::dtype::{DType, compute_float};
use crate::error::{Error, Result, bail, ensure};
use crate::gpu::GpuView;
use crate::gpu::kernels::cross_entropy::{self as gpu_cross_entropy, Keep, Source};
use crate::gpu::kernels::loss as gpu_loss;
use crate::shape::Dims;
use crate::stream::{Arg, CpuView, Epilogue, Kernel, Launch};
use crate::tensor::{
    Ctx, Grads, Meta, Op, OutSpec, Saves, Tensor, apply, apply_one, grad_enabled, launch, no_grads, record,
};
use smallvec::SmallVec;
use std::sync::Arc;

/// The op over input `[C]`, `[N, C]` or `[N, C, ..]`, a target for each position beside the classes and, maybe, weight `[C]`:
/// the loss, and the weights that counted.
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
    weighted: bool,
}

/// The loss over logits: its outputs, and a third one.
#[derive(Clone, Copy, Debug)]
struct CrossEntropy {
    op: NllLoss,
    third: Third,
}

/// What [`CrossEntropy`] leaves besides losses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Third {
    Nothing,
    Logs,
    /// What makes them of the logits, four numbers a position: only on GPUs.
    Totals,
}

/// The gradient of the logits over [`NllLossGrad`]'s operands and, behind them, the log-probabilities, or the logits and totals.
#[derive(Clone, Copy, Debug)]
struct CrossEntropyGrad {
    op: NllLoss,
    weighted: bool,
    totals: bool,
}

fn cpu_reduction(r: Reduction) -> CpuReduction {
    match r {
        Reduction::None => CpuReduction::None,
        Reduction::Mean => CpuReduction::Mean,
        Reduction::Sum => CpuReduction::Sum,
    }
}

/// The dim of the classes.
fn class_dim(ndim: usize) -> usize {
    usize::from(ndim > 1)
}

/// Sizes and strides as the CPU kernels take them: `[N, C, S]` and `[N, S]`. Where there are several dims behind the classes, whoever
/// launches a kernel sees to it that they lie as one.
struct Lifted {
    shape: Dims,
    strides: Dims,
}

impl Lifted {
    /// Of something with a dim of classes.
    fn classes(v: &CpuView) -> Lifted {
        let mut l = Lifted { shape: Dims::from_slice(v.shape), strides: Dims::from_slice(v.strides) };
        if l.shape.len() == 1 {
            l.shape.insert(0, 1);
            l.strides.insert(0, 0);
        }
        l.join(2);
        l
    }
    /// Of something with one element for each position.
    fn positions(v: &CpuView) -> Lifted {
        let mut l = Lifted { shape: Dims::from_slice(v.shape), strides: Dims::from_slice(v.strides) };
        if l.shape.is_empty() {
            l.shape.push(1);
            l.strides.push(0);
        }
        l.join(1);
        l
    }
    /// One dim in the place of all from `at` on.
    fn join(&mut self, at: usize) {
        let size = self.shape[at..].iter().product();
        // dims of one element have any stride
        let mut long =
            (at..self.shape.len()).filter(|&d| self.shape[d] != 1).map(|d| (self.shape[d], self.strides[d])).rev();
        let stride = long.next().map_or(1, |(n, s)| {
            debug_assert!(size == 0 || long.try_fold(n * s, |want, (n, s)| (s == want).then_some(n * s)).is_some());
            s
        });
        self.shape.truncate(at);
        self.strides.truncate(at);
        self.shape.push(size);
        self.strides.push(stride);
    }
    fn view<'a>(&'a self, v: &CpuView<'a>) -> CpuView<'a> {
        CpuView { shape: &self.shape, strides: &self.strides, ..*v }
    }
}

fn out_of_bounds(e: BadIndex) -> Error {
    Error::Index(format!("Target {} is out of bounds.", e.value))
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

    fn specs(&self, x: &Meta, target: &Meta) -> Result<SmallVec<[OutSpec; 2]>> {
        let d = x.dtype;
        ensure!(d.is_float(), NotImplemented, "\"nll_loss_out_frame\" not implemented for '{}'", d.scalar_name());
        let shape = if self.reduction == Reduction::None { target.shape.0.clone() } else { Dims::new() };
        let mut outs = OutSpec::one(shape, d);
        outs.push(OutSpec { shape: Dims::new(), dtype: d });
        Ok(outs)
    }

    /// Losses on the CPU, by the kernel given, of its first operand.
    fn losses<T: Number>(&self, x: &CpuView, ins: &[CpuView], outs: &[CpuView], kernel: Losses<T>) -> Result<()> {
        let (x_at, target, out) = (Lifted::classes(x), Lifted::positions(&ins[1]), Lifted::positions(&outs[0]));
        let (x, target) = (x_at.view(x).typed::<T>(), target.view(&ins[1]).typed());
        let weight = ins.get(2).map(|w| w.typed::<T>());
        let (ignore, reduction) = (self.ignore_index, cpu_reduction(self.reduction));
        let total =
            kernel(out.view(&outs[0]).typed_mut(), x, target, weight, ignore, reduction).map_err(out_of_bounds)?;
        // SAFETY: the second output has one element.
        unsafe { outs[1].typed_mut::<T>().ptr().write(T::from_acc(total)) };
        Ok(())
    }
}

/// The CPU's kernels for losses: of log-probabilities or of logits.
type Losses<T> = fn(
    ViewMut<T>,
    View<T>,
    View<i64>,
    Option<View<T>>,
    i64,
    CpuReduction,
) -> std::result::Result<<T as Number>::Acc, BadIndex>;

impl Kernel for NllLoss {
    fn name(&self) -> &'static str {
        "nll_loss"
    }
    fn cpu(&self, ins: &[CpuView], outs: &[CpuView]) -> Result<()> {
        compute_float!(outs[0].dtype, "nll_loss_out_frame", T => self.losses::<T>(&ins[0], ins, outs, loss::nll_loss)?);
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
        self.specs(&ins[0], &ins[1])
    }
    fn saves(&self, _: u8) -> Saves {
        Saves { inputs: 0b110, outputs: 0b10 }
    }
    fn vjp(&self, cx: &Ctx) -> Result<Grads> {
        let mut grads = no_grads(3);
        let Some(g) = cx.grads[0].as_ref().filter(|_| cx.needs(0)) else { return Ok(grads) };
        let weight = cx.saved(2)?;
        let op = NllLossGrad { op: *self, shape: cx.input_meta(0).shape, weighted: weight.is_some() };
        let total = cx.output(1)?.detach();
        let (g, target) = (&g.checked().contiguous()?, cx.input(1)?);
        grads[0] = Some(match weight {
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
            // SAFETY: the total is one element.
            let total = unsafe { ins[2].typed::<T>().ptr().read() }.acc();
            let weight = ins.get(3).map(|w| w.typed::<T>());
            let (ignore, reduction) = (self.op.ignore_index, cpu_reduction(self.op.reduction));
            let (gx, target, g) =
                (Lifted::classes(&outs[0]), Lifted::positions(&ins[1]), Lifted::positions(&ins[0]));
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
    fn absorb(&self, next: &Epilogue) -> Option<Arc<dyn Kernel>> {
        match next {
            Epilogue::LogSoftmaxGrad { dim } if *dim == class_dim(self.shape.len()) => {
                Some(Arc::new(CrossEntropyGrad { op: self.op, weighted: self.weighted, totals: false }))
            }
            _ => None,
        }
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
            Some(w) => apply(self.op, &[&cx.g().checked().contiguous()?, &target, &w])?,
            None => apply(self.op, &[&cx.g().checked().contiguous()?, &target])?,
        };
        let mut grads = no_grads(4);
        grads[0] = Some(again[0].clone());
        Ok(grads)
    }
    fn kernel(self: Arc<Self>) -> Arc<dyn Kernel> {
        self
    }
}

impl Kernel for CrossEntropy {
    fn name(&self) -> &'static str {
        "cross_entropy_loss"
    }
    fn cpu(&self, ins: &[CpuView], outs: &[CpuView]) -> Result<()> {
        compute_float!(outs[0].dtype, "log_softmax_lastdim_kernel_impl", T => {
            let x = Lifted::classes(&ins[0]);
            let x = x.view(&ins[0]).typed::<T>();
            match self.third {
                Third::Nothing => self.op.losses::<T>(&ins[0], ins, outs, cross_entropy::cross_entropy)?,
                Third::Logs => {
                    let log = &outs[2];
                    softmax(Lifted::classes(log).view(log).typed_mut::<T>(), x, 1, true);
                    self.op.losses::<T>(log, ins, outs, loss::nll_loss)?;
                }
                Third::Totals => bail!(NotImplemented, "{}: totals are left on GPUs only", self.name()),
            }
        });
        Ok(())
    }
    fn gpu(&self, launch: &mut Launch, ins: &[GpuView], outs: &[GpuView]) -> Result<bool> {
        if outs[0].dtype != DType::F32 {
            return Ok(false);
        }
        let fault = launch.fault_id(self.name(), "Target {} is out of bounds.");
        let mut temp = Temp::default();
        let Some(x) = dense_view(launch, &ins[0], &mut temp)? else { return Ok(false) };
        let targets = self.op.targets(&ins[1], ins.get(2));
        let keep = match self.third {
            Third::Nothing => Keep::Nothing,
            Third::Logs => Keep::Logs(outs[2]),
            Third::Totals => Keep::Totals(outs[2]),
        };
        let to = gpu_cross_entropy::Results { loss: outs[0], total: outs[1], keep };
        gpu_cross_entropy::cross_entropy(launch.rec, &x, &targets, &to, fault)?;
        Ok(true)
    }
    fn checks_data(&self) -> bool {
        true
    }
    fn lean(&self, ins: &[Arg]) -> Option<(Arc<dyn Kernel>, Dims)> {
        let (x, rows) = (&ins[0], ins[1].layout.numel());
        let suits = self.third == Third::Logs
            && x.storage.device.is_gpu()
            && x.dtype == DType::F32
            && x.layout.is_contiguous()
            && x.layout.numel() > 0;
        let classes = x.layout.shape[class_dim(x.layout.ndim())];
        (suits && !gpu_cross_entropy::is_few(rows, classes)).then(|| {
            let lean = CrossEntropy { third: Third::Totals, ..*self };
            (Arc::new(lean) as Arc<dyn Kernel>, Dims::from_slice(&[rows, 4]))
        })
    }
}

impl Kernel for CrossEntropyGrad {
    fn name(&self) -> &'static str {
        "cross_entropy_loss_backward"
    }
    fn cpu(&self, ins: &[CpuView], outs: &[CpuView]) -> Result<()> {
        ensure!(!self.totals, NotImplemented, "{}: totals are left on GPUs only", self.name());
        let (ins, log) = (&ins[..ins.len() - 1], &ins[ins.len() - 1]);
        compute_float!(outs[0].dtype, "log_softmax_backward_lastdim_kernel_impl", T => {
            // SAFETY: the total is one element.
            let total = unsafe { ins[2].typed::<T>().ptr().read() }.acc();
            let weight = ins.get(3).map(|w| w.typed::<T>());
            let (ignore, reduction) = (self.op.ignore_index, cpu_reduction(self.op.reduction));
            let (gx, y) = (Lifted::classes(&outs[0]), Lifted::classes(log));
            let (target, g) = (Lifted::positions(&ins[1]), Lifted::positions(&ins[0]));
            let (gx, y) = (gx.view(&outs[0]).typed_mut(), y.view(log).typed());
            let (g, target) = (g.view(&ins[0]).typed(), target.view(&ins[1]).typed());
            cross_entropy::cross_entropy_grad::<T>(gx, y, g, target, weight, ignore, reduction, total)
                .map_err(out_of_bounds)?;
        });
        Ok(())
    }
    fn gpu(&self, launch: &mut Launch, ins: &[GpuView], outs: &[GpuView]) -> Result<bool> {
        if outs[0].dtype != DType::F32 {
            return Ok(false);
        }
        let targets = self.op.targets(&ins[1], self.weighted.then(|| &ins[3]));
        let last = ins[ins.len() - 1];
        let from = if self.totals { Source::Logits(ins[ins.len() - 2], last) } else { Source::Logs(last) };
        gpu_cross_entropy::cross_entropy_grad(launch.rec, &targets, &ins[0], &ins[2], from, &outs[0])?;
        Ok(true)
    }
    fn checks_data(&self) -> bool {
        false
    }
    fn over_source(&self) -> Option<Arc<dyn Kernel>> {
        (!self.totals).then(|| Arc::new(CrossEntropyGrad { totals: true, ..*self }) as Arc<dyn Kernel>)
    }
}

/// Arguments that were found to fit.
struct Checked {
    /// int64.
    target: Tensor,
    op: NllLoss,
    /// The sizes that PyTorch gives input of three dims or more than four.
    flat: Option<[usize; 4]>,
}

/// Checks target and options against input `[N, C, ...]` or `[C]`.
fn check(x: &Tensor, target: &Tensor, o: &CrossEntropyOptions) -> Result<Checked> {
    let (xs, ts) = (x.shape(), target.shape());
    let n = xs.len();
    ensure!(n >= 1, Runtime, "input tensor should be 1D or 2D");
    if let Some(w) = &o.weight {
        let classes = xs[class_dim(n)];
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
    let node = match n {
        1 => {
            ensure!(
                ts.is_empty() || ts[..] == [1],
                Runtime,
                "For 1D input, 1D target must have size 1, but got target size: {:?}",
                &ts[..]
            );
            "NllLossBackward0"
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
            "NllLossBackward0"
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
            "NllLoss2DBackward0"
        }
    };
    let flat = (n == 3 || n > 4).then(|| [xs[0], xs[1], 1, xs[2..].iter().product()]);
    let mut target = target.checked().contiguous()?;
    if let Some([n, _, one, inner]) = flat {
        target = target.checked().view([n, one, inner])?;
    }
    Ok(Checked { target, op: NllLoss { ignore_index: o.ignore_index, reduction: o.reduction, node }, flat })
}

impl Checked {
    /// Input as the node takes it.
    #[track_caller]
    fn input(&self, x: &Tensor) -> Result<Tensor> {
        match self.flat {
            Some(flat) => x.checked().contiguous()?.checked().view(flat),
            None if x.dim() > 2 => x.checked().contiguous(),
            None => dense(x),
        }
    }

    /// The loss as the caller gets it.
    #[track_caller]
    fn loss(&self, out: &Tensor, target: &Tensor) -> Result<Tensor> {
        if self.flat.is_some() && self.op.reduction == Reduction::None {
            return out.checked().view(target.shape());
        }
        Ok(out.clone())
    }
}

/// The loss of log-probabilities `[N, C, ...]` or `[C]`, in the target's shape, or as one number.
#[track_caller]
pub(super) fn nll(x: &Tensor, target: &Tensor, o: &CrossEntropyOptions) -> Result<Tensor> {
    let checked = check(x, target, o)?;
    let x = checked.input(x)?;
    let outs = match &o.weight {
        Some(w) => apply(checked.op, &[&x, &checked.target, &dense(w)?])?,
        None => apply(checked.op, &[&x, &checked.target])?,
    };
    checked.loss(&outs[0], target)
}

/// The loss of logits `[N, C, ...]` or `[C]`: NOTE [Cross entropy].
#[track_caller]
pub(super) fn cross_entropy(x: &Tensor, target: &Tensor, o: &CrossEntropyOptions) -> Result<Tensor> {
    let first = Softmax { dim: class_dim(x.dim()), log: true };
    first.infer(&[x.meta()])?;
    let checked = check(x, target, o)?;
    let weight = o.weight.as_ref().map(dense).transpose()?;
    let recorded = grad_enabled() && [x].into_iter().chain(&weight).any(|t| t.requires_grad());
    // several dims behind the classes are taken as one
    let logits = if x.dim() > 3 { x.detach().checked().contiguous()? } else { x.clone() };
    let ins: SmallVec<[&Tensor; 3]> = [&logits, &checked.target].into_iter().chain(&weight).collect();
    // without log-probabilities kernels take row-major logits only
    let third = if recorded || !logits.is_contiguous() { Third::Logs } else { Third::Nothing };
    let infer = |metas: &[Meta]| {
        let mut outs = checked.op.specs(&metas[0], &metas[1])?;
        if third == Third::Logs {
            outs.push(OutSpec { shape: metas[0].shape.0.clone(), dtype: metas[0].dtype });
        }
        Ok(outs)
    };
    let outs = launch(Arc::new(CrossEntropy { op: checked.op, third }), &ins, infer, x.device())?;
    if let Some(log) = outs.get(2) {
        record(Arc::new(first), &[x], std::slice::from_ref(log));
        let log = checked.input(log)?;
        let ins: SmallVec<[&Tensor; 3]> = [&log, &checked.target].into_iter().chain(&weight).collect();
        record(Arc::new(checked.op), &ins, &outs[..2]);
    }
    checked.loss(&outs[0], target)
}
