//! Runs programs and kernels on their device, moves bytes between devices, and does on the CPU what a GPU has no kernel for.

use super::command::{Arg, CpuView, KernelCmd, Launch};
use super::hold::check_free;
use super::locks::LockSet;
use super::storage::{Storage, StorageImpl};
use super::{count, flush, settle, stream_id, take_error, tell, widen};
use crate::cpu;
use crate::cpu::memory::HostBuf;
use crate::device::Device;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::gpu::{self, GpuView};
use crate::program::Program;
use crate::scalar::Scalar;
use crate::trace::{self, Kind, Work};
use parking_lot::Mutex;
use smallvec::SmallVec;
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::panic::Location;
use std::sync::atomic::{AtomicU64, Ordering};

static TRANSFERS: AtomicU64 = AtomicU64::new(0);
static WARNED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// How often an op of a GPU tensor ran on the CPU because no GPU kernel does it.
pub fn transfers() -> u64 {
    TRANSFERS.load(Ordering::Relaxed)
}

/// Says once an op and dtype that it goes over the CPU, and counts it.
fn note_transfer(name: &str, dtype: DType, device: Device) {
    TRANSFERS.fetch_add(1, Ordering::Relaxed);
    let key = format!("{name} of {dtype} on {device}");
    let mut warned = WARNED.lock();
    if !warned.contains(&key) {
        eprintln!("wgtorch: {key} has no GPU kernel; it runs on the CPU, with a copy there and back");
        warned.insert(key);
    }
}

fn device_gpu(device: Device) -> Result<&'static gpu::Gpu> {
    match device {
        Device::Gpu(n) => gpu::gpu(n),
        Device::Cpu => Err(Error::Device("the CPU is no GPU".into())),
    }
}

/// Whether a device computes a program itself.
pub fn supports(device: Device, program: &Program) -> bool {
    match device {
        Device::Cpu => true,
        gpu => device_gpu(gpu).is_ok_and(|gpu| gpu::pointwise::supports(program, &gpu.features)),
    }
}

