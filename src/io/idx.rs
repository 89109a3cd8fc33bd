//! The IDX files that MNIST and its kin come in, plain or gzipped.

use crate::error::{Error, Result};
use std::fs::File;
use std::io::{BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};

/// An array of bytes with its sizes, row-major.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdxArray {
    /// The sizes, outermost first.
    pub shape: Vec<usize>,
    /// The elements: as many as the sizes say.
    pub data: Vec<u8>,
}

/// Images and labels of one half of MNIST (or of a set in its form).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digits {
    /// `[N, rows, columns]`
    pub images: IdxArray,
    /// `[N]`
    pub labels: IdxArray,
}

/// Reads an IDX file of unsigned bytes; gzip is told by its magic, not by the name.
pub fn read_idx(path: impl AsRef<Path>) -> Result<IdxArray> {
    let path = path.as_ref();
    let mut reader = BufReader::new(File::open(path).map_err(|e| Error::io(path, e))?);
    let mut magic = [0; 2];
    let got = read_up_to(&mut reader, &mut magic).map_err(|e| Error::io(path, e))?;
    let rest = std::io::Cursor::new(magic).take(got as u64).chain(reader);
    if magic == [0x1f, 0x8b] { parse(flate2::read::MultiGzDecoder::new(rest), path) } else { parse(rest, path) }
}

/// Reads MNIST's training or test digits from a folder: its four file names, each with or without `.gz`.
pub fn read_mnist(folder: impl AsRef<Path>, train: bool) -> Result<Digits> {
    let prefix = if train { "train" } else { "t10k" };
    let images_path = find(folder.as_ref(), &format!("{prefix}-images-idx3-ubyte"))?;
    let labels_path = find(folder.as_ref(), &format!("{prefix}-labels-idx1-ubyte"))?;
    let (images, labels) = (read_idx(&images_path)?, read_idx(&labels_path)?);
    let wrong = |path: &Path, message: String| Err(Error::format(path.display().to_string(), message));
    if images.shape.len() != 3 {
        return wrong(&images_path, format!("images have 3 dimensions, this file has {}", images.shape.len()));
    }
    if labels.shape.len() != 1 {
        return wrong(&labels_path, format!("labels have 1 dimension, this file has {}", labels.shape.len()));
    }
    if images.shape[0] != labels.shape[0] {
        return wrong(&labels_path, format!("{} labels for {} images", labels.shape[0], images.shape[0]));
    }
    Ok(Digits { images, labels })
}

/// The file of that name, or the one with `.gz`; the plain one wins where both are.
fn find(folder: &Path, name: &str) -> Result<PathBuf> {
    let plain = folder.join(name);
    let zipped = folder.join(format!("{name}.gz"));
    if plain.exists() {
        Ok(plain)
    } else if zipped.exists() {
        Ok(zipped)
    } else {
        Err(Error::io(zipped, std::io::Error::new(ErrorKind::NotFound, "no such file, and none without .gz")))
    }
}

