//! Products of float32 by matrices of float16, for who allows factors to be rounded (`set_float32_matmul_precision`): each row of the first
//! operand and each column of the second is scaled by a power of two so that its largest number is near the top of float16's range,
//! rounded, multiplied with sums in float32, and scaled back.
//!
//! Float16 has 11 significant digits, as TensorFloat32 has. What it lacks is range: numbers below 2^-28 of the largest of their row or
//! column lose digits, an error of at most 2^-39 of that largest, which float32 sums of such rows could hardly show.

use super::matmul::{Epilogue, Operand, Product, SUM, SUM_PARAMS};
use super::{source, word};
use crate::error::Result;
use crate::gpu::elements::INDEX_WGSL;
use crate::gpu::{Access, Buffer, KernelSource, Recorder};

/// An operand in float16, line by line along the depth, and the exponents that undo its scaling.
fn twin(
    rec: &mut Recorder,
    operand: &Operand,
    [line, step]: [usize; 2],
    [lines, depth]: [usize; 2],
    batch: [usize; 3],
) -> Result<[Buffer; 2]> {
    let total = lines * batch.iter().product::<usize>();
    let halves = rec.alloc((2 * total * depth) as u64)?;
    let back = rec.alloc(4 * total as u64)?;
    let [b0, b1, b2] = operand.3;
    let words = [total, lines, depth, batch[1], batch[2], operand.1, line, step, b0, b1, b2, 0];
    let mut params = [0; 12];
    for (p, n) in params.iter_mut().zip(words) {
        *p = word(n)?;
    }
    let kernel = rec.kernel("matmul scale", || Ok(scaling()))?;
    rec.dispatch(kernel, &[operand.0, &halves, &back], &params, word(total)?)?;
    Ok([halves, back])
}

fn scaling() -> KernelSource {
    source("matmul scale", &[INDEX_WGSL, include_str!("../../../shaders/matmul_scale.wgsl")], 1, 2, 12)
}

fn summing() -> KernelSource {
    let scaled = include_str!("../../../shaders/lib/sum_scaled.wgsl");
    let mut k = source("matmul sum scaled", &[SUM_PARAMS, scaled, SUM], 2, 1, 16);
    k.bindings.extend([Access::Read, Access::Read]);
    k
}

/// A product whose depth is a multiple of four. `multiply` is given that of the twins, without an epilogue, and gives its partial sums and
/// how many there are.
pub(super) fn record(
    rec: &mut Recorder,
    p: &Product,
    epi: &Epilogue,
    multiply: impl FnOnce(&mut Recorder, &Product) -> Result<(Buffer, usize)>,
) -> Result<()> {
    let Product { m, n, k, batch, .. } = *p;
    let [a, a_back] = twin(rec, &p.a, p.a.2, [m, k], batch)?;
    let [b, b_back] = twin(rec, &p.b, [p.b.2[1], p.b.2[0]], [n, k], batch)?;
    let by = |size: usize| [batch[1] * batch[2] * size, batch[2] * size, size];
    let twins = Product { a: (&a, 0, [k, 1], by(m * k)), b: (&b, 0, [1, k], by(n * k)), bias: None, ..*p };
    let (parts, splits) = multiply(rec, &twins)?;
    let sum = p.sum(&parts, splits, epi)?;
    let kernel = rec.kernel("matmul sum scaled", || Ok(summing()))?;
    let buffers = [sum.parts, sum.bias.0, p.out.0, &a_back, &b_back];
    rec.dispatch(kernel, &buffers, &sum.params(p.out.1)?, word(sum.total.div_ceil(64))?)
}

/// The kernels of this file, for the tests of all texts.
#[cfg(test)]
pub(in crate::gpu) fn sources() -> Vec<KernelSource> {
    vec![scaling(), summing()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::Gpu;
    use crate::gpu::kernels::matmul::Act;
    use crate::gpu::kernels::matmul_half::tests::sums;
    use crate::gpu::kernels::testing::{Host, noise};
    use crate::gpu::testing::{device, down};

    /// A product through twins, which the tile for packed floats multiplies in the place of float16 matrices.
    fn run(g: &Gpu, a: &Host, b: &Host, epi: &Epilogue, shape: &[usize]) -> Vec<f32> {
        let out = Host::dense(g, vec![7f32; shape.iter().product()], shape);
        Product::each(&a.view(), &b.view(), &out.view(), epi, |p| {
            record(&mut g.lock(), p, epi, |rec, twins| sums(rec, twins, epi))
        })
        .unwrap();
        down(g, &out.buffer, out.data.len())
    }

    /// Rows and columns of very different sizes: each result is within TensorFloat32's rounding of the terms that made it.
    #[test]
    fn within_the_rounding_of_tensorfloat32() {
        let Some(g) = device() else { return };
        let (batch, m, n) = (2, 8, 12);
        let size = |i: usize| 2f32.powi((i * 37 % 121) as i32 - 60);
        // the second depth is split
        for k in [36, 520] {
            let a: Vec<f32> = noise(batch * m * k, 1).iter().enumerate().map(|(i, x)| x * size(i / k)).collect();
            let b: Vec<f32> = noise(batch * k * n, 2).iter().enumerate().map(|(i, x)| x * size(i % n + 50)).collect();
            let bias = Host::noise(&g, &[batch, m, n], 3);
            let (a, b) = (Host::dense(&g, a, &[batch, m, k]), Host::dense(&g, b, &[batch, k, n]));
            let epi = Epilogue { bias: Some(bias.view()), alpha: 0.5, beta: 2.0, act: Act::None };
            let got = run(&g, &a, &b, &epi, &[batch, m, n]);
            for i in 0..batch * m * n {
                let (z, row, col) = (i / n / m, i / n % m, i % n);
                let term = |q: usize| 0.5 * a.f64(&[z, row, q]) * b.f64(&[z, q, col]);
                let added = 2.0 * bias.f64(&[z, row, col]);
                let sum = (0..k).map(term).sum::<f64>() + added;
                let most = (0..k).map(|q| term(q).abs()).sum::<f64>() + added.abs();
                let error = (f64::from(got[i]) - sum).abs();
                assert!(error <= most * 2f64.powi(-10), "{k} {z} {row} {col}: {error} of {most}");
            }
        }
    }

    #[test]
    fn lines_of_any_numbers() {
        let Some(g) = device() else { return };
        let mut a = vec![1f32; 32];
        a[0] = f32::INFINITY;
        a[5] = f32::NAN;
        a[8..12].fill(0.0);
        a[12..16].fill(f32::MAX / 8.0);
        a[16..20].fill(f32::MIN_POSITIVE);
        a[20] = f32::NEG_INFINITY;
        a[21] = f32::MAX;
        a[24] = 2f32.powi(-14);
        let a = Host::dense(&g, a, &[8, 4]);
        let b = Host::dense(&g, vec![1f32; 16], &[4, 4]);
        let got = run(&g, &a, &b, &Epilogue::default(), &[8, 4]);
        let want = [
            f32::INFINITY,
            f32::NAN,
            0.0,
            f32::MAX / 2.0,
            4.0 * f32::MIN_POSITIVE,
            f32::NEG_INFINITY,
            3.0 + 2f32.powi(-14),
            4.0,
        ];
        for (i, &x) in got.iter().enumerate() {
            let w = want[i / 4];
            // all but the largest number have few digits, and that one rounds up
            let near = (x - w).abs() <= w.abs() * 2f32.powi(-11);
            assert!(x == w || near || x.is_nan() && w.is_nan(), "row {}: {x}, not {w}", i / 4);
        }
    }
}
