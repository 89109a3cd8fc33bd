//! The table of products: which kernel computes what. A pure function of the adapter's kind, the sizes and how the operands lie, so
//! that runs repeat; only a tuner that somebody switched on (`gpu/tuner.rs`) chooses by timing.
//!
//! | adapter | product | kernel |
//! | --- | --- | --- |
//! | GPU | one row or column | `gemv`: the matrix is read once, its depth by slices |
//! | GPU | 2 to 16 rows or columns | `thin`: the same, with as many sums as rows |
//! | GPU | 256 tiles of 128 x 128 and more, less than 15 % of them outside | `tile128` through workgroup memory |
//! | GPU | all others | `tile64` through workgroup memory; few tiles share out the depth |
//! | software | 1 to 16 rows or columns that are contiguous, as below | `lean`: `whole` with 4, 8 or 16 rows |
//! | software | both operands contiguous along rows or columns | `whole`: eight lanes in lock step, no branch around a load |
//! | software | all others | `wave`: the same with loops and branches |

use super::matmul::Core;
use crate::gpu::{Recorder, Variant};

/// What decides of an adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A GPU, or a software adapter without subgroups of eight.
    Gpu,
    /// A software adapter: NOTE [Two cores] in `matmul.rs`.
    Software,
}

impl Kind {
    pub fn of(rec: &Recorder) -> Kind {
        if rec.waves() { Kind::Software } else { Kind::Gpu }
    }
}

/// A product of `m x k` by `k x n` in so many batches, and how its operands lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub m: usize,
    pub n: usize,
    pub k: usize,
    pub batch: usize,
    /// Neighbours of a lie along the depth.
    pub a_deep: bool,
    /// Neighbours of b lie along the depth.
    pub b_deep: bool,
    /// Both are contiguous along rows or columns.
    pub lined: bool,
    /// Both are loaded by whole quads.
    pub whole: bool,
}

impl Shape {
    /// The products that the tuner has one choice for: sizes up to the next power of two, and whatever tells who is able.
    pub fn class(&self) -> String {
        let [m, k, n, batch] = [self.m, self.k, self.n, self.batch].map(usize::next_power_of_two);
        let part = |yes: bool, name: &'static str| if yes { name } else { "" };
        format!(
            "matmul {m}x{k}x{n} batch {batch}{}{}{}{}{}",
            part(self.a_deep, ", a along the depth"),
            part(self.b_deep, ", b along the depth"),
            part(self.lined, ", contiguous"),
            part(self.whole, ", by quads"),
            part(self.n < self.m, ", fewer columns"),
        )
    }

    /// The few rows, or columns of the turned product, and whether it is turned: they lie along the depth, since their lanes cannot
    /// transpose.
    fn lean(&self) -> Option<(usize, bool)> {
        let rows = (self.a_deep && self.m <= FEW).then_some((self.m, false));
        let cols = (self.b_deep && self.n <= FEW).then_some((self.n, true));
        rows.into_iter().chain(cols).min()
    }
}

/// Tiles of 128 x 128 that fill a large device: below that there are more, smaller ones.
const MANY: usize = 256;
/// The most rows or columns that are few.
pub(super) const FEW: usize = 16;
/// Invocations of a workgroup where rows are few.
pub(super) const THIN: usize = 128;

/// Whether a variant can do a product at all.
pub(super) fn able(kind: Kind, v: Variant, s: &Shape) -> bool {
    let few = s.m.min(s.n);
    match v {
        Variant::Auto => false,
        Variant::Tile64 | Variant::Tile128 => true,
        Variant::Gemv => few == 1,
        Variant::Thin => (2..=FEW).contains(&few),
        Variant::Wave => kind == Kind::Software,
        Variant::Whole => kind == Kind::Software && s.lined,
        Variant::Lean => kind == Kind::Software && s.lined && s.lean().is_some(),
    }
}

