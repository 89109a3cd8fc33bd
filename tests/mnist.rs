//! The example as a newcomer runs it: what it prints and writes, and how it refuses what is wrong.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU64, Ordering};

/// A folder of a test's own, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let name = format!("wgtorch-mnist-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }
    fn file(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }
    fn names(&self) -> Vec<String> {
        let mut all: Vec<String> = std::fs::read_dir(&self.0)
            .unwrap()
            .map(|e| e.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        all.sort();
        all
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// `cargo test` builds the examples beside the tests.
fn example(args: &[&str]) -> Output {
    let here = std::env::current_exe().unwrap();
    let program = here.parent().and_then(Path::parent).unwrap().join("examples").join("mnist");
    assert!(program.exists(), "{} is missing: cargo test builds it", program.display());
    // where it is not set, Mesa warns on stderr
    Command::new(program).args(args).env("XDG_RUNTIME_DIR", std::env::temp_dir()).output().unwrap()
}

fn refused(args: &[&str], says: &str) {
    let out = example(args);
    let stderr = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(2), "{args:?}: {stderr}");
    let lines: Vec<&str> = stderr.lines().filter(|l| !l.is_empty()).collect();
    assert!(lines.len() == 1 && lines[0].starts_with("error: ") && lines[0].contains(says), "{args:?}: {stderr}");
}

fn accuracy(stdout: &str) -> f64 {
    let line = stdout.lines().rev().find(|l| l.contains("test accuracy")).unwrap();
    line.split_whitespace().rev().nth(1).unwrap().parse().unwrap()
}

#[test]
fn the_default_settings_reach_97_percent_and_what_is_saved_loads() {
    let folder = Folder::new();
    let out = example(&["--device", "cpu", "--out", &folder.file("a")]);
    let stdout = String::from_utf8(out.stdout).unwrap();
    assert!(out.status.success(), "{stdout}{}", String::from_utf8_lossy(&out.stderr));
    assert!(stdout.starts_with("device: cpu, CPU, ") && stdout.contains("(--device names it)"), "{stdout}");
    assert!(accuracy(&stdout) >= 97.0, "{stdout}");
    let results = Folder(folder.0.join("a"));
    assert_eq!(results.names(), ["digits.png", "lenet.safetensors", "loss.png"]);
    for picture in ["digits.png", "loss.png"] {
        assert!(std::fs::read(results.0.join(picture)).unwrap().starts_with(b"\x89PNG\r\n\x1a\n"));
        assert!(stdout.contains(&results.file(picture)), "{stdout}");
    }
    let out = example(&["--device", "cpu", "--load", &results.file("lenet.safetensors"), "--out", &folder.file("b")]);
    let again = String::from_utf8(out.stdout).unwrap();
    assert_eq!(accuracy(&again), accuracy(&stdout), "{again}");
    assert_eq!(Folder(folder.0.join("b")).names(), ["digits.png"]);
}

#[test]
fn what_is_wrong_takes_one_line_and_code_2() {
    let folder = Folder::new();
    let out = folder.file("out");
    refused(&["--device", "tpu", "--out", &out], "no device 'tpu'");
    refused(&["--device", "gpu:77", "--out", &out], "gpu");
    refused(&["--epochs", "many"], "--epochs takes a number, not 'many'");
    refused(&["--batch-size", "0"], "--batch-size");
    refused(&["--speed", "9"], "--speed");
    let missing = folder.file("nowhere");
    refused(&["--device", "cpu", "--data", &missing, "--out", &out], &missing);
    refused(&["--device", "cpu", "--load", &missing, "--out", &out], &missing);
    // a file that is cut off
    let data = Folder(folder.0.join("data"));
    std::fs::create_dir(&data.0).unwrap();
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data/mnist");
    for file in std::fs::read_dir(&shipped).unwrap() {
        let file = file.unwrap();
        let mut bytes = std::fs::read(file.path()).unwrap();
        if file.file_name().to_string_lossy().starts_with("t10k-images") {
            bytes.truncate(1000);
        }
        std::fs::write(data.0.join(file.file_name()), bytes).unwrap();
    }
    refused(&["--device", "cpu", "--data", &data.file(""), "--out", &out], "t10k-images");
    // a folder that cannot be made
    let file = folder.file("file");
    std::fs::write(&file, "").unwrap();
    refused(&["--device", "cpu", "--out", &folder.file("file/out")], "file/out");
    let parameters = folder.file("wrong.safetensors");
    std::fs::write(&parameters, "no such thing").unwrap();
    refused(&["--device", "cpu", "--load", &parameters, "--out", &out], "wrong.safetensors");
    assert!(!Path::new(&out).exists());
}
