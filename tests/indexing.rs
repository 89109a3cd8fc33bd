//! Indexing, masks, gather and scatter, joins and reorderings: values as PyTorch gives them, errors in its words, gradients
//! against finite differences, the CPU against the GPU, recorded against eager.

mod common;

use common::devices;
use std::panic::{AssertUnwindSafe, catch_unwind};
use wgtorch::prelude::*;
use wgtorch::{
    Ellipsis, NewAxis, S, TensorIndex, autograd, cat, column_stack, dstack, eye, hstack, linspace, logspace, meshgrid,
    one_hot, stack, stream, try_cat, vstack,
};

fn grid(d: Device) -> Tensor {
    arange(24, (F32, d)).view([2, 3, 4])
}

fn list(t: &Tensor) -> Vec<i64> {
    t.to_vec::<i64>().unwrap()
}

fn message<T>(r: Result<T, Error>) -> String {
    match r {
        Ok(_) => panic!("expected an error"),
        Err(e) => e.to_string(),
    }
}

#[test]
fn basic_indices_are_views() {
    for d in devices() {
        let x = grid(d);
        assert_eq!(list(&x.i(1)), (12..24).collect::<Vec<_>>());
        assert_eq!(list(&x.i((-1, -1, -1))), [23]);
        assert_eq!(list(&x.i((.., 1, 2..))), [6, 7, 18, 19]);
        assert_eq!(list(&x.i((0, 1.., ..2))), [4, 5, 8, 9]);
        assert_eq!(list(&x.i((0, 0, -2..))), [2, 3]);
        assert_eq!(list(&x.i((0, 0, 1..=2))), [1, 2]);
        assert_eq!(list(&x.i((0, 0, ..=-1))), [0, 1, 2, 3]);
        assert_eq!(list(&x.i((0, 0, S(.., 2)))), [0, 2]);
        assert_eq!(list(&x.i((0, 0, S(1..100, 2)))), [1, 3]);
        assert_eq!(x.i((0, 5..)).shape(), [0, 4]);
        assert_eq!(list(&x.i((Ellipsis, 0))), [0, 4, 8, 12, 16, 20]);
        assert_eq!(x.i((NewAxis, Ellipsis, NewAxis, 0)).shape(), [1, 2, 3, 1]);
        assert_eq!(x.i(()).shape(), [2, 3, 4]);
        let row = x.i((0, 1));
        assert!(row.is_view() && row.shares_storage(&x));
        row.add_(100.0);
        assert_eq!(list(&x.i((0, 1))), [104, 105, 106, 107]);
        assert_eq!(x.version(), 1);
    }
    let x = grid(Device::Cpu);
    let c = x.checked();
    assert_eq!(message(c.i(3)), "index 3 is out of bounds for dimension 0 with size 2");
    assert_eq!(message(c.i((0, -4))), "index -4 is out of bounds for dimension 0 with size 3");
    assert_eq!(message(c.i((0, 0, 0, 0))), "too many indices for tensor of dimension 3");
    assert!(matches!(c.i(S(.., -1)), Err(Error::Value(_))));
    assert!(message(tensor!(1.).checked().i(0)).starts_with("invalid index of a 0-dim tensor."));
    assert_eq!(tensor!(1.).i(Ellipsis).shape(), []);
    assert_eq!(tensor!(1.).i(NewAxis).shape(), [1]);
    assert_eq!(tensor!(1.).i(true).shape(), [1]);
    assert_eq!(tensor!(1.).i(false).shape(), [0]);
}

