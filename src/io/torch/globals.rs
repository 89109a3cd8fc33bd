//! The globals that a pickle may name, and what calling them with a pickle's arguments gives: descriptions of tensors, and
//! Python's plain values. Everything else is refused by name.

use super::unpickle::{Item, Node, Result, StorageRef, TensorRef, Unpickler};
use crate::dtype::DType;
use crate::io::MOST_DIMS;
use crate::io::value::DictKind;
use crate::layout::Layout;
use num_complex::Complex;

/// A function or class that PyTorch's `weights_only` unpickler allows and that has a counterpart here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Global {
    /// `collections.OrderedDict` and `collections.Counter`
    Dict(DictKind),
    /// `builtins.complex`
    Complex,
    /// `_codecs.encode`, by which protocol 2 writes bytes
    Encode,
    /// `torch.Size`
    Size,
    /// `torch.device`
    Device,
    /// `torch._utils._rebuild_tensor`
    Tensor1,
    /// `torch._utils._rebuild_tensor_v2`
    Tensor2,
    /// `torch._utils._rebuild_tensor_v3`, for dtypes without a storage class
    Tensor3,
    /// `torch._utils._rebuild_parameter`
    Parameter,
    /// `torch.FloatStorage` and its kin; None for `torch.storage.UntypedStorage`
    Storage(Option<DType>),
    /// `torch.float32` and its kin
    DType(DType),
}

/// Modules that PyTorch refuses even where a user allows their functions.
const BLOCKED: [&str; 4] = ["sys", "os", "posix", "nt"];

/// The name of a storage class, `FloatStorage`; None for dtypes that came after those classes.
pub fn storage_class(dtype: DType) -> Option<&'static str> {
    Some(match dtype {
        DType::Bool => "BoolStorage",
        DType::U8 => "ByteStorage",
        DType::I8 => "CharStorage",
        DType::I16 => "ShortStorage",
        DType::I32 => "IntStorage",
        DType::I64 => "LongStorage",
        DType::F16 => "HalfStorage",
        DType::BF16 => "BFloat16Storage",
        DType::F32 => "FloatStorage",
        DType::F64 => "DoubleStorage",
        DType::C64 => "ComplexFloatStorage",
        DType::C128 => "ComplexDoubleStorage",
        DType::U32 => return None,
    })
}

impl Global {
    /// The global of that name, or PyTorch's words of refusal.
    pub fn find(module: &str, name: &str) -> Result<Global> {
        if BLOCKED.contains(&module) {
            return Err(format!("Trying to load unsupported GLOBAL {module}.{name} whose module {module} is blocked."));
        }
        let of_name = |all: fn(DType) -> Option<&'static str>| DType::ALL.into_iter().find(|&d| all(d) == Some(name));
        let found = match (module, name) {
            ("collections", "OrderedDict") => Some(Global::Dict(DictKind::Ordered)),
            ("collections", "Counter") => Some(Global::Dict(DictKind::Counter)),
            // Python 2's name of the module, which protocol 2 uses
            ("__builtin__" | "builtins", "complex") => Some(Global::Complex),
            ("_codecs", "encode") => Some(Global::Encode),
            ("torch", "Size") => Some(Global::Size),
            ("torch", "device") => Some(Global::Device),
            ("torch._utils", "_rebuild_tensor") => Some(Global::Tensor1),
            ("torch._utils", "_rebuild_tensor_v2") => Some(Global::Tensor2),
            ("torch._utils", "_rebuild_tensor_v3") => Some(Global::Tensor3),
            ("torch._utils", "_rebuild_parameter") => Some(Global::Parameter),
            ("torch.storage", "UntypedStorage") => Some(Global::Storage(None)),
            ("torch" | "torch.cuda", name) if name.ends_with("Storage") => {
                of_name(storage_class).map(|d| Global::Storage(Some(d)))
            }
            ("torch", _) => of_name(|d| Some(d.name())).map(Global::DType),
            _ => None,
        };
        found.ok_or_else(|| format!("Unsupported global: GLOBAL {module}.{name} was not an allowed global by default."))
    }
}

