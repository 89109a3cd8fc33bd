//! Optimizer steps against PyTorch's published sequences and against loops in f64.

use super::*;
use crate::gpu::Gpu;
use crate::gpu::kernels::testing::{Host, close};
use crate::gpu::testing::{check_wgsl, device, down, up};

const PLAIN: Sgd = Sgd { lr: 0.1, momentum: 0.0, dampening: 0.0, weight_decay: 0.0, nesterov: false, maximize: false };
const ADAM_PLAIN: Adam =
    Adam { lr: 0.1, betas: (0.9, 0.999), eps: 1e-8, weight_decay: 0.0, decoupled: false, maximize: false };

/// What PyTorch makes of a parameter 1 under the gradients 1, 2, 3.
fn sgd_steps(g: &Gpu, how: Sgd) -> Vec<f32> {
    let one = |v: f32| Host::dense(g, vec![v], &[1]);
    let (p, buf) = (one(1.0), one(f32::NAN));
    let mut seen = Vec::new();
    for i in 0..3 {
        let grad = one(1.0 + i as f32);
        let state = (how.momentum != 0.0).then(|| (buf.view(), i > 0));
        sgd(&mut g.lock(), &how, &[SgdParam { param: p.view(), grad: grad.view(), state }]).unwrap();
        seen.push(down::<f32>(g, &p.buffer, 1)[0]);
    }
    seen
}

#[test]
fn sgd_has_pytorchs_values() {
    let Some(g) = device() else { return };
    let momentum = Sgd { momentum: 0.9, ..PLAIN };
    for (how, want) in [
        (PLAIN, [0.9, 0.7, 0.4]),
        (momentum, [0.9, 0.61, 0.049]),
        (Sgd { dampening: 0.5, ..momentum }, [0.9, 0.71, 0.389]),
        (Sgd { nesterov: true, ..momentum }, [0.81, 0.349, -0.4559]),
    ] {
        close(&format!("{how:?}"), &sgd_steps(&g, how), &want, 1e-6);
    }
    let decayed = sgd_steps(&g, Sgd { maximize: true, weight_decay: 0.1, ..PLAIN });
    close("maximize, then decay", &decayed[..1], &[1.09], 1e-6);
}

fn adam_steps(g: &Gpu, how: Adam) -> Vec<f32> {
    let one = |v: f32| Host::dense(g, vec![v], &[1]);
    let (p, mean, square) = (one(1.0), one(0.0), one(0.0));
    let mut seen = Vec::new();
    for step in 1..=3 {
        let grad = one(step as f32);
        let all = AdamParam { param: p.view(), grad: grad.view(), mean: mean.view(), square: square.view(), step };
        adam(&mut g.lock(), &how, &[all]).unwrap();
        seen.push(down::<f32>(g, &p.buffer, 1)[0]);
    }
    seen
}

#[test]
fn adam_has_pytorchs_values() {
    let Some(g) = device() else { return };
    for (how, want) in [
        (ADAM_PLAIN, [0.9, 0.8034818, 0.70768168]),
        (Adam { eps: 1.0, ..ADAM_PLAIN }, [0.95, 0.89087201, 0.82538009]),
        (Adam { weight_decay: 0.1, ..ADAM_PLAIN }, [0.9, 0.80294733, 0.70660999]),
        (Adam { weight_decay: 0.1, decoupled: true, ..ADAM_PLAIN }, [0.89, 0.7845818, 0.68093586]),
    ] {
        close(&format!("{how:?}"), &adam_steps(&g, how), &want, 1e-6);
    }
    // the gradient's sign is all that maximize turns
    close("maximize", &adam_steps(&g, Adam { maximize: true, ..ADAM_PLAIN })[..1], &[1.1], 1e-6);
}

#[test]
fn many_parameters_are_few_dispatches() {
    let Some(g) = device() else { return };
    // inside a quad, and where one begins
    for offset in [3, 4] {
        many_parameters(&g, offset);
    }
}

