//! Items 19 to 24: empties, 0-dim tensors, shapes of products and pieces.

use crate::{is, items, near, says};
use wgtorch::prelude::*;
use wgtorch::{Ellipsis, NewAxis, S, cat, try_stack};

const NAN: f64 = f64::NAN;

items! {
    item_19_empty |d| {
        let e = empty([0], d);
        is(e.sum(), F32, &[0.]);
        is(e.prod(), F32, &[1.]);
        is(e.mean(), F32, &[NAN]);
        is(e.std(), F32, &[NAN]);
        is(e.any(), Bool, &[0.]);
        is(e.all(), Bool, &[1.]);
        is(e.norm(2), F32, &[0.]);
        is(e.median(), F32, &[NAN]);
        assert_eq!((e.cumsum(0, ()).shape().to_vec(), e.sort(()).0.shape().to_vec()), (vec![0], vec![0]));
        says(d, e.checked().median_dim(0, false), "Expected reduction dim 0 to have non-zero size.");
        says(d, e.checked().amax((), false), "Expected reduction dim to be specified for input.numel() == 0");
        let words = "Expected reduction dim to be specified for input.numel() == 0";
        says(d, e.checked().max(), words);
        says(d, e.checked().min(), words);
        says(d, e.checked().argmax(), "xpected reduction dim");
        let e = empty([0, 3], d);
        assert_eq!(e.max_dim(1, false).0.shape(), [0]);
        says(d, e.checked().max_dim(0, false), "Expected reduction dim 0 to have non-zero size.");
        is(e.mean_dim(0, ()), F32, &[NAN, NAN, NAN]);
        is(F::mse_loss(&empty([0], d), &empty([0], d)), F32, &[NAN]);
    }
    item_20_zero_sizes |d| {
        is(empty([2, 0], d).matmul(&empty([0, 3], d)), F32, &[0.; 6]);
        let out = F::conv2d(&empty([0, 2, 5, 5], d), &ones([3, 2, 3, 3], d), ());
        assert_eq!(out.shape(), [0, 3, 3, 3]);
        assert_eq!(empty([0, 3], d).softmax(1, ()).shape(), [0, 3]);
        assert_eq!(cat(&[empty([0], d), ones([2, 3], d)], 0).shape(), [2, 3]);
        assert_eq!(cat(&[empty([0, 3], d), ones([2, 3], d)], 0).shape(), [2, 3]);
        says(
            d,
            empty([0, 3], d).checked().view([-1, 0]),
            "cannot reshape tensor of 0 elements into shape [-1, 0] because the unspecified dimension size -1 can be any value and is ambiguous",
        );
        says(d, try_stack(&[] as &[Tensor], 0), "stack expects a non-empty TensorList");
        is(empty([0, 3], d) + 1, F32, &[]);
        assert_eq!(empty([0, 3], d).sum_dim(0, ()).to_vec::<f32>()?, [0.; 3]);
    }
    item_21_zero_dims |d| {
        let t = tensor!(5., d);
        assert_eq!(t.dim(), 0);
        says(d, t.checked().i(0), "invalid index of a 0-dim tensor. Use `tensor.item()` in Python or `tensor.item<T>()` in C++ to convert a 0-dim tensor to a number");
        assert_eq!(t.i(Ellipsis).dim(), 0);
        assert_eq!(t.i(NewAxis).shape(), [1]);
        assert_eq!(t.i(true).shape(), [1]);
        is(t.sum_dim(0, ()), F32, &[5.]);
        is(t.sum_dim(-1, ()), F32, &[5.]);
        says(d, t.checked().sum_dim(1, ()), "Dimension out of range (expected to be in range of [-1, 0], but got 1)");
        says(d, ones(2, d).item::<f32>(), "a Tensor with 2 elements cannot be converted to Scalar");
    }
    item_22_products |d| {
        let o = |s: &[usize]| ones(s, d);
        assert_eq!(o(&[3]).matmul(&o(&[3])).dim(), 0);
        assert_eq!(o(&[3]).matmul(&o(&[5, 3, 2])).shape(), [5, 2]);
        assert_eq!(o(&[5, 1, 2, 3]).matmul(&o(&[4, 3, 2])).shape(), [5, 4, 2, 2]);
        assert_eq!(o(&[2, 3]).matmul(&o(&[3])).shape(), [2]);
        assert!(ones([3, 1], d).t().is_contiguous() && ones([2, 1, 3], d).transpose(0, 1).is_contiguous());
    }
    item_23_pieces |d| {
        let sizes = |v: Vec<Tensor>| v.iter().map(|t| t.numel()).collect::<Vec<_>>();
        let x = arange(5, d);
        assert_eq!(sizes(x.chunk(3, 0)), [2, 2, 1]);
        assert_eq!(sizes(arange(4, d).chunk(3, 0)), [2, 2]);
        assert_eq!(sizes(x.tensor_split(3, 0)), [2, 2, 1]);
        is(x.i(1..100), I64, &[1., 2., 3., 4.]);
        is(x.i(5..), I64, &[]);
        is(x.i(-2..), I64, &[3., 4.]);
        is(wgtorch::linspace(1, 2, 1, d), F32, &[1.]);
        is(wgtorch::linspace(1, 2, 0, d), F32, &[]);
        says(d, x.checked().i(S(.., -1)), "step must be greater than zero");
        says(
            d,
            wgtorch::try_arange(5.into(), 1.into(), 1.into(), d.into()),
            "upper bound and lower bound inconsistent with step sign",
        );
    }
    item_24_variance |d| {
        let x = &tensor!([1., 2., 3., 4.], d);
        near(x.var(), &[5. / 3.]);
        near(x.var_dim(0, wgtorch::VarOptions::new().correction(0.)), &[1.25]);
        near(x.std(), &[(5f64 / 3.).sqrt()]);
    }
}
