//! Reductions in each way that they can run, against plain loops in f64 and i64.

use super::super::testing::{device, down, up};
use super::*;
use crate::layout::Layout;
use DType::*;
use ReduceKind::*;

fn view<'a>(b: &'a super::super::Buffer, dtype: DType, l: &'a Layout) -> GpuView<'a> {
    GpuView { buffer: b, dtype, offset: l.offset, shape: &l.shape, strides: &l.strides }
}

/// Some way to run: chosen, and each one forced.
const WAYS: [Option<Plan>; 11] = [
    None,
    Some(Plan { columns: false, group: false, splits: 1, stride: 1 }),
    Some(Plan { columns: false, group: false, splits: 1, stride: 4 }),
    Some(Plan { columns: false, group: false, splits: 3, stride: 1 }),
    Some(Plan { columns: false, group: false, splits: 3, stride: 4 }),
    Some(Plan { columns: false, group: true, splits: 1, stride: 1 }),
    Some(Plan { columns: false, group: true, splits: 3, stride: 1 }),
    Some(Plan { columns: true, group: false, splits: 1, stride: 1 }),
    Some(Plan { columns: true, group: false, splits: 1, stride: 4 }),
    Some(Plan { columns: true, group: false, splits: 3, stride: 1 }),
    Some(Plan { columns: true, group: false, splits: 3, stride: 4 }),
];

/// The elements that each output folds, as storage indices in row-major order of the reduced dims.
fn groups(l: &Layout, dims: &[bool]) -> Vec<Vec<usize>> {
    let kept: Vec<usize> = (0..dims.len()).filter(|&d| !dims[d]).collect();
    let outputs: usize = kept.iter().map(|&d| l.shape[d]).product();
    let mut out = vec![Vec::new(); outputs];
    let mut flat = 0;
    l.for_each_offset(|at| {
        let (mut rest, mut index) = (flat, vec![0; dims.len()]);
        for d in (0..dims.len()).rev() {
            index[d] = rest % l.shape[d];
            rest /= l.shape[d];
        }
        let o = kept.iter().fold(0, |o, &d| o * l.shape[d] + index[d]);
        out[o].push(at);
        flat += 1;
    });
    out
}

/// Shapes with what is reduced.
fn cases() -> Vec<(Vec<usize>, Vec<bool>)> {
    let c = |s: &[usize], d: &[u8]| (s.to_vec(), d.iter().map(|&b| b == 1).collect());
    vec![
        c(&[1], &[1]),
        c(&[5], &[1]),
        c(&[1000], &[1]),
        c(&[7, 13], &[0, 1]),
        c(&[7, 13], &[1, 0]),
        c(&[6, 8], &[1, 1]),
        c(&[64, 12], &[1, 0]),
        c(&[5, 64], &[0, 1]),
        c(&[1600], &[1]),
        c(&[3, 301], &[0, 1]),
        c(&[4, 5, 6], &[0, 1, 0]),
        c(&[4, 5, 6], &[1, 0, 1]),
        c(&[2, 3, 4, 5], &[1, 0, 1, 0]),
        c(&[9, 2], &[0, 1]),
        c(&[150, 3], &[1, 0]),
        c(&[50, 3], &[0, 1]),
        c(&[5, 67], &[1, 0]),
        c(&[5, 67], &[0, 1]),
        c(&[9, 4], &[0, 0]),
    ]
}

fn layouts(shape: &[usize]) -> Vec<Layout> {
    let mut out = vec![Layout::contiguous(shape), Layout { offset: 3, ..Layout::contiguous(shape) }];
    if shape.len() > 1 {
        let back: Vec<usize> = shape.iter().rev().copied().collect();
        let dims: Vec<isize> = (0..shape.len() as isize).rev().collect();
        out.push(Layout::contiguous(&back[..]).permute(&dims).unwrap());
        let mut one = shape.to_vec();
        one[0] = 1;
        out.push(Layout::contiguous(&one[..]).broadcast_to(shape).unwrap());
    }
    out
}

