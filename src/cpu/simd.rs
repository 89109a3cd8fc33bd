//! How kernels get vector code and threads: loops compiled twice (baseline and AVX2 with FMA) and chosen once at run time,
//! and a split into chunks that depends on sizes alone, so that results never depend on the number of threads.

use std::ops::Range;

/// Work below this many simple operations is not worth waking another thread for.
pub const SERIAL: usize = 1 << 15;

/// True where the CPU has AVX2 and FMA.
#[inline]
pub fn wide() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        // the macro caches what it finds
        is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
    }
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Bytes from which on a result is written past the cache: more than the last level of most holds, so that nothing of it would
/// be left there when somebody reads it. Smaller ones are written faster into the cache.
pub const PAST_CACHE: usize = 32 << 20;

/// Asks for the cache lines of some bytes that are read soon.
#[inline(always)]
pub fn prefetch(from: *const u8, bytes: usize) {
    #[cfg(target_arch = "x86_64")]
    for at in (0..bytes).step_by(64) {
        // SAFETY: every x86-64 CPU has the instruction, which reads nothing and takes any address.
        unsafe { std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(from.wrapping_add(at).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (from, bytes);
}

/// Copies bytes with as many threads as pay, and past the cache where they are many.
///
/// # Safety
/// As `copy_nonoverlapping`.
pub unsafe fn copy_bytes(from: *const u8, to: *mut u8, bytes: usize) {
    const PIECE: usize = 1 << 18;
    let (from, to) = (SendPtr(from.cast_mut()), SendPtr(to));
    chunks(bytes, PIECE, |r| {
        // SAFETY: a part of what the caller promises.
        unsafe {
            let (from, to) = (from.get().cast_const().add(r.start), to.get().add(r.start));
            if bytes < PAST_CACHE {
                std::ptr::copy_nonoverlapping(from, to, r.len());
            } else {
                copy_past_cache(from, to, r.len());
                fence();
            }
        }
    });
}

/// Copies bytes to memory that nobody reads soon, past the cache where the CPU can: its lines are then not read before they are
/// written, and what is in the cache stays. Ends with [`fence`] before other threads look.
///
/// # Safety
/// As `copy_nonoverlapping`.
pub unsafe fn copy_past_cache(from: *const u8, to: *mut u8, bytes: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx")]
        unsafe fn lines(from: *const u8, to: *mut u8, bytes: usize) {
            use std::arch::x86_64::{_mm256_loadu_ps, _mm256_stream_ps};
            for at in (0..bytes).step_by(64) {
                // SAFETY: 64 bytes from `at` on lie in both; the target's lines are aligned.
                unsafe {
                    let (a, b) = (_mm256_loadu_ps(from.add(at).cast()), _mm256_loadu_ps(from.add(at + 32).cast()));
                    _mm256_stream_ps(to.add(at).cast(), a);
                    _mm256_stream_ps(to.add(at + 32).cast(), b);
                }
            }
        }
        if wide() {
            let head = to.align_offset(64).min(bytes);
            let body = (bytes - head) & !63;
            // SAFETY: the caller's promise; the CPU has AVX.
            unsafe {
                std::ptr::copy_nonoverlapping(from, to, head);
                lines(from.add(head), to.add(head), body);
                std::ptr::copy_nonoverlapping(from.add(head + body), to.add(head + body), bytes - head - body);
            }
            return;
        }
    }
    // SAFETY: the caller's promise.
    unsafe { std::ptr::copy_nonoverlapping(from, to, bytes) };
}

/// Orders what [`copy_past_cache`] wrote before everything that this thread does from here on.
pub fn fence() {
    // SAFETY: every x86-64 CPU has it.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        std::arch::x86_64::_mm_sfence();
    }
}

/// True where the CPU has the parts of AVX-512 that vector loops over f32 use, beside [`wide`].
#[inline]
pub fn widest() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && wide()
    }
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Declares a function whose body is compiled twice and picked by `wide()`:
/// `twins!(fn name[T: Num][T](x: &[T]) -> T { … })`, generics declared first, then named. `fma` in `fn name[..][..](..; fma)`
/// is a constant bool inside the body: whether a fused multiply-add is one instruction. `avx512` before all of it is for bodies
/// that are bound by arithmetic: they are compiled a third time, for AVX-512.
macro_rules! twins {
    (avx512 $(#[$m:meta])* $vis:vis fn $name:ident [$($g:tt)*][$($u:tt)*]($($arg:ident: $ty:ty),* $(,)?; $fma:ident) $(-> $ret:ty)? $body:block) => {
        $(#[$m])*
        #[allow(clippy::too_many_arguments, reason = "kernels take what they need")]
        $vis fn $name<$($g)*>($($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            #[allow(clippy::too_many_arguments, reason = "as outside")]
            fn wider<$($g)*>($($arg: $ty,)* $fma: bool) $(-> $ret)? $body
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
            #[allow(clippy::too_many_arguments, reason = "as outside")]
            fn widest<$($g)*>($($arg: $ty),*) $(-> $ret)? {
                wider::<$($u)*>($($arg,)* true)
            }
            #[cfg(target_arch = "x86_64")]
            if $crate::cpu::simd::widest() {
                // SAFETY: the CPU has what this form was compiled for.
                return unsafe { widest::<$($u)*>($($arg),*) };
            }
            $crate::cpu::simd::twins!(fn narrower[$($g)*][$($u)*]($($arg: $ty),*; $fma) $(-> $ret)? { wider::<$($u)*>($($arg,)* $fma) });
            narrower::<$($u)*>($($arg),*)
        }
    };
    ($(#[$m:meta])* $vis:vis fn $name:ident [$($g:tt)*][$($u:tt)*]($($arg:ident: $ty:ty),* $(,)?; $fma:ident) $(-> $ret:ty)? $body:block) => {
        $(#[$m])*
        #[allow(clippy::too_many_arguments, reason = "kernels take what they need")]
        $vis fn $name<$($g)*>($($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            #[allow(clippy::too_many_arguments, reason = "as outside")]
            fn body<$($g)*>($($arg: $ty,)* $fma: bool) $(-> $ret)? $body
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            #[allow(clippy::too_many_arguments, reason = "as outside")]
            fn wide<$($g)*>($($arg: $ty),*) $(-> $ret)? {
                body::<$($u)*>($($arg,)* true)
            }
            #[cfg(target_arch = "x86_64")]
            if $crate::cpu::simd::wide() {
                // SAFETY: the CPU has what the twin was compiled for.
                return unsafe { wide::<$($u)*>($($arg),*) };
            }
            body::<$($u)*>($($arg,)* false)
        }
    };
    ($(#[$m:meta])* $vis:vis fn $name:ident [$($g:tt)*][$($u:tt)*]($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block) => {
        $crate::cpu::simd::twins!($(#[$m])* $vis fn $name[$($g)*][$($u)*]($($arg: $ty),*; _fma) $(-> $ret)? $body);
    };
}
pub(crate) use twins;

/// A pointer that may cross threads; whoever uses it writes disjoint elements.
pub struct SendPtr<T>(pub *mut T);

impl<T> Clone for SendPtr<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for SendPtr<T> {}
// SAFETY: it is only an address; the kernels that share it write disjoint elements.
unsafe impl<T: Send> Send for SendPtr<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for SendPtr<T> {}

impl<T> SendPtr<T> {
    /// The address (a method, so that closures capture the whole wrapper).
    #[inline(always)]
    pub fn get(self) -> *mut T {
        self.0
    }
}

/// Runs `f` over `0..n` in chunks of at most `chunk`, in parallel when there are several.
#[inline]
pub fn chunks(n: usize, chunk: usize, f: impl Fn(Range<usize>) + Sync) {
    // by reference to a trait object: rayon's machinery is compiled once, not for every kernel and dtype
    chunks_of(n, chunk, &f);
}

fn chunks_of(n: usize, chunk: usize, f: &(dyn Fn(Range<usize>) + Sync)) {
    let chunk = chunk.max(1);
    match n.div_ceil(chunk) {
        0 => {}
        1 => f(0..n),
        count => super::team::share(count, &|i| f(i * chunk..((i + 1) * chunk).min(n))),
    }
}

/// How many items of `cost` operations make a chunk worth a thread's while.
pub fn grain(cost: usize) -> usize {
    (SERIAL / cost.max(1)).max(1)
}

/// Steps through the offsets of a strided index space in row-major order for up to three operands at once.
pub struct Walk<'a, const N: usize> {
    shape: &'a [usize],
    strides: [&'a [usize]; N],
    index: smallvec::SmallVec<[usize; 8]>,
    /// Current offset of each operand.
    pub at: [usize; N],
}

impl<'a, const N: usize> Walk<'a, N> {
    /// Starts at flat position `start`; `shape` must have no zero dim unless nothing is read.
    pub fn new(shape: &'a [usize], strides: [&'a [usize]; N], start: usize) -> Walk<'a, N> {
        let mut index: smallvec::SmallVec<[usize; 8]> = smallvec::smallvec![0; shape.len()];
        let (mut rest, mut at) = (start, [0; N]);
        for d in (0..shape.len()).rev() {
            let n = shape[d].max(1);
            index[d] = rest % n;
            rest /= n;
            for (a, s) in at.iter_mut().zip(strides) {
                *a += index[d] * s[d];
            }
        }
        Walk { shape, strides, index, at }
    }

    /// Goes one element on.
    #[inline]
    pub fn step(&mut self) {
        let index = &mut self.index[..];
        let mut d = self.shape.len();
        while d > 0 {
            d -= 1;
            index[d] += 1;
            for k in 0..N {
                self.at[k] += self.strides[k][d];
            }
            if index[d] < self.shape[d] {
                return;
            }
            for k in 0..N {
                self.at[k] -= self.strides[k][d] * self.shape[d];
            }
            index[d] = 0;
        }
    }
}
