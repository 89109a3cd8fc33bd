//! The ordered list of recorded commands: one a thread. Ops know shape and dtype at once; only the launch waits.
//!
//! `NOTE [Order]`: a storage's recorded commands all belong to one stream at a time (its claim). Another thread that wants the
//! storage first flushes that stream, so program order across threads is the order in which they touch a storage.

mod command;
mod complex;
mod exec;
mod fuse;
mod hold;
mod lean;
mod locks;
mod pairs;
mod small;
mod storage;
mod widen;

pub use command::{Arg, Cmd, CpuView, Epilogue, Fed, Kernel, KernelCmd, Launch, PointCmd, Src};
pub use exec::{device_counters, read, read_async, read_pieces, synchronize, transfers, upload};
pub use hold::{HostHold, hold};
pub use locks::LockSet;
pub use pairs::OnComplex;
pub use small::{Now, now};
pub use storage::{Buf, Storage, StorageImpl, fill_bytes};

use crate::device::Device;
use crate::error::{Error, Result};
use parking_lot::{Mutex, RwLock};
use std::cell::{Cell, OnceCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A stream is flushed when it holds this many commands: a fixed number, so that runs repeat bit for bit.
const MAX_COMMANDS: usize = 128;
/// A CPU step on so few elements runs at once: recording it would cost more.
const SMALL: usize = 1024;

/// Counts of what a thread launched, for tests and the profiler.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Elementwise kernels launched by flushes, on either device.
    pub fused: u64,
    /// Other kernels launched.
    pub kernels: u64,
    /// Steps run at once on the CPU.
    pub immediate: u64,
}

/// What this thread has launched since it began.
pub fn counters() -> Counters {
    COUNTERS.get()
}

fn count(change: impl FnOnce(&mut Counters)) {
    let mut counters = COUNTERS.get();
    change(&mut counters);
    COUNTERS.set(counters);
}

struct Stream {
    id: u32,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    cmds: Vec<Cmd>,
    error: Option<Error>,
}

/// Every stream by id (from 1); one whose thread ended keeps its commands and goes to the next thread that needs a stream.
static STREAMS: RwLock<Vec<Arc<Stream>>> = RwLock::new(Vec::new());
static ORPHANS: Mutex<Vec<Arc<Stream>>> = Mutex::new(Vec::new());
static EAGER: AtomicBool = AtomicBool::new(false);
static EAGER_READ: std::sync::Once = std::sync::Once::new();

struct Mine(Arc<Stream>);

impl Drop for Mine {
    fn drop(&mut self) {
        ORPHANS.lock().push(self.0.clone());
    }
}

thread_local! {
    // a thread's own, so that tests side by side can count
    static COUNTERS: Cell<Counters> = const { Cell::new(Counters { fused: 0, kernels: 0, immediate: 0 }) };
    static MINE: OnceCell<Mine> = const { OnceCell::new() };
}

fn with_stream<R>(f: impl FnOnce(&Arc<Stream>) -> R) -> R {
    MINE.with(|cell| f(&cell.get_or_init(|| Mine(ORPHANS.lock().pop().unwrap_or_else(new_stream))).0))
}

fn new_stream() -> Arc<Stream> {
    let mut all = STREAMS.write();
    let stream = Arc::new(Stream { id: all.len() as u32 + 1, inner: Mutex::default() });
    all.push(stream.clone());
    stream
}

fn eager() -> bool {
    EAGER_READ.call_once(|| {
        if std::env::var("WGTORCH_EAGER").is_ok_and(|v| !matches!(v.as_str(), "" | "0")) {
            EAGER.store(true, Ordering::Relaxed);
        }
    });
    EAGER.load(Ordering::Relaxed)
}

/// Flushes after each op from now on, or no more (`WGTORCH_EAGER=1` at the start): for tests and for hunting bugs.
pub fn set_eager(on: bool) {
    eager();
    EAGER.store(on, Ordering::Relaxed);
}

impl Stream {
    fn flush(&self) {
        let mut inner = self.inner.lock();
        if inner.cmds.is_empty() {
            return;
        }
        let cmds = std::mem::take(&mut inner.cmds);
        let (cmds, result) = fuse::run(self.id, cmds);
        inner.cmds = cmds;
        if let Err(e) = result {
            inner.error.get_or_insert(e);
        }
    }
}

fn flush_id(id: u32) {
    let stream = STREAMS.read().get(id as usize - 1).cloned();
    if let Some(s) = stream {
        s.flush();
    }
}

/// This thread's stream.
fn stream_id() -> u32 {
    with_stream(|s| s.id)
}

/// Launches what this thread has recorded.
pub fn flush() {
    with_stream(|s| s.flush());
}

