//! `out=` forms, `resize_`, `view(dtype)` and overlapping memory, against what PyTorch 2.15 does.

mod common;

use common::devices;
use wgtorch::prelude::*;

fn fails<T>(r: Result<T, Error>) -> String {
    match r {
        Ok(_) => panic!("no error came"),
        Err(e) => e.to_string(),
    }
}

const SHARED: &str = "some elements of the input tensor and the written-to tensor refer to a single memory location";

#[test]
fn out_takes_the_result() -> Result<(), Error> {
    for d in devices() {
        let (x, y) = (tensor!([1., 2.], d), tensor!([3., 4.], d));
        let out = empty([2], d);
        assert!(x.add_out(&y, &out).is_same(&out));
        assert_eq!((out.to_vec::<f32>()?, out.version()), (vec![4., 6.], 1));
        // another shape is resized, with a word of it on stderr
        for n in [0, 1, 5] {
            let out = empty([n], d);
            x.add_out(&y, &out);
            assert_eq!((out.to_vec::<f32>()?, &out.stride()[..], out.version()), (vec![4., 6.], &[1][..], 1));
        }
        let out = empty([2], d);
        x.mul_out(ones([3, 1], d), &out);
        assert_eq!(out.shape(), [3, 2]);
        // through views
        let b = zeros([4], d);
        x.add_out(&y, &b.i(1..3));
        assert_eq!((b.to_vec::<f32>()?, b.version()), (vec![0., 4., 6., 0.], 1));
        x.sub_out(&y, &b.i(wgtorch::S(.., 2)));
        assert_eq!(b.to_vec::<f32>()?, [-2., 4., -2., 0.]);
        x.add_out(1, &x);
        assert_eq!(x.to_vec::<f32>()?, [2., 3.]);
        // unary, with options, comparisons
        let out = empty([2], (F64, d));
        y.neg_out(&out);
        assert_eq!(out.to_vec::<f64>()?, [-3., -4.]);
        x.add_with_out(&y, 10, &out);
        assert_eq!(out.to_vec::<f64>()?, [32., 43.]);
        y.clamp_out(3.5, None, &out);
        assert_eq!(out.to_vec::<f64>()?, [3.5, 4.]);
        tensor!([1, 4], d).sqrt_out(&out);
        assert_eq!(out.to_vec::<f64>()?, [1., 2.]);
        for dtype in [Bool, U8, F32] {
            let out = empty([2], (dtype, d));
            x.eq_out(tensor!([2, 5], d), &out);
            assert_eq!((out.dtype(), out.to_vec::<i64>()?), (dtype, vec![1, 0]));
        }
        let half = empty([2], (F16, d));
        x.mul_out(&y, &half);
        assert_eq!(half.to_vec::<f32>()?, [6., 12.]);
    }
    Ok(())
}

#[test]
fn out_refuses() {
    for d in devices() {
        let (x, y) = (tensor!([1., 2.], d), tensor!([3., 4.], d));
        let narrow = empty([2], (I64, d));
        assert_eq!(
            fails(x.checked().add_out(&y, &narrow)),
            "result type Float can't be cast to the desired output type Long"
        );
        assert_eq!(
            fails(tensor!([1, 2], d).checked().exp_out(&narrow)),
            "result type Float can't be cast to the desired output type Long"
        );
        let no_grad_rule = "(): functions with out=... arguments don't support automatic differentiation, but one of the arguments requires grad.";
        let w = x.copy().requires_grad_(true);
        let out = empty([2], d);
        assert_eq!(fails(w.checked().add_out(&y, &out)), format!("add{no_grad_rule}"));
        assert_eq!(fails(y.checked().mul_out(&w, &out)), format!("mul{no_grad_rule}"));
        let grown = empty([2], d).requires_grad_(true);
        assert_eq!(fails(x.checked().exp_out(&grown)), format!("exp{no_grad_rule}"));
        assert!(no_grad(|| w.checked().add_out(&y, &grown)).is_ok_and(|t| t.requires_grad()));
        let chain = arange(4., d);
        assert!(fails(chain.i(..3).checked().add_out(1, &chain.i(1..))).contains(SHARED));
        let wide = zeros([1], d).expand(2);
        assert!(
            fails(x.checked().add_out(&y, &wide))
                .contains("more than one element of the written-to tensor refers to a single memory location")
        );
        if d.is_gpu() {
            assert!(fails(x.checked().add_out(&y, &empty([2], ()))).contains("found at least two devices"));
        }
        // what failed has written nothing
        assert_eq!((out.version(), chain.version()), (0, 0));
    }
}

