//! Sorting lines along a dim. An element's key is an integer in the order of its values, with its position below it: keys differ,
//! so any sort of them is stable. NaN is above every number, and both zeros are equal.

use crate::cpu::number::Number;
use crate::cpu::simd::{SendPtr, Walk, chunks, grain};
use crate::cpu::view::{View, ViewMut};
use rayon::prelude::*;
use smallvec::SmallVec;

/// What is wanted of each line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SortSpec {
    /// The dim that lines run along.
    pub dim: usize,
    /// The greatest first.
    pub descending: bool,
    /// Only so many of the first; all if None.
    pub first: Option<usize>,
}

/// A dtype with an order of its values as integers.
pub trait Ordered: Number {
    /// Keeps the order of values.
    fn order(self) -> u64;
}

impl Ordered for i64 {
    #[inline(always)]
    fn order(self) -> u64 {
        (self as u64) ^ (1 << 63)
    }
}
impl Ordered for bool {
    #[inline(always)]
    fn order(self) -> u64 {
        u64::from(self)
    }
}
impl Ordered for f64 {
    #[inline(always)]
    fn order(self) -> u64 {
        if self.is_nan() {
            return u64::MAX;
        }
        // negative numbers grow with their bits; adding 0 makes one zero of two
        let bits = (self + 0.0).to_bits();
        if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
    }
}
impl Ordered for f32 {
    #[inline(always)]
    fn order(self) -> u64 {
        if self.is_nan() {
            return u64::from(u32::MAX);
        }
        let bits = (self + 0.0).to_bits();
        u64::from(if bits >> 31 == 1 { !bits } else { bits | 1 << 31 })
    }
}

/// A line this long is sorted by all threads together.
const LONG: usize = 1 << 15;

/// The elements of each line in order, and the positions that they had.
pub fn sort<T: Ordered>(values: ViewMut<T>, indices: ViewMut<i64>, x: View<T>, spec: SortSpec) {
    let n = x.shape[spec.dim];
    let without = |s: &[usize]| -> SmallVec<[usize; 8]> {
        s.iter().enumerate().filter(|d| d.0 != spec.dim).map(|d| *d.1).collect()
    };
    let (shape, sx, sv, si) = (without(x.shape), without(x.strides), without(values.strides), without(indices.strides));
    let (step_x, step_v, step_i) = (x.strides[spec.dim], values.strides[spec.dim], indices.strides[spec.dim]);
    let (from, to, at) = (SendPtr(x.ptr().cast_mut()), SendPtr(values.ptr()), SendPtr(indices.ptr()));
    let lines: usize = shape.iter().product();
    let together = n >= LONG && lines < 4;
    // values of 32 bits and less share a word with their position
    let small = size_of::<T>() <= 4 && n <= u32::MAX as usize;
    let line = |offsets: [usize; 3], keys: &mut Keys| {
        // SAFETY: position `k` of the line at these offsets.
        let load = |k: usize| unsafe { *from.get().add(offsets[0] + k * step_x) };
        let write = |i: usize, k: usize| {
            // SAFETY: as above; the line belongs to this thread.
            unsafe {
                to.get().add(offsets[1] + i * step_v).write(load(k));
                at.get().add(offsets[2] + i * step_i).write(k as i64);
            }
        };
        if small {
            let flip = if spec.descending { u64::from(u32::MAX) } else { 0 };
            keys.small.clear();
            keys.small.extend((0..n).map(|k| (load(k).order() ^ flip) << 32 | k as u64));
            let first = arrange(&mut keys.small, spec.first, together);
            first.iter().enumerate().for_each(|(i, key)| write(i, (key & u64::from(u32::MAX)) as usize));
        } else {
            let flip = if spec.descending { u64::MAX } else { 0 };
            keys.large.clear();
            keys.large.extend((0..n).map(|k| (load(k).order() ^ flip, k)));
            let first = arrange(&mut keys.large, spec.first, together);
            first.iter().enumerate().for_each(|(i, key)| write(i, key.1));
        }
    };
    chunks(lines, if together { lines } else { grain(8 * n) }, |r| {
        let mut walk = Walk::new(&shape, [&sx, &sv, &si], r.start);
        let mut keys = Keys::default();
        for _ in r {
            line(walk.at, &mut keys);
            walk.step();
        }
    });
}

/// Room for the keys of a line.
#[derive(Default)]
struct Keys {
    small: Vec<u64>,
    large: Vec<(u64, usize)>,
}

/// The first keys in order.
fn arrange<K: Ord + Send>(keys: &mut [K], first: Option<usize>, together: bool) -> &[K] {
    let count = first.unwrap_or(keys.len());
    if count == 0 {
        return &[];
    }
    if count < keys.len() {
        keys.select_nth_unstable(count - 1);
    }
    let keys = &mut keys[..count];
    if together {
        keys.par_sort_unstable();
    } else {
        keys.sort_unstable();
    }
    keys
}
