//! Random programs of 20 view, in-place and arithmetic steps over every dtype: the CPU, a GPU, eager and fused against a naive
//! reference that copies everything. Elements are small integers, which every dtype holds exactly, so that results have to be
//! the same bit for bit.
//!
//! 500 programs by default; `WGTORCH_RANDOM_PROGRAMS=10000` runs as many.

#[path = "../common/mod.rs"]
mod common;
mod plan;
mod reference;
mod steps;

use plan::{KINDS, OTHERS, Plan};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use wgtorch::stream;

/// Steps of a program.
const STEPS: usize = 20;
/// How often each dtype, view op and in-place op has to be drawn.
const DRAWN: usize = 200;

fn program(kinds: &[usize], words: &[u32], large: bool) -> Plan {
    let mut plan = Plan::new(words.to_vec(), large);
    for &kind in kinds {
        plan.step(kind);
    }
    plan
}

/// What differs between the reference and the library, run in every way.
fn differs(plan: &Plan) -> Result<(), String> {
    let mut first: Option<Vec<Option<Vec<u8>>>> = None;
    for device in common::devices() {
        for eager in [false, true] {
            let how = format!("{device}, {}", if eager { "eager" } else { "fused" });
            stream::set_eager(eager);
            let ran = std::panic::catch_unwind(AssertUnwindSafe(|| steps::run(&plan.steps, device)));
            stream::set_eager(false);
            let got = match ran {
                Ok(r) => r.map_err(|e| format!("{how}: {e}"))?,
                Err(e) => {
                    let text = e.downcast_ref::<String>().cloned().unwrap_or_default();
                    return Err(format!("{how}: panicked: {text}"));
                }
            };
            let mut bytes = Vec::new();
            for (i, (got, want)) in got.iter().zip(&plan.slots).enumerate() {
                let (Some(got), Some(want)) = (got, want) else {
                    assert!(got.is_none() && want.is_none(), "both drop at once");
                    bytes.push(None);
                    continue;
                };
                if got.shape()[..] != want.shape[..] || got.dtype() != want.dtype {
                    let wanted = format!("{:?} {}", want.shape, want.dtype);
                    return Err(format!("{how}: slot {i} is {} {}, not {wanted}", got.shape(), got.dtype()));
                }
                let values = got.to_vec::<f64>().map_err(|e| format!("{how}: slot {i}: {e}"))?;
                let expected: Vec<f64> = want.values().iter().map(|&x| x as f64).collect();
                if values != expected {
                    let at = values.iter().zip(&expected).position(|(a, b)| a != b).unwrap_or(0);
                    let (a, b) = (values[at], expected[at]);
                    return Err(format!("{how}: slot {i} {} {:?} has {a} at {at}, not {b}", want.dtype, want.shape));
                }
                bytes.push(Some(got.to_bytes().map_err(|e| format!("{how}: slot {i}: {e}"))?));
            }
            match &first {
                None => first = Some(bytes),
                Some(first) => {
                    if let Some(i) = (0..bytes.len()).find(|&i| bytes[i] != first[i]) {
                        return Err(format!("{how}: the bits of slot {i} differ from those of the first way"));
                    }
                }
            }
        }
    }
    Ok(())
}

#[test]
fn agree_with_a_naive_reference() {
    let cases = match std::env::var("WGTORCH_RANDOM_PROGRAMS") {
        Ok(n) => n.parse().expect("WGTORCH_RANDOM_PROGRAMS is a number"),
        Err(_) => 500,
    };
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 60, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    // of 20 steps two are neither views nor in place
    let some = |kinds: std::ops::Range<usize>, n: usize| {
        Just(kinds.collect::<Vec<_>>()).prop_shuffle().prop_map(move |mut k| {
            k.truncate(n);
            k
        })
    };
    let kinds = (some(0..OTHERS, STEPS - 2), some(OTHERS..KINDS, 2)).prop_map(|(a, b)| [a, b].concat()).prop_shuffle();
    let words = prop::collection::vec(any::<u32>(), 160);
    let counts = RefCell::new(BTreeMap::<String, usize>::new());
    let before = stream::transfers();
    let done = Cell::new(0);
    let result = runner.run(&(kinds, words, prop::bool::weighted(0.25)), |(kinds, words, large)| {
        let plan = program(&kinds, &words, large);
        done.set(done.get() + 1);
        if done.get() % 1000 == 0 {
            println!("{} programs", done.get());
        }
        for (k, n) in &plan.counts {
            *counts.borrow_mut().entry(k.clone()).or_default() += n;
        }
        let listing = || plan.steps.iter().map(|s| format!("  {s:?}\n")).collect::<String>();
        differs(&plan).map_err(|e| TestCaseError::fail(format!("{e}\n{}", listing())))
    });
    if let Err(e) = result {
        panic!("{e}");
    }
    println!("{cases} programs of {STEPS} steps; went over the CPU: {}", stream::transfers() - before);
    let counts = counts.into_inner();
    for (name, n) in &counts {
        println!("{n:>6} {name}");
    }
    let drawn = counts.keys().filter(|k| k.starts_with("view ") || k.starts_with("in place ")).count();
    assert_eq!(drawn, OTHERS, "every view op and in-place op is drawn");
    assert_eq!(counts.keys().filter(|k| k.starts_with("torch.")).count(), reference::DTYPES.len());
    if cases >= 500 {
        let rare: Vec<_> = counts.iter().filter(|(_, n)| **n < DRAWN).collect();
        assert!(rare.is_empty(), "drawn fewer than {DRAWN} times: {rare:?}");
    }
}
