//! Named tensors to and from safetensors files.

use super::safetensors::{Entry, read, write};
use crate::error::Result;
use crate::nn::StateDict;
use crate::tensor::Tensor;
use std::collections::BTreeMap;
use std::path::Path;

/// Writes tensors to a safetensors file, whole or not at all (`safetensors.torch.save_file`).
///
/// # Errors
/// If the file cannot be written, or a device fails.
pub fn save_safetensors(path: impl AsRef<Path>, state: &StateDict) -> Result<()> {
    let mut held = Vec::new();
    for (name, t) in state.iter() {
        held.push((name, t.dtype(), t.shape(), t.to_bytes()?));
    }
    let entries: Vec<Entry> = held
        .iter()
        .map(|(name, dtype, shape, bytes)| Entry { name, dtype: *dtype, shape: &shape[..], bytes })
        .collect();
    write(path, &entries, &BTreeMap::from([("format".to_string(), "pt".to_string())]))
}

/// Reads the tensors of a safetensors file, in the order they lie in it (`safetensors.torch.load_file`).
///
/// # Errors
/// If the file cannot be read, or lies about what it holds.
pub fn load_safetensors(path: impl AsRef<Path>) -> Result<StateDict> {
    let contents = read(path)?;
    contents.entries().map(|e| Ok((e.name.to_string(), Tensor::from_bytes(e.bytes, e.shape, e.dtype)?))).collect()
}
