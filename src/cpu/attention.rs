//! Attention of queries to keys and values, and its gradients, head by head: scores exist for a block of queries at a time,
//! between the products that make and take them, and never for all (after Dao et al. 2022, with whole rows of scores).

use crate::cpu::matmul::{Gemm, Product};
use crate::cpu::memory::HostBuf;
use crate::cpu::simd::{SendPtr, Walk, chunks, twins};
use crate::cpu::softmax::{VecFloat, exp_row};
use crate::cpu::view::{View, ViewMut};
use std::ops::Range;

/// Scores of a block: with as many gradients they fit the second level of cache.
const SCORES: usize = 1 << 16;
/// Most and fewest queries of a block.
const QUERIES: (usize, usize) = (64, 16);
/// From so many heads on a unit of the backward pass is a head; fewer are cut into blocks of queries, then of keys.
const HEADS: usize = 16;
/// Scores that are worked on at once.
const VECTOR: usize = 16;
/// Keys of a block of the backward pass.
const KEYS: usize = 256;

/// What attention is asked to do beside its operands.
#[derive(Clone, Copy)]
pub struct Rules<T> {
    /// Factor of the scores.
    pub scale: T,
    /// A query attends to the keys up to its own place.
    pub causal: bool,
}

/// A matrix of each head.
#[derive(Clone, Copy)]
struct Head<T> {
    at: SendPtr<T>,
    rs: usize,
    cs: usize,
}

impl<T: Copy> Head<T> {
    fn of(ptr: *mut T, strides: &[usize], at: usize) -> Head<T> {
        let n = strides.len();
        Head { at: SendPtr(ptr).add(at), rs: strides[n - 2], cs: strides[n - 1] }
    }

    fn row(self, i: usize) -> Head<T> {
        Head { at: self.at.add(i * self.rs), ..self }
    }

    fn turned(self) -> Head<T> {
        Head { at: self.at, rs: self.cs, cs: self.rs }
    }
}

/// `out = alpha * a @ b`, added to what is there if `onto`.
fn product<T: Gemm<Scale = T> + VecFloat>(
    [m, n, k]: [usize; 3],
    out: Head<T>,
    a: Head<T>,
    b: Head<T>,
    alpha: T,
    onto: bool,
) {
    let p = Product {
        m,
        n,
        k,
        out: out.at,
        out_rs: out.rs,
        out_cs: out.cs,
        a: a.at,
        a_rs: a.rs,
        a_cs: a.cs,
        b: b.at,
        b_rs: b.rs,
        b_cs: b.cs,
        bias: onto.then_some((out.at, out.rs, out.cs)),
    };
    T::product(p, alpha, if onto { T::ONE } else { T::ZERO }, false, false);
}

/// How many queries a block has.
fn block_of(keys: usize) -> usize {
    (SCORES / keys.max(1)).clamp(QUERIES.1, QUERIES.0)
}

impl<T> Rules<T> {
    /// How many of the keys query `i` attends to.
    fn reach(&self, i: usize, keys: usize) -> usize {
        if self.causal { keys.min(i + 1) } else { keys }
    }
}

/// `out = softmax(scale * q @ k^T) @ v` for `[.., L, E]`, `[.., S, E]` and `[.., S, V]` with equal leading dims, and `lse`
/// `[.., L]`, the logarithms of the sums of exponentials of scores. `out` and `lse` are row-major. There is at least one key.
pub fn forward<T: Gemm<Scale = T> + VecFloat>(
    out: ViewMut<T>,
    lse: ViewMut<T>,
    [q, k, v]: [View<T>; 3],
    rules: Rules<T>,
) {
    let dims = q.shape.len() - 2;
    let (lead, l, e) = (&q.shape[..dims], q.shape[dims], q.shape[dims + 1]);
    let (s, width) = (k.shape[dims], v.shape[dims + 1]);
    let strides = [&q.strides[..dims], &k.strides[..dims], &v.strides[..dims]];
    let block = block_of(s);
    let blocks = l.div_ceil(block);
    let heads: usize = lead.iter().product();
    let (out, lse) = (SendPtr(out.ptr()), SendPtr(lse.ptr()));
    chunks(heads * blocks, 1, |r| {
        let scratch = HostBuf::alloc(block * s * size_of::<T>());
        let scores = Head { at: SendPtr(scratch.ptr().cast::<T>()), rs: s, cs: 1 };
        for unit in r {
            // the longest blocks of a causal head first, so that the last to be done are short
            let (head, first) = (unit / blocks, (blocks - 1 - unit % blocks) * block);
            let [at_q, at_k, at_v] = Walk::new(lead, strides, head).at;
            let part = |v: &View<T>, at| Head::of(v.ptr().cast_mut(), v.strides, at);
            let (q, k, v) = (part(&q, at_q).row(first), part(&k, at_k), part(&v, at_v));
            let rows = block.min(l - first);
            let keys = rules.reach(first + rows - 1, s);
            product([rows, keys, e], scores, q, k.turned(), rules.scale, false);
            let to = Head { at: out.add((head * l + first) * width), rs: width, cs: 1 };
            let mut factors = [T::ZERO; QUERIES.0];
            for i in 0..rows {
                let n = rules.reach(first + i, s);
                let row = scores.row(i).at;
                // SAFETY: scores has rows of s; each unit writes its own rows of the results.
                unsafe {
                    // whole vectors: exponentials of what does not count are zeros
                    let whole = n.next_multiple_of(VECTOR).min(keys);
                    std::slice::from_raw_parts_mut(row.get().add(n), whole - n).fill(T::LEAST);
                    let (max, sum) = exp_row(row, whole);
                    std::slice::from_raw_parts_mut(row.get().add(whole), keys - whole).fill(T::ZERO);
                    factors[i] = T::ONE.div(sum);
                    lse.get().add(head * l + first + i).write(max.add(sum.ln()));
                }
            }
            product([rows, width, keys], to, scores, v, T::ONE, false);
            for (i, &factor) in factors.iter().enumerate().take(rows) {
                // SAFETY: the product has written the row.
                scale_row(unsafe { std::slice::from_raw_parts_mut(to.row(i).at.get(), width) }, factor);
            }
        }
    });
}

