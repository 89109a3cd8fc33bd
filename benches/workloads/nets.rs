//! The networks that benchmarks train: LeNet, a perceptron and a small GPT.

use super::{Workload, any_index, at, pure};
use std::cell::RefCell;
use std::rc::Rc;
use wgtorch::AttentionOptions;
use wgtorch::prelude::*;

#[derive(Module)]
struct LeNet {
    c1: Conv2d,
    c2: Conv2d,
    f1: Linear,
    f2: Linear,
    f3: Linear,
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

/// A block of a small GPT: attention and a perceptron, each behind a norm and beside a shortcut.
#[derive(Module)]
struct Block {
    #[module(skip)]
    heads: usize,
    l1: LayerNorm,
    l2: LayerNorm,
    qkv: Linear,
    proj: Linear,
    up: Linear,
    down: Linear,
}

impl Block {
    fn new(width: usize, heads: usize) -> Block {
        Block {
            heads,
            l1: LayerNorm::new([width]),
            l2: LayerNorm::new([width]),
            qkv: Linear::new(width, 3 * width),
            proj: Linear::new(width, width),
            up: Linear::new(width, 4 * width),
            down: Linear::new(4 * width, width),
        }
    }
}

impl Forward for Block {
    fn forward(&self, x: &Tensor) -> Tensor {
        let (batch, time, width) = (x.size_of(0), x.size_of(1), x.size_of(2));
        let heads = |z: &Tensor| z.reshape([batch, time, self.heads, width / self.heads]).transpose(1, 2);
        let qkv: Vec<Tensor> = self.qkv.call(&self.l1.call(x)).chunk(3, -1).iter().map(heads).collect();
        let options = AttentionOptions::new().is_causal(true);
        let a = F::scaled_dot_product_attention(&qkv[0], &qkv[1], &qkv[2], options);
        let x = x + self.proj.call(&a.transpose(1, 2).reshape([batch, time, width]));
        &x + self.down.call(&self.up.call(&self.l2.call(&x)).gelu())
    }
}

/// Four blocks over 256 tokens and 128 positions.
#[derive(Module)]
struct Gpt {
    tok: Embedding,
    pos: Embedding,
    blocks: Vec<Block>,
    lnf: LayerNorm,
    head: Linear,
}

impl Gpt {
    fn new() -> Gpt {
        let (tokens, time, width, heads) = (256, 128, 128, 4);
        Gpt {
            tok: Embedding::new(tokens, width),
            pos: Embedding::new(time, width),
            blocks: (0..4).map(|_| Block::new(width, heads)).collect(),
            lnf: LayerNorm::new([width]),
            head: Linear::options(width, tokens).bias(false).build(),
        }
    }
}

impl Forward for Gpt {
    fn forward(&self, x: &Tensor) -> Tensor {
        let places = arange(x.size_of(1), x.device());
        let x = self.tok.call(x) + self.pos.call(&places);
        let x = self.blocks.iter().fold(x, |x, b| b.call(&x));
        self.head.call(&self.lnf.call(&x))
    }
}

/// Train steps on one batch. The check is that the loss has fallen since the first.
fn train(net: impl Forward + 'static, mut optimizer: impl Optimizer + 'static, x: Tensor, t: Tensor) -> Workload {
    let losses: Rc<RefCell<Option<(Tensor, Tensor)>>> = Rc::default();
    let seen = losses.clone();
    let run = move || {
        optimizer.zero_grad();
        let y = net.call(&x);
        let classes = y.size_of(-1);
        let loss = F::cross_entropy(&y.reshape([y.numel() / classes, classes]), &t.reshape(-1));
        loss.backward();
        optimizer.step();
        let loss = loss.detach();
        let first = losses.take().map_or_else(|| loss.clone(), |(first, _)| first);
        losses.replace(Some((first, loss.clone())));
        vec![loss]
    };
    let check = move || {
        let Some((first, last)) = seen.take() else { panic!("a train step is checked after it has run") };
        let (first, last) = (first.item::<f64>()?, last.item::<f64>()?);
        // in the caller's form: two numbers that have to agree
        Ok(if last < first { (0., 0.) } else { (last, 0.) })
    };
    Workload { run: Box::new(run), check: Box::new(check) }
}

pub fn lenet(d: Device) -> Workload {
    let net = LeNet {
        c1: Conv2d::new(1, 6, 3),
        c2: Conv2d::new(6, 16, 3),
        f1: Linear::new(576, 120),
        f2: Linear::new(120, 84),
        f3: Linear::new(84, 10),
    }
    .to(d);
    let optimizer = SGD::new(net.parameters(), 0.01);
    train(net, optimizer, randn([64, 1, 32, 32], ()).to(d), randint(0, 10, [64], ()).to(d))
}

pub fn mlp(d: Device) -> Workload {
    let net = Mlp { a: Linear::new(784, 512), b: Linear::new(512, 512), c: Linear::new(512, 10) }.to(d);
    let optimizer = Adam::new(net.parameters(), 1e-3);
    train(net, optimizer, randn([128, 784], ()).to(d), randint(0, 10, [128], ()).to(d))
}

pub fn gpt_train(d: Device) -> Workload {
    let net = Gpt::new().to(d);
    let optimizer = AdamW::new(net.parameters(), 1e-3);
    train(net, optimizer, randint(0, 256, [8, 128], ()).to(d), randint(0, 256, [8, 128], ()).to(d))
}

pub fn gpt_forward(d: Device) -> Workload {
    let (net, x) = (Rc::new(Gpt::new().to(d)), randint(0, 256, [8, 128], ()).to(d));
    let (again, prefix) = (net.clone(), x.narrow(1, 0, 17));
    pure(
        move || no_grad(|| net.call(&x)),
        move |out| {
            // a position depends on what is before it alone: a prefix gives the same numbers
            let (i, c) = (any_index(8), any_index(256));
            let short = no_grad(|| again.call(&prefix));
            Ok((at(out, &[i, 16, c])?, at(&short, &[i, 16, c])?))
        },
    )
}
