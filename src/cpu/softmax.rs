//! softmax and log_softmax along any dim, with their gradients. A row is read for its maximum, once more for exponentials
//! and their sum, and scaled while it is in the cache.

pub(super) mod few;

use crate::cpu::number::Number;
use crate::cpu::simd::{SERIAL, SendPtr, Walk, chunks, grain, twins};
use crate::cpu::view::{View, ViewMut, is_contiguous};

/// Values side by side: four of the widest vectors, so that what a block costs beside its values is little.
pub(super) const LANES: usize = 64;
/// Columns side by side where the dim is not the contiguous one.
pub(super) const WIDTH: usize = 128;
/// Rows that are too short to be taken one by one: many are turned into columns.
pub(super) const SHORT: usize = 16;

/// f32 and f64, with an exponential that loops of it vectorise.
pub trait VecFloat: Number<Acc = Self> {
    /// `e^self` within 1 ulp; NaN stays, large arguments overflow to infinity, small ones underflow through subnormals.
    fn vec_exp(self, fma: bool) -> Self;
    /// Natural logarithm.
    fn ln(self) -> Self;
    /// The sum of values side by side, halves added until one is left.
    #[inline(always)]
    fn sum_of(lanes: &[Self; LANES]) -> Self {
        fold_lanes(*lanes, Self::add)
    }
    /// The maximum of values side by side, none of which is NaN.
    #[inline(always)]
    fn max_of(lanes: &[Self; LANES]) -> Self {
        fold_lanes(*lanes, Self::larger)
    }
    /// The larger one; NaN is passed over, since it comes to its row through the exponentials.
    fn larger(self, other: Self) -> Self;
}

/// Folds f32 side by side in registers, in the order of [`fold_lanes`], whose arrays the compiler keeps in memory.
#[cfg(target_arch = "x86_64")]
macro_rules! fold_f32 {
    ($lanes:ident, $f:ident, $one:ident) => {{
        use std::arch::x86_64::*;
        // SAFETY: every x86-64 CPU has SSE; 64 lanes are sixteen quads.
        unsafe {
            let quad = |i: usize| _mm_loadu_ps($lanes.as_ptr().add(4 * i));
            let four = |i: usize| $f($f(quad(i), quad(i + 8)), $f(quad(i + 4), quad(i + 12)));
            let x = $f($f(four(0), four(2)), $f(four(1), four(3)));
            let x = $f(x, _mm_movehl_ps(x, x));
            _mm_cvtss_f32($one(x, _mm_shuffle_ps::<1>(x, x)))
        }
    }};
}

macro_rules! vec_exp {
    ($t:ident {$($folds:item)*} $bits:ident $mantissa:literal $bias:literal $magic:literal $low:literal $high:literal $hi:literal $lo:literal [$($c:literal)*]) => {
        impl VecFloat for $t {
            #[inline(always)]
            fn vec_exp(self, fma: bool) -> $t {
                let madd = |a: $t, b: $t, c: $t| if fma { a.mul_add(b, c) } else { a * b + c };
                // nothing is left of it: zero is put in at the end, for a product that underflows takes a CPU long
                let gone = self < $low;
                let x = if gone { 0.0 } else { self };
                let x = if x > $high { $high } else { x };
                // x = n ln 2 + r; adding the magic number leaves n in the low bits of the sum
                let t = madd(x, std::$t::consts::LOG2_E, $magic);
                let n = t - $magic;
                let r = madd(n, -$lo, madd(n, -$hi, x));
                let mut p: $t = 0.0;
                $(p = madd(p, r, 1.0 / $c);)*
                let i = t.to_bits().wrapping_sub(($magic as $t).to_bits()) as $bits;
                // two factors, since 2^n itself may be out of range where the result is not
                let (a, b) = (i >> 1, i - (i >> 1));
                let scale = |k: $bits| $t::from_bits(((k + $bias) << $mantissa) as _);
                let e = p * scale(a) * scale(b);
                // NaN comes through all of it
                if gone { 0.0 } else { e }
            }
            #[inline(always)]
            fn ln(self) -> $t {
                $t::ln(self)
            }
            #[inline(always)]
            fn larger(self, other: $t) -> $t {
                self.max(other)
            }
            $($folds)*
        }
    };
}
// inverse factorials, the last one first: to r^7 for f32 and r^13 for f64 the rest is below half an ulp
vec_exp!(f32 {
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn sum_of(lanes: &[f32; LANES]) -> f32 {
        fold_f32!(lanes, _mm_add_ps, _mm_add_ss)
    }
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn max_of(lanes: &[f32; LANES]) -> f32 {
        fold_f32!(lanes, _mm_max_ps, _mm_max_ss)
    }
} i32 23 127 12582912.0 -104.0 89.0 0.693359375 -2.121_944_4e-4 [5040.0 720.0 120.0 24.0 6.0 2.0 1.0 1.0]);
vec_exp!(f64 {} i64 52 1023 6755399441055744.0 -746.0 710.0 6.931_471_803_691_238e-1 1.908_214_929_270_587_7e-10
    [6227020800.0 479001600.0 39916800.0 3628800.0 362880.0 40320.0 5040.0 720.0 120.0 24.0 6.0 2.0 1.0 1.0]);

