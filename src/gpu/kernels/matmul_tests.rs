//! Products against loops in f64, in every variant, over sizes, layouts, batches and epilogues.

use super::*;
use crate::gpu::Gpu;
use crate::gpu::kernels::testing::{Host, close, indices, time};
use crate::gpu::testing::{device, down};

/// The variants: where one cannot do a product, the table's is tested again.
const VARIANTS: [Variant; 7] =
    [Variant::Tile64, Variant::Tile128, Variant::Gemv, Variant::Thin, Variant::Wave, Variant::Whole, Variant::Lean];

/// The cores that this adapter can run on convolutions too.
pub(in crate::gpu::kernels) fn cores(g: &Gpu) -> Vec<Core> {
    let mut cores = vec![Core::Tile(64), Core::Tile(128)];
    if g.lock().subgroup_size() == 8 {
        cores.extend([Core::Wave(32), Core::Wave(16)]);
    }
    cores
}

/// A product on a core of choice, for the tests of what builds on these.
pub(in crate::gpu::kernels) fn on(
    rec: &mut Recorder,
    core: Core,
    a: &GpuView,
    b: &GpuView,
    out: &GpuView,
    epi: &Epilogue,
) {
    Product::each(a, b, out, epi, |p| p.run(rec, core, epi)).unwrap();
}

struct Case {
    batch: &'static [usize],
    mnk: [usize; 3],
    a_order: &'static [usize],
    b_order: &'static [usize],
    offset: usize,
    /// Shape that the bias is expanded from.
    bias: Option<&'static [usize]>,
    alpha: f32,
    beta: f32,
    act: Act,
}

const PLAIN: Case = Case {
    batch: &[],
    mnk: [1, 1, 1],
    a_order: &[0, 1],
    b_order: &[0, 1],
    offset: 0,
    bias: None,
    alpha: 1.0,
    beta: 1.0,
    act: Act::None,
};

fn check(g: &Gpu, wanted: Variant, c: &Case) {
    let [m, n, k] = c.mnk;
    let nd = c.batch.len() + 2;
    let with = |x: usize, y: usize| [c.batch, &[x, y]].concat();
    let a = Host::laid(g, &with(m, k), c.a_order, c.offset, 1);
    let b = Host::laid(g, &with(k, n), c.b_order, c.offset, 2);
    let shape = with(m, n);
    let bias = c.bias.map(|s| {
        let mut h = Host::noise(g, s, 3);
        // expanded: stride 0 where the size is 1
        h.strides = (0..nd).map(|d| if s[d] == 1 { 0 } else { h.strides[d] }).collect();
        h.shape = shape.clone();
        h
    });
    let size = shape.iter().product::<usize>();
    let out = Host::dense(g, vec![7.0f32; size + 7], &[size + 7]);
    let strides = crate::shape::contiguous_strides(&shape);
    let start = if c.offset == 0 { 4 } else { 2 };
    let view = GpuView { shape: &shape, strides: &strides, offset: start, ..out.view() };
    let epi = Epilogue { bias: bias.as_ref().map(|b| b.view()), alpha: c.alpha, beta: c.beta, act: c.act };
    matmul_as(&mut g.lock(), wanted, &a.view(), &b.view(), &view, &epi).unwrap();
    let got: Vec<f32> = down(g, &out.buffer, out.data.len());
    let want: Vec<f64> = indices(&shape)
        .map(|i| {
            let (lead, r, col) = (&i[..nd - 2], i[nd - 2], i[nd - 1]);
            let dot: f64 = (0..k).map(|q| a.f64(&[lead, &[r, q]].concat()) * b.f64(&[lead, &[q, col]].concat())).sum();
            let mut v = c.alpha as f64 * dot;
            if let Some(bias) = &bias {
                v += c.beta as f64 * bias.f64(&i);
            }
            if c.act == Act::Relu { v.max(0.0) } else { v }
        })
        .collect();
    let what = format!("{wanted:?} {:?} {:?} a{:?} b{:?} +{}", c.batch, c.mnk, c.a_order, c.b_order, c.offset);
    // rounding grows with the sum's length
    close(&what, &got[start..start + size], &want, 1e-6 * (k as f64 + 4.0).sqrt());
    // nothing around it is written
    assert!(got[..start].iter().chain(&got[start + size..]).all(|&x| x == 7.0), "{what}");
}

#[test]
fn sizes_and_layouts() {
    let Some(g) = device() else { return };
    for wanted in VARIANTS {
        for mnk in [
            [1, 1, 1],
            [3, 5, 7],
            [33, 31, 17],
            [32, 32, 32],
            [64, 10, 84],
            [10, 84, 64],
            [65, 129, 66],
            [1, 40, 100],
            [36, 44, 18],
            [4, 4, 4],
            // a few rows and columns more than tiles
            [33, 36, 13],
            [97, 64, 20],
            [36, 35, 1030],
        ] {
            for a_order in [&[0, 1], &[1, 0]] {
                for b_order in [&[0, 1], &[1, 0]] {
                    for offset in [0, 3] {
                        check(&g, wanted, &Case { mnk, a_order, b_order, offset, ..PLAIN });
                    }
                }
            }
        }
    }
}

