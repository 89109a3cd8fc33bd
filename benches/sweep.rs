//! `cargo bench --bench sweep`: what an element costs over sizes from 2^8 to 2^24, and odd and thin shapes beside round ones,
//! on the device that `WGTORCH_DEVICE` names (default `cpu`). Prints tables; curves go to `target/sweep`. With arguments
//! (`cargo bench --bench sweep -- "sum rows"`) only those shapes whose name has one.

#[allow(dead_code, reason = "the example's other pictures")]
#[path = "../examples/mnist/picture.rs"]
mod picture;

use picture::{Axis, Series};
use plotters::style::RGBColor;
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};
use wgtorch::cat;
use wgtorch::prelude::*;

/// Time spent on one measurement.
const BUDGET: Duration = Duration::from_millis(40);
/// An odd shape that costs more than so many times the round one is marked.
const CLIFF: f64 = 1.5;

/// A computation on given operands.
type Run = Box<dyn Fn() -> Tensor>;
/// An op: its name, and the computation on about so many elements on a device, with how many they are.
type Op = (&'static str, fn(Device, usize) -> (Run, usize));

/// The median times of some runs in nanoseconds, which take turns; a result is there, and alive, when its time is taken.
fn times<const N: usize>(device: Device, runs: [&Run; N]) -> [f64; N] {
    let once = |run: &Run| {
        let started = Instant::now();
        let out = run();
        if let Err(e) = device.synchronize() {
            panic!("{e}");
        }
        let took = started.elapsed();
        drop(black_box(out));
        took.as_secs_f64() * 1e9
    };
    for _ in 0..3 {
        for run in runs {
            once(run);
        }
    }
    let started = Instant::now();
    let mut all = runs.map(|_| Vec::new());
    while all[0].len() < 5 || started.elapsed() < BUDGET * N as u32 && all[0].len() < 2000 {
        all.iter_mut().zip(runs).for_each(|(times, run)| times.push(once(run)));
    }
    all.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    })
}

/// The median time of a run in nanoseconds.
fn time(device: Device, run: &Run) -> f64 {
    times(device, [run])[0]
}

fn new(device: Device, sizes: &[usize]) -> Tensor {
    randn(sizes, ()).to(device)
}

/// Elementwise and row-wise ops by number of elements.
const OPS: &[Op] = &[
    ("add", |d, n| {
        let (x, y) = (new(d, &[n]), new(d, &[n]));
        (Box::new(move || &x + &y), n)
    }),
    ("gelu chain", |d, n| {
        let x = new(d, &[n]);
        (Box::new(move || (&x * 1.1 + 0.2).gelu() * 0.9 + 0.1), n)
    }),
    ("sum", |d, n| {
        let x = new(d, &[n]);
        (Box::new(move || x.sum()), n)
    }),
    ("softmax", |d, n| {
        let x = new(d, &[n / 256, 256]);
        (Box::new(move || x.softmax(-1, ())), n)
    }),
    ("cumsum", |d, n| {
        let x = new(d, &[n]);
        (Box::new(move || x.cumsum(0, ())), n)
    }),
    ("gather", |d, n| {
        let (table, index) = (new(d, &[n / 64, 64]), randint(0, (n / 64) as i64, [n / 64], ()).to(d));
        (Box::new(move || table.index_select(0, &index)), n)
    }),
    ("sort", |d, n| {
        let x = new(d, &[n]);
        (Box::new(move || x.sort(()).0), n)
    }),
];

fn product(d: Device, m: usize, k: usize, n: usize) -> Run {
    let (x, y) = (new(d, &[m, k]), new(d, &[k, n]));
    Box::new(move || x.matmul(&y))
}

/// An odd or thin shape and the round one that it should cost as much as, for each unit of work.
struct Pair {
    name: String,
    odd: (Run, usize),
    round: (Run, usize),
}

fn pairs(d: Device) -> Vec<Pair> {
    let mut list = Vec::new();
    for ((m, k, n), (rm, rk, rn)) in [
        ((511, 511, 511), (512, 512, 512)),
        ((513, 513, 513), (512, 512, 512)),
        ((129, 127, 131), (128, 128, 128)),
        ((17, 1024, 1024), (16, 1024, 1024)),
        ((3, 1024, 1024), (4, 1024, 1024)),
        ((1024, 1024, 3), (1024, 1024, 4)),
        ((1024, 3, 1024), (1024, 4, 1024)),
        ((1, 4095, 4095), (1, 4096, 4096)),
        ((4095, 4095, 1), (4096, 4096, 1)),
        ((7, 100_003, 5), (8, 100_000, 8)),
    ] {
        list.push(Pair {
            name: format!("matmul {m}x{k}x{n} beside {rm}x{rk}x{rn}"),
            odd: (product(d, m, k, n), m * k * n),
            round: (product(d, rm, rk, rn), rm * rk * rn),
        });
    }
    let mut rows = |name: &str, f: fn(&Tensor) -> Tensor, odd: [usize; 2], round: [usize; 2]| {
        let on = |s: [usize; 2]| -> (Run, usize) {
            let x = new(d, &s);
            (Box::new(move || f(&x)), s[0] * s[1])
        };
        let name = format!("{name} {}x{} beside {}x{}", odd[0], odd[1], round[0], round[1]);
        list.push(Pair { name, odd: on(odd), round: on(round) });
    };
    type Op = fn(&Tensor) -> Tensor;
    let many: [(&str, Op); 7] = [
        ("exp", Tensor::exp),
        ("sum rows", |x| x.sum_dim(-1, ())),
        ("sum columns", |x| x.sum_dim(0, ())),
        ("softmax", |x| x.softmax(-1, ())),
        ("softmax of columns", |x| x.softmax(0, ())),
        ("layer_norm", |x| F::layer_norm(x, [x.size_of(-1)], ())),
        ("cumsum of columns", |x| x.cumsum(0, ())),
    ];
    for (name, f) in many {
        rows(name, f, [1023, 1021], [1024, 1024]);
        rows(name, f, [1_000_003, 3], [1 << 20, 4]);
        rows(name, f, [3, 1_000_003], [4, 1 << 20]);
    }
    rows("add a transposed", |x| x + x.t(), [1023, 1023], [1024, 1024]);
    rows("add a row", |x| x + x.select(0, 0), [1023, 1021], [1024, 1024]);
    rows("add a column", |x| x + x.narrow(1, 0, 1), [1023, 1021], [1024, 1024]);
    rows("every second column", |x| x.reshape([-1, 2]).select(1, 0) + 1.0, [1022, 1022], [1024, 1024]);
    rows("cat", |x| cat(&[x, x], 1), [1023, 1021], [1024, 1024]);
    list
}

