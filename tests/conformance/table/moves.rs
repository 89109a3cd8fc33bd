//! Indexing, scatters, masks, joins, and elements in another order.

use super::rows;
use crate::call::{Arg, Call, Stop, Value};
use wgtorch::{DTypeOptions, ReduceOptions, Repeats, Scalar, Tensor, TensorIndex};

/// The components of an index.
fn index(c: &Call, name: &str) -> Result<Vec<TensorIndex>, Stop> {
    let parts = match c.get(name) {
        Some(Arg::Index(parts)) | Some(Arg::List(parts)) => parts.clone(),
        Some(one) => vec![one.clone()],
        None => vec![Arg::None],
    };
    parts
        .iter()
        .map(|a| {
            Ok(match a {
                Arg::None => wgtorch::NewAxis.into(),
                Arg::Bool(b) => (*b).into(),
                Arg::Int(i) => (*i).into(),
                Arg::Tensor(t) => t.into(),
                Arg::Ellipsis => wgtorch::Ellipsis.into(),
                Arg::Slice([start, end, step]) => TensorIndex::Slice {
                    start: start.map(|i| i as isize),
                    end: end.map(|i| i as isize),
                    step: step.unwrap_or(1) as isize,
                },
                Arg::List(l) => {
                    let ints: Option<Vec<i64>> =
                        l.iter().map(|a| if let Arg::Int(i) = a { Some(*i) } else { None }).collect();
                    ints.ok_or_else(|| Stop::Untyped("a list that is no list of integers".into()))?.into()
                }
                other => return Err(Stop::Untyped(format!("an index cannot be {other:?}"))),
            })
        })
        .collect()
}

/// The index tensors of `index_put`, where None leaves a dim whole.
fn indices(c: &Call) -> Result<Vec<TensorIndex>, Stop> {
    let Some(Arg::List(parts)) = c.get("indices") else { return Err(Stop::Untyped("indices: a list".into())) };
    Ok(parts
        .iter()
        .map(|a| match a {
            Arg::Tensor(t) => t.into(),
            _ => TensorIndex::from(..),
        })
        .collect())
}

/// A shape: a size, or a list of them.
fn shape(a: &Arg) -> Result<Vec<usize>, Stop> {
    let size = |a: &Arg| match a {
        Arg::Int(n) if *n >= 0 => Ok(*n as usize),
        _ => Err(Stop::Untyped("shapes: sizes".into())),
    };
    match a {
        Arg::List(l) => l.iter().map(size).collect(),
        one => Ok(vec![size(one)?]),
    }
}

fn dtype(c: &Call) -> Result<DTypeOptions, Stop> {
    Ok(c.dtype("dtype")?.map_or_else(DTypeOptions::new, |d| DTypeOptions::new().dtype(d)))
}

/// Tensors given one by one or as a list.
fn list(c: &Call, name: &str) -> Result<Vec<Tensor>, Stop> {
    match c.get(name) {
        Some(Arg::List(l)) if matches!(&l[..], [Arg::List(_)]) => {
            let Arg::List(inner) = &l[0] else { unreachable!("matched above") };
            inner
                .iter()
                .map(|a| if let Arg::Tensor(t) = a { Ok(t.clone()) } else { Err(Stop::Untyped("tensors".into())) })
                .collect()
        }
        _ => c.tensors(name),
    }
}

/// One tensor or several.
fn each(c: &Call, f: fn(&Tensor) -> wgtorch::Result<Tensor>) -> Result<Value, Stop> {
    let all = list(c, "tensors")?.iter().map(f).collect::<wgtorch::Result<Vec<_>>>()?;
    Ok(if let [one] = &all[..] { one.into() } else { all.into() })
}

fn norm(c: &Call) -> Result<Tensor, Stop> {
    let p = match c.get("p") {
        None | Some(Arg::Str(_)) => 2.0,
        Some(_) => c.float("p")?,
    };
    let o = ReduceOptions::new().keepdim(c.flag("keepdim", false)?);
    let o = c.dtype("dtype")?.map_or(o, |d| o.dtype(d));
    Ok(c.x()?.norm_dim(p, c.opt_ints("dim")?.unwrap_or_default(), o)?)
}

