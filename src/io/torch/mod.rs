//! Files of `torch.save`: a pickle of Python's values and the memory of tensors beside it, in a zip archive or, before
//! PyTorch 1.6, one after the other.
//!
//! What is read is a part of what `torch.load(weights_only=True)` reads: plain values and dense tensors; no sets, bytearrays, sparse or
//! quantized tensors. Nothing in a file is run, and nothing is allocated that the file's length does not prove.

mod globals;
mod legacy;
mod pickle;
mod read;
mod stored;
mod unpickle;

#[cfg(test)]
mod tests;

use super::value::Value;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::layout::Layout;
use crate::stream;
use crate::tensor::{Body, Tensor};
use std::fs::File;
use std::io::{BufWriter, Read};
use std::path::Path;

/// Writes a value as `torch.save(value, path)` does, whole or not at all; `torch.load` reads it with `weights_only=True`.
///
/// A storage is written once and whole: views keep offset and stride, and tensors that share memory share it after loading.
/// That also means that a view of a few elements brings all of its storage; save [`Tensor::copy`] of it to avoid that.
/// Tensors on a GPU are written as tensors on the CPU, so that they load anywhere.
///
/// ```
/// # use wgtorch::prelude::*;
/// use wgtorch::io::{self, Dict};
/// # let path = std::env::temp_dir().join(format!("wgtorch-doc-save-{}.pt", std::process::id()));
/// let model = sequential!(Linear::new(4, 2));
/// let mut checkpoint = Dict::new();
/// checkpoint.insert("model", model.state_dict());
/// checkpoint.insert("epoch", 3);
/// io::save(checkpoint, &path)?;
///
/// let checkpoint = io::load(&path)?;
/// model.load_state_dict(&checkpoint["model"].to_state_dict()?, true)?;
/// assert_eq!(checkpoint["epoch"].as_i64(), Some(3));
/// # std::fs::remove_file(path).unwrap();
/// # Ok::<(), Error>(())
/// ```
///
/// # Errors
/// If the file cannot be written, a device fails, or tensors of two dtypes see one storage.
pub fn save(value: impl Into<Value>, path: impl AsRef<Path>) -> Result<()> {
    let (value, path) = (value.into(), path.as_ref());
    let (pickle, storages) = pickle::pickle(&value)?;
    let io = |e| Error::io(path, e);
    // PyTorch names the folder after the file, where the name is ASCII
    let stem = path.file_stem().and_then(|s| s.to_str()).filter(|s| s.is_ascii()).unwrap_or("archive");
    super::write_atomically(path, |temporary| {
        let mut archive = stored::Writer::new(BufWriter::new(File::create(temporary).map_err(io)?), stem);
        archive.add("data.pkl", &pickle).map_err(io)?;
        archive.add(".format_version", b"1").map_err(io)?;
        archive.add(".storage_alignment", stored::ALIGNMENT.to_string().as_bytes()).map_err(io)?;
        archive.add("byteorder", b"little").map_err(io)?;
        for (i, t) in storages.iter().enumerate() {
            let body = t.body();
            let layout = Layout::contiguous(&[body.storage.nbytes / body.dtype.size()][..]);
            let whole = Tensor::from_body(Body { layout, ..body }, None);
            stream::read(&whole.arg(), |bytes| archive.add(&format!("data/{i}"), bytes))?.map_err(io)?;
        }
        archive.add("version", b"3\n").map_err(io)?;
        archive.finish().map_err(io)?;
        Ok(())
    })
}

/// Reads a file of `torch.save`, tensors to the CPU wherever they were (`torch.load(path, map_location="cpu",
/// weights_only=True)`), in the zip format or the older one.
///
/// # Errors
/// If the file cannot be read, is damaged, or holds anything but tensors and plain values; the error names the file, and the
/// global where a pickle asks for one that is not allowed.
///
/// ```no_run
/// # use wgtorch::prelude::*;
/// let state = wgtorch::io::load("model.pth")?.to_state_dict()?;
/// # Ok::<(), Error>(())
/// ```
pub fn load(path: impl AsRef<Path>) -> Result<Value> {
    load_to(path, Device::Cpu)
}

/// [`load`] with tensors on a device (`torch.load(path, map_location=device, weights_only=True)`); tensors that share memory
/// share it there.
///
/// # Errors
/// As [`load`], or if the device cannot be opened.
pub fn load_to(path: impl AsRef<Path>, device: Device) -> Result<Value> {
    let path = path.as_ref();
    let mut head = Vec::new();
    let file = File::open(path).map_err(|e| Error::io(path, e))?;
    file.take(legacy::HEAD as u64).read_to_end(&mut head).map_err(|e| Error::io(path, e))?;
    if head.starts_with(b"PK\x03\x04") {
        return read::read_zip(path, device);
    }
    if legacy::is_legacy(&head) {
        return legacy::read_legacy(path, device);
    }
    let what =
        if head.is_empty() { "the file is empty" } else { "it is neither a zip archive nor of the older format" };
    Err(Error::format(path.display().to_string(), format!("not a file of torch.save: {what}")))
}
