//! Runs a program on a device and compares what it emits with what PyTorch emitted, in order.

use serde_json::Value as Json;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{LazyLock, Once, RwLock};
use wgtorch::prelude::*;
use wgtorch::{PrintOptions, set_printoptions};

const TEXT: &str = include_str!("../conformance/cases/programs.jsonl");

static ALL: LazyLock<Vec<Json>> =
    LazyLock::new(|| TEXT.lines().map(|l| serde_json::from_str(l).expect("a program is one line of JSON")).collect());

/// The ids of some groups.
pub fn ids(groups: &[&str]) -> Vec<String> {
    let text = |p: &Json, k: &str| p[k].as_str().expect("programs have ids and groups").to_owned();
    ALL.iter().filter(|p| groups.contains(&&*text(p, "group"))).map(|p| text(p, "id")).collect()
}

/// What a program emits.
pub enum Got {
    Tensor(Tensor),
    List(Vec<Got>),
    Bool(bool),
    Int(i64),
    F32(f64),
    F64(f64),
    Text(String),
    Nothing,
    /// Not computed here, and why.
    Later(&'static str),
}

/// A list of whatever can be emitted.
#[macro_export]
macro_rules! list {
    ($($e:expr),* $(,)?) => { $crate::harness::Got::List(vec![$($crate::harness::Got::from($e)),*]) };
}

macro_rules! got_from {
    ($($t:ty: $x:ident => $e:expr;)*) => {$(
        impl From<$t> for Got {
            fn from($x: $t) -> Got { $e }
        }
    )*};
}
got_from! {
    Tensor: t => Got::Tensor(t);
    &Tensor: t => Got::Tensor(t.clone());
    bool: b => Got::Bool(b);
    i64: i => Got::Int(i);
    usize: i => Got::Int(i as i64);
    u64: i => Got::Int(i as i64);
    f32: f => Got::F32(f as f64);
    f64: f => Got::F64(f);
    &str: s => Got::Text(s.into());
    String: s => Got::Text(s);
    DType: d => Got::Text(d.to_string().trim_start_matches("torch.").into());
    Shape: s => Got::from(s.to_vec());
    (Tensor, Tensor): p => Got::List(vec![p.0.into(), p.1.into()]);
}
impl<T: Into<Got>> From<Vec<T>> for Got {
    fn from(v: Vec<T>) -> Got {
        Got::List(v.into_iter().map(Into::into).collect())
    }
}
impl<T: Into<Got>> From<Option<T>> for Got {
    fn from(v: Option<T>) -> Got {
        v.map_or(Got::Nothing, Into::into)
    }
}

/// Held for writing while print options are not the default ones.
static PRINTING: RwLock<()> = RwLock::new(());

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Runs what may panic, without the noise; the text of the panic.
pub fn attempt<R>(f: impl FnOnce() -> R) -> Result<R, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let loud = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                loud(info);
            }
        }));
    });
    let was = QUIET.replace(true);
    let result = catch_unwind(AssertUnwindSafe(f));
    QUIET.set(was);
    result.map_err(|e| match e.downcast::<String>() {
        Ok(s) => *s,
        Err(e) => e.downcast::<&str>().map_or("a panic without text".into(), |s| s.to_string()),
    })
}

/// A program on its way through the expected entries.
pub struct Program {
    expected: Vec<Json>,
    at: usize,
    device: Device,
    tolerance: Option<(f64, f64)>,
    wrong: Vec<String>,
}

impl Program {
    pub fn run(id: &str, device: Device, body: fn(&mut Program, Device) -> Result<(), Error>) {
        let Some(program) = ALL.iter().find(|p| p["id"] == id) else { panic!("no program {id}") };
        let tolerance = program.get("tol").map(|t| {
            let number = |k: &str| t[k].as_f64().unwrap_or(0.0);
            (number("atol"), number("rtol"))
        });
        let expected = program["expected"].as_array().expect("entries").clone();
        let mut p = Program { expected, at: 0, device, tolerance, wrong: Vec::new() };
        body(&mut p, device).unwrap_or_else(|e| panic!("{id}: {e}"));
        assert_eq!(p.at, p.expected.len(), "{id}: entries are missing after {}", p.at);
        assert!(p.wrong.is_empty(), "{id} on {device}:\n{}", p.wrong.join("\n"));
    }

