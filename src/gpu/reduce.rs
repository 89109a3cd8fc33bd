//! Reductions over any dims, in an order that sizes alone decide: by threads or workgroups, in one pass or two, with a fused
//! program applied to what they load.
//!
//! NOTE [Ways to reduce]: `Rows` have the four lanes of an invocation along the innermost reduced dim, `Columns` along the
//! innermost kept one. A row is folded by a thread or by a workgroup; a long one is split, and a second pass folds the parts.

use super::adapter::Gpu;
use super::body;
use super::elements::{Grain, INDEX_WGSL, load_four, load_one, store_one};
pub use super::fold::ReduceKind;
use super::fold::fold;
use super::pipeline::{Access, KernelSource};
use super::pointwise::{Class, GpuView, Operand, Slots, broadcast_strides, classify, index32, label};
use super::recorder::Recorder;
use crate::dtype::DType;
use crate::error::{Result, ensure};
use crate::layout::collapse;
use crate::program::Program;
use crate::scalar::Scalar;
use crate::shape::{Dims, numel};
use smallvec::{SmallVec, smallvec};
use std::borrow::Cow;
use std::fmt::Write;

const REDUCE_WGSL: &str = include_str!("../../shaders/reduce.wgsl");
const BLOCK_WGSL: &str = include_str!("../../shaders/lib/block.wgsl");

/// Invocations in a workgroup.
const GROUP: u32 = 64;

/// How a reduction runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// Lanes along the innermost kept dim.
    pub columns: bool,
    /// A workgroup folds each row, otherwise one invocation.
    pub group: bool,
    /// Parts that each row is split into.
    pub splits: usize,
}

/// One side of the iteration (kept or reduced dims), collapsed.
struct Side {
    sizes: Dims,
    strides: SmallVec<[Dims; 4]>,
}

fn side(shape: &[usize], strides: &[Dims], pick: impl Fn(usize) -> bool) -> Side {
    let chosen: Dims = (0..shape.len()).filter(|&d| pick(d)).collect();
    let sizes: Dims = chosen.iter().map(|&d| shape[d]).collect();
    let parts: SmallVec<[Dims; 8]> = strides.iter().map(|s| chosen.iter().map(|&d| s[d]).collect()).collect();
    let views: SmallVec<[&[usize]; 8]> = parts.iter().map(|s| &s[..]).collect();
    let (sizes, mut strides) = collapse(&sizes, &views);
    if sizes[..] == [1] {
        strides.iter_mut().for_each(|s| s[0] = 0);
    }
    Side { sizes, strides }
}

/// Everything that the two kernels of a reduction are written from.
struct Job<'a> {
    kind: ReduceKind,
    program: &'a Program,
    dtype: DType,
    plan: Plan,
    width: usize,
    /// Collapsed sizes.
    kept: Dims,
    reduced: Dims,
    loads: Vec<Operand>,
    /// The loads' strides over the reduced dims (`Operand::strides` has the kept ones).
    inner: Vec<Dims>,
    outs: Vec<Operand>,
}

