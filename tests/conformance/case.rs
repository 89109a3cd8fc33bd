//! Case folders as they lie on disk: `cases.jsonl` beside `tensors.safetensors`.

use serde_json::Value as Json;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use wgtorch::{DType, Device, Element, Tensor};

/// A tensor on the host, decoded: floats as f64, everything else as i64, so that comparing needs two loops only.
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
            other => panic!("the runner cannot read {other}"),
        };
        Ok(Host { dtype: t.dtype(), shape: t.shape().to_vec(), data })
    }

    pub fn numel(&self) -> usize {
        self.shape.iter().product()
    }
}

/// A tensor of a folder, still in the file's bytes.
pub struct Stored {
    dtype: DType,
    pub shape: Vec<usize>,
    bytes: Vec<u8>,
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

    /// The tensor decoded.
    pub fn host(&self) -> Host {
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
        let mut tensors = HashMap::new();
        for (name, view) in file.iter() {
            let dtype = stored_dtype(view.dtype())
                .ok_or_else(|| fail(&tensors_path, &format!("{name}: {:?}", view.dtype())))?;
            tensors
                .insert(name.to_string(), Stored { dtype, shape: view.shape().to_vec(), bytes: view.data().to_vec() });
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
