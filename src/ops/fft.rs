//! Fourier transforms (`torch.fft`): one op for complex tensors; the others are that and the symmetry of real signals.

use super::compose::composite;
use super::pointwise::{grads, options};
use crate::cpu::fft::transform;
use crate::dtype::DType;
use crate::error::{Result, bail, ensure};
use crate::gpu::GpuView;
use crate::shape::wrap_dim;
use crate::stream::{CpuView, Kernel, Launch, OnComplex};
use crate::tensor::{
    Ctx, Grads, Meta, Op, OutSpec, Saves, Tensor, TensorOptions, apply_one, methods, one_grad, to_dtype, unwrap,
};
use smallvec::SmallVec;
use std::sync::Arc;

/// How transforms are scaled (`norm=`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FftNorm {
    /// The inverse transform by `1/n`.
    #[default]
    Backward,
    /// The forward transform by `1/n`.
    Forward,
    /// Both by `1/sqrt(n)`.
    Ortho,
}

options! {
    /// Options of transforms along one dim; a number is `n`.
    FftOptions {
        /// The length of the signal, which is cut or filled with zeros; that of the dim if None.
        n: Option<usize> = None,
        /// The dim.
        dim: isize = -1isize,
        /// The scale.
        norm: FftNorm = FftNorm::Backward,
    } from usize;
}

/// Options of transforms along several dims.
#[non_exhaustive]
#[derive(Clone, Debug, Default)]
pub struct FftnOptions {
    /// The lengths along the dims, of which -1 keeps the size; the sizes if None.
    pub s: Option<Vec<isize>>,
    /// The dims; all, or as many of the last as there are lengths, if None.
    pub dim: Option<Vec<isize>>,
    /// The scale.
    pub norm: FftNorm,
}

impl FftnOptions {
    /// PyTorch's defaults.
    pub fn new() -> FftnOptions {
        FftnOptions::default()
    }
    /// The lengths along the dims.
    pub fn s(mut self, s: impl super::IntoSizes) -> FftnOptions {
        self.s = Some(s.into_sizes());
        self
    }
    /// The dims.
    pub fn dim(mut self, dim: impl super::IntoSizes) -> FftnOptions {
        self.dim = Some(dim.into_sizes());
        self
    }
    /// The scale.
    pub fn norm(mut self, norm: FftNorm) -> FftnOptions {
        self.norm = norm;
        self
    }
}

impl From<()> for FftnOptions {
    fn from(_: ()) -> FftnOptions {
        FftnOptions::default()
    }
}

/// The transform of complex tensors along dims; the inverse is not divided by the length.
#[derive(Clone, Debug)]
struct Dft {
    dims: SmallVec<[usize; 4]>,
    inverse: bool,
    scale: f64,
}

impl Kernel for Dft {
    fn name(&self) -> &'static str {
        "_fft_c2c"
    }
    fn cpu(&self, ins: &[CpuView], outs: &[CpuView]) -> Result<()> {
        macro_rules! run {
            ($t:ty) => {
                for (k, &d) in self.dims.iter().enumerate() {
                    // the first pass reads the input, the others what is there
                    let x = if k == 0 { &ins[0] } else { &outs[0] };
                    let scale = if k == 0 { self.scale } else { 1.0 };
                    transform::<$t>(outs[0].typed_mut(), x.typed(), d, self.inverse, scale as $t);
                }
            };
        }
        match ins[0].dtype {
            DType::C64 => run!(f32),
            _ => run!(f64),
        }
        Ok(())
    }
    fn gpu(&self, _: &mut Launch, _: &[GpuView], _: &[GpuView]) -> Result<bool> {
        Ok(false)
    }
    fn on_complex(&self, _: usize) -> OnComplex {
        OnComplex::Native
    }
    fn checks_data(&self) -> bool {
        false
    }
}

impl Op for Dft {
    fn node_name(&self) -> &'static str {
        "FftC2CBackward0"
    }
    fn infer(&self, ins: &[Meta]) -> Result<SmallVec<[OutSpec; 2]>> {
        Ok(OutSpec::one(ins[0].shape.0.clone(), ins[0].dtype))
    }
    fn saves(&self, _: u8) -> Saves {
        Saves::NONE
    }
    fn vjp(&self, cx: &Ctx) -> Result<Grads> {
        // the matrix is symmetric; NOTE [Conjugate] does the rest
        Ok(one_grad(apply_one(self.clone(), &[cx.g()])?))
    }
    fn kernel(self: Arc<Self>) -> Arc<dyn Kernel> {
        self
    }
}

