//! Printing modules as PyTorch prints them.

use super::Module;

/// The text that `Display` of a derived module writes.
pub fn repr(m: &dyn Module) -> String {
    let name = m.name();
    let mut children: Vec<(String, String)> = Vec::new();
    m.for_each_child(&mut |name, child| children.push((name.to_string(), repr(child))));
    if name == "ModuleList" {
        children = folded(children);
    }
    let extra = m.extra_repr();
    let mut lines: Vec<String> =
        if extra.is_empty() { Vec::new() } else { extra.split('\n').map(str::to_string).collect() };
    if children.is_empty() && lines.len() <= 1 {
        return format!("{name}({extra})");
    }
    lines.extend(children.iter().map(|(name, text)| format!("({name}): {}", text.replace('\n', "\n  "))));
    format!("{name}(\n  {}\n)", lines.join("\n  "))
}

/// Equal neighbours as one line: `(0-2): 3 x Linear(…)`.
fn folded(children: Vec<(String, String)>) -> Vec<(String, String)> {
    let mut out: Vec<(String, String, usize)> = Vec::new();
    for (name, text) in children {
        match out.last_mut() {
            Some((_, t, n)) if *t == text => *n += 1,
            _ => out.push((name, text, 1)),
        }
    }
    let line = |(name, text, n): (String, String, usize)| match (n, name.parse::<usize>()) {
        (2.., Ok(first)) => (format!("{first}-{}", first + n - 1), format!("{n} x {text}")),
        _ => (name, text),
    };
    out.into_iter().map(line).collect()
}

/// A float as Python's `repr` prints it.
pub(super) fn python_float(x: f64) -> String {
    let text =
        if x != 0.0 && x.is_finite() && !(1e-4..1e16).contains(&x.abs()) { format!("{x:e}") } else { format!("{x:?}") };
    // exponents have a sign and two digits at least
    match text.split_once('e') {
        Some((digits, exponent)) => {
            let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |e| ('-', e));
            format!("{digits}e{sign}{exponent:0>2}")
        }
        None => text.replace("NaN", "nan"),
    }
}
