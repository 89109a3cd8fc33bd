//! Differences, slopes and integrals along a dim; covariances.

use crate::dtype::DType;
use crate::error::{Result, bail, ensure};
use crate::ops::MaybeTensor;
use crate::scalar::Scalar;
use crate::shape::wrap_dim;
use crate::tensor::{Tensor, methods};

fn diff(t: &Tensor, n: usize, dim: isize) -> Result<Tensor> {
    ensure!(t.dim() > 0, Runtime, "diff expects input to be at least one-dimensional");
    let d = wrap_dim(dim, t.dim())? as isize;
    let mut out = if n == 0 { t.checked().copy()? } else { t.clone() };
    for _ in 0..n.min(t.size_of(d)) {
        let (head, tail) = parts(&out, d)?;
        out = if t.dtype() == DType::Bool { tail.checked().logical_xor(&head)? } else { tail.checked().sub(&head)? };
    }
    Ok(out)
}

/// All elements of a dim but the last, and all but the first.
fn parts(t: &Tensor, d: isize) -> Result<(Tensor, Tensor)> {
    let n = t.size_of(d).saturating_sub(1);
    let start = (t.size_of(d) - n) as isize;
    Ok((t.checked().narrow(d, 0, n)?, t.checked().narrow(d, start, n)?))
}

/// Where the values of an integrand or a function stand along a dim.
#[derive(Clone, Debug)]
pub enum Spacing {
    /// At equal distances.
    Even(f64),
    /// At these coordinates: one list for all lines, or one each.
    At(Tensor),
}
impl From<()> for Spacing {
    fn from(_: ()) -> Spacing {
        Spacing::Even(1.0)
    }
}
impl From<f64> for Spacing {
    fn from(dx: f64) -> Spacing {
        Spacing::Even(dx)
    }
}
impl From<&Tensor> for Spacing {
    fn from(x: &Tensor) -> Spacing {
        Spacing::At(x.clone())
    }
}

/// Distances between neighbours, shaped to go with lines of `y` along `d`.
fn distances(y: &Tensor, x: &Tensor, d: isize, name: &str) -> Result<Tensor> {
    let x = if x.dim() == 1 && y.dim() != 1 {
        ensure!(x.numel() == y.size_of(d), Runtime, "{name}: There must be one `x` value for each sample point");
        let mut sizes = vec![1; y.dim()];
        sizes[d as usize] = x.numel();
        x.checked().view(sizes)?
    } else if x.dim() < y.dim() {
        let mut sizes = vec![1; y.dim() - x.dim()];
        sizes.extend(x.shape().iter());
        x.checked().view(sizes)?
    } else {
        x.clone()
    };
    let (head, tail) = parts(&x, d)?;
    tail.checked().sub(&head)
}

fn trapezoid(y: &Tensor, spacing: Spacing, dim: isize, running: bool) -> Result<Tensor> {
    let name = if running { "cumulative_trapezoid" } else { "trapezoid" };
    let d = wrap_dim(dim, y.dim())? as isize;
    ensure!(y.dtype() != DType::Bool, Runtime, "{name}: received a bool input for `y`, but bool is not supported");
    if y.size_of(d) == 0 && !running {
        return y.checked().sum_dim(d, false)?.checked().mul(0.0);
    }
    let (head, tail) = parts(y, d)?;
    let pairs = head.checked().add(&tail)?;
    let (pairs, scale) = match spacing {
        Spacing::Even(dx) => (pairs, dx * 0.5),
        Spacing::At(x) => {
            ensure!(
                x.dtype() != DType::Bool,
                Runtime,
                "{name}: received a bool input for `x`, but bool is not supported"
            );
            (pairs.checked().mul(distances(y, &x, d, name)?)?, 0.5)
        }
    };
    let sums = if running { pairs.checked().cumsum(d, ())? } else { pairs.checked().sum_dim(d, false)? };
    sums.checked().mul(scale)
}

/// Options of [`Tensor::gradient`].
#[non_exhaustive]
#[derive(Clone, Debug)]
pub struct GradientOptions {
    /// The distance of neighbours along every dim, where `each` is empty.
    pub spacing: f64,
    /// Where the values stand, for each dim.
    pub each: Vec<Spacing>,
    /// The dims; all if None.
    pub dims: Option<Vec<isize>>,
    /// Edges by the line (1) or the parabola (2) through their neighbours.
    pub edge_order: usize,
}

