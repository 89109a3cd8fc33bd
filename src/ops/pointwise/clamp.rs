//! Extrema of two, and clamping. Ties share the gradient; at a number that bounds it, the gradient is 0 (PyTorch 2.15).

use super::{grads, inputs, op_methods, ops, tensor_methods, where_cond};
use crate::error::Result;
use crate::ops::Operand;
use crate::tensor::{Ctx, Grads, In, Tensor};

ops! {
    MAXIMUM = MAXIMUM, Common, "MaximumBackward0", inputs::<2>, |cx| larger_vjp(cx);
    MINIMUM = MINIMUM, Common, "MinimumBackward0", inputs::<2>, |cx| smaller_vjp(cx);
    FMAX = FMAX, Common, "FmaxBackward0", inputs::<2>, |cx| ignoring_nan(cx, |a, b| a.gt(b));
    FMIN = FMIN, Common, "FminBackward0", inputs::<2>, |cx| ignoring_nan(cx, |a, b| a.lt(b));
    CLAMP_SCALAR = CLAMP, Common, "ClampBackward1", inputs::<1>, |cx| between(cx, true, true);
    CLAMP_SCALAR_MIN = CLAMP_MIN, Common, "ClampBackward1", inputs::<1>, |cx| between(cx, true, false);
    CLAMP_SCALAR_MAX = CLAMP_MAX, Common, "ClampBackward1", inputs::<1>, |cx| between(cx, false, true);
    CLAMP_TENSOR = CLAMP, Common, "ClampBackward0", inputs::<3>, |cx| clamp_vjp(cx);
    CLAMP_TENSOR_MIN = CLAMP_MIN, Common, "ClampBackward0", inputs::<2>, |cx| larger_vjp(cx);
    CLAMP_TENSOR_MAX = CLAMP_MAX, Common, "ClampBackward0", inputs::<2>, |cx| smaller_vjp(cx);
    ONE_MIN_SCALAR = CLAMP_MIN, Common, "ClampMinBackward0", inputs::<1>, |cx| between(cx, true, false);
    ONE_MAX_SCALAR = CLAMP_MAX, Common, "ClampMaxBackward0", inputs::<1>, |cx| between(cx, false, true);
    ONE_MIN_TENSOR = CLAMP_MIN, Common, "ClampMinBackward1", inputs::<2>, |cx| larger_vjp(cx);
    ONE_MAX_TENSOR = CLAMP_MAX, Common, "ClampMaxBackward1", inputs::<2>, |cx| smaller_vjp(cx);
}

/// What of `g` the first operand gets: half at a tie, nothing where it loses; all where a NaN decides nothing.
fn share(g: &Tensor, a: &Tensor, b: &Tensor, loses: Tensor) -> Tensor {
    where_cond(&loses, 0, where_cond(&a.eq(b), g * 0.5, g))
}

fn larger_vjp(cx: &Ctx) -> Result<Grads> {
    let (a, b) = (cx.input(0)?, cx.input(1)?);
    grads!(cx; share(cx.g(), &a, &b, a.lt(&b)), share(cx.g(), &b, &a, b.lt(&a)))
}

fn smaller_vjp(cx: &Ctx) -> Result<Grads> {
    let (a, b) = (cx.input(0)?, cx.input(1)?);
    grads!(cx; share(cx.g(), &a, &b, a.gt(&b)), share(cx.g(), &b, &a, b.gt(&a)))
}

/// A NaN loses against a number.
fn ignoring_nan(cx: &Ctx, beats: fn(&Tensor, &Tensor) -> Tensor) -> Result<Grads> {
    let (a, b) = (cx.input(0)?, cx.input(1)?);
    let first = beats(&a, &b).logical_or(b.isnan());
    let second = beats(&b, &a).logical_or(a.isnan().logical_and(b.isnan().logical_not()));
    grads!(cx; where_cond(&second, 0, where_cond(&first, cx.g(), cx.g() * 0.5)),
        where_cond(&first, 0, where_cond(&second, cx.g(), cx.g() * 0.5)))
}

/// `g` strictly between the numbers.
fn between(cx: &Ctx, min: bool, max: bool) -> Result<Grads> {
    grads!(cx; {
        let x = cx.input(0)?;
        let inside = match (min, max) {
            (true, true) => x.gt(cx.operand(1)?).logical_and(x.lt(cx.operand(2)?)),
            (true, false) => x.gt(cx.operand(1)?),
            _ => x.lt(cx.operand(1)?),
        };
        where_cond(&inside, cx.g(), 0)
    })
}

