//! Group `reductions`: dims, ties, corrections.

use crate::{list, programs};
use wgtorch::prelude::*;
use wgtorch::{Interpolation, QuantileOptions, ReduceOptions, SortOptions, VarOptions};

const NAN: f64 = f64::NAN;
const INF: f64 = f64::INFINITY;

programs! {
    argmax_ties "argmax-ties" |p, d| {
        let x = tensor!([[2, 5, 5, 1], [7, 7, 0, 7], [0, 0, 0, 0]], d);
        p.emit("argmax", list![x.argmax(), x.argmax_dim(0, false), x.argmax_dim(1, false), x.argmax_dim(1, true)]);
        p.emit("argmin", list![x.argmin(), x.argmin_dim(0, false), x.argmin_dim(1, false)]);
        let f = x.to(F32);
        p.emit("float argmax", list![f.argmax(), f.argmax_dim(0, false), x.to(F64).argmin_dim(1, false)]);
        p.emit("max", list![x.max_dim(1, false), x.min_dim(1, false), x.max_dim(0, false)]);
        p.emit("bool", list![x.gt(1).max_dim(1, false), x.gt(1).min_dim(0, false)]);
        let n = tensor!([1., NAN, 5., NAN], d);
        p.emit("nan", list![n.argmax(), n.argmin(), n.max_dim(0, false)]);
        p.emit("-inf", list![tensor!([-INF, -INF], d).argmax(), tensor!([INF, INF], d).min_dim(0, false)]);
        p.emit("argsort", list![x.argsort(1), x.argsort(SortOptions::new().dim(1).descending(true))]);
        p.emit("mode", tensor!([[3, 1, 3, 1], [2, 2, 9, 9]], d).mode(1, false).0);
        let u = x.unique(None);
        p.emit("unique", list![u.values, u.inverse, u.counts]);
        p.emit("topk values", x.topk(2, 1).0);
        p.emit("argmax of scalar", tensor!(3., d).argmax());
        p.emit("aminmax", x.aminmax_dim(1, false));
        p.emit("cummax", list![tensor!([1, 3, 3, 2, 3], d).cummax(0), tensor!([3, 1, 1, 2], d).cummin(0)]);
    }
    reduction_conventions "reduction-conventions" |p, d| {
        let x = tensor!([[3., 1., 2.], [6., 5., 4.]], d);
        p.emit("dims", list![
            x.sum_dim(0, ()), x.sum_dim(-1, ()), x.sum_dim([0, 1], ()), x.sum_dim((), ()), x.sum_dim([0, 1], true),
            x.mean_dim(-1, ()), x.amax([0, 1], false), x.prod_dim(0, true), x.sum_dim(Vec::<isize>::new(), ()),
        ]);
        let (std, mean) = x.std_mean(1, ());
        let (var, mean0) = x.var_mean(0, VarOptions::new().correction(0.));
        p.emit("var", list![
            x.var(), x.var_dim(1, ()), x.var_dim(1, VarOptions::new().unbiased(false)),
            x.var_dim([0, 1], VarOptions::new().correction(2.)), x.std_dim(0, ()), std, mean, var, mean0,
        ]);
        p.emit("median", list![
            x.median(), x.median_dim(1, false), tensor!([4., 1., 3., 2.], d).median(), tensor!([4, 1, 3, 2], d).median(),
            tensor!([1., f64::NAN, 3., 2.], d).nanmedian(),
        ]);
        let by = |i| QuantileOptions::new().interpolation(i);
        p.emit("quantile", list![
            x.quantile(0.4, ()), x.quantile(tensor!([0., 0.5, 1.], d), 1isize),
            x.flatten(0).quantile(0.3, by(Interpolation::Nearest)), x.flatten(0).quantile(0.3, by(Interpolation::Lower)),
            x.flatten(0).quantile(0.3, by(Interpolation::Midpoint)),
        ]);
        p.emit("norms", list![
            x.norm(2), x.norm(1), x.norm(INF), x.norm(0), x.norm_dim(2, 1, ()), x.norm(2), x.norm_dim(3, 0, ()),
        ]);
        p.emit("cum", list![
            x.cumsum(1, ()), x.cumprod(0, ()), x.flip(1).cumsum(1, ()).flip(1), x.cummax(1).0, x.cummax(1).1,
            x.logcumsumexp(1),
        ]);
        p.emit("logic", list![
            x.any(), x.all_dim(1, false), x.gt(2).sum(), x.gt(2).sum_dim(0, ReduceOptions::new()), x.count_nonzero_dim(0),
            x.gt(2).all_dim([0, 1], false),
        ]);
        let edges = tensor!([1., 3., 5.], d);
        p.emit("misc", list![
            x.diff(1, -1), x.diff(1, 0), x.trapezoid((), -1), x.logsumexp([0, 1], false), x.argmax(), x.argmax_dim(1, true),
            x.kthvalue(2, 1, false).0, x.histc(3, 1, 6), x.to(I64).flatten(0).bincount((), 8), edges.searchsorted(&x, ()),
            edges.searchsorted(&x, true), x.bucketize(&tensor!([2., 4.], d), ()),
        ]);
        p.raises("dim", || x.sum_dim(2, ()));
        p.raises("dup", || x.sum_dim([0, 0], ()));
        p.later("argmax_tuple", "argmax_dim takes one dim, which the compiler checks");
        p.raises("quantile", || x.quantile(1.1, ()));
        p.raises("mean_int", || x.to(I64).mean());
        p.raises_saying("prod_tuple", "dim", || x.prod_dim([0, 1], ()));
    }
}
