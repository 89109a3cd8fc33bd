use super::dual::Dual;
use super::*;
use crate::DType;
use std::collections::BTreeSet;

/// A module that calls one function, so that naga sees its types in use.
fn module(f: &crate::program::WgslFn) -> String {
    let uses: BTreeSet<&str> = f.uses.iter().copied().collect();
    format!("{}\n{}", library(&uses), f.text)
}

fn validate(text: &str, what: &str) {
    let parsed = naga::front::wgsl::parse_str(text).unwrap_or_else(|e| panic!("{what}: {}", e.emit_to_string(text)));
    let mut validator =
        naga::valid::Validator::new(naga::valid::ValidationFlags::all(), naga::valid::Capabilities::FLOAT64);
    validator.validate(&parsed).unwrap_or_else(|e| panic!("{what}: {}\n{text}", e.emit_to_string(text)));
}

#[test]
fn every_row_is_valid_wgsl() {
    let mut functions = 0;
    for row in all_rows() {
        for d in DType::REAL {
            let f = (row.wgsl)(d);
            assert!(f.is_none() || (row.cpu)(d).is_some(), "{} {d}: on the GPU only", row.name);
            if let Some(f) = f {
                validate(&module(&f), &f.name);
                functions += 1;
            }
        }
        assert!(
            (row.wgsl)(DType::F32).is_some()
                || ["lgamma", "digamma", "i0"].contains(&row.name)
                || (row.cpu)(DType::F32).is_none(),
            "{} has no f32 form in WGSL",
            row.name
        );
    }
    assert!(functions > 500);
}

#[test]
fn every_row_for_four_is_valid_wgsl() {
    let plain = |d: &DType| has_four(wgsl::wgsl_type(*d));
    let mut functions = 0;
    for d in DType::REAL.into_iter().filter(plain) {
        let rows = all_rows().iter().filter_map(|row| (row.wgsl)(d));
        let casts = DType::REAL.into_iter().filter(plain).filter_map(|to| cast_wgsl(d, to));
        for f in rows.chain(casts) {
            validate(&library_of_four([&f], &[], &[]), &f.name);
            functions += 1;
        }
    }
    assert!(functions > 500);
}

#[test]
fn the_form_for_four() {
    let f = |text: &str| crate::program::WgslFn { name: "op_x".into(), text: text.into(), uses: vec![] };
    let straight = library_of_four(
        [&f("fn op_x(a: f32, b: i32) -> bool {\n    // why\n    return a > -1e-3f && f32(b) == 2.0f;\n}\n")],
        &[],
        &[],
    );
    assert_eq!(
        straight,
        "fn op_x_four ( a : vec4<f32> , b : vec4<i32> ) -> vec4<bool> {\n    return ( a > - vec4<f32>(1e-3f) ) & ( vec4<f32> ( b ) == vec4<f32>(2.0f) );\n}\n"
    );
    let branching = "fn op_x(a: f32) -> f32 {\n    if (a > 1.0f) {\n        return 1.0f;\n    }\n    return a;\n}\n";
    assert_eq!(
        library_of_four([&f(branching)], &[], &[]),
        "fn op_x_four(a: vec4<f32>) -> vec4<f32> {\n    return vec4<f32>(op_x(a.x), op_x(a.y), op_x(a.z), op_x(a.w));\n}\n".to_owned()
            + branching
    );
}

#[test]
fn every_cast_is_valid_wgsl() {
    for from in DType::REAL {
        for to in DType::REAL {
            let f = cast_wgsl(from, to).expect("all casts have one");
            validate(&module(&f), &f.name);
        }
    }
}

#[test]
fn row_names_are_unique() {
    let names: BTreeSet<_> = all_rows().iter().map(|r| r.name).collect();
    assert_eq!(names.len(), all_rows().len());
}

/// Runs a row's f32 loop over operands of one length.
fn run_f32(row: &crate::program::Row, ins: &[&[f32]]) -> Vec<f32> {
    let n = ins[0].len();
    let mut out = vec![0f32; n];
    let ptrs: Vec<*const u8> = ins.iter().map(|v| v.as_ptr() as *const u8).collect();
    let f = (row.cpu)(DType::F32).expect("a row of floats");
    // SAFETY: every vector holds n elements.
    unsafe { f(&ptrs, out.as_mut_ptr() as *mut u8, n) };
    out
}

