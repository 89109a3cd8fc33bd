//! Files that PyTorch and NumPy wrote (`tests/data/torch_files`), read, written again and compared with what PyTorch says of
//! them; and what this library writes, byte by byte against theirs.

mod common;

use common::devices;
use serde_json::Value as Json;
use std::path::{Path, PathBuf};
use wgtorch::io::{
    self, Dict, DictKind, Value, load, load_npy, load_npz, load_to, save, save_npy, save_npz, save_npz_compressed,
};
use wgtorch::prelude::*;

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/torch_files").join(name)
}

fn facts() -> Json {
    serde_json::from_str(&std::fs::read_to_string(file("facts.json")).unwrap()).unwrap()
}

/// A file of one test's own, removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let folder = std::env::temp_dir().join(format!("wgtorch-torch-files-{}", std::process::id()));
        let of_thread = format!("{:?}", std::thread::current().id());
        let folder = folder.join(of_thread.replace(|c: char| !c.is_ascii_alphanumeric(), ""));
        std::fs::create_dir_all(&folder).unwrap();
        Scratch(folder.join(name))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
        let _ = std::fs::remove_dir(self.0.parent().unwrap());
    }
}

fn numbers(list: &Json) -> Vec<f64> {
    let one = |x: &Json| x.as_bool().map_or_else(|| x.as_f64().unwrap(), |b| f64::from(u8::from(b)));
    list.as_array().unwrap().iter().map(one).collect()
}

fn usizes(list: &Json) -> Vec<usize> {
    list.as_array().unwrap().iter().map(|x| x.as_u64().unwrap() as usize).collect()
}

/// Holds a value to the facts of it.
fn compare(value: &Value, fact: &Json, at: &str) {
    match (value, fact) {
        (Value::Tensor(t), Json::Object(f)) => {
            assert_eq!(t.dtype().name(), f["dtype"], "{at}");
            assert_eq!(t.shape()[..], usizes(&f["shape"])[..], "{at}");
            assert_eq!(t.stride(), usizes(&f["stride"]), "{at}");
            assert_eq!(t.storage_offset() as u64, f["offset"], "{at}");
            assert_eq!(t.requires_grad(), f["requires_grad"], "{at}");
            assert_eq!(t.to_vec::<f64>().unwrap(), numbers(&f["data"]), "{at}");
            assert!(t.is_leaf() && !t.is_view(), "{at}");
        }
        (Value::Dict(d), Json::Object(f)) => {
            assert_eq!(d.len(), f.len(), "{at}");
            for (k, v) in d.iter() {
                let key = k.as_str().map_or_else(|| k.as_i64().unwrap().to_string(), str::to_string);
                compare(v, &f[&key], &format!("{at}.{key}"));
            }
        }
        (Value::List(items) | Value::Tuple(items), Json::Array(f)) => {
            assert_eq!(items.len(), f.len(), "{at}");
            items.iter().zip(f).for_each(|(v, f)| compare(v, f, at));
        }
        (Value::None, Json::Null) => {}
        (Value::Bool(b), f) => assert_eq!(b, f, "{at}"),
        (Value::Int(i), f) => assert_eq!(Some(*i), f.as_i64(), "{at}"),
        (Value::Float(x), f) => assert_eq!(Some(*x), f.as_f64(), "{at}"),
        (Value::Str(s), f) => assert_eq!(Some(&**s), f.as_str(), "{at}"),
        other => panic!("{at}: {other:?}"),
    }
}

const GOOD: [&str; 7] = [
    "dtypes.pt",
    "shared_views.pt",
    "scalars_and_empties.pt",
    "sequential_state.pth",
    "checkpoint.pt",
    "parameter.pt",
    "legacy_state.pth",
];

