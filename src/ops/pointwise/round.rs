//! Rounding.

use super::{grads, inputs, nothing, op_methods, ops, options, unary_methods, where_cond, zeros};
use crate::error::Result;
use crate::scalar::Scalar;
use crate::tensor::{Elementwise, In, Tensor, elementwise, result_type};

ops! {
    FLOOR = FLOOR, FloatOnly, "FloorBackward0", nothing, |cx| grads!(cx; zeros(cx, 0));
    CEIL = CEIL, FloatOnly, "CeilBackward0", nothing, |cx| grads!(cx; zeros(cx, 0));
    TRUNC = TRUNC, FloatOnly, "TruncBackward0", nothing, |cx| grads!(cx; zeros(cx, 0));
    ROUND = ROUND, FloatOnly, "RoundBackward0", nothing, |cx| grads!(cx; zeros(cx, 0));
    FRAC = FRAC, FloatOnly, "FracBackward0", nothing, |cx| grads!(cx; cx.g().clone());
    COPYSIGN = COPYSIGN, Float, "CopysignBackward0", inputs::<2>, |cx| {
        grads!(cx; {
            // the sign of self times the sign bit of other, 0 where self is 0
            let x = cx.input(0)?;
            let s = match cx.operand(1)? {
                crate::ops::Operand::Tensor(o) => x.sign().abs().copysign(&o),
                crate::ops::Operand::Scalar(o) => x.sign().abs().copysign(o),
            };
            cx.g() * s * x.sign()
        }, zeros(cx, 1))
    };
    NEXTAFTER = NEXTAFTER, FloatOnly, "NextafterBackward0", |n| if n & 1 != 0 { 0b11 } else { 0 }, |cx| {
        // a step of one unit is the identity; where there is none to go, nothing flows
        grads!(cx; where_cond(&cx.input(0)?.ne(&cx.input(1)?), cx.g(), 0), zeros(cx, 1))
    };
}

options! {
    /// Options of [`Tensor::round_with`]; an integer is `decimals`.
    RoundOptions {
        /// Digits after the point; negative ones round to tens, hundreds …
        decimals: i32 = 0,
    } from i32;
}

/// The op, or the identity for integers.
fn of_float(op: &'static Elementwise, x: In) -> &'static Elementwise {
    if result_type(&[x]).is_int() { &super::SAME } else { op }
}

op_methods! {
    /// The largest integer not above each element (`torch.floor`).
    floor floor_ floor_out () |x, run| { run(of_float(&FLOOR, x), &[x]) }
    /// The smallest integer not below each element (`torch.ceil`).
    ceil ceil_ ceil_out () |x, run| { run(of_float(&CEIL, x), &[x]) }
    /// Toward zero (`torch.trunc`).
    trunc trunc_ trunc_out () |x, run| { run(of_float(&TRUNC, x), &[x]) }
    /// To the nearest integer, halves to even (`torch.round`).
    ///
    /// ```
    /// # use wgtorch::prelude::*;
    /// assert_eq!(tensor!([0.5, 1.5, 2.5]).round().to_vec::<f32>()?, [0., 2., 2.]);
    /// # Ok::<(), Error>(())
    /// ```
    round round_ round_out () |x, run| { run(of_float(&ROUND, x), &[x]) }
    /// The magnitude of each element with the sign bit of the other (`torch.copysign`).
    copysign copysign_ copysign_out (other: impl Into<crate::ops::Operand>) |x, run| { run(&COPYSIGN, &[x, other.into().as_in()]) }
    /// The next representable number toward the other (`torch.nextafter`).
    nextafter nextafter_ nextafter_out (other: &Tensor) |x, run| { run(&NEXTAFTER, &[x, In::T(other)]) }
}

unary_methods! {
    /// What is left of the point cut off, with the sign (`torch.frac`).
    frac frac_ frac_out FRAC;
}

/// `round(x * 10^d) / 10^d`, or for negative d with the powers the other way round, as PyTorch does it.
#[track_caller]
fn to_decimals(x: &Tensor, decimals: i32) -> Result<Tensor> {
    if decimals == 0 || !x.dtype().is_float() {
        return x.checked().round();
    }
    let ten = In::S(Scalar::Float(10f64.powi(decimals.abs())));
    let (up, down) = if decimals > 0 { (&super::MUL, &super::DIV) } else { (&super::DIV, &super::MUL) };
    let scaled = elementwise(up, &[In::T(x), ten])?;
    let rounded = elementwise(&ROUND, &[In::T(&scaled)])?;
    elementwise(down, &[In::T(&rounded), ten])
}

crate::tensor::methods! {
    /// Rounds to a number of decimals (`torch.round(decimals=…)`).
    fn round_with(&self, options: impl Into<RoundOptions>) -> Tensor {
        to_decimals(self.0, options.into().decimals)
    }

    /// [`Tensor::round_with`] in place.
    fn round_with_(&self, options: impl Into<RoundOptions>) -> Tensor {
        let result = to_decimals(self.0, options.into().decimals)?;
        self.copy_(&result)
    }
}
