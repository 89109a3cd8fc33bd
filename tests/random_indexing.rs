//! Random indices of every kind, mixed: reading, writing, adding, and their gradients, against a naive reference that finds each
//! element by PyTorch's rules; on the CPU and a GPU.

mod common;

use common::devices;
use wgtorch::prelude::*;
use wgtorch::{Ellipsis, NewAxis, TensorIndex};

/// A component of an index, as the reference sees it.
#[derive(Clone, Debug)]
enum Part {
    Int(isize),
    Slice(Option<isize>, Option<isize>, usize),
    Ellipsis,
    New,
    /// Numbers with a shape.
    List(Vec<i64>, Vec<usize>),
    /// Bools with a shape.
    Mask(Vec<bool>, Vec<usize>),
}

struct Draw(u64);

impl Draw {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((self.0 >> 33) as usize) % n.max(1)
    }
}

/// An index for a tensor of this shape, whose index tensors broadcast to `lead`.
fn draw_index(rng: &mut Draw, shape: &[usize]) -> Vec<Part> {
    let lead: Vec<usize> = (0..1 + rng.below(2)).map(|_| 1 + rng.below(3)).collect();
    let (mut parts, mut d, mut masked) = (Vec::new(), 0, false);
    let skip = if rng.below(3) == 0 { Some(rng.below(shape.len() + 1)) } else { None };
    while d < shape.len() {
        if skip == Some(d) && !parts.iter().any(|p| matches!(p, Part::Ellipsis)) {
            parts.push(Part::Ellipsis);
            // the dims that it stands for
            d += rng.below(shape.len() - d + 1);
            continue;
        }
        let n = shape[d];
        match rng.below(8) {
            0 => parts.push(Part::New),
            1 => {
                parts.push(Part::Int(rng.below(2 * n) as isize - n as isize));
                d += 1;
            }
            2 | 3 => {
                let mut bound = |on: bool| on.then(|| rng.below(2 * n + 3) as isize - n as isize - 1);
                let (a, b) = (bound(n.is_multiple_of(2)), bound(!n.is_multiple_of(3)));
                parts.push(Part::Slice(a, b, 1 + rng.below(3)));
                d += 1;
            }
            4 | 5 => {
                let shape: Vec<usize> = lead.iter().map(|&m| if rng.below(4) == 0 { 1 } else { m }).collect();
                let count: usize = shape.iter().product();
                parts.push(Part::List((0..count).map(|_| rng.below(2 * n) as i64 - n as i64).collect(), shape));
                d += 1;
            }
            6 if !masked && !parts.iter().any(|p| matches!(p, Part::List(..))) => {
                let dims = if d + 1 < shape.len() { 1 + rng.below(2) } else { 1 };
                let own = shape[d..d + dims].to_vec();
                let bits = (0..own.iter().product::<usize>()).map(|_| rng.below(2) == 0).collect();
                parts.push(Part::Mask(bits, own));
                // what a mask picks would have to broadcast with lists
                masked = true;
                d += dims;
            }
            _ => {
                if rng.below(3) == 0 {
                    break;
                }
                parts.push(Part::Slice(None, None, 1));
                d += 1;
            }
        }
        if masked && matches!(parts.last(), Some(Part::List(..))) {
            parts.pop();
            d -= 1;
            parts.push(Part::Slice(None, None, 1));
            d += 1;
        }
    }
    parts
}

