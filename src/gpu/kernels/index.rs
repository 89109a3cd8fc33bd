//! Picking by index (gather, index_select and embedding, of any dtype), and adding by few indices. Writing, and adding by many,
//! is in `index_write.rs`.
//!
//! NOTE [Sums by index]: additions to one place keep the index's order: of the places that hold one number the first sums them
//! all, and no other writes. So a run gives the same bits every time, with no float atomics.
//!
//! An index out of range is reported through the status words under the caller's command number: reads then give 0, and
//! writes do not happen.

use super::{need_dense, need_f32, per, source, word};
use crate::DType;
use crate::error::{Result, ensure};
use crate::gpu::{GpuView, Recorder};

pub(super) const STATUS: &str = include_str!("../../../shaders/lib/status.wgsl");
const GATHER: &str = include_str!("../../../shaders/gather.wgsl");
const SCATTER_ADD: &str = include_str!("../../../shaders/scatter_add.wgsl");
const SELECT: &str = include_str!("../../../shaders/index_select.wgsl");
const CHAIN: &str = include_str!("../../../shaders/index_chain.wgsl");
const ADD: &str = include_str!("../../../shaders/index_add.wgsl");

/// Most dims that a kernel takes.
pub(super) const DIMS: usize = 8;

pub(super) fn need_index(op: &str, index: &GpuView) -> Result<()> {
    ensure!(index.dtype == DType::I64, NotImplemented, "{op}: the GPU kernel takes int64 indices");
    need_dense(op, &[index])
}

/// Up to eight sizes or strides as parameters.
pub(super) fn eight(n: &[usize]) -> Result<[u32; DIMS]> {
    let mut out = [0; DIMS];
    for (o, &n) in out.iter_mut().zip(n) {
        *o = word(n)?;
    }
    Ok(out)
}

/// What elements are moved by: words of 16 or 4 bytes, of which elements are made, or words that hold several of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Word {
    bytes: usize,
    /// Elements in a word.
    pub per: usize,
    /// Words in an element.
    pub words: usize,
    wide: bool,
}

impl Word {
    /// For elements that lie anywhere.
    pub fn any(dtype: DType) -> Word {
        let size = dtype.size();
        Word { bytes: 4, per: 4 / size.min(4), words: size.div_ceil(4), wide: false }
    }

    /// The largest that divides all of these, in elements.
    pub fn dividing(rec: &Recorder, dtype: DType, parts: &[usize]) -> Word {
        let size = dtype.size();
        let bytes = |n: usize| parts.iter().all(|p| (p * size).is_multiple_of(n));
        match (bytes(16), bytes(4)) {
            // as many elements of four bytes as there are
            (true, _) => Word { bytes: 16, per: 1, words: 1, wide: rec.wide_loads() },
            (_, true) => Word { bytes: 4, per: 1, words: 1, wide: false },
            _ => Word::any(dtype),
        }
    }

    /// A number of elements in what the kernel counts: elements of words that hold several, words else.
    pub fn count(&self, dtype: DType, n: usize) -> usize {
        if self.per > 1 { n } else { n * dtype.size() / self.bytes }
    }

    pub fn key(&self) -> String {
        format!("{} {} {} {}", self.bytes, self.per, self.words, self.wide)
    }

    /// The declarations that kernels build on.
    pub fn text(&self) -> String {
        let Word { per, words, .. } = *self;
        let word = match (self.bytes, self.wide) {
            (16, true) => "vec2<u64>",
            (16, false) => "vec4<u32>",
            _ => "u32",
        };
        let (part, join) = match 32 / per {
            32 => ("w".to_string(), "v".to_string()),
            bits => (
                format!("(w >> ((at % {per}u) * {bits}u)) & {}u", (1u32 << bits) - 1),
                format!("word | (v << (e * {bits}u))"),
            ),
        };
        format!(
            "alias WtWord = {word};\nconst WT_PER = {per}u;\nconst WT_WORDS = {words}u;\nfn wt_part(w: WtWord, at: u32) -> WtWord {{ return {part}; }}\nfn wt_join(word: WtWord, e: u32, v: WtWord) -> WtWord {{ return {join}; }}"
        )
    }
}

