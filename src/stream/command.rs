//! What the stream records: elementwise steps as data, and everything else as a kernel object.

use super::pairs::OnComplex;
use super::storage::StorageImpl;
use crate::cpu::view::{View, ViewMut};
use crate::device::Device;
use crate::dtype::{DType, Element};
use crate::error::Result;
use crate::gpu::{self, GpuView};
use crate::layout::Layout;
use crate::program::{Action, Program};
use crate::scalar::Scalar;
use crate::shape::Dims;
use smallvec::SmallVec;
use std::fmt::Debug;
use std::panic::Location;
use std::sync::Arc;

/// A storage seen through a layout.
#[derive(Clone)]
pub struct Arg {
    /// The memory.
    pub storage: Arc<StorageImpl>,
    /// How its bytes are read.
    pub dtype: DType,
    /// Which elements, in elements of that dtype.
    pub layout: Layout,
}

impl Arg {
    /// True where both name the same elements of one storage.
    pub fn same(&self, other: &Arg) -> bool {
        Arc::ptr_eq(&self.storage, &other.storage) && self.dtype == other.dtype && self.layout == other.layout
    }
}

/// An operand of an elementwise step. A tensor's layout is already broadcast to the step's shape.
#[derive(Clone)]
pub enum Src {
    /// A tensor.
    Tensor(Arg),
    /// A number, the same at every element.
    Scalar(Scalar),
}

/// One elementwise step.
#[derive(Clone)]
pub struct PointCmd {
    /// The formula, or a conversion.
    pub action: Action,
    /// The dtype it computes in; operands of other dtypes are converted first.
    pub dtype: DType,
    /// The dtype of its result before it is converted to the output's.
    pub natural: DType,
    /// Its operands.
    pub srcs: SmallVec<[Src; 3]>,
    /// Where the result goes; its shape is the step's.
    pub out: Arg,
    /// True where this is the first write of a new storage, and covers it.
    pub fresh: bool,
    /// Who called.
    pub location: &'static Location<'static>,
}

impl PointCmd {
    /// The dtype the operand at a position has to have.
    pub fn src_dtype(&self, position: usize) -> DType {
        match self.action {
            Action::Row(row) if row.bool_first && position == 0 => DType::Bool,
            _ => self.dtype,
        }
    }
}

/// Anything that is not elementwise.
pub struct KernelCmd {
    /// What runs.
    pub kernel: Arc<dyn Kernel>,
    /// What it reads.
    pub ins: SmallVec<[Arg; 3]>,
    /// What it writes: new storages, each covered whole, unless the kernel updates.
    pub outs: SmallVec<[Arg; 2]>,
    /// Who called.
    pub location: &'static Location<'static>,
}

/// A recorded step.
pub enum Cmd {
    /// An elementwise step.
    Point(PointCmd),
    /// Any other kernel.
    Kernel(KernelCmd),
}

impl PointCmd {
    /// The storages it uses, and whether it writes them.
    pub fn uses(&self) -> impl Iterator<Item = (&StorageImpl, bool)> {
        let reads = self.srcs.iter().filter_map(|s| match s {
            Src::Tensor(a) => Some((&*a.storage, false)),
            Src::Scalar(_) => None,
        });
        reads.chain(std::iter::once((&*self.out.storage, true)))
    }
}

impl KernelCmd {
    /// The storages it uses, and whether it writes them.
    pub fn uses(&self) -> impl Iterator<Item = (&StorageImpl, bool)> {
        let write = self.kernel.updates();
        self.ins.iter().map(|a| (&*a.storage, false)).chain(self.outs.iter().map(move |a| (&*a.storage, write)))
    }
}

impl Cmd {
    /// The storages it uses, and whether it writes them.
    pub fn uses(&self) -> impl Iterator<Item = (&StorageImpl, bool)> {
        let (point, kernel) = match self {
            Cmd::Point(c) => (Some(c.uses()), None),
            Cmd::Kernel(c) => (None, Some(c.uses())),
        };
        point.into_iter().flatten().chain(kernel.into_iter().flatten())
    }

    /// Calls `f` with every storage it touches, once per mention.
    pub fn for_each_storage(&self, mut f: impl FnMut(&Arc<StorageImpl>)) {
        match self {
            Cmd::Point(c) => {
                for s in &c.srcs {
                    if let Src::Tensor(a) = s {
                        f(&a.storage);
                    }
                }
                f(&c.out.storage);
            }
            Cmd::Kernel(c) => c.ins.iter().chain(&c.outs).for_each(|a| f(&a.storage)),
        }
    }
}

/// A tensor as a CPU kernel gets it: memory, dtype, sizes and strides.
#[derive(Clone, Copy)]
pub struct CpuView<'a> {
    /// The first element.
    pub ptr: *mut u8,
    /// The element type.
    pub dtype: DType,
    /// Size of each dim.
    pub shape: &'a [usize],
    /// Strides in elements.
    pub strides: &'a [usize],
}

