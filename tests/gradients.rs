//! Gradients of first and second order against finite differences in f64, for every op that is more than elementwise
//! (`src/ops/pointwise` has the same for those, with dual numbers), and the GPU's against the CPU's.

mod common;
#[path = "gradients/complex.rs"]
mod complex;

use common::devices;
use std::collections::BTreeSet;
use std::path::Path;
use wgtorch::autograd::{GradOptions, grad};
use wgtorch::prelude::*;
use wgtorch::{
    AddmmOptions, AttentionOptions, AvgPool2dOptions, BCEOptions, Conv2dOptions, CrossEntropyOptions, HuberOptions,
    LayerNormOptions, MaxPool2dOptions, Padding, ReduceOptions, Reduction, SmoothL1Options, SortOptions, VarOptions,
};

/// Where an operand's numbers lie.
#[derive(Clone, Copy, PartialEq)]
enum Domain {
    /// -2 to 2, nowhere near 0.
    Real,
    /// 0.3 to 1.8.
    Positive,
}

type Forward = Box<dyn Fn(&[Tensor]) -> Vec<Tensor>>;

/// An op on inputs of some shapes.
struct Case {
    name: &'static str,
    shapes: Vec<Vec<usize>>,
    domain: Domain,
    forward: Forward,
}

impl Case {
    fn positive(mut self) -> Case {
        self.domain = Domain::Positive;
        self
    }

    /// Numbers that keep their distance from each other, so that no maximum changes hands.
    fn inputs(&self) -> Vec<Vec<f64>> {
        let mut state = self.name.bytes().fold(7u64, |s, b| s.wrapping_mul(31).wrapping_add(b as u64));
        let mut random = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 11) as f64 / (1u64 << 53) as f64
        };
        let numel = |s: &Vec<usize>| s.iter().product::<usize>();
        let total: usize = self.shapes.iter().map(numel).sum();
        let mut slots: Vec<usize> = (0..total).collect();
        for i in (1..total).rev() {
            slots.swap(i, (random() * (i + 1) as f64) as usize);
        }
        let mut next = slots.into_iter().map(|slot| {
            let at = (slot as f64 + 0.3 + 0.4 * random()) / total as f64;
            match self.domain {
                Domain::Positive => 0.3 + 1.5 * at,
                Domain::Real if at < 0.5 => -2.0 + 3.8 * at,
                Domain::Real => 0.1 + 3.8 * (at - 0.5),
            }
        });
        self.shapes.iter().map(|s| next.by_ref().take(numel(s)).collect()).collect()
    }
}

fn one(name: &'static str, shapes: &[&[usize]], f: impl Fn(&[Tensor]) -> Tensor + 'static) -> Case {
    many(name, shapes, move |x| vec![f(x)])
}

fn many(name: &'static str, shapes: &[&[usize]], f: impl Fn(&[Tensor]) -> Vec<Tensor> + 'static) -> Case {
    let shapes = shapes.iter().map(|s| s.to_vec()).collect();
    Case { name, shapes, domain: Domain::Real, forward: Box::new(f) }
}

/// int64 positions on the device of the operands.
fn at<const N: usize>(x: &Tensor, v: [i64; N]) -> Tensor {
    Tensor::from_vec(v.to_vec(), [N], x.device()).unwrap()
}

fn at2<const N: usize, const M: usize>(x: &Tensor, v: [[i64; M]; N]) -> Tensor {
    Tensor::from_vec(v.as_flattened().to_vec(), [N, M], x.device()).unwrap()
}

/// A mask on the device of the operands.
fn mask<const N: usize, const M: usize>(x: &Tensor, v: [[i64; M]; N]) -> Tensor {
    at2(x, v).to(Bool)
}

