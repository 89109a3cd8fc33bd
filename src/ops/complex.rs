//! Complex tensors: made of parts or of magnitude and angle, seen as their parts, conjugated.

use super::compose::composite;
use super::pointwise::grads;
use crate::dtype::DType;
use crate::error::{Result, bail, ensure};
use crate::layout::Layout;
use crate::num::rows;
use crate::scalar::Scalar;
use crate::stream::Buf;
use crate::tensor::{
    CONJ, Ctx, Elementwise, In, Rule, Saves, Tensor, ViewOp, elementwise, elementwise_, methods, unwrap, view,
};
use num_complex::Complex;
use std::sync::Once;

/// A complex tensor as a real one with a last dim for the two parts.
#[derive(Debug)]
struct ViewAsReal;

impl ViewOp for ViewAsReal {
    fn node_name(&self) -> &'static str {
        "ViewAsRealBackward0"
    }
    fn layout(&self, l: &Layout) -> Result<Layout> {
        let mut out = l.clone();
        out.offset *= 2;
        out.strides.iter_mut().for_each(|s| *s *= 2);
        out.shape.push(2);
        out.strides.push(1);
        Ok(out)
    }
    fn dtype(&self, input: DType) -> DType {
        input.to_real()
    }
    fn vjp(&self, g: &Tensor, _: &Ctx) -> Result<Tensor> {
        // a gradient may be an expanded or transposed tensor
        g.checked().contiguous()?.checked().view_as_complex()
    }
}

/// A real tensor whose last dim holds two parts as a complex one.
#[derive(Debug)]
struct ViewAsComplex;

impl ViewOp for ViewAsComplex {
    fn node_name(&self) -> &'static str {
        "ViewAsComplexBackward0"
    }
    fn layout(&self, l: &Layout) -> Result<Layout> {
        ensure!(l.ndim() > 0, Runtime, "Input tensor must have one or more dimensions");
        let last = l.ndim() - 1;
        ensure!(l.shape[last] == 2, Runtime, "Tensor must have a last dimension of size 2");
        ensure!(l.strides[last] == 1, Runtime, "Tensor must have a last dimension with stride 1");
        let mut out = l.clone();
        out.shape.pop();
        out.strides.pop();
        for s in &mut out.strides {
            ensure!(
                s.is_multiple_of(2),
                Runtime,
                "Tensor must have a stride divisible by 2 for all but last dimension"
            );
            *s /= 2;
        }
        ensure!(out.offset.is_multiple_of(2), Runtime, "Tensor must have a storage_offset divisible by 2");
        out.offset /= 2;
        Ok(out)
    }
    fn dtype(&self, input: DType) -> DType {
        input.to_complex()
    }
    fn vjp(&self, g: &Tensor, _: &Ctx) -> Result<Tensor> {
        g.checked().view_as_real()
    }
}

static ANGLE: Elementwise = Elementwise {
    row: &rows::ANGLE,
    rule: Rule::Common,
    node: "AngleBackward0",
    saves: |_| 1,
    // (g / |z|) times the direction a quarter turn on
    vjp: |cx| {
        grads!(cx; {
            let z = cx.input(0)?;
            let at_zero = z.detach().eq(0);
            let turned = z.sgn() * Complex::new(0.0, 1.0) / z.abs();
            super::pointwise::where_cond(&at_zero, 0, turned * cx.g())
        })
    },
};

/// Says once that a real result leaves out imaginary parts, as PyTorch warns.
pub(super) fn warn_discards(from: DType, to: DType) {
    static SAID: Once = Once::new();
    if from.is_complex() && !to.is_complex() && to != DType::Bool {
        SAID.call_once(|| eprintln!("wgtorch: casting complex values to real discards the imaginary part"));
    }
}

