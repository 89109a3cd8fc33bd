//! Elementwise ops. Each is one row here (formula, dtype rule, node, derivative) and one line of its methods.
//!
//! The formula itself stands in `num::rows`; everything that tensors add to it stands in this folder. Where PyTorch's function
//! has options that are rarely given, the bare method takes none and its twin `name_with` takes them in one trailing
//! `impl Into<NameOptions>`, which `()` and the common single value convert to.

mod activation;
mod arith;
mod backward;
mod bits;
mod clamp;
mod compare;
mod math;
mod power;
mod round;
mod special;
#[cfg(test)]
mod tests;

pub use activation::{
    Approximate, EluOptions, GeluOptions, HardtanhOptions, LeakyReluOptions, ShrinkOptions, SoftplusOptions,
};
pub use arith::{AlphaOptions, DivOptions, RoundingMode, ValueOptions, floor_divide};
pub use clamp::Bound;
pub use compare::{IscloseOptions, where_cond};
pub use math::{LogitOptions, NanToNumOptions};
pub use power::pow;
pub use round::RoundOptions;
pub use special::zeta;

pub(crate) use arith::*;
pub(crate) use bits::*;
pub(crate) use compare::select;

use crate::error::Result;
use crate::tensor::{Ctx, Elementwise, In, OUTPUT, Tensor, elementwise, elementwise_};

