//! Case folders as they lie on disk: `cases.jsonl` beside `tensors.safetensors`.

use serde_json::Value as Json;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use wgtorch::{Complex, DType, Device, Element, Tensor};

/// A tensor on the host, decoded: floats as f64, complex numbers as two, everything else as i64, so that comparing needs few loops.
#[derive(Clone, Debug)]
pub struct Host {
    pub dtype: DType,
    pub shape: Vec<usize>,
    pub data: Data,
}

#[derive(Clone, Debug)]
pub enum Data {
    Float(Vec<f64>),
    Int(Vec<i64>),
    Complex(Vec<Complex<f64>>),
}

impl Host {
    /// Reads a tensor back in its own dtype, so that no conversion runs on the device.
    pub fn read(t: &Tensor) -> wgtorch::Result<Host> {
        macro_rules! read {
            ($t:ty as $kind:ident) => {
                Data::$kind(t.to_vec::<$t>()?.into_iter().map(|x| x.into()).collect())
            };
        }
        let data = match t.dtype() {
            DType::Bool => Data::Int(t.to_vec::<bool>()?.into_iter().map(|b| b as i64).collect()),
            DType::U8 => read!(u8 as Int),
            DType::I8 => read!(i8 as Int),
            DType::I16 => read!(i16 as Int),
            DType::I32 => read!(i32 as Int),
            DType::I64 => read!(i64 as Int),
            DType::U32 => read!(u32 as Int),
            DType::F16 => read!(half::f16 as Float),
            DType::BF16 => read!(half::bf16 as Float),
            DType::F32 => read!(f32 as Float),
            DType::F64 => read!(f64 as Float),
            DType::C64 => Data::Complex(t.to_vec::<Complex<f32>>()?.into_iter().map(wide).collect()),
            DType::C128 => Data::Complex(t.to_vec()?),
            other => panic!("the runner cannot read {other}"),
        };
        Ok(Host { dtype: t.dtype(), shape: t.shape().to_vec(), data })
    }

    pub fn numel(&self) -> usize {
        self.shape.iter().product()
    }
}

fn wide(z: Complex<f32>) -> Complex<f64> {
    Complex::new(z.re.into(), z.im.into())
}

/// A tensor of a folder, still in the file's bytes.
pub struct Stored {
    dtype: DType,
    pub shape: Vec<usize>,
    bytes: Vec<u8>,
    /// Some case says of it that its last dim holds the parts of complex numbers.
    complex: bool,
}

fn elements<T: Copy, const N: usize>(bytes: &[u8], f: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.chunks_exact(N).map(|c| f(c.try_into().expect("chunks of N bytes"))).collect()
}

impl Stored {
    /// The tensor on a device.
    pub fn upload(&self, device: Device) -> wgtorch::Result<Tensor> {
        fn make<T: Element>(v: Vec<T>, shape: &[usize], device: Device) -> wgtorch::Result<Tensor> {
            Tensor::from_vec(v, shape, device)
        }
        let (b, s) = (&self.bytes[..], &self.shape[..]);
        if self.complex {
            let (s, parts) = (&s[..s.len() - 1], self.parts());
            return match self.dtype {
                DType::F32 => make(parts.iter().map(|z| Complex::new(z.re as f32, z.im as f32)).collect(), s, device),
                _ => make(parts, s, device),
            };
        }
        match self.dtype {
            DType::Bool => make(elements(b, |[x]| x != 0), s, device),
            DType::U8 => make(b.to_vec(), s, device),
            DType::I8 => make(elements(b, i8::from_le_bytes), s, device),
            DType::I16 => make(elements(b, i16::from_le_bytes), s, device),
            DType::I32 => make(elements(b, i32::from_le_bytes), s, device),
            DType::I64 => make(elements(b, i64::from_le_bytes), s, device),
            DType::F16 => make(elements(b, half::f16::from_le_bytes), s, device),
            DType::BF16 => make(elements(b, half::bf16::from_le_bytes), s, device),
            DType::F32 => make(elements(b, f32::from_le_bytes), s, device),
            DType::F64 => make(elements(b, f64::from_le_bytes), s, device),
            other => panic!("no {other} in a case folder"),
        }
    }

    /// The complex numbers that pairs of elements are.
    fn parts(&self) -> Vec<Complex<f64>> {
        let all = match self.dtype {
            DType::F32 => elements(&self.bytes, |x| f32::from_le_bytes(x) as f64),
            DType::F64 => elements(&self.bytes, f64::from_le_bytes),
            other => panic!("no complex numbers of {other}"),
        };
        all.chunks_exact(2).map(|z| Complex::new(z[0], z[1])).collect()
    }

