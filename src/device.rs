//! Where a tensor lives: the CPU, or one of the GPUs that wgpu shows.

use crate::error::{Error, Result};
use crate::gpu;
use std::fmt;

/// A place for tensors (PyTorch's `torch.device`): `cpu`, or `gpu:0`, `gpu:1` … in the order of the adapters found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Device {
    /// Host memory and rayon.
    #[default]
    Cpu,
    /// One adapter, whatever backends show it; discrete GPUs come first.
    Gpu(usize),
}

impl Device {
    /// `WGTORCH_DEVICE` if it is set, else the first GPU that is not a software adapter, else the CPU.
    ///
    /// # Panics
    /// If `WGTORCH_DEVICE` names no device.
    #[track_caller]
    pub fn best() -> Device {
        Device::best_with_reason().0
    }

    /// [`Device::best`], and in words why it was taken.
    #[track_caller]
    pub fn best_with_reason() -> (Device, String) {
        if let Ok(name) = std::env::var("WGTORCH_DEVICE") {
            match name.parse::<Device>() {
                Ok(d) => return (d, "WGTORCH_DEVICE names it".into()),
                Err(e) => panic!("WGTORCH_DEVICE: {e}"),
            }
        }
        let adapters = gpu::adapters();
        match adapters.iter().position(|a| !a.is_software()) {
            Some(n) => (Device::Gpu(n), "the first GPU that is not a software adapter".into()),
            None if adapters.is_empty() => (Device::Cpu, "no GPU adapter was found".into()),
            None => {
                (Device::Cpu, "the only GPU adapters are software ones (name `gpu` to use one all the same)".into())
            }
        }
    }

    /// True for `Device::Gpu`.
    pub fn is_gpu(self) -> bool {
        matches!(self, Device::Gpu(_))
    }

    /// How many GPU adapters there are (`torch.cuda.device_count`).
    pub fn gpu_count() -> usize {
        gpu::adapters().len()
    }

    /// Opens the device, which costs time once; an error where there is no such adapter or its driver fails.
    pub fn open(self) -> Result<()> {
        match self {
            Device::Cpu => Ok(()),
            Device::Gpu(n) => gpu::gpu(n).map(|_| ()),
        }
    }

    /// Finds and opens the GPUs where nothing may block: a browser awaits this before it names one.
    pub async fn init_async() -> Result<()> {
        gpu::init_async().await
    }

    /// Gives memory that tensors no longer use back to the system or the driver (`torch.cuda.empty_cache`).
    pub fn empty_cache(self) -> Result<()> {
        match self {
            Device::Cpu => crate::cpu::memory::release_cached(),
            Device::Gpu(n) => gpu::gpu(n)?.lock().drain(),
        }
        Ok(())
    }

    /// The adapter's name, backend and driver, or what the CPU backend is.
    pub fn description(self) -> String {
        match self {
            Device::Cpu => format!("CPU, {} threads", rayon::current_num_threads()),
            Device::Gpu(n) => match gpu::adapters().get(n) {
                Some(a) => format!("{} ({:?})", a.name, a.backend),
                None => format!("no adapter {n}"),
            },
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Device::Cpu => f.write_str("cpu"),
            Device::Gpu(n) => write!(f, "gpu:{n}"),
        }
    }
}

impl std::str::FromStr for Device {
    type Err = Error;
    /// `cpu`, `gpu` (the first one) or `gpu:N`; an adapter that is not there is an error.
    fn from_str(s: &str) -> Result<Device> {
        let index = match s.split_once(':') {
            None if s == "cpu" => return Ok(Device::Cpu),
            None if s == "gpu" => 0,
            Some(("gpu", n)) if n.parse::<usize>().is_ok() => n.parse().unwrap_or(0),
            _ => return Err(Error::Device(format!("no device '{s}': use cpu, gpu or gpu:N"))),
        };
        let count = gpu::adapters().len();
        if index < count {
            return Ok(Device::Gpu(index));
        }
        Err(Error::Device(if count == 0 {
            "no GPU adapter found; a software one is in Debian's package mesa-vulkan-drivers".into()
        } else {
            format!("no adapter gpu:{index}: {count} found")
        }))
    }
}