/// Elementwise ops as statics: `NAME = ROW, Rule, "NodeName", saves <fn>, <vjp>;`
macro_rules! ops {
    ($($(#[$m:meta])* $name:ident = $row:ident, $rule:ident, $node:literal, $saves:expr, $vjp:expr;)*) => {
        $(
        $(#[$m])*
        pub(crate) static $name: $crate::tensor::Elementwise = $crate::tensor::Elementwise {
            row: &$crate::num::rows::$row,
            rule: $crate::tensor::Rule::$rule,
            node: $node,
            saves: $saves,
            vjp: $vjp,
        };
    )*
        /// Every op of this file.
        #[cfg(test)]
        pub(super) static ALL: &[&$crate::tensor::Elementwise] = &[$(&$name),*];
    };
}

/// The gradients of the inputs in order, each computed only where it is wanted: `grads!(cx; g * b, g * a)`.
macro_rules! grads {
    ($cx:ident; $($e:expr),* $(,)?) => {{
        let mut out = $crate::tensor::Grads::new();
        $( out.push(if $cx.needs(out.len()) { Some($e) } else { None }); )*
        Ok(out)
    }};
}

/// Methods that choose an op and its operands: `/// docs` `name name_ name_out (args) |x, run| { … run(&OP, &[x, …]) }` makes the
/// method, its in-place form and the one that writes into a given tensor. `x` is the tensor itself.
macro_rules! op_methods {
    ($($(#[$m:meta])* $name:ident $inplace:ident $into:ident ($($arg:ident: $ty:ty),*) |$x:ident, $run:ident| $body:block)*) => {
        $crate::tensor::methods! {$(
            $(#[$m])*
            fn $name(&self $(, $arg: $ty)*) -> $crate::Tensor {
                let ($x, $run) = ($crate::tensor::In::T(self.0), $crate::tensor::elementwise);
                $body
            }

            #[doc = concat!("[`Tensor::", stringify!($name), "`](crate::Tensor::", stringify!($name), ") in place.")]
            fn $inplace(&self $(, $arg: $ty)*) -> $crate::Tensor {
                let ($x, $run) = ($crate::tensor::In::T(self.0), $crate::ops::pointwise::into_first);
                $body
            }

            #[doc = concat!("[`Tensor::", stringify!($name), "`](crate::Tensor::", stringify!($name), ") into a tensor that is there (`out=` in PyTorch), which it gives back.")]
            fn $into(&self $(, $arg: $ty)*, out: &$crate::Tensor) -> $crate::Tensor {
                let ($x, $run) = ($crate::tensor::In::T(self.0), $crate::tensor::elementwise_out(stringify!($name), out));
                $body
            }
        )*}
    };
}

/// Methods of unary ops, with their in-place and `out` forms: `/// docs` `name name_ name_out OP;`
macro_rules! unary_methods {
    ($($(#[$m:meta])* $name:ident $inplace:ident $into:ident $op:ident;)*) => {
        $crate::ops::pointwise::op_methods! {$(
            $(#[$m])*
            $name $inplace $into () |x, run| { run(&$op, &[x]) }
        )*}
    };
}

/// Methods of binary ops that take a tensor or a number, with their in-place and `out` forms.
macro_rules! binary_methods {
    ($($(#[$m:meta])* $name:ident $inplace:ident $into:ident $op:ident;)*) => {
        $crate::ops::pointwise::op_methods! {$(
            $(#[$m])*
            $name $inplace $into (other: impl Into<$crate::ops::Operand>) |x, run| { run(&$op, &[x, other.into().as_in()]) }
        )*}
    };
}

/// Methods of binary ops that PyTorch gives tensors only, with their in-place and `out` forms.
macro_rules! tensor_methods {
    ($($(#[$m:meta])* $name:ident $inplace:ident $into:ident $op:ident;)*) => {
        $crate::ops::pointwise::op_methods! {$(
            $(#[$m])*
            $name $inplace $into (other: &Tensor) |x, run| { run(&$op, &[x, $crate::tensor::In::T(other)]) }
        )*}
    };
}

/// Optional arguments with their defaults: a non-exhaustive builder that converts from `()` and the first value.
macro_rules! options {
    ($($(#[$m:meta])* $name:ident { $($(#[$fm:meta])* $field:ident: $ty:ty = $default:expr,)* } $(from $($from:ty),+)?;)*) => {$(
        $(#[$m])*
        #[non_exhaustive]
        #[derive(Clone, Copy, Debug)]
        pub struct $name { $($(#[$fm])* pub $field: $ty,)* }

        impl Default for $name {
            fn default() -> Self { Self { $($field: $default.into(),)* } }
        }
        impl $name {
            /// PyTorch's defaults.
            pub fn new() -> Self { Self::default() }
            $( $(#[$fm])* pub fn $field(mut self, $field: impl Into<$ty>) -> Self { self.$field = $field.into(); self } )*
        }
        impl From<()> for $name {
            fn from(_: ()) -> Self { Self::default() }
        }
        $crate::ops::pointwise::options!(@from $name { $($field)* } $($($from),+)?);
    )*};
    (@from $name:ident { $first:ident $($rest:ident)* } $($from:ty),*) => {$(
        impl From<$from> for $name {
            fn from(x: $from) -> Self { Self::default().$first(x) }
        }
    )*};
}

pub(crate) use {binary_methods, grads, op_methods, ops, options, tensor_methods, unary_methods};

/// An elementwise op into its first operand, which is a tensor; gives back another handle of it.
#[track_caller]
pub(crate) fn into_first(op: &'static Elementwise, ins: &[In]) -> Result<Tensor> {
    elementwise_(op, ins)?;
    match ins[0] {
        In::T(t) => Ok(t.clone()),
        In::S(_) => unreachable!("elementwise_ refuses a number as its target"),
    }
}

/// What the derivatives of unary ops read: the input.
fn input(_: u8) -> u8 {
    1
}

/// The output.
fn output(_: u8) -> u8 {
    OUTPUT
}

/// Nothing.
fn nothing(_: u8) -> u8 {
    0
}

/// All of the first `N` inputs.
fn inputs<const N: usize>(_: u8) -> u8 {
    (1 << N) - 1
}

/// Zeros in the form of an input.
fn zeros(cx: &Ctx, i: usize) -> Tensor {
    Tensor::zeros_of(&cx.input_meta(i))
}

/// The op on the incoming gradient and something else: a fused derivative.
#[track_caller]
fn with_grad(op: &'static Elementwise, g: &Tensor, x: &Tensor) -> Result<Tensor> {
    elementwise(op, &[In::T(g), In::T(x)])
}

/// The op over any two operands, for operators with a number on the left.
macro_rules! free {
    ($($name:ident $op:ident;)*) => {$(
        #[track_caller]
        pub(crate) fn $name(a: &In, b: &In) -> Result<Tensor> {
            elementwise(&$op, &[*a, *b])
        }
    )*};
}
free! {
    add ADD; mul MUL; bitand BITWISE_AND; bitor BITWISE_OR; bitxor BITWISE_XOR;
}

/// `a - b`, which PyTorch computes as `rsub` where `a` is a number.
#[track_caller]
pub(crate) fn sub(a: &In, b: &In) -> Result<Tensor> {
    elementwise(if matches!(a, In::S(_)) { &RSUB } else { &SUB }, &[*a, *b])
}

/// `a / b`, which PyTorch computes as `b.reciprocal() * a` where `a` is a number.
#[track_caller]
pub(crate) fn div(a: &In, b: &In) -> Result<Tensor> {
    match a {
        In::T(_) => elementwise(&DIV, &[*a, *b]),
        In::S(_) => {
            let inverse = elementwise(&math::RECIPROCAL, &[*b])?;
            elementwise(&MUL, &[In::T(&inverse), *a])
        }
    }
}

/// `a % b`.
#[track_caller]
pub(crate) fn rem(a: &In, b: &In) -> Result<Tensor> {
    check_divisor(a, b)?;
    elementwise(&REMAINDER, &[*a, *b])
}
