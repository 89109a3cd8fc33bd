//! Activation functions (`torch.nn.functional`). PyTorch's kinks: the gradient of relu at 0, of hardtanh at its bounds and of
//! hardshrink at lambda is 0.

use super::backward::*;
use super::{grads, input, op_methods, ops, options, output, unary_methods, where_cond, with_grad};
use crate::dtype::DType;
use crate::error::{Result, ensure};
use crate::scalar::Scalar;
use crate::tensor::{Ctx, Elementwise, Grads, In, Tensor, elementwise, result_type};

ops! {
    RELU = RELU, Number, "ReluBackward0", output, |cx| {
        grads!(cx; elementwise(&THRESHOLD_BACKWARD, &[In::T(cx.g()), In::T(&cx.output(0)?), In::S(Scalar::Int(0))])?)
    };
    GELU = GELU, FloatOnly, "GeluBackward0", input, |cx| grads!(cx; with_grad(&GELU_BACKWARD, cx.g(), &cx.input(0)?)?);
    GELU_TANH = GELU_TANH, FloatOnly, "GeluBackward0", input, |cx| {
        grads!(cx; with_grad(&GELU_TANH_BACKWARD, cx.g(), &cx.input(0)?)?)
    };
    SILU = SILU, FloatOnly, "SiluBackward0", input, |cx| grads!(cx; with_grad(&SILU_BACKWARD, cx.g(), &cx.input(0)?)?);
    MISH = MISH, FloatOnly, "MishBackward0", input, |cx| grads!(cx; with_grad(&MISH_BACKWARD, cx.g(), &cx.input(0)?)?);
    ELU = ELU, FloatOnly, "EluBackward0", input, |cx| parametric(cx, &ELU_BACKWARD);
    CELU = CELU, FloatOnly, "EluBackward0", input, |cx| parametric(cx, &CELU_BACKWARD);
    SELU = SELU, FloatOnly, "EluBackward0", input, |cx| {
        grads!(cx; {
            let x = cx.input(0)?;
            let s = |v| In::S(Scalar::Float(v));
            elementwise(&ELU_BACKWARD, &[In::T(cx.g()), In::T(&x), s(SELU_ALPHA), s(SELU_SCALE)])?
        })
    };
    LEAKY_RELU = LEAKY_RELU, FloatOnly, "LeakyReluBackward0", input, |cx| parametric(cx, &LEAKY_RELU_BACKWARD);
    PRELU = LEAKY_RELU, FloatOnly, "PreluKernelBackward0", super::inputs::<2>, |cx| {
        let (x, w) = (cx.input(0)?, cx.input(1)?);
        grads!(cx; elementwise(&LEAKY_RELU_BACKWARD, &[In::T(cx.g()), In::T(&x), In::T(&w)])?,
            where_cond(&x.gt(0), 0, cx.g() * &x))
    };
    SOFTPLUS = SOFTPLUS, FloatOnly, "SoftplusBackward0", input, |cx| parametric(cx, &SOFTPLUS_BACKWARD);
    LOGSIGMOID = LOGSIGMOID, FloatOnly, "LogSigmoidBackward0", input, |cx| {
        grads!(cx; with_grad(&LOGSIGMOID_BACKWARD, cx.g(), &cx.input(0)?)?)
    };
    HARDTANH = HARDTANH, Number, "HardtanhBackward0", input, |cx| parametric(cx, &HARDTANH_BACKWARD);
    HARDSWISH = HARDSWISH, FloatOnly, "HardswishBackward0", input, |cx| {
        grads!(cx; with_grad(&HARDSWISH_BACKWARD, cx.g(), &cx.input(0)?)?)
    };
    HARDSIGMOID = HARDSIGMOID, FloatOnly, "HardsigmoidBackward0", input, |cx| {
        grads!(cx; with_grad(&HARDSIGMOID_BACKWARD, cx.g(), &cx.input(0)?)?)
    };
    SOFTSIGN = SOFTSIGN, Float, "DivBackward0", input, |cx| grads!(cx; cx.g() / (cx.input(0)?.abs() + 1).square());
    TANHSHRINK = TANHSHRINK, Float, "SubBackward0", input, |cx| grads!(cx; cx.g() * cx.input(0)?.tanh().square());
    HARDSHRINK = HARDSHRINK, FloatOnly, "HardshrinkBackward0", input, |cx| parametric(cx, &SHRINK_BACKWARD);
    SOFTSHRINK = SOFTSHRINK, FloatOnly, "SoftshrinkBackward0", input, |cx| parametric(cx, &SHRINK_BACKWARD);
    THRESHOLD = THRESHOLD, Number, "ThresholdBackward0", input, |cx| parametric(cx, &THRESHOLD_BACKWARD);
}

