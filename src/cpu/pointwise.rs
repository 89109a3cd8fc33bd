//! Runs a fused elementwise program block by block: operands in cache, one vector loop for each step.
//!
//! A block is a run of consecutive elements in row-major order. Contiguous operands are read and written in place;
//! others are gathered into scratch first, run by run along the innermost dim. An operand that repeats (a bias, a scalar)
//! is gathered once for all blocks, whose length is a multiple of its period. A transposed operand is gathered for several
//! rows at a time, so that the cache lines it is read by are used whole.

mod gather;
#[cfg(test)]
mod tests;

use crate::cpu::simd::{PAST_CACHE, copy_past_cache, fence};
use crate::cpu::team::share;
use crate::dtype::DType;
use crate::layout::collapse;
use crate::num::{CastFn, cast_cpu, fill};
use crate::program::{Action, BlockFn, Program, Reg};
use crate::scalar::Scalar;
use crate::shape::Dims;
use gather::{TILE, gather_panel, transfer};
use smallvec::SmallVec;
use std::cell::RefCell;
use std::ops::Range;

/// Elements from which on the work is split between threads.
const PARALLEL: usize = 32 * 1024;
/// Scratch that leaves room in a 32 KiB L1 cache for what streams through.
const SCRATCH: usize = 24 * 1024;
const MIN_BLOCK: usize = 256;
const MAX_BLOCK: usize = 2048;
/// Room for the rows of transposed operands, in a 512 KiB L2 cache.
const PANELS: usize = 256 * 1024;
const PANEL_ROWS: usize = 16;
/// Without scratch a block is only the unit of work.
const BARE_BLOCK: usize = 16 * 1024;

/// Where a register's elements of the current block are.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// In an operand's own memory, from its first element.
    Memory(*mut u8),
    /// In scratch, at a byte offset.
    Scratch(usize),
    /// In the scratch of a whole panel of rows, from its first element.
    Panel(usize),
    /// In the memory that the caller of [`Values::fill`] gives.
    Result,
    /// Not computed by anyone who reads it.
    Nowhere,
}

#[derive(Clone, Copy)]
enum Call {
    Block(BlockFn),
    Cast(CastFn),
}

struct Step {
    call: Call,
    srcs: SmallVec<[Reg; 4]>,
    dst: usize,
}

/// An operand that is not contiguous: how it moves between its memory and its place in scratch.
struct Strided {
    ptr: *mut u8,
    strides: Dims,
    reg: usize,
    /// The same in every block.
    once: bool,
}

struct Plan {
    sizes: Dims,
    numel: usize,
    /// Elements computed at once.
    block: usize,
    /// Elements that a thread takes at once: a block, or the rows of a panel.
    unit: usize,
    places: SmallVec<[Place; 16]>,
    item: SmallVec<[usize; 16]>,
    gathers: SmallVec<[Strided; 4]>,
    panels: SmallVec<[Strided; 2]>,
    fills: SmallVec<[(usize, DType, Scalar); 8]>,
    steps: SmallVec<[Step; 8]>,
    scatters: SmallVec<[Strided; 2]>,
    copies: SmallVec<[(usize, *mut u8); 2]>,
    /// Contiguous results too large for the cache.
    streams: SmallVec<[(usize, *mut u8); 2]>,
    scratch: usize,
}

// SAFETY: the pointers are the caller's operands, valid for the whole run; threads write disjoint blocks.
unsafe impl Sync for Plan {}

/// Evaluates a program over `shape`: loads and stores are (first element, strides in elements), scalars are converted to
/// the dtypes that the program names.
///
/// # Safety
/// Every element that shape and strides reach is valid for reads (loads) or writes (stores) and aligned for its dtype; a
/// store reaches each element once and overlaps no other store, and no load unless that has its pointer and strides.
pub unsafe fn run(
    p: &Program,
    shape: &[usize],
    loads: &[(*const u8, &[usize])],
    scalars: &[Scalar],
    stores: &[(*mut u8, &[usize])],
) {
    if shape.contains(&0) || stores.is_empty() {
        return;
    }
    let plan = Plan::new(p, shape, loads, scalars, stores, false);
    let units = plan.numel.div_ceil(plan.unit);
    if plan.numel < PARALLEL && plan.numel * p.instrs.len() < 4 * PARALLEL || units < 2 {
        // SAFETY: the caller's promise.
        return unsafe { plan.run(0, units) };
    }
    let tasks = units.min(4 * rayon::current_num_threads());
    share(tasks, &|t| {
        // SAFETY: the caller's promise; tasks have disjoint units.
        unsafe { plan.run(units * t / tasks, units * (t + 1) / tasks) }
    });
}

