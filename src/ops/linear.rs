//! Matrix products with a bias in the same kernel: `addmm` and its kin, and `linear`.

use super::matmul::{Form, Product, check_batches, check_matrices, check_mv};
use super::operand::MaybeTensor;
use crate::error::{Result, ensure};
use crate::layout::Layout;
use crate::scalar::Scalar;
use crate::shape::Dims;
use crate::tensor::{In, Tensor, apply_one, can_cast, methods, result_type, to_dtype};

/// The factors of `addmm` and its kin: `beta * input + alpha * product`, 1 by default.
#[non_exhaustive]
#[derive(Clone, Copy, Debug)]
pub struct AddmmOptions {
    /// Factor of the tensor that is added; with 0 it is not read.
    pub beta: Scalar,
    /// Factor of the product.
    pub alpha: Scalar,
}

impl AddmmOptions {
    /// Both 1.
    pub fn new() -> AddmmOptions {
        AddmmOptions::default()
    }
    /// With a factor of the tensor that is added.
    pub fn beta(mut self, beta: impl Into<Scalar>) -> AddmmOptions {
        self.beta = beta.into();
        self
    }
    /// With a factor of the product.
    pub fn alpha(mut self, alpha: impl Into<Scalar>) -> AddmmOptions {
        self.alpha = alpha.into();
        self
    }
}

impl Default for AddmmOptions {
    fn default() -> AddmmOptions {
        AddmmOptions { beta: Scalar::Int(1), alpha: Scalar::Int(1) }
    }
}

impl From<()> for AddmmOptions {
    fn from(_: ()) -> AddmmOptions {
        AddmmOptions::default()
    }
}

/// Refuses a bias that does not expand to the product's shape, or has another dtype.
fn check_bias(bias: &Tensor, shape: &[usize], dtype: crate::DType) -> Result<()> {
    let sizes: Vec<isize> = shape.iter().map(|&n| n as isize).collect();
    Layout::contiguous(Dims::from_slice(&bias.shape())).expand(&sizes)?;
    ensure!(
        bias.dtype() == dtype,
        Runtime,
        "self and mat2 must have the same dtype, but got {} and {}",
        bias.dtype().scalar_name(),
        dtype.scalar_name()
    );
    Ok(())
}

#[track_caller]
fn addr(t: &Tensor, vec1: &Tensor, vec2: &Tensor, o: AddmmOptions) -> Result<Tensor> {
    ensure!(vec1.dim() == 1, Runtime, "addr: Expected 1-D argument vec1, but got {}-D", vec1.dim());
    ensure!(vec2.dim() == 1, Runtime, "addr: Expected 1-D argument vec2, but got {}-D", vec2.dim());
    let sizes = [vec1.numel() as isize, vec2.numel() as isize];
    Layout::contiguous(Dims::from_slice(&t.shape())).expand(&sizes)?;
    let dtype = result_type(&[In::T(t), In::T(vec1), In::T(vec2)]);
    ensure!(
        dtype.is_differentiable() || [o.alpha, o.beta].iter().all(|f| f.category() != crate::dtype::Category::Float),
        Runtime,
        "For integral input tensors, argument alpha must not be a floating point number."
    );
    let (alpha, beta) =
        if dtype.is_differentiable() { (o.alpha, o.beta) } else { (o.alpha.as_dtype(dtype), o.beta.as_dtype(dtype)) };
    let outer = vec1.checked().unsqueeze(1)?.checked().mul(vec2)?;
    let outer = if o.alpha == Scalar::Int(1) { outer } else { outer.checked().mul(alpha)? };
    // what is multiplied by 0 is not read, so that it cannot bring NaN along
    if !beta.to_bool() {
        return Ok(to_dtype(&outer, dtype));
    }
    let own = if o.beta == Scalar::Int(1) { t.clone() } else { t.checked().mul(beta)? };
    own.checked().add(outer)
}

/// A result that has the target's sizes, in its place.
#[track_caller]
fn put(target: &Tensor, result: &Tensor) -> Result<Tensor> {
    ensure!(
        target.shape() == result.shape(),
        Runtime,
        "output with shape {:?} doesn't match the broadcast shape {:?}",
        &target.shape()[..],
        &result.shape()[..]
    );
    super::compose::replace(target, result)
}

