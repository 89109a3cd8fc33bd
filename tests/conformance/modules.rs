//! Modules: build one, load its state, call it, and compare outputs, gradients of inputs and parameters, and buffers.

use crate::call::{Call, Maker, Stop, Value};
use crate::case::{Folder, Host};
use crate::compare::{self, Expected, Tolerance, hosts};
use crate::run;
use crate::table::modules;
use serde_json::Value as Json;
use std::collections::HashMap;
use wgtorch::nn::StateDict;
use wgtorch::{Device, To};

/// Arguments as the binder takes them.
fn bound(maker: &mut Maker, params: &str, from: &Json) -> Result<Call, Stop> {
    let args = from["args"].as_array().into_iter().flatten().map(|a| maker.arg(a)).collect::<Result<_, _>>()?;
    let named = from["kwargs"].as_object().into_iter().flatten();
    let kwargs = named.map(|(k, v)| Ok((k.clone(), maker.arg(v)?))).collect::<Result<_, Stop>>()?;
    Call::bind(params, args, kwargs, maker.device)
}

/// Runs one case of a module.
pub fn case(folder: &Folder, case: &Json, device: Device) -> Result<(), Stop> {
    let op = case["op"].as_str().unwrap_or_default();
    let row = modules::find(op).ok_or_else(|| Stop::Unsupported("no such module yet".into()))?;
    let mut maker = Maker { folder, device, tensors: HashMap::new() };
    let settings = &case["module"];
    let call = bound(&mut maker, row.params, settings)?;
    let dtype = if case["dtype"] == "float64" { wgtorch::DType::F64 } else { wgtorch::DType::F32 };
    let built = (row.build)(&call, To::from((device, dtype)))?;
    let module = &*built.module;

    // the names, shapes and order have to be the module's own
    let entries = settings["state"].as_object().into_iter().flatten();
    let state = entries.map(|(name, v)| {
        let stored = compare::tensor_name(v).ok_or_else(|| Stop::Wrong(format!("state {name} is no tensor")))?;
        Ok((name.clone(), maker.tensor(stored)?))
    });
    let state: StateDict = state.collect::<Result<Vec<_>, Stop>>()?.into_iter().collect();
    module.load_state_dict(&state, true)?;
    module.set_training(settings["training"] == true);
    let parameters = module.named_parameters();
    let names: Vec<&str> = settings["params"].as_array().into_iter().flatten().filter_map(Json::as_str).collect();
    if !parameters.iter().map(|(n, _)| &n[..]).eq(names.iter().copied()) {
        let own: Vec<&str> = parameters.iter().map(|(n, _)| &n[..]).collect();
        return Err(Stop::Wrong(format!("parameters {own:?}, expected {names:?}")));
    }

    // gradients are asked for by name, those of parameters as `param:NAME`; no other parameter takes one
    let wrt: Vec<&str> = run::wrt(case).collect();
    for (name, p) in &parameters {
        let name = format!("param:{name}");
        p.checked().requires_grad_(wrt.contains(&&name[..]))?;
        maker.tensors.insert(name, p.clone());
    }
    for name in &wrt {
        maker.tensor(name)?.checked().requires_grad_(true)?;
    }
    let inputs = bound(&mut maker, row.inputs, case)?;
    let got: Value = (built.run)(&inputs)?;
    run::on_device(&got, device)?;
    Expected { folder, case, input: None, dim: -1 }.outputs(&got)?;
    if let Some(vjp) = case.get("vjp") {
        run::gradients(&maker, &got, vjp, &case["tol"])?;
    }
    let after = module.state_dict();
    for (name, value) in settings["state_after"].as_object().into_iter().flatten() {
        let (Some(t), Some(expected)) = (after.get(name), compare::stored(folder, value)?) else {
            return Err(Stop::Wrong(format!("no state {name} afterwards")));
        };
        let tol = Tolerance { atol: 5e-5, ..Tolerance::of(&case["tol"], "", 0) };
        hosts(&format!("state {name} afterwards"), &Host::read(t)?, &expected, &tol)?;
    }
    Ok(())
}
