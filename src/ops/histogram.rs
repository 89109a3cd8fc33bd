//! How many elements lie where: counts of integers, and histograms.

use super::pointwise::select as choose;
use super::search::SearchOptions;
use crate::dtype::DType;
use crate::error::{Result, ensure};
use crate::scalar::Scalar;
use crate::tensor::{In, Tensor, methods, to_dtype};

fn bincount(t: &Tensor, weights: Option<&Tensor>, minlength: usize) -> Result<Tensor> {
    ensure!(t.dtype().is_int(), NotImplemented, "\"bincount_cpu\" not implemented for '{}'", t.dtype().scalar_name());
    ensure!(t.dim() == 1, Runtime, "bincount only supports 1-d non-negative integral inputs.");
    let x = to_dtype(t, DType::I64);
    let bounds = if x.numel() == 0 { None } else { Some(x.checked().aminmax()?) };
    let (least, most) = match &bounds {
        Some((a, b)) => (a.item::<i64>()?, b.item::<i64>()?),
        None => (0, -1),
    };
    ensure!(least >= 0, Runtime, "bincount only supports 1-d non-negative integral inputs.");
    let n = minlength.max((most + 1) as usize);
    let ones;
    let w = match weights {
        Some(w) => {
            ensure!(
                w.shape() == x.shape(),
                Runtime,
                "weights should be 1-d and have the same length as input, but got input of size {:?} and weights of size {:?}",
                &x.shape()[..],
                &w.shape()[..]
            );
            ones = if w.dtype() == DType::F32 { w.detach() } else { to_dtype(&w.detach(), DType::F64) };
            &ones
        }
        None => {
            ones = Tensor::constant(Scalar::Int(1), &x.shape(), DType::I64, x.device());
            &ones
        }
    };
    Tensor::constant(Scalar::Int(0), &[n], w.dtype(), x.device()).checked().index_add(0, &x, w, 1)
}

/// Bounds that hold something between them: those given, else those of the data, `margin` apart from the one value that there is.
fn bounds(x: &Tensor, (low, high): (f64, f64), margin: f64, name: &str) -> Result<(f64, f64)> {
    let (mut a, mut b) = (low, high);
    if a == b && x.numel() > 0 {
        let (least, most) = x.checked().aminmax()?;
        (a, b) = (least.checked().to(DType::F64)?.item()?, most.checked().to(DType::F64)?.item()?);
    }
    if a == b {
        (a, b) = (a - margin, b + margin);
    }
    ensure!(a.is_finite() && b.is_finite(), Runtime, "{name}: range of [{a}, {b}] is not finite");
    ensure!(a < b, Runtime, "{name}: max must be larger than min");
    Ok((a, b))
}

fn check_float(t: &Tensor) -> Result<()> {
    ensure!(
        matches!(t.dtype(), DType::F32 | DType::F64),
        NotImplemented,
        "\"histogram_cpu\" not implemented for '{}'",
        t.dtype().scalar_name()
    );
    Ok(())
}

/// Sums of weights (or ones) by bin; what lies in no bin has the number `bins`.
fn sums(bin: &Tensor, bins: usize, weights: &Tensor) -> Result<Tensor> {
    let zeros = Tensor::constant(Scalar::Int(0), &[bins + 1], weights.dtype(), bin.device());
    zeros.checked().index_add(0, bin, weights, 1)?.checked().narrow(0, 0, bins)?.checked().copy()
}

fn histc(t: &Tensor, bins: usize, min: f64, max: f64) -> Result<Tensor> {
    check_float(t)?;
    ensure!(bins > 0, Runtime, "torch.histogram(): bins must be > 0, but got {bins} for dimension 0");
    let x = t.detach().checked().reshape(-1)?;
    let (a, b) = bounds(&x, (min, max), 1.0, "histc")?;
    let inside = x.checked().ge(a)?.checked().logical_and(&x.checked().le(b)?)?;
    let place = x.checked().sub(a)?.checked().div(b - a)?.checked().mul(bins as i64)?;
    let place = place.checked().clamp(0, bins as i64 - 1)?;
    let outside = Tensor::constant(Scalar::Int(bins as i64), &[], DType::I64, x.device());
    let bin = choose(&inside, In::T(&to_dtype(&place, DType::I64)), In::T(&outside))?;
    sums(&bin, bins, &Tensor::constant(Scalar::Int(1), &x.shape(), x.dtype(), x.device()))
}

/// The bins of a histogram: their number, or their edges.
#[derive(Clone, Debug)]
pub enum Bins {
    /// So many of equal width.
    Count(usize),
    /// Between these edges, in order.
    Edges(Tensor),
}
impl From<usize> for Bins {
    fn from(n: usize) -> Bins {
        Bins::Count(n)
    }
}
impl From<&Tensor> for Bins {
    fn from(edges: &Tensor) -> Bins {
        Bins::Edges(edges.clone())
    }
}

/// Options of [`Tensor::histogram`].
#[non_exhaustive]
#[derive(Clone, Debug, Default)]
pub struct HistogramOptions {
    /// Where bins of equal width start and end; the data's extrema if None.
    pub range: Option<(f64, f64)>,
    /// What each element counts, 1 if None.
    pub weight: Option<Tensor>,
    /// A density, whose integral is 1.
    pub density: bool,
}

