//! Steps of a program with all their arguments, and how the library takes them.

use wgtorch::prelude::*;
use wgtorch::{Checked, cat, where_cond};

/// A view op with its arguments.
#[derive(Clone, Debug)]
pub enum ViewOp {
    View(Vec<isize>),
    Reshape(Vec<isize>),
    Transpose(isize, isize),
    T,
    Permute(Vec<isize>),
    Movedim(isize, isize),
    Expand(Vec<isize>),
    Slice(isize, Option<isize>, Option<isize>, usize),
    Select(isize, isize),
    Narrow(isize, isize, usize),
    Squeeze(Option<isize>),
    Unsqueeze(isize),
    Unfold(isize, usize, usize),
    Diagonal(isize, isize, isize),
    AsStrided(Vec<isize>, Vec<isize>, usize),
    Split(usize, isize, usize),
    Chunk(usize, isize, usize),
    Unbind(isize, usize),
    Dtype(DType),
}

/// Two-operand ops.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bin {
    Add,
    Sub,
    Mul,
    Maximum,
    Eq,
}

/// The second operand.
#[derive(Clone, Copy, Debug)]
pub enum Other {
    Slot(usize),
    Number(i64),
}

/// What an in-place step does to its target.
#[derive(Clone, Debug)]
pub enum Change {
    Bin(Bin, Other),
    Neg,
    Abs,
    Clamp(i64, i64),
    Remainder,
    Fill(i64),
    Zero,
    Copy(usize),
    MaskedFill(usize, i64),
    PutSlice(usize, usize, Other),
    PutMask(usize, i64),
    PutIndex(Vec<i64>, usize, bool),
    Square,
}

/// A step; slots are numbered in the order in which steps make tensors.
#[derive(Clone, Debug)]
pub enum Step {
    Create(Vec<i64>, Vec<usize>, DType),
    View(usize, ViewOp),
    Change(usize, Change),
    Bin(Bin, usize, Other),
    Where(usize, usize, i64),
    Cat(usize, usize, isize),
    To(usize, DType),
    Sum(usize, isize),
    Index(usize, Vec<i64>),
    Drop(usize),
}

/// What is left of a number after a step that could make it large: every dtype holds the rest.
pub const MODULUS: i64 = 7;

type Slots = Vec<Option<Tensor>>;

fn at(slots: &Slots, i: usize) -> &Tensor {
    slots[i].as_ref().expect("a step uses what is there")
}

fn small(t: Tensor) -> Tensor {
    if t.dtype() == Bool { t } else { t.remainder(MODULUS) }
}

fn view(t: Checked, v: &ViewOp) -> Result<Tensor, Error> {
    match v {
        ViewOp::View(s) => t.view(s),
        ViewOp::Reshape(s) => t.reshape(s),
        ViewOp::Transpose(a, b) => t.transpose(*a, *b),
        ViewOp::T => t.t(),
        ViewOp::Permute(d) => t.permute(d),
        ViewOp::Movedim(a, b) => t.movedim(*a, *b),
        ViewOp::Expand(s) => t.expand(s),
        ViewOp::Slice(d, a, b, s) => t.slice(*d, *a, *b, *s),
        ViewOp::Select(d, i) => t.select(*d, *i),
        ViewOp::Narrow(d, a, n) => t.narrow(*d, *a, *n),
        ViewOp::Squeeze(None) => t.squeeze(),
        ViewOp::Squeeze(Some(d)) => t.squeeze_dim(*d),
        ViewOp::Unsqueeze(d) => t.unsqueeze(*d),
        ViewOp::Unfold(d, n, s) => t.unfold(*d, *n, *s),
        ViewOp::Diagonal(o, a, b) => t.diagonal(*o, *a, *b),
        ViewOp::AsStrided(n, s, o) => t.as_strided(n, s, *o),
        ViewOp::Split(n, d, k) => t.split(*n, *d).map(|mut v| v.swap_remove(*k)),
        ViewOp::Chunk(n, d, k) => t.chunk(*n, *d).map(|mut v| v.swap_remove(*k)),
        ViewOp::Unbind(d, k) => t.unbind(*d).map(|mut v| v.swap_remove(*k)),
        ViewOp::Dtype(d) => t.view_dtype(*d),
    }
}

fn into(t: Checked, op: Bin, other: wgtorch::Operand) -> Result<Tensor, Error> {
    match op {
        Bin::Add => t.add_(other),
        Bin::Sub => t.sub_(other),
        Bin::Mul => t.mul_(other),
        Bin::Maximum => match other {
            wgtorch::Operand::Tensor(o) => t.maximum_(&o),
            wgtorch::Operand::Scalar(s) => t.clamp_(s, None),
        },
        Bin::Eq => t.eq_(other),
    }
}

