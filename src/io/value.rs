//! What a file of `torch.save` holds besides tensors: Python's plain values, as one enum.

use crate::dtype::DType;
use crate::error::{Error, Result, bail};
use crate::nn::StateDict;
use crate::shape::Shape;
use crate::tensor::Tensor;
use num_complex::Complex;
use std::collections::HashMap;
use std::sync::Arc;

/// A Python value that `torch.save` writes and `torch.load(weights_only=True)` reads.
///
/// ```
/// # use wgtorch::prelude::*;
/// use wgtorch::io::{Dict, Value};
/// let mut inner = Dict::new();
/// inner.insert(0, tensor!([1., 2.]));
/// let mut checkpoint = Dict::new();
/// checkpoint.insert("epoch", 3);
/// checkpoint.insert("state", inner);
/// let checkpoint = Value::from(checkpoint);
/// assert_eq!(checkpoint["epoch"].as_i64(), Some(3));
/// assert_eq!(checkpoint["state"][0].as_tensor().unwrap().shape(), [2]);
/// assert!(checkpoint.get("optimizer").is_none());
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, Default)]
pub enum Value {
    /// `None`
    #[default]
    None,
    /// `bool`
    Bool(bool),
    /// `int`, of at most 64 bits
    Int(i64),
    /// `float`
    Float(f64),
    /// `complex`
    Complex(Complex<f64>),
    /// `str`
    Str(Arc<str>),
    /// `bytes`
    Bytes(Arc<[u8]>),
    /// `torch.Tensor`, or `nn.Parameter` where [`nn::parameter`](crate::nn::parameter) made it.
    Tensor(Tensor),
    /// `list`
    List(Vec<Value>),
    /// `tuple`
    Tuple(Vec<Value>),
    /// `dict`, `OrderedDict` or `Counter`
    Dict(Dict),
    /// `torch.Size`
    Size(Shape),
    /// `torch.dtype`
    DType(DType),
    /// `torch.device`, by its name (`cuda:0`): it need not exist here.
    Device(Arc<str>),
}

/// Which of Python's dictionaries one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum DictKind {
    /// `dict`
    #[default]
    Plain,
    /// `collections.OrderedDict`, what `state_dict()` gives
    Ordered,
    /// `collections.Counter`, in which schedulers keep milestones
    Counter,
}

/// Values by key, in the order they were added (Python's `dict`). Looking one up goes through the list.
#[derive(Clone, Debug, Default)]
pub struct Dict {
    kind: DictKind,
    entries: Vec<(Value, Value)>,
    /// Attributes of an `OrderedDict`, such as the `_metadata` of a state.
    attributes: Vec<(Value, Value)>,
}

/// What a [`Dict`] is asked by: a string, or an integer, which also finds an item of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key<'a> {
    /// A `str`.
    Str(&'a str),
    /// An `int`.
    Int(i64),
}

impl<'a> From<&'a str> for Key<'a> {
    fn from(s: &'a str) -> Key<'a> {
        Key::Str(s)
    }
}
impl<'a> From<&'a String> for Key<'a> {
    fn from(s: &'a String) -> Key<'a> {
        Key::Str(s)
    }
}
impl From<i64> for Key<'_> {
    fn from(i: i64) -> Self {
        Key::Int(i)
    }
}
impl From<i32> for Key<'_> {
    fn from(i: i32) -> Self {
        Key::Int(i.into())
    }
}

impl Key<'_> {
    fn is(self, value: &Value) -> bool {
        match (self, value) {
            (Key::Str(a), Value::Str(b)) => *a == **b,
            (Key::Int(a), Value::Int(b)) => a == *b,
            _ => false,
        }
    }
}

/// What makes two keys one in Python: `1`, `1.0` and `True` are.
#[derive(PartialEq, Eq, Hash)]
enum Identity {
    None,
    Int(i64),
    Float(u64),
    Complex(u64, u64),
    Str(Arc<str>),
    Bytes(Arc<[u8]>),
    DType(DType),
    Device(Arc<str>),
    Tuple(Vec<Identity>),
}