/// The distance of two floats in units in the last place of the expected one; 0 for equals and two NaNs.
fn ulps(got: f32, want: f64) -> f64 {
    if got.is_nan() || want.is_nan() || (want as f32).is_infinite() {
        return if got.is_nan() == want.is_nan() && (want.is_nan() || got == want as f32) {
            0.0
        } else {
            f64::INFINITY
        };
    }
    // a subnormal result may be cut to zero
    if got == 0.0 && want.abs() < f32::MIN_POSITIVE as f64 {
        return 0.0;
    }
    // subnormals count as units of the smallest normal number's
    let unit = 2f64.powi((want.abs().log2().floor() as i32).max(-126) - 23);
    (got as f64 - want).abs() / unit
}

/// Floats over the whole range of magnitudes, and dense ones between -20 and 20; with the special ones.
fn sample() -> Vec<f32> {
    let mut v: Vec<f32> = (0..1 << 16).map(|i| f32::from_bits((i as u32) << 16 | 0x5a5a & (i as u32 * 77))).collect();
    v.extend((0..400_000).map(|i| (i as f32 - 200_000.0) * 1.0001e-4));
    v.extend((0..100_000).map(|i| (i as f32 - 50_000.0) * 2.03e-3));
    v.extend([
        0.0,
        -0.0,
        1.0,
        -1.0,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::NAN,
        f32::MAX,
        f32::MIN,
        88.72,
        89.2,
        -87.5,
    ]);
    v
}

