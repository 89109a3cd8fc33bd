//! Running the tape backwards: the engine, `backward` and `grad`.

mod engine;
pub mod functional;

pub use engine::{GradOptions, backward, grad};

pub use crate::tensor::{GradModeGuard, Node, enable_grad, is_grad_enabled, no_grad, no_grad_guard};
