//! Runs one small elementwise step on the CPU at once, with as little around the loop as possible.

use super::command::{PointCmd, Src};
use super::hold::check_free;
use super::locks::{LockSet, ReadSet};
use super::storage::{Storage, StorageImpl};
use super::{SMALL, count, fill_bytes};
use crate::cpu::memory::HostBuf;
use crate::device::Device;
use crate::dtype::{DType, Element};
use crate::error::Result;
use crate::layout::Layout;
use crate::num;
use crate::program::{Action, Row};
use crate::scalar::Scalar;
use std::mem::MaybeUninit;

/// Room for the elements of one operand; of a step with complex numbers only half as many come here.
#[repr(align(64))]
struct Scratch(MaybeUninit<[u8; SMALL * 8]>);

impl Scratch {
    const fn new() -> Scratch {
        Scratch(MaybeUninit::uninit())
    }
    fn ptr(&mut self) -> *mut u8 {
        self.0.as_mut_ptr().cast()
    }
}

/// Copies elements between a strided layout, from the element at `base` on, and packed memory.
///
/// # Safety
/// The layout lies inside the storage at `base`; `packed` has room for every element.
unsafe fn pack(dtype: DType, layout: &Layout, base: *mut u8, packed: *mut u8, out: bool) {
    // bits of a width known to the compiler: a call of memcpy an element would cost more than the step
    // SAFETY: the caller's promise; any bits are elements of an unsigned integer.
    unsafe {
        match dtype.size() {
            1 => pack_bits(layout, base, packed, out),
            2 => pack_bits(layout, base.cast::<u16>(), packed.cast(), out),
            4 => pack_bits(layout, base.cast::<u32>(), packed.cast(), out),
            8 => pack_bits(layout, base.cast::<u64>(), packed.cast(), out),
            _ => pack_bits(layout, base.cast::<[u64; 2]>(), packed.cast(), out),
        }
    }
}

unsafe fn pack_bits<T: Copy>(layout: &Layout, base: *mut T, packed: *mut T, out: bool) {
    let n = layout.ndim();
    let (inner, step) = if n == 0 { (1, 0) } else { (layout.shape[n - 1], layout.strides[n - 1]) };
    let rows = Layout {
        shape: layout.shape[..n.saturating_sub(1)].into(),
        strides: layout.strides[..n.saturating_sub(1)].into(),
        offset: layout.offset,
    };
    let mut at = packed;
    rows.for_each_offset(|offset| {
        for i in 0..inner {
            // SAFETY: the layout lies inside the storage; `packed` has room for every element.
            unsafe {
                let element = base.add(offset + i * step);
                if out {
                    element.write_unaligned(*at)
                } else {
                    *at = element.read_unaligned()
                }
                at = at.add(1);
            }
        }
    });
}

/// An operand of [`now`].
#[derive(Clone, Copy)]
pub enum Now<'a> {
    /// A tensor's storage and layout, not yet broadcast.
    Tensor(&'a StorageImpl, &'a Layout),
    /// A number.
    Scalar(Scalar),
}

/// Runs a step into a new storage at once: every tensor operand is of the float dtype `dtype` and broadcasts to `shape`.
/// None where that is not for here: too many elements or none, another device, or an operand that is still to be computed
/// or is being written by another thread.
pub fn now<const N: usize>(
    row: &'static Row,
    dtype: DType,
    natural: DType,
    srcs: [Now; N],
    shape: &[usize],
) -> Option<Storage> {
    let n = crate::shape::numel(shape);
    if n == 0 || n > SMALL {
        return None;
    }
    let ready = |s: &Now| match s {
        Now::Tensor(t, _) => t.device == Device::Cpu && t.is_settled(),
        Now::Scalar(_) => true,
    };
    if !srcs.iter().all(ready) {
        return None;
    }
    let block = (row.cpu)(dtype)?;
    let _held = ReadSet::try_lock(srcs.map(|s| match s {
        Now::Tensor(t, _) => Some(t),
        Now::Scalar(_) => None,
    }))?;
    if srcs.iter().any(|s| matches!(s, Now::Tensor(t, _) if !t.is_free(false))) {
        return None;
    }
    let mut scratch = [const { Scratch::new() }; N];
    let mut ins: [*const u8; N] = [std::ptr::null(); N];
    for (i, src) in srcs.iter().enumerate() {
        let room = scratch[i].ptr();
        ins[i] = match *src {
            Now::Tensor(t, layout) => {
                let base = t.host(false).ptr();
                if layout.shape[..] == *shape && layout.is_contiguous() {
                    // SAFETY: the layout's first element lies inside the storage.
                    unsafe { base.add(layout.offset * dtype.size()) }
                } else {
                    let layout = layout.broadcast_to(shape).ok()?;
                    // SAFETY: as `pack` asks; the scratch has room for SMALL elements.
                    unsafe { pack(dtype, &layout, base, room, false) };
                    room
                }
            }
            Now::Scalar(value) => {
                // SAFETY: the scratch has room for SMALL elements of either type.
                unsafe {
                    if dtype == DType::F32 {
                        std::slice::from_raw_parts_mut(room.cast::<MaybeUninit<f32>>(), n)
                            .fill(MaybeUninit::new(f32::from_scalar(value)));
                    } else {
                        fill_bytes(std::slice::from_raw_parts_mut(room, n * dtype.size()), dtype, value);
                    }
                }
                room
            }
        };
    }
    count(|c| c.immediate += 1);
    let out = HostBuf::alloc(n * natural.size());
    // SAFETY: n packed elements of `dtype` each; the new block has room for n results.
    unsafe { block(&ins, out.ptr(), n) };
    Some(Storage::from_host(natural, out))
}

