//! Group `numerics`: accumulation, stability and tails.

use crate::harness::Got;
use crate::{list, programs};
use wgtorch::Approximate;
use wgtorch::prelude::*;

programs! {
    accumulation_precision "accumulation-precision" |p, d| {
        let sum = full(1_000_000, 0.1, d).sum().item::<f64>()?;
        p.emit("sum 0.1 error below 1", (sum - 100_000.).abs() < 1.);
        let mean = (arange(1_000_000, d) % 1000).to(F32).mul(1e-3).mean().item::<f64>()?;
        p.emit("mean error", (mean - 0.4995).abs() < 1e-5);
        p.emit("f16 sum", list![
            ones(4096, (F16, d)).sum(), ones(70000, (F16, d)).sum(), ones(1000, (BF16, d)).sum(), ones(70000, (F16, d)).mean(),
        ]);
        p.emit("var offset", list![
            (10000. + arange(10., d)).var(), Got::Later("PyTorch's float32 sums give 12.65 here, the exact deviation is 8"),
        ]);
        p.emit("stable", list![
            tensor!([1000., 1000.], d).logsumexp(0, false),
            tensor!([1e4, 1e4 - 1.], d).softmax(0, ()),
            tensor!(1e-10, d).log1p(),
            tensor!(1e-10, d).expm1(),
            tensor!([-1000., -1001.], d).log_softmax(0, ()),
            tensor!([-100., 0., 100.], d).softplus(),
            tensor!([-100., 100.], d).sigmoid(),
            tensor!([-100., 100.], d).logsigmoid(),
            tensor!(1000., d).logaddexp(&tensor!(1000., d)),
        ]);
        p.emit("layer_norm", F::layer_norm(&(10000. + arange(4., d)), 4, ()));
        p.emit("norm overflow", list![
            tensor!([1e20, 1e20], d).norm(2), tensor!([1e-30, 1e-30], d).norm(2), tensor!(1e20, d).hypot(&tensor!(1e20, d)),
        ]);
        p.emit("erfc tail", list![
            tensor!([3., 5., 9.], d).erfc(), tensor!([1e-10, 3.], d).erf(), tensor!([-10., -30.], d).log_ndtr(),
            tensor!([0.5, 1., 100.], d).lgamma(), tensor!([1e-8, 20.], d).tanh(),
        ]);
        let x = tensor!([-10., -5., -3.], (F64, d));
        p.emit("gelu tail", list![x.gelu(), x.gelu_with(Approximate::Tanh)]);
    }
}
