//! Expected against got: shapes and dtypes exactly, integers exactly, floats within the case's tolerance.

use crate::call::{Stop, Value, float_name};
use crate::case::{Data, Folder, Host};
use crate::factors;
use serde_json::Value as Json;
use wgtorch::{Complex, Tensor};

/// How far one tensor may be off.
#[derive(Clone, Copy, Debug)]
pub struct Tolerance {
    pub atol: f64,
    pub rtol: f64,
    /// `k * a`: room for what PyTorch itself is off by.
    pub slack: f64,
    /// Relative accuracy instead of all that.
    pub elementwise: Option<f64>,
}

impl Tolerance {
    pub fn allowed(&self, expected: f64) -> f64 {
        match self.elementwise {
            Some(r) => 1e-37 + r * expected.abs(),
            None => self.atol + self.rtol * expected.abs() + self.slack,
        }
    }

    /// For one tensor of a case: `errors` is the case's `out_err` or `grad_err`, `i` the tensor's place in it.
    pub fn of(tol: &Json, errors: &str, i: usize) -> Tolerance {
        let number = |k: &str| tol.get(k).and_then(Json::as_f64).unwrap_or(0.0);
        let k = number("k");
        let a = tol.get(errors).and_then(|e| e.get(i)).and_then(|e| e.get(0)).and_then(value_as_float).unwrap_or(0.0);
        let elementwise = (errors == "out_err").then(|| tol.get("elementwise").and_then(value_as_float)).flatten();
        let rtol = number("rtol");
        Tolerance { atol: number("atol"), rtol, slack: k * a, elementwise: elementwise.map(|r| rtol.max(k * r)) }
    }
}

fn value_as_float(v: &Json) -> Option<f64> {
    v.as_f64().or_else(|| v.get("f").and_then(Json::as_str).map(float_name))
}

fn wrong<T>(what: &str, text: String) -> Result<T, Stop> {
    Err(Stop::Wrong(format!("{what}: {text}")))
}

fn close(got: f64, expected: f64, tol: &Tolerance) -> bool {
    if expected.is_nan() || got.is_nan() {
        return expected.is_nan() && got.is_nan();
    }
    if expected.is_infinite() || got.is_infinite() {
        return got == expected;
    }
    (got - expected).abs() <= tol.allowed(expected)
}

/// By the magnitude of what they differ by; part by part where one is not finite.
fn close_complex(got: Complex<f64>, expected: Complex<f64>, tol: &Tolerance) -> bool {
    if !got.is_finite() || !expected.is_finite() {
        return close(got.re, expected.re, tol) && close(got.im, expected.im, tol);
    }
    (got - expected).norm() <= tol.allowed(expected.norm())
}

/// One tensor against its stored twin.
pub fn hosts(what: &str, got: &Host, expected: &Host, tol: &Tolerance) -> Result<(), Stop> {
    form(what, got, expected)?;
    let report = |bad: Vec<(usize, String)>| match bad.first() {
        None => Ok(()),
        Some((i, text)) => wrong(what, format!("{text} at element {i}; {} of {} differ", bad.len(), got.numel())),
    };
    match (&got.data, &expected.data) {
        (Data::Int(g), Data::Int(e)) => report(
            g.iter()
                .zip(e)
                .enumerate()
                .filter(|(_, (g, e))| g != e)
                .map(|(i, (g, e))| (i, format!("got {g}, expected {e}")))
                .collect(),
        ),
        (Data::Float(g), Data::Float(e)) => report(
            g.iter()
                .zip(e)
                .enumerate()
                .filter(|(_, (g, e))| !close(**g, **e, tol))
                .map(|(i, (g, e))| (i, format!("got {g:e}, expected {e:e} within {:e}", tol.allowed(*e))))
                .collect(),
        ),
        (Data::Complex(g), Data::Complex(e)) => report(
            g.iter()
                .zip(e)
                .enumerate()
                .filter(|(_, (g, e))| !close_complex(**g, **e, tol))
                .map(|(i, (g, e))| (i, format!("got {g:e}, expected {e:e} within {:e}", tol.allowed(e.norm()))))
                .collect(),
        ),
        _ => wrong(what, "one is of floats, the other is not".into()),
    }
}

