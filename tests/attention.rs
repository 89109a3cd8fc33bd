//! Attention on GPUs with the kernels that real ones get, which software adapters take by `WGTORCH_KERNELS` alone: they give what the
//! CPU does, are few dispatches, and hold no scores. The variable is read when a device opens, so that all of it runs in a child process.

mod common;

use common::devices;
use std::process::Command;
use wgtorch::AttentionOptions;
use wgtorch::autograd::{GradOptions, grad};
use wgtorch::prelude::*;
use wgtorch::stream::device_counters;

#[test]
fn the_kernels_of_real_gpus() {
    devices();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--test-threads=1", "--nocapture"])
        .env("WGTORCH_KERNELS", "tile64")
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&child.stdout), String::from_utf8_lossy(&child.stderr));
    assert!(child.status.success(), "{out}\n{err}");
    assert!(out.contains("6 passed"), "{out}\n{err}");
}

fn gpus() -> Vec<Device> {
    devices().into_iter().filter(|d| d.is_gpu()).collect()
}

/// A device's result and gradients of queries, keys and values, of first and second order, in f64.
fn run(
    device: Device,
    dtype: DType,
    leaves: &[Tensor],
    g: &Tensor,
    o: &AttentionOptions,
    twice: bool,
) -> Vec<Vec<f64>> {
    let there = |t: &Tensor| t.to(device).to(dtype).detach();
    let x: Vec<Tensor> = leaves.iter().map(|t| there(t).requires_grad_(true)).collect();
    // as in a network: heads are views of a projection
    let heads = |t: &Tensor| t.transpose(1, 2);
    let mut o = o.clone();
    o.attn_mask = o.attn_mask.map(|m| m.to(device));
    let y = heads(&x[0]).scaled_dot_product_attention(&heads(&x[1]), &heads(&x[2]), o);
    if device.is_gpu() {
        assert_eq!(y.grad_fn().unwrap().name(), "ScaledDotProductEfficientAttentionBackward0");
    }
    let inputs: Vec<&Tensor> = x.iter().collect();
    let of = |t: Vec<Option<Tensor>>| t.into_iter().map(|t| t.unwrap());
    let options = GradOptions::new().retain_graph(true);
    let mut all = vec![y.detach()];
    all.extend(of(grad(&[&y], &inputs, &[Some(&there(g))], options).unwrap()));
    if twice {
        let first: Vec<Tensor> =
            of(grad(&[&y], &inputs, &[Some(&there(g))], GradOptions::new().create_graph(true)).unwrap()).collect();
        let loss = first.iter().map(|t| (t * t).sum()).reduce(|a, b| a + b).unwrap();
        all.extend(first.iter().map(|t| t.detach()));
        all.extend(of(grad(&[&loss], &inputs, &[None], ()).unwrap()));
    }
    all.iter().map(|t| t.to(Device::Cpu).to(F64).to_vec::<f64>().unwrap()).collect()
}

fn compare(what: &str, found: &[Vec<f64>], want: &[Vec<f64>], bound: f64) {
    assert_eq!(found.len(), want.len(), "{what}");
    for (i, (f, w)) in found.iter().zip(want).enumerate() {
        let scale = w.iter().fold(1f64, |m, x| m.max(x.abs()));
        for (at, (a, b)) in f.iter().zip(w).enumerate() {
            assert!((a - b).abs() <= bound * scale, "{what}: {a} for {b} at {at} of {i}");
        }
    }
}

/// `[2, n, heads, width]`.
fn leaf(n: usize, heads: usize, width: usize) -> Tensor {
    randn([2, n, heads, width], F64)
}

#[test]
#[ignore = "in the child of the_kernels_of_real_gpus"]
fn agree_with_the_cpu() {
    for device in gpus() {
        for (l, s, e, w) in [(1, 1, 1, 1), (7, 9, 5, 3), (64, 64, 16, 16), (70, 130, 12, 20), (100, 33, 72, 65)] {
            let (x, g) = ([leaf(l, 3, e), leaf(s, 3, e), leaf(s, 3, w)], randn([2, 3, l, w], F64));
            for causal in [false, true] {
                let o = AttentionOptions::new().is_causal(causal);
                let want = run(Device::Cpu, F64, &x, &g, &o, true);
                let what = format!("{l} {s} {e} {w} causal {causal}");
                compare(&what, &run(device, F32, &x, &g, &o, true), &want, 3e-5);
                compare(&what, &run(device, F16, &x, &g, &o, false), &want[..4], 1e-2);
                compare(&what, &run(device, BF16, &x, &g, &o, false), &want[..4], 8e-2);
            }
        }
    }
}

