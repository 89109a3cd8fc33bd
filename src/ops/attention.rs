//! Scaled dot-product attention, composed of products and a softmax (Vaswani et al. 2017).

use super::operand::MaybeTensor;
use crate::dtype::DType;
use crate::error::{Result, ensure};
use crate::tensor::{Tensor, methods};

/// Options of [`Tensor::scaled_dot_product_attention`].
#[non_exhaustive]
#[derive(Clone, Debug, Default)]
pub struct AttentionOptions {
    /// Bool: where attention may go; float: added to the scores. Broadcast to `[.., L, S]`.
    pub attn_mask: Option<Tensor>,
    /// Share of the weights that are dropped.
    pub dropout_p: f64,
    /// Each position attends to itself and what is before it.
    pub is_causal: bool,
    /// Factor of the scores; None is one over the root of the width.
    pub scale: Option<f64>,
    /// Heads of keys and values are shared by several heads of queries.
    pub enable_gqa: bool,
}

impl AttentionOptions {
    /// All defaults.
    pub fn new() -> AttentionOptions {
        AttentionOptions::default()
    }
    /// With a mask.
    pub fn attn_mask(mut self, mask: impl Into<MaybeTensor>) -> Self {
        self.attn_mask = mask.into().0;
        self
    }
    /// With dropout.
    pub fn dropout_p(mut self, p: f64) -> Self {
        self.dropout_p = p;
        self
    }
    /// With a triangular mask.
    pub fn is_causal(mut self, on: bool) -> Self {
        self.is_causal = on;
        self
    }
    /// With another factor.
    pub fn scale(mut self, scale: impl Into<Option<f64>>) -> Self {
        self.scale = scale.into();
        self
    }
    /// With shared heads of keys and values.
    pub fn enable_gqa(mut self, on: bool) -> Self {
        self.enable_gqa = on;
        self
    }
}

impl From<()> for AttentionOptions {
    fn from(_: ()) -> AttentionOptions {
        AttentionOptions::default()
    }
}

fn check(q: &Tensor, k: &Tensor, v: &Tensor, o: &AttentionOptions) -> Result<()> {
    ensure!(
        q.dtype() == k.dtype() && q.dtype() == v.dtype(),
        Runtime,
        "Expected query, key, and value to have the same dtype, but got query.dtype: {} key.dtype: {} and value.dtype: {} instead.",
        q.dtype().scalar_name(),
        k.dtype().scalar_name(),
        v.dtype().scalar_name()
    );
    ensure!(
        q.dim() >= 2 && k.dim() >= 2 && v.dim() >= 2,
        Runtime,
        "Expected query, key, and value to all be  at least 2 dimensional, but got query.dim: {}, key.dim: {} and value.dim: {} instead.",
        q.dim(),
        k.dim(),
        v.dim()
    );
    ensure!(
        !(o.is_causal && o.attn_mask.is_some()),
        Runtime,
        "_scaled_dot_product_attention: Explicit attn_mask should not be set when is_causal=True"
    );
    if let Some(mask) = &o.attn_mask {
        ensure!(
            mask.dtype() == DType::Bool || mask.dtype() == q.dtype() || mask.dtype() == DType::F32,
            Runtime,
            "Expected attn_mask dtype to be bool or float or to match query dtype, but got attn_mask.dtype: {} and  query.dtype: {} instead.",
            mask.dtype().scalar_name(),
            q.dtype().scalar_name()
        );
    }
    Ok(())
}

/// Heads repeated until there are as many as queries have.
fn repeat_heads(t: &Tensor, heads: usize, what: &str) -> Result<Tensor> {
    let own = t.size_of(-3);
    ensure!(
        own > 0 && heads.is_multiple_of(own),
        Runtime,
        "Number of heads in {what} must divide the number of heads in query"
    );
    if own == heads { Ok(t.clone()) } else { t.checked().repeat_interleave(heads / own, -3) }
}

#[track_caller]
fn attention(q: &Tensor, k: &Tensor, v: &Tensor, o: AttentionOptions) -> Result<Tensor> {
    check(q, k, v, &o)?;
    let (mut k, mut v) = (k.clone(), v.clone());
    if o.enable_gqa && q.dim() > 2 {
        (k, v) = (repeat_heads(&k, q.size_of(-3), "key")?, repeat_heads(&v, q.size_of(-3), "value")?);
    }
    let scale = o.scale.unwrap_or_else(|| 1.0 / (q.size_of(-1) as f64).sqrt());
    let mut scores = q.checked().matmul(&k.checked().transpose(-2, -1)?)?.checked().mul(scale)?;
    let minus = f64::NEG_INFINITY;
    let mask = match (&o.attn_mask, o.is_causal) {
        (Some(mask), _) => Some(mask.clone()),
        (None, true) => {
            let (l, s) = (q.size_of(-2), k.size_of(-2));
            let (rows, cols) = (super::arange(l, q.device()), super::arange(s, q.device()));
            Some(rows.checked().unsqueeze(1)?.checked().ge(&cols)?)
        }
        (None, false) => None,
    };
    let masked = o.attn_mask.is_some();
    scores = match mask {
        Some(m) if m.dtype() == DType::Bool => scores.checked().where_cond(&m, minus)?,
        Some(m) => scores.checked().add(&m)?,
        None => scores,
    };
    let mut weights = scores.checked().softmax(-1, ())?;
    if masked {
        // a row that may attend to nothing gives zeros
        let dead = scores.checked().amax(-1, true)?.checked().eq(minus)?;
        weights = weights.checked().masked_fill(&dead, 0.0)?;
    }
    if weights.dtype() != q.dtype() {
        weights = weights.checked().to(q.dtype())?;
    }
    if o.dropout_p > 0.0 {
        weights = weights.checked().dropout(o.dropout_p, true)?;
    }
    weights.checked().matmul(&v)
}

methods! {
    /// `softmax(query @ key^T * scale + mask) @ value` over the last two dims, `[.., L, E]`, `[.., S, E]` and `[.., S, V]`
    /// (`torch.nn.functional.scaled_dot_product_attention`).
    ///
    /// ```
    /// # use wgtorch::{AttentionOptions, prelude::*};
    /// let (q, v) = (zeros([2, 1], ()), tensor!([[1.], [3.]]));
    /// let y = q.scaled_dot_product_attention(&q, &v, AttentionOptions::new().is_causal(true));
    /// assert_eq!(y.to_vec::<f32>()?, [1., 2.]);
    /// # Ok::<(), Error>(())
    /// ```
    fn scaled_dot_product_attention(&self, key: &Tensor, value: &Tensor, options: impl Into<AttentionOptions>) -> Tensor {
        attention(self.0, key, value, options.into())
    }
}
