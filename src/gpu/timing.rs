//! Times of dispatches on the device, by timestamps at both ends of a pass, while somebody listens to [`crate::trace`].

use crate::trace::{self, Event, Kind, Track, Work};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

/// Bytes of a timestamp.
pub(super) const STAMP: u64 = wgpu::QUERY_SIZE as u64;

/// A dispatch between two timestamps.
struct Mark {
    name: Cow<'static, str>,
    label: Arc<str>,
    thread: u32,
    work: Work,
}

/// The device's clock as the host sees it.
#[derive(Clone, Copy)]
struct Clock {
    /// Nanoseconds of a tick.
    period: f64,
    /// The host's nanoseconds minus the device's.
    ahead: f64,
}

impl Clock {
    fn host(self, ticks: u64) -> Duration {
        Duration::from_nanos((ticks as f64 * self.period + self.ahead).max(0.0) as u64)
    }
}

/// Timestamps of the dispatches since the last submission.
pub(super) struct Timer {
    set: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    clock: Clock,
    gpu: usize,
    marks: Vec<Mark>,
    most: usize,
}

/// Timestamps of a submission on their way to the host.
pub(super) struct Sent {
    buffer: wgpu::Buffer,
    marks: Vec<Mark>,
}

impl Timer {
    /// None where the device has no timestamps. Waits for the device once, to set its clock beside the host's.
    pub fn new(device: &wgpu::Device, queue: &wgpu::Queue, gpu: usize, most: usize) -> Option<Timer> {
        if !device.features().contains(wgpu::Features::TIMESTAMP_QUERY) {
            return None;
        }
        let set = device.create_query_set(&wgpu::QuerySetDescriptor {
            label: Some("wgtorch times"),
            ty: wgpu::QueryType::Timestamp,
            count: 2 * most as u32,
        });
        let usage = wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC;
        let resolved = buffer(device, 2 * most as u64 * STAMP, usage);
        let clock = Clock { period: f64::from(queue.get_timestamp_period()), ahead: 0.0 };
        let mut timer = Timer { set, resolved, clock, gpu, marks: Vec::new(), most };
        timer.set_clock(device, queue);
        Some(timer)
    }

    /// An empty pass is timed: it ended between its submission and the end of the wait for it.
    fn set_clock(&mut self, device: &wgpu::Device, queue: &wgpu::Queue) {
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: None });
        let writes = self.mark("clock".into(), "clock".into(), Work::default());
        let desc = wgpu::ComputePassDescriptor { label: None, timestamp_writes: Some(writes) };
        drop(encoder.begin_compute_pass(&desc));
        let Some(sent) = self.resolve(device, &mut encoder) else { return };
        let before = trace::now();
        queue.submit([encoder.finish()]);
        let done = device.poll(wgpu::PollType::wait_indefinitely());
        let after = trace::now();
        sent.buffer.map_async(wgpu::MapMode::Read, .., |_| ());
        if done.is_err() || device.poll(wgpu::PollType::wait_indefinitely()).is_err() {
            return; // the device is lost, as the next real submission will say
        }
        if let Ok(view) = sent.buffer.get_mapped_range(..) {
            let ticks = stamps(&view)[1];
            let host = (before + after).as_nanos() as f64 / 2.0;
            self.clock.ahead = host - ticks as f64 * self.clock.period;
        }
    }

    /// What a pass of one dispatch has to write.
    pub fn mark(
        &mut self,
        name: Cow<'static, str>,
        label: Arc<str>,
        work: Work,
    ) -> wgpu::ComputePassTimestampWrites<'_> {
        debug_assert!(self.marks.len() < self.most, "a submission has no more dispatches");
        let at = 2 * self.marks.len() as u32;
        self.marks.push(Mark { name, label, thread: trace::thread(), work });
        wgpu::ComputePassTimestampWrites {
            query_set: &self.set,
            beginning_of_pass_write_index: Some(at),
            end_of_pass_write_index: Some(at + 1),
        }
    }

    /// Ends a submission's recording.
    pub fn resolve(&mut self, device: &wgpu::Device, encoder: &mut wgpu::CommandEncoder) -> Option<Sent> {
        if self.marks.is_empty() {
            return None;
        }
        let n = 2 * self.marks.len() as u32;
        let bytes = u64::from(n) * STAMP;
        let back = buffer(device, bytes, wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ);
        encoder.resolve_query_set(&self.set, 0..n, &self.resolved, 0);
        encoder.copy_buffer_to_buffer(&self.resolved, 0, &back, 0, Some(bytes));
        Some(Sent { buffer: back, marks: std::mem::take(&mut self.marks) })
    }

    /// Tells of a submission's dispatches as soon as the device has done them.
    pub fn report(&self, sent: Sent) {
        let (clock, gpu, marks, buffer) = (self.clock, self.gpu, sent.marks, sent.buffer.clone());
        sent.buffer.map_async(wgpu::MapMode::Read, .., move |r| {
            let Some(view) = r.ok().and_then(|()| buffer.get_mapped_range(..).ok()) else { return };
            for (m, at) in marks.into_iter().zip(stamps(&view).chunks_exact(2)) {
                let start = clock.host(at[0]);
                trace::emit(Event {
                    kind: Kind::Kernel,
                    name: m.name,
                    label: Some(m.label),
                    track: Track::Gpu(gpu),
                    thread: m.thread,
                    start,
                    duration: clock.host(at[1]).saturating_sub(start),
                    work: m.work,
                });
            }
        });
    }
}

/// Tells of a dispatch on a device without timestamps: when it was recorded, and no duration.
pub(super) fn untimed(name: Cow<'static, str>, label: Arc<str>, work: Work, gpu: usize) {
    trace::emit(Event {
        kind: Kind::Kernel,
        name,
        label: Some(label),
        track: Track::Gpu(gpu),
        thread: trace::thread(),
        start: trace::now(),
        duration: Duration::ZERO,
        work,
    });
}

pub(super) fn buffer(device: &wgpu::Device, size: u64, usage: wgpu::BufferUsages) -> wgpu::Buffer {
    let label = Some("wgtorch times");
    device.create_buffer(&wgpu::BufferDescriptor { label, size, usage, mapped_at_creation: false })
}

pub(super) fn stamps(bytes: &[u8]) -> Vec<u64> {
    bytes.chunks_exact(STAMP as usize).map(bytemuck::pod_read_unaligned).collect()
}
