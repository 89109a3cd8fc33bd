//! The correlation that forward and input gradient share: every output row is a sum of shifted source rows, one per tap
//! (input channel, kernel row, kernel column), so the kernel keeps a tile of output channels by columns in registers and
//! walks a table of tap offsets. Nothing is unfolded; strides are gone because the source is split by phase beforehand.

use crate::cpu::lanes::{HasLanes, Lanes};
use crate::cpu::memory::HostBuf;
use crate::cpu::simd::{SendPtr, chunks};

/// Most output channels in one register tile.
pub(super) const TILE: usize = 6;
/// The sizes of register tiles that are compiled. Each is a loop of its own for every type of lanes, so the types that few
/// programs convolve in have fewer.
const SIZES: [usize; 4] = [TILE, 4, 2, 1];
const FEW_SIZES: [usize; 2] = [4, 1];
/// Most taps in one pass over the output: the source rows of a block of positions stay in the first-level cache.
const TAP_BLOCK: usize = 288;
/// Source bytes that such a block of positions may take.
const NEAR: usize = 20 << 10;
/// Weight bytes of a task.
const FAR: usize = 512 << 10;
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
    /// Packs the weights at `w + group * strides[0] + channel * strides[1] + at[tap]`.
    pub fn pack<T: HasLanes>(
        groups: usize,
        channels: usize,
        w: SendPtr<T>,
        strides: [usize; 2],
        at: &[usize],
    ) -> Weights {
        let taps = at.len();
        let packed = HostBuf::alloc(groups * channels * taps * size_of::<T>());
        let to = SendPtr(packed.ptr().cast::<T>());
        let sizes: &[usize] = if <Loops<T>>::chosen().full { &SIZES } else { &FEW_SIZES };
        let tiles = split_into(channels, sizes);
        let count = tiles.len();
        chunks(groups * count, (1 << 15) / (taps * TILE).max(1), |r| {
            for i in r {
                let (g, (first, n)) = (i / count, tiles[i % count]);
                let mut to = to.add((g * channels + first) * taps).get();
                let from = w.add(g * strides[0] + first * strides[1]).get();
                for &tap in at {
                    for o in 0..n {
                        // SAFETY: channel and tap exist; tiles partition the groups * channels * taps packed elements.
                        unsafe { to.add(o).write(*from.add(tap + o * strides[1])) };
                    }
                    to = to.wrapping_add(n);
                }
            }
        });
        Weights { packed, tiles, taps, channels }
    }
}

/// `n` things in parts of the sizes given, largest first: (first, size). The last size is 1.
pub(super) fn split_into(n: usize, sizes: &[usize]) -> Vec<(usize, usize)> {
    let mut parts = Vec::new();
    let mut first = 0;
    while first < n {
        let size = sizes.iter().copied().find(|&s| s <= n - first).unwrap_or(1);
        parts.push((first, size));
        first += size;
    }
    parts
}

/// What one tile covers: one vector of columns or two, side by side (or overlapping) or in neighbouring rows.
#[derive(Clone, Copy)]
struct Columns {
    start: usize,
    vectors: usize,
    /// From the first vector to the second in the source.
    gap: usize,
    /// The same in the output.
    out_gap: usize,
    /// Lanes of each vector that an earlier one has covered.
    skip: [usize; 2],
    /// Lanes that exist at all.
    valid: usize,
}

