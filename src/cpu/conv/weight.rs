//! The weight gradient: for every output position an outer product of output gradients (vectors of output channels, which
//! a transposed copy puts side by side) and source values (one broadcast a tap). Register tiles of channels by taps run
//! over a block of positions; rows of the batch go to a fixed number of partial sums that are added in order.

use super::direct::{Source, split_into};
use crate::cpu::lanes::{HasLanes, Lanes};
use crate::cpu::memory::HostBuf;
use crate::cpu::simd::{SERIAL, SendPtr, chunks};
use crate::cpu::view::View;

/// Positions that one tile runs over before the next takes its turn: their gradients stay in the first-level cache.
const POSITIONS: usize = 192;
/// Multiply-adds for which a partial sum of its own pays.
const PART: usize = 1 << 20;
/// Most partial sums, and most elements in all of them.
const PARTS: usize = 16;
const PARTS_ELEMENTS: usize = 1 << 22;

/// How many taps the compiled loops take: for one vector of channels, for two, and for the types with few loops.
const ONE_SIZES: [usize; 3] = [9, 3, 1];
const TWO_SIZES: [usize; 3] = [6, 3, 1];
const FEW_SIZES: [usize; 2] = [4, 1];

/// Output gradients as `[group][tile][image][position][lane]`.
struct Packed<T> {
    _buf: HostBuf,
    ptr: SendPtr<T>,
    /// First channel, channels and lanes of each tile in a group.
    tiles: Vec<(usize, usize, usize)>,
    /// Lanes of all tiles of a group.
    lanes: usize,
}

/// Copies the gradients channel-last in tiles of two vectors (one for a small rest).
fn pack<T: HasLanes>(grad: &View<T>, groups: usize, full: bool) -> Packed<T> {
    let n = <T::Wide as Lanes>::N;
    let channels = grad.shape[1] / groups;
    let mut tiles = Vec::new();
    let (mut first, mut lanes) = (0, 0);
    while first < channels {
        let count = (channels - first).min(2 * n);
        let wide = if count > n && full { 2 * n } else { n };
        let count = count.min(wide);
        tiles.push((first, count, wide));
        (first, lanes) = (first + count, lanes + wide);
    }
    let (batch, rows, cols) = (grad.shape[0], grad.shape[2], grad.shape[3]);
    let buf = HostBuf::alloc(groups * lanes * batch * rows * cols * size_of::<T>());
    let ptr = SendPtr(buf.ptr().cast::<T>());
    let per_group = tiles.len();
    let units = groups * per_group * batch;
    let src = SendPtr(grad.ptr().cast_mut());
    let st = grad.strides;
    chunks(units, SERIAL / (n * rows * cols).max(1), |r| {
        for unit in r {
            let (rest, image) = (unit / batch, unit % batch);
            let (g, (first, count, wide)) = (rest / per_group, tiles[rest % per_group]);
            let before: usize = tiles[..rest % per_group].iter().map(|t| t.2).sum();
            let to = ptr.add(((g * lanes + before) * batch + image * wide) * rows * cols);
            let from = src.add(image * st[0] + (g * channels + first) * st[1]);
            if st[2] == cols * st[3] || rows == 1 {
                pack_row(to, from, rows * cols, count, wide, st[1], st[3]);
            } else {
                for y in 0..rows {
                    pack_row(to.add(y * cols * wide), from.add(y * st[2]), cols, count, wide, st[1], st[3]);
                }
            }
        }
    });
    Packed { _buf: buf, ptr, tiles, lanes }
}

/// Copies `n` positions of `count` channels side by side, zeros up to `wide`.
fn pack_row<T: HasLanes>(
    to: SendPtr<T>,
    from: SendPtr<T>,
    n: usize,
    count: usize,
    wide: usize,
    channel: usize,
    step: usize,
) {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2,fma")]
        fn twin<T: HasLanes>(
            to: *mut T,
            from: *const T,
            n: usize,
            count: usize,
            wide: usize,
            channel: usize,
            step: usize,
        ) {
            pack_lanes::<T::Wide>(to, from, n, count, wide, channel, step);
        }
        if crate::cpu::simd::wide() {
            // SAFETY: the CPU has the features.
            return unsafe { twin(to.get(), from.get(), n, count, wide, channel, step) };
        }
    }
    pack_lanes::<T::Plain>(to.get(), from.get(), n, count, wide, channel, step);
}

#[inline(always)]
fn pack_lanes<L: Lanes>(
    to: *mut L::E,
    from: *const L::E,
    n: usize,
    count: usize,
    wide: usize,
    channel: usize,
    step: usize,
) {
    let blocks = if step == 1 { n / L::N } else { 0 };
    for half in (0..wide).step_by(L::N) {
        for b in 0..blocks {
            let mut rows = [L::splat(L::E::default()); 16];
            for (lane, row) in rows[..L::N].iter_mut().enumerate() {
                if half + lane < count {
                    // SAFETY: the channel exists and has positions b * N .. b * N + N.
                    *row = unsafe { L::load(from.add((half + lane) * channel + b * L::N)) };
                }
            }
            L::transpose(&mut rows);
            for (i, row) in rows[..L::N].iter().enumerate() {
                // SAFETY: n positions of `wide` lanes are ours.
                unsafe { row.store(to.add((b * L::N + i) * wide + half)) };
            }
        }
    }
    for i in blocks * L::N..n {
        for lane in 0..wide {
            // SAFETY: as above.
            unsafe {
                let v = if lane < count { *from.add(lane * channel + i * step) } else { L::E::default() };
                to.add(i * wide + lane).write(v);
            }
        }
    }
}

