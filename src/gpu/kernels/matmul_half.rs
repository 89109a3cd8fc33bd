//! Matrix products of float16 and bfloat16 that read the packed elements themselves: half the bytes of float32 twins, and no dispatches
//! that make those. Sums are float32 in the order of `matmul.rs` and are rounded once, so that the bits are those of the way
//! over float32, which still is taken where quads do not lie whole, where rows or columns are few, and on software adapters, whose core it suits.
//!
//! Where the caller allows sums in float16, products of float16 are multiplied and summed in it, if the device can.

use super::matmul::{Core, Epilogue, PARAMS, Plan, Product, SUM_PARAMS, Sum, TILE};
use super::{matmul_pick, source, word};
use crate::DType;
use crate::error::Result;
use crate::gpu::elements::INDEX_WGSL;
use crate::gpu::{Buffer, GpuView, KernelId, KernelSource, Recorder};

/// How four elements of a dtype become float32, on a device that can unpack float16 or not.
fn widening(dtype: DType, unpacks: bool) -> &'static str {
    match (dtype, unpacks) {
        (DType::BF16, _) => "",
        (_, true) => include_str!("../../../shaders/lib/half.wgsl"),
        (_, false) => include_str!("../../../shaders/lib/half_bits.wgsl"),
    }
}

/// How one element of a dtype becomes float32, and four are rounded to it.
fn rounding(dtype: DType) -> &'static str {
    match dtype {
        DType::BF16 => include_str!("../../../shaders/lib/half_brain.wgsl"),
        _ => include_str!("../../../shaders/lib/half_one.wgsl"),
    }
}

/// What a kernel of packed products computes with.
#[derive(Clone, Copy, Debug)]
struct Numbers {
    dtype: DType,
    /// Whether the driver converts float16.
    unpacks: bool,
    /// Whether factors and sums are float16.
    half_sums: bool,
}

/// `out = act(alpha * (a @ b) + beta * bias)` in float16 or bfloat16, for `[.., M, K] x [.., K, N]` as
/// [`super::matmul::matmul`] takes them, with sums in float16 where `half_sums` allows and the device has such arithmetic; false where
/// it is to go over float32.
///
/// # Errors
/// If shapes do not fit, or a tensor is too large.
pub fn matmul(
    rec: &mut Recorder,
    a: &GpuView,
    b: &GpuView,
    out: &GpuView,
    epi: &Epilogue,
    half_sums: bool,
) -> Result<bool> {
    let dtype = out.dtype;
    let half_sums = half_sums && dtype == DType::F16 && rec.has_f16();
    let numbers = Numbers { dtype, unpacks: rec.unpacks(), half_sums };
    let same = [a, b].into_iter().chain(&epi.bias).all(|v| v.dtype == dtype);
    if !same || !matches!(dtype, DType::F16 | DType::BF16) || out.shape.len() < 2 {
        return Ok(false);
    }
    let (outer, matrix) = out.shape.split_at(out.shape.len() - 2);
    let core = matmul_pick::conv_core(rec, [matrix[0], matrix[1]], outer.iter().product());
    // few rows have kernels of their own in float32
    let few = matrix[0].min(matrix[1]) <= matmul_pick::FEW && !rec.variant().is_tile();
    if !matches!(core, Core::Tile(_)) || few {
        return Ok(false);
    }
    let mut whole = true;
    Product::each(a, b, out, epi, |one| {
        whole &= fits(one);
        Ok(())
    })?;
    if whole {
        Product::each(a, b, out, epi, |one| record(rec, core, numbers, one, epi))?;
    }
    Ok(whole)
}

/// Whether operands and result lie by whole quads.
fn fits(p: &Product) -> bool {
    let single: u32 = p.quads().iter().map(|q| q.1).sum();
    single == 0 && p.k > 0 && p.n.is_multiple_of(4) && p.out.1.is_multiple_of(4)
}