/// Runs one kind in every way and hands results and the elements they fold to `check`.
fn each<T: bytemuck::Pod, O: bytemuck::Pod>(
    g: &Gpu,
    kind: ReduceKind,
    (d, out): (DType, DType),
    make: impl Fn(usize) -> T,
    check: impl Fn(&[T], O, &str),
) {
    // every addressing is met by one kind, every kind by some of each way: pipelines are what these tests cost
    let full = kind == Sum && d == F32;
    for (shape, dims) in
        cases().into_iter().enumerate().filter(|(i, _)| full || [3, 4, 7, 9, 14].contains(i)).map(|c| c.1)
    {
        for l in layouts(&shape).into_iter().take(if full { 4 } else { 1 }) {
            let data: Vec<T> = (0..l.end()).map(&make).collect();
            let buffer = up(g, &data);
            let groups = groups(&l, &dims);
            let kept: Vec<usize> = (0..shape.len()).filter(|&i| !dims[i]).map(|i| shape[i]).collect();
            let z = Layout::contiguous(&kept[..]);
            for way in WAYS {
                let c = g.lock().alloc((groups.len() * out.size()) as u64).unwrap();
                let (v, o) = ([view(&buffer, d, &l)], [view(&c, out, &z)]);
                let done = reduce_as(&mut g.lock(), g, kind, None, &v, &[], &shape, &dims, &o, way);
                assert!(done.unwrap());
                for (elements, got) in groups.iter().zip(down::<O>(g, &c, groups.len())) {
                    let xs: Vec<T> = elements.iter().map(|&i| data[i]).collect();
                    check(&xs, got, &format!("{kind:?} {shape:?} {dims:?} {l:?} {way:?}"));
                }
            }
        }
    }
}

fn real(i: usize) -> f32 {
    ((i * 37 + i / 7) % 101) as f32 * 0.25 - 7.0
}

/// Near enough for up to 1000 roundings in f32, in any order.
fn close(got: f64, want: f64, why: &str) {
    assert!((got - want).abs() <= 3e-5 * want.abs().max(1.0), "{why}: {got} {want}");
}

#[test]
fn sums_and_products() {
    let Some(g) = device() else { return };
    each(&g, Sum, (F32, F32), real, |x, y: f32, why| close(y as f64, x.iter().map(|&v| v as f64).sum(), why));
    each(
        &g,
        Prod,
        (F32, F32),
        |i| 1.0 + (i % 5) as f32 * 0.001,
        |x, y: f32, why| close(y as f64, x.iter().map(|&v| v as f64).product(), why),
    );
    each(
        &g,
        Sum,
        (I32, I64),
        |i| i as i32 * 100_000_007,
        |x, y: i64, why| assert_eq!(y, x.iter().map(|&v| v as i64).sum::<i64>(), "{why}"),
    );
    each(
        &g,
        Sum,
        (I64, I64),
        |i| (i as i64 - 40) << 33,
        |x, y: i64, why| assert_eq!(y, x.iter().sum::<i64>(), "{why}"),
    );
    let product = |x: &[i64]| x.iter().fold(1i64, |a, &b| a.wrapping_mul(b));
    each(&g, Prod, (I64, I64), |i| i as i64 * 3 - 7_000_000_001, |x, y: i64, why| assert_eq!(y, product(x), "{why}"));
    each(
        &g,
        Sum,
        (Bool, I64),
        |i| (i % 3 == 0) as u8,
        |x, y: i64, why| assert_eq!(y, x.iter().map(|&v| v as i64).sum::<i64>(), "{why}"),
    );
    each(
        &g,
        Sum,
        (U8, I64),
        |i| i as u8,
        |x, y: i64, why| assert_eq!(y, x.iter().map(|&v| v as i64).sum::<i64>(), "{why}"),
    );
    let half = |i: usize| half::f16::from_f32((i % 9) as f32 - 4.0).to_bits();
    each(&g, Sum, (F16, F32), half, |x, y: f32, why| {
        assert_eq!(y, x.iter().map(|&v| half::f16::from_bits(v).to_f32()).sum::<f32>(), "{why}")
    });
    each(&g, Sum, (F16, F16), half, |x, y: u16, why| {
        let want = half::f16::from_f32(x.iter().map(|&v| half::f16::from_bits(v).to_f32()).sum::<f32>());
        assert!(half::f16::from_bits(y) == want, "{why}")
    });
    if g.features.f64 {
        each(
            &g,
            Sum,
            (F64, F64),
            |i| i as f64 * 0.1,
            |x, y: f64, why| assert!((y - x.iter().sum::<f64>()).abs() <= 1e-9 * y.abs().max(1.0), "{why}"),
        );
    }
}

