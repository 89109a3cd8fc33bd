//! What pooling, reductions and index kernels ask of an element: order with NaN, wrapping arithmetic, and the type that its
//! sums are kept in.

use crate::dtype::Element;

/// An element with arithmetic. Integers wrap; bool adds as "or" and multiplies as "and". The other dtypes are converted to one of these four.
pub trait Number: Element + PartialOrd {
    /// What sums and products of it are kept in: i64 for bool, else the type itself.
    type Acc: Number;
    /// 0, or false.
    const ZERO: Self;
    /// 1, or true.
    const ONE: Self;
    /// The least value, minus infinity for floats.
    const LEAST: Self;
    /// The greatest value, infinity for floats.
    const GREATEST: Self;
    /// Sum.
    fn add(self, other: Self) -> Self;
    /// Difference.
    fn sub(self, other: Self) -> Self;
    /// Product.
    fn mul(self, other: Self) -> Self;
    /// Quotient; integers truncate.
    fn div(self, other: Self) -> Self;
    /// Widened to what it accumulates in.
    fn acc(self) -> Self::Acc;
    /// Rounded, or wrapped, back.
    fn from_acc(acc: Self::Acc) -> Self;
    /// From a count.
    fn from_usize(n: usize) -> Self;
    /// From f64, rounded once (integers truncate, bool is "not zero").
    fn from_f64(x: f64) -> Self;
    /// As f64, rounded where it must be.
    fn to_f64(self) -> f64;
    /// Only floats have NaN.
    #[inline(always)]
    #[allow(clippy::eq_op, reason = "NaN is what differs from itself")]
    fn is_nan(self) -> bool {
        self != self
    }
}

macro_rules! ints {
    ($($t:ident)*) => {$(
        impl Number for $t {
            type Acc = i64;
            const ZERO: $t = 0;
            const ONE: $t = 1;
            const LEAST: $t = $t::MIN;
            const GREATEST: $t = $t::MAX;
            #[inline(always)]
            fn add(self, other: $t) -> $t {
                self.wrapping_add(other)
            }
            #[inline(always)]
            fn sub(self, other: $t) -> $t {
                self.wrapping_sub(other)
            }
            #[inline(always)]
            fn mul(self, other: $t) -> $t {
                self.wrapping_mul(other)
            }
            #[inline(always)]
            fn div(self, other: $t) -> $t {
                self.wrapping_div(other)
            }
            #[inline(always)]
            fn acc(self) -> i64 {
                self as i64
            }
            #[inline(always)]
            fn from_acc(acc: i64) -> $t {
                acc as $t
            }
            #[inline(always)]
            fn from_usize(n: usize) -> $t {
                n as $t
            }
            #[inline(always)]
            fn from_f64(x: f64) -> $t {
                x as $t
            }
            #[inline(always)]
            fn to_f64(self) -> f64 {
                self as f64
            }
        }
    )*};
}
ints!(i64);

macro_rules! floats {
    ($($t:ident)*) => {$(
        impl Number for $t {
            type Acc = $t;
            const ZERO: $t = 0.0;
            const ONE: $t = 1.0;
            const LEAST: $t = $t::NEG_INFINITY;
            const GREATEST: $t = $t::INFINITY;
            #[inline(always)]
            fn add(self, other: $t) -> $t {
                self + other
            }
            #[inline(always)]
            fn sub(self, other: $t) -> $t {
                self - other
            }
            #[inline(always)]
            fn mul(self, other: $t) -> $t {
                self * other
            }
            #[inline(always)]
            fn div(self, other: $t) -> $t {
                self / other
            }
            #[inline(always)]
            fn acc(self) -> $t {
                self
            }
            #[inline(always)]
            fn from_acc(acc: $t) -> $t {
                acc
            }
            #[inline(always)]
            fn from_usize(n: usize) -> $t {
                n as $t
            }
            #[inline(always)]
            fn from_f64(x: f64) -> $t {
                x as $t
            }
            #[inline(always)]
            fn to_f64(self) -> f64 {
                self.into()
            }
        }
    )*};
}
floats!(f32 f64);

impl Number for bool {
    type Acc = i64;
    const ZERO: bool = false;
    const ONE: bool = true;
    const LEAST: bool = false;
    const GREATEST: bool = true;
    #[inline(always)]
    fn add(self, other: bool) -> bool {
        self | other
    }
    #[inline(always)]
    fn sub(self, other: bool) -> bool {
        self ^ other
    }
    #[inline(always)]
    fn mul(self, other: bool) -> bool {
        self & other
    }
    #[inline(always)]
    fn div(self, other: bool) -> bool {
        self & other
    }
    #[inline(always)]
    fn acc(self) -> i64 {
        self as i64
    }
    #[inline(always)]
    fn from_acc(acc: i64) -> bool {
        acc != 0
    }
    #[inline(always)]
    fn from_usize(n: usize) -> bool {
        n != 0
    }
    #[inline(always)]
    fn from_f64(x: f64) -> bool {
        x != 0.0
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        f64::from(u8::from(self))
    }
}
