//! Fused elementwise kernels: one WGSL kernel for a program, its collapsed rank and how each operand lies.

use super::GpuView;
use super::adapter::{Features, Gpu};
use super::body::{self, is_raw};
use super::buffer::Buffer;
use super::copy::{try_clear, try_copy};
use super::elements::{Grain, INDEX_WGSL, load_four, load_one, packed, raw_dtype, store_four, store_one, wgsl_type};
use super::pipeline::{Access, KernelSource};
use super::recorder::Recorder;
use crate::dtype::DType;
use crate::error::{Result, ensure};
use crate::layout::collapse;
use crate::program::Program;
use crate::scalar::Scalar;
use crate::shape::{Dims, contiguous_strides, numel};
use smallvec::{SmallVec, smallvec};
use std::fmt::Write;

/// Invocations in a workgroup: one wave on the widest hardware, two on most.
const GROUP: u32 = 64;

/// From so many elements on a software adapter goes over ragged rows as one, and takes what is beyond the last whole quad apart.
const APART: usize = 1 << 14;

/// How an operand lies along the innermost dim of the iteration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// The same element everywhere.
    Const,
    /// The same element along the innermost dim.
    Splat,
    /// Neighbours along the innermost dim, and every row starts at a multiple of four: whole vectors and words.
    Vec,
    /// Anything else.
    Strided,
}

impl Class {
    pub fn code(self) -> char {
        match self {
            Class::Const => 'c',
            Class::Splat => 'b',
            Class::Vec => 'v',
            Class::Strided => 's',
        }
    }
}

/// An operand of a kernel.
pub(super) struct Operand {
    pub class: Class,
    pub dtype: DType,
    /// Its buffer's place among the bindings.
    pub slot: usize,
    pub offset: u32,
    pub strides: SmallVec<[u32; 5]>,
}

/// The buffers of a kernel, each bound once however many operands lie in it.
#[derive(Default)]
pub(super) struct Slots<'a> {
    pub buffers: SmallVec<[&'a Buffer; 8]>,
    pub written: SmallVec<[bool; 8]>,
    pub grains: SmallVec<[Grain; 8]>,
}

impl<'a> Slots<'a> {
    pub fn slot(&mut self, b: &'a Buffer, written: bool) -> usize {
        let slot = self.buffers.iter().position(|x| x.id() == b.id()).unwrap_or_else(|| {
            self.buffers.push(b);
            self.written.push(false);
            self.buffers.len() - 1
        });
        self.written[slot] |= written;
        slot
    }

    /// Chooses what each binding's array is made of, by the operands that lie in it: long words only where asked, and where
    /// they are stored only `whole`, since parts of one cannot be.
    pub fn choose(&mut self, loads: &[Operand], stores: &[Operand], wide: bool, whole: bool) -> Result<()> {
        for slot in 0..self.buffers.len() {
            let uses = || loads.iter().chain(stores).filter(|o| o.slot == slot);
            let all = |f: &dyn Fn(&Operand) -> bool| uses().all(f);
            let byte_store = |o: &Operand| o.slot == slot && packed(o.dtype) && o.class != Class::Vec;
            let grain = if uses().any(|o| o.dtype == DType::F64) {
                ensure!(
                    all(&|o| o.dtype == DType::F64),
                    Device,
                    "one kernel sees a buffer as float64 and as another dtype"
                );
                Grain::Double
            } else if stores.iter().any(byte_store) {
                Grain::Atomic
            } else if all(&|o| o.class == Class::Vec && !packed(o.dtype)) {
                if wide && (whole || !self.written[slot]) { Grain::Wide } else { Grain::Four }
            } else if all(&|o| o.dtype.size() == 8 && o.class != Class::Vec)
                || all(&|o| o.dtype.size() == 2 && o.class == Class::Vec)
            {
                Grain::Two
            } else {
                Grain::Word
            };
            self.grains.push(grain);
        }
        Ok(())
    }

    pub fn declare(&self, text: &mut String) {
        for (k, g) in self.grains.iter().enumerate() {
            let access = if self.written[k] { "read_write" } else { "read" };
            let t = g.element();
            let _ = writeln!(text, "@group(0) @binding({}) var<storage, {access}> b{k}: array<{t}>;", k + 1);
        }
    }

    pub fn accesses(&self) -> Vec<Access> {
        self.written.iter().map(|&w| if w { Access::ReadWrite } else { Access::Read }).collect()
    }

