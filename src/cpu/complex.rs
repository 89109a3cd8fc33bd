//! Products of complex numbers along dims: what pairs of real numbers cannot do apart from each other.

use crate::cpu::scan::ScanSpec;
use crate::cpu::view::{View, ViewMut};
use crate::dtype::Element;
use num_complex::Complex;

/// A complex element, multiplied in float64.
pub trait ComplexElement: Element {
    /// As float64 parts.
    fn wide(self) -> Complex<f64>;
    /// Rounded once.
    fn narrow(z: Complex<f64>) -> Self;
}

impl ComplexElement for Complex<f32> {
    fn wide(self) -> Complex<f64> {
        Complex::new(self.re.into(), self.im.into())
    }
    fn narrow(z: Complex<f64>) -> Self {
        Complex::new(z.re as f32, z.im as f32)
    }
}

impl ComplexElement for Complex<f64> {
    fn wide(self) -> Complex<f64> {
        self
    }
    fn narrow(z: Complex<f64>) -> Self {
        z
    }
}

/// Calls `f` with the sums of index times stride of two views over a shape.
fn each(shape: &[usize], strides: [&[usize]; 2], at: [usize; 2], f: &mut dyn FnMut([usize; 2])) {
    match shape.split_first() {
        None => f(at),
        Some((&n, rest)) => {
            for i in 0..n {
                let next = [at[0] + i * strides[0][0], at[1] + i * strides[1][0]];
                each(rest, [&strides[0][1..], &strides[1][1..]], next, f);
            }
        }
    }
}

/// The products over the dims of the mask; `out` is row-major over the others.
pub fn prod<T: ComplexElement>(out: ViewMut<T>, x: View<T>, mask: &[bool]) {
    let mut acc = vec![Complex::new(1.0, 0.0); out.numel()];
    // the result's strides over the input's dims: 0 where they are reduced
    let mut to = vec![0; x.shape.len()];
    let mut step = 1;
    for d in (0..x.shape.len()).rev().filter(|&d| !mask[d]) {
        to[d] = step;
        step *= x.shape[d];
    }
    each(x.shape, [x.strides, &to], [0, 0], &mut |[from, to]| {
        // SAFETY: a position of the view.
        acc[to] *= unsafe { *x.ptr().add(from) }.wide();
    });
    for (i, z) in acc.into_iter().enumerate() {
        // SAFETY: as many elements as the row-major result has.
        unsafe { out.ptr().add(i).write(T::narrow(z)) };
    }
}

/// Running products along a dim.
pub fn cumprod<T: ComplexElement>(out: ViewMut<T>, x: View<T>, spec: ScanSpec) {
    let without =
        |s: &[usize]| -> Vec<usize> { s.iter().enumerate().filter(|d| d.0 != spec.dim).map(|d| *d.1).collect() };
    let (shape, from, to) = (without(x.shape), without(x.strides), without(out.strides));
    let n = x.shape.get(spec.dim).copied().unwrap_or(1);
    let step = |s: &[usize]| s.get(spec.dim).copied().unwrap_or(1);
    let (dx, dy) = (step(x.strides), step(out.strides));
    each(&shape, [&from, &to], [0, 0], &mut |[from, to]| {
        let mut acc = Complex::new(1.0, 0.0);
        for k in 0..n {
            let k = if spec.reverse { n - 1 - k } else { k };
            // SAFETY: positions of both views.
            unsafe {
                acc *= (*x.ptr().add(from + k * dx)).wide();
                out.ptr().add(to + k * dy).write(T::narrow(acc));
            }
        }
    });
}
