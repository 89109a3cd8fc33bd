//! Softmax and log-softmax over any dim of contiguous tensors, and their gradients from output and gradient.
//!
//! Rows of 64 and more along the last dim take a workgroup each, all others one invocation: short rows have no work to share,
//! and rows across memory are read side by side. Software adapters hold rows in lanes: `rows_wave.rs`.

use super::rows_wave::{Offsets, Rows};
use super::{TOTAL, exp_log, held, need_dense, need_f32, quad, source, word};
use crate::error::{Result, ensure};
use crate::gpu::{Buffer, GpuView, KernelId, Recorder};

/// The shortest row that a workgroup takes together.
const LONG: usize = 64;

const EACH: &str = include_str!("../../../shaders/softmax.wgsl");
const ROW: &str = include_str!("../../../shaders/softmax_row.wgsl");
const EACH_GRAD: &str = include_str!("../../../shaders/softmax_grad.wgsl");
const ROW_GRAD: &str = include_str!("../../../shaders/softmax_row_grad.wgsl");
const QUADS: &str = include_str!("../../../shaders/softmax_quads.wgsl");
const QUADS_GRAD: &str = include_str!("../../../shaders/softmax_quads_grad.wgsl");

const FINISH: &str = "fn finish(row: u32, top: f32, lane: u32, sum: f32)";
const WAVE: &str = include_str!("../../../shaders/softmax_wave.wgsl");
const WAVE_GRAD: &str = include_str!("../../../shaders/softmax_wave_grad.wgsl");

/// A kernel for rows that a workgroup holds.
fn quads(rec: &mut Recorder, label: &str, body: &str, read: usize) -> Result<KernelId> {
    let wide = rec.wide_loads();
    let make = || Ok(source(label, &[&exp_log(), quad(wide), TOTAL, body], read, 1, 6));
    rec.kernel(&format!("{label} {wide}"), make)
}

/// What is wanted of rows, as the kernels take it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Want {
    Softmax,
    Log,
    /// The largest value, and the logarithm of the sum of the exponentials of what is left, in a quad.
    Totals,
}

/// The kernel for rows that lanes hold.
fn wave(rec: &mut Recorder, rows: Rows, want: Want) -> Result<KernelId> {
    // exponentials are kept where they are wanted, else differences from the maximum
    let (label, keep) = match want {
        Want::Softmax => ("softmax wave", "v# = e#;"),
        Want::Log => ("log_softmax wave", ""),
        Want::Totals => ("softmax totals wave", ""),
    };
    let results = |value: &str| rows.store(FINISH, "    let at = P.out + row * P.n;\n", value);
    let finish = || match want {
        Want::Softmax => results("v# / sum"),
        Want::Log => results("v# - m_log(sum)"),
        Want::Totals => {
            let put = match rows.unit() {
                // the place is that of the rows themselves, for want of a result like them
                1 => "OUT[row] = vec4<f32>(top, m_log(sum), 0.0, 0.0);",
                _ => "OUT[P.out + row] = pack(vec4<f32>(top, m_log(sum), 0.0, 0.0));",
            };
            format!("{FINISH} {{ if lane == 0u {{ {put} }} }}\nfn put_all() {{}}\n")
        }
    };
    let powers = || format!("v# -= top; let e# = exp4(v#); s += INSIDE(e#); {keep}");
    let pieces = || {
        vec![
            exp_log(),
            rows.total("row_max", "Max"),
            rows.total("row_total", "Add"),
            rows.variables("v"),
            rows.load("v", "X"),
            rows.fold("fn largest(lane: u32)", "v0", "s = max(s, v#);"),
            rows.fold("fn exponentials(top: f32, lane: u32)", "vec4<f32>()", &powers()),
            finish(),
            WAVE.into(),
        ]
    };
    rows.kernel(rec, label, pieces, [1, 1, 4])
}

