//! How an elementwise op runs: promotion, broadcasting, the recorded step, the node on the tape; and its in-place form.

use super::promote::common_dtype;
use super::tape::{Ctx, Edge, Func, Grads, Node, OutMeta, Saved, SavedSet, grad_enabled};
use super::{Body, Tensor, can_cast, check_inplace, finish_inplace};
use crate::device::Device;
use crate::dtype::{Category, DType};
use crate::error::{Result, bail, ensure};
use crate::layout::Layout;
use crate::num::complex;
use crate::program::{Action, Row};
use crate::scalar::Scalar;
use crate::shape::{Dims, broadcast};
use crate::stream::{self, Arg, PointCmd, Src, Storage};
use crate::trace;
use smallvec::SmallVec;
use std::panic::Location;
use std::sync::Arc;

/// An operand: a tensor or a number.
#[derive(Clone, Copy)]
pub enum In<'a> {
    /// A tensor.
    T(&'a Tensor),
    /// A number.
    S(Scalar),
}

/// How an op's compute dtype and result dtype follow from its operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The common dtype, for both.
    Common,
    /// The common dtype, with the default float for integers and bools.
    Float,
    /// Compares in the common dtype; the result is bool.
    Compare,
    /// Operands become bools; the result is bool.
    Logical,
    /// The common dtype; floats are refused.
    Bitwise,
    /// The first operand is a condition; the others meet in their common dtype.
    Where,
    /// The common dtype of integers; floats and bools are refused.
    Int,
    /// The common dtype; bools are refused.
    Number,
    /// The common dtype; a bool among the first two operands is refused.
    Sub,
    /// The common dtype, which has to be a float.
    FloatOnly,
}

/// An elementwise op: one row of the table with its promotion rule and its derivative.
pub struct Elementwise {
    /// The formula.
    pub row: &'static Row,
    /// The dtype rule.
    pub rule: Rule,
    /// The node's name, `MulBackward0`.
    pub node: &'static str,
    /// What the derivative reads, given which inputs need a gradient (bit i): bit i for input i, bit 7 for the output.
    pub saves: fn(u8) -> u8,
    /// Gradients of the inputs. Broadcast and promoted inputs get theirs reduced and converted by the engine.
    pub vjp: fn(&Ctx) -> Result<Grads>,
}

impl Elementwise {
    /// True where PyTorch's node has an edge for that operand: tensors, and the numbers that it wraps in tensors.
    pub(super) fn shows_input(&self, i: usize, number: bool) -> bool {
        match self.node {
            "WhereBackward0" => i > 0,
            "AddBackward0" | "SubBackward0" | "MulBackward0" | "DivBackward0" => i < 2,
            _ => !number,
        }
    }
}

/// The bit of [`Elementwise::saves`] that keeps the output.
pub const OUTPUT: u8 = 1 << 7;

/// Stands where a node's function was once it is dropped.
pub(super) static NOTHING: Elementwise = Elementwise {
    row: &crate::num::rows::POSITIVE,
    rule: Rule::Common,
    node: "",
    saves: |_| 0,
    vjp: |_| Ok(Grads::new()),
};

pub(super) struct Plan {
    pub compute: DType,
    pub natural: DType,
    pub shape: Dims,
    pub device: Device,
}

pub(super) type Srcs = SmallVec<[Src; 3]>;

/// The operands as they are now, each tensor looked at once.
pub(super) fn snapshot(ins: &[In]) -> Srcs {
    let mut srcs = Srcs::new();
    for i in ins {
        srcs.push(match i {
            In::T(t) => Src::Tensor(t.arg()),
            In::S(s) => Src::Scalar(*s),
        });
    }
    srcs
}

