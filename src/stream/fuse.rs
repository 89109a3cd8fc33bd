//! One flush: drops what nobody can see, merges elementwise steps, lets kernels take the step that follows, and runs it all.
//!
//! NOTE [Groups]: a group is a program being built over one iteration shape. A step may join a group if every storage it
//! shares with the group is met there through the same layout, and if no later group (they run in order) writes what it reads
//! or touches what it writes. Registers are values, not memory, so an in-place step inside a group cannot change what an
//! earlier step read.

use super::command::{Arg, Cmd, Epilogue, Fed, KernelCmd, PointCmd, Src};
use super::exec::{self, Job};
use super::lean;
use super::storage::StorageImpl;
use crate::device::Device;
use crate::dtype::DType;
use crate::error::Result;
use crate::num::rows;
use crate::program::{Action, Instr, Program, Reg};
use crate::scalar::Scalar;
use crate::shape::Dims;
use smallvec::SmallVec;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Steps in one kernel: chains are cut here, so that their structures (and compiled kernels) stay few.
const MAX_STEPS: usize = 64;
/// WebGPU's default number of storage buffers a stage.
const MAX_BUFFERS: usize = 8;
/// Groups kept open at once.
const MAX_GROUPS: usize = 8;

#[derive(Clone, Copy, PartialEq)]
enum Value {
    Load(u16),
    Scalar(u16),
    Instr(u16),
}

struct Step {
    action: Action,
    dtype: DType,
    out: DType,
    srcs: SmallVec<[Value; 4]>,
}

struct Write {
    arg: Arg,
    value: Value,
    fresh: bool,
    /// Read by a command outside the group.
    needed: bool,
}

struct Group {
    device: Device,
    shape: Dims,
    loads: Vec<Arg>,
    scalars: Vec<(Scalar, DType)>,
    steps: Vec<Step>,
    writes: Vec<Write>,
    commands: usize,
}

fn is(a: &Arc<StorageImpl>, b: &Arc<StorageImpl>) -> bool {
    Arc::ptr_eq(a, b)
}

impl Write {
    fn is_live(&self) -> bool {
        self.needed || self.arg.storage.visible() || self.arg.storage.uses.load(Ordering::Relaxed) > 0
    }
}

impl Group {
    fn new(cmd: &PointCmd) -> Group {
        Group {
            device: cmd.out.storage.device,
            shape: cmd.out.layout.shape.clone(),
            loads: Vec::new(),
            scalars: Vec::new(),
            steps: Vec::new(),
            writes: Vec::new(),
            commands: 0,
        }
    }

    fn reads(&self, s: &Arc<StorageImpl>) -> bool {
        self.loads.iter().any(|a| is(&a.storage, s))
    }

    fn writes(&self, s: &Arc<StorageImpl>) -> bool {
        self.writes.iter().any(|w| is(&w.arg.storage, s))
    }

    /// True where the command has to run after this group (or in it).
    fn comes_before(&self, cmd: &Cmd) -> bool {
        match cmd {
            Cmd::Point(c) => {
                c.srcs.iter().any(|s| matches!(s, Src::Tensor(a) if self.writes(&a.storage)))
                    || self.writes(&c.out.storage)
                    || self.reads(&c.out.storage)
            }
            Cmd::Kernel(c) => {
                c.ins.iter().any(|a| self.writes(&a.storage))
                    || c.outs.iter().any(|a| self.writes(&a.storage) || self.reads(&a.storage))
            }
        }
    }

    /// True where the step can be computed in this group.
    fn accepts(&self, cmd: &PointCmd) -> bool {
        if cmd.out.storage.device != self.device || cmd.out.layout.shape != self.shape || self.commands >= MAX_STEPS {
            return false;
        }
        let clean = |arg: &Arg| self.writes.iter().all(|w| !is(&w.arg.storage, &arg.storage) || w.arg.same(arg));
        if !cmd.srcs.iter().all(|s| matches!(s, Src::Scalar(_)) || matches!(s, Src::Tensor(a) if clean(a))) {
            return false;
        }
        if !clean(&cmd.out) || self.loads.iter().any(|a| is(&a.storage, &cmd.out.storage) && !a.same(&cmd.out)) {
            return false;
        }
        self.device == Device::Cpu || self.buffers_with(cmd) <= MAX_BUFFERS
    }

