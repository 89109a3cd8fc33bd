//! The cross entropy of two classes, from probabilities and from logits.

use super::MaybeTensor;
use super::compose::composite;
use super::loss::Reduction;
use crate::error::{Result, ensure};
use crate::tensor::{Saves, Tensor, grad_enabled, methods, no_grads};

/// What the two-class losses default: no weights, the mean.
#[non_exhaustive]
#[derive(Clone, Debug, Default)]
pub struct BCEOptions {
    /// A factor for each loss, broadcast to them.
    pub weight: Option<Tensor>,
    /// A factor for each positive target ([`Tensor::binary_cross_entropy_with_logits`] only).
    pub pos_weight: Option<Tensor>,
    /// What becomes of the losses.
    pub reduction: Reduction,
}

impl BCEOptions {
    /// All defaults.
    pub fn new() -> BCEOptions {
        BCEOptions::default()
    }
    /// With a factor for each loss.
    pub fn weight(mut self, weight: impl Into<MaybeTensor>) -> BCEOptions {
        self.weight = weight.into().0;
        self
    }
    /// With a factor for each positive target.
    pub fn pos_weight(mut self, pos_weight: impl Into<MaybeTensor>) -> BCEOptions {
        self.pos_weight = pos_weight.into().0;
        self
    }
    /// With another reduction.
    pub fn reduction(mut self, reduction: Reduction) -> BCEOptions {
        self.reduction = reduction;
        self
    }
}

impl From<()> for BCEOptions {
    fn from(_: ()) -> BCEOptions {
        BCEOptions::default()
    }
}
impl From<Reduction> for BCEOptions {
    fn from(reduction: Reduction) -> BCEOptions {
        BCEOptions::new().reduction(reduction)
    }
}

/// Weights have no derivative.
fn constant(op: &str, name: &str, weight: &Option<Tensor>) -> Result<()> {
    ensure!(
        !(grad_enabled() && weight.as_ref().is_some_and(|w| w.requires_grad())),
        Runtime,
        "The function '{op}' is not differentiable with respect to argument '{name}'. This input cannot have requires_grad True."
    );
    Ok(())
}

fn times(x: Tensor, factor: Option<&Tensor>) -> Result<Tensor> {
    factor.map_or(Ok(x.clone()), |f| x.checked().mul(f))
}

/// Inputs of a node: input, target and the weights that are there, with the places of those.
fn inputs<'a>(x: &'a Tensor, target: &'a Tensor, o: &'a BCEOptions) -> (Vec<&'a Tensor>, [Option<usize>; 2]) {
    let mut all = vec![x, target];
    let at = [&o.weight, &o.pos_weight].map(|w| {
        w.as_ref().map(|w| {
            all.push(w);
            all.len() - 1
        })
    });
    (all, at)
}

/// From probabilities; logarithms end at -100.
fn from_probabilities(x: &Tensor, target: &Tensor, o: &BCEOptions) -> Result<Tensor> {
    let reduction = o.reduction;
    let forward = || {
        let low = |t: Tensor| t.checked().clamp_min(-100.0);
        let negative = target.checked().sub(1.0)?.checked().mul(low(x.checked().neg()?.checked().log1p()?)?)?;
        let losses = negative.checked().sub(target.checked().mul(low(x.checked().log()?)?)?)?;
        reduction.of(times(losses, o.weight.as_ref())?)
    };
    let (ins, at) = inputs(x, target, o);
    let saves = Saves { inputs: 0b111, outputs: 0 };
    composite("BinaryCrossEntropyBackward0", &ins, saves, forward, move |cx| {
        let (x, target) = (cx.input(0)?, cx.input(1)?);
        let weight = at[0].map(|i| cx.input(i)).transpose()?;
        let g = times(reduction.share(cx.g(), x.numel())?, weight.as_ref())?;
        let mut grads = no_grads(2 + at.iter().flatten().count());
        if cx.needs(0) {
            let spread = x.checked().rsub(1.0)?.checked().mul(&x)?.checked().clamp_min(1e-12)?;
            grads[0] = Some(g.checked().mul(x.checked().sub(&target)?)?.checked().div(spread)?);
        }
        if cx.needs(1) {
            let odds = x.checked().neg()?.checked().log1p()?.checked().sub(x.checked().log()?)?;
            grads[1] = Some(g.checked().mul(odds)?);
        }
        Ok(grads)
    })
}

