//! Padding layers.

use super::{Forward, Hooks, Module};
use crate::ops::{IntoSizes, PadMode, PadOptions};
use crate::scalar::Scalar;
use crate::tensor::Tensor;

/// One number for every side, or one each.
fn sides(given: Vec<isize>, dims: usize) -> Vec<isize> {
    if let [all] = given[..] { vec![all; 2 * dims] } else { given }
}

/// `(1, 2)`, as Python prints it.
fn tuple(sides: &[isize]) -> String {
    format!("({})", sides.iter().map(isize::to_string).collect::<Vec<_>>().join(", "))
}

macro_rules! pads {
    ($($(#[$m:meta])* $name:ident $dims:literal $mode:ident;)*) => {$(
        $(#[$m])*
        #[derive(Clone, Debug, Module)]
        #[module(extra_repr = "settings")]
        pub struct $name {
            #[module(skip)]
            padding: Vec<isize>,
            hooks: Hooks,
        }

        impl $name {
            /// With one number for every side, or one for each: before and after, from the last dim on.
            pub fn new(padding: impl IntoSizes) -> $name {
                $name { padding: sides(padding.into_sizes(), $dims), hooks: Hooks::default() }
            }
            fn settings(&self) -> String {
                tuple(&self.padding)
            }
        }

        impl Forward for $name {
            #[track_caller]
            fn forward(&self, input: &Tensor) -> Tensor {
                input.pad(&self.padding[..], PadMode::$mode)
            }
        }
    )*};
}

pads! {
    /// Zeros around lines (`nn.ZeroPad1d`).
    ZeroPad1d 1 Constant;
    /// Zeros around images (`nn.ZeroPad2d`).
    ///
    /// ```
    /// # use wgtorch::{prelude::*, nn::ZeroPad2d};
    /// let pad = ZeroPad2d::new([1, 0, 2, 0]);
    /// assert_eq!(pad.call(&ones([1, 1, 2, 2], ())).shape(), [1, 1, 4, 3]);
    /// assert_eq!(pad.to_string(), "ZeroPad2d((1, 0, 2, 0))");
    /// ```
    ZeroPad2d 2 Constant;
    /// Zeros around volumes (`nn.ZeroPad3d`).
    ZeroPad3d 3 Constant;
    /// Lines mirrored at their ends (`nn.ReflectionPad1d`).
    ReflectionPad1d 1 Reflect;
    /// Images mirrored at their borders (`nn.ReflectionPad2d`).
    ReflectionPad2d 2 Reflect;
    /// Volumes mirrored at their borders (`nn.ReflectionPad3d`).
    ReflectionPad3d 3 Reflect;
    /// Lines with their ends repeated (`nn.ReplicationPad1d`).
    ReplicationPad1d 1 Replicate;
    /// Images with their borders repeated (`nn.ReplicationPad2d`).
    ReplicationPad2d 2 Replicate;
    /// Volumes with their borders repeated (`nn.ReplicationPad3d`).
    ReplicationPad3d 3 Replicate;
    /// Lines continued from their other end (`nn.CircularPad1d`).
    CircularPad1d 1 Circular;
    /// Images continued from their other side (`nn.CircularPad2d`).
    CircularPad2d 2 Circular;
    /// Volumes continued from their other side (`nn.CircularPad3d`).
    CircularPad3d 3 Circular;
}

macro_rules! constant_pads {
    ($($(#[$m:meta])* $name:ident $dims:literal;)*) => {$(
        $(#[$m])*
        #[derive(Clone, Debug, Module)]
        #[module(extra_repr = "settings")]
        pub struct $name {
            #[module(skip)]
            padding: Vec<isize>,
            #[module(skip)]
            value: Scalar,
            hooks: Hooks,
        }

        impl $name {
            /// With one number for every side, or one for each from the last dim on, and the value.
            pub fn new(padding: impl IntoSizes, value: impl Into<Scalar>) -> $name {
                $name { padding: sides(padding.into_sizes(), $dims), value: value.into(), hooks: Hooks::default() }
            }
            fn settings(&self) -> String {
                format!("padding={}, value={}", tuple(&self.padding), self.value)
            }
        }

        impl Forward for $name {
            #[track_caller]
            fn forward(&self, input: &Tensor) -> Tensor {
                input.pad(&self.padding[..], PadOptions::new().value(self.value))
            }
        }
    )*};
}

constant_pads! {
    /// One value around lines (`nn.ConstantPad1d`).
    ConstantPad1d 1;
    /// One value around images (`nn.ConstantPad2d`).
    ConstantPad2d 2;
    /// One value around volumes (`nn.ConstantPad3d`).
    ConstantPad3d 3;
}