fn reductions() -> Vec<Case> {
    vec![
        one("sum", &[&[2, 3]], |x| x[0].sum()),
        one("sum of dims", &[&[2, 3, 2]], |x| x[0].sum_dim([0, 2], false)),
        one("sum with keepdim", &[&[2, 3]], |x| x[0].sum_dim(1, true)),
        one("sum_to_size", &[&[2, 3]], |x| x[0].sum_to_size([1, 3])),
        one("mean", &[&[2, 3]], |x| x[0].mean()),
        one("mean of a dim", &[&[2, 3]], |x| x[0].mean_dim(0, false)),
        one("prod", &[&[5]], |x| x[0].prod()),
        one("prod of a dim", &[&[3, 4]], |x| x[0].prod_dim(1, false)),
        one("nansum", &[&[2, 3]], |x| x[0].nansum()),
        one("nansum of a dim", &[&[2, 3]], |x| x[0].nansum_dim(0, true)),
        one("nanmean", &[&[2, 3]], |x| x[0].nanmean_dim(1, ())),
        one("max", &[&[2, 3]], |x| x[0].max()),
        one("min", &[&[2, 3]], |x| x[0].min()),
        one("max of a dim", &[&[3, 4]], |x| x[0].max_dim(1, false).0),
        one("min of a dim", &[&[3, 4]], |x| x[0].min_dim(0, true).0),
        one("amax", &[&[3, 4]], |x| x[0].amax(1, false)),
        one("amin", &[&[2, 3, 2]], |x| x[0].amin([0, 2], true)),
        many("aminmax", &[&[3, 4]], |x| {
            let (a, b) = x[0].aminmax_dim(1, false);
            vec![a, b]
        }),
        one("var", &[&[2, 4]], |x| x[0].var()),
        one("var of a dim", &[&[3, 4]], |x| x[0].var_dim(1, VarOptions::new().correction(0.0))),
        one("std", &[&[2, 4]], |x| x[0].std()),
        one("std of a dim", &[&[3, 4]], |x| x[0].std_dim(0, VarOptions::new().keepdim(true))),
        many("var_mean", &[&[3, 4]], |x| {
            let (v, m) = x[0].var_mean(1, ());
            vec![v, m]
        }),
        many("std_mean", &[&[3, 4]], |x| {
            let (v, m) = x[0].std_mean(1, ());
            vec![v, m]
        }),
        one("norm", &[&[2, 3]], |x| x[0].norm(2)),
        one("norm 1 of a dim", &[&[3, 4]], |x| x[0].norm_dim(1, 1, ())),
        one("norm 3 of a dim", &[&[3, 4]], |x| x[0].norm_dim(3, 1, ReduceOptions::new().keepdim(true))),
        one("norm 0.5", &[&[5]], |x| x[0].norm(0.5)),
        one("norm inf", &[&[3, 4]], |x| x[0].norm_dim(f64::INFINITY, 1, ())),
        one("norm -inf", &[&[3, 4]], |x| x[0].norm_dim(f64::NEG_INFINITY, 0, ())),
        one("logsumexp", &[&[3, 4]], |x| x[0].logsumexp(1, false)),
        one("cumsum", &[&[3, 4]], |x| x[0].cumsum(1, ())),
        one("cumprod", &[&[3, 4]], |x| x[0].cumprod(0, ())),
        one("softmax", &[&[3, 4]], |x| x[0].softmax(1, ())),
        one("softmax of the first dim", &[&[3, 4]], |x| x[0].softmax(0, ())),
        one("log_softmax", &[&[3, 4]], |x| x[0].log_softmax(-1, ())),
        one("layer_norm", &[&[3, 4]], |x| x[0].layer_norm([4], ())),
        one("layer_norm with a weight and a bias", &[&[2, 3, 2], &[3, 2], &[3, 2]], |x| {
            x[0].layer_norm([3, 2], LayerNormOptions::new().weight(&x[1]).bias(&x[2]))
        }),
        one("sort", &[&[3, 4]], |x| x[0].sort(SortOptions::new().descending(true)).0),
        one("topk", &[&[3, 4]], |x| x[0].topk(2, 0).0),
        one("embedding", &[&[3, 2]], |x| tensor!([[0, 2], [2, 2]], x[0].device()).embedding(&x[0], ())),
        one("attention", &[&[2, 3, 2], &[2, 3, 2], &[2, 3, 2]], |x| {
            x[0].scaled_dot_product_attention(&x[1], &x[2], AttentionOptions::new().is_causal(true))
        }),
        one("softmin", &[&[3, 4]], |x| x[0].softmin(0, ())),
        one("glu", &[&[3, 4]], |x| x[0].glu(1)),
    ]
}

fn products() -> Vec<Case> {
    let ab = || AddmmOptions::new().alpha(0.5).beta(2.0);
    vec![
        one("mm", &[&[2, 3], &[3, 4]], |x| x[0].mm(&x[1])),
        one("mm transposed", &[&[3, 2], &[4, 3]], |x| x[0].t().mm(&x[1].t())),
        one("bmm", &[&[2, 2, 3], &[2, 3, 2]], |x| x[0].bmm(&x[1])),
        one("matmul of vectors", &[&[3], &[3]], |x| x[0].matmul(&x[1])),
        one("matmul of a vector and a matrix", &[&[3], &[3, 2]], |x| x[0].matmul(&x[1])),
        one("matmul of a matrix and a vector", &[&[2, 3], &[3]], |x| x[0].matmul(&x[1])),
        one("matmul of batches", &[&[2, 1, 2, 3], &[3, 3, 2]], |x| x[0].matmul(&x[1])),
        one("matmul of a batch and a matrix", &[&[2, 2, 3], &[3, 2]], |x| x[0].matmul(&x[1])),
        one("mv", &[&[2, 3], &[3]], |x| x[0].mv(&x[1])),
        one("dot", &[&[4], &[4]], |x| x[0].dot(&x[1])),
        one("vdot", &[&[4], &[4]], |x| x[0].vdot(&x[1])),
        one("outer", &[&[3], &[2]], |x| x[0].outer(&x[1])),
        one("addmm", &[&[2, 4], &[2, 3], &[3, 4]], move |x| x[0].addmm(&x[1], &x[2], ab())),
        one("addmm with a row", &[&[4], &[2, 3], &[3, 4]], |x| x[0].addmm(&x[1], &x[2], ())),
        one("addmv", &[&[2], &[2, 3], &[3]], move |x| x[0].addmv(&x[1], &x[2], ab())),
        one("baddbmm", &[&[2, 2, 2], &[2, 2, 3], &[2, 3, 2]], move |x| x[0].baddbmm(&x[1], &x[2], ab())),
        one("linear", &[&[2, 3], &[4, 3], &[4]], |x| x[0].linear(&x[1], &x[2])),
        one("linear without bias", &[&[2, 2, 3], &[4, 3]], |x| x[0].linear(&x[1], ())),
        one("linear and relu", &[&[2, 3], &[4, 3], &[4]], |x| x[0].linear(&x[1], &x[2]).relu()),
        one("multiply by itself", &[&[3, 3]], |x| x[0].mm(&x[0])),
    ]
}

