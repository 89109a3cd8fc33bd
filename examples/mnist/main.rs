//! Trains LeNet (the network of PyTorch's 60-minute blitz) on real handwritten digits, on the CPU or on any GPU.
//!
//! `cargo run --release --example mnist` takes the best device, prints the test accuracy after each epoch, and writes `loss.png`,
//! `digits.png` and `lenet.safetensors`. `-- --help` lists the options.

mod args;
mod picture;

use args::Args;
use indicatif::{ProgressBar, ProgressStyle};
use std::path::{Path, PathBuf};
use std::time::Instant;
use wgtorch::io;
use wgtorch::prelude::*;

#[derive(Module)]
struct LeNet {
    conv1: Conv2d,
    conv2: Conv2d,
    fc1: Linear,
    fc2: Linear,
    fc3: Linear,
}

impl LeNet {
    fn new() -> LeNet {
        LeNet {
            conv1: Conv2d::new(1, 6, 3),
            conv2: Conv2d::new(6, 16, 3),
            fc1: Linear::new(576, 120),
            fc2: Linear::new(120, 84),
            fc3: Linear::new(84, 10),
        }
    }
}

impl Forward for LeNet {
    fn forward(&self, x: &Tensor) -> Tensor {
        let x = F::max_pool2d(&self.conv1.call(x).relu(), 2);
        let x = F::max_pool2d(&self.conv2.call(&x).relu(), 2).flatten(1);
        self.fc3.call(&self.fc2.call(&self.fc1.call(&x).relu()).relu())
    }
}

fn main() {
    let outcome = args::parse().and_then(|args| match args {
        Some(args) => run(&args),
        None => {
            print!("{}", args::HELP);
            Ok(())
        }
    });
    if let Err(message) = outcome {
        eprintln!("error: {message}");
        std::process::exit(2);
    }
}

/// An error as one line.
fn line(e: impl std::fmt::Display) -> String {
    e.to_string().replace('\n', " ")
}

fn run(args: &Args) -> Result<(), String> {
    let (device, reason) = match &args.device {
        Some(name) => (name.parse::<Device>().map_err(line)?, "--device names it".to_string()),
        None => {
            // a wrong name in the environment is the user's mistake too: a line, not a panic
            if let Ok(name) = std::env::var("WGTORCH_DEVICE") {
                name.parse::<Device>().map_err(|e| format!("WGTORCH_DEVICE: {}", line(e)))?;
            }
            Device::best_with_reason()
        }
    };
    device.open().map_err(line)?;
    let train = MNIST::new(&args.data, true).map_err(line)?.padding(2);
    let test = MNIST::new(&args.data, false).map_err(line)?.padding(2);
    for set in [&train, &test] {
        let shape = &set.digits().images.shape;
        if shape[1..] != [28, 28] {
            return Err(format!("{}: the digits are {}x{}, not 28x28", args.data.display(), shape[1], shape[2]));
        }
    }
    let saved = match &args.load {
        Some(file) => Some((file, io::load_safetensors(file).map_err(line)?)),
        None => None,
    };
    let out = writable(&args.out)?;

    manual_seed(args.seed);
    let net = LeNet::new().to(device);
    if let Some((file, state)) = saved {
        net.load_state_dict(&state, true).map_err(|e| format!("{}: {}", file.display(), line(e)))?;
    }
    println!("device: {device}, {} ({reason})", device.description());
    println!("{} digits to train on, {} to test on", train.len(), test.len());

    let mut history = History::default();
    let epochs = args.epochs.unwrap_or(if args.load.is_some() { 0 } else { 8 });
    if epochs == 0 {
        let predictions = predict(&net, &test, device).map_err(line)?;
        println!("test accuracy {:.2} %", accuracy(&predictions, &test));
        return finish(epochs, &out, &net, &test, predictions, &history);
    }
    let mut optimizer = SGD::new(net.parameters(), args.lr).momentum(0.9);
    let loader = DataLoader::new(train, args.batch_size).shuffle(true);
    let mut predictions = Vec::new();
    for epoch in 1..=epochs {
        if epochs >= 4 && epoch == epochs - epochs / 4 + 1 {
            // the last quarter at a tenth of the rate settles what the first ones found
            for group in optimizer.param_groups() {
                group.options.lr *= 0.1;
            }
        }
        epoch_of(&net, &mut optimizer, &loader, device, (epoch, epochs), &mut history).map_err(line)?;
        predictions = predict(&net, &test, device).map_err(line)?;
        let accuracy = accuracy(&predictions, &test);
        history.accuracies.push(accuracy);
        println!("epoch {epoch}: test accuracy {accuracy:.2} %");
    }
    finish(epochs, &out, &net, &test, predictions, &history)
}

/// What the curves show.
#[derive(Default)]
struct History {
    losses: Vec<f64>,
    accuracies: Vec<f64>,
}

