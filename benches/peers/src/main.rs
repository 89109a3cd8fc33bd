//! Times wgtorch's workloads and prints a JSON line for each: `peer-wgtorch [workload-substring …]`.
//!
//! `WGTORCH_DEVICE` (default `cpu`) names the device, `PEER_BUDGET_S` the seconds for each workload, `RAYON_NUM_THREADS` the CPU's
//! threads. Every run ends with a synchronise while its whole output is alive and one element read; after the timing a random
//! element is checked against a computation of its own, and a wrong one ends the program.

#[path = "../../workloads/mod.rs"]
mod workloads;

use std::hint::black_box;
use std::time::{Duration, Instant};
use wgtorch::prelude::*;
use workloads::Workload;

/// Seconds of processor time that the whole machine and this process have used: how much others used follows.
fn ticks() -> (f64, f64) {
    let sum = |s: &str, r: std::ops::Range<usize>| -> f64 {
        s.split_whitespace().enumerate().filter(|(i, _)| r.contains(i)).filter_map(|(_, v)| v.parse::<f64>().ok()).sum()
    };
    let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = stat.lines().next().unwrap_or("");
    let me = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    ((sum(line, 1..9) - sum(line, 4..6)) / 100.0, sum(me.rsplit(')').next().unwrap_or(""), 11..13) / 100.0)
}

const PEER: &str = concat!("wgtorch-", env!("CARGO_PKG_VERSION"));

/// What the timing of one workload gave: milliseconds, runs, the first run, and the cores that others used.
struct Times {
    median: f64,
    min: f64,
    n: usize,
    first: f64,
    others: f64,
}

fn once(w: &mut Workload, device: Device) -> Result<f64, Error> {
    let started = Instant::now();
    let outputs = (w.run)();
    for y in &outputs {
        let first = if y.dim() == 0 { y.clone() } else { y.reshape(-1).select(0, 0) };
        black_box(first.item::<f32>()?);
    }
    device.synchronize()?;
    let took = started.elapsed().as_secs_f64() * 1e3;
    drop(outputs);
    Ok(took)
}

fn time(w: &mut Workload, device: Device, budget: Duration) -> Result<Times, Error> {
    let first = once(w, device)?;
    for _ in 0..4 {
        once(w, device)?;
    }
    let (before, started) = (ticks(), Instant::now());
    let mut times = Vec::new();
    while times.len() < 5 || (started.elapsed() < budget && times.len() < 200) {
        times.push(once(w, device)?);
        if started.elapsed() > Duration::from_secs(15) {
            break;
        }
    }
    let after = ticks();
    let others = ((after.0 - before.0) - (after.1 - before.1)) / started.elapsed().as_secs_f64();
    times.sort_by(f64::total_cmp);
    Ok(Times { median: times[times.len() / 2], min: times[0], n: times.len(), first, others: others.max(0.0) })
}

fn main() {
    let device: Device = match std::env::var("WGTORCH_DEVICE").unwrap_or_else(|_| "cpu".into()).parse() {
        Ok(d) => d,
        Err(e) => {
            eprintln!("peer-wgtorch: {e}");
            std::process::exit(2);
        }
    };
    let threads = std::env::var("RAYON_NUM_THREADS")
        .unwrap_or_else(|_| std::thread::available_parallelism().map_or(1, std::num::NonZero::get).to_string());
    let name = match device {
        Device::Cpu => format!("cpu-{threads}t"),
        gpu => {
            let what = gpu.description();
            let api = if what.contains("Vulkan") { "vulkan" } else { "wgpu" };
            if what.contains("llvmpipe") { format!("{api}-lavapipe") } else { format!("{api}-{gpu}") }
        }
    };
    let budget = std::env::var("PEER_BUDGET_S").ok().and_then(|s| s.parse().ok()).unwrap_or(1.0);
    let budget = Duration::from_secs_f64(budget);
    let filters: Vec<String> = std::env::args().skip(1).collect();
    manual_seed(0);

    for (workload, make) in workloads::ALL {
        if !filters.is_empty() && !filters.iter().any(|f| workload.contains(f.as_str())) {
            continue;
        }
        let head = format!("{{\"peer\": \"{PEER}\", \"device\": \"{name}\", \"workload\": \"{workload}\"");
        let mut w = make(device);
        let timed = time(&mut w, device, budget).and_then(|t| Ok((t, (w.check)()?)));
        match timed {
            Ok((t, (got, expected))) => {
                let close = (got - expected).abs() <= 1e-3 * expected.abs().max(1.0);
                assert!(close, "{workload}: an element is {got}, expected {expected}");
                println!(
                    "{head}, \"median_ms\": {:.5}, \"min_ms\": {:.5}, \"n\": {}, \"others_cpu\": {:.2}, \"first_ms\": {:.1}}}",
                    t.median, t.min, t.n, t.others, t.first
                );
            }
            Err(e) => println!("{head}, \"error\": {:?}}}", e.to_string()),
        }
    }
}
