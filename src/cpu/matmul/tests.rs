//! Products of every shape, layout, factor and type against plain loops.

use super::*;

/// A small generator, so that tests need no crate and repeat.
fn noise(n: usize, seed: u64) -> Vec<f64> {
    let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..n)
        .map(|_| {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            (x >> 40) as f64 / (1u64 << 24) as f64 - 0.5
        })
        .collect()
}

struct Case {
    batch: usize,
    m: usize,
    n: usize,
    k: usize,
    /// column-major a, b, out
    t: [bool; 3],
    /// one b for the whole batch
    shared: bool,
    /// 0 none, 1 a row, 2 a column, 3 full
    bias: usize,
    relu: bool,
}

fn run<T: Gemm>(
    c: &Case,
    from: impl Fn(f64) -> T,
    to: impl Fn(T) -> f64,
    alpha: T::Scale,
    beta: T::Scale,
) -> (Vec<f64>, Vec<f64>) {
    let Case { batch, m, n, k, .. } = *c;
    let a: Vec<T> = noise(batch * m * k, 1).into_iter().map(|x| from(x * 8.0)).collect();
    let b: Vec<T> = noise(batch * k * n, 2).into_iter().map(|x| from(x * 8.0)).collect();
    let bias: Vec<T> = noise(batch * m * n, 3).into_iter().map(|x| from(x * 8.0)).collect();
    let mut out: Vec<T> = vec![from(77.0); batch * m * n];
    let st = |t: bool, r: usize, q: usize| if t { [r * q, 1, r] } else { [r * q, q, 1] };
    let (sa, mut sb, so) = (st(c.t[0], m, k), st(c.t[1], k, n), st(c.t[2], m, n));
    if c.shared {
        sb[0] = 0;
    }
    let sv = [[0, 0, 0], [0, 0, 1], [0, 1, 0], [m * n, n, 1]][c.bias];
    let (ha, hb, ho) = ([batch, m, k], [batch, k, n], [batch, m, n]);
    let v = (c.bias != 0).then(|| View::from_slice(&bias, &ho, &sv));
    gemm(
        ViewMut::from_slice(&mut out, &ho, &so),
        View::from_slice(&a, &ha, &sa),
        View::from_slice(&b, &hb, &sb),
        v,
        alpha,
        beta,
        c.relu,
    );
    let (mut got, mut want) = (Vec::new(), Vec::new());
    for z in 0..batch {
        for i in 0..m {
            for j in 0..n {
                let mut s = 0.0;
                for l in 0..k {
                    s += to(a[z * sa[0] + i * sa[1] + l * sa[2]]) * to(b[z * sb[0] + l * sb[1] + j * sb[2]]);
                }
                let mut w = 2.0 * s;
                if c.bias != 0 {
                    w += 3.0 * to(bias[z * sv[0] + i * sv[1] + j * sv[2]]);
                }
                want.push(if c.relu { w.max(0.0) } else { w });
                got.push(to(out[z * so[0] + i * so[1] + j * so[2]]));
            }
        }
    }
    (got, want)
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let sizes = [
        (1, 1, 1, 1),
        (1, 5, 7, 3),
        (3, 4, 2, 9),
        (1, 17, 33, 65),
        (2, 64, 120, 57),
        (1, 130, 120, 256),
        (1, 3, 2, 20000),
        (1, 1, 300, 700),
        (1, 700, 1, 300),
        (1, 1, 1, 100_000),
        (1, 2000, 40, 30),
        (40, 13, 9, 11),
        (1, 4, 4, 0),
        (1, 0, 4, 3),
        (0, 2, 3, 4),
        (2, 300, 200, 150),
        (1, 15, 1100, 600),
        (1, 33, 47, 4200),
        (3, 29, 31, 300),
        (1, 5, 64, 129),
        (1, 3, 1100, 63),
        (4, 2, 2100, 37),
        (1, 1, 5, 4099),
        (1, 6, 70, 200),
    ];
    for (i, (batch, m, n, k)) in sizes.into_iter().enumerate() {
        for bits in 0..8 {
            let t = [bits & 1 != 0, bits & 2 != 0, bits & 4 != 0];
            cases.push(Case {
                batch,
                m,
                n,
                k,
                t,
                shared: (i + bits) % 3 == 0,
                bias: (i + bits) % 4,
                relu: bits % 2 == 1,
            });
        }
    }
    cases
}

fn check(got: &[f64], want: &[f64], rel: f64, c: &Case) {
    assert_eq!(got.len(), c.batch * c.m * c.n);
    for (g, w) in got.iter().zip(want) {
        let bound = rel * (16.0 * (c.k as f64).sqrt() + w.abs() + 12.0);
        assert!((g - w).abs() <= bound, "{g} for {w} in {}x{}x{}x{} {:?}", c.batch, c.m, c.n, c.k, c.t);
    }
}

#[test]
fn floats_agree_with_loops_in_every_layout() {
    for c in cases() {
        let (g, w) = run::<f32>(&c, |x| x as f32, |x| x.into(), 2.0, 3.0);
        check(&g, &w, 3e-6, &c);
        let (g, w) = run::<f64>(&c, |x| x, |x| x, 2.0, 3.0);
        check(&g, &w, 1e-14, &c);
    }
}

#[test]
fn integers_are_exact_and_wrap() {
    for c in cases() {
        let (g, w) = run::<i64>(&c, |x| x.round() as i64, |x| x as f64, 2, 3);
        assert_eq!(g, w);
    }
    let (a, b, mut out) = ([i64::MAX, 2], [2, 5], [0]);
    gemm(
        ViewMut::from_slice(&mut out, &[1, 1], &[1, 1]),
        View::from_slice(&a, &[1, 2], &[2, 1]),
        View::from_slice(&b, &[2, 1], &[1, 1]),
        None,
        1,
        0,
        false,
    );
    assert_eq!(out, [8], "2 * (2^63 - 1) + 10 modulo 2^64");
}

#[test]
fn beta_zero_does_not_read_the_bias_and_relu_keeps_nan() {
    let (a, bias, mut out) = ([f32::NAN, -1.0], [f32::NAN; 2], [5.0f32; 2]);
    let call = |out: &mut [f32; 2], a: &[f32; 2], relu| {
        gemm(
            ViewMut::from_slice(out, &[2, 1], &[1, 1]),
            View::from_slice(a, &[2, 1], &[1, 1]),
            View::from_slice(&[1.0], &[1, 1], &[1, 1]),
            Some(View::from_slice(&bias, &[2, 1], &[1, 1])),
            1.0,
            0.0,
            relu,
        );
    };
    call(&mut out, &a, true);
    assert!(out[0].is_nan());
    assert_eq!(out[1], 0.0);
    call(&mut out, &[2.0, -1.0], false);
    assert_eq!(out, [2.0, -1.0]);
}