#[test]
fn extremes_and_where_they_are() {
    let Some(g) = device() else { return };
    let best = |x: &[f32], max: bool| {
        let mut at = 0;
        for (i, v) in x.iter().enumerate() {
            let better = if max { *v > x[at] } else { *v < x[at] };
            if !x[at].is_nan() && (v.is_nan() || better) {
                at = i;
            }
        }
        at
    };
    for nan in [false, true] {
        let make = move |i: usize| match i {
            5 | 50 if nan => f32::NAN,
            11 => f32::NEG_INFINITY,
            29 => f32::INFINITY,
            _ => real(i),
        };
        let same = |a: f32, b: f32| a == b || a.is_nan() && b.is_nan();
        for (kind, max) in [(Max, true), (Min, false)] {
            each(&g, kind, (F32, F32), make, |x, y: f32, why| assert!(same(y, x[best(x, max)]), "{why} {y}"));
        }
        for (kind, max) in [(ArgMax, true), (ArgMin, false)] {
            each(&g, kind, (F32, I64), make, |x, y: i64, why| assert_eq!(y as usize, best(x, max), "{why}"));
        }
    }
    let wide = |i: usize| ((i * 7919) % 31) as i64 * 1_000_000_007 - 15_000_000_000;
    each(&g, Max, (I64, I64), wide, |x, y: i64, why| assert_eq!(y, *x.iter().max().unwrap(), "{why}"));
    each(&g, Min, (I64, I64), wide, |x, y: i64, why| assert_eq!(y, *x.iter().min().unwrap(), "{why}"));
    each(&g, ArgMax, (I64, I64), wide, |x, y: i64, why| {
        let m = x.iter().max().unwrap();
        assert_eq!(y as usize, x.iter().position(|v| v == m).unwrap(), "{why}")
    });
    each(&g, Min, (I32, I32), |i| -(i as i32) * 5, |x, y: i32, why| assert_eq!(y, *x.iter().min().unwrap(), "{why}"));
    each(
        &g,
        Max,
        (Bool, Bool),
        |i| (i % 7 == 3) as u8,
        |x, y: u8, why| assert_eq!(y, *x.iter().max().unwrap(), "{why}"),
    );
    each(&g, Max, (U8, U8), |i| (i * 3) as u8, |x, y: u8, why| assert_eq!(y, *x.iter().max().unwrap(), "{why}"));
    if g.features.f64 {
        each(
            &g,
            Max,
            (F64, F64),
            |i| real(i) as f64,
            |x, y: f64, why| assert_eq!(y, x.iter().copied().fold(f64::MIN, f64::max), "{why}"),
        );
    }
}

#[test]
fn truth_of_some_and_of_all() {
    let Some(g) = device() else { return };
    let bit = |i: usize| (i % 4 != 1) as u8;
    each(&g, Any, (Bool, Bool), bit, |x, y: u8, why| assert_eq!(y == 1, x.contains(&1), "{why}"));
    each(&g, All, (Bool, Bool), bit, |x, y: u8, why| assert_eq!(y == 1, !x.contains(&0), "{why}"));
    let zeros = |i: usize| if i % 9 == 2 { f32::NAN } else { -0.0 };
    each(&g, Any, (F32, Bool), zeros, |x, y: u8, why| assert_eq!(y == 1, x.iter().any(|v| *v != 0.0), "{why}"));
    each(
        &g,
        All,
        (I64, Bool),
        |i| (i as i64 % 5) << 40,
        |x, y: u8, why| assert_eq!(y == 1, x.iter().all(|v| *v != 0), "{why}"),
    );
}

#[test]
fn variances() {
    let Some(g) = device() else { return };
    for correction in [0.0, 1.0] {
        each(
            &g,
            Var { correction },
            (F32, F32),
            |i| 1000.0 + real(i),
            |x, y: f32, why| {
                let n = x.len() as f64;
                let mean = x.iter().map(|&v| v as f64).sum::<f64>() / n;
                let m2 = x.iter().map(|&v| (v as f64 - mean).powi(2)).sum::<f64>();
                if n - correction <= 0.0 {
                    assert!(y.is_nan(), "{why}");
                } else {
                    let want = m2 / (n - correction);
                    assert!((y as f64 - want).abs() < 1e-3 * want.max(1.0), "{why}: {y} {want}");
                }
            },
        );
    }
}

#[test]
fn two_outputs_and_keepdim() {
    let Some(g) = device() else { return };
    let l = Layout::contiguous(&[3, 10][..]);
    let data: Vec<f32> = (0..30).map(|i| real(i * 3)).collect();
    let a = up(&g, &data);
    let c = g.lock().alloc(12).unwrap();
    let i = g.lock().alloc(24).unwrap();
    let z = Layout::contiguous(&[3, 1][..]);
    let outs = [view(&c, F32, &z), view(&i, I64, &z)];
    let done = reduce(&mut g.lock(), &g, MaxIndex, None, &[view(&a, F32, &l)], &[], &[3, 10], &[false, true], &outs);
    assert!(done.unwrap());
    for (row, (v, at)) in down::<f32>(&g, &c, 3).into_iter().zip(down::<i64>(&g, &i, 3)).enumerate() {
        let xs = &data[row * 10..][..10];
        assert_eq!(v, xs.iter().copied().fold(f32::MIN, f32::max));
        assert_eq!(at as usize, xs.iter().position(|x| *x == v).unwrap());
    }
    let m = g.lock().alloc(12).unwrap();
    let outs = [view(&c, F32, &z), view(&m, F32, &z)];
    let kind = Var { correction: 0.0 };
    reduce(&mut g.lock(), &g, kind, None, &[view(&a, F32, &l)], &[], &[3, 10], &[false, true], &outs).unwrap();
    for (row, v) in down::<f32>(&g, &m, 3).into_iter().enumerate() {
        close(v as f64, data[row * 10..][..10].iter().map(|&x| x as f64).sum::<f64>() / 10.0, "mean");
    }
}

