//! Cross entropy of logits `[N, C, S]` against class indices: losses without log-probabilities, where nobody will ask for them, and
//! the gradient of the logits from log-probabilities.

use crate::cpu::index::BadIndex;
use crate::cpu::loss::{Positions, Reduction, reduced, share};
use crate::cpu::number::Number;
use crate::cpu::simd::{SendPtr, chunks, grain, twins};
use crate::cpu::softmax::{LANES, VecFloat, WIDTH, blocks};
use crate::cpu::view::{View, ViewMut};

/// A row-major `[N, C, S]` cut into pieces for threads: whole rows where they are contiguous, else blocks of columns.
fn pieces([outer, classes, inner]: [usize; 3], f: impl Fn(usize, usize, usize) + Sync) {
    let blocks = inner.div_ceil(WIDTH);
    chunks(outer * blocks, grain(8 * classes * inner.min(WIDTH)), |r| {
        for unit in r {
            let s = unit % blocks * WIDTH;
            f(unit / blocks, s, (inner - s).min(WIDTH));
        }
    });
}

/// The three sizes of a row-major view.
fn sizes(shape: &[usize], contiguous: bool) -> [usize; 3] {
    assert!(contiguous && shape.len() == 3, "cross entropy takes row-major [N, C, S]");
    [shape[0], shape[1], shape[2]]
}

/// The loss of [`super::loss::nll_loss`] over the logarithm of the softmax of logits: the same numbers as if that were stored.
pub fn cross_entropy<T: Number>(
    out: ViewMut<T>,
    x: View<T>,
    target: View<i64>,
    weight: Option<View<T>>,
    ignore_index: i64,
    reduction: Reduction,
) -> Result<T::Acc, BadIndex>
where
    T::Acc: VecFloat,
{
    let [outer, classes, inner] = sizes(x.shape, x.is_contiguous());
    let p = Positions::new(target, classes, ignore_index)?;
    // of each position the largest logit, and the logarithm of the sum of the exponentials of what is left
    let mut totals = vec![(T::Acc::ZERO, T::Acc::ZERO); outer * inner];
    let (to, from) = (SendPtr(totals.as_mut_ptr()), SendPtr(x.ptr().cast_mut()));
    pieces([outer, classes, inner], |n, s, len| {
        let (x, to) = (from.add(n * classes * inner + s), to.add(n * inner + s));
        if inner == 1 {
            // SAFETY: each row has its own place.
            unsafe { to.get().write(row_total(x, classes)) };
        } else {
            column_totals(to, x, inner, classes, len);
        }
    });
    let pick = |i: usize, (n, s): (usize, usize), class: usize| {
        let (max, rest) = totals[i];
        // SAFETY: position and class exist.
        unsafe { x.at((n * classes + class) * inner + s) }.acc().sub(max).sub(rest)
    };
    Ok(reduced(out, &p, &weight, reduction, pick))
}

/// The gradient of the logits: `exp(y)` times each position's share of the loss's gradient, less that share at its target. `gx` and
/// the log-probabilities `y` are row-major.
#[allow(clippy::too_many_arguments, reason = "the loss has as many")]
pub fn cross_entropy_grad<T: Number>(
    gx: ViewMut<T>,
    y: View<T>,
    grad: View<T>,
    target: View<i64>,
    weight: Option<View<T>>,
    ignore_index: i64,
    reduction: Reduction,
    total_weight: T::Acc,
) -> Result<(), BadIndex>
where
    T::Acc: VecFloat,
{
    let [outer, classes, inner] = sizes(gx.shape, gx.is_contiguous() && y.is_contiguous() && y.shape == gx.shape);
    let p = Positions::new(target, classes, ignore_index)?;
    let (to, from) = (SendPtr(gx.ptr()), SendPtr(y.ptr().cast_mut()));
    let of =
        |i: usize| p.counted(i).map(|(at, class)| (share(&grad, &weight, reduction, total_weight, at, class), class));
    pieces([outer, classes, inner], |n, s, len| {
        let at = n * classes * inner + s;
        let (gx, y) = (to.add(at), from.add(at));
        let mut shares = [T::Acc::ZERO; WIDTH];
        for c in 0..len {
            shares[c] = of(n * inner + s + c).map_or(T::Acc::ZERO, |(share, _)| share);
        }
        if inner == 1 {
            scaled_row(gx, y, classes, shares[0]);
        } else {
            scaled_columns(gx, y, SendPtr(shares.as_mut_ptr()), inner, classes, len);
        }
        for c in 0..len {
            if let Some((share, class)) = of(n * inner + s + c) {
                // SAFETY: the class exists.
                unsafe {
                    let v = gx.get().add(class * inner + c);
                    v.write(T::from_acc((*v).acc().sub(share)));
                }
            }
        }
    });
    Ok(())
}

