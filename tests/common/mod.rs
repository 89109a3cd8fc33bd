//! What the integration tests share.

#![allow(dead_code, reason = "each test file uses its part")]

use std::sync::OnceLock;
use wgtorch::prelude::*;

/// The CPU, and the first GPU adapter. Where there is none that is said loudly, and under `CI=true` it is a failure.
pub fn devices() -> Vec<Device> {
    static LIST: OnceLock<Vec<Device>> = OnceLock::new();
    LIST.get_or_init(|| {
        if Device::gpu_count() > 0 {
            return vec![Device::Cpu, Device::Gpu(0)];
        }
        let how = "no GPU adapter: the GPU half is skipped. A software one is in Debian's package mesa-vulkan-drivers.";
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{how}");
        eprintln!("\n*** {how} ***\n");
        vec![Device::Cpu]
    })
    .clone()
}
