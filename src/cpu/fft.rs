//! Fourier transforms of the lines along a dim, by the `rustfft` crate.

use crate::cpu::simd::{SendPtr, Walk, chunks, grain};
use crate::cpu::view::{View, ViewMut};
use num_complex::Complex;
use rustfft::{FftNum, FftPlanner};
use smallvec::SmallVec;

/// `out = scale * DFT(x)` along one dim; `out` may be the memory of `x` where their strides are equal.
pub fn transform<T: FftNum>(out: ViewMut<Complex<T>>, x: View<Complex<T>>, dim: usize, inverse: bool, scale: T) {
    let n = x.shape[dim];
    if n == 0 || out.numel() == 0 {
        return;
    }
    let mut planner = FftPlanner::<T>::new();
    let plan = if inverse { planner.plan_fft_inverse(n) } else { planner.plan_fft_forward(n) };
    let without =
        |s: &[usize]| -> SmallVec<[usize; 8]> { s.iter().enumerate().filter(|d| d.0 != dim).map(|d| *d.1).collect() };
    let (shape, from, to) = (without(x.shape), without(x.strides), without(out.strides));
    let (dx, dy) = (x.strides[dim], out.strides[dim]);
    let (x, out) = (SendPtr(x.ptr().cast_mut()), SendPtr(out.ptr()));
    let zero = Complex::new(T::zero(), T::zero());
    let work = n * (n.ilog2() as usize + 1);
    chunks(shape.iter().product(), grain(8 * work), |r| {
        let mut line = vec![zero; n];
        let mut scratch = vec![zero; plan.get_inplace_scratch_len()];
        let mut walk = Walk::new(&shape, [&from, &to], r.start);
        for _ in r {
            for (k, z) in line.iter_mut().enumerate() {
                // SAFETY: a position of the view.
                *z = unsafe { x.get().add(walk.at[0] + k * dx).read() };
            }
            plan.process_with_scratch(&mut line, &mut scratch);
            for (k, z) in line.iter().enumerate() {
                // SAFETY: as above; each line belongs to one thread.
                unsafe { out.get().add(walk.at[1] + k * dy).write(z * scale) };
            }
            walk.step();
        }
    });
}
