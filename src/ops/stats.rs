//! Statistics over all dims or some: variances, norms, logsumexp, means that skip NaN.

use super::compose::composite;
use super::reduce::{Kind, Reduce, ReduceOptions, reduce, reduction};
use super::views::IntoSizes;
use crate::dtype::DType;
use crate::error::{Result, ensure};
use crate::scalar::Scalar;
use crate::shape::dim_mask;
use crate::tensor::{Ctx, Saves, Tensor, apply, apply_one, methods, one_grad, to_dtype};

/// What variances default.
#[non_exhaustive]
#[derive(Clone, Copy, Debug)]
pub struct VarOptions {
    /// Taken from the number of elements before dividing by it; 1, which makes the variance unbiased.
    pub correction: f64,
    /// Keep the reduced dims with size 1.
    pub keepdim: bool,
}

impl Default for VarOptions {
    fn default() -> VarOptions {
        VarOptions { correction: 1.0, keepdim: false }
    }
}

impl VarOptions {
    /// All defaults.
    pub fn new() -> VarOptions {
        VarOptions::default()
    }
    /// Taken from the number of elements before dividing by it.
    pub fn correction(mut self, correction: f64) -> VarOptions {
        self.correction = correction;
        self
    }
    /// Correction 1 or 0.
    pub fn unbiased(self, on: bool) -> VarOptions {
        self.correction(on as u8 as f64)
    }
    /// Keep the reduced dims with size 1.
    pub fn keepdim(mut self, on: bool) -> VarOptions {
        self.keepdim = on;
        self
    }
}

impl From<()> for VarOptions {
    fn from(_: ()) -> VarOptions {
        VarOptions::default()
    }
}
impl From<bool> for VarOptions {
    fn from(keepdim: bool) -> VarOptions {
        VarOptions::default().keepdim(keepdim)
    }
}

/// The gradient of a variance, its root, and the mean beside it.
pub(crate) fn var_vjp(op: &Reduce, cx: &Ctx) -> Result<Tensor> {
    let (Kind::Var { correction, std } | Kind::VarMean { correction, std }) = op.kind else {
        unreachable!("only variances come here")
    };
    let x = cx.input(0)?;
    let shape = x.shape();
    let n = op.count(&shape);
    let mut total: Option<Tensor> = None;
    if let Some(g) = &cx.grads[0] {
        let g = if std {
            let result = cx.output(0)?;
            // where the root is 0 PyTorch gives no gradient
            let halved = g.checked().div(&result.checked().mul(2)?)?;
            halved.checked().masked_fill(&result.checked().eq(0)?, 0)?
        } else {
            g.clone()
        };
        let centred = x.checked().sub(&mean(&x, op)?)?;
        let scale = 2.0 / (n as f64 - correction);
        total = Some(op.restore(&g)?.checked().mul(&centred)?.checked().mul(scale)?);
    }
    if let Some(g) = cx.grads.get(1).and_then(Option::as_ref) {
        let part = op.restore(g)?.checked().div(n as i64)?.checked().expand(&shape)?;
        total = Some(match total {
            Some(t) => t.checked().add(&part)?,
            None => part,
        });
    }
    Ok(total.unwrap_or_else(|| Tensor::zeros_of(&cx.input_meta(0))))
}

fn mean(x: &Tensor, op: &Reduce) -> Result<Tensor> {
    reduce(x, Kind::Mean, Some(&op.dims()), true, x.dtype())
}

/// The dims that are meant, counted from the front: all if none are named.
fn real_dims(t: &Tensor, dims: &[isize]) -> Result<Vec<isize>> {
    let mask = dim_mask(dims, t.dim())?;
    Ok((0..t.dim() as isize).filter(|&d| mask[d as usize]).collect())
}

fn check_float(t: &Tensor, name: &str) -> Result<()> {
    ensure!(t.dtype().is_float(), Runtime, "{name} only support floating point and complex dtypes");
    Ok(())
}

