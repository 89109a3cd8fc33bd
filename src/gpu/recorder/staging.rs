//! Host memory that uploads go through: mapped chunks that come back when the device has read them.

use super::{Recorder, create_with};
use crate::error::{Result, bail, ensure};
use crate::gpu::buffer::{Buffer, size_class};
use crate::trace::{self, Kind, Work};

/// Size of a shared staging chunk; larger uploads get one of their own.
pub(super) const CHUNK: u64 = 1 << 20;
/// Large transfers go by pieces, so that host and device copy at the same time: of just under a size class, for what is
/// read beside a piece.
pub(in crate::gpu) const PIECE: u64 = (8 << 20) - 256;
/// Bytes of unused chunks that are kept: drivers are slow to make and to map memory of the host.
pub(super) const KEEP_STAGED: u64 = 128 << 20;

/// Uploaded bytes to a submission.
const SUBMIT_BYTES: u64 = 64 << 20;

/// A mapped buffer with what of it is taken.
pub(super) struct Chunk {
    pub buffer: wgpu::Buffer,
    pub used: u64,
}

impl Recorder {
    /// Records a copy of host bytes into a buffer, in program order. Offset and length are multiples of 4, or the data
    /// reaches the end of the buffer's last word, whose remaining bytes become zero.
    pub fn upload(&mut self, dst: &Buffer, offset: u64, data: &[u8]) -> Result<()> {
        let padded = (data.len() as u64).next_multiple_of(4);
        ensure!(
            offset.is_multiple_of(4) && offset + padded <= dst.size(),
            Device,
            "upload of {} bytes at {offset} into a buffer of {} bytes",
            data.len(),
            dst.size()
        );
        if data.is_empty() {
            return Ok(());
        }
        let work = Work { bytes: data.len() as u64, flops: 0 };
        let _span = trace::span_with(Kind::Transfer, || ("Memcpy HtoD".into(), work));
        for (i, piece) in data.chunks(PIECE as usize).enumerate() {
            self.upload_piece(dst, offset + i as u64 * PIECE, piece)?;
            if padded > PIECE {
                // the device takes this one while the next is put in place
                self.submit();
            }
        }
        Ok(())
    }

    fn upload_piece(&mut self, dst: &Buffer, offset: u64, data: &[u8]) -> Result<()> {
        let padded = (data.len() as u64).next_multiple_of(4);
        let (buffer, at) = self.chunk(padded)?;
        {
            let mut view = match buffer.get_mapped_range_mut(at..at + padded) {
                Ok(v) => v,
                Err(e) => bail!(Device, "{}: upload: {e}", self.name),
            };
            let whole = data.len() & !3;
            view.slice(..whole).copy_from_slice(&data[..whole]);
            if whole < data.len() {
                let mut last = [0; 4];
                last[..data.len() - whole].copy_from_slice(&data[whole..]);
                view.slice(whole..whole + 4).copy_from_slice(&last);
            }
        }
        self.encoder().copy_buffer_to_buffer(&buffer, at, dst.raw(), offset, Some(padded));
        self.count.uploads += 1;
        self.staged += padded;
        if self.staged >= SUBMIT_BYTES {
            self.submit();
        }
        Ok(())
    }

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
