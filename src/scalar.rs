//! A number without a shape: what Python's `2`, `2.5` and `True` are to an op.

use crate::dtype::{Category, DType};
use num_complex::Complex;
use std::fmt;

/// A bool, integer, float or complex number that promotes by category only (a Python number in PyTorch).
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scalar {
    /// `True` or `False`
    Bool(bool),
    /// an integer
    Int(i64),
    /// a float
    Float(f64),
    /// a complex number
    Complex(Complex<f64>),
}

impl Scalar {
    /// The class it promotes by.
    pub fn category(self) -> Category {
        match self {
            Scalar::Bool(_) => Category::Bool,
            Scalar::Int(_) => Category::Int,
            Scalar::Float(_) => Category::Float,
            Scalar::Complex(_) => Category::Complex,
        }
    }

    /// The dtype a tensor made of it alone has: bool, int64, float32 or complex64.
    pub fn default_dtype(self) -> DType {
        match self {
            Scalar::Bool(_) => DType::Bool,
            Scalar::Int(_) => DType::I64,
            Scalar::Float(_) => DType::F32,
            Scalar::Complex(_) => DType::C64,
        }
    }

    /// As a float; integers round to nearest, complex numbers give their real part.
    pub fn to_f64(self) -> f64 {
        match self {
            Scalar::Bool(b) => b as u8 as f64,
            Scalar::Int(i) => i as f64,
            Scalar::Float(f) => f,
            Scalar::Complex(z) => z.re,
        }
    }

    /// As an integer; floats truncate toward zero, and what i64 cannot hold (NaN too) is `i64::MIN`, as x86 has it.
    pub fn to_i64(self) -> i64 {
        match self {
            Scalar::Bool(b) => b as i64,
            Scalar::Int(i) => i,
            Scalar::Float(f) => crate::num::f64_to_i64(f),
            Scalar::Complex(z) => crate::num::f64_to_i64(z.re),
        }
    }

    /// As a complex number.
    pub fn to_complex(self) -> Complex<f64> {
        match self {
            Scalar::Complex(z) => z,
            real => Complex::new(real.to_f64(), 0.0),
        }
    }

    /// The complex conjugate; real numbers are their own.
    pub fn conj(self) -> Scalar {
        match self {
            Scalar::Complex(z) => Scalar::Complex(z.conj()),
            real => real,
        }
    }

    /// The value it has as an element of a dtype.
    pub fn as_dtype(self, dtype: DType) -> Scalar {
        crate::dtype::dispatch!(dtype, T => crate::dtype::Element::to_scalar(<T as crate::dtype::Element>::from_scalar(self)))
    }

    /// False for zero; NaN is true.
    pub fn to_bool(self) -> bool {
        match self {
            Scalar::Bool(b) => b,
            Scalar::Int(i) => i != 0,
            Scalar::Float(f) => f != 0.0,
            Scalar::Complex(z) => z.re != 0.0 || z.im != 0.0,
        }
    }
}

macro_rules! from_number {
    ($($t:ty => $v:ident as $w:ty),*) => {$(
        impl From<$t> for Scalar {
            fn from(x: $t) -> Scalar { Scalar::$v(x as $w) }
        }
    )*};
}
from_number!(bool => Bool as bool, i8 => Int as i64, i16 => Int as i64, i32 => Int as i64, i64 => Int as i64,
             u8 => Int as i64, u32 => Int as i64, usize => Int as i64, f32 => Float as f64, f64 => Float as f64);

impl From<Complex<f64>> for Scalar {
    fn from(z: Complex<f64>) -> Scalar {
        Scalar::Complex(z)
    }
}
impl From<Complex<f32>> for Scalar {
    fn from(z: Complex<f32>) -> Scalar {
        Scalar::Complex(Complex::new(z.re.into(), z.im.into()))
    }
}

/// A part of a complex number: without `.0`, as Python prints it there.
fn python_part(x: f64) -> String {
    let text = python_float(x);
    text.strip_suffix(".0").map_or(text.clone(), str::to_string)
}

/// A float as Python prints it: the shortest digits that read back as it, an exponent of two digits or more with its sign.
pub(crate) fn python_float(x: f64) -> String {
    let text = format!("{x:?}");
    match text.split_once('e') {
        Some((mantissa, exponent)) => {
            let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |d| ('-', d));
            format!("{mantissa}e{sign}{digits:0>2}").replace(".0e", "e")
        }
        None => text.replace("NaN", "nan"),
    }
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scalar::Bool(true) => f.write_str("True"),
            Scalar::Bool(false) => f.write_str("False"),
            Scalar::Int(i) => write!(f, "{i}"),
            Scalar::Float(x) => f.write_str(&python_float(*x)),
            Scalar::Complex(z) if z.re == 0.0 && z.re.is_sign_positive() => write!(f, "{}j", python_part(z.im)),
            Scalar::Complex(z) => {
                let im = python_part(z.im);
                let plus = if im.starts_with('-') { "" } else { "+" };
                write!(f, "({}{plus}{im}j)", python_part(z.re))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::python_float;

    #[test]
    fn floats_print_as_in_python() {
        let texts = [
            (1.0, "1.0"),
            (-0.0, "-0.0"),
            (0.01, "0.01"),
            (1e-4, "0.0001"),
            (1e-5, "1e-05"),
            (2.5e-8, "2.5e-08"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (-1.5e300, "-1.5e+300"),
            (f64::NAN, "nan"),
            (f64::NEG_INFINITY, "-inf"),
        ];
        for (x, text) in texts {
            assert_eq!(python_float(x), text);
        }
    }
}
