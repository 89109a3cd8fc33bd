//! The wgpu backend: adapters, buffers, pipelines and kernels. No tensors here, and nothing of the CPU backend.

mod adapter;
mod body;
mod buffer;
mod elements;
pub mod kernels;
mod fold;
mod params;
#[cfg(test)]
mod philox_test;
mod pipeline;
pub mod pointwise;
mod readback;
mod recorder;
pub mod reduce;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod view;

pub use adapter::{AdapterInfo, Backend, DeviceType, Features, Gpu, adapters, gpu, init_async};
pub use buffer::Buffer;
pub use pipeline::{Access, KernelId, KernelSource};
pub use pointwise::GpuView;
pub use readback::Status;
pub use recorder::{Counters, Recorder};
pub use view::GpuView;