methods! {
    /// `beta * self + alpha * mat1 @ mat2` in one kernel; `self` broadcasts (`torch.addmm`).
    ///
    /// # Panics
    /// If the sizes do not fit, or the dtypes differ.
    fn addmm(&self, mat1: &Tensor, mat2: &Tensor, options: impl Into<AddmmOptions>) -> Tensor {
        let o = options.into();
        ensure!(mat1.dim() == 2, Runtime, "mat1 must be a matrix, got {}-D tensor", mat1.dim());
        ensure!(mat2.dim() == 2, Runtime, "mat2 must be a matrix, got {}-D tensor", mat2.dim());
        check_matrices("", mat1, mat2)?;
        check_bias(self.0, &[mat1.shape()[0], mat2.shape()[1]], mat2.dtype())?;
        let op = Product::new(Form::Mm, "addmm", "AddmmBackward0", mat1, mat2).with_bias(o.alpha, o.beta);
        apply_one(op, &[self.0, mat1, mat2])
    }

    /// [`Tensor::addmm`] in place.
    fn addmm_(&self, mat1: &Tensor, mat2: &Tensor, options: impl Into<AddmmOptions>) -> Tensor {
        put(self.0, &self.addmm(mat1, mat2, options)?)
    }

    /// [`Tensor::addmv`] in place.
    fn addmv_(&self, mat: &Tensor, vec: &Tensor, options: impl Into<AddmmOptions>) -> Tensor {
        put(self.0, &self.addmv(mat, vec, options)?)
    }

    /// `beta * self + alpha * batch1 @ batch2` for batches of matrices (`torch.baddbmm`).
    ///
    /// # Panics
    /// If the sizes do not fit, or the dtypes differ.
    fn baddbmm(&self, batch1: &Tensor, batch2: &Tensor, options: impl Into<AddmmOptions>) -> Tensor {
        let o = options.into();
        check_batches(batch1, batch2)?;
        let (sa, sb) = (batch1.shape(), batch2.shape());
        check_bias(self.0, &[sa[0], sa[1], sb[2]], batch2.dtype())?;
        let op = Product::new(Form::Mm, "baddbmm", "BaddbmmBackward0", batch1, batch2).with_bias(o.alpha, o.beta);
        apply_one(op, &[self.0, batch1, batch2])
    }

    /// [`Tensor::baddbmm`] in place.
    fn baddbmm_(&self, batch1: &Tensor, batch2: &Tensor, options: impl Into<AddmmOptions>) -> Tensor {
        put(self.0, &self.baddbmm(batch1, batch2, options)?)
    }

    /// `beta * self + alpha * sum(batch1 @ batch2)` over the batch (`torch.addbmm`).
    ///
    /// # Panics
    /// If the sizes do not fit, or the dtypes differ.
    fn addbmm(&self, batch1: &Tensor, batch2: &Tensor, options: impl Into<AddmmOptions>) -> Tensor {
        check_batches(batch1, batch2)?;
        let (sa, sb) = (batch1.shape(), batch2.shape());
        check_bias(self.0, &[sa[1], sb[2]], batch2.dtype())?;
        // one long product: the batch is part of the dim that is summed over
        let (long, n) = (sa[0] * sa[2], sb[2]);
        let rows = batch1.checked().transpose(0, 1)?.checked().reshape([sa[1], long])?;
        self.addmm(&rows, &batch2.checked().reshape([long, n])?, options)
    }

    /// [`Tensor::addbmm`] in place; as in PyTorch a tensor that only broadcasts to the product is resized to it.
    fn addbmm_(&self, batch1: &Tensor, batch2: &Tensor, options: impl Into<AddmmOptions>) -> Tensor {
        let result = self.addbmm(batch1, batch2, options)?;
        if self.shape() != result.shape() {
            self.resize_(result.shape())?;
        }
        put(self.0, &result)
    }

    /// `beta * self + alpha * vec1 ⊗ vec2`, the outer product (`torch.addr`); `self` broadcasts.
    ///
    /// # Panics
    /// If the sizes do not fit.
    fn addr(&self, vec1: &Tensor, vec2: &Tensor, options: impl Into<AddmmOptions>) -> Tensor {
        addr(self.0, vec1, vec2, options.into())
    }

    /// [`Tensor::addr`] in place.
    fn addr_(&self, vec1: &Tensor, vec2: &Tensor, options: impl Into<AddmmOptions>) -> Tensor {
        let result = addr(self.0, vec1, vec2, options.into())?;
        ensure!(
            can_cast(result.dtype(), self.dtype()),
            Runtime,
            "result type {} can't be cast to the desired output type {}",
            result.dtype().scalar_name(),
            self.dtype().scalar_name()
        );
        put(self.0, &result)
    }

    /// `beta * self + alpha * mat @ vec` (`torch.addmv`).
    ///
    /// # Panics
    /// If the sizes do not fit, or the dtypes differ.
    fn addmv(&self, mat: &Tensor, vec: &Tensor, options: impl Into<AddmmOptions>) -> Tensor {
        let o = options.into();
        check_mv(self.dim(), mat, vec)?;
        let (sa, sb) = (mat.shape(), vec.shape());
        let fits = sa[1] == sb[0] && (self.numel() == 1 || (self.dim() == 1 && self.shape()[0] == sa[0]));
        let own = if self.dim() == 0 { 1 } else { self.shape()[0] };
        ensure!(fits, Runtime, "size mismatch, got input ({own}), mat ({}x{}), vec ({})", sa[0], sa[1], sb[0]);
        ensure!(
            mat.dtype() == vec.dtype(),
            Runtime,
            "expected scalar type {} but found {}",
            mat.dtype().scalar_name(),
            vec.dtype().scalar_name()
        );
        check_bias(self.0, &sa[..1], vec.dtype())?;
        let op = Product::new(Form::Mv, "addmv_impl_cpu", "AddmvBackward0", mat, vec).with_bias(o.alpha, o.beta);
        apply_one(op, &[self.0, mat, vec])
    }

    /// `self @ weight^T + bias` over the last dim; `weight` is `[out, in]` (`torch.nn.functional.linear`).
    ///
    /// # Panics
    /// If the sizes do not fit, or the dtypes differ.
    fn linear(&self, weight: &Tensor, bias: impl Into<MaybeTensor>) -> Tensor {
        let (x, bias) = (self.0, bias.into().0);
        let w = weight.checked().t()?;
        let Some(bias) = bias else { return self.matmul(&w) };
        match x.dim() {
            2 if w.dim() == 2 => bias.checked().addmm(x, &w, ()),
            3.. if w.dim() == 2 && x.is_contiguous() => {
                let shape = x.shape();
                let k = shape[shape.len() - 1];
                let flat = self.view([shape[..shape.len() - 1].iter().product(), k])?;
                let mut out = shape[..shape.len() - 1].to_vec();
                out.push(w.shape()[1]);
                bias.checked().addmm(&flat, &w, ())?.checked().view(out)
            }
            _ => self.matmul(&w)?.checked().add(bias),
        }
    }
}
