//! The recorder of a GPU: one command encoder that all threads write in program order, submitted at fixed counts.

mod staging;
mod stopwatch;

use super::adapter::is_software;
use super::buffer::{Buffer, Pool, size_class};
use super::kernels::matmul_coop::Cooperative;
use super::params::Params;
use super::pipeline::{Access, KernelId, KernelSource, Pipelines};
use super::readback::{Readbacks, STATUS_BYTES, STATUS_SLOTS, slot_of};
use super::timing::Timer;
use super::variant::Variant;
use crate::error::{Error, Result, ensure};
use crate::trace::{self, Work};
use futures::FutureExt;
use parking_lot::Mutex;
use smallvec::SmallVec;
pub(super) use staging::PIECE;
use staging::{Chunk, KEEP_STAGED};
use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

/// Dispatches to a submission. A fixed count: where work is cut depends on the recorded program alone.
const SUBMIT_EVERY: u32 = 32;
/// Submissions that may be unfinished before recording waits for the oldest.
const IN_FLIGHT: usize = 8;
/// Free pool buffers are looked through each time this many submissions were made.
const TRIM_EVERY: u64 = 64;

/// What the recorder has done so far: tests and profiles assert on these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Pipelines compiled.
    pub pipelines: u64,
    /// Kernels in the cache.
    pub kernels: u64,
    /// Dispatches recorded.
    pub dispatches: u64,
    /// Command buffers submitted.
    pub submissions: u64,
    /// Bind groups made.
    pub bind_groups: u64,
    /// Uploads recorded.
    pub uploads: u64,
    /// Reads made.
    pub reads: u64,
    /// Buffers in use.
    pub live_buffers: u64,
    /// Buffers that the pool holds, in use or free.
    pub pool_buffers: u64,
    /// Their bytes.
    pub pool_bytes: u64,
    /// Buffers asked of the driver so far.
    pub buffers_made: u64,
}

/// Where the device's handlers leave the first fault.
#[derive(Default)]
struct Faults {
    any: AtomicBool,
    /// The kernel slot being recorded: what a fault is blamed on.
    kernel: AtomicU32,
    first: Mutex<Option<(u32, String)>>,
}

impl Faults {
    fn set(&self, message: String) {
        let mut first = self.first.lock();
        if first.is_none() {
            *first = Some((self.kernel.load(Ordering::Relaxed), message));
        }
        self.any.store(true, Ordering::Release);
    }
}

/// Records commands for one GPU and submits them.
pub struct Recorder {
    device: wgpu::Device,
    queue: wgpu::Queue,
    limits: wgpu::Limits,
    subgroup_size: u32,
    wide_loads: bool,
    software: bool,
    variant: Variant,
    pub(super) cooperative: Option<Cooperative>,
    pub(super) unpacks: bool,
    name: String,
    // the pass borrows the encoder (its lifetime is forgotten): declared first, so that it drops first
    pass: Option<wgpu::ComputePass<'static>>,
    encoder: Option<wgpu::CommandEncoder>,
    pool: Pool,
    pipelines: Pipelines,
    params: Params,
    pub(super) readbacks: Readbacks,
    chunks: Vec<Chunk>,
    /// Mapped chunks that nobody uses, the oldest first.
    ready: VecDeque<wgpu::Buffer>,
    chunk_home: Sender<wgpu::Buffer>,
    chunks_back: Receiver<wgpu::Buffer>,
    in_flight: VecDeque<wgpu::SubmissionIndex>,
    status: Buffer,
    /// The slots whose status words a command may have set since they were last read, a bit each.
    pub(super) status_used: u64,
    faults: Arc<Faults>,
    recorded: u32,
    staged: u64,
    bound_pipeline: Option<KernelId>,
    /// Made when somebody first listens; None inside where the device has no timestamps.
    timer: Option<Option<Timer>>,
    /// What the next dispatches are for, and what the first of them has to do.
    doing: (Cow<'static, str>, Work),
    index: usize,
    pub(super) count: Counters,
    /// See [`Recorder::dry`].
    #[cfg(test)]
    written: Option<Vec<KernelSource>>,
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Recorder({:?}, {} recorded)", self.name, self.recorded)
    }
}

