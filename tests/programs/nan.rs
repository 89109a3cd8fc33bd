//! Group `nan`: what NaN, infinities and signed zeros become.

use crate::{list, programs};
use wgtorch::prelude::*;
use wgtorch::{IscloseOptions, SortOptions, stack};

const NAN: f64 = f64::NAN;
const INF: f64 = f64::INFINITY;

type Function = (&'static str, fn(&Tensor) -> crate::harness::Got);

programs! {
    nan_propagation "nan-propagation" |p, d| {
        let x = tensor!([1., NAN, 3., -INF, INF], d);
        let y = tensor!([1., NAN, 3., 2.], d);
        let functions: &[Function] = &[
            ("max", |x| x.max().into()),
            ("min", |x| x.min().into()),
            ("amax", |x| x.amax((), false).into()),
            ("argmax", |x| x.argmax().into()),
            ("argmin", |x| x.argmin().into()),
            ("max_dim", |x| x.max_dim(0, false).into()),
            ("sum", |x| x.sum().into()),
            ("nansum", |x| x.nansum().into()),
            ("nanmean", |x| x.nanmean().into()),
            ("sort", |x| x.sort(()).into()),
            ("sort_desc", |x| x.sort(SortOptions::new().descending(true)).into()),
            ("topk", |x| x.topk(2, ()).0.into()),
            ("median", |x| x.median().into()),
            ("nanmedian", |x| x.nanmedian().into()),
            ("cummax", |x| x.cummax(0).into()),
            ("cummin", |x| x.cummin(0).into()),
            ("maximum", |x| x.maximum(&tensor!(2., x.device())).into()),
            ("minimum", |x| x.minimum(&tensor!(2., x.device())).into()),
            ("fmax", |x| x.fmax(&tensor!(2., x.device())).into()),
            ("fmin", |x| x.fmin(&tensor!(2., x.device())).into()),
            ("clamp", |x| x.clamp(0, 2).into()),
            ("relu", |x| x.relu().into()),
            ("eq", |x| x.eq(x).into()),
            ("ne", |x| x.ne(x).into()),
            ("lt", |x| x.lt(2).into()),
            ("ge", |x| x.ge(2).into()),
            ("sign", |x| x.sign().into()),
            ("any", |x| x.any().into()),
            ("all", |x| x.all().into()),
            ("bool", |x| x.to(Bool).into()),
            ("isclose", |x| x.isclose_with(x, IscloseOptions::new().equal_nan(true)).into()),
            ("isclose_false", |x| x.isclose(x).into()),
            ("unique", |x| x.unique(None).values.into()),
            ("nan_to_num", |x| x.nan_to_num().into()),
            ("norm", |x| x.norm(2).into()),
            ("logsumexp", |x| x.logsumexp(0, false).into()),
            ("softmax", |x| x.softmax(0, ()).into()),
            ("cumsum", |x| x.cumsum(0, ()).into()),
            ("cumprod", |x| x.cumprod(0, ()).into()),
            ("std", |x| x.std().into()),
            ("quantile", |x| x.quantile(0.5, ()).into()),
            ("nanquantile", |x| x.nanquantile(0.5, ()).into()),
            ("isnan", |x| x.isnan().into()),
            ("isfinite", |x| x.isfinite().into()),
            ("prod", |x| x.prod().into()),
            ("mean", |x| x.mean().into()),
            ("maxpool", |x| {
                let pool = wgtorch::MaxPool2dOptions::new((1, 2));
                x.reshape([1, 1, 1, -1]).max_pool2d(pool).squeeze_dim(0).into()
            }),
            ("avgpool", |x| {
                let pool = wgtorch::AvgPool2dOptions::new((1, 2));
                x.reshape([1, 1, 1, -1]).avg_pool2d(pool).squeeze_dim(0).into()
            }),
            ("round", |x| x.round().into()),
            ("logical_not", |x| x.logical_not().into()),
        ];
        for (name, f) in functions {
            let other = format!("{name} finite+nan");
            p.try_emit(name, || f(&x));
            p.try_emit(&other, || f(&y));
        }
        p.emit("pow", tensor!([NAN, 1., 0., -1., INF], d).pow(tensor!([0., NAN, 0., INF, 0.], d)));
        let t = |v: f64| tensor!(v, d);
        p.emit("misc", list![
            t(0.) * INF, t(INF) - INF, t(0.) / 0, t(INF).hypot(&t(NAN)), t(5.) % INF, t(-5.) % INF, t(5.).fmod(INF),
            t(0.).atan2(&t(-0.)),
        ]);
        p.emit("signed zero", list![
            t(-0.).maximum(&t(0.)) + 0, (-t(0.)).signbit(), tensor!([-0., 0.], d).signbit(), 1 / t(-0.), t(-0.).sqrt(),
            t(-0.4).round(), tensor!([-0., 0.], d).eq(0),
        ]);
        let zeros = [
            t(-0.).sqrt(), t(-0.4).round(), t(-0.9).trunc(), t(-0.) + 0, t(-1.).mul(0), t(-3.).remainder(3), t(-3.).fmod(3.), t(-0.).abs(),
        ];
        p.emit("signed zero bits", stack(&zeros, 0).signbit());
    }
}
