//! Rows of all lengths, from all places of buffers that are NaN around them, against loops in f64; nothing beside a result is written.

use super::super::cross_entropy::{Keep, Results, Source, cross_entropy, cross_entropy_grad};
use super::super::loss::{Reduction, Targets};
use super::super::norm::{LayerNorm, LayerNormInputGrad, layer_norm, layer_norm_input_grad};
use super::super::softmax::{softmax, softmax_grad};
use crate::gpu::Gpu;
use crate::gpu::kernels::testing::{Host, close, noise};
use crate::gpu::testing::{device, down};

/// What stands around results.
const BESIDE: f32 = 7.5;

/// Numbers from a place on, and NaN before and after them.
fn among_nan(g: &Gpu, shape: &[usize], offset: usize, seed: u32) -> Host {
    let n = shape.iter().product();
    let mut data = vec![f32::NAN; offset];
    data.extend(noise(n, seed));
    data.resize(offset + n + 70, f32::NAN);
    let strides = crate::shape::contiguous_strides(shape);
    Host::new(g, data, offset, shape, &strides)
}

/// Room for a result from a place on.
fn room(g: &Gpu, shape: &[usize], offset: usize) -> Host {
    let n: usize = shape.iter().product();
    let strides = crate::shape::contiguous_strides(shape);
    Host::new(g, vec![BESIDE; offset + n + 70], offset, shape, &strides)
}

/// What a result holds; around it nothing has changed.
fn found(g: &Gpu, what: &str, out: &Host) -> Vec<f32> {
    let n: usize = out.shape.iter().product();
    let all: Vec<f32> = down(g, &out.buffer, out.data.len());
    let (before, rest) = all.split_at(out.offset);
    assert!(before.iter().chain(&rest[n..]).all(|v| *v == BESIDE), "{what}: written beside the result");
    rest[..n].to_vec()
}

/// Where operands of the result's kind, those by columns, and the result start.
#[derive(Clone, Copy, Debug)]
struct At {
    like: usize,
    column: usize,
    out: usize,
}

/// Level with the result, from everywhere and not.
const PLACES: [At; 4] = [
    At { like: 0, column: 0, out: 0 },
    At { like: 1, column: 3, out: 0 },
    At { like: 7, column: 8, out: 3 },
    At { like: 2, column: 1, out: 5 },
];

fn row(x: &Host, r: usize) -> Vec<f64> {
    let n = x.shape[1];
    x.data[x.offset + r * n..][..n].iter().map(|v| *v as f64).collect()
}

fn softmaxes(g: &Gpu, rows: usize, n: usize, at: At) {
    let shape = [rows, n];
    let (x, grad) = (among_nan(g, &shape, at.like, 1), among_nan(g, &shape, at.like + 4, 2));
    for log in [false, true] {
        let (y, gx) = (room(g, &shape, at.out), room(g, &shape, at.out));
        softmax(&mut g.lock(), &x.view(), &y.view(), 1, log).unwrap();
        let (mut want, mut back) = (Vec::new(), Vec::new());
        for r in 0..rows {
            let (v, dy) = (row(&x, r), row(&grad, r));
            let sum: f64 = v.iter().map(|v| v.exp()).sum();
            let p: Vec<f64> = v.iter().map(|v| v.exp() / sum).collect();
            let dot: f64 = if log { dy.iter().sum() } else { dy.iter().zip(&p).map(|(a, b)| a * b).sum() };
            want.extend(p.iter().map(|p| if log { p.ln() } else { *p }));
            back.extend(dy.iter().zip(&p).map(|(d, p)| if log { d - p * dot } else { p * (d - dot) }));
        }
        let what = format!("softmax of {rows} rows of {n}, {at:?}, log {log}");
        let got = found(g, &what, &y);
        close(&what, &got, &want, 2e-6);
        // the gradient takes an output that lies as its other operands do
        let mut data = vec![f32::NAN; at.like];
        data.extend(&got);
        data.resize(data.len() + 70, f32::NAN);
        let y = Host::new(g, data, at.like, &shape, &x.strides);
        softmax_grad(&mut g.lock(), &y.view(), &grad.view(), &gx.view(), 1, log).unwrap();
        close(&format!("gradient of {what}"), &found(g, &what, &gx), &back, 5e-6);
    }
}