pub(super) fn plan(op: &Elementwise, srcs: &[Src]) -> Result<Plan> {
    let name = op.row.name;
    let common = common_dtype(match op.rule {
        Rule::Where => &srcs[1..],
        _ => srcs,
    });
    let compute = match op.rule {
        Rule::Common | Rule::Compare | Rule::Where => common,
        Rule::Float if common.is_differentiable() => common,
        Rule::Float => DType::F32,
        Rule::Logical => DType::Bool,
        Rule::Sub => {
            let bools = srcs[..2].iter().filter(|s| common_dtype(std::slice::from_ref(s)) == DType::Bool).count();
            ensure!(bools == 0, NotImplemented, "{}", sub_message(bools));
            common
        }
        Rule::Bitwise | Rule::Int => {
            ensure!(
                !common.is_differentiable() && (common != DType::Bool || op.rule == Rule::Bitwise),
                NotImplemented,
                "\"{name}_cpu\" not implemented for '{}'",
                common.scalar_name()
            );
            common
        }
        Rule::Number => {
            ensure!(common != DType::Bool, NotImplemented, "{}", bool_message(name));
            common
        }
        Rule::FloatOnly => {
            // a float parameter makes no float of an integer tensor
            let of = srcs.iter().filter_map(|s| if let Src::Tensor(a) = s { Some(a.dtype) } else { None });
            let of = of.reduce(|a, b| if a.is_differentiable() { a } else { b }).unwrap_or(common);
            ensure!(
                of.is_differentiable(),
                NotImplemented,
                "\"{name}_cpu\" not implemented for '{}'",
                of.scalar_name()
            );
            common
        }
    };
    let natural = match compute {
        _ if op.row.bool_out => DType::Bool,
        DType::C64 | DType::C128 if complex::real_out(name) => compute.to_real(),
        _ => compute,
    };
    let mut shape = Dims::new();
    let mut first = true;
    let mut device: Option<(Device, usize)> = None;
    for src in srcs {
        let Src::Tensor(a) = src else { continue };
        if first {
            shape = Dims::from_slice(&a.layout.shape);
            first = false;
        } else if shape != a.layout.shape {
            shape = broadcast(&shape, &a.layout.shape)?;
        }
        let here = a.storage.device;
        match device {
            None => device = Some((here, a.layout.ndim())),
            Some((d, _)) if d == here => {}
            // a 0-dim CPU tensor goes with anything, as a number
            Some((Device::Cpu, 0)) => device = Some((here, a.layout.ndim())),
            Some(_) if here == Device::Cpu && a.layout.ndim() == 0 => {}
            Some((d, _)) => bail!(
                Runtime,
                "Expected all tensors to be on the same device, but found at least two devices, {d} and {here}! ({name})"
            ),
        }
    }
    Ok(Plan { compute, natural, shape, device: device.map_or(Device::Cpu, |d| d.0) })
}

fn bool_message(name: &str) -> String {
    match name {
        "neg" => "Negation, the `-` operator, on a bool tensor is not supported. If you are trying to invert a mask, use the `~` or `logical_not()` operator instead.".into(),
        _ => format!("\"{name}_cpu\" not implemented for 'Bool'"),
    }
}

fn sub_message(bools: usize) -> &'static str {
    if bools == 2 {
        "Subtraction, the `-` operator, with two bool tensors is not supported. Use the `^` or `logical_xor()` operator instead."
    } else {
        "Subtraction, the `-` operator, with a bool tensor is not supported. If you are trying to invert a mask, use the `~` or `logical_not()` operator instead."
    }
}

/// Makes an operand what the stream wants: broadcast to the step's shape, constants and 0-dim CPU tensors as numbers.
pub(super) fn fit(src: &mut Src, operand: &In, shape: &[usize], device: Device) -> Result<()> {
    let Src::Tensor(arg) = src else { return Ok(()) };
    if let Some(value) = arg.storage.as_constant()
        && arg.storage.dtype == arg.dtype
    {
        *src = Src::Scalar(value);
    } else if arg.storage.device != device {
        let In::T(t) = operand else { unreachable!("a scalar lives nowhere") };
        *src = Src::Scalar(t.item_scalar()?);
    } else if arg.layout.shape[..] != *shape {
        arg.layout = arg.layout.broadcast_to(shape)?;
    }
    Ok(())
}

