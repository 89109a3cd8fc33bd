//! How many dispatches and pipelines whole programs cost on a GPU adapter: a train step, optimizer steps, chains of small ops; and
//! that what has kernels of its own there gives what the CPU does.

mod common;
#[path = "common/lenet.rs"]
mod lenet;

use common::devices;
use lenet::LeNet;
use wgtorch::LayerNormOptions;
use wgtorch::optim::{Adam, Optimizer};
use wgtorch::prelude::*;
use wgtorch::stream::device_counters;

/// Device counters are the process's: the tests run one at a time.
fn alone() -> std::sync::MutexGuard<'static, ()> {
    static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    ALONE.lock().unwrap_or_else(|e| e.into_inner())
}

fn gpus() -> Vec<Device> {
    devices().into_iter().filter(|d| d.is_gpu()).collect()
}

fn lazy() -> bool {
    !std::env::var("WGTORCH_EAGER").is_ok_and(|v| v == "1")
}

/// Dispatches and new pipelines of one run, after `warm` others.
fn cost(device: Device, warm: usize, mut run: impl FnMut()) -> (u64, u64) {
    (0..warm).for_each(|_| run());
    device.synchronize().unwrap();
    let before = device_counters(device).unwrap();
    run();
    device.synchronize().unwrap();
    let after = device_counters(device).unwrap();
    (after.dispatches - before.dispatches, after.pipelines - before.pipelines)
}

#[test]
fn a_lenet_step_is_few_dispatches_and_compiles_nothing() {
    let _alone = alone();
    for device in gpus() {
        let net = LeNet::new().to(device);
        let x = randn([64, 1, 32, 32], ()).to(device);
        let t = randint(0, 10, [64], ()).to(device);
        let optimizers: [Box<dyn Optimizer>; 3] = [
            Box::new(SGD::new(net.parameters(), 0.01)),
            Box::new(SGD::new(net.parameters(), 0.01).momentum(0.9)),
            Box::new(Adam::new(net.parameters(), 1e-3)),
        ];
        for (k, mut optimizer) in optimizers.into_iter().enumerate() {
            let step = || {
                optimizer.zero_grad();
                let loss = F::cross_entropy(&net.call(&x), &t);
                loss.backward();
                optimizer.step();
                assert!(loss.item::<f32>().unwrap().is_finite());
            };
            let (dispatches, pipelines) = cost(device, 2, step);
            eprintln!("LeNet step {k} on {device}: {dispatches} dispatches");
            assert_eq!(pipelines, 0, "on {device}");
            assert!(!lazy() || dispatches <= 60, "{dispatches} dispatches on {device}");
        }
    }
}

#[test]
fn chains_of_small_ops_with_new_scalars_compile_nothing() {
    let _alone = alone();
    for device in gpus() {
        let (a, row, one) = (randn([4, 4], ()).to(device), randn([4], ()).to(device), randn([1], ()).to(device));
        let mut round = 0;
        let (dispatches, pipelines) = cost(device, 2, || {
            let mut z = a.clone();
            for i in 0..100 {
                round += 1;
                let s = 1.0 + f64::from(i) * 1e-3 + f64::from(round) * 1e-5;
                z = ((&z + &row) * s - &one).relu().neg().abs().sqrt().add(s).mul(0.5).maximum(&a);
            }
            assert!(z.sum().item::<f32>().unwrap().is_finite());
        });
        assert_eq!(pipelines, 0, "on {device}");
        // ten ops, a hundred times, by many to a dispatch
        assert!(!lazy() || dispatches <= 50, "{dispatches} dispatches on {device}");
    }
}

#[test]
fn an_optimizer_step_is_the_same_on_every_device() {
    let _alone = alone();
    type Make = fn(Vec<Tensor>) -> Box<dyn Optimizer>;
    let makers: [Make; 7] = [
        |p| Box::new(SGD::new(p, 0.1)),
        |p| Box::new(SGD::new(p, 0.1).momentum(0.9).weight_decay(0.01)),
        |p| Box::new(SGD::new(p, 0.1).momentum(0.9).dampening(0.3).maximize(true)),
        |p| Box::new(SGD::new(p, 0.1).momentum(0.9).nesterov(true)),
        |p| Box::new(Adam::new(p, 0.1)),
        |p| Box::new(Adam::new(p, 0.1).weight_decay(0.1).maximize(true)),
        |p| Box::new(Adam::new(p, 0.1).amsgrad(true)),
    ];
    for (which, make) in makers.into_iter().enumerate() {
        let run = |device: Device| -> Vec<Vec<f64>> {
            // one of them lies transposed, one is a part of another's storage
            let start =
                |n: usize, k: usize| -> Vec<f32> { (0..n).map(|i| ((i * 7 + k) % 11) as f32 / 5.0 - 1.0).collect() };
            let tensor = |n: usize, shape: &[usize], k| Tensor::from_vec(start(n, k), shape, device).unwrap();
            let params: Vec<Tensor> = [
                tensor(12, &[3, 4], 1),
                tensor(700, &[700], 2),
                tensor(1, &[], 3),
                tensor(20, &[4, 5], 4).t(),
                tensor(30, &[30], 5).slice(0, Some(7), Some(20), 1),
            ]
            .into_iter()
            .map(|t| t.detach().requires_grad_(true))
            .collect();
            let mut optimizer = make(params.clone());
            for i in 0..3 {
                optimizer.zero_grad();
                for (k, p) in params.iter().enumerate() {
                    // the last one has no gradient at first
                    if k < 4 || i > 0 {
                        (p * p * (k + i + 1) as f64).sum().backward();
                    }
                }
                optimizer.step();
            }
            params.iter().map(|p| p.to_vec::<f64>().unwrap()).collect()
        };
        let want = run(Device::Cpu);
        for device in gpus() {
            for (p, q) in want.iter().flatten().zip(run(device).iter().flatten()) {
                assert!((p - q).abs() <= 1e-5 * p.abs().max(1.0), "optimizer {which}: {p} on the CPU, {q} on {device}");
            }
        }
    }
}

