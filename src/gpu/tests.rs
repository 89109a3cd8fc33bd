//! The recorder's promises: program order, flat pools, big grids, parameters that stay with their command, loud faults.

use super::testing::{device, down, up};
use super::*;
use crate::error::Result;

/// `x[i] = x[i] * P.mul + P.add` over u32.
fn affine() -> Result<KernelSource> {
    Ok(KernelSource {
        label: "affine".into(),
        wgsl: "struct Params { n: u32, mul: u32, add: u32, pad: u32 }
@group(0) @binding(0) var<uniform> P: Params;
@group(0) @binding(1) var<storage, read_write> x: array<u32>;
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>, @builtin(local_invocation_index) l: u32) {
    let i = (wg.x + wg.y * nwg.x) * 64u + l;
    if i < P.n { x[i] = x[i] * P.mul + P.add; }
}
"
        .into(),
        bindings: vec![Access::ReadWrite],
        overrides: vec![],
        param_bytes: 16,
    })
}

fn run(rec: &mut Recorder, x: &Buffer, n: u32, mul: u32, add: u32) {
    let k = rec.kernel("test affine", affine).unwrap();
    rec.dispatch(k, &[x], &[n, mul, add], n.div_ceil(64)).unwrap();
}

#[test]
fn bytes_go_up_and_come_back() {
    let Some(g) = device() else { return };
    let g = &*g;
    for n in [1usize, 3, 4, 5, 255, 256, 257, 100_003, (1 << 20) + 7] {
        let data: Vec<u8> = (0..n).map(|i| (i * 7 + i / 251) as u8).collect();
        let b = up(g, &data);
        assert_eq!(g.read(&b, 0, n as u64).unwrap(), data);
        let part = g.read(&b, 1, n as u64 - 1).unwrap();
        assert_eq!(part, data[1..]);
    }
}

#[test]
fn commands_keep_program_order() {
    let Some(g) = device() else { return };
    let g = &*g;
    let x = up(g, &[1u32, 2, 3, 4]);
    let first = {
        let mut rec = g.lock();
        let copy = rec.alloc(16).unwrap();
        rec.copy(&x, 0, &copy, 0, 16);
        run(&mut rec, &x, 4, 3, 1);
        rec.upload(&x, 4, bytemuck::cast_slice(&[100u32])).unwrap();
        run(&mut rec, &x, 4, 2, 0);
        copy
    };
    assert_eq!(down::<u32>(g, &first, 4), [1, 2, 3, 4]);
    assert_eq!(down::<u32>(g, &x, 4), [8, 200, 20, 26]);
}

#[test]
fn parameters_stay_with_their_command_over_many_submissions() {
    let Some(g) = device() else { return };
    let g = &*g;
    let x = up(g, &[1u32]);
    let mut expected = 1u32;
    {
        let mut rec = g.lock();
        for i in 0..1000 {
            run(&mut rec, &x, 1, 3, i);
            expected = expected.wrapping_mul(3).wrapping_add(i);
        }
    }
    assert_eq!(down::<u32>(g, &x, 1), [expected]);
}

#[test]
fn pool_and_caches_stay_flat() {
    let Some(g) = device() else { return };
    let g = &*g;
    let step = |rec: &mut Recorder| {
        // two temporaries a step, one dropped before the other's use is recorded
        let a = rec.alloc(4000).unwrap();
        run(rec, &a, 1000, 1, 1);
        drop(a);
        let b = rec.alloc(4000).unwrap();
        run(rec, &b, 1000, 1, 1);
    };
    let mut rec = g.lock();
    for _ in 0..100 {
        step(&mut rec);
    }
    let before = rec.counters();
    for _ in 0..5000 {
        step(&mut rec);
    }
    let after = rec.counters();
    assert_eq!(after.dispatches - before.dispatches, 10_000);
    assert_eq!(after.buffers_made, before.buffers_made);
    assert!(after.pool_bytes <= before.pool_bytes, "free buffers of other tests may go, none may come");
    assert_eq!(after.bind_groups, before.bind_groups);
    assert_eq!(after.pipelines, before.pipelines);
    let submissions = after.submissions - before.submissions;
    // one for each 32 dispatches
    assert!((312..=313).contains(&submissions), "{submissions}");
    drop(rec);
    assert!(g.synchronize(0).unwrap().is_ok());
}

#[test]
fn grids_past_65535_workgroups() {
    let Some(g) = device() else { return };
    let g = &*g;
    let n = 65_535 * 64 + 1000u32;
    let x = {
        let mut rec = g.lock();
        let x = rec.alloc(4 * n as u64).unwrap();
        rec.clear(&x, 0, 4 * n as u64);
        run(&mut rec, &x, n, 1, 7);
        x
    };
    assert!(down::<u32>(g, &x, n as usize).iter().all(|&v| v == 7));
}

