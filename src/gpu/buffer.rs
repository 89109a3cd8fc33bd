//! Whole wgpu buffers, pooled by size class: no buffer is ever a slice of another, since WebGPU tracks usage by buffer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

/// Free buffers that nobody took for this many submissions go back to the driver.
const KEEP_SUBMISSIONS: u64 = 512;

/// A whole pooled buffer; clones are the same memory. When the last one drops, later-recorded commands may reuse it.
#[derive(Clone)]
pub struct Buffer(Arc<Handle>);

struct Handle {
    raw: Option<Raw>,
    home: Sender<Raw>,
}

/// A wgpu buffer and the number that names it in caches.
pub(super) struct Raw {
    pub buffer: wgpu::Buffer,
    pub id: u64,
}

impl Buffer {
    /// Its capacity in bytes: the size asked for, rounded up to its class.
    pub fn size(&self) -> u64 {
        self.raw().size()
    }

    /// A number that stays with the memory: reused with it, never given to another.
    pub fn id(&self) -> u64 {
        self.handle().id
    }

    /// The wgpu buffer.
    pub fn raw(&self) -> &wgpu::Buffer {
        &self.handle().buffer
    }

    /// True where nobody else holds this buffer.
    pub fn is_unique(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }

    fn handle(&self) -> &Raw {
        self.0.raw.as_ref().expect("taken only by drop")
    }
}

impl std::fmt::Debug for Buffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Buffer(#{}, {} bytes)", self.id(), self.size())
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Some(raw) = self.raw.take() {
            // the channel takes no lock; where the pool is gone the buffer just drops
            let _ = self.home.send(raw);
        }
    }
}

/// The size class of a request: eight steps to the octave, so that at most an eighth is unused.
pub(super) fn size_class(bytes: u64) -> u64 {
    if bytes <= 256 {
        return 256;
    }
    let step = (1u64 << (63 - (bytes - 1).leading_zeros())) / 8;
    bytes.div_ceil(step.max(256)) * step.max(256)
}

struct Free {
    buffer: wgpu::Buffer,
    since: u64,
}

/// Free buffers by size class, and the way home for dropped ones.
pub(super) struct Pool {
    /// By size class, then by id.
    free: BTreeMap<u64, BTreeMap<u64, Free>>,
    home: Sender<Raw>,
    returned: Receiver<Raw>,
    next_id: u64,
    /// Buffers made and not yet given back to the driver.
    pub buffers: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Buffers that lie free.
    pub free_buffers: u64,
    /// Buffers made so far.
    pub made: u64,
}

impl Pool {
    pub fn new() -> Pool {
        let (home, returned) = channel();
        Pool { free: BTreeMap::new(), home, returned, next_id: 1, buffers: 0, bytes: 0, free_buffers: 0, made: 0 }
    }

    /// Takes in what was dropped since the last call.
    pub fn collect(&mut self, submission: u64) {
        while let Ok(raw) = self.returned.try_recv() {
            self.free_buffers += 1;
            let Raw { buffer, id } = raw;
            self.free.entry(buffer.size()).or_default().insert(id, Free { buffer, since: submission });
        }
    }

    /// The oldest free buffer of a class, in whatever order they were released: so that loops meet the same buffers (and bind
    /// groups), however their flushes fall.
    pub fn take(&mut self, class: u64) -> Option<Buffer> {
        let (id, free) = self.free.get_mut(&class)?.pop_first()?;
        self.free_buffers -= 1;
        Some(self.wrap(Raw { buffer: free.buffer, id }))
    }

    /// Makes a handle of a new wgpu buffer.
    pub fn adopt(&mut self, buffer: wgpu::Buffer) -> Buffer {
        let id = self.next_id;
        self.next_id += 1;
        self.buffers += 1;
        self.made += 1;
        self.bytes += buffer.size();
        self.wrap(Raw { buffer, id })
    }

    fn wrap(&self, raw: Raw) -> Buffer {
        Buffer(Arc::new(Handle { raw: Some(raw), home: self.home.clone() }))
    }

    /// Gives free buffers back to the driver: all of them, or those unused for long. Returns the ids that died.
    pub fn trim(&mut self, submission: u64, all: bool) -> Vec<u64> {
        let mut dead = Vec::new();
        let mut bytes = 0;
        for list in self.free.values_mut() {
            list.retain(|id, f| {
                let old = all || f.since + KEEP_SUBMISSIONS < submission;
                if old {
                    dead.push(*id);
                    bytes += f.buffer.size();
                }
                !old
            });
        }
        self.free.retain(|_, l| !l.is_empty());
        self.buffers -= dead.len() as u64;
        self.free_buffers -= dead.len() as u64;
        self.bytes -= bytes;
        dead
    }
}

#[cfg(test)]
mod tests {
    use super::size_class;

    #[test]
    fn classes_waste_an_eighth_at_most() {
        for n in (1..100_000).chain([1 << 20, (1 << 20) + 1, 16 << 20, 1 << 31, (1 << 31) + 5]) {
            let c = size_class(n);
            assert!(c >= n && c.is_multiple_of(256), "{n} -> {c}");
            assert_eq!(size_class(c), c);
            assert!(c - n < 256.max(n / 8 + 1), "{n} -> {c}");
        }
    }
}
