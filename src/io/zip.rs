//! Zip containers, read without believing them: sizes are held against the file's length before memory is asked for.

use crate::error::{Error, Result};
use std::fs::File;
use std::io::{BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};
use zip::CompressionMethod;
use zip::read::ZipFile;
use zip::result::ZipError;

/// An open archive.
pub struct Archive {
    zip: zip::ZipArchive<BufReader<File>>,
    path: PathBuf,
    /// Bytes of the file that no entry has been read from yet: entries that lie over each other use them up.
    left: u64,
}

impl Archive {
    /// Opens a file and reads its directory.
    pub fn open(path: &Path) -> Result<Archive> {
        let file = File::open(path).map_err(|e| Error::io(path, e))?;
        let left = file.metadata().map_err(|e| Error::io(path, e))?.len();
        // Nothing stands before the archive in these files. Looking for where it starts goes wrong where the first entry of
        // the directory is as long as the two records that PyTorch puts between directory and end.
        let config = zip::read::Config { archive_offset: zip::read::ArchiveOffset::Known(0) };
        let zip = zip::ZipArchive::with_config(config, BufReader::new(file)).map_err(|e| damaged(path, e))?;
        Ok(Archive { zip, path: path.to_path_buf(), left })
    }

    /// The entries' names in the order of the directory.
    pub fn names(&self) -> Result<Vec<String>> {
        let names = self.zip.file_names().map(|n| n.map(|n| n.into_owned()));
        names.collect::<Result<_, _>>().map_err(|e| damaged(&self.path, e))
    }

    /// The size of an entry that lies in the file as it is; None where there is none of that name.
    ///
    /// # Errors
    /// If the entry is compressed, or larger than what is left of the file.
    pub fn stored_size(&mut self, name: &str) -> Result<Option<usize>> {
        let left = self.left;
        let entry = match self.zip.by_name(name) {
            Ok(entry) => entry,
            Err(ZipError::FileNotFound) => return Ok(None),
            Err(e) => return Err(damaged(&self.path, e)),
        };
        let wrong = |message: String| Err(Error::format(self.path.display().to_string(), message));
        if entry.compression() != CompressionMethod::Stored {
            return wrong(format!("its record {name} is compressed; PyTorch stores records as they are"));
        }
        match usize::try_from(entry.size()) {
            Ok(size) if entry.size() <= left => Ok(Some(size)),
            _ => wrong(format!("its record {name} claims {} bytes, more than the file has", entry.size())),
        }
    }

    /// Reads an entry of exactly this size, and checks its sum.
    pub fn fill(&mut self, name: &str, bytes: &mut [u8]) -> Result<()> {
        let at = self.zip.by_name(name).map_err(|e| damaged(&self.path, e))?;
        let left = self.left.checked_sub(bytes.len() as u64);
        self.left = left.ok_or_else(|| overlap(&self.path))?;
        read_whole(at, bytes).map_err(|e| damaged(&self.path, ZipError::Io(e)))
    }

    /// An entry to be read from its start, and its size where the file's length proves it.
    pub fn reader(&mut self, name: &str) -> Result<(ZipFile<'_, BufReader<File>>, Option<u64>)> {
        let entry = self.zip.by_name(name).map_err(|e| damaged(&self.path, e))?;
        self.left = self.left.checked_sub(entry.compressed_size()).ok_or_else(|| overlap(&self.path))?;
        let proven = (entry.compression() == CompressionMethod::Stored && entry.size() <= entry.compressed_size())
            .then(|| entry.size());
        Ok((entry, proven))
    }
}

/// Fills the buffer, and reads on to the end, where the sum is compared.
fn read_whole(mut reader: impl Read, bytes: &mut [u8]) -> std::io::Result<()> {
    reader.read_exact(bytes)?;
    match reader.read(&mut [0])? {
        0 => Ok(()),
        _ => Err(std::io::Error::new(ErrorKind::InvalidData, "a record is longer than its size")),
    }
}

fn overlap(path: &Path) -> Error {
    Error::format(path.display().to_string(), "its records lie over each other")
}

/// What is wrong with a file's bytes is its format's; what the system says is its own.
fn damaged(path: &Path, e: ZipError) -> Error {
    match e {
        ZipError::Io(e) => read_error(path, e),
        e => Error::format(path.display().to_string(), format!("damaged zip archive: {e}")),
    }
}

/// [`damaged`] for what a reader of an entry says.
pub fn read_error(path: &Path, e: std::io::Error) -> Error {
    match e.kind() {
        ErrorKind::InvalidData | ErrorKind::InvalidInput | ErrorKind::UnexpectedEof | ErrorKind::Other => {
            Error::format(path.display().to_string(), format!("damaged zip archive: {e}"))
        }
        _ => Error::io(path, e),
    }
}
