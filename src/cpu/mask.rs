//! Masks: filling and selecting where one is true, and the positions of what is not zero. Results whose length depends on
//! data are counted first, in chunks, so that every chunk knows where it writes.

use crate::cpu::copy::Moved;
use crate::cpu::memory::HostBuf;
use crate::cpu::number::Number;
use crate::cpu::simd::{SERIAL, SendPtr, Walk, chunks};
use crate::cpu::view::{View, ViewMut};

/// Elements a chunk looks at.
const CHUNK: usize = SERIAL / 2;

/// `x = value` where `mask` is true; the mask covers x (broadcast by stride 0).
pub fn masked_fill<T: Moved>(x: ViewMut<T>, mask: View<bool>, value: T) {
    let to = SendPtr(x.ptr());
    chunks(x.numel(), CHUNK, |r| {
        let mut walk = Walk::new(x.shape, [x.strides, mask.strides], r.start);
        for _ in r {
            // SAFETY: the walk stays in the views.
            unsafe {
                if mask.at(walk.at[1]) {
                    to.get().add(walk.at[0]).write(value);
                }
            }
            walk.step();
        }
    });
}

/// For each chunk of a view, how many elements come before it that `keep` wants; and how many in all.
fn starts<T: Moved>(x: View<T>, keep: impl Fn(T) -> bool + Sync) -> (Vec<usize>, usize) {
    let mut counts = vec![0usize; x.numel().div_ceil(CHUNK)];
    let to = SendPtr(counts.as_mut_ptr());
    chunks(x.numel(), CHUNK, |r| {
        let chunk = r.start / CHUNK;
        let mut walk = Walk::new(x.shape, [x.strides], r.start);
        let mut n = 0;
        for _ in r {
            // SAFETY: the walk stays in the view.
            n += usize::from(keep(unsafe { x.at(walk.at[0]) }));
            walk.step();
        }
        // SAFETY: each chunk has its own place.
        unsafe { to.get().add(chunk).write(n) };
    });
    let mut total = 0;
    for c in &mut counts {
        total += std::mem::replace(c, total);
    }
    (counts, total)
}

/// The elements of `x` where `mask` (of the same shape) is true, in order: memory and count.
pub fn masked_select<T: Moved>(x: View<T>, mask: View<bool>) -> (HostBuf, usize) {
    let (starts, total) = starts(mask, |m| m);
    let buf = HostBuf::alloc(total * size_of::<T>());
    let to = SendPtr(buf.ptr().cast::<T>());
    chunks(x.numel(), CHUNK, |r| {
        let mut next = starts[r.start / CHUNK];
        let mut walk = Walk::new(x.shape, [x.strides, mask.strides], r.start);
        for _ in r {
            // SAFETY: the walk stays in the views, and the chunk's count says how many it writes.
            unsafe {
                if mask.at(walk.at[1]) {
                    to.get().add(next).write(x.at(walk.at[0]));
                    next += 1;
                }
            }
            walk.step();
        }
    });
    (buf, total)
}

/// `x = next of source` where `mask` is true, in order. Says how many elements that takes, and writes nothing, if `source`
/// (contiguous) has fewer.
pub fn masked_scatter<T: Moved>(x: ViewMut<T>, mask: View<bool>, source: View<T>) -> Result<(), usize> {
    let (starts, total) = starts(mask, |m| m);
    if total > source.numel() {
        return Err(total);
    }
    let to = SendPtr(x.ptr());
    chunks(x.numel(), CHUNK, |r| {
        let mut next = starts[r.start / CHUNK];
        let mut walk = Walk::new(x.shape, [x.strides, mask.strides], r.start);
        for _ in r {
            // SAFETY: the walk stays in the views; the count is checked.
            unsafe {
                if mask.at(walk.at[1]) {
                    to.get().add(walk.at[0]).write(source.at(next));
                    next += 1;
                }
            }
            walk.step();
        }
    });
    Ok(())
}

