//! Reading and writing at positions that are data: gather and scatter, slices by index (embedding, `index_select`, advanced
//! indexing), masks. Indices are checked before anything is written. Where positions may repeat, writes happen in order of
//! the indices: the last one wins, sums are reproducible.

use crate::cpu::copy::{Dim, Moved, merged};
use crate::cpu::number::Number;
use crate::cpu::simd::{PAST_CACHE, SERIAL, SendPtr, Walk, chunks, copy_past_cache, fence, grain, prefetch, twins};
use crate::cpu::view::{View, ViewMut};
use smallvec::SmallVec;

/// An index outside its dim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadIndex {
    /// The index.
    pub value: i64,
    /// Which of the indexed dims it was meant for (the `dim` of the call, or the position of its index tensor).
    pub dim: usize,
    /// That dim's size.
    pub size: usize,
}

type Strides = SmallVec<[usize; 8]>;

/// Checks every index against a size; `negative` ones count from the end where they are allowed.
pub fn check_indices(index: View<i64>, dim: usize, size: usize, negative: bool) -> Result<(), BadIndex> {
    let low = if negative { -(size as i64) } else { 0 };
    if index.is_contiguous() {
        // SAFETY: a contiguous view's elements lie side by side.
        let all = unsafe { std::slice::from_raw_parts(index.ptr(), index.numel()) };
        // at first without looking for which: that is a vector loop
        if all_within(all, low, size as i64) {
            return Ok(());
        }
    }
    let mut walk = Walk::new(index.shape, [index.strides], 0);
    for _ in 0..index.numel() {
        // SAFETY: the walk stays in the view.
        let value = unsafe { index.at(walk.at[0]) };
        if value < low || value >= size as i64 {
            return Err(BadIndex { value, dim, size });
        }
        walk.step();
    }
    Ok(())
}

twins!(
    fn all_within[][](all: &[i64], low: i64, high: i64) -> bool {
        let mut good = true;
        for &i in all {
            good &= (i >= low) & (i < high);
        }
        good
    }
);

/// A checked index as a position.
#[inline(always)]
fn position(index: i64, size: usize) -> usize {
    (if index < 0 { index + size as i64 } else { index }) as usize
}

fn without(s: &[usize], dim: usize) -> Strides {
    s.iter().enumerate().filter(|d| d.0 != dim).map(|d| *d.1).collect()
}

/// Calls `f(out offset, x offset)` for every element of `index`: the x offset has the index in place of the position along
/// `dim`. Lines along `dim` run in order, on one thread each.
fn along_lines(index: &View<i64>, dim: usize, other: &[usize], x_strides: &[usize], f: impl Fn(usize, usize) + Sync) {
    if index.shape.is_empty() {
        // 0-dim operands count as one line of one
        // SAFETY: a 0-dim view has one element.
        let at = unsafe { index.at(0) } as usize;
        return f(0, at);
    }
    let (n, step, other_step, x_step) = (index.shape[dim], index.strides[dim], other[dim], x_strides[dim]);
    let shape = without(index.shape, dim);
    let (si, so, sx) = (without(index.strides, dim), without(other, dim), without(x_strides, dim));
    let lines: usize = shape.iter().product();
    chunks(lines, grain(2 * n), |r| {
        let mut walk = Walk::new(&shape, [&si, &so, &sx], r.start);
        for _ in r {
            for k in 0..n {
                // SAFETY: the walk stays in the index.
                let i = unsafe { index.at(walk.at[0] + k * step) } as usize;
                f(walk.at[1] + k * other_step, walk.at[2] + i * x_step);
            }
            walk.step();
        }
    });
}

