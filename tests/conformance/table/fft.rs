//! Fourier transforms.

use super::rows;
use crate::call::{Call, Stop};
use wgtorch::fft::{FftNorm, FftOptions, FftnOptions};
use wgtorch::{IstftOptions, SignalPad, StftOptions};

fn norm(c: &Call) -> Result<FftNorm, Stop> {
    Ok(match c.string("norm")? {
        None | Some("backward") => FftNorm::Backward,
        Some("forward") => FftNorm::Forward,
        Some("ortho") => FftNorm::Ortho,
        Some(other) => return Err(Stop::Untyped(format!("norm: no such name: {other}"))),
    })
}

fn one(c: &Call) -> Result<FftOptions, Stop> {
    let n = c.opt_int("n")?.map(|_| c.size("n")).transpose()?;
    Ok(FftOptions::new().n(n).dim(c.int_or("dim", -1)?).norm(norm(c)?))
}

fn many(c: &Call) -> Result<FftnOptions, Stop> {
    let mut o = FftnOptions::new().norm(norm(c)?);
    (o.s, o.dim) = (c.opt_ints("s")?, c.opt_ints("dim")?);
    Ok(o)
}

fn stft(c: &Call) -> Result<StftOptions, Stop> {
    let mut o = StftOptions::new().center(c.flag("center", true)?).normalized(c.flag("normalized", false)?);
    o.return_complex = c.flag("return_complex", false)?;
    o.hop_length = c.opt_int("hop_length")?.map(|_| c.size("hop_length")).transpose()?;
    o.win_length = c.opt_int("win_length")?.map(|_| c.size("win_length")).transpose()?;
    o.window = if c.is_tensor("window") { Some(c.tensor("window")?.clone()) } else { None };
    o.onesided = if c.get("onesided").is_some() { Some(c.flag("onesided", true)?) } else { None };
    o.pad_mode = match c.string("pad_mode")? {
        None | Some("reflect") => SignalPad::Reflect,
        Some("constant") => SignalPad::Constant,
        Some("replicate") => SignalPad::Replicate,
        Some("circular") => SignalPad::Circular,
        Some(other) => return Err(Stop::Untyped(format!("pad_mode: no such name: {other}"))),
    };
    Ok(o)
}

fn istft(c: &Call) -> Result<IstftOptions, Stop> {
    let mut o = IstftOptions::new().center(c.flag("center", true)?).normalized(c.flag("normalized", false)?);
    o.return_complex = c.flag("return_complex", false)?;
    o.hop_length = c.opt_int("hop_length")?.map(|_| c.size("hop_length")).transpose()?;
    o.win_length = c.opt_int("win_length")?.map(|_| c.size("win_length")).transpose()?;
    o.length = c.opt_int("length")?.map(|_| c.size("length")).transpose()?;
    o.window = if c.is_tensor("window") { Some(c.tensor("window")?.clone()) } else { None };
    o.onesided = if c.get("onesided").is_some() { Some(c.flag("onesided", true)?) } else { None };
    Ok(o)
}

rows! {
    "fft.fft" "input n dim norm" |c| c.x()?.fft(one(c)?)?;
    "fft.ifft" "input n dim norm" |c| c.x()?.ifft(one(c)?)?;
    "fft.rfft" "input n dim norm" |c| c.x()?.rfft(one(c)?)?;
    "fft.irfft" "input n dim norm" |c| c.x()?.irfft(one(c)?)?;
    "fft.hfft" "input n dim norm" |c| c.x()?.hfft(one(c)?)?;
    "fft.ihfft" "input n dim norm" |c| c.x()?.ihfft(one(c)?)?;
    "fft.fft2" "input s dim norm" |c| c.x()?.fft2(many(c)?)?;
    "fft.ifft2" "input s dim norm" |c| c.x()?.ifft2(many(c)?)?;
    "fft.rfft2" "input s dim norm" |c| c.x()?.rfft2(many(c)?)?;
    "fft.irfft2" "input s dim norm" |c| c.x()?.irfft2(many(c)?)?;
    "fft.hfft2" "input s dim norm" |c| c.x()?.hfft2(many(c)?)?;
    "fft.ihfft2" "input s dim norm" |c| c.x()?.ihfft2(many(c)?)?;
    "fft.fftn" "input s dim norm" |c| c.x()?.fftn(many(c)?)?;
    "fft.ifftn" "input s dim norm" |c| c.x()?.ifftn(many(c)?)?;
    "fft.rfftn" "input s dim norm" |c| c.x()?.rfftn(many(c)?)?;
    "fft.irfftn" "input s dim norm" |c| c.x()?.irfftn(many(c)?)?;
    "fft.hfftn" "input s dim norm" |c| c.x()?.hfftn(many(c)?)?;
    "fft.ihfftn" "input s dim norm" |c| c.x()?.ihfftn(many(c)?)?;
    "fft.fftshift" "input dim" |c| c.x()?.fftshift(c.opt_ints("dim")?.unwrap_or_default())?;
    "fft.ifftshift" "input dim" |c| c.x()?.ifftshift(c.opt_ints("dim")?.unwrap_or_default())?;
    "fft.fftfreq" "n d dtype" |c| wgtorch::fft::fftfreq(c.size("n")?, c.float_or("d", 1.0)?, c.options()?);
    "fft.rfftfreq" "n d dtype" |c| wgtorch::fft::rfftfreq(c.size("n")?, c.float_or("d", 1.0)?, c.options()?);
    "stft" "input n_fft hop_length win_length window center pad_mode normalized onesided return_complex" |c| {
        c.x()?.stft(c.size("n_fft")?, stft(c)?)?
    };
    "istft" "input n_fft hop_length win_length window center normalized onesided length return_complex" |c| {
        c.x()?.istft(c.size("n_fft")?, istft(c)?)?
    };
}
