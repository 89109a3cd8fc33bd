//! What `rows_wave.rs` writes for rows that are no whole quads of the result: they are loaded and stored by the quads it has there all
//! the same, and only what is beyond whole ones is stored element by element. An operand that lies otherwise is loaded by its own
//! quads, each once, and shifted. How lanes share a row: `rows_ragged.wgsl`.

use super::SHIFTED;
use super::rows_wave::Rows;
use std::fmt::Write;

const ROWS: &str = include_str!("../../../shaders/rows_ragged.wgsl");
const EDGES: &str = include_str!("../../../shaders/rows_edges.wgsl");
const EDGES_OWN: &str = include_str!("../../../shaders/rows_edges_own.wgsl");

/// The shortest row that is held so: no quad of it is both its first and one of its last two.
pub(super) const SHORTEST: usize = 6;

/// In how many quads of the result a row may lie, in part.
pub(super) fn quads(n: usize) -> usize {
    (n + 6) / 4
}

pub(super) fn head(rows: Rows) -> String {
    let edges = if rows.waves == 0 { EDGES_OWN } else { EDGES };
    format!("const QUADS: u32 = {}u;\n{ROWS}{edges}{SHIFTED}", rows.quads)
}

/// Whether a lane's quad may lie past the row's end, or in part.
fn is_loose(rows: Rows, j: usize) -> bool {
    j + 2 >= rows.quads
}

/// The statement for a lane's quad of that number.
pub(super) fn statement(rows: Rows, text: &str, j: usize) -> String {
    let inside = match () {
        _ if j == 0 || is_loose(rows, j) => format!("inside({j}u, "),
        _ if rows.waves == 0 => "(".into(),
        _ => format!("own({j}u, "),
    };
    let text = text.replace("INSIDE(", &inside).replace("ELEMENT", &format!("4u * (row_first + {j}u) - row_skip"));
    text.replace('@', &(j + 1).to_string())
}

/// A function that loads the row at `at` of a buffer.
pub(super) fn load(rows: Rows, signature: &str, name: &str, buffer: &str, level: bool) -> String {
    let (end, last) = (rows.quads - 1, rows.quads - 2);
    let mut s = format!("{signature} {{\n");
    // writing to a String cannot fail
    if level {
        s += "    let q = at >> 2u;\n";
        for j in 0..=end {
            let place = format!("row_first + {j}u");
            let place = if j == end { format!("min({place}, (row_skip + P.n - 1u) >> 2u)") } else { place };
            let _ = writeln!(s, "    {name}{j} = quad({buffer}[q + {place}]);");
        }
    } else {
        s += "    let begin = at + 4u - row_skip;\n    let q = (begin >> 2u) + row_first;\n";
        s += "    let last = (at + P.n - 1u) >> 2u;\n";
        for j in 0..=end + 1 {
            let place = match j {
                0 => "max(q, 1u) - 1u".into(),
                _ if j >= last => format!("min(q + {}u, last)", j - 1),
                _ => format!("q + {}u", j - 1),
            };
            let _ = writeln!(s, "    let r{j} = quad({buffer}[{place}]);");
        }
        for j in 0..=end {
            let _ = writeln!(s, "    {name}{j} = shifted(r{j}, r{}, begin);", j + 1);
        }
    }
    let _ = writeln!(s, "    {name}0 = after_start({name}0);");
    for j in [last, end] {
        let _ = writeln!(s, "    {name}{j} = before_end({j}u, {name}{j}, {name}{last}.x);");
    }
    s + "}\n"
}

/// What loads factors: a quad more than the lane has of the row, with the one before its first.
pub(super) fn factor(rows: Rows, [name, buffer, at]: &[&str; 3], level: bool) -> String {
    let mut s = format!("    {{ let q = {at} >> 2u; let last = ({at} + P.n - 1u) >> 2u; let first = first_of(lane);\n");
    for j in 0..=rows.quads {
        let own = format!("q + max(first + {j}u, 1u) - 1u");
        let _ = match level {
            true => writeln!(s, "    {name}{j} = quad({buffer}[min({own}, last)]);"),
            false => writeln!(
                s,
                "    {name}{j} = shifted(quad({buffer}[min({own}, last)]), quad({buffer}[min({own} + 1u, last)]), {at});"
            ),
        };
    }
    s + "    }\n"
}

/// A function that stores a value into the row that starts at `at` of the result.
pub(super) fn store(rows: Rows, signature: &str, before: &str, value: &str) -> String {
    let (end, last) = (rows.quads - 1, rows.quads - 2);
    let mut s = format!("{signature} {{\n{before}    let q = at >> 2u;\n    let whole = (row_skip + P.n) >> 2u;\n");
    for j in 0..=end {
        let place = format!("row_first + {j}u");
        let mut when = Vec::new();
        if rows.waves > 0 {
            when.push(format!("{place} >= row_own"));
        }
        if j == 0 {
            when.push("4u * row_first >= row_skip".into());
        }
        if is_loose(rows, j) {
            when.push(format!("{place} < whole"));
        }
        let when = if when.is_empty() { String::new() } else { format!("if {} ", when.join(" && ")) };
        let value = statement(rows, value, j).replace('#', &j.to_string());
        let _ = writeln!(s, "    let put{j} = {value};\n    {when}{{ OUT[q + {place}] = put{j}; }}");
    }
    let _ = writeln!(s, "    put_edges(q, put0, select(put{last}, put{end}, row_first + {end}u == whole), lane);");
    s + "}\n"
}
