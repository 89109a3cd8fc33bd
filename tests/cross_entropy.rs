//! Cross entropy and the negative log-likelihood of tensors that lie as views leave them, against their definition.

mod common;

use common::devices;
use wgtorch::Reduction;
use wgtorch::autograd::GradOptions;
use wgtorch::prelude::*;

fn near(a: &Tensor, b: &Tensor) -> bool {
    a.shape() == b.shape()
        && (a - b).abs().max().item::<f32>().unwrap() <= 2e-6 * b.abs().max().item::<f32>().unwrap().max(1.0)
}

/// Cross entropy as its definition has it, from contiguous copies.
fn cross_entropy_by_gather(x: &Tensor, t: &Tensor) -> Tensor {
    let log = x.contiguous().log_softmax(1, ());
    -log.gather(1, &t.contiguous().unsqueeze(1)).squeeze_dim(1)
}

#[test]
fn cross_entropy_of_any_strides() {
    for device in devices() {
        let new = |s: &[usize]| randn(s, ()).to(device);
        // dims behind the classes that are no one dim: cut, swapped, of one element; and three dims
        let logits: [(&str, Tensor); 5] = [
            ("cut", new(&[2, 3, 4, 8]).narrow(3, 0, 5)),
            ("swapped", new(&[1, 3, 64, 60]).transpose(2, 3)),
            ("one element", new(&[3, 5, 1, 700]).transpose(2, 3)),
            ("three dims", new(&[3, 70, 5]).transpose(1, 2)),
            ("five dims", new(&[2, 3, 2, 3, 4]).transpose(2, 4)),
        ];
        for (what, x) in logits {
            let (mut positions, classes) = (x.shape().to_vec(), x.size_of(1) as i64);
            positions.remove(1);
            positions.reverse();
            let last = positions.len() as isize;
            // swapped, too
            let t = randint(0, classes, &positions[..], ()).to(device);
            let t = t.permute((0..last).rev().collect::<Vec<_>>());
            let w = new(t.shape().as_ref());
            for weigh in 0..3 {
                let run = |f: &dyn Fn(&Tensor, &Tensor) -> Tensor| {
                    let x = x.detach().requires_grad_(true);
                    let losses = f(&x, &t);
                    // gradients of the losses that are contiguous, and expanded along two dims
                    let sum = match weigh {
                        0 => (&losses * &w).sum(),
                        1 => (losses.sum_dim(1, true) * &w).sum(),
                        _ => (losses.sum_dim(-1, true) * &w).sum(),
                    };
                    sum.backward();
                    (losses.detach(), x.grad().unwrap())
                };
                let got = run(&|x, t| x.cross_entropy(t, Reduction::None));
                let nll = run(&|x, t| x.log_softmax(1, ()).nll_loss(t, Reduction::None));
                let want = run(&cross_entropy_by_gather);
                for (name, got) in [("cross_entropy", got), ("nll_loss", nll)] {
                    assert!(near(&got.0, &want.0), "{what}: losses of {name} on {device}");
                    assert!(near(&got.1, &want.1), "{what}: gradient of {name} on {device}, {weigh}");
                }
            }
            let alone = no_grad(|| x.cross_entropy(&t, Reduction::None));
            assert!(near(&alone, &cross_entropy_by_gather(&x, &t)), "{what} without gradients on {device}");
        }
    }
}

/// A view that changes the classes lies between the two nodes: their gradients are no one kernel's.
#[test]
fn log_softmax_of_other_classes_than_the_loss() {
    for device in devices() {
        let x = randn([64, 8, 16], ()).to(device);
        let t = randint(0, 128, [64], ()).to(device);
        let run = |loss: &dyn Fn(&Tensor) -> Tensor| {
            let x = x.detach().requires_grad_(true);
            loss(&x).backward();
            x.grad().unwrap()
        };
        let view = |x: &Tensor| x.log_softmax(1, ()).view([64, 128]);
        let got = run(&|x| view(x).nll_loss(&t, ()));
        let want = run(&|x| -view(x).gather(1, &t.unsqueeze(1)).mean());
        assert!(near(&got, &want), "classes joined on {device}");
        let t = randint(0, 8, [64, 16], ()).to(device);
        let parts = |x: &Tensor| x.reshape([64, 128]).log_softmax(1, ()).view([64, 8, 16]);
        let got = run(&|x| parts(x).nll_loss(&t, ()));
        let want = run(&|x| -parts(x).gather(1, &t.unsqueeze(1)).mean());
        assert!(near(&got, &want), "classes cut on {device}");
    }
}

/// Whatever is launched together, and whatever is kept: gradients are the same.
#[test]
fn gradients_twice_and_of_two_losses() {
    for device in devices() {
        let (x, t) = (randn([40, 300], ()).to(device), randint(0, 300, [40], ()).to(device));
        let plain = |f: &dyn Fn(&Tensor) -> Tensor| {
            let leaf = x.detach().requires_grad_(true);
            f(&leaf).backward();
            leaf.grad().unwrap()
        };
        let by_gather = |x: &Tensor| cross_entropy_by_gather(x, &t).mean();
        let once = plain(&by_gather);
        for read_between in [false, true] {
            let leaf = x.detach().requires_grad_(true);
            let loss = leaf.cross_entropy(&t, ());
            loss.backward_with(None, GradOptions::new().retain_graph(true));
            if read_between {
                assert!(near(&leaf.grad().unwrap(), &once), "{device}");
            }
            loss.backward();
            assert!(near(&leaf.grad().unwrap(), &(&once * 2.0)), "twice on {device}, {read_between}");
        }
        let two = plain(&|x| x.cross_entropy(&t, ()) + x.cross_entropy(&t, Reduction::Sum) * 0.5);
        assert!(near(&two, &(&once * 21.0)), "two losses of the same logits on {device}");
    }
}
