//! Masks: elements replaced where a mask is true.
use super::compose::{composite, replace};
use crate::error::Result;
use crate::ops::Operand;
use crate::tensor::{Ctx, Saves, Tensor, methods};

fn masked_fill(t: &Tensor, mask: &Tensor, value: Operand) -> Result<Tensor> {
    crate::error::ensure!(
        mask.dtype() == crate::DType::Bool,
        Runtime,
        "masked_fill_ only supports boolean masks, but got mask with dtype {}",
        mask.dtype().name()
    );
    let value = match value {
        Operand::Tensor(v) => {
            crate::error::ensure!(
                v.dim() == 0,
                Runtime,
                "masked_fill_ only supports a 0-dimensional value tensor, but got tensor with {} dimension(s).",
                v.dim()
            );
            Operand::Tensor(if v.dtype() == t.dtype() { v } else { crate::tensor::to_dtype(&v, t.dtype()) })
        }
        Operand::Scalar(s) => Operand::Scalar(s.as_dtype(t.dtype())),
    };
    let (name, v) = match &value {
        Operand::Tensor(v) => ("MaskedFillBackward1", Some(v.clone())),
        Operand::Scalar(_) => ("MaskedFillBackward0", None),
    };
    let ins: Vec<&Tensor> = [Some(t), Some(mask), v.as_ref()].into_iter().flatten().collect();
    let vjp = |cx: &Ctx| {
        let mask = cx.input(1)?;
        let mut grads = crate::tensor::no_grads(3);
        if cx.needs(0) {
            grads[0] = Some(cx.g().checked().masked_fill(&mask, 0)?);
        }
        if cx.needs(2) {
            grads[2] = Some(cx.g().checked().where_cond(&mask, 0)?);
        }
        Ok(grads)
    };
    composite(
        name,
        &ins,
        Saves { inputs: 2, outputs: 0 },
        || t.checked().where_cond(&mask.checked().logical_not()?, value),
        vjp,
    )
}

methods! {
    /// The elements with those under a mask replaced by one value (`torch.masked_fill`).
    fn masked_fill(&self, mask: &Tensor, value: impl Into<Operand>) -> Tensor { masked_fill(self.0, mask, value.into()) }

    /// [`Tensor::masked_fill`] in place.
    fn masked_fill_(&self, mask: &Tensor, value: impl Into<Operand>) -> Tensor {
        replace(self.0, &masked_fill(self.0, mask, value.into())?)
    }
}