impl Recorder {
    pub(super) fn new(
        device: wgpu::Device,
        queue: wgpu::Queue,
        limits: wgpu::Limits,
        name: String,
        index: usize,
    ) -> Result<Recorder> {
        let faults = Arc::new(Faults::default());
        let f = faults.clone();
        device.on_uncaptured_error(Arc::new(move |e: wgpu::Error| f.set(e.to_string())));
        let f = faults.clone();
        device.set_device_lost_callback(move |reason, message| f.set(format!("device lost ({reason:?}): {message}")));
        super::tuner::from_env()?;
        let (chunk_home, chunks_back) = channel();
        let mut pool = Pool::new();
        let status = pool.adopt(create(&device, "wgtorch status", STATUS_BYTES * u64::from(STATUS_SLOTS))?);
        let info = device.adapter_info();
        let fixed = info.subgroup_min_size == info.subgroup_max_size;
        let subgroup_size =
            if fixed && device.features().contains(wgpu::Features::SUBGROUP) { info.subgroup_min_size } else { 0 };
        let software = is_software(info.device_type);
        let wide_loads = software && device.features().contains(wgpu::Features::SHADER_INT64);
        Ok(Recorder {
            subgroup_size,
            variant: Variant::from_env()?,
            cooperative: None,
            unpacks: false,
            wide_loads,
            software,
            params: Params::new(&device, &limits),
            pipelines: Pipelines::new(),
            readbacks: Readbacks::default(),
            pass: None,
            encoder: None,
            chunks: Vec::new(),
            ready: VecDeque::new(),
            chunk_home,
            chunks_back,
            in_flight: VecDeque::new(),
            status,
            status_used: 0,
            faults,
            recorded: 0,
            staged: 0,
            bound_pipeline: None,
            timer: None,
            doing: ("".into(), Work::default()),
            index,
            count: Counters::default(),
            #[cfg(test)]
            written: None,
            device,
            queue,
            limits,
            name,
            pool,
        })
    }

    /// The limits of the device.
    pub fn limits(&self) -> &wgpu::Limits {
        &self.limits
    }

    /// The number of invocations in a subgroup where shaders may use subgroups and all have that one size, else 0.
    pub fn subgroup_size(&self) -> u32 {
        self.subgroup_size
    }

    /// Which products and convolutions were asked for by `WGTORCH_KERNELS`.
    pub(super) fn variant(&self) -> Variant {
        self.variant
    }

    /// True where products and convolutions are to be those of software adapters, whose subgroups are eight lanes: NOTE [Two cores].
    pub(super) fn waves(&self) -> bool {
        self.subgroup_size == 8 && !self.variant.is_tile()
    }

    /// The device's cooperative matrices, where it was opened with them.
    pub(super) fn cooperative(&self) -> Option<&Cooperative> {
        self.cooperative.as_ref()
    }

    /// True where shaders may convert float16 by `unpack2x16float`, for which llvmpipe wants float16 arithmetic.
    pub(super) fn unpacks(&self) -> bool {
        self.unpacks
    }

    /// True where shaders may compute in float16.
    pub(super) fn has_f16(&self) -> bool {
        self.device.features().contains(wgpu::Features::SHADER_F16)
    }

    /// True where kernels should load long words: a software adapter that puts loads together word by word.
    pub fn wide_loads(&self) -> bool {
        self.wide_loads
    }

    /// True on a software adapter: it executes what a branch jumps over, with all lanes masked.
    pub fn software(&self) -> bool {
        self.software
    }

    /// What was done so far.
    pub fn counters(&self) -> Counters {
        Counters {
            pipelines: self.pipelines.made,
            kernels: self.pipelines.len() as u64,
            bind_groups: self.pipelines.groups_made,
            // the status buffer is ours
            live_buffers: self.pool.buffers - self.pool.free_buffers - 1,
            pool_buffers: self.pool.buffers,
            pool_bytes: self.pool.bytes,
            buffers_made: self.pool.made,
            ..self.count
        }
    }

    /// The first fault that the driver or wgpu reported since the last call, with the kernel that was being recorded.
    pub fn take_error(&mut self) -> Option<Error> {
        if !self.faults.any.swap(false, Ordering::Acquire) {
            return None;
        }
        let (kernel, message) = self.faults.first.lock().take()?;
        let label = self.pipelines.label(kernel);
        let label = label.as_deref().unwrap_or("no kernel");
        Some(Error::Device(format!("{}: {message} (recorded last: {label})", self.name)))
    }

    /// The status words, which a kernel sets through atomics to report what only the device can see: for each slot four u32.
    /// The first names the command (0: no fault, claimed by compare-exchange so that the first wins), the next two hold the
    /// value, low then high. The next read or synchronize for the command's slot returns its words and sets them to zero.
    pub fn status(&mut self, command: u32) -> Buffer {
        self.status_used |= 1 << slot_of(command);
        self.status.clone()
    }