/// Reduces `shape` over the dims marked in `dims`, after applying `prologue` (a program with one store) to the loads, which
/// broadcast. Outputs have one view each (see `ReduceKind::outputs`), either of the whole rank (reduced dims of size 1) or
/// of the kept dims only. False where WGSL cannot express it here.
pub fn reduce(
    rec: &mut Recorder,
    gpu: &Gpu,
    kind: ReduceKind,
    prologue: Option<&Program>,
    loads: &[GpuView<'_>],
    scalars: &[Scalar],
    shape: &[usize],
    dims: &[bool],
    outs: &[GpuView<'_>],
) -> Result<bool> {
    reduce_as(rec, gpu, kind, prologue, loads, scalars, shape, dims, outs, None)
}

/// `reduce` with the way chosen by the caller: so that tests reach each on every adapter.
#[allow(clippy::too_many_arguments, reason = "one internal door; the public one is the same list")]
pub(super) fn reduce_as(
    rec: &mut Recorder,
    gpu: &Gpu,
    kind: ReduceKind,
    prologue: Option<&Program>,
    loads: &[GpuView<'_>],
    scalars: &[Scalar],
    shape: &[usize],
    dims: &[bool],
    outs: &[GpuView<'_>],
    force: Option<Plan>,
) -> Result<bool> {
    let p: Cow<'_, Program> = match prologue {
        Some(p) => Cow::Borrowed(p),
        None => Cow::Owned(Program {
            loads: loads.iter().map(|v| v.dtype).collect(),
            stores: smallvec![0],
            ..Program::default()
        }),
    };
    ensure!(
        p.stores.len() == 1
            && loads.len() == p.loads.len()
            && scalars.len() == p.scalars.len()
            && dims.len() == shape.len(),
        Device,
        "a reduction over {shape:?} was given {} stores, {} loads, {} scalars and {} dims",
        p.stores.len(),
        loads.len(),
        scalars.len(),
        dims.len()
    );
    let dtype = p.dtype(p.stores[0]);
    let f64s = p.loads.iter().chain(&p.scalars).any(|&d| d == DType::F64);
    if !body::supports(&p, &gpu.features) || (f64s || dtype == DType::F64) && !gpu.features.f64 {
        return Ok(false);
    }
    let Some(natural) = kind.outputs(dtype) else { return Ok(false) };
    let small = |d: DType| d.is_float() && d != DType::F64;
    let fits = outs.iter().zip(&natural).all(|(v, &d)| v.dtype == d || small(v.dtype) && small(d));
    let count = outs.len() == natural.len() || matches!(kind, ReduceKind::Var { .. }) && outs.len() == 1;
    ensure!(
        fits && count,
        Device,
        "{kind:?} of {dtype:?} gives {natural:?}, not {:?}",
        outs.iter().map(|v| v.dtype).collect::<Vec<_>>()
    );

    // strides of every operand over the whole shape
    let mut strides: SmallVec<[Dims; 8]> = SmallVec::new();
    for v in loads {
        strides.push(broadcast_strides(v, shape)?);
    }
    let kept_shape: Dims = shape.iter().zip(dims).filter(|(_, r)| !**r).map(|(&n, _)| n).collect();
    if numel(&kept_shape) == 0 {
        return Ok(true);
    }
    for v in outs {
        let mut s = Dims::from_elem(0, shape.len());
        let full = v.shape.len() == shape.len();
        let mut k = 0;
        for d in (0..shape.len()).filter(|&d| !dims[d]) {
            s[d] = v.strides[if full { d } else { k }];
            k += 1;
        }
        ensure!(full || k == v.shape.len(), Device, "an output of {:?} for the dims {kept_shape:?}", v.shape);
        strides.push(s);
    }
    let kept = side(shape, &strides, |d| !dims[d]);
    let reduced = side(shape, &strides[..loads.len()], |d| dims[d]);
    let (outputs, length) = (numel(&kept.sizes), numel(&reduced.sizes));
    index32("the number of elements", outputs * length.max(1))?;

    // the load with most elements of its own decides how lanes lie
    let own = |k: &usize| -> usize {
        let count =
            |s: &Side| s.sizes.iter().zip(&s.strides[*k]).map(|(&n, &s)| if s == 0 { 1 } else { n }).product::<usize>();
        count(&kept) * count(&reduced)
    };
    let main = (0..loads.len()).rev().max_by_key(own);
    let (kept_inner, reduced_inner) = (kept.sizes[kept.sizes.len() - 1], reduced.sizes[reduced.sizes.len() - 1]);
    let columns = match (force, main) {
        (Some(f), _) => f.columns,
        (None, None) => false,
        (None, Some(k)) => {
            let last = |s: &Side| s.strides[k][s.sizes.len() - 1];
            kept_inner >= 4 && last(&kept) == 1 && last(&reduced) != 1
        }
    };
    let (lane_side, lanes) = if columns { (&kept, kept_inner) } else { (&reduced, reduced_inner) };
    let width = if lane_side.sizes.len() == 1 || lanes >= 4 { 4 } else { 1 };
    let chunks = lanes.div_ceil(width);
    // what a thread or workgroup folds, in steps of its loop
    let steps = if columns { length } else { length.checked_div(reduced_inner).unwrap_or(0) * chunks };
    let software = gpu.info.is_software();
    let plan = force.unwrap_or_else(|| {
        let group = !columns && !software && steps >= 32;
        // enough parts to fill a device, each long enough to be worth a second pass
        let (wanted, least) = match (columns, group) {
            (true, _) => (if software { 2048 } else { 16384 } / (outputs / kept_inner * chunks).max(1), 32),
            (_, true) => (512 / outputs, 4 * GROUP as usize),
            (_, false) => (2048 / outputs, 64),
        };
        Plan { columns, group, splits: wanted.min(steps / least).max(1) }
    });
    let part = steps.div_ceil(plan.splits).max(1);
    let splits = steps.div_ceil(part).max(1);
    let plan = Plan { splits, ..plan };

    let mut slots = Slots::default();
    let mut ops = Vec::with_capacity(loads.len());
    for (k, v) in loads.iter().enumerate() {
        let (ks, rs) = (&kept.strides[k], &reduced.strides[k]);
        let mut order: Dims = if columns { rs.clone() } else { ks.clone() };
        order.extend_from_slice(if columns { ks } else { rs });
        ops.push(Operand {
            class: classify(v.offset, &order, &[outputs, length.max(2)], width),
            dtype: v.dtype,
            slot: slots.slot(v.buffer, false),
            offset: v.offset as u32,
            strides: ks.iter().map(|&s| s as u32).collect(),
        });
    }
    let mut job = Job {
        kind,
        program: &p,
        dtype,
        plan,
        width,
        loads: ops,
        inner: reduced.strides.iter().take(loads.len()).cloned().collect(),
        outs: Vec::new(),
        kept: kept.sizes.clone(),
        reduced: reduced.sizes.clone(),
    };
    // the outputs lie in the second pass's bindings where there is one
    let mut last = Slots::default();
    let two = splits > 1;
    let out_slots = if two { &mut last } else { &mut slots };
    for (j, v) in outs.iter().enumerate() {
        job.outs.push(Operand {
            class: Class::Strided,
            dtype: v.dtype,
            slot: out_slots.slot(v.buffer, true),
            offset: v.offset as u32,
            strides: kept.strides[loads.len() + j].iter().map(|&s| s as u32).collect(),
        });
    }
    let specials = |params: &mut Vec<u32>| {
        let inf = f32::INFINITY.to_bits();
        let dof = match kind {
            ReduceKind::Var { correction } => (length as f64 - correction).max(0.0) as f32,
            _ => 0.0,
        };
        params.extend([f32::NEG_INFINITY.to_bits(), inf, f32::NAN.to_bits(), dof.to_bits()]);
    };

    slots.choose(&job.loads, if two { &[] } else { &job.outs })?;
    let mut key = job.key(&slots);
    let total = if columns { outputs / kept_inner * chunks * splits } else { outputs * splits };
    let mut params: Vec<u32> = Vec::with_capacity(48);
    body::push_scalars(&p, false, scalars, &mut params);
    specials(&mut params);
    params.extend([index32("the work", total)?, steps as u32, part as u32, splits as u32, lanes as u32, chunks as u32]);
    let (nk, nr) = (job.kept.len(), job.reduced.len());
    params.extend(job.kept[..nk - columns as usize].iter().skip(1).map(|&n| n as u32));
    params.extend(job.reduced[..nr - !columns as usize].iter().skip(1).map(|&n| n as u32));
    for (o, rs) in job.loads.iter().zip(&job.inner) {
        params.push(o.offset);
        if o.class == Class::Const {
            continue;
        }
        let ks = &o.strides;
        if o.class == Class::Strided {
            params.push(if columns { ks[nk - 1] } else { rs[nr - 1] as u32 });
        }
        params.extend(&ks[..nk - columns as usize]);
        params.extend(rs[..nr - !columns as usize].iter().map(|&s| s as u32));
    }
    let outs_params = |params: &mut Vec<u32>| {
        for o in &job.outs {
            params.push(o.offset);
            params.extend(&o.strides);
        }
    };
    let parts = if two {
        let bytes = fold(kind, dtype).bytes;
        let parts = rec.alloc(outputs as u64 * splits as u64 * bytes)?;
        index32("the number of parts", outputs * splits)?;
        Some(parts)
    } else {
        outs_params(&mut params);
        None
    };
    let groups = if plan.group { total as u32 } else { (total as u32).div_ceil(GROUP) };
    let param_bytes = params.len() as u32 * 4;
    let k = rec.kernel(&key, || {
        let mut bindings = slots.accesses();
        if two {
            bindings.push(Access::ReadWrite);
        }
        let wgsl = job.first_pass(&slots);
        Ok(KernelSource { label: job.label(), wgsl, bindings, overrides: Vec::new(), param_bytes })
    })?;
    let mut buffers: SmallVec<[&super::buffer::Buffer; 8]> = slots.buffers.iter().copied().collect();
    buffers.extend(&parts);
    rec.dispatch(k, &buffers, &params, groups)?;

    if let Some(parts) = &parts {
        last.choose(&[], &job.outs)?;
        let group = if force.is_some() { plan.group } else { !software && splits >= 64 };
        key.clear();
        let _ = write!(key, "red2 {} {:?} {nk} {group}.", kind.code(), dtype);
        job.outs_key(&mut key);
        last.key(&mut key);
        params.clear();
        specials(&mut params);
        params.extend([outputs as u32, splits as u32]);
        params.extend(job.kept.iter().skip(1).map(|&n| n as u32));
        outs_params(&mut params);
        let param_bytes = params.len() as u32 * 4;
        let k = rec.kernel(&key, || {
            let mut bindings = last.accesses();
            bindings.push(Access::Read);
            let wgsl = job.second_pass(&last, group);
            Ok(KernelSource {
                label: format!("{} (parts)", kind.code()),
                wgsl,
                bindings,
                overrides: Vec::new(),
                param_bytes,
            })
        })?;
        let mut buffers: SmallVec<[&super::buffer::Buffer; 8]> = last.buffers.iter().copied().collect();
        buffers.push(parts);
        let groups = if group { outputs as u32 } else { (outputs as u32).div_ceil(GROUP) };
        rec.dispatch(k, &buffers, &params, groups)?;
    }
    Ok(true)
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
    fn label(&self) -> String {
        match self.program.instrs.len() {
            0 => self.kind.code().to_owned(),
            _ => format!("{}({})", self.kind.code(), label(self.program)),
        }
    }

    fn key(&self, slots: &Slots<'_>) -> String {
        let mut key = String::with_capacity(128);
        let Plan { columns, group, splits } = self.plan;
        let _ = write!(key, "red {} {columns} {group} {} {}", self.kind.code(), splits > 1, self.width);
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

    fn outs_key(&self, key: &mut String) {
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

    fn first_pass(&self, slots: &Slots<'_>) -> String {
        let Plan { columns, group, splits } = self.plan;
        let (nk, nr, two) = (self.kept.len(), self.reduced.len(), splits > 1);
        // dims that are decomposed: all but the one that lanes run along
        let (dk, dr) = (nk - columns as usize, nr - !columns as usize);
        let mut t = String::with_capacity(8192);
        let _ = write!(
            t,
            "struct Params {{ {}ninf: u32, inf: u32, nan: u32, dof: u32, total: u32, steps: u32, part: u32, splits: u32, inner: u32, chunks: u32, ",
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
        body::write_body(self.program, false, &mut t);
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
        for l in 0..w {
            let _ = writeln!(t, "var acc{l} = wt_start();");
        }
        let (first, step) = if group { (" + lid", GROUP) } else { ("", 1) };
        let _ = writeln!(
            t,
            "let end = min(P.steps, (s + 1u) * P.part);\nfor (var u = s * P.part{first}; u < end; u = u + {step}u) {{"
        );
        if columns {
            decompose(&mut t, "u", "j", "r", dr);
        } else if nr == 1 {
            let _ = writeln!(t, "let c = u * {w}u;\nlet at = c;");
        } else {
            let _ =
                writeln!(t, "let jr = u / P.chunks;\nlet c = (u - jr * P.chunks) * {w}u;\nlet at = jr * P.inner + c;");
            decompose(&mut t, "jr", "j", "r", dr);
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
            let _ = if columns || l == 0 { writeln!(t, "{take}") } else { writeln!(t, "if m > {l}u {{ {take} }}") };
        }
        t.push_str("}\n");
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

    fn second_pass(&self, slots: &Slots<'_>, group: bool) -> String {
        let nk = self.kept.len();
        let mut t = String::with_capacity(4096);
        t.push_str("struct Params { ninf: u32, inf: u32, nan: u32, dof: u32, total: u32, splits: u32, ");
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
        let _ = writeln!(
            t,
            "var one = wt_start();\nfor (var s = {first}; s < P.splits; s = s + {step}u) {{ one = wt_join(one, parts[g * P.splits + s]); }}"
        );
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

#[cfg(test)]
#[path = "reduce_tests.rs"]
mod tests;
