//! The second operand of an op, a tensor or a number, and Rust's operators over it.

use crate::error::Result;
use crate::scalar::Scalar;
use crate::tensor::{Ctx, In, Tensor, unwrap};
use num_complex::Complex;

/// A tensor or a number: what `x.add(…)` and the operators take.
#[derive(Clone, Debug)]
pub enum Operand {
    /// A tensor.
    Tensor(Tensor),
    /// A number, which promotes by category only.
    Scalar(Scalar),
}

impl Operand {
    /// For an elementwise op.
    pub(crate) fn as_in(&self) -> In<'_> {
        match self {
            Operand::Tensor(t) => In::T(t),
            Operand::Scalar(s) => In::S(*s),
        }
    }
}

impl From<&Tensor> for Operand {
    fn from(t: &Tensor) -> Operand {
        Operand::Tensor(t.clone())
    }
}
impl From<Tensor> for Operand {
    fn from(t: Tensor) -> Operand {
        Operand::Tensor(t)
    }
}
impl From<&Operand> for Operand {
    fn from(o: &Operand) -> Operand {
        o.clone()
    }
}

macro_rules! operand_from {
    ($($t:ty),*) => {$(
        impl From<$t> for Operand {
            fn from(x: $t) -> Operand { Operand::Scalar(x.into()) }
        }
    )*};
}
operand_from!(Scalar, bool, i8, i16, i32, i64, u8, u32, usize, f32, f64, Complex<f32>, Complex<f64>);

impl Ctx<'_> {
    /// A saved tensor operand, or the scalar that stood in its place.
    pub(crate) fn operand(&self, i: usize) -> Result<Operand> {
        match self.scalar(i) {
            Some(s) => Ok(Operand::Scalar(s)),
            None => Ok(Operand::Tensor(self.input(i)?)),
        }
    }
}

macro_rules! operators {
    ($($trait:ident $method:ident $assign:ident $assign_method:ident $inplace:ident;)*) => {$(
        impl<R: Into<Operand>> std::ops::$trait<R> for &Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: R) -> Tensor { unwrap(self.checked().$method(other)) }
        }
        impl<R: Into<Operand>> std::ops::$trait<R> for Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: R) -> Tensor { unwrap(self.checked().$method(other)) }
        }
        impl<R: Into<Operand>> std::ops::$assign<R> for Tensor {
            #[track_caller]
            fn $assign_method(&mut self, other: R) { unwrap(self.checked().$inplace(other)); }
        }
        // one integer and one float type, so that `(2.0 * &x).sum()` infers
        operators!(@scalars $trait $method: bool, i64, f64, Scalar, Complex<f32>, Complex<f64>);
    )*};
    (@scalars $trait:ident $method:ident: $($t:ty),*) => {$(
        impl std::ops::$trait<&Tensor> for $t {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: &Tensor) -> Tensor {
                unwrap(crate::ops::pointwise::$method(&In::S(self.into()), &In::T(other)))
            }
        }
        impl std::ops::$trait<Tensor> for $t {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: Tensor) -> Tensor {
                unwrap(crate::ops::pointwise::$method(&In::S(self.into()), &In::T(&other)))
            }
        }
    )*};
}

operators! {
    Add add AddAssign add_assign add_;
    Sub sub SubAssign sub_assign sub_;
    Mul mul MulAssign mul_assign mul_;
    Div div DivAssign div_assign div_;
    Rem rem RemAssign rem_assign remainder_;
    BitAnd bitand BitAndAssign bitand_assign bitwise_and_;
    BitOr bitor BitOrAssign bitor_assign bitwise_or_;
    BitXor bitxor BitXorAssign bitxor_assign bitwise_xor_;
}

impl std::ops::Neg for &Tensor {
    type Output = Tensor;
    #[track_caller]
    fn neg(self) -> Tensor {
        unwrap(self.checked().neg())
    }
}
impl std::ops::Neg for Tensor {
    type Output = Tensor;
    #[track_caller]
    fn neg(self) -> Tensor {
        unwrap(self.checked().neg())
    }
}
impl std::ops::Not for &Tensor {
    type Output = Tensor;
    #[track_caller]
    fn not(self) -> Tensor {
        unwrap(self.checked().bitwise_not())
    }
}
impl std::ops::Not for Tensor {
    type Output = Tensor;
    #[track_caller]
    fn not(self) -> Tensor {
        unwrap(self.checked().bitwise_not())
    }
}

/// A tensor or nothing: what an optional tensor argument takes (`()`, a tensor, or an `Option`).
#[derive(Clone, Debug, Default)]
pub struct MaybeTensor(pub Option<Tensor>);

impl From<()> for MaybeTensor {
    fn from(_: ()) -> MaybeTensor {
        MaybeTensor(None)
    }
}
impl From<&Tensor> for MaybeTensor {
    fn from(t: &Tensor) -> MaybeTensor {
        MaybeTensor(Some(t.clone()))
    }
}
impl From<Tensor> for MaybeTensor {
    fn from(t: Tensor) -> MaybeTensor {
        MaybeTensor(Some(t))
    }
}
impl From<Option<&Tensor>> for MaybeTensor {
    fn from(t: Option<&Tensor>) -> MaybeTensor {
        MaybeTensor(t.cloned())
    }
}
impl From<&Option<Tensor>> for MaybeTensor {
    fn from(t: &Option<Tensor>) -> MaybeTensor {
        MaybeTensor(t.clone())
    }
}
impl From<Option<Tensor>> for MaybeTensor {
    fn from(t: Option<Tensor>) -> MaybeTensor {
        MaybeTensor(t)
    }
}
