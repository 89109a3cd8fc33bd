//! Sorting by digits on software adapters: each invocation takes a run of neighbours, one after the other, and keeps its counts to
//! itself. There a barrier and a load from workgroup memory cost more than all that (ARCHITECTURE.md has what things cost), and
//! an array of an invocation's own is plain memory of its thread; on GPUs it would be far away, and runs would be too few.
//!
//! What moves are pairs of an element (or its key) and its position, so that each is one load and one store.

use super::scan::{Scan, scan};
use super::sort::{ORDER, Order};
use super::{per, source, word};
use crate::DType;
use crate::error::Result;
use crate::gpu::{Buffer, GpuView, Recorder};
use std::ops::Range;

const PAIR: &str = include_str!("../../../shaders/sort_pair.wgsl");
const PAIR_QUADS: &str = include_str!("../../../shaders/sort_pair_quads.wgsl");
const RUN: &str = include_str!("../../../shaders/sort_run.wgsl");
const COUNT: &str = include_str!("../../../shaders/sort_run_count.wgsl");
const SCATTER: &str = include_str!("../../../shaders/sort_run_scatter.wgsl");

/// Four words of a buffer at once: any bits, which floats need not keep.
const FOUR: &str = "alias Four = vec4<u32>;
fn four(q: Four) -> vec4<u32> { return q; }
fn pack_four(v: vec4<u32>) -> Four { return v; }
";
/// The same as two long words, which cost what two words do.
const FOUR_WIDE: &str = concat!(
    include_str!("../../../shaders/lib/quad_wide.wgsl"),
    "alias Four = Quad;
fn four(q: Four) -> vec4<u32> { return bitcast<vec4<u32>>(quad(q)); }
fn pack_four(v: vec4<u32>) -> Four { return pack(bitcast<vec4<f32>>(v)); }
"
);

/// Bits of a digit, at most: llvmpipe compiles for the square of the counts' number, half a second for these.
const DIGIT: u32 = 7;
/// Runs that keep the threads of a large machine busy, and the shortest and longest of them.
const RUNS: usize = 512;
const LEAST: usize = 256;
const MOST: usize = 4096;

/// How the last pass writes: one buffer of positions, or values and their positions.
enum Last<'a> {
    Order(&'a Buffer),
    Sorted { values: &'a GpuView<'a>, indices: &'a GpuView<'a> },
}

/// As `sort::by_digits`.
pub(super) fn by_runs(
    rec: &mut Recorder,
    keys: &Buffer,
    order: Option<&Buffer>,
    size: [usize; 2],
    bits: Range<u32>,
) -> Result<Buffer> {
    let pairs = pairs(rec, (keys, 0), order, size)?;
    let found = rec.alloc(4 * (size[0] * size[1]) as u64)?;
    let by = Order { descending: false, bits, bias: 0 };
    passes(rec, pairs, size, DType::U32, &by, &Last::Order(&found))?;
    Ok(found)
}

/// Sorts whole rows of contiguous elements of 32 bits.
pub(super) fn sort_rows(
    rec: &mut Recorder,
    x: &GpuView,
    values: &GpuView,
    indices: &GpuView,
    size: [usize; 2],
    order: &Order,
) -> Result<()> {
    let pairs = pairs(rec, (x.buffer, x.offset), None, size)?;
    passes(rec, pairs, size, x.dtype, order, &Last::Sorted { values, indices })
}

/// Elements beside their positions in their rows, or beside those given.
fn pairs(
    rec: &mut Recorder,
    (x, offset): (&Buffer, usize),
    order: Option<&Buffer>,
    [rows, n]: [usize; 2],
) -> Result<Buffer> {
    word(2 * rows * n)?;
    let pairs = rec.alloc(8 * (rows * n) as u64)?;
    if order.is_none() && n.is_multiple_of(4) && offset.is_multiple_of(4) {
        let (name, four) = if rec.wide_loads() { ("sort pair wide", FOUR_WIDE) } else { ("sort pair quads", FOUR) };
        let k = rec.kernel(name, || Ok(source(name, &[four, PAIR_QUADS], 1, 1, 4)))?;
        let params = [word(rows * n / 4)?, word(n / 4)?, per(n / 4), word(offset / 4)?];
        rec.dispatch(k, &[x, &pairs], &params, (rows * n / 4).div_ceil(64) as u32)?;
    } else {
        let k = rec.kernel("sort pair", || Ok(source("sort pair", &[PAIR], 2, 1, 5)))?;
        let params = [word(rows * n)?, word(n)?, per(n), u32::from(order.is_some()), word(offset)?];
        rec.dispatch(k, &[x, order.unwrap_or(x), &pairs], &params, (rows * n).div_ceil(64) as u32)?;
    }
    Ok(pairs)
}

