//! Running sums and products along a dim, from the front or from the back. Floats accumulate in f64.
//!
//! A sum has to wait for the one before it, so a long line is cut into chains that run side by side: what comes before each
//! chain is summed first. Where chains begin depends on the line's length alone.

use crate::cpu::fold::{Fold, fold_block};
use crate::cpu::number::Number;
use crate::cpu::reduce::{Prod, ProdF64, Sum, SumF64};
use crate::cpu::simd::{SendPtr, Walk, chunks, grain, twins};
use crate::cpu::view::{View, ViewMut};
use crate::dtype::DType;
use smallvec::SmallVec;

/// What a scan does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScanSpec {
    /// The dim it runs along.
    pub dim: usize,
    /// Products instead of sums.
    pub product: bool,
    /// From the last element to the first.
    pub reverse: bool,
}

/// Chains side by side: as many as an addition takes cycles.
const CHAINS: usize = 4;
/// Elements that are cut into chains together, and that a thread takes of a long line.
const PIECE: usize = 1 << 13;
/// Elements of a piece from which on it is cut.
const CUT: usize = 64;
/// Columns scanned together where the scan does not run along the contiguous dim.
const COLUMNS: usize = 128;

/// `out[.., k, ..] = x[.., 0, ..] + … + x[.., k, ..]`; `out` is row-major and of the input's type, or of its accumulator's.
pub fn scan<T: Number, O: Number<Acc = T::Acc>>(out: ViewMut<O>, x: View<T>, spec: ScanSpec) {
    // what f64 rounds or overflows depends on where it is cut; sums of f32 in f64 hardly round, and integers wrap
    let cut = match T::DTYPE {
        DType::F64 => false,
        DType::F32 => !spec.product,
        _ => true,
    };
    match (T::DTYPE.is_float(), spec.product) {
        (true, false) => lines(out, x, spec, SumF64::<T>::default(), O::from_f64, cut),
        (true, true) => lines(out, x, spec, ProdF64::<T>::default(), O::from_f64, cut),
        (false, false) => lines(out, x, spec, Sum::<T>::default(), O::from_acc, cut),
        (false, true) => lines(out, x, spec, Prod::<T>::default(), O::from_acc, cut),
    }
}

/// One line of a scan: its first elements in the order of the scan, and the steps to the next ones.
struct Line<T, O> {
    from: SendPtr<T>,
    to: SendPtr<O>,
    steps: (isize, isize),
}

impl<T, O> Clone for Line<T, O> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T, O> Copy for Line<T, O> {}

impl<T: Number, O: Number> Line<T, O> {
    /// The line from element `k` on.
    #[inline(always)]
    fn skip(self, k: usize) -> Line<T, O> {
        let at = |step: isize| k as isize * step;
        let (from, to) =
            (self.from.get().wrapping_offset(at(self.steps.0)), self.to.get().wrapping_offset(at(self.steps.1)));
        Line { from: SendPtr(from), to: SendPtr(to), ..self }
    }

    /// Where the chains of a piece of `n` begin, and its end.
    fn bounds(n: usize, cut: bool) -> [usize; CHAINS + 1] {
        let mut bounds = [0; CHAINS + 1];
        let q = if cut && n >= CUT { n / CHAINS } else { 0 };
        for c in 1..CHAINS {
            bounds[c] = c * q;
        }
        bounds[CHAINS] = n;
        bounds
    }

    /// The sum of each chain but the last, which nobody in the piece asks for.
    fn sums<F: Fold<T>>(self, f: &F, bounds: &[usize; CHAINS + 1], last: bool) -> [F::Acc; CHAINS] {
        let mut sums = [f.empty(); CHAINS];
        for c in 0..if last { CHAINS } else { CHAINS - 1 } {
            let n = bounds[c + 1] - bounds[c];
            // in the order of memory: the sum is the same set's
            let first = if self.steps.0 < 0 { (bounds[c] + n).saturating_sub(1) } else { bounds[c] };
            if n > 0 {
                sums[c] = fold_block(f, self.skip(first).from, n, self.steps.0.unsigned_abs());
            }
        }
        sums
    }
}