/// `out[.., k, ..] = x[.., index[.., k, ..], ..]` along `dim`; `out` has the shape of `index`.
pub fn gather<T: Moved>(out: ViewMut<T>, x: View<T>, index: View<i64>, dim: usize) -> Result<(), BadIndex> {
    check_indices(index, dim, x.shape.get(dim).copied().unwrap_or(1), false)?;
    let (to, from) = (SendPtr(out.ptr()), SendPtr(x.ptr().cast_mut()));
    along_lines(&index, dim, out.strides, x.strides, |o, i| {
        // SAFETY: the index is checked, the other position is one of `out`.
        unsafe { to.get().add(o).write(*from.get().add(i)) };
    });
    Ok(())
}

/// `x[.., index[.., k, ..], ..] = combine(old, src[.., k, ..])` along `dim`, in order of `k`; `src` covers `index` (a scalar
/// has strides 0).
pub fn scatter_with<T: Moved>(
    x: ViewMut<T>,
    index: View<i64>,
    src: View<T>,
    dim: usize,
    combine: impl Fn(T, T) -> T + Sync,
) -> Result<(), BadIndex> {
    check_indices(index, dim, x.shape.get(dim).copied().unwrap_or(1), false)?;
    let (to, from) = (SendPtr(x.ptr()), SendPtr(src.ptr().cast_mut()));
    along_lines(&index, dim, src.strides, x.strides, |s, i| {
        // SAFETY: the index is checked; no other line reaches this element.
        unsafe {
            let cell = to.get().add(i);
            cell.write(combine(*cell, *from.get().add(s)));
        }
    });
    Ok(())
}

/// `x[.., index, ..] = src`; of repeated positions the last one along `dim` stays.
pub fn scatter<T: Moved>(x: ViewMut<T>, index: View<i64>, src: View<T>, dim: usize) -> Result<(), BadIndex> {
    scatter_with(x, index, src, dim, |_, v| v)
}

/// `x[.., index, ..] += src`
pub fn scatter_add<T: Number>(x: ViewMut<T>, index: View<i64>, src: View<T>, dim: usize) -> Result<(), BadIndex> {
    scatter_with(x, index, src, dim, T::add)
}

/// Offsets in `x` of every position that the index tensors name together: one tensor for each of the first dims of `x`, all
/// of one (broadcast) shape. Negative indices count from the end.
fn offsets(shape: &[usize], strides: &[usize], indices: &[View<i64>]) -> Result<Vec<usize>, BadIndex> {
    indices.iter().enumerate().try_for_each(|(d, index)| check_indices(*index, d, shape[d], true))?;
    Ok(checked_offsets(shape, strides, indices))
}

/// [`offsets`] of indices that are checked already.
fn checked_offsets(shape: &[usize], strides: &[usize], indices: &[View<i64>]) -> Vec<usize> {
    let Some(first) = indices.first() else { return vec![0] };
    let mut list = vec![0usize; first.numel()];
    let to = SendPtr(list.as_mut_ptr());
    chunks(list.len(), SERIAL / 4, |r| {
        // SAFETY: each chunk has its own part of the list.
        let list = unsafe { std::slice::from_raw_parts_mut(to.get().add(r.start), r.len()) };
        for (d, index) in indices.iter().enumerate() {
            if index.is_contiguous() {
                for (k, o) in list.iter_mut().enumerate() {
                    // SAFETY: a contiguous view's elements lie side by side.
                    *o += position(unsafe { index.at(r.start + k) }, shape[d]) * strides[d];
                }
                continue;
            }
            let mut walk = Walk::new(index.shape, [index.strides], r.start);
            for o in list.iter_mut() {
                // SAFETY: the walk stays in the view.
                *o += position(unsafe { index.at(walk.at[0]) }, shape[d]) * strides[d];
                walk.step();
            }
        }
    });
    list
}

/// Advanced indexing: `out[b.., rest..] = x[i1[b..], .., im[b..], rest..]`. The indexed dims of `x` come first (the caller
/// permutes), the index tensors share one shape (the caller broadcasts). Negative indices count from the end.
pub fn index_get<T: Moved>(out: ViewMut<T>, x: View<T>, indices: &[View<i64>]) -> Result<(), BadIndex> {
    let at = offsets(x.shape, x.strides, indices)?;
    read_slices(out, x, indices, &at);
    Ok(())
}