/// A program's one result, computed for any run of its elements in row-major order.
pub struct Values(Plan);

impl Values {
    /// A program over `shape`, with operands as [`run`] takes them; its one store has to be the result of a step.
    ///
    /// # Safety
    /// While this lives, every element that shape and strides reach is valid for reads and aligned for its dtype.
    pub unsafe fn new(p: &Program, shape: &[usize], loads: &[(*const u8, &[usize])], scalars: &[Scalar]) -> Values {
        // stands for memory that only `fill` knows
        let nowhere = std::ptr::without_provenance_mut(64);
        let strides = crate::shape::contiguous_strides(shape);
        let mut plan = Plan::new(p, shape, loads, scalars, &[(nowhere, &strides)], true);
        plan.places[p.stores[0] as usize] = Place::Result;
        Values(plan)
    }

    /// Writes the elements of a range to `out`, packed.
    ///
    /// # Safety
    /// The range lies within the shape, and `out` has room for it.
    pub unsafe fn fill(&self, range: Range<usize>, out: *mut u8) {
        let plan = &self.0;
        with_scratch(plan.scratch, |scratch| {
            let item = plan.places.iter().position(|p| matches!(p, Place::Result)).map_or(0, |r| plan.item[r]);
            let regs = plan.registers(scratch, out.wrapping_sub(range.start * item));
            // SAFETY: as in `run_in`.
            unsafe {
                for &(r, dtype, value) in &plan.fills {
                    fill(dtype, value, regs[r].0, plan.block.min(range.len()));
                }
                for at in range.clone().step_by(plan.block) {
                    plan.run_block(at, plan.block.min(range.end - at), true, &regs);
                }
            }
        });
    }
}

/// Calls `f` with so many bytes of this thread's memory, from the start of a cache line on.
fn with_scratch(bytes: usize, f: impl FnOnce(*mut u8)) {
    thread_local! {
        static SCRATCH_MEMORY: RefCell<Vec<[u64; 8]>> = const { RefCell::new(Vec::new()) };
    }
    SCRATCH_MEMORY.with(|memory| {
        let mut memory = memory.borrow_mut();
        // one more, to start on a cache line
        let lines = bytes.div_ceil(64) + 1;
        if memory.len() < lines {
            memory.resize(lines, [0; 8]);
        }
        let base = memory.as_mut_ptr() as *mut u8;
        // SAFETY: within the memory just made, which has 64 bytes to spare.
        f(unsafe { base.add(base.align_offset(64)) })
    })
}

/// The dims by falling stride of the first store, so that its memory is written in order.
fn order(shape: &[usize], strides: &[usize]) -> SmallVec<[usize; 8]> {
    let mut dims: SmallVec<[usize; 8]> = (0..shape.len()).collect();
    // dims of size 1 stay where they are: their strides mean nothing
    if shape.iter().zip(strides).filter(|&(&n, _)| n != 1).map(|(_, &s)| s).is_sorted_by(|a, b| a >= b) {
        return dims;
    }
    dims.sort_by_key(|&d| std::cmp::Reverse(if shape[d] == 1 { usize::MAX } else { strides[d] }));
    dims
}

/// Elements after which an operand repeats, if it does: the product of the sizes behind its leading expanded dims.
fn period(sizes: &[usize], strides: &[usize]) -> usize {
    let first = strides.iter().zip(sizes).position(|(&s, &n)| s != 0 && n != 1);
    first.map_or(1, |f| sizes[f..].iter().product())
}

