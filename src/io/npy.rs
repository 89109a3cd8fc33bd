//! NumPy's files: `.npy` holds an array, `.npz` is a zip archive of such files.

use super::zip::{Archive, read_error};
use crate::cpu::memory::HostBuf;
use crate::dtype::DType;
use crate::error::{Error, Result, bail};
use crate::layout::Layout;
use crate::nn::StateDict;
use crate::shape::{Dims, contiguous_strides};
use crate::stream::{self, Storage};
use crate::tensor::{Body, Tensor};
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::Path;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// NumPy's own bound of what it parses.
const LONGEST_HEADER: usize = 10_000;
/// NumPy leaves room for the first size to grow to so many digits.
const GROWTH: usize = 21;

/// Reads a `.npy` file (`torch.from_numpy(numpy.load(path))`). An array in Fortran's order keeps it in its strides; big-endian
/// elements are turned round, which PyTorch refuses; what follows the array is left alone, as NumPy does.
///
/// # Errors
/// If the file cannot be read, is damaged, or has elements without a dtype here (objects, strings, records, uint16, uint64).
///
/// ```
/// # use wgtorch::prelude::*;
/// use wgtorch::io::{load_npy, save_npy};
/// # let path = std::env::temp_dir().join(format!("wgtorch-doc-{}.npy", std::process::id()));
/// let x = tensor!([[1., 2.], [3., 4.]]);
/// save_npy(&path, &x)?;
/// assert_eq!(load_npy(&path)?.to_vec::<f32>()?, [1., 2., 3., 4.]);
/// # std::fs::remove_file(path).unwrap();
/// # Ok::<(), Error>(())
/// ```
pub fn load_npy(path: impl AsRef<Path>) -> Result<Tensor> {
    let path = path.as_ref();
    let file = File::open(path).map_err(|e| Error::io(path, e))?;
    let len = file.metadata().map_err(|e| Error::io(path, e))?.len();
    read(BufReader::new(file), Some(len)).map_err(|e| e.at(path, ""))
}

/// Writes a `.npy` file, whole or not at all (`numpy.save(path, t.numpy(force=True))`); a transposed tensor is written in
/// Fortran's order, as NumPy does.
///
/// # Errors
/// If NumPy has no such dtype (bfloat16), the file cannot be written, or a device fails.
pub fn save_npy(path: impl AsRef<Path>, t: &Tensor) -> Result<()> {
    let path = path.as_ref();
    check_dtype(t.dtype())?;
    super::write_atomically(path, |temporary| {
        let mut out = BufWriter::new(File::create(temporary).map_err(|e| Error::io(path, e))?);
        write(&mut out, t)?.and_then(|()| out.flush()).map_err(|e| Error::io(path, e))
    })
}

/// Reads the arrays of a `.npz` file by name, in the file's order (`numpy.load(path)`); see [`load_npy`].
///
/// # Errors
/// As [`load_npy`], for any of its arrays.
pub fn load_npz(path: impl AsRef<Path>) -> Result<StateDict> {
    let path = path.as_ref();
    let mut archive = Archive::open(path)?;
    let mut arrays = StateDict::new();
    for entry in archive.names()? {
        let wrong = |message: &str| Error::format(path.display().to_string(), format!("{entry}: {message}"));
        let name = entry.strip_suffix(".npy").ok_or_else(|| wrong("it is no .npy file"))?;
        let (reader, proven) = archive.reader(&entry)?;
        let array = read(reader, proven).map_err(|e| e.at(path, &entry))?;
        if arrays.insert(name, array).is_some() {
            return Err(wrong("a second array of that name"));
        }
    }
    Ok(arrays)
}

/// Writes tensors to a `.npz` file by name, whole or not at all (`numpy.savez(path, **arrays)`).
///
/// # Errors
/// As [`save_npy`], or if two tensors have one name.
///
/// ```
/// # use wgtorch::prelude::*;
/// use wgtorch::io::{load_npz, save_npz};
/// # let path = std::env::temp_dir().join(format!("wgtorch-doc-{}.npz", std::process::id()));
/// let arrays: StateDict = [("x".to_string(), tensor!([1, 2])), ("y".to_string(), tensor!([true]))].into_iter().collect();
/// save_npz(&path, &arrays)?;
/// assert_eq!(load_npz(&path)?["x"].to_vec::<i64>()?, [1, 2]);
/// # std::fs::remove_file(path).unwrap();
/// # Ok::<(), Error>(())
/// ```
pub fn save_npz(path: impl AsRef<Path>, arrays: &StateDict) -> Result<()> {
    write_npz(path.as_ref(), arrays, CompressionMethod::Stored)
}

