//! Values looked up: in sorted lines, between boundaries, in a set.

use crate::cpu::lines;
use crate::dtype::{DType, compute};
use crate::error::{Result, ensure};
use crate::gpu::GpuView;
use crate::stream::{CpuView, Kernel, Launch};
use crate::tensor::{
    Ctx, Grads, In, Meta, Op, OutSpec, Saves, Tensor, apply_one, methods, result_type, to_dtype, unwrap,
};
use smallvec::SmallVec;
use std::sync::Arc;

/// Options of [`Tensor::searchsorted`] and [`Tensor::bucketize`].
#[non_exhaustive]
#[derive(Clone, Debug, Default)]
pub struct SearchOptions {
    /// The place after equal elements, not before them.
    pub right: bool,
    /// int32 in place of int64.
    pub out_int32: bool,
    /// The positions that put the sequence in order, where it is not.
    pub sorter: Option<Tensor>,
}

impl SearchOptions {
    /// Before equal elements, as int64, of a sequence in order.
    pub fn new() -> SearchOptions {
        SearchOptions::default()
    }
    /// The place after equal elements, not before them.
    pub fn right(mut self, on: bool) -> SearchOptions {
        self.right = on;
        self
    }
    /// int32 in place of int64.
    pub fn out_int32(mut self, on: bool) -> SearchOptions {
        self.out_int32 = on;
        self
    }
    /// The positions that put the sequence in order, where it is not.
    pub fn sorter(mut self, sorter: impl Into<super::MaybeTensor>) -> SearchOptions {
        self.sorter = sorter.into().0;
        self
    }
}

impl From<()> for SearchOptions {
    fn from(_: ()) -> SearchOptions {
        SearchOptions::new()
    }
}
impl From<bool> for SearchOptions {
    fn from(right: bool) -> SearchOptions {
        SearchOptions::new().right(right)
    }
}

/// Inputs: the sequence, the values, and its order if it has one.
#[derive(Clone, Copy, Debug)]
struct Places {
    right: bool,
}

impl Kernel for Places {
    fn name(&self) -> &'static str {
        "searchsorted"
    }
    fn cpu(&self, ins: &[CpuView], outs: &[CpuView]) -> Result<()> {
        let (sorted, values, out) = (&ins[0], &ins[1], &outs[0]);
        if out.shape.contains(&0) {
            return Ok(());
        }
        let order = ins.get(2).map(|o| o.typed::<i64>());
        if let Some(o) = order {
            let n = sorted.shape[sorted.shape.len() - 1];
            crate::cpu::index::check_indices(o, sorted.shape.len() - 1, n, false)
                .map_err(|_| crate::error::Error::Index("torch.searchsorted(): sorter index out of range".into()))?;
        }
        compute!(sorted.dtype, T => {
            lines::places::<T>(out.typed_mut(), sorted.typed(), order, values.typed(), self.right);
        });
        Ok(())
    }
    fn gpu(&self, _: &mut Launch, _: &[GpuView], _: &[GpuView]) -> Result<bool> {
        Ok(false)
    }
    fn checks_data(&self) -> bool {
        true
    }
}

impl Op for Places {
    fn node_name(&self) -> &'static str {
        "SearchsortedBackward0"
    }
    fn infer(&self, ins: &[Meta]) -> Result<SmallVec<[OutSpec; 2]>> {
        Ok(OutSpec::one(ins[1].shape.0.clone(), DType::I64))
    }
    fn saves(&self, _: u8) -> Saves {
        Saves::NONE
    }
    fn vjp(&self, _: &Ctx) -> Result<Grads> {
        unreachable!("places are integers, which have no gradient")
    }
    fn kernel(self: Arc<Self>) -> Arc<dyn Kernel> {
        self
    }
}

