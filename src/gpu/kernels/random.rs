//! Random numbers drawn on the GPU: Philox by element index, the same bits on every adapter.

use super::{source, word};
use crate::error::Result;
use crate::gpu::{GpuView, Recorder};
use crate::rng::philox::{PhiloxKey, WGSL};

/// What is drawn; the parameters are the op's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Draw {
    /// Uniform in `[from, to)`.
    Uniform(f32, f32),
    /// Normal with mean and standard deviation.
    Normal(f32, f32),
    /// One with probability p, else zero.
    Bernoulli(f32),
}

/// Fills a contiguous f32 tensor.
pub fn random(rec: &mut Recorder, key: PhiloxKey, draw: Draw, out: &GpuView) -> Result<()> {
    super::need_f32("random", &[out])?;
    super::need_dense("random", &[out])?;
    let n = word(out.numel())?;
    if n == 0 {
        return Ok(());
    }
    let kernel =
        rec.kernel("random", || Ok(source("random", &[WGSL, include_str!("../../../shaders/random.wgsl")], 0, 1, 8)))?;
    let (kind, a, b) = match draw {
        Draw::Uniform(a, b) => (0, a, b),
        Draw::Normal(a, b) => (1, a, b),
        Draw::Bernoulli(p) => (2, p, 0.0),
    };
    let k = key.words();
    let params = [k[0], k[1], k[2], k[3], n, kind, a.to_bits(), b.to_bits()];
    rec.dispatch(kernel, &[out.buffer], &params, n.div_ceil(64))
}
