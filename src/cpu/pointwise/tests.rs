use super::*;
use crate::num::rows;
use crate::program::{Instr, Row};
use smallvec::smallvec;

fn instr(row: &'static Row, dtype: DType, out: DType, srcs: &[Reg]) -> Instr {
    Instr { action: Action::Row(row), dtype, out, srcs: srcs.into() }
}

fn f32s(n: usize, seed: u32) -> Vec<f32> {
    let mut s = seed;
    let next = move |_| {
        s = s.wrapping_mul(1664525).wrapping_add(1013904223);
        (s >> 8) as f32 / 1e6 - 8.0
    };
    (0..n).map(next).collect()
}

fn at(v: &[f32], shape: &[usize], strides: &[usize], mut linear: usize) -> f32 {
    let mut offset = 0;
    for d in (0..shape.len()).rev() {
        offset += linear % shape[d] * strides[d];
        linear /= shape[d];
    }
    v[offset]
}

/// relu(a * b + 2) as a chain, and a > b as a second output, for one pair of layouts.
fn check(shape: &[usize], sa: &[usize], sb: &[usize], so: &[usize]) {
    let numel: usize = shape.iter().product();
    let end = |s: &[usize]| 1 + shape.iter().zip(s).map(|(n, s)| (n - 1) * s).sum::<usize>();
    let (a, b) = (f32s(end(sa), 1), f32s(end(sb), 7));
    let mut out = vec![f32::NAN; end(so)];
    let contiguous = crate::shape::contiguous_strides(shape);
    let mut greater = vec![9u8; numel];
    let p = Program {
        loads: smallvec![DType::F32, DType::F32],
        scalars: smallvec![DType::F32],
        instrs: vec![
            instr(&rows::MUL, DType::F32, DType::F32, &[0, 1]),
            instr(&rows::ADD, DType::F32, DType::F32, &[3, 2]),
            instr(&rows::RELU, DType::F32, DType::F32, &[4]),
            instr(&rows::GT, DType::F32, DType::Bool, &[0, 1]),
        ],
        stores: smallvec![5, 6],
    };
    // SAFETY: the vectors hold what shapes and strides reach.
    unsafe {
        run(
            &p,
            shape,
            &[(a.as_ptr() as *const u8, sa), (b.as_ptr() as *const u8, sb)],
            &[Scalar::Int(2)],
            &[(out.as_mut_ptr() as *mut u8, so), (greater.as_mut_ptr(), &contiguous)],
        )
    }
    for i in 0..numel {
        let (x, y) = (at(&a, shape, sa, i), at(&b, shape, sb, i));
        assert_eq!(at(&out, shape, so, i), (x * y + 2.0).max(0.0), "{shape:?} {sa:?} {sb:?} at {i}");
        assert_eq!(greater[i], (x > y) as u8);
    }
}

#[test]
fn layouts() {
    check(&[], &[], &[], &[]);
    check(&[5], &[1], &[1], &[1]);
    check(&[3001], &[1], &[0], &[1]);
    check(&[70, 33], &[33, 1], &[0, 1], &[33, 1]);
    check(&[70, 33], &[33, 1], &[1, 0], &[33, 1]);
    check(&[70, 33], &[1, 70], &[33, 1], &[33, 1]);
    check(&[70, 33], &[33, 1], &[33, 1], &[1, 70]);
    check(&[2, 3000], &[3000, 1], &[0, 1], &[3000, 1]);
    check(&[4, 5, 600], &[600, 2400, 1], &[0, 600, 1], &[3000, 600, 1]);
    check(&[4, 5, 600], &[6000, 1200, 2], &[1, 0, 0], &[3000, 600, 1]);
    check(&[300, 400], &[400, 1], &[0, 1], &[400, 1]);
    check(&[100_000], &[3], &[1], &[2]);
    check(&[300, 400], &[1, 300], &[0, 1], &[400, 1]);
    check(&[3, 50, 77], &[3850, 1, 50], &[1, 150, 3], &[3850, 77, 1]);
    check(&[2, 9, 3000], &[27000, 1, 9], &[9, 1, 18], &[27000, 3000, 1]);
}

#[test]
fn in_place_reads_before_it_writes() {
    // two outputs over the memory of two inputs: (a + b, a - b)
    let n = 100_000;
    let (a0, b0) = (f32s(n, 3), f32s(n, 4));
    let (mut a, mut b) = (a0.clone(), b0.clone());
    let p = Program {
        loads: smallvec![DType::F32, DType::F32],
        scalars: smallvec![],
        instrs: vec![
            instr(&rows::ADD, DType::F32, DType::F32, &[0, 1]),
            instr(&rows::SUB, DType::F32, DType::F32, &[0, 1]),
        ],
        stores: smallvec![2, 3],
    };
    let (pa, pb) = (a.as_mut_ptr() as *mut u8, b.as_mut_ptr() as *mut u8);
    // SAFETY: both vectors hold n elements; stores are loads at the same pointer and strides.
    unsafe { run(&p, &[n], &[(pa, &[1]), (pb, &[1])], &[], &[(pa, &[1]), (pb, &[1])]) };
    assert!((0..n).all(|i| a[i] == a0[i] + b0[i] && b[i] == a0[i] - b0[i]));
    // a swap: loads that are stored as they are
    let p = Program { instrs: vec![], stores: smallvec![1, 0], ..p };
    let (a1, b1) = (a.clone(), b.clone());
    let (pa, pb) = (a.as_mut_ptr() as *mut u8, b.as_mut_ptr() as *mut u8);
    // SAFETY: as above.
    unsafe { run(&p, &[n], &[(pa, &[1]), (pb, &[1])], &[], &[(pa, &[1]), (pb, &[1])]) };
    assert!(a == b1 && b == a1);
}

