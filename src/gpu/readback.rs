//! Reading back: the only places where the host waits for the device, and where the device's faults come out.

use super::adapter::Gpu;
use super::buffer::Buffer;
use super::recorder::Recorder;
use crate::error::{Error, Result, bail, ensure};
use futures::channel::oneshot;
use std::collections::BTreeMap;

/// Bytes of the status words.
pub(super) const STATUS_BYTES: u64 = 32;

/// Most bytes of idle readback buffers that are kept.
const KEEP_BYTES: u64 = 64 << 20;

/// What kernels reported through the status words since the last wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The command that failed, by the number its kernel was given; 0 where none did.
    pub command: u32,
    /// The value that the kernel refused (an index, say).
    pub value: i64,
    /// The remaining words, as the kernel set them.
    pub extra: [u32; 5],
}

impl Status {
    /// True where no kernel complained.
    pub fn is_ok(&self) -> bool {
        self.command == 0
    }

    fn from_bytes(bytes: &[u8]) -> Status {
        let w: [u32; 8] = bytemuck::pod_read_unaligned(bytes);
        let value = (u64::from(w[2]) << 32 | u64::from(w[1])) as i64;
        Status { command: w[0], value, extra: [w[3], w[4], w[5], w[6], w[7]] }
    }
}

/// Idle readback buffers by size class.
#[derive(Default)]
pub(super) struct Readbacks {
    free: BTreeMap<u64, Vec<wgpu::Buffer>>,
    bytes: u64,
}

impl Readbacks {
    pub fn take(&mut self, class: u64) -> Option<wgpu::Buffer> {
        let b = self.free.get_mut(&class)?.pop()?;
        self.bytes -= class;
        Some(b)
    }

    fn put(&mut self, buffer: wgpu::Buffer) {
        if self.bytes + buffer.size() <= KEEP_BYTES {
            self.bytes += buffer.size();
            self.free.entry(buffer.size()).or_default().push(buffer);
        }
    }
}

/// A read that was submitted.
struct Pending {
    buffer: wgpu::Buffer,
    index: Option<wgpu::SubmissionIndex>,
    mapped: oneshot::Receiver<Result<(), wgpu::BufferAsyncError>>,
    /// Where the wanted bytes lie in the mapped buffer.
    skip: usize,
    bytes: usize,
    /// Where the status words lie, if they were read.
    status: Option<usize>,
    total: u64,
}

impl Recorder {
    fn begin_read(&mut self, src: Option<(&Buffer, u64, u64)>) -> Result<Pending> {
        let (mut total, mut skip, mut bytes) = (0, 0, 0);
        if let Some((src, offset, n)) = src {
            ensure!(
                offset + n <= src.size(),
                Device,
                "read of {n} bytes at {offset} from a buffer of {} bytes",
                src.size()
            );
            skip = (offset % 4) as usize;
            bytes = n as usize;
            total = (skip as u64 + n).next_multiple_of(4);
        }
        let data = total;
        let status = self.status_used.then_some(data as usize);
        total = (total + if status.is_some() { STATUS_BYTES } else { 0 }).max(4);
        let buffer = self.readback_buffer(total)?;
        if let Some((src, offset, _)) = src {
            self.copy_raw(src.raw(), offset - skip as u64, &buffer, 0, data);
        }
        if status.is_some() {
            let words = self.status().clone();
            self.copy_raw(words.raw(), 0, &buffer, data, STATUS_BYTES);
            self.clear(&words, 0, STATUS_BYTES);
            self.status_used = false;
        }
        self.count.reads += 1;
        let index = self.submit_index();
        let (tell, mapped) = oneshot::channel();
        buffer.map_async(wgpu::MapMode::Read, 0..total, move |r| {
            let _ = tell.send(r); // nobody listens where a read was abandoned
        });
        Ok(Pending { buffer, index, mapped, skip, bytes, status, total })
    }
}

