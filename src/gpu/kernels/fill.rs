//! Constants in memory: a pattern written over a whole buffer, for every dtype by one pipeline.

use super::{source, word};
use crate::error::Result;
use crate::gpu::{Buffer, Recorder};

/// Fills the first `bytes` of a buffer (rounded up to 16) with copies of one element, whose size divides 16.
pub fn fill(rec: &mut Recorder, out: &Buffer, element: &[u8], bytes: usize) -> Result<()> {
    let mut pattern = [0u32; 4];
    for (i, b) in bytemuck::bytes_of_mut(&mut pattern).iter_mut().enumerate() {
        *b = element[i % element.len()];
    }
    if pattern == [0; 4] {
        rec.clear(out, 0, bytes.next_multiple_of(4) as u64);
        return Ok(());
    }
    let k = rec.kernel("fill", || Ok(source("fill", &[include_str!("../../../shaders/fill.wgsl")], 0, 1, 8)))?;
    let quads = bytes.div_ceil(16);
    let [a, b, c, d] = pattern;
    rec.dispatch(k, &[out], &[a, b, c, d, word(quads)?], quads.div_ceil(64) as u32)
}