impl Unpickler<'_> {
    /// What a global gives for these arguments.
    pub(super) fn call(&mut self, function: Global, arguments: &[Item]) -> Result<Item> {
        match (function, arguments) {
            (Global::Dict(kind), []) => Ok(self.add(dict(kind, Vec::new()))),
            (Global::Dict(kind), [Item::Node(i)]) => {
                let entries = match &self.nodes[*i] {
                    Node::Dict { entries, .. } => entries.clone(),
                    // Python 2 writes the entries as lists of two
                    Node::List(items) => items.iter().map(|pair| self.pair(pair)).collect::<Result<_>>()?,
                    _ => return Err(wrong(function)),
                };
                self.charge(entries.len())?;
                Ok(self.add(dict(kind, entries)))
            }
            (Global::Complex, [re, im]) => match (float(re), float(im)) {
                (Some(re), Some(im)) => Ok(Item::Complex(Complex::new(re, im))),
                _ => Err(wrong(function)),
            },
            (Global::Encode, [Item::Str(text), Item::Str(code)]) if **code == *"latin1" => {
                let bytes = text.chars().map(u8::try_from).collect::<std::result::Result<Vec<u8>, _>>();
                let bytes = bytes.map_err(|_| "bytes with a character that is not Latin-1")?;
                self.charge(bytes.len())?;
                Ok(Item::Bytes(bytes.into()))
            }
            (Global::Size, [sizes]) => {
                let sizes = self.sizes(sizes, "size")?;
                // a copy is made wherever it is named
                if sizes.len() > MOST_DIMS {
                    return Err(format!("a torch.Size of more than {MOST_DIMS} dims"));
                }
                self.charge(sizes.len())?;
                Ok(self.add(Node::Size(sizes)))
            }
            (Global::Device, [Item::Str(name)]) => Ok(Item::Device(name.clone())),
            (Global::Device, [Item::Str(name), Item::Int(index)]) => {
                self.charge(name.len())?;
                Ok(Item::Device(format!("{name}:{index}").into()))
            }
            (Global::Tensor1, [storage, offset, size, stride]) => {
                self.tensor(storage, None, [offset, size, stride], &Item::Bool(false))
            }
            (Global::Tensor2, [storage, offset, size, stride, requires_grad, hooks, rest @ ..]) if rest.len() <= 1 => {
                self.no_hooks(hooks)?;
                let t = self.tensor(storage, None, [offset, size, stride], requires_grad)?;
                self.bits(t, rest.first())
            }
            (
                Global::Tensor3,
                [storage, offset, size, stride, requires_grad, hooks, Item::Global(Global::DType(dtype)), rest @ ..],
            ) if rest.len() <= 1 => {
                self.no_hooks(hooks)?;
                let t = self.tensor(storage, Some(*dtype), [offset, size, stride], requires_grad)?;
                self.bits(t, rest.first())
            }
            (Global::Parameter, [Item::Tensor(data), Item::Bool(requires_grad), hooks]) => {
                self.no_hooks(hooks)?;
                let data = self.tensors[*data].clone();
                self.charge(data.layout.ndim())?;
                check_grad(data.dtype, *requires_grad)?;
                self.tensors.push(TensorRef { parameter: true, requires_grad: *requires_grad, ..data });
                Ok(Item::Tensor(self.tensors.len() - 1))
            }
            _ => Err(wrong(function)),
        }
    }

    /// The storage that `('storage', class, key, location, numel)` names; the legacy format adds a view of it, always None.
    pub(super) fn persistent(&mut self, id: &Item) -> Result<Item> {
        let Some(id) = self.tuple(id) else {
            return Err(format!("persistent_load id must be tuple, but got {}", self.name(id)));
        };
        let parts = match id {
            [kind, class, key, _location, numel] | [kind, class, key, _location, numel, Item::None] => {
                (kind, class, key, numel)
            }
            [_, _, _, _, _, _] => {
                return Err("a storage that is a view of another one, as PyTorch wrote until 0.4".into());
            }
            _ => return Err("a persistent id that is not one of a storage".into()),
        };
        let (Item::Str(kind), Item::Global(Global::Storage(dtype)), Item::Str(key), Item::Int(numel)) = parts else {
            return Err("a persistent id that is not one of a storage".into());
        };
        if **kind != *"storage" {
            return Err(format!("Only persistent_load of storage is allowed, but got {kind}"));
        }
        let numel = usize::try_from(*numel).map_err(|_| format!("storage {key} has {numel} elements"))?;
        let storage = StorageRef { key: key.clone(), dtype: *dtype, numel };
        if numel.checked_mul(storage.element_size()).is_none_or(|n| isize::try_from(n).is_err()) {
            return Err(format!("storage {key} claims {numel} elements"));
        }
        if let Some(&known) = self.storage_of_key.get(key) {
            let old = &self.storages[known];
            if (old.numel, storage.numel) == (0, 0) && old.dtype != storage.dtype {
                // PyTorch lets views of no elements differ in dtype
                self.storages.push(storage);
                return Ok(Item::Storage(self.storages.len() - 1));
            }
            if (old.dtype, old.numel) != (storage.dtype, storage.numel) {
                return Err(format!("storage {key} is spoken of in two sizes or dtypes"));
            }
            return Ok(Item::Storage(known));
        }
        self.storage_of_key.insert(storage.key.clone(), self.storages.len());
        self.storages.push(storage);
        Ok(Item::Storage(self.storages.len() - 1))
    }

    /// A tensor over a storage, which has to hold all that sizes, strides and offset reach.
    fn tensor(
        &mut self,
        storage: &Item,
        dtype: Option<DType>,
        [offset, size, stride]: [&Item; 3],
        requires_grad: &Item,
    ) -> Result<Item> {
        let Item::Storage(storage) = *storage else { return Err("a tensor without a storage".into()) };
        let (size, stride) = (self.sizes(size, "size")?, self.sizes(stride, "stride")?);
        self.charge(size.len())?;
        let of = &self.storages[storage];
        let dtype = dtype.or(of.dtype).ok_or("a tensor of a storage without a dtype")?;
        let (Item::Int(offset), Item::Bool(requires_grad)) = (offset, requires_grad) else {
            return Err("a tensor with an offset or requires_grad that is none".into());
        };
        let offset = usize::try_from(*offset).map_err(|_| format!("a tensor with storage offset {offset}"))?;
        if size.len() > MOST_DIMS {
            return Err(format!("a tensor has too many (>{MOST_DIMS}) dims"));
        }
        if size.len() != stride.len() {
            return Err(format!("a tensor of {} dims with {} strides", size.len(), stride.len()));
        }
        check_grad(dtype, *requires_grad)?;
        let holds = of.nbytes() / dtype.size();
        if !fits(&size, &stride, offset, holds) {
            return Err(format!(
                "a tensor of size {size:?}, stride {stride:?} and storage offset {offset} is out of bounds for storage {} of \
                 {holds} elements",
                of.key
            ));
        }
        let layout = Layout { shape: size.into(), strides: stride.into(), offset };
        let tensor = TensorRef {
            storage,
            dtype,
            layout,
            requires_grad: *requires_grad,
            parameter: false,
            conj: false,
            neg: false,
        };
        self.tensors.push(tensor);
        Ok(Item::Tensor(self.tensors.len() - 1))
    }

    /// Sets the bits of `{'conj': True, 'neg': True}`, the last argument where there is one.
    fn bits(&mut self, tensor: Item, metadata: Option<&Item>) -> Result<Item> {
        let Item::Tensor(t) = tensor else { return Ok(tensor) };
        let entries = match metadata {
            None | Some(Item::None) => return Ok(tensor),
            Some(Item::Node(i)) => match &self.nodes[*i] {
                Node::Dict { entries, .. } => entries,
                _ => return Err("a tensor's metadata is no dict".into()),
            },
            Some(_) => return Err("a tensor's metadata is no dict".into()),
        };
        let (mut conj, mut neg) = (false, false);
        for entry in entries {
            match entry {
                (Item::Str(k), Item::Bool(on)) if **k == *"conj" => conj = *on,
                (Item::Str(k), Item::Bool(on)) if **k == *"neg" => neg = *on,
                (Item::Str(k), _) => return Err(format!("a tensor with metadata {k}")),
                _ => return Err("a tensor with metadata under a key that is no string".into()),
            }
        }
        (self.tensors[t].conj, self.tensors[t].neg) = (conj, neg);
        Ok(tensor)
    }

    /// Backward hooks are functions: a file of weights has none.
    fn no_hooks(&self, hooks: &Item) -> Result<()> {
        let none = match hooks {
            Item::None => true,
            Item::Node(i) => matches!(&self.nodes[*i], Node::Dict { entries, .. } if entries.is_empty()),
            _ => false,
        };
        if none { Ok(()) } else { Err("a tensor with backward hooks".into()) }
    }

    fn pair(&self, item: &Item) -> Result<(Item, Item)> {
        if let Item::Node(i) = item
            && let Node::List(items) | Node::Tuple(items) = &self.nodes[*i]
            && let [key, value] = &items[..]
        {
            return Ok((key.clone(), value.clone()));
        }
        Err("an entry of a dictionary that is no pair".into())
    }

    fn sizes(&self, item: &Item, what: &str) -> Result<Vec<usize>> {
        let items = match item {
            Item::Node(i) => match &self.nodes[*i] {
                Node::Size(sizes) => return Ok(sizes.clone()),
                Node::Tuple(items) | Node::List(items) => items,
                _ => return Err(format!("a {what} that is no tuple")),
            },
            _ => return Err(format!("a {what} that is no tuple")),
        };
        let one = |x: &Item| match x {
            Item::Int(n) => usize::try_from(*n).map_err(|_| format!("a {what} of {n}")),
            x => Err(format!("a {what} of {}", self.name(x))),
        };
        items.iter().map(one).collect()
    }
}

