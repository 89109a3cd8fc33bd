//! What a program spends its time on (`torch.profiler`): [`profile`] listens to a closure and gives a table by op and a Chrome
//! trace; `WGTORCH_PROFILE=trace.json` writes the trace of a whole process.
//!
//! ```
//! use wgtorch::{prelude::*, profiler};
//!
//! let x = randn([64, 64], ());
//! let (_, profile) = profiler::profile(|| x.matmul(&x).relu().sum().item::<f32>());
//! let averages = profile.key_averages();
//! println!("{}", averages.table(profiler::SortBy::SelfCpuTime, 10));
//! assert!(averages.get("mm").is_some_and(|row| row.kernels == 1 && row.flops == 2 * 64 * 64 * 64));
//! ```
//!
//! Ops are recorded first and run later, several in one launch: an op's own time is what recording it took (and running it,
//! where it is small), and a launch's time is in the row of its kernel, which has the names of its steps (`mul+add+gelu`) or
//! the name of its one op. A GPU's kernels are timed by the GPU, each in a pass of its own, where the device has timestamps;
//! where it has none launches are counted, without a duration.

use crate::error::{Error, Result};
use crate::gpu;
use crate::trace;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

pub use crate::trace::{Event, Kind, Track, Work};

/// Everything that a closure did on this thread (`torch.profiler.profile`).
#[derive(Clone, Debug)]
pub struct Profile {
    events: Vec<Event>,
}

/// Runs a closure and listens to what its thread does meanwhile: ops, the backward pass, kernels on the CPU and on GPUs,
/// compilations, transfers and waits. Waits for every open GPU before and after, so that a kernel is counted where it was
/// asked for. In browsers nothing is heard, since nothing may wait there.
///
/// PyTorch: `with torch.profiler.profile() as p: …`.
pub fn profile<R>(f: impl FnOnce() -> R) -> (R, Profile) {
    wait();
    let listener = trace::listen();
    let result = f();
    // what went wrong comes out at the thread's next wait, as it would without us
    wait();
    (result, Profile { events: trace::heard(listener) })
}

/// Launches what is recorded, and waits until it is done.
fn wait() {
    if !cfg!(target_arch = "wasm32") {
        crate::stream::flush();
        gpu::opened().for_each(|g| g.lock().idle());
    }
}

/// A span of the user's own (`torch.profiler.record_function`), from here until it is dropped.
///
/// ```
/// use wgtorch::{prelude::*, profiler};
///
/// let (_, profile) = profiler::profile(|| {
///     let _span = profiler::record_function("my step");
///     ones(3, ()) + 1
/// });
/// assert_eq!(profile.key_averages().get("my step").unwrap().calls, 1);
/// ```
#[must_use = "the span ends where this is dropped"]
pub fn record_function(name: impl Into<String>) -> RecordFunction {
    RecordFunction { _span: trace::span_with(Kind::Function, || (name.into().into(), Work::default())) }
}

/// A span that ends when it is dropped, by [`record_function`].
#[derive(Debug)]
pub struct RecordFunction {
    _span: Option<trace::Span>,
}

impl Profile {
    /// What happened, in the order in which it ended.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// Sums by name (`prof.key_averages()`).
    pub fn key_averages(&self) -> Averages {
        Averages { rows: averages(&self.events) }
    }

    /// Writes a trace for `chrome://tracing` or Perfetto (`prof.export_chrome_trace(path)`).
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn export_chrome_trace(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        trace::write_chrome(path, &self.events).map_err(|e| Error::io(path, e))
    }
}

/// The sums of everything that has one name.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Average {
    /// The op, node, fused steps or span.
    pub name: String,
    /// How often it was called on the host; for what was only launched, how often that was.
    pub calls: u64,
    /// The host's time in it and not in what it called.
    pub self_cpu_time: Duration,
    /// The host's time in it.
    pub cpu_time: Duration,
    /// Launches.
    pub kernels: u64,
    /// Their time, on the CPU or on a GPU.
    pub kernel_time: Duration,
    /// Bytes that they or a transfer moved, each operand counted once.
    pub bytes: u64,
    /// Arithmetic operations of the launches, where they are counted: elementwise steps, products and convolutions.
    pub flops: u64,
}

