//! The engine under every reduction: folds any set of dims of a strided view, with many accumulators side by side, sums
//! joined pairwise (so that long f32 sums stay accurate), and a split over threads that depends on sizes alone.

use crate::cpu::simd::{SendPtr, Walk, chunks, grain, twins};
use crate::cpu::view::View;
use smallvec::SmallVec;
use std::ops::Range;

/// A reduction of elements of type `T`.
pub trait Fold<T>: Copy + Send + Sync {
    /// What it accumulates.
    type Acc: Copy + Send + Sync;
    /// The value of nothing.
    fn empty(&self) -> Self::Acc;
    /// One element more.
    fn step(&self, acc: Self::Acc, x: T) -> Self::Acc;
    /// Two parts, the left one first.
    fn join(&self, a: Self::Acc, b: Self::Acc) -> Self::Acc;
}

/// Accumulators side by side.
const LANES: usize = 64;
/// Elements folded by plain lanes before they are joined pairwise with others.
pub const BLOCK: usize = 2048;
/// Elements of a part of a long reduction that is folded by itself.
pub const PIECE: usize = 1 << 16;
/// Columns folded together where the kept dim is the contiguous one.
const COLUMNS: usize = 512;
/// Rows folded plainly into columns before they are joined pairwise with others.
const ROWS: usize = 64;

/// Joins values pairwise as they come, like a binary counter: n values, log n levels.
struct Cascade<A> {
    levels: SmallVec<[A; 32]>,
    count: usize,
}

impl<A: Copy> Cascade<A> {
    fn new() -> Cascade<A> {
        Cascade { levels: SmallVec::new(), count: 0 }
    }

    #[inline(always)]
    fn push<T, F: Fold<T, Acc = A>>(&mut self, f: &F, mut a: A) {
        let mut n = self.count;
        while n & 1 == 1 {
            a = f.join(self.levels.pop().unwrap_or(a), a);
            n >>= 1;
        }
        self.levels.push(a);
        self.count += 1;
    }

    fn finish<T, F: Fold<T, Acc = A>>(mut self, f: &F) -> A {
        let Some(mut a) = self.levels.pop() else { return f.empty() };
        while let Some(b) = self.levels.pop() {
            a = f.join(b, a);
        }
        a
    }
}

twins!(
    /// Folds at most `BLOCK` elements `stride` apart.
    pub(crate) fn fold_block[T: Copy, F: Fold<T>][T, F](f: &F, p: SendPtr<T>, n: usize, stride: usize) -> F::Acc {
        let p = p.get().cast_const();
        let mut i = 0;
        let mut total = f.empty();
        if stride == 1 && n >= LANES {
            let mut lanes = [f.empty(); LANES];
            // a length that the compiler does not know: it would unroll the loops over lanes before it looks for vectors,
            // and put them together again in halves of such
            let width = std::hint::black_box(LANES);
            let acc = &mut lanes[..width];
            // SAFETY: a row from i on, which has `LANES` elements wherever it is asked for.
            let row = |i: usize| unsafe { std::slice::from_raw_parts(p.add(i), width) };
            // four rows at once, so that accumulators are read and written once for them
            while i + 4 * LANES <= n {
                let (a, b, c, d) = (row(i), row(i + LANES), row(i + 2 * LANES), row(i + 3 * LANES));
                for l in 0..width {
                    acc[l] = f.step(f.step(f.step(f.step(acc[l], a[l]), b[l]), c[l]), d[l]);
                }
                i += 4 * LANES;
            }
            while i + LANES <= n {
                let a = row(i);
                for l in 0..width {
                    acc[l] = f.step(acc[l], a[l]);
                }
                i += LANES;
            }
            let mut half = LANES;
            while half > 1 {
                half /= 2;
                for l in 0..half {
                    lanes[l] = f.join(lanes[l], lanes[l + half]);
                }
            }
            total = lanes[0];
        }
        while i < n {
            // SAFETY: i < n.
            total = f.step(total, unsafe { *p.add(i * stride) });
            i += 1;
        }
        total
    }
);

/// Folds contiguous elements, however many.
pub fn fold_slice<T: Copy, F: Fold<T>>(f: &F, x: &[T]) -> F::Acc {
    let p = SendPtr(x.as_ptr().cast_mut());
    if x.len() <= BLOCK {
        return fold_block(f, p, x.len(), 1);
    }
    let mut cascade = Cascade::new();
    fold_run(f, &mut cascade, p, x.len(), 1);
    cascade.finish(f)
}

