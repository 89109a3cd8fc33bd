//! Results into tensors that are there: the mechanism of `out=` forms, `resize_`, and memory read as another dtype.

use super::elementwise::{check_kernel, fit, plan, snapshot};
use super::inplace::check_overlap;
use super::{Body, Elementwise, In, Tensor, can_cast, copy_into, methods, tape::grad_enabled};
use crate::dtype::DType;
use crate::error::{Result, ensure};
use crate::layout::Layout;
use crate::program::Action;
use crate::shape::{Dims, numel};
use crate::stream::{self, Arg, PointCmd, Src, Storage};
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::panic::Location;
use std::sync::Arc;

/// How a method runs an elementwise op into `out`; `name` is PyTorch's name of the function.
#[track_caller]
pub fn elementwise_out<'a>(
    name: &'static str,
    out: &'a Tensor,
) -> impl Fn(&'static Elementwise, &[In]) -> Result<Tensor> + 'a {
    let location = Location::caller();
    let name = name.strip_suffix("_with").unwrap_or(name);
    move |op, ins| {
        into_out(name, op, ins, out, location)?;
        Ok(out.clone())
    }
}

fn into_out(
    name: &'static str,
    op: &'static Elementwise,
    ins: &[In],
    out: &Tensor,
    location: &'static Location<'static>,
) -> Result<()> {
    let requires = |i: &In| matches!(i, In::T(t) if t.requires_grad());
    ensure!(
        !grad_enabled() || !(out.requires_grad() || ins.iter().any(requires)),
        Runtime,
        "{name}(): functions with out=... arguments don't support automatic differentiation, but one of the arguments requires grad."
    );
    let mut srcs = snapshot(ins);
    let plan = plan(op, &srcs)?;
    ensure!(
        can_cast(plan.natural, out.dtype()),
        Runtime,
        "result type {} can't be cast to the desired output type {}",
        plan.natural.scalar_name(),
        out.dtype().scalar_name()
    );
    ensure!(
        plan.device == out.device(),
        Runtime,
        "Expected all tensors to be on the same device, but found at least two devices, {} and {}! ({name})",
        plan.device,
        out.device()
    );
    check_kernel(op, plan.compute)?;
    fit_out(name, out, &plan.shape)?;
    let target = out.arg();
    ensure!(
        !target.layout.overlaps_itself(),
        Runtime,
        "unsupported operation: more than one element of the written-to tensor refers to a single memory location. Please clone() the tensor before performing the operation."
    );
    for (src, operand) in srcs.iter_mut().zip(ins) {
        fit(src, operand, &plan.shape, plan.device)?;
        if let Src::Tensor(a) = &*src
            && Arc::ptr_eq(&a.storage, &target.storage)
            && !a.same(&target)
        {
            let In::T(t) = operand else { unreachable!("a number has no memory") };
            // where `out` itself was resized, its old layout is read
            if !t.is_same(out) {
                check_overlap(&target, t)?;
            }
            let body = Body { storage: t.body().storage, layout: a.layout.clone(), dtype: a.dtype, version: None };
            let copy = Tensor::from_body(body, None).copy_now()?;
            *src = Src::Tensor(copy.arg());
        }
    }
    stream::point(PointCmd {
        action: Action::Row(op.row),
        dtype: plan.compute,
        natural: plan.natural,
        srcs,
        out: target,
        fresh: false,
        location,
    })?;
    out.bump_version();
    Ok(())
}

/// Gives `out` the result's shape, loudly where it had elements in another one.
fn fit_out(name: &'static str, out: &Tensor, shape: &[usize]) -> Result<()> {
    let had = out.shape();
    if had[..] != *shape {
        if had.numel() > 0 {
            warn_resized(name, &had, shape);
        }
        resize(out, shape)?;
    }
    Ok(())
}

/// A dtype as C++ names it, which some of PyTorch's errors do.
fn c_name(dtype: DType) -> &'static str {
    const NAMES: [(DType, &str); 11] = [
        (DType::Bool, "bool"),
        (DType::U8, "unsigned char"),
        (DType::I8, "signed char"),
        (DType::I16, "short int"),
        (DType::I32, "int"),
        (DType::I64, "long int"),
        (DType::U32, "unsigned int"),
        (DType::F16, "c10::Half"),
        (DType::BF16, "c10::BFloat16"),
        (DType::F32, "float"),
        (DType::F64, "double"),
    ];
    NAMES.iter().find(|n| n.0 == dtype).map_or(dtype.name(), |n| n.1)
}

/// What dtypes an `out` may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutRule {
    /// The result's own.
    Same,
    /// Those that the result can be cast to without a change of category.
    Cast,
}

