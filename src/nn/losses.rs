//! Losses as modules.

use super::Module;
use crate::ops::{CrossEntropyOptions, Reduction};
use crate::tensor::Tensor;

/// [`Tensor::cross_entropy`] with its settings (`nn.CrossEntropyLoss`); the class weights, if there are any, are a buffer.
#[derive(Clone, Debug, Default, Module)]
pub struct CrossEntropyLoss {
    #[module(buffer)]
    weight: Option<Tensor>,
    #[module(skip)]
    options: CrossEntropyOptions,
}

/// [`Tensor::nll_loss`] with its settings (`nn.NLLLoss`); the class weights, if there are any, are a buffer.
#[derive(Clone, Debug, Default, Module)]
pub struct NLLLoss {
    #[module(buffer)]
    weight: Option<Tensor>,
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
    ($($name:ident $method:ident |$options:ident: $t:ty| $fields:tt, |$own:ident| $settings:expr;)*) => {$(
        impl $name {
            /// With the mean of the losses.
            pub fn new() -> $name {
                $name::default()
            }
            /// With other settings.
            pub fn with(options: impl Into<$t>) -> $name {
                let $options = options.into();
                $name $fields
            }
            /// The loss of an input against a target.
            #[track_caller]
            pub fn call(&self, input: &Tensor, target: &Tensor) -> Tensor {
                let $own = self;
                input.$method(target, $settings)
            }
        }
    )*};
}
losses! {
    // the buffer is another handle of the options' weight: what `to` and `load_state_dict` do to it shows in both
    CrossEntropyLoss cross_entropy |options: CrossEntropyOptions| { weight: options.weight.clone(), options },
        |own| own.options.clone();
    NLLLoss nll_loss |options: CrossEntropyOptions| { weight: options.weight.clone(), options }, |own| own.options.clone();
    MSELoss mse_loss |reduction: Reduction| { reduction }, |own| own.reduction;
    L1Loss l1_loss |reduction: Reduction| { reduction }, |own| own.reduction;
}
