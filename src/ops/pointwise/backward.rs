//! Derivatives that one kernel computes, `f'(x) g` or `f'(y) g`, as ops with derivatives of their own: second order.

use super::{grads, ops, with_grad, zeros};
use crate::error::Result;
use crate::scalar::Scalar;
use crate::tensor::{Ctx, Elementwise, Grads, In, Tensor, elementwise};
use std::f64::consts::PI;

/// What a fused derivative saves: the gradient and what it was taken at.
fn both(_: u8) -> u8 {
    0b11
}

/// The saved input alone, where the derivative is constant between its kinks.
fn second(_: u8) -> u8 {
    0b10
}

ops! {
    SIGMOID_BACKWARD = SIGMOID_BACKWARD, Common, "SigmoidBackwardBackward0", both, |cx| {
        smooth(cx, &SIGMOID_BACKWARD, |y| Ok(1 - y * 2))
    };
    TANH_BACKWARD = TANH_BACKWARD, Common, "TanhBackwardBackward0", both, |cx| {
        smooth(cx, &TANH_BACKWARD, |y| Ok(y * -2))
    };
    TAN_BACKWARD = TAN_BACKWARD, Common, "MulBackward0", both, |cx| smooth(cx, &TAN_BACKWARD, |y| Ok(y * 2));
    THRESHOLD_BACKWARD = THRESHOLD_BACKWARD, Common, "ThresholdBackwardBackward0", second, |cx| {
        kinked(cx, &THRESHOLD_BACKWARD)
    };
    HARDTANH_BACKWARD = HARDTANH_BACKWARD, Common, "HardtanhBackwardBackward0", second, |cx| {
        kinked(cx, &HARDTANH_BACKWARD)
    };
    SHRINK_BACKWARD = SHRINK_BACKWARD, Common, "HardshrinkBackwardBackward0", second, |cx| kinked(cx, &SHRINK_BACKWARD);
    HARDSIGMOID_BACKWARD = HARDSIGMOID_BACKWARD, Common, "HardsigmoidBackwardBackward0", second, |cx| {
        kinked(cx, &HARDSIGMOID_BACKWARD)
    };
    LEAKY_RELU_BACKWARD = LEAKY_RELU_BACKWARD, Common, "LeakyReluBackwardBackward0", |_| 0b111, |cx| {
        let (g, x, slope) = (cx.input(0)?, cx.input(1)?, cx.operand(2)?);
        grads!(cx; elementwise(&LEAKY_RELU_BACKWARD, &[In::T(cx.g()), In::T(&x), slope.as_in()])?, zeros(cx, 1),
            super::where_cond(&x.gt(0), 0, cx.g() * g))
    };
    GELU_BACKWARD = GELU_BACKWARD, Common, "GeluBackwardBackward0", both, |cx| {
        smooth(cx, &GELU_BACKWARD, |x| {
            let x2 = x.square();
            Ok((&x2 * -0.5).exp() * (2 - x2) * (1.0 / (2.0 * PI).sqrt()))
        })
    };
    GELU_TANH_BACKWARD = GELU_TANH_BACKWARD, Common, "GeluBackwardBackward0", both, |cx| {
        smooth(cx, &GELU_TANH_BACKWARD, gelu_tanh_second)
    };
    SILU_BACKWARD = SILU_BACKWARD, Common, "SiluBackwardBackward0", both, |cx| {
        smooth(cx, &SILU_BACKWARD, |x| {
            let s = x.sigmoid();
            Ok(&s * (1 - &s) * (x * (1 - &s * 2) + 2))
        })
    };
    ELU_BACKWARD = ELU_BACKWARD, Common, "EluBackwardBackward0", both, |cx| {
        smooth(cx, &ELU_BACKWARD, |x| {
            Ok(super::where_cond(&x.gt(0), 0, x.exp() * (parameter(cx, 2) * parameter(cx, 3))))
        })
    };
    CELU_BACKWARD = CELU_BACKWARD, Common, "EluBackwardBackward0", both, |cx| {
        let alpha = parameter(cx, 2);
        smooth(cx, &CELU_BACKWARD, |x| Ok(super::where_cond(&x.gt(0), 0, (x / alpha).exp() / alpha)))
    };
    SOFTPLUS_BACKWARD = SOFTPLUS_BACKWARD, Common, "SoftplusBackwardBackward0", both, |cx| {
        smooth(cx, &SOFTPLUS_BACKWARD, |x| {
            let z = x * parameter(cx, 2);
            let s = z.sigmoid();
            Ok(super::where_cond(&z.gt(parameter(cx, 3)), 0, &s * (1 - &s) * parameter(cx, 2)))
        })
    };
    LOGSIGMOID_BACKWARD = LOGSIGMOID_BACKWARD, Common, "LogSigmoidBackwardBackward0", both, |cx| {
        smooth(cx, &LOGSIGMOID_BACKWARD, |x| {
            let s = x.sigmoid();
            Ok(&s * (s.clone() - 1))
        })
    };
    HARDSWISH_BACKWARD = HARDSWISH_BACKWARD, Common, "HardswishBackwardBackward0", both, |cx| {
        smooth(cx, &HARDSWISH_BACKWARD, |x| Ok(x.abs().lt(3).to(x.dtype()) * (1.0 / 3.0)))
    };
    MISH_BACKWARD = MISH_BACKWARD, Common, "MishBackwardBackward0", both, |cx| smooth(cx, &MISH_BACKWARD, mish_second);
    ERF_BACKWARD = ERF_BACKWARD, Common, "MulBackward0", both, |cx| by_factor(cx, &ERF_BACKWARD, |x| x * -2);
    ERFINV_BACKWARD = ERFINV_BACKWARD, Common, "MulBackward0", both, |cx| by_factor(cx, &ERFINV_BACKWARD, |y| y * 2);
    LOGIT_BACKWARD = LOGIT_BACKWARD, Common, "LogitBackwardBackward0", both, |cx| {
        by_factor(cx, &LOGIT_BACKWARD, |x| (x * 2 - 1) / (x * (1 - x)))
    };
}

