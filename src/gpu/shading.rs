//! What naga, the writers of every shading language and spirv-val think of a kernel, whatever the driver at hand thinks.

use super::{Access, KernelSource};
use naga::back::{glsl, hlsl, msl, spv};
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use naga::{AddressSpace, Module, ShaderStage};
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

/// A language that some wgpu backend takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Language {
    /// Vulkan.
    SpirV,
    /// Metal.
    Msl,
    /// DX12.
    Hlsl,
    /// GL, GLSL ES 3.1.
    Glsl,
}
use Language::*;

/// Of WebGPU's core, though naga wants it said: `unpack2x16float`.
const CORE: Capabilities = Capabilities::SHADER_FLOAT16_IN_FLOAT32;

/// What a kernel may use beyond WebGPU's core.
const EXTRAS: [(Capabilities, &str); 5] = [
    (Capabilities::FLOAT64, "f64"),
    (Capabilities::SUBGROUP, "subgroups"),
    (Capabilities::SHADER_INT64, "long words"),
    (Capabilities::SHADER_FLOAT16, "f16"),
    (Capabilities::COOPERATIVE_MATRIX, "cooperative matrices"),
];

/// What a language cannot say, so that wgpu never offers it there.
const EXCLUDED: &[(Capabilities, Language, &str)] = &[
    (Capabilities::FLOAT64, Msl, "Metal has no double"),
    (Capabilities::FLOAT64, Glsl, "GLSL ES has no double"),
    (Capabilities::SHADER_INT64, Glsl, "GLSL ES has no long words"),
    (Capabilities::SHADER_FLOAT16, Glsl, "GLSL ES has no half"),
    (Capabilities::COOPERATIVE_MATRIX, Hlsl, "HLSL has no cooperative matrices"),
    (Capabilities::COOPERATIVE_MATRIX, Glsl, "GLSL ES has no cooperative matrices"),
];

/// WebGPU's default limits, as far as a kernel's text is bound by them.
const MAX_STORAGE_BUFFERS: usize = 8;
/// Kernels that take as many parameters at once as the device's own limit lets them bind.
const BY_LIMIT: [&str; 2] = ["sgd", "adam"];
const MAX_UNIFORM_BYTES: u32 = 64 << 10;
const MAX_WORKGROUP_BYTES: u32 = 16 << 10;
const MAX_INVOCATIONS: u32 = 256;
const MAX_SIZE: [u32; 3] = [256, 256, 64];

/// A kernel that naga accepts.
pub(super) struct Checked {
    module: Module,
    info: ModuleInfo,
    needs: Capabilities,
}

impl Checked {
    /// Validates a kernel: with no more capabilities than it needs, within WebGPU's default limits, with the bindings it says.
    pub fn new(source: &KernelSource) -> Result<Checked, String> {
        let text = &source.wgsl;
        let module = naga::front::wgsl::parse_str(text).map_err(|e| e.emit_to_string(text))?;
        let mut needs = Capabilities::empty();
        let mut tried = Vec::new();
        // every set of extras, the small ones first
        let mut sets: Vec<u32> = (0..1 << EXTRAS.len()).collect();
        sets.sort_by_key(|s| s.count_ones());
        for set in sets {
            let caps = EXTRAS.iter().enumerate().filter(|(i, _)| set >> i & 1 == 1);
            needs = caps.fold(Capabilities::empty(), |all, (_, c)| all | c.0);
            match Validator::new(ValidationFlags::all(), CORE | needs).validate(&module) {
                Ok(info) => {
                    let checked = Checked { module, info, needs };
                    return checked.within_limits(source).map(|()| checked);
                }
                Err(e) => tried.push(e.emit_to_string(text)),
            }
        }
        Err(format!("invalid with {needs:?}: {}", tried.pop().unwrap_or_default()))
    }

