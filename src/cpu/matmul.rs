//! Matrix products over any strides, batched, with `alpha`, `beta * bias` and relu in the same call. Floats of few rows
//! or columns go by `thin`, f32 on CPUs with AVX-512 by `tiles`, others through the `gemm` crate; integers wrap in plain loops.

mod thin;
#[cfg(target_arch = "x86_64")]
mod tiles;

use crate::cpu::memory::HostBuf;
use crate::cpu::simd::{SERIAL, SendPtr, Walk, chunks, twins};
use crate::cpu::view::{View, ViewMut};
use crate::dtype::Element;
use num_complex::Complex;

/// Multiply-adds from which one product is split inside itself rather than run whole on one thread.
const SPLIT: usize = 1 << 20;
/// Length of the pieces that a long inner dim is cut into where the result is small.
const K_PIECE: usize = 4096;

/// An element type that has a matrix product.
pub trait Gemm: Element {
    /// The type of `alpha` and `beta`.
    type Scale: Copy + Send + Sync;

    /// One product of checked shape; see [`gemm`].
    #[doc(hidden)]
    fn product(p: Product<Self>, alpha: Self::Scale, beta: Self::Scale, relu: bool, split: bool);
}

/// One 2-D product: pointers and strides.
#[doc(hidden)]
#[derive(Clone, Copy)]
pub struct Product<T> {
    pub m: usize,
    pub n: usize,
    pub k: usize,
    pub out: SendPtr<T>,
    pub out_rs: usize,
    pub out_cs: usize,
    pub a: SendPtr<T>,
    pub a_rs: usize,
    pub a_cs: usize,
    pub b: SendPtr<T>,
    pub b_rs: usize,
    pub b_cs: usize,
    pub bias: Option<(SendPtr<T>, usize, usize)>,
}

/// `out = relu?(alpha * a @ b + beta * bias)`: `out` is `[.., M, N]`, `a` `[.., M, K]`, `b` `[.., K, N]`, `bias` has the
/// shape of `out`; all leading dims are equal (broadcast operands have stride 0). With `beta` 0 the bias is not read.
pub fn gemm<T: Gemm>(
    out: ViewMut<T>,
    a: View<T>,
    b: View<T>,
    bias: Option<View<T>>,
    alpha: T::Scale,
    beta: T::Scale,
    relu: bool,
) {
    let batch_dims = out.shape.len() - 2;
    let (lead, mat) = out.shape.split_at(batch_dims);
    let (m, n, k) = (mat[0], mat[1], a.shape[batch_dims + 1]);
    debug_assert_eq!((a.shape[batch_dims], b.shape[batch_dims], b.shape[batch_dims + 1]), (m, k, n));
    let batch: usize = lead.iter().product();
    if batch * m * n == 0 {
        return;
    }
    let tail = |s: &[usize]| (s[batch_dims], s[batch_dims + 1]);
    let ((out_rs, out_cs), (a_rs, a_cs), (b_rs, b_cs)) = (tail(out.strides), tail(a.strides), tail(b.strides));
    let first = Product {
        m,
        n,
        k,
        out: SendPtr(out.ptr()),
        out_rs,
        out_cs,
        a: SendPtr(a.ptr().cast_mut()),
        a_rs,
        a_cs,
        b: SendPtr(b.ptr().cast_mut()),
        b_rs,
        b_cs,
        bias: bias.map(|v| (SendPtr(v.ptr().cast_mut()), tail(v.strides).0, tail(v.strides).1)),
    };
    if batch == 1 {
        return T::product(first, alpha, beta, relu, true);
    }
    // a batch that shares its right operand and whose rows follow each other is one tall product
    if lead.len() == 1
        && b.strides[0] == 0
        && a.strides[0] == m * a_rs
        && out.strides[0] == m * out_rs
        && bias.is_none_or(|v| v.strides[0] == m * tail(v.strides).0)
    {
        return T::product(Product { m: m * batch, ..first }, alpha, beta, relu, true);
    }
    let work = m * n * k.max(1);
    let bias_strides = bias.map_or(out.strides, |v| v.strides);
    let strides =
        [&out.strides[..batch_dims], &a.strides[..batch_dims], &b.strides[..batch_dims], &bias_strides[..batch_dims]];
    let split = work >= 4 * SPLIT;
    let run = |range: std::ops::Range<usize>| {
        let mut walk = Walk::new(lead, strides, range.start);
        for _ in range {
            let [o, a, b, v] = walk.at;
            let p = Product {
                out: first.out.add(o),
                a: first.a.add(a),
                b: first.b.add(b),
                bias: first.bias.map(|(p, rs, cs)| (p.add(v), rs, cs)),
                ..first
            };
            T::product(p, alpha, beta, relu, split);
            walk.step();
        }
    };
    if split {
        run(0..batch);
    } else {
        chunks(batch, (2 * SERIAL / work).max(1), run);
    }
}

