use super::*;
use crate::DType;
use std::collections::BTreeSet;

/// A module that calls one function, so that naga sees its types in use.
fn module(f: &crate::program::WgslFn) -> String {
    let uses: BTreeSet<&str> = f.uses.iter().copied().collect();
    format!("{}\n{}", library(&uses), f.text)
}

fn validate(text: &str, what: &str) {
    let parsed = naga::front::wgsl::parse_str(text).unwrap_or_else(|e| panic!("{what}: {}", e.emit_to_string(text)));
    let mut validator =
        naga::valid::Validator::new(naga::valid::ValidationFlags::all(), naga::valid::Capabilities::FLOAT64);
    validator.validate(&parsed).unwrap_or_else(|e| panic!("{what}: {}\n{text}", e.emit_to_string(text)));
}

#[test]
fn every_row_is_valid_wgsl() {
    let mut functions = 0;
    for row in all_rows() {
        for d in DType::ALL {
            let f = (row.wgsl)(d);
            assert!(f.is_none() || (row.cpu)(d).is_some(), "{} {d}: on the GPU only", row.name);
            if let Some(f) = f {
                validate(&module(&f), &f.name);
                functions += 1;
            }
        }
        assert!(
            (row.wgsl)(DType::F32).is_some()
                || ["lgamma", "digamma", "i0"].contains(&row.name)
                || (row.cpu)(DType::F32).is_none(),
            "{} has no f32 form in WGSL",
            row.name
        );
    }
    assert!(functions > 500);
}

#[test]
fn every_cast_is_valid_wgsl() {
    for from in DType::ALL {
        for to in DType::ALL {
            let f = cast_wgsl(from, to).expect("all casts have one");
            validate(&module(&f), &f.name);
        }
    }
}

#[test]
fn row_names_are_unique() {
    let names: BTreeSet<_> = all_rows().iter().map(|r| r.name).collect();
    assert_eq!(names.len(), all_rows().len());
}
