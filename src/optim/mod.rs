//! Optimizers: they hold handles of parameters and change what lies under them, in PyTorch's order of operations. Plain float32
//! parameters are updated many to a kernel (`fused`); for the others a step is a chain of elementwise in-place ops each, which the
//! stream makes one kernel of.

mod adam;
mod adamw;
mod fused;
mod group;
mod sgd;

pub use adam::{Adam, AdamOptions};
pub use adamw::AdamW;
pub use group::ParamGroup;
pub use sgd::{SGD, SGDOptions};

use crate::error::Result;
use crate::nn::StateDict;
use crate::tensor::Tensor;

/// What every optimizer can do.
pub trait Optimizer {
    /// Changes the parameters by their gradients; those without one are left alone.
    fn step(&mut self);

    /// All parameters of all groups.
    fn parameters(&self) -> Vec<Tensor>;

    /// The learning rate of a group (`param_groups[i]["lr"]`).
    fn lr(&self, group: usize) -> f64;

    /// Sets the learning rate of a group.
    fn set_lr(&mut self, group: usize, lr: f64);

    /// Number of parameter groups.
    fn num_groups(&self) -> usize;

    /// Takes the gradients away, so that the next ones start from nothing (`zero_grad()`).
    fn zero_grad(&self) {
        self.parameters().iter().for_each(|p| p.set_grad(None));
    }

    /// What it remembers of each parameter (`state.0.momentum_buffer`) and the settings of each group (`param_groups.0.lr`).
    fn state_dict(&self) -> StateDict;

    /// Takes over what [`Optimizer::state_dict`] gave.
    ///
    /// # Errors
    /// If a tensor's shape is not its parameter's, or a number of parameters or groups differs.
    fn load_state_dict(&mut self, state: &StateDict) -> Result<()>;
}
