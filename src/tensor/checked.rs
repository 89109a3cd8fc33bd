//! One fallible function, two forms: `x.f()` panics at the caller's line, `x.checked().f()` gives a `Result`.

use super::Tensor;
use crate::error::Result;

/// The same ops as [`Tensor`]'s, as `Result`s: what [`Tensor::checked`] gives.
#[derive(Clone, Copy)]
pub struct Checked<'a>(pub(crate) &'a Tensor);

impl std::ops::Deref for Checked<'_> {
    type Target = Tensor;
    fn deref(&self) -> &Tensor {
        self.0
    }
}

impl Tensor {
    /// The same ops with errors as values: `x.checked().matmul(&y)` is `Err` where `x.matmul(&y)` panics.
    ///
    /// ```
    /// # use wgtorch::prelude::*;
    /// assert!(zeros([2, 3], ()).checked().matmul(&zeros([2, 3], ())).is_err());
    /// ```
    pub fn checked(&self) -> Checked<'_> {
        Checked(self)
    }
}

/// The value, or a panic with the error's text at the caller's line.
#[track_caller]
pub(crate) fn unwrap<T>(r: Result<T>) -> T {
    match r {
        Ok(v) => v,
        Err(e) => panic!("{e}"),
    }
}

/// Makes the panicking method of `Tensor` and its twin of `Checked` from one body, which yields a `Result`. In the body
/// `self` is the `Checked`: its own ops are fallible too.
macro_rules! methods {
    ($($(#[$meta:meta])* fn $name:ident$(<$($g:ident: $b:path),*>)?(&$self:ident $(, $arg:ident: $ty:ty)* $(,)?) -> $ret:ty $body:block)*) => {
        impl $crate::Tensor {$(
            $(#[$meta])*
            #[track_caller]
            pub fn $name$(<$($g: $b),*>)?(&self $(, $arg: $ty)*) -> $ret {
                $crate::tensor::unwrap(self.checked().$name($($arg),*))
            }
        )*}
        impl $crate::tensor::Checked<'_> {$(
            #[doc = concat!("[`Tensor::", stringify!($name), "`](crate::Tensor::", stringify!($name), ") with its errors as values.")]
            #[track_caller]
            pub fn $name$(<$($g: $b),*>)?(&$self $(, $arg: $ty)*) -> $crate::Result<$ret> $body
        )*}
    };
}
pub(crate) use methods;
