//! The product on software adapters where both operands are contiguous one way or the other: NOTE [Two cores] in `matmul.rs`.
//!
//! What lies past an edge is loaded from the last row or column there is and its results are not stored, so that no load
//! stands in a branch. Past the depth's end both operands are zeros: only one that lies across the depth can get there where quads are
//! aligned. Where there are few rows, lanes load one or two of them (the `lean` variant). What is contiguous but not aligned is loaded by
//! aligned quads all the same, each once, and shifted. One to four rows or columns that are left over go along with the last tile.

use super::matmul::{BASE, Core, PUT};
use super::{SHIFTED, XYZW, quad, source};
use crate::error::Result;
use crate::gpu::{KernelId, KernelSource, Recorder};
use std::fmt::Write;

/// Buffers that are read.
const READ: usize = 5;
/// The most rows or columns that go along with a tile.
const BEYOND: usize = 4;

/// The addresses and the 4x4 blocks of an operand that lies along the depth: a row of a (or a column of b) in each quad.
const DEEP: &str = "
fn NAME_start(i: u32, k: u32) -> vec4<u32> {
    let start = NAME_at + min(i + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(P.COUNT - 1u)) * P.NAME.ACROSS;
    NAME_first_x(start.x + k);
    NAME_first_y(start.y + k);
    NAME_first_z(start.z + k);
    NAME_first_w(start.w + k);
    return start;
}

fn NAME_block(start: vec4<u32>, k: u32, end: u32) -> Block {
    let at = start + k;
    return Block(
        NAME_deep_x(at.x, k, end),
        NAME_deep_y(at.y, k, end),
        NAME_deep_z(at.z, k, end),
        NAME_deep_w(at.w, k, end),
    );
}
";

/// The same for few rows: each lane's own come last, as `Core::accumulating` takes them.
const FEW: &str = "
fn a_start(i: u32, k: u32) -> vec2<u32> {
    let start = a_at + min(select(vec2(i % ROWS), vec2(i, i + 1u), OWN > 1u), vec2(P.rows - 1u)) * P.a.row;
    if OWN > 1u { a_first_x(start.x + k); }
    a_first_y(start.y + k);
    return start;
}

fn a_block(start: vec2<u32>, k: u32, end: u32) -> Block {
    let at = start + k;
    let last = a_deep_y(at.y, k, end);
    if OWN > 1u { return Block(vec4<f32>(), vec4<f32>(), a_deep_x(at.x, k, end), last); }
    return Block(vec4<f32>(), vec4<f32>(), vec4<f32>(), last);
}
";

/// The same across the depth: a step of it in each quad.
const ACROSS: &str = "
fn NAME_start(i: u32, k: u32) -> u32 {
    return NAME_at + NAME_inside(i);
}

fn NAME_block(start: u32, k: u32, end: u32) -> Block {
    let q = k + vec4<u32>(0u, 1u, 2u, 3u);
    let at = start + min(q, vec4<u32>(end - 1u)) * P.NAME.DEPTH;
    let none = q >= vec4<u32>(end);
    let far = NAME_far(k, end);
    return Block(
        select(NAME_quad(at.x, FAR0), vec4<f32>(), none.x),
        select(NAME_quad(at.y, FAR1), vec4<f32>(), none.y),
        select(NAME_quad(at.z, FAR2), vec4<f32>(), none.z),
        select(NAME_quad(at.w, FAR3), vec4<f32>(), none.w),
    );
}
";

/// Four neighbours along the depth in the place x, y, z or w of a block, where quads are aligned and the depth ends with one.
const DEEP_ALIGNED: &str = "
fn NAME_first_PLACE(at: u32) {}
fn NAME_deep_PLACE(at: u32, k: u32, end: u32) -> vec4<f32> { return quad(BUFFER4[at / 4u]); }
";

/// The same where they are not: a step loads the quad with the rest of its four, which the next step begins with.
const DEEP_RAGGED: &str = "
var<private> NAME_PLACE: vec4<f32>;
fn NAME_first_PLACE(at: u32) { NAME_PLACE = NAME_held(at); }
fn NAME_deep_PLACE(at: u32, k: u32, end: u32) -> vec4<f32> {
    let next = NAME_held(at + 4u);
    let v = shifted(NAME_PLACE, next, at);
    NAME_PLACE = next;
    return select(v, vec4<f32>(), (k + vec4<u32>(0u, 1u, 2u, 3u)) >= vec4<u32>(end));
}
";

