//! Group `autograd-inplace`: versions, and tensors that join a graph by a write.

use crate::{list, programs};
use wgtorch::prelude::*;

programs! {
    version_counter_values "version-counter-values" |p, d| {
        let a = zeros([2, 3], d);
        let v = a.i(0);
        let alias = a.detach();
        p.emit("start", list![a.version(), v.version(), alias.version()]);
        a.add_(1);
        v.mul_(2);
        alias.sub_(1);
        p.emit("after three", list![a.version(), v.version(), alias.version()]);
        a.i_put_((1, 1), 4);
        p.emit("after setitem", a.version());
        let c = a.copy();
        p.emit("clone", c.version());
        a.data().add_(1);
        p.emit("after data", a.version());
        a.zero_().fill_(3);
        p.emit("after zero_ and fill_", a.version());
    }
    inplace_requires_grad_late "inplace-requires-grad-late" |p, d| {
        let w = tensor!([3., 4.], d).requires_grad_(true);
        let buf = zeros(3, d);
        p.emit("before", list![buf.requires_grad(), buf.is_leaf()]);
        buf.i_put_(1, w.i(0) * 2);
        p.emit("after", list![buf.requires_grad(), buf.is_leaf()]);
        buf.i(2).add_(w.i(1));
        buf.pow(2).sum().backward();
        p.emit("buf", &buf);
        p.emit("w.grad", w.grad());
    }
}