fn windows() -> Vec<Case> {
    let (w, b): (&[usize], &[usize]) = (&[2, 2, 2, 2], &[2]);
    vec![
        one("conv2d", &[&[2, 2, 4, 4], w, b], |x| x[0].conv2d(&x[1], &x[2])),
        one("conv2d without bias", &[&[1, 2, 4, 3], w], |x| x[0].conv2d(&x[1], ())),
        one("conv2d of one image", &[&[2, 4, 4], w, b], |x| x[0].conv2d(&x[1], &x[2])),
        one("conv2d with stride and padding", &[&[1, 2, 5, 4], w, b], |x| {
            x[0].conv2d(&x[1], Conv2dOptions::new().bias(&x[2]).stride((2, 1)).padding((1, 0)))
        }),
        one("conv2d with dilation", &[&[1, 2, 5, 5], w], |x| x[0].conv2d(&x[1], Conv2dOptions::new().dilation(2))),
        one("conv2d with groups", &[&[1, 4, 4, 4], &[4, 2, 3, 3], &[4]], |x| {
            x[0].conv2d(&x[1], Conv2dOptions::new().bias(&x[2]).groups(2))
        }),
        one("conv2d by channel", &[&[1, 3, 4, 4], &[3, 1, 3, 3]], |x| {
            x[0].conv2d(&x[1], Conv2dOptions::new().groups(3).padding(1))
        }),
        one("conv2d padded to the same size", &[&[1, 2, 4, 3], w], |x| {
            x[0].conv2d(&x[1], Conv2dOptions::new().padding(Padding::Same))
        }),
        one("conv2d and relu", &[&[1, 2, 4, 4], w, b], |x| x[0].conv2d(&x[1], &x[2]).relu()),
        one("max_pool2d", &[&[1, 2, 4, 4]], |x| x[0].max_pool2d(2)),
        one("max_pool2d of overlapping windows", &[&[2, 5, 5]], |x| {
            x[0].max_pool2d(MaxPool2dOptions::new(3).stride(1).padding(1))
        }),
        one("max_pool2d with dilation", &[&[1, 1, 6, 5]], |x| {
            x[0].max_pool2d(MaxPool2dOptions::new(2).stride(2).dilation(2).ceil_mode(true))
        }),
        one("adaptive_max_pool2d", &[&[2, 5, 4]], |x| x[0].adaptive_max_pool2d([3, 2])),
        one("adaptive_avg_pool2d of unequal windows", &[&[1, 2, 5, 3]], |x| x[0].adaptive_avg_pool2d([3, 2])),
        one("adaptive_avg_pool2d of equal windows", &[&[1, 2, 4, 6]], |x| x[0].adaptive_avg_pool2d(2)),
        one("avg_pool2d", &[&[1, 2, 4, 4]], |x| x[0].avg_pool2d(2)),
        one("avg_pool2d with padding", &[&[1, 5, 4]], |x| {
            x[0].avg_pool2d(AvgPool2dOptions::new(3).stride(2).padding(1).count_include_pad(false).ceil_mode(true))
        }),
        one("avg_pool2d with a divisor", &[&[1, 1, 4, 4]], |x| {
            x[0].avg_pool2d(AvgPool2dOptions::new(2).stride(1).divisor_override(3))
        }),
    ]
}

fn losses() -> Vec<Case> {
    let of = |r: Reduction| CrossEntropyOptions::new().reduction(r);
    vec![
        one("cross_entropy", &[&[3, 4]], |x| x[0].cross_entropy(&at(&x[0], [1, 0, 3]), ())),
        one("cross_entropy of one sample", &[&[4]], |x| {
            x[0].cross_entropy(&Tensor::from_vec(vec![2i64], (), x[0].device()).unwrap(), ())
        }),
        one("cross_entropy summed, weighted", &[&[3, 4]], move |x| {
            let w = tensor!([0.5, 1.0, 2.0, 1.5], (x[0].dtype(), x[0].device()));
            x[0].cross_entropy(&at(&x[0], [1, 0, 3]), of(Reduction::Sum).weight(&w))
        }),
        one("cross_entropy with one ignored", &[&[3, 4]], move |x| {
            x[0].cross_entropy(&at(&x[0], [1, 2, 3]), of(Reduction::None).ignore_index(2))
        }),
        one("cross_entropy, smoothed", &[&[3, 4]], |x| {
            x[0].cross_entropy(&at(&x[0], [1, 0, 3]), CrossEntropyOptions::new().label_smoothing(0.2))
        }),
        one("cross_entropy of images", &[&[1, 3, 2, 2]], |x| {
            let t = Tensor::from_vec(vec![0i64, 2, 1, 1], [1, 2, 2], x[0].device()).unwrap();
            x[0].cross_entropy(&t, ())
        }),
        one("cross_entropy of probabilities", &[&[3, 4], &[3, 4]], |x| x[0].cross_entropy(&x[1], ())).positive(),
        one("nll_loss", &[&[3, 4]], |x| x[0].nll_loss(&at(&x[0], [1, 0, 3]), ())),
        one("nll_loss of each", &[&[3, 4]], move |x| x[0].nll_loss(&at(&x[0], [1, 0, 3]), of(Reduction::None))),
        one("nll_loss of images", &[&[1, 3, 2, 2]], |x| {
            let t = Tensor::from_vec(vec![0i64, 2, 1, 1], [1, 2, 2], x[0].device()).unwrap();
            x[0].nll_loss(&t, ())
        }),
        one("mse_loss", &[&[3, 2], &[3, 2]], |x| x[0].mse_loss(&x[1], Reduction::Mean)),
        one("mse_loss of each", &[&[3, 2], &[3, 2]], |x| x[0].mse_loss(&x[1], Reduction::None)),
        one("smooth_l1_loss", &[&[3, 2], &[3, 2]], |x| {
            x[0].smooth_l1_loss(&x[1], SmoothL1Options::new().beta(0.7).reduction(Reduction::None))
        }),
        one("huber_loss", &[&[3, 2], &[3, 2]], |x| x[0].huber_loss(&x[1], HuberOptions::new().delta(0.7))),
        one("binary_cross_entropy", &[&[3, 2], &[3, 2]], |x| {
            let weight = full([2], 0.5, TensorOptions::new().dtype(x[0].dtype()).device(x[0].device()));
            x[0].sigmoid().binary_cross_entropy(&x[1].sigmoid(), BCEOptions::new().weight(&weight))
        }),
        one("binary_cross_entropy_with_logits", &[&[3, 2], &[3, 2]], |x| {
            let weight = full([2], 0.5, TensorOptions::new().dtype(x[0].dtype()).device(x[0].device()));
            let o = BCEOptions::new().pos_weight(&weight).reduction(Reduction::Sum);
            x[0].binary_cross_entropy_with_logits(&x[1], o)
        }),
        one("l1_loss", &[&[3, 2], &[3, 2]], |x| x[0].l1_loss(&x[1], Reduction::Sum)),
    ]
}

