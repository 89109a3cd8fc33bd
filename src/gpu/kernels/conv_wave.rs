//! Convolution on software adapters where windows move by one pixel along a row: taps share what they load.
//!
//! The gradient for the input is the same convolution, of the output's gradient with the weight turned round, when the stride
//! is 1 both ways. Why there is a core for such adapters: NOTE [Two cores].

use super::conv::{ConvSpec, Sizes};
use super::matmul::{Act, accumulators};
use super::{per, source, word};
use crate::error::Result;
use crate::gpu::{GpuView, KernelSource, Recorder};
use std::fmt::Write;

/// Output channels and pixels of a lane, and of a tile.
const ROWS: usize = 16;
const OCTET: usize = 8;
const LANES: usize = 8;

pub(super) fn wgsl() -> KernelSource {
    let mut s = accumulators(2 * ROWS, "next_quad");
    s.push_str("fn multiply(a: vec2<f32>, low: vec4<f32>, high: vec4<f32>) {\n");
    for r in 0..ROWS {
        let (own, lane) = (["x", "y"][r % 2], r / 2);
        // writing to a String cannot fail
        let _ = writeln!(s, "    let w{r} = subgroupBroadcast(a.{own}, {lane}u);");
        let _ = writeln!(s, "    c{} += w{r} * low;\n    c{} += w{r} * high;", 2 * r, 2 * r + 1);
    }
    s.push_str("}\n");
    source("conv2d wave", &[&s, include_str!("../../../shaders/conv_wave.wgsl")], 3, 1, 32)
}

/// What moves over what, in the kernel's terms.
struct Walk {
    /// Channels that are written and read, of a group.
    rows: usize,
    channels: usize,
    input: [usize; 2],
    output: [usize; 2],
    stride_h: usize,
    /// May be negative, where a gradient's window starts inside.
    pad: [isize; 2],
    /// First tap, then strides of group, row, channel, y and x.
    weight: [isize; 6],
}

/// Whether a row of outputs fills octets well enough, and windows move by one.
fn suits(rec: &Recorder, s: &Sizes, spec: &ConvSpec, width: usize) -> bool {
    let full = width.div_ceil(OCTET) * OCTET;
    rec.subgroup_size() == 8 && spec.stride[1] == 1 && spec.dilation[1] == 1 && s.kernel[1] > 1 && 2 * width > full
}

/// The forward pass; false where it does not suit.
pub(super) fn forward(
    rec: &mut Recorder,
    s: &Sizes,
    [x, w, out]: [&GpuView; 3],
    bias: Option<&GpuView>,
    spec: &ConvSpec,
    act: Act,
) -> Result<bool> {
    if !suits(rec, s, spec, s.output[1]) {
        return Ok(false);
    }
    let [taps, kw, inputs] = [s.taps(), s.kernel[1], s.inputs].map(|n| n as isize);
    let walk = Walk {
        rows: s.outputs,
        channels: s.inputs,
        input: s.input,
        output: s.output,
        stride_h: spec.stride[0],
        pad: spec.padding.map(|p| p as isize),
        weight: [0, s.outputs as isize * inputs * taps, inputs * taps, taps, kw, 1],
    };
    walk.record(rec, s, [x, w, out], bias, spec, act)?;
    Ok(true)
}

/// The gradient for the input; false where it does not suit.
pub(super) fn input_grad(
    rec: &mut Recorder,
    s: &Sizes,
    [grad, w, out]: [&GpuView; 3],
    spec: &ConvSpec,
) -> Result<bool> {
    if spec.stride[0] != 1 || !suits(rec, s, spec, s.input[1]) {
        return Ok(false);
    }
    let [taps, kw, inputs] = [s.taps(), s.kernel[1], s.inputs].map(|n| n as isize);
    let reach = |d: usize| (spec.dilation[d] * (s.kernel[d] - 1)) as isize;
    let walk = Walk {
        rows: s.inputs,
        channels: s.outputs,
        input: s.output,
        output: s.input,
        stride_h: 1,
        pad: [0, 1].map(|d| reach(d) - spec.padding[d] as isize),
        weight: [taps - 1, s.outputs as isize * inputs * taps, taps, inputs * taps, -kw, -1],
    };
    walk.record(rec, s, [grad, w, out], None, spec, Act::None)?;
    Ok(true)
}

impl Walk {
    fn record(
        &self,
        rec: &mut Recorder,
        s: &Sizes,
        [x, w, out]: [&GpuView; 3],
        bias: Option<&GpuView>,
        spec: &ConvSpec,
        act: Act,
    ) -> Result<()> {
        let row_octets = self.output[1].div_ceil(OCTET);
        let octets = s.batch * self.output[0] * row_octets;
        let (tiles_x, tiles_y) = (octets.div_ceil(LANES), self.rows.div_ceil(ROWS));
        let tiles = tiles_x * tiles_y * s.groups;
        let sample = s.groups * self.channels * self.input[0] * self.input[1];
        let out_sample = s.groups * self.rows * self.output[0] * self.output[1];
        word((x.offset + s.batch * sample).max(out.offset + s.batch * out_sample))?;
        let mut params = vec![word(self.rows)?, word(octets)?, word(row_octets)?];
        params.extend([word(tiles_x)?, word(tiles_y)?, word(tiles)?, 1, act.flag() | u32::from(bias.is_some())]);
        params.extend([word(self.channels)?, word(self.input[0])?, word(self.input[1])?]);
        params.extend([word(s.kernel[0])?, word(s.kernel[1])?, word(self.stride_h)?, word(spec.dilation[0])?]);
        // what is negative wraps, and so do the kernel's sums
        params.extend(self.pad.map(|p| p as u32));
        params.extend([word(self.output[0])?, word(self.output[1])?, word(sample)?, word(out_sample)?]);
        params.extend([word(x.offset)?, word(w.offset)?.wrapping_add(self.weight[0] as u32)]);
        params.extend(self.weight[1..].iter().map(|&n| n as u32));
        params.extend([word(bias.map_or(0, |b| b.offset))?, word(out.offset)?]);
        params.extend([per(row_octets), per(self.output[0])]);
        let k = rec.kernel("conv2d wave", || Ok(wgsl()))?;
        let buffers = [x.buffer, w.buffer, bias.map_or(w.buffer, |b| b.buffer), out.buffer];
        rec.dispatch(k, &buffers, &params, tiles as u32)
    }
}