#[test]
fn few_rows_and_columns() {
    let Some(g) = device() else { return };
    for wanted in [Variant::Gemv, Variant::Thin, Variant::Wave, Variant::Auto] {
        // orders take turns: three times as many cases take minutes where drivers compile slowly
        let orders: [(&[usize], &[usize]); 3] = [(&[0, 1], &[0, 1]), (&[0, 1], &[1, 0]), (&[1, 0], &[0, 1])];
        let mut turn = 0;
        for few in [1, 2, 3, 8, 13] {
            // whole and ragged, with little depth and with so much that it is split, and few of both
            for (many, k) in [(300, 12), (70, 3), (21, 1033), (8, 2048), (3, 1500), (1, 5000)] {
                for mnk in [[few, many, k], [many, few, k]] {
                    let (a_order, b_order) = orders[turn % 3];
                    let bias = Some(if few % 2 == 0 { &[1, 1][..] } else { &[0, 0] }).filter(|b| b[0] > 0);
                    let offset = if many == 70 { 1 } else { 0 };
                    check(&g, wanted, &Case { mnk, a_order, b_order, offset, bias, ..PLAIN });
                    turn += 1;
                }
            }
            turn += 1;
        }
        // a bias for each element, batches, and what follows
        for mnk in [[3, 40, 64], [40, 3, 64], [1, 50, 3000], [50, 1, 3000], [2, 1, 9]] {
            let all = [[2, mnk[0], mnk[1]], [1, mnk[0], 1], [1, 1, mnk[1]]];
            for bias in &all {
                let bias: &'static [usize] = Box::leak(Box::new(*bias));
                let (batch, order) = (&[2][..], &[0, 1, 2][..]);
                let case = Case { batch, mnk, a_order: order, b_order: order, bias: Some(bias), ..PLAIN };
                check(&g, wanted, &Case { alpha: 0.5, beta: -2.0, act: Act::Relu, ..case });
            }
        }
    }
}

#[test]
fn batches_and_their_strides() {
    let Some(g) = device() else { return };
    for wanted in VARIANTS {
        for (batch, a_order, b_order) in [
            (&[3][..], &[0, 1, 2][..], &[0, 1, 2][..]),
            (&[3], &[1, 0, 2], &[2, 0, 1]),
            (&[2, 3], &[0, 2, 1, 3], &[1, 0, 3, 2]),
            (&[2, 3, 2, 2], &[3, 1, 0, 2, 4, 5], &[0, 3, 2, 1, 5, 4]),
        ] {
            check(&g, wanted, &Case { batch, mnk: [9, 20, 12], a_order, b_order, ..PLAIN });
        }
        // one matrix for all batches
        let a = Host::noise(&g, &[4, 12, 20], 1);
        let mut b = Host::noise(&g, &[20, 8], 2);
        (b.shape, b.strides) = (vec![4, 20, 8], vec![0, 8, 1]);
        let out = Host::dense(&g, vec![0.0; 4 * 12 * 8], &[4, 12, 8]);
        matmul_as(&mut g.lock(), wanted, &a.view(), &b.view(), &out.view(), &Epilogue::default()).unwrap();
        let want: Vec<f64> = indices(&[4, 12, 8])
            .map(|i| (0..20).map(|q| a.f64(&[i[0], i[1], q]) * b.f64(&[i[0], q, i[2]])).sum())
            .collect();
        close("expanded batch", &down(&g, &out.buffer, want.len()), &want, 1e-5);
    }
}

#[test]
fn epilogues() {
    let Some(g) = device() else { return };
    for wanted in VARIANTS {
        // the second depth is split in two passes
        let (ragged, whole): ([&[usize]; 4], [&[usize]; 4]) =
            ([&[1, 34], &[20, 1], &[20, 34], &[1, 1]], [&[1, 36], &[20, 1], &[20, 36], &[1, 1]]);
        for (mnk, biases) in
            [([20, 34, 12], ragged), ([20, 34, 2050], ragged), ([20, 36, 12], whole), ([20, 36, 2052], whole)]
        {
            for bias in [None].into_iter().chain(biases.map(Some)) {
                for (alpha, beta) in [(1.0, 1.0), (0.5, -2.0)] {
                    let act = if bias.is_some_and(|b| b[0] == 1) == (alpha == 1.0) { Act::Relu } else { Act::None };
                    check(&g, wanted, &Case { mnk, bias, alpha, beta, act, ..PLAIN });
                }
            }
        }
        let batch = &[3][..];
        let order = &[0, 1, 2][..];
        let case = Case { batch, mnk: [5, 6, 700], a_order: order, b_order: order, bias: Some(&[3, 1, 6]), ..PLAIN };
        check(&g, wanted, &case);
    }
}

