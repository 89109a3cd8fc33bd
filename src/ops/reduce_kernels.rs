//! How a reduction runs: on the CPU one kernel, on a GPU a fold with a step before it and one after it.

use super::on_gpu::{Steps, Temp};
use super::reduce::{Kind, Reduce};
use crate::cpu::memory::HostBuf;
use crate::cpu::number::Number;
use crate::cpu::pointwise::Values;
use crate::cpu::reduce::{Computed, computed};
use crate::cpu::view::View;
use crate::dtype::DType;
use crate::error::Result;
use crate::gpu::{self, GpuView};
use crate::num::rows;
use crate::program::Row;
use crate::scalar::Scalar;
use crate::shape::{contiguous_strides, numel};
use crate::stream::{CpuView, Fed, Kernel, Launch};
use smallvec::SmallVec;

impl Reduce {
    pub(super) fn run_cpu<T: Number<Acc: Number<Acc = T::Acc>>>(&self, x: &CpuView, outs: &[CpuView]) {
        use crate::cpu::reduce as k;
        let (x, mask) = (x.typed::<T>(), &self.mask[..]);
        let dim = mask.iter().position(|m| *m);
        match self.kind {
            Kind::Sum | Kind::Prod | Kind::Mean => self.fold::<T>(x, &outs[0]),
            Kind::Max => k::amax(outs[0].typed_mut(), x, mask),
            Kind::Min => k::amin(outs[0].typed_mut(), x, mask),
            Kind::Any => k::any(outs[0].typed_mut(), x, mask),
            Kind::All => k::all(outs[0].typed_mut(), x, mask),
            Kind::CountNonzero => k::count_nonzero(outs[0].typed_mut(), x, mask),
            Kind::Norm(p) => k::norm(outs[0].typed_mut(), x, mask, p),
            Kind::Var { correction, std } => k::var_mean(outs[0].typed_mut(), None, x, mask, correction, std),
            Kind::VarMean { correction, std } => {
                k::var_mean(outs[0].typed_mut(), Some(outs[1].typed_mut()), x, mask, correction, std)
            }
            Kind::ArgMax | Kind::ArgMin | Kind::MaxIndex | Kind::MinIndex => {
                let arg = matches!(self.kind, Kind::ArgMax | Kind::ArgMin);
                let (values, indices) = if arg { (None, outs[0]) } else { (Some(outs[0].typed_mut()), outs[1]) };
                let indices = Some(indices.typed_mut());
                // a 0-dim tensor is its own extreme
                let (shape, strides) = (&[1][..], &[1][..]);
                let (x, dim) = match dim {
                    Some(d) => (x, d),
                    // SAFETY: the one element of a 0-dim tensor.
                    None => (unsafe { View::new(x.ptr(), shape, strides) }, 0),
                };
                match self.kind {
                    Kind::ArgMax | Kind::MaxIndex => k::max_dim(values, indices, x, dim),
                    _ => k::min_dim(values, indices, x, dim),
                }
            }
        }
    }

    /// Sums and their like, whose result may have another dtype than the input.
    fn fold<T: Number<Acc: Number<Acc = T::Acc>>>(&self, x: View<T>, out: &CpuView) {
        use crate::cpu::reduce as k;
        if out.dtype == T::DTYPE {
            let (out, mask) = (out.typed_mut::<T>(), &self.mask[..]);
            return match self.kind {
                Kind::Sum => k::sum(out, x, mask),
                Kind::Prod => k::prod(out, x, mask),
                _ => k::mean(out, x, mask),
            };
        }
        let (out, mask) = (out.typed_mut::<T::Acc>(), &self.mask[..]);
        match self.kind {
            Kind::Sum => k::sum(out, x, mask),
            Kind::Prod => k::prod(out, x, mask),
            _ => k::mean(out, x, mask),
        }
    }
}

/// A reduction of what an elementwise program computes.
#[derive(Clone, Debug)]
pub(super) struct FedReduce {
    reduce: Reduce,
    fed: Fed,
}

