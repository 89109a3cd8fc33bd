//! Every kernel that the library can write, in every shading language that has its types: elementwise programs over all rows
//! and dtypes, all kinds of reductions, and the kernels of `shaders/`, for adapters with subgroups and without.

use super::kernels::attention::{Attention, Saved, attention, attention_grad};
use super::kernels::conv::{ConvSpec, conv2d, conv2d_input_grad, conv2d_weight_grad};
use super::kernels::cross_entropy::{Keep, Results, Source, cross_entropy, cross_entropy_grad};
use super::kernels::index_write::{self, Join, Pointers};
use super::kernels::loss::{Reduction, Targets, nll_loss, nll_loss_grad};
use super::kernels::matmul::{Act, Epilogue, matmul};
use super::kernels::matmul_exact::{self, Rest};
use super::kernels::norm::{LayerNorm, LayerNormInputGrad, layer_norm, layer_norm_input_grad};
use super::kernels::optim::{Adam, AdamParam, Sgd, SgdParam, adam, sgd};
use super::kernels::pool::{AvgSpec, PoolSpec, avg_pool2d, avg_pool2d_grad, max_pool2d, max_pool2d_grad};
use super::kernels::random::{Draw, random};
use super::kernels::scan::{Scan, scan};
use super::kernels::softmax::{softmax, softmax_grad};
use super::kernels::sort::{Order, by_tiles, sort};
use super::kernels::{index, testing::Host};
use super::kernels::{matmul_coop, matmul_half, matmul_scaled};
use super::reduce::{ReduceKind, reduce_as};
use super::reduce_wgsl::Plan;
use super::shading::{Checked, have_spirv_val, have_tint, judge_as_browsers};
use super::testing::device;
use super::{Buffer, Gpu, GpuView, KernelSource, Recorder, pointwise};
use crate::dtype::DType;
use crate::layout::Layout;
use crate::num::all_rows;
use crate::program::{Action, Instr, Program, Row};
use crate::scalar::Scalar;
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::path::Path;

/// Checks kernels side by side, each text once, and fails with everything that was found. Gives the number of texts, and how
/// many of them use what is beyond WebGPU's core.
fn check(sources: Vec<KernelSource>) -> (usize, BTreeMap<&'static str, usize>) {
    let by_text: BTreeMap<&str, &KernelSource> = sources.iter().map(|s| (s.wgsl.as_str(), s)).collect();
    let (spirv_val, tint) = (have_spirv_val(), have_tint());
    let all: Vec<Result<Vec<&'static str>, String>> = by_text
        .par_iter()
        .map(|(_, s)| {
            let checked =
                Checked::new(s).and_then(|c| c.write_all(spirv_val).map(|()| c.extras())).and_then(|extras| {
                    if tint {
                        judge_as_browsers(&s.wgsl, &extras)?;
                    }
                    Ok(extras)
                });
            checked.map_err(|e| format!("{}: {e}", s.label))
        })
        .collect();
    let mut extras = BTreeMap::new();
    let mut wrong = Vec::new();
    for r in all {
        match r {
            Ok(e) => e.into_iter().for_each(|e| *extras.entry(e).or_default() += 1),
            Err(e) => wrong.push(e),
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), by_text.len(), wrong[..wrong.len().min(10)].join("\n"));
    (by_text.len(), extras)
}

/// Buffers that stand for operands; nothing is read or written.
fn buffers(g: &Gpu, n: usize) -> Vec<Buffer> {
    (0..n).map(|_| g.lock().alloc(1 << 16).unwrap()).collect()
}

fn view<'a>(buffer: &'a Buffer, dtype: DType, l: &'a Layout) -> GpuView<'a> {
    GpuView { buffer, dtype, offset: l.offset, shape: &l.shape, strides: &l.strides }
}

