//! Writes and sums by index against loops: elements of every width, repeated indices, and such as are out of range.

use super::*;
use crate::gpu::Gpu;
use crate::gpu::kernels::testing::{Host, close, indices, noise, time};
use crate::gpu::testing::{device, down};
use crate::shape::numel;

fn numbers(n: usize, below: usize, seed: usize) -> Vec<i64> {
    (0..n).map(|i| ((i * 7919 + seed * 31 + i * i) % below) as i64).collect()
}

/// Position in the result of each element of the source, in the source's order; None where nothing is written.
fn targets(shape: &[usize], dim: usize, each: bool, index_shape: &[usize], index: &[i64]) -> Vec<Option<usize>> {
    let strides = contiguous_strides(shape);
    let mut src_shape = shape.to_vec();
    if each {
        src_shape = index_shape.to_vec();
    } else {
        src_shape[dim] = index.len();
    }
    let of = contiguous_strides(index_shape);
    indices(&src_shape)
        .map(|mut p| {
            let at = if each { p.iter().zip(&of).map(|(a, b)| a * b).sum() } else { p[dim] };
            let to = index[at];
            if !(0..shape[dim] as i64).contains(&to) {
                return None;
            }
            p[dim] = to as usize;
            Some(p.iter().zip(&strides).map(|(a, b)| a * b).sum())
        })
        .collect()
}

const CASES: [(&[usize], usize, bool, &[usize]); 8] = [
    (&[4, 5, 6], 0, true, &[9, 5, 6]),
    (&[4, 5, 7], 2, true, &[2, 5, 80]),
    (&[11], 0, true, &[301]),
    (&[5000], 0, true, &[3000]),
    (&[4, 5, 7], 1, false, &[13]),
    (&[50, 16], 0, false, &[2130]),
    (&[3, 3], 1, false, &[2]),
    (&[6], 0, false, &[5]),
];

fn written<T: bytemuck::Pod + PartialEq + std::fmt::Debug>(g: &Gpu, dtype: DType, make: impl Fn(usize) -> T) {
    for (shape, dim, each, index_shape) in CASES {
        for value in [false, true] {
            let mut index = numbers(numel(index_shape), shape[dim], 2);
            index[0] = shape[dim] as i64 - 1;
            let to = targets(shape, dim, each, index_shape, &index);
            if value && dtype.size() == 8 {
                continue;
            }
            let x: Vec<T> = (0..numel(shape)).map(&make).collect();
            let src: Vec<T> = (0..if value { 1 } else { to.len() }).map(|i| make(i + 1_000_000)).collect();
            let mut want = x.clone();
            to.iter().enumerate().for_each(|(i, t)| want[t.unwrap()] = src[if value { 0 } else { i }]);
            let (n, m) = ([src.len()], x.len());
            let (x, src) = (Host::dense(g, x, shape), Host::dense(g, src, &n));
            let out = Host::dense(g, vec![T::zeroed(); m.next_multiple_of(4)], &[m.next_multiple_of(4)]);
            let index = Host::dense(g, index, index_shape);
            let strides = contiguous_strides(shape);
            let to = GpuView { buffer: &out.buffer, dtype, offset: 0, shape, strides: &strides };
            let numbers = index.i64();
            let at = Pointers { index: &numbers, dim, each, command: 1 };
            write(&mut g.lock(), &x.typed(dtype), &at, &src.typed(dtype), &to).unwrap();
            assert_eq!(down::<T>(g, &out.buffer, m), want, "{dtype} {shape:?} along {dim} by {index_shape:?}");
        }
    }
}

#[test]
fn of_what_meets_in_one_place_the_last_stays() {
    let Some(g) = device() else { return };
    written(&g, DType::U8, |i| (i * 7 + i / 256) as u8);
    written(&g, DType::I16, |i| (i * 31) as i16);
    written(&g, DType::F32, |i| i as f32);
    written(&g, DType::I64, |i| i as i64 * 0x1_0000_0001);
}

#[test]
fn sums_take_all_in_order() {
    let Some(g) = device() else { return };
    for (shape, dim, each, index_shape) in CASES {
        let index = numbers(numel(index_shape), shape[dim], 2);
        let to = targets(shape, dim, each, index_shape, &index);
        let (n, m) = (to.len(), numel(shape));
        let index = Host::dense(&g, index, index_shape);
        let numbers = index.i64();
        let at = Pointers { index: &numbers, dim, each, command: 1 };
        let (x, src) = (Host::noise(&g, shape, 1), Host::noise(&g, &[n], 2));
        let out = Host::dense(&g, vec![9f32; m], shape);
        fold(&mut g.lock(), &x.view(), &at, &src.view(), Join::Sum(Scalar::Float(-0.5)), true, &out.view()).unwrap();
        let mut want: Vec<f64> = x.data.iter().map(|&v| v as f64).collect();
        to.iter().zip(&src.data).for_each(|(t, &v)| want[t.unwrap()] -= 0.5 * v as f64);
        close(&format!("{shape:?} along {dim}"), &down(&g, &out.buffer, m), &want, 1e-5);

        let whole = |n: usize, k: i64| -> Vec<i64> {
            (0..n as i64).map(|i| (i + k).wrapping_mul(0x1234_5678_9abc_def1)).collect()
        };
        let (x, src) = (Host::dense(&g, whole(m, 3), shape), Host::dense(&g, whole(n, 5), &[n]));
        let out = Host::dense(&g, vec![9i64; m], shape);
        fold(&mut g.lock(), &x.i64(), &at, &src.i64(), Join::Sum(Scalar::Int(-3)), true, &out.i64()).unwrap();
        let mut want = x.data.clone();
        for (t, v) in to.iter().zip(&src.data) {
            want[t.unwrap()] = want[t.unwrap()].wrapping_add(v.wrapping_mul(-3));
        }
        assert_eq!(down::<i64>(&g, &out.buffer, m), want, "{shape:?} along {dim}");
    }
}

