//! The functions of one f32, without branches, so that loops over them become vector code. `FMA` says that the loop is
//! compiled for a machine with fused multiply-add. Polynomials are minimax fits; twins of shaders/lib/math.wgsl.

use super::leaf64;

macro_rules! via64 {
    ($($name:ident)*) => {$(
        #[inline(always)]
        pub(super) fn $name<const FMA: bool>(x: f32) -> f32 { leaf64::$name(x as f64) as f32 }
    )*};
}
via64! { erfinv lgamma digamma i0 }

/// `a * b + c`, fused where that is one instruction.
#[inline(always)]
fn fma<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

/// A polynomial, lowest coefficient first.
#[inline(always)]
fn poly<const FMA: bool, const N: usize>(x: f32, c: [f32; N]) -> f32 {
    let mut y = c[N - 1];
    for k in (0..N - 1).rev() {
        y = fma::<FMA>(y, x, c[k]);
    }
    y
}

#[inline(always)]
fn select(c: bool, yes: f32, no: f32) -> f32 {
    if c { yes } else { no }
}

/// 1.5 * 2^23: a float plus this holds the nearest integer in its low bits.
const ROUND: f32 = 12_582_912.0;
/// ln 2 in two parts; products of the first one with exponents are exact.
const LN2_HI: f32 = 0.693_359_4;
const LN2_LO: f32 = -0.000_212_194_44;
const LOG2_E: f32 = std::f32::consts::LOG2_E;
const LN_2: f32 = std::f32::consts::LN_2;
const PI: f32 = std::f32::consts::PI;
const HALF_PI: f32 = std::f32::consts::FRAC_PI_2;

/// `n`, `r` and so `x = n ln 2 + r` with a small `r`.
#[inline(always)]
fn exp_split<const FMA: bool>(x: f32) -> (i32, f32) {
    let t = fma::<FMA>(x, LOG2_E, ROUND);
    let n = t - ROUND;
    let r = fma::<FMA>(n, -LN2_LO, fma::<FMA>(n, -LN2_HI, x));
    (t.to_bits().wrapping_sub(ROUND.to_bits()) as i32, r)
}

/// `e^r` for `|r| <= ln(2) / 2`.
#[inline(always)]
fn exp_core<const FMA: bool>(r: f32) -> f32 {
    let p = poly::<FMA, 5>(r, [0.499_999_94, 0.166_665_2, 0.041_668_393, 0.008_368_78, 0.001_381_454_4]);
    fma::<FMA>(r * r, p, r) + 1.0
}

/// `x 2^n` in two steps, each within range.
#[inline(always)]
fn scale(x: f32, n: i32) -> f32 {
    let half = n >> 1;
    let power = |n: i32| f32::from_bits((n.wrapping_add(127) as u32) << 23);
    x * power(half) * power(n.wrapping_sub(half))
}

#[inline(always)]
pub(super) fn exp<const FMA: bool>(x: f32) -> f32 {
    let c = select(x > 89.0, 89.0, x);
    // nothing is left of it: zero is put in at the end, for a product that underflows takes a CPU long
    let gone = c < -104.0;
    let (n, r) = exp_split::<FMA>(select(gone, 0.0, c));
    select(gone, 0.0, scale(exp_core::<FMA>(r), n))
}

/// `e^x / 2`, which is finite for a while after `e^x` is not.
#[inline(always)]
fn exp_half<const FMA: bool>(x: f32) -> f32 {
    let (n, r) = exp_split::<FMA>(select(x > 90.0, 90.0, x));
    scale(exp_core::<FMA>(r), n.wrapping_sub(1))
}

#[inline(always)]
pub(super) fn exp2<const FMA: bool>(x: f32) -> f32 {
    let c = select(x > 129.0, 129.0, x);
    let c = select(c < -151.0, -151.0, c);
    let t = c + ROUND;
    let f = c - (t - ROUND);
    let p =
        poly::<FMA, 6>(f, [0.693_147_2, 0.240_226_48, 0.055_503_324, 0.009_618_437, 0.001_339_887_7, 0.000_153_533_8]);
    scale(fma::<FMA>(f, p, 1.0), t.to_bits().wrapping_sub(ROUND.to_bits()) as i32)
}

