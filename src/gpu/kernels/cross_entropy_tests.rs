//! Losses and gradients of logits against loops in f64: by one workgroup and by rows, with and without log-probabilities.

use super::*;
use crate::gpu::Gpu;
use crate::gpu::kernels::testing::{Host, close};
use crate::gpu::testing::{device, down};

struct Wanted {
    out: Vec<f64>,
    logs: Vec<f64>,
    grad: Vec<f64>,
}

fn wanted(x: &Host, t: &[i64], w: Option<&Host>, ignore: i64, reduction: Reduction, grad: &[f32]) -> Wanted {
    let (classes, inner) = (x.shape[1], x.shape[2..].iter().product::<usize>());
    let at = |i: usize, c: usize| (i / inner * classes + c) * inner + i % inner;
    let weight = |i: usize| if t[i] == ignore { 0.0 } else { w.map_or(1.0, |w| w.data[t[i] as usize] as f64) };
    let total: f64 = (0..t.len()).map(weight).sum();
    let n = t.len() * classes;
    let mut r = Wanted { out: vec![], logs: vec![0.0; n], grad: vec![0.0; n] };
    for i in 0..t.len() {
        let v = |c: usize| x.data[x.offset + at(i, c)] as f64;
        let top = (0..classes).map(v).fold(f64::NEG_INFINITY, f64::max);
        let rest = (0..classes).map(|c| (v(c) - top).exp()).sum::<f64>().ln();
        let scale = weight(i)
            * match reduction {
                Reduction::None => grad[i] as f64,
                Reduction::Mean => grad[0] as f64 / total,
                Reduction::Sum => grad[0] as f64,
            };
        for c in 0..classes {
            let log = v(c) - top - rest;
            r.logs[at(i, c)] = log;
            // nothing of what counts for nothing, whatever the total
            let hit = f64::from(c as i64 == t[i]);
            r.grad[at(i, c)] = if t[i] == ignore { 0.0 } else { scale * (log.exp() - hit) };
        }
        let loss = if t[i] == ignore { 0.0 } else { -weight(i) * r.logs[at(i, t[i] as usize)] };
        r.out.push(loss);
    }
    r.out = match reduction {
        Reduction::None => r.out,
        Reduction::Mean => vec![r.out.iter().sum::<f64>() / total],
        Reduction::Sum => vec![r.out.iter().sum()],
    };
    r
}

struct Case<'a> {
    shape: &'a [usize],
    offset: usize,
    weighted: bool,
    ignore: i64,
    reduction: Reduction,
}

fn check(g: &Gpu, c: &Case) {
    let (shape, classes) = (c.shape, c.shape[1]);
    let order: Vec<usize> = (0..shape.len()).collect();
    let mut x = Host::laid(g, shape, &order, c.offset, 1);
    x.data.iter_mut().for_each(|v| *v *= 9.0);
    x.buffer = crate::gpu::testing::up(g, &x.data);
    let rows = shape[0] * shape[2..].iter().product::<usize>();
    let t: Vec<i64> = (0..rows).map(|i| if i % 5 == 3 { c.ignore } else { ((i * 7) % classes) as i64 }).collect();
    let index = Host::dense(g, t.clone(), &[rows]);
    let weight = Host::dense(g, (0..classes).map(|i| 0.5 + (i % 9) as f32 / 4.0).collect(), &[classes]);
    let weight = c.weighted.then_some(&weight);
    let n = if c.reduction == Reduction::None { rows } else { 1 };
    let grad = Host::noise(g, &[n], 3);
    let want = wanted(&x, &t, weight, c.ignore, c.reduction, &grad.data);
    let t = Targets {
        index: index.i64(),
        weight: weight.map(|w| w.view()),
        ignore_index: c.ignore,
        reduction: c.reduction,
    };
    let new = |shape: &[usize]| Host::dense(g, vec![9f32; shape.iter().product()], shape);
    let (out, total, log, gx) = (new(&[n]), new(&[1]), new(shape), new(shape));
    let (lean, lean_total, lean_gx, found) = (new(&[n]), new(&[1]), new(shape), new(&[rows, 4]));
    let keep = Keep::Totals(found.view());
    let (alone, alone_total) = (new(&[n]), new(&[1]));
    {
        let rec = &mut g.lock();
        let to = Results { loss: out.view(), total: total.view(), keep: Keep::Logs(log.view()) };
        cross_entropy(rec, &x.view(), &t, &to, 1).unwrap();
        cross_entropy_grad(rec, &t, &grad.view(), &total.view(), Source::Logs(log.view()), &gx.view()).unwrap();
        let to = Results { loss: lean.view(), total: lean_total.view(), keep };
        cross_entropy(rec, &x.view(), &t, &to, 1).unwrap();
        let from = Source::Logits(x.view(), found.view());
        cross_entropy_grad(rec, &t, &grad.view(), &lean_total.view(), from, &lean_gx.view()).unwrap();
        let to = Results { loss: alone.view(), total: alone_total.view(), keep: Keep::Nothing };
        cross_entropy(rec, &x.view(), &t, &to, 1).unwrap();
    }
    let what = format!("{shape:?} from {} weighted {} ignore {} {:?}", c.offset, c.weighted, c.ignore, c.reduction);
    let get = |h: &Host| down::<f32>(g, &h.buffer, h.data.len());
    close(&format!("{what}: log-probabilities"), &get(&log), &want.logs, 4e-6);
    // the sum of many rounds
    close(&format!("{what}: loss"), &get(&out), &want.out, 5e-6);
    close(&format!("{what}: gradient"), &get(&gx), &want.grad, 5e-6);
    close(&format!("{what}: loss with totals"), &get(&lean), &want.out, 5e-6);
    close(&format!("{what}: loss alone"), &get(&alone), &want.out, 5e-6);
    close(&format!("{what}: gradient of logits"), &get(&lean_gx), &want.grad, 5e-6);
}