/// An axis of powers, given as logarithms.
fn powers(low: i32, high: i32, label: impl Fn(i32) -> String) -> Axis {
    Axis { low: low.into(), high: high.into(), ticks: (low..=high).map(|v| (v.into(), label(v))).collect() }
}

fn draw(name: &str, title: &str, below: &str, axes: [&Axis; 2], curves: &[(String, Vec<(f64, f64)>)]) {
    const COLORS: [(u8, u8, u8); 7] =
        [(44, 105, 196), (220, 108, 20), (46, 140, 80), (206, 44, 44), (128, 78, 180), (20, 150, 160), (90, 90, 90)];
    let series: Vec<Series> = curves
        .iter()
        .zip(COLORS)
        .map(|((name, points), (r, g, b))| (points.clone(), RGBColor(r, g, b), 2, &name[..]))
        .collect();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/sweep");
    let path = folder.join(format!("{name}.png"));
    let drawn = std::fs::create_dir_all(&folder).map_err(Into::into);
    match drawn.and_then(|()| picture::one_chart(&path, title, below, axes, &series)) {
        Ok(()) => println!("\n{}", path.display()),
        Err(e) => eprintln!("{}: {e}", path.display()),
    }
}

fn main() {
    if !std::env::args().any(|a| a == "--bench") {
        return println!("nothing to test: `cargo bench --bench sweep` measures");
    }
    let device: Device = match std::env::var("WGTORCH_DEVICE").unwrap_or_else(|_| "cpu".into()).parse() {
        Ok(d) => d,
        Err(e) => panic!("{e}"),
    };
    manual_seed(0);
    let wanted: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    if wanted.is_empty() {
        curves(device);
    }
    println!(
        "\n| odd or thin shape | its time by the round one's | the same for each unit of work |\n| --- | --- | --- |"
    );
    for p in pairs(device).iter().filter(|p| wanted.is_empty() || wanted.iter().any(|w| p.name.contains(&w[..]))) {
        let [odd, round] = times(device, [&p.odd.0, &p.round.0]);
        let ratio = odd / round;
        let for_each = ratio * p.round.1 as f64 / p.odd.1 as f64;
        println!("| {} | {ratio:.2}{} | {for_each:.2} |", p.name, if ratio > CLIFF { " (!)" } else { "" });
    }
}

/// What elements and products cost as their number grows: tables and plots.
fn curves(device: Device) {
    println!(
        "ns per element on {device}\n\n| op | {} |",
        (8..=24).map(|p| format!("2^{p}")).collect::<Vec<_>>().join(" | ")
    );
    println!("| --- |{}", " --- |".repeat(17));
    let mut curves = Vec::new();
    for (name, make) in OPS {
        let points: Vec<(f64, f64)> = (8..=24)
            .map(|power| {
                let (run, n) = make(device, 1 << power);
                (f64::from(power), time(device, &run) / n as f64)
            })
            .collect();
        let row: Vec<String> = points.iter().map(|p| format!("{:.3}", p.1)).collect();
        println!("| {name} | {} |", row.join(" | "));
        curves.push((name.to_string(), points.into_iter().map(|(x, y)| (x, y.log10())).collect::<Vec<_>>()));
    }
    let xs = powers(8, 24, |p| format!("2^{p}"));
    let (low, high) = curves.iter().flat_map(|c| &c.1).fold((9.0, -9.0), |(l, h), p| (p.1.min(l), p.1.max(h)));
    let ys = powers(low.floor() as i32, high.ceil() as i32, |p| format!("{}", 10f64.powi(p)));
    draw(&format!("{device}-elements").replace(':', ""), "ns per element", "elements", [&xs, &ys], &curves);

    println!("\n| matmul n x n | GFLOP/s |\n| --- | --- |");
    let points: Vec<(f64, f64)> = (4..=10)
        .map(|power| {
            let n = 1usize << power;
            let rate = 2.0 * (n * n * n) as f64 / time(device, &product(device, n, n, n));
            println!("| {n} | {rate:.1} |");
            (f64::from(power), rate.log10())
        })
        .collect();
    let (xs, ys) = (powers(4, 10, |p| (1 << p).to_string()), powers(-2, 4, |p| format!("{}", 10f64.powi(p))));
    let curves = [("matmul".to_string(), points)];
    draw(&format!("{device}-matmul").replace(':', ""), "GFLOP/s of n x n matrix products", "n", [&xs, &ys], &curves);
}