#[test]
fn a_kernel_reports_through_the_status_words() {
    let Some(g) = device() else { return };
    let g = &*g;
    let make = || {
        Ok(KernelSource {
            label: "complain".into(),
            wgsl: "struct Params { command: u32, lo: u32, hi: u32, pad: u32 }
@group(0) @binding(0) var<uniform> P: Params;
@group(0) @binding(1) var<storage, read_write> status: array<atomic<u32>>;
@compute @workgroup_size(1) fn main() {
    if atomicCompareExchangeWeak(&status[0], 0u, P.command).exchanged {
        atomicStore(&status[1], P.lo);
        atomicStore(&status[2], P.hi);
    }
}
"
            .into(),
            bindings: vec![Access::ReadWrite],
            overrides: vec![],
            param_bytes: 16,
        })
    };
    {
        let mut rec = g.lock();
        let k = rec.kernel("test complain", make).unwrap();
        let status = rec.status(0);
        rec.dispatch(k, &[&status], &[5, -3i32 as u32, u32::MAX], 1).unwrap();
        rec.dispatch(k, &[&status], &[6, 1, 0], 1).unwrap();
    }
    let s = g.synchronize(0).unwrap();
    assert_eq!((s.command, s.value), (5, -3));
    assert!(g.synchronize(0).unwrap().is_ok(), "reading the words resets them");
}

#[test]
fn mistakes_are_errors_with_the_kernels_name() {
    let Some(g) = device() else { return };
    let g = &*g;
    let x = up(g, &[1u32]);
    let mut rec = g.lock();
    let k = rec.kernel("test affine", affine).unwrap();
    let e = rec.dispatch(k, &[&x, &x], &[1, 1, 1], 1).unwrap_err().to_string();
    assert!(e.contains("affine"), "{e}");
    let e = rec.dispatch(k, &[&x], &[0; 5], 1).unwrap_err().to_string();
    assert!(e.contains("affine"), "{e}");
    assert!(rec.upload(&x, 2, &[0]).is_err());
    assert!(rec.upload(&x, x.size(), &[0]).is_err());
    let too_much = rec.limits().max_buffer_size + 1;
    assert!(rec.alloc(too_much).is_err());
    // two buffers of one identity, one of them written
    let two = || {
        Ok(KernelSource {
            label: "two".into(),
            wgsl: "@group(0) @binding(1) var<storage, read> a: array<u32>;
@group(0) @binding(2) var<storage, read_write> b: array<u32>;
@compute @workgroup_size(1) fn main() { b[0] = a[0]; }
"
            .into(),
            bindings: vec![Access::Read, Access::ReadWrite],
            overrides: vec![],
            param_bytes: 0,
        })
    };
    let k = rec.kernel("test two", two).unwrap();
    let e = rec.dispatch(k, &[&x, &x], &[], 1).unwrap_err().to_string();
    assert!(e.contains("two"), "{e}");
    drop(rec);
    assert!(g.synchronize(0).is_ok());
}

#[test]
fn threads_share_the_recorder() {
    let Some(g) = device() else { return };
    let g = &*g;
    std::thread::scope(|s| {
        for t in 0..4u32 {
            s.spawn(move || {
                for i in 0..20u32 {
                    let x = up(g, &[t, i]);
                    run(&mut g.lock(), &x, 2, 10, t);
                    assert_eq!(down::<u32>(g, &x, 2), [t * 10 + t, i * 10 + t]);
                }
            });
        }
    });
}

#[test]
fn async_reads_match() {
    let Some(g) = device() else { return };
    let g = &*g;
    let x = up(g, &[1u32, 2, 3]);
    let (bytes, _) = pollster::block_on(g.read_with_async(&x, 4, 8, 0, <[u8]>::to_vec)).unwrap();
    assert_eq!(bytemuck::pod_collect_to_vec::<u8, u32>(&bytes), [2, 3]);
    assert!(pollster::block_on(g.synchronize_async(0)).unwrap().is_ok());
}

#[test]
#[ignore = "a measurement: prints, asserts nothing"]
fn measure_dispatch_overhead() {
    let Some(g) = device() else { return };
    let g = &*g;
    let x = up(g, &[0u32; 64]);
    for _ in 0..3 {
        g.synchronize(0).unwrap();
        let t = std::time::Instant::now();
        let mut cpu = std::time::Duration::ZERO;
        for _ in 0..100 {
            let t = std::time::Instant::now();
            let mut rec = g.lock();
            for _ in 0..64 {
                run(&mut rec, &x, 64, 1, 1);
            }
            drop(rec);
            cpu += t.elapsed();
            g.synchronize(0).unwrap();
        }
        println!(
            "dispatch: {:.1} us recording+submit, {:.1} us in all",
            cpu.as_secs_f64() * 1e6 / 6400.,
            t.elapsed().as_secs_f64() * 1e6 / 6400.
        );
    }
    let t = std::time::Instant::now();
    for _ in 0..1000 {
        g.read(&x, 0, 4).unwrap();
    }
    println!("read of 4 bytes: {:.1} us", t.elapsed().as_secs_f64() * 1e3);
    println!("{:?}", adapters());
}
