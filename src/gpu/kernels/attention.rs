//! Attention and its gradients by tiles of scores that live in registers alone.
//!
//! A workgroup has 64 queries (or, for the gradients of keys and values, 64 keys) of one head, and goes through the other side by tiles
//! of 64: `attention_tile.wgsl` makes the products, a kernel's own file says what happens between them. Results wider than a
//! workgroup's columns (64, or 128 where registers allow it) are made by several, each of which computes the scores again.
//! Software adapters get attention as a composition, whose products do without workgroup memory: NOTE [Two cores].

use super::matmul::batch_strides;
use super::{XYZW, exp_log, need_f32, quad, source, word};
use crate::DType;
use crate::error::{Result, bail, ensure};
use crate::gpu::{Buffer, GpuView, KernelId, KernelSource, Recorder};
use crate::layout::collapse;
use crate::shape::Dims;
use smallvec::SmallVec;
use std::fmt::Write;

/// Rows and columns of a tile.
const TILE: usize = 64;

/// Fewer queries leave most of a tile empty: products that split their depth fill a device better.
const FEW: usize = 16;

const PARAMS: &str = include_str!("../../../shaders/lib/attention_params.wgsl");
const BLOCK: &str = include_str!("../../../shaders/lib/quads.wgsl");
const CORE: &str = include_str!("../../../shaders/attention_tile.wgsl");
const MEAN: &str = include_str!("../../../shaders/attention_mean.wgsl");
const PARAM_WORDS: usize = 56;
/// Where in them the number of workgroups (or rows) is.
const TOTAL_WORD: usize = 6;

/// Whether these kernels are what this adapter is to use for so many queries.
pub fn suits(rec: &Recorder, queries: usize) -> bool {
    rec.variant().is_tile() || !rec.software() && queries >= FEW
}

/// `softmax(scale * q @ k^T + mask) @ v` over `[.., L, E]`, `[.., S, E]` and `[.., S, V]` of any strides and equal leading dims, but that
/// each head (the last of them) of keys and values may serve several neighbouring ones of queries.
#[derive(Clone, Copy, Debug)]
pub struct Attention<'a> {
    /// Queries.
    pub q: GpuView<'a>,
    /// Keys.
    pub k: GpuView<'a>,
    /// Values.
    pub v: GpuView<'a>,
    /// Added to the scores (f32), or where attention may go (bool, i32), of sizes that broadcast to `[.., L, S]`.
    pub mask: Option<GpuView<'a>>,
    /// A query attends to the keys up to its own place.
    pub causal: bool,
    /// Factor of the scores.
    pub scale: f32,
}

/// Which of the kernels that are made of tiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pass {
    Forward,
    Query,
    Key,
}

/// What a pipeline depends on.
#[derive(Clone, Copy, Debug)]
struct Form {
    pass: Pass,
    /// All operands lie by whole quads along their last dim.
    whole: bool,
    masked: bool,
    /// Results have more than 64 columns, and a workgroup makes 128.
    broad: bool,
    /// As [`Recorder::wide_loads`].
    wide: bool,
}

/// A line for each of an invocation's rows: `#` is its number, `@` the component of what is kept for rows by quads, `$` how far down
/// it is.
fn each(rows: usize, head: &str, line: &str) -> String {
    let one = |i: usize| {
        let component = format!("{}.{}", i / 4, XYZW[i % 4]);
        let down = format!("{}u", i / 4 * 32 + i % 4);
        format!("    {}\n", line.replace('#', &i.to_string()).replace('@', &component).replace('$', &down))
    };
    format!("fn {head} {{\n{}}}\n", (0..rows).map(one).collect::<String>())
}

/// Sums of 4 or 8 rows by so many column quads, 16 quads apart: `NAME0` and so on as variables of their own, since they have to stay in
/// registers, `NAME_clear()`, and `NAME_add(a, b)` of two panels' quads.
fn sums(name: &str, rows: usize, halves: usize) -> String {
    let lines = |line: &dyn Fn(usize) -> String, n: usize| (0..n).map(line).collect::<String>();
    let all = rows * halves;
    format!(
        "{}fn {name}_clear() {{\n{}}}\nfn {name}_add(a: u32, b: u32) {{\n{}{}{}}}\n",
        lines(&|i| format!("var<private> {name}{i}: vec4<f32>;\n"), all),
        lines(&|i| format!("    {name}{i} = vec4<f32>();\n"), all),
        lines(&|q| format!("    let a{q} = rows_panel[a + {}u];\n", 8 * q), rows / 4),
        lines(&|h| format!("    let b{h} = cols_panel[b + {}u];\n", 16 * h), halves),
        lines(&|i| format!("    {name}{i} += a{}.{} * b{};\n", i % rows / 4, XYZW[i % 4], i / rows), all),
    )
}

