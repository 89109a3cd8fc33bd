//! Window functions of signal processing.

use crate::dtype::DType;
use crate::error::{Result, ensure};
use crate::tensor::{Tensor, TensorOptions, unwrap};
use std::f64::consts::PI;

/// `f` at equal distances from 0 to 1: of `n` positions where the window repeats, else with the last one at 1.
fn window(n: usize, periodic: bool, options: TensorOptions, f: impl Fn(f64) -> f64) -> Result<Tensor> {
    let dtype = options.dtype.unwrap_or(DType::F32);
    ensure!(dtype.is_float(), Runtime, "window function expects floating point dtypes, got: torch.{}", dtype.name());
    let last = if periodic { n } else { n.saturating_sub(1) } as f64;
    let v: Vec<f64> = if n == 1 { vec![1.0] } else { (0..n).map(|i| f(i as f64 / last)).collect() };
    Tensor::from_vec(v, [n], TensorOptions { dtype: Some(dtype), ..options })
}

/// `alpha - beta cos(2 pi t)`.
fn raised_cosine(alpha: f64, beta: f64) -> impl Fn(f64) -> f64 {
    move |t| alpha - beta * (2.0 * PI * t).cos()
}

/// The modified Bessel function of order 0 by its power series, whose terms are all positive.
fn bessel_i0(x: f64) -> f64 {
    let quarter = x * x / 4.0;
    let (mut sum, mut term, mut k) = (1.0, 1.0, 1.0);
    while term > sum * 1e-17 {
        term *= quarter / (k * k);
        sum += term;
        k += 1.0;
    }
    sum
}

macro_rules! windows {
    ($($(#[$m:meta])* $name:ident ($($arg:ident),*) $f:expr;)*) => {$(
        $(#[$m])*
        /// It repeats after `window_length` where `periodic`, else it is symmetric. The dtype is a float, float32 by default.
        ///
        /// # Panics
        /// If the dtype is no float, or the device cannot be opened.
        #[track_caller]
        pub fn $name(window_length: usize, periodic: bool, $($arg: f64,)* options: impl Into<TensorOptions>) -> Tensor {
            unwrap(window(window_length, periodic, options.into(), $f))
        }
    )*};
}

windows! {
    /// Hann's window, one period of a raised cosine (`torch.hann_window`).
    hann_window () raised_cosine(0.5, 0.5);
    /// Hamming's window, a cosine that does not come down to zero (`torch.hamming_window`).
    hamming_window () raised_cosine(0.54, 0.46);
    /// [`hamming_window`] with its numbers: `alpha - beta cos(2 pi t)` (`torch.hamming_window(alpha=…, beta=…)`).
    hamming_window_with (alpha, beta) raised_cosine(alpha, beta);
    /// Bartlett's window, a triangle (`torch.bartlett_window`).
    bartlett_window () |t: f64| 1.0 - (2.0 * t - 1.0).abs();
    /// Blackman's window, two cosines (`torch.blackman_window`).
    blackman_window () |t: f64| 0.42 - 0.5 * (2.0 * PI * t).cos() + 0.08 * (4.0 * PI * t).cos();
    /// Kaiser's window of shape `beta`, 12 in PyTorch's default (`torch.kaiser_window`).
    kaiser_window (beta) move |t: f64| {
        let x = 2.0 * t - 1.0;
        bessel_i0(beta * (1.0 - x * x).max(0.0).sqrt()) / bessel_i0(beta)
    };
}
