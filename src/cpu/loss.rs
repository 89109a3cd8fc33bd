//! The negative log-likelihood: picks one class a position, with class weights and an index that counts for nothing.

use crate::cpu::copy::fill;
use crate::cpu::index::BadIndex;
use crate::cpu::number::Number;
use crate::cpu::simd::{SERIAL, SendPtr, chunks};
use crate::cpu::view::{View, ViewMut};

/// Positions whose losses are summed plainly before the sums are joined.
const CHUNK: usize = 1024;

/// How losses become one number, or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduction {
    /// One loss a position.
    None,
    /// Their sum divided by the sum of their weights (NaN where that is 0).
    Mean,
    /// Their sum.
    Sum,
}

/// Input `[N, C, S]`, target `[N, S]`: `S` is 1 for `[N, C]` input and the product of the dims behind C else.
pub(super) struct Positions<'a> {
    target: View<'a, i64>,
    classes: usize,
    ignore: i64,
}

impl Positions<'_> {
    pub fn new(target: View<'_, i64>, classes: usize, ignore: i64) -> Result<Positions<'_>, BadIndex> {
        let p = Positions { target, classes, ignore };
        for i in 0..p.len() {
            let value = p.class(i).1;
            if value != ignore && (value < 0 || value >= classes as i64) {
                return Err(BadIndex { value, dim: 1, size: classes });
            }
        }
        Ok(p)
    }

    pub fn len(&self) -> usize {
        self.target.numel()
    }

    /// Position `i` as (n, s), and its target.
    #[inline(always)]
    fn class(&self, i: usize) -> ((usize, usize), i64) {
        let s = self.target.shape[1];
        let at = (i / s, i % s);
        // SAFETY: i is below the number of targets.
        (at, unsafe { self.target.at(at.0 * self.target.strides[0] + at.1 * self.target.strides[1]) })
    }

    /// Position and class of `i`, unless it is ignored.
    #[inline(always)]
    pub fn counted(&self, i: usize) -> Option<((usize, usize), usize)> {
        let (at, class) = self.class(i);
        debug_assert!(class == self.ignore || (class as usize) < self.classes);
        (class != self.ignore).then_some((at, class as usize))
    }
}

/// The factor of a class.
#[inline(always)]
pub(super) fn weight_of<T: Number>(weight: &Option<View<T>>, class: usize) -> T::Acc {
    // SAFETY: the weight holds one element a class.
    weight.as_ref().map_or(T::Acc::ONE, |w| unsafe { w.at(class * w.strides[0]) }.acc())
}

/// `-weight[t] * x[n, t, s]` for each target `t`, reduced. `x` is `[N, C, S]`, `target` `[N, S]`, `weight` `[C]`; `out` is
/// `[N, S]` for no reduction, else one element. Returns the sum of the weights that counted, which the gradient of the mean
/// needs. A target outside the classes is refused.
pub fn nll_loss<T: Number>(
    out: ViewMut<T>,
    x: View<T>,
    target: View<i64>,
    weight: Option<View<T>>,
    ignore_index: i64,
    reduction: Reduction,
) -> Result<T::Acc, BadIndex> {
    let p = Positions::new(target, x.shape[1], ignore_index)?;
    // SAFETY: position and class exist.
    let pick = |_, (row, s), class| unsafe { x.at(row * x.strides[0] + class * x.strides[1] + s * x.strides[2]) }.acc();
    Ok(reduced(out, &p, &weight, reduction, pick))
}

