//! Writing at positions that are data, along one dim: scatter, and slices by index. The ops copy their first input and write into the
//! copy; in-place forms put the result back.

use super::compose::replace;
use super::index_checks::{check_gather, element_index, int64, lift, lifted, padded};
use super::on_gpu::{Temp, copy, dense, flat_index, spread};
use super::pointwise::select as choose;
use crate::cpu::copy::copy_strided;
use crate::cpu::index::{self as k, BadIndex};
use crate::cpu::number::Number;
use crate::cpu::view::View;
use crate::dtype::{DType, compute};
use crate::error::{Error, Result, ensure};
use crate::gpu::GpuView;
use crate::gpu::kernels::index as kernels;
use crate::gpu::kernels::index_write::{self, Join, Pointers};
use crate::ops::Operand;
use crate::scalar::Scalar;
use crate::shape::{Dims, wrap_dim};
use crate::stream::{CpuView, Kernel, Launch, OnComplex};
use crate::tensor::{Ctx, Grads, In, Meta, Op, OutSpec, Saves, Tensor, apply_one, methods, no_grads, to_dtype};
use smallvec::SmallVec;
use std::sync::Arc;

/// How elements are written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Write {
    /// At the positions of an index with the dims of the input.
    Scatter,
    ScatterAdd,
    /// Slices by a list.
    Copy,
    /// Slices times a factor.
    Add {
        alpha: Scalar,
    },
    /// One value into slices.
    Fill,
}

#[derive(Clone, Copy, Debug)]
struct WriteAt {
    how: Write,
    dim: usize,
    /// The source is one number, which has a node of its own in PyTorch.
    value: bool,
}

/// Up to so many indices that additions may meet at are compared with each other.
pub(super) const FEW: usize = 1024;

impl WriteAt {
    fn error(&self, b: BadIndex) -> Error {
        let BadIndex { value, size, .. } = b;
        let bounds = format!("index {value} is out of bounds for dimension {} with size {size}", self.dim);
        match self.how {
            Write::Scatter | Write::ScatterAdd => Error::Runtime(bounds),
            Write::Add { .. } => Error::Index("index out of range in self".into()),
            Write::Copy => Error::Index(format!("index_copy_(): {bounds}")),
            Write::Fill => Error::Index(bounds),
        }
    }

    fn run<T: Number>(&self, ins: &[CpuView], out: &CpuView) -> Result<(), BadIndex> {
        let (x, index, src, out) = (lift(&ins[0]), lift(&ins[1]), lift(&ins[2]), lift(out));
        let (index, to) = (index.typed::<i64>(), out.typed_mut::<T>());
        k::check_indices(index, self.dim, out.shape[self.dim], self.how == Write::Fill)?;
        copy_strided(to, x.typed::<T>());
        if index.numel() == 0 || x.shape.contains(&0) {
            return Ok(());
        }
        let zeros: Dims = SmallVec::from_elem(0, out.shape.len());
        match self.how {
            Write::Scatter | Write::ScatterAdd => {
                // one number for all positions, or a source that covers the index
                let strides = if self.value { &zeros[..] } else { src.strides };
                // SAFETY: the source's elements up to the index's sizes, or one element.
                let src = unsafe { View::new(src.ptr.cast::<T>(), index.shape, strides) };
                if self.how == Write::Scatter {
                    k::scatter(to, index, src, self.dim)
                } else {
                    k::scatter_add(to, index, src, self.dim)
                }
            }
            Write::Copy => k::index_copy(to, self.dim, index, src.typed::<T>()),
            Write::Add { alpha } => k::index_add(to, self.dim, index, src.typed::<T>(), T::from_scalar(alpha)),
            // SAFETY: the source of a fill has one element.
            Write::Fill => k::index_fill(to, self.dim, index, unsafe { src.typed::<T>().at(0) }),
        }
    }
}

