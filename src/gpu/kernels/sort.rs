//! Stable sorting along any dim of contiguous tensors, by keys that are unsigned numbers in the order of the values.
//!
//! Short rows are ranked, each element by itself; rows that fit in a workgroup's memory go through a bitonic network over keys and
//! positions; longer ones are sorted digit by digit, the lowest first: by tiles here, on software adapters by runs (`sort_runs.rs`).
//! Counting is in integers, and every element has one place, so that a run gives the same result every time.

use super::scan::{Scan, scan};
use super::softmax::around;
use super::sort_runs::{by_runs, sort_rows};
use super::{need_dense, per, source, word};
use crate::DType;
use crate::error::{Result, bail, ensure};
use crate::gpu::{Buffer, GpuView, KernelSource, Recorder};
use std::ops::Range;

pub(super) const ORDER: &str = include_str!("../../../shaders/lib/order.wgsl");
const KEYS: &str = include_str!("../../../shaders/sort_keys.wgsl");
const COUNT: &str = include_str!("../../../shaders/sort_count.wgsl");
const SCATTER: &str = include_str!("../../../shaders/sort_scatter.wgsl");
const TAKE: &str = include_str!("../../../shaders/sort_take.wgsl");
const RANK: &str = include_str!("../../../shaders/sort_rank.wgsl");
const BLOCK: &str = include_str!("../../../shaders/sort_block.wgsl");

/// The longest row whose elements are ranked by comparing all with all.
const RANKED: usize = 64;
/// The longest row that a workgroup sorts in its memory.
const IN_BLOCK: usize = 1024;
/// Bits of a digit, at most.
const DIGIT: u32 = 6;

/// What is sorted by.
#[derive(Clone, Debug)]
pub struct Order {
    /// The greatest first.
    pub descending: bool,
    /// Bits of the keys that can differ: fewer for what was widened.
    pub bits: Range<u32>,
    /// Added to integers of 32 bits, so that the least of their values is 0.
    pub bias: u32,
}

impl Order {
    /// For values of a dtype that lie in memory as they are or, if they are smaller, as int32 or float32.
    pub fn of(dtype: DType, descending: bool) -> Order {
        let (bits, bias) = match dtype {
            DType::Bool => (0..1, 0),
            DType::U8 => (0..8, 0),
            DType::I8 => (0..8, 1 << 7),
            DType::I16 => (0..16, 1 << 15),
            DType::I32 => (0..32, 1 << 31),
            DType::U32 | DType::F32 => (0..32, 0),
            // the low bits of a widened float are its sign, as the bits above are
            DType::F16 => (13..32, 0),
            DType::BF16 => (16..32, 0),
            DType::I64 | DType::F64 => (0..64, 0),
            DType::C64 | DType::C128 => unreachable!("complex numbers have no order: the op refuses them"),
        };
        Order { descending, bits, bias }
    }

    pub(super) fn flip(&self) -> u32 {
        if self.descending { u32::MAX } else { 0 }
    }
}

/// What reads keys of a dtype.
fn keyed(dtype: DType) -> Result<String> {
    let key = match dtype {
        DType::F32 => "vec2<u32>(order_f32(X[at]), 0u)",
        DType::I32 | DType::U32 => "vec2<u32>(X[at] + P.bias, 0u)",
        DType::I64 => "vec2<u32>(X[2u * at], X[2u * at + 1u] ^ 0x80000000u)",
        DType::F64 => "order_f64(vec2<u32>(X[2u * at], X[2u * at + 1u]))",
        d => bail!(NotImplemented, "\"sort\" not implemented for '{}'", d.scalar_name()),
    };
    let words = dtype.size() / 4;
    let high = if words == 2 { IN_BLOCK } else { 1 };
    Ok(format!(
        "{ORDER}\nconst WT_WORDS = {words}u;\nconst WT_HIGH = {high}u;\nfn wt_key(at: u32) -> vec2<u32> {{ return {key}; }}"
    ))
}

fn key_kernel(label: &str, dtype: DType, body: &str, buffers: [usize; 2], words: usize) -> Result<KernelSource> {
    Ok(source(label, &[&keyed(dtype)?, body], buffers[0], buffers[1], words))
}

