//! The uniform arena: every kernel's parameters lie in one buffer, bound with dynamic offsets.
//!
//! NOTE [Parameters cannot overtake]: recorded commands write their parameters into a mirror in host memory, each into its
//! own slot. The mirror goes to the device by one `write_buffer` right before the commands are submitted: the queue runs
//! it after all earlier submissions and before this one, so no unfinished command sees another's parameters.

/// Slots start at multiples of this: WebGPU's default for dynamic uniform offsets.
const ALIGN: usize = 256;

/// Bytes a submission's parameters may take; a full arena is a reason to submit.
const ARENA: usize = 64 * 1024;

pub(super) struct Params {
    buffer: wgpu::Buffer,
    mirror: Vec<u8>,
    used: usize,
    align: usize,
}

impl Params {
    pub fn new(device: &wgpu::Device, limits: &wgpu::Limits) -> Params {
        let buffer = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("wgtorch params"),
            size: ARENA as u64,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let align = ALIGN.max(limits.min_uniform_buffer_offset_alignment as usize);
        Params { buffer, mirror: vec![0; ARENA], used: 0, align }
    }

    /// The size a kernel's binding has for so many bytes of parameters: few sizes, so that bind groups are shared.
    pub fn class(bytes: u32) -> u32 {
        bytes.max(1).next_multiple_of(ALIGN as u32)
    }

    /// Most bytes of parameters that a kernel may have.
    pub fn max() -> u32 {
        16 * 1024
    }

    pub fn buffer(&self) -> &wgpu::Buffer {
        &self.buffer
    }

    /// Whether a binding of this size still fits.
    pub fn fits(&self, class: u32) -> bool {
        self.used + class as usize <= self.mirror.len()
    }

    /// Puts parameters in the next slot and returns its offset.
    pub fn push(&mut self, words: &[u32], class: u32) -> u32 {
        let at = self.used;
        let bytes: &[u8] = bytemuck::cast_slice(words);
        self.mirror[at..at + bytes.len()].copy_from_slice(bytes);
        self.used = (at + class as usize).next_multiple_of(self.align);
        at as u32
    }

    /// Sends the used slots ahead of the submission that is about to be made, and starts over.
    pub fn flush(&mut self, queue: &wgpu::Queue) {
        if self.used > 0 {
            let end = self.used.min(self.mirror.len());
            queue.write_buffer(&self.buffer, 0, &self.mirror[..end]);
            self.used = 0;
        }
    }
}
