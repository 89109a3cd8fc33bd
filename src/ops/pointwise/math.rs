//! Elementary and special functions of floats; integers and bools become floats.

use super::backward::*;
use super::{
    grads, input, inputs, nothing, op_methods, ops, options, output, tensor_methods, unary_methods, where_cond,
    with_grad,
};
use crate::dtype::DType;
use crate::error::{Result, ensure};
use crate::ops::Operand;
use crate::scalar::Scalar;
use crate::tensor::{Ctx, Grads, In, Tensor, elementwise, no_grads, result_type, to_dtype};
use std::f64::consts::{LN_2, LN_10, PI};

pub(crate) use super::power::RECIPROCAL;

ops! {
    EXP = EXP, Float, "ExpBackward0", output, |cx| grads!(cx; cx.g() * cx.output(0)?);
    EXP2 = EXP2, Float, "Exp2Backward0", output, |cx| grads!(cx; cx.g() * (cx.output(0)? * LN_2));
    EXPM1 = EXPM1, Float, "Expm1Backward0", output, |cx| grads!(cx; cx.g() * (cx.output(0)? + 1));
    LOG = LOG, Float, "LogBackward0", input, |cx| grads!(cx; cx.g() / cx.input(0)?);
    LOG2 = LOG2, Float, "Log2Backward0", input, |cx| grads!(cx; cx.g() / (cx.input(0)? * LN_2));
    LOG10 = LOG10, Float, "Log10Backward0", input, |cx| grads!(cx; cx.g() / (cx.input(0)? * LN_10));
    LOG1P = LOG1P, Float, "Log1PBackward0", input, |cx| grads!(cx; cx.g() / (cx.input(0)? + 1));
    SIN = SIN, Float, "SinBackward0", input, |cx| grads!(cx; cx.g() * cx.input(0)?.cos());
    COS = COS, Float, "CosBackward0", input, |cx| grads!(cx; cx.g() * -cx.input(0)?.sin());
    TAN = TAN, Float, "TanBackward0", output, |cx| grads!(cx; with_grad(&TAN_BACKWARD, cx.g(), &cx.output(0)?)?);
    ASIN = ASIN, Float, "AsinBackward0", input, |cx| grads!(cx; cx.g() * (1 - cx.input(0)?.square()).rsqrt());
    ACOS = ACOS, Float, "AcosBackward0", input, |cx| grads!(cx; cx.g() * -(1 - cx.input(0)?.square()).rsqrt());
    ATAN = ATAN, Float, "AtanBackward0", input, |cx| grads!(cx; cx.g() / (cx.input(0)?.square() + 1));
    SINH = SINH, Float, "SinhBackward0", input, |cx| grads!(cx; cx.g() * cx.input(0)?.cosh());
    COSH = COSH, Float, "CoshBackward0", input, |cx| grads!(cx; cx.g() * cx.input(0)?.sinh());
    TANH = TANH, Float, "TanhBackward0", output, |cx| grads!(cx; with_grad(&TANH_BACKWARD, cx.g(), &cx.output(0)?)?);
    ASINH = ASINH, Float, "AsinhBackward0", input, |cx| grads!(cx; cx.g() * (cx.input(0)?.square() + 1).rsqrt());
    ACOSH = ACOSH, Float, "AcoshBackward0", input, |cx| grads!(cx; cx.g() * (cx.input(0)?.square() - 1).rsqrt());
    ATANH = ATANH, Float, "AtanhBackward0", input, |cx| grads!(cx; cx.g() / (1 - cx.input(0)?.square()));
    ERF = ERF, Float, "ErfBackward0", input, |cx| grads!(cx; with_grad(&ERF_BACKWARD, cx.g(), &cx.input(0)?)?);
    ERFC = ERFC, Float, "ErfcBackward0", input, |cx| grads!(cx; -with_grad(&ERF_BACKWARD, cx.g(), &cx.input(0)?)?);
    ERFINV = ERFINV, Float, "ErfinvBackward0", output, |cx| {
        grads!(cx; with_grad(&ERFINV_BACKWARD, cx.g(), &cx.output(0)?)?)
    };
    NDTR = NDTR, Float, "SpecialNdtrBackward0", input, |cx| grads!(cx; cx.g() * normal_density(&cx.input(0)?));
    LGAMMA = LGAMMA, Float, "LgammaBackward0", input, |cx| grads!(cx; cx.g() * cx.input(0)?.digamma());
    SINC = SINC, Float, "SincBackward0", input, |cx| {
        grads!(cx; {
            let x = cx.input(0)?;
            let z = &x * PI;
            let slope = cx.g() * ((&z * z.cos() - z.sin()) / (&z * &x));
            where_cond(&x.eq(0), 0, slope)
        })
    };
    SIGMOID = SIGMOID, Float, "SigmoidBackward0", output, |cx| {
        grads!(cx; with_grad(&SIGMOID_BACKWARD, cx.g(), &cx.output(0)?)?)
    };
    LOGIT = LOGIT, Float, "LogitBackward0", input, |cx| {
        grads!(cx; {
            let x = cx.input(0)?;
            let inside = x.ge(0).logical_and(x.le(1));
            where_cond(&inside, with_grad(&LOGIT_BACKWARD, cx.g(), &x)?, f64::NAN)
        })
    };
    LOGIT_EPS = LOGIT_EPS, Float, "LogitBackward0", input, |cx| {
        let bound = |i| cx.scalar(i).unwrap_or(Scalar::Int(1));
        grads!(cx; {
            let x = cx.input(0)?;
            let outside = x.lt(bound(1)).logical_or(x.gt(bound(2)));
            where_cond(&outside, 0, with_grad(&LOGIT_BACKWARD, cx.g(), &x)?)
        })
    };
    ENTR = ENTR, Float, "SpecialEntrBackward0", input, |cx| {
        grads!(cx; cx.g() * (-cx.input(0)?.log() - 1))
    };
    DEG2RAD = DEG2RAD, Float, "Deg2RadBackward0", nothing, |cx| grads!(cx; cx.g() * (PI / 180.0));
    RAD2DEG = RAD2DEG, Float, "Rad2DegBackward0", nothing, |cx| grads!(cx; cx.g() * (180.0 / PI));
    ATAN2 = ATAN2, Float, "Atan2Backward0", inputs::<2>, |cx| {
        let (y, x) = (cx.input(0)?, cx.input(1)?);
        let r = &y * &y + &x * &x;
        // 0 at the origin
        let scaled = where_cond(&r.eq(0), 0, cx.g() / &r);
        grads!(cx; &scaled * &x, &scaled * -&y)
    };
    HYPOT = HYPOT, FloatOnly, "HypotBackward0", |n| inputs::<2>(n) | output(n), |cx| {
        grads!(cx; cx.g() * (cx.input(0)? / cx.output(0)?), cx.g() * (cx.input(1)? / cx.output(0)?))
    };
    NAN_TO_NUM = NAN_TO_NUM, FloatOnly, "NanToNumBackward0", input, |cx| grads!(cx; cx.g() * cx.input(0)?.isfinite());
    LOGADDEXP = LOGADDEXP, Float, "LogaddexpBackward0", inputs::<2>, |cx| {
        let (a, b) = (cx.input(0)?, cx.input(1)?);
        grads!(cx; cx.g() / ((&b - &a).exp() + 1), cx.g() / ((&a - &b).exp() + 1))
    };
    LOGADDEXP2 = LOGADDEXP2, Float, "Logaddexp2Backward0", inputs::<2>, |cx| {
        let (a, b) = (cx.input(0)?, cx.input(1)?);
        grads!(cx; cx.g() / ((&b - &a).exp2() + 1), cx.g() / ((&a - &b).exp2() + 1))
    };
    XLOGY = XLOGY, Float, "XlogyBackward0", inputs::<2>, |cx| xlog_vjp(cx, 0);
    XLOG1PY = XLOG1PY, Float, "SpecialXlog1PyBackward0", inputs::<2>, |cx| xlog_vjp(cx, 1);
    HEAVISIDE = HEAVISIDE, Common, "NotDifferentiable", nothing, |_| Ok(no_grads(2));
}

