//! Elements around a tensor: a constant, a mirror image, the border, or the other end.

use super::compose::composite;
use super::views::IntoSizes;
use crate::error::{Error, Result, bail, ensure};
use crate::scalar::Scalar;
use crate::tensor::{Ctx, Saves, Tensor, methods, one_grad};

/// What stands in the padding.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum PadMode {
    /// One value.
    #[default]
    Constant,
    /// The input mirrored, without the border itself.
    Reflect,
    /// The border, again and again.
    Replicate,
    /// The input's other end.
    Circular,
}

impl std::str::FromStr for PadMode {
    type Err = Error;
    /// PyTorch's names: `"constant"`, `"reflect"`, `"replicate"`, `"circular"`.
    fn from_str(s: &str) -> Result<PadMode> {
        Ok(match s {
            "constant" => PadMode::Constant,
            "reflect" => PadMode::Reflect,
            "replicate" => PadMode::Replicate,
            "circular" => PadMode::Circular,
            _ => bail!(NotImplemented, "Unrecognised padding mode {s}"),
        })
    }
}

/// Options of [`Tensor::pad`]: a mode, or the value of constant padding.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default)]
pub struct PadOptions {
    /// What stands in the padding.
    pub mode: PadMode,
    /// The constant; 0 if None.
    pub value: Option<Scalar>,
}

impl PadOptions {
    /// Zeros.
    pub fn new() -> PadOptions {
        PadOptions::default()
    }
    /// What stands in the padding.
    pub fn mode(mut self, mode: PadMode) -> PadOptions {
        self.mode = mode;
        self
    }
    /// The constant.
    pub fn value(mut self, value: impl Into<Scalar>) -> PadOptions {
        self.value = Some(value.into());
        self
    }
}

impl From<()> for PadOptions {
    fn from(_: ()) -> PadOptions {
        PadOptions::new()
    }
}
impl From<PadMode> for PadOptions {
    fn from(mode: PadMode) -> PadOptions {
        PadOptions::new().mode(mode)
    }
}
macro_rules! from_values {
    ($($t:ty)*) => {$(
        impl From<$t> for PadOptions {
            fn from(value: $t) -> PadOptions {
                PadOptions::new().value(value)
            }
        }
    )*};
}
from_values!(Scalar f64 f32 i64 i32 bool);

/// Before and after each dim that is padded; they are given from the last dim on.
fn pairs(t: &Tensor, pads: &[isize]) -> Result<Vec<(usize, [isize; 2])>> {
    let n = t.dim();
    ensure!(
        pads.len() <= 2 * n,
        Runtime,
        "Length of pad should be no more than twice the number of dimensions of the input. Pad length is {} while the input has {n} dimensions.",
        pads.len()
    );
    Ok(pads.chunks_exact(2).enumerate().map(|(i, p)| (n - 1 - i, [p[0], p[1]])).collect())
}

/// Slices off what a negative pad takes away.
fn cropped(t: &Tensor, pairs: &[(usize, [isize; 2])]) -> Result<Tensor> {
    let mut out = t.clone();
    for &(d, pad) in pairs {
        for (cut, front) in [(-pad[0], true), (-pad[1], false)] {
            if cut > 0 {
                let rest = out.size_of(d as isize) as isize - cut;
                ensure!(rest >= 0, Runtime, "narrow(): length must be non-negative.");
                out = out.checked().narrow(d as isize, if front { cut } else { 0 }, rest as usize)?;
            }
        }
    }
    Ok(out)
}

fn constant(t: &Tensor, pads: &[isize], value: Scalar) -> Result<Tensor> {
    let pairs = pairs(t, pads)?;
    let forward = || {
        let inner = cropped(t, &pairs)?;
        let mut sizes = inner.shape().to_vec();
        for &(d, [before, after]) in &pairs {
            sizes[d] += (before.max(0) + after.max(0)) as usize;
        }
        let out = Tensor::constant(value.as_dtype(t.dtype()), &sizes, t.dtype(), t.device());
        let mut place = out.clone();
        for &(d, [before, _]) in &pairs {
            place = place.checked().narrow(d as isize, before.max(0), inner.size_of(d as isize))?;
        }
        place.checked().copy_(&inner)?;
        Ok(out)
    };
    let back: Vec<isize> = pads.iter().map(|p| -p).collect();
    composite("ConstantPadNdBackward0", &[t], Saves::NONE, forward, move |cx: &Ctx| {
        constant(cx.g(), &back, Scalar::Int(0)).map(one_grad)
    })
}

/// Where the elements of a padded dim of size `n` come from.
fn sources(mode: PadMode, n: usize, [before, after]: [isize; 2]) -> Vec<i64> {
    let n = n as i64;
    let from = |at: i64| match mode {
        PadMode::Reflect if at < 0 => -at,
        PadMode::Reflect if at >= n => 2 * (n - 1) - at,
        PadMode::Circular => at.rem_euclid(n),
        _ => at.clamp(0, n - 1),
    };
    (-before as i64..n + after as i64).map(from).collect()
}

