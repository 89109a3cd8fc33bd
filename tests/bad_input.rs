//! Bad input: PyTorch's words from the panicking and the checked form, tensors left as they were, faults that only a device sees
//! told at the next wait, and files that lie about their sizes.

mod common;

// the conformance cases of errors hold PyTorch's own words
#[allow(dead_code, reason = "the conformance runner uses the rest")]
#[path = "conformance/call.rs"]
mod call;
#[allow(dead_code, reason = "the conformance runner uses the rest")]
#[path = "conformance/case.rs"]
mod case;
#[allow(dead_code, reason = "the conformance runner uses the rest")]
#[path = "conformance/compare.rs"]
mod compare;
#[allow(dead_code, reason = "the conformance runner uses the rest")]
#[path = "conformance/factors.rs"]
mod factors;
#[allow(dead_code, reason = "the conformance runner uses the rest")]
#[path = "conformance/modules.rs"]
mod modules;
#[allow(dead_code, reason = "the conformance runner uses the rest")]
#[path = "conformance/optim.rs"]
mod optim;
#[allow(dead_code, reason = "the conformance runner uses the rest")]
#[path = "conformance/run.rs"]
mod run;
#[allow(dead_code, reason = "the conformance runner uses the rest")]
#[path = "conformance/table/mod.rs"]
mod table;

use case::Folder;
use common::devices;
use std::alloc::{GlobalAlloc, Layout, System};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use wgtorch::prelude::*;

/// Counts the largest allocation.
struct Largest;

static LARGEST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is the system allocator's; a number is noted beside it.
unsafe impl GlobalAlloc for Largest {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        LARGEST.fetch_max(new_size, Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(ptr, layout, new_size) }
    }
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Largest = Largest;

/// Device faults and the largest allocation are the process's: these tests take turns.
fn alone() -> std::sync::MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(|e| e.into_inner())
}

/// Cases whose words differ from PyTorch's, with the reason.
const OTHER_WORDS: &[(&str, &str)] = &[
    ("expand.f32.312b5787", "it names PyTorch's tensor classes"),
    ("meshgrid.f32.357c0f29", "it prints the tensor as libtorch does"),
];

/// PyTorch's kinds of exceptions and ours.
fn kind(e: &Error) -> &'static str {
    match e {
        Error::Runtime(_) => "RuntimeError",
        Error::Index(_) => "IndexError",
        Error::Type(_) => "TypeError",
        Error::Value(_) => "ValueError",
        Error::NotImplemented(_) => "NotImplementedError",
        Error::Deferred { .. } => "deferred",
        _ => "another kind",
    }
}

#[test]
fn errors_are_in_pytorchs_words() {
    let _alone = alone();
    run::keep_panics();
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/cases");
    let mut wrong = Vec::new();
    let mut same = 0;
    for device in devices() {
        for folder in Folder::load_all(&root).unwrap() {
            for case in folder.cases.iter().filter(|c| c.get("error").is_some()) {
                let text = |v: &serde_json::Value| v.as_str().unwrap_or_default().to_owned();
                let (id, python) = (text(&case["id"]), text(&case["error"]["type"]));
                // Python's types are checked by Rust's; its messages list Python signatures
                if python == "TypeError" {
                    continue;
                }
                let got = catch_unwind(AssertUnwindSafe(|| run::raised(&folder, case, device)));
                let got = match got {
                    Ok(Ok(Some(e))) => e,
                    Ok(Err(call::Stop::Unsupported(_) | call::Stop::Untyped(_))) => continue,
                    other => {
                        wrong.push(format!("{id} on {device}: {other:?}"));
                        continue;
                    }
                };
                let want = text(&case["error"]["message"]);
                let words = match &got {
                    // where an index is found out on the device, the fault is one line with the call's place
                    Error::Deferred { message, .. } => message.clone(),
                    e => e.to_string(),
                };
                let line = |s: &str| s.lines().next().unwrap_or_default().trim_end().to_owned();
                let deferred = kind(&got) == "deferred";
                // it adds the value where PyTorch's words have none
                let same_words = line(&words) == line(&want) || deferred && words.starts_with(&line(&want));
                let good = same_words && (deferred || kind(&got) == python);
                match (good, OTHER_WORDS.iter().find(|o| id.starts_with(o.0))) {
                    (true, None) => same += 1,
                    (false, Some(_)) => {}
                    (true, Some(o)) => wrong.push(format!("{id}: in PyTorch's words after all ({})", o.1)),
                    (false, None) => {
                        wrong.push(format!(
                            "{id} on {device}:\n   ours {}: {words}\n  torch {python}: {want}",
                            kind(&got)
                        ));
                    }
                }
            }
        }
    }
    let _ = std::panic::take_hook();
    println!("{same} errors in PyTorch's words");
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(same > 150, "{same}");
}