#[test]
fn nothing_reduces_to_the_start() {
    let Some(g) = device() else { return };
    let a = up(&g, &[0f32]);
    let l = Layout::contiguous(&[2, 0][..]);
    let z = Layout::contiguous(&[2][..]);
    let c = up(&g, &[5f32, 5.0]);
    reduce(&mut g.lock(), &g, Sum, None, &[view(&a, F32, &l)], &[], &[2, 0], &[false, true], &[view(&c, F32, &z)])
        .unwrap();
    assert_eq!(down::<f32>(&g, &c, 2), [0.0, 0.0]);
    // dims that do not collapse, the inner one of which has elements
    let l = Layout::contiguous(&[5, 0][..]).transpose(0, 1).unwrap();
    let z = Layout::contiguous(&[][..]);
    let c = up(&g, &[5f32]);
    reduce(&mut g.lock(), &g, Sum, None, &[view(&a, F32, &l)], &[], &[0, 5], &[true, true], &[view(&c, F32, &z)])
        .unwrap();
    assert_eq!(down::<f32>(&g, &c, 1), [0.0]);
}

/// `a * a * s + b` of loads a and b and a scalar.
fn square_add() -> Program {
    use crate::program::{Action, Instr, Row, WgslFn};
    static SQUARE_ADD: Row = Row {
        name: "SQUARE_ADD",
        arity: 3,
        bool_out: false,
        bool_first: false,
        cpu: |_| None,
        wgsl: |_| {
            Some(WgslFn {
                name: "test_square_add".into(),
                text: "fn test_square_add(x0: f32, x1: f32, x2: f32) -> f32 { return x0 * x0 * x2 + x1; }\n".into(),
                uses: vec![],
            })
        },
    };
    Program {
        loads: smallvec![F32, F32],
        scalars: smallvec![F32],
        instrs: vec![Instr { action: Action::Row(&SQUARE_ADD), dtype: F32, out: F32, srcs: smallvec![0, 1, 2] }],
        stores: smallvec![3],
    }
}

/// Operands that lie each in its own way, apart and in one buffer: rows that start anywhere, a column, a row, a transposed one.
#[test]
fn operands_lie_in_several_ways() {
    let Some(g) = device() else { return };
    let p = square_add();
    for n in [3usize, 67] {
        let shape = [if n == 3 { 90 } else { n }, n];
        let whole = Layout::contiguous(&shape[..]);
        let back: Layout = Layout::contiguous(&[shape[1], shape[0]][..]).permute(&[1, 0]).unwrap();
        let row = Layout::contiguous(&[1, n][..]).broadcast_to(&shape).unwrap();
        let column = Layout { offset: 1, ..Layout::contiguous(&[shape[0], 1][..]) }.broadcast_to(&shape).unwrap();
        let later = Layout { offset: 5, ..whole.clone() };
        let data: Vec<f32> = (0..later.end()).map(real).collect();
        let others: Vec<f32> = (0..later.end()).map(|i| real(i + 11)).collect();
        let (a, b) = (up(&g, &data), up(&g, &others));
        for m in [&whole, &back, &row, &column, &later] {
            for (second, values) in [(&a, &data), (&b, &others)] {
                for dims in [[false, true], [true, false]] {
                    let kept = shape[usize::from(dims[0])];
                    let c = g.lock().alloc(4 * kept as u64).unwrap();
                    let z = Layout::contiguous(&[kept][..]);
                    let v = [view(&a, F32, &whole), view(second, F32, m)];
                    let (s, out) = ([Scalar::Float(0.5)], [view(&c, F32, &z)]);
                    assert!(reduce(&mut g.lock(), &g, Sum, Some(&p), &v, &s, &shape, &dims, &out).unwrap());
                    let pairs = groups(&whole, &dims).into_iter().zip(groups(m, &dims));
                    for ((x, y), got) in pairs.zip(down::<f32>(&g, &c, kept)) {
                        let term = |(&i, &j): (&usize, &usize)| (data[i] * data[i] * 0.5 + values[j]) as f64;
                        close(got as f64, x.iter().zip(&y).map(term).sum(), &format!("{m:?} {dims:?}"));
                    }
                }
            }
        }
    }
}

