//! Layers: linear, convolution, dropout and changes of shape.

use super::{Forward, Hooks, Module, Training, functional as F, init, parameter};
use crate::error::{Error, Result, bail, ensure};
use crate::ops::{Conv2dOptions, IntoSizes, PadMode, Padding, Pair, empty};
use crate::scalar::python_float;
use crate::tensor::{Tensor, TensorOptions, unwrap};

/// A bool as Python prints it.
pub(super) fn python(b: bool) -> &'static str {
    if b { "True" } else { "False" }
}

/// New parameters drawn as PyTorch's layers draw theirs: both uniform within `1 / sqrt(fan_in)`.
fn weight_and_bias(shape: &[usize], bias: bool, options: TensorOptions) -> Result<(Tensor, Option<Tensor>)> {
    let options = TensorOptions { requires_grad: false, ..options };
    let weight = empty(shape, options);
    init::try_kaiming_uniform_(&weight, init::KaimingOptions::new().a(5f64.sqrt()))?;
    let bias = match bias {
        true => {
            let b = empty([shape[0]], options);
            let fan_in: usize = shape[1..].iter().product();
            let bound = if fan_in > 0 { 1.0 / (fan_in as f64).sqrt() } else { 0.0 };
            Some(parameter(b.checked().uniform_(-bound, bound)?))
        }
        false => None,
    };
    Ok((parameter(weight), bias))
}

/// The settings of a builder that say what its parameters are made of.
macro_rules! factory_options {
    (bias) => {
        /// With or without a bias.
        pub fn bias(mut self, on: bool) -> Self {
            self.bias = on;
            self
        }
        $crate::nn::layers::factory_options!();
    };
    () => {
        /// With parameters of another float dtype.
        pub fn dtype(mut self, dtype: $crate::DType) -> Self {
            self.factory.dtype = Some(dtype);
            self
        }
        /// With parameters on another device.
        pub fn device(mut self, device: $crate::Device) -> Self {
            self.factory.device = Some(device);
            self
        }
    };
}

pub(super) use factory_options;

/// `x @ weight^T + bias` (`nn.Linear`).
///
/// ```
/// # use wgtorch::prelude::*;
/// let fc = Linear::new(20, 30);
/// assert_eq!(fc.call(&randn([128, 20], ())).shape(), [128, 30]);
/// assert_eq!(fc.to_string(), "Linear(in_features=20, out_features=30, bias=True)");
/// ```
#[derive(Debug, Module)]
#[module(extra_repr = "settings")]
pub struct Linear {
    /// `[out_features, in_features]`
    pub weight: Tensor,
    /// `[out_features]`
    pub bias: Option<Tensor>,
    hooks: Hooks,
}

/// A [`Linear`] with settings: parameters are drawn when all are known.
#[derive(Clone, Debug)]
pub struct LinearBuilder {
    features: [usize; 2],
    bias: bool,
    factory: TensorOptions,
}

impl Linear {
    /// With a bias.
    #[track_caller]
    pub fn new(in_features: usize, out_features: usize) -> Linear {
        Linear::options(in_features, out_features).build()
    }
    /// With settings to come.
    pub fn options(in_features: usize, out_features: usize) -> LinearBuilder {
        LinearBuilder { features: [in_features, out_features], bias: true, factory: TensorOptions::new() }
    }
    fn settings(&self) -> String {
        let s = self.weight.shape();
        format!("in_features={}, out_features={}, bias={}", s[1], s[0], python(self.bias.is_some()))
    }
}

impl LinearBuilder {
    factory_options!(bias);
    /// Draws the parameters.
    ///
    /// # Panics
    /// If the dtype is no float, or the device cannot be opened.
    #[track_caller]
    pub fn build(self) -> Linear {
        let [i, o] = self.features;
        let (weight, bias) = unwrap(weight_and_bias(&[o, i], self.bias, self.factory));
        Linear { weight, bias, hooks: Hooks::default() }
    }
}

impl Forward for Linear {
    #[track_caller]
    fn forward(&self, input: &Tensor) -> Tensor {
        input.linear(&self.weight, &self.bias)
    }
}

/// What a convolution reads beyond the edges of its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PaddingMode {
    /// Zeros.
    Zeros,
    /// The input mirrored, without the border itself.
    Reflect,
    /// The border, again and again.
    Replicate,
    /// The input's other end.
    Circular,
}

impl PaddingMode {
    fn pad(self) -> PadMode {
        match self {
            PaddingMode::Zeros => PadMode::Constant,
            PaddingMode::Reflect => PadMode::Reflect,
            PaddingMode::Replicate => PadMode::Replicate,
            PaddingMode::Circular => PadMode::Circular,
        }
    }
}

impl std::str::FromStr for PaddingMode {
    type Err = Error;
    /// PyTorch's names: `"zeros"`, `"reflect"`, `"replicate"`, `"circular"`.
    fn from_str(s: &str) -> Result<PaddingMode> {
        Ok(match s {
            "zeros" => PaddingMode::Zeros,
            "reflect" => PaddingMode::Reflect,
            "replicate" => PaddingMode::Replicate,
            "circular" => PaddingMode::Circular,
            _ => bail!(
                Value,
                "padding_mode must be one of {{'zeros', 'reflect', 'replicate', 'circular'}}, but got padding_mode='{s}'"
            ),
        })
    }
}

