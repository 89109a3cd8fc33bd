//! softmax along a dim with few columns behind it: rows follow each other, so that a line of many whole rows is taken at once, with
//! maxima and sums for each place of it, which are folded to the columns' at the end. What is long is cut into pieces by its size
//! alone.

use super::VecFloat;
use crate::cpu::number::Number;
use crate::cpu::simd::{SendPtr, chunks, twins};
use smallvec::{SmallVec, smallvec};
use std::ops::Range;

/// The most columns that are few.
pub const FEW: usize = 64;
/// Rows below which a line is not worth its start.
pub const LEAST: usize = 16;
/// The most elements of a line.
const LINE: usize = 512;
/// Lines of a piece.
const PIECE: usize = 64;

/// Adjacent rows of few columns.
#[derive(Clone, Copy)]
pub struct Rows {
    pub n: usize,
    pub columns: usize,
    /// Whether pieces are shared out among threads.
    pub split: bool,
}

impl Rows {
    /// Elements of a line: whole rows, and whole vectors where that can be.
    fn line(self) -> usize {
        let unit = if 16 * self.columns <= LINE { 16 * self.columns } else { self.columns };
        LINE / unit * unit
    }

    fn pieces(self, f: impl Fn(Range<usize>) + Sync) {
        let (all, piece) = (self.n * self.columns, PIECE * self.line());
        if self.split {
            chunks(all, piece, f)
        } else {
            (0..all).step_by(piece).for_each(|i| f(i..(i + piece).min(all)))
        }
    }

    /// Folds each column. `each` folds a piece into as many values as a line has; the results are repeated over a line.
    fn fold<A: Number>(
        self,
        start: A,
        f: impl Fn(A, A) -> A + Sync,
        each: impl Fn(&mut [A], usize, usize) + Sync,
    ) -> [A; LINE] {
        let (columns, width) = (self.columns, self.line().min(self.n * self.columns));
        let piece = PIECE * self.line();
        let mut parts: SmallVec<[A; FEW]> = smallvec![start; (self.n * columns).div_ceil(piece) * columns];
        let to = SendPtr(parts.as_mut_ptr());
        self.pieces(|r| {
            let mut lanes = [start; LINE];
            each(&mut lanes[..width], r.start, r.len());
            for l in columns..width {
                lanes[l % columns] = f(lanes[l % columns], lanes[l]);
            }
            for (c, &v) in lanes[..columns].iter().enumerate() {
                // SAFETY: each piece has its own columns.
                unsafe { to.get().add(r.start / piece * columns + c).write(v) };
            }
        });
        let mut total = [start; LINE];
        for (i, &v) in parts.iter().enumerate() {
            total[i % columns] = f(total[i % columns], v);
        }
        self.repeat(&mut total);
        total
    }

    fn repeat<A: Copy>(self, line: &mut [A; LINE]) {
        for l in self.columns..self.line() {
            line[l] = line[l - self.columns];
        }
    }
}

/// `exp(x - max) / sum` of each column, or its logarithm.
pub fn forward<T: Number>(out: SendPtr<T>, x: SendPtr<T>, rows: Rows, log: bool)
where
    T::Acc: VecFloat,
{
    let max = rows.fold(T::Acc::LEAST, T::Acc::larger, |lanes, at, n| line_max(lanes, x.add(at), n));
    // the output holds the exponentials meanwhile, where it can
    let keep = !log && size_of::<T>() == size_of::<T::Acc>();
    let mut sum = rows.fold(T::Acc::ZERO, T::Acc::add, |lanes, at, n| {
        let to = keep.then_some(out.add(at));
        line_sum(lanes, &max, to, x.add(at), n);
    });
    for s in &mut sum[..rows.columns] {
        *s = if log { s.ln() } else { T::Acc::ONE.div(*s) };
    }
    rows.repeat(&mut sum);
    let width = rows.line();
    rows.pieces(|r| {
        let x = if keep { out } else { x };
        line_put(out.add(r.start), x.add(r.start), r.len(), [&max[..width], &sum[..width]], log, keep);
    });
}

/// The gradient of [`forward`]'s input.
pub fn backward<T: Number>(out: SendPtr<T>, grad: SendPtr<T>, y: SendPtr<T>, rows: Rows, log: bool)
where
    T::Acc: VecFloat,
{
    let sum = rows.fold(T::Acc::ZERO, T::Acc::add, |lanes, at, n| line_dot(lanes, grad.add(at), y.add(at), n, log));
    let width = rows.line();
    rows.pieces(|r| {
        let at = r.start;
        line_grad(out.add(at), grad.add(at), y.add(at), r.len(), &sum[..width], log);
    });
}

