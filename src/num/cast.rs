//! Conversions between dtypes, the same on both devices.
//!
//! Floats become integers by truncation. What i32 (for u8, i8, i16 and i32) or i64 (for u32 and i64) cannot hold, NaN too, is
//! that type's smallest value, as x86 has it; narrower integers and u32 then take the low bits. Integers wrap, become
//! floats by rounding to nearest even, and anything but zero (NaN too) is true. Of complex numbers the real part is taken.

use super::block::wide_cpu;
use super::f64_to_i64;
use super::leaf32::{f16_to_f32, f32_to_bf16, f32_to_f16};
use super::val::Kind;
use super::wgsl::{known, normalise};
use crate::dtype::DType;
use crate::program::WgslFn;
use crate::scalar::Scalar;

/// Converts `n` packed elements; the two memories do not overlap.
pub type CastFn = unsafe fn(*const u8, *mut u8, usize);

#[inline(always)]
fn f32_to_i32(x: f32) -> i32 {
    if (-2147483648.0..2147483648.0).contains(&x) { x as i32 } else { i32::MIN }
}
#[inline(always)]
fn f64_to_i32(x: f64) -> i32 {
    if x > -2147483649.0 && x < 2147483648.0 { x as i32 } else { i32::MIN }
}

/// An element of a dtype in memory.
trait Cell: Copy {
    type Raw: Copy;
}
/// The conversion of an element.
trait To<O: Cell>: Cell {
    fn to(x: Self::Raw) -> O::Raw;
}

macro_rules! cells {
    ($($c:ident $raw:ty;)*) => {$(
        #[derive(Clone, Copy)]
        struct $c;
        impl Cell for $c { type Raw = $raw; }
    )*};
}
cells! { C64 [f32; 2]; C128 [f64; 2]; Bool u8; U8 u8; I8 i8; I16 i16; I32 i32; I64 i64; U32 u32; F16 u16; BF16 u16; F32 f32; F64 f64; }

macro_rules! to {
    ($a:ident => $($b:ident)*, |$x:ident| $e:expr) => {$(
        impl To<$b> for $a {
            #[inline(always)]
            fn to($x: <$a as Cell>::Raw) -> <$b as Cell>::Raw { ($e) as <$b as Cell>::Raw }
        }
    )*};
}
macro_rules! from_int {
    ($($a:ident)*) => {$(
        to!($a => U8 I8 I16 I32 I64 U32 F32 F64, |x| x);
        to!($a => Bool, |x| x != 0);
        to!($a => F16, |x| f32_to_f16(x as f32));
        to!($a => BF16, |x| f32_to_bf16(x as f32));
    )*};
}
from_int!(U8 I8 I16 I32 I64 U32);
to!(Bool => Bool U8 I8 I16 I32 I64 U32, |x| (x != 0) as u8);
to!(Bool => F32 F64, |x| (x != 0) as u8);
to!(Bool => F16, |x| if x != 0 { 0x3c00u16 } else { 0 });
to!(Bool => BF16, |x| if x != 0 { 0x3f80u16 } else { 0 });
macro_rules! from_float {
    ($($a:ident |$x:ident| $f32:expr;)*) => {$(
        to!($a => F32 F64, |$x| $f32);
        to!($a => Bool, |$x| $f32 != 0.0);
        to!($a => U8 I8 I16 I32, |$x| f32_to_i32($f32));
        to!($a => I64 U32, |$x| f64_to_i64($f32 as f64));
    )*};
}
from_float! { F16 |x| f16_to_f32(x); BF16 |x| f32::from_bits((x as u32) << 16); F32 |x| x; }
to!(F16 => F16, |x| x);
to!(BF16 => BF16, |x| x);
to!(F16 => BF16, |x| f32_to_bf16(f16_to_f32(x)));
to!(BF16 => F16, |x| f32_to_f16(f32::from_bits((x as u32) << 16)));
to!(F32 => F16, |x| f32_to_f16(x));
to!(F32 => BF16, |x| f32_to_bf16(x));
to!(F64 => F32 F64, |x| x);
to!(F64 => F16, |x| f32_to_f16(x as f32));
to!(F64 => BF16, |x| f32_to_bf16(x as f32));
to!(F64 => Bool, |x| x != 0.0);
to!(F64 => U8 I8 I16 I32, |x| f64_to_i32(x));
to!(F64 => I64 U32, |x| f64_to_i64(x));

