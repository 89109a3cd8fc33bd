//! The example `blitz` against what PyTorch prints for the tutorial's cells (`tests/data/blitz.txt`, made by `blitz.py` there).

#![cfg(feature = "ndarray")]

mod common;

#[allow(dead_code, reason = "its `main` is the example's")]
#[path = "../examples/blitz/main.rs"]
mod blitz;

use std::collections::BTreeMap;

/// What each cell prints: addresses are not told, nor how a GPU is called.
fn cells(text: &str) -> BTreeMap<u32, Vec<String>> {
    let mut cells: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    let mut now = 0;
    for line in text.lines().filter(|l| !l.starts_with(">>>")) {
        if let Some(n) = line.strip_prefix("In [").and_then(|l| l.strip_suffix("]:")) {
            now = n.parse().expect("cells have numbers");
            assert!(cells.insert(now, Vec::new()).is_none(), "cell {now} twice");
            continue;
        }
        let line = match line.split_once(" object at 0x") {
            Some((head, address)) => {
                let digits = address.strip_suffix('>').expect("an address ends in >");
                assert!(digits.chars().all(|c| c.is_ascii_hexdigit()), "{line}");
                format!("{head} object at 0x>")
            }
            None => line.replace("cuda:0", "gpu:0"),
        };
        cells.get_mut(&now).expect("text belongs to a cell").push(line);
    }
    cells
}

/// The text with every number replaced by its form, for cells whose numbers nobody promises.
fn shape(lines: &[String]) -> Vec<usize> {
    lines.iter().map(|l| l.split(',').filter(|n| !n.trim().is_empty()).count()).collect()
}

#[test]
fn prints_what_pytorch_prints() {
    let text = blitz::run().unwrap();
    for n in 1..=39 {
        let (_, code) = text.split_once(&format!("In [{n}]:\n")).unwrap_or_else(|| panic!("no cell {n}"));
        assert!(code.starts_with(">>> "), "cell {n} shows no Rust line");
    }
    let (got, mut want) = (cells(&text), cells(include_str!("data/blitz.txt")));
    assert_eq!(got.keys().collect::<Vec<_>>(), (1..=39).collect::<Vec<u32>>().iter().collect::<Vec<_>>());
    if common::devices().len() == 1 {
        // the tutorial's own `if`: said loudly by `devices`
        want.insert(18, Vec::new());
    }
    // what an empty tensor holds is nobody's business
    assert_eq!(shape(&got[&2]), shape(&want[&2]), "cell 2");
    for (n, want) in want.iter().filter(|(n, _)| **n != 2) {
        assert_eq!(got[n].join("\n"), want.join("\n"), "cell {n}");
    }
}
