//! Sorting in its three ways against the standard library's stable sort, with ties, zeros of both signs, infinities and NaN.

use super::*;
use crate::gpu::Gpu;
use crate::gpu::kernels::testing::{Host, noise, time};
use crate::gpu::testing::{device, down};
use crate::shape::numel;
use std::cmp::Ordering;

const SHAPES: [(&[usize], usize, usize); 14] = [
    (&[], 0, 1),
    (&[5], 0, 5),
    (&[7, 64], 1, 3),
    (&[3, 9, 5], 1, 9),
    (&[2, 65], 1, 65),
    (&[4, 1000], 1, 10),
    (&[3, 300, 2], 1, 300),
    (&[1024], 0, 1024),
    (&[1025], 0, 1025),
    (&[2, 3001, 3], 1, 7),
    (&[3, 2500], 1, 2500),
    (&[2, 2501], 1, 2501),
    (&[5000], 0, 4999),
    (&[100_003], 0, 100_003),
];

/// Sorts on the device and by the library, and compares elements by their bits and positions.
fn check<T: bytemuck::Pod + PartialEq + std::fmt::Debug>(
    g: &Gpu,
    dtype: DType,
    make: impl Fn(usize) -> T,
    compare: impl Fn(&T, &T) -> Ordering,
) {
    for (shape, dim, kept) in SHAPES {
        for descending in [false, true] {
            let data: Vec<T> = (0..numel(shape)).map(&make).collect();
            let [outer, n, inner] = around(shape, dim).unwrap();
            let mut out_shape = shape.to_vec();
            if let Some(s) = out_shape.get_mut(dim) {
                *s = kept;
            }
            let count = outer * kept * inner;
            let x = Host::dense(g, data.clone(), shape);
            let values = Host::dense(g, vec![T::zeroed(); count], &out_shape);
            let indices = Host::dense(g, vec![-1i64; count], &out_shape);
            let order = Order::of(dtype, descending);
            sort(&mut g.lock(), &x.typed(dtype), &values.typed(dtype), &indices.i64(), dim, &order).unwrap();
            let (mut want, mut at) = (vec![T::zeroed(); count], vec![0i64; count]);
            for row in 0..outer * inner {
                let element = |k: usize| data[(row / inner * n + k) * inner + row % inner];
                let mut line: Vec<usize> = (0..n).collect();
                line.sort_by(|&a, &b| {
                    let o = compare(&element(a), &element(b));
                    if descending { o.reverse() } else { o }
                });
                for (k, &from) in line[..kept].iter().enumerate() {
                    let to = (row / inner * kept + k) * inner + row % inner;
                    (want[to], at[to]) = (element(from), from as i64);
                }
            }
            let what = format!("{dtype} {shape:?} along {dim}, descending {descending}");
            assert_eq!(down::<i64>(g, &indices.buffer, count), at, "{what}");
            assert_eq!(
                bytemuck::cast_slice::<T, u8>(&down::<T>(g, &values.buffer, count)),
                bytemuck::cast_slice::<T, u8>(&want),
                "{what}"
            );
        }
    }
}

/// Few values that differ, so that there are ties.
fn mixed(i: usize) -> i64 {
    (i * 7919 + i * i) as i64 % 97 - 48
}

#[test]
fn floats() {
    let Some(g) = device() else { return };
    let special = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, -0.0, -f32::NAN, 1e-40, -1e-40];
    let random = noise(200_000, 1);
    let f32s = |i: usize| if i.is_multiple_of(5) { special[i / 5 % 8] } else { random[i] };
    // NaN above all, both zeros equal
    let order = |a: f64, b: f64| a.partial_cmp(&b).unwrap_or(a.is_nan().cmp(&b.is_nan()));
    check(&g, DType::F32, f32s, |a, b| order(*a as f64, *b as f64));
    let f64s = |i: usize| {
        if i.is_multiple_of(5) { special[i / 5 % 8] as f64 } else { random[i] as f64 * (1.0 + 1e-12 * (i % 3) as f64) }
    };
    check(&g, DType::F64, f64s, |a, b| order(*a, *b));
}

