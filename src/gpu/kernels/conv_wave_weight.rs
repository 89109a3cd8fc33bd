//! The gradient of a convolution for its weight on software adapters: columns of the output are walked down, so that a step has most
//! rows of the input from the step before.
//!
//! Why there is a core for such adapters: NOTE [Two cores].

use super::conv::{ConvSpec, Sizes};
use super::{per, quad, source, word};
use crate::error::Result;
use crate::gpu::{Buffer, GpuView, KernelSource, Recorder};
use std::fmt::Write;

const LANES: usize = 8;

/// Most pixels of a step.
const PIXELS: usize = 8;
/// Most sums of a lane, elements of an input's row in a step, and quads of a window.
const SUMS: usize = 150;
const SPAN: usize = 24;
const WINDOW: usize = 40;

/// What is written out in a kernel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    pub kernel: [usize; 2],
    /// Distances along a row between windows, and between taps.
    pub stride: usize,
    pub dilation: usize,
    /// Rows of the window that the next step has, too.
    pub kept: usize,
    /// Output channels of a lane.
    pub own: usize,
    /// Input channels.
    pub channels: usize,
    pub pixels: usize,
    /// Pixels of a row's last step that are past its end.
    pub spare: usize,
    /// Whether every step begins with a whole quad of the gradient.
    pub aligned: bool,
}

impl Step {
    fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// Elements of an input's row.
    fn span(&self) -> usize {
        (self.pixels - 1) * self.stride + (self.kernel[1] - 1) * self.dilation + 1
    }

    fn name(&self) -> String {
        let Step { kernel: [kh, kw], stride, dilation, kept, own, channels, pixels, spare, aligned } = *self;
        let by = if aligned { 4 } else { 1 };
        format!(
            "conv2d wave weight {kh}x{kw} step {stride} {dilation} keeps {kept}, {own} by {channels}, {pixels} less {spare} by {by}"
        )
    }

    /// The kernel.
    pub fn wgsl(&self, wide: bool) -> KernelSource {
        let Step { own, channels, pixels, .. } = *self;
        let taps = self.taps();
        let mut s = String::new();
        for (name, n) in [
            ("ROWS", LANES * own),
            ("OWN", own),
            ("KEPT", self.kept),
            ("CHANNELS", channels),
            ("PIXELS", pixels),
            ("TAPS", taps),
        ] {
            // writing to a String cannot fail
            let _ = writeln!(s, "const {name}: u32 = {n}u;");
        }
        let mut clear = String::new();
        let sums = (0..own * channels * taps).map(|i| (i / (taps * own), i / own % taps, i % own));
        for name in sums.map(|(c, t, r)| format!("c{c}_{t}_{r}")).chain((0..own).map(|r| format!("b{r}"))) {
            let _ = writeln!(s, "var<private> {name}: f32;");
            let _ = writeln!(clear, "    {name} = 0.0;");
        }
        let _ = writeln!(s, "fn clear() {{\n{clear}}}");
        self.rows(&mut s);
        self.multiply(&mut s);
        self.put(&mut s);
        let text = include_str!("../../../shaders/conv_wave_weight.wgsl");
        source(&self.name(), &[quad(wide), &s, super::conv_wave::PIXELS, text], 2, 1, 26)
    }

    /// The window's rows by quads, and what moves them down.
    fn rows(&self, s: &mut String) {
        let kh = self.kernel[0];
        let quads = self.span().div_ceil(4);
        for (ky, q) in (0..kh * quads).map(|i| (i / quads, i % quads)) {
            let _ = writeln!(s, "var<private> k{ky}_{q}: vec4<f32>;");
        }
        s.push_str("fn next_row(plane: u32, y: u32, x: u32) {\n");
        for (ky, q) in (0..(kh - 1) * quads).map(|i| (i / quads, i % quads)) {
            let _ = writeln!(s, "    k{ky}_{q} = k{}_{q};", ky + 1);
        }
        s.push_str("    let at = plane + y * P.width + x;\n    let place = i32(at) >> 2u;\n");
        for q in 0..=quads {
            let _ = writeln!(s, "    let l{q} = x_quad(place + {q});");
        }
        for q in 0..quads {
            let v = format!("shifted(l{q}, l{}, at)", q + 1);
            let _ = writeln!(s, "    k{}_{q} = inside({v}, x + {}u, P.width, y < P.height);", kh - 1, 4 * q);
        }
        s.push_str("}\n");
        s.push_str("fn next_rows(plane: u32, top: u32, x: u32) {\n");
        for ky in self.kept..kh {
            let _ = writeln!(s, "    next_row(plane, top + {ky}u * P.dilation_h, x);");
        }
        s.push_str("}\n");
    }