#[track_caller]
fn var(t: &Tensor, std: bool, dims: &[isize], o: VarOptions) -> Result<Tensor> {
    if t.is_complex() {
        if t.dim() == 0 {
            // no dims would mean the parts' own, too
            real_dims(t, dims)?;
            return var(&t.checked().reshape(1)?, std, &[0], VarOptions { keepdim: false, ..o });
        }
        // both parts vary by themselves
        let dims = real_dims(t, dims)?;
        let parts = var(&t.checked().view_as_real()?, false, &dims, o)?.checked().sum_dim(-1, false)?;
        return if std { parts.checked().sqrt() } else { Ok(parts) };
    }
    check_float(t, "std and var")?;
    let kind = Kind::Var { correction: o.correction, std };
    reduce(t, kind, Some(dims), o.keepdim, t.dtype())
}

#[track_caller]
fn var_mean(t: &Tensor, std: bool, dims: &[isize], o: VarOptions) -> Result<(Tensor, Tensor)> {
    if t.is_complex() {
        let mean = t.checked().mean_dim(dims.to_vec(), o.keepdim)?;
        return Ok((var(t, std, dims, o)?, mean));
    }
    check_float(t, "std and var")?;
    let kind = Kind::VarMean { correction: o.correction, std };
    let mut outs = apply(reduction(t, kind, Some(dims), o.keepdim, t.dtype())?, &[t])?.into_iter();
    match (outs.next(), outs.next()) {
        (Some(var), Some(mean)) => Ok((var, mean)),
        _ => unreachable!("this kind has two results"),
    }
}

/// The shape of a reduction for composites: mask, keepdim.
fn spread(t: &Tensor, dims: &[isize], keepdim: bool) -> Result<Reduce> {
    Ok(Reduce { kind: Kind::Sum, mask: dim_mask(dims, t.dim())?, keepdim, dtype: t.dtype(), full: false })
}

#[track_caller]
fn norm(t: &Tensor, p: f64, dims: &[isize], options: ReduceOptions) -> Result<Tensor> {
    ensure!(
        options.dtype.unwrap_or(t.dtype()).is_differentiable(),
        Runtime,
        "linalg.vector_norm: Expected a floating point or complex tensor as input. Got {}",
        t.dtype().scalar_name()
    );
    let x = match options.dtype {
        Some(d) if d != t.dtype() => to_dtype(t, d),
        _ => t.clone(),
    };
    if x.is_complex() {
        return norm(&x.checked().abs()?, p, dims, ReduceOptions { dtype: None, ..options });
    }
    let op = spread(&x, dims, options.keepdim)?;
    if p < 0.0 || p == f64::INFINITY {
        let nothing = x.shape().iter().zip(&op.mask).any(|(n, m)| *m && *n == 0);
        ensure!(
            !nothing,
            Runtime,
            "linalg.vector_norm cannot compute the {p} norm on an empty tensor because the operation does not have an identity"
        );
    }
    let dtype = x.dtype();
    apply_one(Reduce { kind: Kind::Norm(p), dtype, ..op }, &[&x])
}

/// The gradient of a norm.
pub(crate) fn norm_vjp(op: &Reduce, p: f64, cx: &Ctx) -> Result<Tensor> {
    let x = cx.input(0)?;
    let (g, norm) = (op.restore(cx.g())?, op.restore(&cx.output(0)?)?);
    let xc = x.checked();
    // the norm of zeros has the subgradient 0
    let at_zero = |t: Tensor| t.checked().masked_fill(&norm.checked().eq(0)?, 0);
    if p == 0.0 {
        return Ok(Tensor::zeros_of(&cx.input_meta(0)));
    }
    if p == 1.0 {
        return xc.sgn()?.checked().mul(&g);
    }
    if p == 2.0 {
        return g.checked().mul(&at_zero(xc.div(&norm)?)?);
    }
    if p.is_infinite() {
        let abs = xc.abs()?;
        let mask = abs.checked().eq(&norm)?.checked().bitwise_or(&abs.checked().isnan()?)?;
        let count = mask.checked().sum_dim(op.dims(), true)?;
        let shared = g.checked().div(&count)?.checked().mul(&mask)?;
        return xc.sgn()?.checked().mul(&shared);
    }
    if p < 1.0 {
        let scaled = xc.sgn()?.checked().mul(&xc.abs()?.checked().pow(p - 1.0)?)?;
        let scaled = scaled.checked().masked_fill(&xc.eq(0)?, 0)?;
        return scaled.checked().mul(&g.checked().mul(&norm.checked().pow(1.0 - p)?)?);
    }
    let scaled = if p < 2.0 {
        xc.sgn()?.checked().mul(&xc.abs()?.checked().pow(p - 1.0)?)?
    } else {
        xc.mul(&xc.abs()?.checked().pow(p - 2.0)?)?
    };
    scaled.checked().mul(&at_zero(g.checked().div(&norm.checked().pow(p - 1.0)?)?)?)
}