    /// The part of a kernel's key that its bindings are.
    pub fn key(&self, key: &mut String) {
        for (k, g) in self.grains.iter().enumerate() {
            key.push(if self.written[k] { g.code().to_ascii_uppercase() } else { g.code() });
        }
    }
}

pub(super) fn index32(what: &str, x: usize) -> Result<u32> {
    ensure!(x <= u32::MAX as usize, Device, "{what} {x} does not fit in the 32 bits that GPU kernels index with");
    Ok(x as u32)
}

/// Whether `run` can do a program on a device with these features.
pub fn supports(p: &Program, features: &Features) -> bool {
    body::supports(p, features)
}

/// A view's strides over the iteration's shape: 0 where it is broadcast.
pub(super) fn broadcast_strides(v: &GpuView<'_>, shape: &[usize]) -> Result<Dims> {
    ensure!(v.shape.len() <= shape.len(), Device, "an operand of {:?} does not broadcast to {shape:?}", v.shape);
    let lead = shape.len() - v.shape.len();
    let mut out = Dims::from_elem(0, shape.len());
    for (d, (&n, &s)) in v.shape.iter().zip(v.strides).enumerate() {
        ensure!(n == shape[lead + d] || n == 1, Device, "an operand of {:?} does not broadcast to {shape:?}", v.shape);
        out[lead + d] = if n == 1 { 0 } else { s };
    }
    let bytes = v.end() as u64 * v.dtype.size() as u64;
    ensure!(bytes <= v.buffer.size(), Device, "a view ends at byte {bytes} of a buffer of {}", v.buffer.size());
    Ok(out)
}

/// The class of an operand, given its collapsed strides (innermost last) and how many elements an invocation handles.
pub(super) fn classify(offset: usize, strides: &[usize], shape: &[usize], width: usize) -> Class {
    let (inner, outer) = strides.split_last().expect("collapsed shapes have a dim");
    if numel(shape) > 1 && strides.iter().all(|&s| s == 0) {
        Class::Const
    } else if width == 4 && *inner == 0 {
        Class::Splat
    } else if width == 4 && *inner == 1 && offset.is_multiple_of(4) && outer.iter().all(|s| s.is_multiple_of(4)) {
        Class::Vec
    } else {
        Class::Strided
    }
}

/// Runs a program over `shape`; views of smaller shapes broadcast. A view that is stored may be loaded too (in place), at the
/// same elements; other overlaps are the caller's to avoid. False where WGSL cannot express the program here.
pub fn run(
    rec: &mut Recorder,
    gpu: &Gpu,
    p: &Program,
    shape: &[usize],
    loads: &[GpuView<'_>],
    scalars: &[Scalar],
    stores: &[GpuView<'_>],
) -> Result<bool> {
    if !supports(p, &gpu.features) {
        return Ok(false);
    }
    ensure!(
        loads.len() == p.loads.len() && scalars.len() == p.scalars.len() && stores.len() == p.stores.len(),
        Device,
        "a program of {} loads, {} scalars and {} stores was given {}, {} and {}",
        p.loads.len(),
        p.scalars.len(),
        p.stores.len(),
        loads.len(),
        scalars.len(),
        stores.len()
    );
    if numel(shape) == 0 || stores.is_empty() {
        return Ok(true);
    }
    let raw = is_raw(p);
    if raw && stores.len() == 1 {
        let zero = |s: &Scalar| match *s {
            Scalar::Bool(b) => !b,
            Scalar::Int(i) => i == 0,
            Scalar::Float(f) => f.to_bits() == 0,
            Scalar::Complex(_) => false,
        };
        let moved = match (loads, scalars) {
            ([src], []) => try_copy(rec, src, &stores[0], shape),
            ([], [s]) if zero(s) => try_clear(rec, &stores[0], shape),
            _ => false,
        };
        if moved {
            return Ok(true);
        }
    }
    // in the order of the first store's memory: what is transposed alike collapses alike
    let first = broadcast_strides(&stores[0], shape)?;
    let mut order: SmallVec<[usize; 5]> = (0..shape.len()).collect();
    order.sort_by_key(|&d| std::cmp::Reverse(first[d]));
    let sizes: Dims = order.iter().map(|&d| shape[d]).collect();
    let mut strides: SmallVec<[Dims; 8]> = SmallVec::new();
    for v in loads.iter().chain(stores) {
        let s = broadcast_strides(v, shape)?;
        strides.push(order.iter().map(|&d| s[d]).collect());
    }
    let operands: SmallVec<[&[usize]; 8]> = strides.iter().map(|s| &s[..]).collect();
    let (sizes, strides) = collapse(&sizes, &operands);
    let last = sizes.len() - 1;
    let inner = sizes[last];
    let rest = numel(&sizes) % 4;
    let mut piece = Piece { loads, stores, sizes: &sizes, strides: &strides, starts: &[], flat: false };
    let dense = |(s, v): (&Dims, &GpuView<'_>)| s[..] == contiguous_strides(&sizes)[..] && v.offset.is_multiple_of(4);
    let apart = rec.software() && !inner.is_multiple_of(4) && inner >= 4 && numel(&sizes) >= APART;
    if !apart || last > 0 && !strides.iter().zip(loads.iter().chain(stores)).any(dense) {
        launch(rec, p, scalars, &piece)?;
        return Ok(true);
    }
    // the code for the end of a row would be executed for all: rows are gone over as one, and its end has a dispatch of its own
    let ends: SmallVec<[Dims; 8]> = strides.iter().map(|s| smallvec![s[last]]).collect();
    let before_end = |s: &Dims| (0..last).map(|d| (sizes[d] - 1) * s[d]).sum::<usize>() + (inner - rest) * s[last];
    let starts: SmallVec<[usize; 8]> = strides.iter().map(before_end).collect();
    let whole = [inner - rest];
    if last > 0 {
        piece.flat = true;
    } else {
        piece.sizes = &whole;
    }
    launch(rec, p, scalars, &piece)?;
    if rest > 0 {
        let piece = Piece { sizes: &[rest], strides: &ends, starts: &starts, flat: false, ..piece };
        launch(rec, p, scalars, &piece)?;
    }
    Ok(true)
}

/// What one dispatch computes: the operands with collapsed sizes and strides.
struct Piece<'a> {
    loads: &'a [GpuView<'a>],
    stores: &'a [GpuView<'a>],
    sizes: &'a [usize],
    strides: &'a [Dims],
    /// How far into each operand it starts; nothing: at its start.
    starts: &'a [usize],
    /// Invocations take four elements of all rows in one, which may lie in two rows; what is left of four is not computed.
    flat: bool,
}

