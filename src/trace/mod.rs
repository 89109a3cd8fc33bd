//! What happened when: spans of ops, kernels, compilations, transfers and waits, for [`crate::profiler`] and for
//! `WGTORCH_PROFILE`. Where nobody listens an op pays one relaxed load.

mod chrome;

pub use chrome::write as write_chrome;

use parking_lot::Mutex;
use std::borrow::Cow;
use std::cell::Cell;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

/// What an [`Event`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// An op was called: the host's time to check, record and, where it is small, run it.
    Op,
    /// A part of the program that is no op: a node of the backward pass, an optimizer's step, the user's own span.
    Function,
    /// A kernel ran, on the CPU or on a GPU.
    Kernel,
    /// A pipeline was compiled. Some drivers do so at a kernel's first dispatch instead.
    Compile,
    /// Bytes went between the host and a GPU.
    Transfer,
    /// The host waited for a device.
    Wait,
}

impl Kind {
    /// A word for it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Op => "op",
            Kind::Function => "function",
            Kind::Kernel => "kernel",
            Kind::Compile => "compile",
            Kind::Transfer => "transfer",
            Kind::Wait => "wait",
        }
    }
}

/// Where an [`Event`] took its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Track {
    /// A host thread, numbered from 1 as they come.
    Thread(u32),
    /// A GPU by its index.
    Gpu(usize),
}

/// What a kernel has to move and to compute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Bytes of its operands, each read or written once.
    pub bytes: u64,
    /// Arithmetic operations; 0 where they are not counted.
    pub flops: u64,
}

/// Something that took time.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Event {
    /// What it is.
    pub kind: Kind,
    /// The op's name in PyTorch, the node's, a kernel's steps, or what the user called it.
    pub name: Cow<'static, str>,
    /// The kernel by the name of its shader, where it ran on a GPU.
    pub label: Option<Arc<str>>,
    /// Where it took place.
    pub track: Track,
    /// The thread that asked for it.
    pub thread: u32,
    /// When it began, since the process first looked at the clock.
    pub start: Duration,
    /// How long it took.
    pub duration: Duration,
    /// What it had to do.
    pub work: Work,
}

const UNKNOWN: u8 = 0;
const OFF: u8 = 1;
const ON: u8 = 2;
static STATE: AtomicU8 = AtomicU8::new(UNKNOWN);
static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

/// One thread's listener, and what it has heard.
struct Listener {
    id: u32,
    thread: u32,
    events: Vec<Event>,
}

#[derive(Default)]
struct Sinks {
    file: Option<chrome::File>,
    listeners: Vec<Listener>,
    made: u32,
}

static SINKS: LazyLock<Mutex<Sinks>> = LazyLock::new(Mutex::default);

/// True where somebody listens.
#[inline]
pub fn on() -> bool {
    // a browser's clock is not std's
    !cfg!(target_arch = "wasm32") && STATE.load(Ordering::Relaxed) != OFF && settle()
}

/// Whether somebody listens, with the environment looked at first.
#[cold]
fn settle() -> bool {
    if STATE.load(Ordering::Relaxed) == UNKNOWN {
        let mut sinks = SINKS.lock();
        if STATE.load(Ordering::Relaxed) == UNKNOWN {
            if let Some(path) = std::env::var_os("WGTORCH_PROFILE").filter(|p| !p.is_empty()) {
                match chrome::File::create(path.as_ref()) {
                    Ok(f) => sinks.file = Some(f),
                    Err(e) => eprintln!("WGTORCH_PROFILE: cannot write {}: {e}", path.display()),
                }
            }
            update(&sinks);
        }
    }
    STATE.load(Ordering::Relaxed) == ON
}

fn update(sinks: &Sinks) {
    let on = sinks.file.is_some() || !sinks.listeners.is_empty();
    STATE.store(if on { ON } else { OFF }, Ordering::Relaxed);
}

/// Time since the first look at the clock.
pub fn now() -> Duration {
    EPOCH.elapsed()
}

/// This thread's number.
pub fn thread() -> u32 {
    static THREADS: AtomicU32 = AtomicU32::new(1);
    thread_local! {
        static MINE: Cell<u32> = const { Cell::new(0) };
    }
    MINE.with(|n| {
        if n.get() == 0 {
            n.set(THREADS.fetch_add(1, Ordering::Relaxed));
        }
        n.get()
    })
}

/// Tells everybody who listens.
pub fn emit(event: Event) {
    let mut sinks = SINKS.lock();
    if let Some(file) = &mut sinks.file {
        file.push(&event);
    }
    for l in sinks.listeners.iter_mut().filter(|l| l.thread == event.thread) {
        l.events.push(event.clone());
    }
}

/// Brings the trace file up to date: at each wait, since a process may end at any time.
pub fn flush_file() {
    let mut sinks = SINKS.lock();
    if let Some(Err(e)) = sinks.file.as_mut().map(chrome::File::flush) {
        eprintln!("WGTORCH_PROFILE: {e}; no more is written");
        sinks.file = None;
        update(&sinks);
    }
}

/// Hears of everything that this thread does from now on.
pub fn listen() -> u32 {
    on();
    let mut sinks = SINKS.lock();
    sinks.made += 1;
    let id = sinks.made;
    sinks.listeners.push(Listener { id, thread: thread(), events: Vec::new() });
    update(&sinks);
    id
}

/// What a listener has heard; it hears no more.
pub fn heard(id: u32) -> Vec<Event> {
    let mut sinks = SINKS.lock();
    let at = sinks.listeners.iter().position(|l| l.id == id);
    let events = at.map(|at| sinks.listeners.swap_remove(at).events).unwrap_or_default();
    update(&sinks);
    events
}

/// A span of this thread's time, which ends when it is dropped.
#[derive(Debug)]
pub struct Span {
    kind: Kind,
    name: Cow<'static, str>,
    start: Duration,
    work: Work,
}

/// Begins a span, if somebody listens.
#[inline]
pub fn span(kind: Kind, name: &'static str) -> Option<Span> {
    span_with(kind, || (name.into(), Work::default()))
}

/// [`span`] with a name and with work that are found out only where somebody listens.
#[inline]
pub fn span_with(kind: Kind, what: impl FnOnce() -> (Cow<'static, str>, Work)) -> Option<Span> {
    on().then(|| {
        let (name, work) = what();
        Span { kind, name, start: now(), work }
    })
}

impl Drop for Span {
    fn drop(&mut self) {
        let thread = thread();
        emit(Event {
            kind: self.kind,
            name: std::mem::take(&mut self.name),
            label: None,
            track: Track::Thread(thread),
            thread,
            start: self.start,
            duration: now().saturating_sub(self.start),
            work: self.work,
        });
    }
}