fn logsumexp(t: &Tensor, dims: &[isize], keepdim: bool) -> Result<Tensor> {
    if t.is_complex() {
        // scaled by the greatest real part
        let all = real_dims(t, dims)?;
        let max = t.detach().checked().real()?.checked().amax(all.clone(), true)?;
        let max = max.checked().masked_fill(&max.checked().abs()?.checked().eq(f64::INFINITY)?, 0)?;
        let sum = t.checked().sub(&max)?.checked().exp()?.checked().sum_dim(all.clone(), true)?;
        let out = sum.checked().log()?.checked().add(&max)?;
        return if keepdim { Ok(out) } else { out.checked().squeeze_dim(all) };
    }
    let x = if t.dtype().is_float() { t.clone() } else { to_dtype(t, DType::F32) };
    let op = spread(&x, dims, keepdim)?;
    let all = op.dims();
    let forward = || {
        let c = x.checked();
        if x.numel() == 0 {
            return c.exp()?.checked().sum_dim(all.clone(), keepdim)?.checked().log();
        }
        if all.is_empty() {
            return x.copy_now();
        }
        let max = c.amax(all.clone(), true)?;
        // an infinite maximum would make inf - inf
        let max = max.checked().masked_fill(&max.checked().abs()?.checked().eq(f64::INFINITY)?, 0)?;
        let sum = c.sub(&max)?.checked().exp()?.checked().sum_dim(all.clone(), true)?;
        let out = sum.checked().log()?.checked().add(&max)?;
        if keepdim { Ok(out) } else { out.checked().squeeze_dim(all.clone()) }
    };
    let op2 = op.clone();
    let vjp = move |cx: &Ctx| {
        let (g, out) = (op2.restore(cx.g())?, op2.restore(&cx.output(0)?)?);
        let weights = cx.input(0)?.checked().sub(&out)?.checked().exp()?;
        Ok(one_grad(g.checked().mul(&weights)?))
    };
    composite("LogsumexpBackward0", &[&x], Saves { inputs: 1, outputs: 1 }, forward, vjp)
}

fn nanmean(t: &Tensor, dims: &[isize], options: ReduceOptions) -> Result<Tensor> {
    ensure!(
        t.dtype().is_float(),
        Runtime,
        "nanmean(): expected input to have floating point or complex dtype but got {}",
        t.dtype().scalar_name()
    );
    let count =
        t.detach().checked().isnan()?.checked().logical_not()?.checked().sum_dim(dims.to_vec(), options.keepdim)?;
    t.checked().nansum_dim(dims.to_vec(), options)?.checked().div(&count)
}

/// Slices along a dim scaled down to a norm of `max` where theirs is greater.
fn renorm(t: &Tensor, p: f64, dim: isize, max: f64) -> Result<Tensor> {
    ensure!(p > 0.0, Runtime, "renorm: non-positive-norm not supported");
    ensure!(t.dim() > 1, Runtime, "renorm: input needs at least 2 dimensions, got {} dimensions", t.dim());
    ensure!(max >= 0.0, Runtime, "renorm: expected maxnorm to be >= 0 but got {max}");
    let d = crate::shape::wrap_dim(dim, t.dim())?;
    let others: Vec<isize> = (0..t.dim()).filter(|i| *i != d).map(|i| i as isize).collect();
    let norm = norm(t, p, &others, true.into())?;
    // PyTorch's guard against division by zero
    let factor = norm.checked().add(1e-7)?.checked().reciprocal()?.checked().mul(max)?;
    let one = Tensor::constant(Scalar::Int(1), &[], t.dtype(), t.device());
    t.checked().mul(super::pointwise::select(
        &norm.checked().gt(max)?,
        crate::tensor::In::T(&factor),
        crate::tensor::In::T(&one),
    )?)
}

