//! Batches in order or shuffled, made ahead of time by a thread.

use super::Dataset;
use crate::rng;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

/// Batches that the thread may be ahead.
const AHEAD: usize = 2;

/// Goes through a dataset in batches (`torch.utils.data.DataLoader`): `for (x, y) in &loader`.
///
/// Each pass draws its order from the default CPU generator exactly as PyTorch does, so that a seeded run sees the same batches.
///
/// ```
/// # use wgtorch::prelude::*;
/// let data = TensorDataset::new(arange(10., ()).view([10, 1]), arange(10, ()));
/// let loader = DataLoader::new(data, 4);
/// let sizes: Vec<usize> = loader.iter().map(|(x, _)| x.shape()[0]).collect();
/// assert_eq!(sizes, [4, 4, 2]);
/// ```
#[derive(Debug)]
pub struct DataLoader<D> {
    dataset: Arc<D>,
    batch_size: usize,
    shuffle: bool,
    drop_last: bool,
    prefetch: bool,
}

impl<D: Dataset + 'static> DataLoader<D> {
    /// In order, the last batch as large as what is left, prefetched.
    ///
    /// # Panics
    /// If the batch size is 0.
    #[track_caller]
    pub fn new(dataset: D, batch_size: usize) -> DataLoader<D> {
        assert!(batch_size > 0, "batch_size should be a positive integer value, but got batch_size=0");
        DataLoader { dataset: Arc::new(dataset), batch_size, shuffle: false, drop_last: false, prefetch: true }
    }

    /// In another order on each pass.
    #[must_use]
    pub fn shuffle(mut self, on: bool) -> Self {
        self.shuffle = on;
        self
    }

    /// Without a last batch that is smaller than the others.
    #[must_use]
    pub fn drop_last(mut self, on: bool) -> Self {
        self.drop_last = on;
        self
    }

    /// With or without a thread that works ahead.
    #[must_use]
    pub fn prefetch(mut self, on: bool) -> Self {
        self.prefetch = on;
        self
    }

    /// The dataset.
    pub fn dataset(&self) -> &D {
        &self.dataset
    }

    /// Number of batches in a pass.
    pub fn len(&self) -> usize {
        let n = self.dataset.len();
        if self.drop_last { n / self.batch_size } else { n.div_ceil(self.batch_size) }
    }

    /// True where a pass has no batch.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One pass.
    pub fn iter(&self) -> Batches<D> {
        let n = self.dataset.len();
        let mut generator = rng::default_cpu().lock();
        let mut order = if self.shuffle {
            rng::shuffled_indices(&mut generator, n)
        } else {
            // PyTorch's iterator draws a seed for its workers in any case
            generator.random_full(&mut [0], crate::DType::I64);
            (0..n).collect()
        };
        drop(generator);
        order.truncate(if self.drop_last { self.len() * self.batch_size } else { n });
        let left = self.len();
        let (dataset, size) = (self.dataset.clone(), self.batch_size);
        if !self.prefetch {
            return Batches { source: Source::Here { dataset, order, size, at: 0 }, left };
        }
        let (send, receive) = sync_channel(AHEAD);
        let work = move || {
            for indices in order.chunks(size) {
                // the other end is gone where the loop was left early
                if send.send(dataset.batch(indices)).is_err() {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("wgtorch-loader".into()).spawn(work);
        match thread {
            Ok(thread) => Batches { source: Source::Thread { receive: Some(receive), thread: Some(thread) }, left },
            Err(e) => panic!("the loader's thread could not be started: {e}"),
        }
    }
}

impl<D: Dataset + 'static> IntoIterator for &DataLoader<D> {
    type Item = D::Batch;
    type IntoIter = Batches<D>;
    fn into_iter(self) -> Batches<D> {
        self.iter()
    }
}

enum Source<D: Dataset> {
    Thread { receive: Option<Receiver<D::Batch>>, thread: Option<JoinHandle<()>> },
    Here { dataset: Arc<D>, order: Vec<usize>, size: usize, at: usize },
}

/// The batches of one pass.
pub struct Batches<D: Dataset> {
    source: Source<D>,
    left: usize,
}

impl<D: Dataset> Iterator for Batches<D> {
    type Item = D::Batch;

    fn next(&mut self) -> Option<D::Batch> {
        let next = match &mut self.source {
            Source::Here { dataset, order, size, at } => {
                let end = (*at + *size).min(order.len());
                let batch = (*at < end).then(|| dataset.batch(&order[*at..end]));
                *at = end;
                batch
            }
            Source::Thread { receive, thread } => match receive.as_ref().and_then(|r| r.recv().ok()) {
                Some(batch) => Some(batch),
                None => {
                    *receive = None;
                    // a dataset that panicked does so here
                    if let Some(Err(panic)) = thread.take().map(JoinHandle::join) {
                        std::panic::resume_unwind(panic);
                    }
                    None
                }
            },
        };
        self.left = self.left.saturating_sub(next.is_some() as usize);
        next
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<D: Dataset> ExactSizeIterator for Batches<D> {}

impl<D: Dataset> Drop for Batches<D> {
    fn drop(&mut self) {
        if let Source::Thread { receive, thread } = &mut self.source {
            // the thread's next send fails, and it ends
            *receive = None;
            if let Some(t) = thread.take() {
                let _ = t.join();
            }
        }
    }
}

impl<D: Dataset> std::fmt::Debug for Batches<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Batches({} left)", self.left)
    }
}
