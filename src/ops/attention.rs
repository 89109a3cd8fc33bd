//! Scaled dot-product attention (Vaswani et al. 2017): one kernel where nothing is dropped, on the CPU without a mask, on GPUs in
//! float32 and narrower; else composed of products and a softmax, as on software adapters.

use super::operand::MaybeTensor;
use crate::cpu::attention as k;
use crate::device::Device;
use crate::dtype::{DType, compute_float};
use crate::error::{Result, bail, ensure};
use crate::gpu::kernels::attention as kernels;
use crate::gpu::{GpuView, gpu};
use crate::shape::{Dims, numel};
use crate::stream::{CpuView, Kernel, Launch};
use crate::tensor::{Ctx, Grads, Meta, Op, OutSpec, Saves, Tensor, apply, grad_enabled, methods, no_grads};
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

/// Inputs: queries, keys and values, maybe a mask; outputs: the result and the logarithms of the sums of exponentials of scores. On
/// the CPU leading dims are equal and there is no mask; on GPUs several heads of queries may share one of keys and values.
#[derive(Clone, Copy, Debug)]
struct Fused {
    causal: bool,
    scale: f64,
    gpu: bool,
}

/// Whether a GPU's kernel takes these sizes, dtypes and this mask, and is what its adapter is to use.
fn suits_gpu(n: usize, [q, k, v]: [&Tensor; 3], mask: Option<&Tensor>, shared: bool) -> Result<bool> {
    let (sq, sk) = (q.shape(), k.shape());
    let heads = sq.len() - 3.min(sq.len());
    let leading = (0..sq.len() - 2).all(|d| sk[d] == sq[d] || shared && d == heads && sq[d].is_multiple_of(sk[d]));
    let masks = |m: &Tensor| {
        let shape = m.shape();
        let wanted = sq[..sq.len() - 1].iter().chain([&sk[sk.len() - 2]]).rev();
        m.device() == q.device()
            && !m.requires_grad()
            && shape.len() <= sq.len()
            && shape.iter().rev().zip(wanted).all(|(&size, &want)| size == 1 || size == want)
    };
    let fits = matches!(q.dtype(), DType::F32 | DType::F16 | DType::BF16)
        && leading
        && sk[..sk.len() - 1] == v.shape()[..sk.len() - 1]
        && mask.is_none_or(masks);
    Ok(fits && kernels::suits(&gpu(n)?.lock(), sq[sq.len() - 2]))
}

impl Fused {
    /// Whether there is a kernel for these operands; `shared` allows heads of keys that several of queries share.
    fn takes([q, k, v]: [&Tensor; 3], mask: Option<&Tensor>, shared: bool) -> Result<bool> {
        let (sq, sk, sv) = (q.shape(), k.shape(), v.shape());
        let n = sq.len();
        let alike = [k, v].iter().all(|t| t.device() == q.device())
            && [&sk, &sv].iter().all(|s| s.len() == n)
            && sq[n - 1] == sk[n - 1]
            && [q, k, v].iter().all(|t| t.numel() > 0);
        Ok(alike
            && match q.device() {
                Device::Gpu(n) => suits_gpu(n, [q, k, v], mask, shared)?,
                Device::Cpu => {
                    mask.is_none()
                        && matches!(q.dtype(), DType::F32 | DType::F64)
                        && sq[..n - 2] == sk[..n - 2]
                        && sk[..n - 1] == sv[..n - 1]
                }
            })
    }

    fn rules<T>(&self, scale: impl Fn(f64) -> T) -> k::Rules<T> {
        k::Rules { scale: scale(self.scale), causal: self.causal }
    }

    fn operands<'a>(&self, ins: &[GpuView<'a>], mask: Option<&GpuView<'a>>) -> kernels::Attention<'a> {
        let (causal, scale) = (self.causal, self.scale as f32);
        kernels::Attention { q: ins[0], k: ins[1], v: ins[2], mask: mask.copied(), causal, scale }
    }
}