#[inline(always)]
pub(super) fn expm1<const FMA: bool>(x: f32) -> f32 {
    let c = select(x > 89.0, 89.0, x);
    let (n, r) = exp_split::<FMA>(select(c < -20.0, -20.0, c));
    let q = [0.5, 0.166_666_66, 0.041_666_36, 0.008_333_389, 0.001_394_073, 0.000_198_462_51];
    let p = fma::<FMA>(r * r, poly::<FMA, 6>(r, q), r);
    // half the power, since 2^128 is no f32
    let half = f32::from_bits((n.wrapping_add(126) as u32) << 23);
    fma::<FMA>(half, p, half - 0.5) * 2.0
}

/// `log(1 + f)` for `f` between sqrt(1/2) - 1 and sqrt(2) - 1.
#[inline(always)]
fn log_near_one<const FMA: bool>(f: f32) -> f32 {
    let c = [
        0.333_333_1,
        -0.250_000_1,
        0.200_022_73,
        -0.166_681_08,
        0.142_162_04,
        -0.124_009_9,
        0.119_100_3,
        -0.117_158_92,
        0.067_461_714,
    ];
    let p = poly::<FMA, 9>(f, c);
    fma::<FMA>(-f * f, fma::<FMA>(-f, p, 0.5), f)
}

/// The exponent of `x`, and `m - 1` for its mantissa `m` between sqrt(1/2) and sqrt(2).
#[inline(always)]
fn log_split(x: f32) -> (f32, f32) {
    let tiny = x < f32::MIN_POSITIVE;
    let b = select(tiny, x * 8_388_608.0, x).to_bits();
    let n = b.wrapping_sub(0x3f35_04f3);
    let e = ((n as i32) >> 23) as f32 - select(tiny, 23.0, 0.0);
    (e, f32::from_bits((n & 0x007f_ffff) + 0x3f35_04f3) - 1.0)
}

/// `y = log(x)` put right where x is zero, negative, infinite or NaN.
#[inline(always)]
fn log_edges(x: f32, y: f32) -> f32 {
    let y = select(x < f32::INFINITY, y, x);
    let y = select(x < 0.0, f32::NAN, y);
    select(x == 0.0, f32::NEG_INFINITY, y)
}

#[inline(always)]
pub(super) fn log<const FMA: bool>(x: f32) -> f32 {
    let (e, f) = log_split(x);
    log_edges(x, fma::<FMA>(e, LN2_HI, fma::<FMA>(e, LN2_LO, log_near_one::<FMA>(f))))
}

#[inline(always)]
pub(super) fn log2<const FMA: bool>(x: f32) -> f32 {
    let (e, f) = log_split(x);
    log_edges(x, fma::<FMA>(log_near_one::<FMA>(f), LOG2_E, e))
}

#[inline(always)]
pub(super) fn log10<const FMA: bool>(x: f32) -> f32 {
    let (e, f) = log_split(x);
    let low = fma::<FMA>(log_near_one::<FMA>(f), std::f32::consts::LOG10_E, e * 4.605_039e-6);
    log_edges(x, fma::<FMA>(e, 0.301_025_4, low))
}

#[inline(always)]
pub(super) fn log1p<const FMA: bool>(x: f32) -> f32 {
    let near = (x > -0.29) & (x < 0.41);
    let u = 1.0 + x;
    let (e, f) = log_split(u);
    let y = log_near_one::<FMA>(select(near, x, f));
    let far = fma::<FMA>(e, LN2_HI, fma::<FMA>(e, LN2_LO, y));
    select(near, y, log_edges(u, far))
}

#[inline(always)]
pub(super) fn sigmoid<const FMA: bool>(x: f32) -> f32 {
    1.0 / (1.0 + exp::<FMA>(-x))
}

#[inline(always)]
pub(super) fn tanh<const FMA: bool>(x: f32) -> f32 {
    let a = x.abs();
    let t = expm1::<FMA>(2.0 * select(a > 10.0, 10.0, a));
    (t / (t + 2.0)).copysign(x)
}

#[inline(always)]
pub(super) fn sinh<const FMA: bool>(x: f32) -> f32 {
    let a = x.abs();
    let t = expm1::<FMA>(select(a > 20.0, 20.0, a));
    select(a > 20.0, exp_half::<FMA>(a), 0.5 * (t + t / (t + 1.0))).copysign(x)
}

#[inline(always)]
pub(super) fn cosh<const FMA: bool>(x: f32) -> f32 {
    let h = exp_half::<FMA>(x.abs());
    h + 0.25 / h
}

