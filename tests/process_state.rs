//! What belongs to the whole process, so that no other test of its binary may touch it meanwhile: the default generators and
//! how tensors print. Each test here takes the same lock.

mod common;

use std::sync::{Mutex, MutexGuard};
use wgtorch::prelude::*;
use wgtorch::{PrintOptions, get_rng_state, initial_seed, printoptions, set_printoptions, set_rng_state};

fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(|e| e.into_inner())
}

#[track_caller]
fn near(t: Tensor, want: &[f64]) {
    let got = t.to_vec::<f64>().unwrap();
    let same = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-5 * b.abs().max(1.0);
    assert!(got.len() == want.len() && got.iter().zip(want).all(same), "{got:?} is not {want:?}");
}

/// Item 65 of the checklist of PyTorch's semantics.
#[test]
fn item_65_random_numbers() {
    let _alone = alone();
    manual_seed(0);
    near(rand(3, ()) * 1e4, &[4962.565898, 7682.217956, 884.777307]);
    // fewer than 16 normals go another way than 16 do
    near(randn(1, ()), &[0.36433819]);
    manual_seed(0);
    near(randn(16, ()).i(..3), &[-1.1258398, -1.1523602, -0.2505786]);
    let e = std::panic::catch_unwind(|| randint(5, 5, 2, ())).unwrap_err();
    let e = e.downcast_ref::<String>().unwrap();
    assert!(e.contains("random_ expects 'from' to be less than 'to', but got from=5 >= to=5"), "{e}");
}

#[test]
fn generators_go_back_to_a_state() {
    let _alone = alone();
    for d in common::devices() {
        manual_seed(7);
        assert_eq!(initial_seed(), 7);
        let first = rand(5, d).to_vec::<f32>().unwrap();
        let state = get_rng_state();
        let draws = || [rand(9, d).to_vec::<f32>().unwrap(), randn(3, d).to_vec::<f32>().unwrap()];
        let next = draws();
        assert_ne!(first[..], next[0][..5]);
        set_rng_state(&state);
        assert_eq!(draws(), next);
        manual_seed(7);
        assert_eq!(rand(5, d).to_vec::<f32>().unwrap(), first);
    }
}

#[test]
fn set_printoptions_holds_for_the_process() {
    let _alone = alone();
    let text = |o: PrintOptions, t: &Tensor| {
        set_printoptions(o);
        assert_eq!(printoptions(), o);
        let text = std::thread::scope(|s| s.spawn(|| t.to_string()).join().unwrap());
        set_printoptions(PrintOptions::DEFAULT);
        text
    };
    let d = PrintOptions::DEFAULT;
    let x = tensor!([1. / 3., 2.5]);
    assert_eq!(text(PrintOptions { precision: 2, ..d }, &x), "tensor([0.33, 2.50])");
    assert_eq!(text(PrintOptions { sci_mode: Some(true), ..d }, &x), "tensor([3.3333e-01, 2.5000e+00])");
    assert_eq!(text(PrintOptions { sci_mode: Some(false), ..d }, &tensor!([1e-5, 1.])), "tensor([0.0000, 1.0000])");
    let y = arange(10, ());
    assert_eq!(text(PrintOptions { threshold: 5, edgeitems: 2, ..d }, &y), "tensor([0, 1,  ..., 8, 9])");
    assert_eq!(
        text(PrintOptions { linewidth: 20, ..d }, &y),
        "tensor([0, 1, 2, 3,\n        4, 5, 6, 7,\n        8, 9])"
    );
    assert_eq!(text(PrintOptions::SHORT, &x), "tensor([0.33, 2.50])");
    assert!(!text(PrintOptions::FULL, &arange(1001, ())).contains("..."));
}

/// Permissions are the process's, and each op takes what held when it was called.
#[test]
fn precision_of_products() {
    use wgtorch::{
        Float32MatmulPrecision as P, backends::matmul, get_float32_matmul_precision, set_float32_matmul_precision,
    };
    let _alone = alone();
    assert_eq!(get_float32_matmul_precision(), P::Highest);
    assert!(!matmul::allow_fp16_accumulation());
    for word in ["high", "medium", "highest"] {
        set_float32_matmul_precision(word.parse().unwrap());
        assert_eq!(get_float32_matmul_precision().to_string(), word);
        for d in common::devices() {
            let o = TensorOptions::new().device(d);
            let x = full([64, 2], 1.0 + 2f64.powi(-20), o);
            let got = x.matmul(&ones([2, 64], o)).to_vec::<f64>().unwrap();
            // a permission: on a device with cooperative matrices of float16 alone, and only where it was opened with them
            let bound = if std::env::var_os("WGTORCH_COOPERATIVE").is_some() { 2f64.powi(-9) } else { 0.0 };
            assert!(got.iter().all(|y| (y - 2.0 - 2f64.powi(-19)).abs() <= bound), "{word} on {d}: {}", got[0]);
        }
    }
    for d in common::devices() {
        // float16 loses 1 beside 4096, float32 does not
        let row = tensor!([[4096., 1., 1., 1., 1., 1., 1., 1.]], TensorOptions::new().device(d)).to(DType::F16);
        let column = ones([8, 4], TensorOptions::new().device(d).dtype(DType::F16));
        let exact = row.matmul(&column);
        matmul::set_allow_fp16_accumulation(true);
        let allowed = row.matmul(&column);
        matmul::set_allow_fp16_accumulation(false);
        near(exact, &[4104.0; 4]);
        // a permission: either is right
        let got = allowed.to_vec::<f64>().unwrap();
        assert!(got == [4096.0; 4] || got == [4104.0; 4], "{got:?}");
    }
}
