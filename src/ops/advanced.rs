//! Advanced indexing: reading and writing where integer tensors of one shape name positions of several dims together.

use super::index_write::FEW;
use super::on_gpu::{Temp, copy, dense, flat_index, spread};
use crate::cpu::copy::copy_strided;
use crate::cpu::index::{self as k, BadIndex};
use crate::cpu::number::Number;
use crate::cpu::view::{View, ViewMut};
use crate::dtype::{DType, compute, moved};
use crate::error::{Error, Result, ensure};
use crate::gpu::GpuView;
use crate::gpu::kernels::index as kernels;
use crate::gpu::kernels::index_write::{self, Join, Pointers};
use crate::scalar::Scalar;
use crate::shape::{Dims, broadcast, contiguous_strides, expandable};
use crate::stream::{CpuView, Kernel, Launch, OnComplex};
use crate::tensor::{Ctx, Grads, Meta, Op, OutSpec, Saves, Tensor, apply_one, no_grads};
use smallvec::SmallVec;
use std::sync::Arc;

/// Which dims of a tensor are indexed, and where the dims of the index tensors stand in the result.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    /// Indexed dims, ascending.
    dims: SmallVec<[usize; 5]>,
    /// Number of the dims that are left which come before those of the index.
    lead: usize,
}

impl Places {
    /// PyTorch's rule: index dims stand where adjacent indexed dims stood, and in front where those were apart.
    fn of(indices: &[Option<Tensor>]) -> Places {
        let dims: SmallVec<[usize; 5]> = (0..indices.len()).filter(|&d| indices[d].is_some()).collect();
        let adjacent = dims.windows(2).all(|w| w[0] + 1 == w[1]);
        let lead = if adjacent { dims.first().copied().unwrap_or(0) } else { 0 };
        Places { dims, lead }
    }

    /// What a GPU says of a bad index; over several dims it knows only that one of them is bad.
    fn fault(&self, sizes: &[usize]) -> String {
        match (&self.dims[..], sizes) {
            ([d], [n]) => format!("index {{}} is out of bounds for dimension {d} with size {n}"),
            _ => "an index is out of bounds for the dimension it indexes".into(),
        }
    }

    /// Dims of `x` in the kernels' order: the indexed ones first.
    fn order(&self, ndim: usize) -> SmallVec<[usize; 8]> {
        let rest = (0..ndim).filter(|d| !self.dims.contains(d));
        self.dims.iter().copied().chain(rest).collect()
    }

    /// The result's shape.
    fn shape(&self, x: &[usize], index: &[usize]) -> Dims {
        let rest: Dims = (0..x.len()).filter(|d| !self.dims.contains(d)).map(|d| x[d]).collect();
        rest[..self.lead].iter().chain(index).chain(&rest[self.lead..]).copied().collect()
    }

    /// Dims of the result in the kernels' order: those of the index first.
    fn result_order(&self, ndim: usize, index: usize) -> SmallVec<[usize; 8]> {
        (self.lead..self.lead + index).chain(0..self.lead).chain(self.lead + index..ndim).collect()
    }

    /// The order of dims for the GPU, with the number of those before the indexed ones: as they are where the indexed dims
    /// are neighbours and the result has them in place.
    fn gpu_order(&self, ndim: usize) -> (SmallVec<[usize; 8]>, usize) {
        let adjacent = self.dims.windows(2).all(|w| w[0] + 1 == w[1]);
        if adjacent && self.dims.first() == Some(&self.lead) {
            ((0..ndim).collect(), self.lead)
        } else {
            (self.order(ndim), 0)
        }
    }

    /// A shape with the indexed dims, which start at `lead`, as one.
    fn merged(&self, shape: &[usize], lead: usize) -> Dims {
        let end = lead + self.dims.len();
        let one = shape[lead..end].iter().product();
        shape[..lead].iter().copied().chain([one]).chain(shape[end..].iter().copied()).collect()
    }

    fn error(&self, b: BadIndex) -> Error {
        let BadIndex { value, dim, size } = b;
        Error::Index(format!("index {value} is out of bounds for dimension {} with size {size}", self.dims[dim]))
    }
}

/// Sizes and strides in another order of dims.
struct Ordered {
    shape: SmallVec<[usize; 8]>,
    strides: SmallVec<[usize; 8]>,
}

