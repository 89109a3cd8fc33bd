//! Losses as users call them: cross entropy of every kind of target, and the regression losses. Class indices: `nll.rs`.

use super::compose::composite;
use super::nll::{cross_entropy, nll};
use crate::error::{Error, Result, bail, ensure};
use crate::ops::MaybeTensor;
use crate::tensor::{Ctx, Saves, Tensor, methods, no_grads};

/// How the losses of a batch become one number, or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reduction {
    /// One loss an element.
    None,
    /// Their mean.
    #[default]
    Mean,
    /// Their sum.
    Sum,
}

impl std::str::FromStr for Reduction {
    type Err = Error;
    fn from_str(s: &str) -> Result<Reduction> {
        match s {
            "none" => Ok(Reduction::None),
            "mean" => Ok(Reduction::Mean),
            "sum" => Ok(Reduction::Sum),
            _ => bail!(Value, "{s} is not a valid value for reduction"),
        }
    }
}

impl Reduction {
    /// Applied to losses.
    pub(super) fn of(self, losses: Tensor) -> Result<Tensor> {
        match self {
            Reduction::None => Ok(losses),
            Reduction::Mean => losses.checked().mean(),
            Reduction::Sum => losses.checked().sum(),
        }
    }

    /// The part of a gradient that falls to each of `n` losses.
    pub(super) fn share(self, g: &Tensor, n: usize) -> Result<Tensor> {
        if self == Reduction::Mean { g.checked().div(n as f64) } else { Ok(g.clone()) }
    }
}

/// What `nll_loss` and `cross_entropy` default: no class weights, `ignore_index` -100, the mean, no smoothing.
#[non_exhaustive]
#[derive(Clone, Debug)]
pub struct CrossEntropyOptions {
    /// A factor for each class.
    pub weight: Option<Tensor>,
    /// A target that counts for nothing.
    pub ignore_index: i64,
    /// What becomes of the losses.
    pub reduction: Reduction,
    /// The share of the target that is spread over all classes (`cross_entropy` only).
    pub label_smoothing: f64,
}

impl Default for CrossEntropyOptions {
    fn default() -> CrossEntropyOptions {
        CrossEntropyOptions { weight: None, ignore_index: -100, reduction: Reduction::Mean, label_smoothing: 0.0 }
    }
}

impl CrossEntropyOptions {
    /// All defaults.
    pub fn new() -> CrossEntropyOptions {
        CrossEntropyOptions::default()
    }
    /// With a factor for each class.
    pub fn weight(mut self, weight: impl Into<MaybeTensor>) -> CrossEntropyOptions {
        self.weight = weight.into().0;
        self
    }
    /// With another target that counts for nothing.
    pub fn ignore_index(mut self, index: i64) -> CrossEntropyOptions {
        self.ignore_index = index;
        self
    }
    /// With another reduction.
    pub fn reduction(mut self, reduction: Reduction) -> CrossEntropyOptions {
        self.reduction = reduction;
        self
    }
    /// With a share of the target spread over all classes.
    pub fn label_smoothing(mut self, share: f64) -> CrossEntropyOptions {
        self.label_smoothing = share;
        self
    }
}

impl From<()> for CrossEntropyOptions {
    fn from(_: ()) -> CrossEntropyOptions {
        CrossEntropyOptions::default()
    }
}
impl From<Reduction> for CrossEntropyOptions {
    fn from(reduction: Reduction) -> CrossEntropyOptions {
        CrossEntropyOptions::new().reduction(reduction)
    }
}

/// `cross_entropy` against class probabilities of the input's shape.
fn against_probabilities(x: &Tensor, target: &Tensor, o: &CrossEntropyOptions) -> Result<Tensor> {
    ensure!(
        target.dtype().is_float(),
        Runtime,
        "Expected floating point type for target with class probabilities, got {}",
        target.dtype().scalar_name()
    );
    ensure!(o.ignore_index < 0, Runtime, "ignore_index is not supported for floating point target");
    let shape = x.shape();
    let dim = if shape.len() == 1 { 0 } else { 1 };
    let classes = shape[dim];
    let log = x.checked().log_softmax(dim as isize, ())?;
    let target = match o.label_smoothing {
        0.0 => target.clone(),
        s => target.checked().mul(1.0 - s)?.checked().add(s / classes as f64)?,
    };
    let mut products = log.checked().mul(&target)?;
    if let Some(w) = &o.weight {
        products = products.checked().mul(&class_weights(w, shape.len(), dim)?)?;
    }
    match o.reduction {
        Reduction::None => products.checked().sum_dim(dim as isize, ())?.checked().neg(),
        Reduction::Sum => products.checked().sum()?.checked().neg(),
        Reduction::Mean => {
            products.checked().sum()?.checked().neg()?.checked().div((shape.numel() / classes.max(1)) as f64)
        }
    }
}

/// A weight for each class, laid along the class dim.
fn class_weights(w: &Tensor, ndim: usize, dim: usize) -> Result<Tensor> {
    let mut sizes = vec![1isize; ndim];
    sizes[dim] = -1;
    w.checked().view(sizes)
}