impl<T> SendPtr<T> {
    /// The pointer `n` elements on.
    #[inline(always)]
    pub fn add(self, n: usize) -> SendPtr<T> {
        SendPtr(self.0.wrapping_add(n))
    }
}

impl<T: Copy> Product<T> {
    /// The same product with rows and columns exchanged.
    fn transposed(self) -> Product<T> {
        Product {
            m: self.n,
            n: self.m,
            out_rs: self.out_cs,
            out_cs: self.out_rs,
            a: self.b,
            a_rs: self.b_cs,
            a_cs: self.b_rs,
            b: self.a,
            b_rs: self.a_cs,
            b_cs: self.a_rs,
            bias: self.bias.map(|(p, rs, cs)| (p, cs, rs)),
            ..self
        }
    }

    /// Rows `range` of it.
    fn rows(self, range: std::ops::Range<usize>) -> Product<T> {
        Product {
            m: range.len(),
            out: self.out.add(range.start * self.out_rs),
            a: self.a.add(range.start * self.a_rs),
            bias: self.bias.map(|(p, rs, cs)| (p.add(range.start * rs), rs, cs)),
            ..self
        }
    }
}

/// Products in tiles of our own, where there are such for the type and the CPU; false where they are to be done otherwise.
#[cfg(target_arch = "x86_64")]
fn tiled_f32(p: Product<f32>, alpha: f32, beta: f32, relu: bool, split: bool) -> bool {
    tiles::product(p, alpha, beta, relu, split)
}

#[cfg(not(target_arch = "x86_64"))]
fn tiled_f32(_: Product<f32>, _: f32, _: f32, _: bool, _: bool) -> bool {
    false
}

fn tiled_f64(_: Product<f64>, _: f64, _: f64, _: bool, _: bool) -> bool {
    false
}

