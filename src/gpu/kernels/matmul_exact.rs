//! Matrix products of integers, which wrap, and of float64 where the device has it. Those of float32 are in `matmul.rs`.

use super::{source, word};
use crate::DType;
use crate::error::{Result, bail, ensure};
use crate::gpu::{GpuView, Recorder};
use crate::layout::collapse;
use crate::scalar::Scalar;
use crate::shape::Dims;

const BODY: &str = include_str!("../../../shaders/matmul_exact.wgsl");

/// Most batch dims, after those that can be joined are.
const DIMS: usize = 8;

/// What follows a product.
#[derive(Clone, Copy, Debug)]
pub struct Rest<'a> {
    /// Added after the product; expanded by its strides to the output's shape.
    pub bias: Option<GpuView<'a>>,
    /// Factor of the product.
    pub alpha: Scalar,
    /// Factor of the bias; with 0 the bias is not read.
    pub beta: Scalar,
    /// Negative values become 0.
    pub relu: bool,
}

/// The arithmetic of a dtype.
fn arithmetic(dtype: DType) -> Result<String> {
    let (ty, pair, zero, mad, add, scale, relu) = match dtype {
        DType::I32 => ("u32", "vec2<u32>", "0u", "c + a * b", "a + b", "s.x * a", "select(a, 0u, a >= 0x80000000u)"),
        DType::U32 => ("u32", "vec2<u32>", "0u", "c + a * b", "a + b", "s.x * a", "a"),
        DType::I64 => (
            "vec2<u32>",
            "vec2<u32>",
            "vec2<u32>()",
            "i64_add(c, i64_mul(a, b))",
            "i64_add(a, b)",
            "i64_mul(s, a)",
            "select(a, vec2<u32>(), a.y >= 0x80000000u)",
        ),
        DType::F64 => ("f64", "f64", "0.0lf", "c + a * b", "a + b", "s * a", "select(a, 0.0lf, a < 0.0lf)"),
        d => bail!(NotImplemented, "\"matmul\" not implemented for '{}'", d.scalar_name()),
    };
    let library = match dtype {
        DType::I64 => crate::num::library(&["i64_add", "i64_mul"].into()),
        _ => String::new(),
    };
    Ok(format!(
        "{library}alias WtT = {ty};
alias WtPair = {pair};
fn wt_zero() -> WtT {{ return {zero}; }}
fn wt_mad(c: WtT, a: WtT, b: WtT) -> WtT {{ return {mad}; }}
fn wt_add(a: WtT, b: WtT) -> WtT {{ return {add}; }}
fn wt_scale(s: WtPair, a: WtT) -> WtT {{ return {scale}; }}
fn wt_relu(a: WtT) -> WtT {{ return {relu}; }}"
    ))
}

/// The words of a factor.
fn pair(dtype: DType, s: Scalar) -> [u32; 2] {
    let bits = if dtype == DType::F64 { s.to_f64().to_bits() } else { s.to_i64() as u64 };
    [bits as u32, (bits >> 32) as u32]
}