/// Where sums go: `array[at ..]` is row-major with `rows` rows a batch of `cols` columns.
struct Target {
    head: &'static str,
    sums: &'static str,
    factor: &'static str,
    array: &'static str,
    at: &'static str,
    rows: &'static str,
    cols: &'static str,
}

impl Target {
    /// `HEAD(base, row, e)`: stores an invocation's [`sums`], of which the first is at a row behind `base` others and a column.
    fn wgsl(&self, lines: usize, halves: usize, whole: bool) -> String {
        let Target { head, sums, factor, array, at, rows, cols } = self;
        let put = if whole {
            format!("        if e < {cols} {{ {array}[at / 4u] = pack(v); }}\n")
        } else {
            (0..4)
                .map(|i| format!("        if e + {i}u < {cols} {{ {array}[at + {i}u] = v.{}; }}\n", XYZW[i]))
                .collect()
        };
        let line = |i: usize| {
            let (down, along) = (i % lines / 4 * 32 + i % 4, i / lines * TILE);
            format!("    {head}_row(base, row + {down}u, e + {along}u, {sums}{i}{factor});\n")
        };
        let all: String = (0..lines * halves).map(line).collect();
        format!(
            "fn {head}_row(base: u32, row: u32, e: u32, v: vec4<f32>) {{
    if row < {rows} {{
        let at = {at} + (base + row) * {cols} + e;
{put}    }}
}}
fn {head}(base: u32, row: u32, e: u32) {{
{all}}}
"
        )
    }
}

const RESULT: Target =
    Target { head: "store", sums: "o", factor: "", array: "OUT", at: "P.out", rows: "P.queries", cols: "P.width" };
const QUERY_GRADIENT: Target = Target { factor: " * P.scale", cols: "P.depth", ..RESULT };
const KEY_GRADIENT: Target = Target { rows: "P.keys", ..QUERY_GRADIENT };
const VALUE_GRADIENT: Target =
    Target { head: "store_values", sums: "v", array: "VALUES", at: "P.second", rows: "P.keys", ..RESULT };

/// An operand `X`: where a batch of it begins, and `x_quad(row, e)`, four neighbours, zeros outside.
fn operand(name: &str, rows: &str, cols: &str, whole: bool) -> String {
    let x = name.to_lowercase();
    let body = if whole {
        format!(
            "    let inside = row < P.{rows} && e < P.{cols};
    return select(vec4<f32>(), quad({name}[select(0u, ({x}_at + row * P.{x}.row + e) / 4u, inside)]), inside);\n"
        )
    } else {
        let one = |i: usize| format!("{x}_one(at + {i}u * P.{x}.col, row < P.{rows} && e + {i}u < P.{cols})");
        let all: Vec<String> = (0..4).map(one).collect();
        format!("    let at = {x}_at + row * P.{x}.row + e * P.{x}.col;\n    return vec4({});\n", all.join(", "))
    };
    let single = format!(
        "fn {x}_one(at: u32, inside: bool) -> f32 {{ return select(0.0, {name}[select(0u, at, inside)], inside); }}\n"
    );
    format!(
        "var<private> {x}_at: u32;\n{}fn {x}_quad(row: u32, e: u32) -> vec4<f32> {{\n{body}}}\n",
        if whole { "" } else { &single }
    )
}