fn lines<T: Number, O: Number, F: Fold<T>>(
    out: ViewMut<O>,
    x: View<T>,
    spec: ScanSpec,
    f: F,
    narrow: impl Fn(F::Acc) -> O + Sync,
    cut: bool,
) {
    let dim = spec.dim;
    let without =
        |s: &[usize]| -> SmallVec<[usize; 8]> { s.iter().enumerate().filter(|d| d.0 != dim).map(|d| *d.1).collect() };
    let (shape, sx, so) = (without(x.shape), without(x.strides), without(out.strides));
    let n = x.shape.get(dim).copied().unwrap_or(1);
    let step = |s: &[usize]| s.get(dim).copied().unwrap_or(1);
    let (step_x, step_o) = (step(x.strides), step(out.strides));
    let count: usize = shape.iter().product();
    if n == 0 || count == 0 {
        return;
    }
    let signed = |s: usize| if spec.reverse { -(s as isize) } else { s as isize };
    let steps = (signed(step_x), signed(step_o));
    let start = if spec.reverse { n - 1 } else { 0 };
    let (from, to) = (SendPtr(x.ptr().cast_mut()), SendPtr(out.ptr()));
    let line =
        |at: [usize; 2]| Line { from: from.add(at[0] + start * step_x), to: to.add(at[1] + start * step_o), steps };

    let width = shape.last().copied().unwrap_or(1);
    if step_o > 1 && width >= 8 && sx.last() == Some(&1) && so.last() == Some(&1) {
        let blocks = width.div_ceil(COLUMNS);
        let outer = shape.len() - 1;
        return chunks(count / width * blocks, grain(2 * n * width.min(COLUMNS)), |r| {
            for unit in r {
                let at = Walk::new(&shape[..outer], [&sx[..outer], &so[..outer]], unit / blocks).at;
                let first = unit % blocks * COLUMNS;
                scan_columns(&f, &narrow, line([at[0] + first, at[1] + first]), n, (width - first).min(COLUMNS));
            }
        });
    }

    let pieces = n.div_ceil(PIECE);
    let piece = |p: usize| (p * PIECE, PIECE.min(n - p * PIECE));
    if cut && pieces > 1 && count < 64 {
        let mut starts = vec![[f.empty(); CHAINS]; count * pieces];
        let place = SendPtr(starts.as_mut_ptr());
        let at = |unit: usize| {
            let (first, n) = piece(unit % pieces);
            let line = line(Walk::new(&shape, [&sx, &so], unit / pieces).at).skip(first);
            (line, n, Line::<T, O>::bounds(n, cut))
        };
        chunks(count * pieces, 1, |r| {
            for unit in r {
                let (line, _, bounds) = at(unit);
                // SAFETY: each unit has its own place.
                unsafe { place.get().add(unit).write(line.sums(&f, &bounds, true)) };
            }
        });
        for line in starts.chunks_mut(pieces) {
            let mut before = f.empty();
            for start in line.as_flattened_mut() {
                before = f.join(std::mem::replace(start, before), before);
            }
        }
        return chunks(count * pieces, 1, |r| {
            for unit in r {
                let (line, _, bounds) = at(unit);
                scan_piece(&f, &narrow, line, &bounds, &starts[unit]);
            }
        });
    }
    chunks(count, grain(2 * n), |r| {
        let mut walk = Walk::new(&shape, [&sx, &so], r.start);
        for _ in r {
            let line = line(walk.at);
            if cut {
                let mut before = f.empty();
                for p in 0..pieces {
                    let (first, n) = piece(p);
                    let (line, bounds) = (line.skip(first), Line::<T, O>::bounds(n, cut));
                    let mut starts = line.sums(&f, &bounds, p + 1 < pieces);
                    for start in &mut starts {
                        before = f.join(std::mem::replace(start, before), before);
                    }
                    scan_piece(&f, &narrow, line, &bounds, &starts);
                }
            } else {
                scan_piece(&f, &narrow, line, &Line::<T, O>::bounds(n, cut), &[f.empty(); CHAINS]);
            }
            walk.step();
        }
    });
}

twins!(
    /// Scans the chains of a piece side by side, each from what comes before it.
    fn scan_piece[T: Number, O: Number, F: Fold<T>, N: Fn(F::Acc) -> O][T, O, F, N](f: &F, narrow: &N, line: Line<T, O>, bounds: &[usize; CHAINS + 1], starts: &[F::Acc; CHAINS]) {
        // steps of one as constants: addresses of the usual case
        if line.steps == (1, 1) {
            run_chains(f, narrow, Line { steps: (1, 1), ..line }, bounds, starts);
        } else {
            run_chains(f, narrow, line, bounds, starts);
        }
    }
);

#[inline(always)]
fn run_chains<T: Number, O: Number, F: Fold<T>>(
    f: &F,
    narrow: &impl Fn(F::Acc) -> O,
    line: Line<T, O>,
    bounds: &[usize; CHAINS + 1],
    starts: &[F::Acc; CHAINS],
) {
    let q = bounds[1];
    let mut acc = *starts;
    let at = [line, line.skip(q), line.skip(2 * q), line.skip(3 * q)];
    for k in 0..q {
        for c in 0..CHAINS {
            let e = at[c].skip(k);
            // SAFETY: k < q, an element of chain c, which no other thread writes.
            unsafe {
                acc[c] = f.step(acc[c], *e.from.get());
                e.to.get().write(narrow(acc[c]));
            }
        }
    }
    let mut last = acc[CHAINS - 1];
    for k in CHAINS * q..bounds[CHAINS] {
        let e = line.skip(k);
        // SAFETY: an element of the piece, as above.
        unsafe {
            last = f.step(last, *e.from.get());
            e.to.get().write(narrow(last));
        }
    }
}

