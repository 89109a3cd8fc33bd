//! Elementwise ops, comparisons and logic.

use super::{Row, rows};
use wgtorch::{Scalar, Tensor};

/// Methods without arguments.
macro_rules! unary {
    ($($name:ident)*) => {
        pub const UNARY: &[Row] = &[$(
            Row { name: stringify!($name), params: "input", run: |c| Ok(c.x()?.$name()?.into()) },
        )*];
    };
}

/// Methods whose other operand is a tensor or a number.
macro_rules! binary {
    ($($name:ident)*) => {
        pub const BINARY: &[Row] = &[$(
            Row { name: stringify!($name), params: "input other", run: |c| Ok(c.x()?.$name(c.operand("other")?)?.into()) },
        )*];
    };
}

unary! { neg neg_ floor floor_ bitwise_not bitwise_not_ }

binary! {
    mul mul_ remainder remainder_ bitwise_and bitwise_and_ bitwise_or bitwise_or_ bitwise_xor bitwise_xor_
}

/// `other * alpha`, and `other` itself where there is no alpha.
macro_rules! with_alpha {
    ($c:ident, $method:ident) => {
        match ($c.operand("other")?, $c.opt_scalar("alpha")?) {
            (o, None) => $c.x()?.$method(o)?,
            (wgtorch::Operand::Tensor(t), Some(a)) => $c.x()?.$method(t.checked().mul(a)?)?,
            (wgtorch::Operand::Scalar(s), Some(a)) => $c.x()?.$method(s.to_f64() * a.to_f64())?,
        }
    };
}

fn reflected(c: &crate::call::Call) -> Result<(&Tensor, &Tensor), crate::call::Stop> {
    Ok((c.tensor("input")?, c.tensor("other")?))
}

rows! {
    "add" "input other alpha" |c| with_alpha!(c, add);
    "add_" "input other alpha" |c| with_alpha!(c, add_);
    "sub" "input other alpha" |c| with_alpha!(c, sub);
    "sub_" "input other alpha" |c| with_alpha!(c, sub_);
    "div" "input other rounding_mode" |c| c.x()?.div(c.operand("other")?)?;
    "div_" "input other rounding_mode" |c| c.x()?.div_(c.operand("other")?)?;
    "true_divide" "input other" |c| c.x()?.div(c.operand("other")?)?;
    "true_divide_" "input other" |c| c.x()?.div_(c.operand("other")?)?;
    "__radd__" "input other" |c| { let (x, o) = reflected(c)?; o.checked().add(x)? };
    "__rsub__" "input other" |c| { let (x, o) = reflected(c)?; o.checked().sub(x)? };
    "__rmul__" "input other" |c| { let (x, o) = reflected(c)?; o.checked().mul(x)? };
    "__rdiv__" "input other" |c| { let (x, o) = reflected(c)?; o.checked().div(x)? };
    "fill" "input value" |c| { let y = c.x()?.copy()?; y.checked().fill_(c.scalar("value")?)? };
    "fill_" "input value" |c| c.x()?.fill_(c.scalar("value")?)?;
    "zero_" "input" |c| c.x()?.fill_(Scalar::Int(0))?;
}
