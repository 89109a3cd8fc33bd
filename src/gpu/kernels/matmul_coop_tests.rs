//! Cooperative matrices where there are none: the choice from adapters' lists, the text in the languages that have them, and the text
//! run with each matrix instruction written out as plain loops, which shows everything but what the hardware makes of it.

use super::*;
use crate::gpu::Gpu;
use crate::gpu::kernels::matmul::Act;
use crate::gpu::kernels::testing::{Host, close, indices};
use crate::gpu::shading::{Checked, have_spirv_val};
use crate::gpu::testing::{device, down};
use half::f16;
use wgpu::CooperativeScalarType::{F16, F32, I32, U32};

fn property(
    sizes: [u32; 3],
    ab_type: CooperativeScalarType,
    cr_type: CooperativeScalarType,
) -> CooperativeMatrixProperties {
    let [m_size, n_size, k_size] = sizes;
    CooperativeMatrixProperties { m_size, n_size, k_size, ab_type, cr_type, saturating_accumulation: false }
}

fn list(sizes: &[([u32; 3], CooperativeScalarType, CooperativeScalarType)], subgroup: u32) -> Cooperative {
    let sizes = sizes.iter().map(|&(s, ab, cr)| property(s, ab, cr)).collect();
    Cooperative { sizes, subgroup, f16: true }
}

#[test]
fn the_adapters_own_list_decides() {
    let side = |c: &Cooperative, d| choose(c, d).map(|t| t.side);
    // as wgpu lists them for Apple, NVIDIA and AMD
    let apple = list(&[([8; 3], F32, F32), ([8; 3], F16, F16), ([8; 3], F16, F32)], 64);
    let nvidia = list(&[([16; 3], F16, F16), ([16, 8, 16], F16, F32), ([16; 3], F16, F32), ([16; 3], I32, I32)], 32);
    let amd = list(&[([16; 3], F16, F16), ([16; 3], F16, F32), ([16; 3], U32, U32)], 64);
    assert_eq!([side(&apple, DType::F16), side(&apple, DType::F32)], [Some(8), Some(8)]);
    assert_eq!([side(&nvidia, DType::F16), side(&nvidia, DType::F32)], [Some(16), None]);
    assert_eq!([side(&amd, DType::F16), side(&amd, DType::F32)], [Some(16), None]);
    // the larger of two
    assert_eq!(side(&list(&[([8; 3], F16, F32), ([16; 3], F16, F32)], 32), DType::F16), Some(16));
    // nothing else will do: other sizes, other sums, other dtypes, nothing at all
    for c in [
        list(&[([16, 8, 16], F16, F32), ([8, 16, 16], F16, F32)], 32),
        list(&[([16; 3], F16, F16)], 32),
        list(&[([16; 3], I32, I32)], 32),
        list(&[], 32),
        Cooperative { f16: false, ..nvidia.clone() },
        Cooperative { subgroup: 48, ..nvidia.clone() },
        Cooperative { subgroup: 512, ..nvidia.clone() },
    ] {
        assert_eq!(side(&c, DType::F16), None, "{c:?}");
    }
    for dtype in [DType::BF16, DType::F64, DType::I32, DType::I64] {
        assert_eq!([side(&apple, dtype), side(&nvidia, dtype)], [None, None]);
    }
}

const TILES: [Tile; 3] = [
    Tile { side: 16, block: [4, 2], dtype: DType::F16 },
    Tile { side: 8, block: [4, 4], dtype: DType::F16 },
    Tile { side: 8, block: [4, 4], dtype: DType::F32 },
];

#[test]
fn operands_lie_by_whole_tiles_at_16_bytes() {
    let [large, _, float] = TILES;
    let ask = |t: Tile, offset, sizes, strides| t.lies(offset, sizes, strides, &[]);
    assert_eq!(ask(large, 0, [32, 48], [48, 1]), Some(Lies::Rows));
    assert_eq!(ask(large, 8, [32, 48], [1, 32]), Some(Lies::Columns));
    assert_eq!(ask(large, 4, [32, 48], [48, 1]), None);
    assert_eq!(ask(float, 4, [32, 48], [48, 1]), Some(Lies::Rows));
    assert_eq!(ask(large, 0, [32, 40], [40, 1]), None);
    assert_eq!(ask(float, 0, [32, 40], [40, 1]), Some(Lies::Rows));
    assert_eq!(ask(large, 0, [32, 48], [52, 1]), None);
    assert_eq!(ask(large, 0, [32, 48], [96, 2]), None);
    // one row for all
    assert_eq!(ask(large, 0, [32, 48], [0, 1]), None);
    assert_eq!(large.lies(0, [32, 48], [48, 1], &[4]), None);
    assert_eq!(large.lies(0, [32, 48], [48, 1], &[0, 1536]), Some(Lies::Rows));
}

/// Every way of lying.
fn ways() -> [[Lies; 2]; 4] {
    use Lies::{Columns, Rows};
    [[Rows, Rows], [Rows, Columns], [Columns, Rows], [Columns, Columns]]
}

