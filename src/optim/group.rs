//! Parameters with the settings they share, and the checks on both.

use crate::error::{Result, ensure};
use crate::nn::StateDict;
use crate::tensor::{Tensor, TensorOptions};
use crate::trace::{self, Kind, Work};
use crate::{DType, no_grad};

/// Parameters that share settings.
#[derive(Clone, Debug)]
pub struct ParamGroup<O> {
    /// The parameters.
    pub params: Vec<Tensor>,
    /// Their settings.
    pub options: O,
}

/// Settings that are numbers under PyTorch's names, for saving.
pub(super) trait Settings: Clone {
    /// The optimizer's name in PyTorch.
    fn name(&self) -> &'static str;
    fn numbers(&self) -> Vec<(&'static str, f64)>;
    fn set(&mut self, name: &str, value: f64);
    fn check(&self) -> Result<()>;
}

pub(super) use crate::scalar::python_float as float;

/// A parameter, its gradient and its state.
pub(super) type Item<'a, S> = (&'a Tensor, Tensor, &'a mut Option<S>);

/// All groups, and the state of each parameter in their order.
#[derive(Debug)]
pub(super) struct Groups<O, S> {
    pub groups: Vec<ParamGroup<O>>,
    pub state: Vec<Option<S>>,
}

impl<O: Settings, S> Groups<O, S> {
    pub fn new(params: Vec<Tensor>, options: O) -> Result<Groups<O, S>> {
        ensure!(!params.is_empty(), Value, "optimizer got an empty parameter list");
        let mut g = Groups { groups: Vec::new(), state: Vec::new() };
        g.add(params, options)?;
        Ok(g)
    }

    pub fn add(&mut self, params: Vec<Tensor>, options: O) -> Result<()> {
        options.check()?;
        let mut all = self.parameters();
        for p in &params {
            ensure!(p.is_leaf(), Value, "can't optimize a non-leaf Tensor");
            ensure!(
                !all.iter().any(|q| q.is_same(p)),
                Value,
                "some parameters appear in more than one parameter group"
            );
            all.push(p.clone());
        }
        self.state.extend(params.iter().map(|_| None));
        self.groups.push(ParamGroup { params, options });
        Ok(())
    }

    pub fn parameters(&self) -> Vec<Tensor> {
        self.groups.iter().flat_map(|g| g.params.iter().cloned()).collect()
    }

    /// Calls `update` for each group with its settings and every parameter that has a gradient: the parameter, the gradient
    /// and the parameter's state.
    pub fn step(&mut self, mut update: impl FnMut(&O, Vec<Item<'_, S>>)) {
        let name = self.groups.first().map_or("Optimizer", |g| g.options.name());
        let _span =
            trace::span_with(Kind::Function, || (format!("Optimizer.step#{name}.step").into(), Work::default()));
        no_grad(|| {
            let mut state = self.state.iter_mut();
            for group in &self.groups {
                let items = group.params.iter().zip(&mut state).filter_map(|(p, s)| Some((p, p.grad()?, s)));
                update(&group.options, items.collect());
            }
        });
    }

    pub fn save(&self, tensors: impl Fn(&S) -> Vec<(&'static str, Tensor)>) -> StateDict {
        let mut out = StateDict::new();
        for (i, s) in self.state.iter().enumerate() {
            for (name, t) in s.iter().flat_map(&tensors) {
                out.insert(format!("state.{i}.{name}"), t);
            }
        }
        for (i, g) in self.groups.iter().enumerate() {
            for (name, x) in g.options.numbers() {
                let t = Tensor::constant(crate::Scalar::Float(x), &[], DType::F64, crate::Device::Cpu);
                out.insert(format!("param_groups.{i}.{name}"), t);
            }
        }
        out
    }

    /// Reads back what `save` wrote: settings first, then each parameter's state, made by `state` from a look-up of its tensors.
    pub fn load(
        &mut self,
        saved: &StateDict,
        state: impl Fn(&dyn Fn(&str) -> Result<Option<Tensor>>) -> Result<Option<S>>,
    ) -> Result<()> {
        let count = |prefix: &str| {
            let number = |k: &str| k.strip_prefix(prefix)?.split('.').next()?.parse::<usize>().ok();
            saved.keys().filter_map(number).max().map_or(0, |n| n + 1)
        };
        let groups = count("param_groups.");
        ensure!(groups == self.groups.len(), Value, "loaded state dict has a different number of parameter groups");
        ensure!(
            count("state.") <= self.state.len(),
            Value,
            "loaded state dict contains a parameter group that doesn't match the size of optimizer's group"
        );
        let mut options: Vec<O> = self.groups.iter().map(|g| g.options.clone()).collect();
        for (i, o) in options.iter_mut().enumerate() {
            let prefix = format!("param_groups.{i}.");
            for (name, t) in saved.iter().filter_map(|(k, t)| Some((k.strip_prefix(&prefix)?, t))) {
                o.set(name, t.item::<f64>()?);
            }
            o.check()?;
        }
        let mut states = Vec::new();
        for (i, p) in self.parameters().iter().enumerate() {
            let find = |name: &str| -> Result<Option<Tensor>> {
                let Some(t) = saved.get(&format!("state.{i}.{name}")) else { return Ok(None) };
                if t.dim() == 0 && p.dim() > 0 {
                    return Ok(Some(t.clone()));
                }
                ensure!(
                    t.shape() == p.shape(),
                    Value,
                    "state.{i}.{name} has shape {}, its parameter {}",
                    t.shape(),
                    p.shape()
                );
                let same = TensorOptions::new().dtype(p.dtype()).device(p.device());
                let copy = crate::ops::empty(p.shape(), same);
                no_grad(|| copy.checked().copy_(t)).map(Some)
            };
            states.push(state(&find)?);
        }
        for (g, o) in self.groups.iter_mut().zip(options) {
            g.options = o;
        }
        self.state = states;
        Ok(())
    }
}

/// The methods that are the same for every optimizer.
macro_rules! optimizer_methods {
    () => {
        fn parameters(&self) -> Vec<Tensor> {
            self.groups.parameters()
        }
        fn lr(&self, group: usize) -> f64 {
            self.groups.groups[group].options.lr
        }
        fn set_lr(&mut self, group: usize, lr: f64) {
            self.groups.groups[group].options.lr = lr;
        }
        fn num_groups(&self) -> usize {
            self.groups.groups.len()
        }
    };
}
pub(super) use optimizer_methods;