/// What a table is sorted by, the largest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SortBy {
    /// `self_cpu_time_total`.
    SelfCpuTime,
    /// `cpu_time_total`.
    CpuTime,
    /// `self_device_time_total`: the time of kernels, on the CPU or on a GPU.
    KernelTime,
    /// `count`.
    Calls,
}

/// A profile's sums (`EventList` of `key_averages()`).
#[derive(Clone, Debug)]
pub struct Averages {
    rows: Vec<Average>,
}

impl Averages {
    /// A row for each name, in the order in which they first ended.
    pub fn rows(&self) -> &[Average] {
        &self.rows
    }

    /// The row of one name.
    pub fn get(&self, name: &str) -> Option<&Average> {
        self.rows.iter().find(|r| r.name == name)
    }

    /// A text table of at most `row_limit` rows (`.table(sort_by=, row_limit=)`).
    pub fn table(&self, sort_by: SortBy, row_limit: usize) -> String {
        let mut rows: Vec<&Average> = self.rows.iter().collect();
        match sort_by {
            SortBy::SelfCpuTime => rows.sort_by_key(|r| std::cmp::Reverse(r.self_cpu_time)),
            SortBy::CpuTime => rows.sort_by_key(|r| std::cmp::Reverse(r.cpu_time)),
            SortBy::KernelTime => rows.sort_by_key(|r| std::cmp::Reverse(r.kernel_time)),
            SortBy::Calls => rows.sort_by_key(|r| std::cmp::Reverse(r.calls)),
        }
        let cpu: Duration = self.rows.iter().map(|r| r.self_cpu_time).sum();
        let kernel: Duration = self.rows.iter().map(|r| r.kernel_time).sum();
        let head = [
            "Name",
            "Self CPU %",
            "Self CPU",
            "CPU total",
            "CPU time avg",
            "# of Calls",
            "Kernel %",
            "Kernel time",
            "# of Kernels",
            "GB/s",
            "GFLOP/s",
        ];
        let mut lines = vec![head.map(String::from)];
        for r in rows.iter().take(row_limit) {
            let per_second = |n: u64| match (n, r.kernel_time.as_secs_f64()) {
                (0, _) => "--".to_string(),
                (_, 0.0) => "--".to_string(),
                (n, s) => format!("{:.2}", n as f64 / s / 1e9),
            };
            lines.push([
                shortened(&r.name),
                percent(r.self_cpu_time, cpu),
                time(r.self_cpu_time),
                time(r.cpu_time),
                time(r.cpu_time / r.calls.max(1) as u32),
                r.calls.to_string(),
                percent(r.kernel_time, kernel),
                time(r.kernel_time),
                r.kernels.to_string(),
                per_second(r.bytes),
                per_second(r.flops),
            ]);
        }
        let width = |c: usize| lines.iter().map(|l| l[c].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..head.len()).map(width).collect();
        let rule = widths.iter().map(|w| "-".repeat(*w)).collect::<Vec<_>>().join("  ");
        let mut out = format!("{rule}\n");
        for (i, line) in lines.iter().enumerate() {
            let cells: Vec<String> = line.iter().zip(&widths).map(|(s, w)| format!("{s:>w$}")).collect();
            out.push_str(&cells.join("  "));
            out.push('\n');
            if i == 0 {
                out.push_str(&rule);
                out.push('\n');
            }
        }
        // writing to a String cannot fail
        let _ = write!(out, "{rule}\nSelf CPU time total: {}\nKernel time total: {}\n", time(cpu), time(kernel));
        out
    }
}

/// Names of many fused steps are cut in the table.
fn shortened(name: &str) -> String {
    const MOST: usize = 55;
    match name.char_indices().nth(MOST) {
        None => name.to_string(),
        Some(_) => name.chars().take(MOST - 3).chain("...".chars()).collect(),
    }
}

