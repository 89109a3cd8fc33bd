//! WGSL text for rows and casts: the shader library cut into functions, and the functions that rows print.

use super::val::{Kind, Val, print};
use super::{Base, block::Formula};
use crate::dtype::DType;
use crate::program::WgslFn;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

/// The WGSL type that a dtype computes in: i64 is `vec2<u32>` (low word, high word), f16 and bf16 are widened to f32,
/// u8, i8 and i16 to i32.
pub fn wgsl_type(d: DType) -> &'static str {
    Kind::of(d).wgsl()
}

/// One function of the library: its text with the comment before it, and what it calls.
pub(super) struct LibFn {
    pub(super) text: &'static str,
    calls: Vec<&'static str>,
}

pub(super) static LIBRARY: LazyLock<BTreeMap<&'static str, LibFn>> = LazyLock::new(|| {
    let mut fns: BTreeMap<&'static str, LibFn> = BTreeMap::new();
    for file in [
        include_str!("../../shaders/lib/math.wgsl"),
        include_str!("../../shaders/lib/int.wgsl"),
        include_str!("../../shaders/lib/i64.wgsl"),
        include_str!("../../shaders/lib/f64.wgsl"),
    ] {
        // a function starts at "fn " in the first column and ends at the first "}" there
        let mut rest = file;
        while let Some(at) = if rest.starts_with("fn ") { Some(0) } else { rest.find("\nfn ").map(|i| i + 1) } {
            let end = at + rest[at..].find("\n}").expect("a function ends") + 2;
            let text = &rest[at..end];
            let name = &text[3..text.find('(').expect("a function has parameters")];
            fns.insert(name, LibFn { text, calls: Vec::new() });
            rest = &rest[end..];
        }
    }
    let names: BTreeSet<&'static str> = fns.keys().copied().collect();
    for (own, f) in fns.iter_mut() {
        let words = f.text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let calls: BTreeSet<&'static str> = words.filter_map(|w| names.get(w).copied()).filter(|w| w != own).collect();
        f.calls = calls.into_iter().collect();
    }
    fns
});

/// The library's own copy of a function's name.
pub(super) fn known(name: &str) -> &'static str {
    LIBRARY.get_key_value(name).unwrap_or_else(|| panic!("the shader library has no function {name}")).0
}

/// The text of library functions with all that they call, each once.
pub fn library(uses: &BTreeSet<&str>) -> String {
    let mut need: BTreeSet<&'static str> = BTreeSet::new();
    let mut todo: Vec<&'static str> = uses.iter().map(|u| known(u)).collect();
    while let Some(name) = todo.pop() {
        if need.insert(name) {
            todo.extend(&LIBRARY[name].calls);
        }
    }
    let mut text = String::new();
    for name in need {
        text.push_str(LIBRARY[name].text);
        text.push_str("\n\n");
    }
    text
}

/// The normalising step that keeps a widened value one of its dtype: None where none is needed.
pub(super) fn normalise(d: DType, x: &str) -> Option<(String, Option<&'static str>)> {
    Some(match d {
        DType::U8 => (format!("{x} & 255i"), None),
        DType::I8 => (format!("({x} << 24u) >> 24u"), None),
        DType::I16 => (format!("({x} << 16u) >> 16u"), None),
        DType::F16 => (format!("m_round_f16({x})"), Some(known("m_round_f16"))),
        DType::BF16 => (format!("m_round_bf16({x})"), Some(known("m_round_bf16"))),
        _ => return None,
    })
}

/// A row's formula as a function `op_<row>_<dtype>`.
pub(super) fn row_fn<R, const N: usize>(row: &str, d: DType) -> Option<WgslFn>
where
    R: Formula<Val, N, Out = Val>,
    Val: Base,
{
    let kind = Kind::of(d);
    let mut p = print::<N>(kind, R::eval)?;
    let mut result = p.result;
    if p.kind == kind
        && let Some((text, uses)) = normalise(d, &result)
    {
        result = text;
        p.uses.extend(uses);
    }
    let name = format!("op_{row}_{}", d.name());
    let args: Vec<String> = (0..N).map(|k| format!("x{k}: {}", kind.wgsl())).collect();
    let text = format!("fn {name}({}) -> {} {{\n{}    return {result};\n}}\n", args.join(", "), p.kind.wgsl(), p.lines);
    Some(WgslFn { name, text, uses: p.uses.into_iter().collect() })
}

/// `where`, whose first operand is a bool.
pub(super) fn where_fn(d: DType) -> Option<WgslFn> {
    let (name, t) = (format!("op_where_{}", d.name()), wgsl_type(d));
    let text = format!("fn {name}(x0: bool, x1: {t}, x2: {t}) -> {t} {{\n    return select(x2, x1, x0);\n}}\n");
    Some(WgslFn { name, text, uses: Vec::new() })
}
