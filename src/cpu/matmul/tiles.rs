//! Products of f32 on CPUs with AVX-512: panels of b in blocks that the second level of cache holds, fourteen rows of a turned
//! so that neighbours are one broadcast apart, and tiles of 14 by 32 sums in registers, finished with bias and relu before they
//! are written. What a sum is added from depends on sizes alone.

use super::Product;
use crate::cpu::memory::HostBuf;
use crate::cpu::simd::{SERIAL, SendPtr, chunks, prefetch, widest};
use std::arch::x86_64::*;
use std::ops::Range;

/// Rows of a tile: with two vectors of sums each they leave four of the 32 registers.
const ROWS: usize = 14;
/// f32 of a vector.
const LANES: usize = 16;
/// Columns of a tile and of a panel.
const COLS: usize = 2 * LANES;
/// Terms after which sums go to memory: a panel and the rows of a then stay in the first level of cache, or nearly so.
const DEPTH: usize = 256;
/// Elements of b that are packed at once: half a megabyte.
const BLOCK: usize = 1 << 17;
/// Terms of a panel that are asked for before they are read.
const AHEAD: usize = 8;
/// Multiply-adds that are worth a thread's while.
const UNIT: usize = 8 * SERIAL;
/// Below this many multiply-adds packing costs more than it gains.
const LEAST: usize = 1 << 13;

/// Computes a product, or says no: another CPU, a thin or a tiny product, operands that
/// lie row by row without a bias, or results that lie apart both ways.
pub fn product(p: Product<f32>, alpha: f32, beta: f32, relu: bool, split: bool) -> bool {
    let p = if p.out_cs == 1 { p } else { p.transposed() };
    if p.out_cs != 1 || p.m < 4 || p.n < 8 || p.m * p.n * p.k < LEAST || !widest() {
        return false;
    }
    // where nothing has to be turned and nothing is added the crate's kernels are as good or better, but for columns that are
    // no whole vectors, and for tall products on several threads, whose rows are shared out here at once
    if p.a_cs == 1 && p.b_cs == 1 && p.bias.is_none() && p.n.is_multiple_of(LANES) && !(split && p.m >= 2 * p.n) {
        return false;
    }
    // as even as can be: a last block of few rows would take as long as one of many
    let row_blocks = p.m.div_ceil(ROWS);
    let depth_block =
        if p.k <= BLOCK / COLS { p.k.min((BLOCK / p.n.next_multiple_of(COLS)).max(DEPTH)) } else { DEPTH };
    let depth_block = if depth_block < p.k { depth_block / DEPTH * DEPTH } else { depth_block };
    let width = (BLOCK / depth_block / COLS).max(1) * COLS;
    let width = p.n.div_ceil(COLS).div_ceil(p.n.div_ceil(width)) * COLS;
    let panels = p.n.min(width).div_ceil(COLS);
    let packed = HostBuf::alloc(panels * COLS * depth_block * size_of::<f32>());
    let packed = SendPtr(packed.ptr().cast::<f32>());
    for columns in pieces(p.n, width) {
        for depth in pieces(p.k, depth_block) {
            let last = depth.end == p.k;
            let panels = columns.len().div_ceil(COLS);
            let pack = |r: Range<usize>| {
                for panel in r {
                    let j = columns.start + panel * COLS;
                    let b = p.b.add(depth.start * p.b_rs + j * p.b_cs);
                    let to = packed.add(panel * COLS * depth.len());
                    // SAFETY: the CPU has AVX-512; columns and terms are of b, and each panel has its place.
                    unsafe { pack_panel(to.get(), b.get(), p.b_rs, p.b_cs, depth.len(), (p.n - j).min(COLS)) };
                }
            };
            let per_row_block = ROWS * columns.len() * depth.len();
            let parts = if split { panels.min((16 / row_blocks).min(per_row_block / UNIT)).max(1) } else { 1 };
            let work = |r: Range<usize>| {
                let scratch = HostBuf::alloc((ROWS * DEPTH + LANES) * size_of::<f32>());
                for unit in r {
                    let (block, part) = (unit / parts, unit % parts);
                    let rows = p.m * block / row_blocks..p.m * (block + 1) / row_blocks;
                    let mine = panels * part / parts..panels * (part + 1) / parts;
                    for inner in pieces(depth.len(), DEPTH) {
                        let at = depth.start + inner.start;
                        let strip = Strip {
                            p: &p,
                            rows: rows.clone(),
                            depth: at..at + inner.len(),
                            first_column: columns.start,
                            panels: mine.clone(),
                            packed: packed.add(inner.start * COLS).get(),
                            panel_step: COLS * depth.len(),
                            relu: relu && last && inner.end == depth.len(),
                            alpha,
                            beta,
                        };
                        // SAFETY: the CPU has AVX-512, the panels are packed, and each unit writes results of its own.
                        unsafe { strip.run(scratch.ptr().cast()) };
                    }
                }
            };
            if split {
                chunks(panels, (SERIAL / (COLS * depth.len())).max(1), pack);
                chunks(row_blocks * parts, (UNIT * parts / per_row_block.max(1)).max(1), work);
            } else {
                pack(0..panels);
                work(0..row_blocks * parts);
            }
        }
    }
    true
}

