//! How a reduction runs: on the CPU one kernel, on a GPU a fold with a step before it and one after it.

use super::on_gpu::{Steps, Temp};
use super::reduce::{Kind, Reduce};
use crate::cpu::number::Number;
use crate::cpu::view::View;
use crate::dtype::DType;
use crate::error::Result;
use crate::gpu::{self, GpuView};
use crate::num::rows;
use crate::program::Row;
use crate::scalar::Scalar;
use crate::stream::{CpuView, Launch};
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

impl Reduce {
    /// Runs as a fold with a step before it and one after it, in up to two launches.
    pub(super) fn run_gpu(&self, launch: &mut Launch, x: &GpuView, outs: &[GpuView]) -> Result<bool> {
        use gpu::reduce::ReduceKind as R;
        use rows::{ABS, DIV, MUL, NE, POW, SQRT};
        let half = matches!(x.dtype, DType::F16 | DType::BF16);
        let wide = if half { DType::F32 } else { x.dtype };
        let one = |v: f64| Steps::new(&[x.dtype], &[(Scalar::Float(v), wide)]);
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
                after = Some((&DIV, Some(self.count(x.shape) as f64)));
                R::Sum
            }
            Kind::CountNonzero => {
                let mut s = Steps::new(&[x.dtype], &[(Scalar::Int(0), x.dtype)]);
                let r = s.row(&NE, x.dtype, &[0, 1]);
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
        let lifted = GpuView { shape: &[1], strides: &[1], ..*x };
        let (x, mask) = if x.shape.is_empty() { (&lifted, &[true][..]) } else { (x, &self.mask[..]) };
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
        let (program, scalars) = match &before {
            Some((p, s)) => (Some(p), &s[..]),
            None => (None, &[][..]),
        };
        if !gpu::reduce::reduce(launch.rec, launch.gpu, fold, program, &[*x], scalars, x.shape, mask, &outs)? {
            return Ok(false);
        }
        match after {
            None => Ok(true),
            Some((p, s)) => gpu::pointwise::run(launch.rec, launch.gpu, &p, result.shape, &[outs[0]], &s, &[result]),
        }
    }
}