/// Covers `cols` columns without reading past their end (vectors overlap instead), unless there are fewer than lanes.
fn columns(cols: usize, lanes: usize, out_col: usize) -> Vec<Columns> {
    let one = |start, skip, valid| Columns { start, gap: 0, out_gap: 0, vectors: 1, skip: [skip, 0], valid };
    if cols < lanes {
        return vec![one(0, 0, cols)];
    }
    let mut list = Vec::new();
    let mut done = 0;
    while done < cols {
        let left = cols - done;
        if left < lanes {
            list.push(one(cols - lanes, lanes - left, lanes));
        } else if left == lanes {
            list.push(one(done, 0, lanes));
        } else {
            let gap = (left - lanes).min(lanes);
            list.push(Columns {
                start: done,
                vectors: 2,
                gap,
                out_gap: gap * out_col,
                skip: [0, lanes - gap],
                valid: lanes,
            });
        }
        done += left.min(2 * lanes);
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
    sweep: Sweep<T>,
    lanes: usize,
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
    let narrow = <T::Wide as Lanes>::N;
    let (rows, cols) = (target.rows, target.cols);
    if batch * groups * weights.channels * rows * cols == 0 {
        return;
    }
    // all rows as one, with the columns between them computed and dropped, where that wastes less
    let flat_len = (rows - 1) * source.row + cols;
    let per_row = cols.next_multiple_of(narrow);
    let exact = source.row == cols && target.strides[2] == cols && target.strides[3] == 1;
    let flat = rows > 1 && (exact || (flat_len * 8 < per_row * rows * 7 && flat_len >= narrow));
    let collapsed;
    let (target, flat) = if flat && exact {
        let strides = [target.strides[0], target.strides[1], cols * rows, 1];
        collapsed = Target { ptr: target.ptr, strides, rows: 1, cols: rows * cols };
        (&collapsed, None)
    } else {
        (target, flat.then_some(source.row))
    };
    let (rows, cols) = (target.rows, target.cols);
    // the longer vectors where they leave no more of a row's end over than the shorter ones
    let line = if flat.is_some() { flat_len } else { cols };
    let Loops { sweep, lanes, .. } = match <Loops<T>>::widest() {
        Some(l) if line >= 4 * l.lanes || line >= l.lanes && line.is_multiple_of(l.lanes) => l,
        _ => <Loops<T>>::chosen(),
    };
    debug_assert!(flat.is_some() || cols >= lanes || source.slack >= lanes);
    let job = Job { source, target, weights, offsets, bias, relu, flat, group_in, sweep, lanes };

    // tasks: images by groups, and where those are few or the weights large by tiles of channels as well, or by rows; sizes
    // alone decide
    let tiles = weights.tiles.len();
    let taps = weights.taps.max(1);
    let cost = weights.channels * taps * cols;
    let few = batch * groups < 8;
    let by_tiles = few && weights.channels > rows * cols;
    let row_chunk = if !few || by_tiles || flat.is_some() { rows } else { (TASK / cost).clamp(1, rows) };
    let row_chunks = rows.div_ceil(row_chunk);
    let parts = if few && row_chunks < 8 {
        weights.channels * taps * cols * row_chunk / TASK
    } else {
        // enough tasks for many cores, as long as each is large
        let many = (64 / (batch * groups * row_chunks)).min(cost * row_chunk / (4 * TASK));
        many.max(weights.channels * taps * size_of::<T>() / FAR)
    };
    let tile_chunk = tiles.div_ceil(parts.clamp(1, tiles));
    let tile_chunks = tiles.div_ceil(tile_chunk);
    // images that share a task share its weights
    let per_image = groups * row_chunks * tile_chunks;
    let unit_cost = (cost * row_chunk / tile_chunks).max(1);
    let images = (TASK / unit_cost).max(batch * per_image / 32).clamp(1, batch);
    let image_chunks = batch.div_ceil(images);
    chunks(image_chunks * per_image, (TASK / (unit_cost * images)).max(1), |range| {
        for unit in range {
            let (rest, tc) = (unit / image_chunks, unit % image_chunks);
            let range = tc * images..((tc + 1) * images).min(batch);
            let (rest, tc) = (rest / tile_chunks, rest % tile_chunks);
            let (g, rc) = (rest / row_chunks, rest % row_chunks);
            let tiles = tc * tile_chunk..((tc + 1) * tile_chunk).min(tiles);
            let rows = rc * row_chunk..((rc + 1) * row_chunk).min(rows);
            run_unit(&job, range, g, tiles, rows);
        }
    });
}

/// A range, as tasks and loops pass it on.
type Span = std::ops::Range<usize>;

fn run_unit<T: HasLanes>(job: &Job<T>, images: Span, g: usize, tiles: Span, rows: Span) {
    let Job { source, target, weights, lanes, .. } = *job;
    let src = |n: usize| source.ptr.add(n * source.batch + g * job.group_in).get().cast_const();
    let out = |n: usize| target.ptr.add(n * target.strides[0] + g * weights.channels * target.strides[1]).get();
    let taps = weights.taps;
    let tap_blocks: Vec<(usize, usize)> =
        (0..taps.max(1)).step_by(TAP_BLOCK).map(|t| (t, TAP_BLOCK.min(taps - t.min(taps)))).collect();
    if let Some(row) = job.flat {
        let len = (target.rows - 1) * row + target.cols;
        let cols = columns(len, lanes, 1);
        let mut line = vec![T::default(); len * TILE];
        for n in images {
            for tile in tiles.clone() {
                for &taps in &tap_blocks {
                    let place = Place { out: line.as_mut_ptr(), channel: len, row: 0, col: 1 };
                    run_pass(job, g, tile, taps, src(n), place, 0..1, &cols);
                }
                spread(job, &line, len, row, tile, out(n));
            }
        }
        return;
    }
    let cols = columns(target.cols, lanes, target.strides[3]);
    let reach = job.offsets.len().clamp(1, TAP_BLOCK);
    let near = NEAR / size_of::<T>();
    // rows of a block: an estimate that counts every tap's row once
    let row_block = (near / (reach * target.cols)).max(2) & !1;
    let col_block = if target.rows == 1 { (near / (reach * 2 * lanes)).max(1) } else { cols.len() };
    for &taps in &tap_blocks {
        for n in images.clone() {
            let mut y = rows.start;
            while y < rows.end {
                let block = y..(y + row_block).min(rows.end);
                for cols in cols.chunks(col_block) {
                    for tile in tiles.clone() {
                        let first = weights.tiles[tile].0 * target.strides[1];
                        let [_, channel, row, col] = target.strides;
                        let place = Place { out: out(n).wrapping_add(first), channel, row, col };
                        run_pass(job, g, tile, taps, src(n), place, block.clone(), cols);
                    }
                }
                y = block.end;
            }
        }
    }
}

/// Where a tile's first channel goes, and the strides there.
struct Place<E> {
    out: *mut E,
    channel: usize,
    row: usize,
    col: usize,
}

#[allow(clippy::too_many_arguments, reason = "two call sites")]
fn run_pass<T: HasLanes>(
    job: &Job<T>,
    g: usize,
    tile: usize,
    (tap0, taps): (usize, usize),
    src: *const T,
    place: Place<T>,
    rows: Span,
    cols: &[Columns],
) {
    let weights = job.weights;
    let (first, count) = weights.tiles[tile];
    let packed = weights.packed.ptr().cast::<T>().cast_const();
    let mut bias = [T::default(); TILE];
    if let Some((ptr, stride)) = job.bias {
        for (o, b) in bias[..count].iter_mut().enumerate() {
            // SAFETY: bias has one element a channel.
            *b = unsafe { *ptr.get().add((g * weights.channels + first + o) * stride) };
        }
    }
    let pass = Pass {
        src,
        row: job.source.row,
        offsets: &job.offsets[tap0..tap0 + taps],
        w: packed.wrapping_add((g * weights.channels + first) * weights.taps + tap0 * count),
        out: place.out,
        out_channel: place.channel,
        out_row: place.row,
        out_col: place.col,
        bias,
        first: tap0 == 0,
        last: tap0 + taps == weights.taps,
        relu: job.relu,
    };
    // SAFETY: the CPU has what the chosen loop was compiled for; rows and columns exist in source and target.
    unsafe { (job.sweep)(&pass, count, rows, cols) };
}

/// Copies a tile's flattened lines to their rows, without what lies between them.
fn spread<T: Copy>(job: &Job<T>, line: &[T], len: usize, row: usize, tile: usize, out: *mut T) {
    let [_, sc, sh, sw] = job.target.strides;
    let (first, count) = job.weights.tiles[tile];
    for o in 0..count {
        for y in 0..job.target.rows {
            let from = &line[o * len + y * row..][..job.target.cols];
            for (x, &v) in from.iter().enumerate() {
                // SAFETY: channel, row and column exist.
                unsafe { out.add((first + o) * sc + y * sh + x * sw).write(v) };
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

type Sweep<T> = unsafe fn(&Pass<T>, usize, Span, &[Columns]);

/// The loop over tiles that suits the CPU.
struct Loops<T> {
    sweep: Sweep<T>,
    /// Elements of a vector.
    lanes: usize,
    /// True where all [`SIZES`] are compiled.
    full: bool,
}

impl<T: HasLanes> Loops<T> {
    fn chosen() -> Loops<T> {
        #[cfg(target_arch = "x86_64")]
        {
            #[target_feature(enable = "avx2,fma")]
            fn wide<T: HasLanes>(p: &Pass<T>, count: usize, rows: Span, cols: &[Columns]) {
                sweep_any::<T::Wide>(p, count, rows, cols);
            }
            if crate::cpu::simd::wide() {
                return Loops { sweep: wide::<T>, lanes: <T::Wide as Lanes>::N, full: <T::Wide as Lanes>::FULL };
            }
        }
        fn plain<T: HasLanes>(p: &Pass<T>, count: usize, rows: Span, cols: &[Columns]) {
            sweep_any::<T::Plain>(p, count, rows, cols);
        }
        Loops { sweep: plain::<T>, lanes: <T::Plain as Lanes>::N, full: <T::Plain as Lanes>::FULL }
    }

    /// The loop for vectors of AVX-512, which takes the same sizes of tiles, where CPU and type have such.
    fn widest() -> Option<Loops<T>> {
        #[cfg(target_arch = "x86_64")]
        {
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
            fn widest<T: HasLanes>(p: &Pass<T>, count: usize, rows: Span, cols: &[Columns]) {
                sweep_any::<T::Widest>(p, count, rows, cols);
            }
            if <T::Widest as Lanes>::N > <T::Wide as Lanes>::N && crate::cpu::simd::widest() {
                let full = <T::Widest as Lanes>::FULL;
                return Some(Loops { sweep: widest::<T>, lanes: <T::Widest as Lanes>::N, full });
            }
        }
        None
    }
}

#[inline(always)]
fn sweep_any<L: Lanes>(p: &Pass<L::E>, count: usize, rows: Span, cols: &[Columns]) {
    match count {
        TILE if L::FULL => sweep::<L, TILE>(p, rows, cols),
        4 => sweep::<L, 4>(p, rows, cols),
        2 if L::FULL => sweep::<L, 2>(p, rows, cols),
        _ => sweep::<L, 1>(p, rows, cols),
    }
}

#[inline(always)]
fn sweep<L: Lanes, const O: usize>(p: &Pass<L::E>, rows: Span, cols: &[Columns]) {
    let mut y = rows.start;
    while y < rows.end {
        // a row of one vector or less is taken together with the next one
        let pair = cols.len() == 1 && cols[0].vectors == 1 && y + 1 < rows.end;
        for c in cols {
            let c = if pair { Columns { vectors: 2, gap: p.row, out_gap: p.out_row, ..*c } } else { *c };
            // SAFETY: rows and columns exist in source and target, as `columns` and the callers' sizes say.
            unsafe {
                if c.vectors == 2 {
                    tile::<L, O, 2>(p, y, &c);
                } else {
                    tile::<L, O, 1>(p, y, &c);
                }
            }
        }
        y += 1 + usize::from(pair);
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
        for o in 0..O {
            for v in 0..V {
                acc[o][v] = if p.first {
                    L::splat(p.bias[o])
                } else if plain {
                    L::load(out.add(o * p.out_channel + v * c.out_gap))
                } else {
                    let mut lanes = [L::E::default(); 16];
                    for (i, lane) in lanes[..c.valid].iter_mut().enumerate() {
                        *lane = *out.add(o * p.out_channel + v * c.out_gap + i * p.out_col);
                    }
                    L::load(lanes.as_ptr())
                };
            }
        }
        let base = p.src.add(y * p.row + c.start);
        let mut w = p.w;
        for &offset in p.offsets {
            let mut x = [L::splat(L::E::default()); V];
            for v in 0..V {
                x[v] = L::load(base.add(offset + v * c.gap));
            }
            for o in 0..O {
                let b = L::splat(*w.add(o));
                for v in 0..V {
                    acc[o][v] = b.mul_add(x[v], acc[o][v]);
                }
            }
            w = w.add(O);
        }
        for o in 0..O {
            for v in 0..V {
                let acc = if p.relu && p.last { acc[o][v].relu() } else { acc[o][v] };
                let to = out.wrapping_add(o * p.out_channel + v * c.out_gap);
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