/// What is subtracted before exponentials are taken is far from 0 in the first tile, or in all of them.
#[test]
#[ignore = "in the child of the_kernels_of_real_gpus"]
fn scores_far_below_zero_agree_with_the_cpu() {
    for device in gpus() {
        let (l, s) = (20, 100);
        let (x, g) = ([leaf(l, 2, 8), leaf(s, 2, 8), leaf(s, 2, 4)], randn([2, 2, l, 4], F64));
        let first = arange(s as i64, ()).lt(64).unsqueeze(0).expand([l as isize, s as isize]);
        let masks = [
            full([l, s], -200.0, F32),
            zeros([l, s], F32).masked_fill(&first, -1e4),
            zeros([l, s], F32).masked_fill(&first, -1e9),
            zeros([l, s], F32).masked_fill(&first, f64::from(f32::MIN)),
            full([l, s], -300.0, F32).masked_fill(&first, f64::NEG_INFINITY),
        ];
        for (n, mask) in masks.iter().enumerate() {
            let o = AttentionOptions::new().attn_mask(mask);
            // logarithms beside -300 are good to its last bit
            compare(
                &format!("mask {n}"),
                &run(device, F32, &x, &g, &o, false),
                &run(Device::Cpu, F64, &x, &g, &o, false),
                1e-4,
            );
        }
        // no number shuts a row: its weights are equal
        let o = AttentionOptions::new().attn_mask(full([l, s], f64::from(f32::MIN), F32));
        let on = |d: Device| {
            let [q, k, v] = [0, 1, 2].map(|i| x[i].to(d).to(F32).transpose(1, 2));
            q.scaled_dot_product_attention(&k, &v, o.clone().attn_mask(o.attn_mask.as_ref().map(|m| m.to(d))))
        };
        compare("the least", &[on(device).to_vec::<f64>().unwrap()], &[on(Device::Cpu).to_vec::<f64>().unwrap()], 1e-5);
    }
}

#[test]
#[ignore = "in the child of the_kernels_of_real_gpus"]
fn masks_agree_with_the_cpu() {
    for device in gpus() {
        let (l, s) = (70, 66);
        let (x, g) = ([leaf(l, 2, 8), leaf(s, 2, 8), leaf(s, 2, 4)], randn([2, 2, l, 4], F64));
        // the third query may attend to nothing
        let open = (randn([l, s], F64).gt(0.0)).logical_and(arange(l as i64, ()).ne(2).unsqueeze(1));
        let masks = [
            open.clone(),
            open.unsqueeze(0).expand([2, l, s]),
            open.select(0, 0),
            randn([2, 1, l, s], F32),
            full([l, s], f64::NEG_INFINITY, F32).masked_fill(&open, 0.5),
        ];
        for (i, mask) in masks.into_iter().enumerate() {
            let o = AttentionOptions::new().attn_mask(&mask);
            let want = run(Device::Cpu, F64, &x, &g, &o, true);
            compare(&format!("mask {i}"), &run(device, F32, &x, &g, &o, true), &want, 3e-5);
            let o = if mask.dtype() == Bool { o } else { AttentionOptions::new().attn_mask(mask.to(F16)) };
            compare(&format!("mask {i} of f16"), &run(device, F16, &x, &g, &o, false), &want[..4], 1e-2);
        }
    }
}

#[test]
#[ignore = "in the child of the_kernels_of_real_gpus"]
fn shared_heads_agree_with_the_cpu() {
    for device in gpus() {
        let (l, s) = (40, 66);
        let (x, g) = ([leaf(l, 6, 8), leaf(s, 2, 8), leaf(s, 2, 4)], randn([2, 6, l, 4], F64));
        for o in
            [AttentionOptions::new().is_causal(true), AttentionOptions::new().attn_mask(randn([6, l, s], F64).gt(0.0))]
        {
            let o = o.enable_gqa(true);
            let want = run(Device::Cpu, F64, &x, &g, &o, true);
            compare("6 heads by 2", &run(device, F32, &x, &g, &o, true), &want, 3e-5);
        }
    }
}

#[test]
#[ignore = "in the child of the_kernels_of_real_gpus"]
fn are_few_dispatches() {
    for device in gpus() {
        let at = |n: &[usize]| randn(n, ()).to(device);
        let x: Vec<Tensor> = (0..3).map(|_| at(&[2, 3, 66, 16]).requires_grad_(true)).collect();
        let g = at(&[2, 3, 66, 16]);
        let count = || {
            device.synchronize().unwrap();
            device_counters(device).unwrap().dispatches
        };
        let start = count();
        let y = x[0].scaled_dot_product_attention(&x[1], &x[2], AttentionOptions::new().is_causal(true));
        let forward = count();
        let found = grad(&[&y], &[&x[0], &x[1], &x[2]], &[Some(&g)], ()).unwrap();
        let backward = count();
        assert_eq!((forward - start, backward - forward), (1, 3), "on {device}");
        drop(found);
    }
}

#[test]
#[ignore = "in the child of the_kernels_of_real_gpus"]
fn hold_no_scores() {
    for device in gpus() {
        // scores of 16 MiB, operands of 128 KiB
        let x: Vec<Tensor> = (0..3).map(|_| randn([4, 1024, 8], ()).to(device).requires_grad_(true)).collect();
        device.synchronize().unwrap();
        let before = device_counters(device).unwrap().pool_bytes;
        x[0].scaled_dot_product_attention(&x[1], &x[2], ()).sum().backward();
        device.synchronize().unwrap();
        let grown = device_counters(device).unwrap().pool_bytes - before;
        assert!(grown < 4 << 20, "{grown} bytes on {device}");
        assert!(x.iter().all(|t| t.grad().unwrap().norm(2).item::<f32>().unwrap() > 0.0));
    }
}
