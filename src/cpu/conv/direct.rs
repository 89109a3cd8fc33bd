//! The correlation that forward and input gradient share: every output row is a sum of shifted source rows, one per tap
//! (input channel, kernel row, kernel column), so the kernel keeps a tile of output channels by columns in registers and
//! walks a table of tap offsets. Nothing is unfolded; strides are gone because the source is split by phase beforehand.

use crate::cpu::lanes::{HasLanes, Lanes};
use crate::cpu::memory::HostBuf;
use crate::cpu::simd::{SendPtr, chunks};

/// Most output channels in one register tile.
pub(super) const TILE: usize = 6;
/// Most taps in one pass over the output: their source rows and weights stay in the caches.
const TAP_BLOCK: usize = 576;
/// Multiply-adds that make a task.
const TASK: usize = 1 << 18;

/// Source planes, one a channel; a step of one output column is one element, of one output row `row` elements.
pub(super) struct Source<T> {
    pub ptr: SendPtr<T>,
    pub batch: usize,
    pub channel: usize,
    pub row: usize,
    /// Elements readable behind the last one that a tap of the last output column reaches.
    pub slack: usize,
}

/// The output: a pointer and its strides, and how many rows and columns there are.
pub(super) struct Target<T> {
    pub ptr: SendPtr<T>,
    pub strides: [usize; 4],
    pub rows: usize,
    pub cols: usize,
}

/// Weights packed for the register tiles: per group and tile of channels, `[tap][channel]`.
pub(super) struct Weights {
    packed: HostBuf,
    /// First channel and number of channels of each tile of a group.
    tiles: Vec<(usize, usize)>,
    taps: usize,
    channels: usize,
}

impl Weights {
    /// Packs `at(group, channel, tap)`.
    pub fn pack<T: HasLanes>(
        groups: usize,
        channels: usize,
        taps: usize,
        at: impl Fn(usize, usize, usize) -> T + Sync,
    ) -> Weights {
        let packed = HostBuf::alloc(groups * channels * taps * size_of::<T>());
        let to = SendPtr(packed.ptr().cast::<T>());
        let tiles = split_evenly(channels, TILE);
        let count = tiles.len();
        chunks(groups * count, (1 << 14) / (taps * TILE).max(1), |r| {
            for i in r {
                let (g, (first, n)) = (i / count, tiles[i % count]);
                let base = (g * channels + first) * taps;
                for t in 0..taps {
                    for o in 0..n {
                        // SAFETY: tiles partition the channels, so the index is below groups * channels * taps.
                        unsafe { to.get().add(base + t * n + o).write(at(g, first + o, t)) };
                    }
                }
            }
        });
        Weights { packed, tiles, taps, channels }
    }
}

/// `n` things in as few parts of at most `most` as possible, sizes differing by one at most: (first, size).
pub(super) fn split_evenly(n: usize, most: usize) -> Vec<(usize, usize)> {
    let parts = n.div_ceil(most);
    (0..parts).map(|i| (i * n / parts, (i + 1) * n / parts - i * n / parts)).collect()
}

/// Columns that one tile covers: `vectors` vectors, `gap` apart.
#[derive(Clone, Copy)]
struct Columns {
    start: usize,
    gap: usize,
    vectors: usize,
    /// Lanes of each vector that an earlier one has covered.
    skip: [usize; 2],
    /// Lanes that exist at all.
    valid: usize,
}

/// Covers `cols` columns without reading past their end (vectors overlap instead), unless there are fewer than lanes.
fn columns(cols: usize, lanes: usize) -> Vec<Columns> {
    let one = |start, skip, valid| Columns { start, gap: 0, vectors: 1, skip: [skip, 0], valid };
    if cols < lanes {
        return vec![one(0, 0, cols)];
    }
    let mut list = Vec::new();
    let mut done = 0;
    while done < cols {
        let left = cols - done;
        let full = Columns { start: done, gap: lanes, vectors: 2, skip: [0, 0], valid: lanes };
        list.push(if left >= 2 * lanes {
            full
        } else if left == lanes {
            one(done, 0, lanes)
        } else if left < lanes {
            one(cols - lanes, lanes - left, lanes)
        } else {
            Columns { gap: left - lanes, skip: [0, 2 * lanes - left], ..full }
        });
        done += list.last().map_or(left, |c| if c.vectors == 2 { left.min(2 * lanes) } else { left.min(lanes) });
    }
    list
}

/// What a task needs to know.
struct Job<'a, T> {
    source: &'a Source<T>,
    target: &'a Target<T>,
    weights: &'a Weights,
    offsets: &'a [usize],
    bias: Option<(SendPtr<T>, usize)>,
    relu: bool,
    /// Row length of the flattened source where all rows are taken as one.
    flat: Option<usize>,
    group_in: usize,
}

