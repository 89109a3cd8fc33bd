use super::*;

fn noise(n: usize, seed: u64) -> Vec<f64> {
    let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..n)
        .map(|_| {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            ((x >> 40) as f64 / (1u64 << 24) as f64 - 0.5) * 12.0
        })
        .collect()
}

#[test]
fn exp_is_within_an_ulp_and_right_at_the_edges() {
    let mut worst: f64 = 0.0;
    for i in -104_000..89_000 {
        let x = i as f32 / 1000.0;
        let (got, want) = (f64::from(x.vec_exp(true)), f64::from(x).exp());
        if want < f64::from(f32::MAX) {
            let ulp = f64::from(f32::EPSILON) * want.max(f64::from(f32::MIN_POSITIVE)) / 2.0;
            worst = worst.max((got - want).abs() / ulp / 2.0);
        }
    }
    assert!(worst <= 1.0, "{worst} ulp");
    let mut worst: f64 = 0.0;
    for i in -708_000..709_000 {
        let x = f64::from(i) / 1000.0;
        worst = worst.max((x.vec_exp(true) / x.exp() - 1.0).abs() / f64::EPSILON);
    }
    assert!(worst <= 1.5, "{worst} ulp");
    for fma in [false, true] {
        assert_eq!(
            [f32::NEG_INFINITY, -200.0, 0.0, 100.0, f32::INFINITY].map(|x| x.vec_exp(fma)),
            [0.0, 0.0, 1.0, f32::INFINITY, f32::INFINITY]
        );
        assert_eq!([f64::NEG_INFINITY, -800.0, 0.0, 800.0].map(|x| x.vec_exp(fma)), [0.0, 0.0, 1.0, f64::INFINITY]);
        assert!(f32::NAN.vec_exp(fma).is_nan() && f64::NAN.vec_exp(fma).is_nan());
    }
}

fn check<T: Number>(shape: [usize; 3], st: [usize; 3], rel: f64)
where
    T::Acc: VecFloat,
{
    let n: usize = shape.iter().product();
    let make = |seed| noise(n, seed).into_iter().map(T::from_f64).collect::<Vec<T>>();
    let (x, g) = (make(1), make(2));
    let so = [shape[1] * shape[2], shape[2], 1];
    for dim in 0..3 {
        for log in [false, true] {
            let (mut y, mut gx) = (vec![T::ZERO; n], vec![T::ONE; n]);
            softmax(ViewMut::from_slice(&mut y, &shape, &so), View::from_slice(&x, &shape, &st), dim, log);
            let (vg, vy) = (View::from_slice(&g, &shape, &st), View::from_slice(&y, &shape, &so));
            softmax_grad(ViewMut::from_slice(&mut gx, &shape, &so), vg, vy, dim, log);
            for i in 0..n {
                let index = [i / so[0], i / so[1] % shape[1], i % shape[2]];
                let at =
                    |s: [usize; 3], k: usize| (0..3).map(|d| s[d] * if d == dim { k } else { index[d] }).sum::<usize>();
                let line = |v: &[T], s: [usize; 3]| (0..shape[dim]).map(|k| v[at(s, k)].to_f64()).collect::<Vec<f64>>();
                let (row, grads) = (line(&x, st), line(&g, st));
                let total: f64 = row.iter().map(|v| v.exp()).sum();
                let p: Vec<f64> = row.iter().map(|v| v.exp() / total).collect();
                let k = index[dim];
                let want = if log { p[k].ln() } else { p[k] };
                assert!((y[i].to_f64() - want).abs() <= rel * (1.0 + want.abs()), "{} for {want}", y[i].to_f64());
                // the gradient of the y that was stored
                let ys = line(&y, so);
                let want = if log {
                    grads[k] - ys[k].exp() * grads.iter().sum::<f64>()
                } else {
                    ys[k] * (grads[k] - grads.iter().zip(&ys).map(|(g, p)| g * p).sum::<f64>())
                };
                assert!(
                    (gx[i].to_f64() - want).abs() <= 20.0 * rel * (1.0 + want.abs()),
                    "{} for {want}",
                    gx[i].to_f64()
                );
            }
        }
    }
}

#[test]
fn every_dim_and_layout_agrees_with_loops() {
    for shape in [[2, 3, 5], [1, 70, 33], [3, 1, 140], [4, 65, 1], [2, 18, 7], [3, 400, 5], [30, 9, 16]] {
        for st in
            [[shape[1] * shape[2], shape[2], 1], [1, shape[0], shape[0] * shape[1]], [shape[2], shape[0] * shape[2], 1]]
        {
            check::<f64>(shape, st, 1e-14);
            check::<f32>(shape, st, 2e-6);
        }
    }
}