/// The transform of a complex tensor along dims.
#[track_caller]
fn dft(x: &Tensor, dims: &[usize], inverse: bool, scale: f64) -> Result<Tensor> {
    if dims.is_empty() {
        return Ok(x.clone());
    }
    apply_one(Dft { dims: SmallVec::from_slice(dims), inverse, scale }, &[x])
}

/// The factor of a transform of `n` elements.
fn scale(norm: FftNorm, n: usize, inverse: bool) -> f64 {
    match (norm, inverse) {
        (FftNorm::Ortho, _) => 1.0 / (n as f64).sqrt(),
        (FftNorm::Backward, true) | (FftNorm::Forward, false) => 1.0 / n as f64,
        _ => 1.0,
    }
}

/// The input as transforms take it: integers become float32, and real numbers complex where that is asked for.
fn promoted(x: &Tensor, name: &str, complex: bool) -> Result<Tensor> {
    let dtype = x.dtype();
    ensure!(!matches!(dtype, DType::F16 | DType::BF16), Runtime, "{name}: Unsupported dtype {}", dtype.scalar_name());
    let float = if dtype.is_differentiable() { dtype } else { DType::F32 };
    let want = if complex { float.to_complex() } else { float };
    Ok(if dtype == want { x.clone() } else { to_dtype(x, want) })
}

/// The dims of a transform and the lengths along them.
struct Plan {
    dims: SmallVec<[usize; 4]>,
    sizes: SmallVec<[usize; 4]>,
}

fn wrapped(dim: isize, n: usize) -> Result<usize> {
    ensure!(n > 0, Index, "Dimension specified as {dim} but tensor has no dimensions");
    wrap_dim(dim, n)
}

fn length(n: isize) -> Result<usize> {
    ensure!(n >= 1, Runtime, "Invalid number of data points ({n}) specified");
    Ok(n as usize)
}

impl Plan {
    fn one(x: &Tensor, o: &FftOptions, default: impl Fn(usize) -> isize) -> Result<Plan> {
        let d = wrapped(o.dim, x.dim())?;
        let n = length(o.n.map_or_else(|| default(x.shape()[d]), |n| n as isize))?;
        Ok(Plan { dims: SmallVec::from_slice(&[d]), sizes: SmallVec::from_slice(&[n]) })
    }

    fn many(x: &Tensor, o: &FftnOptions) -> Result<Plan> {
        let (shape, rank) = (x.shape(), x.dim());
        let mut dims: SmallVec<[usize; 4]> = SmallVec::new();
        match (&o.dim, &o.s) {
            (Some(given), _) => {
                for &d in given {
                    let d = wrapped(d, rank)?;
                    ensure!(!dims.contains(&d), Runtime, "FFT dims must be unique");
                    dims.push(d);
                }
            }
            (None, Some(s)) => {
                ensure!(
                    s.len() <= rank,
                    Runtime,
                    "Got shape with {} values but input tensor only has {rank} dimensions.",
                    s.len()
                );
                dims.extend(rank - s.len()..rank);
            }
            (None, None) => dims.extend(0..rank),
        }
        let mut sizes: SmallVec<[usize; 4]> = dims.iter().map(|&d| shape[d]).collect();
        if let Some(s) = &o.s {
            ensure!(s.len() == dims.len(), Runtime, "When given, dim and shape arguments must have the same length");
            for (size, &n) in sizes.iter_mut().zip(s) {
                *size = if n == -1 { *size } else { length(n)? };
            }
        }
        for &n in &sizes {
            length(n as isize)?;
        }
        Ok(Plan { dims, sizes })
    }

    /// As many elements as one transform has.
    fn numel(&self) -> usize {
        self.sizes.iter().product()
    }

    /// The tensor cut or filled with zeros to the lengths.
    fn resized(&self, x: &Tensor) -> Result<Tensor> {
        let mut x = x.clone();
        for (&d, &n) in self.dims.iter().zip(&self.sizes) {
            x = resized(&x, d, n)?;
        }
        Ok(x)
    }

