//! Every row of the elementwise table on the GPU against its CPU loop, over special and random operands.

use super::pointwise::{run, supports};
use super::testing::{device, down, up};
use super::{Gpu, GpuView};
use crate::dtype::DType;
use crate::num::{all_rows, cast_cpu, cast_wgsl};
use crate::program::{Action, Instr, Program, Row};
use half::{bf16, f16};

const N: usize = 6000;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        self.0 >> 11 ^ self.0 << 20
    }
}

const FLOATS: [f64; 38] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    -0.5,
    2.0,
    -2.0,
    3.0,
    -3.0,
    2.5,
    -2.5,
    1.5,
    0.1,
    -0.1,
    1e-3,
    -1e-4,
    20.0,
    -20.0,
    88.0,
    -87.0,
    100.0,
    -100.0,
    1e5,
    -1e6,
    7e8,
    1e10,
    -1e20,
    3e30,
    1e-10,
    1e-30,
    0.9999,
    -0.9999,
    6.2831855,
    2147483648.0,
    f64::INFINITY,
    f64::NEG_INFINITY,
    f64::NAN,
];
const INTS: [i64; 34] = [
    0,
    1,
    -1,
    2,
    -2,
    3,
    -3,
    5,
    7,
    -7,
    10,
    31,
    32,
    33,
    63,
    64,
    65,
    -64,
    100,
    127,
    -128,
    255,
    256,
    32767,
    -32768,
    65536,
    i32::MAX as i64,
    i32::MIN as i64,
    u32::MAX as i64,
    1 << 40,
    -(1 << 45) - 3,
    (1 << 60) + 12345,
    i64::MAX,
    i64::MIN,
];

/// Operand `k` of a dtype: all pairs of special values along the first two operands, then random ones.
fn operand(d: DType, k: usize) -> Vec<u8> {
    let mut r = Random(k as u64 * 77 + d as u64);
    let mut bytes = Vec::new();
    for i in 0..N {
        let pick = |len: usize| [i % len, i / len % len, i / 3 % len, i / 5 % len][k];
        let random = i >= 1500;
        let x = if random {
            let magnitude = [1.0, 10.0, 0.1, 1000.0][i % 4];
            ((r.next() % 2_000_001) as f64 / 1e6 - 1.0) * magnitude
        } else {
            FLOATS[pick(FLOATS.len())]
        };
        let int = if random { (r.next() as i64) >> (r.next() % 60) } else { INTS[pick(INTS.len())] };
        match d {
            DType::F32 => bytes.extend((x as f32).to_ne_bytes()),
            DType::F64 => bytes.extend(x.to_ne_bytes()),
            DType::F16 => bytes.extend(f16::from_f64(x).to_bits().to_ne_bytes()),
            DType::BF16 => bytes.extend(bf16::from_f64(x).to_bits().to_ne_bytes()),
            DType::Bool => bytes.push((int & 1) as u8),
            DType::U8 | DType::I8 => bytes.push(int as u8),
            DType::I16 => bytes.extend((int as i16).to_ne_bytes()),
            DType::I32 | DType::U32 => bytes.extend((int as i32).to_ne_bytes()),
            DType::I64 => bytes.extend(int.to_ne_bytes()),
            DType::C64 | DType::C128 => unreachable!("GPUs have no rows of complex numbers"),
        }
    }
    bytes
}

/// The element as f64, and the relative distance that twins of a function may have.
fn number(d: DType, bytes: &[u8], i: usize) -> (f64, f64) {
    let at = &bytes[i * d.size()..(i + 1) * d.size()];
    match d {
        DType::F32 => (f32::from_ne_bytes(at.try_into().expect("4 bytes")) as f64, 1.5e-6),
        DType::F64 => (f64::from_ne_bytes(at.try_into().expect("8 bytes")), 1e-14),
        DType::F16 => (f16::from_bits(u16::from_ne_bytes(at.try_into().expect("2 bytes"))).to_f64(), 1.1e-3),
        DType::BF16 => (bf16::from_bits(u16::from_ne_bytes(at.try_into().expect("2 bytes"))).to_f64(), 8.5e-3),
        _ => unreachable!("only floats are compared loosely"),
    }
}

/// Known failures: a row, a dtype and how many of the elements are wrong. gelu_tanh's far tail is the exponential of a number
/// that the twins round differently; the others meet infinity times a number that only a GPU flushes to zero.
const KNOWN: [(&str, DType, usize); 2] = [("gelu_tanh", DType::F32, 45), ("softplus_backward", DType::F16, 4)];

