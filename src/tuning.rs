//! An opt-in tuner for matrix products of float32 on GPUs. By default a fixed table of shapes chooses the kernel, and nothing depends on time;
//! [`start`] (or `WGTORCH_TUNE=tuning.json`) has each class of shapes timed once on the adapter in use, and keeps the choices in a file.
//! With the same complete file nothing is timed, and runs repeat bit for bit. PyTorch: `torch.cuda.tunable`.
//!
//! ```no_run
//! use wgtorch::{prelude::*, tuning};
//!
//! tuning::start("tuning.json")?;
//! let x = randn([1, 4096], ()).to(Device::Gpu(0));
//! x.matmul(&x.t()).to_vec::<f32>()?;
//! println!("{} classes were timed, the file had the others", tuning::timed());
//! # Ok::<(), Error>(())
//! ```
//!
//! A class is an adapter with its driver, sizes up to the next power of two, and how the operands lie. The file is JSON, rewritten
//! as a whole at every new class: of two processes that write it at once the last one's choices stay. Variants are
//! compared by the device's timestamps where it has them, else by the host's clock. What `WGTORCH_KERNELS` forces is not timed.

use crate::error::Result;
use crate::gpu;
use std::path::Path;

/// Switches the tuner on for this process, with the choices of a file; where there is none it is made.
///
/// # Errors
///
/// [`Error::Format`](crate::Error) where the file is not the tuner's, [`Error::Io`](crate::Error) where it can neither be read nor
/// made. A choice that cannot compute its class, and a file that cannot be written later on, are errors of the product that met them.
///
/// PyTorch: `torch.cuda.tunable.enable()` and `set_filename`.
pub fn start(path: impl AsRef<Path>) -> Result<()> {
    gpu::tuner::start(path.as_ref())
}

/// Switches the tuner off: the fixed table chooses again (`torch.cuda.tunable.enable(False)`).
pub fn stop() {
    gpu::tuner::stop();
}

/// How many classes of products this process has timed; those that the file knew are not among them.
pub fn timed() -> u64 {
    gpu::tuner::timed()
}
