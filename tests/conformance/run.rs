//! One case on one device: make the arguments, call, compare results, gradients and changed arguments.

use crate::call::{Arg, Call, Maker, Stop, Value};
use crate::case::{Folder, Host};
use crate::compare::{self, Expected, Tolerance, tensor_name};
use crate::{modules, optim, table};
use serde_json::Value as Json;
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use wgtorch::autograd::{GradOptions, grad};
use wgtorch::{Device, Error, Tensor};

/// How a case ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    Passed,
    Failed(String),
    /// The op, the dtype or this form of the op is not there.
    Unsupported(String),
    /// A call that Rust's types rule out.
    Untyped(String),
}

thread_local! {
    static PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Keeps panics' texts for the report instead of printing them.
pub fn keep_panics() {
    std::panic::set_hook(Box::new(|info| {
        let text = info.payload();
        let text = text.downcast_ref::<&str>().copied().or(text.downcast_ref::<String>().map(String::as_str));
        let text = text.unwrap_or("a panic without a text");
        let at = info.location().map_or(String::new(), |l| format!(" ({}:{})", l.file(), l.line()));
        PANIC.set(format!("{text}{at}"));
    }));
}

/// Runs one case.
pub fn case(folder: &Folder, case: &Json, device: Device) -> Outcome {
    let done = catch_unwind(AssertUnwindSafe(|| {
        let result = if case.get("error").is_some() {
            expect_error(folder, case, device)
        } else if case.get("module").is_some() {
            modules::case(folder, case, device)
        } else if case.get("optim").is_some() {
            optim::case(folder, case, device)
        } else {
            ordinary(folder, case, device)
        };
        // what is still under way belongs to this case, not to the next one
        match (result, device.synchronize()) {
            (Ok(()), Err(e)) if case.get("error").is_none() => Err(Stop::Error(e)),
            (result, _) => result,
        }
    }));
    match done {
        Ok(Ok(())) => Outcome::Passed,
        Ok(Err(stop)) => outcome(case, stop),
        Err(_) => {
            let _ = catch_unwind(AssertUnwindSafe(|| device.synchronize()));
            Outcome::Failed(format!("panic: {}", PANIC.take()))
        }
    }
}

fn outcome(case: &Json, stop: Stop) -> Outcome {
    // dtypes that compute in this release; the others may still refuse
    let core = matches!(case["dtype"].as_str(), Some("float32" | "float64" | "int64" | "bool"));
    match stop {
        Stop::Error(Error::NotImplemented(m)) if !core => Outcome::Unsupported(m),
        Stop::Error(e) => Outcome::Failed(format!("error: {e}")),
        Stop::Unsupported(m) => Outcome::Unsupported(m),
        Stop::Untyped(m) if case.get("error").is_some() => Outcome::Untyped(m),
        Stop::Untyped(m) => Outcome::Unsupported(m),
        Stop::Wrong(m) => Outcome::Failed(m),
    }
}

/// A case's call, ready to run.
struct Prepared<'a> {
    maker: Maker<'a>,
    call: Call,
    row: &'static table::Row,
}

fn prepare<'a>(folder: &'a Folder, case: &Json, device: Device) -> Result<Prepared<'a>, Stop> {
    let op = case["op"].as_str().unwrap_or_default();
    let row = table::find(op).ok_or_else(|| Stop::Unsupported("no such op yet".into()))?;
    let mut maker = Maker { folder, device, tensors: HashMap::new() };
    for name in wrt(case) {
        maker.tensor(name)?.checked().requires_grad_(true)?;
    }
    let mut args = Vec::new();
    for a in case["args"].as_array().into_iter().flatten() {
        args.push(maker.arg(a)?);
    }
    let mut kwargs = Vec::new();
    for (k, v) in case["kwargs"].as_object().into_iter().flatten() {
        kwargs.push((k.clone(), maker.arg(v)?));
    }
    if args.iter().chain(kwargs.iter().map(|(_, a)| a)).any(|a| matches!(a, Arg::OtherDType)) {
        return Err(Stop::Unsupported("a dtype that is not there".into()));
    }
    if case.get("inplace") == Some(&Json::Bool(true))
        && let Some(Arg::Tensor(t)) = args.first_mut()
    {
        *t = t.checked().copy()?;
    }
    let call = Call::bind(row.params, args, kwargs, device)?;
    Ok(Prepared { maker, call, row })
}

/// Names of the tensors whose gradients a case checks.
pub fn wrt(case: &Json) -> impl Iterator<Item = &str> {
    case.get("vjp").and_then(|v| v["wrt"].as_array()).into_iter().flatten().filter_map(Json::as_str)
}