impl Identity {
    fn of(value: &Value) -> Option<Identity> {
        Some(match value {
            Value::None => Identity::None,
            Value::Bool(b) => Identity::Int(i64::from(*b)),
            Value::Int(i) => Identity::Int(*i),
            // below 2^63, where the conversion would saturate
            Value::Float(x) if *x == (*x as i64) as f64 && *x < 9_223_372_036_854_775_808.0 => Identity::Int(*x as i64),
            Value::Float(x) => Identity::Float(x.to_bits()),
            Value::Complex(z) if z.im == 0.0 => return Identity::of(&Value::Float(z.re)),
            Value::Complex(z) => Identity::Complex(z.re.to_bits(), z.im.to_bits()),
            Value::Bytes(b) => Identity::Bytes(b.clone()),
            Value::DType(d) => Identity::DType(*d),
            Value::Device(d) => Identity::Device(d.clone()),
            // a torch.Size is a tuple
            Value::Size(s) => Identity::Tuple(s.iter().map(|&n| Identity::Int(n as i64)).collect()),
            Value::Str(s) => Identity::Str(s.clone()),
            Value::Tuple(items) => Identity::Tuple(items.iter().map(Identity::of).collect::<Option<_>>()?),
            _ => return None,
        })
    }
}

impl Dict {
    /// An empty `dict`.
    pub fn new() -> Dict {
        Dict::default()
    }
    /// An empty one of a kind.
    pub fn of_kind(kind: DictKind) -> Dict {
        Dict { kind, ..Dict::default() }
    }
    /// One with these entries, of which a later one takes the place of an earlier one's value; an error names a key that
    /// Python cannot hash, or a tensor.
    pub(super) fn from_entries(
        kind: DictKind,
        entries: impl IntoIterator<Item = (Value, Value)>,
        attributes: Vec<(Value, Value)>,
    ) -> Result<Dict, String> {
        let mut places = HashMap::new();
        let mut dict = Dict { kind, entries: Vec::new(), attributes };
        for (key, value) in entries {
            let identity = Identity::of(&key).ok_or_else(|| format!("unhashable type: '{}'", key.type_name()))?;
            match places.entry(identity) {
                std::collections::hash_map::Entry::Occupied(at) => {
                    let at: usize = *at.get();
                    dict.entries[at].1 = value;
                }
                std::collections::hash_map::Entry::Vacant(free) => {
                    free.insert(dict.entries.len());
                    dict.entries.push((key, value));
                }
            }
        }
        Ok(dict)
    }
    /// Which of Python's dictionaries it is.
    pub fn kind(&self) -> DictKind {
        self.kind
    }
    /// The value of a key (`dict.get(key)`).
    pub fn get<'a>(&self, key: impl Into<Key<'a>>) -> Option<&Value> {
        let key = key.into();
        self.entries.iter().find(|(k, _)| key.is(k)).map(|(_, v)| v)
    }
    /// Adds a value, or puts it in the place of the one of that key, which it gives back (`dict[key] = value`).
    pub fn insert<'a>(&mut self, key: impl Into<Key<'a>>, value: impl Into<Value>) -> Option<Value> {
        let (key, value) = (key.into(), value.into());
        match self.entries.iter_mut().find(|(k, _)| key.is(k)) {
            Some((_, old)) => Some(std::mem::replace(old, value)),
            None => {
                let key = match key {
                    Key::Str(s) => s.into(),
                    Key::Int(i) => i.into(),
                };
                self.entries.push((key, value));
                None
            }
        }
    }
    /// Keys and values in order (`dict.items()`).
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Value, &Value)> {
        self.entries.iter().map(|(k, v)| (k, v))
    }
    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }
    /// True where there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
    /// Attributes of the object itself, of an `OrderedDict` alone: the `_metadata` of a module's state.
    pub fn attributes(&self) -> impl ExactSizeIterator<Item = (&Value, &Value)> {
        self.attributes.iter().map(|(k, v)| (k, v))
    }
}

