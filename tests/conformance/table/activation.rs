//! Activations of `nn.functional`. An `inplace=True` in a case calls the in-place form.

use super::Row;
use crate::call::{Call, Stop, Value};
use wgtorch::{Approximate, Scalar};

/// `name method method_`: no options.
macro_rules! plain {
    ($($name:literal $method:ident $inplace:ident)*) => {
        pub const PLAIN: &[Row] = &[$(
            Row { name: concat!("nn.functional.", $name), params: "input inplace", run: |c| Ok(match c.flag("inplace", false)? {
                false => c.x()?.$method()?.into(),
                true => c.x()?.$inplace()?.into(),
            }) },
        )*];
    };
}

/// `name "parameters" (options) method method_`: one options argument.
macro_rules! with_options {
    ($($name:literal $params:literal |$c:ident| $options:expr, $method:ident $inplace:ident)*) => {
        pub const OPTIONS: &[Row] = &[$(
            Row { name: concat!("nn.functional.", $name), params: concat!("input ", $params, " inplace"), run: |$c| {
                let options = $options;
                Ok(match $c.flag("inplace", false)? {
                    false => $c.x()?.$method(options)?.into(),
                    true => $c.x()?.$inplace(options)?.into(),
                })
            } },
        )*];
    };
}

plain! {
    "relu" relu relu_
    "relu6" relu6 relu6_
    "silu" silu silu_
    "mish" mish mish_
    "selu" selu selu_
    "logsigmoid" logsigmoid logsigmoid_
    "hardswish" hardswish hardswish_
    "hardsigmoid" hardsigmoid hardsigmoid_
    "softsign" softsign softsign_
    "tanhshrink" tanhshrink tanhshrink_
}

with_options! {
    "gelu" "approximate" |c| approximate(c)?, gelu_with gelu_with_
    "elu" "alpha" |c| c.float_or("alpha", 1.0)?, elu_with elu_with_
    "celu" "alpha" |c| c.float_or("alpha", 1.0)?, celu_with celu_with_
    "leaky_relu" "negative_slope" |c| c.float_or("negative_slope", 0.01)?, leaky_relu_with leaky_relu_with_
    "softplus" "beta threshold" |c| (c.float_or("beta", 1.0)?, c.float_or("threshold", 20.0)?), softplus_with softplus_with_
    "hardtanh" "min_val max_val"
        |c| (c.float_or("min_val", -1.0)?, c.float_or("max_val", 1.0)?), hardtanh_with hardtanh_with_
    "hardshrink" "lambd" |c| c.float_or("lambd", 0.5)?, hardshrink_with hardshrink_with_
    "softshrink" "lambd" |c| c.float_or("lambd", 0.5)?, softshrink_with softshrink_with_
}

pub(super) fn approximate(c: &Call) -> Result<Approximate, Stop> {
    match c.string("approximate")? {
        None | Some("none") => Ok(Approximate::None),
        Some("tanh") => Ok(Approximate::Tanh),
        Some(other) => Err(Stop::Untyped(format!("approximate: no such name: {other}"))),
    }
}

fn threshold(c: &Call) -> Result<Value, Stop> {
    let (at, value): (Scalar, Scalar) = (c.scalar("threshold")?, c.scalar("value")?);
    Ok(match c.flag("inplace", false)? {
        false => c.x()?.threshold(at, value)?.into(),
        true => c.x()?.threshold_(at, value)?.into(),
    })
}

super::rows! {
    "nn.functional.threshold" "input threshold value inplace" |c| threshold(c)?;
    "nn.functional.prelu" "input weight" |c| c.x()?.prelu(c.tensor("weight")?)?;
    "nn.functional.glu" "input dim" |c| c.x()?.glu(c.int_or("dim", -1)?)?;
}