/// The text of a panic and the file and line it is blamed on.
fn panic_of(f: impl FnOnce()) -> (String, String) {
    static SEEN: Mutex<Option<(String, String)>> = Mutex::new(None);
    std::panic::set_hook(Box::new(|info| {
        let at = info.location().map_or(String::new(), |l| format!("{}:{}", l.file(), l.line()));
        let text = info.payload().downcast_ref::<&str>().map(|s| s.to_string());
        let text = text.or(info.payload().downcast_ref::<String>().cloned());
        *SEEN.lock().unwrap() = Some((text.unwrap_or_default(), at));
    }));
    let result = catch_unwind(AssertUnwindSafe(f));
    let _ = std::panic::take_hook();
    assert!(result.is_err(), "no panic");
    SEEN.lock().unwrap().take().expect("the hook has run")
}

#[test]
fn both_forms_say_the_same_and_blame_the_caller() {
    let _alone = alone();
    for d in devices() {
        let (a, b) = (ones([2, 3], d), ones([4], d));
        let i = tensor!([[7]], d);
        type Form<'a> = (&'a str, Box<dyn Fn() + 'a>, Box<dyn Fn() -> wgtorch::Result<Tensor> + 'a>);
        let forms: Vec<Form> = vec![
            ("add", Box::new(|| drop(a.add(&b))), Box::new(|| a.checked().add(&b))),
            ("operator", Box::new(|| drop(&a + &b)), Box::new(|| a.checked().add(&b))),
            ("add_", Box::new(|| drop(a.add_(&b))), Box::new(|| a.checked().add_(&b))),
            ("mm", Box::new(|| drop(a.mm(&a))), Box::new(|| a.checked().mm(&a))),
            ("view", Box::new(|| drop(a.view([5]))), Box::new(|| a.checked().view([5]))),
            ("sum_dim", Box::new(|| drop(a.sum_dim(2, false))), Box::new(|| a.checked().sum_dim(2, false))),
            ("i", Box::new(|| drop(a.i(2))), Box::new(|| a.checked().i(2))),
            ("gather", Box::new(|| drop(a.gather(0, &b))), Box::new(|| a.checked().gather(0, &b))),
            ("gather of dims", Box::new(|| drop(b.gather(0, &i))), Box::new(|| b.checked().gather(0, &i))),
            ("conv2d", Box::new(|| drop(a.conv2d(&b, ()))), Box::new(|| a.checked().conv2d(&b, ()))),
            ("softmax", Box::new(|| drop(a.softmax(3, ()))), Box::new(|| a.checked().softmax(3, ()))),
            (
                "requires_grad_",
                Box::new(|| drop(i.requires_grad_(true))),
                Box::new(|| i.checked().requires_grad_(true)),
            ),
        ];
        let before: Vec<Vec<f64>> = [&a, &b, &i].iter().map(|t| t.to_vec::<f64>().unwrap()).collect();
        for (name, panics, checked) in &forms {
            let (text, place) = panic_of(panics);
            assert_eq!(text, checked().unwrap_err().to_string(), "{name}");
            assert!(place.starts_with("tests/bad_input.rs:"), "{name} blames {place}");
            let after: Vec<Vec<f64>> = [&a, &b, &i].iter().map(|t| t.to_vec::<f64>().unwrap()).collect();
            assert_eq!(after, before, "{name} on {d} changed a tensor");
        }
    }
}

#[test]
fn tensors_on_two_devices_do_not_meet() {
    let _alone = alone();
    let Some(gpu) = devices().into_iter().find(|d| d.is_gpu()) else { return };
    let (a, b) = (ones([3], Device::Cpu), ones([3], gpu));
    let e = a.checked().add(&b).unwrap_err().to_string();
    let want = format!("Expected all tensors to be on the same device, but found at least two devices, cpu and {gpu}!");
    assert!(e.starts_with(&want), "{e}");
    assert!(a.checked().dot(&b).is_err());
    assert!(a.checked().copy_(&b).is_ok(), "copies go between devices");
    let m = ones([3, 3], gpu);
    for e in [
        m.checked().mv(&a).map(drop),
        m.checked().gather(0, &zeros([1, 1], I64)).map(drop),
        wgtorch::try_cat(&[&a, &b], 0).map(drop),
        m.checked().cross_entropy(&zeros([3], I64), ()).map(drop),
        m.checked().linear(&ones([2, 3], ()), ()).map(drop),
        m.checked().index_select(0, &zeros([1], I64)).map(drop),
        a.checked().add_(&b).map(drop),
    ] {
        let e = e.unwrap_err().to_string();
        assert!(e.starts_with("Expected all tensors to be on the same device"), "{e}");
    }
    assert_eq!(a.to_vec::<f32>().unwrap(), [1.; 3]);
}