/// True where the last dim but one is the contiguous one, and both are long enough for gathering whole cache lines.
fn is_transposed(sizes: &[usize], strides: &[usize], item: usize) -> bool {
    let n = sizes.len();
    n >= 2
        && strides[n - 1] > 1
        && strides[n - 2] == 1
        && sizes[n - 1] >= TILE
        && sizes[n - 2] >= TILE
        && sizes[n - 1] * TILE * item * 2 <= PANELS
}

fn is_contiguous(sizes: &[usize], strides: &[usize]) -> bool {
    super::view::is_contiguous(sizes, strides)
}

/// Scratch slots, used again when the register in them is dead.
#[derive(Default)]
struct Slots {
    sizes: SmallVec<[usize; 16]>,
    free: SmallVec<[usize; 16]>,
}

impl Slots {
    fn take(&mut self, size: usize) -> usize {
        if let Some(i) = self.free.iter().position(|&s| self.sizes[s] == size) {
            return self.free.swap_remove(i);
        }
        self.sizes.push(size);
        self.sizes.len() - 1
    }
}

impl Plan {
    fn new(
        p: &Program,
        shape: &[usize],
        loads: &[(*const u8, &[usize])],
        scalars: &[Scalar],
        stores: &[(*mut u8, &[usize])],
        on_demand: bool,
    ) -> Plan {
        let dims = order(shape, stores[0].1);
        let permuted = |v: &[usize]| -> Dims { dims.iter().map(|&d| v[d]).collect() };
        let all: SmallVec<[Dims; 8]> =
            loads.iter().map(|l| permuted(l.1)).chain(stores.iter().map(|s| permuted(s.1))).collect();
        let refs: SmallVec<[&[usize]; 8]> = all.iter().map(|d| &d[..]).collect();
        let (sizes, mut strides) = collapse(&permuted(shape), &refs);
        let store_strides: SmallVec<[Dims; 4]> = strides.drain(loads.len()..).collect();
        let (nl, ns) = (loads.len(), scalars.len());
        let regs = nl + ns + p.instrs.len();
        let item: SmallVec<[usize; 16]> = (0..regs).map(|r| p.dtype(r as Reg).size()).collect();

        // the instruction after which a register is dead; stored ones live to the end of the block
        let mut last: SmallVec<[usize; 16]> = SmallVec::from_elem(0, regs);
        for (i, instr) in p.instrs.iter().enumerate() {
            instr.srcs.iter().for_each(|&s| last[s as usize] = i);
        }
        let computed = last.clone();
        p.stores.iter().for_each(|&s| last[s as usize] = usize::MAX);

        // a slot number stands in for the offset until the block's length is known
        let mut places: SmallVec<[Place; 16]> = SmallVec::from_elem(Place::Nowhere, regs);
        let mut slots = Slots::default();
        let mut plan = Plan {
            numel: sizes.iter().product(),
            sizes,
            block: 0,
            unit: 0,
            places: SmallVec::new(),
            item,
            gathers: SmallVec::new(),
            panels: SmallVec::new(),
            fills: SmallVec::new(),
            steps: SmallVec::new(),
            scatters: SmallVec::new(),
            copies: SmallVec::new(),
            streams: SmallVec::new(),
            scratch: 0,
        };
        for (r, (&(ptr, _), strides)) in loads.iter().zip(strides).enumerate() {
            let copied_over_another = p.stores.iter().zip(stores).any(|(&s, _)| s as usize == r)
                && stores.iter().any(|s| std::ptr::eq(s.0, ptr));
            if is_contiguous(&plan.sizes, &strides) && !copied_over_another {
                places[r] = Place::Memory(ptr as *mut u8);
            } else if !on_demand && is_transposed(&plan.sizes, &strides, plan.item[r]) {
                places[r] = Place::Panel(0);
                plan.panels.push(Strided { ptr: ptr as *mut u8, strides, reg: r, once: false });
            } else {
                places[r] = Place::Scratch(slots.take(plan.item[r]));
                plan.gathers.push(Strided { ptr: ptr as *mut u8, strides, reg: r, once: false });
            }
        }
        for (k, &value) in scalars.iter().enumerate() {
            places[nl + k] = Place::Scratch(slots.take(plan.item[nl + k]));
            plan.fills.push((nl + k, p.scalars[k], value));
        }
        let pinned = slots.sizes.len();
        for (i, instr) in p.instrs.iter().enumerate() {
            let r = nl + ns + i;
            // straight into a contiguous store, unless a load that lives there is read later
            let direct = p.stores.iter().position(|&s| s as usize == r).filter(|&k| {
                let ptr = stores[k].0;
                is_contiguous(&plan.sizes, &store_strides[k])
                    && !(0..nl).any(|l| std::ptr::eq(loads[l].0, ptr) && computed[l] > i)
            });
            // what is read in the same pass is in the cache already
            let streamed = direct.filter(|&k| {
                let large = !on_demand && plan.numel * plan.item[r] >= PAST_CACHE;
                large && !loads.iter().any(|l| std::ptr::eq(l.0, stores[k].0))
            });
            plan.streams.extend(streamed.map(|k| (r, stores[k].0)));
            places[r] = match direct {
                Some(k) if streamed.is_none() => Place::Memory(stores[k].0),
                _ => Place::Scratch(slots.take(plan.item[r])),
            };
            let call = match instr.action {
                Action::Row(row) => Call::Block((row.cpu)(instr.dtype).unwrap_or_else(|| {
                    panic!("{} has no meaning for {}: the op that recorded it must refuse", row.name, instr.dtype)
                })),
                Action::Cast => Call::Cast(cast_cpu(instr.dtype, instr.out)),
            };
            plan.steps.push(Step { call, srcs: instr.srcs.clone(), dst: r });
            // the scratch of loads and scalars stays theirs: it may be filled only once
            let mut dead = instr.srcs.clone();
            dead.sort_unstable();
            dead.dedup();
            dead.push(r as Reg);
            for s in dead {
                if let Place::Scratch(slot) = places[s as usize]
                    && slot >= pinned
                    && last[s as usize] <= i
                {
                    slots.free.push(slot);
                }
            }
        }
        for (k, &s) in p.stores.iter().enumerate() {
            let r = s as usize;
            let ptr = stores[k].0;
            match places[r] {
                Place::Memory(at) if at == ptr && is_contiguous(&plan.sizes, &store_strides[k]) => {}
                _ if plan.streams.contains(&(r, ptr)) => {}
                _ if is_contiguous(&plan.sizes, &store_strides[k]) => plan.copies.push((r, ptr)),
                _ => {
                    plan.scatters.push(Strided { ptr, strides: store_strides[k].clone(), reg: r, once: false });
                }
            }
        }
        plan.set_block(&slots, places);
        plan
    }