    /// A kernel by its key, compiled by `make`'s source where it is new.
    pub fn kernel(&mut self, key: &str, make: impl FnOnce() -> Result<KernelSource>) -> Result<KernelId> {
        #[cfg(test)]
        if let Some(written) = &mut self.written {
            written.push(make()?);
            return Ok(KernelId::NONE);
        }
        if let Some(id) = self.pipelines.find(key) {
            return Ok(id);
        }
        let source = make()?;
        #[cfg(test)]
        super::testing::check_wgsl(&source);
        self.pipelines.make(&self.device, &self.limits, key, source)
    }

    /// Runs `f` with kernels written but neither compiled nor launched, as if subgroups had this size (0: none,
    /// and no long words), and gives what
    /// was written: so that tests see the kernels of adapters that are not there.
    #[cfg(test)]
    pub fn dry(&mut self, subgroup_size: u32, f: impl FnOnce(&mut Recorder)) -> Vec<KernelSource> {
        let real = std::mem::replace(&mut self.subgroup_size, subgroup_size);
        let wide = std::mem::replace(&mut self.wide_loads, subgroup_size > 0);
        self.written = Some(Vec::new());
        f(self);
        self.subgroup_size = real;
        self.wide_loads = wide;
        self.written.take().expect("set above")
    }

    /// Records a kernel over so many workgroups. They spread over x and y where one dimension cannot hold them: a kernel
    /// takes `wg.x + wg.y * num_workgroups.x` for its number, and may meet numbers past the end.
    pub fn dispatch(&mut self, k: KernelId, buffers: &[&Buffer], params: &[u32], groups: u32) -> Result<()> {
        let max = self.limits.max_compute_workgroups_per_dimension;
        let y = groups.div_ceil(max).max(1);
        self.dispatch3(k, buffers, params, [groups.div_ceil(y), y, 1])
    }

    /// Records a kernel over a grid of workgroups.
    pub fn dispatch3(&mut self, k: KernelId, buffers: &[&Buffer], params: &[u32], groups: [u32; 3]) -> Result<()> {
        #[cfg(test)]
        if let Some(source) = self.written.as_ref().and_then(|w| w.last()) {
            assert_eq!(buffers.len(), source.bindings.len(), "{}", source.label);
            assert!(params.len() * 4 <= source.param_bytes as usize, "{}", source.label);
            return Ok(());
        }
        let kernel = self.pipelines.get(k)?;
        let (layout, label) = (kernel.layout, &kernel.label);
        ensure!(
            buffers.len() == kernel.bindings.len() && params.len() * 4 <= kernel.param_bytes as usize,
            Device,
            "kernel {label} takes {} buffers and {} bytes of parameters, it was given {} and {}",
            kernel.bindings.len(),
            kernel.param_bytes,
            buffers.len(),
            params.len() * 4
        );
        for (i, b) in buffers.iter().enumerate() {
            ensure!(
                b.size() <= self.limits.max_storage_buffer_binding_size,
                Device,
                "kernel {label}: a tensor of {} bytes is larger than what this device can bind at once ({} bytes)",
                b.size(),
                self.limits.max_storage_buffer_binding_size
            );
            let writes = kernel.bindings[i] == Access::ReadWrite;
            for (j, c) in buffers[..i].iter().enumerate() {
                ensure!(
                    c.id() != b.id() || !writes && kernel.bindings[j] == Access::Read,
                    Device,
                    "kernel {label} binds one buffer twice ({j} and {i}) and writes it"
                );
            }
        }
        let max = self.limits.max_compute_workgroups_per_dimension;
        ensure!(
            groups.iter().all(|&g| g <= max),
            Device,
            "kernel {label}: {groups:?} workgroups, a dimension holds {max}"
        );
        if groups.contains(&0) {
            return Ok(());
        }
        let class = self.pipelines.class(layout);
        if !self.params.fits(class) {
            self.submit();
        }
        self.faults.kernel.store(k.index, Ordering::Relaxed);
        let timed = trace::on() && self.open_timed_pass(k)?;
        if !timed {
            self.open_pass();
        }
        let ids: SmallVec<[(u64, &wgpu::Buffer); 8]> = buffers.iter().map(|b| (b.id(), b.raw())).collect();
        let pass = self.pass.as_mut().expect("opened above");
        if self.bound_pipeline != Some(k) {
            pass.set_pipeline(&self.pipelines.get(k)?.pipeline);
            self.bound_pipeline = Some(k);
        }
        let group = self.pipelines.group(&self.device, layout, self.params.buffer(), &ids);
        if class > 0 {
            pass.set_bind_group(0, group, &[self.params.push(params, class)]);
        } else {
            pass.set_bind_group(0, group, &[]);
        }
        pass.dispatch_workgroups(groups[0], groups[1], groups[2]);
        if timed {
            self.pass = None;
            self.bound_pipeline = None;
        }
        self.count.dispatches += 1;
        self.recorded += 1;
        if self.recorded >= SUBMIT_EVERY {
            self.submit();
        }
        Ok(())
    }