/// A program that applies each row to the same operands; what is `constant` arrives as a scalar.
fn program(rows: &[&'static Row], d: DType, constant: bool) -> Program {
    let (arity, first) = (rows[0].arity, rows[0].bool_first);
    let operand = |k: usize| if first && k == 0 { DType::Bool } else { d };
    let loads = if constant && arity > 1 { arity - 1 } else { arity };
    let dtype = |r: &Row| if r.bool_out { DType::Bool } else { d };
    Program {
        loads: (0..loads).map(operand).collect(),
        scalars: (loads..arity).map(operand).collect(),
        instrs: rows
            .iter()
            .map(|r| Instr { action: Action::Row(r), dtype: d, out: dtype(r), srcs: (0..arity as u16).collect() })
            .collect(),
        stores: (0..rows.len()).map(|k| (arity + k) as u16).collect(),
    }
}

/// Writes a program over a shape, with one layout for loads and one for stores.
fn write(
    rec: &mut Recorder,
    g: &Gpu,
    b: &[Buffer],
    p: &Program,
    shape: &[usize],
    load: &Layout,
    store: &Layout,
) -> bool {
    let loads: Vec<_> = p.loads.iter().zip(b).map(|(&d, b)| view(b, d, load)).collect();
    let outs = p.stores.iter().zip(&b[p.loads.len()..]);
    let stores: Vec<_> = outs.map(|(&r, b)| view(b, p.dtype(r), store)).collect();
    let scalars = vec![Scalar::Int(1); p.scalars.len()];
    pointwise::run(rec, g, p, shape, &loads, &scalars, &stores).unwrap()
}

/// Rows by four with the same operands.
fn by_four(d: DType) -> Vec<Vec<&'static Row>> {
    let mut groups: Vec<Vec<&'static Row>> = Vec::new();
    for &row in all_rows().iter().filter(|r| (r.wgsl)(d).is_some()) {
        let fits =
            |v: &&mut Vec<&'static Row>| v.len() < 4 && v[0].arity == row.arity && v[0].bool_first == row.bool_first;
        match groups.iter_mut().find(fits) {
            Some(v) => v.push(row),
            None => groups.push(vec![row]),
        }
    }
    groups
}

#[test]
fn every_row_and_cast_in_every_language() {
    let Some(g) = device() else { return };
    let b = buffers(&g, 8);
    let line = Layout::contiguous(&[1000][..]);
    let mut native = 0;
    let sources = g.lock().dry(0, |rec| {
        for d in DType::REAL {
            for (i, rows) in by_four(d).iter().enumerate() {
                let done = write(rec, &g, &b, &program(rows, d, i % 2 == 1), &[1000], &line, &line);
                assert!(done || d == DType::F64 && !g.features.f64, "{rows:?} of {d}");
                native += usize::from(done && d == DType::F64);
            }
            for to in DType::REAL.chunks(5) {
                let to: Vec<DType> =
                    to.iter().copied().filter(|&t| t != d && (t != DType::F64 || g.features.f64)).collect();
                let cast =
                    |&out: &DType| Instr { action: Action::Cast, dtype: d, out, srcs: [0].into_iter().collect() };
                let p = Program {
                    loads: [d].into_iter().collect(),
                    instrs: to.iter().map(cast).collect(),
                    stores: (1..=to.len() as u16).collect(),
                    ..Program::default()
                };
                if to.is_empty() || d == DType::F64 && !g.features.f64 {
                    continue;
                }
                assert!(write(rec, &g, &b, &p, &[1000], &line, &line), "{d} to {to:?}");
            }
        }
    });
    let (texts, extras) = check(sources);
    assert!(texts > 150, "{texts}");
    assert_eq!(extras.contains_key("f64"), g.features.f64, "{extras:?}");
    assert!(extras.keys().all(|&e| e == "f64"), "{extras:?}");
    assert_eq!(native > 0, g.features.f64);
}

