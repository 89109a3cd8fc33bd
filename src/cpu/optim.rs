//! Optimizer steps over dense float32 parameters: one pass over memory for what is a dozen elementwise ops, and one piece of
//! parallel work for all parameters together.

use crate::cpu::simd::{SERIAL, SendPtr, chunks, twins};
use std::ops::Range;

/// Elements of a parameter that one thread takes at a time.
const PIECE: usize = 1 << 14;

/// What a step of SGD does to an element.
#[derive(Clone, Copy, Debug)]
pub struct Sgd {
    /// Learning rate.
    pub lr: f32,
    /// Factor of the momentum.
    pub momentum: f32,
    /// One minus the dampening.
    pub undamped: f32,
    /// L2 penalty.
    pub weight_decay: f32,
    /// Look ahead along the momentum.
    pub nesterov: bool,
    /// Ascend.
    pub maximize: bool,
    /// The momenta hold something yet; if not, the gradient becomes them.
    pub started: bool,
}

/// What a step of Adam does to an element.
#[derive(Clone, Copy, Debug)]
pub struct Adam {
    /// Learning rate over the mean's bias correction.
    pub step_size: f32,
    /// Decay of the mean, and one minus it.
    pub beta1: (f32, f32),
    /// Decay of the mean square, and one minus it.
    pub beta2: (f32, f32),
    /// Root of the mean square's bias correction.
    pub root: f32,
    /// Added to the denominator.
    pub eps: f32,
    /// L2 penalty.
    pub weight_decay: f32,
    /// What parameters are multiplied by first: weight decay apart from the gradient.
    pub shrink: f32,
    /// Ascend.
    pub maximize: bool,
}

/// A parameter of `n` elements, its gradient, and what the optimizer keeps of it.
#[derive(Clone, Copy)]
pub struct Part<const STATES: usize> {
    /// Elements of each.
    pub n: usize,
    /// What is updated.
    pub param: SendPtr<f32>,
    /// Only read.
    pub grad: SendPtr<f32>,
    /// Updated too.
    pub states: [SendPtr<f32>; STATES],
}

/// Splits parts into pieces and hands each to a thread.
fn pieces<const S: usize>(parts: &[Part<S>], f: impl Fn(&Part<S>, Range<usize>) + Sync) {
    let mut units = Vec::new();
    let mut total = 0;
    for part in parts {
        units.extend((0..part.n).step_by(PIECE).map(|at| (part, at..part.n.min(at + PIECE))));
        total += part.n;
    }
    let together = if total < SERIAL { units.len() } else { 1 };
    chunks(units.len(), together, |r| units[r].iter().for_each(|(part, range)| f(part, range.clone())));
}

/// The elements of a piece: `[param, grad, states…]`.
///
/// # Safety
/// The range lies in the part, and no other thread has these elements.
unsafe fn slices<'a, const S: usize>(
    part: &Part<S>,
    range: &Range<usize>,
) -> (&'a mut [f32], &'a [f32], [&'a mut [f32]; S]) {
    // SAFETY: the caller's promise; parameter, gradient and states are different memory.
    unsafe {
        let own = |p: SendPtr<f32>| std::slice::from_raw_parts_mut(p.get().add(range.start), range.len());
        (own(part.param), &*own(part.grad), part.states.map(own))
    }
}

/// SGD on parameters without momentum.
///
/// # Safety
/// Every part's memory is valid, and no two pointers of all parts overlap, gradients aside.
pub unsafe fn sgd(rule: &Sgd, parts: &[Part<0>]) {
    // SAFETY: pieces are disjoint.
    pieces(parts, |part, range| unsafe {
        let (param, grad, []) = slices(part, &range);
        plain(*rule, param, grad);
    });
}

/// SGD on parameters with momentum.
///
/// # Safety
/// As [`sgd`].
pub unsafe fn sgd_momentum(rule: &Sgd, parts: &[Part<1>]) {
    // SAFETY: pieces are disjoint.
    pieces(parts, |part, range| unsafe {
        let (param, grad, [buffer]) = slices(part, &range);
        momentum(*rule, param, grad, buffer);
    });
}

/// Adam on parameters with the mean of the gradient and of its square.
///
/// # Safety
/// As [`sgd`].
pub unsafe fn adam(rule: &Adam, parts: &[Part<2>]) {
    // SAFETY: pieces are disjoint.
    pieces(parts, |part, range| unsafe {
        let (param, grad, [mean, square]) = slices(part, &range);
        adam_piece(*rule, param, grad, mean, square);
    });
}

twins!(
    fn plain[][](rule: Sgd, param: &mut [f32], grad: &[f32]) {
        let grad = &grad[..param.len()];
        let sign = if rule.maximize { -1.0 } else { 1.0 };
        for i in 0..param.len() {
            let mut g = grad[i] * sign;
            // not a product with 0: a parameter may be infinite
            if rule.weight_decay != 0.0 {
                g += param[i] * rule.weight_decay;
            }
            param[i] -= rule.lr * g;
        }
    }
);

twins!(
    fn momentum[][](rule: Sgd, param: &mut [f32], grad: &[f32], buffer: &mut [f32]) {
        let n = param.len();
        let (grad, buffer) = (&grad[..n], &mut buffer[..n]);
        let sign = if rule.maximize { -1.0 } else { 1.0 };
        for i in 0..n {
            let mut g = grad[i] * sign;
            if rule.weight_decay != 0.0 {
                g += param[i] * rule.weight_decay;
            }
            let b = if rule.started { buffer[i] * rule.momentum + g * rule.undamped } else { g };
            buffer[i] = b;
            param[i] -= rule.lr * if rule.nesterov { g + b * rule.momentum } else { b };
        }
    }
);

twins!(
    fn adam_piece[][](rule: Adam, param: &mut [f32], grad: &[f32], mean: &mut [f32], square: &mut [f32]) {
        let n = param.len();
        let (grad, mean, square) = (&grad[..n], &mut mean[..n], &mut square[..n]);
        let sign = if rule.maximize { -1.0 } else { 1.0 };
        // torch.lerp: exact at its near end
        let near = rule.beta1.1 < 0.5;
        for i in 0..n {
            let p = param[i] * rule.shrink;
            let mut g = grad[i] * sign;
            if rule.weight_decay != 0.0 {
                g += p * rule.weight_decay;
            }
            let gap = g - mean[i];
            let m = if near { mean[i] + gap * rule.beta1.1 } else { g - gap * rule.beta1.0 };
            let v = square[i] * rule.beta2.0 + g * rule.beta2.1 * g;
            mean[i] = m;
            square[i] = v;
            param[i] = p - rule.step_size * m / (v.sqrt() / rule.root + rule.eps);
        }
    }
);
