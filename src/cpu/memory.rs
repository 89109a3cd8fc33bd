//! Host memory for tensors: 64-byte aligned, uninitialised blocks that are kept by size class, since a fresh large block
//! costs a page fault for each 4 KiB at its first write, several times what an elementwise kernel costs.

use crate::cpu::simd::copy_bytes;
use crate::dtype::Element;
use parking_lot::Mutex;
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::any::Any;
use std::cell::RefCell;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;

/// Alignment of every block: a cache line, and more than any vector load needs.
pub const ALIGN: usize = 64;
/// Small blocks, powers of two from 64 bytes up to this, live in thread-local lists.
const SMALL_MAX: usize = 1 << 15;
const SMALL_CLASSES: usize = (SMALL_MAX / ALIGN).ilog2() as usize + 1;
/// Bytes one thread keeps in each small class.
const SMALL_KEEP: usize = 1 << 18;
/// What the shared list of large blocks keeps at most.
const LARGE_KEEP_BYTES: usize = if cfg!(target_pointer_width = "64") { 1 << 29 } else { 64 << 20 };
const LARGE_KEEP_BLOCKS: usize = 1024;
/// From this size on blocks are aligned to huge pages, so that the kernel can back them by such: fewer faults and
/// misses of the address cache.
const HUGE: usize = 1 << 21;

/// A block of host memory: ours (recycled when dropped) or a foreign one that is given back to its owner.
pub struct HostBuf {
    ptr: NonNull<u8>,
    len: usize,
    owner: Owner,
}

enum Owner {
    /// No memory behind the pointer.
    Nobody,
    /// A block of the small class with this number.
    Small(u8),
    /// A block of the large lists with this many bytes.
    Large(usize),
    /// Memory of the global allocator with a layout of its own (an adopted `Vec`).
    Heap(Layout),
    /// Whatever keeps the memory alive.
    Foreign { _keep: Box<dyn Any + Send + Sync> },
}

// SAFETY: a block is plain memory that only its owner frees; what is stored in it is `Element`, which is Send and Sync.
unsafe impl Send for HostBuf {}
// SAFETY: as above; access to the contents goes through raw pointers whose users keep to the aliasing rules.
unsafe impl Sync for HostBuf {}

impl HostBuf {
    /// An uninitialised block, 64-byte aligned.
    pub fn alloc(bytes: usize) -> HostBuf {
        if bytes == 0 {
            return HostBuf { ptr: dangling(), len: 0, owner: Owner::Nobody };
        }
        if bytes <= SMALL_MAX {
            let class = small_class(bytes);
            let ptr = SMALL.try_with(|s| s.borrow_mut().lists[class].pop()).ok().flatten();
            let ptr = ptr.unwrap_or_else(|| fresh(small_layout(class)));
            return HostBuf { ptr, len: bytes, owner: Owner::Small(class as u8) };
        }
        let size = large_size(bytes);
        let ptr = LARGE.lock().take(size).unwrap_or_else(|| fresh(large_layout(size)));
        HostBuf { ptr, len: bytes, owner: Owner::Large(size) }
    }

    /// A block of zero bytes.
    pub fn zeroed(bytes: usize) -> HostBuf {
        let buf = HostBuf::alloc(bytes);
        // SAFETY: the block holds `bytes` bytes and nobody else knows it.
        unsafe { buf.ptr().write_bytes(0, bytes) };
        buf
    }

    /// Takes over a `Vec`'s memory without copying; its length, not its capacity, becomes the block's.
    pub fn from_vec<T: Element>(v: Vec<T>) -> HostBuf {
        if !v.as_ptr().addr().is_multiple_of(size_of::<T>().min(8)) {
            // complex elements are moved as words of eight bytes
            // SAFETY: elements have no padding.
            return HostBuf::from_bytes(unsafe { std::slice::from_raw_parts(v.as_ptr().cast(), size_of_val(&v[..])) });
        }
        let mut v = ManuallyDrop::new(v);
        let len = v.len() * size_of::<T>();
        if v.capacity() == 0 {
            return HostBuf { ptr: dangling(), len, owner: Owner::Nobody };
        }
        let layout = Layout::array::<T>(v.capacity()).expect("a Vec's capacity has a layout");
        let ptr = NonNull::new(v.as_mut_ptr().cast::<u8>()).expect("a Vec's pointer is not null");
        HostBuf { ptr, len, owner: Owner::Heap(layout) }
    }

    /// An aligned block with a copy of these bytes.
    pub fn from_bytes(bytes: &[u8]) -> HostBuf {
        let buf = HostBuf::alloc(bytes.len());
        // SAFETY: the block holds as many bytes and nobody else knows it.
        unsafe { copy_bytes(bytes.as_ptr(), buf.ptr(), bytes.len()) };
        buf
    }

