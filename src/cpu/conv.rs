//! 2-D convolution (cross-correlation, as in PyTorch) with stride, padding, dilation and groups: forward and the gradients
//! of input, weight and bias. A 1-D convolution is one with a height of 1.

mod direct;
#[cfg(test)]
mod tests;
mod weight;

use crate::cpu::lanes::{HasLanes, Lanes};
use crate::cpu::memory::HostBuf;
use crate::cpu::simd::{SERIAL, SendPtr, chunks};
use crate::cpu::view::{View, ViewMut};
use direct::{Source, Target, Weights, correlate};

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

/// `out[n, o, y, x] = relu?(bias[o] + sum of weight[o, c, i, j] * x[n, c, ...])`; `x` is NCHW, `w` OIHW, `out` NCHW of the
/// size that the spec gives.
pub fn conv2d<T: HasLanes>(out: ViewMut<T>, x: View<T>, w: View<T>, bias: Option<View<T>>, spec: ConvSpec, relu: bool) {
    let (groups, stride, [dh, dw]) = (spec.groups, spec.stride, spec.dilation);
    let (channels, kh, kw) = (w.shape[1], w.shape[2], w.shape[3]);
    let (rows, cols) = (out.shape[2], out.shape[3]);
    if out.numel() == 0 {
        return;
    }
    let lanes = <T::Wide as Lanes>::N;
    // a pointwise convolution of whole planes takes all rows as one
    let planes = (kh, kw, stride, spec.padding) == (1, 1, [1, 1], [0, 0])
        && (out.strides[2], out.strides[3], x.strides[2]) == (cols, 1, cols)
        && rows * cols >= lanes;
    let padded = Padded::of(
        &x,
        [-(spec.padding[0] as isize), -(spec.padding[1] as isize)],
        [(rows - 1) * stride[0] + (kh.max(1) - 1) * dh + 1, (cols - 1) * stride[1] + (kw.max(1) - 1) * dw + 1],
        stride,
        if cols < lanes && !planes { lanes } else { 0 },
    );
    let offsets = taps(channels, kh, kw, |c, i, j| padded.offset(c, i * dh, j * dw));
    let per_group = w.shape[0] / groups;
    let sw = w.strides;
    let at = taps(channels, kh, kw, |c, i, j| c * sw[1] + i * sw[2] + j * sw[3]);
    let weights = Weights::pack(groups, per_group, SendPtr(w.ptr().cast_mut()), [per_group * sw[0], sw[0]], &at);
    let st = out.strides;
    let target = Target { ptr: SendPtr(out.ptr()), strides: [st[0], st[1], st[2], st[3]], rows, cols };
    let bias = bias.map(|b| (SendPtr(b.ptr().cast_mut()), b.strides[0]));
    let group_in = channels * padded.source.channel;
    correlate(&padded.source, &target, out.shape[0], groups, &weights, &offsets, group_in, bias, relu);
}

/// The gradient of the input (what a transposed convolution computes): `gx` has the input's shape.
pub fn conv2d_input_grad<T: HasLanes>(gx: ViewMut<T>, grad: View<T>, w: View<T>, spec: ConvSpec) {
    let groups = spec.groups;
    let (kh, kw) = (w.shape[2], w.shape[3]);
    let (height, width) = (gx.shape[2], gx.shape[3]);
    if gx.numel() == 0 {
        return;
    }
    let ([sh, sw], [ph, pw], [dh, dw]) = (spec.stride, spec.padding, spec.dilation);
    let lanes = <T::Wide as Lanes>::N;
    // input row r + s * i takes tap k where s divides r + p - d * k; the gradient's row is then i + (r + p - d * k) / s
    let rows = Residues::new(height, kh, sh, ph, dh);
    let cols = Residues::new(width, kw, sw, pw, dw);
    let narrowest = width / sw;
    let padded = Padded::of(
        &grad,
        [rows.low, cols.low],
        [rows.len, cols.len],
        [1, 1],
        if narrowest < lanes { lanes } else { 0 },
    );
    let (out_channels, per_group) = (w.shape[0] / groups, w.shape[1]);
    let (st, wt) = (gx.strides, w.strides);
    for r in 0..sh.min(height) {
        for c in 0..sw.min(width) {
            let (ti, tj) = (&rows.taps[r], &cols.taps[c]);
            let offsets = taps(out_channels, ti.len(), tj.len(), |o, i, j| padded.offset(o, ti[i].1, tj[j].1));
            let from = taps(out_channels, ti.len(), tj.len(), |o, i, j| o * wt[0] + ti[i].0 * wt[2] + tj[j].0 * wt[3]);
            let strides = [out_channels * wt[0], wt[1]];
            let weights = Weights::pack(groups, per_group, SendPtr(w.ptr().cast_mut()), strides, &from);
            let target = Target {
                ptr: SendPtr(gx.ptr()).add(r * st[2] + c * st[3]),
                strides: [st[0], st[1], st[2] * sh, st[3] * sw],
                rows: (height - r).div_ceil(sh),
                cols: (width - c).div_ceil(sw),
            };
            let group_in = out_channels * padded.source.channel;
            correlate(&padded.source, &target, gx.shape[0], groups, &weights, &offsets, group_in, None, false);
        }
    }
}

