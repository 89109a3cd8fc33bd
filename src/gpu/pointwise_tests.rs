//! Elementwise kernels against plain loops over the same layouts.

use super::super::testing::{device, down, up};
use super::*;
use crate::layout::Layout;
use crate::program::{Action, Instr, Row, WgslFn};
use half::{bf16, f16};
use smallvec::smallvec;

/// A row from WGSL text: `T` stands for the compute type; refused for dtypes outside `on`.
macro_rules! row {
    ($id:ident, $arity:expr, $bool_out:expr, $on:expr, $body:expr) => {
        static $id: Row = Row {
            name: stringify!($id),
            arity: $arity,
            bool_out: $bool_out,
            bool_first: false,
            cpu: |_| None,
            wgsl: |d| {
                let on: &[DType] = &$on;
                on.contains(&d).then(|| {
                    let t = super::super::elements::wgsl_type(d);
                    let name = format!("test_{}_{}", stringify!($id), d.name());
                    let args: Vec<String> = (0..$arity).map(|k| format!("x{k}: {t}")).collect();
                    let out = if $bool_out { "bool" } else { t };
                    let text = format!("fn {name}({}) -> {out} {{ return {}; }}\n", args.join(", "), $body);
                    WgslFn { name, text, uses: vec![] }
                })
            },
        };
    };
}
use DType::*;
row!(ADD, 2, false, [F32, I32, U32, F64, F16, BF16], "x0 + x1");
row!(MUL, 2, false, [F32, I32, U32, F64, F16, BF16], "x0 * x1");
row!(ADD64, 2, false, [I64], "vec2<u32>(x0.x + x1.x, x0.y + x1.y + select(0u, 1u, x0.x + x1.x < x0.x))");
row!(LESS, 2, true, [F32, I32, F64], "x0 < x1");
row!(XOR, 2, false, [Bool], "x0 != x1");
row!(SAME, 1, false, [Bool, U8, I8, I16, I32, I64, U32, F16, BF16, F32, F64], "x0");

fn instr(row: &'static Row, dtype: DType, srcs: &[u16]) -> Instr {
    let out = if row.bool_out { Bool } else { dtype };
    Instr { action: Action::Row(row), dtype, out, srcs: srcs.into() }
}

fn binary(row: &'static Row, d: DType) -> Program {
    Program { loads: smallvec![d, d], scalars: smallvec![], instrs: vec![instr(row, d, &[0, 1])], stores: smallvec![2] }
}

fn view<'a>(b: &'a Buffer, dtype: DType, l: &'a Layout) -> GpuView<'a> {
    GpuView { buffer: b, dtype, offset: l.offset, shape: &l.shape, strides: &l.strides }
}

fn indices(l: &Layout) -> Vec<usize> {
    let mut at = Vec::new();
    l.for_each_offset(|i| at.push(i));
    at
}

/// Layouts of one shape: contiguous, with an offset, transposed, with gaps, and expanded.
fn layouts(shape: &[usize]) -> Vec<Layout> {
    let n = shape.len();
    let mut out = vec![Layout::contiguous(shape)];
    for offset in [1, 3, 4, 8] {
        out.push(Layout { offset, ..Layout::contiguous(shape) });
    }
    if n >= 2 {
        let mut swapped = shape.to_vec();
        swapped.swap(0, n - 1);
        out.push(Layout::contiguous(&swapped[..]).transpose(0, -1).unwrap());
        let mut wide = shape.to_vec();
        wide[n - 1] += 4 - wide[n - 1] % 4 + 4;
        out.push(Layout::contiguous(&wide[..]).slice(-1, Some(4), Some(4 + shape[n - 1] as isize), 1).unwrap());
        let mut row = shape.to_vec();
        row[0] = 1;
        out.push(Layout::contiguous(&row[..]).broadcast_to(shape).unwrap());
        let mut column = shape.to_vec();
        column[n - 1] = 1;
        out.push(Layout::contiguous(&column[..]).broadcast_to(shape).unwrap());
    }
    let mut steps = shape.to_vec();
    steps[n - 1] *= 2;
    out.push(Layout::contiguous(&steps[..]).slice(-1, Some(1), None, 2).unwrap());
    out.push(Layout { offset: 2, ..Layout::contiguous(&vec![1; n][..]).broadcast_to(shape).unwrap() });
    out
}