/// Shape and dtype alone.
fn form(what: &str, got: &Host, expected: &Host) -> Result<(), Stop> {
    if got.dtype != expected.dtype {
        return wrong(what, format!("dtype {}, expected {}", got.dtype.name(), expected.dtype.name()));
    }
    if got.shape != expected.shape {
        return wrong(what, format!("shape {:?}, expected {:?}", got.shape, expected.shape));
    }
    Ok(())
}

/// The NAME of a stored tensor; None for other values.
pub fn tensor_name(v: &Json) -> Option<&str> {
    v.get("t").and_then(Json::as_str)
}

/// A stored tensor decoded.
pub fn stored(folder: &Folder, v: &Json) -> Result<Option<Host>, Stop> {
    let Some(name) = tensor_name(v) else { return Ok(None) };
    match folder.tensors.get(name) {
        Some(t) => Ok(Some(t.host())),
        None => Err(Stop::Wrong(format!("the folder has no tensor {name}"))),
    }
}

/// What a case's results are compared with, and how.
pub struct Expected<'a> {
    pub folder: &'a Folder,
    pub case: &'a Json,
    /// The tensor that index results point into, and the dim they run along (`ties`), or the matrix (`svd`, `eigh`).
    pub input: Option<&'a Tensor>,
    pub dim: isize,
}

