//! The compute types of the CPU: f32 (with or without fused multiply-add), f64, i32, u32, i64 and bool.

use super::{Arith, Base, Bits, Float, Int, Mask, Ring, for_leaves, leaf32, leaf64};
use std::ops::{Add, Div, Mul, Neg, Sub};

impl Mask for bool {}

/// f32; `FMA` where the loop around it is compiled for a machine that has fused multiply-add.
#[derive(Clone, Copy, Debug)]
pub(super) struct F<const FMA: bool>(pub f32);
/// f64.
#[derive(Clone, Copy, Debug)]
pub(super) struct D(pub f64);
/// i32, also the compute type of the narrower integers.
#[derive(Clone, Copy, Debug)]
pub(super) struct I32(pub i32);
/// u32.
#[derive(Clone, Copy, Debug)]
pub(super) struct U32(pub u32);
/// i64.
#[derive(Clone, Copy, Debug)]
pub(super) struct I64(pub i64);

macro_rules! base {
    ([$($g:tt)*] $t:ty, $raw:ty, |$i:ident| $int:expr, |$x:ident| $nan:expr, $inf:expr, $neg:expr) => {
        impl $($g)* Base for $t {
            type B = bool;
            #[inline(always)]
            fn int($i: i64) -> Self { $int }
            #[inline(always)]
            fn eq(self, o: Self) -> bool { self.0 == o.0 }
            #[inline(always)]
            fn lt(self, o: Self) -> bool { self.0 < o.0 }
            #[inline(always)]
            fn le(self, o: Self) -> bool { self.0 <= o.0 }
            #[inline(always)]
            fn select(c: bool, yes: Self, no: Self) -> Self { if c { yes } else { no } }
            #[inline(always)]
            #[allow(unused_variables, reason = "integers are never NaN")]
            fn is_nan(self) -> bool { let $x = self.0; $nan }
            #[inline(always)]
            fn truth(self) -> bool { self.0 != 0 as $raw }
            #[inline(always)]
            #[allow(unused_variables, reason = "integers are never infinite")]
            fn is_inf(self) -> bool { let $x = self.0; $inf }
            #[inline(always)]
            fn signbit(self) -> bool { let $x = self.0; $neg }
        }
    };
}
base!([<const FMA: bool>] F<FMA>, f32, |i| F(i as f32), |x| x.is_nan(), x.abs() == f32::INFINITY, x.is_sign_negative());
base!([] D, f64, |i| D(i as f64), |x| x.is_nan(), x.abs() == f64::INFINITY, x.is_sign_negative());
base!([] I32, i32, |i| I32(i as i32), |x| false, false, x < 0);
base!([] U32, u32, |i| U32(i as u32), |_x| false, false, false);
base!([] I64, i64, |i| I64(i), |x| false, false, x < 0);

/// Bool as the ring `or`, `and`, which Rust's operators do not give it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bool(pub bool);
impl Base for Bool {
    type B = bool;
    #[inline(always)]
    fn int(i: i64) -> Self {
        Bool(i != 0)
    }
    #[inline(always)]
    fn eq(self, o: Self) -> bool {
        self.0 == o.0
    }
    #[inline(always)]
    fn lt(self, o: Self) -> bool {
        !self.0 & o.0
    }
    #[inline(always)]
    fn le(self, o: Self) -> bool {
        !self.0 | o.0
    }
    #[inline(always)]
    fn select(c: bool, yes: Self, no: Self) -> Self {
        Bool((c & yes.0) | (!c & no.0))
    }
    #[inline(always)]
    fn is_nan(self) -> bool {
        false
    }
    #[inline(always)]
    fn truth(self) -> bool {
        self.0
    }
    #[inline(always)]
    fn is_inf(self) -> bool {
        false
    }
    #[inline(always)]
    fn signbit(self) -> bool {
        false
    }
}
impl Add for Bool {
    type Output = Self;
    #[allow(clippy::suspicious_arithmetic_impl, reason = "bools add as \"or\" and multiply as \"and\"")]
    #[inline(always)]
    fn add(self, o: Self) -> Self {
        Bool(self.0 | o.0)
    }
}
impl Mul for Bool {
    type Output = Self;
    #[allow(clippy::suspicious_arithmetic_impl, reason = "bools add as \"or\" and multiply as \"and\"")]
    #[inline(always)]
    fn mul(self, o: Self) -> Self {
        Bool(self.0 & o.0)
    }
}
impl Ring for Bool {}
impl Bits for Bool {
    #[inline(always)]
    fn and(self, o: Self) -> Self {
        Bool(self.0 & o.0)
    }
    #[inline(always)]
    fn or(self, o: Self) -> Self {
        Bool(self.0 | o.0)
    }
    #[inline(always)]
    fn xor(self, o: Self) -> Self {
        Bool(self.0 ^ o.0)
    }
    #[inline(always)]
    fn not(self) -> Self {
        Bool(!self.0)
    }
}