/// Bindings in their order, and `begin(z)`, which finds a batch of the operands.
fn bindings(reads: &[(&str, &str)], writes: &[(&str, &str)], placed: &[&str]) -> String {
    let mut s = String::from("@group(0) @binding(0) var<uniform> P: Params;\n");
    let read = reads.iter().map(|b| ("read", b));
    for (n, (access, (name, item))) in read.chain(writes.iter().map(|b| ("read_write", b))).enumerate() {
        // writing to a String cannot fail
        let _ = writeln!(s, "@group(0) @binding({}) var<storage, {access}> {name}: array<{item}>;", n + 1);
    }
    s.push_str("fn begin(z: u32) {\n");
    for x in placed {
        let _ = writeln!(s, "    {x}_at = place(P.{x}, z);");
    }
    s.push_str("}\n");
    s
}

/// What is added to a score, [`Attention::mask`]; the lowest number where attention may not go.
const MASK: &str = "var<private> mask_at: u32;
fn mask_one(query: u32, key: u32) -> f32 {
    let at = mask_at + min(query, P.queries - 1u) * P.mask.row + min(key, P.keys - 1u) * P.mask.col;
    let word = MASK[select(at, at / 4u, P.mask.kind == 2u)];
    let on = select(word, (word >> (at % 4u * 8u)) & 0xffu, P.mask.kind == 2u) != 0u;
    // only what is infinite shuts: finite numbers below stay above what stands for that
    let finite = select(bitcast<f32>(word), LEAST, bitcast<f32>(word) < LEAST);
    let added = select(finite, LOWEST, word == 0xff800000u);
    return select(select(LOWEST, 0.0, on), added, P.mask.kind == 1u);
}
";

impl Form {
    /// Rows of an invocation: gradients and broad results need the registers that eight rows' scores take (RDNA3 has 132 for each of
    /// a workgroup's invocations).
    fn lines(self) -> usize {
        if self.pass == Pass::Forward && !self.broad { 8 } else { 4 }
    }

    /// Column quads of a result, by sixteen.
    fn halves(self) -> usize {
        if self.broad { 2 } else { 1 }
    }