fn picks() -> Vec<Case> {
    vec![
        one("gather", &[&[3, 4]], |x| x[0].gather(1, &at2(&x[0], [[0, 0], [3, 1], [2, 2]]))),
        one("index_select", &[&[3, 4]], |x| x[0].index_select(1, &at(&x[0], [3, 0, 3]))),
        one("take", &[&[3, 4]], |x| x[0].take(&at(&x[0], [11, 0, 5, 5]))),
        one("put", &[&[3, 4], &[3]], |x| x[0].put(&at(&x[0], [11, 0, 5]), &x[1], false)),
        one("put that adds", &[&[3, 4], &[3]], |x| x[0].put(&at(&x[0], [5, 0, 5]), &x[1], true)),
        one("take_along_dim", &[&[3, 4]], |x| x[0].take_along_dim(&at2(&x[0], [[0, 1], [3, 1], [2, 2]]), 1)),
        one("scatter", &[&[3, 4], &[3, 2]], |x| x[0].scatter(1, &at2(&x[0], [[0, 1], [3, 1], [2, 0]]), &x[1])),
        one("scatter of a number", &[&[3, 4]], |x| x[0].scatter(1, &at2(&x[0], [[0, 1], [3, 1], [2, 0]]), 0.5)),
        one("scatter_add", &[&[3, 4], &[3, 2]], |x| x[0].scatter_add(1, &at2(&x[0], [[0, 0], [3, 1], [2, 2]]), &x[1])),
        one("index_add", &[&[3, 4], &[3, 2]], |x| x[0].index_add(1, &at(&x[0], [2, 2]), &x[1], 0.5)),
        one("index_copy", &[&[3, 4], &[3, 2]], |x| x[0].index_copy(1, &at(&x[0], [3, 0]), &x[1])),
        one("index_fill", &[&[3, 4]], |x| x[0].index_fill(1, &at(&x[0], [3, 0]), 0.5)),
        one("index_fill of a tensor", &[&[3, 4], &[]], |x| x[0].index_fill(1, &at(&x[0], [3, 0]), &x[1])),
        one("scatter_reduce sum", &[&[2, 3], &[2, 2]], |x| reduce(x, "sum", true)),
        one("scatter_reduce mean", &[&[2, 3], &[2, 2]], |x| reduce(x, "mean", false)),
        one("scatter_reduce prod", &[&[2, 3], &[2, 2]], |x| reduce(x, "prod", true)),
        one("scatter_reduce amax", &[&[2, 3], &[2, 2]], |x| reduce(x, "amax", true)),
        one("scatter_reduce amin", &[&[2, 3], &[2, 2]], |x| reduce(x, "amin", false)),
        one("i of tensors", &[&[3, 4]], |x| x[0].i((&at(&x[0], [2, 0, 2]), &at(&x[0], [1, 3, 1])))),
        one("i of a tensor between slices", &[&[2, 3, 2]], |x| x[0].i((.., &at(&x[0], [2, 0])))),
        one("i of a mask", &[&[2, 3]], |x| x[0].i(mask(&x[0], [[1, 0, 1], [0, 1, 0]]))),
        one("index_put", &[&[3, 4], &[2]], |x| x[0].index_put((&at(&x[0], [2, 0]), &at(&x[0], [1, 3])), &x[1], false)),
        one("index_put that adds", &[&[3, 4], &[3]], |x| {
            x[0].index_put((&at(&x[0], [2, 0, 2]), &at(&x[0], [1, 3, 1])), &x[1], true)
        }),
        one("masked_fill", &[&[2, 3]], |x| x[0].masked_fill(&mask(&x[0], [[1, 0, 1], [0, 1, 0]]), 0.5)),
        one("masked_fill of a tensor", &[&[2, 3], &[]], |x| {
            x[0].masked_fill(&mask(&x[0], [[1, 0, 1], [0, 1, 0]]), &x[1])
        }),
        one("masked_select", &[&[2, 3]], |x| x[0].masked_select(&mask(&x[0], [[1, 0, 1], [0, 1, 0]]))),
        one("masked_scatter", &[&[2, 3], &[4]], |x| x[0].masked_scatter(&mask(&x[0], [[1, 0, 1], [0, 1, 0]]), &x[1])),
        one("where", &[&[2, 3], &[1, 3]], |x| x[0].where_cond(&mask(&x[0], [[1, 0, 1], [0, 1, 0]]), &x[1])),
    ]
}