/// With tensors on both sides ties share too: two ways, or three where all are equal.
fn clamp_vjp(cx: &Ctx) -> Result<Grads> {
    let (x, lo, hi) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    let g = cx.g();
    let (half, third) = (g * 0.5, g * (1.0 / 3.0));
    let (proper, equal) = (lo.lt(&hi), lo.eq(&hi));
    let bound = |beyond: Tensor, at: Tensor, wins: Tensor| {
        let proper_part = where_cond(&beyond, g, where_cond(&at, &half, 0));
        let equal_part = where_cond(&at, &third, &half);
        where_cond(&proper, proper_part, where_cond(&equal, equal_part, where_cond(&wins, g, 0)))
    };
    grads!(cx; {
        let inside = x.gt(&lo).logical_and(x.lt(&hi));
        let tie = x.eq(&lo).logical_or(x.eq(&hi));
        let all = x.eq(&lo).logical_and(&equal);
        where_cond(&inside, g, where_cond(&tie.logical_and(&proper), &half, where_cond(&all, &third, 0)))
    }, bound(x.lt(&lo), x.eq(&lo), Tensor::constant(false.into(), &[], crate::DType::Bool, x.device())),
        bound(x.gt(&hi), x.eq(&hi), lo.gt(&hi)))
}

/// A bound of [`Tensor::clamp`]: a number, a tensor, or `None` (`()`).
#[derive(Clone, Debug)]
pub struct Bound(Option<Operand>);

impl From<()> for Bound {
    fn from(_: ()) -> Bound {
        Bound(None)
    }
}
impl From<Option<Operand>> for Bound {
    fn from(o: Option<Operand>) -> Bound {
        Bound(o)
    }
}
macro_rules! bound_from {
    ($($t:ty),*) => {$(
        impl From<$t> for Bound {
            fn from(x: $t) -> Bound { Bound(Some(x.into())) }
        }
    )*};
}
bound_from!(Operand, &Tensor, Tensor, crate::Scalar, i32, i64, f32, f64);

#[track_caller]
fn clamp(
    x: In,
    min: &Bound,
    max: &Bound,
    run: impl Fn(&'static crate::tensor::Elementwise, &[In]) -> Result<Tensor>,
) -> Result<Tensor> {
    use Operand::{Scalar as S, Tensor as T};
    match (&min.0, &max.0) {
        (None, None) => {
            crate::error::bail!(Runtime, "torch.clamp: At least one of 'min' or 'max' must not be None")
        }
        (Some(S(lo)), Some(S(hi))) => run(&CLAMP_SCALAR, &[x, In::S(*lo), In::S(*hi)]),
        (Some(S(lo)), None) => run(&CLAMP_SCALAR_MIN, &[x, In::S(*lo)]),
        (None, Some(S(hi))) => run(&CLAMP_SCALAR_MAX, &[x, In::S(*hi)]),
        (Some(T(lo)), None) => run(&CLAMP_TENSOR_MIN, &[x, In::T(lo)]),
        (None, Some(T(hi))) => run(&CLAMP_TENSOR_MAX, &[x, In::T(hi)]),
        (Some(T(lo)), Some(T(hi))) => run(&CLAMP_TENSOR, &[x, In::T(lo), In::T(hi)]),
        (Some(_), Some(_)) => {
            crate::error::bail!(Type, "clamp(): 'min' and 'max' have to be both numbers or both tensors")
        }
    }
}

tensor_methods! {
    /// The larger of two elements, NaN if either is (`torch.maximum`); a tie shares the gradient.
    maximum maximum_ maximum_out MAXIMUM;
    /// The smaller of two elements, NaN if either is (`torch.minimum`); a tie shares the gradient.
    minimum minimum_ minimum_out MINIMUM;
    /// The larger of two elements, ignoring NaN (`torch.fmax`).
    fmax fmax_ fmax_out FMAX;
    /// The smaller of two elements, ignoring NaN (`torch.fmin`).
    fmin fmin_ fmin_out FMIN;
}

op_methods! {
    /// Limits the elements to `[min, max]`, numbers or tensors, `None` or `()` for no bound (`torch.clamp`). At a number that
    /// bounds it the gradient is 0.
    ///
    /// ```
    /// # use wgtorch::prelude::*;
    /// let x = tensor!([-2., 0.5, 9.]);
    /// assert_eq!(x.clamp(-1, 1).to_vec::<f32>()?, [-1., 0.5, 1.]);
    /// assert_eq!(x.clamp(None, 1).to_vec::<f32>()?, [-2., 0.5, 1.]);
    /// # Ok::<(), Error>(())
    /// ```
    clamp clamp_ clamp_out (min: impl Into<Bound>, max: impl Into<Bound>) |x, run| { clamp(x, &min.into(), &max.into(), run) }
    /// [`Tensor::clamp`] by its other name (`torch.clip`).
    clip clip_ clip_out (min: impl Into<Bound>, max: impl Into<Bound>) |x, run| { clamp(x, &min.into(), &max.into(), run) }
    /// The lower bound alone (`torch.clamp_min`).
    clamp_min clamp_min_ clamp_min_out (min: impl Into<Operand>) |x, run| {
        let min = min.into();
        run(if matches!(min, Operand::Scalar(_)) { &ONE_MIN_SCALAR } else { &ONE_MIN_TENSOR }, &[x, min.as_in()])
    }
    /// The upper bound alone (`torch.clamp_max`).
    clamp_max clamp_max_ clamp_max_out (max: impl Into<Operand>) |x, run| {
        let max = max.into();
        run(if matches!(max, Operand::Scalar(_)) { &ONE_MAX_SCALAR } else { &ONE_MAX_TENSOR }, &[x, max.as_in()])
    }
}
