//! Gathers and sums by index against loops, with repeated indices and such as are out of range.

use super::*;
use crate::gpu::Gpu;
use crate::gpu::kernels::testing::{Host, close, indices};
use crate::gpu::testing::{check_wgsl, device, down};

fn numbers(n: usize, below: usize, seed: usize) -> Vec<i64> {
    (0..n).map(|i| ((i * 7919 + seed * 31 + i * i) % below) as i64).collect()
}

fn gathered(g: &Gpu, x: &Host, dim: usize, shape: &[usize]) {
    let n: usize = shape.iter().product();
    let index = Host::dense(g, numbers(n, x.shape[dim], 1), shape);
    let out = Host::dense(g, vec![9f32; n], shape);
    gather(&mut g.lock(), &x.view(), dim, &index.i64(), &out.view(), 1).unwrap();
    let want: Vec<f64> = indices(shape)
        .map(|mut i| {
            i[dim] = index.at(&i) as usize;
            x.f64(&i)
        })
        .collect();
    close(&format!("gather {:?} along {dim}", x.shape), &down(g, &out.buffer, n), &want, 0.0);
}

fn scattered(g: &Gpu, out_shape: &[usize], dim: usize, shape: &[usize], src: &Host) {
    let n: usize = shape.iter().product();
    let index = Host::dense(g, numbers(n, out_shape[dim], 2), shape);
    let out = Host::noise(g, out_shape, 5);
    scatter_add(&mut g.lock(), &out.view(), dim, &index.i64(), &src.view(), 1).unwrap();
    let mut want: Vec<f64> = out.data.iter().map(|&v| v as f64).collect();
    let strides = crate::shape::contiguous_strides(out_shape);
    for i in indices(shape) {
        let mut to = i.clone();
        to[dim] = index.at(&i) as usize;
        want[to.iter().zip(&strides).map(|(a, b)| a * b).sum::<usize>()] += src.f64(&i);
    }
    let got: Vec<f32> = down(g, &out.buffer, want.len());
    close(&format!("scatter_add {out_shape:?} along {dim}"), &got, &want, 1e-5);
}

#[test]
fn gather_and_scatter_add() {
    let Some(g) = device() else { return };
    let x = Host::laid(&g, &[4, 5, 6], &[2, 0, 1], 3, 1);
    gathered(&g, &x, 0, &[9, 5, 6]);
    gathered(&g, &x, 1, &[4, 3, 2]);
    gathered(&g, &x, 2, &[2, 5, 80]);
    gathered(&g, &Host::noise(&g, &[100], 1), 0, &[300]);
    scattered(&g, &[4, 5, 6], 0, &[9, 5, 6], &Host::laid(&g, &[9, 5, 6], &[1, 2, 0], 2, 3));
    scattered(&g, &[4, 5, 6], 1, &[4, 3, 2], &Host::noise(&g, &[4, 7, 6], 3));
    scattered(&g, &[4, 5, 6], 2, &[2, 5, 80], &Host::noise(&g, &[2, 5, 80], 3));
    scattered(&g, &[10], 0, &[300], &Host::noise(&g, &[300], 3));
}

#[test]
fn index_select_and_index_add() {
    let Some(g) = device() else { return };
    for (shape, dim, count) in [(&[4, 5, 6][..], 1, 11), (&[50, 16], 0, 130), (&[7], 0, 20), (&[3, 2, 70], 2, 5)] {
        let order: Vec<usize> = (0..shape.len()).collect();
        let x = Host::laid(&g, shape, &order, 3, 1);
        let index = Host::dense(&g, numbers(count, shape[dim], 3), &[count]);
        let mut picked = shape.to_vec();
        picked[dim] = count;
        let n: usize = picked.iter().product();
        let out = Host::dense(&g, vec![9f32; n], &picked);
        index_select(&mut g.lock(), &x.view(), dim, &index.i64(), &out.view(), 1).unwrap();
        let want: Vec<f64> = indices(&picked)
            .map(|mut i| {
                i[dim] = index.data[i[dim]] as usize;
                x.f64(&i)
            })
            .collect();
        close(&format!("index_select {shape:?} along {dim}"), &down(&g, &out.buffer, n), &want, 0.0);

        let (src, sum) = (Host::noise(&g, &picked, 4), Host::noise(&g, shape, 5));
        index_add(&mut g.lock(), &sum.view(), dim, &index.i64(), &src.view(), -0.5, 1).unwrap();
        let mut want: Vec<f64> = sum.data.iter().map(|&v| v as f64).collect();
        for i in indices(&picked) {
            let mut to = i.clone();
            to[dim] = index.data[i[dim]] as usize;
            want[to.iter().zip(&sum.strides).map(|(a, b)| a * b).sum::<usize>()] -= 0.5 * src.f64(&i);
        }
        close(&format!("index_add {shape:?} along {dim}"), &down(&g, &sum.buffer, want.len()), &want, 1e-5);
    }
}

