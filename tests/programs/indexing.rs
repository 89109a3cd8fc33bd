//! Group `indexing`: every kind of index mixed, and the ops that read and write at positions.

use crate::{list, programs};
use wgtorch::prelude::*;
use wgtorch::{Ellipsis, NewAxis, ScatterReduce, TensorIndex};

macro_rules! index {
    ($($e:expr),*) => { vec![$(TensorIndex::from($e)),*] };
}

programs! {
    advanced_getitem_shapes "advanced-getitem-shapes" |p, d| {
        let x = arange(120, d).reshape([2, 3, 4, 5]);
        let i = &tensor!([0, 1], d);
        let j = &tensor!([[0], [1], [2]], d);
        let m2 = &zeros([3, 4], (Bool, d));
        m2.i_put_((0, 1), true);
        m2.i_put_((2, 3), true);
        let m1 = &tensor!([true, false, true], d);
        let m0 = &tensor!([true, false], d);
        let cases: Vec<(&str, Vec<TensorIndex>)> = vec![
            ("a", index![i]), ("b", index![.., i]), ("c", index![i, i]), ("d", index![i, .., i]), ("e", index![.., i, i]),
            ("f", index![.., i, .., i]), ("g", index![i, j]), ("h", index![0, .., i]), ("k", index![0, i, .., i]),
            ("l", index![i, 0, .., i]), ("m", index![.., 0, i]), ("n", index![.., 0, .., i]), ("o", index![.., m2]),
            ("p", index![.., m1]), ("q", index![i, m2]), ("r", index![m0, .., i]), ("s", index![Ellipsis, i]),
            ("t", index![i, Ellipsis, i]), ("u", index![NewAxis, i]), ("v", index![i, NewAxis, i]),
            ("w", index![.., NewAxis, i, .., i]), ("y", index![.., i, NewAxis, i]), ("z", index![0]),
            ("aa", index![0, Ellipsis, 0]), ("bb", index![true]), ("cc", index![false]), ("dd", index![true, i]),
            ("ee", index![[0, 1]]), ("ff", index![[0, 1], [1, 2]]), ("gg", index![.., [0, 1], 1]), ("hh", index![5..9]),
            ("ii", index![Ellipsis, NewAxis]), ("jj", index![x.gt(60)]), ("kk", index![i.i(..0)]),
            ("ll", index![.., j, .., 0]), ("mm", index![.., .., .., -1]), ("nn", index![0, 1, 2, 3]),
            ("oo", index![.., .., i, j]),
        ];
        for (label, index) in cases {
            p.try_emit(label, || {
                let r = x.i(index);
                let head: Vec<i64> = r.reshape(-1).i(..5).to_vec().unwrap();
                list![r.shape(), head, r.sum().item::<i64>().unwrap()]
            });
        }
    }
    scatter_gather_details "scatter-gather-details" |p, d| {
        let x = zeros([3, 5], d);
        let src = arange((1., 11.), d).reshape([2, 5]);
        let n = |v: &[f64]| tensor!(v, (F32, d));
        let k = |v: &[i64]| tensor!(v, d);
        p.emit("scatter", list![
            x.scatter(0, &tensor!([[0, 1, 2, 0]], d), &src), x.scatter(1, &tensor!([[0, 1, 2], [0, 1, 4]], d), &src),
            x.scatter(-1, &tensor!([[3], [4]], d), 9.),
        ]);
        p.emit("scatter_add", x.scatter_add(0, &tensor!([[0, 1, 2, 0, 0], [0, 1, 2, 0, 1]], d), &src));
        let (i, s, z) = (k(&[0, 1, 0, 1, 3]), n(&[1., 2., 3., 4., 5.]), n(&[10., 20., 30., 40.]));
        let ways = [
            ("sum", ScatterReduce::Sum), ("prod", ScatterReduce::Prod), ("mean", ScatterReduce::Mean),
            ("amax", ScatterReduce::Amax), ("amin", ScatterReduce::Amin),
        ];
        for (name, how) in ways {
            for include in [true, false] {
                let label = format!("{name} {}", if include { "True" } else { "False" });
                p.try_emit(&label, || {
                    let (a, b) = (z.copy().requires_grad_(true), s.copy().requires_grad_(true));
                    let y = a.scatter_reduce(0, &i, &b, how, include);
                    (&y * n(&[1., 2., 3., 4.])).sum().backward();
                    list![y, a.grad(), b.grad()]
                });
            }
        }
        p.emit("int mean", list![
            k(&[7, 0]).scatter_reduce(0, &k(&[0, 0]), &k(&[1, 2]), ScatterReduce::Mean, true),
            k(&[-7, 0]).scatter_reduce(0, &k(&[0, 0]), &k(&[1, 2]), ScatterReduce::Mean, true),
        ]);
        let (a, b) = (zeros(2, d).requires_grad_(true), n(&[0., 0., 3.]).requires_grad_(true));
        a.scatter_reduce(0, &k(&[0, 0, 1]), &b, ScatterReduce::Prod, false).sum().backward();
        p.emit("prod zeros", list![a.grad(), b.grad()]);
        let (a, b) = (n(&[5., 1.]).requires_grad_(true), n(&[5., 5., 1.]).requires_grad_(true));
        a.scatter_reduce(0, &k(&[0, 0, 1]), &b, ScatterReduce::Amax, true).sum().backward();
        p.emit("amax ties", list![a.grad(), b.grad()]);
        let (a, b) = (ones(3, d).requires_grad_(true), n(&[5., 6.]).requires_grad_(true));
        (a.scatter(0, &k(&[2, 0]), &b) * n(&[1., 2., 3.])).sum().backward();
        p.emit("scatter grad", list![a.grad(), b.grad()]);
        p.emit("index ops", list![
            ones([3, 2], d).index_add(0, &k(&[0, 0, 2]), &arange(6., d).reshape([3, 2]), 2),
            zeros([3, 2], d).index_copy(0, &k(&[2, 0]), &(ones([2, 2], d) * tensor!([[1.], [2.]], d))),
            zeros([2, 3], d).index_fill(1, &k(&[0, 2]), 7),
        ]);
        p.emit("take_along_dim", arange(6, d).reshape([2, 3]).take_along_dim(&tensor!([[2, 0]], d), 1));
        p.emit("put_", list![
            zeros(4, d).put_(&k(&[1, 1, -1]), &n(&[1., 2., 3.]), true), zeros([2, 2], d).put_(&k(&[0, 3]), &n(&[1., 2.]), false),
        ]);
        let mask = tensor!([[true, false, true], [false, true, false]], d);
        p.emit("masked_scatter", zeros([2, 3], d).masked_scatter(&mask, &arange((1., 7.), d)));
        p.raises("dtype", || x.scatter(0, &tensor!([[0]], d), &tensor!([[1]], d)));
        p.raises("range", || x.scatter(0, &tensor!([[3]], d), 1.));
        p.raises("gather range", || x.gather(0, &tensor!([[-1]], d)));
    }
}
