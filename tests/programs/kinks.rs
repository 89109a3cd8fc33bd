//! Group `autograd-graph`: gradients of indexing, and at kinks, ties and poles.

use crate::harness::Program;
use crate::programs;
use wgtorch::prelude::*;
use wgtorch::{Ellipsis, HuberOptions, NewAxis, Reduction, S, SmoothL1Options, cat, pow, where_cond};

const NAN: f64 = f64::NAN;
const INF: f64 = f64::INFINITY;

/// The gradient of a function's sum at some values.
fn kink(p: &mut Program, d: Device, label: &str, values: &[f64], f: impl FnOnce(&Tensor) -> Tensor) {
    kink_of(p, label, tensor!(values, (F32, d)), f);
}

fn kink_of(p: &mut Program, label: &str, x: Tensor, f: impl FnOnce(&Tensor) -> Tensor) {
    p.try_emit(label, || {
        let x = x.requires_grad_(true);
        let y = f(&x);
        if y.requires_grad() {
            y.sum().backward();
        }
        x.grad()
    });
}

/// A selection of a matrix, and the gradient of its weighted sum.
fn pick(p: &mut Program, d: Device, label: &str, f: impl FnOnce(&Tensor) -> Tensor) {
    p.try_emit(label, || {
        let x = arange((1., 7.), d).reshape([2, 3]).requires_grad_(true);
        let y = f(&x);
        let w = arange((1., y.numel() as f64 + 1.), d).reshape(y.shape());
        (&y * w).sum().backward();
        crate::list![y, x.grad()]
    });
}