pub(super) fn source(operand: &In, shape: &[usize], device: Device) -> Result<Src> {
    let mut src = match operand {
        In::S(s) => Src::Scalar(*s),
        In::T(t) => Src::Tensor(t.arg()),
    };
    fit(&mut src, operand, shape, device)?;
    Ok(src)
}

pub(super) fn check_kernel(op: &Elementwise, compute: DType) -> Result<()> {
    if compute.is_complex()
        && let Some(message) = no_complex(op.row.name)
    {
        bail!(Runtime, "{message}");
    }
    ensure!(
        (op.row.cpu)(compute).is_some(),
        NotImplemented,
        "\"{}_cpu\" not implemented for '{}'",
        op.row.name,
        compute.scalar_name()
    );
    Ok(())
}

/// What PyTorch says of an op that it has not for complex numbers, where that is no missing kernel.
fn no_complex(name: &str) -> Option<&'static str> {
    Some(match name {
        "sign" => "Unlike NumPy, torch.sign is not intended to support complex numbers. Please use torch.sgn instead.",
        "floor" => "floor is not supported for complex inputs",
        "ceil" => "ceil is not supported for complex inputs",
        "trunc" => "trunc is not supported for complex inputs",
        "signbit" => "signbit is not implemented for complex tensors.",
        "maximum" => "maximum not implemented for complex tensors.",
        "minimum" => "minimum not implemented for complex tensors.",
        "fmax" => "fmax not implemented for complex tensors.",
        "fmin" => "fmin not implemented for complex tensors.",
        "clamp" | "clamp_min" | "clamp_max" => "clamp is not supported for complex types",
        "isposinf" => "isposinf does not support complex inputs.",
        "isneginf" => "isneginf does not support complex inputs.",
        _ => return None,
    })
}

fn needs(ins: &[In]) -> u8 {
    if !grad_enabled() {
        return 0;
    }
    ins.iter().enumerate().fold(0, |m, (i, x)| m | (matches!(x, In::T(t) if t.requires_grad()) as u8) << i)
}

/// The node of an op in two steps: edges and inputs before an in-place write, the saved output after it. `before` is the
/// value of a first operand that is about to be overwritten.
fn record<'a>(
    op: &'static Elementwise,
    ins: &'a [In<'a>],
    needs: u8,
    before: Option<&Tensor>,
) -> impl FnOnce(&Tensor) -> Arc<Node> + 'a {
    let saves = (op.saves)(needs);
    let mut edges: SmallVec<[Option<Edge>; 2]> = SmallVec::new();
    let mut inputs: SmallVec<[Option<Saved>; 3]> = SmallVec::new();
    for (i, x) in ins.iter().enumerate() {
        let In::T(t) = x else {
            edges.push(None);
            inputs.push(None);
            continue;
        };
        edges.push(if needs >> i & 1 != 0 { t.gradient_edge() } else { None });
        let kept = if i == 0 { before.unwrap_or(t) } else { t };
        inputs.push((saves >> i & 1 != 0).then(|| Saved::input(kept)));
    }
    move |out: &Tensor| {
        let keep_output = saves & OUTPUT != 0;
        let outputs = keep_output.then(|| Some(Saved::output(out))).into_iter().collect();
        let scalars = match ins.iter().any(|x| matches!(x, In::S(_))) {
            true => ins.iter().map(|x| if let In::S(s) = x { Some(*s) } else { None }).collect(),
            false => SmallVec::new(),
        };
        let set = SavedSet { inputs, outputs, released: false };
        Node::new(Func::Elementwise(op, scalars), edges, std::iter::once(OutMeta::of(out)).collect(), set)
    }
}

