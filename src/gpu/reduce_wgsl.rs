//! The text of reduction kernels: a first pass over the loads and, where rows are split, a second over the parts.

use super::body;
use super::elements::{
    Grain, INDEX_WGSL, SHIFTED_WGSL, begin_shifted, load_four, load_one, load_shifted, load_shifted_run, store_one,
};
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
    /// Steps that are left over follow one by one.
    pub stride: usize,
}

/// Everything that the two kernels of a reduction are written from.
pub(super) struct Job<'a> {
    pub kind: ReduceKind,
    pub program: &'a Program,
    pub dtype: DType,
    pub plan: Plan,
    /// Lanes of an invocation: up to four, or sixteen columns that are loaded by vectors though they start anywhere.
    pub width: usize,
    /// Rows that lie side by side as one, each with columns of its own: the second pass folds those.
    pub abreast: usize,
    /// Steps are left over by turns of several, or hang over a row's end.
    pub rest: bool,
    /// Collapsed sizes.
    pub kept: Dims,
    pub reduced: Dims,
    pub loads: Vec<Operand>,
    /// Loads by whole vectors whose rows start anywhere: [`load_shifted`].
    pub shifted: Vec<bool>,
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

    /// Whether a second pass folds what the first one leaves.
    pub fn two(&self) -> bool {
        self.plan.splits > 1 || self.abreast > 1
    }

    pub fn key(&self, slots: &Slots<'_>) -> String {
        let mut key = String::with_capacity(128);
        let Plan { columns, group, stride, .. } = self.plan;
        let _ = write!(key, "red {} {columns} {group} {} {} {stride}", self.kind.code(), self.two(), self.width);
        key.push_str(if self.rest { "r" } else { "" });
        key.push_str(if self.abreast > 1 { "a" } else { "" });
        let _ = write!(key, " {}.{}.", self.kept.len(), self.reduced.len());
        for (o, &shifted) in self.loads.iter().zip(&self.shifted) {
            key.push(if shifted { 'h' } else { o.class.code() });
            let _ = write!(key, "{}", o.slot);
        }
        if !self.two() {
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
        let Plan { columns, group, stride, .. } = self.plan;
        let (nk, nr, two) = (self.kept.len(), self.reduced.len(), self.two());
        // dims that are decomposed: all but the one that lanes run along
        let (dk, dr) = (nk - columns as usize, nr - !columns as usize);
        let mut t = String::with_capacity(8192);
        let _ = write!(
            t,
            "struct Params {{ {}ninf: u32, inf: u32, nan: u32, dof: u32, rest: u32, total: u32, steps: u32, part: u32, splits: u32, inner: u32, chunks: u32, whole: u32, ends: u32, ",
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
        if self.shifted.contains(&true) {
            t.push_str(SHIFTED_WGSL);
        }
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
            if w == 16 {
                t.push_str("let m = min(16u, P.inner - c);\n");
            } else if w == 4 {
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
        let _ = writeln!(t, "let end = min(P.steps, (s + 1u) * P.part);\nvar turn = s * P.part{first};");
        for k in (0..self.loads.len()).filter(|&k| !columns && self.by_shifting(k, slots)) {
            let (d, slot) = (self.loads[k].dtype, self.loads[k].slot);
            let _ = writeln!(t, "let f{k} = a{k} + 4u * turn;");
            t.push_str(&begin_shifted(d, slots.grains[slot], &format!("b{slot}"), &format!("f{k}"), &format!("_{k}")));
        }
        if stride > 1 && self.rest {
            let _ = writeln!(t, "let turns = turn + (min(end, P.whole) - turn) / {stride}u * {stride}u;");
        }
        let to = if stride > 1 && self.rest { "turns" } else { "end" };
        let _ = writeln!(t, "for (; turn < {to}; turn = turn + {}u) {{", step * stride as u32);
        for k in 0..stride as u32 {
            let _ = writeln!(t, "{{\nlet u = turn + {}u;", k * step);
            self.take_step(&mut t, slots, stride == 1);
            t.push_str("}\n");
        }
        if blocks {
            let every = 64 / stride.next_power_of_two();
            let _ = writeln!(t, "taken = taken + 1u;\nif (taken & {}u) == 0u {{", every - 1);
            for l in 0..w {
                let _ = writeln!(t, "all{l} = wt_join(all{l}, acc{l});\nacc{l} = wt_start();");
            }
            t.push_str("}\n");
        }
        t.push_str("}\n");
        if stride > 1 && self.rest {
            t.push_str("for (; turn < end; turn = turn + 1u) {\nlet u = turn;\n");
            self.take_step(&mut t, slots, true);
            t.push_str("}\n");
        }
        if blocks {
            for l in 0..w {
                let _ = writeln!(t, "acc{l} = wt_join(all{l}, acc{l});");
            }
        }
        if columns {
            for l in 0..w {
                let guard = if l == 0 || w < 4 { String::new() } else { format!("if m > {l}u ") };
                let _ = writeln!(t, "{guard}{{ let acc = acc{l};");
                if two {
                    let _ = writeln!(t, "parts[(kr * P.inner + c + {l}u) * P.splits + s] = acc;");
                } else {
                    self.write_outs(&mut t, slots, &format!("(c + {l}u)"));
                }
                t.push_str("}\n");
            }
        } else {
            t.push_str(match w {
                1 => "let one = acc0;\n",
                2 => "let one = wt_join(acc0, acc1);\n",
                3 => "let one = wt_join(wt_join(acc0, acc1), acc2);\n",
                _ => "let one = wt_join(wt_join(acc0, acc1), wt_join(acc2, acc3));\n",
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

    /// Whether a load is written by [`load_shifted`]: arrays of single words have no whole vectors.
    fn by_shifting(&self, k: usize, slots: &Slots<'_>) -> bool {
        self.shifted[k] && matches!(slots.grains[self.loads[k].slot], Grain::Four | Grain::Wide)
    }

    /// Statements that fold step `u` of a row (or column) into the accumulators; it may hang over the row's end where `loose`.
    fn take_step(&self, t: &mut String, slots: &Slots<'_>, loose: bool) {
        let Plan { columns, .. } = self.plan;
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
        if loose && self.abreast > 1 {
            t.push_str("let there = P.ends - min(P.ends, u * P.inner + c);\n");
        }
        let mut values: Vec<Vec<String>> = Vec::new();
        for (k, o) in self.loads.iter().enumerate() {
            let (g, b) = (slots.grains[o.slot], format!("b{}", o.slot));
            let _ = write!(t, "let z{k} = a{k}");
            if o.class != Class::Const {
                for d in 0..dr {
                    let _ = write!(t, " + j{d} * P.q{k}_{d}");
                }
            }
            t.push_str(if !columns && o.class == Class::Vec { " + c;\n" } else { ";\n" });
            let mut z = format!("z{k}");
            if loose && self.abreast > 1 && o.class == Class::Vec {
                // past the last row nothing need be there
                let _ = writeln!(t, "let y{k} = min({z}, P.o{k} + (P.ends - 1u) / 4u * 4u);");
                z = format!("y{k}");
            }
            match o.class {
                Class::Const | Class::Splat => {
                    let _ = writeln!(t, "let x{k} = {};", load_one(o.dtype, g, &b, &z));
                    values.push(vec![format!("x{k}"); w]);
                }
                Class::Vec => {
                    let tag = format!("_{k}");
                    let mut own = Vec::new();
                    if self.shifted[k] && !self.by_shifting(k, slots) {
                        for l in 0..w {
                            let _ = writeln!(t, "let y{k}_{l} = {z} + min({l}u, m - 1u);");
                            let _ = writeln!(t, "let x{k}_{l} = {};", load_one(o.dtype, g, &b, &format!("y{k}_{l}")));
                            own.push(format!("x{k}_{l}"));
                        }
                    } else if self.shifted[k] && w == 16 {
                        let (lines, x) = load_shifted_run(o.dtype, g, &b, &z, &tag, w / 4);
                        t.push_str(&lines);
                        own.extend(x);
                    } else if self.shifted[k] {
                        let (lines, x) = load_shifted(o.dtype, g, &b, &z, &tag);
                        t.push_str(&lines);
                        own.extend(x);
                    }
                    // quads past the end are loaded from the last one
                    for q in own.len() / 4..w / 4 {
                        let (mut at, tag) = (z.clone(), format!("{tag}_{q}"));
                        if q > 0 {
                            at = format!("{z}_{q}");
                            let _ = writeln!(t, "let {at} = {z} + min({}u, (m - 1u) / 4u * 4u);", 4 * q);
                        }
                        let (lines, x) = load_four(o.dtype, g, &b, &at, &tag);
                        t.push_str(&lines);
                        own.extend(x);
                    }
                    values.push(own);
                }
                Class::Strided => {
                    for l in 0..w {
                        let lane = match (l, w) {
                            (0, _) => "c".into(),
                            (_, 4) => format!("(c + e{l})"),
                            _ => format!("(c + {l}u)"),
                        };
                        let _ = writeln!(t, "let y{k}_{l} = {z} + {lane} * P.n{k};");
                        let _ = writeln!(t, "let x{k}_{l} = {};", load_one(o.dtype, g, &b, &format!("y{k}_{l}")));
                    }
                    values.push((0..w).map(|l| format!("x{k}_{l}")).collect());
                }
            }
        }
        for l in 0..w {
            let args: Vec<&str> = values.iter().map(|v| v[l].as_str()).collect();
            let at = if columns { "u".into() } else { format!("at + {l}u") };
            let take = format!("acc{l} = wt_take(acc{l}, wt_body({}), {at});", args.join(", "));
            let _ = if loose && self.abreast > 1 {
                writeln!(t, "if there > {l}u {{ {take} }}")
            } else if columns || l == 0 || w < 4 || !loose {
                writeln!(t, "{take}")
            } else {
                writeln!(t, "if m > {l}u {{ {take} }}")
            };
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
        let (parts, count) = match self.abreast {
            1 => ("g * P.splits + s".to_owned(), "P.splits".to_owned()),
            n => ("(s / P.splits * P.total + g) * P.splits + s % P.splits".to_owned(), format!("{n}u * P.splits")),
        };
        let take = format!("one = wt_join(one, parts[{parts}]);");
        if blocks {
            let _ = writeln!(
                t,
                "var one = wt_start();\nvar all = wt_start();\nvar taken = 0u;\nfor (var s = {first}; s < {count} * nwg.z; s = s + {step}u) {{\n{take}\ntaken = taken + 1u;\nif (taken & 31u) == 0u {{ all = wt_join(all, one); one = wt_start(); }}\n}}\none = wt_join(all, one);"
            );
        } else {
            let _ = writeln!(
                t,
                "var one = wt_start();\nfor (var s = {first}; s < {count} * nwg.z; s = s + {step}u) {{ {take} }}"
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
