//! Runs one small elementwise step on the CPU at once, with as little around the loop as possible.

use super::command::{Arg, PointCmd, Src};
use super::locks::LockSet;
use super::{SMALL, fill_bytes};
use crate::num;
use crate::program::Action;
use std::mem::MaybeUninit;

/// Room for the elements of one operand.
#[repr(align(64))]
struct Scratch(MaybeUninit<[u8; SMALL * 8]>);

impl Scratch {
    fn new() -> Scratch {
        Scratch(MaybeUninit::uninit())
    }
    fn ptr(&mut self) -> *mut u8 {
        self.0.as_mut_ptr().cast()
    }
}

/// Copies elements of `size` bytes between a strided layout and packed memory.
unsafe fn pack(arg: &Arg, base: *mut u8, packed: *mut u8, out: bool) {
    let size = arg.dtype.size();
    let mut at = packed;
    arg.layout.for_each_offset(|offset| {
        // SAFETY: the layout lies inside the storage; `packed` has room for every element.
        unsafe {
            let element = base.add(offset * size);
            if out {
                std::ptr::copy_nonoverlapping(at, element, size);
            } else {
                std::ptr::copy_nonoverlapping(element, at, size);
            }
            at = at.add(size);
        }
    });
}

/// Runs a step of at most [`SMALL`] elements whose operands are settled and live on the CPU.
pub fn run(cmd: &PointCmd) {
    let n = cmd.out.layout.numel();
    if n == 0 {
        return;
    }
    let reads = cmd.srcs.iter().filter_map(|s| match s {
        Src::Tensor(a) => Some((&*a.storage, false)),
        Src::Scalar(_) => None,
    });
    let write = (!cmd.fresh).then_some((&*cmd.out.storage, true));
    let _held = LockSet::lock(reads.chain(write));

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
                    unsafe { pack(a, base, room, false) };
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
                pack(&cmd.out, base, packed, true);
            }
        }
    }
}