/// Fills as much of the buffer as there is, and says how much.
fn read_up_to(reader: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut got = 0;
    while got < buffer.len() {
        match reader.read(&mut buffer[got..]) {
            Ok(0) => break,
            Ok(n) => got += n,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(got)
}

fn parse(mut reader: impl Read, path: &Path) -> Result<IdxArray> {
    let wrong = |message: String| Error::format(path.display().to_string(), message);
    // What gzip calls bad data is a damaged file; all else is the system's.
    let failed = |e: std::io::Error| match e.kind() {
        ErrorKind::InvalidData | ErrorKind::InvalidInput | ErrorKind::UnexpectedEof => {
            wrong(format!("damaged gzip data: {e}"))
        }
        _ => Error::io(path, e),
    };
    let mut head = [0; 4];
    let got = read_up_to(&mut reader, &mut head).map_err(failed)?;
    if got < 4 {
        return Err(wrong(format!("not an IDX file: only {got} bytes long")));
    }
    let [0, 0, dtype, ndim] = head else {
        return Err(wrong(format!("not an IDX file: it starts with {head:02x?}, not with two zero bytes")));
    };
    if dtype != 0x08 {
        return Err(wrong(format!("its elements have type 0x{dtype:02x}; only unsigned bytes (0x08) are read")));
    }
    let mut shape = Vec::new();
    for dim in 0..ndim {
        let mut size = [0; 4];
        if read_up_to(&mut reader, &mut size).map_err(failed)? < 4 {
            return Err(wrong(format!("ends inside its header, which names {ndim} dimensions (at dimension {dim})")));
        }
        shape.push(u32::from_be_bytes(size) as usize);
    }
    let claimed = shape
        .iter()
        .try_fold(1u64, |n, &size| n.checked_mul(size as u64))
        .filter(|&n| n < isize::MAX as u64)
        .ok_or_else(|| wrong(format!("its header claims impossible sizes {shape:?}")))?;
    // The vector grows with what the file really holds; one byte more than claimed shows trailing data.
    let mut data = Vec::new();
    reader.take(claimed + 1).read_to_end(&mut data).map_err(failed)?;
    if (data.len() as u64) < claimed {
        return Err(wrong(format!("its header claims {claimed} elements {shape:?}, but only {} follow", data.len())));
    }
    if data.len() as u64 > claimed {
        return Err(wrong(format!("more data follows the {claimed} elements {shape:?} of its header")));
    }
    Ok(IdxArray { shape, data })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::testing::Folder;
    use std::io::Write;

    fn mnist() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data/mnist")
    }

    fn idx(sizes: &[u32], data: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 0, 8, sizes.len() as u8];
        bytes.extend(sizes.iter().flat_map(|n| n.to_be_bytes()));
        bytes.extend(data);
        bytes
    }

    fn read(bytes: &[u8]) -> Result<IdxArray> {
        let folder = Folder::new();
        let path = folder.0.join("x-idx");
        std::fs::write(&path, bytes).unwrap();
        read_idx(&path)
    }

    /// The message of a format error, which has to name the file.
    fn message(bytes: &[u8]) -> String {
        match read(bytes) {
            Err(Error::Format { what, message }) if what.ends_with("x-idx") => message,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_digits_in_the_repository_are_read() {
        let (train, test) = (read_mnist(mnist(), true).unwrap(), read_mnist(mnist(), false).unwrap());
        assert_eq!(train.images.shape, [8000, 28, 28]);
        assert_eq!(test.images.shape, [2000, 28, 28]);
        // The first bytes of the unzipped label file.
        assert_eq!(test.labels.data[..8], [9, 3, 7, 0, 9, 7, 7, 9]);
        assert!(train.labels.data.iter().all(|&l| l < 10));
    }

    #[test]
    fn plain_and_zipped_files_read_alike_by_either_name() {
        let bytes = idx(&[2, 3], &[1, 2, 3, 4, 5, 6]);
        let plain = read(&bytes).unwrap();
        assert_eq!(plain, IdxArray { shape: vec![2, 3], data: vec![1, 2, 3, 4, 5, 6] });
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gz.write_all(&bytes).unwrap();
        assert_eq!(read(&gz.finish().unwrap()).unwrap(), plain);
        assert_eq!(read(&idx(&[0, 28], &[])).unwrap().shape, [0, 28]);

        let folder = Folder::new();
        std::fs::write(folder.0.join("t10k-images-idx3-ubyte"), idx(&[1, 1, 1], &[7])).unwrap();
        std::fs::copy(mnist().join("t10k-labels-idx1-ubyte.gz"), folder.0.join("t10k-labels-idx1-ubyte.gz")).unwrap();
        let error = read_mnist(&folder.0, false).unwrap_err().to_string();
        assert!(error.ends_with("2000 labels for 1 images"), "{error}");
        assert!(matches!(read_mnist(&folder.0, true), Err(Error::Io { path, .. }) if path.starts_with(&folder.0)));
    }

    #[test]
    fn truncated_files_say_what_is_missing() {
        let bytes = idx(&[2, 3], &[1, 2, 3, 4, 5, 6]);
        for n in 0..bytes.len() {
            let message = message(&bytes[..n]);
            assert!(message.contains("only") || message.contains("inside its header"), "{n}: {message}");
        }
        let mut more = bytes.clone();
        more.push(0);
        assert!(message(&more).starts_with("more data follows the 6 elements"));
        let zipped = std::fs::read(mnist().join("t10k-labels-idx1-ubyte.gz")).unwrap();
        for n in [2, 9, 40, zipped.len() / 2, zipped.len() - 1] {
            assert!(message(&zipped[..n]).starts_with("damaged gzip data"), "{n}");
        }
    }

    #[test]
    fn lying_and_damaged_headers_are_refused_without_the_memory_they_claim() {
        // 2^128 elements, and 255 dimensions; both would overflow.
        assert!(message(&idx(&[u32::MAX; 4], &[])).contains("impossible sizes"));
        assert!(message(&idx(&[u32::MAX; 255], &[])).contains("impossible sizes"));
        // 2^62 elements fit an address but no memory: were they allocated, the test would die.
        assert!(message(&idx(&[1 << 31, 1 << 31], &[1, 2, 3])).contains("but only 3 follow"));
        assert!(message(&[0x50, 0x4b, 3, 4]).contains("not an IDX file"));
        assert!(message(&[0, 0, 0x0d, 1, 0, 0, 0, 0]).contains("0x0d"));
        let mut zipped = std::fs::read(mnist().join("t10k-labels-idx1-ubyte.gz")).unwrap();
        let middle = zipped.len() / 2;
        zipped[middle] ^= 0x55;
        assert!(message(&zipped).contains("gzip") || message(&zipped).contains("follow"));
        assert!(matches!(read_idx("/no/such/file"), Err(Error::Io { .. })));
    }
}
