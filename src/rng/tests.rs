//! The CPU generator against numbers that PyTorch drew, and the GPU's against published vectors.

use super::*;
use serde_json::Value;

const GOLDEN: &str = include_str!("../../tests/data/lenet.json");
const INIT: &[u8] = include_bytes!("../../tests/data/lenet_init.safetensors");

/// The numbers PyTorch drew for an expression (run right after `manual_seed(0)`), flattened.
fn golden(expression: &str) -> Vec<f64> {
    fn flatten(v: &Value, out: &mut Vec<f64>) {
        match v {
            Value::Array(a) => a.iter().for_each(|v| flatten(v, out)),
            v => out.push(v.as_f64().unwrap()),
        }
    }
    let all: Value = serde_json::from_str(GOLDEN).unwrap();
    let mut out = Vec::new();
    flatten(&all["rng"][format!("manual_seed(0); {expression}")], &mut out);
    assert!(!out.is_empty(), "{expression}");
    out
}

fn ulps(a: f32, b: f64) -> u32 {
    let key = |x: f32| if x.to_bits() >> 31 == 1 { !x.to_bits() } else { x.to_bits() | 1 << 31 };
    key(a).abs_diff(key(b as f32))
}

#[test]
fn uniforms_are_pytorchs() {
    let mut x = [0f32; 5];
    CpuGenerator::new(0).uniform_f32(&mut x, 0.0, 1.0);
    assert_eq!(x.map(f64::from).to_vec(), golden("rand(5)"));
    let mut x = [0f64; 3];
    CpuGenerator::new(0).uniform_f64(&mut x, 0.0, 1.0);
    assert_eq!(x.to_vec(), golden("rand(3, dtype=float64)"));
}

#[test]
fn normals_are_pytorchs_within_two_ulps() {
    for n in [5usize, 20] {
        let mut x = vec![0f32; n];
        CpuGenerator::new(0).normal_f32(&mut x, 0.0, 1.0);
        let expected = golden(&format!("randn({n})"));
        assert_eq!(expected.len(), n);
        for (a, b) in x.iter().zip(expected) {
            assert!(ulps(*a, b) <= 2, "{a} against {b}");
        }
    }
}

#[test]
fn integers_and_permutations_are_pytorchs() {
    let mut x = [0i64; 8];
    CpuGenerator::new(0).randint(&mut x, 0, 100).unwrap();
    assert_eq!(x.map(|x| x as f64).to_vec(), golden("randint(0, 100, (8,))"));
    let p: Vec<f64> = CpuGenerator::new(0).randperm(10).into_iter().map(|x| x as f64).collect();
    assert_eq!(p, golden("randperm(10)"));
    let order: Vec<f64> = shuffled_indices(&mut CpuGenerator::new(0), 10).into_iter().map(|x| x as f64).collect();
    assert_eq!(order, golden("DataLoader(range(10), batch_size=5, shuffle=True)"));
}

#[test]
fn bernoulli_and_dropout_masks_are_pytorchs() {
    let mut x = [false; 10];
    CpuGenerator::new(0).bernoulli_each_f32(&mut x, &[0.5; 10]).unwrap();
    assert_eq!(x.map(|b| b as u8 as f64).to_vec(), golden("bernoulli(full((10,), .5))"));
    let mut x = [false; 12];
    CpuGenerator::new(0).bernoulli(&mut x, 0.5).unwrap();
    assert_eq!(x.map(|b| b as u8 as f64 * 2.0).to_vec(), golden("dropout(ones(12), .5)"));
}

