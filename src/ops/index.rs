//! Reading at positions that are data, along one dim: gather, and slices by index.

use super::index_checks::{check_gather, element_index, int64, lift, lifted};
use super::on_gpu::{Temp, dense, flat_index};
use crate::cpu::copy::Moved;
use crate::cpu::index::{self as k, BadIndex};
use crate::dtype::{DType, moved};
use crate::error::{Error, Result, ensure};
use crate::gpu::GpuView;
use crate::gpu::kernels::index as kernels;
use crate::shape::{Dims, wrap_dim};
use crate::stream::{CpuView, Kernel, Launch, OnComplex};
use crate::tensor::{Ctx, Grads, Meta, Op, OutSpec, Saves, Tensor, apply_one, methods, no_grads};
use smallvec::SmallVec;
use std::sync::Arc;

/// How elements are picked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Read {
    /// `index` has the dims of the input.
    Gather,
    /// `index` is a list of slices.
    Select,
    /// `index` names elements of the flattened input.
    Take,
}

#[derive(Clone, Copy, Debug)]
struct ReadAt {
    how: Read,
    dim: usize,
}

impl ReadAt {
    fn error(&self, b: BadIndex) -> Error {
        let BadIndex { value, size, .. } = b;
        match self.how {
            Read::Gather => {
                Error::Runtime(format!("index {value} is out of bounds for dimension {} with size {size}", self.dim))
            }
            Read::Select => Error::Index("index out of range in self".into()),
            Read::Take => {
                Error::Index(format!("out of range: tried to access index {value} on a tensor of {size} elements."))
            }
        }
    }

    fn run<T: Moved>(&self, x: &CpuView, index: &CpuView, out: &CpuView) -> Result<(), BadIndex> {
        let (x, index, out) = match self.how {
            Read::Take => (*x, *index, *out),
            _ => (lift(x), lift(index), lift(out)),
        };
        match self.how {
            Read::Gather => k::gather(out.bits_mut::<T>(), x.bits(), index.typed(), self.dim),
            Read::Select => k::index_select(out.bits_mut::<T>(), x.bits(), self.dim, index.typed()),
            Read::Take => k::take(out.bits_mut::<T>(), x.bits(), index.typed()),
        }
    }
}

impl Kernel for ReadAt {
    fn name(&self) -> &'static str {
        match self.how {
            Read::Gather => "gather",
            Read::Select => "index_select",
            Read::Take => "take",
        }
    }
    fn cpu(&self, ins: &[CpuView], outs: &[CpuView]) -> Result<()> {
        moved!(ins[0].dtype, T => self.run::<T>(&ins[0], &ins[1], &outs[0])).map_err(|b| self.error(b))
    }
    fn gpu(&self, launch: &mut Launch, ins: &[GpuView], outs: &[GpuView]) -> Result<bool> {
        let (x, index, out) = (&lifted(&ins[0]), &lifted(&ins[1]), &lifted(&outs[0]));
        if out.numel() == 0 {
            return Ok(true);
        }
        let mut temps: [Temp; 2] = Default::default();
        let [a, b] = &mut temps;
        if self.how == Read::Take {
            let n = x.numel();
            let (Some(x), Some(index)) = (dense(launch, x, a)?, flat_index(launch, &[*index], &[n], b)?) else {
                return Ok(false);
            };
            let x = GpuView { shape: &[n], strides: &[1], ..x };
            let what = format!("out of range: tried to access index {{}} on a tensor of {n} elements.");
            let id = launch.fault_id("take", what);
            kernels::index_select(launch.rec, &x, 0, &index, out, id)?;
            return Ok(true);
        }
        let size = x.shape[self.dim];
        let Some(index) = dense(launch, index, a)? else { return Ok(false) };
        if self.how == Read::Gather {
            if index.shape.len() != x.shape.len() || x.shape.len() > 8 {
                return Ok(false);
            }
            let what = format!("index {{}} is out of bounds for dimension {} with size {size}", self.dim);
            let id = launch.fault_id("gather", what);
            kernels::gather(launch.rec, x, self.dim, &index, out, id)?;
            return Ok(true);
        }
        let Some(x) = dense(launch, x, b)? else { return Ok(false) };
        let id = launch.fault_id("index_select", "index out of range in self (index {})");
        kernels::index_select(launch.rec, &x, self.dim, &index, out, id)?;
        Ok(true)
    }
    fn every_dtype(&self) -> bool {
        true
    }
    fn on_complex(&self, rank: usize) -> OnComplex {
        match self.how {
            Read::Gather | Read::Select if rank > 0 => {
                OnComplex::Pairs { kernel: Arc::new(*self), spread: self.how == Read::Gather }
            }
            _ => OnComplex::Native,
        }
    }
    fn checks_data(&self) -> bool {
        true
    }
}

