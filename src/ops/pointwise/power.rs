//! Powers and roots, with the derivatives' special cases at 0.

use super::{grads, input, nothing, op_methods, ops, output, unary_methods, with_grad, zeros};
use crate::dtype::{Category, DType};
use crate::error::{Result, ensure};
use crate::ops::Operand;
use crate::scalar::Scalar;
use crate::tensor::{Ctx, Elementwise, Grads, In, OUTPUT, Tensor, elementwise, result_type, unwrap};

ops! {
    SQRT = SQRT, Float, "SqrtBackward0", output, |cx| grads!(cx; with_grad(&SQRT_BACKWARD, cx.g(), &cx.output(0)?)?);
    RSQRT = RSQRT, Float, "RsqrtBackward0", output, |cx| grads!(cx; with_grad(&RSQRT_BACKWARD, cx.g(), &cx.output(0)?)?);
    RECIPROCAL = RECIPROCAL, Float, "ReciprocalBackward0", output, |cx| {
        grads!(cx; with_grad(&RECIPROCAL_BACKWARD, cx.g(), &cx.output(0)?)?)
    };
    SQUARE = SQUARE, Common, "PowBackward0", input, |cx| grads!(cx; cx.g() * (cx.input(0)? * 2));
    POW_HALF = SQRT, FloatOnly, "PowBackward0", input, |cx| grads!(cx; cx.g() * (raised(&cx.input(0)?, -0.5)? * 0.5));
    POW_MINUS_ONE = RECIPROCAL, FloatOnly, "PowBackward0", input, |cx| {
        grads!(cx; cx.g() * -raised(&cx.input(0)?, -2.0)?)
    };
    POW_MINUS_HALF = RSQRT, FloatOnly, "PowBackward0", input, |cx| {
        grads!(cx; cx.g() * (raised(&cx.input(0)?, -1.5)? * -0.5))
    };
    /// A bool to the power True.
    POW_SAME = POSITIVE, Common, "PowBackward0", nothing, |cx| grads!(cx; cx.g().clone());
    POW_SCALAR = POW, Number, "PowBackward0", input, pow_vjp;
    POW_TENSOR = POW, Number, "PowBackward1", |n| if n & 2 != 0 { 0b11 | OUTPUT } else { 0b11 }, pow_vjp;
    POW_OF_SCALAR = POW, Number, "PowBackward2", |_| 0b10 | OUTPUT, pow_vjp;

    SQRT_BACKWARD = SQRT_BACKWARD, Common, "DivBackward0", |_| 0b11, |cx| {
        let (g, y) = (cx.input(0)?, cx.input(1)?);
        grads!(cx; with_grad(&SQRT_BACKWARD, cx.g(), &y)?, -cx.g() * g / (&y * &y * 2))
    };
    RSQRT_BACKWARD = RSQRT_BACKWARD, Common, "MulBackward0", |_| 0b11, |cx| {
        let (g, y) = (cx.input(0)?, cx.input(1)?);
        grads!(cx; with_grad(&RSQRT_BACKWARD, cx.g(), &y)?, cx.g() * g * (&y * &y * -1.5))
    };
    RECIPROCAL_BACKWARD = RECIPROCAL_BACKWARD, Common, "MulBackward0", |_| 0b11, |cx| {
        let (g, y) = (cx.input(0)?, cx.input(1)?);
        grads!(cx; with_grad(&RECIPROCAL_BACKWARD, cx.g(), &y)?, cx.g() * g * (y * -2))
    };
    /// exponent * x^(exponent - 1), 0 where the exponent is 0
    POW_BACKWARD = POW_BACKWARD, Common, "MulBackward0", |_| 0b111, |cx| {
        let (g, x, e) = (cx.input(0)?, cx.input(1)?, cx.operand(2)?);
        grads!(cx; by_base(cx.g(), &x, &e)?, {
            by_base(&(cx.g() * &g * &e), &x, &Operand::Tensor(one_less(&e)?))?
        }, {
            let power = unwrap(elementwise(&POW_TENSOR, &[In::T(&x), In::T(&one_less(&e)?)]));
            cx.g() * g * power * (x.log() * e + 1)
        })
    };
    /// y * ln x, 0 where x is 0 and the exponent is not negative
    POW_BACKWARD_EXPONENT = POW_BACKWARD_EXPONENT, Common, "MulBackward0", |_| 0b1111, |cx| {
        let (g, base, e, y) = (cx.input(0)?, cx.operand(1)?, cx.operand(2)?, cx.input(3)?);
        grads!(cx; by_exponent(cx.g(), &base, &e, &y)?, {
            let x = cx.input(1)?;
            let flat = x.eq(0).logical_and(not_negative(&cx.input(2)?));
            super::where_cond(&flat, 0, cx.g() * &g * &y / x)
        }, zeros(cx, 2), {
            let ln = match &base {
                Operand::Tensor(x) => x.log(),
                Operand::Scalar(s) if y.is_complex() => {
                    Tensor::constant(Scalar::Complex(s.to_complex().ln()), &[], y.dtype(), y.device())
                }
                Operand::Scalar(s) => Tensor::constant(Scalar::Float(s.to_f64().ln()), &[], y.dtype(), y.device()),
            };
            let flat = match &base {
                Operand::Tensor(x) => x.eq(0).logical_and(not_negative(&cx.input(2)?)),
                Operand::Scalar(s) => not_negative(&cx.input(2)?).logical_and(!s.to_bool()),
            };
            super::where_cond(&flat, 0, cx.g() * &g * ln)
        })
    };
}