/// Folds a run of any length into the cascade.
fn fold_run<T: Copy, F: Fold<T>>(f: &F, cascade: &mut Cascade<F::Acc>, p: SendPtr<T>, n: usize, stride: usize) {
    let mut i = 0;
    while i < n {
        let count = (n - i).min(BLOCK);
        cascade.push(f, fold_block(f, p.add(i * stride), count, stride));
        i += count;
    }
}

/// Dims as (size, stride), outermost first, neighbours merged where they are one run.
type Dims = SmallVec<[(usize, usize); 8]>;

fn merged(dims: impl Iterator<Item = (usize, usize)>) -> Dims {
    let mut list = Dims::new();
    for (n, s) in dims {
        if n == 1 {
            continue;
        }
        match list.last_mut() {
            Some(last) if last.1 == n * s => *last = (last.0 * n, s),
            _ => list.push((n, s)),
        }
    }
    list
}

/// The dims of a fold, with sizes and strides: those that stay and those that go, and how many elements each have.
struct Plan {
    kept: Dims,
    reduced: Dims,
    outputs: usize,
    n: usize,
}

/// Not generic: it would be compiled again for every fold of every type.
fn plan(shape: &[usize], strides: &[usize], mask: &[bool]) -> Plan {
    let pairs = || shape.iter().copied().zip(strides.iter().copied()).zip(mask.iter().copied());
    let kept: SmallVec<[(usize, usize); 8]> = pairs().filter(|p| !p.1).map(|p| p.0).collect();
    let outputs: usize = kept.iter().map(|d| d.0).product();
    let mut reduced: Dims = pairs().filter(|p| p.1).map(|p| p.0).collect();
    let n: usize = reduced.iter().map(|d| d.0).product();
    // the order within a sum is ours to choose: by stride
    reduced.sort_by_key(|d| std::cmp::Reverse(d.1));
    Plan { kept: merged(kept.into_iter()), reduced: merged(reduced.into_iter()), outputs, n }
}

/// Folds the dims that `mask` names and hands each result to `write(flat position among the kept dims, value)`. `make`
/// gives the fold of an output position.
pub fn fold<T: Copy + Send + Sync, F: Fold<T>>(
    x: View<T>,
    mask: &[bool],
    make: &(dyn Fn(usize) -> F + Sync),
    write: &(dyn Fn(usize, F::Acc) + Sync),
) {
    let Plan { kept, reduced, outputs, n } = plan(x.shape, x.strides, mask);
    if outputs == 0 {
        return;
    }
    if n == 0 {
        return (0..outputs).for_each(|o| write(o, make(o).empty()));
    }
    let p = SendPtr(x.ptr().cast_mut());
    let contiguous_column = kept.last().is_some_and(|d| d.1 == 1) && reduced.last().is_some_and(|d| d.1 != 1);
    if contiguous_column {
        fold_columns(p, &kept, &reduced, n, make, write);
    } else {
        fold_rows(p, &kept, &reduced, outputs, n, make, write);
    }
}

fn unzip(dims: &Dims) -> (SmallVec<[usize; 8]>, SmallVec<[usize; 8]>) {
    dims.iter().copied().unzip()
}

