//! What AMD's compiler makes of the kernels, on machines without such a GPU: Mesa's RADV compiles for a chip that it is told of
//! (`RADV_FORCE_FAMILY`) and tells registers, workgroup memory and spills. Nothing is run.
//!
//! The driver is loaded in a child process, since the variables that choose it are read once.

use super::attention::tests::tiles as attention;
use super::conv::tests::tiles as convolutions;
use super::matmul::tests::on_gpus as products;
use super::matmul_half::tests::tiles as half_products;
use super::matmul_scaled;
use crate::gpu::shader_tests::{Hosts, drive};
use crate::gpu::shading::Checked;
use crate::gpu::testing::device;
use crate::gpu::{Access, KernelSource};
use ash::vk;
use std::collections::BTreeMap;
use std::ffi::CStr;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// One chip of each generation that is still sold or common: RDNA2 (RX 6800), RDNA3 (RX 7900), Vega.
const CHIPS: [&str; 3] = ["navi21", "gfx1100", "vega10"];

/// Where the folder of SPIR-V files is named for the child.
const FOLDER: &str = "WGTORCH_RADV_FOLDER";

/// The driver's manifest, from the places where loaders look.
fn manifest() -> Option<PathBuf> {
    let folders = ["/usr/share/vulkan/icd.d", "/usr/local/share/vulkan/icd.d", "/etc/vulkan/icd.d"];
    let files = folders.iter().filter_map(|f| std::fs::read_dir(f).ok()).flatten().flatten().map(|f| f.path());
    files.into_iter().find(|p| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with("radeon_icd")))
}

/// Every kernel of `shaders/` as adapters without a fixed subgroup size get it, and each tile of products, convolutions and attention;
/// not what only software adapters take.
fn kernels() -> Option<Vec<KernelSource>> {
    let g = device()?;
    let hosts = Hosts::new(&g);
    let mut all = g.lock().dry(0, |rec| drive(rec, &hosts));
    all.extend(products());
    all.extend(half_products());
    all.extend(matmul_scaled::sources());
    all.extend(convolutions());
    all.extend(attention());
    // for software adapters alone: an array of an invocation's own is memory
    all.retain(|k| !k.label.starts_with("sort run"));
    // one text is one kernel
    all.sort_by(|a, b| (&a.label, &a.wgsl).cmp(&(&b.label, &b.wgsl)));
    all.dedup_by(|a, b| a.wgsl == b.wgsl);
    Some(all)
}

/// Writes `NAME.spv`, whose first word in front is the parameters' size, the second the number of buffers.
fn write(folder: &Path, kernels: &[KernelSource]) {
    for (n, k) in kernels.iter().enumerate() {
        let mut words = vec![k.param_bytes, k.bindings.len() as u32];
        assert!(k.bindings.iter().all(|b| matches!(b, Access::Read | Access::ReadWrite)));
        words.extend(Checked::new(k).and_then(|c| c.spirv()).unwrap_or_else(|e| panic!("{}: {e}", k.label)));
        let name = format!("{n:03} {}.spv", k.label.replace('/', "_"));
        std::fs::write(folder.join(name), bytemuck::cast_slice(&words)).unwrap();
    }
}

#[test]
fn nothing_spills_on_amd_chips() {
    let Some(icd) = manifest() else {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "CI has no RADV (Debian: mesa-vulkan-drivers)");
        eprintln!(
            "\n*** SKIPPED: no RADV (Debian: mesa-vulkan-drivers): what AMD's compiler makes of the kernels ***\n"
        );
        return;
    };
    let Some(kernels) = kernels() else { return };
    let folder = std::env::temp_dir().join(format!("wgtorch-radv-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    write(&folder, &kernels);
    let mut spilled = Vec::new();
    for chip in CHIPS {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "gpu::kernels::radv_tests::in_the_child", "--nocapture"])
            .env(FOLDER, &folder)
            .env("RADV_FORCE_FAMILY", chip)
            .env("VK_ICD_FILENAMES", &icd)
            .env("VK_DRIVER_FILES", &icd)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&child.stdout);
        assert!(child.status.success(), "{chip}: {said}{}", String::from_utf8_lossy(&child.stderr));
        let lines: Vec<&str> = said.lines().filter_map(|l| l.strip_prefix("radv ")).collect();
        assert_eq!(lines.len(), kernels.len(), "{chip}: {said}");
        for line in lines {
            println!("{chip:8} {line}");
            if line.ends_with("SPILLS") {
                spilled.push(format!("{chip}: {line}"));
            }
        }
    }
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(spilled.is_empty(), "{}", spilled.join("\n"));
}

