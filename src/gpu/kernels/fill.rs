//! Constants as buffers: written where they are wanted, since the way from the host is a hundred times slower.

use super::{source, word};
use crate::error::Result;
use crate::gpu::{Buffer, Recorder};
use crate::trace::Work;

/// Fills the first `bytes` of a buffer, by whole quads, with one pattern of 16 bytes.
pub fn fill(rec: &mut Recorder, out: &Buffer, bytes: usize, pattern: [u8; 16]) -> Result<()> {
    let quads = bytes.div_ceil(16);
    rec.doing(|| ("fill_".into(), Work { bytes: 16 * quads as u64, flops: 0 }));
    let text = include_str!("../../../shaders/fill.wgsl");
    let k = rec.kernel("fill", || Ok(source("fill", &[text], 0, 1, 5)))?;
    let mut params: Vec<u32> = pattern.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    params.push(word(quads)?);
    rec.dispatch(k, &[out], &params, word(quads.div_ceil(64))?)
}
