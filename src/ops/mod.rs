//! The ops, one file a family: shape rule, dtype rule, kernels, derivative, public methods and their docs.

pub mod pointwise;

mod adaptive_pool;
mod advanced;
mod attention;
mod binary_loss;
mod calculus;
mod cat;
mod complex;
mod complex_matmul;
mod compose;
mod conv;
mod conv_int;
mod copy;
mod create;
mod einsum;
mod embedding;
pub mod fft;
mod histogram;
mod huber;
mod index;
mod index_checks;
mod index_write;
mod indexing;
pub mod linalg;
mod linear;
mod loss;
mod matmul;
mod minmax;
mod multinomial;
mod norm;
mod on_gpu;
mod operand;
mod order;
mod out_forms;
mod pad;
mod pair;
mod pieces;
mod pool;
mod random;
mod reduce;
mod reduce_kernels;
mod running;
mod scan;
mod scatter_reduce;
mod search;
mod shape_ops;
mod softmax;
mod sort;
mod stats;
mod stft;
mod unique;
mod views;
mod windows;

pub use adaptive_pool::AdaptiveSize;
pub use attention::AttentionOptions;
pub use calculus::{CovOptions, GradientOptions, Spacing};
pub use cat::*;
pub use complex::{complex, polar, try_complex, try_polar};
pub use conv::{Conv2dOptions, Padding};
pub use copy::To;
pub use create::*;
pub use einsum::{einsum, try_einsum};
pub use embedding::EmbeddingOptions;
pub use histogram::{Bins, HistogramOptions};
pub use indexing::{Ellipsis, IntoIndex, NewAxis, S, TensorIndex};
pub use norm::LayerNormOptions;
pub use order::{Interpolation, QuantileOptions};
pub use out_forms::{cat_out, stack_out, try_cat_out};
pub use pad::{PadMode, PadOptions};
pub use pieces::*;
pub use random::*;
pub use reduce::ReduceOptions;
pub use scan::DTypeOptions;
pub use scatter_reduce::ScatterReduce;
pub use search::{SearchOptions, isin, try_isin};
pub use shape_ops::*;
pub use sort::{SortOptions, TopkOptions};
pub use stats::VarOptions;
pub use stft::{IstftOptions, SignalPad, StftOptions};
pub use unique::Unique;
pub use views::IntoSizes;
pub use windows::*;

pub use binary_loss::BCEOptions;
pub use huber::{HuberOptions, SmoothL1Options};
pub use linear::AddmmOptions;
pub use loss::{CrossEntropyOptions, Reduction};
pub use operand::{MaybeTensor, Operand};
pub use pair::Pair;
pub use pointwise::{
    AlphaOptions, Approximate, Bound, DivOptions, EluOptions, GeluOptions, HardtanhOptions, IscloseOptions,
    LeakyReluOptions, LogitOptions, NanToNumOptions, RoundOptions, RoundingMode, ShrinkOptions, SoftplusOptions,
    ValueOptions, floor_divide, pow, where_cond, zeta,
};
pub use pool::{AvgPool2dOptions, MaxPool2dOptions};