const SHAPES: [&[usize]; 9] = [&[1], &[3], &[4], &[7], &[1001], &[5, 7], &[3, 8], &[2, 3, 5], &[3, 2, 4, 3]];

/// Bytes that look random, the same every time.
fn noise(n: usize) -> Vec<u8> {
    let mut s = 12345u32;
    let mut next = || {
        s = s.wrapping_mul(1664525).wrapping_add(1013904223);
        (s >> 24) as u8
    };
    (0..n).map(|_| next()).collect()
}

#[test]
fn copies_move_every_bit_of_every_dtype() {
    let Some(g) = device() else { return };
    for d in DType::REAL {
        let p = Program { loads: smallvec![d], stores: smallvec![0], ..Program::default() };
        let size = d.size();
        for shape in SHAPES {
            for from in layouts(shape) {
                for to in layouts(shape).into_iter().filter(|l| !l.overlaps_itself()) {
                    let data = noise(from.end() * size);
                    let mut expected = noise((to.end() + 5) * size);
                    expected.iter_mut().for_each(|b| *b ^= 0x55);
                    let (a, b) = (up(&g, &data), up(&g, &expected));
                    let done = run(&mut g.lock(), &g, &p, shape, &[view(&a, d, &from)], &[], &[view(&b, d, &to)]);
                    assert!(done.unwrap());
                    for (s, t) in indices(&from).into_iter().zip(indices(&to)) {
                        expected[t * size..(t + 1) * size].copy_from_slice(&data[s * size..(s + 1) * size]);
                    }
                    assert_eq!(down::<u8>(&g, &b, expected.len()), expected, "{d:?} {from:?} -> {to:?}");
                }
            }
        }
    }
}

#[test]
fn computed_bytes_are_packed_back() {
    let Some(g) = device() else { return };
    for d in DType::REAL {
        let p = Program {
            loads: smallvec![d],
            instrs: vec![instr(&SAME, d, &[0])],
            stores: smallvec![1],
            ..Program::default()
        };
        if d == F64 && !g.features.f64 {
            assert!(!supports(&p, &g.features));
            continue;
        }
        // every pattern of the narrow dtypes; NaN's payload is the hardware's affair
        let n = 65536;
        let data: Vec<u8> = match d {
            Bool => (0..n).map(|i| (i * 7 % 3 == 0) as u8).collect(),
            U8 | I8 => (0..n).map(|i| i as u8).collect(),
            I16 | F16 | BF16 => (0..n).flat_map(|i| (i as u16).to_le_bytes()).collect(),
            F32 => (0..n).flat_map(|i| (i as f32 * 0.37 - 9.0).to_le_bytes()).collect(),
            F64 => (0..n).flat_map(|i| (i as f64 * 0.37 - 9.0).to_le_bytes()).collect(),
            _ => noise(n * d.size()),
        };
        // whole quads, and some beyond
        for (from, to, m) in [(0, 0, n - 4), (1, 0, n - 4), (0, 3, n - 4), (0, 4, n - 5), (4, 0, n - 6), (1, 4, n - 7)]
        {
            let l = |offset| Layout { offset, ..Layout::contiguous(&[m][..]) };
            let (a, b) = (up(&g, &data), up(&g, &data));
            let (x, y) = (l(from), l(to));
            assert!(run(&mut g.lock(), &g, &p, &[m], &[view(&a, d, &x)], &[], &[view(&b, d, &y)]).unwrap());
            let got = down::<u8>(&g, &b, data.len());
            let size = d.size();
            for i in 0..m {
                let (want, have) = (&data[(from + i) * size..][..size], &got[(to + i) * size..][..size]);
                let nan = |b: &[u8]| match d {
                    F16 => f16::from_le_bytes([b[0], b[1]]).is_nan(),
                    BF16 => bf16::from_le_bytes([b[0], b[1]]).is_nan(),
                    _ => false,
                };
                assert!(want == have || nan(want) && nan(have), "{d:?} {from}->{to} {m} at {i}: {want:?} {have:?}");
            }
            assert_eq!(got[..to * size], data[..to * size]);
            assert_eq!(got[(to + m) * size..], data[(to + m) * size..]);
        }
    }
}

