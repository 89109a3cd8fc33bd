//! CPU kernels over raw strided views, split by rayon. No tensors here, and nothing of the GPU.

pub mod attention;
pub mod complex;
pub mod conv;
pub mod copy;
pub mod cross_entropy;
pub mod fft;
pub mod fold;
pub mod index;
pub mod lanes;
pub mod lines;
pub mod loss;
pub mod matmul;
pub mod memory;
pub mod norm;
pub mod number;
pub mod optim;
pub mod pointwise;
pub mod pool;
pub mod reduce;
pub mod scan;
pub mod simd;
pub mod softmax;
pub mod sort;
mod sort_team;
pub mod team;
pub mod view;
