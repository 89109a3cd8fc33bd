//! The house rules that a compiler does not check: imports go downwards only, and a file holds one idea.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Which layer each module of the crate is on. A module may import its own layer and those before it, but of the
/// backends neither the other.
const LAYERS: &[&[&str]] = &[
    &["error", "dtype", "scalar", "shape", "layout", "num", "program", "format", "rng", "trace"],
    &["cpu", "gpu"],
    &["device", "stream"],
    &["tensor"],
    &["ops"],
    &["autograd"],
    &["nn", "optim", "data", "io", "profiler", "tuning"],
    // What the crate shows; it may name anything.
    &["prelude"],
];

/// The layer whose modules do not import each other.
const BACKENDS: usize = 1;

/// Above this many lines a file most likely holds two ideas.
const LONGEST: usize = 650;

/// Longer files, with the reason.
const LONG: &[(&str, &str)] = &[];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file with one of these extensions below a folder of the repository, by its path from the root.
fn files(folder: &str, extensions: &[&str]) -> BTreeMap<String, String> {
    fn walk(folder: &Path, out: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() { walk(&path, out) } else { out.push(path) }
        }
    }
    let mut paths = Vec::new();
    walk(&root().join(folder), &mut paths);
    paths
        .into_iter()
        .filter(|p| extensions.iter().any(|e| p.extension().is_some_and(|x| x == *e)))
        .map(|p| {
            let name = p.strip_prefix(root()).unwrap().to_str().unwrap().replace('\\', "/");
            (name, fs::read_to_string(&p).unwrap())
        })
        .collect()
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|l| l.contains(&module))
}

/// The code without comments, and without the test module that ends a file (tests may look upwards).
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// The first names of everything a text reaches from the crate's root: `a` and `b` of `crate::{a::x, b}`.
fn roots(text: &str) -> Vec<String> {
    let name = |s: &str| s.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut found = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        if text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let rest = &text[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            Some(group) => found.extend(group_members(group).iter().map(|m| name(m))),
            None => found.push(name(rest)),
        }
    }
    found.retain(|n| !n.is_empty());
    found
}

/// The members of a brace group whose opening brace has been read, split at its own commas.
fn group_members(text: &str) -> Vec<String> {
    let (mut depth, mut members) = (0, vec![String::new()]);
    for c in text.chars() {
        match c {
            '}' if depth == 0 => break,
            ',' if depth == 0 => members.push(String::new()),
            _ => {
                depth += i32::from(c == '{') - i32::from(c == '}');
                members.last_mut().expect("never empty").push(c);
            }
        }
    }
    members
}

/// The names that lib.rs re-exports at the root, with the module each comes from.
fn reexports(lib: &str) -> BTreeMap<String, String> {
    let mut map = BTreeMap::new();
    for statement in lib.split("pub use ").skip(1) {
        let statement = statement.split(';').next().unwrap_or_default();
        let statement = statement.strip_prefix("crate::").unwrap_or(statement);
        let Some((module, rest)) = statement.split_once("::") else { continue };
        let rest = rest.rsplit_once('{').map_or(rest, |(_, names)| names.trim_end_matches('}'));
        for item in rest.split(',') {
            let item = item.rsplit(" as ").next().unwrap_or_default().rsplit("::").next().unwrap_or_default();
            map.insert(item.trim().to_string(), module.trim().to_string());
        }
    }
    map
}

/// What is wrong with a file's imports.
fn upward(file: &str, text: &str, reexported: &BTreeMap<String, String>) -> Vec<String> {
    let module = file.strip_prefix("src/").unwrap().split(['/', '.']).next().unwrap();
    let Some(own) = layer(module) else {
        return vec![format!("{file}: module `{module}` has no layer; give it one in tests/layering.rs")];
    };
    let mut wrong = Vec::new();
    for name in roots(&code(text)) {
        let target = reexported.get(&name).unwrap_or(&name);
        // Macros and items that lib.rs itself defines have no layer.
        let Some(other) = layer(target) else { continue };
        if other > own || (own == BACKENDS && other == own && target != module) {
            wrong.push(format!("{file} (layer {own}) uses crate::{name} of `{target}` (layer {other})"));
        }
    }
    wrong
}

#[test]
fn imports_go_downwards_only() {
    let sources = files("src", &["rs"]);
    assert!(sources.len() > 10, "the sources were not found");
    let reexported = reexports(&code(&sources["src/lib.rs"]));
    let wrong: Vec<String> = sources
        .iter()
        .filter(|(file, _)| *file != "src/lib.rs" && !file.ends_with("/tests.rs") && !file.contains("/tests/"))
        .flat_map(|(file, text)| upward(file, text, &reexported))
        .collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn the_import_check_sees_what_it_should() {
    let lib = "pub use dtype::DType;\npub use tensor::{Tensor, view::View as V};";
    let names = reexports(lib);
    assert_eq!(names["Tensor"], "tensor");
    assert_eq!(names["V"], "tensor");
    let bad = |file: &str, text: &str| upward(file, text, &names).len();
    assert_eq!(bad("src/cpu/x.rs", "use crate::{dtype::{DType, Element}, gpu::Buffer};"), 1);
    assert_eq!(bad("src/gpu/x.rs", "fn f() { crate::cpu::run() }"), 1);
    assert_eq!(bad("src/cpu/x.rs", "use crate::cpu::view::View; use crate::DType;"), 0);
    assert_eq!(bad("src/shape.rs", "fn f(t: &crate::Tensor) {}"), 1);
    assert_eq!(bad("src/stream/mod.rs", "macro_rules! m { () => { $crate::nn::f() } }"), 1);
    assert_eq!(bad("src/nn/mod.rs", "use crate::{optim, Tensor, data::x};"), 0);
    assert_eq!(bad("src/shape.rs", "// use crate::nn;\n#[cfg(test)]\nmod tests {\n use crate::nn;\n}"), 0);
    assert_eq!(bad("src/unknown.rs", ""), 1);
}

#[test]
fn files_are_short_enough_to_hold_one_idea() {
    let mut wrong = Vec::new();
    let mut excused: Vec<&str> = LONG.iter().map(|(file, _)| *file).collect();
    for folder in ["src", "derive", "shaders", "tests", "examples", "benches"] {
        for (file, text) in files(folder, &["rs", "wgsl"]).iter().filter(|(f, _)| !f.contains("/target/")) {
            let lines = text.lines().count();
            if lines > LONGEST {
                match excused.iter().position(|e| e == file) {
                    Some(i) => drop(excused.remove(i)),
                    None => wrong.push(format!("{file} has {lines} lines (at most {LONGEST}): split it")),
                }
            }
        }
    }
    wrong.extend(excused.iter().map(|file| format!("{file} needs no excuse any more: take it off the list")));
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