/// Moves elements of a width by gather and by index_select, in rows that are whole words and others.
fn moved<T: bytemuck::Pod + PartialEq + std::fmt::Debug>(g: &Gpu, dtype: DType, make: impl Fn(usize) -> T + Copy) {
    for (shape, dim, count) in [(&[4, 5, 3][..], 1, 11), (&[50, 16], 0, 130), (&[7], 0, 21), (&[3, 2, 70], 2, 5)] {
        let x = Host::dense(g, (0..shape.iter().product()).map(make).collect(), shape);
        let mut picked = shape.to_vec();
        picked[dim] = count;
        let n: usize = picked.iter().product();
        // a whole number of words
        let out = Host::dense(g, vec![T::zeroed(); n.next_multiple_of(4)], &[n.next_multiple_of(4)]);
        let strides = crate::shape::contiguous_strides(&picked);
        let to = GpuView { buffer: &out.buffer, dtype, offset: 0, shape: &picked, strides: &strides };
        let index = Host::dense(g, numbers(count, shape[dim], 3), &[count]);
        index_select(&mut g.lock(), &x.typed(dtype), dim, &index.i64(), &to, 1).unwrap();
        let from = |mut i: Vec<usize>, k: i64| {
            i[dim] = k as usize;
            x.at(&i)
        };
        let want: Vec<T> = indices(&picked).map(|i| (index.data[i[dim]], i)).map(|(k, i)| from(i, k)).collect();
        assert_eq!(down::<T>(g, &out.buffer, n), want, "index_select of {dtype} {shape:?} along {dim}");

        let each = Host::dense(g, numbers(n, shape[dim], 5), &picked);
        gather(&mut g.lock(), &x.typed(dtype), dim, &each.i64(), &to, 1).unwrap();
        let want: Vec<T> = indices(&picked).map(|i| (each.at(&i), i)).map(|(k, i)| from(i, k)).collect();
        assert_eq!(down::<T>(g, &out.buffer, n), want, "gather of {dtype} {shape:?} along {dim}");
    }
}

#[test]
fn elements_of_every_width_are_moved() {
    let Some(g) = device() else { return };
    moved(&g, DType::U8, |i| (i * 7 + i / 256) as u8);
    moved(&g, DType::I16, |i| (i * 31) as i16);
    moved(&g, DType::I32, |i| i as i32 - 50);
    moved(&g, DType::I64, |i| (i as i64 - 50) * 0x1_0000_0001);
}

#[test]
fn what_is_out_of_range_is_reported_and_not_written() {
    let Some(g) = device() else { return };
    let x = Host::dense(&g, vec![1f32, 2., 3.], &[3]);
    for bad in [3i64, -1, 1 << 33] {
        let index = Host::dense(&g, vec![1i64, bad, 0], &[3]);
        type Call = fn(&mut Recorder, &GpuView, &GpuView, &GpuView) -> Result<()>;
        let reads: [Call; 2] = [|r, x, i, o| gather(r, x, 0, i, o, 5), |r, x, i, o| index_select(r, x, 0, i, o, 5)];
        let adds: [Call; 2] =
            [|r, x, i, o| scatter_add(r, o, 0, i, x, 5), |r, x, i, o| index_add(r, o, 0, i, x, 1.0, 5)];
        for (calls, want) in [(reads, [2f32, 0., 1.]), (adds, [13f32, 11., 10.])] {
            for call in calls {
                let out = Host::dense(&g, vec![10f32; 3], &[3]);
                call(&mut g.lock(), &x.view(), &index.i64(), &out.view()).unwrap();
                let status = g.synchronize(0).unwrap();
                assert_eq!((status.command, status.value), (5, bad));
                assert_eq!(down::<f32>(&g, &out.buffer, 3), want);
            }
        }
    }
}

#[test]
fn every_configuration_is_valid() {
    check_wgsl(&source("scatter_add", &[STATUS, SCATTER_ADD], 2, 2, 36));
    for (bytes, per, words) in [(16, 1, 1), (4, 1, 1), (4, 1, 2), (4, 2, 1), (4, 4, 1)] {
        for wide in [false, true] {
            let w = Word { bytes, per, words, wide };
            check_wgsl(&source("gather", &[STATUS, &w.text(), GATHER], 2, 2, 28));
            check_wgsl(&source("index_select", &[STATUS, &w.text(), SELECT], 2, 2, 13));
        }
    }
    check_wgsl(&source("index_chain", &[STATUS, CHAIN], 1, 2, 4));
    check_wgsl(&source("index_add", &[ADD], 3, 1, 9));
}
