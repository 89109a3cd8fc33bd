//! Comparisons, logic, bits, and `where`.

use super::super::block::where_block;
use super::super::wgsl::where_fn;
use super::rows;

rows! {
    EQ = "eq", Base -> bool, |a, b| a.eq(b) & a.ordered(b);
    NE = "ne", Base -> bool, |a, b| !(a.eq(b) & a.ordered(b));
    LT = "lt", Base -> bool, |a, b| a.lt(b) & a.ordered(b);
    LE = "le", Base -> bool, |a, b| a.le(b) & a.ordered(b);
    GT = "gt", Base -> bool, |a, b| a.gt(b) & a.ordered(b);
    GE = "ge", Base -> bool, |a, b| a.ge(b) & a.ordered(b);
    LOGICAL_AND = "logical_and", Base -> bool, |a, b| a.truth() & b.truth();
    LOGICAL_OR = "logical_or", Base -> bool, |a, b| a.truth() | b.truth();
    LOGICAL_XOR = "logical_xor", Base -> bool, |a, b| a.truth() ^ b.truth();
    LOGICAL_NOT = "logical_not", Base -> bool, |x| !x.truth();
    ISNAN = "isnan", Base -> bool, |x| x.is_nan();
    ISINF = "isinf", Base -> bool, |x| x.is_inf();
    ISPOSINF = "isposinf", Base -> bool, |x| x.is_inf() & !x.signbit();
    ISNEGINF = "isneginf", Base -> bool, |x| x.is_inf() & x.signbit();
    ISFINITE = "isfinite", Base -> bool, |x| !(x.is_nan() | x.is_inf());
    SIGNBIT = "signbit", Base -> bool, |x| x.signbit();
    BITWISE_AND = "bitwise_and", Bits, |a, b| a.and(b);
    BITWISE_OR = "bitwise_or", Bits, |a, b| a.or(b);
    BITWISE_XOR = "bitwise_xor", Bits, |a, b| a.xor(b);
    BITWISE_NOT = "bitwise_not", Bits, |x| x.not();
    BITWISE_LEFT_SHIFT = "bitwise_left_shift", Int, |a, b| a.shl(b);
    BITWISE_RIGHT_SHIFT = "bitwise_right_shift", Int, |a, b| a.shr(b);
}

/// `where(condition, a, b)`: the condition is a bool whatever a and b are.
pub static WHERE: Row =
    Row { name: "where", arity: 3, bool_out: false, bool_first: true, cpu: where_block, wgsl: where_fn };
