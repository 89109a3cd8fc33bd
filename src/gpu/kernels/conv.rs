//! 2-d convolution and its gradients, as matrix products whose operands are read through the window: no patches are stored.
//!
//! Every tensor is contiguous, NCHW or OIHW, at any offset. The cores are those of the matrix product.

use super::conv_wave_weight::WeightPlan;
use super::matmul::{Act, Core, Operands, Plan, Sum, quads, sum_parts};
use super::matmul_pick::conv_core;
use super::{conv_wave, need_dense, need_f32, per, source, word};
use crate::error::{Result, ensure};
use crate::gpu::{Buffer, GpuView, Recorder};

/// How a convolution moves: `[height, width]` each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvSpec {
    /// Step between neighbouring windows.
    pub stride: [usize; 2],
    /// Zeros added on both sides.
    pub padding: [usize; 2],
    /// Distance between the taps of a window.
    pub dilation: [usize; 2],
    /// Groups of channels that do not see each other.
    pub groups: usize,
}

/// The sizes of one convolution, checked.
pub(super) struct Sizes {
    pub batch: usize,
    pub groups: usize,
    /// Channels of a group.
    pub inputs: usize,
    pub outputs: usize,
    pub input: [usize; 2],
    pub kernel: [usize; 2],
    pub output: [usize; 2],
}

impl Sizes {
    fn new(op: &str, x: &[usize], w: &[usize], out: &[usize], spec: &ConvSpec) -> Result<Sizes> {
        let fits = x.len() == 4
            && w.len() == 4
            && out.len() == 4
            && spec.groups > 0
            && spec.stride.iter().chain(&spec.dilation).all(|&n| n > 0)
            && x[0] == out[0]
            && x[1] == w[1] * spec.groups
            && w[0] == out[1]
            && w[0].is_multiple_of(spec.groups)
            && (0..2).all(|d| {
                let room = x[2 + d] + 2 * spec.padding[d];
                let window = spec.dilation[d] * w[2 + d].saturating_sub(1) + 1;
                w[2 + d] > 0 && room >= window && (room - window) / spec.stride[d] + 1 == out[2 + d]
            });
        ensure!(fits, Runtime, "{op} kernel: {x:?} with weight {w:?} and {spec:?} does not make {out:?}");
        Ok(Sizes {
            batch: x[0],
            groups: spec.groups,
            inputs: w[1],
            outputs: w[0] / spec.groups,
            input: [x[2], x[3]],
            kernel: [w[2], w[3]],
            output: [out[2], out[3]],
        })
    }

    pub fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    fn plane(&self) -> usize {
        self.input[0] * self.input[1]
    }

    fn out_plane(&self) -> usize {
        self.output[0] * self.output[1]
    }

    /// stride, padding and dilation as parameters
    fn moves(spec: &ConvSpec) -> Result<[u32; 6]> {
        let [s, p, d] = [spec.stride, spec.padding, spec.dilation];
        Ok([word(s[0])?, word(s[1])?, word(p[0])?, word(p[1])?, word(d[0])?, word(d[1])?])
    }
}

const FORWARD: Operands = Operands {
    base: include_str!("../../../shaders/conv.wgsl"),
    quads: include_str!("../../../shaders/conv_quads.wgsl"),
    blocks: include_str!("../../../shaders/conv_blocks.wgsl"),
    read: 4,
};
const INPUT: Operands = Operands {
    base: include_str!("../../../shaders/conv_input.wgsl"),
    quads: include_str!("../../../shaders/conv_input_quads.wgsl"),
    blocks: include_str!("../../../shaders/conv_input_blocks.wgsl"),
    read: 2,
};
const WEIGHT: Operands = Operands {
    base: include_str!("../../../shaders/conv_weight.wgsl"),
    quads: include_str!("../../../shaders/conv_weight_quads.wgsl"),
    blocks: include_str!("../../../shaders/conv_weight_blocks.wgsl"),
    read: 3,
};
const SUM: &str = include_str!("../../../shaders/conv_sum.wgsl");

