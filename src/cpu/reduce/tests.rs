//! Reductions against plain loops in f64, and PyTorch's rules for NaN, ties, empties and accumulation.

use super::*;

fn noise(n: usize, seed: u64) -> Vec<f64> {
    let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..n)
        .map(|_| {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            (x >> 40) as f64 / (1u64 << 24) as f64 - 0.25
        })
        .collect()
}

fn strides(shape: &[usize]) -> Vec<usize> {
    let mut s = vec![1; shape.len()];
    for d in (0..shape.len().saturating_sub(1)).rev() {
        s[d] = s[d + 1] * shape[d + 1].max(1);
    }
    s
}

/// (shape, strides, elements needed): contiguous, permuted, expanded, and sizes around every switch.
fn layouts() -> Vec<(Vec<usize>, Vec<usize>, usize)> {
    let mut list = Vec::new();
    for shape in [
        vec![],
        vec![1],
        vec![7],
        vec![5000],
        vec![140_000],
        vec![3, 5],
        vec![33, 65],
        vec![2, 3, 4],
        vec![5, 1, 7, 3],
        vec![0, 3],
        vec![3, 0],
        vec![70_000, 3],
        vec![300, 700],
        vec![2, 150, 600],
        vec![9, 4, 11, 13],
    ] {
        let s = strides(&shape);
        let n: usize = shape.iter().product();
        list.push((shape.clone(), s.clone(), n));
        if shape.len() > 1 {
            let (mut a, mut b) = (shape.clone(), s.clone());
            a.reverse();
            b.reverse();
            list.push((a, b, n));
            let (mut a, mut b) = (shape.clone(), s.clone());
            a.rotate_left(1);
            b.rotate_left(1);
            list.push((a.clone(), b.clone(), n));
            a.push(3);
            b.push(0);
            list.push((a, b, n));
        }
    }
    list
}

/// Elements of each output in row-major order of the reduced dims.
fn groups<T: Copy>(x: &[T], shape: &[usize], st: &[usize], mask: &[bool]) -> Vec<Vec<T>> {
    let kept: Vec<usize> = (0..shape.len()).filter(|&d| !mask[d]).collect();
    let outputs: usize = kept.iter().map(|&d| shape[d]).product();
    let mut list = vec![Vec::new(); outputs];
    let total: usize = shape.iter().product();
    for i in 0..total {
        let (mut rest, mut index, mut at) = (i, vec![0; shape.len()], 0);
        for d in (0..shape.len()).rev() {
            index[d] = rest % shape[d];
            rest /= shape[d];
            at += index[d] * st[d];
        }
        let o = kept.iter().fold(0, |o, &d| o * shape[d] + index[d]);
        list[o].push(x[at]);
    }
    list
}

fn masks(rank: usize) -> impl Iterator<Item = Vec<bool>> {
    (0..1usize << rank).map(move |bits| (0..rank).map(|d| bits >> d & 1 == 1).collect())
}

fn run<T: Number, O: Number>(
    x: &[T],
    shape: &[usize],
    st: &[usize],
    mask: &[bool],
    f: impl Fn(ViewMut<O>, View<T>),
) -> Vec<O> {
    let kept: Vec<usize> = (0..shape.len()).filter(|&d| !mask[d]).map(|d| shape[d]).collect();
    let mut out = vec![O::ONE; kept.iter().product()];
    f(ViewMut::from_slice(&mut out, &kept, &strides(&kept)), View::from_slice(x, shape, st));
    out
}

fn close(got: f64, want: f64, rel: f64, n: usize) {
    let same = got == want || (got.is_nan() && want.is_nan());
    assert!(same || (got - want).abs() <= rel * (want.abs() + (n as f64).sqrt()), "{got} for {want} of {n}");
}

#[test]
fn sums_and_moments_over_every_set_of_dims() {
    for (shape, st, n) in layouts() {
        let wide = noise(n, 3);
        let x: Vec<f32> = wide.iter().map(|&v| v as f32).collect();
        let whole: Vec<i64> = wide.iter().map(|&v| (v * 100.0) as i64).collect();
        for mask in masks(shape.len()) {
            let sums = run::<f32, f32>(&x, &shape, &st, &mask, |o, x| sum(o, x, &mask));
            let means = run::<f32, f32>(&x, &shape, &st, &mask, |o, x| mean(o, x, &mask));
            let vars = run::<f32, f32>(&x, &shape, &st, &mask, |o, x| var_mean(o, None, x, &mask, 1.0, false));
            let norms = run::<f32, f32>(&x, &shape, &st, &mask, |o, x| norm(o, x, &mask, 2.0));
            let exact = run::<i64, i64>(&whole, &shape, &st, &mask, |o, x| sum(o, x, &mask));
            for (o, g) in groups(&x, &shape, &st, &mask).into_iter().enumerate() {
                let g: Vec<f64> = g.into_iter().map(f64::from).collect();
                let (len, total) = (g.len(), g.iter().sum::<f64>());
                close(sums[o].into(), total, 1e-6, len);
                close(means[o].into(), total / len as f64, 1e-6, 1);
                let m = total / len as f64;
                let squares: f64 = g.iter().map(|v| (v - m) * (v - m)).sum();
                close(vars[o].into(), squares / (len as f64 - 1.0).max(0.0), 1e-6, 1);
                close(norms[o].into(), g.iter().map(|v| v * v).sum::<f64>().sqrt(), 1e-6, 1);
            }
            let want: Vec<i64> = groups(&whole, &shape, &st, &mask).iter().map(|g| g.iter().sum()).collect();
            assert_eq!(exact, want);
        }
    }
}