/// 2-D cross-correlation with learned weights (`nn.Conv2d`).
///
/// ```
/// # use wgtorch::prelude::*;
/// let conv = Conv2d::options(4, 8, 3).stride(2).padding(1).groups(2).build();
/// assert_eq!(conv.call(&randn([1, 4, 8, 8], ())).shape(), [1, 8, 4, 4]);
/// assert_eq!(conv.to_string(), "Conv2d(4, 8, kernel_size=(3, 3), stride=(2, 2), padding=(1, 1), groups=2)");
/// ```
#[derive(Debug, Module)]
#[module(extra_repr = "settings")]
pub struct Conv2d {
    /// `[out_channels, in_channels / groups, kH, kW]`
    pub weight: Tensor,
    /// `[out_channels]`
    pub bias: Option<Tensor>,
    stride: Pair,
    padding: Padding,
    #[module(skip)]
    padding_mode: PaddingMode,
    dilation: Pair,
    groups: usize,
    hooks: Hooks,
}

/// A [`Conv2d`] with settings: parameters are drawn when all are known.
#[derive(Clone, Debug)]
pub struct Conv2dBuilder {
    channels: [usize; 2],
    kernel_size: Pair,
    stride: Pair,
    padding: Padding,
    padding_mode: PaddingMode,
    dilation: Pair,
    groups: usize,
    bias: bool,
    factory: TensorOptions,
}

impl Conv2d {
    /// Stride 1, no padding, a bias.
    #[track_caller]
    pub fn new(in_channels: usize, out_channels: usize, kernel_size: impl Into<Pair>) -> Conv2d {
        Conv2d::options(in_channels, out_channels, kernel_size).build()
    }
    /// With settings to come.
    pub fn options(in_channels: usize, out_channels: usize, kernel_size: impl Into<Pair>) -> Conv2dBuilder {
        Conv2dBuilder {
            channels: [in_channels, out_channels],
            kernel_size: kernel_size.into(),
            stride: 1.into(),
            padding: 0.into(),
            padding_mode: PaddingMode::Zeros,
            dilation: 1.into(),
            groups: 1,
            bias: true,
            factory: TensorOptions::new(),
        }
    }
    fn settings(&self) -> String {
        let s = self.weight.shape();
        let kernel = Pair::from([s[2], s[3]]);
        let mut text =
            format!("{}, {}, kernel_size={kernel}, stride={}", s[1] * self.groups, s[0], self.stride.as_tuple());
        match self.padding {
            Padding::Size(p) if p == 0.into() => {}
            Padding::Size(p) => text += &format!(", padding={}", p.as_tuple()),
            Padding::Same => text += ", padding=same",
            Padding::Valid => text += ", padding=valid",
        }
        if self.dilation != 1.into() {
            text += &format!(", dilation={}", self.dilation.as_tuple());
        }
        if self.groups != 1 {
            text += &format!(", groups={}", self.groups);
        }
        if self.bias.is_none() {
            text += ", bias=False";
        }
        if self.padding_mode != PaddingMode::Zeros {
            text += &format!(", padding_mode={}", format!("{:?}", self.padding_mode).to_lowercase());
        }
        text
    }

    /// What is padded before and after the last dim and the one before it; an odd number goes to the end.
    fn sides(&self) -> [isize; 4] {
        let shape = self.weight.shape();
        let [[top, bottom], [left, right]] = [0, 1].map(|d| match self.padding {
            Padding::Size(p) => [p.hw[d] as isize; 2],
            Padding::Valid => [0, 0],
            Padding::Same => {
                let all = self.dilation.hw[d] as isize * (shape[2 + d] as isize - 1);
                [all / 2, all - all / 2]
            }
        });
        [left, right, top, bottom]
    }
}

impl Conv2dBuilder {
    factory_options!(bias);
    /// With a step between windows.
    pub fn stride(mut self, stride: impl Into<Pair>) -> Self {
        self.stride = stride.into();
        self
    }
    /// With cells around the input: numbers, `"same"` or `"valid"`.
    pub fn padding(mut self, padding: impl Into<Padding>) -> Self {
        self.padding = padding.into();
        self
    }
    /// With something else than zeros around the input.
    pub fn padding_mode(mut self, mode: PaddingMode) -> Self {
        self.padding_mode = mode;
        self
    }
    /// With a distance between taps.
    pub fn dilation(mut self, dilation: impl Into<Pair>) -> Self {
        self.dilation = dilation.into();
        self
    }
    /// With groups of channels that do not see each other.
    pub fn groups(mut self, groups: usize) -> Self {
        self.groups = groups;
        self
    }

