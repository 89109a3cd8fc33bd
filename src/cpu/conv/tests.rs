//! Convolutions against plain loops in f64, over sizes that reach every path, and a printed benchmark.

use super::*;
use crate::dtype::Element;

fn noise(n: usize, seed: u64) -> Vec<f64> {
    let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..n)
        .map(|_| {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            ((x >> 40) as f64 / (1u64 << 24) as f64 - 0.5) * 8.0
        })
        .collect()
}

fn contiguous(shape: [usize; 4]) -> [usize; 4] {
    [shape[1] * shape[2] * shape[3], shape[2] * shape[3], shape[3], 1]
}

fn channels_last(shape: [usize; 4]) -> [usize; 4] {
    [shape[1] * shape[2] * shape[3], 1, shape[3] * shape[1], shape[1]]
}

#[derive(Clone, Copy, Debug)]
struct Case {
    batch: usize,
    cin: usize,
    cout: usize,
    size: [usize; 2],
    kernel: [usize; 2],
    spec: ConvSpec,
}

fn case(batch: usize, cin: usize, cout: usize, size: [usize; 2], kernel: [usize; 2], s: [usize; 4]) -> Case {
    let spec = ConvSpec { stride: [s[0], s[0]], padding: [s[1], s[1]], dilation: [s[2], s[2]], groups: s[3] };
    Case { batch, cin, cout, size, kernel, spec }
}

fn cases() -> Vec<Case> {
    let mut list = vec![
        case(2, 1, 6, [32, 32], [3, 3], [1, 0, 1, 1]),
        case(3, 6, 16, [15, 15], [3, 3], [1, 0, 1, 1]),
        case(1, 32, 64, [16, 32], [3, 3], [1, 1, 1, 1]),
        case(2, 5, 7, [9, 11], [3, 3], [1, 1, 1, 1]),
        case(2, 5, 7, [9, 11], [3, 3], [2, 1, 1, 1]),
        case(2, 4, 9, [13, 17], [3, 2], [3, 2, 2, 1]),
        case(2, 8, 12, [10, 10], [3, 3], [1, 2, 2, 4]),
        case(2, 6, 6, [12, 19], [3, 3], [2, 1, 1, 6]),
        case(1, 3, 2, [5, 4], [5, 4], [1, 0, 1, 1]),
        case(1, 3, 2, [2, 2], [1, 1], [1, 0, 1, 1]),
        case(2, 10, 20, [7, 7], [1, 1], [1, 0, 1, 1]),
        case(2, 10, 20, [7, 7], [1, 1], [2, 0, 1, 1]),
        case(1, 3, 4, [7, 6], [1, 1], [3, 2, 1, 1]),
        case(2, 80, 13, [6, 6], [3, 3], [1, 1, 1, 1]),
        case(1, 70, 13, [20, 18], [3, 3], [1, 1, 1, 1]),
        case(1, 1, 1, [1, 40], [1, 5], [1, 2, 1, 1]),
        case(1, 1, 1, [1, 1], [1, 1], [1, 0, 1, 1]),
        case(9, 2, 3, [4, 4], [3, 3], [1, 1, 1, 1]),
        case(0, 2, 3, [4, 4], [3, 3], [1, 1, 1, 1]),
        case(2, 3, 17, [64, 200], [3, 3], [1, 1, 1, 1]),
    ];
    // padding beyond the kernel's reach, and heights and widths that differ
    list.push(case(1, 2, 3, [4, 5], [2, 2], [1, 4, 1, 1]));
    let spec = ConvSpec { stride: [2, 1], padding: [0, 3], dilation: [1, 2], groups: 2 };
    list.push(Case { batch: 2, cin: 4, cout: 6, size: [11, 14], kernel: [4, 3], spec });
    list
}

struct Problem {
    c: Case,
    out: [usize; 4],
    x: [usize; 4],
    w: [usize; 4],
}

fn problem(c: Case) -> Problem {
    let side = |i: usize| {
        (c.size[i] + 2 * c.spec.padding[i] - c.spec.dilation[i] * (c.kernel[i] - 1) - 1) / c.spec.stride[i] + 1
    };
    Problem {
        c,
        out: [c.batch, c.cout, side(0), side(1)],
        x: [c.batch, c.cin, c.size[0], c.size[1]],
        w: [c.cout, c.cin / c.spec.groups, c.kernel[0], c.kernel[1]],
    }
}

