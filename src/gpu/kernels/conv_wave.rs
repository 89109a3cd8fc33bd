//! Convolution on software adapters where windows move by one pixel along a row: taps share what they load.
//!
//! The gradient for the input is the same convolution, of the output's gradient with the weight turned round, when the stride
//! is 1 both ways. Why there is a core for such adapters: NOTE [Two cores].

use super::conv::{ConvSpec, Sizes};
use super::matmul::{Act, accumulators};
use super::{per, quad, source, word};
use crate::error::Result;
use crate::gpu::{GpuView, KernelSource, Recorder};
use std::fmt::Write;

pub(super) const PIXELS: &str =
    concat!(include_str!("../../../shaders/lib/shifted.wgsl"), include_str!("../../../shaders/lib/pixels.wgsl"));

/// Pixels of a lane.
const OCTET: usize = 8;
const LANES: usize = 8;

/// Output channels of a tile, where there are so many.
fn tile_rows(rows: usize) -> usize {
    if rows <= 8 { 8 } else { 16 }
}

/// How many neighbours are stored at once: 1, 2 or 4, by how rows of the output are aligned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unit(pub usize);

impl Unit {
    fn of(width: usize, plane: usize, offset: usize) -> Unit {
        let fits = |n: usize| width.is_multiple_of(n) && plane.is_multiple_of(n) && offset.is_multiple_of(n);
        Unit(if fits(4) {
            4
        } else if fits(2) {
            2
        } else {
            1
        })
    }

    /// `Unit`, `UNIT` and `unit(v, i)`: the elements i.. of four.
    fn wgsl(self, wide: bool) -> &'static str {
        match (self.0, wide) {
            (4, _) => {
                "alias Unit = Quad;\nconst UNIT: u32 = 4u;\nfn unit(v: vec4<f32>, i: u32) -> Unit { return pack(v); }\n"
            }
            (2, true) => {
                "alias Unit = u64;\nconst UNIT: u32 = 2u;\nfn unit(v: vec4<f32>, i: u32) -> Unit {
    let q = pack(v);\n    return select(q.x, q.y, i != 0u);\n}\n"
            }
            (2, false) => {
                "alias Unit = vec2<f32>;\nconst UNIT: u32 = 2u;\nfn unit(v: vec4<f32>, i: u32) -> Unit { return select(v.xy, v.zw, i != 0u); }\n"
            }
            _ => "alias Unit = f32;\nconst UNIT: u32 = 1u;\nfn unit(v: vec4<f32>, i: u32) -> Unit { return v[i]; }\n",
        }
    }
}

/// Widest window whose taps along a row are written out, and how many taps are where its rows are, too.
const WRITTEN_WIDTH: usize = 7;
const WRITTEN_TAPS: usize = 9;

