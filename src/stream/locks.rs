//! Holds the host memory of several storages at once, each one once, in an order that cannot deadlock.

use super::storage::StorageImpl;
use parking_lot::lock_api::RawRwLock as _;
use smallvec::SmallVec;

/// Shared or exclusive holds on storages' memory; released when dropped.
pub struct LockSet<'a>(SmallVec<[(&'a StorageImpl, bool); 6]>);

impl<'a> LockSet<'a> {
    /// Takes all of them: `(storage, write)`. One that is named twice is taken once, for writing if either wants that.
    pub fn lock(wanted: impl IntoIterator<Item = (&'a StorageImpl, bool)>) -> LockSet<'a> {
        let mut set: SmallVec<[(&StorageImpl, bool); 6]> = SmallVec::new();
        for (s, write) in wanted {
            match set.iter_mut().find(|(t, _)| t.id == s.id) {
                Some((_, w)) => *w |= write,
                None => set.push((s, write)),
            }
        }
        match &mut set[..] {
            [] | [_] => {}
            [a, b] if a.0.id < b.0.id => {}
            [a, b] => std::mem::swap(a, b),
            more => more.sort_unstable_by_key(|(s, _)| s.id),
        }
        for (s, write) in &set {
            // SAFETY: unlocked again by Drop, in the same mode.
            unsafe {
                if *write {
                    s.lock.raw().lock_exclusive();
                } else {
                    s.lock.raw().lock_shared();
                }
            }
        }
        LockSet(set)
    }
}

impl Drop for LockSet<'_> {
    fn drop(&mut self) {
        for (s, write) in &self.0 {
            // SAFETY: `lock` took it in this mode.
            unsafe {
                if *write {
                    s.lock.raw().unlock_exclusive();
                } else {
                    s.lock.raw().unlock_shared();
                }
            }
        }
    }
}

/// Shared holds on the memory of a few storages, taken only where nobody makes them wait: then no order is needed.
pub struct ReadSet<'a, const N: usize>([Option<&'a StorageImpl>; N]);

impl<'a, const N: usize> ReadSet<'a, N> {
    /// Takes all of them, or none.
    #[inline]
    pub fn try_lock(wanted: [Option<&'a StorageImpl>; N]) -> Option<ReadSet<'a, N>> {
        let mut set = ReadSet([None; N]);
        for (held, s) in set.0.iter_mut().zip(wanted) {
            if let Some(s) = s {
                // SAFETY: what is taken is noted, and Drop gives back what is noted.
                if !unsafe { s.lock.raw() }.try_lock_shared() {
                    return None;
                }
                *held = Some(s);
            }
        }
        Some(set)
    }
}

impl<const N: usize> Drop for ReadSet<'_, N> {
    #[inline]
    fn drop(&mut self) {
        for s in self.0.iter().flatten() {
            // SAFETY: `try_lock` took it.
            unsafe { s.lock.raw().unlock_shared() };
        }
    }
}