/// The weights of values, of ops that have derivatives.
fn weights(q: &Tensor, k: &Tensor, scale: f64, causal: bool, mask: Option<&Tensor>) -> Result<Tensor> {
    let scores = q.checked().matmul(&k.checked().mt()?)?.checked().mul(scale)?;
    let minus = f64::NEG_INFINITY;
    let scores = match mask {
        Some(m) if m.dtype() == DType::Bool => scores.checked().where_cond(m, minus)?,
        Some(m) => scores.checked().add(m)?,
        None if causal => scores.checked().where_cond(&lower(q, k)?, minus)?,
        None => scores,
    };
    let weights = if mask.is_some() {
        // a row that may attend to nothing gives zeros, and its gradients are zeros too
        let dead = scores.checked().amax(-1, true)?.checked().eq(minus)?;
        let weights = scores.checked().masked_fill(&dead, 0.0)?.checked().softmax(-1, ())?;
        weights.checked().masked_fill(&dead, 0.0)?
    } else {
        scores.checked().softmax(-1, ())?
    };
    if weights.dtype() == q.dtype() { Ok(weights) } else { weights.checked().to(q.dtype()) }
}

/// Gradients of heads that were repeated as those of the heads themselves.
fn gather_heads(t: Tensor, heads: usize) -> Result<Tensor> {
    if t.dim() < 3 || t.size_of(-3) == heads {
        return Ok(t);
    }
    let group = t.size_of(-3) / heads;
    t.checked().unflatten(-3, [heads, group])?.checked().sum_dim(-3, false)
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
        ensure!(ins.len() == 3, NotImplemented, "{}: no kernel with a mask on the CPU", self.name());
        compute_float!(ins[0].dtype, "flash_attention", T => {
            let scale = |x: f64| x as T;
            let ins = [0, 1, 2].map(|i| ins[i].typed::<T>());
            k::forward(outs[0].typed_mut::<T>(), outs[1].typed_mut::<T>(), ins, self.rules(scale));
        });
        Ok(())
    }
    fn gpu(&self, launch: &mut Launch, ins: &[GpuView], outs: &[GpuView]) -> Result<bool> {
        if ins[..3].iter().chain(outs).any(|v| v.dtype != DType::F32) {
            return Ok(false);
        }
        kernels::attention(launch.rec, &self.operands(ins, ins.get(3)), &outs[0], &outs[1])?;
        Ok(true)
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
        // PyTorch's names of its kernels for float32 on GPUs and on the CPU
        if self.gpu {
            "ScaledDotProductEfficientAttentionBackward0"
        } else {
            "ScaledDotProductFlashAttentionForCpuBackward0"
        }
    }
    fn infer(&self, ins: &[Meta]) -> Result<SmallVec<[OutSpec; 2]>> {
        let (q, v) = (&ins[0].shape, &ins[2].shape);
        let n = q.len();
        let narrow = matches!(ins[0].dtype, DType::F16 | DType::BF16);
        let dtype = if narrow { DType::F32 } else { ins[0].dtype };
        let lse = OutSpec { shape: Dims::from_slice(&q[..n - 1]), dtype };
        let mut shape = lse.shape.clone();
        shape.push(v[n - 1]);
        Ok([OutSpec { shape, dtype: ins[0].dtype }, lse].into_iter().collect())
    }
    fn saves(&self, _: u8) -> Saves {
        Saves { inputs: 0b1111, outputs: 0b11 }
    }
    fn vjp(&self, cx: &Ctx) -> Result<Grads> {
        let (g, q, k, v) = (cx.g(), cx.input(0)?, cx.input(1)?, cx.input(2)?);
        let mask = cx.saved(3)?;
        let mut grads = no_grads(3 + usize::from(mask.is_some()));
        if !grad_enabled() {
            let (out, lse) = (cx.output(0)?, cx.output(1)?);
            let ins = [g, &q, &k, &v, &out, &lse];
            let found = apply(FusedGrad(*self), &ins.into_iter().chain(&mask).collect::<Vec<_>>())?;
            grads.iter_mut().zip(found).for_each(|(to, found)| *to = Some(found));
            return Ok(grads);
        }
        // a gradient that is recorded is made of ops that have derivatives
        let heads = if k.dim() > 2 { k.size_of(-3) } else { 1 };
        let (k, v) = match q.dim() {
            2 => (k, v),
            _ => (repeat_heads(&k, q.size_of(-3), "key")?, repeat_heads(&v, q.size_of(-3), "value")?),
        };
        let p = weights(&q, &k, self.scale, self.causal, mask.as_ref())?;
        let gp = g.checked().matmul(&v.checked().mt()?)?;
        let mean = gp.checked().mul(&p)?.checked().sum_dim(-1, true)?;
        let gs = gp.checked().sub(&mean)?.checked().mul(&p)?.checked().mul(self.scale)?;
        let gk = gs.checked().mt()?.checked().matmul(&q)?;
        let gv = p.checked().mt()?.checked().matmul(g)?;
        grads[0] = Some(gs.checked().matmul(&k)?);
        grads[1] = Some(gather_heads(gk, heads)?);
        grads[2] = Some(gather_heads(gv, heads)?);
        Ok(grads)
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
        ensure!(ins.len() == 6, NotImplemented, "{}: no kernel with a mask on the CPU", self.name());
        compute_float!(ins[0].dtype, "flash_attention_backward", T => {
            let scale = |x: f64| x as T;
            let all = [0, 1, 2, 3, 4].map(|i| ins[i].typed::<T>());
            let saved = k::Saved { all, lse: ins[5].typed::<T>() };
            k::backward([0, 1, 2].map(|i| outs[i].typed_mut::<T>()), &saved, self.0.rules(scale));
        });
        Ok(())
    }
    fn gpu(&self, launch: &mut Launch, ins: &[GpuView], outs: &[GpuView]) -> Result<bool> {
        if ins[..6].iter().chain(outs).any(|v| v.dtype != DType::F32) {
            return Ok(false);
        }
        let operands = self.0.operands(&ins[1..4], ins.get(6));
        let saved = kernels::Saved { grad: ins[0], out: ins[4], lse: ins[5] };
        kernels::attention_grad(launch.rec, &operands, &saved, [&outs[0], &outs[1], &outs[2]])?;
        Ok(true)
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
    let scale = o.scale.unwrap_or_else(|| 1.0 / (q.size_of(-1) as f64).sqrt());
    let mask = o.attn_mask.as_ref();
    let fused = |k: &Tensor, v: &Tensor, shared: bool| -> Result<Option<Tensor>> {
        if o.dropout_p != 0.0 || !Fused::takes([q, k, v], mask, shared)? {
            return Ok(None);
        }
        let op = Fused { causal: o.is_causal, scale, gpu: q.device().is_gpu() };
        let ins: SmallVec<[&Tensor; 4]> = [q, k, v].into_iter().chain(mask).collect();
        Ok(Some(apply(op, &ins)?.swap_remove(0)))
    };
    if let Some(found) = fused(k, v, o.enable_gqa)? {
        return Ok(found);
    }
    let (mut k, mut v) = (k.clone(), v.clone());
    if o.enable_gqa && q.dim() > 2 {
        (k, v) = (repeat_heads(&k, q.size_of(-3), "key")?, repeat_heads(&v, q.size_of(-3), "value")?);
        if let Some(found) = fused(&k, &v, false)? {
            return Ok(found);
        }
    }
    let mut weights = weights(q, &k, scale, o.is_causal, mask)?;
    if o.dropout_p > 0.0 {
        weights = weights.checked().dropout(o.dropout_p, true)?;
    }
    weights.checked().matmul(&v)
}

methods! {
    /// `softmax(query @ key^T * scale + mask) @ value` over the last two dims, `[.., L, E]`, `[.., S, E]` and `[.., S, V]`
    /// (`torch.nn.functional.scaled_dot_product_attention`).
    ///
    /// Where one kernel does it, which stores no scores, the node has PyTorch's name of such a kernel:
    /// `ScaledDotProductFlashAttentionForCpuBackward0`, or `ScaledDotProductEfficientAttentionBackward0` on GPUs in every dtype. On the CPU
    /// that is without mask and dropout and in float32 or float64; on GPUs without dropout, in float32, float16 or bfloat16, from 16 queries
    /// on, unless the mask wants a gradient or the adapter is software. Else it is composed of other ops, with their nodes.
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
