//! Functions that run before and after a module's `forward`.

use crate::tensor::Tensor;
use parking_lot::Mutex;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Hooks in the process: while there is none, `call` costs nothing.
static COUNT: AtomicUsize = AtomicUsize::new(0);
static NEXT: AtomicU64 = AtomicU64::new(0);

type Before = Arc<dyn Fn(&Tensor) -> Option<Tensor> + Send + Sync>;
type After = Arc<dyn Fn(&Tensor, &Tensor) -> Option<Tensor> + Send + Sync>;

#[derive(Default)]
struct Lists {
    before: Vec<(u64, Before)>,
    after: Vec<(u64, After)>,
}

impl Drop for Lists {
    fn drop(&mut self) {
        COUNT.fetch_sub(self.before.len() + self.after.len(), Ordering::Relaxed);
    }
}

/// A module's hooks: layers have a field of this type, and so can a module of your own.
#[derive(Clone, Default)]
pub struct Hooks(Arc<Mutex<Lists>>);

/// Takes its hook away when asked to; dropping it leaves the hook.
#[derive(Debug)]
pub struct HookHandle {
    hooks: Hooks,
    id: u64,
}

pub(super) fn any() -> bool {
    COUNT.load(Ordering::Relaxed) > 0
}

/// Runs before `forward`.
pub type PreHook = Box<dyn Fn(&Tensor) -> Option<Tensor> + Send + Sync>;
/// Runs after `forward`, with its input and output.
pub type Hook = Box<dyn Fn(&Tensor, &Tensor) -> Option<Tensor> + Send + Sync>;

impl Hooks {
    pub(super) fn add_before(&self, f: PreHook) -> HookHandle {
        self.add(|lists, id| lists.before.push((id, Arc::from(f))))
    }

    pub(super) fn add_after(&self, f: Hook) -> HookHandle {
        self.add(|lists, id| lists.after.push((id, Arc::from(f))))
    }

    fn add(&self, push: impl FnOnce(&mut Lists, u64)) -> HookHandle {
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        push(&mut self.0.lock(), id);
        COUNT.fetch_add(1, Ordering::Relaxed);
        HookHandle { hooks: self.clone(), id }
    }

    // the lists are copied out: a hook may add or remove hooks
    pub(super) fn before(&self, input: &Tensor) -> Tensor {
        let hooks: Vec<Before> = self.0.lock().before.iter().map(|h| h.1.clone()).collect();
        hooks.iter().fold(input.clone(), |x, f| f(&x).unwrap_or(x))
    }

    pub(super) fn after(&self, input: &Tensor, output: Tensor) -> Tensor {
        let hooks: Vec<After> = self.0.lock().after.iter().map(|h| h.1.clone()).collect();
        hooks.iter().fold(output, |y, f| f(input, &y).unwrap_or(y))
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lists = self.0.lock();
        write!(f, "Hooks({} before, {} after)", lists.before.len(), lists.after.len())
    }
}

impl HookHandle {
    /// Takes the hook away (`handle.remove()`).
    pub fn remove(self) {
        let mut lists = self.hooks.0.lock();
        let n = lists.before.len() + lists.after.len();
        lists.before.retain(|h| h.0 != self.id);
        lists.after.retain(|h| h.0 != self.id);
        COUNT.fetch_sub(n - lists.before.len() - lists.after.len(), Ordering::Relaxed);
    }
}
