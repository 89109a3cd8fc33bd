//! A few elements side by side: the one vector type that convolution kernels are written over. AVX2 registers where the
//! CPU has them, small arrays (which compilers vectorise as they can) elsewhere and for integers.
//!
//! Loops over lanes are written with indices: `array::from_fn` and short `zip`s hold calls into the standard library that are
//! not marked for inlining, so without link-time optimisation they would stay calls in the innermost loops.

use crate::dtype::{DType, Element};

/// `N` elements of type `E`; float `mul_add` is fused in the AVX2 forms only.
pub trait Lanes: Copy {
    /// The element.
    type E: Element;
    /// How many.
    const N: usize;
    /// True where kernels are compiled in all their sizes: the types that most programs compute in. The others make do with
    /// fewer, to keep the library small.
    const FULL: bool = false;
    /// The same value in each.
    fn splat(x: Self::E) -> Self;
    /// Reads `N` elements.
    ///
    /// # Safety
    /// They are readable.
    unsafe fn load(p: *const Self::E) -> Self;
    /// Writes `N` elements.
    ///
    /// # Safety
    /// They are writable.
    unsafe fn store(self, p: *mut Self::E);
    /// `self * b + c`
    fn mul_add(self, b: Self, c: Self) -> Self;
    /// `self + b`
    fn plus(self, b: Self) -> Self;
    /// `self` where it is above zero or NaN, else 0.
    fn relu(self) -> Self;
    /// Exchanges rows and columns of the square that the first `N` vectors are.
    #[inline(always)]
    fn transpose(rows: &mut [Self; 16]) {
        let mut cells = [[Self::E::default(); 16]; 16];
        for i in 0..Self::N {
            // SAFETY: no lanes type is longer than 16.
            unsafe { rows[i].store(cells[i].as_mut_ptr()) };
        }
        for i in 0..Self::N {
            let mut column = [Self::E::default(); 16];
            for j in 0..16 {
                column[j] = cells[j][i];
            }
            // SAFETY: as above.
            rows[i] = unsafe { Self::load(column.as_ptr()) };
        }
    }
}

/// An element type with lanes.
pub trait HasLanes: Element {
    /// For code compiled with AVX-512; of most types the same as `Wide`.
    type Widest: Lanes<E = Self>;
    /// For code compiled with AVX2 and FMA.
    type Wide: Lanes<E = Self>;
    /// For any code.
    type Plain: Lanes<E = Self>;
}

/// Lanes as an array.
#[derive(Clone, Copy)]
pub struct Arr<T, const N: usize>([T; N]);

macro_rules! array_lanes {
    ($($t:ident $n:literal |$a:ident, $b:ident, $c:ident| $fma:expr, $plus:expr;)*) => {$(
        impl Lanes for Arr<$t, $n> {
            type E = $t;
            const N: usize = $n;
            // where there is AVX2 the array forms hardly ever run
            const FULL: bool = cfg!(not(target_arch = "x86_64")) && matches!(<$t as Element>::DTYPE, DType::F32);
            #[inline(always)]
            fn splat(x: $t) -> Self {
                Arr([x; $n])
            }
            #[inline(always)]
            unsafe fn load(p: *const $t) -> Self {
                // SAFETY: the caller's promise.
                Arr(unsafe { p.cast::<[$t; $n]>().read_unaligned() })
            }
            #[inline(always)]
            unsafe fn store(self, p: *mut $t) {
                // SAFETY: the caller's promise.
                unsafe { p.cast::<[$t; $n]>().write_unaligned(self.0) };
            }
            #[inline(always)]
            fn mul_add(self, b: Self, c: Self) -> Self {
                let mut out = self.0;
                for i in 0..$n {
                    let ($a, $b, $c) = (out[i], b.0[i], c.0[i]);
                    out[i] = $fma;
                }
                Arr(out)
            }
            #[inline(always)]
            fn plus(self, b: Self) -> Self {
                let mut out = self.0;
                for i in 0..$n {
                    let ($a, $b) = (out[i], b.0[i]);
                    out[i] = $plus;
                }
                Arr(out)
            }
            #[inline(always)]
            fn relu(self) -> Self {
                let (mut out, zero) = (self.0, <$t>::default());
                for i in 0..$n {
                    out[i] = if out[i] <= zero { zero } else { out[i] };
                }
                Arr(out)
            }
        }
    )*};
}
array_lanes! {
    f32 8 |a, b, c| a * b + c, a + b;
    f64 4 |a, b, c| a * b + c, a + b;
    i64 4 |a, b, c| a.wrapping_mul(b).wrapping_add(c), a.wrapping_add(b);
    i32 8 |a, b, c| a.wrapping_mul(b).wrapping_add(c), a.wrapping_add(b);
    u32 8 |a, b, c| a.wrapping_mul(b).wrapping_add(c), a.wrapping_add(b);
    i16 16 |a, b, c| a.wrapping_mul(b).wrapping_add(c), a.wrapping_add(b);
    i8 16 |a, b, c| a.wrapping_mul(b).wrapping_add(c), a.wrapping_add(b);
    u8 16 |a, b, c| a.wrapping_mul(b).wrapping_add(c), a.wrapping_add(b);
}