impl Reduce {
    /// The reduction of what a program computes, where the device has it.
    pub(super) fn feed_with(&self, fed: &Fed) -> Option<FedReduce> {
        let value = fed.program.dtype(fed.program.stores[0]);
        let takes = if fed.device.is_gpu() {
            value == DType::F32
                || matches!(value, DType::Bool | DType::I64) && matches!(self.kind, Kind::Sum | Kind::Any | Kind::All)
        } else {
            // rows are computed in order: the reduced dims have to be the last
            let rows = self.mask.is_sorted() && self.computed().is_some();
            rows && match value {
                DType::F32 | DType::F64 => self.dtype == value,
                DType::Bool | DType::I64 => self.kind == Kind::Sum && self.dtype == DType::I64,
                _ => false,
            }
        };
        takes.then(|| FedReduce { reduce: self.clone(), fed: fed.clone() })
    }

    fn computed(&self) -> Option<Computed> {
        match self.kind {
            Kind::Sum => Some(Computed::Sum),
            Kind::Mean => Some(Computed::Mean),
            Kind::Max => Some(Computed::Max),
            Kind::Min => Some(Computed::Min),
            _ => None,
        }
    }
}

impl FedReduce {
    /// Computes the program into memory first.
    fn stored(&self, loads: &[(*const u8, &[usize])], outs: &[CpuView]) -> Result<()> {
        let (p, shape) = (&self.fed.program, &self.fed.shape[..]);
        let (dtype, strides) = (p.dtype(p.stores[0]), contiguous_strides(shape));
        let memory = HostBuf::alloc(numel(shape) * dtype.size());
        // SAFETY: the executor holds the operands' memory for this call; the result has memory of its own.
        unsafe { crate::cpu::pointwise::run(p, shape, loads, &self.fed.scalars, &[(memory.ptr(), &strides)]) };
        self.reduce.cpu(&[CpuView { ptr: memory.ptr(), dtype, shape, strides: &strides }], outs)
    }
}

impl Kernel for FedReduce {
    fn name(&self) -> &'static str {
        self.reduce.op_name()
    }
    fn cpu(&self, ins: &[CpuView], outs: &[CpuView]) -> Result<()> {
        let (p, shape) = (&self.fed.program, &self.fed.shape[..]);
        let loads: SmallVec<[(*const u8, &[usize]); 8]> = ins.iter().map(|v| (v.ptr.cast_const(), v.strides)).collect();
        let kind = self.reduce.computed().filter(|_| self.reduce.mask.is_sorted());
        let Some(kind) = kind else { return self.stored(&loads, outs) };
        // SAFETY: the executor holds the operands' memory for this call.
        let values = unsafe { Values::new(p, shape, &loads, &self.fed.scalars) };
        let n = self.reduce.count(shape);
        let rows = shape.iter().product::<usize>() / n;
        macro_rules! run {
            ($t:ty, $o:ty) => {
                computed::<$t, $o>(kind, outs[0].typed_mut(), rows, n, |range, block| {
                    // SAFETY: the range lies within the rows, and the block is as long.
                    unsafe { values.fill(range, block.as_mut_ptr().cast()) }
                })
            };
        }
        match p.dtype(p.stores[0]) {
            DType::F32 => run!(f32, f32),
            DType::F64 => run!(f64, f64),
            DType::Bool => run!(bool, i64),
            _ => run!(i64, i64),
        }
        Ok(())
    }
    fn gpu(&self, launch: &mut Launch, ins: &[GpuView], outs: &[GpuView]) -> Result<bool> {
        self.reduce.run_gpu(launch, Some(&self.fed), ins, outs)
    }
    fn checks_data(&self) -> bool {
        false
    }
    fn every_dtype(&self) -> bool {
        true
    }
}

