//! Element types, PyTorch's names for them, and its promotion lattice.

use crate::scalar::Scalar;
use half::{bf16, f16};
use num_complex::Complex;
use std::fmt;

/// The type of a tensor's elements (PyTorch's `torch.dtype`).
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum DType {
    /// `torch.bool`, one byte.
    Bool,
    /// `torch.uint8`.
    U8,
    /// `torch.int8`.
    I8,
    /// `torch.int16`.
    I16,
    /// `torch.int32`.
    I32,
    /// `torch.int64`, the default of integer literals and the dtype of indices.
    I64,
    /// `torch.uint32`.
    U32,
    /// `torch.float16`.
    F16,
    /// `torch.bfloat16`.
    BF16,
    /// `torch.float32`, the default of float literals.
    F32,
    /// `torch.float64`.
    F64,
    /// `torch.complex64`: two float32, the real part first.
    C64,
    /// `torch.complex128`: two float64, the real part first.
    C128,
}

use DType::*;

/// The classes that scalars and 0-dim tensors promote by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Category {
    /// `torch.bool`
    Bool,
    /// every integer dtype
    Int,
    /// every floating dtype
    Float,
    /// complex64 and complex128
    Complex,
}

impl DType {
    /// Every dtype, in declaration order.
    pub const ALL: [DType; 13] = [Bool, U8, I8, I16, I32, I64, U32, F16, BF16, F32, F64, C64, C128];

    /// The dtypes that are not complex: those that kernels are written for.
    #[cfg(test)]
    pub(crate) const REAL: [DType; 11] = [Bool, U8, I8, I16, I32, I64, U32, F16, BF16, F32, F64];

    /// Bytes of one element in host memory.
    pub const fn size(self) -> usize {
        match self {
            Bool | U8 | I8 => 1,
            I16 | F16 | BF16 => 2,
            I32 | U32 | F32 => 4,
            I64 | F64 | C64 => 8,
            C128 => 16,
        }
    }

    /// PyTorch's name: `float32` (without `torch.`).
    pub const fn name(self) -> &'static str {
        match self {
            Bool => "bool",
            U8 => "uint8",
            I8 => "int8",
            I16 => "int16",
            I32 => "int32",
            I64 => "int64",
            U32 => "uint32",
            F16 => "float16",
            BF16 => "bfloat16",
            F32 => "float32",
            F64 => "float64",
            C64 => "complex64",
            C128 => "complex128",
        }
    }

    /// The name PyTorch's C++ messages use: `Float`, `Long`, `Bool` …
    pub const fn scalar_name(self) -> &'static str {
        match self {
            Bool => "Bool",
            U8 => "Byte",
            I8 => "Char",
            I16 => "Short",
            I32 => "Int",
            I64 => "Long",
            U32 => "UInt32",
            F16 => "Half",
            BF16 => "BFloat16",
            F32 => "Float",
            F64 => "Double",
            C64 => "ComplexFloat",
            C128 => "ComplexDouble",
        }
    }

    /// Bool, integer, float or complex.
    pub const fn category(self) -> Category {
        match self {
            Bool => Category::Bool,
            U8 | I8 | I16 | I32 | I64 | U32 => Category::Int,
            F16 | BF16 | F32 | F64 => Category::Float,
            C64 | C128 => Category::Complex,
        }
    }

    /// True for `float16`, `bfloat16`, `float32` and `float64` (PyTorch's `dtype.is_floating_point`).
    pub const fn is_float(self) -> bool {
        matches!(self.category(), Category::Float)
    }

    /// True for `complex64` and `complex128` (PyTorch's `dtype.is_complex`).
    pub const fn is_complex(self) -> bool {
        matches!(self.category(), Category::Complex)
    }

    /// True for floats and complex numbers: the dtypes that gradients flow through.
    pub const fn is_differentiable(self) -> bool {
        self.is_float() || self.is_complex()
    }

    /// The dtype of a complex dtype's parts, itself for the others (PyTorch's `dtype.to_real()`).
    pub const fn to_real(self) -> DType {
        match self {
            C64 => F32,
            C128 => F64,
            _ => self,
        }
    }

    /// The complex dtype with parts of this one (PyTorch's `dtype.to_complex()`); what has no such dtype gives complex64.
    pub const fn to_complex(self) -> DType {
        match self {
            F64 | C128 => C128,
            _ => C64,
        }
    }

    /// True for integers, not for bool.
    pub const fn is_int(self) -> bool {
        matches!(self.category(), Category::Int)
    }

    /// The dtype two tensors of dimension one or more meet in (`torch.promote_types`).
    pub fn promote(self, other: DType) -> DType {
        let (a, b) = if self <= other { (self, other) } else { (other, self) };
        if a == b || a == Bool {
            return b;
        }
        match (a.category(), b.category()) {
            (Category::Int, Category::Float | Category::Complex) => b,
            // the parts are as precise as the float
            (Category::Float, Category::Complex) if a == F64 => C128,
            (Category::Float | Category::Complex, Category::Complex) => b,
            (Category::Float, Category::Float) => match (a, b) {
                (F16, BF16) => F32,
                _ => b,
            },
            // ints: an unsigned one with a signed one that cannot hold it takes the next wider signed one
            _ => match (a, b) {
                (U8, I8) => I16,
                (U8, U32) => U32,
                (_, U32) => I64,
                _ => b,
            },
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "torch.{}", self.name())
    }
}

mod sealed {
    pub trait Sealed {}
}