impl Ordered {
    fn new(shape: &[usize], strides: &[usize], order: &[usize]) -> Ordered {
        Ordered {
            shape: order.iter().map(|&d| shape[d]).collect(),
            strides: order.iter().map(|&d| strides[d]).collect(),
        }
    }

    /// A view of the same elements.
    fn read<T: Copy>(&self, of: &CpuView) -> View<'_, T> {
        assert_eq!(of.dtype.size(), size_of::<T>());
        // SAFETY: the same elements as the view, with its dims in another order.
        unsafe { View::new(of.ptr.cast::<T>(), &self.shape, &self.strides) }
    }

    fn write<T: Copy>(&self, of: &CpuView) -> ViewMut<'_, T> {
        assert_eq!(of.dtype.size(), size_of::<T>());
        // SAFETY: as above.
        unsafe { ViewMut::new(of.ptr.cast::<T>(), &self.shape, &self.strides) }
    }
}

/// `x[indices]`: the inputs are x and an index tensor for each indexed dim, all of one shape.
#[derive(Clone, Debug)]
struct Index(Places);

/// x with `values` (the second input) written at indices.
#[derive(Clone, Debug)]
struct IndexPut {
    places: Places,
    accumulate: bool,
}

impl Kernel for Index {
    fn name(&self) -> &'static str {
        "index"
    }
    fn cpu(&self, ins: &[CpuView], outs: &[CpuView]) -> Result<()> {
        let (x, out) = (&ins[0], &outs[0]);
        let indices: SmallVec<[View<i64>; 6]> = ins[1..].iter().map(|i| i.typed()).collect();
        let from = Ordered::new(x.shape, x.strides, &self.0.order(x.shape.len()));
        let order = self.0.result_order(out.shape.len(), ins[1].shape.len());
        let to = Ordered::new(out.shape, out.strides, &order);
        moved!(x.dtype, T => k::index_get(to.write::<T>(out), from.read::<T>(x), &indices)).map_err(|b| self.0.error(b))
    }
    fn gpu(&self, launch: &mut Launch, ins: &[GpuView], outs: &[GpuView]) -> Result<bool> {
        let (x, out) = (&ins[0], &outs[0]);
        let sizes: Dims = self.0.dims.iter().map(|&d| x.shape[d]).collect();
        let (mut a, mut b) = (Temp::default(), Temp::default());
        let Some(index) = flat_index(launch, &ins[1..], &sizes, &mut a)? else { return Ok(false) };
        let (order, lead) = self.0.gpu_order(x.shape.len());
        let from = Ordered::new(x.shape, x.strides, &order);
        let from = GpuView { shape: &from.shape, strides: &from.strides, ..*x };
        let Some(x) = dense(launch, &from, &mut b)? else { return Ok(false) };
        // the indexed dims as one
        let flat = self.0.merged(x.shape, lead);
        let strides = contiguous_strides(&flat);
        let x = GpuView { shape: &flat, strides: &strides, ..x };
        let id = launch.fault_id("index", self.0.fault(&sizes));
        kernels::index_select(launch.rec, &x, lead, &index, out, id)?;
        Ok(true)
    }
    fn every_dtype(&self) -> bool {
        true
    }
    fn on_complex(&self, _: usize) -> OnComplex {
        OnComplex::Pairs { kernel: Arc::new(self.clone()), spread: false }
    }
    fn checks_data(&self) -> bool {
        true
    }
}

impl Op for Index {
    fn node_name(&self) -> &'static str {
        "IndexBackward0"
    }
    fn infer(&self, ins: &[Meta]) -> Result<SmallVec<[OutSpec; 2]>> {
        let (x, index) = (&ins[0], &ins[1]);
        if index.shape.numel() > 0 {
            for &d in &self.0.dims {
                ensure!(x.shape[d] > 0, Index, "index is out of bounds for dimension with size 0");
            }
        }
        Ok(OutSpec::one(self.0.shape(&x.shape, &index.shape), x.dtype))
    }
    fn saves(&self, _: u8) -> Saves {
        // the index tensors
        Saves { inputs: !1, outputs: 0 }
    }
    fn vjp(&self, cx: &Ctx) -> Result<Grads> {
        let mut grads = no_grads(cx.count());
        let indices = (1..cx.count()).map(|i| cx.input(i)).collect::<Result<Vec<_>>>()?;
        let zeros = Tensor::zeros_of(&cx.input_meta(0));
        grads[0] = Some(put(&zeros, &self.0, &indices, cx.g(), true)?);
        Ok(grads)
    }
    fn kernel(self: Arc<Self>) -> Arc<dyn Kernel> {
        self
    }
}