/// An elementwise program with its operands; the stores' flags tell which storages are written for the first time.
pub struct Job<'a> {
    pub name: &'static str,
    pub program: Program,
    pub shape: &'a [usize],
    pub loads: SmallVec<[&'a Arg; 8]>,
    pub scalars: SmallVec<[Scalar; 8]>,
    pub stores: SmallVec<[(&'a Arg, bool); 4]>,
}

impl Job<'_> {
    /// What it is called in profiles, and what it moves and computes.
    fn work(&self) -> (Cow<'static, str>, Work) {
        let moved = |a: &Arg| a.layout.numel() * a.dtype.size();
        let bytes: usize = self.loads.iter().map(|a| moved(a)).chain(self.stores.iter().map(|(a, _)| moved(a))).sum();
        let flops = self.program.instrs.len() * crate::shape::numel(self.shape);
        (self.program.label().into(), Work { bytes: bytes as u64, flops: flops as u64 })
    }

    fn run_cpu(&self) {
        let _span = trace::span_with(Kind::Kernel, || self.work());
        let reads = self.loads.iter().map(|a| (&*a.storage, false));
        let writes = self.stores.iter().filter(|(_, fresh)| !fresh).map(|(a, _)| (&*a.storage, true));
        let _held = LockSet::lock(reads.chain(writes));
        let pointer = |a: &Arg, fresh: bool| {
            // SAFETY: the layout's first element lies inside the storage.
            unsafe { a.storage.host(fresh).ptr().add(a.layout.offset * a.dtype.size()) }
        };
        // stores first: a fresh one that is also loaded would otherwise be filled for nothing
        let stores: SmallVec<[(*mut u8, &[usize]); 4]> =
            self.stores.iter().map(|(a, fresh)| (pointer(a, *fresh), &a.layout.strides[..])).collect();
        let loads: SmallVec<[(*const u8, &[usize]); 8]> =
            self.loads.iter().map(|a| (pointer(a, false).cast_const(), &a.layout.strides[..])).collect();
        // SAFETY: operands lie inside locked storages; the fuser lets no store overlap a load except element by element.
        unsafe { cpu::pointwise::run(&self.program, self.shape, &loads, &self.scalars, &stores) };
    }

    fn run_gpu(&self, device: Device) -> Result<bool> {
        let gpu = device_gpu(device)?;
        let mut rec = gpu.lock();
        for (a, fresh) in &self.stores {
            a.storage.gpu(&mut rec, *fresh)?;
        }
        for a in &self.loads {
            a.storage.gpu(&mut rec, false)?;
        }
        let stores: SmallVec<[GpuView; 4]> = self.stores.iter().map(|(a, _)| gpu_view(a)).collect();
        let loads: SmallVec<[GpuView; 8]> = self.loads.iter().map(|a| gpu_view(a)).collect();
        rec.doing(|| self.work());
        gpu::pointwise::run(&mut rec, gpu, &self.program, self.shape, &loads, &self.scalars, &stores)
    }

    /// Runs it on its device, or on the CPU by transfer, and counts it.
    pub fn run(&self, device: Device) -> Result<()> {
        count(|c| c.fused += 1);
        self.launch(device)
    }

    /// [`Job::run`] as a part of another launch.
    pub fn launch(&self, device: Device) -> Result<()> {
        if self.shape.contains(&0) {
            for (a, fresh) in &self.stores {
                materialise(&a.storage, *fresh)?;
            }
            return Ok(());
        }
        if device == Device::Cpu {
            self.run_cpu();
            return Ok(());
        }
        if self.run_gpu(device)? {
            return Ok(());
        }
        let dtype = self.stores.first().map_or(DType::F32, |(a, _)| a.dtype);
        note_transfer(self.name, dtype, device);
        let mut host = HostCopies::default();
        let loads: Vec<Arg> = self.loads.iter().map(|a| host.copy(a, false)).collect::<Result<_>>()?;
        let stores: Vec<(Arg, bool)> =
            self.stores.iter().map(|(a, fresh)| Ok((host.copy(a, *fresh)?, *fresh))).collect::<Result<_>>()?;
        let job = Job {
            name: self.name,
            program: self.program.clone(),
            shape: self.shape,
            loads: loads.iter().collect(),
            scalars: self.scalars.clone(),
            stores: stores.iter().map(|(a, fresh)| (a, *fresh)).collect(),
        };
        job.run_cpu();
        for ((from, _), (to, _)) in stores.iter().zip(&self.stores) {
            write_back(&from.storage, &to.storage)?;
        }
        Ok(())
    }
}

fn gpu_view(a: &Arg) -> GpuView<'_> {
    let Some(super::Buf::Gpu(buffer)) = a.storage.buf() else { unreachable!("the caller has made the buffer") };
    GpuView { buffer, dtype: a.dtype, offset: a.layout.offset, shape: &a.layout.shape, strides: &a.layout.strides }
}

fn materialise(s: &StorageImpl, fresh: bool) -> Result<()> {
    match s.device {
        Device::Cpu => {
            s.host(fresh);
        }
        device => {
            s.gpu(&mut device_gpu(device)?.lock(), fresh)?;
        }
    }
    Ok(())
}

/// Host twins of GPU storages for one transfer, each storage once.
#[derive(Default)]
struct HostCopies(Vec<(u64, Storage)>);

impl HostCopies {
    fn copy(&mut self, a: &Arg, fresh: bool) -> Result<Arg> {
        if let Some((_, s)) = self.0.iter().find(|(id, _)| *id == a.storage.id) {
            return Ok(Arg { storage: s.shared().clone(), ..a.clone() });
        }
        let host = HostBuf::alloc(a.storage.nbytes);
        if !fresh {
            let bytes = gpu_bytes(&a.storage)?;
            // SAFETY: both are nbytes long.
            unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), host.ptr(), bytes.len()) };
        }
        let twin = Storage::from_host(a.storage.dtype, host);
        let arg = Arg { storage: twin.shared().clone(), ..a.clone() };
        self.0.push((a.storage.id, twin));
        Ok(arg)
    }
}

