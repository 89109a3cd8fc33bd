//! Finding GPUs and opening them: one entry for each physical GPU, whatever backends show it.

use super::kernels::matmul_coop::Cooperative;
use super::recorder::Recorder;
use crate::error::{Error, Result, bail, ensure};
use parking_lot::{Mutex, MutexGuard};
use std::sync::OnceLock;

pub use wgpu::{Backend, DeviceType};

/// What is known of a GPU before it is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdapterInfo {
    /// The driver's name for it; empty in browsers.
    pub name: String,
    /// PCI vendor, where the backend tells it.
    pub vendor: u32,
    /// PCI device, where the backend tells it.
    pub device: u32,
    /// The API it is reached through.
    pub backend: Backend,
    /// Discrete, integrated, virtual or software.
    pub kind: DeviceType,
    /// Driver name and version.
    pub driver: String,
}

impl AdapterInfo {
    /// True where the "GPU" is a program on the CPU (lavapipe, SwiftShader, WARP).
    pub fn is_software(&self) -> bool {
        is_software(self.kind)
    }
}

/// Whether a device of this type is a program on the CPU.
pub(super) fn is_software(kind: DeviceType) -> bool {
    kind == DeviceType::Cpu
}

/// What an opened GPU can do beyond WebGPU's core.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Features {
    /// `f16` in shaders.
    pub f16: bool,
    /// `f64` in shaders.
    pub f64: bool,
    /// `i64` in shaders.
    pub i64: bool,
    /// Subgroup operations.
    pub subgroups: bool,
    /// Timestamp queries.
    pub timestamps: bool,
}

/// One GPU, opened once and kept for the life of the process.
pub struct Gpu {
    /// Its number: what `Device::Gpu` holds.
    pub index: usize,
    /// What it is.
    pub info: AdapterInfo,
    /// The limits that were granted.
    pub limits: wgpu::Limits,
    /// The features that were granted.
    pub features: Features,
    pub(super) device: wgpu::Device,
    recorder: Mutex<Recorder>,
}

impl std::fmt::Debug for Gpu {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Gpu({}, {:?}, {:?})", self.index, self.info.name, self.info.backend)
    }
}

impl Gpu {
    /// The recorder of this GPU. All threads share one: the order of locking is the program order on the device.
    pub fn lock(&self) -> MutexGuard<'_, Recorder> {
        self.recorder.lock()
    }

    /// `WGTORCH_LIMITS=default` was given: behave like a device with WebGPU's defaults and no features.
    fn default_limits() -> bool {
        std::env::var("WGTORCH_LIMITS").is_ok_and(|v| v == "default")
    }

    /// `WGTORCH_COOPERATIVE=1` was given: open devices with cooperative matrices, which wgpu calls experimental.
    fn cooperative() -> bool {
        std::env::var("WGTORCH_COOPERATIVE").is_ok_and(|v| v == "1")
    }

    async fn open(index: usize, entry: &Entry) -> Result<Gpu> {
        let (limits, wanted) = if Gpu::default_limits() {
            // a driver below the defaults (GL) gives what it has
            (wgpu::Limits::default().or_worse_values_from(&entry.adapter.limits()), wgpu::Features::empty())
        } else {
            let useful = wgpu::Features::SHADER_F64
                | wgpu::Features::SHADER_F16
                | wgpu::Features::SHADER_INT64
                | wgpu::Features::SUBGROUP
                | wgpu::Features::TIMESTAMP_QUERY;
            let opted = wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX;
            let useful = if Gpu::cooperative() { useful | opted } else { useful };
            (entry.adapter.limits(), entry.adapter.features() & useful)
        };
        let experimental_features = if wanted.contains(wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX) {
            // SAFETY: who set the variable opted in, as README.md says; kernels use sizes of the adapter's own list alone, whole
            // tiles inside their buffers, in control flow that a subgroup's invocations share.
            unsafe { wgpu::ExperimentalFeatures::enabled() }
        } else {
            wgpu::ExperimentalFeatures::disabled()
        };
        let desc = wgpu::DeviceDescriptor {
            label: Some("wgtorch"),
            required_features: wanted,
            required_limits: limits,
            experimental_features,
            ..Default::default()
        };
        let (device, queue) = match entry.adapter.request_device(&desc).await {
            Ok(x) => x,
            Err(e) => bail!(Device, "cannot open {} ({:?}): {e}", entry.info.name, entry.info.backend),
        };
        let granted = device.features();
        let features = Features {
            f16: granted.contains(wgpu::Features::SHADER_F16),
            f64: granted.contains(wgpu::Features::SHADER_F64),
            i64: granted.contains(wgpu::Features::SHADER_INT64),
            subgroups: granted.contains(wgpu::Features::SUBGROUP),
            timestamps: granted.contains(wgpu::Features::TIMESTAMP_QUERY),
        };
        let limits = device.limits();
        let mut recorder = Recorder::new(device.clone(), queue, limits.clone(), entry.info.name.clone(), index)?;
        if features.subgroups && granted.contains(wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX) {
            let sizes = entry.adapter.cooperative_matrix_properties();
            let subgroup = device.adapter_info().subgroup_max_size;
            recorder.cooperative = Some(Cooperative { sizes, subgroup, f16: features.f16 });
        }
        let flags = entry.adapter.get_downlevel_capabilities().flags;
        recorder.unpacks = flags.contains(wgpu::DownlevelFlags::SHADER_F16_IN_F32);
        Ok(Gpu { index, info: entry.info.clone(), limits, features, device, recorder: Mutex::new(recorder) })
    }
}