fn normal_density(x: &Tensor) -> Tensor {
    (x.square() * -0.5).exp() * (1.0 / (2.0 * PI).sqrt())
}

/// Of `x * log(y + shift)`: 0 where x is 0 and the logarithm has no value.
fn xlog_vjp(cx: &Ctx, shift: i64) -> Result<Grads> {
    let op = if shift == 0 { &XLOGY } else { &XLOG1PY };
    grads!(cx; {
        let (x, y) = (cx.input(0)?, cx.operand(1)?);
        let undefined = match &y {
            Operand::Tensor(y) => x.eq(0).logical_and(y.le(-shift)),
            Operand::Scalar(s) => x.eq(0).logical_and(s.to_f64() <= -shift as f64),
        };
        where_cond(&undefined, 0, elementwise(op, &[In::T(cx.g()), y.as_in()])?)
    }, {
        let y = cx.input(1)?;
        let y = if shift == 0 { y } else { y + shift };
        cx.g() * cx.operand(0)? / y
    })
}

options! {
    /// Options of [`Tensor::nan_to_num_with`]; a number is `nan`.
    NanToNumOptions {
        /// What NaN becomes.
        nan: f64 = 0.0,
        /// What infinity becomes; the dtype's largest number if None.
        posinf: Option<f64> = None,
        /// What -infinity becomes; the dtype's smallest number if None.
        neginf: Option<f64> = None,
    } from f64;
    /// Options of [`Tensor::logit_with`]; a number is `eps`.
    LogitOptions {
        /// Clamps the input to `[eps, 1 - eps]` first.
        eps: Option<f64> = None,
    } from f64;
}

