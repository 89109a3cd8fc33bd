//! The opt-in tuner: times the variants that can do a product the first time that its class of shapes is met, and keeps the choice in a
//! file. Where it is off, which is the default, `kernels/matmul_pick.rs` chooses and nothing depends on time.

use super::recorder::Recorder;
use super::variant::Variant;
use crate::error::{Error, Result};
use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// What the file says it is.
const FORMAT: &str = "wgtorch tuning 1";
/// Products in a row that are timed as one, and how often.
const IN_A_ROW: usize = 8;
const TIMES: usize = 5;

struct Tuner {
    path: PathBuf,
    /// By adapter, then by class: the variant's name.
    adapters: Map<String, Value>,
}

static TUNER: Mutex<Option<Tuner>> = Mutex::new(None);
/// Whether there is one: what each product asks first.
static ON: AtomicBool = AtomicBool::new(false);
/// Whether the environment was asked.
static ASKED: AtomicBool = AtomicBool::new(false);
static TIMED: AtomicU64 = AtomicU64::new(0);

/// Switches the tuner on, with the choices of a file, which is made where there is none.
pub fn start(path: &Path) -> Result<()> {
    let tuner = match std::fs::read_to_string(path) {
        Ok(text) => Tuner { path: path.into(), adapters: parse(path, &text)? },
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            let tuner = Tuner { path: path.into(), adapters: Map::new() };
            tuner.save()?;
            tuner
        }
        // bytes that are no text
        Err(e) if e.kind() == std::io::ErrorKind::InvalidData => return Err(bad(path, "it is no text")),
        Err(e) => return Err(Error::io(path, e)),
    };
    *TUNER.lock() = Some(tuner);
    ON.store(true, Ordering::Release);
    Ok(())
}

/// Switches it off.
pub fn stop() {
    ON.store(false, Ordering::Release);
    *TUNER.lock() = None;
}

/// How many classes of products this process has timed.
pub fn timed() -> u64 {
    TIMED.load(Ordering::Relaxed)
}

/// Switches the tuner on where `WGTORCH_TUNE` names a file and nobody did so yet.
pub(super) fn from_env() -> Result<()> {
    // once: it may have been switched off since
    if ASKED.swap(true, Ordering::Relaxed) {
        return Ok(());
    }
    match std::env::var_os("WGTORCH_TUNE").filter(|p| !p.is_empty()) {
        Some(path) if !on() => start(Path::new(&path)),
        _ => Ok(()),
    }
}

/// Whether it is on.
pub(super) fn on() -> bool {
    ON.load(Ordering::Acquire)
}

/// The file's choice for a class of products, among those that can do it; `run` records the product once in the variant it is given,
/// and is timed where the file has no choice yet. None where the tuner was switched off meanwhile.
pub(super) fn choose(
    rec: &mut Recorder,
    class: &str,
    able: &[Variant],
    mut run: impl FnMut(&mut Recorder, Variant) -> Result<()>,
) -> Result<Option<Variant>> {
    let mut tuner = TUNER.lock();
    let Some(tuner) = &mut *tuner else { return Ok(None) };
    let adapter = rec.identity();
    if let Some(name) = tuner.adapters.get(&adapter).and_then(|a| a.get(class)) {
        let known = name.as_str().and_then(Variant::named).filter(|v| able.contains(v));
        return known.map(Some).ok_or_else(|| bad(&tuner.path, &format!("{name} cannot compute \"{class}\"")));
    }
    let mut best = (Duration::MAX, Variant::Auto);
    for &v in able {
        // the first compiles
        rec.duration(|rec| run(rec, v))?;
        let mut times = Vec::new();
        for _ in 0..TIMES {
            times.push(rec.duration(|rec| (0..IN_A_ROW).try_for_each(|_| run(rec, v)))?);
        }
        times.sort();
        if times[TIMES / 2] < best.0 {
            best = (times[TIMES / 2], v);
        }
    }
    TIMED.fetch_add(1, Ordering::Relaxed);
    let of_adapter = tuner.adapters.entry(adapter).or_insert_with(|| json!({}));
    if let Value::Object(classes) = of_adapter {
        classes.insert(class.into(), best.1.name().into());
    }
    tuner.save()?;
    Ok(Some(best.1))
}

fn bad(path: &Path, message: &str) -> Error {
    Error::Format { what: path.display().to_string(), message: format!("not a file of the tuner's: {message}") }
}

/// A file's choices, each with the name of a variant.
fn parse(path: &Path, text: &str) -> Result<Map<String, Value>> {
    let value: Value = serde_json::from_str(text).map_err(|e| bad(path, &e.to_string()))?;
    let Value::Object(mut file) = value else { return Err(bad(path, "it holds no object")) };
    if file.get("format").and_then(Value::as_str) != Some(FORMAT) {
        return Err(bad(path, &format!("\"format\" is not \"{FORMAT}\"")));
    }
    let Some(Value::Object(adapters)) = file.remove("adapters") else {
        return Err(bad(path, "it has no \"adapters\""));
    };
    for (adapter, classes) in &adapters {
        let Value::Object(classes) = classes else { return Err(bad(path, &format!("\"{adapter}\" is no object"))) };
        for (class, name) in classes {
            if name.as_str().and_then(Variant::named).is_none() {
                return Err(bad(path, &format!("{name} of \"{class}\" is no variant")));
            }
        }
    }
    Ok(adapters)
}

impl Tuner {
    /// Writes the file beside itself and puts it in place, so that nobody reads half of it.
    fn save(&self) -> Result<()> {
        let text = format!("{:#}\n", json!({ "format": FORMAT, "adapters": self.adapters }));
        let mut beside = self.path.clone().into_os_string();
        beside.push(format!(".{}", std::process::id()));
        let written = std::fs::write(&beside, text).and_then(|()| std::fs::rename(&beside, &self.path));
        written.map_err(|e| {
            // what was written of it is of no use
            let _ = std::fs::remove_file(&beside);
            Error::io(&self.path, e)
        })
    }
}
