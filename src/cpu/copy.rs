//! Copies between strided views of one shape: runs where both are contiguous, tiles where one is the other's transpose.
//! Elements are moved, never computed with, so any type of the right size serves (`u32` for f32).

use crate::cpu::simd::{SERIAL, SendPtr, Walk, chunks};
use crate::cpu::view::{View, ViewMut};
use smallvec::SmallVec;

/// Edge of a transposed tile: its rows and columns together fill a part of the first-level cache.
const TILE: usize = 32;

/// Elements that are only moved.
pub trait Moved: Copy + Send + Sync {}
impl<T: Copy + Send + Sync> Moved for T {}

/// A dim of two operands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Dim {
    pub n: usize,
    pub to: usize,
    pub from: usize,
}

/// The dims in an order of decreasing `to` stride, neighbours merged where both operands allow it, none of size 1.
pub(super) fn merged(shape: &[usize], to: &[usize], from: &[usize]) -> SmallVec<[Dim; 8]> {
    let mut dims: SmallVec<[Dim; 8]> =
        shape.iter().zip(to).zip(from).filter(|d| *d.0.0 != 1).map(|((&n, &to), &from)| Dim { n, to, from }).collect();
    dims.sort_by_key(|d| std::cmp::Reverse((d.to, d.from)));
    let mut list: SmallVec<[Dim; 8]> = SmallVec::new();
    for d in dims {
        match list.last_mut() {
            Some(last) if last.to == d.n * d.to && last.from == d.n * d.from => *last = Dim { n: last.n * d.n, ..d },
            _ => list.push(d),
        }
    }
    list
}

/// `out = x`; shapes are equal (a broadcast `x` has stride 0). The operands do not overlap.
pub fn copy_strided<T: Moved>(out: ViewMut<T>, x: View<T>) {
    if out.numel() == 0 {
        return;
    }
    let mut dims = merged(out.shape, out.strides, x.strides);
    let (to, from) = (SendPtr(out.ptr()), SendPtr(x.ptr().cast_mut()));
    let Some(inner) = dims.pop() else {
        // SAFETY: one element each.
        return unsafe { to.get().write(*from.get()) };
    };
    let across = (inner.to == 1 && inner.from > 1).then(|| dims.iter().position(|d| d.from == 1)).flatten();
    let cross = across.map(|i| dims.remove(i));
    let shape: SmallVec<[usize; 8]> = dims.iter().map(|d| d.n).collect();
    let strides: [SmallVec<[usize; 8]>; 2] =
        [dims.iter().map(|d| d.to).collect(), dims.iter().map(|d| d.from).collect()];
    let outer: usize = shape.iter().product();
    let Some(cross) = cross else {
        // pieces of a run, so that one long run is shared out as well
        let piece = inner.n.min(SERIAL * 2);
        let pieces = inner.n.div_ceil(piece);
        return chunks(outer * pieces, (SERIAL * 2 / piece).max(1), |r| {
            let mut walk = Walk::new(&shape, [&strides[0], &strides[1]], r.start / pieces);
            for unit in r {
                let start = unit % pieces * piece;
                let (t, f) = (to.add(walk.at[0] + start * inner.to), from.add(walk.at[1] + start * inner.from));
                // SAFETY: the run lies in both views.
                unsafe { copy_run(t.get(), f.get(), (inner.n - start).min(piece), inner) };
                if unit % pieces == pieces - 1 {
                    walk.step();
                }
            }
        });
    };
    let bands = cross.n.div_ceil(TILE);
    chunks(outer * bands, (SERIAL / (TILE * inner.n)).max(1), |r| {
        for unit in r {
            let at = Walk::new(&shape, [&strides[0], &strides[1]], unit / bands).at;
            let rows = unit % bands * TILE..(unit % bands * TILE + TILE).min(cross.n);
            let mut c = 0;
            while c < inner.n {
                let end = (c + TILE).min(inner.n);
                for row in rows.clone() {
                    // SAFETY: row and columns lie in both views; `cross` is contiguous in x, `inner` in out.
                    unsafe {
                        let t = to.get().add(at[0] + row * cross.to);
                        let f = from.get().add(at[1] + row);
                        for k in c..end {
                            t.add(k).write(*f.add(k * inner.from));
                        }
                    }
                }
                c = end;
            }
        }
    });
}

