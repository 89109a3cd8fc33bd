//! Max and average pooling over the last two of four dims, plain and adaptive, with their gradients. Planes (image and
//! channel) are independent, so they are what threads share out.

#[cfg(target_arch = "x86_64")]
mod halves;

use crate::cpu::number::Number;
use crate::cpu::simd::{SendPtr, chunks, grain, twins};
use crate::cpu::view::{View, ViewMut};
use std::mem::MaybeUninit;

/// Windows of a pooling, `[height, width]` each. The number of windows is the output's size, so ceil mode needs no flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolSpec {
    /// Size of a window.
    pub kernel: [usize; 2],
    /// Step between neighbouring windows.
    pub stride: [usize; 2],
    /// Cells added on both sides: minus infinity for max, zero for average.
    pub padding: [usize; 2],
    /// Distance between the cells of a window (max pooling only).
    pub dilation: [usize; 2],
}

/// How an average divides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AvgSpec {
    /// Whether cells of the padding count.
    pub count_include_pad: bool,
    /// A divisor that replaces the count.
    pub divisor_override: Option<i64>,
}

/// One window along one dim: first cell, end, step, and the length that an average counts.
#[derive(Clone, Copy)]
struct Window {
    start: usize,
    end: usize,
    step: usize,
    count: usize,
}

fn windows(n: usize, size: usize, spec: &PoolSpec, i: usize, include_pad: bool) -> Vec<Window> {
    let (k, s, p, d) = (spec.kernel[i], spec.stride[i], spec.padding[i], spec.dilation[i]);
    (0..n)
        .map(|o| {
            let at = o * s;
            // the first cell that is not padding
            let start = if at >= p { at - p } else { (p - at).div_ceil(d) * d + at - p };
            let stop = at + (k - 1) * d + 1;
            let end = stop.saturating_sub(p).min(size);
            let count = if include_pad { (at + k).min(size + 2 * p) - at } else { end.saturating_sub(start) };
            Window { start: start.min(size), end, step: d, count }
        })
        .collect()
}

fn adaptive_windows(n: usize, size: usize) -> Vec<Window> {
    (0..n)
        .map(|o| {
            let (start, end) = (o * size / n, ((o + 1) * size).div_ceil(n));
            Window { start, end, step: 1, count: end - start }
        })
        .collect()
}

/// Calls `f(offset in a, offset in b)` for each plane, in parallel; `cost` is a plane's work.
fn planes(shape: &[usize], a: &[usize], b: &[usize], cost: usize, f: impl Fn(usize, usize, usize) + Sync) {
    let channels = shape[1];
    chunks(shape[0] * channels, grain(cost), |r| {
        for i in r {
            let (n, c) = (i / channels, i % channels);
            f(i, n * a[0] + c * a[1], n * b[0] + c * b[1]);
        }
    });
}

/// Max over each window and the flat position in its plane: the first of equal maxima, a NaN before everything.
pub fn max_pool2d<T: Number>(out: ViewMut<T>, indices: ViewMut<i64>, x: View<T>, spec: PoolSpec) {
    let rows = windows(out.shape[2], x.shape[2], &spec, 0, false);
    let cols = windows(out.shape[3], x.shape[3], &spec, 1, false);
    let halves = spec == PoolSpec { kernel: [2, 2], stride: [2, 2], padding: [0, 0], dilation: [1, 1] }
        && 2 * out.shape[2] <= x.shape[2]
        && 2 * out.shape[3] <= x.shape[3];
    max_windows(out, indices, x, &rows, &cols, halves);
}

/// Max pooling with windows that share the input out evenly among the output's cells.
pub fn adaptive_max_pool2d<T: Number>(out: ViewMut<T>, indices: ViewMut<i64>, x: View<T>) {
    let rows = adaptive_windows(out.shape[2], x.shape[2]);
    let cols = adaptive_windows(out.shape[3], x.shape[3]);
    max_windows(out, indices, x, &rows, &cols, false);
}

