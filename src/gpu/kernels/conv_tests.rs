//! Convolutions and their gradients against loops in f64, on both cores.

use super::*;
use crate::gpu::kernels::conv_wave_weight::Step;
use crate::gpu::kernels::matmul::tests::cores;
use crate::gpu::kernels::testing::{Host, close, indices, time};
use crate::gpu::testing::{device, down};
use crate::gpu::{Gpu, KernelSource};

/// What is picked by itself, and every core that this adapter can run.
fn ways(g: &Gpu) -> Vec<Option<Core>> {
    [None].into_iter().chain(cores(g).into_iter().map(Some)).collect()
}

/// The input element under a tap, where it is not padding.
fn under(spec: &ConvSpec, size: [usize; 2], out: [usize; 2], tap: [usize; 2]) -> Option<[usize; 2]> {
    let mut at = [0; 2];
    for d in 0..2 {
        let i = (out[d] * spec.stride[d] + tap[d] * spec.dilation[d]).checked_sub(spec.padding[d])?;
        if i >= size[d] {
            return None;
        }
        at[d] = i;
    }
    Some(at)
}

fn check(g: &Gpu, core: Option<Core>, x: [usize; 4], o: usize, k: [usize; 2], spec: &ConvSpec) {
    let wshape = [o, x[1] / spec.groups, k[0], k[1]];
    let size = |d: usize| (x[2 + d] + 2 * spec.padding[d] - spec.dilation[d] * (k[d] - 1) - 1) / spec.stride[d] + 1;
    let oshape = [x[0], o, size(0), size(1)];
    let input = Host::laid(g, &x, &[0, 1, 2, 3], 3, 1);
    let weight = Host::laid(g, &wshape, &[0, 1, 2, 3], if o.is_multiple_of(2) { 0 } else { 1 }, 2);
    let bias = Host::laid(g, &[o], &[0], 2, 3);
    let grad = Host::laid(g, &oshape, &[0, 1, 2, 3], if o.is_multiple_of(2) { 0 } else { 5 }, 4);
    let zeros = |shape: &[usize]| Host::dense(g, vec![9.0f32; shape.iter().product()], shape);
    let (out, relu) = (zeros(&oshape), zeros(&oshape));
    let (gx, gw, gb, gw2) = (zeros(&x), zeros(&wshape), zeros(&[o]), zeros(&wshape));
    {
        let rec = &mut g.lock();
        conv2d_on(rec, core, &input.view(), &weight.view(), None, &out.view(), spec, Act::None).unwrap();
        let b = bias.view();
        conv2d_on(rec, core, &input.view(), &weight.view(), Some(&b), &relu.view(), spec, Act::Relu).unwrap();
        conv2d_input_grad_on(rec, core, &grad.view(), &weight.view(), &gx.view(), spec).unwrap();
        let b = gb.view();
        conv2d_weight_grad_on(rec, core, &input.view(), &grad.view(), &gw.view(), Some(&b), spec).unwrap();
        conv2d_weight_grad_on(rec, core, &input.view(), &grad.view(), &gw2.view(), None, spec).unwrap();
    }
    let mut y = vec![0f64; oshape.iter().product()];
    let (mut yx, mut yw, mut yb) = (vec![0f64; x.iter().product()], vec![0f64; wshape.iter().product()], vec![0f64; o]);
    for (i, at) in indices(&oshape).enumerate() {
        let (n, c) = (at[0], at[1]);
        let dy = grad.f64(&at);
        yb[c] += dy;
        let group = c / (o / spec.groups);
        for t in indices(&wshape[1..]) {
            if let Some([r, q]) = under(spec, [x[2], x[3]], [at[2], at[3]], [t[1], t[2]]) {
                let ic = group * wshape[1] + t[0];
                let (xv, wv) = (input.f64(&[n, ic, r, q]), weight.f64(&[c, t[0], t[1], t[2]]));
                y[i] += xv * wv;
                yx[((n * x[1] + ic) * x[2] + r) * x[3] + q] += dy * wv;
                yw[((c * wshape[1] + t[0]) * k[0] + t[1]) * k[1] + t[2]] += dy * xv;
            }
        }
    }
    let what = format!("{core:?} {x:?} -> {o} by {k:?}, {spec:?}");
    let get = |h: &Host| down::<f32>(g, &h.buffer, h.data.len());
    close(&format!("{what}: forward"), &get(&out), &y, 1e-5);
    let plane = oshape[2] * oshape[3];
    let with = |i: usize, v: &f64| (v + bias.f64(&[i / plane % o])).max(0.0);
    let z: Vec<f64> = y.iter().enumerate().map(|(i, v)| with(i, v)).collect();
    close(&format!("{what}: bias and relu"), &get(&relu), &z, 1e-5);
    close(&format!("{what}: input gradient"), &get(&gx), &yx, 1e-5);
    close(&format!("{what}: weight gradient"), &get(&gw), &yw, 2e-5);
    close(&format!("{what}: weight gradient alone"), &get(&gw2), &yw, 2e-5);
    close(&format!("{what}: bias gradient"), &get(&gb), &yb, 2e-5);
}

