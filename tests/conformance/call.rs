//! A case's arguments, bound to PyTorch's parameter names and handed to the table as Rust values.

use crate::case::Folder;
use serde_json::Value as Json;
use std::collections::HashMap;
use wgtorch::{Checked, Complex, DType, Device, Operand, Scalar, Tensor, TensorOptions};

/// Why a case ended before its results could be compared.
#[derive(Debug)]
pub enum Stop {
    /// The library answered with an error.
    Error(wgtorch::Error),
    /// The op, or this dtype or form of it, is not there.
    Unsupported(String),
    /// The arguments are of kinds that the Rust signature cannot be given.
    Untyped(String),
    /// A result differs.
    Wrong(String),
}

impl From<wgtorch::Error> for Stop {
    fn from(e: wgtorch::Error) -> Stop {
        Stop::Error(e)
    }
}

/// An argument.
#[derive(Clone, Debug)]
pub enum Arg {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(String),
    DType(DType),
    Tensor(Tensor),
    List(Vec<Arg>),
    Index(Vec<Arg>),
    Slice([Option<i64>; 3]),
    Ellipsis,
    Complex(Complex<f64>),
    /// A dtype that the library does not have.
    OtherDType,
}

impl Arg {
    fn kind(&self) -> &'static str {
        match self {
            Arg::None => "None",
            Arg::Bool(_) => "a bool",
            Arg::Int(_) => "an integer",
            Arg::Float(_) => "a float",
            Arg::Str(_) => "a string",
            Arg::DType(_) | Arg::OtherDType => "a dtype",
            Arg::Tensor(_) => "a tensor",
            Arg::List(_) => "a list",
            Arg::Index(_) | Arg::Slice(_) | Arg::Ellipsis => "an index",
            Arg::Complex(_) => "a complex number",
        }
    }
}

/// Makes the tensors of a case, each NAME once: the same name twice is one tensor twice.
pub struct Maker<'a> {
    pub folder: &'a Folder,
    pub device: Device,
    pub tensors: HashMap<String, Tensor>,
}

impl Maker<'_> {
    pub fn tensor(&mut self, name: &str) -> Result<Tensor, Stop> {
        if let Some(t) = self.tensors.get(name) {
            return Ok(t.clone());
        }
        let stored =
            self.folder.tensors.get(name).ok_or_else(|| Stop::Wrong(format!("the folder has no tensor {name}")))?;
        let t = stored.upload(self.device)?;
        self.tensors.insert(name.to_string(), t.clone());
        Ok(t)
    }

    pub fn arg(&mut self, v: &Json) -> Result<Arg, Stop> {
        Ok(match v {
            Json::Null => Arg::None,
            Json::Bool(b) => Arg::Bool(*b),
            Json::Number(n) => match n.as_i64() {
                Some(i) => Arg::Int(i),
                None => Arg::Float(n.as_f64().unwrap_or(f64::NAN)),
            },
            Json::String(s) => Arg::Str(s.clone()),
            Json::Array(a) => Arg::List(a.iter().map(|x| self.arg(x)).collect::<Result<_, _>>()?),
            Json::Object(o) => {
                if let Some(name) = o.get("t").and_then(Json::as_str) {
                    Arg::Tensor(self.tensor(name)?)
                } else if let Some(f) = o.get("f").and_then(Json::as_str) {
                    Arg::Float(float_name(f))
                } else if let Some(d) = o.get("dtype").and_then(Json::as_str) {
                    DType::ALL.iter().find(|x| x.name() == d).map_or(Arg::OtherDType, |x| Arg::DType(*x))
                } else if let Some(Json::Array(parts)) = o.get("index") {
                    Arg::Index(parts.iter().map(|x| self.arg(x)).collect::<Result<_, _>>()?)
                } else if let Some(Json::Array(s)) = o.get("slice") {
                    let at = |i: usize| s.get(i).and_then(Json::as_i64);
                    Arg::Slice([at(0), at(1), at(2)])
                } else if o.contains_key("ellipsis") {
                    Arg::Ellipsis
                } else if let Some(Json::Array(c)) = o.get("c") {
                    let part = |i: usize| match &c[i] {
                        Json::Object(o) => o.get("f").and_then(Json::as_str).map_or(f64::NAN, float_name),
                        v => v.as_f64().unwrap_or(f64::NAN),
                    };
                    Arg::Complex(Complex::new(part(0), part(1)))
                } else {
                    return Err(Stop::Wrong(format!("a value that the runner does not know: {v}")));
                }
            }
        })
    }
}

/// `nan`, `inf`, `-inf`.
pub fn float_name(s: &str) -> f64 {
    match s {
        "inf" => f64::INFINITY,
        "-inf" => f64::NEG_INFINITY,
        _ => f64::NAN,
    }
}