/// [`save_npz`] with compressed arrays (`numpy.savez_compressed`).
///
/// # Errors
/// As [`save_npz`].
pub fn save_npz_compressed(path: impl AsRef<Path>, arrays: &StateDict) -> Result<()> {
    write_npz(path.as_ref(), arrays, CompressionMethod::Deflated)
}

fn write_npz(path: &Path, arrays: &StateDict, method: CompressionMethod) -> Result<()> {
    arrays.iter().try_for_each(|(_, t)| check_dtype(t.dtype()))?;
    let io = |e| Error::io(path, e);
    let refused = |e: zip::result::ZipError| match e {
        zip::result::ZipError::Io(e) => io(e),
        e => Error::Value(format!("save_npz: {e}")),
    };
    super::write_atomically(path, |temporary| {
        let mut archive = ZipWriter::new(BufWriter::new(File::create(temporary).map_err(io)?));
        for (name, t) in arrays.iter() {
            // NumPy writes every entry so, whatever its size
            let options = SimpleFileOptions::default().compression_method(method).large_file(true);
            archive.start_file(format!("{name}.npy"), options).map_err(refused)?;
            write(&mut archive, t)?.map_err(io)?;
        }
        archive.finish().map_err(refused)?.flush().map_err(io)
    })
}

/// The dtype's name in a header, with the byte order; None where NumPy has none.
fn descr(dtype: DType) -> Option<&'static str> {
    Some(match dtype {
        DType::Bool => "|b1",
        DType::U8 => "|u1",
        DType::I8 => "|i1",
        DType::I16 => "<i2",
        DType::I32 => "<i4",
        DType::I64 => "<i8",
        DType::U32 => "<u4",
        DType::F16 => "<f2",
        DType::F32 => "<f4",
        DType::F64 => "<f8",
        DType::C64 => "<c8",
        DType::C128 => "<c16",
        DType::BF16 => return None,
    })
}

fn check_dtype(dtype: DType) -> Result<()> {
    match descr(dtype) {
        Some(_) => Ok(()),
        None => bail!(Type, "Got unsupported ScalarType {}", dtype.scalar_name()),
    }
}

/// Header and elements; the inner result is the writer's.
fn write(out: &mut impl Write, t: &Tensor) -> Result<std::io::Result<()>> {
    let body = t.body();
    let mut turned = body.layout.clone();
    turned.shape.reverse();
    turned.strides.reverse();
    let fortran = turned.is_contiguous() && !body.layout.is_contiguous();
    let source = if fortran { Tensor::from_body(Body { layout: turned, ..t.body() }, None) } else { t.packed()? };
    let descr = descr(body.dtype).expect("the callers have checked the dtype");
    let head = header(descr, fortran, &body.layout.shape);
    stream::read(&source.arg(), |bytes| out.write_all(&head).and_then(|()| out.write_all(bytes)))
}

fn header(descr: &str, fortran: bool, shape: &[usize]) -> Vec<u8> {
    let order = if fortran { "True" } else { "False" };
    let sizes = match shape {
        [n] => format!("({n},)"),
        sizes => format!("({})", sizes.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")),
    };
    let mut text = format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {sizes}, }}");
    if let Some(grows) = if fortran { shape.last() } else { shape.first() } {
        text += &" ".repeat(GROWTH.saturating_sub(grows.to_string().len()));
    }
    // a shape that needs a longer header than 65,535 bytes is no tensor's
    let len = (10 + text.len() + 1).next_multiple_of(64) - 10;
    let mut head = MAGIC.to_vec();
    head.extend([1, 0]);
    head.extend((len as u16).to_le_bytes());
    head.extend(text.bytes());
    head.resize(10 + len - 1, b' ');
    head.push(b'\n');
    head
}

/// What went wrong with a stream that has no name of its own.
enum Failed {
    Wrong(String),
    Io(std::io::Error),
}

impl Failed {
    fn at(self, path: &Path, entry: &str) -> Error {
        match self {
            Failed::Wrong(message) if entry.is_empty() => Error::format(path.display().to_string(), message),
            Failed::Wrong(message) => Error::format(path.display().to_string(), format!("{entry}: {message}")),
            Failed::Io(e) if entry.is_empty() => Error::io(path, e),
            Failed::Io(e) => read_error(path, e),
        }
    }
}

impl From<String> for Failed {
    fn from(message: String) -> Failed {
        Failed::Wrong(message)
    }
}

/// Fills the buffer; an end before that is the file's fault.
fn fill(reader: &mut impl Read, bytes: &mut [u8], what: &str) -> Result<(), Failed> {
    reader.read_exact(bytes).map_err(|e| match e.kind() {
        std::io::ErrorKind::UnexpectedEof => Failed::Wrong(format!("ends inside {what}")),
        _ => Failed::Io(e),
    })
}

