//! Attention against loops over all scores in f64, over sizes, layouts, masks and batches.

use super::*;
use crate::gpu::Gpu;
use crate::gpu::kernels::testing::{Host, close, indices, time};
use crate::gpu::testing::{check_wgsl, device, down};
use crate::shape::numel;

/// Every kernel, with registers and workgroup memory at their most.
pub(in crate::gpu::kernels) fn tiles() -> Vec<KernelSource> {
    let forms = forms().into_iter().filter(|f| !f.wide);
    let named = |f: Form| {
        let mut s = f.source();
        let _ = write!(s.label, " {} columns", 64 * f.halves());
        for (on, what) in [(f.whole, " whole"), (f.masked, " masked")] {
            s.label.push_str(if on { what } else { "" });
        }
        s
    };
    forms.map(named).collect()
}

fn forms() -> Vec<Form> {
    let passes =
        [(Pass::Forward, true), (Pass::Forward, false), (Pass::Query, true), (Pass::Query, false), (Pass::Key, false)];
    let of =
        |(pass, broad)| (0..8).map(move |n| Form { pass, broad, whole: n & 1 > 0, masked: n & 2 > 0, wide: n & 4 > 0 });
    passes.into_iter().flat_map(of).collect()
}

#[derive(Clone, Copy)]
struct Case {
    lead: &'static [usize],
    /// L, S, E, V.
    sizes: [usize; 4],
    causal: bool,
    /// The shape of a mask and whether it is of bools.
    mask: Option<(&'static [usize], bool)>,
    /// Offset, and the order in which the dims of a rank-4 case lie.
    offset: usize,
    order: &'static [usize],
    /// Factor of queries.
    large: f32,
}

const PLAIN: Case =
    Case { lead: &[2], sizes: [1; 4], causal: false, mask: None, offset: 0, order: &[0, 1, 2], large: 1.0 };

/// Result, logarithms and gradients by loops.
fn reference(c: &Case, ops: [&Host; 4], mask: &dyn Fn(&[usize], usize, usize) -> f64) -> [Vec<f64>; 5] {
    let [l, s, e, w] = c.sizes;
    let heads = numel(c.lead);
    let mut found = [heads * l * w, heads * l, heads * l * e, heads * s * e, heads * s * w].map(|n| vec![0.0; n]);
    for (head, lead) in indices(c.lead).enumerate() {
        let dense = |h: &Host, rows: usize, cols: usize| -> (Vec<f64>, usize) {
            (indices(&[rows, cols]).map(|i| h.f64(&[&lead[..], &i[..]].concat())).collect(), cols)
        };
        let at = |(data, cols): &(Vec<f64>, usize), r: usize, col: usize| data[r * cols + col];
        let [q, k, v, g] = &[dense(ops[0], l, e), dense(ops[1], s, e), dense(ops[2], s, w), dense(ops[3], l, w)];
        for i in 0..l {
            let score = |j: usize| {
                let dot: f64 = (0..e).map(|x| at(q, i, x) * at(k, j, x)).sum();
                let seen = !c.causal || j <= i;
                if seen { 0.3 * dot + mask(&lead, i, j) } else { f64::NEG_INFINITY }
            };
            let scores: Vec<f64> = (0..s).map(score).collect();
            let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let dead = top == f64::NEG_INFINITY;
            let p: Vec<f64> = scores.iter().map(|x| if dead { 0.0 } else { (x - top).exp() }).collect();
            let total: f64 = p.iter().sum();
            let p: Vec<f64> = p.iter().map(|x| if dead { 0.0 } else { x / total }).collect();
            found[1][head * l + i] = if dead { 0.0 } else { top + total.ln() };
            let gp: Vec<f64> = (0..s).map(|j| (0..w).map(|x| at(g, i, x) * at(v, j, x)).sum()).collect();
            let mean: f64 = p.iter().zip(&gp).map(|(a, b)| a * b).sum();
            for j in 0..s {
                let gs = p[j] * (gp[j] - mean) * 0.3;
                for x in 0..w {
                    found[0][(head * l + i) * w + x] += p[j] * at(v, j, x);
                    found[4][(head * s + j) * w + x] += p[j] * at(g, i, x);
                }
                for x in 0..e {
                    found[2][(head * l + i) * e + x] += gs * at(k, j, x);
                    found[3][(head * s + j) * e + x] += gs * at(q, i, x);
                }
            }
        }
    }
    found
}

fn check(g: &Gpu, c: &Case) {
    let [l, s, e, w] = c.sizes;
    let with = |x: usize, y: usize| [c.lead, &[x, y]].concat();
    let mut q = Host::laid(g, &with(l, e), c.order, c.offset, 1);
    if c.large != 1.0 {
        q.data.iter_mut().for_each(|x| *x *= c.large);
        q.buffer = crate::gpu::testing::up(g, &q.data);
    }
    let k = Host::laid(g, &with(s, e), c.order, c.offset, 2);
    let v = Host::laid(g, &with(s, w), c.order, c.offset, 3);
    let grad = Host::laid(g, &with(l, w), c.order, c.offset, 4);
    let outs: Vec<Host> = [with(l, w), [c.lead, &[l]].concat(), with(l, e), with(s, e), with(s, w)]
        .iter()
        .map(|shape| Host::dense(g, vec![7f32; numel(shape)], shape))
        .collect();
    // a third of the places is shut, and all of the second query's
    let shut = |i: usize, n: usize| i % 3 == 1 || (l > 1 && s > 1 && n == s && (i / s) % l == 1);
    let masks = c.mask.map(|(shape, bools)| {
        let n = numel(shape);
        let last = shape[shape.len() - 1];
        let floats: Vec<f32> =
            (0..n).map(|i| if shut(i, last) { f32::NEG_INFINITY } else { (i % 7) as f32 / 4.0 }).collect();
        let bytes: Vec<u8> = (0..n.next_multiple_of(4)).map(|i| u8::from(!shut(i, last))).collect();
        (Host::dense(g, floats, shape), Host::dense(g, bytes.clone(), &[bytes.len()]), bools)
    });
    let strides = c.mask.map(|(shape, _)| crate::shape::contiguous_strides(shape));
    let mask = masks.as_ref().map(|(floats, bytes, bools)| {
        let (shape, strides) = (&floats.shape[..], &floats.strides[..]);
        match bools {
            true => GpuView { shape, strides, ..bytes.typed(DType::Bool) },
            false => floats.view(),
        }
    });
    let added = |lead: &[usize], i: usize, j: usize| -> f64 {
        let (Some((floats, _, bools)), Some(strides)) = (&masks, &strides) else { return 0.0 };
        let full = [lead, &[i, j]].concat();
        let full = &full[full.len() - floats.shape.len()..];
        let at = (0..full.len()).map(|d| if floats.shape[d] == 1 { 0 } else { full[d] * strides[d] }).sum::<usize>();
        let x = floats.data[at] as f64;
        if *bools && x > f64::NEG_INFINITY { 0.0 } else { x }
    };
    let a = Attention { q: q.view(), k: k.view(), v: v.view(), mask, causal: c.causal, scale: 0.3 };
    {
        let rec = &mut g.lock();
        attention(rec, &a, &outs[0].view(), &outs[1].view()).unwrap();
        let saved = Saved { grad: grad.view(), out: outs[0].view(), lse: outs[1].view() };
        attention_grad(rec, &a, &saved, [&outs[2].view(), &outs[3].view(), &outs[4].view()]).unwrap();
    }
    let want = reference(c, [&q, &k, &v, &grad], &added);
    for (i, name) in ["result", "logarithms", "query", "key", "value"].into_iter().enumerate() {
        let what =
            format!("{name} of {:?} {:?} causal {} mask {:?} at {}", c.lead, c.sizes, c.causal, c.mask, c.offset);
        let bound = 4e-6 * (1.0 + f64::from(c.large) * (s.max(l) as f64).sqrt() / 4.0);
        close(&what, &down::<f32>(g, &outs[i].buffer, want[i].len()), &want[i], bound);
    }
}

#[test]
fn agrees_with_loops_over_all_scores() {
    let Some(g) = device() else { return };
    // one tile, parts of tiles, several; odd widths, widths beside each other, and more than a workgroup's columns
    let sizes = [
        [1, 1, 1, 1],
        [5, 3, 4, 2],
        [64, 64, 64, 64],
        [65, 130, 8, 20],
        [130, 65, 33, 7],
        [70, 20, 32, 96],
        [20, 70, 136, 64],
        [3, 200, 72, 132],
    ];
    for sizes in sizes {
        for causal in [false, true] {
            for offset in [0, 3] {
                check(&g, &Case { sizes, causal, offset, ..PLAIN });
            }
        }
    }
}

#[test]
fn heads_of_a_projection_lie_where_they_are() {
    let Some(g) = device() else { return };
    let four = Case { lead: &[2, 3], order: &[0, 2, 1, 3], sizes: [40, 70, 16, 8], causal: true, ..PLAIN };
    check(&g, &four);
    check(&g, &Case { order: &[3, 1, 2, 0], ..four });
    check(&g, &Case { lead: &[2, 3, 2, 2], order: &[1, 0, 4, 3, 2, 5], sizes: [9, 5, 4, 4], ..four });
    check(&g, &Case { lead: &[], order: &[1, 0], ..four });
}

#[test]
fn masks_of_all_kinds() {
    let Some(g) = device() else { return };
    let case = Case { lead: &[2, 3], order: &[0, 1, 2, 3], sizes: [70, 90, 8, 12], ..PLAIN };
    let shapes: [&'static [usize]; 6] = [&[70, 90], &[2, 1, 70, 90], &[3, 1, 90], &[1, 90], &[90], &[2, 3, 70, 1]];
    for shape in shapes {
        for bools in [false, true] {
            check(&g, &Case { mask: Some((shape, bools)), ..case });
        }
    }
    check(&g, &Case { mask: Some((&[9, 5], true)), sizes: [9, 5, 3, 5], offset: 1, ..case });
}

#[test]
fn scores_may_be_large_and_sequences_long() {
    let Some(g) = device() else { return };
    for causal in [false, true] {
        check(&g, &Case { lead: &[1, 2], order: &[0, 1, 2, 3], sizes: [600, 600, 64, 64], causal, ..PLAIN });
    }
    // scores of 1e4 and more: one key has it all
    check(&g, &Case { sizes: [70, 80, 64, 8], large: 1e4, ..PLAIN });
}

#[test]
fn every_configuration_is_valid() {
    forms().into_iter().for_each(|f| check_wgsl(&f.source()));
    check_wgsl(&mean_source());
}

#[test]
#[ignore = "prints figures"]
fn speed() {
    let Some(g) = device() else { return };
    for (heads, n, width) in [(16, 128, 32), (8, 512, 64)] {
        let [q, k, v, d] = [1, 2, 3, 4].map(|s| Host::noise(&g, &[heads, n, width], s));
        let [out, gq, gk, gv] = [5, 6, 7, 8].map(|s| Host::noise(&g, &[heads, n, width], s));
        let lse = Host::noise(&g, &[heads, n], 9);
        let a = Attention { q: q.view(), k: k.view(), v: v.view(), mask: None, causal: true, scale: 0.2 };
        println!(
            "attention {heads} x {n} x {width}: {}",
            time(&g, |r| attention(r, &a, &out.view(), &lse.view()).unwrap())
        );
        let saved = Saved { grad: d.view(), out: out.view(), lse: lse.view() };
        let grads = [&gq.view(), &gk.view(), &gv.view()];
        println!("its gradients: {}", time(&g, |r| attention_grad(r, &a, &saved, grads).unwrap()));
    }
}