/// Both parts in one tensor, of float32 or float64 tensors of one dtype.
fn joined(name: &'static str, a: &Tensor, b: &Tensor) -> Result<()> {
    let (da, db) = (a.dtype(), b.dtype());
    let float = |d| matches!(d, DType::F16 | DType::F32 | DType::F64);
    ensure!(
        float(da) && float(db),
        NotImplemented,
        "Expected both inputs to be Half, Float or Double tensors but got {} and {}",
        da.scalar_name(),
        db.scalar_name()
    );
    ensure!(
        da == db,
        Runtime,
        "Expected object of scalar type {} but got scalar type {} for second argument",
        da.scalar_name(),
        db.scalar_name()
    );
    ensure!(da != DType::F16, NotImplemented, "\"{name}_cpu\" not implemented for 'Half': there is no complex32");
    Ok(())
}

/// [`complex`] with its errors as values.
///
/// # Errors
/// As [`complex`] panics.
#[track_caller]
pub fn try_complex(real: &Tensor, imag: &Tensor) -> Result<Tensor> {
    joined("complex", real, imag)?;
    let forward = || {
        let shape = crate::shape::broadcast(&real.shape(), &imag.shape())?;
        let (re, im) = (real.checked().expand(&shape[..])?, imag.checked().expand(&shape[..])?);
        crate::ops::try_stack(&[&re, &im], -1)?.checked().view_as_complex()
    };
    composite(
        "ComplexBackward0",
        &[real, imag],
        Saves::NONE,
        forward,
        |cx| grads!(cx; cx.g().checked().real()?, cx.g().checked().imag()?),
    )
}

/// [`polar`] with its errors as values.
///
/// # Errors
/// As [`polar`] panics.
#[track_caller]
pub fn try_polar(abs: &Tensor, angle: &Tensor) -> Result<Tensor> {
    joined("polar", abs, angle)?;
    let forward = || {
        let (sin, cos) = (angle.checked().sin()?, angle.checked().cos()?);
        try_complex(&abs.checked().mul(&cos)?, &abs.checked().mul(&sin)?)
    };
    let saves = Saves { inputs: 0b11, outputs: 0 };
    composite("PolarBackward0", &[abs, angle], saves, forward, |cx| {
        let (abs, angle) = (cx.input(0)?, cx.input(1)?);
        let (sin, cos) = (angle.sin(), angle.cos());
        let (re, im) = (cx.g().real(), cx.g().imag());
        grads!(cx; &re * &cos + &im * &sin, (&im * &cos - &re * &sin) * &abs)
    })
}

/// `real + imag i` of two float32 or two float64 tensors, which broadcast (`torch.complex`).
///
/// # Panics
/// If the dtypes differ or are no such floats, or the shapes do not broadcast.
///
/// ```
/// # use wgtorch::prelude::*;
/// let z = wgtorch::complex(&tensor!([1., 2.]), &tensor!([3., 4.]));
/// assert_eq!(z.to_string(), "tensor([1.+3.j, 2.+4.j])");
/// ```
#[track_caller]
pub fn complex(real: &Tensor, imag: &Tensor) -> Tensor {
    unwrap(try_complex(real, imag))
}

/// `abs (cos angle + i sin angle)` of two float32 or two float64 tensors (`torch.polar`).
///
/// # Panics
/// As [`complex`].
#[track_caller]
pub fn polar(abs: &Tensor, angle: &Tensor) -> Tensor {
    unwrap(try_polar(abs, angle))
}