#[test]
fn the_gradient_of_a_long_layer_norm_is_the_same_on_every_device() {
    let _alone = alone();
    // the last one lies too badly for a kernel of its own
    for (rows, n) in [(5, 64), (40, 256), (3, 1028), (3, 66)] {
        let sources = [randn([rows, n], ()), randn([n], ()), randn([n], ()), randn([rows, n], ())];
        let all: Vec<Vec<Vec<f64>>> = devices()
            .into_iter()
            .map(|device| {
                let leaf = |i: usize| sources[i].to(device).detach().requires_grad_(true);
                let (x, w, b) = (leaf(0), leaf(1), leaf(2));
                let y = x.layer_norm([n], LayerNormOptions::new().weight(&w).bias(&b));
                (y * sources[3].to(device)).sum().backward();
                [x, w, b].iter().map(|t| t.grad().unwrap().to_vec::<f64>().unwrap()).collect()
            })
            .collect();
        for found in &all[1..] {
            for (a, b) in found.iter().flatten().zip(all[0].iter().flatten()) {
                assert!((a - b).abs() < 1e-4, "{rows} x {n}: {a} and {b}");
            }
        }
    }
}

/// Forward and backward of a cross entropy, with what happens in between.
fn cross_entropy_of(x: &Tensor, t: &Tensor, between: impl Fn(&Tensor, &Tensor)) -> (f32, Vec<f32>) {
    let leaf = x.detach().requires_grad_(true);
    // not a leaf, so that it may be written
    let logits = &leaf * 1.0;
    let loss = F::cross_entropy(&logits, t);
    between(&logits, &loss);
    loss.backward();
    (loss.item().unwrap(), leaf.grad().unwrap().to_vec().unwrap())
}

#[test]
fn a_cross_entropy_is_few_dispatches_and_gives_the_same_however_it_is_launched() {
    let _alone = alone();
    for device in devices() {
        for (shape, forward) in [([64usize, 10usize], 1), ([3, 300], 2), ([130, 33], 2), ([8, 515], 2)] {
            let (x, t) = (randn(shape, ()).to(device), randint(0, shape[1] as i64, [shape[0]], ()).to(device));
            let at_once = cross_entropy_of(&x, &t, |_, _| ());
            // read in between: log-probabilities are stored, and nothing changes
            let apart = cross_entropy_of(&x, &t, |_, loss| assert!(loss.item::<f32>().unwrap().is_finite()));
            assert_eq!(at_once, apart, "{shape:?} on {device}");
            // what is saved is not the logits: PyTorch lets them be written
            let written = cross_entropy_of(&x, &t, |logits, _| drop(logits.add_(1.0)));
            assert_eq!(at_once, written, "{shape:?} on {device}");
            let by_nodes = {
                let leaf = x.detach().requires_grad_(true);
                let loss = leaf.log_softmax(1, ()).nll_loss(&t, ());
                loss.backward();
                (loss.item::<f32>().unwrap(), leaf.grad().unwrap().to_vec::<f32>().unwrap())
            };
            let close = |a: f32, b: f32| (a - b).abs() <= 1e-6 * b.abs().max(1.0);
            assert!(close(at_once.0, by_nodes.0), "{shape:?} on {device}: {} and {}", at_once.0, by_nodes.0);
            assert!(at_once.1.iter().zip(&by_nodes.1).all(|(a, b)| close(*a, *b)), "{shape:?} on {device}");
            if device.is_gpu() && lazy() {
                let leaf = x.detach().requires_grad_(true);
                let (dispatches, pipelines) = cost(device, 2, || {
                    leaf.set_grad(None);
                    F::cross_entropy(&leaf, &t).backward();
                });
                // and one that writes the gradient of the loss, a constant
                assert_eq!((dispatches, pipelines), (forward + 2, 0), "{shape:?} on {device}");
            }
        }
    }
}