fn fold_rows<T: Copy + Send + Sync, F: Fold<T>>(
    p: SendPtr<T>,
    kept: &Dims,
    reduced: &Dims,
    outputs: usize,
    n: usize,
    make: &(dyn Fn(usize) -> F + Sync),
    write: &(dyn Fn(usize, F::Acc) + Sync),
) {
    let (kept_shape, kept_strides) = unzip(kept);
    let (mut shape, mut strides) = unzip(reduced);
    let (run, run_stride) = (shape.pop().unwrap_or(1), strides.pop().unwrap_or(1));
    // folds elements range of one output
    let part = |f: &F, base: usize, range: Range<usize>| {
        let mut cascade = Cascade::new();
        let mut walk = Walk::new(&shape, [&strides], range.start / run);
        let mut i = range.start;
        while i < range.end {
            let skip = i % run;
            let count = (run - skip).min(range.end - i);
            fold_run(f, &mut cascade, p.add(base + walk.at[0] + skip * run_stride), count, run_stride);
            walk.step();
            i += count;
        }
        cascade.finish(f)
    };
    if n >= 2 * PIECE && outputs < 64 {
        let pieces = n.div_ceil(PIECE);
        let mut parts: Vec<Option<F::Acc>> = vec![None; outputs * pieces];
        let to = SendPtr(parts.as_mut_ptr());
        chunks(outputs * pieces, 1, |r| {
            for unit in r {
                let (o, piece) = (unit / pieces, unit % pieces);
                let base = Walk::new(&kept_shape, [&kept_strides], o).at[0];
                let value = part(&make(o), base, piece * PIECE..((piece + 1) * PIECE).min(n));
                // SAFETY: each unit has its own place.
                unsafe { to.get().add(unit).write(Some(value)) };
            }
        });
        for (o, parts) in parts.chunks(pieces).enumerate() {
            let (f, mut cascade) = (make(o), Cascade::new());
            parts.iter().flatten().for_each(|&a| cascade.push(&f, a));
            write(o, cascade.finish(&f));
        }
        return;
    }
    chunks(outputs, grain(n.div_ceil(4) + 8), |r| {
        let mut walk = Walk::new(&kept_shape, [&kept_strides], r.start);
        for o in r {
            let f = make(o);
            let value = if shape.is_empty() && n <= BLOCK {
                fold_block(&f, p.add(walk.at[0]), n, run_stride)
            } else {
                part(&f, walk.at[0], 0..n)
            };
            write(o, value);
            walk.step();
        }
    });
}

twins!(
    /// Some more rows of every column, at most four, so that accumulators are read and written once for them.
    fn step_columns[T: Copy, F: Fold<T>][T, F](fs: &[F], acc: &mut [F::Acc], rows: &[SendPtr<T>]) {
        let n = fs.len();
        // SAFETY: each row has as many columns as there are folds.
        let row = |i: usize| unsafe { std::slice::from_raw_parts(rows[i].get().cast_const(), n) };
        let acc = &mut acc[..n];
        if rows.len() == 4 {
            let (a, b, c, d) = (row(0), row(1), row(2), row(3));
            for i in 0..n {
                let f = &fs[i];
                acc[i] = f.step(f.step(f.step(f.step(acc[i], a[i]), b[i]), c[i]), d[i]);
            }
        } else {
            for r in 0..rows.len() {
                let a = row(r);
                for i in 0..n {
                    acc[i] = fs[i].step(acc[i], a[i]);
                }
            }
        }
    }
);

/// Folds rows `range` of a block of columns.
fn column_part<T: Copy, F: Fold<T>>(
    fs: &[F],
    p: SendPtr<T>,
    shape: &[usize],
    strides: &[usize],
    range: Range<usize>,
) -> Vec<F::Acc> {
    let empty = || fs.iter().map(|f| f.empty()).collect::<Vec<_>>();
    let join = |a: &mut [F::Acc], b: &[F::Acc]| {
        for (f, (a, b)) in fs.iter().zip(a.iter_mut().zip(b)) {
            *a = f.join(*a, *b);
        }
    };
    let mut levels: Vec<Vec<F::Acc>> = Vec::new();
    let (mut row, mut blocks) = (range.start, 0usize);
    let mut walk = Walk::new(shape, [strides], range.start);
    while row < range.end {
        let mut acc = empty();
        let end = (row + ROWS).min(range.end);
        while row < end {
            let count = (end - row).min(4);
            let mut rows = [p; 4];
            for r in &mut rows[..count] {
                *r = p.add(walk.at[0]);
                walk.step();
            }
            step_columns(fs, &mut acc, &rows[..count]);
            row += count;
        }
        let mut n = blocks;
        while n & 1 == 1 {
            if let Some(mut left) = levels.pop() {
                join(&mut left, &acc);
                acc = left;
            }
            n >>= 1;
        }
        levels.push(acc);
        blocks += 1;
    }
    let Some(mut acc) = levels.pop() else { return empty() };
    while let Some(mut left) = levels.pop() {
        join(&mut left, &acc);
        acc = left;
    }
    acc
}

