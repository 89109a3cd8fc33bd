//! Tensors from host data, and the options that every creation function takes.

use super::Tensor;
use crate::cpu::memory::HostBuf;
use crate::device::Device;
use crate::dtype::{Category, DType, Element};
use crate::error::{Result, ensure};
use crate::scalar::Scalar;
use crate::shape::Shape;
use crate::stream::{self, Storage};
use num_complex::Complex;

/// What creation functions default: converts from `()`, a dtype, a device or a pair of them.
///
/// ```
/// # use wgtorch::prelude::*;
/// let x = zeros([2, 3], (F64, Device::Cpu));
/// let w = ones([3], TensorOptions::new().requires_grad(true));
/// # assert_eq!(x.dtype(), F64);
/// # assert!(w.requires_grad());
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default)]
pub struct TensorOptions {
    /// The element type; what the function defaults to if None.
    pub dtype: Option<DType>,
    /// The device; the CPU if None, or that of the tensor a `_like` function is given.
    pub device: Option<Device>,
    /// Makes the result a leaf that gradients flow to.
    pub requires_grad: bool,
}

impl TensorOptions {
    /// All defaults.
    pub fn new() -> TensorOptions {
        TensorOptions::default()
    }
    /// With an element type.
    pub fn dtype(mut self, dtype: DType) -> TensorOptions {
        self.dtype = Some(dtype);
        self
    }
    /// On a device.
    pub fn device(mut self, device: Device) -> TensorOptions {
        self.device = Some(device);
        self
    }
    /// As a leaf that gradients flow to.
    pub fn requires_grad(mut self, on: bool) -> TensorOptions {
        self.requires_grad = on;
        self
    }
}

impl From<()> for TensorOptions {
    fn from(_: ()) -> TensorOptions {
        TensorOptions::default()
    }
}
impl From<DType> for TensorOptions {
    fn from(d: DType) -> TensorOptions {
        TensorOptions::new().dtype(d)
    }
}
impl From<Device> for TensorOptions {
    fn from(d: Device) -> TensorOptions {
        TensorOptions::new().device(d)
    }
}
impl From<&Device> for TensorOptions {
    fn from(d: &Device) -> TensorOptions {
        TensorOptions::new().device(*d)
    }
}
impl From<(DType, Device)> for TensorOptions {
    fn from((t, d): (DType, Device)) -> TensorOptions {
        TensorOptions::new().dtype(t).device(d)
    }
}
impl From<(DType, &Device)> for TensorOptions {
    fn from((t, d): (DType, &Device)) -> TensorOptions {
        TensorOptions::new().dtype(t).device(*d)
    }
}

/// Numbers, nested arrays, slices and vectors of them: what [`tensor!`](crate::tensor!) takes.
pub trait IntoTensorData {
    /// Appends the sizes from this level inwards.
    fn sizes(&self, out: &mut Vec<usize>);
    /// Appends the elements in row-major order; an error where nested lists differ in length.
    fn elements(&self, out: &mut Vec<Scalar>, sizes: &[usize]) -> Result<()>;
    /// The category of an empty list's elements: float.
    fn category() -> Category;
}

macro_rules! number_data {
    ($($t:ty => $c:ident),*) => {$(
        impl IntoTensorData for $t {
            fn sizes(&self, _: &mut Vec<usize>) {}
            fn elements(&self, out: &mut Vec<Scalar>, _: &[usize]) -> Result<()> {
                out.push(Scalar::from(*self));
                Ok(())
            }
            fn category() -> Category { Category::$c }
        }
    )*};
}
number_data!(bool => Bool, u8 => Int, i8 => Int, i16 => Int, i32 => Int, i64 => Int, u32 => Int, usize => Int, f32 => Float, f64 => Float,
             Complex<f32> => Complex, Complex<f64> => Complex);

impl<T: IntoTensorData> IntoTensorData for [T] {
    fn sizes(&self, out: &mut Vec<usize>) {
        out.push(self.len());
        if let Some(first) = self.first() {
            first.sizes(out);
        }
    }
    fn elements(&self, out: &mut Vec<Scalar>, sizes: &[usize]) -> Result<()> {
        ensure!(
            sizes.first() == Some(&self.len()),
            Value,
            "expected sequence of length {} at dim {} (got {})",
            sizes.first().copied().unwrap_or(0),
            0,
            self.len()
        );
        self.iter().try_for_each(|x| x.elements(out, &sizes[1..]))
    }
    fn category() -> Category {
        T::category()
    }
}

