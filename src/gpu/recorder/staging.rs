//! Host memory that uploads go through: mapped chunks that come back when the device has read them.

use super::{Recorder, create_with};
use crate::error::Result;
use crate::gpu::buffer::size_class;

/// Size of a shared staging chunk; larger uploads get one of their own.
pub(super) const CHUNK: u64 = 1 << 20;
/// Large transfers go by pieces, so that host and device copy at the same time: of just under a size class, for what is
/// read beside a piece.
pub(in crate::gpu) const PIECE: u64 = (8 << 20) - 256;
/// Bytes of unused chunks that are kept: drivers are slow to make and to map memory of the host.
pub(super) const KEEP_STAGED: u64 = 128 << 20;

/// A mapped buffer with what of it is taken.
pub(super) struct Chunk {
    pub buffer: wgpu::Buffer,
    pub used: u64,
}

impl Recorder {
    /// Room in a mapped staging chunk.
    pub(super) fn chunk(&mut self, bytes: u64) -> Result<(wgpu::Buffer, u64)> {
        if bytes > CHUNK {
            // what is too large to be kept needs no class
            let class = size_class(bytes);
            let buffer = self.staging(if class > KEEP_STAGED { bytes } else { class })?;
            // not last: that is the one in use for small uploads
            self.chunks.insert(0, Chunk { buffer: buffer.clone(), used: CHUNK });
            return Ok((buffer, 0));
        }
        let fits = |c: &Chunk| c.used + bytes <= CHUNK;
        if !self.chunks.last().is_some_and(fits) {
            let buffer = self.staging(CHUNK)?;
            self.chunks.push(Chunk { buffer, used: 0 });
        }
        let c = self.chunks.last_mut().expect("pushed above");
        let at = c.used;
        c.used += bytes.next_multiple_of(8);
        Ok((c.buffer.clone(), at))
    }

    /// A mapped buffer of a size, a used one where it has come back.
    fn staging(&mut self, size: u64) -> Result<wgpu::Buffer> {
        self.ready.extend(self.chunks_back.try_iter());
        let found = self.ready.iter().position(|b| b.size() == size).and_then(|i| self.ready.remove(i));
        let wanted = if found.is_some() { 0 } else { size };
        let mut kept: u64 = self.ready.iter().map(wgpu::Buffer::size).sum();
        while kept + wanted > KEEP_STAGED
            && let Some(oldest) = self.ready.pop_front()
        {
            kept -= oldest.size();
        }
        if let Some(buffer) = found {
            return Ok(buffer);
        }
        let desc = wgpu::BufferDescriptor {
            label: Some("wgtorch staging"),
            size,
            usage: wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::MAP_WRITE,
            mapped_at_creation: true,
        };
        create_with(&self.device, &desc)
    }
}