fn ordinary(folder: &Folder, case: &Json, device: Device) -> Result<(), Stop> {
    let Prepared { maker, call, row } = prepare(folder, case, device)?;
    let mut got = (row.run)(&call)?;
    if case.get("inplace") == Some(&Json::Bool(true))
        && let Some(Arg::Tensor(t)) = call.all().next()
    {
        got = Value::Tensor(t.clone());
    }
    on_device(&got, device)?;
    let input = call.all().find_map(|a| if let Arg::Tensor(t) = a { Some(t) } else { None });
    let dim = call.int_or("dim", -1).unwrap_or(-1);
    Expected { folder, case, input, dim }.outputs(&got)?;
    if let Some(vjp) = case.get("vjp") {
        gradients(&maker, &got, vjp, &case["tol"])?;
    }
    for (name, value) in case.get("args_after").and_then(Json::as_object).into_iter().flatten() {
        let (Some(t), Some(expected)) = (maker.tensors.get(name), compare::stored(folder, value)?) else {
            return Err(Stop::Wrong(format!("argument {name} is no tensor")));
        };
        let rtol = case["tol"]["rtol"].as_f64().unwrap_or(0.0);
        let tol = Tolerance { atol: 5e-5, rtol, slack: 0.0, elementwise: None };
        compare::hosts(&format!("argument {name} afterwards"), &Host::read(t)?, &expected, &tol)?;
    }
    Ok(())
}

/// A result on another device would pass the comparison and still be wrong.
pub fn on_device(got: &Value, device: Device) -> Result<(), Stop> {
    let mut tensors = Vec::new();
    got.tensors(&mut tensors);
    match tensors.iter().find(|t| t.device() != device) {
        Some(t) => Err(Stop::Wrong(format!("a result is on {}, not on {device}", t.device()))),
        None => Ok(()),
    }
}

/// The gradients of a call's results, by name in `maker`.
pub fn gradients(maker: &Maker, got: &Value, vjp: &Json, tol: &Json) -> Result<(), Stop> {
    let mut outputs = Vec::new();
    got.tensors(&mut outputs);
    let mut cotangents = Vec::new();
    let mut roots = Vec::new();
    let given = vjp["cotangents"].as_array().map_or(&[][..], |a| &a[..]);
    if given.len() != outputs.len() {
        return Err(Stop::Wrong(format!("{} cotangents for {} outputs", given.len(), outputs.len())));
    }
    for (t, c) in outputs.iter().zip(given) {
        let Some(name) = tensor_name(c) else { continue };
        let stored =
            maker.folder.tensors.get(name).ok_or_else(|| Stop::Wrong(format!("the folder has no tensor {name}")))?;
        cotangents.push(stored.upload(maker.device)?);
        roots.push(*t);
    }
    let names: Vec<&str> = vjp["wrt"].as_array().into_iter().flatten().filter_map(Json::as_str).collect();
    let inputs: Vec<&Tensor> = names.iter().filter_map(|n| maker.tensors.get(*n)).collect();
    let seeds: Vec<Option<&Tensor>> = cotangents.iter().map(Some).collect();
    let grads = grad(&roots, &inputs, &seeds, GradOptions::new().allow_unused(true))?;
    for (i, ((name, g), expected)) in
        names.iter().zip(&grads).zip(vjp["grads"].as_array().into_iter().flatten()).enumerate()
    {
        let what = format!("gradient of {}", name.rsplit('/').next().unwrap_or(name));
        match (g, compare::stored(maker.folder, expected)?) {
            (None, None) => {}
            (Some(g), Some(e)) => compare::hosts(&what, &Host::read(g)?, &e, &Tolerance::of(tol, "grad_err", i))?,
            (None, Some(_)) => return Err(Stop::Wrong(format!("{what}: none"))),
            (Some(_), None) => return Err(Stop::Wrong(format!("{what}: there is one, and PyTorch has none"))),
        }
    }
    Ok(())
}

/// The error of a case's call: at once, or, where only the device can see it, at the next wait. None if there was none.
pub fn raised(folder: &Folder, case: &Json, device: Device) -> Result<Option<Error>, Stop> {
    let Prepared { maker, call, row } = prepare(folder, case, device)?;
    let error = match (row.run)(&call) {
        Ok(v) => {
            let mut tensors = Vec::new();
            v.tensors(&mut tensors);
            let read = tensors.iter().find_map(|t| Host::read(t).err());
            read.or_else(|| device.synchronize().err())
        }
        Err(Stop::Error(e)) => Some(e),
        Err(other) => return Err(other),
    };
    if error.is_some() {
        for (name, t) in &maker.tensors {
            let (now, before) = (Host::read(t)?, folder.tensors[name].host());
            if format!("{now:?}") != format!("{before:?}") {
                return Err(Stop::Wrong(format!("the call failed and changed {name}")));
            }
        }
    }
    Ok(error)
}

/// The call has to fail, and to leave its arguments as they were.
fn expect_error(folder: &Folder, case: &Json, device: Device) -> Result<(), Stop> {
    if raised(folder, case, device)?.is_some() {
        return Ok(());
    }
    let (kind, message) =
        (case["error"]["type"].as_str().unwrap_or(""), case["error"]["message"].as_str().unwrap_or(""));
    Err(Stop::Wrong(format!("no error; PyTorch raises {kind}: {message}")))
}

/// Ops of the table, to check the lists against.
pub fn known_ops() -> HashSet<&'static str> {
    let others = optim::ROWS.iter().map(|r| r.name).chain(table::modules::all().map(|r| r.name));
    table::all_rows().map(|r| r.name).chain(others).collect()
}
