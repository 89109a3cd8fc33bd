//! Reductions and softmax.

use super::rows;
use crate::call::{Call, Stop, Value};
use wgtorch::{ReduceOptions, SortOptions, TopkOptions, VarOptions};

/// `keepdim` and `dtype`.
fn options(c: &Call) -> Result<ReduceOptions, Stop> {
    let o = ReduceOptions::new().keepdim(c.flag("keepdim", false)?);
    Ok(match c.dtype("dtype")? {
        Some(d) => o.dtype(d),
        None => o,
    })
}

fn order(c: &Call) -> Result<SortOptions, Stop> {
    Ok(SortOptions::new().dim(c.int_or("dim", -1)?).descending(c.flag("descending", false)?))
}

/// `dim` as a list; empty, which means all dims, where it is not given.
fn dims(c: &Call) -> Result<Vec<isize>, Stop> {
    Ok(c.opt_ints("dim")?.unwrap_or_default())
}

/// The form without a dim where none is given, else the one with a dim.
macro_rules! maybe_dim {
    ($c:ident, $all:ident, $dim:ident($arg:expr)) => {
        match $c.get("dim") {
            None => Value::from($c.x()?.$all()?),
            Some(_) => Value::from($c.x()?.$dim($arg, $c.flag("keepdim", false)?)?),
        }
    };
}

/// `max` and `min`: of everything, along a dim with indices, or of two tensors.
macro_rules! extremum {
    ($c:ident, $all:ident, $dim:ident, $two:ident) => {
        match $c.get("dim") {
            Some(crate::call::Arg::Tensor(other)) => Value::from($c.x()?.$two(other)?),
            _ if $c.is_tensor("other") => Value::from($c.x()?.$two($c.tensor("other")?)?),
            _ => maybe_dim!($c, $all, $dim($c.int("dim")?)),
        }
    };
}

/// `var(input, unbiased)` and `var(input, dim, unbiased, keepdim)`: a bool in the dim's place is `unbiased`.
fn spread(c: &Call) -> Result<(Vec<isize>, VarOptions), Stop> {
    let o = VarOptions::new().keepdim(c.flag("keepdim", false)?);
    if let Some(crate::call::Arg::Bool(unbiased)) = c.get("dim") {
        return Ok((Vec::new(), o.unbiased(*unbiased)));
    }
    let o = if c.get("unbiased").is_some() { o.unbiased(c.flag("unbiased", true)?) } else { o };
    let o = match c.opt_scalar("correction")? {
        Some(n) => o.correction(n.to_f64()),
        None => o,
    };
    Ok((dims(c)?, o))
}

rows! {
    "sum" "input dim keepdim dtype" |c| match (c.get("dim"), c.get("dtype")) {
        (None, None) => c.x()?.sum()?,
        _ => c.x()?.sum_dim(dims(c)?, options(c)?)?,
    };
    "mean" "input dim keepdim dtype" |c| match (c.get("dim"), c.get("dtype")) {
        (None, None) => c.x()?.mean()?,
        _ => c.x()?.mean_dim(dims(c)?, options(c)?)?,
    };
    "nansum" "input dim keepdim dtype" |c| c.x()?.nansum_dim(dims(c)?, options(c)?)?;
    "nanmean" "input dim keepdim dtype" |c| c.x()?.nanmean_dim(dims(c)?, options(c)?)?;
    "prod" "input dim keepdim dtype" |c| match (c.get("dim"), c.get("dtype")) {
        (None, None) => c.x()?.prod()?,
        _ => c.x()?.prod_dim(dims(c)?, options(c)?)?,
    };
    "var" "input dim unbiased keepdim correction" |c| { let (d, o) = spread(c)?; c.x()?.var_dim(d, o)? };
    "std" "input dim unbiased keepdim correction" |c| { let (d, o) = spread(c)?; c.x()?.std_dim(d, o)? };
    "var_mean" "input dim unbiased keepdim correction" |c| { let (d, o) = spread(c)?; c.x()?.var_mean(d, o)? };
    "std_mean" "input dim unbiased keepdim correction" |c| { let (d, o) = spread(c)?; c.x()?.std_mean(d, o)? };
    "sort" "input dim descending stable" |c| c.x()?.sort(order(c)?)?;
    "argsort" "input dim descending stable" |c| c.x()?.argsort(order(c)?)?;
    "msort" "input" |c| c.x()?.msort()?;
    "topk" "input k dim largest sorted" |c| {
        let o = TopkOptions::new().dim(c.int_or("dim", -1)?).largest(c.flag("largest", true)?);
        c.x()?.topk(c.size("k")?, o)?
    };
    "max" "input dim keepdim other" |c| extremum!(c, max, max_dim, maximum);
    "min" "input dim keepdim other" |c| extremum!(c, min, min_dim, minimum);
    "amax" "input dim keepdim" |c| c.x()?.amax(dims(c)?, c.flag("keepdim", false)?)?;
    "amin" "input dim keepdim" |c| c.x()?.amin(dims(c)?, c.flag("keepdim", false)?)?;
    "aminmax" "input dim keepdim" |c| maybe_dim!(c, aminmax, aminmax_dim(c.int("dim")?));
    "argmax" "input dim keepdim" |c| maybe_dim!(c, argmax, argmax_dim(c.int("dim")?));
    "argmin" "input dim keepdim" |c| maybe_dim!(c, argmin, argmin_dim(c.int("dim")?));
    "any" "input dim keepdim" |c| maybe_dim!(c, any, any_dim(c.ints("dim")?));
    "all" "input dim keepdim" |c| maybe_dim!(c, all, all_dim(c.ints("dim")?));
    "count_nonzero" "input dim" |c| match c.opt_ints("dim")? {
        None => c.x()?.count_nonzero()?,
        Some(d) => c.x()?.count_nonzero_dim(d)?,
    };
    "sum_to_size" "input *size" |c| c.x()?.sum_to_size(c.ints("size")?)?;
    "logsumexp" "input dim keepdim" |c| c.x()?.logsumexp(c.ints("dim")?, c.flag("keepdim", false)?)?;
}
