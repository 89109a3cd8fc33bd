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