#[test]
fn extrema_and_logic_over_every_set_of_dims() {
    for (shape, st, n) in layouts() {
        // few distinct values: ties everywhere
        let x: Vec<f64> = noise(n, 5).into_iter().map(|v| (v * 20.0).round()).collect();
        for mask in masks(shape.len()) {
            let any_ = run::<f64, bool>(&x, &shape, &st, &mask, |o, x| any(o, x, &mask));
            let all_ = run::<f64, bool>(&x, &shape, &st, &mask, |o, x| all(o, x, &mask));
            let counts = run::<f64, i64>(&x, &shape, &st, &mask, |o, x| count_nonzero(o, x, &mask));
            let most = run::<f64, f64>(&x, &shape, &st, &mask, |o, x| amax(o, x, &mask));
            let least = run::<f64, f64>(&x, &shape, &st, &mask, |o, x| amin(o, x, &mask));
            for (o, g) in groups(&x, &shape, &st, &mask).into_iter().enumerate() {
                assert_eq!(any_[o], g.iter().any(|&v| v != 0.0));
                assert_eq!(all_[o], g.iter().all(|&v| v != 0.0));
                assert_eq!(counts[o], g.iter().filter(|&&v| v != 0.0).count() as i64);
                assert_eq!(most[o], g.iter().copied().fold(f64::NEG_INFINITY, f64::max));
                assert_eq!(least[o], g.iter().copied().fold(f64::INFINITY, f64::min));
            }
        }
        for dim in 0..shape.len() {
            if shape[dim] == 0 {
                continue;
            }
            let mask: Vec<bool> = (0..shape.len()).map(|d| d == dim).collect();
            let values = run::<f64, f64>(&x, &shape, &st, &mask, |o, x| max_dim(Some(o), None, x, dim));
            let at = run::<f64, i64>(&x, &shape, &st, &mask, |o, x| max_dim(None, Some(o), x, dim));
            let low = run::<f64, i64>(&x, &shape, &st, &mask, |o, x| min_dim(None, Some(o), x, dim));
            for (o, g) in groups(&x, &shape, &st, &mask).into_iter().enumerate() {
                let best = g.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                assert_eq!((values[o], at[o]), (best, g.iter().position(|&v| v == best).unwrap() as i64));
                let best = g.iter().copied().fold(f64::INFINITY, f64::min);
                assert_eq!(low[o], g.iter().position(|&v| v == best).unwrap() as i64);
            }
        }
    }
}

#[test]
fn nan_wins_and_keeps_its_first_place() {
    for n in [3usize, 40, 5000, 200_000] {
        for (a, b) in [(n / 3, n - 1), (0, 1)] {
            let mut x = vec![1f32; n];
            x[n / 2] = f32::INFINITY;
            x[a] = f32::NAN;
            x[b] = f32::NAN;
            for (shape, st, dim) in [([n, 1], [1, 1], 0), ([1, n], [n, 1], 1)] {
                let mask = [dim == 0, dim == 1];
                let at = run::<f32, i64>(&x, &shape, &st, &mask, |o, v| max_dim(None, Some(o), v, dim));
                let low = run::<f32, i64>(&x, &shape, &st, &mask, |o, v| min_dim(None, Some(o), v, dim));
                assert_eq!((at[0], low[0]), (a.min(b) as i64, a.min(b) as i64));
            }
            let most = run::<f32, f32>(&x, &[n], &[1], &[true], |o, v| amax(o, v, &[true]));
            assert!(most[0].is_nan());
        }
    }
    // columns
    let x = [1.0, f32::NAN, 3.0, 5.0, f32::NAN, 0.0];
    let at = run::<f32, i64>(&x, &[3, 2], &[2, 1], &[true, false], |o, v| max_dim(None, Some(o), v, 0));
    assert_eq!(at, [2, 0]);
    let zeros = vec![0f32; 100_000];
    assert_eq!(run::<f32, i64>(&zeros, &[100_000], &[1], &[true], |o, v| max_dim(None, Some(o), v, 0)), [0]);
    let low = vec![f32::NEG_INFINITY; 70];
    assert_eq!(run::<f32, i64>(&low, &[70], &[1], &[true], |o, v| max_dim(None, Some(o), v, 0)), [0]);
}

