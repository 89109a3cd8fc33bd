//! Arithmetic: sums, products, quotients and remainders.

use super::{
    binary_methods, grads, input, inputs, nothing, op_methods, ops, options, tensor_methods, unary_methods, zeros,
};
use crate::device::Device;
use crate::dtype::{Category, DType};
use crate::error::{Result, bail, ensure};
use crate::ops::Operand;
use crate::scalar::Scalar;
use crate::tensor::{Ctx, Grads, In, Tensor, elementwise, no_grads, result_type, unwrap};
use num_complex::Complex;

/// Bits of what the other operand's gradient reads.
fn crosswise(needs: u8) -> u8 {
    (needs & 1) << 1 | needs >> 1 & 1
}

/// Both operands where the second one's gradient is wanted.
fn for_second(needs: u8) -> u8 {
    if needs & 2 != 0 { 0b11 } else { 0 }
}

ops! {
    ADD = ADD, Common, "AddBackward0", nothing, |cx| grads!(cx; cx.g().clone(), cx.g().clone());
    /// x + other * 1 * alpha
    ADD_ALPHA = ADDCMUL, Common, "AddBackward0", nothing, |cx| grads!(cx; cx.g().clone(), cx.g() * factor(cx));
    SUB = SUB, Sub, "SubBackward0", nothing, |cx| grads!(cx; cx.g().clone(), -cx.g());
    /// x + other * 1 * -alpha
    SUB_ALPHA = ADDCMUL, Sub, "SubBackward0", nothing, |cx| grads!(cx; cx.g().clone(), cx.g() * factor(cx));
    RSUB = SUB, Sub, "RsubBackward1", nothing, |cx| grads!(cx; cx.g().clone(), -cx.g());
    MUL = MUL, Common, "MulBackward0", crosswise, |cx| {
        grads!(cx; cx.g() * cx.operand(1)?, cx.g() * cx.operand(0)?)
    };
    DIV = DIV, Float, "DivBackward0", |n| if n & 2 != 0 { 0b11 } else { 0b10 }, |cx| {
        grads!(cx; cx.g() / cx.operand(1)?, {
            let other = cx.input(1)?;
            -cx.g() * (over(&DIV, cx.operand(0)?, &other) / &other)
        })
    };
    DIV_TRUNC = DIV_TRUNC, Number, "DivBackward2", nothing, |cx| grads!(cx; zeros(cx, 0), zeros(cx, 1));
    DIV_FLOOR = FLOOR_DIVIDE, Number, "DivBackward2", nothing, |cx| grads!(cx; zeros(cx, 0), zeros(cx, 1));
    FLOOR_DIVIDE = FLOOR_DIVIDE, Number, "NotImplemented", nothing, |_| {
        bail!(Runtime, "derivative for aten::floor_divide is not implemented")
    };
    REMAINDER = REMAINDER, Number, "RemainderBackward0", for_second, |cx| {
        grads!(cx; cx.g().clone(), -cx.g() * over(&DIV_FLOOR, cx.operand(0)?, &cx.input(1)?))
    };
    FMOD = FMOD, Number, "FmodBackward0", for_second, |cx| {
        grads!(cx; cx.g().clone(), -cx.g() * over(&DIV_TRUNC, cx.operand(0)?, &cx.input(1)?))
    };
    NEG = NEG, Number, "NegBackward0", nothing, |cx| grads!(cx; -cx.g());
    ABS = ABS, Number, "AbsBackward0", input, |cx| grads!(cx; cx.g() * cx.input(0)?.sgn());
    SIGN = SIGN, Number, "SignBackward0", nothing, |cx| grads!(cx; zeros(cx, 0));
    SGN = SGN, Number, "SgnBackward0", input, |cx| {
        grads!(cx; {
            let z = cx.input(0)?;
            if z.is_complex() { sgn_vjp(cx.g(), &z) } else { zeros(cx, 0) }
        })
    };
    ADDCMUL = ADDCMUL, Common, "AddcmulBackward0", inputs::<3>, |cx| {
        grads!(cx; cx.g().clone(), cx.g() * (cx.input(2)? * factor(cx)), cx.g() * (cx.input(1)? * factor(cx)))
    };
    ADDCDIV = ADDCDIV, FloatOnly, "AddcdivBackward0", inputs::<3>, |cx| {
        grads!(cx; cx.g().clone(), cx.g() * unwrap(super::div(&In::S(factor(cx)), &In::T(&cx.input(2)?))), {
            let (t1, t2) = (cx.input(1)?, cx.input(2)?);
            -cx.g() * (t1 * factor(cx) / (&t2 * &t2))
        })
    };
    LERP_SCALAR = LERP, FloatOnly, "LerpBackward0", nothing, lerp_vjp;
    LERP_TENSOR = LERP, FloatOnly, "LerpBackward1", |n| if n & 4 != 0 { 0b111 } else { 0b100 }, lerp_vjp;
    GCD = GCD, Int, "NotDifferentiable", nothing, |_| Ok(no_grads(2));
    LCM = LCM, Int, "NotDifferentiable", nothing, |_| Ok(no_grads(2));
    /// The same elements: what rounding does to integers, `nan_to_num` too.
    SAME = POSITIVE, Common, "CloneBackward0", nothing, |cx| grads!(cx; cx.g().clone());
}

