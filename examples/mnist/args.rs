//! The command line.

use std::path::PathBuf;

/// What the program is asked to do.
pub struct Args {
    /// `cpu`, `gpu`, `gpu:N`; none for the best one.
    pub device: Option<String>,
    /// Passes over the training digits; none for the default.
    pub epochs: Option<usize>,
    /// Digits in a step.
    pub batch_size: usize,
    /// SGD's learning rate.
    pub lr: f64,
    /// Seeds parameters and the order of digits.
    pub seed: u64,
    /// Where the pictures and the network go.
    pub out: PathBuf,
    /// A network to start from.
    pub load: Option<PathBuf>,
    /// The folder with the four IDX files.
    pub data: PathBuf,
}

pub const HELP: &str = "\
Trains PyTorch's blitz LeNet on handwritten digits.

  cargo run --release --example mnist -- [OPTIONS]

  --device cpu|gpu|gpu:N   where to compute [a GPU if there is a real one, else the CPU]
  --epochs N               passes over the training digits [8; 0 with --load, which evaluates]
  --batch-size N           digits in a step [64]
  --lr X                   learning rate of SGD with momentum 0.9; a tenth of it in the last quarter [0.03]
  --seed N                 seed of the parameters and of the order of digits [0]
  --out DIR                folder for loss.png, digits.png and lenet.safetensors [.]
  --load FILE              starts from a saved network
  --data DIR               folder with MNIST's four IDX files [the 10,000 digits of this repository]
";

fn number<T: std::str::FromStr>(parser: &mut lexopt::Parser, name: &str) -> Result<T, String> {
    let value = parser.value().map_err(|e| e.to_string())?;
    let text = value.to_string_lossy().into_owned();
    text.parse().map_err(|_| format!("--{name} takes a number, not '{text}'"))
}

/// Reads the command line; None where help was asked for.
pub fn parse() -> Result<Option<Args>, String> {
    let mut args = Args {
        device: None,
        epochs: None,
        batch_size: 64,
        lr: 0.03,
        seed: 0,
        out: PathBuf::from("."),
        load: None,
        data: PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/mnist")),
    };
    let mut parser = lexopt::Parser::from_env();
    while let Some(arg) = parser.next().map_err(|e| e.to_string())? {
        let path = |p: &mut lexopt::Parser| p.value().map(PathBuf::from).map_err(|e| e.to_string());
        match arg {
            lexopt::Arg::Long("device") => {
                args.device = Some(parser.value().map_err(|e| e.to_string())?.to_string_lossy().into_owned());
            }
            lexopt::Arg::Long("epochs") => args.epochs = Some(number(&mut parser, "epochs")?),
            lexopt::Arg::Long("batch-size") => args.batch_size = number(&mut parser, "batch-size")?,
            lexopt::Arg::Long("lr") => args.lr = number(&mut parser, "lr")?,
            lexopt::Arg::Long("seed") => args.seed = number(&mut parser, "seed")?,
            lexopt::Arg::Long("out") => args.out = path(&mut parser)?,
            lexopt::Arg::Long("load") => args.load = Some(path(&mut parser)?),
            lexopt::Arg::Long("data") => args.data = path(&mut parser)?,
            lexopt::Arg::Long("help") | lexopt::Arg::Short('h') => return Ok(None),
            other => return Err(other.unexpected().to_string()),
        }
    }
    if args.batch_size == 0 {
        return Err("--batch-size has to be at least 1".into());
    }
    if !(args.lr.is_finite() && args.lr > 0.0) {
        return Err("--lr has to be a positive number".into());
    }
    Ok(Some(args))
}
