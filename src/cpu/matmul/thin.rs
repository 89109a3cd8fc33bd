//! Products of a few rows (or columns): the other matrix is read once, in the order in which it lies. Rows of it are added up
//! into a block of results that stays in the first level of cache, columns of it become sums of products.

use super::Product;
use crate::cpu::memory::HostBuf;
use crate::cpu::simd::{SERIAL, SendPtr, chunks, twins};

/// The most rows, and the most where the other matrix lies by columns: what packs it pays for that only with more.
const ROWS: usize = 3;
const ROWS_DEEP: usize = 6;
/// Rows that are too short to be added up as such.
const SHORT: usize = 16;
/// Below this many multiply-adds starting costs more than it gains.
const LEAST: usize = 1 << 12;
/// Columns of a block: fewer would be read from memory in pieces that are too short, more would leave the cache.
const SHORTEST: usize = 256;
const LONGEST: usize = 1024;
/// Sums side by side of [`dot`].
const SUMS: usize = 64;

/// A float.
pub trait Term: Copy + Send + Sync {
    /// Nothing.
    const ZERO: Self;
    /// `self + x * y`, rounded once where that is one instruction.
    fn plus(self, x: Self, y: Self, fma: bool) -> Self;
    /// `self + y`.
    fn add(self, y: Self) -> Self;
    /// `self * y`.
    fn times(self, y: Self) -> Self;
    /// 0 for what is below 0, NaN as it is.
    fn relu(self) -> Self;
}

macro_rules! term {
    ($($t:ident)*) => {$(
        impl Term for $t {
            const ZERO: $t = 0.0;
            #[inline(always)]
            fn plus(self, x: $t, y: $t, fma: bool) -> $t {
                if fma { x.mul_add(y, self) } else { self + x * y }
            }
            #[inline(always)]
            fn add(self, y: $t) -> $t {
                self + y
            }
            #[inline(always)]
            fn times(self, y: $t) -> $t {
                self * y
            }
            #[inline(always)]
            fn relu(self) -> $t {
                if self <= 0.0 { 0.0 } else { self }
            }
        }
    )*};
}
term!(f32 f64);

/// Computes a product, or says no: more rows and columns, a tiny product, or a matrix that lies in no line.
pub fn product<T: Term>(p: Product<T>, alpha: T, beta: T, relu: bool, split: bool) -> bool {
    let p = if p.m > p.n { p.transposed() } else { p };
    // what is one column lies along the depth, whatever its other stride says
    let deep = p.b_rs == 1 && (p.b_cs != 1 || p.n == 1);
    let most = match p.b_cs {
        _ if deep => ROWS_DEEP,
        // shorter rows are not worth a call each
        1 if p.n >= SHORT => ROWS,
        _ => return false,
    };
    if p.m > most || p.m * p.n * p.k < LEAST {
        return false;
    }
    let copy;
    let p = if p.a_cs == 1 {
        p
    } else {
        copy = HostBuf::alloc(p.m * p.k * size_of::<T>());
        let to = SendPtr(copy.ptr().cast::<T>());
        for i in 0..p.m {
            for l in 0..p.k {
                // SAFETY: i < m, l < k, by the caller's promise of the operands; the copy has room for all.
                unsafe { to.get().add(i * p.k + l).write(*p.a.get().add(i * p.a_rs + l * p.a_cs)) };
            }
        }
        Product { a: to, a_rs: p.k, a_cs: 1, ..p }
    };
    // SAFETY: i < m; a row of a has k elements next to each other.
    let row = |i: usize| unsafe { std::slice::from_raw_parts(p.a.get().add(i * p.a_rs).cast_const(), p.k) };
    let finish = |i: usize, j: usize, sum: T| {
        // SAFETY: i < m, j < n, and nobody else writes this result.
        unsafe {
            let mut v = sum.times(alpha);
            if let Some((bias, rs, cs)) = p.bias {
                v = v.plus(beta, *bias.get().add(i * rs + j * cs), false);
            }
            p.out.get().add(i * p.out_rs + j * p.out_cs).write(if relu { v.relu() } else { v });
        }
    };
    if !deep {
        let width = (p.n / 4).next_multiple_of(64).clamp(SHORTEST, LONGEST);
        chunks(p.n, if split { width } else { p.n }, |columns| {
            let mut sums = [[T::ZERO; LONGEST]; ROWS];
            for start in columns.clone().step_by(width) {
                let len = width.min(columns.end - start);
                // SAFETY: l < k, and the columns are of b.
                let of_b = |l: usize| unsafe {
                    std::slice::from_raw_parts(p.b.get().add(l * p.b_rs + start).cast_const(), len)
                };
                for sums in &mut sums[..p.m] {
                    sums[..len].fill(T::ZERO);
                }
                for l in (0..p.k / 4 * 4).step_by(4) {
                    let b = [of_b(l), of_b(l + 1), of_b(l + 2), of_b(l + 3)];
                    for (i, sums) in sums[..p.m].iter_mut().enumerate() {
                        let a = row(i);
                        add_rows(&mut sums[..len], [a[l], a[l + 1], a[l + 2], a[l + 3]], b);
                    }
                }
                for l in p.k / 4 * 4..p.k {
                    for (i, sums) in sums[..p.m].iter_mut().enumerate() {
                        add_row(&mut sums[..len], row(i)[l], of_b(l));
                    }
                }
                for (i, sums) in sums[..p.m].iter().enumerate() {
                    for (j, &sum) in sums[..len].iter().enumerate() {
                        finish(i, start + j, sum);
                    }
                }
            }
        });
        return true;
    }
    let each = if split { (4 * SERIAL / (p.m * p.k)).max(1) } else { p.n };
    chunks(p.n, each, |columns| {
        for j in columns {
            // SAFETY: a column of b has k elements next to each other.
            let b = unsafe { std::slice::from_raw_parts(p.b.get().add(j * p.b_cs).cast_const(), p.k) };
            for i in 0..p.m {
                finish(i, j, dot(row(i), b));
            }
        }
    });
    true
}

twins!(avx512
    /// Adds four rows times a factor each.
    fn add_rows[T: Term][T](sums: &mut [T], a: [T; 4], b: [&[T]; 4]; fma) {
        let n = sums.len();
        let (b0, b1, b2, b3) = (&b[0][..n], &b[1][..n], &b[2][..n], &b[3][..n]);
        for j in 0..n {
            let terms = b0[j].times(a[0]).plus(b1[j], a[1], fma).plus(b2[j], a[2], fma).plus(b3[j], a[3], fma);
            sums[j] = sums[j].add(terms);
        }
    }
);

twins!(avx512
    /// Adds a row times a factor.
    fn add_row[T: Term][T](sums: &mut [T], a: T, b: &[T]; fma) {
        let b = &b[..sums.len()];
        for j in 0..b.len() {
            sums[j] = sums[j].plus(b[j], a, fma);
        }
    }
);

twins!(avx512
    /// The sum of products of two rows.
    fn dot[T: Term][T](a: &[T], b: &[T]; fma) -> T {
        let mut sums = [T::ZERO; SUMS];
        let mut at = 0;
        while at < a.len() {
            let len = (a.len() - at).min(SUMS);
            let (x, y) = (&a[at..at + len], &b[at..at + len]);
            for l in 0..len {
                sums[l] = sums[l].plus(x[l], y[l], fma);
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
