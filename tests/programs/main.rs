//! PyTorch's conformance programs, written again in Rust: one test an id and device, each printed entry compared.
//!
//! The programs and what PyTorch 2.15 printed for them are `tests/conformance/cases/programs.jsonl` (its source is noted in
//! the README there). A module here holds a group; what needs an op that is still to come says so where it stands, by
//! `later`, and what has no counterpart at all is in [`LISTED`].

mod autograd_custom;
mod autograd_graph;
mod autograd_higher;
mod autograd_inplace;
mod autograd_views;
mod errors;
mod harness;
mod indexing;
mod integers;
mod kinks;
mod linalg;
mod nan;
mod numerics;
mod printing;
mod promotion;
mod reductions;
mod scalars;
mod tutorial;
mod views;

/// The groups that are to be here.
const GROUPS: &[&str] = &[
    "tutorial",
    "views",
    "indexing",
    "type-promotion",
    "integers",
    "nan",
    "reductions",
    "scalars",
    "numerics",
    "printing",
    "autograd-views",
    "autograd-inplace",
    "autograd-graph",
    "autograd-custom",
    "autograd-higher",
    "linalg",
    "errors",
];

/// Programs without a test, and why.
const LISTED: &[(&str, &str)] = &[("decomposition-grads", "matrix decompositions are still to come")];

#[test]
fn every_program_is_here_or_listed() {
    let here = [
        autograd_custom::IDS,
        autograd_graph::IDS,
        autograd_higher::IDS,
        autograd_inplace::IDS,
        autograd_views::IDS,
        errors::IDS,
        indexing::IDS,
        integers::IDS,
        kinks::IDS,
        linalg::IDS,
        nan::IDS,
        numerics::IDS,
        printing::IDS,
        promotion::IDS,
        reductions::IDS,
        scalars::IDS,
        tutorial::IDS,
        views::IDS,
    ]
    .concat();
    let all = harness::ids(GROUPS);
    let known = |id: &str| here.contains(&id) as usize + LISTED.iter().any(|l| l.0 == id) as usize;
    let wrong: Vec<&String> = all.iter().filter(|id| known(id) != 1).collect();
    assert!(wrong.is_empty(), "neither a test nor listed, or both: {wrong:?}");
    assert_eq!(all.len(), here.len() + LISTED.len(), "an id that is no program of these groups");
}