twins!(
    fn scale_row[T: VecFloat][T](row: &mut [T], factor: T) {
        for x in row {
            *x = x.mul(factor);
        }
    }
);

/// Sums side by side of [`dot`].
const SUMS: usize = 16;

twins!(
    /// The sum of products of `n` elements that lie so far apart, which the operands have.
    fn dot[T: VecFloat][T](a: SendPtr<T>, a_step: usize, b: SendPtr<T>, b_step: usize, n: usize) -> T {
        let mut sums = [T::ZERO; SUMS];
        let mut at = 0;
        while at < n {
            let len = (n - at).min(SUMS);
            for l in 0..len {
                // SAFETY: at + l < n.
                let (x, y) = unsafe { (*a.get().add((at + l) * a_step), *b.get().add((at + l) * b_step)) };
                sums[l] = sums[l].add(x.mul(y));
            }
            at += SUMS;
        }
        let mut width = SUMS;
        while width > 1 {
            width /= 2;
            for l in 0..width {
                sums[l] = sums[l].add(sums[l + width]);
            }
        }
        sums[0]
    }
);

twins!(avx512
    /// Scores become weights, and gradients of weights those of scores: `e^(s - lse)`, and `scale * weight * (g - mean)`.
    fn grad_row[T: VecFloat][T](s: &mut [T], g: &mut [T], lse: T, mean: T, scale: T; fma) {
        let g = &mut g[..s.len()];
        for j in 0..s.len() {
            let weight = s[j].sub(lse).vec_exp(fma);
            s[j] = weight;
            g[j] = weight.mul(g[j].sub(mean)).mul(scale);
        }
    }
);

/// Operands of [`backward`]: the result's gradient, queries, keys, values and the result, then the row-major `lse`.
pub struct Saved<'a, T> {
    /// As listed, of equal leading dims.
    pub all: [View<'a, T>; 5],
    /// From [`forward`].
    pub lse: View<'a, T>,
}

/// The gradients of queries, keys and values, row-major.
///
/// With weights `p`, `gv = p^T @ g`; `gs = p * (g @ v^T - the sum of g * out) * scale`, `gq = gs @ k` and `gk = gs^T @ q`.
pub fn backward<T: Gemm<Scale = T> + VecFloat>(outs: [ViewMut<T>; 3], saved: &Saved<T>, rules: Rules<T>) {
    let [_, q, k, _, _] = saved.all;
    let dims = q.shape.len() - 2;
    let heads: usize = q.shape[..dims].iter().product();
    let (l, s) = (q.shape[dims], k.shape[dims]);
    let to = outs.map(|v| SendPtr(v.ptr()));
    let run = |head, queries, keys, of_q, of_kv| part(&to, saved, rules, head, queries, keys, of_q, of_kv);
    if heads >= HEADS || l * s <= SCORES / 4 {
        return chunks(heads, 1, |r| r.for_each(|head| run(head, 0..l, 0..s, true, true)));
    }
    // scores are computed twice, so that no two units add to one gradient
    let (block, pieces) = (block_of(s), s.div_ceil(KEYS));
    let blocks = l.div_ceil(block);
    chunks(heads * blocks, 1, |r| {
        for unit in r {
            let first = unit % blocks * block;
            run(unit / blocks, first..(first + block).min(l), 0..s, true, false);
        }
    });
    chunks(heads * pieces, 1, |r| {
        for unit in r {
            let first = unit % pieces * KEYS;
            run(unit / pieces, 0..l, first..(first + KEYS).min(s), false, true);
        }
    });
}

