//! Reading back: the only places where the host waits for the device, and where the device's faults come out.

use super::adapter::Gpu;
use super::buffer::Buffer;
use super::recorder::{PIECE, Recorder};
use crate::error::{Error, Result, bail, ensure};
use futures::channel::oneshot;
use std::collections::{BTreeMap, VecDeque};

/// Bytes of a slot's status words.
pub(super) const STATUS_BYTES: u64 = 16;

/// How many threads can have status words of their own, so that none takes (and clears) what is another's to hear. Past this
/// many they share.
pub const STATUS_SLOTS: u32 = 64;

/// The number under which a kernel reports a fault `id` (from 1 to 2^24 - 1) in a slot.
pub fn command(slot: u32, id: u32) -> u32 {
    (slot % STATUS_SLOTS) << 24 | id & 0xff_ffff
}

pub(super) fn slot_of(command: u32) -> u32 {
    command >> 24
}

/// Most bytes of idle readback buffers that are kept.
const KEEP_BYTES: u64 = 64 << 20;

/// What kernels reported through a slot's status words since it was last read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The fault's id, as [`command`] was given it; 0 where there was none.
    pub command: u32,
    /// The value that the kernel refused (an index, say).
    pub value: i64,
}

impl Status {
    /// True where no kernel complained.
    pub fn is_ok(&self) -> bool {
        self.command == 0
    }

    fn from_bytes(bytes: &[u8]) -> Status {
        let w: [u32; 4] = bytemuck::pod_read_unaligned(bytes);
        let value = (u64::from(w[2]) << 32 | u64::from(w[1])) as i64;
        Status { command: w[0] & 0xff_ffff, value }
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
    fn begin_read(&mut self, src: Option<(&Buffer, u64, u64)>, slot: Option<u32>) -> Result<Pending> {
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
        let slot = slot.map(|s| s % STATUS_SLOTS).filter(|s| self.status_used >> s & 1 == 1);
        let status = slot.map(|_| data as usize);
        total = (total + if status.is_some() { STATUS_BYTES } else { 0 }).max(4);
        let buffer = self.readback_buffer(total)?;
        if let Some((src, offset, _)) = src {
            self.copy_raw(src.raw(), offset - skip as u64, &buffer, 0, data);
        }
        if let Some(slot) = slot {
            let words = self.status(command(slot, 0));
            let at = u64::from(slot) * STATUS_BYTES;
            self.copy_raw(words.raw(), at, &buffer, data, STATUS_BYTES);
            self.clear(&words, at, STATUS_BYTES);
            self.status_used &= !(1 << slot);
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
    fn finish_read<R>(
        &self,
        p: Pending,
        mapped: Result<(), wgpu::BufferAsyncError>,
        f: impl FnOnce(&[u8]) -> R,
    ) -> Result<(R, Status)> {
        if let Err(e) = mapped {
            // the device's own words say more, where it left any
            let fault = self.lock().take_error();
            return Err(fault.unwrap_or_else(|| Error::Device(format!("{}: read: {e}", self.info.name))));
        }
        let read = match p.buffer.get_mapped_range(0..p.total) {
            Ok(view) => {
                let status = p.status.map(|at| Status::from_bytes(&view[at..at + STATUS_BYTES as usize]));
                (f(&view[p.skip..p.skip + p.bytes]), status.unwrap_or_default())
            }
            Err(e) => bail!(Device, "{}: read: {e}", self.info.name),
        };
        p.buffer.unmap();
        let mut rec = self.lock();
        rec.readbacks.put(p.buffer);
        match rec.take_error() {
            Some(e) => Err(e),
            None => Ok(read),
        }
    }

    fn wait_read<R>(&self, mut p: Pending, f: impl FnOnce(&[u8]) -> R) -> Result<(R, Status)> {
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
        self.finish_read(p, mapped, f)
    }

    async fn wait_read_async<R>(&self, mut p: Pending, f: impl FnOnce(&[u8]) -> R) -> Result<(R, Status)> {
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
        self.finish_read(p, mapped, f)
    }

    /// Submits what is recorded, waits for it, and gives `f` bytes of a buffer where they are mapped; with a slot's status words.
    pub fn read_with<R>(
        &self,
        src: &Buffer,
        offset: u64,
        bytes: u64,
        slot: u32,
        f: impl FnOnce(&[u8]) -> R,
    ) -> Result<(R, Status)> {
        let pending = self.lock().begin_read(Some((src, offset, bytes)), Some(slot))?;
        self.wait_read(pending, f)
    }

    /// [`Gpu::read_with`] for large reads: `f` gets piece after piece with where it begins, while the device copies those that follow.
    /// All are taken at the same point of the program.
    pub fn read_pieces(
        &self,
        src: &Buffer,
        offset: u64,
        bytes: u64,
        slot: u32,
        mut f: impl FnMut(usize, &[u8]),
    ) -> Result<Status> {
        if bytes <= PIECE {
            return Ok(self.read_with(src, offset, bytes, slot, |bytes| f(0, bytes))?.1);
        }
        let mut pending = VecDeque::new();
        {
            let mut rec = self.lock();
            let mut at = 0;
            while at < bytes {
                let n = PIECE.min(bytes - at);
                let slot = if at == 0 { Some(slot) } else { None };
                pending.push_back((at, rec.begin_read(Some((src, offset + at, n)), slot)?));
                at += n;
            }
        }
        let mut status = Status::default();
        while let Some((at, piece)) = pending.pop_front() {
            let ((), heard) = self.wait_read(piece, |bytes| f(at as usize, bytes))?;
            if at == 0 {
                status = heard;
            }
        }
        Ok(status)
    }

    /// [`Gpu::read_with`] without blocking.
    pub async fn read_with_async<R>(
        &self,
        src: &Buffer,
        offset: u64,
        bytes: u64,
        slot: u32,
        f: impl FnOnce(&[u8]) -> R,
    ) -> Result<(R, Status)> {
        let pending = self.lock().begin_read(Some((src, offset, bytes)), Some(slot))?;
        self.wait_read_async(pending, f).await
    }

    /// A copy of bytes of a buffer, as [`Gpu::read_with`] has them; the status words stay for those whom they concern.
    pub fn read(&self, src: &Buffer, offset: u64, bytes: u64) -> Result<Vec<u8>> {
        let pending = self.lock().begin_read(Some((src, offset, bytes)), None)?;
        Ok(self.wait_read(pending, <[u8]>::to_vec)?.0)
    }

    /// Submits what is recorded and waits until it is done; a slot's status words.
    pub fn synchronize(&self, slot: u32) -> Result<Status> {
        let pending = self.lock().begin_read(None, Some(slot))?;
        Ok(self.wait_read(pending, |_| ())?.1)
    }

    /// `synchronize` without blocking.
    pub async fn synchronize_async(&self, slot: u32) -> Result<Status> {
        let pending = self.lock().begin_read(None, Some(slot))?;
        Ok(self.wait_read_async(pending, |_| ()).await?.1)
    }
}
