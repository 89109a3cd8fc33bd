//! The cross entropy of logits against class indices, and its gradient.
//!
//! Forward, few short rows are one workgroup's, losses and their sum together. Workgroups cannot wait for each other, and sums of floats by
//! atomics would differ from run to run, so elsewhere a second launch over the rows alone sums (`nll.wgsl`): the first one is
//! `log_softmax`, or where nobody wants log-probabilities only what makes them, 16 bytes a row. The gradient is one launch, for which a
//! row's maximum and sum are known: elements by themselves, and on software adapters rows in lanes (`rows_wave.rs`).

use super::loss::{Reduction, SHARE, STATUS, Targets, nll_loss_of, sizes};
use super::rows_wave::{Offsets, Rows};
use super::softmax::{softmax, totals};
use super::{exp_log, need_dense, need_f32, per, quad, source, word};
use crate::error::{Result, ensure};
use crate::gpu::{GpuView, KernelId, Recorder};

const FEW: &str = include_str!("../../../shaders/cross_entropy.wgsl");
const GRAD: &str = include_str!("../../../shaders/lib/logit_grad.wgsl");
const EACH_GRAD: &str = include_str!("../../../shaders/cross_entropy_grad.wgsl");
const QUADS_GRAD: &str = include_str!("../../../shaders/cross_entropy_quads_grad.wgsl");
const WAVE_GRAD: &str = include_str!("../../../shaders/cross_entropy_wave_grad.wgsl");

/// What one workgroup takes on: so many rows, classes, and logits in all. More would take it longer than a second launch.
const ROWS: usize = 256;
const CLASSES: usize = 64;
const LOGITS: usize = 4096;

/// Where [`cross_entropy`] leaves what it finds.
#[derive(Clone, Copy, Debug)]
pub struct Results<'a> {
    /// The losses, or their mean or sum.
    pub loss: GpuView<'a>,
    /// The sum of the weights that counted, not written without a reduction.
    pub total: GpuView<'a>,
    /// What else is wanted.
    pub keep: Keep<'a>,
}

/// What [`cross_entropy`] keeps for the gradient.
#[derive(Clone, Copy, Debug)]
pub enum Keep<'a> {
    /// Nothing.
    Nothing,
    /// The log-probabilities.
    Logs(GpuView<'a>),
    /// What makes them of the logits, a quad for each position (`softmax::totals`).
    Totals(GpuView<'a>),
}

impl<'a> Keep<'a> {
    fn view(&self) -> Option<&GpuView<'a>> {
        match self {
            Keep::Nothing => None,
            Keep::Logs(v) | Keep::Totals(v) => Some(v),
        }
    }
}

/// Whether one workgroup takes logits of these sizes on; it has no use for totals.
pub fn is_few(rows: usize, classes: usize) -> bool {
    rows * classes <= LOGITS && rows <= ROWS && classes <= CLASSES
}

/// What the gradient takes probabilities from.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// Log-probabilities.
    Logs(GpuView<'a>),
    /// Logits, and what [`Keep::Totals`] told of them.
    Logits(GpuView<'a>, GpuView<'a>),
}

/// The kernel for few rows, by how many rows lie side by side and whether it keeps log-probabilities.
fn few(rec: &mut Recorder, size: usize, keep: bool) -> Result<KernelId> {
    rec.kernel(&format!("cross_entropy {size} {keep}"), || {
        let head = format!("const SIZE: u32 = {size}u;\nconst KEEP: bool = {keep};\n");
        let store = if keep {
            "@group(0) @binding(7) var<storage, read_write> LOG: array<f32>;\nfn keep(at: u32, v: f32) { LOG[P.log + at] = v; }\n"
        } else {
            "fn keep(at: u32, v: f32) {}\n"
        };
        Ok(source("cross_entropy", &[&head, STATUS, &exp_log(), store, FEW], 3, 3 + usize::from(keep), 15))
    })
}