/// The kernel for gradients of rows that lanes hold.
fn wave_grad(rec: &mut Recorder, rows: Rows, log: bool) -> Result<KernelId> {
    let (label, term, slope) = if log {
        ("log_softmax wave gradient", "s += INSIDE(g#);", "g# - exp4(y#) * sum")
    } else {
        ("softmax wave gradient", "s += INSIDE(g# * y#);", "y# * (g# - sum)")
    };
    let pieces = || {
        vec![
            exp_log(),
            rows.total("row_total", "Add"),
            rows.variables("y"),
            rows.variables("g"),
            rows.load("y", "Y"),
            rows.load("g", "GRAD"),
            rows.fold("fn terms(lane: u32)", "vec4<f32>()", term),
            rows.store("fn finish(at: u32, lane: u32, sum: f32)", "", slope),
            WAVE_GRAD.into(),
        ]
    };
    rows.kernel(rec, label, pieces, [2, 1, 5])
}

/// Sizes before, of and after a dim.
pub(super) fn around(shape: &[usize], dim: usize) -> Result<[usize; 3]> {
    // a 0-dim tensor is one row of one
    let (shape, dim) = if shape.is_empty() { (&[1][..], 0) } else { (shape, dim) };
    ensure!(dim < shape.len(), Runtime, "dim {dim} of {shape:?}");
    Ok([shape[..dim].iter().product(), shape[dim], shape[dim + 1..].iter().product()])
}

/// Softmax over `dim`, or its logarithm. `out` may not be `x`.
pub fn softmax(rec: &mut Recorder, x: &GpuView, out: &GpuView, dim: usize, log: bool) -> Result<()> {
    need_f32("softmax", &[out])?;
    need_dense("softmax", &[out])?;
    ensure!(x.shape == out.shape, Runtime, "softmax kernel: {:?} into {:?}", x.shape, out.shape);
    forward(rec, x, out.buffer, out.offset, dim, if log { Want::Log } else { Want::Softmax })
}

/// What makes log-probabilities along `dim`: for each row a quad of its largest value and of the logarithm of the sum of the exponentials of
/// what is left, the same numbers that [`softmax`] subtracts, from the start of `out`.
pub(super) fn totals(rec: &mut Recorder, x: &GpuView, out: &Buffer, dim: usize) -> Result<()> {
    let [outer, _, inner] = around(x.shape, dim)?;
    word(4 * outer * inner)?;
    forward(rec, x, out, 0, dim, Want::Totals)
}

fn forward(rec: &mut Recorder, x: &GpuView, out: &Buffer, offset: usize, dim: usize, want: Want) -> Result<()> {
    need_f32("softmax", &[x])?;
    need_dense("softmax", &[x])?;
    let [outer, n, inner] = around(x.shape, dim)?;
    if x.numel() == 0 {
        return Ok(());
    }
    let rows = outer * inner;
    let ends = [word(x.offset)?, word(offset)?, f32::NEG_INFINITY.to_bits()];
    word(x.numel())?;
    let buffers = [x.buffer, out];
    // totals lie by quads, whatever their rows do
    let at =
        if want == Want::Totals && !(n.is_multiple_of(4) && x.offset.is_multiple_of(4)) { x.offset } else { offset };
    let offsets = Offsets { like: &[x.offset], columns: &[], out: at };
    if let Some(held) = Rows::of(rec, [rows, n], offsets, 2).filter(|_| inner == 1) {
        let k = wave(rec, held, want)?;
        let unit = held.unit();
        let params = [word(rows)?, word(n / unit)?, word(x.offset / unit)?, word(at / unit)?];
        return rec.dispatch(k, &buffers, &params, held.groups(rows, 1) as u32);
    }
    let log = match want {
        Want::Softmax => 0,
        Want::Log => 1,
        Want::Totals => 2,
    };
    if inner == 1 && n >= LONG && held(n, &[x.offset, offset]) {
        let k = quads(rec, "softmax quads", QUADS, 1)?;
        let params = [word(rows)?, word(n / 4)?, log, ends[0] / 4, ends[1] / 4, ends[2]];
        return rec.dispatch(k, &buffers, &params, rows as u32);
    }
    if inner == 1 && n >= LONG {
        let k = rec.kernel("softmax row", || Ok(source("softmax row", &[&exp_log(), ROW], 1, 1, 6)))?;
        let params = [word(rows)?, word(n)?, log, ends[0], ends[1], ends[2]];
        return rec.dispatch(k, &buffers, &params, rows as u32);
    }
    let k = rec.kernel("softmax", || Ok(source("softmax", &[&exp_log(), EACH], 1, 1, 7)))?;
    let params = [word(rows)?, word(n)?, word(inner)?, log, ends[0], ends[1], ends[2]];
    rec.dispatch(k, &buffers, &params, rows.div_ceil(64) as u32)
}