struct Entry {
    adapter: wgpu::Adapter,
    info: AdapterInfo,
}

struct Found {
    entries: Vec<Entry>,
    infos: Vec<AdapterInfo>,
    opened: Vec<OnceLock<Result<Gpu>>>,
}

static FOUND: OnceLock<Found> = OnceLock::new();

fn rank_kind(kind: DeviceType) -> u8 {
    match kind {
        DeviceType::DiscreteGpu => 0,
        DeviceType::IntegratedGpu => 1,
        DeviceType::VirtualGpu => 2,
        DeviceType::Other => 3,
        DeviceType::Cpu => 4,
    }
}

fn rank_backend(backend: Backend) -> u8 {
    match backend {
        Backend::Vulkan => 0,
        Backend::Metal => 1,
        Backend::Dx12 => 2,
        Backend::BrowserWebGpu => 3,
        Backend::Gl => 4,
        Backend::Noop => 5,
    }
}

/// Whether two backends show the same GPU. GL knows no PCI ids, and adds to the name ("…/PCIe/SSE2").
fn same_gpu(a: &AdapterInfo, b: &AdapterInfo) -> bool {
    if a.backend == b.backend {
        return false;
    }
    if a.vendor == b.vendor && a.device == b.device && a.device != 0 {
        return true;
    }
    let (x, y) = (a.name.to_lowercase(), b.name.to_lowercase());
    let gl = a.backend == Backend::Gl || b.backend == Backend::Gl;
    x == y || gl && !x.is_empty() && !y.is_empty() && (x.contains(&y) || y.contains(&x))
}

async fn enumerate(backends: wgpu::Backends) -> Vec<Entry> {
    if !wgpu::Instance::enabled_backend_features().intersects(backends) {
        return Vec::new();
    }
    let desc = wgpu::InstanceDescriptor {
        backends,
        // no debug layers by default, not even in debug builds: WGPU_DEBUG and WGPU_VALIDATION ask for them
        flags: wgpu::InstanceFlags::empty().with_env(),
        backend_options: wgpu::BackendOptions::from_env_or_default(),
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    };
    let instance = wgpu::Instance::new(desc);
    let mut out = Vec::new();
    for adapter in instance.enumerate_adapters(backends).await {
        let i = adapter.get_info();
        let compute = wgpu::DownlevelFlags::COMPUTE_SHADERS;
        if i.backend == Backend::Noop || !adapter.get_downlevel_capabilities().flags.contains(compute) {
            continue;
        }
        let info = AdapterInfo {
            name: i.name,
            vendor: i.vendor,
            device: i.device,
            backend: i.backend,
            kind: i.device_type,
            driver: format!("{} {}", i.driver, i.driver_info).trim().to_owned(),
        };
        out.push(Entry { adapter, info });
    }
    out
}

