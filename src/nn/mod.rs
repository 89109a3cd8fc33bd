//! Modules: layers and containers that own parameters, the traits that hold them together, and the functional forms.

mod activations;
mod containers;
mod embedding;
pub mod functional;
mod hooks;
pub mod init;
mod layers;
mod losses;
mod module;
mod norm;
mod pads;
mod pools;
mod repr;
mod state;
pub mod utils;

pub use activations::{
    CELU, ELU, GELU, GLU, Hardshrink, Hardsigmoid, Hardswish, Hardtanh, LeakyReLU, LogSigmoid, LogSoftmax, Mish, PReLU,
    ReLU, ReLU6, SELU, SiLU, Sigmoid, Softmax, Softmax2d, Softmin, Softplus, Softshrink, Softsign, Tanh, Tanhshrink,
    Threshold,
};
pub use containers::{Identity, Sequential};
pub use embedding::{Embedding, EmbeddingBuilder};
pub use hooks::{Hook, HookHandle, Hooks, PreHook};
pub use layers::{Conv2d, Conv2dBuilder, Dropout, Flatten, Linear, LinearBuilder, PaddingMode, Unflatten};
pub use losses::{BCELoss, BCEWithLogitsLoss, CrossEntropyLoss, HuberLoss, L1Loss, MSELoss, NLLLoss, SmoothL1Loss};
pub use module::{Field, Forward, Module, Training, Visitor, parameter};
pub use norm::{LayerNorm, LayerNormBuilder};
pub use pads::{
    CircularPad1d, CircularPad2d, CircularPad3d, ConstantPad1d, ConstantPad2d, ConstantPad3d, ReflectionPad1d,
    ReflectionPad2d, ReflectionPad3d, ReplicationPad1d, ReplicationPad2d, ReplicationPad3d, ZeroPad1d, ZeroPad2d,
    ZeroPad3d,
};
pub use pools::{AdaptiveAvgPool2d, AdaptiveMaxPool2d, AvgPool2d, MaxPool2d};
pub use repr::repr;
pub use state::{IncompatibleKeys, StateDict};
/// Implements the trait [`Module`](trait@Module) for a struct whose fields are layers, parameters, buffers and plain data.
///
/// ```
/// use wgtorch::prelude::*;
///
/// #[derive(Module)]
/// struct Net { fc1: Linear, fc2: Linear }
///
/// impl Forward for Net {
///     fn forward(&self, x: &Tensor) -> Tensor { self.fc2.call(&self.fc1.call(x).relu()) }
/// }
///
/// let net = Net { fc1: Linear::new(4, 8), fc2: Linear::new(8, 2) };
/// assert_eq!(net.call(&ones([3, 4], ())).shape(), [3, 2]);
/// assert_eq!(net.named_parameters()[0].0, "fc1.weight");
/// println!("{net}");
/// ```
pub use wgtorch_derive::Module;
