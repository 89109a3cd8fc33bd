//! The wgpu backend: adapters, buffers, pipelines and kernels. No tensors here, and nothing of the CPU backend.