fn max_windows<T: Number>(
    out: ViewMut<T>,
    indices: ViewMut<i64>,
    x: View<T>,
    rows: &[Window],
    cols: &[Window],
    halves: bool,
) {
    let width = x.shape[3];
    let (so, si, sx) = (out.strides, indices.strides, x.strides);
    let (to, at, from) = (SendPtr(out.ptr()), SendPtr(indices.ptr()), SendPtr(x.ptr().cast_mut()));
    let fast = halves && sx[3] == 1 && so[3] == 1 && si[3] == 1;
    #[cfg(target_arch = "x86_64")]
    let in_registers = fast
        && T::DTYPE == crate::dtype::DType::F32
        && crate::cpu::simd::wide()
        && i32::try_from(x.shape[2] * width).is_ok();
    let channels = out.shape[1].max(1);
    planes(out.shape, so, sx, x.shape[2] * width, |i, o, s| {
        let index_at = i / channels * si[0] + i % channels * si[1];
        for (y, rw) in rows.iter().enumerate() {
            let (out_row, index_row) = (to.add(o + y * so[2]), at.add(index_at + y * si[2]));
            #[cfg(target_arch = "x86_64")]
            if in_registers {
                let top = from.add(s + 2 * y * sx[2]);
                let (a, b) = (top.get().cast::<f32>().cast_const(), top.add(sx[2]).get().cast::<f32>().cast_const());
                let (base, width) = ((2 * y * width) as i32, width as i32);
                // SAFETY: the CPU has AVX2; the type is float32; both rows hold two cells a window, and positions are small.
                unsafe { halves::max_row(out_row.get().cast(), index_row.get(), a, b, cols.len(), base, width) };
                continue;
            }
            if fast {
                let top = from.add(s + 2 * y * sx[2]);
                max_row_2x2(out_row, index_row, top, top.add(sx[2]), cols.len(), (2 * y * width) as i64, width as i64);
                continue;
            }
            for (c, cw) in cols.iter().enumerate() {
                let (mut best, mut index) = (T::LEAST, (rw.start * width + cw.start) as i64);
                for r in (rw.start..rw.end).step_by(rw.step) {
                    for k in (cw.start..cw.end).step_by(cw.step) {
                        // SAFETY: windows lie in the plane.
                        let v = unsafe { *from.get().add(s + r * sx[2] + k * sx[3]) };
                        if v > best || v.is_nan() {
                            (best, index) = (v, (r * width + k) as i64);
                        }
                    }
                }
                // SAFETY: row and column exist.
                unsafe {
                    out_row.get().add(c * so[3]).write(best);
                    index_row.get().add(c * si[3]).write(index);
                }
            }
        }
    });
}

twins!(
    /// One row of 2x2 windows: selects only, values first, then positions from the number of the cell picked.
    fn max_row_2x2[T: Number][T](
        out: SendPtr<T>, index: SendPtr<i64>, top: SendPtr<T>, bottom: SendPtr<T>, n: usize, base: i64, width: i64
    ) {
        const B: usize = 64;
        let mut codes = [0u32; B];
        let mut x = 0;
        while x < n {
            let count = (n - x).min(B);
            // SAFETY: the two source rows hold 2 n cells, the outputs n, and nothing overlaps.
            let (top, bottom, out, index) = unsafe {
                (
                    std::slice::from_raw_parts(top.get().add(2 * x), 2 * count),
                    std::slice::from_raw_parts(bottom.get().add(2 * x), 2 * count),
                    std::slice::from_raw_parts_mut(out.get().add(x).cast::<MaybeUninit<T>>(), count),
                    std::slice::from_raw_parts_mut(index.get().add(x).cast::<MaybeUninit<i64>>(), count),
                )
            };
            for i in 0..count {
                let (mut best, mut k) = (top[2 * i], 0u32);
                let mut pick = |at: u32, v: T| {
                    let take = (v > best) | v.is_nan();
                    best = if take { v } else { best };
                    k = if take { at } else { k };
                };
                pick(1, top[2 * i + 1]);
                pick(2, bottom[2 * i]);
                pick(3, bottom[2 * i + 1]);
                out[i].write(best);
                codes[i] = k;
            }
            for i in 0..count {
                let down = i64::from(codes[i] >> 1) * width;
                index[i].write(base + 2 * (x + i) as i64 + i64::from(codes[i] & 1) + down);
            }
            x += count;
        }
    }
);

