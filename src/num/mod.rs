//! Elementwise formulas, each written once over these traits: on [`lanes`] it is the CPU loop, on [`val::Val`] it prints
//! WGSL, and on [`dual::Dual`] it gives its own derivative.

mod block;
mod cast;
pub mod complex;
#[cfg(test)]
pub mod dual;
mod four;
mod lanes;
mod leaf32;
mod leaf64;
pub mod rows;
mod val;
mod wgsl;

pub use cast::{CastFn, cast_cpu, cast_wgsl, fill};
pub use four::{has_four, library_of_four, name_of_four, type_of_four};
#[cfg(test)]
pub use rows::{all_rows, dual_of, row};
pub use wgsl::library;

use std::ops::{Add, BitAnd, BitOr, BitXor, Div, Mul, Neg, Not, Sub};

/// Truncates toward zero as x86's `cvttsd2si` does: what i64 cannot hold, NaN too, is `i64::MIN`.
pub fn f64_to_i64(x: f64) -> i64 {
    if (-9.223_372_036_854_775_8e18..9.223_372_036_854_775_8e18).contains(&x) { x as i64 } else { i64::MIN }
}

/// What a comparison gives: bool, or a WGSL expression of type bool.
pub trait Mask:
    Copy + BitAnd<Output = Self> + BitOr<Output = Self> + BitXor<Output = Self> + Not<Output = Self>
{
}

/// What every compute type can do: compare, select, and hold small integers.
pub trait Base: Copy {
    /// The type of a comparison.
    type B: Mask;
    /// The number `i`, wrapped or rounded as the type demands.
    fn int(i: i64) -> Self;
    /// `self == o`; without meaning where either is NaN (WGSL may assume that there is none).
    fn eq(self, o: Self) -> Self::B;
    /// `self < o`; without meaning where either is NaN.
    fn lt(self, o: Self) -> Self::B;
    /// `self <= o`; without meaning where either is NaN.
    fn le(self, o: Self) -> Self::B;
    /// `yes` where the mask holds, else `no`; both are computed.
    fn select(c: Self::B, yes: Self, no: Self) -> Self;
    /// True for NaN, told by its bits on GPUs.
    fn is_nan(self) -> Self::B;
    /// False for zero, true for everything else and NaN.
    fn truth(self) -> Self::B;
    /// True for both infinities.
    fn is_inf(self) -> Self::B;
    /// True for negative numbers, -0.0 and NaN with the sign bit.
    fn signbit(self) -> Self::B;

    /// `self > o`; without meaning where either is NaN.
    #[inline(always)]
    fn gt(self, o: Self) -> Self::B {
        o.lt(self)
    }
    /// `self >= o`; without meaning where either is NaN.
    #[inline(always)]
    fn ge(self, o: Self) -> Self::B {
        o.le(self)
    }
    /// True where neither is NaN.
    #[inline(always)]
    fn ordered(self, o: Self) -> Self::B {
        !(self.is_nan() | o.is_nan())
    }
    /// The larger one, or NaN if either is.
    #[inline(always)]
    fn maximum(self, o: Self) -> Self {
        Self::select(self.is_nan() | (self.gt(o) & !o.is_nan()), self, o)
    }
    /// The smaller one, or NaN if either is.
    #[inline(always)]
    fn minimum(self, o: Self) -> Self {
        Self::select(self.is_nan() | (self.lt(o) & !o.is_nan()), self, o)
    }
}

/// Bool and the integers: bitwise logic.
pub trait Bits: Base {
    /// Bitwise and.
    fn and(self, o: Self) -> Self;
    /// Bitwise or.
    fn or(self, o: Self) -> Self;
    /// Bitwise exclusive or.
    fn xor(self, o: Self) -> Self;
    /// Bitwise not.
    fn not(self) -> Self;
}

/// Everything that adds and multiplies; bool as `or` and `and`, the integers wrapping.
pub trait Ring: Base + Add<Output = Self> + Mul<Output = Self> {}

/// Integers and floats.
pub trait Arith: Ring + Sub<Output = Self> + Neg<Output = Self> {
    /// The quotient rounded toward zero; integers give 0 for a zero divisor.
    fn div_trunc(self, o: Self) -> Self;
    /// The quotient rounded down; integers give 0 for a zero divisor.
    fn div_floor(self, o: Self) -> Self;
    /// The remainder with the dividend's sign; integers give 0 for a zero divisor.
    fn rem_trunc(self, o: Self) -> Self;
    /// The remainder with the divisor's sign; integers give 0 for a zero divisor.
    fn rem_floor(self, o: Self) -> Self;
    /// The magnitude; the smallest signed integer stays itself.
    fn abs(self) -> Self;
    /// `self` to the power `o`; integers by squaring, modulo their width, and truncated for negative powers.
    fn pow(self, o: Self) -> Self;
    /// -1, 0 or 1; 0 for NaN.
    #[inline(always)]
    fn sign(self) -> Self {
        let (zero, nan) = (Self::int(0), self.is_nan());
        let s = Self::select(zero.lt(self), Self::int(1), Self::select(self.lt(zero), Self::int(-1), zero));
        Self::select(nan, zero, s)
    }
}

/// Integers.
pub trait Int: Arith + Bits {
    /// Shift left; 0 for shifts as wide as the type, or negative ones.
    fn shl(self, o: Self) -> Self;
    /// Arithmetic shift right; only sign bits remain for shifts as wide as the type, or negative ones.
    fn shr(self, o: Self) -> Self;
    /// The greatest common divisor, not negative.
    fn gcd(self, o: Self) -> Self;
}

/// Names the functions of one float that each implementor has its own code for.
macro_rules! for_leaves {
    ($m:ident) => {
        $m!(
            exp exp2 expm1 log log2 log10 log1p sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh
            erf erfc erfinv sigmoid phi lgamma digamma i0 sqrt floor ceil trunc round
        );
    };
}
pub(crate) use for_leaves;

macro_rules! float_trait {
    ($($leaf:ident)*) => {
        /// Floats: division, literals and the transcendental functions.
        pub trait Float:
            Arith
            + Div<Output = Self>
            + Add<f64, Output = Self>
            + Sub<f64, Output = Self>
            + Mul<f64, Output = Self>
            + Div<f64, Output = Self>
        {
            /// A literal.
            fn lit(x: f64) -> Self;
            /// Positive infinity.
            fn inf() -> Self;
            /// NaN: not as a difference of infinities, which compilers for GPUs fold to 0.
            fn nan() -> Self;
            /// The magnitude of `self` with the sign bit of `o`.
            fn copysign(self, o: Self) -> Self;
            /// The angle of the point (o, self).
            fn atan2(self, o: Self) -> Self;
            /// The length of the vector (self, o).
            fn hypot(self, o: Self) -> Self;
            /// The next representable value from `self` towards `o`.
            fn nextafter(self, o: Self) -> Self;
            $(
                #[doc = concat!("PyTorch's `", stringify!($leaf), "` (`phi`: the normal distribution function).")]
                fn $leaf(self) -> Self;
            )*
        }
    };
}
for_leaves!(float_trait);

/// Floats in formulas with sin, cos or tan, whose large arguments need their own path on the CPU.
pub trait Trig: Float {}
impl<T: Float> Trig for T {}

#[cfg(test)]
mod tests;
