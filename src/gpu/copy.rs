//! Moving bytes without a kernel: what the encoder copies and clears faster than an elementwise kernel would.

use super::GpuView;
use super::recorder::Recorder;
use crate::layout::collapse;
use crate::shape::{Dims, numel};

/// Below this a kernel is cheaper: a copy ends the compute pass that is open.
const LEAST_BYTES: usize = 64 << 10;

/// The byte range of a view whose elements lie in a row without gaps, in the order of their indices.
fn range(v: &GpuView<'_>) -> Option<(u64, u64)> {
    let (sizes, strides) = collapse(v.shape, &[v.strides]);
    let dense = sizes.len() == 1 && (strides[0][0] == 1 || sizes[0] == 1);
    let (start, bytes) = (v.offset * v.dtype.size(), numel(v.shape) * v.dtype.size());
    (dense && start.is_multiple_of(4) && bytes.is_multiple_of(4)).then_some((start as u64, bytes as u64))
}

/// Copies a view to another of the same shape and dtype by the encoder, where both are dense, aligned, large, and in
/// different buffers; false where a kernel has to do it.
pub(super) fn try_copy(rec: &mut Recorder, src: &GpuView<'_>, dst: &GpuView<'_>, shape: &[usize]) -> bool {
    let same = src.shape == shape && dst.shape == shape && src.dtype == dst.dtype;
    if !same || src.buffer.id() == dst.buffer.id() || numel(shape) * src.dtype.size() < LEAST_BYTES {
        return false;
    }
    let (Some((from, bytes)), Some((to, _))) = (range(src), range(dst)) else { return false };
    if from + bytes > src.buffer.size() || to + bytes > dst.buffer.size() {
        return false; // the kernel's checks say what is wrong
    }
    rec.copy(src.buffer, from, dst.buffer, to, bytes);
    true
}

/// Fills a dense, aligned, large view with zero bytes by the encoder; false where a kernel has to do it.
pub(super) fn try_clear(rec: &mut Recorder, dst: &GpuView<'_>, shape: &[usize]) -> bool {
    if dst.shape != shape || numel(shape) * dst.dtype.size() < LEAST_BYTES {
        return false;
    }
    // any order of dims will do, as all elements are equal
    let mut order: Dims = (0..shape.len()).collect();
    order.sort_by_key(|&d| std::cmp::Reverse(dst.strides[d]));
    let sizes: Dims = order.iter().map(|&d| shape[d]).collect();
    let strides: Dims = order.iter().map(|&d| dst.strides[d]).collect();
    let Some((at, bytes)) = range(&GpuView { shape: &sizes, strides: &strides, ..*dst }) else { return false };
    if at + bytes > dst.buffer.size() {
        return false;
    }
    rec.clear(dst.buffer, at, bytes);
    true
}