/// `e - 1` as a tensor.
fn one_less(e: &Operand) -> Result<Tensor> {
    match e {
        Operand::Tensor(e) => e.checked().sub(1),
        Operand::Scalar(s) => {
            let (less, dtype) = match s {
                Scalar::Complex(z) => (Scalar::Complex(z - 1.0), DType::C128),
                s => (Scalar::Float(s.to_f64() - 1.0), DType::F64),
            };
            Ok(Tensor::constant(less, &[], dtype, crate::device::Device::Cpu))
        }
    }
}

/// True where an exponent's real part is not negative.
fn not_negative(e: &Tensor) -> Tensor {
    e.real().ge(0)
}

fn by_base(g: &Tensor, x: &Tensor, exponent: &Operand) -> Result<Tensor> {
    elementwise(&POW_BACKWARD, &[In::T(g), In::T(x), exponent.as_in()])
}

fn by_exponent(g: &Tensor, base: &Operand, exponent: &Operand, y: &Tensor) -> Result<Tensor> {
    elementwise(&POW_BACKWARD_EXPONENT, &[In::T(g), base.as_in(), exponent.as_in(), In::T(y)])
}

/// `x ** exponent` on the tape, by the cheapest row.
fn raised(x: &Tensor, exponent: f64) -> Result<Tensor> {
    x.checked().pow(exponent)
}

fn pow_vjp(cx: &Ctx) -> Result<Grads> {
    grads!(cx; by_base(cx.g(), &cx.input(0)?, &cx.operand(1)?)?, {
        by_exponent(cx.g(), &cx.operand(0)?, &cx.operand(1)?, &cx.output(0)?)?
    })
}

/// The row for a number as the exponent: common ones have their own, which is exact and cheap.
fn for_exponent(x: In, exponent: Scalar) -> (&'static Elementwise, bool) {
    let dtype = result_type(&[x]);
    match exponent {
        Scalar::Int(2) if dtype != DType::Bool => (&SQUARE, true),
        Scalar::Complex(_) => (&POW_SCALAR, false),
        _ if !dtype.is_float() => (&POW_SCALAR, false),
        _ => match exponent.to_f64() {
            2.0 => (&SQUARE, true),
            0.5 => (&POW_HALF, true),
            -0.5 => (&POW_MINUS_HALF, true),
            -1.0 => (&POW_MINUS_ONE, true),
            _ => (&POW_SCALAR, false),
        },
    }
}

