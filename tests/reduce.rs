//! Reductions: values, dtypes, empties, ties and gradients, against what PyTorch gives.

mod common;

use common::devices;
use wgtorch::prelude::*;
use wgtorch::{ReduceOptions, VarOptions, autograd};

#[test]
fn narrow_dtypes_are_computed_wide_and_rounded_once() {
    for d in devices() {
        let ones = full([100_000], 1, (F16, d));
        assert_eq!(ones.sum_dim((), F32).item::<f32>().unwrap(), 100_000.);
        assert!(ones.sum().to(F32).item::<f32>().unwrap().is_infinite());
        assert_eq!(ones.mean().to(F32).item::<f32>().unwrap(), 1.);
        let bytes = tensor!([[200, 7], [9, 250]], (U8, d));
        assert_eq!(bytes.amax(0, false).to_vec::<u8>().unwrap(), [200, 250]);
        assert_eq!(bytes.matmul(&bytes).to_vec::<u8>().unwrap(), [127, 78, 210, 99]);
        assert_eq!(bytes.gather(1, &tensor!([[1], [0]], d)).to_vec::<u8>().unwrap(), [7, 9]);
        assert_eq!(bytes.any().dtype(), U8);
        let w = tensor!([[1.0, 2.0], [0.25, 3.0]], (BF16, d));
        assert_eq!(w.softmax(0, ()).dtype(), BF16);
        assert_eq!(w.matmul(&w).to(F32).to_vec::<f32>().unwrap(), [1.5, 8., 1., 9.5]);
    }
}

#[test]
fn sums_and_means() {
    for d in devices() {
        let x = tensor!([[1., 2., 3.], [4., 5., 6.]], d);
        assert_eq!(x.sum().item::<f32>().unwrap(), 21.0);
        assert_eq!(x.sum_dim(0, false).to_vec::<f32>().unwrap(), [5., 7., 9.]);
        assert_eq!(x.t().sum_dim(0, false).to_vec::<f32>().unwrap(), [6., 15.]);
        assert_eq!(x.sum_dim([-1], true).shape(), [2, 1]);
        assert_eq!(x.mean().item::<f32>().unwrap(), 3.5);
        assert_eq!(x.mean_dim(1, ReduceOptions::new().dtype(F64)).to_vec::<f64>().unwrap(), [2., 5.]);
        assert_eq!(tensor!([true, true, false], d).sum().item_scalar().unwrap(), Scalar::Int(2));
        assert_eq!(tensor!([200, 100], (U8, d)).sum().item_scalar().unwrap(), Scalar::Int(300));
        assert_eq!(zeros([0, 3], d).sum_dim(0, false).to_vec::<f32>().unwrap(), [0., 0., 0.]);
        assert!(zeros([0], d).mean().item::<f32>().unwrap().is_nan());
        assert_eq!(tensor!(5., d).sum_dim(-1, true).shape(), []);
        assert_eq!(x.sum_to_size([1, 3]).to_vec::<f32>().unwrap(), [5., 7., 9.]);
        assert_eq!(x.sum_to_size([1]).to_vec::<f32>().unwrap(), [21.]);
        assert_eq!(x.sum_to_size(()).shape(), []);
        assert!(x.sum_to_size([2, 3]).is_same(&x));
    }
    let e = zeros([2, 3], I64).checked().mean().unwrap_err().to_string();
    assert_eq!(
        e,
        "mean(): could not infer output dtype. Input dtype must be either a floating point or complex dtype. Got: Long"
    );
    let e = zeros([10, 5, 10], ()).checked().sum_to_size([10, 10]).unwrap_err().to_string();
    assert_eq!(e, "size {[10, 10]} is not expandable to size {[10, 5, 10]}.");
    let e = zeros([2, 2], ()).checked().sum_dim([0, -2], false).unwrap_err().to_string();
    assert_eq!(e, "dim 0 appears multiple times in the list of dims");
}

