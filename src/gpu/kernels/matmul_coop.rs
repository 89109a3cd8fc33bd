//! Matrix products by cooperative matrices (tensor cores, simdgroup matrices), where the device was opened with them: `WGTORCH_COOPERATIVE=1`
//! and an adapter whose own list has a square size that WGSL can name. float16 is multiplied as it is and summed in float32, float32 is
//! multiplied in float32: either way nothing is rounded that the other kernels keep, only the order of the sums is another. Float32
//! through float16 is for who allowed it.
//!
//! The kernel stores partial sums, which the second pass of split products finishes. Not yet run on hardware: no adapter at hand has
//! them. What is tested is the text, in the languages of the two backends that have them, the choice, and the results of the same
//! kernel with the matrix instructions written out as loops.

use super::matmul::{Epilogue, PARAMS, Product, sum_parts};
use super::{matmul_half, matmul_scaled, source, word};
use crate::DType;
use crate::error::{Result, bail};
use crate::gpu::{Buffer, GpuView, KernelId, KernelSource, Recorder};
use std::fmt::Write;
use wgpu::{CooperativeMatrixProperties, CooperativeScalarType};

/// The cooperative matrices of a device that was opened with them.
#[derive(Clone, Debug, Default)]
pub struct Cooperative {
    /// The adapter's list.
    pub sizes: Vec<CooperativeMatrixProperties>,
    /// The most invocations that a subgroup has.
    pub subgroup: u32,
    /// Whether shaders may name float16.
    pub f16: bool,
}

/// A square tile (8 or 16) and the blocks of tiles that a subgroup makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tile {
    side: u32,
    /// Rows and columns of tiles in a block: half of the sums that 32 invocations have registers for.
    block: [u32; 2],
    dtype: DType,
}

/// Invocations of a workgroup: four subgroups, whose blocks lie side by side and share rows of a.
const SUBGROUPS: u32 = 4;
/// Most invocations that WebGPU's default limits allow.
const MOST: u32 = 256;

/// The tile for a dtype, from what the adapter lists: the largest whose sums are float32. Overflow that saturates is no different in
/// floats. None where there is none, or where a workgroup cannot hold whole subgroups.
fn choose(c: &Cooperative, dtype: DType) -> Option<Tile> {
    let part = match dtype {
        DType::F16 if c.f16 => CooperativeScalarType::F16,
        DType::F32 => CooperativeScalarType::F32,
        _ => return None,
    };
    if !c.subgroup.is_power_of_two() || c.subgroup > MOST {
        return None;
    }
    let fits = |p: &&CooperativeMatrixProperties, side: u32| {
        [p.m_size, p.n_size, p.k_size] == [side; 3] && p.ab_type == part && p.cr_type == CooperativeScalarType::F32
    };
    let side = [16, 8].into_iter().find(|&side| c.sizes.iter().any(|p| fits(&p, side)))?;
    Some(Tile { side, block: if side == 16 { [4, 2] } else { [4, 4] }, dtype })
}

/// How a matrix's neighbours lie, where a matrix instruction can load tiles of it: by rows, or by columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lies {
    Rows,
    Columns,
}

impl Tile {
    /// How a matrix lies; None where its rows and columns are not whole tiles or a tile does not begin at 16 bytes.
    fn lies(self, offset: usize, sizes: [usize; 2], strides: [usize; 2], batches: &[usize]) -> Option<Lies> {
        let side = self.side as usize;
        // a row of a tile is 16 bytes or more
        let grain = 16 / self.dtype.size();
        let aligned = |n: usize| n.is_multiple_of(grain);
        let whole = sizes.iter().all(|&n| n > 0 && n.is_multiple_of(side));
        if !whole || !aligned(offset) || !batches.iter().all(|&s| aligned(s)) {
            return None;
        }
        match strides {
            [row, 1] if aligned(row) && row > 0 => Some(Lies::Rows),
            [1, col] if aligned(col) && col > 0 => Some(Lies::Columns),
            _ => None,
        }
    }

    /// How both operands lie, where the kernel takes them.
    fn fits(self, p: &Product) -> Option<[Lies; 2]> {
        let a = self.lies(p.a.1, [p.m, p.k], p.a.2, &p.a.3)?;
        let b = self.lies(p.b.1, [p.k, p.n], p.b.2, &p.b.3)?;
        // the second pass of float16 stores whole quads
        p.out.1.is_multiple_of(4).then_some([a, b])
    }

    /// Rows and columns of a block.
    fn block(self) -> [usize; 2] {
        self.block.map(|n| (n * self.side) as usize)
    }