/// # Safety
/// `n` elements at the dim's strides are readable and writable.
unsafe fn copy_run<T: Copy>(to: *mut T, from: *const T, n: usize, dim: Dim) {
    // SAFETY: the caller's promise.
    unsafe {
        match (dim.to, dim.from) {
            (1, 1) => std::ptr::copy_nonoverlapping(from, to, n),
            (1, 0) => {
                let v = *from;
                (0..n).for_each(|i| to.add(i).write(v));
            }
            (a, b) => (0..n).for_each(|i| to.add(i * a).write(*from.add(i * b))),
        }
    }
}

/// Every element becomes `value`.
pub fn fill<T: Moved>(out: ViewMut<T>, value: T) {
    let zeros: SmallVec<[usize; 8]> = out.shape.iter().map(|_| 0).collect();
    // SAFETY: all strides are 0, so only `value` is read, and it outlives the call.
    copy_strided(out, unsafe { View::new(&value, out.shape, &zeros) });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_permutation_of_dims_is_copied() {
        let sizes = [[1, 1, 1, 1], [2, 3, 4, 5], [1, 70, 1, 33], [3, 1, 64, 65], [2, 0, 3, 4], [1, 2, 40_000, 2]];
        let orders = [[0, 1, 2, 3], [3, 2, 1, 0], [0, 1, 3, 2], [1, 0, 2, 3], [2, 3, 0, 1], [0, 3, 1, 2]];
        for size in sizes {
            let n: usize = size.iter().product();
            let x: Vec<u32> = (0..n as u32).collect();
            for a in orders {
                for b in orders {
                    // strides of a layout whose dims lie in memory in the order given
                    let strides = |order: [usize; 4]| {
                        let (mut s, mut step) = ([0; 4], 1);
                        for &d in order.iter().rev() {
                            s[d] = step;
                            step *= size[d].max(1);
                        }
                        s
                    };
                    let (sa, sb) = (strides(a), strides(b));
                    let mut out = vec![u32::MAX; n];
                    copy_strided(ViewMut::from_slice(&mut out, &size, &sa), View::from_slice(&x, &size, &sb));
                    for i in 0..n {
                        let index = [
                            i / (size[1] * size[2] * size[3]),
                            i / (size[2] * size[3]) % size[1],
                            i / size[3] % size[2],
                            i % size[3],
                        ];
                        let at = |s: [usize; 4]| (0..4).map(|d| s[d] * index[d]).sum::<usize>();
                        assert_eq!(out[at(sa)], x[at(sb)]);
                    }
                }
            }
        }
    }

    #[test]
    fn broadcasts_and_gaps() {
        let mut out = [9u8; 12];
        copy_strided(ViewMut::from_slice(&mut out, &[2, 3], &[6, 2]), View::from_slice(&[1, 2, 3], &[2, 3], &[0, 1]));
        assert_eq!(out, [1, 9, 2, 9, 3, 9, 1, 9, 2, 9, 3, 9]);
        fill(ViewMut::from_slice(&mut out, &[3], &[4]), 7);
        assert_eq!(out, [7, 9, 2, 9, 7, 9, 1, 9, 7, 9, 3, 9]);
        let mut many = vec![0u64; 100_000];
        fill(ViewMut::from_slice(&mut many, &[100_000], &[1]), 3);
        assert!(many.iter().all(|&v| v == 3));
    }

    #[test]
    #[ignore = "prints times"]
    fn bench_copy() {
        let n = 2048;
        let x = vec![1u32; n * n];
        let mut y = vec![0u32; n * n];
        for (name, st) in [("contiguous", [n, 1]), ("transposed", [1, n])] {
            let mut best = f64::MAX;
            for _ in 0..50 {
                let t = std::time::Instant::now();
                copy_strided(ViewMut::from_slice(&mut y, &[n, n], &[n, 1]), View::from_slice(&x, &[n, n], &st));
                best = best.min(t.elapsed().as_secs_f64());
            }
            println!("copy 2048x2048 {name}: {:.3} ms", best * 1e3);
        }
    }
}
