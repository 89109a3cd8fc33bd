//! WGSL functions of one element written again for four at once: the same arithmetic in vectors, from a quarter of the text. On lavapipe a
//! chain with a gelu took a quarter less time than with four calls, one after another.

use super::wgsl::{LIBRARY, known};
use crate::program::WgslFn;
use std::collections::BTreeSet;
use std::fmt::Write;

/// The types whose values have a vector of four.
const TYPES: [&str; 4] = ["f32", "i32", "u32", "bool"];
/// What a function for four must not have: it branches, or has values of other types.
const BARRED: [&str; 10] = ["if", "for", "while", "loop", "switch", "vec2", "vec3", "vec4", "array", "f64"];

/// Whether a value of a WGSL type has a vector of four.
pub fn has_four(wgsl_type: &str) -> bool {
    TYPES.contains(&wgsl_type)
}

/// The WGSL type of four values.
pub fn type_of_four(wgsl_type: &str) -> String {
    format!("vec4<{wgsl_type}>")
}

/// The name of a function's form for four.
pub fn name_of_four(name: &str) -> String {
    format!("{name}_four")
}

/// Words, numbers and signs of a text, without comments.
fn tokens(text: &str) -> Vec<&str> {
    let bytes = text.as_bytes();
    let mut out = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let start = at;
        let c = bytes[at];
        if c.is_ascii_whitespace() {
            at += 1;
            continue;
        }
        if text[at..].starts_with("//") {
            at += text[at..].find('\n').unwrap_or(text.len() - at);
            continue;
        }
        if c.is_ascii_alphanumeric() || c == b'_' {
            let number = c.is_ascii_digit();
            let hex = text[at..].starts_with("0x");
            while at < bytes.len() {
                let b = bytes[at];
                let sign = number && !hex && matches!(b, b'+' | b'-') && bytes[at - 1] == b'e';
                if !(b.is_ascii_alphanumeric() || b == b'_' || number && b == b'.' || sign) {
                    break;
                }
                at += 1;
            }
        } else {
            let two = text
                .get(at..at + 2)
                .is_some_and(|s| ["&&", "||", "==", "!=", "<=", ">=", "<<", ">>", "->"].contains(&s));
            at += if two { 2 } else { 1 };
        }
        out.push(&text[start..at]);
    }
    out
}

/// The logical operators take no vectors: those on bits do, with both sides in parentheses. They bind loosest, so that a side ends
/// where its list, parentheses or statement do.
fn logic(tokens: &[String], out: &mut Vec<String>) {
    let mut at = 0;
    while at < tokens.len() {
        // up to the end of this side
        let (start, mut depth) = (at, 0);
        while at < tokens.len() {
            match &tokens[at][..] {
                "(" => depth += 1,
                ")" => depth -= 1,
                "&&" | "||" if depth == 0 => break,
                _ => {}
            }
            at += 1;
        }
        out.push("(".into());
        out.extend_from_slice(&tokens[start..at]);
        out.push(")".into());
        if at < tokens.len() {
            out.push(tokens[at][..1].into());
            at += 1;
        }
    }
}

/// An expression or a list of them (what is between two parentheses, or before a semicolon), with nested ones done.
fn expression(tokens: &[String]) -> Vec<String> {
    let mut out = Vec::new();
    let mut parts: Vec<Vec<String>> = vec![Vec::new()];
    let mut at = 0;
    while at < tokens.len() {
        match &tokens[at][..] {
            "(" => {
                let (start, mut depth) = (at + 1, 1);
                while depth > 0 {
                    at += 1;
                    depth += match &tokens[at][..] {
                        "(" => 1,
                        ")" => -1,
                        _ => 0,
                    };
                }
                let part = parts.last_mut().expect("starts with one");
                part.push("(".into());
                part.extend(expression(&tokens[start..at]));
                part.push(")".into());
            }
            "," => parts.push(Vec::new()),
            t => parts.last_mut().expect("starts with one").push(t.into()),
        }
        at += 1;
    }
    for (k, part) in parts.into_iter().enumerate() {
        if k > 0 {
            out.push(",".into());
        }
        let loose = part.iter().scan(0, |depth, t| {
            *depth += i32::from(t == "(") - i32::from(t == ")");
            Some(*depth == 0 && (t == "&&" || t == "||"))
        });
        if loose.into_iter().any(|l| l) {
            logic(&part, &mut out);
        } else {
            out.extend(part);
        }
    }
    out
}