/// Layouts of a shape that no other addresses as it does.
fn layouts(shape: &[usize], stored: bool) -> Vec<Layout> {
    let n = shape.len();
    let mut out = vec![Layout::contiguous(shape), Layout { offset: 1, ..Layout::contiguous(shape) }];
    let mut wide = shape.to_vec();
    wide[n - 1] *= 2;
    out.push(Layout::contiguous(&wide[..]).slice(-1, Some(1), None, 2).unwrap());
    if !stored {
        out.push(Layout::contiguous(&vec![1; n][..]).broadcast_to(shape).unwrap());
        let mut column = shape.to_vec();
        column[n - 1] = 1;
        out.push(Layout::contiguous(&column[..]).broadcast_to(shape).unwrap());
        let back: Vec<usize> = shape.iter().rev().copied().collect();
        let dims: Vec<isize> = (0..n as isize).rev().collect();
        out.push(Layout::contiguous(&back[..]).permute(&dims).unwrap());
    }
    out
}

#[test]
fn every_addressing_in_every_language() {
    let Some(g) = device() else { return };
    let b = buffers(&g, 4);
    let sources = g.lock().dry(0, |rec| {
        for shape in [&[24][..], &[5, 8], &[3, 5, 4], &[2, 3, 5, 3]] {
            for d in DType::REAL {
                let copy = Program::cast(d, d);
                let negated =
                    all_rows().iter().find(|r| r.name == if d == DType::Bool { "logical_not" } else { "neg" });
                let changed = program(&[*negated.unwrap()], d, false);
                for load in layouts(shape, false) {
                    for store in layouts(shape, true) {
                        assert!(write(rec, &g, &b, &copy, shape, &load, &store), "copies run everywhere");
                        write(rec, &g, &b, &changed, shape, &load, &store);
                    }
                }
            }
        }
    });
    let (texts, _) = check(sources);
    assert!(texts > 100, "{texts}");
}

#[test]
fn every_reduction_in_every_language() {
    let Some(g) = device() else { return };
    let b = buffers(&g, 4);
    use ReduceKind::*;
    let kinds = [Sum, Prod, Max, Min, ArgMax, ArgMin, MaxIndex, MinIndex, Any, All, Var { correction: 1.0 }];
    let plans: Vec<Plan> = [(false, false, 1), (false, true, 1), (true, false, 1), (false, false, 4), (true, false, 4)]
        .into_iter()
        .flat_map(|(columns, group, stride)| [1, 3].map(|splits| Plan { columns, group, splits, stride }))
        .collect();
    let cases: [(&[usize], &[bool]); 4] = [
        (&[640], &[true]),
        (&[12, 64], &[false, true]),
        (&[64, 12], &[true, false]),
        (&[3, 4, 5, 6], &[true, false, true, false]),
    ];
    let sources = g.lock().dry(0, |rec| {
        let mut turn = 0;
        for kind in kinds {
            for d in DType::REAL {
                let Some(outputs) = kind.outputs(d) else { continue };
                // all ways for the common one, some of each for the rest
                let every = d == DType::F32 && matches!(kind, Sum | MaxIndex);
                for (i, (shape, dims)) in cases.iter().enumerate() {
                    for (j, &plan) in plans.iter().enumerate() {
                        turn += usize::from(j == 0);
                        if !every && (turn + j) % plans.len() != 0 && i != j {
                            continue;
                        }
                        let kept: Vec<usize> = (0..shape.len()).filter(|&k| !dims[k]).map(|k| shape[k]).collect();
                        let (l, z) = (Layout::contiguous(*shape), Layout::contiguous(&kept[..]));
                        let outs: Vec<_> = outputs.iter().zip(&b[1..]).map(|(&d, b)| view(b, d, &z)).collect();
                        let loads = [view(&b[0], d, &l)];
                        let done = reduce_as(rec, &g, kind, None, &loads, &[], shape, dims, &outs, Some(plan)).unwrap();
                        assert!(done || d == DType::F64 && !g.features.f64, "{kind:?} of {d}");
                    }
                }
            }
        }
        // with a program in front
        let row = |name: &str| *all_rows().iter().find(|r| r.name == name).unwrap();
        let exp = program(&[row("exp")], DType::F32, false);
        let scaled = program(&[row("mul")], DType::F32, true);
        let (l, z) = (Layout::contiguous(&[12, 64][..]), Layout::contiguous(&[12][..]));
        for p in [exp, scaled] {
            let scalars = vec![Scalar::Float(2.0); p.scalars.len()];
            let (loads, outs) = ([view(&b[0], DType::F32, &l)], [view(&b[1], DType::F32, &z)]);
            for &plan in &plans {
                let dims = [false, true];
                reduce_as(rec, &g, Sum, Some(&p), &loads, &scalars, &[12, 64], &dims, &outs, Some(plan)).unwrap();
            }
        }
    });
    let (texts, extras) = check(sources);
    assert!(texts > 100, "{texts}");
    assert!(extras.keys().all(|&e| e == "f64"), "{extras:?}");
}

