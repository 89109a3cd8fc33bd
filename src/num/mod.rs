//! Number traits that the elementwise formulas are written over.

/// Truncates toward zero as x86's `cvttsd2si` does: what i64 cannot hold, NaN too, is `i64::MIN`.
pub fn f64_to_i64(x: f64) -> i64 {
    if x >= -9.223_372_036_854_775_8e18 && x < 9.223_372_036_854_775_8e18 { x as i64 } else { i64::MIN }
}
