//! What `rows_wave.rs` writes for short rows of a length that is in the kernel: a lane takes four of them, which are as many whole
//! quads as each has elements, one after another out of variables.

use super::rows_wave::variables;
use super::{SHIFTED, XYZW};
use std::fmt::Write;

/// Rows that a lane takes.
const FOUR: usize = 4;

const RUN: &str = include_str!("../../../shaders/rows_four.wgsl");

pub(super) fn head(n: usize) -> String {
    let there = [0, 1, 2, 3].map(|k| if k < (n + 3) % 4 + 1 { "true" } else { "false" }).join(", ");
    format!("const LENGTH: u32 = {n}u;\nconst IN_LAST = vec4<bool>({there});\n{RUN}{SHIFTED}")
}

/// The statement for a row's quad of that number.
pub(super) fn statement(n: usize, text: &str, j: usize) -> String {
    let inside = if 4 * (j + 1) > n { "inside(" } else { "(" };
    text.replace("INSIDE(", inside).replace("ELEMENT", &format!("{}u", 4 * j))
}

/// A variable and its component, that hold an element of the four rows.
fn element(name: &str, at: usize) -> String {
    format!("{name}_all{}.{}", at / 4, XYZW[at % 4])
}

/// A case for each of the four rows.
fn cases(each: impl Fn(usize) -> String) -> String {
    let mut s = String::from("    switch four_row {\n");
    for i in 0..FOUR {
        let case = if i + 1 < FOUR { format!("case {i}u") } else { "default".into() };
        let _ = writeln!(s, "        {case}: {{ {}}}", each(i));
    }
    s + "    }\n"
}

/// A function that loads all four rows with the first of them, and gives the one whose turn it is.
pub(super) fn load(n: usize, signature: &str, name: &str, buffer: &str, level: bool) -> String {
    let mut s = variables(&format!("{name}_all"), n) + &format!("{signature} {{\n    if four_row == 0u {{\n");
    s += "        let q = at >> 2u;\n        let last = (at + min(four_left, 4u * LENGTH) - 1u) >> 2u;\n";
    for j in 0..n + usize::from(!level) {
        let to = if level { format!("{name}_all{j}") } else { format!("let r{j}") };
        let _ = writeln!(s, "        {to} = quad({buffer}[min(q + {j}u, last)]);");
    }
    for j in 0..if level { 0 } else { n } {
        let _ = writeln!(s, "        {name}_all{j} = shifted(r{j}, r{}, at);", j + 1);
    }
    let rows = cases(|i| {
        let quad = |j: usize| [0, 1, 2, 3].map(|k| element(name, i * n + (4 * j + k).min(n - 1))).join(", ");
        (0..n.div_ceil(4)).map(|j| format!("{name}{j} = vec4<f32>({}); ", quad(j))).collect()
    });
    s + "    }\n" + &rows + "}\n"
}

/// What loads factors.
pub(super) fn factor(n: usize, [name, buffer, at]: &[&str; 3], level: bool) -> String {
    let load = |j: usize| format!("quad({buffer}[({at} >> 2u) + {j}u])");
    let shifted = |j: usize| {
        format!("shifted({}, quad({buffer}[min(({at} >> 2u) + {}u, ({at} + {}u) >> 2u)]), {at})", load(j), j + 1, n - 1)
    };
    (0..n.div_ceil(4)).map(|j| format!("    {name}{j} = {};\n", if level { load(j) } else { shifted(j) })).collect()
}

/// A function that keeps a value for the row whose turn it is, and one that stores what was kept of all four.
pub(super) fn store(n: usize, signature: &str, before: &str, value: &str) -> String {
    let mut s = variables("put_all", n) + &format!("{signature} {{\n{before}");
    s += "    if four_row == 0u { four_out = at >> 2u; }\n";
    for j in 0..n.div_ceil(4) {
        let _ = writeln!(s, "    let put{j} = {};", statement(n, value, j).replace('#', &j.to_string()));
    }
    s +=
        &cases(|i| (0..n).map(|e| format!("{} = put{}.{}; ", element("put", i * n + e), e / 4, XYZW[e % 4])).collect());
    s += "}\nfn put_all() {\n    var part = put_all0;\n";
    for j in 0..n {
        let _ = writeln!(s, "    if four_left >= {}u {{ OUT[four_out + {j}u] = put_all{j}; }}", 4 * j + 4);
        let _ = writeln!(s, "    part = select(part, put_all{j}, four_left >> 2u == {j}u);");
    }
    s + "    put_part(part);\n}\n"
}