/// Runs an elementwise op into a new tensor.
#[track_caller]
pub fn elementwise(op: &'static Elementwise, ins: &[In]) -> Result<Tensor> {
    let _span = trace::span(trace::Kind::Op, op.row.name);
    let out = match at_once(op, ins) {
        Some(out) => out,
        None => recorded(op, ins, Location::caller())?,
    };
    let needs = needs(ins);
    if needs != 0 && !op.row.bool_out && out.dtype().is_differentiable() {
        out.set_history(record(op, ins, needs, None)(&out), 0);
    }
    Ok(out)
}

/// The short way for a few elements of one float dtype on the CPU, which may wait for nothing: the step runs where it stands,
/// and no command is made. None where the long way is to be gone, which also has the errors.
fn at_once(op: &'static Elementwise, ins: &[In]) -> Option<Tensor> {
    // what is written for a known number of operands needs no loops
    match ins {
        [a] => at_once_of(op, [a]),
        [a, b] => at_once_of(op, [a, b]),
        [a, b, c] => at_once_of(op, [a, b, c]),
        [a, b, c, d] => at_once_of(op, [a, b, c, d]),
        _ => None,
    }
}

fn at_once_of<const N: usize>(op: &'static Elementwise, ins: [&In; N]) -> Option<Tensor> {
    use crate::stream::Now;
    if matches!(op.rule, Rule::Logical | Rule::Bitwise | Rule::Where | Rule::Int) {
        return None;
    }
    // read for as long as the step runs; one tensor may stand at several places
    let bodies = ins.map(|i| match i {
        In::T(t) => Some(t.0.body.read_recursive()),
        In::S(_) => None,
    });
    let mut srcs = [Now::Scalar(Scalar::Int(0)); N];
    let mut first: Option<&Body> = None;
    let mut same = true;
    for i in 0..N {
        srcs[i] = match (ins[i], &bodies[i]) {
            // a bool is refused there
            (In::S(Scalar::Bool(_)), _) if op.rule == Rule::Sub => return None,
            // makes the result complex
            (In::S(Scalar::Complex(_)), _) => return None,
            (In::S(s), _) => Now::Scalar(*s),
            (In::T(_), Some(body)) if body.storage.device == Device::Cpu => {
                match first {
                    None => first = Some(body),
                    Some(f) if f.dtype != body.dtype => return None,
                    Some(f) => same &= f.layout.shape == body.layout.shape,
                }
                match body.storage.as_constant() {
                    Some(value) if body.storage.dtype == body.dtype => Now::Scalar(value),
                    Some(_) => return None,
                    None => Now::Tensor(&body.storage, &body.layout),
                }
            }
            (In::T(_), _) => return None,
        };
    }
    let first = first?;
    let dtype = first.dtype;
    if !matches!(dtype, DType::F32 | DType::F64) {
        return None;
    }
    let mut shape = Dims::from_slice(&first.layout.shape);
    if !same {
        for body in bodies.iter().flatten() {
            shape = broadcast(&shape, &body.layout.shape).ok()?;
        }
    }
    let natural = if op.row.bool_out { DType::Bool } else { dtype };
    let storage = stream::now(op.row, dtype, natural, srcs, &shape)?;
    let body = Body { storage, layout: Layout::contiguous(shape), dtype: natural, version: None };
    drop(bodies);
    Some(Tensor::from_body(body, None))
}

/// The long way: checks, and a command for the stream.
fn recorded(op: &'static Elementwise, ins: &[In], location: &'static Location<'static>) -> Result<Tensor> {
    let mut srcs = snapshot(ins);
    let plan = plan(op, &srcs)?;
    check_kernel(op, plan.compute)?;
    for (src, operand) in srcs.iter_mut().zip(ins) {
        fit(src, operand, &plan.shape, plan.device)?;
    }
    let storage = Storage::new(plan.device, plan.natural, crate::shape::numel(&plan.shape));
    let arg = Arg { storage: storage.shared().clone(), dtype: plan.natural, layout: Layout::contiguous(plan.shape) };
    let body = Body { storage, layout: arg.layout.clone(), dtype: plan.natural, version: None };
    stream::point(PointCmd {
        action: Action::Row(op.row),
        dtype: plan.compute,
        natural: plan.natural,
        srcs,
        out: arg,
        fresh: true,
        location,
    })?;
    Ok(Tensor::from_body(body, None))
}

