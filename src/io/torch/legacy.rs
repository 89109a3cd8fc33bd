//! The format that `torch.save` wrote before 1.6, and writes with `_use_new_zipfile_serialization=False`: pickles one after
//! another (a magic number, a version, facts of the machine, the object, the keys of its storages), then the storages.

use super::read::build;
use super::unpickle::{Item, Node, Pickle, unpickle};
use crate::cpu::memory::HostBuf;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::io::value::Value;
use std::collections::HashMap;
use std::path::Path;

/// The pickle of the magic number 0x1950a86a20f9469cfc6c in protocol 2.
const MAGIC: &[u8] = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.";
const VERSION: i64 = 1001;

/// True where a file starts like one of this format.
pub fn is_legacy(head: &[u8]) -> bool {
    head.starts_with(MAGIC)
}

/// How many bytes tell it.
pub const HEAD: usize = MAGIC.len();

/// Reads a file of this format.
pub fn read_legacy(path: &Path, device: Device) -> Result<Value> {
    let what = path.display().to_string();
    let wrong = |message: String| Error::format(&what, message);
    let file = std::fs::read(path).map_err(|e| Error::io(path, e))?;
    let mut rest = file.get(MAGIC.len()..).ok_or_else(|| wrong("ends inside its header".into()))?;
    let mut next = || -> Result<(Pickle, usize)> {
        let pickle = unpickle(rest).map_err(|e| wrong(format!("Weights only load failed. {e}")))?;
        let len = pickle.len;
        rest = &rest[len..];
        Ok((pickle, len))
    };
    let (version, _) = next()?;
    if !matches!(version.root, Item::Int(VERSION)) {
        return Err(wrong(format!("Invalid protocol version: {:?}", version.root)));
    }
    // the writer's byte order among others; storages are little-endian whatever it was
    let _machine = next()?;
    let (object, len) = next()?;
    let (keys, _) = next()?;
    let keys = match &keys.root {
        Item::Node(i) => match &keys.nodes[*i] {
            Node::List(items) => items,
            _ => return Err(wrong("the keys of its storages are no list".into())),
        },
        _ => return Err(wrong("the keys of its storages are no list".into())),
    };
    let places: HashMap<&str, usize> = object.storages.iter().enumerate().map(|(i, s)| (&*s.key, i)).collect();
    let mut contents: Vec<Option<&[u8]>> = vec![None; object.storages.len()];
    for key in keys {
        let Item::Str(key) = key else { return Err(wrong("the key of a storage is no string".into())) };
        let place = *places.get(&**key).ok_or_else(|| wrong(format!("storage {key} belongs to no tensor")))?;
        let storage = &object.storages[place];
        let (numel, data) = rest.split_first_chunk::<8>().ok_or_else(|| wrong(format!("ends before storage {key}")))?;
        let numel = i64::from_le_bytes(*numel);
        if usize::try_from(numel).ok() != Some(storage.numel) {
            return Err(wrong(format!("storage {key} has {numel} elements, not {}", storage.numel)));
        }
        if data.len() < storage.nbytes() {
            return Err(wrong(format!("ends inside storage {key}: {} of {} bytes", data.len(), storage.nbytes())));
        }
        let (bytes, after) = data.split_at(storage.nbytes());
        contents[place] = Some(bytes);
        rest = after;
    }
    let read = |i: usize| match contents[i] {
        Some(bytes) => Ok(HostBuf::from_bytes(bytes)),
        None => Err(wrong(format!("storage {} is missing", object.storages[i].key))),
    };
    build(&object, len, read, device, &what)
}
