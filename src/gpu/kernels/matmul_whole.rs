//! The product on software adapters where both operands are loaded by whole quads: NOTE [Two cores] in `matmul.rs`.
//!
//! What lies past an edge is loaded from the last row or column there is and its results are not stored, so that no load
//! stands in a branch. Past the depth's end both operands are zeros: only one that lies across the depth can get there.

use super::matmul::{BASE, Core, PUT};
use super::{quad, source};
use crate::error::Result;
use crate::gpu::{KernelId, KernelSource, Recorder};

/// Rows of a tile.
const ROWS: u32 = 32;
/// Buffers that are read.
const READ: usize = 5;

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

/// How the operands and the result lie.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lies {
    /// a's quads are along rows, not along the depth.
    pub a_along_rows: bool,
    /// b's quads are along the depth, not along columns.
    pub b_along_depth: bool,
    /// Rows of the result begin at whole quads.
    pub out_by_quads: bool,
}

/// The kernel for operands that lie so.
pub(super) fn kernel(rec: &mut Recorder, lies: Lies, param_words: usize) -> Result<KernelId> {
    let part = |yes: bool, name: &'static str| if yes { name } else { "" };
    let name = format!(
        "matmul whole{}{}{}",
        part(lies.a_along_rows, " a'"),
        part(lies.b_along_depth, " b'"),
        part(!lies.out_by_quads, " singly")
    );
    let wide = rec.wide_loads();
    rec.kernel(&name, || Ok(text(&name, lies, wide, param_words)))
}

pub(super) fn text(name: &str, lies: Lies, wide: bool, param_words: usize) -> KernelSource {
    // multiply() wants a row of a in each of a's quads, and a step of the depth in each of b's
    let turn = |name: &str, yes: bool| if yes { format!("turn({name}, true)") } else { name.to_string() };
    let head = format!(
        "const ROWS: u32 = {ROWS}u;
const a_TURNED: bool = {};
const b_TURNED: bool = {};
fn multiply(a: Block, b: Block) {{ multiply_blocks({}, {}); }}\n",
        lies.a_along_rows,
        !lies.b_along_depth,
        turn("a", lies.a_along_rows),
        turn("b", lies.b_along_depth),
    );
    let (out, put) = match lies.out_by_quads {
        true => ("alias Out = Quad;\n", include_str!("../../../shaders/matmul_put_whole.wgsl")),
        false => ("alias Out = f32;\nfn aim(col: u32) {}\n", PUT),
    };
    let pieces = [
        quad(wide),
        out,
        BASE,
        put,
        &Core::Wave(ROWS).accumulating("multiply_blocks"),
        &head,
        &operand("a", "A4", "rows", "row", "col"),
        &operand("b", "B4", "cols", "col", "row"),
        include_str!("../../../shaders/matmul_whole.wgsl"),
    ];
    source(name, &pieces, READ, 1, param_words)
}
