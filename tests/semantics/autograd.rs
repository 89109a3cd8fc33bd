//! Items 32 to 44: versions, leaves, saved tensors, rebasing, backward's rules; item 45 is tests/numpy.rs.

use crate::{is, items, near, says};
use wgtorch::autograd::{Function, FunctionCtx, GradOptions, detect_anomaly, grad};
use wgtorch::prelude::*;

fn leaf(v: &[f64], d: Device) -> Tensor {
    tensor!(v, d).requires_grad_(true)
}

const LEAF: &str = "leaf Variable that requires grad is being used in an in-place operation.";

items! {
    item_32_versions |d| {
        let x = zeros([2, 2], d);
        let v = x.i(0);
        x.i_put_((0, 0), 1.);
        v.add_(1.);
        x.detach().add_(1.);
        assert_eq!((x.version(), v.version(), x.detach().version()), (3, 3, 3));
        x.data().add_(1.);
        assert_eq!(x.version(), 3);
    }
    item_33_leaves |d| {
        let w = leaf(&[1., 2.], d);
        says(d, w.checked().add_(1.), LEAF);
        says(d, w.i(0).checked().add_(1.), LEAF);
        says(d, w.checked().i_put_(0, 1.), LEAF);
        no_grad(|| w.add_(1.));
        is(&w, F32, &[2., 3.]);
    }
    item_34_saved_tensors |d| {
        let w = leaf(&[1., 2.], d);
        let y = &w * 1.;
        let z = (&y * &y).sum();
        y.add_(1.);
        says(d, z.checked().backward(), "is at version 1; expected version 0 instead");
        let y = &w * 1.;
        let z = (&y + &y).sum();
        y.add_(1.);
        z.backward();
        is(w.grad().unwrap(), F32, &[2., 2.]);
        let e = w.exp();
        let z = e.sum();
        e.mul_(2.);
        says(d, z.checked().backward(), "modified by an inplace operation");
        // through data nobody notices: silently wrong, as in PyTorch
        w.set_grad(None);
        let e = w.exp();
        let z = e.sum();
        e.data().zero_();
        z.backward();
        is(w.grad().unwrap(), F32, &[0., 0.]);
    }
    item_35_rebasing |d| {
        let w = leaf(&[1., 1.], d);
        let y = &w * 1.;
        let v = y.i(0);
        v.mul_(3.);
        assert_eq!(y.grad_fn().unwrap().name(), "CopySlices");
        let old = y.i(1);
        y.mul_(2.);
        assert_eq!(old.grad_fn().unwrap().name(), "AsStridedBackward0");
        y.sum().backward();
        is(w.grad().unwrap(), F32, &[6., 2.]);
    }
    item_36_multi_views |d| {
        let w = leaf(&[1., 1.], d);
        let y = &w * 1.;
        let words = "This view is the output of a function that returns multiple views.";
        says(d, y.split(1, 0)[0].checked().mul_(2.), words);
        says(d, y.chunk(2, 0)[1].checked().mul_(2.), words);
        says(d, y.unbind(0)[0].checked().mul_(2.), words);
        let v = no_grad(|| y.i(..1));
        says(d, v.checked().mul_(2.), "A view was created in no_grad mode and is being modified inplace with grad mode enabled.");
    }
    item_37_twice |d| {
        let w = leaf(&[1., 2.], d);
        let z = (&w * &w).sum();
        z.backward();
        says(d, z.checked().backward(), "Trying to backward through the graph a second time");
        let z = (&w + &w).sum();
        z.backward();
        z.backward();
        is(w.grad().unwrap(), F32, &[6., 8.]);
        let held = w.grad().unwrap();
        let z = (&w * &w).sum();
        z.backward_with(None, GradOptions::new().retain_graph(true));
        z.backward();
        is(&held, F32, &[10., 16.]);
        assert!(held.is_same(&w.grad().unwrap()), "gradients accumulate in place");
    }
    item_38_refusals |d| {
        let w = leaf(&[1., 2.], d);
        says(d, (&w * 2.).checked().backward(), "grad can be implicitly created only for scalar outputs");
        says(
            d,
            (&w * 2.).checked().backward_with(Some(&ones(3, d)), ()),
            "Mismatch in shape: grad_output[0] has a shape of torch.Size([3]) and output[0] has a shape of torch.Size([2]).",
        );
        says(d, ones((), d).checked().backward(), "element 0 of tensors does not require grad and does not have a grad_fn");
        says(d, ones(2, (I64, d)).checked().requires_grad_(true), "only Tensors of floating point dtype can require gradients");
    }
    item_39_non_leaves |d| {
        let w = leaf(&[1., 2.], d);
        let (y, kept) = (&w * 2., &w * 3.);
        kept.retain_grad();
        (&y + &kept).sum().backward();
        assert!(y.grad().is_none());
        is(kept.grad().unwrap(), F32, &[1., 1.]);
        says(d, y.checked().requires_grad_(false), "you can only change requires_grad flags of leaf variables.");
    }
    item_40_broadcast_gradients |d| {
        let (a, b) = (ones([3, 1], d).requires_grad_(true), ones(4, d).requires_grad_(true));
        (&a * &b * 2.).sum().backward();
        is(a.grad().unwrap(), F32, &[8., 8., 8.]);
        is(b.grad().unwrap(), F32, &[6., 6., 6., 6.]);
        assert_eq!(a.grad().unwrap().shape(), [3, 1]);
        let e = ones(1, d).requires_grad_(true);
        e.expand([5, 3]).sum().backward();
        is(e.grad().unwrap(), F32, &[15.]);
    }
    item_41_names |d| {
        let x = ones([2, 2], d).requires_grad_(true);
        let names: Vec<String> = vec![
            &x + 1., &x * &x, x.mean(), x.mm(&x), x.view(4), x.i(0), x.t(), x.sum(), x.sum_dim(1, ()), x.max(), x.relu(),
            F::linear(&x, &x, ones(2, d)), F::mse_loss(&x, &zeros([2, 2], d)),
            F::cross_entropy(&x, &tensor!([0, 1], d)),
            F::conv2d(&x.view([1, 1, 2, 2]), &ones([1, 1, 1, 1], d), ()), F::max_pool2d(&x.view([1, 1, 2, 2]), 2),
        ]
        .iter()
        .map(|t: &Tensor| t.grad_fn().unwrap().name())
        .collect();
        let want = "AddBackward0 MulBackward0 MeanBackward0 MmBackward0 ViewBackward0 SelectBackward0 TBackward0 SumBackward0 SumBackward1 MaxBackward1 ReluBackward0 AddmmBackward0 MseLossBackward0 NllLossBackward0 ConvolutionBackward0 MaxPool2DWithIndicesBackward0";
        assert_eq!(names.join(" "), want);
        let next = (&x * 2.).grad_fn().unwrap().next_functions();
        assert_eq!(next.len(), 2);
        let (node, i) = next[0].clone().unwrap();
        assert_eq!((node.name().as_str(), i), ("AccumulateGrad", 0));
        assert!(next[1].is_none());
    }
    item_42_grad |d| {
        let (x, unused) = (leaf(&[3.], d), leaf(&[1.], d));
        let y = x.pow(3).sum();
        let keep = || GradOptions::new().retain_graph(true);
        says(d, grad(&[&y], &[&unused], &[], keep()), "appears to not have been used in the graph. Set allow_unused=True");
        assert!(grad(&[&y], &[&unused], &[], keep().allow_unused(true))?[0].is_none());
        let g = grad(&[&y], &[&x], &[], keep().create_graph(true))?.remove(0).unwrap();
        near(&g, &[27.]);
        near(grad(&[&g.sum()], &[&x], &[], ())?.remove(0).unwrap(), &[18.]);
        assert!(x.grad().is_none());
    }
    item_43_functions_hooks_anomalies |d| {
        struct Sq;
        impl Function for Sq {
            fn name(&self) -> &str {
                "Sq"
            }
            fn forward(&self, ctx: &mut FunctionCtx, x: &[&Tensor]) -> Tensor {
                ctx.save_for_backward(x);
                x[0] * x[0]
            }
            fn backward(&self, ctx: &FunctionCtx, g: &Tensor) -> Vec<Option<Tensor>> {
                vec![Some(g * &ctx.saved_tensors()[0] * 2.)]
            }
        }
        let w = leaf(&[3.], d);
        let y = Sq.apply(&[&w]);
        assert_eq!(y.grad_fn().unwrap().name(), "SqBackward");
        let g = grad(&[&y.sum()], &[&w], &[], GradOptions::new().create_graph(true))?.remove(0).unwrap();
        is(&g, F32, &[6.]);
        is(grad(&[&g.sum()], &[&w], &[], ())?.remove(0).unwrap(), F32, &[2.]);
        // what is saved is checked by version
        let x = &w * 1.;
        let y = Sq.apply(&[&x]);
        x.add_(1.);
        says(d, y.sum().checked().backward(), "is at version 1; expected version 0 instead");
        says(d, Sq.apply(&[&w, &w]).sum().checked().backward(),
            "function SqBackward returned an incorrect number of gradients (expected 2, got 1)");
        // hooks scale the flow, on leaves and on what lies between
        w.set_grad(None);
        let handle = w.register_hook(|g| Some(g * 10.));
        let y = &w * 2.;
        y.register_hook(|g| Some(g * 3.));
        y.sum().backward();
        is(w.grad().unwrap(), F32, &[60.]);
        is(grad(&[&(&w * 2.).sum()], &[&w], &[], ())?.remove(0).unwrap(), F32, &[20.]);
        handle.remove();
        w.set_grad(None);
        (&w * 2.).sum().backward();
        is(w.grad().unwrap(), F32, &[2.]);
        says(d, ones(1, d).checked().register_hook(|_| None), "cannot register a hook on a tensor that doesn't require gradient");
        let y = leaf(&[1., 2.], d) * 2.;
        y.register_hook(|g| Some(g.sum()));
        says(d, y.sum().checked().backward(), "has changed the size of value");
        let nan = detect_anomaly(|| leaf(&[-1.], d).sqrt().sum().checked().backward());
        says(d, nan, "Function 'SqrtBackward0' returned nan values in its 0th output.");
    }
    item_44_same_tensor |d| {
        let x = ones([2, 2], d).requires_grad_(true);
        assert!(x.to(F32).is_same(&x) && x.contiguous().is_same(&x) && x.to(d).is_same(&x));
        let y = x.to(F64);
        (&y * 2.).sum().backward();
        is(x.grad().unwrap(), F32, &[2.; 4]);
        assert!(!y.is_leaf());
        let net = Linear::new(2, 2);
        let before = net.parameters();
        let net = net.to(d);
        assert!(before.iter().zip(net.parameters()).all(|(a, b)| a.is_same(&b)), "an optimizer made before stays right");
        let state = net.state_dict();
        no_grad(|| state.get("weight").unwrap().zero_());
        is(&net.weight, F32, &[0.; 4]);
    }
}
