//! The workloads that benchmarks time, defined once: `cargo bench` runs them, and `benches/peers` runs them in turn with
//! other libraries, whose programs have the same names, shapes and values.

mod nets;

use std::cell::RefCell;
use std::rc::Rc;
use wgtorch::prelude::*;

/// One run; gives the outputs, which the caller keeps until it has waited for the device.
pub type Run = Box<dyn FnMut() -> Vec<Tensor>>;
/// An element of the output at a place that differs from run to run, and what it has to be.
pub type Check = Box<dyn FnMut() -> Result<(f64, f64), Error>>;

/// A workload on a device, ready to run.
pub struct Workload {
    /// One run.
    pub run: Run,
    /// Its check; training has none but a finite loss.
    pub check: Check,
}

/// Makes a workload on a device.
pub type Make = fn(Device) -> Workload;

/// Every workload by name. Training comes first, while nothing is compiled: its first step is what a newcomer waits for.
pub const ALL: &[(&str, Make)] = &[
    ("lenet_train_b64", nets::lenet),
    ("mlp_train_adam_b128", nets::mlp),
    ("gpt_train_b8", nets::gpt_train),
    ("gpt_fwd_b8", nets::gpt_forward),
    ("matmul_256", |d| matmul(d, 256)),
    ("matmul_512", |d| matmul(d, 512)),
    ("matmul_1024", |d| matmul(d, 1024)),
    ("bmm_32x128", bmm),
    ("conv2d_fwd", conv2d_fwd),
    ("conv2d_fwd_bwd", conv2d_fwd_bwd),
    ("gelu_chain_4m", gelu_chain),
    ("add_4m", add),
    ("sum_all_4m", sum_all),
    ("sum_last_4096x1024", sum_last),
    ("softmax_4096x1024", softmax),
    ("layernorm_4096x1024", layer_norm),
    ("tiny_add_10k", |d| tiny_add(d, false)),
    ("tiny_add_tape_10k", |d| tiny_add(d, true)),
    ("tiny_mix_10k", tiny_mix),
    ("gather_65536x64", gather),
    ("cumsum_1m", cumsum),
    ("sort_1m", sort),
    ("copy_64mib_roundtrip", copy_roundtrip),
];

/// An index that differs from run to run.
fn any_index(below: usize) -> isize {
    let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.subsec_nanos());
    ((nanos as usize).wrapping_mul(2_654_435_761) % below) as isize
}

fn at(t: &Tensor, index: &[isize]) -> Result<f64, Error> {
    index.iter().fold(t.detach(), |t, &i| t.select(0, i)).item::<f64>()
}

/// A workload that computes one tensor, with its check over the same closure.
fn pure(
    mut f: impl FnMut() -> Tensor + Clone + 'static,
    mut check: impl FnMut(&Tensor) -> Result<(f64, f64), Error> + 'static,
) -> Workload {
    let mut again = f.clone();
    Workload { run: Box::new(move || vec![f()]), check: Box::new(move || check(&again())) }
}

fn dot(a: &Tensor, b: &Tensor) -> Result<f64, Error> {
    Ok(a.to_vec::<f64>()?.iter().zip(b.to_vec::<f64>()?).map(|(a, b)| a * b).sum())
}

fn matmul(d: Device, n: usize) -> Workload {
    let (x, y) = (randn([n, n], ()), randn([n, n], ()));
    let (xd, yd) = (x.to(d), y.to(d));
    pure(
        move || xd.matmul(&yd),
        move |out| {
            let (i, j) = (any_index(n), any_index(n * 7) % n as isize);
            Ok((at(out, &[i, j])?, dot(&x.select(0, i), &y.select(1, j))?))
        },
    )
}

fn bmm(d: Device) -> Workload {
    let (x, y) = (randn([32, 128, 128], ()), randn([32, 128, 128], ()));
    let (xd, yd) = (x.to(d), y.to(d));
    pure(
        move || xd.bmm(&yd),
        move |out| {
            let (b, i, j) = (any_index(32), any_index(128), any_index(128 * 7) % 128);
            Ok((at(out, &[b, i, j])?, dot(&x.select(0, b).select(0, i), &y.select(0, b).select(1, j))?))
        },
    )
}