fn many_parameters(g: &Gpu, offset: usize) {
    let sizes = [54usize, 6, 864, 0, 16, 1, 700];
    let host = |seed: u32| -> Vec<Host> {
        sizes.iter().map(|&n| Host::laid(g, &[n], &[0], offset, seed + n as u32)).collect()
    };
    let (params, grads, bufs) = (host(1), host(2), host(3));
    let how = Sgd { momentum: 0.9, weight_decay: 0.01, ..PLAIN };
    let all: Vec<SgdParam> = (0..sizes.len())
        .map(|i| SgdParam { param: params[i].view(), grad: grads[i].view(), state: Some((bufs[i].view(), i != 4)) })
        .collect();
    let before = g.lock().counters().dispatches;
    sgd(&mut g.lock(), &how, &all).unwrap();
    // five with a state, one without; eight buffers are bound at least
    let (limit, expected) =
        (g.lock().limits().max_storage_buffers_per_shader_stage as usize, |per: usize, limit: usize| {
            5usize.div_ceil((limit / per).min(PARTS)) as u64
        });
    assert_eq!(g.lock().counters().dispatches - before, 1 + expected(3, limit));
    for i in 0..sizes.len() {
        let at = |h: &[Host], j: usize| h[i].data[offset + j] as f64;
        let step = |j: usize| {
            let d = at(&grads, j) + 0.01 * at(&params, j);
            let buf = if i == 4 { d } else { 0.9 * at(&bufs, j) + d };
            (at(&params, j) - 0.1 * buf, buf)
        };
        let (p, b): (Vec<f64>, Vec<f64>) = (0..sizes[i]).map(step).unzip();
        let n = sizes[i] + offset;
        close("parameter", &down::<f32>(g, &params[i].buffer, n)[offset..], &p, 1e-6);
        close("momentum", &down::<f32>(g, &bufs[i].buffer, n)[offset..], &b, 1e-6);
        assert_eq!(down::<f32>(g, &params[i].buffer, offset), params[i].data[..offset]);
    }

    let (params, grads) = (host(5), host(6));
    let zeros = || -> Vec<Host> { sizes.iter().map(|&n| Host::dense(g, vec![0.0; n], &[n])).collect() };
    let (means, squares) = (zeros(), zeros());
    let all: Vec<AdamParam> = (0..sizes.len())
        .map(|i| AdamParam {
            param: params[i].view(),
            grad: grads[i].view(),
            mean: means[i].view(),
            square: squares[i].view(),
            step: 1,
        })
        .collect();
    let before = g.lock().counters().dispatches;
    adam(&mut g.lock(), &ADAM_PLAIN, &all).unwrap();
    assert_eq!(g.lock().counters().dispatches - before, 6usize.div_ceil((limit / 4).min(PARTS)) as u64);
    for i in 0..sizes.len() {
        let want: Vec<f64> = (0..sizes[i])
            .map(|j| {
                let d = grads[i].data[offset + j] as f64;
                params[i].data[offset + j] as f64 - 0.1 * d / (d.abs() + 1e-8)
            })
            .collect();
        close("adam", &down::<f32>(g, &params[i].buffer, sizes[i] + offset)[offset..], &want, 1e-6);
    }
}

#[test]
fn what_follows_a_parameter_in_its_last_quad_stays() {
    let Some(g) = device() else { return };
    let all: Vec<Host> = (0..4).map(|k| Host::noise(&g, &[16], k + 1)).collect();
    let view = |k: usize| GpuView { shape: &[6], strides: &[1], offset: 4, ..all[k].view() };
    let how = Sgd { momentum: 0.9, ..PLAIN };
    sgd(&mut g.lock(), &how, &[SgdParam { param: view(0), grad: view(1), state: Some((view(2), true)) }]).unwrap();
    let step = AdamParam { param: view(0), grad: view(1), mean: view(2), square: view(3), step: 1 };
    adam(&mut g.lock(), &ADAM_PLAIN, &[step]).unwrap();
    for host in &all {
        let now: Vec<f32> = down(&g, &host.buffer, 16);
        assert_eq!((&now[..4], &now[10..]), (&host.data[..4], &host.data[10..]));
    }
}

#[test]
fn parameters_in_one_buffer_take_turns() {
    let Some(g) = device() else { return };
    let shared = up(&g, &[1f32, 2., 3., 4.]);
    let grad = Host::dense(&g, vec![1f32, 1.], &[2]);
    let view = |offset: usize| GpuView { buffer: &shared, offset, ..grad.view() };
    let all = [0, 2].map(|o| SgdParam { param: view(o), grad: grad.view(), state: None });
    sgd(&mut g.lock(), &PLAIN, &all).unwrap();
    close("shared", &down::<f32>(&g, &shared, 4), &[0.9, 1.9, 2.9, 3.9], 1e-6);
}

#[test]
fn every_configuration_is_valid() {
    for parts in [1, 2, PARTS] {
        for grain in [Grain::Single, Grain::Quads { wide: false }, Grain::Quads { wide: true }] {
            check_wgsl(&parts_source("sgd", SGD, parts, &[], 5, grain));
            check_wgsl(&parts_source("sgd", SGD, parts, &["state"], 5, grain));
            check_wgsl(&parts_source("adam", ADAM, parts, &["mean", "square"], 9, grain));
        }
    }
}
