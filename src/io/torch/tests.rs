//! Pickles that no pickler writes: each is refused in bounded time and memory, or means what PyTorch takes it for.

use super::stored::Writer;
use super::{load, save};
use crate::dtype::DType;
use crate::io::testing::Folder;
use crate::io::value::Value;
use crate::{Complex, Tensor};
use std::io::Write;

/// An archive with this pickle and these other records.
fn archive(pickle: &[u8], records: &[(&str, &[u8])]) -> Vec<u8> {
    let mut w = Writer::new(Vec::new(), "x");
    w.add("data.pkl", pickle).unwrap();
    records.iter().for_each(|(name, data)| w.add(name, data).unwrap());
    w.finish().unwrap()
}

fn read(file: &[u8]) -> crate::Result<Value> {
    let folder = Folder::new();
    let path = folder.0.join("x.pt");
    std::fs::write(&path, file).unwrap();
    load(&path)
}

fn refused(file: &[u8]) -> String {
    match read(file) {
        Err(crate::Error::Format { message, .. }) => message,
        other => panic!("{other:?}"),
    }
}

fn refused_pickle(pickle: &[u8]) -> String {
    refused(&archive(pickle, &[]))
}

fn int(i: i64) -> Vec<u8> {
    [&[0x8a, 8][..], &i.to_le_bytes()].concat()
}

fn text(s: &str) -> Vec<u8> {
    [b"X", &(s.len() as u32).to_le_bytes()[..], s.as_bytes()].concat()
}