fn reduce(x: &[Tensor], how: &str, own: bool) -> Tensor {
    x[0].scatter_reduce(1, &at2(&x[0], [[0, 0], [2, 1]]), &x[1], how.parse().unwrap(), own)
}

fn ranks() -> Vec<Case> {
    use wgtorch::PadMode::{Circular, Reflect, Replicate};
    let index_reduce = |how: &'static str, own: bool| {
        move |x: &[Tensor]| x[0].index_reduce(1, &at(&x[0], [2, 0, 2]), &x[1], how.parse().unwrap(), own)
    };
    vec![
        one("pad", &[&[2, 3]], |x| x[0].pad([1, 2, -1, 1], 0.5)),
        one("pad reflect", &[&[2, 3, 4, 5]], |x| x[0].pad([2, 1, 1, 2], Reflect)),
        one("pad reflect of lines", &[&[2, 4]], |x| x[0].pad([3, 1], Reflect)),
        one("pad reflect of volumes", &[&[1, 2, 3, 2, 3]], |x| x[0].pad([1, 2, 1, 0, 2, 1], Reflect)),
        one("pad replicate", &[&[2, 3, 4]], |x| x[0].pad([2, 1, 3, -1], Replicate)),
        one("pad replicate of lines", &[&[2, 4]], |x| x[0].pad([3, 1], Replicate)),
        one("pad replicate of volumes", &[&[2, 2, 2, 3]], |x| x[0].pad([1, 2, 1, 0, 2, 1], Replicate)),
        one("pad circular", &[&[2, 3, 4]], |x| x[0].pad([2, 1, 3, 0], Circular)),
        one("index_reduce prod", &[&[2, 3], &[2, 3]], index_reduce("prod", true)),
        one("index_reduce mean", &[&[2, 3], &[2, 3]], index_reduce("mean", false)),
        one("index_reduce amax", &[&[2, 3], &[2, 3]], index_reduce("amax", true)),
        one("index_reduce amin", &[&[2, 3], &[2, 3]], index_reduce("amin", false)),
        one("median", &[&[3, 4]], |x| x[0].median()),
        one("median of a dim", &[&[3, 4]], |x| x[0].median_dim(1, false).0),
        one("nanmedian", &[&[3, 3]], |x| x[0].nanmedian()),
        one("nanmedian of a dim", &[&[3, 4]], |x| x[0].nanmedian_dim(0, true).0),
        one("kthvalue", &[&[3, 4]], |x| x[0].kthvalue(2, 1, true).0),
        one("mode", &[&[3, 4]], |x| x[0].mode(0, false).0),
        one("quantile", &[&[3, 4]], |x| x[0].quantile(0.3, 1isize)),
        one("nanquantile", &[&[3, 4]], |x| {
            x[0].nanquantile(tensor!([0.2, 0.9], (F64, x[0].device())).to(x[0].dtype()), ())
        }),
        one("cummax", &[&[2, 4]], |x| x[0].cummax(1).0),
        one("cummin", &[&[3, 2]], |x| x[0].cummin(0).0),
        one("logcumsumexp", &[&[2, 4]], |x| x[0].logcumsumexp(1)),
        one("diff", &[&[2, 4], &[2, 1]], |x| x[0].diff_with(2, 1, &x[1], ())),
        one("trapezoid", &[&[2, 4], &[4]], |x| x[0].trapezoid(&x[1], -1)),
        one("cumulative_trapezoid", &[&[2, 4]], |x| x[0].cumulative_trapezoid(0.5, 0)),
        many("gradient", &[&[3, 4]], |x| x[0].gradient(wgtorch::GradientOptions::new().edge_order(2))),
        one("cov", &[&[2, 4]], |x| x[0].cov(())),
        one("corrcoef", &[&[2, 4]], |x| x[0].corrcoef()).positive(),
        one("renorm", &[&[3, 4]], |x| x[0].renorm(2, 0, 1.5)),
        one("dist", &[&[3], &[3]], |x| x[0].dist(&x[1], 3)),
        one("vander", &[&[3]], |x| wgtorch::linalg::vander(&x[0], 4)),
        one("addbmm", &[&[2, 3], &[2, 2, 4], &[2, 4, 3]], |x| {
            x[0].addbmm(&x[1], &x[2], AddmmOptions::new().beta(0.5).alpha(2))
        }),
        one("addr", &[&[2, 3], &[2], &[3]], |x| x[0].addr(&x[1], &x[2], AddmmOptions::new().beta(0.5).alpha(2))),
        one("polygamma", &[&[4]], |x| (&x[0] + 1.0).polygamma(4)).positive(),
        one("mvlgamma", &[&[4]], |x| (&x[0] + 1.0).mvlgamma(3)).positive(),
        one("zeta", &[&[4]], |x| wgtorch::zeta(2.5, &x[0])).positive(),
    ]
}

