//! Elements by rank, looked up, counted; running extrema; differences and integrals.

use super::rows;
use crate::call::{Arg, Call, Stop, Value};
use wgtorch::{
    CovOptions, GradientOptions, HistogramOptions, Operand, QuantileOptions, SearchOptions, Spacing, Tensor, Unique,
};

fn keepdim(c: &Call) -> Result<bool, Stop> {
    c.flag("keepdim", false)
}

fn search(c: &Call) -> Result<SearchOptions, Stop> {
    let right = c.flag("right", false)? || c.string("side")? == Some("right");
    Ok(SearchOptions::new().right(right).out_int32(c.flag("out_int32", false)?).sorter(c.opt_tensor("sorter")?))
}

/// A tensor, or a number as one.
fn values(c: &Call, name: &str, like: &Tensor) -> Result<Tensor, Stop> {
    Ok(match c.operand(name)? {
        Operand::Tensor(t) => t,
        Operand::Scalar(s) => {
            wgtorch::scalar_tensor(s, wgtorch::TensorOptions::new().dtype(like.dtype()).device(like.device()))
        }
    })
}

fn quantile(c: &Call) -> Result<QuantileOptions, Stop> {
    let o = QuantileOptions::new().dim(c.opt_int("dim")?).keepdim(keepdim(c)?);
    Ok(match c.string("interpolation")? {
        Some(name) => o.interpolation(name.parse()?),
        None => o,
    })
}

/// The values, and what else the flags ask for.
fn unique(c: &Call, u: Unique) -> Result<Value, Stop> {
    let mut all = vec![u.values];
    if c.flag("return_inverse", false)? {
        all.push(u.inverse);
    }
    if c.flag("return_counts", false)? {
        all.push(u.counts);
    }
    Ok(if let [one] = &all[..] { one.into() } else { all.into() })
}

fn spacing(c: &Call) -> Result<Spacing, Stop> {
    Ok(match c.opt_tensor("x")? {
        Some(x) => x.into(),
        None => c.float_or("dx", 1.0)?.into(),
    })
}

fn gradient(c: &Call) -> Result<GradientOptions, Stop> {
    let mut o = GradientOptions::new().edge_order(c.size_or("edge_order", 1)?);
    if let Some(dims) = c.opt_ints("dim")? {
        o = o.dims(dims);
    }
    match c.get("spacing") {
        Some(Arg::List(l)) => {
            let each = l.iter().map(|a| match a {
                Arg::Tensor(t) => Ok(Spacing::from(t)),
                Arg::Float(h) => Ok(Spacing::Even(*h)),
                Arg::Int(h) => Ok(Spacing::Even(*h as f64)),
                _ => Err(Stop::Untyped("spacing: numbers or tensors".into())),
            });
            o = o.each(each.collect::<Result<_, _>>()?);
        }
        Some(_) => o = o.spacing(c.float("spacing")?),
        None => {}
    }
    Ok(o)
}

macro_rules! along {
    ($c:ident, $all:ident, $dim:ident) => {
        match $c.opt_int("dim")? {
            None => Value::from($c.x()?.$all()?),
            Some(d) => Value::from($c.x()?.$dim(d, keepdim($c)?)?),
        }
    };
}

rows! {
    "median" "input dim keepdim" |c| along!(c, median, median_dim);
    "nanmedian" "input dim keepdim" |c| along!(c, nanmedian, nanmedian_dim);
    "mode" "input dim keepdim" |c| c.x()?.mode(c.int_or("dim", -1)?, keepdim(c)?)?;
    "kthvalue" "input k dim keepdim" |c| c.x()?.kthvalue(c.size("k")?, c.int_or("dim", -1)?, keepdim(c)?)?;
    "quantile" "input q dim keepdim interpolation" |c| c.x()?.quantile(c.operand("q")?, quantile(c)?)?;
    "nanquantile" "input q dim keepdim interpolation" |c| c.x()?.nanquantile(c.operand("q")?, quantile(c)?)?;
    "cummax" "input dim" |c| c.x()?.cummax(c.int("dim")?)?;
    "cummin" "input dim" |c| c.x()?.cummin(c.int("dim")?)?;
    "logcumsumexp" "input dim" |c| c.x()?.logcumsumexp(c.int("dim")?)?;
    "searchsorted" "sorted_sequence input out_int32 right side sorter" |c| {
        let x = c.tensor("sorted_sequence")?;
        x.checked().searchsorted(&values(c, "input", x)?, search(c)?)?
    };
    "bucketize" "input boundaries out_int32 right" |c| {
        let edges = c.tensor("boundaries")?;
        values(c, "input", edges)?.checked().bucketize(edges, search(c)?)?
    };
    "isin" "elements test_elements assume_unique invert" |c| {
        let like = if c.is_tensor("elements") { c.tensor("elements")? } else { c.tensor("test_elements")? };
        let (x, set) = (values(c, "elements", like)?, values(c, "test_elements", like)?);
        wgtorch::try_isin(&x, &set, c.flag("invert", false)?)?
    };
    "unique" "input sorted return_inverse return_counts dim" |c| unique(c, c.x()?.unique(c.opt_int("dim")?)?)?;
    "unique_consecutive" "input return_inverse return_counts dim" |c| {
        unique(c, c.x()?.unique_consecutive(c.opt_int("dim")?)?)?
    };
    "bincount" "input weights minlength" |c| c.x()?.bincount(c.opt_tensor("weights")?, c.size_or("minlength", 0)?)?;
    "histc" "input bins min max" |c| c.x()?.histc(c.size_or("bins", 100)?, c.float_or("min", 0.0)?, c.float_or("max", 0.0)?)?;
    "histogram" "input bins range weight density" |c| {
        let mut o = HistogramOptions::new().weight(c.opt_tensor("weight")?).density(c.flag("density", false)?);
        if let Some(Arg::List(l)) = c.get("range") && let [Arg::Float(a), Arg::Float(b)] = l[..] {
            o = o.range(a, b);
        }
        if c.is_tensor("bins") { c.x()?.histogram(c.tensor("bins")?, o)? } else { c.x()?.histogram(c.size("bins")?, o)? }
    };
    "diff" "input n dim prepend append" |c| {
        let n = c.int_or("n", 1)?;
        let n = usize::try_from(n).map_err(|_| Stop::Untyped(format!("n: takes an unsigned number, not {n}")))?;
        c.x()?.diff_with(n, c.int_or("dim", -1)?, c.opt_tensor("prepend")?, c.opt_tensor("append")?)?
    };
    "trapezoid" "y x dx dim" |c| c.tensor("y")?.checked().trapezoid(spacing(c)?, c.int_or("dim", -1)?)?;
    "trapz" "y x dx dim" |c| c.tensor("y")?.checked().trapezoid(spacing(c)?, c.int_or("dim", -1)?)?;
    "cumulative_trapezoid" "y x dx dim" |c| {
        c.tensor("y")?.checked().cumulative_trapezoid(spacing(c)?, c.int_or("dim", -1)?)?
    };
    "gradient" "input spacing dim edge_order" |c| c.x()?.gradient(gradient(c)?)?;
    "cov" "input correction fweights aweights" |c| {
        let o = CovOptions::new().correction(c.int_or("correction", 1)? as i64);
        c.x()?.cov(o.fweights(c.opt_tensor("fweights")?).aweights(c.opt_tensor("aweights")?))?
    };
    "corrcoef" "input" |c| c.x()?.corrcoef()?;
}
