//! New tensors: constants and ranges.

use super::random::{rand, randn};
use crate::device::Device;
use crate::dtype::DType;
use crate::error::{Result, ensure};
use crate::scalar::Scalar;
use crate::shape::Shape;
use crate::stream::Storage;
use crate::tensor::{Tensor, TensorOptions, check_complex, unwrap};

fn constant(value: Scalar, shape: Shape, options: TensorOptions, default: DType) -> Result<Tensor> {
    let device = options.device.unwrap_or_default();
    device.open()?;
    let dtype = options.dtype.unwrap_or(default);
    check_complex(value, dtype)?;
    let t = Tensor::constant(value, &shape, dtype, device);
    t.finish_creation(options)
}

/// All zeros (`torch.zeros`), float32 by default. Takes no memory until somebody writes to it.
///
/// # Panics
/// If the device cannot be opened, or an integer tensor is to require a gradient.
///
/// ```
/// # use wgtorch::prelude::*;
/// assert_eq!(zeros([5, 3], I64).to_string().lines().next(), Some("tensor([[0, 0, 0],"));
/// ```
#[track_caller]
pub fn zeros(shape: impl Into<Shape>, options: impl Into<TensorOptions>) -> Tensor {
    unwrap(constant(Scalar::Int(0), shape.into(), options.into(), DType::F32))
}

/// All ones (`torch.ones`).
///
/// # Panics
/// As [`zeros`].
#[track_caller]
pub fn ones(shape: impl Into<Shape>, options: impl Into<TensorOptions>) -> Tensor {
    unwrap(constant(Scalar::Int(1), shape.into(), options.into(), DType::F32))
}

/// All one value (`torch.full`); the dtype is the value's: bool, int64, float32 or complex64.
///
/// # Panics
/// As [`zeros`].
#[track_caller]
pub fn full(shape: impl Into<Shape>, value: impl Into<Scalar>, options: impl Into<TensorOptions>) -> Tensor {
    let value = value.into();
    unwrap(constant(value, shape.into(), options.into(), value.default_dtype()))
}

/// A tensor that is to be written (`torch.empty`). What it holds until then is unspecified: zeros here.
///
/// # Panics
/// As [`zeros`].
#[track_caller]
pub fn empty(shape: impl Into<Shape>, options: impl Into<TensorOptions>) -> Tensor {
    let (shape, options) = (shape.into(), options.into());
    let device = options.device.unwrap_or_default();
    unwrap(device.open());
    let dtype = options.dtype.unwrap_or(DType::F32);
    let t = Tensor::from_storage(Storage::new(device, dtype, shape.numel()), &shape, dtype);
    unwrap(t.finish_creation(options))
}

/// A 0-dim tensor of one number (`torch.scalar_tensor`), float32 by default whatever the number is.
///
/// # Panics
/// As [`zeros`].
#[track_caller]
pub fn scalar_tensor(value: impl Into<Scalar>, options: impl Into<TensorOptions>) -> Tensor {
    unwrap(constant(value.into(), ().into(), options.into(), DType::F32))
}

/// `0, 1, … end-1` and the forms with start and step (`torch.arange`): `arange(5)`, `arange((1., 2.5, 0.5))`.
pub trait IntoRange {
    /// Start, end, step.
    fn into_range(self) -> (Scalar, Scalar, Scalar);
}
macro_rules! ranges {
    ($($t:ty),*) => {$(
        impl IntoRange for $t {
            fn into_range(self) -> (Scalar, Scalar, Scalar) { (Scalar::Int(0), self.into(), Scalar::Int(1)) }
        }
        impl IntoRange for ($t, $t) {
            fn into_range(self) -> (Scalar, Scalar, Scalar) { (self.0.into(), self.1.into(), Scalar::Int(1)) }
        }
        impl IntoRange for ($t, $t, $t) {
            fn into_range(self) -> (Scalar, Scalar, Scalar) { (self.0.into(), self.1.into(), self.2.into()) }
        }
    )*};
}
ranges!(i32, i64, usize, f32, f64, Scalar);

