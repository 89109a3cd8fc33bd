//! Times wgtorch's workloads and prints a JSON line for each: `peer-wgtorch [workload-substring …]`.
//!
//! `WGTORCH_DEVICE` (default `cpu`) names the device, `PEER_BUDGET_S` the seconds for each workload, `RAYON_NUM_THREADS` the CPU's
//! threads. Every run ends with a synchronise while its whole output is alive and one element read; after the timing a random
//! element is checked against a computation of its own.

use std::hint::black_box;
use std::time::{Duration, Instant};
use wgtorch::nn::{Conv2d, Forward, Linear, Module};
use wgtorch::optim::{Adam, SGD};
use wgtorch::prelude::*;

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

struct Bench {
    device: Device,
    name: String,
    filters: Vec<String>,
    budget: Duration,
}

impl Bench {
    fn wants(&self, workload: &str) -> bool {
        self.filters.is_empty() || self.filters.iter().any(|f| workload.contains(f.as_str()))
    }

    /// `f` does one run and gives its output, of which an element is read.
    fn run(&self, workload: &str, mut f: impl FnMut() -> Tensor) {
        if !self.wants(workload) {
            return;
        }
        let mut once = || -> Result<f64, Error> {
            let started = Instant::now();
            let y = f();
            let first = y.reshape(-1).select(0, 0);
            black_box(first.item::<f32>()?);
            self.device.synchronize()?;
            let took = started.elapsed().as_secs_f64() * 1e3;
            drop(y);
            Ok(took)
        };
        let timed = (|| -> Result<(), Error> {
            let first = once()?;
            for _ in 0..4 {
                once()?;
            }
            let (before, started) = (ticks(), Instant::now());
            let mut times = Vec::new();
            while times.len() < 5 || (started.elapsed() < self.budget && times.len() < 200) {
                times.push(once()?);
            }
            let after = ticks();
            let others = ((after.0 - before.0) - (after.1 - before.1)) / started.elapsed().as_secs_f64();
            times.sort_by(f64::total_cmp);
            println!(
                "{{\"peer\": \"wgtorch-{}\", \"device\": \"{}\", \"workload\": \"{workload}\", \"median_ms\": {:.5}, \"min_ms\": {:.5}, \"n\": {}, \"others_cpu\": {:.2}, \"first_ms\": {first:.1}}}",
                env!("CARGO_PKG_VERSION"),
                self.name,
                times[times.len() / 2],
                times[0],
                times.len(),
                others.max(0.0)
            );
            Ok(())
        })();
        if let Err(e) = timed {
            println!(
                "{{\"peer\": \"wgtorch-{}\", \"device\": \"{}\", \"workload\": \"{workload}\", \"error\": {:?}}}",
                env!("CARGO_PKG_VERSION"),
                self.name,
                e.to_string()
            );
        }
    }
}

/// Stops the program where an output is wrong: a fast wrong answer is no answer.
fn check(workload: &str, got: f32, expected: f64) {
    let close = (f64::from(got) - expected).abs() <= 1e-3 * expected.abs().max(1.0);
    assert!(close, "{workload}: an element is {got}, expected {expected}");
}

/// An index that differs from run to run.
fn any_index(below: usize) -> usize {
    let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.subsec_nanos());
    (nanos as usize).wrapping_mul(2_654_435_761) % below
}

#[derive(Module)]
struct LeNet {
    c1: Conv2d,
    c2: Conv2d,
    f1: Linear,
    f2: Linear,
    f3: Linear,
}

impl LeNet {
    fn new() -> LeNet {
        LeNet {
            c1: Conv2d::new(1, 6, 3),
            c2: Conv2d::new(6, 16, 3),
            f1: Linear::new(576, 120),
            f2: Linear::new(120, 84),
            f3: Linear::new(84, 10),
        }
    }
}

impl Forward for LeNet {
    fn forward(&self, x: &Tensor) -> Tensor {
        let x = F::max_pool2d(&self.c1.call(x).relu(), 2);
        let x = F::max_pool2d(&self.c2.call(&x).relu(), 2).flatten(1);
        self.f3.call(&self.f2.call(&self.f1.call(&x).relu()).relu())
    }
}

#[derive(Module)]
struct Mlp {
    a: Linear,
    b: Linear,
    c: Linear,
}

impl Forward for Mlp {
    fn forward(&self, x: &Tensor) -> Tensor {
        self.c.call(&self.b.call(&self.a.call(x).relu()).relu())
    }
}

