//! Convolution of integers, which has no kernel: a matrix product for each tap of the window, summed exactly.

use crate::cpu::conv::ConvSpec;
use crate::error::Result;
use crate::scalar::Scalar;
use crate::tensor::Tensor;
use crate::tensor::no_grad;

/// Checked operands, batched input.
pub(super) fn conv2d(x: &Tensor, w: &Tensor, bias: Option<&Tensor>, spec: ConvSpec) -> Result<Tensor> {
    no_grad(|| {
        let (xs, ws) = (x.shape(), w.shape());
        let [ph, pw] = spec.padding;
        let zeros = |sizes: &[usize]| Tensor::constant(Scalar::Int(0), sizes, x.dtype(), x.device());
        let padded = zeros(&[xs[0], xs[1], xs[2] + 2 * ph, xs[3] + 2 * pw]);
        let inner = padded.checked().narrow(2, ph as isize, xs[2])?;
        inner.checked().narrow(3, pw as isize, xs[3])?.checked().copy_(x)?;
        let size = |d: usize| {
            let window = spec.dilation[d] * (ws[2 + d].max(1) - 1) + 1;
            (xs[2 + d] + 2 * spec.padding[d] - window) / spec.stride[d] + 1
        };
        let (rows, cols) = (size(0), size(1));
        let out = zeros(&[xs[0], ws[0], rows, cols]);
        let outputs = ws[0] / spec.groups;
        for group in 0..spec.groups {
            let source = padded.checked().narrow(1, (group * ws[1]) as isize, ws[1])?;
            let weight = w.checked().narrow(0, (group * outputs) as isize, outputs)?;
            // [N, O, rows, cols] as a batch of products over rows of the images
            let target = out.checked().narrow(1, (group * outputs) as isize, outputs)?.checked().transpose(1, 2)?;
            for i in 0..ws[2] {
                for j in 0..ws[3] {
                    let span = |at: usize, n: usize, step: usize| {
                        (Some(at as isize), Some((at + (n - 1) * step + 1) as isize), step)
                    };
                    let (a, b, s) = span(i * spec.dilation[0], rows, spec.stride[0]);
                    let taken = source.checked().slice(2, a, b, s)?;
                    let (a, b, s) = span(j * spec.dilation[1], cols, spec.stride[1]);
                    let taken = taken.checked().slice(3, a, b, s)?.checked().transpose(1, 2)?;
                    let tap = weight.checked().select(3, j as isize)?.checked().select(2, i as isize)?;
                    target.checked().add_(&tap.checked().matmul(&taken)?)?;
                }
            }
        }
        match bias {
            Some(b) => out.checked().add(&b.checked().view([1, -1, 1, 1])?),
            None => Ok(out),
        }
    })
}