/// `out = act(conv2d(x, w) + bias)`: one dispatch, or two where tiles are few and share out the depth.
pub fn conv2d(
    rec: &mut Recorder,
    x: &GpuView,
    w: &GpuView,
    bias: Option<&GpuView>,
    out: &GpuView,
    spec: &ConvSpec,
    act: Act,
) -> Result<()> {
    conv2d_on(rec, None, x, w, bias, out, spec, act)
}

#[allow(clippy::too_many_arguments, reason = "the public function's and the core")]
fn conv2d_on(
    rec: &mut Recorder,
    core: Option<Core>,
    x: &GpuView,
    w: &GpuView,
    bias: Option<&GpuView>,
    out: &GpuView,
    spec: &ConvSpec,
    act: Act,
) -> Result<()> {
    let all: Vec<&GpuView> = [x, w, out].into_iter().chain(bias).collect();
    need_f32("conv2d", &all)?;
    need_dense("conv2d", &all)?;
    let s = Sizes::new("conv2d", x.shape, w.shape, out.shape, spec)?;
    ensure!(bias.is_none_or(|b| b.shape == [out.shape[1]]), Runtime, "conv2d kernel: one bias for each output channel");
    if out.numel() == 0 {
        return Ok(());
    }
    if core.is_none() && conv_wave::forward(rec, &s, [x, w, out], bias, spec, act)? {
        return Ok(());
    }
    let core = core.unwrap_or_else(|| conv_core(rec, [s.outputs, s.batch * s.out_plane()], s.groups));
    let depth = s.inputs * s.taps();
    let plan = plan(core, [s.outputs, s.batch * s.out_plane(), depth], s.groups)?;
    let parts = Parts::new(rec, &plan, s.groups * s.outputs * s.out_plane(), s.batch)?;
    let (_, single) = quads(w.offset, [s.outputs, depth], [depth, 1], &[s.outputs * depth]);
    let sample = s.groups * s.inputs * s.plane();
    let out_sample = s.groups * s.outputs * s.out_plane();
    word(x.offset + s.batch * sample)?;
    let mut params = plan.head.to_vec();
    // a quad that lies across the depth is no quad here
    params.push(if depth.is_multiple_of(4) { single } else { 4 });
    params.push(if parts.is_some() { 0 } else { act.flag() | u32::from(bias.is_some()) });
    params.extend([word(s.input[0])?, word(s.input[1])?, word(s.kernel[0])?, word(s.kernel[1])?]);
    params.extend(Sizes::moves(spec)?);
    params.extend([word(s.output[1])?, word(s.out_plane())?]);
    let (to, first, step, part) = Parts::target(&parts, out, out_sample);
    params.extend([word(sample)?, word(s.inputs * s.plane())?, word(step)?]);
    params.extend([word(x.offset)?, word(w.offset)?, word(bias.map_or(0, |b| b.offset))?, word(first)?]);
    params.extend([per(s.taps()), per(s.kernel[1]), per(s.output[1]), per(s.out_plane()), word(part)?]);
    let k = core.kernel(rec, "conv2d", &FORWARD, params.len())?;
    let buffers = [x.buffer, w.buffer, w.buffer, bias.map_or(w.buffer, |b| b.buffer), to];
    rec.dispatch(k, &buffers, &params, plan.tiles as u32)?;
    match &parts {
        Some(parts) => parts.sum(rec, bias, act, out, s.out_plane()),
        None => Ok(()),
    }
}

/// How a convolution or its input's gradient is cut. The wave takes the depth in one go: its adapters have few cores to fill.
fn plan(core: Core, sizes: [usize; 3], groups: usize) -> Result<Plan> {
    let mut plan = Plan::new(core, sizes, groups)?;
    if let Core::Wave(_) = core {
        plan.whole();
    }
    Ok(plan)
}

/// Partial results of a convolution whose depth is split, where the result alone gives too few tiles: few pixels and many channels. They lie
/// `[sample][split]`, each as a sample of the result does.
struct Parts {
    buffer: Buffer,
    splits: usize,
    sample: usize,
    batch: usize,
}

