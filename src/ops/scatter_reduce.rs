//! Scatters that combine what arrives at one place: products, means and extrema.

use super::compose::{composite, replace};
use super::index_checks::{check_gather, int64, lift, lifted, padded};
use super::on_gpu::{Temp, copy, dense};
use crate::cpu::copy::{copy_strided, fill};
use crate::cpu::index::{self as k, BadIndex};
use crate::cpu::number::Number;
use crate::cpu::view::{View, ViewMut};
use crate::dtype::compute;
use crate::error::{Error, Result, bail, ensure};
use crate::gpu::GpuView;
use crate::gpu::kernels::index_write::{self, Join, Pointers};
use crate::scalar::Scalar;
use crate::shape::{Dims, wrap_dim};
use crate::stream::{CpuView, Kernel, Launch};
use crate::tensor::{Ctx, Grads, In, Meta, Op, OutSpec, Saves, Tensor, apply_one, methods, no_grads, to_dtype};
use smallvec::SmallVec;
use std::sync::Arc;

/// How values at one place are combined.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScatterReduce {
    /// Their sum.
    Sum,
    /// Their product.
    Prod,
    /// Their mean; integers round down.
    Mean,
    /// The greatest; NaN wins.
    Amax,
    /// The least; NaN wins.
    Amin,
}

impl std::str::FromStr for ScatterReduce {
    type Err = Error;
    /// PyTorch's names: `"sum"`, `"prod"`, `"mean"`, `"amax"`, `"amin"`.
    fn from_str(s: &str) -> Result<ScatterReduce> {
        Ok(match s {
            "sum" => ScatterReduce::Sum,
            "prod" => ScatterReduce::Prod,
            "mean" => ScatterReduce::Mean,
            "amax" => ScatterReduce::Amax,
            "amin" => ScatterReduce::Amin,
            _ => bail!(Runtime, "reduce argument must be either sum, prod, mean, amax or amin, got {s}."),
        })
    }
}

#[derive(Clone, Copy, Debug)]
struct Scatter {
    reduce: ScatterReduce,
    dim: usize,
    include_self: bool,
    /// The index was one of whole slices (`index_reduce`).
    slices: bool,
}

impl Scatter {
    fn run<T: Number>(&self, ins: &[CpuView], out: &CpuView) -> Result<(), BadIndex> {
        let (x, index, src, out) = (lift(&ins[0]), lift(&ins[1]), lift(&ins[2]), lift(out));
        let (index, to, dim) = (index.typed::<i64>(), out.typed_mut::<T>(), self.dim);
        k::check_indices(index, dim, out.shape[dim], false)?;
        copy_strided(to, x.typed::<T>());
        if index.numel() == 0 || x.shape.contains(&0) {
            return Ok(());
        }
        // SAFETY: the source covers the index.
        let src = unsafe { View::new(src.ptr.cast::<T>(), index.shape, src.strides) };
        let zeros: Dims = SmallVec::from_elem(0, index.shape.len());
        // SAFETY: strides of 0, so only the value itself is read.
        let all = |v: &T| unsafe { View::new(std::ptr::from_ref(v), index.shape, &zeros) };
        if !self.include_self {
            let start = match self.reduce {
                ScatterReduce::Sum | ScatterReduce::Mean => T::ZERO,
                ScatterReduce::Prod => T::ONE,
                ScatterReduce::Amax => T::LEAST,
                ScatterReduce::Amin => T::GREATEST,
            };
            k::scatter(to, index, all(&start), dim)?;
        }
        match self.reduce {
            ScatterReduce::Sum => k::scatter_add(to, index, src, dim),
            ScatterReduce::Prod => k::scatter_with(to, index, src, dim, T::mul),
            ScatterReduce::Amax => {
                k::scatter_with(to, index, src, dim, |a, b| if (b > a) | b.is_nan() { b } else { a })
            }
            ScatterReduce::Amin => {
                k::scatter_with(to, index, src, dim, |a, b| if (b < a) | b.is_nan() { b } else { a })
            }
            ScatterReduce::Mean => {
                k::scatter_add(to, index, src, dim)?;
                let mut counts = vec![0i64; out.shape.iter().product()];
                let strides = crate::shape::contiguous_strides(out.shape);
                let view = ViewMut::from_slice(&mut counts, out.shape, &strides);
                fill(view, self.include_self as i64);
                let one = 1i64;
                // SAFETY: strides of 0.
                k::scatter_add(view, index, unsafe { View::new(&one, index.shape, &zeros) }, dim)?;
                for (i, &n) in counts.iter().enumerate().filter(|(_, n)| **n > 1) {
                    // SAFETY: outputs are contiguous.
                    unsafe {
                        let cell = to.ptr().add(i);
                        let (v, n) = (*cell, T::from_usize(n as usize));
                        let q = v.div(n);
                        // integer division rounds toward zero; the mean rounds down
                        let down = !T::DTYPE.is_float() && q.mul(n) != v && v < T::ZERO;
                        cell.write(if down { q.sub(T::ONE) } else { q });
                    }
                }
                Ok(())
            }
        }
    }
}