    /// On the first GPU. Where there is none that is said loudly, and under `CI=true` it is a failure.
    pub fn on_gpu(id: &str, body: fn(&mut Program, Device) -> Result<(), Error>) {
        if Device::gpu_count() > 0 {
            return Program::run(id, Device::Gpu(0), body);
        }
        assert!(std::env::var("CI").as_deref() != Ok("true"), "no GPU adapter for {id}");
        eprintln!("*** no GPU adapter: {id} is skipped there ***");
    }

    fn next(&mut self, label: &str) -> Json {
        let Some(entry) = self.expected.get(self.at) else { panic!("PyTorch emits nothing more at {label:?}") };
        assert_eq!(entry["label"], label, "entries are emitted in PyTorch's order");
        self.at += 1;
        entry.clone()
    }

    /// One entry, compared with PyTorch's.
    pub fn emit(&mut self, label: &str, got: impl Into<Got>) {
        let entry = self.next(label);
        assert!(entry.get("value").is_some(), "{label:?} expects an error");
        self.compare(label, &entry["value"], &got.into());
    }

    /// One entry of texts by name.
    pub fn emit_named(&mut self, label: &str, got: Vec<(&str, String)>) {
        let entry = self.next(label);
        let want = entry["value"].as_object().expect("an object");
        assert_eq!(want.len(), got.len(), "{label}: not all names");
        for (k, v) in got {
            self.compare(&format!("{label}.{k}"), &want[k], &v.into());
        }
    }

    /// One entry of a value that may fail to come about; a failure is told among the others.
    pub fn try_emit<R: Into<Got>>(&mut self, label: &str, f: impl FnOnce() -> R) {
        match attempt(f) {
            Ok(got) => self.emit(label, got),
            Err(e) => {
                self.next(label);
                self.wrong.push(format!("{label}: {e}"));
            }
        }
    }

    /// An entry that is not computed here yet.
    pub fn later(&mut self, label: &str, why: &'static str) {
        self.next(label);
        println!("later: {label}: {why}");
    }

    /// Where PyTorch fails, `f` has to fail with its words, at once or when the device is waited for; else it must not fail.
    pub fn raises<R>(&mut self, label: &str, f: impl FnOnce() -> R) {
        let entry = self.next(label);
        let device = self.device;
        let result = attempt(f).and_then(|_| device.synchronize().map_err(|e| e.to_string()));
        match (result, entry["error"].as_str()) {
            (Ok(()), None) => {}
            (Ok(()), Some(_)) => self.wrong.push(format!("{label}: no error came; PyTorch's is {}", entry["message"])),
            (Err(e), None) => self.wrong.push(format!("{label}: failed: {e}")),
            (Err(e), Some(_)) => {
                let message = entry["message"].as_str().unwrap_or_default();
                if !e.contains(message.trim_end()) {
                    self.wrong.push(format!("{label}: {e:?}, not {message:?}"));
                }
            }
        }
    }

    /// As [`Program::raises`], where our words differ from PyTorch's: `part` of them.
    pub fn raises_saying<R>(&mut self, label: &str, part: &str, f: impl FnOnce() -> R) {
        let entry = self.next(label);
        assert!(entry["error"].is_string(), "{label}: PyTorch does not fail");
        let device = self.device;
        match attempt(f).and_then(|_| device.synchronize().map_err(|e| e.to_string())) {
            Ok(()) => self.wrong.push(format!("{label}: no error came; PyTorch's is {}", entry["message"])),
            Err(e) if e.contains(part) => {}
            Err(e) => self.wrong.push(format!("{label}: {e:?} does not say {part:?}")),
        }
    }

    /// A tensor's text without the name of a GPU, which PyTorch's CPU text lacks.
    pub fn text(&self, t: &Tensor) -> String {
        let _options = PRINTING.read();
        self.plain(t)
    }

    /// [`Program::text`] under options that are set, which are the process's: nothing else prints meanwhile.
    pub fn text_with(&self, options: PrintOptions, t: &Tensor) -> String {
        let _alone = PRINTING.write();
        set_printoptions(options);
        let text = self.plain(t);
        set_printoptions(PrintOptions::DEFAULT);
        text
    }

    fn plain(&self, t: &Tensor) -> String {
        let text = t.to_string();
        if self.device == Device::Cpu {
            return text;
        }
        // the name takes room: what was wrapped because of it goes back to its line
        let name = format!("device='{}'", self.device);
        let text = text.replace(&format!(",\n       {name}"), "").replace(&format!(", {name}"), "");
        match text.rsplit_once(",\n       ") {
            Some((head, tail)) if tail.starts_with("grad_fn=") || tail.starts_with("dtype=") => {
                let last = head.lines().last().map_or(0, str::len);
                if last + tail.len() + 2 <= 80 { format!("{head}, {tail}") } else { text }
            }
            _ => text,
        }
    }