#[test]
fn empty_dims_give_the_value_of_nothing() {
    let x: [f32; 0] = [];
    let (shape, st, mask) = ([0, 2], [2, 1], [true, false]);
    assert_eq!(run::<f32, f32>(&x, &shape, &st, &mask, |o, x| sum(o, x, &mask)), [0.0, 0.0]);
    assert_eq!(run::<f32, f32>(&x, &shape, &st, &mask, |o, x| prod(o, x, &mask)), [1.0, 1.0]);
    assert!(run::<f32, f32>(&x, &shape, &st, &mask, |o, x| mean(o, x, &mask)).iter().all(|v| v.is_nan()));
    assert_eq!(run::<f32, bool>(&x, &shape, &st, &mask, |o, x| all(o, x, &mask)), [true, true]);
    assert_eq!(run::<f32, bool>(&x, &shape, &st, &mask, |o, x| any(o, x, &mask)), [false, false]);
}

#[test]
fn long_sums_stay_accurate() {
    // 2e7 times f32(0.1) is 2000000.0298; PyTorch says 1999998.875, a plain loop is off by a tenth
    let n = 20_000_000;
    let x = vec![0.1f32; n];
    let s = run::<f32, f32>(&x, &[n], &[1], &[true], |o, v| sum(o, v, &[true]))[0];
    assert!((f64::from(s) - 2_000_000.03).abs() < 2.0, "{s}");
    let s = run::<f32, f32>(&x, &[n / 4, 4], &[4, 1], &[true, false], |o, v| sum(o, v, &[true, false]));
    assert!(s.iter().all(|&s| (f64::from(s) - 500_000.007).abs() < 0.5), "{s:?}");
    let far = [1e8f32 - 8.0, 1e8 + 8.0];
    assert_eq!(run::<f32, f32>(&far, &[2], &[1], &[true], |o, v| var_mean(o, None, v, &[true], 0.0, false)), [64.0]);
    let bools = vec![true; 300];
    assert_eq!(run::<bool, i64>(&bools, &[300], &[1], &[true], |o, v| sum(o, v, &[true])), [300]);
}

#[test]
fn computed_sums_equal_stored_ones_to_the_bit() {
    for (rows, n) in [(1, 200_000), (3, 140_001), (100, 5000), (7, 31), (2, 0)] {
        let x: Vec<f32> = noise(rows * n, 9).into_iter().map(|v| v as f32).collect();
        let stored = run::<f32, f32>(&x, &[rows, n], &[n, 1], &[false, true], |o, v| sum(o, v, &[false, true]));
        let mut out = vec![9f32; rows];
        computed(Computed::Sum, ViewMut::from_slice(&mut out, &[rows], &[1]), rows, n, |r, b: &mut [f32]| {
            b.copy_from_slice(&x[r])
        });
        assert_eq!(out, stored);
    }
}

#[test]
#[ignore = "prints times"]
fn bench_reduce() {
    let x: Vec<f32> = noise(4 << 20, 1).into_iter().map(|v| v as f32).collect();
    let time = |name: &str, f: &dyn Fn()| {
        let mut best = f64::MAX;
        for _ in 0..200 {
            let t = std::time::Instant::now();
            f();
            best = best.min(t.elapsed().as_secs_f64());
        }
        println!("{name}: {:.3} ms", best * 1e3);
    };
    let all_dims = [true, true];
    let (shape, st) = ([4096, 1024], [1024, 1]);
    let f = |mask: [bool; 2]| drop(run::<f32, f32>(&x, &shape, &st, &mask, |o, v| sum(o, v, &mask)));
    time("sum 4M", &|| f(all_dims));
    time("sum 4096x1024 last", &|| f([false, true]));
    time("sum 4096x1024 first", &|| f([true, false]));
    time("amax 4M", &|| drop(run::<f32, f32>(&x, &shape, &st, &all_dims, |o, v| amax(o, v, &all_dims))));
    time("argmax 4096x1024 last", &|| {
        drop(run::<f32, i64>(&x, &shape, &st, &[false, true], |o, v| max_dim(None, Some(o), v, 1)))
    });
    time("argmax 4096x1024 first", &|| {
        drop(run::<f32, i64>(&x, &shape, &st, &[true, false], |o, v| max_dim(None, Some(o), v, 0)))
    });
    time("var 4096x1024 last", &|| {
        drop(run::<f32, f32>(&x, &shape, &st, &[false, true], |o, v| var_mean(o, None, v, &[false, true], 1.0, false)));
    });
    time("sum 64x10", &|| {
        drop(run::<f32, f32>(&x, &[64, 10], &[10, 1], &[true, false], |o, v| sum(o, v, &[true, false])))
    });
}
