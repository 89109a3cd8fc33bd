//! A fused elementwise computation as data: what the stream builds, and what both backends run.

use crate::dtype::DType;
use smallvec::SmallVec;

/// Runs one elementwise formula over `n` packed elements: `ins` are packed arrays of the compute dtype (bool operands as
/// bytes), `out` likewise; an input may be the output itself, but not overlap it otherwise.
pub type BlockFn = unsafe fn(ins: &[*const u8], out: *mut u8, n: usize);

/// One elementwise formula: a row of the table that both backends, the fuser and the tests read.
pub struct Row {
    /// PyTorch's name of the op, unique in the table.
    pub name: &'static str,
    /// Operands, tensors or scalars alike: 1 to 4.
    pub arity: usize,
    /// True where the result is a bool whatever the operands are.
    pub bool_out: bool,
    /// True where the first operand is a bool whatever the compute dtype is (`where`).
    pub bool_first: bool,
    /// The CPU loop for a compute dtype; None where the formula has no meaning for it.
    pub cpu: fn(DType) -> Option<BlockFn>,
    /// The formula as a WGSL function for a compute dtype; None where WGSL cannot express it.
    pub wgsl: fn(DType) -> Option<WgslFn>,
}

/// A WGSL function and the library functions that it calls.
#[derive(Clone, Debug)]
pub struct WgslFn {
    /// The function's name, unique by row and dtype.
    pub name: String,
    /// Its text.
    pub text: String,
    /// Names of the functions in the shader library that it calls.
    pub uses: Vec<&'static str>,
}

impl std::fmt::Debug for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// A register of a program: loads come first, then scalars, then one for each instruction.
pub type Reg = u16;

/// What an instruction computes.
#[derive(Clone, Copy, Debug)]
pub enum Action {
    /// A row of the table, at the instruction's compute dtype.
    Row(&'static Row),
    /// A conversion from the compute dtype to the output dtype.
    Cast,
}

/// One step of a program.
#[derive(Clone, Debug)]
pub struct Instr {
    /// What it computes.
    pub action: Action,
    /// The dtype it computes in.
    pub dtype: DType,
    /// The dtype of its result: the compute dtype, or bool.
    pub out: DType,
    /// Its operands.
    pub srcs: SmallVec<[Reg; 4]>,
}

/// A fused elementwise computation over one iteration space. Sizes, strides and scalar values are not part of it.
#[derive(Clone, Debug, Default)]
pub struct Program {
    /// The dtype of each tensor operand (registers `0..loads.len()`).
    pub loads: SmallVec<[DType; 8]>,
    /// The dtype of each scalar operand (the registers after the loads).
    pub scalars: SmallVec<[DType; 8]>,
    /// The steps, in order.
    pub instrs: Vec<Instr>,
    /// The registers that are written out, in the order of the output operands.
    pub stores: SmallVec<[Reg; 4]>,
}

impl Program {
    /// A copy of one tensor operand, converted where the dtypes differ.
    pub fn cast(from: DType, to: DType) -> Program {
        let mut p = Program { loads: SmallVec::from_slice(&[from]), ..Program::default() };
        if from != to {
            p.instrs.push(Instr { action: Action::Cast, dtype: from, out: to, srcs: SmallVec::from_slice(&[0]) });
        }
        p.stores.push(p.instrs.len() as Reg);
        p
    }

    /// The names of its steps, for errors and profiles: `mul+add`.
    pub fn label(&self) -> String {
        let name = |i: &Instr| match i.action {
            Action::Row(row) => row.name,
            Action::Cast => "to",
        };
        match self.instrs.len() {
            0 => "copy".into(),
            _ => self.instrs.iter().map(name).collect::<Vec<_>>().join("+"),
        }
    }

    /// This program's one result through another program of one load.
    pub fn then(&self, next: &Program) -> Program {
        debug_assert!(self.stores.len() == 1 && next.loads.len() == 1);
        let inputs = self.loads.len() + self.scalars.len();
        let (more, steps) = (next.scalars.len(), self.instrs.len());
        // the second program's scalars come before the first's steps
        let first = |r: Reg| if (r as usize) < inputs { r } else { r + more as Reg };
        let second = |r: Reg| match r as usize {
            0 => first(self.stores[0]),
            k if k <= more => (inputs + k - 1) as Reg,
            k => (inputs + steps + k - 1) as Reg,
        };
        let map =
            |i: &Instr, f: &dyn Fn(Reg) -> Reg| Instr { srcs: i.srcs.iter().map(|&s| f(s)).collect(), ..i.clone() };
        Program {
            loads: self.loads.clone(),
            scalars: self.scalars.iter().chain(&next.scalars).copied().collect(),
            instrs: (self.instrs.iter().map(|i| map(i, &first)))
                .chain(next.instrs.iter().map(|i| map(i, &second)))
                .collect(),
            stores: next.stores.iter().map(|&s| second(s)).collect(),
        }
    }

    /// The dtype of a register.
    pub fn dtype(&self, r: Reg) -> DType {
        let r = r as usize;
        let (l, s) = (self.loads.len(), self.scalars.len());
        if r < l {
            self.loads[r]
        } else if r < l + s {
            self.scalars[r - l]
        } else {
            self.instrs[r - l - s].out
        }
    }

    /// A string equal for programs that compile to the same kernel.
    pub fn key(&self) -> String {
        let mut k = String::with_capacity(16 * (self.instrs.len() + 2));
        let list = |k: &mut String, numbers: &mut dyn Iterator<Item = usize>| {
            for n in numbers {
                push_number(k, n);
                k.push(',');
            }
        };
        list(&mut k, &mut self.loads.iter().map(|d| *d as usize));
        k.push('|');
        list(&mut k, &mut self.scalars.iter().map(|d| *d as usize));
        k.push('|');
        for i in &self.instrs {
            match i.action {
                Action::Row(r) => k.push_str(r.name),
                Action::Cast => k.push_str("cast"),
            }
            k.push(':');
            push_number(&mut k, i.dtype as usize);
            k.push('>');
            push_number(&mut k, i.out as usize);
            k.push(',');
            list(&mut k, &mut i.srcs.iter().map(|s| *s as usize));
            k.push(';');
        }
        k.push('|');
        list(&mut k, &mut self.stores.iter().map(|s| *s as usize));
        k
    }
}

/// Decimal digits: keys are made at every launch, where formatting would show.
fn push_number(k: &mut String, n: usize) {
    if n >= 10 {
        push_number(k, n / 10);
    }
    k.push((b'0' + (n % 10) as u8) as char);
}