#[test]
#[ignore = "the child of nothing_spills_on_amd_chips"]
fn in_the_child() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().path()).collect();
    files.sort();
    let chip = Chip::open();
    for file in files {
        let words: Vec<u32> = bytemuck::pod_collect_to_vec(&std::fs::read(&file).unwrap());
        let seen = chip.compile(&words[2..], words[0], words[1]);
        let get = |name: &str| seen.get(name).copied().unwrap_or(0);
        let mut line = format!("radv {:38}", file.file_stem().unwrap().to_string_lossy());
        for (name, short) in [
            ("VGPRs", "vgprs"),
            ("SGPRs", "sgprs"),
            ("LDS size", "lds"),
            ("Code size", "code"),
            ("Subgroups per SIMD", "waves"),
        ] {
            assert!(seen.contains_key(name), "the driver tells no {name}: {seen:?}");
            let _ = write!(line, " {short} {:6}", get(name));
        }
        if get("Spilled VGPRs") + get("Spilled SGPRs") + get("Scratch size") > 0 {
            let (v, s, scratch) = (get("Spilled VGPRs"), get("Spilled SGPRs"), get("Scratch size"));
            let _ = write!(line, " {v} VGPRs, {s} SGPRs, {scratch} bytes: SPILLS");
        }
        println!("{line}");
    }
}

/// A device that compiles only.
struct Chip {
    // keeps the loader
    _entry: ash::Entry,
    device: ash::Device,
    properties: ash::khr::pipeline_executable_properties::Device,
}

impl Chip {
    fn open() -> Chip {
        // SAFETY: plain Vulkan calls with structures that live until the call returns; nothing is destroyed before the process ends.
        unsafe {
            let entry = ash::Entry::load().expect("a Vulkan loader");
            let app = vk::ApplicationInfo::default().api_version(vk::API_VERSION_1_2);
            let info = vk::InstanceCreateInfo::default().application_info(&app);
            let instance = entry.create_instance(&info, None).expect("an instance");
            let physical = *instance.enumerate_physical_devices().unwrap().first().expect("RADV's null device");
            let priorities = [1.0];
            let queues = [vk::DeviceQueueCreateInfo::default().queue_family_index(0).queue_priorities(&priorities)];
            let extensions = [ash::khr::pipeline_executable_properties::NAME.as_ptr()];
            let mut tells =
                vk::PhysicalDevicePipelineExecutablePropertiesFeaturesKHR::default().pipeline_executable_info(true);
            let info = vk::DeviceCreateInfo::default()
                .queue_create_infos(&queues)
                .enabled_extension_names(&extensions)
                .push_next(&mut tells);
            let device = instance.create_device(physical, &info, None).expect("a device");
            let properties = ash::khr::pipeline_executable_properties::Device::new(&instance, &device);
            Chip { _entry: entry, device, properties }
        }
    }

    /// What the driver tells of a kernel with parameters at binding 0, if there are any, and so many buffers from binding 1 on.
    fn compile(&self, spirv: &[u32], param_bytes: u32, buffers: u32) -> BTreeMap<String, u64> {
        let binding = |n: u32, ty| {
            let b = vk::DescriptorSetLayoutBinding::default().binding(n).descriptor_type(ty).descriptor_count(1);
            b.stage_flags(vk::ShaderStageFlags::COMPUTE)
        };
        let mut bindings = Vec::new();
        if param_bytes > 0 {
            bindings.push(binding(0, vk::DescriptorType::UNIFORM_BUFFER_DYNAMIC));
        }
        bindings.extend((1..=buffers).map(|n| binding(n, vk::DescriptorType::STORAGE_BUFFER)));
        let d = &self.device;
        // SAFETY: as in `open`; the SPIR-V was written by naga from a module that it found valid.
        unsafe {
            let info = vk::DescriptorSetLayoutCreateInfo::default().bindings(&bindings);
            let set = d.create_descriptor_set_layout(&info, None).unwrap();
            let sets = [set];
            let info = vk::PipelineLayoutCreateInfo::default().set_layouts(&sets);
            let layout = d.create_pipeline_layout(&info, None).unwrap();
            let module = d.create_shader_module(&vk::ShaderModuleCreateInfo::default().code(spirv), None).unwrap();
            let stage = vk::PipelineShaderStageCreateInfo::default()
                .stage(vk::ShaderStageFlags::COMPUTE)
                .module(module)
                .name(c"main");
            let info = vk::ComputePipelineCreateInfo::default()
                .flags(vk::PipelineCreateFlags::CAPTURE_STATISTICS_KHR)
                .stage(stage)
                .layout(layout);
            let pipeline = d.create_compute_pipelines(vk::PipelineCache::null(), &[info], None).unwrap()[0];
            let which = vk::PipelineExecutableInfoKHR::default().pipeline(pipeline).executable_index(0);
            let statistics = self.properties.get_pipeline_executable_statistics(&which).unwrap();
            let each = statistics.iter().map(|s| {
                let name = CStr::from_ptr(s.name.as_ptr()).to_string_lossy().into_owned();
                // all of RADV's are counts
                (name, if s.format == vk::PipelineExecutableStatisticFormatKHR::UINT64 { s.value.u64 } else { 0 })
            });
            each.collect()
        }
    }
}