#[test]
fn losses_and_gradients() {
    let Some(g) = device() else { return };
    for reduction in [Reduction::None, Reduction::Mean, Reduction::Sum] {
        for weighted in [false, true] {
            // by one workgroup: by two turns of it, and with dims behind the classes
            check(&g, &Case { shape: &[64, 10], offset: 0, weighted, ignore: -100, reduction });
            check(&g, &Case { shape: &[130, 7], offset: 3, weighted, ignore: 1, reduction });
            check(&g, &Case { shape: &[3, 4, 5, 2], offset: 0, weighted, ignore: 2, reduction });
            check(&g, &Case { shape: &[5, 1], offset: 0, weighted, ignore: -1, reduction });
            // by rows: more than a workgroup has invocations, whole quads and not, quads across rows
            check(&g, &Case { shape: &[130, 200], offset: 4, weighted, ignore: -1, reduction });
            check(&g, &Case { shape: &[8, 515], offset: 0, weighted, ignore: -1, reduction });
            check(&g, &Case { shape: &[7, 514], offset: 1, weighted, ignore: -1, reduction });
            check(&g, &Case { shape: &[6, 70, 9, 3], offset: 0, weighted, ignore: 2, reduction });
            check(&g, &Case { shape: &[700, 3], offset: 0, weighted, ignore: 2, reduction });
        }
    }
    for n in [4, 28, 36, 64, 256, 1024, 1028, 4096, 50257] {
        check(&g, &Case { shape: &[9, n], offset: 0, weighted: true, ignore: -1, reduction: Reduction::Mean });
    }
    check(&g, &Case { shape: &[4, 50257], offset: 0, weighted: true, ignore: -1, reduction: Reduction::Mean });
}

fn run(g: &Gpu, x: &Host, index: &[i64], reduction: Reduction, command: u32) -> (Vec<f32>, Vec<f32>) {
    let target = Host::dense(g, index.to_vec(), &[index.len()]);
    let t = Targets { index: target.i64(), weight: None, ignore_index: -100, reduction };
    let new = |shape: &[usize]| Host::dense(g, vec![9f32; shape.iter().product()], shape);
    let n = if reduction == Reduction::None { index.len() } else { 1 };
    let (out, total, log, gx) = (new(&[n]), new(&[1]), new(&x.shape), new(&x.shape));
    let grad = Host::dense(g, vec![1f32; n], &[n]);
    {
        let rec = &mut g.lock();
        let to = Results { loss: out.view(), total: total.view(), keep: Keep::Logs(log.view()) };
        cross_entropy(rec, &x.view(), &t, &to, command).unwrap();
        cross_entropy_grad(rec, &t, &grad.view(), &total.view(), Source::Logs(log.view()), &gx.view()).unwrap();
    }
    (down(g, &out.buffer, n), down(g, &gx.buffer, x.data.len()))
}