    /// A buffer of at least so many bytes, from the pool where it has one; its contents are undefined.
    pub fn alloc(&mut self, bytes: u64) -> Result<Buffer> {
        self.pool.collect(self.count.submissions);
        // whole quads, since kernels load the last one whole; of elements of 64 bits, too
        let binding = self.limits.max_storage_buffer_binding_size & !31;
        let mut class = size_class(bytes);
        for limit in [binding, self.limits.max_buffer_size & !31] {
            if bytes <= limit && class > limit {
                class = limit;
            }
        }
        ensure!(
            class <= self.limits.max_buffer_size,
            Device,
            "a tensor of {bytes} bytes does not fit in a buffer of {} (at most {} bytes)",
            self.name,
            self.limits.max_buffer_size
        );
        if let Some(b) = self.pool.take(class) {
            return Ok(b);
        }
        let made = create(&self.device, "wgtorch tensor", class);
        let made = match made {
            Err(Error::OutOfMemory { .. }) => {
                // what is free by class may be enough once the driver has it back
                self.finish_all()?;
                self.drain();
                create(&self.device, "wgtorch tensor", class)
            }
            made => made,
        };
        match made {
            Ok(b) => Ok(self.pool.adopt(b)),
            Err(Error::OutOfMemory { op, bytes, .. }) => {
                Err(Error::OutOfMemory { op, device: self.name.clone(), bytes })
            }
            Err(e) => Err(e),
        }
    }

    /// Gives every free buffer back to the driver.
    pub fn drain(&mut self) {
        self.pool.collect(self.count.submissions);
        let dead = self.pool.trim(self.count.submissions, true);
        self.pipelines.forget(&dead);
    }

    /// Records a copy between two buffers; offsets and length are multiples of 4.
    pub fn copy(&mut self, src: &Buffer, src_off: u64, dst: &Buffer, dst_off: u64, bytes: u64) {
        self.copy_raw(src.raw(), src_off, dst.raw(), dst_off, bytes);
    }

    pub(super) fn copy_raw(&mut self, src: &wgpu::Buffer, s: u64, dst: &wgpu::Buffer, d: u64, bytes: u64) {
        if bytes > 0 {
            self.encoder().copy_buffer_to_buffer(src, s, dst, d, Some(bytes));
        }
    }

    /// Records filling a part of a buffer with zero bytes; offset and length are multiples of 4.
    pub fn clear(&mut self, dst: &Buffer, offset: u64, bytes: u64) {
        if bytes > 0 {
            self.encoder().clear_buffer(dst.raw(), offset, Some(bytes));
        }
    }

