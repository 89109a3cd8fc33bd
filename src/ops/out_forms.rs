//! The `out=` forms of ops that are not elementwise (those have theirs from the macros in `pointwise`): the result is computed
//! aside and copied, so that `out` may share memory with the operands.

use super::cat::TensorList;
use super::linear::AddmmOptions;
use super::operand::Operand;
use super::reduce::ReduceOptions;
use super::scan::DTypeOptions;
use super::sort::{SortOptions, TopkOptions};
use super::stats::VarOptions;
use super::views::IntoSizes;
use crate::error::Result;
use crate::scalar::Scalar;
use crate::tensor::{OutRule, Tensor, methods, result_out, unwrap};

/// `method method_out Rule (arguments);` for ops with one result; the arguments go to the method as they are.
macro_rules! out_methods {
    ($($name:ident $into:ident $rule:ident ($($arg:ident: $ty:ty),*);)*) => {
        methods! {$(
            #[doc = concat!("[`Tensor::", stringify!($name), "`] into a tensor that is there (`out=` in PyTorch), which it gives back.")]
            fn $into(&self $(, $arg: $ty)*, out: &Tensor) -> Tensor {
                result_out(pytorch_name(stringify!($name)), OutRule::$rule, &self.$name($($arg),*)?, out)
            }
        )*}
    };
}

/// The same for ops with two results.
macro_rules! out_pairs {
    ($($name:ident $into:ident ($($arg:ident: $ty:ty),*);)*) => {
        methods! {$(
            #[doc = concat!("[`Tensor::", stringify!($name), "`] into two tensors that are there (`out=` in PyTorch), which it gives back.")]
            fn $into(&self $(, $arg: $ty)*, out: (&Tensor, &Tensor)) -> (Tensor, Tensor) {
                let name = pytorch_name(stringify!($name));
                let (first, second) = self.$name($($arg),*)?;
                let first = result_out(name, OutRule::Same, &first, out.0)?;
                Ok((first, result_out(name, OutRule::Same, &second, out.1)?))
            }
        )*}
    };
}

/// A method's name in PyTorch, which has no other one for the form with dims.
fn pytorch_name(method: &'static str) -> &'static str {
    method.strip_suffix("_dim").unwrap_or(method)
}

out_methods! {
    matmul matmul_out Same (other: &Tensor);
    mm mm_out Same (mat2: &Tensor);
    bmm bmm_out Same (mat2: &Tensor);
    mv mv_out Same (vec: &Tensor);
    dot dot_out Same (tensor: &Tensor);
    outer outer_out Same (vec2: &Tensor);
    addmm addmm_out Same (mat1: &Tensor, mat2: &Tensor, options: impl Into<AddmmOptions>);
    addmv addmv_out Same (mat: &Tensor, vec: &Tensor, options: impl Into<AddmmOptions>);
    baddbmm baddbmm_out Same (batch1: &Tensor, batch2: &Tensor, options: impl Into<AddmmOptions>);
    sum_dim sum_dim_out Cast (dims: impl IntoSizes, options: impl Into<ReduceOptions>);
    nansum_dim nansum_dim_out Cast (dims: impl IntoSizes, options: impl Into<ReduceOptions>);
    mean_dim mean_dim_out Cast (dims: impl IntoSizes, options: impl Into<ReduceOptions>);
    prod_dim prod_dim_out Cast (dim: impl IntoSizes, options: impl Into<ReduceOptions>);
    var_dim var_dim_out Cast (dims: impl IntoSizes, options: impl Into<VarOptions>);
    std_dim std_dim_out Cast (dims: impl IntoSizes, options: impl Into<VarOptions>);
    norm_dim norm_dim_out Cast (p: impl Into<Scalar>, dims: impl IntoSizes, options: impl Into<ReduceOptions>);
    logsumexp logsumexp_out Cast (dims: impl IntoSizes, keepdim: bool);
    any_dim any_dim_out Cast (dims: impl IntoSizes, keepdim: bool);
    all_dim all_dim_out Cast (dims: impl IntoSizes, keepdim: bool);
    amax amax_out Same (dims: impl IntoSizes, keepdim: bool);
    amin amin_out Same (dims: impl IntoSizes, keepdim: bool);
    argmax_dim argmax_dim_out Same (dim: isize, keepdim: bool);
    argmin_dim argmin_dim_out Same (dim: isize, keepdim: bool);
    cumsum cumsum_out Cast (dim: isize, options: impl Into<DTypeOptions>);
    cumprod cumprod_out Cast (dim: isize, options: impl Into<DTypeOptions>);
    logcumsumexp logcumsumexp_out Same (dim: isize);
    softmax softmax_out Same (dim: isize, options: impl Into<DTypeOptions>);
    log_softmax log_softmax_out Same (dim: isize, options: impl Into<DTypeOptions>);
    gather gather_out Same (dim: isize, index: &Tensor);
    index_select index_select_out Same (dim: isize, index: &Tensor);
    masked_select masked_select_out Same (mask: &Tensor);
    take take_out Same (index: &Tensor);
    scatter scatter_out Same (dim: isize, index: &Tensor, src: impl Into<Operand>);
    scatter_add scatter_add_out Same (dim: isize, index: &Tensor, src: &Tensor);
    nonzero nonzero_out Same ();
    tril tril_out Same (diagonal: isize);
    triu triu_out Same (diagonal: isize);
    diag diag_out Same (diagonal: isize);
    argsort argsort_out Same (options: impl Into<SortOptions>);
    msort msort_out Same ();
}

out_pairs! {
    max_dim max_dim_out (dim: isize, keepdim: bool);
    min_dim min_dim_out (dim: isize, keepdim: bool);
    median_dim median_dim_out (dim: isize, keepdim: bool);
    mode mode_out (dim: isize, keepdim: bool);
    kthvalue kthvalue_out (k: usize, dim: isize, keepdim: bool);
    cummax cummax_out (dim: isize);
    cummin cummin_out (dim: isize);
    sort sort_out (options: impl Into<SortOptions>);
    topk topk_out (k: usize, options: impl Into<TopkOptions>);
}

/// [`cat`](crate::cat) into a tensor that is there (`torch.cat(out=…)`), which it gives back.
///
/// # Panics
/// As [`cat`](crate::cat); if the dtype or the device does not fit, or something requires grad.
#[track_caller]
pub fn cat_out(tensors: &(impl TensorList + ?Sized), dim: isize, out: &Tensor) -> Tensor {
    unwrap(try_cat_out(tensors, dim, out))
}

/// [`cat_out`] with its errors as values.
///
/// # Errors
/// Where [`cat_out`] panics.
#[track_caller]
pub fn try_cat_out(tensors: &(impl TensorList + ?Sized), dim: isize, out: &Tensor) -> Result<Tensor> {
    result_out("cat", OutRule::Cast, &super::try_cat(tensors, dim)?, out)
}

/// [`stack`](crate::stack) into a tensor that is there (`torch.stack(out=…)`), which it gives back.
///
/// # Panics
/// As [`stack`](crate::stack); if the dtype or the device does not fit, or something requires grad.
#[track_caller]
pub fn stack_out(tensors: &(impl TensorList + ?Sized), dim: isize, out: &Tensor) -> Tensor {
    let result = unwrap(super::try_stack(tensors, dim));
    unwrap(result_out("stack", OutRule::Cast, &result, out))
}
