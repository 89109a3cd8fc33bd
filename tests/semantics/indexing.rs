//! Items 25 to 30: indexing, copies and views; item 31 is tests/out.rs.

use crate::{is, items, says};
use wgtorch::prelude::*;

items! {
    item_25_negative_and_out_of_range |d| {
        let x = arange(3, d);
        is(x.i(-1), I64, &[2.]);
        is(x.take(&tensor!([-1, 0], d)), I64, &[2., 0.]);
        says(d, x.checked().i(3), "index 3 is out of bounds for dimension 0 with size 3");
        says(d, x.checked().i(tensor!([3], d)), "index 3 is out of bounds for dimension 0 with size 3");
        says(d, x.checked().gather(0, &tensor!([-1], d)), "index -1 is out of bounds for dimension 0 with size 3");
        says(d, x.checked().index_select(0, &tensor!([-1], d)), "out of range");
        says(d, tensor!([-1], d).checked().embedding(&zeros([2, 2], d), ()), "out of range");
        is(x.view([3, 1]).sum_dim(-1, ()), I64, &[0., 1., 2.]);
        // what fails writes nothing
        let y = zeros(3, d);
        says(d, y.checked().index_put_(tensor!([0, 7], d), &ones(2, d), false), "index 7 is out of bounds");
        says(d, y.checked().i_put_(9, 1.), "index 9 is out of bounds for dimension 0 with size 3");
        is(y, F32, &[0., 0., 0.]);
    }
    item_26_placement |d| {
        let x = arange(24, d).view([2, 3, 4]);
        let (a, b) = (|| [0, 1], || [0, 1]);
        is(x.i((.., a(), b())), I64, &[0., 5., 12., 17.]);
        assert_eq!(x.i((.., a(), b())).shape(), [2, 2]);
        assert_eq!(x.i((a(), .., b())).shape(), [2, 3]);
        is(x.i((a(), .., b())), I64, &[0., 4., 8., 13., 17., 21.]);
        // an integer is a select done first
        assert_eq!(x.i((0, .., b())).shape(), [3, 2]);
        is(x.i((0, .., b())), I64, &[0., 1., 4., 5., 8., 9.]);
    }
    item_27_masks |d| {
        let x = arange(6, d).view([2, 3]);
        is(x.i(x.gt(2)), I64, &[3., 4., 5.]);
        is(x.i(tensor!([false, true], d)), I64, &[3., 4., 5.]);
        says(
            d,
            x.checked().i(tensor!([true, false, true], d)),
            "The shape of the mask [3] at index 0 does not match the shape of the indexed tensor [2, 3] at index 0",
        );
        is(x.i(tensor!([0, 1], (U8, d))), I64, &[3., 4., 5.]);
        for t in [F32, I16, I8] {
            says(d, x.checked().i(zeros(1, (t, d))), "tensors used as indices must be long, int, byte or bool tensors");
        }
    }
    item_28_writing |d| {
        let x = zeros(2, d);
        let twice = || tensor!([0, 0], d);
        let once = x.i(twice()) + 1.;
        x.i_put_(twice(), &once);
        is(&x, F32, &[1., 0.]);
        x.index_put_(twice(), &ones(2, d), true);
        is(&x, F32, &[3., 0.]);
        x.index_add_(0, &twice(), &ones(2, d), 1);
        is(&x, F32, &[5., 0.]);
        let w = ones(2, d).requires_grad_(true);
        w.i(twice()).sum().backward();
        is(w.grad().unwrap(), F32, &[2., 0.]);
        let n = tensor!([1, 2], d);
        n.masked_fill_(&tensor!([true, false], d), 1.5);
        is(&n, I64, &[1., 2.]);
    }
    item_29_views_and_copies |d| {
        let x = zeros([2, 3], d);
        assert!(x.i(0).shares_storage(&x) && x.i((.., 1..)).shares_storage(&x));
        assert!(!x.i([0, 1]).shares_storage(&x) && !x.i(x.eq(0)).shares_storage(&x));
        x.i_put_(x.eq(0), 2.);
        x.i_put_(1, tensor!([7., 8., 9.], d));
        is(&x, F32, &[2., 2., 2., 7., 8., 9.]);
        assert_eq!(x.version(), 2);
    }
    item_30_view_and_reshape |d| {
        let t = arange(6, d).view([2, 3]).t();
        says(
            d,
            t.checked().view(6),
            "view size is not compatible with input tensor's size and stride (at least one dimension spans across two contiguous subspaces). Use .reshape(...) instead.",
        );
        assert!(!t.reshape(6).shares_storage(&t));
        assert!(t.reshape([3, 2, 1]).shares_storage(&t));
        let e = ones([2, 1], d).expand([-1, 3]);
        assert_eq!((e.shape().to_vec(), e.stride()), (vec![2, 3], vec![1, 0]));
        says(
            d,
            ones(2, d).checked().expand(3),
            "The expanded size of the tensor (3) must match the existing size (2) at non-singleton dimension 0.",
        );
    }
}
