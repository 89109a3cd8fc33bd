//! Elementwise ops: gradients of first and second order against finite differences, fused against eager, every layout,
//! in place against out of place, CPU against GPU.

mod common;

use common::devices;
use wgtorch::autograd::{GradOptions, grad};
use wgtorch::prelude::*;
use wgtorch::{Approximate, Operand, RoundingMode, stream, where_cond};

/// A small generator of its own, so that these tests depend on no other part.
struct Draw(u64);

impl Draw {
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Numbers of an interval, none within 0.05 of a kink.
    fn numbers(&mut self, n: usize, domain: (f64, f64), kinks: &[f64]) -> Vec<f64> {
        let mut out = Vec::new();
        while out.len() < n {
            let x = domain.0 + (domain.1 - domain.0) * self.unit();
            if kinks.iter().all(|k| (x - k).abs() > 0.05) {
                out.push(x);
            }
        }
        out
    }
}

type Fun = fn(&[Tensor]) -> Tensor;

/// A function of tensors, an interval for each, the points where it has no derivative, and whether a second one exists.
struct Case {
    name: &'static str,
    domains: &'static [(f64, f64)],
    kinks: &'static [f64],
    smooth: bool,
    f: Fun,
}

const ANY: (f64, f64) = (-2.0, 2.0);
const POSITIVE: (f64, f64) = (0.2, 3.0);

macro_rules! cases {
    ($($name:literal $domains:expr, $kinks:expr, $smooth:ident, |$x:ident| $f:expr;)*) => {
        &[$(Case { name: $name, domains: &$domains, kinks: &$kinks, smooth: $smooth, f: |$x| $f },)*]
    };
}