#[test]
fn f32_functions_are_within_their_ulps() {
    type Function = (&'static str, fn(f64) -> f64, f64);
    let reference: &[Function] = &[
        ("exp", f64::exp, 1.0),
        ("exp2", f64::exp2, 1.0),
        ("expm1", f64::exp_m1, 2.0),
        ("log", f64::ln, 1.0),
        ("log2", f64::log2, 2.0),
        ("log10", f64::log10, 2.0),
        ("log1p", f64::ln_1p, 2.5),
        ("sin", f64::sin, 1.5),
        ("cos", f64::cos, 1.5),
        ("tan", f64::tan, 3.0),
        ("asin", f64::asin, 2.5),
        ("acos", f64::acos, 2.5),
        ("atan", f64::atan, 2.0),
        ("sinh", f64::sinh, 3.0),
        ("cosh", f64::cosh, 2.0),
        ("tanh", f64::tanh, 2.5),
        ("asinh", libm::asinh, 4.0),
        ("acosh", |x| if x < 1.0 { f64::NAN } else { libm::acosh(x) }, 4.0),
        ("atanh", libm::atanh, 4.0),
        ("erf", libm::erf, 2.5),
        ("erfc", libm::erfc, 4.0),
        ("sigmoid", |x| 1.0 / (1.0 + (-x).exp()), 2.5),
    ];
    let x = sample();
    let mut wrong = String::new();
    for &(name, f, most) in reference {
        let y = run_f32(row(name).expect("a row"), &[&x]);
        let worst = x.iter().zip(&y).map(|(&x, &y)| (ulps(y, f(x as f64)), x, y)).max_by(|a, b| a.0.total_cmp(&b.0));
        let (u, at, got) = worst.expect("samples");
        println!("{name}: {u:.2} ulp at {at:e}");
        if u > most {
            wrong += &format!("{name}({at:e}) = {got:e}, not {:e}: {u} ulp\n", f(at as f64));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// The derivatives that dual numbers give are the slopes of the formulas, for every row and operand.
#[test]
fn duals_agree_with_finite_differences() {
    let points = [0.31, 0.77, -0.43, 1.37, 2.23, -1.61, 3.3];
    let mut checked = BTreeSet::new();
    for r in all_rows() {
        let Some(f) = dual_of(r) else { continue };
        for start in 0..points.len() {
            let x: Vec<f64> = (0..r.arity).map(|k| points[(start + 2 * k) % points.len()]).collect();
            for wrt in 0..r.arity {
                let at = |step: f64, d: f64| {
                    let v = |k: usize| x[k] + if k == wrt { step } else { 0.0 };
                    let ops: Vec<Dual> =
                        (0..r.arity).map(|k| Dual { v: v(k), d: if k == wrt { d } else { 0.0 } }).collect();
                    f(&ops)
                };
                let h = 1e-5;
                let (dual, slope) = (at(0.0, 1.0), (at(h, 0.0).v - at(-h, 0.0).v) / (2.0 * h));
                // outside of the domain, or where numbers alone cannot tell (nextafter moves by less than they show)
                if !dual.v.is_finite() || !slope.is_finite() || r.name == "nextafter" {
                    continue;
                }
                assert!(
                    (dual.d - slope).abs() <= 1e-6 * (1.0 + slope.abs()),
                    "{} at {x:?}, operand {wrt}: {} by duals, {slope} by differences",
                    r.name,
                    dual.d
                );
                checked.insert((r.name, wrt));
            }
        }
    }
    assert!(checked.len() > 150, "only {} checked", checked.len());
}

/// Each gradient row is the forward row's derivative times the incoming gradient.
#[test]
fn backward_rows_are_derivatives() {
    // forward, backward, further operands of both; true where the gradient takes the result and not the input
    let pairs: &[(&str, &str, &[f64], bool)] = &[
        ("sigmoid", "sigmoid_backward", &[], true),
        ("tanh", "tanh_backward", &[], true),
        ("tan", "tan_backward", &[], true),
        ("sqrt", "sqrt_backward", &[], true),
        ("rsqrt", "rsqrt_backward", &[], true),
        ("reciprocal", "reciprocal_backward", &[], true),
        ("erfinv", "erfinv_backward", &[], true),
        ("clamp", "hardtanh_backward", &[-0.5, 1.5], false),
        ("hardtanh", "hardtanh_backward", &[-0.5, 1.5], false),
        ("gelu", "gelu_backward", &[], false),
        ("gelu_tanh", "gelu_tanh_backward", &[], false),
        ("silu", "silu_backward", &[], false),
        ("elu", "elu_backward", &[1.3, 1.1], false),
        ("celu", "celu_backward", &[1.3], false),
        ("leaky_relu", "leaky_relu_backward", &[0.1], false),
        ("softplus", "softplus_backward", &[0.9, 2.5], false),
        ("logsigmoid", "logsigmoid_backward", &[], false),
        ("hardswish", "hardswish_backward", &[], false),
        ("hardsigmoid", "hardsigmoid_backward", &[], false),
        ("mish", "mish_backward", &[], false),
        ("softshrink", "shrink_backward", &[0.5], false),
        ("hardshrink", "shrink_backward", &[0.5], false),
        ("pow", "pow_backward", &[2.7], false),
        ("erf", "erf_backward", &[], false),
        ("logit", "logit_backward", &[], false),
    ];
    for &(forward, backward, more, by_result) in pairs {
        let formula = |name: &str| dual_of(row(name).expect(name)).expect("a function of floats");
        let mut compared = 0;
        for x in [0.2, 0.31, 0.77, -0.43, 1.37, 2.23, -1.61, 3.3, -4.1] {
            let constants: Vec<Dual> = more.iter().map(|&v| Dual { v, d: 0.0 }).collect();
            let y = formula(forward)(&[&[Dual { v: x, d: 1.0 }][..], &constants].concat());
            if !y.v.is_finite() {
                continue;
            }
            let seen = Dual { v: if by_result { y.v } else { x }, d: 0.0 };
            let g = formula(backward)(&[&[Dual { v: 1.7, d: 0.0 }, seen][..], &constants].concat());
            assert!(
                (g.v - 1.7 * y.d).abs() <= 1e-12 * (1.0 + g.v.abs()),
                "{backward} at {x}: {} not {}",
                g.v,
                1.7 * y.d
            );
            compared += 1;
        }
        assert!(compared >= 3, "{forward}");
    }
}
