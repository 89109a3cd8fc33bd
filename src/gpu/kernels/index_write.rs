//! Writing and adding where an index says, of any dtype and with any number of indices.
//!
//! Each element of an index points to a place of the result. A write takes of those that point to one place the last one, found
//! by integer maxima; a sum takes all, in order, after a stable sort by place. Each element of the result is written once, by
//! one invocation, so that a run gives the same bits every time, with no float atomics.

use super::index::{DIMS, STATUS, Word, eight, need_aligned, need_index};
use super::softmax::around;
use super::sort::by_digits;
use super::{need_dense, source, word};
use crate::DType;
use crate::error::{Result, bail, ensure};
use crate::gpu::{Buffer, GpuView, Recorder};
use crate::scalar::Scalar;
use crate::shape::contiguous_strides;

const PLACES: &str = include_str!("../../../shaders/index_places.wgsl");
const LAST: &str = include_str!("../../../shaders/index_last.wgsl");
const WRITE: &str = include_str!("../../../shaders/index_write.wgsl");
const STARTS: &str = include_str!("../../../shaders/index_starts.wgsl");
const SUM: &str = include_str!("../../../shaders/index_sum.wgsl");

/// An index, and the dim of the result whose coordinate it gives.
pub struct Pointers<'a> {
    /// Positions along the dim, contiguous.
    pub index: &'a GpuView<'a>,
    /// The dim.
    pub dim: usize,
    /// The index has the result's dims, and its elements point to elements (`scatter`); else it is a list, whose elements
    /// point to slices (`index_copy`).
    pub each: bool,
    /// The number of the command, for faults.
    pub command: u32,
}

/// What the result is made of: `size` places along a dim in `outer` blocks, with `inner` elements in each place.
struct Blocks {
    size: usize,
    inner: usize,
    count: usize,
    places: Buffer,
}

impl Pointers<'_> {
    /// The place that each element points to.
    fn find(&self, rec: &mut Recorder, op: &str, out: &GpuView) -> Result<Blocks> {
        let (index, dim) = (self.index, self.dim);
        need_index(op, index)?;
        let count = index.numel();
        let [_, along, inner] = around(out.shape, dim)?;
        let dense = contiguous_strides(out.shape);
        let (nd, sizes, strides): (usize, &[usize], &[usize]) =
            if self.each { (index.shape.len(), index.shape, &dense) } else { (1, &[count], &[1]) };
        ensure!(
            nd <= DIMS && (!self.each || nd == out.shape.len()),
            NotImplemented,
            "{op}: the GPU kernel takes at most {DIMS} dims, and an index of the result's dims"
        );
        let (size, inner) = if self.each { (out.numel(), 1) } else { (along, inner) };
        let places = rec.alloc(4 * count as u64)?;
        let k = rec.kernel("index_places", || Ok(source("index_places", &[STATUS, PLACES], 1, 2, 24)))?;
        let step = if self.each { dense.get(dim).copied().unwrap_or(0) } else { 1 };
        let dim = if self.each { dim } else { 0 };
        let mut params = vec![word(count)?, word(nd)?, word(along)?, word(step)?, word(dim)?, self.command];
        params.extend([word(index.offset)?, word(size)?]);
        params.extend(eight(sizes)?);
        params.extend(eight(strides)?);
        let status = rec.status(self.command);
        rec.dispatch(k, &[index.buffer, &places, &status], &params, count.div_ceil(64) as u32)?;
        Ok(Blocks { size, inner, count, places })
    }

    fn fits(&self, op: &str, x: &GpuView, src: &GpuView, out: &GpuView, one: bool) -> Result<()> {
        need_dense(op, &[x, out, src])?;
        let [outer, _, inner] = around(out.shape, self.dim)?;
        let needed = if self.each { 1 } else { outer * inner } * self.index.numel();
        ensure!(
            x.shape == out.shape
                && x.dtype == out.dtype
                && src.dtype == out.dtype
                && (one && src.numel() == 1 || src.numel() == needed),
            Runtime,
            "{op} kernel: {:?} by {:?} from {:?} into {:?}",
            x.shape,
            self.index.shape,
            src.shape,
            out.shape
        );
        Ok(())
    }
}