const CASES: &[Case] = cases! {
    "add" [ANY, ANY], [], true, |x| &x[0] + &x[1];
    "add_with" [ANY, ANY], [], true, |x| x[0].add_with(&x[1], -1.5);
    "sub" [ANY, ANY], [], true, |x| &x[0] - &x[1];
    "sub_with" [ANY, ANY], [], true, |x| x[0].sub_with(&x[1], 2.5);
    "rsub" [ANY], [], true, |x| x[0].rsub(3.0) + x[0].rsub_with(1.0, 2.0);
    "number - tensor" [ANY], [], true, |x| 2.0 - &x[0];
    "mul" [ANY, ANY], [], true, |x| &x[0] * &x[1];
    "number * tensor" [ANY], [], true, |x| 2.5 * &x[0];
    "div" [ANY, POSITIVE], [], true, |x| &x[0] / &x[1];
    "number / tensor" [POSITIVE], [], true, |x| 2.0 / &x[0];
    "div floor" [(0.1, 0.9), (1.1, 1.9)], [], false, |x| x[0].div_with(&x[1], RoundingMode::Floor);
    "remainder" [(2.1, 2.9), (1.1, 1.4)], [], false, |x| &x[0] % &x[1];
    "fmod" [(-2.9, -2.3), (1.1, 1.14)], [], false, |x| x[0].fmod(&x[1]);
    "neg" [ANY], [], true, |x| -&x[0];
    "abs" [ANY], [0.0], false, |x| x[0].abs();
    "sign" [ANY], [0.0], false, |x| x[0].sign();
    "addcmul" [ANY, ANY, ANY], [], true, |x| x[0].addcmul_with(&x[1], &x[2], 0.7);
    "addcdiv" [ANY, ANY, POSITIVE], [], true, |x| x[0].addcdiv_with(&x[1], &x[2], 0.7);
    "lerp number" [ANY, ANY], [], true, |x| x[0].lerp(&x[1], 0.3);
    "lerp tensor" [ANY, ANY, ANY], [], true, |x| x[0].lerp(&x[1], &x[2]);
    "sqrt" [POSITIVE], [], true, |x| x[0].sqrt();
    "rsqrt" [POSITIVE], [], true, |x| x[0].rsqrt();
    "reciprocal" [POSITIVE], [], true, |x| x[0].reciprocal();
    "square" [ANY], [], true, |x| x[0].square();
    "pow 2" [ANY], [], true, |x| x[0].pow(2);
    "pow 3" [ANY], [], true, |x| x[0].pow(3);
    "pow 0.5" [POSITIVE], [], true, |x| x[0].pow(0.5);
    "pow -0.5" [POSITIVE], [], true, |x| x[0].pow(-0.5);
    "pow -1" [POSITIVE], [], true, |x| x[0].pow(-1.0);
    "pow 1.7" [POSITIVE], [], true, |x| x[0].pow(1.7);
    "pow tensor" [POSITIVE, ANY], [], true, |x| x[0].pow(&x[1]);
    "number pow tensor" [ANY], [], true, |x| wgtorch::pow(1.7, &x[0]);
    "float_power" [POSITIVE, ANY], [], true, |x| x[0].float_power(&x[1]);
    "ldexp" [ANY, ANY], [], true, |x| x[0].ldexp(&x[1]);
    "exp" [ANY], [], true, |x| x[0].exp();
    "exp2" [ANY], [], true, |x| x[0].exp2();
    "expm1" [ANY], [], true, |x| x[0].expm1();
    "log" [POSITIVE], [], true, |x| x[0].log();
    "log2" [POSITIVE], [], true, |x| x[0].log2();
    "log10" [POSITIVE], [], true, |x| x[0].log10();
    "log1p" [POSITIVE], [], true, |x| x[0].log1p();
    "sin" [ANY], [], true, |x| x[0].sin();
    "cos" [ANY], [], true, |x| x[0].cos();
    "tan" [(-1.2, 1.2)], [], true, |x| x[0].tan();
    "asin" [(-0.9, 0.9)], [], true, |x| x[0].asin();
    "acos" [(-0.9, 0.9)], [], true, |x| x[0].acos();
    "atan" [ANY], [], true, |x| x[0].atan();
    "sinh" [ANY], [], true, |x| x[0].sinh();
    "cosh" [ANY], [], true, |x| x[0].cosh();
    "tanh" [ANY], [], true, |x| x[0].tanh();
    "asinh" [ANY], [], true, |x| x[0].asinh();
    "acosh" [(1.2, 3.0)], [], true, |x| x[0].acosh();
    "atanh" [(-0.9, 0.9)], [], true, |x| x[0].atanh();
    "erf" [ANY], [], true, |x| x[0].erf();
    "erfc" [ANY], [], true, |x| x[0].erfc();
    "erfinv" [(-0.9, 0.9)], [], true, |x| x[0].erfinv();
    "ndtr" [ANY], [], true, |x| x[0].ndtr();
    "lgamma" [POSITIVE], [], true, |x| x[0].lgamma();
    "digamma" [POSITIVE], [], false, |x| x[0].digamma();
    "i0" [ANY], [], true, |x| x[0].i0();
    "i0e" [POSITIVE], [], true, |x| x[0].i0e();
    "i1" [(-9.0, 9.0)], [0.0], true, |x| x[0].i1();
    "i1e" [(-9.0, 9.0)], [0.0], true, |x| x[0].i1e();
    "sinc" [(0.2, 1.8)], [], true, |x| x[0].sinc();
    "sigmoid" [ANY], [], true, |x| x[0].sigmoid();
    "logit" [(0.1, 0.9)], [], true, |x| x[0].logit();
    "logit eps" [(-0.5, 1.5)], [0.2, 0.8], false, |x| x[0].logit_with(0.2);
    "entr" [POSITIVE], [], true, |x| x[0].entr();
    "deg2rad" [ANY], [], true, |x| x[0].deg2rad();
    "rad2deg" [ANY], [], true, |x| x[0].rad2deg();
    "atan2" [ANY, POSITIVE], [], true, |x| x[0].atan2(&x[1]);
    "hypot" [ANY, POSITIVE], [], true, |x| x[0].hypot(&x[1]);
    "nan_to_num" [ANY], [], false, |x| x[0].nan_to_num();
    "logaddexp" [ANY, ANY], [], true, |x| x[0].logaddexp(&x[1]);
    "logaddexp2" [ANY, ANY], [], true, |x| x[0].logaddexp2(&x[1]);
    "xlogy" [ANY, POSITIVE], [0.0], true, |x| x[0].xlogy(&x[1]);
    "xlog1py" [ANY, POSITIVE], [0.0], true, |x| x[0].xlog1py(&x[1]);
    "floor" [(0.1, 0.9)], [], false, |x| x[0].floor();
    "ceil" [(0.1, 0.9)], [], false, |x| x[0].ceil();
    "round" [(0.1, 0.4)], [], false, |x| x[0].round();
    "trunc" [(0.1, 0.9)], [], false, |x| x[0].trunc();
    "frac" [(0.1, 0.9)], [], false, |x| x[0].frac();
    "copysign" [ANY, ANY], [0.0], false, |x| x[0].copysign(&x[1]);
    "copysign number" [ANY], [0.0], false, |x| x[0].copysign(-1.0);
    "maximum" [(-2.0, 0.0), (-1.0, 1.0)], [-0.5], false, |x| x[0].maximum(&x[1]);
    "minimum" [(-2.0, 0.0), (-1.0, 1.0)], [-0.5], false, |x| x[0].minimum(&x[1]);
    "fmax" [(-2.0, 0.0), (-1.0, 1.0)], [-0.5], false, |x| x[0].fmax(&x[1]);
    "fmin" [(-2.0, 0.0), (-1.0, 1.0)], [-0.5], false, |x| x[0].fmin(&x[1]);
    "clamp" [ANY], [-0.5, 0.7], false, |x| x[0].clamp(-0.5, 0.7);
    "clamp min" [ANY], [-0.5], false, |x| x[0].clamp(-0.5, ());
    "clamp tensors" [ANY, (-1.0, -0.9), (0.8, 0.9)], [], false, |x| x[0].clamp(&x[1], &x[2]);
    "clamp_min tensor" [ANY, (-1.0, -0.9)], [], false, |x| x[0].clamp_min(&x[1]);
    "clamp_max tensor" [ANY, (0.8, 0.9)], [], false, |x| x[0].clamp_max(&x[1]);
    "where" [ANY, ANY], [0.0], false, |x| where_cond(&x[0].detach().gt(0), &x[0], &x[1]);
    "where number" [ANY], [0.0], false, |x| x[0].where_cond(&x[0].detach().gt(0), 1.5);
    "relu" [ANY], [0.0], false, |x| x[0].relu();
    "relu6" [(-2.0, 8.0)], [0.0, 6.0], false, |x| x[0].relu6();
    "gelu" [ANY], [], true, |x| x[0].gelu();
    "gelu tanh" [ANY], [], true, |x| x[0].gelu_with(Approximate::Tanh);
    "silu" [ANY], [], true, |x| x[0].silu();
    "mish" [ANY], [], true, |x| x[0].mish();
    "elu" [ANY], [0.0], true, |x| x[0].elu_with(1.3);
    "celu" [ANY], [0.0], true, |x| x[0].celu_with(1.3);
    "selu" [ANY], [0.0], true, |x| x[0].selu();
    "leaky_relu" [ANY], [0.0], false, |x| x[0].leaky_relu_with(0.2);
    "prelu" [ANY, (0.1, 0.3)], [0.0], true, |x| x[0].prelu(&x[1].select(0, 0).select(0, 0));
    "softplus" [ANY], [0.5], true, |x| x[0].softplus_with((2.0, 1.0));
    "logsigmoid" [ANY], [], true, |x| x[0].logsigmoid();
    "hardtanh" [ANY], [-0.5, 0.7], false, |x| x[0].hardtanh_with((-0.5, 0.7));
    "hardswish" [(-4.0, 4.0)], [-3.0, 3.0], true, |x| x[0].hardswish();
    "hardsigmoid" [(-4.0, 4.0)], [-3.0, 3.0], false, |x| x[0].hardsigmoid();
    "softsign" [ANY], [0.0], true, |x| x[0].softsign();
    "tanhshrink" [ANY], [], true, |x| x[0].tanhshrink();
    "hardshrink" [ANY], [-0.5, 0.5], false, |x| x[0].hardshrink();
    "softshrink" [ANY], [-0.5, 0.5], false, |x| x[0].softshrink();
    "threshold" [ANY], [0.3], false, |x| x[0].threshold(0.3, -1.0);
    "glu" [ANY], [], true, |x| x[0].reshape([3, 2]).glu(-1);
    "angle" [ANY], [0.0], false, |x| x[0].angle();
};

