//! Datasets and the loader that makes batches of them.

mod loader;
mod mnist;

pub use loader::{Batches, DataLoader};
pub use mnist::MNIST;

use crate::error::{Result, ensure};
use crate::tensor::{Tensor, unwrap};

/// Samples by index, and how several become a batch.
pub trait Dataset: Send + Sync {
    /// What a batch is: mostly a tuple of tensors with a leading batch dim.
    type Batch: Send + 'static;

    /// Number of samples.
    fn len(&self) -> usize;

    /// True where there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The samples of these indices as one batch, in their order.
    fn batch(&self, indices: &[usize]) -> Self::Batch;
}

/// Pairs of rows of two tensors of equal length (`torch.utils.data.TensorDataset`).
#[derive(Clone, Debug)]
pub struct TensorDataset {
    inputs: Tensor,
    targets: Tensor,
}

impl TensorDataset {
    /// Over inputs and targets.
    ///
    /// # Panics
    /// If their first dims differ.
    #[track_caller]
    pub fn new(inputs: Tensor, targets: Tensor) -> TensorDataset {
        let check = || -> Result<()> {
            ensure!(inputs.dim() > 0 && targets.dim() > 0, Value, "TensorDataset takes tensors of at least one dim");
            ensure!(inputs.shape()[0] == targets.shape()[0], Value, "Size mismatch between tensors");
            Ok(())
        };
        unwrap(check());
        TensorDataset { inputs, targets }
    }
}

impl Dataset for TensorDataset {
    type Batch = (Tensor, Tensor);

    fn len(&self) -> usize {
        self.inputs.shape()[0]
    }

    fn batch(&self, indices: &[usize]) -> (Tensor, Tensor) {
        let index: Vec<i64> = indices.iter().map(|&i| i as i64).collect();
        // as many elements as its only size says
        let index = unwrap(Tensor::from_vec(index, [indices.len()], ()));
        let rows = |t: &Tensor| t.detach().index_select(0, &unwrap(index.checked().to(t.device())));
        (rows(&self.inputs), rows(&self.targets))
    }
}
