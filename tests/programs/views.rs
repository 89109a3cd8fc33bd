//! Group `views`: strides, sharing, broadcasting and copies.

use crate::harness::Got;
use crate::{list, programs};
use wgtorch::prelude::*;
use wgtorch::{Ellipsis, NewAxis, S};

const DENSE: &str = "results of elementwise ops are row-major here, whatever the strides of their inputs";

programs! {
    strides_and_views "strides-and-views" |p, d| {
        let x = &arange(24, d).reshape([2, 3, 4]);
        let t01 = &x.transpose(0, 1);
        let views: Vec<(&str, Tensor)> = vec![
            ("transpose", x.transpose(0, 2)), ("permute", x.permute([1, 2, 0])), ("select", x.i(1)), ("col", x.i((.., 1))),
            ("step", x.i((Ellipsis, S(.., 2)))), ("mix", x.i((.., 1.., 2))), ("expand", x.i((.., ..1)).expand([2, 5, 4])),
            ("unsqueeze", x.unsqueeze(1)), ("unsqueeze_end", x.unsqueeze(-1)), ("diagonal", x.diagonal(0, 1, 2)),
            ("narrow", x.narrow(2, 1, 2)), ("unfold", x.unfold(2, 2, 1)), ("flip", x.flip(0)), ("roll", x.roll(1, 0)),
            ("view", x.view([6, 4])), ("as_strided", x.as_strided([2, 2], [3, 5], 1)), ("flatten", x.flatten(0)),
            ("flatten_t", t01.flatten(0)), ("reshape_t", t01.reshape([3, 8])),
            ("reshape_ok", x.i((.., .., ..2)).reshape([2, 3, 2])), ("contiguous", x.contiguous()),
            ("cont_t", t01.contiguous()), ("one", x.i((.., ..1, ..1))), ("size1", zeros([1, 3], d).t()),
            ("empty", zeros([2, 0, 3], d)), ("chunk", x.chunk(2, 2).remove(1)), ("unbind", x.unbind(1).remove(2)),
            ("movedim", x.movedim(0, -1)), ("swap", x.swapaxes(1, 2)), ("real", x.to(F32)), ("clone_t", t01.copy()),
            ("index", x.i([0, 1])), ("int_index", x.i((0, 1))), ("none", x.i(NewAxis)), ("split", x.split(2, 1).remove(1)),
            ("squeeze", x.i(..1).squeeze()), ("broadcast", x.i(0).broadcast_to([2, 3, 4])), ("detach", x.detach()),
            ("to_same", x.to(I64)), ("repeat", x.repeat([1, 1, 1])), ("tile", x.tile(1)),
            ("hsplit", x.hsplit(3).remove(1)), ("zeros_like_t", zeros_like(&x.transpose(0, 2), ())),
            ("add_t", x.transpose(0, 2) + 1),
        ];
        for (name, t) in views {
            let layout = matches!(name, "clone_t" | "zeros_like_t" | "add_t");
            p.emit(name, list![
                t.shape(),
                if layout { Got::Later(DENSE) } else { t.stride().into() },
                t.storage_offset(),
                if layout { Got::Later(DENSE) } else { t.is_contiguous().into() },
                t.shares_storage(x),
            ]);
        }
        p.raises("view of transposed", || t01.view(-1));
        p.raises("view splitting compatible dims ok", || t01.view([3, 2, 2, 2]));
        p.raises("negative step", || x.i(S(.., -1)));
        p.raises("zero step", || x.i(S(.., 0)));
        p.emit("contiguous is same", x.contiguous().is_same(x));
        let y = x.view(24);
        y.i_put_(0, 100);
        p.emit("write through", x.i((0, 0, 0)).item::<i64>()?);
    }
    broadcast_shapes "broadcast-shapes" |p, d| {
        let pairs: [(&[usize], &[usize]); 14] = [
            (&[2, 3], &[3]), (&[2, 3], &[2, 1]), (&[2, 3], &[2]), (&[1], &[0]), (&[0], &[2]), (&[5, 1, 4], &[3, 1]),
            (&[], &[2, 2]), (&[2, 0], &[1]), (&[2, 0], &[2, 1]), (&[2, 0], &[2, 2]), (&[1, 1, 1], &[4]),
            (&[4, 3], &[3, 4]), (&[2, 3, 4], &[2, 1, 1]), (&[2, 3, 4], &[3, 1, 4]),
        ];
        // Python's text of a tuple
        let tuple = |s: &[usize]| match s {
            [one] => format!("({one},)"),
            _ => format!("({})", s.iter().map(|n| n.to_string()).collect::<Vec<_>>().join(", ")),
        };
        for (a, b) in pairs {
            let label = format!("{}+{}", tuple(a), tuple(b));
            let sum = || zeros(a, d).checked().add(zeros(b, d));
            p.raises(&format!("{label} ok"), || sum().map(|_| ()).unwrap_or_else(|e| panic!("{e}")));
            if let Ok(sum) = sum() {
                p.emit(&label, sum.shape());
            }
        }
        p.raises("inplace cannot grow", || zeros(3, d).add_(zeros([2, 3], d)));
        p.raises("inplace ok", || zeros([2, 3], d).add_(zeros(3, d)));
    }
    copy_semantics "copy-semantics" |p, d| {
        let x = zeros([2, 3], d);
        x.copy_(&tensor!([1, 2, 3], d));
        p.emit("copy_ broadcast", &x);
        p.raises("copy_ shape", || x.copy_(&ones(2, d)));
        let y = x.copy();
        y.i_put_((0, 0), 9);
        p.emit("clone", x.i((0, 0)));
        p.emit("same object", list![
            x.to(F32).is_same(&x), x.to(x.dtype()).is_same(&x), x.copy().is_same(&x), x.contiguous().is_same(&x),
            x.to(x.device()).is_same(&x), x.to((x.device(), F32)).is_same(&x), x.to(zeros(1, d).dtype()).is_same(&x),
        ]);
        x.i((.., 1)).fill_(7);
        x.i(0).zero_();
        p.emit("view fill", &x);
        x.t().i_put_(2, tensor!([5., 6.], d));
        p.emit("transposed write", &x);
        let z = arange(6, d).view([2, 3]);
        z.resize_([3, 2]);
        p.emit("resize_", &z);
        let a = tensor!([1., 2.], d);
        let mut b = a.clone();
        b += 1;
        p.emit("alias", &a);
        b = b + 1;
        p.emit("rebind", &a);
        drop(b);
        let v = arange(4, d).view([2, 2]);
        let w = v.view(4);
        w.i_put_(3, 100);
        p.emit("view", &v);
        let r = v.t().reshape(4);
        r.i_put_(0, -1);
        p.emit("reshape copy", &v);
        let f = v.flatten(0);
        f.i_put_(0, 77);
        p.emit("flatten alias", &v);
    }
}