/// Calls the body for lines of at most so many elements.
macro_rules! lines {
    ($n:expr, $width:expr, |$at:ident, $len:ident| $body:expr) => {
        let mut $at = 0;
        while $at < $n {
            let $len = ($n - $at).min($width);
            $body;
            $at += $width;
        }
    };
}

twins!(avx512
    fn line_max[T: Number<Acc: VecFloat>][T](lanes: &mut [T::Acc], x: SendPtr<T>, n: usize; _fma) {
        let x = x.get().cast_const();
        lines!(n, lanes.len(), |at, len| {
            let lanes = &mut lanes[..len];
            for l in 0..len {
                // SAFETY: x holds n elements.
                lanes[l] = lanes[l].larger(unsafe { *x.add(at + l) }.acc());
            }
        });
    }
);

twins!(avx512
    fn line_sum[T: Number<Acc: VecFloat>][T](
        lanes: &mut [T::Acc], max: &[T::Acc], to: Option<SendPtr<T>>, x: SendPtr<T>, n: usize; fma
    ) {
        let x = x.get().cast_const();
        lines!(n, lanes.len(), |at, len| {
            let (lanes, max) = (&mut lanes[..len], &max[..len]);
            // SAFETY: x holds n elements, and so does what is written.
            unsafe {
                if let Some(to) = to {
                    let to = to.get().add(at);
                    for l in 0..len {
                        let e = (*x.add(at + l)).acc().sub(max[l]).vec_exp(fma);
                        to.add(l).write(T::from_acc(e));
                        lanes[l] = lanes[l].add(e);
                    }
                } else {
                    for l in 0..len {
                        lanes[l] = lanes[l].add((*x.add(at + l)).acc().sub(max[l]).vec_exp(fma));
                    }
                }
            }
        });
    }
);

twins!(avx512
    /// Finishes elements, or exponentials where those were kept, by the columns' maxima and factors (or logarithms).
    fn line_put[T: Number<Acc: VecFloat>][T](
        out: SendPtr<T>, x: SendPtr<T>, n: usize, of: [&[T::Acc]; 2], log: bool, kept: bool; fma
    ) {
        let (out, x) = (out.get(), x.get().cast_const());
        lines!(n, of[0].len(), |at, len| {
            let (max, sum) = (&of[0][..len], &of[1][..len]);
            // SAFETY: both hold n elements.
            unsafe {
                let (x, out) = (x.add(at), out.add(at));
                if kept {
                    for l in 0..len {
                        out.add(l).write(T::from_acc((*x.add(l)).acc().mul(sum[l])));
                    }
                } else if log {
                    for l in 0..len {
                        out.add(l).write(T::from_acc((*x.add(l)).acc().sub(max[l]).sub(sum[l])));
                    }
                } else {
                    for l in 0..len {
                        out.add(l).write(T::from_acc((*x.add(l)).acc().sub(max[l]).vec_exp(fma).mul(sum[l])));
                    }
                }
            }
        });
    }
);

twins!(avx512
    fn line_dot[T: Number<Acc: VecFloat>][T](
        lanes: &mut [T::Acc], grad: SendPtr<T>, y: SendPtr<T>, n: usize, log: bool; _fma
    ) {
        let (grad, y) = (grad.get().cast_const(), y.get().cast_const());
        lines!(n, lanes.len(), |at, len| {
            let lanes = &mut lanes[..len];
            for l in 0..len {
                // SAFETY: both hold n elements.
                let (g, v) = unsafe { ((*grad.add(at + l)).acc(), (*y.add(at + l)).acc()) };
                lanes[l] = lanes[l].add(if log { g } else { g.mul(v) });
            }
        });
    }
);

twins!(avx512
    fn line_grad[T: Number<Acc: VecFloat>][T](
        out: SendPtr<T>, grad: SendPtr<T>, y: SendPtr<T>, n: usize, sum: &[T::Acc], log: bool; fma
    ) {
        let (out, grad, y) = (out.get(), grad.get().cast_const(), y.get().cast_const());
        lines!(n, sum.len(), |at, len| {
            let sum = &sum[..len];
            for l in 0..len {
                // SAFETY: all hold n elements.
                unsafe {
                    let (g, v) = ((*grad.add(at + l)).acc(), (*y.add(at + l)).acc());
                    let r = if log { g.sub(v.vec_exp(fma).mul(sum[l])) } else { v.mul(g.sub(sum[l])) };
                    out.add(at + l).write(T::from_acc(r));
                }
            }
        });
    }
);
