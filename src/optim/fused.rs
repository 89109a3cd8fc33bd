//! Steps of many parameters in one launch (few dispatches on a GPU), where there are kernels for them: plain float32 tensors that
//! lie dense.

use crate::cpu::optim as cpu;
use crate::cpu::simd::SendPtr;
use crate::error::Result;
use crate::gpu::GpuView;
use crate::gpu::kernels::optim::{self as gpu, Adam, AdamParam, Sgd, SgdParam};
use crate::stream::{CpuView, Kernel, Launch};
use crate::tensor::{Tensor, unwrap, update};
use crate::{DType, Device};
use std::collections::HashSet;
use std::sync::Arc;

/// Whether the kernels take a parameter with its gradient and state; `seen` holds what this launch writes so far: two
/// parameters that are views of one memory are not updated side by side.
pub(super) fn takes(param: &Tensor, grad: &Tensor, state: &[&Tensor], seen: &mut HashSet<u64>) -> bool {
    let fits = |t: &Tensor| {
        t.dtype() == DType::F32 && t.is_contiguous() && t.device() == param.device() && t.shape() == param.shape()
    };
    let written = || std::iter::once(param).chain(state.iter().copied());
    let fitting = written().all(fits) && fits(grad) && written().all(|t| !t.shares_storage(grad));
    fitting && written().all(|t| seen.insert(t.storage_id()))
}

/// Calls `f` with the items of each device.
pub(super) fn by_device<T>(items: Vec<T>, device: impl Fn(&T) -> Device, mut f: impl FnMut(&[T])) {
    let mut rest = items;
    while let Some(first) = rest.first().map(&device) {
        let (now, later): (Vec<T>, Vec<T>) = rest.into_iter().partition(|i| device(i) == first);
        f(&now);
        rest = later;
    }
}

/// SGD: reads gradients; changes parameters, each followed by its momentum where there is one.
#[derive(Debug)]
struct SgdStep {
    how: Sgd,
    /// The momenta hold something yet.
    started: bool,
}

/// Adam: reads gradients; changes parameters, each followed by its two means.
#[derive(Debug)]
struct AdamStep {
    how: Adam,
    step: u64,
}

/// A parameter's gradient, itself and its momentum.
pub(super) type SgdItem = (Tensor, Tensor, Option<Tensor>);

/// A step over parameters of one device whose momenta all hold something, or none does.
#[track_caller]
pub(super) fn sgd(how: Sgd, started: bool, items: &[SgdItem]) {
    let ins: Vec<&Tensor> = items.iter().map(|i| &i.0).collect();
    let outs: Vec<&Tensor> = items.iter().flat_map(|i| std::iter::once(&i.1).chain(&i.2)).collect();
    if !items.is_empty() {
        unwrap(update(Arc::new(SgdStep { how, started }), &ins, &outs));
    }
}

/// A step, from 1, over gradients and parameters with their two means, all of one device.
#[track_caller]
pub(super) fn adam(how: Adam, step: u64, items: &[(Tensor, [Tensor; 3])]) {
    let ins: Vec<&Tensor> = items.iter().map(|i| &i.0).collect();
    let outs: Vec<&Tensor> = items.iter().flat_map(|i| &i.1).collect();
    if !items.is_empty() {
        unwrap(update(Arc::new(AdamStep { how, step }), &ins, &outs));
    }
}

/// Gradients with their parameters and what belongs to them, as the CPU's kernels take them.
fn parts<const S: usize>(ins: &[CpuView], outs: &[CpuView]) -> Vec<cpu::Part<S>> {
    let pointer = |v: &CpuView| SendPtr(v.ptr.cast::<f32>());
    let part = |(grad, own): (&CpuView, &[CpuView])| {
        let states = std::array::from_fn(|k| pointer(&own[k + 1]));
        cpu::Part { n: grad.shape.iter().product(), param: pointer(&own[0]), grad: pointer(grad), states }
    };
    ins.iter().zip(outs.chunks(S + 1)).map(part).collect()
}

macro_rules! kernels {
    ($($op:ident $name:literal, |$s:ident, $cins:ident, $couts:ident| $cpu:expr, |$launch:ident, $ins:ident, $outs:ident| $run:expr;)*) => {$(
        impl Kernel for $op {
            fn name(&self) -> &'static str {
                $name
            }
            fn cpu(&self, $cins: &[CpuView], $couts: &[CpuView]) -> Result<()> {
                let $s = self;
                $cpu;
                Ok(())
            }
            fn gpu(&self, $launch: &mut Launch, $ins: &[GpuView], $outs: &[GpuView]) -> Result<bool> {
                let $s = self;
                $run?;
                Ok(true)
            }
            fn checks_data(&self) -> bool {
                false
            }
            fn updates(&self) -> bool {
                true
            }
            fn every_dtype(&self) -> bool {
                true
            }
        }
    )*};
}
kernels! {
    SgdStep "SGD", |s, ins, outs| {
        let how = s.how;
        let rule = cpu::Sgd {
            lr: how.lr as f32,
            momentum: how.momentum as f32,
            undamped: (1.0 - how.dampening) as f32,
            weight_decay: how.weight_decay as f32,
            nesterov: how.nesterov,
            maximize: how.maximize,
            started: s.started,
        };
        // SAFETY: `takes` lets in dense float32 tensors that share nothing with their parameter, and no parameter comes twice.
        unsafe {
            if outs.len() == ins.len() {
                cpu::sgd(&rule, &parts(ins, outs));
            } else {
                cpu::sgd_momentum(&rule, &parts(ins, outs));
            }
        }
    }, |launch, ins, outs| {
        let own = outs.len() / ins.len().max(1);
        let params: Vec<SgdParam> = (ins.iter().zip(outs.chunks(own)))
            .map(|(grad, own)| SgdParam { param: own[0], grad: *grad, state: own.get(1).map(|v| (*v, s.started)) })
            .collect();
        gpu::sgd(launch.rec, &s.how, &params)
    };
    AdamStep "Adam", |s, ins, outs| {
        let (how, step) = (s.how, s.step as f64);
        let (beta1, beta2) = how.betas;
        let rule = cpu::Adam {
            step_size: (how.lr / (1.0 - beta1.powf(step))) as f32,
            beta1: (beta1 as f32, (1.0 - beta1) as f32),
            beta2: (beta2 as f32, (1.0 - beta2) as f32),
            root: (1.0 - beta2.powf(step)).sqrt() as f32,
            eps: how.eps as f32,
            weight_decay: if how.decoupled { 0.0 } else { how.weight_decay as f32 },
            shrink: if how.decoupled { (1.0 - how.lr * how.weight_decay) as f32 } else { 1.0 },
            maximize: how.maximize,
        };
        // SAFETY: as for SGD.
        unsafe { cpu::adam(&rule, &parts(ins, outs)) }
    }, |launch, ins, outs| {
        let params: Vec<AdamParam> = (ins.iter().zip(outs.chunks(3)))
            .map(|(grad, own)| {
                AdamParam { param: own[0], grad: *grad, mean: own[1], square: own[2], step: s.step }
            })
            .collect();
        gpu::adam(launch.rec, &s.how, &params)
    };
}