    /// `limited(s, row, col)`: the scores of a row's four columns, scaled and masked.
    fn limited(self) -> String {
        let key_rows = self.pass == Pass::Key;
        let (bound, order) = if key_rows { ("P.queries", "c >= vec4(row)") } else { ("P.keys", "c <= vec4(row)") };
        let masked = match (self.masked, key_rows) {
            (false, _) => String::from("    let y = s * P.scale;\n"),
            (true, by_columns) => {
                let one = |i: usize| match by_columns {
                    true => format!("mask_one(col + {i}u, row)"),
                    false => format!("mask_one(row, col + {i}u)"),
                };
                let all: Vec<String> = (0..4).map(one).collect();
                format!(
                    "    let added = vec4({});
    let y = select(s * P.scale + added, vec4(LOWEST), added <= vec4(LOWEST));\n",
                    all.join(", ")
                )
            }
        };
        format!(
            "fn limited(s: vec4<f32>, row: u32, col: u32) -> vec4<f32> {{
    let c = vec4(col) + vec4(0u, 1u, 2u, 3u);
{masked}    return select(vec4(LOWEST), y, (c < vec4({bound})) & (({order}) | vec4(P.causal == 0u)));
}}
fn weight(s: vec4<f32>, row: u32, col: u32, lse: vec4<f32>) -> vec4<f32> {{
    let y = limited(s, row, col);
    return select(exp4(y - lse), vec4<f32>(), y <= vec4(LOWEST));
}}
"
        )
    }

    /// What goes over an invocation's rows.
    fn rows(self) -> String {
        let n = self.lines();
        let stash = |q: usize| {
            let rows: Vec<String> = (0..4).map(|i| format!("s{}", 4 * q + i)).collect();
            let turned = format!("    let m{q} = transpose(mat4x4<f32>({}));\n", rows.join(", "));
            turned
                + &(0..4)
                    .map(|i| format!("    rows_panel[at + {}u] = m{q}[{i}];\n", 16 * i + 8 * q))
                    .collect::<String>()
        };
        let mut s = format!("fn s_stash(at: u32) {{\n{}}}\n", (0..n / 4).map(stash).collect::<String>());
        if self.pass == Pass::Forward {
            s.push_str(&each(n, "limit(row: u32, col: u32)", "s# = limited(s#, row + $, col);"));
            s.push_str(&each(n, "powers(shift0: vec4<f32>, shift1: vec4<f32>)", "s# = exp4(s# - shift@);"));
            let by = |i: usize| format!("    o{i} *= by{}.{};\n", i % n / 4, XYZW[i % 4]);
            let all: String = (0..n * self.halves()).map(by).collect();
            let _ = write!(s, "fn shrink(by0: vec4<f32>, by1: vec4<f32>) {{\n{all}}}\n");
            let over = |name: &str, f: &dyn Fn(usize) -> String| {
                // of four rows the second quad is not used
                let quad = |q: usize| (0..4).map(|i| f((4 * q + i) % n)).collect::<Vec<_>>().join(", ");
                format!("fn {name}() -> mat2x4<f32> {{\n    return mat2x4(vec4({}), vec4({}));\n}}\n", quad(0), quad(1))
            };
            s.push_str(&over("tops", &|i| format!("max(max(s{i}.x, s{i}.y), max(s{i}.z, s{i}.w))")));
            s.push_str(&over("totals", &|i| format!("(s{i}.x + s{i}.y) + (s{i}.z + s{i}.w)")));
            return s;
        }
        for i in 0..n {
            let _ = writeln!(s, "var<private> d{i}: vec4<f32>;");
        }
        s.push_str(&each(n, "keep()", "d# = s#;"));
        let (lse, slope) = match self.pass {
            Pass::Query => ("vec4(lse@)", "s# *= d# - mean@;"),
            // here the weights were kept
            _ => ("lse", "s# = d# * (s# - mean);"),
        };
        s.push_str(&each(n, "weights(row: u32, col: u32)", &format!("s# = weight(s#, row + $, col, {lse});")));
        s.push_str(&each(n, "slopes()", slope));
        s
    }

    fn source(self) -> KernelSource {
        let item = if self.whole { "Quad" } else { "f32" };
        let mut reads = vec![("Q", item), ("K", item), ("V", item)];
        let mut operands = vec![("Q", "queries", "depth"), ("K", "keys", "depth"), ("V", "keys", "width")];
        if self.pass != Pass::Forward {
            reads.push(("G", item));
            operands.push(("G", "queries", "width"));
        }
        if self.masked {
            reads.push(("MASK", "u32"));
        }
        let mut placed: Vec<String> = operands.iter().map(|o| o.0.to_lowercase()).collect();
        if self.masked {
            placed.push("mask".into());
        }
        let placed: Vec<&str> = placed.iter().map(|s| &**s).collect();
        let (label, body, targets): (_, _, &[Target]) = match self.pass {
            Pass::Forward => ("attention", include_str!("../../../shaders/attention.wgsl"), &[RESULT]),
            Pass::Query => {
                ("attention query gradient", include_str!("../../../shaders/attention_query.wgsl"), &[QUERY_GRADIENT])
            }
            Pass::Key => (
                "attention key gradient",
                include_str!("../../../shaders/attention_key.wgsl"),
                &[KEY_GRADIENT, VALUE_GRADIENT],
            ),
        };
        let mut writes: Vec<_> = targets.iter().map(|t| (t.array, item)).collect();
        match self.pass {
            Pass::Forward => writes.push(("LSE", "f32")),
            _ => reads.push(("STAT", "vec2<f32>")),
        }
        let halves = self.halves();
        let mut pieces = vec![
            exp_log(),
            quad(self.wide).into(),
            BLOCK.into(),
            PARAMS.into(),
            bindings(&reads, &writes, &placed),
            format!("const COLS: u32 = {}u;\nconst ROWS: u32 = {}u;\n", 16 * halves, self.lines()),
        ];
        pieces.extend(operands.iter().map(|(name, rows, cols)| operand(name, rows, cols, self.whole)));
        if self.masked {
            pieces.push(MASK.into());
        }
        pieces.push(sums("s", self.lines(), 1));
        pieces.extend(
            targets.iter().flat_map(|t| [sums(t.sums, self.lines(), halves), t.wgsl(self.lines(), halves, self.whole)]),
        );
        pieces.extend([self.limited(), self.rows(), CORE.into(), body.into()]);
        let pieces: Vec<&str> = pieces.iter().map(|p| &**p).collect();
        source(label, &pieces, reads.len(), writes.len(), PARAM_WORDS)
    }

    fn kernel(self, rec: &mut Recorder) -> Result<KernelId> {
        rec.kernel(&format!("attention {self:?}"), || Ok(self.source()))
    }
}