    /// The head of the parameters: how the product is cut into blocks, and its depth into parts that several subgroups sum.
    fn plan(self, [rows, cols, depth]: [usize; 3], batch: usize) -> Result<Plan> {
        let [block_rows, block_cols] = self.block();
        let (x, y) = (cols.div_ceil(block_cols), rows.div_ceil(block_rows));
        let blocks = x * y * batch;
        // as many subgroups as fill a large device; less depth does not pay for more parts
        let splits = (1024 / blocks.max(1)).min(depth / 256).max(1);
        let chunk = depth.div_ceil(splits).next_multiple_of(self.side as usize);
        let splits = depth.div_ceil(chunk);
        word(rows * cols * batch * splits)?;
        let (blocks, sizes) = (blocks * splits, [rows, cols, depth, chunk, splits, x, y, blocks * splits]);
        let mut head = [0; 9];
        for (h, n) in head.iter_mut().zip(sizes) {
            *h = word(n)?;
        }
        Ok(Plan { splits, blocks: word(blocks)?, head })
    }

    /// The text of the kernel over operands that lie so.
    fn source(self, name: &str, [a, b]: [Lies; 2], invocations: u32) -> KernelSource {
        let Tile { side, block: [rows, cols], dtype } = self;
        let one = if dtype == DType::F16 { "f16" } else { "f32" };
        let mut s = format!(
            "alias One = {one};
const BLOCK_ROWS: u32 = {}u;
const BLOCK_COLS: u32 = {}u;
const INVOCATIONS: u32 = {invocations}u;
fn block(row: u32, col: u32, start: u32, end: u32) {{\n",
            rows * side,
            cols * side
        );
        // writing to a String cannot fail. What lies past an edge is the last tile again: it is made twice, by one subgroup
        for i in 0..rows {
            let _ = writeln!(s, "    let r{i} = min(row + {}u, P.rows - {side}u);", i * side);
            let _ = writeln!(s, "    let a{i} = a_at + r{i} * P.a.row;");
        }
        for j in 0..cols {
            let _ = writeln!(s, "    let q{j} = min(col + {}u, P.cols - {side}u);", j * side);
            let _ = writeln!(s, "    let b{j} = b_at + q{j} * P.b.col;");
        }
        let tiles = || (0..rows).flat_map(|i| (0..cols).map(move |j| (i, j)));
        for (i, j) in tiles() {
            let _ = writeln!(s, "    var c{i}{j} = coop_mat{side}x{side}<f32, C>();");
        }
        let _ = writeln!(s, "    for (var k = start; k < end; k += {side}u) {{");
        let load = |lies: Lies, role: &str, array: &str, at: String, matrix: &str| {
            let (how, stride) = if lies == Lies::Rows { ("coopLoadT", "row") } else { ("coopLoad", "col") };
            format!("{how}<coop_mat{side}x{side}<{one}, {role}>>(&{array}[{at}], P.{matrix}.{stride})")
        };
        for i in 0..rows {
            let _ = writeln!(s, "        let x{i} = {};", load(a, "A", "X", format!("a{i} + k * P.a.col"), "a"));
        }
        for j in 0..cols {
            let _ = writeln!(s, "        let y{j} = {};", load(b, "B", "Y", format!("b{j} + k * P.b.row"), "b"));
        }
        for (i, j) in tiles() {
            let _ = writeln!(s, "        c{i}{j} = coopMultiplyAdd(x{i}, y{j}, c{i}{j});");
        }
        s.push_str("    }\n");
        // naga writes a store's operands only where they have names
        s.push_str("    let width = P.cols;\n");
        for (i, j) in tiles() {
            let _ = writeln!(
                s,
                "    let sum{i}{j} = c{i}{j};
    let at{i}{j} = out_at + r{i} * width + q{j};
    coopStoreT(sum{i}{j}, &PARTS[at{i}{j}], width);"
            );
        }
        s.push_str("}\n");
        let mut k = source(name, &[PARAMS, &s, include_str!("../../../shaders/matmul_coop.wgsl")], 2, 1, 40);
        let f16 = if dtype == DType::F16 { "enable f16;\n" } else { "" };
        k.wgsl.insert_str(0, &format!("{f16}enable wgpu_cooperative_matrix;\n"));
        k
    }
}

/// How a product is cut.
struct Plan {
    splits: usize,
    blocks: u32,
    head: [u32; 9],
}

/// The same product as [`super::matmul::matmul`], in float16 or float32, by cooperative matrices; false where the device has none for
/// the dtype, or the operands do not lie by whole tiles. Where the device has none of float32, and `reduced` allows it, float32 is
/// scaled and rounded to float16 (`matmul_scaled.rs`).
///
/// # Errors
/// If shapes do not fit, or a tensor is too large.
pub fn matmul(
    rec: &mut Recorder,
    a: &GpuView,
    b: &GpuView,
    out: &GpuView,
    epi: &Epilogue,
    reduced: bool,
) -> Result<bool> {
    let Some(cooperative) = rec.cooperative() else { return Ok(false) };
    let subgroup = cooperative.subgroup;
    if [a, b].into_iter().chain(&epi.bias).any(|v| v.dtype != out.dtype) {
        return Ok(false);
    }
    let half = if reduced && out.dtype == DType::F32 { choose(cooperative, DType::F16) } else { None };
    let tile = match (choose(cooperative, out.dtype), half) {
        (Some(tile), _) => tile,
        (None, Some(tile)) => return scaled(rec, tile, subgroup, [a, b, out], epi),
        (None, None) => return Ok(false),
    };
    let mut whole = true;
    Product::each(a, b, out, epi, |p| {
        whole &= tile.fits(p).is_some();
        Ok(())
    })?;
    if whole {
        Product::each(a, b, out, epi, |p| match tile.fits(p) {
            Some(lies) => record(rec, tile, lies, subgroup, p, epi),
            None => Ok(()),
        })?;
    }
    Ok(whole)
}

/// Rows and columns from which on float32 is worth being rounded: each number is read for as many products.
const WORTH: usize = 64;

fn scaled(rec: &mut Recorder, tile: Tile, subgroup: u32, [a, b, out]: [&GpuView; 3], epi: &Epilogue) -> Result<bool> {
    let mut whole = true;
    Product::each(a, b, out, epi, |p| {
        let tiles = [p.m, p.n, p.k].iter().all(|n| n.is_multiple_of(tile.side as usize));
        whole &= tiles && p.k > 0 && p.m.min(p.n) >= WORTH;
        Ok(())
    })?;
    if whole {
        Product::each(a, b, out, epi, |p| {
            matmul_scaled::record(rec, p, epi, |rec, twin| match tile.fits(twin) {
                Some(lies) => {
                    let (kernel, subgroups) = kernel(rec, tile, lies, subgroup)?;
                    multiply(rec, tile, kernel, subgroups, twin, epi)
                }
                None => bail!(Runtime, "matmul kernel: twins of float32 lie by whole tiles"),
            })
        })?;
    }
    Ok(whole)
}

fn record(rec: &mut Recorder, tile: Tile, lies: [Lies; 2], subgroup: u32, p: &Product, epi: &Epilogue) -> Result<()> {
    let (kernel, subgroups) = kernel(rec, tile, lies, subgroup)?;
    launch(rec, tile, kernel, subgroups, p, epi)
}

/// The kernel for operands that lie so, and how many subgroups of its workgroups there are at least.
fn kernel(rec: &mut Recorder, tile: Tile, lies: [Lies; 2], subgroup: u32) -> Result<(KernelId, u32)> {
    let invocations = (SUBGROUPS * subgroup).min(MOST);
    let name = format!("matmul coop {} {} {lies:?} {invocations}", tile.dtype, tile.side);
    let kernel = rec.kernel(&name, || Ok(tile.source(&name, lies, invocations)))?;
    Ok((kernel, invocations / subgroup))
}

/// Runs the kernel, and what sums its parts.
fn launch(rec: &mut Recorder, tile: Tile, kernel: KernelId, subgroups: u32, p: &Product, epi: &Epilogue) -> Result<()> {
    let (parts, splits) = multiply(rec, tile, kernel, subgroups, p, epi)?;
    let sum = p.sum(&parts, splits, epi)?;
    match tile.dtype {
        DType::F16 => matmul_half::sum_parts(rec, tile.dtype, &sum, p.out),
        _ => sum_parts(rec, &sum, p.out.0, p.out.1),
    }
}

/// Runs the kernel, whose workgroups have so many subgroups or more: gives the partial sums, and how many of them there are.
fn multiply(
    rec: &mut Recorder,
    tile: Tile,
    kernel: KernelId,
    subgroups: u32,
    p: &Product,
    epi: &Epilogue,
) -> Result<(Buffer, usize)> {
    let batch: usize = p.batch.iter().product();
    let plan = tile.plan([p.m, p.n, p.k], batch)?;
    let parts = rec.alloc((4 * plan.splits * batch * p.m * p.n) as u64)?;
    let params = p.params(&plan.head, true, [(0, 0); 2], epi)?;
    rec.dispatch(kernel, &[p.a.0, p.b.0, &parts], &params, plan.blocks.div_ceil(subgroups))?;
    Ok((parts, plan.splits))
}

#[cfg(test)]
#[path = "matmul_coop_tests.rs"]
pub(in crate::gpu) mod tests;
