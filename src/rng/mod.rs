//! Random numbers as PyTorch draws them: the CPU generator bit for bit, and the counter-based one of the GPU.

pub mod mt19937;
pub mod philox;

#[cfg(test)]
mod tests;

use crate::dtype::DType;
use crate::error::{Result, ensure};
use half::{bf16, f16};
use mt19937::Mt19937;
use parking_lot::Mutex;
use philox::PhiloxGenerator;
use rayon::prelude::*;
use std::hash::{BuildHasher, Hasher};
use std::sync::LazyLock;

/// The seed of a generator that nobody has seeded (PyTorch's `default_rng_seed_val`).
pub const DEFAULT_SEED: u64 = 67_280_421_310_721;

/// From this many normals on, Box-Muller runs on all cores; the draws themselves stay in order.
const PARALLEL: usize = 1 << 15;

static CPU: LazyLock<Mutex<CpuGenerator>> = LazyLock::new(|| Mutex::new(CpuGenerator::new(entropy())));
static GPU: LazyLock<Mutex<PhiloxGenerator>> = LazyLock::new(|| Mutex::new(PhiloxGenerator::new(entropy())));

/// The generator that CPU ops draw from when none is given (`torch.default_generator`); seeded from the system at first.
pub fn default_cpu() -> &'static Mutex<CpuGenerator> {
    &CPU
}

/// The generator that GPU ops draw from when none is given; seeded from the system at first.
pub fn default_gpu() -> &'static Mutex<PhiloxGenerator> {
    &GPU
}

/// Seeds the default generators of all devices (`torch.manual_seed`): the CPU's numbers are then PyTorch's.
pub fn manual_seed(seed: u64) {
    CPU.lock().manual_seed(seed);
    GPU.lock().manual_seed(seed);
}

/// Seeds the default generators from the system, and says with what (`torch.seed`).
pub fn seed() -> u64 {
    let seed = CPU.lock().seed();
    GPU.lock().manual_seed(seed);
    seed
}

/// The seed that the default generators last started from (`torch.initial_seed`).
pub fn initial_seed() -> u64 {
    CPU.lock().initial_seed()
}

/// All that the default generators will do next, on every device (`torch.get_rng_state` and `torch.cuda.get_rng_state`).
#[derive(Clone, Debug, PartialEq)]
pub struct RngState {
    cpu: CpuGenerator,
    gpu: PhiloxGenerator,
}

/// A copy of the state of the default generators (`torch.get_rng_state`).
pub fn get_rng_state() -> RngState {
    RngState { cpu: CPU.lock().clone(), gpu: GPU.lock().clone() }
}

/// Goes on from a state (`torch.set_rng_state`).
pub fn set_rng_state(state: &RngState) {
    CPU.lock().clone_from(&state.cpu);
    GPU.lock().clone_from(&state.gpu);
}

/// A seed that differs from run to run (`torch.seed`'s source).
pub fn entropy() -> u64 {
    // The standard library keys each RandomState from the system's entropy.
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}

/// PyTorch's CPU generator (`torch.Generator`): an MT19937 and the second half of the last pair of normals.
#[derive(Clone, Debug, PartialEq)]
pub struct CpuGenerator {
    seed: u64,
    engine: Mt19937,
    next_normal: Option<f64>,
}

impl Default for CpuGenerator {
    fn default() -> CpuGenerator {
        CpuGenerator::new(DEFAULT_SEED)
    }
}

impl CpuGenerator {
    /// A generator with this seed; the engine takes its lower 32 bits, as PyTorch's does.
    pub fn new(seed: u64) -> CpuGenerator {
        CpuGenerator { seed, engine: Mt19937::new(seed as u32), next_normal: None }
    }

    /// Starts again from a seed (`Generator.manual_seed`).
    pub fn manual_seed(&mut self, seed: u64) -> &mut CpuGenerator {
        *self = CpuGenerator::new(seed);
        self
    }

    /// Starts again from a seed of the system's, and returns it (`Generator.seed`).
    pub fn seed(&mut self) -> u64 {
        let seed = entropy();
        self.manual_seed(seed);
        seed
    }

    /// The seed it last started from (`Generator.initial_seed`).
    pub fn initial_seed(&self) -> u64 {
        self.seed
    }

    /// The next 32 random bits.
    #[inline]
    pub fn random(&mut self) -> u32 {
        self.engine.next_u32()
    }

    /// The next 64 random bits: two draws, the first in the upper half.
    #[inline]
    pub fn random64(&mut self) -> u64 {
        let high = self.random() as u64;
        high << 32 | self.random() as u64
    }

    #[inline]
    fn unit_f32(&mut self) -> f32 {
        (self.random() & 0xff_ffff) as f32 * (1.0 / (1u32 << 24) as f32)
    }

