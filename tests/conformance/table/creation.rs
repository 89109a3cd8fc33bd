//! Creation functions.

use super::rows;
use crate::call::{Call, Stop};
use wgtorch::{Scalar, Tensor};

fn arange(c: &Call) -> Result<Tensor, Stop> {
    // one positional argument is the end
    let (start, end) = match (c.get("start").is_some(), c.get("end").is_some()) {
        (true, false) => (Scalar::Int(0), c.scalar("start")?),
        _ => (c.opt_scalar("start")?.unwrap_or(Scalar::Int(0)), c.scalar("end")?),
    };
    Ok(wgtorch::try_arange(start, end, c.opt_scalar("step")?.unwrap_or(Scalar::Int(1)), c.options()?)?)
}

fn periodic(c: &Call) -> Result<bool, Stop> {
    c.flag("periodic", true)
}

rows! {
    "zeros" "size dtype" |c| wgtorch::zeros(c.sizes("size")?, c.options()?);
    "ones" "size dtype" |c| wgtorch::ones(c.sizes("size")?, c.options()?);
    "empty" "size dtype" |c| wgtorch::empty(c.sizes("size")?, c.options()?);
    "full" "size fill_value dtype" |c| wgtorch::full(c.sizes("size")?, c.scalar("fill_value")?, c.options()?);
    "arange" "start end step dtype" |c| arange(c)?;
    "scalar_tensor" "s dtype" |c| wgtorch::scalar_tensor(c.scalar("s")?, c.options()?);
    "hann_window" "window_length periodic dtype" |c| wgtorch::hann_window(c.size("window_length")?, periodic(c)?, c.options()?);
    "hamming_window" "window_length periodic alpha beta dtype" |c| {
        let (alpha, beta) = (c.float_or("alpha", 0.54)?, c.float_or("beta", 0.46)?);
        wgtorch::hamming_window_with(c.size("window_length")?, periodic(c)?, alpha, beta, c.options()?)
    };
    "bartlett_window" "window_length periodic dtype" |c| {
        wgtorch::bartlett_window(c.size("window_length")?, periodic(c)?, c.options()?)
    };
    "blackman_window" "window_length periodic dtype" |c| {
        wgtorch::blackman_window(c.size("window_length")?, periodic(c)?, c.options()?)
    };
    "kaiser_window" "window_length periodic beta dtype" |c| {
        wgtorch::kaiser_window(c.size("window_length")?, periodic(c)?, c.float_or("beta", 12.0)?, c.options()?)
    };
    "linalg.vander" "x N" |c| wgtorch::linalg::try_vander(c.tensor("x")?, c.opt_int("N")?.map(|n| n as usize))?;
    "complex" "real imag" |c| wgtorch::try_complex(c.tensor("real")?, c.tensor("imag")?)?;
    "polar" "abs angle" |c| wgtorch::try_polar(c.tensor("abs")?, c.tensor("angle")?)?;
    "zeros_like" "input dtype" |c| wgtorch::zeros_like(c.tensor("input")?, c.options()?);
    "ones_like" "input dtype" |c| wgtorch::ones_like(c.tensor("input")?, c.options()?);
    "empty_like" "input dtype" |c| wgtorch::empty_like(c.tensor("input")?, c.options()?);
    "rand_like" "input dtype" |c| wgtorch::rand_like(c.tensor("input")?, c.options()?);
    "randn_like" "input dtype" |c| wgtorch::randn_like(c.tensor("input")?, c.options()?);
    "full_like" "input fill_value dtype" |c| wgtorch::full_like(c.tensor("input")?, c.scalar("fill_value")?, c.options()?);
    "new_zeros" "input size dtype" |c| c.tensor("input")?.new_zeros(c.sizes("size")?, c.options()?);
    "new_ones" "input size dtype" |c| c.tensor("input")?.new_ones(c.sizes("size")?, c.options()?);
    "new_empty" "input size dtype" |c| c.tensor("input")?.new_empty(c.sizes("size")?, c.options()?);
    "new_full" "input size fill_value dtype" |c| {
        c.tensor("input")?.new_full(c.sizes("size")?, c.scalar("fill_value")?, c.options()?)
    };
}