    fn compare(&mut self, at: &str, want: &Json, got: &Got) {
        let fits = match (got, want) {
            (Got::Later(why), _) => {
                println!("later: {at}: {why}");
                true
            }
            (Got::Tensor(t), _) => return self.tensor(at, want, t),
            (Got::List(v), Json::Array(w)) if v.len() == w.len() => {
                for (i, (g, w)) in v.iter().zip(w).enumerate() {
                    self.compare(&format!("{at}[{i}]"), w, g);
                }
                true
            }
            (Got::Bool(b), Json::Bool(w)) => b == w,
            (Got::Int(i), Json::Number(w)) => w.as_i64() == Some(*i),
            (Got::F32(f), _) => close(*f, number(want), self.tolerance.unwrap_or((1e-5, 1e-4))),
            (Got::F64(f), _) => close(*f, number(want), self.tolerance.unwrap_or((1e-9, 1e-7))),
            (Got::Text(s), Json::String(w)) => s == w,
            (Got::Nothing, Json::Null) => true,
            _ => false,
        };
        if !fits {
            let got = match got {
                Got::List(v) => format!("a list of {}", v.len()),
                Got::Bool(b) => b.to_string(),
                Got::Int(i) => i.to_string(),
                Got::F32(f) | Got::F64(f) => f.to_string(),
                Got::Text(s) => s.clone(),
                _ => "nothing".into(),
            };
            self.wrong.push(format!("{at}: {got}\nPyTorch: {want}"));
        }
    }

    fn tensor(&mut self, at: &str, want: &Json, t: &Tensor) {
        let spec = &want["tensor"];
        let Some(data) = spec["data"].as_array() else {
            return self.wrong.push(format!("{at}: a tensor {t}\nPyTorch: {want}"));
        };
        let shape: Vec<usize> =
            spec["shape"].as_array().expect("a shape").iter().map(|n| n.as_u64().unwrap_or(0) as usize).collect();
        let dtype = t.dtype().to_string();
        let form = dtype.trim_start_matches("torch.") == spec["dtype"] && t.shape()[..] == shape[..];
        let tolerance = self.tolerance.unwrap_or(match t.dtype() {
            F64 => (1e-9, 1e-7),
            F16 | BF16 => (1e-3, 1e-2),
            _ => (1e-5, 1e-4),
        });
        let values = if t.dtype().is_float() {
            t.to_vec::<f64>().map(|v| v.iter().zip(data).all(|(g, w)| close(*g, number(w), tolerance)))
        } else {
            t.to_vec::<i64>().map(|v| v.iter().zip(data).all(|(g, w)| integer(w) == Some(*g)))
        };
        match values {
            Err(e) => self.wrong.push(format!("{at}: {e}")),
            Ok(same) if same && form => {}
            Ok(_) => self.wrong.push(format!("{at}: {t} {dtype} {:?}\nPyTorch: {want}", t.shape())),
        }
    }
}

fn number(j: &Json) -> Option<f64> {
    match j {
        Json::Number(n) => n.as_f64(),
        Json::String(s) => match &s[..] {
            "nan" => Some(f64::NAN),
            "inf" => Some(f64::INFINITY),
            "-inf" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        _ => None,
    }
}

fn integer(j: &Json) -> Option<i64> {
    j.as_i64().or_else(|| j.as_bool().map(|b| b as i64))
}

fn close(got: f64, want: Option<f64>, (atol, rtol): (f64, f64)) -> bool {
    let Some(want) = want else { return false };
    got == want || got.is_nan() && want.is_nan() || want.is_finite() && (got - want).abs() <= atol + rtol * want.abs()
}

/// Programs as tests: `name "its-id" |program, device| { … }` runs on the CPU and on the first GPU.
#[macro_export]
macro_rules! programs {
    ($($name:ident $id:literal |$p:ident, $d:ident| $body:block)*) => {
        pub const IDS: &[&str] = &[$($id),*];
        $(mod $name {
            #[allow(unused_imports, reason = "what the group's programs use, each a part of it")]
            use super::*;
            fn run($p: &mut $crate::harness::Program, $d: Device) -> Result<(), Error> {
                $body;
                Ok(())
            }
            #[test]
            fn cpu() {
                $crate::harness::Program::run($id, Device::Cpu, run);
            }
            #[test]
            fn gpu() {
                $crate::harness::Program::on_gpu($id, run);
            }
        })*
    };
}
