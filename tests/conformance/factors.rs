//! Factorisations, which are right up to signs and rotations: compared by what they multiply to.

use crate::call::Stop;
use crate::case::{Data, Host};
use crate::compare::Tolerance;

/// A batch of matrices, row-major.
struct Batch<'a> {
    rows: usize,
    cols: usize,
    data: &'a [f64],
}

impl<'a> Batch<'a> {
    fn of(h: &'a Host) -> Result<Batch<'a>, Stop> {
        let Data::Float(data) = &h.data else { return Err(Stop::Wrong("a factor is not of floats".into())) };
        let n = h.shape.len();
        if n < 2 {
            return Err(Stop::Wrong("a factor is no matrix".into()));
        }
        Ok(Batch { rows: h.shape[n - 2], cols: h.shape[n - 1], data })
    }
    fn at(&self, b: usize, i: usize, j: usize) -> f64 {
        self.data[(b * self.rows + i) * self.cols + j]
    }
    fn count(&self) -> usize {
        self.data.len().checked_div(self.rows * self.cols).unwrap_or(0)
    }
}

fn floats(h: &Host) -> &[f64] {
    if let Data::Float(v) = &h.data { v } else { &[] }
}

fn near(what: &str, got: f64, expected: f64, allowed: f64) -> Result<(), Stop> {
    if (got - expected).abs() <= allowed {
        return Ok(());
    }
    Err(Stop::Wrong(format!("{what}: got {got:e}, expected {expected:e} within {allowed:e}")))
}

/// The columns (or rows) of each matrix are orthonormal.
fn orthonormal(what: &str, m: &Batch, by_rows: bool, allowed: f64) -> Result<(), Stop> {
    let (vectors, length) = if by_rows { (m.rows, m.cols) } else { (m.cols, m.rows) };
    // more vectors than dims cannot all be orthonormal
    for b in 0..m.count() {
        for i in 0..vectors.min(length) {
            for j in 0..=i {
                let entry = |v: usize, k: usize| if by_rows { m.at(b, v, k) } else { m.at(b, k, v) };
                let dot: f64 = (0..length).map(|k| entry(i, k) * entry(j, k)).sum();
                near(what, dot, if i == j { 1.0 } else { 0.0 }, allowed)?;
            }
        }
    }
    Ok(())
}

/// Checks a factorisation's results; shapes and dtypes were compared before.
pub fn check(
    mode: &str,
    got: &[Host],
    expected: &[Host],
    input: Option<&Host>,
    upper: bool,
    tols: &[Tolerance],
) -> Result<(), Stop> {
    match mode {
        "qr" => qr(got, expected, tols),
        "svd" if got.len() == 3 => svd(got, expected, input, tols),
        "eigh" if got.len() == 2 => eigh(got, expected, input, upper, tols),
        _ => Err(Stop::Wrong(format!("{mode} with {} results", got.len()))),
    }
}

fn qr(got: &[Host], expected: &[Host], tols: &[Tolerance]) -> Result<(), Stop> {
    let [gq, gr, eq, er] = [&got[0], &got[1], &expected[0], &expected[1]];
    let (gr, er) = (Batch::of(gr)?, Batch::of(er)?);
    let factors = if gq.numel() > 0 { Some((Batch::of(gq)?, Batch::of(eq)?)) } else { None };
    for b in 0..gr.count() {
        for i in 0..gr.rows {
            // the sign that brings row i of R to the expected one
            let dot: f64 = (0..gr.cols).map(|j| gr.at(b, i, j) * er.at(b, i, j)).sum();
            let sign = if dot < 0.0 { -1.0 } else { 1.0 };
            for j in 0..gr.cols {
                near("R", sign * gr.at(b, i, j), er.at(b, i, j), tols[1].allowed(er.at(b, i, j)))?;
            }
            let Some((gq, eq)) = &factors else { continue };
            for k in 0..gq.rows {
                near("Q", sign * gq.at(b, k, i), eq.at(b, k, i), tols[0].allowed(eq.at(b, k, i)))?;
            }
        }
    }
    Ok(())
}

fn svd(got: &[Host], expected: &[Host], input: Option<&Host>, tols: &[Tolerance]) -> Result<(), Stop> {
    crate::compare::hosts("S", &got[1], &expected[1], &tols[1])?;
    let Some(input) = input else { return Ok(()) };
    if input.numel() == 0 {
        return Ok(());
    }
    let (u, vh, a, s) = (Batch::of(&got[0])?, Batch::of(&got[2])?, Batch::of(input)?, floats(&got[1]));
    let k = a.rows.min(a.cols);
    let largest = s.iter().fold(0.0f64, |m, x| m.max(*x));
    let allowed = tols[1].allowed(largest).max(1e-12);
    for b in 0..a.count() {
        for i in 0..a.rows {
            for j in 0..a.cols {
                let sum: f64 = (0..k).map(|l| u.at(b, i, l) * s[b * k + l] * vh.at(b, l, j)).sum();
                near("U diag(S) Vh", sum, a.at(b, i, j), allowed)?;
            }
        }
    }
    orthonormal("U", &u, false, allowed.max(tols[1].allowed(1.0)))?;
    orthonormal("Vh", &vh, true, allowed.max(tols[1].allowed(1.0)))
}

fn eigh(got: &[Host], expected: &[Host], input: Option<&Host>, upper: bool, tols: &[Tolerance]) -> Result<(), Stop> {
    crate::compare::hosts("L", &got[0], &expected[0], &tols[0])?;
    let Some(input) = input else { return Ok(()) };
    if input.numel() == 0 {
        return Ok(());
    }
    let (v, a, l) = (Batch::of(&got[1])?, Batch::of(input)?, floats(&got[0]));
    let n = a.rows;
    let largest = l.iter().fold(1.0f64, |m, x| m.max(x.abs()));
    let allowed = tols[0].allowed(largest).max(1e-12);
    // the triangle in use, mirrored
    let entry = |b: usize, i: usize, j: usize| if (i > j) == upper && i != j { a.at(b, j, i) } else { a.at(b, i, j) };
    for b in 0..a.count() {
        for i in 0..n {
            for j in 0..n {
                let av: f64 = (0..n).map(|k| entry(b, i, k) * v.at(b, k, j)).sum();
                near("A V - V diag(L)", av, v.at(b, i, j) * l[b * n + j], allowed)?;
            }
        }
    }
    orthonormal("V", &v, false, allowed)
}
