//! A value as the pickle that Python's pickler (protocol 2) and PyTorch's rules for tensors make of it, byte for byte where
//! Python's objects are as shared as these: strings of one text count as one object.

use super::globals::storage_class;
use super::read::DEEPEST;
use crate::error::{Result, bail, ensure};
use crate::io::value::{Dict, DictKind, Value};
use crate::tensor::Tensor;
use std::collections::HashMap;
use std::sync::Arc;

/// Python appends to lists and dicts in batches of so many.
const BATCH: usize = 1000;

/// The pickle of a value, and a tensor for each storage that it speaks of, in the order of their keys `0`, `1` …
pub fn pickle(value: &Value) -> Result<(Vec<u8>, Vec<Tensor>)> {
    let mut p = Pickler { out: vec![0x80, 2], ..Pickler::default() };
    p.value(value, 0)?;
    p.out.push(b'.');
    Ok((p.out, p.storages))
}

/// What is written once and named by number afterwards.
#[derive(PartialEq, Eq, Hash)]
enum Object {
    Text(Arc<str>),
    Global(&'static str, &'static str),
    /// By the place of its shared part, which the value keeps alive.
    Tensor(usize),
}

#[derive(Default)]
struct Pickler {
    out: Vec<u8>,
    /// How many objects have a number.
    count: u32,
    memo: HashMap<Object, u32>,
    /// The number of each storage, by its id.
    keys: HashMap<u64, usize>,
    storages: Vec<Tensor>,
}

impl Pickler {
    fn value(&mut self, value: &Value, depth: usize) -> Result<()> {
        ensure!(
            depth <= DEEPEST,
            Value,
            "save: lists, tuples and dicts lie more than {DEEPEST} deep inside each other"
        );
        match value {
            Value::None => self.out.push(b'N'),
            Value::Bool(b) => self.bool(*b),
            Value::Int(i) => self.int(*i),
            Value::Float(x) => self.float(*x),
            Value::Complex(z) => {
                self.global("__builtin__", "complex");
                self.float(z.re);
                self.float(z.im);
                self.call_of(2);
            }
            Value::Str(s) => self.text(s),
            Value::Bytes(bytes) => {
                self.global("_codecs", "encode");
                let text: String = bytes.iter().map(|&b| char::from(b)).collect();
                self.text(&text.into());
                self.text(&"latin1".into());
                self.call_of(2);
            }
            Value::Tensor(t) => self.tensor(t)?,
            Value::List(items) => {
                self.out.push(b']');
                self.put();
                for batch in items.chunks(BATCH) {
                    self.batch(batch, b"ae", |p, x| p.value(x, depth + 1))?;
                }
            }
            Value::Tuple(items) => {
                if items.len() > 3 {
                    self.out.push(b'(');
                }
                for x in items {
                    self.value(x, depth + 1)?;
                }
                self.tuple_of(items.len());
            }
            Value::Dict(dict) => self.dict(dict, depth)?,
            Value::Size(sizes) => {
                self.global("torch", "Size");
                self.sizes(sizes);
                self.call_of(1);
            }
            Value::DType(dtype) => self.global("torch", dtype.name()),
            Value::Device(name) => {
                self.global("torch", "device");
                let (kind, index) = match name.split_once(':') {
                    Some((kind, index)) => (kind, index.parse::<i64>().ok()),
                    None => (&name[..], None),
                };
                self.text(&kind.into());
                if let Some(index) = index {
                    self.int(index);
                }
                self.call_of(1 + usize::from(index.is_some()));
            }
        }
        Ok(())
    }

    fn dict(&mut self, dict: &Dict, depth: usize) -> Result<()> {
        let entries: Vec<(&Value, &Value)> = dict.iter().collect();
        match dict.kind() {
            DictKind::Plain => {
                self.out.push(b'}');
                self.put();
                self.entries(&entries, depth)
            }
            DictKind::Ordered => {
                self.ordered();
                self.entries(&entries, depth)?;
                let attributes: Vec<(&Value, &Value)> = dict.attributes().collect();
                if !attributes.is_empty() {
                    self.out.push(b'}');
                    self.put();
                    self.entries(&attributes, depth)?;
                    self.out.push(b'b');
                }
                Ok(())
            }
            DictKind::Counter => {
                self.global("collections", "Counter");
                self.out.push(b'}');
                self.put();
                self.entries(&entries, depth)?;
                self.call_of(1);
                Ok(())
            }
        }
    }

    fn entries(&mut self, entries: &[(&Value, &Value)], depth: usize) -> Result<()> {
        for batch in entries.chunks(BATCH) {
            self.batch(batch, b"su", |p, (k, v)| {
                p.value(k, depth + 1)?;
                p.value(v, depth + 1)
            })?;
        }
        Ok(())
    }

    /// Up to a thousand items between a mark and the second opcode, a single one before the first.
    fn batch<T>(
        &mut self,
        items: &[T],
        ops: &[u8; 2],
        mut each: impl FnMut(&mut Self, &T) -> Result<()>,
    ) -> Result<()> {
        let single = items.len() == 1;
        if !single {
            self.out.push(b'(');
        }
        for x in items {
            each(self, x)?;
        }
        self.out.push(ops[usize::from(!single)]);
        Ok(())
    }