    /// Memory that some other object owns; the object is dropped with the block.
    ///
    /// # Safety
    /// `ptr` stays valid for reads and writes of `len` bytes as long as `owner` lives, wherever `owner` moves to.
    pub unsafe fn from_owner(ptr: NonNull<u8>, len: usize, owner: Box<dyn Any + Send + Sync>) -> HostBuf {
        HostBuf { ptr, len, owner: Owner::Foreign { _keep: owner } }
    }

    /// The first byte. Elements are read and written through it by whoever knows what they are.
    pub fn ptr(&self) -> *mut u8 {
        self.ptr.as_ptr()
    }

    /// Size in bytes, as asked for.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True for a block of no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl Drop for HostBuf {
    fn drop(&mut self) {
        match &self.owner {
            Owner::Nobody | Owner::Foreign { .. } => {}
            Owner::Small(class) => {
                let class = *class as usize;
                let kept = SMALL.try_with(|s| {
                    let list = &mut s.borrow_mut().lists[class];
                    let room = list.len() < SMALL_KEEP / (ALIGN << class);
                    if room {
                        list.push(self.ptr);
                    }
                    room
                });
                if !kept.unwrap_or(false) {
                    // SAFETY: the block came from `fresh` with its class's layout.
                    unsafe { dealloc(self.ptr.as_ptr(), small_layout(class)) };
                }
            }
            Owner::Large(size) => {
                let evicted = LARGE.lock().keep(self.ptr, *size);
                free_large(evicted);
            }
            // SAFETY: pointer and layout are the adopted Vec's.
            Owner::Heap(layout) => unsafe { dealloc(self.ptr.as_ptr(), *layout) },
        }
    }
}

impl std::fmt::Debug for HostBuf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HostBuf({:p}, {} bytes)", self.ptr, self.len)
    }
}

/// Gives every cached large block and this thread's small ones back to the system (PyTorch's `empty_cache`).
pub fn release_cached() {
    let blocks = LARGE.lock().drain();
    free_large(blocks);
    let _ = SMALL.try_with(|s| s.borrow_mut().clear());
}

fn dangling() -> NonNull<u8> {
    NonNull::new(std::ptr::without_provenance_mut(ALIGN)).expect("the alignment is not zero")
}

fn fresh(layout: Layout) -> NonNull<u8> {
    // SAFETY: every class has a size above zero.
    let ptr = NonNull::new(unsafe { alloc(layout) }).unwrap_or_else(|| handle_alloc_error(layout));
    if layout.align() >= HUGE {
        advise_huge(ptr.as_ptr(), layout.size());
    }
    ptr
}