/// The gradient of the weight: `gw` is OIHW.
pub fn conv2d_weight_grad<T: HasLanes>(gw: ViewMut<T>, grad: View<T>, x: View<T>, spec: ConvSpec) {
    let ([sh, sw], [dh, dw]) = (spec.stride, spec.dilation);
    let (channels, kh, kw) = (gw.shape[1], gw.shape[2], gw.shape[3]);
    let (rows, cols) = (grad.shape[2], grad.shape[3]);
    let per_group = gw.shape[0] / spec.groups;
    let to = SendPtr(gw.ptr());
    let st = gw.strides;
    let put = |g: usize, o: usize, t: usize, sum: T| {
        let at = (g * per_group + o) * st[0] + t / (kh * kw) * st[1] + t / kw % kh * st[2] + t % kw * st[3];
        // SAFETY: the weight exists, and each is put once.
        unsafe { to.get().add(at).write(sum) };
    };
    if grad.numel() == 0 {
        for g in 0..spec.groups {
            for o in 0..per_group {
                (0..channels * kh * kw).for_each(|t| put(g, o, t, T::default()));
            }
        }
        return;
    }
    let padded = Padded::of(
        &x,
        [-(spec.padding[0] as isize), -(spec.padding[1] as isize)],
        [(rows - 1) * sh + (kh.max(1) - 1) * dh + 1, (cols - 1) * sw + (kw.max(1) - 1) * dw + 1],
        [1, 1],
        0,
    );
    let offsets = taps(channels, kh, kw, |c, i, j| padded.offset(c, i * dh, j * dw));
    let group_in = channels * padded.source.channel;
    let source = Source { row: padded.source.row * sh, ..padded.source };
    weight::weight_gradient(&source, &grad, spec.groups, &offsets, group_in, sw, put);
}

/// The gradient of the bias: the sum of `grad` over all dims but 1.
pub fn conv2d_bias_grad<T: HasLanes>(gb: ViewMut<T>, grad: View<T>) {
    let (batch, channels, rows, cols) = (grad.shape[0], grad.shape[1], grad.shape[2], grad.shape[3]);
    let (from, to, st) = (SendPtr(grad.ptr().cast_mut()), SendPtr(gb.ptr()), grad.strides);
    let flat = st[2] == cols * st[3];
    let (rows, cols) = if flat { (1, rows * cols) } else { (rows, cols) };
    chunks(channels, SERIAL / 4 / (batch * rows * cols).max(1), |r| {
        for c in r {
            let plane = from.add(c * st[1]);
            let sum = sum_planes::<T>(plane, batch, st[0], rows, st[2], cols, st[3]);
            // SAFETY: one element a channel.
            unsafe { to.get().add(c * gb.strides[0]).write(sum) };
        }
    });
}