fn check_integers(a: &In, b: &In) -> Result<()> {
    let negative = matches!(b, In::S(Scalar::Int(i)) if *i < 0);
    ensure!(
        !negative || result_type(&[*a, *b]).category() != Category::Int,
        Runtime,
        "Integers to negative integer powers are not allowed."
    );
    Ok(())
}

/// A power with a number on either side (`torch.pow`): `pow(2., &x)`.
///
/// # Panics
/// For two numbers, bools, an integer to a negative integer power, and shapes that do not broadcast.
///
/// ```
/// # use wgtorch::prelude::*;
/// assert_eq!(wgtorch::pow(2, &tensor!([1, 3])).to_vec::<i64>()?, [2, 8]);
/// # Ok::<(), Error>(())
/// ```
#[track_caller]
pub fn pow(base: impl Into<Operand>, exponent: impl Into<Operand>) -> Tensor {
    let exponent = exponent.into();
    match base.into() {
        Operand::Tensor(t) => t.pow(exponent),
        base => unwrap(elementwise(&POW_OF_SCALAR, &[base.as_in(), exponent.as_in()])),
    }
}

op_methods! {
    /// Elementwise power (`torch.pow`); integers stay integers and refuse negative integer numbers.
    ///
    /// ```
    /// # use wgtorch::prelude::*;
    /// assert_eq!(tensor!([1., 2., 3.]).pow(2).to_vec::<f32>()?, [1., 4., 9.]);
    /// # Ok::<(), Error>(())
    /// ```
    pow pow_ pow_out (exponent: impl Into<Operand>) |x, run| {
        let exponent = exponent.into();
        check_integers(&x, &exponent.as_in())?;
        match exponent {
            Operand::Tensor(e) => run(&POW_TENSOR, &[x, In::T(&e)]),
            Operand::Scalar(Scalar::Bool(true)) if result_type(&[x]) == DType::Bool => run(&POW_SAME, &[x]),
            Operand::Scalar(s) => match for_exponent(x, s) {
                (op, true) => run(op, &[x]),
                (op, false) => run(op, &[x, In::S(s)]),
            },
        }
    }
    /// `self * self` (`torch.square`); bools give integers.
    square square_ square_out () |x, run| {
        if result_type(&[x]) == DType::Bool {
            run(&POW_SCALAR, &[x, In::S(Scalar::Int(2))])
        } else {
            run(&SQUARE, &[x])
        }
    }
}

unary_methods! {
    /// The square root (`torch.sqrt`); its gradient at 0 is infinite.
    sqrt sqrt_ sqrt_out SQRT;
    /// `1 / sqrt(self)` (`torch.rsqrt`).
    rsqrt rsqrt_ rsqrt_out RSQRT;
    /// `1 / self` (`torch.reciprocal`).
    reciprocal reciprocal_ reciprocal_out RECIPROCAL;
}

/// The operand as float64.
fn doubled(o: Operand) -> Operand {
    match o {
        Operand::Tensor(t) if t.is_complex() => Operand::Tensor(crate::tensor::to_dtype(&t, DType::C128)),
        Operand::Tensor(t) if t.dtype() != DType::F64 => Operand::Tensor(crate::tensor::to_dtype(&t, DType::F64)),
        o => o,
    }
}

crate::tensor::methods! {
    /// A power computed in float64 (`torch.float_power`).
    fn float_power(&self, exponent: impl Into<Operand>) -> Tensor {
        match doubled(Operand::Tensor(self.0.clone())) {
            Operand::Tensor(x) => x.checked().pow(doubled(exponent.into())),
            Operand::Scalar(_) => unreachable!("a tensor stays one"),
        }
    }

    /// `self * 2 ^ other` (`torch.ldexp`).
    fn ldexp(&self, other: &Tensor) -> Tensor {
        let two = In::S(Scalar::Float(2.0));
        self.mul(elementwise(&POW_OF_SCALAR, &[two, In::T(other)])?)
    }

    /// [`Tensor::ldexp`] in place.
    fn ldexp_(&self, other: &Tensor) -> Tensor {
        let two = In::S(Scalar::Float(2.0));
        self.mul_(elementwise(&POW_OF_SCALAR, &[two, In::T(other)])?)
    }
}
