//! All rows by name, with their formulas on dual numbers: the oracle that tests of kernels and gradients ask.

use super::super::dual::DualFn;
use super::{WHERE, activation, arith, backward, logic, math, special};
use crate::program::Row;
use std::collections::HashMap;
use std::sync::LazyLock;

/// A row and its formula on dual numbers, where it is a differentiable function of floats.
pub(in super::super) type Entry = (&'static Row, Option<DualFn>);

static TABLE: LazyLock<Vec<Entry>> = LazyLock::new(|| {
    let parts = [
        arith::TABLE,
        logic::TABLE,
        &[(&WHERE, None)],
        math::TABLE,
        activation::TABLE,
        backward::TABLE,
        special::TABLE,
    ];
    parts.concat()
});
static ROWS: LazyLock<Vec<&'static Row>> = LazyLock::new(|| TABLE.iter().map(|e| e.0).collect());
static BY_NAME: LazyLock<HashMap<&'static str, Entry>> =
    LazyLock::new(|| TABLE.iter().map(|&e| (e.0.name, e)).collect());

/// Every row.
pub fn all_rows() -> &'static [&'static Row] {
    &ROWS
}

/// The row of a name.
pub fn row(name: &str) -> Option<&'static Row> {
    BY_NAME.get(name).map(|e| e.0)
}

/// A row's formula on dual numbers: None for comparisons and whatever else has no derivative.
pub fn dual_of(row: &Row) -> Option<DualFn> {
    BY_NAME.get(row.name)?.1
}

/// A row's formula on duals, for classes that have floats and results that are numbers.
macro_rules! dual_entry {
    ($class:ident bool $r:ty, $n:expr) => {
        None
    };
    (Bits $r:ty, $n:expr) => {
        None
    };
    (Int $r:ty, $n:expr) => {
        None
    };
    ($class:ident $r:ty, $n:expr) => {
        Some(|x: &[$crate::num::dual::Dual]| {
            <$r as Formula<$crate::num::dual::Dual, { $n }>>::eval(
                *x.first_chunk().expect("as many operands as the arity"),
            )
        })
    };
}
pub(super) use dual_entry;
