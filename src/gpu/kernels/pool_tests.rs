//! Pooling against loops in f64: overlapping, dilated, padded windows, NaN, infinities and ties.

use super::*;
use crate::gpu::Gpu;
use crate::gpu::kernels::testing::{Host, close, indices, time};
use crate::gpu::testing::{device, down};

/// The cells of a window, in order, without its padding.
fn cells(spec: &PoolSpec, size: [usize; 2], out: [usize; 2]) -> Vec<[usize; 2]> {
    let place = |d: usize, k: usize| {
        let at = (out[d] * spec.stride[d] + k * spec.dilation[d]).checked_sub(spec.padding[d])?;
        (at < size[d]).then_some(at)
    };
    let mut cells = Vec::new();
    for ky in 0..spec.kernel[0] {
        for kx in 0..spec.kernel[1] {
            if let (Some(y), Some(x)) = (place(0, ky), place(1, kx)) {
                cells.push([y, x]);
            }
        }
    }
    cells
}

fn max_case(g: &Gpu, x: &Host, out: [usize; 2], spec: &PoolSpec) {
    let (h, w) = (x.shape[2], x.shape[3]);
    let shape = [x.shape[0], x.shape[1], out[0], out[1]];
    let n = shape.iter().product();
    let y = Host::dense(g, vec![5.0f32; n], &shape);
    let places = Host::dense(g, vec![-1i64; n], &shape);
    let grad = Host::laid(g, &shape, &[0, 1, 2, 3], 3, 7);
    let gx = Host::dense(g, vec![5.0f32; x.shape.iter().product()], &x.shape);
    {
        let rec = &mut g.lock();
        max_pool2d(rec, &x.view(), &y.view(), &places.i64(), spec).unwrap();
        max_pool2d_grad(rec, &grad.view(), &places.i64(), &gx.view(), spec).unwrap();
    }
    let (mut values, mut wanted, mut back) = (Vec::new(), Vec::new(), vec![0f64; gx.data.len()]);
    for i in indices(&shape) {
        let mut best: Option<([usize; 2], f32)> = None;
        for c in cells(spec, [h, w], [i[2], i[3]]) {
            let v = x.at(&[i[0], i[1], c[0], c[1]]);
            // the first of equal cells, but the last NaN: PyTorch's own loop
            if best.is_none_or(|(_, b)| v > b || v.is_nan()) {
                best = Some((c, v));
            }
        }
        let (c, v) = best.unwrap();
        values.push(v as f64);
        wanted.push((c[0] * w + c[1]) as i64);
        back[((i[0] * x.shape[1] + i[1]) * h + c[0]) * w + c[1]] += grad.f64(&i);
    }
    let what = format!("{:?} {out:?} {spec:?}", x.shape);
    close(&what, &down(g, &y.buffer, n), &values, 0.0);
    assert_eq!(down::<i64>(g, &places.buffer, n), wanted, "{what}");
    close(&format!("{what}: gradient"), &down(g, &gx.buffer, back.len()), &back, 1e-6);
}

const TWO: PoolSpec = PoolSpec { kernel: [2, 2], stride: [2, 2], padding: [0, 0], dilation: [1, 1] };

#[test]
fn max_pooling_and_its_gradient() {
    let Some(g) = device() else { return };
    let x = Host::laid(&g, &[2, 3, 9, 11], &[0, 1, 2, 3], 5, 1);
    max_case(&g, &x, [4, 5], &TWO);
    // ceil mode: the last windows stick out
    max_case(&g, &x, [5, 6], &TWO);
    max_case(&g, &x, [4, 5], &PoolSpec { kernel: [3, 3], ..TWO });
    max_case(&g, &x, [9, 11], &PoolSpec { kernel: [3, 3], stride: [1, 1], padding: [1, 1], dilation: [1, 1] });
    max_case(&g, &x, [3, 4], &PoolSpec { kernel: [2, 3], stride: [3, 2], padding: [1, 1], dilation: [3, 2] });
    max_case(&g, &x, [3, 3], &PoolSpec { stride: [3, 4], ..TWO });
}

#[test]
fn nan_infinities_and_ties() {
    let Some(g) = device() else { return };
    let (nan, inf) = (f32::NAN, f32::INFINITY);
    let data = vec![1., 1., nan, 2., 1., 1., 3., nan, -inf, -inf, -inf, inf, -inf, -inf, 0., -0.];
    let x = Host::dense(&g, data, &[1, 1, 4, 4]);
    max_case(&g, &x, [2, 2], &TWO);
    max_case(&g, &x, [3, 3], &PoolSpec { stride: [1, 1], ..TWO });
    max_case(&g, &x, [3, 3], &PoolSpec { padding: [1, 1], ..TWO });
}