impl IndexPut {
    fn run<T: Number>(&self, ins: &[CpuView], out: &CpuView) -> Result<(), BadIndex> {
        let (x, values) = (&ins[0], &ins[1]);
        let indices: SmallVec<[View<i64>; 6]> = ins[2..].iter().map(|i| i.typed()).collect();
        for (i, &d) in self.places.dims.iter().enumerate() {
            k::check_indices(indices[i], i, x.shape[d], true)?;
        }
        copy_strided(out.typed_mut::<T>(), x.typed::<T>());
        let to = Ordered::new(out.shape, out.strides, &self.places.order(out.shape.len()));
        let shape = self.places.shape(x.shape, indices[0].shape);
        // values broadcast to what indexing would read
        let mut strides = Dims::from_elem(0, shape.len());
        let lead = shape.len() - values.shape.len();
        for (d, (&n, &s)) in values.shape.iter().zip(values.strides).enumerate() {
            strides[lead + d] = if n == 1 { 0 } else { s };
        }
        let order = self.places.result_order(shape.len(), indices[0].shape.len());
        let from = Ordered::new(&shape, &strides, &order);
        if self.accumulate {
            k::index_put_add(to.write::<T>(out), &indices, from.read::<T>(values))
        } else {
            k::index_put(to.write::<T>(out), &indices, from.read::<T>(values))
        }
    }
}

impl Kernel for IndexPut {
    fn name(&self) -> &'static str {
        "index_put"
    }
    fn cpu(&self, ins: &[CpuView], outs: &[CpuView]) -> Result<()> {
        compute!(ins[0].dtype, T => self.run::<T>(ins, &outs[0])).map_err(|b| self.places.error(b))
    }
    fn gpu(&self, launch: &mut Launch, ins: &[GpuView], outs: &[GpuView]) -> Result<bool> {
        let (x, values, out) = (&ins[0], &ins[1], &outs[0]);
        if ins[2].numel() == 0 || out.numel() == 0 {
            return copy(launch, x, out);
        }
        let sum = Join::Sum(Scalar::Int(1));
        if self.accumulate && !index_write::folds(x.dtype, sum, launch.gpu.features.f64) {
            return Ok(false);
        }
        let places = &self.places;
        let (order, lead) = places.gpu_order(x.shape.len());
        let mut temps: [Temp; 4] = Default::default();
        let [a, b, c, d] = &mut temps;
        let sizes: Dims = places.dims.iter().map(|&d| x.shape[d]).collect();
        let Some(index) = flat_index(launch, &ins[2..], &sizes, a)? else { return Ok(false) };
        let shape = places.shape(x.shape, ins[2].shape);
        let Some(values) = spread(launch, values, &shape, b)? else { return Ok(false) };
        // dims that are indexed apart come first, and go back where they were
        let (from, to) = (Ordered::new(x.shape, x.strides, &order), Ordered::new(out.shape, out.strides, &order));
        let from = GpuView { shape: &from.shape, strides: &from.strides, ..*x };
        let to = GpuView { shape: &to.shape, strides: &to.strides, ..*out };
        let Some(x) = dense(launch, &from, c)? else { return Ok(false) };
        let in_place = to.is_contiguous();
        if !in_place {
            *d = Temp::new(launch, to.shape, to.dtype)?;
        }
        let written = if in_place { Some(to) } else { d.view(to.dtype) };
        let Some(written) = written else { return Ok(false) };
        let flat = places.merged(to.shape, lead);
        let strides = contiguous_strides(&flat);
        let [x, part] = [x, written].map(|v| GpuView { shape: &flat, strides: &strides, ..v });
        let id = launch.fault_id("index_put", places.fault(&sizes));
        let at = Pointers { index: &index, dim: lead, each: false, command: id };
        if !self.accumulate {
            index_write::write(launch.rec, &x, &at, &values, &part)?;
        } else if x.dtype == DType::F32 && index.numel() <= FEW {
            if !copy(launch, &x, &part)? {
                return Ok(false);
            }
            kernels::index_add(launch.rec, &part, lead, &index, &values, 1.0, id)?;
        } else {
            index_write::fold(launch.rec, &x, &at, &values, sum, true, &part)?;
        }
        if in_place { Ok(true) } else { copy(launch, &written, &to) }
    }
    fn on_complex(&self, _: usize) -> OnComplex {
        OnComplex::Pairs { kernel: Arc::new(self.clone()), spread: false }
    }
    fn checks_data(&self) -> bool {
        true
    }
}