impl GradientOptions {
    /// Along all dims, at distances of 1, with lines at the edges.
    pub fn new() -> GradientOptions {
        GradientOptions { spacing: 1.0, each: Vec::new(), dims: None, edge_order: 1 }
    }
    /// The distance of neighbours along every dim.
    pub fn spacing(mut self, distance: f64) -> GradientOptions {
        self.spacing = distance;
        self
    }
    /// Where the values stand, for each dim.
    pub fn each(mut self, spacing: Vec<Spacing>) -> GradientOptions {
        self.each = spacing;
        self
    }
    /// The dims.
    pub fn dims(mut self, dims: impl super::IntoSizes) -> GradientOptions {
        self.dims = Some(dims.into_sizes());
        self
    }
    /// Edges by the line (1) or the parabola (2) through their neighbours.
    pub fn edge_order(mut self, order: usize) -> GradientOptions {
        self.edge_order = order;
        self
    }
}
impl Default for GradientOptions {
    fn default() -> GradientOptions {
        GradientOptions::new()
    }
}
impl From<()> for GradientOptions {
    fn from(_: ()) -> GradientOptions {
        GradientOptions::new()
    }
}

/// Slopes along one dim: central differences inside, one-sided ones at the edges.
fn slopes(t: &Tensor, d: isize, spacing: &Spacing, edge_order: usize) -> Result<Tensor> {
    let n = t.size_of(d);
    let dtype = if t.dtype().is_differentiable() { t.dtype().to_real() } else { DType::F32 };
    let at = |start: usize, len: usize| t.checked().narrow(d, start as isize, len);
    // steps[i] lies between the elements i and i + 1, shaped to go with lines along the dim
    let step = |start: usize, len: usize| -> Result<Tensor> {
        match spacing {
            Spacing::Even(h) => Ok(Tensor::constant((*h).into(), &[], dtype, t.device())),
            Spacing::At(x) => distances(t, x, d, "torch.gradient")?.checked().narrow(d, start as isize, len),
        }
    };
    // the derivative in the middle (or at an end) of the parabola through three neighbours at distances a and b
    let weighted = |start: usize, len: usize, which: i8| -> Result<Tensor> {
        let (a, b) = (step(start, len)?, step(start + 1, len)?);
        let sum = &a + &b;
        let (x, y, z) = match which {
            0 => (-(&b / (&a * &sum)), (&b - &a) / (&a * &b), &a / (&b * &sum)),
            -1 => (-((&a + &sum) / (&a * &sum)), &sum / (&a * &b), -(&a / (&b * &sum))),
            _ => (&b / (&a * &sum), -(&sum / (&a * &b)), (&b + &sum) / (&b * &sum)),
        };
        Ok(at(start, len)? * x + at(start + 1, len)? * y + at(start + 2, len)? * z)
    };
    let line = |start: usize| -> Result<Tensor> { Ok((at(start + 1, 1)? - at(start, 1)?) / step(start, 1)?) };
    let (first, last) =
        if edge_order == 1 { (line(0)?, line(n - 2)?) } else { (weighted(0, 1, -1)?, weighted(n - 3, 1, 1)?) };
    let mut all = vec![first];
    if n > 2 {
        all.push(match spacing {
            Spacing::Even(h) => (at(2, n - 2)? - at(0, n - 2)?) / (2.0 * h),
            Spacing::At(_) => weighted(0, n - 2, 0)?,
        });
    }
    all.push(last);
    super::try_cat(&all[..], d)
}

fn gradient(t: &Tensor, o: &GradientOptions) -> Result<Vec<Tensor>> {
    let dims = o.dims.clone().unwrap_or_else(|| (0..t.dim() as isize).collect());
    ensure!(
        o.each.is_empty() || o.each.len() == dims.len(),
        Runtime,
        "torch.gradient expected spacing to be unspecified, a scalar or it's spacing and dim arguments to have the same length, but got a spacing argument of length {} and a dim argument of length {}.",
        o.each.len(),
        dims.len()
    );
    ensure!((1..=2).contains(&o.edge_order), Runtime, "torch.gradient only supports edge_order=1 and edge_order=2.");
    let mut seen = vec![false; t.dim()];
    let mut wrapped = Vec::new();
    for &d in &dims {
        ensure!(t.dim() > 0, Index, "Dimension specified as {d} but tensor has no dimensions");
        let d = wrap_dim(d, t.dim())?;
        ensure!(!seen[d], Runtime, "dim {d} appears multiple times in the list of dims");
        seen[d] = true;
        ensure!(
            t.shape()[d] > o.edge_order,
            Runtime,
            "torch.gradient expected each dimension size to be at least edge_order+1"
        );
        wrapped.push(d as isize);
    }
    let even = Spacing::Even(o.spacing);
    wrapped.iter().enumerate().map(|(i, &d)| slopes(t, d, o.each.get(i).unwrap_or(&even), o.edge_order)).collect()
}

