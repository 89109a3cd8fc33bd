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
fn the_sum_of_a_chain_is_one_launch() {
    let _alone = alone();
    if !lazy() {
        return;
    }
    for device in devices() {
        let x = ramp(device).view([50, 100]);
        let sum = || vec![((&x * 2.0 + 1.0).exp() - &x).sum()];
        assert_eq!(launches(sum), (0, 1), "on {device}");
        let rows = || vec![((&x + 3.0) * &x).mean_dim(1, ())];
        assert_eq!(launches(rows), (0, 1), "on {device}");
        let counted = || vec![x.gt(0.2).sum()];
        assert_eq!(launches(counted), (0, 1), "on {device}");
        // what is still visible is stored as well
        let kept = || {
            let y = &x * 2.0 + 1.0;
            vec![y.sum(), y]
        };
        assert_eq!(launches(kept), (1, 1), "on {device}");
    }
}

#[test]
fn a_matmul_with_bias_and_relu_is_one_launch() {
    let _alone = alone();
    if !lazy() {
        return;
    }
    for device in devices() {
        let (x, w, b) =
            (ones([40, 50], device).add_(0.0), ones([60, 50], device).add_(0.0), ones([60], device).add_(1.0));
        device.synchronize().unwrap();
        let layer = || vec![x.linear(&w, &b).relu()];
        assert_eq!(launches(layer), (0, 1), "on {device}");
    }
}

/// Runs `f` lazily and eagerly.
fn both_ways(f: impl Fn() -> Tensor) -> (Vec<f64>, Vec<f64>) {
    let lazily = f().to_vec::<f64>().unwrap();
    stream::set_eager(true);
    let eagerly = f().to_vec::<f64>().unwrap();
    stream::set_eager(!lazy());
    (lazily, eagerly)
}

#[test]
fn reductions_of_chains_are_those_of_stored_values() {
    let _alone = alone();
    type Case = fn(&Tensor, &Tensor) -> Tensor;
    let cases: [(&str, Case); 14] = [
        ("sum", |x, _| (x * 2.0 + 1.0).sum()),
        ("rows", |x, row| (x * row).exp().sum_dim(1, ())),
        ("columns", |x, row| (x - row).sum_dim(0, true)),
        ("mean", |x, row| (x + row).mean_dim([0, 1], ())),
        ("max", |x, row| (x * row).amax(1, false)),
        ("min", |x, row| (x * row).amin(0, false)),
        ("argmax", |x, row| (x * row).argmax_dim(1, false)),
        ("norm", |x, row| (x * row + 1.0).norm(2)),
        ("var", |x, row| (x * row + 1.0).var()),
        ("transposed", |x, row| (x.t() * 3.0 + row.select(0, 0)).sum_dim(1, ())),
        ("strided", |x, _| (x.slice(1, Some(1), Some(80), 3) * 3.0).sum_dim(-1, ())),
        ("broadcast", |x, row| (row.unsqueeze(0) + x.select(1, 0).unsqueeze(1)).sum()),
        ("true", |x, row| x.gt(row).sum()),
        ("a value in between that is written to", |x, _| {
            let y = x * 2.0;
            let z = &y + 1.0;
            y.add_(5.0);
            z.sum() + y.sum()
        }),
    ];
    for device in devices() {
        let x = ramp(device).view([50, 100]);
        let row = x.select(0, 7).copy();
        for (name, f) in cases {
            let (fused, eager) = both_ways(|| f(&x, &row));
            for (a, b) in fused.iter().zip(&eager) {
                assert!((a - b).abs() <= 2e-6 * b.abs().max(1.0), "{name} on {device}: {a} fused, {b} eager");
            }
        }
    }
}

#[test]
fn a_reduction_sees_its_operands_as_they_were() {
    let _alone = alone();
    for device in devices() {
        let x = ramp(device);
        let want: f64 = x.to_vec::<f64>().unwrap().iter().map(|x| x.exp()).sum();
        let y = x.exp();
        let twice = x.view([50, 100]) * 2.0;
        x.fill_(3.0);
        let z = x.view([50, 100]) * &twice;
        let sum = y.sum();
        drop(y);
        assert!((sum.item::<f64>().unwrap() - want).abs() < 1e-3 * want, "on {device}");
        assert!((z.sum().item::<f64>().unwrap() - 3.0 * twice.sum().item::<f64>().unwrap()).abs() < 1e-2);
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
fn each_thread_hears_of_its_own_bad_index_at_its_next_wait() {
    let _alone = alone();
    for device in devices() {
        std::thread::scope(|s| {
            for thread in 0..4i64 {
                s.spawn(move || {
                    let x = ramp(device);
                    for i in 0..30 {
                        // half of the threads only read, which must neither take the others' errors nor fail
                        if thread % 2 == 1 {
                            assert!((x.item_of_first() + 0.3).abs() < 1e-6);
                            continue;
                        }
                        let bad = N as i64 + thread * 1000 + i;
                        let index = Tensor::from_vec(vec![0, bad], [2], device).unwrap();
                        let heard = x.checked().index_select(0, &index).and_then(|_y| device.synchronize());
                        let error = heard.expect_err("the index is out of range").to_string();
                        assert!(device == Device::Cpu || error.contains(&bad.to_string()), "{bad}: {error}");
                        device.synchronize().expect("said once");
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

/// Large transfers go by pieces: sizes around and between them, odd bytes, and a view that begins inside a word.
#[test]
fn large_copies_there_and_back() {
    for device in devices() {
        for n in [(8 << 20) - 257, (8 << 20) - 256, (8 << 20) - 255, (16 << 20) + 7] {
            let bytes: Vec<u8> = (0..n).map(|i| (i % 251) as u8).collect();
            let there = Tensor::from_slice(&bytes, [n], device).unwrap();
            assert_eq!(there.to_vec::<u8>().unwrap(), bytes, "{n} bytes on {device}");
            let mut back = vec![0u8; n - 3];
            there.narrow(0, 3, n - 3).copy_to_slice(&mut back).unwrap();
            assert_eq!(back, bytes[3..], "{n} bytes on {device}");
        }
        let n = (1 << 20) + 77;
        let wide: Vec<f64> = (0..n).map(|i| i as f64 * 0.5).collect();
        let there = Tensor::from_slice(&wide, [n], device).unwrap();
        assert_eq!(there.to_vec::<f64>().unwrap(), wide, "{device}");
    }
}