macro_rules! array_only {
    ($($t:ident $n:literal)*) => {$(
        impl HasLanes for $t {
            type Widest = Arr<$t, $n>;
            type Wide = Arr<$t, $n>;
            type Plain = Arr<$t, $n>;
        }
    )*};
}
array_only!(i64 4 i32 8 u32 8 i16 16 i8 16 u8 16);
#[cfg(not(target_arch = "x86_64"))]
array_only!(f32 8 f64 4);

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use super::{Arr, DType, Element, HasLanes, Lanes};
    use std::arch::x86_64::*;

    /// Eight f32.
    #[derive(Clone, Copy)]
    pub struct F32x8(__m256);
    /// Four f64.
    #[derive(Clone, Copy)]
    pub struct F64x4(__m256d);

    /// Sixteen f32.
    #[derive(Clone, Copy)]
    pub struct F32x16(__m512);

    impl Lanes for F32x16 {
        type E = f32;
        const N: usize = 16;
        const FULL: bool = true;
        #[inline(always)]
        fn splat(x: f32) -> Self {
            // SAFETY: this type is used in code compiled for AVX-512 only.
            F32x16(unsafe { _mm512_set1_ps(x) })
        }
        #[inline(always)]
        unsafe fn load(p: *const f32) -> Self {
            // SAFETY: as above, and the caller's promise.
            F32x16(unsafe { _mm512_loadu_ps(p) })
        }
        #[inline(always)]
        unsafe fn store(self, p: *mut f32) {
            // SAFETY: as above, and the caller's promise.
            unsafe { _mm512_storeu_ps(p, self.0) };
        }
        #[inline(always)]
        fn mul_add(self, b: Self, c: Self) -> Self {
            // SAFETY: as above.
            F32x16(unsafe { _mm512_fmadd_ps(self.0, b.0, c.0) })
        }
        #[inline(always)]
        fn plus(self, b: Self) -> Self {
            // SAFETY: as above.
            F32x16(unsafe { _mm512_add_ps(self.0, b.0) })
        }
        #[inline(always)]
        fn relu(self) -> Self {
            // SAFETY: as above. "Not less or equal" holds for NaN too.
            F32x16(unsafe {
                _mm512_maskz_mov_ps(_mm512_cmp_ps_mask::<_CMP_NLE_UQ>(self.0, _mm512_setzero_ps()), self.0)
            })
        }
    }

    macro_rules! avx_lanes {
        ($v:ident $widest:ident $t:ident $n:literal $set:ident $load:ident $store:ident $fma:ident $add:ident $and:ident $cmp:ident $zero:ident |$rows:ident| $transpose:block) => {
            impl Lanes for $v {
                type E = $t;
                const N: usize = $n;
                const FULL: bool = matches!(<$t as Element>::DTYPE, DType::F32);
                #[inline(always)]
                fn splat(x: $t) -> Self {
                    // SAFETY: this type is used in code compiled for AVX2 and FMA only.
                    $v(unsafe { $set(x) })
                }
                #[inline(always)]
                unsafe fn load(p: *const $t) -> Self {
                    // SAFETY: as above, and the caller's promise.
                    $v(unsafe { $load(p) })
                }
                #[inline(always)]
                unsafe fn store(self, p: *mut $t) {
                    // SAFETY: as above, and the caller's promise.
                    unsafe { $store(p, self.0) };
                }
                #[inline(always)]
                fn mul_add(self, b: Self, c: Self) -> Self {
                    // SAFETY: as above.
                    $v(unsafe { $fma(self.0, b.0, c.0) })
                }
                #[inline(always)]
                fn plus(self, b: Self) -> Self {
                    // SAFETY: as above.
                    $v(unsafe { $add(self.0, b.0) })
                }
                #[inline(always)]
                fn relu(self) -> Self {
                    // SAFETY: as above. "Not less or equal" holds for NaN too.
                    $v(unsafe { $and(self.0, $cmp::<_CMP_NLE_UQ>(self.0, $zero())) })
                }
                #[inline(always)]
                fn transpose($rows: &mut [Self; 16]) {
                    $transpose
                }
            }
            impl HasLanes for $t {
                type Widest = $widest;
                type Wide = $v;
                type Plain = Arr<$t, $n>;
            }
        };
    }
    avx_lanes!(F32x8 F32x16 f32 8 _mm256_set1_ps _mm256_loadu_ps _mm256_storeu_ps _mm256_fmadd_ps _mm256_add_ps _mm256_and_ps _mm256_cmp_ps _mm256_setzero_ps |rows| {
        // SAFETY: as above.
        unsafe {
            // pairs, then fours, then halves
            let (mut a, mut b) = ([rows[0].0; 8], [rows[0].0; 8]);
            for i in 0..4 {
                a[2 * i] = _mm256_unpacklo_ps(rows[2 * i].0, rows[2 * i + 1].0);
                a[2 * i + 1] = _mm256_unpackhi_ps(rows[2 * i].0, rows[2 * i + 1].0);
            }
            for i in 0..2 {
                for j in 0..2 {
                    b[4 * i + 2 * j] = _mm256_shuffle_ps::<0x44>(a[4 * i + j], a[4 * i + 2 + j]);
                    b[4 * i + 2 * j + 1] = _mm256_shuffle_ps::<0xee>(a[4 * i + j], a[4 * i + 2 + j]);
                }
            }
            for i in 0..4 {
                rows[i].0 = _mm256_permute2f128_ps::<0x20>(b[i], b[i + 4]);
                rows[i + 4].0 = _mm256_permute2f128_ps::<0x31>(b[i], b[i + 4]);
            }
        }
    });
    avx_lanes!(F64x4 F64x4 f64 4 _mm256_set1_pd _mm256_loadu_pd _mm256_storeu_pd _mm256_fmadd_pd _mm256_add_pd _mm256_and_pd _mm256_cmp_pd _mm256_setzero_pd |rows| {
        // SAFETY: as above.
        unsafe {
            let (a, b) = (_mm256_unpacklo_pd(rows[0].0, rows[1].0), _mm256_unpackhi_pd(rows[0].0, rows[1].0));
            let (c, d) = (_mm256_unpacklo_pd(rows[2].0, rows[3].0), _mm256_unpackhi_pd(rows[2].0, rows[3].0));
            rows[0].0 = _mm256_permute2f128_pd::<0x20>(a, c);
            rows[1].0 = _mm256_permute2f128_pd::<0x20>(b, d);
            rows[2].0 = _mm256_permute2f128_pd::<0x31>(a, c);
            rows[3].0 = _mm256_permute2f128_pd::<0x31>(b, d);
        }
    });
}