/// [`nll_loss`] of positions whose log-probabilities `pick` tells, by position, its place and the class.
pub(super) fn reduced<T: Number>(
    out: ViewMut<T>,
    p: &Positions,
    weight: &Option<View<T>>,
    reduction: Reduction,
    pick: impl Fn(usize, (usize, usize), usize) -> T::Acc + Sync,
) -> T::Acc {
    let n = p.len();
    let mut parts = vec![(T::Acc::ZERO, T::Acc::ZERO); n.div_ceil(CHUNK)];
    let (to, each) = (SendPtr(parts.as_mut_ptr()), SendPtr(out.ptr()));
    chunks(parts.len(), SERIAL / CHUNK, |r| {
        for chunk in r {
            let (mut sum, mut total) = (T::Acc::ZERO, T::Acc::ZERO);
            for i in chunk * CHUNK..((chunk + 1) * CHUNK).min(n) {
                let ((row, s), counted) = (p.class(i).0, p.counted(i));
                let loss = counted.map_or(T::Acc::ZERO, |(at, class)| {
                    let w = weight_of(weight, class);
                    total = total.add(w);
                    T::Acc::ZERO.sub(w.mul(pick(i, at, class)))
                });
                if reduction == Reduction::None {
                    // SAFETY: out has an element for each position.
                    unsafe { each.get().add(row * out.strides[0] + s * out.strides[1]).write(T::from_acc(loss)) };
                }
                sum = sum.add(loss);
            }
            // SAFETY: each chunk has its own place.
            unsafe { to.get().add(chunk).write((sum, total)) };
        }
    });
    let (sum, total) = parts.iter().fold((T::Acc::ZERO, T::Acc::ZERO), |a, b| (a.0.add(b.0), a.1.add(b.1)));
    let value = match reduction {
        Reduction::None => return total,
        Reduction::Sum => sum,
        Reduction::Mean => sum.div(total),
    };
    // SAFETY: one element.
    unsafe { out.put(0, T::from_acc(value)) };
    total
}

/// The gradient of [`nll_loss`]'s input: `gx` is `[N, C, S]`, `grad` `[N, S]` for no reduction, else one element;
/// `total_weight` is what the forward call returned.
#[allow(clippy::too_many_arguments, reason = "the loss has as many")]
pub fn nll_loss_grad<T: Number>(
    gx: ViewMut<T>,
    grad: View<T>,
    target: View<i64>,
    weight: Option<View<T>>,
    ignore_index: i64,
    reduction: Reduction,
    total_weight: T::Acc,
) -> Result<(), BadIndex> {
    let p = Positions::new(target, gx.shape[1], ignore_index)?;
    fill(gx, T::ZERO);
    let to = SendPtr(gx.ptr());
    chunks(p.len(), SERIAL / 2, |r| {
        for i in r {
            let Some(((row, s), class)) = p.counted(i) else { continue };
            let g = share(&grad, &weight, reduction, total_weight, (row, s), class);
            let at = row * gx.strides[0] + class * gx.strides[1] + s * gx.strides[2];
            // SAFETY: position and class exist, and each position writes one element of its own.
            unsafe { to.get().add(at).write(T::from_acc(T::Acc::ZERO.sub(g))) };
        }
    });
    Ok(())
}