#[inline(always)]
pub(super) fn asinh<const FMA: bool>(x: f32) -> f32 {
    let a = x.abs();
    let s = select(a > 1e4, 1.0, a);
    let small = log1p::<FMA>(s + s * s / (1.0 + (1.0 + s * s).sqrt()));
    select(a > 1e4, log::<FMA>(a) + LN_2, small).copysign(x)
}

#[inline(always)]
pub(super) fn acosh<const FMA: bool>(x: f32) -> f32 {
    let t = select(x > 1e4, 1.0, x) - 1.0;
    let y = select(x > 1e4, log::<FMA>(x) + LN_2, log1p::<FMA>(t + (t * (2.0 + t)).sqrt()));
    select(x < 1.0, f32::NAN, y)
}

#[inline(always)]
pub(super) fn atanh<const FMA: bool>(x: f32) -> f32 {
    let a = x.abs();
    (0.5 * log1p::<FMA>(2.0 * a / (1.0 - a))).copysign(x)
}

#[inline(always)]
pub(super) fn atan<const FMA: bool>(x: f32) -> f32 {
    let a = x.abs();
    let far = a > 1.0;
    let q = select(far, 1.0 / a, a);
    let z = q * q;
    let c = [
        -0.333_333,
        0.199_985_47,
        -0.142_642_36,
        0.109_521_6,
        -0.084_033_75,
        0.057_956_31,
        -0.031_176_573,
        0.010_913_924,
        -0.001_793_47,
    ];
    let y = fma::<FMA>(q * z, poly::<FMA, 9>(z, c), q);
    select(far, HALF_PI - y, y).copysign(x)
}

/// asin(q) for q from 0 to 1/2.
#[inline(always)]
fn asin_core<const FMA: bool>(q: f32) -> f32 {
    let z = q * q;
    let c = [0.166_667_52, 0.074_952_99, 0.045_470_176, 0.024_180_71, 0.042_164_09];
    fma::<FMA>(q * z, poly::<FMA, 5>(z, c), q)
}

#[inline(always)]
pub(super) fn asin<const FMA: bool>(x: f32) -> f32 {
    let a = x.abs();
    let far = a > 0.5;
    let c = asin_core::<FMA>(select(far, (0.5 * (1.0 - a)).sqrt(), a));
    select(far, HALF_PI - 2.0 * c, c).copysign(x)
}

#[inline(always)]
pub(super) fn acos<const FMA: bool>(x: f32) -> f32 {
    let a = x.abs();
    let far = a > 0.5;
    let c = asin_core::<FMA>(select(far, (0.5 * (1.0 - a)).sqrt(), a));
    let negative = x < 0.0;
    select(far, select(negative, PI - 2.0 * c, 2.0 * c), HALF_PI - select(negative, -c, c))
}

/// Arguments from here on have their own path: see `block::guarded`.
pub(super) const TRIG_MAX: f32 = 1_048_576.0;

/// `x` less the nearest multiple of pi / 2, and that multiple (its low bits), by way of f64.
#[inline(always)]
fn trig_split(x: f32) -> (f32, u32) {
    // 1.5 * 2^52, as ROUND for f32; pi / 2 in two parts, of which the first has 33 bits: products with it are exact
    const ROUND64: f64 = 6_755_399_441_055_744.0;
    const HI: f64 = 1.570_796_326_734_125_6;
    const LO: f64 = 6.077_100_506_506_192e-11;
    let d = x as f64;
    let t = d * std::f64::consts::FRAC_2_PI + ROUND64;
    let n = t - ROUND64;
    (((d - n * HI) - n * LO) as f32, t.to_bits() as u32)
}

#[inline(always)]
fn sin_core<const FMA: bool>(r: f32) -> f32 {
    let z = r * r;
    fma::<FMA>(r * z, poly::<FMA, 4>(z, [-0.166_666_67, 0.008_333_329, -0.000_198_392_97, 2.717_970_4e-6]), r)
}

#[inline(always)]
fn cos_core<const FMA: bool>(r: f32) -> f32 {
    let z = r * r;
    fma::<FMA>(z, poly::<FMA, 4>(z, [-0.5, 0.041_666_646, -0.001_388_730_2, 2.443_162_9e-5]), 1.0)
}

#[inline(always)]
fn sin_quarter<const FMA: bool>(r: f32, q: u32) -> f32 {
    let y = select(q & 1 != 0, cos_core::<FMA>(r), sin_core::<FMA>(r));
    f32::from_bits(y.to_bits() ^ ((q & 2) << 30))
}