    /// A step's products: what a tap gains is summed by itself first.
    fn multiply(&self, s: &mut String) {
        let Step { kernel: [kh, kw], stride, dilation, own, channels, pixels, spare, .. } = *self;
        let item = |v: &str, i: usize| format!("{v}_{}.{}", i / 4, ["x", "y", "z", "w"][i % 4]);
        let sum = |term: &dyn Fn(usize) -> String| (0..pixels).map(term).collect::<Vec<_>>().join(" + ");
        s.push_str("fn multiply(grads: u32, row: u32, left: u32) {\n");
        let quads = pixels.div_ceil(4);
        for r in 0..own {
            let _ = writeln!(s, "    let g{r} = grads + min(row + {r}u, P.rows - 1u) * P.out_h * P.out_w;");
            if self.aligned {
                for q in 0..quads {
                    let _ = writeln!(s, "    var g{r}_{q} = grad_quad(g{r} / 4u + {q}u);");
                }
            } else {
                for q in 0..(pixels + 3).div_ceil(4) {
                    let _ = writeln!(s, "    let l{r}_{q} = grad_quad(g{r} / 4u + {q}u);");
                }
                for q in 0..quads {
                    // where the last quad ends with the last pixel nothing is taken from one after it
                    let next = (q + 1).min((pixels + 3).div_ceil(4) - 1);
                    let _ = writeln!(s, "    var g{r}_{q} = shifted(l{r}_{q}, l{r}_{next}, g{r});");
                }
            }
            for q in (pixels - spare) / 4..quads {
                let _ = writeln!(s, "    g{r}_{q} = inside(g{r}_{q}, left + {}u, P.out_w, true);", 4 * q);
            }
            let _ = writeln!(s, "    b{r} += {};", sum(&|p| item(&format!("g{r}"), p)));
        }
        for p in pixels - spare..pixels {
            let _ = writeln!(s, "    let there{p} = left + {p}u < P.out_w;");
        }
        for (c, ky) in (0..channels * kh).map(|i| (i / kh, i % kh)) {
            s.push_str("    {\n");
            for i in 0..self.span() {
                let _ = writeln!(s, "        let x{i} = subgroupBroadcast({}, {c}u);", item(&format!("k{ky}"), i));
            }
            for kx in 0..kw {
                let at = |p: usize| p * stride + kx * dilation;
                // pixels past the row's end meet no input, which may be infinite
                for p in pixels - spare..pixels {
                    let _ = writeln!(s, "        let x{}_{kx} = select(0.0, x{}, there{p});", at(p), at(p));
                }
                let x = |p: usize| if p < pixels - spare { format!("x{}", at(p)) } else { format!("x{}_{kx}", at(p)) };
                for r in 0..own {
                    let total = sum(&|p| format!("{} * {}", item(&format!("g{r}"), p), x(p)));
                    let _ = writeln!(s, "        c{c}_{}_{r} += {total};", ky * kw + kx);
                }
            }
            s.push_str("    }\n");
        }
        s.push_str("}\n");
    }

    /// The first input channel's sums are stored, and the next ones move up.
    fn put(&self, s: &mut String) {
        let Step { own, channels, .. } = *self;
        let taps = self.taps();
        let mut each = |name: &str, lines: &dyn Fn(&mut String, usize), rest: &str| {
            let _ = writeln!(s, "fn {name}(at: u32, row: u32) {{");
            for r in 0..own {
                let _ = writeln!(s, "    if row + {r}u < P.rows {{");
                lines(s, r);
                s.push_str("    }\n");
            }
            let _ = writeln!(s, "{rest}}}");
        };
        let mut moved = String::new();
        for (c, t) in (0..(channels - 1) * taps).map(|i| (i / taps, i % taps)) {
            for r in 0..own {
                let _ = writeln!(moved, "    c{c}_{t}_{r} = c{}_{t}_{r};", c + 1);
            }
        }
        let weights = |s: &mut String, r: usize| {
            for t in 0..taps {
                let _ = writeln!(s, "        OUT[at + {r}u * P.cols + {t}u] = c0_{t}_{r};");
            }
        };
        each("put", &weights, &moved);
        let bias = |s: &mut String, r: usize| {
            let _ = writeln!(s, "        OUT[at + {r}u * P.cols] = b{r};");
        };
        each("put_bias", &bias, "");
    }
}

