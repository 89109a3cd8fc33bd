//! Complex operands as pairs of real ones: what only moves elements, or treats real and imaginary parts alike, is recorded as
//! the same step on real operands with one more dim of size 2, and needs no kernel for complex numbers on any device.

use super::command::{Arg, Kernel, KernelCmd, PointCmd, Src};
use crate::dtype::DType;
use crate::error::{Result, bail};
use crate::num::complex;
use crate::program::Action;
use crate::scalar::Scalar;
use smallvec::{SmallVec, smallvec};
use std::sync::Arc;

/// What a kernel does with complex operands.
pub enum OnComplex {
    /// It has no meaning for them, or none yet.
    Refused,
    /// Its CPU half takes them as they are.
    Native,
    /// This kernel does the same on pairs.
    Pairs {
        /// It runs on operands with the pairs' dim as the last.
        kernel: Arc<dyn Kernel>,
        /// Operands that are not complex (indices) are repeated along that dim, too.
        spread: bool,
    },
}

/// The operand with both parts of each element along a new last dim; real operands are repeated.
fn parts(a: &Arg) -> Arg {
    let mut layout = a.layout.clone();
    layout.shape.push(2);
    if a.dtype.is_complex() {
        layout.offset *= 2;
        layout.strides.iter_mut().for_each(|s| *s *= 2);
        layout.strides.push(1);
    } else {
        layout.strides.push(0);
    }
    Arg { storage: a.storage.clone(), dtype: a.dtype.to_real(), layout }
}

/// The real (0) or imaginary (1) parts alone.
pub(super) fn part(a: &Arg, which: usize) -> Arg {
    let mut layout = a.layout.clone();
    layout.offset = 2 * layout.offset + which;
    layout.strides.iter_mut().for_each(|s| *s *= 2);
    Arg { storage: a.storage.clone(), dtype: a.dtype.to_real(), layout }
}

/// True where a step has to do with complex numbers.
pub(super) fn concerns(cmd: &PointCmd) -> bool {
    cmd.dtype.is_complex()
        || cmd.out.dtype.is_complex()
        || cmd.srcs.iter().any(|s| match s {
            Src::Tensor(a) => a.dtype.is_complex(),
            Src::Scalar(_) => false,
        })
}

/// The steps on real operands that do the same, or the step itself.
pub(super) fn point(cmd: PointCmd) -> SmallVec<[PointCmd; 2]> {
    match &cmd.action {
        Action::Cast if cmd.natural == cmd.out.dtype => cast(cmd),
        Action::Row(row) if cmd.out.dtype.is_complex() && cmd.dtype == cmd.out.dtype => {
            let dtype = cmd.dtype;
            let is = |s: &Src, d: DType| matches!(s, Src::Tensor(a) if a.dtype == d);
            let alike = complex::is_partwise(row.name) && cmd.srcs.iter().all(|s| is(s, dtype));
            let chosen = row.bool_first && is(&cmd.srcs[0], DType::Bool) && cmd.srcs[1..].iter().all(|s| is(s, dtype));
            if !alike && !chosen {
                return smallvec![cmd];
            }
            let srcs = cmd.srcs.iter().map(|s| match s {
                Src::Tensor(a) => Src::Tensor(parts(a)),
                Src::Scalar(s) => Src::Scalar(*s),
            });
            let real = dtype.to_real();
            smallvec![PointCmd { dtype: real, natural: real, srcs: srcs.collect(), out: parts(&cmd.out), ..cmd }]
        }
        _ => smallvec![cmd],
    }
}

fn cast(cmd: PointCmd) -> SmallVec<[PointCmd; 2]> {
    let (from, to) = (&cmd.srcs[0], cmd.out.dtype);
    let step = |src: Src, dtype: DType, out: Arg| {
        let natural = out.dtype;
        // each step covers only some of the memory
        let fresh = cmd.fresh && out.layout.ndim() > cmd.out.layout.ndim();
        PointCmd { dtype, natural, srcs: smallvec![src], out, fresh, ..cmd.clone() }
    };
    match from {
        Src::Tensor(a) if a.dtype.is_complex() && to.is_complex() => {
            smallvec![step(Src::Tensor(parts(a)), a.dtype.to_real(), parts(&cmd.out))]
        }
        Src::Tensor(a) if a.dtype.is_complex() && to != DType::Bool => {
            let mut step = step(Src::Tensor(part(a, 0)), a.dtype.to_real(), cmd.out.clone());
            step.fresh = cmd.fresh;
            smallvec![step]
        }
        Src::Tensor(a) if to.is_complex() => {
            let zero = step(Src::Scalar(Scalar::Float(0.0)), to.to_real(), part(&cmd.out, 1));
            smallvec![step(Src::Tensor(a.clone()), a.dtype, part(&cmd.out, 0)), zero]
        }
        Src::Scalar(s) if to.is_complex() => {
            let z = s.to_complex();
            let fill = |x: f64, which| step(Src::Scalar(Scalar::Float(x)), to.to_real(), part(&cmd.out, which));
            smallvec![fill(z.re, 0), fill(z.im, 1)]
        }
        _ => smallvec![cmd],
    }
}

/// The command that runs for one with complex operands.
///
/// # Errors
/// If the kernel refuses complex numbers.
pub(super) fn kernel(cmd: KernelCmd) -> Result<KernelCmd> {
    let complex = |a: &&Arg| a.dtype.is_complex();
    let Some(first) = cmd.ins.iter().chain(&cmd.outs).find(complex) else { return Ok(cmd) };
    match cmd.kernel.on_complex(first.layout.ndim()) {
        OnComplex::Refused => {
            bail!(NotImplemented, "\"{}_cpu\" not implemented for '{}'", cmd.kernel.name(), first.dtype.scalar_name())
        }
        OnComplex::Native => Ok(cmd),
        OnComplex::Pairs { kernel, spread } => {
            let each = |a: &Arg| if spread || a.dtype.is_complex() { parts(a) } else { a.clone() };
            Ok(KernelCmd {
                kernel,
                ins: cmd.ins.iter().map(each).collect(),
                outs: cmd.outs.iter().map(each).collect(),
                location: cmd.location,
            })
        }
    }
}
