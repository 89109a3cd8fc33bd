//! Group `autograd-higher`: derivatives of derivatives.

use crate::{list, programs};
use wgtorch::autograd::functional::{hessian, jacobian, jvp, vjp};
use wgtorch::autograd::{GradOptions, grad};
use wgtorch::prelude::*;
use wgtorch::stack;

fn again() -> GradOptions {
    GradOptions::new().create_graph(true)
}

/// The gradient of one tensor by another, None where it is not used.
fn one(y: &Tensor, x: &Tensor, options: GradOptions) -> Tensor {
    grad(&[y], &[x], &[], options).unwrap().remove(0).expect("a gradient")
}

programs! {
    double_backward "double-backward" |p, d| {
        let x = tensor!([1., 2., 3.], d).requires_grad_(true);
        let g1 = one(&x.pow(3).sum(), &x, again());
        let g2 = one(&g1.sum(), &x, again());
        let g3 = one(&g2.sum(), &x, GradOptions::new());
        p.emit("cube", list![g1, g2, g3]);
        let c = tensor!([1., 2., 3.], (F64, d));
        type Function<'a> = (&'a str, Box<dyn Fn(&Tensor) -> Tensor + 'a>);
        let functions: Vec<Function> = vec![
            ("tanh", Box::new(|x| x.tanh().sum())),
            ("sigmoid", Box::new(|x| x.sigmoid().sum())),
            ("exp", Box::new(|x| x.exp().sum())),
            ("log", Box::new(|x| x.log().sum())),
            ("sqrt", Box::new(|x| x.sqrt().sum())),
            ("sin", Box::new(|x| x.sin().sum())),
            ("reciprocal", Box::new(|x| (1. / x).sum())),
            ("softmax", Box::new(|x| (x.softmax(0, ()) * &c).sum())),
            ("norm", Box::new(|x| x.norm(2))),
            ("cumsum", Box::new(|x| x.cumsum(0, ()).pow(2).sum())),
            ("prod", Box::new(|x| x.prod())),
            ("logsumexp", Box::new(|x| x.logsumexp(0, false))),
            ("softplus", Box::new(|x| x.softplus().sum())),
            ("gelu", Box::new(|x| x.gelu().sum())),
            ("relu2", Box::new(|x| (x - 1).relu().pow(2).sum())),
            ("silu", Box::new(|x| x.silu().sum())),
            ("elu", Box::new(|x| (x - 1).elu().sum())),
            ("log_softmax", Box::new(|x| x.log_softmax(0, ()).i(1))),
            ("var", Box::new(|x| x.var())),
            ("matvec", Box::new(|x| x.outer(x).matmul(&c).sum())),
        ];
        for (name, f) in functions {
            p.try_emit(name, || {
                let x = tensor!([0.5, 1.5, 2.5], (F64, d)).requires_grad_(true);
                let g = one(&f(&x), &x, again());
                let rows: Vec<Tensor> = (0..3)
                    .map(|i| match g.requires_grad() {
                        true => one(&g.i(i), &x, GradOptions::new().retain_graph(true)),
                        false => zeros(3, (F64, d)),
                    })
                    .collect();
                stack(&rows, 0)
            });
        }
    }
    double_backward_conv_linear "double-backward-conv-linear" |p, d| {
        let x = (arange(16., d) / 10. - 0.7).reshape([1, 1, 4, 4]).requires_grad_(true);
        let w = (arange(18., d) / 20. - 0.4).reshape([2, 1, 3, 3]).requires_grad_(true);
        let b = tensor!([0.1, -0.2], d).requires_grad_(true);
        let v = arange(32., d).sin().reshape([1, 32]).requires_grad_(true);
        let conv = x.conv2d(&w, wgtorch::Conv2dOptions::new().bias(&b).padding(1));
        let out = F::linear(&conv.tanh().flatten(1), &v, ()).sum();
        let g = one(&out, &x, again());
        let penalty = (g.norm(2) - 1).pow(2);
        penalty.backward();
        p.emit("out", out);
        p.emit("g", g);
        p.emit("penalty", penalty);
        p.emit("w.grad", w.grad());
        p.emit("b.grad", b.grad());
        p.emit("v.grad", v.grad());
    }
    hessian_vector_product "hessian-vector-product" |p, d| {
        let x = tensor!([0.1, 0.2], d).requires_grad_(true);
        let y = tensor!([1., -2.], d).requires_grad_(true);
        let (v, u) = (tensor!([1., 2.], d), tensor!([-1., 0.5], d));
        let f = (&x * y.pow(2)).sum() + (x.sin() * &y).sum();
        let g = grad(&[&f], &[&x, &y], &[], again())?;
        let (gx, gy) = (g[0].clone().expect("used"), g[1].clone().expect("used"));
        p.emit("grad", list![&gx, &gy]);
        let h = grad(&[&((gx * v).sum() + (gy * u).sum())], &[&x, &y], &[], ())?;
        p.emit("hvp", h);
        let f = (&x * y.pow(2)).sum();
        f.backward_with(None, again());
        let gx = x.grad().expect("accumulated");
        p.emit("x.grad requires grad", gx.requires_grad());
        gx.sum().backward();
        p.emit("y.grad accumulated", y.grad());
    }
    jacobian_hessian "jacobian-hessian" |p, d| {
        let f = |x: &[Tensor]| stack(&[x[0].i(0) * x[0].i(1), x[0].i(1).pow(2), x[0].i(2).sin()], 0);
        let x = &tensor!([1., 2., 3.], d);
        p.emit("jacobian", jacobian(f, &[x])?.remove(0));
        p.emit("hessian", hessian(|x| x[0].pow(3).sum() * x[0].i(0), &[x])?.remove(0).remove(0));
        p.emit("vjp", vjp(f, &[x], &tensor!([1., 0., 2.], d))?.1.remove(0));
        p.emit("jvp", jvp(f, &[x], &[&tensor!([1., 1., 1.], d)])?.1);
        p.emit("pair", jacobian(|x| &x[0] * &x[1], &[&tensor!([1., 2.], d), &tensor!([3., 4.], d)])?);
    }
}