/// Runs a step of at most [`SMALL`] elements whose operands are settled and live on the CPU.
///
/// # Errors
/// If a host view of an operand is held.
pub fn run(cmd: &PointCmd) -> Result<()> {
    let n = cmd.out.layout.numel();
    if n == 0 {
        return Ok(());
    }
    let reads = cmd.srcs.iter().filter_map(|s| match s {
        Src::Tensor(a) => Some((&*a.storage, false)),
        Src::Scalar(_) => None,
    });
    let write = (!cmd.fresh).then_some((&*cmd.out.storage, true));
    let _held = LockSet::lock(reads.chain(write));
    check_free(cmd.uses())?;

    let mut scratch: [Scratch; 4] = [Scratch::new(), Scratch::new(), Scratch::new(), Scratch::new()];
    let mut ins: [*const u8; 4] = [std::ptr::null(); 4];
    for (i, src) in cmd.srcs.iter().enumerate() {
        let want = cmd.src_dtype(i);
        let room = scratch[i].ptr();
        match src {
            Src::Scalar(value) => {
                // SAFETY: the scratch holds SMALL elements of any dtype.
                let bytes = unsafe { std::slice::from_raw_parts_mut(room, n * want.size()) };
                fill_bytes(bytes, want, *value);
                ins[i] = room;
            }
            Src::Tensor(a) => {
                let base = a.storage.host(false).ptr();
                let have = a.dtype;
                if a.layout.is_contiguous() {
                    // SAFETY: the layout's first element lies inside the storage.
                    ins[i] = unsafe { base.add(a.layout.offset * have.size()) };
                } else {
                    // SAFETY: as `pack` asks; the scratch has room.
                    unsafe { pack(have, &a.layout, base, room, false) };
                    ins[i] = room;
                }
                if have != want && !matches!(cmd.action, Action::Cast) {
                    let mut other = Scratch::new();
                    // SAFETY: n packed elements in, n out, in separate memory; then copied back over the first.
                    unsafe {
                        (num::cast_cpu(have, want))(ins[i], other.ptr(), n);
                        std::ptr::copy_nonoverlapping(other.ptr(), room, n * want.size());
                    }
                    ins[i] = room;
                }
            }
        }
    }

    let base = cmd.out.storage.host(cmd.fresh).ptr();
    let (natural, dtype) = (cmd.natural, cmd.out.dtype);
    // SAFETY: the layout's first element lies inside the storage.
    let first = unsafe { base.add(cmd.out.layout.offset * dtype.size()) };
    let contiguous = cmd.out.layout.is_contiguous();
    // an operand that overlaps the output at other elements was packed or is refused by the in-place rules
    let direct = contiguous && natural == dtype;
    let mut result = Scratch::new();
    let target = if direct { first } else { result.ptr() };
    // SAFETY: n packed elements of the compute dtype each; the target holds n of the natural dtype.
    unsafe {
        match cmd.action {
            Action::Row(row) => match (row.cpu)(cmd.dtype) {
                Some(f) => f(&ins[..cmd.srcs.len()], target, n),
                None => unreachable!("{} has no CPU loop for {}", row.name, cmd.dtype),
            },
            Action::Cast => {
                let have = match &cmd.srcs[0] {
                    Src::Tensor(a) => a.dtype,
                    Src::Scalar(_) => cmd.dtype,
                };
                (num::cast_cpu(have, natural))(ins[0], target, n);
            }
        }
        if !direct {
            let mut packed = target;
            let mut converted = Scratch::new();
            if natural != dtype {
                (num::cast_cpu(natural, dtype))(target, converted.ptr(), n);
                packed = converted.ptr();
            }
            if contiguous {
                std::ptr::copy_nonoverlapping(packed, first, n * dtype.size());
            } else {
                pack(dtype, &cmd.out.layout, base, packed, true);
            }
        }
    }
    Ok(())
}