#[test]
fn index_tensors_stand_where_pytorch_puts_them() {
    for d in devices() {
        let x = grid(d);
        assert_eq!(list(&x.i([1, 0, 1]).i((.., 0, 0))), [12, 0, 12]);
        // adjacent ones stay in place, separated ones go first, an int is a select done before
        let adjacent = x.i((.., [0, 1], [0, -1]));
        assert_eq!((adjacent.shape(), list(&adjacent)), ([2, 2].into(), vec![0, 7, 12, 19]));
        let apart = x.i(([0, 1], .., [0, 1]));
        assert_eq!((apart.shape(), list(&apart)), ([2, 3].into(), vec![0, 4, 8, 13, 17, 21]));
        let selected = x.i((0, .., [0, 1]));
        assert_eq!((selected.shape(), list(&selected)), ([3, 2].into(), vec![0, 1, 4, 5, 8, 9]));
        let broadcast = x.i((tensor!([[0], [1]], d), tensor!([0, 2], d)));
        assert_eq!((broadcast.shape(), list(&broadcast)[4..8].to_vec()), ([2, 2, 4].into(), vec![8, 9, 10, 11]));
        assert_eq!(list(&x.permute([2, 0, 1]).i([3, 0]).i((.., 1, 2))), [23, 20]);
        assert_eq!(x.i(Vec::<i64>::new()).shape(), [0, 3, 4]);
        assert_eq!(list(&x.i((1, tensor!(2, d), ..2))), [20, 21]);
        // masks
        assert_eq!(list(&x.i(x.ge(22))), [22, 23]);
        let rows = tensor!([[true, false, true], [false, true, false]], d);
        assert_eq!((x.i(&rows).shape(), list(&x.i((&rows, 1)))), ([3, 4].into(), vec![1, 9, 17]));
        assert_eq!(list(&x.i((0, .., tensor!([1, 0, 0, 1], (U8, d))))), [0, 3, 4, 7, 8, 11]);
        assert_eq!(x.i(zeros([2], (Bool, d))).shape(), [0, 3, 4]);
    }
    let x = grid(Device::Cpu);
    let c = x.checked();
    assert_eq!(message(c.i([0, 5])), "index 5 is out of bounds for dimension 0 with size 2");
    assert_eq!(message(c.i((.., [0, -4]))), "index -4 is out of bounds for dimension 1 with size 3");
    assert_eq!(
        message(c.i(([0, 1], [0, 1, 2]))),
        "shape mismatch: indexing tensors could not be broadcast together with shapes [2], [3]"
    );
    assert_eq!(
        message(c.i(tensor!([true, false, true]))),
        "The shape of the mask [3] at index 0 does not match the shape of the indexed tensor [2, 3, 4] at index 0"
    );
    assert_eq!(message(c.i(tensor!([1.5]))), "tensors used as indices must be long, int, byte or bool tensors");
}

#[test]
fn a_bad_index_on_the_gpu_comes_at_the_next_wait() {
    if Device::gpu_count() == 0 {
        eprintln!("SKIPPED: no GPU adapter (Debian: install mesa-vulkan-drivers)");
        return;
    }
    let d = Device::Gpu(0);
    let x = grid(d);
    let y = x.index_select(0, &tensor!([0, 7], d));
    let e = message(y.to_vec::<f32>());
    assert!(e.contains("index_select") && e.contains("indexing.rs"), "{e}");
    let y = x.gather(2, &tensor!([[[9]]], d));
    let e = message(y.to_vec::<f32>());
    assert!(e.contains("index 9 is out of bounds for dimension 2 with size 4"), "{e}");
    // and then the device goes on
    assert_eq!(list(&x.i((0, 0))), [0, 1, 2, 3]);
}