/// Refuses a result in the middle of a word.
pub(super) fn need_aligned(op: &str, word: &Word, out: &GpuView) -> Result<()> {
    ensure!(out.offset.is_multiple_of(word.per), NotImplemented, "{op}: the GPU kernel writes whole words");
    Ok(())
}

/// `out[p] = x[p with index[p] as coordinate dim]`, over the index's shape, of any dtype.
pub fn gather(rec: &mut Recorder, x: &GpuView, dim: usize, index: &GpuView, out: &GpuView, command: u32) -> Result<()> {
    need_index("gather", index)?;
    need_dense("gather", &[out])?;
    let nd = index.shape.len();
    let fits = nd == x.shape.len()
        && out.shape == index.shape
        && out.dtype == x.dtype
        && (dim < nd || nd == 0)
        && (0..nd).all(|d| d == dim || index.shape[d] <= x.shape[d]);
    ensure!(fits, Runtime, "gather kernel: {:?} by {:?} along {dim} into {:?}", x.shape, index.shape, out.shape);
    ensure!(nd <= DIMS, NotImplemented, "gather: the GPU kernel takes at most {DIMS} dims");
    let n = index.numel();
    if n == 0 {
        return Ok(());
    }
    let w = Word::any(x.dtype);
    need_aligned("gather", &w, out)?;
    let make = || Ok(source("gather", &[STATUS, &w.text(), GATHER], 2, 2, 28));
    let k = rec.kernel(&format!("gather {}", w.key()), make)?;
    let units = n.div_ceil(w.per);
    let mut params = vec![word(units)?, word(n)?, word(nd)?];
    params.extend([word(x.shape.get(dim).copied().unwrap_or(1))?, word(x.strides.get(dim).copied().unwrap_or(0))?]);
    word(x.end() * w.words)?;
    params.extend([word(dim)?, command, word(x.offset)?, word(index.offset)?]);
    params.extend([word(out.offset * w.words / w.per)?, 0, 0]);
    params.extend(eight(index.shape)?);
    params.extend(eight(x.strides)?);
    let status = rec.status(command);
    rec.dispatch(k, &[x.buffer, index.buffer, out.buffer, &status], &params, units.div_ceil(64) as u32)
}

/// `out[p with index[p] as coordinate dim] += source[p]`, over the index's shape (which may be smaller than the source's).
/// See NOTE [Sums by index].
pub fn scatter_add(
    rec: &mut Recorder,
    out: &GpuView,
    dim: usize,
    index: &GpuView,
    src: &GpuView,
    command: u32,
) -> Result<()> {
    need_f32("scatter_add", &[src, out])?;
    need_index("scatter_add", index)?;
    let nd = index.shape.len();
    let fits = nd == out.shape.len()
        && nd == src.shape.len()
        && (dim < nd || nd == 0)
        && (0..nd).all(|d| index.shape[d] <= src.shape[d] && (d == dim || index.shape[d] <= out.shape[d]));
    ensure!(fits, Runtime, "scatter_add kernel: {:?} by {:?} along {dim} into {:?}", src.shape, index.shape, out.shape);
    ensure!(nd <= DIMS, NotImplemented, "scatter_add: the GPU kernel takes at most {DIMS} dims");
    let n = index.numel();
    if n == 0 {
        return Ok(());
    }
    let k = rec.kernel("scatter_add", || Ok(source("scatter_add", &[STATUS, SCATTER_ADD], 2, 2, 36)))?;
    let at = |s: &[usize], other: usize| word(s.get(dim).copied().unwrap_or(other));
    let mut params = vec![word(n)?, word(nd)?, at(out.shape, 1)?, at(out.strides, 0)?, word(dim)?, command];
    params.extend([word(out.offset)?, word(index.offset)?, word(src.offset)?]);
    let inner = index.shape.get(dim + 1..).map_or(1, |s| s.iter().product::<usize>());
    params.extend([at(index.shape, 1)?, word(inner)?, at(src.strides, 0)?]);
    params.extend(eight(index.shape)?);
    params.extend(eight(out.strides)?);
    params.extend(eight(src.strides)?);
    let status = rec.status(command);
    rec.dispatch(k, &[src.buffer, index.buffer, out.buffer, &status], &params, n.div_ceil(64) as u32)
}

