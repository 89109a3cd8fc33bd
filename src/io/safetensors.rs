//! The safetensors format as lists of named arrays of bytes; tensors are made of them elsewhere.

use crate::dtype::DType;
use crate::error::{Error, Result, ensure};
use crate::shape::numel;
use safetensors::{Dtype, SafeTensorError};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;
use std::path::Path;

/// One named array: its elements row-major, in little-endian bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The name, `conv1.weight`.
    pub name: &'a str,
    /// The elements' type.
    pub dtype: DType,
    /// The sizes, outermost first.
    pub shape: &'a [usize],
    /// `shape`'s product times the dtype's size bytes.
    pub bytes: &'a [u8],
}

/// A file in memory, its header checked against its length.
#[derive(Debug)]
pub struct Contents {
    bytes: Vec<u8>,
    entries: Vec<(String, DType, Vec<usize>, Range<usize>)>,
    metadata: BTreeMap<String, String>,
}

impl Contents {
    /// The arrays, in the order they lie in the file.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = Entry<'_>> {
        self.entries.iter().map(|(name, dtype, shape, range)| Entry {
            name,
            dtype: *dtype,
            shape,
            bytes: &self.bytes[range.clone()],
        })
    }

    /// The array of that name.
    pub fn get(&self, name: &str) -> Option<Entry<'_>> {
        self.entries().find(|e| e.name == name)
    }

    /// The texts that the file's writer added (`__metadata__`).
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }
}

/// Reads a file; nothing is allocated that its length does not prove.
pub fn read(path: impl AsRef<Path>) -> Result<Contents> {
    let path = path.as_ref();
    let bytes = std::fs::read(path).map_err(|e| Error::io(path, e))?;
    parse(bytes, &path.display().to_string())
}

/// Reads a file's bytes; `what` names them in errors.
pub fn parse(bytes: Vec<u8>, what: &str) -> Result<Contents> {
    let wrong = |message: String| Error::format(what, message);
    let (header, metadata) =
        safetensors::SafeTensors::read_metadata(&bytes).map_err(|e| wrong(format!("not a safetensors file: {e}")))?;
    let start = 8 + header;
    let mut entries = Vec::new();
    for name in metadata.offset_keys() {
        let info = metadata.info(&name).expect("the names are the header's own");
        let dtype = from_file(info.dtype)
            .ok_or_else(|| wrong(format!("{name} has dtype {:?}, which has no match here", info.dtype)))?;
        let range = start + info.data_offsets.0..start + info.data_offsets.1;
        // A bool of any other bit pattern is undefined behaviour.
        if dtype == DType::Bool && bytes[range.clone()].iter().any(|&b| b > 1) {
            return Err(wrong(format!("{name} has bools that are neither 0 nor 1")));
        }
        entries.push((name, dtype, info.shape.clone(), range));
    }
    let metadata = metadata.metadata().clone().unwrap_or_default().into_iter().collect();
    Ok(Contents { bytes, entries, metadata })
}

/// Writes arrays and texts to a file, whole or not at all.
pub fn write(path: impl AsRef<Path>, entries: &[Entry], metadata: &BTreeMap<String, String>) -> Result<()> {
    let mut names = HashSet::new();
    for e in entries {
        ensure!(names.insert(e.name), Value, "two tensors are named {}", e.name);
        ensure!(to_file(e.dtype).is_some(), Value, "{} is of {}, which safetensors has no dtype for", e.name, e.dtype);
        ensure!(e.name != "__metadata__", Value, "a tensor may not be named __metadata__");
        ensure!(
            e.bytes.len() == numel(e.shape) * e.dtype.size(),
            Value,
            "{} has {} bytes, but shape {:?} of {} takes {}",
            e.name,
            e.bytes.len(),
            e.shape,
            e.dtype,
            numel(e.shape) * e.dtype.size()
        );
    }
    let info: HashMap<String, String> = metadata.clone().into_iter().collect();
    let info = (!info.is_empty()).then_some(info);
    let path = path.as_ref();
    super::write_atomically(path, |temporary| {
        safetensors::serialize_to_file(entries.iter().map(|e| (e.name, *e)), info, temporary).map_err(|e| match e {
            SafeTensorError::IoError(e) => Error::io(path, e),
            e => Error::format(path.display().to_string(), e.to_string()),
        })
    })
}

impl safetensors::View for Entry<'_> {
    fn dtype(&self) -> Dtype {
        to_file(self.dtype).expect("`write` has refused what the format does not have")
    }
    fn shape(&self) -> &[usize] {
        self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(self.bytes)
    }
    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

fn to_file(dtype: DType) -> Option<Dtype> {
    Some(match dtype {
        DType::Bool => Dtype::BOOL,
        DType::U8 => Dtype::U8,
        DType::I8 => Dtype::I8,
        DType::I16 => Dtype::I16,
        DType::I32 => Dtype::I32,
        DType::I64 => Dtype::I64,
        DType::U32 => Dtype::U32,
        DType::F16 => Dtype::F16,
        DType::BF16 => Dtype::BF16,
        DType::F32 => Dtype::F32,
        DType::F64 => Dtype::F64,
        DType::C64 => Dtype::C64,
        // no such dtype in the format
        DType::C128 => return None,
    })
}