impl Kernel for Scatter {
    fn name(&self) -> &'static str {
        if self.slices { "index_reduce" } else { "scatter_reduce" }
    }
    fn cpu(&self, ins: &[CpuView], outs: &[CpuView]) -> Result<()> {
        compute!(ins[0].dtype, T => self.run::<T>(ins, &outs[0])).map_err(|b| {
            Error::Runtime(format!(
                "index {} is out of bounds for dimension {} with size {}",
                b.value, self.dim, b.size
            ))
        })
    }
    fn gpu(&self, launch: &mut Launch, ins: &[GpuView], outs: &[GpuView]) -> Result<bool> {
        let [x, index, src, out] = [&ins[0], &ins[1], &ins[2], &outs[0]].map(lifted);
        if index.numel() == 0 || out.numel() == 0 {
            return copy(launch, &x, &out);
        }
        let how = match self.reduce {
            ScatterReduce::Sum => Join::Sum(Scalar::Int(1)),
            ScatterReduce::Prod => Join::Prod,
            ScatterReduce::Mean => Join::Mean,
            ScatterReduce::Amax => Join::Max,
            ScatterReduce::Amin => Join::Min,
        };
        let fits = index.shape.len() == x.shape.len() && src.shape.len() == x.shape.len() && x.shape.len() <= 8;
        if !fits || !index_write::folds(x.dtype, how, launch.gpu.features.f64) {
            return Ok(false);
        }
        let mut temps: [Temp; 3] = Default::default();
        let [a, b, c] = &mut temps;
        // of a source that is larger than the index only a part is read
        let part = GpuView { shape: index.shape, ..src };
        let (Some(x), Some(index)) = (dense(launch, &x, a)?, dense(launch, &index, b)?) else { return Ok(false) };
        let Some(src) = dense(launch, &part, c)? else { return Ok(false) };
        let size = x.shape[self.dim];
        let what = format!("index {{}} is out of bounds for dimension {} with size {size}", self.dim);
        let command = launch.fault_id("scatter_reduce", what);
        let at = Pointers { index: &index, dim: self.dim, each: true, command };
        index_write::fold(launch.rec, &x, &at, &src, how, self.include_self, &out)?;
        Ok(true)
    }
    fn checks_data(&self) -> bool {
        true
    }
}

impl Op for Scatter {
    fn node_name(&self) -> &'static str {
        if self.slices { "IndexReduceBackward0" } else { "ScatterReduceBackward0" }
    }
    fn infer(&self, ins: &[Meta]) -> Result<SmallVec<[OutSpec; 2]>> {
        let (x, index, src) = (&ins[0], &ins[1], &ins[2]);
        check_gather(&x.shape, &index.shape, self.dim, "self")?;
        ensure!(x.dtype == src.dtype, Runtime, "scatter(): Expected self.dtype to be equal to src.dtype");
        ensure!(
            index.shape.numel() == 0
                || src.shape.len().max(1) == index.shape.len().max(1)
                    && index.shape.iter().zip(src.shape.iter()).all(|(i, s)| i <= s),
            Runtime,
            "Expected index {:?} to be no larger than self {:?} apart from dimension {} and to be no larger size than src {:?}",
            &index.shape[..],
            &x.shape[..],
            self.dim,
            &src.shape[..]
        );
        Ok(OutSpec::one(x.shape.0.clone(), x.dtype))
    }
    fn saves(&self, _: u8) -> Saves {
        Saves { inputs: 0b111, outputs: 1 }
    }
    fn vjp(&self, cx: &Ctx) -> Result<Grads> {
        self.gradients(cx)
    }
    fn kernel(self: Arc<Self>) -> Arc<dyn Kernel> {
        self
    }
}

