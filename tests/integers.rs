//! Integers of every width are exact on every device: wrapping, beyond 2^53, at the least number and by zero; 16-bit floats are
//! rounded once. Each result is compared with plain Rust.

mod common;

use common::devices;
use wgtorch::prelude::*;
use wgtorch::{RoundingMode, cat};

const INTS: [DType; 6] = [U8, I8, I16, I32, U32, I64];

/// The number as the dtype holds it.
fn wrap(x: i64, d: DType) -> i64 {
    match d {
        U8 => x as u8 as i64,
        I8 => x as i8 as i64,
        I16 => x as i16 as i64,
        I32 => x as i32 as i64,
        U32 => x as u32 as i64,
        _ => x,
    }
}

fn least(d: DType) -> i64 {
    match d {
        I8 => i8::MIN as i64,
        I16 => i16::MIN as i64,
        I32 => i32::MIN as i64,
        I64 => i64::MIN,
        _ => 0,
    }
}

/// Numbers over the whole range of a dtype, its ends among them.
fn numbers(n: usize, d: DType, seed: u64) -> Vec<i64> {
    let mut state = seed;
    let mut all: Vec<i64> = (0..n)
        .map(|_| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            wrap((state ^ state >> 29) as i64, d)
        })
        .collect();
    for (i, x) in [0, 1, -1, least(d), least(d) - 1].into_iter().enumerate() {
        all[i * 3 % n] = wrap(x, d);
    }
    all
}

fn upload(v: &[i64], shape: &[usize], dtype: DType, d: Device) -> Tensor {
    tensor!(v.to_vec(), d).to(dtype).view(shape)
}

#[track_caller]
fn same(t: &Tensor, dtype: DType, want: &[i64], what: &str) {
    assert_eq!(t.dtype(), dtype, "{what}");
    let got = t.to(I64).to_vec::<i64>().unwrap();
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        assert_eq!(g, w, "{what} of {dtype} on {} at {i}", t.device());
    }
    assert_eq!(got.len(), want.len(), "{what}");
}

/// Lines of 16 x 3, reduced or scanned along dim 0.
fn columns(v: &[i64], f: impl Fn(&[i64]) -> Vec<i64>) -> Vec<i64> {
    let parts: Vec<Vec<i64>> = (0..3).map(|c| f(&v.iter().skip(c).step_by(3).copied().collect::<Vec<_>>())).collect();
    (0..parts[0].len()).flat_map(|i| parts.iter().map(move |p| p[i]).collect::<Vec<_>>()).collect()
}

#[test]
fn sums_and_products() {
    for d in devices() {
        for t in INTS {
            let v = numbers(48, t, 3);
            let x = upload(&v, &[16, 3], t, d);
            let sum = |c: &[i64]| vec![c.iter().fold(0i64, |a, b| a.wrapping_add(*b))];
            let prod = |c: &[i64]| vec![c.iter().fold(1i64, |a, b| a.wrapping_mul(*b))];
            same(&x.sum_dim(0, false), I64, &columns(&v, sum), "sum");
            same(&x.sum(), I64, &sum(&v), "sum of all");
            same(&x.sum_dim(0, t), t, &columns(&v, |c| vec![wrap(sum(c)[0], t)]), "sum in its own dtype");
            let odd: Vec<i64> = v.iter().map(|x| wrap(x | 1, t)).collect();
            let y = upload(&odd, &[16, 3], t, d);
            same(&y.prod_dim(0, false), I64, &columns(&odd, prod), "prod");
            same(&y.prod(), I64, &prod(&odd), "prod of all");
            let scan = |c: &[i64], f: fn(i64, i64) -> i64, start: i64| -> Vec<i64> {
                c.iter()
                    .scan(start, |a, b| {
                        *a = f(*a, *b);
                        Some(*a)
                    })
                    .collect()
            };
            same(&x.cumsum(0, ()), I64, &columns(&v, |c| scan(c, i64::wrapping_add, 0)), "cumsum");
            same(&y.cumprod(0, ()), I64, &columns(&odd, |c| scan(c, i64::wrapping_mul, 1)), "cumprod");
            let narrow = columns(&v, |c| scan(c, i64::wrapping_add, 0).iter().map(|x| wrap(*x, t)).collect());
            same(&x.cumsum(0, t), t, &narrow, "cumsum in its own dtype");
        }
    }
}

