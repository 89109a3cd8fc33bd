//! Matrix products: one pipeline for all layouts, with bias, scaling and relu folded in.
//!
//! NOTE [Two cores]: `matmul_tile.wgsl` shares panels through workgroup memory, as GPUs want it. On a software adapter a
//! load by eight lanes costs a hundred times what a multiplication does, so `matmul_wave.wgsl` loads every element
//! once per subgroup, in long words where there are such, and broadcasts it. Which one runs depends on the adapter alone (and
//! on `WGTORCH_KERNELS`), its tile on the sizes. Products and convolutions are the same cores over other operands: each
//! operand file says how quads are loaded one by one (`_quads`, for the wave) and how blocks are, all at once (`_blocks`).
//! Where both matrices are contiguous one way or the other the wave has a core without branches for each way of lying (`matmul_whole.rs`), and
//! GPUs have one for few rows or columns (`matmul_thin.rs`). `matmul_pick.rs` is the table of what is taken where.

use super::matmul_pick::{self, Kind, Shape, THIN};
use super::{XYZW, matmul_thin, matmul_whole, need_f32, quad, source, word};
use crate::error::{Result, ensure};
use crate::gpu::{Buffer, GpuView, KernelId, KernelSource, Recorder, Variant, tuner};
use crate::layout::collapse;
use crate::shape::Dims;
use std::fmt::Write;

/// What happens to a product on its way to memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Act {
    /// Nothing.
    #[default]
    None,
    /// Negative values become 0.
    Relu,
}

/// `act(alpha * (a @ b) + beta * bias)`, folded into the product's only dispatch.
#[derive(Clone, Copy, Debug)]
pub struct Epilogue<'a> {
    /// Added after the product; expanded by its strides to the output's shape.
    pub bias: Option<GpuView<'a>>,
    /// Factor of the product.
    pub alpha: f32,
    /// Factor of the bias; with 0 the bias is not read.
    pub beta: f32,
    /// Applied last.
    pub act: Act,
}

impl Default for Epilogue<'_> {
    fn default() -> Self {
        Epilogue { bias: None, alpha: 1.0, beta: 1.0, act: Act::None }
    }
}

impl<'a> Epilogue<'a> {
    /// The bias, where it is read.
    fn read(&self) -> Option<&GpuView<'a>> {
        self.bias.as_ref().filter(|_| self.beta != 0.0)
    }
}

const ADD_BIAS: u32 = 1;
const RELU: u32 = 2;
const PARTIAL: u32 = 4;
const TURNED: u32 = 8;

impl Act {
    pub(super) fn flag(self) -> u32 {
        match self {
            Act::None => 0,
            Act::Relu => RELU,
        }
    }
}

/// The text of a product's operands: parameters and bindings, then how either core loads and stores.
#[derive(Clone, Copy)]
pub(super) struct Operands {
    pub base: &'static str,
    pub quads: &'static str,
    pub blocks: &'static str,
    /// Buffers that are read.
    pub read: usize,
}

/// Which core computes: see NOTE [Two cores].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Core {
    /// A square of so many rows (64 or 128) through workgroup memory.
    Tile(u32),
    /// So many rows (16 or 32) x 32 by one subgroup of eight.
    Wave(u32),
    /// So many rows (4, 8, 16 or 32) x 32 by one subgroup of eight, over whole quads.
    Whole(u32),
    /// At most so many rows by so many quads of columns, with slices of the depth in a workgroup.
    Thin { rows: u32, quads: u32 },
}

impl Core {
    /// Rows and columns of a tile, and the depth of a step.
    fn shape(self) -> (usize, usize, usize) {
        match self {
            Core::Tile(side) => (side as usize, side as usize, 16),
            Core::Wave(rows) | Core::Whole(rows) => (rows as usize, 32, 4),
            Core::Thin { rows, quads } => (rows as usize, 4 * quads as usize, 4 * THIN / quads as usize),
        }
    }

    pub(super) fn name(self) -> String {
        match self {
            Core::Tile(side) => format!("tile{side}"),
            Core::Wave(rows) => format!("wave{rows}"),
            Core::Whole(rows) => format!("whole{rows}"),
            Core::Thin { rows: 1, .. } => "gemv".into(),
            Core::Thin { rows, .. } => format!("thin{rows}"),
        }
    }