twins!(
    /// Scans at most [`COLUMNS`] neighbouring lines, element by element.
    fn scan_columns[T: Number, O: Number, F: Fold<T>, N: Fn(F::Acc) -> O][T, O, F, N](f: &F, narrow: &N, line: Line<T, O>, n: usize, width: usize) {
        let mut acc = [f.empty(); COLUMNS];
        let acc = &mut acc[..width];
        for k in 0..n {
            let row = line.skip(k);
            // SAFETY: `width` neighbouring lines have an element k each, and nobody else writes these.
            let (x, y) = unsafe {
                let y = row.to.get().cast::<std::mem::MaybeUninit<O>>();
                (std::slice::from_raw_parts(row.from.get().cast_const(), width), std::slice::from_raw_parts_mut(y, width))
            };
            for c in 0..width {
                acc[c] = f.step(acc[c], x[c]);
                y[c].write(narrow(acc[c]));
            }
        }
    }
);

#[cfg(test)]
mod tests {
    use super::*;

    /// Strides of dims that lie in memory in reverse order, or in order.
    fn strides(shape: [usize; 3], reversed: bool) -> [usize; 3] {
        let [a, b, c] = shape;
        if reversed { [1, a, a * b] } else { [b * c, c, 1] }
    }

    fn check<T: Number, O: Number<Acc = T::Acc>>(shape: [usize; 3], reversed: bool, make: impl Fn(usize) -> f64) {
        let n: usize = shape.iter().product();
        let x: Vec<T> = (0..n).map(|i| T::from_f64(make(i))).collect();
        let (sx, so) = (strides(shape, reversed), strides(shape, false));
        for dim in 0..3 {
            for (product, reverse) in [(false, false), (false, true), (true, false), (true, true)] {
                let mut out = vec![O::ZERO; n];
                let spec = ScanSpec { dim, product, reverse };
                scan(ViewMut::from_slice(&mut out, &shape, &so), View::from_slice(&x, &shape, &sx), spec);
                for line in 0..n / shape[dim].max(1) {
                    let others: Vec<usize> = (0..3).filter(|&d| d != dim).collect();
                    let index = [line / shape[others[1]], line % shape[others[1]]];
                    let at = |s: [usize; 3], k: usize| index[0] * s[others[0]] + index[1] * s[others[1]] + k * s[dim];
                    let mut acc = f64::from(u8::from(product));
                    for k in 0..shape[dim] {
                        let k = if reverse { shape[dim] - 1 - k } else { k };
                        let v = x[at(sx, k)].to_f64();
                        acc = if product { acc * v } else { acc + v };
                        let (got, want) = (out[at(so, k)].to_f64(), O::from_f64(acc).to_f64());
                        let near = (got - want).abs() <= 1e-6 * want.abs().max(1.0);
                        assert!(near, "{got} for {want} at {k} of {shape:?} along {dim}, {spec:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn every_length_layout_and_direction_agrees_with_a_loop() {
        let shapes =
            [[1, 1, 1], [2, 3, 63], [3, 2, 64], [2, 1, PIECE], [1, 2, PIECE + 1], [1, 1, 3 * PIECE + 7], [5, 70, 200]];
        for shape in shapes {
            for reversed in [false, true] {
                let noise = |i: usize| (i * 7919 % 1000) as f64 / 500.0 - 1.0;
                check::<f32, f32>(shape, reversed, |i| 1.0 + noise(i) / 1e5);
                check::<f64, f64>(shape, reversed, |i| 1.0 + noise(i) / 1e5);
                check::<i64, i64>(shape, reversed, |i| [1.0, -1.0, 1.0][i % 3]);
                check::<bool, i64>(shape, reversed, |i| (i % 5 != 3).into());
            }
        }
        check::<f32, f32>([2, 0, 3], false, |_| 0.0);
    }

    #[test]
    fn what_is_not_finite_spreads_from_where_it_is() {
        let n = 2 * PIECE;
        let mut x = vec![1f32; n];
        (x[PIECE - 9], x[PIECE + 100]) = (f32::INFINITY, f32::NEG_INFINITY);
        let mut out = vec![0f32; n];
        let spec = ScanSpec { dim: 0, product: false, reverse: false };
        scan(ViewMut::from_slice(&mut out, &[n], &[1]), View::from_slice(&x, &[n], &[1]), spec);
        assert_eq!(out[PIECE - 10], (PIECE - 9) as f32);
        assert!(out[PIECE - 9..PIECE + 100].iter().all(|&v| v == f32::INFINITY));
        assert!(out[PIECE + 100..].iter().all(|v| v.is_nan()));
    }
}
