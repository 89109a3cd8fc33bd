//! Running the tape backwards: the engine, `backward` and `grad`.

mod anomaly;
mod checkpoint;
mod engine;
mod function;
pub mod functional;
mod hooks;

pub use anomaly::detect_anomaly;
pub use checkpoint::checkpoint;
pub use engine::{GradOptions, backward, grad};
pub use function::{Function, FunctionCtx};
pub use hooks::{HookFn, TensorHook};

pub use crate::tensor::{GradModeGuard, Node, enable_grad, is_grad_enabled, no_grad, no_grad_guard};