/// What of the gradient is at right angles to the direction, by the magnitude; 0 at 0.
fn sgn_vjp(g: &Tensor, z: &Tensor) -> Tensor {
    let (direction, abs) = (z.sgn(), z.abs());
    let along = (g * direction.conj()).real() * &direction;
    super::where_cond(&abs.detach().eq(0), 0, (g - along) / abs)
}

/// The scalar in the fourth place.
fn factor(cx: &Ctx) -> Scalar {
    cx.scalar(3).unwrap_or(Scalar::Int(1))
}

fn lerp_vjp(cx: &Ctx) -> Result<Grads> {
    grads!(cx; {
        let rest = match cx.operand(2)? {
            Operand::Scalar(Scalar::Complex(z)) => Operand::Scalar(Scalar::Complex(1.0 - z)),
            Operand::Scalar(s) => Operand::Scalar(Scalar::Float(1.0 - s.to_f64())),
            Operand::Tensor(w) => Operand::Tensor(1 - w),
        };
        cx.g() * rest
    }, cx.g() * cx.operand(2)?, cx.g() * (cx.input(1)? - cx.input(0)?))
}

/// `op(a, b)` where `a` may be a number.
#[track_caller]
fn over(op: &'static crate::tensor::Elementwise, a: Operand, b: &Tensor) -> Tensor {
    unwrap(elementwise(op, &[a.as_in(), In::T(b)]))
}

/// Fails where integers are to be divided by a zero that the host can see: a number, or anything in a CPU tensor. A GPU's
/// quotient by an integer zero is 0.
pub(crate) fn check_divisor(a: &In, b: &In) -> Result<()> {
    if result_type(&[*a, *b]).category() != Category::Int {
        return Ok(());
    }
    let zero = match b {
        In::S(s) => !s.to_bool(),
        In::T(t) if t.device() == Device::Cpu || t.holds_constant() => {
            let empty = matches!(a, In::T(a) if a.numel() == 0);
            !empty && t.to_vec::<i64>()?.contains(&0)
        }
        In::T(_) => false,
    };
    ensure!(!zero, Runtime, "ZeroDivisionError");
    Ok(())
}

options! {
    /// Options of [`Tensor::add_with`], [`Tensor::sub_with`] and [`Tensor::rsub_with`]; a number is `alpha`.
    AlphaOptions {
        /// The factor on what is added or subtracted.
        alpha: Scalar = 1,
    } from Scalar, bool, i32, i64, f32, f64, Complex<f64>;
    /// Options of [`Tensor::addcmul_with`] and [`Tensor::addcdiv_with`]; a number is `value`.
    ValueOptions {
        /// The factor on the product or quotient.
        value: Scalar = 1,
    } from Scalar, bool, i32, i64, f32, f64, Complex<f64>;
    /// Options of [`Tensor::div_with`]; a [`RoundingMode`] is one.
    DivOptions {
        /// None divides as [`Tensor::div`] does.
        rounding_mode: Option<RoundingMode> = None,
    } from RoundingMode, Option<RoundingMode>;
}