/// Positions of what is not zero, in row-major order: i64 memory of `count` rows by the number of dims, and the count.
pub fn nonzero<T: Number>(x: View<T>) -> (HostBuf, usize) {
    let (starts, total) = starts(x, |v| v != T::ZERO);
    let rank = x.shape.len();
    let buf = HostBuf::alloc(total * rank * size_of::<i64>());
    let to = SendPtr(buf.ptr().cast::<i64>());
    chunks(x.numel(), CHUNK, |r| {
        let mut next = starts[r.start / CHUNK];
        let mut walk = Walk::new(x.shape, [x.strides], r.start);
        for i in r {
            // SAFETY: as in `masked_select`; a row holds one number a dim.
            unsafe {
                if x.at(walk.at[0]) != T::ZERO {
                    let mut rest = i;
                    for d in (0..rank).rev() {
                        to.get().add(next * rank + d).write((rest % x.shape[d]) as i64);
                        rest /= x.shape[d];
                    }
                    next += 1;
                }
            }
            walk.step();
        }
    });
    (buf, total)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T: Copy>(buf: &HostBuf, n: usize) -> Vec<T> {
        // SAFETY: the kernel wrote n elements.
        unsafe { std::slice::from_raw_parts(buf.ptr().cast::<T>(), n) }.to_vec()
    }

    #[test]
    fn masks_fill_select_and_scatter() {
        let mask = [true, false, true];
        let mut x = [1, 2, 3, 4, 5, 6];
        // a mask of (3) over (2, 3)
        let m = View::from_slice(&mask, &[2, 3], &[0, 1]);
        let (buf, n) = masked_select(View::from_slice(&x, &[2, 3], &[3, 1]), m);
        assert_eq!((read::<i32>(&buf, n), n), (vec![1, 3, 4, 6], 4));
        masked_fill(ViewMut::from_slice(&mut x, &[2, 3], &[3, 1]), m, 0);
        assert_eq!(x, [0, 2, 0, 0, 5, 0]);
        let to = ViewMut::from_slice(&mut x, &[2, 3], &[3, 1]);
        assert_eq!(masked_scatter(to, m, View::from_slice(&[7, 8, 9], &[3], &[1])), Err(4));
        assert_eq!(masked_scatter(to, m, View::from_slice(&[7, 8, 9, 10, 11], &[5], &[1])), Ok(()));
        assert_eq!(x, [7, 2, 8, 9, 5, 10]);
    }

    #[test]
    fn many_chunks_meet_where_they_should() {
        let n = 5 * CHUNK + 17;
        let x: Vec<u32> = (0..n as u32).collect();
        let mask: Vec<bool> = x.iter().map(|v| v * 7919 % 13 < 4).collect();
        let want: Vec<u32> = x.iter().copied().filter(|&v| mask[v as usize]).collect();
        let (buf, count) = masked_select(View::from_slice(&x, &[n], &[1]), View::from_slice(&mask, &[n], &[1]));
        assert_eq!(read::<u32>(&buf, count), want);
        let (buf, count) = nonzero(View::from_slice(&mask, &[n], &[1]));
        assert_eq!(read::<i64>(&buf, count), want.iter().map(|&v| i64::from(v)).collect::<Vec<_>>());
        let mut y = vec![0; n];
        let len = [want.len()];
        let source = View::from_slice(&want, &len, &[1]);
        masked_scatter(ViewMut::from_slice(&mut y, &[n], &[1]), View::from_slice(&mask, &[n], &[1]), source).unwrap();
        assert!((0..n).all(|i| y[i] == if mask[i] { i as u32 } else { 0 }));
    }

    #[test]
    fn nonzero_counts_nan_and_handles_every_rank() {
        let x = [0.0, f32::NAN, -0.0, 2.0];
        // transposed 2x2: [[0, -0], [NaN, 2]]
        let (buf, n) = nonzero(View::from_slice(&x, &[2, 2], &[1, 2]));
        assert_eq!(read::<i64>(&buf, 2 * n), [1, 0, 1, 1]);
        assert_eq!(nonzero(View::from_slice(&[3i64], &[], &[])).1, 1);
        assert_eq!(nonzero(View::from_slice(&[] as &[bool], &[0, 4], &[4, 1])).1, 0);
    }
}