/// A call with its arguments by name.
pub struct Call {
    pub device: Device,
    args: Vec<(String, Arg)>,
}

type Get<T> = Result<T, Stop>;

fn untyped<T>(name: &str, wants: &str, got: &Arg) -> Get<T> {
    if let Arg::OtherDType = got {
        return Err(Stop::Unsupported("a dtype that is not there".into()));
    }
    Err(Stop::Untyped(format!("{name}: {wants}, not {}", got.kind())))
}

impl Call {
    /// Binds arguments to the parameters of a row: names separated by spaces, of which one that starts with `*` takes all
    /// further positional arguments.
    pub fn bind(params: &str, args: Vec<Arg>, kwargs: Vec<(String, Arg)>, device: Device) -> Get<Call> {
        let names: Vec<&str> = params.split_whitespace().collect();
        let mut bound = Vec::new();
        let mut args = args.into_iter();
        for name in &names {
            if let Some(rest) = name.strip_prefix('*') {
                // a list may also be given by its name
                let all: Vec<Arg> = args.by_ref().collect();
                if !(all.is_empty() && kwargs.iter().any(|(k, _)| k == rest)) {
                    bound.push((rest.to_string(), Arg::List(all)));
                }
            } else if let Some(a) = args.next() {
                bound.push((name.to_string(), a));
            } else {
                break;
            }
        }
        if args.next().is_some() {
            return Err(Stop::Untyped(format!("more positional arguments than ({params})")));
        }
        for (k, a) in kwargs {
            if !names.iter().any(|name| name.trim_start_matches('*') == k) {
                return Err(Stop::Unsupported(format!("no argument `{k}` in ({params})")));
            }
            bound.push((k, a));
        }
        Ok(Call { device, args: bound })
    }

    /// The argument, unless it is missing or None.
    pub fn get(&self, name: &str) -> Option<&Arg> {
        self.args.iter().find(|(k, _)| k == name).map(|(_, a)| a).filter(|a| !matches!(a, Arg::None))
    }

    fn need(&self, name: &str) -> Get<&Arg> {
        self.get(name).ok_or_else(|| Stop::Untyped(format!("{name}: required, but not given")))
    }

    /// All arguments, in the order in which they were given.
    pub fn all(&self) -> impl Iterator<Item = &Arg> {
        self.args.iter().map(|(_, a)| a)
    }

    pub fn tensor(&self, name: &str) -> Get<&Tensor> {
        match self.need(name)? {
            Arg::Tensor(t) => Ok(t),
            other => untyped(name, "takes a tensor", other),
        }
    }

    pub fn opt_tensor(&self, name: &str) -> Get<Option<&Tensor>> {
        self.get(name).map(|_| self.tensor(name)).transpose()
    }