/// Rows whose value is a small difference: the twins of what is subtracted differ, relative to an operand.
/// (The gradients of gelu and mish are differences of two numbers where they are zero.)
const CANCELS: [&str; 13] = [
    "tanhshrink",
    "lerp",
    "logit",
    "logit_eps",
    "addcmul",
    "addcdiv",
    "logaddexp",
    "logaddexp2",
    "sinc",
    "gelu_backward",
    "gelu_tanh_backward",
    "mish_backward",
    "hardswish_backward",
];

/// Rows that multiply by an exponential or a power, which a GPU flushes to zero where it is subnormal (with an infinity that gives NaN).
const FLUSHES: [&str; 6] =
    ["polygamma", "elu_backward", "celu_backward", "pow_backward", "erf_backward", "softplus_backward"];
/// Rows that take the exponential of a quotient: GPUs divide to within 2.5 units in the last place.
const QUOTIENTS: [&str; 2] = ["celu", "celu_backward"];
/// Rows whose factors overflow before their product does, if a compiler takes them in another order.
const OVERFLOWS: [&str; 1] = ["i1"];

fn same(row: &str, d: DType, operands: &[Vec<u8>], want: &[u8], got: &[u8], i: usize) -> bool {
    if !d.is_float() {
        return want[i * d.size()..(i + 1) * d.size()] == got[i * d.size()..(i + 1) * d.size()];
    }
    let ((w, tolerance), (g, _)) = (number(d, want, i), number(d, got, i));
    // a result next to the largest number may round to infinity in one of the twins, and a subnormal one to zero
    let largest = match d {
        DType::F16 => 6.5e4,
        _ if OVERFLOWS.contains(&row) => 1e37,
        _ => 3.3e38,
    };
    let (flushes, cancels) = (FLUSHES.contains(&row), CANCELS.contains(&row));
    // (the mask of `where` is no number)
    let numbers = operands.iter().filter(|_| flushes || cancels);
    let numbers: Vec<f64> = numbers.map(|o| number(d, o, i).0.abs()).collect();
    let x = numbers.iter().copied().fold(0.0, f64::max);
    if flushes && g.is_nan() && x.is_infinite() && !w.is_nan() {
        return true;
    }
    let factor: f64 = if x.is_finite() { numbers.iter().map(|x| x.max(1.0)).product() } else { 1.0 };
    let tiny = if d == DType::F16 { 7e-8 } else { 2.4e-38 * if flushes { factor } else { 1.0 } };
    let slack = if cancels { x * tolerance } else { 0.0 };
    let tolerance = if QUOTIENTS.contains(&row) { tolerance * 10.0 } else { tolerance };
    w.is_nan() && g.is_nan()
        || w == g
        || w.abs() >= largest && g.abs() >= largest && w.signum() == g.signum()
        || (w - g).abs() <= tolerance * w.abs() + tiny + slack
}

