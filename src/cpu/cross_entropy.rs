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

/// The loss of [`super::loss::nll_loss`] over the logarithm of the softmax of logits, which is not stored.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::loss::{nll_loss, nll_loss_grad};
    use crate::cpu::softmax::few::FEW;
    use crate::cpu::softmax::{SHORT, softmax, softmax_grad};

    /// The same numbers as two kernels each way give: bit for bit, but where softmax alone adds short rows and few columns in another
    /// order.
    fn check<T: Number + PartialEq + std::fmt::Debug>(shape: [usize; 3], weighted: bool, reduction: Reduction)
    where
        T::Acc: VecFloat + PartialEq + std::fmt::Debug,
    {
        let [outer, classes, inner] = shape;
        let (n, rows) = (outer * classes * inner, outer * inner);
        let made = |n: usize, k: usize| -> Vec<T> {
            (0..n).map(|i| T::from_f64(((i * 7919 + k * 31) % 1009) as f64 / 100.0 - 5.0)).collect()
        };
        let (x, weights) = (made(n, 1), made(classes, 2));
        let t: Vec<i64> = (0..rows).map(|i| if i % 5 == 3 { -7 } else { ((i * 3) % classes) as i64 }).collect();
        let (sx, st) = ([classes * inner, inner, 1], [inner, 1]);
        let each = if reduction == Reduction::None { [outer, inner] } else { [1, 1] };
        let g = made(each[0] * each[1], 3);
        let vx = View::from_slice(&x, &shape, &sx);
        let (hold, sw) = ([outer, inner], [classes]);
        let vt = View::from_slice(&t, &hold, &st);
        let w = weighted.then(|| View::from_slice(&weights, &sw, &[1]));
        let vg = View::from_slice(&g, &each, &st);
        let (mut log, mut mid, mut want) = (vec![T::ZERO; n], vec![T::ZERO; n], vec![T::ZERO; n]);
        let (mut losses, mut found, mut got) = (vec![T::ZERO; g.len()], vec![T::ZERO; g.len()], vec![T::ONE; n]);
        softmax(ViewMut::from_slice(&mut log, &shape, &sx), vx, 1, true);
        let y = View::from_slice(&log, &shape, &sx);
        let total = nll_loss(ViewMut::from_slice(&mut losses, &each, &st), y, vt, w, -7, reduction).unwrap();
        let alone = cross_entropy(ViewMut::from_slice(&mut found, &each, &st), vx, vt, w, -7, reduction).unwrap();
        assert_eq!(alone, total, "{shape:?} {reduction:?}");
        let exact = if inner == 1 { classes > SHORT } else { inner > FEW };
        assert!(!exact || found == losses, "{shape:?} {reduction:?}");
        near(&found, &losses);
        nll_loss_grad(ViewMut::from_slice(&mut mid, &shape, &sx), vg, vt, w, -7, reduction, total).unwrap();
        softmax_grad(ViewMut::from_slice(&mut want, &shape, &sx), View::from_slice(&mid, &shape, &sx), y, 1, true);
        cross_entropy_grad(ViewMut::from_slice(&mut got, &shape, &sx), y, vg, vt, w, -7, reduction, total).unwrap();
        assert!(!exact || got == want, "{shape:?} {reduction:?}");
        near(&got, &want);
    }

    fn near<T: Number>(got: &[T], want: &[T]) {
        let digits = if size_of::<T>() == 4 { 2e-6 } else { 1e-14 };
        for (g, w) in got.iter().zip(want).map(|(g, w)| (g.to_f64(), w.to_f64())) {
            assert!((g - w).abs() <= digits * w.abs().max(1.0), "{g} {w}");
        }
    }

    #[test]
    fn one_kernel_each_way_gives_what_two_give() {
        for reduction in [Reduction::None, Reduction::Mean, Reduction::Sum] {
            for shape in [[70, 10, 1], [3, 515, 1], [4, 1, 1], [2, 7, 150], [3, 70, 9]] {
                check::<f32>(shape, false, reduction);
                check::<f64>(shape, true, reduction);
            }
        }
    }

    #[test]
    fn nothing_counted_and_targets_out_of_range() {
        let x = [-1.0f32, -2.0];
        let run = |t: i64| {
            let (mut out, mut gx) = ([9f32], [9f32; 2]);
            let (v, target) = (View::from_slice(&x, &[1, 2, 1], &[2, 1, 1]), [t]);
            let target = View::from_slice(&target, &[1, 1], &[1, 1]);
            let total =
                cross_entropy(ViewMut::from_slice(&mut out, &[1, 1], &[1, 1]), v, target, None, -100, Reduction::Mean)?;
            let (to, g) = (ViewMut::from_slice(&mut gx, &[1, 2, 1], &[2, 1, 1]), [1f32]);
            let g = View::from_slice(&g, &[1, 1], &[1, 1]);
            cross_entropy_grad(to, v, g, target, None, -100, Reduction::Mean, total).map(|()| (out[0], gx))
        };
        let (loss, gx) = run(-100).unwrap();
        assert!(loss.is_nan() && gx == [0.0; 2]);
        assert_eq!(run(2), Err(BadIndex { value: 2, dim: 1, size: 2 }));
        assert_eq!(run(-1), Err(BadIndex { value: -1, dim: 1, size: 2 }));
    }
}