    /// The extras that it uses, in words.
    pub fn extras(&self) -> Vec<&'static str> {
        EXTRAS.iter().filter(|e| self.needs.contains(e.0)).map(|e| e.1).collect()
    }

    fn within_limits(&self, source: &KernelSource) -> Result<(), String> {
        let m = &self.module;
        let [entry] = &m.entry_points[..] else { return Err("one entry point is wanted".into()) };
        if entry.name != "main" || entry.stage != ShaderStage::Compute {
            return Err(format!("the entry point is {}", entry.name));
        }
        let size = entry.workgroup_size;
        if size.iter().product::<u32>() > MAX_INVOCATIONS || (0..3).any(|d| size[d] > MAX_SIZE[d]) {
            return Err(format!("workgroups of {size:?}"));
        }
        let mut layouter = naga::proc::Layouter::default();
        layouter.update(m.to_ctx()).map_err(|e| e.to_string())?;
        let mut workgroup = 0;
        let mut storage = Vec::new();
        for (_, v) in m.global_variables.iter() {
            let layout = &layouter[v.ty];
            match v.space {
                AddressSpace::WorkGroup => workgroup += layout.size,
                AddressSpace::Uniform => {
                    let at = v.binding.as_ref().map(|b| (b.group, b.binding));
                    if at != Some((0, 0)) || layout.size > MAX_UNIFORM_BYTES {
                        return Err(format!("parameters of {} bytes at {at:?}", layout.size));
                    }
                    if layout.size > source.param_bytes.next_multiple_of(16) {
                        return Err(format!("Params has {} bytes, not {}", layout.size, source.param_bytes));
                    }
                }
                AddressSpace::Storage { access } => {
                    let b = v.binding.as_ref().ok_or("a buffer without a binding")?;
                    let written = access.contains(naga::StorageAccess::STORE);
                    storage.push((b.group, b.binding, written));
                }
                AddressSpace::Private => {}
                other => return Err(format!("a variable in {other:?}")),
            }
        }
        if workgroup > MAX_WORKGROUP_BYTES {
            return Err(format!("{workgroup} bytes of workgroup memory"));
        }
        let by_limit = BY_LIMIT.iter().any(|name| source.label.starts_with(name));
        if storage.len() > MAX_STORAGE_BUFFERS && !by_limit {
            return Err(format!("{} storage buffers", storage.len()));
        }
        storage.sort_unstable();
        let said = source.bindings.iter().enumerate().map(|(i, a)| (0, i as u32 + 1, *a == Access::ReadWrite));
        if !storage.iter().copied().eq(said) {
            return Err(format!("bindings {storage:?}, said were {:?}", source.bindings));
        }
        Ok(())
    }

    /// Writes it in a language, the way that wgpu does for trusted kernels.
    fn write(&self, language: Language) -> Result<Vec<u32>, String> {
        let (m, info) = (&self.module, &self.info);
        let unchecked = BoundsCheckPolicies {
            index: BoundsCheckPolicy::Unchecked,
            buffer: BoundsCheckPolicy::Unchecked,
            image_load: BoundsCheckPolicy::Unchecked,
            binding_array: BoundsCheckPolicy::Unchecked,
        };
        match language {
            SpirV => {
                let options = spv::Options {
                    lang_version: (1, 3),
                    flags: spv::WriterFlags::empty(),
                    bounds_check_policies: unchecked,
                    force_loop_bounding: false,
                    emit_int_div_checks: false,
                    zero_initialize_workgroup_memory: spv::ZeroInitializeWorkgroupMemoryMode::None,
                    ..spv::Options::default()
                };
                let which = spv::PipelineOptions { shader_stage: ShaderStage::Compute, entry_point: "main".into() };
                spv::write_vec(m, info, &options, Some(&which)).map_err(|e| e.to_string())
            }
            Msl => {
                let options = msl::Options {
                    lang_version: (2, 3),
                    bounds_check_policies: unchecked,
                    force_loop_bounding: false,
                    emit_int_div_checks: false,
                    zero_initialize_workgroup_memory: false,
                    ..msl::Options::default()
                };
                let which = msl::PipelineOptions::default();
                msl::write_string(m, info, &options, &which).map(|_| Vec::new()).map_err(|e| e.to_string())
            }
            Hlsl => {
                // FXC where it can, DXC where a kernel needs more
                let model = match self.needs {
                    n if n.is_empty() => hlsl::ShaderModel::V5_1,
                    n if n.contains(Capabilities::SHADER_FLOAT16) => hlsl::ShaderModel::V6_2,
                    _ => hlsl::ShaderModel::V6_0,
                };
                let options = hlsl::Options {
                    shader_model: model,
                    restrict_indexing: false,
                    force_loop_bounding: false,
                    zero_initialize_workgroup_memory: false,
                    ..hlsl::Options::default()
                };
                let mut text = String::new();
                let which = hlsl::PipelineOptions::default();
                let mut writer = hlsl::Writer::new(&mut text, &options, &which);
                writer.write(m, info, None).map(|_| Vec::new()).map_err(|e| e.to_string())
            }
            Glsl => {
                let options = glsl::Options {
                    version: glsl::Version::new_gles(310),
                    zero_initialize_workgroup_memory: false,
                    ..glsl::Options::default()
                };
                let which = glsl::PipelineOptions {
                    shader_stage: ShaderStage::Compute,
                    entry_point: "main".into(),
                    multiview: None,
                };
                let mut text = String::new();
                let mut writer =
                    glsl::Writer::new(&mut text, m, info, &options, &which, unchecked).map_err(|e| e.to_string())?;
                writer.write().map(|_| Vec::new()).map_err(|e| e.to_string())
            }
        }
    }

    /// Its SPIR-V.
    pub fn spirv(&self) -> Result<Vec<u32>, String> {
        self.write(SpirV)
    }

    /// Writes it in every language, and has the SPIR-V judged where `spirv_val` says so. What the table excludes has to fail.
    pub fn write_all(&self, spirv_val: bool) -> Result<(), String> {
        for language in [SpirV, Msl, Hlsl, Glsl] {
            let excluded = EXCLUDED.iter().find(|e| e.1 == language && self.needs.contains(e.0));
            // naga has no error but a panic for a double in MSL
            let written = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.write(language)))
                .unwrap_or_else(|_| Err("a panic".into()));
            match (written, excluded) {
                (Ok(words), None) if language == SpirV && spirv_val => judge(&words)?,
                (Ok(_), None) | (Err(_), Some(_)) => {}
                (Err(e), None) => return Err(format!("{language:?}: {e}")),
                (Ok(_), Some(e)) => return Err(format!("{language:?} is excluded ({}), but it works", e.2)),
            }
        }
        Ok(())
    }
}

