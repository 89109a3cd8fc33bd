//! Pooling layers.

use super::layers::python;
use super::{Forward, Hooks, Module};
use crate::ops::{AdaptiveSize, AvgPool2dOptions, MaxPool2dOptions};
use crate::tensor::Tensor;

/// The greatest element of each window (`nn.MaxPool2d`); takes a size or [`MaxPool2dOptions`].
#[derive(Clone, Debug, Module)]
#[module(extra_repr = "settings")]
pub struct MaxPool2d {
    #[module(skip)]
    options: MaxPool2dOptions,
    hooks: Hooks,
}

impl MaxPool2d {
    /// With a window size, or options.
    pub fn new(options: impl Into<MaxPool2dOptions>) -> MaxPool2d {
        MaxPool2d { options: options.into(), hooks: Hooks::default() }
    }
    fn settings(&self) -> String {
        let o = &self.options;
        format!(
            "kernel_size={}, stride={}, padding={}, dilation={}, ceil_mode={}",
            o.kernel_size,
            o.stride.unwrap_or(o.kernel_size),
            o.padding,
            o.dilation,
            python(o.ceil_mode)
        )
    }
}

impl MaxPool2d {
    /// What [`Forward::call`] gives, without the hooks, and the flat position of each maximum in its plane
    /// (`return_indices=True`).
    #[track_caller]
    pub fn call_with_indices(&self, input: &Tensor) -> (Tensor, Tensor) {
        input.max_pool2d_with_indices(self.options)
    }
}

impl Forward for MaxPool2d {
    #[track_caller]
    fn forward(&self, input: &Tensor) -> Tensor {
        input.max_pool2d(self.options)
    }
}

/// The mean of each window (`nn.AvgPool2d`); takes a size or [`AvgPool2dOptions`].
#[derive(Clone, Debug, Module)]
#[module(extra_repr = "settings")]
pub struct AvgPool2d {
    #[module(skip)]
    options: AvgPool2dOptions,
    hooks: Hooks,
}

impl AvgPool2d {
    /// With a window size, or options.
    pub fn new(options: impl Into<AvgPool2dOptions>) -> AvgPool2d {
        AvgPool2d { options: options.into(), hooks: Hooks::default() }
    }
    fn settings(&self) -> String {
        let o = &self.options;
        format!("kernel_size={}, stride={}, padding={}", o.kernel_size, o.stride.unwrap_or(o.kernel_size), o.padding)
    }
}

impl Forward for AvgPool2d {
    #[track_caller]
    fn forward(&self, input: &Tensor) -> Tensor {
        input.avg_pool2d(self.options)
    }
}

/// The greatest element of each of evenly shared windows (`nn.AdaptiveMaxPool2d`).
///
/// ```
/// # use wgtorch::prelude::*;
/// let pool = nn::AdaptiveMaxPool2d::new((Some(3), None));
/// assert_eq!(pool.call(&randn([2, 6, 8], ())).shape(), [2, 3, 8]);
/// assert_eq!(pool.to_string(), "AdaptiveMaxPool2d(output_size=(3, None))");
/// ```
#[derive(Clone, Debug, Module)]
#[module(extra_repr = "settings")]
pub struct AdaptiveMaxPool2d {
    #[module(skip)]
    output_size: AdaptiveSize,
    hooks: Hooks,
}

/// The mean of each of evenly shared windows (`nn.AdaptiveAvgPool2d`).
#[derive(Clone, Debug, Module)]
#[module(extra_repr = "settings")]
pub struct AdaptiveAvgPool2d {
    #[module(skip)]
    output_size: AdaptiveSize,
    hooks: Hooks,
}

macro_rules! adaptive {
    ($($name:ident $method:ident;)*) => {$(
        impl $name {
            /// With an output of a height and a width; `None` keeps the input's.
            pub fn new(output_size: impl Into<AdaptiveSize>) -> $name {
                $name { output_size: output_size.into(), hooks: Hooks::default() }
            }
            fn settings(&self) -> String {
                format!("output_size={}", self.output_size)
            }
        }

        impl Forward for $name {
            #[track_caller]
            fn forward(&self, input: &Tensor) -> Tensor {
                input.$method(self.output_size)
            }
        }
    )*};
}
adaptive! {
    AdaptiveMaxPool2d adaptive_max_pool2d;
    AdaptiveAvgPool2d adaptive_avg_pool2d;
}

impl AdaptiveMaxPool2d {
    /// What [`Forward::call`] gives, without the hooks, and the flat position of each maximum in its plane
    /// (`return_indices=True`).
    #[track_caller]
    pub fn call_with_indices(&self, input: &Tensor) -> (Tensor, Tensor) {
        input.adaptive_max_pool2d_with_indices(self.output_size)
    }
}
