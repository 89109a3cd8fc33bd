//! The product on software adapters where both operands are loaded by whole quads: NOTE [Two cores] in `matmul.rs`.
//!
//! What lies past an edge is loaded from the last row or column there is and its results are not stored, so that no load
//! stands in a branch. Past the depth's end both operands are zeros: only one that lies across the depth can get there.
//! Where there are few rows, lanes load one or two of them (the `lean` variant). What is contiguous but not aligned is loaded by the words that
//! hold it, which costs a quarter to a half more.

use super::matmul::{BASE, Core, PUT};
use super::{quad, source};
use crate::error::Result;
use crate::gpu::{KernelId, KernelSource, Recorder};

/// Buffers that are read.
const READ: usize = 5;

/// An operand's addresses and its 4x4 blocks, a row of a (or a column of b) in each quad.
const OPERAND: &str = "
fn NAME_start(i: u32) -> vec4<u32> {
    if NAME_TURNED { return vec4<u32>(NAME_at + min(i, (P.COUNT - 1u) / 4u * 4u)); }
    return NAME_at + min(i + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(P.COUNT - 1u)) * P.NAME.ACROSS;
}

fn NAME_block(start: vec4<u32>, k: u32, end: u32) -> Block {
    if !NAME_TURNED {
        let at = start + k;
        return Block(NAME_deep(at.x, k, end), NAME_deep(at.y, k, end), NAME_deep(at.z, k, end), NAME_deep(at.w, k, end));
    }
    let q = k + vec4<u32>(0u, 1u, 2u, 3u);
    let at = start + min(q, vec4<u32>(end - 1u)) * P.NAME.DEPTH;
    let none = q >= vec4<u32>(end);
    return Block(
        select(NAME_quad(at.x), vec4<f32>(), none.x),
        select(NAME_quad(at.y), vec4<f32>(), none.y),
        select(NAME_quad(at.z), vec4<f32>(), none.z),
        select(NAME_quad(at.w), vec4<f32>(), none.w),
    );
}
";

/// The same for few rows, which lie along the depth: each lane's own come last, as `Core::accumulating` takes them.
const FEW: &str = "
fn a_start(i: u32) -> vec2<u32> {
    return a_at + min(select(vec2(i % ROWS), vec2(i, i + 1u), OWN > 1u), vec2(P.rows - 1u)) * P.a.row;
}

fn a_block(start: vec2<u32>, k: u32, end: u32) -> Block {
    let at = start + k;
    let last = a_deep(at.y, k, end);
    if OWN > 1u { return Block(vec4<f32>(), vec4<f32>(), a_deep(at.x, k, end), last); }
    return Block(vec4<f32>(), vec4<f32>(), vec4<f32>(), last);
}
";

/// Four neighbours from an element on, where quads are aligned, and along the depth, where its end is a quad's.
const ALIGNED: &str = "
fn NAME_quad(at: u32) -> vec4<f32> { return quad(BUFFER4[at / 4u]); }
fn NAME_deep(at: u32, k: u32, end: u32) -> vec4<f32> { return NAME_quad(at); }
";

/// The same where they are not: one by one.
const SINGLY: &str = "
fn NAME_quad(at: u32) -> vec4<f32> {
    let e = min(at + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(arrayLength(&BUFFER) - 1u));
    return vec4(BUFFER[e.x], BUFFER[e.y], BUFFER[e.z], BUFFER[e.w]);
}
";

/// The same along the depth by long words, two or three of which hold the four.
const WORDS: &str = "
fn NAME_quad(at: u32) -> vec4<f32> {
    let word = min(at / 2u + vec3<u32>(0u, 1u, 2u), vec3<u32>(arrayLength(&BUFFER4) * 2u - 1u));
    let x = BUFFER4[word.x / 2u][word.x % 2u];
    let y = BUFFER4[word.y / 2u][word.y % 2u];
    let z = BUFFER4[word.z / 2u][word.z % 2u];
    let even = vec4(u32(x), u32(x >> 32u), u32(y), u32(y >> 32u));
    return bitcast<vec4<f32>>(select(even, vec4(even.yzw, u32(z)), at % 2u == 1u));
}
";

