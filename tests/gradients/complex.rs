//! Cases with complex numbers.

use super::{Case, at, one};
use wgtorch::prelude::*;

/// Complex numbers as pairs of real ones: what comes out is taken apart again.
pub fn cases() -> Vec<Case> {
    fn f(name: &'static str, f: fn(&Tensor) -> Tensor) -> Case {
        one(name, &[&[3, 2]], move |x| f(&x[0].view_as_complex()).view_as_real())
    }
    fn real(name: &'static str, f: fn(&Tensor) -> Tensor) -> Case {
        one(name, &[&[3, 2]], move |x| f(&x[0].view_as_complex()))
    }
    fn two(name: &'static str, f: fn(&Tensor, &Tensor) -> Tensor) -> Case {
        one(name, &[&[4, 2], &[4, 2]], move |x| f(&x[0].view_as_complex(), &x[1].view_as_complex()).view_as_real())
    }
    let i = Complex::new(0.3, 1.0);
    vec![
        f("complex exp", Tensor::exp),
        f("complex log", Tensor::log),
        f("complex sqrt", Tensor::sqrt),
        f("complex rsqrt", Tensor::rsqrt),
        f("complex reciprocal", Tensor::reciprocal),
        f("complex square", Tensor::square),
        f("complex sin", Tensor::sin),
        f("complex tan", Tensor::tan),
        f("complex tanh", Tensor::tanh),
        f("complex cosh", Tensor::cosh),
        f("complex asin", Tensor::asin),
        f("complex atanh", Tensor::atanh),
        f("complex sigmoid", Tensor::sigmoid),
        f("complex sgn", Tensor::sgn),
        f("complex conj", |z| z.conj() * z),
        f("complex pow", |z| z.pow(3)),
        f("complex prod", |z| z.prod()),
        f("complex cumprod", |z| z.cumprod(0, ())),
        f("complex cumsum", |z| z.cumsum(0, ()) * z),
        f("complex mean", |z| z.mean() * z),
        f("complex index", |z| z.index_select(0, &at(z, [0, 0, 2])) * z),
        f("complex cat", |z| wgtorch::cat(&[&z.real(), z], 0)),
        real("complex abs", Tensor::abs),
        f("fft", |z| z.fft(4)),
        f("ifftn", |z| z.view([1, 3]).ifftn(())),
        real("irfft", |z| z.irfft(5)),
        real("hfft", |z| z.hfft(())),
        one("rfft2", &[&[3, 4]], |x| x[0].rfft2(()).view_as_real()),
        real("complex angle", Tensor::angle),
        real("complex var", Tensor::var),
        real("complex norm", |z| z.norm(3)),
        two("complex mul", |a, b| a * b),
        two("complex div", |a, b| a / b),
        two("complex powers", |a, b| a.pow(b)),
        two("complex addcdiv", |a, b| a.addcdiv(b, a)),
        two("complex lerp", |a, b| a.lerp(b, b)),
        two("complex matmul", |a, b| a.view([2, 2]).matmul(&b.view([2, 2]))),
        two("complex dot", |a, b| a.vdot(b)),
        one("complex of parts", &[&[3], &[2, 3]], |x| wgtorch::complex(&x[0], &x[1]).exp().view_as_real()),
        one("polar", &[&[3], &[2, 3]], |x| wgtorch::polar(&x[0], &x[1]).sin().view_as_real()),
        one("real times complex", &[&[3], &[3, 2]], |x| (&x[0] * x[1].view_as_complex()).view_as_real()),
        one("real to complex", &[&[3]], move |x| (&x[0] * i).exp().imag()),
        one("complex in place", &[&[3, 2]], |x| {
            let z = x[0].view_as_complex() * 1;
            z.real().mul_(z.imag() * 1);
            z.exp().view_as_real()
        }),
    ]
}