impl Kernel for WriteAt {
    fn name(&self) -> &'static str {
        match self.how {
            Write::Scatter => "scatter",
            Write::ScatterAdd => "scatter_add",
            Write::Copy => "index_copy",
            Write::Add { .. } => "index_add",
            Write::Fill => "index_fill",
        }
    }
    fn cpu(&self, ins: &[CpuView], outs: &[CpuView]) -> Result<()> {
        compute!(ins[0].dtype, T => self.run::<T>(ins, &outs[0])).map_err(|b| self.error(b))
    }
    fn gpu(&self, launch: &mut Launch, ins: &[GpuView], outs: &[GpuView]) -> Result<bool> {
        let (x, index, src, out) = (&lifted(&ins[0]), &lifted(&ins[1]), &lifted(&ins[2]), &lifted(&outs[0]));
        if index.numel() == 0 || out.numel() == 0 {
            return copy(launch, x, out);
        }
        let adds = matches!(self.how, Write::ScatterAdd | Write::Add { .. });
        let alpha = match self.how {
            Write::Add { alpha } => alpha,
            _ => Scalar::Int(1),
        };
        if adds && !index_write::folds(x.dtype, Join::Sum(alpha), launch.gpu.features.f64) {
            return Ok(false);
        }
        let each = matches!(self.how, Write::Scatter | Write::ScatterAdd);
        if each && (index.shape.len() != x.shape.len() || x.shape.len() > 8) {
            return Ok(false);
        }
        let mut temps: [Temp; 3] = Default::default();
        let [a, b, c] = &mut temps;
        let size = x.shape[self.dim];
        let index = match self.how {
            Write::Fill => flat_index(launch, &[*index], &[size], a)?,
            _ => dense(launch, index, a)?,
        };
        let Some(index) = index else { return Ok(false) };
        // of a source that is larger than the index only a part is read
        let part = GpuView { shape: index.shape, ..*src };
        let from = if each && !self.value { &part } else { src };
        let one = self.value || self.how == Write::Fill;
        // a kernel takes one number of one word
        let src = match (one && x.dtype.size() == 8, each) {
            (true, true) => spread(launch, from, index.shape, b)?,
            (true, false) => {
                let mut shape = Dims::from(x.shape);
                shape[self.dim] = index.numel();
                spread(launch, &GpuView { shape: &[], strides: &[], ..*from }, &shape, b)?
            }
            _ => dense(launch, from, b)?,
        };
        let Some(src) = src else { return Ok(false) };
        let bounds = format!("index {{}} is out of bounds for dimension {} with size {size}", self.dim);
        let id = launch.fault_id(
            self.name(),
            match self.how {
                Write::Add { .. } => "index out of range in self (index {})".into(),
                Write::Copy => format!("index_copy_(): {bounds}"),
                _ => bounds,
            },
        );
        // comparing all with all beats sorting where there are few
        let along = if each { index.shape[self.dim] } else { index.numel() };
        if adds && x.dtype == DType::F32 && (along <= FEW && index.numel() * along <= FEW * FEW) {
            if !copy(launch, x, out)? {
                return Ok(false);
            }
            if each {
                kernels::scatter_add(launch.rec, out, self.dim, &index, &src, id)?;
            } else {
                kernels::index_add(launch.rec, out, self.dim, &index, &src, alpha.to_f64() as f32, id)?;
            }
            return Ok(true);
        }
        let Some(x) = dense(launch, x, c)? else { return Ok(false) };
        let at = Pointers { index: &index, dim: self.dim, each, command: id };
        if adds {
            index_write::fold(launch.rec, &x, &at, &src, Join::Sum(alpha), true, out)?;
        } else {
            index_write::write(launch.rec, &x, &at, &src, out)?;
        }
        Ok(true)
    }
    fn on_complex(&self, rank: usize) -> OnComplex {
        let spread = matches!(self.how, Write::Scatter | Write::ScatterAdd);
        if rank == 0 || self.value || self.how == Write::Fill {
            return OnComplex::Refused;
        }
        OnComplex::Pairs { kernel: Arc::new(*self), spread }
    }
    fn checks_data(&self) -> bool {
        true
    }
}

