//! Which dtype operands meet in: tensors with dims first, then 0-dim tensors, then scalars, each only by category.

use super::In;
use crate::dtype::{Category, DType};
use crate::scalar::Scalar;
use crate::stream::Src;

/// A lower-ranked operand changes the dtype only if its category is higher.
fn combine(higher: Option<DType>, lower: Option<DType>) -> Option<DType> {
    match (higher, lower) {
        // a float keeps its precision as a complex number
        (Some(h), Some(l)) if h.is_float() && l.is_complex() => Some(h.to_complex()),
        (Some(h), Some(l)) if h.category() < l.category() => Some(h.promote(l)),
        (Some(h), _) => Some(h),
        (None, l) => l,
    }
}

#[derive(Default)]
struct Seen {
    dims: Option<DType>,
    zero: Option<DType>,
    scalar: Option<DType>,
}

impl Seen {
    fn tensor(&mut self, dtype: DType, ndim: usize) {
        let slot = if ndim > 0 { &mut self.dims } else { &mut self.zero };
        *slot = Some(slot.map_or(dtype, |d| d.promote(dtype)));
    }
    fn scalar(&mut self, s: Scalar) {
        let dtype = s.default_dtype();
        self.scalar = Some(self.scalar.map_or(dtype, |d| d.promote(dtype)));
    }
    fn dtype(self) -> DType {
        combine(combine(self.dims, self.zero), self.scalar).unwrap_or(DType::F32)
    }
}

/// The common dtype of operands (`torch.result_type` over any number of them).
pub fn result_type(ins: &[In]) -> DType {
    let mut seen = Seen::default();
    for i in ins {
        match i {
            In::T(t) => t.with_body(|b| seen.tensor(b.dtype, b.layout.ndim())),
            In::S(s) => seen.scalar(*s),
        }
    }
    seen.dtype()
}

/// [`result_type`] of operands that were looked at already.
pub(super) fn common_dtype(srcs: &[Src]) -> DType {
    let mut seen = Seen::default();
    for s in srcs {
        match s {
            Src::Tensor(a) => seen.tensor(a.dtype, a.layout.ndim()),
            Src::Scalar(s) => seen.scalar(*s),
        }
    }
    seen.dtype()
}

/// True where a result may be written into that dtype: the category must not shrink (`torch.can_cast`).
pub fn can_cast(from: DType, to: DType) -> bool {
    match (from.category(), to.category()) {
        (Category::Complex, t) => t == Category::Complex,
        (Category::Float, t) => t >= Category::Float,
        (Category::Int, t) => t != Category::Bool,
        (Category::Bool, _) => true,
    }
}
