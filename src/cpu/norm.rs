//! Layer normalisation: rows of contiguous memory, read for their mean, their variance and their result while they are in the
//! cache.

use crate::cpu::fold::{Fold, fold_slice};
use crate::cpu::number::Number;
use crate::cpu::reduce::Sum;
use crate::cpu::simd::{SERIAL, SendPtr, chunks, grain, twins};

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

/// Sum of squared distances from a value, in the type itself.
#[derive(Clone, Copy)]
struct Spread<T>(T);

impl<T: Number<Acc = T>> Fold<T> for Spread<T> {
    type Acc = T;
    #[inline(always)]
    fn empty(&self) -> T {
        T::ZERO
    }
    #[inline(always)]
    fn step(&self, a: T, x: T) -> T {
        let d = x.sub(self.0);
        a.add(d.mul(d))
    }
    #[inline(always)]
    fn join(&self, a: T, b: T) -> T {
        a.add(b)
    }
}

/// Mean and (biased) variance, by two passes.
fn moments<T: Number<Acc = T>>(x: &[T]) -> (f64, f64) {
    let n = x.len() as f64;
    let mean = fold_slice(&Sum::<T>::default(), x).to_f64() / n;
    (mean, fold_slice(&Spread(T::from_f64(mean)), x).to_f64() / n)
}

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

/// Row-major operands of [`layer_norm_grad`], of the sizes that [`LayerNorm`] has.
pub struct LayerNormGrad<T> {
    /// The result's gradient.
    pub grad: SendPtr<T>,
    /// What was normalised.
    pub x: SendPtr<T>,
    /// Means.
    pub mean: SendPtr<T>,
    /// Reciprocals of the standard deviations.
    pub rstd: SendPtr<T>,
    /// Factors.
    pub weight: Option<SendPtr<T>>,
    /// The gradient of what was normalised.
    pub gx: SendPtr<T>,
    /// The factors' gradient.
    pub gw: SendPtr<T>,
    /// The terms' gradient.
    pub gb: SendPtr<T>,
    /// Number of rows.
    pub rows: usize,
    /// Their length.
    pub n: usize,
}

/// Most rows whose gradients of factors and terms are added up one by one, before they are added pairwise.
const ROWS: usize = 64;

/// The three gradients of [`layer_norm`], every row read once: with `y = (x - mean) * rstd` and `d = grad * weight`,
/// `gx = rstd * (d - mean of d - y * mean of d * y)`, `gw` the sum of `grad * y` and `gb` of `grad` over rows.
///
/// # Safety
/// Every operand has its elements; the results overlap nothing. There is at least one element.
pub unsafe fn layer_norm_grad<T: Number<Acc = T>>(p: &LayerNormGrad<T>) {
    let n = p.n;
    let ones;
    let weight = match p.weight {
        // SAFETY: the caller's promise.
        Some(w) => unsafe { std::slice::from_raw_parts(w.get().cast_const(), n) },
        None => {
            ones = vec![T::ONE; n];
            &ones[..]
        }
    };
    // at most 64 parts, however long the rows are
    let piece = (SERIAL / 2 / n).clamp(1, ROWS).max(p.rows.div_ceil(64));
    let mut count = p.rows.div_ceil(piece);
    let mut parts = vec![T::ZERO; count * 2 * n];
    let to = SendPtr(parts.as_mut_ptr());
    chunks(p.rows, piece, |r| {
        // SAFETY: each piece has its own part, and its own rows of every operand.
        unsafe {
            let part = std::slice::from_raw_parts_mut(to.get().add(r.start / piece * 2 * n), 2 * n);
            let (gw, gb) = part.split_at_mut(n);
            for row in r {
                let from = |v: SendPtr<T>| std::slice::from_raw_parts(v.get().cast_const().add(row * n), n);
                let gx = std::slice::from_raw_parts_mut(p.gx.get().add(row * n), n);
                let (mean, rstd) = (*p.mean.get().add(row), *p.rstd.get().add(row));
                grad_row(from(p.grad), from(p.x), weight, mean, rstd, gx, gw, gb);
            }
        }
    });
    while count > 1 {
        let half = count.div_ceil(2);
        let (low, high) = parts[..count * 2 * n].split_at_mut(half * 2 * n);
        low.iter_mut().zip(&*high).for_each(|(a, b)| *a = a.add(*b));
        count = half;
    }
    // SAFETY: the caller's promise: room for n elements each.
    unsafe {
        std::ptr::copy_nonoverlapping(parts.as_ptr(), p.gw.get(), n);
        std::ptr::copy_nonoverlapping(parts.as_ptr().add(n), p.gb.get(), n);
    }
}

/// Sums side by side of [`grad_row`].
const SUMS: usize = 64;

twins!(
    fn grad_row[T: Number<Acc = T>][T](grad: &[T], x: &[T], weight: &[T], mean: T, rstd: T, gx: &mut [T], gw: &mut [T], gb: &mut [T]) {
        let n = x.len();
        let (grad, weight, gx, gw, gb) = (&grad[..n], &weight[..n], &mut gx[..n], &mut gw[..n], &mut gb[..n]);
        let (mut shift, mut slope) = ([T::ZERO; SUMS], [T::ZERO; SUMS]);
        let mut first = 0;
        while first < n {
            let len = (n - first).min(SUMS);
            let (grad, x, weight) = (&grad[first..first + len], &x[first..first + len], &weight[first..first + len]);
            let (gw, gb) = (&mut gw[first..first + len], &mut gb[first..first + len]);
            let (shift, slope) = (&mut shift[..len], &mut slope[..len]);
            for i in 0..len {
                let (y, d) = (x[i].sub(mean).mul(rstd), grad[i].mul(weight[i]));
                shift[i] = shift[i].add(d);
                slope[i] = slope[i].add(d.mul(y));
                gw[i] = gw[i].add(grad[i].mul(y));
                gb[i] = gb[i].add(grad[i]);
            }
            first += SUMS;
        }
        let share = |sums: &mut [T; SUMS]| {
            let mut width = SUMS;
            while width > 1 {
                width /= 2;
                for l in 0..width {
                    sums[l] = sums[l].add(sums[l + width]);
                }
            }
            T::from_f64(sums[0].to_f64() / n as f64)
        };
        let (shift, slope) = (share(&mut shift), share(&mut slope));
        for i in 0..n {
            let (y, d) = (x[i].sub(mean).mul(rstd), grad[i].mul(weight[i]));
            gx[i] = d.sub(shift).sub(y.mul(slope)).mul(rstd);
        }
    }
);
