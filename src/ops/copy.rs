//! Copies: to another dtype or device, contiguous, and over another tensor's elements.

use crate::device::Device;
use crate::dtype::DType;
use crate::error::Result;
use crate::scalar::Scalar;
use crate::tensor::{
    Backward, Ctx, Func, Grads, Node, OutMeta, Tensor, copy_tracked, fill_tracked, grad_enabled, methods, one_grad,
    try_to_dtype,
};

/// What [`Tensor::to`] takes: a dtype, a device, or both.
#[derive(Clone, Copy, Debug)]
pub struct To {
    pub(crate) dtype: Option<DType>,
    pub(crate) device: Option<Device>,
}

impl From<DType> for To {
    fn from(d: DType) -> To {
        To { dtype: Some(d), device: None }
    }
}
impl From<Device> for To {
    fn from(d: Device) -> To {
        To { dtype: None, device: Some(d) }
    }
}
impl From<&Device> for To {
    fn from(d: &Device) -> To {
        To::from(*d)
    }
}
impl From<(Device, DType)> for To {
    fn from((v, t): (Device, DType)) -> To {
        To { dtype: Some(t), device: Some(v) }
    }
}
impl From<(&Device, DType)> for To {
    fn from((v, t): (&Device, DType)) -> To {
        To::from((*v, t))
    }
}
impl From<(DType, Device)> for To {
    fn from((t, v): (DType, Device)) -> To {
        To { dtype: Some(t), device: Some(v) }
    }
}

/// The gradient of a copy to another device goes back by the engine's rule.
struct ToCopyBackward;

impl Backward for ToCopyBackward {
    fn name(&self) -> String {
        "ToCopyBackward0".into()
    }
    fn backward(&self, cx: &Ctx) -> Result<Grads> {
        Ok(one_grad(cx.g().clone()))
    }
}

fn move_to(t: &Tensor, device: Device) -> Result<Tensor> {
    let out = t.detach().to_device(device)?;
    if grad_enabled()
        && let Some(edge) = t.gradient_edge()
    {
        let (edges, metas) = (std::iter::once(Some(edge)).collect(), std::iter::once(OutMeta::of(&out)).collect());
        out.set_history(Node::new(Func::Other(Box::new(ToCopyBackward)), edges, metas, Default::default()), 0);
    }
    Ok(out)
}

methods! {
    /// The tensor as another dtype, on another device, or both; the tensor itself where it is so already (`tensor.to`).
    ///
    /// Complex numbers become real ones by dropping the imaginary part, which is said once. Floats become integers by truncation toward zero. What i32 (for uint8, int8, int16 and int32) or i64 (for uint32 and
    /// int64) cannot hold, NaN too, is that type's smallest value; narrower integers and uint32 then take its low bits. Copying
    /// from a GPU waits for it.
    ///
    /// ```
    /// # use wgtorch::prelude::*;
    /// assert_eq!(tensor!([1.7, -1.7]).to(I64).to_vec::<i64>()?, [1, -1]);
    /// # Ok::<(), Error>(())
    /// ```
    fn to(&self, target: impl Into<To>) -> Tensor {
        let To { dtype, device } = target.into();
        let mut t = self.0.clone();
        // the smaller dtype travels
        if let Some(d) = dtype && d != t.dtype() {
            super::complex::warn_discards(t.dtype(), d);
            t = try_to_dtype(&t, d)?;
        }
        if let Some(d) = device && d != t.device() {
            t = move_to(&t, d)?;
        }
        Ok(t)
    }

    /// A new contiguous tensor with the same elements, part of the history (`torch.clone`).
    fn copy(&self) -> Tensor {
        try_to_dtype(self.0, self.dtype())
    }

    /// The tensor itself if it is row-major, else a copy that is (`tensor.contiguous`).
    fn contiguous(&self) -> Tensor {
        if self.is_contiguous() { Ok(self.0.clone()) } else { self.copy() }
    }

    /// Overwrites the elements with another tensor's, broadcast and converted (`tensor.copy_`).
    fn copy_(&self, src: &Tensor) -> Tensor {
        super::complex::warn_discards(src.dtype(), self.dtype());
        copy_tracked(self.0, src)?;
        Ok(self.0.clone())
    }

    /// Overwrites all elements with one number (`tensor.fill_`).
    fn fill_(&self, value: impl Into<Scalar>) -> Tensor {
        fill_tracked(self.0, value.into())?;
        Ok(self.0.clone())
    }

    /// Overwrites all elements with zero (`tensor.zero_`).
    fn zero_(&self) -> Tensor {
        self.fill_(0)
    }
}