/// Rows that are asked for before they are copied.
const AHEAD: usize = 8;
/// Bytes of a row that are asked for: the CPU sees the rest coming.
const FETCH: usize = 512;

/// Rows of `len` neighbours at offsets into neighbouring rows.
fn read_rows<T: Moved>(to: SendPtr<T>, from: SendPtr<T>, len: usize, at: &[usize]) {
    let bytes = len * size_of::<T>();
    let past = bytes.is_multiple_of(64) && bytes * at.len() >= PAST_CACHE;
    chunks(at.len(), grain(len / 4 + 4), |r| {
        for k in r {
            if let Some(&next) = at.get(k + AHEAD) {
                prefetch(from.get().wrapping_add(next).cast_const().cast(), bytes.min(FETCH));
            }
            // SAFETY: offsets are checked; the row lies in both, and belongs to this chunk.
            unsafe {
                let (to, from) = (to.get().add(k * len), from.get().add(at[k]).cast_const());
                if past {
                    copy_past_cache(from.cast(), to.cast(), bytes);
                } else {
                    std::ptr::copy_nonoverlapping(from, to, len);
                }
            }
        }
        if past {
            fence();
        }
    });
}

fn read_slices<T: Moved>(out: ViewMut<T>, x: View<T>, indices: &[View<i64>], at: &[usize]) {
    let (m, b) = (indices.len(), indices.first().map_or(0, |i| i.shape.len()));
    if out.numel() == 0 {
        return;
    }
    let rest = merged(&out.shape[b..], &out.strides[b..], &x.strides[m..]);
    let len: usize = rest.iter().map(|d| d.n).product();
    let (to, from) = (SendPtr(out.ptr()), SendPtr(x.ptr().cast_mut()));
    if out.is_contiguous() && matches!(rest[..], [Dim { to: 1, from: 1, .. }]) {
        return read_rows(to, from, len, at);
    }
    let slices = Slices::new(&rest);
    chunks(at.len(), grain(len / 4 + 4), |r| {
        let mut walk = Walk::new(&out.shape[..b], [&out.strides[..b]], r.start);
        for k in r {
            let (to, from) = (to.add(walk.at[0]), from.add(at[k]));
            slices.runs(0..slices.runs, |t, f, n, st, sf| {
                // SAFETY: offsets are checked, the runs lie in both views.
                unsafe {
                    let (t, f) = (to.get().add(t), from.get().add(f));
                    if (st, sf) == (1, 1) {
                        std::ptr::copy_nonoverlapping(f, t, n);
                    } else {
                        (0..n).for_each(|i| t.add(i * st).write(*f.add(i * sf)));
                    }
                }
            });
            walk.step();
        }
    });
}

/// The dims of a slice in two operands, as runs of the innermost one.
struct Slices {
    shape: Strides,
    to: Strides,
    from: Strides,
    run: (usize, usize, usize),
    runs: usize,
}

impl Slices {
    fn new(dims: &[Dim]) -> Slices {
        let (outer, run) = match dims.split_last() {
            Some((last, outer)) => (outer, (last.n, last.to, last.from)),
            None => (dims, (1, 1, 1)),
        };
        let runs = outer.iter().map(|d| d.n).product();
        let pick = |f: fn(&Dim) -> usize| outer.iter().map(f).collect();
        Slices { shape: pick(|d| d.n), to: pick(|d| d.to), from: pick(|d| d.from), run, runs }
    }

    /// Calls `f(to, from, length, to step, from step)` for some of the runs.
    #[inline]
    fn runs(&self, range: std::ops::Range<usize>, f: impl Fn(usize, usize, usize, usize, usize)) {
        if self.shape.is_empty() {
            return f(0, 0, self.run.0, self.run.1, self.run.2);
        }
        let mut walk = Walk::new(&self.shape, [&self.to, &self.from], range.start);
        for _ in range {
            f(walk.at[0], walk.at[1], self.run.0, self.run.1, self.run.2);
            walk.step();
        }
    }
}