impl Value {
    /// The value of a dict's key, or the item of a list or tuple at an index that is not negative.
    pub fn get<'a>(&self, key: impl Into<Key<'a>>) -> Option<&Value> {
        let key = key.into();
        match (self, key) {
            (Value::Dict(d), key) => d.get(key),
            (Value::List(items) | Value::Tuple(items), Key::Int(i)) => items.get(usize::try_from(i).ok()?),
            _ => None,
        }
    }
    /// The tensor, where it is one.
    pub fn as_tensor(&self) -> Option<&Tensor> {
        if let Value::Tensor(t) = self { Some(t) } else { None }
    }
    /// The dictionary, where it is one of any kind.
    pub fn as_dict(&self) -> Option<&Dict> {
        if let Value::Dict(d) = self { Some(d) } else { None }
    }
    /// The items of a list or tuple.
    pub fn as_list(&self) -> Option<&[Value]> {
        if let Value::List(items) | Value::Tuple(items) = self { Some(items) } else { None }
    }
    /// The bool, where it is one.
    pub fn as_bool(&self) -> Option<bool> {
        if let Value::Bool(b) = self { Some(*b) } else { None }
    }
    /// The int, where it is one.
    pub fn as_i64(&self) -> Option<i64> {
        if let Value::Int(i) = self { Some(*i) } else { None }
    }
    /// The float, or an int as one: a learning rate of `1` is an int in Python.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Value::Float(x) => Some(*x),
            Value::Int(i) => Some(*i as f64),
            _ => None,
        }
    }
    /// The text, where it is one.
    pub fn as_str(&self) -> Option<&str> {
        if let Value::Str(s) = self { Some(s) } else { None }
    }
    /// True for `None`.
    pub fn is_none(&self) -> bool {
        matches!(self, Value::None)
    }
    /// The tensors of a dict under their names, sharing memory with it: what
    /// [`load_state_dict`](crate::nn::Module::load_state_dict) takes.
    ///
    /// # Errors
    /// If it is no dict, or holds anything but tensors under strings.
    pub fn to_state_dict(&self) -> Result<StateDict> {
        let Value::Dict(dict) = self else {
            bail!(Type, "Expected state_dict to be dict-like, got {}.", self.type_name())
        };
        dict.iter()
            .map(|(k, v)| match (k, v) {
                (Value::Str(k), Value::Tensor(t)) => Ok((k.to_string(), t.clone())),
                (Value::Str(k), v) => Err(Error::Type(format!(
                    "expected a tensor under \"{k}\" of the state_dict, got {}",
                    v.type_name()
                ))),
                (k, _) => Err(Error::Type(format!("expected names in the state_dict, got {}", k.type_name()))),
            })
            .collect()
    }
    /// Python's name of its type.
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::None => "NoneType",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Float(_) => "float",
            Value::Complex(_) => "complex",
            Value::Str(_) => "str",
            Value::Bytes(_) => "bytes",
            Value::Tensor(t) if t.is_parameter() => "Parameter",
            Value::Tensor(_) => "Tensor",
            Value::List(_) => "list",
            Value::Tuple(_) => "tuple",
            Value::Dict(d) => match d.kind {
                DictKind::Plain => "dict",
                DictKind::Ordered => "OrderedDict",
                DictKind::Counter => "Counter",
            },
            Value::Size(_) => "torch.Size",
            Value::DType(_) => "torch.dtype",
            Value::Device(_) => "torch.device",
        }
    }
}

impl<'a, K: Into<Key<'a>>> std::ops::Index<K> for Value {
    type Output = Value;
    /// # Panics
    /// If there is no such key or item.
    #[track_caller]
    fn index(&self, key: K) -> &Value {
        let key = key.into();
        match self.get(key) {
            Some(v) => v,
            None => panic!("no {key:?} in this {}", self.type_name()),
        }
    }
}

macro_rules! from {
    ($($t:ty: $x:ident => $e:expr;)*) => {$(
        impl From<$t> for Value {
            fn from($x: $t) -> Value {
                $e
            }
        }
    )*};
}
from! {
    (): _x => Value::None;
    bool: b => Value::Bool(b);
    i32: i => Value::Int(i.into());
    i64: i => Value::Int(i);
    f32: x => Value::Float(x.into());
    f64: x => Value::Float(x);
    Complex<f64>: z => Value::Complex(z);
    &str: s => Value::Str(s.into());
    String: s => Value::Str(s.into());
    Tensor: t => Value::Tensor(t);
    &Tensor: t => Value::Tensor(t.clone());
    Dict: d => Value::Dict(d);
    &Dict: d => Value::Dict(d.clone());
    Shape: s => Value::Size(s);
    DType: d => Value::DType(d);
    &Value: v => v.clone();
    &StateDict: s => {
        let entries = s.iter().map(|(k, t)| (k.into(), t.into())).collect();
        Value::Dict(Dict { kind: DictKind::Ordered, entries, attributes: Vec::new() })
    };
    StateDict: s => Value::from(&s);
}
impl<T: Into<Value>> From<Vec<T>> for Value {
    fn from(items: Vec<T>) -> Value {
        Value::List(items.into_iter().map(Into::into).collect())
    }
}
impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(x: Option<T>) -> Value {
        x.map_or(Value::None, Into::into)
    }
}
impl<A: Into<Value>, B: Into<Value>> From<(A, B)> for Value {
    fn from((a, b): (A, B)) -> Value {
        Value::Tuple(vec![a.into(), b.into()])
    }
}
impl TryFrom<Value> for StateDict {
    type Error = Error;
    fn try_from(value: Value) -> Result<StateDict> {
        value.to_state_dict()
    }
}