#[test]
fn assignment_writes_through_every_index() {
    for d in devices() {
        let x = zeros([3, 4], d);
        x.i_put_(1, 5);
        x.i_put_((.., 0), tensor!([7., 8., 9.], d));
        x.i_put_((.., S(1.., 2)), tensor!([[1.], [2.], [3.]], d));
        assert_eq!(list(&x), [7, 1, 0, 1, 8, 2, 5, 2, 9, 3, 0, 3]);
        x.i_put_(x.eq(0), -1);
        assert_eq!(list(&x.i((.., 2))), [-1, 5, -1]);
        x.i_put_(([0, 2], [1, 3]), tensor!([40., 50.], d));
        assert_eq!((list(&x.i((0, 1))), list(&x.i((2, 3)))), (vec![40], vec![50]));
        x.i_put_(tensor!([true, false, false], d), tensor!([1., 2., 3., 4.], d));
        assert_eq!(list(&x.i(0)), [1, 2, 3, 4]);
        let ints = zeros([3], (I64, d));
        ints.i_put_(tensor!([true, false, true], d), 1.9);
        assert_eq!(list(&ints), [1, 0, 1]);
        // adds once where an index repeats, unless it accumulates
        let y = zeros([3], d);
        y.i_put_([0, 0], y.i([0, 0]) + 1.0);
        assert_eq!(list(&y), [1, 0, 0]);
        y.index_put_(tensor!([0, 0], d), &ones([2], d), true);
        assert_eq!(list(&y), [3, 0, 0]);
        // a transposed target
        let z = zeros([2, 3], d);
        z.t().i_put_([0, 2], tensor!([[1., 2.], [3., 4.]], d));
        assert_eq!(list(&z), [1, 0, 3, 2, 0, 4]);
    }
    let x = zeros([3, 4], ());
    assert_eq!(
        message(x.checked().i_put_([0, 1], zeros([5], ()))),
        "shape mismatch: value tensor of shape [5] cannot be broadcast to indexing result of shape [2, 4]"
    );
    assert!(
        message(x.checked().i_put_([0, 1], zeros([4], F64)))
            .starts_with("Index put requires the source and destination dtypes match")
    );
    let leaf = zeros([3], TensorOptions::new().requires_grad(true));
    assert!(message(leaf.checked().i_put_(0, 1)).contains("leaf Variable that requires grad"));
    assert!(message(leaf.checked().i_put_([0], 1)).contains("leaf Variable that requires grad"));
    assert_eq!(x.version(), 0);
}

#[test]
fn assignment_has_a_history() {
    for d in devices() {
        let x = tensor!([1., 2., 3.], d).requires_grad_(true);
        let v = tensor!([10., 20.], d).requires_grad_(true);
        let y = &x * 2.0;
        y.i_put_([0, 2], &v);
        assert_eq!(y.grad_fn().unwrap().name(), "IndexPutBackward0");
        (&y * &y).sum().backward();
        assert_eq!(list(&x.grad().unwrap()), [0, 16, 0]);
        assert_eq!(list(&v.grad().unwrap()), [20, 40]);
        // through a view of the base
        let b = &x * 1.0;
        b.i(1..).i_put_([1], v.i(..1));
        assert_eq!(b.grad_fn().unwrap().name(), "CopySlices");
        x.set_grad(None);
        v.set_grad(None);
        (&b * &b).sum().backward();
        assert_eq!(list(&x.grad().unwrap()), [2, 4, 0]);
        assert_eq!(list(&v.grad().unwrap()), [20, 0]);
        // a repeated index gets its gradient twice
        x.set_grad(None);
        x.i([0, 0, 1]).sum().backward();
        assert_eq!(list(&x.grad().unwrap()), [2, 1, 0]);
    }
}

