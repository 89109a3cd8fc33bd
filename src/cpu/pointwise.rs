//! Runs a fused elementwise program block by block: operands in cache, one vector loop for each step.
//!
//! A block is a run of consecutive elements in row-major order. Contiguous operands are read and written in place;
//! others are gathered into scratch first, run by run along the innermost dim. An operand that repeats (a bias, a scalar)
//! is gathered once for all blocks, whose length is a multiple of its period.

use crate::dtype::DType;
use crate::layout::collapse;
use crate::num::{CastFn, cast_cpu, fill};
use crate::program::{Action, BlockFn, Program, Reg};
use crate::scalar::Scalar;
use crate::shape::Dims;
use rayon::prelude::*;
use smallvec::SmallVec;
use std::cell::RefCell;

/// Elements from which on the work is split between threads.
const PARALLEL: usize = 32 * 1024;
/// Scratch that leaves room in a 32 KiB L1 cache for what streams through.
const SCRATCH: usize = 24 * 1024;
const MIN_BLOCK: usize = 256;
const MAX_BLOCK: usize = 2048;
/// Without scratch a block is only the unit of work.
const BARE_BLOCK: usize = 16 * 1024;

/// Where a register's elements of the current block are.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// In an operand's own memory, from its first element.
    Memory(*mut u8),
    /// In scratch, at a byte offset.
    Scratch(usize),
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
    block: usize,
    places: SmallVec<[Place; 16]>,
    item: SmallVec<[usize; 16]>,
    gathers: SmallVec<[Strided; 4]>,
    fills: SmallVec<[(usize, DType, Scalar); 8]>,
    steps: SmallVec<[Step; 8]>,
    scatters: SmallVec<[Strided; 2]>,
    copies: SmallVec<[(usize, *mut u8); 2]>,
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
    let plan = Plan::new(p, shape, loads, scalars, stores);
    let blocks = plan.numel.div_ceil(plan.block);
    if plan.numel < PARALLEL && plan.numel * p.instrs.len() < 4 * PARALLEL || blocks < 2 {
        // SAFETY: the caller's promise.
        return unsafe { plan.run(0, blocks) };
    }
    let tasks = blocks.min(4 * rayon::current_num_threads());
    (0..tasks).into_par_iter().for_each(|t| {
        // SAFETY: the caller's promise; tasks have disjoint blocks.
        unsafe { plan.run(blocks * t / tasks, blocks * (t + 1) / tasks) }
    });
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
            places: SmallVec::new(),
            item,
            gathers: SmallVec::new(),
            fills: SmallVec::new(),
            steps: SmallVec::new(),
            scatters: SmallVec::new(),
            copies: SmallVec::new(),
            scratch: 0,
        };
        for (r, (&(ptr, _), strides)) in loads.iter().zip(strides).enumerate() {
            let copied_over_another = p.stores.iter().zip(stores).any(|(&s, _)| s as usize == r)
                && stores.iter().any(|s| s.0 as *const u8 == ptr);
            if is_contiguous(&plan.sizes, &strides) && !copied_over_another {
                places[r] = Place::Memory(ptr as *mut u8);
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
                    && !(0..nl).any(|l| loads[l].0 == ptr as *const u8 && computed[l] > i)
            });
            places[r] = match direct {
                Some(k) => Place::Memory(stores[k].0),
                None => Place::Scratch(slots.take(plan.item[r])),
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
        let mut block = if bytes == 0 { BARE_BLOCK } else { (SCRATCH / bytes).clamp(MIN_BLOCK, MAX_BLOCK) & !63 };
        block = block.min(self.numel.next_multiple_of(64));
        let periods: SmallVec<[usize; 4]> = self.gathers.iter().map(|g| period(&self.sizes, &g.strides)).collect();
        if let Some(&longest) = periods.iter().filter(|&&n| n <= MAX_BLOCK).max() {
            block = (block / longest).max(1) * longest;
        }
        for (g, n) in self.gathers.iter_mut().zip(periods) {
            g.once = block.is_multiple_of(n);
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
        self.block = block;
        self.places = places;
    }

    /// Runs the blocks `from..to`.
    ///
    /// # Safety
    /// As [`run`]; no other thread runs these blocks.
    unsafe fn run(&self, from: usize, to: usize) {
        thread_local! {
            static SCRATCH_MEMORY: RefCell<Vec<[u64; 8]>> = const { RefCell::new(Vec::new()) };
        }
        SCRATCH_MEMORY.with(|memory| {
            let mut memory = memory.borrow_mut();
            // one more, to start on a cache line
            let lines = self.scratch.div_ceil(64) + 1;
            if memory.len() < lines {
                memory.resize(lines, [0; 8]);
            }
            let base = memory.as_mut_ptr() as *mut u8;
            // SAFETY: within the memory just made, which has 64 bytes to spare.
            let base = unsafe { base.add(base.align_offset(64)) };
            // SAFETY: scratch is this thread's; the rest is the caller's promise.
            unsafe { self.run_in(from, to, base) }
        })
    }

    unsafe fn run_in(&self, from: usize, to: usize, scratch: *mut u8) {
        // SAFETY: `at < numel` is the block's first element, so that memory operands have it; scratch holds a block.
        let place = |r: usize, at: usize| unsafe {
            match self.places[r] {
                Place::Memory(ptr) => ptr.add(at * self.item[r]),
                Place::Scratch(offset) => scratch.add(offset),
                Place::Nowhere => unreachable!("a register is computed before it is read"),
            }
        };
        let mut srcs: SmallVec<[*const u8; 4]> = SmallVec::new();
        // SAFETY: every pointer is a block of the operand or of scratch, `n` elements long; the rest by the caller's promise.
        unsafe {
            for &(r, dtype, value) in &self.fills {
                fill(dtype, value, place(r, 0), self.block);
            }
            for b in from..to {
                let at = b * self.block;
                let n = self.block.min(self.numel - at);
                for g in &self.gathers {
                    if !g.once || b == from {
                        transfer(self, g, at, n, place(g.reg, at), false);
                    }
                }
                for step in &self.steps {
                    let out = place(step.dst, at);
                    match step.call {
                        Call::Block(f) => {
                            srcs.clear();
                            srcs.extend(step.srcs.iter().map(|&s| place(s as usize, at) as *const u8));
                            f(&srcs, out, n);
                        }
                        Call::Cast(f) => f(place(step.srcs[0] as usize, at), out, n),
                    }
                }
                for s in &self.scatters {
                    transfer(self, s, at, n, place(s.reg, at), true);
                }
                for &(r, ptr) in &self.copies {
                    std::ptr::copy(place(r, at), ptr.add(at * self.item[r]), n * self.item[r]);
                }
            }
        }
    }
}

