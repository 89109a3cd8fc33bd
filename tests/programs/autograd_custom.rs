//! Group `autograd-custom`: functions with a derivative of their own.

use crate::{list, programs};
use std::sync::{Arc, Mutex};
use wgtorch::autograd::{Function, FunctionCtx, GradOptions, grad};
use wgtorch::prelude::*;

/// A function of its name, forward and backward pass.
struct Custom<F, B>(&'static str, F, B);

impl<F, B> Function for Custom<F, B>
where
    F: Fn(&mut FunctionCtx, &[&Tensor]) -> Tensor + Send + Sync + 'static,
    B: Fn(&FunctionCtx, &Tensor) -> Vec<Option<Tensor>> + Send + Sync + 'static,
{
    fn name(&self) -> &str {
        self.0
    }
    fn forward(&self, ctx: &mut FunctionCtx, inputs: &[&Tensor]) -> Tensor {
        (self.1)(ctx, inputs)
    }
    fn backward(&self, ctx: &FunctionCtx, g: &Tensor) -> Vec<Option<Tensor>> {
        (self.2)(ctx, g)
    }
}

fn custom<F, B>(name: &'static str, forward: F, backward: B) -> Custom<F, B>
where
    F: Fn(&mut FunctionCtx, &[&Tensor]) -> Tensor + Send + Sync + 'static,
    B: Fn(&FunctionCtx, &Tensor) -> Vec<Option<Tensor>> + Send + Sync + 'static,
{
    Custom(name, forward, backward)
}

programs! {
    custom_function "custom-function" |p, d| {
        let exp = || {
            custom(
                "Exp",
                |ctx, x| {
                    let y = x[0].exp();
                    ctx.save_for_backward(&[&y]);
                    y
                },
                |ctx, g| vec![Some(g * &ctx.saved_tensors()[0])],
            )
        };
        let x = tensor!([0.5, 1.5], d).requires_grad_(true);
        let y = exp().apply(&[&x]);
        let again = GradOptions::new().create_graph(true);
        let g = grad(&[&y.sum()], &[&x], &[], again)?.remove(0).unwrap();
        let g2 = grad(&[&g.sum()], &[&x], &[], ())?.remove(0).unwrap();
        p.emit("exp", list![y, g, g2]);
        let needs = Arc::new(Mutex::new(Vec::new()));
        let seen = needs.clone();
        let mul = custom(
            "Mul",
            |ctx, x| {
                ctx.save_for_backward(x);
                x[0] * x[1]
            },
            move |ctx, g| {
                let (saved, needs) = (ctx.saved_tensors(), ctx.needs_input_grad());
                seen.lock().unwrap().push(needs.to_vec());
                vec![needs[0].then(|| g * &saved[1]), needs[1].then(|| g * &saved[0])]
            },
        );
        mul.apply(&[&x, &tensor!([2., 3.], d)]).sum().backward();
        p.emit("mul", x.grad());
        p.emit("needs", needs.lock().unwrap().clone());
        x.set_grad(None);
        let scale = |k: f64| custom("Scale", move |_, x| x[0] * k, move |_, g| vec![Some(g * k)]);
        scale(-3.).apply(&[&x]).sum().backward();
        p.emit("scale", x.grad());
        x.set_grad(None);
        let round = custom("RoundSTE", |_, x| x[0].round(), |_, g| vec![Some(g.clone())]);
        round.apply(&[&(&x * 3)]).pow(2).sum().backward();
        p.emit("ste", x.grad());
        x.set_grad(None);
        let z = &x * 2;
        let add_one = custom(
            "AddOne",
            |ctx, x| {
                ctx.mark_dirty(x[0]);
                x[0].add_(1)
            },
            |_, g| vec![Some(g * 5)],
        );
        add_one.apply(&[&z]);
        p.emit("dirty z", &z);
        z.sum().backward();
        p.emit("dirty grad", x.grad());
        let bad = custom("Bad", |_, x| x[0] + x[1], |_, g| vec![Some(g.clone())]);
        p.raises("wrong number of gradients", || bad.apply(&[&x, &(&x * 2)]).sum().backward());
        p.emit("no input needs grad", exp().apply(&[&ones(1, d)]).requires_grad());
    }
}
