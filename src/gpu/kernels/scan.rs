//! Running sums and products along any dim of contiguous tensors: totals of pieces, a scan of the totals, and a scan of each piece
//! on top of what is before it. Sizes alone decide what the pieces are, so that a run gives the same bits every time.

use super::softmax::around;
use super::{need_dense, quad, source, word};
use crate::DType;
use crate::error::{Result, bail, ensure};
use crate::gpu::{Buffer, GpuView, KernelSource, Recorder};

const ROW: &str = include_str!("../../../shaders/scan_row.wgsl");
const ROW_SUM: &str = include_str!("../../../shaders/scan_row_sum.wgsl");
const QUADS: &str = include_str!("../../../shaders/scan_quads.wgsl");
const QUADS_SUM: &str = include_str!("../../../shaders/scan_quads_sum.wgsl");
const COLUMN: &str = include_str!("../../../shaders/scan_column.wgsl");
const COLUMN_SUM: &str = include_str!("../../../shaders/scan_column_sum.wgsl");

/// The shortest row that a workgroup takes together.
const LONG: usize = 64;
/// Rows up to here have tiles of 256 elements, longer ones of 1,024.
const SHORT_TILES: usize = 256;
/// Lines across memory are cut until there are so many pieces, or until a piece is as short as [`LEAST`].
const PIECES: usize = 16_384;
const LEAST: usize = 32;

/// What is scanned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scan {
    /// Products instead of sums.
    pub product: bool,
    /// From the last element to the first.
    pub reverse: bool,
}

/// What the pieces of a dtype are made of: its type in WGSL, how two are joined, and what nothing adds up to.
fn arithmetic(dtype: DType, product: bool) -> Result<String> {
    let (ty, join, start) = match (dtype, product) {
        (DType::F32, false) => ("f32", "a + b", "0.0"),
        (DType::F32, true) => ("f32", "a * b", "1.0"),
        (DType::F64, false) => ("f64", "a + b", "0.0lf"),
        (DType::F64, true) => ("f64", "a * b", "1.0lf"),
        (DType::U32, false) => ("u32", "a + b", "0u"),
        (DType::I64, false) => ("vec2<u32>", "i64_add(a, b)", "vec2<u32>()"),
        (DType::I64, true) => ("vec2<u32>", "i64_mul(a, b)", "vec2<u32>(1u, 0u)"),
        _ => bail!(NotImplemented, "\"scan\" not implemented for '{}'", dtype.scalar_name()),
    };
    let library = match dtype {
        DType::I64 => crate::num::library(&[if product { "i64_mul" } else { "i64_add" }].into()),
        _ => String::new(),
    };
    Ok(format!(
        "{library}alias WtT = {ty};\nfn wt_join(a: WtT, b: WtT) -> WtT {{ return {join}; }}\nfn wt_start() -> WtT {{ return {start}; }}"
    ))
}

/// The kernels of one dtype and operation.
struct Kernels {
    dtype: DType,
    product: bool,
}

impl Kernels {
    fn text(&self, label: &str, each: usize, body: &str, words: usize, read: usize) -> Result<KernelSource> {
        let tiles = format!("const WT_EACH = {each}u;\nconst WT_TILE = {}u;", 64 * each);
        let arithmetic = arithmetic(self.dtype, self.product)?;
        Ok(source(label, &[&arithmetic, &tiles, body], read, 1, words))
    }

    fn key(&self, label: &str, each: usize) -> String {
        format!("{label} {} {} {each}", self.dtype, self.product)
    }
}

/// `out[.., k, ..] = x[.., 0, ..] + … + x[.., k, ..]` along `dim`, or the products: float32, float64 (where the device has
/// it), int64, and sums of uint32. `out` may not be `x`.
pub fn scan(rec: &mut Recorder, x: &GpuView, out: &GpuView, dim: usize, how: Scan) -> Result<()> {
    need_dense("scan", &[x, out])?;
    ensure!(
        x.shape == out.shape && x.dtype == out.dtype,
        Runtime,
        "scan kernel: {:?} of {} into {:?} of {}",
        x.shape,
        x.dtype,
        out.shape,
        out.dtype
    );
    word(2 * x.numel())?;
    if x.numel() == 0 {
        return Ok(());
    }
    let kernels = Kernels { dtype: x.dtype, product: how.product };
    let sizes = around(x.shape, dim)?;
    kernels.run(rec, (x.buffer, x.offset), (out.buffer, out.offset), sizes, how.reverse)
}

