//! The conformance runner: cases computed with PyTorch, on every device, each op as it comes and fused.
//!
//! `cargo test --release --test conformance`, directed by the environment:
//! - `CONFORMANCE_DIR`: a folder of case folders (default: `cases/` here, whose README says what a case is);
//! - `CONFORMANCE_DEVICES`: `cpu`, `gpu`, `gpu:1` … separated by commas (default: `cpu,gpu`);
//! - `CONFORMANCE_MODES`: `fused`, `eager` or both (default: both; a case passes if it passes in each);
//! - `CONFORMANCE_FILTER`: only cases whose op or id contains one of these strings, separated by commas;
//! - `CONFORMANCE_REPORT`: a file that gets one JSON line for every failure and skip.

mod call;
mod case;
mod compare;
mod factors;
mod lists;
mod modules;
mod optim;
mod report;
mod run;
mod selfcheck;
mod table;

use case::Folder;
use report::Report;
use run::Outcome;
use std::path::PathBuf;
use std::process::ExitCode;
use wgtorch::Device;

fn variable(name: &str, default: &str) -> String {
    std::env::var(name).ok().filter(|v| !v.is_empty()).unwrap_or_else(|| default.into())
}

fn list(name: &str, default: &str) -> Vec<String> {
    variable(name, default).split(',').map(|s| s.trim().to_string()).filter(|s| !s.is_empty()).collect()
}

/// The devices asked for. A missing GPU is loud, and under CI an error: a run that silently halves itself proves nothing.
fn devices() -> Result<Vec<Device>, String> {
    let mut out = Vec::new();
    for name in list("CONFORMANCE_DEVICES", "cpu,gpu") {
        match name.parse::<Device>() {
            Ok(d) => out.push(d),
            Err(e)
                if name.starts_with("gpu")
                    && Device::gpu_count() == 0
                    && std::env::var("CI").as_deref() != Ok("true") =>
            {
                eprintln!("\nSKIPPED: conformance on {name}: {e}");
                eprintln!(
                    "SKIPPED: install a software adapter (Debian: apt-get install mesa-vulkan-drivers), then run again.\n"
                );
            }
            Err(e) => return Err(format!("CONFORMANCE_DEVICES: {e}")),
        }
    }
    Ok(out)
}

fn modes() -> Result<Vec<(&'static str, bool)>, String> {
    list("CONFORMANCE_MODES", "fused,eager")
        .iter()
        .map(|m| match &m[..] {
            "fused" => Ok(("fused", false)),
            "eager" => Ok(("eager", true)),
            _ => Err(format!("CONFORMANCE_MODES: {m} is neither fused nor eager")),
        })
        .collect()
}

fn conformance() -> Result<bool, String> {
    selfcheck::run()?;
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/conformance/cases");
    let root = PathBuf::from(variable("CONFORMANCE_DIR", default));
    let (devices, modes) = (devices()?, modes()?);
    let filter = list("CONFORMANCE_FILTER", "");
    let mut report = Report::new(std::env::var_os("CONFORMANCE_REPORT").map(PathBuf::from), !filter.is_empty())?;
    let folders = Folder::load_all(&root)?;
    run::keep_panics();
    for &device in &devices {
        println!("conformance on {device}: {}", device.description());
        for folder in &folders {
            for case in &folder.cases {
                let text = |k: &str| case[k].as_str().unwrap_or_default();
                if !filter.is_empty()
                    && !filter.iter().any(|f| text("op").contains(&f[..]) || text("id").contains(&f[..]))
                {
                    continue;
                }
                // the first mode that does not pass decides
                let mut outcome = Outcome::Passed;
                let mut mode = "";
                for (name, eager) in &modes {
                    wgtorch::stream::set_eager(*eager);
                    (outcome, mode) = (run::case(folder, case, device), name);
                    if outcome != Outcome::Passed {
                        break;
                    }
                }
                report.add(&folder.name, case, device, mode, outcome)?;
            }
        }
    }
    report.finish()
}

fn main() -> ExitCode {
    // what `cargo test` passes on to every test program: a list, or a filter that is not about this one
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.iter().any(|a| a == "--list") {
        println!("conformance: test");
        return ExitCode::SUCCESS;
    }
    if args.iter().any(|a| a == "--ignored")
        || args.iter().any(|a| !a.starts_with('-') && !"conformance".contains(&a[..]))
    {
        return ExitCode::SUCCESS;
    }
    match conformance() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("conformance: {e}");
            ExitCode::FAILURE
        }
    }
}
