//! The variants of products by name, so that tests, benchmarks and the tuner can ask for each of them on any adapter.

use crate::error::{Result, bail};

/// How a product of matrices is computed; convolutions know the tiles and the wave, attention takes its kernels for real GPUs with
/// either tile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Variant {
    /// What the table says for the adapter's kind and the sizes.
    #[default]
    Auto,
    /// Tiles of 64 x 64 through workgroup memory.
    Tile64,
    /// Tiles of 128 x 128.
    Tile128,
    /// One row or column by a matrix.
    Gemv,
    /// A few rows or columns by a matrix.
    Thin,
    /// One subgroup of eight for a tile of 32 x 32: software adapters.
    Wave,
    /// The same without branches, for operands whose elements lie next to each other one way or the other.
    Whole,
    /// That with 4, 8 or 16 rows, for few rows or columns.
    Lean,
}

impl Variant {
    /// Every variant.
    pub const ALL: [Variant; 8] = [
        Variant::Auto,
        Variant::Tile64,
        Variant::Tile128,
        Variant::Gemv,
        Variant::Thin,
        Variant::Wave,
        Variant::Whole,
        Variant::Lean,
    ];

    /// Whether what real GPUs get is to run on any adapter.
    pub fn is_tile(self) -> bool {
        matches!(self, Variant::Tile64 | Variant::Tile128)
    }

    /// Its name in `WGTORCH_KERNELS` and in the tuner's files.
    pub fn name(self) -> &'static str {
        match self {
            Variant::Auto => "auto",
            Variant::Tile64 => "tile64",
            Variant::Tile128 => "tile128",
            Variant::Gemv => "gemv",
            Variant::Thin => "thin",
            Variant::Wave => "wave",
            Variant::Whole => "whole",
            Variant::Lean => "lean",
        }
    }

    /// The variant of a name.
    pub fn named(name: &str) -> Option<Variant> {
        Variant::ALL.into_iter().find(|v| v.name() == name)
    }

    /// The variant that the environment asks for; an error for a name that there is not.
    pub fn from_env() -> Result<Variant> {
        match std::env::var("WGTORCH_KERNELS").as_deref() {
            Err(_) | Ok("") => Ok(Variant::Auto),
            Ok(name) => match Variant::named(name) {
                Some(v) => Ok(v),
                None => {
                    let all = Variant::ALL.map(Variant::name).join(", ");
                    bail!(Device, "WGTORCH_KERNELS={name}: expected one of {all}")
                }
            },
        }
    }
}
