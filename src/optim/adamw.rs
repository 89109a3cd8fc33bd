//! AdamW: Adam with weight decay apart from the gradient.

use super::{Adam, AdamOptions, Optimizer, ParamGroup};
use crate::error::Result;
use crate::nn::StateDict;
use crate::tensor::{Tensor, unwrap};

/// Adam whose weight decay shrinks the parameters instead of entering the gradient (`torch.optim.AdamW`; Loshchilov and Hutter 2019).
///
/// ```
/// # use wgtorch::{optim::AdamW, prelude::*};
/// let net = Linear::new(2, 1);
/// let mut optimizer = AdamW::new(net.parameters(), 1e-3).weight_decay(0.1);
/// net.call(&ones([1, 2], ())).sum().backward();
/// optimizer.step();
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug)]
pub struct AdamW(Adam);

impl AdamW {
    /// PyTorch's settings for AdamW: [`AdamOptions`] with a weight decay of 0.01, decoupled.
    pub fn options(lr: f64) -> AdamOptions {
        AdamOptions { weight_decay: 0.01, decoupled_weight_decay: true, ..AdamOptions::new(lr) }
    }

    /// Over parameters, with a learning rate.
    ///
    /// # Panics
    /// If there is no parameter, one is no leaf or given twice, or the rate is negative.
    #[track_caller]
    pub fn new(params: Vec<Tensor>, lr: f64) -> AdamW {
        unwrap(AdamW::try_new(params, AdamW::options(lr)))
    }

    /// Over parameters, with all settings; the weight decay is decoupled, whatever they say.
    ///
    /// # Errors
    /// If there is no parameter, one is no leaf or given twice, or the settings are wrong.
    pub fn try_new(params: Vec<Tensor>, options: AdamOptions) -> Result<AdamW> {
        Ok(AdamW(Adam::try_new(params, options.decoupled_weight_decay(true))?))
    }

    /// Further parameters with settings of their own (`add_param_group`).
    ///
    /// # Errors
    /// As [`AdamW::try_new`].
    pub fn add_param_group(&mut self, params: Vec<Tensor>, options: AdamOptions) -> Result<()> {
        self.0.add_param_group(params, options.decoupled_weight_decay(true))
    }

    /// Parameters and settings, to look at and to change (`param_groups`).
    pub fn param_groups(&mut self) -> &mut [ParamGroup<AdamOptions>] {
        self.0.param_groups()
    }
}

macro_rules! setters {
    ($($(#[$m:meta])* $name:ident: $t:ty),* $(,)?) => {
        impl AdamW {$(
            $(#[$m])*
            ///
            /// # Panics
            /// If the setting is out of its range.
            #[must_use]
            #[track_caller]
            pub fn $name(self, $name: $t) -> AdamW {
                AdamW(self.0.$name($name))
            }
        )*}
    };
}
setters! {
    /// With other decay rates.
    betas: (f64, f64),
    /// With another term against division by zero.
    eps: f64,
    /// With another weight decay.
    weight_decay: f64,
    /// With the largest mean square so far as the divisor.
    amsgrad: bool,
    /// Going up instead of down.
    maximize: bool,
}

impl Optimizer for AdamW {
    #[track_caller]
    fn step(&mut self) {
        self.0.step();
    }
    fn parameters(&self) -> Vec<Tensor> {
        self.0.parameters()
    }
    fn lr(&self, group: usize) -> f64 {
        self.0.lr(group)
    }
    fn set_lr(&mut self, group: usize, lr: f64) {
        self.0.set_lr(group, lr);
    }
    fn num_groups(&self) -> usize {
        self.0.num_groups()
    }
    fn state_dict(&self) -> StateDict {
        self.0.state_dict()
    }
    fn load_state_dict(&mut self, state: &StateDict) -> Result<()> {
        self.0.load_state_dict(state)
    }
}