    /// The tensor decoded.
    pub fn host(&self) -> Host {
        if self.complex {
            let dtype = if self.dtype == DType::F32 { DType::C64 } else { DType::C128 };
            let shape = self.shape[..self.shape.len() - 1].to_vec();
            return Host { dtype, shape, data: Data::Complex(self.parts()) };
        }
        let b = &self.bytes[..];
        let data = match self.dtype {
            DType::Bool | DType::U8 => Data::Int(elements(b, |[x]| x as i64)),
            DType::I8 => Data::Int(elements(b, |x| i8::from_le_bytes(x) as i64)),
            DType::I16 => Data::Int(elements(b, |x| i16::from_le_bytes(x) as i64)),
            DType::I32 => Data::Int(elements(b, |x| i32::from_le_bytes(x) as i64)),
            DType::I64 => Data::Int(elements(b, i64::from_le_bytes)),
            DType::F16 => Data::Float(elements(b, |x| half::f16::from_le_bytes(x).to_f64())),
            DType::BF16 => Data::Float(elements(b, |x| half::bf16::from_le_bytes(x).to_f64())),
            DType::F32 => Data::Float(elements(b, |x| f32::from_le_bytes(x) as f64)),
            DType::F64 => Data::Float(elements(b, f64::from_le_bytes)),
            other => panic!("no {other} in a case folder"),
        };
        Host { dtype: self.dtype, shape: self.shape.clone(), data }
    }
}

/// One folder: its cases in the file's order, and every tensor they name.
pub struct Folder {
    pub name: String,
    pub cases: Vec<Json>,
    pub tensors: HashMap<String, Stored>,
}

fn stored_dtype(d: safetensors::Dtype) -> Option<DType> {
    use safetensors::Dtype::*;
    Some(match d {
        BOOL => DType::Bool,
        U8 => DType::U8,
        I8 => DType::I8,
        I16 => DType::I16,
        I32 => DType::I32,
        I64 => DType::I64,
        F16 => DType::F16,
        BF16 => DType::BF16,
        F32 => DType::F32,
        F64 => DType::F64,
        _ => return None,
    })
}

/// The names of the tensors that a case, or a part of it, calls complex.
fn complex_names<'a>(v: &'a Json, out: &mut HashSet<&'a str>) {
    match v {
        Json::Array(a) => a.iter().for_each(|v| complex_names(v, out)),
        Json::Object(o) => {
            if o.get("complex") == Some(&Json::Bool(true)) {
                out.extend(o.get("t").and_then(Json::as_str));
            }
            o.values().for_each(|v| complex_names(v, out));
        }
        _ => {}
    }
}

impl Folder {
    fn load(path: &Path) -> Result<Folder, String> {
        let fail = |what: &Path, e: &dyn std::fmt::Display| format!("{}: {e}", what.display());
        let (cases_path, tensors_path) = (path.join("cases.jsonl"), path.join("tensors.safetensors"));
        let text = std::fs::read_to_string(&cases_path).map_err(|e| fail(&cases_path, &e))?;
        let lines = text.lines().filter(|l| !l.trim().is_empty());
        let cases = lines
            .map(|l| serde_json::from_str(l).map_err(|e| fail(&cases_path, &e)))
            .collect::<Result<Vec<Json>, _>>()?;
        let bytes = std::fs::read(&tensors_path).map_err(|e| fail(&tensors_path, &e))?;
        let file = safetensors::SafeTensors::deserialize(&bytes).map_err(|e| fail(&tensors_path, &e))?;
        let mut complex = HashSet::new();
        cases.iter().for_each(|c| complex_names(c, &mut complex));
        let mut tensors = HashMap::new();
        for (name, view) in file.iter() {
            let dtype = stored_dtype(view.dtype())
                .ok_or_else(|| fail(&tensors_path, &format!("{name}: {:?}", view.dtype())))?;
            let (shape, bytes) = (view.shape().to_vec(), view.data().to_vec());
            tensors.insert(name.to_string(), Stored { dtype, shape, bytes, complex: complex.contains(name) });
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Folder { name, cases, tensors })
    }

    /// Every folder below `root` that holds cases, by name.
    pub fn load_all(root: &Path) -> Result<Vec<Folder>, String> {
        let entries = std::fs::read_dir(root).map_err(|e| format!("{}: {e}", root.display()))?;
        let mut paths: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
        paths.retain(|p| p.join("cases.jsonl").is_file());
        paths.sort();
        if paths.is_empty() && root.join("cases.jsonl").is_file() {
            paths.push(root.to_path_buf());
        }
        if paths.is_empty() {
            return Err(format!("{}: no folder in it holds a cases.jsonl", root.display()));
        }
        paths.iter().map(|p| Folder::load(p)).collect()
    }
}