/// Runs the recorded commands that touch a storage, whoever recorded them.
pub fn settle(storage: &StorageImpl) {
    while let Some(owner) = storage.owner() {
        flush_id(owner);
        std::thread::yield_now();
    }
}

/// The first error of this thread's launches since the last call.
pub fn take_error() -> Result<()> {
    with_stream(|s| s.inner.lock().error.take()).map_or(Ok(()), Err)
}

/// Leaves an error to another thread's stream; false where it is this thread's.
fn tell(stream: u32, error: &Error) -> bool {
    if stream_id() == stream {
        return false;
    }
    let Some(other) = STREAMS.read().get(stream as usize - 1).cloned() else { return false };
    other.inner.lock().error.get_or_insert_with(|| error.clone());
    true
}

/// Claims every storage of a command for this thread's stream, running other streams' commands where they come first.
fn claim(cmd: &Cmd, stream: &Stream) {
    loop {
        let mut taken: smallvec::SmallVec<[*const StorageImpl; 8]> = smallvec::SmallVec::new();
        let mut blocked = None;
        cmd.for_each_storage(|s| {
            if blocked.is_none() {
                match s.try_claim(stream.id) {
                    Ok(()) => taken.push(Arc::as_ptr(s)),
                    Err(other) => blocked = Some(other),
                }
            }
        });
        let Some(other) = blocked else { return };
        // all or nothing, else two threads could wait for each other
        for s in taken {
            // SAFETY: the command keeps it alive.
            unsafe { (*s).release_claim() };
        }
        flush_id(other);
        std::thread::yield_now();
    }
}

/// A command that runs at once, with its claims for as long: a host view that is taken meanwhile waits for it.
struct Claimed(Cmd);

impl Claimed {
    fn new(cmd: Cmd) -> Result<Claimed> {
        with_stream(|stream| claim(&cmd, stream));
        let claimed = Claimed(cmd);
        hold::check_free(claimed.0.uses())?;
        Ok(claimed)
    }
}

impl Drop for Claimed {
    fn drop(&mut self) {
        self.0.for_each_storage(|s| s.release_claim());
    }
}

fn push(cmd: Cmd) -> Result<()> {
    let full = with_stream(|stream| {
        claim(&cmd, stream);
        if let Err(e) = hold::check_free(cmd.uses()) {
            cmd.for_each_storage(|s| s.release_claim());
            return Err(e);
        }
        let mut inner = stream.inner.lock();
        inner.cmds.push(cmd);
        Ok(inner.cmds.len() >= MAX_COMMANDS)
    })?;
    if full || eager() {
        flush();
    }
    Ok(())
}

/// Records an elementwise step, or runs it at once where it is small and waits for nothing.
///
/// # Errors
/// If a host view of an operand is held.
pub fn point(cmd: PointCmd) -> Result<()> {
    if pairs::concerns(&cmd) {
        let mut steps = pairs::point(cmd);
        if steps.len() == 1
            && let Some((steps, _values)) = complex::split(&steps[0])
        {
            return steps.into_iter().try_for_each(|c| step(c, SMALL / 2));
        }
        return steps.drain(..).try_for_each(|c| step(c, SMALL / 2));
    }
    step(cmd, SMALL)
}

fn step(cmd: PointCmd, small: usize) -> Result<()> {
    cmd.out.storage.mark_written();
    let settled = |s: &Src| match s {
        Src::Tensor(a) => a.storage.is_settled(),
        Src::Scalar(_) => true,
    };
    if cmd.out.storage.device == Device::Cpu
        && cmd.out.layout.numel() <= small
        && cmd.out.storage.is_settled()
        && cmd.srcs.iter().all(settled)
    {
        count(|c| c.immediate += 1);
        return small::run(&cmd);
    }
    push(Cmd::Point(cmd))
}

/// Records a kernel, or runs it at once where it is small or has to report on its data.
pub fn kernel(cmd: KernelCmd) -> Result<()> {
    let cmd = pairs::kernel(cmd)?;
    for out in &cmd.outs {
        out.storage.mark_written();
    }
    let on_cpu = cmd.outs.iter().all(|o| o.storage.device == Device::Cpu);
    if on_cpu {
        let work: usize = cmd.ins.iter().chain(&cmd.outs).map(|a| a.layout.numel()).sum();
        if cmd.kernel.checks_data() || work <= 2 * SMALL {
            cmd.ins.iter().chain(cmd.outs.iter().filter(|_| cmd.kernel.updates())).for_each(|a| settle(&a.storage));
            let claimed = Claimed::new(Cmd::Kernel(cmd))?;
            count(|c| c.immediate += 1);
            let Cmd::Kernel(cmd) = &claimed.0 else { unreachable!("it was made of a kernel") };
            return exec::cpu_kernel(cmd);
        }
    }
    push(Cmd::Kernel(cmd))
}