fn conv2d_fwd(d: Device) -> Workload {
    let conv = Conv2d::options(32, 64, 3).padding(1).build();
    let x = randn([16, 32, 32, 32], ());
    let (weight, bias) = (conv.weight.detach(), conv.bias.as_ref().map(Tensor::detach));
    let (conv, xd) = (Rc::new(conv.to(d)), x.to(d));
    pure(
        move || {
            no_grad(|| F::conv2d(&xd, &conv.weight, wgtorch::Conv2dOptions::new().bias(conv.bias.as_ref()).padding(1)))
        },
        move |out| {
            let (n, o, y, c) = (any_index(16), any_index(64), any_index(30) + 1, any_index(31) % 30 + 1);
            let window = x.select(0, n).narrow(1, y - 1, 3).narrow(2, c - 1, 3).reshape(-1);
            let sum = dot(&window, &weight.select(0, o).reshape(-1))?;
            let bias = bias.as_ref().map_or(Ok(0.), |b| at(b, &[o]))?;
            Ok((at(out, &[n, o, y, c])?, sum + bias))
        },
    )
}

fn conv2d_fwd_bwd(d: Device) -> Workload {
    let conv = Conv2d::options(32, 64, 3).padding(1).build();
    let x = randn([16, 32, 32, 32], ());
    let weight = conv.weight.detach();
    let conv = Rc::new(conv.to(d));
    let xd = x.to(d).detach();
    xd.requires_grad_(true);
    let run = move || {
        conv.zero_grad();
        xd.set_grad(None);
        conv.call(&xd).sum().backward();
        [xd.grad(), conv.weight.grad()].into_iter().flatten().collect::<Vec<Tensor>>()
    };
    let again = run.clone();
    let check = move || {
        // a gradient of ones: inside, an input's is the sum of its channel's weights
        let (n, c, y) = (any_index(16), any_index(32), any_index(30) + 1);
        let expected = weight.select(1, c).reshape(-1).to_vec::<f64>()?.iter().sum();
        Ok((at(&again()[0], &[n, c, y, 15])?, expected))
    };
    Workload { run: Box::new(run), check: Box::new(check) }
}

fn two(d: Device) -> [Tensor; 4] {
    let (x, y) = (randn([1 << 22], ()), randn([1 << 22], ()));
    [x.to(d), y.to(d), x, y]
}

fn gelu_chain(d: Device) -> Workload {
    let [xd, _, x, _] = two(d);
    pure(
        move || (&xd * 1.1 + 0.2).gelu() * 0.9 + 0.1,
        move |out| {
            let i = any_index(1 << 22);
            let v = at(&x, &[i])? * 1.1 + 0.2;
            let phi = 0.5 * (1.0 + erf(v / 2f64.sqrt()));
            Ok((at(out, &[i])?, v * phi * 0.9 + 0.1))
        },
    )
}

/// The error function by its series, which is exact enough where a normal number falls.
fn erf(x: f64) -> f64 {
    let (mut term, mut sum) = (x, x);
    for n in 1..200 {
        term *= -x * x / n as f64;
        sum += term / (2 * n + 1) as f64;
    }
    sum * 2.0 / std::f64::consts::PI.sqrt()
}

fn add(d: Device) -> Workload {
    let [xd, yd, x, y] = two(d);
    pure(
        move || &xd + &yd,
        move |out| {
            let i = any_index(1 << 22);
            Ok((at(out, &[i])?, at(&x, &[i])? + at(&y, &[i])?))
        },
    )
}

fn sum_all(d: Device) -> Workload {
    let x = randn([4096, 1024], ());
    let xd = x.to(d);
    pure(
        move || xd.sum(),
        move |out| {
            let exact: f64 = x.reshape(-1).to_vec::<f64>()?.iter().sum();
            Ok((out.item::<f64>()?, exact))
        },
    )
}

fn sum_last(d: Device) -> Workload {
    let x = randn([4096, 1024], ());
    let xd = x.to(d);
    pure(
        move || xd.sum_dim(-1, ()),
        move |out| {
            let i = any_index(4096);
            Ok((at(out, &[i])?, x.select(0, i).to_vec::<f64>()?.iter().sum()))
        },
    )
}

fn softmax(d: Device) -> Workload {
    let x = randn([4096, 1024], ());
    let xd = x.to(d);
    pure(
        move || xd.softmax(-1, ()),
        move |out| {
            let (i, j) = (any_index(4096), any_index(1024));
            let row = x.select(0, i).to_vec::<f64>()?;
            let sum: f64 = row.iter().map(|v| v.exp()).sum();
            // a probability of a thousand is small: compared in thousandths
            Ok((at(out, &[i, j])? * 1e3, row[j as usize].exp() / sum * 1e3))
        },
    )
}

/// 10,000 adds in a row on 16 elements.
fn tiny_add(d: Device, tape: bool) -> Workload {
    // buffers of their own: a constant would be folded into the step as a number
    let (t0, t1) = (Tensor::from_vec(vec![0f32; 16], [16], d), Tensor::from_vec(vec![1e-3f32; 16], [16], d));
    let (Ok(t0), Ok(t1)) = (t0, t1) else { panic!("two small tensors on {d}") };
    t0.requires_grad_(tape);
    pure(
        move || {
            let mut z = t0.clone();
            for _ in 0..10_000 {
                z = &z + &t1;
            }
            z
        },
        |out| Ok((at(out, &[any_index(16)])?, 10.0)),
    )
}

