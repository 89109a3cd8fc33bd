//! Group `nan`: what NaN, infinities and signed zeros become.

use crate::{list, programs};
use wgtorch::prelude::*;
use wgtorch::{IscloseOptions, stack};

const NAN: f64 = f64::NAN;
const INF: f64 = f64::INFINITY;
const SORTING: &str = "sorting is still to come";

type Function = (&'static str, Result<fn(&Tensor) -> crate::harness::Got, &'static str>);

programs! {
    nan_propagation "nan-propagation" |p, d| {
        let x = tensor!([1., NAN, 3., -INF, INF], d);
        let y = tensor!([1., NAN, 3., 2.], d);
        let functions: &[Function] = &[
            ("max", Ok(|x| x.max().into())),
            ("min", Ok(|x| x.min().into())),
            ("amax", Ok(|x| x.amax((), false).into())),
            ("argmax", Ok(|x| x.argmax().into())),
            ("argmin", Ok(|x| x.argmin().into())),
            ("max_dim", Ok(|x| x.max_dim(0, false).into())),
            ("sum", Ok(|x| x.sum().into())),
            ("nansum", Ok(|x| x.nansum().into())),
            ("nanmean", Ok(|x| x.nanmean().into())),
            ("sort", Err(SORTING)),
            ("sort_desc", Err(SORTING)),
            ("topk", Err(SORTING)),
            ("median", Err(SORTING)),
            ("nanmedian", Err(SORTING)),
            ("cummax", Err("cummax is still to come")),
            ("cummin", Err("cummin is still to come")),
            ("maximum", Ok(|x| x.maximum(&tensor!(2., x.device())).into())),
            ("minimum", Ok(|x| x.minimum(&tensor!(2., x.device())).into())),
            ("fmax", Ok(|x| x.fmax(&tensor!(2., x.device())).into())),
            ("fmin", Ok(|x| x.fmin(&tensor!(2., x.device())).into())),
            ("clamp", Ok(|x| x.clamp(0, 2).into())),
            ("relu", Ok(|x| x.relu().into())),
            ("eq", Ok(|x| x.eq(x).into())),
            ("ne", Ok(|x| x.ne(x).into())),
            ("lt", Ok(|x| x.lt(2).into())),
            ("ge", Ok(|x| x.ge(2).into())),
            ("sign", Ok(|x| x.sign().into())),
            ("any", Ok(|x| x.any().into())),
            ("all", Ok(|x| x.all().into())),
            ("bool", Ok(|x| x.to(Bool).into())),
            ("isclose", Ok(|x| x.isclose_with(x, IscloseOptions::new().equal_nan(true)).into())),
            ("isclose_false", Ok(|x| x.isclose(x).into())),
            ("unique", Err(SORTING)),
            ("nan_to_num", Ok(|x| x.nan_to_num().into())),
            ("norm", Ok(|x| x.norm(2).into())),
            ("logsumexp", Ok(|x| x.logsumexp(0, false).into())),
            ("softmax", Ok(|x| x.softmax(0, ()).into())),
            ("cumsum", Ok(|x| x.cumsum(0, ()).into())),
            ("cumprod", Ok(|x| x.cumprod(0, ()).into())),
            ("std", Ok(|x| x.std().into())),
            ("quantile", Err(SORTING)),
            ("nanquantile", Err(SORTING)),
            ("isnan", Ok(|x| x.isnan().into())),
            ("isfinite", Ok(|x| x.isfinite().into())),
            ("prod", Ok(|x| x.prod().into())),
            ("mean", Ok(|x| x.mean().into())),
            ("maxpool", Ok(|x| {
                let pool = wgtorch::MaxPool2dOptions::new((1, 2));
                x.reshape([1, 1, 1, -1]).max_pool2d(pool).squeeze_dim(0).into()
            })),
            ("avgpool", Ok(|x| {
                let pool = wgtorch::AvgPool2dOptions::new((1, 2));
                x.reshape([1, 1, 1, -1]).avg_pool2d(pool).squeeze_dim(0).into()
            })),
            ("round", Ok(|x| x.round().into())),
            ("logical_not", Ok(|x| x.logical_not().into())),
        ];
        for (name, f) in functions {
            let other = format!("{name} finite+nan");
            match f {
                Ok(f) => {
                    p.try_emit(name, || f(&x));
                    p.try_emit(&other, || f(&y));
                }
                Err(why) => {
                    p.later(name, why);
                    p.later(&other, why);
                }
            }
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