twins!(avx512
    fn row_total[T: Number<Acc: VecFloat>][T](x: SendPtr<T>, n: usize; fma) -> (T::Acc, T::Acc) {
        let x = x.get().cast_const();
        // SAFETY: the row holds n elements.
        unsafe {
            let mut lanes = [T::Acc::LEAST; LANES];
            blocks!(n, |i, len| for l in 0..len {
                lanes[l] = lanes[l].larger((*x.add(i + l)).acc());
            });
            let max = T::Acc::max_of(&lanes);
            let mut lanes = [T::Acc::ZERO; LANES];
            blocks!(n, |i, len| for l in 0..len {
                lanes[l] = lanes[l].add((*x.add(i + l)).acc().sub(max).vec_exp(fma));
            });
            (max, T::Acc::sum_of(&lanes).ln())
        }
    }
);

twins!(avx512
    /// `len` columns at once; rows are `step` apart.
    fn column_totals[T: Number<Acc: VecFloat>][T](
        out: SendPtr<(T::Acc, T::Acc)>, x: SendPtr<T>, step: usize, n: usize, len: usize; fma
    ) {
        let x = x.get().cast_const();
        let (mut max, mut sum) = ([T::Acc::LEAST; WIDTH], [T::Acc::ZERO; WIDTH]);
        let (max, sum) = (&mut max[..len], &mut sum[..len]);
        // SAFETY: n rows of len columns, and a place for each column.
        unsafe {
            for k in 0..n {
                let x = x.add(k * step);
                for c in 0..len {
                    max[c] = max[c].larger((*x.add(c)).acc());
                }
            }
            for k in 0..n {
                let x = x.add(k * step);
                for c in 0..len {
                    sum[c] = sum[c].add((*x.add(c)).acc().sub(max[c]).vec_exp(fma));
                }
            }
            for c in 0..len {
                out.get().add(c).write((max[c], sum[c].ln()));
            }
        }
    }
);

twins!(avx512
    fn scaled_row[T: Number<Acc: VecFloat>][T](out: SendPtr<T>, y: SendPtr<T>, n: usize, scale: T::Acc; fma) {
        let (out, y) = (out.get(), y.get().cast_const());
        // SAFETY: both rows hold n elements.
        unsafe {
            blocks!(n, |i, len| for l in 0..len {
                out.add(i + l).write(T::from_acc((*y.add(i + l)).acc().vec_exp(fma).mul(scale)));
            });
        }
    }
);

twins!(avx512
    /// `len` columns at once, each with a scale of its own; rows are `step` apart.
    fn scaled_columns[T: Number<Acc: VecFloat>][T](
        out: SendPtr<T>, y: SendPtr<T>, scales: SendPtr<T::Acc>, step: usize, n: usize, len: usize; fma
    ) {
        let (out, y, scales) = (out.get(), y.get().cast_const(), scales.get().cast_const());
        // SAFETY: n rows of len columns, and a scale for each column.
        unsafe {
            for k in 0..n {
                let (y, out) = (y.add(k * step), out.add(k * step));
                for c in 0..len {
                    out.add(c).write(T::from_acc((*y.add(c)).acc().vec_exp(fma).mul(*scales.add(c))));
                }
            }
        }
    }
);
