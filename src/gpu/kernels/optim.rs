//! Optimizer steps over many parameters, as many to a dispatch as the device binds buffers for, sixteen at most.
//!
//! The order of operations is PyTorch's: the sign of maximize, then weight decay, then momentum; Adam's eps outside the root.
//! Everything is contiguous and in place.

use super::{need_dense, need_f32, quad, source, word};
use crate::error::{Result, ensure};
use crate::gpu::{Buffer, GpuView, KernelSource, Recorder};
use std::fmt::Write;

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

/// Most parameters of a dispatch.
const PARTS: usize = 16;
/// Elements of a workgroup.
const BLOCK: usize = 256;

/// How an invocation takes its part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Grain {
    /// Four elements after each other: some part begins inside a quad.
    Single,
    /// A quad, which may be of long words.
    Quads { wide: bool },
}

impl Grain {
    fn of<'a>(rec: &Recorder, views: impl IntoIterator<Item = &'a GpuView<'a>>) -> Grain {
        match views.into_iter().all(|v| v.offset.is_multiple_of(4)) {
            true => Grain::Quads { wide: rec.wide_loads() },
            false => Grain::Single,
        }
    }

    fn name(self) -> &'static str {
        if self == Grain::Single { " single" } else { "" }
    }
}

/// An optimizer's kernel for some number of parameters.
fn parts_source(name: &str, text: &str, parts: usize, states: &[&str], tail: usize, grain: Grain) -> KernelSource {
    let (num, element, wide) = match grain {
        Grain::Single => ("f32", "f32", false),
        Grain::Quads { wide } => ("vec4<f32>", "Quad", wide),
    };
    let mut s = format!("const PARTS: u32 = {parts}u;\nalias Num = {num};\n{text}\n");
    // writing to a String cannot fail
    let mut binding = 0;
    let mut bind = |s: &mut String, access: &str, name: String| {
        binding += 1;
        let _ = writeln!(s, "@group(0) @binding({binding}) var<storage, {access}> {name}: array<{element}>;");
    };
    for k in 0..parts {
        bind(&mut s, "read", format!("GRAD{k}"));
    }
    for k in 0..parts {
        bind(&mut s, "read_write", format!("PARAM{k}"));
        states.iter().for_each(|state| bind(&mut s, "read_write", format!("{}{k}", state.to_uppercase())));
    }
    for k in 0..parts {
        let _ = writeln!(s, "fn part{k}(id: u32, t: u32) {{\n    let p = P.parts[{k}];");
        s.push_str(&match grain {
            Grain::Single => one_by_one(k, states),
            Grain::Quads { .. } => by_quads(k, states),
        });
        s.push_str("}\n");
    }
    s.push_str(
        "@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) t: u32,
) {
    one = groups.z;
    let id = wg.x + wg.y * groups.x;
",
    );
    for k in 0..parts {
        let head = if k == 0 { "    if" } else { " else if" };
        match k + 1 {
            next if next < parts => {
                let _ = write!(s, "{head} id < P.parts[{next}].first {{ part{k}(id, t); }}");
            }
            _ if k == 0 => s.push_str("    part0(id, t);"),
            _ => {
                let _ = write!(s, " else {{ part{k}(id, t); }}");
            }
        }
    }
    s.push_str("\n}\n");
    source(name, &[quad(wide), &s], parts, parts * (1 + states.len()), 8 * parts + tail)
}

/// The places of a part's parameter, gradient and states, where the element's is `i`.
fn places(k: usize, states: &[&str], per: &str) -> Vec<(String, String)> {
    let mut all = vec![("param".to_owned(), format!("PARAM{k}[p.param{per} + i]"))];
    all.push(("grad".to_owned(), format!("GRAD{k}[p.grad{per} + i]")));
    let state = |(n, s): (usize, &&str)| (s.to_string(), format!("{}{k}[p.state{n}{per} + i]", s.to_uppercase()));
    all.extend(states.iter().enumerate().map(state));
    all
}

