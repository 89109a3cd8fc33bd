//! Modules by PyTorch's class names: how each is made from its arguments, and what it is called with.

use super::activation::approximate;
use super::nn::{adaptive, avg_pool2d, binary, classes, huber, max_pool2d, opt_pair, pair, reduction, smooth_l1};
use crate::call::{Arg, Call, Stop, Value};
use std::sync::Arc;
use wgtorch::nn::*;
use wgtorch::{Padding, Tensor, To};

/// A module, and a call of it.
pub struct Built {
    pub module: Arc<dyn Module>,
    pub run: Run,
}

type Run = Box<dyn Fn(&Call) -> Result<Value, Stop>>;

pub struct Row {
    pub name: &'static str,
    /// The constructor's arguments.
    pub params: &'static str,
    /// Those of the call.
    pub inputs: &'static str,
    pub build: fn(&Call, To) -> Result<Built, Stop>,
}

fn built<M: Module + 'static>(module: M, to: To, call: fn(&M, &Call) -> Result<Value, Stop>) -> Built {
    let module = Arc::new(module.to(to));
    let own = module.clone();
    Built { module, run: Box::new(move |c| call(&own, c)) }
}

/// `"name" "constructor's arguments" |c| module;`
macro_rules! layers {
    ($($name:literal $params:literal |$c:ident| $e:expr;)*) => {
        pub const LAYERS: &[Row] = &[$(
            Row { name: concat!("nn.", $name), params: $params, inputs: "input", build: |$c, to| {
                Ok(built($e, to, |m, c| Ok(m.call(c.tensor("input")?).into())))
            } },
        )*];
    };
}

/// The same for modules that compare an input with a target.
macro_rules! losses {
    ($($name:literal $params:literal |$c:ident| $e:expr;)*) => {
        pub const LOSSES: &[Row] = &[$(
            Row { name: concat!("nn.", $name), params: $params, inputs: "input target", build: |$c, to| {
                Ok(built($e, to, |m, c| Ok(m.call(c.tensor("input")?, c.tensor("target")?).into())))
            } },
        )*];
    };
}

pub fn find(op: &str) -> Option<&'static Row> {
    all().find(|r| r.name == op)
}

pub fn all() -> impl Iterator<Item = &'static Row> {
    LAYERS.iter().chain(LOSSES).chain(POOLS)
}

fn conv2d(c: &Call) -> Result<Conv2d, Stop> {
    let mut b = Conv2d::options(c.size("in_channels")?, c.size("out_channels")?, pair(c, "kernel_size")?)
        .padding_mode(c.string("padding_mode")?.unwrap_or("zeros").parse()?)
        .groups(c.size_or("groups", 1)?)
        .bias(c.flag("bias", true)?);
    if let Some(p) = opt_pair(c, "stride")? {
        b = b.stride(p);
    }
    if let Some(p) = opt_pair(c, "dilation")? {
        b = b.dilation(p);
    }
    b = match c.get("padding") {
        None => b,
        Some(Arg::Str(s)) if s == "same" => b.padding(Padding::Same),
        Some(Arg::Str(s)) if s == "valid" => b.padding(Padding::Valid),
        Some(_) => b.padding(pair(c, "padding")?),
    };
    Ok(b.build())
}

