//! CPU kernels over raw strided views, split by rayon. No tensors here, and nothing of the GPU.

pub mod memory;
pub mod view;
