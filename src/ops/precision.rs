//! Process-wide permissions to trade a product's precision for speed, as PyTorch has them. Each op takes what holds when it is called.

use crate::error::Error;
use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU8, Ordering};

/// How precise products of float32 have to be: the words of `torch.set_float32_matmul_precision`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Float32MatmulPrecision {
    /// `"highest"`: float32 throughout.
    #[default]
    Highest,
    /// `"high"`: factors may be rounded to TensorFloat32 (10 bits after the point), or be sums of two bfloat16.
    High,
    /// `"medium"`: factors may be rounded to bfloat16.
    Medium,
}

use Float32MatmulPrecision::{High, Highest, Medium};

impl fmt::Display for Float32MatmulPrecision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Highest => "highest",
            High => "high",
            Medium => "medium",
        })
    }
}

impl FromStr for Float32MatmulPrecision {
    type Err = Error;

    /// PyTorch's words, in any case. Another one is an error, of which PyTorch only warns.
    fn from_str(s: &str) -> Result<Self, Error> {
        let lower = s.to_ascii_lowercase();
        [Highest, High, Medium].into_iter().find(|p| p.to_string() == lower).ok_or_else(|| {
            Error::Value(format!(
                "{s} is not one of 'highest', 'high', or 'medium'; the currentsetFloat32MatmulPrecision call has no effect."
            ))
        })
    }
}

static FLOAT32: AtomicU8 = AtomicU8::new(0);

/// Says how precise products of float32 have to be from now on, in the whole process (`torch.set_float32_matmul_precision`).
///
/// A permission, not an order: what is faster and allowed is taken where there is such a thing. Here that is one: on GPUs opened with
/// cooperative matrices (`WGTORCH_COOPERATIVE=1`) that have them of float16 but not of float32, rows of the first factor and columns of
/// the second are scaled by powers of two and rounded to float16, whose 11 significant digits are TensorFloat32's; sums are float32.
/// `High` and `Medium` are the same. Everything else computes in float32 at each setting.
pub fn set_float32_matmul_precision(precision: Float32MatmulPrecision) {
    FLOAT32.store(precision as u8, Ordering::Relaxed);
}

/// How precise products of float32 have to be (`torch.get_float32_matmul_precision`); [`Float32MatmulPrecision::Highest`] until told
/// otherwise.
pub fn get_float32_matmul_precision() -> Float32MatmulPrecision {
    match FLOAT32.load(Ordering::Relaxed) {
        0 => Highest,
        1 => High,
        _ => Medium,
    }
}

/// `torch.backends`, as far as it says how ops may be computed.
pub mod backends {
    /// `torch.backends.cuda.matmul`, for all GPUs.
    pub mod matmul {
        use std::sync::atomic::{AtomicBool, Ordering};

        static FP16_ACCUMULATION: AtomicBool = AtomicBool::new(false);

        /// Allows products of float16 on GPUs to be summed in float16, in the whole process: about twice as fast where a GPU
        /// has such arithmetic, less precise, and infinite from 65520 on (`torch.backends.cuda.matmul.allow_fp16_accumulation`).
        pub fn set_allow_fp16_accumulation(allow: bool) {
            FP16_ACCUMULATION.store(allow, Ordering::Relaxed);
        }

        /// Whether products of float16 may be summed in float16; false until told otherwise.
        pub fn allow_fp16_accumulation() -> bool {
            FP16_ACCUMULATION.load(Ordering::Relaxed)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_pytorch() {
        for p in [Highest, High, Medium] {
            assert_eq!(p.to_string().parse::<Float32MatmulPrecision>().unwrap(), p);
        }
        assert_eq!("HIGH".parse::<Float32MatmulPrecision>().unwrap(), High);
        let told = "low".parse::<Float32MatmulPrecision>().unwrap_err().to_string();
        assert!(told.starts_with("low is not one of 'highest', 'high', or 'medium'; the current"), "{told}");
    }
}