impl Op for WriteAt {
    fn node_name(&self) -> &'static str {
        match (self.how, self.value) {
            (Write::Scatter, false) => "ScatterBackward0",
            (Write::Scatter, true) => "ScatterBackward1",
            (Write::ScatterAdd, _) => "ScatterAddBackward0",
            (Write::Copy, _) => "IndexCopyBackward0",
            (Write::Add { .. }, _) => "IndexAddBackward0",
            (Write::Fill, true) => "IndexFillBackward0",
            (Write::Fill, false) => "IndexFillBackward1",
        }
    }
    fn infer(&self, ins: &[Meta]) -> Result<SmallVec<[OutSpec; 2]>> {
        let (x, index, src) = (&ins[0], &ins[1], &ins[2]);
        match self.how {
            Write::Scatter | Write::ScatterAdd => {
                check_gather(&x.shape, &index.shape, self.dim, "self")?;
                ensure!(x.dtype == src.dtype, Runtime, "scatter(): Expected self.dtype to be equal to src.dtype");
                if !self.value && index.shape.numel() > 0 {
                    ensure!(
                        src.shape.len().max(1) == index.shape.len().max(1),
                        Runtime,
                        "Index tensor must have the same number of dimensions as src tensor"
                    );
                    ensure!(
                        index.shape.iter().zip(src.shape.iter()).all(|(i, s)| i <= s),
                        Runtime,
                        "Expected index {:?} to be no larger than self {:?} apart from dimension {} and to be no larger size than src {:?}",
                        &index.shape[..],
                        &x.shape[..],
                        self.dim,
                        &src.shape[..]
                    );
                }
            }
            Write::Copy | Write::Add { .. } => self.check_slices(x, index, src)?,
            Write::Fill => {}
        }
        Ok(OutSpec::one(x.shape.0.clone(), x.dtype))
    }
    fn saves(&self, needs: u8) -> Saves {
        // a sum passes its gradient on
        let index = needs & 0b100 != 0 || !matches!(self.how, Write::ScatterAdd | Write::Add { .. });
        Saves { inputs: (index as u8) << 1, outputs: 0 }
    }
    fn vjp(&self, cx: &Ctx) -> Result<Grads> {
        let (g, d) = (cx.g().checked(), self.dim as isize);
        let mut grads = no_grads(3);
        if cx.needs(0) {
            grads[0] = Some(match self.how {
                Write::ScatterAdd | Write::Add { .. } => cx.g().clone(),
                Write::Scatter => g.scatter(d, &cx.input(1)?, 0)?,
                Write::Copy | Write::Fill => g.index_fill(d, &cx.input(1)?, 0)?,
            });
        }
        if cx.needs(2) {
            let index = cx.input(1)?;
            let shape = cx.input_shape(2);
            let picked = match self.how {
                Write::Scatter | Write::ScatterAdd => {
                    let picked = g.gather(d, &index)?;
                    if picked.shape() == shape { picked } else { padded(cx, &picked)? }
                }
                Write::Fill => {
                    // each position counts once, however often the list names it
                    let none = Tensor::constant(false.into(), &cx.g().shape(), DType::Bool, cx.g().device());
                    let filled = none.checked().index_fill(d, &index, true)?;
                    choose(&filled, In::T(cx.g()), In::S(0.into()))?.checked().sum()?
                }
                Write::Add { alpha } => g.index_select(d, &index)?.checked().mul(alpha)?,
                Write::Copy => g.index_select(d, &index)?,
            };
            grads[2] = Some(if picked.shape() == shape { picked } else { picked.checked().reshape(&shape)? });
        }
        Ok(grads)
    }
    fn kernel(self: Arc<Self>) -> Arc<dyn Kernel> {
        self
    }
}

impl WriteAt {
    /// Sizes of slices that are written by a list.
    fn check_slices(&self, x: &Meta, index: &Meta, src: &Meta) -> Result<()> {
        let name = self.name();
        ensure!(
            x.dtype == src.dtype,
            Runtime,
            "{name}_(): self and source expected to have the same dtype, but got (self) {} and (source) {}",
            x.dtype.scalar_name(),
            src.dtype.scalar_name()
        );
        let count = index.shape.numel();
        if x.shape.is_empty() || src.shape.is_empty() {
            ensure!(
                src.shape.numel() == count,
                Runtime,
                "{name}_(): When source is scalar, index should have one element (got {count})"
            );
            return Ok(());
        }
        ensure!(
            src.shape.len() == x.shape.len(),
            Runtime,
            "{name}_(): source and destination must have the same number of dimensions"
        );
        ensure!(
            src.shape[self.dim] == count,
            Runtime,
            "{name}_(): Number of indices ({count}) should be equal to source.size(dim): ({}), for dim: {}",
            src.shape[self.dim],
            self.dim
        );
        for d in (0..x.shape.len()).filter(|&d| d != self.dim) {
            ensure!(
                src.shape[d] == x.shape[d],
                Runtime,
                "{name}_(): Source/destination tensor must have same slice shapes. Destination slice shape: {:?} at dimension {} and source slice shape: {:?} at dimension 0.",
                &x.shape[..],
                self.dim,
                &src.shape[..]
            );
        }
        Ok(())
    }
}

#[track_caller]
fn write(t: &Tensor, how: Write, dim: isize, index: &Tensor, src: &Operand) -> Result<Tensor> {
    if t.dtype().is_complex() {
        return write_complex(t, how, dim, index, src);
    }
    write_as_given(t, how, dim, index, src)
}

/// [`write`] in the forms that work on pairs of parts: no 0-dim tensors, a source for each element, a real factor.
#[track_caller]
fn write_complex(t: &Tensor, how: Write, dim: isize, index: &Tensor, src: &Operand) -> Result<Tensor> {
    let d = wrap_dim(dim, t.dim())?;
    let lifted = |x: &Tensor| if x.dim() == 0 { x.checked().unsqueeze(0) } else { Ok(x.clone()) };
    if how == Write::Fill {
        if let Operand::Tensor(s) = src {
            ensure!(
                s.dim() == 0,
                Runtime,
                "index_fill_ only supports a 0-dimensional value tensor, but got tensor with {} dimension(s).",
                s.dim()
            );
        }
        // the index is checked, and the value's gradient counted, as for other dtypes
        let none = Tensor::constant(false.into(), &t.shape(), DType::Bool, t.device());
        let filled = none.checked().index_fill(dim, index, true)?;
        return choose(&filled, src.as_in(), In::T(t));
    }
    let src = match src {
        Operand::Tensor(s) => lifted(s)?,
        Operand::Scalar(s) => Tensor::constant(*s, &lifted(index)?.shape(), t.dtype(), t.device()),
    };
    let (how, src) = match how {
        Write::Add { alpha: Scalar::Complex(z) } => {
            (Write::Add { alpha: Scalar::Int(1) }, src.checked().mul(Scalar::Complex(z))?)
        }
        how => (how, src),
    };
    let out = write_as_given(&lifted(t)?, how, d as isize, &lifted(index)?, &Operand::Tensor(src))?;
    if t.dim() == 0 { out.checked().squeeze_dim(0) } else { Ok(out) }
}