    /// Storages the kernel would bind with one more step.
    fn buffers_with(&self, cmd: &PointCmd) -> usize {
        let mut ids: SmallVec<[u64; 16]> = SmallVec::new();
        let mut note = |s: &Arc<StorageImpl>| {
            if !ids.contains(&s.id) {
                ids.push(s.id);
            }
        };
        for a in &self.loads {
            note(&a.storage);
        }
        for w in self.writes.iter().filter(|w| w.is_live()) {
            // a temporary whose last reader is this step goes away
            let reads =
                cmd.srcs.iter().filter(|s| matches!(s, Src::Tensor(a) if is(&a.storage, &w.arg.storage))).count();
            let uses = w.arg.storage.uses.load(Ordering::Relaxed) as usize;
            if w.needed || w.arg.storage.visible() || uses > reads {
                note(&w.arg.storage);
            }
        }
        for s in &cmd.srcs {
            if let Src::Tensor(a) = s
                && !self.writes(&a.storage)
            {
                note(&a.storage);
            }
        }
        note(&cmd.out.storage);
        ids.len()
    }

    fn load(&mut self, arg: &Arg) -> Value {
        if let Some(w) = self.writes.iter().find(|w| w.arg.same(arg)) {
            return w.value;
        }
        if let Some(i) = self.loads.iter().position(|a| a.same(arg)) {
            return Value::Load(i as u16);
        }
        self.loads.push(arg.clone());
        Value::Load(self.loads.len() as u16 - 1)
    }

    fn step(&mut self, action: Action, dtype: DType, out: DType, srcs: SmallVec<[Value; 4]>) -> Value {
        self.steps.push(Step { action, dtype, out, srcs });
        Value::Instr(self.steps.len() as u16 - 1)
    }

    fn dtype(&self, v: Value) -> DType {
        match v {
            Value::Load(i) => self.loads[i as usize].dtype,
            Value::Scalar(i) => self.scalars[i as usize].1,
            Value::Instr(i) => self.steps[i as usize].out,
        }
    }

    fn cast(&mut self, v: Value, to: DType) -> Value {
        let from = self.dtype(v);
        if from == to { v } else { self.step(Action::Cast, from, to, SmallVec::from_slice(&[v])) }
    }

    fn add(&mut self, cmd: &PointCmd) {
        // what nobody will read again is a value of the program only
        self.writes.retain(Write::is_live);
        let mut srcs: SmallVec<[Value; 4]> = SmallVec::new();
        for (i, s) in cmd.srcs.iter().enumerate() {
            let want = cmd.src_dtype(i);
            let v = match s {
                Src::Scalar(value) => {
                    // every scalar has its own slot: which ones are equal must not change the kernel's structure
                    self.scalars.push((*value, want));
                    Value::Scalar(self.scalars.len() as u16 - 1)
                }
                Src::Tensor(a) => self.load(a),
            };
            srcs.push(self.cast(v, want));
        }
        let mut value = match cmd.action {
            // a copy is a step of its own, so that its write comes after every read before it
            Action::Cast if cmd.dtype == cmd.natural => {
                self.step(Action::Row(&rows::POSITIVE), cmd.dtype, cmd.natural, srcs)
            }
            action => self.step(action, cmd.dtype, cmd.natural, srcs),
        };
        value = self.cast(value, cmd.out.dtype);
        match self.writes.iter_mut().find(|w| w.arg.same(&cmd.out)) {
            Some(w) => w.value = value,
            None => self.writes.push(Write { arg: cmd.out.clone(), value, fresh: cmd.fresh, needed: false }),
        }
        self.commands += 1;
    }