const ONE: ConvSpec = ConvSpec { stride: [1, 1], padding: [0, 0], dilation: [1, 1], groups: 1 };

#[test]
fn forward_and_gradients() {
    let Some(g) = device() else { return };
    for core in ways(&g) {
        check(&g, core, [2, 1, 10, 9], 6, [3, 3], &ONE);
        check(&g, core, [3, 6, 7, 7], 16, [3, 3], &ONE);
        check(&g, core, [1, 2, 5, 8], 3, [1, 1], &ONE);
        check(&g, core, [2, 3, 8, 11], 5, [3, 2], &ConvSpec { stride: [2, 3], padding: [1, 2], ..ONE });
        check(&g, core, [2, 4, 9, 10], 35, [2, 3], &ConvSpec { dilation: [2, 3], padding: [2, 1], ..ONE });
        check(&g, core, [2, 6, 6, 5], 9, [3, 3], &ConvSpec { groups: 3, padding: [1, 1], ..ONE });
        check(&g, core, [2, 4, 6, 6], 4, [3, 3], &ConvSpec { groups: 4, stride: [2, 2], padding: [1, 1], ..ONE });
        check(
            &g,
            core,
            [3, 4, 12, 13],
            6,
            [4, 3],
            &ConvSpec { stride: [3, 2], padding: [3, 2], dilation: [2, 3], groups: 2 },
        );
        // the window is the whole image; a stride past the kernel leaves gaps
        check(&g, core, [2, 3, 4, 5], 7, [4, 5], &ONE);
        check(&g, core, [2, 3, 9, 9], 4, [2, 2], &ConvSpec { stride: [4, 4], ..ONE });
        // rows of several octets, more than one tile of channels, and windows that begin and end outside
        check(&g, core, [2, 5, 6, 21], 19, [3, 3], &ConvSpec { padding: [1, 2], ..ONE });
        check(&g, core, [1, 4, 9, 8], 18, [2, 5], &ConvSpec { stride: [2, 1], padding: [0, 3], groups: 2, ..ONE });
        check(&g, core, [2, 3, 7, 8], 4, [3, 2], &ConvSpec { dilation: [2, 1], padding: [3, 0], ..ONE });
        check(&g, core, [2, 3, 7, 6], 4, [1, 3], &ConvSpec { padding: [0, 4], ..ONE });
        // so many channels for so few pixels that tiles share out the depth
        let same = ConvSpec { padding: [1, 1], ..ONE };
        check(&g, core, [2, 60, 5, 4], 10, [3, 3], &same);
        check(&g, core, [1, 90, 4, 3], 80, [3, 3], &ConvSpec { groups: 2, stride: [2, 1], ..same });
        // rows whose last steps have fewer pixels, along which windows move far; kernels of one tap, of many, and too many to be written out
        check(&g, core, [2, 9, 5, 17], 20, [3, 3], &ConvSpec { stride: [1, 2], padding: [1, 4], ..ONE });
        check(&g, core, [2, 9, 3, 11], 33, [1, 1], &ONE);
        check(&g, core, [2, 3, 9, 23], 10, [1, 2], &ConvSpec { dilation: [1, 2], ..ONE });
        check(&g, core, [2, 3, 17, 19], 5, [7, 7], &ConvSpec { stride: [2, 2], padding: [3, 3], ..ONE });
        check(&g, core, [1, 2, 12, 40], 3, [3, 9], &ConvSpec { stride: [1, 3], ..ONE });
        // deep enough for several parts
        check(&g, core, [9, 2, 20, 20], 4, [3, 3], &ConvSpec { padding: [1, 1], ..ONE });
    }
}