    /// Chooses the block's length and turns slot numbers into offsets.
    fn set_block(&mut self, slots: &Slots, mut places: SmallVec<[Place; 16]>) {
        let bytes: usize = slots.sizes.iter().sum();
        let mut block = SCRATCH.checked_div(bytes).map_or(BARE_BLOCK, |n| n.clamp(MIN_BLOCK, MAX_BLOCK) & !63);
        block = block.min(self.numel.next_multiple_of(64));
        let periods: SmallVec<[usize; 4]> = self.gathers.iter().map(|g| period(&self.sizes, &g.strides)).collect();
        if let Some(&longest) = periods.iter().filter(|&&n| n <= MAX_BLOCK).max() {
            block = (block / longest).max(1) * longest;
        }
        self.unit = block;
        let inner = self.sizes[self.sizes.len() - 1];
        if !self.panels.is_empty() {
            let row: usize = self.panels.iter().map(|g| inner * self.item[g.reg]).sum();
            self.unit = (PANELS / row).clamp(TILE, PANEL_ROWS) * inner;
            block = block.min(self.unit);
        }
        for (g, n) in self.gathers.iter_mut().zip(periods) {
            g.once = block.is_multiple_of(n) && self.unit.is_multiple_of(block);
        }
        let mut offsets: SmallVec<[usize; 16]> = SmallVec::new();
        for s in &slots.sizes {
            offsets.push(self.scratch);
            self.scratch += (s * block).next_multiple_of(64);
        }
        for p in &mut places {
            if let Place::Scratch(slot) = p {
                *p = Place::Scratch(offsets[*slot]);
            }
        }
        for g in &self.panels {
            places[g.reg] = Place::Panel(self.scratch);
            self.scratch += (self.unit * self.item[g.reg]).next_multiple_of(64);
        }
        self.block = block;
        self.places = places;
    }