impl Kernels {
    fn run(
        &self,
        rec: &mut Recorder,
        x: (&Buffer, usize),
        out: (&Buffer, usize),
        [outer, n, inner]: [usize; 3],
        reverse: bool,
    ) -> Result<()> {
        let back = u32::from(reverse);
        let fours = [n, x.1, out.1].iter().all(|v| v.is_multiple_of(4));
        if inner == 1 && n > SHORT_TILES && fours && self.dtype == DType::F32 {
            let wide = rec.wide_loads();
            let key = |label: &str| format!("{label} {} {wide}", self.product);
            let op = if self.product { "a * b" } else { "a + b" };
            let four = format!("fn wt_join4(a: vec4<f32>, b: vec4<f32>) -> vec4<f32> {{ return {op}; }}");
            let make = |label: &str, body: &str, words: usize, read: usize| {
                let arithmetic = arithmetic(self.dtype, self.product)?;
                Ok(source(label, &[&arithmetic, &four, quad(wide), body], read, 1, words))
            };
            let tiles = n.div_ceil(1024);
            let head = [word(outer)?, word(n / 4)?, word(tiles)?, word(x.1 / 4)?];
            let carry = self.carry(rec, [outer, tiles, 1], |rec, sums| {
                let k = rec.kernel(&key("scan quads sum"), || make("scan quads sum", QUADS_SUM, 5, 1))?;
                rec.dispatch(k, &[x.0, sums], &[head[0], head[1], head[2], head[3], back], (outer * tiles) as u32)
            })?;
            let k = rec.kernel(&key("scan quads"), || make("scan quads", QUADS, 6, 2))?;
            let flags = back | u32::from(carry.is_some()) << 1;
            let params = [head[0], head[1], head[2], head[3], word(out.1 / 4)?, flags];
            return rec.dispatch(k, &[x.0, carry.as_ref().unwrap_or(x.0), out.0], &params, (outer * tiles) as u32);
        }
        if inner == 1 && n >= LONG {
            let each = if n <= SHORT_TILES { 4 } else { 16 };
            let tiles = n.div_ceil(64 * each);
            let head = [word(outer)?, word(n)?, word(tiles)?, word(x.1)?];
            let carry = self.carry(rec, [outer, tiles, 1], |rec, sums| {
                let k =
                    rec.kernel(&self.key("scan row sum", each), || self.text("scan row sum", each, ROW_SUM, 5, 1))?;
                rec.dispatch(k, &[x.0, sums], &[head[0], head[1], head[2], head[3], back], (outer * tiles) as u32)
            })?;
            let k = rec.kernel(&self.key("scan row", each), || self.text("scan row", each, ROW, 6, 2))?;
            let flags = back | u32::from(carry.is_some()) << 1;
            let params = [head[0], head[1], head[2], head[3], word(out.1)?, flags];
            return rec.dispatch(k, &[x.0, carry.as_ref().unwrap_or(x.0), out.0], &params, (outer * tiles) as u32);
        }
        let lines = outer * inner;
        let each = n.div_ceil(PIECES.div_ceil(lines)).max(LEAST);
        let pieces = n.div_ceil(each);
        let count = lines * pieces;
        let head = [word(count)?, word(inner)?, word(n)?, word(pieces)?, word(each)?, word(x.1)?];
        let groups = count.div_ceil(64) as u32;
        let carry = self.carry(rec, [outer, pieces, inner], |rec, sums| {
            let k =
                rec.kernel(&self.key("scan column sum", 0), || self.text("scan column sum", 0, COLUMN_SUM, 7, 1))?;
            let params: Vec<u32> = head.iter().copied().chain([back]).collect();
            rec.dispatch(k, &[x.0, sums], &params, groups)
        })?;
        let k = rec.kernel(&self.key("scan column", 0), || self.text("scan column", 0, COLUMN, 8, 2))?;
        let flags = back | u32::from(carry.is_some()) << 1;
        let params: Vec<u32> = head.iter().copied().chain([word(out.1)?, flags]).collect();
        rec.dispatch(k, &[x.0, carry.as_ref().unwrap_or(x.0), out.0], &params, groups)
    }