methods! {
    /// The p-norm of the difference of two tensors (`torch.dist`), which broadcast.
    fn dist(&self, other: &Tensor, p: impl Into<Scalar>) -> Tensor {
        self.sub(other)?.checked().norm(p)
    }

    /// The tensor with slices along a dim scaled down to a p-norm of `maxnorm` where theirs is greater (`torch.renorm`).
    ///
    /// # Panics
    /// If there are fewer than two dims, `p` is not positive, or `maxnorm` is negative.
    fn renorm(&self, p: impl Into<Scalar>, dim: isize, maxnorm: impl Into<Scalar>) -> Tensor {
        renorm(self.0, p.into().to_f64(), dim, maxnorm.into().to_f64())
    }

    /// [`Tensor::renorm`] in place.
    fn renorm_(&self, p: impl Into<Scalar>, dim: isize, maxnorm: impl Into<Scalar>) -> Tensor {
        // the gradient reads the former values
        let before = self.copy()?;
        super::compose::replace(self.0, &renorm(&before, p.into().to_f64(), dim, maxnorm.into().to_f64())?)
    }

    /// The unbiased variance of all elements (`torch.var`).
    fn var(&self) -> Tensor { var(self.0, false, &[], ().into()) }

    /// The variance over some dims, all if none are named (`torch.var(x, dim)`); the options are a correction and `keepdim`.
    ///
    /// ```
    /// # use wgtorch::{prelude::*, VarOptions};
    /// let x = tensor!([[1., 3.], [5., 5.]]);
    /// assert_eq!(x.var_dim(1, false).to_vec::<f32>()?, [2., 0.]);
    /// assert_eq!(x.var_dim(1, VarOptions::new().correction(0.0)).to_vec::<f32>()?, [1., 0.]);
    /// # Ok::<(), Error>(())
    /// ```
    fn var_dim(&self, dims: impl IntoSizes, options: impl Into<VarOptions>) -> Tensor {
        var(self.0, false, &dims.into_sizes(), options.into())
    }

    /// The root of the unbiased variance of all elements (`torch.std`).
    fn std(&self) -> Tensor { var(self.0, true, &[], ().into()) }

    /// The root of the variance over some dims (`torch.std(x, dim)`).
    fn std_dim(&self, dims: impl IntoSizes, options: impl Into<VarOptions>) -> Tensor {
        var(self.0, true, &dims.into_sizes(), options.into())
    }

    /// Variance and mean over some dims, all if none are named (`torch.var_mean`).
    fn var_mean(&self, dims: impl IntoSizes, options: impl Into<VarOptions>) -> (Tensor, Tensor) {
        var_mean(self.0, false, &dims.into_sizes(), options.into())
    }

    /// Root of the variance and mean over some dims (`torch.std_mean`).
    fn std_mean(&self, dims: impl IntoSizes, options: impl Into<VarOptions>) -> (Tensor, Tensor) {
        var_mean(self.0, true, &dims.into_sizes(), options.into())
    }

    /// The p-norm of all elements (`torch.norm`, `torch.linalg.vector_norm`); p may be infinite.
    fn norm(&self, p: impl Into<Scalar>) -> Tensor { norm(self.0, p.into().to_f64(), &[], ().into()) }

    /// The p-norm over some dims (`torch.norm(x, p, dim)`).
    fn norm_dim(&self, p: impl Into<Scalar>, dims: impl IntoSizes, options: impl Into<ReduceOptions>) -> Tensor {
        norm(self.0, p.into().to_f64(), &dims.into_sizes(), options.into())
    }

    /// log(sum(exp(x))) over some dims, without overflow (`torch.logsumexp`).
    fn logsumexp(&self, dims: impl IntoSizes, keepdim: bool) -> Tensor {
        logsumexp(self.0, &dims.into_sizes(), keepdim)
    }

    /// The mean of what is not NaN (`torch.nanmean`).
    fn nanmean(&self) -> Tensor { nanmean(self.0, &[], ().into()) }

    /// [`Tensor::nanmean`] over some dims.
    fn nanmean_dim(&self, dims: impl IntoSizes, options: impl Into<ReduceOptions>) -> Tensor {
        nanmean(self.0, &dims.into_sizes(), options.into())
    }
}