impl<'a> CpuView<'a> {
    /// To read as `T`.
    ///
    /// # Panics
    /// If the dtype is another one.
    pub fn typed<T: Element>(&self) -> View<'a, T> {
        assert_eq!(self.dtype, T::DTYPE);
        // SAFETY: the executor made this view over live, locked memory of this dtype for the kernel's run.
        unsafe { View::new(self.ptr.cast::<T>(), self.shape, self.strides) }
    }

    /// To write as `T`.
    ///
    /// # Panics
    /// If the dtype is another one.
    pub fn typed_mut<T: Element>(&self) -> ViewMut<'a, T> {
        assert_eq!(self.dtype, T::DTYPE);
        // SAFETY: as above, and the executor holds the storage for writing.
        unsafe { ViewMut::new(self.ptr.cast::<T>(), self.shape, self.strides) }
    }
}

impl<'a> CpuView<'a> {
    /// To read elements as bits of their width, which are only moved.
    ///
    /// # Panics
    /// If the dtype has another width.
    pub fn bits<T: Copy>(&self) -> View<'a, T> {
        assert_eq!(self.dtype.size(), size_of::<T>());
        // SAFETY: as in `typed`; unsigned integers take any bits.
        unsafe { View::new(self.ptr.cast::<T>(), self.shape, self.strides) }
    }

    /// [`CpuView::bits`] to write.
    pub fn bits_mut<T: Copy>(&self) -> ViewMut<'a, T> {
        assert_eq!(self.dtype.size(), size_of::<T>());
        // SAFETY: as in `typed_mut`; the bits written are those of elements of the same dtype.
        unsafe { ViewMut::new(self.ptr.cast::<T>(), self.shape, self.strides) }
    }
}

/// What a GPU kernel is launched with.
pub struct Launch<'a> {
    /// The device's recorder.
    pub rec: &'a mut gpu::Recorder,
    /// The device.
    pub gpu: &'static gpu::Gpu,
    /// Who called the op, for errors that only the device sees.
    pub location: &'static Location<'static>,
    /// The stream that recorded the op, whose thread hears of such errors.
    pub stream: u32,
}

/// A step that follows a kernel and that the kernel may take into its own launch.
pub enum Epilogue {
    /// `max(x, 0)` of its only output.
    Relu,
    /// The gradient of `log_softmax` along a dim for its input, from its only output as that of the result, and the result.
    LogSoftmaxGrad {
        /// The dim.
        dim: usize,
    },
}

/// An elementwise program whose one result a kernel would read, and which the kernel may compute as it reads.
#[derive(Clone, Debug)]
pub struct Fed {
    /// What is computed; it has one store.
    pub program: Program,
    /// The program's scalars.
    pub scalars: SmallVec<[Scalar; 8]>,
    /// The shape of the result; the program's loads have it too, by strides of 0 where they are broadcast.
    pub shape: Dims,
    /// Where it runs.
    pub device: Device,
}

/// The device half of an op that is not elementwise. Only what saves time has a default: a forgotten kernel does not compile.
pub trait Kernel: Debug + Send + Sync {
    /// PyTorch's name of the op.
    fn name(&self) -> &'static str;
    /// Runs on the CPU. An error is one that only the data shows (an index out of range): nothing was written then.
    fn cpu(&self, ins: &[CpuView], outs: &[CpuView]) -> Result<()>;
    /// Runs on a GPU; `Ok(false)` where there is no kernel for these dtypes, and the CPU is to do it by transfer.
    fn gpu(&self, launch: &mut Launch, ins: &[GpuView], outs: &[GpuView]) -> Result<bool>;
    /// True where `cpu` can fail on the data: such an op runs at once, so that the error is raised at the call.
    fn checks_data(&self) -> bool;
    /// True where its outputs are tensors that are there already, which it changes where they lie.
    fn updates(&self) -> bool {
        false
    }
    /// True where `cpu` takes every dtype as it is, since it only moves elements or draws them. Else it gets bool, int64,
    /// float32 and float64: the others are converted before and after.
    fn every_dtype(&self) -> bool {
        false
    }
    /// What it does with complex operands, the first of which has that many dims.
    fn on_complex(&self, _rank: usize) -> OnComplex {
        OnComplex::Refused
    }
    /// Arithmetic operations of one run, from the shapes of inputs and outputs; 0 where they are not counted.
    fn flops(&self, _ins: &[&[usize]], _outs: &[&[usize]]) -> u64 {
        0
    }
    /// The same kernel with the step that follows done in its launch, where that needs no new pipeline.
    fn absorb(&self, _: &Epilogue) -> Option<Arc<dyn Kernel>> {
        None
    }
    /// What it is to the kernel that computes its first input, which may take it into its launch: over the rest of the inputs, which
    /// come behind that kernel's, and with these outputs.
    fn epilogue(&self) -> Option<Epilogue> {
        None
    }
    /// NOTE [Made again]: the same kernel with float32 of these sizes in the place of its last output, and the first input as it is; None
    /// where storing that output costs nothing.
    fn lean(&self, _ins: &[Arg]) -> Option<(Arc<dyn Kernel>, Dims)> {
        None
    }
    /// NOTE [Made again]: the same kernel with the first input and what is left of the last output of the kernel that makes its last input
    /// in the place of that input.
    fn over_source(&self) -> Option<Arc<dyn Kernel>> {
        None
    }
    /// The same kernel over a program's operands in place of its only input, which the program computes. It takes them in
    /// every dtype.
    fn feed(&self, _: &Fed) -> Option<Arc<dyn Kernel>> {
        None
    }
}
