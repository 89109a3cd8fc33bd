//! Losses and gradients against loops in f64: weights, ignored targets, reductions, targets out of range.

use super::*;
use crate::gpu::Gpu;
use crate::gpu::kernels::testing::{Host, close};
use crate::gpu::testing::{check_wgsl, device, down};

struct Wanted {
    log: Vec<f64>,
    losses: Vec<f64>,
    out: Vec<f64>,
    /// Gradients for the log-probabilities and for the logits, where the loss's gradient is `grad`.
    nll: Vec<f64>,
    logits: Vec<f64>,
}

fn wanted(x: &Host, t: &[i64], w: Option<&Host>, ignore: i64, reduction: Reduction, grad: &[f32]) -> Wanted {
    let inner: usize = x.shape[2..].iter().product();
    let classes = x.shape[1];
    let at = |i: usize, c: usize| (i / inner * classes + c) * inner + i % inner;
    let weight = |i: usize| if t[i] == ignore { 0.0 } else { w.map_or(1.0, |w| w.data[t[i] as usize] as f64) };
    let total: f64 = (0..t.len()).map(weight).sum();
    let n = x.data.len();
    let mut r = Wanted { log: vec![0.0; n], losses: vec![], out: vec![], nll: vec![0.0; n], logits: vec![0.0; n] };
    for i in 0..t.len() {
        let v = |c: usize| x.data[at(i, c)] as f64;
        let sum: f64 = (0..classes).map(|c| v(c).exp()).sum();
        for c in 0..classes {
            r.log[at(i, c)] = v(c) - sum.ln();
        }
        let counts = t[i] != ignore;
        r.losses.push(if counts { -weight(i) * r.log[at(i, t[i] as usize)] } else { 0.0 });
        let scale = match reduction {
            Reduction::None => grad[i] as f64,
            Reduction::Mean => grad[0] as f64 / total,
            Reduction::Sum => grad[0] as f64,
        };
        for c in 0..classes {
            let hit = f64::from(c as i64 == t[i]);
            r.nll[at(i, c)] = if counts { -weight(i) * scale * hit } else { 0.0 };
            r.logits[at(i, c)] = if counts { weight(i) * scale * (v(c).exp() / sum - hit) } else { 0.0 };
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
    let (log, out, out2, total) = (new(shape), new(&[n]), new(&[n]), new(&[1]));
    let (gx, glog) = (new(shape), new(shape));
    {
        let rec = &mut g.lock();
        cross_entropy(rec, &x.view(), &targets, &log.view(), &out.view(), &total.view(), 1).unwrap();
        nll_loss(rec, &log.view(), &targets, &out2.view(), &total.view(), 1).unwrap();
        let grad = grad.view();
        cross_entropy_grad(rec, &log.view(), &targets, &grad, &total.view(), &gx.view()).unwrap();
        nll_loss_grad(rec, &targets, &grad, &total.view(), &glog.view()).unwrap();
    }
    let what = format!("{shape:?} weighted {weighted} ignore {ignore} {reduction:?}");
    let get = |h: &Host| down::<f32>(g, &h.buffer, h.data.len());
    close(&format!("{what}: log-probabilities"), &get(&log), &want.log, 1e-6);
    close(&format!("{what}: cross-entropy"), &get(&out), &want.out, 2e-6);
    close(&format!("{what}: nll"), &get(&out2), &want.out, 2e-6);
    close(&format!("{what}: gradient for the logits"), &get(&gx), &want.logits, 2e-6);
    close(&format!("{what}: gradient for the log-probabilities"), &get(&glog), &want.nll, 2e-6);
}

#[test]
fn losses_and_gradients() {
    let Some(g) = device() else { return };
    for reduction in [Reduction::None, Reduction::Mean, Reduction::Sum] {
        for weighted in [false, true] {
            check(&g, &[64, 10], weighted, -100, reduction);
            check(&g, &[3, 4, 5, 2], weighted, 2, reduction);
            // too many logits for one workgroup
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
    let (log, out, total, grad, gx) = (new(&[2, 3]), new(&[1]), new(&[1]), new(&[1]), new(&[2, 3]));
    {
        let rec = &mut g.lock();
        cross_entropy(rec, &x.view(), &t, &log.view(), &out.view(), &total.view(), 1).unwrap();
        cross_entropy_grad(rec, &log.view(), &t, &grad.view(), &total.view(), &gx.view()).unwrap();
    }
    assert!(down::<f32>(&g, &out.buffer, 1)[0].is_nan());
    assert_eq!(down::<f32>(&g, &gx.buffer, 6), [0.0; 6]);
}

#[test]
fn targets_out_of_range_are_reported() {
    let Some(g) = device() else { return };
    let x = Host::noise(&g, &[2, 3], 1);
    for (bad, fused) in [(3i64, true), (-1, false), (1 << 32, true)] {
        let index = Host::dense(&g, vec![1i64, bad], &[2]);
        let t = Targets { index: index.i64(), weight: None, ignore_index: -100, reduction: Reduction::Sum };
        let new = |shape: &[usize]| Host::dense(&g, vec![9f32; shape.iter().product()], shape);
        let (log, out, total) = (new(&[2, 3]), new(&[1]), new(&[1]));
        {
            let rec = &mut g.lock();
            if fused {
                cross_entropy(rec, &x.view(), &t, &log.view(), &out.view(), &total.view(), 77).unwrap();
            } else {
                nll_loss(rec, &x.view(), &t, &out.view(), &total.view(), 77).unwrap();
            }
        }
        let status = g.synchronize().unwrap();
        assert_eq!((status.command, status.value), (77, bad));
        assert!(g.synchronize().unwrap().is_ok());
    }
}

#[test]
fn every_configuration_is_valid() {
    check_wgsl(&source("nll", &[STATUS, NLL], 3, 3, 14));
    check_wgsl(&source("nll grad", &[&exp_log(), NLL_GRAD], 5, 1, 13));
    check_wgsl(&source("cross_entropy", &[&exp_log(), STATUS, CROSS], 3, 4, 15));
}