impl Parts {
    fn new(rec: &mut Recorder, plan: &Plan, sample: usize, batch: usize) -> Result<Option<Parts>> {
        if plan.splits == 1 {
            return Ok(None);
        }
        word(plan.splits * sample * batch)?;
        let buffer = rec.alloc(4 * (plan.splits * sample * batch) as u64)?;
        Ok(Some(Parts { buffer, splits: plan.splits, sample, batch }))
    }

    /// Where the first pass writes: the buffer, its first element, elements between samples, and between parts.
    fn target<'a>(parts: &'a Option<Parts>, out: &GpuView<'a>, sample: usize) -> (&'a Buffer, usize, usize, usize) {
        match parts {
            Some(p) => (&p.buffer, 0, p.splits * sample, sample),
            None => (out.buffer, out.offset, sample, 0),
        }
    }

    /// The second pass: the parts in order, then what follows.
    fn sum(&self, rec: &mut Recorder, bias: Option<&GpuView>, act: Act, out: &GpuView, plane: usize) -> Result<()> {
        let sum = Sum {
            parts: &self.buffer,
            splits: self.splits,
            size: self.sample,
            cols: plane,
            total: self.batch * self.sample,
            flags: act.flag() | u32::from(bias.is_some()),
            alpha: 1.0,
            beta: 1.0,
            // one bias for all pixels of a channel
            bias: match bias {
                Some(b) => (b.buffer, [word(b.offset)?, 1, 0, 0, 0, 0]),
                None => (&self.buffer, [0; 6]),
            },
            batch: [1, 1],
        };
        sum_parts(rec, &sum, out.buffer, out.offset)
    }
}

/// The gradient of the input from the output's, cut as `conv2d`; `out` has the input's shape.
pub fn conv2d_input_grad(
    rec: &mut Recorder,
    grad: &GpuView,
    w: &GpuView,
    out: &GpuView,
    spec: &ConvSpec,
) -> Result<()> {
    conv2d_input_grad_on(rec, None, grad, w, out, spec)
}

fn conv2d_input_grad_on(
    rec: &mut Recorder,
    core: Option<Core>,
    grad: &GpuView,
    w: &GpuView,
    out: &GpuView,
    spec: &ConvSpec,
) -> Result<()> {
    need_f32("conv2d backward", &[grad, w, out])?;
    need_dense("conv2d backward", &[grad, w, out])?;
    let s = Sizes::new("conv2d backward", out.shape, w.shape, grad.shape, spec)?;
    if out.numel() == 0 {
        return Ok(());
    }
    if core.is_none() && conv_wave::input_grad(rec, &s, [grad, w, out], spec)? {
        return Ok(());
    }
    let core = core.unwrap_or_else(|| conv_core(rec, [s.inputs, s.batch * s.plane()], s.groups));
    let depth = s.outputs * s.taps();
    let plan = plan(core, [s.inputs, s.batch * s.plane(), depth], s.groups)?;
    let parts = Parts::new(rec, &plan, s.groups * s.inputs * s.plane(), s.batch)?;
    let sample = s.groups * s.inputs * s.plane();
    let out_sample = s.groups * s.outputs * s.out_plane();
    word(grad.offset + s.batch * out_sample)?;
    let mut params = plan.head.to_vec();
    params.extend([word(s.input[1])?, word(s.plane())?, word(s.kernel[1])?, word(s.taps())?]);
    params.extend(Sizes::moves(spec)?);
    params.extend([word(s.output[0])?, word(s.output[1])?, word(s.outputs)?]);
    let (to, first, step, part) = Parts::target(&parts, out, sample);
    params.extend([word(out_sample)?, word(step)?]);
    params.extend([word(grad.offset)?, word(w.offset)?, word(first)?]);
    params.extend([per(s.input[1]), per(s.plane()), per(s.kernel[1])]);
    params.extend([per(spec.stride[0]), per(spec.stride[1]), per(s.outputs), word(part)?]);
    let k = core.kernel(rec, "conv2d input gradient", &INPUT, params.len())?;
    rec.dispatch(k, &[grad.buffer, w.buffer, to], &params, plan.tiles as u32)?;
    match &parts {
        Some(parts) => parts.sum(rec, None, Act::None, out, s.plane()),
        None => Ok(()),
    }
}