/// Reads an array; `proven` is how many bytes there certainly are, where that is known.
fn read(mut reader: impl Read, proven: Option<u64>) -> Result<Tensor, Failed> {
    let mut head = [0; 8];
    fill(&mut reader, &mut head, "its magic string")?;
    if head[..6] != *MAGIC {
        return Err(Failed::Wrong("not a .npy file: it does not start with \\x93NUMPY".into()));
    }
    let (len, before) = match head[6] {
        1 => {
            let mut len = [0; 2];
            fill(&mut reader, &mut len, "its header")?;
            (u16::from_le_bytes(len) as usize, 10)
        }
        2 | 3 => {
            let mut len = [0; 4];
            fill(&mut reader, &mut len, "its header")?;
            (u32::from_le_bytes(len) as usize, 12)
        }
        version => return Err(Failed::Wrong(format!("version {version} of the format; 1 to 3 are known"))),
    };
    if len > LONGEST_HEADER {
        return Err(Failed::Wrong(format!("its header claims {len} bytes; NumPy reads {LONGEST_HEADER} at most")));
    }
    let mut text = vec![0; len];
    fill(&mut reader, &mut text, "its header")?;
    let text = std::str::from_utf8(&text).map_err(|e| format!("its header is not UTF-8: {e}"))?;
    let header = Header::parse(text)?;
    let (dtype, big_endian) = dtype_of(&header.descr)?;
    if header.shape.len() > super::MOST_DIMS {
        return Err(Failed::Wrong(format!("an array has too many (>{}) dims", super::MOST_DIMS)));
    }
    let shape: Dims = header.shape.iter().copied().collect();
    // sizes of none count as one: strides are multiplied all the same
    let most = shape.iter().try_fold(dtype.size(), |n, &s| n.checked_mul(s.max(1)));
    if most.is_none_or(|n| n > isize::MAX as usize) {
        return Err(Failed::Wrong(format!("its header claims impossible sizes {:?}", header.shape)));
    }
    let nbytes = crate::shape::numel(&shape) * dtype.size();
    let host = match proven.map(|n| n.saturating_sub(before + len as u64)) {
        Some(follow) if follow < nbytes as u64 => {
            return Err(Failed::Wrong(format!(
                "its header claims sizes {:?} of {dtype}, which take {nbytes} bytes, but only {follow} follow",
                header.shape
            )));
        }
        Some(_) => {
            let host = HostBuf::zeroed(nbytes);
            // SAFETY: the block was just made, of this size, and nobody else knows it.
            let bytes = unsafe { std::slice::from_raw_parts_mut(host.ptr(), host.len()) };
            fill(&mut reader, bytes, "its elements")?;
            host
        }
        None => {
            // the vector grows with what there really is
            let mut bytes = Vec::new();
            reader.by_ref().take(nbytes as u64).read_to_end(&mut bytes).map_err(Failed::Io)?;
            if bytes.len() < nbytes {
                return Err(Failed::Wrong(format!(
                    "its header claims sizes {:?} of {dtype}, which take {nbytes} bytes, but only {} follow",
                    header.shape,
                    bytes.len()
                )));
            }
            HostBuf::from_bytes(&bytes)
        }
    };
    // at the end of a zip entry its sum is compared
    reader.read(&mut [0]).map_err(Failed::Io)?;
    // SAFETY: the block holds as many bytes, all of them written, and nobody else knows it.
    let bytes = unsafe { std::slice::from_raw_parts_mut(host.ptr(), host.len()) };
    if big_endian {
        super::swap_elements(bytes, dtype);
    }
    // A bool of any other bit pattern is undefined behaviour.
    if dtype == DType::Bool && bytes.iter().any(|&b| b > 1) {
        return Err(Failed::Wrong("it has bools that are neither 0 nor 1".into()));
    }
    let mut layout = Layout::contiguous(shape);
    if header.fortran {
        let turned: Dims = layout.shape.iter().rev().copied().collect();
        layout.strides = contiguous_strides(&turned).into_iter().rev().collect();
    }
    Ok(Tensor::from_body(Body { storage: Storage::from_host(dtype, host), layout, dtype, version: None }, None))
}

/// The dtype that a header names, and whether its elements are big-endian.
fn dtype_of(descr: &str) -> Result<(DType, bool), String> {
    let (order, kind) = match descr.chars().next() {
        Some(order @ ('<' | '>' | '|' | '=')) => (order, &descr[1..]),
        _ => ('=', descr),
    };
    if kind.starts_with('O') {
        return Err("Object arrays cannot be loaded when allow_pickle=False".into());
    }
    let known = |d: &DType| self::descr(*d).is_some_and(|own| &own[1..] == kind);
    let dtype = DType::ALL.into_iter().find(known);
    let dtype = dtype.ok_or_else(|| format!("its elements have NumPy's dtype '{descr}', which has no match here"))?;
    Ok((dtype, order == '>'))
}