/// The inverse of [`index_get`]: `x[i1[b..], .., rest..] = combine(old, values[b.., rest..])`, in order of `b`.
pub fn index_put_with<T: Moved>(
    x: ViewMut<T>,
    indices: &[View<i64>],
    values: View<T>,
    combine: impl Fn(T, T) -> T + Sync,
) -> Result<(), BadIndex> {
    let at = offsets(x.shape, x.strides, indices)?;
    write_slices(x, indices, values, &at, combine);
    Ok(())
}

/// `x[indices] = values`; of repeated positions the last one stays.
pub fn index_put<T: Moved>(x: ViewMut<T>, indices: &[View<i64>], values: View<T>) -> Result<(), BadIndex> {
    index_put_with(x, indices, values, |_, v| v)
}

/// `x[indices] += values`, repeated positions included (PyTorch's `accumulate=True`).
pub fn index_put_add<T: Number>(x: ViewMut<T>, indices: &[View<i64>], values: View<T>) -> Result<(), BadIndex> {
    index_put_with(x, indices, values, T::add)
}

fn write_slices<T: Moved>(
    x: ViewMut<T>,
    indices: &[View<i64>],
    values: View<T>,
    at: &[usize],
    combine: impl Fn(T, T) -> T + Sync,
) {
    let (m, b) = (indices.len(), indices.first().map_or(0, |i| i.shape.len()));
    if at.is_empty() || values.numel() == 0 {
        return;
    }
    let rest = merged(&x.shape[m..], &x.strides[m..], &values.strides[b..]);
    let slices = Slices::new(&rest);
    let (to, from) = (SendPtr(x.ptr()), SendPtr(values.ptr().cast_mut()));
    // positions may repeat, so threads share out the slice, never the positions
    let (n, st, sf) = slices.run;
    let piece = if slices.runs == 1 { (SERIAL / at.len()).max(64).min(n) } else { n };
    let pieces = n.div_ceil(piece);
    chunks(slices.runs * pieces, (SERIAL / (at.len() * piece)).max(1), |r| {
        let mut walk = Walk::new(&values.shape[..b], [&values.strides[..b]], 0);
        for &offset in at {
            for unit in r.clone() {
                let start = unit % pieces * piece;
                let count = (n - start).min(piece);
                slices.runs(unit / pieces..unit / pieces + 1, |t, f, _, _, _| {
                    // SAFETY: offsets are checked, the run lies in both views and belongs to this chunk.
                    unsafe {
                        let t = to.get().add(offset + t + start * st);
                        let f = from.get().add(walk.at[0] + f + start * sf);
                        for i in 0..count {
                            let cell = t.add(i * st);
                            cell.write(combine(*cell, *f.add(i * sf)));
                        }
                    }
                });
            }
            walk.step();
        }
    });
}

/// A view's shape and strides with `dim` in front.
fn front(shape: &[usize], strides: &[usize], dim: usize) -> (Strides, Strides) {
    let pick = |s: &[usize]| std::iter::once(s[dim]).chain(without(s, dim)).collect();
    (pick(shape), pick(strides))
}

/// `out[.., k, ..] = x[.., index[k], ..]` along `dim` (an embedding is `dim` 0 with `index` flattened). `index` is 1-D, and
/// negative ones are refused.
pub fn index_select<T: Moved>(out: ViewMut<T>, x: View<T>, dim: usize, index: View<i64>) -> Result<(), BadIndex> {
    check_indices(index, dim, x.shape[dim], false)?;
    let ((ho, so), (hx, sx)) = (front(out.shape, out.strides, dim), front(x.shape, x.strides, dim));
    // SAFETY: the same elements with the dims in another order.
    let (out, x) = unsafe { (ViewMut::new(out.ptr(), &ho, &so), View::new(x.ptr(), &hx, &sx)) };
    read_slices(out, x, &[index], &checked_offsets(x.shape, x.strides, &[index]));
    Ok(())
}