    /// The program of what is still wanted; None where nothing is.
    fn build(&self) -> Option<Built<'_>> {
        let live: SmallVec<[&Write; 4]> = self.writes.iter().filter(|w| w.is_live()).collect();
        if live.is_empty() {
            return None;
        }
        let mut wanted = vec![false; self.steps.len()];
        let (mut use_load, mut use_scalar) = (vec![false; self.loads.len()], vec![false; self.scalars.len()]);
        let mut stack: Vec<Value> = live.iter().map(|w| w.value).collect();
        while let Some(v) = stack.pop() {
            match v {
                Value::Load(i) => use_load[i as usize] = true,
                Value::Scalar(i) => use_scalar[i as usize] = true,
                Value::Instr(i) if wanted[i as usize] => {}
                Value::Instr(i) => {
                    wanted[i as usize] = true;
                    stack.extend(self.steps[i as usize].srcs.iter().copied());
                }
            }
        }
        let number = |flags: &[bool], from: u16| -> (Vec<u16>, u16) {
            let mut next = from;
            let table = flags
                .iter()
                .map(|&f| {
                    let n = next;
                    next += f as u16;
                    n
                })
                .collect();
            (table, next)
        };
        let (load_reg, n) = number(&use_load, 0);
        let (scalar_reg, n) = number(&use_scalar, n);
        let (step_reg, _) = number(&wanted, n);
        let reg = |v: &Value| -> Reg {
            match *v {
                Value::Load(i) => load_reg[i as usize],
                Value::Scalar(i) => scalar_reg[i as usize],
                Value::Instr(i) => step_reg[i as usize],
            }
        };
        let loads: SmallVec<[&Arg; 8]> =
            self.loads.iter().zip(&use_load).filter(|(_, f)| **f).map(|(a, _)| a).collect();
        let scalars: SmallVec<[(Scalar, DType); 8]> =
            self.scalars.iter().zip(&use_scalar).filter(|(_, f)| **f).map(|(s, _)| *s).collect();
        let program = Program {
            loads: loads.iter().map(|a| a.dtype).collect(),
            scalars: scalars.iter().map(|(_, d)| *d).collect(),
            instrs: self
                .steps
                .iter()
                .zip(&wanted)
                .filter(|(_, f)| **f)
                .map(|(s, _)| Instr {
                    action: s.action,
                    dtype: s.dtype,
                    out: s.out,
                    srcs: s.srcs.iter().map(reg).collect(),
                })
                .collect(),
            stores: live.iter().map(|w| reg(&w.value)).collect(),
        };
        Some(Built { program, loads, scalars: scalars.iter().map(|(s, _)| *s).collect(), live })
    }

    /// Runs what is still wanted.
    fn run(self) -> Result<()> {
        let Some(Built { program, loads, scalars, live }) = self.build() else { return Ok(()) };
        let name = match self.steps.last().map(|s| s.action) {
            Some(Action::Row(row)) => row.name,
            _ => "to",
        };
        let stores = live.iter().map(|w| (&w.arg, w.fresh)).collect();
        Job { name, program, shape: &self.shape, loads, scalars, stores }.run(self.device)
    }

    /// The kernel with this group computed as it reads, where the group's one live value is the kernel's one input and
    /// nobody else sees it.
    fn feed(&self, c: &KernelCmd) -> Option<KernelCmd> {
        let [input] = &c.ins[..] else { return None };
        let hidden = !input.storage.visible() && input.storage.uses.load(Ordering::Relaxed) == 1;
        let Built { program, loads, scalars, live } = self.build()?;
        let [write] = live[..] else { return None };
        let computed = (program.stores[0] as usize) >= program.loads.len() + program.scalars.len();
        if !hidden || write.needed || !write.arg.same(input) || !computed || self.shape.contains(&0) {
            return None;
        }
        if self.device.is_gpu() {
            let mut ids: SmallVec<[u64; 8]> = loads.iter().map(|a| a.storage.id).collect();
            ids.sort_unstable();
            ids.dedup();
            // one more holds the parts of a reduction in two passes
            if ids.len() + c.outs.len() + 1 > MAX_BUFFERS || !exec::supports(self.device, &program) {
                return None;
            }
        }
        let ins = loads.into_iter().cloned().collect();
        let kernel = c.kernel.feed(&Fed { program, scalars, shape: self.shape.clone(), device: self.device })?;
        Some(KernelCmd { kernel, ins, outs: c.outs.clone(), location: c.location })
    }
}

