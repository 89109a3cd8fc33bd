//! The functions of one f32.

use super::leaf64;

macro_rules! via64 {
    ($($name:ident)*) => {$(
        #[inline(always)]
        pub(super) fn $name<const FMA: bool>(x: f32) -> f32 { leaf64::$name(x as f64) as f32 }
    )*};
}
via64! { exp exp2 expm1 log log2 log10 log1p sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh erf erfc erfinv sigmoid phi lgamma digamma i0 }

macro_rules! std_leaves {
    ($($name:ident $method:ident;)*) => {$(
        #[inline(always)]
        pub(super) fn $name<const FMA: bool>(x: f32) -> f32 { x.$method() }
    )*};
}
std_leaves! { sqrt sqrt; floor floor; ceil ceil; trunc trunc; round round_ties_even; }

/// Euclidean length, in f64 where no f32 square overflows.
#[inline(always)]
pub(super) fn hypot(x: f32, y: f32) -> f32 {
    if x.is_infinite() | y.is_infinite() {
        return f32::INFINITY;
    }
    let (x, y) = (x as f64, y as f64);
    (x * x + y * y).sqrt() as f32
}

/// `a / b` rounded down, exactly.
pub(super) fn div_floor(a: f32, b: f32) -> f32 {
    if b == 0.0 {
        return a / b;
    }
    let r = a % b;
    let q = (a - r) / b;
    let q = if r != 0.0 && (b < 0.0) != (r < 0.0) { q - 1.0 } else { q };
    if q == 0.0 {
        return 0f32.copysign(a / b);
    }
    let f = q.floor();
    if q - f > 0.5 { f + 1.0 } else { f }
}

/// The neighbour of `x` on the way to `y`.
#[inline(always)]
pub(super) fn nextafter(x: f32, y: f32) -> f32 {
    if x.is_nan() || y.is_nan() {
        f32::NAN
    } else if x == y {
        y
    } else if y > x {
        x.next_up()
    } else {
        x.next_down()
    }
}

/// IEEE half precision widened, without branches: the exponent is moved by a multiplication, which also scales
/// subnormals.
#[inline(always)]
pub(super) fn f16_to_f32(h: u16) -> f32 {
    let sign = ((h & 0x8000) as u32) << 16;
    let rest = ((h & 0x7fff) as u32) << 13;
    let finite = f32::from_bits(rest) * f32::from_bits((254 - 15) << 23);
    let bits = if rest >= 0x1f << 23 { rest | 0x7f80_0000 } else { finite.to_bits() };
    f32::from_bits(bits | sign)
}

/// Rounded to half precision, nearest even; NaN stays NaN, 65520 and more is infinite.
#[inline(always)]
pub(super) fn f32_to_f16(x: f32) -> u16 {
    let bits = x.to_bits();
    let sign = (bits >> 16) & 0x8000;
    let abs = bits & 0x7fff_ffff;
    // below the smallest normal half: adding 0.5 puts the half's bits at the end of the sum, rounded by the hardware
    let tiny = (f32::from_bits(abs) + 0.5).to_bits().wrapping_sub(0.5f32.to_bits());
    // normal: move the exponent and round the 13 lost bits to nearest even
    let odd = (abs >> 13) & 1;
    let normal = abs.wrapping_sub((127 - 15) << 23).wrapping_add(0xfff + odd) >> 13;
    let r = if abs < (127 - 14) << 23 { tiny } else { normal.min(0x7c00) };
    let r = if abs >= 0x7f80_0000 { 0x7c00 } else { r };
    let r = if abs > 0x7f80_0000 { 0x7e00 } else { r };
    (r | sign) as u16
}

/// Rounded to bfloat16, nearest even; NaN stays NaN.
#[inline(always)]
pub(super) fn f32_to_bf16(x: f32) -> u16 {
    let bits = x.to_bits();
    let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16;
    (if bits & 0x7fff_ffff > 0x7f80_0000 { 0x7fc0 | (bits >> 16) } else { rounded }) as u16
}