#[test]
fn products_extrema_and_means() {
    let Some(g) = device() else { return };
    for (shape, dim, each, index_shape) in CASES {
        let index = numbers(numel(index_shape), shape[dim], 2);
        let to = targets(shape, dim, each, index_shape, &index);
        let (n, m) = (to.len(), numel(shape));
        let index = Host::dense(&g, index, index_shape);
        let numbers = index.i64();
        let at = Pointers { index: &numbers, dim, each, command: 1 };
        let mut data = noise(n, 2);
        data.iter_mut().step_by(17).for_each(|v| *v = f32::NAN);
        let (x, src) = (Host::noise(&g, shape, 1), Host::dense(&g, data, &[n]));
        for how in [Join::Prod, Join::Mean, Join::Max, Join::Min] {
            for keep in [false, true] {
                let out = Host::dense(&g, vec![9f32; m], shape);
                fold(&mut g.lock(), &x.view(), &at, &src.view(), how, keep, &out.view()).unwrap();
                let mut want: Vec<(f64, usize)> = x.data.iter().map(|&v| (v as f64, usize::from(keep))).collect();
                for (t, &v) in to.iter().zip(&src.data) {
                    let (w, count) = &mut want[t.unwrap()];
                    let (a, b) = (*w, v as f64);
                    *w = match how {
                        _ if *count == 0 => b,
                        Join::Prod => a * b,
                        Join::Max if a.is_nan() || b.is_nan() => f64::NAN,
                        Join::Max => a.max(b),
                        Join::Min if a.is_nan() || b.is_nan() => f64::NAN,
                        Join::Min => a.min(b),
                        _ => a + b,
                    };
                    *count += 1;
                }
                let mean = |&(w, count): &(f64, usize)| if how == Join::Mean { w / count.max(1) as f64 } else { w };
                let want: Vec<f64> = want.iter().map(mean).collect();
                close(&format!("{how:?} {shape:?} along {dim}"), &down(&g, &out.buffer, m), &want, 1e-5);
            }
        }
    }
}

#[test]
fn what_is_out_of_range_is_reported_and_not_written() {
    let Some(g) = device() else { return };
    let (x, src) = (Host::dense(&g, vec![1f32, 2., 3.], &[3]), Host::dense(&g, vec![10f32, 20., 30.], &[3]));
    for bad in [3i64, -1, 1 << 33] {
        let index = Host::dense(&g, vec![2i64, bad, 2], &[3]);
        for each in [false, true] {
            for sum in [false, true] {
                let out = Host::dense(&g, vec![0f32; 3], &[3]);
                let numbers = index.i64();
                let at = Pointers { index: &numbers, dim: 0, each, command: 5 };
                if sum {
                    fold(&mut g.lock(), &x.view(), &at, &src.view(), Join::Sum(Scalar::Int(1)), true, &out.view())
                        .unwrap();
                } else {
                    write(&mut g.lock(), &x.view(), &at, &src.view(), &out.view()).unwrap();
                }
                let status = g.synchronize(0).unwrap();
                assert_eq!((status.command, status.value), (5, bad));
                // not even what is in range
                assert_eq!(down::<f32>(&g, &out.buffer, 3), [1., 2., 3.]);
            }
        }
    }
}

#[test]
#[ignore = "prints figures"]
fn speed() {
    let Some(g) = device() else { return };
    let (x, src) = (Host::noise(&g, &[50_000, 64], 1), Host::noise(&g, &[16_384, 64], 2));
    let out = Host::dense(&g, noise(3_200_000, 3), &[50_000, 64]);
    let index = Host::dense(&g, numbers(16_384, 50_000, 1), &[16_384]);
    let numbers = index.i64();
    let at = Pointers { index: &numbers, dim: 0, each: false, command: 1 };
    let one = Join::Sum(Scalar::Int(1));
    println!("index_add: {}", time(&g, |r| fold(r, &x.view(), &at, &src.view(), one, true, &out.view()).unwrap()));
    println!("index_copy: {}", time(&g, |r| write(r, &x.view(), &at, &src.view(), &out.view()).unwrap()));
}
