//! The memory behind tensors: a constant, host memory or a GPU buffer, which may still have to be computed.

use crate::cpu::memory::HostBuf;
use crate::device::Device;
use crate::dtype::{DType, Element};
use crate::error::Result;
use crate::gpu;
use crate::scalar::Scalar;
use parking_lot::RwLock;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

static NEXT_ID: AtomicU64 = AtomicU64::new(1);
static LIVE: AtomicUsize = AtomicUsize::new(0);

/// Real memory, on either device.
pub enum Buf {
    /// Host memory, ours or foreign.
    Host(HostBuf),
    /// A whole pooled buffer.
    Gpu(gpu::Buffer),
}

/// What tensors and recorded commands share. The stream owns values by id: dropping the last tensor handle only sets a count.
pub struct StorageImpl {
    /// Unique in the process.
    pub id: u64,
    /// Where it lives; never changes.
    pub device: Device,
    /// Its size.
    pub nbytes: usize,
    /// The dtype that its constant or its zero fill is written in.
    pub dtype: DType,
    /// Live tensor handles: at a flush, a value nobody can see any more is not written out.
    handles: AtomicUsize,
    /// Recorded commands that touch it and have not run (low half), and the stream that recorded them (high half).
    claim: AtomicU64,
    /// Commands of the running flush that touch it and have not been placed in a kernel yet.
    pub(super) uses: AtomicU32,
    /// Set once a write is recorded: from then on it is no constant any more.
    written: AtomicBool,
    version: AtomicU64,
    constant: Option<Scalar>,
    /// The kernel that was to compute it failed on its data: what would read it is not run.
    failed: AtomicBool,
    /// Host views: how many read, or -1 for the one that writes.
    borrow: AtomicI32,
    /// The memory it was made with; looking here first is cheaper than a lock that has to be set.
    given: Option<Buf>,
    buf: OnceLock<Buf>,
    /// Held while a CPU kernel reads (shared) or writes (exclusive) the memory.
    pub(super) lock: RwLock<()>,
}

/// A tensor's counted hold on a storage.
pub struct Storage(Arc<StorageImpl>);

impl Storage {
    fn make(device: Device, dtype: DType, nbytes: usize, constant: Option<Scalar>, given: Option<Buf>) -> Storage {
        LIVE.fetch_add(1, Ordering::Relaxed);
        Storage(Arc::new(StorageImpl {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            device,
            nbytes,
            dtype,
            handles: AtomicUsize::new(1),
            claim: AtomicU64::new(0),
            uses: AtomicU32::new(0),
            written: AtomicBool::new(false),
            version: AtomicU64::new(0),
            constant,
            failed: AtomicBool::new(false),
            borrow: AtomicI32::new(0),
            given,
            buf: OnceLock::new(),
            lock: RwLock::new(()),
        }))
    }

    /// Memory that a command will write. Read before any write it is all zeros.
    pub fn new(device: Device, dtype: DType, numel: usize) -> Storage {
        Storage::make(device, dtype, numel * dtype.size(), None, None)
    }

    /// `numel` times one value, without a buffer until somebody writes to it or needs an address.
    pub fn constant(device: Device, dtype: DType, numel: usize, value: Scalar) -> Storage {
        Storage::make(device, dtype, numel * dtype.size(), Some(value), None)
    }

    /// Host memory that is there already.
    pub fn from_host(dtype: DType, buf: HostBuf) -> Storage {
        Storage::make(Device::Cpu, dtype, buf.len(), None, Some(Buf::Host(buf)))
    }

    /// A GPU buffer that is written already; `nbytes` of it are the storage.
    pub fn from_gpu(device: Device, dtype: DType, nbytes: usize, buf: gpu::Buffer) -> Storage {
        Storage::make(device, dtype, nbytes, None, Some(Buf::Gpu(buf)))
    }

    /// The shared part.
    pub fn shared(&self) -> &Arc<StorageImpl> {
        &self.0
    }
}

impl Clone for Storage {
    fn clone(&self) -> Storage {
        self.0.handles.fetch_add(1, Ordering::Relaxed);
        Storage(self.0.clone())
    }
}

impl Drop for Storage {
    fn drop(&mut self) {
        self.0.handles.fetch_sub(1, Ordering::Release);
    }
}

impl std::ops::Deref for Storage {
    type Target = StorageImpl;
    fn deref(&self) -> &StorageImpl {
        &self.0
    }
}

impl Drop for StorageImpl {
    fn drop(&mut self) {
        LIVE.fetch_sub(1, Ordering::Relaxed);
    }
}

impl StorageImpl {
    /// Number of storages alive in the process.
    pub fn live() -> usize {
        LIVE.load(Ordering::Relaxed)
    }

    /// Live tensor handles.
    pub fn handles(&self) -> usize {
        self.handles.load(Ordering::Acquire)
    }

    /// True while a tensor can still see it.
    pub fn visible(&self) -> bool {
        self.handles.load(Ordering::Acquire) > 0
    }

    /// The one value it is full of, while nobody has written to it.
    pub fn as_constant(&self) -> Option<Scalar> {
        if self.written.load(Ordering::Acquire) { None } else { self.constant }
    }

    /// Notes that a write is about to be recorded or run.
    pub(super) fn mark_written(&self) {
        self.written.store(true, Ordering::Release);
    }

