//! Seeded training against PyTorch's own numbers: LeNet's initial parameters bit for bit, and its losses step by step.
//!
//! `data/lenet.json` says how PyTorch got them: `manual_seed(0)`, the blitz's LeNet, the training digits in file order, batches of 64.

mod common;
#[path = "common/lenet.rs"]
mod lenet;

use common::devices;
use lenet::LeNet;
use serde_json::Value as Json;
use std::path::Path;
use wgtorch::io::load_safetensors;
use wgtorch::prelude::*;

/// Lets one test at a time draw: the generator is the process's, and a loader's pass draws too.
fn drawing<R>(f: impl FnOnce() -> R) -> R {
    static DRAWING: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _alone = DRAWING.lock().unwrap_or_else(|e| e.into_inner());
    f()
}

fn seeded_net() -> LeNet {
    drawing(|| {
        manual_seed(0);
        LeNet::new()
    })
}

fn file(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn losses_of(run: &str) -> Vec<f64> {
    let text = std::fs::read_to_string(file("tests/data/lenet.json")).unwrap();
    let json: Json = serde_json::from_str(&text).unwrap();
    let list = json["runs"][run]["losses"].as_array().unwrap();
    list.iter().map(|x| x.as_f64().unwrap()).collect()
}

/// Losses of the first `steps` steps on a device.
fn train(device: Device, steps: usize, optimizer: impl FnOnce(Vec<Tensor>) -> Box<dyn Optimizer>) -> Vec<f64> {
    let net = seeded_net().to(device);
    let mut optimizer = optimizer(net.parameters());
    let digits = MNIST::new(file("examples/data/mnist"), true).unwrap().padding(2);
    let loader = DataLoader::new(digits, 64);
    let mut losses = Vec::new();
    for (images, labels) in drawing(|| loader.iter()).take(steps) {
        optimizer.zero_grad();
        let loss = F::cross_entropy(&net.call(&images.to(device)), &labels.to(device));
        loss.backward();
        optimizer.step();
        losses.push(loss.item::<f64>().unwrap());
    }
    losses
}

fn within(device: Device, got: &[f64], want: &[f64], tolerance: f64) {
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        let off = (got - want).abs() / want.abs();
        assert!(off <= tolerance, "{device}, step {i}: loss {got}, PyTorch's {want}: off by {off:e} > {tolerance:e}");
    }
}

#[test]
fn trajectory_initial_parameters_are_pytorchs_bit_for_bit() {
    let want = load_safetensors(file("tests/data/lenet_init.safetensors")).unwrap();
    let got = seeded_net().state_dict();
    assert_eq!(got.len(), want.len());
    for (name, t) in got.iter() {
        let bits = |t: &Tensor| t.to_vec::<f32>().unwrap().iter().map(|x| x.to_bits()).collect::<Vec<u32>>();
        assert_eq!(t.shape(), want[name].shape(), "{name}");
        assert!(bits(t) == bits(&want[name]), "{name} differs");
    }
}

#[test]
fn trajectory_of_sgd() {
    let want = losses_of("SGD(lr=0.05, momentum=0.9)");
    for device in devices() {
        let got = train(device, 50, |p| Box::new(SGD::new(p, 0.05).momentum(0.9)));
        assert_eq!(got.len(), 50);
        within(device, &got[..10], &want, 1e-5);
        within(device, &got, &want, 1e-3);
    }
}

#[test]
fn trajectory_of_adam() {
    let want = losses_of("Adam(lr=1e-3)");
    assert_eq!(want.len(), 125);
    for device in devices() {
        let got = train(device, 125, |p| Box::new(Adam::new(p, 1e-3)));
        assert_eq!(got.len(), 125);
        within(device, &got, &want, 1e-2);
    }
}
