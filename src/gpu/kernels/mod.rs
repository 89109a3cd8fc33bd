//! The kernels that are more than elementwise: each file declares what varies, and its WGSL lies in `shaders/`.

pub mod attention;
pub mod conv;
mod conv_wave;
mod conv_wave_weight;
pub mod cross_entropy;
pub mod fill;
pub mod index;
pub mod index_write;
pub mod loss;
pub mod matmul;
pub mod matmul_coop;
pub mod matmul_exact;
pub mod matmul_half;
mod matmul_pick;
pub(super) mod matmul_scaled;
mod matmul_thin;
mod matmul_whole;
pub mod norm;
pub mod optim;
pub mod pool;
#[cfg(all(test, target_os = "linux"))]
mod radv_tests;
pub mod random;
mod rows_four;
mod rows_ragged;
mod rows_wave;
pub mod scan;
pub mod softmax;
pub mod sort;
mod sort_runs;
#[cfg(test)]
mod step_tests;
#[cfg(test)]
pub(super) mod testing;

use super::{Access, GpuView, KernelSource};
use crate::DType;
use crate::error::{Result, bail, ensure};

/// What all of them share: a relu that keeps NaN, and exact division by a uniform divisor.
const COMMON: &str = include_str!("../../../shaders/lib/common.wgsl");

/// A kernel's text from its pieces, with all buffers read but the last so many, which are written.
fn source(label: &str, pieces: &[&str], read: usize, written: usize, param_words: usize) -> KernelSource {
    let mut wgsl = String::from(COMMON);
    for p in pieces {
        wgsl.push('\n');
        wgsl.push_str(p);
    }
    let mut bindings = vec![Access::Read; read];
    bindings.resize(read + written, Access::ReadWrite);
    KernelSource {
        label: label.into(),
        wgsl,
        bindings,
        overrides: Vec::new(),
        // uniform structs are multiples of 16 bytes
        param_bytes: (param_words as u32 * 4).next_multiple_of(16),
    }
}

/// How kernels load four neighbours at once, from arrays of `Quad`.
fn quad(wide: bool) -> &'static str {
    if wide {
        include_str!("../../../shaders/lib/quad_wide.wgsl")
    } else {
        include_str!("../../../shaders/lib/quad.wgsl")
    }
}

/// Four neighbours of two quads of a buffer.
const SHIFTED: &str = include_str!("../../../shaders/lib/shifted.wgsl");

/// The names of a vector's components.
const XYZW: [&str; 4] = ["x", "y", "z", "w"];

/// The longest row that a workgroup of 64 holds in its registers, and what it sums by.
const HELD: usize = 1024;
const TOTAL: &str = include_str!("../../../shaders/lib/row_total.wgsl");

/// Whether a workgroup holds a row of `n`, and rows lie by fours from these offsets.
fn held(n: usize, offsets: &[usize]) -> bool {
    n <= HELD && n.is_multiple_of(4) && offsets.iter().all(|o| o.is_multiple_of(4))
}

/// The library's exponential, also of four at once, and logarithm: drivers' own are too inaccurate for losses.
fn exp_log() -> String {
    crate::num::library_of_four([], &["m_exp"], &["m_exp", "m_log"])
        + "\nfn exp4(v: vec4<f32>) -> vec4<f32> { return m_exp_four(v); }\n"
}

/// A size, stride or offset as a kernel's parameter.
fn word(n: usize) -> Result<u32> {
    match u32::try_from(n) {
        // signed coordinates and exact float division need the top bit
        Ok(n) if n < 1 << 31 => Ok(n),
        _ => bail!(Runtime, "a tensor of {n} elements is too large for a GPU kernel"),
    }
}

/// Refuses dtypes that a kernel has no code for.
fn need_f32(op: &str, views: &[&GpuView]) -> Result<()> {
    for v in views {
        ensure!(v.dtype == DType::F32, NotImplemented, "\"{op}\" not implemented for '{}'", v.dtype.scalar_name());
    }
    Ok(())
}

/// Refuses views that are not dense; callers copy them first.
fn need_dense(op: &str, views: &[&GpuView]) -> Result<()> {
    for v in views {
        ensure!(
            v.is_contiguous(),
            NotImplemented,
            "{op}: the GPU kernel takes contiguous tensors, not strides {:?} for sizes {:?}",
            v.strides,
            v.shape
        );
    }
    Ok(())
}

/// The reciprocal that `divide()` wants.
fn per(d: usize) -> u32 {
    (1.0 / d.max(1) as f32).to_bits()
}