fn sections(c: &Call, name: &str) -> Result<wgtorch::Sections, Stop> {
    let name = ["indices_or_sections", "sections", "indices"].into_iter().find(|n| c.get(n).is_some()).unwrap_or(name);
    Ok(match c.get(name) {
        Some(Arg::Tensor(t)) if t.dim() == 0 => (t.item::<i64>()? as usize).into(),
        Some(Arg::Tensor(t)) => t.to_vec::<i64>()?.iter().map(|i| *i as isize).collect::<Vec<_>>().into(),
        Some(Arg::List(_)) => c.ints(name)?.into(),
        _ => c.size(name)?.into(),
    })
}

fn wheres(c: &Call) -> Result<Value, Stop> {
    if c.get("input").is_none() {
        return Ok(c.tensor("condition")?.checked().nonzero_tuple()?.into());
    }
    Err(Stop::Unsupported("where of three is elementwise".into()))
}

fn repeats(c: &Call) -> Result<Repeats, Stop> {
    Ok(if c.is_tensor("repeats") { c.tensor("repeats")?.into() } else { c.size("repeats")?.into() })
}

/// The older spelling of `scatter_reduce`, in which a number may stand for the source.
fn scatter_with(c: &Call, src: wgtorch::Operand, how: &str) -> Result<Tensor, Stop> {
    let reduce = match how {
        "add" => wgtorch::ScatterReduce::Sum,
        "multiply" => wgtorch::ScatterReduce::Prod,
        _ => return Err(Stop::Untyped(format!("reduce: no such name: {how}"))),
    };
    let (x, index) = (c.tensor("input")?, c.tensor("index")?);
    let src = match src {
        wgtorch::Operand::Tensor(t) => t,
        wgtorch::Operand::Scalar(s) => wgtorch::full_like(index, s, wgtorch::TensorOptions::new().dtype(x.dtype())),
    };
    Ok(x.checked().scatter_reduce(c.int("dim")?, index, &src, reduce, true)?)
}

