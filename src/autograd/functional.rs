//! Derivatives of functions as tensors: Jacobians, Hessians and products with them (`torch.autograd.functional`).

use super::{GradOptions, grad};
use crate::error::{Result, ensure};
use crate::ops::{ones_like, stack, zeros_like};
use crate::tensor::Tensor;

/// The inputs as leaves of their own, or as views where the result is to be differentiated again.
fn leaves(inputs: &[&Tensor], again: bool) -> Result<Vec<Tensor>> {
    let leaf = |t: &&Tensor| match again && t.requires_grad() {
        true => t.checked().view_as(t),
        false => t.detach().checked().requires_grad_(true),
    };
    inputs.iter().map(leaf).collect()
}

/// Gradients with zeros where an input plays no part.
fn gradients(output: &Tensor, inputs: &[Tensor], by: Option<&Tensor>, again: bool) -> Result<Vec<Tensor>> {
    if !output.requires_grad() {
        return Ok(inputs.iter().map(|t| zeros_like(t, ())).collect());
    }
    let options = GradOptions::new().retain_graph(true).create_graph(again).allow_unused(true).materialize_grads(true);
    let inputs: Vec<&Tensor> = inputs.iter().collect();
    let grads = grad(&[output], &inputs, &[by], options)?;
    Ok(grads.into_iter().zip(inputs).map(|(g, t)| g.unwrap_or_else(|| zeros_like(t, ()))).collect())
}

fn rows(f: impl Fn(&[Tensor]) -> Tensor, inputs: &[&Tensor], again: bool) -> Result<Vec<Tensor>> {
    let inputs = leaves(inputs, again)?;
    let out = f(&inputs);
    let flat = out.checked().reshape(-1)?;
    let all: Vec<Vec<Tensor>> = (0..flat.numel())
        .map(|i| gradients(&flat.checked().select(0, i as isize)?, &inputs, None, again))
        .collect::<Result<_>>()?;
    let of_input = |(i, t): (usize, &Tensor)| {
        let shape: Vec<usize> = out.shape().iter().chain(t.shape().iter()).copied().collect();
        if all.is_empty() {
            return Ok(crate::ops::zeros(&shape[..], (t.dtype(), t.device())));
        }
        let column: Vec<Tensor> = all.iter().map(|row| row[i].clone()).collect();
        stack(&column, 0).checked().reshape(&shape[..])
    };
    inputs.iter().enumerate().map(of_input).collect()
}

/// The Jacobian of a function by each of its inputs: sizes of the output, then of the input
/// (`torch.autograd.functional.jacobian`).
///
/// # Errors
/// As [`grad`].
///
/// ```
/// # use wgtorch::{autograd::functional::jacobian, prelude::*};
/// let x = tensor!([1., 2.]);
/// let j = jacobian(|x| x[0].pow(2), &[&x])?;
/// assert_eq!(j[0].to_vec::<f32>()?, [2., 0., 0., 4.]);
/// # Ok::<(), Error>(())
/// ```
pub fn jacobian(f: impl Fn(&[Tensor]) -> Tensor, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
    rows(f, inputs, false)
}

/// The Hessian of a function of one value: for each input a row of blocks, one an input
/// (`torch.autograd.functional.hessian`).
///
/// # Errors
/// If the function gives more than one element, and as [`grad`].
pub fn hessian(f: impl Fn(&[Tensor]) -> Tensor, inputs: &[&Tensor]) -> Result<Vec<Vec<Tensor>>> {
    let inputs = leaves(inputs, false)?;
    let out = f(&inputs);
    ensure!(
        out.numel() == 1,
        Runtime,
        "The function given to hessian should return a single Tensor that contains a single element"
    );
    let first = gradients(&out.checked().reshape(())?, &inputs, None, true)?;
    let block = |g: &Tensor| -> Result<Vec<Tensor>> {
        let flat = g.checked().reshape(-1)?;
        let all: Vec<Vec<Tensor>> = (0..flat.numel())
            .map(|i| gradients(&flat.checked().select(0, i as isize)?, &inputs, None, false))
            .collect::<Result<_>>()?;
        let of_input = |(i, t): (usize, &Tensor)| {
            let shape: Vec<usize> = g.shape().iter().chain(t.shape().iter()).copied().collect();
            let column: Vec<Tensor> = all.iter().map(|row| row[i].clone()).collect();
            match column.is_empty() {
                true => Ok(crate::ops::zeros(&shape[..], (t.dtype(), t.device()))),
                false => stack(&column, 0).checked().reshape(&shape[..]),
            }
        };
        inputs.iter().enumerate().map(of_input).collect()
    };
    first.iter().map(block).collect()
}

/// A function's value, and the product of a vector in the output's form with its Jacobian
/// (`torch.autograd.functional.vjp`).
///
/// # Errors
/// If the vector has another shape, and as [`grad`].
pub fn vjp(f: impl Fn(&[Tensor]) -> Tensor, inputs: &[&Tensor], v: &Tensor) -> Result<(Tensor, Vec<Tensor>)> {
    let inputs = leaves(inputs, false)?;
    let out = f(&inputs);
    ensure!(out.shape() == v.shape(), Runtime, "v has invalid size: should be {} but got {}.", out.shape(), v.shape());
    let grads = gradients(&out, &inputs, Some(v), false)?;
    Ok((out.detach(), grads))
}

/// A function's value, and the product of its Jacobian with vectors in the inputs' forms
/// (`torch.autograd.functional.jvp`), by two backward passes.
///
/// # Errors
/// If a vector has another shape, and as [`grad`].
pub fn jvp(f: impl Fn(&[Tensor]) -> Tensor, inputs: &[&Tensor], v: &[&Tensor]) -> Result<(Tensor, Tensor)> {
    ensure!(
        inputs.len() == v.len(),
        Runtime,
        "v is a tuple of invalid length: should be {} but got {}.",
        inputs.len(),
        v.len()
    );
    for (i, (t, v)) in inputs.iter().zip(v).enumerate() {
        ensure!(
            t.shape() == v.shape(),
            Runtime,
            "Entry {i} in v has invalid size: should be {} but got {}.",
            t.shape(),
            v.shape()
        );
    }
    let inputs = leaves(inputs, false)?;
    let out = f(&inputs);
    let u = ones_like(&out, ()).checked().requires_grad_(true)?;
    let products = gradients(&out, &inputs, Some(&u), true)?;
    let mut sum = zeros_like(&out, ());
    for (p, v) in products.iter().zip(v) {
        sum += &gradients(p, std::slice::from_ref(&u), Some(v), false)?[0];
    }
    Ok((out.detach(), sum))
}
