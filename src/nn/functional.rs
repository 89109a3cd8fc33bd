//! The functional forms (`torch.nn.functional`), in the prelude as `F`. Each is the tensor method of its name.

use crate::ops::{
    AdaptiveSize, AttentionOptions, AvgPool2dOptions, Conv2dOptions, CrossEntropyOptions, EmbeddingOptions, IntoSizes,
    LayerNormOptions, MaxPool2dOptions, MaybeTensor, PadOptions, Reduction,
};
use crate::tensor::Tensor;

/// `input @ weight^T + bias` ([`Tensor::linear`]); `()` is no bias.
#[track_caller]
pub fn linear(input: &Tensor, weight: &Tensor, bias: impl Into<MaybeTensor>) -> Tensor {
    input.linear(weight, bias)
}

/// 2-D cross-correlation ([`Tensor::conv2d`]).
#[track_caller]
pub fn conv2d(input: &Tensor, weight: &Tensor, options: impl Into<Conv2dOptions>) -> Tensor {
    input.conv2d(weight, options)
}

/// The greatest element of each window ([`Tensor::max_pool2d`]).
#[track_caller]
pub fn max_pool2d(input: &Tensor, options: impl Into<MaxPool2dOptions>) -> Tensor {
    input.max_pool2d(options)
}

/// [`max_pool2d`] with the positions of the maxima ([`Tensor::max_pool2d_with_indices`]).
#[track_caller]
pub fn max_pool2d_with_indices(input: &Tensor, options: impl Into<MaxPool2dOptions>) -> (Tensor, Tensor) {
    input.max_pool2d_with_indices(options)
}

/// The greatest element of each of evenly shared windows ([`Tensor::adaptive_max_pool2d`]).
#[track_caller]
pub fn adaptive_max_pool2d(input: &Tensor, output_size: impl Into<AdaptiveSize>) -> Tensor {
    input.adaptive_max_pool2d(output_size)
}

/// The mean of each of evenly shared windows ([`Tensor::adaptive_avg_pool2d`]).
#[track_caller]
pub fn adaptive_avg_pool2d(input: &Tensor, output_size: impl Into<AdaptiveSize>) -> Tensor {
    input.adaptive_avg_pool2d(output_size)
}

/// The mean of each window ([`Tensor::avg_pool2d`]).
#[track_caller]
pub fn avg_pool2d(input: &Tensor, options: impl Into<AvgPool2dOptions>) -> Tensor {
    input.avg_pool2d(options)
}

/// Elements around a tensor, from the last dim on ([`Tensor::pad`]).
#[track_caller]
pub fn pad(input: &Tensor, pad: impl IntoSizes, options: impl Into<PadOptions>) -> Tensor {
    input.pad(pad, options)
}

/// `max(x, 0)` ([`Tensor::relu`]).
#[track_caller]
pub fn relu(input: &Tensor) -> Tensor {
    input.relu()
}

/// `exp(x)` over its sum along a dim ([`Tensor::softmax`]).
#[track_caller]
pub fn softmax(input: &Tensor, dim: isize) -> Tensor {
    input.softmax(dim, ())
}

/// The logarithm of [`softmax`] ([`Tensor::log_softmax`]).
#[track_caller]
pub fn log_softmax(input: &Tensor, dim: isize) -> Tensor {
    input.log_softmax(dim, ())
}

/// The cross entropy of logits against classes, with PyTorch's defaults ([`Tensor::cross_entropy`] takes options).
#[track_caller]
pub fn cross_entropy(input: &Tensor, target: &Tensor) -> Tensor {
    input.cross_entropy(target, ())
}

/// [`cross_entropy`] with options.
#[track_caller]
pub fn cross_entropy_with(input: &Tensor, target: &Tensor, options: impl Into<CrossEntropyOptions>) -> Tensor {
    input.cross_entropy(target, options)
}

/// The negative log-likelihood of classes, with PyTorch's defaults ([`Tensor::nll_loss`] takes options).
#[track_caller]
pub fn nll_loss(input: &Tensor, target: &Tensor) -> Tensor {
    input.nll_loss(target, ())
}

/// The mean squared difference ([`Tensor::mse_loss`] takes a reduction).
#[track_caller]
pub fn mse_loss(input: &Tensor, target: &Tensor) -> Tensor {
    input.mse_loss(target, Reduction::Mean)
}

/// The mean absolute difference ([`Tensor::l1_loss`] takes a reduction).
#[track_caller]
pub fn l1_loss(input: &Tensor, target: &Tensor) -> Tensor {
    input.l1_loss(target, Reduction::Mean)
}

/// The squared difference near zero, the absolute one beyond, with PyTorch's defaults ([`Tensor::smooth_l1_loss`] takes options).
#[track_caller]
pub fn smooth_l1_loss(input: &Tensor, target: &Tensor) -> Tensor {
    input.smooth_l1_loss(target, ())
}

/// Half the squared difference near zero, a line beyond, with PyTorch's defaults ([`Tensor::huber_loss`] takes options).
#[track_caller]
pub fn huber_loss(input: &Tensor, target: &Tensor) -> Tensor {
    input.huber_loss(target, ())
}

/// The cross entropy of probabilities, with PyTorch's defaults ([`Tensor::binary_cross_entropy`] takes options).
#[track_caller]
pub fn binary_cross_entropy(input: &Tensor, target: &Tensor) -> Tensor {
    input.binary_cross_entropy(target, ())
}

/// The cross entropy of two-class logits, with PyTorch's defaults ([`Tensor::binary_cross_entropy_with_logits`] takes options).
#[track_caller]
pub fn binary_cross_entropy_with_logits(input: &Tensor, target: &Tensor) -> Tensor {
    input.binary_cross_entropy_with_logits(target, ())
}

/// Zeros elements with probability `p` and scales the others by `1 / (1 - p)`; the input itself where not `training`.
///
/// # Panics
/// If `p` is no probability.
#[track_caller]
pub fn dropout(input: &Tensor, p: f64, training: bool) -> Tensor {
    input.dropout(p, training)
}

/// Rows of a table by index ([`Tensor::embedding`]).
#[track_caller]
pub fn embedding(input: &Tensor, weight: &Tensor, options: impl Into<EmbeddingOptions>) -> Tensor {
    input.embedding(weight, options)
}

/// Zero mean and unit variance over the trailing dims ([`Tensor::layer_norm`]).
#[track_caller]
pub fn layer_norm(input: &Tensor, normalized_shape: impl IntoSizes, options: impl Into<LayerNormOptions>) -> Tensor {
    input.layer_norm(normalized_shape, options)
}

/// Attention of queries to keys and values ([`Tensor::scaled_dot_product_attention`]).
#[track_caller]
pub fn scaled_dot_product_attention(
    query: &Tensor,
    key: &Tensor,
    value: &Tensor,
    options: impl Into<AttentionOptions>,
) -> Tensor {
    query.scaled_dot_product_attention(key, value, options)
}