/// Options of [`Tensor::cov`].
#[non_exhaustive]
#[derive(Clone, Debug)]
pub struct CovOptions {
    /// Taken from the number of observations before dividing by it.
    pub correction: i64,
    /// How often each observation was made: integers.
    pub fweights: Option<Tensor>,
    /// How much each observation matters.
    pub aweights: Option<Tensor>,
}

impl CovOptions {
    /// A correction of 1, no weights.
    pub fn new() -> CovOptions {
        CovOptions { correction: 1, fweights: None, aweights: None }
    }
    /// Taken from the number of observations before dividing by it.
    pub fn correction(mut self, correction: i64) -> CovOptions {
        self.correction = correction;
        self
    }
    /// How often each observation was made: integers.
    pub fn fweights(mut self, weights: impl Into<MaybeTensor>) -> CovOptions {
        self.fweights = weights.into().0;
        self
    }
    /// How much each observation matters.
    pub fn aweights(mut self, weights: impl Into<MaybeTensor>) -> CovOptions {
        self.aweights = weights.into().0;
        self
    }
}
impl Default for CovOptions {
    fn default() -> CovOptions {
        CovOptions::new()
    }
}
impl From<()> for CovOptions {
    fn from(_: ()) -> CovOptions {
        CovOptions::new()
    }
}

/// Weights that fit, or what is wrong with them.
fn check_weights(w: &Tensor, name: &str, integral: bool, observations: usize) -> Result<()> {
    ensure!(
        w.dim() <= 1,
        Runtime,
        "cov(): expected {name} to have one or fewer dimensions but got {name} with {} dimensions",
        w.dim()
    );
    ensure!(
        if integral { w.dtype().is_int() } else { w.dtype().is_float() },
        Runtime,
        "cov(): expected {name} to have {} dtype but got {name} with {} dtype",
        if integral { "integral" } else { "floating point" },
        w.dtype().scalar_name()
    );
    ensure!(
        w.numel() == observations,
        Runtime,
        "cov(): expected {name} to have the same numel as there are observations in the input but got {} != {observations}",
        w.numel()
    );
    if w.numel() > 0 && w.checked().amin((), false)?.item_scalar()?.to_f64() < 0.0 {
        bail!(Runtime, "cov(): {name} cannot be negative");
    }
    Ok(())
}

fn cov(t: &Tensor, o: &CovOptions, name: &str) -> Result<Tensor> {
    ensure!(
        t.dim() <= 2,
        Runtime,
        "{name}(): expected input to have two or fewer dimensions but got an input with {} dimensions",
        t.dim()
    );
    ensure!(t.dtype() != DType::Bool, Runtime, "{name}(): bool dtype is not supported for input");
    let x = if t.dim() < 2 { t.checked().reshape([1, t.numel()])? } else { t.clone() };
    let x = if x.dtype().is_differentiable() { x } else { crate::tensor::to_dtype(&x, DType::F32) };
    let observations = x.size_of(1);
    let mut w: Option<Tensor> = None;
    if let Some(f) = &o.fweights {
        check_weights(f, "fweights", true, observations)?;
        w = Some(f.clone());
    }
    if let Some(a) = &o.aweights {
        check_weights(a, "aweights", false, observations)?;
        w = Some(match w {
            Some(w) => w.checked().mul(a)?,
            None => a.clone(),
        });
    }
    let scaled = |x: &Tensor| match &w {
        Some(w) => x.checked().mul(w),
        None => Ok(x.clone()),
    };
    let total = match &w {
        Some(w) => {
            let sum = w.checked().sum()?;
            ensure!(
                observations == 0 || sum.item_scalar()?.to_f64() != 0.0,
                Runtime,
                "cov(): weights sum to zero, can't be normalized"
            );
            sum
        }
        None => Tensor::constant(Scalar::Int(observations as i64), &[], DType::I64, x.device()),
    };
    let mean = scaled(&x)?.checked().sum_dim(1, true)?.checked().div(&total)?;
    let norm = match (&w, &o.aweights) {
        (Some(w), Some(a)) if o.correction != 0 => {
            let spread = w.checked().mul(a)?.checked().sum()?.checked().div(&total)?.checked().mul(o.correction)?;
            total.checked().sub(&spread)?
        }
        _ => total.checked().sub(o.correction)?,
    };
    let centred = x.checked().sub(&mean)?;
    let weighted = scaled(&centred)?;
    let weighted = crate::tensor::to_dtype(&weighted, centred.dtype());
    let c = centred.checked().mm(&weighted.checked().conj()?.checked().t()?)?;
    c.checked().div(&norm.checked().clamp_min(0)?)?.checked().squeeze()
}

