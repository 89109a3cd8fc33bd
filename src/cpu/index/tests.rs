//! Index kernels against element-by-element loops, and their refusals.

use super::*;

fn contiguous(shape: &[usize]) -> Vec<usize> {
    let mut s = vec![1; shape.len()];
    for d in (0..shape.len().saturating_sub(1)).rev() {
        s[d] = s[d + 1] * shape[d + 1].max(1);
    }
    s
}

fn reversed(shape: &[usize]) -> Vec<usize> {
    let r: Vec<usize> = shape.iter().rev().copied().collect();
    contiguous(&r).into_iter().rev().collect()
}

fn positions(shape: &[usize]) -> Vec<Vec<usize>> {
    (0..shape.iter().product())
        .map(|i: usize| {
            let mut rest = i;
            let mut p: Vec<usize> = shape.iter().rev().map(|&n| (rest % n, rest /= n).0).collect();
            p.reverse();
            p
        })
        .collect()
}

fn at(p: &[usize], s: &[usize]) -> usize {
    p.iter().zip(s).map(|(a, b)| a * b).sum()
}

fn replaced(p: &[usize], dim: usize, i: usize) -> Vec<usize> {
    let mut p = p.to_vec();
    p[dim] = i;
    p
}

#[test]
fn gather_and_scatter_along_every_dim() {
    for (shape, index_shape) in
        [([4, 5, 6], [4, 5, 6]), ([7, 3, 9], [2, 3, 4]), ([3, 300, 40], [3, 500, 40]), ([3, 4, 5], [3, 0, 5])]
    {
        for dim in 0..3 {
            let mut hi = index_shape;
            // other dims of the index may not be longer
            (0..3).filter(|&d| d != dim).for_each(|d| hi[d] = hi[d].min(shape[d]));
            let n: usize = shape.iter().product();
            let x: Vec<i64> = (0..n as i64).collect();
            let index: Vec<i64> = (0..hi.iter().product::<usize>()).map(|i| (i * 7919 % shape[dim]) as i64).collect();
            let src: Vec<i64> = (0..index.len() as i64).map(|i| 1000 + i * i).collect();
            for layout in [contiguous, reversed] {
                let (sx, si, ss) = (layout(&shape), contiguous(&hi), layout(&hi));
                let vi = View::from_slice(&index, &hi, &si);
                let mut out = vec![-1; index.len()];
                gather(ViewMut::from_slice(&mut out, &hi, &ss), View::from_slice(&x, &shape, &sx), vi, dim).unwrap();
                let (mut set, mut sum) = (x.clone(), x.clone());
                scatter(ViewMut::from_slice(&mut set, &shape, &sx), vi, View::from_slice(&src, &hi, &ss), dim).unwrap();
                scatter_add(ViewMut::from_slice(&mut sum, &shape, &sx), vi, View::from_slice(&src, &hi, &ss), dim)
                    .unwrap();
                let (mut want_set, mut want_sum) = (x.clone(), x.clone());
                for p in positions(&hi) {
                    let q = at(&replaced(&p, dim, index[at(&p, &si)] as usize), &sx);
                    assert_eq!(out[at(&p, &ss)], x[q]);
                    want_set[q] = src[at(&p, &ss)];
                    want_sum[q] += src[at(&p, &ss)];
                }
                assert_eq!((set, sum), (want_set, want_sum));
            }
        }
    }
}

#[test]
fn slices_by_index_along_every_dim() {
    for shape in [[4, 5, 6], [70, 1, 130], [2, 50, 3]] {
        for dim in 0..3 {
            for count in [0, 1, 9, 400] {
                let n: usize = shape.iter().product();
                let x: Vec<i64> = (0..n as i64).collect();
                let index: Vec<i64> = (0..count).map(|i| (i * 31 % shape[dim]) as i64).collect();
                let hi = [count];
                let vi = View::from_slice(&index, &hi, &[1]);
                let ho: Vec<usize> = replaced(&shape, dim, count);
                let src: Vec<i64> = (0..ho.iter().product::<usize>() as i64).map(|i| 5 + i * i).collect();
                for layout in [contiguous, reversed] {
                    let (sx, so) = (layout(&shape), contiguous(&ho));
                    let mut out = vec![-1; src.len()];
                    index_select(ViewMut::from_slice(&mut out, &ho, &so), View::from_slice(&x, &shape, &sx), dim, vi)
                        .unwrap();
                    let vs = View::from_slice(&src, &ho, &so);
                    let (mut sum, mut set, mut filled) = (x.clone(), x.clone(), x.clone());
                    index_add(ViewMut::from_slice(&mut sum, &shape, &sx), dim, vi, vs, 3).unwrap();
                    index_copy(ViewMut::from_slice(&mut set, &shape, &sx), dim, vi, vs).unwrap();
                    index_fill(ViewMut::from_slice(&mut filled, &shape, &sx), dim, vi, -9).unwrap();
                    let mut want = (x.clone(), x.clone(), x.clone());
                    for p in positions(&ho) {
                        let q = at(&replaced(&p, dim, index[p[dim]] as usize), &sx);
                        assert_eq!(out[at(&p, &so)], x[q]);
                        want.0[q] += 3 * src[at(&p, &so)];
                        want.1[q] = src[at(&p, &so)];
                        want.2[q] = -9;
                    }
                    assert_eq!((sum, set, filled), want);
                }
            }
        }
    }
}

