//! Tensors joined: cat, stack and their relatives.

use super::compose::composite;
use super::views::IntoSizes;
use crate::cpu::pointwise;
use crate::dtype::DType;
use crate::error::{Result, bail, ensure};
use crate::gpu::{self, GpuView};
use crate::program::{Action, Instr, Program};
use crate::shape::{Dims, wrap_dim};
use crate::stream::{CpuView, Kernel, Launch, OnComplex};
use crate::tensor::{
    Ctx, Grads, In, Meta, Op, OutSpec, Saves, Tensor, apply_one, methods, no_grads, result_type, try_to_dtype, unwrap,
};
use smallvec::{SmallVec, smallvec};
use std::sync::Arc;

/// Copies each input to its place along a dim; inputs of other dtypes are converted on the way.
#[derive(Clone, Copy, Debug)]
struct Cat {
    dim: usize,
    dtype: DType,
}

/// A program that copies, and converts where the dtypes differ.
fn copy_program(from: DType, to: DType) -> Program {
    if from == to {
        return Program { loads: smallvec![from], stores: smallvec![0], ..Program::default() };
    }
    Program {
        loads: smallvec![from],
        scalars: SmallVec::new(),
        instrs: vec![Instr { action: Action::Cast, dtype: from, out: to, srcs: smallvec![0] }],
        stores: smallvec![1],
    }
}

impl Cat {
    /// Where each input starts in the output, in elements.
    fn offsets(&self, shapes: impl Iterator<Item = usize>, strides: &[usize]) -> Vec<usize> {
        let step = strides[self.dim];
        shapes
            .scan(0, |at, n| {
                let here = *at;
                *at += n * step;
                Some(here)
            })
            .collect()
    }
}

impl Kernel for Cat {
    fn name(&self) -> &'static str {
        "cat"
    }
    fn cpu(&self, ins: &[CpuView], outs: &[CpuView]) -> Result<()> {
        let out = &outs[0];
        let offsets = self.offsets(ins.iter().map(|x| x.shape[self.dim]), out.strides);
        for (x, at) in ins.iter().zip(offsets) {
            // SAFETY: the inputs' sizes along the dim add up to the output's, so each slice lies inside it; outputs are new
            // memory that no input shares.
            unsafe {
                let to = out.ptr.add(at * out.dtype.size());
                let program = copy_program(x.dtype, out.dtype);
                pointwise::run(&program, x.shape, &[(x.ptr.cast_const(), x.strides)], &[], &[(to, out.strides)]);
            }
        }
        Ok(())
    }
    fn gpu(&self, launch: &mut Launch, ins: &[GpuView], outs: &[GpuView]) -> Result<bool> {
        let out = &outs[0];
        let programs: Vec<Program> = ins.iter().map(|x| copy_program(x.dtype, out.dtype)).collect();
        if !programs.iter().all(|p| gpu::pointwise::supports(p, &launch.gpu.features)) {
            return Ok(false);
        }
        let offsets = self.offsets(ins.iter().map(|x| x.shape[self.dim]), out.strides);
        for ((x, at), program) in ins.iter().zip(offsets).zip(&programs) {
            let to = GpuView { offset: out.offset + at, shape: x.shape, ..*out };
            gpu::pointwise::run(launch.rec, launch.gpu, program, x.shape, &[*x], &[], &[to])?;
        }
        Ok(true)
    }
    fn on_complex(&self, _: usize) -> OnComplex {
        // converted by `concatenate` where they were not complex
        OnComplex::Pairs { kernel: Arc::new(Cat { dtype: self.dtype.to_real(), ..*self }), spread: false }
    }
    fn checks_data(&self) -> bool {
        false
    }
}

impl Op for Cat {
    fn node_name(&self) -> &'static str {
        "CatBackward0"
    }
    fn infer(&self, ins: &[Meta]) -> Result<SmallVec<[OutSpec; 2]>> {
        let mut shape: Dims = ins[0].shape.0.clone();
        shape[self.dim] = ins.iter().map(|m| m.shape[self.dim]).sum();
        Ok(OutSpec::one(shape, self.dtype))
    }
    fn saves(&self, _: u8) -> Saves {
        Saves::NONE
    }
    fn vjp(&self, _: &Ctx) -> Result<Grads> {
        // recorded by `concatenate`, which takes any number of inputs
        Ok(no_grads(0))
    }
    fn kernel(self: Arc<Self>) -> Arc<dyn Kernel> {
        self
    }
}