/// `exp(x - max) / sum` along `dim`, or its logarithm. A row of minus infinities gives NaN, as in PyTorch.
pub fn softmax<T: Number>(out: ViewMut<T>, x: View<T>, dim: usize, log: bool)
where
    T::Acc: VecFloat,
{
    let rows = |to: &mut [T::Acc], from: &[SendPtr<T::Acc>; 2], n: usize| {
        forward_row::<T::Acc>(SendPtr(to.as_mut_ptr()), from[0], n, log);
    };
    along(
        out,
        [x, x],
        dim,
        rows,
        |to, from, row, n, len| forward_columns(to, from[0], row, n, len, log),
        |to, from, rows| few::forward(to, from[0], rows, log),
        |to, from, n| forward_row_of::<T>(to, from[0], n, log),
    );
}

/// The gradient of [`softmax`]'s input from the output `y` and its gradient.
pub fn softmax_grad<T: Number>(gx: ViewMut<T>, grad: View<T>, y: View<T>, dim: usize, log: bool)
where
    T::Acc: VecFloat,
{
    let rows = |to: &mut [T::Acc], from: &[SendPtr<T::Acc>; 2], n: usize| {
        backward_row::<T::Acc>(SendPtr(to.as_mut_ptr()), from[0], from[1], n, log);
    };
    along(
        gx,
        [grad, y],
        dim,
        rows,
        |to, from, row, n, len| backward_columns(to, from[0], from[1], row, n, len, log),
        |to, from, rows| few::backward(to, from[0], from[1], rows, log),
        |to, from, n| backward_row_of::<T>(to, from[0], from[1], n, log),
    );
}