/// Runs an elementwise op into its first operand, through whatever view that is.
#[track_caller]
pub fn elementwise_(op: &'static Elementwise, ins: &[In]) -> Result<()> {
    let _span = trace::span(trace::Kind::Op, op.row.name);
    let location = Location::caller();
    let In::T(target) = ins[0] else { bail!(Type, "{}_: the first operand has to be a tensor", op.row.name) };
    let mut srcs = snapshot(ins);
    let plan = plan(op, &srcs)?;
    let (shape, dtype) = target.with_body(|b| (b.layout.shape.clone(), b.dtype));
    ensure!(
        can_cast(plan.natural, dtype),
        Runtime,
        "result type {} can't be cast to the desired output type {}",
        plan.natural.scalar_name(),
        dtype.scalar_name()
    );
    ensure!(
        plan.shape == shape,
        Runtime,
        "output with shape {:?} doesn't match the broadcast shape {:?}",
        &shape[..],
        &plan.shape[..]
    );
    ensure!(
        plan.device == target.device(),
        Runtime,
        "Expected all tensors to be on the same device, but found at least two devices, {} and {}! ({}_)",
        target.device(),
        plan.device,
        op.row.name
    );
    check_kernel(op, plan.compute)?;
    ensure!(
        !dtype.is_complex() || plan.natural == plan.compute || op.row.bool_out,
        Runtime,
        "In-place {} is not supported for complex tensors.",
        op.row.name
    );
    let needs = needs(ins);
    check_inplace(target, needs != 0)?;
    let out = target.arg();
    for (src, operand) in srcs.iter_mut().zip(ins) {
        fit(src, operand, &shape, plan.device)?;
        if let (Src::Tensor(a), In::T(t)) = (&*src, operand)
            && Arc::ptr_eq(&a.storage, &out.storage)
            && !a.same(&out)
        {
            super::inplace::check_overlap(&out, t)?;
            *src = source(&In::T(&t.detach().copy_now()?), &shape, plan.device)?;
        }
    }
    // with its history: derivatives of the derivative go through what was there before
    let before = ((op.saves)(needs) & 1 != 0).then(|| cast(target, dtype, &CLONE, location)).transpose()?;
    // the tape's edges are those of the operands as they were before the write
    // PyTorch records nothing for a logical op in place: the target keeps its history
    let recorded = needs != 0 && dtype.is_differentiable() && op.rule != Rule::Logical;
    let node = recorded.then(|| record(op, ins, needs, before.as_ref()));
    stream::point(PointCmd {
        action: Action::Row(op.row),
        dtype: plan.compute,
        natural: plan.natural,
        srcs,
        out,
        fresh: false,
        location,
    })?;
    finish_inplace(target, node);
    Ok(())
}

fn cast_vjp(cx: &Ctx) -> Result<Grads> {
    // the engine brings the gradient to the input's dtype and device
    Ok(super::one_grad(cx.g().clone()))
}

/// The complex conjugate, which the tape needs, too.
pub static CONJ: Elementwise = Elementwise {
    row: &complex::CONJ,
    rule: Rule::Common,
    node: "ConjBackward0",
    saves: |_| 0,
    vjp: |cx| Ok(super::one_grad(conj(cx.g())?)),
};

/// The conjugate of a complex tensor; a real one itself.
pub(super) fn conj(t: &Tensor) -> Result<Tensor> {
    if t.dtype().is_complex() { elementwise(&CONJ, &[In::T(t)]) } else { Ok(t.clone()) }
}

static TO_COPY: Elementwise = Elementwise {
    row: &crate::num::rows::POSITIVE,
    rule: Rule::Common,
    node: "ToCopyBackward0",
    saves: |_| 0,
    vjp: cast_vjp,
};

static CLONE: Elementwise = Elementwise {
    row: &crate::num::rows::POSITIVE,
    rule: Rule::Common,
    node: "CloneBackward0",
    saves: |_| 0,
    vjp: cast_vjp,
};

