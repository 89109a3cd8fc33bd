//! From a formula over lanes to a loop over packed memory, compiled for the machine's vector units.

use super::lanes::{Bool, D, F, I32, I64, U32};
use super::{Base, leaf32};
use crate::dtype::DType;
use crate::program::BlockFn;
use std::mem::MaybeUninit;

/// A row's formula for a compute type.
pub(super) trait Formula<T: Base, const N: usize> {
    /// The compute type itself or its mask.
    type Out;
    /// The value at one element.
    fn eval(x: [T; N]) -> Self::Out;
}

/// Memory from which a lane is loaded.
pub(super) trait Mem<T>: Copy {
    /// Widens to the lane.
    fn load(self) -> T;
}

/// A lane's way back to memory.
pub(super) trait Out<M> {
    /// The memory's type: `M`, or a byte for bool.
    type Mem: Copy;
    /// Narrows, wrapping.
    fn put(self) -> Self::Mem;
}

impl<M> Out<M> for bool {
    type Mem = u8;
    #[inline(always)]
    fn put(self) -> u8 {
        self as u8
    }
}

macro_rules! mem {
    ($($m:ty => $t:ident as $raw:ty;)*) => {$(
        impl Mem<$t> for $m {
            #[inline(always)]
            fn load(self) -> $t { $t(self as $raw) }
        }
        impl Out<$m> for $t {
            type Mem = $m;
            #[inline(always)]
            fn put(self) -> $m { self.0 as $m }
        }
    )*};
}
mem! {
    f64 => D as f64;
    i32 => I32 as i32;
    i16 => I32 as i32;
    i8 => I32 as i32;
    u8 => I32 as i32;
    u32 => U32 as u32;
    i64 => I64 as i64;
}
impl<const FMA: bool> Mem<F<FMA>> for f32 {
    #[inline(always)]
    fn load(self) -> F<FMA> {
        F(self)
    }
}
impl<const FMA: bool> Out<f32> for F<FMA> {
    type Mem = f32;
    #[inline(always)]
    fn put(self) -> f32 {
        self.0
    }
}
/// A byte that is a bool; any byte but 0 counts as true.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct BoolByte(u8);
impl Mem<Bool> for BoolByte {
    #[inline(always)]
    fn load(self) -> Bool {
        Bool(self.0 != 0)
    }
}
impl Out<BoolByte> for Bool {
    type Mem = u8;
    #[inline(always)]
    fn put(self) -> u8 {
        self.0 as u8
    }
}

/// Elements computed before they are written where the output overlaps an operand: the loop over a local array is vectorised
/// then too.
const CHUNK: usize = 256;

#[inline(always)]
unsafe fn body<R, T, M, const N: usize>(ins: &[*const u8], out: *mut u8, n: usize)
where
    T: Base,
    M: Mem<T>,
    R: Formula<T, N>,
    R::Out: Out<M>,
{
    let ins: &[*const u8; N] = ins.first_chunk().expect("as many operands as the row's arity");
    let ins: [*const M; N] = std::array::from_fn(|k| ins[k] as *const M);
    let out = out as *mut <R::Out as Out<M>>::Mem;
    // SAFETY: the caller's promise: `n` elements behind every pointer; the output may be an input, of which each chunk
    // is read before it is written.
    unsafe {
        let (from, to) = (out as usize, out.wrapping_add(n) as usize);
        let apart = ins.iter().all(|p| to <= *p as usize || p.wrapping_add(n) as usize <= from);
        let mut done = 0;
        let mut tmp = [const { MaybeUninit::<<R::Out as Out<M>>::Mem>::uninit() }; CHUNK];
        while done < n {
            let m = if apart { n } else { (n - done).min(CHUNK) };
            let dst = if apart { out } else { tmp.as_mut_ptr().cast() };
            for j in 0..m {
                // no `array::from_fn`: its closure has no vector features, and would stay a call in this loop
                let mut x = [ins[0].add(done + j).read().load(); N];
                for k in 1..N {
                    x[k] = ins[k].add(done + j).read().load();
                }
                dst.add(j).write(R::eval(x).put());
            }
            if !apart {
                std::ptr::copy_nonoverlapping(dst, out.add(done), m);
            }
            done += m;
        }
    }
}

/// The loop for any machine.
pub(super) unsafe fn plain<R, T, M, const N: usize>(ins: &[*const u8], out: *mut u8, n: usize)
where
    T: Base,
    M: Mem<T>,
    R: Formula<T, N>,
    R::Out: Out<M>,
{
    // SAFETY: the caller's promise is the same.
    unsafe { body::<R, T, M, N>(ins, out, n) }
}