/// The gradient of max pooling: each output's gradient goes to the cell that `indices` names, sums where windows overlap.
pub fn max_pool2d_grad<T: Number>(gx: ViewMut<T>, grad: View<T>, indices: View<i64>) {
    let (height, width) = (gx.shape[2], gx.shape[3]);
    let (rows, cols) = (grad.shape[2], grad.shape[3]);
    let (sx, sg, si) = (gx.strides, grad.strides, indices.strides);
    let (to, from, at) = (SendPtr(gx.ptr()), SendPtr(grad.ptr().cast_mut()), SendPtr(indices.ptr().cast_mut()));
    let channels = gx.shape[1].max(1);
    let flat = sx[3] == 1 && sx[2] == width;
    planes(gx.shape, sx, sg, height * width + rows * cols, |i, x, g| {
        zero_plane(to.add(x), height, width, sx);
        let index_at = i / channels * si[0] + i % channels * si[1];
        for y in 0..rows {
            for c in 0..cols {
                // SAFETY: grad and indices hold the position, and pooling made the index one of the plane.
                unsafe {
                    let index = *at.get().add(index_at + y * si[2] + c * si[3]) as usize;
                    let offset = if flat { index } else { index / width * sx[2] + index % width * sx[3] };
                    let cell = to.get().add(x + offset);
                    *cell = (*cell).add(*from.get().add(g + y * sg[2] + c * sg[3]));
                }
            }
        }
    });
}

fn zero_plane<T: Number>(plane: SendPtr<T>, height: usize, width: usize, strides: &[usize]) {
    if strides[3] == 1 && strides[2] == width {
        // SAFETY: the plane is one run.
        return unsafe { (0..height * width).for_each(|i| plane.get().add(i).write(T::ZERO)) };
    }
    for y in 0..height {
        for c in 0..width {
            // SAFETY: the cell exists.
            unsafe { plane.get().add(y * strides[2] + c * strides[3]).write(T::ZERO) };
        }
    }
}

/// The mean of each window.
pub fn avg_pool2d<T: Number>(out: ViewMut<T>, x: View<T>, spec: PoolSpec, avg: AvgSpec) {
    let rows = windows(out.shape[2], x.shape[2], &spec, 0, avg.count_include_pad);
    let cols = windows(out.shape[3], x.shape[3], &spec, 1, avg.count_include_pad);
    avg_windows(out, x, &rows, &cols, avg.divisor_override);
}

/// The mean of each of the windows that share the input out evenly among the output's cells.
pub fn adaptive_avg_pool2d<T: Number>(out: ViewMut<T>, x: View<T>) {
    let rows = adaptive_windows(out.shape[2], x.shape[2]);
    let cols = adaptive_windows(out.shape[3], x.shape[3]);
    avg_windows(out, x, &rows, &cols, None);
}

/// The gradient of [`avg_pool2d`].
pub fn avg_pool2d_grad<T: Number>(gx: ViewMut<T>, grad: View<T>, spec: PoolSpec, avg: AvgSpec) {
    let rows = windows(grad.shape[2], gx.shape[2], &spec, 0, avg.count_include_pad);
    let cols = windows(grad.shape[3], gx.shape[3], &spec, 1, avg.count_include_pad);
    avg_windows_grad(gx, grad, &rows, &cols, avg.divisor_override);
}

/// The gradient of [`adaptive_avg_pool2d`].
pub fn adaptive_avg_pool2d_grad<T: Number>(gx: ViewMut<T>, grad: View<T>) {
    let rows = adaptive_windows(grad.shape[2], gx.shape[2]);
    let cols = adaptive_windows(grad.shape[3], gx.shape[3]);
    avg_windows_grad(gx, grad, &rows, &cols, None);
}

/// What a window's sum is divided by.
fn divisor<A: Number>(divide: Option<i64>, rows: &Window, cols: &Window) -> A {
    match divide {
        Some(d) if d < 0 => A::ZERO.sub(A::from_usize(d.unsigned_abs() as usize)),
        Some(d) => A::from_usize(d as usize),
        None => A::from_usize(rows.count * cols.count),
    }
}