/// `cat` of any number of tensors.
#[track_caller]
pub(crate) fn concatenate(tensors: &[&Tensor], dim: isize) -> Result<Tensor> {
    ensure!(!tensors.is_empty(), Value, "torch.cat(): expected a non-empty list of Tensors");
    for (i, t) in tensors.iter().enumerate() {
        ensure!(t.dim() > 0, Runtime, "zero-dimensional tensor (at position {i}) cannot be concatenated");
    }
    // a 1-D tensor without elements goes with every shape, as it always has
    let skipped = |t: &Tensor| t.dim() == 1 && t.numel() == 0;
    let ins: Vec<In> = tensors.iter().map(|t| In::T(t)).collect();
    let dtype = result_type(&ins);
    let Some(first) = tensors.iter().find(|t| !skipped(t)) else {
        wrap_dim(dim, 1)?;
        return composite(
            "CatBackward0",
            tensors,
            Saves::NONE,
            || Ok(Tensor::constant(0.into(), &[0], dtype, tensors[0].device())),
            |cx| Ok((0..cx.count()).map(|i| cx.needs(i).then(|| Tensor::zeros_of(&cx.input_meta(i)))).collect()),
        );
    };
    let shape = first.shape();
    let d = wrap_dim(dim, shape.len())?;
    for (i, t) in tensors.iter().enumerate().filter(|(_, t)| !skipped(t)) {
        let s = t.shape();
        ensure!(
            s.len() == shape.len(),
            Runtime,
            "Tensors must have same number of dimensions: got {} and {}",
            shape.len(),
            s.len()
        );
        for k in (0..s.len()).filter(|k| *k != d) {
            ensure!(
                s[k] == shape[k],
                Runtime,
                "Sizes of tensors must match except in dimension {d}. Expected size {} but got size {} for tensor number {i} in the list.",
                shape[k],
                s[k]
            );
        }
    }
    let sizes: Vec<usize> = tensors.iter().map(|t| if skipped(t) { 0 } else { t.shape()[d] }).collect();
    let used: Vec<&Tensor> = tensors.iter().copied().filter(|t| !skipped(t)).collect();
    let forward = || {
        let cat = Cat { dim: d, dtype };
        if !dtype.is_complex() {
            return apply_one(cat, &used);
        }
        let converted = used
            .iter()
            .map(|t| if t.dtype() == dtype { Ok((*t).clone()) } else { try_to_dtype(t, dtype) })
            .collect::<Result<Vec<_>>>()?;
        apply_one(cat, &converted.iter().collect::<Vec<_>>())
    };
    let vjp = move |cx: &Ctx| {
        let mut at = 0;
        let mut grads = no_grads(sizes.len());
        for (i, n) in sizes.iter().enumerate() {
            if cx.needs(i) {
                let shape = cx.input_shape(i);
                grads[i] = Some(if *n == 0 {
                    Tensor::zeros_of(&cx.input_meta(i))
                } else {
                    debug_assert_eq!(shape[d], *n);
                    cx.g().checked().narrow(d as isize, at as isize, *n)?
                });
            }
            at += n;
        }
        Ok(grads)
    };
    composite("CatBackward0", tensors, Saves::NONE, forward, vjp)
}

/// What joining functions take: slices, arrays and vectors of tensors or of references to them.
pub trait TensorList {
    /// The tensors in order.
    fn tensors(&self) -> Vec<&Tensor>;
}

impl<T: std::borrow::Borrow<Tensor>> TensorList for [T] {
    fn tensors(&self) -> Vec<&Tensor> {
        self.iter().map(|t| t.borrow()).collect()
    }
}
impl<T: std::borrow::Borrow<Tensor>, const N: usize> TensorList for [T; N] {
    fn tensors(&self) -> Vec<&Tensor> {
        self[..].tensors()
    }
}
impl<T: std::borrow::Borrow<Tensor>> TensorList for Vec<T> {
    fn tensors(&self) -> Vec<&Tensor> {
        self[..].tensors()
    }
}