fn one_by_one(k: usize, states: &[&str]) -> String {
    let all = places(k, states, "");
    let mut given: Vec<&str> = all.iter().map(|p| p.1.as_str()).collect();
    if states.is_empty() {
        given.push("0.0");
    }
    // a bound that is not known: what jumps over nothing pays for every part that is not its own, four times if unrolled
    let mut s = format!(
        "    for (var j = 0u; j < {}u * one; j++) {{
        let i = (id - p.first) * {BLOCK}u + j * 64u + t;
        if i >= p.n {{ return; }}
        let s = update({});\n",
        BLOCK / 64,
        given.join(", ")
    );
    for (name, place) in all.iter().filter(|p| p.0 != "grad") {
        let _ = writeln!(s, "        {place} = s.{name};");
    }
    s.push_str("    }\n");
    s
}

fn by_quads(k: usize, states: &[&str]) -> String {
    let all = places(k, states, " / 4u");
    let mut s = format!(
        "    let i = (id - p.first) * {}u + t;
    if 4u * i >= p.n {{ return; }}
    // what follows the part in its last quad stays as it is
    let mine = (vec4(4u * i) + vec4(0u, 1u, 2u, 3u)) < vec4(p.n);\n",
        BLOCK / 4
    );
    for (name, place) in &all {
        let _ = writeln!(s, "    let {name} = quad({place});");
    }
    let mut given: Vec<&str> = all.iter().map(|p| p.0.as_str()).collect();
    if states.is_empty() {
        given.push("vec4<f32>()");
    }
    let _ = writeln!(s, "    let s = update({});", given.join(", "));
    for (name, place) in all.iter().filter(|p| p.0 != "grad") {
        let _ = writeln!(s, "    {place} = pack(select({name}, s.{name}, mine));");
    }
    s
}

/// The parameters of a step cut into dispatches: neighbours of one kind that share no memory go together.
fn cut<T>(all: &[T], most: usize, alike: impl Fn(&T, &T) -> bool) -> Vec<&[T]> {
    let mut out = Vec::new();
    let mut rest = all;
    while !rest.is_empty() {
        let end = rest.len().min(most);
        let n = (1..end).find(|&n| !rest[..n].iter().all(|p| alike(p, &rest[n]))).unwrap_or(end);
        out.push(&rest[..n]);
        rest = &rest[n..];
    }
    out
}

/// How many parameters a dispatch takes, where each binds so many buffers.
fn most(rec: &Recorder, buffers: usize) -> usize {
    (rec.limits().max_storage_buffers_per_shader_stage as usize / buffers).clamp(1, PARTS)
}

/// Whether a parameter gets a dispatch of its own: on software adapters all its workgroups pay for the parts that are not theirs.
fn alone(software: bool, p: &GpuView) -> bool {
    software && p.numel() > 32 * BLOCK
}