macro_rules! ints {
    ($($t:ident $raw:ty, $abs:expr, $negative:expr;)*) => {$(
        impl Add for $t {
            type Output = Self;
            #[inline(always)]
            fn add(self, o: Self) -> Self { $t(self.0.wrapping_add(o.0)) }
        }
        impl Sub for $t {
            type Output = Self;
            #[inline(always)]
            fn sub(self, o: Self) -> Self { $t(self.0.wrapping_sub(o.0)) }
        }
        impl Mul for $t {
            type Output = Self;
            #[inline(always)]
            fn mul(self, o: Self) -> Self { $t(self.0.wrapping_mul(o.0)) }
        }
        impl Neg for $t {
            type Output = Self;
            #[inline(always)]
            fn neg(self) -> Self { $t(self.0.wrapping_neg()) }
        }
        impl Ring for $t {}
        impl Arith for $t {
            #[inline(always)]
            fn div_trunc(self, o: Self) -> Self { if o.0 == 0 { $t(0) } else { $t(self.0.wrapping_div(o.0)) } }
            #[inline(always)]
            fn rem_trunc(self, o: Self) -> Self { if o.0 == 0 { $t(0) } else { $t(self.0.wrapping_rem(o.0)) } }
            #[inline(always)]
            fn div_floor(self, o: Self) -> Self {
                if o.0 == 0 {
                    return $t(0);
                }
                let (q, r) = (self.0.wrapping_div(o.0), self.0.wrapping_rem(o.0));
                $t(if r != 0 && $negative(r ^ o.0) { q.wrapping_sub(1) } else { q })
            }
            #[inline(always)]
            fn rem_floor(self, o: Self) -> Self {
                if o.0 == 0 {
                    return $t(0);
                }
                let r = self.0.wrapping_rem(o.0);
                $t(if r != 0 && $negative(r ^ o.0) { r.wrapping_add(o.0) } else { r })
            }
            #[inline(always)]
            fn abs(self) -> Self { $t($abs(self.0)) }
            #[inline(always)]
            fn pow(self, o: Self) -> Self {
                let (base, mut e) = (self.0, o.0);
                if $negative(e) {
                    // the power of an integer below 1 in magnitude is cut to 0
                    let minus = (0 as $raw).wrapping_sub(1);
                    return $t(if base == 1 { 1 } else if base == minus { if e & 1 == 1 { minus } else { 1 } } else { 0 });
                }
                let (mut b, mut r) = (base, 1);
                while e != 0 {
                    if e & 1 == 1 {
                        r = b.wrapping_mul(r);
                    }
                    b = b.wrapping_mul(b);
                    e >>= 1;
                }
                $t(r)
            }
        }
        impl Bits for $t {
            #[inline(always)]
            fn and(self, o: Self) -> Self { $t(self.0 & o.0) }
            #[inline(always)]
            fn or(self, o: Self) -> Self { $t(self.0 | o.0) }
            #[inline(always)]
            fn xor(self, o: Self) -> Self { $t(self.0 ^ o.0) }
            #[inline(always)]
            fn not(self) -> Self { $t(!self.0) }
        }
        impl Int for $t {
            #[inline(always)]
            fn shl(self, o: Self) -> Self {
                let wide = $negative(o.0) | (o.0 >= <$raw>::BITS as $raw);
                $t(if wide { 0 } else { self.0 << (o.0 as u32 & (<$raw>::BITS - 1)) })
            }
            #[inline(always)]
            fn shr(self, o: Self) -> Self {
                let wide = $negative(o.0) | (o.0 >= <$raw>::BITS as $raw);
                let s = if wide { <$raw>::BITS - 1 } else { o.0 as u32 & (<$raw>::BITS - 1) };
                let shifted = self.0 >> s;
                $t(if wide & !$negative(self.0) { 0 } else { shifted })
            }
            #[inline(always)]
            fn gcd(self, o: Self) -> Self {
                let (mut a, mut b) = (self.abs().0, o.abs().0);
                while b != 0 {
                    (a, b) = (b, a.wrapping_rem(b));
                }
                $t(a).abs()
            }
        }
    )*};
}
ints! {
    I32 i32, i32::wrapping_abs, |x: i32| x < 0;
    U32 u32, std::convert::identity, |_x: u32| false;
    I64 i64, i64::wrapping_abs, |x: i64| x < 0;
}