unary_methods! {
    /// e to the power of each element (`torch.exp`).
    exp exp_ exp_out EXP;
    /// 2 to the power of each element (`torch.exp2`).
    exp2 exp2_ exp2_out EXP2;
    /// `exp(self) - 1`, exact near 0 (`torch.expm1`).
    expm1 expm1_ expm1_out EXPM1;
    /// The natural logarithm (`torch.log`).
    log log_ log_out LOG;
    /// The logarithm to base 2 (`torch.log2`).
    log2 log2_ log2_out LOG2;
    /// The logarithm to base 10 (`torch.log10`).
    log10 log10_ log10_out LOG10;
    /// `log(1 + self)`, exact near 0 (`torch.log1p`).
    log1p log1p_ log1p_out LOG1P;
    /// The sine (`torch.sin`).
    sin sin_ sin_out SIN;
    /// The cosine (`torch.cos`).
    cos cos_ cos_out COS;
    /// The tangent (`torch.tan`).
    tan tan_ tan_out TAN;
    /// The inverse sine (`torch.asin`).
    asin asin_ asin_out ASIN;
    /// The inverse cosine (`torch.acos`).
    acos acos_ acos_out ACOS;
    /// The inverse tangent (`torch.atan`).
    atan atan_ atan_out ATAN;
    /// The hyperbolic sine (`torch.sinh`).
    sinh sinh_ sinh_out SINH;
    /// The hyperbolic cosine (`torch.cosh`).
    cosh cosh_ cosh_out COSH;
    /// The hyperbolic tangent (`torch.tanh`).
    tanh tanh_ tanh_out TANH;
    /// The inverse hyperbolic sine (`torch.asinh`).
    asinh asinh_ asinh_out ASINH;
    /// The inverse hyperbolic cosine (`torch.acosh`).
    acosh acosh_ acosh_out ACOSH;
    /// The inverse hyperbolic tangent (`torch.atanh`).
    atanh atanh_ atanh_out ATANH;
    /// The error function (`torch.erf`).
    erf erf_ erf_out ERF;
    /// `1 - erf(self)` (`torch.erfc`).
    erfc erfc_ erfc_out ERFC;
    /// The inverse of the error function (`torch.erfinv`).
    erfinv erfinv_ erfinv_out ERFINV;
    /// The standard normal distribution function (`torch.special.ndtr`).
    ndtr ndtr_ ndtr_out NDTR;
    /// The logarithm of the gamma function's magnitude (`torch.lgamma`).
    lgamma lgamma_ lgamma_out LGAMMA;
    /// `sin(pi x) / (pi x)`, 1 at 0 (`torch.sinc`).
    sinc sinc_ sinc_out SINC;
    /// `1 / (1 + exp(-self))` (`torch.sigmoid`).
    sigmoid sigmoid_ sigmoid_out SIGMOID;
    /// `log(self / (1 - self))` (`torch.logit`).
    logit logit_ logit_out LOGIT;
    /// `-x log x`, 0 at 0, -inf below (`torch.special.entr`).
    entr entr_ entr_out ENTR;
    /// Degrees to radians (`torch.deg2rad`).
    deg2rad deg2rad_ deg2rad_out DEG2RAD;
    /// Radians to degrees (`torch.rad2deg`).
    rad2deg rad2deg_ rad2deg_out RAD2DEG;
}

