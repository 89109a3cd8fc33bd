//! Max and average pooling over the planes of contiguous NCHW (or CHW) tensors, and their gradients.
//!
//! The number of windows is the output's size, so ceil mode needs no flag. Gradients gather: no two invocations write one
//! cell, and sums keep one order.

use super::{need_dense, need_f32, per, source, word};
use crate::DType;
use crate::error::{Result, ensure};
use crate::gpu::{GpuView, Recorder};

/// Windows of a pooling, `[height, width]` each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolSpec {
    /// Size of a window.
    pub kernel: [usize; 2],
    /// Step between neighbouring windows.
    pub stride: [usize; 2],
    /// Cells added on both sides: minus infinity for max, zero for average.
    pub padding: [usize; 2],
    /// Distance between the cells of a window (max pooling only).
    pub dilation: [usize; 2],
}

/// How an average divides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AvgSpec {
    /// Whether cells of the padding count.
    pub count_include_pad: bool,
    /// A divisor that replaces the count.
    pub divisor_override: Option<i64>,
}

/// Input and output planes: how many, and their sizes.
struct Planes {
    input: [usize; 2],
    output: [usize; 2],
}

impl Planes {
    fn new(op: &str, x: &[usize], out: &[usize], spec: &PoolSpec) -> Result<Planes> {
        let nd = x.len();
        let positive = spec.kernel.iter().chain(&spec.stride).chain(&spec.dilation).all(|&n| n > 0);
        let fits = nd >= 2 && out.len() == nd && x[..nd - 2] == out[..nd - 2] && positive;
        ensure!(fits, Runtime, "{op} kernel: {x:?} by {spec:?} does not make {out:?}");
        Ok(Planes { input: [x[nd - 2], x[nd - 1]], output: [out[nd - 2], out[nd - 1]] })
    }
}

fn pairs(pairs: &[[usize; 2]]) -> Result<Vec<u32>> {
    pairs.iter().flatten().map(|&n| word(n)).collect()
}

const MAX: &str = include_str!("../../../shaders/pool_max.wgsl");
const MAX_GRAD: &str = include_str!("../../../shaders/pool_max_grad.wgsl");
const MAX_SCATTER: &str = include_str!("../../../shaders/pool_max_scatter.wgsl");
const WINDOW: &str = include_str!("../../../shaders/lib/window.wgsl");
const AVG: &str = include_str!("../../../shaders/pool_avg.wgsl");
const AVG_GRAD: &str = include_str!("../../../shaders/pool_avg_grad.wgsl");

/// The largest cell of each window, and in `indices` (i64) its flat place in its plane.
pub fn max_pool2d(rec: &mut Recorder, x: &GpuView, out: &GpuView, indices: &GpuView, spec: &PoolSpec) -> Result<()> {
    need_f32("max_pool2d", &[x, out])?;
    need_dense("max_pool2d", &[x, out, indices])?;
    let p = Planes::new("max_pool2d", x.shape, out.shape, spec)?;
    ensure!(
        indices.dtype == DType::I64 && indices.shape == out.shape,
        Runtime,
        "max_pool2d kernel: the indices are int64 and as many as the outputs"
    );
    let n = out.numel();
    if n == 0 {
        return Ok(());
    }
    let k = rec.kernel("max_pool2d", || Ok(source("max_pool2d", &[MAX], 1, 2, 19)))?;
    let mut params = vec![word(n)?];
    params.extend(pairs(&[p.input, p.output, spec.kernel, spec.stride, spec.padding, spec.dilation])?);
    params.extend([word(x.offset)?, word(out.offset)?, word(indices.offset)?]);
    params.extend([per(p.output[0]), per(p.output[1]), f32::NEG_INFINITY.to_bits()]);
    rec.dispatch(k, &[x.buffer, out.buffer, indices.buffer], &params, n.div_ceil(64) as u32)
}