/// The result of any op into a tensor that is there (`out=`), which is given back. The result was computed aside, so that `out` may
/// share memory with what it was computed from.
#[track_caller]
pub fn result_out(name: &'static str, rule: OutRule, result: &Tensor, out: &Tensor) -> Result<Tensor> {
    ensure!(
        !grad_enabled() || !(out.requires_grad() || result.requires_grad()),
        Runtime,
        "{name}(): functions with out=... arguments don't support automatic differentiation, but one of the arguments requires grad."
    );
    ensure!(
        rule == OutRule::Cast || result.dtype() == out.dtype(),
        Runtime,
        "Expected out tensor to have dtype {}, but got {} instead",
        c_name(result.dtype()),
        c_name(out.dtype())
    );
    ensure!(
        can_cast(result.dtype(), out.dtype()),
        Runtime,
        "result type {} can't be cast to the desired output type {}",
        result.dtype().scalar_name(),
        out.dtype().scalar_name()
    );
    ensure!(
        result.device() == out.device(),
        Runtime,
        "Expected all tensors to be on the same device, but found at least two devices, {} and {}! ({name})",
        result.device(),
        out.device()
    );
    fit_out(name, out, &result.shape())?;
    ensure!(
        !out.layout().overlaps_itself(),
        Runtime,
        "unsupported operation: more than one element of the written-to tensor refers to a single memory location. Please clone() the tensor before performing the operation."
    );
    copy_into(out, In::T(result), Location::caller())?;
    out.bump_version();
    Ok(out.clone())
}

/// Says once for each function that its `out` had another shape.
fn warn_resized(name: &'static str, had: &[usize], wanted: &[usize]) {
    static WARNED: Mutex<BTreeSet<&str>> = Mutex::new(BTreeSet::new());
    if WARNED.lock().insert(name) {
        eprintln!(
            "wgtorch: {name}: an output with one or more elements was resized since it had shape {had:?}, which does not match the required output shape {wanted:?}"
        );
    }
}

/// Gives a tensor other sizes, row-major from where it starts, in the memory it has or in more.
fn resize(t: &Tensor, shape: &[usize]) -> Result<()> {
    let mut body = t.body();
    let layout = Layout { offset: body.layout.offset, ..Layout::contiguous(Dims::from_slice(shape)) };
    if layout.end() * body.dtype.size() > body.storage.nbytes {
        // this tensor and `body` hold it
        ensure!(
            !t.is_view() && (body.storage.handles() <= 2 || body.storage.nbytes == 0),
            NotImplemented,
            "resize_: tensors that share memory cannot grow, since the others would stay behind: make a copy first"
        );
        let storage = Storage::new(body.storage.device, body.dtype, layout.end());
        let kept = body.storage.nbytes / body.dtype.size();
        if kept > 0 {
            let all = |storage: &Storage| Arg {
                storage: storage.shared().clone(),
                dtype: body.dtype,
                layout: Layout::contiguous(Dims::from_slice(&[kept])),
            };
            stream::point(PointCmd {
                action: Action::Cast,
                dtype: body.dtype,
                natural: body.dtype,
                srcs: std::iter::once(Src::Tensor(all(&body.storage))).collect(),
                out: all(&storage),
                fresh: false,
                location: Location::caller(),
            })?;
        }
        // the count goes on
        body.version = Some(Arc::new(t.version().into()));
        body.storage = storage;
    }
    t.set_body(Body { layout, ..body });
    Ok(())
}

methods! {
    /// Other sizes for this tensor itself, row-major from where it starts in its memory; what it has beyond its old elements is
    /// unspecified (`tensor.resize_`). The same sizes change nothing.
    ///
    /// # Panics
    /// If it requires grad, or needs more memory than other tensors that share it have.
    ///
    /// ```
    /// # use wgtorch::prelude::*;
    /// let x = arange(6, ()).view([2, 3]);
    /// x.resize_([3, 2]);
    /// assert_eq!(x.i(2).to_vec::<i64>()?, [4, 5]);
    /// # Ok::<(), Error>(())
    /// ```
    fn resize_(&self, shape: impl Into<crate::Shape>) -> Tensor {
        ensure!(!self.requires_grad(), Runtime, "cannot resize variables that require grad");
        let shape = shape.into();
        ensure!(numel(&shape) <= isize::MAX as usize, Runtime, "numel: integer multiplication overflow");
        if self.shape() != shape {
            resize(self.0, &shape)?;
        }
        self.bump_version();
        Ok(self.0.clone())
    }

    /// The same memory read as another dtype, bit by bit (`tensor.view(dtype)`): shares memory and version, has no history.
    /// The last dim grows or shrinks where the dtypes differ in width.
    ///
    /// # Panics
    /// If sizes, strides or offset do not divide, or the dtype is to be bool, which takes no other bits than its own.
    ///
    /// ```
    /// # use wgtorch::prelude::*;
    /// assert_eq!(ones([2], ()).view_dtype(I32).to_vec::<i32>()?, [0x3f80_0000; 2]);
    /// # Ok::<(), Error>(())
    /// ```
    fn view_dtype(&self, dtype: DType) -> Tensor {
        let mut body = self.body();
        ensure!(
            dtype != DType::Bool || body.dtype == DType::Bool,
            NotImplemented,
            "view(dtype): other bits than a bool's own cannot be read as bool: compare with 0 instead"
        );
        body.layout =
            body.layout.recast((body.dtype.scalar_name(), body.dtype.size()), (dtype.scalar_name(), dtype.size()))?;
        if let Some(stream::Buf::Host(memory)) = body.storage.buf() {
            ensure!(
                memory.ptr().addr().is_multiple_of(dtype.size()),
                Value,
                "view(dtype): the memory came from a vector of smaller elements and is not aligned for {dtype}"
            );
        }
        Ok(Tensor::from_body(Body { dtype, ..body }, None))
    }
}