/// Runs rows along `dim`: in place where they are contiguous, in blocks of columns where those are (few columns by lines of
/// rows), else through copies, short rows as columns.
fn along<T: Number>(
    out: ViewMut<T>,
    from: [View<T>; 2],
    dim: usize,
    scratch_row: impl Fn(&mut [T::Acc], &[SendPtr<T::Acc>; 2], usize) + Sync,
    columns: impl Fn(SendPtr<T>, [SendPtr<T>; 2], usize, usize, usize) + Sync,
    few_columns: impl Fn(SendPtr<T>, [SendPtr<T>; 2], few::Rows) + Sync,
    row: impl Fn(SendPtr<T>, [SendPtr<T>; 2], usize) + Sync,
) {
    if out.numel() == 0 {
        return;
    }
    // a 0-dim tensor is one row of one
    let (shape, dim) = (out.shape, dim);
    let n = shape.get(dim).copied().unwrap_or(1);
    let step = |s: &[usize]| s.get(dim).copied().unwrap_or(1);
    let steps = [step(out.strides), step(from[0].strides), step(from[1].strides)];
    let ptr = SendPtr(out.ptr());
    let src = from.map(|v| SendPtr(v.ptr().cast_mut()));
    let tail = |s: &[usize]| is_contiguous(&shape[(dim + 1).min(shape.len())..], &s[(dim + 1).min(s.len())..]);
    let inner: usize = shape.iter().skip(dim + 1).product();
    let cost = 8 * n;
    if inner > 1 && tail(out.strides) && tail(from[0].strides) && tail(from[1].strides) {
        let lead = &shape[..dim];
        let strides = [&out.strides[..dim], &from[0].strides[..dim], &from[1].strides[..dim]];
        let blocks = inner.div_ceil(WIDTH);
        // `columns` walks all three with the output's row step where that is the common one
        let same = steps[1] == steps[0] && steps[2] == steps[0];
        if same {
            let outer: usize = lead.iter().product();
            if inner <= few::FEW && n >= few::LEAST && steps[0] == inner {
                let split = cost * inner >= 4 * SERIAL;
                let run = |r: std::ops::Range<usize>| {
                    for unit in r {
                        let [o, a, b] = Walk::new(lead, strides, unit).at;
                        let from = [src[0].add(a), src[1].add(b)];
                        few_columns(ptr.add(o), from, few::Rows { n, columns: inner, split });
                    }
                };
                return if split { run(0..outer) } else { chunks(outer, grain(cost * inner), run) };
            }
            return chunks(outer * blocks, grain(cost * WIDTH.min(inner)), |r| {
                for unit in r {
                    let at = Walk::new(lead, strides, unit / blocks).at;
                    let c = unit % blocks * WIDTH;
                    let from = [src[0].add(at[1] + c), src[1].add(at[2] + c)];
                    columns(ptr.add(at[0] + c), from, steps[0], n, (inner - c).min(WIDTH));
                }
            });
        }
    }
    let drop = |s: &[usize]| -> Vec<usize> { s.iter().enumerate().filter(|d| d.0 != dim).map(|d| *d.1).collect() };
    let (kept, so, s0, s1) = (drop(shape), drop(out.strides), drop(from[0].strides), drop(from[1].strides));
    let rows: usize = kept.iter().product();
    chunks(rows, grain(cost), |r| {
        let mut walk = Walk::new(&kept, [&so, &s0, &s1], r.start);
        if n <= SHORT {
            let width = WIDTH.min(r.len());
            let mut turned = vec![T::ZERO; 3 * n * width];
            let [to, x, y] = [0, 1, 2].map(|i| SendPtr(turned.as_mut_ptr()).add(i * n * width));
            let mut places = [0; WIDTH];
            for at in r.clone().step_by(width) {
                let len = (r.end - at).min(width);
                for c in 0..len {
                    let [o, a, b] = walk.at;
                    places[c] = o;
                    for k in 0..n {
                        // SAFETY: k < n, and the walk stays in the views; c < width.
                        unsafe {
                            x.get().add(k * width + c).write(*src[0].get().add(a + k * steps[1]));
                            y.get().add(k * width + c).write(*src[1].get().add(b + k * steps[2]));
                        }
                    }
                    walk.step();
                }
                columns(to, [x, y], width, n, len);
                for (c, &o) in places[..len].iter().enumerate() {
                    for k in 0..n {
                        // SAFETY: as above.
                        unsafe { ptr.get().add(o + k * steps[0]).write(*to.get().add(k * width + c)) };
                    }
                }
            }
            return;
        }
        let mut copies = if steps == [1, 1, 1] { Vec::new() } else { vec![T::Acc::ZERO; 3 * n] };
        for _ in r {
            let [o, a, b] = walk.at;
            if steps == [1, 1, 1] {
                row(ptr.add(o), [src[0].add(a), src[1].add(b)], n);
            } else {
                let (to, rest) = copies.split_at_mut(n);
                let (x, y) = rest.split_at_mut(n);
                for i in 0..n {
                    // SAFETY: i < n, and the walk stays in the views.
                    unsafe {
                        x[i] = (*src[0].get().add(a + i * steps[1])).acc();
                        y[i] = (*src[1].get().add(b + i * steps[2])).acc();
                    }
                }
                scratch_row(to, &[SendPtr(x.as_mut_ptr()), SendPtr(y.as_mut_ptr())], n);
                for (i, &v) in to.iter().enumerate() {
                    // SAFETY: as above.
                    unsafe { ptr.get().add(o + i * steps[0]).write(T::from_acc(v)) };
                }
            }
            walk.step();
        }
    });
}