fn norms(g: &Gpu, rows: usize, n: usize, at: At, factors: bool) {
    let shape = [rows, n];
    let (x, grad) = (among_nan(g, &shape, at.like, 1), among_nan(g, &shape, at.like + 8, 2));
    let (w, b) = (among_nan(g, &[n], at.column, 3), among_nan(g, &[n], at.column + 4, 4));
    let (y, mean, rstd) = (room(g, &shape, at.out), room(g, &[rows, 1], 1), room(g, &[rows, 1], 2));
    let gx = room(g, &shape, at.out);
    let weight = factors.then(|| w.view());
    let forward = LayerNorm {
        x: x.view(),
        weight,
        bias: factors.then(|| b.view()),
        out: [y.view(), mean.view(), rstd.view()],
        n,
        eps: 1e-2,
    };
    let statistics = [mean.view(), rstd.view()];
    let backward = LayerNormInputGrad { grad: grad.view(), x: x.view(), weight, statistics, out: gx.view(), n };
    {
        let rec = &mut g.lock();
        layer_norm(rec, &forward).unwrap();
        layer_norm_input_grad(rec, &backward).unwrap();
    }
    let (mut want, mut back, mut means, mut rstds) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for r in 0..rows {
        let v = row(&x, r);
        let m = v.iter().sum::<f64>() / n as f64;
        let s = 1.0 / (v.iter().map(|v| (v - m) * (v - m)).sum::<f64>() / n as f64 + 1e-2).sqrt();
        let factor = |f: &Host, j: usize, none: f64| if factors { f.data[f.offset + j] as f64 } else { none };
        let y: Vec<f64> = v.iter().map(|v| (v - m) * s).collect();
        want.extend((0..n).map(|j| y[j] * factor(&w, j, 1.0) + factor(&b, j, 0.0)));
        let d: Vec<f64> = row(&grad, r).iter().enumerate().map(|(j, d)| d * factor(&w, j, 1.0)).collect();
        let shift = d.iter().sum::<f64>() / n as f64;
        let slope = d.iter().zip(&y).map(|(d, y)| d * y).sum::<f64>() / n as f64;
        back.extend((0..n).map(|j| s * (d[j] - shift - y[j] * slope)));
        means.push(m);
        rstds.push(s);
    }
    let what = format!("layer norm of {rows} rows of {n}, {at:?}, factors {factors}");
    close(&what, &found(g, &what, &y), &want, 2e-5);
    close(&format!("{what}: means"), &found(g, &what, &mean), &means, 1e-5);
    close(&format!("{what}: deviations"), &found(g, &what, &rstd), &rstds, 2e-5);
    close(&format!("{what}: gradient"), &found(g, &what, &gx), &back, 1e-4);
}

fn losses(g: &Gpu, rows: usize, n: usize, at: At) {
    let shape = [rows, n];
    let x = among_nan(g, &shape, at.like, 1);
    let targets: Vec<i64> = (0..rows).map(|r| ((r * 7 + n - 1) % n) as i64).collect();
    let index = Host::dense(g, targets.clone(), &[rows]);
    let t = Targets { index: index.i64(), weight: None, ignore_index: -100, reduction: Reduction::None };
    let (loss, total, kept, gx) =
        (room(g, &[rows], 1), room(g, &[1], 2), room(g, &[rows, 4], 0), room(g, &shape, at.out));
    let grad = among_nan(g, &[rows], 3, 5);
    {
        let rec = &mut g.lock();
        let keep = Keep::Totals(kept.view());
        cross_entropy(rec, &x.view(), &t, &Results { loss: loss.view(), total: total.view(), keep }, 0).unwrap();
        let from = Source::Logits(x.view(), kept.view());
        cross_entropy_grad(rec, &t, &grad.view(), &total.view(), from, &gx.view()).unwrap();
    }
    let (mut want, mut back) = (Vec::new(), Vec::new());
    for (r, t) in targets.iter().enumerate() {
        let v = row(&x, r);
        let sum: f64 = v.iter().map(|v| v.exp()).sum();
        want.push(sum.ln() - v[*t as usize]);
        let d = grad.data[3 + r] as f64;
        back.extend((0..n).map(|j| d * (v[j].exp() / sum - f64::from(j as i64 == *t))));
    }
    let what = format!("cross entropy of {rows} rows of {n}, {at:?}");
    close(&what, &found(g, &what, &loss), &want, 5e-6);
    found(g, &what, &kept);
    close(&format!("{what}: gradient"), &found(g, &what, &gx), &back, 5e-6);
}

fn all(g: &Gpu, rows: usize, n: usize) {
    for (i, at) in PLACES.into_iter().enumerate() {
        softmaxes(g, rows, n, at);
        norms(g, rows, n, at, !(rows + i).is_multiple_of(3));
        losses(g, rows, n, at);
    }
}

#[test]
fn short_rows_among_nan() {
    let Some(g) = device() else { return };
    for (rows, n) in [(37, 1), (34, 2), (67, 3), (1, 3), (35, 4), (33, 5), (5, 6), (70, 7), (43, 8), (18, 9), (9, 10)] {
        all(&g, rows, n);
    }
    // several turns of a workgroup
    norms(&g, 4 * 8 * 200 + 3, 3, PLACES[0], true);
    norms(&g, 8 * 300 + 3, 10, PLACES[3], true);
    // so many that four rows are a lane's
    losses(&g, 26_301, 10, PLACES[0]);
    softmaxes(&g, 29_203, 9, PLACES[1]);
    norms(&g, 32_802, 8, PLACES[1], true);
    norms(&g, 43_701, 6, PLACES[0], true);
}

#[test]
fn rows_of_a_lane_among_nan() {
    let Some(g) = device() else { return };
    for (rows, n) in [(19, 13), (9, 17), (11, 32), (10, 58), (2, 66)] {
        all(&g, rows, n);
    }
    // workgroups side by side that store into the same quads
    softmaxes(&g, 15_001, 13, PLACES[2]);
}

#[test]
fn rows_of_many_lanes_among_nan() {
    let Some(g) = device() else { return };
    for (rows, n) in [(3, 65), (5, 130), (3, 255), (2, 257), (6, 1000), (4, 1021), (3, 1023), (2, 2047), (2, 4099)] {
        all(&g, rows, n);
    }
    // workgroups side by side that store into the same quads
    softmaxes(&g, 4000, 129, PLACES[0]);
    norms(&g, 200, 130, PLACES[0], true);
    norms(&g, 200, 257, PLACES[1], true);
}
