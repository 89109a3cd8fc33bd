//! Embedding: rows of a table by index. The gradient is a sum into the rows that were read.

use super::index::select_rows;
use crate::dtype::DType;
use crate::error::{Result, ensure};
use crate::gpu::GpuView;
use crate::shape::{Dims, contiguous_strides, numel};
use crate::stream::{CpuView, Kernel, Launch};
use crate::tensor::{Ctx, Grads, Meta, Op, OutSpec, Saves, Tensor, apply_one, methods, no_grads};
use smallvec::SmallVec;
use std::sync::Arc;

/// Options of [`Tensor::embedding`].
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default)]
pub struct EmbeddingOptions {
    /// The row without a gradient; counted from the end if negative.
    pub padding_idx: Option<i64>,
    /// Rows that are read and longer than this are scaled down to it, in the table itself.
    pub max_norm: Option<f64>,
    /// The norm that `max_norm` means; None is 2.
    pub norm_type: Option<f64>,
    /// Divide a row's gradient by the number of times that it was read.
    pub scale_grad_by_freq: bool,
}

impl EmbeddingOptions {
    /// All defaults.
    pub fn new() -> EmbeddingOptions {
        EmbeddingOptions::default()
    }
    /// With a row that has no gradient.
    pub fn padding_idx(mut self, row: impl Into<Option<i64>>) -> Self {
        self.padding_idx = row.into();
        self
    }
    /// With rows no longer than this.
    pub fn max_norm(mut self, norm: impl Into<Option<f64>>) -> Self {
        self.max_norm = norm.into();
        self
    }
    /// With another norm than 2.
    pub fn norm_type(mut self, p: f64) -> Self {
        self.norm_type = Some(p);
        self
    }
    /// With gradients by the mean over the reads of a row instead of their sum.
    pub fn scale_grad_by_freq(mut self, on: bool) -> Self {
        self.scale_grad_by_freq = on;
        self
    }
}

impl From<()> for EmbeddingOptions {
    fn from(_: ()) -> EmbeddingOptions {
        EmbeddingOptions::default()
    }
}

/// Inputs: the table and the indices, of any shape.
#[derive(Debug)]
struct Embedding {
    padding: Option<usize>,
    by_frequency: bool,
    rows: Arc<dyn Kernel>,
}

impl Kernel for Embedding {
    fn name(&self) -> &'static str {
        "embedding"
    }
    fn cpu(&self, ins: &[CpuView], outs: &[CpuView]) -> Result<()> {
        // as a list of rows
        let (shape, strides) = ([numel(ins[1].shape)], [1]);
        let index = CpuView { shape: &shape, strides: &strides, ..ins[1] };
        let out_shape = [shape[0], ins[0].shape[1]];
        let out_strides = contiguous_strides(&out_shape);
        let out = CpuView { shape: &out_shape, strides: &out_strides, ..outs[0] };
        self.rows.cpu(&[ins[0], index], &[out])
    }
    fn gpu(&self, launch: &mut Launch, ins: &[GpuView], outs: &[GpuView]) -> Result<bool> {
        if !ins[1].is_contiguous() {
            return Ok(false);
        }
        let (shape, strides) = ([numel(ins[1].shape)], [1]);
        let index = GpuView { shape: &shape, strides: &strides, ..ins[1] };
        let out_shape = [shape[0], ins[0].shape[1]];
        let out_strides = contiguous_strides(&out_shape);
        let out = GpuView { shape: &out_shape, strides: &out_strides, ..outs[0] };
        self.rows.gpu(launch, &[ins[0], index], &[out])
    }
    fn every_dtype(&self) -> bool {
        true
    }
    fn checks_data(&self) -> bool {
        true
    }
}