/// What a header says.
#[derive(Debug, PartialEq)]
struct Header {
    descr: String,
    fortran: bool,
    shape: Vec<usize>,
}

impl Header {
    /// Parses the literal of a Python dict with exactly these three keys.
    fn parse(text: &str) -> Result<Header, String> {
        let wrong = || format!("its header is no dict of descr, fortran_order and shape: {:?}", text.trim_end());
        Header::read(&mut Literal(text)).ok_or_else(wrong)?
    }

    /// None where it is no such literal; the inner error is about what it says.
    fn read(l: &mut Literal) -> Option<Result<Header, String>> {
        let (mut descr, mut fortran, mut shape) = (None, None, None);
        l.eat('{')?;
        while l.eat('}').is_none() {
            let key = l.string()?;
            l.eat(':')?;
            match key {
                "descr" if l.peek() == Some('[') => {
                    return Some(Err("its elements are records, which have no match here".into()));
                }
                "descr" if descr.is_none() => descr = Some(l.string()?.to_string()),
                "fortran_order" if fortran.is_none() => fortran = Some(l.word()?),
                "shape" if shape.is_none() => shape = Some(l.sizes()?),
                _ => return None,
            }
            if l.eat(',').is_none() {
                l.eat('}')?;
                break;
            }
        }
        if !l.0.trim().is_empty() {
            return None;
        }
        let fortran = match fortran? {
            "True" => true,
            "False" => false,
            _ => return None,
        };
        Some(Ok(Header { descr: descr?, fortran, shape: shape? }))
    }
}

/// What is left of a Python literal; each method takes a piece from its front.
struct Literal<'a>(&'a str);

impl<'a> Literal<'a> {
    fn peek(&mut self) -> Option<char> {
        self.0 = self.0.trim_start();
        self.0.chars().next()
    }
    fn eat(&mut self, c: char) -> Option<()> {
        self.peek();
        self.0 = self.0.strip_prefix(c)?;
        Some(())
    }
    fn string(&mut self) -> Option<&'a str> {
        let quote = self.peek().filter(|c| matches!(c, '\'' | '"'))?;
        let (text, rest) = self.0[1..].split_once(quote)?;
        self.0 = rest;
        (!text.contains('\\')).then_some(text)
    }
    fn word(&mut self) -> Option<&'a str> {
        self.peek();
        let end = self.0.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(self.0.len());
        let (word, rest) = self.0.split_at(end);
        self.0 = rest;
        (!word.is_empty()).then_some(word)
    }
    fn sizes(&mut self) -> Option<Vec<usize>> {
        self.eat('(')?;
        let mut sizes = Vec::new();
        while self.eat(')').is_none() {
            // Python 2 wrote long integers with an L
            sizes.push(self.word()?.trim_end_matches('L').parse().ok()?);
            if self.eat(',').is_none() {
                self.eat(')')?;
                break;
            }
        }
        Some(sizes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_python_literals() {
        let good = |text: &str| Header::parse(text).unwrap();
        let want = Header { descr: "<f4".into(), fortran: false, shape: vec![2, 3] };
        assert_eq!(good("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }   \n"), want);
        assert_eq!(good("{\"shape\":(2L,3L),\"descr\":\"<f4\",\"fortran_order\":False}"), want);
        assert_eq!(good("{'descr': '|b1', 'fortran_order': True, 'shape': ()}").shape, Vec::<usize>::new());
        assert_eq!(good("{'descr': '|b1', 'fortran_order': True, 'shape': (7,)}").shape, [7]);
        for bad in [
            "",
            "{",
            "{}",
            "{'descr': '<f4', 'fortran_order': False}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (2**62, )}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (-1, )}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999, )}",
            "{'descr': '<f4', 'fortran_order': 0, 'shape': (2, )}",
            "{'descr': '<f4', 'descr': '<f8', 'fortran_order': False, 'shape': (2, )}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (2, )} + 1",
        ] {
            assert!(Header::parse(bad).unwrap_err().contains("is no dict of"), "{bad}");
        }
        let records = Header::parse("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,)}");
        assert!(records.unwrap_err().contains("records"));
    }

    #[test]
    fn dtypes_have_numpys_names() {
        for d in DType::ALL {
            if let Some(name) = descr(d) {
                assert_eq!(dtype_of(name), Ok((d, false)));
                assert_eq!(dtype_of(&name.replace('<', ">")), Ok((d, name.starts_with('<'))));
            }
        }
        for odd in ["<u2", "<u8", "<f16", "<U3", "|S3", "|V4", "<M8[ns]", "", "é"] {
            assert!(dtype_of(odd).unwrap_err().contains("no match"), "{odd}");
        }
        assert!(dtype_of("|O").unwrap_err().contains("allow_pickle=False"));
    }
}
