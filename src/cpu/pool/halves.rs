//! Max pooling by 2x2 windows of float32 in AVX2 registers: what most networks pool with, and rows too short for a compiler's
//! loops. The rest of pooling is in `pool.rs`.

use std::arch::x86_64::*;

/// Best of eight windows and the number (0 to 3, row by row) of the cell it is in: the first of equal ones, the last NaN.
#[target_feature(enable = "avx2")]
fn best_of(t0: __m256, t1: __m256, b0: __m256, b1: __m256) -> (__m256, __m256i) {
    // even and odd cells, in an order that is put right at the end
    let rest =
        [_mm256_shuffle_ps::<0xdd>(t0, t1), _mm256_shuffle_ps::<0x88>(b0, b1), _mm256_shuffle_ps::<0xdd>(b0, b1)];
    let mut best = _mm256_shuffle_ps::<0x88>(t0, t1);
    let mut code = _mm256_setzero_si256();
    for (i, v) in rest.into_iter().enumerate() {
        let take = _mm256_or_ps(_mm256_cmp_ps::<_CMP_GT_OQ>(v, best), _mm256_cmp_ps::<_CMP_UNORD_Q>(v, v));
        best = _mm256_blendv_ps(best, v, take);
        code = _mm256_blendv_epi8(code, _mm256_set1_epi32(i as i32 + 1), _mm256_castps_si256(take));
    }
    (_mm256_castpd_ps(_mm256_permute4x64_pd::<0xd8>(_mm256_castps_pd(best))), _mm256_permute4x64_epi64::<0xd8>(code))
}

/// Positions of the cells that the numbers name, `at` being the first window's.
#[target_feature(enable = "avx2")]
fn positions(code: __m256i, at: i32, width: i32) -> [__m256i; 2] {
    let first = _mm256_add_epi32(_mm256_set1_epi32(at), _mm256_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14));
    let right = _mm256_and_si256(code, _mm256_set1_epi32(1));
    let down = _mm256_mullo_epi32(_mm256_srli_epi32::<1>(code), _mm256_set1_epi32(width));
    let all = _mm256_add_epi32(first, _mm256_add_epi32(right, down));
    [_mm256_cvtepi32_epi64(_mm256_castsi256_si128(all)), _mm256_cvtepi32_epi64(_mm256_extracti128_si256::<1>(all))]
}

/// One row of `n` windows: values and flat positions, `base` being that of the row's first cell in its plane.
///
/// # Safety
/// The CPU has AVX2; the source rows hold `2 * n` cells and the outputs `n`; no position exceeds an i32.
#[target_feature(enable = "avx2")]
pub unsafe fn max_row(
    out: *mut f32,
    index: *mut i64,
    top: *const f32,
    bottom: *const f32,
    n: usize,
    base: i32,
    width: i32,
) {
    // SAFETY: the caller's promise; the last vector overlaps the one before it rather than go past the end, and a row of less
    // than one vector is read and written through masks.
    unsafe {
        if n < 8 {
            let lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
            let below = |count: i32| _mm256_cmpgt_epi32(_mm256_set1_epi32(count), lanes);
            let (m0, m1, m) = (below(2 * n as i32), below(2 * n as i32 - 8), below(n as i32));
            let load = |p: *const f32| (_mm256_maskload_ps(p, m0), _mm256_maskload_ps(p.wrapping_add(8), m1));
            let ((t0, t1), (b0, b1)) = (load(top), load(bottom));
            let (best, code) = best_of(t0, t1, b0, b1);
            _mm256_maskstore_ps(out, m, best);
            let at = positions(code, base, width);
            _mm256_maskstore_epi64(index, _mm256_cvtepi32_epi64(_mm256_castsi256_si128(m)), at[0]);
            let high = _mm256_cvtepi32_epi64(_mm256_extracti128_si256::<1>(m));
            _mm256_maskstore_epi64(index.wrapping_add(4), high, at[1]);
            return;
        }
        let mut done = 0;
        while done < n {
            let x = done.min(n - 8);
            let load = |p: *const f32| (_mm256_loadu_ps(p.add(2 * x)), _mm256_loadu_ps(p.add(2 * x + 8)));
            let ((t0, t1), (b0, b1)) = (load(top), load(bottom));
            let (best, code) = best_of(t0, t1, b0, b1);
            _mm256_storeu_ps(out.add(x), best);
            let at = positions(code, base + 2 * x as i32, width);
            _mm256_storeu_si256(index.add(x).cast(), at[0]);
            _mm256_storeu_si256(index.add(x + 4).cast(), at[1]);
            done += 8;
        }
    }
}
