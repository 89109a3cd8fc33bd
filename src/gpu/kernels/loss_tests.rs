//! Losses and gradients against loops in f64: weights, ignored targets, reductions, targets out of range.

use super::*;
use crate::gpu::Gpu;
use crate::gpu::kernels::testing::{Host, close};
use crate::gpu::testing::{check_wgsl, device, down};

struct Wanted {
    losses: Vec<f64>,
    out: Vec<f64>,
    /// The gradient for the log-probabilities, where the loss's gradient is `grad`.
    nll: Vec<f64>,
}

fn wanted(x: &Host, t: &[i64], w: Option<&Host>, ignore: i64, reduction: Reduction, grad: &[f32]) -> Wanted {
    let inner: usize = x.shape[2..].iter().product();
    let classes = x.shape[1];
    let at = |i: usize, c: usize| (i / inner * classes + c) * inner + i % inner;
    let weight = |i: usize| if t[i] == ignore { 0.0 } else { w.map_or(1.0, |w| w.data[t[i] as usize] as f64) };
    let total: f64 = (0..t.len()).map(weight).sum();
    let mut r = Wanted { losses: vec![], out: vec![], nll: vec![0.0; x.data.len()] };
    for i in 0..t.len() {
        let counts = t[i] != ignore;
        r.losses.push(if counts { -weight(i) * x.data[at(i, t[i] as usize)] as f64 } else { 0.0 });
        let scale = match reduction {
            Reduction::None => grad[i] as f64,
            Reduction::Mean => grad[0] as f64 / total,
            Reduction::Sum => grad[0] as f64,
        };
        for c in 0..classes {
            let hit = f64::from(c as i64 == t[i]);
            r.nll[at(i, c)] = if counts { -weight(i) * scale * hit } else { 0.0 };
        }
    }
    r.out = match reduction {
        Reduction::None => r.losses.clone(),
        Reduction::Mean => vec![r.losses.iter().sum::<f64>() / total],
        Reduction::Sum => vec![r.losses.iter().sum()],
    };
    r
}

fn check(g: &Gpu, shape: &[usize], weighted: bool, ignore: i64, reduction: Reduction) {
    let x = Host::noise(g, shape, 1);
    let inner: usize = shape[2..].iter().product();
    let rows = shape[0] * inner;
    let t: Vec<i64> = (0..rows).map(|i| if i % 5 == 3 { ignore } else { ((i * 7) % shape[1]) as i64 }).collect();
    let index = Host::dense(g, t.clone(), &[rows]);
    let weight = Host::dense(g, (0..shape[1]).map(|i| 0.5 + i as f32 / 4.0).collect(), &[shape[1]]);
    let weight = weighted.then_some(&weight);
    let n = if reduction == Reduction::None { rows } else { 1 };
    let grad = Host::noise(g, &[n], 3);
    let want = wanted(&x, &t, weight, ignore, reduction, &grad.data);
    let targets = Targets { index: index.i64(), weight: weight.map(|w| w.view()), ignore_index: ignore, reduction };
    let new = |shape: &[usize]| Host::dense(g, vec![9f32; shape.iter().product()], shape);
    let (out, total, gx) = (new(&[n]), new(&[1]), new(shape));
    {
        let rec = &mut g.lock();
        nll_loss(rec, &x.view(), &targets, &out.view(), &total.view(), 1).unwrap();
        nll_loss_grad(rec, &targets, &grad.view(), &total.view(), &gx.view()).unwrap();
    }
    let what = format!("{shape:?} weighted {weighted} ignore {ignore} {reduction:?}");
    let get = |h: &Host| down::<f32>(g, &h.buffer, h.data.len());
    close(&format!("{what}: loss"), &get(&out), &want.out, 2e-6);
    close(&format!("{what}: gradient"), &get(&gx), &want.nll, 2e-6);
}

#[test]
fn losses_and_gradients() {
    let Some(g) = device() else { return };
    for reduction in [Reduction::None, Reduction::Mean, Reduction::Sum] {
        for weighted in [false, true] {
            check(&g, &[64, 10], weighted, -100, reduction);
            check(&g, &[3, 4, 5, 2], weighted, 2, reduction);
            // more rows than a workgroup has invocations
            check(&g, &[130, 200], weighted, -1, reduction);
        }
    }
}

#[test]
fn all_ignored_is_nan_and_has_no_gradient() {
    let Some(g) = device() else { return };
    let x = Host::noise(&g, &[2, 3], 1);
    let index = Host::dense(&g, vec![-100i64; 2], &[2]);
    let t = Targets { index: index.i64(), weight: None, ignore_index: -100, reduction: Reduction::Mean };
    let new = |shape: &[usize]| Host::dense(&g, vec![9f32; shape.iter().product()], shape);
    let (out, total, grad, gx) = (new(&[1]), new(&[1]), new(&[1]), new(&[2, 3]));
    {
        let rec = &mut g.lock();
        nll_loss(rec, &x.view(), &t, &out.view(), &total.view(), 1).unwrap();
        nll_loss_grad(rec, &t, &grad.view(), &total.view(), &gx.view()).unwrap();
    }
    assert!(down::<f32>(&g, &out.buffer, 1)[0].is_nan());
    assert_eq!(down::<f32>(&g, &gx.buffer, 6), [0.0; 6]);
}

#[test]
fn targets_out_of_range_are_reported() {
    let Some(g) = device() else { return };
    let x = Host::noise(&g, &[2, 3], 1);
    for bad in [3i64, -1, 1 << 32] {
        let index = Host::dense(&g, vec![1i64, bad], &[2]);
        let t = Targets { index: index.i64(), weight: None, ignore_index: -100, reduction: Reduction::Sum };
        let new = |shape: &[usize]| Host::dense(&g, vec![9f32; shape.iter().product()], shape);
        let (out, total) = (new(&[1]), new(&[1]));
        nll_loss(&mut g.lock(), &x.view(), &t, &out.view(), &total.view(), 77).unwrap();
        let status = g.synchronize(0).unwrap();
        assert_eq!((status.command, status.value), (77, bad));
        assert!(g.synchronize(0).unwrap().is_ok());
    }
}

#[test]
fn every_configuration_is_valid() {
    check_wgsl(&source("nll", &[STATUS, NLL], 4, 3, 14));
    check_wgsl(&source("nll grad", &[SHARE, NLL_GRAD], 4, 1, 12));
}