/// The loop for machines with AVX2 and fused multiply-add.
///
/// # Safety
/// Beside what `BlockFn` asks, [`wide_cpu`] is true.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,bmi2")]
pub(super) unsafe fn wide<R, T, M, const N: usize>(ins: &[*const u8], out: *mut u8, n: usize)
where
    T: Base,
    M: Mem<T>,
    R: Formula<T, N>,
    R::Out: Out<M>,
{
    // SAFETY: the caller's promise is the same.
    unsafe { body::<R, T, M, N>(ins, out, n) }
}
#[cfg(not(target_arch = "x86_64"))]
pub(super) use plain as wide;

/// The loop for machines with AVX-512: for f32 alone, in which most of the arithmetic of programs is.
///
/// # Safety
/// Beside what `BlockFn` asks, [`widest_cpu`] is true.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi2")]
unsafe fn widest<R, const N: usize>(ins: &[*const u8], out: *mut u8, n: usize)
where
    R: Formula<F<true>, N, Out: Out<f32>>,
{
    // SAFETY: the caller's promise is the same.
    unsafe { body::<R, F<true>, f32, N>(ins, out, n) }
}

/// The f32 loop of a formula for this machine. All with fused multiply-add give the same results.
pub(super) fn f32_block<R, const N: usize>() -> BlockFn
where
    R: Formula<F<true>, N, Out: Out<f32>> + Formula<F<false>, N, Out: Out<f32>>,
{
    #[cfg(target_arch = "x86_64")]
    if widest_cpu() {
        return widest::<R, N>;
    }
    if wide_cpu() { wide::<R, F<true>, f32, N> } else { plain::<R, F<false>, f32, N> }
}

/// True where the machine runs [`widest`] loops.
#[cfg(target_arch = "x86_64")]
#[inline]
fn widest_cpu() -> bool {
    std::arch::is_x86_feature_detected!("avx512f")
        && std::arch::is_x86_feature_detected!("avx512bw")
        && std::arch::is_x86_feature_detected!("avx512dq")
        && std::arch::is_x86_feature_detected!("avx512vl")
        && wide_cpu()
}

/// The f32 block of formulas with sin, cos or tan: the vector loop's reduction holds up to [`leaf32::TRIG_MAX`]; larger
/// arguments are computed in f64.
pub(super) unsafe fn guarded<R, const N: usize>(ins: &[*const u8], out: *mut u8, n: usize)
where
    R: Formula<F<true>, N> + Formula<F<false>, N> + Formula<D, N, Out = D>,
    <R as Formula<F<true>, N>>::Out: Out<f32>,
    <R as Formula<F<false>, N>>::Out: Out<f32>,
{
    let f = f32_block::<R, N>();
    let mut done = 0;
    while done < n {
        let m = (n - done).min(CHUNK);
        // SAFETY: the caller's promise: `n` elements behind every pointer.
        unsafe {
            let srcs: [*const u8; N] = std::array::from_fn(|k| ins[k].add(4 * done));
            let to = out.add(4 * done) as *mut f32;
            let arg = |k: usize, j: usize| (srcs[k] as *const f32).add(j).read();
            let far = |j: usize| (0..N).fold(false, |far, k| far | (arg(k, j).abs() >= leaf32::TRIG_MAX));
            if !(0..m).fold(false, |any, j| any | far(j)) {
                f(&srcs, out.add(4 * done), m);
            } else {
                // only the far ones, so that no result depends on its neighbours; first, since the output may be an input
                let mut patches = [(0, 0f32); CHUNK];
                let mut count = 0;
                for j in (0..m).filter(|&j| far(j)) {
                    patches[count] = (j, R::eval(std::array::from_fn(|k| D(arg(k, j) as f64))).0 as f32);
                    count += 1;
                }
                f(&srcs, out.add(4 * done), m);
                patches[..count].iter().for_each(|&(j, y)| to.add(j).write(y));
            }
        }
        done += m;
    }
}

/// True where the machine runs [`wide`] loops.
#[inline]
pub(super) fn wide_cpu() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("avx2")
        && std::arch::is_x86_feature_detected!("fma")
        && std::arch::is_x86_feature_detected!("bmi2");
    #[cfg(not(target_arch = "x86_64"))]
    return cfg!(target_arch = "aarch64");
}

/// A 16-bit float format, computed in f32.
pub(super) trait Half {
    /// `n` elements widened.
    fn widen(bits: u16) -> f32;
    /// Rounded to nearest even.
    fn narrow(x: f32) -> u16;
}
pub(super) struct F16;
pub(super) struct BF16;
impl Half for F16 {
    #[inline(always)]
    fn widen(bits: u16) -> f32 {
        leaf32::f16_to_f32(bits)
    }
    #[inline(always)]
    fn narrow(x: f32) -> u16 {
        leaf32::f32_to_f16(x)
    }
}
impl Half for BF16 {
    #[inline(always)]
    fn widen(bits: u16) -> f32 {
        f32::from_bits((bits as u32) << 16)
    }
    #[inline(always)]
    fn narrow(x: f32) -> u16 {
        leaf32::f32_to_bf16(x)
    }
}