    /// The accumulators of a tile and what works on them, written out: they have to stay in registers.
    pub(super) fn accumulating(self, multiply: &str) -> String {
        let mut s = String::from(include_str!("../../../shaders/lib/quads.wgsl"));
        let n = match self {
            Core::Tile(side) => side as usize / 8,
            _ => self.shape().0,
        };
        s.push_str(&accumulators(n, "next_row"));
        let each = |s: &mut String, head: &str, line: &dyn Fn(usize) -> String, tail: &str| {
            s.push_str(head);
            for i in 0..n {
                s.push_str(&line(i));
            }
            s.push_str(tail);
        };
        match self {
            Core::Tile(side) => {
                let quads = side / 4;
                let mut head = format!(
                    "const SIDE: u32 = {quads}u;
fn {multiply}(a: u32, b: u32) {{
    let a0 = a_panel[a];
    let a1 = a_panel[a + SIDE / 2u];\n"
                );
                for h in 0..quads / 16 {
                    let _ = writeln!(head, "    let b{h} = b_panel[b + {}u];", 16 * h);
                }
                let line = |i: usize| format!("    c{i} += a{}.{} * b{};\n", i % 8 / 4, XYZW[i % 4], i / 8);
                each(&mut s, &head, &line, "}\n");
            }
            _ => {
                // a lane's rows end at the block's last quad
                let own = n.div_ceil(8);
                let line = |r: usize| {
                    let (quad, lane) = (XYZW[4 - own + r % own], r / own);
                    let term = |k: &str| format!("    c{r} += subgroupBroadcast(a.{quad}.{k}, {lane}u) * b.{k};\n");
                    XYZW.map(term).concat()
                };
                each(&mut s, &format!("fn {multiply}(a: Block, b: Block) {{\n"), &line, "}\n");
            }
        }
        s
    }

    /// The core's WGSL.
    fn wgsl(self) -> String {
        match self {
            Core::Tile(_) => self.accumulating("multiply") + include_str!("../../../shaders/lib/as_loaded.wgsl") + TILE,
            Core::Thin { rows, .. } => matmul_thin::wgsl(rows),
            Core::Wave(_) | Core::Whole(_) => {
                let rows = format!("const ROWS: u32 = {}u;\n", self.shape().0);
                self.accumulating("multiply") + &rows + include_str!("../../../shaders/matmul_wave.wgsl")
            }
        }
    }

    /// The kernel of this core over some operands.
    pub fn kernel(self, rec: &mut Recorder, name: &str, operands: &Operands, param_words: usize) -> Result<KernelId> {
        let name = format!("{name} {}", self.name());
        let wide = rec.wide_loads();
        rec.kernel(&name, || Ok(self.source(&name, operands, param_words, wide)))
    }

    pub(super) fn source(self, name: &str, operands: &Operands, param_words: usize, wide: bool) -> KernelSource {
        let loads = match self {
            Core::Tile(_) | Core::Thin { .. } => operands.blocks,
            Core::Wave(_) | Core::Whole(_) => operands.quads,
        };
        source(name, &[quad(wide), operands.base, loads, &self.wgsl()], operands.read, 1, param_words)
    }
}

/// So many accumulators c0, c1 .. as variables of their own, clear(), and a function that takes the first and moves the rest
/// up: storing them in a loop that way keeps the code small and them out of memory.
pub(super) fn accumulators(n: usize, next: &str) -> String {
    let mut s = String::new();
    // writing to a String cannot fail
    for i in 0..n {
        let _ = writeln!(s, "var<private> c{i}: vec4<f32>;");
    }
    s.push_str("fn clear() {\n");
    for i in 0..n {
        let _ = writeln!(s, "    c{i} = vec4<f32>();");
    }
    let _ = writeln!(s, "}}\nfn {next}() -> vec4<f32> {{\n    let first = c0;");
    for i in 1..n {
        let _ = writeln!(s, "    c{} = c{i};", i - 1);
    }
    s.push_str("    return first;\n}\n");
    s
}

/// How a product of `rows x depth` by `depth x cols` is cut: the head of every product's parameters.
pub(super) struct Plan {
    pub splits: usize,
    pub tiles: usize,
    /// rows, cols, depth, chunk, splits, tiles_x, tiles_y, tiles, a_quads
    pub head: [u32; 9],
}

impl Plan {
    /// Splits the depth where the output alone gives too few workgroups to fill the device.
    pub fn new(core: Core, sizes: [usize; 3], batch: usize) -> Result<Plan> {
        Plan::beyond(core, sizes, batch, [0; 2])
    }

    /// The same where rows, or columns, that are too many by a few go along with the last tile.
    fn beyond(core: Core, [rows, cols, depth]: [usize; 3], batch: usize, beyond: [u32; 2]) -> Result<Plan> {
        let (tile_rows, tile_cols, step) = core.shape();
        let tiles = |n: usize, tile: usize, more: u32| n.div_ceil(tile) - usize::from(more > 0);
        let (tiles_x, tiles_y) = (tiles(cols, tile_cols, beyond[1]), tiles(rows, tile_rows, beyond[0]));
        let tiles = tiles_x * tiles_y * batch;
        let (wanted, least) = match core {
            // a workgroup for each pair of schedulers of a large device; less depth does not pay for the second pass
            Core::Tile(_) => (256, 128),
            Core::Wave(_) | Core::Whole(_) => (8, 256),
            // reads in flight count; a slice takes two steps or more, and parts are at most a quarter of what is read
            Core::Thin { rows, quads } => (512, 8 * rows.max(THIN as u32 / quads) as usize),
        };
        let splits = (wanted / tiles.max(1)).min(depth / least).max(1);
        let chunk = depth.div_ceil(splits).next_multiple_of(step).max(step);
        let splits = depth.div_ceil(chunk).max(1);
        let quads = match core {
            Core::Wave(rows) => rows / 8,
            _ => 4,
        };
        let tiles = tiles * splits;
        word(rows * cols * batch * splits)?;
        let head = [
            word(rows)?,
            word(cols)?,
            word(depth)?,
            word(chunk)?,
            word(splits)?,
            word(tiles_x)?,
            word(tiles_y)?,
            word(tiles)?,
            quads,
        ];
        Ok(Plan { splits, tiles, head })
    }

    /// Takes the depth in one go: for results that are not partial sums.
    pub fn whole(&mut self) {
        self.tiles /= self.splits;
        self.splits = 1;
        // chunk, splits, tiles
        (self.head[3], self.head[4], self.head[7]) = (self.head[2].next_multiple_of(16).max(16), 1, self.tiles as u32);
    }
}

/// The parameters of the second pass.
pub(super) struct Sum<'a> {
    pub parts: &'a Buffer,
    pub splits: usize,
    /// Elements of a batch's result, columns of a row, all elements.
    pub size: usize,
    pub cols: usize,
    pub total: usize,
    pub flags: u32,
    pub alpha: f32,
    pub beta: f32,
    /// Buffer, offset, row, col and batch strides.
    pub bias: (&'a Buffer, [u32; 6]),
    pub batch: [u32; 2],
}

impl Sum<'_> {
    /// The words that the pass takes, for a result that begins at an offset.
    pub fn params(&self, out_offset: usize) -> Result<[u32; 16]> {
        let b = self.bias.1;
        Ok([
            word(self.total)?,
            word(self.splits)?,
            word(self.size)?,
            word(self.cols)?,
            self.batch[0],
            self.batch[1],
            b[0],
            b[1],
            b[2],
            b[3],
            b[4],
            b[5],
            self.flags,
            self.alpha.to_bits(),
            self.beta.to_bits(),
            word(out_offset)?,
        ])
    }
}

/// Adds up the parts of a split product, in order.
pub(super) fn sum_parts(rec: &mut Recorder, s: &Sum, out: &Buffer, out_offset: usize) -> Result<()> {
    let plain = include_str!("../../../shaders/lib/sum_plain.wgsl");
    let k = rec.kernel("matmul sum", || Ok(source("matmul sum", &[SUM_PARAMS, plain, SUM], 2, 1, 16)))?;
    rec.dispatch(k, &[s.parts, s.bias.0, out], &s.params(out_offset)?, s.total.div_ceil(64) as u32)
}

/// How an operand's quads lie: along the depth (1) or across it (2), and whether they can be loaded whole. `sizes` and
/// `strides` are (across, depth); quads are loaded whole where every one of them lies inside and is aligned.
pub(super) fn quads(offset: usize, sizes: [usize; 2], strides: [usize; 2], batches: &[usize]) -> (u32, u32) {
    let along = |a: usize, b: usize| {
        strides[a] == 1
            && sizes[a].is_multiple_of(4)
            && offset.is_multiple_of(4)
            && (strides[b].is_multiple_of(4) || sizes[b] == 1)
            && batches.iter().all(|s| s.is_multiple_of(4))
    };
    if along(1, 0) {
        (1, 0)
    } else if along(0, 1) {
        (2, 0)
    } else {
        (if strides[0] < strides[1] { 2 } else { 1 }, 4)
    }
}

/// The parameters of the second pass.
pub(super) const SUM_PARAMS: &str = include_str!("../../../shaders/lib/sum_params.wgsl");
/// The second pass; `as_was()` is declared elsewhere.
pub(super) const SUM: &str = include_str!("../../../shaders/matmul_sum.wgsl");
/// The parameters of products.
pub(super) const PARAMS: &str = include_str!("../../../shaders/matmul.wgsl");
/// [`PARAMS`] and the bindings of float32; `Out`, what the output's array is of, is declared elsewhere.
pub(super) const BASE: &str =
    concat!(include_str!("../../../shaders/matmul.wgsl"), include_str!("../../../shaders/matmul_buffers.wgsl"));
/// The core through workgroup memory.
pub(super) const TILE: &str = include_str!("../../../shaders/matmul_tile.wgsl");
/// How four neighbours are stored one by one.
pub(super) const PUT: &str = include_str!("../../../shaders/matmul_put.wgsl");

const OPERANDS: Operands = Operands {
    base: concat!(
        "alias Out = f32;\nfn aim(col: u32) {}\n",
        include_str!("../../../shaders/matmul.wgsl"),
        include_str!("../../../shaders/matmul_buffers.wgsl")
    ),
    quads: concat!(
        include_str!("../../../shaders/matmul_quads.wgsl"),
        include_str!("../../../shaders/matmul_put.wgsl")
    ),
    blocks: include_str!("../../../shaders/matmul_blocks.wgsl"),
    read: 5,
};

/// `out = act(alpha * (a @ b) + beta * bias)` for `[.., M, K] x [.., K, N]` with equal (or expanded, by stride 0) batch
/// dims. `a`, `b` and the bias have any strides; `out` is row-major and shares no memory with them.
pub fn matmul(rec: &mut Recorder, a: &GpuView, b: &GpuView, out: &GpuView, epi: &Epilogue) -> Result<()> {
    matmul_as(rec, rec.variant(), a, b, out, epi)
}

fn matmul_as(
    rec: &mut Recorder,
    wanted: Variant,
    a: &GpuView,
    b: &GpuView,
    out: &GpuView,
    epi: &Epilogue,
) -> Result<()> {
    need_f32("matmul", &[a, b, out])?;
    if let Some(bias) = epi.read() {
        need_f32("matmul", &[bias])?;
    }
    Product::each(a, b, out, epi, |one| one.record(rec, wanted, epi))
}

/// Strides of three batch dims. A single batch has none: `collapse` gives it a dim of size 1 and a stride that nobody takes,
/// which must not decide whether quads are aligned.
pub(super) fn batch_strides(dims: &[usize], strides: &[usize]) -> [usize; 3] {
    let mut s = [0; 3];
    for (s, (&n, &stride)) in s[3 - dims.len()..].iter_mut().zip(dims.iter().zip(strides)) {
        *s = if n == 1 { 0 } else { stride };
    }
    s
}

/// Where in the parameters `quads` of matmul.wgsl is.
const QUADS_WORD: usize = 15;

/// Buffer, offset, row and column stride, batch strides.
pub(super) type Operand<'a> = (&'a Buffer, usize, [usize; 2], [usize; 3]);

