//! A pickle read by the rules of PyTorch's `weights_only` unpickler: a list of opcodes, a list of globals, and nothing run.
//!
//! The result is a flat list of containers that name each other by index, so that no input makes it recurse, and tensors as
//! descriptions: memory for elements is asked for only after the whole pickle proved sound. Every opcode adds a bounded
//! amount, so what is held is proportional to the pickle's real length.

use super::globals::Global;
use crate::dtype::DType;
use crate::io::value::DictKind;
use crate::layout::Layout;
use num_complex::Complex;
use std::collections::HashMap;
use std::sync::Arc;

/// No function that is allowed takes more.
const MOST_ARGUMENTS: usize = 8;

/// What is wrong, in words; the caller adds the file.
pub type Result<T> = std::result::Result<T, String>;

/// What the machine's stack holds.
#[derive(Clone, Debug)]
pub enum Item {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Complex(Complex<f64>),
    Str(Arc<str>),
    Bytes(Arc<[u8]>),
    Device(Arc<str>),
    Global(Global),
    /// Index into the nodes.
    Node(usize),
    /// Index into the storages.
    Storage(usize),
    /// Index into the tensors.
    Tensor(usize),
}

/// A container.
#[derive(Debug)]
pub enum Node {
    Tuple(Vec<Item>),
    List(Vec<Item>),
    Dict { kind: DictKind, entries: Vec<(Item, Item)>, attributes: Vec<(Item, Item)> },
    Size(Vec<usize>),
}

/// Memory that a pickle speaks of.
#[derive(Debug)]
pub struct StorageRef {
    /// Its name in the file.
    pub key: Arc<str>,
    /// The elements' type; None for plain bytes.
    pub dtype: Option<DType>,
    /// How many elements.
    pub numel: usize,
}

impl StorageRef {
    /// The size of an element in the storage's own dtype.
    pub fn element_size(&self) -> usize {
        self.dtype.map_or(1, DType::size)
    }
    /// Its size; that it fits was checked when it was named.
    pub fn nbytes(&self) -> usize {
        self.numel * self.element_size()
    }
}

/// A tensor that a pickle speaks of, proved to lie inside its storage.
#[derive(Clone, Debug)]
pub struct TensorRef {
    pub storage: usize,
    pub dtype: DType,
    pub layout: Layout,
    pub requires_grad: bool,
    pub parameter: bool,
    /// Bits that PyTorch keeps for what is not computed yet.
    pub conj: bool,
    pub neg: bool,
}

/// A pickle that was read to its end.
#[derive(Debug)]
pub struct Pickle {
    pub nodes: Vec<Node>,
    pub storages: Vec<StorageRef>,
    pub tensors: Vec<TensorRef>,
    pub root: Item,
    /// How many bytes it took.
    pub len: usize,
}

/// The machine.
pub struct Unpickler<'a> {
    bytes: &'a [u8],
    at: usize,
    stack: Vec<Item>,
    /// Where the stack stood at each mark.
    marks: Vec<usize>,
    memo: HashMap<u32, Item>,
    /// How many parts of objects may still be copied.
    copies: usize,
    pub(super) nodes: Vec<Node>,
    pub(super) storages: Vec<StorageRef>,
    pub(super) storage_of_key: HashMap<Arc<str>, usize>,
    pub(super) tensors: Vec<TensorRef>,
}

/// How many parts objects that are named more than once may be copied to, for a pickle of so many bytes. Without a bound,
/// lists of lists of the same list would take exponential memory; files of PyTorch share single strings and pairs.
pub fn allowed_copies(pickle_len: usize) -> usize {
    pickle_len.saturating_mul(16).saturating_add(1024)
}

/// Reads the pickle that starts these bytes.
pub fn unpickle(bytes: &[u8]) -> Result<Pickle> {
    let mut u = Unpickler {
        bytes,
        at: 0,
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        copies: allowed_copies(bytes.len()),
        nodes: Vec::new(),
        storages: Vec::new(),
        storage_of_key: HashMap::new(),
        tensors: Vec::new(),
    };
    let root = u.run().map_err(|e| format!("{e} (at byte {} of the pickle)", u.at))?;
    Ok(Pickle { nodes: u.nodes, storages: u.storages, tensors: u.tensors, root, len: u.at })
}

