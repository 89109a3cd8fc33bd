//! The table of elementwise ops, one row each, and the macro that makes a row of a formula.

mod activation;
mod arith;
mod backward;
mod logic;
mod math;
mod special;

pub use activation::*;
pub use arith::*;
pub use backward::*;
pub use logic::*;
pub use math::*;
pub use special::*;

pub use super::complex::ANGLE;

#[cfg(test)]
mod table;
#[cfg(test)]
pub use table::{all_rows, dual_of, row};

use super::Float;

/// Two factors of the sigmoid of `x`, each a normal number where what it is to be multiplied by may still bring the product
/// back from below the smallest one: GPUs flush subnormal numbers to zero.
#[inline(always)]
fn sigmoid_parts<T: Float>(x: T) -> [T; 2] {
    let h = (x.abs() * -0.5).exp();
    let s = T::select(x.lt(T::lit(0.0)), h, T::lit(1.0));
    [s / (h * h + 1.0), s]
}

/// `g` times the exponential of `x`, also where that is subnormal.
#[inline(always)]
fn times_exp<T: Float>(g: T, x: T) -> T {
    let h = (x * 0.5).exp();
    g * h * h
}

/// The loops of a row for each dtype of its class.
macro_rules! cpu {
    (@pick $r:ty, $n:expr, $wide:ty, $plain:ty, $m:ty) => {
        Some(if wide_cpu() { wide::<$r, $wide, $m, { $n }> as BlockFn } else { plain::<$r, $plain, $m, { $n }> })
    };
    (@float $d:ident, $r:ty, $n:expr, $rest:expr) => {
        match $d {
            DType::F32 => Some(f32_block::<$r, { $n }>()),
            DType::F64 => cpu!(@pick $r, $n, D, D, f64),
            DType::F16 => Some(half::<$r, F16, { $n }> as BlockFn),
            DType::BF16 => Some(half::<$r, BF16, { $n }>),
            _ => $rest,
        }
    };
    (@int $d:ident, $r:ty, $n:expr, $rest:expr) => {
        match $d {
            DType::I64 => cpu!(@pick $r, $n, I64, I64, i64),
            DType::I32 => cpu!(@pick $r, $n, I32, I32, i32),
            DType::U32 => Some(plain::<$r, U32, u32, { $n }> as BlockFn),
            DType::I16 => Some(plain::<$r, I32, i16, { $n }>),
            DType::I8 => Some(plain::<$r, I32, i8, { $n }>),
            DType::U8 => Some(plain::<$r, I32, u8, { $n }>),
            _ => $rest,
        }
    };
    (@bool $d:ident, $r:ty, $n:expr) => {
        if $d == DType::Bool { cpu!(@pick $r, $n, Bool, Bool, BoolByte) } else { None }
    };
    (Base $d:ident, $r:ty, $n:expr) => {
        cpu!(@float $d, $r, $n, cpu!(@int $d, $r, $n, cpu!(@bool $d, $r, $n)))
    };
    (Ring $d:ident, $r:ty, $n:expr) => { cpu!(Base $d, $r, $n) };
    (Arith $d:ident, $r:ty, $n:expr) => { cpu!(@float $d, $r, $n, cpu!(@int $d, $r, $n, None)) };
    (Float $d:ident, $r:ty, $n:expr) => { cpu!(@float $d, $r, $n, None) };
    (Trig $d:ident, $r:ty, $n:expr) => {
        match $d {
            DType::F32 => Some(guarded::<$r, { $n }> as BlockFn),
            DType::F64 => cpu!(@pick $r, $n, D, D, f64),
            DType::F16 => Some(half_guarded::<$r, F16, { $n }> as BlockFn),
            DType::BF16 => Some(half_guarded::<$r, BF16, { $n }> as BlockFn),
            _ => None,
        }
    };
    (Int $d:ident, $r:ty, $n:expr) => { cpu!(@int $d, $r, $n, None) };
    (Bits $d:ident, $r:ty, $n:expr) => { cpu!(@int $d, $r, $n, cpu!(@bool $d, $r, $n)) };
}
use cpu;

/// True for the dtypes that a class of formulas has a meaning for.
macro_rules! in_class {
    (Base $d:ident) => {
        true
    };
    (Ring $d:ident) => {
        true
    };
    (Arith $d:ident) => {
        $d != DType::Bool
    };
    (Float $d:ident) => {
        $d.is_float()
    };
    (Trig $d:ident) => {
        $d.is_float()
    };
    (Int $d:ident) => {
        $d.is_int()
    };
    (Bits $d:ident) => {
        !$d.is_differentiable()
    };
}
use in_class;

macro_rules! out_type {
    ($t:ident) => {
        $t
    };
    ($t:ident bool) => {
        $t::B
    };
}
use out_type;

macro_rules! is_bool {
    () => {
        false
    };
    (bool) => {
        true
    };
}
use is_bool;

/// `NAME = "torch's name", class [-> bool], |operands| formula;`: the class says for which compute types the formula is
/// compiled, and which of their methods it may use.
macro_rules! rows {
    ($($id:ident = $name:literal, $class:ident $(-> $out:ident)?, |$($x:ident),+| $body:expr;)*) => {
        #[allow(unused_imports, reason = "which of them a file's rows need differs")]
        use {
            super::super::{block::*, complex, lanes::*, val::Val, wgsl::row_fn},
            super::super::{Arith, Base, Bits, Float, Int, Ring, Trig},
            super::{cpu, in_class, is_bool, out_type},
            crate::{DType, program::{BlockFn, Row}},
        };
        $(
            #[doc = concat!("`", $name, "(", stringify!($($x),+), ")`")]
            pub static $id: Row = Row {
                name: $name,
                arity: [$(stringify!($x)),+].len(),
                bool_out: is_bool!($($out)?),
                bool_first: false,
                cpu: |d| {
                    let real: Option<BlockFn> = cpu!($class d, formula::$id, [$(stringify!($x)),+].len());
                    real.or_else(|| complex::block($name, d))
                },
                wgsl: |d| {
                    let known = in_class!($class d) && !d.is_complex();
                    if known { row_fn::<formula::$id, { [$(stringify!($x)),+].len() }>($name, d) } else { None }
                },
            };
        )*
        /// The formulas as types, named as their rows.
        #[allow(non_camel_case_types, clippy::upper_case_acronyms, reason = "a formula has its row's name")]
        mod formula {
            use super::*;
            $(
                pub enum $id {}
                impl<T: $class> Formula<T, { [$(stringify!($x)),+].len() }> for $id {
                    type Out = out_type!(T $($out)?);
                    #[inline(always)]
                    fn eval([$($x),+]: [T; { [$(stringify!($x)),+].len() }]) -> Self::Out { $body }
                }
            )*
        }
        #[cfg(test)]
        pub(super) const TABLE: &[super::table::Entry] = &[
            $((&$id, super::table::dual_entry!($class $($out)? formula::$id, [$(stringify!($x)),+].len())),)*
        ];
    };
}
use rows;
