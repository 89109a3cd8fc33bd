//! The kinds of reduction as WGSL: an accumulator's type, its start, how it takes an element, how two join, what it gives.

use super::elements::wgsl_type;
use crate::dtype::DType;
use crate::dtype::DType::*;

/// A reduction's kind. Sums and products of bools and integers are int64; floats accumulate in f32 (f64 in f64).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ReduceKind {
    /// The sum; 0 of nothing.
    Sum,
    /// The product; 1 of nothing.
    Prod,
    /// The largest element, or NaN if there is one.
    Max,
    /// The smallest element, or NaN if there is one.
    Min,
    /// The int64 index of the first largest element (of the first NaN if there is one), row-major over the reduced dims.
    ArgMax,
    /// The index of the first smallest element, likewise.
    ArgMin,
    /// Two outputs: `Max` and `ArgMax`.
    MaxIndex,
    /// Two outputs: `Min` and `ArgMin`.
    MinIndex,
    /// Whether any element is not zero (NaN is not zero).
    Any,
    /// Whether no element is zero.
    All,
    /// The variance, and where a second output is given the mean; divided by `n - correction`.
    Var {
        /// PyTorch's `correction`: 1 for Bessel's, 0 for none.
        correction: f64,
    },
}

use ReduceKind::*;

impl ReduceKind {
    /// The part of a kernel's key.
    pub(super) fn code(self) -> &'static str {
        match self {
            Sum => "sum",
            Prod => "prod",
            Max => "max",
            Min => "min",
            ArgMax => "argmax",
            ArgMin => "argmin",
            MaxIndex => "maxi",
            MinIndex => "mini",
            Any => "any",
            All => "all",
            Var { .. } => "var",
        }
    }

    /// The dtype of each output for elements of a dtype; None where the kind has no meaning for it. Where it is a float of
    /// 32 bits or less, the output may be any of those.
    pub fn outputs(self, d: DType) -> Option<Vec<DType>> {
        let whole = !d.is_float();
        Some(match self {
            Sum | Prod => vec![if whole { I64 } else { d }],
            Max | Min => vec![d],
            ArgMax | ArgMin => vec![I64],
            MaxIndex | MinIndex => vec![d, I64],
            Any | All => vec![Bool],
            Var { .. } if whole => return None,
            Var { .. } => vec![d, d],
        })
    }
}

/// The declarations of a fold, and the expressions of its outputs in terms of `acc`.
pub(super) struct Fold {
    pub text: String,
    pub outputs: Vec<String>,
    /// Bytes of an accumulator in a buffer.
    pub bytes: u64,
}