/// The result's shape, and for each of its elements the position in the flattened tensor.
fn reference(shape: &[usize], parts: &[Part]) -> (Vec<usize>, Vec<usize>) {
    let used: usize = parts
        .iter()
        .map(|p| match p {
            Part::Ellipsis | Part::New => 0,
            Part::Mask(_, s) => s.len(),
            _ => 1,
        })
        .sum();
    let mut strides = vec![1; shape.len()];
    for i in (0..shape.len().saturating_sub(1)).rev() {
        strides[i] = strides[i + 1] * shape[i + 1];
    }
    /// A dim of the result: positions along it, or the index tensors' place.
    enum Dim {
        Own(Vec<usize>),
        Lists,
    }
    let (mut dims, mut base, mut d) = (Vec::<Dim>::new(), 0, 0);
    // shape and offsets of each index tensor
    let mut lists: Vec<(Vec<usize>, Vec<usize>)> = Vec::new();
    let full = |n: usize, s: usize| Dim::Own((0..n).map(|i| i * s).collect());
    for p in parts.iter().chain(if parts.iter().any(|p| matches!(p, Part::Ellipsis)) {
        &[][..]
    } else {
        &[Part::Ellipsis][..]
    }) {
        match p {
            Part::Int(i) => {
                base += (if *i < 0 { i + shape[d] as isize } else { *i }) as usize * strides[d];
                d += 1;
            }
            Part::Slice(a, b, step) => {
                let n = shape[d] as isize;
                let clamp = |x: isize| if x < 0 { (x + n).max(0) } else { x.min(n) };
                let (a, b) = (clamp(a.unwrap_or(0)), clamp(b.unwrap_or(n)));
                dims.push(Dim::Own((a..b.max(a)).step_by(*step).map(|i| i as usize * strides[d]).collect()));
                d += 1;
            }
            Part::Ellipsis => {
                for _ in 0..shape.len() - used {
                    dims.push(full(shape[d], strides[d]));
                    d += 1;
                }
            }
            Part::New => dims.push(Dim::Own(vec![0])),
            Part::List(v, s) => {
                let n = shape[d] as i64;
                let at = v.iter().map(|i| (if *i < 0 { i + n } else { *i }) as usize * strides[d]).collect();
                lists.push((s.clone(), at));
                dims.push(Dim::Lists);
                d += 1;
            }
            Part::Mask(bits, s) => {
                let mut at = Vec::new();
                for (i, _) in bits.iter().enumerate().filter(|(_, b)| **b) {
                    let (mut rest, mut offset) = (i, 0);
                    for k in (0..s.len()).rev() {
                        offset += rest % s[k] * strides[d + k];
                        rest /= s[k];
                    }
                    at.push(offset);
                }
                lists.push((vec![at.len()], at));
                dims.push(Dim::Lists);
                d += s.len();
            }
        }
    }
    // the index tensors broadcast together
    let rank = lists.iter().map(|l| l.0.len()).max().unwrap_or(0);
    let mut common = vec![1; rank];
    for (s, _) in &lists {
        for (i, n) in s.iter().enumerate() {
            let c = &mut common[rank - s.len() + i];
            *c = if *c == 1 { *n } else { *c };
        }
    }
    let count: usize = common.iter().product();
    let together: Vec<usize> = (0..count)
        .map(|flat| {
            lists
                .iter()
                .map(|(s, at)| {
                    let (mut rest, mut index, mut stride) = (flat, 0, 1);
                    for k in (0..rank).rev() {
                        let i = rest % common[k];
                        rest /= common[k];
                        if k + s.len() >= rank {
                            let n = s[k + s.len() - rank];
                            index += if n == 1 { 0 } else { i } * stride;
                            stride *= n;
                        }
                    }
                    at[index]
                })
                .sum()
        })
        .collect();
    // side by side they stay in place, else they go first
    let places: Vec<usize> = dims.iter().enumerate().filter(|(_, d)| matches!(d, Dim::Lists)).map(|(i, _)| i).collect();
    let adjacent = places.windows(2).all(|w| w[1] == w[0] + 1);
    let mut axes: Vec<(Vec<usize>, Vec<usize>)> = Vec::new();
    if !places.is_empty() && !adjacent {
        axes.push((common.clone(), together.clone()));
    }
    for (i, dim) in dims.iter().enumerate() {
        match dim {
            Dim::Own(v) => axes.push((vec![v.len()], v.clone())),
            Dim::Lists if adjacent && i == places[0] => axes.push((common.clone(), together.clone())),
            Dim::Lists => {}
        }
    }
    let out_shape = axes.iter().flat_map(|a| a.0.clone()).collect();
    let mut all = vec![base];
    for (_, offsets) in &axes {
        all = all.iter().flat_map(|b| offsets.iter().map(move |o| b + o)).collect();
    }
    (out_shape, all)
}

