//! Nothing grows: after thousands of train steps there are as many storages, pool bytes, pipelines and bind groups as after the
//! first hundred, and the process is as large.

mod common;

use common::devices;
use wgtorch::prelude::*;
use wgtorch::stream::{StorageImpl, device_counters, flush};

#[derive(Module)]
struct Net {
    conv: Conv2d,
    fc: Linear,
}

impl Forward for Net {
    fn forward(&self, x: &Tensor) -> Tensor {
        let x = F::max_pool2d(&self.conv.call(x).relu(), 2).flatten(1);
        self.fc.call(&x)
    }
}

/// What must not grow.
#[derive(Clone, Debug, PartialEq)]
struct Held {
    storages: usize,
    /// Pipelines, kernels, bind groups, buffers in use, and the pool's buffers and bytes, on a GPU.
    gpu: Option<[u64; 6]>,
}

fn held(device: Device) -> Held {
    flush();
    device.synchronize().unwrap();
    let gpu = device.is_gpu().then(|| {
        let c = device_counters(device).unwrap();
        [c.pipelines, c.kernels, c.bind_groups, c.live_buffers, c.pool_buffers, c.pool_bytes]
    });
    Held { storages: StorageImpl::live(), gpu }
}

/// The resident size of this process in bytes, where the system tells it.
fn resident() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find(|l| l.starts_with("VmRSS:"))?;
    let kib: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024.0)
}

/// One test, since what it counts is the process's.
#[test]
fn five_thousand_steps_hold_what_a_hundred_do() {
    for device in devices() {
        manual_seed(0);
        let net = Net { conv: Conv2d::new(1, 3, 3), fc: Linear::new(27, 4) }.to(device);
        let mut optimizer = SGD::new(net.parameters(), 0.05).momentum(0.9);
        let images = randn([64, 1, 8, 8], ());
        let labels = randint(0, 4, [64], ());
        let loader = DataLoader::new(TensorDataset::new(images, labels), 4).shuffle(true);
        let mut steps = 0;
        let mut sum = 0.0;
        let mut train = |until: usize| {
            while steps < until {
                for (x, y) in &loader {
                    optimizer.zero_grad();
                    let loss = F::cross_entropy(&net.call(&x.to(device)), &y.to(device));
                    loss.backward();
                    optimizer.step();
                    steps += 1;
                    if steps % 50 == 0 {
                        sum = loss.item::<f64>().unwrap();
                    }
                }
            }
            assert!(sum.is_finite());
        };
        // whole epochs of 16 steps
        train(112);
        let (before, size) = (held(device), resident());
        train(5008);
        assert_eq!(held(device), before, "{device}");
        match (size, resident()) {
            (Some(before), Some(after)) => {
                let growth = after / before - 1.0;
                println!(
                    "{device}: {before} bytes after 112 steps, {growth:+.4} of it more after 5008; {:?}",
                    held(device)
                );
                assert!(growth <= 0.03, "{device}: the process grew from {before} to {after} bytes");
            }
            _ => eprintln!("\n*** SKIPPED on {device}: this system does not tell a process's size ***\n"),
        }
    }
}