/// One dispatch's product.
pub(super) struct Product<'a> {
    pub m: usize,
    pub n: usize,
    pub k: usize,
    pub batch: [usize; 3],
    pub a: Operand<'a>,
    pub b: Operand<'a>,
    pub bias: Option<Operand<'a>>,
    pub out: (&'a Buffer, usize),
    /// Rows are the columns of what is written.
    pub turned: bool,
}

/// The same operand with rows and columns exchanged.
fn turn<'a>((buffer, offset, [row, col], batch): Operand<'a>) -> Operand<'a> {
    (buffer, offset, [col, row], batch)
}

impl<'a> Product<'a> {
    /// Calls `f` with each product that a dispatch can do: three batch dims go to the kernel, further ones become dispatches.
    pub fn each(
        a: &GpuView<'a>,
        b: &GpuView<'a>,
        out: &GpuView<'a>,
        epi: &Epilogue<'a>,
        mut f: impl FnMut(&Product) -> Result<()>,
    ) -> Result<()> {
        let bias = epi.read();
        let nd = out.shape.len();
        let fits = nd >= 2
            && a.shape.len() == nd
            && b.shape.len() == nd
            && a.shape[..nd - 2] == out.shape[..nd - 2]
            && b.shape[..nd - 2] == out.shape[..nd - 2]
            && a.shape[nd - 2] == out.shape[nd - 2]
            && a.shape[nd - 1] == b.shape[nd - 2]
            && b.shape[nd - 1] == out.shape[nd - 1]
            && bias.is_none_or(|c| c.shape == out.shape)
            && out.is_contiguous();
        ensure!(
            fits,
            Runtime,
            "matmul kernel: {:?} x {:?} does not make a row-major {:?}",
            a.shape,
            b.shape,
            out.shape
        );
        let (m, n, k) = (out.shape[nd - 2], out.shape[nd - 1], a.shape[nd - 1]);
        let none = Dims::from_elem(0, nd);
        let bias_strides = bias.map_or(&none[..], |c| c.strides);
        let (dims, strides) = collapse(
            &out.shape[..nd - 2],
            &[&a.strides[..nd - 2], &b.strides[..nd - 2], &bias_strides[..nd - 2], &out.strides[..nd - 2]],
        );
        let outer = dims.len().saturating_sub(3);
        let mut at: Dims = Dims::from_elem(0, outer);
        if out.numel() == 0 {
            return Ok(());
        }
        loop {
            let step = |op: usize| (0..outer).map(|d| at[d] * strides[op][d]).sum::<usize>();
            let inner = |op: usize| batch_strides(&dims[outer..], &strides[op][outer..]);
            let mut batch = [1; 3];
            batch[3 - (dims.len() - outer)..].copy_from_slice(&dims[outer..]);
            f(&Product {
                m,
                n,
                k,
                batch,
                a: (a.buffer, a.offset + step(0), [a.strides[nd - 2], a.strides[nd - 1]], inner(0)),
                b: (b.buffer, b.offset + step(1), [b.strides[nd - 2], b.strides[nd - 1]], inner(1)),
                bias: bias.map(|c| (c.buffer, c.offset + step(2), [c.strides[nd - 2], c.strides[nd - 1]], inner(2))),
                out: (out.buffer, out.offset + step(3)),
                turned: false,
            })?;
            let mut d = outer;
            loop {
                if d == 0 {
                    return Ok(());
                }
                d -= 1;
                at[d] += 1;
                if at[d] < dims[d] {
                    break;
                }
                at[d] = 0;
            }
        }
    }

