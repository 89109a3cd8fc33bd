//! What this release promises, what is known to fail and why, and what a typed API cannot express.

use serde_json::Value as Json;
use std::collections::HashSet;
use wgtorch::Device;

/// Ops, modules and optimizers of which at least 99 % of the cases pass on every device, with their in-place forms where the cases have them.
pub const PROMISED: &[&str] = &[
    // elementwise, comparison, logic
    "__radd__ __rdiv__ __rmul__ __rpow__ __rsub__ abs acos acosh add asin asinh atan atan2 atanh bitwise_and",
    "bitwise_left_shift bitwise_not bitwise_or bitwise_right_shift bitwise_xor ceil clamp clamp_max clamp_min copysign",
    "cos cosh div eq erf erfc erfinv exp exp2 expm1 fill floor floor_divide fmod frac ge gt hypot isfinite isinf isnan",
    "le log log10 log1p log2 logical_and logical_not logical_or logical_xor lt maximum minimum mul ne neg positive pow",
    "reciprocal remainder round rsqrt rsub sgn sigmoid sign signbit sin sinh sqrt square sub tan tanh true_divide trunc",
    "where nn.functional.relu nn.functional.gelu angle complex conj imag polar real view_as_complex view_as_real",
    // casts and copies
    "bfloat16 bool clone contiguous double float half int item long to",
    // reductions
    "all any argmax argmin amax amin max mean min sum sum_to_size var log_softmax softmax nn.functional.log_softmax",
    "nn.functional.softmax",
    // special functions, elements by rank, scans, differences
    "mvlgamma polygamma special.erfcx special.i0e special.i1 special.i1e special.log_ndtr special.ndtri special.zeta dist",
    "bincount bucketize corrcoef cov cummax cummin cumulative_trapezoid diff gradient histc histogram isin kthvalue",
    "logcumsumexp median mode nanmedian nanquantile quantile renorm searchsorted trapezoid trapz unique unique_consecutive",
    // products, convolution, pooling
    "addbmm addmm addr baddbmm bmm dot matmul mm mv nn.functional.linear nn.functional.conv2d nn.functional.avg_pool2d",
    "nn.functional.max_pool2d nn.functional.layer_norm nn.functional.embedding",
    "nn.functional.scaled_dot_product_attention",
    // Fourier transforms
    "fft.fft fft.fft2 fft.fftfreq fft.fftn fft.fftshift fft.hfft fft.ifft fft.ifft2 fft.ifftn fft.ifftshift fft.ihfft fft.irfft",
    "fft.irfft2 fft.irfftn fft.rfft fft.rfft2 fft.rfftfreq fft.rfftn istft stft",
    // sorting
    "sort argsort msort topk",
    // moving elements
    "cat constant_pad_nd gather index_reduce index_select nn.functional.pad stack unravel_index",
    // views
    "T broadcast_to expand expand_as flatten mT movedim narrow permute reshape reshape_as select squeeze swapaxes t",
    "transpose unflatten unsqueeze view view_as",
    // creation
    "broadcast_shapes hamming_window hann_window linalg.vander linspace logspace scalar_tensor",
    "arange empty empty_like eye full full_like new_empty new_full new_ones new_zeros ones ones_like rand_like randn_like",
    "zeros zeros_like",
    // losses
    "nn.functional.binary_cross_entropy nn.functional.binary_cross_entropy_with_logits nn.functional.huber_loss",
    "nn.functional.smooth_l1_loss",
    // modules and optimizers
    "nn.BCELoss nn.BCEWithLogitsLoss nn.HuberLoss nn.SmoothL1Loss",
    "nn.CircularPad1d nn.CircularPad2d nn.CircularPad3d nn.ConstantPad1d nn.ConstantPad2d nn.ConstantPad3d",
    "nn.ReflectionPad1d nn.ReflectionPad2d nn.ReflectionPad3d nn.ReplicationPad1d nn.ReplicationPad2d nn.ReplicationPad3d",
    "nn.ZeroPad1d nn.ZeroPad2d nn.ZeroPad3d",
    "nn.AdaptiveAvgPool2d nn.AdaptiveMaxPool2d nn.AvgPool2d nn.CELU nn.Conv2d nn.CrossEntropyLoss nn.ELU nn.Embedding nn.GELU nn.GLU",
    "nn.Hardshrink nn.Hardsigmoid nn.Hardswish nn.Hardtanh nn.L1Loss nn.LayerNorm nn.LeakyReLU nn.Linear nn.LogSigmoid nn.LogSoftmax",
    "nn.MSELoss nn.MaxPool2d nn.Mish nn.NLLLoss nn.PReLU nn.ReLU nn.ReLU6 nn.SELU nn.SiLU nn.Sigmoid nn.Softmax",
    "nn.Softmax2d nn.Softmin nn.Softplus nn.Softshrink nn.Softsign nn.Tanh nn.Tanhshrink nn.Threshold",
    "optim.Adam optim.AdamW optim.SGD",
];

