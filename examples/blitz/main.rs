//! PyTorch's 60-minute blitz, cell by cell: the Rust lines of each and what they print. `cargo run --release --example blitz`

use std::cell::RefCell;
use wgtorch::{Error, Tensor};

fn main() -> Result<(), Error> {
    std::print!("{}", run()?);
    Ok(())
}

const SOURCE: &str = include_str!("main.rs");

thread_local! {
    static TEXT: RefCell<String> = const { RefCell::new(String::new()) };
}

/// A line of the walk's text, which `run` gives back whole.
macro_rules! println {
    ($($arg:tt)*) => {{
        let line = format!($($arg)*);
        TEXT.with_borrow_mut(|text| {
            text.push_str(&line);
            text.push('\n');
        })
    }};
}

/// Python's form of a tensor that may be missing.
fn text(t: Option<Tensor>) -> String {
    t.map_or("None".into(), |t| t.to_string())
}

/// Python's form of a bool.
fn python(b: bool) -> &'static str {
    if b { "True" } else { "False" }
}

/// Shows the lines of a cell: those of this file up to the next cell.
fn cell(n: u32) {
    let start = format!("    cell({n});\n");
    let lines = SOURCE.split_once(&start).map_or("", |(_, rest)| rest.split("    cell(").next().unwrap_or_default());
    let lines = lines.split("\n    Ok(TEXT").next().unwrap_or_default();
    println!("In [{n}]:");
    for line in lines.trim_end().lines() {
        println!("{}", format!(">>> {}", line.strip_prefix("    ").unwrap_or(line)).trim_end());
    }
}