/// The gradient of [`max_pool2d`]: `out` has the input's shape.
pub fn max_pool2d_grad(
    rec: &mut Recorder,
    grad: &GpuView,
    indices: &GpuView,
    out: &GpuView,
    spec: &PoolSpec,
) -> Result<()> {
    need_f32("max_pool2d backward", &[grad, out])?;
    need_dense("max_pool2d backward", &[grad, out, indices])?;
    let p = Planes::new("max_pool2d backward", out.shape, grad.shape, spec)?;
    ensure!(
        indices.dtype == DType::I64 && indices.shape == grad.shape,
        Runtime,
        "max_pool2d kernel: the indices are int64 and as many as the outputs"
    );
    let n = out.numel();
    if n == 0 {
        return Ok(());
    }
    let reach = [0, 1].map(|d| (spec.kernel[d] - 1) * spec.dilation[d]);
    if (0..2).all(|d| reach[d] < spec.stride[d]) {
        rec.clear(out.buffer, 4 * out.offset as u64, 4 * n as u64);
        let m = grad.numel();
        if m == 0 {
            return Ok(());
        }
        let k = rec.kernel("max_pool2d scatter", || Ok(source("max_pool2d scatter", &[MAX_SCATTER], 2, 1, 7)))?;
        let (plane, out_plane) = (p.input[0] * p.input[1], p.output[0] * p.output[1]);
        let mut params = vec![word(m)?, word(out_plane)?, word(plane)?];
        params.extend([word(grad.offset)?, word(indices.offset)?, word(out.offset)?, per(out_plane)]);
        return rec.dispatch(k, &[grad.buffer, indices.buffer, out.buffer], &params, m.div_ceil(64) as u32);
    }
    let k = rec.kernel("max_pool2d gradient", || Ok(source("max_pool2d gradient", &[MAX_GRAD], 2, 1, 18)))?;
    let mut params = vec![word(n)?];
    params.extend(pairs(&[p.input, p.output, reach, spec.stride, spec.padding])?);
    params.extend([word(grad.offset)?, word(indices.offset)?, word(out.offset)?]);
    params.extend([per(p.input[0]), per(p.input[1]), per(spec.stride[0]), per(spec.stride[1])]);
    rec.dispatch(k, &[grad.buffer, indices.buffer, out.buffer], &params, n.div_ceil(64) as u32)
}

/// The mean of each window.
pub fn avg_pool2d(rec: &mut Recorder, x: &GpuView, out: &GpuView, spec: &PoolSpec, avg: &AvgSpec) -> Result<()> {
    average(rec, "avg_pool2d", AVG, (x, out), (x, out), spec, avg)
}

/// The gradient of [`avg_pool2d`]: `out` has the input's shape.
pub fn avg_pool2d_grad(
    rec: &mut Recorder,
    grad: &GpuView,
    out: &GpuView,
    spec: &PoolSpec,
    avg: &AvgSpec,
) -> Result<()> {
    average(rec, "avg_pool2d backward", AVG_GRAD, (grad, out), (out, grad), spec, avg)
}

/// `moved` is (read, written), `pooled` (input, output) of the pooling.
fn average(
    rec: &mut Recorder,
    op: &str,
    text: &str,
    moved: (&GpuView, &GpuView),
    pooled: (&GpuView, &GpuView),
    spec: &PoolSpec,
    avg: &AvgSpec,
) -> Result<()> {
    let (from, to) = moved;
    need_f32(op, &[from, to])?;
    need_dense(op, &[from, to])?;
    let p = Planes::new(op, pooled.0.shape, pooled.1.shape, spec)?;
    let n = to.numel();
    if n == 0 {
        return Ok(());
    }
    let k = rec.kernel(op, || Ok(source(op, &[WINDOW, text], 1, 1, 19)))?;
    let written = &to.shape[to.shape.len() - 2..];
    let mut params = vec![word(n)?];
    params.extend(pairs(&[p.input, p.output, spec.kernel, spec.stride, spec.padding])?);
    params.push(u32::from(avg.count_include_pad) | if avg.divisor_override.is_some() { 2 } else { 0 });
    params.extend([word(from.offset)?, word(to.offset)?]);
    params.push((avg.divisor_override.unwrap_or(1) as f32).to_bits());
    params.extend([per(written[0]), per(written[1]), per(spec.stride[0]), per(spec.stride[1])]);
    rec.dispatch(k, &[from.buffer, to.buffer], &params, n.div_ceil(64) as u32)
}

#[cfg(test)]
#[path = "pool_tests.rs"]
mod tests;
