//! Optimizer steps over many parameters, two to a dispatch: that is what eight storage buffers allow.
//!
//! The order of operations is PyTorch's: the sign of maximize, then weight decay, then momentum; Adam's eps outside the root.
//! Everything is contiguous and in place.

use super::{need_dense, need_f32, source, word};
use crate::error::{Result, ensure};
use crate::gpu::{Buffer, GpuView, Recorder};

/// A step of SGD.
#[derive(Clone, Copy, Debug)]
pub struct Sgd {
    /// Learning rate.
    pub lr: f64,
    /// Factor of the momentum buffer; with 0 there is none.
    pub momentum: f64,
    /// How much less than the whole gradient enters the momentum.
    pub dampening: f64,
    /// L2 penalty.
    pub weight_decay: f64,
    /// Look ahead along the momentum.
    pub nesterov: bool,
    /// Ascend.
    pub maximize: bool,
}

/// A parameter for [`sgd`].
#[derive(Clone, Copy, Debug)]
pub struct SgdParam<'a> {
    /// What is updated.
    pub param: GpuView<'a>,
    /// Its gradient.
    pub grad: GpuView<'a>,
    /// The momentum buffer, and whether it holds one yet: the first step writes the gradient there.
    pub state: Option<(GpuView<'a>, bool)>,
}

/// A step of Adam or AdamW.
#[derive(Clone, Copy, Debug)]
pub struct Adam {
    /// Learning rate.
    pub lr: f64,
    /// Decay of the two averages.
    pub betas: (f64, f64),
    /// Added to the denominator.
    pub eps: f64,
    /// L2 penalty, or with `decoupled` the share by which parameters shrink.
    pub weight_decay: f64,
    /// AdamW.
    pub decoupled: bool,
    /// Ascend.
    pub maximize: bool,
}

/// A parameter for [`adam`].
#[derive(Clone, Copy, Debug)]
pub struct AdamParam<'a> {
    /// What is updated.
    pub param: GpuView<'a>,
    /// Its gradient.
    pub grad: GpuView<'a>,
    /// The running mean of the gradient; zeros at first.
    pub mean: GpuView<'a>,
    /// The running mean of its square; zeros at first.
    pub square: GpuView<'a>,
    /// The number of this step, from 1.
    pub step: u64,
}

const SGD: &str = include_str!("../../../shaders/sgd.wgsl");
const ADAM: &str = include_str!("../../../shaders/adam.wgsl");

/// The parameters of a step cut into dispatches: neighbours of one kind that share no memory go together.
fn pairs<T>(all: &[T], alike: impl Fn(&T, &T) -> bool) -> Vec<&[T]> {
    let mut out = Vec::new();
    let mut rest = all;
    while let [first, tail @ ..] = rest {
        let n = if tail.first().is_some_and(|second| alike(first, second)) { 2 } else { 1 };
        out.push(&rest[..n]);
        rest = &rest[n..];
    }
    out
}

fn checked(op: &str, views: &[&GpuView]) -> Result<()> {
    need_f32(op, views)?;
    need_dense(op, views)?;
    ensure!(views.iter().all(|v| v.shape == views[0].shape), Runtime, "{op} kernel: shapes differ");
    Ok(())
}

/// Whether two groups of buffers, of which all but the first are written, can be bound together.
fn apart(a: &[&Buffer], b: &[&Buffer]) -> bool {
    a.iter().enumerate().all(|(i, x)| b.iter().enumerate().all(|(j, y)| i == 0 && j == 0 || x.id() != y.id()))
}

