//! The bridge to `ndarray`, which stands for NumPy: both sides see the same memory (feature `ndarray`).
//!
//! NOTE [Host views]: a guard marks its storage as borrowed, then waits for what is recorded for it or at work on it. A step
//! that would write borrowed memory, or read memory that a guard writes, is refused when it is recorded: nothing can wait for
//! the guard of its own thread.

use super::Tensor;
use crate::dtype::{Category, DType, Element};
use crate::error::{Result, ensure};
use crate::format::{self, Values};
use crate::layout::Layout;
use crate::scalar::Scalar;
use crate::stream::{self, HostHold, Storage};
use ndarray::{Array, ArrayRef, ArrayViewD, ArrayViewMutD, Dimension, IxDyn, ShapeBuilder};
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

impl Tensor {
    /// A CPU tensor over the array's own memory, which it takes over without copying (`torch.from_numpy`).
    ///
    /// # Errors
    /// If a stride is negative (`to_owned()` makes a copy without such).
    ///
    /// ```
    /// # use wgtorch::prelude::*;
    /// let t = Tensor::from_ndarray(ndarray::arr2(&[[1., 2.], [3., 4.]]))?;
    /// let array = t.numpy::<f64>()?;
    /// t.add_(1);
    /// assert_eq!(array.view()?[[1, 0]], 4.);
    /// array.view_mut()?[[0, 0]] = 9.;
    /// assert_eq!(t.to_vec::<f64>()?, [9., 3., 4., 5.]);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn from_ndarray<T: Element, D: Dimension>(array: Array<T, D>) -> Result<Tensor> {
        let shape = array.shape().into();
        let mut strides = crate::shape::Dims::new();
        for (&n, &s) in array.shape().iter().zip(array.strides()) {
            ensure!(
                s >= 0 || n <= 1,
                Value,
                "At least one stride in the given numpy array is negative, and tensors with negative strides are not \
                 currently supported. (You can probably work around this by making a copy of your array  with array.copy().) "
            );
            strides.push(s.max(0) as usize);
        }
        let (data, offset) = array.into_raw_vec_and_offset();
        let layout = Layout { shape, strides, offset: offset.unwrap_or(0) };
        let storage = Storage::from_host(T::DTYPE, crate::cpu::memory::HostBuf::from_vec(data));
        Ok(Tensor::from_body(super::Body { storage, layout, dtype: T::DTYPE, version: None }, None))
    }

    /// A handle through which `ndarray` sees this tensor's memory (`tensor.numpy()`); `T` has to be the tensor's dtype. What
    /// is recorded so far is launched.
    ///
    /// # Errors
    /// If the tensor requires grad, lies on a GPU, or has another dtype.
    pub fn numpy<T: Element>(&self) -> Result<NdArray<T>> {
        ensure!(
            !self.requires_grad(),
            Runtime,
            "Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead."
        );
        ensure!(
            !self.device().is_gpu(),
            Type,
            "can't convert {} device type tensor to numpy. Use Tensor.cpu() to copy the tensor to host memory first.",
            self.device()
        );
        ensure!(self.dtype() == T::DTYPE, Type, "numpy(): the elements are {}, not {}", self.dtype(), T::DTYPE);
        stream::flush();
        Ok(NdArray { tensor: self.detach(), element: PhantomData })
    }
}

/// A tensor's memory for `ndarray`; keeps the memory alive. Prints as NumPy prints the array.
#[derive(Clone)]
pub struct NdArray<T> {
    tensor: Tensor,
    element: PhantomData<T>,
}

/// A look at a tensor's memory, an `ndarray` for as long as it is held. Meanwhile in-place steps on the memory are errors.
pub struct NdView<'a, T> {
    view: ArrayViewD<'a, T>,
    _hold: HostHold,
}

/// A view that may write. Meanwhile every other use of the memory is an error.
pub struct NdViewMut<'a, T> {
    view: ArrayViewMutD<'a, T>,
    _hold: HostHold,
}