impl<'a> Unpickler<'a> {
    fn run(&mut self) -> Result<Item> {
        loop {
            let op = self.take(1)?[0];
            match op {
                b'\x80' => {
                    let protocol = self.take(1)?[0];
                    if protocol != 2 {
                        return Err(format!("pickle protocol {protocol}; torch.save writes protocol 2"));
                    }
                }
                b'.' => return self.pop(),
                b'c' => {
                    let (module, name) = (self.line()?, self.line()?);
                    let global = Global::find(module, name)?;
                    self.stack.push(Item::Global(global));
                }
                b'R' => {
                    let (arguments, function) = (self.pop()?, self.pop()?);
                    let Item::Global(function) = function else {
                        return Err(format!(
                            "trying to call reduce for {}, which is no function",
                            self.name(&function)
                        ));
                    };
                    let Some(arguments) = self.tuple(&arguments) else {
                        return Err("reduce: the arguments are no tuple".into());
                    };
                    if arguments.len() > MOST_ARGUMENTS {
                        return Err(format!("reduce: {} arguments", arguments.len()));
                    }
                    let arguments = arguments.to_vec();
                    let made = self.call(function, &arguments)?;
                    self.stack.push(made);
                }
                b'b' => self.build()?,
                b'Q' => {
                    let id = self.pop()?;
                    let storage = self.persistent(&id)?;
                    self.stack.push(storage);
                }

                b'(' => self.marks.push(self.stack.len()),
                b'a' => {
                    let item = self.pop()?;
                    self.list("append to")?.push(item);
                }
                b'e' => {
                    let items = self.pop_mark()?;
                    self.list("extend")?.extend(items);
                }
                b's' => {
                    let (value, key) = (self.pop()?, self.pop()?);
                    self.dict("SETITEM")?.push((key, value));
                }
                b'u' => {
                    let items = self.pop_mark()?;
                    if items.len() % 2 != 0 {
                        return Err("SETITEMS: a key without a value".into());
                    }
                    let mut items = items.into_iter();
                    let dict = self.dict("SETITEMS")?;
                    while let (Some(key), Some(value)) = (items.next(), items.next()) {
                        dict.push((key, value));
                    }
                }
                b't' => {
                    let items = self.pop_mark()?;
                    self.node(Node::Tuple(items));
                }
                b'\x85' => self.pop_tuple(1)?,
                b'\x86' => self.pop_tuple(2)?,
                b'\x87' => self.pop_tuple(3)?,

                b'N' => self.stack.push(Item::None),
                b'\x88' => self.stack.push(Item::Bool(true)),
                b'\x89' => self.stack.push(Item::Bool(false)),
                b')' => self.node(Node::Tuple(Vec::new())),
                b']' => self.node(Node::List(Vec::new())),
                b'}' => self.node(Node::Dict { kind: DictKind::Plain, entries: Vec::new(), attributes: Vec::new() }),
                b'J' => {
                    let n = i32::from_le_bytes(self.array()?);
                    self.stack.push(Item::Int(n.into()));
                }
                b'K' => {
                    let n = self.take(1)?[0];
                    self.stack.push(Item::Int(n.into()));
                }
                b'M' => {
                    let n = u16::from_le_bytes(self.array()?);
                    self.stack.push(Item::Int(n.into()));
                }
                b'\x8a' => {
                    let n = self.take(1)?[0];
                    let int = long(self.take(n.into())?)?;
                    self.stack.push(Item::Int(int));
                }
                b'G' => {
                    let x = f64::from_be_bytes(self.array()?);
                    self.stack.push(Item::Float(x));
                }
                b'X' => {
                    let n = u32::from_le_bytes(self.array()?);
                    let text = self.text(n as usize)?;
                    self.stack.push(Item::Str(text));
                }
                // a str of Python 2
                b'U' => {
                    let n = self.take(1)?[0];
                    let text = self.text(n.into())?;
                    self.stack.push(Item::Str(text));
                }

                b'h' => {
                    let i = self.take(1)?[0];
                    self.get(i.into())?;
                }
                b'j' => {
                    let i = u32::from_le_bytes(self.array()?);
                    self.get(i)?;
                }
                b'q' => {
                    let i = self.take(1)?[0];
                    self.put(i.into())?;
                }
                b'r' => {
                    let i = u32::from_le_bytes(self.array()?);
                    self.put(i)?;
                }
                op => return Err(format!("Unsupported operand {op}")),
            }
        }
    }

