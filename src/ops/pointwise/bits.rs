//! Bitwise ops of integers and bools, which have no gradient.

use super::{binary_methods, nothing, ops, unary_methods};
use crate::ops::Operand;
use crate::tensor::{Tensor, no_grads};

ops! {
    BITWISE_AND = BITWISE_AND, Bitwise, "NotDifferentiable", nothing, |_| Ok(no_grads(2));
    BITWISE_OR = BITWISE_OR, Bitwise, "NotDifferentiable", nothing, |_| Ok(no_grads(2));
    BITWISE_XOR = BITWISE_XOR, Bitwise, "NotDifferentiable", nothing, |_| Ok(no_grads(2));
    BITWISE_NOT = BITWISE_NOT, Bitwise, "NotDifferentiable", nothing, |_| Ok(no_grads(1));
    LEFT_SHIFT = BITWISE_LEFT_SHIFT, Int, "NotDifferentiable", nothing, |_| Ok(no_grads(2));
    RIGHT_SHIFT = BITWISE_RIGHT_SHIFT, Int, "NotDifferentiable", nothing, |_| Ok(no_grads(2));
}

binary_methods! {
    /// Bitwise and of integers, logical and of bools (`torch.bitwise_and`).
    bitwise_and bitwise_and_ bitwise_and_out BITWISE_AND;
    /// Bitwise or of integers, logical or of bools (`torch.bitwise_or`).
    bitwise_or bitwise_or_ bitwise_or_out BITWISE_OR;
    /// Bitwise exclusive or of integers, logical one of bools (`torch.bitwise_xor`).
    bitwise_xor bitwise_xor_ bitwise_xor_out BITWISE_XOR;
    /// Integers shifted left; 0 for shifts as wide as the dtype (`torch.bitwise_left_shift`).
    bitwise_left_shift bitwise_left_shift_ bitwise_left_shift_out LEFT_SHIFT;
    /// Integers shifted right with their sign (`torch.bitwise_right_shift`).
    bitwise_right_shift bitwise_right_shift_ bitwise_right_shift_out RIGHT_SHIFT;
}

unary_methods! {
    /// Bitwise not of integers, logical not of bools (`torch.bitwise_not`).
    bitwise_not bitwise_not_ bitwise_not_out BITWISE_NOT;
}

crate::tensor::methods! {
    /// For the `&` operator.
    fn bitand(&self, other: impl Into<Operand>) -> Tensor { self.bitwise_and(other) }
    /// For the `|` operator.
    fn bitor(&self, other: impl Into<Operand>) -> Tensor { self.bitwise_or(other) }
    /// For the `^` operator.
    fn bitxor(&self, other: impl Into<Operand>) -> Tensor { self.bitwise_xor(other) }
}
