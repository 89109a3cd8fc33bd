//! Indices drawn by their weights.

use super::{empty, rand, search::SearchOptions, sort::TopkOptions};
use crate::dtype::DType;
use crate::error::{Result, ensure};
use crate::tensor::{Tensor, TensorOptions, methods, to_dtype};

fn multinomial(t: &Tensor, n: usize, replacement: bool) -> Result<Tensor> {
    ensure!(
        t.dtype().is_float(),
        Runtime,
        "multinomial only supports floating-point dtypes for input, got: {}",
        t.dtype().scalar_name()
    );
    ensure!(matches!(t.dim(), 1 | 2), Runtime, "prob_dist must be 1 or 2 dim");
    ensure!(n > 0, Runtime, "cannot sample n_sample <= 0 samples");
    let size = t.size_of(-1);
    ensure!(
        replacement || n <= size,
        Runtime,
        "cannot sample n_sample > prob_dist.size(-1) samples without replacement"
    );
    let p = to_dtype(&t.detach(), DType::F64);
    let fine = p.checked().ge(0)?.checked().logical_and(&p.checked().isfinite()?)?.checked().all()?;
    ensure!(fine.item::<bool>()?, Runtime, "probability tensor contains either `inf`, `nan` or element < 0");
    let sums = p.checked().cumsum(-1, ())?;
    let total = sums.checked().narrow(-1, size as isize - 1, 1)?;
    ensure!(
        total.checked().gt(0)?.checked().all()?.item::<bool>()?,
        Runtime,
        "invalid multinomial distribution (sum of probabilities <= 0)"
    );
    let options = TensorOptions::new().dtype(DType::F64).device(t.device());
    if replacement {
        let mut shape = t.shape().to_vec();
        shape[t.dim() - 1] = n;
        let places = sums
            .checked()
            .div(&total)?
            .checked()
            .searchsorted(&rand(shape, options), SearchOptions::new().right(true))?;
        // rounding may leave the last sum below 1
        return places.checked().clamp_max(size as i64 - 1);
    }
    // the order of weights over exponential numbers is that of drawing one after another
    let noise = empty(t.shape(), options).checked().exponential_(1.0)?.checked().clamp_min(f64::MIN_POSITIVE)?;
    Ok(p.checked().div(&noise)?.checked().topk(n, TopkOptions::new())?.1)
}

methods! {
    /// `num_samples` indices of the last dim drawn by their weights, for each row (`torch.multinomial`). Waits for the device, since
    /// weights that are no probabilities are refused.
    ///
    /// # Panics
    /// If weights are negative, not finite or all zero, or there are fewer than samples without replacement.
    ///
    /// ```
    /// # use wgtorch::prelude::*;
    /// let mut all = tensor!([0.1, 0.2, 0.7]).multinomial(3, false).to_vec::<i64>()?;
    /// all.sort();
    /// assert_eq!(all, [0, 1, 2]);
    /// # Ok::<(), Error>(())
    /// ```
    fn multinomial(&self, num_samples: usize, replacement: bool) -> Tensor { multinomial(self.0, num_samples, replacement) }
}
