//! A host view's hold on memory (NOTE [Host views] in tensor/numpy.rs).

use super::storage::{Storage, StorageImpl};
use super::{LockSet, settle, take_error};
use crate::error::{Error, Result};
use std::marker::PhantomData;

/// Keeps a storage's memory where it is, unwritten by others, or to itself.
pub struct HostHold {
    storage: Storage,
    write: bool,
    // what is refused meanwhile is refused to this thread as well
    _thread: PhantomData<*const ()>,
}

/// Takes a CPU storage for the host: many may read it, one may write it. What is recorded for it has run then.
///
/// # Errors
/// If another hold is in the way, or what went wrong in steps recorded before.
pub fn hold(storage: &Storage, write: bool) -> Result<HostHold> {
    if !storage.try_borrow(write) {
        return Err(conflict());
    }
    let hold = HostHold { storage: storage.clone(), write, _thread: PhantomData };
    settle(storage);
    // a step that looked before the hold was there may still be at work
    drop(LockSet::lock([(&**storage, write)]));
    take_error()?;
    if write {
        storage.mark_written();
    }
    Ok(hold)
}

/// The error of a step that a held view refuses.
pub(super) fn conflict() -> Error {
    Error::Runtime(
        "a view of this tensor's memory (numpy()) is held: drop it before the memory is used in another way".into(),
    )
}

/// An error if one of these storages is held in a way that forbids `write`, or reading.
pub(super) fn check_free<'a>(uses: impl IntoIterator<Item = (&'a StorageImpl, bool)>) -> Result<()> {
    if uses.into_iter().all(|(s, write)| s.is_free(write)) { Ok(()) } else { Err(conflict()) }
}

impl HostHold {
    /// The storage's first byte.
    pub fn ptr(&self) -> *mut u8 {
        self.storage.host(false).ptr()
    }
}

impl Drop for HostHold {
    fn drop(&mut self) {
        self.storage.release_borrow(self.write);
    }
}
