//! Printing tensors as PyTorch prints them: fetches only the elements that are shown.

use super::Tensor;
use crate::device::Device;
use crate::dtype::Category;
use crate::error::Result;
use crate::format::{self, Values};
use num_complex::Complex;
use std::fmt;

impl Tensor {
    /// The text that `Display` writes.
    ///
    /// # Errors
    /// What went wrong on the device since the last wait.
    pub fn to_text(&self) -> Result<String> {
        let (shape, dtype, device) = (self.shape(), self.dtype(), self.device());
        let mut suffixes = Vec::new();
        match self.grad_fn() {
            Some(node) => suffixes.push(format!("grad_fn=<{}>", node.name())),
            None if self.requires_grad() => suffixes.push("requires_grad=True".into()),
            None => {}
        }
        let host = if device == Device::Cpu { self.detach() } else { self.detach().to_device(Device::Cpu)? };
        let name = device.to_string();
        let device = device.is_gpu().then_some(&*name);
        let text = match dtype.category() {
            Category::Bool => format::tensor(Values::Bool(&host.to_vec::<bool>()?), &shape, dtype, device, &suffixes),
            Category::Int => format::tensor(Values::Int(&host.to_vec::<i64>()?), &shape, dtype, device, &suffixes),
            Category::Float => format::tensor(Values::Float(&host.to_vec::<f64>()?), &shape, dtype, device, &suffixes),
            Category::Complex => {
                let all: Vec<Complex<f64>> = host.to_vec()?;
                let (re, im): (Vec<f64>, Vec<f64>) = all.iter().map(|z| (z.re, z.im)).unzip();
                format::tensor(Values::Complex(&re, &im), &shape, dtype, device, &suffixes)
            }
        };
        Ok(if self.is_parameter() { format!("Parameter containing:\n{text}") } else { text })
    }
}

impl fmt::Display for Tensor {
    /// As PyTorch's `print(tensor)`. Waits for the device; what went wrong there is printed in the tensor's place.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to_text() {
            Ok(text) => f.write_str(&text),
            Err(e) => write!(f, "tensor(<{e}>)"),
        }
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
