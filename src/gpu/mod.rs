//! The wgpu backend: adapters, buffers, pipelines and kernels. No tensors here, and nothing of the CPU backend.

mod adapter;
mod body;
mod buffer;
mod copy;
mod elements;
mod fold;
pub mod kernels;
mod params;
#[cfg(test)]
mod philox_test;
mod pipeline;
pub mod pointwise;
mod readback;
mod recorder;
pub mod reduce;
mod reduce_wgsl;
#[cfg(test)]
mod rows_tests;
#[cfg(test)]
mod shader_tests;
#[cfg(test)]
mod shading;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod timing;
pub mod tuner;
mod variant;
mod view;

pub use adapter::{Gpu, adapters, gpu, init_async, opened};
pub use buffer::Buffer;
pub use pipeline::{Access, KernelId, KernelSource};
pub use readback::{Status, command};
pub use recorder::{Counters, Recorder};
use variant::Variant;
pub use view::GpuView;