fn main() {
    let device: Device = match std::env::var("WGTORCH_DEVICE").unwrap_or_else(|_| "cpu".into()).parse() {
        Ok(d) => d,
        Err(e) => {
            eprintln!("peer-wgtorch: {e}");
            std::process::exit(2);
        }
    };
    let threads = std::env::var("RAYON_NUM_THREADS").unwrap_or_else(|_| "2".into());
    let name = match device {
        Device::Cpu => format!("cpu-{threads}t"),
        gpu => {
            let what = gpu.description();
            let api = if what.contains("Vulkan") { "vulkan" } else { "wgpu" };
            if what.contains("llvmpipe") { format!("{api}-lavapipe") } else { format!("{api}-{gpu}") }
        }
    };
    let budget = std::env::var("PEER_BUDGET_S").ok().and_then(|s| s.parse().ok()).unwrap_or(1.0);
    let b = Bench { device, name, filters: std::env::args().skip(1).collect(), budget: Duration::from_secs_f64(budget) };
    manual_seed(0);

    // first, while nothing is compiled: what a newcomer's first step costs
    if b.wants("lenet_train_b64") {
        let net = LeNet::new().to(device);
        let mut optimizer = SGD::new(net.parameters(), 0.01);
        let (x, t) = (randn([64, 1, 32, 32], ()).to(device), randint(0, 10, [64], ()).to(device));
        b.run("lenet_train_b64", || {
            optimizer.zero_grad();
            let loss = F::cross_entropy(&net.call(&x), &t);
            loss.backward();
            optimizer.step();
            loss.detach()
        });
    }
    if b.wants("mlp_train_adam_b128") {
        let net = Mlp { a: Linear::new(784, 512), b: Linear::new(512, 512), c: Linear::new(512, 10) }.to(device);
        let mut optimizer = Adam::new(net.parameters(), 1e-3);
        let (x, t) = (randn([128, 784], ()).to(device), randint(0, 10, [128], ()).to(device));
        b.run("mlp_train_adam_b128", || {
            optimizer.zero_grad();
            let loss = F::cross_entropy(&net.call(&x), &t);
            loss.backward();
            optimizer.step();
            loss.detach()
        });
    }

    for n in [256usize, 512, 1024] {
        let workload = format!("matmul_{n}");
        if !b.wants(&workload) {
            continue;
        }
        let (x, y) = (randn([n, n], ()), randn([n, n], ()));
        let (xd, yd) = (x.to(device), y.to(device));
        b.run(&workload, || xd.matmul(&yd));
        let (i, j) = (any_index(n), any_index(n * 7) % n);
        let row = x.select(0, i as isize).to_vec::<f64>();
        let column = y.select(1, j as isize).to_vec::<f64>();
        if let (Ok(row), Ok(column), Ok(got)) =
            (row, column, xd.matmul(&yd).select(0, i as isize).select(0, j as isize).item::<f32>())
        {
            check(&workload, got, row.iter().zip(&column).map(|(a, b)| a * b).sum());
        }
    }

    if b.wants("gelu_chain_4m") || b.wants("add_4m") {
        let n = 1usize << 22;
        let (x, y) = (randn([n], ()), randn([n], ()));
        let (xd, yd) = (x.to(device), y.to(device));
        b.run("gelu_chain_4m", || (&xd * 1.1 + 0.2).gelu() * 0.9 + 0.1);
        b.run("add_4m", || &xd + &yd);
        let i = any_index(n) as isize;
        if let (Ok(p), Ok(q), Ok(got)) =
            (x.select(0, i).item::<f64>(), y.select(0, i).item::<f64>(), (&xd + &yd).select(0, i).item::<f32>())
        {
            check("add_4m", got, p + q);
        }
    }

    if b.wants("tiny_add_10k") {
        let (t0, t1) = (zeros([16], ()).to(device), full([16], 1e-3, ()).to(device));
        // buffers of their own: a constant would be folded into the step as a number
        let (t0, t1) = (t0.add_(0.0), t1.add_(0.0));
        b.run("tiny_add_10k", || {
            let mut z = t0.clone();
            for _ in 0..10_000 {
                z = &z + &t1;
            }
            z
        });
    }
    if b.wants("tiny_mix_10k") {
        let (a, row, one) = (randn([4, 4], ()).to(device), randn([4], ()).to(device), randn([1], ()).to(device));
        b.run("tiny_mix_10k", || {
            let mut z = a.clone();
            for i in 0..1000 {
                let s = 1.0 + f64::from(i) * 1e-6;
                z = ((&z + &row) * s - &one).relu().neg().abs().sqrt().add(s).mul(0.5).maximum(&a);
            }
            z
        });
    }
}