/// The loss of logits, as [`super::loss::nll_loss`] is that of log-probabilities.
pub fn cross_entropy(rec: &mut Recorder, x: &GpuView, t: &Targets, to: &Results, command: u32) -> Result<()> {
    let op = "cross_entropy";
    let [rows, classes, inner] = sizes(op, x, t)?;
    let all: Vec<&GpuView> = [&to.loss, &to.total].into_iter().chain(to.keep.view()).collect();
    need_f32(op, &all)?;
    need_dense(op, &all)?;
    let wanted = if t.reduction == Reduction::None { rows } else { 1 };
    ensure!(
        to.loss.numel() == wanted
            && to.total.numel() == 1
            && match &to.keep {
                Keep::Nothing => true,
                Keep::Logs(v) => v.shape == x.shape,
                Keep::Totals(v) => v.numel() == 4 * rows && v.offset == 0,
            },
        Runtime,
        "{op} kernel: {:?} into {:?}",
        x.shape,
        to.loss.shape
    );
    let keep = match &to.keep {
        Keep::Nothing => Some(None),
        Keep::Logs(v) => Some(Some(v)),
        Keep::Totals(_) => None,
    };
    if let Some(log) = keep.filter(|_| x.numel() > 0 && is_few(rows, classes)) {
        // a software adapter's barriers cost by the invocations
        let k = few(rec, if rows <= 64 || rec.waves() { 64 } else { ROWS }, log.is_some())?;
        let (weights, weight_at, flags) = t.weights(x.buffer);
        let [low, high] = t.ignored();
        let params = [
            word(rows)?,
            word(classes)?,
            word(inner)?,
            t.reduce(),
            flags,
            command,
            low,
            high,
            word(x.offset)?,
            word(t.index.offset)?,
            weight_at?,
            word(to.loss.offset)?,
            word(to.total.offset)?,
            log.map_or(Ok(0), |l| word(l.offset))?,
            f32::NEG_INFINITY.to_bits(),
        ];
        let status = rec.status(command);
        let mut buffers = vec![x.buffer, t.index.buffer, weights, to.loss.buffer, to.total.buffer, &status];
        buffers.extend(log.map(|l| l.buffer));
        return rec.dispatch(k, &buffers, &params, 1);
    }
    let dim = usize::from(x.shape.len() > 1);
    let scratch;
    let found = match &to.keep {
        Keep::Logs(log) => {
            softmax(rec, x, log, dim, true)?;
            return nll_loss_of(rec, log, None, t, &to.loss, &to.total, command);
        }
        Keep::Totals(v) => v.buffer,
        Keep::Nothing => {
            scratch = rec.alloc((16 * rows).max(16) as u64)?;
            &scratch
        }
    };
    totals(rec, x, found, dim)?;
    nll_loss_of(rec, x, Some(found), t, &to.loss, &to.total, command)
}

/// The kernel for gradients of rows that lanes hold.
fn wave_grad(rec: &mut Recorder, rows: Rows) -> Result<KernelId> {
    let pieces = || {
        vec![
            exp_log(),
            SHARE.into(),
            GRAD.into(),
            rows.variables("y"),
            rows.load("y", "Y"),
            rows.store("fn finish(at: u32, lane: u32, p: Position)", "", "slope(y#, ELEMENT, p)"),
            WAVE_GRAD.into(),
        ]
    };
    rows.kernel(rec, "cross_entropy wave gradient", pieces, [6, 1, 15])
}

/// The gradient of the logits, from the loss's gradient, the forward's `total`, and what probabilities are taken from.
pub fn cross_entropy_grad(
    rec: &mut Recorder,
    t: &Targets,
    grad: &GpuView,
    total: &GpuView,
    from: Source,
    out: &GpuView,
) -> Result<()> {
    let op = "cross_entropy backward";
    let [rows, classes, inner] = sizes(op, out, t)?;
    let (y, stats, logits) = match from {
        Source::Logs(y) => (y, y.buffer, 0),
        Source::Logits(x, stats) => (x, stats.buffer, 2),
    };
    need_f32(op, &[grad, total, &y])?;
    need_dense(op, &[grad, &y])?;
    let wanted = if t.reduction == Reduction::None { rows } else { 1 };
    ensure!(
        grad.numel() == wanted && total.numel() == 1 && y.numel() == out.numel(),
        Runtime,
        "{op} kernel: {:?} and {:?} into {:?}",
        grad.shape,
        y.shape,
        out.shape
    );
    let n = out.numel();
    if n == 0 {
        return Ok(());
    }
    let (weights, weight_at, flags) = t.weights(grad.buffer);
    let [low, high] = t.ignored();
    let ends = [word(y.offset)?, word(out.offset)?];
    let head = [word(rows)?, word(classes)?, word(inner)?, per(classes), t.reduce(), flags | logits, low, high];
    let head = head.into_iter().chain([word(t.index.offset)?, weight_at?, word(grad.offset)?, word(total.offset)?]);
    let params = |n: usize, step: u32| -> Result<Vec<u32>> {
        Ok([word(n)?].into_iter().chain(head.clone()).chain(ends.map(|e| e / step)).collect())
    };
    let buffers = [t.index.buffer, weights, grad.buffer, total.buffer, stats, y.buffer, out.buffer];
    let offsets = [y.offset, out.offset];
    let at = Offsets { like: &[y.offset], columns: &[], out: out.offset };
    if let Some(held) = Rows::of(rec, [rows, classes], at, 2).filter(|_| inner == 1) {
        let k = wave_grad(rec, held)?;
        return rec.dispatch(
            k,
            &buffers,
            &params(classes / held.unit(), held.unit() as u32)?,
            held.groups(rows, 1) as u32,
        );
    }
    if inner == 1 && classes >= 4 && n.is_multiple_of(4) && offsets.iter().all(|o| o.is_multiple_of(4)) {
        let wide = rec.wide_loads();
        let pieces = [&exp_log(), quad(wide), SHARE, GRAD, QUADS_GRAD];
        let label = "cross_entropy quads gradient";
        let k = rec.kernel(&format!("{label} {wide}"), || Ok(source(label, &pieces, 6, 1, 15)))?;
        return rec.dispatch(k, &buffers, &params(n / 4, 4)?, (n / 4).div_ceil(64) as u32);
    }
    let label = "cross_entropy gradient";
    let k = rec.kernel(label, || Ok(source(label, &[&exp_log(), SHARE, GRAD, EACH_GRAD], 6, 1, 15)))?;
    rec.dispatch(k, &buffers, &params(n, 1)?, n.div_ceil(64) as u32)
}

#[cfg(test)]
#[path = "cross_entropy_tests.rs"]
mod tests;