/// A Rust type that a tensor's elements can be.
///
/// # Safety
/// `DTYPE.size()` is the type's size, and for every dtype but bool all bit patterns are valid.
pub unsafe trait Element:
    Copy + Default + PartialEq + fmt::Debug + Send + Sync + sealed::Sealed + 'static
{
    /// The dtype it stands for.
    const DTYPE: DType;
    /// A scalar as this type: integers wrap, floats truncate toward zero, NaN is true.
    fn from_scalar(s: Scalar) -> Self;
    /// This element as a scalar.
    fn to_scalar(self) -> Scalar;
}

macro_rules! element {
    ($($t:ty => $d:ident, $s:ident => $from:expr, $x:ident => $to:expr;)*) => {$(
        impl sealed::Sealed for $t {}
        // SAFETY: size and bit patterns as the trait demands, by the table above.
        unsafe impl Element for $t {
            const DTYPE: DType = DType::$d;
            fn from_scalar($s: Scalar) -> $t { $from }
            fn to_scalar(self) -> Scalar { let $x = self; $to }
        }
    )*};
}
element!(
    bool => Bool, s => s.to_bool(), x => Scalar::Bool(x);
    u8 => U8, s => s.to_i64() as u8, x => Scalar::Int(x as i64);
    i8 => I8, s => s.to_i64() as i8, x => Scalar::Int(x as i64);
    i16 => I16, s => s.to_i64() as i16, x => Scalar::Int(x as i64);
    i32 => I32, s => s.to_i64() as i32, x => Scalar::Int(x as i64);
    i64 => I64, s => s.to_i64(), x => Scalar::Int(x);
    u32 => U32, s => s.to_i64() as u32, x => Scalar::Int(x as i64);
    f16 => F16, s => f16::from_f64(s.to_f64()), x => Scalar::Float(x.to_f64());
    bf16 => BF16, s => bf16::from_f64(s.to_f64()), x => Scalar::Float(x.to_f64());
    f32 => F32, s => s.to_f64() as f32, x => Scalar::Float(x as f64);
    f64 => F64, s => s.to_f64(), x => Scalar::Float(x);
    Complex<f32> => C64, s => { let z = s.to_complex(); Complex::new(z.re as f32, z.im as f32) },
        x => Scalar::Complex(Complex::new(x.re as f64, x.im as f64));
    Complex<f64> => C128, s => s.to_complex(), x => Scalar::Complex(x);
);

/// Runs the body with the type alias `$t` bound to the Rust type of a dtype.
macro_rules! dispatch {
    ($dtype:expr, $t:ident => $body:expr) => {
        match $dtype {
            $crate::DType::Bool => {
                type $t = bool;
                $body
            }
            $crate::DType::U8 => {
                type $t = u8;
                $body
            }
            $crate::DType::I8 => {
                type $t = i8;
                $body
            }
            $crate::DType::I16 => {
                type $t = i16;
                $body
            }
            $crate::DType::I32 => {
                type $t = i32;
                $body
            }
            $crate::DType::I64 => {
                type $t = i64;
                $body
            }
            $crate::DType::U32 => {
                type $t = u32;
                $body
            }
            $crate::DType::F16 => {
                type $t = half::f16;
                $body
            }
            $crate::DType::BF16 => {
                type $t = half::bf16;
                $body
            }
            $crate::DType::F32 => {
                type $t = f32;
                $body
            }
            $crate::DType::F64 => {
                type $t = f64;
                $body
            }
            $crate::DType::C64 => {
                type $t = num_complex::Complex<f32>;
                $body
            }
            $crate::DType::C128 => {
                type $t = num_complex::Complex<f64>;
                $body
            }
        }
    };
}
pub(crate) use dispatch;

/// Runs the body with the type alias `$t` bound to the Rust type of a dtype that CPU kernels compute in. The executor
/// converts operands of the other dtypes to one of these.
macro_rules! compute {
    ($dtype:expr, $t:ident => $body:expr) => {
        match $dtype {
            $crate::DType::Bool => {
                type $t = bool;
                $body
            }
            $crate::DType::I64 => {
                type $t = i64;
                $body
            }
            $crate::DType::F32 => {
                type $t = f32;
                $body
            }
            $crate::DType::F64 => {
                type $t = f64;
                $body
            }
            d => unreachable!("operands of {d} were to be converted"),
        }
    };
}
pub(crate) use compute;

/// [`compute!`] for the floats alone; other dtypes are an error in PyTorch's words, which name its kernel.
macro_rules! compute_float {
    ($dtype:expr, $name:literal, $t:ident => $body:expr) => {
        match $dtype {
            $crate::DType::F32 => {
                type $t = f32;
                $body
            }
            $crate::DType::F64 => {
                type $t = f64;
                $body
            }
            d => $crate::error::bail!(NotImplemented, "\"{}\" not implemented for '{}'", $name, d.scalar_name()),
        }
    };
}
pub(crate) use compute_float;

/// Runs the body with `$t` bound to a type of unsigned integers as wide as a dtype: for elements that are only moved.
macro_rules! moved {
    ($dtype:expr, $t:ident => $body:expr) => {
        match $dtype.size() {
            1 => {
                type $t = u8;
                $body
            }
            2 => {
                type $t = u16;
                $body
            }
            4 => {
                type $t = u32;
                $body
            }
            8 => {
                type $t = u64;
                $body
            }
            _ => {
                type $t = [u64; 2];
                $body
            }
        }
    };
}
pub(crate) use moved;
