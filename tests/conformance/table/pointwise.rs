//! Elementwise ops, comparisons and logic.

use super::{Row, rows};
use crate::call::{Call, Stop};
use wgtorch::{DivOptions, IscloseOptions, LogitOptions, NanToNumOptions, Operand, RoundingMode, Scalar, Tensor};

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

/// Methods whose other operand is a tensor.
macro_rules! tensor_binary {
    ($($name:ident)*) => {
        pub const TENSORS: &[Row] = &[$(
            Row { name: stringify!($name), params: "input other", run: |c| Ok(c.x()?.$name(c.tensor("other")?)?.into()) },
        )*];
    };
}

unary! {
    abs abs_ acos acos_ acosh acosh_ asin asin_ asinh asinh_ atan atan_ atanh atanh_ bitwise_not bitwise_not_ ceil ceil_
    cos cos_ cosh cosh_ deg2rad deg2rad_ erf erf_ erfc erfc_ erfinv erfinv_ exp exp_ exp2 exp2_ expm1 expm1_ floor floor_
    frac frac_ isfinite isinf isnan isneginf isposinf isreal lgamma lgamma_ log log_ log10 log10_ log1p log1p_ log2 log2_
    logical_not logical_not_ neg neg_ positive rad2deg rad2deg_ reciprocal reciprocal_ rsqrt rsqrt_ sgn sgn_ sigmoid
    sigmoid_ sign sign_ signbit sin sin_ sinc sinc_ sinh sinh_ sqrt sqrt_ square square_ tan tan_ tanh tanh_ trunc trunc_
    angle conj conj_physical conj_physical_ imag real resolve_conj resolve_neg digamma digamma_ i0 i0_
}

binary! {
    bitwise_and bitwise_and_ bitwise_left_shift bitwise_left_shift_ bitwise_or bitwise_or_ bitwise_right_shift
    bitwise_right_shift_ bitwise_xor bitwise_xor_ copysign copysign_ eq eq_ floor_divide floor_divide_ fmod fmod_ ge ge_
    gt gt_ le le_ lt lt_ mul mul_ ne ne_ remainder remainder_ true_divide true_divide_ xlogy xlogy_
}

tensor_binary! {
    atan2 atan2_ fmax fmin gcd gcd_ hypot hypot_ ldexp ldexp_ lcm lcm_ logaddexp logaddexp2 logical_and logical_and_
    logical_or logical_or_ logical_xor logical_xor_ maximum minimum nextafter nextafter_
}

/// The form with `alpha` where one is given.
macro_rules! with_alpha {
    ($c:ident, $plain:ident, $with:ident) => {
        match $c.opt_scalar("alpha")? {
            None => $c.x()?.$plain($c.operand("other")?)?,
            Some(alpha) => $c.x()?.$with($c.operand("other")?, alpha)?,
        }
    };
}

/// The operands of a reflected operator, `args[1] OP args[0]`.
fn reflected(c: &Call) -> Result<(&Tensor, &Tensor), Stop> {
    Ok((c.tensor("other")?, c.tensor("input")?))
}

fn rounding(c: &Call) -> Result<DivOptions, Stop> {
    let mode = match c.string("rounding_mode")? {
        None => None,
        Some("trunc") => Some(RoundingMode::Trunc),
        Some("floor") => Some(RoundingMode::Floor),
        Some(other) => return Err(Stop::Untyped(format!("rounding_mode: no such name: {other}"))),
    };
    Ok(mode.into())
}

fn nan_to_num(c: &Call) -> Result<NanToNumOptions, Stop> {
    let float = |name: &str| -> Result<Option<f64>, Stop> { Ok(c.opt_scalar(name)?.map(Scalar::to_f64)) };
    Ok(NanToNumOptions::new().nan(c.float_or("nan", 0.0)?).posinf(float("posinf")?).neginf(float("neginf")?))
}

fn logit(c: &Call) -> Result<LogitOptions, Stop> {
    Ok(LogitOptions::new().eps(c.opt_scalar("eps")?.map(Scalar::to_f64)))
}

fn pow(c: &Call) -> Result<Tensor, Stop> {
    match c.operand("input")? {
        Operand::Tensor(x) => Ok(x.checked().pow(c.operand("exponent")?)?),
        base => Ok(wgtorch::pow(base, c.tensor("exponent")?)),
    }
}