macro_rules! float_gemm {
    ($t:ident $tiled:ident) => {
        impl Gemm for $t {
            type Scale = $t;

            fn product(p: Product<$t>, alpha: $t, beta: $t, relu: bool, split: bool) {
                let p = Product { bias: p.bias.filter(|_| beta != 0.0), ..p };
                let work = p.m * p.n * p.k;
                if split && work >= 2 * SERIAL {
                    if p.k >= 2 * K_PIECE && p.m * p.n <= 4096 {
                        return long_inner(p, alpha, beta, relu);
                    }
                    if thin::product(p, alpha, beta, relu, true) || $tiled(p, alpha, beta, relu, true) {
                        return;
                    }
                    if p.n == 1 || p.m == 1 || p.k <= 64 || p.m >= 16 * p.n {
                        // thin or shallow: independent row blocks, each finished while it is hot
                        let p = if p.m < p.n { p.transposed() } else { p };
                        let block = (SPLIT / 4 / (p.n * p.k.max(1))).max(64).next_multiple_of(16);
                        return chunks(p.m, block, |r| block_product(p.rows(r), alpha, beta, relu, false));
                    }
                }
                block_product(p, alpha, beta, relu, split && work >= SPLIT / 2);

                fn block_product(p: Product<$t>, alpha: $t, beta: $t, relu: bool, split: bool) {
                    if !split && (thin::product(p, alpha, beta, relu, false) || $tiled(p, alpha, beta, relu, false)) {
                        return;
                    }
                    let rows = if split { (SPLIT / 16 / p.n).max(1) } else { p.m };
                    if p.bias.is_some() {
                        // SAFETY: the strides of the product's operands reach valid elements, by the caller's promise.
                        chunks(p.m, rows, |r| unsafe { prefill(p.rows(r), beta) });
                    }
                    let threads = if split { gemm::Parallelism::Rayon(0) } else { gemm::Parallelism::None };
                    let s = |x: usize| x as isize;
                    // SAFETY: as above; `dst` is read only where the bias was put.
                    let run = || unsafe {
                        gemm::gemm(
                            p.m,
                            p.n,
                            p.k,
                            p.out.get(),
                            s(p.out_cs),
                            s(p.out_rs),
                            p.bias.is_some(),
                            p.a.get().cast_const(),
                            s(p.a_cs),
                            s(p.a_rs),
                            p.b.get().cast_const(),
                            s(p.b_cs),
                            s(p.b_rs),
                            1.0,
                            alpha,
                            false,
                            false,
                            false,
                            threads,
                        );
                    };
                    // handed to rayon's threads as a whole: they would else be woken for each of its parts
                    if split { rayon::scope(|_| run()) } else { run() }
                    if relu {
                        // SAFETY: every element of the output is written by now.
                        chunks(p.m, rows, |r| unsafe { relu_rows(p.rows(r)) });
                    }
                }

                /// Few results of many terms: pieces of the inner dim side by side, added in order.
                fn long_inner(p: Product<$t>, alpha: $t, beta: $t, relu: bool) {
                    let (count, size) = (p.k.div_ceil(K_PIECE), p.m * p.n);
                    let scratch = HostBuf::alloc(count * size * size_of::<$t>());
                    let parts = SendPtr(scratch.ptr().cast::<$t>());
                    chunks(p.k, K_PIECE, |r| {
                        let part = parts.add(r.start / K_PIECE * size);
                        let piece = Product {
                            k: r.len(),
                            a: p.a.add(r.start * p.a_cs),
                            b: p.b.add(r.start * p.b_rs),
                            out: part,
                            out_rs: p.n,
                            out_cs: 1,
                            bias: None,
                            ..p
                        };
                        block_product(piece, alpha, 0.0, false, false);
                    });
                    for i in 0..p.m {
                        for j in 0..p.n {
                            // SAFETY: i < m, j < n, and every part has m * n elements.
                            unsafe {
                                let mut sum = 0.0;
                                for c in 0..count {
                                    sum += *parts.get().add(c * size + i * p.n + j);
                                }
                                if let Some((v, rs, cs)) = p.bias {
                                    sum += beta * *v.get().add(i * rs + j * cs);
                                }
                                if relu && sum <= 0.0 {
                                    sum = 0.0;
                                }
                                p.out.get().add(i * p.out_rs + j * p.out_cs).write(sum);
                            }
                        }
                    }
                }

                /// # Safety
                /// `out` and `bias` reach m by n elements.
                unsafe fn prefill(p: Product<$t>, beta: $t) {
                    let Some((bias, rs, cs)) = p.bias else { return };
                    if bias.get() == p.out.get() && (rs, cs) == (p.out_rs, p.out_cs) && beta == 1.0 {
                        // it is there already
                        return;
                    }
                    let p = if p.out_cs > p.out_rs { p.transposed() } else { p };
                    let (rs, cs) = if p.m != 0 { p.bias.map_or((rs, cs), |b| (b.1, b.2)) } else { (rs, cs) };
                    for i in 0..p.m {
                        // SAFETY: i < m, j < n.
                        unsafe {
                            let (o, v) = (p.out.get().add(i * p.out_rs), bias.get().cast_const().add(i * rs));
                            match (p.out_cs, cs) {
                                (1, 1) if beta == 1.0 => std::ptr::copy_nonoverlapping(v, o, p.n),
                                (1, 1) => (0..p.n).for_each(|j| o.add(j).write(beta * *v.add(j))),
                                (1, 0) => {
                                    let x = beta * *v;
                                    (0..p.n).for_each(|j| o.add(j).write(x));
                                }
                                (oc, _) => (0..p.n).for_each(|j| o.add(j * oc).write(beta * *v.add(j * cs))),
                            }
                        }
                    }
                }

                /// # Safety
                /// `out` holds m by n written elements.
                unsafe fn relu_rows(p: Product<$t>) {
                    let p = if p.out_cs > p.out_rs { p.transposed() } else { p };
                    for i in 0..p.m {
                        // SAFETY: i < m, j < n.
                        unsafe {
                            let o = p.out.get().add(i * p.out_rs);
                            if p.out_cs == 1 {
                                relu_slice(std::slice::from_raw_parts_mut(o, p.n));
                            } else {
                                for j in 0..p.n {
                                    let x = o.add(j * p.out_cs);
                                    if *x <= 0.0 {
                                        *x = 0.0;
                                    }
                                }
                            }
                        }
                    }
                }

                twins!(
                    fn relu_slice[][](x: &mut [$t]) {
                        for v in x {
                            *v = if *v <= 0.0 { 0.0 } else { *v };
                        }
                    }
                );
            }
        }
    };
}
float_gemm!(f32 tiled_f32);
float_gemm!(f64 tiled_f64);