#[test]
fn gathers_and_scatters() {
    for d in devices() {
        let x = tensor!([[1., 2., 3.], [4., 5., 6.]], d);
        let index = tensor!([[2, 0], [1, 1]], d);
        assert_eq!(list(&x.gather(1, &index)), [3, 1, 5, 5]);
        assert_eq!(list(&x.t().gather(0, &index)), [3, 4, 2, 5]);
        let zero = zeros([2, 3], d);
        assert_eq!(list(&zero.scatter_add(1, &index, &ones([2, 2], d))), [1, 0, 1, 0, 2, 0]);
        assert_eq!(list(&zero.scatter(1, &index, 7)), [7, 0, 7, 0, 7, 0]);
        assert_eq!(list(&x.index_select(1, &tensor!([2, 2, 0], d))), [3, 3, 1, 6, 6, 4]);
        assert_eq!(list(&x.t().index_select(0, &tensor!([1], d))), [2, 5]);
        let two = tensor!([0, 0], d);
        assert_eq!(list(&x.index_add(0, &two, &x, 2)), [11, 16, 21, 4, 5, 6]);
        assert_eq!(list(&x.index_copy(1, &tensor!([2, 0], d), &x.i((.., ..2)))), [2, 2, 1, 5, 5, 4]);
        assert_eq!(list(&x.index_fill(1, &tensor!([1], d), -1)), [1, -1, 3, 4, -1, 6]);
        assert_eq!(list(&x.take(&tensor!([[-1], [0]], d))), [6, 1]);
        assert_eq!(list(&x.put(&tensor!([5, 0], d), &tensor!([9., 8.], d), false)), [8, 2, 3, 4, 5, 9]);
        assert_eq!(list(&x.take_along_dim(&tensor!([[1], [0]], d), 1)), [2, 4]);
        assert_eq!(list(&x.masked_fill(&x.gt(4), 0)), [1, 2, 3, 4, 0, 0]);
        assert_eq!(list(&tensor!([1, 2], d).masked_fill(&tensor!([true, false], d), 1.5)), [1, 2]);
        assert_eq!(list(&x.masked_select(&tensor!([true, false, true], d))), [1, 3, 4, 6]);
        assert_eq!(list(&x.masked_scatter(&x.gt(4), &tensor!([8., 9., 7.], d))), [1, 2, 3, 4, 8, 9]);
        assert_eq!(list(&x.gt(3).nonzero()), [1, 0, 1, 1, 1, 2]);
        assert_eq!(tensor!(5, d).nonzero().shape(), [1, 0]);
        assert_eq!(list(&x.gt(3).nonzero_tuple()[1]), [0, 1, 2]);
        // in place, on a view
        let y = zeros([3, 2], d);
        y.t().scatter_add_(1, &index, &ones([2, 2], d));
        assert_eq!(list(&y), [1, 0, 0, 2, 1, 0]);
        let z = zeros([2], d);
        z.index_add_(0, &two, &ones([2], d), 1);
        assert_eq!(list(&z), [2, 0]);
    }
    let x = zeros([2, 4], ());
    let c = x.checked();
    assert_eq!(message(c.gather(1, &tensor!([[4]]))), "index 4 is out of bounds for dimension 1 with size 4");
    assert_eq!(message(c.gather(1, &tensor!([[-1]]))), "index -1 is out of bounds for dimension 1 with size 4");
    assert_eq!(
        message(c.gather(1, &tensor!([1]))),
        "Index tensor must have the same number of dimensions as input tensor"
    );
    assert_eq!(message(c.index_select(0, &tensor!([2]))), "index out of range in self");
    assert_eq!(message(c.index_select(0, &tensor!([[0]]))), "index_select(): Index is supposed to be a vector");
    assert_eq!(
        message(c.index_add(0, &tensor!([0, 1]), &zeros([1, 4], ()), 1)),
        "index_add_(): Number of indices (2) should be equal to source.size(dim): (1), for dim: 0"
    );
    assert_eq!(
        message(c.index_copy(0, &tensor!([5]), &zeros([1, 4], ()))),
        "index_copy_(): index 5 is out of bounds for dimension 0 with size 2"
    );
    assert_eq!(
        message(c.scatter_add(1, &tensor!([[0]]), &zeros([1, 1], F64))),
        "scatter(): Expected self.dtype to be equal to src.dtype"
    );
    // a failed write leaves the tensor as it was
    assert!(c.scatter_(1, &tensor!([[9]]), 1).is_err());
    assert_eq!((x.version(), x.sum().item::<f32>().unwrap()), (0, 0.0));
}