/// `cross_entropy` against class indices with a share of each target spread over all classes.
fn smoothed(x: &Tensor, target: &Tensor, o: &CrossEntropyOptions) -> Result<Tensor> {
    let shape = x.shape();
    let dim = if shape.len() == 1 { 0 } else { 1 };
    let log = x.checked().log_softmax(dim as isize, ())?;
    let hard = nll(&log, target, o)?;
    let spread = match &o.weight {
        Some(w) => log.checked().mul(&class_weights(w, shape.len(), dim)?)?,
        None => log.clone(),
    };
    let spread = spread.checked().sum_dim(dim as isize, ())?.checked().neg()?;
    let ignored = target.checked().eq(o.ignore_index)?;
    let spread = spread.checked().masked_fill(&ignored, 0.0)?;
    let spread = match o.reduction {
        Reduction::None => spread,
        Reduction::Sum => spread.checked().sum()?,
        Reduction::Mean => {
            let counted = match &o.weight {
                Some(w) => {
                    let safe = target.checked().masked_fill(&ignored, 0)?.checked().flatten(0)?;
                    let weights = w.checked().gather(0, &safe)?;
                    weights.checked().masked_fill(&ignored.checked().flatten(0)?, 0.0)?.checked().sum()?
                }
                None => ignored.checked().logical_not()?.checked().to(x.dtype())?.checked().sum()?,
            };
            spread.checked().sum()?.checked().div(&counted)?
        }
    };
    let s = o.label_smoothing;
    hard.checked().mul(1.0 - s)?.checked().add(&spread.checked().mul(s / shape[dim] as f64)?)
}

/// Says that a loss broadcasts, as PyTorch warns.
pub(super) fn warn_sizes(name: &str, x: &Tensor, target: &Tensor) {
    let (a, b) = (x.shape(), target.shape());
    if a != b {
        eprintln!(
            "wgtorch: {name}: Using a target size ({b}) that is different to the input size ({a}). This will likely lead to incorrect results due to broadcasting. Please ensure they have the same size."
        );
    }
}

methods! {
    /// The negative log-likelihood of class indices under log-probabilities `[N, C, ...]` (`torch.nn.functional.nll_loss`).
    ///
    /// # Panics
    /// If the sizes do not fit, or a target is no class.
    fn nll_loss(&self, target: &Tensor, options: impl Into<CrossEntropyOptions>) -> Tensor {
        nll(self.0, target, &options.into())
    }

    /// The cross entropy of logits `[N, C, ...]` (or `[C]`) against class indices, or class probabilities of their shape
    /// (`torch.nn.functional.cross_entropy`).
    ///
    /// # Panics
    /// If the sizes do not fit, or a target is no class.
    ///
    /// ```
    /// # use wgtorch::prelude::*;
    /// let loss = tensor!([[0., 0.], [0., 0.]]).cross_entropy(&tensor!([0, 1]), ());
    /// assert!((loss.item::<f32>()? - 2f32.ln()).abs() < 1e-6);
    /// # Ok::<(), Error>(())
    /// ```
    fn cross_entropy(&self, target: &Tensor, options: impl Into<CrossEntropyOptions>) -> Tensor {
        let (x, o) = (self.0, options.into());
        ensure!(
            (0.0..=1.0).contains(&o.label_smoothing),
            Runtime,
            "label_smoothing must be between 0.0 and 1.0. Got: {}",
            o.label_smoothing
        );
        ensure!(x.dim() > 0, Runtime, "input tensor should be 1D or 2D");
        if x.shape() == target.shape() {
            return against_probabilities(x, target, &o);
        }
        if o.label_smoothing > 0.0 {
            return smoothed(x, target, &o);
        }
        cross_entropy(x, target, &o)
    }

    /// The squared difference, reduced (`torch.nn.functional.mse_loss`).
    ///
    /// # Panics
    /// If the sizes do not broadcast, or the dtype is no float.
    fn mse_loss(&self, target: &Tensor, reduction: Reduction) -> Tensor {
        let x = self.0;
        warn_sizes("mse_loss", x, target);
        let common = x.dtype().promote(target.dtype());
        ensure!(common.is_float(), NotImplemented, "\"mse_cpu\" not implemented for '{}'", common.scalar_name());
        let forward = || {
            let d = x.checked().sub(target)?;
            reduction.of(d.checked().mul(&d)?)
        };
        composite("MseLossBackward0", &[x, target], Saves { inputs: 0b11, outputs: 0 }, forward, move |cx| {
            let d = cx.input(0)?.checked().sub(&cx.input(1)?)?;
            let factor = match reduction {
                Reduction::Mean => 2.0 / d.numel() as f64,
                _ => 2.0,
            };
            let g = d.checked().mul(factor)?.checked().mul(cx.g())?;
            let mut grads = no_grads(2);
            if cx.needs(1) {
                grads[1] = Some(g.checked().neg()?);
            }
            if cx.needs(0) {
                grads[0] = Some(g);
            }
            Ok(grads)
        })
    }

    /// The absolute difference, reduced (`torch.nn.functional.l1_loss`).
    ///
    /// # Panics
    /// If the sizes do not broadcast.
    fn l1_loss(&self, target: &Tensor, reduction: Reduction) -> Tensor {
        warn_sizes("l1_loss", self.0, target);
        reduction.of(self.sub(target)?.checked().abs()?)
    }
}

impl Ctx<'_> {
    /// An optional input that the node keeps where it was given.
    pub(super) fn saved(&self, input: usize) -> Result<Option<Tensor>> {
        if self.has_saved(input) { self.input(input).map(Some) } else { Ok(None) }
    }
}