#[test]
fn the_text_is_valid_where_there_are_such_matrices() {
    let judge = have_spirv_val();
    for tile in TILES {
        for lies in ways() {
            let source = tile.source("matmul coop", lies, 128);
            // in SPIR-V and MSL; the other languages have to refuse it
            let checked = Checked::new(&source).unwrap_or_else(|e| panic!("{e}"));
            checked.write_all(judge).unwrap_or_else(|e| panic!("{e}\n{}", source.wgsl));
            let mut extras = vec!["subgroups", "cooperative matrices"];
            if tile.dtype == DType::F16 {
                extras.insert(1, "f16");
            }
            assert_eq!(checked.extras(), extras);
        }
    }
}

/// The kernel with its matrix instructions as loops of one invocation, over matrices in workgroup memory: a value is the number of its
/// place there, and each load and each sum of the text has one.
fn emulated(source: KernelSource, tile: Tile) -> KernelSource {
    let Tile { side, dtype, .. } = tile;
    let one = if dtype == DType::F16 { "f16" } else { "f32" };
    let mut places = 0;
    let mut text = String::new();
    let gone = ["enable wgpu_cooperative_matrix", "@builtin(subgroup_id)", "@builtin(num_subgroups)"];
    for line in source.wgsl.lines().filter(|l| !gone.iter().any(|g| l.contains(g))) {
        // NOTE [Hidden bounds]
        let mut line = line.replace("let step = groups.x", "one = groups.z; let step = groups.x");
        if line.contains("coop") && !line.starts_with("//") {
            line = line.replace("], ", ", ").replace("coopStoreT(", "store(").replace("&PARTS[", "");
            line = line.replace("coopMultiplyAdd(", "multiply_add(");
            let before = line.clone();
            line = line.replace(&format!("coop_mat{side}x{side}<f32, C>()"), &format!("zero({places}u)"));
            for (role, array) in [("A", "X"), ("B", "Y")] {
                for (how, by) in [("coopLoadT", "rows"), ("coopLoad", "columns")] {
                    let from = format!("{how}<coop_mat{side}x{side}<{one}, {role}>>(&{array}[");
                    line = line.replace(&from, &format!("{by}_{array}({places}u, "));
                }
            }
            places += u32::from(line != before);
            assert!(!line.contains("coop"), "{line}");
        }
        text.push_str(&line);
        text.push('\n');
    }
    let _ = write!(
        text,
        "const subgroup: u32 = 0u;
const subgroups: u32 = 1u;
const S: u32 = {side}u;
var<workgroup> numbers: array<f32, {}>;
fn zero(c: u32) -> u32 {{
    for (var i = 0u; i < S * S * one; i++) {{ numbers[c * S * S + i] = 0.0; }}
    return c;
}}
fn multiply_add(a: u32, b: u32, c: u32) -> u32 {{
    for (var i = 0u; i < S * S * one; i++) {{
        for (var k = 0u; k < S * one; k++) {{
            numbers[c * S * S + i] += numbers[(a * S + i / S) * S + k] * numbers[(b * S + k) * S + i % S];
        }}
    }}
    return c;
}}
fn store(c: u32, at: u32, stride: u32) {{
    for (var i = 0u; i < S * S * one; i++) {{ PARTS[at + i / S * stride + i % S] = numbers[c * S * S + i]; }}
}}\n",
        places * side * side
    );
    for array in ["X", "Y"] {
        for (by, row, col) in [("rows", "stride", "1u"), ("columns", "1u", "stride")] {
            let _ = write!(
                text,
                "fn {by}_{array}(m: u32, at: u32, stride: u32) -> u32 {{
    for (var i = 0u; i < S * S * one; i++) {{
        numbers[m * S * S + i] = f32({array}[at + i / S * {row} + i % S * {col}]);
    }}
    return m;
}}\n"
            );
        }
    }
    KernelSource { wgsl: text, ..source }
}