#[test]
fn extrema_and_order() {
    for d in devices() {
        for t in INTS {
            // neighbours that f64 cannot tell apart
            let mut v = numbers(48, t, 5);
            if t == I64 {
                for (i, x) in v.iter_mut().enumerate().take(24) {
                    *x = (1 << 53) + (i as i64 * 7 % 24);
                }
            }
            let x = upload(&v, &[16, 3], t, d);
            let extreme = |most: bool| {
                columns(&v, |c| vec![if most { *c.iter().max().unwrap() } else { *c.iter().min().unwrap() }])
            };
            let place = |most: bool| {
                columns(&v, |c| {
                    let best = if most { c.iter().max() } else { c.iter().min() }.unwrap();
                    vec![c.iter().position(|x| x == best).unwrap() as i64]
                })
            };
            same(&x.amax(0, false), t, &extreme(true), "amax");
            same(&x.amin(0, false), t, &extreme(false), "amin");
            same(&x.argmax_dim(0, false), I64, &place(true), "argmax");
            same(&x.argmin_dim(0, false), I64, &place(false), "argmin");
            let (values, indices) = x.max_dim(0, false);
            same(&values, t, &extreme(true), "max");
            same(&indices, I64, &place(true), "max's index");
            same(&x.max(), t, &[*v.iter().max().unwrap()], "max of all");
            let sorted = columns(&v, |c| {
                let mut c = c.to_vec();
                c.sort_unstable();
                c
            });
            same(&x.sort(0isize).0, t, &sorted, "sort");
            let median = columns(&v, |c| {
                let mut c = c.to_vec();
                c.sort_unstable();
                vec![c[7]]
            });
            same(&x.median_dim(0, false).0, t, &median, "median");
            same(
                &x.cummax(0).0,
                t,
                &columns(&v, |c| (0..16).map(|i| *c[..=i].iter().max().unwrap()).collect()),
                "cummax",
            );
            let top = columns(&v, |c| {
                let mut c = c.to_vec();
                c.sort_unstable_by(|a, b| b.cmp(a));
                c[..3].to_vec()
            });
            same(&x.topk(3, wgtorch::TopkOptions::new().dim(0)).0, t, &top, "topk");
            let mut all = v.clone();
            all.sort_unstable();
            all.dedup();
            same(&x.unique(None).values, t, &all, "unique");
            // comparisons see every bit
            let other = upload(&v.iter().map(|x| wrap(x ^ 1, t)).collect::<Vec<_>>(), &[16, 3], t, d);
            assert!(!x.eq(&other).any().item::<bool>().unwrap());
            let less: Vec<i64> = v.iter().map(|x| i64::from(*x < wrap(x ^ 1, t))).collect();
            same(&x.lt(&other).to(I64), I64, &less, "lt");
            same(&x.maximum(&other), t, &v.iter().map(|x| (*x).max(wrap(x ^ 1, t))).collect::<Vec<_>>(), "maximum");
        }
    }
}

#[test]
fn matrix_products() {
    for d in devices() {
        for t in INTS {
            let (a, b) = (numbers(5 * 7, t, 11), numbers(7 * 4, t, 13));
            let (x, y) = (upload(&a, &[5, 7], t, d), upload(&b, &[7, 4], t, d));
            let want: Vec<i64> = (0..20)
                .map(|i| {
                    let (r, c) = (i / 4, i % 4);
                    wrap((0..7).fold(0i64, |s, k| s.wrapping_add(a[r * 7 + k].wrapping_mul(b[k * 4 + c]))), t)
                })
                .collect();
            same(&x.matmul(&y), t, &want, "matmul");
            same(&y.t().mm(&x.t()).t(), t, &want, "mm of transposes");
            same(&x.unsqueeze(0).bmm(&y.unsqueeze(0)).squeeze(), t, &want, "bmm");
            same(&x.mv(&y.i((.., 0))), t, &want.iter().step_by(4).copied().collect::<Vec<_>>(), "mv");
            same(&x.i(1).dot(&y.i((.., 2))), t, &[want[6]], "dot");
        }
    }
}

#[test]
fn division_at_the_edges() {
    for d in devices() {
        for t in INTS {
            let (a, mut b) = (numbers(60, t, 17), numbers(60, t, 19));
            b.iter_mut().for_each(|x| *x = if *x == 0 { 1 } else { *x });
            // the least number by -1, and neighbours beyond 2^53
            let mut a = a;
            for (i, (n, m)) in
                [(least(t), -1), (least(t), 1), (least(t) + 1, -1), (7, -2), (-7, 2), (-8, 2)].into_iter().enumerate()
            {
                (a[i], b[i]) = (wrap(n, t), wrap(m, t));
            }
            let (x, y) = (upload(&a, &[60], t, d), upload(&b, &[60], t, d));
            let each =
                |f: fn(i64, i64) -> i64| -> Vec<i64> { a.iter().zip(&b).map(|(a, b)| wrap(f(*a, *b), t)).collect() };
            let floor = |a: i64, b: i64| {
                let q = a.wrapping_div(b);
                if a.wrapping_rem(b) != 0 && (a < 0) != (b < 0) { q - 1 } else { q }
            };
            same(&x.floor_divide(&y), t, &each(floor), "floor_divide");
            same(&x.div_with(&y, RoundingMode::Trunc), t, &each(i64::wrapping_div), "trunc");
            same(&x.fmod(&y), t, &each(i64::wrapping_rem), "fmod");
            let remainder = |a: i64, b: i64| {
                let r = a.wrapping_rem(b);
                if r != 0 && (r < 0) != (b < 0) { r + b } else { r }
            };
            same(&x.remainder(&y), t, &each(remainder), "remainder");
            same(&(&x * &y), t, &each(i64::wrapping_mul), "mul");
            same(&(&x + &y), t, &each(i64::wrapping_add), "add");
            same(&(&x - &y), t, &each(i64::wrapping_sub), "sub");
            let zero = upload(&[0], &[1], t, d);
            for r in [x.checked().floor_divide(&zero), x.checked().remainder(&zero), x.checked().fmod(&zero)] {
                match r {
                    Err(e) => assert!(d == Device::Cpu && e.to_string().contains("ZeroDivisionError"), "{e}"),
                    // no trap on a GPU: zero, as documented
                    Ok(r) => {
                        assert!(d.is_gpu());
                        same(&r, t, &[0; 60], "by zero");
                    }
                }
            }
        }
    }
}