/// Asks the system to back memory that is about to be written by huge pages, as far as such lie in it whole: each page that
/// is touched first costs a fault.
pub fn advise_huge(ptr: *mut u8, bytes: usize) {
    let skip = ptr.align_offset(HUGE);
    #[cfg(target_os = "linux")]
    if bytes >= skip && bytes - skip >= HUGE {
        // SAFETY: advice on whole pages of memory that the caller has; where it is not taken nothing changes.
        unsafe { libc::madvise(ptr.add(skip).cast(), (bytes - skip) & !(HUGE - 1), libc::MADV_HUGEPAGE) };
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (skip, bytes);
}

fn small_class(bytes: usize) -> usize {
    (bytes.div_ceil(ALIGN)).next_power_of_two().ilog2() as usize
}

fn small_layout(class: usize) -> Layout {
    Layout::from_size_align(ALIGN << class, ALIGN).expect("small classes are small")
}

/// Large sizes are rounded up to a quarter of their power of two, so at most a fifth of a block is unused.
fn large_size(bytes: usize) -> usize {
    let step = 1usize << (bytes.ilog2() - 2);
    bytes.checked_next_multiple_of(step).unwrap_or(bytes)
}

fn large_layout(size: usize) -> Layout {
    let align = if size >= HUGE { HUGE } else { 4096 };
    Layout::from_size_align(size, align).expect("a tensor's size fits in isize")
}

fn free_large(blocks: Vec<(NonNull<u8>, usize)>) {
    for (ptr, size) in blocks {
        // SAFETY: the block came from `fresh` with this layout, and the list that held it has let it go.
        unsafe { dealloc(ptr.as_ptr(), large_layout(size)) };
    }
}

struct Small {
    lists: [Vec<NonNull<u8>>; SMALL_CLASSES],
}

impl Small {
    fn clear(&mut self) {
        for (class, list) in self.lists.iter_mut().enumerate() {
            for ptr in list.drain(..) {
                // SAFETY: blocks of a list came from `fresh` with the class's layout.
                unsafe { dealloc(ptr.as_ptr(), small_layout(class)) };
            }
        }
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        self.clear();
    }
}

thread_local! {
    static SMALL: RefCell<Small> = const { RefCell::new(Small { lists: [const { Vec::new() }; SMALL_CLASSES] }) };
}

/// The shared large blocks, oldest first: few enough that a scan from the young end is cheaper than any index.
struct Large {
    blocks: Vec<(NonNull<u8>, usize)>,
    bytes: usize,
}

// SAFETY: the list owns its blocks, plain memory that any thread may free.
unsafe impl Send for Large {}

static LARGE: Mutex<Large> = Mutex::new(Large { blocks: Vec::new(), bytes: 0 });

impl Large {
    fn take(&mut self, size: usize) -> Option<NonNull<u8>> {
        let at = self.blocks.iter().rposition(|b| b.1 == size)?;
        self.bytes -= size;
        Some(self.blocks.remove(at).0)
    }

    /// Keeps a block and returns those that have to go for it.
    fn keep(&mut self, ptr: NonNull<u8>, size: usize) -> Vec<(NonNull<u8>, usize)> {
        self.blocks.push((ptr, size));
        self.bytes += size;
        let mut gone = 0;
        while self.bytes > LARGE_KEEP_BYTES || self.blocks.len() - gone > LARGE_KEEP_BLOCKS {
            self.bytes -= self.blocks[gone].1;
            gone += 1;
        }
        if gone == 0 { Vec::new() } else { self.blocks.drain(..gone).collect() }
    }

    fn drain(&mut self) -> Vec<(NonNull<u8>, usize)> {
        self.bytes = 0;
        std::mem::take(&mut self.blocks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn blocks_are_aligned_and_writable_to_the_end() {
        for bytes in [0, 1, 63, 64, 65, 4096, 32768, 32769, 100_000, 1 << 21, (1 << 22) + 5] {
            let buf = HostBuf::alloc(bytes);
            assert_eq!((buf.len(), buf.ptr() as usize % ALIGN), (bytes, 0));
            // SAFETY: the block has `bytes` bytes.
            unsafe { buf.ptr().write_bytes(0xff, bytes) };
            drop(buf);
            let zero = HostBuf::zeroed(bytes);
            // SAFETY: as above, and all of them are written.
            assert!(unsafe { std::slice::from_raw_parts(zero.ptr(), bytes) }.iter().all(|&b| b == 0));
        }
    }

    #[test]
    fn sizes_round_up_by_a_quarter_at_most() {
        for bytes in [32769, 40_000, 65_535, 65_536, 65_537, 12_345_678] {
            let size = large_size(bytes);
            assert!(size >= bytes && size <= bytes + bytes / 4, "{bytes} -> {size}");
        }
        assert_eq!([1, 64, 65, 128, 129, 32768].map(small_class), [0, 0, 1, 1, 2, 9]);
    }

    #[test]
    fn a_small_block_comes_back_to_its_thread() {
        let first = HostBuf::alloc(100);
        let at = first.ptr();
        drop(first);
        assert_eq!(HostBuf::alloc(70).ptr(), at);
    }

    #[test]
    fn the_large_list_is_bounded_and_drops_the_oldest() {
        let mut list = Large { blocks: Vec::new(), bytes: 0 };
        let size = LARGE_KEEP_BYTES / 4;
        let at = |i: usize| NonNull::new(std::ptr::without_provenance_mut(i * ALIGN)).unwrap();
        for i in 1..=4 {
            assert!(list.keep(at(i), size).is_empty());
        }
        assert_eq!(list.keep(at(5), size), [(at(1), size)]);
        assert_eq!(list.take(size), Some(at(5)), "the youngest is the warmest");
        assert_eq!(list.take(size + 1), None);
        assert_eq!(list.bytes, 3 * size);
    }

    #[test]
    fn vecs_and_owners_are_adopted() {
        let mut v = Vec::with_capacity(10);
        v.extend([1.5f32, 2.5]);
        let at = v.as_ptr();
        let buf = HostBuf::from_vec(v);
        assert_eq!((buf.ptr().cast_const().cast(), buf.len()), (at, 8));
        assert_eq!(HostBuf::from_vec(Vec::<i64>::new()).len(), 0);

        struct Owner(Vec<u8>, Arc<AtomicUsize>);
        impl Drop for Owner {
            fn drop(&mut self) {
                self.1.fetch_add(1, Ordering::Relaxed);
            }
        }
        let drops = Arc::new(AtomicUsize::new(0));
        let mut owner = Box::new(Owner(vec![7; 3], drops.clone()));
        let ptr = NonNull::new(owner.0.as_mut_ptr()).unwrap();
        // SAFETY: the Vec inside the box does not move.
        let buf = unsafe { HostBuf::from_owner(ptr, 3, owner) };
        // SAFETY: three bytes, all written.
        assert_eq!(unsafe { buf.ptr().add(2).read() }, 7);
        assert_eq!(drops.load(Ordering::Relaxed), 0);
        drop(buf);
        assert_eq!(drops.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn blocks_cross_threads() {
        let bufs: Vec<_> = (1..200).map(|i| HostBuf::zeroed(i * 1000)).collect();
        std::thread::spawn(move || drop(bufs)).join().unwrap();
    }
}