/// What the device finds out: the next wait tells op, call site and value, the write did not happen, and the device goes on.
#[test]
fn an_index_that_only_the_device_sees_is_told_at_the_next_wait() {
    let _alone = alone();
    for d in devices() {
        let x = arange(6, (F32, d)).view([2, 3]);
        let bad = tensor!([[0, 9, 1]], d);
        let list = tensor!([0, 9], d);
        let source = ones([1, 3], d);
        let pair = ones([2, 3], d);
        type Op<'a> = (&'a str, u32, Box<dyn Fn() -> wgtorch::Result<Tensor> + 'a>);
        let ops: Vec<Op> = vec![
            ("gather", line!(), Box::new(|| x.checked().gather(1, &bad))),
            ("scatter", line!(), Box::new(|| x.checked().scatter_(1, &bad, &source))),
            ("scatter_add", line!(), Box::new(|| x.checked().scatter_add_(1, &bad, &source))),
            ("index_select", line!(), Box::new(|| x.checked().index_select(0, &list))),
            ("index_add", line!(), Box::new(|| x.checked().index_add_(0, &list, &pair, 1))),
            ("index", line!(), Box::new(|| x.checked().i(&list))),
            ("index_put", line!(), Box::new(|| x.checked().index_put_(&list, &source, false))),
            ("nll_loss", line!(), Box::new(|| x.checked().cross_entropy(&list, ()))),
        ];
        for (name, line, op) in &ops {
            let e = match op() {
                Err(e) => e,
                Ok(_) => d.synchronize().expect_err(name),
            };
            let text = e.to_string();
            if let Error::Deferred { op, location, .. } = &e {
                assert!(d.is_gpu() && text.contains('9'), "{name} on {d}: {text}");
                assert!(op.contains(name) || *name == "nll_loss", "{name}: {op}");
                assert!(location.file().ends_with("bad_input.rs"), "{name}: {location}");
                assert_eq!(location.line(), *line, "{name}");
            }
            assert!(d.synchronize().is_ok(), "{name}: the fault is told once");
            let want: Vec<f32> = (0..6).map(|i| i as f32).collect();
            let now = x.to_vec::<f32>().unwrap();
            // elements whose own index is good may be written, as on every device; none at or past the bad one's place may
            assert_eq!(now.len(), 6);
            match *name {
                "scatter" | "scatter_add" | "index_add" | "index_put" if d.is_gpu() => {
                    x.copy_(&Tensor::from_vec(want, [2, 3], d).unwrap());
                }
                _ => assert_eq!(now, want, "{name} on {d} changed its input"),
            }
        }
    }
}

