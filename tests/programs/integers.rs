//! Group `integers`: division and remainders in all their forms, overflow, bits and casts.

use crate::{list, programs};
use wgtorch::prelude::*;
use wgtorch::{Operand, RoundingMode, floor_divide};

type Division = fn(&Tensor, Operand) -> Tensor;

programs! {
    integer_division "integer-division" |p, d| {
        let a = tensor!([7, -7, 0], d).reshape([-1, 1]);
        let b = tensor!([2, -2, 3, -3], d);
        let fs: [(&str, Division); 6] = [
            ("floor_divide", |a, b| a.floor_divide(b)),
            ("trunc", |a, b| a.div_with(b, RoundingMode::Trunc)),
            ("floor", |a, b| a.div_with(b, RoundingMode::Floor)),
            ("remainder", |a, b| a.remainder(b)),
            ("fmod", |a, b| a.fmod(b)),
            ("true", |a, b| a.true_divide(b)),
        ];
        for (n, f) in fs {
            p.emit(&format!("int64 {n}"), f(&a, (&b).into()));
            let x = tensor!([7.5, -7.5, 0., -0.], d).reshape([-1, 1]);
            p.emit(&format!("float32 {n}"), f(&x, b.to(F32).into()));
            p.emit(&format!("int8 {n}"), f(&tensor!([7, -7], (I8, d)), tensor!([-2, 2], (I8, d)).into()));
            p.emit(&format!("scalar {n}"), f(&tensor!([7, -7], d), (-2).into()));
            p.emit(&format!("float by zero {n}"), f(&tensor!([1., -1., 0., f64::NAN], d), zeros(4, d).into()));
        }
        for (n, f) in &fs[..5] {
            let label = format!("int by zero {n}");
            if d == Device::Cpu {
                p.raises(&label, || f(&tensor!([1], d), tensor!([0], d).into()));
            } else {
                // nothing traps on a GPU: the result is defined as 0 there
                p.later(&label, "a GPU gives 0 for an integer divided by zero");
                assert_eq!(f(&tensor!([1], d), tensor!([0], d).into()).to_vec::<i64>()?, [0]);
            }
        }
        p.emit("int true by zero", tensor!([1, 0, -1], d) / 0);
        p.emit("uint8", tensor!([7], (U8, d)).floor_divide(tensor!([2], (U8, d))));
        let t = tensor!([2, -2], d);
        p.emit("python rsub etc", list![floor_divide(7, &t), 7 % &t, floor_divide(7.5, &t)]);
    }
    integer_overflow "integer-overflow" |p, d| {
        let t = |v: &[i64], dtype: DType| tensor!(v, (dtype, d));
        p.emit("int8", t(&[127], I8) + 1);
        p.emit("uint8", list![t(&[0], U8) - 1, t(&[255], U8) + 1, t(&[200], U8) * 2, -t(&[1], U8)]);
        p.emit("int16 int32", list![t(&[30000], I16) * 2, t(&[1 << 30], I32) * 4, t(&[(1 << 30) + 1], I32) * 3]);
        p.emit("int64", t(&[i64::MAX], I64) + 1);
        p.emit("neg abs", list![-t(&[-128], I8), t(&[-128], I8).abs()]);
        p.emit("sums", list![
            t(&[100, 100], I8).sum(), t(&[200, 200], U8).cumsum(0, ()), t(&[20, 20], U8).prod(), tensor!([true, true], d).sum(),
        ]);
        p.emit("sum dtype", t(&[200, 100], U8).sum_dim((), U8));
        p.emit("pow", list![t(&[10], I8).pow(3), t(&[2], I64).pow(63), t(&[3], I64).pow(41)]);
        p.emit("shift", list![
            t(&[1, -1, 5], I64).bitwise_left_shift(2), t(&[-8, 7, 1], I64).bitwise_right_shift(1),
            t(&[1], I8).bitwise_left_shift(7),
        ]);
        p.emit("bitwise", list![
            !t(&[0, 5, -1], I64), t(&[6], I64) & 3, t(&[6], I64) | 3, t(&[6], I64) ^ 3, !tensor!([true], d), !t(&[1], U8),
        ]);
        p.emit("casts", list![
            t(&[300, -1], I64).to(U8), t(&[128, -129], I64).to(I8), t(&[1 << 31], I64).to(I32), tensor!([1.9, -1.9], d).to(I32),
            tensor!([0., 0.5, f64::NAN], d).to(Bool), t(&[(1 << 24) + 1], I64).to(F32), tensor!([65519., 65520.], d).to(F16),
            tensor!([1. / 3.], d).to(BF16).to(F32), tensor!([true], d).to(F16), tensor!([1e-8, 6e-8], d).to(F16),
        ]);
    }
}