macro_rules! int_gemm {
    ($($t:ident)*) => {$(
        impl Gemm for $t {
            type Scale = $t;

            fn product(p: Product<$t>, alpha: $t, beta: $t, relu: bool, split: bool) {
                // rows of b are read once per row of a: a row-major copy where they are strided
                let copy;
                let (b, b_rs) = if p.b_cs == 1 {
                    (p.b, p.b_rs)
                } else {
                    copy = HostBuf::alloc(p.k * p.n * size_of::<$t>());
                    let to = SendPtr(copy.ptr().cast::<$t>());
                    for i in 0..p.k {
                        for j in 0..p.n {
                            // SAFETY: i < k, j < n.
                            unsafe { to.get().add(i * p.n + j).write(*p.b.get().add(i * p.b_rs + j * p.b_cs)) };
                        }
                    }
                    (to, p.n)
                };
                let chunk = if split { (2 * SERIAL / (p.n * p.k.max(1))).max(1) } else { p.m };
                chunks(p.m, chunk, |r| {
                    let mut row = vec![0 as $t; p.n];
                    for i in r {
                        row.fill(0);
                        for l in 0..p.k {
                            // SAFETY: i < m, l < k; a row of b has n elements.
                            unsafe {
                                let x = *p.a.get().add(i * p.a_rs + l * p.a_cs);
                                axpy(&mut row, x, std::slice::from_raw_parts(b.get().add(l * b_rs), p.n));
                            }
                        }
                        for (j, &sum) in row.iter().enumerate() {
                            let mut v = alpha.wrapping_mul(sum);
                            // SAFETY: i < m, j < n.
                            unsafe {
                                if let Some((bias, rs, cs)) = p.bias {
                                    v = v.wrapping_add(beta.wrapping_mul(*bias.get().add(i * rs + j * cs)));
                                }
                                p.out.get().add(i * p.out_rs + j * p.out_cs).write(if relu { v.max(0) } else { v });
                            }
                        }
                    }
                });
                twins!(
                    fn axpy[][](y: &mut [$t], a: $t, x: &[$t]) {
                        for (y, x) in y.iter_mut().zip(x) {
                            *y = y.wrapping_add(a.wrapping_mul(*x));
                        }
                    }
                );
            }
        }
    )*};
}
int_gemm!(i64);

macro_rules! complex_gemm {
    ($($t:ident)*) => {$(
        impl Gemm for Complex<$t> {
            type Scale = Complex<$t>;

            fn product(p: Product<Self>, alpha: Self, beta: Self, relu: bool, split: bool) {
                debug_assert!(!relu, "complex numbers have no order");
                let zero = Complex::new(0.0, 0.0);
                let bias = p.bias.filter(|_| beta != zero);
                for i in 0..if bias.is_some() { p.m } else { 0 } {
                    for j in 0..p.n {
                        // SAFETY: i < m, j < n.
                        unsafe {
                            let b = bias.map_or(zero, |(bias, rs, cs)| *bias.get().add(i * rs + j * cs));
                            p.out.get().add(i * p.out_rs + j * p.out_cs).write(beta * b);
                        }
                    }
                }
                let split = split && p.m * p.n * p.k >= SPLIT / 2;
                let threads = if split { gemm::Parallelism::Rayon(0) } else { gemm::Parallelism::None };
                let s = |x: usize| x as isize;
                // SAFETY: the strides of the operands reach valid elements; `dst` is read only where the bias was put.
                unsafe {
                    gemm::gemm(
                        p.m,
                        p.n,
                        p.k,
                        p.out.get(),
                        s(p.out_cs),
                        s(p.out_rs),
                        bias.is_some(),
                        p.a.get().cast_const(),
                        s(p.a_cs),
                        s(p.a_rs),
                        p.b.get().cast_const(),
                        s(p.b_cs),
                        s(p.b_rs),
                        Complex::new(1.0, 0.0),
                        alpha,
                        false,
                        false,
                        false,
                        threads,
                    );
                }
            }
        }
    )*};
}
complex_gemm!(f32 f64);

#[cfg(test)]
mod tests;