/// From logits: `(1 - t) x - (1 + (p - 1) t) log(sigmoid(x))`.
fn from_logits(x: &Tensor, target: &Tensor, o: &BCEOptions) -> Result<Tensor> {
    let reduction = o.reduction;
    let forward = || {
        let mut log = x.checked().logsigmoid()?;
        if let Some(p) = &o.pos_weight {
            log = p.checked().sub(1.0)?.checked().mul(target)?.checked().add(1.0)?.checked().mul(log)?;
        }
        let losses = target.checked().rsub(1.0)?.checked().mul(x)?.checked().sub(log)?;
        reduction.of(times(losses, o.weight.as_ref())?)
    };
    let (ins, at) = inputs(x, target, o);
    let saves = Saves { inputs: 0b1111, outputs: 0 };
    composite("BinaryCrossEntropyWithLogitsBackward0", &ins, saves, forward, move |cx| {
        let (x, target) = (cx.input(0)?, cx.input(1)?);
        let [weight, positive] = at.map(|i| i.map(|i| cx.input(i)).transpose());
        let (weight, positive) = (weight?, positive?);
        let g = times(reduction.share(cx.g(), x.numel())?, weight.as_ref())?;
        let mut grads = no_grads(2 + at.iter().flatten().count());
        if cx.needs(0) {
            let sigmoid = x.checked().sigmoid()?;
            let slope = match &positive {
                Some(p) => {
                    let t = p.checked().mul(&target)?;
                    t.checked().add(1.0)?.checked().sub(&target)?.checked().mul(sigmoid)?.checked().sub(t)?
                }
                None => sigmoid.checked().sub(&target)?,
            };
            grads[0] = Some(slope.checked().mul(&g)?);
        }
        if cx.needs(1) {
            let slope = match &positive {
                Some(p) => {
                    let log = p.checked().mul(x.checked().logsigmoid()?)?;
                    x.checked().neg()?.checked().logsigmoid()?.checked().sub(log)?
                }
                None => x.checked().neg()?,
            };
            grads[1] = Some(slope.checked().mul(&g)?);
        }
        Ok(grads)
    })
}

methods! {
    /// The cross entropy of probabilities against targets between 0 and 1 (`torch.nn.functional.binary_cross_entropy`).
    /// Waits for the input, to check it; [`Tensor::binary_cross_entropy_with_logits`] does not, and is more accurate.
    ///
    /// # Panics
    /// If the sizes or dtypes differ, or an element of the input is no probability.
    fn binary_cross_entropy(&self, target: &Tensor, options: impl Into<BCEOptions>) -> Tensor {
        let (x, mut o) = (self.0, options.into());
        // only the form over logits has one
        o.pos_weight = None;
        let op = "binary_cross_entropy";
        ensure!(
            x.shape() == target.shape(),
            Value,
            "Using a target size ({}) that is different to the input size ({}) is deprecated. Please ensure they have the same size.",
            target.shape(),
            x.shape()
        );
        constant(op, "weight", &o.weight)?;
        ensure!(x.dtype().is_float(), NotImplemented, "\"{op}\" not implemented for '{}'", x.dtype().scalar_name());
        for other in std::iter::once(target).chain(&o.weight) {
            let (found, expected) = (other.dtype().scalar_name(), x.dtype().scalar_name());
            ensure!(other.dtype() == x.dtype(), Runtime, "Found dtype {found} but expected {expected}");
        }
        let inside = self.ge(0.0)?.checked().logical_and(self.le(1.0)?)?.checked().all()?;
        ensure!(inside.item::<bool>()?, Runtime, "all elements of input should be between 0 and 1");
        from_probabilities(x, target, &o)
    }

    /// The cross entropy of `sigmoid(x)` against targets between 0 and 1, without overflow
    /// (`torch.nn.functional.binary_cross_entropy_with_logits`).
    ///
    /// # Panics
    /// If the sizes differ, or the dtype is no float.
    fn binary_cross_entropy_with_logits(&self, target: &Tensor, options: impl Into<BCEOptions>) -> Tensor {
        let (x, o) = (self.0, options.into());
        let op = "binary_cross_entropy_with_logits";
        ensure!(
            x.shape() == target.shape(),
            Value,
            "Target size ({}) must be the same as input size ({})",
            target.shape(),
            x.shape()
        );
        constant(op, "weight", &o.weight)?;
        constant(op, "pos_weight", &o.pos_weight)?;
        ensure!(
            x.dtype().is_float(),
            NotImplemented,
            "\"log_sigmoid_cpu\" not implemented for '{}'",
            x.dtype().scalar_name()
        );
        from_logits(x, target, &o)
    }
}