#[test]
fn joins_and_reorderings() {
    for d in devices() {
        let (a, b) = (tensor!([[1, 2]], d), tensor!([[3, 4], [5, 6]], d));
        assert_eq!(list(&cat(&[&a, &b], 0)), [1, 2, 3, 4, 5, 6]);
        assert_eq!(list(&cat(&[&b.t(), &a], -2)), [3, 5, 4, 6, 1, 2]);
        assert_eq!(cat(&[&a, &zeros([0], (F32, d))], 0).dtype(), F32);
        assert_eq!(cat(&[tensor!([true], d), tensor!([2.5], d)], 0).to_vec::<f32>().unwrap(), [1., 2.5]);
        assert_eq!(stack(&[&b, &b], 2).shape(), [2, 2, 2]);
        assert_eq!(list(&stack(&[&b, &b], -1).i((0, 1))), [4, 4]);
        let (u, v) = (tensor!([1, 2], d), tensor!([3, 4], d));
        assert_eq!((hstack(&[&u, &v]).shape(), vstack(&[&u, &v]).shape()), ([4].into(), [2, 2].into()));
        assert_eq!((dstack(&[&u, &v]).shape(), column_stack(&[&u, &b]).shape()), ([1, 2, 2].into(), [2, 3].into()));
        assert_eq!(list(&b.flip([0, 1])), [6, 5, 4, 3]);
        assert_eq!(list(&b.roll(1, ())), [6, 3, 4, 5]);
        assert_eq!(list(&b.roll([1, -1], [0, 1])), [6, 5, 4, 3]);
        assert_eq!(list(&b.rot90(1, [0, 1])), [4, 6, 3, 5]);
        assert_eq!(list(&b.repeat([1, 2])), [3, 4, 3, 4, 5, 6, 5, 6]);
        assert_eq!(u.tile([2, 2]).shape(), [2, 4]);
        assert_eq!(list(&u.repeat_interleave(2, 0)), [1, 1, 2, 2]);
        assert_eq!(list(&b.repeat_interleave(&tensor!([2, 0], d), 1)), [3, 3, 5, 5]);
        assert_eq!(list(&ones([3, 3], (I64, d)).tril(-1)), [0, 0, 0, 1, 0, 0, 1, 1, 0]);
        assert_eq!(list(&ones([2, 3], (I64, d)).triu(1)), [0, 1, 1, 0, 0, 1]);
        assert_eq!(list(&u.diag(1)), [0, 1, 0, 0, 0, 2, 0, 0, 0]);
        assert_eq!(list(&b.diag(0)), [3, 6]);
        assert_eq!(list(&eye(2, Some(3), d)), [1, 0, 0, 0, 1, 0]);
        assert_eq!(linspace(0, 1, 5, d).to_vec::<f32>().unwrap(), [0., 0.25, 0.5, 0.75, 1.]);
        assert_eq!(linspace(3, 7, 1, d).to_vec::<f32>().unwrap(), [3.]);
        assert_eq!(list(&logspace(0, 3, 4, 10.0, (I64, d))), [1, 10, 100, 1000]);
        let g = meshgrid(&[&u, &v], "ij");
        assert_eq!((list(&g[0]), list(&g[1])), (vec![1, 1, 2, 2], vec![3, 4, 3, 4]));
        let g = meshgrid(&[&u, &tensor!([3, 4, 5], d)], "xy");
        assert_eq!((g[0].shape(), list(&g[0])), ([3, 2].into(), vec![1, 2, 1, 2, 1, 2]));
        assert_eq!(list(&one_hot(&tensor!([1, 0], d), Some(3))), [0, 1, 0, 1, 0, 0]);
        assert_eq!(list(&tensor!([1, 2, 3], d).cumsum(0, ())), [1, 3, 6]);
        assert_eq!(list(&b.t().cumprod(1, ())), [3, 15, 4, 24]);
    }
    assert_eq!(
        message(try_cat(&[zeros([2, 10], ()), zeros([2, 1, 3], ())], 1)),
        "Tensors must have same number of dimensions: got 2 and 3"
    );
    assert_eq!(
        message(try_cat(&[zeros([10, 2], ()), zeros([1, 2], ())], 1)),
        "Sizes of tensors must match except in dimension 1. Expected size 10 but got size 1 for tensor number 1 in the list."
    );
    assert_eq!(message(try_cat(&Vec::<Tensor>::new(), 0)), "torch.cat(): expected a non-empty list of Tensors");
    assert!(catch_unwind(AssertUnwindSafe(|| stack(&[zeros([2], ()), zeros([3], ())], 0))).is_err());
}

#[test]
fn softmax_of_extremes() {
    for d in devices() {
        let x = tensor!([[1e4, 0.], [f32::NEG_INFINITY, 0.]], d);
        assert_eq!(x.softmax(1, ()).to_vec::<f32>().unwrap(), [1., 0., 0., 1.]);
        let down = tensor!([[1e4, 0.], [f32::INFINITY, 0.]], d).softmin(0, ()).to_vec::<f32>().unwrap();
        assert_eq!(down, [1., 0.5, 0., 0.5]);
        assert!(x.i((1, ..1)).softmax(0, ()).item::<f32>().unwrap().is_nan());
        assert_eq!(tensor!(3., d).softmax(0, ()).item::<f32>().unwrap(), 1.0);
        assert_eq!(zeros([2, 0], d).log_softmax(1, ()).shape(), [2, 0]);
        let y = tensor!([1., 2.], d).log_softmax(0, F64);
        assert_eq!(y.dtype(), F64);
        let y = y.to_vec::<f64>().unwrap();
        assert!(
            (y[0] + 1.313_261_687_518_222_8).abs() < 1e-12 && (y[1] + 0.313_261_687_518_222_8).abs() < 1e-12,
            "{y:?}"
        );
    }
    assert!(matches!(zeros([2], I64).checked().softmax(0, ()), Err(Error::NotImplemented(_))));
}