/// `x` as (outer, dim, inner): strides of outer and dim, where the inner part is dense and the outer is one step.
fn rows(op: &str, x: &GpuView, dim: usize) -> Result<[usize; 5]> {
    need_dense(op, &[x])?;
    let [outer, size, inner] = super::softmax::around(x.shape, dim)?;
    Ok([outer, size, inner, size * inner, inner])
}

/// `out = x` with the places `index[0], index[1] ...` of a dim; `x` and `out` are contiguous, of any dtype. With dim 0 it is
/// embedding.
pub fn index_select(
    rec: &mut Recorder,
    x: &GpuView,
    dim: usize,
    index: &GpuView,
    out: &GpuView,
    command: u32,
) -> Result<()> {
    need_index("index_select", index)?;
    need_dense("index_select", &[out])?;
    let [outer, size, inner, outer_stride, _] = rows("index_select", x, dim)?;
    let count = index.numel();
    ensure!(
        out.dtype == x.dtype && out.numel() == outer * count * inner,
        Runtime,
        "index_select kernel: {:?} by {:?} along {dim} into {:?}",
        x.shape,
        index.shape,
        out.shape
    );
    if out.numel() == 0 {
        return Ok(());
    }
    let w = Word::dividing(rec, x.dtype, &[inner, x.offset, out.offset]);
    need_aligned("index_select", &w, out)?;
    let make = || Ok(source("index_select", &[STATUS, &w.text(), SELECT], 2, 2, 13));
    let k = rec.kernel(&format!("index_select {}", w.key()), make)?;
    let part = |n: usize| w.count(x.dtype, n);
    let (n, inner) = (part(out.numel()), part(inner));
    word(part(x.end()))?;
    // four words to an invocation, or one that holds several elements
    let parts = inner.div_ceil(4);
    let units = if w.per == 1 { n / inner * parts } else { n.div_ceil(w.per) };
    let params = [
        word(units)?,
        word(n)?,
        word(count)?,
        word(inner)?,
        word(size)?,
        word(part(outer_stride))?,
        command,
        word(part(x.offset))?,
        word(index.offset)?,
        word(part(out.offset) / w.per)?,
        word(parts)?,
        per(parts),
        per(count),
    ];
    let status = rec.status(command);
    rec.dispatch(k, &[x.buffer, index.buffer, out.buffer, &status], &params, units.div_ceil(64) as u32)
}

/// `out[.., index[j], ..] += alpha * source[.., j, ..]` along a dim of contiguous tensors, in two dispatches. What it needs
/// grows with the square of the index's length, in integer comparisons. See NOTE [Sums by index].
pub fn index_add(
    rec: &mut Recorder,
    out: &GpuView,
    dim: usize,
    index: &GpuView,
    src: &GpuView,
    alpha: f32,
    command: u32,
) -> Result<()> {
    need_f32("index_add", &[src, out])?;
    need_index("index_add", index)?;
    need_dense("index_add", &[src])?;
    let [outer, size, inner, outer_stride, stride] = rows("index_add", out, dim)?;
    let (count, n) = (index.numel(), src.numel());
    ensure!(
        n == outer * count * inner,
        Runtime,
        "index_add kernel: {:?} by {:?} along {dim} into {:?}",
        src.shape,
        index.shape,
        out.shape
    );
    if n == 0 {
        return Ok(());
    }
    let k = rec.kernel("index_chain", || Ok(source("index_chain", &[STATUS, CHAIN], 1, 2, 4)))?;
    let chain = rec.alloc(4 * count as u64)?;
    let status = rec.status(command);
    let params = [word(count)?, word(size)?, command, word(index.offset)?];
    rec.dispatch(k, &[index.buffer, &chain, &status], &params, count.div_ceil(64) as u32)?;
    let k = rec.kernel("index_add", || Ok(source("index_add", &[ADD], 3, 1, 9)))?;
    let params = [
        word(n)?,
        word(count)?,
        word(inner)?,
        word(outer_stride)?,
        word(stride)?,
        word(src.offset)?,
        word(index.offset)?,
        word(out.offset)?,
        alpha.to_bits(),
    ];
    rec.dispatch(k, &[src.buffer, index.buffer, &chain, out.buffer], &params, n.div_ceil(64) as u32)
}

#[cfg(test)]
#[path = "index_tests.rs"]
mod tests;
