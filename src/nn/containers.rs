//! Modules that hold modules.

use super::{Forward, Hooks, Module, Visitor};
use crate::tensor::Tensor;

/// Modules one after another (`nn.Sequential`).
///
/// ```
/// # use wgtorch::prelude::*;
/// let net = sequential![Linear::new(3, 2), ReLU::new(), Linear::new(2, 1)];
/// assert_eq!(net.call(&ones([5, 3], ())).shape(), [5, 1]);
/// assert_eq!(net.named_parameters()[3].0, "2.bias");
/// ```
#[derive(Default)]
pub struct Sequential {
    modules: Vec<(String, Box<dyn Forward + Send + Sync>)>,
    hooks: Hooks,
}

impl Sequential {
    /// Empty.
    pub fn new() -> Sequential {
        Sequential::default()
    }

    /// With one more module at the end, named by its position.
    #[must_use]
    #[allow(clippy::should_implement_trait, reason = "a builder's word, not a sum")]
    pub fn add(self, module: impl Forward + Send + Sync + 'static) -> Sequential {
        let name = self.modules.len().to_string();
        self.add_named(name, module)
    }

    /// With one more module at the end (`Sequential(OrderedDict(…))`).
    ///
    /// # Panics
    /// If the name is empty, taken, or has a dot in it.
    #[must_use]
    #[track_caller]
    pub fn add_named(mut self, name: impl Into<String>, module: impl Forward + Send + Sync + 'static) -> Sequential {
        let name = name.into();
        assert!(!name.is_empty(), "module name can't be empty string \"\"");
        assert!(!name.contains('.'), "module name can't contain \".\", got: {name}");
        assert!(self.modules.iter().all(|(n, _)| *n != name), "attribute '{name}' already exists");
        self.modules.push((name, Box::new(module)));
        self
    }

    /// How many modules there are.
    pub fn len(&self) -> usize {
        self.modules.len()
    }

    /// True where there is none.
    pub fn is_empty(&self) -> bool {
        self.modules.is_empty()
    }

    /// The modules in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &(dyn Forward + Send + Sync)> {
        self.modules.iter().map(|(_, m)| &**m)
    }
}

impl std::ops::Index<usize> for Sequential {
    type Output = dyn Forward + Send + Sync;
    fn index(&self, i: usize) -> &Self::Output {
        &*self.modules[i].1
    }
}

impl Module for Sequential {
    fn name(&self) -> &str {
        "Sequential"
    }
    fn fields(&self, visitor: &mut dyn Visitor) {
        visitor.hooks(&self.hooks);
        for (name, m) in &self.modules {
            visitor.module(name, m);
        }
    }
}

impl Forward for Sequential {
    #[track_caller]
    fn forward(&self, input: &Tensor) -> Tensor {
        self.modules.iter().fold(input.clone(), |x, (_, m)| m.call(&x))
    }
}

impl std::fmt::Display for Sequential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&super::repr(self))
    }
}

impl std::fmt::Debug for Sequential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

/// Modules one after another: `sequential![Linear::new(3, 2), ReLU::new()]`.
#[macro_export]
macro_rules! sequential {
    ($($module:expr),* $(,)?) => { $crate::nn::Sequential::new()$(.add($module))* };
}

/// Gives its input back (`nn.Identity`).
#[derive(Debug, Default, Module)]
pub struct Identity {
    hooks: Hooks,
}

impl Identity {
    /// The module.
    pub fn new() -> Identity {
        Identity::default()
    }
}

impl Forward for Identity {
    fn forward(&self, input: &Tensor) -> Tensor {
        input.clone()
    }
}