// a complex number is converted by its real part, except that it is true where either part is not 0
macro_rules! complex {
    ($($c:ident $part:ident $raw:ident;)*) => {$(
        impl To<$c> for Bool {
            #[inline(always)]
            fn to(x: u8) -> [$raw; 2] { [(x != 0) as u8 as $raw, 0.0] }
        }
        complex!(@from $c $raw: U8 I8 I16 I32 I64 U32 F16 BF16 F32 F64);
        complex!(@to $c $part: U8 I8 I16 I32 I64 U32 F16 BF16 F32 F64);
        impl To<Bool> for $c {
            #[inline(always)]
            fn to(x: [$raw; 2]) -> u8 { (x[0] != 0.0 || x[1] != 0.0) as u8 }
        }
    )*};
    (@from $c:ident $raw:ident: $($a:ident)*) => {$(
        impl To<$c> for $a {
            #[inline(always)]
            fn to(x: <$a as Cell>::Raw) -> [$raw; 2] { [<$a as To<F64>>::to(x) as $raw, 0.0] }
        }
    )*};
    (@to $c:ident $part:ident: $($b:ident)*) => {$(
        impl To<$b> for $c {
            #[inline(always)]
            fn to(x: <$c as Cell>::Raw) -> <$b as Cell>::Raw { <$part as To<$b>>::to(x[0]) }
        }
    )*};
}
complex! { C64 F32 f32; C128 F64 f64; }
macro_rules! between_complex {
    ($($a:ident => $b:ident $raw:ident;)*) => {$(
        impl To<$b> for $a {
            #[inline(always)]
            fn to([re, im]: <$a as Cell>::Raw) -> [$raw; 2] { [re as $raw, im as $raw] }
        }
    )*};
}
between_complex! { C64 => C64 f32; C64 => C128 f64; C128 => C64 f32; C128 => C128 f64; }

#[inline(always)]
unsafe fn body<A: To<B>, B: Cell>(from: *const u8, to: *mut u8, n: usize) {
    let (from, to) = (from as *const A::Raw, to as *mut B::Raw);
    for i in 0..n {
        // SAFETY: the caller's promise: `n` elements behind both pointers.
        unsafe { to.add(i).write(A::to(from.add(i).read())) }
    }
}
unsafe fn plain<A: To<B>, B: Cell>(from: *const u8, to: *mut u8, n: usize) {
    // SAFETY: the caller's promise is the same.
    unsafe { body::<A, B>(from, to, n) }
}
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,bmi2")]
unsafe fn wide<A: To<B>, B: Cell>(from: *const u8, to: *mut u8, n: usize) {
    // SAFETY: the caller's promise is the same.
    unsafe { body::<A, B>(from, to, n) }
}
#[cfg(not(target_arch = "x86_64"))]
use plain as wide;

macro_rules! for_cell {
    ($d:expr, $c:ident => $e:expr) => {
        match $d {
            DType::Bool => {
                type $c = Bool;
                $e
            }
            DType::U8 => {
                type $c = U8;
                $e
            }
            DType::I8 => {
                type $c = I8;
                $e
            }
            DType::I16 => {
                type $c = I16;
                $e
            }
            DType::I32 => {
                type $c = I32;
                $e
            }
            DType::I64 => {
                type $c = I64;
                $e
            }
            DType::U32 => {
                type $c = U32;
                $e
            }
            DType::F16 => {
                type $c = F16;
                $e
            }
            DType::BF16 => {
                type $c = BF16;
                $e
            }
            DType::F32 => {
                type $c = F32;
                $e
            }
            DType::F64 => {
                type $c = F64;
                $e
            }
            complex => unreachable!("{complex} is no real dtype"),
        }
    };
}

