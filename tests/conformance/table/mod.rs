//! PyTorch's op names and the calls of the public API that they stand for, one file a family.
//!
//! A row is the op's name, PyTorch's parameter names (in order, keyword-only ones too), and a closure over the bound call.

mod activation;
mod creation;
mod fft;
pub mod modules;
mod moves;
mod nn;
mod pointwise;
mod ranks;
mod reduce;
mod shape;

use crate::call::{Call, Stop, Value};
use std::collections::HashMap;
use std::sync::LazyLock;

pub struct Row {
    pub name: &'static str,
    pub params: &'static str,
    pub run: fn(&Call) -> Result<Value, Stop>,
}

/// `"name" "parameters" |c| expression;` where the expression may use `?` and yields anything that is a `Value`.
macro_rules! rows {
    ($($name:literal $params:literal |$c:ident| $e:expr;)*) => {
        pub const ROWS: &[$crate::table::Row] = &[$(
            $crate::table::Row { name: $name, params: $params, run: |$c| Ok($e.into()) },
        )*];
    };
}
use rows;

const FAMILIES: &[&[Row]] = &[
    creation::ROWS,
    fft::ROWS,
    pointwise::UNARY,
    pointwise::BINARY,
    pointwise::TENSORS,
    pointwise::ROWS,
    activation::PLAIN,
    activation::OPTIONS,
    activation::ROWS,
    reduce::ROWS,
    ranks::ROWS,
    moves::ROWS,
    nn::ROWS,
    shape::ROWS,
];

pub fn all_rows() -> impl Iterator<Item = &'static Row> {
    FAMILIES.iter().flat_map(|f| f.iter())
}

pub fn find(op: &str) -> Option<&'static Row> {
    static BY_NAME: LazyLock<HashMap<&'static str, &'static Row>> =
        LazyLock::new(|| all_rows().map(|r| (r.name, r)).collect());
    BY_NAME.get(op).copied()
}