rows! {
    "gather" "input dim index sparse_grad" |c| c.x()?.gather(c.int("dim")?, c.tensor("index")?)?;
    "index_select" "input dim index" |c| c.x()?.index_select(c.int("dim")?, c.tensor("index")?)?;
    "cat" "tensors dim" |c| wgtorch::try_cat(&c.tensors("tensors")?, c.int_or("dim", 0)?)?;
    "stack" "tensors dim" |c| wgtorch::try_stack(&c.tensors("tensors")?, c.int_or("dim", 0)?)?;
    "masked_fill" "input mask value" |c| c.x()?.masked_fill(c.tensor("mask")?, c.operand("value")?)?;
    "masked_fill_" "input mask value" |c| c.x()?.masked_fill_(c.tensor("mask")?, c.operand("value")?)?;
    "__getitem__" "input index" |c| c.x()?.i(index(c, "index")?)?;
    "index_put" "input indices values accumulate" |c| {
        c.x()?.index_put(indices(c)?, c.tensor("values")?, c.flag("accumulate", false)?)?
    };
    "index_put_" "input indices values accumulate" |c| {
        c.x()?.index_put_(indices(c)?, c.tensor("values")?, c.flag("accumulate", false)?)?
    };
    "scatter" "input dim index src value reduce" |c| {
        let src = if c.get("value").is_some() { c.operand("value")? } else { c.operand("src")? };
        if let Some(how) = c.string("reduce")? {
            return Ok(scatter_with(c, src, how)?.into());
        }
        c.x()?.scatter(c.int("dim")?, c.tensor("index")?, src)?
    };
    "scatter_" "input dim index src value reduce" |c| {
        let src = if c.get("value").is_some() { c.operand("value")? } else { c.operand("src")? };
        c.x()?.scatter_(c.int("dim")?, c.tensor("index")?, src)?
    };
    "scatter_add" "input dim index src" |c| c.x()?.scatter_add(c.int("dim")?, c.tensor("index")?, c.tensor("src")?)?;
    "scatter_add_" "input dim index src" |c| c.x()?.scatter_add_(c.int("dim")?, c.tensor("index")?, c.tensor("src")?)?;
    "scatter_reduce" "input dim index src reduce include_self" |c| {
        let reduce = c.string("reduce")?.unwrap_or_default().parse()?;
        let own = c.flag("include_self", true)?;
        c.x()?.scatter_reduce(c.int("dim")?, c.tensor("index")?, c.tensor("src")?, reduce, own)?
    };
    "scatter_reduce_" "input dim index src reduce include_self" |c| {
        let reduce = c.string("reduce")?.unwrap_or_default().parse()?;
        let own = c.flag("include_self", true)?;
        c.x()?.scatter_reduce_(c.int("dim")?, c.tensor("index")?, c.tensor("src")?, reduce, own)?
    };
    "index_reduce" "input dim index source reduce include_self" |c| {
        let reduce = c.string("reduce")?.unwrap_or_default().parse()?;
        let own = c.flag("include_self", true)?;
        c.x()?.index_reduce(c.int("dim")?, c.tensor("index")?, c.tensor("source")?, reduce, own)?
    };
    "index_reduce_" "input dim index source reduce include_self" |c| {
        let reduce = c.string("reduce")?.unwrap_or_default().parse()?;
        let own = c.flag("include_self", true)?;
        c.x()?.index_reduce_(c.int("dim")?, c.tensor("index")?, c.tensor("source")?, reduce, own)?
    };
    "unravel_index" "indices shape" |c| wgtorch::try_unravel_index(c.tensor("indices")?, &c.sizes("shape")?)?;
    "broadcast_shapes" "*shapes" |c| {
        let Some(Arg::List(l)) = c.get("shapes") else { return Err(Stop::Untyped("shapes: a list".into())) };
        let shapes = l.iter().map(shape).collect::<Result<Vec<_>, _>>()?;
        let shapes: Vec<&[usize]> = shapes.iter().map(|s| &s[..]).collect();
        wgtorch::try_broadcast_shapes(&shapes)?.to_vec()
    };
    "constant_pad_nd" "input pad value" |c| {
        c.x()?.pad(c.ints("pad")?, c.opt_scalar("value")?.unwrap_or(Scalar::Int(0)))?
    };
    "nn.functional.pad" "input pad mode value" |c| {
        let mut o = wgtorch::PadOptions::new().mode(c.string("mode")?.unwrap_or("constant").parse()?);
        if let Some(v) = c.opt_scalar("value")? {
            o = o.value(v);
        }
        c.x()?.pad(c.ints("pad")?, o)?
    };
    "index_add" "input dim index source alpha" |c| {
        let alpha = c.opt_scalar("alpha")?.unwrap_or(Scalar::Int(1));
        c.x()?.index_add(c.int("dim")?, c.tensor("index")?, c.tensor("source")?, alpha)?
    };
    "index_add_" "input dim index source alpha" |c| {
        let alpha = c.opt_scalar("alpha")?.unwrap_or(Scalar::Int(1));
        c.x()?.index_add_(c.int("dim")?, c.tensor("index")?, c.tensor("source")?, alpha)?
    };
    "index_copy" "input dim index source" |c| c.x()?.index_copy(c.int("dim")?, c.tensor("index")?, c.tensor("source")?)?;
    "index_copy_" "input dim index source" |c| {
        c.x()?.index_copy_(c.int("dim")?, c.tensor("index")?, c.tensor("source")?)?
    };
    "index_fill" "input dim index value" |c| c.x()?.index_fill(c.int("dim")?, c.tensor("index")?, c.operand("value")?)?;
    "index_fill_" "input dim index value" |c| {
        c.x()?.index_fill_(c.int("dim")?, c.tensor("index")?, c.operand("value")?)?
    };
    "masked_select" "input mask" |c| c.x()?.masked_select(c.tensor("mask")?)?;
    "masked_scatter" "input mask source" |c| c.x()?.masked_scatter(c.tensor("mask")?, c.tensor("source")?)?;
    "masked_scatter_" "input mask source" |c| c.x()?.masked_scatter_(c.tensor("mask")?, c.tensor("source")?)?;
    "nonzero" "input as_tuple" |c| {
        if c.flag("as_tuple", false)? { Value::from(c.x()?.nonzero_tuple()?) } else { c.x()?.nonzero()?.into() }
    };
    "argwhere" "input" |c| c.x()?.argwhere()?;
    "where" "condition input other" |c| match c.opt_operand("input")? {
        None => wheres(c)?,
        Some(wgtorch::Operand::Tensor(x)) => x.checked().where_cond(c.tensor("condition")?, c.operand("other")?)?.into(),
        Some(number) => Value::from(wgtorch::where_cond(c.tensor("condition")?, number, c.operand("other")?)),
    };
    "take" "input index" |c| c.x()?.take(c.tensor("index")?)?;
    "put" "input index source accumulate" |c| {
        c.x()?.put(c.tensor("index")?, c.tensor("source")?, c.flag("accumulate", false)?)?
    };
    "put_" "input index source accumulate" |c| {
        c.x()?.put_(c.tensor("index")?, c.tensor("source")?, c.flag("accumulate", false)?)?
    };
    "take_along_dim" "input indices dim" |c| match c.opt_int("dim")? {
        Some(d) => c.x()?.take_along_dim(c.tensor("indices")?, d)?,
        None => c.x()?.take_along_flat(c.tensor("indices")?)?,
    };
    "hstack" "tensors" |c| wgtorch::try_hstack(&c.tensors("tensors")?)?;
    "vstack" "tensors" |c| wgtorch::try_vstack(&c.tensors("tensors")?)?;
    "dstack" "tensors" |c| wgtorch::try_dstack(&c.tensors("tensors")?)?;
    "column_stack" "tensors" |c| wgtorch::try_column_stack(&c.tensors("tensors")?)?;
    "atleast_1d" "*tensors" |c| each(c, |t| t.checked().atleast_1d())?;
    "atleast_2d" "*tensors" |c| each(c, |t| t.checked().atleast_2d())?;
    "atleast_3d" "*tensors" |c| each(c, |t| t.checked().atleast_3d())?;
    "broadcast_tensors" "*tensors" |c| wgtorch::broadcast_tensors(&list(c, "tensors")?);
    "meshgrid" "*tensors indexing" |c| {
        wgtorch::try_meshgrid(&list(c, "tensors")?, c.string("indexing")?.unwrap_or("ij"))?
    };
    "repeat" "input *repeats" |c| c.x()?.repeat(c.ints("repeats")?)?;
    "tile" "input *dims" |c| c.x()?.tile(c.ints("dims")?)?;
    "repeat_interleave" "input repeats dim output_size" |c| match c.opt_int("dim")? {
        Some(d) => c.x()?.repeat_interleave(repeats(c)?, d)?,
        None => c.x()?.repeat_interleave_flat(repeats(c)?)?,
    };
    "flip" "input *dims" |c| c.x()?.flip(c.ints("dims")?)?;
    "fliplr" "input" |c| c.x()?.fliplr()?;
    "flipud" "input" |c| c.x()?.flipud()?;
    "roll" "input shifts dims" |c| {
        c.x()?.roll(c.opt_ints("shifts")?.unwrap_or_default(), c.opt_ints("dims")?.unwrap_or_default())?
    };
    "rot90" "input k dims" |c| {
        let dims = c.opt_ints("dims")?.unwrap_or_else(|| vec![0, 1]);
        let dims = dims.try_into().map_err(|d: Vec<isize>| Stop::Untyped(format!("dims: two, not {d:?}")))?;
        c.x()?.rot90(c.int_or("k", 1)? as i64, dims)?
    };
    "tril" "input diagonal" |c| c.x()?.tril(c.int_or("diagonal", 0)?)?;
    "tril_" "input diagonal" |c| c.x()?.tril_(c.int_or("diagonal", 0)?)?;
    "triu" "input diagonal" |c| c.x()?.triu(c.int_or("diagonal", 0)?)?;
    "triu_" "input diagonal" |c| c.x()?.triu_(c.int_or("diagonal", 0)?)?;
    "diag" "input diagonal" |c| c.x()?.diag(c.int_or("diagonal", 0)?)?;
    "diagflat" "input offset" |c| c.x()?.diagflat(c.int_or("offset", 0)?)?;
    "diag_embed" "input offset dim1 dim2" |c| {
        c.x()?.diag_embed(c.int_or("offset", 0)?, c.int_or("dim1", -2)?, c.int_or("dim2", -1)?)?
    };
    "eye" "n m dtype" |c| {
        let m = if c.get("m").is_some() { Some(c.size("m")?) } else { None };
        wgtorch::eye(c.size("n")?, m, c.options()?)
    };
    "linspace" "start end steps dtype" |c| {
        wgtorch::try_linspace(c.operand("start")?, c.operand("end")?, c.size("steps")?, c.options()?)?
    };
    "logspace" "start end steps base dtype" |c| {
        wgtorch::try_logspace(c.operand("start")?, c.operand("end")?, c.size("steps")?, c.float_or("base", 10.0)?, c.options()?)?
    };
    "tensor_split" "input indices_or_sections dim sections indices" |c| {
        c.x()?.tensor_split(sections(c, "indices_or_sections")?, c.int_or("dim", 0)?)?
    };
    "hsplit" "input indices_or_sections" |c| c.x()?.hsplit(sections(c, "indices_or_sections")?)?;
    "vsplit" "input indices_or_sections" |c| c.x()?.vsplit(sections(c, "indices_or_sections")?)?;
    "dsplit" "input indices_or_sections" |c| c.x()?.dsplit(sections(c, "indices_or_sections")?)?;
    "select_scatter" "input src dim index" |c| {
        c.x()?.select_scatter(c.tensor("src")?, c.int("dim")?, c.int("index")?)?
    };
    "slice_scatter" "input src dim start end step" |c| {
        let (start, end) = (c.opt_int("start")?, c.opt_int("end")?);
        c.x()?.slice_scatter(c.tensor("src")?, c.int_or("dim", 0)?, start, end, c.size_or("step", 1)?)?
    };
    "diagonal_scatter" "input src offset dim1 dim2" |c| {
        let (a, b) = (c.int_or("dim1", 0)?, c.int_or("dim2", 1)?);
        c.x()?.diagonal_scatter(c.tensor("src")?, c.int_or("offset", 0)?, a, b)?
    };
    "combinations" "input r with_replacement" |c| {
        c.x()?.combinations(c.size_or("r", 2)?, c.flag("with_replacement", false)?)?
    };
    "einsum" "equation *operands" |c| wgtorch::try_einsum(c.string("equation")?.unwrap_or_default(), &list(c, "operands")?)?;
    "block_diag" "*tensors" |c| wgtorch::try_block_diag(&list(c, "tensors")?)?;
    "cartesian_prod" "*tensors" |c| wgtorch::try_cartesian_prod(&list(c, "tensors")?)?;
    "tril_indices" "row col offset dtype" |c| {
        wgtorch::tril_indices(c.size("row")?, c.size("col")?, c.int_or("offset", 0)? as i64, c.options()?)
    };
    "triu_indices" "row col offset dtype" |c| {
        wgtorch::triu_indices(c.size("row")?, c.size("col")?, c.int_or("offset", 0)? as i64, c.options()?)
    };
    "nn.functional.one_hot" "tensor num_classes" |c| {
        let n = c.int_or("num_classes", -1)?;
        wgtorch::try_one_hot(c.tensor("tensor")?, usize::try_from(n).ok())?
    };
    "dist" "input other p" |c| c.x()?.dist(c.tensor("other")?, c.opt_scalar("p")?.unwrap_or(Scalar::Int(2)))?;
    "renorm" "input p dim maxnorm" |c| c.x()?.renorm(c.scalar("p")?, c.int("dim")?, c.scalar("maxnorm")?)?;
    "renorm_" "input p dim maxnorm" |c| c.x()?.renorm_(c.scalar("p")?, c.int("dim")?, c.scalar("maxnorm")?)?;
    "norm" "input p dim keepdim dtype" |c| norm(c)?;
    "cumsum" "input dim dtype" |c| c.x()?.cumsum(c.int("dim")?, dtype(c)?)?;
    "cumsum_" "input dim dtype" |c| c.x()?.cumsum_(c.int("dim")?, dtype(c)?)?;
    "cumprod" "input dim dtype" |c| c.x()?.cumprod(c.int("dim")?, dtype(c)?)?;
    "cumprod_" "input dim dtype" |c| c.x()?.cumprod_(c.int("dim")?, dtype(c)?)?;
    "softmax" "input dim dtype" |c| c.x()?.softmax(c.int("dim")?, dtype(c)?)?;
    "log_softmax" "input dim dtype" |c| c.x()?.log_softmax(c.int("dim")?, dtype(c)?)?;
    "nn.functional.softmax" "input dim _stacklevel dtype" |c| c.x()?.softmax(c.int("dim")?, dtype(c)?)?;
    "nn.functional.softmin" "input dim _stacklevel dtype" |c| {
        let x = c.x()?;
        match c.dtype("dtype")? { Some(d) => x.neg()?.checked().softmax(c.int("dim")?, d)?, None => x.softmin(c.int("dim")?, ())? }
    };
    "nn.functional.log_softmax" "input dim _stacklevel dtype" |c| c.x()?.log_softmax(c.int("dim")?, dtype(c)?)?;
}