macro_rules! forward_data {
    ($([$($g:tt)*] $t:ty),*) => {$(
        impl<T: IntoTensorData, $($g)*> IntoTensorData for $t {
            fn sizes(&self, out: &mut Vec<usize>) { self[..].sizes(out) }
            fn elements(&self, out: &mut Vec<Scalar>, sizes: &[usize]) -> Result<()> { self[..].elements(out, sizes) }
            fn category() -> Category { T::category() }
        }
    )*};
}
forward_data!([const N: usize] [T; N], [] Vec<T>, [] &[T]);

/// Refuses a complex number with an imaginary part where a real one is wanted.
pub fn check_complex(value: Scalar, dtype: DType) -> Result<()> {
    let name = match dtype {
        DType::F32 => "float",
        DType::F64 => "double",
        DType::I64 => "int64_t",
        d => d.name(),
    };
    let fits = !matches!(value, Scalar::Complex(z) if z.im != 0.0) || dtype.is_complex();
    ensure!(fits, Runtime, "value cannot be converted to type {name} without overflow");
    Ok(())
}

/// Refuses integers that an integer dtype cannot hold; unsigned dtypes take negative ones as they wrap.
fn check_range(elements: &[Scalar], dtype: DType) -> Result<()> {
    let (low, high) = match dtype {
        DType::U8 => (-255, 255),
        DType::I8 => (-128, 127),
        DType::I16 => (i16::MIN as i64, i16::MAX as i64),
        DType::I32 => (i32::MIN as i64, i32::MAX as i64),
        DType::U32 => (-(u32::MAX as i64), u32::MAX as i64),
        _ => return Ok(()),
    };
    let outside = elements.iter().any(|x| matches!(x, Scalar::Int(i) if !(low..=high).contains(i)));
    let name = dtype.to_string();
    ensure!(
        !outside,
        Runtime,
        "value cannot be converted to type {} without overflow",
        name.trim_start_matches("torch.")
    );
    Ok(())
}

impl Tensor {
    /// A tensor over a vector's memory, row-major, without copying on the CPU. The dtype is the vector's unless the options
    /// name another.
    ///
    /// # Errors
    /// If the sizes do not multiply to the vector's length, or the device cannot be opened.
    #[track_caller]
    pub fn from_vec<T: Element>(
        data: Vec<T>,
        shape: impl Into<Shape>,
        options: impl Into<TensorOptions>,
    ) -> Result<Tensor> {
        let (shape, options) = (shape.into(), options.into());
        ensure!(
            shape.numel() == data.len(),
            Runtime,
            "shape '{:?}' is invalid for input of size {}",
            &shape[..],
            data.len()
        );
        let storage = Storage::from_host(T::DTYPE, HostBuf::from_vec(data));
        let host = Tensor::from_storage(storage, &shape, T::DTYPE);
        host.finish_creation(options)
    }

    /// A tensor over a copy of a slice, row-major (`torch.tensor(array)`): memory of the library's own, which is kept for the
    /// next tensor where a vector's is given back. The dtype is the slice's unless the options name another.
    ///
    /// # Errors
    /// If the sizes do not multiply to the slice's length, or the device cannot be opened.
    ///
    /// ```
    /// # use wgtorch::prelude::*;
    /// assert_eq!(Tensor::from_slice(&[1f32, 2.], [2, 1], ())?.to_vec::<f32>()?, [1., 2.]);
    /// # Ok::<(), Error>(())
    /// ```
    #[track_caller]
    pub fn from_slice<T: Element>(
        data: &[T],
        shape: impl Into<Shape>,
        options: impl Into<TensorOptions>,
    ) -> Result<Tensor> {
        // SAFETY: elements have no padding, and any of them can be read as bytes.
        let bytes = unsafe { std::slice::from_raw_parts(data.as_ptr().cast::<u8>(), size_of_val(data)) };
        Tensor::from_bytes(bytes, &shape.into(), T::DTYPE)?.finish_creation(options.into())
    }