impl Problem {
    /// Calls with (out index, x index, w index) for every product, indices by the given strides.
    fn each(&self, so: [usize; 4], sx: [usize; 4], sw: [usize; 4], mut f: impl FnMut(usize, usize, usize)) {
        let (s, at) = (self.c.spec, |st: [usize; 4], i: [usize; 4]| (0..4).map(|d| st[d] * i[d]).sum::<usize>());
        let (og, ig) = (self.w[0] / s.groups, self.w[1]);
        for n in 0..self.out[0] {
            for o in 0..self.out[1] {
                for y in 0..self.out[2] {
                    for x in 0..self.out[3] {
                        for c in 0..ig {
                            for i in 0..self.w[2] {
                                for j in 0..self.w[3] {
                                    let row = (y * s.stride[0] + i * s.dilation[0]) as isize - s.padding[0] as isize;
                                    let col = (x * s.stride[1] + j * s.dilation[1]) as isize - s.padding[1] as isize;
                                    if row < 0 || col < 0 || row >= self.x[2] as isize || col >= self.x[3] as isize {
                                        continue;
                                    }
                                    let xi = [n, o / og * ig + c, row as usize, col as usize];
                                    f(at(so, [n, o, y, x]), at(sx, xi), at(sw, [o, c, i, j]));
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn check<T: Element>(what: &str, c: &Case, got: &[T], want: &[f64], to: impl Fn(T) -> f64, rel: f64) {
    assert_eq!(got.len(), want.len());
    let scale = want.iter().fold(1.0f64, |m, x| m.max(x.abs()));
    for (i, (&g, &w)) in got.iter().zip(want).enumerate() {
        assert!((to(g) - w).abs() <= rel * scale, "{what} [{i}]: {} for {w} in {c:?}", to(g));
    }
}

fn run<T: HasLanes>(from: impl Fn(f64) -> T + Copy, to: impl Fn(T) -> f64 + Copy, rel: f64) {
    for (number, c) in cases().into_iter().enumerate() {
        let p = problem(c);
        let layout = |s: [usize; 4], i: usize| if (number + i) % 3 == 2 { channels_last(s) } else { contiguous(s) };
        let numel = |s: [usize; 4]| s.iter().product::<usize>();
        let make = |s: [usize; 4], seed| noise(numel(s), seed).into_iter().map(from).collect::<Vec<T>>();
        let (x, w, g, bias) = (make(p.x, 1), make(p.w, 2), make(p.out, 3), make([c.cout, 1, 1, 1], 4));
        let (sx, sw, so) = (layout(p.x, 0), layout(p.w, 1), layout(p.out, 2));
        let sg = layout(p.out, 1);

        let (mut out, mut gx, mut gw) =
            (vec![from(55.0); g.len()], vec![from(55.0); x.len()], vec![from(55.0); w.len()]);
        let (vx, vw, vg) =
            (View::from_slice(&x, &p.x, &sx), View::from_slice(&w, &p.w, &sw), View::from_slice(&g, &p.out, &sg));
        for (with_bias, relu) in [(false, false), (true, true)] {
            let vb = with_bias.then(|| View::from_slice(&bias, &p.w[..1], &[1]));
            conv2d(ViewMut::from_slice(&mut out, &p.out, &so), vx, vw, vb, c.spec, relu);
            let mut want = vec![0.0; out.len()];
            p.each(so, sx, sw, |o, i, k| want[o] += to(x[i]) * to(w[k]));
            if with_bias {
                for i in 0..want.len() {
                    // which channel a flat position is, by the layout of `out`
                    let ch = if so[1] == 1 && p.out[1] > 1 { i % p.out[1] } else { i / so[1].max(1) % p.out[1] };
                    want[i] = (want[i] + to(bias[ch])).max(0.0);
                }
            }
            check("forward", &c, &out, &want, to, rel);
        }
        conv2d_input_grad(ViewMut::from_slice(&mut gx, &p.x, &sx), vg, vw, c.spec);
        let mut want = vec![0.0; gx.len()];
        p.each(sg, sx, sw, |o, i, k| want[i] += to(g[o]) * to(w[k]));
        check("input gradient", &c, &gx, &want, to, rel);

        conv2d_weight_grad(ViewMut::from_slice(&mut gw, &p.w, &sw), vg, vx, c.spec);
        let mut want = vec![0.0; gw.len()];
        p.each(sg, sx, sw, |o, i, k| want[k] += to(g[o]) * to(x[i]));
        check("weight gradient", &c, &gw, &want, to, 4.0 * rel);

        let mut gb = vec![from(55.0); c.cout];
        conv2d_bias_grad(ViewMut::from_slice(&mut gb, &p.w[..1], &[1]), vg);
        let mut want = vec![0.0; c.cout];
        for n in 0..p.out[0] {
            for (ch, w) in want.iter_mut().enumerate() {
                for y in 0..p.out[2] {
                    *w += (0..p.out[3]).map(|x| to(g[n * sg[0] + ch * sg[1] + y * sg[2] + x * sg[3]])).sum::<f64>();
                }
            }
        }
        check("bias gradient", &c, &gb, &want, to, rel);
    }
}

#[test]
fn f32_agrees_with_loops() {
    run::<f32>(|x| x as f32, f64::from, 3e-6);
}

#[test]
fn f64_agrees_with_loops() {
    run::<f64>(|x| x, |x| x, 1e-14);
}

#[test]
fn i64_is_exact() {
    run::<i64>(|x| x.round() as i64, |x| x as f64, 0.0);
}

#[test]
fn threads_do_not_change_a_bit() {
    let p = problem(case(8, 6, 16, [15, 15], [3, 3], [1, 1, 1, 1]));
    let data = |s: [usize; 4], seed| noise(s.iter().product(), seed).into_iter().map(|v| v as f32).collect::<Vec<_>>();
    let (x, g) = (data(p.x, 1), data(p.out, 2));
    let (sx, so, sw) = (contiguous(p.x), contiguous(p.out), contiguous(p.w));
    let grad = |threads| {
        let mut gw = vec![0f32; p.w.iter().product()];
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let (vg, vx) = (View::from_slice(&g, &p.out, &so), View::from_slice(&x, &p.x, &sx));
            conv2d_weight_grad(ViewMut::from_slice(&mut gw, &p.w, &sw), vg, vx, p.c.spec);
        });
        gw
    };
    assert_eq!(grad(1), grad(3));
}

#[test]
#[ignore = "prints times"]
fn bench_conv() {
    let shapes = [
        ("16x32x32x32 -> 64", case(16, 32, 64, [32, 32], [3, 3], [1, 1, 1, 1])),
        ("lenet conv1 b64", case(64, 1, 6, [32, 32], [3, 3], [1, 0, 1, 1])),
        ("lenet conv2 b64", case(64, 6, 16, [15, 15], [3, 3], [1, 0, 1, 1])),
        ("16x64x56x56 s2", case(16, 64, 64, [56, 56], [3, 3], [2, 1, 1, 1])),
        ("16x256x14x14", case(16, 256, 256, [14, 14], [3, 3], [1, 1, 1, 1])),
        ("16x512x7x7", case(16, 512, 512, [7, 7], [3, 3], [1, 1, 1, 1])),
        ("1x1 16x128x28x28 -> 256", case(16, 128, 256, [28, 28], [1, 1], [1, 0, 1, 1])),
        ("depthwise 16x64x56x56", case(16, 64, 64, [56, 56], [3, 3], [1, 1, 1, 64])),
        ("1x3x224x224 -> 64 7x7 s2", case(1, 3, 64, [224, 224], [7, 7], [2, 3, 1, 1])),
    ];
    for (name, c) in shapes {
        let p = problem(c);
        let data =
            |s: [usize; 4], seed| noise(s.iter().product(), seed).into_iter().map(|v| v as f32).collect::<Vec<_>>();
        let (x, w, g) = (data(p.x, 1), data(p.w, 2), data(p.out, 3));
        let (mut out, mut gx, mut gw) = (g.clone(), x.clone(), w.clone());
        let (sx, so, sw) = (contiguous(p.x), contiguous(p.out), contiguous(p.w));
        let (vx, vw, vg) =
            (View::from_slice(&x, &p.x, &sx), View::from_slice(&w, &p.w, &sw), View::from_slice(&g, &p.out, &so));
        let flops = 2.0 * p.out.iter().product::<usize>() as f64 * p.w[1..].iter().product::<usize>() as f64;
        let time = |f: &mut dyn FnMut()| {
            let mut best = f64::MAX;
            let start = std::time::Instant::now();
            while start.elapsed().as_secs_f64() < 0.4 {
                let t = std::time::Instant::now();
                f();
                best = best.min(t.elapsed().as_secs_f64());
            }
            best
        };
        let f = time(&mut || conv2d(ViewMut::from_slice(&mut out, &p.out, &so), vx, vw, None, c.spec, false));
        let i = time(&mut || conv2d_input_grad(ViewMut::from_slice(&mut gx, &p.x, &sx), vg, vw, c.spec));
        let k = time(&mut || conv2d_weight_grad(ViewMut::from_slice(&mut gw, &p.w, &sw), vg, vx, c.spec));
        let mut gb = vec![0f32; c.cout];
        let b = time(&mut || conv2d_bias_grad(ViewMut::from_slice(&mut gb, &p.w[..1], &[1]), vg));
        let show = |t: f64| format!("{:.3} ms ({:.0} GF/s)", t * 1e3, flops / t / 1e9);
        println!("{name}: forward {}, input {}, weight {}, bias {:.3} ms", show(f), show(i), show(k), b * 1e3);
    }
}
