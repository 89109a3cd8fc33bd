//! From a pickle's description to tensors and values: storages are read once each, tensors of one storage share it.

use super::unpickle::{Item, Node, Pickle, StorageRef, TensorRef, allowed_copies};
use crate::cpu::memory::HostBuf;
use crate::device::Device;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::io::value::{Dict, Value};
use crate::io::zip::Archive;
use crate::layout::Layout;
use crate::stream::Storage;
use crate::tensor::{Body, Tensor};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::Path;

/// How deep values may lie inside each other: dropping or printing one recurses.
pub const DEEPEST: usize = 256;

/// Reads a file of the zip format.
pub fn read_zip(path: &Path, device: Device) -> Result<Value> {
    let what = path.display().to_string();
    let wrong = |message: String| Error::format(&what, message);
    let mut archive = Archive::open(path)?;
    let names = archive.names()?;
    let root = names.first().and_then(|n| n.split_once('/')).map(|(root, _)| root.to_string());
    let root = root
        .ok_or_else(|| wrong("a zip archive whose records are in no folder, which torch.save did not write".into()))?;
    let record = |name: &str| format!("{root}/{name}");
    if names.contains(&record("constants.pkl")) {
        return Err(wrong("a TorchScript archive, which holds code; only what torch.save wrote is read".into()));
    }
    let pickle = bytes(&mut archive, &record("data.pkl"))?
        .ok_or_else(|| wrong("failed locating file data.pkl: not an archive of torch.save".into()))?;
    let big_endian = match bytes(&mut archive, &record("byteorder"))?.as_deref() {
        None | Some(b"little") => false,
        Some(b"big") => true,
        Some(other) => return Err(wrong(format!("byteorder {:?}", String::from_utf8_lossy(other)))),
    };
    let found = super::unpickle::unpickle(&pickle).map_err(|e| wrong(format!("Weights only load failed. {e}")))?;
    let mut storages = Vec::new();
    // sizes first: a file that lacks one record is refused before any other is read
    for s in &found.storages {
        let name = record(&format!("data/{}", s.key));
        let size = archive.stored_size(&name)?;
        let size = size.ok_or_else(|| wrong(format!("failed locating file data/{}: file not found", s.key)))?;
        if size != s.nbytes() {
            return Err(wrong(format!(
                "record size of data/{} ({size} bytes) does not match expected size ({} bytes = {} elements * {} \
                 bytes/element)",
                s.key,
                s.nbytes(),
                s.numel,
                s.element_size(),
            )));
        }
        storages.push(name);
    }
    let read = |i: usize| -> Result<HostBuf> {
        let s = &found.storages[i];
        let host = HostBuf::zeroed(s.nbytes());
        // SAFETY: the block was just made, of this size, and nobody else knows it.
        let bytes = unsafe { std::slice::from_raw_parts_mut(host.ptr(), host.len()) };
        archive.fill(&storages[i], bytes)?;
        if big_endian {
            swap(bytes, s).map_err(&wrong)?;
        }
        Ok(host)
    };
    build(&found, pickle.len(), read, device, &what)
}

/// A whole small record.
fn bytes(archive: &mut Archive, name: &str) -> Result<Option<Vec<u8>>> {
    let Some(size) = archive.stored_size(name)? else { return Ok(None) };
    let mut bytes = vec![0; size];
    archive.fill(name, &mut bytes)?;
    Ok(Some(bytes))
}

/// Turns big-endian elements round.
fn swap(bytes: &mut [u8], s: &StorageRef) -> Result<(), String> {
    let Some(dtype) = s.dtype else { return Err(format!("storage {} is big-endian and has no dtype", s.key)) };
    crate::io::swap_elements(bytes, dtype);
    Ok(())
}

