//! Reductions over any dims, in an order that sizes alone decide: by threads or workgroups, in one pass or two, with a fused
//! program applied to what they load.
//!
//! NOTE [Ways to reduce]: `Rows` have the lanes of an invocation, four where there are so many, along the innermost reduced dim, `Columns` along the
//! innermost kept one. A row is folded by a thread or by a workgroup; a long one is split, and a second pass folds the parts.
//! Software adapters load elements of 32 bits by whole vectors wherever rows start, where a program is short and one dim is reduced:
//! rows by shifting, many columns by sixteens, few columns by laying rows side by side.

use super::GpuView;
use super::adapter::Gpu;
use super::body;
pub use super::fold::ReduceKind;
use super::fold::fold;
use super::pipeline::{Access, KernelSource};
use super::pointwise::{Class, Operand, Slots, broadcast_strides, classify, index32};
use super::recorder::Recorder;
use super::reduce_wgsl::{GROUP, Job, Plan};
use crate::dtype::DType;
use crate::error::{Result, ensure};
use crate::layout::collapse;
use crate::program::Program;
use crate::scalar::Scalar;
use crate::shape::{Dims, numel};
use smallvec::{SmallVec, smallvec};
use std::borrow::Cow;
use std::fmt::Write;

/// Instructions of a program that kernels hold several times over: longer ones take too long to compile.
const SHORT: usize = 4;

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