/// A time as PyTorch writes it.
fn time(t: Duration) -> String {
    match t.as_nanos() as f64 / 1e3 {
        us if us >= 1e6 => format!("{:.3}s", us / 1e6),
        us if us >= 1e3 => format!("{:.3}ms", us / 1e3),
        us => format!("{us:.3}us"),
    }
}

fn percent(part: Duration, whole: Duration) -> String {
    match whole.is_zero() {
        true => "0.00%".into(),
        false => format!("{:.2}%", 100.0 * part.as_secs_f64() / whole.as_secs_f64()),
    }
}

fn averages(events: &[Event]) -> Vec<Average> {
    let mut rows: Vec<Average> = Vec::new();
    let mut at: HashMap<&str, usize> = HashMap::new();
    // names whose calls are counted by what the host called
    let mut called: Vec<bool> = Vec::new();
    for (event, own) in events.iter().zip(self_times(events)) {
        let i = *at.entry(event.name.as_ref()).or_insert_with(|| {
            rows.push(Average { name: event.name.to_string(), ..Average::default() });
            called.push(false);
            rows.len() - 1
        });
        let row = &mut rows[i];
        row.bytes += event.work.bytes;
        row.flops += event.work.flops;
        if event.kind == Kind::Kernel {
            row.kernels += 1;
            row.kernel_time += event.duration;
        } else {
            row.calls += 1;
            called[i] = true;
        }
        if let Track::Thread(_) = event.track {
            row.cpu_time += event.duration;
            row.self_cpu_time += own;
        }
    }
    for (row, called) in rows.iter_mut().zip(called) {
        if !called {
            row.calls = row.kernels;
        }
    }
    rows
}

/// The time of each event without that of the events inside it, on its track.
fn self_times(events: &[Event]) -> Vec<Duration> {
    let mut own: Vec<Duration> = events.iter().map(|e| e.duration).collect();
    let mut order: Vec<usize> = (0..events.len()).collect();
    // an outer span begins no later and, of those that begin together, ends last and was told of last
    order.sort_by_key(|&i| (events[i].track, events[i].start, std::cmp::Reverse((events[i].duration, i))));
    let mut open: Vec<usize> = Vec::new();
    for &i in &order {
        let e = &events[i];
        while open.last().is_some_and(|&o| {
            let outer = &events[o];
            outer.track != e.track || outer.start + outer.duration < e.start + e.duration
        }) {
            open.pop();
        }
        if let Some(&o) = open.last() {
            own[o] = own[o].saturating_sub(e.duration);
        }
        open.push(i);
    }
    own
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(name: &'static str, kind: Kind, start: u64, duration: u64) -> Event {
        Event {
            kind,
            name: name.into(),
            label: None,
            track: Track::Thread(1),
            thread: 1,
            start: Duration::from_micros(start),
            duration: Duration::from_micros(duration),
            work: Work { bytes: 8, flops: 2 },
        }
    }

    #[test]
    fn times_are_summed_by_name_without_what_lies_inside() {
        let events = [
            event("inner", Kind::Op, 10, 5),
            event("inner", Kind::Kernel, 16, 2),
            event("outer", Kind::Function, 10, 10),
            event("inner", Kind::Op, 30, 1),
        ];
        let rows = averages(&events);
        assert_eq!(rows.len(), 2);
        let us = Duration::from_micros;
        let (inner, outer) = (&rows[0], &rows[1]);
        assert_eq!((inner.calls, inner.kernels, inner.kernel_time), (2, 1, us(2)));
        assert_eq!((inner.cpu_time, inner.self_cpu_time, inner.bytes, inner.flops), (us(8), us(8), 24, 6));
        assert_eq!((outer.calls, outer.cpu_time, outer.self_cpu_time), (1, us(10), us(3)));
        let table = Averages { rows }.table(SortBy::SelfCpuTime, 1);
        assert!(table.contains("inner") && !table.contains("outer"), "{table}");
        assert!(table.ends_with("Self CPU time total: 11.000us\nKernel time total: 2.000us\n"), "{table}");
    }
}