/// The number of SPIR-V's capability.
const COOPERATIVE_MATRIX_KHR: u32 = 6022;

/// spirv-val's opinion.
fn judge(words: &[u32]) -> Result<(), String> {
    let mut child = Command::new("spirv-val")
        .args(["--target-env", "vulkan1.1", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| format!("spirv-val: {e}"))?;
    child.stdin.take().expect("piped").write_all(bytemuck::cast_slice(words)).map_err(|e| format!("spirv-val: {e}"))?;
    let out = child.wait_with_output().map_err(|e| format!("spirv-val: {e}"))?;
    if out.status.success() {
        return Ok(());
    }
    let said = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    // SPV_KHR_cooperative_matrix is younger than the spirv-val of Debian 12
    if said.contains(&format!("Invalid capability operand: {}", COOPERATIVE_MATRIX_KHR)) {
        static SAID: std::sync::Once = std::sync::Once::new();
        SAID.call_once(|| eprintln!("\n*** SKIPPED: this spirv-val does not know cooperative matrices ***\n"));
        return Ok(());
    }
    Err(format!("spirv-val: {said}"))
}

/// The opinion of tint, the compiler of Chromium's WebGPU, which holds barriers and subgroup operations to uniform control flow.
pub(super) fn judge_as_browsers(wgsl: &str, extras: &[&str]) -> Result<(), String> {
    // what no browser offers is never compiled there
    if ["f64", "long words", "cooperative matrices"].iter().any(|e| extras.contains(e)) {
        return Ok(());
    }
    let enable = if extras.contains(&"subgroups") { "enable subgroups;\n" } else { "" };
    // it wants a file of known length
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let name = format!("wgtorch-kernel-{}-{}.wgsl", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let file = std::env::temp_dir().join(name);
    std::fs::write(&file, format!("{enable}{wgsl}")).map_err(|e| format!("tint: {e}"))?;
    let out = Command::new("tint").args(["--format", "wgsl", "-o", "/dev/null"]).arg(&file).output();
    // what is left behind is in the folder of temporary files
    let _ = std::fs::remove_file(&file);
    let out = out.map_err(|e| format!("tint: {e}"))?;
    if out.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&out.stderr);
    Err(format!("tint: {}", words.lines().take(12).collect::<Vec<_>>().join("\n")))
}

/// Whether tint is installed: no package of Debian has it, so that without it browsers' opinion is not asked.
pub(super) fn have_tint() -> bool {
    let there = Command::new("tint").arg("--help").output().is_ok();
    if !there {
        eprintln!("\n*** SKIPPED: no tint: kernels are not judged as browsers do ***\n");
    }
    there
}

/// Whether spirv-val is installed. Without it that half is skipped loudly, and fails where `CI=true`.
pub(super) fn have_spirv_val() -> bool {
    let there = Command::new("spirv-val").arg("--version").stdout(Stdio::null()).status().is_ok_and(|s| s.success());
    if !there {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "CI has no spirv-val (Debian: spirv-tools)");
        eprintln!("\n*** SKIPPED: no spirv-val (Debian: spirv-tools): the SPIR-V is written but not judged ***\n");
    }
    there
}
