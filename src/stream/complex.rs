//! Steps on complex64 tensors of a GPU as steps on their parts, which fuse into one kernel of real numbers. On the CPU such
//! rows have loops of their own.

use super::command::{Arg, PointCmd, Src};
use super::pairs::part;
use super::storage::Storage;
use crate::dtype::DType;
use crate::layout::Layout;
use crate::num::rows::*;
use crate::program::{Action, Row};
use crate::scalar::Scalar;
use smallvec::SmallVec;

/// A complex value as its two parts.
type Parts = [Src; 2];

/// The steps so far, and the memory of values in between, which nobody else sees.
struct Steps<'a> {
    cmd: &'a PointCmd,
    cmds: Vec<PointCmd>,
    keep: Vec<Storage>,
}

impl Steps<'_> {
    fn push(&mut self, row: &'static Row, srcs: &[&Src], out: Arg, fresh: bool) {
        // what compares sees float32 operands, what joins comparisons bools
        let bools = matches!(row.name, "logical_and" | "logical_or" | "logical_not");
        self.cmds.push(PointCmd {
            action: Action::Row(row),
            dtype: if bools { DType::Bool } else { DType::F32 },
            natural: if row.bool_out { DType::Bool } else { DType::F32 },
            srcs: srcs.iter().map(|s| (*s).clone()).collect(),
            out,
            fresh,
            location: self.cmd.location,
        });
    }

    /// A value in between.
    fn row<const N: usize>(&mut self, row: &'static Row, srcs: [&Src; N]) -> Src {
        let dtype = if row.bool_out { DType::Bool } else { DType::F32 };
        let layout = Layout::contiguous(self.cmd.out.layout.shape.clone());
        let storage = Storage::new(self.cmd.out.storage.device, dtype, layout.numel());
        let out = Arg { storage: storage.shared().clone(), dtype, layout };
        self.push(row, &srcs, out.clone(), true);
        self.keep.push(storage);
        Src::Tensor(out)
    }

    fn mul(&mut self, [ar, ai]: &Parts, [br, bi]: &Parts) -> Parts {
        let (rr, ii) = (self.row(&MUL, [ar, br]), self.row(&MUL, [ai, bi]));
        let (ri, ir) = (self.row(&MUL, [ar, bi]), self.row(&MUL, [ai, br]));
        [self.row(&SUB, [&rr, &ii]), self.row(&ADD, [&ri, &ir])]
    }

    /// By a divisor scaled to a magnitude near 1, so that its square neither overflows nor vanishes.
    fn div(&mut self, a: &Parts, [br, bi]: &Parts) -> Parts {
        let (x, y) = (self.row(&ABS, [br]), self.row(&ABS, [bi]));
        let size = self.row(&MAXIMUM, [&x, &y]);
        let (br, bi) = (self.row(&DIV, [br, &size]), self.row(&DIV, [bi, &size]));
        let (rr, ii) = (self.row(&MUL, [&br, &br]), self.row(&MUL, [&bi, &bi]));
        let square = self.row(&ADD, [&rr, &ii]);
        let (br, bi) = (self.row(&DIV, [&br, &square]), self.row(&DIV, [&bi, &square]));
        let bi = self.row(&NEG, [&bi]);
        let [re, im] = self.mul(a, &[br, bi]);
        [self.row(&DIV, [&re, &size]), self.row(&DIV, [&im, &size])]
    }

    fn exp(&mut self, [re, im]: &Parts) -> Parts {
        let (r, c, s) = (self.row(&EXP, [re]), self.row(&COS, [im]), self.row(&SIN, [im]));
        // an infinite r times a zero sine is no number
        let none = self.row(&EQ, [&s, &Src::Scalar(Scalar::Float(0.0))]);
        let product = self.row(&MUL, [&r, &s]);
        [self.row(&MUL, [&r, &c]), self.row(&WHERE, [&none, &s, &product])]
    }

    /// `f(re) g(im)` and `h(re) k(im)`: sines and cosines.
    fn crossed(&mut self, [re, im]: &Parts, rows: [&'static Row; 4]) -> Parts {
        let (a, b) = (self.row(rows[0], [re]), self.row(rows[1], [im]));
        let (c, d) = (self.row(rows[2], [re]), self.row(rows[3], [im]));
        [self.row(&MUL, [&a, &b]), self.row(&MUL, [&c, &d])]
    }

    /// Both parts of one test, joined by another.
    fn both(&mut self, test: &'static Row, join: &'static Row, z: &Parts) -> Src {
        let (a, b) = (self.row(test, [&z[0]]), self.row(test, [&z[1]]));
        self.row(join, [&a, &b])
    }
}