/// Evenly spaced values from start (0) up to, not including, the end, by step (1) (`torch.arange`).
///
/// # Panics
/// If the step is zero or leads away from the end.
///
/// ```
/// # use wgtorch::prelude::*;
/// assert_eq!(arange((2, 8, 3), ()).to_vec::<i64>()?, [2, 5]);
/// # Ok::<(), Error>(())
/// ```
#[track_caller]
pub fn arange(range: impl IntoRange, options: impl Into<TensorOptions>) -> Tensor {
    let (start, end, step) = range.into_range();
    unwrap(try_arange(start, end, step, options.into()))
}

/// [`arange`] with its errors as values.
///
/// # Errors
/// If the step is zero or leads away from the end.
pub fn try_arange(start: Scalar, end: Scalar, step: Scalar, options: TensorOptions) -> Result<Tensor> {
    let (a, b, s) = (start.to_f64(), end.to_f64(), step.to_f64());
    ensure!(s != 0.0, Runtime, "step must be nonzero");
    ensure!(a.is_finite() && b.is_finite(), Runtime, "unsupported range: {start} -> {end}");
    ensure!(
        (s > 0.0 && b >= a) || (s < 0.0 && b <= a),
        Runtime,
        "upper bound and lower bound inconsistent with step sign"
    );
    let ints = [start, end, step].iter().all(|x| matches!(x, Scalar::Int(_)));
    let dtype = options.dtype.unwrap_or(if ints { DType::I64 } else { DType::F32 });
    let rest = TensorOptions { dtype: Some(dtype), ..options };
    let n = ((b - a) / s).ceil() as usize;
    if dtype.is_differentiable() {
        let v: Vec<f64> = (0..n).map(|i| a + i as f64 * s).collect();
        Tensor::from_vec(v, [n], rest)
    } else {
        let (a, s) = (start.to_i64(), step.to_i64());
        let v: Vec<i64> = (0..n as i64).map(|i| a + i * s).collect();
        Tensor::from_vec(v, [n], rest)
    }
}

impl Tensor {
    fn like(&self, options: impl Into<TensorOptions>) -> TensorOptions {
        let o = options.into();
        TensorOptions { dtype: o.dtype.or(Some(self.dtype())), device: o.device.or(Some(self.device())), ..o }
    }
}

macro_rules! like {
    ($($(#[$m:meta])* $name:ident $new:ident $f:ident;)*) => {$(
        $(#[$m])*
        #[doc = concat!(" Shape, dtype and device are the tensor's unless the options say otherwise (`torch.", stringify!($name), "`).")]
        #[track_caller]
        pub fn $name(t: &Tensor, options: impl Into<TensorOptions>) -> Tensor { $f(t.shape(), t.like(options)) }
        impl Tensor {
            $(#[$m])*
            #[doc = concat!(" Dtype and device are the tensor's unless the options say otherwise (`tensor.", stringify!($new), "`).")]
            #[track_caller]
            pub fn $new(&self, shape: impl Into<Shape>, options: impl Into<TensorOptions>) -> Tensor { $f(shape, self.like(options)) }
        }
    )*};
}
like! {
    /// All zeros.
    zeros_like new_zeros zeros;
    /// All ones.
    ones_like new_ones ones;
    /// A tensor that is to be written.
    empty_like new_empty empty;
    /// Uniform numbers from [0, 1).
    rand_like new_rand rand;
    /// Standard normal numbers.
    randn_like new_randn randn;
}

/// All one value in the form of another tensor (`torch.full_like`).
#[track_caller]
pub fn full_like(t: &Tensor, value: impl Into<Scalar>, options: impl Into<TensorOptions>) -> Tensor {
    full(t.shape(), value, t.like(options))
}

impl Tensor {
    /// All one value. Dtype and device are the tensor's unless the options say otherwise (`tensor.new_full`).
    #[track_caller]
    pub fn new_full(
        &self,
        shape: impl Into<Shape>,
        value: impl Into<Scalar>,
        options: impl Into<TensorOptions>,
    ) -> Tensor {
        full(shape, value, self.like(options))
    }
}

impl Device {
    /// Waits until the device has done all that this thread asked of it (`torch.cuda.synchronize`).
    ///
    /// # Errors
    /// What went wrong there since the last wait.
    pub fn synchronize(self) -> Result<()> {
        crate::stream::synchronize(self)
    }
}