fn components(parts: &[Part], d: Device) -> Vec<TensorIndex> {
    parts
        .iter()
        .map(|p| match p {
            Part::Int(i) => TensorIndex::Select(*i),
            Part::Slice(start, end, step) => TensorIndex::Slice { start: *start, end: *end, step: *step as isize },
            Part::Ellipsis => Ellipsis.into(),
            Part::New => NewAxis.into(),
            Part::List(v, s) => (&Tensor::from_vec(v.clone(), &s[..], d).unwrap()).into(),
            Part::Mask(v, s) => (&Tensor::from_vec(v.clone(), &s[..], d).unwrap()).into(),
        })
        .collect()
}

#[test]
fn every_kind_of_index_reads_and_writes() {
    for d in devices() {
        let mut rng = Draw(41);
        let dtypes = [F32, I64, Bool, U8, F16, F64, I16];
        for round in 0..400 {
            let shape: Vec<usize> = (0..1 + rng.below(4)).map(|_| 1 + rng.below(4)).collect();
            let parts = draw_index(&mut rng, &shape);
            let (want_shape, at) = reference(&shape, &parts);
            let n: usize = shape.iter().product();
            let dtype = dtypes[round % dtypes.len()];
            let mut v: Vec<i64> = (0..n as i64).map(|i| i * 7 % 64).collect();
            if dtype == Bool {
                v.iter_mut().for_each(|x| *x %= 2);
            }
            let x = Tensor::from_vec(v.clone(), &shape[..], d).unwrap().to(dtype);
            // not always row-major in memory
            let x = if round.is_multiple_of(3) && shape.len() > 1 {
                x.transpose(0, -1).contiguous().transpose(0, -1)
            } else {
                x
            };
            let index = || components(&parts, d);
            let what = format!("{shape:?} {parts:?} of {dtype} on {d}");
            let y = x.i(index());
            assert_eq!(y.shape().to_vec(), want_shape, "shape of {what}");
            let want: Vec<i64> = at.iter().map(|&i| v[i]).collect();
            assert_eq!(y.to(I64).to_vec::<i64>().unwrap(), want, "{what}");
            // a number, and a tensor where no element is named twice
            let z = x.copy();
            z.i_put_(index(), 1);
            let mut written = v.clone();
            at.iter().for_each(|&i| written[i] = 1);
            assert_eq!(z.to(I64).to_vec::<i64>().unwrap(), written, "a number into {what}");
            let mut once = at.clone();
            once.sort_unstable();
            once.dedup();
            if once.len() == at.len() {
                let values: Vec<i64> =
                    (0..at.len() as i64).map(|i| if dtype == Bool { i % 2 } else { i % 50 }).collect();
                let z = x.copy();
                z.i_put_(index(), Tensor::from_vec(values.clone(), &want_shape[..], d).unwrap().to(dtype));
                let mut written = v.clone();
                at.iter().zip(&values).for_each(|(&i, &n)| written[i] = n);
                assert_eq!(z.to(I64).to_vec::<i64>().unwrap(), written, "a tensor into {what}");
            }
            // the gradient counts how often an element was read
            if dtype.is_float() {
                let w = x.detach().requires_grad_(true);
                w.i(index()).sum().backward();
                let mut counts = vec![0; n];
                at.iter().for_each(|&i| counts[i] += 1);
                assert_eq!(w.grad().unwrap().to(I64).to_vec::<i64>().unwrap(), counts, "gradient of {what}");
            }
        }
    }
}