fn mean_source() -> KernelSource {
    let reads = [("G", "f32"), ("RESULT", "f32"), ("LSE", "f32")];
    let pieces = [PARAMS, "var<private> g_at: u32;", &bindings(&reads, &[("STAT", "vec2<f32>")], &["g"]), MEAN];
    source("attention means", &pieces, 3, 1, PARAM_WORDS)
}

/// An operand as a part of the batches: its first element, row, column and batch strides.
type Part = (usize, [usize; 2], [usize; 3]);

/// Three batch dims of all operands, and how many batches come before them.
struct Batches {
    dims: [usize; 3],
    before: usize,
    /// q, k, v, g, mask.
    parts: [Part; 5],
}

/// Strides of leading dims, of which the last is cut into heads of keys and the heads of queries that each serves.
fn cut(strides: &[usize], group: usize, shared: bool) -> Dims {
    let mut s = Dims::from_slice(strides);
    if let Some(&last) = strides.last() {
        s.pop();
        s.extend(if shared { [last, 0] } else { [group * last, last] });
    }
    s
}

impl Attention<'_> {
    fn sizes(&self) -> [usize; 4] {
        let n = self.q.shape.len();
        [self.q.shape[n - 2], self.k.shape[n - 2], self.q.shape[n - 1], self.v.shape[n - 1]]
    }

    /// How many heads of queries a head of keys and values serves.
    fn group(&self) -> usize {
        match self.q.shape.len() {
            n @ 3.. => self.q.shape[n - 3] / self.k.shape[n - 3].max(1),
            _ => 1,
        }
    }

    /// Strides of the mask for `[.., L, S]`.
    fn mask_strides(&self) -> Dims {
        let n = self.q.shape.len();
        let mut strides = Dims::from_elem(0, n);
        if let Some(m) = &self.mask {
            let first = n - m.shape.len();
            for (d, (&size, &stride)) in m.shape.iter().zip(m.strides).enumerate() {
                strides[first + d] = if size == 1 { 0 } else { stride };
            }
        }
        strides
    }

    fn check(&self, others: &[&GpuView]) -> Result<()> {
        let (q, k, v) = (&self.q, &self.k, &self.v);
        need_f32("scaled_dot_product_attention", &[q, k, v])?;
        need_f32("scaled_dot_product_attention", others)?;
        let n = q.shape.len();
        let alike = n >= 2
            && k.shape.len() == n
            && v.shape.len() == n
            && (0..n - 2).all(|d| q.shape[d] == k.shape[d] * if d + 3 == n { self.group() } else { 1 })
            && k.shape[..n - 1] == v.shape[..n - 1]
            && q.shape[n - 1] == k.shape[n - 1]
            && self.mask.is_none_or(|m| m.shape.len() <= n);
        ensure!(alike, Runtime, "attention kernel: {:?}, {:?} and {:?}", q.shape, k.shape, v.shape);
        ensure!([q, k, v].iter().all(|t| t.numel() > 0), Runtime, "attention kernel: nothing to attend to");
        for t in [q, k, v].into_iter().chain(others.iter().copied()).chain(self.mask.as_ref()) {
            word(t.end())?;
        }
        Ok(())
    }

    /// The batches, by three dims at a time.
    fn batches(&self, g: Option<&GpuView>) -> Vec<Batches> {
        let lead = self.q.shape.len() - 2;
        let mask = self.mask_strides();
        let all = [&self.q, &self.k, &self.v, g.unwrap_or(&self.q)];
        let of: Vec<&[usize]> = all.iter().map(|t| t.strides).chain([&mask[..]]).collect();
        let firsts: Vec<usize> = all.iter().map(|t| t.offset).chain([self.mask.map_or(0, |m| m.offset)]).collect();
        // the heads that share keys come last, so that they are neighbours in every count of batches
        let group = self.group();
        let mut sizes = Dims::from_slice(&self.q.shape[..lead]);
        if let Some(heads) = sizes.pop() {
            sizes.extend([heads / group, group]);
        }
        let leading: Vec<Dims> =
            of.iter().enumerate().map(|(op, s)| cut(&s[..lead], group, op == 1 || op == 2)).collect();
        let leading: SmallVec<[&[usize]; 5]> = leading.iter().map(|s| &s[..]).collect();
        let (dims, strides) = collapse(&sizes, &leading);
        let outer = dims.len().saturating_sub(3);
        let mut inner = [1; 3];
        inner[3 - (dims.len() - outer)..].copy_from_slice(&dims[outer..]);
        let count: usize = dims[..outer].iter().product();
        let one = |i: usize| {
            let part = |op: usize| {
                let mut rest = i;
                let mut at = firsts[op];
                for d in (0..outer).rev() {
                    at += rest % dims[d] * strides[op][d];
                    rest /= dims[d];
                }
                (at, [of[op][lead], of[op][lead + 1]], batch_strides(&dims[outer..], &strides[op][outer..]))
            };
            Batches { dims: inner, before: i * inner.iter().product::<usize>(), parts: [0, 1, 2, 3, 4].map(part) }
        };
        (0..count).map(one).collect()
    }

    /// The kind of the mask that the kernels know.
    fn mask_kind(&self) -> Result<u32> {
        Ok(match self.mask.map(|m| m.dtype) {
            None => 0,
            Some(DType::F32) => 1,
            Some(DType::Bool) => 2,
            Some(DType::I32) => 3,
            Some(d) => bail!(NotImplemented, "attention kernel: a mask of {}", d.scalar_name()),
        })
    }

    /// Whether operands and results lie by whole quads.
    fn whole(&self, batches: &[Batches], used: usize, outs: &[&GpuView]) -> bool {
        let [_, _, depth, width] = self.sizes();
        let by_quads = |(at, [row, col], batch): &Part| {
            *col == 1 && [at, row].into_iter().chain(batch).all(|n| n.is_multiple_of(4))
        };
        depth.is_multiple_of(4)
            && width.is_multiple_of(4)
            && outs.iter().all(|o| o.offset.is_multiple_of(4))
            && batches.iter().all(|b| b.parts[..used].iter().all(by_quads))
    }

    /// The parameters of a kernel whose results begin at `outs` .
    fn params(&self, b: &Batches, tiles: usize, blocks: usize, ends: [usize; 3]) -> Result<([u32; PARAM_WORDS], u32)> {
        let [queries, keys, depth, width] = self.sizes();
        let total = tiles * blocks * b.dims.iter().product::<usize>();
        let empty = if self.mask.is_some() { 0.0 } else { f32::NAN };
        let mut p = [0; PARAM_WORDS];
        let head = [queries, keys, depth, width, tiles, blocks, total, b.dims[1], b.dims[2], usize::from(self.causal)];
        for (to, n) in p.iter_mut().zip(head) {
            *to = word(n)?;
        }
        (p[10], p[11]) = (self.scale.to_bits(), empty.to_bits());
        for (to, n) in p[12..15].iter_mut().zip(ends) {
            *to = word(n)?;
        }
        for (i, (at, [row, col], batch)) in b.parts.iter().enumerate() {
            let words = [*at, *row, *col, batch[0], batch[1], batch[2]];
            for (to, n) in p[16 + 8 * i..].iter_mut().zip(words) {
                *to = word(n)?;
            }
        }
        p[15] = word(self.group())?;
        p[16 + 8 * 4 + 6] = self.mask_kind()?;
        Ok((p, word(total)?))
    }
}