#[test]
fn halves_round_to_nearest_even() {
    let Some(g) = device() else { return };
    // the shader text that stores use, over f32 values with every exponent and awkward mantissas
    let mut xs: Vec<f32> = Vec::new();
    for e in 0..256u32 {
        for m in [
            0, 1, 0xfff, 0x1000, 0x1001, 0x2fff, 0x3000, 0x3001, 0x7fff, 0x8000, 0x8001, 0x18000, 0x7fe000, 0x7ff000,
            0x7fffff, 0x400000,
        ] {
            xs.extend([f32::from_bits(e << 23 | m), f32::from_bits(1 << 31 | e << 23 | m)]);
        }
    }
    let n = xs.len();
    for d in [F16, BF16] {
        // a scalar of 1.0 times x in the wider type, stored narrow
        static WIDEN: Row = Row {
            name: "WIDEN",
            arity: 1,
            bool_out: false,
            bool_first: false,
            cpu: |_| None,
            wgsl: |d| {
                let name = format!("test_widen_{}", d.name());
                let text = format!("fn {name}(x0: u32) -> f32 {{ return bitcast<f32>(x0); }}\n");
                Some(WgslFn { name, text, uses: vec![] })
            },
        };
        let p = Program {
            loads: smallvec![U32],
            instrs: vec![Instr { action: Action::Row(&WIDEN), dtype: d, out: d, srcs: smallvec![0] }],
            stores: smallvec![1],
            ..Program::default()
        };
        let (a, b) = (up(&g, &xs), up(&g, &vec![0u16; n]));
        let l = Layout::contiguous(&[n][..]);
        assert!(run(&mut g.lock(), &g, &p, &[n], &[view(&a, U32, &l)], &[], &[view(&b, d, &l)]).unwrap());
        for (x, got) in xs.iter().zip(down::<u16>(&g, &b, n)) {
            let want = if d == F16 { f16::from_f32(*x).to_bits() } else { bf16::from_f32(*x).to_bits() };
            let same = if x.is_nan() {
                if d == F16 { f16::from_bits(got).is_nan() } else { bf16::from_bits(got).is_nan() }
            } else {
                // GL flushes f32 denormals, which round to zero or the smallest bf16
                want == got || x.is_subnormal() && got & 0x7fff == 0
            };
            assert!(same, "{d:?} of {x:e} ({:#x}): {want:#x} {got:#x}", x.to_bits());
        }
    }
}

/// Runs a binary program over every pair of layouts of some shapes and compares with a loop.
fn check_binary<T: bytemuck::Pod + PartialEq + std::fmt::Debug, O: bytemuck::Pod + PartialEq + std::fmt::Debug>(
    g: &Gpu,
    p: &Program,
    d: DType,
    shapes: &[&[usize]],
    make: impl Fn(usize) -> T,
    f: impl Fn(T, T) -> O,
) {
    let out = p.dtype(p.stores[0]);
    for &shape in shapes {
        let all = layouts(shape);
        for (i, x) in all.iter().enumerate() {
            let y = &all[(i * 3 + 1) % all.len()];
            let xs: Vec<T> = (0..x.end()).map(&make).collect();
            let ys: Vec<T> = (0..y.end()).map(|i| make(i * 5 + 2)).collect();
            let (a, b) = (up(g, &xs), up(g, &ys));
            let n = numel(shape);
            let c = g.lock().alloc((n * out.size()) as u64).unwrap();
            let z = Layout::contiguous(shape);
            let ok = run(&mut g.lock(), g, p, shape, &[view(&a, d, x), view(&b, d, y)], &[], &[view(&c, out, &z)]);
            assert!(ok.unwrap());
            let want: Vec<O> = indices(x).into_iter().zip(indices(y)).map(|(i, j)| f(xs[i], ys[j])).collect();
            assert_eq!(down::<O>(g, &c, n), want, "{x:?} {y:?}");
        }
    }
}

const SMALL: &[&[usize]] = &[&[1], &[6], &[1003], &[5, 7], &[4, 12], &[2, 3, 5]];