/// `target[n, g * channels + o, y, x] = relu?(bias + sum over taps of weight[g, o, tap] * source[n, g, tap + y, x])`,
/// where tap `t` of a group lies `offsets[t]` behind the output's own position and groups are `group_in` elements apart.
#[allow(clippy::too_many_arguments, reason = "one call site a kernel")]
pub(super) fn correlate<T: HasLanes>(
    source: &Source<T>,
    target: &Target<T>,
    batch: usize,
    groups: usize,
    weights: &Weights,
    offsets: &[usize],
    group_in: usize,
    bias: Option<(SendPtr<T>, usize)>,
    relu: bool,
) {
    let lanes = <T::Wide as Lanes>::N;
    let (rows, cols) = (target.rows, target.cols);
    if batch * groups * weights.channels * rows * cols == 0 {
        return;
    }
    // all rows as one, with the columns between them computed and dropped, where that wastes less
    let flat_len = (rows - 1) * source.row + cols;
    let per_row = cols.next_multiple_of(lanes);
    let exact = source.row == cols && target.strides[2] == cols && target.strides[3] == 1;
    let flat = rows > 1 && (exact || (flat_len * 8 < per_row * rows * 7 && flat_len >= lanes));
    let collapsed;
    let (target, flat) = if flat && exact {
        let strides = [target.strides[0], target.strides[1], cols * rows, 1];
        collapsed = Target { ptr: target.ptr, strides, rows: 1, cols: rows * cols };
        (&collapsed, None)
    } else {
        (target, flat.then_some(source.row))
    };
    let (rows, cols) = (target.rows, target.cols);
    debug_assert!(flat.is_some() || cols >= lanes || source.slack >= lanes);
    let job = Job { source, target, weights, offsets, bias, relu, flat, group_in };

    // tasks: images by groups by rows, and by tiles of channels where those are few; sizes alone decide
    let tiles = weights.tiles.len();
    let cost = weights.channels * weights.taps.max(1) * cols;
    let row_chunk = if flat.is_some() { rows } else { (TASK / cost).clamp(1, rows) };
    let row_chunks = rows.div_ceil(row_chunk);
    let tile_chunk = if batch * groups * row_chunks < 8 {
        (TASK / (TILE * weights.taps.max(1) * cols * row_chunk)).max(1)
    } else {
        tiles
    };
    let tile_chunks = tiles.div_ceil(tile_chunk);
    let units = batch * groups * row_chunks * tile_chunks;
    let unit_cost = cost * row_chunk / tile_chunks;
    chunks(units, (TASK / unit_cost.max(1)).max(1), |range| {
        for unit in range {
            let (rest, tc) = (unit / tile_chunks, unit % tile_chunks);
            let (rest, rc) = (rest / row_chunks, rest % row_chunks);
            let (n, g) = (rest / groups, rest % groups);
            let tiles = tc * tile_chunk..((tc + 1) * tile_chunk).min(tiles);
            let rows = rc * row_chunk..((rc + 1) * row_chunk).min(rows);
            run_unit(&job, n, g, tiles, rows);
        }
    });
}

fn run_unit<T: HasLanes>(
    job: &Job<T>,
    n: usize,
    g: usize,
    tiles: std::ops::Range<usize>,
    rows: std::ops::Range<usize>,
) {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2,fma")]
        fn wide<T: HasLanes>(
            job: &Job<T>,
            n: usize,
            g: usize,
            tiles: std::ops::Range<usize>,
            rows: std::ops::Range<usize>,
        ) {
            unit::<T::Wide>(job, n, g, tiles, rows);
        }
        if crate::cpu::simd::wide() {
            // SAFETY: the CPU has the features.
            return unsafe { wide(job, n, g, tiles, rows) };
        }
    }
    unit::<T::Plain>(job, n, g, tiles, rows);
}