#[test]
fn what_no_window_holds_does_not_spread() {
    let Some(g) = device() else { return };
    // an infinite input reaches the taps that meet it, also where a row's steps end past its last pixel
    let (x, o) = ([1, 1, 3, 13], 2);
    for core in ways(&g) {
        let mut pixels = vec![1f32; 39];
        pixels[12] = f32::INFINITY;
        let (input, grad) = (Host::dense(&g, pixels, &x), Host::dense(&g, vec![1f32; 22], &[1, o, 1, 11]));
        let (gw, gb) = (Host::noise(&g, &[o, 1, 3, 3], 1), Host::noise(&g, &[o], 2));
        let b = gb.view();
        conv2d_weight_grad_on(&mut g.lock(), core, &input.view(), &grad.view(), &gw.view(), Some(&b), &ONE).unwrap();
        let mut expected = [11f32; 18];
        (expected[2], expected[11]) = (f32::INFINITY, f32::INFINITY);
        assert_eq!(down::<f32>(&g, &gw.buffer, 18), expected, "{core:?}");
    }
}

#[test]
fn an_empty_batch_has_zero_weight_gradients() {
    let Some(g) = device() else { return };
    for core in ways(&g) {
        let input = Host::dense(&g, vec![0f32; 0], &[0, 2, 4, 4]);
        let grad = Host::dense(&g, vec![0f32; 0], &[0, 3, 2, 2]);
        let (gw, gb) = (Host::noise(&g, &[3, 2, 3, 3], 1), Host::noise(&g, &[3], 2));
        let b = gb.view();
        conv2d_weight_grad_on(&mut g.lock(), core, &input.view(), &grad.view(), &gw.view(), Some(&b), &ONE).unwrap();
        assert_eq!(down::<f32>(&g, &gw.buffer, 54), [0.0; 54]);
        assert_eq!(down::<f32>(&g, &gb.buffer, 3), [0.0; 3]);
    }
}

#[test]
fn sizes_that_do_not_fit_are_refused() {
    let Some(g) = device() else { return };
    let (x, w) = (Host::noise(&g, &[1, 2, 5, 5], 1), Host::noise(&g, &[3, 2, 3, 3], 2));
    let out = Host::noise(&g, &[1, 3, 4, 3], 3);
    let rec = &mut g.lock();
    assert!(conv2d(rec, &x.view(), &w.view(), None, &out.view(), &ONE, Act::None).is_err());
    let turned = GpuView { strides: &[50, 1, 10, 2], ..x.view() };
    let out = GpuView { shape: &[1, 3, 3, 3], strides: &[27, 9, 3, 1], ..out.view() };
    assert!(conv2d(rec, &turned, &w.view(), None, &out, &ONE, Act::None).is_err());
}

/// The kernels of every tile.
pub(in crate::gpu::kernels) fn tiles() -> Vec<KernelSource> {
    let all = [(FORWARD, "conv2d"), (INPUT, "conv2d input"), (WEIGHT, "conv2d weight")];
    let both = |(operands, name): &(Operands, &str)| {
        [64, 128].map(|side| Core::Tile(side).source(&format!("{name} tile{side}"), operands, 40, false))
    };
    all.iter().flat_map(both).collect()
}

