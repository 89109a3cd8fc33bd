//! Every elementwise op: has each row its op, and is each derivative what dual numbers say of the row's own formula?

use super::*;
use crate::DType;
use crate::Scalar;
use crate::autograd::{GradOptions, grad};
use crate::num::dual::Dual;
use crate::num::{all_rows, dual_of};
use crate::tensor::Rule;
use std::collections::BTreeSet;

fn all_ops() -> impl Iterator<Item = &'static Elementwise> {
    let parts: [&[&'static Elementwise]; 9] = [
        activation::ALL,
        arith::ALL,
        backward::ALL,
        bits::ALL,
        clamp::ALL,
        compare::ALL,
        math::ALL,
        power::ALL,
        round::ALL,
    ];
    parts.concat().into_iter().chain(special::ALL.iter().copied())
}

#[test]
fn every_row_has_its_op() {
    let used: BTreeSet<&str> = all_ops().map(|o| o.row.name).collect();
    let missing: Vec<&str> = all_rows().iter().map(|r| r.name).filter(|n| !used.contains(n)).collect();
    assert!(missing.is_empty(), "rows without an op: {missing:?}");
}

/// Which operands are numbers, in this op (bit i for operand i); the others are tensors.
fn numbers(op: &Elementwise) -> u8 {
    match (op.row.name, op.node) {
        ("leaky_relu", "PreluKernelBackward0") | ("clamp", "ClampBackward0") | ("lerp", "LerpBackward1") => 0,
        ("lerp", _) => 0b100,
        ("addcmul" | "addcdiv", "AddBackward0" | "SubBackward0") => 0b1100,
        ("addcmul" | "addcdiv", _) => 0b1000,
        ("pow", "PowBackward0") => 0b10,
        ("pow", "PowBackward2") => 0b01,
        ("elu" | "softplus" | "hardtanh" | "threshold" | "clamp" | "celu" | "leaky_relu" | "nan_to_num", _) => 0b1110,
        ("hardshrink" | "softshrink", _) => 0b10,
        ("logit_eps" | "polygamma", _) => 0b110,
        ("zeta", _) => 0b001,
        ("clamp_min" | "clamp_max", "ClampBackward1" | "ClampMinBackward0" | "ClampMaxBackward0") => 0b10,
        ("pow_backward" | "pow_backward_exponent", _) => 0,
        (name, _) if name.ends_with("_backward") => 0b1100,
        _ => 0,
    }
}

/// An operand's interval.
fn domain(op: &Elementwise, i: usize) -> (f64, f64) {
    match (op.row.name, i) {
        ("addcmul", 2) if op.node != "AddcmulBackward0" => (1.0, 1.0 + 1e-12),
        ("asin" | "acos" | "atanh" | "erfinv", _) => (-0.9, 0.9),
        ("acosh", _) => (1.2, 3.0),
        ("ndtri", _) => (0.02, 0.98),
        ("zeta", 0) | ("polygamma", 1) => (2.2, 4.5),
        ("logit", _) | ("logit_backward", 1) | ("logit_eps", 0) => (0.1, 0.9),
        ("logit_eps", 1) => (0.2, 0.3),
        ("logit_eps", 2) => (0.7, 0.8),
        ("elu_backward" | "softplus_backward" | "celu_backward", 2..) => (0.5, 1.5),
        ("hardtanh_backward", 2) | ("hardtanh" | "clamp", 1) => (-0.8, -0.2),
        ("hardtanh_backward", 3) | ("hardtanh" | "clamp", 2) => (0.2, 0.8),
        (
            "sqrt" | "rsqrt" | "log" | "log2" | "log10" | "log1p" | "lgamma" | "digamma" | "entr" | "trigamma"
            | "tetragamma" | "zeta" | "polygamma",
            _,
        )
        | ("reciprocal" | "pow" | "pow_backward_exponent", _)
        | ("xlogy" | "xlog1py" | "div" | "hypot" | "atan2" | "copysign", 1)
        | ("addcdiv", 2)
        | ("elu" | "celu" | "softplus", 1..)
        | ("shrink_backward", 2)
        | ("hardshrink" | "softshrink", 1)
        | ("sqrt_backward" | "rsqrt_backward" | "reciprocal_backward" | "pow_backward", 1..) => (0.3, 1.8),
        ("remainder" | "fmod" | "floor_divide" | "div_trunc", 0) => (2.1, 2.7),
        ("remainder" | "fmod" | "floor_divide" | "div_trunc", 1) => (1.1, 1.3),
        _ => (-1.9, 1.9),
    }
}

struct Draw(u64);

impl Draw {
    fn of(&mut self, (lo, hi): (f64, f64)) -> f64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        lo + (hi - lo) * ((self.0 >> 11) as f64 / (1u64 << 53) as f64)
    }
}

