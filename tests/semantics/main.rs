//! PyTorch's semantics where clones go wrong, item by item, as PyTorch 2.15 behaves: one test an item, on the CPU and on a GPU.
//! The numbers are those of the checklist that the project keeps of such behaviour.

#[path = "../common/mod.rs"]
mod common;

mod autograd;
mod dtypes;
mod indexing;
mod numbers;
mod shapes;
mod text;

use wgtorch::prelude::*;

/// A test of an item on every device.
macro_rules! items {
    ($($(#[$m:meta])* $name:ident |$d:ident| $body:block)*) => {$(
        $(#[$m])*
        #[test]
        fn $name() -> Result<(), Error> {
            for $d in $crate::common::devices() {
                $body
            }
            Ok(())
        }
    )*};
}
pub(crate) use items;

/// Dtype and elements, where NaN is NaN.
#[track_caller]
pub fn is(t: impl std::borrow::Borrow<Tensor>, dtype: DType, want: &[f64]) {
    let t = t.borrow();
    let got = t.to_vec::<f64>().unwrap();
    let same = |(a, b): (&f64, &f64)| a == b || a.is_nan() && b.is_nan();
    assert!(
        t.dtype() == dtype && got.len() == want.len() && got.iter().zip(want).all(same),
        "{t} of {} is not {want:?} of {dtype}",
        t.dtype()
    );
}

/// As [`is`] for float32, within rounding.
#[track_caller]
pub fn near(t: impl std::borrow::Borrow<Tensor>, want: &[f64]) {
    let got = t.borrow().to_vec::<f64>().unwrap();
    let same = |(a, b): (&f64, &f64)| a == b || a.is_nan() && b.is_nan() || (a - b).abs() <= 1e-5 * b.abs().max(1.0);
    assert!(got.len() == want.len() && got.iter().zip(want).all(same), "{got:?} is not {want:?}");
}

/// An error with PyTorch's words, at once or when the device is waited for.
#[track_caller]
pub fn says<R>(device: Device, r: Result<R, Error>, words: &str) {
    // a GPU tells when it is waited for, of what somebody still sees
    let e = match r.and_then(|kept| device.synchronize().map(|()| drop(kept))) {
        Ok(()) => panic!("no error came: {words}"),
        Err(e) => e.to_string(),
    };
    assert!(e.contains(words), "{e:?} does not say {words:?}");
}
