//! Comparisons, logic, tests for NaN and infinities, `where`, and whether tensors are equal or close.

use super::{binary_methods, nothing, ops, options, unary_methods};
use crate::dtype::DType;
use crate::error::{Result, bail, ensure};
use crate::ops::Operand;
use crate::tensor::{In, Tensor, elementwise, no_grads, to_dtype, unwrap};

ops! {
    EQ = EQ, Compare, "NotDifferentiable", nothing, |_| Ok(no_grads(2));
    NE = NE, Compare, "NotDifferentiable", nothing, |_| Ok(no_grads(2));
    LT = LT, Compare, "NotDifferentiable", nothing, |_| Ok(no_grads(2));
    LE = LE, Compare, "NotDifferentiable", nothing, |_| Ok(no_grads(2));
    GT = GT, Compare, "NotDifferentiable", nothing, |_| Ok(no_grads(2));
    GE = GE, Compare, "NotDifferentiable", nothing, |_| Ok(no_grads(2));
    LOGICAL_AND = LOGICAL_AND, Logical, "NotDifferentiable", nothing, |_| Ok(no_grads(2));
    LOGICAL_OR = LOGICAL_OR, Logical, "NotDifferentiable", nothing, |_| Ok(no_grads(2));
    LOGICAL_XOR = LOGICAL_XOR, Logical, "NotDifferentiable", nothing, |_| Ok(no_grads(2));
    LOGICAL_NOT = LOGICAL_NOT, Logical, "NotDifferentiable", nothing, |_| Ok(no_grads(1));
    ISNAN = ISNAN, Compare, "NotDifferentiable", nothing, |_| Ok(no_grads(1));
    ISINF = ISINF, Compare, "NotDifferentiable", nothing, |_| Ok(no_grads(1));
    ISPOSINF = ISPOSINF, Compare, "NotDifferentiable", nothing, |_| Ok(no_grads(1));
    ISNEGINF = ISNEGINF, Compare, "NotDifferentiable", nothing, |_| Ok(no_grads(1));
    ISFINITE = ISFINITE, Compare, "NotDifferentiable", nothing, |_| Ok(no_grads(1));
    SIGNBIT = SIGNBIT, Compare, "NotDifferentiable", nothing, |_| Ok(no_grads(1));
    WHERE = WHERE, Where, "WhereBackward0", |_| 1, |cx| {
        let c = cx.input(0)?;
        // the condition has no gradient
        let mut out = crate::tensor::Grads::new();
        out.push(None);
        out.push(if cx.needs(1) { Some(where_cond(&c, cx.g(), 0)) } else { None });
        out.push(if cx.needs(2) { Some(where_cond(&c, 0, cx.g())) } else { None });
        Ok(out)
    };
}

pub(crate) fn select(condition: &Tensor, a: In, b: In) -> Result<Tensor> {
    let dtype = condition.dtype();
    ensure!(
        matches!(dtype, DType::Bool | DType::U8),
        Runtime,
        "where expected condition to be a boolean tensor, but got a tensor with dtype {}",
        dtype.scalar_name()
    );
    elementwise(&WHERE, &[In::T(condition), a, b])
}

/// The first operand where the condition holds, else the second; each a tensor or a number (`torch.where`).
///
/// # Panics
/// If the condition is not bool, or shapes do not broadcast.
///
/// ```
/// # use wgtorch::{prelude::*, where_cond};
/// let x = tensor!([-1., 2.]);
/// assert_eq!(where_cond(&x.gt(0), &x, 0).to_vec::<f32>()?, [0., 2.]);
/// # Ok::<(), Error>(())
/// ```
#[track_caller]
pub fn where_cond(condition: &Tensor, input: impl Into<Operand>, other: impl Into<Operand>) -> Tensor {
    unwrap(select(condition, input.into().as_in(), other.into().as_in()))
}

binary_methods! {
    /// Elementwise `==` (`torch.eq`).
    eq eq_ eq_out EQ;
    /// Elementwise `!=` (`torch.ne`).
    ne ne_ ne_out NE;
    /// Elementwise `<` (`torch.lt`).
    lt lt_ lt_out LT;
    /// Elementwise `<=` (`torch.le`).
    le le_ le_out LE;
    /// Elementwise `>` (`torch.gt`).
    gt gt_ gt_out GT;
    /// Elementwise `>=` (`torch.ge`).
    ge ge_ ge_out GE;
    /// Both are not 0 (`torch.logical_and`).
    logical_and logical_and_ logical_and_out LOGICAL_AND;
    /// One or both are not 0 (`torch.logical_or`).
    logical_or logical_or_ logical_or_out LOGICAL_OR;
    /// Just one is not 0 (`torch.logical_xor`).
    logical_xor logical_xor_ logical_xor_out LOGICAL_XOR;
}

unary_methods! {
    /// True where an element is 0 (`torch.logical_not`).
    logical_not logical_not_ logical_not_out LOGICAL_NOT;
}

