//! Counting, printing, and the verdict.

use crate::lists::{self, KNOWN};
use crate::run::{self, Outcome};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use wgtorch::Device;

#[derive(Default)]
struct Count {
    passed: usize,
    failed: usize,
    unsupported: usize,
    untyped: usize,
    /// Unsupported ones of a dtype that this release does not promise.
    other_dtype: usize,
}

impl Count {
    fn add(&mut self, outcome: &Outcome, case: &Json) {
        match outcome {
            Outcome::Passed => self.passed += 1,
            Outcome::Failed(_) => self.failed += 1,
            Outcome::Unsupported(_) => {
                self.unsupported += 1;
                self.other_dtype += lists::other_dtype(case) as usize;
            }
            Outcome::Untyped(_) => self.untyped += 1,
        }
    }
}

pub struct Report {
    file: Option<BufWriter<File>>,
    filtered: bool,
    /// By op and device.
    counts: BTreeMap<(String, String), Count>,
    /// By folder and device.
    folders: BTreeMap<(String, String), Count>,
    /// Failures that nobody declared.
    surprises: Vec<String>,
    /// How often each declared failure was met, and how often such a case passed.
    known: Vec<(usize, usize)>,
    untyped: BTreeMap<&'static str, usize>,
}

impl Report {
    pub fn new(path: Option<PathBuf>, filtered: bool) -> Result<Report, String> {
        let create = |p: PathBuf| File::create(&p).map(BufWriter::new).map_err(|e| format!("{}: {e}", p.display()));
        Ok(Report {
            file: path.map(create).transpose()?,
            filtered,
            counts: BTreeMap::new(),
            folders: BTreeMap::new(),
            surprises: Vec::new(),
            known: vec![(0, 0); KNOWN.len()],
            untyped: BTreeMap::new(),
        })
    }

    pub fn add(
        &mut self,
        folder: &str,
        case: &Json,
        device: Device,
        mode: &str,
        outcome: Outcome,
    ) -> Result<(), String> {
        let text = |k: &str| case[k].as_str().unwrap_or_default();
        let (op, id) = (text("op"), text("id"));
        self.counts.entry((op.to_string(), device.to_string())).or_default().add(&outcome, case);
        self.folders.entry((folder.to_string(), device.to_string())).or_default().add(&outcome, case);
        let known = KNOWN.iter().position(|k| k.matches(op, id, device));
        let (result, reason) = match &outcome {
            Outcome::Passed => {
                if let Some(k) = known {
                    self.known[k].1 += 1;
                }
                return Ok(());
            }
            Outcome::Failed(reason) => {
                match known {
                    Some(k) => self.known[k].0 += 1,
                    None => self.surprises.push(format!("{id} on {device} ({mode}): {reason}")),
                }
                ("failed", reason)
            }
            Outcome::Unsupported(reason) => ("skipped", reason),
            Outcome::Untyped(reason) => {
                *self.untyped.entry(lists::untyped_reason(reason)).or_default() += 1;
                ("untyped", reason)
            }
        };
        if let Some(f) = &mut self.file {
            let line = json!({"id": id, "op": op, "folder": folder, "dtype": case["dtype"], "device": device.to_string(),
                "mode": mode, "result": result, "reason": reason, "known": known.map(|k| KNOWN[k].reason)});
            writeln!(f, "{line}").map_err(|e| format!("CONFORMANCE_REPORT: {e}"))?;
        }
        Ok(())
    }

    /// Prints everything; true where the run is as it should be.
    pub fn finish(mut self) -> Result<bool, String> {
        if let Some(f) = &mut self.file {
            f.flush().map_err(|e| format!("CONFORMANCE_REPORT: {e}"))?;
        }
        let mut total = Count::default();
        let mut promised: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
        let mut gaps = Vec::new();
        for ((op, device), c) in &self.counts {
            println!("{op} {device}: {} passed, {} failed, {} unsupported", c.passed, c.failed, c.unsupported);
            total.passed += c.passed;
            total.failed += c.failed;
            total.unsupported += c.unsupported;
            total.untyped += c.untyped;
            if lists::is_promised(op) {
                let (passed, of) = promised.entry(device).or_default();
                let due = c.passed + c.failed + c.unsupported - c.other_dtype;
                *passed += c.passed;
                *of += due;
                if (c.passed as f64) < 0.99 * due as f64 {
                    gaps.push(format!("{op} on {device}: {} of {due} pass", c.passed));
                }
            }
        }
        for ((folder, device), c) in &self.folders {
            let share = c.passed as f64 * 100.0 / ((c.passed + c.failed + c.unsupported).max(1)) as f64;
            println!(
                "folder {folder} on {device}: {} passed, {} failed, {} skipped ({share:.2} %)",
                c.passed, c.failed, c.unsupported
            );
        }
        let mut good = true;
        for s in &self.surprises {
            println!("FAILED {s}");
            good = false;
        }
        for (k, (met, passed)) in KNOWN.iter().zip(&self.known) {
            if *passed > 0 {
                println!("PASSED UNEXPECTEDLY: {} case(s) of {} are declared as failing: {}", passed, k.op, k.reason);
                good = false;
            } else if *met > 0 {
                println!("known failure, {met} case(s) of {}: {}", k.op, k.reason);
            }
        }
        for name in lists::stale(&run::known_ops()) {
            println!("promised, but not in the runner's table: {name}");
            good = false;
        }
        for g in &gaps {
            println!("promised op under 99 %: {g}");
        }
        for (device, (passed, of)) in &promised {
            let share = if *of == 0 { 100.0 } else { *passed as f64 * 100.0 / *of as f64 };
            println!("promised ops on {device}: {passed} of {of} pass ({share:.2} %)");
            good &= share >= 99.0 || self.filtered;
        }
        // single ops under their share are printed; the declared list of failures keeps them from growing
        for (reason, n) in &self.untyped {
            println!("  {n} x {reason}");
        }
        println!("cases a typed API cannot express: {}", total.untyped);
        println!("{} passed, {} failed, {} skipped", total.passed, total.failed, total.unsupported);
        Ok(good)
    }
}