/// Calls the body for blocks of at most `LANES` positions. How many is no constant: the compiler would unroll the body's loop
/// before it looks for vectors.
macro_rules! blocks {
    ($n:expr, |$i:ident, $len:ident| $body:expr) => {
        let mut $i = 0;
        while $i < $n {
            let $len = ($n - $i).min(LANES);
            $body;
            $i += LANES;
        }
    };
}

pub(super) use blocks;

#[inline(always)]
fn fold_lanes<A: Number>(lanes: [A; LANES], f: impl Fn(A, A) -> A) -> A {
    let mut lanes = lanes;
    let mut width = LANES;
    while width > 1 {
        width /= 2;
        for l in 0..width {
            lanes[l] = f(lanes[l], lanes[l + width]);
        }
    }
    lanes[0]
}

fn forward_row<A: VecFloat>(out: SendPtr<A>, x: SendPtr<A>, n: usize, log: bool) {
    forward_row_of::<A>(out, x, n, log);
}

fn backward_row<A: VecFloat>(out: SendPtr<A>, grad: SendPtr<A>, y: SendPtr<A>, n: usize, log: bool) {
    backward_row_of::<A>(out, grad, y, n, log);
}

twins!(avx512
    fn forward_row_of[T: Number<Acc: VecFloat>][T](out: SendPtr<T>, x: SendPtr<T>, n: usize, log: bool; fma) {
        let (out, x) = (out.get(), x.get().cast_const());
        // SAFETY: both rows hold n elements.
        unsafe {
            let mut lanes = [T::Acc::LEAST; LANES];
            blocks!(n, |i, len| for l in 0..len {
                lanes[l] = lanes[l].larger((*x.add(i + l)).acc());
            });
            let max = T::Acc::max_of(&lanes);
            let mut lanes = [T::Acc::ZERO; LANES];
            if log {
                blocks!(n, |i, len| for l in 0..len {
                    lanes[l] = lanes[l].add((*x.add(i + l)).acc().sub(max).vec_exp(fma));
                });
                let rest = T::Acc::sum_of(&lanes).ln();
                blocks!(n, |i, len| for l in 0..len {
                    out.add(i + l).write(T::from_acc((*x.add(i + l)).acc().sub(max).sub(rest)));
                });
            } else if size_of::<T>() == size_of::<T::Acc>() {
                // the output holds the exponentials meanwhile
                blocks!(n, |i, len| for l in 0..len {
                    let e = (*x.add(i + l)).acc().sub(max).vec_exp(fma);
                    out.add(i + l).write(T::from_acc(e));
                    lanes[l] = lanes[l].add(e);
                });
                let scale = T::Acc::ONE.div(T::Acc::sum_of(&lanes));
                blocks!(n, |i, len| for l in 0..len {
                    let e = out.add(i + l);
                    *e = T::from_acc((*e).acc().mul(scale));
                });
            } else {
                blocks!(n, |i, len| for l in 0..len {
                    lanes[l] = lanes[l].add((*x.add(i + l)).acc().sub(max).vec_exp(fma));
                });
                let scale = T::Acc::ONE.div(T::Acc::sum_of(&lanes));
                blocks!(n, |i, len| for l in 0..len {
                    out.add(i + l).write(T::from_acc((*x.add(i + l)).acc().sub(max).vec_exp(fma).mul(scale)));
                });
            }
        }
    }
);

twins!(avx512
    /// Puts `exp(x - max)` in the place of each of `n` values, which the row holds, and gives their maximum and the sum of the
    /// results.
    pub fn exp_row[A: VecFloat][A](row: SendPtr<A>, n: usize; fma) -> (A, A) {
        let row = row.get();
        // SAFETY: the caller's promise.
        unsafe {
            let mut lanes = [A::LEAST; LANES];
            blocks!(n, |i, len| for l in 0..len {
                lanes[l] = lanes[l].larger(*row.add(i + l));
            });
            let max = A::max_of(&lanes);
            let mut lanes = [A::ZERO; LANES];
            blocks!(n, |i, len| for l in 0..len {
                let e = (*row.add(i + l)).sub(max).vec_exp(fma);
                row.add(i + l).write(e);
                lanes[l] = lanes[l].add(e);
            });
            (max, A::sum_of(&lanes))
        }
    }
);