crate::tensor::methods! {
    /// True where an element is NaN (`torch.isnan`).
    fn isnan(&self) -> Tensor { elementwise(&ISNAN, &[In::T(self.0)]) }
    /// True where an element is infinite (`torch.isinf`).
    fn isinf(&self) -> Tensor { elementwise(&ISINF, &[In::T(self.0)]) }
    /// True where an element is +infinity (`torch.isposinf`).
    fn isposinf(&self) -> Tensor { elementwise(&ISPOSINF, &[In::T(self.0)]) }
    /// True where an element is -infinity (`torch.isneginf`).
    fn isneginf(&self) -> Tensor { elementwise(&ISNEGINF, &[In::T(self.0)]) }
    /// True where an element is neither NaN nor infinite (`torch.isfinite`).
    fn isfinite(&self) -> Tensor { elementwise(&ISFINITE, &[In::T(self.0)]) }
    /// True where the sign bit is set, also of -0 and NaN (`torch.signbit`).
    fn signbit(&self) -> Tensor { elementwise(&SIGNBIT, &[In::T(self.0)]) }
    /// This tensor where the condition holds, else the other (`tensor.where`).
    fn where_cond(&self, condition: &Tensor, other: impl Into<Operand>) -> Tensor {
        select(condition, In::T(self.0), other.into().as_in())
    }

    /// True where `|self - other| <= 1e-8 + 1e-5 |other|` (`torch.isclose`).
    fn isclose(&self, other: &Tensor) -> Tensor { self.isclose_with(other, ()) }

    /// [`Tensor::isclose`] with its tolerances (`torch.isclose(rtol, atol, equal_nan)`).
    fn isclose_with(&self, other: &Tensor, options: impl Into<IscloseOptions>) -> Tensor {
        let o = options.into();
        let (a, b) = (self.0.detach(), other.detach());
        ensure!(a.dtype() == b.dtype(), Runtime, "{} did not match {}", a.dtype().scalar_name(), b.dtype().scalar_name());
        ensure!(o.rtol >= 0.0, Runtime, "rtol must be greater than or equal to zero, but got {}", o.rtol);
        ensure!(o.atol >= 0.0, Runtime, "atol must be greater than or equal to zero, but got {}", o.atol);
        let mut close = a.checked().eq(&b)?;
        let float = a.dtype().is_differentiable();
        if o.equal_nan && float {
            close = close.logical_or(a.isnan().logical_and(b.isnan()));
        }
        if o.rtol == 0.0 && o.atol == 0.0 {
            return Ok(close);
        }
        // integers subtract as such, which wraps; bools as floats
        let a = if a.dtype() == DType::Bool { to_dtype(&a, DType::F32) } else { a };
        let b = if float { b } else { to_dtype(&b, DType::F32) };
        let error = (a - &b).abs();
        let allowed = (b * o.rtol).abs() + o.atol;
        Ok(close.logical_or(error.isfinite().logical_and(error.le(allowed))))
    }
}

options! {
    /// Options of [`Tensor::isclose_with`] and [`Tensor::allclose_with`]; a number is `rtol`.
    IscloseOptions {
        /// Allowed relative to the other's magnitude.
        rtol: f64 = 1e-5,
        /// Allowed beside that.
        atol: f64 = 1e-8,
        /// NaN equals NaN.
        equal_nan: bool = false,
    } from f64;
}

impl From<(f64, f64)> for IscloseOptions {
    fn from((rtol, atol): (f64, f64)) -> Self {
        IscloseOptions { rtol, atol, equal_nan: false }
    }
}

impl Tensor {
    /// True where both have the same shape and equal elements; NaN equals nothing (`torch.equal`). Waits for the device.
    ///
    /// # Errors
    /// For tensors of two devices, or what went wrong on the device since the last wait.
    pub fn equal(&self, other: &Tensor) -> Result<bool> {
        if self.device() != other.device() {
            bail!(
                Runtime,
                "Expected all tensors to be on the same device, but found at least two devices, {} and {}! (equal)",
                self.device(),
                other.device()
            );
        }
        if self.shape() != other.shape() {
            return Ok(false);
        }
        all_true(&self.detach().checked().eq(other.detach())?)
    }

    /// True where [`Tensor::isclose`] holds everywhere (`torch.allclose`). Waits for the device.
    ///
    /// # Errors
    /// As [`Tensor::isclose`] fails, or what went wrong on the device since the last wait.
    pub fn allclose(&self, other: &Tensor) -> Result<bool> {
        self.allclose_with(other, ())
    }

    /// [`Tensor::allclose`] with its tolerances (`torch.allclose(rtol, atol, equal_nan)`).
    ///
    /// # Errors
    /// As [`Tensor::allclose`].
    pub fn allclose_with(&self, other: &Tensor, options: impl Into<IscloseOptions>) -> Result<bool> {
        all_true(&self.checked().isclose_with(other, options)?)
    }
}

fn all_true(mask: &Tensor) -> Result<bool> {
    Ok(!mask.to_vec::<bool>()?.contains(&false))
}