#[test]
fn programs_match_loops_in_every_layout() {
    let Some(g) = device() else { return };
    let real = |i: usize| (i * 37 % 101) as f32 * 0.25 - 7.0;
    check_binary(&g, &binary(&ADD, F32), F32, SMALL, real, |a, b| a + b);
    check_binary(&g, &binary(&LESS, F32), F32, SMALL, real, |a, b| (a < b) as u8);
    check_binary(&g, &binary(&MUL, I32), I32, SMALL, |i| i as i32 * 7919 - 9, i32::wrapping_mul);
    check_binary(&g, &binary(&ADD64, I64), I64, SMALL, |i| (i as i64 - 3) << (i % 50), i64::wrapping_add);
    check_binary(&g, &binary(&XOR, Bool), Bool, SMALL, |i| (i % 3 == 0) as u8, |a, b| a ^ b);
    if g.features.f64 {
        check_binary(&g, &binary(&MUL, F64), F64, SMALL, |i| i as f64 * 1e100 + 0.1, |a, b| a * b);
        check_binary(&g, &binary(&LESS, F64), F64, SMALL, |i| (i % 7) as f64, |a, b| (a < b) as u8);
    }
}

/// Software adapters go over ragged rows as one, where there are enough of them.
#[test]
fn ragged_rows_match_loops_in_every_layout() {
    let Some(g) = device() else { return };
    let large: &[&[usize]] = &[&[16387], &[131, 133], &[130, 134], &[3, 41, 139]];
    let real = |i: usize| (i * 37 % 101) as f32 * 0.25 - 7.0;
    check_binary(&g, &binary(&ADD, F32), F32, large, real, |a, b| a + b);
    check_binary(&g, &binary(&LESS, F32), F32, large, real, |a, b| (a < b) as u8);
    check_binary(&g, &binary(&ADD64, I64), I64, large, |i| (i as i64 - 3) << (i % 50), i64::wrapping_add);
    check_binary(&g, &binary(&XOR, Bool), Bool, large, |i| (i % 3 == 0) as u8, |a, b| a ^ b);
}

#[test]
fn in_place_and_several_stores() {
    let Some(g) = device() else { return };
    // y = x * s + x stored over x, and x < y beside it
    let p = Program {
        loads: smallvec![F32],
        scalars: smallvec![F32],
        instrs: vec![instr(&MUL, F32, &[0, 1]), instr(&ADD, F32, &[2, 0]), instr(&LESS, F32, &[0, 3])],
        stores: smallvec![3, 4],
    };
    for shape in [&[9][..], &[5, 7], &[4, 8]] {
        for x in layouts(shape).into_iter().filter(|l| !l.overlaps_itself()) {
            let xs: Vec<f32> = (0..x.end()).map(|i| i as f32 - 20.0).collect();
            let a = up(&g, &xs);
            let n = numel(shape);
            let c = g.lock().alloc(n as u64).unwrap();
            let z = Layout::contiguous(shape);
            let v = view(&a, F32, &x);
            run(&mut g.lock(), &g, &p, shape, &[v], &[Scalar::Float(0.5)], &[v, view(&c, Bool, &z)]).unwrap();
            let mut want = xs.clone();
            let mut less = Vec::new();
            for i in indices(&x) {
                want[i] = xs[i] * 0.5 + xs[i];
                less.push((xs[i] < want[i]) as u8);
            }
            assert_eq!(down::<f32>(&g, &a, xs.len()), want, "{x:?}");
            assert_eq!(down::<u8>(&g, &c, n), less, "{x:?}");
        }
    }
}