    fn last(&self, name: &str) -> Result<(usize, usize)> {
        match (self.dims.last(), self.sizes.last()) {
            (Some(&d), Some(&n)) => Ok((d, n)),
            _ => bail!(Runtime, "{name} must transform at least one axis"),
        }
    }
}

fn resized(x: &Tensor, d: usize, n: usize) -> Result<Tensor> {
    let mut shape = x.shape().to_vec();
    if n <= shape[d] {
        return if n == shape[d] { Ok(x.clone()) } else { x.checked().narrow(d as isize, 0, n) };
    }
    shape[d] = n - shape[d];
    let zeros = Tensor::constant(0.into(), &shape, x.dtype(), x.device());
    super::cat::concatenate(&[x, &zeros], d as isize)
}

#[track_caller]
fn c2c(x: &Tensor, plan: &Plan, norm: FftNorm, inverse: bool, name: &str) -> Result<Tensor> {
    let x = plan.resized(&promoted(x, name, true)?)?;
    dft(&x, &plan.dims, inverse, scale(norm, plan.numel(), inverse))
}

/// The half of a real tensor's transform that the other half follows from; `inverse` gives its conjugate.
#[track_caller]
fn r2c(x: &Tensor, plan: &Plan, norm: FftNorm, inverse: bool, name: &str) -> Result<Tensor> {
    ensure!(!x.is_complex(), Runtime, "{name} expects a real input tensor, but got {}", x.dtype().scalar_name());
    let x = plan.resized(&promoted(x, name, false)?)?;
    let (last, n) = plan.last(name)?;
    let (dims, factor) = (plan.dims.clone(), scale(norm, plan.numel(), inverse));
    let back = dims.clone();
    composite(
        "FftR2CBackward0",
        &[&x],
        Saves::NONE,
        || {
            let all = dft(&to_dtype(&x, x.dtype().to_complex()), &dims, inverse, factor)?;
            all.checked().narrow(last as isize, 0, n / 2 + 1)?.checked().contiguous()
        },
        move |cx| grads!(cx; dft(&resized(cx.g(), last, n)?, &back, !inverse, factor)?.checked().real()?),
    )
}

/// The real tensor whose half transform this is, of length `n` along the last of the dims.
#[track_caller]
fn c2r(x: &Tensor, plan: &Plan, n: usize, norm: FftNorm, inverse: bool, name: &str) -> Result<Tensor> {
    let (last, _) = plan.last(name)?;
    let half = n / 2 + 1;
    let count = plan.numel() / plan.sizes[plan.sizes.len() - 1] * n;
    let mut cut = Plan { dims: plan.dims.clone(), sizes: plan.sizes.clone() };
    if let Some(size) = cut.sizes.last_mut() {
        *size = half;
    }
    let mut x = cut.resized(&promoted(x, name, true)?)?;
    if !inverse {
        x = x.checked().conj()?;
    }
    let (dims, factor) = (plan.dims.clone(), scale(norm, count, inverse));
    let back = dims.clone();
    composite(
        "FftC2RBackward0",
        &[&x],
        Saves::NONE,
        || {
            let others = dft(&x, &dims[..dims.len() - 1], true, 1.0)?;
            let d = last as isize;
            let rest = others.checked().narrow(d, 1, n - half)?.checked().flip(d)?.checked().conj()?;
            let whole = super::cat::concatenate(&[&others, &rest], d)?;
            dft(&whole, &[last], true, factor)?.checked().real()?.checked().contiguous()
        },
        move |cx| {
            grads!(cx; {
                let all = dft(&to_dtype(cx.g(), cx.g().dtype().to_complex()), &back, false, factor)?;
                let mut shape = vec![1; all.dim()];
                shape[last] = half;
                // what stands for two elements of the whole counts twice
                let twice: Vec<f64> = (0..half).map(|k| if k == 0 || 2 * k == n { 1.0 } else { 2.0 }).collect();
                let twice = Tensor::from_vec(twice, shape, (cx.g().dtype(), cx.g().device()))?;
                all.checked().narrow(last as isize, 0, half)?.checked().mul(&twice)?
            })
        },
    )
}

