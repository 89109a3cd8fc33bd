//! Chunks of work for rayon's threads and for the one that asks, which does not wait for the others to wake up: a thread that
//! is not rayon's would else hand over all of the work and sleep until it is done, tens of microseconds for every kernel.

use parking_lot::Mutex;
use rayon::prelude::*;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Set in `helpers` when nobody may begin to help any more.
const CLOSED: usize = 1 << (usize::BITS - 1);
/// Looks at the helpers' count before the processor is offered to others.
const SPINS: usize = 1 << 10;

struct Job {
    /// Runs a chunk; valid until the job is closed and no helper is left.
    run: *const (dyn Fn(usize) + Sync),
    count: usize,
    /// The next chunk that nobody has taken.
    next: AtomicUsize,
    /// How many threads help now.
    helpers: AtomicUsize,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

// SAFETY: the closure is Sync, and is called by registered helpers only, for which the maker of the job waits.
unsafe impl Send for Job {}
// SAFETY: as above.
unsafe impl Sync for Job {}

impl Job {
    fn work(&self) {
        loop {
            let i = self.next.fetch_add(1, Ordering::Relaxed);
            if i >= self.count {
                return;
            }
            // SAFETY: whoever works has the job open, or is its maker.
            unsafe { (*self.run)(i) };
        }
    }

    /// Helps, unless the job is done.
    fn help(&self) {
        if self.helpers.fetch_add(1, Ordering::Acquire) & CLOSED == 0
            && let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.work()))
        {
            // nobody begins another chunk
            self.next.store(self.count, Ordering::Relaxed);
            self.panic.lock().get_or_insert(panic);
        }
        self.helpers.fetch_sub(1, Ordering::Release);
    }
}

/// Closes a job and waits for its helpers, also where its maker panics.
struct Close<'a>(&'a Job);

impl Drop for Close<'_> {
    fn drop(&mut self) {
        let job = self.0;
        // where the maker panics there are chunks left
        job.next.store(job.count, Ordering::Relaxed);
        let mut left = job.helpers.fetch_or(CLOSED, Ordering::AcqRel);
        let mut spins = 0;
        while left & !CLOSED != 0 {
            if spins < SPINS {
                spins += 1;
                std::hint::spin_loop();
            } else {
                std::thread::yield_now();
            }
            left = job.helpers.load(Ordering::Acquire);
        }
    }
}

/// Calls `run` for every number below `count`, on several threads; which thread takes which is not fixed.
pub fn share(count: usize, run: &(dyn Fn(usize) + Sync)) {
    if rayon::current_thread_index().is_some() {
        return (0..count).into_par_iter().for_each(run);
    }
    let helpers = rayon::current_num_threads().min(count).saturating_sub(1);
    if helpers == 0 {
        return (0..count).for_each(run);
    }
    // SAFETY: only the lifetime changes; `Close` waits for everybody who may call it.
    let run: *const (dyn Fn(usize) + Sync) =
        unsafe { std::mem::transmute::<&(dyn Fn(usize) + Sync), &'static (dyn Fn(usize) + Sync)>(run) };
    let next = AtomicUsize::new(0);
    let job = Arc::new(Job { run, count, next, helpers: AtomicUsize::new(0), panic: Mutex::new(None) });
    for _ in 0..helpers {
        let job = job.clone();
        rayon::spawn(move || job.help());
    }
    let close = Close(&job);
    job.work();
    drop(close);
    let panic = job.panic.lock().take();
    if let Some(panic) = panic {
        resume_unwind(panic);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU32;

    #[test]
    fn every_chunk_runs_once() {
        for count in [0, 1, 2, 7, 1000] {
            let seen: Vec<AtomicU32> = (0..count).map(|_| AtomicU32::new(0)).collect();
            for round in 1..=50 {
                share(count, &|i| {
                    seen[i].fetch_add(1, Ordering::Relaxed);
                });
                assert!(seen.iter().all(|n| n.load(Ordering::Relaxed) == round));
            }
        }
    }

    #[test]
    fn jobs_may_share_out_work_of_their_own_and_come_from_many_threads() {
        std::thread::scope(|s| {
            for _ in 0..4 {
                s.spawn(|| {
                    for _ in 0..50 {
                        let total = AtomicUsize::new(0);
                        share(8, &|i| {
                            share(i, &|j| {
                                total.fetch_add(j + 1, Ordering::Relaxed);
                            })
                        });
                        assert_eq!(total.into_inner(), (0..8).map(|i| i * (i + 1) / 2).sum::<usize>());
                    }
                });
            }
        });
    }

    #[test]
    fn a_panic_comes_back_to_the_one_who_asked() {
        for at in [0, 99] {
            let run = |i: usize| assert_ne!(i, at, "chunk {at}");
            let caught = catch_unwind(AssertUnwindSafe(|| share(100, &run)));
            let text = caught.expect_err("the panic of a chunk").downcast::<String>().expect("its text");
            assert!(text.contains(&format!("chunk {at}")), "{text}");
        }
    }
}