#[test]
fn names_of_the_nodes() {
    let x = arange(6, F64).view([2, 3]).detach().requires_grad_(true);
    let at = tensor!([0, 1]);
    let square = tensor!([[0, 1], [1, 0]]);
    let mask = x.detach().gt(2);
    let named = [
        ("IndexBackward0", x.i((.., [0]))),
        ("SelectBackward0", x.i(0)),
        ("SliceBackward0", x.i(1..)),
        ("GatherBackward0", x.gather(1, &square)),
        ("ScatterBackward0", x.scatter(1, &square, ones([2, 2], F64))),
        ("ScatterBackward1", x.scatter(1, &square, 1)),
        ("ScatterAddBackward0", x.scatter_add(1, &square, &ones([2, 2], F64))),
        ("IndexSelectBackward0", x.index_select(0, &at)),
        ("IndexAddBackward0", x.index_add(1, &at, &ones([2, 2], F64), 1)),
        ("IndexFillBackward0", x.index_fill(1, &at, 1)),
        ("IndexCopyBackward0", x.index_copy(1, &at, &ones([2, 2], F64))),
        ("MaskedFillBackward0", x.masked_fill(&mask, 0)),
        ("MaskedSelectBackward0", x.masked_select(&mask)),
        ("TakeBackward0", x.take(&at)),
        ("CatBackward0", cat(&[&x, &x], 0)),
        ("StackBackward0", stack(&[&x, &x], 0)),
        ("FlipBackward0", x.flip(0)),
        ("RollBackward0", x.roll(1, 0)),
        ("RepeatBackward0", x.repeat([2, 1])),
        ("TrilBackward0", x.tril(0)),
        ("TriuBackward0", x.triu(0)),
        ("SoftmaxBackward0", x.softmax(0, ())),
        ("LogSoftmaxBackward0", x.log_softmax(0, ())),
        ("CumsumBackward0", x.cumsum(0, ())),
        ("CumprodBackward0", x.cumprod(0, ())),
    ];
    for (name, t) in named {
        assert_eq!(t.grad_fn().unwrap().name(), name);
    }
}