/// All bytes of a GPU storage, after what is encoded so far.
fn gpu_bytes(s: &StorageImpl) -> Result<Vec<u8>> {
    let gpu = device_gpu(s.device)?;
    if s.nbytes == 0 {
        return Ok(Vec::new());
    }
    let buffer = s.gpu(&mut gpu.lock(), false)?.clone();
    let mut bytes = gpu.read(&buffer, 0, s.nbytes.next_multiple_of(4) as u64)?;
    bytes.truncate(s.nbytes);
    Ok(bytes)
}

fn write_back(from: &StorageImpl, to: &StorageImpl) -> Result<()> {
    let gpu = device_gpu(to.device)?;
    let mut rec = gpu.lock();
    let buffer = to.gpu(&mut rec, true)?.clone();
    let host = from.host(false);
    let mut bytes = vec![0u8; from.nbytes.next_multiple_of(4)];
    // SAFETY: both hold nbytes.
    unsafe { std::ptr::copy_nonoverlapping(host.ptr(), bytes.as_mut_ptr(), from.nbytes) };
    if bytes.is_empty() { Ok(()) } else { rec.upload(&buffer, 0, &bytes) }
}

fn cpu_views<'a>(args: &'a [Arg], fresh: bool) -> SmallVec<[CpuView<'a>; 4]> {
    args.iter()
        .map(|a| CpuView {
            // SAFETY: the layout's first element lies inside the storage.
            ptr: unsafe { a.storage.host(fresh).ptr().add(a.layout.offset * a.dtype.size()) },
            dtype: a.dtype,
            shape: &a.layout.shape,
            strides: &a.layout.strides,
        })
        .collect()
}

/// Runs a kernel on the CPU now; its inputs are settled.
pub fn cpu_kernel(cmd: &KernelCmd) -> Result<()> {
    if !cmd.kernel.every_dtype() && widen::changes(cmd, widen::on_cpu) {
        return widen::widened(cmd, Device::Cpu, widen::on_cpu, |c| cpu_as_given(c).map(|()| true)).map(|_| ());
    }
    cpu_as_given(cmd)
}

fn cpu_as_given(cmd: &KernelCmd) -> Result<()> {
    let updates = cmd.kernel.updates();
    let written = cmd.outs.iter().filter(|_| updates).map(|a| (&*a.storage, true));
    let _held = LockSet::lock(cmd.ins.iter().map(|a| (&*a.storage, false)).chain(written));
    let outs = cpu_views(&cmd.outs, !updates);
    let ins = cpu_views(&cmd.ins, false);
    let _span = trace::span_with(Kind::Kernel, || work(cmd));
    cmd.kernel.cpu(&ins, &outs)
}

/// What a kernel is called in profiles, and what it moves and computes.
fn work(cmd: &KernelCmd) -> (Cow<'static, str>, Work) {
    let ins: SmallVec<[&[usize]; 3]> = cmd.ins.iter().map(|a| &a.layout.shape[..]).collect();
    let outs: SmallVec<[&[usize]; 2]> = cmd.outs.iter().map(|a| &a.layout.shape[..]).collect();
    let bytes: usize = cmd.ins.iter().chain(&cmd.outs).map(|a| a.layout.numel() * a.dtype.size()).sum();
    (cmd.kernel.name().into(), Work { bytes: bytes as u64, flops: cmd.kernel.flops(&ins, &outs) })
}

/// Runs a stream's kernel on its device, or on the CPU by transfer.
pub fn kernel(cmd: &KernelCmd, stream: u32) -> Result<()> {
    count(|c| c.kernels += 1);
    let device = cmd.outs[0].storage.device;
    if device == Device::Cpu {
        return cpu_kernel(cmd);
    }
    if gpu_as_given(cmd, device, stream)?
        || widen::changes(cmd, widen::on_gpu)
            && widen::widened(cmd, device, widen::on_gpu, |c| gpu_as_given(c, device, stream))?
    {
        return Ok(());
    }
    by_transfer(cmd, device)
}