crate::cpu::simd::twins!(
    fn sum_planes[T: HasLanes][T](
        from: SendPtr<T>, batch: usize, batch_stride: usize, rows: usize, row_stride: usize, cols: usize, col_stride: usize
    ) -> T {
        type L<T> = <T as HasLanes>::Plain;
        let n = L::<T>::N;
        let mut total = L::<T>::splat(T::default());
        for b in 0..batch {
            // four sums a plane, so that additions overlap and no sum grows long
            let mut acc = [L::<T>::splat(T::default()); 4];
            for y in 0..rows {
                let row = from.add(b * batch_stride + y * row_stride).get();
                let mut x = 0;
                if col_stride == 1 {
                    while x + 4 * n <= cols {
                        for (i, acc) in acc.iter_mut().enumerate() {
                            // SAFETY: x + 4 n <= cols.
                            *acc = acc.plus(unsafe { L::<T>::load(row.add(x + i * n)) });
                        }
                        x += 4 * n;
                    }
                }
                let mut lanes = [T::default(); 16];
                while x < cols {
                    let count = (cols - x).min(n);
                    lanes.fill(T::default());
                    for (i, lane) in lanes[..count].iter_mut().enumerate() {
                        // SAFETY: x + i < cols.
                        *lane = unsafe { *row.add((x + i) * col_stride) };
                    }
                    // SAFETY: 16 lanes are there.
                    acc[0] = acc[0].plus(unsafe { L::<T>::load(lanes.as_ptr()) });
                    x += count;
                }
            }
            total = total.plus(acc[0].plus(acc[1]).plus(acc[2].plus(acc[3])));
        }
        let mut lanes = [T::default(); 16];
        // SAFETY: 16 lanes are there.
        unsafe { total.store(lanes.as_mut_ptr()) };
        let mut width = n;
        while width > 1 {
            width /= 2;
            for i in 0..width {
                let (a, b) = (L::<T>::splat(lanes[i]), L::<T>::splat(lanes[i + width]));
                let mut sum = [T::default(); 16];
                // SAFETY: as above.
                unsafe { a.plus(b).store(sum.as_mut_ptr()) };
                lanes[i] = sum[0];
            }
        }
        lanes[0]
    }
);

/// Offsets of all taps, channels outermost.
fn taps(channels: usize, kh: usize, kw: usize, at: impl Fn(usize, usize, usize) -> usize) -> Vec<usize> {
    let mut list = Vec::with_capacity(channels * kh * kw);
    for c in 0..channels {
        for i in 0..kh {
            for j in 0..kw {
                list.push(at(c, i, j));
            }
        }
    }
    list
}

/// Which taps an input row (or column) takes, by its remainder modulo the stride.
struct Residues {
    /// For each remainder: tap and its row in the padded gradient for the first input row of the class.
    taps: Vec<Vec<(usize, usize)>>,
    /// The gradient row that the padded copy begins with.
    low: isize,
    /// Rows in the padded copy.
    len: usize,
}

impl Residues {
    fn new(size: usize, kernel: usize, stride: usize, padding: usize, dilation: usize) -> Residues {
        let reach = |r: usize, k: usize| {
            let at = (r + padding) as isize - (k * dilation) as isize;
            (at.rem_euclid(stride as isize) == 0).then_some(at.div_euclid(stride as isize))
        };
        let classes = stride.min(size);
        let found: Vec<Vec<(usize, isize)>> =
            (0..classes).map(|r| (0..kernel).filter_map(|k| Some((k, reach(r, k)?))).collect()).collect();
        let low = found.iter().flatten().map(|t| t.1).min().unwrap_or(0);
        let high = (0..classes)
            .flat_map(|r| found[r].iter().map(move |t| t.1 + (size - r).div_ceil(stride) as isize))
            .max()
            .unwrap_or(low + size as isize);
        let taps = found.iter().map(|l| l.iter().map(|&(k, at)| (k, (at - low) as usize)).collect()).collect();
        Residues { taps, low, len: ((high - low) as usize).max(size.div_ceil(stride)) }
    }
}

/// The source with its zeros around it, split by phase of the stride: `[n][c][row phase][column phase][row][column]`.
struct Padded<T> {
    source: Source<T>,
    stride: [usize; 2],
    /// Elements from one row phase and one column phase to the next.
    phase: [usize; 2],
    _buf: Option<HostBuf>,
}