fn joins() -> Vec<Case> {
    vec![
        one("cat", &[&[2, 3], &[2, 1]], |x| wgtorch::cat(&[&x[0], &x[1]], 1)),
        one("cat of one twice", &[&[2, 3]], |x| wgtorch::cat(&[&x[0], &x[0]], 0)),
        one("stack", &[&[2, 3], &[2, 3]], |x| wgtorch::stack(&[&x[0], &x[1]], 1)),
        one("hstack", &[&[2], &[3]], |x| wgtorch::hstack(&[&x[0], &x[1]])),
        one("vstack", &[&[3], &[2, 3]], |x| wgtorch::vstack(&[&x[0], &x[1]])),
        one("dstack", &[&[2, 3], &[2, 3]], |x| wgtorch::dstack(&[&x[0], &x[1]])),
        one("column_stack", &[&[2], &[2, 3]], |x| wgtorch::column_stack(&[&x[0], &x[1]])),
        one("block_diag", &[&[2, 2], &[1, 3]], |x| wgtorch::block_diag(&[&x[0], &x[1]])),
        one("cartesian_prod", &[&[2], &[3]], |x| wgtorch::cartesian_prod(&[&x[0], &x[1]])),
        one("combinations", &[&[4]], |x| x[0].combinations(2, false)),
        many("meshgrid", &[&[2], &[3]], |x| wgtorch::meshgrid(&[&x[0], &x[1]], "ij")),
        many("broadcast_tensors", &[&[2, 1], &[3]], |x| wgtorch::broadcast_tensors(&[&x[0], &x[1]])),
        one("repeat", &[&[2, 3]], |x| x[0].repeat([2, 1, 2])),
        one("tile", &[&[2, 3]], |x| x[0].tile([2])),
        one("repeat_interleave", &[&[2, 3]], |x| x[0].repeat_interleave(2, 1)),
        one("flip", &[&[2, 3]], |x| x[0].flip([0, 1])),
        one("roll", &[&[2, 3]], |x| x[0].roll([1, 2], [0, 1])),
        one("rot90", &[&[2, 3]], |x| x[0].rot90(1, [0, 1])),
        one("tril", &[&[3, 3]], |x| x[0].tril(0)),
        one("triu", &[&[3, 4]], |x| x[0].triu(1)),
        one("diag of a vector", &[&[3]], |x| x[0].diag(1)),
        one("diag of a matrix", &[&[3, 4]], |x| x[0].diag(-1)),
        one("diag_embed", &[&[2, 3]], |x| x[0].diag_embed(0, -2, -1)),
        one("diagflat", &[&[2, 2]], |x| x[0].diagflat(0)),
        one("select_scatter", &[&[2, 3], &[2]], |x| x[0].select_scatter(&x[1], 1, 2)),
        one("slice_scatter", &[&[4, 2], &[2, 2]], |x| x[0].slice_scatter(&x[1], 0, Some(0), None, 2)),
        one("diagonal_scatter", &[&[3, 4], &[3]], |x| x[0].diagonal_scatter(&x[1], 1, 0, 1)),
    ]
}

fn views() -> Vec<Case> {
    vec![
        one("view", &[&[2, 6]], |x| x[0].view([3, 4])),
        one("reshape of a transpose", &[&[2, 6]], |x| x[0].t().reshape([3, 4])),
        one("flatten", &[&[2, 3, 2]], |x| x[0].flatten(1)),
        one("unflatten", &[&[2, 6]], |x| x[0].unflatten(1, [2, 3])),
        one("expand", &[&[2, 1, 3]], |x| x[0].expand([2, 2, 2, 3])),
        one("permute", &[&[2, 3, 2]], |x| x[0].permute([2, 0, 1])),
        one("transpose", &[&[2, 3]], |x| x[0].transpose(0, 1)),
        one("t", &[&[2, 3]], |x| x[0].t()),
        one("mt", &[&[2, 2, 3]], |x| x[0].mt()),
        one("movedim", &[&[2, 3, 2]], |x| x[0].movedim([0], [2])),
        one("select", &[&[2, 3]], |x| x[0].select(1, -1)),
        one("slice", &[&[6, 2]], |x| x[0].slice(0, Some(1), None, 2)),
        one("narrow", &[&[2, 5]], |x| x[0].narrow(1, 1, 3)),
        one("movedim of a number", &[&[]], |x| x[0].movedim(Vec::<isize>::new(), Vec::<isize>::new())),
        one("squeeze", &[&[2, 1, 3]], |x| x[0].squeeze()),
        one("squeeze of a dim", &[&[2, 1, 3]], |x| x[0].squeeze_dim(1)),
        one("unsqueeze", &[&[2, 3]], |x| x[0].unsqueeze(1)),
        one("diagonal", &[&[3, 4]], |x| x[0].diagonal(1, 0, 1)),
        many("split", &[&[5, 2]], |x| x[0].split(2, 0)),
        many("split_with_sizes", &[&[5, 2]], |x| x[0].split_with_sizes(&[1, 4], 0)),
        one("unfold", &[&[2, 5]], |x| x[0].unfold(1, 3, 1)),
        many("chunk", &[&[5, 2]], |x| x[0].chunk(2, 0)),
        many("unbind", &[&[2, 3]], |x| x[0].unbind(1)),
        many("tensor_split", &[&[5, 2]], |x| x[0].tensor_split(2, 0)),
        one("copy", &[&[2, 3]], |x| x[0].copy()),
        one("contiguous", &[&[2, 3]], |x| x[0].t().contiguous()),
        one("atleast_3d", &[&[2, 3]], |x| x[0].atleast_3d()),
        // in place, through views
        one("add_ on a row", &[&[2, 3], &[3]], |x| {
            let y = x[0].copy();
            y.select(0, 1).mul_(&x[1]);
            &y * &y
        }),
        one("a view of what was written", &[&[2, 3], &[2]], |x| {
            let y = x[0].copy();
            let v = y.t();
            y.select(1, 0).mul_(&x[1]);
            &v * &v
        }),
        one("copy_ into a slice", &[&[4, 2], &[2, 2]], |x| {
            let y = &x[0] * 2.0;
            y.slice(0, Some(1), Some(3), 1).copy_(&x[1]);
            y.exp()
        }),
        one("i_put_", &[&[3, 2], &[2]], |x| {
            let y = &x[0] * 2.0;
            y.i_put_(1, &x[1]);
            y.sin()
        }),
    ]
}