#[test]
fn resize() -> Result<(), Error> {
    for d in devices() {
        let z = arange(6, d);
        let v = z.view([2, 3]);
        v.resize_([3, 2]);
        assert_eq!((v.shape().to_vec(), v.stride(), v.to_vec::<i64>()?), (vec![3, 2], vec![2, 1], (0..6).collect()));
        assert!(v.shares_storage(&z));
        assert_eq!(z.version(), 1);
        let t = arange(6, d).view([2, 3]).t();
        assert_eq!(t.resize_([3, 2]).stride(), [1, 3], "the same sizes change nothing");
        assert_eq!(t.resize_([2, 3]).to_vec::<i64>()?, [0, 1, 2, 3, 4, 5]);
        let part = arange(6, d).i(2..4);
        assert_eq!(part.resize_(3).to_vec::<i64>()?, [2, 3, 4]);
        assert_eq!(part.storage_offset(), 2);
        // more memory: the old elements stay
        let g = arange(3., d).copy();
        g.resize_([2, 3]);
        assert_eq!(g.shape(), [2, 3]);
        assert_eq!(g.i(0).to_vec::<f32>()?, [0., 1., 2.]);
        g.fill_(1);
        assert_eq!(g.sum().item::<f32>()?, 6.);
        assert_eq!(g.version(), 2);
        // tensors that share memory cannot follow: said, not done
        let held = arange(4, d);
        let view = held.i(1..);
        assert!(fails(view.checked().resize_(9)).contains("cannot grow"));
        assert!(fails(held.checked().resize_(9)).contains("cannot grow"));
        let w = ones([2], d).requires_grad_(true);
        assert_eq!(fails(w.checked().resize_(1)), "cannot resize variables that require grad");
        assert_eq!(fails(w.mul(2).checked().resize_(1)), "cannot resize variables that require grad");
    }
    Ok(())
}

#[test]
fn view_dtype() -> Result<(), Error> {
    for d in devices() {
        let x = ones([2, 3], d);
        assert_eq!(x.view_dtype(I32).to_vec::<i32>()?, [1065353216; 6]);
        let x = tensor!([[1f32, -2., 0.5], [3., 4., 5.]], d);
        let bits = x.view_dtype(I32);
        assert_eq!(bits.i(0).to_vec::<u32>()?, [1f32.to_bits(), (-2f32).to_bits(), 0.5f32.to_bits()]);
        assert_eq!(x.t().view_dtype(I32).stride(), [1, 3]);
        let halves = x.view_dtype(I16);
        assert_eq!(halves.shape(), [2, 6]);
        assert_eq!(halves.i((0, 1)).item::<i64>()?, 0x3f80);
        // written through, with one count of versions
        bits.i_put_((1, 2), 0x40e0_0000);
        assert_eq!((x.i((1, 2)).item::<f32>()?, x.version(), halves.version()), (7., 1, 1));
        halves.i_put_((0, 1), -0x4080);
        assert_eq!(x.i((0, 0)).item::<f32>()?, -1.);
        assert_eq!(ones([2, 4], d).view_dtype(F64).shape(), [2, 2]);
        assert_eq!(tensor!([1, 2], d).view_dtype(U8).shape(), [16]);
        let says = |t: Tensor, dtype, text: &str| {
            assert_eq!(fails(t.checked().view_dtype(dtype)), text);
        };
        let y = ones([2, 4], d);
        says(x.t(), I16, "self.stride(-1) must be 1 to view Float as Short (different element sizes), but got 3");
        says(
            x.copy(),
            F64,
            "self.size(-1) must be divisible by 2 to view Float as Double (different element sizes), but got 3",
        );
        says(
            y.i((.., 1..3)),
            F64,
            "self.storage_offset() must be divisible by 2 to view Float as Double (different element sizes), but got 1",
        );
        says(
            ones([2, 5], d).i((.., ..4)),
            F64,
            "self.stride(0) must be divisible by 2 to view Float as Double (different element sizes), but got 5",
        );
        says(tensor!(1., d), I16, "self.dim() cannot be 0 to view Float as Short (different element sizes)");
        assert!(!y.requires_grad_(true).view_dtype(I32).requires_grad());
    }
    Ok(())
}