fn corrcoef(t: &Tensor) -> Result<Tensor> {
    let c = cov(t, &CovOptions::new(), "corrcoef")?;
    if c.dim() == 0 {
        return c.checked().div(&c);
    }
    let spread = c.checked().diagonal(0, 0, 1)?.checked().real()?.checked().sqrt()?;
    let c = c.checked().div(&spread.checked().unsqueeze(1)?)?.checked().div(&spread.checked().unsqueeze(0)?)?;
    if c.is_complex() {
        let [re, im] = [c.checked().real()?, c.checked().imag()?];
        return super::complex::try_complex(&re.checked().clamp(-1, 1)?, &im.checked().clamp(-1, 1)?);
    }
    c.checked().clamp(-1, 1)
}

methods! {
    /// The differences of neighbours along a dim, taken `n` times (`torch.diff`); of bools whether they differ.
    ///
    /// # Panics
    /// For a 0-dim tensor.
    ///
    /// ```
    /// # use wgtorch::prelude::*;
    /// assert_eq!(tensor!([1, 4, 9]).diff(1, -1).to_vec::<i64>()?, [3, 5]);
    /// # Ok::<(), Error>(())
    /// ```
    fn diff(&self, n: usize, dim: isize) -> Tensor { diff(self.0, n, dim) }

    /// [`Tensor::diff`] of the tensor with others before and after it (`torch.diff(prepend=…, append=…)`).
    fn diff_with(&self, n: usize, dim: isize, prepend: impl Into<MaybeTensor>, append: impl Into<MaybeTensor>) -> Tensor {
        let all: Vec<Tensor> = [prepend.into().0, Some(self.0.clone()), append.into().0].into_iter().flatten().collect();
        if n == 0 || all.len() == 1 {
            return diff(self.0, n, dim);
        }
        diff(&super::try_cat(&all[..], dim)?, n, dim)
    }

    /// The integral along a dim by trapezoids (`torch.trapezoid`, `torch.trapz`); the option is a distance, or coordinates.
    ///
    /// ```
    /// # use wgtorch::prelude::*;
    /// assert_eq!(tensor!([1., 5., 10.]).trapezoid((), -1).item::<f32>()?, 10.5);
    /// # Ok::<(), Error>(())
    /// ```
    fn trapezoid(&self, spacing: impl Into<Spacing>, dim: isize) -> Tensor {
        trapezoid(self.0, spacing.into(), dim, false)
    }

    /// The running integral along a dim by trapezoids (`torch.cumulative_trapezoid`).
    fn cumulative_trapezoid(&self, spacing: impl Into<Spacing>, dim: isize) -> Tensor {
        trapezoid(self.0, spacing.into(), dim, true)
    }

    /// The slopes of a function given by its values, along each dim (`torch.gradient`).
    ///
    /// # Panics
    /// If a dim is named twice or too small, or the spacings are not one each.
    fn gradient(&self, options: impl Into<GradientOptions>) -> Vec<Tensor> { gradient(self.0, &options.into()) }

    /// The covariances of variables, which are rows, over observations, which are columns (`torch.cov`).
    ///
    /// # Panics
    /// If there are more than two dims, or weights do not fit.
    fn cov(&self, options: impl Into<CovOptions>) -> Tensor { cov(self.0, &options.into(), "cov") }

    /// The correlation coefficients of variables, which are rows (`torch.corrcoef`).
    ///
    /// # Panics
    /// If there are more than two dims.
    fn corrcoef(&self) -> Tensor { corrcoef(self.0) }
}