const SELU_ALPHA: f64 = 1.673_263_242_354_377_2;
const SELU_SCALE: f64 = 1.050_700_987_355_480_5;

/// The fused derivative with the forward op's own parameters, as many as it takes.
fn parametric(cx: &Ctx, op: &'static Elementwise) -> Result<Grads> {
    grads!(cx; {
        let x = cx.input(0)?;
        let mut ins: smallvec::SmallVec<[In; 4]> = smallvec::smallvec![In::T(cx.g()), In::T(&x)];
        ins.extend((1..op.row.arity - 1).filter_map(|i| cx.scalar(i)).map(In::S));
        elementwise(op, &ins)?
    })
}

/// Which form [`Tensor::gelu_with`] computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Approximate {
    /// With the error function.
    #[default]
    None,
    /// With `tanh(sqrt(2/pi) (x + 0.044715 x^3))`.
    Tanh,
}

options! {
    /// Options of [`Tensor::gelu_with`].
    GeluOptions {
        /// Exact, or the tanh form.
        approximate: Approximate = Approximate::None,
    } from Approximate;
    /// Options of [`Tensor::elu_with`] and [`Tensor::celu_with`]; a number is `alpha`.
    EluOptions {
        /// Minus the limit at -infinity.
        alpha: f64 = 1.0,
    } from f64;
    /// Options of [`Tensor::leaky_relu_with`]; a number is `negative_slope`.
    LeakyReluOptions {
        /// The slope below 0.
        negative_slope: f64 = 0.01,
    } from f64;
    /// Options of [`Tensor::softplus_with`]; a number is `beta`.
    SoftplusOptions {
        /// The sharpness of the bend.
        beta: f64 = 1.0,
        /// Linear where `self * beta` is above it.
        threshold: f64 = 20.0,
    } from f64;
    /// Options of [`Tensor::hardshrink_with`] and [`Tensor::softshrink_with`]; a number is `lambd`.
    ShrinkOptions {
        /// Half the width of the flat part.
        lambd: f64 = 0.5,
    } from f64;
    /// Options of [`Tensor::hardtanh_with`]; a pair is both.
    HardtanhOptions {
        /// The lower bound.
        min_val: f64 = -1.0,
        /// The upper bound.
        max_val: f64 = 1.0,
    };
}

impl From<(f64, f64)> for HardtanhOptions {
    fn from((min_val, max_val): (f64, f64)) -> Self {
        HardtanhOptions { min_val, max_val }
    }
}
impl From<(f64, f64)> for SoftplusOptions {
    fn from((beta, threshold): (f64, f64)) -> Self {
        SoftplusOptions { beta, threshold }
    }
}

fn float(x: f64) -> In<'static> {
    In::S(Scalar::Float(x))
}

/// A parameter that must not promote an integer tensor.
fn own(x: In, parameter: Scalar) -> In<'static> {
    let dtype = result_type(&[x]);
    In::S(if dtype.is_float() { parameter } else { Scalar::Int(parameter.to_i64()) })
}

fn no_bool(x: In, message: &str) -> Result<()> {
    ensure!(result_type(&[x]) != DType::Bool, Runtime, "{message}");
    Ok(())
}

fn check_hardtanh(x: In, o: &HardtanhOptions) -> Result<()> {
    no_bool(x, "Bool inputs not supported for hardtanh")?;
    ensure!(o.min_val <= o.max_val, Value, "min_val cannot be greater than max_val");
    let unsigned = matches!(result_type(&[x]), DType::U8 | DType::U32);
    ensure!(!unsigned || o.min_val >= 0.0, Runtime, "cannot do hardtanh on an unsigned type with negative limits");
    Ok(())
}