macro_rules! float_ops {
    ($([$($g:tt)*] $t:ty, $mk:ident, $tr:ident $f:ident $op:tt;)*) => {$(
        impl $($g)* $tr for $t {
            type Output = Self;
            #[inline(always)]
            fn $f(self, o: Self) -> Self { $mk(self.0 $op o.0) }
        }
        impl $($g)* $tr<f64> for $t {
            type Output = Self;
            #[inline(always)]
            fn $f(self, o: f64) -> Self { self $op <$t as Float>::lit(o) }
        }
    )*};
}
float_ops! {
    [<const FMA: bool>] F<FMA>, F, Add add +;
    [<const FMA: bool>] F<FMA>, F, Sub sub -;
    [<const FMA: bool>] F<FMA>, F, Mul mul *;
    [<const FMA: bool>] F<FMA>, F, Div div /;
    [] D, D, Add add +;
    [] D, D, Sub sub -;
    [] D, D, Mul mul *;
    [] D, D, Div div /;
}

macro_rules! floats {
    ([$($g:tt)*] $t:ty, $mk:ident, $raw:ident, $leaf:ident, {$($leaves:tt)*}) => {
        impl $($g)* Neg for $t {
            type Output = Self;
            #[inline(always)]
            fn neg(self) -> Self { $mk(-self.0) }
        }
        impl $($g)* Ring for $t {}
        impl $($g)* Arith for $t {
            #[inline(always)]
            fn div_trunc(self, o: Self) -> Self { (self / o).trunc() }
            #[inline(always)]
            fn rem_trunc(self, o: Self) -> Self { $mk(self.0 % o.0) }
            #[inline(always)]
            fn div_floor(self, o: Self) -> Self { $mk($leaf::div_floor(self.0, o.0)) }
            #[inline(always)]
            fn rem_floor(self, o: Self) -> Self {
                let r = self.0 % o.0;
                $mk(if r != 0.0 && (r < 0.0) != (o.0 < 0.0) { r + o.0 } else { r })
            }
            #[inline(always)]
            fn abs(self) -> Self { $mk(self.0.abs()) }
            #[inline(always)]
            fn pow(self, o: Self) -> Self { $mk(self.0.powf(o.0)) }
        }
        impl $($g)* Float for $t {
            #[inline(always)]
            fn lit(x: f64) -> Self { $mk(x as $raw) }
            #[inline(always)]
            fn inf() -> Self { $mk($raw::INFINITY) }
            #[inline(always)]
            fn nan() -> Self { $mk($raw::NAN) }
            #[inline(always)]
            fn copysign(self, o: Self) -> Self { $mk(self.0.copysign(o.0)) }
            #[inline(always)]
            fn atan2(self, o: Self) -> Self { $mk(self.0.atan2(o.0)) }
            #[inline(always)]
            fn hypot(self, o: Self) -> Self { $mk($leaf::hypot(self.0, o.0)) }
            #[inline(always)]
            fn nextafter(self, o: Self) -> Self { $mk($leaf::nextafter(self.0, o.0)) }
            $($leaves)*
        }
    };
}
macro_rules! all_floats {
    ($($name:ident)*) => {
        floats!([<const FMA: bool>] F<FMA>, F, f32, leaf32, {$(
            #[inline(always)]
            fn $name(self) -> Self { F(leaf32::$name::<FMA>(self.0)) }
        )*});
        floats!([] D, D, f64, leaf64, {$(
            #[inline(always)]
            fn $name(self) -> Self { D(leaf64::$name(self.0)) }
        )*});
    };
}
for_leaves!(all_floats);