#[test]
fn integers() {
    let Some(g) = device() else { return };
    let far = |i: usize| mixed(i).wrapping_mul(0x0123_4567_89ab_cdef) ^ mixed(i / 3);
    check(&g, DType::I64, far, i64::cmp);
    check(&g, DType::I32, |i| far(i) as i32, i32::cmp);
    check(&g, DType::U32, |i| far(i) as u32, u32::cmp);
}

#[test]
fn what_was_widened_has_fewer_digits() {
    let Some(g) = device() else { return };
    check(&g, DType::I32, |i| mixed(i) as i32, i32::cmp);
    for (dtype, least, most) in
        [(DType::I8, -128, 127), (DType::U8, 0, 255), (DType::I16, -32768, 32767), (DType::Bool, 0, 1)]
    {
        let data: Vec<i32> =
            (0..3000).map(|i| (mixed(i) * 700) as i32).map(|v| v.rem_euclid(most - least + 1) + least).collect();
        let x = Host::dense(&g, data.clone(), &[3000]);
        let values = Host::dense(&g, vec![0i32; 3000], &[3000]);
        let indices = Host::dense(&g, vec![-1i64; 3000], &[3000]);
        let order = Order::of(dtype, false);
        let (from, to) = (x.typed(DType::I32), values.typed(DType::I32));
        sort(&mut g.lock(), &from, &to, &indices.i64(), 0, &order).unwrap();
        let mut want: Vec<usize> = (0..3000).collect();
        want.sort_by_key(|&k| data[k]);
        let got = down::<i64>(&g, &indices.buffer, 3000);
        assert!(want.iter().zip(&got).all(|(&a, &b)| a as i64 == b), "{dtype}");
    }
}

#[test]
fn tiles_and_runs_agree() {
    let Some(g) = device() else { return };
    for (rows, n, bits) in [(1, 1, 0..32), (1, 9, 3..5), (3, 1000, 0..7), (2, 4099, 0..9), (5, 70_001, 13..32)] {
        let words = |seed: u32| (0..(rows * n) as u32).map(move |i| (i ^ seed).wrapping_mul(0x9e37_79b9));
        let data: Vec<u32> = words(1).map(|w| w ^ w >> 15).collect();
        // each row in another order than it lies in
        let from: Vec<u32> = (0..rows).flat_map(|_| (0..n as u32).rev()).collect();
        for given in [false, true] {
            let start = |k: usize| if given { from[k] } else { (k % n) as u32 };
            let mut want: Vec<u32> = Vec::new();
            for row in 0..rows {
                let mut line: Vec<usize> = (row * n..(row + 1) * n).collect();
                line.sort_by_key(|&k| (data[k] >> bits.start) & ((1u64 << (bits.end - bits.start)) - 1) as u32);
                want.extend(line.into_iter().map(start));
            }
            let keys = || Host::dense(&g, data.clone(), &[rows * n]).buffer;
            let order = || given.then(|| Host::dense(&g, from.clone(), &[rows * n]).buffer);
            let (a, b) = (keys(), order());
            let tiles = by_tiles(&mut g.lock(), a, b, [rows, n], bits.clone()).unwrap();
            assert_eq!(down::<u32>(&g, &tiles, rows * n), want, "tiles {rows} x {n} by {bits:?}, {given}");
            let (a, b) = (keys(), order());
            let runs = by_runs(&mut g.lock(), &a, b.as_ref(), [rows, n], bits.clone()).unwrap();
            assert_eq!(down::<u32>(&g, &runs, rows * n), want, "runs {rows} x {n} by {bits:?}, {given}");
        }
    }
}

#[test]
#[ignore = "prints figures"]
fn speed() {
    let Some(g) = device() else { return };
    for (shape, kept) in [([1, 1 << 20], 1 << 20), ([1024, 1024], 1024), ([16_384, 64], 64), ([64, 50_000], 50)] {
        let x = Host::noise(&g, &shape, 1);
        let out = [shape[0], kept];
        let (values, indices) = (Host::noise(&g, &out, 2), Host::dense(&g, vec![0i64; out[0] * kept], &out));
        let order = Order::of(DType::F32, false);
        let cost = time(&g, |r| sort(r, &x.view(), &values.view(), &indices.i64(), 1, &order).unwrap());
        println!("sort {shape:?}: {cost}");
    }
}
