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
