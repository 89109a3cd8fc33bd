//! Kernels are compiled for few dtypes: operands of the others are converted before and results after, so that bool, int64,
//! float32 and float64 on the CPU, and what its WGSL takes on a GPU, are enough for all of them.

use super::command::{Arg, KernelCmd};
use super::exec::Job;
use super::storage::Storage;
use crate::device::Device;
use crate::dtype::DType;
use crate::error::Result;
use crate::layout::Layout;
use crate::program::Program;
use smallvec::SmallVec;

/// The dtype that CPU kernels compute a dtype in.
pub(super) fn on_cpu(d: DType) -> DType {
    match d {
        DType::U8 | DType::I8 | DType::I16 | DType::I32 | DType::U32 => DType::I64,
        DType::F16 | DType::BF16 => DType::F32,
        DType::Bool | DType::I64 | DType::F32 | DType::F64 | DType::C64 | DType::C128 => d,
    }
}

/// The dtype that GPU kernels are tried with where they do not take a dtype as it is: whole words.
pub(super) fn on_gpu(d: DType) -> DType {
    match d {
        DType::Bool | DType::U8 | DType::I8 | DType::I16 => DType::I32,
        DType::F16 | DType::BF16 => DType::F32,
        DType::I32 | DType::U32 | DType::I64 | DType::F32 | DType::F64 | DType::C64 | DType::C128 => d,
    }
}

/// True where a command has an operand that `wide` changes.
pub(super) fn changes(cmd: &KernelCmd, wide: fn(DType) -> DType) -> bool {
    cmd.ins.iter().chain(&cmd.outs).any(|a| wide(a.dtype) != a.dtype)
}

/// A row-major operand of the same shape in another dtype, in memory of its own that lives as long as the storage.
fn twin(a: &Arg, device: Device, wide: fn(DType) -> DType, keep: &mut SmallVec<[Storage; 4]>) -> Arg {
    let dtype = wide(a.dtype);
    let layout = Layout::contiguous(a.layout.shape.clone());
    let storage = Storage::new(device, dtype, layout.numel());
    let arg = Arg { storage: storage.shared().clone(), dtype, layout };
    keep.push(storage);
    arg
}

fn cast(name: &'static str, from: &Arg, to: &Arg, fresh: bool, device: Device) -> Result<()> {
    let job = Job {
        name,
        program: Program::cast(from.dtype, to.dtype),
        shape: &to.layout.shape,
        loads: [from].into_iter().collect(),
        scalars: SmallVec::new(),
        stores: [(to, fresh)].into_iter().collect(),
    };
    job.launch(device)
}

/// Runs a command in the dtypes that `wide` names; `run` gets it with twins in the place of operands of other dtypes, and
/// says whether it did anything.
pub(super) fn widened(
    cmd: &KernelCmd,
    device: Device,
    wide: fn(DType) -> DType,
    run: impl FnOnce(&KernelCmd) -> Result<bool>,
) -> Result<bool> {
    let name = cmd.kernel.name();
    let mut keep = SmallVec::new();
    let mut ins = cmd.ins.clone();
    for a in ins.iter_mut().filter(|a| wide(a.dtype) != a.dtype) {
        let to = twin(a, device, wide, &mut keep);
        cast(name, a, &to, true, device)?;
        *a = to;
    }
    let mut outs = cmd.outs.clone();
    for a in outs.iter_mut().filter(|a| wide(a.dtype) != a.dtype) {
        *a = twin(a, device, wide, &mut keep);
    }
    if !run(&KernelCmd { kernel: cmd.kernel.clone(), ins, outs: outs.clone(), location: cmd.location })? {
        return Ok(false);
    }
    for (from, to) in outs.iter().zip(&cmd.outs).filter(|(a, b)| a.dtype != b.dtype) {
        cast(name, from, to, true, device)?;
    }
    Ok(true)
}
