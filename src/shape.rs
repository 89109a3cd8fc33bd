//! Sizes: printing them as PyTorch does, broadcasting them, and wrapping negative dims.

use crate::error::{Result, bail, ensure};
use smallvec::SmallVec;
use std::fmt;

/// Sizes of a tensor's dims, or strides in elements; up to five are kept without an allocation.
pub type Dims = SmallVec<[usize; 5]>;

/// A tensor's sizes, outermost first; prints as `torch.Size([5, 3])` and derefs to a slice.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Shape(pub Dims);

impl Shape {
    /// The product of the sizes; 1 for a 0-dim shape.
    pub fn numel(&self) -> usize {
        numel(&self.0)
    }
}

impl std::ops::Deref for Shape {
    type Target = [usize];
    fn deref(&self) -> &[usize] {
        &self.0
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "torch.Size({:?})", &self.0[..])
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<const N: usize> PartialEq<[usize; N]> for Shape {
    fn eq(&self, other: &[usize; N]) -> bool {
        self.0[..] == other[..]
    }
}

impl<const N: usize> From<[usize; N]> for Shape {
    fn from(a: [usize; N]) -> Shape {
        Shape(a.iter().copied().collect())
    }
}
impl From<&[usize]> for Shape {
    fn from(a: &[usize]) -> Shape {
        Shape(a.iter().copied().collect())
    }
}
impl From<Vec<usize>> for Shape {
    fn from(a: Vec<usize>) -> Shape {
        Shape(a.into_iter().collect())
    }
}
impl From<&Vec<usize>> for Shape {
    fn from(a: &Vec<usize>) -> Shape {
        Shape::from(&a[..])
    }
}
impl From<&Shape> for Shape {
    fn from(a: &Shape) -> Shape {
        a.clone()
    }
}
impl From<Dims> for Shape {
    fn from(a: Dims) -> Shape {
        Shape(a)
    }
}
impl From<()> for Shape {
    fn from(_: ()) -> Shape {
        Shape::default()
    }
}
impl From<usize> for Shape {
    fn from(n: usize) -> Shape {
        Shape::from([n])
    }
}

/// The product of sizes.
pub fn numel(sizes: &[usize]) -> usize {
    sizes.iter().product()
}

/// Strides of a row-major tensor with these sizes, in elements (a size of 0 counts as 1, as in PyTorch).
pub fn contiguous_strides(sizes: &[usize]) -> Dims {
    let mut strides: Dims = SmallVec::from_elem(1, sizes.len());
    for d in (0..sizes.len().saturating_sub(1)).rev() {
        strides[d] = strides[d + 1] * sizes[d + 1].max(1);
    }
    strides
}

/// The shape both broadcast to (`torch.broadcast_shapes`), or PyTorch's message about the dim where they differ.
pub fn broadcast(a: &[usize], b: &[usize]) -> Result<Dims> {
    let n = a.len().max(b.len());
    let mut out = Dims::from_elem(1, n);
    // from the last dim, which is the first to be told where several differ
    for d in (0..n).rev() {
        let x = if d + a.len() >= n { a[d + a.len() - n] } else { 1 };
        let y = if d + b.len() >= n { b[d + b.len() - n] } else { 1 };
        out[d] = match (x, y) {
            _ if x == y => x,
            (1, _) => y,
            (_, 1) => x,
            _ => bail!(
                Runtime,
                "The size of tensor a ({x}) must match the size of tensor b ({y}) at non-singleton dimension {d}"
            ),
        };
    }
    Ok(out)
}

/// True where a tensor of shape `from` can expand to `to`.
pub fn expandable(from: &[usize], to: &[usize]) -> bool {
    from.len() <= to.len() && from.iter().rev().zip(to.iter().rev()).all(|(f, t)| f == t || *f == 1)
}

/// A possibly negative dim as an index below `ndim`; a 0-dim tensor accepts 0 and -1.
pub fn wrap_dim(dim: isize, ndim: usize) -> Result<usize> {
    let n = ndim.max(1) as isize;
    ensure!(
        (-n..n).contains(&dim),
        Index,
        "Dimension out of range (expected to be in range of [{}, {}], but got {dim})",
        -n,
        n - 1
    );
    Ok(if dim < 0 { dim + n } else { dim } as usize)
}

/// Several dims wrapped and sorted out: true at each dim named; a dim named twice is an error. No dims means all.
pub fn dim_mask(dims: &[isize], ndim: usize) -> Result<SmallVec<[bool; 5]>> {
    ensure!(ndim <= 64, Runtime, "only tensors with up to 64 dims are supported");
    let mut mask: SmallVec<[bool; 5]> = SmallVec::from_elem(dims.is_empty(), ndim);
    for &d in dims {
        let d = wrap_dim(d, ndim)?;
        if ndim == 0 {
            continue;
        }
        ensure!(!mask[d], Runtime, "dim {d} appears multiple times in the list of dims");
        mask[d] = true;
    }
    Ok(mask)
}