/// What of the loss's gradient falls to a position that counts.
#[inline(always)]
pub(super) fn share<T: Number>(
    grad: &View<T>,
    weight: &Option<View<T>>,
    reduction: Reduction,
    total_weight: T::Acc,
    (row, s): (usize, usize),
    class: usize,
) -> T::Acc {
    let offset = if reduction == Reduction::None { row * grad.strides[0] + s * grad.strides[1] } else { 0 };
    // SAFETY: the position exists.
    let g = unsafe { grad.at(offset) }.acc().mul(weight_of(weight, class));
    if reduction == Reduction::Mean { g.div(total_weight) } else { g }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two images, three classes, two places; class 1 weighs 2, class 2 nothing special; one target is ignored.
    const X: [f64; 12] = [-1.0, -2.0, -3.0, -4.0, -5.0, -6.0, -7.0, -8.0, -9.0, -10.0, -11.0, -12.0];
    const T: [i64; 4] = [0, 1, -100, 2];
    const W: [f64; 3] = [1.0, 2.0, 0.5];

    fn run(reduction: Reduction, weighted: bool, n: usize) -> (Vec<f64>, f64, Vec<f64>) {
        let mut out = vec![77.0; n];
        let (shape, st) = (if n == 1 { [1, 1] } else { [2, 2] }, [2, 1]);
        let w = weighted.then(|| View::from_slice(&W, &[3], &[1]));
        let (x, t) = (View::from_slice(&X, &[2, 3, 2], &[6, 2, 1]), View::from_slice(&T, &[2, 2], &[2, 1]));
        let total = nll_loss(ViewMut::from_slice(&mut out, &shape, &st), x, t, w, -100, reduction).unwrap();
        let g = [1.0, 10.0, 100.0, 1000.0];
        let mut gx = vec![55.0; 12];
        let to = ViewMut::from_slice(&mut gx, &[2, 3, 2], &[6, 2, 1]);
        nll_loss_grad(to, View::from_slice(&g, &shape, &st), t, w, -100, reduction, total).unwrap();
        (out, total, gx)
    }

    #[test]
    fn each_reduction_with_and_without_weights() {
        // positions: (0,0)->class 0: 1; (0,1)->class 1: 4; (1,0) ignored; (1,1)->class 2: 12
        let (out, total, gx) = run(Reduction::None, false, 4);
        assert_eq!((out, total), (vec![1.0, 4.0, 0.0, 12.0], 3.0));
        assert_eq!(gx, [-1.0, 0.0, 0.0, -10.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -1000.0]);
        let (out, total, gx) = run(Reduction::Sum, true, 1);
        assert_eq!((out, total), (vec![1.0 + 8.0 + 6.0], 3.5));
        assert_eq!(gx, [-1.0, 0.0, 0.0, -2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -0.5]);
        let (out, _, gx) = run(Reduction::Mean, true, 1);
        assert_eq!(out, [15.0 / 3.5]);
        assert_eq!(gx[3], -2.0 / 3.5);
    }

    #[test]
    fn nothing_counted_and_targets_out_of_range() {
        let x = [-1.0f32, -2.0];
        let loss = |t: [i64; 1], reduction| {
            let mut out = [9f32];
            let (v, t) = (View::from_slice(&x, &[1, 2, 1], &[2, 1, 1]), View::from_slice(&t, &[1, 1], &[1, 1]));
            nll_loss(ViewMut::from_slice(&mut out, &[1, 1], &[1, 1]), v, t, None, -100, reduction).map(|_| out[0])
        };
        assert!(loss([-100], Reduction::Mean).unwrap().is_nan());
        assert_eq!(loss([-100], Reduction::Sum), Ok(0.0));
        assert_eq!(loss([1], Reduction::Mean), Ok(2.0));
        assert_eq!(loss([2], Reduction::Mean), Err(BadIndex { value: 2, dim: 1, size: 2 }));
        assert_eq!(loss([-1], Reduction::Sum), Err(BadIndex { value: -1, dim: 1, size: 2 }));
    }

    #[test]
    fn many_positions_sum_to_what_they_are() {
        let n = 10_000;
        let x: Vec<f32> = (0..3 * n).map(|i| -((i * 7919 % 1000) as f32) / 1000.0).collect();
        let t: Vec<i64> = (0..n as i64).map(|i| i % 3).collect();
        let mut out = [0f32];
        let (hx, ht) = ([n, 3, 1], [n, 1]);
        let (v, t) = (View::from_slice(&x, &hx, &[3, 1, 1]), View::from_slice(&t, &ht, &[1, 1]));
        nll_loss(ViewMut::from_slice(&mut out, &[1, 1], &[1, 1]), v, t, None, -100, Reduction::Mean).unwrap();
        let want: f64 = (0..n).map(|i| -f64::from(x[3 * i + i % 3])).sum::<f64>() / n as f64;
        assert!((f64::from(out[0]) - want).abs() < 1e-6);
    }
}
