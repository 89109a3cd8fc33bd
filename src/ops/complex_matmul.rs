//! Products of complex64 matrices on GPUs, as four products of their parts.

use super::on_gpu::{Temp, copy};
use crate::dtype::DType;
use crate::error::Result;
use crate::gpu::GpuView;
use crate::gpu::kernels::matmul::{Epilogue, matmul};
use crate::shape::Dims;
use crate::stream::Launch;

/// The strides of the parts of a complex view.
fn doubled(v: &GpuView) -> Dims {
    v.strides.iter().map(|s| 2 * s).collect()
}

/// The real (0) or imaginary (1) parts.
fn part<'a>(v: &GpuView<'a>, strides: &'a Dims, which: usize) -> GpuView<'a> {
    GpuView { dtype: DType::F32, offset: 2 * v.offset + which, strides, ..*v }
}

/// `out = alpha * a @ b` for matrices with equal leading dims; false where the device lacks a step.
pub(super) fn product(launch: &mut Launch, a: &GpuView, b: &GpuView, out: &GpuView, alpha: f32) -> Result<bool> {
    let (sa, sb, so) = (doubled(a), doubled(b), doubled(out));
    let (a, b) = ([0, 1].map(|k| part(a, &sa, k)), [0, 1].map(|k| part(b, &sb, k)));
    for k in 0..2 {
        // re = ar br - ai bi, im = ar bi + ai br
        let (other, sign) = if k == 0 { (1, -1.0) } else { (0, 1.0) };
        let (first, sum) = (Temp::new(launch, out.shape, DType::F32)?, Temp::new(launch, out.shape, DType::F32)?);
        let (Some(first), Some(sum)) = (first.view(DType::F32), sum.view(DType::F32)) else { return Ok(false) };
        matmul(launch.rec, &a[1], &b[other], &first, &Epilogue { alpha: sign * alpha, ..Epilogue::default() })?;
        matmul(launch.rec, &a[0], &b[k], &sum, &Epilogue { bias: Some(first), alpha, ..Epilogue::default() })?;
        if !copy(launch, &sum, &part(out, &so, k))? {
            return Ok(false);
        }
    }
    Ok(true)
}
