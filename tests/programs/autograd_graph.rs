//! Group `autograd-graph`: what backward does to graphs, leaves and modes. The kinks are in `kinks`.

use crate::{list, programs};
use wgtorch::autograd::checkpoint;
use wgtorch::autograd::{GradModeGuard, GradOptions, Node, backward, grad};
use wgtorch::nn::utils::{ClipGradNormOptions, clip_grad_norm_, clip_grad_value_};
use wgtorch::prelude::*;
use wgtorch::{cat, is_grad_enabled, stack, where_cond};

/// `(arange + 1) / 10` as a leaf.
fn mk(shape: &[usize], d: Device) -> Tensor {
    let n: usize = shape.iter().product();
    ((arange(n, d) + 1.) / 10).reshape(shape.iter().map(|&n| n as isize).collect::<Vec<_>>()).requires_grad_(true)
}

fn flags(t: &Tensor) -> crate::harness::Got {
    list![t.is_leaf(), t.requires_grad(), t.grad_fn().is_none()]
}

fn names(node: &Node) -> Vec<String> {
    node.next_functions().into_iter().map(|f| f.map_or("NoneType".into(), |f| f.0.name())).collect()
}

programs! {
    backward_twice "backward-twice" |p, d| {
        let x = tensor!([1., 2.], d).requires_grad_(true);
        let y = (&x * &x).sum();
        y.backward();
        p.raises("second backward", || y.backward());
        p.emit("grad", x.grad());
        x.set_grad(None);
        let y = (&x * &x).sum();
        y.backward_with(None, GradOptions::new().retain_graph(true));
        y.backward();
        p.emit("accumulated", x.grad());
        x.set_grad(None);
        let z = (&x + 2).sum();
        z.backward();
        p.raises("nothing saved ok", || z.backward());
        p.emit("nothing saved", x.grad());
        let h = x.exp();
        let (a, b) = (h.sum(), (&h * 2).sum());
        a.backward();
        p.raises("shared sub-graph", || b.backward());
    }
    grad_accumulation "grad-accumulation" |p, d| {
        let x = tensor!([1., 2.], d).requires_grad_(true);
        p.emit("initial", x.grad());
        (&x * 3).sum().backward();
        let g = x.grad().expect("accumulated");
        (&x * 4).sum().backward();
        p.emit("accumulated", x.grad());
        p.emit("same tensor", x.grad().is_some_and(|now| now.shares_storage(&g)));
        let m = nn::Linear::new(2, 1).to(d);
        m.call(&ones([1, 2], d)).sum().backward();
        m.zero_grad_with(false);
        p.emit("zeros", m.weight.grad());
        m.zero_grad();
        p.emit("none", m.weight.grad());
        x.set_grad(None);
        let a = &x * 2;
        let b = &a * &x + &a;
        (b + &a * &a).sum().backward();
        p.emit("diamond", x.grad());
        x.set_grad(Some(tensor!([100., 100.], d)));
        x.sum().backward();
        p.emit("assigned then added", x.grad());
        p.raises("assign wrong shape", || x.set_grad(Some(zeros(3, d))));
    }
    broadcast_grads "broadcast-grads" |p, d| {
        let (a, b, e) = (mk(&[3, 1], d), mk(&[4], d), mk(&[2, 1, 4], d));
        let c = tensor!(0.5, d).requires_grad_(true);
        let w = arange(24., d).reshape([2, 3, 4]);
        ((&a * &b + &c) * &e * &w).sum().backward();
        p.emit("grads", list![a.grad(), b.grad(), c.grad(), e.grad()]);
        let (a, b) = (mk(&[3, 1], d), mk(&[4], d));
        (a.expand([2, -1, 4]) * &w).sum().backward();
        (b.broadcast_to([2, 3, 4]) * &w).sum().backward();
        p.emit("expand", list![a.grad(), b.grad()]);
        let b = mk(&[4], d);
        (b.repeat([2, 3]).reshape([2, 3, 4]) * &w).sum().backward();
        p.emit("repeat", b.grad());
        let (a, b) = (mk(&[3, 1], d), mk(&[4], d));
        (a.pow(&b) / (&b + &a)).sum().backward();
        p.emit("pow div", list![a.grad(), b.grad()]);
    }
    detach_and_data "detach-and-data" |p, d| {
        let x = tensor!([1., 2.], d).requires_grad_(true);
        let alias = x.detach();
        p.emit("flags", list![alias.requires_grad(), alias.is_leaf(), alias.shares_storage(&x)]);
        alias.i_put_(0, 10);
        p.emit("x", x.detach());
        let c = x.copy();
        p.emit("clone", list![c.requires_grad(), c.is_leaf(), c.shares_storage(&x)]);
        (&x * x.detach()).sum().backward();
        p.emit("grad", x.grad());
        let y = &x * 2;
        y.detach_();
        p.emit("detach_", list![y.requires_grad(), y.is_leaf()]);
        let v = (&x * 2).i(0..1);
        p.raises("detach_ on a view", || v.detach_());
    }
    grad_modes "grad-modes" |p, d| {
        let x = ones(2, d).requires_grad_(true);
        let doubled = || (&x * 2).requires_grad();
        let mut log = vec![is_grad_enabled()];
        no_grad(|| {
            log.extend([is_grad_enabled(), doubled(), ones(1, d).requires_grad_(true).requires_grad(), x.requires_grad()]);
            enable_grad(|| log.extend([is_grad_enabled(), doubled()]));
            log.push(is_grad_enabled());
        });
        {
            let _guard = GradModeGuard::set(false);
            log.push(doubled());
        }
        let failed = crate::harness::attempt(|| no_grad(|| panic!("out of the block")));
        log.push(failed.is_err() && is_grad_enabled());
        let f = |x: &Tensor| no_grad(|| x * 2);
        log.push(f(&x).requires_grad());
        let mut log: Vec<crate::harness::Got> = log.into_iter().map(Into::into).collect();
        log.extend((0..3).map(|_| crate::harness::Got::Later("there is no inference mode")));
        p.emit("log", log);
        p.later("inference tensor in autograd", "there is no inference mode");
        let v = no_grad(|| x.i(..1));
        p.emit("view requires_grad", v.requires_grad());
        p.raises("inplace on no_grad view", || v.mul_(2));
    }
    leaf_rules "leaf-rules" |p, d| {
        let x = ones(2, d).requires_grad_(true);
        let parameter = nn::parameter(ones(1, d));
        p.emit("table", list![
            flags(&ones(2, d)), flags(&x), flags(&(&x * 2)), flags(&x.i(0)), flags(&x.detach()), flags(&parameter),
            flags(&x.to(F64)), flags(&x.to(F32)), flags(&x.gt(0)), flags(&x.to(I64)),
        ]);
        p.emit("to same dtype is same", x.to(F32).is_same(&x));
        p.raises("int requires grad", || tensor!([1, 2], TensorOptions::new().device(d).requires_grad(true)));
        p.raises("bool requires grad", || tensor!([true], d).requires_grad_(true));
        p.raises("nonleaf requires_grad_(False)", || (&x * 2).requires_grad_(false));
        let y = &x * 2;
        y.retain_grad();
        let z = &y * 3;
        z.sum().backward();
        p.emit("retained", y.grad());
        p.emit("z.grad", z.grad());
        p.raises("retain_grad on no-grad tensor", || ones(1, d).retain_grad());
        p.raises("numpy-like item of multi", || x.item::<f32>().unwrap_or_else(|e| panic!("{e}")));
    }
    backward_arguments "backward-arguments" |p, d| {
        let x = tensor!([1., 2., 3.], d).requires_grad_(true);
        let w = tensor!([1., 1., 1.], d).requires_grad_(true);
        let unwrap = |r: Result<Vec<Option<Tensor>>, Error>| r.unwrap_or_else(|e| panic!("{e}"));
        p.raises("non-scalar", || (&x * 2).backward());
        (&x * &x).backward_with(Some(&tensor!([1., 10., 100.], d)), ());
        p.emit("with gradient", x.grad());
        p.raises("wrong shape", || (&x * 2).backward_with(Some(&ones(2, d)), ()));
        p.raises("no grad", || ones(1, d).backward());
        let y = || (&x * 2).sum();
        p.raises("unused", || unwrap(grad(&[&y()], &[&x, &w], &[], ())));
        p.emit("allow_unused", grad(&[&y()], &[&x, &w], &[], GradOptions::new().allow_unused(true))?);
        p.emit("materialize", grad(&[&y()], &[&x, &w], &[], GradOptions::new().materialize_grads(true))?);
        let (a, b) = ((&x * &w).sum(), &x * &x);
        p.emit("two outputs", grad(&[&a, &b], &[&x, &w], &[Some(&tensor!(2., d)), Some(&ones(3, d))], ())?);
        x.set_grad(None);
        backward(&[&(&x * &w).sum()], &[], GradOptions::new().inputs(&[&w]))?;
        p.emit("inputs", list![x.grad(), w.grad()]);
        p.raises("one-element non-scalar ok", || (x.i(..1) * 2).backward());
        p.emit("x.grad", x.grad());
    }
    mixed_dtype_grads "mixed-dtype-grads" |p, d| {
        let x = tensor!([1., 2.], d).requires_grad_(true);
        let y = &x * tensor!([3., 4.], (F64, d));
        p.emit("y dtype", y.dtype());
        y.sum().backward();
        p.emit("x.grad", x.grad());
        let h = tensor!([1., 2.], (F16, d)).requires_grad_(true);
        h.to(F32).pow(2).sum().backward();
        p.emit("h.grad", h.grad());
        let s = tensor!(2., (F64, d)).requires_grad_(true);
        let z = &s * tensor!([1., 2., 3.], d);
        p.emit("z dtype", z.dtype());
        z.sum().backward();
        p.emit("s.grad", s.grad());
        x.set_grad(None);
        (&x * tensor!([2, 3], d)).sum().backward();
        p.emit("int factor", x.grad());
        x.set_grad(None);
        let c = &x * Complex::new(0., 1.);
        p.emit("c dtype", c.dtype());
        (c.imag() * tensor!([5., 6.], d)).sum().backward();
        p.emit("complex", x.grad());
    }
    graph_introspection "graph-introspection" |p, d| {
        let a = ones([2, 2], d).requires_grad_(true);
        let b = full([2, 2], 2., d).requires_grad_(true);
        let ops: Vec<(&str, Tensor)> = vec![
            ("add", &a + &b), ("sub", &a - &b), ("mul", &a * &b), ("div", &a / &b), ("pow", a.pow(2)), ("pow_t", a.pow(&b)),
            ("neg", -&a), ("exp", a.exp()), ("log", a.log()), ("sum", a.sum()), ("sum_dim", a.sum_dim(0, false)),
            ("mean", a.mean()), ("mean_dim", a.mean_dim(0, false)), ("mm", a.matmul(&b)), ("mv", a.matmul(&b.i(0).detach())),
            ("t", a.t()), ("transpose", a.transpose(0, 1)), ("permute", a.permute([1, 0])), ("view", a.view(4)),
            ("reshape", a.reshape(4)), ("select", a.i(0)), ("slice", a.i(..1)), ("index", a.i([0])), ("relu", a.relu()),
            ("sigmoid", a.sigmoid()), ("tanh", a.tanh()), ("softmax", a.softmax(0, ())), ("log_softmax", a.log_softmax(0, ())),
            ("cat", cat(&[&a, &b], 0)), ("stack", stack(&[&a, &b], 0)), ("clone", a.copy()), ("max", a.max()),
            ("max_dim", a.max_dim(0, false).0), ("amax", a.amax(0, false)), ("sqrt", a.sqrt()), ("abs", a.abs()),
            ("clamp", a.clamp(0, 1)), ("where", where_cond(&a.gt(0), &a, &b)), ("expand", a.expand([3, 2, 2])),
            ("squeeze", a.i(..1).squeeze_dim(0)), ("unsqueeze", a.unsqueeze(0)), ("to", a.to(F64)), ("prod", a.prod()),
            ("var", a.var()), ("std", a.std()), ("cumsum", a.cumsum(0, ())), ("gather", a.gather(0, &zeros([1, 2], (I64, d)))),
            ("masked_fill", a.masked_fill(&a.gt(0), 0.)), ("linear", F::linear(&a, &b, ())), ("mse", F::mse_loss(&a, &b)),
            ("nll", F::cross_entropy(&a, &tensor!([0, 1], d))), ("norm", a.norm(2)), ("rsub", 1 - &a),
            ("addmm", a.addmm(&a, &b, ())), ("bmm", a.unsqueeze(0).bmm(&b.unsqueeze(0))),
            ("unbind", a.unbind(0).remove(0)), ("split", a.split(1, 0).remove(0)),
        ];
        let pairs: Vec<(&str, String)> =
            ops.iter().map(|(k, t)| (*k, t.grad_fn().map_or("none".into(), |f| f.name()))).collect();
        p.emit_named("names", pairs);
        let y = (&a * &b).exp().sum();
        let node = y.grad_fn().expect("a node");
        p.emit("next", names(&node));
        let exp = node.next_functions()[0].clone().expect("exp").0;
        let mul = exp.next_functions()[0].clone().expect("mul").0;
        p.emit("next next", names(&mul));
    }
    clip_grad "clip-grad" |p, d| {
        let make = || {
            let all = [2, 1, 1].map(|n: usize| zeros(n, d).requires_grad_(true)).to_vec();
            all[0].set_grad(Some(tensor!([3., 4.], d)));
            all[1].set_grad(Some(tensor!([12.], d)));
            all
        };
        let infinity = ClipGradNormOptions::new().norm_type(f64::INFINITY);
        let forms = [("norm 1", 1., ().into()), ("norm 20", 20., ().into()), ("inf", 2., infinity), ("l1", 2., 1.0.into())];
        for (label, max, options) in forms {
            let all = make();
            let norm = clip_grad_norm_(&all, max, options)?;
            p.emit(label, list![norm, all[0].grad(), all[1].grad(), all[2].grad()]);
        }
        let all = make();
        clip_grad_value_(&all, 3.5);
        p.emit("value", list![all[0].grad(), all[1].grad()]);
        let all = make();
        all[0].grad().unwrap().i_put_(0, f64::NAN);
        let strict = ClipGradNormOptions::new().error_if_nonfinite(true);
        p.raises("nonfinite", || clip_grad_norm_(&all, 1., strict).unwrap_or_else(|e| panic!("{e}")));
    }
    weight_sharing "weight-sharing" |p, d| {
        let l = Linear::new(2, 2).to(d);
        let bias = l.bias.clone().unwrap();
        no_grad(|| {
            l.weight.copy_(&tensor!([[0.5, -1.], [2., 0.25]], d));
            bias.copy_(&tensor!([0.1, 0.2], d));
        });
        let out = l.call(&l.call(&tensor!([[1., 2.]], d)).tanh());
        out.sum().backward();
        p.emit("out", &out);
        p.emit("grads", list![l.weight.grad(), bias.grad()]);
        // a struct stands for the ModuleDict
        #[derive(Module)]
        struct Dict {
            a: Linear,
            b: Linear,
        }
        let mut m = Dict { a: Linear::new(2, 2), b: Linear::new(2, 2) };
        m.b.weight = m.a.weight.clone();
        p.emit("named_parameters", m.named_parameters().into_iter().map(|(n, _)| n).collect::<Vec<_>>());
        p.emit("state_dict", m.state_dict().iter().map(|(n, _)| n.to_string()).collect::<Vec<_>>());
        p.emit("count", m.parameters().len());
    }
    checkpointing_equivalence "checkpointing-equivalence" |p, d| {
        let go = |saving: bool| {
            let x = (arange(6., d) / 6).reshape([2, 3]).requires_grad_(true);
            let w = arange(9., d).cos().reshape([3, 3]).requires_grad_(true);
            let held = w.clone();
            let f = move |x: &[Tensor]| x[0].matmul(&held).tanh().sin();
            let y = if saving { checkpoint(f, &[&x]) } else { f(std::slice::from_ref(&x)) };
            (&y * arange(6., d).reshape([2, 3])).sum().backward();
            list![y, x.grad(), w.grad()]
        };
        p.emit("plain", go(false));
        p.emit("checkpoint", go(true));
    }
}
