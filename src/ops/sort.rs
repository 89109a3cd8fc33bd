//! Sorting along a dim, and the greatest or least few. The gradient goes back to where each value came from.

use super::index_checks::lift;
use super::on_gpu::{Temp, copy, dense_as};
use crate::cpu::sort::{SortSpec, sort as sort_lines};
use crate::dtype::{DType, compute};
use crate::error::{Result, ensure};
use crate::gpu::GpuView;
use crate::gpu::kernels::sort as kernels;
use crate::shape::{Dims, wrap_dim};
use crate::stream::{CpuView, Kernel, Launch};
use crate::tensor::{Ctx, Grads, Meta, Op, OutSpec, Saves, Tensor, apply, methods, one_grad};
use smallvec::SmallVec;
use std::sync::Arc;

/// Options of [`Tensor::sort`].
#[non_exhaustive]
#[derive(Clone, Copy, Debug)]
pub struct SortOptions {
    /// The dim to sort along; the last one by default.
    pub dim: isize,
    /// The greatest first.
    pub descending: bool,
}

impl SortOptions {
    /// Along the last dim, the least first.
    pub fn new() -> SortOptions {
        SortOptions { dim: -1, descending: false }
    }
    /// Along another dim.
    pub fn dim(mut self, dim: isize) -> Self {
        self.dim = dim;
        self
    }
    /// The greatest first.
    pub fn descending(mut self, on: bool) -> Self {
        self.descending = on;
        self
    }
}

impl Default for SortOptions {
    fn default() -> SortOptions {
        SortOptions::new()
    }
}
impl From<()> for SortOptions {
    fn from(_: ()) -> SortOptions {
        SortOptions::new()
    }
}
impl From<isize> for SortOptions {
    fn from(dim: isize) -> SortOptions {
        SortOptions::new().dim(dim)
    }
}

/// Options of [`Tensor::topk`].
#[non_exhaustive]
#[derive(Clone, Copy, Debug)]
pub struct TopkOptions {
    /// The dim to look along; the last one by default.
    pub dim: isize,
    /// The greatest, not the least.
    pub largest: bool,
}

impl TopkOptions {
    /// The greatest along the last dim.
    pub fn new() -> TopkOptions {
        TopkOptions { dim: -1, largest: true }
    }
    /// Along another dim.
    pub fn dim(mut self, dim: isize) -> Self {
        self.dim = dim;
        self
    }
    /// The greatest, or the least.
    pub fn largest(mut self, on: bool) -> Self {
        self.largest = on;
        self
    }
}

impl Default for TopkOptions {
    fn default() -> TopkOptions {
        TopkOptions::new()
    }
}
impl From<()> for TopkOptions {
    fn from(_: ()) -> TopkOptions {
        TopkOptions::new()
    }
}
impl From<isize> for TopkOptions {
    fn from(dim: isize) -> TopkOptions {
        TopkOptions::new().dim(dim)
    }
}

/// Values and the positions that they had, stable: equal elements keep their order.
#[derive(Clone, Copy, Debug)]
struct Sort(SortSpec);

impl Kernel for Sort {
    fn name(&self) -> &'static str {
        if self.0.first.is_some() { "topk" } else { "sort" }
    }
    fn cpu(&self, ins: &[CpuView], outs: &[CpuView]) -> Result<()> {
        let (x, values, indices) = (lift(&ins[0]), lift(&outs[0]), lift(&outs[1]));
        if values.shape.contains(&0) {
            return Ok(());
        }
        compute!(x.dtype, T => sort_lines::<T>(values.typed_mut(), indices.typed_mut(), x.typed(), self.0));
        Ok(())
    }
    fn gpu(&self, launch: &mut Launch, ins: &[GpuView], outs: &[GpuView]) -> Result<bool> {
        let (x, values) = (&ins[0], &outs[0]);
        let order = kernels::Order::of(x.dtype, self.0.descending);
        let mut a = Temp::default();
        // what is smaller than a word is sorted as one
        let wide = match x.dtype.size() {
            4 | 8 => x.dtype,
            _ if x.dtype.is_float() => DType::F32,
            _ => DType::I32,
        };
        let Some(x) = dense_as(launch, x, wide, &mut a)? else { return Ok(false) };
        if wide == values.dtype {
            kernels::sort(launch.rec, &x, values, &outs[1], self.0.dim, &order)?;
            return Ok(true);
        }
        let b = Temp::new(launch, values.shape, wide)?;
        let Some(sorted) = b.view(wide) else { return Ok(false) };
        kernels::sort(launch.rec, &x, &sorted, &outs[1], self.0.dim, &order)?;
        copy(launch, &sorted, values)
    }
    fn checks_data(&self) -> bool {
        false
    }
}