/// `out = alpha * (a @ b) + beta * bias`, in int32, uint32, int64 or float64, for `[.., M, K] x [.., K, N]` with equal (or
/// expanded, by stride 0) batch dims. `a`, `b` and the bias have any strides; `out` is row-major and shares no memory with them.
pub fn matmul(rec: &mut Recorder, a: &GpuView, b: &GpuView, out: &GpuView, rest: &Rest) -> Result<()> {
    let zero = rest.beta.to_f64() == 0.0;
    let bias = rest.bias.as_ref().filter(|_| !zero);
    let nd = out.shape.len();
    let fits = nd >= 2
        && a.shape.len() == nd
        && b.shape.len() == nd
        && a.shape[..nd - 2] == out.shape[..nd - 2]
        && b.shape[..nd - 2] == out.shape[..nd - 2]
        && a.shape[nd - 2] == out.shape[nd - 2]
        && a.shape[nd - 1] == b.shape[nd - 2]
        && b.shape[nd - 1] == out.shape[nd - 1]
        && bias.is_none_or(|c| c.shape == out.shape)
        && [a, b].into_iter().chain(bias).all(|v| v.dtype == out.dtype)
        && out.is_contiguous();
    ensure!(fits, Runtime, "matmul kernel: {:?} x {:?} does not make a row-major {:?}", a.shape, b.shape, out.shape);
    if out.numel() == 0 {
        return Ok(());
    }
    let (rows, cols, depth) = (out.shape[nd - 2], out.shape[nd - 1], a.shape[nd - 1]);
    let none = Dims::from_elem(0, nd);
    let bias_strides = bias.map_or(&none[..], |c| c.strides);
    let (dims, strides) =
        collapse(&out.shape[..nd - 2], &[&a.strides[..nd - 2], &b.strides[..nd - 2], &bias_strides[..nd - 2]]);
    ensure!(dims.len() <= DIMS, NotImplemented, "matmul: the GPU kernel takes at most {DIMS} batch dims");
    let batch: usize = dims.iter().product();
    let (tiles_x, tiles_y) = (cols.div_ceil(32), rows.div_ceil(32));
    let tiles = tiles_x * tiles_y * batch;
    for v in [a, b, out].into_iter().chain(bias) {
        word(v.end())?;
    }
    let [(a_row, a_col), (b_row, b_col)] = [a, b].map(|v| (v.strides[nd - 2], v.strides[nd - 1]));
    let flags = [bias.is_some(), rest.relu, a_row < a_col, b_col <= b_row];
    let flags = flags.iter().enumerate().fold(0, |f, (i, &on)| f | u32::from(on) << i);
    let mut params = vec![word(rows)?, word(cols)?, word(depth)?, word(tiles_x)?, word(tiles_y)?, word(tiles)?];
    params.extend([word(dims.len())?, flags, word(a.offset)?, word(a_row)?, word(a_col)?]);
    params.extend([word(b.offset)?, word(b_row)?, word(b_col)?]);
    params.extend([word(bias.map_or(0, |c| c.offset))?, word(bias_strides[nd - 2])?, word(bias_strides[nd - 1])?]);
    params.push(word(out.offset)?);
    params.extend(pair(out.dtype, rest.alpha).into_iter().chain(pair(out.dtype, rest.beta)).chain([0, 0]));
    for list in [&dims, &strides[0], &strides[1], &strides[2]] {
        let mut eight = [0; DIMS];
        for (e, &n) in eight.iter_mut().zip(list.iter()) {
            *e = word(n)?;
        }
        params.extend(eight);
    }
    let k = rec.kernel(&format!("matmul exact {}", out.dtype), || {
        Ok(source("matmul exact", &[&arithmetic(out.dtype)?, BODY], 3, 1, 56))
    })?;
    rec.dispatch(k, &[a.buffer, b.buffer, bias.unwrap_or(a).buffer, out.buffer], &params, word(tiles)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::Gpu;
    use crate::gpu::kernels::testing::{Host, indices, time};
    use crate::gpu::testing::{device, down};
    use crate::shape::numel;

    /// Dims laid out in an order, behind an offset.
    fn laid<T: bytemuck::NoUninit>(g: &Gpu, shape: &[usize], order: &[usize], make: impl Fn(usize) -> T) -> Host<T> {
        let mut strides = vec![0; shape.len()];
        let mut step = 1;
        for &d in order.iter().rev() {
            strides[d] = step;
            step *= shape[d];
        }
        Host::new(g, (0..step + 3).map(make).collect(), 3, shape, &strides)
    }

    fn number(i: usize) -> i64 {
        (i as i64 + 1).wrapping_mul(0x1234_5678_9abc_def1)
    }

    /// The whole formula on one device and on the other, in a type whose arithmetic is given.
    fn check<T: bytemuck::Pod + PartialEq + std::fmt::Debug>(
        g: &Gpu,
        dtype: DType,
        make: impl Fn(usize) -> T + Copy,
        number: impl Fn(i64) -> T,
        [add, mul]: [fn(T, T) -> T; 2],
        relu: fn(T) -> T,
    ) {
        let sizes = [(1, [1, 1, 1]), (3, [5, 7, 9]), (2, [33, 65, 40]), (1, [70, 3, 0]), (2, [32, 32, 130])];
        for (batch, [m, n, k]) in sizes {
            for order in [[0, 1, 2], [0, 2, 1], [2, 0, 1]] {
                let (a, b) = (laid(g, &[batch, m, k], &order, make), laid(g, &[batch, k, n], &order, |i| make(i + 77)));
                let bias = laid(g, &[batch, m, n], &order, |i| make(i + 5));
                let out = Host::dense(g, vec![make(1); batch * m * n], &[batch, m, n]);
                for (alpha, beta, with) in [(1, 1, false), (2, -3, true)] {
                    let rest = Rest {
                        bias: with.then(|| bias.typed(dtype)),
                        alpha: Scalar::Int(alpha),
                        beta: Scalar::Int(beta),
                        relu: with,
                    };
                    matmul(&mut g.lock(), &a.typed(dtype), &b.typed(dtype), &out.typed(dtype), &rest).unwrap();
                    let formula = |i: Vec<usize>| {
                        let terms = (0..k).map(|d| mul(a.at(&[i[0], i[1], d]), b.at(&[i[0], d, i[2]])));
                        let sum = mul(number(alpha), terms.fold(number(0), add));
                        if with { relu(add(sum, mul(number(beta), bias.at(&i)))) } else { sum }
                    };
                    let want: Vec<T> = indices(&[batch, m, n]).map(formula).collect();
                    let got = down::<T>(g, &out.buffer, numel(&[batch, m, n]));
                    assert_eq!(got, want, "{dtype} {m} x {n} x {k} {order:?}");
                }
            }
        }
    }

    #[test]
    fn integers_wrap() {
        let Some(g) = device() else { return };
        check(&g, DType::I64, number, |v| v, [i64::wrapping_add, i64::wrapping_mul], |v| v.max(0));
        let small = |i| number(i) as i32;
        check(&g, DType::I32, small, |v| v as i32, [i32::wrapping_add, i32::wrapping_mul], |v| v.max(0));
        let small = |i| number(i) as u32;
        check(&g, DType::U32, small, |v| v as u32, [u32::wrapping_add, u32::wrapping_mul], |v| v);
    }

    #[test]
    fn float64_where_the_device_has_it() {
        let Some(g) = device() else { return };
        if g.features.f64 {
            // whole numbers, so that no order of the sums matters
            let make = |i: usize| (i * 7919 % 2001) as f64 * 1e6 - 1e9;
            check(&g, DType::F64, make, |v| v as f64, [|a, b| a + b, |a, b| a * b], |v| v.max(0.0));
        }
    }

    #[test]
    #[ignore = "prints figures"]
    fn speed() {
        let Some(g) = device() else { return };
        let new = |n: usize| Host::dense(&g, vec![3i64; n * n], &[n, n]);
        let (a, b, c) = (new(256), new(256), new(256));
        let rest = Rest { bias: None, alpha: Scalar::Int(1), beta: Scalar::Int(0), relu: false };
        println!("int64 256: {}", time(&g, |r| matmul(r, &a.i64(), &b.i64(), &c.i64(), &rest).unwrap()));
        let [x, y, z] = [&a, &b, &c].map(|h| h.typed(DType::F64));
        if g.features.f64 {
            println!("float64 256: {}", time(&g, |r| matmul(r, &x, &y, &z, &rest).unwrap()));
        }
    }
}