    fn try_build(self) -> Result<Conv2d> {
        let [i, o] = self.channels;
        ensure!(self.groups > 0, Value, "groups must be a positive integer");
        ensure!(i.is_multiple_of(self.groups), Value, "in_channels must be divisible by groups");
        ensure!(o.is_multiple_of(self.groups), Value, "out_channels must be divisible by groups");
        let [kh, kw] = self.kernel_size.hw;
        ensure!(
            kh > 0 && kw > 0,
            Runtime,
            "Trying to create tensor with negative dimension in kernel_size {}",
            self.kernel_size
        );
        ensure!(
            self.padding != Padding::Same || self.stride == 1.into(),
            Value,
            "padding='same' is not supported for strided convolutions"
        );
        let shape = [o, i / self.groups, kh as usize, kw as usize];
        let (weight, bias) = weight_and_bias(&shape, self.bias, self.factory)?;
        let (stride, padding, padding_mode) = (self.stride, self.padding, self.padding_mode);
        let (dilation, groups) = (self.dilation, self.groups);
        Ok(Conv2d { weight, bias, stride, padding, padding_mode, dilation, groups, hooks: Hooks::default() })
    }

    /// Draws the parameters.
    ///
    /// # Panics
    /// If the settings contradict each other, or the device cannot be opened.
    #[track_caller]
    pub fn build(self) -> Conv2d {
        unwrap(self.try_build())
    }
}

impl Forward for Conv2d {
    #[track_caller]
    fn forward(&self, input: &Tensor) -> Tensor {
        let options = Conv2dOptions::new().bias(&self.bias).stride(self.stride);
        let options = options.dilation(self.dilation).groups(self.groups as i64);
        if self.padding_mode == PaddingMode::Zeros {
            return input.conv2d(&self.weight, options.padding(self.padding));
        }
        input.pad(&self.sides()[..], self.padding_mode.pad()).conv2d(&self.weight, options)
    }
}

/// Dims from `start_dim` to `end_dim` as one (`nn.Flatten`).
#[derive(Debug, Module)]
#[module(extra_repr = "settings")]
pub struct Flatten {
    start_dim: isize,
    end_dim: isize,
    hooks: Hooks,
}

impl Flatten {
    /// All dims but the first.
    pub fn new() -> Flatten {
        Flatten::dims(1, -1)
    }
    /// Some dims.
    pub fn dims(start_dim: isize, end_dim: isize) -> Flatten {
        Flatten { start_dim, end_dim, hooks: Hooks::default() }
    }
    fn settings(&self) -> String {
        format!("start_dim={}, end_dim={}", self.start_dim, self.end_dim)
    }
}

impl Default for Flatten {
    fn default() -> Flatten {
        Flatten::new()
    }
}

impl Forward for Flatten {
    #[track_caller]
    fn forward(&self, input: &Tensor) -> Tensor {
        input.flatten_dims(self.start_dim, self.end_dim)
    }
}

/// A dim split into several, one of whose sizes may be -1 (`nn.Unflatten`).
///
/// ```
/// # use wgtorch::prelude::*;
/// let unflatten = nn::Unflatten::new(1, [2, 5]);
/// assert_eq!(unflatten.call(&zeros([3, 10], ())).shape(), [3, 2, 5]);
/// assert_eq!(unflatten.to_string(), "Unflatten(dim=1, unflattened_size=(2, 5))");
/// ```
#[derive(Clone, Debug, Module)]
#[module(extra_repr = "settings")]
pub struct Unflatten {
    dim: isize,
    #[module(skip)]
    sizes: Vec<isize>,
    hooks: Hooks,
}

impl Unflatten {
    /// A dim, and what it becomes.
    pub fn new(dim: isize, unflattened_size: impl IntoSizes) -> Unflatten {
        Unflatten { dim, sizes: unflattened_size.into_sizes(), hooks: Hooks::default() }
    }
    fn settings(&self) -> String {
        let sizes: Vec<String> = self.sizes.iter().map(isize::to_string).collect();
        let end = if sizes.len() == 1 { "," } else { "" };
        format!("dim={}, unflattened_size=({}{end})", self.dim, sizes.join(", "))
    }
}

impl Forward for Unflatten {
    #[track_caller]
    fn forward(&self, input: &Tensor) -> Tensor {
        input.unflatten(self.dim, &self.sizes)
    }
}

/// Zeros elements with probability `p` while training, and scales the others by `1 / (1 - p)` (`nn.Dropout`).
#[derive(Debug, Module)]
#[module(extra_repr = "settings")]
pub struct Dropout {
    p: f64,
    training: Training,
    hooks: Hooks,
}

impl Dropout {
    /// With a probability.
    ///
    /// # Panics
    /// If it is none.
    #[track_caller]
    pub fn new(p: f64) -> Dropout {
        assert!((0.0..=1.0).contains(&p), "dropout probability has to be between 0 and 1, but got {p}");
        Dropout { p, training: Training::default(), hooks: Hooks::default() }
    }
    fn settings(&self) -> String {
        format!("p={}, inplace=False", python_float(self.p))
    }
}

impl Forward for Dropout {
    #[track_caller]
    fn forward(&self, input: &Tensor) -> Tensor {
        F::dropout(input, self.p, self.training.is_on())
    }
}
