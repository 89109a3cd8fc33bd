//! Optimizers: the parameters after every step, and what the optimizer remembers at the end.

use crate::call::{Arg, Call, Maker, Stop};
use crate::case::{Folder, Host};
use crate::compare::{self, Tolerance, hosts};
use serde_json::Value as Json;
use std::collections::{BTreeSet, HashMap};
use wgtorch::optim::{Adam, AdamOptions, AdamW, Optimizer, SGD, SGDOptions};
use wgtorch::{Device, Tensor};

/// A class, PyTorch's argument names, and how it is made.
pub struct Row {
    pub name: &'static str,
    params: &'static str,
    make: Make,
}

type Make = fn(&Call, Vec<Tensor>) -> Result<Box<dyn Optimizer>, Stop>;

pub const ROWS: &[Row] = &[
    Row {
        name: "optim.SGD",
        params: "lr momentum dampening weight_decay nesterov maximize foreach differentiable fused",
        make: |c, params| {
            let options = SGDOptions::new(c.float_or("lr", 1e-3)?)
                .momentum(c.float_or("momentum", 0.0)?)
                .dampening(c.float_or("dampening", 0.0)?)
                .weight_decay(c.float_or("weight_decay", 0.0)?)
                .nesterov(c.flag("nesterov", false)?)
                .maximize(c.flag("maximize", false)?);
            Ok(Box::new(SGD::try_new(params, options)?))
        },
    },
    Row {
        name: "optim.Adam",
        params: "lr betas eps weight_decay amsgrad foreach maximize capturable differentiable fused decoupled_weight_decay",
        make: |c, params| {
            let options = AdamOptions::new(c.float_or("lr", 1e-3)?).weight_decay(c.float_or("weight_decay", 0.0)?);
            let options = adam(c, options)?.decoupled_weight_decay(c.flag("decoupled_weight_decay", false)?);
            Ok(Box::new(Adam::try_new(params, options)?))
        },
    },
    Row {
        name: "optim.AdamW",
        params: "lr betas eps weight_decay amsgrad maximize foreach capturable differentiable fused",
        make: |c, params| {
            let mut options = AdamW::options(c.float_or("lr", 1e-3)?);
            options = options.weight_decay(c.float_or("weight_decay", options.weight_decay)?);
            Ok(Box::new(AdamW::try_new(params, adam(c, options)?)?))
        },
    },
];

/// What Adam and AdamW have in common; arguments that only choose an implementation are taken and do nothing.
fn adam(c: &Call, options: AdamOptions) -> Result<AdamOptions, Stop> {
    let options = options.betas(betas(c)?).eps(c.float_or("eps", 1e-8)?).amsgrad(c.flag("amsgrad", false)?);
    Ok(options.maximize(c.flag("maximize", false)?))
}

fn betas(c: &Call) -> Result<(f64, f64), Stop> {
    match c.get("betas") {
        None => Ok((0.9, 0.999)),
        Some(Arg::List(l)) => match l[..] {
            [Arg::Float(a), Arg::Float(b)] => Ok((a, b)),
            _ => Err(Stop::Untyped("betas: takes two floats".into())),
        },
        Some(_) => Err(Stop::Untyped("betas: takes two floats".into())),
    }
}

/// Runs one case of an optimizer. Half way its state goes over to a new one by `state_dict`, which must change nothing.
pub fn case(folder: &Folder, case: &Json, device: Device) -> Result<(), Stop> {
    let op = case["op"].as_str().unwrap_or_default();
    let row = ROWS.iter().find(|r| r.name == op).ok_or_else(|| Stop::Unsupported("no such optimizer yet".into()))?;
    let mut maker = Maker { folder, device, tensors: HashMap::new() };
    let kwargs = case["kwargs"].as_object().into_iter().flatten();
    let kwargs = kwargs.map(|(k, v)| Ok((k.clone(), maker.arg(v)?))).collect::<Result<Vec<_>, Stop>>()?;
    let call = Call::bind(row.params, Vec::new(), kwargs, device)?;
    let setup = &case["optim"];
    let list = |v: &Json, maker: &mut Maker| -> Result<Vec<Option<Tensor>>, Stop> {
        v.as_array()
            .into_iter()
            .flatten()
            .map(|v| compare::tensor_name(v).map(|n| maker.tensor(n)).transpose())
            .collect()
    };
    let params: Vec<Tensor> = list(&setup["params"], &mut maker)?.into_iter().flatten().collect();
    for p in &params {
        p.checked().requires_grad_(true)?;
    }
    let mut optimizer = (row.make)(&call, params.clone())?;
    let steps = setup["grads"].as_array().map_or(&[][..], |a| &a[..]);
    let mut compared = 0;
    for (t, grads) in steps.iter().enumerate() {
        if t > 0 && t == steps.len() / 2 {
            let saved = optimizer.state_dict();
            optimizer = (row.make)(&call, params.clone())?;
            optimizer.load_state_dict(&saved)?;
        }
        for (p, g) in params.iter().zip(list(grads, &mut maker)?) {
            p.set_grad(g);
        }
        optimizer.step();
        for (i, p) in params.iter().enumerate() {
            let Some(expected) = compare::stored(folder, &case["out"][t][i])? else {
                return Err(Stop::Wrong(format!("no parameter {i} after step {t}")));
            };
            let tol = Tolerance::of(&case["tol"], "out_err", compared);
            hosts(&format!("parameter {i} after step {t}"), &Host::read(p)?, &expected, &tol)?;
            compared += 1;
        }
    }
    if compared == 0 {
        return Err(Stop::Wrong("nothing was compared".into()));
    }
    state(folder, case, &*optimizer)
}

/// The optimizer's state against PyTorch's: the same names, and close values.
fn state(folder: &Folder, case: &Json, optimizer: &dyn Optimizer) -> Result<(), Stop> {
    let saved = optimizer.state_dict();
    let tol = Tolerance { atol: 5e-5, ..Tolerance::of(&case["tol"], "", 0) };
    for (i, expected) in case["optim"]["state"].as_array().into_iter().flatten().enumerate() {
        let prefix = format!("state.{i}.");
        let own: BTreeSet<&str> = saved.keys().filter_map(|k| k.strip_prefix(&prefix)).collect();
        let theirs = expected.as_object().into_iter().flatten().filter(|(_, v)| !v.is_null());
        let names: BTreeSet<&str> = theirs.clone().map(|(k, _)| &k[..]).collect();
        if own != names {
            return Err(Stop::Wrong(format!("state of parameter {i}: {own:?}, expected {names:?}")));
        }
        for (name, value) in theirs {
            let (what, got) = (format!("{prefix}{name}"), &saved[&format!("{prefix}{name}")[..]]);
            match (compare::stored(folder, value)?, value.as_f64()) {
                (Some(e), _) => hosts(&what, &Host::read(got)?, &e, &tol)?,
                (None, Some(e)) if got.item::<f64>()? == e => {}
                _ => return Err(Stop::Wrong(format!("{what}: got {got}, expected {value}"))),
            }
        }
    }
    Ok(())
}