#[test]
fn files_of_pytorch_hold_what_pytorch_says() {
    let facts = facts();
    for device in devices() {
        for name in GOOD {
            let value = load_to(file(name), device).unwrap();
            compare(&value, &facts[name], &format!("{name} on {device}"));
        }
    }
    assert_eq!(load(file("scalars_and_empties.pt")).unwrap()["pair"].type_name(), "tuple");
    let checkpoint = load(file("checkpoint.pt")).unwrap();
    assert_eq!(checkpoint["model"].type_name(), "OrderedDict");
    assert_eq!(checkpoint["optimizer"]["param_groups"][0]["betas"][1].as_f64(), Some(0.999));
    assert_eq!(load(file("parameter.pt")).unwrap().type_name(), "Parameter");
}

/// PyTorch's file and ours, but for the half of the last record's 40 digits that PyTorch takes from its C++ library's hash of
/// strings, and for the sums of that record.
#[test]
fn what_pytorch_wrote_is_written_again_byte_for_byte() {
    for device in devices() {
        for name in GOOD.into_iter().filter(|n| *n != "legacy_state.pth") {
            let scratch = Scratch::new(name);
            save(load_to(file(name), device).unwrap(), &scratch.0).unwrap();
            let (ours, theirs) = (std::fs::read(&scratch.0).unwrap(), std::fs::read(file(name)).unwrap());
            assert_eq!(ours.len(), theirs.len(), "{name}");
            let id = find(&theirs, b"/.data/serialization_id") + b"/.data/serialization_id".len();
            let padding = u16::from_le_bytes([theirs[id + 2], theirs[id + 3]]) as usize;
            let id = id + 4 + padding;
            let sum =
                theirs.len() - 98 - b"/.data/serialization_id".len() - Path::new(name).file_stem().unwrap().len() - 30;
            let may_differ =
                |i: usize| (id..id + 20).contains(&i) || (id + 44..id + 48).contains(&i) || (sum..sum + 4).contains(&i);
            let differ: Vec<usize> = (0..ours.len()).filter(|&i| ours[i] != theirs[i] && !may_differ(i)).collect();
            assert!(differ.is_empty(), "{name}: {differ:?}");
            assert!(ours[id..id + 40].iter().all(u8::is_ascii_digit));
        }
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> usize {
    haystack.windows(needle.len()).position(|w| w == needle).expect("PyTorch's file has it")
}

#[test]
fn tensors_of_one_storage_share_it_after_loading() {
    for device in devices() {
        let all = load_to(file("shared_views.pt"), device).unwrap();
        let base = all["base"].as_tensor().unwrap();
        for (name, v) in all.as_dict().unwrap().iter() {
            assert!(v.as_tensor().unwrap().shares_storage(base), "{name:?}");
        }
        base.fill_(7);
        assert_eq!(all["column"].as_tensor().unwrap().to_vec::<f32>().unwrap(), [7.; 3]);

        // and what a Rust program makes
        let whole = arange(4, device);
        let mut values = Dict::new();
        values.insert("part", whole.i(1..3));
        values.insert("whole", &whole);
        values.insert("again", &whole);
        let scratch = Scratch::new("views.pt");
        save(&values, &scratch.0).unwrap();
        let back = load(&scratch.0).unwrap();
        let part = back["part"].as_tensor().unwrap();
        assert_eq!((part.storage_offset(), part.stride(), part.device()), (1, vec![1], Device::Cpu));
        assert!(back["whole"].as_tensor().unwrap().is_same(back["again"].as_tensor().unwrap()));
        part.fill_(9);
        assert_eq!(back["whole"].as_tensor().unwrap().to_vec::<i64>().unwrap(), [0, 9, 9, 3]);
        let state = back.to_state_dict().unwrap();
        assert!(state["part"].shares_storage(&state["whole"]));
        // the storage of four int64 is in the file once, and nothing else is
        assert!(!std::fs::read(&scratch.0).unwrap().windows(6).any(|w| w == b"data/1"));
    }
}

#[test]
fn every_kind_of_value_comes_back() {
    let numbers = tensor!([[0., 1., 2.], [3., 4., 5.]]);
    for device in devices() {
        let mut values = Dict::new();
        for d in [Bool, U8, I8, I16, I32, I64, U32, F16, BF16, F32, F64, C64, C128] {
            values.insert(d.name(), numbers.to((device, d)).t());
        }
        values.insert("0-dim", tensor!(2.5, device));
        values.insert("empty", zeros([0, 3], (F64, device)));
        values.insert("expanded", tensor!([1., 2.], device).unsqueeze(0).expand([1000, 2]));
        values.insert("constant", zeros([3], (I32, device)));
        values.insert("parameter", nn::parameter(ones([2], device)));
        values.insert("grad", ones([2], TensorOptions::new().device(device).requires_grad(true)));
        let mut plain = Dict::of_kind(DictKind::Counter);
        plain.insert(-3, 1);
        values.insert("counter", plain);
        let ints = [0, 255, 256, 65535, 65536, -1, i32::MAX as i64, i32::MIN as i64 - 1, 1 << 40, i64::MAX, i64::MIN];
        values.insert("ints", ints.to_vec());
        values.insert("floats", vec![0.1, -0.0, f64::INFINITY, f64::MIN_POSITIVE]);
        values.insert("text", "Zürich");
        values.insert("bytes", Value::Bytes([0u8, 127, 128, 255][..].into()));
        values.insert("complex", Complex::new(1., -2.));
        values.insert("size", Shape::from([2, 3, 4, 5]));
        values.insert("dtype", BF16);
        values.insert("device", Value::Device("cuda:1".into()));
        values.insert(
            "tuples",
            vec![
                Value::Tuple(vec![]),
                (1, 2.5).into(),
                Value::Tuple(vec![().into(), true.into(), "x".into(), 4.into()]),
            ],
        );
        values.insert("long", (0..2500).collect::<Vec<i32>>());
        let scratch = Scratch::new("Bäume.pt");
        save(&values, &scratch.0).unwrap();
        let back = load_to(&scratch.0, device).unwrap();
        assert_eq!(format!("{back:?}"), format!("{:?}", Value::from(&values)));
        for (k, v) in values.iter() {
            let (Some(k), Some(t)) = (k.as_str(), v.as_tensor()) else { continue };
            let b = back[k].as_tensor().unwrap();
            assert_eq!(
                (b.dtype(), b.shape(), b.stride(), b.device()),
                (t.dtype(), t.shape(), t.stride(), device),
                "{k}"
            );
            assert_eq!(b.to_bytes().unwrap(), t.to_bytes().unwrap(), "{k}");
            assert_eq!(b.requires_grad(), t.requires_grad(), "{k}");
            assert_eq!(back[k].type_name(), v.type_name());
        }
        // written again from what was read, the same file
        let again = Scratch::new("Baum.pt");
        save(&back, &again.0).unwrap();
        let (a, b) = (std::fs::read(&scratch.0).unwrap(), std::fs::read(&again.0).unwrap());
        assert_eq!(find(&a, b"archive/data.pkl"), find(&b, b"Baum/data.pkl"));
        let second = load(&again.0).unwrap();
        assert_eq!(second.as_dict().unwrap().len(), values.len());
    }
}

/// Names shift every record and the directory: none of the places may matter.
#[test]
fn files_of_every_length_of_name_load() {
    let x = tensor!([1., 2.]);
    for n in 1..80 {
        let scratch = Scratch::new(&format!("{}.pt", "n".repeat(n)));
        save(vec![&x, &zeros([0], ())], &scratch.0).unwrap();
        let back = load(&scratch.0).unwrap_or_else(|e| panic!("{n} letters: {e}"));
        assert_eq!(back[0].as_tensor().unwrap().to_vec::<f32>().unwrap(), [1., 2.]);
    }
}

#[test]
fn what_cannot_be_saved_is_refused_and_leaves_the_old_file() {
    let scratch = Scratch::new("old.pt");
    std::fs::write(&scratch.0, "old").unwrap();
    let x = zeros([4], I32);
    let e = save(vec![x.clone(), x.view_dtype(F32)], &scratch.0).unwrap_err();
    assert_eq!(e.to_string(), "Cannot save multiple tensors or storages that view the same data as different types");
    let deep = (0..1000).fold(Value::None, |inner, _| Value::List(vec![inner]));
    assert!(save(deep, &scratch.0).unwrap_err().to_string().contains("256 deep"));
    assert_eq!(std::fs::read(&scratch.0).unwrap(), b"old");
    assert!(matches!(load(scratch.0.with_file_name("missing.pt")), Err(Error::Io { .. })));
    assert!(matches!(save((), scratch.0.with_file_name("no/x.pt")), Err(Error::Io { .. })));
    assert!(matches!(save_npy(&scratch.0, &zeros([1], BF16)), Err(Error::Type(_))));
    let state = Value::from(vec![1, 2]).to_state_dict().unwrap_err();
    assert_eq!(state.to_string(), "Expected state_dict to be dict-like, got list.");
    let checkpoint = load(file("checkpoint.pt")).unwrap();
    let e = checkpoint.to_state_dict().unwrap_err().to_string();
    assert_eq!(e, "expected a tensor under \"model\" of the state_dict, got OrderedDict");
}

/// `BatchNorm2d` in evaluation mode, by its definition: the library has no such module yet.
#[derive(Module)]
struct Norm {
    weight: Tensor,
    bias: Tensor,
    #[module(buffer)]
    running_mean: Tensor,
    #[module(buffer)]
    running_var: Tensor,
    #[module(buffer)]
    num_batches_tracked: Tensor,
}

impl Forward for Norm {
    fn forward(&self, x: &Tensor) -> Tensor {
        let of_channel = |t: &Tensor| t.view([1, -1, 1, 1]);
        let scale = of_channel(&self.weight) / (of_channel(&self.running_var) + 1e-5).sqrt();
        (x - of_channel(&self.running_mean)) * scale + of_channel(&self.bias)
    }
}

#[derive(Module)]
struct Net {
    conv: Conv2d,
    bn: Norm,
    act: ReLU,
    flat: Flatten,
    fc: Linear,
}

#[test]
fn a_module_takes_the_state_that_pytorch_saved() {
    let facts = facts();
    for name in ["sequential_state.pth", "legacy_state.pth"] {
        for device in devices() {
            let state = load(file(name)).unwrap().to_state_dict().unwrap();
            let bn = Norm {
                weight: nn::parameter(ones([4], ())),
                bias: nn::parameter(zeros([4], ())),
                running_mean: zeros([4], ()),
                running_var: ones([4], ()),
                num_batches_tracked: tensor!(0),
            };
            let net = Net {
                conv: Conv2d::new(1, 4, 3),
                bn,
                act: nn::ReLU::new(),
                flat: Flatten::new(),
                fc: Linear::new(16, 3),
            };
            let net = net.to(device);
            let keys = net.load_state_dict(&state, true).unwrap();
            assert!(keys.missing_keys.is_empty() && keys.unexpected_keys.is_empty());
            assert_eq!(net.bn.num_batches_tracked.item::<i64>().unwrap(), 2);
            let input = &facts["sequential_input"];
            let x: Vec<f32> = numbers(&input["data"]).iter().map(|&x| x as f32).collect();
            let x = Tensor::from_vec(x, usizes(&input["shape"]), device).unwrap();
            let y = net.fc.call(&net.flat.call(&net.act.call(&net.bn.call(&net.conv.call(&x)))));
            let want = numbers(&facts["sequential_output"]["data"]);
            for (got, want) in y.to_vec::<f64>().unwrap().iter().zip(&want) {
                assert!((got - want).abs() < 1e-5, "{got} {want} on {device}");
            }
            // what the module gives is what PyTorch loads: the names, in their order
            let scratch = Scratch::new("again.pth");
            save(net.state_dict(), &scratch.0).unwrap();
            let again = load(&scratch.0).unwrap();
            assert_eq!(again.type_name(), "OrderedDict");
            compare(&again, &facts["sequential_state.pth"], name);
        }
    }
}

#[test]
fn files_of_numpy_hold_what_numpy_says() {
    let array = load_npy(file("array.npy")).unwrap();
    assert_eq!((array.dtype(), array.shape(), array.stride()), (F32, Shape::from([2, 3]), vec![3, 1]));
    assert_eq!(array.to_vec::<f32>().unwrap(), [0., 1., 2., 3., 4., 5.]);
    let fortran = load_npy(file("fortran.npy")).unwrap();
    assert_eq!((fortran.dtype(), fortran.shape(), fortran.stride()), (F64, Shape::from([2, 3]), vec![1, 2]));
    assert_eq!(fortran.to_vec::<f64>().unwrap(), [0., 1., 2., 3., 4., 5.]);
    let big = load_npy(file("big_endian.npy")).unwrap();
    assert_eq!((big.dtype(), big.to_vec::<f32>().unwrap()), (F32, vec![0., 1., 2., 3.]));
    let arrays = load_npz(file("arrays.npz")).unwrap();
    assert_eq!(arrays.keys().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!((arrays["a"].dtype(), arrays["a"].to_vec::<i64>().unwrap()), (I64, vec![0, 1, 2]));
    assert_eq!((arrays["b"].dtype(), arrays["b"].to_vec::<f32>().unwrap()), (F32, vec![1., 0., 0., 1.]));
    let arrays = load_npz(file("arrays_compressed.npz")).unwrap();
    assert_eq!(arrays["a"].to_vec::<i64>().unwrap(), (0..300).collect::<Vec<i64>>());
    assert_eq!((arrays["flag"].dtype(), arrays["flag"].to_vec::<bool>().unwrap()), (Bool, vec![true, false]));
}

fn write_npz(path: &Path, arrays: &StateDict, compressed: bool) {
    if compressed { save_npz_compressed(path, arrays) } else { save_npz(path, arrays) }.unwrap()
}

#[test]
fn arrays_are_written_as_numpy_writes_them() {
    for device in devices() {
        for name in ["array.npy", "fortran.npy"] {
            let scratch = Scratch::new(name);
            // moving a tensor makes it row-major
            let t = load_npy(file(name)).unwrap();
            let t = if name == "fortran.npy" { t.t().to(device).t() } else { t.to(device) };
            save_npy(&scratch.0, &t).unwrap();
            assert!(std::fs::read(&scratch.0).unwrap() == std::fs::read(file(name)).unwrap(), "{name} on {device}");
        }
        let arrays: StateDict = [Bool, U8, I8, I16, I32, I64, U32, F16, F32, F64, C64, C128]
            .into_iter()
            .map(|d| (d.name().to_string(), arange(6, (F32, device)).view([1, 2, 3]).to(d).transpose(1, 2)))
            .chain([("scalar".to_string(), tensor!(1.5, device)), ("empty".to_string(), zeros([2, 0], device))])
            .collect();
        for compressed in [false, true] {
            let scratch = Scratch::new("arrays.npz");
            write_npz(&scratch.0, &arrays, compressed);
            let back = load_npz(&scratch.0).unwrap();
            assert_eq!(back.keys().collect::<Vec<_>>(), arrays.keys().collect::<Vec<_>>());
            for (name, t) in arrays.iter() {
                assert_eq!((back[name].dtype(), back[name].shape()), (t.dtype(), t.shape()), "{name}");
                assert_eq!(back[name].to_bytes().unwrap(), t.to_bytes().unwrap(), "{name}");
            }
        }
    }
    let sizes = |name: &str| {
        let arrays: StateDict = [("x".to_string(), zeros([1000], ()))].into_iter().collect();
        let scratch = Scratch::new(name);
        write_npz(&scratch.0, &arrays, name == "b.npz");
        std::fs::metadata(&scratch.0).unwrap().len()
    };
    assert!(sizes("a.npz") > 4000 && sizes("b.npz") < 1000);
}

#[test]
fn safetensors_beside_them_load() {
    assert!(!io::load_safetensors(file("plain.safetensors")).unwrap().is_empty());
}