async fn find() -> Found {
    let mut entries = match wgpu::Backends::from_env() {
        Some(b) => enumerate(b).await,
        None => {
            let mut found = enumerate(wgpu::Backends::PRIMARY).await;
            // GL starts slowly and rarely adds a GPU: it is asked where the others show no hardware
            if found.iter().all(|e| e.info.is_software()) {
                found.extend(enumerate(wgpu::Backends::GL).await);
            }
            found
        }
    };
    if let Ok(name) = std::env::var("WGPU_ADAPTER_NAME") {
        let name = name.to_lowercase();
        entries.retain(|e| e.info.name.to_lowercase().contains(&name));
    }
    entries.sort_by_key(|e| rank_backend(e.info.backend));
    let mut kept: Vec<Entry> = Vec::new();
    for e in entries {
        if !kept.iter().any(|k| same_gpu(&k.info, &e.info)) {
            kept.push(e);
        }
    }
    kept.sort_by_key(|e| rank_kind(e.info.kind));
    let infos = kept.iter().map(|e| e.info.clone()).collect();
    let opened = kept.iter().map(|_| OnceLock::new()).collect();
    Found { entries: kept, infos, opened }
}

/// The GPUs that are open.
pub fn opened() -> impl Iterator<Item = &'static Gpu> {
    let all = FOUND.get().map_or(&[][..], |f| &f.opened[..]);
    all.iter().filter_map(|g| g.get()?.as_ref().ok())
}

/// Looks for GPUs where nothing may block (browsers): `adapters` and `gpu` then answer from what it found and opened.
pub async fn init_async() -> Result<()> {
    if FOUND.get().is_none() {
        let found = find().await;
        let _ = FOUND.set(found); // another task may have been first
    }
    let found = FOUND.get().expect("set above");
    for (n, e) in found.entries.iter().enumerate() {
        if found.opened[n].get().is_none() {
            let opened = Gpu::open(n, e).await;
            let _ = found.opened[n].set(opened);
        }
    }
    Ok(())
}

#[cfg(not(target_arch = "wasm32"))]
fn found() -> Option<&'static Found> {
    Some(FOUND.get_or_init(|| pollster::block_on(find())))
}

#[cfg(target_arch = "wasm32")]
fn found() -> Option<&'static Found> {
    FOUND.get()
}

/// Every GPU, one entry each: discrete, integrated, virtual, then software ones, in a stable order. `WGPU_BACKEND` and
/// `WGPU_ADAPTER_NAME` choose. In browsers it is empty until `init_async` has run.
pub fn adapters() -> &'static [AdapterInfo] {
    found().map_or(&[], |f| &f.infos)
}

/// The GPU with a number, opened at the first call.
pub fn gpu(n: usize) -> Result<&'static Gpu> {
    let Some(found) = found() else {
        bail!(Device, "GPUs are not known yet: await gpu::init_async() first, since nothing may block here")
    };
    ensure!(
        n < found.entries.len(),
        Device,
        "there is no GPU {n}: {} found{}",
        found.entries.len(),
        if found.entries.is_empty() { " (no Vulkan, Metal, DX12 or GL driver with compute shaders)" } else { "" }
    );
    #[cfg(not(target_arch = "wasm32"))]
    let opened = found.opened[n].get_or_init(|| pollster::block_on(Gpu::open(n, &found.entries[n])));
    #[cfg(target_arch = "wasm32")]
    let opened = match found.opened[n].get() {
        Some(o) => o,
        None => bail!(Device, "GPU {n} is not open yet: await gpu::init_async() first"),
    };
    opened.as_ref().map_err(Error::clone)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(name: &str, vendor: u32, device: u32, backend: Backend) -> AdapterInfo {
        AdapterInfo { name: name.into(), vendor, device, backend, kind: DeviceType::DiscreteGpu, driver: String::new() }
    }

    #[test]
    fn one_gpu_shown_by_many_backends_is_one() {
        let vk = info("NVIDIA GeForce RTX 3060", 0x10de, 0x2503, Backend::Vulkan);
        assert!(same_gpu(&vk, &info("NVIDIA GeForce RTX 3060", 0x10de, 0x2503, Backend::Dx12)));
        assert!(same_gpu(&vk, &info("NVIDIA GeForce RTX 3060/PCIe/SSE2", 0x10de, 0, Backend::Gl)));
        // two cards of one model, and two software drivers, are two
        assert!(!same_gpu(&vk, &vk));
        let a = info("llvmpipe (LLVM 15)", 0x10005, 0, Backend::Vulkan);
        assert!(!same_gpu(&a, &info("SwiftShader Device", 0x1ae0, 0xc0de, Backend::Gl)));
    }
}