/// Along the depth, with zeros past its end.
const ENDS: &str = "
fn NAME_deep(at: u32, k: u32, end: u32) -> vec4<f32> {
    return select(NAME_quad(at), vec4<f32>(), (k + vec4<u32>(0u, 1u, 2u, 3u)) >= vec4<u32>(end));
}
";

fn loads(name: &str, buffer: &str, ragged: bool, by_words: bool) -> String {
    let text = match (ragged, by_words) {
        (false, _) => ALIGNED.to_string(),
        (true, true) => WORDS.to_string() + ENDS,
        (true, false) => SINGLY.to_string() + ENDS,
    };
    text.replace("NAME", name).replace("BUFFER", buffer)
}

fn operand(name: &str, count: &str, across: &str, depth: &str) -> String {
    let words = [("NAME", name), ("COUNT", count), ("ACROSS", across), ("DEPTH", depth)];
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
    /// Rows of a tile: 4, 8, 16 or 32. With fewer than 32 a's quads are along the depth.
    pub rows: u32,
    /// Quads of a, and of b, are not aligned.
    pub ragged: [bool; 2],
}

/// The kernel for operands that lie so.
pub(super) fn kernel(rec: &mut Recorder, lies: Lies, param_words: usize) -> Result<KernelId> {
    let part = |yes: bool, name: &'static str| if yes { name } else { "" };
    let name = format!(
        "matmul whole{}{}{}{}{}{}",
        lies.rows,
        part(lies.a_along_rows, " a'"),
        part(lies.b_along_depth, " b'"),
        part(!lies.out_by_quads, " singly"),
        part(lies.ragged[0], " ragged a"),
        part(lies.ragged[1], " ragged b"),
    );
    let wide = rec.wide_loads();
    rec.kernel(&name, || Ok(text(&name, lies, wide, param_words)))
}

pub(super) fn text(name: &str, lies: Lies, wide: bool, param_words: usize) -> KernelSource {
    // multiply() wants a row of a in each of a's quads, and a step of the depth in each of b's
    let turn = |name: &str, yes: bool| if yes { format!("turn({name}, true)") } else { name.to_string() };
    let head = format!(
        "const ROWS: u32 = {}u;
const OWN: u32 = {}u;
const a_TURNED: bool = {};
const b_TURNED: bool = {};
fn multiply(a: Block, b: Block) {{ multiply_blocks({}, {}); }}\n",
        lies.rows,
        lies.rows.div_ceil(8),
        lies.a_along_rows,
        !lies.b_along_depth,
        turn("a", lies.a_along_rows),
        turn("b", lies.b_along_depth),
    );
    let (out, put) = match lies.out_by_quads {
        true => ("alias Out = Quad;\n", include_str!("../../../shaders/matmul_put_whole.wgsl")),
        false => ("alias Out = f32;\nfn aim(col: u32) {}\n", PUT),
    };
    let a = if lies.rows < 32 { FEW.to_string() } else { operand("a", "rows", "row", "col") };
    // where they are turned the words of a quad are more than its elements are worth
    let a_loads = loads("a", "A", lies.ragged[0], wide && !lies.a_along_rows);
    let b_loads = loads("b", "B", lies.ragged[1], wide && lies.b_along_depth);
    let pieces = [
        quad(wide),
        out,
        BASE,
        put,
        &Core::Whole(lies.rows).accumulating("multiply_blocks"),
        &head,
        &a_loads,
        &b_loads,
        &a,
        &operand("b", "cols", "col", "row"),
        include_str!("../../../shaders/matmul_whole.wgsl"),
    ];
    source(name, &pieces, READ, 1, param_words)
}