/// The value that a pickle describes, with storages from `read`.
pub fn build(
    pickle: &Pickle,
    pickle_len: usize,
    mut read: impl FnMut(usize) -> Result<HostBuf>,
    device: Device,
    what: &str,
) -> Result<Value> {
    let wrong = |message: String| Error::format(what, message);
    let mut storages = Vec::with_capacity(pickle.storages.len());
    // a tensor may see bytes of another dtype as bools
    let mut as_bool: Vec<bool> = pickle.storages.iter().map(|s| s.dtype == Some(DType::Bool)).collect();
    pickle.tensors.iter().for_each(|t| as_bool[t.storage] |= t.dtype == DType::Bool);
    for (i, s) in pickle.storages.iter().enumerate() {
        let host = read(i)?;
        if as_bool[i] {
            // SAFETY: the block holds as many bytes, all of them written, and nobody else knows it.
            let bytes = unsafe { std::slice::from_raw_parts(host.ptr(), host.len()) };
            // A bool of any other bit pattern is undefined behaviour.
            if bytes.iter().any(|&b| b > 1) {
                return Err(wrong(format!("storage {} has bools that are neither 0 nor 1", s.key)));
            }
        }
        let dtype = s.dtype.unwrap_or(DType::U8);
        let whole = Tensor::from_storage(Storage::from_host(dtype, host), &[s.numel], dtype);
        storages.push(if device == Device::Cpu { whole } else { whole.to_device(device)? });
    }
    let mut tensors = Vec::with_capacity(pickle.tensors.len());
    // conjugated and negated storages, each made once: tensors that share one go on sharing it
    let mut changed: HashMap<(usize, DType, bool, bool), Tensor> = HashMap::new();
    for t in &pickle.tensors {
        let storage = match changed.entry((t.storage, t.dtype, t.conj, t.neg)) {
            _ if !t.conj && !t.neg => &storages[t.storage],
            Entry::Occupied(made) => &*made.into_mut(),
            Entry::Vacant(free) => &*free.insert(change(t, &storages[t.storage], pickle.storages[t.storage].nbytes())?),
        };
        tensors.push(tensor(t, storage)?);
    }
    let mut values = Values { pickle, tensors: &tensors, left: allowed_copies(pickle_len) };
    values.value(&pickle.root, 0).map_err(wrong)
}

/// A view of a storage that has no base and no history, as `torch.load` makes it.
fn tensor(t: &TensorRef, storage: &Tensor) -> Result<Tensor> {
    let body = Body { layout: t.layout.clone(), dtype: t.dtype, ..storage.body() };
    let tensor = Tensor::from_body(body, None);
    if t.parameter {
        tensor.mark_parameter();
    }
    if t.requires_grad {
        tensor.checked().requires_grad_(true)?;
    }
    Ok(tensor)
}

/// A whole storage of so many bytes, conjugated and negated as the tensor asks.
fn change(t: &TensorRef, storage: &Tensor, nbytes: usize) -> Result<Tensor> {
    let layout = Layout::contiguous(&[nbytes / t.dtype.size()][..]);
    let mut whole = Tensor::from_body(Body { layout, dtype: t.dtype, ..storage.body() }, None);
    if t.conj {
        whole = whole.checked().conj()?;
    }
    if t.neg {
        whole = whole.checked().neg()?;
    }
    Ok(whole)
}

struct Values<'a> {
    pickle: &'a Pickle,
    tensors: &'a [Tensor],
    /// How many values may still be made.
    left: usize,
}

impl Values<'_> {
    fn value(&mut self, item: &Item, depth: usize) -> Result<Value, String> {
        if depth > DEEPEST {
            return Err(format!("its lists, tuples and dicts lie more than {DEEPEST} deep inside each other"));
        }
        let left = self.left.checked_sub(1);
        self.left = left.ok_or("lists and dicts that are named again and again take too much memory")?;
        let pickle = self.pickle;
        let mut all = |items: &[Item]| items.iter().map(|x| self.value(x, depth + 1)).collect::<Result<Vec<_>, _>>();
        Ok(match item {
            Item::None => Value::None,
            Item::Bool(b) => Value::Bool(*b),
            Item::Int(i) => Value::Int(*i),
            Item::Float(x) => Value::Float(*x),
            Item::Complex(z) => Value::Complex(*z),
            Item::Str(s) => Value::Str(s.clone()),
            Item::Bytes(b) => Value::Bytes(b.clone()),
            Item::Device(d) => Value::Device(d.clone()),
            Item::Global(super::globals::Global::DType(d)) => Value::DType(*d),
            Item::Global(g) => return Err(format!("{g:?} itself is among the values")),
            Item::Storage(_) => return Err("a storage without a tensor is among the values".into()),
            Item::Tensor(t) => Value::Tensor(self.tensors[*t].clone()),
            Item::Node(i) => match &pickle.nodes[*i] {
                Node::Tuple(items) => Value::Tuple(all(items)?),
                Node::List(items) => Value::List(all(items)?),
                Node::Size(sizes) => Value::Size(sizes.into()),
                Node::Dict { kind, entries, attributes } => {
                    let mut pairs = |entries: &[(Item, Item)]| {
                        let pair = |(k, v): &(Item, Item)| Ok((self.value(k, depth + 1)?, self.value(v, depth + 1)?));
                        entries.iter().map(pair).collect::<Result<Vec<_>, String>>()
                    };
                    let (entries, attributes) = (pairs(entries)?, pairs(attributes)?);
                    Value::Dict(Dict::from_entries(*kind, entries, attributes)?)
                }
            },
        })
    }
}
