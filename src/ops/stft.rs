//! Fourier transforms of overlapping windows of a signal, and signals from those (`torch.stft`, `torch.istft`).

use super::fft::{FftNorm, FftOptions};
use crate::error::{Result, bail, ensure};
use crate::tensor::{Tensor, methods};

/// How a signal goes on beyond its ends where windows are centred.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SignalPad {
    /// Mirrored at the first and the last sample.
    #[default]
    Reflect,
    /// Zeros.
    Constant,
    /// The first and the last sample.
    Replicate,
    /// From the other end.
    Circular,
}

/// Options of [`Tensor::stft`].
#[non_exhaustive]
#[derive(Clone, Debug)]
pub struct StftOptions {
    /// Samples between windows; a quarter of `n_fft` if None.
    pub hop_length: Option<usize>,
    /// Length of the window; `n_fft` if None.
    pub win_length: Option<usize>,
    /// What each stretch of the signal is multiplied by; ones if None.
    pub window: Option<Tensor>,
    /// Windows are centred on their samples, and the signal is extended at both ends.
    pub center: bool,
    /// How it is extended.
    pub pad_mode: SignalPad,
    /// Scales by `1/sqrt(n_fft)`.
    pub normalized: bool,
    /// Only the half that the rest follows from; so for real signals if None.
    pub onesided: Option<bool>,
    /// A complex result; else its parts are a last dim.
    pub return_complex: bool,
}

impl Default for StftOptions {
    fn default() -> StftOptions {
        StftOptions {
            hop_length: None,
            win_length: None,
            window: None,
            center: true,
            pad_mode: SignalPad::Reflect,
            normalized: false,
            onesided: None,
            return_complex: true,
        }
    }
}

/// Options of [`Tensor::istft`].
#[non_exhaustive]
#[derive(Clone, Debug)]
pub struct IstftOptions {
    /// Samples between windows; a quarter of `n_fft` if None.
    pub hop_length: Option<usize>,
    /// Length of the window; `n_fft` if None.
    pub win_length: Option<usize>,
    /// The window of the transform; ones if None.
    pub window: Option<Tensor>,
    /// Windows were centred.
    pub center: bool,
    /// The transform was scaled by `1/sqrt(n_fft)`.
    pub normalized: bool,
    /// Only half of each transform is given; found out from its size if None.
    pub onesided: Option<bool>,
    /// The signal's length.
    pub length: Option<usize>,
    /// A complex signal.
    pub return_complex: bool,
}

impl Default for IstftOptions {
    fn default() -> IstftOptions {
        IstftOptions {
            hop_length: None,
            win_length: None,
            window: None,
            center: true,
            normalized: false,
            onesided: None,
            length: None,
            return_complex: false,
        }
    }
}