fn pieces(n: usize, size: usize) -> impl Iterator<Item = Range<usize>> {
    (0..n).step_by(size).map(move |at| at..(at + size).min(n))
}

/// Some rows of a product times panels of packed columns, over at most [`DEPTH`] terms.
struct Strip<'a> {
    p: &'a Product<f32>,
    rows: Range<usize>,
    depth: Range<usize>,
    first_column: usize,
    panels: Range<usize>,
    packed: *const f32,
    panel_step: usize,
    relu: bool,
    alpha: f32,
    beta: f32,
}

impl Strip<'_> {
    /// # Safety
    /// The CPU has AVX-512; the operands reach rows, columns and terms; `scratch` has room for [`ROWS`] rows.
    unsafe fn run(&self, scratch: *mut f32) {
        let p = self.p;
        let (rows, depth) = (self.rows.len(), self.depth.len());
        let a = p.a.add(self.rows.start * p.a_rs + self.depth.start * p.a_cs).get().cast_const();
        // SAFETY: the caller's promise.
        unsafe {
            if p.a_rs == 1 {
                line_up(scratch, rows, a, p.a_cs, depth)
            } else {
                turn(scratch, rows, a, p.a_rs, p.a_cs, rows, depth)
            }
        };
        let a = scratch.cast_const();
        for panel in self.panels.clone() {
            let column = self.first_column + panel * COLS;
            let cols = (p.n - column).min(COLS);
            let out = p.out.add(self.rows.start * p.out_rs + column).get();
            let mut copy = [0f32; ROWS * COLS];
            let add = if self.depth.start != 0 {
                Some((out.cast_const(), p.out_rs, 1.0))
            } else {
                p.bias.map(|(v, rs, cs)| {
                    let v = v.add(self.rows.start * rs + column * cs).get().cast_const();
                    if cs == 1 {
                        return (v, rs, self.beta);
                    }
                    for i in 0..rows {
                        for j in 0..cols {
                            // SAFETY: the bias has the results' shape.
                            copy[i * COLS + j] = unsafe { *v.add(i * rs + j * cs) };
                        }
                    }
                    (copy.as_ptr(), COLS, self.beta)
                })
            };
            let b = self.packed.wrapping_add(panel * self.panel_step);
            let tile = Tile { depth, a, b, out, out_rs: p.out_rs, cols, add, alpha: self.alpha, relu: self.relu };
            macro_rules! of_rows {
                ($($r:literal)*) => {
                    match rows {
                        // SAFETY: the caller's promise; the operands hold as many rows.
                        $($r if cols > LANES => unsafe { tile.run::<$r, 2>() },
                        $r => unsafe { tile.run::<$r, 1>() },)*
                        _ => unreachable!("a block has at most 14 rows"),
                    }
                };
            }
            of_rows!(1 2 3 4 5 6 7 8 9 10 11 12 13 14);
        }
    }
}

