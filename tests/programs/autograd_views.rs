//! Group `autograd-views`: writing through views.

use crate::{list, programs};
use wgtorch::prelude::*;

programs! {
    view_inplace_slice "view-inplace-slice" |p, d| {
        let x = tensor!([1., 2., 3., 4.], d).requires_grad_(true);
        let y = &x * 2;
        let v = y.i(1..3);
        v.mul_(3);
        p.emit("y", &y);
        p.emit("versions", list![y.version(), v.version()]);
        (&y * &y).sum().backward();
        p.emit("x.grad", x.grad());
    }
    view_inplace_chain "view-inplace-chain" |p, d| {
        let x = arange((1., 7.), d).reshape([2, 3]).requires_grad_(true);
        let w = tensor!([10., 20., 30.], d).requires_grad_(true);
        let y = x.copy();
        let t = y.view([3, 2]).t();
        t.i(0).add_(&w);
        t.mul_(2);
        p.emit("y", &y);
        (&y * tensor!([[1., 2., 3.], [4., 5., 6.]], d)).sum().backward();
        p.emit("x.grad", x.grad());
        p.emit("w.grad", w.grad());
    }
    inplace_on_expanded "inplace-on-expanded" |p, d| {
        let b = tensor!([[1.], [2.]], d);
        let e = b.expand([2, 3]);
        p.raises("add_ on expanded", || e.add_(1));
        p.raises("copy_ onto expanded", || e.copy_(&zeros([2, 3], d)));
        p.emit("strides", e.stride());
        b.i_put_(0, 9);
        p.emit("e", &e);
        p.emit("cloned", e.copy().add_(1));
    }
    multi_output_view_inplace "multi-output-view-inplace" |p, d| {
        let x = arange(6., d).reshape([2, 3]).requires_grad_(true);
        let y = &x * 1;
        let parts = y.unbind(0);
        p.raises("unbind add_", || parts[0].add_(1));
        let s = (&x * 1).split(1, 0);
        p.raises("split mul_", || s[0].mul_(2));
        let z = arange(6., d).reshape([2, 3]);
        z.unbind(0)[1].add_(10);
        z.chunk(3, 1)[0].mul_(-1);
        p.emit("z", z);
    }
}