fn run(op: &'static Elementwise, x: &[f64]) -> (Tensor, Vec<Option<Tensor>>) {
    let bits = numbers(op);
    let tensors: Vec<Option<Tensor>> = (0..x.len())
        .map(|i| {
            (bits >> i & 1 == 0).then(|| Tensor::constant(x[i].into(), &[1], DType::F64, Default::default()).copy())
        })
        .collect();
    for t in tensors.iter().flatten() {
        t.requires_grad_(true);
    }
    let ins: Vec<In> = tensors
        .iter()
        .zip(x)
        .map(|(t, x)| match t {
            Some(t) => In::T(t),
            None => In::S(Scalar::Float(*x)),
        })
        .collect();
    (elementwise(op, &ins).unwrap_or_else(|e| panic!("{}: {e}", op.row.name)), tensors)
}

fn differentiable(op: &Elementwise) -> bool {
    !["NotDifferentiable", "NotImplemented"].contains(&op.node)
        && !matches!(op.rule, Rule::Where | Rule::Compare | Rule::Logical | Rule::Bitwise | Rule::Int)
}

#[test]
fn derivatives_are_those_of_the_formulas() {
    let mut draw = Draw(7);
    let mut checked = 0;
    for op in all_ops().filter(|o| differentiable(o)) {
        let Some(dual) = dual_of(op.row) else { continue };
        for _ in 0..20 {
            let x: Vec<f64> = (0..op.row.arity).map(|i| draw.of(domain(op, i))).collect();
            let (y, tensors) = run(op, &x);
            let seed = Tensor::constant(1.into(), &[1], DType::F64, Default::default());
            y.backward_with(Some(&seed), ());
            for (i, t) in tensors.iter().enumerate() {
                let Some(t) = t else { continue };
                let at: Vec<Dual> =
                    x.iter().enumerate().map(|(k, v)| Dual { v: *v, d: (k == i) as u8 as f64 }).collect();
                let expected = dual(&at).d;
                let got = t.grad().map_or(0.0, |g| g.item::<f64>().expect("one element"));
                assert!(
                    (got - expected).abs() <= 1e-11 * (1.0 + expected.abs()),
                    "{} ({}): derivative by operand {i} at {x:?} is {got}, its formula's is {expected}",
                    op.row.name,
                    op.node
                );
                checked += 1;
            }
        }
    }
    assert!(checked > 2000, "{checked}");
}

/// The gradient of a gradient against a difference quotient of dual numbers, for the fused derivatives too.
#[test]
fn second_derivatives_are_those_of_the_formulas() {
    let mut draw = Draw(8);
    for op in all_ops().filter(|o| differentiable(o)) {
        let Some(dual) = dual_of(op.row) else { continue };
        for _ in 0..5 {
            let x: Vec<f64> = (0..op.row.arity).map(|i| draw.of(domain(op, i))).collect();
            let (y, tensors) = run(op, &x);
            for (i, t) in tensors.iter().enumerate() {
                let Some(t) = t else { continue };
                let seed = Tensor::constant(1.into(), &[1], DType::F64, Default::default());
                let options = GradOptions::new().create_graph(true).retain_graph(true);
                let first =
                    grad(&[&y], &[t], &[Some(&seed)], options).unwrap_or_else(|e| panic!("{}: {e}", op.row.name));
                let Some(first) = first.into_iter().next().flatten() else { continue };
                for (k, u) in tensors.iter().enumerate() {
                    let Some(u) = u else { continue };
                    let got = if first.requires_grad() {
                        let options = GradOptions::new().allow_unused(true).retain_graph(true);
                        let g = grad(&[&first], &[u], &[Some(&seed)], options)
                            .unwrap_or_else(|e| panic!("{}: {e}", op.row.name));
                        g[0].as_ref().map_or(0.0, |g| g.item::<f64>().expect("one element"))
                    } else {
                        0.0
                    };
                    let h = 1e-5;
                    let at = |d: f64| {
                        let x = x
                            .iter()
                            .enumerate()
                            .map(|(j, v)| Dual { v: v + if j == k { d } else { 0.0 }, d: (j == i) as u8 as f64 });
                        dual(&x.collect::<Vec<_>>()).d
                    };
                    let expected = (at(h) - at(-h)) / (2.0 * h);
                    // a kink inside the quotient says nothing
                    if (at(h) - 2.0 * at(0.0) + at(-h)).abs() > 1e-6 * (1.0 + at(0.0).abs()) {
                        continue;
                    }
                    assert!(
                        (got - expected).abs() <= 1e-5 * (1.0 + expected.abs()),
                        "{} ({}): second derivative by operands {i}, {k} at {x:?} is {got}, its formula's is {expected}",
                        op.row.name,
                        op.node
                    );
                }
            }
        }
    }
}