/// How the gradient for the weight is cut.
pub(super) struct WeightPlan {
    step: Step,
    input: [usize; 2],
    output: [usize; 2],
    /// Columns of pixels, in all and in a sample.
    strips: usize,
    row_strips: usize,
    /// Parts of the depth: partial sums of every element of the result.
    pub splits: usize,
    /// Columns of a part.
    chunk: usize,
    tiles: [usize; 2],
}

impl WeightPlan {
    /// None where the gradient does not suit: windows that are too large to be written out.
    pub fn new(rec: &Recorder, s: &Sizes, spec: &ConvSpec, grad_at: usize) -> Option<WeightPlan> {
        let taps = s.taps();
        if !rec.waves() || s.inputs == 0 || s.outputs == 0 || taps > SUMS {
            return None;
        }
        let [mut input, mut output] = [s.input, s.output];
        if s.kernel == [1, 1] && input == output && spec.stride == [1, 1] {
            // rows follow each other
            input = [1, input[0] * input[1]];
            output = input;
        }
        // as few steps as a row needs, of the same length
        let row_strips = output[1].div_ceil(PIXELS);
        let pixels = output[1].div_ceil(row_strips);
        let own = (18 / taps).clamp(1, 4).min(s.outputs.div_ceil(LANES));
        let most = (SUMS / (taps * own)).min(LANES);
        let tiles_x = s.inputs.div_ceil(most);
        let step = Step {
            kernel: s.kernel,
            stride: spec.stride[1],
            dilation: spec.dilation[1],
            kept: if spec.dilation[0] == 1 { s.kernel[0].saturating_sub(spec.stride[0]) } else { 0 },
            own,
            channels: s.inputs.div_ceil(tiles_x),
            pixels,
            spare: row_strips * pixels - output[1],
            aligned: [pixels, output[1], grad_at].iter().all(|n| n.is_multiple_of(4)),
        };
        if step.span() > SPAN || s.kernel[0] * step.span().div_ceil(4) > WINDOW {
            return None;
        }
        let tiles = [tiles_x, s.outputs.div_ceil(LANES * own)];
        let strips = s.batch * row_strips;
        // parts enough for many cores, where each has work enough to be worth its sums
        let parts = (32 / (s.groups * tiles[0] * tiles[1])).clamp(1, (strips * output[0]).div_ceil(64).max(1));
        let chunk = strips.div_ceil(parts).max(1);
        let splits = strips.div_ceil(chunk).max(1);
        Some(WeightPlan { step, input, output, strips, row_strips, splits, chunk, tiles })
    }

    /// Partial sums of the gradient for the weight, [group][part][row][column]: as the other core gives them.
    pub fn record(
        &self,
        rec: &mut Recorder,
        s: &Sizes,
        [x, grad]: [&GpuView; 2],
        cols: usize,
        parts: &Buffer,
        spec: &ConvSpec,
    ) -> Result<()> {
        let [tiles_x, tiles_y] = self.tiles;
        let tiles = word(s.groups * tiles_x * tiles_y * self.splits)?;
        let sample = s.groups * s.inputs * s.input[0] * s.input[1];
        let out_sample = s.groups * s.outputs * s.output[0] * s.output[1];
        let last = |v: &GpuView, n: usize| word((v.offset + n).saturating_sub(1) / 4);
        let mut params = vec![word(s.outputs)?, word(s.inputs)?, word(cols)?];
        params.extend([word(self.strips)?, word(self.row_strips)?, word(self.chunk)?, word(self.splits)?]);
        params.extend([word(tiles_x)?, word(tiles_y)?, tiles]);
        for n in self.input.iter().chain(&self.output).chain(&spec.stride) {
            params.push(word(*n)?);
        }
        params.extend([word(spec.dilation[0])?, word(spec.padding[0])?, word(spec.padding[1])?]);
        params.extend([word(sample)?, word(out_sample)?, word(x.offset)?, word(grad.offset)?]);
        params.extend([last(x, s.batch * sample)?, last(grad, s.batch * out_sample)?, per(self.row_strips)]);
        let (step, wide) = (self.step, rec.wide_loads());
        let k = rec.kernel(&step.name(), || Ok(step.wgsl(wide)))?;
        rec.dispatch(k, &[x.buffer, grad.buffer, parts], &params, tiles)
    }
}