fn passes(
    rec: &mut Recorder,
    pairs: Buffer,
    [rows, n]: [usize; 2],
    dtype: DType,
    order: &Order,
    last: &Last,
) -> Result<()> {
    let bits = &order.bits;
    let each = (rows * n).div_ceil(RUNS).clamp(LEAST, MOST);
    let runs = n.div_ceil(each);
    word((rows * runs) << DIGIT)?;
    let passes = (bits.end - bits.start).div_ceil(DIGIT).max(1);
    let spare = if passes > 1 { Some(rec.alloc(8 * (rows * n) as u64)?) } else { None };
    let (mut from, mut to) = (&pairs, spare.as_ref());
    let (kind, key) = match dtype {
        DType::F32 => ("float", "order_f32(x)"),
        _ => ("int", "(x + P.bias)"),
    };
    // asked for where a kernel is made
    let head = || {
        format!(
            "{ORDER}\nconst WT_DIGITS = {}u;\nfn wt_key(x: u32) -> u32 {{ return {key} ^ P.flip; }}\n{RUN}",
            1 << DIGIT
        )
    };
    let counts = 4 * ((rows * runs) << DIGIT) as u64;
    let (count, start) = (rec.alloc(counts)?, rec.alloc(counts)?);
    let groups = (rows * runs).div_ceil(8) as u32;
    for pass in 0..passes {
        // digits of about equal width
        let at = |p: u32| bits.start + (bits.end - bits.start) * p / passes;
        let (shift, width) = (at(pass), at(pass + 1) - at(pass));
        let (mask, flip) = ((1 << width) - 1, order.flip());
        let (values, indices) = match last {
            Last::Order(_) => (0, 0),
            Last::Sorted { values, indices } => (word(values.offset)?, word(indices.offset)?),
        };
        let params = [word(rows)?, word(n)?, word(runs)?, word(each)?, shift, mask, flip, order.bias, values, indices];
        let name = format!("sort run count {kind}");
        let k = rec.kernel(&name, || Ok(source(&name, &[&head(), COUNT], 1, 1, params.len())))?;
        rec.dispatch(k, &[from, &count], &params, groups)?;
        let (shape, strides) = ([rows, runs << width], [runs << width, 1]);
        let counts = |buffer| GpuView { buffer, dtype: DType::U32, offset: 0, shape: &shape, strides: &strides };
        scan(rec, &counts(&count), &counts(&start), 1, Scan { product: false, reverse: false })?;

        let (what, out, outs) = match (to.filter(|_| pass + 1 < passes), last) {
            (Some(to), _) => ("pairs", PAIRS_OUT, vec![to]),
            (None, Last::Order(to)) => ("order", ORDER_OUT, vec![*to]),
            (None, Last::Sorted { values, indices }) => ("sorted", SORTED_OUT, vec![values.buffer, indices.buffer]),
        };
        let name = format!("sort run {what} {kind}");
        let k = rec.kernel(&name, || Ok(source(&name, &[&head(), out, SCATTER], 2, outs.len(), params.len())))?;
        let buffers: Vec<&Buffer> = [from, &start].into_iter().chain(outs).collect();
        rec.dispatch(k, &buffers, &params, groups)?;
        (from, to) = (to.unwrap_or(from), Some(from));
    }
    Ok(())
}

const PAIRS_OUT: &str = "@group(0) @binding(3) var<storage, read_write> OUT: array<vec2<u32>>;
fn wt_put(to: u32, pair: vec2<u32>) { OUT[to] = pair; }
";
const ORDER_OUT: &str = "@group(0) @binding(3) var<storage, read_write> OUT: array<u32>;
fn wt_put(to: u32, pair: vec2<u32>) { OUT[to] = pair.y; }
";
const SORTED_OUT: &str = "@group(0) @binding(3) var<storage, read_write> VALUES: array<u32>;
@group(0) @binding(4) var<storage, read_write> INDICES: array<vec2<u32>>;
fn wt_put(to: u32, pair: vec2<u32>) {
    VALUES[P.values + to] = pair.x;
    INDICES[P.indices + to] = vec2<u32>(pair.y, 0u);
}
";