fn record(rec: &mut Recorder, core: Core, numbers: Numbers, p: &Product, epi: &Epilogue) -> Result<()> {
    let plan = Plan::new(core, [p.m, p.n, p.k], p.batch.iter().product())?;
    if plan.splits > 1 {
        let parts = parts(rec, (core, &plan), numbers, p, epi)?;
        return sum_parts(rec, numbers.dtype, &p.sum(&parts, plan.splits, epi)?, p.out);
    }
    let params = p.params(&plan.head, false, p.quads(), epi)?;
    let kernel = kernel(rec, core, numbers, params.len())?;
    rec.dispatch(kernel, &[p.a.0, p.b.0, p.added().0, p.out.0], &params, plan.tiles as u32)
}

/// The product's partial sums in float32.
fn parts(
    rec: &mut Recorder,
    (core, plan): (Core, &Plan),
    numbers: Numbers,
    p: &Product,
    epi: &Epilogue,
) -> Result<Buffer> {
    let batch: usize = p.batch.iter().product();
    let parts = rec.alloc((4 * plan.splits * batch * p.m * p.n) as u64)?;
    let params = p.params(&plan.head, true, p.quads(), epi)?;
    let kernel = kernel(rec, core, numbers, params.len())?;
    rec.dispatch(kernel, &[p.a.0, p.b.0, p.a.0, &parts], &params, plan.tiles as u32)?;
    Ok(parts)
}

fn kernel(rec: &mut Recorder, core: Core, numbers: Numbers, param_words: usize) -> Result<KernelId> {
    let name =
        format!("matmul {} {}{}", numbers.dtype, core.name(), if numbers.half_sums { " in float16" } else { "" });
    rec.kernel(&name, || Ok(product(&name, core, numbers, param_words)))
}

/// Adds up the parts of a product whose columns are a multiple of four, in order, and rounds the sums.
pub(super) fn sum_parts(rec: &mut Recorder, dtype: DType, sum: &Sum, out: (&Buffer, usize)) -> Result<()> {
    let name = format!("matmul {dtype} sum");
    let kernel = rec.kernel(&name, || Ok(summing(&name, dtype)))?;
    let quads = word(sum.total / 4)?;
    rec.dispatch(kernel, &[sum.parts, sum.bias.0, out.0], &sum.params(out.1)?, quads.div_ceil(64))
}

fn product(name: &str, core: Core, numbers: Numbers, param_words: usize) -> KernelSource {
    let Numbers { dtype, unpacks, half_sums } = numbers;
    let sums = core.accumulating("multiply");
    let operands = include_str!("../../../shaders/matmul_half.wgsl");
    let mut pieces = vec![INDEX_WGSL, widening(dtype, unpacks), rounding(dtype), PARAMS, operands, TILE];
    if !half_sums {
        pieces.extend(["alias Lane4 = vec4<f32>;\n", &sums]);
        return source(name, &pieces, 3, 1, param_words);
    }
    // blocks arrive as float32 and rows leave as such; what is between them is float16
    let quads = include_str!("../../../shaders/lib/quads.wgsl");
    let sums = sums.replacen(quads, "", 1).replace("vec4<f32>", "vec4<f16>").replace("fn next_row(", "fn next_half(");
    let rows = "alias Lane4 = vec4<f16>;\nfn next_row() -> vec4<f32> { return vec4<f32>(next_half()); }\n";
    pieces.extend([quads, &sums, rows]);
    let mut k = source(name, &pieces, 3, 1, param_words);
    k.wgsl.insert_str(0, "enable f16;\n");
    k
}

fn summing(name: &str, dtype: DType) -> KernelSource {
    let pieces = [INDEX_WGSL, rounding(dtype), SUM_PARAMS, include_str!("../../../shaders/matmul_sum_half.wgsl")];
    source(name, &pieces, 2, 1, 16)
}

#[cfg(test)]
#[path = "matmul_half_tests.rs"]
pub(super) mod tests;