#[test]
fn all_ignored_is_nan_and_has_no_gradient() {
    let Some(g) = device() else { return };
    for classes in [3, 100, 103] {
        let x = Host::noise(&g, &[4, classes], 1);
        let (loss, gx) = run(&g, &x, &[-100; 4], Reduction::Mean, 1);
        assert!(loss[0].is_nan());
        assert_eq!(gx, vec![0.0; 4 * classes]);
    }
}

#[test]
fn no_rows_have_no_loss() {
    let Some(g) = device() else { return };
    let x = Host::dense(&g, vec![], &[0, 5]);
    assert!(run(&g, &x, &[], Reduction::Mean, 1).0[0].is_nan());
    assert_eq!(run(&g, &x, &[], Reduction::Sum, 1).0, [0.0]);
    assert!(run(&g, &x, &[], Reduction::None, 1).0.is_empty());
}

#[test]
fn targets_out_of_range_are_reported() {
    let Some(g) = device() else { return };
    for classes in [3i64, 100] {
        let x = Host::noise(&g, &[2, classes as usize], 1);
        for bad in [classes, -1, 1 << 32] {
            run(&g, &x, &[1, bad], Reduction::Sum, 77);
            let status = g.synchronize(0).unwrap();
            assert_eq!((status.command, status.value), (77, bad));
            assert!(g.synchronize(0).unwrap().is_ok());
        }
    }
}

#[test]
fn infinities_and_nan() {
    let Some(g) = device() else { return };
    let inf = f32::INFINITY;
    for n in [3, 68, 71] {
        // the target's logit is -inf; another's is; one is NaN
        let mut data = vec![0.5; 3 * n];
        (data[0], data[n + 1], data[2 * n + 2]) = (-inf, -inf, f32::NAN);
        let x = Host::dense(&g, data, &[3, n]);
        let (loss, gx) = run(&g, &x, &[0, 0, 0], Reduction::None, 1);
        let rest = (n - 1) as f64;
        close("losses", &loss, &[f64::INFINITY, rest.ln(), f64::NAN], 1e-6);
        assert_eq!((gx[0], gx[n + 1]), (-1.0, 0.0), "{n}");
        assert!(gx[2 * n..].iter().all(|v| v.is_nan()), "{n}");
    }
}

#[test]
#[ignore = "prints figures"]
fn speed() {
    use crate::gpu::kernels::loss::nll_loss_grad;
    use crate::gpu::kernels::softmax::softmax_grad;
    use crate::gpu::kernels::testing::time;
    let Some(g) = device() else { return };
    for shape in [[128, 10], [2048, 256], [512, 50257]] {
        let (x, log, mid, gx) = (
            Host::noise(&g, &shape, 1),
            Host::noise(&g, &shape, 2),
            Host::noise(&g, &shape, 2),
            Host::noise(&g, &shape, 3),
        );
        let index = Host::dense(&g, (0..shape[0]).map(|i| (i * 7 % shape[1]) as i64).collect(), &[shape[0]]);
        let t = Targets { index: index.i64(), weight: None, ignore_index: -100, reduction: Reduction::Mean };
        let (loss, total, one) = (Host::noise(&g, &[1], 1), Host::noise(&g, &[1], 1), Host::noise(&g, &[1], 1));
        let (loss, total, one) = (loss.view(), total.view(), one.view());
        let apart = time(&g, |r| {
            softmax(r, &x.view(), &log.view(), 1, true).unwrap();
            nll_loss_of(r, &log.view(), None, &t, &loss, &total, 1).unwrap();
        });
        let one_way = |keep| time(&g, |r| cross_entropy(r, &x.view(), &t, &Results { loss, total, keep }, 1).unwrap());
        let (logs, none) = (one_way(Keep::Logs(log.view())), one_way(Keep::Nothing));
        println!("{shape:?} apart: {apart}\n  with logs: {logs}\n  without: {none}");
        let apart = time(&g, |r| {
            nll_loss_grad(r, &t, &one, &total, &mid.view()).unwrap();
            softmax_grad(r, &log.view(), &mid.view(), &gx.view(), 1, true).unwrap();
        });
        let joined =
            time(&g, |r| cross_entropy_grad(r, &t, &one, &total, Source::Logs(log.view()), &gx.view()).unwrap());
        println!("  gradient apart: {apart}\n  joined: {joined}");
    }
}
