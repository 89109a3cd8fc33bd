//! PyTorch's rules that clones get wrong: promotion, integers, NaN, gradients at kinks, error texts. Expected values are
//! PyTorch 2.15's.

mod common;

use common::devices;
use wgtorch::prelude::*;
use wgtorch::{Checked, RoundingMode, where_cond};

const DTYPES: [DType; 10] = [Bool, U8, I8, I16, I32, I64, F16, BF16, F32, F64];

/// Row a, column b: the dtype that a and b meet in.
const COMMON: &str = "\
    bool uint8 int8 int16 int32 int64 float16 bfloat16 float32 float64
    uint8 uint8 int16 int16 int32 int64 float16 bfloat16 float32 float64
    int8 int16 int8 int16 int32 int64 float16 bfloat16 float32 float64
    int16 int16 int16 int16 int32 int64 float16 bfloat16 float32 float64
    int32 int32 int32 int32 int32 int64 float16 bfloat16 float32 float64
    int64 int64 int64 int64 int64 int64 float16 bfloat16 float32 float64
    float16 float16 float16 float16 float16 float16 float16 float32 float32 float64
    bfloat16 bfloat16 bfloat16 bfloat16 bfloat16 bfloat16 float32 bfloat16 float32 float64
    float32 float32 float32 float32 float32 float32 float32 float32 float32 float64
    float64 float64 float64 float64 float64 float64 float64 float64 float64 float64";

/// What becomes of the common dtype, or None where PyTorch refuses; from the operands' dtypes too.
type Turn = fn(DType, DType, DType) -> Option<DType>;

fn float(d: DType) -> DType {
    if d.is_float() { d } else { F32 }
}