/// The fold of a kind over elements of a dtype (`T` its compute type). `P` holds `ninf` (the bits of minus infinity) and for
/// variances `dof`, `inf` and `nan`: WGSL has no such literals.
pub(super) fn fold(kind: ReduceKind, d: DType) -> Fold {
    let t = wgsl_type(d);
    let (mut outputs, mut bytes) = (vec!["acc".to_owned()], 8);
    let text = match kind {
        Sum | Prod if d.is_float() => {
            let (start, op) = if kind == Sum { ("0.0", "+") } else { ("1.0", "*") };
            format!(
                "alias WtAcc = {t};
fn wt_start() -> WtAcc {{ return {t}({start}); }}
fn wt_take(acc: WtAcc, x: {t}, i: u32) -> WtAcc {{ return acc {op} x; }}
fn wt_join(a: WtAcc, b: WtAcc) -> WtAcc {{ return a {op} b; }}
"
            )
        }
        Sum | Prod => {
            let (start, op) = if kind == Sum { ("0u", "wt_add64") } else { ("1u", "wt_mul64") };
            let wide = match d {
                Bool => "vec2<u32>(select(0u, 1u, x), 0u)",
                U32 => "vec2<u32>(x, 0u)",
                I64 => "x",
                _ => "vec2<u32>(bitcast<u32>(x), bitcast<u32>(x >> 31u))",
            };
            format!(
                "alias WtAcc = vec2<u32>;
fn wt_start() -> WtAcc {{ return vec2<u32>({start}, 0u); }}
fn wt_take(acc: WtAcc, x: {t}, i: u32) -> WtAcc {{ return {op}(acc, {wide}); }}
fn wt_join(a: WtAcc, b: WtAcc) -> WtAcc {{ return {op}(a, b); }}
"
            )
        }
        Max | Min | ArgMax | ArgMin | MaxIndex | MinIndex => {
            let max = matches!(kind, Max | ArgMax | MaxIndex);
            // bools compare as numbers
            let v = if d == Bool { "u32" } else { t };
            let value = if d == Bool { "select(0u, 1u, x)" } else { "x" };
            let nan = |x: &str| match d {
                F16 | BF16 | F32 => format!("wt_nan({x})"),
                // a compiler may take a comparison with itself for true
                F64 => format!("wt_nan(f32({x}))"),
                _ => "false".to_owned(),
            };
            let (a, b) = if max { ("a", "b") } else { ("b", "a") };
            let less = if d == I64 { format!("wt_less64({a}, {b})") } else { format!("({a} < {b})") };
            let start = match (d, max) {
                (F16 | BF16 | F32, true) => "bitcast<f32>(P.ninf)",
                (F16 | BF16 | F32, false) => "-bitcast<f32>(P.ninf)",
                (F64, true) => "f64(bitcast<f32>(P.ninf))",
                (F64, false) => "-f64(bitcast<f32>(P.ninf))",
                (Bool | U32, true) => "0u",
                (Bool | U32, false) => "0xffffffffu",
                (I64, true) => "vec2<u32>(0u, 0x80000000u)",
                (I64, false) => "vec2<u32>(0xffffffffu, 0x7fffffffu)",
                (_, true) => "bitcast<i32>(0x80000000u)",
                (_, false) => "0x7fffffffi",
            };
            let (nan_a, nan_b) = (nan("a"), nan("b"));
            let beats = format!("fn wt_beats(a: {v}, b: {v}) -> bool {{ return !{nan_a} && ({nan_b} || {less}); }}\n");
            let out = |x: &str| if d == Bool { format!("({x} != 0u)") } else { x.to_owned() };
            if matches!(kind, Max | Min) {
                outputs = vec![out("acc")];
                format!(
                    "{beats}alias WtAcc = {v};
fn wt_start() -> WtAcc {{ return {start}; }}
fn wt_join(a: WtAcc, b: WtAcc) -> WtAcc {{ if wt_beats(a, b) {{ return b; }} return a; }}
fn wt_take(acc: WtAcc, x: {t}, i: u32) -> WtAcc {{ return wt_join(acc, {value}); }}
"
                )
            } else {
                bytes = 16;
                let index = "vec2<u32>(acc.i, 0u)".to_owned();
                outputs = if matches!(kind, ArgMax | ArgMin) { vec![index] } else { vec![out("acc.v"), index] };
                format!(
                    "{beats}struct WtAcc {{ v: {v}, i: u32 }}
fn wt_start() -> WtAcc {{ return WtAcc({start}, 0xffffffffu); }}
fn wt_join(a: WtAcc, b: WtAcc) -> WtAcc {{
    if wt_beats(a.v, b.v) || (b.i < a.i && !wt_beats(b.v, a.v)) {{ return b; }}
    return a;
}}
fn wt_take(acc: WtAcc, x: {t}, i: u32) -> WtAcc {{ return wt_join(acc, WtAcc({value}, i)); }}
"
                )
            }
        }
        Any | All => {
            let truth = match d {
                Bool => "x",
                I64 => "(x.x | x.y) != 0u",
                U32 => "x != 0u",
                // by bits: NaN is true
                F16 | BF16 | F32 => "(bitcast<u32>(x) & 0x7fffffffu) != 0u",
                F64 => "!(x == f64(0.0))",
                _ => "x != 0i",
            };
            let (start, op) = if kind == Any { ("0u", "|") } else { ("1u", "&") };
            outputs = vec!["(acc != 0u)".into()];
            format!(
                "alias WtAcc = u32;
fn wt_start() -> WtAcc {{ return {start}; }}
fn wt_take(acc: WtAcc, x: {t}, i: u32) -> WtAcc {{ return acc {op} select(0u, 1u, {truth}); }}
fn wt_join(a: WtAcc, b: WtAcc) -> WtAcc {{ return a {op} b; }}
"
            )
        }
        // Welford's update, and Chan's to join two parts, of the distances from a part's first element: the mean of 1e8 - 8 and
        // 1e8 is no f32, and what is lost of it cannot be carried along, since drivers simplify (a + b) - a
        Var { .. } => {
            bytes = if d == F64 { 32 } else { 16 };
            outputs = vec![
                "wt_variance(acc)".into(),
                format!("select(acc.base + acc.mean, {t}(bitcast<f32>(P.nan)), acc.n == 0u)"),
            ];
            let dof =
                if d == F64 { "f64(bitcast<f32>(P.dof)) + f64(bitcast<f32>(P.rest))" } else { "bitcast<f32>(P.dof)" };
            format!(
                "struct WtAcc {{ n: u32, base: {t}, mean: {t}, m2: {t} }}
fn wt_start() -> WtAcc {{ return WtAcc(0u, {t}(0.0), {t}(0.0), {t}(0.0)); }}
fn wt_take(acc: WtAcc, x: {t}, i: u32) -> WtAcc {{
    let n = acc.n + 1u;
    let base = select(acc.base, x, acc.n == 0u);
    let y = x - base;
    let d = y - acc.mean;
    let mean = acc.mean + d / {t}(n);
    return WtAcc(n, base, mean, acc.m2 + d * (y - mean));
}}
fn wt_join(a: WtAcc, b: WtAcc) -> WtAcc {{
    let n = a.n + b.n;
    let base = select(a.base, b.base, a.n == 0u);
    let d = select((b.base - base) + (b.mean - a.mean), {t}(0.0), b.n == 0u);
    let part = {t}(b.n) / {t}(max(n, 1u));
    return WtAcc(n, base, a.mean + d * part, a.m2 + b.m2 + d * d * {t}(a.n) * part);
}}
fn wt_variance(acc: WtAcc) -> {t} {{
    let dof = {dof};
    if dof > {t}(0.0) {{ return acc.m2 / dof; }}
    return {t}(bitcast<f32>(select(P.inf, P.nan, acc.m2 == {t}(0.0))));
}}
"
            )
        }
    };
    Fold { text, outputs, bytes }
}
