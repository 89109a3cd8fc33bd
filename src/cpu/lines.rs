//! Kernels that go along a dim, line by line: running extrema, running log-sum-exp, the most frequent element, and the place of
//! values in sorted lines.

use crate::cpu::number::Number;
use crate::cpu::simd::{SendPtr, Walk, chunks, grain};
use crate::cpu::sort::Ordered;
use crate::cpu::view::{View, ViewMut};
use smallvec::SmallVec;

/// Everything but one dim of some sizes or strides.
fn without(s: &[usize], dim: usize) -> SmallVec<[usize; 8]> {
    s.iter().enumerate().filter(|d| d.0 != dim).map(|d| *d.1).collect()
}

/// A dim's part of some strides; 1 for 0-dim tensors, which are one line of one element.
fn step(strides: &[usize], dim: usize) -> usize {
    strides.get(dim).copied().unwrap_or(1)
}

/// Calls `f` with the offsets of each line, all threads sharing the work.
fn each_line<const N: usize>(
    shape: &[usize],
    dim: usize,
    strides: [&[usize]; N],
    cost: usize,
    f: impl Fn([usize; N]) + Sync,
) {
    let outer = without(shape, dim);
    let strides: [SmallVec<[usize; 8]>; N] = strides.map(|s| without(s, dim));
    let strides: [&[usize]; N] = std::array::from_fn(|i| &strides[i][..]);
    chunks(outer.iter().product(), grain(cost), |r| {
        let mut walk = Walk::new(&outer, strides, r.start);
        for _ in r {
            f(walk.at);
            walk.step();
        }
    });
}

/// The greatest (or least) element so far and where it is: the last of equal ones; NaN wins.
pub fn extrema<T: Number>(values: ViewMut<T>, indices: ViewMut<i64>, x: View<T>, dim: usize, least: bool) {
    let n = x.shape.get(dim).copied().unwrap_or(1);
    let (from, to, at) = (SendPtr(x.ptr().cast_mut()), SendPtr(values.ptr()), SendPtr(indices.ptr()));
    let (sx, sv, si) = (step(x.strides, dim), step(values.strides, dim), step(indices.strides, dim));
    each_line(x.shape, dim, [x.strides, values.strides, indices.strides], 4 * n, |[ox, ov, oi]| {
        let mut best: Option<(T, usize)> = None;
        for k in 0..n {
            // SAFETY: positions of the three views; each line belongs to one thread.
            let v = unsafe { *from.get().add(ox + k * sx) };
            let kept = match best {
                Some((b, at)) if !(v.is_nan() || (!b.is_nan() && if least { v <= b } else { v >= b })) => (b, at),
                _ => (v, k),
            };
            best = Some(kept);
            // SAFETY: as above.
            unsafe {
                to.get().add(ov + k * sv).write(kept.0);
                at.get().add(oi + k * si).write(kept.1 as i64);
            }
        }
    });
}

/// The logarithm of the sum of exponentials so far, in f64.
pub fn log_sums<T: Number>(out: ViewMut<T>, x: View<T>, dim: usize) {
    let n = x.shape.get(dim).copied().unwrap_or(1);
    let (from, to) = (SendPtr(x.ptr().cast_mut()), SendPtr(out.ptr()));
    let (sx, so) = (step(x.strides, dim), step(out.strides, dim));
    each_line(x.shape, dim, [x.strides, out.strides], 40 * n, |[ox, oo]| {
        let mut sum = f64::NEG_INFINITY;
        for k in 0..n {
            // SAFETY: positions of both views; each line belongs to one thread.
            let v = unsafe { (*from.get().add(ox + k * sx)).to_f64() };
            let (high, low) = if v > sum { (v, sum) } else { (sum, v) };
            // an infinity is the sum already, and inf - inf would be NaN
            sum = if high.is_infinite() && !low.is_nan() { high } else { high + (low - high).exp().ln_1p() };
            // SAFETY: as above.
            unsafe { to.get().add(oo + k * so).write(T::from_f64(sum)) };
        }
    });
}

/// The most frequent element of each line, the least of those, and the last place that it has.
pub fn modes<T: Ordered>(values: ViewMut<T>, indices: ViewMut<i64>, x: View<T>, dim: usize) {
    let n = x.shape.get(dim).copied().unwrap_or(1);
    let (from, to, at) = (SendPtr(x.ptr().cast_mut()), SendPtr(values.ptr()), SendPtr(indices.ptr()));
    let sx = step(x.strides, dim);
    each_line(x.shape, dim, [x.strides, values.strides, indices.strides], 40 * n, |[ox, ov, oi]| {
        // SAFETY: positions of the view.
        let load = |k: usize| unsafe { *from.get().add(ox + k * sx) };
        let mut keys: Vec<(u64, usize)> = (0..n).map(|k| (load(k).order(), k)).collect();
        keys.sort_unstable();
        let (mut best, mut count, mut run) = (0, 0, 0);
        for (i, &(key, k)) in keys.iter().enumerate() {
            // a NaN equals nothing
            run = if i > 0 && keys[i - 1].0 == key && !load(k).is_nan() { run + 1 } else { 1 };
            if run > count {
                (best, count) = (k, run);
            }
        }
        // SAFETY: one element for each line in both outputs.
        unsafe {
            to.get().add(ov).write(load(best));
            at.get().add(oi).write(best as i64);
        }
    });
}

/// Where each value of the last dim belongs in the sorted line of `sorted` (one for all where that has one dim): before its
/// equals, or after them. `order` puts the line's elements in order where they are not.
pub fn places<T: Number>(out: ViewMut<i64>, sorted: View<T>, order: Option<View<i64>>, values: View<T>, right: bool) {
    let last = sorted.shape.len() - 1;
    let n = sorted.shape[last];
    let zeros: SmallVec<[usize; 8]> = SmallVec::from_elem(0, values.shape.len());
    let lines = |s: &[usize]| if last == 0 { zeros.clone() } else { SmallVec::from_slice(s) };
    let (line, order_line) = (lines(sorted.strides), order.as_ref().map_or(zeros.clone(), |o| lines(o.strides)));
    let (line_step, order_step) = (sorted.strides[last], order.as_ref().map_or(0, |o| o.strides[last]));
    let from = SendPtr(sorted.ptr().cast_mut());
    let by = order.map(|o| SendPtr(o.ptr().cast_mut()));
    let (given, to) = (SendPtr(values.ptr().cast_mut()), SendPtr(out.ptr()));
    let dim = values.shape.len().saturating_sub(1);
    let m = values.shape.get(dim).copied().unwrap_or(1);
    let (sv, so) = (step(values.strides, dim), step(out.strides, dim));
    let strides = [&line[..], &order_line[..], values.strides, out.strides];
    each_line(values.shape, dim, strides, m * 8 * (n.max(2).ilog2() as usize), |[ol, oo, ov, ow]| {
        for k in 0..m {
            // SAFETY: positions of the views; an order's entries were checked against the line's length.
            let v = unsafe { *given.get().add(ov + k * sv) };
            let (mut low, mut high) = (0, n);
            while low < high {
                let mid = low.midpoint(high);
                // SAFETY: as above.
                let at = by.as_ref().map_or(mid, |p| unsafe { *p.get().add(oo + mid * order_step) as usize });
                // SAFETY: as above.
                let e = unsafe { *from.get().add(ol + at * line_step) };
                let beyond = if right { e > v } else { e >= v };
                if beyond { high = mid } else { low = mid + 1 }
            }
            // SAFETY: as above; each line belongs to one thread.
            unsafe { to.get().add(ow + k * so).write(low as i64) };
        }
    });
}
