//! The profiler: what it hears of a train step on each device, its table, and that the trace files are whole.

mod common;

use common::devices;
use serde_json::Value as Json;
use std::process::Command;
use wgtorch::prelude::*;
use wgtorch::profiler::{self, Kind, SortBy, Track};

fn train_step(device: Device) -> f32 {
    let x = randn([64, 32], device);
    let target = randn([64, 8], device);
    let model = nn::Linear::new(32, 8).to(device);
    let mut optimizer = SGD::new(model.parameters(), 0.1);
    let loss = F::mse_loss(&(model.call(&x).relu() * 2.0 + 1.0), &target);
    loss.backward();
    optimizer.step();
    loss.item::<f32>().unwrap()
}

#[test]
fn a_train_step_by_op() {
    for device in devices() {
        train_step(device); // kernels are compiled
        let (loss, profile) = profiler::profile(|| {
            let _span = profiler::record_function("step");
            train_step(device)
        });
        assert!(loss.is_finite());
        let averages = profile.key_averages();
        let row = |name: &str| averages.get(name).unwrap_or_else(|| panic!("no {name} on {device}: {averages:?}"));
        assert_eq!(row("step").calls, 1);
        assert_eq!(row("addmm").calls, 1);
        // 64 rows of 8 sums of 32 products
        assert_eq!(row("addmm").flops, 2 * 64 * 8 * 32);
        for name in ["AddmmBackward0", "ReluBackward0", "MulBackward0", "Optimizer.step#SGD.step"] {
            assert_eq!(row(name).calls, 1, "{name}");
        }
        // the step encloses all of the thread's spans
        assert!(row("step").cpu_time >= row("AddmmBackward0").cpu_time + row("Optimizer.step#SGD.step").cpu_time);
        assert!(row("step").self_cpu_time < row("step").cpu_time);
        let table = averages.table(SortBy::KernelTime, 100);
        assert!(table.contains("addmm") && table.contains("GFLOP/s"), "{table}");
        let on = |e: &&profiler::Event| e.kind == Kind::Kernel && matches!(e.track, Track::Gpu(_)) == device.is_gpu();
        let kernels: Vec<_> = profile.events().iter().filter(on).collect();
        // both clocks are one: the kernels ran within the step (a GPU without timestamps tells when they were recorded)
        assert!(kernels.iter().any(|e| e.name == "addmm"), "{kernels:?}");
        let end = kernels.iter().map(|e| e.start + e.duration).max().unwrap();
        let step = profile.events().iter().find(|e| e.name == "step").unwrap();
        let slack = std::time::Duration::from_millis(20);
        for e in &kernels {
            assert!(e.start + slack >= step.start && end <= step.start + step.duration + slack, "{e:?} {step:?}");
        }
        let read = profile.events().iter().any(|e| e.kind == Kind::Transfer && e.work.bytes == 4);
        assert_eq!(read, device.is_gpu(), "the loss is read back");
        check(&{
            let path =
                std::env::temp_dir().join(format!("wgtorch-profile-{}-{}.json", std::process::id(), device.is_gpu()));
            profile.export_chrome_trace(&path).unwrap();
            let text = std::fs::read_to_string(&path).unwrap();
            std::fs::remove_file(&path).unwrap();
            text
        });
    }
}

#[test]
fn another_threads_work_is_not_heard() {
    let (_, profile) = profiler::profile(|| std::thread::spawn(|| ones(3, ()) * 2.0).join().unwrap());
    assert!(profile.key_averages().get("mul").is_none());
    assert!(profiler::profile(|| ones(3, ()) * 2.0).1.key_averages().get("mul").is_some());
}

/// A trace's events by name; it has to be whole JSON.
fn check(text: &str) -> Vec<String> {
    let events: Vec<Json> = serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"));
    let spans: Vec<&Json> = events.iter().filter(|e| e["ph"] == "X").collect();
    for e in &spans {
        assert!(e["ts"].as_f64().unwrap() >= 0.0 && e["dur"].as_f64().unwrap() >= 0.0, "{e}");
        let named = |m: &&Json| m["ph"] == "M" && m["tid"] == e["tid"];
        assert!(events.iter().any(|m| named(&m)), "{e} is on a track without a name");
    }
    let names: Vec<String> = spans.iter().map(|e| e["name"].as_str().unwrap().to_string()).collect();
    for name in ["addmm", "AddmmBackward0", "Optimizer.step#SGD.step"] {
        assert!(names.iter().any(|n| n == name), "no {name} in {names:?}");
    }
    names
}

/// What the next test runs in a process of its own.
#[test]
#[ignore = "run by the_environment_asks_for_a_trace_of_the_whole_process"]
fn traced_process() {
    for device in devices() {
        assert!(train_step(device).is_finite());
    }
}

#[test]
fn the_environment_asks_for_a_trace_of_the_whole_process() {
    let path = std::env::temp_dir().join(format!("wgtorch-trace-{}.json", std::process::id()));
    let run = |to: &std::path::Path| {
        let mut c = Command::new(std::env::current_exe().unwrap());
        c.args(["--ignored", "--exact", "--nocapture", "traced_process"]).env("WGTORCH_PROFILE", to).output().unwrap()
    };
    let out = run(&path);
    assert!(out.status.success(), "{out:?}");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    check(&text);

    // a file that cannot be written is said, and the program goes on
    let nowhere = path.join("not a folder").join("trace.json");
    let out = run(&nowhere);
    assert!(out.status.success(), "{out:?}");
    let said = String::from_utf8_lossy(&out.stderr).to_string() + &String::from_utf8_lossy(&out.stdout);
    assert!(said.contains("WGTORCH_PROFILE: cannot write"), "{said}");
}
