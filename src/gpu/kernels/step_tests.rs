//! What the kernels of one LeNet train step cost together: batch 64, without the elementwise rest.

use super::conv::{ConvSpec, conv2d, conv2d_input_grad, conv2d_weight_grad};
use super::loss::{Reduction, Targets, nll_loss, nll_loss_grad};
use super::matmul::{Act, Epilogue, matmul};
use super::optim::{Sgd, SgdParam, sgd};
use super::pool::{PoolSpec, max_pool2d, max_pool2d_grad};
use super::softmax::{softmax, softmax_grad};
use super::testing::{Host, time};
use crate::gpu::testing::device;
use crate::gpu::{GpuView, Recorder};

#[test]
#[ignore = "prints figures"]
fn speed() {
    let Some(g) = device() else { return };
    let new = |shape: &[usize]| Host::noise(&g, shape, 1);
    let shapes: [&[usize]; 10] =
        [&[6, 1, 3, 3], &[6], &[16, 6, 3, 3], &[16], &[120, 576], &[120], &[84, 120], &[84], &[10, 84], &[10]];
    let params: Vec<Host> = shapes.iter().map(|s| new(s)).collect();
    let grads: Vec<Host> = shapes.iter().map(|s| new(s)).collect();
    let x = new(&[64, 1, 32, 32]);
    let (c1, p1, c2, p2) = (new(&[64, 6, 30, 30]), new(&[64, 6, 15, 15]), new(&[64, 16, 13, 13]), new(&[64, 576]));
    let (f1, f2, f3) = (new(&[64, 120]), new(&[64, 84]), new(&[64, 10]));
    let (log, glog) = (new(&[64, 10]), new(&[64, 10]));
    let (loss, total, one) = (new(&[1]), new(&[1]), new(&[1]));
    let places = |n: usize| Host::dense(&g, vec![0i64; n], &[n]);
    let (i1, i2, t) = (places(p1.data.len()), places(p2.data.len()), Host::dense(&g, vec![3i64; 64], &[64]));
    let (d3, d2, d1, dp2, dc2, dp1, dc1) = (
        new(&[64, 10]),
        new(&[64, 84]),
        new(&[64, 120]),
        new(&[64, 576]),
        new(&c2.shape),
        new(&p1.shape),
        new(&c1.shape),
    );
    let conv = ConvSpec { stride: [1, 1], padding: [0, 0], dilation: [1, 1], groups: 1 };
    let pool = PoolSpec { kernel: [2, 2], stride: [2, 2], padding: [0, 0], dilation: [1, 1] };
    let how = Sgd { lr: 0.0, momentum: 0.0, dampening: 0.0, weight_decay: 0.0, nesterov: false, maximize: false };
    let targets = Targets { index: t.i64(), weight: None, ignore_index: -100, reduction: Reduction::Mean };

    // out[m, n] = act(a @ w^T + b), and the two products of its gradient
    let linear = |r: &mut Recorder, a: &Host, at: usize, out: &Host, act: Act| {
        let (w, b) = (&params[at], &params[at + 1]);
        let turned = GpuView { shape: &[w.shape[1], w.shape[0]], strides: &[1, w.shape[1]], ..w.view() };
        let bias = GpuView { shape: &out.shape, strides: &[0, 1], ..b.view() };
        matmul(r, &a.view(), &turned, &out.view(), &Epilogue { bias: Some(bias), act, ..Epilogue::default() }).unwrap();
    };
    let back = |r: &mut Recorder, d: &Host, a: &Host, at: usize, da: Option<&Host>| {
        if let Some(da) = da {
            matmul(r, &d.view(), &params[at].view(), &da.view(), &Epilogue::default()).unwrap();
        }
        let turned = GpuView { shape: &[d.shape[1], 64], strides: &[1, d.shape[1]], ..d.view() };
        matmul(r, &turned, &a.view(), &grads[at].view(), &Epilogue::default()).unwrap();
    };
    let (i1s, i2s): (&[usize], &[usize]) = (&p1.shape, &[64, 16, 6, 6]);
    let (s1, s2) = (crate::shape::contiguous_strides(i1s), crate::shape::contiguous_strides(i2s));
    let i1v = GpuView { shape: i1s, strides: &s1, ..i1.i64() };
    let i2v = GpuView { shape: i2s, strides: &s2, ..i2.i64() };
    let p2v = GpuView { shape: i2s, strides: &s2, ..p2.view() };
    let dp2v = GpuView { shape: i2s, strides: &s2, ..dp2.view() };
    let b = |i: usize| params[i].view();

    type Part<'a> = (&'a str, Box<dyn Fn(&mut Recorder) + 'a>);
    let parts: Vec<Part> = vec![
        ("conv1", Box::new(|r| conv2d(r, &x.view(), &b(0), Some(&b(1)), &c1.view(), &conv, Act::Relu).unwrap())),
        ("pool1", Box::new(|r| max_pool2d(r, &c1.view(), &p1.view(), &i1v, &pool).unwrap())),
        ("conv2", Box::new(|r| conv2d(r, &p1.view(), &b(2), Some(&b(3)), &c2.view(), &conv, Act::Relu).unwrap())),
        ("pool2", Box::new(|r| max_pool2d(r, &c2.view(), &p2v, &i2v, &pool).unwrap())),
        ("fc1", Box::new(|r| linear(r, &p2, 4, &f1, Act::Relu))),
        ("fc2", Box::new(|r| linear(r, &f1, 6, &f2, Act::Relu))),
        ("fc3", Box::new(|r| linear(r, &f2, 8, &f3, Act::None))),
        (
            "loss",
            Box::new(|r| {
                softmax(r, &f3.view(), &log.view(), 1, true).unwrap();
                nll_loss(r, &log.view(), &targets, &loss.view(), &total.view(), 1).unwrap();
            }),
        ),
        (
            "loss'",
            Box::new(|r| {
                nll_loss_grad(r, &targets, &one.view(), &total.view(), &glog.view()).unwrap();
                softmax_grad(r, &log.view(), &glog.view(), &d3.view(), 1, true).unwrap();
            }),
        ),
        ("fc3'", Box::new(|r| back(r, &d3, &f2, 8, Some(&d2)))),
        ("fc2'", Box::new(|r| back(r, &d2, &f1, 6, Some(&d1)))),
        ("fc1'", Box::new(|r| back(r, &d1, &p2, 4, Some(&dp2)))),
        ("pool2'", Box::new(|r| max_pool2d_grad(r, &dp2v, &i2v, &dc2.view(), &pool).unwrap())),
        (
            "conv2' weight",
            Box::new(|r| {
                conv2d_weight_grad(r, &p1.view(), &dc2.view(), &grads[2].view(), Some(&grads[3].view()), &conv)
                    .unwrap();
            }),
        ),
        (
            "conv2' input",
            Box::new(|r| {
                conv2d_input_grad(r, &dc2.view(), &b(2), &dp1.view(), &conv).unwrap();
            }),
        ),
        ("pool1'", Box::new(|r| max_pool2d_grad(r, &dp1.view(), &i1v, &dc1.view(), &pool).unwrap())),
        (
            "conv1' weight",
            Box::new(|r| {
                conv2d_weight_grad(r, &x.view(), &dc1.view(), &grads[0].view(), Some(&grads[1].view()), &conv).unwrap();
            }),
        ),
        (
            "sgd",
            Box::new(|r| {
                let all: Vec<SgdParam> =
                    (0..10).map(|i| SgdParam { param: b(i), grad: grads[i].view(), state: None }).collect();
                sgd(r, &how, &all).unwrap();
            }),
        ),
    ];
    let before = g.lock().counters();
    for (name, part) in &parts {
        println!("LeNet {name}: {}", time(&g, part));
    }
    let made = g.lock().counters().pipelines - before.pipelines;
    let at = g.lock().counters().dispatches;
    parts.iter().for_each(|p| p.1(&mut g.lock()));
    let dispatches = g.lock().counters().dispatches - at;
    let whole = time(&g, |r| parts.iter().for_each(|p| p.1(r)));
    println!("LeNet step: {whole}; {dispatches} dispatches, {made} pipelines");
}
