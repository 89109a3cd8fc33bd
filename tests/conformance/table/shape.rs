//! Views, casts and copies.

use super::rows;
use crate::call::{Call, Stop};
use wgtorch::{DType, Tensor};

fn cast(c: &Call, dtype: DType) -> Result<Tensor, Stop> {
    Ok(c.x()?.to(dtype)?)
}

/// `x.to(…)`: a dtype, another tensor, or a device (which never differs) with a dtype.
fn to(c: &Call) -> Result<Tensor, Stop> {
    use crate::call::Arg;
    let x = c.tensor("input")?;
    let mut copy = false;
    let mut target = None;
    for (i, a) in c.all().skip(1).enumerate() {
        match a {
            Arg::DType(d) => target = Some(*d),
            Arg::Tensor(t) => target = Some(t.dtype()),
            // non_blocking, copy
            Arg::Bool(b) if i > 0 => copy = *b,
            _ => {}
        }
    }
    let y = x.checked().to(target.unwrap_or(x.dtype()))?;
    if copy && y.is_same(x) { Ok(y.checked().copy()?) } else { Ok(y) }
}

rows! {
    "bool" "input" |c| cast(c, DType::Bool)?;
    "int" "input" |c| cast(c, DType::I32)?;
    "long" "input" |c| cast(c, DType::I64)?;
    "half" "input" |c| cast(c, DType::F16)?;
    "bfloat16" "input" |c| cast(c, DType::BF16)?;
    "float" "input" |c| cast(c, DType::F32)?;
    "double" "input" |c| cast(c, DType::F64)?;
    "to" "input a b c d" |c| to(c)?;
    "clone" "input" |c| c.x()?.copy()?;
    "contiguous" "input" |c| c.x()?.contiguous()?;
    "item" "input" |c| c.tensor("input")?.item_scalar()?;
    "numel" "input" |c| c.tensor("input")?.numel();

    "view_as_real" "input" |c| c.x()?.view_as_real()?;
    "view_as_complex" "input" |c| c.x()?.view_as_complex()?;
    "adjoint" "input" |c| c.x()?.adjoint()?;
    "mH" "input" |c| c.x()?.mh()?;
    "H" "input" |c| c.x()?.h()?;
    "view" "input *shape" |c| c.x()?.view(c.ints("shape")?)?;
    "view_as" "input other" |c| c.x()?.view_as(c.tensor("other")?)?;
    "reshape" "input shape" |c| c.x()?.reshape(c.ints("shape")?)?;
    "reshape_as" "input other" |c| c.x()?.reshape_as(c.tensor("other")?)?;
    "ravel" "input" |c| c.x()?.flatten_dims(0, -1)?;
    "flatten" "input start_dim end_dim" |c| c.x()?.flatten_dims(c.int_or("start_dim", 0)?, c.int_or("end_dim", -1)?)?;
    "unflatten" "input dim sizes" |c| c.x()?.unflatten(c.int("dim")?, c.ints("sizes")?)?;
    "expand" "input *size" |c| c.x()?.expand(c.ints("size")?)?;
    "expand_as" "input other" |c| c.x()?.expand_as(c.tensor("other")?)?;
    "broadcast_to" "input shape" |c| c.x()?.broadcast_to(c.ints("shape")?)?;
    "permute" "input dims" |c| c.x()?.permute(c.ints("dims")?)?;
    "transpose" "input dim0 dim1" |c| c.x()?.transpose(c.int("dim0")?, c.int("dim1")?)?;
    "t_" "input" |c| c.x()?.t_()?;
    "transpose_" "input dim0 dim1" |c| c.x()?.transpose_(c.int("dim0")?, c.int("dim1")?)?;
    "unsqueeze_" "input dim" |c| c.x()?.unsqueeze_(c.int("dim")?)?;
    "squeeze_" "input dim" |c| match c.opt_ints("dim")? {
        None => c.x()?.squeeze_()?,
        Some(dims) => c.x()?.squeeze_dim_(dims)?,
    };
    "swapaxes" "input axis0 axis1" |c| c.x()?.swapaxes(c.int("axis0")?, c.int("axis1")?)?;
    "t" "input" |c| c.x()?.t()?;
    "T" "input" |c| c.x()?.reverse_dims()?;
    "mT" "input" |c| c.x()?.mt()?;
    "movedim" "input source destination" |c| c.x()?.movedim(c.ints("source")?, c.ints("destination")?)?;
    "moveaxis" "input source destination" |c| c.x()?.movedim(c.ints("source")?, c.ints("destination")?)?;
    "select" "input dim index" |c| c.x()?.select(c.int("dim")?, c.int("index")?)?;
    "as_strided" "input size stride storage_offset" |c| {
        let offset = c.opt_int("storage_offset")?.map(|o| o as usize);
        c.x()?.as_strided(c.ints("size")?, c.ints("stride")?, offset)?
    };
    "as_strided_" "input size stride storage_offset" |c| {
        let offset = c.opt_int("storage_offset")?.map(|o| o as usize);
        c.x()?.as_strided_(c.ints("size")?, c.ints("stride")?, offset)?
    };
    "unfold" "input dimension size step" |c| c.x()?.unfold(c.int("dimension")?, c.size("size")?, c.size("step")?)?;
    "narrow" "input dim start length" |c| c.x()?.narrow(c.int("dim")?, c.int("start")?, c.size("length")?)?;
    "squeeze" "input dim" |c| match c.opt_ints("dim")? {
        None => c.x()?.squeeze()?,
        Some(dims) => c.x()?.squeeze_dim(dims)?,
    };
    "unsqueeze" "input dim" |c| c.x()?.unsqueeze(c.int("dim")?)?;
    "diagonal" "input offset dim1 dim2"
        |c| c.x()?.diagonal(c.int_or("offset", 0)?, c.int_or("dim1", 0)?, c.int_or("dim2", 1)?)?;
    "linalg.diagonal" "input offset dim1 dim2"
        |c| c.x()?.diagonal(c.int_or("offset", 0)?, c.int_or("dim1", -2)?, c.int_or("dim2", -1)?)?;
    "split" "input split_size_or_sections dim" |c| {
        let dim = c.int_or("dim", 0)?;
        if matches!(c.get("split_size_or_sections"), Some(crate::call::Arg::List(_))) {
            c.x()?.split_with_sizes(&c.sizes("split_size_or_sections")?, dim)?
        } else {
            c.x()?.split(c.size("split_size_or_sections")?, dim)?
        }
    };
    "split_with_sizes" "input split_sizes dim" |c| c.x()?.split_with_sizes(&c.sizes("split_sizes")?, c.int_or("dim", 0)?)?;
    "chunk" "input chunks dim" |c| c.x()?.chunk(c.size("chunks")?, c.int_or("dim", 0)?)?;
    "unbind" "input dim" |c| c.x()?.unbind(c.int_or("dim", 0)?)?;
}
