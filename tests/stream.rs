//! The stream: what is merged, what is dropped, and that nothing moves past a write, on the CPU and on a GPU adapter.

mod common;

use common::devices;
use wgtorch::prelude::*;
use wgtorch::stream;

/// More elements than a step that runs at once has.
const N: usize = 5000;

/// The tests run one at a time, since launch counts are the process's.
fn alone() -> std::sync::MutexGuard<'static, ()> {
    static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    ALONE.lock().unwrap_or_else(|e| e.into_inner())
}

fn ramp(device: Device) -> Tensor {
    let v: Vec<f32> = (0..N).map(|i| i as f32 / N as f32 - 0.3).collect();
    let t = Tensor::from_vec(v, [N], device).unwrap();
    device.synchronize().unwrap();
    t
}

fn lazy() -> bool {
    !std::env::var("WGTORCH_EAGER").is_ok_and(|v| v == "1")
}

/// Launches of elementwise kernels and of others that `f` and a flush make.
fn launches(f: impl FnOnce() -> Vec<Tensor>) -> (u64, u64) {
    stream::flush();
    let before = stream::counters();
    let keep = f();
    stream::flush();
    let after = stream::counters();
    drop(keep);
    (after.fused - before.fused, after.kernels - before.kernels)
}

fn close(a: &Tensor, f: impl Fn(f64) -> f64, x: &[f64]) {
    for (got, &x) in a.to_vec::<f64>().unwrap().iter().zip(x) {
        let want = f(x);
        assert!((got - want).abs() <= 1e-5 * want.abs().max(1.0), "{got} for {want} at {x}");
    }
}

#[test]
fn a_write_does_not_overtake_a_pending_reader() {
    let _alone = alone();
    for device in devices() {
        let x = ramp(device);
        let old = x.to_vec::<f64>().unwrap();
        let y = x.exp();
        x.add_(1.0);
        let z = &y + 1.0;
        close(&z, |x| x.exp() + 1.0, &old);
        close(&y, f64::exp, &old);
        close(&x, |x| x + 1.0, &old);
    }
}

#[test]
fn a_write_through_a_view_is_seen_by_the_base_and_not_by_earlier_readers() {
    let _alone = alone();
    for device in devices() {
        let x = ramp(device).view([50, 100]);
        let old = x.to_vec::<f64>().unwrap();
        let before = &x * 2.0;
        x.select(1, 3).fill_(7.0);
        x.t().slice(0, Some(10), Some(20), 1).mul_(3.0);
        let after = &x * 2.0;
        let (before, after) = (before.to_vec::<f64>().unwrap(), after.to_vec::<f64>().unwrap());
        for (i, &v) in old.iter().enumerate() {
            let column = i % 100;
            let want = match column {
                3 => 7.0,
                10..20 => (v as f32 * 3.0) as f64,
                _ => v,
            };
            assert_eq!(before[i], v * 2.0);
            assert_eq!(after[i], want * 2.0, "element {i} on {device}");
        }
    }
}

#[test]
fn a_chain_is_one_launch() {
    let _alone = alone();
    if !lazy() {
        return;
    }
    for device in devices() {
        let x = ramp(device);
        let chain = || {
            let y = ((((&x * 2.0 + 1.0) * &x - 0.5).neg() + 3.0) * 0.25 - &x) * 1.5 + &x;
            vec![y]
        };
        assert_eq!(launches(chain), (1, 0), "on {device}");
    }
}

#[test]
fn values_that_nobody_sees_are_not_computed() {
    let _alone = alone();
    if !lazy() {
        return;
    }
    for device in devices() {
        let x = ramp(device);
        let dead = || {
            let _ = (&x * 2.0).add(1.0);
            Vec::new()
        };
        assert_eq!(launches(dead), (0, 0), "on {device}");
    }
}

#[test]
fn steps_between_which_another_shape_comes_are_still_merged() {
    let _alone = alone();
    if !lazy() {
        return;
    }
    for device in devices() {
        let (x, other) = (ramp(device), ramp(device).view([100, 50]));
        let mixed = || {
            let a = &x + 1.0;
            let b = &other * 3.0;
            let a = a * 2.0;
            let b = b - 1.0;
            vec![a, b]
        };
        assert_eq!(launches(mixed), (2, 0), "on {device}");
    }
}

#[test]
fn another_scalar_or_size_compiles_nothing() {
    let _alone = alone();
    for device in devices().into_iter().filter(|d| d.is_gpu()) {
        let run = |n: usize, s: f64| {
            let x = ones([n], device).add_(0.5);
            ((&x * s + 0.1) / (s + 1.0)).sqrt().item_of_first()
        };
        run(8000, 2.0);
        run(8000, 2.5);
        let before = stream::device_counters(device).unwrap().pipelines;
        run(8000, 3.0);
        run(16000, f64::INFINITY);
        assert_eq!(stream::device_counters(device).unwrap().pipelines, before);
    }
}

trait First {
    fn item_of_first(&self) -> f32;
}
impl First for Tensor {
    fn item_of_first(&self) -> f32 {
        self.select(0, 0).item::<f32>().unwrap()
    }
}

#[test]
fn another_thread_sees_what_was_recorded_here() {
    let _alone = alone();
    for device in devices() {
        let x = ramp(device);
        let old = x.to_vec::<f64>().unwrap();
        let y = &x * 2.0;
        let handle = {
            let (x, y) = (x.clone(), y.clone());
            std::thread::spawn(move || {
                let z = &y + 1.0;
                x.fill_(9.0);
                z
            })
        };
        let z = handle.join().unwrap();
        close(&z, |x| 2.0 * x + 1.0, &old);
        close(&y, |x| 2.0 * x, &old);
        assert!(x.to_vec::<f32>().unwrap().iter().all(|&v| v == 9.0));
    }
}

#[test]
fn threads_that_use_the_same_tensors_do_not_wait_for_each_other_forever() {
    let _alone = alone();
    for device in devices() {
        let (a, b) = (ramp(device), ramp(device));
        std::thread::scope(|s| {
            for i in 0..4 {
                let (a, b) = (&a, &b);
                s.spawn(move || {
                    for _ in 0..50 {
                        let c = if i % 2 == 0 { a + b } else { b + a };
                        assert!((c.item_of_first() + 0.6).abs() < 1e-6);
                    }
                });
            }
        });
    }
}

#[test]
fn constants_take_no_buffer_until_they_are_written() {
    let _alone = alone();
    for device in devices() {
        let z = zeros([1 << 28], device);
        let y = z.view([1 << 14, 1 << 14]).select(0, 3);
        assert_eq!(y.numel(), 1 << 14);
        let small = zeros([4], device);
        small.slice(0, Some(1), Some(3), 1).add_(2.0);
        assert_eq!(small.to_vec::<f32>().unwrap(), [0., 2., 2., 0.]);
    }
}