    /// The encoder, outside a pass.
    fn encoder(&mut self) -> &mut wgpu::CommandEncoder {
        self.pass = None;
        self.bound_pipeline = None;
        let device = &self.device;
        self.encoder
            .get_or_insert_with(|| device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: None }))
    }

    fn open_pass(&mut self) {
        if self.pass.is_none() {
            let desc = wgpu::ComputePassDescriptor { label: None, timestamp_writes: None };
            self.pass = Some(self.encoder().begin_compute_pass(&desc).forget_lifetime());
        }
    }

    /// Says what the next dispatches are for, where somebody listens.
    pub fn doing(&mut self, what: impl FnOnce() -> (Cow<'static, str>, Work)) {
        if trace::on() {
            self.doing = what();
        }
    }

    /// A pass of its own for one dispatch, with timestamps at both ends; false where the device has none.
    fn open_timed_pass(&mut self, k: KernelId) -> Result<bool> {
        let label = self.pipelines.get(k)?.label.clone();
        let most = SUBMIT_EVERY as usize;
        let timer = match self.timer.take() {
            Some(t) => t,
            None => Timer::new(&self.device, &self.queue, self.index, most),
        };
        let Some(mut timer) = timer else {
            self.timer = Some(None);
            super::timing::untimed(self.doing.0.clone(), label, std::mem::take(&mut self.doing.1), self.index);
            return Ok(false);
        };
        let writes = timer.mark(self.doing.0.clone(), label, std::mem::take(&mut self.doing.1));
        let desc = wgpu::ComputePassDescriptor { label: None, timestamp_writes: Some(writes) };
        self.pass = Some(self.encoder().begin_compute_pass(&desc).forget_lifetime());
        self.timer = Some(Some(timer));
        Ok(true)
    }

    /// Hands everything recorded to the device.
    pub fn submit(&mut self) {
        self.submit_index();
    }

    pub(super) fn submit_index(&mut self) -> Option<wgpu::SubmissionIndex> {
        self.pass = None;
        self.bound_pipeline = None;
        let mut encoder = self.encoder.take()?;
        let device = &self.device;
        let timed = self.timer.as_mut().and_then(Option::as_mut);
        let times = timed.and_then(|t| Some((t.resolve(device, &mut encoder)?, &*t)));
        let chunks = std::mem::take(&mut self.chunks);
        for c in &chunks {
            c.buffer.unmap();
        }
        self.params.flush(&self.queue);
        let index = self.queue.submit([encoder.finish()]);
        if let Some((sent, timer)) = times {
            timer.report(sent);
        }
        for c in chunks.into_iter().filter(|c| c.buffer.size() <= KEEP_STAGED) {
            let (home, buffer) = (self.chunk_home.clone(), c.buffer.clone());
            c.buffer.map_async(wgpu::MapMode::Write, .., move |r| {
                if r.is_ok() {
                    let _ = home.send(buffer); // the recorder may be gone
                }
            });
        }
        self.recorded = 0;
        self.staged = 0;
        self.count.submissions += 1;
        self.in_flight.push_back(index.clone());
        if self.in_flight.len() > IN_FLIGHT
            && let Some(oldest) = self.in_flight.pop_front()
        {
            self.wait(Some(oldest));
        }
        self.pool.collect(self.count.submissions);
        if self.count.submissions.is_multiple_of(TRIM_EVERY) {
            let dead = self.pool.trim(self.count.submissions, false);
            self.pipelines.forget(&dead);
        }
        Some(index)
    }

    /// Waits for a submission; in browsers, where nothing may block, it returns at once.
    fn wait(&self, submission_index: Option<wgpu::SubmissionIndex>) {
        if let Err(e) = self.device.poll(wgpu::PollType::Wait { submission_index, timeout: None }) {
            self.faults.set(e.to_string());
        }
    }

    /// Submits, and waits until the device is idle; faults stay for the next read.
    pub fn idle(&mut self) {
        self.submit();
        self.in_flight.clear();
        self.wait(None);
    }

    /// [`Recorder::idle`], and what went wrong so far.
    fn finish_all(&mut self) -> Result<()> {
        self.idle();
        match self.take_error() {
            Some(e) => Err(e),
            None => Ok(()),
        }
    }

    /// A buffer that the host can map to read.
    pub(super) fn readback_buffer(&mut self, bytes: u64) -> Result<wgpu::Buffer> {
        let class = size_class(bytes);
        if let Some(b) = self.readbacks.take(class) {
            return Ok(b);
        }
        let desc = wgpu::BufferDescriptor {
            label: Some("wgtorch readback"),
            size: class,
            usage: wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ,
            mapped_at_creation: false,
        };
        create_with(&self.device, &desc)
    }
}

fn create(device: &wgpu::Device, label: &'static str, bytes: u64) -> Result<wgpu::Buffer> {
    let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
    create_with(device, &wgpu::BufferDescriptor { label: Some(label), size: bytes, usage, mapped_at_creation: false })
}

/// Makes a buffer, with the driver's refusal as an error instead of a call of the handler.
fn create_with(device: &wgpu::Device, desc: &wgpu::BufferDescriptor<'_>) -> Result<wgpu::Buffer> {
    let scope = device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
    let buffer = device.create_buffer(desc);
    match scope.pop().now_or_never().flatten() {
        None => Ok(buffer),
        Some(_) => Err(Error::OutOfMemory {
            op: desc.label.unwrap_or("alloc").into(),
            device: String::new(),
            bytes: desc.size,
        }),
    }
}