methods! {
    /// A complex tensor as a real one whose last dim holds the real and the imaginary part; shares memory (`torch.view_as_real`).
    ///
    /// # Panics
    /// If the tensor is not complex.
    fn view_as_real(&self) -> Tensor {
        ensure!(self.dtype().is_complex(), Runtime, "view_as_real is only supported for complex tensors");
        view(self.0, ViewAsReal)
    }

    /// A float32 or float64 tensor whose last dim holds two parts as a complex one; shares memory (`torch.view_as_complex`).
    ///
    /// # Panics
    /// If the dtype is another one, or sizes and strides are not those of pairs.
    fn view_as_complex(&self) -> Tensor {
        let dtype = self.dtype();
        ensure!(
            matches!(dtype, DType::F32 | DType::F64),
            Runtime,
            "view_as_complex is only supported for half, float and double tensors, but got a tensor of scalar type: {}",
            dtype.scalar_name()
        );
        if let Some(Buf::Host(memory)) = self.with_body(|b| b.storage.clone()).buf() {
            ensure!(
                memory.ptr().addr().is_multiple_of(8),
                Value,
                "view_as_complex: the memory came from a vector of floats and is not aligned for complex numbers"
            );
        }
        view(self.0, ViewAsComplex)
    }

    /// The real parts, as a view; a real tensor itself (`torch.real`).
    fn real(&self) -> Tensor {
        if !self.dtype().is_complex() {
            return Ok(self.0.clone());
        }
        self.view_as_real()?.checked().select(-1, 0)
    }

    /// The imaginary parts, as a view (`torch.imag`).
    ///
    /// # Panics
    /// If the tensor is not complex.
    fn imag(&self) -> Tensor {
        ensure!(self.dtype().is_complex(), Runtime, "imag is not implemented for tensors with non-complex dtypes.");
        self.view_as_real()?.checked().select(-1, 1)
    }

    /// The complex conjugate; a real tensor itself (`torch.conj`). Computed at once: there is no conjugate view.
    fn conj(&self) -> Tensor {
        if !self.dtype().is_complex() {
            return Ok(self.0.clone());
        }
        elementwise(&CONJ, &[In::T(self.0)])
    }

    /// [`Tensor::conj`] (`torch.conj_physical`).
    fn conj_physical(&self) -> Tensor { self.conj() }

    /// [`Tensor::conj`] in place (`tensor.conj_physical_`).
    fn conj_physical_(&self) -> Tensor {
        if self.dtype().is_complex() {
            elementwise_(&CONJ, &[In::T(self.0)])?;
        }
        Ok(self.0.clone())
    }

    /// The tensor itself: conjugates are computed at once here (`torch.resolve_conj`).
    fn resolve_conj(&self) -> Tensor { Ok(self.0.clone()) }

    /// The tensor itself: negations are computed at once here (`torch.resolve_neg`).
    fn resolve_neg(&self) -> Tensor { Ok(self.0.clone()) }

    /// The transpose of matrices, conjugated (`tensor.mH`, `torch.adjoint`).
    fn adjoint(&self) -> Tensor { self.mt()?.checked().conj() }

    /// [`Tensor::adjoint`] (`tensor.mH`).
    fn mh(&self) -> Tensor { self.adjoint() }

    /// The transpose of a matrix, conjugated (`tensor.H`).
    ///
    /// # Panics
    /// If the tensor has neither 0 nor 2 dims.
    fn h(&self) -> Tensor {
        let n = self.dim();
        ensure!(n == 2 || n == 0, Runtime, "tensor.H is only supported on matrices (2-D tensors). Got {n}-D tensor.");
        if n == 0 { self.conj() } else { self.adjoint() }
    }

    /// True where the imaginary part is 0 (`torch.isreal`).
    fn isreal(&self) -> Tensor {
        if self.dtype().is_complex() {
            return self.detach().checked().imag()?.checked().eq(0);
        }
        Ok(Tensor::constant(Scalar::Bool(true), &self.shape(), DType::Bool, self.device()))
    }
}

impl Tensor {
    /// True for complex64 and complex128 (`tensor.is_complex()`).
    pub fn is_complex(&self) -> bool {
        self.dtype().is_complex()
    }

    /// True for the float dtypes (`tensor.is_floating_point()`).
    pub fn is_floating_point(&self) -> bool {
        self.dtype().is_float()
    }

    /// False: conjugates are computed at once here (`tensor.is_conj()`).
    pub fn is_conj(&self) -> bool {
        false
    }
}

/// The angle of a complex tensor.
pub(super) fn angle(z: &Tensor) -> Result<Tensor> {
    if !z.is_complex() {
        bail!(Runtime, "the angle of a real tensor has its own rule");
    }
    elementwise(&ANGLE, &[In::T(z)])
}
