//! Sums of products written as an equation of subscripts (`torch.einsum`), by diagonals, permutations and matrix products.

use super::cat::TensorList;
use crate::error::{Result, bail, ensure};
use crate::tensor::{Tensor, unwrap};

/// Labels: 0 to 25 are `A` to `Z`, 26 to 51 `a` to `z`; from here on the dims of the ellipsis.
const ELLIPSIS: usize = 52;

fn label(c: char, at: usize) -> Result<usize> {
    match c {
        'A'..='Z' => Ok(c as usize - 'A' as usize),
        'a'..='z' => Ok(c as usize - 'a' as usize + 26),
        _ => bail!(
            Runtime,
            "einsum(): invalid subscript given at index {at} in the equation string, subscripts must be in [a-zA-Z]"
        ),
    }
}

fn letter(label: usize) -> char {
    match label {
        0..26 => (b'A' + label as u8) as char,
        26..52 => (b'a' + (label - 26) as u8) as char,
        _ => '.',
    }
}

/// Subscripts of each operand, and those of the output if they are given.
struct Equation {
    inputs: Vec<Vec<usize>>,
    output: Option<Vec<usize>>,
}

fn parse(equation: &str, operands: usize) -> Result<Equation> {
    let chars: Vec<char> = equation.chars().collect();
    let mut inputs = vec![Vec::new()];
    let mut at = 0;
    let dots = |at: usize| chars[at..].starts_with(&['.', '.', '.']);
    while at < chars.len() && !chars[at..].starts_with(&['-', '>']) {
        let i = inputs.len() - 1;
        match chars[at] {
            ' ' => {}
            '.' => {
                ensure!(
                    !inputs[i].contains(&ELLIPSIS),
                    Runtime,
                    "einsum(): found '.' for operand {i} for which an ellipsis was already found"
                );
                ensure!(dots(at), Runtime, "einsum(): found '.' for operand {i} that is not part of any ellipsis");
                inputs[i].push(ELLIPSIS);
                at += 2;
            }
            ',' => {
                ensure!(
                    inputs.len() < operands,
                    Runtime,
                    "einsum(): fewer operands were provided than specified in the equation"
                );
                inputs.push(Vec::new());
            }
            c => inputs[i].push(label(c, at)?),
        }
        at += 1;
    }
    ensure!(inputs.len() == operands, Runtime, "einsum(): more operands were provided than specified in the equation");
    if at >= chars.len() {
        return Ok(Equation { inputs, output: None });
    }
    let mut output = Vec::new();
    at += 2;
    while at < chars.len() {
        match chars[at] {
            ' ' => {}
            '.' => {
                ensure!(
                    !output.contains(&ELLIPSIS),
                    Runtime,
                    "einsum(): found '.' for output but an ellipsis (...) was already found"
                );
                ensure!(dots(at), Runtime, "einsum(): found '.' for output that is not part of any ellipsis (...)");
                output.push(ELLIPSIS);
                at += 2;
            }
            c => {
                let l = label(c, at)?;
                ensure!(
                    !output.contains(&l),
                    Runtime,
                    "einsum(): output subscript {c} appears more than once in the output"
                );
                ensure!(
                    inputs.iter().any(|i| i.contains(&l)),
                    Runtime,
                    "einsum(): output subscript {c} does not appear in the equation for any input operand"
                );
                output.push(l);
            }
        }
        at += 1;
    }
    Ok(Equation { inputs, output: Some(output) })
}

/// An operand with one dim for each label of the equation, in their order; of size 1 where it lacks the label.
fn align(t: &Tensor, subscripts: &[usize], i: usize, order: &[usize], sizes: &mut [usize]) -> Result<Tensor> {
    let mut t = t.clone();
    let mut labels: Vec<usize> = Vec::new();
    for &l in subscripts {
        let (d, size) = (labels.len(), t.shape()[labels.len()]);
        let Some(first) = labels.iter().position(|&x| x == l) else {
            labels.push(l);
            continue;
        };
        let before = t.shape()[first];
        ensure!(
            size == before,
            Runtime,
            "einsum(): subscript {} is repeated for operand {i} but the sizes don't match, {size} != {before}",
            letter(l)
        );
        t = t.checked().diagonal(0, first as isize, d as isize)?.checked().movedim(-1, first as isize)?;
    }
    for (&l, &n) in labels.iter().zip(t.shape().iter()) {
        let seen = &mut sizes[order.iter().position(|&x| x == l).unwrap_or(0)];
        ensure!(
            *seen == 1 || n == 1 || n == *seen,
            Runtime,
            "einsum(): subscript {} has size {n} for operand {i} which does not broadcast with previously seen size {}",
            letter(l),
            *seen
        );
        *seen = if n == 1 { *seen } else { n };
    }
    let dims: Vec<isize> =
        order.iter().filter_map(|l| labels.iter().position(|x| x == l)).map(|d| d as isize).collect();
    t = t.checked().permute(dims)?;
    for (d, l) in order.iter().enumerate() {
        if !labels.contains(l) {
            t = t.checked().unsqueeze(d as isize)?;
        }
    }
    Ok(t)
}

