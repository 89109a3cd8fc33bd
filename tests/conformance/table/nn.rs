//! Matrix products, convolution, pooling, losses.

use super::rows;
use crate::call::{Arg, Call, Stop};
use wgtorch::{
    AdaptiveSize, AddmmOptions, AttentionOptions, AvgPool2dOptions, BCEOptions, Conv2dOptions, CrossEntropyOptions,
    EmbeddingOptions, HuberOptions, LayerNormOptions, MaxPool2dOptions, Padding, Pair, Reduction, SmoothL1Options,
};

fn factors(c: &Call) -> Result<AddmmOptions, Stop> {
    let mut o = AddmmOptions::new();
    if let Some(beta) = c.opt_scalar("beta")? {
        o = o.beta(beta);
    }
    if let Some(alpha) = c.opt_scalar("alpha")? {
        o = o.alpha(alpha);
    }
    Ok(o)
}

/// One integer or two, as height and width.
pub(super) fn pair(c: &Call, name: &str) -> Result<Pair, Stop> {
    match c.ints(name)?[..] {
        [n] => Ok((n as i64).into()),
        [h, w] => Ok((h as i64, w as i64).into()),
        ref other => Err(Stop::Untyped(format!("{name}: takes two integers at most, not {}", other.len()))),
    }
}

pub(super) fn opt_pair(c: &Call, name: &str) -> Result<Option<Pair>, Stop> {
    match c.opt_ints(name)? {
        // PyTorch's spelling of "as the kernel size"
        Some(l) if l.is_empty() => Ok(None),
        Some(_) => pair(c, name).map(Some),
        None => Ok(None),
    }
}

fn conv2d(c: &Call) -> Result<Conv2dOptions, Stop> {
    let mut o = Conv2dOptions::new().bias(c.opt_tensor("bias")?);
    if let Some(p) = opt_pair(c, "stride")? {
        o = o.stride(p);
    }
    if let Some(p) = opt_pair(c, "dilation")? {
        o = o.dilation(p);
    }
    o = match c.get("padding") {
        None => o,
        Some(Arg::Str(s)) if s == "same" => o.padding(Padding::Same),
        Some(Arg::Str(s)) if s == "valid" => o.padding(Padding::Valid),
        Some(_) => o.padding(pair(c, "padding")?),
    };
    Ok(o.groups(c.int_or("groups", 1)? as i64))
}

pub(super) fn max_pool2d(c: &Call) -> Result<MaxPool2dOptions, Stop> {
    let mut o = MaxPool2dOptions::new(pair(c, "kernel_size")?).ceil_mode(c.flag("ceil_mode", false)?);
    o.stride = opt_pair(c, "stride")?;
    if let Some(p) = opt_pair(c, "padding")? {
        o = o.padding(p);
    }
    if let Some(p) = opt_pair(c, "dilation")? {
        o = o.dilation(p);
    }
    Ok(o)
}

/// A size, or a size for each dim with None for the input's.
pub(super) fn adaptive(c: &Call) -> Result<AdaptiveSize, Stop> {
    let size = |a: &Arg| match a {
        Arg::None => Ok(None),
        Arg::Int(n) if *n >= 0 => Ok(Some(*n as usize)),
        _ => Err(Stop::Untyped("output_size: takes sizes".into())),
    };
    match c.get("output_size") {
        Some(Arg::List(l)) => match &l[..] {
            [n] => Ok([size(n)?; 2].into()),
            [h, w] => Ok([size(h)?, size(w)?].into()),
            _ => Err(Stop::Untyped("output_size: takes two sizes".into())),
        },
        Some(one) => Ok([size(one)?; 2].into()),
        None => Err(Stop::Untyped("output_size: is missing".into())),
    }
}

pub(super) fn avg_pool2d(c: &Call) -> Result<AvgPool2dOptions, Stop> {
    let mut o = AvgPool2dOptions::new(pair(c, "kernel_size")?).ceil_mode(c.flag("ceil_mode", false)?);
    o.stride = opt_pair(c, "stride")?;
    if let Some(p) = opt_pair(c, "padding")? {
        o = o.padding(p);
    }
    o = o.count_include_pad(c.flag("count_include_pad", true)?);
    Ok(o.divisor_override(c.opt_int("divisor_override")?.map(|d| d as i64)))
}