/// The block of a 16-bit float: widened to f32, computed by the f32 block, and rounded again if the result is no bool.
pub(super) unsafe fn half<R, H, const N: usize>(ins: &[*const u8], out: *mut u8, n: usize)
where
    H: Half,
    R: Formula<F<true>, N> + Formula<F<false>, N>,
    <R as Formula<F<true>, N>>::Out: Out<f32>,
    <R as Formula<F<false>, N>>::Out: Out<f32>,
{
    let f = f32_block::<R, N>();
    let is_bool = size_of::<<<R as Formula<F<true>, N>>::Out as Out<f32>>::Mem>() == 1;
    // SAFETY: the caller's promise is the same.
    unsafe { half_by::<H, N>(f, is_bool, ins, out, n) }
}

/// [`half`] of a formula with sin, cos or tan.
pub(super) unsafe fn half_guarded<R, H, const N: usize>(ins: &[*const u8], out: *mut u8, n: usize)
where
    H: Half,
    R: Formula<F<true>, N> + Formula<F<false>, N> + Formula<D, N, Out = D>,
    <R as Formula<F<true>, N>>::Out: Out<f32>,
    <R as Formula<F<false>, N>>::Out: Out<f32>,
{
    // SAFETY: the caller's promise is the same.
    unsafe { half_by::<H, N>(guarded::<R, N>, false, ins, out, n) }
}

unsafe fn half_by<H: Half, const N: usize>(f: BlockFn, is_bool: bool, ins: &[*const u8], out: *mut u8, n: usize) {
    let mut wides = [[0f32; CHUNK]; N];
    let mut done = 0;
    // SAFETY: the caller's promise: `n` elements behind every pointer; each chunk is read before it is written.
    unsafe {
        while done < n {
            let m = (n - done).min(CHUNK);
            for (w, p) in wides.iter_mut().zip(ins) {
                let p = (*p as *const u16).add(done);
                for (j, x) in w.iter_mut().enumerate().take(m) {
                    *x = H::widen(p.add(j).read());
                }
            }
            let first = wides.as_mut_ptr() as *mut f32;
            let srcs: [*const u8; N] = std::array::from_fn(|k| first.add(k * CHUNK) as *const u8);
            if is_bool {
                f(&srcs, out.add(done), m);
            } else {
                f(&srcs, first as *mut u8, m);
                let out = (out as *mut u16).add(done);
                for j in 0..m {
                    out.add(j).write(H::narrow(first.add(j).read()));
                }
            }
            done += m;
        }
    }
}

#[inline(always)]
unsafe fn where_body<M: Copy>(ins: &[*const u8], out: *mut u8, n: usize) {
    let (c, a, b, out) = (ins[0], ins[1] as *const M, ins[2] as *const M, out as *mut M);
    // SAFETY: the caller's promise: `n` elements behind every pointer; each is read before its place is written.
    unsafe {
        let mut tmp = [const { MaybeUninit::<M>::uninit() }; CHUNK];
        let mut done = 0;
        while done < n {
            let m = (n - done).min(CHUNK);
            for j in 0..m {
                let (yes, no) = (a.add(done + j).read(), b.add(done + j).read());
                tmp[j].write(if c.add(done + j).read() != 0 { yes } else { no });
            }
            std::ptr::copy_nonoverlapping(tmp.as_ptr() as *const M, out.add(done), m);
            done += m;
        }
    }
}

unsafe fn where_plain<M: Copy>(ins: &[*const u8], out: *mut u8, n: usize) {
    // SAFETY: the caller's promise is the same.
    unsafe { where_body::<M>(ins, out, n) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,bmi2")]
unsafe fn where_wide<M: Copy>(ins: &[*const u8], out: *mut u8, n: usize) {
    // SAFETY: the caller's promise is the same.
    unsafe { where_body::<M>(ins, out, n) }
}
#[cfg(not(target_arch = "x86_64"))]
use where_plain as where_wide;

/// `where` only moves elements: one loop for each element size. The output may be an operand, unless that is the
/// condition and wider elements are selected.
pub(super) fn where_block(d: DType) -> Option<BlockFn> {
    let pick = |wide: BlockFn, plain: BlockFn| if wide_cpu() { wide } else { plain };
    Some(match d.size() {
        1 => pick(where_wide::<u8>, where_plain::<u8>),
        2 => pick(where_wide::<u16>, where_plain::<u16>),
        4 => pick(where_wide::<u32>, where_plain::<u32>),
        8 => pick(where_wide::<u64>, where_plain::<u64>),
        _ => pick(where_wide::<[u64; 2]>, where_plain::<[u64; 2]>),
    })
}