/// The variant for a product: the one that is asked for where it can do that, else the table's.
pub(super) fn pick(kind: Kind, wanted: Variant, s: &Shape) -> Variant {
    if able(kind, wanted, s) {
        return wanted;
    }
    match kind {
        Kind::Software if able(kind, Variant::Lean, s) => Variant::Lean,
        Kind::Software if s.lined => Variant::Whole,
        Kind::Software => Variant::Wave,
        Kind::Gpu if s.m.min(s.n) == 1 => Variant::Gemv,
        Kind::Gpu if s.m.min(s.n) <= FEW => Variant::Thin,
        Kind::Gpu => tile(wanted, [s.m, s.n], s.batch),
    }
}

/// The tile for a result of `[rows, cols]` in so many batches.
fn tile(wanted: Variant, [rows, cols]: [usize; 2], batch: usize) -> Variant {
    if wanted.is_tile() {
        return wanted;
    }
    // a large tile loads half as much for an element; it must not compute much more beside the result
    let tiles = |side: usize| rows.div_ceil(side) * cols.div_ceil(side);
    let wasted = 4 * 100 * tiles(128) > 115 * tiles(64);
    if tiles(128) * batch >= MANY && !wasted { Variant::Tile128 } else { Variant::Tile64 }
}

/// Every variant that can do a product, the table's first: what the tuner chooses from.
pub(super) fn all(kind: Kind, s: &Shape) -> Vec<Variant> {
    let first = pick(kind, Variant::Auto, s);
    let others = Variant::ALL.into_iter().filter(|&v| v != first && able(kind, v, s));
    [first].into_iter().chain(others).collect()
}

/// The core of a variant, and whether the product is turned for it: `b' a'` makes few columns few rows.
pub(super) fn core(v: Variant, s: &Shape) -> (Core, bool) {
    let turned = s.n < s.m;
    match v {
        Variant::Gemv | Variant::Thin => {
            let (rows, cols, deep) = if turned { (s.n, s.m, s.a_deep) } else { (s.m, s.n, s.b_deep) };
            // so many slices of the depth that neighbours read 256 bytes in a row along it, or share a line's columns
            let most = if deep { 16 } else { 8 };
            let slices = s.k.div_ceil(4).next_power_of_two().min(most);
            let quads = (THIN / slices).min(cols.div_ceil(4).next_power_of_two());
            (Core::Thin { rows: rows.next_power_of_two() as u32, quads: quads as u32 }, turned)
        }
        Variant::Tile128 => (Core::Tile(128), false),
        Variant::Tile64 | Variant::Auto => (Core::Tile(64), false),
        Variant::Wave => (Core::Wave(32), false),
        Variant::Whole => (Core::Whole(32), false),
        Variant::Lean => {
            let (rows, turned) = s.lean().unwrap_or((FEW, turned));
            (Core::Whole(rows.next_power_of_two().max(4) as u32), turned)
        }
    }
}

