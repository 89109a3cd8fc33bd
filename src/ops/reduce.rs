//! Reductions.

use crate::error::ensure;
use crate::tensor::{Tensor, methods};

methods! {
    /// Sums dims so that the result has a shape that the tensor's was broadcast from (`tensor.sum_to_size`).
    fn sum_to_size(&self, shape: &[usize]) -> Tensor {
        ensure!(self.shape()[..] == *shape, NotImplemented, "sum_to_size: reductions are not there yet");
        Ok(self.0.clone())
    }
}
