//! Layer normalisation: rows of contiguous memory, read for their mean, their variance and their result while they are in the
//! cache.

use crate::cpu::number::Number;
use crate::cpu::simd::{SendPtr, chunks, grain, twins};

/// Accumulators side by side.
const LANES: usize = 32;

/// Row-major operands of [`layer_norm`]: `rows` rows of `n` elements, weight and bias of `n`, one mean and one `rstd` a row.
pub struct LayerNorm<T> {
    /// What is normalised.
    pub x: SendPtr<T>,
    /// Factors.
    pub weight: Option<SendPtr<T>>,
    /// Terms.
    pub bias: Option<SendPtr<T>>,
    /// The result.
    pub out: SendPtr<T>,
    /// Means.
    pub mean: SendPtr<T>,
    /// Reciprocals of the standard deviations.
    pub rstd: SendPtr<T>,
    /// Number of rows.
    pub rows: usize,
    /// Their length.
    pub n: usize,
    /// Added to variances.
    pub eps: f64,
}

/// `(x - mean) / sqrt(var + eps) * weight + bias` for each row, with its statistics.
///
/// # Safety
/// Every operand has its elements; the results overlap nothing.
pub unsafe fn layer_norm<T: Number<Acc = T>>(p: &LayerNorm<T>) {
    chunks(p.rows, grain(4 * p.n), |r| {
        for row in r {
            // SAFETY: row `row` of every operand, which no other thread writes.
            unsafe {
                let x = std::slice::from_raw_parts(p.x.get().add(row * p.n), p.n);
                let (mean, var) = moments(x);
                let rstd = 1.0 / (var + p.eps).sqrt();
                p.mean.get().add(row).write(T::from_f64(mean));
                p.rstd.get().add(row).write(T::from_f64(rstd));
                let part = |v: Option<SendPtr<T>>| v.map(|v| std::slice::from_raw_parts(v.get(), p.n));
                let out = p.out.add(row * p.n);
                scale(out, x, T::from_f64(mean), T::from_f64(rstd), part(p.weight), part(p.bias));
            }
        }
    });
}

twins!(
    /// Mean and (biased) variance, by two passes.
    fn moments[T: Number<Acc = T>][T](x: &[T]) -> (f64, f64) {
        let (n, whole) = (x.len() as f64, x.len() / LANES * LANES);
        let mut lanes = [T::ZERO; LANES];
        let mut i = 0;
        while i < whole {
            for l in 0..LANES {
                lanes[l] = lanes[l].add(x[i + l]);
            }
            i += LANES;
        }
        let mut sum = 0.0;
        for l in 0..LANES {
            sum += lanes[l].to_f64();
        }
        for i in whole..x.len() {
            sum += x[i].to_f64();
        }
        let mean = sum / n;
        let near = T::from_f64(mean);
        lanes = [T::ZERO; LANES];
        i = 0;
        while i < whole {
            for l in 0..LANES {
                let d = x[i + l].sub(near);
                lanes[l] = lanes[l].add(d.mul(d));
            }
            i += LANES;
        }
        let mut squares = 0.0;
        for l in 0..LANES {
            squares += lanes[l].to_f64();
        }
        for i in whole..x.len() {
            let d = x[i].sub(near).to_f64();
            squares += d * d;
        }
        (mean, squares / n)
    }
);

twins!(
    fn scale[T: Number<Acc = T>][T](out: SendPtr<T>, x: &[T], mean: T, rstd: T, weight: Option<&[T]>, bias: Option<&[T]>) {
        // SAFETY: the caller's promise: as many results as elements, in memory of their own.
        let out = unsafe { std::slice::from_raw_parts_mut(out.get(), x.len()) };
        match (weight, bias) {
            (Some(w), Some(b)) => {
                for i in 0..x.len() {
                    out[i] = x[i].sub(mean).mul(rstd).mul(w[i]).add(b[i]);
                }
            }
            (Some(w), None) => {
                for i in 0..x.len() {
                    out[i] = x[i].sub(mean).mul(rstd).mul(w[i]);
                }
            }
            (None, Some(b)) => {
                for i in 0..x.len() {
                    out[i] = x[i].sub(mean).mul(rstd).add(b[i]);
                }
            }
            (None, None) => {
                for i in 0..x.len() {
                    out[i] = x[i].sub(mean).mul(rstd);
                }
            }
        }
    }
);