fn parameter(cx: &Ctx, i: usize) -> f64 {
    cx.scalar(i).map_or(1.0, Scalar::to_f64)
}

/// The op on another gradient, with the node's own second operand and parameters.
fn again(cx: &Ctx, op: &'static Elementwise, g: &Tensor, x: &Tensor) -> Result<Tensor> {
    let mut ins: smallvec::SmallVec<[In; 4]> = smallvec::smallvec![In::T(g), In::T(x)];
    ins.extend((2..op.row.arity).filter_map(|i| cx.scalar(i)).map(In::S));
    elementwise(op, &ins)
}

/// `g f'(x)` where `f''` is given.
fn smooth(cx: &Ctx, op: &'static Elementwise, second: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Grads> {
    let (g, x) = (cx.input(0)?, cx.input(1)?);
    grads!(cx; again(cx, op, cx.g(), &x)?, cx.g() * g * second(&x)?)
}

/// `g f'(x)` where `f'' = f' * factor(x)`.
fn by_factor(cx: &Ctx, op: &'static Elementwise, factor: impl Fn(&Tensor) -> Tensor) -> Result<Grads> {
    let (g, x) = (cx.input(0)?, cx.input(1)?);
    grads!(cx; with_grad(op, cx.g(), &x)?, cx.g() * with_grad(op, &g, &x)? * factor(&x))
}

/// `g f'(x)` where `f''` is 0.
fn kinked(cx: &Ctx, op: &'static Elementwise) -> Result<Grads> {
    let x = cx.input(1)?;
    grads!(cx; again(cx, op, cx.g(), &x)?, zeros(cx, 1))
}

/// Of `x s(v)` with `v = 2 k (x + c x^3)`.
fn gelu_tanh_second(x: &Tensor) -> Result<Tensor> {
    let (k, c) = ((2.0 / PI).sqrt(), 0.044715);
    let x2 = x.square();
    let s = ((&x2 * c + 1) * x * (2.0 * k)).sigmoid();
    let v1 = (&x2 * (3.0 * c) + 1) * (2.0 * k);
    let slope = &s * (1 - &s);
    let s1 = &slope * &v1;
    let s2 = &slope * ((1 - &s * 2) * v1.square() + x * (12.0 * k * c));
    Ok(s1 * 2 + x * s2)
}

/// Of `x tanh(softplus(x))`.
fn mish_second(x: &Tensor) -> Result<Tensor> {
    let s = x.sigmoid();
    let t = x.softplus().tanh();
    let rest = 1 - t.square();
    let t1 = &rest * &s;
    let t2 = &t * &t1 * &s * -2 + &rest * (&s * (1 - &s));
    Ok(t1 * 2 + x * t2)
}