/// A product of float32 through the emulated kernel against loops in f64.
fn check_f32(g: &Gpu, tile: Tile, batch: &[usize], mnk: [usize; 3], orders: [&[usize]; 2], splits: usize) {
    let [m, n, k] = mnk;
    let with = |x: usize, y: usize| [batch, &[x, y]].concat();
    let a = Host::laid(g, &with(m, k), orders[0], 4, 1);
    let b = Host::laid(g, &with(k, n), orders[1], 8, 2);
    let shape = with(m, n);
    let mut bias = Host::noise(g, &[n], 3);
    (bias.strides, bias.shape) = ([vec![0; shape.len() - 1], vec![1]].concat(), shape.clone());
    let out = Host::dense(g, vec![7.0f32; shape.iter().product()], &shape);
    let epi = Epilogue { bias: Some(bias.view()), alpha: 0.5, beta: -2.0, act: Act::Relu };
    let mut runs = 0;
    Product::each(&a.view(), &b.view(), &out.view(), &epi, |p| {
        let lies = tile.fits(p).expect("whole tiles");
        assert_eq!(tile.plan([m, n, k], p.batch.iter().product())?.splits, splits);
        let rec = &mut *g.lock();
        let kernel = rec.kernel(&format!("emulated {} {:?} {lies:?}", tile.side, tile.block), || {
            Ok(emulated(tile.source("matmul coop", lies, 1), tile))
        })?;
        runs += 1;
        // fewer workgroups than blocks: each goes on to the next. Where the depth is long that would be more than the 65,535 turns
        // of all loops together after which llvmpipe gives up
        launch(rec, tile, kernel, if splits > 1 { 1 } else { 3 }, p, &epi)
    })
    .unwrap();
    assert_eq!(runs, 1);
    let want: Vec<f64> = indices(&shape)
        .map(|i| {
            let (lead, r, c) = (&i[..batch.len()], i[batch.len()], i[batch.len() + 1]);
            let dot: f64 = (0..k).map(|q| a.f64(&[lead, &[r, q]].concat()) * b.f64(&[lead, &[q, c]].concat())).sum();
            (0.5 * dot - 2.0 * bias.f64(&i)).max(0.0)
        })
        .collect();
    close(&format!("{tile:?} {batch:?} {mnk:?} {orders:?}"), &down(g, &out.buffer, want.len()), &want, 1e-5);
}

#[test]
fn written_out_as_loops_it_is_the_product() {
    let Some(g) = device() else { return };
    // small blocks, as many numbers as workgroup memory holds
    let tile = Tile { block: [2, 2], ..TILES[2] };
    let (rows, columns): (&[usize], &[usize]) = (&[0, 1], &[1, 0]);
    for orders in [[rows, rows], [rows, columns], [columns, rows], [columns, columns]] {
        // one tile; whole blocks; blocks that reach past both edges
        for mnk in [[8, 8, 8], [32, 16, 24], [24, 40, 16]] {
            check_f32(&g, tile, &[], mnk, orders, 1);
        }
    }
    check_f32(&g, Tile { block: [1, 1], ..tile }, &[], [8, 40, 776], [rows, columns], 3);
    check_f32(&g, tile, &[2, 3], [16, 8, 8], [&[1, 0, 2, 3], &[0, 1, 3, 2]], 1);
}

#[test]
fn float16_written_out_as_loops() {
    let Some(g) = device() else { return };
    if !g.lock().has_f16() {
        eprintln!("\n*** SKIPPED: the adapter has no float16 arithmetic ***\n");
        return;
    }
    for tile in [Tile { block: [2, 1], ..TILES[0] }, Tile { block: [1, 2], ..TILES[1] }] {
        let (m, n, k) = (80, 48, 32);
        let value = |i: usize| (i * 7 % 33) as f32 / 16.0 - 1.0;
        let make = |len: usize| (0..len).map(|i| f16::from_f32(value(i)).to_bits()).collect::<Vec<u16>>();
        let (a, b) = (Host::dense(&g, make(m * k), &[m, k]), Host::dense(&g, make(k * n), &[k, n]));
        let out = Host::dense(&g, vec![0u16; m * n], &[m, n]);
        let epi = Epilogue::default();
        let d = DType::F16;
        Product::each(&a.typed(d), &b.typed(d), &out.typed(d), &epi, |p| {
            let lies = tile.fits(p).expect("whole tiles");
            let rec = &mut *g.lock();
            let kernel = rec.kernel(&format!("emulated f16 {} {lies:?}", tile.side), || {
                Ok(emulated(tile.source("matmul coop", lies, 1), tile))
            })?;
            launch(rec, tile, kernel, 1, p, &epi)
        })
        .unwrap();
        let got: Vec<u16> = down(&g, &out.buffer, m * n);
        for i in 0..m * n {
            // sums of multiples of 1/256 are exact
            let sum: f32 = (0..k).map(|q| value(i / n * k + q) * value(q * n + i % n)).sum();
            assert_eq!(f16::from_bits(got[i]), f16::from_f32(sum), "{tile:?} {i}");
        }
    }
}

#[test]
fn no_device_of_default_features_takes_it() {
    let Some(g) = device() else { return };
    if std::env::var("WGTORCH_COOPERATIVE").is_err() {
        let (a, b) = (Host::noise(&g, &[64, 64], 1), Host::noise(&g, &[64, 64], 2));
        let out = Host::dense(&g, vec![0.0; 4096], &[64, 64]);
        assert!(!matmul(&mut g.lock(), &a.view(), &b.view(), &out.view(), &Epilogue::default(), true).unwrap());
    }
}

/// The kernels of each tile, for the tests of all texts.
pub(in crate::gpu) fn sources() -> Vec<KernelSource> {
    TILES.iter().flat_map(|t| ways().map(|lies| t.source("matmul coop", lies, 128))).collect()
}
