//! Graphs of a million ops run forward, backward and are dropped on the default stack, in bounded memory.
//!
//! A test binary of its own, so that the process's peak memory is the graph's.

mod common;

use common::devices;
use wgtorch::prelude::*;

/// The process's peak resident memory in bytes (Linux only).
fn peak() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|l| l.starts_with("VmHWM"))?;
    Some(line.split_whitespace().nth(1)?.parse::<f64>().ok()? * 1024.0)
}

/// Starts the peak anew, so that it is what comes from here on.
fn reset_peak() {
    // not every system lets a process do so; the test then measures from the start
    if let Err(e) = std::fs::write("/proc/self/clear_refs", "5") {
        eprintln!("the peak could not be reset: {e}");
    }
}

fn chain(device: Device, ops: usize) {
    let n = ops / 4;
    let x = full([4], 1.0, TensorOptions::new().device(device).requires_grad(true));
    let y = full([4], 1e-7, TensorOptions::new().device(device).requires_grad(true));
    let one = ones([4], device);
    let mut z = &x * 1.0;
    for _ in 0..n {
        z = &z + &y;
        // saves its inputs
        z = &z * &one;
        z = z.view([2, 2]);
        z = z.view([4]);
    }
    z.backward_with(Some(&ones([4], device)), ());
    assert_eq!(x.grad().unwrap().to_vec::<f32>().unwrap(), [1.0; 4]);
    assert_eq!(y.grad().unwrap().to_vec::<f32>().unwrap(), [n as f32; 4]);
}

#[test]
fn a_million_ops_on_the_cpu_and_a_hundred_thousand_on_the_gpu() {
    // a pass over few ops first, for what is allocated once
    for device in devices() {
        chain(device, 4000);
    }
    for device in devices() {
        let ops = if device.is_gpu() { 100_000 } else { 1_000_000 };
        reset_peak();
        let before = peak();
        chain(device, ops);
        if let (Some(before), Some(after)) = (before, peak()) {
            let each = (after - before) / ops as f64;
            println!("{device}: {each:.0} bytes an op");
            assert!(each <= 1536.0, "{each:.0} bytes an op on {device}");
        }
    }
}