#[test]
fn scalars_arrive_whole_and_compile_nothing() {
    let Some(g) = device() else { return };
    let fill = |d: DType, s: Scalar, n: usize| {
        let p = Program { scalars: smallvec![d], stores: smallvec![0], ..Program::default() };
        let b = g.lock().alloc((n * d.size()) as u64).unwrap();
        let l = Layout::contiguous(&[n][..]);
        assert!(run(&mut g.lock(), &g, &p, &[n], &[], &[s], &[view(&b, d, &l)]).unwrap());
        b
    };
    assert_eq!(down::<i64>(&g, &fill(I64, Scalar::Int(i64::MIN + 5), 9), 9), [i64::MIN + 5; 9]);
    assert_eq!(down::<f64>(&g, &fill(F64, Scalar::Float(1e300), 3), 3), [1e300; 3]);
    assert_eq!(down::<f32>(&g, &fill(F32, Scalar::Float(f64::NEG_INFINITY), 5), 5), [f32::NEG_INFINITY; 5]);
    assert!(down::<f32>(&g, &fill(F32, Scalar::Float(f64::NAN), 5), 5).iter().all(|x| x.is_nan()));
    assert_eq!(down::<u16>(&g, &fill(BF16, Scalar::Float(1.5), 7), 7), [bf16::from_f32(1.5).to_bits(); 7]);
    assert_eq!(down::<u8>(&g, &fill(Bool, Scalar::Bool(true), 5), 5), [1; 5]);
    // rows of whole quads have a kernel of their own, whatever their length
    assert_eq!(down::<f32>(&g, &fill(F32, Scalar::Float(0.5), 8), 8), [0.5; 8]);
    let before = g.lock().counters().pipelines;
    for (n, x) in [(5, 0.1), (100, -3.0), (7777, 1e30), (8192, -0.0)] {
        assert_eq!(down::<f32>(&g, &fill(F32, Scalar::Float(x), n), n), vec![x as f32; n]);
    }
    assert_eq!(g.lock().counters().pipelines, before);
    // infinity through arithmetic
    let p = Program {
        loads: smallvec![F32],
        scalars: smallvec![F32],
        instrs: vec![instr(&ADD, F32, &[0, 1])],
        stores: smallvec![2],
    };
    let a = up(&g, &[1f32, 2.0]);
    let l = Layout::contiguous(&[2][..]);
    let v = view(&a, F32, &l);
    run(&mut g.lock(), &g, &p, &[2], &[v], &[Scalar::Float(f64::INFINITY)], &[v]).unwrap();
    assert_eq!(down::<f32>(&g, &a, 2), [f32::INFINITY; 2]);
    if g.features.f64 {
        let p =
            Program { loads: smallvec![F64], scalars: smallvec![F64], instrs: vec![instr(&ADD, F64, &[0, 1])], ..p };
        let a = up(&g, &[1f64, 2.0]);
        let v = view(&a, F64, &l);
        run(&mut g.lock(), &g, &p, &[2], &[v], &[Scalar::Float(0.1)], &[v]).unwrap();
        assert_eq!(down::<f64>(&g, &a, 2), [1.1, 2.1]);
    }
}

#[test]
fn large_dense_copies_and_zeros_cost_no_dispatch() {
    let Some(g) = device() else { return };
    let n = 40_000;
    let data: Vec<i32> = (0..n).collect();
    let (a, b) = (up(&g, &data), up(&g, &vec![7i32; n as usize]));
    let part = Layout { offset: 100, ..Layout::contiguous(&[200, 150][..]) };
    let (x, y) = (view(&a, I32, &part), view(&b, I32, &part));
    let before = g.lock().counters().dispatches;
    let copy = Program { loads: smallvec![I32], stores: smallvec![0], ..Program::default() };
    run(&mut g.lock(), &g, &copy, &[200, 150], &[x], &[], &[y]).unwrap();
    let fill = Program { scalars: smallvec![I32], stores: smallvec![0], ..Program::default() };
    let turned = part.transpose(0, 1).unwrap();
    run(&mut g.lock(), &g, &fill, &[150, 200], &[], &[Scalar::Int(0)], &[view(&a, I32, &turned)]).unwrap();
    assert_eq!(g.lock().counters().dispatches, before);
    let inside = |i: i32| (100..30_100).contains(&i);
    let want: Vec<i32> = (0..n).map(|i| if inside(i) { i } else { 7 }).collect();
    assert_eq!(down::<i32>(&g, &b, n as usize), want);
    let want: Vec<i32> = (0..n).map(|i| if inside(i) { 0 } else { i }).collect();
    assert_eq!(down::<i32>(&g, &a, n as usize), want);
    // a transposed copy is a kernel's work
    run(
        &mut g.lock(),
        &g,
        &copy,
        &[150, 200],
        &[view(&b, I32, &turned)],
        &[],
        &[view(&a, I32, &Layout::contiguous(&[150, 200][..]))],
    )
    .unwrap();
    assert_eq!(g.lock().counters().dispatches, before + 1);
    assert_eq!(down::<i32>(&g, &a, 2), [100, 250]);
}