/// A new contiguous tensor of another dtype on the same device (always a copy).
///
/// # Panics
/// If a host view is held that writes the memory.
#[track_caller]
pub fn to_dtype(t: &Tensor, dtype: DType) -> Tensor {
    super::unwrap(try_to_dtype(t, dtype))
}

/// [`to_dtype`] with its error as a value.
#[track_caller]
pub fn try_to_dtype(t: &Tensor, dtype: DType) -> Result<Tensor> {
    let node = if t.dtype() == dtype { &CLONE } else { &TO_COPY };
    cast(t, dtype, node, Location::caller())
}

fn cast(t: &Tensor, dtype: DType, node: &'static Elementwise, location: &'static Location<'static>) -> Result<Tensor> {
    let _span = trace::span(trace::Kind::Op, if t.dtype() == dtype { "clone" } else { "_to_copy" });
    let arg = t.arg();
    let shape = arg.layout.shape.clone();
    let constant = arg.storage.as_constant().filter(|_| arg.storage.dtype == arg.dtype);
    let device = arg.storage.device;
    let storage = match constant {
        Some(value) => {
            let value = value.as_dtype(arg.dtype).as_dtype(dtype);
            Storage::constant(device, dtype, crate::shape::numel(&shape), value)
        }
        None => Storage::new(device, dtype, crate::shape::numel(&shape)),
    };
    let out = Tensor::from_storage(storage, &shape, dtype);
    if constant.is_none() {
        stream::point(PointCmd {
            action: Action::Cast,
            dtype: arg.dtype,
            natural: dtype,
            srcs: std::iter::once(Src::Tensor(arg)).collect(),
            out: out.arg(),
            fresh: true,
            location,
        })?;
    }
    let ins = [In::T(t)];
    let needs = needs(&ins);
    if needs != 0 && dtype.is_differentiable() {
        out.set_history(record(node, &ins, needs, None)(&out), 0);
    }
    Ok(out)
}

impl Tensor {
    /// A contiguous copy without history.
    pub(crate) fn copy_now(&self) -> Result<Tensor> {
        let was = super::set_grad_enabled(false);
        let out = cast(self, self.dtype(), &CLONE, Location::caller());
        super::set_grad_enabled(was);
        out
    }
}

/// Writes `src`, broadcast and converted, over the elements of `target`; no history, no version.
pub fn copy_into(target: &Tensor, src: In, location: &'static Location<'static>) -> Result<()> {
    let _span = trace::span(trace::Kind::Op, "copy_");
    let out = target.arg();
    let shape = out.layout.shape.clone();
    let mut src = match (&src, out.storage.device) {
        (In::T(t), device) if t.device() != device && t.dim() > 0 => {
            source(&In::T(&t.to_device(device)?), &shape, device)?
        }
        (_, device) => source(&src, &shape, device)?,
    };
    if let Src::Tensor(a) = &src
        && Arc::ptr_eq(&a.storage, &out.storage)
        && !a.same(&out)
    {
        // overlapping memory: read all of it before any of it is written
        let view = Tensor::from_body(
            super::Body { storage: target.body().storage, layout: a.layout.clone(), dtype: a.dtype, version: None },
            None,
        );
        src = source(&In::T(&view.copy_now()?), &shape, out.storage.device)?;
    }
    let dtype = match &src {
        Src::Tensor(a) => a.dtype,
        Src::Scalar(s) => match (s, out.dtype.category()) {
            // numbers go straight to the target's dtype
            (_, Category::Complex) | (Scalar::Float(_), Category::Float) => out.dtype,
            (Scalar::Float(_), _) => DType::F64,
            _ => out.dtype,
        },
    };
    stream::point(PointCmd {
        action: Action::Cast,
        dtype,
        natural: out.dtype,
        srcs: std::iter::once(src).collect(),
        out,
        fresh: false,
        location,
    })?;
    Ok(())
}