/// [`cast_cpu`] where one of them is complex: rare enough for one copy of each loop.
fn cast_complex(from: DType, to: DType) -> CastFn {
    match (from, to) {
        (DType::C64, DType::C64) => plain::<C64, C64>,
        (DType::C64, DType::C128) => plain::<C64, C128>,
        (DType::C128, DType::C64) => plain::<C128, C64>,
        (DType::C128, DType::C128) => plain::<C128, C128>,
        (DType::C64, real) => for_cell!(real, B => plain::<C64, B> as CastFn),
        (_, DType::C64) => for_cell!(from, A => plain::<A, C64> as CastFn),
        (DType::C128, real) => for_cell!(real, B => plain::<C128, B> as CastFn),
        (real, _) => for_cell!(real, A => plain::<A, C128> as CastFn),
    }
}

/// The loop that converts packed elements of one dtype to another.
pub fn cast_cpu(from: DType, to: DType) -> CastFn {
    if from.is_complex() || to.is_complex() {
        return cast_complex(from, to);
    }
    let fast = wide_cpu();
    for_cell!(from, A => for_cell!(to, B => if fast { wide::<A, B> as CastFn } else { plain::<A, B> }))
}

/// Writes `n` copies of a scalar, converted to a dtype.
///
/// # Safety
/// `to` is valid for writes of `n` elements of the dtype.
pub unsafe fn fill(dtype: DType, value: Scalar, to: *mut u8, n: usize) {
    let mut one = [0u8; 8];
    if let Scalar::Complex(z) = value {
        // SAFETY: the caller's promise.
        unsafe {
            if dtype == DType::C128 {
                std::slice::from_raw_parts_mut(to.cast::<num_complex::Complex<f64>>(), n).fill(z);
            } else if dtype == DType::C64 {
                let z = num_complex::Complex::new(z.re as f32, z.im as f32);
                std::slice::from_raw_parts_mut(to.cast::<num_complex::Complex<f32>>(), n).fill(z);
            } else {
                fill(dtype, Scalar::Float(z.re), to, n);
            }
        }
        return;
    }
    let (bytes, from) = match value {
        Scalar::Complex(_) => unreachable!("complex numbers come first"),
        Scalar::Bool(b) => ([b as u8, 0, 0, 0, 0, 0, 0, 0], DType::Bool),
        Scalar::Int(i) => (i.to_ne_bytes(), DType::I64),
        Scalar::Float(f) => (f.to_ne_bytes(), DType::F64),
    };
    // aligned, as a cast reads whole elements
    let source = [u64::from_ne_bytes(bytes)];
    let mut target = [0u64; 2];
    // SAFETY: both hold one element of the dtypes.
    unsafe { cast_cpu(from, dtype)(source.as_ptr() as *const u8, target.as_mut_ptr() as *mut u8, 1) };
    one.copy_from_slice(&target[0].to_ne_bytes());
    // SAFETY: the caller's promise.
    unsafe {
        match dtype.size() {
            1 => std::slice::from_raw_parts_mut(to, n).fill(one[0]),
            2 => std::slice::from_raw_parts_mut(to as *mut u16, n).fill(u16::from_ne_bytes([one[0], one[1]])),
            4 => std::slice::from_raw_parts_mut(to as *mut u32, n)
                .fill(u32::from_ne_bytes([one[0], one[1], one[2], one[3]])),
            8 => std::slice::from_raw_parts_mut(to as *mut u64, n).fill(target[0]),
            _ => std::slice::from_raw_parts_mut(to as *mut [u64; 2], n).fill(target),
        }
    }
}