fn dict(kind: DictKind, entries: Vec<(Item, Item)>) -> Node {
    Node::Dict { kind, entries, attributes: Vec::new() }
}

fn wrong(function: Global) -> String {
    format!("{function:?} is called with arguments that it does not take")
}

fn float(item: &Item) -> Option<f64> {
    match item {
        Item::Float(x) => Some(*x),
        Item::Int(i) => Some(*i as f64),
        _ => None,
    }
}

fn check_grad(dtype: DType, requires_grad: bool) -> Result<()> {
    if requires_grad && !dtype.is_differentiable() {
        return Err("Only Tensors of floating point and complex dtype can require gradients".into());
    }
    Ok(())
}

/// True where every element lies among `holds` elements, and no count overflows on the way.
fn fits(size: &[usize], stride: &[usize], offset: usize, holds: usize) -> bool {
    let numel = size.iter().try_fold(1usize, |n, &s| n.checked_mul(s.max(1)));
    if numel.is_none_or(|n| n > isize::MAX as usize / 16) {
        return false;
    }
    // sizes without elements reach nothing, but their strides are multiplied later all the same
    let reach =
        size.iter().zip(stride).try_fold(0usize, |at, (&n, &s)| at.checked_add(n.saturating_sub(1).checked_mul(s)?));
    let Some(end) =
        reach.and_then(|r| r.checked_add(offset)?.checked_add(1)).filter(|&e| e <= isize::MAX as usize / 16)
    else {
        return false;
    };
    size.contains(&0) || end <= holds
}
