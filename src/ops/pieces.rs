//! Tensors in pieces: uneven splits, copies with a part replaced, blocks on a diagonal, combinations of elements.

use super::cat::TensorList;
use super::compose::composite;
use super::pointwise::grads;
use crate::dtype::DType;
use crate::error::{Result, ensure};
use crate::shape::wrap_dim;
use crate::tensor::{Ctx, In, Saves, Tensor, methods, result_type, unwrap};

/// Where a dim is cut: into a number of pieces, or at indices.
#[derive(Clone, Debug)]
pub enum Sections {
    /// So many pieces; the first ones are longer where the size does not divide.
    Count(usize),
    /// Before each of these indices.
    At(Vec<isize>),
}

impl From<usize> for Sections {
    fn from(n: usize) -> Sections {
        Sections::Count(n)
    }
}
impl From<i32> for Sections {
    /// # Panics
    /// If it is negative.
    fn from(n: i32) -> Sections {
        Sections::Count(
            usize::try_from(n).unwrap_or_else(|_| panic!("number of sections must be larger than 0, got {n}")),
        )
    }
}
impl From<Vec<isize>> for Sections {
    fn from(at: Vec<isize>) -> Sections {
        Sections::At(at)
    }
}
impl From<&[isize]> for Sections {
    fn from(at: &[isize]) -> Sections {
        Sections::At(at.to_vec())
    }
}
impl<const N: usize> From<[isize; N]> for Sections {
    fn from(at: [isize; N]) -> Sections {
        Sections::At(at.to_vec())
    }
}

fn tensor_split(t: &Tensor, sections: &Sections, dim: isize) -> Result<Vec<Tensor>> {
    ensure!(
        t.dim() > 0,
        Runtime,
        "tensor_split expected at least a 1-dimensional tensor, but got a tensor with 0 dims"
    );
    let d = wrap_dim(dim, t.dim())?;
    let n = t.shape()[d] as isize;
    let cuts: Vec<Option<isize>> = match sections {
        Sections::Count(c) => {
            ensure!(*c > 0, Runtime, "number of sections must be larger than 0, got {c}");
            let c = *c as isize;
            (1..c).map(|i| Some(i * (n / c) + i.min(n % c))).collect()
        }
        Sections::At(at) => at.iter().map(|i| Some(*i)).collect(),
    };
    let starts = std::iter::once(None).chain(cuts.iter().copied());
    let ends = cuts.iter().copied().chain([None]);
    starts.zip(ends).map(|(a, b)| t.checked().slice(d as isize, a, b, 1)).collect()
}

/// `hsplit` and its relatives: as [`tensor_split`], but a number of pieces has to divide the size.
fn even_split(t: &Tensor, sections: &Sections, dim: usize, name: &str, least: usize) -> Result<Vec<Tensor>> {
    let ndim = t.dim();
    ensure!(
        ndim >= least,
        Runtime,
        "torch.{name} requires a tensor with at least {least} dimension, but got a tensor with {ndim} dimensions!"
    );
    if let Sections::Count(c) = sections {
        let n = t.shape()[dim];
        ensure!(
            *c > 0 && n.is_multiple_of(*c),
            Runtime,
            "torch.{name} attempted to split along dimension {dim}, but the size of the dimension {n} is not divisible by the split_size {c}!"
        );
    }
    tensor_split(t, sections, dim as isize)
}

/// A copy with the part that a view names replaced.
#[track_caller]
fn replaced(
    name: &'static str,
    t: &Tensor,
    src: &Tensor,
    part: impl Fn(&Tensor) -> Result<Tensor> + Send + Sync + 'static,
) -> Result<Tensor> {
    let slice = super::compose::unrecorded(|| part(t))?.shape();
    ensure!(
        slice == src.shape(),
        Runtime,
        "expected src to have a size equal to the slice of self. src size = {:?}, slice size = {:?}",
        &src.shape()[..],
        &slice[..]
    );
    let part = std::sync::Arc::new(part);
    let back = part.clone();
    let forward = || {
        let out = t.copy_now()?;
        part(&out)?.checked().copy_(src)?;
        Ok(out)
    };
    let vjp = move |cx: &Ctx| {
        grads!(cx; {
            let rest = cx.g().checked().copy()?;
            back(&rest)?.checked().zero_()?;
            rest
        }, back(cx.g())?)
    };
    composite(name, &[t, src], Saves::NONE, forward, vjp)
}