fn avg_windows<T: Number>(out: ViewMut<T>, x: View<T>, rows: &[Window], cols: &[Window], divide: Option<i64>) {
    let (so, sx) = (out.strides, x.strides);
    let (to, from) = (SendPtr(out.ptr()), SendPtr(x.ptr().cast_mut()));
    planes(out.shape, so, sx, x.shape[2] * x.shape[3], |_, o, s| {
        for (y, rw) in rows.iter().enumerate() {
            for (c, cw) in cols.iter().enumerate() {
                let mut sum = T::Acc::ZERO;
                for r in rw.start..rw.end {
                    for k in cw.start..cw.end {
                        // SAFETY: windows lie in the plane.
                        sum = sum.add(unsafe { *from.get().add(s + r * sx[2] + k * sx[3]) }.acc());
                    }
                }
                // a window of padding alone has the sum 0 and no count
                let empty = rw.start >= rw.end || cw.start >= cw.end;
                let mean = if empty { T::Acc::ZERO } else { sum.div(divisor(divide, rw, cw)) };
                // SAFETY: row and column exist.
                unsafe { to.get().add(o + y * so[2] + c * so[3]).write(T::from_acc(mean)) };
            }
        }
    });
}

fn avg_windows_grad<T: Number>(gx: ViewMut<T>, grad: View<T>, rows: &[Window], cols: &[Window], divide: Option<i64>) {
    let (sx, sg) = (gx.strides, grad.strides);
    let (to, from) = (SendPtr(gx.ptr()), SendPtr(grad.ptr().cast_mut()));
    let cost = 2 * gx.shape[2] * gx.shape[3];
    planes(gx.shape, sx, sg, cost, |_, x, g| {
        zero_plane(to.add(x), gx.shape[2], gx.shape[3], sx);
        for (y, rw) in rows.iter().enumerate() {
            for (c, cw) in cols.iter().enumerate() {
                if rw.start >= rw.end || cw.start >= cw.end {
                    continue;
                }
                // SAFETY: row and column exist.
                let share = unsafe { *from.get().add(g + y * sg[2] + c * sg[3]) }.acc().div(divisor(divide, rw, cw));
                let share = T::from_acc(share);
                for r in rw.start..rw.end {
                    for k in cw.start..cw.end {
                        // SAFETY: windows lie in the plane.
                        unsafe {
                            let cell = to.get().add(x + r * sx[2] + k * sx[3]);
                            *cell = (*cell).add(share);
                        }
                    }
                }
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAN: f32 = f32::NAN;

    fn spec(kernel: usize, stride: usize, padding: usize, dilation: usize) -> PoolSpec {
        PoolSpec { kernel: [kernel; 2], stride: [stride; 2], padding: [padding; 2], dilation: [dilation; 2] }
    }

    fn strides(s: [usize; 4]) -> [usize; 4] {
        [s[1] * s[2] * s[3], s[2] * s[3], s[3], 1]
    }

    /// Values and indices over one plane, by the definition, with padding as cells of minus infinity.
    fn naive_max(x: &[f32], [h, w]: [usize; 2], [oh, ow]: [usize; 2], s: PoolSpec) -> (Vec<f32>, Vec<i64>) {
        let (mut v, mut at) = (Vec::new(), Vec::new());
        for y in 0..oh {
            for c in 0..ow {
                let mut best: Option<(f32, i64)> = None;
                for i in 0..s.kernel[0] {
                    for j in 0..s.kernel[1] {
                        let r = (y * s.stride[0] + i * s.dilation[0]) as i64 - s.padding[0] as i64;
                        let k = (c * s.stride[1] + j * s.dilation[1]) as i64 - s.padding[1] as i64;
                        if r < 0 || k < 0 || r >= h as i64 || k >= w as i64 {
                            continue;
                        }
                        let value = x[r as usize * w + k as usize];
                        if best.is_none_or(|b| value > b.0 || value.is_nan()) {
                            best = Some((value, r * w as i64 + k));
                        }
                    }
                }
                let (value, index) = best.unwrap();
                v.push(value);
                at.push(index);
            }
        }
        (v, at)
    }

    #[test]
    fn max_pooling_agrees_with_the_definition() {
        let cases = [
            ([6, 7], [3, 3], spec(2, 2, 0, 1)),
            ([30, 38], [15, 19], spec(2, 2, 0, 1)),
            ([13, 13], [6, 6], spec(2, 2, 0, 1)),
            ([7, 9], [4, 5], spec(3, 2, 1, 1)),
            ([8, 8], [4, 4], spec(3, 1, 0, 2)),
            ([9, 7], [9, 7], spec(3, 1, 1, 1)),
            ([9, 9], [5, 5], spec(3, 2, 1, 2)),
            // ceil mode: the last window hangs over
            ([5, 5], [3, 3], spec(2, 2, 0, 1)),
        ];
        for ([h, w], [oh, ow], s) in cases {
            let (batch, channels) = (2, 3);
            let total = batch * channels * h * w;
            // few values, so that ties are common; some NaN and infinities
            let x: Vec<f32> = (0..total)
                .map(|i| match i * 7919 % 31 {
                    0 => NAN,
                    1 => f32::NEG_INFINITY,
                    k => (k % 5) as f32,
                })
                .collect();
            let (hx, ho) = ([batch, channels, h, w], [batch, channels, oh, ow]);
            let (sx, so) = (strides(hx), strides(ho));
            let (mut out, mut at) = (vec![0f32; batch * channels * oh * ow], vec![-1i64; batch * channels * oh * ow]);
            let v = View::from_slice(&x, &hx, &sx);
            max_pool2d(ViewMut::from_slice(&mut out, &ho, &so), ViewMut::from_slice(&mut at, &ho, &so), v, s);
            let mut gx = vec![9f32; total];
            let g: Vec<f32> = (0..out.len()).map(|i| i as f32).collect();
            let (vg, vi) = (View::from_slice(&g, &ho, &so), View::from_slice(&at, &ho, &so));
            max_pool2d_grad(ViewMut::from_slice(&mut gx, &hx, &sx), vg, vi);
            for p in 0..batch * channels {
                let (want, want_at) = naive_max(&x[p * h * w..][..h * w], [h, w], [oh, ow], s);
                let range = p * oh * ow..(p + 1) * oh * ow;
                assert_eq!(at[range.clone()], want_at, "{h}x{w} {s:?}");
                for (a, b) in out[range.clone()].iter().zip(&want) {
                    assert!(a == b || (a.is_nan() && b.is_nan()), "{a} for {b}");
                }
                let mut want_g = vec![0f32; h * w];
                want_at.iter().zip(range).for_each(|(&i, o)| want_g[i as usize] += g[o]);
                assert_eq!(gx[p * h * w..][..h * w], want_g);
            }
        }
    }

    #[test]
    fn integers_and_strided_planes_pool() {
        // channels-last input, i64
        let x: Vec<i64> = vec![1, -1, 5, -5, 3, -3, 2, -2];
        let (mut out, mut at) = ([0i64; 2], [0i64; 2]);
        max_pool2d(
            ViewMut::from_slice(&mut out, &[1, 2, 1, 1], &[2, 1, 1, 1]),
            ViewMut::from_slice(&mut at, &[1, 2, 1, 1], &[2, 1, 1, 1]),
            View::from_slice(&x, &[1, 2, 2, 2], &[8, 1, 4, 2]),
            spec(2, 2, 0, 1),
        );
        assert_eq!((out, at), ([5, -1], [1, 0]));
    }

    #[test]
    fn averages_count_as_asked() {
        // 1..9 in a plane of 3x3, windows 2x2, stride 2, padding 1: corners hold one, two, two, four cells
        let x: Vec<f64> = (1..10).map(f64::from).collect();
        let (shape, st, os, ost) = ([1, 1, 3, 3], [9, 9, 3, 1], [1, 1, 2, 2], [4, 4, 2, 1]);
        let run = |avg: AvgSpec| {
            let mut out = [0.0; 4];
            let view = View::from_slice(&x, &shape, &st);
            avg_pool2d(ViewMut::from_slice(&mut out, &os, &ost), view, spec(2, 2, 1, 1), avg);
            let mut gx = [7.0; 9];
            let g = [1.0, 10.0, 100.0, 1000.0];
            let to = ViewMut::from_slice(&mut gx, &shape, &st);
            avg_pool2d_grad(to, View::from_slice(&g, &os, &ost), spec(2, 2, 1, 1), avg);
            (out, gx)
        };
        let (out, gx) = run(AvgSpec { count_include_pad: true, divisor_override: None });
        assert_eq!(out, [0.25, 1.25, 2.75, 7.0]);
        assert_eq!(gx, [0.25, 2.5, 2.5, 25.0, 250.0, 250.0, 25.0, 250.0, 250.0]);
        let (out, gx) = run(AvgSpec { count_include_pad: false, divisor_override: None });
        assert_eq!(out, [1.0, 2.5, 5.5, 7.0]);
        assert_eq!(gx, [1.0, 5.0, 5.0, 50.0, 250.0, 250.0, 50.0, 250.0, 250.0]);
        let (out, _) = run(AvgSpec { count_include_pad: false, divisor_override: Some(2) });
        assert_eq!(out, [0.5, 2.5, 5.5, 14.0]);
    }

    #[test]
    fn adaptive_windows_cover_and_overlap() {
        // 5 cells to 3: [0, 2), [1, 4), [3, 5)
        let x = [1.0f32, 2.0, 3.0, 4.0, 5.0];
        let (mut out, mut at) = ([0f32; 3], [0i64; 3]);
        let (shape, st, os, ost) = ([1, 1, 1, 5], [5, 5, 5, 1], [1, 1, 1, 3], [3, 3, 3, 1]);
        adaptive_avg_pool2d(ViewMut::from_slice(&mut out, &os, &ost), View::from_slice(&x, &shape, &st));
        assert_eq!(out, [1.5, 3.0, 4.5]);
        let mut gx = [0f32; 5];
        let g = [2.0, 3.0, 4.0];
        adaptive_avg_pool2d_grad(ViewMut::from_slice(&mut gx, &shape, &st), View::from_slice(&g, &os, &ost));
        assert_eq!(gx, [1.0, 2.0, 1.0, 3.0, 2.0]);
        let to = ViewMut::from_slice(&mut out, &os, &ost);
        adaptive_max_pool2d(to, ViewMut::from_slice(&mut at, &os, &ost), View::from_slice(&x, &shape, &st));
        assert_eq!((out, at), ([2.0, 4.0, 5.0], [1, 3, 4]));
    }

    #[test]
    #[ignore = "prints times"]
    fn bench_pool() {
        for (hx, ho) in [([64, 6, 30, 30], [64, 6, 15, 15]), ([64, 16, 13, 13], [64, 16, 6, 6])] {
            let (sx, so) = (strides(hx), strides(ho));
            let x: Vec<f32> = (0..hx.iter().product()).map(|i: usize| (i * 7919 % 1000) as f32).collect();
            let (mut out, mut at) = (vec![0f32; ho.iter().product()], vec![0i64; ho.iter().product()]);
            let mut gx = x.clone();
            let (mut fw, mut bw) = (f64::MAX, f64::MAX);
            for _ in 0..500 {
                let t = std::time::Instant::now();
                let (o, i) = (ViewMut::from_slice(&mut out, &ho, &so), ViewMut::from_slice(&mut at, &ho, &so));
                max_pool2d(o, i, View::from_slice(&x, &hx, &sx), spec(2, 2, 0, 1));
                fw = fw.min(t.elapsed().as_secs_f64());
                let t = std::time::Instant::now();
                let (g, i) = (View::from_slice(&out, &ho, &so), View::from_slice(&at, &ho, &so));
                max_pool2d_grad(ViewMut::from_slice(&mut gx, &hx, &sx), g, i);
                bw = bw.min(t.elapsed().as_secs_f64());
            }
            println!("max_pool2d {hx:?}: forward {:.1} us, gradient {:.1} us", fw * 1e6, bw * 1e6);
        }
    }
}