/// A tile of results: what it is computed from and where it goes.
struct Tile {
    depth: usize,
    /// R rows are neighbours, then comes the next term.
    a: *const f32,
    /// A packed panel.
    b: *const f32,
    out: *mut f32,
    out_rs: usize,
    cols: usize,
    /// What is added to the sums: rows so many elements apart, and a factor.
    add: Option<(*const f32, usize, f32)>,
    alpha: f32,
    relu: bool,
}

impl Tile {
    /// # Safety
    /// The CPU has AVX-512; operands and results hold R rows and the tile's columns.
    #[target_feature(enable = "avx512f")]
    unsafe fn run<const R: usize, const V: usize>(&self) {
        let mut sums = [[_mm512_setzero_ps(); V]; R];
        let (mut a, mut b) = (self.a, self.b);
        for i in 0..R {
            prefetch(self.out.wrapping_add(i * self.out_rs).cast(), 4 * COLS);
        }
        for _ in 0..self.depth {
            // what comes in some turns: a panel is on its way from the second level
            prefetch(b.wrapping_add(AHEAD * COLS).cast(), 4 * COLS);
            // SAFETY: a panel has COLS elements a term, a has R rows.
            unsafe {
                let mut y = [_mm512_setzero_ps(); V];
                for v in 0..V {
                    y[v] = _mm512_loadu_ps(b.add(v * LANES));
                }
                for i in 0..R {
                    let x = _mm512_set1_ps(*a.add(i));
                    for v in 0..V {
                        sums[i][v] = _mm512_fmadd_ps(x, y[v], sums[i][v]);
                    }
                }
            }
            (a, b) = (a.wrapping_add(R), b.wrapping_add(COLS));
        }
        let alpha = _mm512_set1_ps(self.alpha);
        let zero = _mm512_setzero_ps();
        for v in 0..V {
            let mask = lanes(self.cols - v * LANES);
            for i in 0..R {
                let mut r = _mm512_mul_ps(sums[i][v], alpha);
                // SAFETY: the lanes of the mask lie in the results and in what is added.
                unsafe {
                    if let Some((from, rs, factor)) = self.add {
                        let x = _mm512_maskz_loadu_ps(mask, from.add(i * rs + v * LANES));
                        r = _mm512_fmadd_ps(x, _mm512_set1_ps(factor), r);
                    }
                    if self.relu {
                        // NaN stays
                        r = _mm512_mask_mov_ps(r, _mm512_cmp_ps_mask::<_CMP_LE_OQ>(r, zero), zero);
                    }
                    _mm512_mask_storeu_ps(self.out.add(i * self.out_rs + v * LANES), mask, r);
                }
            }
        }
    }
}

/// The first `n` lanes, at most all of them.
fn lanes(n: usize) -> __mmask16 {
    if n >= LANES { !0 } else { (1 << n) - 1 }
}

/// Copies `cols` columns of b to a panel: term by term, and zeros beside them.
///
/// # Safety
/// The CPU has AVX-512; b has the columns and terms; the panel has COLS elements a term.
#[target_feature(enable = "avx512f")]
unsafe fn pack_panel(to: *mut f32, b: *const f32, rs: usize, cs: usize, depth: usize, cols: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        if cs == 1 {
            let masks = [lanes(cols), lanes(cols.saturating_sub(LANES))];
            for l in 0..depth {
                for v in 0..2 {
                    let x = _mm512_maskz_loadu_ps(masks[v], b.wrapping_add(l * rs + v * LANES));
                    _mm512_storeu_ps(to.add(l * COLS + v * LANES), x);
                }
            }
            return;
        }
        for v in 0..2 {
            // the other half is written before the first is whole: a term takes LANES elements from where it begins
            let n = cols.saturating_sub(v * LANES).min(LANES);
            turn(to.add(v * LANES), COLS, b.wrapping_add(v * LANES * cs), cs, rs, n, depth);
        }
    }
}