impl Scatter {
    fn gradients(&self, cx: &Ctx) -> Result<Grads> {
        let (x, index, src, out) = (cx.input(0)?, cx.input(1)?, cx.input(2)?, cx.output(0)?);
        // only what the index covers was read
        let mut part = src.clone();
        for (d, &n) in index.shape().iter().enumerate() {
            part = part.checked().narrow(d as isize, 0, n)?;
        }
        let (g, d) = (cx.g(), self.dim as isize);
        let like = |mask: Tensor| to_dtype(&mask, g.dtype());
        let (own, theirs) = match self.reduce {
            ScatterReduce::Sum => (g.clone(), g.checked().gather(d, &index)?),
            ScatterReduce::Mean => {
                let start = Tensor::constant((self.include_self as i64).into(), &g.shape(), g.dtype(), g.device());
                let ones = Tensor::constant(1.into(), &index.shape(), g.dtype(), g.device());
                let count = start.checked().scatter_add(d, &index, &ones)?;
                let count = count.checked().masked_fill(&count.checked().eq(0)?, 1)?;
                let shared = g.checked().div(&count)?;
                (shared.clone(), shared.checked().gather(d, &index)?)
            }
            ScatterReduce::Amax | ScatterReduce::Amin => {
                let result = out.detach();
                let mine = like(x.detach().checked().eq(&result)?);
                let hits = like(part.detach().checked().eq(&result.checked().gather(d, &index)?)?);
                let count = mine.checked().scatter_add(d, &index, &hits)?;
                let shared = g.checked().div(&count)?;
                let theirs = shared.checked().gather(d, &index)?.checked().mul(&hits)?;
                // where nothing equals the result, nothing gets a share of it
                (
                    super::pointwise::select(&to_dtype(&mine, crate::DType::Bool), In::T(&shared), In::S(0.into()))?,
                    theirs,
                )
            }
            ScatterReduce::Prod => {
                let again = |x: &Tensor, src: &Tensor| apply_one(*self, &[x, &index, src]);
                let nonzero = x.checked().masked_fill(&x.detach().checked().eq(0)?, 1)?;
                let own = g.checked().mul(&again(&nonzero, &part)?)?.checked().div(&nonzero)?;
                let zero = part.detach().checked().eq(0)?;
                let none = Tensor::zeros_of(cx.output_meta(0));
                let zeros = none.checked().scatter_add(d, &index, &like(zero.clone()))?.checked().gather(d, &index)?;
                let lone = zero.checked().bitwise_and(&zeros.checked().eq(1)?)?;
                let others = again(&x, &part.checked().masked_fill(&lone, 1)?)?;
                let at_zero = g.checked().mul(&others)?.checked().gather(d, &index)?;
                let elsewhere = g.checked().mul(&out)?.checked().gather(d, &index)?;
                let elsewhere = elsewhere.checked().div(&part.checked().masked_fill(&zero, 1)?)?;
                (own, super::pointwise::select(&lone, In::T(&at_zero), In::T(&elsewhere))?)
            }
        };
        let mut grads = no_grads(3);
        if cx.needs(0) {
            grads[0] = Some(if self.include_self { own } else { own.checked().scatter(d, &index, 0)? });
        }
        if cx.needs(2) {
            grads[2] = Some(if theirs.shape() == cx.input_shape(2) { theirs } else { padded(cx, &theirs)? });
        }
        Ok(grads)
    }
}

#[track_caller]
fn scatter_reduce(
    t: &Tensor,
    dim: isize,
    index: &Tensor,
    src: &Tensor,
    reduce: ScatterReduce,
    include_self: bool,
) -> Result<Tensor> {
    let index = int64(index, "scatter_reduce()")?;
    let op = Scatter { reduce, dim: wrap_dim(dim, t.dim())?, include_self, slices: false };
    if index.numel() == 0 {
        return composite(
            "ScatterReduceBackward0",
            &[t],
            Saves::NONE,
            || t.checked().copy(),
            |cx| Ok(crate::tensor::one_grad(cx.g().clone())),
        );
    }
    apply_one(op, &[t, &index, src])
}

