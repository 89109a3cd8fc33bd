//! Products of packed floats against the same product of their float32 twins, rounded: the bits are to be the same.

use super::*;
use crate::gpu::Gpu;
use crate::gpu::kernels::matmul::{self, Act};
use crate::gpu::kernels::testing::{Host, noise, time};
use crate::gpu::testing::{device, down};
use crate::shape::{contiguous_strides, numel};
use half::{bf16, f16};

const TILES: [Core; 2] = [Core::Tile(64), Core::Tile(128)];

fn plain(rec: &Recorder, dtype: DType) -> Numbers {
    Numbers { dtype, unpacks: rec.unpacks(), half_sums: false }
}

/// The bits of numbers in a dtype.
fn bits(dtype: DType, x: f32) -> u16 {
    if dtype == DType::F16 { f16::from_f32(x).to_bits() } else { bf16::from_f32(x).to_bits() }
}

fn value(dtype: DType, bits: u16) -> f32 {
    if dtype == DType::F16 { f16::from_bits(bits).to_f32() } else { bf16::from_bits(bits).to_f32() }
}

/// A packed tensor and its float32 twin, dims laid out in an order, behind an offset.
fn pair(
    g: &Gpu,
    dtype: DType,
    shape: &[usize],
    order: &[usize],
    offset: usize,
    make: impl Fn(usize) -> f32,
) -> (Host<u16>, Host) {
    let wide = Host::laid(g, shape, order, offset, 1);
    let mut packed: Vec<u16> = (0..wide.data.len()).map(|i| bits(dtype, make(i))).collect();
    let twin: Vec<f32> = packed.iter().map(|&b| value(dtype, b)).collect();
    packed.resize(packed.len().next_multiple_of(2), 0);
    (Host::new(g, packed, offset, shape, &wide.strides), Host::new(g, twin, offset, shape, &wide.strides))
}

/// One case: batch sizes, m, n and k, orders of a and b, offset, shape of the bias.
type Case<'a> = (&'a [usize], [usize; 3], [&'a [usize]; 2], usize, Option<&'a [usize]>);

/// Runs a case both ways; says whether the packed one could.
fn check(g: &Gpu, core: Core, dtype: DType, case: Case, make: &dyn Fn(usize) -> f32) -> bool {
    let (batch, [m, n, k], [a_order, b_order], offset, bias) = case;
    let with = |x: usize, y: usize| [batch, &[x, y]].concat();
    let (a, a_twin) = pair(g, dtype, &with(m, k), a_order, offset, make);
    let (b, b_twin) = pair(g, dtype, &with(k, n), b_order, offset, |i| make(i + 1000));
    let shape = with(m, n);
    let expand = |strides: &mut Vec<usize>, s: &[usize]| {
        strides.iter_mut().zip(s).for_each(|(stride, &size)| *stride *= usize::from(size > 1));
    };
    let bias = bias.map(|s| {
        let order: Vec<usize> = (0..s.len()).collect();
        let (mut h, mut twin) = pair(g, dtype, s, &order, 1, |i| make(i + 2000));
        expand(&mut h.strides, s);
        expand(&mut twin.strides, s);
        (h.shape, twin.shape) = (shape.clone(), shape.clone());
        (h, twin)
    });
    let size = numel(&shape);
    let start = 4;
    let out = Host::dense(g, vec![0x7777u16; (size + 8).next_multiple_of(2)], &[(size + 8).next_multiple_of(2)]);
    let twin = Host::dense(g, vec![7.0f32; size], &shape);
    let strides = contiguous_strides(&shape);
    let view = GpuView { shape: &shape, strides: &strides, offset: start, ..out.typed(dtype) };
    let epi = |bias| Epilogue { bias, alpha: 0.5, beta: -2.0, act: Act::Relu };
    let done = {
        let rec = &mut *g.lock();
        let epi = epi(bias.as_ref().map(|b| b.0.typed(dtype)));
        let (a, b) = (a.typed(dtype), b.typed(dtype));
        let mut whole = true;
        Product::each(&a, &b, &view, &epi, |p| {
            whole &= fits(p);
            if whole { record(rec, core, plain(rec, dtype), p, &epi) } else { Ok(()) }
        })
        .unwrap();
        whole
    };
    if done {
        let epi = epi(bias.as_ref().map(|b| b.1.view()));
        matmul::tests::on(&mut g.lock(), core, &a_twin.view(), &b_twin.view(), &twin.view(), &epi);
        let got: Vec<u16> = down(g, &out.buffer, out.data.len());
        let want: Vec<f32> = down(g, &twin.buffer, size);
        for (i, (&got, &want)) in got[start..].iter().zip(&want).enumerate() {
            let same = got == bits(dtype, want) || want.is_nan() && value(dtype, got).is_nan();
            assert!(same, "{core:?} {dtype} {case:?}: element {i} is {}, not {want}", value(dtype, got));
        }
        assert!(got[..start].iter().chain(&got[start + size..]).all(|&x| x == 0x7777), "{core:?} {dtype} {case:?}");
    }
    done
}