/// The core for a convolution as a product with a result of `[rows, cols]` in so many batches.
pub(super) fn conv_core(rec: &Recorder, [rows, cols]: [usize; 2], batch: usize) -> Core {
    match Kind::of(rec) {
        Kind::Software => Core::Wave(if rows <= 16 { 16 } else { 32 }),
        Kind::Gpu if tile(rec.variant(), [rows, cols], batch) == Variant::Tile128 => Core::Tile(128),
        Kind::Gpu => Core::Tile(64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(m: usize, k: usize, n: usize) -> Shape {
        let whole = [m, k, n].iter().all(|x| x.is_multiple_of(4));
        Shape { m, n, k, batch: 1, a_deep: true, b_deep: false, lined: true, whole }
    }

    #[test]
    fn the_table() {
        use Variant::*;
        for (kind, wanted, s, want) in [
            (Kind::Gpu, Auto, shape(1, 4096, 4096), Gemv),
            (Kind::Gpu, Auto, shape(4096, 4096, 1), Gemv),
            (Kind::Gpu, Auto, shape(1, 7, 1), Gemv),
            (Kind::Gpu, Auto, shape(2, 4096, 4096), Thin),
            (Kind::Gpu, Auto, shape(4096, 4096, 16), Thin),
            (Kind::Gpu, Auto, shape(17, 4096, 4096), Tile64),
            (Kind::Gpu, Auto, shape(1024, 1024, 1024), Tile64),
            (Kind::Gpu, Auto, shape(2048, 64, 2048), Tile128),
            (Kind::Gpu, Auto, shape(2049, 64, 2049), Tile128),
            (Kind::Gpu, Auto, shape(129, 64, 16384), Tile64),
            (Kind::Gpu, Tile128, shape(1, 8, 1), Tile128),
            (Kind::Gpu, Tile64, shape(2048, 64, 2048), Tile64),
            // what cannot be forced falls back to the table
            (Kind::Gpu, Gemv, shape(2, 8, 9), Thin),
            (Kind::Gpu, Thin, shape(1, 8, 9), Gemv),
            (Kind::Gpu, Wave, shape(64, 64, 64), Tile64),
            (Kind::Gpu, Whole, shape(2048, 64, 2048), Tile128),
            (Kind::Software, Auto, shape(64, 64, 64), Whole),
            (Kind::Software, Auto, shape(64, 63, 64), Whole),
            (Kind::Software, Auto, Shape { lined: false, ..shape(64, 63, 64) }, Wave),
            (Kind::Software, Auto, shape(8, 64, 64), Lean),
            (Kind::Software, Auto, shape(8, 63, 64), Lean),
            (Kind::Software, Lean, Shape { lined: false, ..shape(8, 63, 64) }, Wave),
            // b is not along the depth: its few columns are no rows that lanes could take
            (Kind::Software, Auto, shape(64, 64, 8), Whole),
            // but few rows beside fewer columns are
            (Kind::Software, Auto, shape(7, 100_003, 5), Lean),
            (Kind::Software, Whole, shape(8, 64, 64), Whole),
            (Kind::Software, Wave, shape(64, 64, 64), Wave),
            (Kind::Software, Whole, Shape { lined: false, ..shape(64, 63, 64) }, Wave),
            (Kind::Software, Gemv, shape(64, 63, 1), Gemv),
            (Kind::Software, Thin, shape(7, 64, 64), Thin),
            (Kind::Software, Thin, shape(64, 64, 64), Whole),
        ] {
            assert_eq!(pick(kind, wanted, &s), want, "{kind:?} {wanted:?} {s:?}");
        }
    }

    #[test]
    fn few_columns_are_few_rows_of_the_turned_product() {
        let thin = |rows, quads| Core::Thin { rows, quads };
        for (s, want) in [
            // columns side by side: 16 quads of them, 8 slices
            (shape(1, 4096, 4096), (thin(1, 16), false)),
            // the depth is contiguous: 16 slices
            (shape(4096, 4096, 1), (thin(1, 8), true)),
            (shape(4096, 4096, 3), (thin(4, 8), true)),
            (shape(9, 4096, 4096), (thin(16, 16), false)),
            // few of both: all invocations share out the depth
            (shape(1, 100_000, 1), (thin(1, 1), false)),
            (shape(7, 100_003, 5), (thin(8, 2), true)),
            // no depth to share out
            (shape(2, 3, 100_000), (thin(2, 128), false)),
        ] {
            assert_eq!(core(pick(Kind::Gpu, Variant::Auto, &s), &s), want, "{s:?}");
        }
    }

    #[test]
    fn the_fewer_of_what_lies_along_the_depth_are_lean() {
        let both = |m, k, n| Shape { b_deep: true, ..shape(m, k, n) };
        for (s, want) in [
            (shape(7, 100_003, 5), (Core::Whole(8), false)),
            (both(7, 64, 3), (Core::Whole(4), true)),
            (both(4, 64, 4), (Core::Whole(4), false)),
            (Shape { a_deep: false, ..both(3, 64, 9) }, (Core::Whole(16), true)),
        ] {
            assert_eq!(core(pick(Kind::Software, Variant::Auto, &s), &s), want, "{s:?}");
        }
    }
}
