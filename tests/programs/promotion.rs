//! Group `type-promotion`: which dtype results have.

use crate::harness::{Got, Program, attempt};
use crate::{list, programs};
use wgtorch::prelude::*;
use wgtorch::{cat, eye, floor_divide, linspace, pow, where_cond};

/// PyTorch's order.
const DTYPES: [DType; 12] = [Bool, U8, I8, I16, I32, I64, F16, BF16, F32, F64, C64, C128];

/// A half that meets a complex number: complex32 in PyTorch, or an error.
fn no_complex32(a: DType, complex: bool) -> bool {
    complex && matches!(a, F16 | BF16)
}

/// The dtype's name, or "error".
fn outcome(f: impl FnOnce() -> Tensor) -> Got {
    attempt(f).map_or("error".into(), |t| t.dtype().into())
}

fn names() -> Got {
    Got::List(DTYPES.iter().map(|d| Got::from(*d)).collect())
}

/// A row or column of the table.
fn each(f: impl Fn(DType) -> Got) -> Got {
    Got::List(DTYPES.iter().map(|d| f(*d)).collect())
}

fn table(p: &mut Program, label: &str, f: impl Fn(DType, DType) -> Tensor) {
    p.emit(label, each(|a| each(|b| outcome(|| f(a, b)))));
}

fn form(t: Tensor) -> Got {
    list![t.dtype(), t.shape()]
}

type Binary<'a> = (&'a str, fn(&Tensor, &Tensor) -> Tensor);
type Unary<'a> = (&'a str, fn(&Tensor) -> Tensor);