/// The product of two aligned operands, summed over some dims of both.
fn product(a: &Tensor, b: &Tensor, sum: &[usize]) -> Result<Tensor> {
    if sum.is_empty() {
        return a.checked().mul(b);
    }
    let (x, y) = (a.shape(), b.shape());
    let rest = || (0..x.len()).filter(|d| !sum.contains(d));
    let both: Vec<usize> = rest().filter(|&d| x[d] != 1 && y[d] != 1).collect();
    let right: Vec<usize> = rest().filter(|&d| x[d] == 1 && y[d] != 1).collect();
    let left: Vec<usize> = rest().filter(|&d| y[d] == 1).collect();
    let size = |dims: &[usize], s: &[usize]| dims.iter().map(|&d| s[d]).product::<usize>();
    let order = |parts: [&[usize]; 4]| parts.concat().iter().map(|&d| d as isize).collect::<Vec<_>>();
    let (batch, inner) = (size(&both, &x), size(sum, &x));
    let l = a.checked().permute(order([&both, &left, sum, &right]))?;
    let l = l.checked().reshape([batch, size(&left, &x), inner])?;
    let r = b.checked().permute(order([&both, sum, &right, &left]))?;
    let r = r.checked().reshape([batch, inner, size(&right, &y)])?;
    let out_order = [&both[..], &left, sum, &right].concat();
    let of = |d: &usize| match d {
        d if sum.contains(d) => 1,
        d if right.contains(d) => y[*d],
        d => x[*d],
    };
    let shape: Vec<usize> = out_order.iter().map(of).collect();
    let back: Vec<isize> =
        (0..x.len()).filter_map(|d| out_order.iter().position(|&o| o == d)).map(|p| p as isize).collect();
    l.checked().bmm(&r)?.checked().reshape(&shape)?.checked().permute(back)
}

/// The sum of products that an equation names (`torch.einsum`): `einsum("ij,jk->ik", &[&a, &b])`. Without `->` the output has
/// the subscripts that occur once, in alphabetic order.
///
/// # Panics
/// If the equation is not one, or does not fit the operands.
///
/// ```
/// # use wgtorch::{einsum, prelude::*};
/// let x = arange(6., ()).view([2, 3]);
/// assert_eq!(einsum("ij->j", &[&x]).to_vec::<f32>()?, [3., 5., 7.]);
/// # Ok::<(), Error>(())
/// ```
#[track_caller]
pub fn einsum(equation: &str, operands: &(impl TensorList + ?Sized)) -> Tensor {
    unwrap(try_einsum(equation, operands))
}

/// [`einsum`] with its errors as values.
///
/// # Errors
/// If the equation is not one, or does not fit the operands.
#[track_caller]
pub fn try_einsum(equation: &str, operands: &(impl TensorList + ?Sized)) -> Result<Tensor> {
    let operands = operands.tensors();
    ensure!(
        !operands.is_empty(),
        Value,
        "einsum(): must specify the equation string and at least one operand, or at least one operand and its subscripts list"
    );
    let Equation { mut inputs, output } = parse(equation, operands.len())?;
    // the ellipsis as dims of its own, aligned at the last
    let mut hidden = 0;
    for (i, (labels, t)) in inputs.iter().zip(&operands).enumerate() {
        let (n, ndim) = (labels.iter().filter(|&&l| l != ELLIPSIS).count(), t.dim());
        let has = n < labels.len();
        ensure!(
            has || n == ndim,
            Runtime,
            "einsum(): the number of subscripts in the equation ({n}) does not match the number of dimensions ({ndim}) for operand {i} and no ellipsis was given"
        );
        ensure!(
            n <= ndim,
            Runtime,
            "einsum(): the number of subscripts in the equation ({n}) is more than the number of dimensions ({ndim}) for operand {i}"
        );
        if has {
            hidden = hidden.max(ndim - n);
        }
    }
    let spread = |labels: &[usize], own: usize| -> Vec<usize> {
        let dots = ELLIPSIS + hidden - own..ELLIPSIS + hidden;
        labels.iter().flat_map(|&l| if l == ELLIPSIS { dots.clone() } else { l..l + 1 }).collect()
    };
    let output = output.map(|o| spread(&o, hidden)).unwrap_or_else(|| {
        let count = |l: usize| inputs.iter().flatten().filter(|&&x| x == l).count();
        (ELLIPSIS..ELLIPSIS + hidden).chain((0..ELLIPSIS).filter(|&l| count(l) == 1)).collect()
    });
    for (labels, t) in inputs.iter_mut().zip(&operands) {
        let n = labels.iter().filter(|&&l| l != ELLIPSIS).count();
        *labels = spread(labels, t.dim() - n);
    }
    let mut order = output.clone();
    for &l in inputs.iter().flatten() {
        if !order.contains(&l) {
            order.push(l);
        }
    }
    let mut sizes = vec![1; order.len()];
    let mut aligned = Vec::new();
    for (i, (t, labels)) in operands.iter().zip(&inputs).enumerate() {
        aligned.push(align(t, labels, i, &order, &mut sizes)?);
    }
    let mut result = aligned[0].clone();
    let summed = output.len()..order.len();
    for (k, next) in aligned.iter().enumerate().skip(1) {
        let mut next = next.clone();
        let mut sum = Vec::new();
        for d in summed.clone().filter(|&d| aligned[k + 1..].iter().all(|t| t.shape()[d] == 1)) {
            let one = |t: &Tensor| t.shape()[d] == 1;
            match (one(&result), one(&next)) {
                (false, false) => sum.push(d),
                (false, true) => result = result.checked().sum_dim(d as isize, true)?,
                (true, false) => next = next.checked().sum_dim(d as isize, true)?,
                (true, true) => {}
            }
        }
        result = product(&result, &next, &sum)?;
    }
    let left: Vec<isize> =
        summed.filter(|&d| aligned.len() == 1 && result.shape()[d] != 1).map(|d| d as isize).collect();
    if !left.is_empty() {
        result = result.checked().sum_dim(left, true)?;
    }
    let shape: Vec<usize> = result.shape()[..output.len()].to_vec();
    result.checked().reshape(&shape)
}