    /// The tensor that the method is called on.
    pub fn x(&self) -> Get<Checked<'_>> {
        Ok(self.tensor("input")?.checked())
    }

    pub fn is_tensor(&self, name: &str) -> bool {
        matches!(self.get(name), Some(Arg::Tensor(_)))
    }

    pub fn tensors(&self, name: &str) -> Get<Vec<Tensor>> {
        let Arg::List(list) = self.need(name)? else {
            return untyped(name, "takes a list of tensors", self.need(name)?);
        };
        list.iter()
            .map(|a| match a {
                Arg::Tensor(t) => Ok(t.clone()),
                other => untyped(name, "takes tensors", other),
            })
            .collect()
    }

    pub fn scalar(&self, name: &str) -> Get<Scalar> {
        Ok(match self.need(name)? {
            Arg::Bool(b) => Scalar::Bool(*b),
            Arg::Int(i) => Scalar::Int(*i),
            Arg::Float(f) => Scalar::Float(*f),
            Arg::Complex(z) => Scalar::Complex(*z),
            other => return untyped(name, "takes a number", other),
        })
    }

    pub fn opt_scalar(&self, name: &str) -> Get<Option<Scalar>> {
        self.get(name).map(|_| self.scalar(name)).transpose()
    }

    pub fn operand(&self, name: &str) -> Get<Operand> {
        if self.is_tensor(name) { Ok(self.tensor(name)?.into()) } else { Ok(self.scalar(name)?.into()) }
    }

    pub fn opt_operand(&self, name: &str) -> Get<Option<Operand>> {
        self.get(name).map(|_| self.operand(name)).transpose()
    }

    pub fn float(&self, name: &str) -> Get<f64> {
        Ok(self.scalar(name)?.to_f64())
    }

    pub fn float_or(&self, name: &str, default: f64) -> Get<f64> {
        if self.get(name).is_some() { self.float(name) } else { Ok(default) }
    }

    pub fn int(&self, name: &str) -> Get<isize> {
        int(name, self.need(name)?)
    }

    pub fn opt_int(&self, name: &str) -> Get<Option<isize>> {
        self.get(name).map(|a| int(name, a)).transpose()
    }

    pub fn int_or(&self, name: &str, default: isize) -> Get<isize> {
        Ok(self.opt_int(name)?.unwrap_or(default))
    }

    /// One integer or a list of them.
    pub fn ints(&self, name: &str) -> Get<Vec<isize>> {
        match self.need(name)? {
            Arg::List(list) => match &list[..] {
                // `x.f(*sizes)` given as one list
                [Arg::List(inner)] => inner.iter().map(|a| int(name, a)).collect(),
                _ => list.iter().map(|a| int(name, a)).collect(),
            },
            one => Ok(vec![int(name, one)?]),
        }
    }

    pub fn opt_ints(&self, name: &str) -> Get<Option<Vec<isize>>> {
        self.get(name).map(|_| self.ints(name)).transpose()
    }

    /// Sizes, which the API takes as unsigned numbers.
    pub fn sizes(&self, name: &str) -> Get<Vec<usize>> {
        self.ints(name)?.into_iter().map(|i| unsigned(name, i)).collect()
    }

    pub fn size(&self, name: &str) -> Get<usize> {
        unsigned(name, self.int(name)?)
    }

    pub fn size_or(&self, name: &str, default: usize) -> Get<usize> {
        if self.get(name).is_some() { self.size(name) } else { Ok(default) }
    }

    pub fn flag(&self, name: &str, default: bool) -> Get<bool> {
        match self.get(name) {
            None => Ok(default),
            Some(Arg::Bool(b)) => Ok(*b),
            Some(other) => untyped(name, "takes a bool", other),
        }
    }

    pub fn string(&self, name: &str) -> Get<Option<&str>> {
        match self.get(name) {
            None => Ok(None),
            Some(Arg::Str(s)) => Ok(Some(s)),
            Some(other) => untyped(name, "takes a name", other),
        }
    }

    pub fn dtype(&self, name: &str) -> Get<Option<DType>> {
        match self.get(name) {
            None => Ok(None),
            Some(Arg::DType(d)) => Ok(Some(*d)),
            Some(other) => untyped(name, "takes a dtype", other),
        }
    }

    /// What creation functions take: the dtype that was asked for, on the device under test.
    pub fn options(&self) -> Get<TensorOptions> {
        let o = TensorOptions::new().device(self.device);
        Ok(match self.dtype("dtype")? {
            Some(d) => o.dtype(d),
            None => o,
        })
    }
}

fn int(name: &str, a: &Arg) -> Get<isize> {
    match a {
        Arg::Int(i) => Ok(*i as isize),
        // bool is an int in Python
        Arg::Bool(b) => Ok(*b as isize),
        Arg::Tensor(t) if t.dim() == 0 && t.dtype().is_int() => Ok(t.item::<i64>()? as isize),
        other => untyped(name, "takes an integer", other),
    }
}

fn unsigned(name: &str, i: isize) -> Get<usize> {
    usize::try_from(i).map_err(|_| Stop::Untyped(format!("{name}: takes an unsigned number, not {i}")))
}

/// A result.
pub enum Value {
    Tensor(Tensor),
    List(Vec<Value>),
    Int(i64),
    Float(f64),
    Complex(Complex<f64>),
    Bool(bool),
}

impl Value {
    /// The tensors of the tree, depth first.
    pub fn tensors<'a>(&'a self, out: &mut Vec<&'a Tensor>) {
        match self {
            Value::Tensor(t) => out.push(t),
            Value::List(l) => l.iter().for_each(|v| v.tensors(out)),
            _ => {}
        }
    }
}

macro_rules! value_from {
    ($($t:ty => |$x:ident| $e:expr;)*) => {$(
        impl From<$t> for Value {
            fn from($x: $t) -> Value { $e }
        }
    )*};
}
value_from! {
    Tensor => |t| Value::Tensor(t);
    &Tensor => |t| Value::Tensor(t.clone());
    (Tensor, Tensor) => |t| Value::List(vec![t.0.into(), t.1.into()]);
    Vec<Tensor> => |v| Value::List(v.into_iter().map(Value::Tensor).collect());
    Vec<usize> => |v| Value::List(v.into_iter().map(|i| Value::Int(i as i64)).collect());
    bool => |b| Value::Bool(b);
    usize => |n| Value::Int(n as i64);
    Scalar => |s| match s.category() {
        wgtorch::Category::Bool => Value::Bool(s.to_bool()),
        wgtorch::Category::Int => Value::Int(s.to_i64()),
        wgtorch::Category::Float => Value::Float(s.to_f64()),
        wgtorch::Category::Complex => Value::Complex(s.to_complex()),
    };
}