#[test]
fn a_program_is_fused_into_the_load() {
    let Some(g) = device() else { return };
    let p = square_add();
    let (x, y): (Vec<f32>, Vec<f32>) = ((0..60).map(real).collect(), (0..12).map(|i| i as f32).collect());
    let (a, b) = (up(&g, &x), up(&g, &y));
    let (l, m) = (Layout::contiguous(&[5, 12][..]), Layout::contiguous(&[12][..]));
    let before = g.lock().counters().dispatches;
    for dims in [[false, true], [true, false], [true, true]] {
        let shape: Vec<usize> = [5, 12].iter().zip(dims).filter(|d| !d.1).map(|d| *d.0).collect();
        let z = Layout::contiguous(&shape[..]);
        for way in WAYS {
            let c = g.lock().alloc(4 * z.numel() as u64).unwrap();
            let v = [view(&a, F32, &l), view(&b, F32, &m)];
            let s = [Scalar::Float(0.5)];
            reduce_as(&mut g.lock(), &g, Sum, Some(&p), &v, &s, &[5, 12], &dims, &[view(&c, F32, &z)], way).unwrap();
            for (at, got) in groups(&l, &dims).iter().zip(down::<f32>(&g, &c, z.numel())) {
                close(got as f64, at.iter().map(|&i| (x[i] * x[i] * 0.5 + y[i % 12]) as f64).sum(), "fused");
            }
        }
    }
    // small reductions cost one dispatch each, split ones two: but for two of so few steps that one turn takes them
    assert_eq!(g.lock().counters().dispatches - before, 3 * (6 + 5 * 2) - 2);
}

#[test]
fn long_sums_keep_their_digits_and_repeat() {
    let Some(g) = device() else { return };
    let n = 4 << 20;
    let data: Vec<f32> = (0..n).map(|i| 1.0 + (i % 1000) as f32 * 1e-3).collect();
    let want: f64 = data.iter().map(|&x| x as f64).sum();
    let a = up(&g, &data);
    let l = Layout::contiguous(&[n][..]);
    let z = Layout::default();
    let c = g.lock().alloc(4).unwrap();
    let mut bits = None;
    for _ in 0..3 {
        reduce(&mut g.lock(), &g, Sum, None, &[view(&a, F32, &l)], &[], &[n], &[true], &[view(&c, F32, &z)]).unwrap();
        let got = down::<f32>(&g, &c, 1)[0];
        assert!((got as f64 - want).abs() < 2e-6 * want, "{got} {want}");
        assert_eq!(*bits.get_or_insert(got.to_bits()), got.to_bits());
    }
}

#[test]
#[ignore = "a measurement: prints, asserts nothing"]
fn measure_reductions() {
    let Some(g) = device() else { return };
    let n = 4 << 20;
    let a = up(&g, &vec![0.5f32; n]);
    let grid = Layout::contiguous(&[4096, 1024][..]);
    let c = g.lock().alloc(65536).unwrap();
    for (name, kind, dims) in [
        ("sum all", Sum, [true, true]),
        ("sum last 4096x1024", Sum, [false, true]),
        ("sum first 4096x1024", Sum, [true, false]),
        ("argmax last", ArgMax, [false, true]),
        ("max all", Max, [true, true]),
        ("var last", Var { correction: 1.0 }, [false, true]),
    ] {
        let shape: Vec<usize> = [4096, 1024].iter().zip(dims).filter(|d| !d.1).map(|d| *d.0).collect();
        let z = Layout::contiguous(&shape[..]);
        let out = kind.outputs(F32).unwrap()[0];
        let mut best = f64::MAX;
        let mut first = 0.0;
        for i in 0..10 {
            g.synchronize(0).unwrap();
            let t = std::time::Instant::now();
            reduce(
                &mut g.lock(),
                &g,
                kind,
                None,
                &[view(&a, F32, &grid)],
                &[],
                &[4096, 1024],
                &dims,
                &[view(&c, out, &z)],
            )
            .unwrap();
            g.synchronize(0).unwrap();
            let e = t.elapsed().as_secs_f64() * 1e3;
            if i == 0 { first = e } else { best = best.min(e) }
        }
        println!("{name}: {best:.2} ms (first {first:.1})");
    }
}