fn from_file(dtype: Dtype) -> Option<DType> {
    DType::ALL.into_iter().find(|&d| to_file(d) == Some(dtype))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::testing::Folder;

    const INIT: &[u8] = include_bytes!("../../tests/data/lenet_init.safetensors");

    fn file(header: &str, data: &[u8]) -> Vec<u8> {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        bytes
    }

    fn message(bytes: Vec<u8>) -> String {
        match parse(bytes, "x.safetensors") {
            Err(Error::Format { what, message }) if what == "x.safetensors" => message,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_file_that_python_wrote_is_read_and_written_again_the_same() {
        let contents = parse(INIT.to_vec(), "init").unwrap();
        assert_eq!(contents.entries().len(), 10);
        let weight = contents.get("fc1.weight").unwrap();
        assert_eq!((weight.dtype, weight.shape, weight.bytes.len()), (DType::F32, &[120, 576][..], 276_480));
        assert_eq!(contents.get("conv1.bias").unwrap().bytes[..4], 0.223_495_45f32.to_le_bytes());
        let folder = Folder::new();
        let path = folder.0.join("again.safetensors");
        let entries: Vec<Entry> = contents.entries().collect();
        write(&path, &entries, contents.metadata()).unwrap();
        assert!(std::fs::read(&path).unwrap() == INIT);
        assert_eq!(std::fs::read_dir(&folder.0).unwrap().count(), 1, "no temporary file stays");
    }

    #[test]
    fn every_dtype_empties_and_texts_come_back() {
        let folder = Folder::new();
        let path = folder.0.join("all.safetensors");
        let bytes = [1u8; 16];
        let mut entries: Vec<Entry> = DType::ALL
            .iter()
            .filter(|d| to_file(**d).is_some())
            .map(|&dtype| Entry { name: dtype.name(), dtype, shape: &[2, 1], bytes: &bytes[..2 * dtype.size()] })
            .collect();
        entries.push(Entry { name: "empty", dtype: DType::F64, shape: &[0, 3], bytes: &[] });
        entries.push(Entry { name: "scalar", dtype: DType::I64, shape: &[], bytes: &bytes[..8] });
        let metadata = BTreeMap::from([("format".to_string(), "pt".to_string())]);
        write(&path, &entries, &metadata).unwrap();
        let contents = read(&path).unwrap();
        assert_eq!(contents.metadata(), &metadata);
        assert_eq!(contents.entries().len(), entries.len());
        for e in &entries {
            assert_eq!(contents.get(e.name).as_ref(), Some(e));
        }
    }

    #[test]
    fn what_cannot_be_written_leaves_the_old_file() {
        let folder = Folder::new();
        let path = folder.0.join("x.safetensors");
        std::fs::write(&path, "old").unwrap();
        let e = Entry { name: "a", dtype: DType::F32, shape: &[2], bytes: &[0; 8] };
        let none = BTreeMap::new();
        assert!(matches!(write(&path, &[e, e], &none), Err(Error::Value(_))));
        assert!(matches!(write(&path, &[Entry { bytes: &[0; 7], ..e }], &none), Err(Error::Value(_))));
        let failed = crate::io::write_atomically(&path, |temporary| {
            std::fs::write(temporary, "half").unwrap();
            Err(Error::Value("no".into()))
        });
        assert!(failed.is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(&folder.0).unwrap().count(), 1);
        let wide = Entry { dtype: DType::C128, shape: &[], bytes: &[0; 16], ..e };
        assert!(matches!(write(&path, &[wide], &none), Err(Error::Value(_))));
        let missing = folder.0.join("no such folder/x.safetensors");
        assert!(matches!(write(&missing, &[e], &none), Err(Error::Io { path, .. }) if path == missing));
    }

    #[test]
    fn files_get_the_permissions_that_others_get() {
        let folder = Folder::new();
        let (plain, ours) = (folder.0.join("plain"), folder.0.join("x.safetensors"));
        std::fs::write(&plain, "").unwrap();
        let e = Entry { name: "a", dtype: DType::F32, shape: &[2], bytes: &[0; 8] };
        write(&ours, &[e], &BTreeMap::new()).unwrap();
        let permissions = |p| std::fs::metadata(p).unwrap().permissions();
        assert_eq!(permissions(&ours), permissions(&plain));
    }

    #[test]
    fn lying_and_damaged_files_are_refused() {
        for n in [0, 7, 8, 100, INIT.len() - 1] {
            assert!(message(INIT[..n].to_vec()).starts_with("not a safetensors file"), "{n}");
        }
        for lie in [
            r#"{"a":{"dtype":"F32","shape":[1000000000000],"data_offsets":[0,4000000000000]}}"#,
            r#"{"a":{"dtype":"F32","shape":[18446744073709551615,2],"data_offsets":[0,4]}}"#,
            r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}"#,
            r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}"#,
            r#"{"a":{"dtype":"F99","shape":[1],"data_offsets":[0,4]}}"#,
            r#"{"a":"#,
        ] {
            assert!(message(file(lie, &[0; 4])).starts_with("not a safetensors file"), "{lie}");
        }
        // A header of 2^63 bytes in a file of 8.
        assert!(message((1u64 << 63).to_le_bytes().to_vec()).starts_with("not a safetensors file"));
        let odd = file(r#"{"a":{"dtype":"U64","shape":[1],"data_offsets":[0,8]}}"#, &[0; 8]);
        assert!(message(odd).contains("dtype U64"));
        let bools = file(r#"{"a":{"dtype":"BOOL","shape":[2],"data_offsets":[0,2]}}"#, &[1, 2]);
        assert!(message(bools).contains("neither 0 nor 1"));
    }
}