/// Four neighbours across the depth, where quads are aligned.
const ACROSS_ALIGNED: &str = "
fn NAME_inside(i: u32) -> u32 { return min(i, (P.COUNT - 1u) / 4u * 4u); }
fn NAME_far(k: u32, end: u32) -> vec2<f32> { return vec2<f32>(); }
fn NAME_quad(at: u32, rest: vec3<f32>) -> vec4<f32> { return quad(BUFFER4[at / 4u]); }
";

/// The same where they are not: the next lane has the rest of a lane's four, and the rest of the last lane's, for four depths, is shared
/// out among all lanes. So lanes go on past the last column: what they load there, the next row or whatever the buffer ends with, is in
/// nobody's result.
const ACROSS_RAGGED: &str = "
var<private> NAME_lane: u32;
var<private> NAME_past: u32;
fn NAME_inside(i: u32) -> u32 {
    NAME_lane = i % 32u / 4u;
    NAME_past = NAME_at + i - NAME_lane * 4u + 32u;
    return i;
}
fn NAME_far(k: u32, end: u32) -> vec2<f32> {
    let at = (NAME_past + min(k + NAME_lane / 2u, end - 1u) * P.NAME.DEPTH) / 4u * 4u + NAME_lane % 2u * 2u;
    let e = min(vec2(at, at + 1u), vec2(arrayLength(&BUFFER) - 1u));
    return vec2(BUFFER[e.x], BUFFER[e.y]);
}
fn NAME_quad(at: u32, rest: vec3<f32>) -> vec4<f32> {
    let own = NAME_held(at);
    return shifted(own, vec4(select(subgroupShuffleDown(own.xyz, 1u), rest, NAME_lane == 7u), 0.0), at);
}
";

/// The aligned quad that holds an element, or the buffer's last one.
const HELD: &str = "
fn NAME_held(at: u32) -> vec4<f32> { return quad(BUFFER4[min(at / 4u, arrayLength(&BUFFER4) - 1u)]); }
";

/// What loads an operand. `across` is how it lies; `few` is for a's few rows.
fn loads(name: &str, across: bool, ragged: bool, few: bool) -> String {
    let each = |text: &str| XYZW.map(|place| text.replace("PLACE", place)).concat();
    let quads = match (across, ragged) {
        (false, false) => each(DEEP_ALIGNED),
        (false, true) => HELD.to_string() + &each(DEEP_RAGGED),
        (true, false) => ACROSS_ALIGNED.to_string(),
        (true, true) => HELD.to_string() + ACROSS_RAGGED,
    };
    let block = match across {
        _ if few => FEW,
        true => ACROSS,
        false => DEEP,
    };
    // a's rows lie across its depth, b's columns
    let (count, step, depth) = if name == "a" { ("rows", "row", "col") } else { ("cols", "col", "row") };
    // what the lanes share out: a pair each, two of which are a depth's
    let far = |i: usize| match ragged {
        true => {
            let from = |x: &str, lane: usize| format!("subgroupBroadcast(far.{x}, {lane}u)");
            format!("vec3({}, {}, {})", from("x", 2 * i), from("y", 2 * i), from("x", 2 * i + 1))
        }
        false => "vec3<f32>()".into(),
    };
    let far = [far(0), far(1), far(2), far(3)];
    let words = [
        ("FAR0", &far[0][..]),
        ("FAR1", &far[1]),
        ("FAR2", &far[2]),
        ("FAR3", &far[3]),
        ("NAME", name),
        ("BUFFER", if name == "a" { "A" } else { "B" }),
        ("COUNT", count),
        ("ACROSS", step),
        ("DEPTH", depth),
    ];
    words.iter().fold(quads + block, |s, (word, by)| s.replace(word, by))
}

/// How many of a result's rows and columns go along with the last tile of 32 x 32, at most four (rounded up to 1, 2 or 4): where that
/// saves enough tiles, for it makes each of them up to a quarter dearer.
pub(super) fn beyond(rows: usize, cols: usize) -> [u32; 2] {
    let more = [rows, cols].map(|n| if n > SIDE && n % SIDE <= BEYOND { n % SIDE } else { 0 });
    let tiles = |n: usize, more: usize| n.div_ceil(SIDE) - usize::from(more > 0);
    if 4 * tiles(rows, 0) * tiles(cols, 0) >= 5 * tiles(rows, more[0]) * tiles(cols, more[1]) {
        more.map(|n| if n == 0 { 0 } else { n.next_power_of_two() as u32 })
    } else {
        [0; 2]
    }
}

/// Rows and columns of a tile that is not of few rows.
const SIDE: usize = 32;

