//! The product on software adapters where both operands are loaded by whole quads: NOTE [Two cores] in `matmul.rs`.
//!
//! What lies past an edge is loaded from the last row or column there is and its results are not stored, so that no load
//! stands in a branch. Past the depth's end both operands are zeros: only one that lies across the depth can get there.

use super::matmul::{Core, OPERANDS};
use super::{quad, source};
use crate::error::Result;
use crate::gpu::{KernelId, KernelSource, Recorder};

/// Rows of a tile.
const ROWS: u32 = 32;

/// An operand's addresses and its 4x4 blocks, a row of a (or a column of b) in each quad.
const OPERAND: &str = "
fn NAME_start(i: u32) -> vec4<u32> {
    if NAME_TURNED { return vec4<u32>(NAME_at + min(i, P.COUNT - 4u)); }
    return NAME_at + min(i + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(P.COUNT - 1u)) * P.NAME.ACROSS;
}

fn NAME_block(start: vec4<u32>, k: u32, end: u32) -> Block {
    if !NAME_TURNED {
        let at = (start + k) / 4u;
        return Block(quad(BUFFER[at.x]), quad(BUFFER[at.y]), quad(BUFFER[at.z]), quad(BUFFER[at.w]));
    }
    let q = k + vec4<u32>(0u, 1u, 2u, 3u);
    let at = (start + min(q, vec4<u32>(end - 1u)) * P.NAME.DEPTH) / 4u;
    let none = q >= vec4<u32>(end);
    return Block(
        select(quad(BUFFER[at.x]), vec4<f32>(), none.x),
        select(quad(BUFFER[at.y]), vec4<f32>(), none.y),
        select(quad(BUFFER[at.z]), vec4<f32>(), none.z),
        select(quad(BUFFER[at.w]), vec4<f32>(), none.w),
    );
}
";

fn operand(name: &str, buffer: &str, count: &str, across: &str, depth: &str) -> String {
    let words = [("NAME", name), ("BUFFER", buffer), ("COUNT", count), ("ACROSS", across), ("DEPTH", depth)];
    words.iter().fold(OPERAND.to_string(), |s, (word, by)| s.replace(word, by))
}

/// The kernel for operands of which a lies along rows (not along the depth), and b along the depth (not along columns).
pub(super) fn kernel(
    rec: &mut Recorder,
    a_along_rows: bool,
    b_along_depth: bool,
    param_words: usize,
) -> Result<KernelId> {
    let name =
        format!("matmul whole{}{}", if a_along_rows { " a'" } else { "" }, if b_along_depth { " b'" } else { "" });
    let wide = rec.wide_loads();
    rec.kernel(&name, || Ok(text(&name, a_along_rows, b_along_depth, wide, param_words)))
}

pub(super) fn text(
    name: &str,
    a_along_rows: bool,
    b_along_depth: bool,
    wide: bool,
    param_words: usize,
) -> KernelSource {
    // multiply() wants a row of a in each of a's quads, and a step of the depth in each of b's
    let turn = |name: &str, yes: bool| if yes { format!("turn({name}, true)") } else { name.to_string() };
    let head = format!(
        "const ROWS: u32 = {ROWS}u;
const a_TURNED: bool = {a_along_rows};
const b_TURNED: bool = {};
fn multiply(a: Block, b: Block) {{ multiply_blocks({}, {}); }}\n",
        !b_along_depth,
        turn("a", a_along_rows),
        turn("b", b_along_depth),
    );
    let pieces = [
        quad(wide),
        OPERANDS.base,
        OPERANDS.quads,
        &Core::Wave(ROWS).accumulating("multiply_blocks"),
        &head,
        &operand("a", "A4", "rows", "row", "col"),
        &operand("b", "B4", "cols", "col", "row"),
        include_str!("../../../shaders/matmul_whole.wgsl"),
    ];
    source(name, &pieces, OPERANDS.read, 1, param_words)
}
