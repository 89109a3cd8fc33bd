//! Running sums and products along a dim, from the front or from the back. Floats accumulate in f64.

use crate::cpu::number::Number;
use crate::cpu::simd::{SendPtr, Walk, chunks, grain};
use crate::cpu::view::{View, ViewMut};
use smallvec::SmallVec;

/// What a scan does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScanSpec {
    /// The dim it runs along.
    pub dim: usize,
    /// Products instead of sums.
    pub product: bool,
    /// From the last element to the first.
    pub reverse: bool,
}

/// `out[.., k, ..] = x[.., 0, ..] + … + x[.., k, ..]`; `out` is row-major and of the input's type, or of its accumulator's.
pub fn scan<T: Number, O: Number<Acc = T::Acc>>(out: ViewMut<O>, x: View<T>, spec: ScanSpec) {
    if T::DTYPE.is_float() {
        lines(out, x, spec, T::to_f64, |a, b| a + b, |a, b| a * b, [0.0, 1.0], O::from_f64);
    } else {
        let (zero, one) = (<T::Acc as Number>::ZERO, <T::Acc as Number>::ONE);
        lines(out, x, spec, T::acc, |a, b| a.add(b), |a, b| a.mul(b), [zero, one], O::from_acc);
    }
}

#[allow(clippy::too_many_arguments, reason = "the arithmetic of one accumulator")]
fn lines<T: Number, O: Number, A: Copy + Send + Sync>(
    out: ViewMut<O>,
    x: View<T>,
    spec: ScanSpec,
    widen: impl Fn(T) -> A + Sync,
    add: impl Fn(A, A) -> A + Sync,
    mul: impl Fn(A, A) -> A + Sync,
    [zero, one]: [A; 2],
    narrow: impl Fn(A) -> O + Sync,
) {
    let dim = spec.dim;
    let without =
        |s: &[usize]| -> SmallVec<[usize; 8]> { s.iter().enumerate().filter(|d| d.0 != dim).map(|d| *d.1).collect() };
    let (shape, sx, so) = (without(x.shape), without(x.strides), without(out.strides));
    let n = x.shape.get(dim).copied().unwrap_or(1);
    let step = |s: &[usize]| s.get(dim).copied().unwrap_or(1);
    let (step_x, step_o) = (step(x.strides), step(out.strides));
    let (from, to) = (SendPtr(x.ptr().cast_mut()), SendPtr(out.ptr()));
    chunks(shape.iter().product(), grain(2 * n), |r| {
        let mut walk = Walk::new(&shape, [&sx, &so], r.start);
        for _ in r {
            let place = |k: usize| if spec.reverse { n - 1 - k } else { k };
            // SAFETY: positions of both views.
            let load = |k: usize| widen(unsafe { *from.get().add(walk.at[0] + place(k) * step_x) });
            // SAFETY: as above; each line of `out` belongs to one thread.
            let store = |k: usize, v: A| unsafe { to.get().add(walk.at[1] + place(k) * step_o).write(narrow(v)) };
            if spec.product {
                (0..n).fold(one, |acc, k| {
                    let acc = mul(acc, load(k));
                    store(k, acc);
                    acc
                });
            } else {
                (0..n).fold(zero, |acc, k| {
                    let acc = add(acc, load(k));
                    store(k, acc);
                    acc
                });
            }
            walk.step();
        }
    });
}
