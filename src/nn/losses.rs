//! Losses as modules.

use super::Module;
use crate::ops::{CrossEntropyOptions, Reduction};
use crate::tensor::Tensor;

/// [`Tensor::cross_entropy`] with its settings (`nn.CrossEntropyLoss`).
#[derive(Clone, Debug, Default, Module)]
pub struct CrossEntropyLoss {
    #[module(skip)]
    options: CrossEntropyOptions,
}

/// [`Tensor::nll_loss`] with its settings (`nn.NLLLoss`).
#[derive(Clone, Debug, Default, Module)]
pub struct NLLLoss {
    #[module(skip)]
    options: CrossEntropyOptions,
}

/// [`Tensor::mse_loss`] with its reduction (`nn.MSELoss`).
#[derive(Clone, Debug, Default, Module)]
pub struct MSELoss {
    reduction: Reduction,
}

/// [`Tensor::l1_loss`] with its reduction (`nn.L1Loss`).
#[derive(Clone, Debug, Default, Module)]
pub struct L1Loss {
    reduction: Reduction,
}

macro_rules! losses {
    ($($name:ident $method:ident $field:ident: $options:ty;)*) => {$(
        impl $name {
            /// With the mean of the losses.
            pub fn new() -> $name { $name::default() }
            /// With other settings.
            pub fn with(options: impl Into<$options>) -> $name { $name { $field: options.into() } }
            /// The loss of an input against a target.
            #[track_caller]
            pub fn call(&self, input: &Tensor, target: &Tensor) -> Tensor {
                input.$method(target, self.$field.clone())
            }
        }
    )*};
}
losses! {
    CrossEntropyLoss cross_entropy options: CrossEntropyOptions;
    NLLLoss nll_loss options: CrossEntropyOptions;
    MSELoss mse_loss reduction: Reduction;
    L1Loss l1_loss reduction: Reduction;
}