/// `x` with elements of `src` (which has the index's shape, or that of the slices it names, or one element) where the index says;
/// of those that meet in one place the last one stays. All contiguous, of any dtype.
pub fn write(rec: &mut Recorder, x: &GpuView, at: &Pointers, src: &GpuView, out: &GpuView) -> Result<()> {
    at.fits("scatter", x, src, out, true)?;
    if out.numel() == 0 || at.index.numel() == 0 {
        bail!(Runtime, "scatter kernel: nothing to write");
    }
    let b = at.find(rec, "scatter", out)?;
    let last = rec.alloc((4 * (b.size + 1) as u64).next_multiple_of(16))?;
    let bytes = last.size();
    rec.clear(&last, 0, bytes);
    let k = rec.kernel("index_last", || Ok(source("index_last", &[LAST], 1, 1, 1)))?;
    rec.dispatch(k, &[&b.places, &last], &[word(b.count)?], b.count.div_ceil(64) as u32)?;

    // one element for all, which lies in no longer word
    let needed = if at.each { b.count } else { out.numel() / b.size * b.count };
    let one = src.numel() == 1 && needed > 1;
    let parts = [b.inner, x.offset, src.offset, out.offset, usize::from(one)];
    let w = Word::dividing(rec, x.dtype, &parts);
    need_aligned("scatter", &w, out)?;
    ensure!(!one || x.dtype.size() < 8, NotImplemented, "scatter: one element of two words");
    let make = || Ok(source("index_write", &[&w.text(), WRITE], 3, 1, 9));
    let k = rec.kernel(&format!("index_write {}", w.key()), make)?;
    let part = |n: usize| w.count(x.dtype, n);
    let n = part(out.numel());
    let units = n.div_ceil(w.per);
    let params = [
        word(units)?,
        word(n)?,
        word(b.size)?,
        word(part(b.inner))?,
        word(b.count)?,
        word(part(x.offset))?,
        word(part(src.offset))?,
        word(part(out.offset) / w.per)?,
        u32::from(!one),
    ];
    rec.dispatch(k, &[x.buffer, src.buffer, &last, out.buffer], &params, units.div_ceil(64) as u32)
}

/// How elements that meet in one place are joined.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Join {
    /// Their sum, times a factor.
    Sum(Scalar),
    /// Their product.
    Prod,
    /// The mean, of floats.
    Mean,
    /// The greatest; NaN wins.
    Max,
    /// The least; NaN wins.
    Min,
}

/// Whether [`fold`] has the arithmetic of a dtype, on a device with or without float64.
pub fn folds(dtype: DType, how: Join, f64s: bool) -> bool {
    match dtype {
        DType::F32 => true,
        DType::F64 => f64s && matches!(how, Join::Sum(_) | Join::Prod | Join::Mean),
        DType::I32 | DType::U32 | DType::I64 => how != Join::Mean,
        _ => false,
    }
}