type Binary = fn(Checked<'_>, &Tensor) -> wgtorch::Result<Tensor>;

const BINARY: &[(&str, Binary, Turn)] = &[
    ("add", |a, b| a.add(b), |c, _, _| Some(c)),
    ("sub", |a, b| a.sub(b), |c, a, b| (a != Bool && b != Bool).then_some(c)),
    ("mul", |a, b| a.mul(b), |c, _, _| Some(c)),
    ("div", |a, b| a.div(b), |c, _, _| Some(float(c))),
    ("floor_divide", |a, b| a.floor_divide(b), |c, _, _| (c != Bool).then_some(c)),
    ("remainder", |a, b| a.remainder(b), |c, _, _| (c != Bool).then_some(c)),
    ("pow", |a, b| a.pow(b), |c, _, _| (c != Bool).then_some(c)),
    ("maximum", |a, b| a.maximum(b), |c, _, _| Some(c)),
    ("eq", |a, b| a.eq(b), |_, _, _| Some(Bool)),
    ("bitwise_and", |a, b| a.bitwise_and(b), |c, _, _| (!c.is_float()).then_some(c)),
    ("atan2", |a, b| a.atan2(b), |c, _, _| Some(float(c))),
    ("logical_and", |a, b| a.logical_and(b), |_, _, _| Some(Bool)),
    ("where", |a, b| a.where_cond(&tensor!([true]), b), |c, _, _| Some(c)),
];

#[test]
fn tensors_meet_in_pytorchs_dtypes() {
    for (name, f, turn) in BINARY {
        for (a, row) in DTYPES.iter().zip(COMMON.lines()) {
            for (b, common) in DTYPES.iter().zip(row.split_whitespace()) {
                let common = *DTYPES.iter().find(|d| d.name() == common).unwrap();
                let got = f(ones([1], *a).checked(), &ones([1], *b)).ok().map(|t| t.dtype());
                assert_eq!(got, turn(common, *a, *b), "{name} of {a} and {b}");
            }
        }
    }
}

#[test]
fn zero_dim_tensors_and_numbers_win_by_category_only() {
    let of = |d: DType| ones([2], d);
    let zero = |d: DType| ones([0; 0], d);
    for (a, b, expected) in [
        (I32, F64, F64),
        (F32, F64, F32),
        (U8, I64, U8),
        (Bool, U8, U8),
        (F16, F64, F16),
        (BF16, F16, BF16),
        (I8, BF16, BF16),
        (I64, F16, F16),
        (I64, Bool, I64),
        (F32, I64, F32),
    ] {
        assert_eq!((of(a) + zero(b)).dtype(), expected, "{a}[2] + {b} 0-dim");
        assert_eq!((zero(b) + of(a)).dtype(), expected, "{b} 0-dim + {a}[2]");
    }
    assert_eq!((zero(F32) + zero(F64)).dtype(), F64);
    assert_eq!((of(I32) / zero(F64)).dtype(), F64);
    assert_eq!((of(I32) / zero(I64)).dtype(), F32);
    for (d, expected) in [(Bool, I64), (U8, U8), (I32, I32), (I64, I64), (F16, F16), (F32, F32), (F64, F64)] {
        assert_eq!((of(d) + 1).dtype(), expected, "{d} + 1");
    }
    for (d, expected) in [(Bool, F32), (U8, F32), (I64, F32), (F16, F16), (BF16, BF16), (F32, F32), (F64, F64)] {
        assert_eq!((of(d) * 2.5).dtype(), expected, "{d} * 2.5");
        assert_eq!(of(d).pow(2.5).dtype(), expected, "{d} ** 2.5");
        assert_eq!(wgtorch::pow(2.5, of(d)).dtype(), expected, "2.5 ** {d}");
    }
    assert_eq!((of(Bool) + true).dtype(), Bool);
    assert_eq!(where_cond(&tensor!([true]), 1, 2.5).dtype(), F32);
    assert_eq!(of(Bool).pow(true).dtype(), Bool);
    assert_eq!(of(Bool).pow(2).dtype(), I64);
}

#[test]
fn unary_ops_give_pytorchs_dtypes() {
    type Unary = fn(Checked<'_>) -> wgtorch::Result<Tensor>;
    type Rule = fn(DType) -> Option<DType>;
    let number: Rule = |d| (d != Bool).then_some(d);
    let real: Rule = |d| Some(float(d));
    let ops: &[(&str, Unary, Rule)] = &[
        ("neg", |x| x.neg(), number),
        ("abs", |x| x.abs(), number),
        ("sqrt", |x| x.sqrt(), real),
        ("exp", |x| x.exp(), real),
        ("sigmoid", |x| x.sigmoid(), real),
        ("reciprocal", |x| x.reciprocal(), real),
        ("square", |x| x.square(), |d| Some(if d == Bool { I64 } else { d })),
        ("floor", |x| x.floor(), number),
        ("round", |x| x.round(), number),
        ("sign", |x| x.sign(), |d| Some(d)),
        ("isnan", |x| x.isnan(), |_| Some(Bool)),
        ("logical_not", |x| x.logical_not(), |_| Some(Bool)),
        ("bitwise_not", |x| x.bitwise_not(), |d| (!d.is_float()).then_some(d)),
        ("relu", |x| x.relu(), number),
        ("gelu", |x| x.gelu(), |d| d.is_float().then_some(d)),
        ("tanh", |x| x.tanh(), real),
        ("clamp(0, 1)", |x| x.clamp(0, 1), |d| Some(if d == Bool { I64 } else { d })),
        ("clamp(0.5, 1.5)", |x| x.clamp(0.5, 1.5), real),
    ];
    for (name, f, rule) in ops {
        for d in DTYPES {
            assert_eq!(f(ones([2], d).checked()).ok().map(|t| t.dtype()), rule(d), "{name} of {d}");
        }
    }
}

#[test]
fn in_place_ops_keep_the_category_and_the_shape() {
    let ints = tensor!([1, 2]);
    let message = |r: wgtorch::Result<Tensor>| r.unwrap_err().to_string();
    let cast = "result type Float can't be cast to the desired output type Long";
    assert_eq!(message(ints.checked().add_(1.5)), cast);
    assert_eq!(message(ints.checked().div_(2)), cast);
    assert_eq!(message(ints.checked().sqrt_()), cast);
    assert_eq!(
        message(ones([2], ()).checked().add_(ones([3, 2], ()))),
        "output with shape [2] doesn't match the broadcast shape [3, 2]"
    );
    assert_eq!(ints.to_vec::<i64>().unwrap(), [1, 2]);
    assert_eq!(ints.mul_(3).to_vec::<i64>().unwrap(), [3, 6]);
    assert_eq!(ones([2], F32).add_(ones([2], F64)).dtype(), F32);
    assert_eq!(tensor!([1., 3.]).lt_(2).to_vec::<f32>().unwrap(), [1., 0.]);
}

#[test]
fn error_texts_are_pytorchs() {
    let message = |r: wgtorch::Result<Tensor>| r.unwrap_err().to_string();
    let (bools, ints) = (tensor!([true, false]), tensor!([1, 2]));
    for (got, expected) in [
        (
            bools.checked().sub(&bools),
            "Subtraction, the `-` operator, with two bool tensors is not supported. Use the `^` or `logical_xor()` operator instead.",
        ),
        (
            ints.checked().sub(&bools),
            "Subtraction, the `-` operator, with a bool tensor is not supported. If you are trying to invert a mask, use the `~` or `logical_not()` operator instead.",
        ),
        (
            bools.checked().neg(),
            "Negation, the `-` operator, on a bool tensor is not supported. If you are trying to invert a mask, use the `~` or `logical_not()` operator instead.",
        ),
        (ints.checked().pow(-1), "Integers to negative integer powers are not allowed."),
        (tensor!([1.]).checked().bitwise_and(&tensor!([1.])), "\"bitwise_and_cpu\" not implemented for 'Float'"),
        (
            tensor!([1.]).checked().where_cond(&tensor!([1.]), 1),
            "where expected condition to be a boolean tensor, but got a tensor with dtype Float",
        ),
        (ints.checked().floor_divide(0), "ZeroDivisionError"),
        (ints.checked().remainder(&tensor!([1, 0])), "ZeroDivisionError"),
        (ints.checked().fmod(0), "ZeroDivisionError"),
        (ints.checked().div_with(&tensor!([0]), RoundingMode::Trunc), "ZeroDivisionError"),
        (
            ints.checked().add_with(1, 0.5),
            "For integral input tensors, argument alpha must not be a floating point number.",
        ),
        (tensor!([1.]).checked().add_with(1, true), "Boolean alpha only supported for Boolean results."),
        (tensor!([1.]).checked().clamp((), ()), "torch.clamp: At least one of 'min' or 'max' must not be None"),
        (
            ones([3], ()).checked().add(ones([4], ())),
            "The size of tensor a (3) must match the size of tensor b (4) at non-singleton dimension 0",
        ),
        (tensor!([1.]).checked().lerp(&tensor!([1]), 0.5), "expected dtype float for `end` but got dtype long"),
    ] {
        assert_eq!(message(got), expected);
    }
}

fn ints(t: Tensor) -> Vec<i64> {
    t.to_vec::<i64>().unwrap()
}

fn floats(t: Tensor) -> Vec<f64> {
    t.to_vec::<f64>().unwrap()
}

#[test]
fn integers_divide_wrap_and_shift_as_in_pytorch() {
    for device in devices() {
        let t = |v: &[i64], d: DType| tensor!(v).to(d).to(device);
        let (a, b) = (t(&[7, -7, 0], I64).unsqueeze(1), t(&[2, -2, 3, -3], I64));
        assert_eq!(ints(a.floor_divide(&b)), [3, -4, 2, -3, -4, 3, -3, 2, 0, 0, 0, 0]);
        assert_eq!(ints(a.div_with(&b, RoundingMode::Trunc)), [3, -3, 2, -2, -3, 3, -2, 2, 0, 0, 0, 0]);
        assert_eq!(ints(&a % &b), [1, -1, 1, -2, 1, -1, 2, -1, 0, 0, 0, 0]);
        assert_eq!(ints(a.fmod(&b)), [1, 1, 1, 1, -1, -1, -1, -1, 0, 0, 0, 0]);
        assert_eq!(floats(&t(&[7, -7], I64) / 2), [3.5, -3.5]);
        assert_eq!(ints(t(&[i64::MIN], I64).floor_divide(-1)), [i64::MIN]);
        assert_eq!(ints(t(&[i64::MIN], I64).remainder(-1)), [0]);
        assert_eq!(ints(t(&[1], U8) + 300), [45]);
        assert_eq!(ints(t(&[127], I8) + 1), [-128]);
        assert_eq!(ints(t(&[0], U8) - 1), [255]);
        assert_eq!(ints(-t(&[1], U8)), [255]);
        assert_eq!(ints(t(&[30000], I16) * 2), [-5536]);
        assert_eq!(ints(t(&[(1 << 30) + 1], I32) * 3), [-1073741821]);
        assert_eq!(ints(t(&[i64::MAX], I64) + 1), [i64::MIN]);
        assert_eq!(ints(t(&[-128], I8).abs()), [-128]);
        assert_eq!(ints(t(&[10], I8).pow(3)), [-24]);
        assert_eq!(ints(t(&[3], I64).pow(41)), [-420491770248316829]);
        assert_eq!(ints(t(&[1, 2, -1], I64).pow(t(&[-1, -1, -1], I64))), [1, 0, -1]);
        assert_eq!(ints(t(&[1, -1, 5], I64).bitwise_left_shift(2)), [4, -4, 20]);
        assert_eq!(ints(t(&[1], I64).bitwise_left_shift(64)), [0]);
        assert_eq!(ints(t(&[-8, 7, 1], I64).bitwise_right_shift(1)), [-4, 3, 0]);
        assert_eq!(ints(!t(&[0, 5, -1], I64)), [-1, -6, 0]);
        assert_eq!(ints(!t(&[1], U8)), [254]);
        assert_eq!(ints(t(&[6], I64) & 3), [2]);
        assert_eq!(ints(t(&[6], I64) ^ 3), [5]);
        assert_eq!(ints(t(&[12, -18, 0], I64).gcd(&t(&[18, 12, 5], I64))), [6, 6, 5]);
        assert_eq!(ints(t(&[4, -6], I64).lcm(&t(&[6, 4], I64))), [12, 12]);
        // compared after promotion
        assert_eq!(ints(t(&[16777217], I64).eq(tensor!([16777216.]).to(device))), [1]);
        assert_eq!(ints(t(&[-1, 0, 2], I64).relu()), [0, 0, 2]);
    }
}

#[test]
fn floats_divide_and_round_as_in_pytorch() {
    for device in devices() {
        let t = |v: &[f64]| tensor!(v).to(device);
        let (zeros, x) = (t(&[0., 0., 0.]), t(&[1., -1., 0.]));
        let same = |got: Tensor, expected: &[f64]| {
            let got = floats(got);
            let equal = got.iter().zip(expected).all(|(a, b)| a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()));
            assert!(equal && got.len() == expected.len(), "{got:?} on {device}, expected {expected:?}");
        };
        let (inf, nan) = (f64::INFINITY, f64::NAN);
        same(x.floor_divide(&zeros), &[inf, -inf, nan]);
        same(x.remainder(&zeros), &[nan, nan, nan]);
        same(x.fmod(&zeros), &[nan, nan, nan]);
        same(t(&[7.5, -7.5, 0., -0.]).floor_divide(-2), &[-4., 3., -0., 0.]);
        same(t(&[7.5, -7.5]).remainder(-2), &[-0.5, -1.5]);
        same(t(&[0.5, 1.5, 2.5, -0.5]).round(), &[0., 2., 2., -0.]);
        same(t(&[-0.9, 0.9]).trunc(), &[-0., 0.]);
        same(t(&[nan, 1., 0., inf]).pow(t(&[0., nan, 0., 0.])), &[1., 1., 1., 1.]);
        same(t(&[-8.]).pow(1.0 / 3.0), &[nan]);
        same(t(&[nan, -2.]).sign(), &[0., -1.]);
        same(t(&[1., nan]).maximum(&t(&[nan, 1.])), &[nan, nan]);
        same(t(&[1., nan]).fmax(&t(&[nan, 1.])), &[1., 1.]);
        same(t(&[nan, -5.]).clamp(0, 2), &[nan, 0.]);
        same(t(&[nan, -5.]).relu(), &[nan, 0.]);
        same(t(&[1e-6, 5.]).remainder(inf), &[1e-6f32 as f64, 5.]);
        same(t(&[-5.]).remainder(inf), &[inf]);
    }
}

fn slope(f: impl Fn(&Tensor) -> Tensor, at: &[f64]) -> Vec<f64> {
    let x = tensor!(at).requires_grad_(true);
    let y = f(&x);
    y.backward_with(Some(&ones_like(&y, ())), ());
    floats(x.grad().unwrap())
}

#[test]
fn gradients_at_kinks_are_pytorchs() {
    let inf = f64::INFINITY;
    assert_eq!(slope(|x| x.relu(), &[-1., 0., -0., 1.]), [0., 0., 0., 1.]);
    assert_eq!(slope(|x| x.abs(), &[-1., 0., -0., 1.]), [-1., 0., 0., 1.]);
    assert_eq!(slope(|x| x.sign(), &[-1., 0., 1.]), [0., 0., 0.]);
    assert_eq!(slope(|x| x.clamp(0, 1), &[-1., 0., 0.5, 1., 2.]), [0., 0., 1., 0., 0.]);
    assert_eq!(slope(|x| x.clamp(2, 1), &[0., 1., 1.5, 3.]), [0., 0., 0., 0.]);
    assert_eq!(slope(|x| x.hardtanh(), &[-2., -1., 0., 1., 2.]), [0., 0., 1., 0., 0.]);
    assert_eq!(slope(|x| x.relu6(), &[-1., 0., 3., 6., 7.]), [0., 0., 1., 0., 0.]);
    assert_eq!(slope(|x| x.leaky_relu_with(0.25), &[-1., 0., 1.]), [0.25, 0.25, 1.]);
    assert_eq!(slope(|x| x.elu(), &[0., 1.]), [1., 1.]);
    assert_eq!(slope(|x| x.hardswish(), &[-4., -3., 0., 3., 4.]), [0., 0., 0.5, 1., 1.]);
    assert_eq!(slope(|x| x.hardsigmoid(), &[-4., -3., 3., 4.]), [0., 0., 0., 0.]);
    assert_eq!(slope(|x| x.maximum(&tensor!([1., 2., 3.])), &[1., 3., 0.]), [0.5, 1., 0.]);
    assert_eq!(slope(|x| x.fmax(&tensor!([1., 2., 3.])), &[1., 3., 0.]), [0.5, 1., 0.]);
    assert_eq!(slope(|x| x.sqrt(), &[0., 4.]), [inf, 0.25]);
    assert_eq!(slope(|x| x.pow(0.5), &[0., 4.]), [inf, 0.25]);
    assert_eq!(slope(|x| x.pow(0), &[0., 4.]), [0., 0.]);
    assert_eq!(slope(|x| x.pow(&tensor!([0., 1., 2., 3.])), &[0., 0., 0., -1.]), [0., 1., 0., 3.]);
    let of_zero = slope(|x| tensor!([0., 2., -2.]).pow(x), &[0., 1., 2.]);
    assert!(of_zero[0] == 0. && (of_zero[1] - 2. * 2f64.ln()).abs() < 1e-6 && of_zero[2].is_nan());
    assert_eq!(slope(|x| x.round(), &[0.4, 1.5]), [0., 0.]);
    assert_eq!(slope(|x| x.frac(), &[0.4, -1.5]), [1., 1.]);
    assert_eq!(slope(|x| x % 2, &[3., -3.]), [1., 1.]);
    assert_eq!(slope(|x| x.hardshrink(), &[-0.5, 0., 0.5, 1.]), [0., 0., 0., 1.]);
    assert_eq!(slope(|x| x.softshrink(), &[-0.5, 0., 0.5, 1.]), [0., 0., 0., 1.]);
    assert_eq!(slope(|x| x.atan2(&tensor!([0., 1.])), &[0., 0.]), [0., 1.]);
    let g = slope(|x| x.xlogy(&tensor!([0., 2., 3.])), &[0., 0., 1.]);
    assert!(g[0] == 0. && (g[1] - 2f64.ln()).abs() < 1e-6 && (g[2] - 3f64.ln()).abs() < 1e-6);
    assert_eq!(slope(|x| x.log1p(), &[-1., 0.]), [inf, 1.]);
    assert_eq!(slope(|x| x.acos(), &[1., 0.]), [-inf, -1.]);
    assert_eq!(slope(|x| x.nan_to_num(), &[f64::NAN, inf, 1.]), [0., 0., 1.]);
    // faithful: the branch that is not taken still poisons the gradient
    let g = slope(|x| where_cond(&x.gt(0), x.sqrt(), 0), &[-1., 0., 4.]);
    assert!(g[0].is_nan() && g[1].is_nan() && g[2] == 0.25);
}

#[test]
fn grad_fn_names_are_pytorchs() {
    let a = ones([2], ()).requires_grad_(true);
    let b = full([2], 2., ()).requires_grad_(true);
    for (t, name) in [
        (&a + &b, "AddBackward0"),
        (a.add_with(&b, 2), "AddBackward0"),
        (&a - &b, "SubBackward0"),
        (1 - &a, "RsubBackward1"),
        (&a * &b, "MulBackward0"),
        (&a / &b, "DivBackward0"),
        (2 / &a, "MulBackward0"),
        (a.pow(2), "PowBackward0"),
        (a.pow(1.5), "PowBackward0"),
        (a.pow(&b), "PowBackward1"),
        (wgtorch::pow(2, &a), "PowBackward2"),
        (-&a, "NegBackward0"),
        (a.exp(), "ExpBackward0"),
        (a.log(), "LogBackward0"),
        (a.relu(), "ReluBackward0"),
        (a.sigmoid(), "SigmoidBackward0"),
        (a.tanh(), "TanhBackward0"),
        (a.sqrt(), "SqrtBackward0"),
        (a.abs(), "AbsBackward0"),
        (a.clamp(0, 1), "ClampBackward1"),
        (where_cond(&a.gt(0), &a, &b), "WhereBackward0"),
        (a.clamp_min(0), "ClampMinBackward0"),
        (a.leaky_relu(), "LeakyReluBackward0"),
        (a.gelu(), "GeluBackward0"),
        (a.log1p(), "Log1PBackward0"),
    ] {
        assert_eq!(t.grad_fn().unwrap().name(), name);
    }
}

#[test]
fn equality_and_closeness() -> wgtorch::Result<()> {
    let nan = f64::NAN;
    assert!(tensor!([1., 2.]).equal(&tensor!([1., 2.]))?);
    assert!(!tensor!([1., 2.]).equal(&tensor!([[1., 2.]]))?);
    assert!(!tensor!([nan]).equal(&tensor!([nan]))?);
    assert!(zeros([0], ()).equal(&zeros([0], ()))?);
    assert!(tensor!([1., 1e10]).allclose(&tensor!([1. + 1e-6, 1e10 + 1e4]))?);
    assert!(!tensor!([1.]).allclose(&tensor!([1.1]))?);
    assert!(!tensor!([nan]).allclose(&tensor!([nan]))?);
    assert!(tensor!([nan]).allclose_with(&tensor!([nan]), wgtorch::IscloseOptions::new().equal_nan(true))?);
    let inf = f64::INFINITY;
    assert_eq!(tensor!([inf, -inf, 1.]).isclose(&tensor!([inf, inf, inf])).to_vec::<bool>()?, [true, false, false]);
    assert_eq!(tensor!([10, 12]).isclose_with(&tensor!([11, 10]), (0.0, 1.0)).to_vec::<bool>()?, [true, false]);
    assert!(tensor!([1.]).checked().isclose(&tensor!([1])).is_err());
    Ok(())
}
