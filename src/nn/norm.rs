//! Layers that normalise.

use super::layers::{factory_options, python};
use super::{Forward, Hooks, Module, parameter};
use crate::ops::{IntoSizes, LayerNormOptions, ones, zeros};
use crate::scalar::python_float;
use crate::tensor::{Tensor, TensorOptions};

/// Zero mean and unit variance over trailing dims, then weight and bias (`nn.LayerNorm`).
///
/// ```
/// # use wgtorch::prelude::*;
/// let norm = nn::LayerNorm::new([4]);
/// assert_eq!(norm.call(&randn([2, 4], ())).shape(), [2, 4]);
/// assert_eq!(norm.to_string(), "LayerNorm((4,), eps=1e-05, elementwise_affine=True)");
/// ```
#[derive(Debug, Module)]
#[module(extra_repr = "settings")]
pub struct LayerNorm {
    /// Factors, of the normalized shape.
    pub weight: Option<Tensor>,
    /// Terms, of the normalized shape.
    pub bias: Option<Tensor>,
    #[module(skip)]
    shape: Vec<usize>,
    #[module(skip)]
    eps: f64,
    hooks: Hooks,
}

/// A [`LayerNorm`] with settings.
#[derive(Clone, Debug)]
pub struct LayerNormBuilder {
    shape: Vec<usize>,
    eps: f64,
    affine: bool,
    bias: bool,
    factory: TensorOptions,
}

impl LayerNorm {
    /// Over dims of these sizes, with weight and bias.
    #[track_caller]
    pub fn new(normalized_shape: impl IntoSizes) -> LayerNorm {
        LayerNorm::options(normalized_shape).build()
    }

    /// With settings to come.
    pub fn options(normalized_shape: impl IntoSizes) -> LayerNormBuilder {
        LayerNormBuilder {
            shape: normalized_shape.into_sizes().iter().map(|&n| n.max(0) as usize).collect(),
            eps: 1e-5,
            affine: true,
            bias: true,
            factory: TensorOptions::new(),
        }
    }

    fn settings(&self) -> String {
        let sizes: Vec<String> = self.shape.iter().map(|n| n.to_string()).collect();
        let comma = if sizes.len() == 1 { "," } else { "" };
        let affine = python(self.weight.is_some());
        let eps = python_float(self.eps);
        format!("({}{comma}), eps={eps}, elementwise_affine={affine}", sizes.join(", "))
    }
}

impl LayerNormBuilder {
    /// With another term against division by zero.
    pub fn eps(mut self, eps: f64) -> Self {
        self.eps = eps;
        self
    }
    /// With or without weight and bias.
    pub fn elementwise_affine(mut self, on: bool) -> Self {
        self.affine = on;
        self
    }
    factory_options!(bias);
    /// Makes the layer: ones and zeros.
    ///
    /// # Panics
    /// If the dtype is no float, or the device cannot be opened.
    #[track_caller]
    pub fn build(self) -> LayerNorm {
        let factory = TensorOptions { requires_grad: false, ..self.factory };
        let weight = self.affine.then(|| parameter(ones(&self.shape[..], factory)));
        let bias = (self.affine && self.bias).then(|| parameter(zeros(&self.shape[..], factory)));
        LayerNorm { weight, bias, shape: self.shape, eps: self.eps, hooks: Hooks::default() }
    }
}

impl Forward for LayerNorm {
    #[track_caller]
    fn forward(&self, input: &Tensor) -> Tensor {
        let options = LayerNormOptions::new().weight(&self.weight).bias(&self.bias).eps(self.eps);
        input.layer_norm(&self.shape[..], options)
    }
}
