//! Scaled dot-product attention (Vaswani et al. 2017): on the CPU one kernel, where no mask is given and nothing dropped; else
//! composed of products and a softmax.

use super::operand::MaybeTensor;
use crate::cpu::attention as k;
use crate::dtype::{DType, compute_float};
use crate::error::{Result, bail, ensure};
use crate::gpu::GpuView;
use crate::shape::{Dims, numel};
use crate::stream::{CpuView, Kernel, Launch};
use crate::tensor::{Ctx, Grads, Meta, Op, OutSpec, Saves, Tensor, apply, grad_enabled, methods};
use smallvec::SmallVec;
use std::sync::Arc;

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

/// Inputs: queries, keys and values of equal leading dims; outputs: the result and the logarithms of the sums of
/// exponentials of scores.
#[derive(Clone, Copy, Debug)]
struct Fused {
    causal: bool,
    scale: f64,
}

impl Fused {
    /// Whether there is a kernel for these operands.
    fn takes(q: &Tensor, k: &Tensor, v: &Tensor) -> bool {
        let (sq, sk, sv) = (q.shape(), k.shape(), v.shape());
        let n = sq.len();
        !q.device().is_gpu()
            && [k, v].iter().all(|t| t.device() == q.device())
            && matches!(q.dtype(), DType::F32 | DType::F64)
            && sk.len() == n
            && sv.len() == n
            && sq[..n - 2] == sk[..n - 2]
            && sk[..n - 1] == sv[..n - 1]
            && sq[n - 1] == sk[n - 1]
            && [q, k, v].iter().all(|t| t.numel() > 0)
    }

    fn rules<T>(&self, scale: impl Fn(f64) -> T) -> k::Rules<T> {
        k::Rules { scale: scale(self.scale), causal: self.causal }
    }

    /// The weights, of ops that have derivatives.
    fn weights(&self, q: &Tensor, k: &Tensor) -> Result<Tensor> {
        let scores = q.checked().matmul(&k.checked().mt()?)?.checked().mul(self.scale)?;
        let scores = match self.causal {
            true => scores.checked().where_cond(&lower(q, k)?, f64::NEG_INFINITY)?,
            false => scores,
        };
        scores.checked().softmax(-1, ())
    }
}

/// True where a query attends to a key at its own place or before.
fn lower(q: &Tensor, k: &Tensor) -> Result<Tensor> {
    let (rows, cols) = (super::arange(q.size_of(-2), q.device()), super::arange(k.size_of(-2), q.device()));
    rows.checked().unsqueeze(1)?.checked().ge(&cols)
}

impl Kernel for Fused {
    fn name(&self) -> &'static str {
        "scaled_dot_product_attention"
    }
    fn cpu(&self, ins: &[CpuView], outs: &[CpuView]) -> Result<()> {
        compute_float!(ins[0].dtype, "flash_attention", T => {
            let scale = |x: f64| x as T;
            let ins = [0, 1, 2].map(|i| ins[i].typed::<T>());
            k::forward(outs[0].typed_mut::<T>(), outs[1].typed_mut::<T>(), ins, self.rules(scale));
        });
        Ok(())
    }
    fn gpu(&self, _: &mut Launch, _: &[GpuView], _: &[GpuView]) -> Result<bool> {
        // there it is composed
        Ok(false)
    }
    fn flops(&self, ins: &[&[usize]], outs: &[&[usize]]) -> u64 {
        let keys = ins[1][ins[1].len() - 2];
        2 * ((numel(ins[0]) + numel(outs[0])) * keys) as u64
    }
    fn checks_data(&self) -> bool {
        false
    }
}