/// A group's program, its operands, and what it writes.
struct Built<'a> {
    program: Program,
    loads: SmallVec<[&'a Arg; 8]>,
    scalars: SmallVec<[Scalar; 8]>,
    live: SmallVec<[&'a Write; 4]>,
}

#[derive(Default)]
struct Flush {
    stream: u32,
    groups: VecDeque<Group>,
    error: Option<crate::error::Error>,
}

impl Flush {
    fn note(&mut self, r: Result<()>) {
        if let Err(e) = r {
            self.error.get_or_insert(e);
        }
    }

    fn run_first_groups(&mut self, count: usize) {
        for group in self.groups.drain(..count).collect::<Vec<_>>() {
            let result = group.run();
            self.note(result);
        }
    }

    /// A command outside group `but` reads these: groups that hold them have to write them out.
    fn need(&mut self, args: &mut dyn Iterator<Item = &Arg>, but: Option<usize>) {
        for a in args {
            for (i, g) in self.groups.iter_mut().enumerate() {
                if Some(i) != but {
                    for w in g.writes.iter_mut().filter(|w| is(&w.arg.storage, &a.storage)) {
                        w.needed = true;
                    }
                }
            }
        }
    }

    /// Runs a kernel. What it was to compute, if it fails on its data, is not read by later steps: `index_put_` with a bad index
    /// leaves its target as it is.
    fn launch(&mut self, c: &KernelCmd) {
        let failed = match c.ins.iter().any(|a| a.storage.has_failed()) {
            true => true,
            false => {
                let result = exec::kernel(c, self.stream);
                let failed = result.is_err();
                self.note(result);
                failed
            }
        };
        if failed && !c.kernel.updates() {
            c.outs.iter().for_each(|a| a.storage.set_failed(true));
        }
    }

    fn place_point(&mut self, cmd: &Cmd) {
        let Cmd::Point(c) = cmd else { return };
        if c.srcs.iter().any(|s| matches!(s, Src::Tensor(a) if a.storage.has_failed())) {
            if c.fresh {
                c.out.storage.set_failed(true);
            }
            return;
        }
        if c.out.storage.has_failed() {
            c.out.storage.set_failed(false);
        }
        let mut target = None;
        for (i, g) in self.groups.iter().enumerate().rev() {
            if g.accepts(c) {
                target = Some(i);
                break;
            }
            if g.comes_before(cmd) {
                break;
            }
        }
        let target = target.unwrap_or_else(|| {
            if self.groups.len() >= MAX_GROUPS {
                self.run_first_groups(1);
            }
            self.groups.push_back(Group::new(c));
            self.groups.len() - 1
        });
        let mut read = c.srcs.iter().filter_map(|s| match s {
            Src::Tensor(a) => Some(a),
            Src::Scalar(_) => None,
        });
        self.need(&mut read, Some(target));
        // an in-place step on what another group computes: that group's value has to be in memory first
        if !c.fresh {
            self.need(&mut std::iter::once(&c.out), Some(target));
        }
        self.groups[target].add(c);
    }

    /// The group that a kernel can compute as it reads, and that kernel.
    fn feed(&self, c: &KernelCmd, before: usize) -> Option<(usize, KernelCmd)> {
        let [input] = &c.ins[..] else { return None };
        let at = self.groups.iter().position(|g| g.writes(&input.storage))?;
        // it runs after those that come between: they must not write what it reads
        let group = &self.groups[at];
        let moves =
            self.groups.iter().take(before).skip(at + 1).all(|g| !group.loads.iter().any(|a| g.writes(&a.storage)));
        Some((at, group.feed(c).filter(|_| moves)?))
    }

    fn place_kernel(&mut self, c: &KernelCmd, cmd: &Cmd) {
        let before = self.groups.iter().rposition(|g| g.comes_before(cmd)).map_or(0, |i| i + 1);
        if let Some((group, fed)) = self.feed(c, before) {
            self.groups.remove(group);
            self.run_first_groups(before - 1);
            self.launch(&fed);
            return;
        }
        self.need(&mut c.ins.iter().chain(c.outs.iter().filter(|_| c.kernel.updates())), None);
        self.run_first_groups(before);
        self.launch(c);
    }
}

pub(super) fn uses(cmd: &Cmd, change: i32) {
    cmd.for_each_storage(|s| {
        if change > 0 {
            s.uses.fetch_add(1, Ordering::Relaxed);
        } else {
            s.uses.fetch_sub(1, Ordering::Relaxed);
        }
    });
}

/// True where all the command does is compute values that nobody can see or reads any more.
fn is_dead(cmd: &Cmd) -> bool {
    let unseen = |a: &Arg| !a.storage.visible() && a.storage.uses.load(Ordering::Relaxed) == 1;
    match cmd {
        Cmd::Point(c) => c.fresh && unseen(&c.out),
        Cmd::Kernel(c) => c.outs.iter().all(unseen),
    }
}

/// The kernel and the step that follows it as one, where nobody else sees what lies between.
pub(super) fn absorb(kernel: &KernelCmd, next: &Cmd) -> Option<KernelCmd> {
    let [out] = &kernel.outs[..] else { return None };
    if out.storage.visible() || out.storage.uses.load(Ordering::Relaxed) != 2 {
        return None;
    }
    let merged = |epilogue: &Epilogue, rest: &[Arg], outs: &SmallVec<[Arg; 2]>| {
        Some(KernelCmd {
            kernel: kernel.kernel.absorb(epilogue)?,
            ins: kernel.ins.iter().chain(rest).cloned().collect(),
            outs: outs.clone(),
            location: kernel.location,
        })
    };
    match next {
        Cmd::Point(p) => {
            let Action::Row(row) = p.action else { return None };
            let [Src::Tensor(src)] = &p.srcs[..] else { return None };
            if row.name != "relu" || !p.fresh || !src.same(out) || p.out.dtype != out.dtype {
                return None;
            }
            merged(&Epilogue::Relu, &[], &std::iter::once(p.out.clone()).collect())
        }
        Cmd::Kernel(k) => {
            let (epilogue, (first, rest)) = (k.kernel.epilogue()?, k.ins.split_first()?);
            // the same elements in the same order: a view of other sizes may lie between
            let whole = |a: &Arg| a.layout.offset == 0 && a.layout.is_contiguous() && a.dtype == out.dtype;
            if !is(&first.storage, &out.storage) || !whole(first) || !whole(out) || !rest.iter().all(whole) {
                return None;
            }
            // behind the dim that it goes along, that is
            if let Epilogue::LogSoftmaxGrad { dim } = epilogue
                && first.layout.shape.get(..=dim) != out.layout.shape.get(..=dim)
            {
                return None;
            }
            merged(&epilogue, rest, &k.outs)
        }
    }
}

/// Runs a stream's recorded commands in order. Gives back the emptied list, for its memory.
pub fn run(stream: u32, mut cmds: Vec<Cmd>) -> (Vec<Cmd>, Result<()>) {
    for cmd in &cmds {
        uses(cmd, 1);
    }
    let mut dead = vec![false; cmds.len()];
    for (i, cmd) in cmds.iter().enumerate().rev() {
        if is_dead(cmd) {
            dead[i] = true;
            uses(cmd, -1);
        }
    }
    let instead = lean::find(&cmds, &mut dead);
    let command = |i: usize| instead.iter().find(|(place, _)| *place == i).map_or(&cmds[i], |(_, cmd)| cmd);
    let alive: Vec<usize> = (0..cmds.len()).filter(|&i| !dead[i]).collect();
    let mut flush = Flush { stream, ..Flush::default() };
    let mut at = 0;
    while at < alive.len() {
        let cmd = command(alive[at]);
        match cmd {
            Cmd::Point(_) => {
                flush.place_point(cmd);
                uses(cmd, -1);
            }
            Cmd::Kernel(k) => {
                let next = alive.get(at + 1).map(|&i| command(i));
                if let Some((merged, next)) = next.and_then(|n| Some((absorb(k, n)?, n))) {
                    uses(cmd, -1);
                    uses(next, -1);
                    let merged = Cmd::Kernel(merged);
                    if let Cmd::Kernel(m) = &merged {
                        flush.place_kernel(m, &merged);
                    }
                    at += 1;
                } else {
                    flush.place_kernel(k, cmd);
                    uses(cmd, -1);
                }
            }
        }
        at += 1;
    }
    flush.run_first_groups(flush.groups.len());
    for cmd in &cmds {
        cmd.for_each_storage(|s| s.release_claim());
    }
    cmds.clear();
    (cmds, flush.error.map_or(Ok(()), Err))
}
