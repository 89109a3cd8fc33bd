//! The text of reduction kernels: a first pass over the loads and, where rows are split, a second over the parts.

use super::body;
use super::elements::{Grain, INDEX_WGSL, load_four, load_one, store_one};
use super::fold::{ReduceKind, fold};
use super::pointwise::{Class, Operand, Slots};
use crate::dtype::DType;
use crate::program::Program;
use crate::shape::Dims;
use std::fmt::Write;

const REDUCE_WGSL: &str = include_str!("../../shaders/reduce.wgsl");
const BLOCK_WGSL: &str = include_str!("../../shaders/lib/block.wgsl");

/// Invocations in a workgroup.
pub(super) const GROUP: u32 = 64;

/// How a reduction runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// Lanes along the innermost kept dim.
    pub columns: bool,
    /// A workgroup folds each row, otherwise one invocation.
    pub group: bool,
    /// Parts that each row is split into.
    pub splits: usize,
    /// Steps that a turn of the loop takes, whose lanes are all there; more than 1 for software adapters, where turns cost.
    pub stride: usize,
}

/// Everything that the two kernels of a reduction are written from.
pub(super) struct Job<'a> {
    pub kind: ReduceKind,
    pub program: &'a Program,
    pub dtype: DType,
    pub plan: Plan,
    pub width: usize,
    /// Collapsed sizes.
    pub kept: Dims,
    pub reduced: Dims,
    pub loads: Vec<Operand>,
    /// The loads' strides over the reduced dims (`Operand::strides` has the kept ones).
    pub inner: Vec<Dims>,
    pub outs: Vec<Operand>,
}

const MAIN: &str = "fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>, @builtin(local_invocation_index) lid: u32) {\n";

/// `let i0 …`: the indices of `count` dims in a flat index `from`; sizes are `P.{size}1 …`.
fn decompose(t: &mut String, from: &str, index: &str, size: &str, count: usize) {
    if count == 0 {
        return;
    }
    let _ = writeln!(t, "var f_{index} = {from};");
    for d in (1..count).rev() {
        let _ = writeln!(t, "let {index}{d} = f_{index} % P.{size}{d};\nf_{index} = f_{index} / P.{size}{d};");
    }
    let _ = writeln!(t, "let {index}0 = f_{index};");
}