/// Padding whose elements are the input's own: one list of indices for each dim.
fn copied(t: &Tensor, pads: &[isize], mode: PadMode) -> Result<Tensor> {
    let (n, shape) = (t.dim(), t.shape());
    let spatial = pads.len() / 2;
    let known = matches!((pads.len(), n), (2, 2 | 3) | (4, 3 | 4) | (6, 4 | 5));
    ensure!(
        known,
        NotImplemented,
        "Padding size {} is not supported for {n}D input tensor.\nSupported combinations for non-constant padding:\n  - 2D or 3D input: padding size = 2 (pads last dimension)\n  - 3D or 4D input: padding size = 4 (pads last 2 dimensions)\n  - 4D or 5D input: padding size = 6 (pads last 3 dimensions)",
        pads.len()
    );
    let pairs = pairs(t, pads)?;
    let batchless = n == spatial + 1;
    let empty = shape.iter().enumerate().any(|(d, &s)| s == 0 && (d > 0 || batchless));
    ensure!(
        !empty,
        Runtime,
        "Expected {}D or {}D (batch mode) tensor with possibly 0 batch size and other non-zero dimensions for input, but got: {:?}",
        n,
        n + 1,
        &shape[..]
    );
    let mut lists = Vec::new();
    for &(d, pad @ [before, after]) in &pairs {
        let size = shape[d] as isize;
        let worst = before.max(after);
        match mode {
            PadMode::Reflect => ensure!(
                worst < size,
                Runtime,
                "Argument #4: Padding size should be less than the corresponding input dimension, but got: padding ({before}, {after}) at dimension {d} of input {:?}",
                &shape[..]
            ),
            PadMode::Circular => {
                ensure!(worst <= size, Runtime, "Padding value causes wrapping around more than once.")
            }
            _ => {}
        }
        ensure!(
            size + before + after > 0 || (mode == PadMode::Circular && size + before + after == 0),
            Runtime,
            "input (size: {size}, pad: {before}, {after}) is too small. Calculated output size: {}",
            size + before + after
        );
        let list = sources(mode, shape[d], pad);
        if before != 0 || after != 0 {
            let len = list.len();
            lists.push((d as isize, Tensor::from_vec(list, [len], t.device())?));
        }
    }
    let picks = lists.clone();
    let forward = move || picks.iter().try_fold(t.clone(), |x, (d, list)| x.checked().index_select(*d, list));
    let name = match mode {
        PadMode::Reflect => ["ReflectionPad1DBackward0", "ReflectionPad2DBackward0", "ReflectionPad3DBackward0"],
        PadMode::Replicate => ["ReplicationPad1DBackward0", "ReplicationPad2DBackward0", "ReplicationPad3DBackward0"],
        _ => ["CircularPadBackward0"; 3],
    };
    composite(name[spatial - 1], &[t], Saves::NONE, forward, move |cx: &Ctx| {
        let mut g = cx.g().clone();
        for (d, list) in lists.iter().rev() {
            let mut sizes = g.shape().to_vec();
            sizes[*d as usize] = shape[*d as usize];
            let zeros = Tensor::constant(Scalar::Int(0), &sizes, g.dtype(), g.device());
            g = zeros.checked().index_add(*d, list, &g, 1)?;
        }
        Ok(one_grad(g))
    })
}

/// Zeros after the last row and column of images: what an odd `padding='same'` needs.
pub(super) fn pad_end(x: &Tensor, extra: [usize; 2]) -> Result<Tensor> {
    constant(x, &[0, extra[1] as isize, 0, extra[0] as isize], Scalar::Int(0))
}

methods! {
    /// Elements around the tensor (`torch.nn.functional.pad`): pairs of numbers before and after, from the last dim on; a
    /// negative number takes elements away. The option is the value of constant padding, or another [`PadMode`], which pads the
    /// last one, two or three dims of a tensor with one or two more.
    ///
    /// # Panics
    /// If there are more pairs than dims, or a mode takes more elements than the input has.
    ///
    /// ```
    /// # use wgtorch::{prelude::*, PadMode};
    /// let x = tensor!([[1., 2., 3.]]);
    /// assert_eq!(x.pad([1, 1], 9.).to_vec::<f32>()?, [9., 1., 2., 3., 9.]);
    /// assert_eq!(x.pad([2, 1], PadMode::Reflect).to_vec::<f32>()?, [3., 2., 1., 2., 3., 2.]);
    /// # Ok::<(), Error>(())
    /// ```
    fn pad(&self, pad: impl IntoSizes, options: impl Into<PadOptions>) -> Tensor {
        let (pad, o) = (pad.into_sizes(), options.into());
        ensure!(pad.len().is_multiple_of(2), Runtime, "Padding length must be divisible by 2");
        if o.mode == PadMode::Constant {
            return constant(self.0, &pad, o.value.unwrap_or(Scalar::Int(0)));
        }
        let name = format!("{:?}", o.mode).to_lowercase();
        ensure!(o.value.is_none_or(|v| v.to_f64() == 0.0), Runtime, "Padding mode \"{name}\" doesn't take in value argument");
        copied(self.0, &pad, o.mode)
    }
}
