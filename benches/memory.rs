//! `cargo bench --bench memory`: what training needs, on the device that `WGTORCH_DEVICE` names (default `cpu`): for each network of
//! the benchmarks the memory of the process while it takes 10,000 steps (`STEPS=1000` for fewer), which has to stay as it is after the
//! first hundred, and the most that it ever was. `cargo bench --bench memory -- gpt` takes some.

#[allow(dead_code, reason = "the other workloads")]
mod workloads;

use std::hint::black_box;
use wgtorch::prelude::*;
use wgtorch::stream::{StorageImpl, device_counters};

/// A line of `/proc/self/status` in MiB.
fn status(key: &str) -> f64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find(|l| l.starts_with(key));
    line.and_then(|l| l.split_whitespace().nth(1)?.parse::<f64>().ok()).map_or(f64::NAN, |kib| kib / 1024.0)
}

fn report(device: Device, steps: usize) {
    if let Err(e) = device.synchronize() {
        panic!("{e}");
    }
    let gpu = match device_counters(device) {
        Ok(c) if device.is_gpu() => {
            format!(", {:.1} MiB in {} GPU buffers", c.pool_bytes as f64 / (1 << 20) as f64, c.pool_buffers)
        }
        _ => String::new(),
    };
    println!("| {steps} | {:.1} | {:.1} | {} storages{gpu} |", status("VmRSS:"), status("VmHWM:"), StorageImpl::live());
}

fn main() {
    if !std::env::args().any(|a| a == "--bench") {
        return println!("nothing to test: `cargo bench --bench memory` measures");
    }
    let device: Device = match std::env::var("WGTORCH_DEVICE").unwrap_or_else(|_| "cpu".into()).parse() {
        Ok(d) => d,
        Err(e) => panic!("{e}"),
    };
    let steps: usize = std::env::var("STEPS").ok().and_then(|s| s.parse().ok()).unwrap_or(10_000);
    let wanted: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let trained = workloads::ALL.iter().filter(|(name, _)| name.contains("train"));
    for (name, make) in trained.filter(|(name, _)| wanted.is_empty() || wanted.iter().any(|w| name.contains(&w[..]))) {
        manual_seed(0);
        println!("\n{name} on {device}\n\n| steps | resident MiB | most so far | |\n| --- | --- | --- | --- |");
        report(device, 0);
        let mut w = make(device);
        for step in 1..=steps {
            black_box((w.run)());
            if step == 1 || step == 100 || step % (steps / 10).max(1) == 0 {
                report(device, step);
            }
        }
        match (w.check)() {
            Ok((got, want)) if got == want => {}
            Ok((got, want)) => panic!("{name}: {got}, not {want}: the loss has not fallen"),
            Err(e) => panic!("{name}: {e}"),
        }
    }
}