#[inline(always)]
fn unit<L: Lanes>(job: &Job<L::E>, n: usize, g: usize, tiles: std::ops::Range<usize>, rows: std::ops::Range<usize>) {
    let Job { source, target, weights, .. } = *job;
    let src = source.ptr.add(n * source.batch + g * job.group_in).get().cast_const();
    let out = target.ptr.add(n * target.strides[0] + g * weights.channels * target.strides[1]).get();
    let line_len = job.flat.map_or(0, |row| (target.rows - 1) * row + target.cols);
    let mut line = vec![L::E::default(); line_len * TILE];
    let cols = columns(if job.flat.is_some() { line_len } else { target.cols }, L::N);
    let tap_blocks = if weights.taps == 0 { vec![(0, 0)] } else { split_evenly(weights.taps, TAP_BLOCK) };
    for tile in tiles {
        let (first, count) = weights.tiles[tile];
        for &(tap0, taps) in &tap_blocks {
            // SAFETY: the packed weights of this tile hold taps * count elements.
            let w = unsafe {
                weights.packed.ptr().cast::<L::E>().add((g * weights.channels + first) * weights.taps + tap0 * count)
            };
            let mut bias = [L::E::default(); TILE];
            if let Some((ptr, stride)) = job.bias {
                for (o, b) in bias[..count].iter_mut().enumerate() {
                    // SAFETY: bias has one element a channel.
                    *b = unsafe { *ptr.get().add((g * weights.channels + first + o) * stride) };
                }
            }
            let pass = Pass {
                src,
                row: source.row,
                offsets: &job.offsets[tap0..tap0 + taps],
                w,
                out: if job.flat.is_some() { line.as_mut_ptr() } else { out.wrapping_add(first * target.strides[1]) },
                out_channel: if job.flat.is_some() { line_len } else { target.strides[1] },
                out_row: target.strides[2],
                out_col: if job.flat.is_some() { 1 } else { target.strides[3] },
                bias,
                first: tap0 == 0,
                last: tap0 + taps == weights.taps,
                relu: job.relu,
            };
            let rows = if job.flat.is_some() { 0..1 } else { rows.clone() };
            match count {
                1 => sweep::<L, 1>(&pass, rows, &cols),
                2 => sweep::<L, 2>(&pass, rows, &cols),
                3 => sweep::<L, 3>(&pass, rows, &cols),
                4 => sweep::<L, 4>(&pass, rows, &cols),
                5 => sweep::<L, 5>(&pass, rows, &cols),
                _ => sweep::<L, 6>(&pass, rows, &cols),
            }
        }
        if let Some(row) = job.flat {
            let [_, sc, sh, sw] = target.strides;
            for o in 0..count {
                for y in 0..target.rows {
                    let from = &line[o * line_len + y * row..][..target.cols];
                    for (x, &v) in from.iter().enumerate() {
                        // SAFETY: channel, row and column exist.
                        unsafe { out.add((first + o) * sc + y * sh + x * sw).write(v) };
                    }
                }
            }
        }
    }
}

/// One block of taps for one tile of channels.
struct Pass<'a, E> {
    src: *const E,
    row: usize,
    offsets: &'a [usize],
    w: *const E,
    out: *mut E,
    out_channel: usize,
    out_row: usize,
    out_col: usize,
    bias: [E; TILE],
    first: bool,
    last: bool,
    relu: bool,
}

#[inline(always)]
fn sweep<L: Lanes, const O: usize>(p: &Pass<L::E>, rows: std::ops::Range<usize>, cols: &[Columns]) {
    for y in rows {
        for c in cols {
            // SAFETY: rows and columns exist in source and target, as `columns` and the callers' sizes say.
            unsafe { if c.vectors == 2 { tile::<L, O, 2>(p, y, c) } else { tile::<L, O, 1>(p, y, c) } }
        }
    }
}

/// # Safety
/// The tile's columns of row `y` are writable, and every tap's source row holds them (with slack where fewer than lanes).
#[inline(always)]
unsafe fn tile<L: Lanes, const O: usize, const V: usize>(p: &Pass<L::E>, y: usize, c: &Columns) {
    let out = p.out.wrapping_add(y * p.out_row + c.start * p.out_col);
    let plain = p.out_col == 1 && c.valid == L::N;
    let mut acc = [[L::splat(L::E::default()); V]; O];
    // SAFETY: see above.
    unsafe {
        for (o, acc) in acc.iter_mut().enumerate() {
            for (v, acc) in acc.iter_mut().enumerate() {
                *acc = if p.first {
                    L::splat(p.bias[o])
                } else if plain {
                    L::load(out.add(o * p.out_channel + v * c.gap))
                } else {
                    let mut lanes = [L::E::default(); 16];
                    for (i, lane) in lanes[..c.valid].iter_mut().enumerate() {
                        *lane = *out.add(o * p.out_channel + (v * c.gap + i) * p.out_col);
                    }
                    L::load(lanes.as_ptr())
                };
            }
        }
        let base = p.src.add(y * p.row + c.start);
        let mut w = p.w;
        for &offset in p.offsets {
            let x: [L; V] = std::array::from_fn(|v| L::load(base.add(offset + v * c.gap)));
            for (o, acc) in acc.iter_mut().enumerate() {
                let b = L::splat(*w.add(o));
                for (acc, x) in acc.iter_mut().zip(x) {
                    *acc = b.mul_add(x, *acc);
                }
            }
            w = w.add(O);
        }
        for (o, acc) in acc.iter().enumerate() {
            for (v, acc) in acc.iter().enumerate() {
                let acc = if p.relu && p.last { acc.relu() } else { *acc };
                let to = out.wrapping_add(o * p.out_channel + v * c.gap * p.out_col);
                if plain && (c.skip[v] == 0 || (p.first && p.last)) {
                    acc.store(to);
                } else {
                    let mut lanes = [L::E::default(); 16];
                    acc.store(lanes.as_mut_ptr());
                    for (i, &lane) in lanes[..c.valid].iter().enumerate().skip(c.skip[v]) {
                        to.add(i * p.out_col).write(lane);
                    }
                }
            }
        }
    }
}