/// What is refused as overlapping is done with a copy of the operand: so it has to come out the same either way.
fn apart<R>(other: &Tensor, f: impl Fn(&Tensor) -> Result<R, Error>) -> Result<R, Error> {
    match f(other) {
        Err(e) if e.to_string().contains("refer to a single memory location") => f(&other.copy()),
        r => r,
    }
}

fn change(slots: &Slots, target: usize, c: &Change) -> Result<(), Error> {
    let x = at(slots, target);
    let t = x.checked();
    match c {
        Change::Bin(op, Other::Number(n)) => into(t, *op, (*n).into()).map(drop)?,
        Change::Bin(op, Other::Slot(i)) => apart(at(slots, *i), |o| into(t, *op, o.into()).map(drop))?,
        Change::Neg => t.neg_().map(drop)?,
        Change::Abs => t.abs_().map(drop)?,
        Change::Clamp(a, b) => t.clamp_(*a, *b).map(drop)?,
        Change::Remainder => t.remainder_(3).map(drop)?,
        Change::Fill(n) => t.fill_(*n).map(drop)?,
        Change::Zero => t.zero_().map(drop)?,
        Change::Copy(i) => apart(at(slots, *i), |o| t.copy_(o).map(drop))?,
        Change::MaskedFill(m, n) => apart(at(slots, *m), |m| t.masked_fill_(m, *n).map(drop))?,
        Change::PutSlice(a, b, Other::Number(n)) => {
            t.i_put_(*a as isize..*b as isize, *n).map(drop)?;
        }
        Change::PutSlice(a, b, Other::Slot(i)) => {
            apart(at(slots, *i), |o| t.i_put_(*a as isize..*b as isize, o).map(drop))?;
        }
        Change::PutMask(m, n) => t.i_put_(at(slots, *m), *n).map(drop)?,
        Change::PutIndex(index, values, add) => {
            let index = Tensor::from_vec(index.clone(), index.len(), x.device())?;
            apart(at(slots, *values), |v| t.index_put_(&index, v, *add).map(drop))?;
        }
        Change::Square => t.square_().map(drop)?,
    }
    let grows = match c {
        Change::Bin(op, _) => matches!(op, Bin::Add | Bin::Sub | Bin::Mul),
        Change::PutIndex(_, _, add) => *add,
        c => matches!(c, Change::Neg | Change::Square),
    };
    if grows && x.dtype() != Bool {
        t.remainder_(MODULUS)?;
    }
    Ok(())
}

fn bin(op: Bin, a: &Tensor, b: wgtorch::Operand) -> Result<Tensor, Error> {
    Ok(small(match op {
        Bin::Add => a.checked().add(b)?,
        Bin::Sub => a.checked().sub(b)?,
        Bin::Mul => a.checked().mul(b)?,
        Bin::Maximum => match b {
            wgtorch::Operand::Tensor(o) => a.checked().maximum(&o)?,
            wgtorch::Operand::Scalar(s) => a.checked().clamp(s, None)?,
        },
        Bin::Eq => a.checked().eq(b)?,
    }))
}

/// Runs a program on a device; what is alive at its end.
pub fn run(steps: &[Step], device: Device) -> Result<Slots, Error> {
    let mut slots = Slots::new();
    for step in steps {
        let made = match step {
            Step::Create(v, shape, dtype) => Tensor::from_vec(v.clone(), &shape[..], (*dtype, device))?,
            Step::View(i, v) => view(at(&slots, *i).checked(), v)?,
            Step::Change(i, c) => {
                change(&slots, *i, c)?;
                continue;
            }
            Step::Bin(op, a, Other::Number(n)) => bin(*op, at(&slots, *a), (*n).into())?,
            Step::Bin(op, a, Other::Slot(b)) => bin(*op, at(&slots, *a), at(&slots, *b).into())?,
            Step::Where(c, a, n) => where_cond(&at(&slots, *c).ne(0), at(&slots, *a), *n),
            Step::Cat(a, b, d) => cat(&[at(&slots, *a), at(&slots, *b)], *d),
            Step::To(a, d) => at(&slots, *a).checked().to(*d)?,
            Step::Sum(a, d) => small(at(&slots, *a).checked().sum_dim(*d, ())?),
            Step::Index(a, index) => {
                let index = Tensor::from_vec(index.clone(), index.len(), device)?;
                at(&slots, *a).checked().i(&index)?
            }
            Step::Drop(i) => {
                slots[*i] = None;
                continue;
            }
        };
        slots.push(Some(made));
    }
    Ok(slots)
}
