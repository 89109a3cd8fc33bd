//! A fused program as WGSL: the functions of its rows, and one function that computes an element.

use super::adapter::Features;
use super::elements::{raw_dtype, scalar_expr, scalar_words, wgsl_type};
use crate::dtype::DType;
use crate::program::{Action, Program, WgslFn};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write;

/// True for a program that only moves elements: any adapter can do that for any dtype.
pub(super) fn is_raw(p: &Program) -> bool {
    p.instrs.is_empty()
}

fn step(action: &Action, from: DType, to: DType) -> Option<WgslFn> {
    match action {
        Action::Row(r) => (r.wgsl)(from),
        Action::Cast => crate::num::cast_wgsl(from, to),
    }
}

/// What names an action: rows are statics.
fn address(action: &Action) -> usize {
    match *action {
        Action::Row(r) => std::ptr::from_ref(r) as usize,
        Action::Cast => 0,
    }
}

/// Whether there is WGSL for a step. Asked for at every launch, so that answers are kept: finding out writes the text.
fn known(action: &Action, from: DType, to: DType) -> bool {
    thread_local! {
        static KNOWN: RefCell<HashMap<(usize, DType, DType), bool>> = RefCell::default();
    }
    KNOWN.with_borrow_mut(|k| *k.entry((address(action), from, to)).or_insert_with(|| step(action, from, to).is_some()))
}

/// Whether WGSL can express every step with these features.
pub(super) fn supports(p: &Program, features: &Features) -> bool {
    let complex = |d: &DType| d.is_complex();
    if p.loads.iter().chain(&p.scalars).any(complex) || p.instrs.iter().any(|i| i.out.is_complex()) {
        return false;
    }
    if is_raw(p) {
        return true;
    }
    let native = |d: DType| d != DType::F64 || features.f64;
    let mut last = None;
    p.loads.iter().chain(&p.scalars).all(|&d| native(d))
        && p.instrs.iter().all(|i| {
            // chains repeat themselves
            let this = (address(&i.action), i.dtype, i.out);
            if last.replace(this) == Some(this) {
                return true;
            }
            native(i.dtype)
                && native(i.out)
                && (i.dtype == i.out && matches!(i.action, Action::Cast) || known(&i.action, i.dtype, i.out))
        })
}

/// The dtype a register has in the kernel: its own, or for pure copies the one of its bits.
pub(super) fn reg_dtype(p: &Program, raw: bool, r: u16) -> DType {
    let d = p.dtype(r);
    if raw { raw_dtype(d) } else { d }
}

/// The members that the program's scalars need in `Params`: f64 ones first, for their alignment.
pub(super) fn scalar_members(p: &Program, raw: bool) -> String {
    let mut s = String::new();
    let dtype = |k: usize| reg_dtype(p, raw, (p.loads.len() + k) as u16);
    for k in (0..p.scalars.len()).filter(|&k| dtype(k) == DType::F64) {
        let _ = write!(s, "s{k}: f64, ");
    }
    for k in (0..p.scalars.len()).filter(|&k| dtype(k) != DType::F64) {
        let _ = write!(s, "s{k}: u32, ");
        if scalar_words(dtype(k)) == 2 {
            let _ = write!(s, "s{k}h: u32, ");
        }
    }
    s
}

/// The scalars' words, in the order of `scalar_members`.
pub(super) fn push_scalars(p: &Program, raw: bool, scalars: &[crate::Scalar], out: &mut Vec<u32>) {
    use super::elements::{push_raw_scalar, push_scalar};
    for wide in [true, false] {
        for (k, &s) in scalars.iter().enumerate() {
            if (reg_dtype(p, raw, (p.loads.len() + k) as u16) == DType::F64) == wide {
                if raw {
                    push_raw_scalar(p.scalars[k], s, out);
                } else {
                    push_scalar(p.scalars[k], s, out);
                }
            }
        }
    }
}

/// Whether `write_body` can write a program for four elements at once.
pub(super) fn has_four(p: &Program) -> bool {
    let registers = p.loads.len() + p.scalars.len() + p.instrs.len();
    !is_raw(p) && (0..registers).all(|r| crate::num::has_four(wgsl_type(p.dtype(r as u16))))
}

/// The functions of a program's rows and casts with what they call, and `wt_body`: from the loaded values of one element, or of
/// four in vectors, to the value of the only store, or to a `WtOut` of several.
pub(super) fn write_body(p: &Program, raw: bool, four: bool, text: &mut String) {
    let mut fns: BTreeMap<String, WgslFn> = BTreeMap::new();
    let (loads, scalars) = (p.loads.len(), p.scalars.len());
    let mut lines = String::new();
    let type_of = |r: u16| {
        let t = wgsl_type(reg_dtype(p, raw, r));
        if four { crate::num::type_of_four(t) } else { t.to_owned() }
    };
    let value = |r: u16| {
        let k = r as usize;
        if k >= loads && k < loads + scalars {
            let one = scalar_expr(reg_dtype(p, raw, r), &format!("s{}", k - loads));
            if four { format!("{}({one})", type_of(r)) } else { one }
        } else {
            format!("r{k}")
        }
    };
    for (k, i) in p.instrs.iter().enumerate() {
        let args: Vec<String> = i.srcs.iter().map(|&s| value(s)).collect();
        let r = loads + scalars + k;
        if matches!(i.action, Action::Cast) && i.dtype == i.out {
            let _ = writeln!(lines, "    let r{r} = {};", args[0]);
            continue;
        }
        let f = step(&i.action, i.dtype, i.out).expect("asked for by supports");
        let name = if four { crate::num::name_of_four(&f.name) } else { f.name.clone() };
        let _ = writeln!(lines, "    let r{r} = {name}({});", args.join(", "));
        fns.insert(f.name.clone(), f);
    }
    if four {
        text.push_str(&crate::num::library_of_four(fns.values(), &[], &[]));
    } else {
        let uses: BTreeSet<&str> = fns.values().flat_map(|f| f.uses.iter().copied()).collect();
        text.push_str(&crate::num::library(&uses));
        for f in fns.values() {
            text.push_str(&f.text);
            text.push('\n');
        }
    }
    let types: Vec<String> = p.stores.iter().map(|&r| type_of(r)).collect();
    let result = if let [only] = &types[..] {
        only.clone()
    } else {
        text.push_str("struct WtOut { ");
        for (k, t) in types.iter().enumerate() {
            let _ = write!(text, "s{k}: {t}, ");
        }
        text.push_str("}\n");
        "WtOut".to_owned()
    };
    let args: Vec<String> = (0..loads).map(|k| format!("r{k}: {}", type_of(k as u16))).collect();
    let outs: Vec<String> = p.stores.iter().map(|&r| value(r)).collect();
    let outs = outs.join(", ");
    let outs = if types.len() == 1 { outs } else { format!("WtOut({outs})") };
    let _ = writeln!(text, "fn wt_body({}) -> {result} {{\n{lines}    return {outs};\n}}", args.join(", "));
}
