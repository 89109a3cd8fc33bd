//! Losses as modules.

use super::Module;
use crate::ops::{BCEOptions, CrossEntropyOptions, HuberOptions, Reduction, SmoothL1Options};
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

/// [`Tensor::smooth_l1_loss`] with its settings (`nn.SmoothL1Loss`).
#[derive(Clone, Debug, Default, Module)]
pub struct SmoothL1Loss {
    #[module(skip)]
    options: SmoothL1Options,
}

/// [`Tensor::huber_loss`] with its settings (`nn.HuberLoss`).
#[derive(Clone, Debug, Default, Module)]
pub struct HuberLoss {
    #[module(skip)]
    options: HuberOptions,
}

/// [`Tensor::binary_cross_entropy`] with its settings (`nn.BCELoss`); the weight, if there is one, is a buffer.
#[derive(Clone, Debug, Default, Module)]
pub struct BCELoss {
    #[module(buffer)]
    weight: Option<Tensor>,
    #[module(skip)]
    options: BCEOptions,
}

/// [`Tensor::binary_cross_entropy_with_logits`] with its settings (`nn.BCEWithLogitsLoss`); the weights are buffers.
#[derive(Clone, Debug, Default, Module)]
pub struct BCEWithLogitsLoss {
    #[module(buffer)]
    weight: Option<Tensor>,
    #[module(buffer)]
    pos_weight: Option<Tensor>,
    #[module(skip)]
    options: BCEOptions,
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
    SmoothL1Loss smooth_l1_loss |options: SmoothL1Options| { options }, |own| own.options;
    HuberLoss huber_loss |options: HuberOptions| { options }, |own| own.options;
    BCELoss binary_cross_entropy |options: BCEOptions| { weight: options.weight.clone(), options }, |own| own.options.clone();
    BCEWithLogitsLoss binary_cross_entropy_with_logits |options: BCEOptions| {
        weight: options.weight.clone(), pos_weight: options.pos_weight.clone(), options
    }, |own| own.options.clone();
}