#[test]
fn index_tensors_broadcast_and_count_from_the_end() {
    // x[[[0], [-1]], [2, 1, -3]] of x (3, 4, 5)
    let x: Vec<i64> = (0..60).collect();
    let (i, j) = ([0i64, -1], [2i64, 1, -3]);
    let b = [2, 3];
    let indices = [View::from_slice(&i, &b, &[1, 0]), View::from_slice(&j, &b, &[0, 1])];
    let mut out = [0i64; 30];
    let shape = [3, 4, 5];
    index_get(
        ViewMut::from_slice(&mut out, &[2, 3, 5], &[15, 5, 1]),
        View::from_slice(&x, &shape, &[20, 5, 1]),
        &indices,
    )
    .unwrap();
    for (k, first) in [10, 5, 5, 50, 45, 45].into_iter().enumerate() {
        let want: Vec<i64> = (first..first + 5).collect();
        assert_eq!(out[5 * k..5 * k + 5], want);
    }
    let values: Vec<i64> = (0..30).collect();
    let vv = View::from_slice(&values, &[2, 3, 5], &[15, 5, 1]);
    let (mut set, mut sum) = (x.clone(), x.clone());
    index_put(ViewMut::from_slice(&mut set, &shape, &[20, 5, 1]), &indices, vv).unwrap();
    assert_eq!(set[5..10], [10, 11, 12, 13, 14], "the later of two writes");
    index_put_add(ViewMut::from_slice(&mut sum, &shape, &[20, 5, 1]), &indices, vv).unwrap();
    assert_eq!(sum[5..7], [5 + 5 + 10, 6 + 6 + 11]);
    // no slice left: single elements
    let mut picks = [0i64; 2];
    let (a, c) = ([1i64, 2], [-1i64, 0]);
    let at = [View::from_slice(&a, &[2], &[1]), View::from_slice(&c, &[2], &[1])];
    index_get(ViewMut::from_slice(&mut picks, &[2], &[1]), View::from_slice(&x, &[12, 5], &[5, 1]), &at).unwrap();
    assert_eq!(picks, [9, 10]);
}

#[test]
fn flat_positions() {
    let x = [10, 11, 12, 13, 14, 15];
    // the transposed view (3, 2): 10 13 11 14 12 15
    let mut out = [0; 4];
    let index = [-1i64, 0, 1, 2];
    let vi = View::from_slice(&index, &[2, 2], &[2, 1]);
    take(ViewMut::from_slice(&mut out, &[2, 2], &[2, 1]), View::from_slice(&x, &[3, 2], &[1, 3]), vi).unwrap();
    assert_eq!(out, [15, 10, 13, 11]);
}

#[test]
fn what_is_out_of_range_is_named_before_anything_is_written() {
    let x = [1, 2, 3];
    let mut out = [7, 7];
    let bad = [0i64, 3];
    let vi = View::from_slice(&bad, &[2], &[1]);
    let vx = View::from_slice(&x, &[3], &[1]);
    let error = BadIndex { value: 3, dim: 0, size: 3 };
    assert_eq!(gather(ViewMut::from_slice(&mut out, &[2], &[1]), vx, vi, 0), Err(error));
    assert_eq!(index_select(ViewMut::from_slice(&mut out, &[2], &[1]), vx, 0, vi), Err(error));
    assert_eq!(take(ViewMut::from_slice(&mut out, &[2], &[1]), vx, vi), Err(error));
    assert_eq!(index_get(ViewMut::from_slice(&mut out, &[2], &[1]), vx, &[vi]), Err(error));
    assert_eq!(index_fill(ViewMut::from_slice(&mut out, &[2], &[1]), 0, vi, 0), Err(BadIndex { size: 2, ..error }));
    assert_eq!(out, [7, 7]);
    let negative = [-1i64];
    let vi = View::from_slice(&negative, &[1], &[1]);
    assert_eq!(gather(ViewMut::from_slice(&mut out, &[1], &[1]), vx, vi, 0), Err(BadIndex { value: -1, ..error }));
    assert_eq!(
        index_select(ViewMut::from_slice(&mut out, &[1], &[1]), vx, 0, vi),
        Err(BadIndex { value: -1, ..error })
    );
    assert_eq!(take(ViewMut::from_slice(&mut out, &[1], &[1]), vx, vi), Ok(()));
    assert_eq!(out, [3, 7]);
}

#[test]
fn rows_are_copied_whatever_their_length_and_number() {
    // the last ones fill more than the cache: they are written past it
    for (rows, len, count) in [(7, 1, 100), (50, 16, 3000), (100, 33, 50_000), (300, 48, (PAST_CACHE / 48 / 4) + 5)] {
        let x: Vec<u32> = (0..rows * len).map(|i| i as u32).collect();
        let index: Vec<i64> = (0..count).map(|i| (i * 7919 % rows) as i64).collect();
        let mut out = vec![0u32; count * len];
        let (shape, strides) = ([count, len], [len, 1]);
        index_select(
            ViewMut::from_slice(&mut out, &shape, &strides),
            View::from_slice(&x, &[rows, len], &strides),
            0,
            View::from_slice(&index, &[count], &[1]),
        )
        .unwrap();
        for (k, row) in out.chunks(len).enumerate() {
            let first = index[k] as u32 * len as u32;
            assert!(row.iter().zip(first..).all(|(&v, want)| v == want), "row {k} of {rows}x{len}");
        }
    }
}
