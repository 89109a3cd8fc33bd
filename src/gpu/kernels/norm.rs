//! Layer normalisation of the rows of contiguous tensors, with the statistics that its gradient reads.
//!
//! Rows of 64 and more take a workgroup each, which holds those that fit in its registers; shorter ones take one invocation.
//! Software adapters hold rows in lanes: `rows_wave.rs`.

use super::rows_wave::{Offsets, Rows};
use super::{TOTAL, held, need_dense, need_f32, quad, source, word};
use crate::error::{Result, ensure};
use crate::gpu::{GpuView, KernelId, Recorder};
use smallvec::SmallVec;

/// The shortest row that a workgroup takes together.
const LONG: usize = 64;

const PARAMS: &str = include_str!("../../../shaders/layer_norm_params.wgsl");
const EACH: &str = include_str!("../../../shaders/layer_norm.wgsl");
const ROW: &str = include_str!("../../../shaders/layer_norm_row.wgsl");
const QUADS: &str = include_str!("../../../shaders/layer_norm_quads.wgsl");

const WAVE: &str = include_str!("../../../shaders/layer_norm_wave.wgsl");
const ROW_GRAD: &str = include_str!("../../../shaders/layer_norm_row_grad.wgsl");
const WAVE_GRAD: &str = include_str!("../../../shaders/layer_norm_wave_grad.wgsl");

/// The kernel for rows that lanes hold.
fn wave(rec: &mut Recorder, rows: Rows, weight: bool, bias: bool) -> Result<KernelId> {
    let pieces = || {
        let (mut factors, mut value) = (Vec::new(), "v# * rstd".to_string());
        if weight {
            factors.push(["w", "WEIGHT", "P.weight"]);
            value += &format!(" * {}", rows.column("w"));
        }
        if bias {
            factors.push(["b", "BIAS", "P.bias"]);
            value += &format!(" + {}", rows.column("b"));
        }
        let squares = "v# -= mean; s += INSIDE(v# * v#);";
        vec![
            rows.total("row_total", "Add"),
            rows.total("row_squares", "Add"),
            rows.variables("v"),
            rows.factors(&factors),
            rows.load("v", "X"),
            rows.fold("fn sum_of(lane: u32)", "vec4<f32>()", "s += INSIDE(v#);"),
            rows.fold("fn squares(mean: f32, lane: u32)", "vec4<f32>()", squares),
            rows.store("fn finish(at: u32, lane: u32, rstd: f32)", "", &value),
            WAVE.into(),
        ]
    };
    rows.kernel(rec, &format!("layer norm wave {weight} {bias}"), pieces, [3, 3, 10])
}

/// Where those factors start that there are.
fn columns(factors: &[&Option<GpuView>]) -> SmallVec<[usize; 2]> {
    factors.iter().filter_map(|f| f.as_ref().map(|v| v.offset)).collect()
}

/// Operands of [`layer_norm`]: rows of `n` elements, weight and bias of `n`, a mean and an `rstd` for each row.
pub struct LayerNorm<'a> {
    /// What is normalised.
    pub x: GpuView<'a>,
    /// Factors.
    pub weight: Option<GpuView<'a>>,
    /// Terms.
    pub bias: Option<GpuView<'a>>,
    /// The result, the means and the reciprocals of the standard deviations; none of them is an operand.
    pub out: [GpuView<'a>; 3],
    /// Length of a row.
    pub n: usize,
    /// Added to variances.
    pub eps: f64,
}

