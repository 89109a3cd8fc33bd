//! The product of few rows by a matrix: `gemv` and `thin` of the table in `matmul_pick.rs`. What it costs is reading the matrix.

use super::XYZW;
use super::matmul::accumulators;
use std::fmt::Write;

/// Rows that are added up over the slices at a time.
fn held(rows: u32) -> u32 {
    rows.min(4)
}

/// The sums of so many rows (1, 2, 4, 8 or 16) and what works on them, then the core.
pub(super) fn wgsl(rows: u32) -> String {
    let (n, held) = (rows as usize, held(rows) as usize);
    let mut s = String::from(include_str!("../../../shaders/lib/quads.wgsl"));
    s.push_str(&accumulators(n, "next_row"));
    // writing to a String cannot fail
    let _ = writeln!(s, "const ROWS: u32 = {rows}u;\nconst HELD: u32 = {held}u;");
    s.push_str("fn multiply(k: u32, b: Block, end: u32) {\n");
    if n < 4 {
        for r in 0..n {
            let _ = writeln!(s, "    let a{r} = a_row({r}u, k, end);");
            for x in XYZW {
                let _ = writeln!(s, "    c{r} += a{r}.{x} * b.{x};");
            }
        }
    } else {
        // four rows of a by depth, as b has them
        for first in (0..n).step_by(4) {
            let _ = writeln!(s, "    let a{first} = a_block({first}u, k, end);");
            for x in XYZW {
                for (i, row) in XYZW.iter().enumerate() {
                    let _ = writeln!(s, "    c{} += a{first}.{x}.{row} * b.{x};", first + i);
                }
            }
        }
    }
    s.push_str("}\nfn keep(at: u32) {\n");
    for r in 0..held {
        let _ = writeln!(s, "    sums[at + {r}u * SIZE] = c{r};");
    }
    for r in held..n {
        let _ = writeln!(s, "    c{} = c{r};", r - held);
    }
    s.push_str("}\n");
    s.push_str(include_str!("../../../shaders/matmul_thin.wgsl"));
    s
}