unary_methods! {
    /// `x * Phi(x)`, exact (`torch.nn.functional.gelu`).
    gelu gelu_ gelu_out GELU;
    /// `x * sigmoid(x)` (`torch.nn.functional.silu`).
    silu silu_ silu_out SILU;
    /// `x * tanh(softplus(x))` (`torch.nn.functional.mish`).
    mish mish_ mish_out MISH;
    /// ELU with the constants that keep mean and variance (`torch.nn.functional.selu`).
    selu selu_ selu_out SELU;
    /// `log(sigmoid(x))` without overflow (`torch.nn.functional.logsigmoid`).
    logsigmoid logsigmoid_ logsigmoid_out LOGSIGMOID;
    /// `x * relu6(x + 3) / 6` (`torch.nn.functional.hardswish`).
    hardswish hardswish_ hardswish_out HARDSWISH;
    /// `relu6(x + 3) / 6` (`torch.nn.functional.hardsigmoid`).
    hardsigmoid hardsigmoid_ hardsigmoid_out HARDSIGMOID;
    /// `x / (1 + |x|)` (`torch.nn.functional.softsign`).
    softsign softsign_ softsign_out SOFTSIGN;
    /// `x - tanh(x)` (`torch.nn.functional.tanhshrink`).
    tanhshrink tanhshrink_ tanhshrink_out TANHSHRINK;
}

op_methods! {
    /// 0 for negative numbers; NaN stays (`torch.relu`).
    ///
    /// ```
    /// # use wgtorch::prelude::*;
    /// assert_eq!(tensor!([-1., 2.]).relu().to_vec::<f32>()?, [0., 2.]);
    /// # Ok::<(), Error>(())
    /// ```
    relu relu_ relu_out () |x, run| {
        no_bool(x, "Boolean inputs not supported for relu")?;
        run(&RELU, &[x])
    }
    /// Relu with an upper bound of 6 (`torch.nn.functional.relu6`).
    relu6 relu6_ relu6_out () |x, run| {
        check_hardtanh(x, &HardtanhOptions { min_val: 0.0, max_val: 6.0 })?;
        run(&HARDTANH, &[x, In::S(Scalar::Int(0)), In::S(Scalar::Int(6))])
    }
    /// [`Tensor::gelu`], exact or in the tanh form (`torch.nn.functional.gelu(approximate=…)`).
    gelu_with gelu_with_ gelu_with_out (options: impl Into<GeluOptions>) |x, run| {
        run(if options.into().approximate == Approximate::Tanh { &GELU_TANH } else { &GELU }, &[x])
    }
    /// `x` above 0, `exp(x) - 1` below (`torch.nn.functional.elu`).
    elu elu_ elu_out () |x, run| { run(&ELU, &[x, float(1.0), float(1.0)]) }
    /// `x` above 0, `alpha (exp(x) - 1)` below (`torch.nn.functional.elu(alpha)`).
    elu_with elu_with_ elu_with_out (options: impl Into<EluOptions>) |x, run| {
        run(&ELU, &[x, float(options.into().alpha), float(1.0)])
    }
    /// `x` above 0, `exp(x) - 1` below (`torch.nn.functional.celu`).
    celu celu_ celu_out () |x, run| { run(&CELU, &[x, float(1.0)]) }
    /// `x` above 0, `alpha (exp(x / alpha) - 1)` below (`torch.nn.functional.celu(alpha)`).
    celu_with celu_with_ celu_with_out (options: impl Into<EluOptions>) |x, run| {
        let alpha = options.into().alpha;
        ensure!(alpha != 0.0, Runtime, "ZeroDivisionError: alpha cannot be 0 for CELU");
        run(&CELU, &[x, float(alpha)])
    }
    /// `x` above 0, `0.01 x` below (`torch.nn.functional.leaky_relu`).
    leaky_relu leaky_relu_ leaky_relu_out () |x, run| { run(&LEAKY_RELU, &[x, float(0.01)]) }
    /// [`Tensor::leaky_relu`] with its slope (`torch.nn.functional.leaky_relu(negative_slope)`).
    leaky_relu_with leaky_relu_with_ leaky_relu_with_out (options: impl Into<LeakyReluOptions>) |x, run| {
        run(&LEAKY_RELU, &[x, float(options.into().negative_slope)])
    }
    /// `log(1 + exp(x))`, linear above 20 (`torch.nn.functional.softplus`).
    softplus softplus_ softplus_out () |x, run| { run(&SOFTPLUS, &[x, float(1.0), float(20.0)]) }
    /// [`Tensor::softplus`] with its parameters (`torch.nn.functional.softplus(beta, threshold)`).
    softplus_with softplus_with_ softplus_with_out (options: impl Into<SoftplusOptions>) |x, run| {
        let o = options.into();
        run(&SOFTPLUS, &[x, float(o.beta), float(o.threshold)])
    }
    /// Clamps to [-1, 1] (`torch.nn.functional.hardtanh`).
    hardtanh hardtanh_ hardtanh_out () |x, run| {
        check_hardtanh(x, &HardtanhOptions::default())?;
        run(&HARDTANH, &[x, In::S(Scalar::Int(-1)), In::S(Scalar::Int(1))])
    }
    /// Clamps to bounds (`torch.nn.functional.hardtanh(min_val, max_val)`).
    hardtanh_with hardtanh_with_ hardtanh_with_out (options: impl Into<HardtanhOptions>) |x, run| {
        let o = options.into();
        check_hardtanh(x, &o)?;
        run(&HARDTANH, &[x, own(x, Scalar::Float(o.min_val)), own(x, Scalar::Float(o.max_val))])
    }
    /// 0 within 0.5 of 0 (`torch.nn.functional.hardshrink`).
    hardshrink hardshrink_ hardshrink_out () |x, run| { run(&HARDSHRINK, &[x, float(0.5)]) }
    /// [`Tensor::hardshrink`] with its width (`torch.nn.functional.hardshrink(lambd)`).
    hardshrink_with hardshrink_with_ hardshrink_with_out (options: impl Into<ShrinkOptions>) |x, run| {
        run(&HARDSHRINK, &[x, float(options.into().lambd)])
    }
    /// 0.5 closer to 0, which none crosses (`torch.nn.functional.softshrink`).
    softshrink softshrink_ softshrink_out () |x, run| { run(&SOFTSHRINK, &[x, float(0.5)]) }
    /// [`Tensor::softshrink`] with its width (`torch.nn.functional.softshrink(lambd)`).
    softshrink_with softshrink_with_ softshrink_with_out (options: impl Into<ShrinkOptions>) |x, run| {
        let lambd = options.into().lambd;
        ensure!(lambd >= 0.0, Runtime, "lambda must be greater or equal to 0, but found to be {lambd}.");
        run(&SOFTSHRINK, &[x, float(lambd)])
    }
    /// `value` where an element is at most the threshold (`torch.nn.functional.threshold`).
    threshold threshold_ threshold_out (threshold: impl Into<Scalar>, value: impl Into<Scalar>) |x, run| {
        run(&THRESHOLD, &[x, own(x, threshold.into()), own(x, value.into())])
    }
}