impl Reduce {
    /// Runs as a fold with a step before it and one after it, in up to two launches.
    pub(super) fn run_gpu(
        &self,
        launch: &mut Launch,
        fed: Option<&Fed>,
        ins: &[GpuView],
        outs: &[GpuView],
    ) -> Result<bool> {
        use gpu::reduce::ReduceKind as R;
        use rows::{ABS, DIV, MUL, NE, POW, SQRT};
        let (dtype, shape) = match fed {
            Some(f) => (f.program.dtype(f.program.stores[0]), &f.shape[..]),
            None => (ins[0].dtype, ins[0].shape),
        };
        let half = matches!(dtype, DType::F16 | DType::BF16);
        let wide = if half { DType::F32 } else { dtype };
        let one = |v: f64| Steps::new(&[dtype], &[(Scalar::Float(v), wide)]);
        let mut before = None;
        let mut after: Option<(&'static Row, Option<f64>)> = None;
        let fold = match self.kind {
            Kind::Sum => R::Sum,
            Kind::Prod => R::Prod,
            Kind::Max => R::Max,
            Kind::Min => R::Min,
            Kind::ArgMax => R::ArgMax,
            Kind::ArgMin => R::ArgMin,
            Kind::MaxIndex => R::MaxIndex,
            Kind::MinIndex => R::MinIndex,
            Kind::Any => R::Any,
            Kind::All => R::All,
            Kind::Var { correction, std } | Kind::VarMean { correction, std } => {
                after = std.then_some((&SQRT, None));
                R::Var { correction }
            }
            Kind::Mean => {
                after = Some((&DIV, Some(self.count(shape) as f64)));
                R::Sum
            }
            Kind::CountNonzero => {
                let mut s = Steps::new(&[dtype], &[(Scalar::Int(0), dtype)]);
                let r = s.row(&NE, dtype, &[0, 1]);
                before = Some(s.done(r));
                R::Sum
            }
            Kind::Norm(p) => {
                let mut s = one(if p == 0.0 { 0.0 } else { p });
                let v = s.cast(0, wide);
                let r = if p == 2.0 {
                    after = Some((&SQRT, None));
                    s.row(&MUL, wide, &[v, v])
                } else if p == 0.0 {
                    let r = s.row(&NE, wide, &[v, 1]);
                    s.cast(r, wide)
                } else {
                    let abs = s.row(&ABS, wide, &[v]);
                    if p == 1.0 || p.is_infinite() {
                        abs
                    } else {
                        after = Some((&POW, Some(1.0 / p)));
                        s.row(&POW, wide, &[abs, 1])
                    }
                };
                before = Some(s.done(r));
                if p == f64::INFINITY {
                    R::Max
                } else if p == f64::NEG_INFINITY {
                    R::Min
                } else {
                    R::Sum
                }
            }
        };
        // 0-dim tensors are folded as one element
        let (shape, mask) = if shape.is_empty() { (&[1][..], &[true][..]) } else { (shape, &self.mask[..]) };
        let result = outs[0];
        let after = after.map(|(row, value)| {
            let given: SmallVec<[(Scalar, DType); 1]> = value.iter().map(|v| (Scalar::Float(*v), wide)).collect();
            let mut s = Steps::new(&[wide], &given);
            let r = if value.is_some() { s.row(row, wide, &[0, 1]) } else { s.row(row, wide, &[0]) };
            let r = s.cast(r, result.dtype);
            s.done(r)
        });
        if after.as_ref().is_some_and(|(p, _)| !gpu::pointwise::supports(p, &launch.gpu.features)) {
            return Ok(false);
        }
        // what follows works on the unrounded fold
        let temp = if half && after.is_some() { Temp::new(launch, result.shape, wide)? } else { Temp::default() };
        let mut outs: SmallVec<[GpuView; 2]> = outs.iter().copied().collect();
        if let Some(v) = temp.view(wide) {
            outs[0] = v;
        }
        let before = match (fed, before) {
            (None, before) => before,
            (Some(f), None) => Some((f.program.clone(), f.scalars.clone())),
            (Some(f), Some((p, s))) => Some((f.program.then(&p), f.scalars.iter().chain(&s).copied().collect())),
        };
        let (program, scalars) = match &before {
            Some((p, s)) => (Some(p), &s[..]),
            None => (None, &[][..]),
        };
        if !gpu::reduce::reduce(launch.rec, launch.gpu, fold, program, ins, scalars, shape, mask, &outs)? {
            return Ok(false);
        }
        match after {
            None => Ok(true),
            Some((p, s)) => gpu::pointwise::run(launch.rec, launch.gpu, &p, result.shape, &[outs[0]], &s, &[result]),
        }
    }
}