/// The straight-line function `text` for four elements, and the library's functions it calls; None where it branches or has values
/// that are no scalars.
fn straight(text: &str) -> Option<(String, BTreeSet<&'static str>)> {
    let tokens = tokens(text);
    let barred = |t: &&str| BARRED.contains(t) || *t == "." || *t == "[";
    if tokens.iter().any(barred) || tokens.iter().filter(|t| **t == "return").count() != 1 {
        return None;
    }
    let own = tokens[1];
    let mut calls = BTreeSet::new();
    let mut words: Vec<String> = Vec::with_capacity(tokens.len());
    for t in tokens {
        let first = t.as_bytes()[0];
        words.push(if TYPES.contains(&t) {
            type_of_four(t)
        } else if t == "true" || t == "false" {
            format!("vec4<bool>({t})")
        } else if first.is_ascii_digit() {
            let of = match t.as_bytes()[t.len() - 1] {
                b'u' => "u32",
                b'i' => "i32",
                _ => "f32",
            };
            format!("vec4<{of}>({t})")
        } else if t == own {
            name_of_four(t)
        } else if let Some((&name, _)) = LIBRARY.get_key_value(t) {
            calls.insert(name);
            name_of_four(name)
        } else {
            t.into()
        });
    }
    // statement by statement: `let v =`, `return` and what an expression is
    let open = words.iter().position(|t| t == "{")?;
    let mut out = words[..=open].join(" ");
    out.push('\n');
    for statement in words[open + 1..words.len() - 1].split(|t| t == ";").filter(|s| !s.is_empty()) {
        let from = statement.iter().position(|t| t == "=" || t == "return").map_or(statement.len(), |i| i + 1);
        let _ = writeln!(out, "    {} {};", statement[..from].join(" "), expression(&statement[from..]).join(" "));
    }
    out.push_str("}\n");
    Some((out, calls))
}

/// A function for four that calls the one for one.
fn wrapped(text: &str) -> String {
    let tokens = tokens(text);
    let close = tokens.iter().position(|t| *t == ")").expect("a function has parameters");
    let params: Vec<(&str, &str)> =
        tokens[3..close].split(|t| *t == ",").filter(|p| p.len() == 3).map(|p| (p[0], p[2])).collect();
    let (name, result) = (tokens[1], tokens[close + 2]);
    let list: Vec<String> = params.iter().map(|(p, t)| format!("{p}: {}", type_of_four(t))).collect();
    let each = ["x", "y", "z", "w"].map(|lane| {
        let args: Vec<String> = params.iter().map(|(p, _)| format!("{p}.{lane}")).collect();
        format!("{name}({})", args.join(", "))
    });
    let four = type_of_four(result);
    format!(
        "fn {}({}) -> {four} {{\n    return {four}({});\n}}\n",
        name_of_four(name),
        list.join(", "),
        each.join(", ")
    )
}

/// The text of the forms for four of `rows` and of the library's functions `fours`, and of the library's `ones` for one, with all that
/// they call, each once. Parameters and results of what is asked for four have [a vector of four](has_four).
pub fn library_of_four<'a>(
    rows: impl IntoIterator<Item = &'a WgslFn>,
    fours: &[&'static str],
    ones: &[&'static str],
) -> String {
    let mut text = String::new();
    let mut todo: BTreeSet<&'static str> = fours.iter().copied().collect();
    let mut ones: BTreeSet<&str> = ones.iter().copied().collect();
    let mut scalar = String::new();
    for row in rows {
        match straight(&row.text) {
            Some((four, calls)) => {
                text.push_str(&four);
                todo.extend(calls);
            }
            None => {
                text.push_str(&wrapped(&row.text));
                scalar.push_str(&row.text);
                ones.extend(row.uses.iter().copied());
            }
        }
    }
    let mut done = BTreeSet::new();
    while let Some(name) = todo.pop_first() {
        if !done.insert(name) {
            continue;
        }
        let one = LIBRARY[known(name)].text;
        match straight(one) {
            Some((four, calls)) => {
                text.push_str(&four);
                todo.extend(calls);
            }
            None => {
                text.push_str(&wrapped(one));
                ones.insert(name);
            }
        }
    }
    text + &super::library(&ones) + &scalar
}