fn f64s(t: &Tensor) -> Vec<f64> {
    t.to_vec::<f64>().unwrap()
}

fn leaf(values: &[f64], shape: &[usize]) -> Tensor {
    Tensor::from_vec(values.to_vec(), shape, F64).unwrap().requires_grad_(true)
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Compares the gradients of `f`, weighted by `seed`, with central differences.
fn check(name: &str, f: &dyn Fn(&[Tensor]) -> Tensor, points: &[Vec<f64>], shape: &[usize], draw: &mut Draw) {
    let leaves: Vec<Tensor> = points.iter().map(|p| leaf(p, shape)).collect();
    let y = f(&leaves);
    let seed = draw.numbers(y.numel(), (0.5, 1.5), &[]);
    let seed_t = Tensor::from_vec(seed.clone(), y.shape(), F64).unwrap();
    let refs: Vec<&Tensor> = leaves.iter().collect();
    let options = GradOptions::new().allow_unused(true);
    let grads = if y.requires_grad() {
        grad(&[&y], &refs, &[Some(&seed_t)], options).unwrap_or_else(|e| panic!("{name}: {e}"))
    } else {
        vec![None; refs.len()]
    };
    for (i, g) in grads.iter().enumerate() {
        let g = g.as_ref().map_or(vec![0.0; points[i].len()], f64s);
        for k in 0..points[i].len() {
            let h = 1e-5;
            let at = |d: f64| {
                let mut p = points.to_vec();
                p[i][k] += d;
                let leaves: Vec<Tensor> = p.iter().map(|p| leaf(p, shape)).collect();
                dot(&f64s(&f(&leaves)), &seed)
            };
            let expected = (at(h) - at(-h)) / (2.0 * h);
            assert!(
                (g[k] - expected).abs() <= 2e-6 * (1.0 + expected.abs()),
                "{name}: gradient of input {i} at {:?} is {}, finite differences give {expected}",
                points.iter().map(|p| p[k.min(p.len() - 1)]).collect::<Vec<_>>(),
                g[k]
            );
        }
    }
}

#[test]
fn gradients_are_finite_differences() {
    let mut draw = Draw(1);
    for c in CASES {
        for _ in 0..3 {
            let points: Vec<Vec<f64>> = c.domains.iter().map(|d| draw.numbers(6, *d, c.kinks)).collect();
            // two operands that are compared must not meet
            if points.len() == 2 && points[0].iter().zip(&points[1]).any(|(a, b)| (a - b).abs() < 0.01) {
                continue;
            }
            check(c.name, &c.f, &points, &[2, 3], &mut draw);
        }
    }
}

#[test]
fn second_order_gradients_are_finite_differences_of_the_first() {
    let mut draw = Draw(2);
    for c in CASES.iter().filter(|c| c.smooth) {
        let points: Vec<Vec<f64>> = c.domains.iter().map(|d| draw.numbers(6, *d, c.kinks)).collect();
        for wrt in 0..points.len() {
            let f = |x: &[Tensor]| {
                let y = (c.f)(x);
                let seed =
                    Tensor::from_vec((0..y.numel()).map(|i| 1.0 + 0.1 * i as f64).collect(), y.shape(), F64).unwrap();
                let options = GradOptions::new().create_graph(true);
                grad(&[&y], &[&x[wrt]], &[Some(&seed)], options).unwrap().remove(0).unwrap()
            };
            check(&format!("{} (second order, input {wrt})", c.name), &f, &points, &[2, 3], &mut draw);
        }
    }
}

#[test]
fn gradients_of_broadcast_operands_are_summed() {
    let mut draw = Draw(3);
    let fs: &[(&str, Fun)] = &[
        ("add", |x| &x[0] + &x[1]),
        ("mul", |x| &x[0] * &x[1]),
        ("div", |x| &x[0] / &x[1]),
        ("pow", |x| x[0].pow(&x[1])),
        ("where", |x| where_cond(&tensor!([true, false, true]), &x[0], &x[1])),
        ("addcmul", |x| x[0].addcmul(&x[1], &x[0])),
    ];
    let shapes: &[(&[usize], &[usize])] = &[(&[2, 3], &[3]), (&[2, 1], &[3]), (&[], &[2, 3]), (&[4, 1, 3], &[2, 1])];
    for (name, f) in fs {
        for (a, b) in shapes {
            let (pa, pb) =
                (draw.numbers(a.iter().product(), POSITIVE, &[]), draw.numbers(b.iter().product(), POSITIVE, &[]));
            let (ta, tb) = (leaf(&pa, a), leaf(&pb, b));
            let y = f(&[ta.clone(), tb.clone()]);
            y.backward_with(Some(&ones_like(&y, ())), ());
            for (t, p, first) in [(&ta, &pa, true), (&tb, &pb, false)] {
                let g = t.grad().unwrap();
                assert_eq!(g.shape(), t.shape(), "{name}");
                for k in 0..p.len() {
                    let at = |d: f64| {
                        let mut q = p.clone();
                        q[k] += d;
                        let moved = leaf(&q, &t.shape());
                        let y = if first { f(&[moved, tb.clone()]) } else { f(&[ta.clone(), moved]) };
                        f64s(&y).iter().sum::<f64>()
                    };
                    let expected = (at(1e-5) - at(-1e-5)) / 2e-5;
                    assert!((f64s(&g)[k] - expected).abs() < 1e-5 * (1.0 + expected.abs()), "{name} {a:?} {b:?}");
                }
            }
        }
    }
}

/// The same numbers in every kind of memory layout: what it is called, and the tensor.
fn layouts(values: &[f64], dtype: DType, device: Device) -> Vec<(&'static str, Tensor)> {
    let n = values.len();
    let flat = |v: &[f64]| Tensor::from_vec(v.to_vec(), [v.len()], ()).unwrap().to(dtype).to(device);
    let (rows, columns) = (n / 50, 50);
    let mut padded = vec![7.0; 3];
    padded.extend_from_slice(values);
    padded.push(9.0);
    let doubled: Vec<f64> = values.iter().flat_map(|v| [*v, 5.0]).collect();
    vec![
        ("contiguous", flat(values)),
        ("matrix", flat(values).view([rows, columns])),
        ("transposed", flat(values).view([columns, rows]).t()),
        ("offset", flat(&padded).slice(0, Some(3), Some(3 + n as isize), 1)),
        ("strided", flat(&doubled).slice(0, None, None, 2)),
        ("expanded", flat(&values[..50]).expand([rows as isize, columns as isize])),
        ("0-dim", flat(&values[..1]).select(0, 0)),
        ("empty", flat(&[]).view([0, 3])),
    ]
}

/// Equal bits, or both NaN.
fn same(a: &Tensor, b: &Tensor, tolerance: f64, what: &str) {
    assert_eq!((a.shape(), a.dtype()), (b.shape(), b.dtype()), "{what}");
    for (i, (x, y)) in f64s(a).into_iter().zip(f64s(b)).enumerate() {
        let close = x == y || (x.is_nan() && y.is_nan()) || (x - y).abs() <= tolerance * (1e-6 + y.abs());
        assert!(close, "{what}: element {i} is {x} and {y}");
    }
}

/// Runs `f` with a flush after each op.
fn eagerly<T>(f: impl FnOnce() -> T) -> T {
    stream::set_eager(true);
    let out = f();
    stream::set_eager(std::env::var("WGTORCH_EAGER").is_ok_and(|v| v == "1"));
    out
}

/// A gradient's way back and forth through one function, and a chain that fuses with it.
fn chain(f: Fun, leaves: &[Tensor]) -> Vec<Tensor> {
    let y = f(leaves);
    let z = &(&y * 2.0 + 1.0) - y.abs();
    let mut out = vec![y, z.clone()];
    if z.requires_grad() {
        z.backward_with(Some(&ones_like(&z, ())), ());
        out.extend(leaves.iter().filter_map(Tensor::grad));
    }
    out
}

#[test]
fn fused_and_eager_agree_in_every_layout() {
    let mut draw = Draw(4);
    for c in CASES.iter().filter(|c| !["glu", "prelu"].contains(&c.name)) {
        let points: Vec<Vec<f64>> = c.domains.iter().map(|d| draw.numbers(5000, *d, &[])).collect();
        let kinds: Vec<Vec<(&str, Tensor)>> = points.iter().map(|p| layouts(p, F32, Device::Cpu)).collect();
        for k in 0..kinds[0].len() {
            let run = || {
                let leaves: Vec<Tensor> = kinds.iter().map(|l| l[k].1.detach().requires_grad_(true)).collect();
                let out = chain(c.f, &leaves);
                out.iter().for_each(|t| {
                    t.to_vec::<f32>().unwrap();
                });
                out
            };
            let (fused, eager) = (run(), eagerly(run));
            assert_eq!(fused.len(), eager.len());
            for (a, b) in fused.iter().zip(&eager) {
                same(a, b, 1e-6, &format!("{} {}", c.name, kinds[0][k].0));
            }
        }
    }
}

type Pair = (&'static str, Fun, Fun);

macro_rules! pairs {
    ($($f:ident $f_:ident)*) => {
        &[$((stringify!($f), |x| x[0].$f(), |x| x[0].$f_())),*]
    };
}

const IN_PLACE: &[Pair] = pairs! {
    abs abs_ neg neg_ sign sign_ sqrt sqrt_ rsqrt rsqrt_ reciprocal reciprocal_ square square_ exp exp_ exp2 exp2_
    expm1 expm1_ log log_ log2 log2_ log10 log10_ log1p log1p_ sin sin_ cos cos_ tan tan_ asin asin_ acos acos_
    atan atan_ sinh sinh_ cosh cosh_ tanh tanh_ asinh asinh_ acosh acosh_ atanh atanh_ erf erf_ erfc erfc_
    erfinv erfinv_ sigmoid sigmoid_ floor floor_ ceil ceil_ trunc trunc_ round round_ frac frac_ relu relu_
    relu6 relu6_ gelu gelu_ silu silu_ mish mish_ elu elu_ celu celu_ selu selu_ leaky_relu leaky_relu_
    softplus softplus_ logsigmoid logsigmoid_ hardtanh hardtanh_ hardswish hardswish_ hardsigmoid hardsigmoid_
    softsign softsign_ tanhshrink tanhshrink_ hardshrink hardshrink_ softshrink softshrink_ logical_not logical_not_
    nan_to_num nan_to_num_ sinc sinc_ logit logit_
};

const IN_PLACE_BINARY: &[Pair] = &[
    ("add", |x| x[0].add(&x[1]), |x| x[0].add_(&x[1])),
    ("sub", |x| x[0].sub(&x[1]), |x| x[0].sub_(&x[1])),
    ("mul", |x| x[0].mul(&x[1]), |x| x[0].mul_(&x[1])),
    ("div", |x| x[0].div(&x[1]), |x| x[0].div_(&x[1])),
    ("add_with", |x| x[0].add_with(&x[1], 0.5), |x| x[0].add_with_(&x[1], 0.5)),
    ("remainder", |x| x[0].remainder(&x[1]), |x| x[0].remainder_(&x[1])),
    ("pow", |x| x[0].abs().pow(&x[1]), |x| x[0].abs_().pow_(&x[1])),
    ("maximum", |x| x[0].maximum(&x[1]), |x| x[0].maximum_(&x[1])),
    ("clamp", |x| x[0].clamp(-0.5, 0.5), |x| x[0].clamp_(-0.5, 0.5)),
    ("atan2", |x| x[0].atan2(&x[1]), |x| x[0].atan2_(&x[1])),
    ("lt", |x| x[0].lt(&x[1]).to(x[0].dtype()), |x| x[0].lt_(&x[1])),
    ("itself", |x| x[0].mul(&x[0]), |x| x[0].mul_(&x[0])),
    ("addcmul", |x| x[0].addcmul(&x[1], &x[0]), |x| x[0].addcmul_(&x[1], &x[0])),
];

#[test]
fn in_place_equals_out_of_place() {
    let mut draw = Draw(5);
    for device in devices() {
        let a = draw.numbers(5000, (-1.5, 1.5), &[]);
        let b = draw.numbers(5000, (0.2, 2.0), &[]);
        for (name, out_of_place, in_place) in IN_PLACE.iter().chain(IN_PLACE_BINARY) {
            let (la, lb) = (layouts(&a, F32, device), layouts(&b, F32, device));
            for ((kind, x), (_, y)) in la.iter().zip(&lb) {
                let expected = out_of_place(&[x.clone(), y.clone()]).to_vec::<f32>().unwrap();
                if *kind == "expanded" {
                    let e =
                        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| in_place(&[x.clone(), y.clone()])));
                    assert!(e.is_err(), "{name}: a write to expanded memory went through");
                    continue;
                }
                let before = x.version();
                let got = in_place(&[x.clone(), y.clone()]);
                assert!(got.is_same(x) && x.version() > before, "{name} {kind}");
                let got = x.to_vec::<f32>().unwrap();
                let equal = got.iter().zip(&expected).all(|(a, b)| a == b || (a.is_nan() && b.is_nan()));
                assert!(equal, "{name} {kind} on {device}");
            }
        }
    }
}