#[test]
fn the_bits_are_those_of_float32_rounded() {
    let Some(g) = device() else { return };
    let numbers = noise(1 << 14, 5);
    let make = |i: usize| numbers[i % numbers.len()];
    let (rows, columns): (&[usize], &[usize]) = (&[0, 1], &[1, 0]);
    for core in TILES {
        for dtype in [DType::F16, DType::BF16] {
            let run = |case: Case| assert!(check(&g, core, dtype, case, &make), "{case:?}");
            for mnk in [[4, 4, 4], [64, 64, 64], [68, 132, 36], [132, 68, 20]] {
                for orders in [[rows, rows], [rows, columns], [columns, rows], [columns, columns]] {
                    run((&[], mnk, orders, 4, Some(&[1, mnk[1]])));
                }
            }
            // rows that are not fours, and a depth that is split
            run((&[], [1, 40, 100], [rows, columns], 0, None));
            run((&[], [3, 12, 1000], [rows, rows], 0, Some(&[3, 1])));
            run((&[], [20, 36, 2052], [rows, rows], 8, Some(&[20, 36])));
            run((&[3], [8, 20, 12], [&[1, 0, 2], &[2, 0, 1]], 0, Some(&[3, 1, 20])));
            run((&[2, 3, 2, 2], [8, 20, 12], [&[3, 1, 0, 2, 4, 5], &[0, 3, 2, 1, 4, 5]], 0, Some(&[2, 1, 2, 2, 1, 1])));
            // what does not lie by quads is for the way over float32
            for (case, why) in [
                ((&[][..], [4, 4, 4], [rows, rows], 2, None), "offset"),
                ((&[], [4, 6, 4], [rows, rows], 0, None), "columns"),
                ((&[], [4, 4, 6], [rows, rows], 0, None), "depth"),
                ((&[], [6, 4, 4], [columns, rows], 0, None), "rows"),
            ] {
                assert!(!check(&g, core, dtype, case, &make), "{why}");
            }
        }
    }
}

#[test]
fn every_kind_of_number_arrives() {
    let Some(g) = device() else { return };
    for dtype in [DType::F16, DType::BF16] {
        // all bit patterns times powers of two, one product for each result
        let of = |i: usize| value(dtype, (i * 4 % 65536 + i / 16384) as u16);
        let (a, twin) = pair(&g, dtype, &[16384, 4], &[0, 1], 0, of);
        let unit = |i: usize| if i / 4 == i % 4 { 1.0 } else { 0.0 };
        let (b, b_twin) = pair(&g, dtype, &[4, 4], &[0, 1], 0, unit);
        let (out, out_twin) =
            (Host::dense(&g, vec![0u16; 65536], &[16384, 4]), Host::dense(&g, vec![0f32; 65536], &[16384, 4]));
        for core in TILES {
            let epi = Epilogue::default();
            let rec = &mut *g.lock();
            let views = (a.typed(dtype), b.typed(dtype), out.typed(dtype));
            Product::each(&views.0, &views.1, &views.2, &epi, |p| record(rec, core, plain(rec, dtype), p, &epi))
                .unwrap();
            matmul::tests::on(rec, core, &twin.view(), &b_twin.view(), &out_twin.view(), &epi);
        }
        let got: Vec<u16> = down(&g, &out.buffer, 65536);
        let want: Vec<f32> = down(&g, &out_twin.buffer, 65536);
        for (i, (&got, &want)) in got.iter().zip(&want).enumerate() {
            let same = got == bits(dtype, want) || want.is_nan() && value(dtype, got).is_nan();
            assert!(same, "{dtype} {:?}: {:#x} for {want:?}", twin.data[i], got);
        }
        // nor is anything lost that float32 keeps: subnormal numbers are there
        let small = (0..65536).filter(|&i| twin.data[i] != 0.0 && twin.data[i].abs() < 6e-5 && i % 4 == 0).count();
        assert!(dtype == DType::BF16 || small > 100);
        assert!((0..16384).all(|i| !twin.data[4 * i..4 * i + 4].iter().all(|x| x.is_finite())
            || (0..4).all(|j| value(dtype, got[4 * i + j]) == twin.data[4 * i + j])));
    }
}

/// Partial sums of a product of float16, for what else makes them.
pub(in crate::gpu::kernels) fn sums(rec: &mut Recorder, p: &Product, epi: &Epilogue) -> Result<(Buffer, usize)> {
    assert!(p.quads().iter().all(|q| q.1 == 0));
    let numbers = plain(rec, DType::F16);
    let core = Core::Tile(64);
    let plan = Plan::new(core, [p.m, p.n, p.k], p.batch.iter().product())?;
    Ok((parts(rec, (core, &plan), numbers, p, epi)?, plan.splits))
}