    /// Notes that its kernel failed, or that something has been written to it since.
    pub(super) fn set_failed(&self, failed: bool) {
        self.failed.store(failed, Ordering::Relaxed);
    }

    /// True where nothing was computed, and the error has been or will be told.
    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// Counts one more recorded command of a stream, or names the other stream whose commands have to run first.
    pub(super) fn try_claim(&self, stream: u32) -> Result<(), u32> {
        let mut now = self.claim.load(Ordering::Acquire);
        loop {
            let (owner, count) = ((now >> 32) as u32, now as u32);
            if count > 0 && owner != stream {
                return Err(owner);
            }
            let next = (stream as u64) << 32 | (count as u64 + 1);
            match self.claim.compare_exchange_weak(now, next, Ordering::SeqCst, Ordering::Acquire) {
                Ok(_) => return Ok(()),
                Err(other) => now = other,
            }
        }
    }

    /// Takes the memory for a host view; false where another one is in the way. Sequentially consistent with claims: a step
    /// that is recorded now either sees the borrow, or is seen by who takes it.
    pub(super) fn try_borrow(&self, write: bool) -> bool {
        let next = |now: i32| match (now, write) {
            (0, true) => Some(-1),
            (0.., false) => Some(now + 1),
            _ => None,
        };
        self.borrow.fetch_update(Ordering::SeqCst, Ordering::SeqCst, next).is_ok()
    }

    /// Gives back what `try_borrow` took.
    pub(super) fn release_borrow(&self, write: bool) {
        self.borrow.fetch_add(if write { 1 } else { -1 }, Ordering::SeqCst);
    }

    /// True where no host view forbids a read, or a write.
    pub(super) fn is_free(&self, write: bool) -> bool {
        let now = self.borrow.load(Ordering::SeqCst);
        now == 0 || now > 0 && !write
    }

    /// One recorded command fewer.
    pub(super) fn release_claim(&self) {
        self.claim.fetch_sub(1, Ordering::AcqRel);
    }

    /// The stream whose recorded commands touch it, if any do.
    pub(super) fn owner(&self) -> Option<u32> {
        let now = self.claim.load(Ordering::SeqCst);
        (now as u32 > 0).then_some((now >> 32) as u32)
    }

    /// Its memory, if it has any yet.
    pub fn buf(&self) -> Option<&Buf> {
        self.given.as_ref().or_else(|| self.buf.get())
    }

    /// True where a reader needs to wait for nothing: no recorded command touches it.
    pub fn is_settled(&self) -> bool {
        self.claim.load(Ordering::Acquire) as u32 == 0
    }

    /// How often it was written in place: views and `detach()` share this count.
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Counts a write.
    pub fn bump_version(&self) {
        self.version.fetch_add(1, Ordering::AcqRel);
    }

    /// The host memory, made now if there is none: uninitialised if `fresh` (the caller writes all of it), else holding the
    /// constant or zeros.
    pub fn host(&self, fresh: bool) -> &HostBuf {
        let buf = self.given.as_ref().unwrap_or_else(|| {
            self.buf.get_or_init(|| {
                Buf::Host(match self.constant {
                    _ if fresh => HostBuf::alloc(self.nbytes),
                    None => HostBuf::zeroed(self.nbytes),
                    Some(value) => {
                        let buf = HostBuf::alloc(self.nbytes);
                        crate::dtype::dispatch!(self.dtype, T => {
                            let value = T::from_scalar(value);
                            let data = buf.ptr().cast::<T>();
                            for i in 0..self.nbytes / size_of::<T>() {
                                // SAFETY: inside the block just allocated, which nobody else sees yet.
                                unsafe { data.add(i).write(value) };
                            }
                        });
                        buf
                    }
                })
            })
        });
        match buf {
            Buf::Host(h) => h,
            Buf::Gpu(_) => unreachable!("a storage on {} has no host memory", self.device),
        }
    }

    /// The GPU buffer, made now if there is none; contents as for [`StorageImpl::host`].
    pub fn gpu(&self, rec: &mut gpu::Recorder, fresh: bool) -> Result<&gpu::Buffer> {
        if self.buf().is_none() {
            let bytes = self.nbytes.next_multiple_of(16).max(16) as u64;
            let buffer = rec.alloc(bytes)?;
            if !fresh {
                // the sizes of all dtypes divide it
                let mut pattern = [0u8; 16];
                if let Some(value) = self.constant {
                    fill_bytes(&mut pattern, self.dtype, value);
                }
                gpu::kernels::fill::fill(rec, &buffer, self.nbytes, pattern)?;
            }
            let _ = self.buf.set(Buf::Gpu(buffer));
        }
        match self.buf() {
            Some(Buf::Gpu(b)) => Ok(b),
            _ => unreachable!("a storage on {} has no GPU buffer", self.device),
        }
    }
}

/// Writes a scalar over and over as elements of a dtype.
pub fn fill_bytes(bytes: &mut [u8], dtype: DType, value: Scalar) {
    crate::dtype::dispatch!(dtype, T => {
        let value = T::from_scalar(value);
        // SAFETY: any element's bytes can be read as bytes.
        let one = unsafe { std::slice::from_raw_parts((&raw const value).cast::<u8>(), size_of::<T>()) };
        for chunk in bytes.chunks_exact_mut(one.len()) {
            chunk.copy_from_slice(one);
        }
    });
}