/// `index_reduce` is a scatter whose index is the same for all elements of a slice.
#[track_caller]
fn index_reduce(
    t: &Tensor,
    dim: isize,
    index: &Tensor,
    source: &Tensor,
    reduce: ScatterReduce,
    include_self: bool,
) -> Result<Tensor> {
    ensure!(
        reduce != ScatterReduce::Sum,
        Runtime,
        "index_reduce(): Expected reduce to be one of prod, mean, amax or amin but got sum."
    );
    ensure!(index.dim() <= 1, Index, "index_reduce_(): Index is supposed to be a vector");
    ensure!(
        t.dtype() == source.dtype(),
        Runtime,
        "index_reduce_(): self and source expected to have the same dtype, but got (self) {} and (source) {}",
        t.dtype().scalar_name(),
        source.dtype().scalar_name()
    );
    let index = int64(index, "index_reduce()")?;
    let d = wrap_dim(dim, t.dim())?;
    let count = if source.dim() == 0 { 1 } else { source.size_of(d as isize) };
    ensure!(
        source.dim() == t.dim() && index.numel() == count,
        Index,
        "index_reduce_(): Number of indices should be equal to source.size(dim)"
    );
    let mut places = vec![1; source.dim()];
    if let Some(n) = places.get_mut(d) {
        *n = count;
    }
    let index = index.checked().reshape(places)?.checked().expand(source.shape())?;
    let unlike = (0..t.dim()).any(|i| i != d && t.shape()[i] != source.shape()[i]);
    ensure!(!unlike, Runtime, "Source/destination tensor must have same slice shapes.");
    if index.numel() == 0 {
        return scatter_reduce(t, dim, &index, source, reduce, include_self);
    }
    apply_one(Scatter { reduce, dim: d, include_self, slices: true }, &[t, &index, source])
}

methods! {
    /// The tensor with slices of `source` combined along a dim where the vector `index` says (`torch.index_reduce`); the
    /// tensor's own values take part where `include_self`.
    ///
    /// # Panics
    /// If the sizes do not fit, the dtypes differ, or a sum is asked for ([`Tensor::index_add`]).
    ///
    /// ```
    /// # use wgtorch::{prelude::*, ScatterReduce};
    /// let x = tensor!([1., 2.]);
    /// let y = x.index_reduce(0, &tensor!([1, 1]), &tensor!([5., 3.]), ScatterReduce::Amax, true);
    /// assert_eq!(y.to_vec::<f32>()?, [1., 5.]);
    /// # Ok::<(), Error>(())
    /// ```
    fn index_reduce(&self, dim: isize, index: &Tensor, source: &Tensor, reduce: ScatterReduce, include_self: bool) -> Tensor {
        index_reduce(self.0, dim, index, source, reduce, include_self)
    }

    /// [`Tensor::index_reduce`] in place.
    fn index_reduce_(&self, dim: isize, index: &Tensor, source: &Tensor, reduce: ScatterReduce, include_self: bool) -> Tensor {
        // the gradient reads the former values
        let before = self.copy()?;
        replace(self.0, &index_reduce(&before, dim, index, source, reduce, include_self)?)
    }

    /// The tensor with the values of `src` combined along a dim where `index` says (`torch.scatter_reduce`); the tensor's
    /// own values take part where `include_self`.
    ///
    /// ```
    /// # use wgtorch::{prelude::*, ScatterReduce};
    /// let x = tensor!([1., 2., 3.]);
    /// let y = x.scatter_reduce(0, &tensor!([0, 0, 1]), &tensor!([5., 6., 7.]), ScatterReduce::Prod, true);
    /// assert_eq!(y.to_vec::<f32>()?, [30., 14., 3.]);
    /// # Ok::<(), Error>(())
    /// ```
    fn scatter_reduce(&self, dim: isize, index: &Tensor, src: &Tensor, reduce: ScatterReduce, include_self: bool) -> Tensor {
        scatter_reduce(self.0, dim, index, src, reduce, include_self)
    }

    /// [`Tensor::scatter_reduce`] in place.
    fn scatter_reduce_(&self, dim: isize, index: &Tensor, src: &Tensor, reduce: ScatterReduce, include_self: bool) -> Tensor {
        // the gradient reads the former values
        let before = self.copy()?;
        replace(self.0, &scatter_reduce(&before, dim, index, src, reduce, include_self)?)
    }
}