    #[inline]
    fn unit_f64(&mut self) -> f64 {
        (self.random64() & ((1 << 53) - 1)) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Uniform numbers in [from, to) from 24 bits each (`uniform_` of float32). The multiply-add is fused, as in PyTorch's
    /// builds for x86: without that the last bit differs.
    pub fn uniform_f32(&mut self, out: &mut [f32], from: f32, to: f32) {
        for x in out {
            *x = self.unit_f32().mul_add(to - from, from);
        }
    }

    /// Uniform numbers in [from, to) from 53 bits each (`uniform_` of float64).
    pub fn uniform_f64(&mut self, out: &mut [f64], from: f64, to: f64) {
        for x in out {
            *x = self.unit_f64().mul_add(to - from, from);
        }
    }

    /// Uniform numbers from 11 bits each, computed in float32 (`uniform_` of float16).
    pub fn uniform_f16(&mut self, out: &mut [f16], from: f16, to: f16) {
        let (width, from) = ((to - from).to_f32(), from.to_f32());
        for x in out {
            *x = f16::from_f32(((self.random() & 0x7ff) as f32 * (1.0 / 2048.0)).mul_add(width, from));
        }
    }

    /// Uniform numbers from 8 bits each, computed in float32 (`uniform_` of bfloat16).
    pub fn uniform_bf16(&mut self, out: &mut [bf16], from: bf16, to: bf16) {
        let (width, from) = ((to - from).to_f32(), from.to_f32());
        for x in out {
            *x = bf16::from_f32(((self.random() & 0xff) as f32 * (1.0 / 256.0)).mul_add(width, from));
        }
    }

    /// One normal number by PyTorch's scalar path, which draws pairs and keeps the second for the next call.
    pub fn normal(&mut self, mean: f64, std: f64) -> f64 {
        let z = self.next_normal.take().unwrap_or_else(|| {
            let (u1, u2) = (self.unit_f64(), self.unit_f64());
            let r = (-2.0 * (-u2).ln_1p()).sqrt();
            let theta = 2.0 * std::f64::consts::PI * u1;
            self.next_normal = Some(r * theta.sin());
            r * theta.cos()
        });
        z.mul_add(std, mean)
    }

    /// Normal numbers (`normal_` of a contiguous float32 tensor): below 16 the scalar path, else blocks of 16.
    pub fn normal_f32(&mut self, out: &mut [f32], mean: f64, std: f64) {
        if out.len() < 16 {
            return out.iter_mut().for_each(|x| *x = self.normal(mean, std) as f32);
        }
        let (mean, std) = (mean as f32 as f64, std as f32 as f64);
        let n = out.len();
        self.uniform_f32(out, 0.0, 1.0);
        fill_blocks(&mut out[..n / 16 * 16], |block| box_muller_f32(block, mean, std));
        if !n.is_multiple_of(16) {
            // The last 16 are drawn anew, over some that were normals already.
            let tail = &mut out[n - 16..];
            self.uniform_f32(tail, 0.0, 1.0);
            box_muller_f32(tail, mean, std);
        }
    }

    /// Normal numbers (`normal_` of a contiguous float64 tensor): below 16 the scalar path, else blocks of 16.
    pub fn normal_f64(&mut self, out: &mut [f64], mean: f64, std: f64) {
        if out.len() < 16 {
            return out.iter_mut().for_each(|x| *x = self.normal(mean, std));
        }
        let n = out.len();
        self.uniform_f64(out, 0.0, 1.0);
        fill_blocks(&mut out[..n / 16 * 16], |block| box_muller_f64(block, mean, std));
        if !n.is_multiple_of(16) {
            let tail = &mut out[n - 16..];
            self.uniform_f64(tail, 0.0, 1.0);
            box_muller_f64(tail, mean, std);
        }
    }

    /// Integers in [low, high), by remainder as in PyTorch: of 32 bits where the range is below 2^32, else of 64.
    /// Other dtypes take the same draws, cast.
    pub fn randint(&mut self, out: &mut [i64], low: i64, high: i64) -> Result<()> {
        ensure!(low < high, Runtime, "random_ expects 'from' to be less than 'to', but got from={low} >= to={high}");
        let range = high.wrapping_sub(low) as u64;
        for x in out {
            let draw = if range < 1 << 32 { self.random() as u64 } else { self.random64() };
            *x = low.wrapping_add((draw % range) as i64);
        }
        Ok(())
    }

    /// What `random_()` without bounds gives for a dtype: [0, max] for integers, [0, 2^mantissa] for floats, as integers.
    pub fn random_full(&mut self, out: &mut [i64], dtype: DType) {
        for x in out {
            *x = match dtype {
                DType::I64 => (self.random64() % (1 << 63)) as i64,
                DType::F64 => (self.random64() % ((1 << 53) + 1)) as i64,
                DType::Bool => (self.random() & 1) as i64,
                DType::U8 => (self.random() % (1 << 8)) as i64,
                DType::I8 => (self.random() % (1 << 7)) as i64,
                DType::I16 => (self.random() % (1 << 15)) as i64,
                DType::I32 => (self.random() % (1 << 31)) as i64,
                DType::U32 => self.random() as i64,
                DType::F16 => (self.random() % ((1 << 11) + 1)) as i64,
                DType::BF16 => (self.random() % ((1 << 8) + 1)) as i64,
                DType::F32 => (self.random() % ((1 << 24) + 1)) as i64,
                DType::C64 | DType::C128 => unreachable!("random_ refuses complex numbers"),
            };
        }
    }

    /// True with probability p, from 53 bits each (`bernoulli_(p)`; `dropout` draws its mask this way).
    pub fn bernoulli(&mut self, out: &mut [bool], p: f64) -> Result<()> {
        ensure!((0.0..=1.0).contains(&p), Runtime, "bernoulli_ expects p to be in [0, 1], but got p={p}");
        out.iter_mut().for_each(|x| *x = self.unit_f64() < p);
        Ok(())
    }

    /// True with each element's probability, from 24 bits each (`torch.bernoulli` of float32 and narrower).
    pub fn bernoulli_each_f32(&mut self, out: &mut [bool], p: &[f32]) -> Result<()> {
        ensure!(
            p.iter().all(|p| (0.0..=1.0).contains(p)),
            Runtime,
            "Expected p_in >= 0 && p_in <= 1 to be true, but got false."
        );
        out.iter_mut().zip(p).for_each(|(x, &p)| *x = self.unit_f32() < p);
        Ok(())
    }

    /// True with each element's probability, from 53 bits each (`torch.bernoulli` of float64).
    pub fn bernoulli_each_f64(&mut self, out: &mut [bool], p: &[f64]) -> Result<()> {
        ensure!(
            p.iter().all(|p| (0.0..=1.0).contains(p)),
            Runtime,
            "Expected p_in >= 0 && p_in <= 1 to be true, but got false."
        );
        out.iter_mut().zip(p).for_each(|(x, &p)| *x = self.unit_f64() < p);
        Ok(())
    }

    /// Exponential numbers from 53 bits each (`exponential_`, the path of PyTorch builds without MKL).
    pub fn exponential(&mut self, out: &mut [f64], lambda: f64) -> Result<()> {
        let positive = lambda > 0.0;
        ensure!(positive, Runtime, "exponential_ expects lambda > 0.0, but found lambda={lambda}");
        out.iter_mut().for_each(|x| *x = -1.0 / lambda * (-self.unit_f64()).ln_1p());
        Ok(())
    }

    /// A permutation of 0..n (`torch.randperm`).
    pub fn randperm(&mut self, n: usize) -> Vec<i64> {
        let mut p: Vec<i64> = (0..n as i64).collect();
        if n < (u32::MAX / 20) as usize {
            for i in 0..n.saturating_sub(1) {
                let z = self.random() as usize % (n - i);
                p.swap(i, i + z);
            }
        } else {
            // 32 bits would be skewed here, so PyTorch builds the permutation from the inside out with 64.
            for i in 0..n {
                let z = (self.random64() % (i as u64 + 1)) as usize;
                p[i] = p[z];
                p[z] = i as i64;
            }
        }
        p
    }
}

/// The order in which `DataLoader(shuffle=True)` visits n samples in an epoch: the loader draws a seed for its workers
/// and the sampler one for a generator of its own, which permutes.
pub fn shuffled_indices(generator: &mut CpuGenerator, n: usize) -> Vec<usize> {
    let mut seeds = [0; 2];
    generator.random_full(&mut seeds, DType::I64);
    CpuGenerator::new(seeds[1] as u64).randperm(n).into_iter().map(|i| i as usize).collect()
}

fn fill_blocks<T: Send>(out: &mut [T], block: impl Fn(&mut [T]) + Sync + Send) {
    if out.len() < PARALLEL {
        out.chunks_exact_mut(16).for_each(block);
    } else {
        out.par_chunks_exact_mut(16).with_min_len(256).for_each(block);
    }
}

/// 16 uniforms to 16 normals: radii from the first eight, angles from the others; rounded to float32 where PyTorch's
/// vector code rounds, the functions themselves more exact than its approximations.
fn box_muller_f32(block: &mut [f32], mean: f64, std: f64) {
    for j in 0..8 {
        let u1 = 1.0 - block[j];
        let radius = (-2.0 * (u1 as f64).ln() as f32).sqrt();
        let theta = std::f32::consts::TAU * block[j + 8];
        let (sin, cos) = (theta as f64).sin_cos();
        // PyTorch fuses this multiply-add; the product of two floats is exact in a double.
        block[j] = ((radius * cos as f32) as f64 * std + mean) as f32;
        block[j + 8] = ((radius * sin as f32) as f64 * std + mean) as f32;
    }
}

fn box_muller_f64(block: &mut [f64], mean: f64, std: f64) {
    for j in 0..8 {
        let radius = (-2.0 * (1.0 - block[j]).ln()).sqrt();
        let (sin, cos) = (std::f64::consts::TAU * block[j + 8]).sin_cos();
        block[j] = (radius * cos).mul_add(std, mean);
        block[j + 8] = (radius * sin).mul_add(std, mean);
    }
}
