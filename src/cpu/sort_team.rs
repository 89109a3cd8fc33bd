//! One long run of keys sorted by all threads: parts by the standard library's sort, then merged two by two, where each thread
//! merges its share of the result. Digit by digit (radix) took twice as long as the library's sort on processors that wait for
//! every store's address before they load.

use crate::cpu::memory::HostBuf;
use crate::cpu::simd::{SendPtr, chunks};
use std::marker::PhantomData;
use std::ops::Range;

/// Keys, all different, and room for as many again: a merge goes from one block to the other.
pub struct Room<K> {
    blocks: [HostBuf; 2],
    n: usize,
    keys: PhantomData<K>,
}

impl<K: Ord + Copy + Send + Sync> Room<K> {
    /// The key that `key` gives for each position, by so many threads.
    pub fn fill(n: usize, parts: usize, key: impl Fn(usize) -> K + Copy + Sync) -> Room<K> {
        // what is not merged needs one block
        let second = if parts > 1 { n } else { 0 };
        let blocks = [n, second].map(|n| HostBuf::alloc(n * size_of::<K>()));
        let to = SendPtr(blocks[0].ptr().cast::<K>());
        chunks(n, n.div_ceil(parts), |positions| {
            // in registers: what a closure refers to is loaded again after every store
            let (to, key) = (to, key);
            for k in positions {
                // SAFETY: inside the block; each position belongs to one part.
                unsafe { to.get().add(k).write(key(k)) };
            }
        });
        Room { blocks, n, keys: PhantomData }
    }

    /// The keys.
    pub fn keys(&mut self) -> &mut [K] {
        // SAFETY: `fill` wrote all of them, and each round of merging writes all of the other block before it becomes the first.
        unsafe { std::slice::from_raw_parts_mut(self.blocks[0].ptr().cast::<K>(), self.n) }
    }

    /// Forgets all keys but the first `n`.
    pub fn truncate(&mut self, n: usize) {
        self.n = self.n.min(n);
    }

    /// Sorts them, by no more threads than filled it.
    pub fn sort(&mut self, parts: usize) {
        let n = self.n;
        if parts == 1 || n == 0 {
            return self.keys().sort_unstable();
        }
        let share = n.div_ceil(parts);
        let keys = SendPtr(self.keys().as_mut_ptr());
        chunks(n, share, |part| {
            // SAFETY: each part belongs to one thread.
            unsafe { std::slice::from_raw_parts_mut(keys.get().add(part.start), part.len()) }.sort_unstable();
        });
        let mut width = share;
        while width < n {
            let to = SendPtr(self.blocks[1].ptr().cast::<K>());
            let from = &*self.keys();
            chunks(n, share, |part| {
                let mut at = part.start;
                while at < part.end {
                    let low = at / (2 * width) * (2 * width);
                    let (middle, high) = ((low + width).min(n), (low + 2 * width).min(n));
                    let end = high.min(part.end);
                    // SAFETY: places `at..end` of the other block are this thread's.
                    unsafe { merge(&from[low..middle], &from[middle..high], at - low..end - low, to.get().add(at)) };
                    at = end;
                }
            });
            self.blocks.swap(0, 1);
            width *= 2;
        }
    }
}

/// How many of the first `count` of both runs together come from `a`.
fn split<K: Ord>(a: &[K], b: &[K], count: usize) -> usize {
    let (mut low, mut high) = (count.saturating_sub(b.len()), count.min(a.len()));
    while low < high {
        let middle = low + (high - low) / 2;
        if a[middle] < b[count - middle - 1] { low = middle + 1 } else { high = middle }
    }
    low
}

/// Writes these places of two merged runs to `out`.
///
/// # Safety
/// `out` has room for them, which overlaps no run.
unsafe fn merge<K: Ord + Copy>(a: &[K], b: &[K], places: Range<usize>, out: *mut K) {
    let (i, last) = (split(a, b, places.start), split(a, b, places.end));
    let (mut a, mut b) = (&a[i..last], &b[places.start - i..places.end - last]);
    let mut to = out;
    let mut put = |from: *const K, count: usize| {
        // SAFETY: what is left of both runs is as much as there is room for.
        unsafe {
            std::ptr::copy_nonoverlapping(from, to, count);
            to = to.add(count);
        }
    };
    // as many steps as no run can end in
    loop {
        let steps = a.len().min(b.len());
        if steps == 0 {
            break;
        }
        let (mut i, mut j) = (0, 0);
        for _ in 0..steps {
            // SAFETY: both are at most the number of steps before, which is less than `steps`.
            let (x, y) = unsafe { (a.get_unchecked(i), b.get_unchecked(j)) };
            let first = x < y;
            put(if first { x } else { y }, 1);
            i += usize::from(first);
            j += usize::from(!first);
        }
        (a, b) = (&a[i..], &b[j..]);
    }
    put(a.as_ptr(), a.len());
    put(b.as_ptr(), b.len());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_one_thread_sorts() {
        for n in [0, 1, 2, 7, 100, 2048, 5001] {
            for parts in [1, 2, 3, 4, 7, 16] {
                for spread in [1u64, 3, u64::MAX] {
                    let random = |k: usize| ((k as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) % spread, k);
                    let mut room = Room::fill(n, parts, random);
                    let mut want = room.keys().to_vec();
                    want.sort();
                    room.sort(parts);
                    assert!(room.keys() == want, "{n} {parts} {spread}");
                }
            }
        }
    }

    #[test]
    fn a_part_of_two_merged_runs() {
        let (a, b) = ([1, 4, 5, 9, 12], [0, 2, 3, 10]);
        let mut all: Vec<i32> = a.into_iter().chain(b).collect();
        all.sort();
        for start in 0..=9 {
            for end in start..=9 {
                let mut out = vec![-1; end - start];
                // SAFETY: it has as many.
                unsafe { merge(&a, &b, start..end, out.as_mut_ptr()) };
                assert_eq!(out, all[start..end]);
            }
        }
    }
}