/// `(x - mean) / sqrt(var + eps) * weight + bias` for each row.
pub fn layer_norm(rec: &mut Recorder, p: &LayerNorm) -> Result<()> {
    let [out, mean, rstd] = &p.out;
    let all: Vec<&GpuView> = [&p.x, out, mean, rstd].into_iter().chain(&p.weight).chain(&p.bias).collect();
    need_f32("layer_norm", &all)?;
    need_dense("layer_norm", &all)?;
    if p.x.numel() == 0 {
        return Ok(());
    }
    let rows = p.x.numel() / p.n;
    ensure!(
        mean.numel() == rows && rstd.numel() == rows && out.numel() == p.x.numel(),
        Runtime,
        "layer_norm kernel: {rows} rows, but {} means",
        mean.numel()
    );
    // what is not there is bound to something that is, and not read
    let (weight, bias) = (p.weight.as_ref().unwrap_or(&p.x), p.bias.as_ref().unwrap_or(&p.x));
    let flags = u32::from(p.weight.is_some()) | u32::from(p.bias.is_some()) << 1;
    let mut params = vec![word(rows)?, word(p.n)?, flags];
    for v in [&p.x, weight, bias, out, mean, rstd] {
        params.push(word(v.offset)?);
    }
    params.push((p.eps as f32).to_bits());
    word(p.x.numel())?;
    let buffers = [p.x.buffer, weight.buffer, bias.buffer, out.buffer, mean.buffer, rstd.buffer];
    let offsets = [p.x.offset, weight.offset, bias.offset, out.offset];
    let columns = columns(&[&p.weight, &p.bias]);
    let at = Offsets { like: &[p.x.offset], columns: &columns, out: out.offset };
    if let Some(held) = Rows::of(rec, [rows, p.n], at, 4) {
        let k = wave(rec, held, p.weight.is_some(), p.bias.is_some())?;
        let each = held.turns(rows);
        [1, 3, 4, 5, 6].into_iter().for_each(|i| params[i] /= held.unit() as u32);
        params[2] = word(each)?;
        return rec.dispatch(k, &buffers, &params, held.groups(rows, each) as u32);
    }
    if p.n >= LONG && held(p.n, &offsets) {
        let wide = rec.wide_loads();
        let make = || Ok(source("layer norm quads", &[quad(wide), TOTAL, QUADS], 3, 3, 10));
        let k = rec.kernel(&format!("layer norm quads {wide}"), make)?;
        // sizes and places in fours, but those of the statistics
        [1, 3, 4, 5, 6].into_iter().for_each(|i| params[i] /= 4);
        return rec.dispatch(k, &buffers, &params, rows as u32);
    }
    if p.n >= LONG {
        let k = rec.kernel("layer norm row", || Ok(source("layer norm row", &[PARAMS, ROW], 3, 3, 10)))?;
        return rec.dispatch(k, &buffers, &params, rows as u32);
    }
    let k = rec.kernel("layer norm", || Ok(source("layer norm", &[PARAMS, EACH], 3, 3, 10)))?;
    rec.dispatch(k, &buffers, &params, rows.div_ceil(64) as u32)
}

/// The kernel of the gradient for rows that lanes hold.
fn wave_grad(rec: &mut Recorder, rows: Rows, weight: bool) -> Result<KernelId> {
    let pieces = || {
        let factor = [["w", "WEIGHT", "P.weight"]];
        let weigh = if weight { format!("g# *= {};", rows.column("w")) } else { String::new() };
        vec![
            rows.total("row_total", "Add"),
            rows.total("row_slopes", "Add"),
            rows.variables("v"),
            rows.variables("g"),
            rows.factors(if weight { &factor } else { &[] }),
            rows.load("v", "X"),
            rows.load("g", "GRAD"),
            rows.fold("fn shifts(lane: u32)", "vec4<f32>()", &format!("{weigh} s += INSIDE(g#);")),
            rows.fold(
                "fn slopes(mean: f32, rstd: f32, lane: u32)",
                "vec4<f32>()",
                "v# = (v# - mean) * rstd; s += INSIDE(g# * v#);",
            ),
            rows.store(
                "fn finish(at: u32, lane: u32, shift: f32, slope: f32, rstd: f32)",
                "",
                "(g# - shift - v# * slope) * rstd",
            ),
            WAVE_GRAD.into(),
        ]
    };
    rows.kernel(rec, &format!("layer norm wave gradient {weight}"), pieces, [5, 1, 9])
}