rows! {
    "add" "input other alpha" |c| with_alpha!(c, add, add_with);
    "add_" "input other alpha" |c| with_alpha!(c, add_, add_with_);
    "sub" "input other alpha" |c| with_alpha!(c, sub, sub_with);
    "sub_" "input other alpha" |c| with_alpha!(c, sub_, sub_with_);
    "rsub" "input other alpha" |c| with_alpha!(c, rsub, rsub_with);
    "div" "input other rounding_mode" |c| c.x()?.div_with(c.operand("other")?, rounding(c)?)?;
    "div_" "input other rounding_mode" |c| c.x()?.div_with_(c.operand("other")?, rounding(c)?)?;
    "__radd__" "input other" |c| { let (a, b) = reflected(c)?; a.checked().add(b)? };
    "__rsub__" "input other" |c| { let (a, b) = reflected(c)?; a.checked().sub(b)? };
    "__rmul__" "input other" |c| { let (a, b) = reflected(c)?; a.checked().mul(b)? };
    "__rdiv__" "input other" |c| { let (a, b) = reflected(c)?; a.checked().div(b)? };
    "__rpow__" "input other" |c| { let (a, b) = reflected(c)?; a.checked().pow(b)? };
    "pow" "input exponent" |c| pow(c)?;
    "pow_" "input exponent" |c| c.x()?.pow_(c.operand("exponent")?)?;
    "float_power" "input exponent" |c| c.x()?.float_power(c.operand("exponent")?)?;
    "addcmul" "input tensor1 tensor2 value"
        |c| c.x()?.addcmul_with(c.tensor("tensor1")?, c.tensor("tensor2")?, c.opt_scalar("value")?.unwrap_or(Scalar::Int(1)))?;
    "addcmul_" "input tensor1 tensor2 value"
        |c| c.x()?.addcmul_with_(c.tensor("tensor1")?, c.tensor("tensor2")?, c.opt_scalar("value")?.unwrap_or(Scalar::Int(1)))?;
    "addcdiv" "input tensor1 tensor2 value"
        |c| c.x()?.addcdiv_with(c.tensor("tensor1")?, c.tensor("tensor2")?, c.opt_scalar("value")?.unwrap_or(Scalar::Int(1)))?;
    "addcdiv_" "input tensor1 tensor2 value"
        |c| c.x()?.addcdiv_with_(c.tensor("tensor1")?, c.tensor("tensor2")?, c.opt_scalar("value")?.unwrap_or(Scalar::Int(1)))?;
    "lerp" "input end weight" |c| c.x()?.lerp(c.tensor("end")?, c.operand("weight")?)?;
    "lerp_" "input end weight" |c| c.x()?.lerp_(c.tensor("end")?, c.operand("weight")?)?;
    "clamp" "input min max" |c| c.x()?.clamp(c.opt_operand("min")?, c.opt_operand("max")?)?;
    "clamp_" "input min max" |c| c.x()?.clamp_(c.opt_operand("min")?, c.opt_operand("max")?)?;
    "clamp_min" "input min" |c| c.x()?.clamp_min(c.operand("min")?)?;
    "clamp_min_" "input min" |c| c.x()?.clamp_min_(c.operand("min")?)?;
    "clamp_max" "input max" |c| c.x()?.clamp_max(c.operand("max")?)?;
    "clamp_max_" "input max" |c| c.x()?.clamp_max_(c.operand("max")?)?;
    "heaviside" "input values" |c| c.x()?.heaviside(c.tensor("values")?)?;
    "heaviside_" "input values" |c| c.x()?.heaviside_(c.tensor("values")?)?;
    "round" "input decimals" |c| match c.opt_int("decimals")? {
        None => c.x()?.round()?,
        Some(n) => c.x()?.round_with(n as i32)?,
    };
    "round_" "input decimals" |c| match c.opt_int("decimals")? {
        None => c.x()?.round_()?,
        Some(n) => c.x()?.round_with_(n as i32)?,
    };
    "nan_to_num" "input nan posinf neginf" |c| c.x()?.nan_to_num_with(nan_to_num(c)?)?;
    "nan_to_num_" "input nan posinf neginf" |c| c.x()?.nan_to_num_with_(nan_to_num(c)?)?;
    "logit" "input eps" |c| c.x()?.logit_with(logit(c)?)?;
    "special.ndtr" "input" |c| c.x()?.ndtr()?;
    "logit_" "input eps" |c| c.x()?.logit_with_(logit(c)?)?;
    "special.erfcx" "input" |c| c.x()?.erfcx()?;
    "special.log_ndtr" "input" |c| c.x()?.log_ndtr()?;
    "special.ndtri" "input" |c| c.x()?.ndtri()?;
    "special.i0e" "input" |c| c.x()?.i0e()?;
    "special.i1" "input" |c| c.x()?.i1()?;
    "special.i1e" "input" |c| c.x()?.i1e()?;
    "special.zeta" "input other" |c| match c.operand("input")? {
        Operand::Tensor(x) => x.checked().zeta(c.operand("other")?)?,
        number => wgtorch::zeta(number, c.tensor("other")?),
    };
    "polygamma" "n input" |c| c.x()?.polygamma(c.size("n")?)?;
    "polygamma_" "input n" |c| c.x()?.polygamma_(c.size("n")?)?;
    "mvlgamma" "input p" |c| c.x()?.mvlgamma(c.size("p")?)?;
    "mvlgamma_" "input p" |c| c.x()?.mvlgamma_(c.size("p")?)?;
    "special.entr" "input" |c| c.x()?.entr()?;
    "special.xlog1py" "input other" |c| c.x()?.xlog1py(c.operand("other")?)?;
    "isclose" "input other rtol atol equal_nan" |c| {
        let o = IscloseOptions::new().rtol(c.float_or("rtol", 1e-5)?).atol(c.float_or("atol", 1e-8)?);
        c.x()?.isclose_with(c.tensor("other")?, o.equal_nan(c.flag("equal_nan", false)?))?
    };
    "allclose" "input other rtol atol equal_nan" |c| {
        let o = IscloseOptions::new().rtol(c.float_or("rtol", 1e-5)?).atol(c.float_or("atol", 1e-8)?);
        c.tensor("input")?.allclose_with(c.tensor("other")?, o.equal_nan(c.flag("equal_nan", false)?))?
    };
    "equal" "input other" |c| c.tensor("input")?.equal(c.tensor("other")?)?;
    "fill" "input value" |c| { let y = c.x()?.copy()?; y.checked().fill_(c.scalar("value")?)? };
    "fill_" "input value" |c| c.x()?.fill_(c.scalar("value")?)?;
    "zero_" "input" |c| c.x()?.zero_()?;
}