impl HistogramOptions {
    /// Over the data's range, unweighted counts.
    pub fn new() -> HistogramOptions {
        HistogramOptions::default()
    }
    /// Where bins of equal width start and end.
    pub fn range(mut self, low: f64, high: f64) -> HistogramOptions {
        self.range = Some((low, high));
        self
    }
    /// What each element counts.
    pub fn weight(mut self, weight: impl Into<super::MaybeTensor>) -> HistogramOptions {
        self.weight = weight.into().0;
        self
    }
    /// A density, whose integral is 1.
    pub fn density(mut self, on: bool) -> HistogramOptions {
        self.density = on;
        self
    }
}
impl From<()> for HistogramOptions {
    fn from(_: ()) -> HistogramOptions {
        HistogramOptions::new()
    }
}

fn histogram(t: &Tensor, bins: Bins, o: HistogramOptions) -> Result<(Tensor, Tensor)> {
    check_float(t)?;
    let x = t.detach().checked().reshape(-1)?;
    let edges = match bins {
        Bins::Edges(e) => {
            ensure!(
                e.dtype() == t.dtype(),
                Runtime,
                "torch.histogram(): input tensor and bins tensors should have the same dtype, but got input with dtype {} and bins for dimension 0 with dtype {}",
                t.dtype().scalar_name(),
                e.dtype().scalar_name()
            );
            ensure!(
                e.dim() == 1 && e.numel() > 0,
                Runtime,
                "torch.histogram(): bins tensor should have one dimension and at least 1 element"
            );
            e
        }
        Bins::Count(n) => {
            ensure!(n > 0, Runtime, "torch.histogram(): bins must be > 0, but got {n} for dimension 0");
            // of nothing, the bins are those of 0 to 1
            let start = if x.numel() == 0 { (0.0, 1.0) } else { (0.0, 0.0) };
            let (a, b) = bounds(&x, o.range.unwrap_or(start), 0.5, "torch.histogram()")?;
            super::linspace(a, b, n + 1, crate::TensorOptions::new().dtype(t.dtype()).device(t.device()))
        }
    };
    let n = edges.numel() - 1;
    let weights = match &o.weight {
        Some(w) => {
            ensure!(
                w.shape() == t.shape(),
                Runtime,
                "torch.histogram(): if weight tensor is provided it should have the same shape as the input tensor excluding its innermost dimension, but got input with shape {:?} and weight with shape {:?}",
                &t.shape()[..],
                &w.shape()[..]
            );
            ensure!(
                w.dtype() == t.dtype(),
                Runtime,
                "torch.histogram(): if weight tensor is provided, input tensor and weight tensor should have the same dtype, but got input({}), and weight({})",
                t.dtype().scalar_name(),
                w.dtype().scalar_name()
            );
            w.detach().checked().reshape(-1)?
        }
        None => Tensor::constant(Scalar::Int(1), &x.shape(), x.dtype(), x.device()),
    };
    // the place after equals, less one; the last edge belongs to the last bin, and what lies before the first to none
    let place = edges.checked().searchsorted(&x, SearchOptions::new().right(true))?.checked().sub(1)?;
    let last = edges.checked().select(0, -1)?;
    let place = choose(&x.checked().eq(&last)?, In::S(Scalar::Int(n as i64 - 1)), In::T(&place))?;
    let none = place.checked().lt(0)?.checked().logical_or(&x.checked().isnan()?)?;
    let place = choose(&none, In::S(Scalar::Int(n as i64)), In::T(&place))?;
    let mut hist = sums(&place, n, &weights)?;
    if o.density {
        let total = hist.checked().sum()?;
        hist = hist.checked().div(&total)?.checked().div(edges.checked().diff(1, 0)?)?;
    }
    Ok((hist, edges))
}

methods! {
    /// How often each of the integers from 0 on occurs, or the sums of their weights (`torch.bincount`); at least `minlength`
    /// numbers. Waits for the device, since the result's size depends on the data.
    ///
    /// # Panics
    /// If the tensor is no vector of integers, or one is negative.
    ///
    /// ```
    /// # use wgtorch::prelude::*;
    /// assert_eq!(tensor!([1, 3, 1]).bincount((), 0).to_vec::<i64>()?, [0, 2, 0, 1]);
    /// # Ok::<(), Error>(())
    /// ```
    fn bincount(&self, weights: impl Into<super::MaybeTensor>, minlength: usize) -> Tensor {
        bincount(self.0, weights.into().0.as_ref(), minlength)
    }

    /// How many elements lie in each of `bins` bins of equal width from `min` to `max`, or over the data's range where those
    /// are equal (`torch.histc`).
    ///
    /// # Panics
    /// If the dtype is not float32 or float64, or the range is empty or not finite.
    fn histc(&self, bins: usize, min: impl Into<Scalar>, max: impl Into<Scalar>) -> Tensor {
        histc(self.0, bins, min.into().to_f64(), max.into().to_f64())
    }

    /// The histogram and its bins' edges (`torch.histogram`).
    ///
    /// # Panics
    /// If the dtype is not float32 or float64, or the range is empty or not finite.
    fn histogram(&self, bins: impl Into<Bins>, options: impl Into<HistogramOptions>) -> (Tensor, Tensor) {
        histogram(self.0, bins.into(), options.into())
    }
}