/// The gradient of the weight, and of the bias where asked (it costs next to nothing here), from the output's: partial sums
/// over parts of the batch, then their sum, always in the same order.
pub fn conv2d_weight_grad(
    rec: &mut Recorder,
    x: &GpuView,
    grad: &GpuView,
    weight: &GpuView,
    bias: Option<&GpuView>,
    spec: &ConvSpec,
) -> Result<()> {
    conv2d_weight_grad_on(rec, None, x, grad, weight, bias, spec)
}

fn conv2d_weight_grad_on(
    rec: &mut Recorder,
    core: Option<Core>,
    x: &GpuView,
    grad: &GpuView,
    weight: &GpuView,
    bias: Option<&GpuView>,
    spec: &ConvSpec,
) -> Result<()> {
    let all: Vec<&GpuView> = [x, grad, weight].into_iter().chain(bias).collect();
    need_f32("conv2d backward", &all)?;
    need_dense("conv2d backward", &all)?;
    let s = Sizes::new("conv2d backward", x.shape, weight.shape, grad.shape, spec)?;
    ensure!(
        bias.is_none_or(|b| b.shape == [grad.shape[1]]),
        Runtime,
        "conv2d kernel: one bias for each output channel"
    );
    let wave = if core.is_none() { WeightPlan::new(rec, &s, spec, grad.offset) } else { None };
    let weights = s.inputs * s.taps();
    let cols = weights + usize::from(bias.is_some());
    let core = core.unwrap_or_else(|| conv_core(rec, [s.outputs, cols], s.groups));
    let total = s.groups * s.outputs * cols;
    if total == 0 {
        return Ok(());
    }
    let sample = s.groups * s.inputs * s.plane();
    let out_sample = s.groups * s.outputs * s.out_plane();
    word((x.offset + s.batch * sample).max(grad.offset + s.batch * out_sample))?;
    let splits;
    let parts;
    if let Some(wave) = wave {
        splits = wave.splits;
        parts = rec.alloc(4 * (splits * total) as u64)?;
        wave.record(rec, &s, [x, grad], cols, &parts, spec)?;
    } else {
        let plan = Plan::new(core, [s.outputs, cols, s.batch * s.out_plane()], s.groups)?;
        splits = plan.splits;
        parts = rec.alloc(4 * (splits * total) as u64)?;
        let whole = s.out_plane().is_multiple_of(4) && grad.offset.is_multiple_of(4);
        let mut params = plan.head.to_vec();
        params.extend([if whole { 0 } else { 4 }, word(weights)?]);
        params.extend([word(s.input[0])?, word(s.input[1])?, word(s.kernel[0])?, word(s.kernel[1])?]);
        params.extend(Sizes::moves(spec)?);
        params.extend([word(s.output[1])?, word(s.out_plane())?]);
        params.extend([word(sample)?, word(s.inputs * s.plane())?, word(out_sample)?]);
        params.extend([word(x.offset)?, word(grad.offset)?]);
        params.extend([per(s.taps()), per(s.kernel[1]), per(s.output[1]), per(s.out_plane())]);
        let k = core.kernel(rec, "conv2d weight gradient", &WEIGHT, params.len())?;
        rec.dispatch(k, &[x.buffer, grad.buffer, grad.buffer, &parts], &params, plan.tiles as u32)?;
    }
    let k = rec.kernel("conv2d sum", || Ok(source("conv2d sum", &[SUM], 1, 2, 7)))?;
    let params = [
        word(total)?,
        word(splits)?,
        word(s.outputs * cols)?,
        word(cols)?,
        word(weights)?,
        word(weight.offset)?,
        word(bias.map_or(0, |b| b.offset))?,
    ];
    // where no bias is asked for, something has to be bound that is written nowhere else
    let unused = if bias.is_none() { Some(rec.alloc(4)?) } else { None };
    let bias = bias.map_or_else(|| unused.as_ref().expect("made above"), |b| b.buffer);
    rec.dispatch(k, &[&parts, weight.buffer, bias], &params, total.div_ceil(64) as u32)
}

#[cfg(test)]
#[path = "conv_tests.rs"]
pub(super) mod tests;