#[test]
fn long_columns_are_cut_into_pieces() {
    for columns in [1usize, 2, 3, 5, 31, 33, 64] {
        let n = 70_001 / columns;
        let x: Vec<f32> = noise(n * columns, 1).into_iter().map(|v| v as f32).collect();
        let g: Vec<f32> = noise(n * columns, 2).into_iter().map(|v| v as f32).collect();
        let (shape, st) = ([n, columns, 1], [columns, 1, 1]);
        for log in [false, true] {
            let (mut y, mut gx) = (vec![0f32; x.len()], vec![0f32; x.len()]);
            softmax(ViewMut::from_slice(&mut y, &shape, &st), View::from_slice(&x, &shape, &st), 0, log);
            let (vg, vy) = (View::from_slice(&g, &shape, &st), View::from_slice(&y, &shape, &st));
            softmax_grad(ViewMut::from_slice(&mut gx, &shape, &st), vg, vy, 0, log);
            for c in 0..columns {
                let column = |v: &[f32]| -> Vec<f64> { v.iter().skip(c).step_by(columns).map(|&v| v.into()).collect() };
                let (x, g, y, gx) = (column(&x), column(&g), column(&y), column(&gx));
                let total: f64 = x.iter().map(|v| v.exp()).sum();
                let dot: f64 = g.iter().zip(&y).map(|(g, y)| if log { *g } else { g * y }).sum();
                for i in 0..n {
                    let p = x[i].exp() / total;
                    let want = if log { p.ln() } else { p };
                    assert!((y[i] - want).abs() <= 2e-6 * want.abs(), "{columns} {log}: {} for {want}", y[i]);
                    let want = if log { g[i] - y[i].exp() * dot } else { y[i] * (g[i] - dot) };
                    assert!(
                        (gx[i] - want).abs() <= 1e-5 * (want.abs() + y[i].abs()),
                        "{columns} {log}: {} for {want}",
                        gx[i]
                    );
                }
            }
        }
    }
}

#[test]
fn infinities_and_empties() {
    let inf = f32::INFINITY;
    for n in [3usize, 50] {
        let row = |x: Vec<f32>, log| {
            let mut y = vec![7f32; n];
            softmax(ViewMut::from_slice(&mut y, &[n], &[1]), View::from_slice(&x, &[n], &[1]), 0, log);
            y
        };
        assert!(row(vec![-inf; n], false).iter().all(|v| v.is_nan()));
        assert!(row(vec![-inf; n], true).iter().all(|v| v.is_nan()));
        let mut one = vec![-inf; n];
        one[1] = 3.0;
        assert_eq!(row(one.clone(), false)[..3], [0.0, 1.0, 0.0]);
        assert_eq!(row(one, true)[..3], [-inf, 0.0, -inf]);
        let mut nan = vec![0.0; n];
        nan[2] = f32::NAN;
        assert!(row(nan, false).iter().all(|v| v.is_nan()));
    }
    // columns: nothing but minus infinity, one that is not, NaN
    let x: Vec<f32> =
        (0..90).map(|i| [-inf, if i == 31 { 3.0 } else { -inf }, if i == 2 { f32::NAN } else { 1.0 }][i % 3]).collect();
    let mut y = vec![7f32; 90];
    softmax(ViewMut::from_slice(&mut y, &[30, 3], &[3, 1]), View::from_slice(&x, &[30, 3], &[3, 1]), 0, false);
    for (i, v) in y.into_iter().enumerate() {
        assert!(if i % 3 == 1 { v == f32::from(i == 31) } else { v.is_nan() }, "{i}: {v}");
    }
    let mut none: [f32; 0] = [];
    softmax(ViewMut::from_slice(&mut none, &[0, 3], &[3, 1]), View::from_slice(&[], &[0, 3], &[3, 1]), 1, false);
    let mut scalar = [5f32];
    softmax(ViewMut::from_slice(&mut scalar, &[], &[]), View::from_slice(&[2.0], &[], &[]), 0, false);
    assert_eq!(scalar, [1.0]);
}

#[test]
#[ignore = "prints times"]
fn bench_softmax() {
    let x: Vec<f32> = noise(4 << 20, 1).into_iter().map(|v| v as f32).collect();
    let (mut y, mut gx) = (x.clone(), x.clone());
    for (dim, log) in [(1, false), (1, true), (0, false)] {
        let (shape, st) = ([4096, 1024], [1024, 1]);
        let (mut f, mut b) = (f64::MAX, f64::MAX);
        for _ in 0..50 {
            let t = std::time::Instant::now();
            softmax(ViewMut::from_slice(&mut y, &shape, &st), View::from_slice(&x, &shape, &st), dim, log);
            f = f.min(t.elapsed().as_secs_f64());
            let t = std::time::Instant::now();
            let (g, v) = (View::from_slice(&x, &shape, &st), View::from_slice(&y, &shape, &st));
            softmax_grad(ViewMut::from_slice(&mut gx, &shape, &st), g, v, dim, log);
            b = b.min(t.elapsed().as_secs_f64());
        }
        println!("softmax 4096x1024 dim {dim} log {log}: forward {:.3} ms, gradient {:.3} ms", f * 1e3, b * 1e3);
    }
}
