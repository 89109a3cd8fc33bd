//! Files: formats in and out, each with errors that name the file, and writes that leave nothing half-written.

pub mod idx;
mod npy;
pub mod safetensors;
mod state;
mod torch;
mod value;
mod zip;

pub use npy::{load_npy, load_npz, save_npy, save_npz, save_npz_compressed};
pub use state::{load_safetensors, save_safetensors};
pub use torch::{load, load_to, save};
pub use value::{Dict, DictKind, Key, Value};

use crate::dtype::DType;
use crate::error::{Error, Result};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// Lets `write` fill a temporary file beside `path`, then moves it there; if it fails, `path` is as it was.
pub fn write_atomically(path: &Path, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let Some(name) = path.file_name() else {
        return Err(Error::io(path, std::io::Error::new(std::io::ErrorKind::InvalidInput, "not the name of a file")));
    };
    // Process and count make it unique; the same folder makes the move a rename.
    let unique = format!(".{}.{}.tmp", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let mut temporary = std::ffi::OsString::from(".");
    temporary.push(name);
    temporary.push(unique);
    let temporary = path.with_file_name(temporary);
    let done = usual_permissions(path, &temporary).and_then(|permissions| {
        write(&temporary)?;
        // Writers that make temporary files of their own make them private.
        let moved = std::fs::set_permissions(&temporary, permissions).and_then(|()| std::fs::rename(&temporary, path));
        moved.map_err(|e| Error::io(path, e))
    });
    if done.is_err() {
        // There may be nothing to remove; the first error is the one to tell.
        let _ = std::fs::remove_file(&temporary);
    }
    // The caller knows its own path, not the temporary one.
    done.map_err(|e| match e {
        Error::Io { source, .. } => Error::Io { path: path.to_path_buf(), source },
        e => e,
    })
}

/// The permissions that `path` has, or that a file made in its place gets.
fn usual_permissions(path: &Path, temporary: &Path) -> Result<std::fs::Permissions> {
    let made = || std::fs::File::create(temporary).and_then(|f| f.metadata());
    let metadata = std::fs::metadata(path).or_else(|_| made()).map_err(|e| Error::io(path, e))?;
    Ok(metadata.permissions())
}

/// PyTorch's and NumPy's own limit of a tensor's dims.
const MOST_DIMS: usize = 64;

/// Turns the bytes of each element round; of a complex one, those of each part.
fn swap_elements(bytes: &mut [u8], dtype: DType) {
    bytes.chunks_exact_mut(dtype.to_real().size()).for_each(<[u8]>::reverse);
}

#[cfg(test)]
pub(crate) mod testing {
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// A folder of one test's own, removed with its contents at the end.
    pub struct Folder(pub PathBuf);

    impl Folder {
        pub fn new() -> Folder {
            static COUNT: AtomicU64 = AtomicU64::new(0);
            let name = format!("wgtorch-test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
            let path = std::env::temp_dir().join(name);
            std::fs::create_dir_all(&path).unwrap();
            Folder(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}