impl Op for Fused {
    fn node_name(&self) -> &'static str {
        "ScaledDotProductFlashAttentionForCpuBackward0"
    }
    fn infer(&self, ins: &[Meta]) -> Result<SmallVec<[OutSpec; 2]>> {
        let (q, v) = (&ins[0].shape, &ins[2].shape);
        let n = q.len();
        let lse = OutSpec { shape: Dims::from_slice(&q[..n - 1]), dtype: ins[0].dtype };
        let mut shape = lse.shape.clone();
        shape.push(v[n - 1]);
        Ok([OutSpec { shape, dtype: ins[0].dtype }, lse].into_iter().collect())
    }
    fn saves(&self, _: u8) -> Saves {
        Saves { inputs: 0b111, outputs: 0b11 }
    }
    fn vjp(&self, cx: &Ctx) -> Result<Grads> {
        let (g, q, k, v) = (cx.g(), cx.input(0)?, cx.input(1)?, cx.input(2)?);
        if !grad_enabled() {
            let (out, lse) = (cx.output(0)?, cx.output(1)?);
            let found = apply(FusedGrad(*self), &[g, &q, &k, &v, &out, &lse])?;
            return Ok(found.into_iter().map(Some).collect());
        }
        // a gradient that is recorded is made of ops that have derivatives
        let p = self.weights(&q, &k)?;
        let gp = g.checked().matmul(&v.checked().mt()?)?;
        let mean = gp.checked().mul(&p)?.checked().sum_dim(-1, true)?;
        let gs = gp.checked().sub(&mean)?.checked().mul(&p)?.checked().mul(self.scale)?;
        let gq = gs.checked().matmul(&k)?;
        let gk = gs.checked().mt()?.checked().matmul(&q)?;
        let gv = p.checked().mt()?.checked().matmul(g)?;
        Ok([gq, gk, gv].into_iter().map(Some).collect())
    }
    fn kernel(self: Arc<Self>) -> Arc<dyn Kernel> {
        self
    }
}

/// Inputs: the result's gradient, then [`Fused`]'s inputs and outputs; outputs: the gradients of its inputs.
#[derive(Clone, Copy, Debug)]
struct FusedGrad(Fused);

impl Kernel for FusedGrad {
    fn name(&self) -> &'static str {
        "scaled_dot_product_attention_backward"
    }
    fn cpu(&self, ins: &[CpuView], outs: &[CpuView]) -> Result<()> {
        compute_float!(ins[0].dtype, "flash_attention_backward", T => {
            let scale = |x: f64| x as T;
            let all = [0, 1, 2, 3, 4].map(|i| ins[i].typed::<T>());
            let saved = k::Saved { all, lse: ins[5].typed::<T>() };
            k::backward([0, 1, 2].map(|i| outs[i].typed_mut::<T>()), &saved, self.0.rules(scale));
        });
        Ok(())
    }
    fn gpu(&self, _: &mut Launch, _: &[GpuView], _: &[GpuView]) -> Result<bool> {
        // no GPU's gradient comes here
        Ok(false)
    }
    fn flops(&self, ins: &[&[usize]], _: &[&[usize]]) -> u64 {
        let keys = ins[2][ins[2].len() - 2];
        2 * ((3 * numel(ins[1]) + 2 * numel(ins[0])) * keys) as u64
    }
    fn checks_data(&self) -> bool {
        false
    }
}

impl Op for FusedGrad {
    fn node_name(&self) -> &'static str {
        "ScaledDotProductFlashAttentionForCpuBackwardBackward0"
    }
    fn infer(&self, ins: &[Meta]) -> Result<SmallVec<[OutSpec; 2]>> {
        Ok(ins[1..4].iter().map(|m| OutSpec { shape: m.shape.0.clone(), dtype: m.dtype }).collect())
    }
    fn saves(&self, _: u8) -> Saves {
        Saves::NONE
    }
    fn vjp(&self, _: &Ctx) -> Result<Grads> {
        bail!(NotImplemented, "{}: run it without recording", self.name());
    }
    fn kernel(self: Arc<Self>) -> Arc<dyn Kernel> {
        self
    }
}

#[track_caller]
fn attention(q: &Tensor, k: &Tensor, v: &Tensor, o: AttentionOptions) -> Result<Tensor> {
    check(q, k, v, &o)?;
    let (mut k, mut v) = (k.clone(), v.clone());
    if o.enable_gqa && q.dim() > 2 {
        (k, v) = (repeat_heads(&k, q.size_of(-3), "key")?, repeat_heads(&v, q.size_of(-3), "value")?);
    }
    let scale = o.scale.unwrap_or_else(|| 1.0 / (q.size_of(-1) as f64).sqrt());
    if o.attn_mask.is_none() && o.dropout_p == 0.0 && Fused::takes(q, &k, &v) {
        return Ok(apply(Fused { causal: o.is_causal, scale }, &[q, &k, &v])?.swap_remove(0));
    }
    let mut scores = q.checked().matmul(&k.checked().transpose(-2, -1)?)?.checked().mul(scale)?;
    let minus = f64::NEG_INFINITY;
    let mask = match (&o.attn_mask, o.is_causal) {
        (Some(mask), _) => Some(mask.clone()),
        (None, true) => Some(lower(q, &k)?),
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
