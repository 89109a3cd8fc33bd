//! Adam.

use super::Optimizer;
use super::fused::{self, by_device, takes};
use super::group::{Groups, ParamGroup, Settings, float, optimizer_methods};
use crate::error::{Result, ensure};
use crate::gpu::kernels::optim as gpu;
use crate::nn::StateDict;
use crate::ops::zeros_like;
use crate::tensor::{Tensor, unwrap};
use std::collections::{BTreeMap, HashSet};

/// Settings of [`Adam`].
#[non_exhaustive]
#[derive(Clone, Copy, Debug)]
pub struct AdamOptions {
    /// Learning rate.
    pub lr: f64,
    /// How much of the running means of the gradient and its square stays.
    pub betas: (f64, f64),
    /// Added to the root of the mean square.
    pub eps: f64,
    /// L2 penalty, or with `decoupled_weight_decay` the share of the learning rate by which parameters shrink.
    pub weight_decay: f64,
    /// Divides by the largest mean square so far.
    pub amsgrad: bool,
    /// Goes up instead of down.
    pub maximize: bool,
    /// Weight decay apart from the gradient: [`AdamW`](super::AdamW).
    pub decoupled_weight_decay: bool,
}

impl AdamOptions {
    /// PyTorch's defaults with a learning rate.
    pub fn new(lr: f64) -> AdamOptions {
        AdamOptions {
            lr,
            betas: (0.9, 0.999),
            eps: 1e-8,
            weight_decay: 0.0,
            amsgrad: false,
            maximize: false,
            decoupled_weight_decay: false,
        }
    }
}

impl Default for AdamOptions {
    fn default() -> AdamOptions {
        AdamOptions::new(1e-3)
    }
}