fn launch(rec: &mut Recorder, p: &Program, scalars: &[Scalar], piece: &Piece<'_>) -> Result<()> {
    let Piece { loads, stores, sizes, strides, starts, flat } = *piece;
    let raw = is_raw(p);
    let rank = sizes.len();
    let inner = sizes[rank - 1];
    let dense = contiguous_strides(sizes);
    let width = if rank == 1 || inner >= 4 { 4 } else { 1 };

    let mut slots = Slots::default();
    let mut ops: Vec<Operand> = Vec::with_capacity(strides.len());
    for (k, v) in loads.iter().chain(stores).enumerate() {
        let written = k >= loads.len();
        let s = &strides[k];
        let offset = v.offset + starts.get(k).unwrap_or(&0);
        let class = match classify(offset, s, sizes, width) {
            Class::Vec | Class::Strided if flat && s[..] == dense[..] && offset.is_multiple_of(4) => Class::Vec,
            Class::Vec if flat => Class::Strided,
            class => class,
        };
        if written {
            let gaps = sizes.iter().zip(s).any(|(&n, &s)| n > 1 && s == 0);
            ensure!(!gaps, Device, "a kernel would store to an expanded tensor");
        }
        index32("the index", v.end())?;
        ops.push(Operand {
            class,
            dtype: if raw { raw_dtype(v.dtype) } else { v.dtype },
            slot: slots.slot(v.buffer, written),
            offset: offset as u32,
            strides: s.iter().map(|&s| s as u32).collect(),
        });
    }
    let stored = ops.split_off(loads.len());
    // rows of whole quads: no code for the end of one, which software adapters would execute for all
    let whole = width == 4 && (flat || inner.is_multiple_of(4));
    slots.choose(&ops, &stored, rec.wide_loads(), whole)?;
    ensure!(
        slots.buffers.len() <= rec.limits().max_storage_buffers_per_shader_stage as usize,
        Device,
        "an elementwise kernel over {} buffers: this device binds {}",
        slots.buffers.len(),
        rec.limits().max_storage_buffers_per_shader_stage
    );

    let mut key = String::with_capacity(128);
    let _ = write!(key, "pw{rank}.{width}{}{}.", if whole { "w" } else { "" }, if flat { "f" } else { "" });
    for o in ops.iter().chain(&stored) {
        key.push(o.class.code());
        let _ = write!(key, "{}", o.slot);
    }
    slots.key(&mut key);
    key.push_str(&p.key());

    let rows = numel(&sizes[..rank - 1]);
    let chunks = inner.div_ceil(width);
    let units = index32("the number of elements", if flat { numel(sizes) / 4 } else { rows * chunks })?;
    let mut params: Vec<u32> = Vec::with_capacity(32);
    body::push_scalars(p, raw, scalars, &mut params);
    params.extend([units, inner as u32, if flat { rows } else { chunks } as u32]);
    params.extend(sizes[..rank - 1].iter().skip(1).map(|&n| n as u32));
    for o in ops.iter().chain(&stored) {
        params.push(o.offset);
        if o.class == Class::Const || flat && o.class == Class::Vec {
            continue;
        }
        if o.class == Class::Strided {
            params.push(o.strides[rank - 1]);
        }
        params.extend(&o.strides[..rank - 1]);
    }
    let param_bytes = params.len() as u32 * 4;
    let k = rec.kernel(&key, || {
        Ok(KernelSource {
            label: p.label(),
            wgsl: source(p, rank, width, [whole, flat], &ops, &stored, &slots),
            bindings: slots.accesses(),
            overrides: Vec::new(),
            param_bytes,
        })
    })?;
    rec.dispatch(k, &slots.buffers, &params, units.div_ceil(GROUP))
}