/// Operands of [`layer_norm_input_grad`]: rows of `n` elements, weight of `n`, a mean and an `rstd` for each row.
pub struct LayerNormInputGrad<'a> {
    /// The result's gradient.
    pub grad: GpuView<'a>,
    /// What was normalised.
    pub x: GpuView<'a>,
    /// Factors.
    pub weight: Option<GpuView<'a>>,
    /// Means, and reciprocals of the standard deviations.
    pub statistics: [GpuView<'a>; 2],
    /// The gradient of `x`; shares no memory with the others.
    pub out: GpuView<'a>,
    /// Length of a row.
    pub n: usize,
}

/// The gradient of [`layer_norm`] for what it normalises: with `y = (x - mean) * rstd` and `d = grad * weight`,
/// `rstd * (d - mean of d - y * mean of d * y)`.
pub fn layer_norm_input_grad(rec: &mut Recorder, p: &LayerNormInputGrad) -> Result<()> {
    let [mean, rstd] = &p.statistics;
    let all: Vec<&GpuView> = [&p.grad, &p.x, mean, rstd, &p.out].into_iter().chain(&p.weight).collect();
    need_f32("layer_norm backward", &all)?;
    need_dense("layer_norm backward", &all)?;
    if p.x.numel() == 0 {
        return Ok(());
    }
    let rows = p.x.numel() / p.n;
    ensure!(
        mean.numel() == rows && rstd.numel() == rows && [&p.grad, &p.out].iter().all(|v| v.numel() == p.x.numel()),
        Runtime,
        "layer_norm kernel: {rows} rows, but {} means",
        mean.numel()
    );
    // what is not there is bound to something that is, and not read
    let weight = p.weight.as_ref().unwrap_or(&p.x);
    let mut params = vec![word(rows)?, word(p.n)?, u32::from(p.weight.is_some())];
    for v in [&p.grad, &p.x, weight, mean, rstd, &p.out] {
        params.push(word(v.offset)?);
    }
    word(p.x.numel())?;
    let buffers = [p.grad.buffer, p.x.buffer, weight.buffer, mean.buffer, rstd.buffer, p.out.buffer];
    let columns = columns(&[&p.weight]);
    let at = Offsets { like: &[p.grad.offset, p.x.offset], columns: &columns, out: p.out.offset };
    if let Some(held) = Rows::of(rec, [rows, p.n], at, 4) {
        let k = wave_grad(rec, held, p.weight.is_some())?;
        let each = held.turns(rows);
        [1, 3, 4, 5, 8].into_iter().for_each(|i| params[i] /= held.unit() as u32);
        params[2] = word(each)?;
        return rec.dispatch(k, &buffers, &params, held.groups(rows, each) as u32);
    }
    let make = || Ok(source("layer norm row gradient", &[TOTAL, ROW_GRAD], 5, 1, 9));
    let k = rec.kernel("layer norm row gradient", make)?;
    rec.dispatch(k, &buffers, &params, rows as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::kernels::testing::{Host, close};
    use crate::gpu::testing::{device, down};

    #[test]
    fn rows_long_and_short_against_f64() {
        let Some(g) = device() else { return };
        for (rows, n, weight, bias) in [
            (3, 5, true, true),
            (70, 64, true, false),
            (2, 1000, false, true),
            (130, 1, false, false),
            (3, 1026, true, true),
            (5, 516, true, true),
            (6, 1020, false, true),
            (2, 5000, true, true),
            // by lanes, and by one to eight subgroups
            (2100, 4, true, true),
            (700, 32, true, false),
            (131, 36, false, false),
            (200, 60, false, true),
            (150, 252, true, true),
            (131, 256, true, true),
            (131, 516, true, true),
            (130, 1024, true, true),
            (66, 1536, true, true),
            (66, 2048, false, false),
        ] {
            // by fours, and not
            for offset in [2, 4] {
                let x = Host::laid(&g, &[rows, n], &[0, 1], offset, 1);
                let (w, b) = (Host::noise(&g, &[n], 2), Host::noise(&g, &[n], 3));
                let empty = |shape: &[usize]| Host::dense(&g, vec![9f32; shape.iter().product()], shape);
                let (y, mean, rstd) = (empty(&[rows, n]), empty(&[rows, 1]), empty(&[rows, 1]));
                let p = LayerNorm {
                    x: x.view(),
                    weight: weight.then(|| w.view()),
                    bias: bias.then(|| b.view()),
                    out: [y.view(), mean.view(), rstd.view()],
                    n,
                    eps: 1e-3,
                };
                layer_norm(&mut g.lock(), &p).unwrap();
                let (mut want, mut means) = (Vec::new(), Vec::new());
                for r in 0..rows {
                    let v: Vec<f64> = (0..n).map(|j| x.at(&[r, j]) as f64).collect();
                    let m = v.iter().sum::<f64>() / n as f64;
                    let var = v.iter().map(|v| (v - m) * (v - m)).sum::<f64>() / n as f64;
                    means.push(m);
                    for j in 0..n {
                        let factor = if weight { w.data[j] as f64 } else { 1.0 };
                        let term = if bias { b.data[j] as f64 } else { 0.0 };
                        want.push((v[j] - m) / (var + 1e-3).sqrt() * factor + term);
                    }
                }
                close(&format!("{rows} rows of {n}"), &down::<f32>(&g, &y.buffer, rows * n), &want, 2e-5);
                close(&format!("means of {rows} rows of {n}"), &down::<f32>(&g, &mean.buffer, rows), &means, 1e-5);
            }
        }
    }

    #[test]
    fn gradients_of_rows_against_f64() {
        let Some(g) = device() else { return };
        for (rows, n, weight) in [
            (3, 5, true),
            (2, 1000, false),
            (2100, 4, true),
            (700, 32, false),
            (131, 36, true),
            (70, 64, true),
            (131, 256, true),
            (131, 516, true),
            (66, 1024, true),
            (3, 5000, true),
        ] {
            for offset in [2, 4] {
                let x = Host::laid(&g, &[rows, n], &[0, 1], offset, 1);
                let (dy, w) = (Host::noise(&g, &[rows, n], 2), Host::noise(&g, &[n], 3));
                let (mean, rstd) = (Host::noise(&g, &[rows], 4), Host::noise(&g, &[rows], 5));
                let out = Host::dense(&g, vec![9f32; rows * n], &[rows, n]);
                let p = LayerNormInputGrad {
                    grad: dy.view(),
                    x: x.view(),
                    weight: weight.then(|| w.view()),
                    statistics: [mean.view(), rstd.view()],
                    out: out.view(),
                    n,
                };
                layer_norm_input_grad(&mut g.lock(), &p).unwrap();
                let mut want = Vec::new();
                for r in 0..rows {
                    let (m, s) = (mean.data[r] as f64, rstd.data[r] as f64);
                    let y: Vec<f64> = (0..n).map(|j| (x.at(&[r, j]) as f64 - m) * s).collect();
                    let factor = |j: usize| if weight { w.data[j] as f64 } else { 1.0 };
                    let d: Vec<f64> = (0..n).map(|j| dy.at(&[r, j]) as f64 * factor(j)).collect();
                    let shift = d.iter().sum::<f64>() / n as f64;
                    let slope = d.iter().zip(&y).map(|(d, y)| d * y).sum::<f64>() / n as f64;
                    want.extend((0..n).map(|j| s * (d[j] - shift - y[j] * slope)));
                }
                close(&format!("{rows} rows of {n}, gradient"), &down::<f32>(&g, &out.buffer, rows * n), &want, 2e-5);
            }
        }
    }
}
