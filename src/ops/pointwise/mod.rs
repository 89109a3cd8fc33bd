//! Elementwise ops. Each is one row here (formula, dtype rule, node, derivative) and one line of its methods.
//!
//! The formula itself stands in `num::rows`; everything that tensors add to it stands in this folder.

mod arith;
mod bits;

pub(crate) use arith::*;
pub(crate) use bits::*;

use crate::error::Result;
use crate::tensor::{Elementwise, In, Tensor, elementwise, elementwise_};

/// Elementwise ops as statics: `NAME = ROW, Rule, "NodeName", saves <fn>, <vjp>;`
macro_rules! ops {
    ($($(#[$m:meta])* $name:ident = $row:ident, $rule:ident, $node:literal, $saves:expr, $vjp:expr;)*) => {$(
        $(#[$m])*
        pub(crate) static $name: $crate::tensor::Elementwise = $crate::tensor::Elementwise {
            row: &$crate::num::rows::$row,
            rule: $crate::tensor::Rule::$rule,
            node: $node,
            saves: $saves,
            vjp: $vjp,
        };
    )*};
}

/// The gradients of the inputs in order, each computed only where it is wanted: `grads!(cx; g * b, g * a)`.
macro_rules! grads {
    ($cx:ident; $($e:expr),* $(,)?) => {{
        let mut out = $crate::tensor::Grads::new();
        $( out.push(if $cx.needs(out.len()) { Some($e) } else { None }); )*
        Ok(out)
    }};
}

/// Methods of unary ops, with their in-place forms: `/// docs` `name name_ OP;`
macro_rules! unary_methods {
    ($($(#[$m:meta])* $name:ident $inplace:ident $op:ident;)*) => {
        $crate::tensor::methods! {$(
            $(#[$m])*
            fn $name(&self) -> Tensor { $crate::tensor::elementwise(&$op, &[$crate::tensor::In::T(self.0)]) }

            #[doc = concat!("[`Tensor::", stringify!($name), "`] in place.")]
            fn $inplace(&self) -> Tensor { $crate::ops::pointwise::inplace(&$op, self.0, &[]) }
        )*}
    };
}

/// Methods of binary ops, with their in-place forms.
macro_rules! binary_methods {
    ($($(#[$m:meta])* $name:ident $inplace:ident $op:ident;)*) => {
        $crate::tensor::methods! {$(
            $(#[$m])*
            fn $name(&self, other: impl Into<$crate::ops::Operand>) -> Tensor {
                $crate::tensor::elementwise(&$op, &[$crate::tensor::In::T(self.0), other.into().as_in()])
            }

            #[doc = concat!("[`Tensor::", stringify!($name), "`] in place.")]
            fn $inplace(&self, other: impl Into<$crate::ops::Operand>) -> Tensor {
                $crate::ops::pointwise::inplace(&$op, self.0, &[other.into().as_in()])
            }
        )*}
    };
}

pub(crate) use {binary_methods, grads, ops, unary_methods};

/// An elementwise op into its first operand; gives back another handle of it.
#[track_caller]
pub(crate) fn inplace(op: &'static Elementwise, target: &Tensor, others: &[In]) -> Result<Tensor> {
    let mut ins: smallvec::SmallVec<[In; 4]> = smallvec::SmallVec::new();
    ins.push(In::T(target));
    ins.extend(others.iter().copied());
    elementwise_(op, &ins)?;
    Ok(target.clone())
}

macro_rules! free {
    ($($name:ident $op:ident;)*) => {$(
        /// The op over any two operands, for operators with a number on the left.
        #[track_caller]
        pub(crate) fn $name(a: &In, b: &In) -> Result<Tensor> {
            elementwise(&$op, &[*a, *b])
        }
    )*};
}
free! {
    add ADD; sub SUB; mul MUL; div DIV; rem REMAINDER;
    bitand BITWISE_AND; bitor BITWISE_OR; bitxor BITWISE_XOR;
}