/// The result `[.., L, V]` and the logarithms of the sums of exponentials of scores `[.., L]`, both row-major.
pub fn attention(rec: &mut Recorder, a: &Attention, out: &GpuView, lse: &GpuView) -> Result<()> {
    a.check(&[out, lse])?;
    let [queries, _, _, width] = a.sizes();
    let rows = a.q.numel() / a.q.shape[a.q.shape.len() - 1];
    let fits = out.is_contiguous() && lse.is_contiguous() && out.numel() == rows * width && lse.numel() == rows;
    ensure!(fits, Runtime, "attention kernel: {:?} into {:?}", a.q.shape, out.shape);
    let batches = a.batches(None);
    let form = Form {
        pass: Pass::Forward,
        whole: a.whole(&batches, 3, &[out]),
        masked: a.mask.is_some(),
        broad: width > TILE,
        wide: rec.wide_loads(),
    };
    let kernel = form.kernel(rec)?;
    let mut buffers: SmallVec<[&Buffer; 6]> = [a.q.buffer, a.k.buffer, a.v.buffer].into_iter().collect();
    buffers.extend(a.mask.map(|m| m.buffer));
    buffers.extend([out.buffer, lse.buffer]);
    for b in &batches {
        let done = b.before * queries;
        let ends = [out.offset + done * width, 0, lse.offset + done];
        let blocks = width.div_ceil(TILE * form.halves());
        let (params, groups) = a.params(b, queries.div_ceil(TILE), blocks, ends)?;
        rec.dispatch(kernel, &buffers, &params, groups)?;
    }
    Ok(())
}