/// The kernels of every tile and dtype.
pub(in crate::gpu::kernels) fn tiles() -> Vec<KernelSource> {
    let mut all = Vec::new();
    for dtype in [DType::F16, DType::BF16] {
        for unpacks in [false, true] {
            let numbers = Numbers { dtype, unpacks, half_sums: false };
            all.extend(TILES.map(|core| product(&format!("matmul {dtype} {}", core.name()), core, numbers, 40)));
        }
        all.push(summing(&format!("matmul {dtype} sum"), dtype));
    }
    let numbers = Numbers { dtype: DType::F16, unpacks: true, half_sums: true };
    all.extend(TILES.map(|core| product(&format!("matmul float16 sums {}", core.name()), core, numbers, 40)));
    all
}

#[test]
fn every_configuration_is_valid() {
    tiles().iter().for_each(crate::gpu::testing::check_wgsl);
}

/// Sums in float16 are exact while they are whole numbers below 2048, and become infinite past 65504.
#[test]
fn sums_in_float16() {
    let Some(g) = device() else { return };
    for core in TILES {
        for unpacks in [false, true] {
            let numbers = Numbers { dtype: DType::F16, unpacks, half_sums: true };
            crate::gpu::testing::check_wgsl(&product("matmul float16", core, numbers, 40));
        }
        if !g.lock().has_f16() {
            eprintln!(
                "\n*** SKIPPED: the adapter has no float16 arithmetic: products summed in it are written but not run ***\n"
            );
            continue;
        }
        for (number, want) in [(1.0, 68.0), (3.0, 612.0), (5.0, 1700.0), (200.0, f32::INFINITY)] {
            let (a, _) = pair(&g, DType::F16, &[68, 68], &[0, 1], 0, |_| number);
            let (b, _) = pair(&g, DType::F16, &[68, 68], &[0, 1], 0, |_| number);
            let out = Host::dense(&g, vec![0u16; 68 * 68], &[68, 68]);
            let epi = Epilogue::default();
            let views = (a.typed(DType::F16), b.typed(DType::F16), out.typed(DType::F16));
            Product::each(&views.0, &views.1, &views.2, &epi, |p| {
                let rec = &mut *g.lock();
                record(rec, core, Numbers { half_sums: true, ..plain(rec, DType::F16) }, p, &epi)
            })
            .unwrap();
            let got: Vec<u16> = down(&g, &out.buffer, 68 * 68);
            assert!(
                got.iter().all(|&x| value(DType::F16, x) == want),
                "{core:?} {number}: {:?}",
                value(DType::F16, got[0])
            );
        }
        // a step of 2 is lost beside 4096 where sums round, and kept in float32: the smallest sign that float16 is what sums
        let (a, _) = pair(&g, DType::F16, &[4, 16], &[0, 1], 0, |i| if i % 16 == 0 { 4096.0 } else { 1.0 });
        let (b, _) = pair(&g, DType::F16, &[16, 4], &[0, 1], 0, |_| 1.0);
        for (half_sums, want) in [(true, 4096.0), (false, 4112.0)] {
            let out = Host::dense(&g, vec![0u16; 16], &[4, 4]);
            let epi = Epilogue::default();
            let views = (a.typed(DType::F16), b.typed(DType::F16), out.typed(DType::F16));
            Product::each(&views.0, &views.1, &views.2, &epi, |p| {
                let rec = &mut *g.lock();
                record(rec, core, Numbers { half_sums, ..plain(rec, DType::F16) }, p, &epi)
            })
            .unwrap();
            let got: Vec<u16> = down(&g, &out.buffer, 16);
            assert!(got.iter().all(|&x| value(DType::F16, x) == want), "{core:?} {half_sums}: {got:?}");
        }
    }
}

#[test]
#[ignore = "prints figures"]
fn speed() {
    let Some(g) = device() else { return };
    for (m, n, k) in [(256, 256, 256), (512, 512, 512), (1, 1024, 1024), (64, 128, 576)] {
        let dtype = DType::F16;
        let (a, _) = pair(&g, dtype, &[m, k], &[0, 1], 0, |_| 0.5);
        let (b, _) = pair(&g, dtype, &[k, n], &[0, 1], 0, |_| 0.5);
        let out = Host::dense(&g, vec![0u16; m * n], &[m, n]);
        let (wa, wb, wo) =
            (Host::noise(&g, &[m, k], 1), Host::noise(&g, &[k, n], 1), Host::dense(&g, vec![0f32; m * n], &[m, n]));
        let epi = Epilogue::default();
        for core in TILES {
            let cost = time(&g, |rec| {
                let (a, b, out) = (a.typed(dtype), b.typed(dtype), out.typed(dtype));
                let numbers = plain(rec, dtype);
                Product::each(&a, &b, &out, &epi, |p| record(rec, core, numbers, p, &epi)).unwrap();
            });
            println!("{m}x{n}x{k} {core:?} packed: {cost}");
        }
        for core in matmul::tests::cores(&g) {
            let cost = time(&g, |rec| matmul::tests::on(rec, core, &wa.view(), &wb.view(), &wo.view(), &epi));
            println!("{m}x{n}x{k} {core:?} float32: {cost}");
        }
    }
}