    /// The running totals of pieces, which `sum` writes; None where each line is one piece.
    fn carry(
        &self,
        rec: &mut Recorder,
        [outer, pieces, inner]: [usize; 3],
        sum: impl FnOnce(&mut Recorder, &Buffer) -> Result<()>,
    ) -> Result<Option<Buffer>> {
        if pieces == 1 {
            return Ok(None);
        }
        let bytes = (outer * pieces * inner * self.dtype.size()) as u64;
        let (sums, totals) = (rec.alloc(bytes)?, rec.alloc(bytes)?);
        sum(rec, &sums)?;
        self.run(rec, (&sums, 0), (&totals, 0), [outer, pieces, inner], false)?;
        Ok(Some(totals))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::Gpu;
    use crate::gpu::kernels::testing::{Host, close, noise, time};
    use crate::gpu::testing::{device, down};
    use crate::shape::numel;

    const EVERY: [Scan; 4] = [
        Scan { product: false, reverse: false },
        Scan { product: false, reverse: true },
        Scan { product: true, reverse: false },
        Scan { product: true, reverse: true },
    ];

    /// The scan by a loop.
    fn looped<T: Copy>(data: &[T], shape: &[usize], dim: usize, reverse: bool, join: impl Fn(T, T) -> T) -> Vec<T> {
        let [outer, n, inner] = around(shape, dim).unwrap();
        let mut out = data.to_vec();
        for line in 0..outer * inner {
            let at = |k: usize| (line / inner * n + if reverse { n - 1 - k } else { k }) * inner + line % inner;
            for k in 1..n {
                out[at(k)] = join(out[at(k - 1)], out[at(k)]);
            }
        }
        out
    }

    fn floats(g: &Gpu, shape: &[usize], dim: usize, offset: usize) {
        let n = numel(shape);
        for how in EVERY {
            let mut data = noise(n + offset, 1);
            if how.product {
                data.iter_mut().for_each(|v| *v = 1.0 + *v / 64.0);
            }
            let strides = crate::shape::contiguous_strides(shape);
            let (x, out) = (Host::new(g, data, offset, shape, &strides), Host::dense(g, vec![9f32; n], shape));
            scan(&mut g.lock(), &x.view(), &out.view(), dim, how).unwrap();
            let wide: Vec<f64> = x.data[offset..].iter().map(|&v| v as f64).collect();
            let want = looped(&wide, shape, dim, how.reverse, |a, b| if how.product { a * b } else { a + b });
            // what is lost is a part of the largest sum on the way
            let most = want.iter().fold(0f64, |m, v| m.max(v.abs()));
            let want: Vec<f64> = want.iter().map(|v| v / most).collect();
            let got: Vec<f32> = down::<f32>(g, &out.buffer, n).iter().map(|v| v / most as f32).collect();
            // a product's roundings add up: some thirty on the way through a tile
            let tol = if how.product { 1e-5 } else { 2e-6 };
            close(&format!("{how:?} of {shape:?} along {dim}"), &got, &want, tol);
        }
    }

    const SHAPES: [(&[usize], usize); 13] = [
        (&[3, 1028], 1),
        (&[2, 70_004], 1),
        (&[5], 0),
        (&[], 0),
        (&[3, 1], 1),
        (&[4, 67], 1),
        (&[7, 1025], 1),
        (&[2, 70_001], 1),
        (&[100_003], 0),
        (&[3, 50, 7], 1),
        (&[5000, 3], 0),
        (&[2, 300, 130], 1),
        (&[300, 9], 1),
    ];

    #[test]
    fn floats_against_f64() {
        let Some(g) = device() else { return };
        for (shape, dim) in SHAPES {
            // by fours, and not
            floats(&g, shape, dim, 4);
            floats(&g, shape, dim, 3);
        }
    }

    #[test]
    fn integers_wrap_and_are_exact() {
        let Some(g) = device() else { return };
        for (shape, dim) in SHAPES {
            let n = numel(shape);
            let data: Vec<i64> = (0..n as i64).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15u64 as i64) | 1).collect();
            let (x, out) = (Host::dense(&g, data, shape), Host::dense(&g, vec![9i64; n], shape));
            for how in EVERY {
                scan(&mut g.lock(), &x.i64(), &out.i64(), dim, how).unwrap();
                let join = |a: i64, b: i64| if how.product { a.wrapping_mul(b) } else { a.wrapping_add(b) };
                let want = looped(&x.data, shape, dim, how.reverse, join);
                assert_eq!(down::<i64>(&g, &out.buffer, n), want, "{how:?} of {shape:?} along {dim}");
            }
        }
    }

    #[test]
    fn infinities_and_nan_go_on() {
        let Some(g) = device() else { return };
        let mut data = vec![1f32; 5000];
        (data[1500], data[3000]) = (f32::INFINITY, f32::NAN);
        let (x, out) = (Host::dense(&g, data, &[5000]), Host::dense(&g, vec![0f32; 5000], &[5000]));
        for how in &EVERY[..2] {
            scan(&mut g.lock(), &x.view(), &out.view(), 0, *how).unwrap();
            let want = looped(&x.data, &[5000], 0, how.reverse, |a, b| a + b);
            let want: Vec<f64> = want.iter().map(|&v| v as f64).collect();
            close("with infinity and NaN", &down(&g, &out.buffer, 5000), &want, 0.0);
        }
    }

    #[test]
    #[ignore = "prints figures"]
    fn speed() {
        let Some(g) = device() else { return };
        for (shape, dim) in [(&[1 << 20][..], 0), (&[4096, 256], 1), (&[4096, 256], 0), (&[1 << 16, 16], 1)] {
            let (x, out) = (Host::noise(&g, shape, 1), Host::noise(&g, shape, 2));
            let cost = time(&g, |r| scan(r, &x.view(), &out.view(), dim, EVERY[0]).unwrap());
            println!("cumsum {shape:?} along {dim}: {cost}");
        }
    }
}