methods! {
    /// Pieces of a dim, of nearly equal size or cut at indices (`torch.tensor_split`): views.
    fn tensor_split(&self, sections: impl Into<Sections>, dim: isize) -> Vec<Tensor> {
        tensor_split(self.0, &sections.into(), dim)
    }

    /// Pieces side by side (`torch.hsplit`).
    fn hsplit(&self, sections: impl Into<Sections>) -> Vec<Tensor> {
        even_split(self.0, &sections.into(), (self.dim() > 1) as usize, "hsplit", 1)
    }

    /// Pieces one below the other (`torch.vsplit`).
    fn vsplit(&self, sections: impl Into<Sections>) -> Vec<Tensor> {
        even_split(self.0, &sections.into(), 0, "vsplit", 2)
    }

    /// Pieces in depth (`torch.dsplit`).
    fn dsplit(&self, sections: impl Into<Sections>) -> Vec<Tensor> {
        even_split(self.0, &sections.into(), 2, "dsplit", 3)
    }

    /// A copy with one index of a dim replaced (`torch.select_scatter`).
    fn select_scatter(&self, src: &Tensor, dim: isize, index: isize) -> Tensor {
        replaced("SelectScatterBackward0", self.0, src, move |t| t.checked().select(dim, index))
    }

    /// A copy with a slice of a dim replaced (`torch.slice_scatter`).
    fn slice_scatter(&self, src: &Tensor, dim: isize, start: Option<isize>, end: Option<isize>, step: usize) -> Tensor {
        replaced("SliceScatterBackward0", self.0, src, move |t| t.checked().slice(dim, start, end, step))
    }

    /// A copy with a diagonal replaced (`torch.diagonal_scatter`).
    fn diagonal_scatter(&self, src: &Tensor, offset: isize, dim1: isize, dim2: isize) -> Tensor {
        replaced("DiagonalScatterBackward0", self.0, src, move |t| t.checked().diagonal(offset, dim1, dim2))
    }

    /// All choices of `r` elements of a vector, in order, one a row (`torch.combinations`).
    fn combinations(&self, r: usize, with_replacement: bool) -> Tensor {
        ensure!(self.dim() == 1, Runtime, "Expect a 1D vector, but got shape {:?}", &self.shape()[..]);
        let n = self.numel();
        if r == 0 {
            return Ok(Tensor::constant(0.into(), &[0], self.dtype(), self.device()));
        }
        let mut rows: Vec<Vec<i64>> = vec![Vec::new()];
        for _ in 0..r {
            let next = |row: Vec<i64>| {
                let first = row.last().map_or(0, |l| l + !with_replacement as i64);
                (first..n as i64).map(move |i| row.iter().copied().chain([i]).collect())
            };
            rows = rows.into_iter().flat_map(next).collect();
        }
        let count = rows.len();
        let index = Tensor::from_vec(rows.into_iter().flatten().collect::<Vec<i64>>(), [count * r], self.device())?;
        self.index_select(0, &index)?.checked().view([count, r])
    }
}

/// Matrices as blocks on the diagonal of a matrix of zeros (`torch.block_diag`); vectors count as rows.
///
/// # Panics
/// If a tensor has more than two dims.
#[track_caller]
pub fn block_diag(tensors: &(impl TensorList + ?Sized)) -> Tensor {
    unwrap(try_block_diag(tensors))
}

/// [`block_diag`] with its errors as values.
///
/// # Errors
/// If a tensor has more than two dims.
pub fn try_block_diag(tensors: &(impl TensorList + ?Sized)) -> Result<Tensor> {
    let list = tensors.tensors();
    for (i, t) in list.iter().enumerate() {
        ensure!(
            t.dim() <= 2,
            Runtime,
            "torch.block_diag: Input tensors must have 2 or fewer dimensions. Input {i} has {} dimensions",
            t.dim()
        );
    }
    let Some(first) = list.first() else {
        return Ok(Tensor::constant(0.into(), &[1, 0], DType::F32, crate::Device::Cpu));
    };
    let dtype = result_type(&list.iter().map(|t| In::T(t)).collect::<Vec<_>>());
    let blocks = list.iter().map(|t| t.checked().atleast_2d()).collect::<Result<Vec<_>>>()?;
    let total = |d: isize| blocks.iter().map(|b| b.size_of(d)).sum::<usize>();
    let out = Tensor::constant(0.into(), &[total(0), total(1)], dtype, first.device());
    let (mut row, mut col) = (0, 0);
    for b in &blocks {
        let (rows, cols) = (b.size_of(0), b.size_of(1));
        let place = out.checked().narrow(0, row, rows)?;
        place.checked().narrow(1, col, cols)?.checked().copy_(b)?;
        row += rows as isize;
        col += cols as isize;
    }
    Ok(out)
}

/// All combinations of one element from each vector, one a row (`torch.cartesian_prod`).
///
/// # Panics
/// If the list is empty, or a tensor is no vector.
#[track_caller]
pub fn cartesian_prod(tensors: &(impl TensorList + ?Sized)) -> Tensor {
    unwrap(try_cartesian_prod(tensors))
}

/// [`cartesian_prod`] with its errors as values.
///
/// # Errors
/// If the list is empty, or a tensor is no vector.
pub fn try_cartesian_prod(tensors: &(impl TensorList + ?Sized)) -> Result<Tensor> {
    let list = tensors.tensors();
    for t in &list {
        ensure!(t.dim() == 1, Runtime, "Expect a 1D vector, but got shape {:?}", &t.shape()[..]);
    }
    if let [one] = &list[..] {
        return Ok((*one).clone());
    }
    let columns =
        super::try_meshgrid(&list, "ij")?.iter().map(|g| g.checked().reshape(-1)).collect::<Result<Vec<_>>>()?;
    super::try_stack(&columns, 1)
}
