//! Reductions over any set of dims: sum, product, mean, variance, norms, extrema, logic, counts, and extrema with their
//! index along one dim. Outputs hold the kept dims, row-major.

use crate::cpu::fold::{BLOCK, Fold, PIECE, fold, fold_computed};
use crate::cpu::number::Number;
use crate::cpu::simd::{SendPtr, Walk, chunks, grain, twins};
use crate::cpu::view::{View, ViewMut, is_contiguous};
use std::marker::PhantomData;
use std::ops::Range;

/// Declares a fold by its three functions.
macro_rules! folds {
    ($($(#[$m:meta])* $name:ident<$T:ident> -> $acc:ty { $empty:expr; |$a:ident, $x:ident| $step:expr; |$l:ident, $r:ident| $join:expr })*) => {$(
        $(#[$m])*
        pub struct $name<$T>(PhantomData<$T>);
        impl<$T> Clone for $name<$T> {
            fn clone(&self) -> Self {
                *self
            }
        }
        impl<$T> Copy for $name<$T> {}
        impl<$T> Default for $name<$T> {
            fn default() -> Self {
                $name(PhantomData)
            }
        }
        impl<$T: Number> Fold<$T> for $name<$T> {
            type Acc = $acc;
            #[inline(always)]
            fn empty(&self) -> $acc {
                $empty
            }
            #[inline(always)]
            fn step(&self, $a: $acc, $x: $T) -> $acc {
                $step
            }
            #[inline(always)]
            fn join(&self, $l: $acc, $r: $acc) -> $acc {
                $join
            }
        }
    )*};
}

folds! {
    /// Sum in the accumulator's type.
    Sum<T> -> T::Acc { T::Acc::ZERO; |a, x| a.add(x.acc()); |a, b| a.add(b) }
    /// Product in the accumulator's type.
    Prod<T> -> T::Acc { T::Acc::ONE; |a, x| a.mul(x.acc()); |a, b| a.mul(b) }
    /// Greatest; NaN wins.
    Max<T> -> T { T::LEAST; |a, x| greater(a, x); |a, b| greater(a, b) }
    /// Least; NaN wins.
    Min<T> -> T { T::GREATEST; |a, x| less(a, x); |a, b| less(a, b) }
    /// Whether any is not zero.
    Any<T> -> bool { false; |a, x| a | (x != T::ZERO); |a, b| a | b }
    /// Whether none is zero.
    All<T> -> bool { true; |a, x| a & (x != T::ZERO); |a, b| a & b }
    /// How many are not zero.
    CountNonzero<T> -> i64 { 0; |a, x| a + i64::from(x != T::ZERO); |a, b| a + b }
    /// Sum in f64.
    SumF64<T> -> f64 { 0.0; |a, x| a + x.to_f64(); |a, b| a + b }
    /// Product in f64.
    ProdF64<T> -> f64 { 1.0; |a, x| a * x.to_f64(); |a, b| a * b }
    /// Sum of squares in f64.
    Squares<T> -> f64 { 0.0; |a, x| a + x.to_f64() * x.to_f64(); |a, b| a + b }
    /// Sum of magnitudes in f64.
    Magnitudes<T> -> f64 { 0.0; |a, x| a + x.to_f64().abs(); |a, b| a + b }
    /// Greatest magnitude; NaN wins.
    MaxMagnitude<T> -> f64 { 0.0; |a, x| greater(a, x.to_f64().abs()); |a, b| greater(a, b) }
    /// Least magnitude; NaN wins.
    MinMagnitude<T> -> f64 { f64::INFINITY; |a, x| less(a, x.to_f64().abs()); |a, b| less(a, b) }
}

#[inline(always)]
fn greater<T: Number>(a: T, x: T) -> T {
    if (x > a) | x.is_nan() { x } else { a }
}

#[inline(always)]
fn less<T: Number>(a: T, x: T) -> T {
    if (x < a) | x.is_nan() { x } else { a }
}

/// Sum of squared distances from a mean, in f64.
#[derive(Clone, Copy)]
struct Deviation(f64);

impl<T: Number> Fold<T> for Deviation {
    type Acc = f64;
    #[inline(always)]
    fn empty(&self) -> f64 {
        0.0
    }
    #[inline(always)]
    fn step(&self, a: f64, x: T) -> f64 {
        let d = x.to_f64() - self.0;
        a + d * d
    }
    #[inline(always)]
    fn join(&self, a: f64, b: f64) -> f64 {
        a + b
    }
}

/// Sum of `|x|^p`, in f64.
#[derive(Clone, Copy)]
struct Power(f64);

impl<T: Number> Fold<T> for Power {
    type Acc = f64;
    fn empty(&self) -> f64 {
        0.0
    }
    fn step(&self, a: f64, x: T) -> f64 {
        a + x.to_f64().abs().powf(self.0)
    }
    fn join(&self, a: f64, b: f64) -> f64 {
        a + b
    }
}

/// A writer of results at their flat position.
fn put<T: Copy + Send>(out: ViewMut<T>) -> impl Fn(usize, T) + Sync {
    debug_assert!(out.is_contiguous());
    let to = SendPtr(out.ptr());
    // SAFETY: the output holds one element for each kept position, and each is written once.
    move |i, v| unsafe { to.get().add(i).write(v) }
}

/// Number of elements folded into each output.
fn count(shape: &[usize], mask: &[bool]) -> usize {
    shape.iter().zip(mask).filter(|d| *d.1).map(|d| d.0).product()
}

/// Sum over the masked dims, accumulated in `T::Acc` and rounded once to the output's type.
pub fn sum<T: Number, O: Number<Acc = T::Acc>>(out: ViewMut<O>, x: View<T>, mask: &[bool]) {
    let put = put(out);
    fold(x, mask, &|_| Sum::<T>::default(), &|i, a| put(i, O::from_acc(a)));
}

/// Product over the masked dims, accumulated and rounded as in [`sum`].
pub fn prod<T: Number, O: Number<Acc = T::Acc>>(out: ViewMut<O>, x: View<T>, mask: &[bool]) {
    let put = put(out);
    fold(x, mask, &|_| Prod::<T>::default(), &|i, a| put(i, O::from_acc(a)));
}

/// Mean over the masked dims: the sum in `T::Acc` divided by the count; NaN of nothing.
pub fn mean<T: Number, O: Number<Acc = T::Acc>>(out: ViewMut<O>, x: View<T>, mask: &[bool]) {
    let n = T::Acc::from_usize(count(x.shape, mask));
    let put = put(out);
    fold(x, mask, &|_| Sum::<T>::default(), &|i, a| put(i, O::from_acc(a.div(n))));
}

/// Variance (or, with `std`, its root) over the masked dims with a divisor of `max(0, n - correction)`, and the mean where
/// asked for. Two passes in f64, so that a large mean costs no digits.
pub fn var_mean<T: Number>(
    out: ViewMut<T>,
    mean_out: Option<ViewMut<T>>,
    x: View<T>,
    mask: &[bool],
    correction: f64,
    std: bool,
) {
    let n = count(x.shape, mask) as f64;
    let mut means = vec![0f64; out.numel()];
    let at = SendPtr(means.as_mut_ptr());
    // SAFETY: one mean for each output, each written once.
    fold(x, mask, &|_| SumF64::<T>::default(), &|i, a| unsafe { at.get().add(i).write(a / n) });
    if let Some(view) = mean_out {
        let put = put(view);
        means.iter().enumerate().for_each(|(i, &m)| put(i, T::from_f64(m)));
    }
    let put = put(out);
    let divisor = (n - correction).max(0.0);
    fold(x, mask, &|i| Deviation(means[i]), &|i, a| {
        let v = a / divisor;
        put(i, T::from_f64(if std { v.sqrt() } else { v }));
    });
}

/// `(sum |x|^p)^(1/p)` over the masked dims, with its limits at 0 (a count) and at the infinities; sums in f64.
pub fn norm<T: Number>(out: ViewMut<T>, x: View<T>, mask: &[bool], p: f64) {
    let put = put(out);
    let write = |f: fn(f64) -> f64| {
        let put = &put;
        move |i, a| put(i, T::from_f64(f(a)))
    };
    if p == 2.0 {
        // the sum of squares overflows where the dtype it is kept in would, as PyTorch's and a GPU's does
        fold(x, mask, &|_| Squares::<T>::default(), &|i, a| put(i, T::from_f64(T::Acc::from_f64(a).to_f64().sqrt())));
    } else if p == 1.0 {
        fold(x, mask, &|_| Magnitudes::<T>::default(), &write(|a| a));
    } else if p == f64::INFINITY {
        fold(x, mask, &|_| MaxMagnitude::<T>::default(), &write(|a| a));
    } else if p == f64::NEG_INFINITY {
        fold(x, mask, &|_| MinMagnitude::<T>::default(), &write(|a| a));
    } else if p == 0.0 {
        fold(x, mask, &|_| CountNonzero::<T>::default(), &|i, a| put(i, T::from_f64(a as f64)));
    } else {
        fold(x, mask, &|_| Power(p), &|i, a| put(i, T::from_f64(a.powf(1.0 / p))));
    }
}

/// Greatest over the masked dims; NaN wins. The caller refuses empty dims.
pub fn amax<T: Number>(out: ViewMut<T>, x: View<T>, mask: &[bool]) {
    fold(x, mask, &|_| Max::<T>::default(), &put(out));
}

/// Least over the masked dims; NaN wins. The caller refuses empty dims.
pub fn amin<T: Number>(out: ViewMut<T>, x: View<T>, mask: &[bool]) {
    fold(x, mask, &|_| Min::<T>::default(), &put(out));
}

/// Whether any element is not zero (NaN is not).
pub fn any<T: Number>(out: ViewMut<bool>, x: View<T>, mask: &[bool]) {
    fold(x, mask, &|_| Any::<T>::default(), &put(out));
}

/// Whether no element is zero.
pub fn all<T: Number>(out: ViewMut<bool>, x: View<T>, mask: &[bool]) {
    fold(x, mask, &|_| All::<T>::default(), &put(out));
}

/// How many elements are not zero.
pub fn count_nonzero<T: Number>(out: ViewMut<i64>, x: View<T>, mask: &[bool]) {
    fold(x, mask, &|_| CountNonzero::<T>::default(), &put(out));
}

/// What is folded of values that do not exist yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Computed {
    /// The sum.
    Sum,
    /// The mean.
    Mean,
    /// The greatest; NaN wins.
    Max,
    /// The least; NaN wins.
    Min,
}

/// Folds `rows` rows of `n` elements that `fill(range, block)` computes block by block, so that a chain of elementwise ops
/// feeds its sum without a buffer between; to the bit what [`sum`] and its like give over the same values in memory.
pub fn computed<T: Number, O: Number<Acc = T::Acc>>(
    kind: Computed,
    out: ViewMut<O>,
    rows: usize,
    n: usize,
    fill: impl Fn(Range<usize>, &mut [T]) + Sync,
) {
    let put = put(out);
    match kind {
        Computed::Sum => fold_computed(rows, n, Sum::<T>::default(), &fill, &|i, a| put(i, O::from_acc(a))),
        Computed::Mean => {
            let count = T::Acc::from_usize(n);
            fold_computed(rows, n, Sum::<T>::default(), &fill, &|i, a| put(i, O::from_acc(a.div(count))));
        }
        Computed::Max => fold_computed(rows, n, Max::<T>::default(), &fill, &|i, a| put(i, O::from_acc(a.acc()))),
        Computed::Min => fold_computed(rows, n, Min::<T>::default(), &fill, &|i, a| put(i, O::from_acc(a.acc()))),
    }
}

/// Greatest along `dim` and its first position; NaN wins, the first one. Either output may be left out.
pub fn max_dim<T: Number>(values: Option<ViewMut<T>>, indices: Option<ViewMut<i64>>, x: View<T>, dim: usize) {
    extreme::<T, true>(values, indices, x, dim);
}

/// Least along `dim` and its first position; NaN wins, the first one. Either output may be left out.
pub fn min_dim<T: Number>(values: Option<ViewMut<T>>, indices: Option<ViewMut<i64>>, x: View<T>, dim: usize) {
    extreme::<T, false>(values, indices, x, dim);
}

/// Whether `x` displaces `best`: strictly beyond it, or the first NaN.
#[inline(always)]
fn beats<T: Number, const MAX: bool>(x: T, best: T) -> bool {
    let beyond = if MAX { x > best } else { x < best };
    beyond | (x.is_nan() & !best.is_nan())
}

fn extreme<T: Number, const MAX: bool>(
    values: Option<ViewMut<T>>,
    indices: Option<ViewMut<i64>>,
    x: View<T>,
    dim: usize,
) {
    let (n, step) = (x.shape[dim], x.strides[dim]);
    let outer: usize = x.shape[..dim].iter().product();
    let inner: usize = x.shape[dim + 1..].iter().product();
    let put_value = values.map(put);
    let put_index = indices.map(put);
    let write = |at: usize, v: T, i: usize| {
        if let Some(put) = &put_value {
            put(at, v);
        }
        if let Some(put) = &put_index {
            put(at, i as i64);
        }
    };
    let p = SendPtr(x.ptr().cast_mut());
    let (inner_shape, inner_strides) = (&x.shape[dim + 1..], &x.strides[dim + 1..]);
    let tail = is_contiguous(inner_shape, inner_strides);
    if inner > 1 && tail && n > 0 && n <= u32::MAX as usize {
        // columns side by side, so that every load is contiguous
        const WIDTH: usize = 256;
        let blocks = inner.div_ceil(WIDTH);
        chunks(outer * blocks, grain(n * WIDTH.min(inner)), |r| {
            for unit in r {
                let base = Walk::new(&x.shape[..dim], [&x.strides[..dim]], unit / blocks).at[0];
                let cols = unit % blocks * WIDTH..(unit % blocks * WIDTH + WIDTH).min(inner);
                let (mut best, mut index) = ([T::ZERO; WIDTH], [0u32; WIDTH]);
                let first = p.add(base + cols.start);
                let len = cols.len();
                // SAFETY: row 0 has these columns.
                (0..len).for_each(|c| best[c] = unsafe { *first.get().add(c) });
                for k in 1..n {
                    better_columns::<T, MAX>(&mut best[..len], &mut index[..len], first.add(k * step), k as u32);
                }
                for (c, col) in cols.enumerate() {
                    write(unit / blocks * inner + col, best[c], index[c] as usize);
                }
            }
        });
        return;
    }
    let total = outer * inner;
    let mut kept: Vec<usize> = x.shape.to_vec();
    let mut kept_strides: Vec<usize> = x.strides.to_vec();
    kept.remove(dim);
    kept_strides.remove(dim);
    if n >= 2 * PIECE && total < 64 {
        let pieces = n.div_ceil(PIECE);
        let mut found = vec![(T::ZERO, 0usize); total * pieces];
        let to = SendPtr(found.as_mut_ptr());
        chunks(total * pieces, 1, |r| {
            for unit in r {
                let (o, start) = (unit / pieces, unit % pieces * PIECE);
                let base = Walk::new(&kept, [&kept_strides], o).at[0];
                let (v, i) = best_in_run::<T, MAX>(p.add(base + start * step), (n - start).min(PIECE), step);
                // SAFETY: each unit has its own place.
                unsafe { to.get().add(unit).write((v, start + i)) };
            }
        });
        for (o, found) in found.chunks(pieces).enumerate() {
            let best = found.iter().skip(1).fold(found[0], |b, &f| if beats::<T, MAX>(f.0, b.0) { f } else { b });
            write(o, best.0, best.1);
        }
        return;
    }
    chunks(total, grain(n.div_ceil(4) + 8), |r| {
        let mut walk = Walk::new(&kept, [&kept_strides], r.start);
        for o in r {
            let (v, i) = best_in_run::<T, MAX>(p.add(walk.at[0]), n, step);
            write(o, v, i);
            walk.step();
        }
    });
}

/// The extreme of a run and its first position: blocks are folded without indices, and only the winning one is searched.
fn best_in_run<T: Number, const MAX: bool>(p: SendPtr<T>, n: usize, stride: usize) -> (T, usize) {
    let (mut best, mut block) = (T::ZERO, 0);
    let mut i = 0;
    while i < n {
        let count = (n - i).min(BLOCK);
        let v = extreme_of_block::<T, MAX>(p.add(i * stride), count, stride);
        if i == 0 || beats::<T, MAX>(v, best) {
            (best, block) = (v, i);
        }
        i += count;
    }
    let end = (block + BLOCK).min(n);
    let same = |v: T| if best.is_nan() { v.is_nan() } else { v == best };
    // SAFETY: positions below n.
    let at = (block..end).find(|&k| same(unsafe { *p.get().add(k * stride) })).unwrap_or(block);
    (best, at)
}

twins!(
    fn extreme_of_block[T: Number, const MAX: bool][T, MAX](p: SendPtr<T>, n: usize, stride: usize) -> T {
        const LANES: usize = 32;
        let p = p.get().cast_const();
        let start = if MAX { T::LEAST } else { T::GREATEST };
        let pick = |a: T, x: T| if MAX { greater(a, x) } else { less(a, x) };
        let mut total = start;
        let mut i = 0;
        if stride == 1 {
            let mut lanes = [start; LANES];
            while i + LANES <= n {
                // SAFETY: i + LANES <= n.
                let x = unsafe { p.add(i).cast::<[T; LANES]>().read_unaligned() };
                for l in 0..LANES {
                    lanes[l] = pick(lanes[l], x[l]);
                }
                i += LANES;
            }
            total = lanes.into_iter().fold(start, pick);
        }
        while i < n {
            // SAFETY: i < n.
            total = pick(total, unsafe { *p.add(i * stride) });
            i += 1;
        }
        total
    }
);

twins!(
    fn better_columns[T: Number, const MAX: bool][T, MAX](best: &mut [T], index: &mut [u32], row: SendPtr<T>, k: u32) {
        let n = best.len();
        // SAFETY: the row has as many columns.
        let row = unsafe { std::slice::from_raw_parts(row.get().cast_const(), n) };
        let index = &mut index[..n];
        for c in 0..n {
            let take = beats::<T, MAX>(row[c], best[c]);
            best[c] = if take { row[c] } else { best[c] };
            index[c] = if take { k } else { index[c] };
        }
    }
);

#[cfg(test)]
mod tests;