macro_rules! setters {
    ($($t:ident { $($(#[$m:meta])* $f:ident: $v:ty = |$x:ident| $e:expr;)* })*) => {$(
        impl $t {
            /// PyTorch's defaults.
            pub fn new() -> $t { $t::default() }
            $($(#[$m])* pub fn $f(mut self, $x: $v) -> $t { self.$f = $e; self })*
        }
        impl From<()> for $t {
            fn from(_: ()) -> $t { $t::default() }
        }
    )*};
}
setters! {
    StftOptions {
        /// Samples between windows.
        hop_length: usize = |n| Some(n);
        /// Length of the window.
        win_length: usize = |n| Some(n);
        /// What each stretch of the signal is multiplied by.
        window: &Tensor = |w| Some(w.clone());
        /// Whether windows are centred on their samples.
        center: bool = |on| on;
        /// How the signal goes on beyond its ends.
        pad_mode: SignalPad = |mode| mode;
        /// Whether to scale by `1/sqrt(n_fft)`.
        normalized: bool = |on| on;
        /// Whether to give only the half that the rest follows from.
        onesided: bool = |on| Some(on);
        /// Whether the result is complex.
        return_complex: bool = |on| on;
    }
    IstftOptions {
        /// Samples between windows.
        hop_length: usize = |n| Some(n);
        /// Length of the window.
        win_length: usize = |n| Some(n);
        /// The window of the transform.
        window: &Tensor = |w| Some(w.clone());
        /// Whether windows were centred.
        center: bool = |on| on;
        /// Whether the transform was scaled.
        normalized: bool = |on| on;
        /// Whether half of each transform is given.
        onesided: bool = |on| Some(on);
        /// The signal's length.
        length: usize = |n| Some(n);
        /// Whether the signal is complex.
        return_complex: bool = |on| on;
    }
}

/// The window in the middle of `n` samples, zeros around it.
fn centred(window: Option<&Tensor>, length: usize, n: usize, like: &Tensor) -> Result<Tensor> {
    let real = like.dtype().to_real();
    let window = match window {
        Some(w) => {
            ensure!(
                w.dim() == 1 && w.numel() == length,
                Runtime,
                "expected a 1D window tensor of size equal to win_length={length}, but got window with size {:?}",
                &w.shape()[..]
            );
            w.clone()
        }
        None => Tensor::constant(1.into(), &[length], real, like.device()),
    };
    if length == n {
        return Ok(window);
    }
    let left = (n - length) / 2;
    let zeros = |k: usize| Tensor::constant(0.into(), &[k], window.dtype(), window.device());
    crate::ops::try_cat(&[&zeros(left), &window, &zeros(n - length - left)], 0)
}

/// The last dim with `by` more samples at both ends.
fn extended(x: &Tensor, by: usize, mode: SignalPad) -> Result<Tensor> {
    let (n, by) = (x.size_of(-1) as i64, by as i64);
    ensure!(n > 0 || by == 0, Runtime, "stft: expected a signal with samples, but got {:?}", &x.shape()[..]);
    if mode == SignalPad::Constant {
        let mut shape = x.shape().to_vec();
        shape[x.dim() - 1] = by as usize;
        let zeros = Tensor::constant(0.into(), &shape, x.dtype(), x.device());
        return crate::ops::try_cat(&[&zeros, x, &zeros], -1);
    }
    ensure!(
        mode == SignalPad::Replicate || by < n + (mode == SignalPad::Circular) as i64,
        Runtime,
        "Argument #4: Padding size should be less than the corresponding input dimension, but got: padding ({by}, {by}) at dimension {} of input {:?}",
        x.dim(),
        &x.shape()[..]
    );
    let source = |i: i64| match mode {
        SignalPad::Reflect if i < 0 => -i,
        SignalPad::Reflect if i >= n => 2 * (n - 1) - i,
        SignalPad::Circular => i.rem_euclid(n),
        _ => i.clamp(0, n - 1),
    };
    let at: Vec<i64> = (-by..n + by).map(source).collect();
    let count = at.len();
    x.checked().index_select(-1, &Tensor::from_vec(at, [count], x.device())?)
}

methods! {
    /// The Fourier transforms of windows of `n_fft` samples of a signal, or of a batch of signals:
    /// `[batch?, frequencies, windows]` (`torch.stft`).
    ///
    /// # Panics
    /// If the signal has other than one or two dims, the lengths do not fit, or its dtype is an integer.
    fn stft(&self, n_fft: usize, options: impl Into<StftOptions>) -> Tensor {
        let o = options.into();
        let (hop, length) = (o.hop_length.unwrap_or(n_fft / 4), o.win_length.unwrap_or(n_fft));
        ensure!(
            self.dtype().is_differentiable(),
            Runtime,
            "stft: expected a tensor of floating point or complex values, got {}",
            self.dtype().scalar_name()
        );
        ensure!(
            matches!(self.dim(), 1 | 2),
            Runtime,
            "stft: expected a 1D or 2D tensor, but got {}D tensor",
            self.dim()
        );
        let x = if self.dim() == 1 { self.unsqueeze(0)? } else { self.0.clone() };
        let x = if o.center { extended(&x, n_fft / 2, o.pad_mode)? } else { x };
        let n = x.size_of(-1);
        ensure!(n_fft > 0 && n_fft <= n, Runtime, "stft: expected 0 < n_fft <= {n}, but got n_fft={n_fft}");
        ensure!(hop > 0, Runtime, "stft: expected hop_length > 0, but got hop_length={hop}");
        ensure!(
            length > 0 && length <= n_fft,
            Runtime,
            "stft: expected 0 < win_length <= n_fft, but got win_length={length}"
        );
        let window = centred(o.window.as_ref(), length, n_fft, &x)?;
        let frames = x.checked().unfold(-1, n_fft, hop)?.checked().mul(&window)?;
        let norm = if o.normalized { FftNorm::Ortho } else { FftNorm::Backward };
        let how = FftOptions::new().norm(norm);
        let complex = frames.is_complex();
        let half = o.onesided.unwrap_or(!complex);
        ensure!(!(half && complex), Runtime, "Cannot have onesided output if window or input is complex");
        let out = if half { frames.checked().rfft(how)? } else { frames.checked().fft(how)? };
        let out = out.checked().transpose(1, 2)?;
        let out = if self.dim() == 1 { out.checked().squeeze_dim(0)? } else { out };
        if o.return_complex { Ok(out) } else { out.checked().view_as_real() }
    }

    /// The signal that [`Tensor::stft`] took apart: the windows' inverse transforms, added up and divided by the sum of the squared
    /// windows (`torch.istft`). Looks at that sum, for which it waits for the device.
    ///
    /// # Panics
    /// If the tensor is not complex, its sizes do not fit, or the windows leave samples out.
    fn istft(&self, n_fft: usize, options: impl Into<IstftOptions>) -> Tensor {
        let o = options.into();
        let (hop, length) = (o.hop_length.unwrap_or(n_fft / 4), o.win_length.unwrap_or(n_fft));
        ensure!(
            self.is_complex(),
            Runtime,
            "istft requires a complex-valued input tensor matching the output from stft with return_complex=True."
        );
        ensure!(
            matches!(self.dim(), 2 | 3) && self.numel() > 0,
            Runtime,
            "istft: expected a tensor with 2 or 3 dimensions and elements, but got {:?}",
            &self.shape()[..]
        );
        ensure!(hop > 0 && hop <= length, Runtime, "istft: expected 0 < hop_length <= win_length");
        ensure!(length > 0 && length <= n_fft, Runtime, "istft: expected 0 < win_length <= n_fft");
        let x = if self.dim() == 2 { self.unsqueeze(0)? } else { self.0.clone() };
        let (rows, count) = (x.size_of(1), x.size_of(2));
        let half = o.onesided.unwrap_or(rows != n_fft);
        let want = if half { n_fft / 2 + 1 } else { n_fft };
        ensure!(
            rows == want,
            Runtime,
            "istft: expected the frequency dimension (3rd to the last) of the input tensor to match n_fft / 2 + 1 = {want} when onesided={half}, but got {rows}"
        );
        if half && o.return_complex {
            bail!(Runtime, "Cannot have onesided output if window or input is complex");
        }
        let window = centred(o.window.as_ref(), length, n_fft, &x)?;
        let norm = if o.normalized { FftNorm::Ortho } else { FftNorm::Backward };
        let how = FftOptions::new().norm(norm).n(Some(n_fft));
        let spectra = x.checked().transpose(1, 2)?;
        let frames = match (half, o.return_complex) {
            (true, _) => spectra.checked().irfft(how)?,
            (false, true) => spectra.checked().ifft(how)?,
            (false, false) => spectra.checked().ifft(how)?.checked().real()?,
        };
        let frames = frames.checked().mul(&window)?;
        // where each sample of each window goes
        let total = n_fft + hop * (count - 1);
        let at: Vec<i64> = (0..count).flat_map(|w| (0..n_fft).map(move |i| (w * hop + i) as i64)).collect();
        let at = Tensor::from_vec(at, [count * n_fft], x.device())?;
        let batch = x.size_of(0);
        let add = |frames: &Tensor, batch: usize| -> Result<Tensor> {
            let zeros = Tensor::constant(0.into(), &[batch, total], frames.dtype(), x.device());
            zeros.checked().index_add(1, &at, &frames.checked().reshape([batch, count * n_fft])?, 1)
        };
        let signal = add(&frames, batch)?;
        let squares = window.checked().mul(&window)?.checked().expand([count, n_fft])?;
        let weight = add(&squares.checked().unsqueeze(0)?, 1)?;
        let start = if o.center { n_fft / 2 } else { 0 };
        let end = match o.length {
            Some(n) => start + n,
            None if o.center => total - n_fft / 2,
            None => total,
        };
        let there = end.min(total);
        let cut = |t: &Tensor| t.checked().narrow(1, start as isize, there.saturating_sub(start));
        let (signal, weight) = (cut(&signal)?, cut(&weight)?);
        let least = weight.detach().checked().abs()?.checked().min()?.item::<f64>()?;
        ensure!(least > 1e-11, Runtime, "window overlap add min: {least}");
        let mut out = signal.checked().div(&weight)?;
        if end > there {
            let zeros = Tensor::constant(0.into(), &[batch, end - there], out.dtype(), out.device());
            out = crate::ops::try_cat(&[&out, &zeros], 1)?;
        }
        if self.dim() == 2 { out.checked().squeeze_dim(0) } else { Ok(out) }
    }
}
