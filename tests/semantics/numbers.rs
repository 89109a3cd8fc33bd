//! Items 13 to 18: NaN, ties, subgradients.

use crate::{is, items, near};
use wgtorch::prelude::*;
use wgtorch::where_cond;

const NAN: f64 = f64::NAN;
const INF: f64 = f64::INFINITY;

/// The gradient of a function's sum.
fn slope(x: &Tensor, f: impl Fn(&Tensor) -> Tensor) -> Tensor {
    let x = x.detach().requires_grad_(true);
    f(&x).sum().backward();
    x.grad().expect("a gradient")
}

items! {
    item_13_nan |d| {
        let x = &tensor!([1., NAN, 3.], d);
        let (one, n) = (&tensor!([1., 1., NAN], d), [1., NAN, NAN]);
        is(x.max(), F32, &[NAN]);
        is(x.min(), F32, &[NAN]);
        is(x.amax((), false), F32, &[NAN]);
        is(x.maximum(one), F32, &n);
        is(x.minimum(one), F32, &n);
        is(x.clamp(0., 2.), F32, &[1., NAN, 2.]);
        is(x.relu(), F32, &[1., NAN, 3.]);
        is(x.fmax(one), F32, &[1., 1., 3.]);
        is(x.fmin(one), F32, &[1., 1., 3.]);
        is(x.argmax(), I64, &[1.]);
        is(x.argmin(), I64, &[1.]);
        let (v, i) = x.max_dim(0, false);
        is(v, F32, &[NAN]);
        is(i, I64, &[1.]);
        is(x.sign(), F32, &[1., 0., 1.]);
        is(x.eq(x), Bool, &[1., 0., 1.]);
        is(F::max_pool2d(&x.view([1, 1, 1, 3]), (1, 3)), F32, &[NAN]);
    }
    item_13_order_and_nan |d| {
        let x = &tensor!([NAN, 2., 1., NAN, 3.], d);
        is(x.sort(()).0, F32, &[1., 2., 3., NAN, NAN]);
        is(x.sort(()).1, I64, &[2., 1., 4., 0., 3.]);
        is(x.sort(wgtorch::SortOptions::new().descending(true)).0, F32, &[NAN, NAN, 3., 2., 1.]);
        is(x.topk(3, ()).0, F32, &[NAN, NAN, 3.]);
        is(x.median(), F32, &[NAN]);
        is(x.median_dim(0, false).0, F32, &[NAN]);
        is(x.nanmedian(), F32, &[2.]);
        is(x.nanmedian_dim(0, true).0, F32, &[2.]);
        is(x.nanmedian_dim(0, true).1, I64, &[1.]);
        is(tensor!([1., 3., NAN, 5.], d).cummax(0).0, F32, &[1., 3., NAN, NAN]);
        is(tensor!([1., 3., NAN, 5.], d).cummax(0).1, I64, &[0., 1., 2., 2.]);
        is(tensor!([3., 1., NAN], d).cummin(0).0, F32, &[3., 1., NAN]);
        is(x.unique(None).values, F32, &[1., 2., 3., NAN, NAN]);
        assert!(!x.equal(x)? && x.i(1..3).equal(&x.i(1..3))?);
        is(x.i(1..3).quantile(0.5, ()), F32, &[1.5]);
        is(x.quantile(0.5, ()), F32, &[NAN]);
        is(x.nanquantile(0.5, ()), F32, &[2.]);
        is(x.nansum(), F32, &[6.]);
        is(x.nanmean(), F32, &[2.]);
        is(wgtorch::isin(x, x, false), Bool, &[0., 1., 1., 0., 1.]);
    }
    item_14_ties |d| {
        is(tensor!([1, 2, 3, 4], d).median(), I64, &[2.]);
        let (value, index) = tensor!([1, 2, 2, 4], d).mode(-1, false);
        is(value, I64, &[2.]);
        is(index, I64, &[2.]);
        is(tensor!([1., 3., 3., 2.], d).cummax(0).1, I64, &[0., 1., 2., 2.]);
        is(zeros(100_000, d).argmax(), I64, &[0.]);
        is(zeros(100_000, d).copy().argmin(), I64, &[0.]);
        // a real buffer, equal in the middle
        let x = arange(100_000., d).remainder(1000.);
        is(x.argmax(), I64, &[999.]);
        is(x.max_dim(0, false).1, I64, &[999.]);
        is(tensor!([[1., 3., 3.], [2., 2., 1.]], d).argmax_dim(1, false), I64, &[1., 0.]);
        is(tensor!([5, 5, 1, 1], d).argmin(), I64, &[2.]);
    }
    item_15_gradients_at_ties |d| {
        let x = &tensor!([1., 3., 3.], d);
        is(slope(x, |x| x.max()), F32, &[0., 0.5, 0.5]);
        is(slope(&-x, |x| x.min()), F32, &[0., 0.5, 0.5]);
        is(slope(x, |x| x.amax(0, false)), F32, &[0., 0.5, 0.5]);
        is(slope(x, |x| x.maximum(&tensor!([0., 3., 4.], d))), F32, &[1., 0.5, 0.]);
        is(slope(x, |x| x.max_dim(0, false).0), F32, &[0., 1., 0.]);
        is(slope(x, |x| x.median()).sum(), F32, &[1.]);
        is(slope(x, |x| x.median_dim(0, false).0).sum(), F32, &[1.]);
    }
    item_16_subgradients |d| {
        let zero = &tensor!([0.], d);
        is(slope(zero, |x| x.relu()), F32, &[0.]);
        is(slope(zero, |x| x.abs()), F32, &[0.]);
        is(slope(zero, |x| x.norm(2)), F32, &[0.]);
        is(slope(zero, |x| x.sqrt()), F32, &[INF]);
        near(slope(zero, |x| x.leaky_relu()), &[0.01]);
        is(slope(zero, |x| x.elu()), F32, &[1.]);
        is(slope(zero, |x| x.atan2(&zeros(1, d))), F32, &[0.]);
        is(slope(&tensor!([-1., 0., 1., 2.], d), |x| x.clamp(-1., 1.)), F32, &[0., 1., 0., 0.]);
        is(slope(&tensor!([-1., 0.5, 1.], d), |x| x.hardtanh()), F32, &[0., 1., 0.]);
        is(slope(&tensor!([0., 6., 3.], d), |x| x.relu6()), F32, &[0., 0., 1.]);
    }
    item_17_products_and_powers |d| {
        is(slope(&tensor!([0., 2.], d), |x| x.prod()), F32, &[2., 0.]);
        is(slope(&tensor!([0., 2., 0.], d), |x| x.prod()), F32, &[0., 0., 0.]);
        is(slope(&tensor!([0., 2.], d), |x| x.cumprod(0, ())), F32, &[3., 0.]);
        is(slope(&tensor!([0., 2., 0.], d), |x| x.cumprod(0, ())), F32, &[3., 0., 0.]);
        is(slope(&tensor!([0., 2.], d), |x| x.pow(0.)), F32, &[0., 0.]);
        is(tensor!([1.], d).std(), F32, &[NAN]);
        is(slope(&tensor!([1.], d), |x| x.std()), F32, &[NAN]);
        is(slope(&tensor!([0.], d), |x| where_cond(&x.gt(0.), x.log(), 0.)), F32, &[NAN]);
    }
    item_18_softmax_of_minus_infinity |d| {
        let x = full(3, -INF, d);
        is(x.softmax(0, ()), F32, &[NAN, NAN, NAN]);
        is(x.logsumexp(0, false), F32, &[-INF]);
        is(empty([0], d).logsumexp(0, false), F32, &[-INF]);
        near(tensor!([-INF, 0., 0.], d).softmax(0, ()), &[0., 0.5, 0.5]);
    }
}