/// How [`Tensor::div_with`] rounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoundingMode {
    /// Toward zero (`rounding_mode="trunc"`), as C divides integers.
    Trunc,
    /// Down (`rounding_mode="floor"`), as Python's `//`.
    Floor,
}

/// `alpha` (or `value`) as PyTorch takes it for operands that meet in `dtype`.
fn check_factor(name: &str, factor: Scalar, dtype: DType) -> Result<Scalar> {
    ensure!(
        factor.category() != Category::Bool || dtype == DType::Bool || name == "value",
        Runtime,
        "Boolean alpha only supported for Boolean results."
    );
    ensure!(
        dtype.is_complex() || factor.category() != Category::Complex,
        Runtime,
        "For non-complex input tensors, argument {name} must not be a complex number."
    );
    ensure!(
        dtype.is_differentiable() || factor.category() != Category::Float,
        Runtime,
        "For integral input tensors, argument {name} must not be a floating point number."
    );
    Ok(if dtype.is_differentiable() { factor } else { factor.as_dtype(dtype) })
}

fn negated(s: Scalar) -> Scalar {
    match s {
        Scalar::Float(f) => Scalar::Float(-f),
        Scalar::Complex(z) => Scalar::Complex(-z),
        s => Scalar::Int(s.to_i64().wrapping_neg()),
    }
}

binary_methods! {
    /// Elementwise sum (`torch.add`); bools add as a logical or.
    ///
    /// ```
    /// # use wgtorch::prelude::*;
    /// assert_eq!(tensor!([1, 2]).add(1.5).to_vec::<f32>()?, [2.5, 3.5]);
    /// # Ok::<(), Error>(())
    /// ```
    add add_ add_out ADD;
    /// Elementwise difference (`torch.sub`); refuses bools.
    sub sub_ sub_out SUB;
    /// Elementwise product (`torch.mul`).
    mul mul_ mul_out MUL;
    /// True division (`torch.div`): integers give floats.
    div div_ div_out DIV;
    /// True division (`torch.true_divide`), the same as [`Tensor::div`].
    true_divide true_divide_ true_divide_out DIV;
}