fn avg_case(g: &Gpu, out: [usize; 2], spec: &PoolSpec, avg: &AvgSpec) {
    let x = Host::laid(g, &[2, 3, 9, 11], &[0, 1, 2, 3], 5, 1);
    let shape = [2, 3, out[0], out[1]];
    let n = shape.iter().product();
    let y = Host::dense(g, vec![5.0f32; n], &shape);
    let grad = Host::laid(g, &shape, &[0, 1, 2, 3], 3, 7);
    let gx = Host::dense(g, vec![5.0f32; x.shape.iter().product()], &x.shape);
    {
        let rec = &mut g.lock();
        avg_pool2d(rec, &x.view(), &y.view(), spec, avg).unwrap();
        avg_pool2d_grad(rec, &grad.view(), &gx.view(), spec, avg).unwrap();
    }
    let (mut values, mut back) = (Vec::new(), vec![0f64; gx.data.len()]);
    for i in indices(&shape) {
        let cells = cells(spec, [9, 11], [i[2], i[3]]);
        // padding counts up to one padding past the end, not where ceil mode sticks out further
        let span = |d: usize, size: usize| {
            let at = i[2 + d] * spec.stride[d];
            (at + spec.kernel[d]).min(size + 2 * spec.padding[d]) - at
        };
        let count = if avg.count_include_pad { span(0, 9) * span(1, 11) } else { cells.len() };
        let divisor = avg.divisor_override.map_or(count as f64, |d| d as f64);
        values.push(cells.iter().map(|c| x.f64(&[i[0], i[1], c[0], c[1]])).sum::<f64>() / divisor);
        for c in &cells {
            back[((i[0] * 3 + i[1]) * 9 + c[0]) * 11 + c[1]] += grad.f64(&i) / divisor;
        }
    }
    let what = format!("{out:?} {spec:?} {avg:?}");
    close(&what, &down(g, &y.buffer, n), &values, 1e-6);
    close(&format!("{what}: gradient"), &down(g, &gx.buffer, back.len()), &back, 1e-6);
}

#[test]
fn average_pooling_and_its_gradient() {
    let Some(g) = device() else { return };
    for count_include_pad in [true, false] {
        for divisor_override in [None, Some(3), Some(-2)] {
            let avg = AvgSpec { count_include_pad, divisor_override };
            avg_case(&g, [4, 5], &TWO, &avg);
            avg_case(&g, [5, 6], &TWO, &avg);
            avg_case(&g, [4, 5], &PoolSpec { kernel: [3, 3], ..TWO }, &avg);
            avg_case(&g, [9, 11], &PoolSpec { kernel: [3, 3], stride: [1, 1], padding: [1, 1], ..TWO }, &avg);
            avg_case(&g, [5, 4], &PoolSpec { kernel: [3, 4], stride: [2, 3], padding: [1, 2], ..TWO }, &avg);
        }
    }
}

#[test]
fn every_configuration_is_valid() {
    use crate::gpu::testing::check_wgsl;
    check_wgsl(&source("max_pool2d", &[MAX], 1, 2, 19));
    check_wgsl(&source("max_pool2d scatter", &[MAX_SCATTER], 2, 1, 7));
    check_wgsl(&source("max_pool2d gradient", &[MAX_GRAD], 2, 1, 18));
    check_wgsl(&source("avg_pool2d", &[WINDOW, AVG], 1, 1, 19));
    check_wgsl(&source("avg_pool2d backward", &[WINDOW, AVG_GRAD], 1, 1, 19));
}

#[test]
#[ignore = "prints figures"]
fn speed() {
    let Some(g) = device() else { return };
    for shape in [[64, 6, 30, 30], [64, 16, 13, 13]] {
        let x = Host::noise(&g, &shape, 1);
        let gx = Host::noise(&g, &shape, 1);
        let out = [64, shape[1], shape[2] / 2, shape[3] / 2];
        let y = Host::noise(&g, &out, 2);
        let places = Host::dense(&g, vec![0i64; y.data.len()], &out);
        let forward = time(&g, |r| max_pool2d(r, &x.view(), &y.view(), &places.i64(), &TWO).unwrap());
        let backward = time(&g, |r| max_pool2d_grad(r, &y.view(), &places.i64(), &gx.view(), &TWO).unwrap());
        println!("max_pool2d {shape:?}: {forward}\nmax_pool2d {shape:?} gradient: {backward}");
    }
}