/// The kernel for so many output channels a tile and a window's height and width.
pub(super) fn wgsl(rows: usize, [kh, kw]: [usize; 2], unit: Unit, wide: bool) -> KernelSource {
    let mut s = accumulators(2 * rows, "next_quad");
    // writing to a String cannot fail
    let _ = writeln!(s, "const ROWS: u32 = {rows}u;");
    s.push_str("fn multiply(a: vec2<f32>, low: vec4<f32>, high: vec4<f32>) {\n");
    let own = rows / 8;
    for r in 0..rows {
        let (own, lane) = (["x", "y"][r % own], r / own);
        let _ = writeln!(s, "    let w{r} = subgroupBroadcast(a.{own}, {lane}u);");
        let _ = writeln!(s, "    c{} += w{r} * low;\n    c{} += w{r} * high;", 2 * r, 2 * r + 1);
    }
    s.push_str("}\nfn window_row(plane: u32, tap: u32, row: u32, y: u32, x: u32, mine: bool) {\n");
    let _ = writeln!(s, "    start_row(plane + y * P.width, x, P.width, {}u, mine && y < P.height);", OCTET - 1 + kw);
    for q in 0..(OCTET + kw - 1).div_ceil(4) {
        let _ = writeln!(s, "    let q{q} = row_quad(x + {}u, P.width);", 4 * q);
    }
    for kx in 0..kw {
        let four = |from: usize| {
            let pixel = |i: usize| format!("q{}.{}", i / 4, ["x", "y", "z", "w"][i % 4]);
            [0, 1, 2, 3].map(|i| pixel(from + i)).join(", ")
        };
        let _ = writeln!(
            s,
            "    multiply(weights(row, tap + {kx}u * P.weight_x), vec4({}), vec4({}));",
            four(kx),
            four(kx + 4)
        );
    }
    s.push_str("}\nfn window(plane: u32, tap: u32, row: u32, top: u32, x: u32, mine: bool) {\n");
    let call = |ky: &str| {
        format!(
            "window_row(plane, tap + {ky} * P.weight_y, row, top * P.stride_h + {ky} * P.dilation_h - P.pad_h, x, mine);\n"
        )
    };
    if kh * kw <= WRITTEN_TAPS {
        for ky in 0..kh {
            s.push_str(&call(&format!("{ky}u")));
        }
    } else {
        let _ = writeln!(s, "    for (var ky = 0u; ky < {kh}u * one; ky++) {{\n{}    }}", call("ky"));
    }
    s.push_str("}\n");
    source(
        &kernel_name(rows, [kh, kw], unit),
        &[quad(wide), unit.wgsl(wide), &s, PIXELS, include_str!("../../../shaders/conv_wave.wgsl")],
        3,
        1,
        30,
    )
}

fn kernel_name(rows: usize, [kh, kw]: [usize; 2], unit: Unit) -> String {
    format!("conv2d octets {rows} {kh}x{kw} by {}", unit.0)
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
    rec.waves()
        && spec.stride[1] == 1
        && spec.dilation[1] == 1
        && (2..=WRITTEN_WIDTH).contains(&s.kernel[1])
        && 2 * width > full
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
        let (tiles_x, tiles_y) = (octets.div_ceil(LANES), self.rows.div_ceil(tile_rows(self.rows)));
        let tiles = tiles_x * tiles_y * s.groups;
        let sample = s.groups * self.channels * self.input[0] * self.input[1];
        let out_sample = s.groups * self.rows * self.output[0] * self.output[1];
        word((x.offset + s.batch * sample).max(out.offset + s.batch * out_sample))?;
        let mut params = vec![word(self.rows)?, word(octets)?, word(row_octets)?];
        params.extend([word(tiles_x)?, word(tiles_y)?, word(tiles)?, act.flag() | u32::from(bias.is_some())]);
        params.extend([word(self.channels)?, word(self.input[0])?, word(self.input[1])?]);
        params.extend([word(self.stride_h)?, word(spec.dilation[0])?]);
        // what is negative wraps, and so do the kernel's sums
        params.extend(self.pad.map(|p| p as u32));
        params.extend([word(self.output[0])?, word(self.output[1])?, word(sample)?, word(out_sample)?]);
        params.extend([word(x.offset)?, word(w.offset)?.wrapping_add(self.weight[0] as u32)]);
        params.extend(self.weight[1..].iter().map(|&n| n as u32));
        params.extend([word(bias.map_or(0, |b| b.offset))?, word(out.offset)?]);
        params.extend([per(row_octets), per(self.output[0])]);
        let wide = rec.wide_loads();
        let rows = tile_rows(self.rows);
        let unit = Unit::of(self.output[1], self.output[0] * self.output[1], out.offset);
        let k = rec.kernel(&kernel_name(rows, s.kernel, unit), || Ok(wgsl(rows, s.kernel, unit, wide)))?;
        let buffers = [x.buffer, w.buffer, bias.map_or(w.buffer, |b| b.buffer), out.buffer];
        rec.dispatch(k, &buffers, &params, tiles as u32)
    }
}