/// The plan of a transform to real numbers, with the length of its last dim.
fn to_real_plan(x: &Tensor, o: &FftnOptions, name: &str) -> Result<(Plan, usize)> {
    let plan = Plan::many(x, o)?;
    let (_, n) = plan.last(name)?;
    let given = o.s.as_ref().and_then(|s| s.last()).is_some_and(|&n| n != -1);
    let n = if given { n } else { length(2 * (n as isize - 1))? };
    Ok((plan, n))
}

fn to_real_one(x: &Tensor, o: &FftOptions) -> Result<(Plan, usize)> {
    let plan = Plan::one(x, o, |n| 2 * (n as isize - 1))?;
    let n = plan.sizes[0];
    Ok((plan, n))
}

/// The options of a transform of the last two dims.
fn last_two(o: FftnOptions) -> FftnOptions {
    FftnOptions { dim: o.dim.or_else(|| Some(vec![-2, -1])), ..o }
}

macro_rules! transforms {
    ($($(#[$m:meta])* $name:ident($x:ident, $o:ident: $t:ident) $body:block)*) => {
        methods! {$(
            $(#[$m])*
            fn $name(&self, options: impl Into<$t>) -> Tensor {
                let ($x, $o): (&Tensor, $t) = (self.0, options.into());
                $body
            }
        )*}
        $(
            #[doc = concat!("[`Tensor::", stringify!($name), "`] as a function (`torch.fft.", stringify!($name), "`).\n\n# Panics\nAs the method.")]
            #[track_caller]
            pub fn $name(input: &Tensor, options: impl Into<$t>) -> Tensor {
                unwrap(input.checked().$name(options))
            }
        )*
    };
}

transforms! {
    /// The Fourier transform along a dim, complex (`torch.fft.fft`).
    ///
    /// # Panics
    /// For a 0-dim tensor, a length of 0, or a half dtype.
    ///
    /// ```
    /// # use wgtorch::prelude::*;
    /// assert_eq!(tensor!([1., 2., 3., 4.]).fft(()).to_string(), "tensor([10.+0.j, -2.+2.j, -2.+0.j, -2.-2.j])");
    /// ```
    fft(x, o: FftOptions) { c2c(x, &Plan::one(x, &o, |n| n as isize)?, o.norm, false, "fft") }
    /// The inverse of [`Tensor::fft`] (`torch.fft.ifft`).
    ifft(x, o: FftOptions) { c2c(x, &Plan::one(x, &o, |n| n as isize)?, o.norm, true, "ifft") }
    /// The first half of a real tensor's transform, `n / 2 + 1` elements (`torch.fft.rfft`).
    rfft(x, o: FftOptions) { r2c(x, &Plan::one(x, &o, |n| n as isize)?, o.norm, false, "rfft") }
    /// The inverse of [`Tensor::rfft`], real; `n` is its length, by default an even one (`torch.fft.irfft`).
    irfft(x, o: FftOptions) {
        let (plan, n) = to_real_one(x, &o)?;
        c2r(x, &plan, n, o.norm, true, "irfft")
    }
    /// The transform of half a signal with Hermitian symmetry, real (`torch.fft.hfft`).
    hfft(x, o: FftOptions) {
        let (plan, n) = to_real_one(x, &o)?;
        c2r(x, &plan, n, o.norm, false, "hfft")
    }
    /// The inverse of [`Tensor::hfft`] (`torch.fft.ihfft`).
    ihfft(x, o: FftOptions) { r2c(x, &Plan::one(x, &o, |n| n as isize)?, o.norm, true, "ihfft") }
    /// [`Tensor::fft`] along several dims (`torch.fft.fftn`).
    fftn(x, o: FftnOptions) { c2c(x, &Plan::many(x, &o)?, o.norm, false, "fftn") }
    /// [`Tensor::ifft`] along several dims (`torch.fft.ifftn`).
    ifftn(x, o: FftnOptions) { c2c(x, &Plan::many(x, &o)?, o.norm, true, "ifftn") }
    /// [`Tensor::rfft`] along several dims, the last of which is halved (`torch.fft.rfftn`).
    rfftn(x, o: FftnOptions) { r2c(x, &Plan::many(x, &o)?, o.norm, false, "rfftn") }
    /// [`Tensor::irfft`] along several dims (`torch.fft.irfftn`).
    irfftn(x, o: FftnOptions) {
        let (plan, n) = to_real_plan(x, &o, "irfftn")?;
        c2r(x, &plan, n, o.norm, true, "irfftn")
    }
    /// [`Tensor::hfft`] along several dims (`torch.fft.hfftn`).
    hfftn(x, o: FftnOptions) {
        let (plan, n) = to_real_plan(x, &o, "hfftn")?;
        c2r(x, &plan, n, o.norm, false, "hfftn")
    }
    /// [`Tensor::ihfft`] along several dims (`torch.fft.ihfftn`).
    ihfftn(x, o: FftnOptions) { r2c(x, &Plan::many(x, &o)?, o.norm, true, "ihfftn") }
    /// [`Tensor::fftn`] of the last two dims (`torch.fft.fft2`).
    fft2(x, o: FftnOptions) { x.checked().fftn(last_two(o)) }
    /// [`Tensor::ifftn`] of the last two dims (`torch.fft.ifft2`).
    ifft2(x, o: FftnOptions) { x.checked().ifftn(last_two(o)) }
    /// [`Tensor::rfftn`] of the last two dims (`torch.fft.rfft2`).
    rfft2(x, o: FftnOptions) { x.checked().rfftn(last_two(o)) }
    /// [`Tensor::irfftn`] of the last two dims (`torch.fft.irfft2`).
    irfft2(x, o: FftnOptions) { x.checked().irfftn(last_two(o)) }
    /// [`Tensor::hfftn`] of the last two dims (`torch.fft.hfft2`).
    hfft2(x, o: FftnOptions) { x.checked().hfftn(last_two(o)) }
    /// [`Tensor::ihfftn`] of the last two dims (`torch.fft.ihfft2`).
    ihfft2(x, o: FftnOptions) { x.checked().ihfftn(last_two(o)) }
}

/// Rolls dims (all if none are named) by what `by` makes of their sizes.
#[track_caller]
fn shifted(x: &Tensor, dims: Vec<isize>, by: impl Fn(isize) -> isize) -> Result<Tensor> {
    let dims = if dims.is_empty() { (0..x.dim() as isize).collect() } else { dims };
    if dims.is_empty() {
        return x.checked().copy();
    }
    let shape = x.shape();
    let shifts = dims.iter().map(|&d| Ok(by(shape[wrapped(d, shape.len())?] as isize))).collect::<Result<Vec<_>>>()?;
    x.checked().roll(shifts, dims)
}

methods! {
    /// Zero frequency into the middle of the dims, all if none are named (`torch.fft.fftshift`).
    fn fftshift(&self, dims: impl super::IntoSizes) -> Tensor { shifted(self.0, dims.into_sizes(), |n| n / 2) }

    /// The inverse of [`Tensor::fftshift`] (`torch.fft.ifftshift`).
    fn ifftshift(&self, dims: impl super::IntoSizes) -> Tensor { shifted(self.0, dims.into_sizes(), |n| (n + 1) / 2) }
}

#[track_caller]
fn frequencies(n: usize, half: bool, d: f64, options: TensorOptions) -> Tensor {
    let count = if half { n / 2 + 1 } else { n };
    let at = |i: usize| if 2 * i >= n + n % 2 && !half { i as f64 - n as f64 } else { i as f64 };
    let step = 1.0 / (n as f64 * d);
    let dtype = options.dtype.unwrap_or(DType::F32);
    let values: Vec<f64> = (0..count).map(|i| at(i) * step).collect();
    unwrap(Tensor::from_vec(values, [count], TensorOptions { dtype: Some(dtype), ..options }))
}

/// The frequencies of the elements of [`Tensor::fft`] for samples at a distance of `d` (`torch.fft.fftfreq`).
///
/// # Panics
/// If the device cannot be opened.
#[track_caller]
pub fn fftfreq(n: usize, d: f64, options: impl Into<TensorOptions>) -> Tensor {
    frequencies(n, false, d, options.into())
}

/// The frequencies of the elements of [`Tensor::rfft`] (`torch.fft.rfftfreq`).
///
/// # Panics
/// As [`fftfreq`].
#[track_caller]
pub fn rfftfreq(n: usize, d: f64, options: impl Into<TensorOptions>) -> Tensor {
    frequencies(n, true, d, options.into())
}