#[test]
fn nan_and_infinity_pass_through_and_beta_zero_ignores_the_bias() {
    let Some(g) = device() else { return };
    for wanted in VARIANTS {
        let (inf, nan) = (f32::INFINITY, f32::NAN);
        // the last column of a is in no product with the edges' padding
        let a = Host::dense(&g, vec![1.0, inf, nan, 2.0, -inf, 3.0], &[3, 2]);
        let b = Host::dense(&g, vec![1.0, -1.0, 1.0, 2.0], &[2, 2]);
        let bias = Host::dense(&g, vec![nan; 6], &[3, 2]);
        let out = Host::dense(&g, vec![0.0; 6], &[3, 2]);
        let epi = Epilogue { bias: Some(bias.view()), beta: 0.0, act: Act::Relu, ..Epilogue::default() };
        matmul_as(&mut g.lock(), wanted, &a.view(), &b.view(), &out.view(), &epi).unwrap();
        let got: Vec<f32> = down(&g, &out.buffer, 6);
        let want = [inf as f64, inf as f64, f64::NAN, f64::NAN, 0.0, inf as f64];
        close("non-finite", &got, &want, 0.0);
    }
}

#[test]
fn what_lies_around_ragged_operands_stays_out() {
    let Some(g) = device() else { return };
    for wanted in [Variant::Auto, Variant::Wave, Variant::Whole, Variant::Tile64] {
        for [m, n, k] in
            [[35, 33, 37], [33, 70, 9], [7, 5, 1003], [3, 37, 29], [64, 61, 31], [29, 34, 4], [12, 36, 515]]
        {
            for turned in [[false, false], [true, false], [false, true], [true, true]] {
                // rows in a field of NaN, with infinities where the operand ends
                let laid = |rows: usize, cols: usize, turned: bool, seed: u32| {
                    let (r, c) = if turned { (cols, rows) } else { (rows, cols) };
                    let (offset, line) = (5, c + 3);
                    let mut data = vec![f32::NAN; offset + r * line];
                    let noise = crate::gpu::kernels::testing::noise(r * c, seed);
                    for (i, x) in noise.into_iter().enumerate() {
                        data[offset + i / c * line + i % c] = x;
                    }
                    data[offset + (r - 1) * line + c - 1] = f32::INFINITY;
                    let strides = if turned { [1, line] } else { [line, 1] };
                    Host::new(&g, data, offset, &[rows, cols], &strides)
                };
                let (a, b) = (laid(m, k, turned[0], 1), laid(k, n, turned[1], 2));
                let out = Host::dense(&g, vec![7.0f32; m * n + 8], &[m * n + 8]);
                let view = GpuView { shape: &[m, n], strides: &[n, 1], offset: 4, ..out.view() };
                matmul_as(&mut g.lock(), wanted, &a.view(), &b.view(), &view, &Epilogue::default()).unwrap();
                let got: Vec<f32> = down(&g, &out.buffer, out.data.len());
                let want: Vec<f64> =
                    indices(&[m, n]).map(|i| (0..k).map(|q| a.f64(&[i[0], q]) * b.f64(&[q, i[1]])).sum()).collect();
                let what = format!("{wanted:?} {m}x{k}x{n} {turned:?}");
                close(&what, &got[4..4 + m * n], &want, 1e-6 * (k as f64 + 4.0).sqrt());
                assert!(got[..4].iter().chain(&got[4 + m * n..]).all(|&x| x == 7.0), "{what}");
            }
        }
    }
}

#[test]
fn a_few_rows_and_columns_go_along_where_that_saves_tiles() {
    for (rows, cols, want) in [
        (129, 131, [1, 4]),
        (33, 64, [1, 0]),
        (66, 36, [2, 4]),
        (64, 36, [0, 4]),
        (33, 33, [1, 1]),
        (37, 37, [0, 0]),
        (128, 128, [0, 0]),
        // tiles of their own, or of few rows
        (4, 3, [0, 0]),
        (32, 2, [0, 0]),
        // 289 tiles instead of 256
        (513, 513, [0, 0]),
    ] {
        assert_eq!(matmul_whole::beyond(rows, cols), want, "{rows} x {cols}");
    }
}