impl Op for Sort {
    fn node_name(&self) -> &'static str {
        if self.0.first.is_some() { "TopkBackward0" } else { "SortBackward0" }
    }
    fn infer(&self, ins: &[Meta]) -> Result<SmallVec<[OutSpec; 2]>> {
        ensure!(!ins[0].dtype.is_complex(), Runtime, "Sort does not support complex dtypes");
        let mut shape: Dims = ins[0].shape.0.clone();
        let size = shape.get(self.0.dim).copied().unwrap_or(1);
        if let Some(k) = self.0.first {
            ensure!(k <= size, Runtime, "selected index k out of range");
            if let Some(n) = shape.get_mut(self.0.dim) {
                *n = k;
            }
        }
        Ok([OutSpec { shape: shape.clone(), dtype: ins[0].dtype }, OutSpec { shape, dtype: DType::I64 }]
            .into_iter()
            .collect())
    }
    fn saves(&self, _: u8) -> Saves {
        Saves { inputs: 0, outputs: 0b10 }
    }
    fn vjp(&self, cx: &Ctx) -> Result<Grads> {
        let zeros = Tensor::zeros_of(&cx.input_meta(0));
        if zeros.dim() == 0 {
            return Ok(one_grad(cx.g().clone()));
        }
        Ok(one_grad(zeros.checked().scatter(self.0.dim as isize, &cx.output(1)?, cx.g())?))
    }
    fn kernel(self: Arc<Self>) -> Arc<dyn Kernel> {
        self
    }
}

#[track_caller]
fn run(t: &Tensor, dim: isize, descending: bool, first: Option<usize>) -> Result<(Tensor, Tensor)> {
    let dim = wrap_dim(dim, t.dim())?;
    let mut outs = apply(Sort(SortSpec { dim, descending, first }), &[t])?.into_iter();
    match (outs.next(), outs.next()) {
        (Some(values), Some(indices)) => Ok((values, indices)),
        _ => unreachable!("a sort has two results"),
    }
}

methods! {
    /// The elements along a dim in order, and the positions that they had (`torch.sort`). Equal elements keep their order, and
    /// NaN counts as the greatest.
    ///
    /// ```
    /// # use wgtorch::prelude::*;
    /// let (values, indices) = tensor!([3., 1., 2.]).sort(());
    /// assert_eq!(values.to_vec::<f32>()?, [1., 2., 3.]);
    /// assert_eq!(indices.to_vec::<i64>()?, [1, 2, 0]);
    /// # Ok::<(), Error>(())
    /// ```
    fn sort(&self, options: impl Into<SortOptions>) -> (Tensor, Tensor) {
        let o = options.into();
        run(self.0, o.dim, o.descending, None)
    }

    /// The positions that [`Tensor::sort`] gives (`torch.argsort`).
    fn argsort(&self, options: impl Into<SortOptions>) -> Tensor {
        let o = options.into();
        Ok(run(&self.0.detach(), o.dim, o.descending, None)?.1)
    }

    /// The elements along the first dim in order (`torch.msort`).
    fn msort(&self) -> Tensor { Ok(run(self.0, 0, false, None)?.0) }

    /// The `k` greatest elements along a dim, the greatest first, and their positions (`torch.topk`).
    ///
    /// ```
    /// # use wgtorch::prelude::*;
    /// let (values, indices) = tensor!([3., 1., 2.]).topk(2, ());
    /// assert_eq!((values.to_vec::<f32>()?, indices.to_vec::<i64>()?), (vec![3., 2.], vec![0, 2]));
    /// # Ok::<(), Error>(())
    /// ```
    fn topk(&self, k: usize, options: impl Into<TopkOptions>) -> (Tensor, Tensor) {
        let o = options.into();
        run(self.0, o.dim, o.largest, Some(k))
    }
}