fn fold_columns<T: Copy + Send + Sync, F: Fold<T>>(
    p: SendPtr<T>,
    kept: &Dims,
    reduced: &Dims,
    n: usize,
    make: &(dyn Fn(usize) -> F + Sync),
    write: &(dyn Fn(usize, F::Acc) + Sync),
) {
    let (mut kept_shape, mut kept_strides) = unzip(kept);
    let width = kept_shape.pop().unwrap_or(1);
    kept_strides.pop();
    let (shape, strides) = unzip(reduced);
    let outer: usize = kept_shape.iter().product();
    let blocks = width.div_ceil(COLUMNS);
    let per_row = width.min(COLUMNS);
    // long columns are cut into pieces of rows, where the columns alone give too little to share out
    let pieces = if outer * blocks < 16 { n.div_ceil((PIECE / per_row).max(ROWS)).clamp(1, 256) } else { 1 };
    let piece = n.div_ceil(pieces);
    let units = outer * blocks * pieces;
    let columns = |unit: usize| {
        let (o, b) = (unit / blocks, unit % blocks);
        (o, b * COLUMNS..((b + 1) * COLUMNS).min(width))
    };
    let mut parts: Vec<Vec<F::Acc>> = Vec::new();
    if pieces > 1 {
        parts.resize_with(units, Vec::new);
    }
    let to = SendPtr(parts.as_mut_ptr());
    chunks(units, grain(per_row * piece / 4), |r| {
        for unit in r {
            let (o, cols) = columns(unit / pieces);
            let base = Walk::new(&kept_shape, [&kept_strides], o).at[0];
            let fs: Vec<F> = cols.clone().map(|c| make(o * width + c)).collect();
            let rows = unit % pieces * piece..((unit % pieces + 1) * piece).min(n);
            let acc = column_part(&fs, p.add(base + cols.start), &shape, &strides, rows);
            if pieces > 1 {
                // SAFETY: each unit has its own place, which holds an empty Vec.
                unsafe { *to.get().add(unit) = acc };
            } else {
                acc.into_iter().zip(cols).for_each(|(a, c)| write(o * width + c, a));
            }
        }
    });
    for (group, parts) in parts.chunks(pieces).enumerate() {
        let (o, cols) = columns(group);
        for (i, c) in cols.enumerate() {
            let (f, mut cascade) = (make(o * width + c), Cascade::new());
            parts.iter().for_each(|part| cascade.push(&f, part[i]));
            write(o * width + c, cascade.finish(&f));
        }
    }
}

/// Folds each of `rows` rows of `n` elements that do not exist yet: `fill(range of flat positions, block)` computes a block
/// of at most [`BLOCK`] of them. The results are those of folding the same values from contiguous memory, to the bit.
pub fn fold_computed<T: Copy + Default + Send + Sync, F: Fold<T>>(
    rows: usize,
    n: usize,
    f: F,
    fill: &(dyn Fn(Range<usize>, &mut [T]) + Sync),
    write: &(dyn Fn(usize, F::Acc) + Sync),
) {
    let part = |row: usize, range: Range<usize>| {
        let mut scratch = [T::default(); BLOCK];
        let mut cascade = Cascade::new();
        let mut i = range.start;
        while i < range.end {
            let count = (range.end - i).min(BLOCK);
            fill(row * n + i..row * n + i + count, &mut scratch[..count]);
            cascade.push(&f, fold_block(&f, SendPtr(scratch.as_mut_ptr()), count, 1));
            i += count;
        }
        cascade.finish(&f)
    };
    if n >= 2 * PIECE && rows < 64 {
        let pieces = n.div_ceil(PIECE);
        let mut parts: Vec<Option<F::Acc>> = vec![None; rows * pieces];
        let to = SendPtr(parts.as_mut_ptr());
        chunks(rows * pieces, 1, |r| {
            for unit in r {
                let piece = unit % pieces;
                let value = part(unit / pieces, piece * PIECE..((piece + 1) * PIECE).min(n));
                // SAFETY: each unit has its own place.
                unsafe { to.get().add(unit).write(Some(value)) };
            }
        });
        for (row, parts) in parts.chunks(pieces).enumerate() {
            let mut cascade = Cascade::new();
            parts.iter().flatten().for_each(|&a| cascade.push(&f, a));
            write(row, cascade.finish(&f));
        }
        return;
    }
    chunks(rows, grain(n + 8), |r| r.for_each(|row| write(row, part(row, 0..n))));
}