#[test]
fn gradients_flow_through_in_place_ops() {
    let fs: &[Pair] = &[
        ("mul", |x| (&x[0] * 1.0).mul(&x[0]), |x| (&x[0] * 1.0).mul_(&x[0])),
        ("sigmoid", |x| (&x[0] * 1.0).sigmoid(), |x| (&x[0] * 1.0).sigmoid_()),
        ("relu", |x| (&x[0] * 1.0).relu(), |x| (&x[0] * 1.0).relu_()),
        ("sin", |x| (&x[0] * 1.0).sin(), |x| (&x[0] * 1.0).sin_()),
        ("pow", |x| (&x[0] * 1.0).pow(3), |x| (&x[0] * 1.0).pow_(3)),
        ("div", |x| (&x[0] * 1.0).div(&x[0] + 4.0), |x| (&x[0] * 1.0).div_(&x[0] + 4.0)),
        ("addcmul", |x| (&x[0] * 1.0).addcmul(&x[0], &x[0]), |x| (&x[0] * 1.0).addcmul_(&x[0], &x[0])),
    ];
    for (name, a, b) in fs {
        let g: Vec<Vec<f64>> = [a, b]
            .iter()
            .map(|f| {
                let x = leaf(&[-1.5, -0.3, 0.4, 2.0], &[4]);
                let y = f(std::slice::from_ref(&x));
                y.backward_with(Some(&tensor!([1., 2., 3., 4.]).to(F64)), ());
                f64s(&x.grad().unwrap())
            })
            .collect();
        assert_eq!(g[0], g[1], "{name}");
    }
}