    /// Brings new data to the dtype and device of the options.
    pub(crate) fn finish_creation(self, options: TensorOptions) -> Result<Tensor> {
        let mut t = self;
        if let Some(dtype) = options.dtype
            && dtype != t.dtype()
        {
            t = super::to_dtype(&t, dtype);
        }
        if let Some(device) = options.device
            && device != t.device()
        {
            t = t.to_device(device)?;
        }
        if options.requires_grad {
            ensure!(
                t.dtype().is_differentiable(),
                Runtime,
                "Only Tensors of floating point and complex dtype can require gradients"
            );
            t.checked().requires_grad_(true)?;
        }
        Ok(t)
    }

    /// A tensor of nested numbers, as [`tensor!`](crate::tensor!) makes it: ints are int64, floats float32, bools bool.
    ///
    /// # Errors
    /// If nested lists differ in length.
    #[track_caller]
    pub fn from_data<D: IntoTensorData + ?Sized>(data: &D, options: impl Into<TensorOptions>) -> Result<Tensor> {
        let options = options.into();
        let (mut sizes, mut elements) = (Vec::new(), Vec::new());
        data.sizes(&mut sizes);
        data.elements(&mut elements, &sizes)?;
        let dtype = options.dtype.unwrap_or(match D::category() {
            Category::Bool => DType::Bool,
            Category::Int => DType::I64,
            Category::Float => DType::F32,
            Category::Complex => DType::C64,
        });
        check_range(&elements, dtype)?;
        elements.iter().try_for_each(|x| check_complex(*x, dtype))?;
        let bytes = HostBuf::alloc(elements.len() * dtype.size());
        crate::dtype::dispatch!(dtype, T => {
            for (i, x) in elements.iter().enumerate() {
                // SAFETY: inside the block just allocated for this many elements.
                unsafe { bytes.ptr().cast::<T>().add(i).write(T::from_scalar(*x)) };
            }
        });
        let t = Tensor::from_storage(Storage::from_host(dtype, bytes), &sizes, dtype);
        t.finish_creation(TensorOptions { dtype: None, ..options })
    }

    /// All elements one value, without a buffer until somebody writes.
    pub(crate) fn constant(value: Scalar, shape: &[usize], dtype: DType, device: Device) -> Tensor {
        let storage = Storage::constant(device, dtype, crate::shape::numel(shape), value.as_dtype(dtype));
        Tensor::from_storage(storage, shape, dtype)
    }

    /// Zeros in the form of a tensor, as a gradient that does not depend on anything.
    pub(crate) fn zeros_of(m: &super::OutMeta) -> Tensor {
        Tensor::constant(Scalar::Int(0), &m.shape, m.dtype, m.device)
    }

    /// A copy on another device, without history; waits where it comes from a GPU.
    pub(crate) fn to_device(&self, device: Device) -> Result<Tensor> {
        let (shape, dtype) = (self.shape(), self.dtype());
        if let Some(value) = self.with_body(|b| b.storage.as_constant().filter(|_| b.storage.dtype == b.dtype)) {
            device.open()?;
            return Ok(Tensor::constant(value, &shape, dtype, device));
        }
        let storage = stream::read(&self.packed()?.arg(), |bytes| match device {
            Device::Cpu => Ok(Storage::from_host(dtype, HostBuf::from_bytes(bytes))),
            gpu => stream::upload(gpu, dtype, bytes),
        })??;
        Ok(Tensor::from_storage(storage, &shape, dtype))
    }
}

/// A tensor of nested numbers: `tensor!([[1., 2.], [3., 4.]])`, `tensor!(5)`, `tensor!([1, 2], F64)`.
///
/// Integers make an int64 tensor, floats a float32 one, bools a bool one, as in Python; a second argument gives options.
///
/// ```
/// # use wgtorch::prelude::*;
/// assert_eq!(tensor!([[1., 2.], [3., 4.]]).shape(), [2, 2]);
/// assert_eq!(tensor!([1, 2, 3]).dtype(), I64);
/// ```
///
/// # Panics
/// If nested lists differ in length.
#[macro_export]
macro_rules! tensor {
    ($data:expr) => {
        $crate::tensor!($data, ())
    };
    ($data:expr, $options:expr) => {
        match $crate::Tensor::from_data(&$data, $options) {
            Ok(t) => t,
            Err(e) => panic!("{e}"),
        }
    };
}