/// Tensors joined along an existing dim (`torch.cat`); dtypes promote.
///
/// # Panics
/// If the list is empty, or sizes differ in another dim.
///
/// ```
/// # use wgtorch::{prelude::*, cat};
/// let (a, b) = (tensor!([1, 2]), tensor!([3]));
/// assert_eq!(cat(&[&a, &b], 0).to_vec::<i64>()?, [1, 2, 3]);
/// # Ok::<(), Error>(())
/// ```
#[track_caller]
pub fn cat(tensors: &(impl TensorList + ?Sized), dim: isize) -> Tensor {
    unwrap(try_cat(tensors, dim))
}

/// [`cat`] with its errors as values.
///
/// # Errors
/// If the list is empty, or sizes differ in another dim.
#[track_caller]
pub fn try_cat(tensors: &(impl TensorList + ?Sized), dim: isize) -> Result<Tensor> {
    concatenate(&tensors.tensors(), dim)
}

/// Tensors of one shape joined along a new dim (`torch.stack`).
///
/// # Panics
/// If the list is empty, or shapes differ.
#[track_caller]
pub fn stack(tensors: &(impl TensorList + ?Sized), dim: isize) -> Tensor {
    unwrap(try_stack(tensors, dim))
}

/// [`stack`] with its errors as values.
///
/// # Errors
/// If the list is empty, or shapes differ.
#[track_caller]
pub fn try_stack(tensors: &(impl TensorList + ?Sized), dim: isize) -> Result<Tensor> {
    let tensors = tensors.tensors();
    ensure!(!tensors.is_empty(), Runtime, "stack expects a non-empty TensorList");
    let shape = tensors[0].shape();
    let d = wrap_dim(dim, shape.len() + 1)?;
    for (i, t) in tensors.iter().enumerate() {
        ensure!(
            t.shape() == shape,
            Runtime,
            "stack expects each tensor to be equal size, but got {:?} at entry 0 and {:?} at entry {i}",
            &shape[..],
            &t.shape()[..]
        );
    }
    let dtypes: Vec<In> = tensors.iter().map(|t| In::T(t)).collect();
    let dtype = result_type(&dtypes);
    let forward = || {
        let lifted = tensors.iter().map(|t| t.checked().unsqueeze(d as isize)).collect::<Result<Vec<_>>>()?;
        apply_one(Cat { dim: d, dtype }, &lifted.iter().collect::<Vec<_>>())
    };
    let vjp = move |cx: &Ctx| {
        (0..cx.count())
            .map(|i| if cx.needs(i) { cx.g().checked().select(d as isize, i as isize).map(Some) } else { Ok(None) })
            .collect()
    };
    composite("StackBackward0", &tensors, Saves::NONE, forward, vjp)
}

/// Joins tensors that a function brings to at least so many dims.
#[track_caller]
fn joined(tensors: Vec<&Tensor>, name: &str, dims: usize, dim: isize) -> Result<Tensor> {
    ensure!(!tensors.is_empty(), Runtime, "{name} expects a non-empty TensorList");
    let lifted = tensors.iter().map(|t| at_least(t, dims)).collect::<Result<Vec<_>>>()?;
    concatenate(&lifted.iter().collect::<Vec<_>>(), dim)
}

fn at_least(t: &Tensor, dims: usize) -> Result<Tensor> {
    let shape = t.shape();
    match (dims, &shape[..]) {
        (_, s) if s.len() >= dims => Ok(t.clone()),
        (1, _) => t.checked().view([1]),
        (2, []) => t.checked().view([1, 1]),
        (2, _) => t.checked().unsqueeze(0),
        (_, []) => t.checked().view([1, 1, 1]),
        (_, [n]) => t.checked().view([1, *n, 1]),
        (_, _) => t.checked().unsqueeze(-1),
    }
}