impl<T: HasLanes> Padded<T> {
    /// Rows `low[0]..low[0] + len[0]` and columns alike; a copy only where there is something to add or rearrange, or where
    /// `slack` elements must be readable behind the end.
    fn of(x: &View<T>, low: [isize; 2], len: [usize; 2], stride: [usize; 2], slack: usize) -> Padded<T> {
        let (st, [n, c, h, w]) = (x.strides, [x.shape[0], x.shape[1], x.shape[2], x.shape[3]]);
        let inside = |i: usize, size: usize| low[i] >= 0 && low[i] as usize + len[i] <= size;
        let whole = inside(0, h) && inside(1, w);
        let unit = st[3] == 1 || w == 1;
        if whole && unit && stride[1] == 1 && slack == 0 {
            // rows are addressed by stride, so a row stride needs no copy
            let ptr = SendPtr(x.ptr().cast_mut()).add(low[0].max(0) as usize * st[2] + low[1].max(0) as usize);
            let source = Source { ptr, batch: st[0], channel: st[1], row: st[2] * stride[0], slack: 0 };
            return Padded { source, stride: [1, 1], phase: [st[2], 0], _buf: None };
        }
        let (rows, cols) = (len[0].div_ceil(stride[0]), len[1].div_ceil(stride[1]));
        let plane = rows * cols * stride[0] * stride[1];
        let total = n * c * plane;
        let buf = HostBuf::alloc((total + slack) * size_of::<T>());
        let to = SendPtr(buf.ptr().cast::<T>());
        for i in 0..slack {
            // SAFETY: the buffer holds total + slack elements.
            unsafe { to.get().add(total + i).write(T::default()) };
        }
        let from = SendPtr(x.ptr().cast_mut());
        chunks(n * c, SERIAL / plane.max(1), |r| {
            for i in r {
                let src = from.add(i / c * st[0] + i % c * st[1]);
                let mut dst = to.add(i * plane);
                for row_phase in 0..stride[0] {
                    for col_phase in 0..stride[1] {
                        for row in 0..rows {
                            let y = low[0] + (row * stride[0] + row_phase) as isize;
                            let x0 = low[1] + col_phase as isize;
                            let line = (y >= 0 && y < h as isize).then(|| src.add(y as usize * st[2]));
                            // SAFETY: the row lies in the plane; reads stay inside the source's row.
                            unsafe { copy_row(dst, cols, line, x0, stride[1], w, st[3]) };
                            dst = dst.add(cols);
                        }
                    }
                }
            }
        });
        let source = Source { ptr: to, batch: c * plane, channel: plane, row: cols, slack };
        Padded { source, stride, phase: [stride[1] * rows * cols, rows * cols], _buf: Some(buf) }
    }

    /// Where channel `c` of padded row `y` and column `x` lies, relative to the output position it is a tap of.
    fn offset(&self, c: usize, y: usize, x: usize) -> usize {
        let [sh, sw] = self.stride;
        if self._buf.is_none() {
            return c * self.source.channel + y * self.phase[0] + x;
        }
        c * self.source.channel + y % sh * self.phase[0] + x % sw * self.phase[1] + y / sh * self.source.row + x / sw
    }
}

/// Fills `cols` elements from columns `x0, x0 + step, ..` of a row of `w`, zeros where there are none.
///
/// # Safety
/// `dst` takes `cols` elements; `line` holds `w` elements `stride` apart.
unsafe fn copy_row<T: HasLanes>(
    dst: SendPtr<T>,
    cols: usize,
    line: Option<SendPtr<T>>,
    x0: isize,
    step: usize,
    w: usize,
    stride: usize,
) {
    let step_i = step as isize;
    let Some(line) = line else {
        // SAFETY: the caller's promise.
        return unsafe { (0..cols).for_each(|i| dst.get().add(i).write(T::default())) };
    };
    let begin = if x0 < 0 { ((-x0 + step_i - 1) / step_i) as usize } else { 0 }.min(cols);
    let end = if x0 < w as isize { ((w as isize - x0 + step_i - 1) / step_i) as usize } else { 0 }.min(cols).max(begin);
    // SAFETY: between begin and end the source column is in 0..w.
    unsafe {
        (0..begin).for_each(|i| dst.get().add(i).write(T::default()));
        if end > begin {
            let first = (x0 + (begin as isize) * step_i) as usize;
            let src = line.add(first * stride).get();
            if step * stride == 1 {
                std::ptr::copy_nonoverlapping(src, dst.get().add(begin), end - begin);
            } else {
                (begin..end).for_each(|i| dst.get().add(i).write(*src.add((i - begin) * step * stride)));
            }
        }
        (end..cols).for_each(|i| dst.get().add(i).write(T::default()));
    }
}