type F = (&'static str, fn(&Tensor) -> Tensor);

const FUNCTIONS: &[F] = &[
    ("i", |x| x.i((.., [0, 2, 2])) * 2.0),
    ("i apart", |x| x.unsqueeze(1).i(([0, 1, 0], .., [0, 2, 0]))),
    ("mask", |x| x.i(x.detach().gt(0))),
    ("index_put", |x| x.index_put(tensor!([1, 1]), &x.i((0, ..)).unsqueeze(0), true) * x),
    ("index_put set", |x| (x * x).index_put(tensor!([1]), &x.i(0).unsqueeze(0), false)),
    ("i_put_", |x| {
        let y = x * x;
        y.i_put_((.., [0, 1]), x.i((.., 1..)));
        y * x
    }),
    ("gather", |x| x.gather(1, &tensor!([[0, 0, 2], [1, 2, 2]])) * x),
    ("scatter", |x| (x * x).scatter(1, &tensor!([[0, 2], [1, 2]]), x.i((.., ..2)))),
    ("scatter wide", |x| (x * x).scatter_add(1, &tensor!([[0], [1]]), x)),
    ("scatter value", |x| (x * x).scatter(0, &tensor!([[0, 1, 0]]), 0.5)),
    ("index_select", |x| x.index_select(1, &tensor!([2, 0, 2])) * x),
    ("index_add", |x| (x * x).index_add(1, &tensor!([2, 0, 2]), x, 0.5)),
    ("index_copy", |x| (x * x).index_copy(1, &tensor!([2, 0]), &x.i((.., 1..)))),
    ("index_fill", |x| (x * x).index_fill(1, &tensor!([1]), 3)),
    ("index_fill tensor", |x| (x * x).index_fill(1, &tensor!([1]), x.i((0, 0)))),
    ("take", |x| x.take(&tensor!([0, -1, 0])) * x.i((1, ..))),
    ("put", |x| (x * x).put(&tensor!([0, -1, 0]), &x.i(0), true)),
    ("take_along_dim", |x| x.take_along_dim(&tensor!([[1], [0]]), 1) * x),
    ("masked_fill", |x| (x * x).masked_fill(&x.detach().gt(0), x.i((0, 1)))),
    ("masked_select", |x| x.masked_select(&tensor!([true, false, true])).pow(2)),
    ("masked_scatter", |x| (x * x).masked_scatter(&tensor!([true, false, true]), x)),
    ("cat", |x| cat(&[x, &(x * x), &x.t().reshape([2, 3])], 1)),
    ("stack", |x| stack(&[x, &(x * x)], 1)),
    ("flip", |x| x.flip([0, 1]) * x),
    ("roll", |x| x.roll([1, 1], [0, 1]) * x),
    ("rot90", |x| x.rot90(1, [0, 1]) * x.t()),
    ("repeat", |x| x.repeat([2, 1, 2]).pow(2)),
    ("repeat_interleave", |x| x.repeat_interleave(2, 1).pow(2)),
    ("tril", |x| x.tril(0) * x),
    ("triu", |x| x.triu(1) * x),
    ("diag", |x| x.diag(1).pow(2)),
    ("diagflat", |x| x.diagflat(-1).sum_dim(0, false).pow(2)),
    ("cumsum", |x| x.cumsum(1, ()) * x),
    ("cumprod", |x| x.cumprod(1, ())),
    ("cumprod zeros", |x| (x * tensor!([[1., 0., 1.], [0., 1., 0.]], F64)).cumprod(1, ())),
    ("prod zero", |x| (x * tensor!([[1., 0., 1.], [1., 1., 1.]], F64)).prod_dim(1, false)),
    ("softmax", |x| x.softmax(1, ()) * x),
    ("log_softmax", |x| x.log_softmax(0, ()) * x),
    ("softmin", |x| x.t().softmin(0, ())),
];

/// Gradients against central differences in f64, first and second order; the same bits when every op is flushed at once.
#[test]
fn gradients_match_finite_differences() {
    let data = [0.3, -1.2, 0.7, 1.9, -0.4, 2.2];
    for (name, f) in FUNCTIONS {
        for transposed in [false, true] {
            let make = |v: &[f64]| {
                let t = Tensor::from_vec(v.to_vec(), [2, 3], ()).unwrap();
                if transposed { t.t().contiguous().t() } else { t }
            };
            let weigh = |y: Tensor| {
                let n = y.numel() as i64;
                (y.reshape(-1) * (arange(n, F64) * 0.37 + 0.5)).sum()
            };
            let grad = |v: &[f64], create: bool| {
                let x = make(v).detach().requires_grad_(true);
                let y = weigh(f(&x));
                let o = autograd::GradOptions::new().create_graph(create);
                let g = autograd::grad(&[&y], &[&x], &[], o).unwrap()[0].clone().unwrap();
                (x, y.item::<f64>().unwrap(), g)
            };
            let g = grad(&data, false).2.to_vec::<f64>().unwrap();
            stream::set_eager(true);
            let eager = grad(&data, false).2.to_vec::<f64>().unwrap();
            stream::set_eager(false);
            assert_eq!(g, eager, "{name}: eager differs");
            let (x2, _, g2) = grad(&data, true);
            for (a, b) in g2.to_vec::<f64>().unwrap().iter().zip(&g) {
                assert!((a - b).abs() <= 1e-12 * (1.0 + b.abs()), "{name}: {a} recorded, {b} not");
            }
            let second = if g2.requires_grad() {
                let o = autograd::GradOptions::new().allow_unused(true);
                autograd::grad(&[&weigh(g2)], &[&x2], &[], o).unwrap()[0].clone()
            } else {
                None
            };
            let second = second.map_or(vec![0.0; 6], |t| t.to_vec::<f64>().unwrap());
            let h = 1e-6;
            for i in 0..6 {
                let at = |s: f64| {
                    let mut v = data;
                    v[i] += s;
                    let (_, y, g) = grad(&v, false);
                    (y, weigh(g).item::<f64>().unwrap())
                };
                let ((y1, s1), (y0, s0)) = (at(h), at(-h));
                let (want, want2) = ((y1 - y0) / (2.0 * h), (s1 - s0) / (2.0 * h));
                assert!((g[i] - want).abs() < 1e-6 * (1.0 + want.abs()), "{name} [{i}]: {} against {want}", g[i]);
                assert!(
                    (second[i] - want2).abs() < 1e-5 * (1.0 + want2.abs()),
                    "{name} second order [{i}]: {} against {want2}",
                    second[i]
                );
            }
        }
    }
}

/// The same functions in f32 on a GPU: values and gradients of the CPU.
#[test]
fn the_gpu_agrees() {
    if Device::gpu_count() == 0 {
        eprintln!("SKIPPED: no GPU adapter (Debian: install mesa-vulkan-drivers)");
        return;
    }
    type G = (&'static str, fn(&Tensor, Device) -> Tensor);
    let fs: &[G] = &[
        ("i", |x, d| x.i((.., tensor!([0, -1, 2], d)))),
        ("i pairs", |x, d| x.i((tensor!([0, -2, 1], d), tensor!([0, 1, -1], d)))),
        ("i apart", |x, d| x.unsqueeze(1).i((tensor!([0, 1, 0], d), .., tensor!([0, 2, 0], d)))),
        ("mask", |x, _| x.i(x.detach().gt(0))),
        ("gather", |x, d| x.gather(1, &tensor!([[0, 0, 2], [1, 2, 2]], d))),
        ("scatter_add", |x, d| (x * x).scatter_add(1, &tensor!([[0, 2, 2], [1, 1, 1]], d), x)),
        ("index_add", |x, d| (x * x).index_add(1, &tensor!([2, 0, 2], d), x, 0.5)),
        ("index_copy", |x, d| (x * x).index_copy(1, &tensor!([2, 0], d), &x.i((.., 1..)))),
        ("masked_fill", |x, _| x.masked_fill(&x.detach().gt(0), 7)),
        ("cat", |x, _| cat(&[x, &(x * x)], 1)),
        ("flip", |x, _| x.flip([0, 1]) * x),
        ("roll", |x, _| x.roll(2, ()) * x),
        ("repeat", |x, _| x.repeat([2, 1, 2])),
        ("triu", |x, _| x.triu(1)),
        ("softmax", |x, _| x.softmax(1, ())),
        ("log_softmax", |x, _| x.t().log_softmax(1, ())),
        ("max_dim", |x, _| x.max_dim(1, false).0),
        ("amax", |x, _| x.amax(0, true) * x),
        ("norm", |x, _| x.norm_dim(3, 1, ())),
        ("std", |x, _| x.std_dim(1, ())),
        ("logsumexp", |x, _| x.logsumexp(0, false)),
        ("prod", |x, _| x.prod()),
        ("mean", |x, _| x.mean_dim(0, ()) * x),
    ];
    for (name, f) in fs {
        let run = |d: Device| {
            let x = Tensor::from_vec(vec![0.3f32, -1.2, 0.7, 1.9, -0.4, 2.2], [2, 3], d).unwrap().requires_grad_(true);
            let y = f(&x, d);
            (&y * &y).sum().backward();
            (y.shape(), y.to_vec::<f32>().unwrap(), x.grad().unwrap().to_vec::<f32>().unwrap())
        };
        let (cpu, gpu) = (run(Device::Cpu), run(Device::Gpu(0)));
        assert_eq!(cpu.0, gpu.0, "{name}");
        for (a, b) in cpu.1.iter().chain(&cpu.2).zip(gpu.1.iter().chain(&gpu.2)) {
            assert!((a - b).abs() <= 1e-5 * (1.0 + a.abs()), "{name}: {a} on the CPU, {b} on the GPU");
        }
    }
}

#[test]
fn components_by_hand() {
    let x = grid(Device::Cpu);
    let parts = vec![TensorIndex::Ellipsis, TensorIndex::Select(0)];
    assert_eq!(x.i(&parts[..]).shape(), [2, 3]);
    assert_eq!(x.i(parts).shape(), [2, 3]);
}