op_methods! {
    /// `self + alpha * other` (`torch.add` with `alpha`).
    ///
    /// ```
    /// # use wgtorch::prelude::*;
    /// assert_eq!(tensor!([1, 2]).add_with(&tensor!([10, 20]), 3).to_vec::<i64>()?, [31, 62]);
    /// # Ok::<(), Error>(())
    /// ```
    add_with add_with_ add_with_out (other: impl Into<Operand>, options: impl Into<AlphaOptions>) |x, run| {
        let other = other.into();
        let alpha = check_factor("alpha", options.into().alpha, result_type(&[x, other.as_in()]))?;
        run(&ADD_ALPHA, &[x, other.as_in(), In::S(unit(alpha)), In::S(alpha)])
    }
    /// `self - alpha * other` (`torch.sub` with `alpha`).
    sub_with sub_with_ sub_with_out (other: impl Into<Operand>, options: impl Into<AlphaOptions>) |x, run| {
        let other = other.into();
        let alpha = negated(check_factor("alpha", options.into().alpha, result_type(&[x, other.as_in()]))?);
        run(&SUB_ALPHA, &[x, other.as_in(), In::S(unit(alpha)), In::S(alpha)])
    }
    /// The quotient with a rounding mode (`torch.div(rounding_mode=…)`): with one, integers stay integers.
    ///
    /// ```
    /// # use wgtorch::{prelude::*, RoundingMode};
    /// assert_eq!(tensor!([7, -7]).div_with(2, RoundingMode::Trunc).to_vec::<i64>()?, [3, -3]);
    /// assert_eq!(tensor!([7, -7]).div_with(2, RoundingMode::Floor).to_vec::<i64>()?, [3, -4]);
    /// # Ok::<(), Error>(())
    /// ```
    div_with div_with_ div_with_out (other: impl Into<Operand>, options: impl Into<DivOptions>) |x, run| {
        let other = other.into();
        let mode = options.into().rounding_mode;
        if mode.is_some() {
            check_divisor(&x, &other.as_in())?;
        }
        let op = match mode {
            None => &DIV,
            Some(RoundingMode::Trunc) => &DIV_TRUNC,
            Some(RoundingMode::Floor) => &DIV_FLOOR,
        };
        run(op, &[x, other.as_in()])
    }
    /// The quotient rounded down (`torch.floor_divide`, Python's `//`); it has no gradient.
    floor_divide floor_divide_ floor_divide_out (other: impl Into<Operand>) |x, run| {
        let other = other.into();
        check_divisor(&x, &other.as_in())?;
        run(&FLOOR_DIVIDE, &[x, other.as_in()])
    }
    /// The remainder with the divisor's sign (`torch.remainder`, Python's `%`).
    remainder remainder_ remainder_out (other: impl Into<Operand>) |x, run| {
        let other = other.into();
        check_divisor(&x, &other.as_in())?;
        run(&REMAINDER, &[x, other.as_in()])
    }
    /// The remainder with the dividend's sign (`torch.fmod`).
    fmod fmod_ fmod_out (other: impl Into<Operand>) |x, run| {
        let other = other.into();
        check_divisor(&x, &other.as_in())?;
        run(&FMOD, &[x, other.as_in()])
    }
    /// -1, 0 or 1, 0 for NaN; bools stay as they are (`torch.sign`).
    sign sign_ sign_out () |x, run| { run(if result_type(&[x]) == DType::Bool { &SAME } else { &SIGN }, &[x]) }
    /// [`Tensor::sign`] for real numbers, `z / |z|` (0 at 0) for complex ones (`torch.sgn`).
    sgn sgn_ sgn_out () |x, run| { run(if result_type(&[x]) == DType::Bool { &SAME } else { &SGN }, &[x]) }
    /// `self + tensor1 * tensor2` (`torch.addcmul`).
    addcmul addcmul_ addcmul_out (tensor1: &Tensor, tensor2: &Tensor) |x, run| {
        run(&ADDCMUL, &[x, In::T(tensor1), In::T(tensor2), In::S(Scalar::Bool(true))])
    }
    /// `self + value * tensor1 * tensor2` (`torch.addcmul`).
    addcmul_with addcmul_with_ addcmul_with_out (tensor1: &Tensor, tensor2: &Tensor, options: impl Into<ValueOptions>) |x, run| {
        let dtype = result_type(&[x, In::T(tensor1), In::T(tensor2)]);
        let value = check_factor("value", options.into().value, dtype)?;
        run(&ADDCMUL, &[x, In::T(tensor1), In::T(tensor2), In::S(value)])
    }
    /// `self + tensor1 / tensor2` (`torch.addcdiv`), floats only.
    addcdiv addcdiv_ addcdiv_out (tensor1: &Tensor, tensor2: &Tensor) |x, run| {
        check_addcdiv(tensor1, tensor2)?;
        run(&ADDCDIV, &[x, In::T(tensor1), In::T(tensor2), In::S(Scalar::Int(1))])
    }
    /// `self + value * tensor1 / tensor2` (`torch.addcdiv`), floats only.
    addcdiv_with addcdiv_with_ addcdiv_with_out (tensor1: &Tensor, tensor2: &Tensor, options: impl Into<ValueOptions>) |x, run| {
        check_addcdiv(tensor1, tensor2)?;
        run(&ADDCDIV, &[x, In::T(tensor1), In::T(tensor2), In::S(options.into().value)])
    }
    /// `self + weight * (end - self)` (`torch.lerp`); the weight is a number or a tensor.
    lerp lerp_ lerp_out (end: &Tensor, weight: impl Into<Operand>) |x, run| {
        let weight = weight.into();
        let dtype = result_type(&[x]);
        ensure!(
            end.dtype() == dtype,
            Runtime,
            "expected dtype {} for `end` but got dtype {}",
            c_name(dtype),
            c_name(end.dtype())
        );
        match &weight {
            Operand::Scalar(s) => run(&LERP_SCALAR, &[x, In::T(end), In::S(*s)]),
            Operand::Tensor(w) => {
                ensure!(
                    w.dtype() == dtype,
                    Runtime,
                    "expected dtype {} for `weight` but got dtype {}",
                    c_name(dtype),
                    c_name(w.dtype())
                );
                run(&LERP_TENSOR, &[x, In::T(end), In::T(w)])
            }
        }
    }
}

