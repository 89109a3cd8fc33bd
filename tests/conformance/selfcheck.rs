//! The comparison checks itself before it judges anybody: rules of the cases' README, with values worked out by hand.

use crate::case::{Data, Host};
use crate::compare::{Tolerance, hosts};
use serde_json::json;
use wgtorch::DType;

fn floats(v: &[f64]) -> Host {
    Host { dtype: DType::F32, shape: vec![v.len()], data: Data::Float(v.to_vec()) }
}

fn ints(v: &[i64]) -> Host {
    Host { dtype: DType::I64, shape: vec![v.len()], data: Data::Int(v.to_vec()) }
}

/// An error where the comparison takes what it has to refuse, or refuses what it has to take.
pub fn run() -> Result<(), String> {
    let (nan, inf) = (f64::NAN, f64::INFINITY);
    let tol = json!({"atol": 0.5, "rtol": 0.25, "k": 4, "out_err": [[0.125, 9.0], null], "grad_err": [[1.0, 0.0]], "native": []});
    let plain = Tolerance::of(&tol, "out_err", 1);
    let slack = Tolerance::of(&tol, "out_err", 0);
    let strict = json!({"atol": 9.0, "rtol": 0.001, "k": 4, "out_err": [[9.0, 9.0]], "elementwise": 0.0005});
    let relative = Tolerance::of(&strict, "out_err", 0);
    let gradient = Tolerance::of(&strict, "grad_err", 0);
    let mut other_dtype = floats(&[1.0]);
    other_dtype.dtype = DType::F64;
    let mut other_shape = floats(&[1.0]);
    other_shape.shape = vec![1, 1];
    let rows: &[(&str, Host, Host, Tolerance, bool)] = &[
        ("atol + rtol * |expected|", floats(&[-2.9]), floats(&[-2.0]), plain, true),
        ("beyond it", floats(&[-3.1]), floats(&[-2.0]), plain, false),
        ("k * a", floats(&[-3.4]), floats(&[-2.0]), slack, true),
        ("beyond k * a", floats(&[-3.6]), floats(&[-2.0]), slack, false),
        ("relative: max(rtol, k * r)", floats(&[1e-20 * 1.0019]), floats(&[1e-20]), relative, true),
        ("relative: small results count", floats(&[1e-20 * 1.0021]), floats(&[1e-20]), relative, false),
        ("gradients are never relative", floats(&[8.0]), floats(&[1e-20]), gradient, true),
        ("nan matches nan", floats(&[nan]), floats(&[nan]), plain, true),
        ("nan for a number", floats(&[nan]), floats(&[0.0]), slack, false),
        ("a number for nan", floats(&[0.0]), floats(&[nan]), slack, false),
        ("inf by sign", floats(&[inf]), floats(&[-inf]), slack, false),
        ("inf matches inf", floats(&[inf]), floats(&[inf]), plain, true),
        ("a number for inf", floats(&[3e38]), floats(&[inf]), slack, false),
        ("-0 is 0", floats(&[-0.0]), floats(&[0.0]), relative, true),
        ("integers are exact", ints(&[3]), ints(&[2]), slack, false),
        ("dtypes are exact", other_dtype, floats(&[1.0]), slack, false),
        ("shapes are exact", other_shape, floats(&[1.0]), slack, false),
    ];
    for (what, got, expected, tol, good) in rows {
        if hosts("", got, expected, tol).is_ok() != *good {
            return Err(format!("the comparison is wrong about: {what}"));
        }
    }
    Ok(())
}