#[test]
fn casts_inside_a_program() {
    let x: Vec<i64> = (0..5000).map(|i| i * 7 - 9000).collect();
    let mut y = vec![0f32; 5000];
    let p = Program {
        loads: smallvec![DType::I64],
        scalars: smallvec![DType::F32],
        instrs: vec![
            Instr { action: Action::Cast, dtype: DType::I64, out: DType::F32, srcs: smallvec![0] },
            instr(&rows::MUL, DType::F32, DType::F32, &[2, 1]),
        ],
        stores: smallvec![3],
    };
    let (px, py) = (x.as_ptr() as *const u8, y.as_mut_ptr() as *mut u8);
    // SAFETY: both vectors hold 5000 elements.
    unsafe { run(&p, &[5000], &[(px, &[1])], &[Scalar::Float(0.5)], &[(py, &[1])]) };
    assert!(x.iter().zip(&y).all(|(&x, &y)| y == x as f32 * 0.5));
}

/// `cargo test --release pointwise::tests::speed -- --ignored --nocapture` prints the figures.
#[test]
#[ignore = "prints timings, checks nothing that could fail by itself"]
fn speed() {
    let n = 4 << 20;
    let (a, b) = (f32s(n, 3), f32s(n, 4));
    let mut out = vec![0f32; n];
    let add = Program {
        loads: smallvec![DType::F32, DType::F32],
        instrs: vec![instr(&rows::ADD, DType::F32, DType::F32, &[0, 1])],
        stores: smallvec![2],
        ..Program::default()
    };
    let f = DType::F32;
    let gelu = Program {
        loads: smallvec![f],
        scalars: smallvec![f, f, f, f],
        instrs: vec![
            instr(&rows::MUL, f, f, &[0, 1]),
            instr(&rows::ADD, f, f, &[5, 2]),
            instr(&rows::GELU, f, f, &[6]),
            instr(&rows::MUL, f, f, &[7, 3]),
            instr(&rows::ADD, f, f, &[8, 4]),
        ],
        stores: smallvec![9],
    };
    let (pa, pb, po) = (a.as_ptr() as *const u8, b.as_ptr() as *const u8, out.as_mut_ptr() as *mut u8);
    let time = |name: &str, f: &dyn Fn()| {
        f();
        let mut best = f64::MAX;
        for _ in 0..20 {
            let t = std::time::Instant::now();
            f();
            best = best.min(t.elapsed().as_secs_f64());
        }
        println!("{name}: {:.3} ms", best * 1e3);
    };
    let scalars = [0.5, 0.1, 2.0, 0.3].map(Scalar::Float);
    // SAFETY: the vectors hold n elements.
    time("add 4M", &|| unsafe { run(&add, &[n], &[(pa, &[1]), (pb, &[1])], &[], &[(po, &[1])]) });
    // SAFETY: as above.
    time("gelu chain 4M", &|| unsafe { run(&gelu, &[n], &[(pa, &[1])], &scalars, &[(po, &[1])]) });
    // SAFETY: as above.
    time("bias add 4M", &|| unsafe {
        run(&add, &[n / 64, 64], &[(pa, &[64, 1]), (pb, &[0, 1])], &[], &[(po, &[64, 1])])
    });
    // SAFETY: as above.
    time("transposed add 4M", &|| unsafe {
        run(&add, &[2048, 2048], &[(pa, &[1, 2048]), (pb, &[2048, 1])], &[], &[(po, &[2048, 1])])
    });
    for row in [
        &rows::EXP,
        &rows::EXPM1,
        &rows::LOG,
        &rows::LOG1P,
        &rows::TANH,
        &rows::SIGMOID,
        &rows::ERF,
        &rows::GELU,
        &rows::GELU_TANH,
        &rows::SILU,
        &rows::SIN,
        &rows::COS,
        &rows::GELU_BACKWARD,
        &rows::SQRT,
        &rows::POW,
    ] {
        let f = (row.cpu)(f).expect("f32");
        let (pa, pb) = (f32s(1024, 1), f32s(1024, 2));
        let ins = [pa.as_ptr() as *const u8, pb.as_ptr() as *const u8];
        // SAFETY: 1024 elements each.
        time(&format!("{} 1M in cache", row.name), &|| {
            for _ in 0..1024 {
                unsafe { f(&ins[..row.arity], po, 1024) }
            }
        });
    }
    let small = (rows::ADD.cpu)(f).expect("f32");
    // SAFETY: 16 elements each.
    time("add 16, 1M times", &|| {
        for _ in 0..1_000_000 {
            unsafe { small(&[pa, pb], po, 16) }
        }
    });
}