layers! {
    "ZeroPad1d" "padding" |c| ZeroPad1d::new(c.ints("padding")?);
    "ZeroPad2d" "padding" |c| ZeroPad2d::new(c.ints("padding")?);
    "ZeroPad3d" "padding" |c| ZeroPad3d::new(c.ints("padding")?);
    "ReflectionPad1d" "padding" |c| ReflectionPad1d::new(c.ints("padding")?);
    "ReflectionPad2d" "padding" |c| ReflectionPad2d::new(c.ints("padding")?);
    "ReflectionPad3d" "padding" |c| ReflectionPad3d::new(c.ints("padding")?);
    "ReplicationPad1d" "padding" |c| ReplicationPad1d::new(c.ints("padding")?);
    "ReplicationPad2d" "padding" |c| ReplicationPad2d::new(c.ints("padding")?);
    "ReplicationPad3d" "padding" |c| ReplicationPad3d::new(c.ints("padding")?);
    "CircularPad1d" "padding" |c| CircularPad1d::new(c.ints("padding")?);
    "CircularPad2d" "padding" |c| CircularPad2d::new(c.ints("padding")?);
    "CircularPad3d" "padding" |c| CircularPad3d::new(c.ints("padding")?);
    "ConstantPad1d" "padding value" |c| ConstantPad1d::new(c.ints("padding")?, c.scalar("value")?);
    "ConstantPad2d" "padding value" |c| ConstantPad2d::new(c.ints("padding")?, c.scalar("value")?);
    "ConstantPad3d" "padding value" |c| ConstantPad3d::new(c.ints("padding")?, c.scalar("value")?);
    "Linear" "in_features out_features bias" |c| {
        Linear::options(c.size("in_features")?, c.size("out_features")?).bias(c.flag("bias", true)?).build()
    };
    "Conv2d" "in_channels out_channels kernel_size stride padding dilation groups bias padding_mode" |c| conv2d(c)?;
    "LayerNorm" "normalized_shape eps elementwise_affine bias" |c| {
        let b = LayerNorm::options(c.ints("normalized_shape")?).eps(c.float_or("eps", 1e-5)?);
        b.elementwise_affine(c.flag("elementwise_affine", true)?).bias(c.flag("bias", true)?).build()
    };
    "Embedding" "num_embeddings embedding_dim padding_idx max_norm norm_type scale_grad_by_freq" |c| {
        let mut b = Embedding::options(c.size("num_embeddings")?, c.size("embedding_dim")?)
            .norm_type(c.float_or("norm_type", 2.0)?)
            .scale_grad_by_freq(c.flag("scale_grad_by_freq", false)?);
        if let Some(row) = c.opt_int("padding_idx")? {
            b = b.padding_idx(row as i64);
        }
        if c.get("max_norm").is_some() {
            b = b.max_norm(c.float("max_norm")?);
        }
        b.build()
    };
    "AvgPool2d" "kernel_size stride padding ceil_mode count_include_pad divisor_override" |c| {
        AvgPool2d::new(avg_pool2d(c)?)
    };
    "Flatten" "start_dim end_dim" |c| Flatten::dims(c.int_or("start_dim", 1)?, c.int_or("end_dim", -1)?);
    "Identity" "" |_c| Identity::new();
    "Unflatten" "dim unflattened_size" |c| Unflatten::new(c.int("dim")?, c.ints("unflattened_size")?);
    "Dropout" "p" |c| Dropout::new(c.float_or("p", 0.5)?);
    "AdaptiveAvgPool2d" "output_size" |c| AdaptiveAvgPool2d::new(adaptive(c)?);
    "Sigmoid" "inplace" |_c| Sigmoid::new();
    "Tanh" "" |_c| Tanh::new();
    "LogSigmoid" "" |_c| LogSigmoid::new();
    "Softsign" "" |_c| Softsign::new();
    "Tanhshrink" "" |_c| Tanhshrink::new();
    "Softmax2d" "" |_c| Softmax2d::new();
    "ReLU" "inplace" |c| or_inplace(c, ReLU::new, ReLU::inplace)?;
    "ReLU6" "inplace" |c| or_inplace(c, ReLU6::new, ReLU6::inplace)?;
    "SELU" "inplace" |c| or_inplace(c, SELU::new, SELU::inplace)?;
    "SiLU" "inplace" |c| or_inplace(c, SiLU::new, SiLU::inplace)?;
    "Mish" "inplace" |c| or_inplace(c, Mish::new, Mish::inplace)?;
    "Hardswish" "inplace" |c| or_inplace(c, Hardswish::new, Hardswish::inplace)?;
    "Hardsigmoid" "inplace" |c| or_inplace(c, Hardsigmoid::new, Hardsigmoid::inplace)?;
    "GELU" "approximate" |c| GELU::with(approximate(c)?);
    "Softplus" "beta threshold" |c| Softplus::with((c.float_or("beta", 1.0)?, c.float_or("threshold", 20.0)?));
    "Hardshrink" "lambd" |c| Hardshrink::with(c.float_or("lambd", 0.5)?);
    "Softshrink" "lambd" |c| Softshrink::with(c.float_or("lambd", 0.5)?);
    "ELU" "alpha inplace" |c| {
        let alpha = c.float_or("alpha", 1.0)?;
        or_inplace(c, || ELU::with(alpha), || ELU::inplace(alpha))?
    };
    "CELU" "alpha inplace" |c| {
        let alpha = c.float_or("alpha", 1.0)?;
        or_inplace(c, || CELU::with(alpha), || CELU::inplace(alpha))?
    };
    "LeakyReLU" "negative_slope inplace" |c| {
        let slope = c.float_or("negative_slope", 0.01)?;
        or_inplace(c, || LeakyReLU::with(slope), || LeakyReLU::inplace(slope))?
    };
    "Hardtanh" "min_val max_val inplace" |c| {
        let bounds = (c.float_or("min_val", -1.0)?, c.float_or("max_val", 1.0)?);
        or_inplace(c, || Hardtanh::with(bounds), || Hardtanh::inplace(bounds))?
    };
    "Threshold" "threshold value inplace" |c| {
        let (at, value) = (c.scalar("threshold")?, c.scalar("value")?);
        or_inplace(c, || Threshold::new(at, value), || Threshold::inplace(at, value))?
    };
    "PReLU" "num_parameters init" |c| PReLU::with_init(c.size_or("num_parameters", 1)?, c.float_or("init", 0.25)?);
    "Softmax" "dim" |c| Softmax::new(c.int("dim")?);
    "LogSoftmax" "dim" |c| LogSoftmax::new(c.int("dim")?);
    "Softmin" "dim" |c| Softmin::new(c.int("dim")?);
    "GLU" "dim" |c| GLU::new(c.int_or("dim", -1)?);
}