impl Op for Embedding {
    fn node_name(&self) -> &'static str {
        "EmbeddingBackward0"
    }
    fn infer(&self, ins: &[Meta]) -> Result<SmallVec<[OutSpec; 2]>> {
        let mut shape: Dims = ins[1].shape.0.clone();
        shape.push(ins[0].shape[1]);
        Ok(OutSpec::one(shape, ins[0].dtype))
    }
    fn saves(&self, _: u8) -> Saves {
        Saves { inputs: 0b10, outputs: 0 }
    }
    fn vjp(&self, cx: &Ctx) -> Result<Grads> {
        let mut grads = no_grads(2);
        let (zeros, index) = (Tensor::zeros_of(&cx.input_meta(0)), cx.input(1)?.checked().reshape(-1)?);
        let width = zeros.size_of(1) as isize;
        let mut g = cx.g().checked().reshape([index.numel() as isize, width])?;
        if self.by_frequency {
            let ones = Tensor::constant(1.into(), &[index.numel()], g.dtype(), g.device());
            let count = Tensor::constant(0.into(), &[zeros.size_of(0)], g.dtype(), g.device());
            let count = count.checked().index_add(0, &index, &ones, 1)?.checked().index_select(0, &index)?;
            g = g.checked().div(&count.checked().unsqueeze(1)?)?;
        }
        if let Some(row) = self.padding {
            let kept = index.checked().ne(row as i64)?.checked().unsqueeze(1)?;
            g = g.checked().where_cond(&kept, 0.0)?;
        }
        grads[0] = Some(zeros.checked().index_add(0, &index, &g, 1)?);
        Ok(grads)
    }
    fn kernel(self: Arc<Self>) -> Arc<dyn Kernel> {
        self
    }
}

/// Scales rows that are read down to a norm, in place.
fn renormalise(table: &Tensor, index: &Tensor, max: f64, p: f64) -> Result<()> {
    let table = table.detach();
    let index = index.checked().reshape(-1)?;
    let rows = table.checked().index_select(0, &index)?;
    let norm = if p.is_infinite() {
        rows.checked().abs()?.checked().amax(1, true)?
    } else {
        rows.checked().abs()?.checked().pow(p)?.checked().sum_dim(1, true)?.checked().pow(1.0 / p)?
    };
    let scaled = rows.checked().mul(norm.checked().add(1e-7)?.checked().reciprocal()?.checked().mul(max)?)?;
    let rows = scaled.checked().where_cond(&norm.checked().gt(max)?, &rows)?;
    // a row that is read twice is written twice, with the same values
    table.checked().index_copy_(0, &index, &rows)?;
    Ok(())
}

#[track_caller]
fn embedding(index: &Tensor, table: &Tensor, o: EmbeddingOptions) -> Result<Tensor> {
    ensure!(table.dim() == 2, Runtime, "'weight' must be 2-D");
    ensure!(
        matches!(index.dtype(), DType::I64 | DType::I32),
        Runtime,
        "Expected tensor for argument #1 'indices' to have one of the following scalar types: Long, Int; but got torch.{}Tensor instead (while checking arguments for embedding)",
        index.dtype().scalar_name()
    );
    let count = table.size_of(0) as i64;
    let padding = match o.padding_idx {
        None => None,
        Some(row) if (-count..count).contains(&row) => Some((row + if row < 0 { count } else { 0 }) as usize),
        Some(_) => crate::error::bail!(Runtime, "Padding_idx must be within num_embeddings"),
    };
    let index = index.checked().to(DType::I64)?.checked().contiguous()?;
    if let Some(max) = o.max_norm {
        renormalise(table, &index, max, o.norm_type.unwrap_or(2.0))?;
    }
    apply_one(Embedding { padding, by_frequency: o.scale_grad_by_freq, rows: select_rows() }, &[table, &index])
}

methods! {
    /// The rows of a table `[rows, width]` that these indices name, in their shape and one dim more
    /// (`torch.nn.functional.embedding(input, weight)`).
    ///
    /// ```
    /// # use wgtorch::prelude::*;
    /// let table = tensor!([[0., 1.], [2., 3.], [4., 5.]]);
    /// assert_eq!(tensor!([[2, 0]]).embedding(&table, ()).to_vec::<f32>()?, [4., 5., 0., 1.]);
    /// # Ok::<(), Error>(())
    /// ```
    fn embedding(&self, weight: &Tensor, options: impl Into<EmbeddingOptions>) -> Tensor {
        embedding(self.0, weight, options.into())
    }
}