impl Job<'_> {
    pub fn label(&self) -> String {
        match self.program.instrs.len() {
            0 => self.kind.code().to_owned(),
            _ => format!("{}({})", self.kind.code(), self.program.label()),
        }
    }

    pub fn key(&self, slots: &Slots<'_>) -> String {
        let mut key = String::with_capacity(128);
        let Plan { columns, group, splits, stride } = self.plan;
        let _ = write!(key, "red {} {columns} {group} {} {} {stride}", self.kind.code(), splits > 1, self.width);
        let _ = write!(key, " {}.{}.", self.kept.len(), self.reduced.len());
        for o in &self.loads {
            key.push(o.class.code());
            let _ = write!(key, "{}", o.slot);
        }
        if splits == 1 {
            self.outs_key(&mut key);
        }
        slots.key(&mut key);
        key.push_str(&self.program.key());
        key
    }

    pub fn outs_key(&self, key: &mut String) {
        for o in &self.outs {
            let _ = write!(key, ",{}:{}", o.slot, o.dtype as u8);
        }
    }

    fn out_members(&self, t: &mut String) {
        for j in 0..self.outs.len() {
            let _ = write!(t, "w{j}: u32, ");
            for d in 0..self.kept.len() {
                let _ = write!(t, "v{j}_{d}: u32, ");
            }
        }
    }

    fn declare(&self, t: &mut String, slots: &Slots<'_>, parts: Option<&str>, group: bool) {
        t.push_str("@group(0) @binding(0) var<uniform> P: Params;\n");
        slots.declare(t);
        t.push_str(REDUCE_WGSL);
        t.push_str(INDEX_WGSL);
        t.push_str(&fold(self.kind, self.dtype).text);
        if let Some(access) = parts {
            let binding = slots.buffers.len() + 1;
            let _ = writeln!(t, "@group(0) @binding({binding}) var<storage, {access}> parts: array<WtAcc>;");
        }
        if group {
            let _ = writeln!(t, "const WT_GROUP = {GROUP}u;");
            t.push_str(BLOCK_WGSL);
        }
    }

    /// Statements that store what `acc` holds at the output with the kept indices `i0 …` (the last one an expression).
    fn write_outs(&self, t: &mut String, slots: &Slots<'_>, last: &str) {
        let outputs = fold(self.kind, self.dtype).outputs;
        let nk = self.kept.len();
        for (j, o) in self.outs.iter().enumerate() {
            let _ = write!(t, "{{ let z = P.w{j}");
            for d in 0..nk - 1 {
                let _ = write!(t, " + i{d} * P.v{j}_{d}");
            }
            let g: Grain = slots.grains[o.slot];
            let store = store_one(o.dtype, g, &format!("b{}", o.slot), "z", &outputs[j]);
            let _ = writeln!(t, " + {last} * P.v{j}_{};\n{store}}}", nk - 1);
        }
    }

    pub fn first_pass(&self, slots: &Slots<'_>) -> String {
        let Plan { columns, group, splits, stride } = self.plan;
        let (nk, nr, two) = (self.kept.len(), self.reduced.len(), splits > 1);
        // dims that are decomposed: all but the one that lanes run along
        let (dk, dr) = (nk - columns as usize, nr - !columns as usize);
        let mut t = String::with_capacity(8192);
        let _ = write!(
            t,
            "struct Params {{ {}ninf: u32, inf: u32, nan: u32, dof: u32, rest: u32, total: u32, steps: u32, part: u32, splits: u32, inner: u32, chunks: u32, ",
            body::scalar_members(self.program, false)
        );
        for d in 1..dk {
            let _ = write!(t, "k{d}: u32, ");
        }
        for d in 1..dr {
            let _ = write!(t, "r{d}: u32, ");
        }
        for (k, o) in self.loads.iter().enumerate() {
            let _ = write!(t, "o{k}: u32, ");
            if o.class == Class::Const {
                continue;
            }
            if o.class == Class::Strided {
                let _ = write!(t, "n{k}: u32, ");
            }
            for d in 0..dk {
                let _ = write!(t, "p{k}_{d}: u32, ");
            }
            for d in 0..dr {
                let _ = write!(t, "q{k}_{d}: u32, ");
            }
        }
        if !two {
            self.out_members(&mut t);
        }
        t.push_str("}\n");
        self.declare(&mut t, slots, two.then_some("read_write"), group);
        body::write_body(self.program, false, false, &mut t);
        let _ = write!(t, "@compute @workgroup_size({GROUP})\n{MAIN}");
        if group {
            // all invocations reach the barriers: workgroups past the end repeat the last one and store nothing
            t.push_str("let unit = wg.x + wg.y * nwg.x;\nlet g = min(unit, P.total - 1u);\n");
        } else {
            let _ = writeln!(t, "let g = (wg.x + wg.y * nwg.x) * {GROUP}u + lid;\nif g >= P.total {{ return; }}");
        }
        let w = self.width;
        if columns {
            t.push_str("let cols = P.total / P.splits;\nlet s = g / cols;\nlet col = g - s * cols;\nlet kr = col / P.chunks;\n");
            let _ = writeln!(t, "let c = (col - kr * P.chunks) * {w}u;");
            decompose(&mut t, "kr", "i", "k", dk);
            if w == 4 {
                t.push_str("let m = min(4u, P.inner - c);\nlet e1 = min(1u, m - 1u);\nlet e2 = min(2u, m - 1u);\nlet e3 = m - 1u;\n");
            }
        } else {
            t.push_str("let o = g / P.splits;\nlet s = g - o * P.splits;\n");
            decompose(&mut t, "o", "i", "k", dk);
        }
        for (k, o) in self.loads.iter().enumerate() {
            let _ = write!(t, "let a{k} = P.o{k}");
            if o.class != Class::Const {
                for d in 0..dk {
                    let _ = write!(t, " + i{d} * P.p{k}_{d}");
                }
            }
            t.push_str(if columns && o.class == Class::Vec { " + c;\n" } else { ";\n" });
        }
        // long sums of floats go by blocks, whose roundings do not add up as those of one chain do
        let blocks = matches!(self.kind, ReduceKind::Sum) && self.dtype.is_float();
        for l in 0..w {
            let _ = writeln!(t, "var acc{l} = wt_start();");
            if blocks {
                let _ = writeln!(t, "var all{l} = wt_start();");
            }
        }
        if blocks {
            t.push_str("var taken = 0u;\n");
        }
        let (first, step) = if group { (" + lid", GROUP) } else { ("", 1) };
        let _ = writeln!(
            t,
            "let end = min(P.steps, (s + 1u) * P.part);\nfor (var turn = s * P.part{first}; turn < end; turn = turn + {}u) {{",
            step * stride as u32
        );
        for k in 0..stride as u32 {
            let _ = writeln!(t, "{{\nlet u = turn + {}u;", k * step);
            self.take_step(&mut t, slots);
            t.push_str("}\n");
        }
        if blocks {
            let _ = writeln!(t, "taken = taken + 1u;\nif (taken & {}u) == 0u {{", 64 / stride - 1);
            for l in 0..w {
                let _ = writeln!(t, "all{l} = wt_join(all{l}, acc{l});\nacc{l} = wt_start();");
            }
            t.push_str("}\n");
        }
        t.push_str("}\n");
        if blocks {
            for l in 0..w {
                let _ = writeln!(t, "acc{l} = wt_join(all{l}, acc{l});");
            }
        }
        if columns {
            for l in 0..w {
                let guard = if l == 0 { String::new() } else { format!("if m > {l}u ") };
                let _ = writeln!(t, "{guard}{{ let acc = acc{l};");
                if two {
                    let _ = writeln!(t, "parts[(kr * P.inner + c + {l}u) * P.splits + s] = acc;");
                } else {
                    self.write_outs(&mut t, slots, &format!("(c + {l}u)"));
                }
                t.push_str("}\n");
            }
        } else {
            t.push_str(if w == 4 {
                "let one = wt_join(wt_join(acc0, acc1), wt_join(acc2, acc3));\n"
            } else {
                "let one = acc0;\n"
            });
            if group {
                t.push_str("let acc = wt_block(one, lid);\nif lid == 0u && unit < P.total {\n");
            } else {
                t.push_str("let acc = one;\n{\n");
            }
            if two {
                t.push_str("parts[g] = acc;\n");
            } else {
                self.write_outs(&mut t, slots, &format!("i{}", nk - 1));
            }
            t.push_str("}\n");
        }
        t.push_str("}\n");
        t
    }

    /// Statements that fold step `u` of a row (or column) into the accumulators.
    fn take_step(&self, t: &mut String, slots: &Slots<'_>) {
        let Plan { columns, stride, .. } = self.plan;
        let (nr, w) = (self.reduced.len(), self.width);
        let dr = nr - !columns as usize;
        if columns {
            decompose(t, "u", "j", "r", dr);
        } else if nr == 1 {
            let _ = writeln!(t, "let c = u * {w}u;\nlet at = c;");
        } else {
            let _ =
                writeln!(t, "let jr = u / P.chunks;\nlet c = (u - jr * P.chunks) * {w}u;\nlet at = jr * P.inner + c;");
            decompose(t, "jr", "j", "r", dr);
        }
        if !columns && w == 4 {
            t.push_str("let m = min(4u, P.inner - c);\nlet e1 = min(1u, m - 1u);\nlet e2 = min(2u, m - 1u);\nlet e3 = m - 1u;\n");
        }
        let mut values: Vec<[String; 4]> = Vec::new();
        for (k, o) in self.loads.iter().enumerate() {
            let (g, b) = (slots.grains[o.slot], format!("b{}", o.slot));
            let _ = write!(t, "let z{k} = a{k}");
            if o.class != Class::Const {
                for d in 0..dr {
                    let _ = write!(t, " + j{d} * P.q{k}_{d}");
                }
            }
            t.push_str(if !columns && o.class == Class::Vec { " + c;\n" } else { ";\n" });
            let z = format!("z{k}");
            match o.class {
                Class::Const | Class::Splat => {
                    let _ = writeln!(t, "let x{k} = {};", load_one(o.dtype, g, &b, &z));
                    values.push(std::array::from_fn(|_| format!("x{k}")));
                }
                Class::Vec => {
                    let (lines, x) = load_four(o.dtype, g, &b, &z, &format!("_{k}"));
                    t.push_str(&lines);
                    values.push(x);
                }
                Class::Strided => {
                    for l in 0..w {
                        let lane = if l == 0 { "c".into() } else { format!("(c + e{l})") };
                        let _ = writeln!(t, "let y{k}_{l} = {z} + {lane} * P.n{k};");
                        let _ = writeln!(t, "let x{k}_{l} = {};", load_one(o.dtype, g, &b, &format!("y{k}_{l}")));
                    }
                    values.push(std::array::from_fn(|l| format!("x{k}_{l}")));
                }
            }
        }
        for l in 0..w {
            let args: Vec<&str> = values.iter().map(|v| v[l].as_str()).collect();
            let at = if columns { "u".into() } else { format!("at + {l}u") };
            let take = format!("acc{l} = wt_take(acc{l}, wt_body({}), {at});", args.join(", "));
            let all = columns || l == 0 || stride > 1;
            let _ = if all { writeln!(t, "{take}") } else { writeln!(t, "if m > {l}u {{ {take} }}") };
        }
    }

    pub fn second_pass(&self, slots: &Slots<'_>, group: bool) -> String {
        let nk = self.kept.len();
        let mut t = String::with_capacity(4096);
        t.push_str("struct Params { ninf: u32, inf: u32, nan: u32, dof: u32, rest: u32, total: u32, splits: u32, ");
        for d in 1..nk {
            let _ = write!(t, "k{d}: u32, ");
        }
        self.out_members(&mut t);
        t.push_str("}\n");
        self.declare(&mut t, slots, Some("read"), group);
        let _ = write!(t, "@compute @workgroup_size({GROUP})\n{MAIN}");
        let (first, step) = if group { ("lid", GROUP) } else { ("0u", 1) };
        if group {
            t.push_str("let unit = wg.x + wg.y * nwg.x;\nlet g = min(unit, P.total - 1u);\n");
        } else {
            let _ = writeln!(t, "let g = (wg.x + wg.y * nwg.x) * {GROUP}u + lid;\nif g >= P.total {{ return; }}");
        }
        decompose(&mut t, "g", "i", "k", nk);
        // by blocks, as in the first pass; the bound as NOTE [Hidden bounds] tells
        let blocks = matches!(self.kind, ReduceKind::Sum) && self.dtype.is_float();
        let take = "one = wt_join(one, parts[g * P.splits + s]);";
        if blocks {
            let _ = writeln!(
                t,
                "var one = wt_start();\nvar all = wt_start();\nvar taken = 0u;\nfor (var s = {first}; s < P.splits * nwg.z; s = s + {step}u) {{\n{take}\ntaken = taken + 1u;\nif (taken & 31u) == 0u {{ all = wt_join(all, one); one = wt_start(); }}\n}}\none = wt_join(all, one);"
            );
        } else {
            let _ = writeln!(
                t,
                "var one = wt_start();\nfor (var s = {first}; s < P.splits * nwg.z; s = s + {step}u) {{ {take} }}"
            );
        }
        t.push_str(if group {
            "let acc = wt_block(one, lid);\nif lid == 0u && unit < P.total {\n"
        } else {
            "let acc = one;\n{\n"
        });
        self.write_outs(&mut t, slots, &format!("i{}", nk - 1));
        t.push_str("}\n}\n");
        t
    }
}