#[track_caller]
fn search(sequence: &Tensor, values: &Tensor, o: SearchOptions, name: &str) -> Result<Tensor> {
    ensure!(
        sequence.dim() > 0,
        Runtime,
        "{name}(): input value can be a scalar only when boundaries tensor dimension is 1, but we got boundaries tensor dim(0) and input value's dim({}) numel({})",
        values.dim(),
        values.numel()
    );
    let (s, v) = (sequence.shape(), values.shape());
    let leads = s.len() == v.len() && s[..s.len() - 1] == v[..v.len() - 1];
    ensure!(
        s.len() == 1 || leads,
        Runtime,
        "torch.searchsorted(): boundaries tensor should be 1 dimension or the first N-1 dimensions of boundaries tensor and input value tensor must match, but we got boundaries tensor {:?} and input value tensor {:?}",
        &s[..],
        &v[..]
    );
    ensure!(
        sequence.dtype() == values.dtype(),
        Runtime,
        "torch.searchsorted(): boundary tensor and input value tensor should have same dtype, but got boundary tensor's dtype {} and input value tensor's dtype {}",
        sequence.dtype().scalar_name(),
        values.dtype().scalar_name()
    );
    let mut ins = vec![sequence.detach(), values.detach()];
    if let Some(sorter) = &o.sorter {
        ensure!(
            sorter.shape() == s,
            Runtime,
            "torch.searchsorted(): boundary and sorter must have the same size, but got boundary tensor {:?} and got sorter tensor {:?}",
            &s[..],
            &sorter.shape()[..]
        );
        ensure!(
            sorter.dtype() == DType::I64,
            Runtime,
            "torch.searchsorted(): sorter must be a tensor of long dtype but got dtype {}",
            sorter.dtype().scalar_name()
        );
        ins.push(sorter.clone());
    }
    let out = apply_one(Places { right: o.right }, &ins.iter().collect::<Vec<_>>())?;
    Ok(if o.out_int32 { to_dtype(&out, DType::I32) } else { out })
}

/// PyTorch's bound for comparing everything with everything.
fn few(elements: usize, tests: usize) -> bool {
    (tests as f64) < 10.0 * (elements as f64).powf(0.145)
}

#[track_caller]
fn lookup(elements: &Tensor, tests: &Tensor, invert: bool) -> Result<Tensor> {
    let dtype = result_type(&[In::T(elements), In::T(tests)]);
    let (x, set) = (to_dtype(&elements.detach(), dtype), to_dtype(&tests.detach(), dtype).checked().reshape(-1)?);
    let found = if set.numel() == 0 {
        Tensor::constant(false.into(), &x.shape(), DType::Bool, x.device())
    } else if few(x.numel(), set.numel()) {
        x.checked().unsqueeze(-1)?.checked().eq(&set)?.checked().any_dim(-1, false)?
    } else {
        let sorted = set.checked().sort(())?.0;
        let at = search(&sorted, &x, SearchOptions::new(), "isin")?;
        // what is greater than all of them is compared with the last one
        let at = at.checked().clamp_max(set.numel() as i64 - 1)?;
        sorted.checked().take(&at)?.checked().eq(&x)?
    };
    if invert { found.checked().logical_not() } else { Ok(found) }
}

/// Whether each element is among the test elements, or is not with `invert` (`torch.isin`).
///
/// # Panics
/// If the tensors are on different devices.
///
/// ```
/// # use wgtorch::{prelude::*, isin};
/// assert_eq!(isin(&tensor!([1, 2, 3]), &tensor!([3, 1]), false).to_vec::<bool>()?, [true, false, true]);
/// # Ok::<(), Error>(())
/// ```
#[track_caller]
pub fn isin(elements: &Tensor, test_elements: &Tensor, invert: bool) -> Tensor {
    unwrap(lookup(elements, test_elements, invert))
}

methods! {
    /// Where each value belongs in this sorted sequence, whose last dim is in order (`torch.searchsorted(self, values)`): one
    /// line for all values, or one for each line of values.
    ///
    /// # Panics
    /// If the dtypes differ, or the leading dims do.
    ///
    /// ```
    /// # use wgtorch::prelude::*;
    /// let s = tensor!([1, 3, 5]);
    /// assert_eq!(s.searchsorted(&tensor!([3, 6]), ()).to_vec::<i64>()?, [1, 3]);
    /// assert_eq!(s.searchsorted(&tensor!([3, 6]), true).to_vec::<i64>()?, [2, 3]);
    /// # Ok::<(), Error>(())
    /// ```
    fn searchsorted(&self, values: &Tensor, options: impl Into<SearchOptions>) -> Tensor {
        search(self.0, values, options.into(), "searchsorted")
    }

    /// The bucket of each element between boundaries in order (`torch.bucketize`).
    ///
    /// # Panics
    /// If the boundaries have another number of dims than one, or another dtype.
    fn bucketize(&self, boundaries: &Tensor, options: impl Into<SearchOptions>) -> Tensor {
        ensure!(boundaries.dim() == 1, Runtime, "bucketize(): boundaries tensor must be 1 dimension, but got dim({})", boundaries.dim());
        search(boundaries, self.0, options.into(), "bucketize")
    }
}

/// [`isin`] with its errors as values.
///
/// # Errors
/// If the tensors are on different devices.
pub fn try_isin(elements: &Tensor, test_elements: &Tensor, invert: bool) -> Result<Tensor> {
    lookup(elements, test_elements, invert)
}