/// The type that a dtype is computed in, how two are joined, what is taken of an element, and what follows.
fn arithmetic(dtype: DType, how: Join) -> Result<String> {
    let (ty, add, mul, less) = match dtype {
        DType::F32 => ("f32", "a + b", "a * b", "(a < b && !is_nan(b)) || is_nan(a)"),
        DType::F64 => ("f64", "a + b", "a * b", "a < b"),
        DType::I32 => ("u32", "a + b", "a * b", "bitcast<i32>(a) < bitcast<i32>(b)"),
        DType::U32 => ("u32", "a + b", "a * b", "a < b"),
        DType::I64 => ("vec2<u32>", "i64_add(a, b)", "i64_mul(a, b)", "i64_lt(a, b)"),
        d => bail!(NotImplemented, "\"index_add\" not implemented for '{}'", d.scalar_name()),
    };
    let join = match how {
        Join::Sum(_) | Join::Mean => add.to_string(),
        Join::Prod => mul.to_string(),
        Join::Min => format!("select(b, a, {less})"),
        // the greater of two is found with their places exchanged, NaN as before
        Join::Max if dtype == DType::F32 => "select(b, a, (a > b && !is_nan(b)) || is_nan(a))".into(),
        Join::Max => format!("select(a, b, {less})"),
    };
    let scale = match (how, dtype) {
        (Join::Sum(_), DType::F32) => "bitcast<f32>(P.alpha.x) * a",
        (Join::Sum(_), DType::F64) => "P.alpha * a",
        (Join::Sum(_), DType::I64) => "i64_mul(P.alpha, a)",
        (Join::Sum(_), _) => "P.alpha.x * a",
        _ => "a",
    };
    let end = if how == Join::Mean { format!("a / {ty}(n)") } else { "a".into() };
    let library = match dtype {
        DType::I64 => crate::num::library(&["i64_add", "i64_lt", "i64_mul"].into()),
        _ => String::new(),
    };
    let alpha = if dtype == DType::F64 { "f64" } else { "vec2<u32>" };
    Ok(format!(
        "{library}alias WtAlpha = {alpha};
alias WtT = {ty};
fn wt_join(a: WtT, b: WtT) -> WtT {{ return {join}; }}
fn wt_scale(a: WtT) -> WtT {{ return {scale}; }}
fn wt_end(a: WtT, n: u32) -> WtT {{ return {end}; }}"
    ))
}

/// `x` joined with the elements of `src` that the index points to its places, in the index's order; without `keep` what is there
/// gives way where something points. All contiguous, of the dtypes that [`folds`] names.
pub fn fold(
    rec: &mut Recorder,
    x: &GpuView,
    at: &Pointers,
    src: &GpuView,
    how: Join,
    keep: bool,
    out: &GpuView,
) -> Result<()> {
    at.fits("index_add", x, src, out, false)?;
    if out.numel() == 0 || at.index.numel() == 0 {
        bail!(Runtime, "index_add kernel: nothing to add");
    }
    let text = arithmetic(x.dtype, how)?;
    let b = at.find(rec, "index_add", out)?;
    // places up to `size`, which stands for what is out of range
    let bits = usize::BITS - b.size.leading_zeros();
    let keys = rec.alloc(4 * b.count as u64)?;
    rec.copy(&b.places, 0, &keys, 0, 4 * b.count as u64);
    let order = by_digits(rec, keys, None, [1, b.count], 0..bits)?;
    let starts = rec.alloc(4 * (b.size + 1) as u64)?;
    let k = rec.kernel("index_starts", || Ok(source("index_starts", &[STARTS], 2, 1, 2)))?;
    let params = [word(b.size + 1)?, word(b.count)?];
    rec.dispatch(k, &[&b.places, &order, &starts], &params, (b.size + 1).div_ceil(64) as u32)?;

    // a factor is a parameter
    let (kind, alpha) = match how {
        Join::Sum(alpha) => ("Sum".into(), alpha),
        other => (format!("{other:?}"), Scalar::Int(1)),
    };
    let key = format!("index_sum {} {kind}", x.dtype);
    let k = rec.kernel(&key, || Ok(source("index_sum", &[&text, SUM], 4, 1, 10)))?;
    let n = out.numel();
    word(2 * src.numel().max(n))?;
    let alpha = match x.dtype {
        DType::F32 => u64::from((alpha.to_f64() as f32).to_bits()),
        DType::F64 => alpha.to_f64().to_bits(),
        _ => alpha.to_i64() as u64,
    };
    let params = [
        word(n)?,
        word(b.size)?,
        word(b.inner)?,
        word(b.count)?,
        word(x.offset)?,
        word(src.offset)?,
        word(out.offset)?,
        u32::from(keep),
        alpha as u32,
        (alpha >> 32) as u32,
    ];
    rec.dispatch(k, &[x.buffer, src.buffer, &order, &starts, out.buffer], &params, n.div_ceil(64) as u32)
}

#[cfg(test)]
#[path = "index_write_tests.rs"]
mod tests;