/// The conversion as a WGSL function on compute types, named `cast_<from>_<to>`.
pub fn cast_wgsl(from: DType, to: DType) -> Option<WgslFn> {
    if from.is_complex() || to.is_complex() {
        return None;
    }
    let mut uses = Vec::new();
    let mut call = |f: &str| -> String {
        uses.push(known(f));
        format!("{f}(x)")
    };
    let x = match (Kind::of(from), Kind::of(to)) {
        (a, b) if a == b => "x".to_string(),
        (Kind::Bool, Kind::F32) => "select(0.0f, 1.0f, x)".into(),
        (Kind::Bool, Kind::F64) => "select(0.0lf, 1.0lf, x)".into(),
        (Kind::Bool, Kind::I32) => "select(0i, 1i, x)".into(),
        (Kind::Bool, Kind::U32) => "select(0u, 1u, x)".into(),
        (Kind::Bool, Kind::I64) => "vec2<u32>(select(0u, 1u, x), 0u)".into(),
        (Kind::F32, Kind::Bool) => "(bitcast<u32>(x) & 0x7fffffffu) != 0u".into(),
        (Kind::F64, Kind::Bool) => format!("x != 0.0lf || {}", call("f64_isnan")),
        (Kind::I32, Kind::Bool) => "x != 0i".into(),
        (Kind::U32, Kind::Bool) => "x != 0u".into(),
        (Kind::I64, Kind::Bool) => "any(x != vec2<u32>(0u))".into(),
        (Kind::F32, Kind::I32) => call("m_to_i32"),
        (Kind::F32, Kind::U32) => call("i64_from_f32") + ".x",
        (Kind::F32, Kind::I64) => call("i64_from_f32"),
        (Kind::F32, Kind::F64) => "f64(x)".into(),
        (Kind::F64, Kind::F32) => "f32(x)".into(),
        (Kind::F64, Kind::I32) => call("f64_to_i32"),
        (Kind::F64, Kind::U32) => call("i64_from_f64") + ".x",
        (Kind::F64, Kind::I64) => call("i64_from_f64"),
        (Kind::I32, Kind::F32) | (Kind::U32, Kind::F32) => "f32(x)".into(),
        (Kind::I32, Kind::F64) | (Kind::U32, Kind::F64) => "f64(x)".into(),
        (Kind::I32, Kind::U32) => "bitcast<u32>(x)".into(),
        (Kind::U32, Kind::I32) => "bitcast<i32>(x)".into(),
        (Kind::I32, Kind::I64) => "vec2<u32>(bitcast<u32>(x), bitcast<u32>(x >> 31u))".into(),
        (Kind::U32, Kind::I64) => "vec2<u32>(x, 0u)".into(),
        (Kind::I64, Kind::F32) => call("i64_to_f32"),
        (Kind::I64, Kind::F64) => call("i64_to_f64"),
        (Kind::I64, Kind::I32) => "bitcast<i32>(x.x)".into(),
        (Kind::I64, Kind::U32) => "x.x".into(),
        (Kind::F32, Kind::F32) | (Kind::F64, Kind::F64) | (Kind::I32, Kind::I32) => {
            unreachable!("equal kinds are first")
        }
        (Kind::U32, Kind::U32) | (Kind::I64, Kind::I64) | (Kind::Bool, Kind::Bool) => {
            unreachable!("equal kinds are first")
        }
    };
    let mut lines = format!("    let y = {x};\n");
    let mut result = "y".to_string();
    if from != to
        && let Some((text, more)) = normalise(to, "y")
    {
        lines.push_str(&format!("    let z = {text};\n"));
        result = "z".into();
        uses.extend(more);
    }
    let name = format!("cast_{}_{}", from.name(), to.name());
    let (a, b) = (Kind::of(from).wgsl(), Kind::of(to).wgsl());
    Some(WgslFn { text: format!("fn {name}(x: {a}) -> {b} {{\n{lines}    return {result};\n}}\n"), name, uses })
}
