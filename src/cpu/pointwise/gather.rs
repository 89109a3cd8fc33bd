//! Moves elements between strided operands and packed scratch.

use super::{Plan, Strided};
use crate::shape::Dims;

/// Rows and columns that are transposed at once.
pub(super) const TILE: usize = 8;

/// Gathers whole rows of a transposed operand, from element `start` to `end`.
pub(super) unsafe fn gather_panel(plan: &Plan, s: &Strided, start: usize, end: usize, packed: *mut u8) {
    // SAFETY: the caller's promise, by the size of the element.
    unsafe {
        match plan.item[s.reg] {
            1 => gather_panel_sized::<u8>(plan, s, start, end, packed),
            2 => gather_panel_sized::<u16>(plan, s, start, end, packed as *mut u16),
            4 => gather_panel_sized::<u32>(plan, s, start, end, packed as *mut u32),
            8 => gather_panel_sized::<u64>(plan, s, start, end, packed as *mut u64),
            _ => gather_panel_sized::<[u64; 2]>(plan, s, start, end, packed as *mut [u64; 2]),
        }
    }
}

unsafe fn gather_panel_sized<T: Copy + Default>(plan: &Plan, s: &Strided, start: usize, end: usize, packed: *mut T) {
    let inner = plan.sizes.len() - 1;
    let (columns, height, stride) = (plan.sizes[inner], plan.sizes[inner - 1], s.strides[inner]);
    let (first, last) = (start / columns, end / columns);
    let mut row = first;
    while row < last {
        // rows of one matrix, at most a tile
        let i = row % height;
        let rows = TILE.min(height - i).min(last - row);
        let (mut rest, mut offset) = (row / height, i);
        for d in (0..inner - 1).rev() {
            offset += rest % plan.sizes[d] * s.strides[d];
            rest /= plan.sizes[d];
        }
        // SAFETY: rows and columns lie in the operand by its sizes and strides, and in the packed panel.
        unsafe {
            let (from, to) = ((s.ptr as *const T).add(offset), packed.add((row - first) * columns));
            let mut c = 0;
            if rows == TILE {
                while c + TILE <= columns {
                    let mut tile = [[T::default(); TILE]; TILE];
                    for (k, column) in tile.iter_mut().enumerate() {
                        column.copy_from_slice(std::slice::from_raw_parts(from.add((c + k) * stride), TILE));
                    }
                    for r in 0..TILE {
                        for k in 0..TILE {
                            to.add(r * columns + c + k).write(tile[k][r]);
                        }
                    }
                    c += TILE;
                }
            }
            for c in c..columns {
                for r in 0..rows {
                    to.add(r * columns + c).write(from.add(c * stride + r).read());
                }
            }
        }
        row += rows;
    }
}

/// Moves `n` elements from `at` on between a strided operand and packed memory.
pub(super) unsafe fn transfer(plan: &Plan, s: &Strided, at: usize, n: usize, packed: *mut u8, scatter: bool) {
    // SAFETY: the caller's promise, by the size of the element.
    unsafe {
        match plan.item[s.reg] {
            1 => transfer_sized::<u8>(plan, s, at, n, packed, scatter),
            2 => transfer_sized::<u16>(plan, s, at, n, packed as *mut u16, scatter),
            4 => transfer_sized::<u32>(plan, s, at, n, packed as *mut u32, scatter),
            8 => transfer_sized::<u64>(plan, s, at, n, packed as *mut u64, scatter),
            _ => transfer_sized::<[u64; 2]>(plan, s, at, n, packed as *mut [u64; 2], scatter),
        }
    }
}

unsafe fn transfer_sized<T: Copy>(plan: &Plan, s: &Strided, at: usize, n: usize, packed: *mut T, scatter: bool) {
    // slices: indexing a small vector may be a call
    let (sizes, strides) = (&plan.sizes[..], &s.strides[..]);
    let inner = sizes.len() - 1;
    let mut index: Dims = Dims::from_elem(0, sizes.len());
    let index = &mut index[..];
    let mut rest = at;
    let mut offset = 0;
    for d in (0..sizes.len()).rev() {
        index[d] = rest % sizes[d];
        rest /= sizes[d];
        offset += index[d] * strides[d];
    }
    let (stride, base) = (strides[inner], s.ptr as *mut T);
    let mut done = 0;
    while done < n {
        let run = (sizes[inner] - index[inner]).min(n - done);
        // SAFETY: the run lies in the operand by its sizes and strides, and in the packed block.
        unsafe {
            let (far, near) = (base.add(offset), packed.add(done));
            match (scatter, stride) {
                (true, 1) => std::ptr::copy_nonoverlapping(near, far, run),
                (true, _) => (0..run).for_each(|i| far.add(i * stride).write(near.add(i).read())),
                (false, 1) => std::ptr::copy_nonoverlapping(far, near, run),
                (false, 0) => std::slice::from_raw_parts_mut(near, run).fill(far.read()),
                (false, _) => (0..run).for_each(|i| near.add(i).write(far.add(i * stride).read())),
            }
        }
        done += run;
        offset += run * stride;
        index[inner] += run;
        let mut d = inner;
        while d > 0 && index[d] == sizes[d] {
            offset -= sizes[d] * strides[d];
            index[d] = 0;
            d -= 1;
            index[d] += 1;
            offset += strides[d];
        }
    }
}