fn check(g: &Gpu, rows: &[&'static Row], d: DType, wrong: &mut String) {
    let arity = rows[0].arity;
    let dtype_of = |k: usize| if rows[0].bool_first && k == 0 { DType::Bool } else { d };
    let p = Program {
        loads: (0..arity).map(dtype_of).collect(),
        instrs: rows
            .iter()
            .map(|r| Instr {
                action: Action::Row(r),
                dtype: d,
                out: if r.bool_out { DType::Bool } else { d },
                srcs: (0..arity as u16).collect(),
            })
            .collect(),
        stores: (0..rows.len()).map(|k| (arity + k) as u16).collect(),
        ..Program::default()
    };
    if !supports(&p, &g.features) {
        return;
    }
    let operands: Vec<Vec<u8>> = (0..arity).map(|k| operand(dtype_of(k), k)).collect();
    let words: Vec<Vec<u64>> = operands.iter().map(|o| aligned(o)).collect();
    let buffers: Vec<_> = operands.iter().map(|o| up(g, o)).collect();
    let outs: Vec<_> = rows.iter().map(|_| up(g, &vec![0u8; N * 8])).collect();
    let view = |buffer, dtype| GpuView { buffer, dtype, offset: 0, shape: &[N], strides: &[1] };
    let loads: Vec<_> = buffers.iter().enumerate().map(|(k, b)| view(b, dtype_of(k))).collect();
    let stores: Vec<_> = outs.iter().zip(&p.instrs).map(|(b, i)| view(b, i.out)).collect();
    assert!(run(&mut g.lock(), g, &p, &[N], &loads, &[], &stores).unwrap());
    for ((row, out), instr) in rows.iter().zip(&outs).zip(&p.instrs) {
        let size = instr.out.size();
        let got = down::<u8>(g, out, N * size);
        let mut want = vec![0u64; N];
        let ins: Vec<*const u8> = words.iter().map(|o| o.as_ptr() as *const u8).collect();
        let f = (row.cpu)(d).expect("what the GPU has, the CPU has");
        // SAFETY: the operands hold N elements of the dtype, the output at least as many.
        unsafe { f(&ins, want.as_mut_ptr() as *mut u8, N) };
        let want: &[u8] = bytemuck::cast_slice(&want);
        let differ = |i: &usize| !same(row.name, instr.out, &operands, want, &got, *i);
        let known = KNOWN.iter().find(|k| k.0 == row.name && k.1 == d).map_or(0, |k| k.2);
        if (0..N).filter(differ).count() <= known {
            continue;
        }
        if let Some(i) = (0..N).find(differ) {
            let x: Vec<String> = operands.iter().enumerate().map(|(k, o)| show(dtype_of(k), o, i)).collect();
            let (cpu, gpu) = (show(instr.out, want, i), show(instr.out, &got, i));
            let count = (0..N).filter(differ).count();
            *wrong += &format!("{} {d} of {x:?}: CPU {cpu}, GPU {gpu}, and {count} in all\n", row.name);
        }
    }
}

/// The same bytes at an address that every dtype can be read from.
fn aligned(bytes: &[u8]) -> Vec<u64> {
    let mut words = vec![0u64; bytes.len().div_ceil(8)];
    bytemuck::cast_slice_mut(&mut words)[..bytes.len()].copy_from_slice(bytes);
    words
}

fn show(d: DType, bytes: &[u8], i: usize) -> String {
    if d.is_float() {
        return format!("{:e}", number(d, bytes, i).0);
    }
    let mut wide = [0u8; 8];
    wide[..d.size()].copy_from_slice(&bytes[i * d.size()..(i + 1) * d.size()]);
    format!("{:#x}", u64::from_le_bytes(wide))
}

/// All rows of a dtype, four to a kernel.
fn check_all(d: DType) {
    let Some(g) = device() else { return };
    let mut groups: Vec<Vec<&'static Row>> = Vec::new();
    for &row in all_rows().iter().filter(|r| (r.wgsl)(d).is_some()) {
        let fits =
            |v: &&mut Vec<&'static Row>| v.len() < 4 && v[0].arity == row.arity && v[0].bool_first == row.bool_first;
        match groups.iter_mut().find(fits) {
            Some(v) => v.push(row),
            None => groups.push(vec![row]),
        }
    }
    let mut wrong = String::new();
    groups.iter().for_each(|rows| check(&g, rows, d, &mut wrong));
    assert!(wrong.is_empty(), "{wrong}");
}

macro_rules! dtypes {
    ($($(#[$m:meta])* $test:ident $d:ident;)*) => {$(
        #[test]
        $(#[$m])*
        fn $test() {
            check_all(DType::$d);
        }
    )*};
}
dtypes! {
    rows_of_f32 F32;
    rows_of_f64 F64;
    rows_of_f16 F16;
    rows_of_bf16 BF16;
    rows_of_i64 I64; rows_of_i32 I32;
    rows_of_u32 U32; rows_of_i16 I16; rows_of_i8 I8; rows_of_u8 U8; rows_of_bool Bool;
}

#[test]
fn casts_agree() {
    let Some(g) = device() else { return };
    for from in DType::REAL {
        let input = operand(from, 0);
        let buffer = up(&g, &input);
        for to in DType::REAL {
            assert!(cast_wgsl(from, to).is_some());
            let p = Program {
                loads: [from].into_iter().collect(),
                instrs: vec![Instr { action: Action::Cast, dtype: from, out: to, srcs: [0].into_iter().collect() }],
                stores: [1].into_iter().collect(),
                ..Program::default()
            };
            if !supports(&p, &g.features) {
                continue;
            }
            let out = up(&g, &vec![0u8; N * 8]);
            let view = |buffer, dtype| GpuView { buffer, dtype, offset: 0, shape: &[N], strides: &[1] };
            assert!(run(&mut g.lock(), &g, &p, &[N], &[view(&buffer, from)], &[], &[view(&out, to)]).unwrap());
            let got = down::<u8>(&g, &out, N * to.size());
            let mut want = vec![0u64; N];
            // SAFETY: both hold N elements.
            unsafe { cast_cpu(from, to)(aligned(&input).as_ptr() as *const u8, want.as_mut_ptr() as *mut u8, N) };
            let want: &[u8] = bytemuck::cast_slice(&want);
            for i in 0..N {
                let (w, h) = (show(to, want, i), show(to, &got, i));
                assert!(w == h, "{} from {from} to {to}: CPU {w}, GPU {h}", show(from, &input, i));
            }
        }
    }
}