#[test]
fn initial_parameters_of_lenet_are_pytorchs_bit_for_bit() {
    let file = safetensors::SafeTensors::deserialize(INIT).unwrap();
    let mut generator = CpuGenerator::new(0);
    for (layer, out, fan_in) in
        [("conv1", 6, 9), ("conv2", 16, 54), ("fc1", 120, 576), ("fc2", 84, 120), ("fc3", 10, 84)]
    {
        // kaiming_uniform_(a=sqrt(5)) for the weight, in doubles as Python computes it; U(+-1/sqrt(fan_in)) for the bias.
        let gain = (2.0 / (1.0 + 5f64.sqrt().powi(2))).sqrt();
        let weight_bound = 3f64.sqrt() * (gain / (fan_in as f64).sqrt());
        let bias_bound = 1.0 / (fan_in as f64).sqrt();
        for (name, len, bound) in [("weight", out * fan_in, weight_bound), ("bias", out, bias_bound)] {
            let mut x = vec![0f32; len];
            generator.uniform_f32(&mut x, -bound as f32, bound as f32);
            let bytes: Vec<u8> = x.iter().flat_map(|x| x.to_le_bytes()).collect();
            assert!(bytes == file.tensor(&format!("{layer}.{name}")).unwrap().data(), "{layer}.{name}");
        }
    }
}

#[test]
fn a_state_is_gone_back_to_with_its_cached_normal() {
    let mut g = CpuGenerator::new(3);
    g.normal(0.0, 1.0);
    let state = g.clone();
    let first: Vec<f64> = (0..700).map(|_| g.normal(1.0, 2.0)).collect();
    g = state;
    assert_eq!(first, (0..700).map(|_| g.normal(1.0, 2.0)).collect::<Vec<f64>>());
    assert_eq!(g.initial_seed(), 3);
}

#[test]
fn long_normal_fills_agree_with_short_ones_and_have_the_right_moments() {
    // Blocks are independent: a long (parallel) fill starts with the same numbers as its own prefix drawn alone.
    let n = PARALLEL + 16;
    let mut long = vec![0f32; n];
    CpuGenerator::new(9).normal_f32(&mut long, 0.0, 1.0);
    let mut uniforms = vec![0f32; n];
    CpuGenerator::new(9).uniform_f32(&mut uniforms, 0.0, 1.0);
    for (block, got) in uniforms.chunks_exact_mut(16).zip(long.chunks_exact(16)) {
        box_muller_f32(block, 0.0, 1.0);
        assert_eq!(block, got);
    }
    let moment = |k| long.iter().map(|&x| (x as f64).powi(k)).sum::<f64>() / n as f64;
    assert!(moment(1).abs() < 0.02 && (moment(2) - 1.0).abs() < 0.02 && (moment(4) - 3.0).abs() < 0.15);
    let mut x = vec![0f64; 100_003];
    CpuGenerator::new(1).normal_f64(&mut x, 5.0, 2.0);
    let mean = x.iter().sum::<f64>() / x.len() as f64;
    let var = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / x.len() as f64;
    assert!((mean - 5.0).abs() < 0.04 && (var - 4.0).abs() < 0.1);
}

#[test]
fn ranges_cover_their_ends_and_no_more() {
    let mut g = CpuGenerator::default();
    let mut x = vec![0i64; 2000];
    g.randint(&mut x, -1, 2).unwrap();
    assert!([-1, 0, 1].iter().all(|v| x.contains(v)) && x.iter().all(|v| (-1..2).contains(v)));
    g.randint(&mut x, i64::MIN, i64::MAX).unwrap();
    assert!(x.iter().any(|&v| v < -(1 << 60)) && x.iter().any(|&v| v > 1 << 60));
    for (dtype, max) in [(DType::I8, 127), (DType::U8, 255), (DType::I16, 32767), (DType::Bool, 1), (DType::BF16, 256)]
    {
        g.random_full(&mut x, dtype);
        assert!(x.iter().all(|v| (0..=max).contains(v)) && x.iter().any(|&v| v > max / 2));
    }
    let error = g.randint(&mut x, 5, 5).unwrap_err().to_string();
    assert_eq!(error, "random_ expects 'from' to be less than 'to', but got from=5 >= to=5");
    assert!(g.bernoulli(&mut [false], f64::NAN).is_err());
    let mut e = vec![0f64; 100_000];
    g.exponential(&mut e, 2.0).unwrap();
    assert!((e.iter().sum::<f64>() / 1e5 - 0.5).abs() < 0.02 && e.iter().all(|&x| x >= 0.0));
    assert_eq!(g.randperm(0), Vec::<i64>::new());
    let mut p = g.randperm(1000);
    p.sort();
    assert!(p.iter().enumerate().all(|(i, &x)| x == i as i64));
}