/// Drives every kernel of `shaders/` once in each of its ways.
pub(super) fn drive(rec: &mut Recorder, h: &Hosts) {
    let f = |k: usize| h.of(k);
    // a row, few rows or columns, many, rows that are not aligned, a few more than a tile has, and a depth that is split
    let few = [(1, 40, 12), (40, 2, 12), (3, 40, 12), (8, 40, 12), (12, 40, 12)];
    for (m, n, k) in few.into_iter().chain([(40, 40, 12), (40, 39, 11), (35, 33, 11), (20, 20, 12_000)]) {
        let (a, b, c) = ([m, k], [k, n], [m, n]);
        let (a, b, c) = (f(0).shaped(&a), f(1).shaped(&b), f(2).shaped(&c));
        let bias = f(3).shaped(&c.shape);
        let epi = Epilogue { bias: Some(bias.view()), alpha: 2.0, beta: 1.0, act: Act::Relu };
        matmul(rec, &a.view(), &b.view(), &c.view(), &epi).unwrap();
    }
    // packed floats, and a depth that is split
    for (m, n, k) in [(40, 40, 12), (20, 20, 12_000)] {
        for dtype in [DType::F16, DType::BF16] {
            let (a, b, c) = (f(0).shaped(&[m, k]), f(1).shaped(&[k, n]), f(2).shaped(&[m, n]));
            let epi = Epilogue { bias: Some(c.typed(dtype)), alpha: 2.0, beta: 1.0, act: Act::Relu };
            matmul_half::matmul(rec, &a.typed(dtype), &b.typed(dtype), &c.typed(dtype), &epi, false).unwrap();
        }
    }
    // every second column
    let (a, b, c) = (f(0).shaped(&[40, 12]), f(1).shaped(&[12, 40]), f(2).shaped(&[40, 40]));
    let apart = GpuView { strides: &[24, 2], ..a.view() };
    matmul(rec, &apart, &b.view(), &c.view(), &Epilogue::default()).unwrap();
    for dtype in [DType::I32, DType::U32, DType::I64] {
        let [a, b, c] = [&h.index, &h.sums, &h.places].map(|h| h.shaped(&[40, 40]));
        let rest = Rest { bias: Some(a.typed(dtype)), alpha: Scalar::Int(2), beta: Scalar::Int(1), relu: true };
        matmul_exact::matmul(rec, &a.typed(dtype), &b.typed(dtype), &c.typed(dtype), &rest).unwrap();
    }
    let conv = |stride: usize| ConvSpec { stride: [stride; 2], padding: [1, 1], dilation: [1, 1], groups: 1 };
    for (channels, stride, size) in [(6, 1, 16), (6, 2, 8), (24, 1, 16), (24, 2, 8)] {
        let (x, w) = (f(0).shaped(&[2, 3, 16, 16]), f(1).shaped(&[channels, 3, 3, 3]));
        let (y, bias) = (f(2).shaped(&[2, channels, size, size]), f(3).shaped(&[channels]));
        let spec = conv(stride);
        conv2d(rec, &x.view(), &w.view(), Some(&bias.view()), &y.view(), &spec, Act::Relu).unwrap();
        conv2d_input_grad(rec, &y.view(), &w.view(), &x.view(), &spec).unwrap();
        conv2d_weight_grad(rec, &x.view(), &y.view(), &w.view(), Some(&bias.view()), &spec).unwrap();
    }
    // a window that is too large to be written out
    let (x, y, w) = (f(0).shaped(&[2, 3, 16, 16]), f(1).shaped(&[2, 6, 4, 4]), f(2).shaped(&[6, 3, 15, 15]));
    conv2d_weight_grad(rec, &x.view(), &y.view(), &w.view(), None, &conv(1)).unwrap();
    let (x, y) = (f(0).shaped(&[2, 3, 16, 16]), f(1).shaped(&[2, 3, 8, 8]));
    let places = h.index.shaped(&[2, 3, 8, 8]);
    let two = PoolSpec { kernel: [2, 2], stride: [2, 2], padding: [0, 0], dilation: [1, 1] };
    let over = PoolSpec { kernel: [3, 3], padding: [1, 1], ..two };
    for spec in [two, over] {
        max_pool2d(rec, &x.view(), &y.view(), &places.i64(), &spec).unwrap();
        max_pool2d_grad(rec, &y.view(), &places.i64(), &x.view(), &spec).unwrap();
        let avg = AvgSpec { count_include_pad: true, divisor_override: None };
        avg_pool2d(rec, &x.view(), &y.view(), &spec, &avg).unwrap();
        avg_pool2d_grad(rec, &y.view(), &x.view(), &spec, &avg).unwrap();
    }
    for shape in [[4, 4096], [4, 1024], [4, 1021], [64, 10], [64, 3]] {
        let (x, y, d) = (f(0).shaped(&shape), f(1).shaped(&shape), f(2).shaped(&shape));
        softmax(rec, &x.view(), &y.view(), 1, true).unwrap();
        softmax_grad(rec, &y.view(), &x.view(), &d.view(), 1, false).unwrap();
    }
    for [rows, n] in [[4, 4096], [4, 1024], [4, 1021], [64, 10], [64, 3]] {
        let (x, y) = (f(0).shaped(&[rows, n]), f(1).shaped(&[rows, n]));
        let (weight, mean, rstd) = (f(2).shaped(&[n]), f(3).shaped(&[rows]), h.rstd.shaped(&[rows]));
        let (weight, bias) = (Some(weight.view()), Some(weight.view()));
        let out = [y.view(), mean.view(), rstd.view()];
        layer_norm(rec, &LayerNorm { x: x.view(), weight, bias, out, n, eps: 1e-5 }).unwrap();
        let (grad, statistics) = (f(2).shaped(&[rows, n]), [mean.view(), rstd.view()]);
        let (grad, x, out) = (grad.view(), x.view(), y.view());
        layer_norm_input_grad(rec, &LayerNormInputGrad { grad, x, weight, statistics, out, n }).unwrap();
    }
    // by quads and not, one column block and two
    for width in [64, 96, 7] {
        let [q, k, v, grad] = [0, 1, 2, 3].map(|n| f(n).shaped(&[2, 50, width]));
        let (lse, mask) = (h.rstd.shaped(&[2, 50]), h.index.shaped(&[50]));
        let lse = lse.view();
        for mask in [None, Some(mask.typed(DType::I32))] {
            let a = Attention { q: q.view(), k: k.view(), v: v.view(), mask, causal: true, scale: 0.1 };
            attention(rec, &a, &grad.view(), &lse).unwrap();
            let saved = Saved { grad: grad.view(), out: grad.view(), lse };
            attention_grad(rec, &a, &saved, [&q.view(), &k.view(), &v.view()]).unwrap();
        }
    }
    let (x, out, total) = (f(0).shaped(&[64, 10]), f(2).shaped(&[1]), f(3).shaped(&[1]));
    let index64 = h.index.shaped(&[64]);
    let t = Targets { index: index64.i64(), weight: None, ignore_index: -100, reduction: Reduction::Mean };
    nll_loss(rec, &x.view(), &t, &out.view(), &total.view(), 1).unwrap();
    nll_loss_grad(rec, &t, &out.view(), &total.view(), &x.view()).unwrap();
    // by one workgroup, by rows of quads and not, quads across rows, elements
    for shape in [&[64, 10][..], &[4, 4096], &[4, 1024], &[8, 515], &[300, 3], &[2, 70, 5]] {
        let (x, y, d) = (f(0).shaped(shape), f(1).shaped(shape), f(2).shaped(shape));
        let rows = h.index.shaped(&[shape[0] * shape[2..].iter().product::<usize>()]);
        let t = Targets { index: rows.i64(), ..t };
        let (loss, total) = (out.view(), total.view());
        for keep in [Keep::Nothing, Keep::Logs(y.view())] {
            cross_entropy(rec, &x.view(), &t, &Results { loss, total, keep }, 1).unwrap();
        }
        cross_entropy_grad(rec, &t, &loss, &total, Source::Logs(y.view()), &d.view()).unwrap();
    }

    let (x, y) = (f(0).shaped(&[16, 10]), f(1).shaped(&[8, 10]));
    let (each, some) = (h.index.shaped(&[8, 10]), h.index.shaped(&[8]));
    index::gather(rec, &x.view(), 0, &each.i64(), &y.view(), 1).unwrap();
    index::scatter_add(rec, &x.view(), 0, &each.i64(), &y.view(), 1).unwrap();
    index::index_select(rec, &x.view(), 0, &some.i64(), &y.view(), 1).unwrap();
    index::index_add(rec, &x.view(), 0, &some.i64(), &y.view(), 1.0, 1).unwrap();
    for dtype in [DType::U8, DType::I16, DType::I32, DType::I64] {
        let (x, y, z) = (h.index.shaped(&[16, 9]), h.sums.shaped(&[8, 9]), h.places.shaped(&[16, 9]));
        let each = h.rows.shaped(&[8, 9]);
        index::gather(rec, &x.typed(dtype), 0, &each.i64(), &y.typed(dtype), 1).unwrap();
        let some = h.rows.shaped(&[8]);
        index::index_select(rec, &x.typed(dtype), 0, &some.i64(), &y.typed(dtype), 1).unwrap();
        let some = some.i64();
        let at = Pointers { index: &some, dim: 0, each: false, command: 1 };
        index_write::write(rec, &x.typed(dtype), &at, &y.typed(dtype), &z.typed(dtype)).unwrap();
        if dtype.size() >= 4 {
            let (x, y, z) = (x.typed(dtype), y.typed(dtype), z.typed(dtype));
            for how in [Join::Sum(Scalar::Int(2)), Join::Prod, Join::Max, Join::Min] {
                index_write::fold(rec, &x, &at, &y, how, true, &z).unwrap();
            }
        }
    }

    for (shape, dim) in [([4, 4000], 1), ([4, 3999], 1), ([4000, 4], 0)] {
        let (x, y) = (f(0).shaped(&shape), f(1).shaped(&shape));
        let (long, sums) = (h.index.shaped(&shape), h.sums.shaped(&shape));
        for product in [false, true] {
            let how = Scan { product, reverse: false };
            scan(rec, &x.view(), &y.view(), dim, how).unwrap();
            scan(rec, &long.i64(), &sums.i64(), dim, how).unwrap();
        }
    }

    for n in [50, 500, 5000] {
        let shape = [2, n];
        let indices = h.sums.shaped(&shape);
        for dtype in [DType::F32, DType::I32] {
            let (x, y) = (f(0).shaped(&shape), f(1).shaped(&shape));
            sort(rec, &x.typed(dtype), &y.typed(dtype), &indices.i64(), 1, &Order::of(dtype, false)).unwrap();
        }
        for dtype in [DType::F64, DType::I64] {
            let (x, y) = (h.index.shaped(&shape), h.places.shaped(&shape));
            sort(rec, &x.typed(dtype), &y.typed(dtype), &indices.i64(), 1, &Order::of(dtype, false)).unwrap();
        }
    }
    // software adapters take another way
    let keys = rec.alloc(4 * 10_000).unwrap();
    by_tiles(rec, keys, None, [2, 5000], 0..32).unwrap();

    let views: Vec<Host> = (0..4).map(|k| f(k).shaped(&[100])).collect();
    let v = |k: usize| views[k].view();
    let how = Sgd { lr: 0.1, momentum: 0.9, dampening: 0.0, weight_decay: 0.1, nesterov: true, maximize: false };
    sgd(rec, &how, &[SgdParam { param: v(0), grad: v(1), state: Some((v(2), true)) }]).unwrap();
    let how = Adam { lr: 0.1, betas: (0.9, 0.999), eps: 1e-8, weight_decay: 0.1, decoupled: true, maximize: false };
    adam(rec, &how, &[AdamParam { param: v(0), grad: v(1), mean: v(2), square: v(3), step: 1 }]).unwrap();
    super::kernels::fill::fill(rec, v(0).buffer, 400, [1; 16]).unwrap();
    let key = crate::rng::philox::PhiloxGenerator::new(1).next_op();
    random(rec, key, Draw::Normal(0.0, 1.0), &v(0)).unwrap();
}