/// The gradients of some queries (of all keys), of some keys and values (of all queries), or of a whole head.
#[allow(clippy::too_many_arguments, reason = "a unit of work")]
fn part<T: Gemm<Scale = T> + VecFloat>(
    to: &[SendPtr<T>; 3],
    saved: &Saved<T>,
    rules: Rules<T>,
    head: usize,
    queries: Range<usize>,
    keys: Range<usize>,
    of_q: bool,
    of_kv: bool,
) {
    let [g, q, k, v, out] = saved.all;
    let dims = q.shape.len() - 2;
    let (l, e) = (q.shape[dims], q.shape[dims + 1]);
    let (s, width) = (k.shape[dims], v.shape[dims + 1]);
    let matrix = |v: &View<T>| {
        let at = Walk::new(&v.shape[..dims], [&v.strides[..dims]], head).at[0];
        Head::of(v.ptr().cast_mut(), v.strides, at)
    };
    let (g, q, out) = (matrix(&g), matrix(&q), matrix(&out));
    let (k, v) = (matrix(&k).row(keys.start), matrix(&v).row(keys.start));
    let gq = Head { at: to[0].add(head * l * e), rs: e, cs: 1 };
    let gk = Head { at: to[1].add((head * s + keys.start) * e), rs: e, cs: 1 };
    let gv = Head { at: to[2].add((head * s + keys.start) * width), rs: width, cs: 1 };
    let lse = SendPtr(saved.lse.ptr().cast_mut()).add(head * l);
    let (block, count) = (block_of(keys.len()), keys.len());
    let scratch = HostBuf::alloc(2 * block * count * size_of::<T>());
    let weights = Head { at: SendPtr(scratch.ptr().cast::<T>()), rs: count, cs: 1 };
    let grads = Head { at: weights.at.add(block * count), ..weights };
    // the last queries first: where they are causal they reach every key, so that the others have something to add to
    let pieces = queries.len().div_ceil(block);
    let mut reached = 0;
    for piece in (0..pieces).rev() {
        let first = queries.start + piece * block;
        let rows = block.min(queries.end - first);
        // keys of this unit that any of the queries attends to
        let all = rules.reach(first + rows - 1, s).saturating_sub(keys.start).min(count);
        if all == 0 {
            continue;
        }
        let (q, g) = (q.row(first), g.row(first));
        product([rows, all, e], weights, q, k.turned(), rules.scale, false);
        product([rows, all, width], grads, g, v.turned(), T::ONE, false);
        for i in 0..rows {
            let n = rules.reach(first + i, s).saturating_sub(keys.start).min(count);
            // SAFETY: rows of the blocks have `count` elements; g and out have `width` in a row, lse one for each.
            unsafe {
                let row = |h: Head<T>| std::slice::from_raw_parts_mut(h.row(i).at.get(), all);
                let (w, d) = (row(weights), row(grads));
                let (g, o) = (g.row(i), out.row(first + i));
                let mean = dot(g.at, g.cs, o.at, o.cs, width);
                let whole = n.next_multiple_of(VECTOR).min(all);
                w[n..whole].fill(T::LEAST);
                d[n..whole].fill(T::ZERO);
                grad_row(&mut w[..whole], &mut d[..whole], *lse.get().add(first + i), mean, rules.scale);
                w[whole..].fill(T::ZERO);
                d[whole..].fill(T::ZERO);
            }
        }
        if of_q {
            product([rows, e, all], gq.row(first), grads, k, T::ONE, false);
        }
        if of_kv {
            // keys that no query before reached have nothing to be added to
            let old = reached.min(all);
            for (range, onto) in [(0..old, true), (old..all, false)] {
                let (n, at) = (range.len(), range.start);
                if n > 0 {
                    let columns = |h: Head<T>| Head { at: h.at.add(at), ..h }.turned();
                    product([n, width, rows], gv.row(at), columns(weights), g, T::ONE, onto);
                    product([n, e, rows], gk.row(at), columns(grads), q, T::ONE, onto);
                }
            }
            reached = reached.max(all);
        }
    }
    if of_kv {
        // keys that nobody attends to
        for (h, n) in [(gk, e), (gv, width)] {
            // SAFETY: the unit's own rows of the gradients, which nobody has written yet; the bits of zero are zeros.
            unsafe { h.row(reached).at.get().write_bytes(0, (count - reached) * n) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(n: usize, seed: u64) -> Vec<f64> {
        let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        (0..n)
            .map(|_| {
                x ^= x << 13;
                x ^= x >> 7;
                x ^= x << 17;
                (x >> 40) as f64 / (1u64 << 24) as f64 * 4.0 - 2.0
            })
            .collect()
    }

    /// Result and gradients by loops over all scores of one head.
    fn plain(all: [&[f64]; 4], [l, s, e, width]: [usize; 4], rules: Rules<f64>) -> [Vec<f64>; 4] {
        let [g, q, k, v] = all;
        let mut found = [vec![0.0; l * width], vec![0.0; l * e], vec![0.0; s * e], vec![0.0; s * width]];
        for i in 0..l {
            let n = rules.reach(i, s);
            let sum = |m: usize, f: &dyn Fn(usize) -> f64| (0..m).map(f).sum::<f64>();
            let p: Vec<f64> = (0..n).map(|j| (rules.scale * sum(e, &|c| q[i * e + c] * k[j * e + c])).exp()).collect();
            let total: f64 = p.iter().sum();
            let p: Vec<f64> = p.iter().map(|x| x / total).collect();
            let gp: Vec<f64> = (0..n).map(|j| sum(width, &|c| g[i * width + c] * v[j * width + c])).collect();
            let mean = sum(n, &|j| p[j] * gp[j]);
            for j in 0..n {
                let gs = p[j] * (gp[j] - mean) * rules.scale;
                for c in 0..width {
                    found[0][i * width + c] += p[j] * v[j * width + c];
                    found[3][j * width + c] += p[j] * g[i * width + c];
                }
                for c in 0..e {
                    found[1][i * e + c] += gs * k[j * e + c];
                    found[2][j * e + c] += gs * q[i * e + c];
                }
            }
        }
        found
    }

    fn check<T: Gemm<Scale = T> + VecFloat>(heads: usize, sizes: [usize; 4], causal: bool, bound: f64) {
        let [l, s, e, width] = sizes;
        let shapes = [[heads, l, width], [heads, l, e], [heads, s, e], [heads, s, width]];
        let data: Vec<Vec<f64>> = shapes.iter().zip(1..).map(|(s, n)| noise(s.iter().product(), n)).collect();
        let typed: Vec<Vec<T>> = data.iter().map(|d| d.iter().map(|&x| T::from_f64(x)).collect()).collect();
        let strides = shapes.map(|s| [s[1] * s[2], s[2], 1]);
        let view = |i: usize| View::from_slice(&typed[i], &shapes[i], &strides[i]);
        let rules = Rules { scale: T::from_f64(0.3), causal };
        let mut out = vec![T::ZERO; heads * l * width];
        let mut lse = vec![T::ZERO; heads * l];
        let (lse_shape, lse_strides) = ([heads, l], [l, 1]);
        forward(
            ViewMut::from_slice(&mut out, &shapes[0], &strides[0]),
            ViewMut::from_slice(&mut lse, &lse_shape, &lse_strides),
            [view(1), view(2), view(3)],
            rules,
        );
        let mut grads = [1, 2, 3].map(|i| vec![T::GREATEST; typed[i].len()]);
        let saved = Saved {
            all: [view(0), view(1), view(2), view(3), View::from_slice(&out, &shapes[0], &strides[0])],
            lse: View::from_slice(&lse, &lse_shape, &lse_strides),
        };
        let [gq, gk, gv] = &mut grads;
        let outs = [
            ViewMut::from_slice(gq, &shapes[1], &strides[1]),
            ViewMut::from_slice(gk, &shapes[2], &strides[2]),
            ViewMut::from_slice(gv, &shapes[3], &strides[3]),
        ];
        backward(outs, &saved, rules);
        let got = [&out, &grads[0], &grads[1], &grads[2]];
        for head in 0..heads {
            let part = |i: usize| &data[i][head * strides[i][0]..][..strides[i][0]];
            let want = plain([part(0), part(1), part(2), part(3)], sizes, Rules { scale: 0.3, causal });
            for (i, want) in want.iter().enumerate() {
                for (at, (w, g)) in want.iter().zip(&got[i][head * want.len()..]).enumerate() {
                    let gap = (w - g.to_f64()).abs();
                    assert!(
                        gap <= bound * (1.0 + w.abs()),
                        "{i} at {at} of head {head}: {g:?} for {w}, {sizes:?} {causal}"
                    );
                }
            }
        }
    }

    #[test]
    fn agrees_with_loops_over_all_scores() {
        let cases = [
            // a head a unit
            (2, [5, 3, 4, 2]),
            (2, [3, 5, 1, 9]),
            (17, [70, 90, 8, 16]),
            (16, [130, 65, 32, 8]),
            // blocks of queries, then of keys
            (1, [200, 300, 8, 8]),
            (2, [300, 530, 16, 5]),
            (1, [20, 5000, 4, 4]),
        ];
        for (heads, sizes) in cases {
            for causal in [false, true] {
                check::<f32>(heads, sizes, causal, 2e-5);
                check::<f64>(heads, sizes, causal, 1e-12);
            }
        }
    }
}
