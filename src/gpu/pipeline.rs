//! Kernels by key, and the layouts and bind groups that they share.

use super::params::Params;
use crate::error::{Result, bail, ensure};
use crate::trace::{self, Kind, Work};
use futures::FutureExt;
use smallvec::SmallVec;
use std::collections::HashMap;
use std::num::NonZeroU64;
use std::sync::Arc;

/// Most kernels kept; the least recently used go first.
const MAX_KERNELS: usize = 1024;
/// Most bind groups kept.
const MAX_BIND_GROUPS: usize = 8192;

/// How a kernel uses a storage buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// `var<storage, read>`
    Read,
    /// `var<storage, read_write>`
    ReadWrite,
}

/// A kernel to compile. The WGSL has `@group(0) @binding(0) var<uniform> P: Params;` (where `param_bytes` is not 0), its
/// storage buffers at bindings 1, 2, …, and the entry point `main`.
#[derive(Clone, Debug)]
pub struct KernelSource {
    /// Its name in errors and profiles.
    pub label: String,
    /// Its text.
    pub wgsl: String,
    /// Its storage buffers, in binding order.
    pub bindings: Vec<Access>,
    /// Values of its `override` declarations.
    pub overrides: Vec<(String, f64)>,
    /// The size of `Params`: a multiple of 4.
    pub param_bytes: u32,
}

/// A compiled kernel's place in the cache. Valid until the next calls of `Recorder::kernel`, which may evict it: an evicted
/// id is refused, never mistaken for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KernelId {
    pub(super) index: u32,
    generation: u32,
}

#[cfg(test)]
impl KernelId {
    /// No kernel.
    pub const NONE: KernelId = KernelId { index: u32::MAX, generation: 0 };
}

pub(super) struct Kernel {
    pub label: Arc<str>,
    key: Arc<str>,
    pub pipeline: wgpu::ComputePipeline,
    pub layout: u32,
    pub bindings: Vec<Access>,
    pub param_bytes: u32,
    generation: u32,
    used: u64,
}

struct Layout {
    accesses: Vec<Access>,
    class: u32,
    group: wgpu::BindGroupLayout,
    pipeline: wgpu::PipelineLayout,
}

type GroupKey = (u32, SmallVec<[u64; 8]>);

pub(super) struct Pipelines {
    checked: bool,
    kernels: Vec<Option<Kernel>>,
    by_key: HashMap<Arc<str>, KernelId>,
    layouts: Vec<Layout>,
    groups: HashMap<GroupKey, wgpu::BindGroup>,
    clock: u64,
    generation: u32,
    /// Pipelines compiled so far.
    pub made: u64,
    /// Bind groups made so far.
    pub groups_made: u64,
}

impl Pipelines {
    pub fn new() -> Pipelines {
        Pipelines {
            checked: std::env::var("WGTORCH_CHECKED").is_ok_and(|v| v != "0"),
            kernels: Vec::new(),
            by_key: HashMap::new(),
            layouts: Vec::new(),
            groups: HashMap::new(),
            clock: 0,
            generation: 0,
            made: 0,
            groups_made: 0,
        }
    }

    pub fn find(&mut self, key: &str) -> Option<KernelId> {
        let id = *self.by_key.get(key)?;
        self.clock += 1;
        if let Some(k) = &mut self.kernels[id.index as usize] {
            k.used = self.clock;
        }
        Some(id)
    }

    pub fn get(&self, id: KernelId) -> Result<&Kernel> {
        match self.kernels.get(id.index as usize) {
            Some(Some(k)) if k.generation == id.generation => Ok(k),
            _ => bail!(Device, "a kernel was dispatched after the cache had dropped it"),
        }
    }

