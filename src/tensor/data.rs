//! Elements back to the host: the only places where a program waits for a device.

use super::{Tensor, try_to_dtype};
use crate::cpu::memory::advise_huge;
use crate::cpu::simd::copy_bytes;
use crate::dtype::{DType, Element};
use crate::error::{Result, ensure};
use crate::scalar::Scalar;
use crate::stream;
use std::mem::MaybeUninit;

impl Tensor {
    /// The tensor itself if it is contiguous, else a contiguous copy; no history.
    pub(crate) fn packed(&self) -> Result<Tensor> {
        if self.is_contiguous() { Ok(self.clone()) } else { self.detach().copy_now() }
    }

    /// All elements in row-major order, converted to `T` (`tensor.flatten().tolist()`). Waits for the device.
    ///
    /// # Errors
    /// What went wrong on the device since the last wait.
    ///
    /// ```
    /// # use wgtorch::prelude::*;
    /// assert_eq!(tensor!([1, 2, 3]).to_vec::<f32>()?, [1., 2., 3.]);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn to_vec<T: Element>(&self) -> Result<Vec<T>> {
        let source = self.host_order::<T>()?;
        let mut out = Vec::<T>::with_capacity(source.numel());
        advise_huge(out.as_mut_ptr().cast(), source.numel() * size_of::<T>());
        let room = out.spare_capacity_mut();
        stream::read_pieces(&source.arg(), |at, bytes| put(&mut room[at / size_of::<T>()..], bytes))?;
        // SAFETY: the pieces are all of the elements.
        unsafe { out.set_len(source.numel()) };
        Ok(out)
    }

    /// [`Tensor::to_vec`] into memory that is there already, which spares the making of new memory
    /// (`numpy.copyto(out, tensor.numpy())`).
    ///
    /// # Errors
    /// If there is not room for exactly as many elements, or what went wrong on the device since the last wait.
    ///
    /// ```
    /// # use wgtorch::prelude::*;
    /// let mut out = [0f32; 3];
    /// tensor!([1, 2, 3]).copy_to_slice(&mut out)?;
    /// assert_eq!(out, [1., 2., 3.]);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn copy_to_slice<T: Element>(&self, out: &mut [T]) -> Result<()> {
        let n = self.numel();
        ensure!(out.len() == n, Value, "could not copy {n} elements into a slice of {}", out.len());
        let source = self.host_order::<T>()?;
        // SAFETY: initialised elements, and `put` writes nothing else.
        let room = unsafe { std::slice::from_raw_parts_mut(out.as_mut_ptr().cast(), n) };
        stream::read_pieces(&source.arg(), |at, bytes| put::<T>(&mut room[at / size_of::<T>()..], bytes))
    }

    /// [`Tensor::to_vec`] that yields instead of blocking while the GPU works: the form for browsers.
    pub async fn to_vec_async<T: Element>(&self) -> Result<Vec<T>> {
        let source = self.host_order::<T>()?;
        stream::read_async(&source.arg(), |bytes| elements(bytes, source.numel())).await
    }

    fn host_order<T: Element>(&self) -> Result<Tensor> {
        if self.dtype() == T::DTYPE { self.packed() } else { try_to_dtype(&self.detach(), T::DTYPE) }
    }

    /// The only element (`tensor.item()`). Waits for the device.
    ///
    /// # Errors
    /// If there is not exactly one element, or what went wrong on the device since the last wait.
    pub fn item<T: Element>(&self) -> Result<T> {
        self.check_item()?;
        Ok(self.to_vec::<T>()?[0])
    }

    /// [`Tensor::item`] that yields instead of blocking.
    pub async fn item_async<T: Element>(&self) -> Result<T> {
        self.check_item()?;
        Ok(self.to_vec_async::<T>().await?[0])
    }

    fn check_item(&self) -> Result<()> {
        let n = self.numel();
        ensure!(n == 1, Runtime, "a Tensor with {n} elements cannot be converted to Scalar");
        Ok(())
    }

    /// The only element, as a number of its category.
    pub fn item_scalar(&self) -> Result<Scalar> {
        self.check_item()?;
        crate::dtype::dispatch!(self.dtype(), T => Ok(self.to_vec::<T>()?[0].to_scalar()))
    }

    /// The elements in row-major order as little-endian bytes of the dtype. Waits for the device.
    ///
    /// # Errors
    /// What went wrong on the device since the last wait.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        stream::read(&self.packed()?.arg(), <[u8]>::to_vec)
    }

    /// A CPU tensor over a copy of row-major little-endian bytes.
    ///
    /// # Errors
    /// If there are not as many bytes as the sizes and the dtype need.
    pub fn from_bytes(bytes: &[u8], shape: &[usize], dtype: DType) -> Result<Tensor> {
        let want = crate::shape::numel(shape) * dtype.size();
        ensure!(bytes.len() == want, Value, "{} bytes for shape {shape:?} of {dtype}, which needs {want}", bytes.len());
        let host = crate::cpu::memory::HostBuf::from_bytes(bytes);
        Ok(Tensor::from_storage(stream::Storage::from_host(dtype, host), shape, dtype))
    }

    /// The same elements without history, sharing memory and version (`tensor.detach()`).
    pub fn detach(&self) -> Tensor {
        super::alias(self)
    }

    /// The same memory without history and with a version count of its own (`tensor.data`): writes go unnoticed by autograd.
    pub fn data(&self) -> Tensor {
        let mut body = self.body();
        body.version = Some(Default::default());
        Tensor::from_body(body, None)
    }
}

fn elements<T: Element>(bytes: &[u8], n: usize) -> Vec<T> {
    let mut out = Vec::<T>::with_capacity(n);
    debug_assert_eq!(bytes.len(), n * size_of::<T>());
    advise_huge(out.as_mut_ptr().cast(), bytes.len());
    put(out.spare_capacity_mut(), bytes);
    // SAFETY: the bytes are n elements.
    unsafe { out.set_len(n) };
    out
}

/// Writes the elements that the bytes are.
fn put<T: Element>(out: &mut [MaybeUninit<T>], bytes: &[u8]) {
    let n = bytes.len() / size_of::<T>();
    if T::DTYPE == DType::Bool {
        // a byte that is neither 0 nor 1 is no bool in Rust
        for (o, b) in out[..n].iter_mut().zip(bytes) {
            o.write(T::from_scalar(Scalar::Bool(*b != 0)));
        }
        return;
    }
    let out = out[..n].as_mut_ptr().cast::<u8>();
    // SAFETY: n elements of T, for which every bit pattern is valid.
    unsafe { copy_bytes(bytes.as_ptr(), out, n * size_of::<T>()) };
}
