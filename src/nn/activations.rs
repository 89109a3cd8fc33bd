//! Activations as modules: each holds the settings of a tensor method, and prints them as PyTorch does.

use super::{Forward, Hooks, Module, parameter};
use crate::error::{Result, ensure};
use crate::ops::{
    Approximate, EluOptions, GeluOptions, HardtanhOptions, LeakyReluOptions, ShrinkOptions, SoftplusOptions, full,
};
use crate::scalar::{Scalar, python_float};
use crate::tensor::{Tensor, unwrap};

/// What `inplace=True` adds to the settings that are printed.
fn with_inplace(settings: String, inplace: bool) -> String {
    match (inplace, settings.is_empty()) {
        (false, _) => settings,
        (true, true) => "inplace=True".into(),
        (true, false) => settings + ", inplace=True",
    }
}

/// Without settings.
macro_rules! plain {
    ($($(#[$m:meta])* $name:ident $method:ident;)*) => {$(
        $(#[$m])*
        #[derive(Clone, Debug, Default, Module)]
        pub struct $name {
            hooks: Hooks,
        }

        impl $name {
            /// The module.
            pub fn new() -> $name {
                $name::default()
            }
        }

        impl Forward for $name {
            #[track_caller]
            fn forward(&self, input: &Tensor) -> Tensor {
                input.$method()
            }
        }
    )*};
}
plain! {
    /// `1 / (1 + exp(-x))` (`nn.Sigmoid`).
    Sigmoid sigmoid;
    /// The hyperbolic tangent (`nn.Tanh`).
    Tanh tanh;
    /// `log(sigmoid(x))` without overflow (`nn.LogSigmoid`).
    LogSigmoid logsigmoid;
    /// `x / (1 + |x|)` (`nn.Softsign`).
    Softsign softsign;
    /// `x - tanh(x)` (`nn.Tanhshrink`).
    Tanhshrink tanhshrink;
}

/// Without settings, but maybe in place: `true` where PyTorch prints that.
macro_rules! inplace {
    ($($(#[$m:meta])* $name:ident $method:ident $method_:ident $prints:literal;)*) => {$(
        $(#[$m])*
        #[derive(Clone, Debug, Default, Module)]
        #[module(extra_repr = "settings")]
        pub struct $name {
            inplace: bool,
            hooks: Hooks,
        }

        impl $name {
            /// Into a new tensor.
            pub fn new() -> $name {
                $name::default()
            }
            /// Over its input.
            pub fn inplace() -> $name {
                $name { inplace: true, hooks: Hooks::default() }
            }
            fn settings(&self) -> String {
                with_inplace(String::new(), self.inplace && $prints)
            }
        }

        impl Forward for $name {
            #[track_caller]
            fn forward(&self, input: &Tensor) -> Tensor {
                if self.inplace { input.$method_() } else { input.$method() }
            }
        }
    )*};
}
inplace! {
    /// `max(x, 0)` (`nn.ReLU`).
    ReLU relu relu_ true;
    /// [`ReLU`] with an upper bound of 6 (`nn.ReLU6`).
    ReLU6 relu6 relu6_ true;
    /// [`ELU`] with the constants that keep mean and variance (`nn.SELU`).
    SELU selu selu_ true;
    /// `x * sigmoid(x)` (`nn.SiLU`).
    SiLU silu silu_ true;
    /// `x * tanh(softplus(x))` (`nn.Mish`).
    Mish mish mish_ true;
    /// `x * relu6(x + 3) / 6` (`nn.Hardswish`).
    Hardswish hardswish hardswish_ false;
    /// `relu6(x + 3) / 6` (`nn.Hardsigmoid`).
    Hardsigmoid hardsigmoid hardsigmoid_ false;
}

/// With settings that have defaults.
macro_rules! with_options {
    ($($(#[$m:meta])* $name:ident($options:ty) $method:ident |$o:ident| $settings:expr;)*) => {$(
        $(#[$m])*
        #[derive(Clone, Debug, Default, Module)]
        #[module(extra_repr = "settings")]
        pub struct $name {
            #[module(skip)]
            options: $options,
            hooks: Hooks,
        }

        impl $name {
            /// With PyTorch's defaults.
            pub fn new() -> $name {
                $name::default()
            }
            /// With other settings.
            pub fn with(options: impl Into<$options>) -> $name {
                $name { options: options.into(), hooks: Hooks::default() }
            }
            fn settings(&self) -> String {
                let $o = &self.options;
                $settings
            }
        }

        impl Forward for $name {
            #[track_caller]
            fn forward(&self, input: &Tensor) -> Tensor {
                input.$method(self.options)
            }
        }
    )*};
}
with_options! {
    /// `x * Phi(x)`, exact or in the tanh form (`nn.GELU`); takes an [`Approximate`].
    GELU(GeluOptions) gelu_with |o| {
        format!("approximate='{}'", if o.approximate == Approximate::Tanh { "tanh" } else { "none" })
    };
    /// `log(1 + exp(beta x)) / beta`, linear above a threshold (`nn.Softplus`); takes `beta`, or both as a pair.
    ///
    /// ```
    /// # use wgtorch::prelude::*;
    /// assert_eq!(nn::Softplus::with((2.0, 10.0)).to_string(), "Softplus(beta=2.0, threshold=10.0)");
    /// ```
    Softplus(SoftplusOptions) softplus_with |o| {
        format!("beta={}, threshold={}", python_float(o.beta), python_float(o.threshold))
    };
    /// 0 within `lambd` of 0 (`nn.Hardshrink`); takes `lambd`.
    Hardshrink(ShrinkOptions) hardshrink_with |o| python_float(o.lambd);
    /// `lambd` closer to 0, which none crosses (`nn.Softshrink`); takes `lambd`.
    Softshrink(ShrinkOptions) softshrink_with |o| python_float(o.lambd);
}

/// With settings that have defaults, maybe in place.
macro_rules! with_options_inplace {
    ($($(#[$m:meta])* $name:ident($options:ty) $method:ident $method_:ident |$o:ident| $settings:expr;)*) => {$(
        $(#[$m])*
        #[derive(Clone, Debug, Default, Module)]
        #[module(extra_repr = "settings")]
        pub struct $name {
            #[module(skip)]
            options: $options,
            inplace: bool,
            hooks: Hooks,
        }

        impl $name {
            /// With PyTorch's defaults.
            pub fn new() -> $name {
                $name::default()
            }
            /// With other settings.
            pub fn with(options: impl Into<$options>) -> $name {
                $name { options: options.into(), inplace: false, hooks: Hooks::default() }
            }
            /// Over its input, with settings or `()`.
            pub fn inplace(options: impl Into<$options>) -> $name {
                $name { inplace: true, ..$name::with(options) }
            }
            fn settings(&self) -> String {
                let $o = &self.options;
                with_inplace($settings, self.inplace)
            }
        }

        impl Forward for $name {
            #[track_caller]
            fn forward(&self, input: &Tensor) -> Tensor {
                if self.inplace { input.$method_(self.options) } else { input.$method(self.options) }
            }
        }
    )*};
}
with_options_inplace! {
    /// `x` above 0, `alpha (exp(x) - 1)` below (`nn.ELU`); takes `alpha`.
    ///
    /// ```
    /// # use wgtorch::prelude::*;
    /// assert_eq!(nn::ELU::new().to_string(), "ELU(alpha=1.0)");
    /// assert_eq!(nn::ELU::inplace(0.5).to_string(), "ELU(alpha=0.5, inplace=True)");
    /// ```
    ELU(EluOptions) elu_with elu_with_ |o| format!("alpha={}", python_float(o.alpha));
    /// `x` above 0, `alpha (exp(x / alpha) - 1)` below (`nn.CELU`); takes `alpha`.
    CELU(EluOptions) celu_with celu_with_ |o| format!("alpha={}", python_float(o.alpha));
    /// `x` above 0, `negative_slope x` below (`nn.LeakyReLU`); takes `negative_slope`.
    LeakyReLU(LeakyReluOptions) leaky_relu_with leaky_relu_with_ |o| {
        format!("negative_slope={}", python_float(o.negative_slope))
    };
    /// Clamps to bounds (`nn.Hardtanh`); takes both as a pair.
    Hardtanh(HardtanhOptions) hardtanh_with hardtanh_with_ |o| {
        format!("min_val={}, max_val={}", python_float(o.min_val), python_float(o.max_val))
    };
}

/// `value` where an element is at most the threshold (`nn.Threshold`).
#[derive(Clone, Debug, Module)]
#[module(extra_repr = "settings")]
pub struct Threshold {
    threshold: Scalar,
    value: Scalar,
    inplace: bool,
    hooks: Hooks,
}

impl Threshold {
    /// Into a new tensor.
    pub fn new(threshold: impl Into<Scalar>, value: impl Into<Scalar>) -> Threshold {
        Threshold { threshold: threshold.into(), value: value.into(), inplace: false, hooks: Hooks::default() }
    }
    /// Over its input.
    pub fn inplace(threshold: impl Into<Scalar>, value: impl Into<Scalar>) -> Threshold {
        Threshold { inplace: true, ..Threshold::new(threshold, value) }
    }
    fn settings(&self) -> String {
        with_inplace(format!("threshold={}, value={}", self.threshold, self.value), self.inplace)
    }
}

impl Forward for Threshold {
    #[track_caller]
    fn forward(&self, input: &Tensor) -> Tensor {
        let (threshold, value) = (self.threshold, self.value);
        if self.inplace { input.threshold_(threshold, value) } else { input.threshold(threshold, value) }
    }
}

/// Leaky relu with learnt slopes: one, or one a channel (`nn.PReLU`).
///
/// ```
/// # use wgtorch::prelude::*;
/// let prelu = nn::PReLU::new(3);
/// assert_eq!(prelu.call(&full([1, 3, 2], -1.0, ())).sum().item::<f32>()?, -1.5);
/// assert_eq!(prelu.to_string(), "PReLU(num_parameters=3)");
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug, Module)]
#[module(extra_repr = "settings")]
pub struct PReLU {
    /// `[num_parameters]`
    pub weight: Tensor,
    hooks: Hooks,
}

impl PReLU {
    /// With slopes of 0.25 to start from.
    pub fn new(num_parameters: usize) -> PReLU {
        PReLU::with_init(num_parameters, 0.25)
    }
    /// With other slopes to start from.
    pub fn with_init(num_parameters: usize, init: f64) -> PReLU {
        PReLU { weight: parameter(full([num_parameters], init, ())), hooks: Hooks::default() }
    }
    fn settings(&self) -> String {
        format!("num_parameters={}", self.weight.numel())
    }
}

impl Default for PReLU {
    fn default() -> PReLU {
        PReLU::new(1)
    }
}

impl Forward for PReLU {
    #[track_caller]
    fn forward(&self, input: &Tensor) -> Tensor {
        input.prelu(&self.weight)
    }
}

/// Along a dim.
macro_rules! along {
    ($($(#[$m:meta])* $name:ident |$x:ident, $dim:ident| $e:expr;)*) => {$(
        $(#[$m])*
        #[derive(Clone, Debug, Module)]
        #[module(extra_repr = "settings")]
        pub struct $name {
            dim: isize,
            hooks: Hooks,
        }

        impl $name {
            /// Along a dim.
            pub fn new(dim: isize) -> $name {
                $name { dim, hooks: Hooks::default() }
            }
            fn settings(&self) -> String {
                format!("dim={}", self.dim)
            }
        }

        impl Forward for $name {
            #[track_caller]
            fn forward(&self, $x: &Tensor) -> Tensor {
                let $dim = self.dim;
                $e
            }
        }
    )*};
}
along! {
    /// `exp(x)` over its sum along a dim (`nn.Softmax`).
    Softmax |x, dim| x.softmax(dim, ());
    /// The logarithm of [`Softmax`] (`nn.LogSoftmax`).
    LogSoftmax |x, dim| x.log_softmax(dim, ());
    /// [`Softmax`] of `-x` (`nn.Softmin`).
    Softmin |x, dim| (-x).softmax(dim, ());
    /// The first half of a dim times the sigmoid of the second (`nn.GLU`); PyTorch's default dim is -1.
    GLU |x, dim| x.glu(dim);
}

/// [`Softmax`] over the channels at each place of `[N, C, H, W]` or `[C, H, W]` (`nn.Softmax2d`).
#[derive(Clone, Debug, Default, Module)]
pub struct Softmax2d {
    hooks: Hooks,
}

impl Softmax2d {
    /// The module.
    pub fn new() -> Softmax2d {
        Softmax2d::default()
    }
    #[track_caller]
    fn try_forward(&self, x: &Tensor) -> Result<Tensor> {
        let n = x.dim();
        ensure!(n == 3 || n == 4, Value, "Softmax2d: expected input to be 3D or 4D, got {n}D instead");
        x.checked().softmax(-3, ())
    }
}

impl Forward for Softmax2d {
    #[track_caller]
    fn forward(&self, input: &Tensor) -> Tensor {
        unwrap(self.try_forward(input))
    }
}
