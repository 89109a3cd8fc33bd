//! Sorting lines along a dim. An element's key is an integer in the order of its values, with its position below it: keys differ,
//! so any sort of them is stable (long lines: `sort_team.rs`). NaN is above every number, and both zeros are equal.

use crate::cpu::number::Number;
use crate::cpu::simd::{SendPtr, Walk, chunks, grain};
use crate::cpu::sort_team::Room;
use crate::cpu::view::{View, ViewMut};
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
    /// The value with this order; None where there are several (zeros, NaN).
    fn of_order(order: u64) -> Option<Self>;
}

impl Ordered for i64 {
    #[inline(always)]
    fn order(self) -> u64 {
        (self as u64) ^ (1 << 63)
    }
    #[inline(always)]
    fn of_order(order: u64) -> Option<i64> {
        Some((order ^ (1 << 63)) as i64)
    }
}
impl Ordered for bool {
    #[inline(always)]
    fn order(self) -> u64 {
        u64::from(self)
    }
    #[inline(always)]
    fn of_order(order: u64) -> Option<bool> {
        Some(order != 0)
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
    #[inline(always)]
    fn of_order(order: u64) -> Option<f64> {
        let bits = if order >> 63 == 1 { order ^ 1 << 63 } else { !order };
        (bits != 0 && order != u64::MAX).then(|| f64::from_bits(bits))
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
    #[inline(always)]
    fn of_order(order: u64) -> Option<f32> {
        let order = order as u32;
        let bits = if order >> 31 == 1 { order ^ 1 << 31 } else { !order };
        (bits != 0 && order != u32::MAX).then(|| f32::from_bits(bits))
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
    let parts = if together { rayon::current_num_threads() } else { 1 };
    // values of 32 bits and less share a word with their position
    let small = size_of::<T>() <= 4 && n <= u32::MAX as usize;
    let line = |offsets: [usize; 3]| {
        // SAFETY: position `k` of the line at these offsets.
        let load = move |k: usize| unsafe { *from.get().add(offsets[0] + k * step_x) };
        // the values that were are scattered; most are known from their order
        let write = move |i: usize, order: u64, k: usize| {
            let value = T::of_order(order).unwrap_or_else(|| load(k));
            // SAFETY: as above; the line belongs to this thread, or this part of it does.
            unsafe {
                to.get().add(offsets[1] + i * step_v).write(value);
                at.get().add(offsets[2] + i * step_i).write(k as i64);
            }
        };
        const LOW: u64 = u32::MAX as u64;
        if small {
            let flip = if spec.descending { LOW } else { 0 };
            let room = Room::fill(n, parts, move |k| (load(k).order() ^ flip) << 32 | k as u64);
            let write = move |i, key: u64| write(i, key >> 32 ^ flip, (key & LOW) as usize);
            arrange(room, spec.first, parts, write);
        } else {
            let flip = if spec.descending { u64::MAX } else { 0 };
            let room = Room::fill(n, parts, move |k| (load(k).order() ^ flip, k));
            arrange(room, spec.first, parts, move |i, key: (u64, usize)| write(i, key.0 ^ flip, key.1));
        }
    };
    chunks(lines, if together { lines } else { grain(8 * n) }, |r| {
        let mut walk = Walk::new(&shape, [&sx, &sv, &si], r.start);
        for _ in r {
            line(walk.at);
            walk.step();
        }
    });
}

/// Hands out the first keys in order.
fn arrange<K: Ord + Copy + Send + Sync>(
    mut room: Room<K>,
    first: Option<usize>,
    parts: usize,
    write: impl Fn(usize, K) + Copy + Sync,
) {
    let all = room.keys().len();
    let count = first.unwrap_or(all);
    if count == 0 {
        return;
    }
    if count < all {
        room.keys().select_nth_unstable(count - 1);
        room.truncate(count);
    }
    let parts = if count >= LONG { parts } else { 1 };
    room.sort(parts);
    let keys = &*room.keys();
    chunks(count, count.div_ceil(parts), |places| {
        // in registers: what a closure refers to is loaded again after every store
        let (keys, write) = (keys, write);
        places.for_each(|i| write(i, keys[i]));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn back<T: Ordered + PartialOrd + std::fmt::Debug>(values: &[T]) {
        for &a in values {
            assert!(T::of_order(a.order()).is_none_or(|b| b == a), "{a:?}");
            for &b in values {
                assert_eq!(a < b, a.order() < b.order(), "{a:?} {b:?}");
            }
        }
    }

    #[test]
    fn an_order_and_back() {
        back(&[i64::MIN, -1, 0, 1, i64::MAX]);
        back(&[false, true]);
        let f = [f64::NEG_INFINITY, -1.5, -5e-324, -0.0, 0.0, 1e-300, 1.0, f64::INFINITY];
        back(&f);
        back(&f.map(|x| x as f32));
        assert!(f.iter().all(|x| (*x == 0.0) == f64::of_order(x.order()).is_none()));
        assert!(f32::of_order(f32::NAN.order()).is_none() && f64::of_order((-f64::NAN).order()).is_none());
        assert!(f32::NAN.order() > f32::INFINITY.order());
    }
}