programs! {
    promote_tensor_tensor "promote-tensor-tensor" |p, d| {
        let ops: [Binary; 14] = [
            ("add", |a, b| a.add(b)),
            ("sub", |a, b| a.sub(b)),
            ("mul", |a, b| a.mul(b)),
            ("div", |a, b| a.div(b)),
            ("floor_divide", |a, b| a.floor_divide(b)),
            ("remainder", |a, b| a.remainder(b)),
            ("pow", |a, b| a.pow(b)),
            ("maximum", |a, b| a.maximum(b)),
            ("eq", |a, b| a.eq(b)),
            ("bitwise_and", |a, b| a.bitwise_and(b)),
            ("atan2", |a, b| a.atan2(b)),
            ("logical_and", |a, b| a.logical_and(b)),
            ("where", |a, b| where_cond(&tensor!([true], a.device()), a, b)),
            ("cat", |a, b| cat(&[a, b], 0)),
        ];
        p.emit("dtypes", names());
        for (name, op) in ops {
            table(p, name, |a, b| op(&ones(1, (a, d)), &ones(1, (b, d))));
        }
    }
    promote_zero_dim "promote-zero-dim" |p, d| {
        p.emit("dtypes", names());
        let halves = |a: DType, b: DType, t: Tensor| match no_complex32(a, b.is_complex()) {
            true => Got::Later("there is no complex32"),
            false => t.dtype().into(),
        };
        let add = |a, b| halves(a, b, ones(1, (a, d)) + ones((), (b, d)));
        let div = |a, b| halves(a, b, ones(1, (a, d)) / ones((), (b, d)));
        p.emit("add 1d 0d", each(|a| each(|b| add(a, b))));
        p.emit("div 1d 0d", each(|a| each(|b| div(a, b))));
        table(p, "add 0d 0d", |a, b| ones((), (a, d)) + ones((), (b, d)));
        p.emit("empty 1d", list![
            outcome(|| ones(0, (F32, d)) + ones(0, (F64, d))),
            outcome(|| ones(2, (I32, d)) * tensor!(1.5, d)),
        ]);
    }
    promote_scalar "promote-scalar" |p, d| {
        let scalars = [Scalar::Bool(true), Scalar::Int(2), Scalar::Float(2.5), Complex::new(0.0, 1.0).into()];
        let row = |name: &str, a: DType, f: &dyn Fn(Scalar) -> Tensor| {
            let cell = |s: &Scalar| match no_complex32(a, matches!(s, Scalar::Complex(_))) {
                true if !matches!(name, "floor_divide" | "eq") => Got::Later("there is no complex32"),
                _ => outcome(|| f(*s)),
            };
            Got::List(scalars.iter().map(cell).collect())
        };
        type Forms<'a> = (&'a str, fn(&Tensor, Scalar) -> Tensor, &'a dyn Fn(Scalar, &Tensor) -> Tensor);
        let ops: [Forms; 7] = [
            ("add", |x, s| x + s, &|s, x| s + x),
            ("mul", |x, s| x * s, &|s, x| s * x),
            ("sub", |x, s| x - s, &|s, x| s - x),
            ("div", |x, s| x / s, &|s, x| s / x),
            ("pow", |x, s| x.pow(s), &|s, x| pow(s, x)),
            // what Python's `number // tensor` does
            ("floor_divide", |x, s| x.floor_divide(s), &|s, x| floor_divide(s, x)),
            ("eq", |x, s| x.eq(s), &|s, x| x.eq(s)),
        ];
        for (name, op, reflected) in ops {
            p.emit(name, each(|a| row(name, a, &|s| op(&ones(1, (a, d)), s))));
            p.emit(&format!("r{name}"), each(|a| row(name, a, &|s| reflected(s, &ones(1, (a, d))))));
        }
        p.later("default float64", "there is no set_default_dtype");
    }
    promote_unary_reduce "promote-unary-reduce" |p, d| {
        let ops: [Unary; 38] = [
            ("neg", |x| x.neg()),
            ("abs", |x| x.abs()),
            ("sqrt", |x| x.sqrt()),
            ("exp", |x| x.exp()),
            ("sin", |x| x.sin()),
            ("sigmoid", |x| x.sigmoid()),
            ("reciprocal", |x| x.reciprocal()),
            ("square", |x| x.square()),
            ("floor", |x| x.floor()),
            ("round", |x| x.round()),
            ("sign", |x| x.sign()),
            ("isnan", |x| x.isnan()),
            ("logical_not", |x| x.logical_not()),
            ("bitwise_not", |x| x.bitwise_not()),
            ("sum", |x| x.sum()),
            ("prod", |x| x.prod()),
            ("mean", |x| x.mean()),
            ("std", |x| x.std()),
            ("amax", |x| x.amax((), false)),
            ("cumsum", |x| x.cumsum(0, ())),
            ("cumprod", |x| x.cumprod(0, ())),
            ("any", |x| x.any()),
            ("all", |x| x.all()),
            ("argmax", |x| x.argmax()),
            ("norm", |x| x.norm(2)),
            ("softmax", |x| x.softmax(0, ())),
            ("median", |x| x.median()),
            ("count_nonzero", |x| x.count_nonzero()),
            ("var", |x| x.var()),
            ("logsumexp", |x| x.logsumexp(0, false)),
            ("nansum", |x| x.nansum()),
            ("relu", |x| x.relu()),
            ("gelu", |x| x.gelu()),
            ("tanh", |x| x.tanh()),
            ("log", |x| x.log()),
            ("clamp_int", |x| x.clamp(0, 1)),
            ("clamp_float", |x| x.clamp(0.5, 1.5)),
            ("matmul", |x| x.matmul(x)),
        ];
        p.emit("dtypes", names());
        for (name, op) in ops {
            p.emit(name, each(|a| outcome(|| op(&ones(2, (a, d))))));
        }
    }
    tensor_constructor_dtypes "tensor-constructor-dtypes" |p, d| {
        let none: [f64; 0] = [];
        p.emit("inferred", list![
            form(tensor!([1, 2], d)),
            Got::Later("Rust's arrays hold one type"),
            form(tensor!([true], d)),
            Got::Later("Rust's arrays hold one type"),
            Got::Later("Rust's arrays hold one type"),
            Got::Later("Rust's arrays hold one type"),
            form(tensor!(none, d)),
            form(tensor!([none], d)),
            form(tensor!([none, none], d)),
            form(tensor!(3, d)),
            form(tensor!(3., d)),
            form(tensor!(true, d)),
            form(tensor!([[1], [2]], d)),
            form(tensor!([[[1.]]], d)),
        ]);
        p.raises_saying("ragged", "expected sequence of length 2", || tensor!(vec![vec![1, 2], vec![3]], d));
        p.later("mixed depth", "Rust's arrays hold one type");
        p.emit("factories", list![
            form(arange(3, d)), form(arange(3., d)), form(arange((0., 1., 0.5), d)), form(full(1, 1, d)), form(full(1, 1., d)),
            form(full(1, true, d)), form(linspace(0, 1, 2, d)), form(zeros(1, d)), form(eye(2, None, d)),
            form(tensor!(1i64 << 40, d)), form(ones(2, (I8, d)).sum()), form(empty([2, 0, 3], d)),
        ]);
        p.emit("big int", tensor!([(1i64 << 53) + 1, i64::MIN], d));
        p.later("too big", "an i64 of Rust cannot be too big");
        p.raises("uint8 overflow", || tensor!([256], (U8, d)));
        p.raises("uint8 negative ok", || tensor!([-1], (U8, d)));
        p.emit("float to int", tensor!([1.9, -1.9], (I64, d)));
        p.later("default float64", "there is no set_default_dtype");
    }
}