#[inline(always)]
pub(super) fn sin<const FMA: bool>(x: f32) -> f32 {
    let (r, q) = trig_split(x);
    sin_quarter::<FMA>(r, q)
}

#[inline(always)]
pub(super) fn cos<const FMA: bool>(x: f32) -> f32 {
    let (r, q) = trig_split(x);
    sin_quarter::<FMA>(r, q.wrapping_add(1))
}

#[inline(always)]
pub(super) fn tan<const FMA: bool>(x: f32) -> f32 {
    let (r, q) = trig_split(x);
    let (s, c) = (sin_core::<FMA>(r), cos_core::<FMA>(r));
    let odd = q & 1 != 0;
    select(odd, -c, s) / select(odd, s, c)
}

/// `e^(a^2) erfc(a) / t` by `t = 1 / (1 + 0.4 a)`, for a from 0 to 10.5.
const ERFCX: [f32; 10] = [
    0.225_703_69,
    0.225_015_2,
    0.214_391_5,
    0.132_152_6,
    0.264_885_9,
    -0.270_947_16,
    0.531_257_4,
    -0.486_652_88,
    0.192_832_77,
    -0.028_638_922,
];

/// `e^(a^2) erfc(a)` for a from 0 to 10.5.
#[inline(always)]
fn erfcx<const FMA: bool>(a: f32) -> f32 {
    let t = 1.0 / fma::<FMA>(a, 0.4, 1.0);
    t * poly::<FMA, 10>(t, ERFCX)
}

/// `erf(x)` for `|x| <= 1`.
#[inline(always)]
fn erf_near<const FMA: bool>(x: f32) -> f32 {
    let c =
        [1.128_379_1, -0.376_126_26, 0.112_835_854, -0.026_853_811, 0.005_188_326_8, -0.000_801_018_7, 7.853_838e-5];
    x * poly::<FMA, 7>(x * x, c)
}

#[inline(always)]
pub(super) fn erfc<const FMA: bool>(x: f32) -> f32 {
    let m = x.abs();
    let a = select(m > 10.5, 10.5, m);
    // the square in two parts, the first one exact
    let h = f32::from_bits(a.to_bits() & 0xffff_f000);
    let e = (a - h) * (a + h);
    let tail = poly::<FMA, 5>(e, [1.0, -1.0, 0.5, -0.166_666_67, 0.041_666_668]);
    // the polynomial and its products in f64: their roundings would add up to 6 units
    let t = 1.0 / (a as f64 * 0.4 + 1.0);
    let mut p = ERFCX[9] as f64;
    for k in (0..9).rev() {
        p = p * t + ERFCX[k] as f64;
    }
    let y = (t * p * exp::<FMA>(-h * h) as f64 * tail as f64) as f32;
    select(m < 0.5, 1.0 - erf_near::<FMA>(x), select(x < 0.0, 2.0 - y, y))
}

#[inline(always)]
pub(super) fn erf<const FMA: bool>(x: f32) -> f32 {
    let a = x.abs();
    let b = select(a > 10.0, 10.0, a);
    let (n, r) = exp_split::<FMA>(-b * b);
    let n = if n < -126 { -126 } else { n };
    let power = f32::from_bits((n.wrapping_add(127) as u32) << 23);
    let far = fma::<FMA>(-erfcx::<FMA>(b) * exp_core::<FMA>(r), power, 1.0).copysign(x);
    select(a < 1.0, erf_near::<FMA>(x), far)
}

/// The distribution function of the standard normal.
#[inline(always)]
pub(super) fn phi<const FMA: bool>(x: f32) -> f32 {
    let m = x.abs();
    // from here on the exponent below is so small that the power is 0
    let a = select(m > 13.22, 13.22, m);
    let t = 1.0 / fma::<FMA>(a, 0.35, 1.0);
    let c = [
        0.279_242_6,
        0.279_727_2,
        0.239_641_37,
        0.211_109_97,
        -0.046_436_93,
        0.318_657_7,
        -0.511_694_4,
        0.288_069_96,
        -0.058_317_47,
    ];
    let q = t * poly::<FMA, 9>(t, c);
    let (n, r) = exp_split::<FMA>(a * a * -0.5);
    // half the power, and a zero for the smallest: the polynomial is twice what it stands for
    let h = q * exp_core::<FMA>(r) * f32::from_bits((n.wrapping_add(126) as u32) << 23);
    select(x < 0.0, h, 1.0 - h)
}

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