/// `x[.., index[k], ..] = combine(old, src[.., k, ..])` along `dim`, in order of `k`; `index` is 1-D.
pub fn index_write<T: Moved>(
    x: ViewMut<T>,
    dim: usize,
    index: View<i64>,
    src: View<T>,
    combine: impl Fn(T, T) -> T + Sync,
) -> Result<(), BadIndex> {
    check_indices(index, dim, x.shape[dim], false)?;
    write_along(x, dim, index, src, combine)
}

/// [`index_write`] that takes negative indices, counted from the end, too.
fn write_along<T: Moved>(
    x: ViewMut<T>,
    dim: usize,
    index: View<i64>,
    src: View<T>,
    combine: impl Fn(T, T) -> T + Sync,
) -> Result<(), BadIndex> {
    let ((hx, sx), (hs, ss)) = (front(x.shape, x.strides, dim), front(src.shape, src.strides, dim));
    // SAFETY: the same elements with the dims in another order.
    let (x, src) = unsafe { (ViewMut::new(x.ptr(), &hx, &sx), View::new(src.ptr(), &hs, &ss)) };
    index_put_with(x, &[index], src, combine)
}

/// `x[.., index[k], ..] += alpha * src[.., k, ..]`
pub fn index_add<T: Number>(
    x: ViewMut<T>,
    dim: usize,
    index: View<i64>,
    src: View<T>,
    alpha: T,
) -> Result<(), BadIndex> {
    if alpha == T::ONE {
        return index_write(x, dim, index, src, T::add);
    }
    index_write(x, dim, index, src, |a, v| a.add(alpha.mul(v)))
}

/// `x[.., index[k], ..] = src[.., k, ..]`
pub fn index_copy<T: Moved>(x: ViewMut<T>, dim: usize, index: View<i64>, src: View<T>) -> Result<(), BadIndex> {
    index_write(x, dim, index, src, |_, v| v)
}

/// `x[.., index[k], ..] = value`; negative indices count from the end.
pub fn index_fill<T: Moved>(x: ViewMut<T>, dim: usize, index: View<i64>, value: T) -> Result<(), BadIndex> {
    let mut shape: Strides = x.shape.into();
    shape[dim] = index.numel();
    let zeros: Strides = shape.iter().map(|_| 0).collect();
    // SAFETY: all strides are 0, so only `value` is read.
    write_along(x, dim, index, unsafe { View::new(&value, &shape, &zeros) }, |_, v| v)
}

/// Where flat position `i` of a shape lies.
#[inline(always)]
fn unravel(mut i: usize, shape: &[usize], strides: &[usize]) -> usize {
    let mut at = 0;
    for d in (0..shape.len()).rev() {
        at += i % shape[d] * strides[d];
        i /= shape[d];
    }
    at
}

/// `out[..] = x.flatten()[index[..]]`; negative indices count from the end.
pub fn take<T: Moved>(out: ViewMut<T>, x: View<T>, index: View<i64>) -> Result<(), BadIndex> {
    let size = x.numel();
    check_indices(index, 0, size, true)?;
    let flat = x.is_contiguous();
    let to = SendPtr(out.ptr());
    chunks(index.numel(), SERIAL / 4, |r| {
        let mut walk = Walk::new(index.shape, [index.strides, out.strides], r.start);
        for _ in r {
            // SAFETY: indices are checked; the walk stays in the views.
            unsafe {
                let i = position(index.at(walk.at[0]), size);
                to.get().add(walk.at[1]).write(x.at(if flat { i } else { unravel(i, x.shape, x.strides) }));
            }
            walk.step();
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests;
