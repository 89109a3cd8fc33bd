//! A table of vectors that indices look up.

use super::layers::factory_options;
use super::{Forward, Hooks, Module, init, parameter};
use crate::error::{Result, ensure};
use crate::ops::{EmbeddingOptions, empty};
use crate::scalar::python_float;
use crate::tensor::{Tensor, TensorOptions, unwrap};

/// Rows of a table by index (`nn.Embedding`); drawn from N(0, 1).
///
/// ```
/// # use wgtorch::prelude::*;
/// let words = nn::Embedding::new(10, 3);
/// assert_eq!(words.call(&tensor!([[1, 2], [4, 5]])).shape(), [2, 2, 3]);
/// assert_eq!(words.to_string(), "Embedding(10, 3)");
/// ```
#[derive(Debug, Module)]
#[module(extra_repr = "settings")]
pub struct Embedding {
    /// `[num_embeddings, embedding_dim]`
    pub weight: Tensor,
    #[module(skip)]
    options: EmbeddingOptions,
    hooks: Hooks,
}

/// An [`Embedding`] with settings: the table is drawn when all are known.
#[derive(Clone, Debug)]
pub struct EmbeddingBuilder {
    sizes: [usize; 2],
    options: EmbeddingOptions,
    factory: TensorOptions,
}

impl Embedding {
    /// A table of so many vectors of a width.
    #[track_caller]
    pub fn new(num_embeddings: usize, embedding_dim: usize) -> Embedding {
        Embedding::options(num_embeddings, embedding_dim).build()
    }

    /// With settings to come.
    pub fn options(num_embeddings: usize, embedding_dim: usize) -> EmbeddingBuilder {
        EmbeddingBuilder {
            sizes: [num_embeddings, embedding_dim],
            options: EmbeddingOptions::new(),
            factory: TensorOptions::new(),
        }
    }

    /// A table that is there already (`Embedding.from_pretrained`); not trained if `freeze`.
    ///
    /// # Errors
    /// If it is not two-dimensional.
    pub fn from_pretrained(weight: &Tensor, freeze: bool) -> Result<Embedding> {
        ensure!(weight.dim() == 2, Value, "Embeddings parameter is expected to be 2-dimensional");
        let weight = parameter(weight.detach());
        weight.requires_grad_(!freeze);
        Ok(Embedding { weight, options: EmbeddingOptions::new(), hooks: Hooks::default() })
    }

    fn settings(&self) -> String {
        let s = self.weight.shape();
        let mut text = format!("{}, {}", s[0], s[1]);
        if let Some(row) = self.options.padding_idx {
            text += &format!(", padding_idx={row}");
        }
        if let Some(norm) = self.options.max_norm {
            text += &format!(", max_norm={}", python_float(norm));
        }
        if let Some(p) = self.options.norm_type.filter(|&p| p != 2.0) {
            text += &format!(", norm_type={}", python_float(p));
        }
        if self.options.scale_grad_by_freq {
            text += ", scale_grad_by_freq=True";
        }
        text
    }
}

impl EmbeddingBuilder {
    /// With a row of zeros that has no gradient.
    pub fn padding_idx(mut self, row: i64) -> Self {
        self.options = self.options.padding_idx(row);
        self
    }
    /// With rows no longer than this.
    pub fn max_norm(mut self, norm: f64) -> Self {
        self.options = self.options.max_norm(norm);
        self
    }
    /// With another norm than 2.
    pub fn norm_type(mut self, p: f64) -> Self {
        self.options = self.options.norm_type(p);
        self
    }
    /// With gradients by the mean over the reads of a row.
    pub fn scale_grad_by_freq(mut self, on: bool) -> Self {
        self.options = self.options.scale_grad_by_freq(on);
        self
    }
    factory_options!();
    /// Draws the table.
    ///
    /// # Panics
    /// If the dtype is no float, the device cannot be opened, or the padding row does not exist.
    #[track_caller]
    pub fn build(self) -> Embedding {
        unwrap(self.try_build())
    }

    fn try_build(self) -> Result<Embedding> {
        let mut options = self.options;
        let rows = self.sizes[0] as i64;
        if let Some(row) = options.padding_idx {
            ensure!((-rows..rows).contains(&row), Value, "Padding_idx must be within num_embeddings");
            options.padding_idx = Some(if row < 0 { row + rows } else { row });
        }
        let weight = empty(self.sizes, TensorOptions { requires_grad: false, ..self.factory });
        init::normal_(&weight, 0.0, 1.0);
        if let Some(row) = options.padding_idx {
            weight.checked().select(0, row as isize)?.checked().zero_()?;
        }
        Ok(Embedding { weight: parameter(weight), options, hooks: Hooks::default() })
    }
}

impl Forward for Embedding {
    #[track_caller]
    fn forward(&self, input: &Tensor) -> Tensor {
        input.embedding(&self.weight, self.options)
    }
}