#[test]
fn overlaps_are_refused_as_in_pytorch() -> Result<(), Error> {
    for d in devices() {
        let x = || arange(9., d).view([3, 3]);
        let y = || arange(6., d);
        let s = |t: &Tensor, from: isize| t.i(wgtorch::S(from.., 2));
        let refused: Vec<Result<Tensor, Error>> = vec![
            {
                let x = x();
                x.checked().add_(x.t())
            },
            {
                let x = x();
                x.checked().add_(x.i(0))
            },
            {
                let x = x();
                x.i(1..).checked().add_(x.i(..2))
            },
            {
                let y = y();
                y.i(1..).checked().copy_(&y.i(..5))
            },
            {
                let x = x();
                x.checked().copy_(&x.t())
            },
            {
                let y = y();
                y.checked().add_(y.i(0))
            },
        ];
        for (i, r) in refused.into_iter().enumerate() {
            assert!(fails(r).contains(SHARED), "{i} on {d}");
        }
        let t = x();
        assert_eq!(t.add_(t.i((.., 0))).to_vec::<f32>()?, [0., 4., 8., 3., 7., 11., 6., 10., 14.]);
        let t = x();
        assert_eq!(t.i(0).add_(t.i(1)).to_vec::<f32>()?, [3., 5., 7.]);
        let t = y();
        assert_eq!(s(&t, 0).add_(s(&t, 1)).to_vec::<f32>()?, [1., 5., 9.]);
        assert_eq!(t.mul_(&t).to_vec::<f32>()?, [1., 1., 25., 9., 81., 25.]);
        let t = x();
        assert_eq!(t.t().add_(t.t()).to_vec::<f32>()?, [0., 6., 12., 2., 8., 14., 4., 10., 16.]);
    }
    Ok(())
}

/// The forms of ops that are not elementwise.
#[test]
fn out_of_products_reductions_and_moves() -> Result<(), Error> {
    for d in devices() {
        let x = tensor!([[1., 2.], [3., 4.]], d);
        let out = empty([2, 2], d);
        assert!(x.matmul_out(&x, &out).is_same(&out));
        assert_eq!((out.to_vec::<f32>()?, out.version()), (vec![7., 10., 15., 22.], 1));
        // over an operand itself, which is read first
        let y = x.copy();
        y.mm_out(&y, &y);
        assert_eq!(y.to_vec::<f32>()?, [7., 10., 15., 22.]);
        let v = empty([2], d);
        x.sum_dim_out(0, false, &v);
        assert_eq!(v.to_vec::<f32>()?, [4., 6.]);
        x.sum_dim_out(1, true, &v);
        assert_eq!((v.shape().to_vec(), v.to_vec::<f32>()?), (vec![2, 1], vec![3., 7.]));
        // into a part of another tensor
        let b = zeros([2, 3], d);
        x.amax_out(1, false, &b.i((.., 1)));
        assert_eq!(b.to_vec::<f32>()?, [0., 2., 0., 0., 4., 0.]);
        wgtorch::cat_out(&[&x, &x], 1, &b);
        assert_eq!((b.shape().to_vec(), b.to_vec::<f32>()?), (vec![2, 4], vec![1., 2., 1., 2., 3., 4., 3., 4.]));
        wgtorch::stack_out(&[&x, &x], 0, &b);
        assert_eq!(b.shape(), [2, 2, 2]);
        let (values, indices) = (empty([0], d), empty([0], (I64, d)));
        x.max_dim_out(1, false, (&values, &indices));
        assert_eq!((values.to_vec::<f32>()?, indices.to_vec::<i64>()?), (vec![2., 4.], vec![1, 1]));
        x.sort_out(wgtorch::SortOptions::new().descending(true), (&values, &indices));
        assert_eq!((values.to_vec::<f32>()?, indices.to_vec::<i64>()?), (vec![2., 1., 4., 3.], vec![1, 0, 1, 0]));
        // dtypes: sums are cast, products are not
        let wide = empty([2], (F64, d));
        x.sum_dim_out(0, false, &wide);
        assert_eq!(wide.to_vec::<f64>()?, [4., 6.]);
        let c = x.checked();
        assert_eq!(
            fails(c.matmul_out(&x, &empty([2, 2], (F64, d)))),
            "Expected out tensor to have dtype float, but got double instead"
        );
        assert_eq!(
            fails(c.argmax_dim_out(0, false, &empty([2], d))),
            "Expected out tensor to have dtype long int, but got float instead"
        );
        assert_eq!(
            fails(c.sum_dim_out(0, false, &empty([2], (I64, d)))),
            "result type Float can't be cast to the desired output type Long"
        );
        x.requires_grad_(true);
        let words = "mm(): functions with out=... arguments don't support automatic differentiation, but one of the arguments requires grad.";
        assert_eq!(fails(c.mm_out(&x, &out)), words);
        no_grad(|| x.mm_out(&x, &out));
    }
    Ok(())
}