/// A part's words, and the workgroups before it counted on.
fn part(words: &mut Vec<u32>, groups: &mut usize, views: &[&GpuView]) -> Result<()> {
    let n = views[0].numel();
    words.extend([word(n)?, word(*groups)?]);
    for k in 0..4 {
        words.push(word(views.get(k).map_or(0, |v| v.offset))?);
    }
    words.extend([0; 2]);
    *groups += n.div_ceil(BLOCK);
    Ok(())
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
    let software = rec.software();
    todo.sort_by_key(|p| (p.state.is_some_and(|s| s.1), alone(software, &p.param)));
    let buffers = |p: &SgdParam| {
        let mut b = vec![p.grad.buffer.clone(), p.param.buffer.clone()];
        b.extend(p.state.map(|s| s.0.buffer.clone()));
        b
    };
    let alike = |a: &SgdParam, b: &SgdParam| {
        let (x, y) = (buffers(a), buffers(b));
        let (x, y): (Vec<&Buffer>, Vec<&Buffer>) = (x.iter().collect(), y.iter().collect());
        let together = !alone(software, &a.param) && !alone(software, &b.param);
        together && a.state.map(|s| s.1) == b.state.map(|s| s.1) && apart(&x, &y)
    };
    let states: &[&str] = if carries { &["state"] } else { &[] };
    for chunk in cut(&todo, most(rec, 2 + states.len()), alike) {
        let views = chunk.iter().flat_map(|p| [Some(&p.param), Some(&p.grad), p.state.as_ref().map(|s| &s.0)]);
        let grain = Grain::of(rec, views.flatten());
        let name = format!("sgd {}.{}{}", chunk.len(), states.len(), grain.name());
        let k = rec.kernel(&name, || Ok(parts_source(&name, SGD, chunk.len(), states, 5, grain)))?;
        let (mut words, mut groups) = (Vec::with_capacity(8 * chunk.len() + 5), 0);
        for p in chunk {
            let state = p.state.as_ref().map_or(&p.param, |s| &s.0);
            part(&mut words, &mut groups, &[&p.param, &p.grad, state])?;
        }
        let fresh = chunk[0].state.is_some_and(|s| !s.1);
        let flag = |on: bool, bit: u32| if on { bit } else { 0 };
        words.push(flag(how.maximize, 1) | flag(carries, 2) | flag(fresh, 4) | flag(how.nesterov, 8));
        let numbers = [how.lr, how.momentum, 1.0 - how.dampening, how.weight_decay];
        words.extend(numbers.map(|v| (v as f32).to_bits()));
        let mut bound: Vec<&Buffer> = chunk.iter().map(|p| p.grad.buffer).collect();
        for p in chunk {
            bound.push(p.param.buffer);
            bound.extend(p.state.as_ref().map(|s| s.0.buffer));
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
    let software = rec.software();
    todo.sort_by_key(|p| (p.step, alone(software, &p.param)));
    let alike = |a: &AdamParam, b: &AdamParam| {
        let all = |p: &AdamParam| {
            [p.grad.buffer.clone(), p.param.buffer.clone(), p.mean.buffer.clone(), p.square.buffer.clone()]
        };
        let (x, y) = (all(a), all(b));
        let together = !alone(software, &a.param) && !alone(software, &b.param);
        together && a.step == b.step && apart(&x.each_ref(), &y.each_ref())
    };
    for chunk in cut(&todo, most(rec, 4), alike) {
        let grain = Grain::of(rec, chunk.iter().flat_map(|p| [&p.param, &p.grad, &p.mean, &p.square]));
        let name = format!("adam {}{}", chunk.len(), grain.name());
        let k = rec.kernel(&name, || Ok(parts_source(&name, ADAM, chunk.len(), &["mean", "square"], 9, grain)))?;
        let (mut words, mut groups) = (Vec::with_capacity(8 * chunk.len() + 9), 0);
        for p in chunk {
            part(&mut words, &mut groups, &[&p.param, &p.grad, &p.mean, &p.square])?;
        }
        let (beta1, beta2) = how.betas;
        let step = chunk[0].step as f64;
        let (correct1, correct2) = (1.0 - beta1.powf(step), 1.0 - beta2.powf(step));
        words.push(u32::from(how.maximize) | if how.decoupled { 2 } else { 0 });
        let decay = if how.decoupled { 1.0 - how.lr * how.weight_decay } else { how.weight_decay };
        let numbers = [how.lr / correct1, decay, beta1, beta2, 1.0 - beta1, 1.0 - beta2, correct2.sqrt(), how.eps];
        words.extend(numbers.map(|v| (v as f32).to_bits()));
        let mut bound: Vec<&Buffer> = chunk.iter().map(|p| p.grad.buffer).collect();
        for p in chunk {
            bound.extend([p.param.buffer, p.mean.buffer, p.square.buffer]);
        }
        rec.dispatch(k, &bound, &words, word(groups)?)?;
    }
    Ok(())
}

#[cfg(test)]
#[path = "optim_tests.rs"]
mod tests;