/// Moves `n` elements from `at` on between a strided operand and packed memory.
unsafe fn transfer(plan: &Plan, s: &Strided, at: usize, n: usize, packed: *mut u8, scatter: bool) {
    // SAFETY: the caller's promise, by the size of the element.
    unsafe {
        match plan.item[s.reg] {
            1 => transfer_sized::<u8>(plan, s, at, n, packed, scatter),
            2 => transfer_sized::<u16>(plan, s, at, n, packed as *mut u16, scatter),
            4 => transfer_sized::<u32>(plan, s, at, n, packed as *mut u32, scatter),
            _ => transfer_sized::<u64>(plan, s, at, n, packed as *mut u64, scatter),
        }
    }
}

unsafe fn transfer_sized<T: Copy>(plan: &Plan, s: &Strided, at: usize, n: usize, packed: *mut T, scatter: bool) {
    let (sizes, strides) = (&plan.sizes, &s.strides);
    let inner = sizes.len() - 1;
    let mut index: Dims = Dims::from_elem(0, sizes.len());
    let mut rest = at;
    let mut offset = 0;
    for d in (0..sizes.len()).rev() {
        index[d] = rest % sizes[d];
        rest /= sizes[d];
        offset += index[d] * strides[d];
    }
    let (stride, base) = (strides[inner], s.ptr as *mut T);
    let mut done = 0;
    while done < n {
        let run = (sizes[inner] - index[inner]).min(n - done);
        // SAFETY: the run lies in the operand by its sizes and strides, and in the packed block.
        unsafe {
            let (far, near) = (base.add(offset), packed.add(done));
            match (scatter, stride) {
                (true, 1) => std::ptr::copy_nonoverlapping(near, far, run),
                (true, _) => (0..run).for_each(|i| far.add(i * stride).write(near.add(i).read())),
                (false, 1) => std::ptr::copy_nonoverlapping(far, near, run),
                (false, 0) => std::slice::from_raw_parts_mut(near, run).fill(far.read()),
                (false, _) => (0..run).for_each(|i| near.add(i).write(far.add(i * stride).read())),
            }
        }
        done += run;
        offset += run * stride;
        index[inner] += run;
        let mut d = inner;
        while d > 0 && index[d] == sizes[d] {
            offset -= sizes[d] * strides[d];
            index[d] = 0;
            d -= 1;
            index[d] += 1;
            offset += strides[d];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::num::rows;
    use crate::program::{Instr, Row};
    use smallvec::smallvec;

    fn instr(row: &'static Row, dtype: DType, out: DType, srcs: &[Reg]) -> Instr {
        Instr { action: Action::Row(row), dtype, out, srcs: srcs.into() }
    }

    fn f32s(n: usize, seed: u32) -> Vec<f32> {
        let mut s = seed;
        let next = move |_| {
            s = s.wrapping_mul(1664525).wrapping_add(1013904223);
            (s >> 8) as f32 / 1e6 - 8.0
        };
        (0..n).map(next).collect()
    }

    fn at(v: &[f32], shape: &[usize], strides: &[usize], mut linear: usize) -> f32 {
        let mut offset = 0;
        for d in (0..shape.len()).rev() {
            offset += linear % shape[d] * strides[d];
            linear /= shape[d];
        }
        v[offset]
    }

    /// relu(a * b + 2) as a chain, and a > b as a second output, for one pair of layouts.
    fn check(shape: &[usize], sa: &[usize], sb: &[usize], so: &[usize]) {
        let numel: usize = shape.iter().product();
        let end = |s: &[usize]| 1 + shape.iter().zip(s).map(|(n, s)| (n - 1) * s).sum::<usize>();
        let (a, b) = (f32s(end(sa), 1), f32s(end(sb), 7));
        let mut out = vec![f32::NAN; end(so)];
        let contiguous = crate::shape::contiguous_strides(shape);
        let mut greater = vec![9u8; numel];
        let p = Program {
            loads: smallvec![DType::F32, DType::F32],
            scalars: smallvec![DType::F32],
            instrs: vec![
                instr(&rows::MUL, DType::F32, DType::F32, &[0, 1]),
                instr(&rows::ADD, DType::F32, DType::F32, &[3, 2]),
                instr(&rows::RELU, DType::F32, DType::F32, &[4]),
                instr(&rows::GT, DType::F32, DType::Bool, &[0, 1]),
            ],
            stores: smallvec![5, 6],
        };
        // SAFETY: the vectors hold what shapes and strides reach.
        unsafe {
            run(
                &p,
                shape,
                &[(a.as_ptr() as *const u8, sa), (b.as_ptr() as *const u8, sb)],
                &[Scalar::Int(2)],
                &[(out.as_mut_ptr() as *mut u8, so), (greater.as_mut_ptr(), &contiguous)],
            )
        }
        for i in 0..numel {
            let (x, y) = (at(&a, shape, sa, i), at(&b, shape, sb, i));
            assert_eq!(at(&out, shape, so, i), (x * y + 2.0).max(0.0), "{shape:?} {sa:?} {sb:?} at {i}");
            assert_eq!(greater[i], (x > y) as u8);
        }
    }

    #[test]
    fn layouts() {
        check(&[], &[], &[], &[]);
        check(&[5], &[1], &[1], &[1]);
        check(&[3001], &[1], &[0], &[1]);
        check(&[70, 33], &[33, 1], &[0, 1], &[33, 1]);
        check(&[70, 33], &[33, 1], &[1, 0], &[33, 1]);
        check(&[70, 33], &[1, 70], &[33, 1], &[33, 1]);
        check(&[70, 33], &[33, 1], &[33, 1], &[1, 70]);
        check(&[2, 3000], &[3000, 1], &[0, 1], &[3000, 1]);
        check(&[4, 5, 600], &[600, 2400, 1], &[0, 600, 1], &[3000, 600, 1]);
        check(&[4, 5, 600], &[6000, 1200, 2], &[1, 0, 0], &[3000, 600, 1]);
        check(&[300, 400], &[400, 1], &[0, 1], &[400, 1]);
        check(&[100_000], &[3], &[1], &[2]);
    }

    #[test]
    fn in_place_reads_before_it_writes() {
        // two outputs over the memory of two inputs: (a + b, a - b)
        let n = 100_000;
        let (a0, b0) = (f32s(n, 3), f32s(n, 4));
        let (mut a, mut b) = (a0.clone(), b0.clone());
        let p = Program {
            loads: smallvec![DType::F32, DType::F32],
            scalars: smallvec![],
            instrs: vec![
                instr(&rows::ADD, DType::F32, DType::F32, &[0, 1]),
                instr(&rows::SUB, DType::F32, DType::F32, &[0, 1]),
            ],
            stores: smallvec![2, 3],
        };
        let (pa, pb) = (a.as_mut_ptr() as *mut u8, b.as_mut_ptr() as *mut u8);
        // SAFETY: both vectors hold n elements; stores are loads at the same pointer and strides.
        unsafe { run(&p, &[n], &[(pa, &[1]), (pb, &[1])], &[], &[(pa, &[1]), (pb, &[1])]) };
        assert!((0..n).all(|i| a[i] == a0[i] + b0[i] && b[i] == a0[i] - b0[i]));
        // a swap: loads that are stored as they are
        let p = Program { instrs: vec![], stores: smallvec![1, 0], ..p };
        let (a1, b1) = (a.clone(), b.clone());
        let (pa, pb) = (a.as_mut_ptr() as *mut u8, b.as_mut_ptr() as *mut u8);
        // SAFETY: as above.
        unsafe { run(&p, &[n], &[(pa, &[1]), (pb, &[1])], &[], &[(pa, &[1]), (pb, &[1])]) };
        assert!(a == b1 && b == a1);
    }

    #[test]
    fn casts_inside_a_program() {
        let x: Vec<i64> = (0..5000).map(|i| i * 7 - 9000).collect();
        let mut y = vec![0f32; 5000];
        let p = Program {
            loads: smallvec![DType::I64],
            scalars: smallvec![DType::F32],
            instrs: vec![
                Instr { action: Action::Cast, dtype: DType::I64, out: DType::F32, srcs: smallvec![0] },
                instr(&rows::MUL, DType::F32, DType::F32, &[2, 1]),
            ],
            stores: smallvec![3],
        };
        let (px, py) = (x.as_ptr() as *const u8, y.as_mut_ptr() as *mut u8);
        // SAFETY: both vectors hold 5000 elements.
        unsafe { run(&p, &[5000], &[(px, &[1])], &[Scalar::Float(0.5)], &[(py, &[1])]) };
        assert!(x.iter().zip(&y).all(|(&x, &y)| y == x as f32 * 0.5));
    }

    /// `cargo test --release pointwise::tests::speed -- --ignored --nocapture` prints the figures.
    #[test]
    #[ignore = "prints timings, checks nothing that could fail by itself"]
    fn speed() {
        let n = 4 << 20;
        let (a, b) = (f32s(n, 3), f32s(n, 4));
        let mut out = vec![0f32; n];
        let add = Program {
            loads: smallvec![DType::F32, DType::F32],
            instrs: vec![instr(&rows::ADD, DType::F32, DType::F32, &[0, 1])],
            stores: smallvec![2],
            ..Program::default()
        };
        let f = DType::F32;
        let gelu = Program {
            loads: smallvec![f],
            scalars: smallvec![f, f, f, f],
            instrs: vec![
                instr(&rows::MUL, f, f, &[0, 1]),
                instr(&rows::ADD, f, f, &[5, 2]),
                instr(&rows::GELU, f, f, &[6]),
                instr(&rows::MUL, f, f, &[7, 3]),
                instr(&rows::ADD, f, f, &[8, 4]),
            ],
            stores: smallvec![9],
        };
        let (pa, pb, po) = (a.as_ptr() as *const u8, b.as_ptr() as *const u8, out.as_mut_ptr() as *mut u8);
        let time = |name: &str, f: &dyn Fn()| {
            f();
            let mut best = f64::MAX;
            for _ in 0..20 {
                let t = std::time::Instant::now();
                f();
                best = best.min(t.elapsed().as_secs_f64());
            }
            println!("{name}: {:.3} ms", best * 1e3);
        };
        let scalars = [0.5, 0.1, 2.0, 0.3].map(Scalar::Float);
        // SAFETY: the vectors hold n elements.
        time("add 4M", &|| unsafe { run(&add, &[n], &[(pa, &[1]), (pb, &[1])], &[], &[(po, &[1])]) });
        // SAFETY: as above.
        time("gelu chain 4M", &|| unsafe { run(&gelu, &[n], &[(pa, &[1])], &scalars, &[(po, &[1])]) });
        // SAFETY: as above.
        time("bias add 4M", &|| unsafe {
            run(&add, &[n / 64, 64], &[(pa, &[64, 1]), (pb, &[0, 1])], &[], &[(po, &[64, 1])])
        });
        // SAFETY: as above.
        time("transposed add 4M", &|| unsafe {
            run(&add, &[2048, 2048], &[(pa, &[1, 2048]), (pb, &[2048, 1])], &[], &[(po, &[2048, 1])])
        });
        for row in [
            &rows::EXP,
            &rows::EXPM1,
            &rows::LOG,
            &rows::LOG1P,
            &rows::TANH,
            &rows::SIGMOID,
            &rows::ERF,
            &rows::GELU,
            &rows::GELU_TANH,
            &rows::SILU,
            &rows::SIN,
            &rows::COS,
            &rows::GELU_BACKWARD,
            &rows::SQRT,
            &rows::POW,
        ] {
            let f = (row.cpu)(f).expect("f32");
            let (pa, pb) = (f32s(1024, 1), f32s(1024, 2));
            let ins = [pa.as_ptr() as *const u8, pb.as_ptr() as *const u8];
            // SAFETY: 1024 elements each.
            time(&format!("{} 1M in cache", row.name), &|| {
                for _ in 0..1024 {
                    unsafe { f(&ins[..row.arity], po, 1024) }
                }
            });
        }
        let small = (rows::ADD.cpu)(f).expect("f32");
        // SAFETY: 16 elements each.
        time("add 16, 1M times", &|| {
            for _ in 0..1_000_000 {
                unsafe { small(&[pa, pb], po, 16) }
            }
        });
    }
}