#[test]
fn extrema_share_or_pick() {
    for d in devices() {
        let x = tensor!([1., 5., 5.], (F32, d));
        x.requires_grad_(true);
        x.max().backward();
        assert_eq!(x.grad().unwrap().to_vec::<f32>().unwrap(), [0., 0.5, 0.5]);
        x.set_grad(None);
        let (values, indices) = x.max_dim(0, false);
        assert_eq!(indices.item::<i64>().unwrap(), 1);
        values.backward();
        assert_eq!(x.grad().unwrap().to_vec::<f32>().unwrap(), [0., 1., 0.]);
        let nan = tensor!([1., f32::NAN, 7.], d);
        assert!(nan.max().item::<f32>().unwrap().is_nan());
        assert_eq!(nan.argmax().item::<i64>().unwrap(), 1);
        assert_eq!(zeros([100_000], d).argmin().item::<i64>().unwrap(), 0);
        assert_eq!(tensor!([[1, 9], [9, 0]], d).t().argmax().item::<i64>().unwrap(), 1);
        assert_eq!(zeros([0, 3], d).max_dim(1, false).0.shape(), [0]);
    }
    let e = zeros([0, 3], ()).checked().max().unwrap_err().to_string();
    assert!(e.starts_with("max(): Expected reduction dim to be specified for input.numel() == 0."), "{e}");
    let e = zeros([0, 3], ()).checked().amax(0, false).unwrap_err();
    assert!(matches!(e, Error::Index(_)), "{e}");
    assert!(zeros([2], Bool).checked().argmax().is_err());
    assert!(zeros([2], Bool).max().to_vec::<bool>().unwrap() == [false]);
}

#[test]
fn truth_and_counts() {
    for d in devices() {
        let nan = tensor!([0., f32::NAN], d);
        assert!(nan.any().item::<bool>().unwrap());
        assert!(!nan.all().item::<bool>().unwrap());
        assert!(!zeros([0], d).any().item::<bool>().unwrap());
        assert!(zeros([0], d).all().item::<bool>().unwrap());
        let u = tensor!([[1, 0], [3, 4]], (U8, d)).all_dim(1, false);
        assert_eq!((u.dtype(), u.to_vec::<u8>().unwrap()), (U8, vec![0, 1]));
        assert_eq!(tensor!([[1, 0], [3, 4]], d).count_nonzero_dim(0).to_vec::<i64>().unwrap(), [2, 1]);
    }
}

#[test]
fn variances() {
    for d in devices() {
        let x = tensor!([[1., 2., 6.], [3., 3., 3.]], d);
        assert_eq!(x.var_dim(1, false).to_vec::<f32>().unwrap(), [7., 0.]);
        let (v, m) = x.var_mean(1, VarOptions::new().correction(0.0).keepdim(true));
        assert_eq!(v.shape(), [2, 1]);
        assert!((v.to_vec::<f32>().unwrap()[0] - 14.0 / 3.0).abs() < 1e-6);
        assert_eq!(m.to_vec::<f32>().unwrap(), [3., 3.]);
        assert!(tensor!([5.], d).std().item::<f32>().unwrap().is_nan());
        // a large mean costs no digits
        assert_eq!(
            tensor!([1e8 - 8., 1e8 + 8.], d).var_dim((), VarOptions::new().correction(0.)).item::<f32>().unwrap(),
            64.
        );
    }
}