/// Allowed relative difference of a function between CPU and GPU, in f32: a few units in the last place of each.
fn gpu_tolerance(name: &str) -> f64 {
    match name {
        // differences of nearly equal numbers, and functions that amplify their input's last bit
        "tan" | "tanhshrink" | "lgamma" | "digamma" | "pow tensor" | "float_power" | "erfinv" | "remainder"
        | "fmod" => 1e-3,
        _ => 5e-5,
    }
}

#[test]
fn cpu_and_gpu_agree() {
    let gpus: Vec<Device> = devices().into_iter().filter(|d| *d != Device::Cpu).collect();
    let mut draw = Draw(6);
    for device in gpus {
        for c in CASES.iter().filter(|c| !["glu", "prelu", "float_power"].contains(&c.name)) {
            let points: Vec<Vec<f64>> = c.domains.iter().map(|d| draw.numbers(5000, *d, c.kinks)).collect();
            let (here, there): (Vec<_>, Vec<_>) =
                points.iter().map(|p| (layouts(p, F32, Device::Cpu), layouts(p, F32, device))).unzip();
            for k in 0..here[0].len() {
                let run = |l: &[Vec<(&str, Tensor)>]| {
                    let leaves: Vec<Tensor> = l.iter().map(|l| l[k].1.detach().requires_grad_(true)).collect();
                    chain(c.f, &leaves)
                };
                let (cpu, gpu) = (run(&here), run(&there));
                for (a, b) in gpu.iter().zip(&cpu) {
                    assert_eq!(a.device(), device, "{}", c.name);
                    let scale = f64s(b).iter().filter(|x| x.is_finite()).fold(1.0, |m: f64, x| m.max(x.abs()));
                    let what = format!("{} {} on {device}", c.name, here[0][k].0);
                    for (i, (x, y)) in f64s(a).into_iter().zip(f64s(b)).enumerate() {
                        let near = (x - y).abs() <= gpu_tolerance(c.name) * y.abs() + 1e-6 * scale;
                        assert!(x == y || (x.is_nan() && y.is_nan()) || near, "{what}: element {i} is {x} and {y}");
                    }
                }
            }
        }
    }
}

