//! How long the device takes for a few dispatches: what the tuner compares variants by.

use super::super::timing::{STAMP, buffer, stamps};
use super::Recorder;
use crate::error::{Result, bail};
use crate::trace;
use std::time::{Duration, Instant};

impl Recorder {
    /// How long the device takes for what `f` records, which is to be fewer dispatches than make a submission: by its own clock where it
    /// has timestamps, else by the host's around a wait. Whatever was recorded before is done first.
    pub(in crate::gpu) fn duration(&mut self, f: impl FnOnce(&mut Recorder) -> Result<()>) -> Result<Duration> {
        self.idle();
        // who listens has a pass with timestamps for each dispatch already
        let set = (self.device.features().contains(wgpu::Features::TIMESTAMP_QUERY) && !trace::on()).then(|| {
            let ty = wgpu::QueryType::Timestamp;
            self.device.create_query_set(&wgpu::QuerySetDescriptor { label: Some("wgtorch stopwatch"), ty, count: 2 })
        });
        if let Some(set) = &set {
            let writes = wgpu::ComputePassTimestampWrites {
                query_set: set,
                beginning_of_pass_write_index: Some(0),
                end_of_pass_write_index: Some(1),
            };
            let desc = wgpu::ComputePassDescriptor { label: None, timestamp_writes: Some(writes) };
            self.pass = Some(self.encoder().begin_compute_pass(&desc).forget_lifetime());
        }
        let started = Instant::now();
        f(self)?;
        let Some(set) = set else {
            self.idle();
            return Ok(started.elapsed());
        };
        let usage = wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC;
        let resolved = buffer(&self.device, 2 * STAMP, usage);
        let back = buffer(&self.device, 2 * STAMP, wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ);
        let encoder = self.encoder();
        encoder.resolve_query_set(&set, 0..2, &resolved, 0);
        encoder.copy_buffer_to_buffer(&resolved, 0, &back, 0, Some(2 * STAMP));
        self.idle();
        back.map_async(wgpu::MapMode::Read, .., |_| ());
        self.wait(None);
        match back.get_mapped_range(..) {
            Ok(view) => {
                let at = stamps(&view);
                let ticks = at[1].saturating_sub(at[0]) as f64;
                Ok(Duration::from_nanos((ticks * f64::from(self.queue.get_timestamp_period())) as u64))
            }
            Err(e) => bail!(Device, "{}: timestamps: {e}", self.name),
        }
    }

    /// The device and its driver, as the tuner's files name them.
    pub(in crate::gpu) fn identity(&self) -> String {
        let i = self.device.adapter_info();
        format!("{} ({:?}; {})", i.name, i.backend, format!("{} {}", i.driver, i.driver_info).trim())
    }
}
