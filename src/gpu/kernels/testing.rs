//! What the kernel tests share: host tensors with strides, sent to the device and compared with loops in f64.

use crate::DType;
use crate::gpu::testing::up;
use crate::gpu::{Buffer, Gpu, GpuView, Recorder};
use crate::shape::{contiguous_strides, numel};
use std::time::{Duration, Instant};

/// Numbers in -1 .. 1 that differ from call to call by their seed.
pub fn noise(n: usize, seed: u32) -> Vec<f32> {
    let mut x = seed.wrapping_mul(0x9e37_79b9) | 1;
    let mut next = || {
        x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (x >> 8) as f32 / 8_388_608.0 - 1.0
    };
    (0..n).map(|_| next()).collect()
}

/// A strided tensor on both sides.
pub struct Host<T = f32> {
    pub data: Vec<T>,
    pub offset: usize,
    pub shape: Vec<usize>,
    pub strides: Vec<usize>,
    pub buffer: Buffer,
}

impl<T: bytemuck::NoUninit> Host<T> {
    pub fn new(g: &Gpu, data: Vec<T>, offset: usize, shape: &[usize], strides: &[usize]) -> Host<T> {
        let buffer = up(g, &data);
        Host { data, offset, shape: shape.to_vec(), strides: strides.to_vec(), buffer }
    }

    /// Row-major, from the first element.
    pub fn dense(g: &Gpu, data: Vec<T>, shape: &[usize]) -> Host<T> {
        assert_eq!(data.len(), numel(shape));
        Host::new(g, data, 0, shape, &contiguous_strides(shape))
    }

    pub fn at(&self, index: &[usize]) -> T {
        self.data[self.offset + index.iter().zip(&self.strides).map(|(i, s)| i * s).sum::<usize>()]
    }
}

impl Host<f32> {
    pub fn noise(g: &Gpu, shape: &[usize], seed: u32) -> Host {
        Host::dense(g, noise(numel(shape), seed), shape)
    }

    /// Dims laid out in the order given (slowest first), behind an offset.
    pub fn laid(g: &Gpu, shape: &[usize], order: &[usize], offset: usize, seed: u32) -> Host {
        let mut strides = vec![0; shape.len()];
        let mut step = 1;
        for &d in order.iter().rev() {
            strides[d] = step;
            step *= shape[d];
        }
        Host::new(g, noise(offset + step, seed), offset, shape, &strides)
    }

    pub fn f64(&self, index: &[usize]) -> f64 {
        self.at(index) as f64
    }

    pub fn view(&self) -> GpuView<'_> {
        self.typed(DType::F32)
    }
}

impl Host<i64> {
    pub fn i64(&self) -> GpuView<'_> {
        self.typed(DType::I64)
    }
}

impl<T> Host<T> {
    /// A view in a dtype of the elements' size.
    pub fn typed(&self, dtype: DType) -> GpuView<'_> {
        GpuView { buffer: &self.buffer, dtype, offset: self.offset, shape: &self.shape, strides: &self.strides }
    }
}

/// Fails at the first element that is further from what was expected than `tol` (NaN equals NaN).
#[track_caller]
pub fn close(what: &str, got: &[f32], want: &[f64], tol: f64) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (i, (&g, &w)) in got.iter().zip(want).enumerate() {
        let same = g as f64 == w || g.is_nan() && w.is_nan() || (g as f64 - w).abs() <= tol * w.abs().max(1.0);
        assert!(same, "{what}: element {i} is {g}, not {w}");
    }
}

/// Every index of a shape, in row-major order.
pub fn indices(shape: &[usize]) -> impl Iterator<Item = Vec<usize>> + '_ {
    (0..numel(shape)).map(|mut i| {
        let mut index = vec![0; shape.len()];
        for d in (0..shape.len()).rev() {
            index[d] = i % shape[d];
            i /= shape[d];
        }
        index
    })
}

/// What one call costs when many are recorded and waited for together.
pub struct Cost {
    /// The median.
    pub wall: Duration,
    /// The first call's, with its compilation.
    pub first: Duration,
    /// Processor time, all cores together: what a software adapter costs, however busy the machine is.
    pub cpu: Duration,
}

impl std::fmt::Display for Cost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ms = |d: Duration| d.as_secs_f64() * 1e3;
        write!(f, "{:.3} ms, {:.3} ms of processor time, first {:.0} ms", ms(self.wall), ms(self.cpu), ms(self.first))
    }
}

/// This process's processor time, where the system tells it (0 elsewhere).
fn cpu_time() -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let each = tasks.filter_map(|t| {
        let s = std::fs::read_to_string(t.path().join("schedstat")).ok()?;
        s.split_whitespace().next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(each.sum())
}

/// Times a recorded call.
pub fn time(g: &Gpu, mut record: impl FnMut(&mut Recorder)) -> Cost {
    let mut run = |n: u32| {
        let start = Instant::now();
        for _ in 0..n {
            record(&mut g.lock());
        }
        assert!(g.synchronize(0).unwrap().is_ok());
        start.elapsed() / n
    };
    let first = run(1);
    let n = (Duration::from_millis(60).as_nanos() / run(1).as_nanos().max(1)).clamp(1, 200) as u32;
    let before = cpu_time();
    let mut times: Vec<Duration> = (0..5).map(|_| run(n)).collect();
    let cpu = cpu_time().saturating_sub(before) / (5 * n);
    times.sort();
    Cost { wall: times[2], first, cpu }
}