    /// Runs the units `from..to`.
    ///
    /// # Safety
    /// As [`run`]; no other thread runs these units.
    unsafe fn run(&self, from: usize, to: usize) {
        // SAFETY: scratch is this thread's; the rest is the caller's promise.
        with_scratch(self.scratch, |scratch| unsafe { self.run_in(from, to, scratch) })
    }

    unsafe fn run_in(&self, from: usize, to: usize, scratch: *mut u8) {
        let mut regs = self.registers(scratch, std::ptr::null_mut());
        // SAFETY: every pointer is a block of the operand or of scratch, `n` elements long; the rest by the caller's promise.
        unsafe {
            for &(r, dtype, value) in &self.fills {
                fill(dtype, value, regs[r].0, self.block);
            }
            for unit in from..to {
                let start = unit * self.unit;
                let end = self.numel.min(start + self.unit);
                for g in &self.panels {
                    let Place::Panel(offset) = self.places[g.reg] else { unreachable!("a panel has its place") };
                    let first = scratch.wrapping_add(offset);
                    regs[g.reg].0 = first.wrapping_sub(start * self.item[g.reg]);
                    gather_panel(self, g, start, end, first);
                }
                for at in (start..end).step_by(self.block) {
                    let first = unit == from && at == start;
                    self.run_block(at, self.block.min(end - at), first, &regs);
                }
            }
        }
        if !self.streams.is_empty() {
            fence();
        }
    }

    /// Where a register's element `at` is: a base and the bytes from one element to the next. A block of scratch is used again
    /// for every block, so its elements do not move on; `result` is where the result's first element would be.
    fn registers(&self, scratch: *mut u8, result: *mut u8) -> SmallVec<[(*mut u8, usize); 16]> {
        let mut regs = SmallVec::new();
        regs.extend(self.places.iter().zip(&self.item).map(|(place, &item)| match *place {
            Place::Memory(ptr) => (ptr, item),
            Place::Scratch(offset) => (scratch.wrapping_add(offset), 0),
            Place::Panel(_) => (scratch, item),
            Place::Result => (result, item),
            // computed by nobody and read by nobody
            Place::Nowhere => (scratch, 0),
        }));
        regs
    }

    /// Computes the block of `n` elements from `at` on.
    #[inline(always)]
    unsafe fn run_block(&self, at: usize, n: usize, first: bool, regs: &[(*mut u8, usize)]) {
        let place = |r: usize, at: usize| {
            let (base, step) = regs[r];
            base.wrapping_add(at * step)
        };
        // SAFETY: every pointer is a block of the operand or of scratch, `n` elements long; the rest by the caller's promise.
        unsafe {
            for g in &self.gathers {
                if !g.once || first {
                    transfer(self, g, at, n, place(g.reg, at), false);
                }
            }
            for step in &self.steps {
                let out = place(step.dst, at);
                match step.call {
                    Call::Block(f) => {
                        let mut srcs = [std::ptr::null(); 4];
                        let count = step.srcs.len();
                        for (p, &s) in srcs.iter_mut().zip(&step.srcs) {
                            *p = place(s as usize, at).cast_const();
                        }
                        f(&srcs[..count], out, n);
                    }
                    Call::Cast(f) => f(place(step.srcs[0] as usize, at), out, n),
                }
            }
            for s in &self.scatters {
                transfer(self, s, at, n, place(s.reg, at), true);
            }
            for &(r, ptr) in &self.streams {
                copy_past_cache(place(r, at).cast_const(), ptr.add(at * self.item[r]), n * self.item[r]);
            }
            for &(r, ptr) in &self.copies {
                std::ptr::copy(place(r, at), ptr.add(at * self.item[r]), n * self.item[r]);
            }
        }
    }
}