crate::tensor::methods! {
    /// Leaky relu with learnt slopes: one, or one a channel (`torch.nn.functional.prelu`).
    fn prelu(&self, weight: &Tensor) -> Tensor {
        let n = weight.numel();
        ensure!(
            weight.dim() <= 1,
            Runtime,
            "prelu: Expected `weight` to be a scalar or 1D tensor, but got: ndim = {}",
            weight.dim()
        );
        if n == 1 {
            return elementwise(&PRELU, &[In::T(self.0), In::T(&weight.checked().reshape([1; 0])?)]);
        }
        let dims = self.dim();
        ensure!(dims > 0, Runtime, "Not allow zero-dim input tensor.");
        let channels = if dims > 1 { self.shape()[1] } else { 1 };
        ensure!(
            channels == n,
            Runtime,
            "Mismatch of parameter numbers and input channel size. Found parameter numbers = {n} and channel size = {channels}."
        );
        let mut sizes = vec![1isize; dims];
        sizes[1] = n as isize;
        elementwise(&PRELU, &[In::T(self.0), In::T(&weight.checked().reshape(sizes)?)])
    }

    /// The first half of a dim times the sigmoid of the second (`torch.nn.functional.glu`).
    fn glu(&self, dim: isize) -> Tensor {
        ensure!(self.dim() > 0, Runtime, "glu does not support 0-dimensional tensors");
        let d = crate::shape::wrap_dim(dim, self.dim())?;
        let n = self.shape()[d];
        ensure!(n.is_multiple_of(2), Runtime, "Halving dimension must be even, but dimension {d} is size {n}");
        let half = n / 2;
        let gate = self.narrow(dim, half as isize, half)?.checked().sigmoid()?;
        self.narrow(dim, 0, half)?.checked().mul(gate)
    }
}
