//! Stochastic gradient descent.

use super::Optimizer;
use super::fused::{self, SgdItem, by_device, takes};
use super::group::{Groups, ParamGroup, Settings, float, optimizer_methods};
use crate::error::{Result, ensure};
use crate::gpu::kernels::optim::Sgd;
use crate::nn::StateDict;
use crate::ops::zeros_like;
use crate::tensor::{Tensor, unwrap};
use std::collections::HashSet;

/// Settings of [`SGD`].
#[non_exhaustive]
#[derive(Clone, Copy, Debug)]
pub struct SGDOptions {
    /// Learning rate.
    pub lr: f64,
    /// How much of the last step goes into the next.
    pub momentum: f64,
    /// How much of the gradient does not go into the momentum.
    pub dampening: f64,
    /// L2 penalty.
    pub weight_decay: f64,
    /// Looks ahead by the momentum.
    pub nesterov: bool,
    /// Goes up instead of down.
    pub maximize: bool,
}

impl SGDOptions {
    /// Plain descent.
    pub fn new(lr: f64) -> SGDOptions {
        SGDOptions { lr, momentum: 0.0, dampening: 0.0, weight_decay: 0.0, nesterov: false, maximize: false }
    }
}

macro_rules! setters {
    ($($(#[$m:meta])* $name:ident: $t:ty),* $(,)?) => {
        impl SGDOptions {$(
            $(#[$m])*
            pub fn $name(mut self, $name: $t) -> SGDOptions {
                self.$name = $name;
                self
            }
        )*}
        impl SGD {$(
            $(#[$m])*
            ///
            /// # Panics
            /// If the settings contradict each other.
            #[must_use]
            #[track_caller]
            pub fn $name(mut self, $name: $t) -> SGD {
                for g in &mut self.groups.groups {
                    g.options.$name = $name;
                    unwrap(g.options.check());
                }
                self
            }
        )*}
    };
}
setters! {
    /// With momentum.
    momentum: f64,
    /// With dampening of the gradient that goes into the momentum.
    dampening: f64,
    /// With an L2 penalty.
    weight_decay: f64,
    /// With Nesterov's look ahead, which needs momentum and no dampening.
    nesterov: bool,
    /// Going up instead of down.
    maximize: bool,
}

impl Settings for SGDOptions {
    fn name(&self) -> &'static str {
        "SGD"
    }
    fn numbers(&self) -> Vec<(&'static str, f64)> {
        vec![
            ("lr", self.lr),
            ("momentum", self.momentum),
            ("dampening", self.dampening),
            ("weight_decay", self.weight_decay),
            ("nesterov", self.nesterov as u8 as f64),
            ("maximize", self.maximize as u8 as f64),
        ]
    }
    fn set(&mut self, name: &str, value: f64) {
        match name {
            "lr" => self.lr = value,
            "momentum" => self.momentum = value,
            "dampening" => self.dampening = value,
            "weight_decay" => self.weight_decay = value,
            "nesterov" => self.nesterov = value != 0.0,
            "maximize" => self.maximize = value != 0.0,
            _ => {}
        }
    }
    fn check(&self) -> Result<()> {
        ensure!(self.lr >= 0.0, Value, "Invalid learning rate: {}", float(self.lr));
        ensure!(self.momentum >= 0.0, Value, "Invalid momentum value: {}", float(self.momentum));
        ensure!(self.weight_decay >= 0.0, Value, "Invalid weight_decay value: {}", float(self.weight_decay));
        ensure!(
            !self.nesterov || (self.momentum > 0.0 && self.dampening == 0.0),
            Value,
            "Nesterov momentum requires a momentum and zero dampening"
        );
        Ok(())
    }
}

/// Stochastic gradient descent with momentum (`torch.optim.SGD`).
///
/// ```
/// # use wgtorch::prelude::*;
/// let w = nn::parameter(ones([2], ()));
/// let mut optimizer = SGD::new(vec![w.clone()], 0.1).momentum(0.9);
/// (&w * &w).sum().backward();
/// optimizer.step();
/// assert_eq!(w.to_vec::<f32>()?, [0.8, 0.8]);
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug)]
pub struct SGD {
    groups: Groups<SGDOptions, Tensor>,
}

impl SGD {
    /// Over parameters, with a learning rate.
    ///
    /// # Panics
    /// If there is no parameter, one is no leaf or given twice, or the rate is negative.
    #[track_caller]
    pub fn new(params: Vec<Tensor>, lr: f64) -> SGD {
        unwrap(SGD::try_new(params, SGDOptions::new(lr)))
    }

    /// Over parameters, with all settings.
    ///
    /// # Errors
    /// If there is no parameter, one is no leaf or given twice, or the settings are wrong.
    pub fn try_new(params: Vec<Tensor>, options: SGDOptions) -> Result<SGD> {
        Ok(SGD { groups: Groups::new(params, options)? })
    }

    /// Further parameters with settings of their own (`add_param_group`).
    ///
    /// # Errors
    /// As [`SGD::try_new`].
    pub fn add_param_group(&mut self, params: Vec<Tensor>, options: SGDOptions) -> Result<()> {
        self.groups.add(params, options)
    }

    /// Parameters and settings, to look at and to change (`param_groups`).
    pub fn param_groups(&mut self) -> &mut [ParamGroup<SGDOptions>] {
        &mut self.groups.groups
    }
}

/// The step of one parameter in elementwise ops.
fn single(p: &Tensor, g: Tensor, o: &SGDOptions, buffer: &mut Option<Tensor>) {
    let mut g = if o.maximize { -g } else { g };
    if o.weight_decay != 0.0 {
        g = g + p * o.weight_decay;
    }
    if o.momentum != 0.0 {
        let buffer = match buffer {
            Some(b) => {
                b.mul_(o.momentum);
                if o.dampening == 0.0 {
                    b.add_(&g)
                } else {
                    b.add_(&g * (1.0 - o.dampening))
                };
                &*b
            }
            // the first gradient goes in whole
            none => &*none.insert(g.copy()),
        };
        g = if o.nesterov { g + buffer * o.momentum } else { buffer.clone() };
    }
    p.add_(g * -o.lr);
}

impl Optimizer for SGD {
    #[track_caller]
    fn step(&mut self) {
        self.groups.step(|o, items| {
            // together: those without momentum yet, and those with
            let mut fused: [Vec<SgdItem>; 2] = Default::default();
            let mut seen = HashSet::new();
            for (p, g, buffer) in items {
                let started = buffer.is_some();
                if !takes(p, &g, &buffer.iter().collect::<Vec<_>>(), &mut seen) {
                    single(p, g, o, buffer);
                    continue;
                }
                let state = (o.momentum != 0.0).then(|| buffer.get_or_insert_with(|| zeros_like(p, ())).clone());
                fused[usize::from(started)].push((g, p.clone(), state));
            }
            let SGDOptions { lr, momentum, dampening, weight_decay, nesterov, maximize } = *o;
            let how = Sgd { lr, momentum, dampening, weight_decay, nesterov, maximize };
            for (started, items) in [false, true].into_iter().zip(fused) {
                by_device(items, |i| i.1.device(), |items| fused::sgd(how, started, items));
            }
        });
    }

    optimizer_methods!();

    fn state_dict(&self) -> StateDict {
        self.groups.save(|b| vec![("momentum_buffer", b.clone())])
    }

    fn load_state_dict(&mut self, state: &StateDict) -> Result<()> {
        self.groups.load(state, |find| find("momentum_buffer"))
    }
}