/// One step on all parameters. Those without a gradient are not given; empty ones are skipped.
pub fn sgd(rec: &mut Recorder, how: &Sgd, params: &[SgdParam]) -> Result<()> {
    let carries = how.momentum != 0.0;
    let mut todo: Vec<SgdParam> = Vec::new();
    for p in params {
        checked("sgd", &[&p.param, &p.grad])?;
        if let Some((state, _)) = &p.state {
            checked("sgd", &[&p.param, state])?;
        }
        ensure!(carries == p.state.is_some(), Runtime, "sgd kernel: a momentum buffer where there is momentum");
        if p.param.numel() > 0 {
            todo.push(*p);
        }
    }
    // what has its first step is not what has its second
    todo.sort_by_key(|p| p.state.is_some_and(|s| s.1));
    let buffers = |p: &SgdParam| {
        let mut b = vec![p.grad.buffer.clone(), p.param.buffer.clone()];
        b.extend(p.state.map(|s| s.0.buffer.clone()));
        b
    };
    let alike = |a: &SgdParam, b: &SgdParam| {
        let (x, y) = (buffers(a), buffers(b));
        let (x, y): (Vec<&Buffer>, Vec<&Buffer>) = (x.iter().collect(), y.iter().collect());
        a.state.map(|s| s.1) == b.state.map(|s| s.1) && apart(&x, &y)
    };
    // what is written but not there needs a place of its own
    let mut spare: Vec<Buffer> = Vec::new();
    for pair in pairs(&todo, alike) {
        let k = rec.kernel("sgd", || Ok(source("sgd", &[SGD], 2, 4, 14)))?;
        let mut words = Vec::with_capacity(14);
        let (mut groups, mut first) = (0, 0);
        for i in 0..2 {
            let Some(p) = pair.get(i) else {
                words.extend([0; 4]);
                continue;
            };
            let n = p.param.numel();
            words.extend([word(n)?, word(p.param.offset)?, word(p.grad.offset)?]);
            words.push(word(p.state.map_or(0, |s| s.0.offset))?);
            groups += n.div_ceil(64);
            if i == 0 {
                first = groups;
            }
        }
        let fresh = pair[0].state.is_some_and(|s| !s.1);
        let flag = |on: bool, bit: u32| if on { bit } else { 0 };
        words.push(word(first)?);
        words.push(flag(how.maximize, 1) | flag(carries, 2) | flag(fresh, 4) | flag(how.nesterov, 8));
        let numbers = [how.lr, how.momentum, 1.0 - how.dampening, how.weight_decay];
        words.extend(numbers.map(|v| (v as f32).to_bits()));
        let missing = (2 - pair.len()) * 2 + if carries { 0 } else { pair.len() };
        while spare.len() < missing {
            spare.push(rec.alloc(4)?);
        }
        let mut free = spare.iter();
        let mut take = || free.next().expect("as many as are missing");
        let grads = [pair[0].grad.buffer, pair[pair.len() - 1].grad.buffer];
        let mut bound = grads.to_vec();
        for i in 0..2 {
            bound.push(pair.get(i).map_or_else(&mut take, |p| p.param.buffer));
            bound.push(pair.get(i).and_then(|p| p.state.as_ref()).map_or_else(&mut take, |s| s.0.buffer));
        }
        rec.dispatch(k, &bound, &words, word(groups)?)?;
    }
    Ok(())
}

/// One step on all parameters, each with its own count of steps.
pub fn adam(rec: &mut Recorder, how: &Adam, params: &[AdamParam]) -> Result<()> {
    let mut todo: Vec<AdamParam> = Vec::new();
    for p in params {
        checked("adam", &[&p.param, &p.grad, &p.mean, &p.square])?;
        if p.param.numel() > 0 {
            todo.push(*p);
        }
    }
    todo.sort_by_key(|p| p.step);
    let alike = |a: &AdamParam, b: &AdamParam| {
        let all = |p: &AdamParam| {
            [p.grad.buffer.clone(), p.param.buffer.clone(), p.mean.buffer.clone(), p.square.buffer.clone()]
        };
        let (x, y) = (all(a), all(b));
        a.step == b.step && apart(&x.each_ref(), &y.each_ref())
    };
    let mut spare: Vec<Buffer> = Vec::new();
    for pair in pairs(&todo, alike) {
        let k = rec.kernel("adam", || Ok(source("adam", &[ADAM], 2, 6, 26)))?;
        let mut words = Vec::with_capacity(26);
        let (mut groups, mut first) = (0, 0);
        for i in 0..2 {
            let Some(p) = pair.get(i) else {
                words.extend([0; 8]);
                continue;
            };
            let n = p.param.numel();
            words.extend([word(n)?, word(p.param.offset)?, word(p.grad.offset)?]);
            words.extend([word(p.mean.offset)?, word(p.square.offset)?, 0, 0, 0]);
            groups += n.div_ceil(64);
            if i == 0 {
                first = groups;
            }
        }
        let (beta1, beta2) = how.betas;
        let step = pair[0].step as f64;
        let (correct1, correct2) = (1.0 - beta1.powf(step), 1.0 - beta2.powf(step));
        words.push(word(first)?);
        words.push(u32::from(how.maximize) | if how.decoupled { 2 } else { 0 });
        let decay = if how.decoupled { 1.0 - how.lr * how.weight_decay } else { how.weight_decay };
        let numbers = [how.lr / correct1, decay, beta1, beta2, 1.0 - beta1, 1.0 - beta2, correct2.sqrt(), how.eps];
        words.extend(numbers.map(|v| (v as f32).to_bits()));
        while spare.len() < (2 - pair.len()) * 3 {
            spare.push(rec.alloc(4)?);
        }
        let mut bound = vec![pair[0].grad.buffer, pair[pair.len() - 1].grad.buffer];
        for p in pair {
            bound.extend([p.param.buffer, p.mean.buffer, p.square.buffer]);
        }
        bound.extend(spare.iter().take(8 - bound.len()));
        rec.dispatch(k, &bound, &words, word(groups)?)?;
    }
    Ok(())
}

#[cfg(test)]
#[path = "optim_tests.rs"]
mod tests;