/// `put(g, channel, tap, sum)` for every weight of every group: the sum over images, rows and columns of gradient times
/// source at `offsets[tap]` behind the position (`step` elements a column).
pub(super) fn weight_gradient<T: HasLanes>(
    source: &Source<T>,
    grad: &View<T>,
    groups: usize,
    offsets: &[usize],
    group_in: usize,
    step: usize,
    put: impl Fn(usize, usize, usize, T) + Sync,
) {
    let (batch, rows, cols) = (grad.shape[0], grad.shape[2], grad.shape[3]);
    let channels = grad.shape[1] / groups;
    let taps = offsets.len();
    if groups * channels * taps == 0 {
        return;
    }
    let loops = <Loops<T>>::chosen();
    let packed = pack(grad, groups, loops.full);
    let size = groups * packed.lanes * taps;
    let all_rows = batch * rows;
    let work = all_rows * cols * size;
    let parts = (work / PART).min(PARTS).min(PARTS_ELEMENTS / size).min(all_rows).max(1);
    let part_rows = all_rows.div_ceil(parts).max(1);
    let narrow = packed.tiles.iter().all(|t| t.2 == <T::Wide as Lanes>::N);
    let tap_tiles = split_into(
        taps,
        if !loops.full {
            &FEW_SIZES
        } else if narrow {
            &ONE_SIZES
        } else {
            &TWO_SIZES
        },
    );
    // few parts of large weights: tiles of taps are divided as well
    let split = (work / parts / PART).clamp(1, (PARTS / parts).max(1)).min(tap_tiles.len());
    let sums = HostBuf::alloc(parts * size * size_of::<T>());
    let sums_ptr = SendPtr(sums.ptr().cast::<T>());
    let job = Job { source, packed: &packed, batch, rows, cols, groups, offsets, group_in, step, tile: loops.tile };
    chunks(parts * split, 1, |r| {
        for unit in r {
            let (part, s) = (unit / split, unit % split);
            let first = part * part_rows;
            let range = first..(first + part_rows).min(all_rows).max(first);
            let mine = &tap_tiles[s * tap_tiles.len() / split..(s + 1) * tap_tiles.len() / split];
            run_part(&job, range, mine, sums_ptr.add(part * size));
        }
    });
    // sums are [group][tile][tap][lane]
    chunks(groups * taps, SERIAL / (parts * packed.lanes), |r| {
        for unit in r {
            let (g, t) = (unit / taps, unit % taps);
            let mut before = 0;
            for &(first, count, wide) in &packed.tiles {
                for lane in 0..count {
                    let at = (g * packed.lanes + before) * taps + t * wide + lane;
                    // SAFETY: every part wrote all of its `size` sums.
                    let sum = unsafe {
                        (1..parts).fold(*sums_ptr.get().add(at), |s, p| {
                            T::Plain::splat_add(s, *sums_ptr.get().add(p * size + at))
                        })
                    };
                    put(g, first + lane, t, sum);
                }
                before += wide;
            }
        }
    });
}

trait SplatAdd: Lanes {
    /// `a + b` of one element, with the lanes' rule for overflow.
    fn splat_add(a: Self::E, b: Self::E) -> Self::E;
}

impl<L: Lanes> SplatAdd for L {
    #[inline(always)]
    fn splat_add(a: L::E, b: L::E) -> L::E {
        let mut lanes = [L::E::default(); 16];
        // SAFETY: no lanes type is longer than 16.
        unsafe { L::splat(a).plus(L::splat(b)).store(lanes.as_mut_ptr()) };
        lanes[0]
    }
}

struct Job<'a, T> {
    source: &'a Source<T>,
    packed: &'a Packed<T>,
    batch: usize,
    rows: usize,
    cols: usize,
    groups: usize,
    offsets: &'a [usize],
    group_in: usize,
    step: usize,
    tile: RunTile<T>,
}

type RunTile<T> = unsafe fn(&Tile<T>, usize, usize);

/// The loop over positions that suits the CPU.
struct Loops<T> {
    tile: RunTile<T>,
    /// True where all sizes are compiled.
    full: bool,
}