impl Op for IndexPut {
    fn node_name(&self) -> &'static str {
        "IndexPutBackward0"
    }
    fn infer(&self, ins: &[Meta]) -> Result<SmallVec<[OutSpec; 2]>> {
        let (x, values, index) = (&ins[0], &ins[1], &ins[2]);
        ensure!(
            x.dtype == values.dtype,
            Runtime,
            "Index put requires the source and destination dtypes match, got {} for the destination and {} for the source.",
            x.dtype.scalar_name(),
            values.dtype.scalar_name()
        );
        let shape = self.places.shape(&x.shape, &index.shape);
        ensure!(
            expandable(&values.shape, &shape),
            Runtime,
            "shape mismatch: value tensor of shape {:?} cannot be broadcast to indexing result of shape {:?}",
            &values.shape[..],
            &shape[..]
        );
        Ok(OutSpec::one(x.shape.0.clone(), x.dtype))
    }
    fn saves(&self, _: u8) -> Saves {
        Saves { inputs: !0b11, outputs: 0 }
    }
    fn vjp(&self, cx: &Ctx) -> Result<Grads> {
        let mut grads = no_grads(cx.count());
        let indices = (2..cx.count()).map(|i| cx.input(i)).collect::<Result<Vec<_>>>()?;
        if cx.needs(0) {
            grads[0] = Some(if self.accumulate {
                cx.g().clone()
            } else {
                let zero = Tensor::constant(0.into(), &[], cx.g().dtype(), cx.g().device());
                put(cx.g(), &self.places, &indices, &zero, false)?
            });
        }
        if cx.needs(1) {
            grads[1] = Some(get(cx.g(), &self.places, &indices)?);
        }
        Ok(grads)
    }
    fn kernel(self: Arc<Self>) -> Arc<dyn Kernel> {
        self
    }
}

#[track_caller]
fn get(x: &Tensor, places: &Places, indices: &[Tensor]) -> Result<Tensor> {
    let ins: SmallVec<[&Tensor; 8]> = std::iter::once(x).chain(indices).collect();
    apply_one(Index(places.clone()), &ins)
}

#[track_caller]
fn put(x: &Tensor, places: &Places, indices: &[Tensor], values: &Tensor, accumulate: bool) -> Result<Tensor> {
    let ins: SmallVec<[&Tensor; 8]> = [x, values].into_iter().chain(indices).collect();
    apply_one(IndexPut { places: places.clone(), accumulate }, &ins)
}

/// Most dims that can be indexed by tensors at once: one op takes eight inputs.
const MOST: usize = 6;

/// Index tensors of one shape, in order of their dims; an entry of the list is a dim.
fn together(indices: &[Option<Tensor>]) -> Result<(Places, Vec<Tensor>)> {
    let places = Places::of(indices);
    let given: Vec<&Tensor> = indices.iter().flatten().collect();
    ensure!(
        given.len() <= MOST,
        NotImplemented,
        "indexing by more than {MOST} tensors at once is not implemented, got {}",
        given.len()
    );
    let shapes: Vec<_> = given.iter().map(|t| t.shape()).collect();
    let mut shape = Dims::new();
    for s in &shapes {
        shape = broadcast(&shape, s).map_err(|_| {
            let all: Vec<String> = shapes.iter().map(|s| format!("{:?}", &s[..])).collect();
            Error::Index(format!(
                "shape mismatch: indexing tensors could not be broadcast together with shapes {}",
                all.join(", ")
            ))
        })?;
    }
    let spread = given.iter().map(|t| t.detach().checked().expand(&shape[..])).collect::<Result<Vec<_>>>()?;
    Ok((places, spread))
}

/// `x[indices]` for int64 tensors; None leaves a dim as it is.
#[track_caller]
pub(crate) fn index(x: &Tensor, indices: &[Option<Tensor>]) -> Result<Tensor> {
    let (places, indices) = together(indices)?;
    get(x, &places, &indices)
}

/// `x` with values written (or added) at indices.
#[track_caller]
pub(crate) fn index_put(x: &Tensor, indices: &[Option<Tensor>], values: &Tensor, accumulate: bool) -> Result<Tensor> {
    let (places, indices) = together(indices)?;
    put(x, &places, &indices, values, accumulate)
}