/// The quotient rounded down of tensors or numbers, at least one a tensor (`torch.floor_divide`, Python's `7 // x`).
///
/// # Panics
/// If both are numbers, or an integer is divided by zero.
#[track_caller]
pub fn floor_divide(input: impl Into<Operand>, other: impl Into<Operand>) -> Tensor {
    let (a, b) = (input.into(), other.into());
    unwrap(check_divisor(&a.as_in(), &b.as_in()).and_then(|()| elementwise(&FLOOR_DIVIDE, &[a.as_in(), b.as_in()])))
}

fn c_name(d: DType) -> String {
    d.scalar_name().to_lowercase()
}

/// 1 of the category of a factor, so that a bool stays a bool.
fn unit(factor: Scalar) -> Scalar {
    match factor {
        Scalar::Bool(_) => Scalar::Bool(true),
        _ => Scalar::Int(1),
    }
}

fn check_addcdiv(tensor1: &Tensor, tensor2: &Tensor) -> Result<()> {
    ensure!(
        tensor1.dtype().is_differentiable() || tensor2.dtype().is_differentiable(),
        Runtime,
        "Integer division with addcdiv is no longer supported, and in a future  release addcdiv will perform a true division of tensor1 and tensor2. The historic addcdiv behavior can be implemented as (input + value * torch.trunc(tensor1 / tensor2)).to(input.dtype) for integer inputs and as (input + value * tensor1 / tensor2) for float inputs. The future addcdiv behavior is just the latter implementation: (input + value * tensor1 / tensor2), for all dtypes."
    );
    Ok(())
}

unary_methods! {
    /// Elementwise negation (`torch.neg`); refuses bools.
    neg neg_ neg_out NEG;
    /// The magnitude (`torch.abs`), real for complex numbers; its gradient at 0 is 0.
    abs abs_ abs_out ABS;
}

tensor_methods! {
    /// The greatest common divisor of integers (`torch.gcd`).
    gcd gcd_ gcd_out GCD;
    /// The least common multiple of integers (`torch.lcm`).
    lcm lcm_ lcm_out LCM;
}

crate::tensor::methods! {
    /// `other - self` (`torch.rsub`).
    fn rsub(&self, other: impl Into<Operand>) -> Tensor {
        elementwise(&RSUB, &[other.into().as_in(), In::T(self.0)])
    }

    /// `other - alpha * self` (`torch.rsub` with `alpha`).
    fn rsub_with(&self, other: impl Into<Operand>, options: impl Into<AlphaOptions>) -> Tensor {
        let other = other.into();
        let alpha = negated(check_factor("alpha", options.into().alpha, result_type(&[In::T(self.0), other.as_in()]))?);
        elementwise(&SUB_ALPHA, &[other.as_in(), In::T(self.0), In::S(unit(alpha)), In::S(alpha)])
    }

    /// The tensor itself (`torch.positive`); refuses bools.
    fn positive(&self) -> Tensor {
        ensure!(self.dtype() != DType::Bool, Runtime, "The `+` operator, on a bool tensor is not supported.");
        Ok(self.0.clone())
    }

    /// The remainder with the divisor's sign, for the `%` operator.
    fn rem(&self, other: impl Into<Operand>) -> Tensor { self.remainder(other) }
}