macro_rules! joins {
    ($($(#[$m:meta])* $name:ident $try:ident |$t:ident| $e:expr;)*) => {$(
        $(#[$m])*
        ///
        /// # Panics
        /// If the list is empty, or sizes do not fit.
        #[track_caller]
        pub fn $name(tensors: &(impl TensorList + ?Sized)) -> Tensor { unwrap($try(tensors)) }

        #[doc = concat!("[`", stringify!($name), "`] with its errors as values.")]
        ///
        /// # Errors
        /// If the list is empty, or sizes do not fit.
        #[track_caller]
        pub fn $try(tensors: &(impl TensorList + ?Sized)) -> Result<Tensor> { let $t = tensors.tensors(); $e }
    )*};
}
joins! {
    /// Tensors joined side by side: along dim 1, vectors along dim 0 (`torch.hstack`).
    hstack try_hstack |t| {
        let dim = if t.first().is_some_and(|t| t.dim() > 1) { 1 } else { 0 };
        joined(t, "hstack", 1, dim)
    };
    /// Tensors joined one below the other: along dim 0, vectors as rows (`torch.vstack`).
    vstack try_vstack |t| joined(t, "vstack", 2, 0);
    /// Tensors joined in depth: along dim 2 (`torch.dstack`).
    dstack try_dstack |t| joined(t, "dstack", 3, 2);
    /// Vectors as columns beside matrices (`torch.column_stack`).
    column_stack try_column_stack |t| {
        ensure!(!t.is_empty(), Runtime, "column_stack expects a non-empty TensorList");
        let columns = t
            .iter()
            .map(|t| if t.dim() <= 1 { t.checked().reshape([t.numel(), 1]) } else { Ok((*t).clone()) })
            .collect::<Result<Vec<_>>>()?;
        joined(columns.iter().collect(), "hstack", 1, 1)
    };
}

methods! {
    /// With a dim added in front where it has none (`torch.atleast_1d`).
    fn atleast_1d(&self) -> Tensor { at_least(self.0, 1) }

    /// As a matrix: dims added in front (`torch.atleast_2d`).
    fn atleast_2d(&self) -> Tensor { at_least(self.0, 2) }

    /// With at least three dims (`torch.atleast_3d`).
    fn atleast_3d(&self) -> Tensor { at_least(self.0, 3) }

    /// The tensor repeated along each dim; missing dims are added in front (`tensor.repeat`).
    ///
    /// ```
    /// # use wgtorch::prelude::*;
    /// assert_eq!(tensor!([1, 2]).repeat([2, 2]).to_vec::<i64>()?, [1, 2, 1, 2, 1, 2, 1, 2]);
    /// # Ok::<(), Error>(())
    /// ```
    fn repeat(&self, repeats: impl IntoSizes) -> Tensor { repeat(self.0, &repeats.into_sizes()) }

    /// The tensor repeated along its last dims (`torch.tile`).
    fn tile(&self, dims: impl IntoSizes) -> Tensor {
        let mut dims = dims.into_sizes();
        while dims.len() < self.dim() {
            dims.insert(0, 1);
        }
        repeat(self.0, &dims)
    }
}

fn repeat(t: &Tensor, repeats: &[isize]) -> Result<Tensor> {
    let shape = t.shape();
    ensure!(
        repeats.len() >= shape.len(),
        Runtime,
        "Number of dimensions of repeat dims can not be smaller than number of dimensions of tensor"
    );
    let lead = repeats.len() - shape.len();
    let size = |d: usize| if d < lead { 1 } else { shape[d - lead] };
    let target: Vec<isize> = repeats.iter().enumerate().map(|(d, r)| r * size(d) as isize).collect();
    if let Some(bad) = target.iter().find(|n| **n < 0) {
        bail!(Runtime, "Trying to create tensor with negative dimension {bad}: {target:?}");
    }
    // each dim as (repeats, size), the first of the two expanded
    let pairs = |outer: bool| -> Vec<usize> {
        (0..repeats.len()).flat_map(|d| [if outer { repeats[d] as usize } else { 1 }, size(d)]).collect()
    };
    let (folded, spread) = (pairs(false), pairs(true));
    let back = spread.clone();
    let forward = || t.checked().reshape(&folded)?.checked().expand(&spread)?.checked().reshape(&target);
    let vjp = move |cx: &Ctx| {
        let dims: Vec<isize> = (0..back.len() as isize).step_by(2).collect();
        let shape = cx.input_shape(0);
        if dims.is_empty() {
            return Ok(crate::tensor::one_grad(cx.g().clone()));
        }
        let sum = cx.g().checked().reshape(&back)?.checked().sum_dim(dims, false)?;
        Ok(crate::tensor::one_grad(sum.checked().reshape(&shape)?))
    };
    composite("RepeatBackward0", &[t], Saves::NONE, forward, vjp)
}
