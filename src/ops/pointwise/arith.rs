//! Arithmetic: sums, products, quotients, powers.

use super::{binary_methods, grads, ops, unary_methods};
use crate::ops::Operand;
use crate::tensor::{Tensor, elementwise};

/// Bits of what the other operand's gradient reads.
fn crosswise(needs: u8) -> u8 {
    (needs & 1) << 1 | needs >> 1 & 1
}

ops! {
    ADD = ADD, Common, "AddBackward0", |_| 0, |cx| grads!(cx; cx.g().clone(), cx.g().clone());
    SUB = SUB, Number, "SubBackward0", |_| 0, |cx| grads!(cx; cx.g().clone(), -cx.g());
    MUL = MUL, Common, "MulBackward0", crosswise, |cx| {
        grads!(cx; cx.g() * cx.operand(1)?, cx.g() * cx.operand(0)?)
    };
    DIV = DIV, Float, "DivBackward0", |n| if n & 2 != 0 { 0b11 } else { 0b10 }, |cx| {
        grads!(cx; cx.g() / cx.operand(1)?, {
            let other = cx.input(1)?;
            -cx.g() * (over(cx.operand(0)?, &other) / &other)
        })
    };
    NEG = NEG, Number, "NegBackward0", |_| 0, |cx| grads!(cx; -cx.g());
    FLOOR = FLOOR, Common, "FloorBackward0", |_| 0, |cx| grads!(cx; Tensor::zeros_of(&cx.input_meta(0)));
    REMAINDER = REMAINDER, Number, "RemainderBackward0", |n| if n & 2 != 0 { 0b11 } else { 0 }, |cx| {
        grads!(cx; cx.g().clone(), -cx.g() * over(cx.operand(0)?, &cx.input(1)?).floor())
    };
}

/// `a / b` where `a` may be a number.
#[track_caller]
fn over(a: Operand, b: &Tensor) -> Tensor {
    crate::tensor::unwrap(elementwise(&DIV, &[a.as_in(), crate::tensor::In::T(b)]))
}

binary_methods! {
    /// Elementwise sum (`torch.add`); bools add as a logical or.
    ///
    /// ```
    /// # use wgtorch::prelude::*;
    /// assert_eq!(tensor!([1, 2]).add(1.5).to_vec::<f32>()?, [2.5, 3.5]);
    /// # Ok::<(), Error>(())
    /// ```
    add add_ ADD;
    /// Elementwise difference (`torch.sub`); refuses two bools.
    sub sub_ SUB;
    /// Elementwise product (`torch.mul`).
    mul mul_ MUL;
    /// True division (`torch.div`): integers give floats.
    div div_ DIV;
    /// The remainder with the divisor's sign (`torch.remainder`, Python's `%`).
    remainder remainder_ REMAINDER;
}

unary_methods! {
    /// Elementwise negation (`torch.neg`).
    neg neg_ NEG;
    /// The largest integer not above each element (`torch.floor`).
    floor floor_ FLOOR;
}

crate::tensor::methods! {
    /// The remainder with the divisor's sign, for the `%` operator.
    fn rem(&self, other: impl Into<Operand>) -> Tensor { self.remainder(other) }
}
