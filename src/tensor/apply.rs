//! The op contract, and the one path by which an op that is not elementwise runs: infer, allocate, record twice.

use super::tape::{Ctx, Func, Grads, Node, OutMeta, Saved, SavedSet, grad_enabled};
use super::{Meta, Tensor};
use crate::device::Device;
use crate::dtype::DType;
use crate::error::{Result, ensure};
use crate::shape::Dims;
use crate::stream::{self, Kernel, KernelCmd, Storage};
use crate::trace;
use smallvec::SmallVec;
use std::panic::Location;
use std::sync::Arc;

/// Shape and dtype of an output.
#[derive(Clone, Debug)]
pub struct OutSpec {
    /// Sizes.
    pub shape: Dims,
    /// Element type.
    pub dtype: DType,
}

impl OutSpec {
    /// One output.
    pub fn one(shape: impl Into<Dims>, dtype: DType) -> SmallVec<[OutSpec; 2]> {
        std::iter::once(OutSpec { shape: shape.into(), dtype }).collect()
    }
}

/// Which inputs and outputs a derivative reads, as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Saves {
    /// Bit i: input i.
    pub inputs: u8,
    /// Bit i: output i.
    pub outputs: u8,
}

impl Saves {
    /// Keeps nothing.
    pub const NONE: Saves = Saves { inputs: 0, outputs: 0 };
}

/// An op that is not elementwise: rules and derivative here, kernels in [`Kernel`]. No defaults: what is forgotten does not
/// compile.
pub trait Op: Kernel {
    /// PyTorch's name of the node, `MmBackward0`.
    fn node_name(&self) -> &'static str;
    /// Shapes and dtypes of the outputs, and every error that they can show.
    fn infer(&self, ins: &[Meta]) -> Result<SmallVec<[OutSpec; 2]>>;
    /// What the derivative reads, given the inputs that need a gradient (bit i for input i).
    fn saves(&self, needs: u8) -> Saves;
    /// Gradients of the inputs.
    fn vjp(&self, cx: &Ctx) -> Result<Grads>;
    /// The same object as the device half.
    fn kernel(self: Arc<Self>) -> Arc<dyn Kernel>;
}

/// Runs an op on tensors of one device.
#[track_caller]
pub fn apply(op: impl Op + 'static, ins: &[&Tensor]) -> Result<SmallVec<[Tensor; 2]>> {
    apply_on(op, ins, ins.first().map_or(Device::Cpu, |t| t.device()))
}

/// Runs an op that may have no inputs on a device.
#[track_caller]
pub fn apply_on(op: impl Op + 'static, ins: &[&Tensor], device: Device) -> Result<SmallVec<[Tensor; 2]>> {
    let op = Arc::new(op);
    let infer = |metas: &[Meta]| op.infer(metas);
    let outs = launch(op.clone().kernel(), ins, infer, device)?;
    record(op, ins, &outs);
    Ok(outs)
}

/// Runs a kernel on tensors of one device, with outputs as `infer` tells, and puts nothing on the tape.
#[track_caller]
pub fn launch(
    kernel: Arc<dyn Kernel>,
    ins: &[&Tensor],
    infer: impl FnOnce(&[Meta]) -> Result<SmallVec<[OutSpec; 2]>>,
    device: Device,
) -> Result<SmallVec<[Tensor; 2]>> {
    let location = Location::caller();
    let _span = trace::span(trace::Kind::Op, kernel.name());
    for t in ins {
        ensure!(
            t.device() == device,
            Runtime,
            "Expected all tensors to be on the same device, but found at least two devices, {device} and {}! ({})",
            t.device(),
            kernel.name()
        );
    }
    let metas: SmallVec<[Meta; 3]> = ins.iter().map(|t| t.meta()).collect();
    let specs = infer(&metas)?;
    let outs: SmallVec<[Tensor; 2]> = specs
        .iter()
        .map(|s| {
            let storage = Storage::new(device, s.dtype, crate::shape::numel(&s.shape));
            Tensor::from_storage(storage, &s.shape, s.dtype)
        })
        .collect();
    stream::kernel(KernelCmd {
        kernel,
        ins: ins.iter().map(|t| t.arg()).collect(),
        outs: outs.iter().map(|t| t.arg()).collect(),
        location,
    })?;
    Ok(outs)
}

/// Puts an op that computed `outs` from `ins` on the tape, where gradients flow.
pub fn record(op: Arc<dyn Op>, ins: &[&Tensor], outs: &[Tensor]) {
    if !grad_enabled() {
        return;
    }
    let needs = ins.iter().enumerate().fold(0u8, |m, (i, t)| m | (t.requires_grad() as u8) << i);
    if needs == 0 || !outs.iter().any(|t| t.dtype().is_differentiable()) {
        return;
    }
    let saves = op.saves(needs);
    let saved = SavedSet {
        inputs: ins.iter().enumerate().map(|(i, t)| (saves.inputs >> i & 1 != 0).then(|| Saved::input(t))).collect(),
        outputs: outs
            .iter()
            .enumerate()
            .map(|(i, t)| (saves.outputs >> i & 1 != 0).then(|| Saved::output(t)))
            .collect(),
        released: false,
    };
    let edges =
        ins.iter().enumerate().map(|(i, t)| if needs >> i & 1 != 0 { t.gradient_edge() } else { None }).collect();
    let node = Node::new(Func::Op(op), edges, outs.iter().map(OutMeta::of).collect(), saved);
    for (i, t) in outs.iter().enumerate().filter(|(_, t)| t.dtype().is_differentiable()) {
        t.set_history(node.clone(), i as u32);
    }
}

/// Runs an op with one output.
#[track_caller]
pub fn apply_one(op: impl Op + 'static, ins: &[&Tensor]) -> Result<Tensor> {
    let mut outs = apply(op, ins)?;
    Ok(outs.swap_remove(0))
}