/// False where the GPU has no kernel for these dtypes.
fn gpu_as_given(cmd: &KernelCmd, device: Device, stream: u32) -> Result<bool> {
    let gpu = device_gpu(device)?;
    let mut rec = gpu.lock();
    for a in &cmd.outs {
        a.storage.gpu(&mut rec, !cmd.kernel.updates())?;
    }
    for a in &cmd.ins {
        a.storage.gpu(&mut rec, false)?;
    }
    let outs: SmallVec<[GpuView; 2]> = cmd.outs.iter().map(gpu_view).collect();
    let ins: SmallVec<[GpuView; 3]> = cmd.ins.iter().map(gpu_view).collect();
    rec.doing(|| work(cmd));
    cmd.kernel.gpu(&mut Launch { rec: &mut rec, gpu, location: cmd.location, stream }, &ins, &outs)
}

fn by_transfer(cmd: &KernelCmd, device: Device) -> Result<()> {
    let dtype = cmd.ins.first().unwrap_or(&cmd.outs[0]).dtype;
    note_transfer(cmd.kernel.name(), dtype, device);
    let mut host = HostCopies::default();
    let ins = cmd.ins.iter().map(|a| host.copy(a, false)).collect::<Result<_>>()?;
    let outs = cmd.outs.iter().map(|a| host.copy(a, !cmd.kernel.updates())).collect::<Result<_>>()?;
    let on_host = KernelCmd { kernel: cmd.kernel.clone(), ins, outs, location: cmd.location };
    cpu_kernel(&on_host).map_err(|e| Error::Deferred {
        op: cmd.kernel.name(),
        location: cmd.location,
        message: e.to_string(),
    })?;
    for (from, to) in on_host.outs.iter().zip(&cmd.outs) {
        write_back(&from.storage, &to.storage)?;
    }
    Ok(())
}

/// A new GPU storage holding these bytes, placed in program order.
pub fn upload(device: Device, dtype: DType, bytes: &[u8]) -> Result<Storage> {
    let gpu = device_gpu(device)?;
    let mut rec = gpu.lock();
    let buffer = rec.alloc(bytes.len().next_multiple_of(16).max(16) as u64)?;
    if bytes.len().is_multiple_of(4) {
        if !bytes.is_empty() {
            rec.upload(&buffer, 0, bytes)?;
        }
    } else {
        let mut padded = bytes.to_vec();
        padded.resize(bytes.len().next_multiple_of(4), 0);
        rec.upload(&buffer, 0, &padded)?;
    }
    Ok(Storage::from_gpu(device, dtype, bytes.len(), buffer))
}

/// Gives `f` the bytes of a contiguous argument where they lie: flushes, waits, and reports what went wrong so far.
pub fn read<R>(a: &Arg, f: impl FnOnce(&[u8]) -> R) -> Result<R> {
    let (start, len) = span(a);
    let known = known(a);
    if len == 0 || known.is_some() || a.storage.device == Device::Cpu {
        return on_host(a, start, len, known, f);
    }
    let gpu = device_gpu(a.storage.device)?;
    let buffer = a.storage.gpu(&mut gpu.lock(), false)?.clone();
    let _span = trace::span_with(Kind::Transfer, || to_host(len));
    after_faults(gpu.read_with(&buffer, start as u64, len as u64, stream_id(), f)?)
}

/// [`read`] by pieces: `f` gets each with where it begins.
pub fn read_pieces(a: &Arg, mut f: impl FnMut(usize, &[u8])) -> Result<()> {
    let (start, len) = span(a);
    let known = known(a);
    if len == 0 || known.is_some() || a.storage.device == Device::Cpu {
        return on_host(a, start, len, known, |bytes| f(0, bytes));
    }
    let gpu = device_gpu(a.storage.device)?;
    let buffer = a.storage.gpu(&mut gpu.lock(), false)?.clone();
    let _span = trace::span_with(Kind::Transfer, || to_host(len));
    after_faults(gpu.read_pieces(&buffer, start as u64, len as u64, stream_id(), f).map(|status| ((), status))?)
}

/// [`read`] that yields instead of blocking while the GPU works.
pub async fn read_async<R>(a: &Arg, f: impl FnOnce(&[u8]) -> R) -> Result<R> {
    let (start, len) = span(a);
    let known = known(a);
    if len == 0 || known.is_some() || a.storage.device == Device::Cpu {
        return on_host(a, start, len, known, f);
    }
    let gpu = device_gpu(a.storage.device)?;
    let buffer = a.storage.gpu(&mut gpu.lock(), false)?.clone();
    let _span = trace::span_with(Kind::Transfer, || to_host(len));
    after_faults(gpu.read_with_async(&buffer, start as u64, len as u64, stream_id(), f).await?)
}