#[test]
fn programs_that_wgsl_cannot_do_are_declined() {
    let Some(g) = device() else { return };
    let a = up(&g, &[1i64]);
    let l = Layout::contiguous(&[1][..]);
    let v = view(&a, I64, &l);
    assert!(!run(&mut g.lock(), &g, &binary(&ADD, I64), &[1], &[v, v], &[], &[v]).unwrap());
}

#[test]
fn many_elements_spread_over_the_grid() {
    let Some(g) = device() else { return };
    let n = 65_535 * 64 * 4 + 1001;
    let p = Program {
        loads: smallvec![I32],
        scalars: smallvec![I32],
        instrs: vec![instr(&ADD, I32, &[0, 1])],
        stores: smallvec![2],
    };
    let xs: Vec<i32> = (0..n).collect();
    let a = up(&g, &xs);
    let l = Layout::contiguous(&[n as usize][..]);
    let v = view(&a, I32, &l);
    run(&mut g.lock(), &g, &p, &[n as usize], &[v], &[Scalar::Int(5)], &[v]).unwrap();
    assert!(down::<i32>(&g, &a, n as usize).iter().enumerate().all(|(i, &x)| x == i as i32 + 5));
}

#[test]
#[ignore = "a measurement: prints, asserts nothing"]
fn measure_pointwise() {
    let Some(g) = device() else { return };
    let n = 4 << 20;
    row!(GELU, 1, false, [F32], "x0 * 0.5 * (1.0 + tanh(0.79788456 * (x0 + 0.044715 * x0 * x0 * x0)))");
    let chain = Program {
        loads: smallvec![F32],
        scalars: smallvec![F32, F32, F32, F32],
        instrs: vec![
            instr(&MUL, F32, &[0, 1]),
            instr(&ADD, F32, &[5, 2]),
            instr(&GELU, F32, &[6]),
            instr(&MUL, F32, &[7, 3]),
            instr(&ADD, F32, &[8, 4]),
        ],
        stores: smallvec![9],
    };
    let xs = vec![0.5f32; n];
    let (a, b, c) = (up(&g, &xs), up(&g, &xs), up(&g, &xs));
    let l = Layout::contiguous(&[n][..]);
    let r = Layout::contiguous(&[1024][..]);
    let (x, y, z) = (view(&a, F32, &l), view(&b, F32, &l), view(&c, F32, &l));
    let grid = Layout::contiguous(&[4096, 1024][..]);
    let turned = Layout::contiguous(&[1024, 4096][..]).transpose(0, 1).unwrap();
    let (mx, mr, mt, mz) = (view(&a, F32, &grid), view(&b, F32, &r), view(&b, F32, &turned), view(&c, F32, &grid));
    let s = [Scalar::Float(1.1); 4];
    let copy = Program { loads: smallvec![F32], stores: smallvec![0], ..Program::default() };
    let time = |name: &str, f: &dyn Fn(&mut Recorder)| {
        let mut best = f64::MAX;
        let mut first = 0.0;
        for i in 0..12 {
            g.synchronize(0).unwrap();
            let t = std::time::Instant::now();
            f(&mut g.lock());
            g.synchronize(0).unwrap();
            let e = t.elapsed().as_secs_f64() * 1e3;
            if i == 0 { first = e } else { best = best.min(e) }
        }
        println!("{name}: {best:.2} ms (first {first:.1})");
    };
    time("add 4M", &|rec| assert!(run(rec, &g, &binary(&ADD, F32), &[n], &[x, y], &[], &[z]).unwrap()));
    time("gelu chain 4M", &|rec| assert!(run(rec, &g, &chain, &[n], &[x], &s, &[z]).unwrap()));
    time("copy 4M", &|rec| assert!(run(rec, &g, &copy, &[n], &[x], &[], &[z]).unwrap()));
    time("add row 4096x1024", &|rec| {
        assert!(run(rec, &g, &binary(&ADD, F32), &[4096, 1024], &[mx, mr], &[], &[mz]).unwrap())
    });
    time("transpose 4096x1024", &|rec| assert!(run(rec, &g, &copy, &[4096, 1024], &[mt], &[], &[mz]).unwrap()));
}