fn cases() -> Vec<Case> {
    [reductions(), products(), windows(), losses(), picks(), ranks(), joins(), views(), complex::cases()]
        .into_iter()
        .flatten()
        .collect()
}

/// Weights that tell elements apart.
fn weights(like: &Tensor, seed: usize) -> Tensor {
    let v: Vec<f64> = (0..like.numel()).map(|i| ((i * 7 + seed * 5) as f64 * 0.77).sin() + 0.3).collect();
    Tensor::from_vec(v, like.shape(), (F64, like.device())).unwrap().to(like.dtype())
}

fn weighted(parts: &[Tensor], seed: usize) -> Tensor {
    // with squares, so that the gradient of an output depends on it: derivatives of backward kernels go both ways
    let one = |i: usize, p: &Tensor| (p * weights(p, seed + i) + 0.5 * (p * p) * weights(p, seed + i + 11)).sum();
    let mut sum = one(0, &parts[0]);
    for (i, p) in parts.iter().enumerate().skip(1) {
        sum = sum + one(i, p);
    }
    sum
}

impl Case {
    fn leaves(&self, values: &[Vec<f64>], options: impl Into<TensorOptions>) -> Vec<Tensor> {
        let options = options.into();
        let make = |(v, s): (&Vec<f64>, &Vec<usize>)| {
            Tensor::from_vec(v.clone(), s, F64)
                .unwrap()
                .to((options.device.unwrap_or_default(), options.dtype.unwrap_or(F64)))
        };
        let all: Vec<Tensor> = values.iter().zip(&self.shapes).map(make).collect();
        all.iter().for_each(|t| {
            t.requires_grad_(true);
        });
        all
    }

    fn loss(&self, x: &[Tensor]) -> Tensor {
        weighted(&(self.forward)(x), 0)
    }

    /// Gradients of the loss, with history.
    fn first(&self, x: &[Tensor]) -> Vec<Tensor> {
        let ins: Vec<&Tensor> = x.iter().collect();
        let g = grad(&[&self.loss(x)], &ins, &[None], GradOptions::new().create_graph(true))
            .unwrap_or_else(|e| panic!("{}: {e}", self.name));
        g.into_iter().map(|g| g.expect("every input is used")).collect()
    }

    /// Gradients of the loss, without history: fused gradient kernels run where nothing is recorded.
    fn plain(&self, x: &[Tensor]) -> Vec<Option<Tensor>> {
        let ins: Vec<&Tensor> = x.iter().collect();
        grad(&[&self.loss(x)], &ins, &[None], ()).unwrap_or_else(|e| panic!("{}: {e}", self.name))
    }

    /// The gradients of first order weighted and summed, and their gradients; None where the first are constants.
    fn second(&self, x: &[Tensor]) -> Option<Vec<Option<Tensor>>> {
        let total = weighted(&self.first(x), 3);
        total.grad_fn()?;
        let ins: Vec<&Tensor> = x.iter().collect();
        let how = GradOptions::new().allow_unused(true);
        Some(grad(&[&total], &ins, &[None], how).unwrap_or_else(|e| panic!("{}, second order: {e}", self.name)))
    }
}

/// The derivative of `f` by each input's elements, by central differences.
fn differences(values: &[Vec<f64>], f: impl Fn(&[Vec<f64>]) -> f64) -> Vec<Vec<f64>> {
    const H: f64 = 1e-5;
    let mut at = values.to_vec();
    let mut out = Vec::new();
    for i in 0..values.len() {
        let mut column = Vec::new();
        for j in 0..values[i].len() {
            let x = values[i][j];
            at[i][j] = x + H;
            let up = f(&at);
            at[i][j] = x - H;
            let down = f(&at);
            at[i][j] = x;
            column.push((up - down) / (2.0 * H));
        }
        out.push(column);
    }
    out
}