/// `let {index}0 …`: the indices of a row's dims in the number of a row, a variable, which is used up.
fn decompose(t: &mut String, rank: usize, index: &str, row: &str) {
    for d in (1..rank - 1).rev() {
        let _ = writeln!(t, "let {index}{d} = {row} % P.d{d};\n{row} = {row} / P.d{d};");
    }
    let _ = writeln!(t, "let {index}0 = {row};");
}

/// Where a strided operand has an element of four that may lie in two rows.
fn in_rows(k: usize, l: usize) -> String {
    match l {
        0 => format!("a{k} + c * P.n{k}"),
        _ => format!("select(a{k} + (c + {l}u) * P.n{k}, b{k}_next + (c + {l}u - P.inner) * P.n{k}, n{l})"),
    }
}

fn source(
    p: &Program,
    rank: usize,
    width: usize,
    [whole, flat]: [bool; 2],
    loads: &[Operand],
    stores: &[Operand],
    slots: &Slots<'_>,
) -> String {
    let mut t = String::with_capacity(4096);
    let all = || loads.iter().chain(stores).enumerate();
    let _ = write!(
        t,
        "struct Params {{ {}units: u32, inner: u32, {}: u32, ",
        body::scalar_members(p, is_raw(p)),
        if flat { "rows" } else { "chunks" }
    );
    for d in 1..rank - 1 {
        let _ = write!(t, "d{d}: u32, ");
    }
    for (k, o) in all() {
        let _ = write!(t, "o{k}: u32, ");
        if o.class == Class::Strided {
            let _ = write!(t, "n{k}: u32, ");
        }
        if o.class != Class::Const && !(flat && o.class == Class::Vec) {
            for d in 0..rank - 1 {
                let _ = write!(t, "t{k}_{d}: u32, ");
            }
        }
    }
    t.push_str("}\n@group(0) @binding(0) var<uniform> P: Params;\n");
    slots.declare(&mut t);
    if all().any(|(_, o)| matches!(o.dtype, DType::F16 | DType::BF16)) {
        t.push_str(INDEX_WGSL);
    }
    let four = width == 4 && body::has_four(p);
    body::write_body(p, is_raw(p), four, &mut t);
    let _ = writeln!(
        t,
        "@compute @workgroup_size({GROUP})
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>, @builtin(local_invocation_index) lid: u32) {{
let t = (wg.x + wg.y * nwg.x) * {GROUP}u + lid;
if t >= P.units {{ return; }}"
    );
    if rank == 1 {
        let _ = writeln!(t, "let c = t * {width}u;");
    } else if flat {
        // the row that an invocation begins in, and the next one, which it may end in
        t.push_str("let place = t * 4u;\nvar row = place / P.inner;\nlet c = place - row * P.inner;\n");
        t.push_str("var next = min(row + 1u, P.rows - 1u);\n");
        decompose(&mut t, rank, "i", "row");
        decompose(&mut t, rank, "j", "next");
        for l in 1..4 {
            let _ = writeln!(t, "let n{l} = c + {l}u >= P.inner;");
        }
    } else {
        let _ = writeln!(t, "var row = t / P.chunks;\nlet c = (t - row * P.chunks) * {width}u;");
        decompose(&mut t, rank, "i", "row");
    }
    if width == 4 {
        t.push_str(if whole { "const m = 4u;\n" } else { "let m = min(4u, P.inner - c);\n" });
        if !flat && loads.iter().any(|o| o.class == Class::Strided) {
            // lanes past the end load the last element again
            t.push_str("let e1 = min(1u, m - 1u);\nlet e2 = min(2u, m - 1u);\nlet e3 = m - 1u;\n");
        }
    }
    // where an operand's row starts
    for (k, o) in all() {
        if flat && o.class == Class::Vec {
            let _ = writeln!(t, "let a{k} = P.o{k} + place;");
            continue;
        }
        let start = |row: &str| match o.class {
            Class::Const => format!("P.o{k}"),
            _ => (0..rank - 1).fold(format!("P.o{k}"), |s, d| s + &format!(" + {row}{d} * P.t{k}_{d}")),
        };
        let _ = writeln!(t, "let a{k} = {}{};", start("i"), if o.class == Class::Vec { " + c" } else { "" });
        if flat && o.class != Class::Const {
            let _ = writeln!(t, "let b{k}_next = {};", start("j"));
        }
    }
    let mut values: Vec<[String; 4]> = Vec::new();
    for (k, o) in loads.iter().enumerate() {
        let (g, b) = (slots.grains[o.slot], format!("b{}", o.slot));
        let a = format!("a{k}");
        match o.class {
            Class::Splat if flat => {
                let _ = writeln!(t, "let x{k} = {};", load_one(o.dtype, g, &b, &a));
                let _ = writeln!(t, "let x{k}_next = {};", load_one(o.dtype, g, &b, &format!("b{k}_next")));
                let of = |l: usize| if l == 0 { format!("x{k}") } else { format!("select(x{k}, x{k}_next, n{l})") };
                values.push(std::array::from_fn(of));
            }
            Class::Const | Class::Splat => {
                let _ = writeln!(t, "let x{k} = {};", load_one(o.dtype, g, &b, &a));
                values.push(std::array::from_fn(|_| format!("x{k}")));
            }
            Class::Vec => {
                let (lines, x) = load_four(o.dtype, g, &b, &a, &k.to_string());
                t.push_str(&lines);
                values.push(x);
            }
            Class::Strided => {
                for l in 0..width {
                    let at = match l {
                        _ if flat => in_rows(k, l),
                        0 => format!("{a} + c * P.n{k}"),
                        _ => format!("{a} + (c + e{l}) * P.n{k}"),
                    };
                    let _ = writeln!(t, "let j{k}_{l} = {at};");
                    let _ = writeln!(t, "let x{k}_{l} = {};", load_one(o.dtype, g, &b, &format!("j{k}_{l}")));
                }
                values.push(std::array::from_fn(|l| format!("x{k}_{l}")));
            }
        }
    }
    if four {
        let args: Vec<String> = values
            .iter()
            .zip(&p.loads)
            .map(|(v, &d)| format!("{}({})", crate::num::type_of_four(wgsl_type(d)), v.join(", ")))
            .collect();
        let _ = writeln!(t, "let y = wt_body({});", args.join(", "));
    } else {
        for l in 0..width {
            let args: Vec<&str> = values.iter().map(|v| v[l].as_str()).collect();
            let _ = writeln!(t, "let y{l} = wt_body({});", args.join(", "));
        }
    }
    for (n, o) in stores.iter().enumerate() {
        let k = loads.len() + n;
        let (g, b) = (slots.grains[o.slot], format!("b{}", o.slot));
        let member = if stores.len() == 1 { String::new() } else { format!(".s{n}") };
        let y =
            |l: usize| if four { format!("y{member}.{}", ["x", "y", "z", "w"][l]) } else { format!("y{l}{member}") };
        let y: [String; 4] = std::array::from_fn(y);
        if o.class == Class::Vec {
            let _ = writeln!(t, "{{\n{}}}", store_four(o.dtype, g, &b, &format!("a{k}"), &y));
        } else {
            for (l, y) in y.iter().enumerate().take(width) {
                let guard = if l == 0 || flat { String::new() } else { format!("if m > {l}u ") };
                let store = store_one(o.dtype, g, &b, "z", y);
                let at = match flat {
                    true => in_rows(k, l),
                    false => format!("a{k} + (c + {l}u) * P.n{k}"),
                };
                let _ = writeln!(t, "{guard}{{ let z = {at};\n{store}}}");
            }
        }
    }
    t.push_str("}\n");
    t
}

#[cfg(test)]
#[path = "pointwise_tests.rs"]
mod tests;
