//! The GPU draws the bits that `rng::philox` draws, and normals that differ by rounding alone.

use super::testing::{device, down, up};
use super::{Access, KernelSource};
use crate::rng::philox::{PhiloxKey, WGSL};

#[test]
fn the_gpu_draws_the_same_bits_and_nearly_the_same_normals() {
    let Some(g) = device() else { return };
    let g = &*g;
    const N: u32 = 1 << 14;
    let source = || {
        Ok(KernelSource {
            label: "philox test".into(),
            wgsl: format!(
                "{WGSL}
struct Params {{ key: vec4<u32> }}
@group(0) @binding(0) var<uniform> P: Params;
@group(0) @binding(1) var<storage, read_write> x: array<u32>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {{
    let i = id.x * 1021u; // spread over the index's range
    x[id.x] = philox_bits(i, P.key);
    x[{N}u + id.x] = bitcast<u32>(philox_uniform(i, P.key));
    x[2u * {N}u + id.x] = bitcast<u32>(philox_normal(i, P.key));
}}"
            ),
            bindings: vec![Access::ReadWrite],
            overrides: vec![],
            param_bytes: 16,
        })
    };
    for key in
        [PhiloxKey { seed: 0, offset: 0 }, PhiloxKey { seed: 0xdead_beef_0bad_cafe, offset: 0xffff_ffff_ffff_fff0 }]
    {
        let x = up(g, &vec![0u32; 3 * N as usize]);
        {
            let mut rec = g.lock();
            let kernel = rec.kernel("philox test", source).unwrap();
            rec.dispatch(kernel, &[&x], &key.words(), N / 64).unwrap();
        }
        let got = down::<u32>(g, &x, 3 * N as usize);
        for n in 0..N {
            let i = n.wrapping_mul(1021);
            assert_eq!(got[n as usize], key.bits(i));
            assert_eq!(got[(N + n) as usize], key.uniform(i).to_bits());
            let (a, b) = (f32::from_bits(got[(2 * N + n) as usize]), key.normal(i));
            // Fused multiply-adds and the driver's square root: a few ulps, absolute near the circle's zeros.
            assert!((a - b).abs() <= 1e-6 + 1e-6 * b.abs(), "{a} against {b} at {i}");
        }
    }
}