programs! {
    indexing_grads "indexing-grads" |p, d| {
        let row = |v: &[i64]| tensor!(v, d);
        pick(p, d, "rows", |x| x.i([0, 0, 1]));
        pick(p, d, "cols", |x| x.i((.., [2, 0, 2])));
        pick(p, d, "mask", |x| x.i(x.gt(2)));
        pick(p, d, "gather", |x| x.gather(1, &tensor!([[0, 0, 2], [1, 1, 1]], d)));
        pick(p, d, "index_select", |x| x.index_select(1, &row(&[2, 2])));
        pick(p, d, "take", |x| x.take(&row(&[5, 0, 5])));
        pick(p, d, "strided", |x| x.i((1, S(.., 2))));
        pick(p, d, "masked_select", |x| x.masked_select(&tensor!([true, false, true], d)));
        pick(p, d, "unfold", |x| x.unfold(1, 2, 1));
        pick(p, d, "as_strided", |x| (x * 1).as_strided([3, 2], [1, 1], None));
        pick(p, d, "none and ellipsis", |x| x.i((Ellipsis, NewAxis, 1)));
        pick(p, d, "pair", |x| x.i((row(&[0, 1, 0]), row(&[1, 1, 1]))));
        pick(p, d, "flip roll", |x| x.flip(1).roll(1, 0));
        pick(p, d, "repeat_interleave", |x| x.repeat_interleave(&row(&[2, 0, 1]), 1));
        pick(p, d, "cat self", |x| cat(&[x, &(x * 2), &x.i(..1)], 0));
        pick(p, d, "diagonal", |x| x.diagonal(1, 0, 1));
        pick(p, d, "tril", |x| x.tril(0));
        pick(p, d, "sort", |x| (-x).sort(1).0);
        pick(p, d, "topk", |x| x.topk(2, ()).0);
        pick(p, d, "cummax", |x| x.cummax(1).0);
    }
    kink_gradients "kink-gradients" |p, d| {
        let at = |v: &[f64]| tensor!(v, (F32, d));
        kink(p, d, "relu", &[-1., 0., -0.0, 1.], |x| x.relu());
        kink(p, d, "abs", &[-1., 0., -0.0, 1.], |x| x.abs());
        kink(p, d, "sign", &[-1., 0., 1.], |x| x.sign());
        kink(p, d, "clamp", &[-1., 0., 0.5, 1., 2.], |x| x.clamp(0, 1));
        kink(p, d, "clamp min>max", &[0., 1., 1.5, 3.], |x| x.clamp(2, 1));
        kink(p, d, "hardtanh", &[-2., -1., 0., 1., 2.], |x| x.hardtanh());
        kink(p, d, "relu6", &[-1., 0., 3., 6., 7.], |x| x.relu6());
        kink(p, d, "leaky_relu", &[-1., 0., 1.], |x| x.leaky_relu());
        kink(p, d, "elu", &[-1., 0., 1.], |x| x.elu());
        kink(p, d, "hardswish", &[-4., -3., 0., 3., 4.], |x| x.hardswish());
        kink(p, d, "hardsigmoid", &[-4., -3., 0., 3., 4.], |x| x.hardsigmoid());
        kink(p, d, "max all", &[3., 1., 3., 3.], |x| x.max());
        kink(p, d, "amax", &[3., 1., 3., 3.], |x| x.amax(0, false));
        kink(p, d, "max dim", &[3., 1., 3., 3.], |x| x.max_dim(0, false).0);
        kink(p, d, "min dim", &[3., 1., 3., 1.], |x| x.min_dim(0, false).0);
        kink(p, d, "maximum", &[1., 3., 0.], |x| x.maximum(&at(&[1., 2., 3.])));
        kink(p, d, "fmax", &[1., 3., 0.], |x| x.fmax(&at(&[1., 2., 3.])));
        kink(p, d, "norm", &[0., 0.], |x| x.norm(2));
        kink(p, d, "norm1", &[0., -2.], |x| x.norm(1));
        kink(p, d, "norm inf", &[2., -2., 1.], |x| x.norm(INF));
        kink(p, d, "std", &[2., 2., 2.], |x| x.std());
        kink(p, d, "sqrt", &[0., 4.], |x| x.sqrt());
        kink(p, d, "pow half", &[0., 4.], |x| x.pow(0.5));
        kink(p, d, "pow zero", &[0., 4.], |x| x.pow(0));
        kink(p, d, "pow tensor", &[0., 0., 0., -1.], |x| x.pow(at(&[0., 1., 2., 3.])));
        kink(p, d, "exponent of zero", &[0., 1., 2.], |x| pow(at(&[0., 2., -2.]), x));
        kink(p, d, "prod one zero", &[0., 2., 3.], |x| x.prod());
        kink(p, d, "prod two zeros", &[0., 0., 3.], |x| x.prod());
        kink(p, d, "cumprod zero", &[2., 0., 3., 0., 5.], |x| x.cumprod(0, ()));
        kink(p, d, "median", &[1., 3., 2.], |x| x.median());
        kink(p, d, "round", &[0.4, 1.5], |x| x.round());
        kink(p, d, "floor", &[0.4, 1.5], |x| x.floor());
        kink(p, d, "frac", &[0.4, -1.5], |x| x.frac());
        kink(p, d, "remainder", &[3., -3.], |x| x.remainder(2));
        kink(p, d, "fmod", &[3., -3.], |x| x.fmod(2));
        kink(p, d, "hardshrink", &[-0.5, 0., 0.5, 1.], |x| x.hardshrink_with(0.5));
        kink(p, d, "softshrink", &[-0.5, 0., 0.5, 1.], |x| x.softshrink_with(0.5));
        kink(p, d, "smooth_l1", &[-1., 0., 1., 3.], |x| {
            x.smooth_l1_loss(&zeros(4, d), SmoothL1Options::new().reduction(Reduction::Sum))
        });
        kink(p, d, "huber", &[-2., 0., 2., 3.], |x| {
            x.huber_loss(&zeros(4, d), HuberOptions::new().reduction(Reduction::Sum).delta(2.))
        });
        kink(p, d, "l1", &[-1., 0., 1.], |x| x.l1_loss(&zeros(3, d), Reduction::Sum));
        kink(p, d, "where nan", &[-1., 0., 4.], |x| where_cond(&x.gt(0), x.sqrt(), zeros(3, d)));
        p.later("cdist", "cdist is still to come");
        kink(p, d, "logsumexp", &[1., 1.], |x| x.logsumexp(0, false));
        kink(p, d, "logsumexp -inf", &[-INF, -INF], |x| x.logsumexp(0, false));
        kink(p, d, "softmax -inf", &[-INF, 1., 2.], |x| x.softmax(0, ()).i(1));
        kink(p, d, "atan2", &[0., 0.], |x| x.atan2(&at(&[0., 1.])));
        kink(p, d, "xlogy", &[0., 0., 1.], |x| x.xlogy(at(&[0., 2., 3.])));
        kink(p, d, "log1p", &[-1., 0.], |x| x.log1p());
        kink(p, d, "acos", &[1., 0.], |x| x.acos());
        kink_of(p, "max_pool tie", tensor!([[[1., 1., 2., 2.]]], d), |x| {
            x.unsqueeze(2).max_pool2d(wgtorch::MaxPool2dOptions::new((1, 2)))
        });
        kink(p, d, "unique sorted sum", &[2., 2., 1.], |x| x.sort(()).0.i(1..));
        p.later("normalize zero", "normalize is still to come");
        p.later("cosine zero", "cosine_similarity is still to come");
        kink(p, d, "nan_to_num", &[NAN, INF, 1.], |x| x.nan_to_num());
        kink(p, d, "var single", &[1.], |x| x.var());
    }
}
