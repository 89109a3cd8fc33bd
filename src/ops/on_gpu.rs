//! Steps that GPU kernels of several ops share: small programs, dense copies, and index tensors as flat positions.

use crate::dtype::DType;
use crate::error::Result;
use crate::gpu::{self, Buffer, GpuView};
use crate::num::rows;
use crate::program::{Action, Instr, Program, Reg, Row};
use crate::scalar::Scalar;
use crate::shape::{Dims, contiguous_strides, numel};
use crate::stream::Launch;
use smallvec::SmallVec;

/// A program under construction: loads first, then scalars, then the steps.
pub(crate) struct Steps {
    program: Program,
    scalars: SmallVec<[Scalar; 8]>,
}

impl Steps {
    pub fn new(loads: &[DType], scalars: &[(Scalar, DType)]) -> Steps {
        let program = Program {
            loads: loads.iter().copied().collect(),
            scalars: scalars.iter().map(|s| s.1).collect(),
            ..Program::default()
        };
        Steps { program, scalars: scalars.iter().map(|s| s.0).collect() }
    }

    /// The register of a scalar.
    pub fn scalar(&self, i: usize) -> Reg {
        (self.program.loads.len() + i) as Reg
    }

    fn push(&mut self, instr: Instr) -> Reg {
        self.program.instrs.push(instr);
        (self.program.loads.len() + self.program.scalars.len() + self.program.instrs.len() - 1) as Reg
    }

    /// A row of the table, in a compute dtype.
    pub fn row(&mut self, row: &'static Row, dtype: DType, srcs: &[Reg]) -> Reg {
        let out = if row.bool_out { DType::Bool } else { dtype };
        self.push(Instr { action: Action::Row(row), dtype, out, srcs: srcs.into() })
    }

    /// A conversion, where one is needed.
    pub fn cast(&mut self, r: Reg, to: DType) -> Reg {
        let from = self.program.dtype(r);
        if from == to {
            r
        } else {
            self.push(Instr { action: Action::Cast, dtype: from, out: to, srcs: [r][..].into() })
        }
    }

    /// The program with its result named, and its scalars.
    pub fn done(mut self, result: Reg) -> (Program, SmallVec<[Scalar; 8]>) {
        self.program.stores.push(result);
        (self.program, self.scalars)
    }
}

/// Memory of a launch: a buffer of its own, row-major.
#[derive(Default)]
pub(crate) struct Temp {
    buffer: Option<Buffer>,
    shape: Dims,
    strides: Dims,
}

impl Temp {
    /// A new buffer for a shape.
    pub fn new(launch: &mut Launch, shape: &[usize], dtype: DType) -> Result<Temp> {
        let bytes = (numel(shape) * dtype.size()).next_multiple_of(16).max(16);
        Ok(Temp {
            buffer: Some(launch.rec.alloc(bytes as u64)?),
            shape: shape.into(),
            strides: contiguous_strides(shape),
        })
    }

    /// All of it.
    pub fn view(&self, dtype: DType) -> Option<GpuView<'_>> {
        let buffer = self.buffer.as_ref()?;
        Some(GpuView { buffer, dtype, offset: 0, shape: &self.shape, strides: &self.strides })
    }
}

/// Copies `from`, broadcast, to `to`; false where this GPU has no such copy.
pub(crate) fn copy(launch: &mut Launch, from: &GpuView, to: &GpuView) -> Result<bool> {
    let program = Program::cast(from.dtype, to.dtype);
    gpu::pointwise::run(launch.rec, launch.gpu, &program, to.shape, &[*from], &[], &[*to])
}

/// The view itself if it is row-major, else a row-major copy in `temp`; None where this GPU cannot copy it.
pub(crate) fn dense<'a>(launch: &mut Launch, v: &GpuView<'a>, temp: &'a mut Temp) -> Result<Option<GpuView<'a>>> {
    if v.is_contiguous() {
        return Ok(Some(*v));
    }
    spread(launch, v, v.shape, temp)
}

/// [`dense`] in another dtype.
pub(crate) fn dense_as<'a>(
    launch: &mut Launch,
    v: &GpuView<'a>,
    dtype: DType,
    temp: &'a mut Temp,
) -> Result<Option<GpuView<'a>>> {
    if v.dtype == dtype {
        return dense(launch, v, temp);
    }
    *temp = Temp::new(launch, v.shape, dtype)?;
    let temp: &'a Temp = temp;
    let Some(to) = temp.view(dtype) else { return Ok(None) };
    Ok(copy(launch, v, &to)?.then_some(to))
}

/// A row-major copy of a view broadcast to a shape.
pub(crate) fn spread<'a>(
    launch: &mut Launch,
    v: &GpuView<'a>,
    shape: &[usize],
    temp: &'a mut Temp,
) -> Result<Option<GpuView<'a>>> {
    *temp = Temp::new(launch, shape, v.dtype)?;
    let temp: &'a Temp = temp;
    let Some(to) = temp.view(v.dtype) else { return Ok(None) };
    Ok(copy(launch, v, &to)?.then_some(to))
}

/// One index for each position that index tensors name together in dims of the given sizes: row-major over those dims, and
/// out of range where any of them is. Negative ones count from the end.
pub(crate) fn flat_index<'a>(
    launch: &mut Launch,
    indices: &[GpuView],
    sizes: &[usize],
    temp: &'a mut Temp,
) -> Result<Option<GpuView<'a>>> {
    use rows::{ADD, BITWISE_OR, GE, LT, MUL, WHERE};
    let loads: Vec<DType> = indices.iter().map(|i| i.dtype).collect();
    let mut scalars = vec![(Scalar::Int(0), DType::I64), (Scalar::Int(-1), DType::I64)];
    for &n in sizes {
        scalars.extend([(Scalar::Int(n as i64), DType::I64), (Scalar::Int(-(n as i64)), DType::I64)]);
    }
    let mut s = Steps::new(&loads, &scalars);
    let (zero, none) = (s.scalar(0), s.scalar(1));
    let mut sum: Option<(Reg, Reg)> = None;
    for d in 0..sizes.len() {
        let (x, n, low) = (d as Reg, s.scalar(2 + 2 * d), s.scalar(3 + 2 * d));
        let negative = s.row(&LT, DType::I64, &[x, zero]);
        let wrapped = s.row(&ADD, DType::I64, &[x, n]);
        let at = s.row(&WHERE, DType::I64, &[negative, wrapped, x]);
        let (under, over) = (s.row(&LT, DType::I64, &[x, low]), s.row(&GE, DType::I64, &[x, n]));
        let bad = s.row(&BITWISE_OR, DType::Bool, &[under, over]);
        sum = Some(match sum {
            None => (at, bad),
            Some((before, worse)) => {
                let scaled = s.row(&MUL, DType::I64, &[before, n]);
                (s.row(&ADD, DType::I64, &[scaled, at]), s.row(&BITWISE_OR, DType::Bool, &[worse, bad]))
            }
        });
    }
    let Some((at, bad)) = sum else { return Ok(None) };
    // a lone index stays what it is, for the message
    let told = if sizes.len() == 1 { 0 } else { none };
    let r = s.row(&WHERE, DType::I64, &[bad, told, at]);
    let (program, scalars) = s.done(r);
    let shape: Dims = indices[0].shape.into();
    *temp = Temp::new(launch, &shape, DType::I64)?;
    let temp: &'a Temp = temp;
    let Some(to) = temp.view(DType::I64) else { return Ok(None) };
    let done = gpu::pointwise::run(launch.rec, launch.gpu, &program, &shape, indices, &scalars, &[to])?;
    Ok(done.then_some(to))
}
