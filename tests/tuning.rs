//! The opt-in tuner: what it times once it keeps in a file, every choice that the file can hold gives the same products, and files that
//! are not its own are refused by name. One test: the tuner is switched on for the whole process.

mod common;

use common::devices;
use std::fs;
use std::path::{Path, PathBuf};
use wgtorch::prelude::*;
use wgtorch::{Result, tuning};

/// Products of several classes: square, few rows and columns, a vector, batches, ragged, a transposed operand.
const SIZES: [[usize; 4]; 8] = [
    [1, 64, 64, 64],
    [1, 3, 96, 64],
    [1, 64, 96, 3],
    [1, 1, 512, 40],
    [1, 40, 512, 1],
    [5, 9, 12, 20],
    [1, 37, 41, 43],
    [1, 16, 2048, 8],
];

fn products(device: Device) -> Result<Vec<Vec<f32>>> {
    manual_seed(1);
    let mut all = Vec::new();
    for [batch, m, k, n] in SIZES {
        let (a, b, bt) = (randn([batch, m, k], ()), randn([batch, k, n], ()), randn([batch, n, k], ()));
        let (a, b, bt) = (a.to(device), b.to(device), bt.to(device));
        all.push(a.checked().matmul(&b)?.to_vec::<f32>()?);
        all.push(a.checked().matmul(&bt.transpose(1, 2))?.to_vec::<f32>()?);
    }
    Ok(all)
}

fn close(got: &[Vec<f32>], want: &[Vec<f32>]) {
    for (g, w) in got.iter().zip(want) {
        assert!(g.iter().zip(w).all(|(g, w)| (g - w).abs() <= 1e-3 + 1e-4 * w.abs()), "{g:?}\n{w:?}");
    }
}

/// The file's text with every choice replaced by one name.
fn with_choice(text: &str, name: &str) -> String {
    let mut file: serde_json::Value = serde_json::from_str(text).unwrap();
    for classes in file["adapters"].as_object_mut().unwrap().values_mut() {
        classes.as_object_mut().unwrap().values_mut().for_each(|v| *v = name.into());
    }
    file.to_string()
}

/// The file's text with one class's choice replaced.
fn with_one(text: &str, class: &str, name: &str) -> String {
    let mut file: serde_json::Value = serde_json::from_str(text).unwrap();
    for classes in file["adapters"].as_object_mut().unwrap().values_mut() {
        classes[class] = name.into();
    }
    file.to_string()
}

fn refused(path: &Path, text: &str, why: &str) {
    fs::write(path, text).unwrap();
    let said = tuning::start(path).unwrap_err().to_string();
    assert!(said.contains(path.to_str().unwrap()) && said.contains(why), "{said}");
    assert_eq!(fs::read_to_string(path).unwrap(), text, "a file that is refused stays as it is");
}

#[test]
fn choices_are_timed_once_kept_and_all_agree() {
    let folder: PathBuf = std::env::temp_dir().join(format!("wgtorch-tuning-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join("tuning.json");

    refused(&path, "matmul", "expected");
    refused(&path, "[]", "no object");
    refused(&path, "{\"format\": \"another\", \"adapters\": {}}", "format");
    refused(&path, "{\"format\": \"wgtorch tuning 1\"}", "adapters");
    refused(&path, "{\"format\": \"wgtorch tuning 1\", \"adapters\": {\"a\": {\"b\": \"fast\"}}}", "no variant");
    // a file below a file, and a folder
    for nowhere in [path.join("tuning.json"), folder.clone()] {
        let said = tuning::start(&nowhere).unwrap_err().to_string();
        assert!(said.contains(nowhere.to_str().unwrap()), "{said}");
    }
    fs::remove_file(&path).unwrap();

    for device in devices().into_iter().filter(|d| *d != Device::Cpu) {
        let want = products(Device::Cpu).unwrap();
        let before = tuning::timed();
        let usual = products(device).unwrap();
        assert_eq!(tuning::timed(), before, "nothing is timed before somebody asks for it");
        close(&usual, &want);

        tuning::start(&path).unwrap();
        let first = products(device).unwrap();
        close(&first, &want);
        let timed = tuning::timed() - before;
        assert!(timed >= SIZES.len() as u64, "{timed}");
        let text = fs::read_to_string(&path).unwrap();

        // the file has them all now
        tuning::start(&path).unwrap();
        assert_eq!(products(device).unwrap(), first);
        assert_eq!(tuning::timed() - before, timed);
        assert_eq!(fs::read_to_string(&path).unwrap(), text);

        let file: serde_json::Value = serde_json::from_str(&text).unwrap();
        let adapters = file["adapters"].as_object().unwrap();
        assert_eq!(adapters.len(), 1);
        let classes = adapters.values().next().unwrap().as_object().unwrap();
        assert_eq!(classes.len() as u64, timed);
        // tiles can do everything
        for name in ["tile64", "tile128"] {
            fs::write(&path, with_choice(&text, name)).unwrap();
            tuning::start(&path).unwrap();
            close(&products(device).unwrap(), &want);
        }
        // the others what they are made for, and for the rest the file is to blame
        for name in ["gemv", "thin", "wave", "whole", "lean"] {
            let mut able = 0;
            for class in classes.keys() {
                fs::write(&path, with_one(&text, class, name)).unwrap();
                tuning::start(&path).unwrap();
                match products(device) {
                    Ok(got) => {
                        close(&got, &want);
                        able += 1;
                    }
                    Err(e) => assert!(e.to_string().contains("tuning.json") && e.to_string().contains(class), "{e}"),
                }
            }
            if matches!(name, "gemv" | "thin") {
                assert!(able > 0, "{name}");
            }
        }
        assert_eq!(tuning::timed() - before, timed);

        // a file that can no longer be written is told of by the product that wanted to
        tuning::start(&path).unwrap();
        let a = ones([200, 200], ()).to(device);
        fs::remove_dir_all(&folder).unwrap();
        let said = a.checked().matmul(&a).and_then(|c| c.to_vec::<f32>()).unwrap_err().to_string();
        assert!(said.contains("tuning.json"), "{said}");
        tuning::stop();
        fs::create_dir_all(&folder).unwrap();
        assert_eq!(a.matmul(&a).to_vec::<f32>().unwrap()[..2], [200.0, 200.0]);
    }
    fs::remove_dir_all(&folder).unwrap();
}