impl<T: HasLanes> Loops<T> {
    fn chosen() -> Loops<T> {
        #[cfg(target_arch = "x86_64")]
        {
            #[target_feature(enable = "avx2,fma")]
            unsafe fn wide<T: HasLanes>(tile: &Tile<T>, wide: usize, taps: usize) {
                // SAFETY: the caller's promise.
                unsafe { run_any::<T::Wide>(tile, wide, taps) };
            }
            if crate::cpu::simd::wide() {
                return Loops { tile: wide::<T>, full: <T::Wide as Lanes>::FULL };
            }
        }
        unsafe fn plain<T: HasLanes>(tile: &Tile<T>, wide: usize, taps: usize) {
            // SAFETY: the caller's promise.
            unsafe { run_any::<T::Plain>(tile, wide, taps) };
        }
        Loops { tile: plain::<T>, full: <T::Plain as Lanes>::FULL }
    }
}

/// # Safety
/// As [`run_tile`], for `taps` taps and `wide` lanes.
#[inline(always)]
unsafe fn run_any<L: Lanes>(tile: &Tile<L::E>, wide: usize, taps: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        match (wide == L::N, taps) {
            (true, 9) if L::FULL => run_tile::<L, 9, 1>(tile),
            // the rest of the channels beside tiles of two vectors
            (true, 6) if L::FULL => run_tile::<L, 6, 1>(tile),
            (true, 3) if L::FULL => run_tile::<L, 3, 1>(tile),
            (true, 4) if !L::FULL => run_tile::<L, 4, 1>(tile),
            (true, 1) => run_tile::<L, 1, 1>(tile),
            (false, 6) if L::FULL => run_tile::<L, 6, 2>(tile),
            (false, 3) if L::FULL => run_tile::<L, 3, 2>(tile),
            (false, 1) if L::FULL => run_tile::<L, 1, 2>(tile),
            (_, taps) => unreachable!("no loop of {taps} taps is compiled"),
        }
    }
}

fn run_part<T: HasLanes>(job: &Job<T>, range: std::ops::Range<usize>, tap_tiles: &[(usize, usize)], sums: SendPtr<T>) {
    let taps = job.offsets.len();
    let block = (POSITIONS / job.cols.max(1)).max(1);
    let mut row = range.start;
    let mut first = true;
    // an empty range still has to write its zeros
    while row < range.end || first {
        let (image, y0) = (row / job.rows.max(1), row % job.rows.max(1));
        let y1 = (y0 + block).min(job.rows).min(y0 + (range.end - row.min(range.end)));
        for g in 0..job.groups {
            let src = job.source.ptr.add(image * job.source.batch + g * job.group_in).get().cast_const();
            let mut before = 0;
            for &(_, _, wide) in &job.packed.tiles {
                let base = (g * job.packed.lanes + before) * job.batch + image * wide;
                let grad = job.packed.ptr.add(base * job.rows * job.cols + y0 * job.cols * wide).get().cast_const();
                let sum = sums.add((g * job.packed.lanes + before) * taps).get();
                for &(t, count) in tap_tiles {
                    let tile = Tile {
                        src: src.wrapping_add(y0 * job.source.row),
                        row: job.source.row,
                        step: job.step,
                        offsets: &job.offsets[t..t + count],
                        grad,
                        rows: y1 - y0,
                        cols: job.cols,
                        sum: sum.wrapping_add(t * wide),
                        first,
                    };
                    // SAFETY: rows y0..y1 of this image exist in source and gradient; the tile's sums are ours.
                    unsafe { (job.tile)(&tile, wide, count) };
                }
                before += wide;
            }
        }
        row += (y1 - y0).max(usize::from(first));
        first = false;
    }
}

struct Tile<'a, E> {
    src: *const E,
    row: usize,
    step: usize,
    offsets: &'a [usize],
    grad: *const E,
    rows: usize,
    cols: usize,
    sum: *mut E,
    first: bool,
}

/// # Safety
/// Every tap of `rows` by `cols` positions is readable, and `sum` holds `T` by `V` vectors (written already unless `first`).
#[inline(always)]
unsafe fn run_tile<L: Lanes, const T: usize, const V: usize>(p: &Tile<L::E>) {
    let offsets: &[usize; T] = p.offsets.first_chunk().expect("a tile has an offset for each of its taps");
    let mut acc = [[L::splat(L::E::default()); V]; T];
    // SAFETY: see above.
    unsafe {
        if !p.first {
            for t in 0..T {
                for v in 0..V {
                    acc[t][v] = L::load(p.sum.add((t * V + v) * L::N));
                }
            }
        }
        let mut grad = p.grad;
        for y in 0..p.rows {
            let mut src = p.src.add(y * p.row);
            for _ in 0..p.cols {
                let mut g = [L::splat(L::E::default()); V];
                for v in 0..V {
                    g[v] = L::load(grad.add(v * L::N));
                }
                for t in 0..T {
                    let x = L::splat(*src.add(offsets[t]));
                    for v in 0..V {
                        acc[t][v] = x.mul_add(g[v], acc[t][v]);
                    }
                }
                grad = grad.add(V * L::N);
                src = src.wrapping_add(p.step);
            }
        }
        for t in 0..T {
            for v in 0..V {
                acc[t][v].store(p.sum.add((t * V + v) * L::N));
            }
        }
    }
}