/// Where floats are told apart by their bits: NaN, infinities, signed zeros, the largest and the smallest numbers.
#[test]
fn special_values_agree_on_every_device() {
    let v = [
        f32::NAN,
        f32::INFINITY,
        f32::NEG_INFINITY,
        0.0,
        -0.0,
        1.0,
        -1.0,
        0.5,
        2.5,
        -2.5,
        f32::MAX,
        f32::MIN,
        f32::MIN_POSITIVE,
        1.7e38,
        1e-30,
        -1e-30,
    ];
    let n = v.len();
    let fs: &[(&str, Fun)] = &[
        ("relu", |x| x[0].relu()),
        ("maximum", |x| x[0].maximum(&x[1])),
        ("minimum", |x| x[0].minimum(&x[1])),
        ("fmax", |x| x[0].fmax(&x[1])),
        ("fmin", |x| x[0].fmin(&x[1])),
        ("clamp", |x| x[0].clamp(-1, 1)),
        ("eq", |x| x[0].eq(&x[1])),
        ("ne", |x| x[0].ne(&x[1])),
        ("lt", |x| x[0].lt(&x[1])),
        ("ge", |x| x[0].ge(&x[1])),
        ("isnan", |x| x[0].isnan()),
        ("isinf", |x| x[0].isinf()),
        ("isfinite", |x| x[0].isfinite()),
        ("signbit", |x| x[0].signbit()),
        ("sign", |x| x[0].sign()),
        ("logical_and", |x| x[0].logical_and(&x[1])),
        ("where", |x| x[0].where_cond(&x[1].gt(0), 7.0)),
        ("round", |x| x[0].round()),
        ("trunc", |x| x[0].trunc()),
        ("nan_to_num", |x| x[0].nan_to_num()),
        ("abs", |x| x[0].abs()),
        ("copysign", |x| x[0].copysign(&x[1])),
        ("add", |x| &x[0] + &x[1]),
        ("threshold", |x| x[0].threshold(0.0, 3.0)),
    ];
    for device in devices() {
        for (name, f) in fs {
            let of = |d: Device| {
                let a = Tensor::from_vec(v.to_vec(), [n, 1], ()).unwrap().to(d);
                let b = Tensor::from_vec(v.to_vec(), [1, n], ()).unwrap().to(d);
                f(&[a, b])
            };
            same(&of(device), &of(Device::Cpu), 0.0, &format!("{name} on {device}"));
        }
    }
}

#[test]
fn numbers_may_stand_on_either_side() {
    let x = tensor!([1., 2., 4.]);
    let v = |t: Tensor| t.to_vec::<f64>().unwrap();
    assert_eq!(v(1 - &x), [0., -1., -3.]);
    assert_eq!(v(2.0 / &x), [2., 1., 0.5]);
    assert_eq!(v(7 % tensor!([2, -2])), [1., -1.]);
    assert_eq!(v(wgtorch::pow(2.0, &x)), [2., 4., 16.]);
    assert_eq!(v(where_cond(&x.gt(1), 1, 2.5)), [2.5, 1., 1.]);
    assert_eq!(v(where_cond(&x.gt(1), Operand::from(&x), 0)), [0., 2., 4.]);
    assert_eq!((2.0 * &x).exp().dtype(), F32);
    assert_eq!((true & tensor!([true, false])).to_vec::<bool>().unwrap(), [true, false]);
}