/// `_rebuild_tensor_v2` of storage 0, with more arguments at the end.
fn tensor(class: &str, numel: i64, offset: i64, size: &[i64], stride: &[i64], more: &[u8]) -> Vec<u8> {
    let tuple = |items: &[i64]| [b"(", &items.iter().flat_map(|&i| int(i)).collect::<Vec<_>>()[..], b"t"].concat();
    [
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n((",
        &text("storage")[..],
        format!("ctorch\n{class}\n").as_bytes(),
        &text("0"),
        &text("cuda:3"),
        &int(numel),
        b"tQ",
        &int(offset),
        &tuple(size),
        &tuple(stride),
        b"\x89ccollections\nOrderedDict\n)R",
        more,
        b"tR.",
    ]
    .concat()
}

#[test]
fn only_the_globals_of_weights_are_known() {
    for (module, name) in [
        ("builtins", "eval"),
        ("__builtin__", "getattr"),
        ("torch", "load"),
        ("torch", "uint16"),
        ("torch", "QInt8Storage"),
    ] {
        let message = refused_pickle(format!("c{module}\n{name}\n)R.").as_bytes());
        let want = format!(
            "Weights only load failed. Unsupported global: GLOBAL {module}.{name} was not an allowed global by default."
        );
        assert!(message.starts_with(&want), "{message}");
    }
    assert!(refused_pickle(b"cos\nsystem\n.").contains("whose module os is blocked"));
    assert!(refused_pickle(b"K\x01)R.").contains("no function"));
    assert!(refused_pickle(b"ctorch\nfloat32\n)R.").contains("arguments that it does not take"));
    assert!(refused_pickle(b"ccollections\nOrderedDict\n.").contains("itself is among the values"));
    assert!(refused_pickle(b"K\x01Q.").contains("persistent_load id must be tuple, but got int"));
    // NEWOBJ, INST, OBJ, EXT1 and what protocols above 2 add
    for op in [b"\x81", b"i", b"o", b"\x82", b"\x93", b"\x94", b"\x95"] {
        assert!(refused_pickle(&[&b"))"[..], op].concat()).contains(&format!("Unsupported operand {}", op[0])));
    }
    assert!(refused_pickle(b"\x80\x04N.").contains("protocol 4"));
}

#[test]
fn pickles_that_end_or_jump_are_refused() {
    for (pickle, want) in [
        (&b""[..], "ends early"),
        (b"\x80", "ends early"),
        (b".", "empty stack"),
        (b"(.", "empty stack"),
        (b"N(\x86.", "empty stack"),
        (b"a", "empty stack"),
        (b"t", "no mark"),
        (b"NNa.", "Can only append to lists, but got NoneType"),
        (b"]NNs.", "Can only SETITEM for dict"),
        (b"}(Nu.", "a key without a value"),
        (b"}]Ns.", "unhashable type: 'list'"),
        (b"}}b.", "Can only build OrderedDict, but got dict"),
        (b"h\x07.", "memo 7 is empty"),
        (b"q\x07.", "the stack is empty"),
        (b"X\xff\xff\xff\xff.", "ends early"),
        (b"X\x02\x00\x00\x00\xff\xff.", "not UTF-8"),
        (b"\x8a\xff.", "ends early"),
        (b"\x8a\x09\0\0\0\0\0\0\0\x80\x00.", "64 bits do not hold"),
        (b"cabc", "inside a global's name"),
    ] {
        let message = refused_pickle(pickle);
        assert!(message.contains(want), "{pickle:?}: {message}");
    }
    let ints = read(&archive(
        b"(\x8a\x00\x8a\x01\xff\x8a\x08\0\0\0\0\0\0\0\x80\x8a\x09\xff\xff\xff\xff\xff\xff\xff\x7f\x00t.",
        &[],
    ));
    let ints: Vec<i64> = ints.unwrap().as_list().unwrap().iter().map(|i| i.as_i64().unwrap()).collect();
    assert_eq!(ints, [0, -1, i64::MIN, i64::MAX]);
    // a key again takes the first one's place; 1, 1.0 and True are one key
    let dict = read(&archive(b"}(K\x01K\x02K\x05K\x03\x88K\x04G\x3f\xf0\0\0\0\0\0\0K\x07u.", &[])).unwrap();
    assert_eq!((dict.as_dict().unwrap().len(), dict[1].as_i64()), (2, Some(7)));
}

#[test]
fn depth_and_copies_are_bounded() {
    let deep = |n: usize| [&b"]".repeat(n)[..], &b"a".repeat(n - 1), b"."].concat();
    assert!(read(&archive(&deep(256), &[])).is_ok());
    assert!(refused_pickle(&deep(100_000)).contains("256 deep"));
    assert!(refused_pickle(b"]q\0h\0a.").contains("256 deep"));
    // each list holds the one before twice
    let mut laughs = b"]q\0".to_vec();
    (1..100u8).for_each(|i| laughs.extend([b']', b'(', b'h', i - 1, b'h', i - 1, b'e', b'q', i]));
    laughs.push(b'.');
    assert!(refused_pickle(&laughs).contains("too much memory"));
    // a long dictionary copied many times
    let entries: Vec<u8> = (0..10_000i64).flat_map(|i| [&int(i)[..], b"N"].concat()).collect();
    for (of, each) in [("Counter", &b"h\x01h\0\x85R"[..]), ("OrderedDict", b"h\x01)Rh\0b")] {
        let mut copies = [b"}(", &entries[..], b"uq\0", format!("ccollections\n{of}\nq\x01").as_bytes()].concat();
        copies.extend(each.repeat(10_000));
        assert!(refused_pickle(&copies).contains("too much memory"), "{of}");
    }
}

#[test]
fn tensors_lie_inside_their_storages() {
    let four = [0u8; 16];
    let load = |pickle: &[u8]| read(&archive(pickle, &[("data/0", &four)]));
    let good = |offset, size: &[i64], stride: &[i64]| {
        let t = load(&tensor("FloatStorage", 4, offset, size, stride, b"")).unwrap();
        t.as_tensor().unwrap().clone()
    };
    assert_eq!(good(1, &[3], &[1]).storage_offset(), 1);
    assert_eq!(good(3, &[1 << 40, 1], &[0, 1 << 50]).shape(), [1 << 40, 1]);
    assert_eq!(good(9, &[0, 5], &[5, 1]).numel(), 0);
    let bad = |numel, offset, size: &[i64], stride: &[i64]| {
        refused(&archive(&tensor("FloatStorage", numel, offset, size, stride, b""), &[("data/0", &four)]))
    };
    for (offset, size, stride) in [
        (1, &[4][..], &[1][..]),
        (0, &[2, 3], &[3, 1]),
        (5, &[1], &[1]),
        (i64::MAX, &[2], &[1]),
        (0, &[i64::MAX, i64::MAX], &[0, 0]),
        (0, &[1 << 62, 4], &[0, 1]),
        (0, &[2], &[i64::MAX]),
        (0, &[0, i64::MAX], &[i64::MAX, i64::MAX]),
    ] {
        assert!(bad(4, offset, size, stride).contains("out of bounds for storage 0"), "{size:?}");
    }
    assert!(bad(4, 0, &[-1], &[1]).contains("a size of -1"));
    assert!(bad(4, 0, &[1], &[-1]).contains("a stride of -1"));
    assert!(bad(4, -1, &[1], &[1]).contains("storage offset -1"));
    assert!(bad(4, 0, &[1], &[1, 1]).contains("1 dims with 2 strides"));
    assert!(bad(4, 0, &[1; 65], &[1; 65]).contains("too many (>64) dims"));
    assert!(bad(-4, 0, &[1], &[1]).contains("-4 elements"));
    assert!(bad(1 << 61, 0, &[1], &[1]).contains("claims"));
    assert!(bad(1 << 40, 0, &[1], &[1]).contains("does not match expected size"));
    let ints = tensor("IntStorage", 4, 0, &[1], &[1], b"");
    assert!(load(&ints).is_ok());
    let grad = ints.iter().map(|&b| if b == 0x89 { 0x88 } else { b }).collect::<Vec<u8>>();
    assert!(refused(&archive(&grad, &[("data/0", &four)])).contains("can require gradients"));
    let bools = archive(&tensor("BoolStorage", 2, 0, &[2], &[1], b""), &[("data/0", &[1, 2])]);
    assert!(refused(&bools).contains("neither 0 nor 1"));
    // the same through a storage of bytes and a dtype beside it
    let text = "_rebuild_tensor_v2";
    let mut seen = tensor("ByteStorage", 2, 0, &[2], &[1], b"ctorch\nbool\n");
    let at = seen.windows(text.len()).position(|w| w == text.as_bytes()).unwrap();
    seen[at + text.len() - 1] = b'3';
    assert!(refused(&archive(&seen, &[("data/0", &[1, 2])])).contains("neither 0 nor 1"));
    assert_eq!(read(&archive(&seen, &[("data/0", &[1, 0])])).unwrap().as_tensor().unwrap().dtype(), DType::Bool);
}

#[test]
fn byte_order_and_late_bits_are_seen() {
    let data = [1f32, 2., 3., -4.].map(f32::to_be_bytes).concat();
    let big = |class, n| {
        let pickle = tensor(class, n, 0, &[n], &[1], b"");
        read(&archive(&pickle, &[("byteorder", b"big"), ("data/0", &data)])).unwrap().as_tensor().unwrap().clone()
    };
    assert_eq!(big("FloatStorage", 4).to_vec::<f32>().unwrap(), [1., 2., 3., -4.]);
    assert_eq!(
        big("ComplexFloatStorage", 2).to_vec::<Complex<f32>>().unwrap(),
        [Complex::new(1f32, 2.), Complex::new(3., -4.)]
    );
    let odd = archive(&tensor("FloatStorage", 4, 0, &[4], &[1], b""), &[("byteorder", b"middle"), ("data/0", &data)]);
    assert!(refused(&odd).contains("byteorder \"middle\""));
    let late = |name: &str| {
        let more = [b"}", &text(name)[..], b"\x88s"].concat();
        archive(&tensor("ComplexFloatStorage", 1, 0, &[1], &[1], &more), &[("data/0", &[0, 0, 128, 63, 0, 0, 0, 64])])
    };
    let first = |t: Value| t.as_tensor().unwrap().to_vec::<Complex<f32>>().unwrap()[0];
    assert_eq!(first(read(&late("conj")).unwrap()), Complex::new(1., -2.));
    assert_eq!(first(read(&late("neg")).unwrap()), Complex::new(-1., -2.));
    assert!(refused(&late("zero")).contains("metadata zero"));
    let more = [b"}", &text("conj")[..], b"\x88s"].concat();
    // an expanded one takes no memory of its own
    let huge = tensor("ComplexFloatStorage", 1, 0, &[1 << 40], &[0], &more);
    let huge = read(&archive(&huge, &[("data/0", &[0, 0, 128, 63, 0, 0, 0, 64])])).unwrap();
    assert_eq!(huge.as_tensor().unwrap().shape(), [1 << 40]);
    assert_eq!(huge.as_tensor().unwrap().select(0, 1 << 39).to_vec::<Complex<f32>>().unwrap(), [Complex::new(1., -2.)]);
    // a list of one size that is named again and again would take memory that the file does not prove
    let many = [&b"ctorch\nSize\n("[..], &b"K\x01".repeat(65), b"t\x85R."].concat();
    assert!(refused(&archive(&many, &[])).contains("torch.Size of more than 64 dims"));
}

#[test]
fn archives_of_others_are_refused() {
    assert!(refused(&archive(b"N.", &[("constants.pkl", b"N.")])).contains("TorchScript"));
    let mut w = Writer::new(Vec::new(), "x");
    w.add("readme", b"hello").unwrap();
    assert!(refused(&w.finish().unwrap()).contains("data.pkl"));
    for (method, flat) in [(zip::CompressionMethod::Deflated, false), (zip::CompressionMethod::Stored, true)] {
        let mut w = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        let options = zip::write::SimpleFileOptions::default().compression_method(method);
        w.start_file(if flat { "data.pkl" } else { "x/data.pkl" }, options).unwrap();
        w.write_all(&[&b"]".repeat(1000)[..], b"."].concat()).unwrap();
        let message = refused(&w.finish().unwrap().into_inner());
        assert!(message.contains(if flat { "in no folder" } else { "is compressed" }), "{message}");
    }
    // a changed byte shows in the sum
    let mut file = archive(&tensor("ByteStorage", 5, 0, &[5], &[1], b""), &[("data/0", b"hello")]);
    let at = file.windows(5).position(|w| w == b"hello").unwrap();
    file[at] = b'j';
    assert!(refused(&file).contains("damaged zip archive"));
}

#[test]
fn a_storage_without_a_class_has_its_dtype_beside_it() {
    let folder = Folder::new();
    let path = folder.0.join("u32.pt");
    let t = Tensor::from_vec(vec![1u32, u32::MAX], [2], ()).unwrap();
    save(&t, &path).unwrap();
    let back = load(&path).unwrap();
    assert_eq!(
        (back.as_tensor().unwrap().dtype(), back.as_tensor().unwrap().to_vec::<u32>().unwrap()),
        (DType::U32, vec![1, u32::MAX])
    );
    let file = std::fs::read(&path).unwrap();
    for name in ["_rebuild_tensor_v3", "UntypedStorage", "uint32"] {
        assert!(file.windows(name.len()).any(|w| w == name.as_bytes()), "{name}");
    }
}