    /// The epilogue's flags.
    pub fn flags(&self, epi: &Epilogue) -> u32 {
        epi.act.flag() | if self.bias.is_some() { ADD_BIAS } else { 0 }
    }

    /// How a's and b's quads lie: see [`quads`].
    pub fn quads(&self) -> [(u32, u32); 2] {
        let b_strides = [self.b.2[1], self.b.2[0]];
        [
            quads(self.a.1, [self.m, self.k], self.a.2, &self.a.3),
            quads(self.b.1, [self.n, self.k], b_strides, &self.b.3),
        ]
    }

    /// The words of a kernel over these operands, cut as `head` says, whose quads lie so: of one that stores partial sums, or results.
    /// That of [`QUADS_WORD`] is for who has it.
    pub fn params(&self, head: &[u32; 9], partial: bool, [a, b]: [(u32, u32); 2], epi: &Epilogue) -> Result<Vec<u32>> {
        let matrix = |o: &Operand, (kind, single): (u32, u32)| -> Result<[u32; 8]> {
            let [b0, b1, b2] = o.3;
            Ok([word(o.1)?, word(o.2[0])?, word(o.2[1])?, word(b0)?, word(b1)?, word(b2)?, kind, single])
        };
        let mut params = head.to_vec();
        params.extend([word(self.batch[1])?, word(self.batch[2])?]);
        params.push(if partial { PARTIAL } else { self.flags(epi) } | if self.turned { TURNED } else { 0 });
        params.extend([epi.alpha.to_bits(), epi.beta.to_bits()]);
        params.extend([if partial { 0 } else { word(self.out.1)? }, 0]);
        params.extend(matrix(&self.a, a)?);
        params.extend(matrix(&self.b, b)?);
        params.extend(matrix(&self.added(), (0, 0))?);
        Ok(params)
    }

