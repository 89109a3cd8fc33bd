//! Forcing a kernel variant, so that tests and benchmarks can run each of them on any adapter.

use crate::error::{Result, bail};

/// What `WGTORCH_KERNELS` asks of products and convolutions; attention takes its kernels for real GPUs with either tile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Variant {
    /// What the adapter's kind and the sizes say.
    #[default]
    Auto,
    /// Tiles of 64 x 64 through workgroup memory, always.
    Tile64,
    /// Tiles of 128 x 128, always.
    Tile128,
}

impl Variant {
    /// The variant that the environment asks for; an error for a name that there is not.
    pub fn from_env() -> Result<Variant> {
        match std::env::var("WGTORCH_KERNELS").as_deref() {
            Err(_) | Ok("" | "auto") => Ok(Variant::Auto),
            Ok("tile64") => Ok(Variant::Tile64),
            Ok("tile128") => Ok(Variant::Tile128),
            Ok(other) => bail!(Device, "WGTORCH_KERNELS={other}: expected auto, tile64 or tile128"),
        }
    }
}