impl<T: Element> NdArray<T> {
    /// The memory to read, after what is recorded for it has run.
    ///
    /// # Errors
    /// If a view that writes is held, or what went wrong in steps recorded before.
    pub fn view(&self) -> Result<NdView<'_, T>> {
        let (ptr, hold, layout) = self.hold(false)?;
        let shape = strided(&layout);
        // SAFETY: the layout lies inside the storage, which the hold keeps alive and unwritten.
        Ok(NdView { view: unsafe { ArrayViewD::from_shape_ptr(shape, ptr) }, _hold: hold })
    }

    /// The memory to write; counts as an in-place change of the tensor.
    ///
    /// # Errors
    /// If another view is held, if elements share memory (an expanded tensor), or what went wrong in steps recorded before.
    pub fn view_mut(&self) -> Result<NdViewMut<'_, T>> {
        ensure!(
            !self.tensor.layout().overlaps_itself(),
            Runtime,
            "unsupported operation: more than one element of the written-to tensor refers to a single memory location. \
             Please clone() the tensor before performing the operation."
        );
        let (ptr, hold, layout) = self.hold(true)?;
        self.tensor.bump_version();
        let shape = strided(&layout);
        // SAFETY: as in `view`; no two elements share memory, and the hold keeps everybody else out.
        Ok(NdViewMut { view: unsafe { ArrayViewMutD::from_shape_ptr(shape, ptr) }, _hold: hold })
    }

    fn hold(&self, write: bool) -> Result<(*mut T, HostHold, Layout)> {
        let body = self.tensor.body();
        let hold = stream::hold(&body.storage, write)?;
        // SAFETY: the layout's first element lies inside the storage.
        let ptr = unsafe { hold.ptr().cast::<T>().add(body.layout.offset) };
        ensure!(
            ptr.is_aligned(),
            Value,
            "numpy(): the memory is not aligned for {}: it was made for a dtype of fewer bytes",
            T::DTYPE
        );
        if T::DTYPE == DType::Bool {
            let mut known = true;
            body.layout.for_each_offset(|o| {
                // SAFETY: inside the storage; read as a byte, since other bits than 0 and 1 are no bool.
                known &= unsafe { *hold.ptr().add(o) } <= 1;
            });
            ensure!(known, Value, "numpy(): a bool that is neither 0 nor 1");
        }
        Ok((ptr, hold, body.layout))
    }
}

impl<T: Element> fmt::Display for NdArray<T> {
    /// As NumPy's `print(array)`; what went wrong is printed in the array's place.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (shape, round) = (self.tensor.shape(), |x| T::from_scalar(Scalar::Float(x)).to_scalar().to_f64());
        let text = match T::DTYPE.category() {
            Category::Float => {
                self.tensor.to_vec::<f64>().map(|v| format::numpy::array(Values::Float(&v), &shape, round))
            }
            Category::Complex => self.tensor.to_vec::<num_complex::Complex<f64>>().map(|v| {
                let (re, im): (Vec<f64>, Vec<f64>) = v.iter().map(|z| (z.re, z.im)).unzip();
                format::numpy::array(Values::Complex(&re, &im), &shape, round)
            }),
            Category::Int => self.tensor.to_vec::<i64>().map(|v| format::numpy::array(Values::Int(&v), &shape, round)),
            Category::Bool => {
                self.tensor.to_vec::<bool>().map(|v| format::numpy::array(Values::Bool(&v), &shape, round))
            }
        };
        match text {
            Ok(text) => f.write_str(&text),
            Err(e) => write!(f, "array(<{e}>)"),
        }
    }
}

fn strided(layout: &Layout) -> ndarray::StrideShape<IxDyn> {
    IxDyn(&layout.shape).strides(IxDyn(&layout.strides))
}

// to the array as a reference: a view copied out of the guard could outlive it
impl<T> Deref for NdView<'_, T> {
    type Target = ArrayRef<T, IxDyn>;
    fn deref(&self) -> &ArrayRef<T, IxDyn> {
        &self.view
    }
}

impl<T> Deref for NdViewMut<'_, T> {
    type Target = ArrayRef<T, IxDyn>;
    fn deref(&self) -> &ArrayRef<T, IxDyn> {
        &self.view
    }
}

impl<T> DerefMut for NdViewMut<'_, T> {
    fn deref_mut(&mut self) -> &mut ArrayRef<T, IxDyn> {
        &mut self.view
    }
}