    /// The label of the kernel in a slot, for messages.
    pub fn label(&self, index: u32) -> Option<Arc<str>> {
        self.kernels.get(index as usize)?.as_ref().map(|k| k.label.clone())
    }

    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    fn layout(&mut self, device: &wgpu::Device, accesses: &[Access], class: u32) -> u32 {
        if let Some(i) = self.layouts.iter().position(|l| l.class == class && l.accesses == accesses) {
            return i as u32;
        }
        let entry = |binding, ty, dynamic, min: Option<u64>| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer {
                ty,
                has_dynamic_offset: dynamic,
                min_binding_size: min.and_then(NonZeroU64::new),
            },
            count: None,
        };
        let mut entries = Vec::with_capacity(accesses.len() + 1);
        if class > 0 {
            entries.push(entry(0, wgpu::BufferBindingType::Uniform, true, Some(class as u64)));
        }
        for (i, a) in accesses.iter().enumerate() {
            let ty = wgpu::BufferBindingType::Storage { read_only: *a == Access::Read };
            entries.push(entry(i as u32 + 1, ty, false, None));
        }
        let group = device
            .create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: Some("wgtorch"), entries: &entries });
        let pipeline = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some("wgtorch"),
            bind_group_layouts: &[Some(&group)],
            immediate_size: 0,
        });
        self.layouts.push(Layout { accesses: accesses.to_vec(), class, group, pipeline });
        self.layouts.len() as u32 - 1
    }

    pub fn make(
        &mut self,
        device: &wgpu::Device,
        limits: &wgpu::Limits,
        key: &str,
        source: KernelSource,
    ) -> Result<KernelId> {
        let label = &source.label;
        let _span = trace::span_with(Kind::Compile, || (label.clone().into(), Work::default()));
        ensure!(
            source.bindings.len() <= limits.max_storage_buffers_per_shader_stage as usize,
            Device,
            "kernel {label} binds {} buffers, this device allows {}",
            source.bindings.len(),
            limits.max_storage_buffers_per_shader_stage
        );
        ensure!(
            source.param_bytes <= Params::max() && source.param_bytes.is_multiple_of(4),
            Device,
            "kernel {label} has {} bytes of parameters: at most {}, by fours",
            source.param_bytes,
            Params::max()
        );
        let class = if source.param_bytes == 0 { 0 } else { Params::class(source.param_bytes) };
        let scope = device.push_error_scope(wgpu::ErrorFilter::Validation);
        let internal = device.push_error_scope(wgpu::ErrorFilter::Internal);
        let layout = self.layout(device, &source.bindings, class);
        let desc = wgpu::ShaderModuleDescriptor {
            label: Some(label),
            source: wgpu::ShaderSource::Wgsl(source.wgsl.as_str().into()),
        };
        let module = if self.checked {
            device.create_shader_module(desc)
        } else {
            // SAFETY: our kernels bound their indices and loops themselves and guard integer division; a user's own WGSL does
            // not come this way.
            unsafe { device.create_shader_module_trusted(desc, wgpu::ShaderRuntimeChecks::unchecked()) }
        };
        let constants: Vec<(&str, f64)> = source.overrides.iter().map(|(n, v)| (n.as_str(), *v)).collect();
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(label),
            layout: Some(&self.layouts[layout as usize].pipeline),
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants: &constants,
                zero_initialize_workgroup_memory: false,
            },
            cache: None,
        });
        // natively the answer is there at once; in browsers it reaches the handler of uncaptured errors by itself
        let internal = internal.pop().now_or_never().flatten();
        let fault = scope.pop().now_or_never().flatten().or(internal);
        if let Some(e) = fault {
            bail!(Device, "kernel {label} does not compile: {e}");
        }
        self.made += 1;
        self.clock += 1;
        self.generation += 1;
        let key: Arc<str> = key.into();
        let kernel = Kernel {
            label: label.as_str().into(),
            key: key.clone(),
            pipeline,
            layout,
            bindings: source.bindings,
            param_bytes: source.param_bytes,
            generation: self.generation,
            used: self.clock,
        };
        let index = self.free_slot();
        self.kernels[index] = Some(kernel);
        let id = KernelId { index: index as u32, generation: self.generation };
        self.by_key.insert(key, id);
        Ok(id)
    }

    /// An empty slot, made by dropping the least recently used kernel where the cache is full.
    fn free_slot(&mut self) -> usize {
        if self.kernels.len() < MAX_KERNELS {
            self.kernels.push(None);
            return self.kernels.len() - 1;
        }
        let oldest = |i: &usize| self.kernels[*i].as_ref().map_or(0, |k| k.used);
        let index = (0..self.kernels.len()).min_by_key(oldest).expect("the cache is not empty");
        if let Some(k) = self.kernels[index].take() {
            self.by_key.remove(&k.key);
        }
        index
    }

    /// The bind group of a layout with these buffers, made where it is new.
    pub fn group(
        &mut self,
        device: &wgpu::Device,
        layout: u32,
        params: &wgpu::Buffer,
        buffers: &[(u64, &wgpu::Buffer)],
    ) -> &wgpu::BindGroup {
        let key: GroupKey = (layout, buffers.iter().map(|b| b.0).collect());
        if self.groups.len() >= MAX_BIND_GROUPS && !self.groups.contains_key(&key) {
            self.groups.clear();
        }
        let (layouts, made) = (&self.layouts, &mut self.groups_made);
        self.groups.entry(key).or_insert_with(|| {
            *made += 1;
            let layout = &layouts[layout as usize];
            let mut entries = Vec::with_capacity(buffers.len() + 1);
            if layout.class > 0 {
                let resource = wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                    buffer: params,
                    offset: 0,
                    size: NonZeroU64::new(layout.class as u64),
                });
                entries.push(wgpu::BindGroupEntry { binding: 0, resource });
            }
            for (i, b) in buffers.iter().enumerate() {
                entries.push(wgpu::BindGroupEntry { binding: i as u32 + 1, resource: b.1.as_entire_binding() });
            }
            device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: None,
                layout: &layout.group,
                entries: &entries,
            })
        })
    }

    /// The size of the parameter slot that kernels of a layout bind; 0 where they have none.
    pub fn class(&self, layout: u32) -> u32 {
        self.layouts[layout as usize].class
    }

    /// Forgets bind groups that hold buffers which died.
    pub fn forget(&mut self, dead: &[u64]) {
        if !dead.is_empty() {
            let dead: std::collections::HashSet<u64> = dead.iter().copied().collect();
            self.groups.retain(|k, _| !k.1.iter().any(|id| dead.contains(id)));
        }
    }
}
