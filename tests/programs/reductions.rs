//! Group `reductions`: dims, ties, corrections.

use crate::harness::Got;
use crate::{list, programs};
use wgtorch::prelude::*;
use wgtorch::{ReduceOptions, SortOptions, VarOptions};

const NAN: f64 = f64::NAN;
const INF: f64 = f64::INFINITY;
const SORTING: &str = "what is built on sorting is still to come";

fn later() -> Got {
    Got::Later(SORTING)
}

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
        p.later("mode", SORTING);
        p.later("unique", SORTING);
        p.emit("topk values", x.topk(2, 1).0);
        p.emit("argmax of scalar", tensor!(3., d).argmax());
        p.emit("aminmax", x.aminmax_dim(1, false));
        p.later("cummax", "cummax and cummin are still to come");
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
        p.later("median", SORTING);
        p.later("quantile", SORTING);
        p.emit("norms", list![
            x.norm(2), x.norm(1), x.norm(INF), x.norm(0), x.norm_dim(2, 1, ()), x.norm(2), x.norm_dim(3, 0, ()),
        ]);
        p.emit("cum", list![
            x.cumsum(1, ()), x.cumprod(0, ()), x.flip(1).cumsum(1, ()).flip(1), Got::Later("cummax is still to come"),
            Got::Later("cummax is still to come"), Got::Later("logcumsumexp is still to come"),
        ]);
        p.emit("logic", list![
            x.any(), x.all_dim(1, false), x.gt(2).sum(), x.gt(2).sum_dim(0, ReduceOptions::new()), x.count_nonzero_dim(0),
            x.gt(2).all_dim([0, 1], false),
        ]);
        p.emit("misc", list![
            Got::Later("diff is still to come"), Got::Later("diff is still to come"), Got::Later("trapz is still to come"),
            x.logsumexp([0, 1], false), x.argmax(), x.argmax_dim(1, true), later(), later(), later(), later(), later(), later(),
        ]);
        p.raises("dim", || x.sum_dim(2, ()));
        p.raises("dup", || x.sum_dim([0, 0], ()));
        p.later("argmax_tuple", "argmax_dim takes one dim, which the compiler checks");
        p.later("quantile", SORTING);
        p.raises("mean_int", || x.to(I64).mean());
        p.raises_saying("prod_tuple", "dim", || x.prod_dim([0, 1], ()));
    }
}