fn or_inplace<M>(c: &Call, plain: impl FnOnce() -> M, inplace: impl FnOnce() -> M) -> Result<M, Stop> {
    Ok(if c.flag("inplace", false)? { inplace() } else { plain() })
}

losses! {
    "CrossEntropyLoss" "weight size_average ignore_index reduce reduction label_smoothing" |c| {
        CrossEntropyLoss::with(classes(c)?)
    };
    "NLLLoss" "weight size_average ignore_index reduce reduction" |c| NLLLoss::with(classes(c)?);
    "MSELoss" "size_average reduce reduction" |c| MSELoss::with(reduction(c)?);
    "SmoothL1Loss" "size_average reduce reduction beta" |c| SmoothL1Loss::with(smooth_l1(c)?);
    "HuberLoss" "reduction delta" |c| HuberLoss::with(huber(c)?);
    "BCELoss" "weight size_average reduce reduction" |c| BCELoss::with(binary(c)?);
    "BCEWithLogitsLoss" "weight size_average reduce reduction pos_weight" |c| BCEWithLogitsLoss::with(binary(c)?);
    "L1Loss" "size_average reduce reduction" |c| L1Loss::with(reduction(c)?);
}

/// A pool that gives the positions too where the case asks for them.
fn pool<M: Forward + 'static>(
    c: &Call,
    module: M,
    to: To,
    both: fn(&M, &Tensor) -> (Tensor, Tensor),
) -> Result<Built, Stop> {
    let module = Arc::new(module.to(to));
    let (own, indices) = (module.clone(), c.flag("return_indices", false)?);
    let run = move |c: &Call| {
        let x = c.tensor("input")?;
        Ok(if indices { both(&own, x).into() } else { own.call(x).into() })
    };
    Ok(Built { module, run: Box::new(run) })
}

const POOLS: &[Row] = &[
    Row {
        name: "nn.MaxPool2d",
        params: "kernel_size stride padding dilation return_indices ceil_mode",
        inputs: "input",
        build: |c, to| pool(c, MaxPool2d::new(max_pool2d(c)?), to, MaxPool2d::call_with_indices),
    },
    Row {
        name: "nn.AdaptiveMaxPool2d",
        params: "output_size return_indices",
        inputs: "input",
        build: |c, to| pool(c, AdaptiveMaxPool2d::new(adaptive(c)?), to, AdaptiveMaxPool2d::call_with_indices),
    },
];