/// The sums of so many rows and columns beyond a tile, and what loads their operands: a pair by each lane, for all of them.
fn beyond_text([rows, cols]: [u32; 2]) -> String {
    let mut s = String::from(include_str!("../../../shaders/matmul_beyond.wgsl"));
    let shared =
        |name: &str, i: usize, l: usize| format!("subgroupBroadcast({name}.{}, {}u)", XYZW[l % 2], 2 * i + l / 2);
    let mut sums = |name: &str, count: u32, term: &dyn Fn(usize, usize) -> String| {
        // writing to a String cannot fail
        for i in 0..count {
            let _ = writeln!(s, "var<private> {name}{i}: vec4<f32>;");
        }
        let _ = writeln!(s, "fn multiply_{name}(a: Block, b: Block, far_a: vec2<f32>, far_b: vec2<f32>) {{");
        for (i, l) in (0..count as usize).flat_map(|i| (0..4).map(move |l| (i, l))) {
            let _ = writeln!(s, "    {name}{i} += {};", term(i, l));
        }
        let of = |i: u32| if i < count { format!("{name}{i}") } else { "vec4<f32>()".into() };
        let _ =
            writeln!(s, "}}\nfn all_{name}() -> Block {{ return Block({}, {}, {}, {}); }}", of(0), of(1), of(2), of(3));
    };
    sums("below", rows, &|i, l| format!("{} * b.{}", shared("far_a", i, l), XYZW[l]));
    sums("beside", cols, &|i, l| {
        let x = XYZW[l];
        format!("vec4(a.x.{x}, a.y.{x}, a.z.{x}, a.w.{x}) * {}", shared("far_b", l, i))
    });
    let _ = writeln!(s, "const BELOW: bool = {};\nconst BESIDE: bool = {};", rows > 0, cols > 0);
    s
}

/// Where nothing goes along.
const NONE_BEYOND: &str = "
fn multiply_beyond(a: Block, b: Block, k: u32, end: u32) {}
fn put_beyond(row0: u32, col0: u32, lane: u32) {}
fn begin_beyond(row0: u32, col0: u32, lane: u32) {}
";

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
    /// Rows, and columns, that go along with the last tile: see [`beyond`].
    pub beyond: [u32; 2],
}

/// The kernel for operands that lie so.
pub(super) fn kernel(rec: &mut Recorder, lies: Lies, param_words: usize) -> Result<KernelId> {
    let part = |yes: bool, name: &'static str| if yes { name } else { "" };
    let name = format!(
        "matmul whole{}{}{}{}{}{}{}",
        lies.rows,
        part(lies.a_along_rows, " a'"),
        part(lies.b_along_depth, " b'"),
        part(!lies.out_by_quads, " singly"),
        part(lies.ragged[0], " ragged a"),
        part(lies.ragged[1], " ragged b"),
        if lies.beyond == [0; 2] { String::new() } else { format!(" and {} by {}", lies.beyond[0], lies.beyond[1]) },
    );
    let wide = rec.wide_loads();
    rec.kernel(&name, || Ok(text(&name, lies, wide, param_words)))
}

pub(super) fn text(name: &str, lies: Lies, wide: bool, param_words: usize) -> KernelSource {
    // multiply_tile() wants a row of a in each of a's quads, and a step of the depth in each of b's
    let turn = |name: &str, yes: bool| if yes { format!("turn({name}, true)") } else { name.to_string() };
    let head = format!(
        "const ROWS: u32 = {}u;
const OWN: u32 = {}u;
fn multiply(a_loaded: Block, b_loaded: Block, k: u32, end: u32) {{
    let a = {};
    let b = {};
    multiply_tile(a, b);
    multiply_beyond(a, b, k, end);
}}\n",
        lies.rows,
        lies.rows.div_ceil(8),
        turn("a_loaded", lies.a_along_rows),
        turn("b_loaded", lies.b_along_depth),
    );
    let (out, put) = match lies.out_by_quads {
        true => ("alias Out = Quad;\n", include_str!("../../../shaders/matmul_put_whole.wgsl")),
        false => ("alias Out = f32;\nfn aim(col: u32) {}\n", PUT),
    };
    let few = (lies.rows as usize) < SIDE;
    let pieces = [
        quad(wide),
        out,
        BASE,
        put,
        SHIFTED,
        &Core::Whole(lies.rows).accumulating("multiply_tile"),
        &head,
        &loads("a", lies.a_along_rows, lies.ragged[0], few),
        &loads("b", !lies.b_along_depth, lies.ragged[1], false),
        &if lies.beyond == [0; 2] { NONE_BEYOND.to_string() } else { beyond_text(lies.beyond) },
        include_str!("../../../shaders/matmul_whole.wgsl"),
    ];
    source(name, &pieces, READ, 1, param_words)
}