/// How software adapters load columns by whole vectors that do not lie so: how many rows they lay side by side, and whether sixteen
/// columns are loaded at once, wherever they start. NOTE [Two cores] in `matmul.rs`: a vector costs little more than an element.
fn columns_by_vectors(kind: ReduceKind, loads: &[GpuView<'_>], kept: &Side, reduced: &Side) -> (usize, bool) {
    let (&inner, rows) = (kept.sizes.last().unwrap_or(&1), numel(&reduced.sizes));
    let of = |s: &Side, k: usize| s.strides[k].last().copied().unwrap_or(0);
    let neighbours = |k: usize| of(kept, k) == 1 && loads[k].dtype.size() == 4;
    let all = |f: &dyn Fn(usize) -> bool| (0..loads.len()).all(f);
    if reduced.sizes.len() > 1 || inner.is_multiple_of(4) && all(&|k| of(reduced, k).is_multiple_of(4)) {
        return (1, false);
    }
    // few columns: sixteen rows are whole vectors however long a row is; kinds that tell rows apart cannot
    let indexed = matches!(kind, ReduceKind::ArgMax | ReduceKind::ArgMin | ReduceKind::MaxIndex | ReduceKind::MinIndex);
    let constant = |k: usize| kept.strides[k].iter().chain(&reduced.strides[k]).all(|&s| s == 0);
    let dense = |k: usize| neighbours(k) && of(reduced, k) == inner && loads[k].offset.is_multiple_of(4);
    if inner < 16 {
        let suits = kept.sizes.len() == 1 && rows >= 64 && !indexed && all(&|k| constant(k) || dense(k));
        return (if suits { 16 } else { 1 }, false);
    }
    let anywhere = |k: usize| neighbours(k) && !of(reduced, k).is_multiple_of(4);
    (1, (0..loads.len()).any(anywhere) && all(&|k| of(kept, k) == 0 || neighbours(k)))
}

/// Reduces `shape` over the dims marked in `dims`, after applying `prologue` (a program with one store) to the loads, which
/// broadcast. Outputs have one view each (see `ReduceKind::outputs`), either of the whole rank (reduced dims of size 1) or
/// of the kept dims only. False where WGSL cannot express it here.
#[allow(clippy::too_many_arguments, reason = "a kernel call: what it runs, on what, into what")]
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
    let mut reduced = side(shape, &strides[..loads.len()], |d| dims[d]);
    let (outputs, length) = (numel(&kept.sizes), numel(&reduced.sizes));
    index32("the number of elements", outputs * length.max(1))?;

    // the load with most elements of its own decides how lanes lie
    let own = |k: &usize| -> usize {
        let count =
            |s: &Side| s.sizes.iter().zip(&s.strides[*k]).map(|(&n, &s)| if s == 0 { 1 } else { n }).product::<usize>();
        count(&kept) * count(&reduced)
    };
    let main = (0..loads.len()).rev().max_by_key(own);
    let software = gpu.info.is_software();
    let (kept_inner, reduced_inner) = (kept.sizes[kept.sizes.len() - 1], reduced.sizes[reduced.sizes.len() - 1]);
    let columns = match (force, main) {
        (Some(f), _) => f.columns,
        (None, None) => false,
        (None, Some(k)) => {
            let last = |s: &Side| s.strides[k][s.sizes.len() - 1];
            // where loads cost the same wherever they point, few columns are worth it too
            kept_inner >= if software { 2 } else { 4 } && last(&kept) == 1 && last(&reduced) != 1
        }
    };
    let short = software && force.is_none() && p.instrs.len() <= SHORT;
    let (abreast, sixteen) =
        if columns && short { columns_by_vectors(kind, loads, &kept, &reduced) } else { (1, false) };
    if abreast > 1 {
        reduced.sizes[0] = reduced_inner.div_ceil(abreast);
        reduced.strides.iter_mut().for_each(|s| s[0] *= abreast);
    }
    let lanes = if columns { kept_inner * abreast } else { reduced_inner };
    let lone = if columns { kept.sizes.len() } else { reduced.sizes.len() } == 1;
    let width = match lanes {
        _ if sixteen => 16,
        0..4 if software => lanes.max(1),
        0..4 if !lone => 1,
        _ => 4,
    };
    let chunks = lanes.div_ceil(width);
    // what a thread or workgroup folds, in steps of its loop
    let steps =
        if columns { length.div_ceil(abreast) } else { length.checked_div(reduced_inner).unwrap_or(0) * chunks };
    let plan = force.unwrap_or_else(|| {
        let group = !columns && !software && steps >= 32;
        // enough parts to fill a device, each long enough to be worth a second pass
        let (wanted, least) = match (columns, group) {
            (true, _) => (if software { 2048 } else { 131_072 } / (outputs / kept_inner * chunks).max(1), 32),
            (_, true) => (if software { 512 } else { 2048 } / outputs, 4 * GROUP as usize),
            (_, false) => (2048 / outputs, 64),
        };
        let stride = if short && !group && !sixteen { 4 } else { 1 };
        Plan { columns, group, splits: wanted.min(steps / least).max(1), stride }
    });
    // turns of several steps are for one reduced dim
    let stride = if plan.group || reduced.sizes.len() > 1 { 1 } else { plan.stride.min(steps).max(1) };
    // steps whose lanes are all there; what is loaded past the last column is not stored
    let whole =
        if columns { length / abreast } else { steps.saturating_sub(usize::from(!lanes.is_multiple_of(width))) };
    let part = steps.div_ceil(plan.splits).max(1).next_multiple_of(stride);
    let splits = steps.div_ceil(part).max(1);
    let rest = stride > 1 && (whole < steps || !steps.is_multiple_of(stride));
    let plan = Plan { splits, stride, ..plan };

    let mut slots = Slots::default();
    let (mut ops, mut shifted) = (Vec::with_capacity(loads.len()), Vec::with_capacity(loads.len()));
    for (k, v) in loads.iter().enumerate() {
        let (ks, rs) = (&kept.strides[k], &reduced.strides[k]);
        let mut order: Dims = if columns { rs.clone() } else { ks.clone() };
        order.extend_from_slice(if columns { ks } else { rs });
        let mut class = classify(v.offset, &order, &[outputs, length.max(2)], width.min(4));
        let neighbours = class == Class::Strided && order.last() == Some(&1) && v.dtype.size() == 4;
        shifted.push(neighbours && (sixteen || !columns && width == 4 && stride > 1));
        if shifted[k] {
            class = Class::Vec;
        }
        ops.push(Operand {
            class,
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
        abreast,
        rest,
        loads: ops,
        shifted,
        inner: reduced.strides.iter().take(loads.len()).cloned().collect(),
        outs: Vec::new(),
        kept: kept.sizes.clone(),
        reduced: reduced.sizes.clone(),
    };
    // the outputs lie in the second pass's bindings where there is one
    let mut last = Slots::default();
    let two = job.two();
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
            ReduceKind::Var { correction } => (length as f64 - correction).max(0.0),
            _ => 0.0,
        };
        // what float64 has beyond float32
        let rest = (dof - f64::from(dof as f32)) as f32;
        params.extend([f32::NEG_INFINITY.to_bits(), inf, f32::NAN.to_bits(), (dof as f32).to_bits(), rest.to_bits()]);
    };

    slots.choose(&job.loads, if two { &[] } else { &job.outs }, rec.wide_loads(), false)?;
    let mut key = job.key(&slots);
    let total = if columns { outputs / kept_inner * chunks * splits } else { outputs * splits };
    let mut params: Vec<u32> = Vec::with_capacity(48);
    body::push_scalars(&p, false, scalars, &mut params);
    specials(&mut params);
    params.extend([index32("the work", total)?, steps as u32, part as u32, splits as u32, lanes as u32, chunks as u32]);
    params.extend([whole as u32, if abreast > 1 { (kept_inner * length) as u32 } else { 0 }]);
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
        let parts = rec.alloc((outputs * abreast * splits) as u64 * bytes)?;
        index32("the number of parts", outputs * abreast * splits)?;
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
        last.choose(&[], &job.outs, false, false)?;
        let group = if force.is_some() { plan.group } else { !software && splits >= 64 };
        key.clear();
        let _ = write!(key, "red2 {} {:?} {nk} {group} {abreast}.", kind.code(), dtype);
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

#[cfg(test)]
#[path = "reduce_tests.rs"]
mod tests;