/// The parts of an operand; None for complex128, which has a dtype of its own to compute in.
fn parts_of(s: &Src) -> Option<Parts> {
    let float = |x: f64| Src::Scalar(Scalar::Float(x));
    Some(match s {
        Src::Scalar(s) => {
            let z = s.to_complex();
            [float(z.re), float(z.im)]
        }
        Src::Tensor(a) if a.dtype == DType::C64 => [Src::Tensor(part(a, 0)), Src::Tensor(part(a, 1))],
        Src::Tensor(a) if a.dtype.is_complex() || a.dtype == DType::F64 => return None,
        Src::Tensor(a) => [Src::Tensor(a.clone()), float(0.0)],
    })
}

/// The steps on parts that do what a step does, with the memory in between; None where it is not for here.
pub(super) fn split(cmd: &PointCmd) -> Option<(Vec<PointCmd>, Vec<Storage>)> {
    let Action::Row(row) = cmd.action else { return None };
    if !cmd.out.storage.device.is_gpu() || cmd.dtype != DType::C64 || cmd.natural != cmd.out.dtype {
        return None;
    }
    let z: SmallVec<[Parts; 4]> = cmd.srcs.iter().map(parts_of).collect::<Option<_>>()?;
    let mut s = Steps { cmd, cmds: Vec::new(), keep: Vec::new() };
    let one: Parts = [Src::Scalar(Scalar::Float(1.0)), Src::Scalar(Scalar::Float(0.0))];
    if cmd.natural != DType::C64 {
        let value = match row.name {
            "abs" => s.row(&HYPOT, [&z[0][0], &z[0][1]]),
            "angle" => s.row(&ATAN2, [&z[0][1], &z[0][0]]),
            "isnan" => s.both(&ISNAN, &LOGICAL_OR, &z[0]),
            "isinf" => s.both(&ISINF, &LOGICAL_OR, &z[0]),
            "isfinite" => s.both(&ISFINITE, &LOGICAL_AND, &z[0]),
            "eq" | "ne" => {
                let (re, im) = (s.row(&EQ, [&z[0][0], &z[1][0]]), s.row(&EQ, [&z[0][1], &z[1][1]]));
                let same = s.row(&LOGICAL_AND, [&re, &im]);
                if row.name == "eq" { same } else { s.row(&LOGICAL_NOT, [&same]) }
            }
            _ => return None,
        };
        // the last value is the result
        let last = s.cmds.last_mut()?;
        debug_assert!(matches!(&value, Src::Tensor(a) if a.same(&last.out)));
        (last.out, last.fresh) = (cmd.out.clone(), cmd.fresh);
        return Some((s.cmds, s.keep));
    }
    let [re, im] = match row.name {
        "mul" => s.mul(&z[0], &z[1]),
        "square" => s.mul(&z[0], &z[0]),
        "div" => s.div(&z[0], &z[1]),
        "reciprocal" => s.div(&one, &z[0]),
        "conj" => [z[0][0].clone(), s.row(&NEG, [&z[0][1]])],
        "add" => [s.row(&ADD, [&z[0][0], &z[1][0]]), s.row(&ADD, [&z[0][1], &z[1][1]])],
        "sub" => [s.row(&SUB, [&z[0][0], &z[1][0]]), s.row(&SUB, [&z[0][1], &z[1][1]])],
        "exp" => s.exp(&z[0]),
        "log" => [s.row(&HYPOT, [&z[0][0], &z[0][1]]), s.row(&ATAN2, [&z[0][1], &z[0][0]])],
        "sin" => s.crossed(&z[0], [&SIN, &COSH, &COS, &SINH]),
        "sinh" => s.crossed(&z[0], [&SINH, &COS, &COSH, &SIN]),
        "cosh" => s.crossed(&z[0], [&COSH, &COS, &SINH, &SIN]),
        "cos" => {
            let [re, im] = s.crossed(&z[0], [&COS, &COSH, &SIN, &SINH]);
            [re, s.row(&NEG, [&im])]
        }
        "sigmoid" => {
            // a larger exponent overflows, and nothing is left of the quotient anyway
            let re = s.row(&NEG, [&z[0][0]]);
            let minus = [s.row(&MINIMUM, [&re, &Src::Scalar(Scalar::Float(88.0))]), s.row(&NEG, [&z[0][1]])];
            let [re, im] = s.exp(&minus);
            let re = s.row(&ADD, [&re, &one[0]]);
            s.div(&one, &[re, im])
        }
        "addcmul" => {
            let product = s.mul(&z[1], &z[2]);
            let [re, im] = s.mul(&product, &z[3]);
            [s.row(&ADD, [&z[0][0], &re]), s.row(&ADD, [&z[0][1], &im])]
        }
        _ => return None,
    };
    let re = if row.name == "log" { s.row(&LOG, [&re]) } else { re };
    // written last: a part of the target may be read by what comes before
    s.push(&POSITIVE, &[&re], part(&cmd.out, 0), false);
    s.push(&POSITIVE, &[&im], part(&cmd.out, 1), false);
    Some((s.cmds, s.keep))
}