macro_rules! setters {
    ($($(#[$m:meta])* $name:ident: $t:ty),* $(,)?) => {
        impl AdamOptions {$(
            $(#[$m])*
            pub fn $name(mut self, $name: $t) -> AdamOptions {
                self.$name = $name;
                self
            }
        )*}
        impl Adam {$(
            $(#[$m])*
            ///
            /// # Panics
            /// If the setting is out of its range.
            #[must_use]
            #[track_caller]
            pub fn $name(mut self, $name: $t) -> Adam {
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
    /// With other decay rates.
    betas: (f64, f64),
    /// With another term against division by zero.
    eps: f64,
    /// With an L2 penalty.
    weight_decay: f64,
    /// With the largest mean square so far as the divisor.
    amsgrad: bool,
    /// Going up instead of down.
    maximize: bool,
    /// With weight decay apart from the gradient.
    decoupled_weight_decay: bool,
}

impl Settings for AdamOptions {
    fn name(&self) -> &'static str {
        if self.decoupled_weight_decay { "AdamW" } else { "Adam" }
    }
    fn numbers(&self) -> Vec<(&'static str, f64)> {
        vec![
            ("lr", self.lr),
            ("beta1", self.betas.0),
            ("beta2", self.betas.1),
            ("eps", self.eps),
            ("weight_decay", self.weight_decay),
            ("amsgrad", self.amsgrad as u8 as f64),
            ("maximize", self.maximize as u8 as f64),
            ("decoupled_weight_decay", self.decoupled_weight_decay as u8 as f64),
        ]
    }
    fn set(&mut self, name: &str, value: f64) {
        match name {
            "lr" => self.lr = value,
            "beta1" => self.betas.0 = value,
            "beta2" => self.betas.1 = value,
            "eps" => self.eps = value,
            "weight_decay" => self.weight_decay = value,
            "amsgrad" => self.amsgrad = value != 0.0,
            "maximize" => self.maximize = value != 0.0,
            "decoupled_weight_decay" => self.decoupled_weight_decay = value != 0.0,
            _ => {}
        }
    }
    fn check(&self) -> Result<()> {
        ensure!(self.lr >= 0.0, Value, "Invalid learning rate: {}", float(self.lr));
        ensure!(self.eps >= 0.0, Value, "Invalid epsilon value: {}", float(self.eps));
        for (i, beta) in [self.betas.0, self.betas.1].into_iter().enumerate() {
            ensure!((0.0..1.0).contains(&beta), Value, "Invalid beta parameter at index {i}: {}", float(beta));
        }
        ensure!(self.weight_decay >= 0.0, Value, "Invalid weight_decay value: {}", float(self.weight_decay));
        Ok(())
    }
}

/// What Adam remembers of a parameter.
#[derive(Debug)]
struct Moments {
    step: u64,
    exp_avg: Tensor,
    exp_avg_sq: Tensor,
    max_exp_avg_sq: Option<Tensor>,
}

/// Adam (`torch.optim.Adam`).
#[derive(Debug)]
pub struct Adam {
    groups: Groups<AdamOptions, Moments>,
}

impl Adam {
    /// Over parameters, with a learning rate.
    ///
    /// # Panics
    /// If there is no parameter, one is no leaf or given twice, or the rate is negative.
    #[track_caller]
    pub fn new(params: Vec<Tensor>, lr: f64) -> Adam {
        unwrap(Adam::try_new(params, AdamOptions::new(lr)))
    }

    /// Over parameters, with all settings.
    ///
    /// # Errors
    /// If there is no parameter, one is no leaf or given twice, or the settings are wrong.
    pub fn try_new(params: Vec<Tensor>, options: AdamOptions) -> Result<Adam> {
        Ok(Adam { groups: Groups::new(params, options)? })
    }

    /// Further parameters with settings of their own (`add_param_group`).
    ///
    /// # Errors
    /// As [`Adam::try_new`].
    pub fn add_param_group(&mut self, params: Vec<Tensor>, options: AdamOptions) -> Result<()> {
        self.groups.add(params, options)
    }

    /// Parameters and settings, to look at and to change (`param_groups`).
    pub fn param_groups(&mut self) -> &mut [ParamGroup<AdamOptions>] {
        &mut self.groups.groups
    }
}

/// The step of one parameter in elementwise ops.
fn single(p: &Tensor, g: Tensor, o: &AdamOptions, m: &Moments) {
    let mut g = if o.maximize { -g } else { g };
    if o.weight_decay != 0.0 {
        if o.decoupled_weight_decay {
            p.mul_(1.0 - o.lr * o.weight_decay);
        } else {
            g = g + p * o.weight_decay;
        }
    }
    let (beta1, beta2) = o.betas;
    // torch.lerp: exact at its near end
    let weight = 1.0 - beta1;
    let gap = &g - &m.exp_avg;
    if weight < 0.5 {
        m.exp_avg.add_(gap * weight);
    } else {
        m.exp_avg.copy_(&(&g - gap * (1.0 - weight)));
    }
    m.exp_avg_sq.mul_(beta2).add_(&g * (1.0 - beta2) * &g);
    let step = m.step as f64;
    let (correction1, correction2) = (1.0 - beta1.powf(step), 1.0 - beta2.powf(step));
    let square = match &m.max_exp_avg_sq {
        Some(max) => max.copy_(&max.maximum(&m.exp_avg_sq)),
        None => m.exp_avg_sq.clone(),
    };
    let denominator = square.sqrt() / correction2.sqrt() + o.eps;
    p.add_(&m.exp_avg * (-o.lr / correction1) / denominator);
}

impl Optimizer for Adam {
    #[track_caller]
    fn step(&mut self) {
        self.groups.step(|o, items| {
            let mut fused: BTreeMap<u64, Vec<(Tensor, [Tensor; 3])>> = BTreeMap::new();
            let mut seen = HashSet::new();
            for (p, g, state) in items {
                let m = state.get_or_insert_with(|| Moments {
                    step: 0,
                    exp_avg: zeros_like(p, ()),
                    exp_avg_sq: zeros_like(p, ()),
                    max_exp_avg_sq: o.amsgrad.then(|| zeros_like(p, ())),
                });
                m.step += 1;
                if m.max_exp_avg_sq.is_none() && takes(p, &g, &[&m.exp_avg, &m.exp_avg_sq], &mut seen) {
                    let own = [p.clone(), m.exp_avg.clone(), m.exp_avg_sq.clone()];
                    fused.entry(m.step).or_default().push((g, own));
                } else {
                    single(p, g, o, m);
                }
            }
            let AdamOptions { lr, betas, eps, weight_decay, maximize, decoupled_weight_decay: decoupled, .. } = *o;
            let how = gpu::Adam { lr, betas, eps, weight_decay, decoupled, maximize };
            for (step, items) in fused {
                by_device(items, |i| i.1[0].device(), |items| fused::adam(how, step, items));
            }
        });
    }

    optimizer_methods!();

    fn state_dict(&self) -> StateDict {
        self.groups.save(|m| {
            let step =
                Tensor::constant(crate::Scalar::Float(m.step as f64), &[], crate::DType::F32, crate::Device::Cpu);
            let mut all = vec![("step", step), ("exp_avg", m.exp_avg.clone()), ("exp_avg_sq", m.exp_avg_sq.clone())];
            all.extend(m.max_exp_avg_sq.iter().map(|t| ("max_exp_avg_sq", t.clone())));
            all
        })
    }

    fn load_state_dict(&mut self, state: &StateDict) -> Result<()> {
        self.groups.load(state, |find| {
            let (Some(step), Some(exp_avg), Some(exp_avg_sq)) = (find("step")?, find("exp_avg")?, find("exp_avg_sq")?)
            else {
                return Ok(None);
            };
            let step = step.item::<f64>()? as u64;
            Ok(Some(Moments { step, exp_avg, exp_avg_sq, max_exp_avg_sq: find("max_exp_avg_sq")? }))
        })
    }
}