fn promised_names() -> impl Iterator<Item = &'static str> {
    PROMISED.iter().flat_map(|l| l.split_whitespace())
}

/// True for a promised op and for the in-place form of one.
pub fn is_promised(op: &str) -> bool {
    let base = op.strip_suffix('_').filter(|b| !b.ends_with('_')).unwrap_or(op);
    promised_names().any(|p| p == op || p == base)
}

/// Promised names without a row in the table.
pub fn stale(known: &HashSet<&'static str>) -> Vec<&'static str> {
    promised_names().filter(|p| !known.contains(p)).collect()
}

/// Cases that are expected to fail. One of them that passes fails the run, so that the list only gets shorter.
pub struct Known {
    pub op: &'static str,
    /// The case; every one of the op if None.
    pub id: Option<&'static str>,
    /// `cpu` or `gpu`; both if None.
    pub device: Option<&'static str>,
    pub reason: &'static str,
}

impl Known {
    pub fn matches(&self, op: &str, id: &str, device: Device) -> bool {
        let here = if device.is_gpu() { "gpu" } else { "cpu" };
        self.op == op && self.id.is_none_or(|i| i == id) && self.device.is_none_or(|d| d == here)
    }
}

pub const KNOWN: &[Known] = &[
    Known {
        op: "norm",
        id: Some("norm.f32.e43ff2b8"),
        device: None,
        reason: "the nuclear norm needs singular values, which are not there yet",
    },
    Known {
        op: "norm",
        id: Some("norm.f64.eeb6d1b9"),
        device: None,
        reason: "the nuclear norm needs singular values, which are not there yet",
    },
];

/// Dtypes beside float32, float64, int64 and bool, which this release does not promise to compute.
pub fn other_dtype(case: &Json) -> bool {
    let core = matches!(case["dtype"].as_str(), Some("float32" | "float64" | "int64" | "bool"));
    !core
}

/// Kinds of misuse that Rust's types rule out before the program runs: a pattern of the binder's message, and the reason.
const UNTYPED: &[(&str, &str)] = &[
    ("takes a tensor, not", "a number or a list where the signature takes &Tensor"),
    ("takes tensors, not", "something else than tensors in a list of tensors"),
    ("takes a list of tensors", "something else where the signature takes a slice of tensors"),
    ("takes a number, not", "a list or a string where the signature takes a number"),
    ("takes an integer, not", "a float, a string or a list where the signature takes an integer"),
    ("takes an unsigned number", "a negative number where the signature takes an unsigned one"),
    ("takes a bool, not", "something else where the signature takes a bool"),
    ("takes a name, not", "something else where the signature takes an enum"),
    ("no such name", "a string where the signature takes an enum without such a member"),
    ("takes a dtype, not", "something else where the signature takes a DType"),
    ("required, but not given", "a required argument left out"),
    ("more positional arguments", "more arguments than the signature has"),
];

/// The entry of the list that a binder's message belongs to.
pub fn untyped_reason(message: &str) -> &'static str {
    UNTYPED.iter().find(|(pattern, _)| message.contains(pattern)).map_or("another kind", |(_, reason)| reason)
}