type F = (&'static str, fn(&Tensor) -> Tensor);

/// Gradients against central differences in f64, first and second order.
#[test]
fn gradients_match_finite_differences() {
    let fs: &[F] = &[
        ("sum", |x| (x * x).sum()),
        ("sum_dim", |x| (x.sum_dim(0, false) * x.sum_dim([0], true)).sum()),
        ("mean", |x| (x * x * x).mean()),
        ("mean_dim", |x| x.mean_dim(-1, true) * x),
        ("prod", |x| x.prod()),
        ("prod_dim", |x| x.prod_dim(1, false)),
        ("var", |x| x.var()),
        ("var_dim", |x| x.var_dim(0, VarOptions::new().correction(0.5))),
        ("std_dim", |x| x.std_dim(1, true) * x),
        ("var_mean", |x| {
            let (v, m) = x.var_mean(1, ());
            v * m
        }),
        ("std_mean", |x| {
            let (v, m) = x.std_mean((), ());
            v * m
        }),
        ("max", |x| x.max() * x),
        ("amin", |x| x.amin([0, 1], true) * x),
        ("max_dim", |x| x.max_dim(1, true).0 * x),
        ("min_dim", |x| x.min_dim(0, false).0),
        ("norm2", |x| x.norm(2)),
        ("norm1", |x| x.norm_dim(1, 0, true) * x),
        ("norm3", |x| x.norm_dim(3, 1, ())),
        ("norm1.5", |x| x.norm_dim(1.5, 1, ())),
        ("norm.5", |x| x.norm_dim(0.5, (), ())),
        ("norminf", |x| x.norm(f64::INFINITY) * x),
        ("logsumexp", |x| x.logsumexp(1, false)),
        ("logsumexp2", |x| x.logsumexp([0, 1], true) * x),
        ("nansum", |x| (x * x).nansum_dim(0, false)),
        ("nanmean", |x| (x * x).nanmean()),
    ];
    let data = [0.3, -1.2, 0.7, 1.9, -0.4, 2.2];
    for (name, f) in fs {
        for transposed in [false, true] {
            let make = |v: &[f64]| {
                let t = Tensor::from_vec(v.to_vec(), [2, 3], ()).unwrap();
                if transposed { t.t().contiguous().t() } else { t }
            };
            // a weight for each output, so that no gradient cancels
            let weigh = |y: Tensor| {
                let n = y.numel() as i64;
                (y.reshape(-1) * (arange(n, F64) * 0.37 + 0.5)).sum()
            };
            let grad = |v: &[f64], create: bool| {
                let x = make(v).detach().requires_grad_(true);
                let y = weigh(f(&x));
                let g = autograd::grad(&[&y], &[&x], &[], autograd::GradOptions::new().create_graph(create)).unwrap();
                (x, y.item::<f64>().unwrap(), g[0].clone().unwrap())
            };
            let (_, _, g) = grad(&data, false);
            let (x2, _, g2) = grad(&data, true);
            for (a, b) in g.to_vec::<f64>().unwrap().into_iter().zip(g2.to_vec::<f64>().unwrap()) {
                assert!((a - b).abs() <= 1e-12 * a.abs().max(1.0), "{name}: {a} and {b}");
            }
            let second = if g2.requires_grad() {
                let s = weigh(g2);
                autograd::grad(&[&s], &[&x2], &[], autograd::GradOptions::new().allow_unused(true)).unwrap()[0].clone()
            } else {
                None
            };
            let second = second.map_or(vec![0.0; 6], |t| t.to_vec::<f64>().unwrap());
            let g = g.to_vec::<f64>().unwrap();
            let h = 1e-6;
            for i in 0..6 {
                let at = |s: f64| {
                    let mut v = data;
                    v[i] += s;
                    let (_, y, g) = grad(&v, false);
                    (y, weigh(g).item::<f64>().unwrap())
                };
                let ((y1, s1), (y0, s0)) = (at(h), at(-h));
                let (want, want2) = ((y1 - y0) / (2.0 * h), (s1 - s0) / (2.0 * h));
                assert!((g[i] - want).abs() < 1e-6 * (1.0 + want.abs()), "{name} [{i}]: {} against {want}", g[i]);
                assert!(
                    (second[i] - want2).abs() < 1e-5 * (1.0 + want2.abs()),
                    "{name} second order [{i}]: {} against {want2}",
                    second[i]
                );
            }
        }
    }
}