#[test]
fn one_dispatch_and_one_pipeline_for_layouts_of_any_alignment() {
    let Some(g) = device() else { return };
    let wanted = Variant::Auto;
    // software adapters have a pipeline for each way of lying, the others share one
    check(&g, wanted, &Case { mnk: [40, 40, 40], a_order: &[1, 0], offset: 1, ..PLAIN });
    let before = g.lock().counters();
    let bias = Some(&[1, 44][..]);
    check(&g, wanted, &Case { mnk: [52, 44, 36], a_order: &[1, 0], offset: 1, bias, act: Act::Relu, ..PLAIN });
    let after = g.lock().counters();
    assert_eq!(after.dispatches - before.dispatches, 1);
    assert_eq!(after.pipelines, before.pipelines);
}

/// The cores of GPUs.
const ON_GPUS: [Core; 7] = [
    Core::Tile(64),
    Core::Tile(128),
    Core::Thin { rows: 1, quads: 1 },
    Core::Thin { rows: 2, quads: 1 },
    Core::Thin { rows: 4, quads: 1 },
    Core::Thin { rows: 8, quads: 1 },
    Core::Thin { rows: 16, quads: 1 },
];

/// Their kernels.
pub(in crate::gpu::kernels) fn on_gpus() -> Vec<KernelSource> {
    ON_GPUS.map(|core| core.source(&format!("matmul {}", core.name()), &OPERANDS, 40, false)).into()
}

#[test]
fn every_configuration_is_valid() {
    for core in ON_GPUS.into_iter().chain([Core::Wave(16), Core::Wave(32)]) {
        for wide in [false, true] {
            crate::gpu::testing::check_wgsl(&core.source("matmul", &OPERANDS, 40, wide));
        }
    }
    for bits in 0..8 {
        let lies = matmul_whole::Lies {
            a_along_rows: bits & 1 != 0,
            b_along_depth: bits & 2 != 0,
            out_by_quads: bits & 4 != 0,
            rows: 32,
            ragged: [false; 2],
            beyond: [0; 2],
        };
        for wide in [false, true] {
            for ragged in [[false, false], [true, false], [false, true], [true, true]] {
                for rows in [4, 8, 16, 32].into_iter().filter(|&rows| rows == 32 || !lies.a_along_rows) {
                    let lies = matmul_whole::Lies { rows, ragged, ..lies };
                    crate::gpu::testing::check_wgsl(&matmul_whole::text("matmul whole", lies, wide, 40));
                }
                for beyond in [[1, 0], [0, 2], [4, 1]] {
                    let lies = matmul_whole::Lies { ragged, beyond, ..lies };
                    crate::gpu::testing::check_wgsl(&matmul_whole::text("matmul whole", lies, wide, 40));
                }
            }
        }
    }
}

#[test]
#[ignore = "prints figures"]
fn speed() {
    let Some(g) = device() else { return };
    // what is picked first: others may take minutes on a software adapter
    for wanted in [Variant::Auto].into_iter().chain(VARIANTS) {
        for (m, n, k) in [
            (256, 256, 256),
            (512, 512, 512),
            (1024, 1024, 1024),
            (64, 120, 576),
            (120, 576, 64),
            (64, 576, 120),
            (64, 10, 84),
            (10, 84, 64),
            (1, 1000, 1000),
            // odd ones beside round ones
            (513, 513, 513),
            (128, 128, 128),
            (129, 131, 127),
            (129, 128, 128),
            (128, 128, 127),
            (128, 131, 128),
            (8, 8, 100_000),
            (7, 5, 100_003),
        ] {
            let (a, b) = (Host::noise(&g, &[m, k], 1), Host::noise(&g, &[k, n], 2));
            let out = Host::dense(&g, vec![0.0; m * n], &[m, n]);
            let mut run = |rec: &mut Recorder| {
                matmul_as(rec, wanted, &a.view(), &b.view(), &out.view(), &Epilogue::default()).unwrap();
            };
            let cost = time(&g, &mut run);
            let gflops = |t: std::time::Duration| (2 * m * n * k) as f64 / t.as_secs_f64() / 1e9;
            println!(
                "matmul {wanted:?} {m}x{n}x{k}: {cost}; {:.1} GFLOP/s, {:.1} a core",
                gflops(cost.wall),
                gflops(cost.cpu)
            );
        }
    }
}

/// Aligned operands are loaded by whole quads, also where there is one batch.
#[test]
fn aligned_products_load_whole_quads() {
    for batch in [&[][..], &[1], &[2, 1], &[2, 3]] {
        let strides: Dims = crate::shape::contiguous_strides(&[batch, &[8, 12]].concat());
        let (outer, inner) = strides.split_at(batch.len());
        let (dims, strides) = collapse(batch, &[outer]);
        let steps = batch_strides(&dims, &strides[0]);
        assert_eq!(quads(0, [8, 12], [inner[0], inner[1]], &steps), (1, 0), "{batch:?}");
        assert_eq!(quads(4, [12, 8], [inner[1], inner[0]], &steps), (2, 0), "{batch:?}");
        assert_eq!(quads(2, [8, 12], [inner[0], inner[1]], &steps).1, 4, "{batch:?}");
    }
}
