//! The one error type: what a caller can do wrong, and what a device or a file can.

use std::panic::Location;
use std::path::PathBuf;
use std::sync::Arc;

/// What went wrong. The first five kinds carry PyTorch's wording and are named after the exception PyTorch raises.
#[non_exhaustive]
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// Shapes, dtypes or devices that do not fit (PyTorch's `RuntimeError`).
    #[error("{0}")]
    Runtime(String),
    /// A dimension or an index out of range (PyTorch's `IndexError`).
    #[error("{0}")]
    Index(String),
    /// An argument of a kind that the op refuses (PyTorch's `TypeError`).
    #[error("{0}")]
    Type(String),
    /// An argument outside its domain (PyTorch's `ValueError`).
    #[error("{0}")]
    Value(String),
    /// Something that exists in PyTorch but not for this dtype or device (PyTorch's `NotImplementedError`).
    #[error("{0}")]
    NotImplemented(String),
    /// What only the device could see, reported at the next wait: the op, where it was called, and what it met.
    #[error("{op}: {message} (called at {location})")]
    Deferred {
        /// The op's name.
        op: &'static str,
        /// The caller's source location.
        location: &'static Location<'static>,
        /// PyTorch's wording of the fault.
        message: String,
    },
    /// The device has no room left, also after its pool was drained.
    #[error("{op}: out of memory on {device}: tried to allocate {bytes} bytes; use smaller batches or drop tensors")]
    OutOfMemory {
        /// The op that asked.
        op: String,
        /// The device it ran on.
        device: String,
        /// The size of the request.
        bytes: u64,
    },
    /// No such device, or the device or its driver failed.
    #[error("{0}")]
    Device(String),
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: Arc<std::io::Error>,
    },
    /// A file's contents are not what its format demands.
    #[error("{what}: {message}")]
    Format {
        /// The file or format.
        what: String,
        /// What is wrong with it.
        message: String,
    },
}

/// The crate's result type.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// `bail!(Runtime, "…", args)`: return that kind of error.
macro_rules! bail {
    ($kind:ident, $($arg:tt)*) => { return Err($crate::Error::$kind(format!($($arg)*))) };
}
/// `ensure!(cond, Runtime, "…", args)`: return that kind of error unless the condition holds.
macro_rules! ensure {
    ($cond:expr, $kind:ident, $($arg:tt)*) => { if !$cond { $crate::error::bail!($kind, $($arg)*) } };
}
pub(crate) use {bail, ensure};

impl Error {
    /// Wraps an I/O error with the path it is about.
    pub fn io(path: impl Into<PathBuf>, source: std::io::Error) -> Error {
        Error::Io { path: path.into(), source: Arc::new(source) }
    }

    /// A format error: what was read, and what is wrong with it.
    pub fn format(what: impl Into<String>, message: impl Into<String>) -> Error {
        Error::Format { what: what.into(), message: message.into() }
    }
}