fn scratch(name: &str, bytes: &[u8]) -> PathBuf {
    let path = std::env::temp_dir().join(format!("wgtorch-bad-input-{}-{name}", std::process::id()));
    std::fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn files_that_lie_do_not_allocate_what_they_claim() {
    let _alone = alone();
    let tensors = |header: &str| {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.extend([0; 16]);
        bytes
    };
    let mut long = (1u64 << 40).to_le_bytes().to_vec();
    long.extend([b'{'; 64]);
    let idx = |sizes: [u32; 3]| {
        let mut bytes = vec![0, 0, 8, 3];
        bytes.extend(sizes.iter().flat_map(|n| n.to_be_bytes()));
        bytes.extend([1; 100]);
        bytes
    };
    let files = [
        ("a.safetensors", tensors(r#"{"a":{"dtype":"F32","shape":[1000000000000],"data_offsets":[0,4000000000000]}}"#)),
        ("b.safetensors", tensors(r#"{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,16]}}"#)),
        ("c.safetensors", tensors(r#"{"a":{"dtype":"F32","shape":[5],"data_offsets":[0,16]}}"#)),
        ("d.safetensors", long),
        ("e.safetensors", vec![1, 2, 3]),
        ("f-idx", idx([1 << 30, 28, 28])),
        ("g-idx", idx([u32::MAX, u32::MAX, u32::MAX])),
        ("h-idx", idx([1, 1, 1])),
    ];
    for (name, bytes) in files {
        let path = scratch(name, &bytes);
        LARGEST.store(0, Ordering::Relaxed);
        let e = match name.ends_with("idx") {
            true => wgtorch::io::idx::read_idx(&path).map(drop),
            false => wgtorch::io::load_safetensors(&path).map(drop),
        };
        let largest = LARGEST.load(Ordering::Relaxed);
        std::fs::remove_file(&path).unwrap();
        let e = e.unwrap_err();
        assert!(matches!(e, Error::Format { .. }), "{name}: {e:?}");
        assert!(e.to_string().contains(name), "{e} does not name the file");
        assert!(largest < 1 << 20, "{name}: allocated {largest} bytes at once");
    }
}

/// Loads a file by its ending.
fn load(path: &Path) -> wgtorch::Result<()> {
    use wgtorch::io;
    match path.extension().and_then(|e| e.to_str()).unwrap() {
        "pt" | "pth" => io::load(path).map(drop),
        "npy" => io::load_npy(path).map(drop),
        "npz" => io::load_npz(path).map(drop),
        "safetensors" => io::load_safetensors(path).map(drop),
        "gz" => io::idx::read_idx(path).map(drop),
        other => panic!("no reader for {other}"),
    }
}

fn torch_files() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/torch_files")
}

#[test]
fn bad_files_are_refused_with_one_reason_and_little_memory() {
    let _alone = alone();
    let reasons = [
        ("empty.pt", "the file is empty"),
        ("header_length.safetensors", "not a safetensors file"),
        ("huge-images-idx3-ubyte.gz", "elements"),
        ("huge_claim.npy", "its header is no dict of descr, fortran_order and shape"),
        ("huge_claim.safetensors", "not a safetensors file"),
        ("magic-labels-idx1-ubyte.gz", "its elements have type 0x09; only unsigned bytes (0x08) are read"),
        ("not_a_zip.pt", "neither a zip archive nor of the older format"),
        ("object.npy", "Object arrays cannot be loaded when allow_pickle=False"),
        ("overlap.safetensors", "not a safetensors file"),
        ("pickle_deep.pt", "pop from an empty stack"),
        ("pickle_garbage.pt", "Weights only load failed. Unsupported operand 118"),
        ("runs_code.pt", "Trying to load unsupported GLOBAL posix.system whose module posix is blocked."),
        ("short.npy", "which take 24 bytes, but only 19 follow"),
        ("storage_missing.pt", "failed locating file data/0"),
        ("storage_short.pt", "record size of data/0 (3 bytes) does not match expected size (24 bytes"),
        ("truncated.pt", "damaged zip archive"),
    ];
    let mut files: Vec<_> = std::fs::read_dir(torch_files().join("bad")).unwrap().map(|f| f.unwrap().path()).collect();
    files.sort();
    assert_eq!(files.len(), reasons.len());
    for (path, (name, reason)) in files.iter().zip(reasons) {
        assert!(path.ends_with(name), "{path:?}");
        LARGEST.store(0, Ordering::Relaxed);
        let e = load(path).unwrap_err();
        let largest = LARGEST.load(Ordering::Relaxed);
        assert!(matches!(&e, Error::Format { what, .. } if Path::new(what) == path), "{name}: {e:?}");
        assert!(e.to_string().contains(reason), "{e}");
        assert_eq!(e.to_string().lines().count(), 1, "{e}");
        assert!(largest < 4 << 20, "{name}: allocated {largest} bytes at once");
    }
}

/// Good files with bytes changed, cut off or doubled: they load or they are refused, and nothing large is asked for.
#[test]
fn damaged_files_never_panic_or_ask_for_much_memory() {
    let _alone = alone();
    let mut random = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random % below as u64) as usize
    };
    let mut refused = 0;
    let files = [
        "checkpoint.pt",
        "shared_views.pt",
        "parameter.pt",
        "scalars_and_empties.pt",
        "legacy_state.pth",
        "array.npy",
        "fortran.npy",
        "arrays.npz",
        "arrays_compressed.npz",
    ];
    for file in files {
        let good = std::fs::read(torch_files().join(file)).unwrap();
        let path = scratch(file, &good);
        assert!(load(&path).is_ok(), "{file}");
        for round in 0..400 {
            let mut bytes = good.clone();
            match round % 4 {
                0 => bytes.truncate(next(good.len())),
                1 => {
                    let at = next(good.len());
                    bytes[at] = next(256) as u8;
                }
                2 => {
                    // sizes lie in runs of bytes
                    let at = next(good.len() - 8);
                    bytes[at..at + 1 + next(8)].fill(0xff);
                }
                _ => {
                    let (from, to, n) = (next(good.len() - 64), next(good.len() - 64), next(64));
                    bytes.copy_within(from..from + n, to);
                }
            }
            std::fs::write(&path, &bytes).unwrap();
            LARGEST.store(0, Ordering::Relaxed);
            let result = catch_unwind(AssertUnwindSafe(|| load(&path)));
            let largest = LARGEST.load(Ordering::Relaxed);
            let result = result.unwrap_or_else(|_| panic!("{file}, round {round} panics"));
            refused += usize::from(result.is_err());
            assert!(largest < 4 << 20, "{file}, round {round}: allocated {largest} bytes at once");
        }
        std::fs::remove_file(&path).unwrap();
    }
    assert!(refused > 1000, "{refused}");
}
