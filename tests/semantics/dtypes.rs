//! Items 1 to 12: dtypes, promotion, integers, casts.

use crate::{is, items, says};
use std::f64::consts::PI;
use wgtorch::prelude::*;
use wgtorch::{RoundingMode, cat, stack, where_cond};

const NAN: f64 = f64::NAN;
const INF: f64 = f64::INFINITY;

items! {
    item_1_lattice |d| {
        let pairs = [
            (Bool, U8, U8), (Bool, F16, F16), (U8, I8, I16), (U8, I16, I16), (I8, I16, I16), (I32, I64, I64), (I64, F16, F16),
            (U8, BF16, BF16), (F16, BF16, F32), (F16, F32, F32), (BF16, F64, F64), (F32, F64, F64), (I64, F32, F32),
        ];
        for (a, b, want) in pairs {
            for (a, b) in [(a, b), (b, a)] {
                is(ones(2, (a, d)) * ones(2, (b, d)), want, &[1., 1.]);
            }
        }
    }
    item_2_categories |d| {
        is(tensor!([1, 2], (I32, d)) + 1, I32, &[2., 3.]);
        is(tensor!([1., 2.], d) + tensor!(1., (F64, d)), F32, &[2., 3.]);
        is(tensor!([1, 2], (I32, d)) + tensor!(0.5, (F64, d)), F64, &[1.5, 2.5]);
        is(tensor!([1, 2], (U8, d)) + tensor!(1, d), U8, &[2., 3.]);
        is(tensor!([1, 2], d) * 2.5, F32, &[2.5, 5.]);
        is(tensor!([true, false], d) + 1, I64, &[2., 1.]);
        is(tensor!([true, false], d) + 1.0, F32, &[2., 1.]);
        is(tensor!(1., d) + tensor!(2., (F64, d)), F64, &[3.]);
    }
    item_3_wrapping |d| {
        is(tensor!([1], (U8, d)) + 300, U8, &[45.]);
        is(tensor!([i32::MAX], (I32, d)) + 1, I32, &[i32::MIN as f64]);
        assert_eq!((tensor!([i64::MAX], d) + 1).to_vec::<i64>()?, [i64::MIN]);
        is(tensor!([127], (I8, d)) + 1, I8, &[-128.]);
        is(tensor!([200], (U8, d)) * 2, U8, &[144.]);
        is(tensor!([i16::MIN], (I16, d)) - 1, I16, &[i16::MAX as f64]);
    }
    item_4_divisions |d| {
        let (a, b) = (tensor!([7, -7, 7, -7], d), tensor!([2, 2, -2, -2], d));
        is(&a / &b, F32, &[3.5, -3.5, -3.5, 3.5]);
        is(a.floor_divide(&b), I64, &[3., -4., -4., 3.]);
        is(a.div_with(&b, RoundingMode::Trunc), I64, &[3., -3., -3., 3.]);
        let (a, b) = (tensor!([-7, 7], d), tensor!([3, -3], d));
        is(&a % &b, I64, &[2., -2.]);
        is(a.fmod(&b), I64, &[-1., 1.]);
        let (a, b) = (a.to(F32), b.to(F32));
        is(&a % &b, F32, &[2., -2.]);
        is(a.fmod(&b), F32, &[-1., 1.]);
        is(a.floor_divide(&b), F32, &[-3., -3.]);
    }
    item_5_by_zero |d| {
        if d == Device::Cpu {
            says(d, tensor!([1], d).checked().floor_divide(0), "ZeroDivisionError");
            says(d, tensor!([1], d).checked().remainder(tensor!([0], d)), "ZeroDivisionError");
        } else {
            // no trap on a GPU: zero, as documented
            is(tensor!([1], d).floor_divide(tensor!([0], d)), I64, &[0.]);
        }
        is(tensor!([1., -1., 0.], d).floor_divide(0.), F32, &[INF, -INF, NAN]);
        for (t, min) in [(I32, i32::MIN as i64), (I64, i64::MIN)] {
            let x = tensor!([min], (t, d));
            assert_eq!(x.floor_divide(-1).to_vec::<i64>()?, [min]);
            is(x.remainder(-1), t, &[0.]);
        }
    }
    item_6_in_place_does_not_widen |d| {
        let x = tensor!([1, 2], d);
        let words = "result type Float can't be cast to the desired output type Long";
        says(d, x.checked().add_(1.5), words);
        says(d, x.checked().div_(2), words);
        says(d, x.checked().add_out(1.5, &x), words);
        says(d, ones(2, d).checked().add_(ones([3, 2], d)), "output with shape [2] doesn't match the broadcast shape [3, 2]");
        is(&x, I64, &[1., 2.]);
        // a wider dtype of the same category is rounded
        is(tensor!([1., 2.], (F16, d)).add_(tensor!([0.5, 0.25], (F64, d))), F16, &[1.5, 2.25]);
        is(tensor!([1, 2], (U8, d)).add_(tensor!([255, 1], d)), U8, &[0., 3.]);
    }
    item_7_bools |d| {
        let (t, f) = (tensor!([true, true], d), tensor!([true, false], d));
        says(d, t.checked().sub(&f), "Subtraction, the `-` operator, with two bool tensors is not supported.");
        says(d, t.checked().neg(), "Negation, the `-` operator, on a bool tensor is not supported.");
        is(&t + &f, Bool, &[1., 1.]);
        is(!&f, Bool, &[0., 1.]);
        is(!tensor!([1], d), I64, &[-2.]);
        says(d, ones(2, d).checked().bitwise_and(ones(2, d)), "not implemented for 'Float'");
    }
    item_8_sums |d| {
        for t in [Bool, U8, I8, I16, I32, I64] {
            let x = ones(3, (t, d));
            is(x.sum(), I64, &[3.]);
            is(x.prod(), I64, &[1.]);
            is(x.cumsum(0, ()), I64, &[1., 2., 3.]);
            says(d, x.checked().mean(), "mean(): could not infer output dtype. Input dtype must be either a floating point or complex dtype.");
            is(x.any(), if t == U8 { U8 } else { Bool }, &[1.]);
            is(x.all(), if t == U8 { U8 } else { Bool }, &[1.]);
        }
        is(tensor!([200, 100], (U8, d)).sum(), I64, &[300.]);
        is(tensor!([false, true], d).max(), Bool, &[1.]);
        says(d, tensor!([false, true], d).checked().argmax(), "not implemented for 'Bool'");
        is(tensor!([NAN], d).any(), Bool, &[1.]);
    }
    item_10_rounding |d| {
        is(tensor!([16777217, 16777219], d).to(F32), F32, &[16777216., 16777220.]);
        is(tensor!([16777217], d).eq(tensor!([16777216.], d)), Bool, &[1.]);
        is(tensor!([65519., 65520., -65520.], d).to(F16), F16, &[65504., INF, -INF]);
        is(tensor!([0.5, 2.5, 1.5], d).round(), F32, &[0., 2., 2.]);
        let zero = tensor!([-0.5], d).round();
        is(&zero, F32, &[0.]);
        is(zero.signbit(), Bool, &[1.]);
        is(tensor!([1.00390625, 1.01171875], d).to(BF16), BF16, &[1., 1.015625]);
    }
    item_11_powers |d| {
        let two = tensor!([2], d);
        says(d, two.checked().pow(-1), "Integers to negative integer powers are not allowed.");
        is(tensor!([1, 2, -1], d).pow(tensor!([-1, -1, -1], d)), I64, &[1., 0., -1.]);
        is(tensor!([0., NAN], d).pow(0.), F32, &[1., 1.]);
        is(tensor!([0], d).pow(0), I64, &[1.]);
        is(tensor!([-8.], d).pow(1. / 3.), F32, &[NAN]);
        is(tensor!([4], d).sqrt(), F32, &[2.]);
        is(tensor!([-128], (I8, d)).abs(), I8, &[-128.]);
        is(tensor!([1], d).bitwise_left_shift(64), I64, &[0.]);
    }
    item_12_literals |d| {
        assert_eq!(tensor!([1, 2], d).dtype(), I64);
        assert_eq!(tensor!([1., 2.], d).dtype(), F32);
        assert_eq!(tensor!([true], d).dtype(), Bool);
        assert_eq!(tensor!([0f64; 0], d).dtype(), F32);
        assert_eq!((arange(5, d).dtype(), arange(5., d).dtype()), (I64, F32));
        is(where_cond(&tensor!([true, false], d), 1, 2.5), F32, &[1., 2.5]);
        is(cat(&[tensor!([1], d), tensor!([2.5], d)], 0), F32, &[1., 2.5]);
        is(stack(&[tensor!([1], (I32, d)), tensor!([2], d)], 0), I64, &[1., 2.]);
        says(d, ones([2, 2], d).checked().matmul(&ones([2, 2], (F64, d))), "to have the same dtype");
        is(tensor!([[1, 2], [3, 4]], d).matmul(&tensor!([[1, 0], [0, 1]], d)), I64, &[1., 2., 3., 4.]);
    }
}