/// Copies `depth` terms of `n` neighbours each, `step` apart, one behind the other. LANES elements are written for each.
///
/// # Safety
/// The CPU has AVX-512; the terms hold their elements; `to` has room for LANES elements at the last one's place.
#[target_feature(enable = "avx512f")]
unsafe fn line_up(to: *mut f32, n: usize, from: *const f32, step: usize, depth: usize) {
    let mask = lanes(n);
    for l in 0..depth {
        // SAFETY: the lanes of the mask are elements of the term.
        unsafe { _mm512_storeu_ps(to.add(l * n), _mm512_maskz_loadu_ps(mask, from.wrapping_add(l * step))) };
    }
}

/// Copies `n` lines of `depth` elements so that those of one place are neighbours, the places `to_step` apart. LANES elements
/// are written at each place in order, zeros after the lines, so that the next place may begin among them.
///
/// # Safety
/// The CPU has AVX-512; the lines hold their elements; `to` has room for LANES elements at the last place.
#[target_feature(enable = "avx512f")]
unsafe fn turn(to: *mut f32, to_step: usize, from: *const f32, line: usize, step: usize, n: usize, depth: usize) {
    for at in (0..depth).step_by(LANES) {
        let len = (depth - at).min(LANES);
        let mut rows = [_mm512_setzero_ps(); LANES];
        // SAFETY: line i < n, and places from `at` on for `len`; lanes that a mask leaves out are not touched.
        unsafe {
            if step == 1 {
                let mask = lanes(len);
                for i in 0..LANES {
                    let mask = if i < n { mask } else { 0 };
                    rows[i] = _mm512_maskz_loadu_ps(mask, from.wrapping_add(i * line + at));
                }
            } else {
                for i in 0..n {
                    let mut row = [0f32; LANES];
                    for l in 0..len {
                        row[l] = *from.add(i * line + (at + l) * step);
                    }
                    rows[i] = _mm512_loadu_ps(row.as_ptr());
                }
            }
            let turned = transposed(rows);
            let to = to.add(at * to_step);
            if len == LANES {
                for l in 0..LANES {
                    _mm512_storeu_ps(to.add(l * to_step), turned[l]);
                }
            } else {
                for l in 0..len {
                    _mm512_storeu_ps(to.add(l * to_step), turned[l]);
                }
            }
        }
    }
}

/// Rows for columns: pairs, quads, then quarters of vectors are exchanged.
#[inline]
#[target_feature(enable = "avx512f")]
fn transposed(r: [__m512; LANES]) -> [__m512; LANES] {
    let mut pairs = r;
    for i in 0..8 {
        pairs[2 * i] = _mm512_unpacklo_ps(r[2 * i], r[2 * i + 1]);
        pairs[2 * i + 1] = _mm512_unpackhi_ps(r[2 * i], r[2 * i + 1]);
    }
    // quads[4q + j] holds in its quarter c the column 4c + j of rows 4q to 4q + 3
    let mut quads = r;
    for q in 0..4 {
        for h in 0..2 {
            let (a, b) = (_mm512_castps_pd(pairs[4 * q + h]), _mm512_castps_pd(pairs[4 * q + 2 + h]));
            quads[4 * q + 2 * h] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
            quads[4 * q + 2 * h + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
        }
    }
    let mut out = r;
    for j in 0..4 {
        let (a, b, c, d) = (quads[j], quads[4 + j], quads[8 + j], quads[12 + j]);
        // even quarters, then odd ones, of the upper and the lower eight rows
        let (ab0, ab1) = (_mm512_shuffle_f32x4::<0x88>(a, b), _mm512_shuffle_f32x4::<0xdd>(a, b));
        let (cd0, cd1) = (_mm512_shuffle_f32x4::<0x88>(c, d), _mm512_shuffle_f32x4::<0xdd>(c, d));
        out[j] = _mm512_shuffle_f32x4::<0x88>(ab0, cd0);
        out[8 + j] = _mm512_shuffle_f32x4::<0xdd>(ab0, cd0);
        out[4 + j] = _mm512_shuffle_f32x4::<0x88>(ab1, cd1);
        out[12 + j] = _mm512_shuffle_f32x4::<0xdd>(ab1, cd1);
    }
    out
}
