//! Philox4x32-10 (Salmon, Moraes, Dror and Shaw 2011): the counter-based generator behind random ops on a GPU.
//! `shaders/lib/philox.wgsl` is its twin; both give the same bits, and normals that differ by rounding alone.

/// The WGSL twin, for kernels to include.
pub const WGSL: &str = include_str!("../../shaders/lib/philox.wgsl");

/// A seed and the count of random ops drawn so far: where the next op's numbers start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhiloxGenerator {
    seed: u64,
    offset: u64,
}

/// The place of one random op in a generator's sequence; all that its kernel needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PhiloxKey {
    /// The generator's seed.
    pub seed: u64,
    /// Which op of the sequence this is.
    pub offset: u64,
}

impl Default for PhiloxGenerator {
    fn default() -> PhiloxGenerator {
        PhiloxGenerator::new(super::DEFAULT_SEED)
    }
}

impl PhiloxGenerator {
    /// A generator with this seed, at its start.
    pub fn new(seed: u64) -> PhiloxGenerator {
        PhiloxGenerator { seed, offset: 0 }
    }

    /// Starts again from a seed (`Generator.manual_seed`).
    pub fn manual_seed(&mut self, seed: u64) -> &mut PhiloxGenerator {
        *self = PhiloxGenerator::new(seed);
        self
    }

    /// Takes the next place in the sequence, when an op is recorded (also one that is dropped before it runs).
    pub fn next_op(&mut self) -> PhiloxKey {
        let key = PhiloxKey { seed: self.seed, offset: self.offset };
        self.offset = self.offset.wrapping_add(1);
        key
    }
}

impl PhiloxKey {
    /// The four words a kernel gets: seed and offset, low words first.
    pub fn words(self) -> [u32; 4] {
        [self.seed as u32, (self.seed >> 32) as u32, self.offset as u32, (self.offset >> 32) as u32]
    }

    /// The four words of block `block`: elements `4 * block` to `4 * block + 3`.
    pub fn block(self, block: u32) -> [u32; 4] {
        let [s0, s1, o0, o1] = self.words();
        philox4x32_10([block, 0, o0, o1], [s0, s1])
    }

    /// The 32 random bits of element `index`.
    pub fn bits(self, index: u32) -> u32 {
        self.block(index / 4)[index as usize % 4]
    }

    /// Uniform in [0, 1) for element `index`: the upper 24 bits.
    pub fn uniform(self, index: u32) -> f32 {
        (self.bits(index) >> 8) as f32 * (1.0 / (1u32 << 24) as f32)
    }

    /// Standard normal for element `index` by Box-Muller, element pairs sharing a radius.
    pub fn normal(self, index: u32) -> f32 {
        let block = self.block(index / 4);
        let pair = (index % 4 / 2 * 2) as usize;
        let (sin, cos) = sincos_turn(block[pair + 1] >> 8);
        let radius = (-2.0 * ln_unit((1 << 24) - (block[pair] >> 8))).sqrt();
        radius * if index.is_multiple_of(2) { cos } else { sin }
    }
}

/// Ten rounds of Philox4x32 on a counter with a key.
pub fn philox4x32_10(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for round in 0..10 {
        if round > 0 {
            key = [key[0].wrapping_add(0x9e37_79b9), key[1].wrapping_add(0xbb67_ae85)];
        }
        let (a, b) = (0xd251_1f53u64 * counter[0] as u64, 0xcd9e_8d57u64 * counter[2] as u64);
        counter = [(b >> 32) as u32 ^ counter[1] ^ key[0], b as u32, (a >> 32) as u32 ^ counter[3] ^ key[1], a as u32];
    }
    counter
}

/// ln(m / 2^24) for m in 1..=2^24: exponent and mantissa of the integer, then a polynomial about 1. WGSL's own log is
/// only good to an absolute error, and differs between drivers.
fn ln_unit(m: u32) -> f32 {
    let x = m as f32;
    let mut e = (x.to_bits() >> 23) as i32 - 127 - 24;
    let mut f = f32::from_bits(x.to_bits() & 0x7f_ffff | 0x3f80_0000);
    if f > std::f32::consts::SQRT_2 {
        f *= 0.5;
        e += 1;
    }
    let z = f - 1.0;
    let e = e as f32;
    let mut p = 7.037_683_6e-2f32;
    for c in [
        -0.115_146_1,
        0.116_769_984,
        -0.124_201_41,
        0.142_493_23,
        -0.166_680_58,
        0.200_007_14,
        -0.249_999_94,
        0.333_333_3,
    ] {
        p = p * z + c;
    }
    // ln 2 in two parts, the first exact in few bits.
    let y = p * z * z * z - 2.121_944_4e-4 * e - 0.5 * z * z;
    z + y + 0.693_359_4 * e
}