twins!(avx512
    fn backward_row_of[T: Number<Acc: VecFloat>][T](
        out: SendPtr<T>, grad: SendPtr<T>, y: SendPtr<T>, n: usize, log: bool; fma
    ) {
        let (out, grad, y) = (out.get(), grad.get().cast_const(), y.get().cast_const());
        // SAFETY: all rows hold n elements.
        unsafe {
            let mut lanes = [T::Acc::ZERO; LANES];
            blocks!(n, |i, len| for l in 0..len {
                let g = (*grad.add(i + l)).acc();
                lanes[l] = lanes[l].add(if log { g } else { g.mul((*y.add(i + l)).acc()) });
            });
            let sum = T::Acc::sum_of(&lanes);
            blocks!(n, |i, len| for l in 0..len {
                let (g, v) = ((*grad.add(i + l)).acc(), (*y.add(i + l)).acc());
                let r = if log { g.sub(v.vec_exp(fma).mul(sum)) } else { v.mul(g.sub(sum)) };
                out.add(i + l).write(T::from_acc(r));
            });
        }
    }
);

twins!(avx512
    /// `len` columns at once; rows are `step` apart in input and output.
    fn forward_columns[T: Number<Acc: VecFloat>][T](
        out: SendPtr<T>, x: SendPtr<T>, step: usize, n: usize, len: usize, log: bool; fma
    ) {
        let (out, x) = (out.get(), x.get().cast_const());
        let (mut max, mut sum) = ([T::Acc::LEAST; WIDTH], [T::Acc::ZERO; WIDTH]);
        let (max, sum) = (&mut max[..len], &mut sum[..len]);
        // SAFETY: n rows of len columns.
        unsafe {
            for k in 0..n {
                let x = x.add(k * step);
                for c in 0..len {
                    max[c] = max[c].larger((*x.add(c)).acc());
                }
            }
            for k in 0..n {
                let x = x.add(k * step);
                for c in 0..len {
                    sum[c] = sum[c].add((*x.add(c)).acc().sub(max[c]).vec_exp(fma));
                }
            }
            for s in sum.iter_mut() {
                *s = if log { s.ln() } else { T::Acc::ONE.div(*s) };
            }
            for k in 0..n {
                let (x, out) = (x.add(k * step), out.add(k * step));
                if log {
                    for c in 0..len {
                        out.add(c).write(T::from_acc((*x.add(c)).acc().sub(max[c]).sub(sum[c])));
                    }
                } else {
                    for c in 0..len {
                        out.add(c).write(T::from_acc((*x.add(c)).acc().sub(max[c]).vec_exp(fma).mul(sum[c])));
                    }
                }
            }
        }
    }
);

twins!(avx512
    fn backward_columns[T: Number<Acc: VecFloat>][T](
        out: SendPtr<T>, grad: SendPtr<T>, y: SendPtr<T>, step: usize, n: usize, len: usize, log: bool; fma
    ) {
        let (out, grad, y) = (out.get(), grad.get().cast_const(), y.get().cast_const());
        let mut sum = [T::Acc::ZERO; WIDTH];
        let sum = &mut sum[..len];
        // SAFETY: n rows of len columns.
        unsafe {
            for k in 0..n {
                let (grad, y) = (grad.add(k * step), y.add(k * step));
                for c in 0..len {
                    let g = (*grad.add(c)).acc();
                    sum[c] = sum[c].add(if log { g } else { g.mul((*y.add(c)).acc()) });
                }
            }
            for k in 0..n {
                let (grad, y, out) = (grad.add(k * step), y.add(k * step), out.add(k * step));
                for c in 0..len {
                    let (g, v) = ((*grad.add(c)).acc(), (*y.add(c)).acc());
                    let r = if log { g.sub(v.vec_exp(fma).mul(sum[c])) } else { v.mul(g.sub(sum[c])) };
                    out.add(c).write(T::from_acc(r));
                }
            }
        }
    }
);

#[cfg(test)]
mod tests;
