//! A strided view of a device buffer: what kernels are given for a tensor.

use super::Buffer;
use crate::DType;
use crate::shape::{contiguous_strides, numel};

/// Elements of a buffer by sizes and strides. Offset and strides count elements.
#[derive(Clone, Copy, Debug)]
pub struct GpuView<'a> {
    /// The memory.
    pub buffer: &'a Buffer,
    /// The element type.
    pub dtype: DType,
    /// The first element.
    pub offset: usize,
    /// Sizes, outermost first.
    pub shape: &'a [usize],
    /// Steps between neighbours of each dim; 0 repeats one element.
    pub strides: &'a [usize],
}

impl GpuView<'_> {
    /// One past the last element of the buffer that the view touches.
    pub(super) fn end(&self) -> usize {
        if self.shape.contains(&0) {
            return 0;
        }
        self.offset + 1 + self.shape.iter().zip(self.strides).map(|(&n, &s)| (n - 1) * s).sum::<usize>()
    }

    /// The number of elements.
    pub fn numel(&self) -> usize {
        numel(self.shape)
    }

    /// True where the elements lie row by row without gaps (the strides of dims of size 1 do not count).
    pub fn is_contiguous(&self) -> bool {
        let dense = contiguous_strides(self.shape);
        self.numel() == 0 || (0..self.shape.len()).all(|d| self.shape[d] == 1 || self.strides[d] == dense[d])
    }
}