/// Operands for [`drive`], whose numbers nobody reads.
pub(super) struct Hosts {
    floats: Vec<Host>,
    rstd: Host,
    index: Host<i64>,
    sums: Host<i64>,
    places: Host<i64>,
    rows: Host<i64>,
}

impl Hosts {
    pub fn new(g: &Gpu) -> Hosts {
        let floats = (0..4).map(|k| Host::noise(g, &[250_000], k)).collect();
        let rstd = Host::noise(g, &[100], 4);
        let long = || Host::dense(g, vec![0; 16_000], &[16_000]);
        Hosts { floats, rstd, index: long(), sums: long(), places: long(), rows: long() }
    }

    fn of(&self, k: usize) -> &Host {
        &self.floats[k]
    }
}

impl<T: Copy> Host<T> {
    /// The same memory with another shape.
    fn shaped(&self, shape: &[usize]) -> Host<T> {
        assert!(crate::shape::numel(shape) <= self.data.len());
        let strides = crate::shape::contiguous_strides(shape).to_vec();
        Host { data: Vec::new(), offset: 0, shape: shape.to_vec(), strides, buffer: self.buffer.clone() }
    }
}

#[test]
fn every_file_of_shaders_in_every_language() {
    let Some(g) = device() else { return };
    let h = Hosts::new(&g);
    let plain = g.lock().dry(0, |rec| drive(rec, &h));
    let waves = g.lock().dry(8, |rec| drive(rec, &h));
    // without subgroups a kernel is within WebGPU's core, which is what the default limits and GL offer
    let (_, extras) = check(plain.clone());
    assert!(extras.is_empty(), "{extras:?}");
    let (_, extras) = check(waves.clone());
    assert!(extras.contains_key("subgroups"), "{extras:?}");

    let mut coop = matmul_coop::tests::sources();
    coop.extend(matmul_scaled::sources());
    let (_, extras) = check(coop.clone());
    assert!(extras.contains_key("cooperative matrices"), "{extras:?}");

    let written: Vec<&str> = plain.iter().chain(&waves).chain(&coop).map(|s| s.wgsl.as_str()).collect();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders");
    let mut seen = 0;
    for file in std::fs::read_dir(folder).unwrap().flatten().map(|f| f.path()) {
        // reductions have a test of their own
        if file.extension().is_none_or(|e| e != "wgsl") || file.ends_with("reduce.wgsl") {
            continue;
        }
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(written.iter().any(|w| w.contains(&text)), "{} is in no kernel that this test drives", file.display());
        seen += 1;
    }
    assert!(seen >= 50, "{seen} files");
}