/// The gradient of [`softmax`] from its output `y` and the output's gradient. `out` shares no memory with them.
pub fn softmax_grad(
    rec: &mut Recorder,
    y: &GpuView,
    grad: &GpuView,
    out: &GpuView,
    dim: usize,
    log: bool,
) -> Result<()> {
    need_f32("softmax backward", &[y, grad, out])?;
    need_dense("softmax backward", &[y, grad, out])?;
    ensure!(
        y.shape == out.shape && grad.shape == out.shape,
        Runtime,
        "softmax kernel: {:?} and {:?} into {:?}",
        y.shape,
        grad.shape,
        out.shape
    );
    let [outer, n, inner] = around(y.shape, dim)?;
    if y.numel() == 0 {
        return Ok(());
    }
    let rows = outer * inner;
    let ends = [word(y.offset)?, word(grad.offset)?, word(out.offset)?];
    word(y.numel())?;
    let buffers = [y.buffer, grad.buffer, out.buffer];
    let offsets = Offsets { like: &[y.offset, grad.offset], columns: &[], out: out.offset };
    if let Some(held) = Rows::of(rec, [rows, n], offsets, 3).filter(|_| inner == 1) {
        let k = wave_grad(rec, held, log)?;
        let places = ends.map(|e| e / held.unit() as u32);
        let params = [word(rows)?, word(n / held.unit())?, places[0], places[1], places[2]];
        return rec.dispatch(k, &buffers, &params, held.groups(rows, 1) as u32);
    }
    let log = u32::from(log);
    if inner == 1 && n >= LONG && held(n, &[y.offset, grad.offset, out.offset]) {
        let k = quads(rec, "softmax quads gradient", QUADS_GRAD, 2)?;
        let params = [word(rows)?, word(n / 4)?, log, ends[0] / 4, ends[1] / 4, ends[2] / 4];
        return rec.dispatch(k, &buffers, &params, rows as u32);
    }
    if inner == 1 && n >= LONG {
        let make = || Ok(source("softmax row gradient", &[&exp_log(), ROW_GRAD], 2, 1, 6));
        let k = rec.kernel("softmax row gradient", make)?;
        let params = [word(rows)?, word(n)?, log, ends[0], ends[1], ends[2]];
        return rec.dispatch(k, &buffers, &params, rows as u32);
    }
    let k = rec.kernel("softmax gradient", || Ok(source("softmax gradient", &[&exp_log(), EACH_GRAD], 2, 1, 7)))?;
    let params = [word(rows)?, word(n)?, word(inner)?, log, ends[0], ends[1], ends[2]];
    rec.dispatch(k, &buffers, &params, rows.div_ceil(64) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::Gpu;
    use crate::gpu::kernels::testing::{Host, close, time};
    use crate::gpu::testing::{check_wgsl, device, down};
    use crate::shape::numel;

    /// The rows of a dim: offset of the first element and the step to the next.
    fn rows(shape: &[usize], dim: usize) -> Vec<(usize, usize, usize)> {
        let [outer, n, inner] = around(shape, dim).unwrap();
        (0..outer * inner).map(|i| (i / inner * n * inner + i % inner, inner, n)).collect()
    }

    fn check(g: &Gpu, shape: &[usize], dim: usize, scale: f32) {
        // by fours, and not
        for offsets in [[3, 1], [4, 8]] {
            check_at(g, shape, dim, scale, offsets);
        }
    }

    fn check_at(g: &Gpu, shape: &[usize], dim: usize, scale: f32, [ox, og]: [usize; 2]) {
        let order: Vec<usize> = (0..shape.len()).collect();
        let mut x = Host::laid(g, shape, &order, ox, 1);
        x.data.iter_mut().for_each(|v| *v *= scale);
        x.buffer = crate::gpu::testing::up(g, &x.data);
        let grad = Host::laid(g, shape, &order, og, 2);
        let n = numel(shape);
        for log in [false, true] {
            let (y, gx) = (Host::dense(g, vec![9f32; n], shape), Host::dense(g, vec![9f32; n], shape));
            {
                let rec = &mut g.lock();
                softmax(rec, &x.view(), &y.view(), dim, log).unwrap();
                softmax_grad(rec, &y.view(), &grad.view(), &gx.view(), dim, log).unwrap();
            }
            let (mut want, mut back) = (vec![0f64; n], vec![0f64; n]);
            for (at, step, len) in rows(shape, dim) {
                let v = |j: usize| x.data[ox + at + j * step] as f64;
                let dy = |j: usize| grad.data[og + at + j * step] as f64;
                let top = (0..len).map(v).fold(f64::NEG_INFINITY, f64::max);
                let sum: f64 = (0..len).map(|j| (v(j) - top).exp()).sum();
                let p: Vec<f64> = (0..len).map(|j| (v(j) - top).exp() / sum).collect();
                let total: f64 = (0..len).map(dy).sum();
                let dot: f64 = (0..len).map(|j| dy(j) * p[j]).sum();
                for j in 0..len {
                    want[at + j * step] = if log { v(j) - top - sum.ln() } else { p[j] };
                    back[at + j * step] = if log { dy(j) - p[j] * total } else { p[j] * (dy(j) - dot) };
                }
            }
            let what = format!("{shape:?} dim {dim} x {scale}, log {log}");
            close(&what, &down(g, &y.buffer, n), &want, 2e-6);
            close(&format!("{what}: gradient"), &down(g, &gx.buffer, n), &back, 5e-6);
        }
    }

    #[test]
    fn rows_of_every_kind() {
        let Some(g) = device() else { return };
        for scale in [1.0, 30.0] {
            check(&g, &[64, 10], 1, scale);
            check(&g, &[3, 1000], 1, scale);
            check(&g, &[2, 516], 1, scale);
            check(&g, &[2, 4100], 1, scale);
            check(&g, &[2, 70, 5], 1, scale);
            check(&g, &[7, 3, 4], 0, scale);
            check(&g, &[5, 1], 1, scale);
            // by lanes, and by one to eight subgroups
            for n in [4, 28, 32, 36, 64, 68, 200, 256, 512, 516, 640, 1020, 1024, 2052, 2560, 4096] {
                check(&g, &[9, n], 1, scale);
            }
            check(&g, &[], 0, scale);
        }
    }

    #[test]
    fn infinities_and_nan() {
        let Some(g) = device() else { return };
        let (inf, nan) = (f32::INFINITY, f32::NAN);
        for n in [3, 20, 66, 68, 516, 1100] {
            // all -inf is NaN, one -inf is 0 (or -inf), a NaN and an infinity take the row
            let mut data = vec![-inf; 4 * n];
            data[n..4 * n].fill(0.5);
            (data[n], data[2 * n + 1], data[3 * n + 2]) = (-inf, nan, inf);
            let (x, y) = (Host::dense(&g, data.clone(), &[4, n]), Host::dense(&g, vec![0f32; 4 * n], &[4, n]));
            for log in [false, true] {
                softmax(&mut g.lock(), &x.view(), &y.view(), 1, log).unwrap();
                let got: Vec<f32> = down(&g, &y.buffer, 4 * n);
                assert!(got[..n].iter().chain(&got[2 * n..]).all(|v| v.is_nan()), "{got:?}");
                assert_eq!(got[n], if log { -inf } else { 0.0 });
                let rest = 1.0 / (n - 1) as f64;
                close("the finite row", &got[n + 1..2 * n], &vec![if log { rest.ln() } else { rest }; n - 1], 1e-6);
            }
        }
    }

    #[test]
    fn every_configuration_is_valid() {
        check_wgsl(&source("softmax", &[&exp_log(), EACH], 1, 1, 7));
        check_wgsl(&source("softmax row", &[&exp_log(), ROW], 1, 1, 6));
        check_wgsl(&source("softmax gradient", &[&exp_log(), EACH_GRAD], 2, 1, 7));
        check_wgsl(&source("softmax row gradient", &[&exp_log(), ROW_GRAD], 2, 1, 6));
    }

    #[test]
    #[ignore = "prints figures"]
    fn speed() {
        let Some(g) = device() else { return };
        for shape in [[64, 10], [4096, 1024]] {
            let (x, y) = (Host::noise(&g, &shape, 1), Host::noise(&g, &shape, 2));
            println!("softmax {shape:?}: {}", time(&g, |r| softmax(r, &x.view(), &y.view(), 1, true).unwrap()));
        }
    }
}