#[test]
fn every_configuration_is_valid() {
    for core in [Core::Tile(64), Core::Tile(128), Core::Wave(16), Core::Wave(32)] {
        for operands in [&FORWARD, &INPUT, &WEIGHT] {
            crate::gpu::testing::check_wgsl(&core.source("conv", operands, 40, true));
        }
    }
    for wide in [false, true] {
        for rows in [8, 16] {
            for (kernel, unit) in [([3, 3], 1), ([5, 5], 2), ([1, 7], 4), ([3, 3], 2), ([2, 2], 4)] {
                crate::gpu::testing::check_wgsl(&conv_wave::wgsl(rows, kernel, conv_wave::Unit(unit), wide));
            }
        }
        let step = Step {
            kernel: [3, 3],
            stride: 1,
            dilation: 1,
            kept: 2,
            own: 2,
            channels: 8,
            pixels: 8,
            spare: 0,
            aligned: true,
        };
        let far = Step { stride: 2, dilation: 3, kept: 0, pixels: 3, aligned: false, ..step };
        for step in [step, far, Step { kernel: [1, 1], own: 4, kept: 0, channels: 1, spare: 5, ..step }] {
            crate::gpu::testing::check_wgsl(&step.wgsl(wide));
        }
    }
    crate::gpu::testing::check_wgsl(&source("conv2d sum", &[SUM], 1, 2, 7));
}

#[test]
#[ignore = "prints figures"]
fn speed() {
    let Some(g) = device() else { return };
    let same = ConvSpec { padding: [1, 1], ..ONE };
    let two = ConvSpec { stride: [2, 2], ..same };
    for (x, o, k, spec) in [
        ([64, 1, 32, 32], 6, 3, ONE),
        ([64, 1, 32, 32], 6, 5, ONE),
        ([64, 6, 14, 14], 16, 5, ONE),
        ([64, 6, 15, 15], 16, 3, ONE),
        ([64, 1, 28, 28], 8, 3, same),
        ([64, 8, 14, 14], 16, 3, same),
        ([16, 32, 32, 32], 64, 3, same),
        ([16, 32, 32, 32], 64, 3, two),
        ([16, 32, 28, 28], 64, 1, ONE),
        ([8, 3, 64, 64], 64, 3, same),
        ([4, 3, 64, 64], 64, 7, ConvSpec { padding: [3, 3], ..two }),
        ([16, 64, 7, 7], 128, 3, same),
        ([16, 64, 4, 4], 128, 3, same),
        ([16, 64, 2, 2], 128, 3, same),
        ([16, 64, 14, 14], 64, 3, ConvSpec { groups: 64, ..same }),
        ([16, 64, 14, 14], 64, 3, ConvSpec { groups: 64, ..two }),
        ([16, 64, 14, 14], 64, 3, ConvSpec { groups: 16, ..same }),
        ([16, 64, 14, 14], 2, 3, same),
        ([16, 64, 1, 256], 64, 3, ConvSpec { padding: [1, 1], ..ONE }),
    ] {
        let w = Host::noise(&g, &[o, x[1] / spec.groups, k, k], 2);
        let (input, bias, gb) = (Host::noise(&g, &x, 1), Host::noise(&g, &[o], 3), Host::noise(&g, &[o], 3));
        let size = |d: usize| (x[2 + d] + 2 * spec.padding[d] - k) / spec.stride[d] + 1;
        let out = Host::noise(&g, &[x[0], o, size(0), size(1)], 4);
        let (gx, gw) = (Host::noise(&g, &x, 1), Host::noise(&g, &w.shape, 1));
        let flops = (2 * out.data.len() * x[1] / spec.groups * k * k) as f64;
        let say = |name: &str, cost: crate::gpu::kernels::testing::Cost| {
            println!(
                "conv {x:?} -> {o} by {k}, stride {}, groups {} {name}: {cost}; {:.1} GFLOP/s",
                spec.stride[0],
                spec.groups,
                flops / cost.wall.as_secs_f64() / 1e9
            );
        };
        let b = bias.view();
        say(
            "forward",
            time(&g, |r| conv2d(r, &input.view(), &w.view(), Some(&b), &out.view(), &spec, Act::Relu).unwrap()),
        );
        say("input", time(&g, |r| conv2d_input_grad(r, &out.view(), &w.view(), &gx.view(), &spec).unwrap()));
        let b = gb.view();
        say(
            "weight",
            time(&g, |r| conv2d_weight_grad(r, &input.view(), &out.view(), &gw.view(), Some(&b), &spec).unwrap()),
        );
    }
}