impl Gpu {
    fn finish_read(
        &self,
        p: Pending,
        mapped: Result<(), wgpu::BufferAsyncError>,
        out: impl FnOnce(&[u8]),
    ) -> Result<Status> {
        let mut status = Status::default();
        if let Err(e) = mapped {
            // the device's own words say more, where it left any
            let fault = self.lock().take_error();
            return Err(fault.unwrap_or_else(|| Error::Device(format!("{}: read: {e}", self.info.name))));
        }
        match p.buffer.get_mapped_range(0..p.total) {
            Ok(view) => {
                out(&view[p.skip..p.skip + p.bytes]);
                if let Some(at) = p.status {
                    status = Status::from_bytes(&view[at..at + STATUS_BYTES as usize]);
                }
            }
            Err(e) => bail!(Device, "{}: read: {e}", self.info.name),
        }
        p.buffer.unmap();
        let mut rec = self.lock();
        rec.readbacks.put(p.buffer);
        match rec.take_error() {
            Some(e) => Err(e),
            None => Ok(status),
        }
    }

    fn wait_read(&self, mut p: Pending, out: impl FnOnce(&[u8])) -> Result<Status> {
        if cfg!(target_arch = "wasm32") {
            bail!(Device, "nothing may block in a browser: use the _async form of this read");
        }
        let poll = self.device.poll(wgpu::PollType::Wait { submission_index: p.index.take(), timeout: None });
        if let Err(e) = poll {
            let fault = self.lock().take_error();
            return Err(fault.unwrap_or_else(|| Error::Device(format!("{}: {e}", self.info.name))));
        }
        // another thread's poll may be about to run the callback
        let mapped = pollster::block_on(&mut p.mapped);
        let Ok(mapped) = mapped else { bail!(Device, "{}: the device dropped a read", self.info.name) };
        self.finish_read(p, mapped, out)
    }

    async fn wait_read_async(&self, mut p: Pending, out: impl FnOnce(&[u8])) -> Result<Status> {
        #[cfg(not(target_arch = "wasm32"))]
        let mapped = {
            // natively somebody has to poll the device: each wake-up does
            use std::future::Future;
            std::future::poll_fn(|cx| {
                if let Err(e) = self.device.poll(wgpu::PollType::Poll) {
                    return std::task::Poll::Ready(Err(Error::Device(format!("{}: {e}", self.info.name))));
                }
                match std::pin::Pin::new(&mut p.mapped).poll(cx) {
                    std::task::Poll::Pending => {
                        cx.waker().wake_by_ref();
                        std::task::Poll::Pending
                    }
                    std::task::Poll::Ready(r) => std::task::Poll::Ready(Ok(r)),
                }
            })
            .await?
        };
        #[cfg(target_arch = "wasm32")]
        let mapped = (&mut p.mapped).await;
        let Ok(mapped) = mapped else { bail!(Device, "{}: the device dropped a read", self.info.name) };
        self.finish_read(p, mapped, out)
    }

    /// Submits what is recorded, waits for it, and gives `f` bytes of a buffer where they are mapped; None where that could not
    /// be. With the status words.
    pub fn read_with<R>(
        &self,
        src: &Buffer,
        offset: u64,
        bytes: u64,
        f: impl FnOnce(&[u8]) -> R,
    ) -> Result<(Option<R>, Status)> {
        let pending = self.lock().begin_read(Some((src, offset, bytes)))?;
        let mut out = None;
        let status = self.wait_read(pending, |bytes| out = Some(f(bytes)))?;
        Ok((out, status))
    }

    /// [`Gpu::read_with`] without blocking.
    pub async fn read_with_async<R>(
        &self,
        src: &Buffer,
        offset: u64,
        bytes: u64,
        f: impl FnOnce(&[u8]) -> R,
    ) -> Result<(Option<R>, Status)> {
        let pending = self.lock().begin_read(Some((src, offset, bytes)))?;
        let mut out = None;
        let status = self.wait_read_async(pending, |bytes| out = Some(f(bytes))).await?;
        Ok((out, status))
    }

    /// A copy of bytes of a buffer, by [`Gpu::read_with`].
    pub fn read(&self, src: &Buffer, offset: u64, bytes: u64) -> Result<(Vec<u8>, Status)> {
        let (out, status) = self.read_with(src, offset, bytes, <[u8]>::to_vec)?;
        Ok((out.unwrap_or_default(), status))
    }

    /// Submits what is recorded and waits until it is done.
    pub fn synchronize(&self) -> Result<Status> {
        let pending = self.lock().begin_read(None)?;
        self.wait_read(pending, |_| ())
    }

    /// `synchronize` without blocking.
    pub async fn synchronize_async(&self) -> Result<Status> {
        let pending = self.lock().begin_read(None)?;
        self.wait_read_async(pending, |_| ()).await
    }
}