#[track_caller]
fn write_as_given(t: &Tensor, how: Write, dim: isize, index: &Tensor, src: &Operand) -> Result<Tensor> {
    let dim = wrap_dim(dim, t.dim())?;
    let (src, value) = match src {
        Operand::Tensor(s) => (s.clone(), false),
        Operand::Scalar(s) => (Tensor::constant(*s, &[], t.dtype(), t.device()), true),
    };
    let op = WriteAt { how, dim, value };
    let index = match how {
        Write::Scatter | Write::ScatterAdd => element_index(index, op.name())?,
        _ => int64(index, &format!("{}()", op.name()))?,
    };
    if matches!(how, Write::Copy | Write::Add { .. } | Write::Fill) {
        ensure!(index.dim() <= 1, Index, "{}_(): Index is supposed to be a vector", op.name());
    }
    if how == Write::Fill {
        ensure!(
            src.dim() == 0,
            Runtime,
            "index_fill_ only supports a 0-dimensional value tensor, but got tensor with {} dimension(s).",
            src.dim()
        );
        let src = if src.dtype() == t.dtype() { src } else { to_dtype(&src, t.dtype()) };
        return apply_one(op, &[t, &index, &src]);
    }
    apply_one(op, &[t, &index, &src])
}

macro_rules! writes {
    ($($(#[$m:meta])* $name:ident $inplace:ident($($arg:ident: $ty:ty),*) $how:expr, $src:expr;)*) => {
        methods! {$(
            $(#[$m])*
            fn $name(&self, dim: isize, index: &Tensor, $($arg: $ty),*) -> Tensor {
                write(self.0, $how, dim, index, &$src)
            }

            #[doc = concat!("[`Tensor::", stringify!($name), "`] in place.")]
            fn $inplace(&self, dim: isize, index: &Tensor, $($arg: $ty),*) -> Tensor {
                replace(self.0, &write(self.0, $how, dim, index, &$src)?)
            }
        )*}
    };
}
writes! {
    /// The tensor with `src` (a tensor or a number) written along a dim where `index` says (`torch.scatter`). Of repeated
    /// positions the last one stays.
    scatter scatter_(src: impl Into<Operand>) Write::Scatter, src.into();
    /// The tensor with `src` added along a dim where `index` says (`torch.scatter_add`).
    scatter_add scatter_add_(src: &Tensor) Write::ScatterAdd, Operand::from(src);
    /// The tensor with slices of a dim replaced (`torch.index_copy`).
    index_copy index_copy_(source: &Tensor) Write::Copy, Operand::from(source);
    /// The tensor with `alpha` times the source added to slices of a dim (`torch.index_add`).
    index_add index_add_(source: &Tensor, alpha: impl Into<Scalar>) Write::Add { alpha: alpha.into() }, Operand::from(source);
    /// The tensor with slices of a dim set to one value (`torch.index_fill`).
    index_fill index_fill_(value: impl Into<Operand>) Write::Fill, value.into();
}

methods! {
    /// The tensor with elements of its flattened form written (`tensor.put`).
    fn put(&self, index: &Tensor, source: &Tensor, accumulate: bool) -> Tensor {
        ensure!(index.dtype() == DType::I64, Runtime, "put_(): Expected a long tensor for index, but got {}", index.dtype().scalar_name());
        ensure!(
            source.numel() == index.numel(),
            Runtime,
            "put_(): Expected source and index to have the same number of elements, but got source.numel() = {}, index.numel() = {}",
            source.numel(),
            index.numel()
        );
        let (flat, index, source) = (self.reshape(-1)?, index.checked().reshape(-1)?, source.checked().reshape(-1)?);
        flat.checked().index_put(index, &source, accumulate)?.checked().reshape(self.shape())
    }

    /// [`Tensor::put`] in place (`tensor.put_`).
    fn put_(&self, index: &Tensor, source: &Tensor, accumulate: bool) -> Tensor {
        let result = self.put(index, source, accumulate)?;
        self.copy_(&result)
    }
}
