//! `cargo bench`: medians of the workloads on the CPU and on the first GPU adapter (`cargo bench -- add_4m` picks some).
//! Times next to other libraries' come from `benches/peers`, which runs the same workloads.

mod workloads;

use criterion::{BenchmarkId, Criterion, SamplingMode};
use std::time::Duration;
use wgtorch::prelude::*;

/// One sample: the whole output is there, and still alive, when the time is taken.
fn sample(run: &mut workloads::Run, device: Device) {
    let outputs = run();
    if let Err(e) = device.synchronize() {
        panic!("{e}");
    }
    drop(std::hint::black_box(outputs));
}

fn bench_on(c: &mut Criterion, label: &str, device: Device) {
    let mut group = c.benchmark_group(label);
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_millis(700));
    for &(name, make) in workloads::ALL {
        // made at the first sample, so that a filter skips the making too
        let mut made: Option<workloads::Workload> = None;
        group.bench_function(BenchmarkId::from_parameter(name), |b| {
            let w = made.get_or_insert_with(|| {
                manual_seed(0);
                make(device)
            });
            b.iter(|| sample(&mut w.run, device));
        });
        if let Some(mut w) = made {
            match (w.check)() {
                Ok((got, want)) if (got - want).abs() <= 1e-3 * want.abs().max(1.0) => {}
                Ok((got, want)) => panic!("{name}: an element is {got}, expected {want}"),
                Err(e) => panic!("{name}: {e}"),
            }
        }
    }
    group.finish();
}

fn main() {
    let mut c = Criterion::default().without_plots().configure_from_args();
    bench_on(&mut c, "cpu", Device::Cpu);
    if Device::gpu_count() > 0 {
        bench_on(&mut c, "gpu", Device::Gpu(0));
    } else {
        eprintln!("no GPU adapter: its half of the benchmark is skipped (on Debian: apt install mesa-vulkan-drivers)");
    }
    c.final_summary();
}