/// What [`attention_grad`] reads beside the operands of [`attention`].
#[derive(Clone, Copy, Debug)]
pub struct Saved<'a> {
    /// The gradient of the result, of any strides.
    pub grad: GpuView<'a>,
    /// The results of [`attention`].
    pub out: GpuView<'a>,
    /// As `out`.
    pub lse: GpuView<'a>,
}

/// The gradients of queries, keys and values, row-major.
pub fn attention_grad(rec: &mut Recorder, a: &Attention, saved: &Saved, outs: [&GpuView; 3]) -> Result<()> {
    let Saved { grad, out, lse } = saved;
    a.check(&[grad, out, lse, outs[0], outs[1], outs[2]])?;
    let [queries, keys, depth, width] = a.sizes();
    let rows = a.q.numel() / depth;
    let fits = grad.shape == out.shape
        && [out, lse].iter().all(|t| t.is_contiguous())
        && out.numel() == rows * width
        && lse.numel() == rows
        && outs.iter().zip([&a.q, &a.k, &a.v]).all(|(o, t)| o.is_contiguous() && o.shape == t.shape);
    ensure!(fits, Runtime, "attention kernel: gradients of {:?} into {:?}", grad.shape, outs[0].shape);
    let batches = a.batches(Some(grad));
    let stat = rec.alloc(8 * rows as u64)?;
    let form = Form {
        pass: Pass::Query,
        whole: a.whole(&batches, 4, &outs),
        masked: a.mask.is_some(),
        broad: depth > TILE,
        wide: rec.wide_loads(),
    };
    let mut reads: SmallVec<[&Buffer; 8]> = [a.q.buffer, a.k.buffer, a.v.buffer, grad.buffer].into_iter().collect();
    reads.extend(a.mask.map(|m| m.buffer));
    reads.push(&stat);
    for b in &batches {
        let (done, met) = (b.before * queries, b.before / a.group() * keys);
        // sums of g * result, and what the other kernels read with them
        let (mut params, _) = a.params(b, 1, 1, [out.offset + done * width, done, lse.offset + done])?;
        let count = b.dims.iter().product::<usize>() * queries;
        params[TOTAL_WORD] = word(count)?;
        let means = rec.kernel("attention means", || Ok(mean_source()))?;
        rec.dispatch(means, &[grad.buffer, out.buffer, lse.buffer, &stat], &params, count.div_ceil(4) as u32)?;
        let blocks = depth.div_ceil(TILE * form.halves());
        let (params, groups) = a.params(b, queries.div_ceil(TILE), blocks, [outs[0].offset + done * depth, 0, done])?;
        let buffers: SmallVec<[&Buffer; 8]> = reads.iter().copied().chain([outs[0].buffer]).collect();
        let query = form.kernel(rec)?;
        rec.dispatch(query, &buffers, &params, groups)?;
        let ends = [outs[1].offset + met * depth, outs[2].offset + met * width, done];
        let (mut params, groups) = a.params(b, keys.div_ceil(TILE), depth.max(width).div_ceil(TILE), ends)?;
        let groups = groups / a.group() as u32;
        params[TOTAL_WORD] = groups;
        let buffers: SmallVec<[&Buffer; 8]> = reads.iter().copied().chain([outs[1].buffer, outs[2].buffer]).collect();
        let key = Form { pass: Pass::Key, broad: false, ..form }.kernel(rec)?;
        rec.dispatch(key, &buffers, &params, groups)?;
    }
    Ok(())
}

#[cfg(test)]
#[path = "attention_tests.rs"]
pub(super) mod tests;