pub(super) fn reduction(c: &Call) -> Result<Reduction, Stop> {
    Ok(c.string("reduction")?.unwrap_or("mean").parse()?)
}

pub(super) fn classes(c: &Call) -> Result<CrossEntropyOptions, Stop> {
    let mut o = CrossEntropyOptions::new().weight(c.opt_tensor("weight")?).reduction(reduction(c)?);
    if let Some(i) = c.opt_int("ignore_index")? {
        o = o.ignore_index(i as i64);
    }
    Ok(o.label_smoothing(c.float_or("label_smoothing", 0.0)?))
}

rows! {
    "matmul" "input other" |c| c.x()?.matmul(c.tensor("other")?)?;
    "mm" "input mat2" |c| c.x()?.mm(c.tensor("mat2")?)?;
    "bmm" "input mat2" |c| c.x()?.bmm(c.tensor("mat2")?)?;
    "mv" "input vec" |c| c.x()?.mv(c.tensor("vec")?)?;
    "dot" "input tensor" |c| c.x()?.dot(c.tensor("tensor")?)?;
    "vdot" "input other" |c| c.x()?.vdot(c.tensor("other")?)?;
    "outer" "input vec2" |c| c.x()?.outer(c.tensor("vec2")?)?;
    "addmm" "input mat1 mat2 beta alpha" |c| c.x()?.addmm(c.tensor("mat1")?, c.tensor("mat2")?, factors(c)?)?;
    "addmm_" "input mat1 mat2 beta alpha" |c| c.x()?.addmm_(c.tensor("mat1")?, c.tensor("mat2")?, factors(c)?)?;
    "addmv_" "input mat vec beta alpha" |c| c.x()?.addmv_(c.tensor("mat")?, c.tensor("vec")?, factors(c)?)?;
    "addmv" "input mat vec beta alpha" |c| c.x()?.addmv(c.tensor("mat")?, c.tensor("vec")?, factors(c)?)?;
    "baddbmm_" "input batch1 batch2 beta alpha" |c| {
        c.x()?.baddbmm_(c.tensor("batch1")?, c.tensor("batch2")?, factors(c)?)?
    };
    "addbmm" "input batch1 batch2 beta alpha" |c| c.x()?.addbmm(c.tensor("batch1")?, c.tensor("batch2")?, factors(c)?)?;
    "addbmm_" "input batch1 batch2 beta alpha" |c| {
        c.x()?.addbmm_(c.tensor("batch1")?, c.tensor("batch2")?, factors(c)?)?
    };
    "addr" "input vec1 vec2 beta alpha" |c| c.x()?.addr(c.tensor("vec1")?, c.tensor("vec2")?, factors(c)?)?;
    "addr_" "input vec1 vec2 beta alpha" |c| c.x()?.addr_(c.tensor("vec1")?, c.tensor("vec2")?, factors(c)?)?;
    "baddbmm" "input batch1 batch2 beta alpha" |c| {
        c.x()?.baddbmm(c.tensor("batch1")?, c.tensor("batch2")?, factors(c)?)?
    };
    "nn.functional.linear" "input weight bias" |c| c.x()?.linear(c.tensor("weight")?, c.opt_tensor("bias")?)?;
    "nn.functional.conv2d" "input weight bias stride padding dilation groups" |c| {
        c.x()?.conv2d(c.tensor("weight")?, conv2d(c)?)?
    };
    "nn.functional.max_pool2d" "input kernel_size stride padding dilation ceil_mode return_indices" |c| {
        let both = c.x()?.max_pool2d_with_indices(max_pool2d(c)?)?;
        if c.flag("return_indices", false)? { crate::call::Value::from(both) } else { both.0.into() }
    };
    "nn.functional.avg_pool2d" "input kernel_size stride padding ceil_mode count_include_pad divisor_override" |c| {
        c.x()?.avg_pool2d(avg_pool2d(c)?)?
    };
    "nn.functional.adaptive_max_pool2d" "input output_size return_indices" |c| {
        let both = c.x()?.adaptive_max_pool2d_with_indices(adaptive(c)?)?;
        if c.flag("return_indices", false)? { crate::call::Value::from(both) } else { both.0.into() }
    };
    "nn.functional.layer_norm" "input normalized_shape weight bias eps" |c| {
        let o = LayerNormOptions::new().weight(c.opt_tensor("weight")?).bias(c.opt_tensor("bias")?);
        c.x()?.layer_norm(c.ints("normalized_shape")?, o.eps(c.float_or("eps", 1e-5)?))?
    };
    "nn.functional.embedding" "input weight padding_idx max_norm norm_type scale_grad_by_freq sparse" |c| {
        if c.flag("sparse", false)? {
            return Err(Stop::Unsupported("sparse gradients".into()));
        }
        let mut o = EmbeddingOptions::new()
            .padding_idx(c.opt_int("padding_idx")?.map(|p| p as i64))
            .scale_grad_by_freq(c.flag("scale_grad_by_freq", false)?);
        if c.get("max_norm").is_some_and(|a| !matches!(a, Arg::None)) {
            o = o.max_norm(c.float("max_norm")?).norm_type(c.float_or("norm_type", 2.0)?);
        }
        c.x()?.embedding(c.tensor("weight")?, o)?
    };
    "nn.functional.scaled_dot_product_attention" "query key value attn_mask dropout_p is_causal scale enable_gqa" |c| {
        let mut o = AttentionOptions::new()
            .attn_mask(c.opt_tensor("attn_mask")?)
            .dropout_p(c.float_or("dropout_p", 0.0)?)
            .is_causal(c.flag("is_causal", false)?)
            .enable_gqa(c.flag("enable_gqa", false)?);
        if c.get("scale").is_some_and(|a| !matches!(a, Arg::None)) {
            o = o.scale(c.float("scale")?);
        }
        c.tensor("query")?.checked().scaled_dot_product_attention(c.tensor("key")?, c.tensor("value")?, o)?
    };
    "nn.functional.adaptive_avg_pool2d" "input output_size" |c| c.x()?.adaptive_avg_pool2d(adaptive(c)?)?;
    "nn.functional.cross_entropy" "input target weight size_average ignore_index reduce reduction label_smoothing" |c| {
        c.x()?.cross_entropy(c.tensor("target")?, classes(c)?)?
    };
    "nn.functional.nll_loss" "input target weight size_average ignore_index reduce reduction" |c| {
        c.x()?.nll_loss(c.tensor("target")?, classes(c)?)?
    };
    "nn.functional.mse_loss" "input target size_average reduce reduction weight" |c| {
        c.x()?.mse_loss(c.tensor("target")?, reduction(c)?)?
    };
    "nn.functional.l1_loss" "input target size_average reduce reduction weight" |c| {
        c.x()?.l1_loss(c.tensor("target")?, reduction(c)?)?
    };
    "nn.functional.smooth_l1_loss" "input target size_average reduce reduction beta" |c| {
        c.x()?.smooth_l1_loss(c.tensor("target")?, smooth_l1(c)?)?
    };
    "nn.functional.huber_loss" "input target reduction delta weight" |c| {
        c.x()?.huber_loss(c.tensor("target")?, huber(c)?)?
    };
    "nn.functional.binary_cross_entropy" "input target weight size_average reduce reduction" |c| {
        c.x()?.binary_cross_entropy(c.tensor("target")?, binary(c)?)?
    };
    "nn.functional.binary_cross_entropy_with_logits"
        "input target weight size_average reduce reduction pos_weight" |c| {
        c.x()?.binary_cross_entropy_with_logits(c.tensor("target")?, binary(c)?)?
    };
}

pub(super) fn smooth_l1(c: &Call) -> Result<SmoothL1Options, Stop> {
    Ok(SmoothL1Options::new().reduction(reduction(c)?).beta(c.float_or("beta", 1.0)?))
}

pub(super) fn huber(c: &Call) -> Result<HuberOptions, Stop> {
    Ok(HuberOptions::new().reduction(reduction(c)?).delta(c.float_or("delta", 1.0)?))
}

pub(super) fn binary(c: &Call) -> Result<BCEOptions, Stop> {
    let o = BCEOptions::new().weight(c.opt_tensor("weight")?).pos_weight(c.opt_tensor("pos_weight")?);
    Ok(o.reduction(reduction(c)?))
}