impl Expected<'_> {
    fn mode(&self) -> &str {
        self.case.get("compare").and_then(Json::as_str).unwrap_or("")
    }

    /// All of a call's results.
    pub fn outputs(&self, got: &Value) -> Result<(), Stop> {
        let tol = &self.case["tol"];
        let mut tensors = Vec::new();
        self.tree("output", got, &self.case["out"], &mut tensors)?;
        let pairs = tensors
            .iter()
            .map(|(path, t, e)| Ok((path.clone(), Host::read(t)?, e.clone())))
            .collect::<Result<Vec<_>, Stop>>()?;
        let last = pairs.len().wrapping_sub(1);
        let factored = matches!(self.mode(), "qr" | "svd" | "eigh");
        for (i, (path, g, e)) in pairs.iter().enumerate() {
            let t = Tolerance::of(tol, "out_err", i);
            match self.mode() {
                "shape" => form(path, g, e)?,
                "ties" if i == last && self.has_indices(pairs.len()) => self.ties(path, g, e)?,
                "multiset" => hosts(path, &sorted(g), &sorted(e), &t)?,
                _ if factored => form(path, g, e)?,
                _ => hosts(path, g, e, &t)?,
            }
        }
        if factored {
            let (got, expected): (Vec<_>, Vec<_>) = pairs.into_iter().map(|(_, g, e)| (g, e)).unzip();
            let input = self.input.map(Host::read).transpose()?;
            let tols: Vec<_> = (0..got.len()).map(|i| Tolerance::of(tol, "out_err", i)).collect();
            let upper =
                self.case["kwargs"].get("UPLO").or(self.case["args"].get(1)).and_then(Json::as_str) == Some("U");
            return factors::check(self.mode(), &got, &expected, input.as_ref(), upper, &tols);
        }
        Ok(())
    }

    /// Walks both trees: compares plain values and collects the tensors.
    fn tree<'v>(
        &self,
        path: &str,
        got: &'v Value,
        expected: &Json,
        out: &mut Vec<(String, &'v Tensor, Host)>,
    ) -> Result<(), Stop> {
        match (got, expected) {
            (Value::Tensor(t), _) => match stored(self.folder, expected)? {
                Some(h) => out.push((path.into(), t, h)),
                None => return wrong(path, format!("a tensor, expected {expected}")),
            },
            (Value::List(g), Json::Array(e)) => {
                if g.len() != e.len() {
                    return wrong(path, format!("{} results, expected {}", g.len(), e.len()));
                }
                for (i, (g, e)) in g.iter().zip(e).enumerate() {
                    self.tree(&format!("{path}[{i}]"), g, e, out)?;
                }
            }
            (Value::Int(g), e) if e.as_i64() == Some(*g) => {}
            (Value::Bool(g), e) if e.as_bool() == Some(*g) => {}
            (Value::Float(g), e) if e.as_i64().is_none() && value_as_float(e).is_some() => {
                let mut tol = Tolerance::of(&self.case["tol"], "", 0);
                tol.slack = 0.0;
                let e = value_as_float(e).unwrap_or(f64::NAN);
                if !close(*g, e, &tol) {
                    return wrong(path, format!("got {g}, expected {e}"));
                }
            }
            (Value::Complex(g), Json::Object(o)) if o.contains_key("c") => {
                let part = |i: usize| o["c"].get(i).and_then(value_as_float).unwrap_or(f64::NAN);
                let (e, tol) = (Complex::new(part(0), part(1)), Tolerance::of(&self.case["tol"], "", 0));
                if !close_complex(*g, e, &Tolerance { slack: 0.0, ..tol }) {
                    return wrong(path, format!("got {g}, expected {e}"));
                }
            }
            (Value::List(_), e) => return wrong(path, format!("a list, expected {e}")),
            (Value::Int(g), e) => return wrong(path, format!("got {g}, expected {e}")),
            (Value::Bool(g), e) => return wrong(path, format!("got {g}, expected {e}")),
            (Value::Float(g), e) => return wrong(path, format!("got {g}, expected {e}")),
            (Value::Complex(g), e) => return wrong(path, format!("got {g}, expected {e}")),
        }
        Ok(())
    }

    /// Whether the last of so many outputs is one of indices: the second of a pair, or all that such an op gives.
    fn has_indices(&self, outputs: usize) -> bool {
        outputs == 2 || self.case["op"].as_str().is_some_and(|op| op.starts_with("arg"))
    }

    /// Indices may differ where they select equal values.
    fn ties(&self, path: &str, got: &Host, expected: &Host) -> Result<(), Stop> {
        form(path, got, expected)?;
        let (Data::Int(g), Data::Int(e)) = (&got.data, &expected.data) else {
            return wrong(path, "indices have to be integers".into());
        };
        let Some(input) = self.input else { return wrong(path, "ties without an input".into()) };
        let input = Host::read(input)?;
        let n = input.shape.len();
        let dim = if self.dim < 0 { (self.dim + n.max(1) as isize) as usize } else { self.dim as usize };
        let mut index_shape = got.shape.clone();
        if index_shape.len() < n {
            index_shape.insert(dim, 1);
        }
        let value = |flat: usize, index: i64| -> Option<f64> {
            let (mut rest, mut at, mut stride) = (flat, 0usize, 1usize);
            for d in (0..n).rev() {
                let coordinate = rest % index_shape[d];
                rest /= index_shape[d];
                let coordinate = if d == dim { usize::try_from(index).ok()? } else { coordinate };
                if coordinate >= input.shape[d] {
                    return None;
                }
                at += coordinate * stride;
                stride *= input.shape[d];
            }
            Some(match &input.data {
                Data::Float(v) => v[at],
                Data::Int(v) => v[at] as f64,
                // they have no order, so nothing of them has ties
                Data::Complex(_) => return None,
            })
        };
        for (i, (g, e)) in g.iter().zip(e).enumerate() {
            let (vg, ve) = (value(i, *g), value(i, *e));
            let same = vg == ve || matches!((vg, ve), (Some(a), Some(b)) if a.is_nan() && b.is_nan());
            if g != e && !(same && vg.is_some()) {
                return wrong(path, format!("index {g} at element {i}, expected {e}, which selects another value"));
            }
        }
        Ok(())
    }
}

fn sorted(h: &Host) -> Host {
    let mut h = h.clone();
    match &mut h.data {
        Data::Float(v) => v.sort_by(f64::total_cmp),
        Data::Int(v) => v.sort(),
        Data::Complex(v) => v.sort_by(|a, b| a.re.total_cmp(&b.re).then(a.im.total_cmp(&b.im))),
    }
    h
}
