//! MNIST digits, as LeNet takes them.

use super::Dataset;
use crate::error::{Error, Result};
use crate::io::idx::{Digits, read_mnist};
use crate::tensor::{Tensor, unwrap};
use std::path::Path;

/// MNIST's mean and standard deviation of pixels in [0, 1].
const MEAN: f32 = 0.1307;
const STD: f32 = 0.3081;

/// Handwritten digits from the four IDX files (`torchvision.datasets.MNIST`): pixels from 0 to 1, normalised, and padded with
/// zeros after that.
#[derive(Clone, Debug)]
pub struct MNIST {
    digits: Digits,
    padding: usize,
    /// What each byte becomes.
    normal: Vec<f32>,
}

impl MNIST {
    /// The training or the test digits of a folder.
    ///
    /// # Errors
    /// If a file is missing, damaged, or its labels are no digits.
    pub fn new(folder: impl AsRef<Path>, train: bool) -> Result<MNIST> {
        let digits = read_mnist(&folder, train)?;
        if let Some(bad) = digits.labels.data.iter().find(|&&l| l > 9) {
            return Err(Error::format(folder.as_ref().display().to_string(), format!("{bad} is no digit's label")));
        }
        let normal = (0..=255u8).map(|b| (f32::from(b) / 255.0 - MEAN) / STD).collect();
        Ok(MNIST { digits, padding: 0, normal })
    }

    /// With zeros on all four sides: 2 make 28 x 28 pixels 32 x 32.
    #[must_use]
    pub fn padding(mut self, padding: usize) -> MNIST {
        self.padding = padding;
        self
    }

    /// The bytes as they were read.
    pub fn digits(&self) -> &Digits {
        &self.digits
    }
}

impl Dataset for MNIST {
    /// Images `[N, 1, rows, columns]` of float32 and labels `[N]` of int64, on the CPU.
    type Batch = (Tensor, Tensor);

    fn len(&self) -> usize {
        self.digits.labels.data.len()
    }

    fn batch(&self, indices: &[usize]) -> (Tensor, Tensor) {
        let (rows, cols, p) = (self.digits.images.shape[1], self.digits.images.shape[2], self.padding);
        let (height, width) = (rows + 2 * p, cols + 2 * p);
        let mut images = vec![0f32; indices.len() * height * width];
        for (n, &i) in indices.iter().enumerate() {
            let source = &self.digits.images.data[i * rows * cols..(i + 1) * rows * cols];
            for (y, row) in source.chunks_exact(cols.max(1)).enumerate() {
                let at = (n * height + y + p) * width + p;
                for (to, &byte) in images[at..at + cols].iter_mut().zip(row) {
                    *to = self.normal[byte as usize];
                }
            }
        }
        let labels: Vec<i64> = indices.iter().map(|&i| i64::from(self.digits.labels.data[i])).collect();
        // both have as many elements as their sizes say
        (
            unwrap(Tensor::from_vec(images, [indices.len(), 1, height, width], ())),
            unwrap(Tensor::from_vec(labels, [indices.len()], ())),
        )
    }
}
