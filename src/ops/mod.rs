//! The ops, one file a family: shape rule, dtype rule, kernels, derivative, public methods and their docs.

pub mod pointwise;

mod compose;
mod copy;
mod create;
mod indexing;
mod minmax;
mod operand;
mod random;
mod reduce;
mod stats;
mod views;

pub use copy::To;
pub use create::*;
pub use random::*;
pub use reduce::ReduceOptions;
pub use stats::VarOptions;
pub use views::IntoSizes;

pub use operand::Operand;
pub use pointwise::{
    AlphaOptions, Approximate, Bound, DivOptions, EluOptions, GeluOptions, HardtanhOptions, IscloseOptions,
    LeakyReluOptions, LogitOptions, NanToNumOptions, RoundOptions, RoundingMode, ShrinkOptions, SoftplusOptions,
    ValueOptions, pow, where_cond,
};