fn compare(name: &str, order: &str, got: &[Option<Tensor>], want: &[Vec<f64>], tolerance: f64) -> Vec<String> {
    let mut wrong = Vec::new();
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        let g = g.as_ref().map_or_else(|| vec![0.0; w.len()], |g| g.to_vec::<f64>().unwrap());
        for (j, (g, w)) in g.iter().zip(w).enumerate() {
            if (g - w).abs() > tolerance * w.abs().max(1.0) || g.is_nan() {
                wrong.push(format!("{name}, {order} order, input {i}[{j}]: {g}, by differences {w}"));
            }
        }
    }
    wrong.truncate(3);
    wrong
}

#[test]
fn gradients_are_finite_differences() {
    let mut wrong = Vec::new();
    let mut twice = 0;
    for c in cases() {
        let values = c.inputs();
        let x = c.leaves(&values, ());
        let numbers = |at: &[Vec<f64>]| c.leaves(at, ());
        let first = c.first(&x).into_iter().map(Some).collect::<Vec<_>>();
        let want = differences(&values, |v| c.loss(&numbers(v)).item::<f64>().unwrap());
        wrong.extend(compare(c.name, "first", &first, &want, 1e-7));
        wrong.extend(compare(c.name, "unrecorded first", &c.plain(&x), &want, 1e-7));

        let want = differences(&values, |v| weighted(&c.first(&numbers(v)), 3).item::<f64>().unwrap());
        let second = c.second(&x);
        twice += usize::from(second.is_some());
        let second = second.unwrap_or_else(|| vec![None; x.len()]);
        wrong.extend(compare(c.name, "second", &second, &want, 1e-6));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    println!("{} ops, {twice} with a second derivative", cases().len());
}

/// In f32, where the GPU has kernels of its own: their gradients against the CPU's in f64.
#[test]
fn gradients_on_gpus_are_those_of_the_cpu() {
    let mut wrong = Vec::new();
    for device in devices().into_iter().filter(|d| d.is_gpu()) {
        for c in cases() {
            let values: Vec<Vec<f64>> =
                c.inputs().iter().map(|v| v.iter().map(|&x| x as f32 as f64).collect()).collect();
            let (there, here) = (c.leaves(&values, (F32, device)), c.leaves(&values, ()));
            let list = |t: Vec<Tensor>| t.into_iter().map(Some).collect::<Vec<_>>();
            let numbers = |t: &[Option<Tensor>], like: &[Vec<f64>]| -> Vec<Vec<f64>> {
                let one = |(t, v): (&Option<Tensor>, &Vec<f64>)| match t {
                    Some(t) => t.to_vec::<f64>().unwrap(),
                    None => vec![0.0; v.len()],
                };
                t.iter().zip(like).map(one).collect()
            };
            let want = numbers(&list(c.first(&here)), &values);
            wrong.extend(compare(c.name, "first", &list(c.first(&there)), &want, 2e-4));
            wrong.extend(compare(c.name, "unrecorded first", &c.plain(&there), &want, 2e-4));
            let (a, b) = (c.second(&there), c.second(&here));
            assert_eq!(a.is_some(), b.is_some(), "{}", c.name);
            if let (Some(a), Some(b)) = (a, b) {
                wrong.extend(compare(c.name, "second", &a, &numbers(&b, &values), 2e-3));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Nodes that the table need not reach, with the reason.
const ELSEWHERE: &[(&str, &str)] = &[
    ("SoftmaxBackwardDataBackward0", "the fused gradient is never recorded: with a graph it is composed of other ops"),
    ("LogSoftmaxBackwardDataBackward0", "as above"),
    ("NativeLayerNormBackwardBackward0", "as above"),
    ("ScaledDotProductFlashAttentionForCpuBackwardBackward0", "as above"),
    ("ScaledDotProductEfficientAttentionBackward0", "the name on GPUs"),
    ("SearchsortedBackward0", "places are integers"),
];

/// Every node that ops outside the elementwise table put on the tape is in the graph of some case, of either order.
#[test]
fn every_node_is_met() {
    let mut met = BTreeSet::new();
    for c in cases() {
        let x = c.leaves(&c.inputs(), ());
        let mut todo: Vec<_> = c.loss(&x).grad_fn().into_iter().collect();
        todo.extend(c.first(&x).iter().filter_map(|g| g.grad_fn()));
        let mut seen = BTreeSet::new();
        while let Some(node) = todo.pop() {
            if seen.insert(std::sync::Arc::as_ptr(&node)) {
                met.insert(node.name());
                todo.extend(node.next_functions().into_iter().flatten().map(|(n, _)| n));
            }
        }
    }
    let mut missing = BTreeSet::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/ops");
    for file in std::fs::read_dir(folder).unwrap().flatten().map(|f| f.path()).filter(|p| p.is_file()) {
        let text = std::fs::read_to_string(&file).unwrap();
        for name in text.split('"').skip(1).step_by(2) {
            let digits = name.trim_end_matches(|c: char| c.is_ascii_digit());
            let node = name.len() > digits.len() && digits.ends_with("Backward") && !name.contains(' ');
            if node && !met.contains(name) && !ELSEWHERE.iter().any(|e| e.0 == name) {
                missing.insert(name.to_owned());
            }
        }
    }
    assert!(missing.is_empty(), "no case reaches {missing:?}");
    for (name, why) in ELSEWHERE {
        assert!(!met.contains(*name), "{name} is met after all ({why})");
    }
}