/// 10,000 ops in a row: ten different ones with broadcasting and a new number each time.
fn tiny_mix(d: Device) -> Workload {
    let (a, row, one) = (randn([4, 4], ()).to(d), randn([4], ()).to(d), randn([1], ()).to(d));
    let (a0, row0, one0) = (a.to(Device::Cpu), row.to(Device::Cpu), one.to(Device::Cpu));
    let step = |i: i32| 1.0 + f64::from(i) * 1e-6;
    pure(
        move || {
            let mut z = a.clone();
            for i in 0..1000 {
                z = ((&z + &row) * step(i) - &one).relu().neg().abs().sqrt().add(step(i)).mul(0.5).maximum(&a);
            }
            z
        },
        move |out| {
            let (i, j) = (any_index(4), any_index(28) % 4);
            let (a, row, one) = (at(&a0, &[i, j])?, at(&row0, &[j])?, at(&one0, &[0])?);
            let z = (0..1000).fold(a, |z, i| ((((z + row) * step(i) - one).max(0.0).sqrt() + step(i)) * 0.5).max(a));
            Ok((at(out, &[i, j])?, z))
        },
    )
}

fn layer_norm(d: Device) -> Workload {
    let (x, w, b) = (randn([4096, 1024], ()), randn([1024], ()), randn([1024], ()));
    let (xd, options) = (x.to(d), wgtorch::LayerNormOptions::new().weight(w.to(d)).bias(b.to(d)));
    pure(
        move || F::layer_norm(&xd, [1024], options.clone()),
        move |out| {
            let (i, j) = (any_index(4096), any_index(1024));
            let row = x.select(0, i).to_vec::<f64>()?;
            let mean = row.iter().sum::<f64>() / 1024.0;
            let var = row.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / 1024.0;
            let y = (row[j as usize] - mean) / (var + 1e-5).sqrt();
            Ok((at(out, &[i, j])?, y * at(&w, &[j])? + at(&b, &[j])?))
        },
    )
}

fn sort(d: Device) -> Workload {
    let x = randn([1 << 20], ());
    let xd = x.to(d);
    pure(
        move || xd.sort(()).0,
        move |out| {
            // as many are smaller as its position says, or fewer where it has equals
            let i = any_index(1 << 20);
            let value = at(out, &[i])?;
            let x = x.to_vec::<f64>()?;
            let (less, most) = (x.iter().filter(|&&v| v < value).count(), x.iter().filter(|&&v| v <= value).count());
            let i = i as usize;
            Ok((i as f64, if (less..most).contains(&i) { i as f64 } else { less as f64 }))
        },
    )
}

fn gather(d: Device) -> Workload {
    let (table, index) = (randn([50_000, 64], ()), randint(0, 50_000, [65_536], ()));
    let (td, id) = (table.to(d), index.to(d));
    pure(
        move || td.index_select(0, &id),
        move |out| {
            let (i, j) = (any_index(65_536), any_index(64));
            let row = index.select(0, i).item::<i64>()? as isize;
            Ok((at(out, &[i, j])?, at(&table, &[row, j])?))
        },
    )
}

fn cumsum(d: Device) -> Workload {
    let x = randn([1 << 20], ());
    let xd = x.to(d);
    pure(
        move || xd.cumsum(0, ()),
        move |out| {
            let i = any_index(1 << 20);
            Ok((at(out, &[i])?, x.to_vec::<f64>()?[..=i as usize].iter().sum()))
        },
    )
}

fn copy_roundtrip(d: Device) -> Workload {
    // element i is i modulo a prime, which no shift of the memory hides
    let value = |i: usize| (i % 65_521) as f32;
    let host: Vec<f32> = (0..16 << 20).map(value).collect();
    // as in the other programs: a copy into the tensor, and one out of it into memory that is there
    let seen = Rc::new(RefCell::new(vec![0f32; 16 << 20]));
    let last = seen.clone();
    let run = move || {
        let Ok(t) = Tensor::from_slice(&host, [16 << 20], d) else { panic!("64 MiB on {d}") };
        if let Err(e) = t.copy_to_slice(&mut seen.borrow_mut()) {
            panic!("64 MiB from {d}: {e}");
        }
        vec![t]
    };
    let check = move || {
        let i = any_index(16 << 20) as usize;
        Ok((last.borrow().get(i).map_or(f64::NAN, |&v| v as f64), value(i) as f64))
    };
    Workload { run: Box::new(run), check: Box::new(check) }
}
