//! Functions that see, and may replace, the gradient of a tensor on its way.

use crate::error::ensure;
use crate::tensor::{Hook, Node, Tensor, methods, next_sequence};
use std::sync::{Arc, Weak};

/// A hook that can be taken away again; dropping the handle leaves it in place.
#[derive(Debug)]
pub struct TensorHook {
    id: u64,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Leaf(Tensor),
    Node(Weak<Node>),
}

impl TensorHook {
    /// Takes the hook away (`handle.remove()`).
    pub fn remove(self) {
        match self.place {
            Place::Leaf(t) => t.with_meta(|m| m.hooks.retain(|h| h.0 != self.id)),
            Place::Node(n) => {
                if let Some(n) = n.upgrade() {
                    n.remove_hook(self.id);
                }
            }
        }
    }
}

methods! {
    /// Calls `hook` with the gradient of this tensor whenever one is computed; what it gives back takes the gradient's place
    /// (`tensor.register_hook`).
    ///
    /// # Panics
    /// If no gradient flows to the tensor.
    ///
    /// ```
    /// # use wgtorch::prelude::*;
    /// let x = tensor!([1., 2.]).requires_grad_(true);
    /// let handle = x.register_hook(|g| Some(g * 10));
    /// (&x * 2).sum().backward();
    /// assert_eq!(x.grad().unwrap().to_vec::<f32>()?, [20., 20.]);
    /// handle.remove();
    /// # Ok::<(), Error>(())
    /// ```
    fn register_hook<H: HookFn>(&self, hook: H) -> TensorHook {
        ensure!(
            self.requires_grad(),
            Runtime,
            "cannot register a hook on a tensor that doesn't require gradient"
        );
        let id = next_sequence();
        let hook: Hook = (id, Arc::new(hook));
        Ok(match self.grad_fn() {
            Some(node) => {
                node.add_hook(self.with_meta(|m| m.output_nr), hook);
                TensorHook { id, place: Place::Node(Arc::downgrade(&node)) }
            }
            None => {
                self.with_meta(|m| m.hooks.push(hook));
                TensorHook { id, place: Place::Leaf(self.0.clone()) }
            }
        })
    }
}

/// What [`Tensor::register_hook`] takes: a function of the gradient that may give another.
pub trait HookFn: Fn(&Tensor) -> Option<Tensor> + Send + Sync + 'static {}
impl<F: Fn(&Tensor) -> Option<Tensor> + Send + Sync + 'static> HookFn for F {}
