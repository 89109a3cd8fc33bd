//! What the tests of this backend share: a GPU to run on, typed transfers, and naga's opinion of every kernel made.

use super::shading::Checked;
use super::{Buffer, Gpu, KernelSource, adapters, gpu};
use parking_lot::{Mutex, MutexGuard};

/// The GPU and the right to use it alone: tests assert on counters and status words, which all threads share.
pub(crate) struct Alone(&'static Gpu, #[allow(dead_code, reason = "held for its drop")] MutexGuard<'static, ()>);

impl std::ops::Deref for Alone {
    type Target = Gpu;
    fn deref(&self) -> &Gpu {
        self.0
    }
}

static TURN: Mutex<()> = Mutex::new(());

/// The first GPU. Without one a test is skipped loudly, and fails where `CI=true`.
pub(crate) fn device() -> Option<Alone> {
    if adapters().is_empty() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "CI has no GPU adapter");
        eprintln!("SKIPPED: no GPU adapter, not even a software one");
        return None;
    }
    Some(Alone(gpu(0).expect("an adapter that is listed opens"), TURN.lock()))
}

pub(crate) fn up<T: bytemuck::NoUninit>(g: &Gpu, data: &[T]) -> Buffer {
    let bytes: &[u8] = bytemuck::cast_slice(data);
    let mut rec = g.lock();
    let b = rec.alloc(bytes.len() as u64).unwrap();
    rec.upload(&b, 0, bytes).unwrap();
    b
}

pub(crate) fn down<T: bytemuck::AnyBitPattern>(g: &Gpu, b: &Buffer, n: usize) -> Vec<T> {
    let bytes = g.read(b, 0, (n * size_of::<T>()) as u64).unwrap();
    bytemuck::pod_collect_to_vec::<u8, u8>(&bytes)
        .chunks_exact(size_of::<T>())
        .map(bytemuck::pod_read_unaligned)
        .collect()
}

/// Every kernel that a test compiles is valid by naga and can be written in every shading language, whatever the driver
/// thinks of it.
pub(crate) fn check_wgsl(source: &KernelSource) {
    let written = Checked::new(source).and_then(|c| c.write_all(false));
    written.unwrap_or_else(|e| panic!("{}: {e}\n{}", source.label, source.wgsl));
}