    /// `_rebuild_tensor_v2` of a storage and a layout, or what has it as an argument.
    fn tensor(&mut self, t: &Tensor) -> Result<()> {
        let object = Object::Tensor(Arc::as_ptr(&t.0).addr());
        if self.known(&object) {
            return Ok(());
        }
        if t.is_parameter() {
            self.global("torch._utils", "_rebuild_parameter");
            self.data(t, false)?;
            self.bool(t.requires_grad());
            self.ordered();
            self.call_of(3);
        } else {
            self.data(t, t.requires_grad())?;
        }
        // the last number given is the result's
        self.memo.insert(object, self.count - 1);
        Ok(())
    }

    fn data(&mut self, t: &Tensor, requires_grad: bool) -> Result<()> {
        let body = t.body();
        let (dtype, id) = (body.dtype, body.storage.shared().id);
        let key = match self.keys.get(&id) {
            Some(&key) => key,
            None => {
                self.keys.insert(id, self.storages.len());
                self.storages.push(t.clone());
                self.storages.len() - 1
            }
        };
        if self.storages[key].dtype() != dtype {
            bail!(Runtime, "Cannot save multiple tensors or storages that view the same data as different types");
        }
        let class = storage_class(dtype);
        self.global("torch._utils", if class.is_some() { "_rebuild_tensor_v2" } else { "_rebuild_tensor_v3" });
        self.out.extend(b"((");
        self.text(&"storage".into());
        match class {
            Some(class) => self.global("torch", class),
            None => self.global("torch.storage", "UntypedStorage"),
        }
        self.text(&key.to_string().into());
        self.text(&"cpu".into());
        let numel = body.storage.nbytes / dtype.size();
        self.int((if class.is_some() { numel } else { numel * dtype.size() }) as i64);
        self.out.push(b't');
        self.put();
        self.out.push(b'Q');
        self.int(body.layout.offset as i64);
        self.sizes(&body.layout.shape);
        self.sizes(&body.layout.strides);
        self.bool(requires_grad);
        self.ordered();
        if class.is_none() {
            self.global("torch", dtype.name());
        }
        self.out.push(b't');
        self.put();
        self.out.push(b'R');
        self.put();
        Ok(())
    }

    /// `OrderedDict()`
    fn ordered(&mut self) {
        self.global("collections", "OrderedDict");
        self.out.extend(b")R");
        self.put();
    }

    fn sizes(&mut self, sizes: &[usize]) {
        if sizes.len() > 3 {
            self.out.push(b'(');
        }
        for &n in sizes {
            self.int(n as i64);
        }
        self.tuple_of(sizes.len());
    }

    /// Ends a tuple of so many items, after a mark where there are more than three.
    fn tuple_of(&mut self, n: usize) {
        match n {
            // the empty tuple is one object, which has an opcode of its own
            0 => return self.out.push(b')'),
            1..=3 => self.out.push(0x84 + n as u8),
            _ => self.out.push(b't'),
        }
        self.put();
    }

    /// Calls the global before the last `n` items with them.
    fn call_of(&mut self, n: usize) {
        self.tuple_of(n);
        self.out.push(b'R');
        self.put();
    }

    fn bool(&mut self, b: bool) {
        self.out.push(if b { 0x88 } else { 0x89 });
    }

    fn float(&mut self, x: f64) {
        self.out.push(b'G');
        self.out.extend(x.to_be_bytes());
    }

    fn int(&mut self, i: i64) {
        if let Ok(n) = u8::try_from(i) {
            self.out.extend([b'K', n]);
        } else if let Ok(n) = u16::try_from(i) {
            self.out.push(b'M');
            self.out.extend(n.to_le_bytes());
        } else if let Ok(n) = i32::try_from(i) {
            self.out.push(b'J');
            self.out.extend(n.to_le_bytes());
        } else {
            // as few bytes as hold the sign too
            let bytes = i.to_le_bytes();
            let spare = if i < 0 { i.leading_ones() } else { i.leading_zeros() } - 1;
            let n = 8 - spare as usize / 8;
            self.out.extend([0x8a, n as u8]);
            self.out.extend(&bytes[..n]);
        }
    }

    fn text(&mut self, s: &Arc<str>) {
        let object = Object::Text(s.clone());
        if !self.known(&object) {
            self.out.push(b'X');
            self.out.extend((s.len() as u32).to_le_bytes());
            self.out.extend(s.as_bytes());
            self.memo.insert(object, self.count);
            self.put();
        }
    }

    fn global(&mut self, module: &'static str, name: &'static str) {
        let object = Object::Global(module, name);
        if !self.known(&object) {
            self.out.extend(format!("c{module}\n{name}\n").bytes());
            self.memo.insert(object, self.count);
            self.put();
        }
    }

    /// Names an object by its number, where it has one.
    fn known(&mut self, object: &Object) -> bool {
        let Some(&i) = self.memo.get(object) else { return false };
        self.numbered(i, *b"hj");
        true
    }

    /// Gives what was written last the next number.
    fn put(&mut self) {
        self.numbered(self.count, *b"qr");
        self.count += 1;
    }

    fn numbered(&mut self, i: u32, [short, long]: [u8; 2]) {
        match u8::try_from(i) {
            Ok(i) => self.out.extend([short, i]),
            Err(_) => {
                self.out.push(long);
                self.out.extend(i.to_le_bytes());
            }
        }
    }
}
