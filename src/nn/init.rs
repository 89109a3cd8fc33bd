//! Filling parameters (`torch.nn.init`). All of it runs without recording gradients, and gives the tensor back.

use crate::error::{Result, bail, ensure};
use crate::no_grad;
use crate::tensor::{Tensor, unwrap};

/// The count that keeps a variance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FanMode {
    /// Inputs of a unit: keeps the variance forward.
    #[default]
    FanIn,
    /// Outputs of a unit: keeps it backward.
    FanOut,
}

/// What follows a layer, for its gain.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Nonlinearity {
    /// Nothing, a convolution or a sigmoid: 1.
    Linear,
    /// 5/3
    Tanh,
    /// sqrt(2)
    ReLU,
    /// By its slope.
    LeakyReLU(f64),
    /// 3/4
    SELU,
}

/// The factor by which a nonlinearity changes the spread (`calculate_gain`).
pub fn calculate_gain(nonlinearity: Nonlinearity) -> f64 {
    match nonlinearity {
        Nonlinearity::Linear => 1.0,
        Nonlinearity::Tanh => 5.0 / 3.0,
        Nonlinearity::ReLU => 2f64.sqrt(),
        Nonlinearity::LeakyReLU(slope) => (2.0 / (1.0 + slope * slope)).sqrt(),
        Nonlinearity::SELU => 0.75,
    }
}

/// What the Kaiming functions default: fan-in, a leaky relu of slope 0.
#[non_exhaustive]
#[derive(Clone, Copy, Debug)]
pub struct KaimingOptions {
    /// Which count keeps the variance.
    pub mode: FanMode,
    /// What follows the layer.
    pub nonlinearity: Nonlinearity,
}

impl Default for KaimingOptions {
    fn default() -> KaimingOptions {
        KaimingOptions { mode: FanMode::FanIn, nonlinearity: Nonlinearity::LeakyReLU(0.0) }
    }
}

impl KaimingOptions {
    /// All defaults.
    pub fn new() -> KaimingOptions {
        KaimingOptions::default()
    }
    /// With the slope of the leaky relu that follows.
    pub fn a(mut self, slope: f64) -> KaimingOptions {
        self.nonlinearity = Nonlinearity::LeakyReLU(slope);
        self
    }
    /// With another count.
    pub fn mode(mut self, mode: FanMode) -> KaimingOptions {
        self.mode = mode;
        self
    }
    /// With something else that follows.
    pub fn nonlinearity(mut self, n: Nonlinearity) -> KaimingOptions {
        self.nonlinearity = n;
        self
    }
}

impl From<()> for KaimingOptions {
    fn from(_: ()) -> KaimingOptions {
        KaimingOptions::default()
    }
}

/// Inputs and outputs of a unit with these weights.
fn fans(t: &Tensor) -> Result<(usize, usize)> {
    let s = t.shape();
    ensure!(s.len() >= 2, Value, "Fan in and fan out can not be computed for tensor with fewer than 2 dimensions");
    let field: usize = s[2..].iter().product();
    Ok((s[1] * field, s[0] * field))
}

/// The standard deviation that Kaiming's rule gives.
fn kaiming(t: &Tensor, o: KaimingOptions) -> Result<f64> {
    let (fan_in, fan_out) = fans(t)?;
    let fan = if o.mode == FanMode::FanIn { fan_in } else { fan_out };
    Ok(calculate_gain(o.nonlinearity) / (fan as f64).sqrt())
}

pub(super) fn try_kaiming_uniform_(t: &Tensor, options: KaimingOptions) -> Result<Tensor> {
    if t.numel() == 0 {
        return Ok(t.clone());
    }
    let bound = 3f64.sqrt() * kaiming(t, options)?;
    no_grad(|| t.checked().uniform_(-bound, bound))
}

/// Uniform numbers that keep the variance through the layer (`kaiming_uniform_`).
///
/// # Panics
/// If the tensor has fewer than two dims.
#[track_caller]
pub fn kaiming_uniform_(t: &Tensor, options: impl Into<KaimingOptions>) -> Tensor {
    unwrap(try_kaiming_uniform_(t, options.into()))
}

/// Normal numbers that keep the variance through the layer (`kaiming_normal_`).
///
/// # Panics
/// If the tensor has fewer than two dims.
#[track_caller]
pub fn kaiming_normal_(t: &Tensor, options: impl Into<KaimingOptions>) -> Tensor {
    let std = unwrap(kaiming(t, options.into()));
    no_grad(|| t.normal_(0.0, std))
}

/// Glorot's standard deviation.
fn xavier(t: &Tensor, gain: f64) -> Result<f64> {
    let (fan_in, fan_out) = fans(t)?;
    Ok(gain * (2.0 / (fan_in + fan_out) as f64).sqrt())
}

/// Uniform numbers that keep the variance forward and backward (`xavier_uniform_`).
///
/// # Panics
/// If the tensor has fewer than two dims.
#[track_caller]
pub fn xavier_uniform_(t: &Tensor, gain: f64) -> Tensor {
    let bound = 3f64.sqrt() * unwrap(xavier(t, gain));
    no_grad(|| t.uniform_(-bound, bound))
}

/// Normal numbers that keep the variance forward and backward (`xavier_normal_`).
///
/// # Panics
/// If the tensor has fewer than two dims.
#[track_caller]
pub fn xavier_normal_(t: &Tensor, gain: f64) -> Tensor {
    let std = unwrap(xavier(t, gain));
    no_grad(|| t.normal_(0.0, std))
}

/// Uniform numbers from [a, b) (`uniform_`).
#[track_caller]
pub fn uniform_(t: &Tensor, a: f64, b: f64) -> Tensor {
    no_grad(|| t.uniform_(a, b))
}

/// Normal numbers (`normal_`).
#[track_caller]
pub fn normal_(t: &Tensor, mean: f64, std: f64) -> Tensor {
    no_grad(|| t.normal_(mean, std))
}

/// One value (`constant_`).
#[track_caller]
pub fn constant_(t: &Tensor, value: f64) -> Tensor {
    no_grad(|| t.fill_(value))
}

/// Zeros (`zeros_`).
#[track_caller]
pub fn zeros_(t: &Tensor) -> Tensor {
    constant_(t, 0.0)
}

/// Ones (`ones_`).
#[track_caller]
pub fn ones_(t: &Tensor) -> Tensor {
    constant_(t, 1.0)
}

/// The identity (`eye_`).
///
/// # Panics
/// If the tensor is no matrix.
#[track_caller]
pub fn eye_(t: &Tensor) -> Tensor {
    let fill = || -> Result<Tensor> {
        if t.dim() != 2 {
            bail!(Value, "Only tensors with 2 dimensions are supported");
        }
        t.checked().zero_()?.checked().diagonal(0, 0, 1)?.checked().fill_(1)?;
        Ok(t.clone())
    };
    unwrap(no_grad(fill))
}