#[test]
fn shifts() {
    for d in devices() {
        for t in INTS {
            let bits = 8 * t.size() as i64;
            let v = numbers(40, t, 23);
            let by: Vec<i64> = (0..40).map(|i| wrap(i * 3 % (bits + 3) - 1, t)).collect();
            let (x, y) = (upload(&v, &[40], t, d), upload(&by, &[40], t, d));
            let out = |s: i64| s < 0 || s >= bits;
            let left: Vec<i64> =
                v.iter().zip(&by).map(|(a, s)| if out(*s) { 0 } else { wrap(a.wrapping_shl(*s as u32), t) }).collect();
            let right: Vec<i64> =
                v.iter().zip(&by).map(|(a, s)| if out(*s) { if *a < 0 { -1 } else { 0 } } else { a >> s }).collect();
            same(&x.bitwise_left_shift(&y), t, &left, "shift left");
            same(&x.bitwise_right_shift(&y), t, &right, "shift right");
        }
    }
}

#[test]
fn moves_keep_every_bit() {
    for d in devices() {
        for t in INTS {
            let v = numbers(24, t, 29);
            let x = upload(&v, &[6, 4], t, d);
            let rows = tensor!([5, 0, 5], d);
            let picked: Vec<i64> = [5, 0, 5].iter().flat_map(|r| v[r * 4..][..4].to_vec()).collect();
            same(&x.index_select(0, &rows), t, &picked, "index_select");
            same(&x.i(&rows), t, &picked, "x[rows]");
            same(&cat(&[x.clone(), x.clone()], 0), t, &[v.clone(), v.clone()].concat(), "cat");
            same(&x.flip([0, 1]), t, &v.iter().rev().copied().collect::<Vec<_>>(), "flip");
            same(&x.t().contiguous().t(), t, &v, "transposes");
            // duplicates add up, and wrap
            let twice = zeros([1, 4], (t, d)).index_add(0, &tensor!([0, 0], d), &x.i(0..2), 1);
            let want: Vec<i64> = (0..4).map(|c| wrap(v[c].wrapping_add(v[4 + c]), t)).collect();
            same(&twice, t, &want, "index_add");
            let y = zeros([4], (t, d));
            y.index_put_(tensor!([1, 1], d), &x.i((0, 0..2)), true);
            same(&y, t, &[0, wrap(v[0].wrapping_add(v[1]), t), 0, 0], "index_put_");
            same(&x.pad([1, 0], 7).i((.., 0)), t, &[7; 6], "pad");
        }
    }
}

/// Sums and products of 16-bit floats run in 32 bits and are rounded once.
#[test]
fn sixteen_bit_floats_are_rounded_once() {
    for d in devices() {
        for t in [F16, BF16] {
            let v: Vec<f64> = (0..96).map(|i| ((i * 37 % 101) as f64 - 50.0) / 16.0).collect();
            let x = tensor!(v, d).to(t).view([8, 12]);
            let wide = x.to(F32);
            let check = |got: Tensor, want: Tensor, what: &str| {
                let (a, b) = (got.to(F32).to_vec::<f32>().unwrap(), want.to(t).to(F32).to_vec::<f32>().unwrap());
                assert_eq!(got.dtype(), t, "{what}");
                assert_eq!(a, b, "{what} of {t} on {d}");
            };
            check(x.sum_dim(1, false), wide.sum_dim(1, false), "sum");
            check(x.mean(), wide.mean(), "mean");
            check(x.prod_dim(0, false), wide.prod_dim(0, false), "prod");
            check(x.cumsum(0, ()), wide.cumsum(0, ()), "cumsum");
            check(x.matmul(&x.t()), wide.matmul(&wide.t()), "matmul");
            check(x.amax(0, false), wide.amax(0, false), "amax");
            check(x.sort(0isize).0, wide.sort(0isize).0, "sort");
            check(&x / &x.abs().add(1.0), &wide / &wide.abs().add(1.0).to(t).to(F32), "div");
            check(x.exp(), wide.exp(), "exp");
            check(x.pow(3), wide.pow(3), "pow");
            check(x.var_dim(1, false), wide.var_dim(1, false), "var");
        }
    }
}