    fn take(&mut self, n: usize) -> Result<&'a [u8]> {
        let end = self.at.checked_add(n).filter(|&end| end <= self.bytes.len());
        let end = end.ok_or_else(|| format!("the pickle ends early: {n} bytes wanted"))?;
        let bytes: &'a [u8] = self.bytes;
        let taken = &bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        Ok(self.take(N)?.try_into().expect("take gives as many bytes as asked for"))
    }

    fn line(&mut self) -> Result<&'a str> {
        let rest = &self.bytes[self.at..];
        let n = rest.iter().position(|&b| b == b'\n').ok_or("the pickle ends inside a global's name")?;
        let line = self.take(n + 1)?;
        std::str::from_utf8(&line[..n]).map_err(|e| format!("a global's name is not UTF-8: {e}"))
    }

    fn text(&mut self, n: usize) -> Result<Arc<str>> {
        let text = std::str::from_utf8(self.take(n)?).map_err(|e| format!("a string is not UTF-8: {e}"))?;
        Ok(text.into())
    }

    fn pop(&mut self) -> Result<Item> {
        let bottom = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= bottom {
            return Err("pop from an empty stack".into());
        }
        Ok(self.stack.pop().expect("there is one above the mark"))
    }

    fn top(&self) -> Result<&Item> {
        let bottom = self.marks.last().copied().unwrap_or(0);
        self.stack[bottom..].last().ok_or_else(|| "the stack is empty".to_string())
    }

    fn pop_mark(&mut self) -> Result<Vec<Item>> {
        let mark = self.marks.pop().ok_or("there is no mark")?;
        Ok(self.stack.split_off(mark))
    }

    fn pop_tuple(&mut self, n: usize) -> Result<()> {
        let bottom = self.marks.last().copied().unwrap_or(0);
        let from = self.stack.len().checked_sub(n).filter(|&from| from >= bottom).ok_or("pop from an empty stack")?;
        let items = self.stack.split_off(from);
        self.node(Node::Tuple(items));
        Ok(())
    }

    fn node(&mut self, node: Node) {
        let item = self.add(node);
        self.stack.push(item);
    }

    /// Notes that parts of an object are copied.
    pub(super) fn charge(&mut self, parts: usize) -> Result<()> {
        self.copies =
            self.copies.checked_sub(parts).ok_or("objects that are named again and again take too much memory")?;
        Ok(())
    }

    /// A container as an item that is on no stack yet.
    pub(super) fn add(&mut self, node: Node) -> Item {
        self.nodes.push(node);
        Item::Node(self.nodes.len() - 1)
    }

    fn get(&mut self, i: u32) -> Result<()> {
        let item = self.memo.get(&i).ok_or_else(|| format!("memo {i} is empty"))?.clone();
        self.stack.push(item);
        Ok(())
    }

    fn put(&mut self, i: u32) -> Result<()> {
        let item = self.top()?.clone();
        self.memo.insert(i, item);
        Ok(())
    }

    fn list(&mut self, what: &str) -> Result<&mut Vec<Item>> {
        let top = self.top()?.clone();
        let name = self.name(&top);
        match top {
            Item::Node(i) => match &mut self.nodes[i] {
                Node::List(items) => Ok(items),
                _ => Err(format!("Can only {what} lists, but got {name}")),
            },
            _ => Err(format!("Can only {what} lists, but got {name}")),
        }
    }

    fn dict(&mut self, what: &str) -> Result<&mut Vec<(Item, Item)>> {
        let top = self.top()?.clone();
        let name = self.name(&top);
        let refused =
            || format!("Can only {what} for dict, collections.OrderedDict, collections.Counter, but got {name}");
        match top {
            Item::Node(i) => match &mut self.nodes[i] {
                Node::Dict { entries, .. } => Ok(entries),
                _ => Err(refused()),
            },
            _ => Err(refused()),
        }
    }

    /// Attributes of an `OrderedDict`: the one object that may have some.
    fn build(&mut self) -> Result<()> {
        let (state, object) = (self.pop()?, self.top()?.clone());
        let name = self.name(&object);
        let Item::Node(state) = state else { return Err("BUILD: the state is no dict".into()) };
        let Node::Dict { entries, .. } = &self.nodes[state] else { return Err("BUILD: the state is no dict".into()) };
        let entries = entries.clone();
        self.charge(entries.len())?;
        match object {
            Item::Node(i) => match &mut self.nodes[i] {
                Node::Dict { kind: DictKind::Ordered, attributes, .. } => {
                    attributes.extend(entries);
                    Ok(())
                }
                _ => Err(format!("Can only build OrderedDict, but got {name}")),
            },
            _ => Err(format!("Can only build OrderedDict, but got {name}")),
        }
    }

    pub(super) fn tuple(&self, item: &Item) -> Option<&[Item]> {
        match item {
            Item::Node(i) => match &self.nodes[*i] {
                Node::Tuple(items) => Some(items),
                _ => None,
            },
            _ => None,
        }
    }

    /// Python's name of an item's type.
    pub(super) fn name(&self, item: &Item) -> &'static str {
        match item {
            Item::None => "NoneType",
            Item::Bool(_) => "bool",
            Item::Int(_) => "int",
            Item::Float(_) => "float",
            Item::Complex(_) => "complex",
            Item::Str(_) => "str",
            Item::Bytes(_) => "bytes",
            Item::Device(_) => "torch.device",
            Item::Global(_) => "a global",
            Item::Storage(_) => "a storage",
            Item::Tensor(_) => "Tensor",
            Item::Node(i) => match &self.nodes[*i] {
                Node::Tuple(_) => "tuple",
                Node::List(_) => "list",
                Node::Dict { .. } => "dict",
                Node::Size(_) => "torch.Size",
            },
        }
    }
}

/// A little-endian integer of two's complement.
fn long(bytes: &[u8]) -> Result<i64> {
    let negative = bytes.last().is_some_and(|&b| b >= 0x80);
    let fill = if negative { 0xff } else { 0 };
    let (low, high) = bytes.split_at(bytes.len().min(8));
    let mut eight = [fill; 8];
    eight[..low.len()].copy_from_slice(low);
    let int = i64::from_le_bytes(eight);
    if high.iter().any(|&b| b != fill) || (int < 0) != negative {
        return Err(format!("an int of {} bytes, which 64 bits do not hold", bytes.len()));
    }
    Ok(int)
}
