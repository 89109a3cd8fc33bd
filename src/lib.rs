//! PyTorch for Rust on any GPU: tensors, define-by-run autograd, `nn` and `optim` over wgpu and rayon.

pub mod cpu;
pub mod dtype;
pub mod error;
pub mod format;
pub mod gpu;
pub mod io;
pub mod layout;
pub mod num;
pub mod program;
pub mod rng;
pub mod scalar;
pub mod shape;

pub use dtype::DType;
pub use error::{Error, Result};
pub use scalar::Scalar;
pub use shape::Shape;
