//! Steps of many parameters in few launches, where a GPU has kernels for them: plain float32 tensors that lie dense.

use crate::error::{Result, bail};
use crate::gpu::GpuView;
use crate::gpu::kernels::optim::{self as gpu, Adam, AdamParam, Sgd, SgdParam};
use crate::stream::{CpuView, Kernel, Launch};
use crate::tensor::{Tensor, unwrap, update};
use crate::{DType, Device};
use std::sync::Arc;

/// Whether the kernels take a parameter with what belongs to it.
pub(super) fn takes(param: &Tensor, others: &[&Tensor]) -> bool {
    let fits = |t: &Tensor| t.dtype() == DType::F32 && t.is_contiguous() && t.device() == param.device();
    let apart = |t: &&Tensor| !t.shares_storage(param);
    param.device().is_gpu() && fits(param) && others.iter().all(|t| fits(t) && t.shape() == param.shape() && apart(t))
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

macro_rules! kernels {
    ($($op:ident $name:literal, |$s:ident, $launch:ident, $ins:ident, $outs:ident| $run:expr;)*) => {$(
        impl Kernel for $op {
            fn name(&self) -> &'static str {
                $name
            }
            fn cpu(&self, _: &[CpuView], _: &[CpuView]) -> Result<()> {
                bail!(NotImplemented, "{} of many parameters runs on GPUs alone", $name)
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
    SgdStep "SGD", |s, launch, ins, outs| {
        let own = outs.len() / ins.len().max(1);
        let params: Vec<SgdParam> = (ins.iter().zip(outs.chunks(own)))
            .map(|(grad, own)| SgdParam { param: own[0], grad: *grad, state: own.get(1).map(|v| (*v, s.started)) })
            .collect();
        gpu::sgd(launch.rec, &s.how, &params)
    };
    AdamStep "Adam", |s, launch, ins, outs| {
        let params: Vec<AdamParam> = (ins.iter().zip(outs.chunks(3)))
            .map(|(grad, own)| {
                AdamParam { param: own[0], grad: *grad, mean: own[1], square: own[2], step: s.step }
            })
            .collect();
        gpu::adam(launch.rec, &s.how, &params)
    };
}