    /// The bias; what is not there is bound to something that is.
    pub fn added(&self) -> Operand<'a> {
        self.bias.unwrap_or((self.a.0, 0, [0; 2], [0; 3]))
    }

    /// The second pass over a split product's parts.
    pub fn sum<'s>(&'s self, parts: &'s Buffer, splits: usize, epi: &Epilogue) -> Result<Sum<'s>> {
        let (size, bias) = (self.m * self.n, self.added());
        // the parts lie as the result does
        let (row, col) = if self.turned { (1, 0) } else { (0, 1) };
        let words = [bias.1, bias.2[row], bias.2[col], bias.3[0], bias.3[1], bias.3[2]];
        let mut b = [0; 6];
        for (b, n) in b.iter_mut().zip(words) {
            *b = word(n)?;
        }
        Ok(Sum {
            parts,
            splits,
            size,
            cols: if self.turned { self.m } else { self.n },
            total: self.batch.iter().product::<usize>() * size,
            flags: self.flags(epi),
            alpha: epi.alpha,
            beta: epi.beta,
            bias: (bias.0, b),
            batch: [word(self.batch[1])?, word(self.batch[2])?],
        })
    }

    fn record(&self, rec: &mut Recorder, wanted: Variant, epi: &Epilogue) -> Result<()> {
        let Product { m, n, k, .. } = *self;
        let [(a_kind, a_single), (b_kind, b_single)] = self.quads();
        let shape = Shape {
            m,
            n,
            k,
            batch: self.batch.iter().product(),
            a_deep: a_kind == 1,
            b_deep: b_kind == 1,
            lined: self.a.2[if a_kind == 1 { 1 } else { 0 }] == 1 && self.b.2[if b_kind == 1 { 0 } else { 1 }] == 1,
            whole: a_single + b_single == 0,
        };
        let kind = Kind::of(rec);
        let tuned = if tuner::on() && wanted == Variant::Auto {
            let able = matmul_pick::all(kind, &shape);
            tuner::choose(rec, &shape.class(), &able, |rec, v| self.run_as(rec, v, &shape, epi))?
        } else {
            None
        };
        let variant = tuned.unwrap_or_else(|| matmul_pick::pick(kind, wanted, &shape));
        self.run_as(rec, variant, &shape, epi)
    }

    fn run_as(&self, rec: &mut Recorder, variant: Variant, shape: &Shape, epi: &Epilogue) -> Result<()> {
        let (core, turned) = matmul_pick::core(variant, shape);
        if turned {
            let (m, n, bias) = (self.n, self.m, self.bias.map(turn));
            return Product { m, n, a: turn(self.b), b: turn(self.a), bias, turned, ..*self }.run(rec, core, epi);
        }
        self.run(rec, core, epi)
    }

    fn run(&self, rec: &mut Recorder, core: Core, epi: &Epilogue) -> Result<()> {
        let Product { m, n, k, turned, .. } = *self;
        let batch: usize = self.batch.iter().product();
        let beyond = if core == Core::Whole(32) { matmul_whole::beyond(m, n) } else { [0; 2] };
        let plan = Plan::beyond(core, [m, n, k], batch, beyond)?;
        let split = plan.splits > 1;
        let lie @ [(a_kind, a_single), (b_kind, b_single)] = self.quads();
        let mut params = self.params(&plan.head, split, lie, epi)?;
        if let Core::Thin { quads, .. } = core {
            params[QUADS_WORD] = quads;
        }
        let kernel = match core {
            Core::Whole(rows) => {
                let start = if split { 0 } else { self.out.1 };
                let lies = matmul_whole::Lies {
                    a_along_rows: a_kind == 2,
                    b_along_depth: b_kind == 1,
                    out_by_quads: n.is_multiple_of(4) && start.is_multiple_of(4) && !(turned && m > 1),
                    rows,
                    ragged: [a_single > 0, b_single > 0],
                    beyond,
                };
                matmul_whole::kernel(rec, lies, params.len())?
            }
            core => core.kernel(rec, "matmul", &OPERANDS, params.len())?,
        };
        let parts = if split { Some(rec.alloc((4 * plan.splits * batch * m * n) as u64)?) } else { None };
        let out = parts.as_ref().unwrap_or(self.out.0);
        let bias = if split { self.a.0 } else { self.added().0 };
        rec.dispatch(kernel, &[self.a.0, self.a.0, self.b.0, self.b.0, bias, out], &params, plan.tiles as u32)?;
        if let Some(parts) = &parts {
            sum_parts(rec, &self.sum(parts, plan.splits, epi)?, self.out.0, self.out.1)?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "matmul_tests.rs"]
pub(super) mod tests;