tensor_methods! {
    /// The angle of the point (other, self) in radians (`torch.atan2`); its gradient at the origin is 0.
    atan2 atan2_ atan2_out ATAN2;
    /// `sqrt(self^2 + other^2)` without overflow (`torch.hypot`).
    hypot hypot_ hypot_out HYPOT;
    /// `log(exp(self) + exp(other))` without overflow (`torch.logaddexp`).
    logaddexp logaddexp_ logaddexp_out LOGADDEXP;
    /// `log2(2^self + 2^other)` without overflow (`torch.logaddexp2`).
    logaddexp2 logaddexp2_ logaddexp2_out LOGADDEXP2;
}

op_methods! {
    /// `self * log(other)`, 0 where self is 0 (`torch.xlogy`).
    xlogy xlogy_ xlogy_out (other: impl Into<Operand>) |x, run| { run(&XLOGY, &[x, other.into().as_in()]) }
    /// `self * log1p(other)`, 0 where self is 0 (`torch.special.xlog1py`).
    xlog1py xlog1py_ xlog1py_out (other: impl Into<Operand>) |x, run| { run(&XLOG1PY, &[x, other.into().as_in()]) }
    /// 0 below 0, 1 above, `values` at 0 (`torch.heaviside`); it has no gradient.
    heaviside heaviside_ heaviside_out (values: &Tensor) |x, run| {
        let dtype = result_type(&[x]);
        ensure!(dtype == values.dtype(), Runtime, "heaviside is not yet implemented for tensors with different dtypes.");
        let op = if dtype == DType::Bool { &super::BITWISE_OR } else { &HEAVISIDE };
        run(op, &[x, In::T(values)])
    }
    /// NaN becomes 0 and the infinities the dtype's extreme numbers (`torch.nan_to_num`).
    nan_to_num nan_to_num_ nan_to_num_out () |x, run| { nan_to_num(x, NanToNumOptions::default(), run) }
    /// [`Tensor::nan_to_num`] with its replacements (`torch.nan_to_num(nan, posinf, neginf)`).
    nan_to_num_with nan_to_num_with_ nan_to_num_with_out (options: impl Into<NanToNumOptions>) |x, run| { nan_to_num(x, options.into(), run) }
}

#[track_caller]
fn nan_to_num(
    x: In,
    o: NanToNumOptions,
    run: impl Fn(&'static crate::tensor::Elementwise, &[In]) -> Result<Tensor>,
) -> Result<Tensor> {
    let dtype = result_type(&[x]);
    if !dtype.is_differentiable() {
        return run(&super::SAME, &[x]);
    }
    let largest = match dtype {
        DType::F16 => half::f16::MAX.to_f64(),
        DType::BF16 => half::bf16::MAX.to_f64(),
        DType::F32 => f32::MAX as f64,
        _ => f64::MAX,
    };
    let s = |v| In::S(Scalar::Float(v));
    run(&NAN_TO_NUM, &[x, s(o.nan), s(o.posinf.unwrap_or(largest)), s(o.neginf.unwrap_or(-largest))])
}

fn bounded(x: &Tensor, eps: f64) -> [In<'_>; 3] {
    [In::T(x), In::S(Scalar::Float(eps)), In::S(Scalar::Float(1.0 - eps))]
}

crate::tensor::methods! {
    /// [`Tensor::logit`] of the input clamped to `[eps, 1 - eps]` (`torch.logit(eps=…)`).
    fn logit_with(&self, options: impl Into<LogitOptions>) -> Tensor {
        match options.into().eps {
            None => self.logit(),
            Some(eps) => elementwise(&LOGIT_EPS, &bounded(self.0, eps)),
        }
    }

    /// [`Tensor::logit_with`] in place.
    fn logit_with_(&self, options: impl Into<LogitOptions>) -> Tensor {
        match options.into().eps {
            None => self.logit_(),
            Some(eps) => super::into_first(&LOGIT_EPS, &bounded(self.0, eps)),
        }
    }

    /// The angle of complex numbers with the positive real axis: 0 for positive numbers, pi for negative ones (`torch.angle`).
    fn angle(&self) -> Tensor {
        if self.is_complex() {
            return crate::ops::complex::angle(self.0);
        }
        let x = if self.dtype().is_float() { self.0.clone() } else { to_dtype(self.0, DType::F32) };
        Ok(where_cond(&x.isnan(), &x, (-x.sign()).relu() * PI))
    }
}