/// One pass over the training digits.
fn epoch_of(
    net: &LeNet,
    optimizer: &mut SGD,
    loader: &DataLoader<MNIST>,
    device: Device,
    (epoch, epochs): (usize, usize),
    history: &mut History,
) -> Result<(), Error> {
    let total = loader.dataset().len();
    let bar = ProgressBar::new(total as u64).with_message("-");
    if let Ok(style) = ProgressStyle::with_template("{prefix} {wide_bar} {pos}/{len}  loss {msg}  {eta} left") {
        bar.set_style(style);
    }
    bar.set_prefix(format!("epoch {epoch}/{epochs}"));
    let started = Instant::now();
    let mut pending: Vec<Tensor> = Vec::new();
    let mut done = 0;
    for (images, labels) in loader {
        optimizer.zero_grad();
        let loss = F::cross_entropy(&net.call(&images.to(device)), &labels.to(device));
        loss.backward();
        optimizer.step();
        done += labels.numel();
        pending.push(loss.detach());
        // losses are read together now and then: each read waits for the device
        if pending.len() == 10 || done == total {
            for loss in pending.drain(..) {
                history.losses.push(loss.item::<f64>()?);
            }
            let last = history.losses.last().copied().unwrap_or(f64::NAN);
            let speed = done as f64 / started.elapsed().as_secs_f64();
            bar.set_message(format!("{last:.3}  {speed:.0} digits/s"));
            bar.set_position(done as u64);
        }
    }
    bar.finish_and_clear();
    let seconds = started.elapsed().as_secs_f64();
    let recent = &history.losses[history.losses.len().saturating_sub(20)..];
    let mean = recent.iter().sum::<f64>() / recent.len().max(1) as f64;
    println!("epoch {epoch}: loss {mean:.4}, {:.0} digits/s, {seconds:.1} s", total as f64 / seconds);
    Ok(())
}

/// The network's answer for each digit of a set.
fn predict(net: &LeNet, set: &MNIST, device: Device) -> Result<Vec<i64>, Error> {
    let mut answers = Vec::with_capacity(set.len());
    for (images, _) in &DataLoader::new(set.clone(), 250) {
        let scores = no_grad(|| net.call(&images.to(device)));
        answers.extend(scores.argmax_dim(1, false).to_vec::<i64>()?);
    }
    Ok(answers)
}

fn accuracy(predictions: &[i64], set: &MNIST) -> f64 {
    let truth = &set.digits().labels.data;
    let right = predictions.iter().zip(truth).filter(|&(&p, &t)| p == i64::from(t)).count();
    100.0 * right as f64 / truth.len().max(1) as f64
}

/// The folder for what is written, made if it is missing; an error before any work is done.
fn writable(folder: &Path) -> Result<PathBuf, String> {
    let fail = |e: std::io::Error| format!("cannot write into {}: {e}", folder.display());
    std::fs::create_dir_all(folder).map_err(fail)?;
    let probe = folder.join(".mnist-probe");
    std::fs::write(&probe, b"").map_err(fail)?;
    std::fs::remove_file(&probe).map_err(fail)?;
    folder.canonicalize().map_err(fail)
}

fn finish(
    epochs: usize,
    out: &Path,
    net: &LeNet,
    test: &MNIST,
    predictions: Vec<i64>,
    history: &History,
) -> Result<(), String> {
    let images = &test.digits().images;
    let side = images.shape[2];
    let size = images.shape[1] * side;
    // the first hundred, the mistakes among the rest in place of the last rows
    let truth = |i: usize| i64::from(test.digits().labels.data[i]);
    let mut shown: Vec<usize> = (0..predictions.len().min(80)).collect();
    shown.extend((shown.len()..predictions.len()).filter(|&i| predictions[i] != truth(i)).take(20));
    let digits: Vec<picture::Digit> = shown
        .into_iter()
        .map(|i| picture::Digit {
            pixels: images.data[i * size..(i + 1) * size].to_vec(),
            truth: truth(i),
            prediction: predictions[i],
        })
        .collect();

    type Drawn = Result<(), Box<dyn std::error::Error>>;
    let write = |name: &str, draw: &dyn Fn(&Path) -> Drawn| {
        let (path, unfinished) = (out.join(name), out.join(format!(".unfinished-{name}")));
        let done = draw(&unfinished).map_err(line).and_then(|()| std::fs::rename(&unfinished, &path).map_err(line));
        match done {
            Ok(()) => {
                println!("wrote {}", path.display());
                Ok(())
            }
            Err(e) => {
                let _ = std::fs::remove_file(&unfinished);
                Err(format!("{}: {e}", path.display()))
            }
        }
    };
    if epochs > 0 {
        write("loss.png", &|p| picture::curves(p, &history.losses, &history.accuracies))?;
    }
    write("digits.png", &|p| picture::digits(p, &digits, side))?;
    if epochs > 0 {
        let path = out.join("lenet.safetensors");
        io::save_safetensors(&path, &net.state_dict()).map_err(line)?;
        println!("wrote {}", path.display());
    }
    Ok(())
}