/// The first elements of each row along `dim` in order, with the positions that they had: `values` and `indices` may be shorter
/// than `x` along the dim. Elements of 32 and 64 bits.
pub fn sort(
    rec: &mut Recorder,
    x: &GpuView,
    values: &GpuView,
    indices: &GpuView,
    dim: usize,
    order: &Order,
) -> Result<()> {
    need_dense("sort", &[x, values, indices])?;
    let [outer, n, inner] = around(x.shape, dim)?;
    let [_, kept, _] = around(values.shape, dim)?;
    ensure!(
        values.dtype == x.dtype
            && indices.dtype == DType::I64
            && kept <= n
            && values.numel() == outer * kept * inner
            && indices.numel() == values.numel(),
        Runtime,
        "sort kernel: {:?} along {dim} into {:?} and {:?}",
        x.shape,
        values.shape,
        indices.shape
    );
    if values.numel() == 0 {
        return Ok(());
    }
    let words = x.dtype.size() / 4;
    word(x.numel() * words)?;
    let rows = outer * inner;
    let outs = [word(n)?, word(kept)?, word(inner)?, word(x.offset)?, word(values.offset)?, word(indices.offset)?];
    let buffers = [x.buffer, values.buffer, indices.buffer];
    let own = |count: usize| -> Result<Vec<u32>> {
        let head = [word(count)?];
        Ok(head.into_iter().chain(outs).chain([order.flip(), order.bias]).collect())
    };
    if n <= RANKED {
        let make = || key_kernel("sort rank", x.dtype, RANK, [1, 2], 9);
        let k = rec.kernel(&format!("sort rank {}", x.dtype), make)?;
        return rec.dispatch(k, &buffers, &own(rows * n)?, (rows * n).div_ceil(64) as u32);
    }
    if n <= IN_BLOCK {
        let make = || key_kernel("sort block", x.dtype, BLOCK, [1, 2], 10);
        let k = rec.kernel(&format!("sort block {}", x.dtype), make)?;
        let mut params = own(rows)?;
        params.push(word(n.next_power_of_two())?);
        return rec.dispatch(k, &buffers, &params, rows as u32);
    }
    if runs(rec) && words == 1 && inner == 1 && kept == n {
        return sort_rows(rec, x, values, indices, [rows, n], order);
    }
    let mut found: Option<Buffer> = None;
    for w in 0..words as u32 {
        let bits = order.bits.start.max(32 * w)..order.bits.end.min(32 * (w + 1));
        let keys = rec.alloc(4 * (rows * n) as u64)?;
        let make = || key_kernel("sort keys", x.dtype, KEYS, [2, 1], 9);
        let k = rec.kernel(&format!("sort keys {}", x.dtype), make)?;
        let flags = w | u32::from(found.is_some()) << 1;
        let params = [word(rows * n)?, outs[0], outs[2], outs[3], flags, order.flip(), order.bias, per(n), per(inner)];
        let by = found.as_ref().unwrap_or(x.buffer);
        rec.dispatch(k, &[x.buffer, by, &keys], &params, (rows * n).div_ceil(64) as u32)?;
        found = Some(by_digits(rec, keys, found, [rows, n], bits.start - 32 * w..bits.end - 32 * w)?);
    }
    let Some(found) = found else { bail!(Runtime, "sort kernel: elements of {words} words") };
    let make = || Ok(source("sort take", &[&format!("const WT_WORDS = {words}u;"), TAKE], 2, 2, 9));
    let k = rec.kernel(&format!("sort take {words}"), make)?;
    let count = values.numel();
    let params: Vec<u32> = [word(count)?].into_iter().chain(outs).chain([per(inner), per(kept)]).collect();
    rec.dispatch(k, &[x.buffer, &found, values.buffer, indices.buffer], &params, count.div_ceil(64) as u32)
}

/// Whether digits are sorted by runs.
fn runs(rec: &Recorder) -> bool {
    rec.software() && !rec.variant().is_tile()
}

/// The positions of the keys of each row in their order by some of their bits, equal ones as they were; `order` has the keys'
/// positions if these are not 0, 1 ….
pub(super) fn by_digits(
    rec: &mut Recorder,
    keys: Buffer,
    order: Option<Buffer>,
    size: [usize; 2],
    bits: Range<u32>,
) -> Result<Buffer> {
    match runs(rec) {
        true => by_runs(rec, &keys, order.as_ref(), size, bits),
        false => by_tiles(rec, keys, order, size, bits),
    }
}

/// The same for GPUs: counts are shared in workgroup memory.
pub(in crate::gpu) fn by_tiles(
    rec: &mut Recorder,
    keys: Buffer,
    order: Option<Buffer>,
    [rows, n]: [usize; 2],
    bits: Range<u32>,
) -> Result<Buffer> {
    let each = if n <= 1 << 22 { 16 } else { 64 };
    let tiles = n.div_ceil(64 * each);
    word(64 * rows * tiles)?;
    let passes = (bits.end - bits.start).div_ceil(DIGIT).max(1);
    let bytes = 4 * (rows * n) as u64;
    let (mut keys, mut order) = (keys, order);
    let (mut new_keys, mut new_order) = (rec.alloc(bytes)?, rec.alloc(bytes)?);
    let (count, start) = (rec.alloc(256 * (rows * tiles) as u64)?, rec.alloc(256 * (rows * tiles) as u64)?);
    let (shape, strides) = ([rows, 64 * tiles], [64 * tiles, 1]);
    let counts = |buffer| GpuView { buffer, dtype: DType::U32, offset: 0, shape: &shape, strides: &strides };
    let make = |body: &'static str, label: &'static str, buffers: [usize; 2]| {
        move || {
            let text = format!("const WT_EACH = {each}u;");
            Ok(source(label, &[&text, body], buffers[0], buffers[1], 6))
        }
    };
    let groups = (rows * tiles) as u32;
    for pass in 0..passes {
        // digits of about equal width
        let at = |p: u32| bits.start + (bits.end - bits.start) * p / passes;
        let (shift, mask) = (at(pass), (1 << (at(pass + 1) - at(pass))) - 1);
        let head = [word(rows)?, word(n)?, word(tiles)?, shift, mask];
        let k = rec.kernel(&format!("sort count {each}"), make(COUNT, "sort count", [1, 1]))?;
        rec.dispatch(k, &[&keys, &count], &head, groups)?;
        scan(rec, &counts(&count), &counts(&start), 1, Scan { product: false, reverse: false })?;
        let k = rec.kernel(&format!("sort scatter {each}"), make(SCATTER, "sort scatter", [3, 2]))?;
        let flags = u32::from(order.is_none()) | u32::from(pass + 1 == passes) << 1;
        let mut params = head.to_vec();
        params.push(flags);
        let from = order.as_ref().unwrap_or(&keys);
        rec.dispatch(k, &[&keys, from, &start, &new_keys, &new_order], &params, groups)?;
        std::mem::swap(&mut keys, &mut new_keys);
        let spare = match order.replace(new_order) {
            Some(b) => b,
            None => rec.alloc(bytes)?,
        };
        new_order = spare;
    }
    match order {
        Some(order) => Ok(order),
        None => unreachable!("there is a pass"),
    }
}

#[cfg(test)]
#[path = "sort_tests.rs"]
mod tests;