impl Op for ReadAt {
    fn node_name(&self) -> &'static str {
        match self.how {
            Read::Gather => "GatherBackward0",
            Read::Select => "IndexSelectBackward0",
            Read::Take => "TakeBackward0",
        }
    }
    fn infer(&self, ins: &[Meta]) -> Result<SmallVec<[OutSpec; 2]>> {
        let (x, index) = (&ins[0], &ins[1]);
        let mut shape: Dims = index.shape.0.clone();
        match self.how {
            Read::Gather => check_gather(&x.shape, &index.shape, self.dim, "input")?,
            Read::Select => {
                shape = x.shape.0.clone();
                if let Some(n) = shape.get_mut(self.dim) {
                    *n = index.shape.numel();
                }
            }
            Read::Take => ensure!(
                x.shape.numel() > 0 || index.shape.numel() == 0,
                Index,
                "take(): tried to take from an empty tensor"
            ),
        }
        Ok(OutSpec::one(shape, x.dtype))
    }
    fn saves(&self, _: u8) -> Saves {
        Saves { inputs: 0b10, outputs: 0 }
    }
    fn vjp(&self, cx: &Ctx) -> Result<Grads> {
        let mut grads = no_grads(2);
        let (zeros, index, d) = (Tensor::zeros_of(&cx.input_meta(0)), cx.input(1)?, self.dim as isize);
        grads[0] = Some(match self.how {
            Read::Gather => zeros.checked().scatter_add(d, &index, cx.g())?,
            Read::Select => zeros.checked().index_add(d, &index, cx.g(), 1)?,
            Read::Take => zeros.checked().put(&index, cx.g(), true)?,
        });
        Ok(grads)
    }
    fn kernel(self: Arc<Self>) -> Arc<dyn Kernel> {
        self
    }
}

/// The kernel that reads slices of dim 0 by a list.
pub(super) fn select_rows() -> Arc<dyn Kernel> {
    Arc::new(ReadAt { how: Read::Select, dim: 0 })
}

#[track_caller]
fn read(t: &Tensor, how: Read, dim: isize, index: &Tensor) -> Result<Tensor> {
    let dim = wrap_dim(dim, t.dim())?;
    let op = ReadAt { how, dim };
    let index = match how {
        Read::Gather => element_index(index, op.name())?,
        _ => int64(index, &format!("{}()", op.name()))?,
    };
    if how == Read::Select {
        ensure!(index.dim() <= 1, Index, "index_select(): Index is supposed to be a vector");
    }
    apply_one(op, &[t, &index])
}

methods! {
    /// The elements along a dim that `index` names at each position (`torch.gather`).
    ///
    /// ```
    /// # use wgtorch::prelude::*;
    /// let x = tensor!([[1, 2], [3, 4]]);
    /// assert_eq!(x.gather(1, &tensor!([[0, 0], [1, 0]])).to_vec::<i64>()?, [1, 1, 4, 3]);
    /// # Ok::<(), Error>(())
    /// ```
    fn gather(&self, dim: isize, index: &Tensor) -> Tensor { read(self.0, Read::Gather, dim, index) }

    /// The slices of a dim that a list names (`torch.index_select`).
    fn index_select(&self, dim: isize, index: &Tensor) -> Tensor { read(self.0, Read::Select, dim, index) }

    /// Elements of the flattened tensor, in the index's shape; negative indices count from the end (`torch.take`).
    fn take(&self, index: &Tensor) -> Tensor {
        ensure!(index.dtype() == DType::I64, Runtime, "take(): Expected a long tensor for index, but got {}", index.dtype().scalar_name());
        apply_one(ReadAt { how: Read::Take, dim: 0 }, &[self.0, index])
    }

    /// Like [`Tensor::gather`] with tensor and index broadcast in the other dims (`torch.take_along_dim`).
    fn take_along_dim(&self, indices: &Tensor, dim: isize) -> Tensor {
        let (shape, index) = (self.shape(), indices.shape());
        ensure!(
            shape.len() == index.len(),
            Runtime,
            "torch.take_along_dim(): input and indices should have the same number of dimensions, but got {} dimensions for input, and {} dimensions for indices",
            shape.len(),
            index.len()
        );
        let d = wrap_dim(dim, shape.len())?;
        let mut common = crate::shape::broadcast(&without(&shape, d), &without(&index, d))?;
        common.insert(d, shape[d]);
        let x = self.expand(&common[..])?;
        common[d] = index[d];
        x.checked().gather(dim, &indices.checked().expand(&common[..])?)
    }

    /// [`Tensor::take_along_dim`] of the flattened tensor (`torch.take_along_dim(x, indices)`).
    fn take_along_flat(&self, indices: &Tensor) -> Tensor {
        self.reshape(-1)?.checked().gather(0, &indices.checked().reshape(-1)?)
    }
}

fn without(s: &[usize], d: usize) -> Dims {
    s.iter().enumerate().filter(|x| x.0 != d).map(|x| *x.1).collect()
}