fn span(a: &Arg) -> (usize, usize) {
    flush();
    settle(&a.storage);
    (a.layout.offset * a.dtype.size(), a.layout.numel() * a.dtype.size())
}

fn to_host(bytes: usize) -> (Cow<'static, str>, Work) {
    ("Memcpy DtoH".into(), Work { bytes: bytes as u64, flops: 0 })
}

/// What was read, unless something went wrong before.
fn after_faults<R>((read, status): (R, gpu::Status)) -> Result<R> {
    if trace::on() {
        trace::flush_file();
    }
    take_error()?;
    status.into_result()?;
    Ok(read)
}

/// The value of a constant that is read in its own dtype.
fn known(a: &Arg) -> Option<Scalar> {
    a.storage.as_constant().filter(|_| a.storage.dtype == a.dtype)
}

fn on_host<R>(a: &Arg, start: usize, len: usize, known: Option<Scalar>, f: impl FnOnce(&[u8]) -> R) -> Result<R> {
    let read = if len == 0 {
        f(&[])
    } else if let Some(value) = known {
        let mut bytes = vec![0; len];
        super::fill_bytes(&mut bytes, a.dtype, value);
        f(&bytes)
    } else {
        let _held = LockSet::lock([(&*a.storage, false)]);
        check_free([(&*a.storage, false)])?;
        // SAFETY: the contiguous layout lies inside the storage, which nobody writes while the lock is held.
        f(unsafe { std::slice::from_raw_parts(a.storage.host(false).ptr().add(start), len) })
    };
    take_error().map(|()| read)
}

/// What a GPU has compiled, launched and allocated so far.
///
/// # Errors
/// If the device is no GPU, or cannot be opened.
pub fn device_counters(device: Device) -> Result<gpu::Counters> {
    Ok(device_gpu(device)?.lock().counters())
}

/// Launches what this thread recorded, waits for the device, and reports the first thing that went wrong.
pub fn synchronize(device: Device) -> Result<()> {
    flush();
    let span = trace::span(Kind::Wait, "synchronize");
    if device.is_gpu() {
        device_gpu(device)?.synchronize(stream_id())?.into_result()?;
    }
    if span.is_some() {
        drop(span);
        trace::flush_file();
    }
    take_error()
}

/// What an index-checking kernel's fault id stands for.
#[derive(PartialEq)]
struct Fault {
    op: &'static str,
    location: &'static Location<'static>,
    what: String,
    /// The stream that recorded it, whose thread is told.
    stream: u32,
}

static FAULTS: Mutex<Vec<Fault>> = Mutex::new(Vec::new());

impl Launch<'_> {
    /// The number for the status words that stands for the op, its call site, and what the bad value is called in the message.
    pub fn fault_id(&mut self, op: &'static str, what: impl Into<String>) -> u32 {
        let mut faults = FAULTS.lock();
        let entry = Fault { op, location: self.location, what: what.into(), stream: self.stream };
        if let Some(i) = faults.iter().position(|f| *f == entry) {
            return gpu::command(self.stream, i as u32 + 1);
        }
        faults.push(entry);
        gpu::command(self.stream, faults.len() as u32)
    }
}

/// What a device found wrong, as an error.
trait IntoResult {
    fn into_result(self) -> Result<()>;
}

impl IntoResult for gpu::Status {
    fn into_result(self) -> Result<()> {
        if self.is_ok() {
            return Ok(());
        }
        let (id, value) = (self.command, self.value);
        let (stream, error) = match FAULTS.lock().get(id as usize - 1) {
            Some(f) => {
                let message = f.what.replace("{}", &value.to_string());
                (f.stream, Error::Deferred { op: f.op, location: f.location, message })
            }
            None => return Err(Error::Device(format!("a kernel reported fault {id} with value {value}"))),
        };
        // where threads share status words: another's fault is that thread's to hear of, at its next wait
        if tell(stream, &error) { Ok(()) } else { Err(error) }
    }
}
