//! Different elements, and how often each occurs.

use crate::dtype::DType;
use crate::error::{Result, ensure};
use crate::shape::wrap_dim;
use crate::tensor::{Tensor, methods};
use std::cmp::Ordering;

/// What [`Tensor::unique`] and [`Tensor::unique_consecutive`] give.
#[derive(Clone, Debug)]
pub struct Unique {
    /// The different elements, or slices.
    pub values: Tensor,
    /// For each element or slice of the input the index among the values (`return_inverse=True`).
    pub inverse: Tensor,
    /// How often each occurs (`return_counts=True`).
    pub counts: Tensor,
}

/// Elements on the host, exactly.
enum Keys {
    Int(Vec<i64>),
    Float(Vec<f64>),
}

impl Keys {
    fn of(t: &Tensor) -> Result<Keys> {
        Ok(if t.dtype().is_float() {
            Keys::Float(t.checked().to(DType::F64)?.to_vec()?)
        } else {
            Keys::Int(t.checked().to(DType::I64)?.to_vec()?)
        })
    }

    /// The order of two rows; NaN is above every number.
    fn order(&self, [a, b]: [usize; 2], len: usize) -> Ordering {
        match self {
            Keys::Int(v) => v[a * len..][..len].cmp(&v[b * len..][..len]),
            Keys::Float(v) => v[a * len..][..len]
                .iter()
                .zip(&v[b * len..][..len])
                .map(|(x, y)| x.partial_cmp(y).unwrap_or_else(|| x.is_nan().cmp(&y.is_nan())))
                .find(|o| o.is_ne())
                .unwrap_or(Ordering::Equal),
        }
    }

    /// True for equal rows, which hold no NaN.
    fn same(&self, [a, b]: [usize; 2], len: usize) -> bool {
        match self {
            Keys::Int(v) => v[a * len..][..len] == v[b * len..][..len],
            Keys::Float(v) => v[a * len..][..len] == v[b * len..][..len],
        }
    }
}

fn unique(t: &Tensor, dim: Option<isize>, sort: bool) -> Result<Unique> {
    let t = t.detach();
    // slices as rows
    let (d, x) = match dim {
        None => (0, t.checked().reshape(-1)?),
        Some(_) if t.dim() == 0 => (0, t.checked().reshape(1)?),
        Some(d) => (wrap_dim(d, t.dim())?, t.clone()),
    };
    let n = x.size_of(d as isize);
    let len = x.numel().checked_div(n).unwrap_or(0);
    ensure!(
        dim.is_none() || x.numel() > 0 || n == 0,
        Runtime,
        "There are 0 sized dimensions, and they aren't selected by `dim`, so unique cannot be applied"
    );
    let keys = Keys::of(&x.checked().movedim(d as isize, 0)?)?;
    let mut order: Vec<usize> = (0..n).collect();
    if sort {
        order.sort_by(|&a, &b| keys.order([a, b], len));
    }
    let (mut first, mut counts, mut inverse) = (Vec::<i64>::new(), Vec::<i64>::new(), vec![0i64; n]);
    for (i, &at) in order.iter().enumerate() {
        if i > 0 && keys.same([order[i - 1], at], len) {
            counts[first.len() - 1] += 1;
        } else {
            first.push(at as i64);
            counts.push(1);
        }
        inverse[at] = first.len() as i64 - 1;
    }
    let list = |v: Vec<i64>| {
        let n = v.len();
        Tensor::from_vec(v, [n], t.device())
    };
    let inverse = list(inverse)?;
    Ok(Unique {
        values: x.checked().index_select(d as isize, &list(first)?)?,
        inverse: if dim.is_none() { inverse.checked().reshape(t.shape())? } else { inverse },
        counts: list(counts)?,
    })
}

methods! {
    /// The different elements in order, or the different slices along a dim (`torch.unique`). NaN equals nothing. Waits for the
    /// device, since the result's size depends on the data.
    ///
    /// ```
    /// # use wgtorch::prelude::*;
    /// let u = tensor!([3, 1, 3]).unique(None);
    /// assert_eq!(u.values.to_vec::<i64>()?, [1, 3]);
    /// assert_eq!(u.inverse.to_vec::<i64>()?, [1, 0, 1]);
    /// assert_eq!(u.counts.to_vec::<i64>()?, [1, 2]);
    /// # Ok::<(), Error>(())
    /// ```
    fn unique(&self, dim: impl Into<Option<isize>>) -> Unique { unique(self.0, dim.into(), true) }

    /// Runs of equal elements, or of equal slices along a dim, as one each (`torch.unique_consecutive`).
    fn unique_consecutive(&self, dim: impl Into<Option<isize>>) -> Unique { unique(self.0, dim.into(), false) }
}
