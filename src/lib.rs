//! PyTorch for Rust on any GPU: tensors, define-by-run autograd, `nn` and `optim` over wgpu and rayon.
//!
//! ```
//! use wgtorch::prelude::*;
//!
//! let x = tensor!([[1., 2.], [3., 4.]]);
//! x.requires_grad_(true);
//! let y = (&x * &x + 2.0 * &x).sum();
//! y.backward();
//! assert_eq!(x.grad().unwrap().to_vec::<f32>()?, [4., 6., 8., 10.]);
//! # Ok::<(), Error>(())
//! ```

#![recursion_limit = "256"]

extern crate self as wgtorch;

pub mod autograd;
mod cpu;
pub mod data;
mod device;
mod dtype;
mod error;
mod format;
mod gpu;
pub mod io;
mod layout;
pub mod nn;
mod num;
pub mod ops;
pub mod optim;
pub mod profiler;
mod program;
mod rng;
mod scalar;
mod shape;
pub mod stream;
mod tensor;
mod trace;
pub mod tuning;

pub use autograd::{GradModeGuard, enable_grad, is_grad_enabled, no_grad, no_grad_guard};
pub use device::Device;
pub use dtype::{Category, DType, Element};
pub use error::{Error, Result};
pub use format::{PrintOptions, printoptions, set_printoptions};
pub use num_complex::Complex;
pub use ops::*;
pub use scalar::Scalar;
pub use shape::Shape;
pub use tensor::{Checked, IntoTensorData, Meta, Tensor, TensorOptions};
#[cfg(feature = "ndarray")]
pub use tensor::{NdArray, NdView, NdViewMut};

/// The names that programs use all the time: types, traits, macros, creation functions and dtype constants.
pub mod prelude {
    pub use crate::ops::{
        arange, empty, empty_like, full, full_like, manual_seed, ones, ones_like, rand, rand_like, randint, randn,
        randn_like, randperm, zeros, zeros_like,
    };
    pub use crate::{
        Complex, DType, Device, Error, Scalar, Shape, Tensor, TensorOptions, enable_grad, no_grad, tensor,
    };

    pub use crate::data::{DataLoader, Dataset, MNIST, TensorDataset};
    pub use crate::nn::{
        AdaptiveAvgPool2d, AdaptiveMaxPool2d, AvgPool2d, Conv2d, CrossEntropyLoss, Dropout, Embedding, Flatten,
        Forward, GELU, Identity, L1Loss, LayerNorm, Linear, LogSoftmax, MSELoss, MaxPool2d, Module, NLLLoss, ReLU,
        Sequential, Sigmoid, Softmax, StateDict, Tanh, functional as F,
    };
    pub use crate::optim::{Adam, AdamW, Optimizer, SGD};
    pub use crate::{nn, optim, sequential};

    pub use crate::DType::{BF16, Bool, C64, C128, F16, F32, F64, I8, I16, I32, I64, U8, U32};
}