/// Item 9: one rule for floats that an integer cannot hold, on both devices.
#[test]
fn item_9_floats_to_integers() -> Result<(), Error> {
    let values = [1.9, -1.9, 300.7, -1., 3e9, 1e20, -1e20, NAN, INF, -INF, PI, 0.];
    for (i, from) in [F32, F64, F16, BF16].into_iter().enumerate() {
        let host = tensor!(values, from);
        let whole = host.to_vec::<f64>()?;
        for to in [U8, I8, I16, I32, I64, U32] {
            // toward zero; what i32 (or i64, for the wide ones) cannot hold is its least number; then the low bits
            let (high, least) = match to {
                U32 | I64 => (9.2e18, i64::MIN),
                _ => (2147483648., i32::MIN as i64),
            };
            let want: Vec<i64> = whole
                .iter()
                .map(|&x| if x.abs() < high { x as i64 } else { least })
                .map(|x| match to {
                    U8 => x as u8 as i64,
                    I8 => x as i8 as i64,
                    I16 => x as i16 as i64,
                    I32 => x as i32 as i64,
                    U32 => x as u32 as i64,
                    _ => x,
                })
                .collect();
            for d in crate::common::devices() {
                assert_eq!(host.to(d).to(to).to_vec::<i64>()?, want, "{from} to {to} on {d} ({i})");
            }
        }
        for d in crate::common::devices() {
            is(tensor!([NAN, -0., 0.5], (from, d)).to(Bool), Bool, &[1., 0., 1.]);
        }
    }
    Ok(())
}