/// The whole walk as text, with PyTorch's random numbers from seed 0.
pub fn run() -> Result<String, Error> {
    TEXT.take();
    manual_seed(0);

    cell(1);
    use wgtorch::prelude::*;

    cell(2);
    let x = empty([5, 3], ());
    println!("{x}");

    cell(3);
    let x = rand([5, 3], ());
    println!("{x}");

    cell(4);
    let x = zeros([5, 3], I64);
    println!("{x}");

    cell(5);
    let x = tensor!([5.5, 3.]);
    println!("{x}");

    cell(6);
    let x = x.new_ones([5, 3], F64);
    println!("{x}");
    let x = randn_like(&x, F32);
    println!("{x}");

    cell(7);
    println!("{}", x.size());

    cell(8);
    let y = rand([5, 3], ());
    println!("{}", &x + &y);

    cell(9);
    println!("{}", x.add(&y));

    cell(10);
    let result = empty([5, 3], ());
    x.add_out(&y, &result);
    println!("{result}");

    cell(11);
    y.add_(&x);
    println!("{y}");

    cell(12);
    println!("{}", x.i((.., 1)));

    cell(13);
    let x = randn([4, 4], ());
    let y = x.view(16);
    let z = x.view([-1, 8]);
    println!("{} {} {}", x.size(), y.size(), z.size());

    cell(14);
    let x = randn(1, ());
    println!("{x}");
    println!("{}", x.item::<f64>()?);

    cell(15);
    let a = ones(5, ());
    let b = a.numpy::<f32>()?;
    println!("{a}");
    println!("{b}");

    cell(16);
    a.add_(1);
    println!("{a}");
    println!("{b}");

    cell(17);
    let b = Tensor::from_ndarray(ndarray::Array1::<f64>::ones(5))?;
    let a = b.numpy::<f64>()?;
    *a.view_mut()? += 1.;
    println!("{a}");
    println!("{b}");

    cell(18);
    let x = randn([5, 3], ());
    if Device::gpu_count() > 0 {
        let device = Device::Gpu(0);
        let y = ones_like(&x, device);
        let x = x.to(device);
        let z = x + y;
        println!("{z}");
        println!("{}", z.to((Device::Cpu, F64)));
    }

    cell(19);
    // the prelude is there already

    cell(20);
    let x = ones([2, 2], TensorOptions::new().requires_grad(true));
    println!("{x}");

    cell(21);
    let y = &x + 2;
    println!("{y}");

    cell(22);
    println!("{}", y.grad_fn().unwrap());

    cell(23);
    let z = &y * &y * 3;
    let out = z.mean();
    println!("{z} {out}");

    cell(24);
    let a = randn([2, 2], ());
    let a = (&a * 3) / (&a - 1);
    println!("{}", python(a.requires_grad()));
    a.requires_grad_(true);
    println!("{}", python(a.requires_grad()));
    let b = (&a * &a).sum();
    println!("{}", python(b.requires_grad()));
    println!("{}", b.grad_fn().unwrap());

    cell(25);
    out.backward();

    cell(26);
    println!("{}", text(x.grad()));

    cell(27);
    let x = randn(3, TensorOptions::new().requires_grad(true));
    let mut y = &x * 2;
    while y.data().norm(2).item::<f32>()? < 1000. {
        y = &y * 2;
    }
    println!("{y}");

    cell(28);
    let v = tensor!([0.1, 1.0, 0.0001], F32);
    y.backward_with(Some(&v), ());
    println!("{}", text(x.grad()));

    cell(29);
    println!("{}", python(x.requires_grad()));
    println!("{}", python(x.pow(2).requires_grad()));
    no_grad(|| println!("{}", python(x.pow(2).requires_grad())));

    cell(30);
    println!("{}", python(x.requires_grad()));
    let y = x.detach();
    println!("{}", python(y.requires_grad()));
    println!("{}", x.eq(&y).all());

    cell(31);
    #[derive(Module)]
    struct Net {
        conv1: Conv2d,
        conv2: Conv2d,
        fc1: Linear,
        fc2: Linear,
        fc3: Linear,
    }

    impl Net {
        fn new() -> Net {
            Net {
                conv1: Conv2d::new(1, 6, 3),
                conv2: Conv2d::new(6, 16, 3),
                fc1: Linear::new(16 * 6 * 6, 120),
                fc2: Linear::new(120, 84),
                fc3: Linear::new(84, 10),
            }
        }

        fn num_flat_features(&self, x: &Tensor) -> isize {
            x.size()[1..].iter().product::<usize>() as isize
        }
    }

    impl Forward for Net {
        fn forward(&self, x: &Tensor) -> Tensor {
            let x = F::max_pool2d(&F::relu(&self.conv1.call(x)), (2, 2));
            let x = F::max_pool2d(&F::relu(&self.conv2.call(&x)), 2);
            let x = x.view([-1, self.num_flat_features(&x)]);
            let x = F::relu(&self.fc1.call(&x));
            let x = F::relu(&self.fc2.call(&x));
            self.fc3.call(&x)
        }
    }

    let net = Net::new();
    println!("{net}");

    cell(32);
    for (name, param) in net.named_parameters() {
        println!("{name} {}", param.shape());
    }
    let params = net.parameters();
    println!("{}", params.len());
    println!("{}", params[0].size());

    cell(33);
    let input = randn([1, 1, 32, 32], ());
    let out = net.call(&input);
    println!("{out}");

    cell(34);
    net.zero_grad();
    out.backward_with(Some(&randn([1, 10], ())), ());

    cell(35);
    let output = net.call(&input);
    let target = randn(10, ());
    let target = target.view([1, -1]);
    let criterion = MSELoss::new();
    let loss = criterion.call(&output, &target);
    println!("{loss}");

    cell(36);
    let node = loss.grad_fn().unwrap();
    println!("{node}");
    let (node, _) = node.next_functions()[0].clone().unwrap();
    println!("{node}");
    let (node, _) = node.next_functions()[0].clone().unwrap();
    println!("{node}");

    cell(37);
    net.zero_grad();
    let bias = net.conv1.bias.clone().unwrap();
    println!("conv1.bias.grad before backward");
    println!("{}", text(bias.grad()));
    loss.backward();
    println!("conv1.bias.grad after backward");
    println!("{}", text(bias.grad()));

    cell(38);
    let learning_rate = 0.01;
    for f in net.parameters() {
        f.data().sub_(f.grad().unwrap().data() * learning_rate);
    }

    cell(39);
    let mut optimizer = optim::SGD::new(net.parameters(), 0.1);
    optimizer.zero_grad();
    let output = net.call(&input);
    let loss = criterion.call(&output, &target);
    loss.backward();
    optimizer.step();
    println!("{}", criterion.call(&net.call(&input), &target));

    Ok(TEXT.take())
}