/// Sine and cosine of n / 2^24 of a turn: the quadrant comes from the integer, exactly, so that only the polynomials round.
fn sincos_turn(n: u32) -> (f32, f32) {
    let quadrant = (n + (1 << 21)) >> 22;
    let x = (n as i32 - (quadrant << 22) as i32) as f32 * (std::f32::consts::TAU / (1 << 24) as f32);
    let z = x * x;
    let s = ((-1.951_529_6e-4 * z + 8.332_161e-3) * z - 0.166_666_55) * z * x + x;
    let c = ((2.443_315_7e-5 * z - 1.388_731_6e-3) * z + 4.166_664_6e-2) * z * z - 0.5 * z + 1.0;
    match quadrant & 3 {
        0 => (s, c),
        1 => (c, -s),
        2 => (-s, -c),
        _ => (-c, s),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers_of_random123() {
        for (counter, key, expected) in [
            ([0; 4], [0; 2], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
            ([u32::MAX; 4], [u32::MAX; 2], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
            (
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xa409_3822, 0x299f_31d0],
                [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
            ),
        ] {
            assert_eq!(philox4x32_10(counter, key), expected);
        }
    }

    #[test]
    fn the_logarithm_and_the_circle_are_exact_to_a_few_ulps() {
        for m in (1..=1 << 24).step_by(251).chain([1, 1 << 23, (1 << 24) - 1, 1 << 24]) {
            let exact = (m as f64 / (1u32 << 24) as f64).ln();
            assert!((ln_unit(m) as f64 - exact).abs() <= 3e-7 * exact.abs(), "{m}");
        }
        for n in (0..1 << 24).step_by(251).chain([0, 1 << 21, 1 << 22, 3 << 22, (1 << 24) - 1]) {
            let (sin, cos) = (n as f64 / (1u32 << 24) as f64 * std::f64::consts::TAU).sin_cos();
            let (s, c) = sincos_turn(n);
            assert!((s as f64 - sin).abs() < 1.5e-7 && (c as f64 - cos).abs() < 1.5e-7, "{n}");
        }
    }

    #[test]
    fn ops_and_elements_draw_different_numbers_with_the_right_moments() {
        let mut g = PhiloxGenerator::new(0);
        let (a, b) = (g.next_op(), g.next_op());
        let n = 100_000;
        let u: Vec<f64> = (0..n).map(|i| a.uniform(i) as f64).collect();
        assert!(u.iter().all(|u| (0.0..1.0).contains(u)));
        assert!((u.iter().sum::<f64>() / n as f64 - 0.5).abs() < 0.01);
        let same = (0..n).filter(|&i| a.bits(i) == b.bits(i)).count();
        assert!(same < 3);
        let z: Vec<f64> = (0..n).map(|i| b.normal(i) as f64).collect();
        let moment = |k| z.iter().map(|x| x.powi(k)).sum::<f64>() / n as f64;
        assert!(moment(1).abs() < 0.02 && (moment(2) - 1.0).abs() < 0.02 && (moment(4) - 3.0).abs() < 0.15);
        let pairs = z.chunks_exact(2).map(|p| p[0] * p[1]).sum::<f64>() / (n / 2) as f64;
        assert!(pairs.abs() < 0.02, "pairs are uncorrelated");
        assert_eq!(g.manual_seed(0).next_op(), a);
    }

    #[test]
    fn the_wgsl_twin_is_valid() {
        let entry = "@group(0) @binding(0) var<storage, read_write> out: array<f32>;
            @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
                let key = vec4<u32>(1u, 2u, 3u, 4u);
                out[id.x] = philox_uniform(id.x, key) + philox_normal(id.x, key);
            }";
        let module = naga::front::wgsl::parse_str(&format!("{WGSL}\n{entry}")).unwrap_or_else(|e| panic!("{e}"));
        naga::valid::Validator::new(naga::valid::ValidationFlags::all(), naga::valid::Capabilities::empty())
            .validate(&module)
            .unwrap_or_else(|e| panic!("{e:?}"));
    }
}
